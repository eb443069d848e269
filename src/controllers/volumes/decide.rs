//! Everything there is to do about volumes and claims now. Pure.

use std::collections::HashSet;

use k8s_openapi::api::core::v1::{ObjectReference, PersistentVolume, PersistentVolumeClaim};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::binding::{self, Write, with_claim_phase};
use super::claims::{self, Notice, Verdict};
use super::ephemeral::{self, Missing};
use super::protection::{release_claim, release_volume};
use super::reclaim;
use super::shelf::Shelf;
use super::words::{
    BETA_STORAGE_PROVISIONER, LOST, PENDING, STORAGE_PROVISIONER, annotate, annotation, claim_phase, key,
};
use super::world::{Key, PodUse, World};
use crate::object::volume::volume_name;

/// What an action is about: two about the same thing never run at once.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Subject {
    /// A volume.
    Volume(String),
    /// A claim.
    Claim(Key),
    /// A pod.
    Pod(Key),
}

/// Something to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Bind these two, or go on with it.
    Bind {
        /// The one.
        volume: Box<PersistentVolume>,
        /// The other.
        claim: Box<PersistentVolumeClaim>,
    },
    /// Write this, then tell that.
    Write {
        /// What is written.
        write: Write,
        /// What is told then.
        notice: Option<Notice>,
        /// What must hold.
        only_if: Condition,
    },
    /// Make this claim.
    Make(Box<PersistentVolumeClaim>),
    /// Delete this claim, whose pod (its key and uid) is gone.
    Delete {
        /// Which.
        claim: Box<PersistentVolumeClaim>,
        /// Whose.
        pod: (Key, String),
    },
    /// Tell this, unless it was the last that was told.
    Tell {
        /// About whom; has a uid.
        about: Box<ObjectReference>,
        /// Who that is.
        subject: Subject,
        /// What.
        notice: Notice,
    },
}

/// What is read once more before a write that relies on something not being there.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    /// Nothing beyond what is written over.
    Unchanged,
    /// There is no such claim (its key and uid).
    NoClaim(Key, String),
    /// There is no such volume.
    NoVolume(String),
    /// No pod holds that claim.
    Unused(Key),
}

impl Action {
    /// What it is about.
    pub fn about(&self) -> Vec<Subject> {
        let volume = |volume: &PersistentVolume| Subject::Volume(key(&volume.metadata).1);
        let claim = |claim: &PersistentVolumeClaim| Subject::Claim(key(&claim.metadata));
        match self {
            Self::Bind {
                volume: one,
                claim: other,
            } => vec![volume(one), claim(other)],
            Self::Write { write, .. } => match write {
                Write::Volume(of) | Write::VolumeStatus(of) => vec![volume(of)],
                Write::Claim(of) | Write::ClaimStatus(of) => vec![claim(of)],
            },
            Self::Make(of) | Self::Delete { claim: of, .. } => vec![claim(of)],
            Self::Tell { subject, .. } => vec![subject.clone()],
        }
    }

    /// Of whom it tells something, by its uid too: another of that name has not been told of.
    pub(super) fn told_of(&self) -> Option<(Subject, Option<String>)> {
        match self {
            Self::Tell { about, subject, .. } => Some((subject.clone(), about.uid.clone())),
            _ => None,
        }
    }

    fn write(write: Write) -> Self {
        Self::Write {
            write,
            notice: None,
            only_if: Condition::Unchanged,
        }
    }

    fn tell(metadata: &ObjectMeta, kind: &str, subject: Subject, notice: Notice) -> Self {
        Self::Tell {
            about: Box::new(reference(metadata, kind)),
            subject,
            notice,
        }
    }
}

/// Everything to do now. What is first takes precedence over what comes later about the same thing.
pub fn decide(world: &World) -> Vec<Action> {
    let mut actions = Vec::new();
    let mut shelf = Shelf::new(&world.volumes);
    let mut claims: Vec<&PersistentVolumeClaim> = world.claims.iter().map(|(_, claim)| claim).collect();
    // Who names a volume is served before those to whom any will do, and they in the order they came.
    claims.sort_by_key(|claim| {
        let created = claim.metadata.creation_timestamp.as_ref().map(|time| time.0);
        (volume_name(claim).is_none(), created)
    });
    for claim in claims {
        about_claim(claim, world, &mut shelf, &mut actions);
    }
    for (_, volume) in world.volumes.iter() {
        if let Some(write) = release_volume(volume) {
            actions.push(Action::write(write));
        } else if let Some(change) = reclaim::decide(volume, &world.claims) {
            let only_if = change
                .without
                .map_or(Condition::Unchanged, |(key, uid)| Condition::NoClaim(key, uid));
            actions.push(Action::Write {
                write: change.write,
                notice: change.notice,
                only_if,
            });
        }
    }
    for (_, pod) in world.pods.iter() {
        actions.extend(ephemeral::missing(pod, world).map(|missing| about_missing(pod, missing)));
    }
    first_each(actions)
}

fn about_claim<'a>(
    claim: &'a PersistentVolumeClaim,
    world: &'a World,
    shelf: &mut Shelf<'a>,
    actions: &mut Vec<Action>,
) {
    if let Some(pod) = ephemeral::orphaned_from(claim, world) {
        let claim = Box::new(claim.clone());
        return actions.push(Action::Delete { claim, pod });
    }
    if let Some(write) = release_claim(claim, world) {
        return actions.push(Action::Write {
            write,
            notice: None,
            only_if: Condition::Unused(key(&claim.metadata)),
        });
    }
    match claims::decide(claim, world, shelf) {
        Verdict::Bind(volume) => {
            shelf.take(volume);
            if binding::next(volume, claim).is_some() {
                let (volume, claim) = (Box::new(volume.clone()), Box::new(claim.clone()));
                actions.push(Action::Bind { volume, claim });
            }
        }
        Verdict::Wait { notice, provisioner } => {
            if claim.metadata.deletion_timestamp.is_none() && claim_phase(claim) != PENDING {
                actions.push(Action::write(with_claim_phase(claim, PENDING)));
            }
            if let Some(write) = provisioner.and_then(|by| ask(claim, by)) {
                actions.push(Action::write(write));
            }
            if let Some(notice) = notice {
                let subject = Subject::Claim(key(&claim.metadata));
                actions.push(Action::tell(&claim.metadata, "PersistentVolumeClaim", subject, notice));
            }
        }
        Verdict::Lost { notice, missing } if claim_phase(claim) != LOST => {
            let no_volume = |name: &str| Condition::NoVolume(name.to_owned());
            actions.push(Action::Write {
                write: with_claim_phase(claim, LOST),
                notice: Some(notice),
                only_if: missing.map_or(Condition::Unchanged, no_volume),
            });
        }
        Verdict::Lost { .. } => {}
    }
}

/// The claim with the marks by which its provisioner finds it.
fn ask(claim: &PersistentVolumeClaim, provisioner: &str) -> Option<Write> {
    let marks = [STORAGE_PROVISIONER, BETA_STORAGE_PROVISIONER];
    let is_asked = |mark: &&str| annotation(&claim.metadata, mark) == Some(provisioner);
    (!marks.iter().all(is_asked)).then(|| {
        let mut claim = Box::new(claim.clone());
        for mark in marks {
            annotate(&mut claim.metadata, mark, provisioner);
        }
        Write::Claim(claim)
    })
}

fn about_missing(pod: &PodUse, missing: Missing) -> Action {
    match missing {
        Missing::Make(claim) => Action::Make(claim),
        Missing::InTheWay(notice) => {
            let metadata = ObjectMeta {
                namespace: Some(pod.key.0.clone()),
                name: Some(pod.key.1.clone()),
                uid: Some(pod.uid.clone()),
                ..ObjectMeta::default()
            };
            Action::tell(&metadata, "Pod", Subject::Pod(pod.key.clone()), notice)
        }
    }
}

/// One action for each thing: what comes later is decided on again once that is done.
fn first_each(actions: Vec<Action>) -> Vec<Action> {
    let mut taken = HashSet::new();
    let mut first = Vec::new();
    for action in actions {
        let about = action.about();
        // What only is told keeps nothing else from being done.
        if matches!(action, Action::Tell { .. }) || about.iter().all(|subject| !taken.contains(subject)) {
            taken.extend(about);
            first.push(action);
        }
    }
    first
}

/// A reference to an object of the core API.
pub(super) fn reference(metadata: &ObjectMeta, kind: &str) -> ObjectReference {
    ObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some(kind.to_owned()),
        namespace: metadata.namespace.clone(),
        name: metadata.name.clone(),
        uid: metadata.uid.clone(),
        resource_version: metadata.resource_version.clone(),
        ..ObjectReference::default()
    }
}
