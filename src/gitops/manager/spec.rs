//! What a `Source` says, as a configuration: its spec, and the Secrets that it names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use k8s_openapi::Resource as _;
use k8s_openapi::api::core::v1::{ObjectReference, Secret, SecretReference};
use kube::api::Api;
use kube::{Client, ResourceExt as _};

use super::Task;
use crate::client::Told;
use crate::gitops::access::Access;
use crate::gitops::config::Config;
use crate::gitops::error::Error;
use crate::gitops::inputs::{Held, Inputs};
use crate::gitops::telling::{CommitStatus, Receiver};
use crate::gitops::trust::Verify;
use crate::gitops::webhook;
use crate::gitops::window::Window;
use crate::object::source::{Source, SourceSpec, duration};

impl Task {
    /// What the spec and the Secret that it names say, where all of it is there.
    pub(super) async fn config(&self) -> Result<Config, Error> {
        let (name, spec) = (self.source.name_any(), &self.source.spec);
        if self.manager.taken.contains(&name) {
            return Err(Error::Config(format!("another source is called {name} already")));
        }
        let mut config = config(&name, spec, self.manager.data_dir.clone())?;
        config.webhooks = self.manager.webhooks.clone();
        config.telling = self.manager.telling.clone();
        config.presence = self.manager.presence.clone();
        config.neighbours = self.manager.neighbours.clone();
        config.about = Some(ObjectReference {
            api_version: Some(Source::API_VERSION.to_owned()),
            kind: Some(Source::KIND.to_owned()),
            name: Some(name.clone()),
            uid: self.source.uid(),
            ..ObjectReference::default()
        });
        config.webhook_secret.clone_from(&self.manager.webhook_secret);
        let mut reading = Reading {
            client: &self.manager.client,
            inputs: Inputs::default(),
        };
        if let Some(file) = &config.webhook_secret {
            reading.inputs.file(file);
        }
        reading.held(&mut config, &name, spec).await?;
        config.inputs = reading.inputs;
        crate::gitops::check(&config).map(|()| config)
    }
}

/// Whether the spec names what may change without it.
pub(super) fn names_others(spec: &SourceSpec) -> bool {
    spec.secret_ref.is_some()
        || spec.credentials.is_some()
        || spec.verify.is_some()
        || spec.notifications.is_some()
        || spec.commit_status.is_some()
}

/// Reads what a spec names, and notes it.
struct Reading<'a> {
    client: &'a Client,
    inputs: Inputs,
}

impl Reading<'_> {
    /// Takes over what Secrets and the directory of credentials say.
    async fn held(&mut self, config: &mut Config, name: &str, spec: &SourceSpec) -> Result<(), Error> {
        if let Some(reference) = &spec.secret_ref {
            let data = self.secret(reference).await?;
            let name = reference.name.as_deref().unwrap_or_default();
            let namespace = reference.namespace.as_deref().unwrap_or_default();
            config.access = Access::from_secret(namespace, name, &data)?;
        } else {
            config.access = access_in_files(spec, &mut self.inputs)?;
        }
        if let Some(verify) = &spec.verify {
            let place = "spec.verify";
            let in_files = verify.files.as_ref().map(|_| "files");
            let data = self.named(place, verify.secret_ref.as_ref(), in_files).await?;
            config.verify = Some(Verify::of_data(place, verify, data)?);
        }
        for (index, notification) in spec.notifications.iter().flatten().enumerate() {
            let place = format!("spec.notifications[{index}]");
            let url_file = notification.url_file.as_ref().map(|_| "urlFile");
            let in_files = url_file.or(notification.token_file.as_ref().map(|_| "tokenFile"));
            let data = self.named(&place, notification.secret_ref.as_ref(), in_files).await?;
            let url = key(&data, &place, "url")?;
            let token = data.get("token").cloned().and_then(webhook::Secret::new);
            let receiver = Receiver::new(&place, notification, &url, token.as_ref())?;
            config.receivers.push(receiver);
        }
        if let Some(status) = &spec.commit_status {
            let place = "spec.commitStatus";
            let in_files = status.token_file.as_ref().map(|_| "tokenFile");
            let data = self.named(place, status.secret_ref.as_ref(), in_files).await?;
            let token = key(&data, place, "token")?;
            config.commit_status = Some(CommitStatus::new(place, name, status, &token)?);
        }
        Ok(())
    }

    /// The Secret that a part of the spec names; files, which the field `in_files` names, are for those who have the
    /// machine.
    async fn named(
        &mut self,
        place: &str,
        reference: Option<&SecretReference>,
        in_files: Option<&str>,
    ) -> Result<BTreeMap<String, Vec<u8>>, Error> {
        if let Some(field) = in_files {
            let reason = "is for files of --config; an object has secretRef";
            return Err(Error::Config(format!("{place}.{field}: {reason}")));
        }
        match reference {
            Some(reference) if reference.name.is_some() && reference.namespace.is_some() => {
                self.secret(reference).await
            }
            _ => Err(Error::Config(format!(
                "{place}.secretRef: give name and namespace of a Secret"
            ))),
        }
    }

    async fn secret(&mut self, reference: &SecretReference) -> Result<BTreeMap<String, Vec<u8>>, Error> {
        let name = reference.name.as_deref().unwrap_or_default();
        let namespace = reference.namespace.as_deref().unwrap_or_default();
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        let secret = secrets.get(name).await.map_err(|error| {
            let reason = Told(&error);
            Error::Source(format!("Secret {namespace}/{name} cannot be read: {reason}"))
        })?;
        let version = secret.metadata.resource_version.unwrap_or_default();
        self.inputs.secret(namespace, name, version);
        let data = secret.data.unwrap_or_default();
        Ok(data.into_iter().map(|(key, value)| (key, value.0)).collect())
    }
}

/// What the directory of credentials holds, if the spec names one.
fn access_in_files(spec: &SourceSpec, inputs: &mut Inputs) -> Result<Access, Error> {
    let Some(directory) = spec.credentials.as_deref().map(Path::new) else {
        return Ok(Access::default());
    };
    Access::files(directory).for_each(|file| inputs.file(file));
    Access::from_directory(directory)
}

/// What the files say that the spec of a source names which lies in a file itself; notes them.
///
/// # Errors
/// Where one cannot be read or used, by its field.
pub fn held_in_files(name: &str, spec: &SourceSpec, inputs: &mut Inputs) -> Result<Held, Error> {
    let access = access_in_files(spec, inputs)?;
    let verify = spec.verify.as_ref();
    let notifications = spec.notifications.as_deref().unwrap_or_default();
    let status = spec.commit_status.as_ref();
    let keys = verify.into_iter().flat_map(|verify| verify.files.iter().flatten());
    let tokens = status.and_then(|status| status.token_file.as_ref());
    let others = Receiver::files(notifications).chain(tokens);
    keys.chain(others).for_each(|file| inputs.file(file));
    Ok(Held {
        access,
        verify: verify
            .map(|verify| Verify::of_files("spec.verify", verify))
            .transpose()?,
        receivers: Receiver::of_files("spec.notifications", notifications)?,
        commit_status: status
            .map(|status| CommitStatus::of_file("spec.commitStatus", name, status))
            .transpose()?,
    })
}

/// What a Secret holds; it may come.
fn key(data: &BTreeMap<String, Vec<u8>>, place: &str, key: &str) -> Result<webhook::Secret, Error> {
    let value = data.get(key).cloned().and_then(webhook::Secret::new);
    value.ok_or_else(|| Error::Source(format!("{place}.secretRef: that Secret has no {key:?}")))
}

/// What a spec says, as a configuration, without what it names: files and Secrets.
///
/// # Errors
/// Where it says something that cannot be.
pub fn config(name: &str, spec: &SourceSpec, data_dir: PathBuf) -> Result<Config, Error> {
    let mut config = Config::new(&spec.source, data_dir);
    config.name = Some(name.to_owned());
    config.reference.clone_from(&spec.reference);
    config.semver.clone_from(&spec.semver);
    config.path = spec.path.as_ref().map(PathBuf::from);
    config.ignore = spec.ignore.clone().unwrap_or_default();
    config.submodules = spec.submodules.unwrap_or(false);
    config.schedules = spec.schedules.clone().unwrap_or_default();
    config.depends_on = spec.depends_on.clone().unwrap_or_default();
    config.windows = (spec.windows.iter().flatten().enumerate())
        .map(|(index, window)| {
            let named = |error| Error::Config(format!("spec.windows[{index}].{error}"));
            Window::of(window).map_err(named)
        })
        .collect::<Result<_, _>>()?;
    config.prune = spec.prune.unwrap_or(true);
    config.rollback = spec.rollback.unwrap_or(false);
    if let Some(text) = &spec.health_timeout {
        let said = duration(text).map_err(|error| Error::Config(format!("spec.healthTimeout: {text:?}: {error}")))?;
        config.health_timeout = said;
    }
    config.suspended = spec.suspend.unwrap_or(false);
    if let Some(text) = &spec.prune_budget {
        config.budget = text
            .parse()
            .map_err(|error| Error::Config(format!("spec.pruneBudget: {text:?}: {error}")))?;
    }
    if let Some(text) = &spec.drift {
        config.on_drift = text
            .parse()
            .map_err(|error| Error::Config(format!("spec.drift: {error}")))?;
    }
    if let Some(text) = &spec.interval {
        config.interval = duration(text).map_err(|error| Error::Config(format!("spec.interval: {text:?}: {error}")))?;
    }
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::source::WindowSpec;

    #[test]
    fn a_spec_becomes_a_configuration_or_says_why_not() {
        let spec = |budget: &str, interval: &str| SourceSpec {
            source: "/srv/apps".into(),
            prune_budget: Some(budget.into()),
            interval: Some(interval.into()),
            ..SourceSpec::default()
        };
        let read = config("apps", &spec("3", "2m"), PathBuf::new()).expect("valid");
        assert_eq!((read.budget.to_string().as_str(), read.interval.as_secs()), ("3", 120));
        assert_eq!(read.identity().as_deref(), Some("sources/apps"));
        for (spec, part) in [
            (spec("much", "2m"), "spec.pruneBudget"),
            (spec("3", "0s"), "spec.interval"),
            (spec("3", "soon"), "spec.interval"),
        ] {
            let error = config("apps", &spec, PathBuf::new()).expect_err(part).to_string();
            assert!(error.contains(part), "{error}");
        }
        let mut spec = spec("3", "2m");
        spec.windows = Some(vec![WindowSpec::default()]);
        let error = config("apps", &spec, PathBuf::new())
            .expect_err("no window")
            .to_string();
        assert!(error.contains("spec.windows[0].kind"), "{error}");
    }
}
