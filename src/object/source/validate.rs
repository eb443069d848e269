//! What is wrong with a source, all of it at once, before anybody tries to follow it.

use k8s_openapi::api::core::v1::SecretReference;

use super::terms::{duration, folder, patterns, schedule, versions, window, zone};
use super::{
    Budget, COMMIT_HOSTS, CommitStatus, DRIFTS, EVENTS, FORMS, LEVELS, MODES, Notification, Source, SourceSpec,
    Verification, WindowSpec,
};
use crate::object::field_error::{FieldError, Path};
use crate::object::{format, metadata};

/// Who holds a source: that decides where its secrets lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeldBy {
    /// The API server: secrets are Secrets, and files of the machine are not for those who only write objects.
    Api,
    /// A file of the machine that reconciles: secrets lie in files as well.
    File,
}

/// Everything that is wrong with a source, its metadata included.
pub fn validate(source: &Source, held: HeldBy) -> Vec<FieldError> {
    let mut errors = Vec::new();
    metadata::validate_create(&source.metadata, false, format::dns_subdomain, &mut errors);
    errors.extend(problems(source, held));
    errors
}

/// Everything that is wrong with its spec.
pub(in crate::object) fn problems(source: &Source, held: HeldBy) -> Vec<FieldError> {
    let (spec, path) = (&source.spec, Path::new("spec"));
    let mut found = Found {
        held,
        errors: Vec::new(),
    };
    if spec.source.is_empty() {
        found.required(&path.child("source"), "");
    }
    found.beside(
        &path,
        "semver",
        spec.semver.is_some() && spec.reference.is_some(),
        "ref",
    );
    let both = spec.credentials.is_some() && spec.secret_ref.is_some();
    found.beside(&path, "credentials", both, "secretRef");
    if let Some(secret) = &spec.secret_ref {
        found.secret(&path.child("secretRef"), secret);
    }
    found.read(&path.child("semver"), spec.semver.as_deref(), versions);
    found.read(&path.child("path"), spec.path.as_deref(), |text| folder(text.as_ref()));
    found.read(&path.child("interval"), spec.interval.as_deref(), duration);
    found.read(&path.child("healthTimeout"), spec.health_timeout.as_deref(), duration);
    found.read(
        &path.child("pruneBudget"),
        spec.prune_budget.as_deref(),
        str::parse::<Budget>,
    );
    for (index, text) in spec.ignore.iter().flatten().enumerate() {
        let read = |text: &str| patterns([text].into_iter());
        found.read(&path.child("ignore").index(index), Some(text), read);
    }
    for (index, text) in spec.schedules.iter().flatten().enumerate() {
        found.read(&path.child("schedules").index(index), Some(text), schedule);
    }
    if let Some(text) = &spec.drift {
        found.one_of(&path.child("drift"), text, &DRIFTS);
    }
    found.depends_on(source, &path.child("dependsOn"));
    for (index, spec) in spec.windows.iter().flatten().enumerate() {
        found.window(&path.child("windows").index(index), spec);
    }
    if let Some(verify) = &spec.verify {
        found.verify(&path.child("verify"), verify, spec);
    }
    for (index, spec) in spec.notifications.iter().flatten().enumerate() {
        found.notification(&path.child("notifications").index(index), spec);
    }
    if let Some(status) = &spec.commit_status {
        found.commit_status(&path.child("commitStatus"), status);
    }
    found.errors
}

struct Found {
    held: HeldBy,
    errors: Vec<FieldError>,
}

impl Found {
    fn required(&mut self, path: &Path, why: &str) {
        self.errors.push(FieldError::required(path, why));
    }

    fn beside(&mut self, path: &Path, field: &str, both: bool, other: &str) {
        if both {
            let why = format!("may not be set beside {other}");
            self.errors.push(FieldError::forbidden(&path.child(field), &why));
        }
    }

    /// A text that must mean something, where there is one.
    fn read<T>(&mut self, path: &Path, text: Option<&str>, read: impl FnOnce(&str) -> Result<T, String>) {
        if let Some(text) = text
            && let Err(why) = read(text)
        {
            self.errors.push(FieldError::invalid(path, text, why));
        }
    }

    /// A text that must be there and mean something.
    fn must_read<T>(&mut self, path: &Path, text: &str, read: impl FnOnce(&str) -> Result<T, String>) {
        match text.is_empty() {
            true => self.required(path, ""),
            false => self.read(path, Some(text), read),
        }
    }

    fn one_of(&mut self, path: &Path, text: &str, supported: &[&str]) {
        if text.is_empty() {
            self.required(path, "");
        } else if !supported.contains(&text) {
            self.errors.push(FieldError::not_supported(path, text, supported));
        }
    }

    fn secret(&mut self, path: &Path, secret: &SecretReference) {
        for (field, value) in [("name", &secret.name), ("namespace", &secret.namespace)] {
            if value.as_ref().is_none_or(String::is_empty) {
                self.required(&path.child(field), "");
            }
        }
    }

    /// Where secrets lie: an object's in a Secret, none of `files` given.
    fn secrets(&mut self, path: &Path, secret: Option<&SecretReference>, files: &[(&str, bool)]) {
        if self.held == HeldBy::File {
            return;
        }
        for (field, _) in files.iter().filter(|(_, given)| *given) {
            let why = "is for files of --config; an object has secretRef";
            self.errors.push(FieldError::forbidden(&path.child(field), why));
        }
        match secret {
            Some(secret) => self.secret(&path.child("secretRef"), secret),
            None => self.required(&path.child("secretRef"), ""),
        }
    }

    fn depends_on(&mut self, source: &Source, path: &Path) {
        for (index, name) in source.spec.depends_on.iter().flatten().enumerate() {
            let path = path.index(index);
            if Some(name) == source.metadata.name.as_ref() {
                let why = "a source cannot come before itself";
                self.errors.push(FieldError::invalid(&path, name, why));
            } else if name.is_empty() {
                self.required(&path, "");
            }
        }
    }

    fn window(&mut self, path: &Path, spec: &WindowSpec) {
        self.one_of(&path.child("kind"), &spec.kind, &["allow", "deny"]);
        self.must_read(&path.child("schedule"), &spec.schedule, |text| schedule(text.trim()));
        self.must_read(&path.child("duration"), &spec.duration, window);
        self.read(&path.child("timeZone"), spec.time_zone.as_deref(), zone);
    }

    fn verify(&mut self, path: &Path, verify: &Verification, spec: &SourceSpec) {
        self.one_of(&path.child("mode"), &verify.mode, &MODES);
        if verify.mode == "Tags" && spec.reference.is_none() && spec.semver.is_none() {
            let why = "needs spec.ref or spec.semver with the tag to follow";
            self.errors
                .push(FieldError::invalid(&path.child("mode"), &verify.mode, why));
        }
        self.secrets(path, verify.secret_ref.as_ref(), &[("files", verify.files.is_some())]);
    }

    fn notification(&mut self, path: &Path, spec: &Notification) {
        self.one_of(&path.child("type"), &spec.type_, &FORMS);
        for (index, event) in spec.events.iter().flatten().enumerate() {
            self.one_of(&path.child("events").index(index), event, &EVENTS);
        }
        if let Some(level) = &spec.minimum_level {
            self.one_of(&path.child("minimumLevel"), level, &LEVELS);
        }
        let files = [
            ("urlFile", spec.url_file.is_some()),
            ("tokenFile", spec.token_file.is_some()),
        ];
        self.secrets(path, spec.secret_ref.as_ref(), &files);
    }

    fn commit_status(&mut self, path: &Path, spec: &CommitStatus) {
        self.one_of(&path.child("type"), &spec.type_, &COMMIT_HOSTS);
        match (&spec.url, spec.type_.as_str()) {
            (None, "gitea") => self.required(&path.child("url"), "say where the API begins: https://HOST/api/v1"),
            (url, _) => self.read(&path.child("url"), url.as_deref(), address),
        }
        let by_owner = spec.type_ != "gitlab";
        self.must_read(&path.child("repository"), &spec.repository, |text| {
            match text.split_once('/') {
                Some((owner, name)) if !owner.is_empty() && !name.is_empty() && !name.contains('/') => Ok(()),
                _ if by_owner => Err("write owner/name".to_owned()),
                _ => Ok(()),
            }
        });
        self.secrets(
            path,
            spec.secret_ref.as_ref(),
            &[("tokenFile", spec.token_file.is_some())],
        );
    }
}

fn address(text: &str) -> Result<(), String> {
    let known = text.parse::<http::Uri>().is_ok_and(|uri| {
        ["http", "https"].contains(&uri.scheme_str().unwrap_or_default())
            && uri.host().is_some_and(|host| !host.is_empty())
            && uri.query().is_none()
    });
    match known {
        true => Ok(()),
        false => Err("write an address that begins with https:// or http://".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn said(spec: Value, held: HeldBy) -> Vec<String> {
        let object = json!({"metadata": {"name": "apps"}, "spec": spec});
        let source: Source = serde_json::from_value(object).expect("a source");
        validate(&source, held).iter().map(ToString::to_string).collect()
    }

    fn spec(rest: Value) -> Value {
        let mut spec = json!({"source": "/srv/apps"});
        let all = spec.as_object_mut().expect("an object");
        all.extend(rest.as_object().expect("an object").clone());
        spec
    }

    #[test]
    fn every_mistake_is_named_with_its_field_and_value() {
        let secret = json!({"name": "chat", "namespace": "default"});
        for (rest, expected) in [
            (
                json!({"drift": "ignore"}),
                "spec.drift: Unsupported value: \"ignore\": supported values: \"repair\", \"report\"",
            ),
            (
                json!({"interval": "0s"}),
                "spec.interval: Invalid value: \"0s\": must be more than zero",
            ),
            (
                json!({"healthTimeout": "soon"}),
                "spec.healthTimeout: Invalid value: \"soon\": write a duration",
            ),
            (
                json!({"pruneBudget": "half"}),
                "spec.pruneBudget: Invalid value: \"half\": write 50%",
            ),
            (json!({"semver": "latest"}), "spec.semver: Invalid value: \"latest\""),
            (
                json!({"semver": "1.x", "ref": "main"}),
                "spec.semver: Forbidden: may not be set beside ref",
            ),
            (
                json!({"path": "../x"}),
                "spec.path: Invalid value: \"../x\": must lie below",
            ),
            (json!({"ignore": ["x", "a["]}), "spec.ignore[1]: Invalid value: \"a[\""),
            (
                json!({"schedules": ["0 22 * * *"]}),
                "spec.schedules[0]: Invalid value: \"0 22 * * *\"",
            ),
            (
                json!({"dependsOn": ["apps"]}),
                "spec.dependsOn[0]: Invalid value: \"apps\": a source cannot",
            ),
            (
                json!({"verify": {"mode": "All", "secretRef": secret}}),
                "spec.verify.mode: Unsupported value: \"All\"",
            ),
            (
                json!({"verify": {"mode": "Tags", "secretRef": secret}}),
                "spec.verify.mode: Invalid value: \"Tags\": needs",
            ),
            (
                json!({"verify": {"mode": "Commits"}}),
                "spec.verify.secretRef: Required value",
            ),
            (
                json!({"notifications": [{"type": "slak", "secretRef": secret}]}),
                "spec.notifications[0].type: Unsupported value: \"slak\": supported values: \"generic\"",
            ),
            (
                json!({"notifications": [{"type": "slack", "events": ["Sunk"], "secretRef": secret}]}),
                "spec.notifications[0].events[0]: Unsupported value: \"Sunk\"",
            ),
            (
                json!({"notifications": [{"type": "slack", "minimumLevel": "warn", "secretRef": secret}]}),
                "spec.notifications[0].minimumLevel: Unsupported value: \"warn\"",
            ),
            (
                json!({"notifications": [{"type": "slack", "secretRef": {"name": "chat"}}]}),
                "spec.notifications[0].secretRef.namespace: Required value",
            ),
            (
                json!({"commitStatus": {"type": "github", "repository": "n", "secretRef": secret}}),
                "spec.commitStatus.repository: Invalid value: \"n\": write owner/name",
            ),
            (
                json!({"commitStatus": {"type": "github", "repository": "o/n", "url": "ftp://x", "secretRef": secret}}),
                "spec.commitStatus.url: Invalid value: \"ftp://x\": write an address",
            ),
            (
                json!({"commitStatus": {"type": "gitea", "repository": "o/n", "secretRef": secret}}),
                "spec.commitStatus.url: Required value: say where",
            ),
        ] {
            let said = said(spec(rest), HeldBy::Api);
            let [said] = said.as_slice() else {
                panic!("{expected}: {said:?}")
            };
            assert!(said.starts_with(expected), "{said}");
        }
    }

    #[test]
    fn all_mistakes_of_a_window_are_told_at_once() {
        let window = json!({"kind": "permit", "schedule": "x", "duration": "1 foo", "timeZone": "Middle/Earth"});
        let said = said(spec(json!({"windows": [{}, window]})), HeldBy::Api);
        let fields: Vec<&str> = said.iter().filter_map(|text| text.split(": ").next()).collect();
        let of = |index: usize| ["kind", "schedule", "duration"].map(|field| format!("spec.windows[{index}].{field}"));
        let expected = [of(0).as_slice(), &of(1), &["spec.windows[1].timeZone".to_owned()]].concat();
        assert_eq!(fields, expected);
        assert!(
            said[5].starts_with("spec.windows[1].duration: Invalid value: \"1 foo\": write a duration"),
            "{said:?}"
        );
    }

    #[test]
    fn files_are_for_those_who_have_the_machine() {
        let spec = spec(json!({
            "verify": {"mode": "Commits", "files": ["/keys"]},
            "notifications": [{"type": "slack", "urlFile": "/url"}],
            "commitStatus": {"type": "github", "repository": "o/n", "tokenFile": "/token"},
        }));
        assert_eq!(said(spec.clone(), HeldBy::File), Vec::<String>::new());
        let said = said(spec, HeldBy::Api);
        for field in ["verify.files", "notifications[0].urlFile", "commitStatus.tokenFile"] {
            let expected = format!("spec.{field}: Forbidden: is for files of --config");
            assert!(said.iter().any(|said| said.starts_with(&expected)), "{said:?}");
        }
    }
}
