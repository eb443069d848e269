//! Server-side apply: conflicts, pruning, and the way over from client-side apply. Never defaults or validates.

use serde_json::{Map, Value, json};

use super::entries::{Entries, Entry, Manager, Operation};
use super::fields::FieldSet;
use super::merge::{merge, prune};
use super::typed::{Difference, compare, field_set};
use super::{ApplyError, Conflict, Ownership, Writer, check, put_managed_fields, take_managed_fields};

/// Who owns what was there before the first apply, where nobody was recorded.
const BEFORE_FIRST_APPLY: &str = "before-first-apply";

/// kubectl's name for itself when it applies; it alone takes over from its own client-side apply.
const KUBECTL: &str = "kubectl";

/// Where client-side apply keeps what it applied.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// All annotations of an object together may have this many bytes; a longer last-applied one is left as it is.
const MAX_ANNOTATION_BYTES: usize = 256 << 10;

impl Ownership {
    /// See [`super::apply`].
    pub(crate) fn apply(
        &self,
        live: Option<&Value>,
        applied: &Value,
        force: bool,
        writer: Writer<'_>,
    ) -> Result<Value, ApplyError> {
        self.check(applied)?;
        let applied = self.own_part(applied, writer.subresource);
        let mut object = live.cloned().unwrap_or_else(|| json!({}));
        take_managed_fields(&mut object);
        let mut entries = Entries::of(live);
        if entries.0.is_empty() {
            let Difference { changed, .. } = self.compare(&json!({}), &object, writer.subresource);
            let before = self.manager(BEFORE_FIRST_APPLY, Operation::Update, writer.subresource);
            entries.add(before, changed, writer.now);
        }
        let attempt = Attempt {
            ownership: self,
            object: &object,
            entries,
            applied: &applied,
            writer,
        };
        let mut outcome = match attempt.run(force) {
            Err(conflicts) if writer.manager == KUBECTL => attempt.over_client_side(conflicts),
            other => other,
        }
        .map_err(ApplyError::Conflicts)?;
        let is_unchanged = outcome.object == object && live.is_some() && outcome.entries == Entries::of(live);
        if let Some(live) = live.filter(|_| is_unchanged) {
            return Ok(live.clone());
        }
        if writer.manager == KUBECTL {
            refresh_last_applied(&mut outcome.object, &applied);
        }
        put_managed_fields(&mut outcome.object, outcome.entries);
        Ok(outcome.object)
    }

    fn check(&self, applied: &Value) -> Result<(), ApplyError> {
        let malformed = |text: String| Err(ApplyError::Malformed(text));
        if !applied.is_object() {
            return malformed(format!("an applied configuration must be a map, not {applied:.40}"));
        }
        if applied
            .pointer("/metadata/managedFields")
            .is_some_and(|fields| !super::typed::is_blank(fields))
        {
            return malformed("metadata.managedFields must be nil".into());
        }
        let text = |path: &str| applied.pointer(path).and_then(Value::as_str).unwrap_or_default();
        if text("/apiVersion") != self.api_version {
            return malformed(format!(
                "Incorrect version specified in apply patch. Specified patch version: {}, expected: {}",
                text("/apiVersion"),
                self.api_version
            ));
        }
        let errors = check::check(self.of, applied);
        let id = || {
            format!(
                "{}/{}; {}, Kind={}",
                text("/metadata/namespace"),
                text("/metadata/name"),
                self.api_version,
                text("/kind")
            )
        };
        match &errors[..] {
            [] => Ok(()),
            [error] => malformed(format!("failed to create typed patch object ({}): {error}", id())),
            errors => malformed(format!(
                "failed to create typed patch object ({}): errors:\n  {}",
                id(),
                errors.join("\n  ")
            )),
        }
    }

    /// The configuration without what this part of the API cannot write.
    fn own_part(&self, applied: &Value, subresource: &str) -> Value {
        let mut own = applied.clone();
        if let Some(fields) = own.as_object_mut() {
            match subresource {
                "status" => fields.remove("spec"),
                _ if self.has_status => fields.remove("status"),
                _ => None,
            };
        }
        take_managed_fields(&mut own);
        own
    }
}

/// An apply that may be tried with and without force.
struct Attempt<'a> {
    ownership: &'a Ownership,
    /// What is there, without managedFields.
    object: &'a Value,
    entries: Entries,
    applied: &'a Value,
    writer: Writer<'a>,
}

struct Outcome {
    object: Value,
    entries: Entries,
}

impl Attempt<'_> {
    fn run(&self, force: bool) -> Result<Outcome, Vec<Conflict>> {
        let Self {
            ownership,
            object,
            writer,
            ..
        } = self;
        let me = ownership.manager(writer.manager, Operation::Apply, writer.subresource);
        let mut set = field_set(ownership.of, self.applied);
        ownership.strip(&mut set, writer.subresource);
        let last = self.entries.find(&me);
        let mut merged = merge(ownership.of, object, self.applied);
        if let Some(last) = last {
            self.drop_unapplied(&mut merged, &me, &set, &last.fields);
        }
        let Difference { changed, removed } = ownership.compare(object, &merged, writer.subresource);
        let conflicts = if force {
            Vec::new()
        } else {
            self.conflicts(&me, &changed)
        };
        if !conflicts.is_empty() {
            return Err(conflicts);
        }
        let is_same = last.map_or(set.is_empty(), |last| last.fields == set && last.manager == me);
        let mut entries = self.entries.clone();
        entries.take(&changed, |manager| !manager.is(&me));
        entries.take(&removed, |manager| !manager.is(&me));
        if merged != **object || !is_same {
            entries.0.retain(|entry| !entry.manager.is(&me));
            // An object never applied with anything else than its name has no owner to record.
            entries.add(me, set, writer.now);
        }
        Ok(Outcome {
            object: merged,
            entries,
        })
    }

    fn drop_unapplied(&self, merged: &mut Value, me: &Manager, set: &FieldSet, last: &FieldSet) {
        let mut dropped = last.clone();
        dropped.subtract(set);
        if dropped.is_empty() {
            return;
        }
        let others = self
            .entries
            .0
            .iter()
            .filter(|entry| !entry.manager.is(me))
            .map(|entry| &entry.fields);
        let kept: Vec<&FieldSet> = others.chain([set]).collect();
        prune(self.ownership.of, merged, last, &kept);
    }

    /// What others own of `changed`.
    fn conflicts(&self, me: &Manager, changed: &FieldSet) -> Vec<Conflict> {
        let mut others: Vec<&Entry> = self.entries.0.iter().filter(|entry| !entry.manager.is(me)).collect();
        others.sort_by(|a, b| a.manager.cmp(&b.manager));
        others
            .into_iter()
            .flat_map(|Entry { manager, fields, .. }| {
                fields.intersection(changed).paths().into_iter().map(|field| Conflict {
                    manager: manager.name.clone(),
                    message: manager.describe(),
                    field,
                })
            })
            .collect()
    }

    /// Conflicts over fields that client-side apply last set, and nobody changed since, are no conflicts.
    fn over_client_side(&self, conflicts: Vec<Conflict>) -> Result<Outcome, Vec<Conflict>> {
        let Some(allowed) = self.last_applied_fields() else {
            return Err(conflicts);
        };
        let allowed = allowed.paths();
        let left: Vec<Conflict> = conflicts
            .into_iter()
            .filter(|conflict| !allowed.contains(&conflict.field))
            .collect();
        if left.is_empty() { self.run(true) } else { Err(left) }
    }

    /// The fields that client-side apply last set and that are as it set them.
    fn last_applied_fields(&self) -> Option<FieldSet> {
        let text = last_applied(self.object)?;
        let config: Value = serde_json::from_str(text).ok()?;
        if config.get("apiVersion").and_then(Value::as_str) != Some(&self.ownership.api_version) {
            return None;
        }
        let of = self.ownership.of;
        let mut fields = field_set(of, &config);
        let Difference { changed, removed } = compare(of, Some(&config), Some(self.object));
        fields.subtract(&changed);
        fields.subtract(&removed);
        Some(fields)
    }
}

fn last_applied(object: &Value) -> Option<&str> {
    object
        .get("metadata")?
        .get("annotations")?
        .get(LAST_APPLIED)?
        .as_str()
        .filter(|text| !text.is_empty())
}

/// Keeps client-side apply's annotation true, so that a person may go back to it.
fn refresh_last_applied(object: &mut Value, applied: &Value) {
    if last_applied(object).is_none() {
        return;
    }
    let mut config = applied.clone();
    if let Some(annotations) = config
        .pointer_mut("/metadata/annotations")
        .and_then(Value::as_object_mut)
    {
        annotations.remove(LAST_APPLIED);
    }
    let text = format!("{config}\n");
    let Some(annotations) = object
        .pointer_mut("/metadata/annotations")
        .and_then(Value::as_object_mut)
    else {
        return;
    };
    if text.len() + other_bytes(annotations) <= MAX_ANNOTATION_BYTES {
        annotations.insert(LAST_APPLIED.into(), text.into());
    }
}

fn other_bytes(annotations: &Map<String, Value>) -> usize {
    let others = annotations.iter().filter(|(key, _)| *key != LAST_APPLIED);
    others
        .map(|(key, value)| key.len() + value.as_str().map_or(0, str::len))
        .sum()
}

/// The whole refusal as Kubernetes words it.
pub(super) fn conflicts_text(conflicts: &[Conflict]) -> String {
    if let [Conflict { message, field, .. }] = conflicts {
        return format!("Apply failed with 1 conflict: conflict with {message}: {field}");
    }
    let mut lines = Vec::new();
    let mut last = None;
    for Conflict { message, field, .. } in conflicts {
        if last != Some(message) {
            lines.push(format!("conflicts with {message}:"));
            last = Some(message);
        }
        lines.push(format!("- {field}"));
    }
    format!("Apply failed with {} conflicts: {}", conflicts.len(), lines.join("\n"))
}
