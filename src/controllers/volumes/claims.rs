//! What is to become of a claim. Pure.

use k8s_openapi::api::core::v1::{PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::api::storage::v1::StorageClass;

use super::shelf::{Shelf, misfit};
use super::words::{annotation, key};
use super::world::World;
use crate::object::volume::{
    BIND_COMPLETED, NO_PROVISIONER, SELECTED_NODE, claim_class, claim_ref, means, volume_name, waits_for_consumer,
};

/// The names of provisioners that Kubernetes itself once had, and nobody has any more.
const BUILT_IN: &str = "kubernetes.io/";

/// What is told to people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Whether somebody should look.
    pub warning: bool,
    /// One word.
    pub reason: &'static str,
    /// What there is to say.
    pub message: String,
}

/// What is to become of a claim.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict<'a> {
    /// It is to have this volume.
    Bind(&'a PersistentVolume),
    /// It is to wait.
    Wait {
        /// What is to be told.
        notice: Option<Notice>,
        /// Who may make a volume for it.
        provisioner: Option<&'a str>,
    },
    /// It was bound, and its volume is gone or another's.
    Lost {
        /// What is to be told.
        notice: Notice,
        /// The volume that is not there.
        missing: Option<&'a str>,
    },
}

impl Notice {
    pub(super) fn warning(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            warning: true,
            reason,
            message: message.into(),
        }
    }

    fn normal(reason: &'static str, message: impl Into<String>) -> Self {
        Self {
            warning: false,
            ..Self::warning(reason, message)
        }
    }
}

/// Decides about a claim. Volumes that other claims of this pass were given are off the shelf.
pub fn decide<'a>(claim: &'a PersistentVolumeClaim, world: &'a World, shelf: &Shelf<'a>) -> Verdict<'a> {
    if annotation(&claim.metadata, BIND_COMPLETED).is_some() {
        return bound_before(claim, world);
    }
    // What is going gets nothing new.
    if claim.metadata.deletion_timestamp.is_some() {
        return wait(None);
    }
    match volume_name(claim) {
        None => choose(claim, world, shelf),
        Some(name) => named(claim, name, world),
    }
}

fn bound_before<'a>(claim: &'a PersistentVolumeClaim, world: &'a World) -> Verdict<'a> {
    let lost = |reason, message: &str, missing| Verdict::Lost {
        notice: Notice::warning(reason, message),
        missing,
    };
    let Some(name) = volume_name(claim) else {
        let message = "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!";
        return lost("ClaimLost", message, None);
    };
    let Some(volume) = world.volumes.named(name) else {
        let message = "Bound claim has lost its PersistentVolume. Data on the volume is lost!";
        return lost("ClaimLost", message, Some(name));
    };
    if claim_ref(volume).is_none_or(|reference| means(reference, claim)) {
        return Verdict::Bind(volume);
    }
    let message = "Two claims are bound to the same volume, this one is bound incorrectly";
    lost("ClaimMisbound", message, None)
}

/// The claim itself says which volume it wants.
fn named<'a>(claim: &'a PersistentVolumeClaim, name: &str, world: &'a World) -> Verdict<'a> {
    let Some(volume) = world.volumes.named(name) else {
        return wait(None);
    };
    let reference = claim_ref(volume);
    if reference.is_some_and(|reference| !means(reference, claim)) {
        let message = format!("volume {name:?} already bound to a different claim.");
        return wait(Some(Notice::warning("FailedBinding", message)));
    }
    let begun = reference.is_some_and(|reference| reference.uid == claim.metadata.uid);
    if volume.metadata.deletion_timestamp.is_some() && !begun {
        let message = format!("volume {name:?} is being deleted.");
        return wait(Some(Notice::warning("FailedBinding", message)));
    }
    match misfit(volume, claim).filter(|_| reference.is_none()) {
        Some(why) => {
            let message = format!("Cannot bind to requested volume {name:?}: {why}");
            wait(Some(Notice::warning("VolumeMismatch", message)))
        }
        None => Verdict::Bind(volume),
    }
}

fn choose<'a>(claim: &'a PersistentVolumeClaim, world: &'a World, shelf: &Shelf<'a>) -> Verdict<'a> {
    if let Some(volume) = shelf.reserved(claim) {
        return Verdict::Bind(volume);
    }
    let class = match claim_class(claim) {
        "" => None,
        name => Some((name, world.classes.named(name))),
    };
    // Which of its volumes will do depends on the node of the first pod: the scheduler sets one aside.
    let waits_for_pod = class.is_some_and(|(_, class)| class.is_some_and(waits_for_consumer));
    if waits_for_pod && annotation(&claim.metadata, SELECTED_NODE).is_none() {
        return wait(Some(waiting_for_pod(claim, world)));
    }
    if !waits_for_pod && let Some(volume) = shelf.smallest(claim) {
        return Verdict::Bind(volume);
    }
    match class {
        None => {
            let message = "no persistent volumes available for this claim and no storage class is set";
            wait(Some(Notice::normal("FailedBinding", message)))
        }
        Some((name, None)) => {
            let message = format!("storageclass.storage.k8s.io {name:?} not found");
            wait(Some(Notice::warning("ProvisioningFailed", message)))
        }
        Some((_, Some(class))) => not_provisioned(class),
    }
}

/// Nobody here makes volumes: those that run for themselves may, and are told who is to.
fn not_provisioned(class: &StorageClass) -> Verdict<'_> {
    let provisioner = class.provisioner.as_str();
    if provisioner == NO_PROVISIONER {
        let name = class.metadata.name.as_deref().unwrap_or_default();
        let message =
            format!("no persistent volumes available for this claim, and its storage class {name:?} provisions none");
        return wait(Some(Notice::normal("FailedBinding", message)));
    }
    if provisioner.starts_with(BUILT_IN) {
        let message = format!("no volume plugin matched name: {provisioner}");
        return wait(Some(Notice::warning("ProvisioningFailed", message)));
    }
    let message = format!(
        "Waiting for a volume to be created either by the external provisioner '{provisioner}' or manually by the \
         system administrator. If volume creation is delayed, please verify that the provisioner is running and \
         correctly registered."
    );
    Verdict::Wait {
        notice: Some(Notice::normal("ExternalProvisioning", message)),
        provisioner: Some(provisioner),
    }
}

fn waiting_for_pod(claim: &PersistentVolumeClaim, world: &World) -> Notice {
    let key = key(&claim.metadata);
    let unplaced = world.users(&key).filter(|pod| !pod.placed && !pod.finished);
    let names: Vec<&str> = unplaced.map(|pod| pod.key.1.as_str()).collect();
    match names.as_slice() {
        [] => {
            let message = "waiting for first consumer to be created before binding";
            Notice::normal("WaitForFirstConsumer", message)
        }
        [one] => Notice::normal("WaitForPodScheduled", format!("waiting for pod {one} to be scheduled")),
        several => {
            let message = format!("waiting for pods {} to be scheduled", several.join(","));
            Notice::normal("WaitForPodScheduled", message)
        }
    }
}

fn wait<'a>(notice: Option<Notice>) -> Verdict<'a> {
    Verdict::Wait {
        notice,
        provisioner: None,
    }
}
