//! Claims and volumes of a source: what holds data is never deleted to be made again.

use reconcile::gitops;
use serde_json::{Value, json};

use super::harness::{World, actions, problems};

fn claim(class: &str) -> String {
    json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": class,
            "resources": {"requests": {"storage": "1Gi"}}},
    })
    .to_string()
}

fn volume(path: &str) -> String {
    json!({
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "disk"},
        "spec": {"accessModes": ["ReadWriteOnce"], "storageClassName": "a", "capacity": {"storage": "1Gi"},
            "hostPath": {"path": path}},
    })
    .to_string()
}

/// Makes an object, lets another hand bind it where asked to, and then changes in its manifest what never changes.
async fn changed(kind: &str, name: &str, manifests: [String; 2], binding: Option<Value>) -> World {
    let world = World::new().await;
    let [before, after] = manifests;
    world.write("it.yaml", &before);
    // Nobody here makes a volume available, so that a sync may find it not healthy.
    world.sync().await;
    assert!(world.get(kind, name).await.is_some(), "{kind} is made");
    if let Some(binding) = binding {
        world.merge(kind, name, binding).await;
    }
    world.write("it.yaml", &after);
    world
}

#[tokio::test]
async fn what_holds_data_is_refused_instead_of_replaced() {
    let of_claim = json!({"spec": {"volumeName": "disk"}});
    let of_volume =
        json!({"spec": {"claimRef": {"kind": "PersistentVolumeClaim", "namespace": "default", "name": "data"}}});
    for (kind, name, manifests, binding, said) in [
        (
            "PersistentVolumeClaim",
            "data",
            [claim("a"), claim("b")],
            of_claim,
            "is not replaced, for it has a volume with data; delete it by hand to have it made again",
        ),
        (
            "PersistentVolume",
            "disk",
            [volume("/a"), volume("/b")],
            of_volume,
            "is not replaced, for a claim has its data there; delete it by hand to have it made again",
        ),
    ] {
        let world = changed(kind, name, manifests, Some(binding)).await;
        let told = problems(&world.sync().await.problems);
        assert!(told.iter().any(|problem| problem.contains(said)), "{kind}: {told:?}");
        let live = world.get(kind, name).await.expect("it is there");
        assert_eq!(live["metadata"]["deletionTimestamp"], Value::Null, "{kind}");
    }
}

#[tokio::test]
async fn what_holds_none_yet_is_replaced() {
    for (kind, name, manifests) in [
        ("PersistentVolumeClaim", "data", [claim("a"), claim("b")]),
        ("PersistentVolume", "disk", [volume("/a"), volume("/b")]),
    ] {
        let world = changed(kind, name, manifests, None).await;
        let wanted = format!("replace {}/{name}", kind.to_lowercase());
        // An API server of its own process may write the volume's phase meanwhile, so that nothing is said of writes here.
        let plan = gitops::dry_run(world.client.clone(), &world.config()).await;
        assert_eq!(actions(&plan.expect("a plan")), [wanted], "{kind}");
    }
}
