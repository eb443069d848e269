//! Sources from a file: manifests of kind Source, as `kubectl apply` would take them.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize as _;
use serde_json::Value;

use crate::gitops;
use crate::gitops::telling::Receiver;
use crate::object::Kind;
use crate::object::source::{HeldBy, Notification, Source, validate};

/// The most that is read: a file that lists sources, or configures the scheduler, is small.
const MAX_BYTES: u64 = 1024 * 1024;

/// The sources of that file, each as a configuration; `webhook_secret` is theirs.
///
/// # Errors
/// Where the file cannot be read, a document is no valid Source, or two have one name; says which document.
pub fn read(path: &Path, data_dir: &Path, webhook_secret: Option<&Path>) -> Result<Vec<gitops::Config>> {
    let shown = path.display();
    let text = text("--config", path)?;
    let mut configs: Vec<gitops::Config> = Vec::new();
    let mut names = BTreeSet::new();
    for (index, document) in serde_yaml::Deserializer::from_str(&text).enumerate() {
        let number = index + 1;
        let place = || format!("--config {shown}, document {number}");
        let value = Value::deserialize(document).with_context(place)?;
        if value.is_null() {
            continue;
        }
        let (name, spec) = source(value).with_context(place)?;
        if !names.insert(name.clone()) {
            bail!("{}: another source is called {name} already", place());
        }
        if spec.secret_ref.is_some() {
            bail!(
                "{}: spec.secretRef is for objects of a cluster; give spec.credentials, a directory",
                place()
            );
        }
        let config = gitops::manager::config(&name, &spec, data_dir.to_owned()).with_context(place)?;
        let config = gitops::Config {
            webhook_secret: webhook_secret.map(Path::to_owned),
            ..config
        };
        let read = move |inputs: &mut gitops::Inputs| gitops::manager::held_in_files(&name, &spec, inputs);
        configs.push(config.with_files(read).with_context(place)?);
    }
    Ok(configs)
}

/// Those who are told what happens to SOURCE: a list of what a Source has as `spec.notifications`. Notes what it reads.
///
/// # Errors
/// Where the file cannot be read, or says something that cannot be; says which field.
pub fn receivers(path: &Path, inputs: &mut gitops::Inputs) -> Result<Vec<Receiver>> {
    inputs.file(path);
    let place = || format!("--notify {}", path.display());
    let text = text("--notify", path)?;
    let values: Option<Value> = serde_yaml::from_str(&text).with_context(place)?;
    let values = match values {
        None | Some(Value::Null) => None,
        Some(Value::Array(values)) => Some(values),
        Some(_) => bail!("{}: write a list of receivers: each begins with `- type: …`", place()),
    };
    let mut specs: Vec<Notification> = Vec::new();
    for (index, value) in values.into_iter().flatten().enumerate() {
        let mut unknown = Vec::new();
        let decoded = serde_ignored::deserialize(value, |field| unknown.push(field.to_string()));
        specs.push(decoded.with_context(|| format!("{}: notifications[{index}]", place()))?);
        if let Some(field) = unknown.first() {
            bail!("{}: unknown field notifications[{index}].{field}", place());
        }
    }
    Receiver::files(&specs).for_each(|file| inputs.file(file));
    Receiver::of_files("notifications", &specs).with_context(place)
}

/// What is in the file of that flag.
///
/// # Errors
/// Where it cannot be read, or is too large.
pub fn text(flag: &str, path: &Path) -> Result<String> {
    let place = || format!("{flag} {}", path.display());
    let length = std::fs::metadata(path).with_context(place)?.len();
    ensure!(
        length <= MAX_BYTES,
        "{}: {length} bytes are more than the {MAX_BYTES} that are read",
        place()
    );
    std::fs::read_to_string(path).with_context(place)
}

fn source(value: Value) -> Result<(String, crate::object::source::SourceSpec)> {
    let version = value["apiVersion"].as_str().unwrap_or_default();
    let name = value["kind"].as_str().unwrap_or_default();
    let kind = Kind::of(version, name).filter(|kind| kind.kind == "Source");
    let kind =
        kind.with_context(|| format!("it is {version:?} {name:?}; write apiVersion: reconcile.dev/v1, kind: Source"))?;
    let decoded = kind.decode(value)?;
    if let Some(unknown) = decoded.unknown.first() {
        bail!("unknown field {unknown}");
    }
    let source: Source = serde_json::from_value(decoded.object)?;
    let problems: Vec<String> = validate(&source, HeldBy::File)
        .iter()
        .map(ToString::to_string)
        .collect();
    ensure!(problems.is_empty(), "{}", problems.join("; "));
    let name = source.metadata.name.unwrap_or_default();
    Ok((name, source.spec))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str) -> Result<Vec<gitops::Config>> {
        let scratch = tempfile::tempdir().expect("a scratch directory");
        let path = scratch.path().join("sources.yaml");
        std::fs::write(&path, text).expect("written");
        read(&path, scratch.path(), None)
    }

    fn document(name: &str, rest: &str) -> String {
        format!(
            "---\napiVersion: reconcile.dev/v1\nkind: Source\nmetadata: {{name: {name}}}\nspec:\n  source: /srv/{name}\n{rest}"
        )
    }

    #[test]
    fn each_document_is_a_source() {
        let text = document("a", "  prune: false\n") + &document("b", "  ref: main\n");
        let configs = read_text(&text).expect("valid");
        let read: Vec<_> = configs
            .iter()
            .map(|config| (config.name.as_deref(), config.source.as_str(), config.prune))
            .collect();
        assert_eq!(read, [(Some("a"), "/srv/a", false), (Some("b"), "/srv/b", true)]);
        assert!(read_text("").expect("none").is_empty());
    }

    #[test]
    fn mistakes_name_the_document() {
        for (text, part) in [
            (
                document("a", "") + &document("a", ""),
                "document 2: another source is called a already",
            ),
            (document("a", "  prun: false\n"), "spec.prun"),
            (document("a", "  pruneBudget: half\n"), "half"),
            (
                document("a", "  notifications: [{type: slack, secretRef: {name: x}}]\n"),
                "document 1: spec.notifications[0].secretRef",
            ),
            (
                document("a", "  notifications: [{type: slack, urlfile: x}]\n"),
                "spec.notifications[0].urlfile",
            ),
            (
                document("a", "  commitStatus: {type: github, repository: o/n}\n"),
                "spec.commitStatus.tokenFile",
            ),
            (
                document("a", "  verify: {mode: Commits, secretRef: {name: x, namespace: y}}\n"),
                "document 1: spec.verify.secretRef: is for objects",
            ),
            (
                document("a", "  verify: {mode: Commits}\n"),
                "spec.verify.files: give files",
            ),
            (
                document("a", "  verify: {mode: Commits, files: [/nowhere/at/all]}\n"),
                "spec.verify.files: keys in /nowhere/at/all",
            ),
            (document("A_", ""), "metadata.name"),
            (
                "kind: Pod\napiVersion: v1\n".to_owned(),
                "write apiVersion: reconcile.dev/v1",
            ),
            ("\tx".to_owned(), "document 1"),
        ] {
            let error = format!("{:#}", read_text(&text).expect_err(part));
            assert!(error.contains(part), "{error}");
        }
    }
    #[test]
    fn who_is_told_of_the_single_source() {
        let scratch = tempfile::tempdir().expect("a scratch directory");
        let path = scratch.path().join("notify.yaml");
        std::fs::write(scratch.path().join("url"), "https://hooks.example/sesame").expect("written");
        let list = |rest: &str| format!("- type: slack\n  urlFile: {}/url\n{rest}", scratch.path().display());
        for (text, part) in [
            (list("  evnts: []\n"), "unknown field notifications[0].evnts"),
            (list("  events: [Sunk]\n"), "notifications[0].events[0]: \"Sunk\""),
            (list("") + "- type: slack\n", "notifications[1].urlFile: give a file"),
            ("type: slack\n".to_owned(), "--notify"),
        ] {
            std::fs::write(&path, text).expect("written");
            let error = format!(
                "{:#}",
                receivers(&path, &mut gitops::Inputs::default()).expect_err(part)
            );
            assert!(error.contains(part) && !error.contains("sesame"), "{error}");
        }
        std::fs::write(&path, list("  minimumLevel: error\n")).expect("written");
        assert_eq!(
            receivers(&path, &mut gitops::Inputs::default()).expect("valid").len(),
            1
        );
        std::fs::write(&path, "").expect("written");
        assert!(
            receivers(&path, &mut gitops::Inputs::default())
                .expect("nobody")
                .is_empty()
        );
    }
}
