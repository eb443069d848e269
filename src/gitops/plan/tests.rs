//! What the plan decides, on made-up worlds.

use super::*;
use crate::gitops::kinds::Kinds;
use crate::gitops::manifests::{parse, resolve};
use crate::gitops::predict::Refusal;
use crate::gitops::source::File;

/// A world under construction.
struct Fixture {
    files: Vec<File>,
    owned: Vec<Value>,
    unowned: Vec<Value>,
    predictions: Vec<(&'static str, Prediction)>,
    members: Vec<(&'static str, &'static str, &'static str)>,
    occupied: BTreeMap<String, String>,
    no_prune: Option<String>,
    budget: Budget,
    base: Option<usize>,
    approved: Option<&'static str>,
}

fn world() -> Fixture {
    Fixture {
        files: vec![manifest("keep.yaml", "ConfigMap", "anchor")],
        owned: Vec::new(),
        unowned: Vec::new(),
        predictions: vec![("ConfigMap default/anchor", Prediction::Same)],
        members: Vec::new(),
        occupied: BTreeMap::new(),
        no_prune: None,
        budget: Budget::default(),
        base: None,
        approved: None,
    }
}

fn manifest(path: &str, kind: &str, name: &str) -> File {
    let text = format!("apiVersion: v1\nkind: {kind}\nmetadata:\n  name: {name}\n");
    File::new(path, text.as_bytes())
}

fn object(kind: &str, namespace: Option<&str>, name: &str) -> Value {
    let mut object = json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "uid": name, "labels": {PART_OF: ApplySet::of("test").id}}});
    if let Some(namespace) = namespace {
        object["metadata"]["namespace"] = json!(namespace);
    }
    object
}

fn key(object: &Value) -> ObjectKey {
    ObjectKey {
        group: String::new(),
        kind: object["kind"].as_str().expect("a kind").into(),
        namespace: object["metadata"]["namespace"].as_str().map(str::to_owned),
        name: object["metadata"]["name"].as_str().expect("a name").into(),
    }
}

impl Fixture {
    fn plan(self) -> Plan {
        let kinds = Kinds::for_tests();
        let manifests = resolve(parse(&self.files), &kinds);
        let mut members = Members::default();
        for (kind, name, file) in self.members {
            let namespaced = kind != "Namespace";
            members.insert("v1", &key(&object(kind, namespaced.then_some("default"), name)), file);
        }
        let owned: BTreeMap<ObjectKey, Owned> = self
            .owned
            .into_iter()
            .map(|value| {
                let resource = kinds
                    .find("v1", value["kind"].as_str().expect("a kind"))
                    .expect("served")
                    .clone();
                let (key, value) = (key(&value), Arc::new(value));
                (key, Owned { value, resource })
            })
            .collect();
        let mut live: BTreeMap<ObjectKey, Arc<Value>> = owned
            .iter()
            .map(|(key, owned)| (key.clone(), owned.value.clone()))
            .collect();
        live.extend(self.unowned.into_iter().map(|value| (key(&value), Arc::new(value))));
        let predictions = manifests
            .objects
            .keys()
            .filter_map(|key| {
                let found = self.predictions.iter().find(|(name, _)| *name == key.to_string())?;
                Some((key.clone(), found.1.clone()))
            })
            .collect();
        plan(&World {
            manifests: &manifests,
            set: &ApplySet::of("test"),
            owned: &owned,
            live: &live,
            predictions: &predictions,
            settled: &|intended| intended.key.name == "drifted",
            paused: &|_| None,
            left: &|key, _| key.name == "left",
            members: &members,
            others: &Others::default(),
            occupied: &self.occupied,
            no_prune: self.no_prune,
            budget: self.budget,
            base: self.base,
            approved: self.approved,
        })
    }
}

fn steps(plan: &Plan) -> Vec<String> {
    plan.steps
        .iter()
        .map(|step| {
            let mut text = format!("{:?} {}", step.action, step.key).to_lowercase();
            if let Cause::Drift { manager } = &step.cause {
                text += &format!(" drift {}", manager.as_deref().unwrap_or("?"));
            }
            for reason in &step.reasons {
                text += &format!(" ({reason})");
            }
            text
        })
        .collect()
}

#[test]
fn stages_go_up_and_deletes_go_down() {
    let mut world = world();
    world.files = vec![
        manifest("a", "Pod", "p"),
        manifest("b", "Namespace", "n"),
        manifest("c", "Secret", "s"),
    ];
    for name in ["Pod default/p", "Namespace n", "Secret default/s"] {
        world.predictions.push((name, Prediction::Absent(None)));
    }
    world.owned = vec![
        object("Namespace", None, "old"),
        object("Pod", Some("old"), "x"),
        object("ConfigMap", Some("old"), "c"),
    ];
    assert_eq!(
        steps(&world.plan()),
        [
            "create namespace n",
            "create secret default/s",
            "create pod default/p",
            "delete pod old/x",
            "delete configmap old/c",
            "delete namespace old",
        ]
    );
}

#[test]
fn drift_that_is_only_told_is_left_whatever_became_of_the_object() {
    let mut changed = object("ConfigMap", Some("default"), "left");
    changed["metadata"]["managedFields"] =
        json!([{"manager": "kubectl-edit", "operation": "Update", "time": "2026-01-01T00:00:00Z"}]);
    let left = "(another hand changed it and it is left so, until its manifest changes or `reconcile sync`)";
    for (name, live, prediction, expected) in [
        (
            "changed",
            Some(changed.clone()),
            Prediction::Changed(changed.clone()),
            format!("drifted configmap default/left drift kubectl-edit {left}"),
        ),
        (
            "in what cannot change",
            Some(changed),
            Prediction::Replace(None, "immutable".into()),
            format!("drifted configmap default/left drift kubectl-edit {left}"),
        ),
        (
            "deleted",
            None,
            Prediction::Absent(None),
            format!("drifted configmap default/left drift ? {left}"),
        ),
        (
            "as intended",
            Some(object("ConfigMap", Some("default"), "left")),
            Prediction::Same,
            "unchanged configmap default/left".to_owned(),
        ),
    ] {
        let mut world = world();
        world.files = vec![manifest("a.yaml", "ConfigMap", "left")];
        world.owned.extend(live);
        world.predictions.push(("ConfigMap default/left", prediction));
        let plan = world.plan();
        assert_eq!(steps(&plan), [expected], "{name}");
        assert!(plan.is_done(), "{name}");
    }
}

#[test]
fn an_empty_source_deletes_nothing() {
    for (name, files) in [
        ("no files", vec![]),
        ("only comments", vec![File::new("a.yaml", b"# nothing\n---\n")]),
        ("an empty file", vec![File::new("a.yaml", b"")]),
    ] {
        let mut world = world();
        world.files = files;
        world.owned = vec![object("Pod", Some("default"), "p")];
        let plan = world.plan();
        assert_eq!(plan.counts().delete, 0, "{name}");
        assert_eq!(
            steps(&plan),
            ["keep pod default/p (the source holds no object at all, so nothing is deleted)"],
            "{name}"
        );
    }
}

#[test]
fn what_cannot_be_read_deletes_nothing() {
    for (name, path, text, member_file, kept) in [
        ("its own file broken", "p.yaml", "kind: [", "p.yaml", true),
        ("moved into a broken file", "new.yaml", "kind: [ # p-1", "p.yaml", true),
        ("another file broken", "other.yaml", "kind: [", "p.yaml", false),
        ("its file emptied", "p.yaml", "", "p.yaml", true),
        (
            "its kind misspelt",
            "p.yaml",
            "apiVersion: v1\nkind: Pud\nmetadata: {name: p-1}",
            "p.yaml",
            true,
        ),
        (
            "its version misspelt",
            "p.yaml",
            "apiVersion: v11\nkind: Pod\nmetadata: {name: p-1}",
            "old.yaml",
            true,
        ),
        (
            "its name lost",
            "p.yaml",
            "apiVersion: v1\nkind: Pod\nmetadata: {}",
            "p.yaml",
            true,
        ),
    ] {
        let mut world = world();
        world.files.push(File::new(path, text.as_bytes()));
        world.owned = vec![object("Pod", Some("default"), "p-1")];
        world.members = vec![("Pod", "p-1", member_file)];
        let plan = world.plan();
        assert_eq!(plan.counts().delete, usize::from(!kept), "{name}: {:?}", steps(&plan));
        assert_eq!(plan.counts().keep, usize::from(kept), "{name}");
    }
}

#[test]
fn an_object_declared_twice_stays_as_it_is() {
    let mut world = world();
    world
        .files
        .extend([manifest("a", "Pod", "p"), manifest("b", "Pod", "p")]);
    world.owned = vec![object("Pod", Some("default"), "p")];
    world.predictions.push(("Pod default/p", Prediction::Absent(None)));
    let plan = world.plan();
    assert_eq!(plan.counts().changes(), 0);
    assert_eq!(plan.counts().keep, 1);
}

#[test]
fn protected_and_unprunable_objects_stay() {
    let mut protected = object("Pod", Some("default"), "p");
    protected["metadata"]["annotations"] = json!({PRUNE: "disabled"});
    let mut first = world();
    first.owned = vec![protected];
    assert_eq!(
        steps(&first.plan()),
        [
            "unchanged configmap default/anchor",
            "keep pod default/p (its annotation reconcile.dev/prune says disabled)"
        ]
    );
    let mut second = world();
    second.owned = vec![object("Pod", Some("default"), "p")];
    second.no_prune = Some("because".into());
    assert_eq!(steps(&second.plan())[1], "keep pod default/p (because)");
}

#[test]
fn a_namespace_goes_only_when_all_in_it_goes() {
    let namespace = || object("Namespace", None, "default");
    let cases: [(&str, Fixture, &str); 3] = [
        (
            "intended inside",
            world(),
            "keep namespace default (ConfigMap default/anchor of the source lies in it)",
        ),
        (
            "a stranger's inside",
            Fixture {
                files: vec![manifest("n.yaml", "Namespace", "n")],
                occupied: BTreeMap::from([("default".to_owned(), "Pod default/x".to_owned())]),
                ..world()
            },
            "keep namespace default (Pod default/x, which is not of this source, lies in it)",
        ),
        (
            "ours and leaving inside",
            Fixture {
                files: vec![manifest("n.yaml", "Namespace", "n")],
                ..world()
            },
            "delete namespace default",
        ),
    ];
    for (name, mut world, expected) in cases {
        world.owned = vec![namespace(), object("Pod", Some("default"), "gone")];
        assert!(steps(&world.plan()).contains(&expected.to_owned()), "{name}");
    }
}

#[test]
fn objects_being_deleted_are_left_to_it() {
    let mut going = object("Pod", Some("default"), "p");
    going["metadata"]["deletionTimestamp"] = json!("2024-01-01T00:00:00Z");
    let mut world = world();
    world.owned = vec![going];
    assert_eq!(steps(&world.plan()), ["unchanged configmap default/anchor"]);
}

#[test]
fn refusals_are_problems_with_their_place() {
    let mut world = world();
    world.files.push(manifest("p.yaml", "Pod", "p"));
    let refusal = |field: &str, message: &str| Refusal {
        field: Some(field.into()),
        message: message.into(),
    };
    world.predictions.push((
        "Pod default/p",
        Prediction::Refused(vec![
            refusal("metadata.name", "too short"),
            refusal("spec.containers", "Required value"),
        ]),
    ));
    world.owned = vec![object("Pod", Some("default"), "p")];
    let plan = world.plan();
    let problems: Vec<String> = plan.problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        problems,
        [
            "p.yaml:1:1: Pod default/p: Required value",
            "p.yaml:4:3: Pod default/p: too short"
        ]
    );
    assert_eq!(plan.counts().changes(), 0, "a refused object stays as it is");
}

#[test]
fn drift_and_adoption_are_told() {
    let mut world = world();
    world.files = vec![
        manifest("a", "ConfigMap", "drifted"),
        manifest("b", "ConfigMap", "found"),
        manifest("c", "ConfigMap", "same"),
    ];
    let mut drifted = object("ConfigMap", Some("default"), "drifted");
    drifted["metadata"]["managedFields"] = json!([{"manager": "kubectl-edit", "operation": "Update", "time": "2024-01-02T00:00:00Z", "fieldsV1": {"f:data": {}}}]);
    let mut found = object("ConfigMap", Some("default"), "found");
    found["metadata"]["labels"] = json!({});
    world.owned = vec![drifted.clone(), object("ConfigMap", Some("default"), "same")];
    world.unowned = vec![found.clone()];
    world.predictions = vec![
        (
            "ConfigMap default/drifted",
            Prediction::Changed(object("ConfigMap", Some("default"), "drifted")),
        ),
        ("ConfigMap default/found", Prediction::Changed(found)),
        ("ConfigMap default/same", Prediction::Same),
    ];
    assert_eq!(
        steps(&world.plan()),
        [
            "update configmap default/drifted drift kubectl-edit (fields are taken over from kubectl-edit)",
            "update configmap default/found (it exists and is taken over by this source)",
            "unchanged configmap default/same",
        ]
    );
}
