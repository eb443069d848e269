//! What becomes of an object that another hand changed: repaired, or only told. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::fieldset;
use super::manifests::Manifests;
use super::plan::Step;
use super::report::{Action, Cause, ObjectKey};

/// The annotation that says so for one object, whatever its source says.
pub const DRIFT: &str = "reconcile.dev/drift";

/// How many drifted objects are recorded; the parent object must not outgrow what a store takes.
pub const RECORDED: usize = 50;

/// What is done about a change by another hand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnDrift {
    /// It is undone at once.
    #[default]
    Repair,
    /// It is told and left, until the object's manifest changes or somebody asks for a sync.
    Report,
}

impl FromStr for OnDrift {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "repair" => Ok(Self::Repair),
            "report" => Ok(Self::Report),
            _ => Err(format!("{text:?} is not known: write repair or report")),
        }
    }
}

/// What an object's annotation says, where it has one; or what is wrong with that.
pub fn of(object: &Value) -> Result<Option<OnDrift>, String> {
    match &object["metadata"]["annotations"][DRIFT] {
        Value::Null => Ok(None),
        Value::String(text) => {
            let wrong = |reason| format!("the annotation {DRIFT}: {reason}");
            text.trim().parse().map(Some).map_err(wrong)
        }
        other => Err(format!("the annotation {DRIFT} must be a text, and is {other}")),
    }
}

/// The objects whose drift is only told, each with a mark of its manifest: another manifest, another mark. Taken before
/// anything of the manifests is left to others.
pub fn marks(manifests: &Manifests, by_default: OnDrift) -> BTreeMap<ObjectKey, String> {
    let policy = |manifest: &Value| of(manifest).ok().flatten().unwrap_or(by_default);
    let reported = manifests.objects.values();
    let reported = reported.filter(|intended| policy(&intended.value) == OnDrift::Report);
    reported
        .map(|intended| (intended.key.clone(), mark(&intended.key, &intended.value)))
        .collect()
}

/// A mark that may be recorded where everybody reads: of a Secret's values it knows the lengths only, for a hash of them
/// could be guessed at. One of another value of the same length is applied nevertheless where the Secret is as it was.
fn mark(key: &ObjectKey, manifest: &Value) -> String {
    let mut manifest = manifest.clone();
    if key.kind == "Secret" && key.group.is_empty() {
        for value in manifest["data"]
            .as_object_mut()
            .into_iter()
            .flat_map(|data| data.values_mut())
        {
            *value = json!(value.as_str().map(str::len));
        }
    }
    let mut hash = Sha256::new();
    hash.update(key.to_string());
    hash.update([0]);
    hash.update(manifest.to_string());
    hex::encode(&hash.finalize()[..8])
}

/// The marks that are to be recorded: of manifests that were applied as they are, now or before.
pub fn applied<'a>(
    marks: &'a BTreeMap<ObjectKey, String>,
    known: &'a BTreeSet<String>,
    steps: &'a [Step],
    written: &'a BTreeSet<&ObjectKey>,
) -> impl Iterator<Item = String> + 'a {
    let as_intended: BTreeSet<&ObjectKey> = steps
        .iter()
        .filter(|step| step.action == Action::Unchanged)
        .map(|step| &step.key)
        .collect();
    let is_applied = move |(key, mark): &(&ObjectKey, &String)| {
        known.contains(*mark) || as_intended.contains(key) || written.contains(key)
    };
    marks.iter().filter(is_applied).map(|(_, mark)| mark.clone())
}

/// An object that is not as its manifest says, and is left so.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Drifted {
    /// Which.
    pub object: ObjectKey,
    /// What became of it, and by whose hand: `changed by kubectl-edit`.
    pub what: String,
}

impl fmt::Display for Drifted {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} was {}", self.object, self.what)
    }
}

/// What drifted, of a plan.
pub fn drifted(steps: &[Step]) -> Vec<Drifted> {
    let left = steps.iter().filter(|step| step.action == Action::Drifted);
    left.map(|step| Drifted {
        object: step.key.clone(),
        what: what(step),
    })
    .collect()
}

fn what(step: &Step) -> String {
    let Some(live) = &step.live else {
        return "deleted by another hand".to_owned();
    };
    if super::health::is_going(live) {
        return "told to go by another hand".to_owned();
    }
    match &step.cause {
        Cause::Drift { manager: Some(manager) } => format!("changed by {manager}"),
        _ => "changed by another hand".to_owned(),
    }
}

/// Whether a Secret differs in what is still as we applied it: then it is the manifest that changed, though its mark
/// does not tell.
pub fn is_news(live: &Value, predicted: &Value) -> bool {
    let ours = fieldset::applied_by(live, fieldset::MANAGER);
    live["kind"] == "Secret"
        && ours.is_some_and(|ours| fieldset::restrict(live, &ours) != fieldset::restrict(predicted, &ours))
}

/// The cause of whatever differs from a manifest that was applied.
pub fn cause(live: Option<&Value>) -> Cause {
    Cause::Drift {
        manager: live.and_then(|live| fieldset::other_managers(live).into_iter().next()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(kind: &str) -> ObjectKey {
        ObjectKey {
            group: String::new(),
            kind: kind.into(),
            namespace: Some("default".into()),
            name: "a".into(),
        }
    }

    #[test]
    fn annotations_say_repair_or_report() {
        for (text, expected) in [
            (json!(null), Ok(None)),
            (json!("report"), Ok(Some(OnDrift::Report))),
            (json!(" repair "), Ok(Some(OnDrift::Repair))),
            (json!("Report"), Err(())),
            (json!(""), Err(())),
            (json!(true), Err(())),
        ] {
            let object = json!({"metadata": {"annotations": {DRIFT: text}}});
            assert_eq!(of(&object).map_err(drop), expected, "{text}");
        }
    }

    #[test]
    fn a_mark_is_another_for_another_manifest_or_object_and_tells_nothing_of_secrets() {
        let manifest = |value: &str| json!({"data": {"key": value}});
        let of = |kind: &str, value: &str| mark(&key(kind), &manifest(value));
        assert_eq!(of("ConfigMap", "a"), of("ConfigMap", "a"));
        assert_ne!(of("ConfigMap", "a"), of("ConfigMap", "b"));
        assert_ne!(of("ConfigMap", "a"), of("Pod", "a"));
        assert_eq!(of("Secret", "YQ=="), of("Secret", "Yg=="));
        assert_ne!(of("Secret", "YQ=="), of("Secret", "YWFhYWE="));
    }
}
