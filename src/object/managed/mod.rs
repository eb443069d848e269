//! Who owns which field: `metadata.managedFields`, server-side apply and its conflicts. Never validates objects.
//!
//! The model is that of Kubernetes' structured merge: types say which fields, map entries and list items have owners
//! of their own; a write takes what it changes, an apply takes what it names.

mod apply;
#[cfg(test)]
mod apply_properties;
#[cfg(test)]
mod apply_tests;
mod check;
mod entries;
mod fields;
#[cfg(test)]
mod golden_tests;
mod merge;
#[cfg(test)]
mod test_support;
#[cfg(test)]
mod track_tests;
mod typed;

use serde_json::{Value, json};

use self::entries::{Entries, Manager, Operation};
use self::fields::FieldSet;
use self::typed::Difference;
use super::Kind;
use super::schema::types::{Type, TypeRef};

/// Who writes, through which part of the API, and when.
#[derive(Clone, Copy, Debug)]
pub struct Writer<'a> {
    /// The field manager's name.
    pub manager: &'a str,
    /// `status` or empty.
    pub subresource: &'a str,
    /// RFC 3339, whole seconds, UTC.
    pub now: &'a str,
}

/// A field that another manager owns with another value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    /// Who owns it.
    pub manager: String,
    /// How it wrote it, e.g. `"kubectl" using apps/v1`; a Status cause says `conflict with ` and this.
    pub message: String,
    /// The field as Kubernetes writes it here, e.g. `.spec.containers[name="c"].image`.
    pub field: String,
}

/// Why an apply was refused.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ApplyError {
    /// Other managers own these fields (HTTP 409); force takes them over. Shown as Kubernetes words it.
    #[error("{}", apply::conflicts_text(.0))]
    Conflicts(Vec<Conflict>),
    /// The applied configuration is itself wrong (HTTP 400), e.g. carries managedFields or repeats a list key.
    #[error("{0}")]
    Malformed(String),
}

/// What ownership depends on, of a kind.
pub(crate) struct Ownership {
    of: &'static Type,
    api_version: String,
    has_status: bool,
}

impl Ownership {
    /// Of objects of that definition, e.g. `io.k8s.api.apps.v1.Deployment`.
    pub(crate) fn new(of: TypeRef, api_version: String, has_status: bool) -> Self {
        Self {
            of: of.get(),
            api_version,
            has_status,
        }
    }

    fn of_kind(kind: &Kind) -> Option<Self> {
        Some(Self::new(TypeRef::of_kind(kind)?, kind.api_version(), kind.status))
    }

    fn manager(&self, name: &str, operation: Operation, subresource: &str) -> Manager {
        Manager {
            name: name.into(),
            operation,
            api_version: self.api_version.clone(),
            subresource: subresource.into(),
        }
    }

    /// Takes out what a write of that part of the API never owns.
    fn strip(&self, set: &mut FieldSet, subresource: &str) {
        set.subtract(never_owned());
        match subresource {
            "status" => set.remove_tree("f:spec"),
            _ if self.has_status => set.remove_tree("f:status"),
            _ => {}
        }
    }

    fn compare(&self, old: &Value, new: &Value, subresource: &str) -> Difference {
        let mut difference = typed::compare(self.of, Some(old), Some(new));
        self.strip(&mut difference.changed, subresource);
        self.strip(&mut difference.removed, subresource);
        difference
    }
}

/// Records in `new.metadata.managedFields` what this create or update changed. For everything but apply, after
/// defaulting; `new` carries the managedFields that the client sent, if it did.
pub fn track_update(kind: &Kind, old: Option<&Value>, new: &mut Value, writer: Writer<'_>) {
    if let Some(ownership) = Ownership::of_kind(kind) {
        ownership.track(old, new, writer);
    }
}

/// Server-side apply: merges `applied` into `live`, removes what this manager owned and no longer applies,
/// and records ownership. The result is not yet defaulted or validated. `applied` is the client's body as it came.
///
/// # Errors
/// Conflicts unless `force`; a malformed configuration.
pub fn apply(
    kind: &Kind,
    live: Option<&Value>,
    applied: &Value,
    force: bool,
    writer: Writer<'_>,
) -> Result<Value, ApplyError> {
    let ownership = Ownership::of_kind(kind)
        .ok_or_else(|| ApplyError::Malformed(format!("{} has no schema to apply by", kind.kind)))?;
    ownership.apply(live, applied, force, writer)
}

impl Ownership {
    pub(crate) fn track(&self, old: Option<&Value>, new: &mut Value, writer: Writer<'_>) {
        let sent = take_managed_fields(new);
        let is_reset = writer.subresource.is_empty() && sent.as_ref().is_some_and(is_reset);
        let mut entries = match sent
            .filter(|_| writer.subresource.is_empty())
            .as_ref()
            .and_then(Entries::read)
        {
            _ if is_reset => Entries::default(),
            Some(sent) if !sent.0.is_empty() => sent,
            _ => Entries::of(old),
        };
        // Where nobody's fields are known, a later apply finds out; an update alone does not begin to track.
        if entries.0.is_empty() && old.is_some() {
            return;
        }
        let nothing = json!({});
        let Difference { changed, removed } = self.compare(old.unwrap_or(&nothing), new, writer.subresource);
        let mut gone = changed.clone();
        gone.unite(&removed);
        entries.take(&gone, |_| true);
        entries.add(
            self.manager(writer.manager, Operation::Update, writer.subresource),
            changed,
            writer.now,
        );
        entries.cap();
        put_managed_fields(new, entries);
    }
}

/// A client that sends one empty entry asks to forget all.
fn is_reset(sent: &Value) -> bool {
    sent.as_array()
        .is_some_and(|entries| matches!(&entries[..], [Value::Object(entry)] if entry.is_empty()))
}

fn take_managed_fields(object: &mut Value) -> Option<Value> {
    object.get_mut("metadata")?.as_object_mut()?.remove("managedFields")
}

fn put_managed_fields(object: &mut Value, entries: Entries) {
    if let (Some(encoded), Some(object)) = (entries.write(), object.as_object_mut())
        && let Some(metadata) = object.entry("metadata").or_insert_with(|| json!({})).as_object_mut()
    {
        metadata.insert("managedFields".into(), encoded);
    }
}

/// What says which object it is, or is the server's alone.
fn never_owned() -> &'static FieldSet {
    static SET: std::sync::OnceLock<FieldSet> = std::sync::OnceLock::new();
    SET.get_or_init(|| {
        let set = json!({
            "f:apiVersion": {}, "f:kind": {},
            "f:metadata": {
                ".": {}, "f:name": {}, "f:namespace": {}, "f:creationTimestamp": {}, "f:selfLink": {}, "f:uid": {},
                "f:clusterName": {}, "f:generation": {}, "f:managedFields": {}, "f:resourceVersion": {},
            },
        });
        FieldSet::from_json(&set).expect("the set above is well formed")
    })
}
