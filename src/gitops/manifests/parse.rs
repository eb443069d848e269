//! Texts into raw objects: documents, lists flattened, what every object must have. Does not know which kinds exist.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::document::{Document, Segment, split};
use super::value::{self, Format};
use crate::gitops::report::{Place, Problem};
use crate::gitops::source::File;

/// How large one document may be. An API server takes bodies of 3 MB at most.
const MAX_DOCUMENT_BYTES: usize = 3 << 20;

/// How deep lists may lie in lists.
const MAX_LIST_DEPTH: usize = 4;

/// What the files say, before kinds are looked up.
#[derive(Debug, Default)]
pub struct Parsed {
    pub(super) raws: Vec<Raw>,
    pub(super) problems: Vec<Problem>,
    pub(super) unreadable: Vec<Unreadable>,
    /// Files without a byte in them: half written, more likely than meant.
    pub(super) empty: Vec<String>,
}

/// An object as it stands in a file.
#[derive(Clone, Debug)]
pub(super) struct Raw {
    pub api_version: String,
    pub kind: String,
    pub namespace: Option<String>,
    pub name: String,
    pub value: Value,
    pub origin: Origin,
}

/// Where an object stands: its document and the way to it inside.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    pub document: Document,
    pub prefix: Vec<Segment>,
}

impl Origin {
    pub fn place(&self) -> Place {
        match self.prefix.is_empty() {
            true => self.document.start(),
            false => self.document.locate(&self.prefix),
        }
    }

    pub fn locate(&self, path: &[Segment]) -> Place {
        let full: Vec<Segment> = self.prefix.iter().chain(path).cloned().collect();
        self.document.locate(&full)
    }
}

/// A text of which it is not known which objects it declares.
#[derive(Clone, Debug)]
pub struct Unreadable {
    /// The file.
    pub path: String,
    /// What could be read of it.
    text: Option<Arc<str>>,
}

impl Unreadable {
    /// A file of which nothing could be read.
    pub fn whole(path: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            text: None,
        }
    }

    /// A text, or the part of it that names what it declares.
    pub(super) fn text(path: &str, text: &str) -> Self {
        Self {
            path: path.to_owned(),
            text: Some(Arc::from(text)),
        }
    }

    /// Whether the text may declare an object of this name. Errs towards yes.
    pub fn may_declare(&self, name: &str) -> bool {
        self.text.as_ref().is_none_or(|text| {
            text.trim().is_empty()
                || text.contains(name)
                || text.contains("\\x")
                || text.contains("\\u")
                || text.contains("\\U")
                || text.contains("\\\n")
        })
    }
}

impl Parsed {
    /// The `apiVersion`s named, each once, sorted.
    pub fn api_versions(&self) -> Vec<&str> {
        let mut versions: Vec<&str> = self.raws.iter().map(|raw| raw.api_version.as_str()).collect();
        versions.sort_unstable();
        versions.dedup();
        versions
    }

    fn refuse(&mut self, document: &Document, place: Place, reason: impl Into<String>) {
        self.problems.push(Problem {
            place: Some(place),
            object: None,
            reason: reason.into(),
        });
        self.unreadable.push(Unreadable::text(&document.path, document.text()));
    }
}

/// Reads all files. Everything wrong is in the result; what is right is as well.
pub fn parse(files: &[File]) -> Parsed {
    let mut parsed = Parsed::default();
    for file in files {
        parse_file(file, &mut parsed);
    }
    parsed
}

fn parse_file(file: &File, parsed: &mut Parsed) {
    if file.contents.is_empty() {
        parsed.empty.push(file.path.clone());
        return;
    }
    let text = match std::str::from_utf8(&file.contents) {
        Ok(text) => text.strip_prefix('\u{feff}').unwrap_or(text),
        Err(error) => {
            parsed.problems.push(Problem {
                place: Some(Place::file(&file.path)),
                object: None,
                reason: format!("not UTF-8 text (byte {} is no character)", error.valid_up_to()),
            });
            parsed.unreadable.push(Unreadable::whole(&file.path));
            return;
        }
    };
    let (path, text): (Arc<str>, Arc<str>) = (Arc::from(file.path.as_str()), Arc::from(text));
    let documents = if file.path.ends_with(".json") {
        vec![Document {
            range: 0..text.len(),
            path,
            file: text,
            format: Format::Json,
        }]
    } else {
        split(&path, &text)
    };
    for document in documents {
        parse_document(document, parsed);
    }
}

fn parse_document(document: Document, parsed: &mut Parsed) {
    if document.text().len() > MAX_DOCUMENT_BYTES {
        let place = document.start();
        let reason = format!(
            "the document has {} bytes; an object may have {MAX_DOCUMENT_BYTES} at most",
            document.text().len()
        );
        parsed.refuse(&document, place, reason);
        return;
    }
    match value::parse(document.text(), document.format) {
        Ok(Value::Null) => {}
        Ok(value) => {
            let origin = Origin {
                document,
                prefix: Vec::new(),
            };
            collect(value, origin, 0, parsed);
        }
        Err(error) => {
            let place = error
                .offset
                .map_or_else(|| document.start(), |offset| document.place(offset));
            parsed.refuse(&document, place, error.reason);
        }
    }
}

/// Takes an object, or the items of a list, into `parsed`.
fn collect(value: Value, origin: Origin, depth: usize, parsed: &mut Parsed) {
    let Value::Object(mut fields) = value else {
        let place = origin.place();
        parsed.refuse(
            &origin.document,
            place,
            "not an object: a manifest is a mapping with apiVersion, kind and metadata",
        );
        return;
    };
    let kind = match text(&fields, "kind") {
        Ok(kind) => kind,
        Err(reason) => {
            let place = origin.locate(&[Segment::Key("kind".into())]);
            return parsed.refuse(&origin.document, place, reason);
        }
    };
    let api_version = match text(&fields, "apiVersion") {
        Ok(api_version) => api_version,
        Err(reason) => {
            let place = origin.locate(&[Segment::Key("apiVersion".into())]);
            return parsed.refuse(&origin.document, place, reason);
        }
    };
    if kind.ends_with("List") && fields.get("items").is_some_and(Value::is_array) {
        return flatten(&kind, &api_version, fields, origin, depth, parsed);
    }
    match identity(&fields) {
        Ok((namespace, name)) => {
            strip(&mut fields);
            parsed.raws.push(Raw {
                api_version,
                kind,
                namespace,
                name,
                value: Value::Object(fields),
                origin,
            });
        }
        Err((path, reason)) => {
            let path: Vec<Segment> = path.iter().map(|key| Segment::Key((*key).to_owned())).collect();
            let place = origin.locate(&path);
            parsed.refuse(&origin.document, place, format!("{kind}: {reason}"));
        }
    }
}

/// A list's items. Items of a typed list (`PodList`) may leave out what the list's own kind says.
fn flatten(
    kind: &str,
    api_version: &str,
    mut fields: Map<String, Value>,
    origin: Origin,
    depth: usize,
    parsed: &mut Parsed,
) {
    if depth >= MAX_LIST_DEPTH {
        let place = origin.place();
        return parsed.refuse(
            &origin.document,
            place,
            format!("lists lie more than {MAX_LIST_DEPTH} deep in lists"),
        );
    }
    let Some(Value::Array(items)) = fields.remove("items") else {
        return;
    };
    let item_kind = kind.strip_suffix("List").filter(|kind| !kind.is_empty());
    for (index, mut item) in items.into_iter().enumerate() {
        if let (Some(kind), Some(item)) = (item_kind, item.as_object_mut()) {
            item.entry("kind").or_insert_with(|| kind.into());
            item.entry("apiVersion").or_insert_with(|| api_version.into());
        }
        let mut prefix = origin.prefix.clone();
        prefix.extend([Segment::Key("items".into()), Segment::Index(index)]);
        let origin = Origin {
            document: origin.document.clone(),
            prefix,
        };
        collect(item, origin, depth + 1, parsed);
    }
}

fn text(fields: &Map<String, Value>, key: &str) -> Result<String, String> {
    match fields.get(key) {
        Some(Value::String(text)) if !text.is_empty() => Ok(text.clone()),
        None | Some(Value::Null) => Err(format!("{key} is missing")),
        Some(_) => Err(format!("{key} must be a text that is not empty")),
    }
}

type Misplaced = (&'static [&'static str], String);

/// Namespace and name.
fn identity(fields: &Map<String, Value>) -> Result<(Option<String>, String), Misplaced> {
    let metadata = match fields.get("metadata") {
        Some(Value::Object(metadata)) => metadata,
        None | Some(Value::Null) => return Err((&["metadata"], "metadata.name is missing".into())),
        Some(_) => return Err((&["metadata"], "metadata must be a mapping".into())),
    };
    let namespace = match metadata.get("namespace") {
        None | Some(Value::Null) => None,
        Some(Value::String(namespace)) if namespace.is_empty() => None,
        Some(Value::String(namespace)) => Some(namespace.clone()),
        Some(_) => return Err((&["metadata", "namespace"], "metadata.namespace must be a text".into())),
    };
    match metadata.get("name") {
        Some(Value::String(name)) if !name.is_empty() => Ok((namespace, name.clone())),
        None | Some(Value::Null) if metadata.contains_key("generateName") => Err((
            &["metadata", "generateName"],
            "metadata.generateName would make another object at every sync; give it a metadata.name".into(),
        )),
        None | Some(Value::Null) => Err((&["metadata"], "metadata.name is missing".into())),
        Some(_) => Err((
            &["metadata", "name"],
            "metadata.name must be a text that is not empty (quote it if it looks like a number)".into(),
        )),
    }
}

/// Removes what only the API server writes, as in the output of `kubectl get -o yaml`.
fn strip(fields: &mut Map<String, Value>) {
    fields.remove("status");
    if let Some(Value::Object(metadata)) = fields.get_mut("metadata") {
        for key in [
            "uid",
            "resourceVersion",
            "creationTimestamp",
            "generation",
            "managedFields",
            "selfLink",
            "deletionTimestamp",
        ] {
            metadata.remove(key);
        }
    }
}
