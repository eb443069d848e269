//! Plan and outcome agree, for random pairs of a repository and a live state: what a dry run foretells is what a sync
//! does, to the field, and a second sync finds nothing to do.
//!
//! The pairs are random but the same in every run, so that a run that fails tells of the change at hand; `make soak` takes
//! others each time. `RECONCILE_PLAN_PAIRS` says how many pairs on each store, `RECONCILE_PLAN_FIRST` with which seed they
//! begin, and `RECONCILE_PLAN_SEED` which one chain of them to run again.

mod hands;
mod objects;
mod repository;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use reconcile::gitops::report::{PlanEntry, PlanReport};
use reconcile::gitops::{Action, ObjectKey, Outcome};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use self::hands::{Hands, cluster};
use self::objects::{Subject, store_key};
use self::repository::Repository;
use super::harness::{World, problems};
use super::state::{Kept, State, contains, essence, is_by_the_server, is_going, is_inventory, let_go, managers};

/// Pairs of a run on each store where nothing else is asked for.
const PAIRS: u64 = 1000;
/// The first seed where no other is asked for.
const FIRST: u64 = 20_261_121;
/// Pairs that follow one another, each beginning with the cluster that the one before left.
const CHAIN: u64 = 5;

#[tokio::test]
async fn on_the_embedded_store() {
    on(World::new().await).await;
}

#[tokio::test]
async fn on_etcd() {
    on(World::on_etcd().await).await;
}

async fn on(world: World) {
    let number = |name: &str| {
        std::env::var(name)
            .ok()
            .map(|text| text.parse::<u64>().expect("a number"))
    };
    let empty = State::of(world.store.as_ref()).await;
    if let Some(seed) = number("RECONCILE_PLAN_SEED") {
        if let Err(wrong) = chain(&world, &empty, seed).await {
            panic!("{wrong}");
        }
        return;
    }
    let pairs = number("RECONCILE_PLAN_PAIRS").unwrap_or(PAIRS);
    let first = number("RECONCILE_PLAN_FIRST").unwrap_or(FIRST);
    println!("the random numbers start from {first}");
    let mut failures: Vec<String> = Vec::new();
    for seed in first..first + pairs.div_ceil(CHAIN) {
        failures.extend(chain(&world, &empty, seed).await.err());
    }
    // The one with the least in it tells most.
    if let Some(smallest) = failures.iter().min_by_key(|failure| failure.len()) {
        let all: Vec<&str> = failures.iter().filter_map(|failure| failure.lines().next()).collect();
        panic!(
            "{} of {} chains failed:\n{}\n\nthe smallest: {smallest}",
            all.len(),
            pairs.div_ceil(CHAIN),
            all.join("\n")
        );
    }
}

/// A pair, for the message where it fails.
struct Pair<'a> {
    seed: u64,
    number: u64,
    repository: &'a Repository,
    log: &'a [String],
    before: &'a State,
    plan: &'a PlanReport,
}

async fn chain(world: &World, empty: &State, seed: u64) -> Result<(), String> {
    let mut random = StdRng::seed_from_u64(seed);
    let store = world.store.as_ref();
    empty.restore(store).await;
    let mut repository = Repository::default();
    // What the pair before applied, by key.
    let mut applied: Option<Applied> = None;
    for number in 0..CHAIN {
        repository = repository.next(&mut random);
        write(world, &repository);
        let mut hands = Hands {
            client: &world.client,
            log: Vec::new(),
        };
        for _ in 0..random.random_range(0..8) {
            hands.act(&mut random, store).await;
        }
        // What others refer to or lie in is over before the plan is made: when it ends amid a sync, nobody can foretell.
        let state = State::of(store).await;
        let referred = ["/namespaces/", "/serviceaccounts/", "/priorityclasses/"];
        let ending =
            |(key, kept): (&String, &Kept)| is_going(&kept.object) && referred.iter().any(|kind| key.contains(kind));
        if state.0.iter().any(ending) {
            while let_go(store).await {}
        }
        let before = State::of(store).await;
        let plan = world.dry_run().await;
        let pair = Pair {
            seed,
            number,
            repository: &repository,
            log: &hands.log,
            before: &before,
            plan: &plan,
        };
        let outcome = sync(world, &pair).await?;
        let after = State::of(store).await;
        pair.everything_planned_happened(&after)?;
        pair.nothing_else_happened(&after)?;
        pair.what_is_right_is_applied(&after)?;
        pair.nothing_unintended_was_deleted(&after)?;
        pair.what_was_applied_and_drifted_is_left(applied.as_ref(), &after)?;
        pair.problems_were_foretold(&outcome)?;
        // What was on its way out ended amid the sync or has still to; what waited for that is done after it.
        if before.0.values().any(|kept| is_going(&kept.object)) {
            while let_go(store).await {}
            world.sync().await;
        }
        let after = State::of(store).await;
        let again = world.sync().await;
        pair.check(again.counts.changes() == 0, || {
            format!("a second sync changed {:?}", again.counts)
        })?;
        let written: Vec<String> = (State::of(store).await.0.into_iter())
            .filter(|(_, now)| {
                !is_inventory(&now.object) || !["shop", "lab"].iter().any(|name| pair.was_ending(Some(name)))
            })
            // A refusal may be worded otherwise once it comes from the API server; then the record is written again.
            .filter(|(key, now)| {
                !is_inventory(&now.object) || after.get(key).map(members) != Some(members(&now.object))
            })
            .filter(|(key, now)| after.0.get(key).map(|kept| kept.revision) != Some(now.revision))
            .map(|(key, now)| format!("{key} from {:?} to {}", after.get(&key), now.object))
            .collect();
        pair.check(written.is_empty(), || format!("a second sync wrote {written:?}"))?;
        applied = Some(pair.applied(&after));
    }
    Ok(())
}

/// Syncs while the cluster does its part.
async fn sync(world: &World, pair: &Pair<'_>) -> Result<Outcome, String> {
    let done = CancellationToken::new();
    let work = async {
        let config = world.config();
        let synced = tokio::time::timeout(Duration::from_secs(60), world.try_sync(&config)).await;
        done.cancel();
        synced
    };
    let (synced, ()) = tokio::join!(work, cluster(world.store.as_ref(), done.clone()));
    match synced {
        Ok(Ok(outcome)) => Ok(outcome),
        Ok(Err(error)) => Err(pair.told(&format!("the sync failed: {error}"))),
        Err(_) => Err(pair.told("the sync did not end")),
    }
}

/// Whether the source under test owns the object.
fn is_owned(object: &Value) -> bool {
    let owner = object["metadata"]["labels"]["applyset.kubernetes.io/part-of"].as_str();
    owner.is_some_and(|owner| owner != "applyset-of-another-source-v1")
}

/// Manifests that were applied and the uids of their objects, by key.
type Applied = BTreeMap<String, (Value, Value)>;

/// Whether a manifest says that drift from it is only told.
fn is_reported(manifest: &Value) -> bool {
    manifest["metadata"]["annotations"]["reconcile.dev/drift"] == "report"
}

/// What an inventory says but for its record.
fn members(inventory: &Value) -> Value {
    let mut data = inventory["data"].clone();
    if let Some(data) = data.as_object_mut() {
        data.remove("record");
    }
    data
}

/// Makes the source this repository and nothing else.
fn write(world: &World, repository: &Repository) {
    std::fs::remove_dir_all(world.source()).expect("removed");
    std::fs::create_dir(world.source()).expect("made");
    for (name, text) in repository.files() {
        world.write(&name, &text);
    }
    if repository.has_link() {
        std::os::unix::fs::symlink("nowhere", world.source().join("link.yaml")).expect("linked");
    }
}

fn key(object: &ObjectKey) -> String {
    let plural = match object.kind.as_str() {
        "PriorityClass" => "priorityclasses".to_owned(),
        kind => format!("{}s", kind.to_lowercase()),
    };
    store_key(&plural, object.namespace.as_deref(), &object.name)
}

impl Pair<'_> {
    fn entries(&self) -> BTreeMap<String, &PlanEntry> {
        self.plan
            .entries
            .iter()
            .map(|entry| (key(&entry.object), entry))
            .collect()
    }

    fn everything_planned_happened(&self, after: &State) -> Result<(), String> {
        for (key, entry) in self.entries() {
            let (before, now) = (self.before.get(&key), after.get(&key));
            let uid = |object: Option<&Value>| object.map(|object| object["metadata"]["uid"].clone());
            let wrong = match (entry.action, now) {
                (Action::Delete, None) => None,
                (Action::Delete, Some(_)) => Some("it is still there".to_owned()),
                (Action::Keep | Action::Blocked | Action::Drifted | Action::Unchanged, _) => None,
                (_, None) => Some("it is not there".to_owned()),
                (Action::Update, Some(_)) if uid(before) != uid(now) => Some("it is another object".into()),
                (Action::Replace, Some(_)) if uid(before) == uid(now) => Some("it is the same object".into()),
                (Action::Update, Some(now)) => differs(entry, now).or_else(|| owned_otherwise(entry, now)),
                (Action::Create | Action::Replace, Some(now)) => differs(entry, now),
            };
            if let Some(wrong) = wrong {
                return Err(self.told(&format!("{:?} {key}: {wrong}", entry.action)));
            }
        }
        Ok(())
    }

    /// What the plan does not name is untouched, but for what follows from it.
    fn nothing_else_happened(&self, after: &State) -> Result<(), String> {
        let entries = self.entries();
        let keys: BTreeSet<&String> = self.before.0.keys().chain(after.0.keys()).collect();
        let touched = |key: &&String| entries.get(*key).is_none_or(|entry| !entry.action.is_change());
        for key in keys.into_iter().filter(touched) {
            let (before, now) = (self.before.get(key), after.get(key));
            let either = before.or(now);
            let namespace = either.and_then(|object| object["metadata"]["namespace"].as_str());
            if self.was_ending(namespace) || before.is_some_and(is_going) {
                continue;
            }
            let unharmed = match (before, now) {
                (Some(before), Some(now)) => {
                    before == now
                        || is_inventory(now)
                        || essence(before) == essence(now) && now["kind"] == "ServiceAccount"
                }
                (None, Some(now)) => is_inventory(now) || is_by_the_server(key, now),
                (Some(before), None) => {
                    is_by_the_server(key, before)
                        || self.went_with_its_namespace(before)
                        || entries.get(key).is_some_and(|entry| self.was_emptying(&entry.object))
                }
                (None, None) => true,
            };
            self.check(unharmed, || {
                format!("not planned, and yet {key} changed from {before:?} to {now:?}")
            })?;
        }
        Ok(())
    }

    /// Whether the object lay in a namespace that was on its way out already: when that ends, nobody can foretell.
    fn was_ending(&self, namespace: Option<&str>) -> bool {
        let key = |namespace| store_key("namespaces", None, namespace);
        namespace.is_some_and(|namespace| self.before.get(&key(namespace)).is_some_and(is_going))
    }

    /// A namespace that is deleted takes along what the API server made in it.
    fn went_with_its_namespace(&self, object: &Value) -> bool {
        let Some(namespace) = object["metadata"]["namespace"].as_str() else {
            return false;
        };
        let entries = self.entries();
        let namespace = entries.get(&store_key("namespaces", None, namespace));
        namespace.is_some_and(|entry| entry.action == Action::Delete || self.was_emptying(&entry.object))
            && is_by_the_server("", object)
    }

    /// Whether it is a namespace kept for what lay in it and was on its way out: that may end before the sync looks.
    fn was_emptying(&self, object: &ObjectKey) -> bool {
        let inside = |kept: &Kept| kept.object["metadata"]["namespace"] == object.name.as_str();
        object.kind == "Namespace"
            && self
                .before
                .0
                .values()
                .any(|kept| inside(kept) && is_going(&kept.object))
    }

    fn what_is_right_is_applied(&self, after: &State) -> Result<(), String> {
        let refused: BTreeSet<String> = self
            .plan
            .problems
            .iter()
            .filter_map(|problem| problem.object.as_ref())
            .map(key)
            .collect();
        for (subject, manifest) in self.repository.right() {
            let key = subject.key();
            if refused.contains(&key) {
                self.check(self.may_refuse(&subject), || format!("{key} is right and was refused"))?;
                continue;
            }
            let now = after.get(&key);
            let is_left = self
                .entries()
                .get(&key)
                .is_some_and(|entry| entry.action == Action::Drifted);
            if is_left {
                self.check(is_reported(&manifest), || {
                    format!("{key} drifted and nobody said that it may")
                })?;
                continue;
            }
            if now.is_none() && self.was_ending(subject.namespace) {
                continue;
            }
            self.check(now.is_some_and(|now| contains(now, &manifest)), || {
                format!("{key} is not as it is wanted: {now:?}, wanted {manifest}")
            })?;
        }
        Ok(())
    }

    /// Whether what lives, and not the manifest, may be the reason.
    fn may_refuse(&self, subject: &Subject) -> bool {
        let live = self.before.get(&subject.key());
        let foreign = live.is_some();
        let in_no_namespace = subject.namespace.is_some_and(|namespace| {
            let key = store_key("namespaces", None, namespace);
            let names = self.repository.right().any(|(other, _)| other.key() == key);
            self.before.get(&key).is_none_or(is_going) && !names
        });
        foreign || in_no_namespace || subject.kind.name == "Pod"
    }

    fn nothing_unintended_was_deleted(&self, after: &State) -> Result<(), String> {
        let entries = self.entries();
        for (key, kept) in self.before.0.iter().filter(|(key, _)| !after.0.contains_key(*key)) {
            let object = &kept.object;
            let planned = entries.get(key).is_some_and(|entry| entry.action == Action::Delete);
            if !planned {
                continue;
            }
            let owned = is_owned(object);
            let protected = object["metadata"]["annotations"]["reconcile.dev/prune"] == "disabled";
            self.check(
                owned && !protected && !self.repository.names(key) && !self.repository.has_link(),
                || format!("{key} must not have been deleted: {object}"),
            )?;
        }
        Ok(())
    }

    /// What is wanted and lives as it is wanted; not what another source made just so.
    fn applied(&self, after: &State) -> Applied {
        let right = self.repository.right();
        let applied = right.filter_map(|(subject, manifest)| {
            let key = subject.key();
            let now = after
                .get(&key)
                .filter(|now| is_owned(now) && contains(now, &manifest) && !is_going(now))?;
            Some((key, (manifest, now["metadata"]["uid"].clone())))
        });
        applied.collect()
    }

    /// Where the manifest is as it was applied and drift is only told, the object is as other hands left it.
    fn what_was_applied_and_drifted_is_left(&self, applied: Option<&Applied>, after: &State) -> Result<(), String> {
        let entries = self.entries();
        for (subject, manifest) in self.repository.right() {
            let key = subject.key();
            let known = applied.and_then(|applied| applied.get(&key));
            let is_as_applied = known.is_some_and(|(known, _)| *known == manifest);
            if !is_as_applied || !is_reported(&manifest) || self.was_ending(subject.namespace) {
                continue;
            }
            let (before, now) = (self.before.get(&key), after.get(&key));
            if before.is_some_and(is_going) {
                continue;
            }
            // What was applied to a Secret is known only with it: one that went, or that somebody made again, is repaired.
            let uid = before.map(|before| &before["metadata"]["uid"]);
            if subject.kind.name == "Secret" && known.map(|(_, known)| known) != uid {
                continue;
            }
            // What another source has taken is refused, and what lay in a namespace that went with it is gone.
            let action = entries.get(&key).map(|entry| entry.action);
            self.check(action.is_none_or(|action| action == Action::Drifted), || {
                format!("{key} was applied as it is, and yet {action:?}")
            })?;
            let same = before.map(essence) == now.map(essence);
            self.check(same, || {
                format!("{key} is left as it is, and yet changed from {before:?} to {now:?}")
            })?;
        }
        Ok(())
    }

    /// Nothing went wrong that the plan did not say, but for pods that nobody runs.
    fn problems_were_foretold(&self, outcome: &Outcome) -> Result<(), String> {
        let foretold = problems(&self.plan.problems);
        let found = problems(&outcome.problems);
        let news: Vec<&String> = found.iter().filter(|found| !foretold.contains(found)).collect();
        let late = |text: &&&String| {
            text.contains("Pod ")
                && ["not healthy in time", "failed", "Failed"]
                    .iter()
                    .any(|word| text.contains(word))
        };
        let ending = |text: &str| {
            ["shop", "lab"]
                .iter()
                .any(|name| text.contains(name) && self.was_ending(Some(name)))
        };
        let news: Vec<&&String> = (news.iter()).filter(|text| !late(text) && !ending(text)).collect();
        self.check(news.is_empty(), || {
            format!("problems that were not foretold: {news:#?}")
        })
    }

    fn check(&self, holds: bool, wrong: impl FnOnce() -> String) -> Result<(), String> {
        match holds {
            true => Ok(()),
            false => Err(self.told(&wrong())),
        }
    }

    /// The whole pair, its first line saying what is wrong.
    fn told(&self, wrong: &str) -> String {
        let files: String = self
            .repository
            .files()
            .iter()
            .map(|(name, text)| format!("--- {name}\n{text}"))
            .collect();
        let before: String = self
            .before
            .0
            .iter()
            .filter(|(_, kept)| !is_by_itself(&kept.object))
            .map(|(key, kept)| format!("{key} {}\n", kept.object))
            .collect();
        let entries: String = self
            .plan
            .entries
            .iter()
            .map(|entry| format!("{:?} {} {:?}\n", entry.action, entry.object, entry.reasons))
            .collect();
        format!(
            "pair {} of RECONCILE_PLAN_SEED={}: {wrong}\n\n{files}\n--- other hands\n{}\n--- live\n{before}--- plan\n{entries}{}",
            self.number,
            self.seed,
            self.log.join("\n"),
            problems(&self.plan.problems).join("\n")
        )
    }
}

/// Whether every cluster has it.
fn is_by_itself(object: &Value) -> bool {
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    name.starts_with("system-") || name.starts_with("kube-") || is_by_the_server("", object) || name == "default"
}

/// How the object differs from what was foretold.
fn differs(entry: &PlanEntry, now: &Value) -> Option<String> {
    let Some(predicted) = &entry.predicted else {
        return (entry.action == Action::Update).then(|| "nothing was foretold".to_owned());
    };
    let (predicted, now) = (essence(predicted), essence(now));
    (predicted != now).then(|| format!("foretold was {predicted} and it is {now}"))
}

/// How its fields' owners differ from what was foretold.
fn owned_otherwise(entry: &PlanEntry, now: &Value) -> Option<String> {
    let (foretold, now) = (managers(entry.predicted.as_ref()?), managers(now));
    (foretold != now).then(|| format!("foretold owners were {foretold:?} and they are {now:?}"))
}
