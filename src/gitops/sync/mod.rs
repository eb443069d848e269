//! One round: read, plan, and perhaps apply. Keeps between rounds only what saves requests or tells drift from news.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use jiff::Timestamp;
use kube::Client;
use serde_json::Value;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::apply::{Applied, Applier, Patience};
use super::applyset::{ApplySet, MemberKind, Members};
use super::budget::Budget;
use super::ceded;
use super::config::Config;
use super::error::Error;
use super::fail_point;
use super::fight::Fights;
use super::health::is_going;
use super::inventory::Inventory;
use super::kinds::{Kinds, Resource};
use super::manifests::{self, Manifests};
use super::neighbours::{Handover, Neighbours};
use super::on_drift::{self, Mark, OnDrift};
use super::plan::{self, Plan, Step, World, labelled};
use super::record::{Record, Synced};
use super::report::{Action, Cause, ObjectKey, Problem, Reporter, Revision};
use super::requests::Requests;
use super::source::{Snapshot, Source, View};
use super::window::{self, Window};

mod known;
mod look;

pub(super) use known::{fingerprint, hash};
use look::kinds_of_interest;

/// What goes round.
pub(super) struct Engine {
    pub client: Client,
    pub requests: Requests,
    pub set: ApplySet,
    /// The source without credentials, for people.
    source: String,
    prune: bool,
    on_drift: OnDrift,
    budget: Budget,
    windows: Vec<Window>,
    /// Objects found as intended: hash of the manifest and of the live object. While both stay, nothing is asked.
    settled: HashMap<ObjectKey, (u64, u64)>,
    /// Objects that were told to go so that they can be made again, with the cause and the reasons.
    replacing: HashMap<ObjectKey, (Cause, Vec<String>)>,
    fights: Fights,
    neighbours: Neighbours,
    /// The lease of the process that follows the source, where one does.
    pub claim: Option<String>,
    /// How other sources are looked at: as this one is.
    pub view: View,
}

/// A plan and all that belongs to it.
pub(super) struct Prepared {
    pub revision: Revision,
    pub manifests: Manifests,
    pub plan: Plan,
    /// Everything wrong so far, in the order of files and lines.
    pub problems: Vec<Problem>,
    pub notices: Vec<String>,
    /// Kinds of which members are watched.
    pub kinds: Vec<Resource>,
    pub inventory: Inventory,
    /// Marks of the manifests whose objects' drift is only told.
    marks: BTreeMap<ObjectKey, Mark>,
    /// Whether deletions are left to a later round.
    deferred: bool,
    upcoming: BTreeSet<String>,
    /// Kinds of members that could not be looked at.
    unseen: BTreeSet<MemberKind>,
    /// What changes hands between sources.
    handover: Handover,
    /// When it was begun to prepare this.
    began: Timestamp,
}

/// What whoever goes round wants of a plan.
#[derive(Debug, Default)]
pub(super) struct Wish {
    /// Why deletions wait, if they do.
    pub defer_prune: Option<String>,
    /// Whether drift is repaired that is otherwise only told: somebody asked for it.
    pub repair: bool,
}

impl Prepared {
    /// What was intended as it lived when this was prepared, or as it was written since.
    pub fn seen(&self, applied: &Applied) -> BTreeMap<ObjectKey, Arc<Value>> {
        let steps = self.plan.steps.iter().filter(|step| step.manifest.is_some());
        let lived = steps.filter_map(|step| Some((step.key.clone(), Arc::clone(step.live.as_ref()?))));
        let mut seen: BTreeMap<ObjectKey, Arc<Value>> = lived.collect();
        seen.extend(applied.written.iter().cloned());
        seen
    }

    /// The objects that are to be there and healthy; not those that another hand took away and that are left so.
    pub fn awaited(&self) -> impl Iterator<Item = &ObjectKey> {
        let left = self.plan.steps.iter().filter(|step| step.is_left_gone());
        let left: BTreeSet<&ObjectKey> = left.map(|step| &step.key).collect();
        self.manifests.objects.keys().filter(move |key| !left.contains(key))
    }
}

impl Engine {
    pub fn new(client: Client, source: &Source, config: &Config) -> Self {
        Self {
            requests: Requests::new(client.clone()),
            client,
            set: config.set(source),
            source: source.describe(),
            prune: config.prune,
            on_drift: config.on_drift,
            budget: config.budget,
            windows: config.windows.clone(),
            settled: HashMap::new(),
            replacing: HashMap::new(),
            fights: Fights::default(),
            neighbours: config.neighbours.clone(),
            claim: None,
            view: View::Committed,
        }
    }

    /// What is known of the source in the cluster.
    pub async fn inventory(&self) -> Result<Inventory, Error> {
        let mut inventory = Inventory::load(&self.client, &self.set).await?;
        inventory.claim.clone_from(&self.claim);
        Ok(inventory)
    }

    /// Reads the cluster and decides.
    pub async fn prepare(&mut self, snapshot: Snapshot, inventory: Inventory, wish: Wish) -> Result<Prepared, Error> {
        let began = Timestamp::now();
        let complete = snapshot.complete();
        let Snapshot {
            files,
            revision,
            problems: unread,
            mut notices,
            skipped,
            ..
        } = snapshot;
        let parsed = manifests::parse(&files);
        drop(files);
        let known = inventory.members.kinds().map(|kind| kind.api_version.as_str());
        let asked = parsed.api_versions().into_iter().chain(known).chain(["v1"]);
        let asked: BTreeSet<String> = asked.map(str::to_owned).collect();
        let kinds = Kinds::discover(&self.client, &asked).await?;
        let mut manifests = manifests::resolve(parsed, &kinds);
        manifests.skipped = skipped;
        let marks = on_drift::marks(&manifests, self.on_drift);

        let mut unseen = BTreeSet::new();
        let watched = kinds_of_interest(&manifests, &inventory.members, &kinds, &mut unseen, &mut notices);
        let look = self.look(&manifests, &watched, &mut unseen, &mut notices).await?;
        for (key, live) in look.live.iter().filter(|(_, live)| !is_going(live)) {
            if let Some(intended) = manifests.objects.get_mut(key) {
                ceded::as_they_live(&mut intended.value, live);
            }
        }
        if manifests.is_empty() && manifests.unreadable.is_empty() {
            notices.push("the source holds no object at all".into());
        }
        let others = self.others(&manifests, &look).await?;
        let handover = Handover::of(&others, look.comes(&manifests, &self.set), look.leaves(&manifests));
        let (predictions, upcoming) = self.predict(&manifests, &look.live, &others).await?;
        let occupied = self.occupied(&manifests, &look.owned).await?;
        let now = Instant::now();
        let deferred = wish.defer_prune.is_some();
        let no_prune = no_prune(self.prune, complete, wish.defer_prune);
        let known = &inventory.record.applied;
        let mut plan = plan::plan(&World {
            manifests: &manifests,
            set: &self.set,
            owned: &look.owned,
            live: &look.live,
            predictions: &predictions,
            settled: &|intended| self.is_settled(intended),
            paused: &|key| self.fights.pause(key, now),
            left: &|key, live| !wish.repair && marks.get(key).is_some_and(|mark| mark.is_applied(known, live)),
            members: &inventory.members,
            others: &others,
            occupied: &occupied,
            no_prune,
            budget: self.budget,
            base: inventory.record.base,
            approved: inventory.controls.approved.as_deref(),
        });
        notices.extend(plan.approval.as_ref().map(ToString::to_string));
        self.remember(&mut plan);
        let mut problems: Vec<Problem> = [unread, manifests.problems.clone(), plan.problems.clone()].concat();
        problems.sort();
        Ok(Prepared {
            revision,
            manifests,
            plan,
            problems,
            notices,
            kinds: watched,
            inventory,
            marks,
            deferred,
            upcoming: upcoming.namespaces,
            unseen,
            handover,
            began,
        })
    }

    /// Carries a plan out, or, once `news` came, what of it was begun by then. The inventory is written before the first object, so that a crash leaves nothing unknown.
    pub async fn carry_out(
        &mut self,
        prepared: &mut Prepared,
        patience: Patience,
        news: &CancellationToken,
        reporter: &dyn Reporter,
    ) -> Result<Applied, Error> {
        fail_point::pass("planned");
        let wanted = self.members_after(prepared, &BTreeSet::new());
        if !wanted.is_empty() {
            let before = wanted.with(&prepared.inventory.members);
            let record = prepared.inventory.record.clone();
            prepared
                .inventory
                .store(&self.client, &self.set, &before, &record)
                .await?;
            fail_point::pass("intent recorded");
        }
        // Noted first: the process may be told to end between the deletion and the new object.
        for step in prepared.plan.steps.iter().filter(|step| step.action == Action::Replace) {
            self.replacing
                .insert(step.key.clone(), (step.cause.clone(), step.reasons.clone()));
        }
        let applier = Applier {
            requests: &self.requests,
            set: &self.set,
            reporter,
            upcoming: &prepared.upcoming,
            patience,
            news,
        };
        let applied = applier.carry_out(&prepared.plan).await?;
        for (key, value) in &applied.written {
            if let Some(intended) = prepared.manifests.objects.get(key) {
                let manifest = hash(&labelled(intended, &self.set));
                self.settled.insert(key.clone(), (manifest, fingerprint(value)));
            }
        }
        let now = Instant::now();
        let is_drift = |step: &&Step| matches!(step.cause, Cause::Drift { .. });
        for step in prepared.plan.steps.iter().filter(is_drift) {
            if applied.written.iter().any(|(key, _)| *key == step.key) {
                self.fights.note(&step.key, now);
            }
        }
        // What was cut short before it came to an object goes on with the next round.
        let is_written = |key: &ObjectKey| applied.written.iter().any(|(written, _)| written == key);
        self.replacing
            .retain(|key, _| applied.pending.contains_key(key) || (applied.is_cut && !is_written(key)));
        Ok(applied)
    }

    /// When an object may be repaired again that was not for a while.
    pub fn next_repair(&self) -> Option<Instant> {
        self.fights.next(Instant::now())
    }

    /// Records what a plan that was carried out came to, and returns all that was wrong. `answers`: whether that is the
    /// answer to whoever asked for a sync.
    pub async fn conclude(
        &self,
        prepared: &mut Prepared,
        applied: &Applied,
        answers: bool,
    ) -> Result<BTreeSet<Problem>, Error> {
        let problems: BTreeSet<Problem> = prepared.problems.iter().chain(&applied.problems).cloned().collect();
        let mut record = self.record(&prepared.inventory);
        record.synced(
            Synced {
                revision: prepared.revision.clone(),
                counts: applied.counts,
                repairs: applied.repairs,
                problems: problems.iter().cloned().collect(),
                approval: prepared.plan.approval.clone(),
                drifted: on_drift::drifted(&prepared.plan.steps),
            },
            // What failed after this is the revision's doing.
            prepared.began,
        );
        if answers {
            record.answered.clone_from(&prepared.inventory.controls.requested);
        }
        let Handover { wants, gives } = prepared.handover.clone();
        (record.wants, record.gives) = (wants, gives);
        record.closes = window::closes(&self.windows, Timestamp::now());
        self.note_applied(prepared, applied, &mut record);
        let after = self.members_after(prepared, &applied.deleted);
        if !prepared.deferred && prepared.plan.approval.is_none() {
            record.base = Some(after.len());
        }
        fail_point::pass("applied");
        prepared
            .inventory
            .store(&self.client, &self.set, &after, &record)
            .await?;
        Ok(problems)
    }

    /// Records why there was no sync, where the cluster can be reached; whether that was not recorded yet. `answers`: as in
    /// [`Engine::conclude`].
    pub async fn note_failure(&self, reason: &str, answers: bool) -> Result<bool, Error> {
        let mut inventory = self.inventory().await?;
        let is_new = inventory.record.failure.as_deref() != Some(reason);
        let requested = inventory.controls.requested.clone();
        let change = |record: &mut Record| {
            record.failure = Some(reason.to_owned());
            if answers {
                record.answered = requested;
            }
        };
        self.amend(&mut inventory, change).await.map(|()| is_new)
    }

    /// Records a change of what is known that is no news of its members.
    pub async fn amend(&self, inventory: &mut Inventory, change: impl FnOnce(&mut Record)) -> Result<(), Error> {
        let mut record = self.record(inventory);
        change(&mut record);
        self.note(inventory, &record).await
    }

    /// Records something of the source that is no news of its members.
    pub async fn note(&self, inventory: &mut Inventory, record: &Record) -> Result<(), Error> {
        let members = inventory.members.clone();
        inventory.store(&self.client, &self.set, &members, record).await
    }

    /// What is known, under the source's name of today.
    fn record(&self, inventory: &Inventory) -> Record {
        Record {
            source: self.source.clone(),
            ..inventory.record.clone()
        }
    }

    /// The members once the plan is carried out but for what failed.
    fn members_after(&self, prepared: &Prepared, deleted: &BTreeSet<ObjectKey>) -> Members {
        let Prepared {
            manifests,
            plan,
            inventory,
            unseen,
            ..
        } = prepared;
        let known = &inventory.members;
        // Kinds that could not be looked at keep their members, and refused objects stay what they were.
        let mut members = known.of_kinds(|kind| unseen.contains(kind));
        for (key, intended) in manifests.objects.iter().filter(|(key, _)| known.contains(key)) {
            members.insert(&intended.resource.api.api_version, key, &intended.place.path);
        }
        for step in plan.steps.iter().filter(|step| !deleted.contains(&step.key)) {
            let file = match manifests.objects.get(&step.key) {
                Some(intended) => intended.place.path.as_str(),
                None => known.file(&step.key).unwrap_or_default(),
            };
            members.insert(&step.resource.api.api_version, &step.key, file);
        }
        members
    }
}

fn no_prune(prune: bool, complete: bool, defer: Option<String>) -> Option<String> {
    if !prune {
        return Some("--no-prune".into());
    }
    if !complete {
        return Some("not everything in the source could be read, so nothing is deleted".into());
    }
    defer
}
