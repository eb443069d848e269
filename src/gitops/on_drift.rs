//! What becomes of an object that another hand changed: repaired, or only told. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::fieldset;
use super::health::is_going;
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

/// A manifest, known again by what is recorded of it where everybody reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mark {
    /// A hash of all of it. Of a Secret it is never recorded as it is, for its values could be guessed at.
    manifest: String,
    is_secret: bool,
}

/// The objects whose drift is only told, each with the mark of its manifest. Taken before anything of the manifests is
/// left to others.
pub fn marks(manifests: &Manifests, by_default: OnDrift) -> BTreeMap<ObjectKey, Mark> {
    let policy = |manifest: &Value| of(manifest).ok().flatten().unwrap_or(by_default);
    let reported = manifests.objects.values();
    let reported = reported.filter(|intended| policy(&intended.value) == OnDrift::Report);
    reported
        .map(|intended| (intended.key.clone(), Mark::of(&intended.key, &intended.value)))
        .collect()
}

impl Mark {
    fn of(key: &ObjectKey, manifest: &Value) -> Self {
        Self {
            manifest: hash(&[&key.to_string(), &manifest.to_string()]),
            is_secret: key.kind == "Secret" && key.group.is_empty(),
        }
    }

    /// What is recorded once the manifest was applied to this object. A Secret's uid is known to those who may read it.
    fn recorded(&self, live: Option<&Value>) -> Option<String> {
        if !self.is_secret {
            return Some(self.manifest.clone());
        }
        let uid = live.filter(|live| !is_going(live))?["metadata"]["uid"].as_str()?;
        Some(hash(&[&self.manifest, uid]))
    }

    /// Whether the manifest was applied as it is: to this object, or, where there is none any more, to the last. What was
    /// applied to a Secret is known only with it: of one that went or goes, nobody can tell whether the manifest changed.
    pub fn is_applied(&self, recorded: &BTreeSet<String>, live: Option<&Value>) -> bool {
        self.recorded(live).is_some_and(|mark| recorded.contains(&mark))
    }
}

fn hash(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part);
        hash.update([0]);
    }
    hex::encode(&hash.finalize()[..8])
}

/// What is to be recorded of the manifests that were applied as they are: now, by what was written, or before.
pub fn applied(
    marks: &BTreeMap<ObjectKey, Mark>,
    recorded: &BTreeSet<String>,
    steps: &[Step],
    written: &BTreeMap<&ObjectKey, &Value>,
) -> BTreeSet<String> {
    let steps: BTreeMap<&ObjectKey, &Step> = steps.iter().map(|step| (&step.key, step)).collect();
    let mut all = BTreeSet::new();
    for (key, mark) in marks {
        let step = steps.get(key);
        let live = step.and_then(|step| step.live.as_deref());
        let is_as_intended = step.is_some_and(|step| step.action == Action::Unchanged);
        let (is_applied, live) = match written.get(key) {
            Some(object) => (true, Some(*object)),
            None => (is_as_intended || mark.is_applied(recorded, live), live),
        };
        all.extend(mark.recorded(live).filter(|_| is_applied));
    }
    all
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
    if is_going(live) {
        return "told to go by another hand".to_owned();
    }
    match &step.cause {
        Cause::Drift { manager: Some(manager) } => format!("changed by {manager}"),
        _ => "changed by another hand".to_owned(),
    }
}

/// The cause of whatever differs from a manifest that was applied.
pub fn cause(live: Option<&Value>) -> Cause {
    Cause::Drift {
        manager: live.and_then(|live| fieldset::other_managers(live).into_iter().next()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

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
        let live = |uid: &str| json!({"metadata": {"uid": uid}});
        let going = json!({"metadata": {"uid": "1", "deletionTimestamp": "2026-11-28T00:00:00Z"}});
        let of = |kind: &str, value: &str| Mark::of(&key(kind), &json!({"data": {"key": value}}));
        let applied = |mark: &Mark| -> BTreeSet<String> { mark.recorded(Some(&live("1"))).into_iter().collect() };
        for kind in ["ConfigMap", "Secret"] {
            let mark = of(kind, "YQ==");
            let recorded = applied(&mark);
            let is_open = kind == "ConfigMap";
            assert_eq!(recorded.contains(&mark.manifest), is_open, "{kind}");
            for (name, value, live, expected) in [
                ("the same", "YQ==", Some(live("1")), true),
                ("another value", "Yg==", Some(live("1")), false),
                // What was known of a Secret goes with it.
                ("it goes", "YQ==", Some(going.clone()), is_open),
                ("it is gone", "YQ==", None, is_open),
                ("another, and it is gone", "Yg==", None, false),
                // Whoever made a Secret again made it otherwise.
                ("made again", "YQ==", Some(live("2")), is_open),
            ] {
                let is_applied = of(kind, value).is_applied(&recorded, live.as_ref());
                assert_eq!(is_applied, expected, "{kind} {name}");
            }
        }
        assert_ne!(applied(&of("ConfigMap", "a")), applied(&of("Pod", "a")));
    }
}
