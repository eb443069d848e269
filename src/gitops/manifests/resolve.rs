//! Raw objects into intended ones: kinds looked up, namespaces filled in, every object declared once. Pure.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use super::field;
use super::parse::{Origin, Parsed, Raw, Unreadable};
use crate::gitops::ceded;
use crate::gitops::kinds::{Kinds, Resource};
use crate::gitops::on_drift;
use crate::gitops::report::{ObjectKey, Place, Problem};
use crate::gitops::wave;

/// Where namespaced objects go that name no namespace, as with `kubectl`.
const DEFAULT_NAMESPACE: &str = "default";

/// An object as the source wants it.
#[derive(Clone, Debug)]
pub struct Intended {
    /// Which object.
    pub key: ObjectKey,
    /// How the API serves it.
    pub resource: Resource,
    /// The manifest, with its namespace.
    pub value: Value,
    /// Where it stands.
    pub place: Place,
    origin: Origin,
}

impl Intended {
    /// The place of a field, named as API servers name it.
    pub fn locate(&self, field: &str) -> Place {
        self.origin.locate(&field::parse(field, &self.value))
    }
}

/// Everything that the source says.
#[derive(Debug, Default)]
pub struct Manifests {
    /// What it wants, in the order of keys.
    pub objects: BTreeMap<ObjectKey, Intended>,
    /// Objects that it names but that cannot be applied, each with the reason; they stay as they are.
    pub held: BTreeMap<ObjectKey, String>,
    /// All that is wrong, in the order of files and lines.
    pub problems: Vec<Problem>,
    /// Texts that may declare objects unknown to us.
    pub unreadable: Vec<Unreadable>,
    /// Files without a byte in them.
    pub empty: Vec<String>,
    /// Folders that nobody asked to read, though they may declare objects.
    pub skipped: Vec<String>,
}

impl Manifests {
    /// Whether nothing at all was declared: then nothing is deleted either.
    pub fn is_empty(&self) -> bool {
        self.objects.is_empty() && self.held.is_empty()
    }

    /// Whether some text may still declare this object, which the inventory last saw in `file`; says why.
    pub fn may_declare(&self, key: &ObjectKey, file: Option<&str>) -> Option<String> {
        if let Some(reason) = self.held.get(key) {
            return Some(reason.clone());
        }
        if let Some(path) = self.empty.iter().find(|path| Some(path.as_str()) == file) {
            return Some(format!("{path} is empty; delete the file to delete its objects"));
        }
        let inside = |folder: &&String| file?.strip_prefix(folder.as_str())?.strip_prefix('/');
        if let Some(folder) = self.skipped.iter().find(|folder| inside(folder).is_some()) {
            return Some(format!(
                "{folder}, from which it came, is a git submodule now and not read"
            ));
        }
        self.unreadable
            .iter()
            .find(|unreadable| Some(unreadable.path.as_str()) == file || unreadable.may_declare(&key.name))
            .map(|unreadable| format!("{} cannot be read and may declare it", unreadable.path))
    }
}

/// Looks up every object's kind and checks that it is declared once.
pub fn resolve(parsed: Parsed, kinds: &Kinds) -> Manifests {
    let mut manifests = Manifests {
        problems: parsed.problems,
        unreadable: parsed.unreadable,
        empty: parsed.empty,
        ..Manifests::default()
    };
    for raw in parsed.raws {
        take(raw, kinds, &mut manifests);
    }
    manifests.problems.sort();
    manifests.problems.dedup();
    manifests
}

fn take(raw: Raw, kinds: &Kinds, manifests: &mut Manifests) {
    let place = raw.origin.place();
    let mut key = ObjectKey {
        group: raw
            .api_version
            .split_once('/')
            .map_or("", |(group, _)| group)
            .to_owned(),
        kind: raw.kind.clone(),
        namespace: raw.namespace.clone(),
        name: raw.name.clone(),
    };
    let resource = match kinds.find(&raw.api_version, &raw.kind) {
        Ok(resource) => resource.clone(),
        Err(reason) => {
            let at = raw.origin.locate(&field::parse("kind", &raw.value));
            manifests.problems.push(problem(at, &key, &reason));
            // A slip in the kind or version of an owned object must not look as if the object had left.
            manifests.unreadable.push(Unreadable::text(&place.path, &raw.name));
            return;
        }
    };
    key.namespace = resource
        .namespaced
        .then(|| raw.namespace.unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned()));
    let mut value = raw.value;
    value["metadata"]["namespace"] = json!(key.namespace);
    if key.namespace.is_none()
        && let Some(metadata) = value["metadata"].as_object_mut()
    {
        metadata.remove("namespace");
    }
    if let Err(reason) = fold_string_data(&key, &mut value) {
        let at = raw.origin.locate(&field::parse("stringData", &value));
        manifests.problems.push(problem(at, &key, &reason));
        manifests.held.insert(key, "its manifest is wrong".into());
        return;
    }
    let annotated = wave::of(&value).and(ceded::fields(&value)).and(on_drift::of(&value));
    if let Err(reason) = annotated {
        let at = raw.origin.locate(&field::parse("metadata.annotations", &value));
        manifests.problems.push(problem(at, &key, &reason));
        manifests.held.insert(key, "its manifest is wrong".into());
        return;
    }
    if let Some(first) = manifests.objects.remove(&key) {
        manifests.held.insert(
            key.clone(),
            format!("declared twice, in {} and in {place}", first.place),
        );
        let reason = format!("declared here and in {}; neither is applied", first.place);
        manifests.problems.push(problem(place.clone(), &key, &reason));
        let reason = format!("declared here and in {place}; neither is applied");
        manifests.problems.push(problem(first.place, &key, &reason));
    } else if manifests.held.contains_key(&key) {
        let reason = format!("{}; not applied from here either", manifests.held[&key]);
        manifests.problems.push(problem(place, &key, &reason));
    } else {
        let intended = Intended {
            key: key.clone(),
            resource,
            value,
            place,
            origin: raw.origin,
        };
        manifests.objects.insert(key, intended);
    }
}

fn problem(place: Place, key: &ObjectKey, reason: &str) -> Problem {
    Problem {
        place: Some(place),
        object: Some(key.clone()),
        reason: reason.to_owned(),
    }
}

/// A Secret's `stringData` goes into `data`, as the API server does it on writing: otherwise an apply would own
/// fields that do not exist and could not take back keys that left the manifest.
fn fold_string_data(key: &ObjectKey, value: &mut Value) -> Result<(), String> {
    if key.kind != "Secret" || !key.group.is_empty() {
        return Ok(());
    }
    let Some(object) = value.as_object_mut() else {
        return Ok(());
    };
    let Some(string_data) = object.remove("stringData") else {
        return Ok(());
    };
    let Value::Object(string_data) = string_data else {
        return match string_data {
            Value::Null => Ok(()),
            _ => Err("stringData must be a mapping".into()),
        };
    };
    let data = object.entry("data").or_insert_with(|| json!({}));
    if data.is_null() {
        *data = json!({});
    }
    let Value::Object(data) = data else {
        return Err("data must be a mapping".into());
    };
    for (name, text) in string_data {
        let Value::String(text) = text else {
            return Err(format!("stringData.{name} must be a text (quote it)"));
        };
        data.insert(name, Value::String(BASE64.encode(text)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gitops::manifests::parse;
    use crate::gitops::source::File;

    fn read(files: &[(&str, &str)]) -> Manifests {
        let files: Vec<File> = files
            .iter()
            .map(|(path, text)| File::new(*path, text.as_bytes()))
            .collect();
        resolve(parse(&files), &Kinds::for_tests())
    }

    fn keys(manifests: &Manifests) -> Vec<String> {
        manifests.objects.keys().map(ToString::to_string).collect()
    }

    fn problems(manifests: &Manifests) -> Vec<String> {
        manifests.problems.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn documents_lists_and_formats_become_objects() {
        let manifests = read(&[
            (
                "a.yaml",
                "# hello\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: a}\n---\n# nothing\n---\napiVersion: v1\nkind: Namespace\nmetadata: {name: n, namespace: ignored}\n",
            ),
            (
                "b.json",
                r#"{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "n"}}"#,
            ),
            (
                "c.yml",
                "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Pod, metadata: {name: b}}\n- apiVersion: v1\n  kind: PodList\n  items:\n  - metadata: {name: d}\n",
            ),
        ]);
        assert_eq!(
            keys(&manifests),
            [
                "ConfigMap n/c",
                "Namespace n",
                "Pod default/a",
                "Pod default/b",
                "Pod default/d"
            ]
        );
        assert_eq!(problems(&manifests), [""; 0]);
        let namespace = manifests.objects.values().nth(1).expect("the namespace");
        assert_eq!(namespace.value["metadata"], json!({"name": "n"}));
        assert_eq!(
            manifests.objects.values().nth(3).expect("b").place.to_string(),
            "c.yml:4:4"
        );
    }

    #[test]
    fn a_broken_document_hides_no_other() {
        let manifests = read(&[(
            "a.yaml",
            "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n---\napiVersion: v1\nkind: [Pod\n---\napiVersion: v1\nkind: Pod\nmetadata: {name: c}\n",
        )]);
        assert_eq!(keys(&manifests), ["Pod default/a", "Pod default/c"]);
        assert_eq!(manifests.problems.len(), 1);
        assert_eq!(manifests.problems[0].place.as_ref().expect("a place").path, "a.yaml");
        assert!(manifests.problems[0].place.as_ref().expect("a place").line >= 6);
        assert!(
            manifests
                .may_declare(&manifests.objects.keys().next().expect("a").clone(), Some("a.yaml"))
                .is_some()
        );
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (name, text, expected) in [
            (
                "no kind",
                "apiVersion: v1\nmetadata: {name: a}",
                "x.yaml:1:1: kind is missing",
            ),
            (
                "no apiVersion",
                "# c\nkind: Pod\nmetadata: {name: a}",
                "x.yaml:2:1: apiVersion is missing",
            ),
            (
                "no metadata",
                "apiVersion: v1\nkind: Pod",
                "x.yaml:1:1: Pod: metadata.name is missing",
            ),
            (
                "no name",
                "apiVersion: v1\nkind: Pod\nmetadata:\n  labels: {}",
                "x.yaml:3:1: Pod: metadata.name is missing",
            ),
            (
                "number as name",
                "apiVersion: v1\nkind: Pod\nmetadata:\n  name: 12",
                "x.yaml:4:3: Pod: metadata.name must be a text that is not empty (quote it if it looks like a number)",
            ),
            (
                "generateName",
                "apiVersion: v1\nkind: Pod\nmetadata:\n  generateName: a-",
                "x.yaml:4:3: Pod: metadata.generateName would make another object at every sync; give it a metadata.name",
            ),
            (
                "a scalar",
                "hello",
                "x.yaml:1:1: not an object: a manifest is a mapping with apiVersion, kind and metadata",
            ),
            (
                "unknown kind",
                "apiVersion: v1\nkind: Pud\nmetadata: {name: a}",
                "x.yaml:2:1: Pud a: v1 has no kind Pud; it has ConfigMap, Namespace, Pod, Secret",
            ),
            (
                "unknown group",
                "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: a}",
                "x.yaml:2:1: Deployment.apps a: apps/v1 is not served here; served are v1 (ConfigMap, Namespace, Pod, Secret)",
            ),
            (
                "a list of nothing",
                "apiVersion: v1\nkind: List\nitems: [1]",
                "x.yaml:3:1: not an object: a manifest is a mapping with apiVersion, kind and metadata",
            ),
        ] {
            assert_eq!(problems(&read(&[("x.yaml", text)])), [expected], "{name}");
        }
    }

    #[test]
    fn of_an_object_declared_twice_neither_is_applied() {
        let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n";
        let manifests = read(&[("x.yaml", pod), ("y.yaml", pod), ("z.yaml", pod)]);
        assert!(manifests.objects.is_empty());
        assert_eq!(
            problems(&manifests),
            [
                "x.yaml:1:1: Pod default/a: declared here and in y.yaml:1:1; neither is applied",
                "y.yaml:1:1: Pod default/a: declared here and in x.yaml:1:1; neither is applied",
                "z.yaml:1:1: Pod default/a: declared twice, in x.yaml:1:1 and in y.yaml:1:1; not applied from here either",
            ]
        );
        assert!(!manifests.is_empty());
    }

    #[test]
    fn what_a_broken_file_may_hold_is_known() {
        let manifests = read(&[
            ("x.yaml", "apiVersion: v1\nkind: Pod\nmetadata: {name: web\n"),
            ("empty.yaml", ""),
        ]);
        let key = |name: &str| ObjectKey {
            group: String::new(),
            kind: "Pod".into(),
            namespace: Some("default".into()),
            name: name.into(),
        };
        for (name, object, file, kept) in [
            ("its own", "other", Some("x.yaml"), true),
            ("moved into it", "web", Some("old.yaml"), true),
            ("elsewhere", "other", Some("old.yaml"), false),
            ("place unknown", "other", None, false),
            ("file emptied", "other", Some("empty.yaml"), true),
        ] {
            assert_eq!(manifests.may_declare(&key(object), file).is_some(), kept, "{name}");
        }
    }

    #[test]
    fn a_secrets_string_data_is_folded() {
        let manifests = read(&[(
            "s.yaml",
            "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata: {a: eA==}\nstringData: {b: hello}\n",
        )]);
        let secret = manifests.objects.values().next().expect("the secret");
        assert_eq!(secret.value["data"], json!({"a": "eA==", "b": "aGVsbG8="}));
        assert_eq!(secret.value.get("stringData"), None);
    }
}
