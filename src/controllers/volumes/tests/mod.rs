//! Worlds of a few volumes and claims, and what deciding makes of them.

mod deciding;
mod ephemeral;
mod fitting;
mod steps;

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim, Pod};
use k8s_openapi::api::storage::v1::StorageClass;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::binding::{self, Write};
use super::claims::Notice;
use super::decide::{Action, decide};
use super::world::{Objects, PodUse, World};

/// More passes than anything here takes.
const MOST_PASSES: usize = 20;

fn from<T: DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("it is written right")
}

/// The one with the other laid over it, field by field; null takes a field away.
fn over(base: Value, more: Value) -> Value {
    match (base, more) {
        (Value::Object(mut base), Value::Object(more)) => {
            for (key, value) in more {
                match base.remove(&key) {
                    _ if value.is_null() => {}
                    before => drop(base.insert(key, over(before.unwrap_or_default(), value))),
                }
            }
            Value::Object(base)
        }
        (_, more) => more,
    }
}

/// A volume of 5Gi that anything may write to, once; with these fields besides.
fn volume(name: &str, more: Value) -> PersistentVolume {
    let base = json!({
        "metadata": {"name": name, "uid": format!("uid-{name}"), "resourceVersion": "1"},
        "spec": {"capacity": {"storage": "5Gi"}, "accessModes": ["ReadWriteOnce"], "hostPath": {"path": "/data"}},
        "status": {"phase": "Available"},
    });
    from(over(base, more))
}

/// A claim to 1Gi in the default namespace, with these fields besides.
fn claim(name: &str, more: Value) -> PersistentVolumeClaim {
    let base = json!({
        "metadata": {"namespace": "default", "name": name, "uid": format!("uid-{name}"), "resourceVersion": "1"},
        "spec": {"resources": {"requests": {"storage": "1Gi"}}, "accessModes": ["ReadWriteOnce"]},
        "status": {"phase": "Pending"},
    });
    from(over(base, more))
}

fn class(name: &str, provisioner: &str, mode: &str) -> StorageClass {
    from(json!({"metadata": {"name": name}, "provisioner": provisioner, "volumeBindingMode": mode}))
}

/// A pod of these volumes on a node (empty for none) in a phase.
fn pod(name: &str, node: &str, phase: &str, volumes: Value) -> Pod {
    from(json!({
        "metadata": {"namespace": "default", "name": name, "uid": format!("uid-{name}")},
        "spec": {"containers": [], "nodeName": node, "volumes": volumes},
        "status": {"phase": phase},
    }))
}

/// A pod's volume of that claim.
fn of_claim(claim: &str) -> Value {
    json!([{"name": "data", "persistentVolumeClaim": {"claimName": claim}}])
}

/// What a volume says of the claim it is bound to.
fn bound_to(claim: &str) -> Value {
    let reference = json!({"namespace": "default", "name": claim, "uid": format!("uid-{claim}")});
    json!({"spec": {"claimRef": reference}, "status": {"phase": "Bound"}})
}

/// What a claim says of the volume it is bound to.
fn bound_at(volume: &str) -> Value {
    json!({
        "metadata": {"annotations": {"pv.kubernetes.io/bind-completed": "yes"}},
        "spec": {"volumeName": volume},
        "status": {"phase": "Bound", "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "5Gi"}},
    })
}

fn world(volumes: Vec<PersistentVolume>, claims: Vec<PersistentVolumeClaim>) -> World {
    let mut world = World::default();
    fill(&mut world.volumes, volumes, |volume| &volume.metadata);
    fill(&mut world.claims, claims, |claim| &claim.metadata);
    world
}

fn fill<K: PartialEq + Clone>(objects: &mut Objects<K>, all: Vec<K>, metadata: impl Fn(&K) -> &ObjectMeta) {
    for object in all {
        objects.changed(metadata(&object), object.clone());
    }
}

impl World {
    fn with_class(mut self, class: StorageClass) -> Self {
        self.classes.changed(&class.metadata.clone(), class);
        self
    }

    fn with_pod(mut self, pod: &Pod) -> Self {
        let read = PodUse::read(pod).expect("it uses a claim");
        self.pods.changed(&pod.metadata, read);
        self
    }

    fn volume(&self, name: &str) -> &PersistentVolume {
        self.volumes.named(name).expect("the volume")
    }

    fn claim(&self, name: &str) -> &PersistentVolumeClaim {
        let key = ("default".to_owned(), name.to_owned());
        self.claims.get(&key).expect("the claim")
    }

    /// What was written is there from now on.
    fn take(&mut self, write: Write) {
        match write {
            Write::Volume(volume) | Write::VolumeStatus(volume) => {
                self.volumes.changed(&volume.metadata.clone(), *volume);
            }
            Write::Claim(claim) | Write::ClaimStatus(claim) => {
                self.claims.changed(&claim.metadata.clone(), *claim);
            }
        }
    }

    /// Carries out what is decided until nothing is left to write, each pass as if all but the first write of each
    /// action were lost in a crash; returns what was told after a write, then what is told in the end.
    fn settle(&mut self) -> Vec<String> {
        let mut told = Vec::new();
        let words = |notice: Notice| format!("{}: {}", notice.reason, notice.message);
        for _ in 0..MOST_PASSES {
            let (mut wrote, mut waits) = (false, Vec::new());
            for action in decide(self) {
                match action {
                    Action::Bind { volume, claim } => {
                        self.take(binding::next(&volume, &claim).expect("something is left to write"));
                        wrote = true;
                    }
                    Action::Write { write, notice, .. } => {
                        told.extend(notice.map(words));
                        self.take(write);
                        wrote = true;
                    }
                    Action::Tell { notice, .. } => waits.push(words(notice)),
                    Action::Make(_) | Action::Delete { .. } => panic!("{action:?}"),
                }
            }
            if !wrote {
                told.extend(waits);
                return told;
            }
        }
        panic!("it does not settle: {:?}", decide(self));
    }
}

/// A volume's phase and the claim it is of, a claim's phase and the volume it has.
fn outcome(world: &World) -> Vec<String> {
    let (mut told, text) = (Vec::new(), |text: &Option<String>| text.clone().unwrap_or_default());
    for (_, volume) in world.volumes.iter() {
        let (spec, status) = (
            volume.spec.clone().unwrap_or_default(),
            volume.status.clone().unwrap_or_default(),
        );
        let claim = spec.claim_ref.map(|claim| text(&claim.name)).unwrap_or_default();
        told.push(
            format!("{} {} {claim}", text(&volume.metadata.name), text(&status.phase))
                .trim()
                .to_owned(),
        );
    }
    for (_, claim) in world.claims.iter() {
        let (spec, status) = (
            claim.spec.clone().unwrap_or_default(),
            claim.status.clone().unwrap_or_default(),
        );
        let volume = text(&spec.volume_name);
        told.push(
            format!("{} {} {volume}", text(&claim.metadata.name), text(&status.phase))
                .trim()
                .to_owned(),
        );
    }
    told
}
