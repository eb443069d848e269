//! Which pod is next. Pure: the time is an argument.
//!
//! A pod is ready, parked (it fits nowhere until something changes), backing off (something changed, but it was
//! tried a moment ago), delayed (the API failed it), or taken (being decided on, or bound). Every pod that was
//! added is in one of these until it is removed.

mod counts;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use counts::Part;
pub use counts::{Cause, Incoming, Sizes};

/// A pod tried no more often than this goes again at once when nothing else waits: a node that has just joined
/// should not stay empty for a second. Later, the rest bounds what a crowd of hopeless pods costs.
const EAGER_ATTEMPTS: u32 = 3;
/// A parked pod is tried again after this long, whatever happened: the net under a missed event.
const LONGEST_PARKED: Duration = Duration::from_secs(300);

/// How long a pod rests after a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// After the first one; doubles with each.
    pub first: Duration,
    /// At most.
    pub longest: Duration,
}

/// What orders ready pods: priority, then age, then arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    priority: Reverse<i32>,
    created_seconds: i64,
    arrival: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Ready,
    BackingOff(Instant),
    Delayed(Instant),
    Parked(Instant),
    Taken,
}

#[derive(Debug)]
struct Entry {
    rank: Rank,
    place: Place,
    /// How often it was tried in vain.
    attempts: u32,
    /// When it was last tried.
    tried: Option<Instant>,
}

/// Pods that wait for a node, by uid.
#[derive(Debug, Default)]
pub struct Queue {
    entries: HashMap<Arc<str>, Entry>,
    ready: BTreeMap<Rank, Arc<str>>,
    /// Backing off, delayed and parked pods by when they are to be ready at the latest.
    timed: BTreeSet<(Instant, Arc<str>)>,
    /// Backing off and still eager.
    eager: BTreeMap<Rank, Arc<str>>,
    parked: BTreeSet<Arc<str>>,
    arrivals: u64,
    backoff: Backoff,
    incoming: Incoming,
}

impl Default for Backoff {
    /// kube-scheduler's.
    fn default() -> Self {
        Self {
            first: Duration::from_secs(1),
            longest: Duration::from_secs(10),
        }
    }
}

impl Backoff {
    fn after(self, attempts: u32) -> Duration {
        let doublings = attempts.saturating_sub(1).min(31);
        self.first.saturating_mul(2_u32.pow(doublings)).min(self.longest)
    }
}

impl Queue {
    /// An empty one.
    pub fn new(backoff: Backoff) -> Self {
        Self {
            backoff,
            ..Self::default()
        }
    }

    /// Adds a pod that is ready; one that is known already stays where it is.
    pub fn add(&mut self, uid: &Arc<str>, priority: i32, created_seconds: i64) {
        if self.entries.contains_key(uid) {
            return;
        }
        self.arrivals += 1;
        let rank = Rank {
            priority: Reverse(priority),
            created_seconds,
            arrival: self.arrivals,
        };
        self.ready.insert(rank, uid.clone());
        self.incoming.count(Part::Active, Cause::PodAdd);
        let entry = Entry {
            rank,
            place: Place::Ready,
            attempts: 0,
            tried: None,
        };
        self.entries.insert(uid.clone(), entry);
    }

    /// Forgets a pod.
    pub fn remove(&mut self, uid: &str) {
        let Some((uid, entry)) = self.entries.remove_entry(uid) else {
            return;
        };
        self.leave(&uid, &entry);
    }

    /// Takes the pod that is next, if any is ready.
    pub fn pop(&mut self, now: Instant) -> Option<Arc<str>> {
        self.ripen(now);
        let (_, uid) = self.ready.pop_first().or_else(|| self.eager.pop_first())?;
        let entry = self.entries.get_mut(&uid).expect("every pod in an order has its entry");
        if let Place::BackingOff(due) = entry.place {
            self.timed.remove(&(due, uid.clone()));
        }
        entry.place = Place::Taken;
        Some(uid)
    }

    /// Puts a taken pod aside until something changes: it fits nowhere.
    pub fn park(&mut self, uid: &str, now: Instant) {
        self.fail(uid, now, Part::Unschedulable, |_| Place::Parked(now + LONGEST_PARKED));
    }

    /// Puts a pod aside for its back-off: the API failed it. Nothing makes it ready sooner.
    pub fn delay(&mut self, uid: &str, now: Instant) {
        let backoff = self.backoff;
        self.fail(uid, now, Part::Backoff, |attempts| {
            Place::Delayed(now + backoff.after(attempts))
        });
    }

    /// Something changed that may help a parked pod: makes it ready, after what is left of its back-off.
    pub fn wake(&mut self, uid: &str, cause: Cause, now: Instant) {
        let Some(entry) = self
            .entries
            .get(uid)
            .filter(|entry| matches!(entry.place, Place::Parked(_)))
        else {
            return;
        };
        let due = entry
            .tried
            .map_or(now, |tried| tried + self.backoff.after(entry.attempts));
        let (part, place) = match due <= now {
            true => (Part::Active, Place::Ready),
            false => (Part::Backoff, Place::BackingOff(due)),
        };
        self.incoming.count(part, cause);
        self.put(uid, place);
    }

    /// The pods that fit nowhere.
    pub fn parked(&self) -> Vec<Arc<str>> {
        self.parked.iter().cloned().collect()
    }

    /// Whether no pod fits nowhere.
    pub fn none_parked(&self) -> bool {
        self.parked.is_empty()
    }

    /// When [`Queue::pop`] will next have a pod that it has not now, as long as nothing else happens.
    pub fn next_due(&self) -> Option<Instant> {
        self.timed.first().map(|(due, _)| *due)
    }

    /// How many pods wait or are taken.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no pod waits or is taken.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How often a pod was tried in vain.
    pub fn failures(&self, uid: &str) -> u32 {
        self.entries.get(uid).map_or(0, |entry| entry.attempts)
    }

    /// How many pods are where.
    pub fn sizes(&self) -> Sizes {
        let unschedulable = self.parked.len();
        Sizes {
            active: self.ready.len(),
            backoff: self.timed.len() - unschedulable,
            unschedulable,
            taken: self.entries.len() - self.ready.len() - self.timed.len(),
        }
    }

    /// Which pods came where since this was last asked.
    pub fn take_incoming(&mut self) -> Incoming {
        std::mem::take(&mut self.incoming)
    }

    fn ripen(&mut self, now: Instant) {
        while let Some((_, uid)) = self.timed.first().filter(|(due, _)| *due <= now) {
            let uid = uid.clone();
            let parked = self.parked.contains(&uid);
            let cause = if parked {
                Cause::UnschedulableTimeout
            } else {
                Cause::BackoffComplete
            };
            self.incoming.count(Part::Active, cause);
            self.put(&uid, Place::Ready);
        }
    }

    fn fail(&mut self, uid: &str, now: Instant, part: Part, place: impl Fn(u32) -> Place) {
        let Some(entry) = self.entries.get_mut(uid) else { return };
        entry.attempts = entry.attempts.saturating_add(1);
        entry.tried = Some(now);
        let place = place(entry.attempts);
        self.incoming.count(part, Cause::ScheduleAttemptFailure);
        self.put(uid, place);
    }

    fn put(&mut self, uid: &str, place: Place) {
        let Some((uid, mut entry)) = self.entries.remove_entry(uid) else {
            return;
        };
        self.leave(&uid, &entry);
        entry.place = place;
        match place {
            Place::Ready => {
                self.ready.insert(entry.rank, uid.clone());
            }
            Place::BackingOff(due) => {
                self.timed.insert((due, uid.clone()));
                if entry.attempts <= EAGER_ATTEMPTS {
                    self.eager.insert(entry.rank, uid.clone());
                }
            }
            Place::Delayed(due) => {
                self.timed.insert((due, uid.clone()));
            }
            Place::Parked(due) => {
                self.timed.insert((due, uid.clone()));
                self.parked.insert(uid.clone());
            }
            Place::Taken => {}
        }
        self.entries.insert(uid, entry);
    }

    fn leave(&mut self, uid: &Arc<str>, entry: &Entry) {
        match entry.place {
            Place::Ready => {
                self.ready.remove(&entry.rank);
            }
            Place::BackingOff(due) | Place::Delayed(due) | Place::Parked(due) => {
                self.timed.remove(&(due, uid.clone()));
                self.eager.remove(&entry.rank);
                self.parked.remove(uid);
            }
            Place::Taken => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct World {
        queue: Queue,
        start: Instant,
    }

    impl World {
        fn new(pods: &[(&str, i32, i64)]) -> Self {
            let mut queue = Queue::default();
            for (uid, priority, created) in pods {
                queue.add(&Arc::from(*uid), *priority, *created);
            }
            Self {
                queue,
                start: Instant::now(),
            }
        }

        fn at(&self, millis: u64) -> Instant {
            self.start + Duration::from_millis(millis)
        }

        fn pop(&mut self, millis: u64) -> Option<String> {
            let now = self.at(millis);
            self.queue.pop(now).map(|uid| uid.to_string())
        }
    }

    #[test]
    fn priority_goes_first_then_age_then_arrival() {
        let mut world = World::new(&[("young", 0, 9), ("old", 0, 1), ("urgent", 5, 9), ("old too", 0, 1)]);
        let order: Vec<_> = std::iter::from_fn(|| world.pop(0)).collect();
        assert_eq!(order, ["urgent", "old", "old too", "young"]);
    }

    #[test]
    fn a_parked_pod_waits_for_an_event_or_the_net() {
        let mut world = World::new(&[("a", 0, 0)]);
        world.pop(0);
        world.queue.park("a", world.at(0));
        assert_eq!(world.pop(299_999), None);
        assert_eq!(world.queue.next_due(), Some(world.at(300_000)));
        assert_eq!(world.pop(300_000).as_deref(), Some("a"));
    }

    #[test]
    fn a_woken_pod_goes_at_once_while_it_is_eager_and_after_its_rest_later() {
        let mut world = World::new(&[("a", 0, 0)]);
        for attempt in 0..3 {
            assert_eq!(world.pop(attempt).as_deref(), Some("a"), "attempt {attempt}");
            world.queue.park("a", world.at(attempt));
            world.queue.wake("a", Cause::NodeUpdate, world.at(attempt));
        }
        assert_eq!(world.pop(3).as_deref(), Some("a"), "the third failure is still eager");
        world.queue.park("a", world.at(3));
        world.queue.wake("a", Cause::NodeUpdate, world.at(4));
        assert_eq!(world.pop(8_002), None, "the fourth rests eight seconds");
        assert_eq!(world.pop(8_003).as_deref(), Some("a"));
    }

    #[test]
    fn an_eager_pod_lets_ready_ones_go_first() {
        let mut world = World::new(&[("eager", 9, 0)]);
        world.pop(0);
        world.queue.park("eager", world.at(0));
        world.queue.wake("eager", Cause::NodeUpdate, world.at(1));
        world.queue.add(&Arc::from("new"), 0, 5);
        assert_eq!(world.pop(1).as_deref(), Some("new"));
        assert_eq!(world.pop(1).as_deref(), Some("eager"));
        assert_eq!(world.pop(5_000), None, "and goes only once");
    }

    #[test]
    fn a_delayed_pod_is_not_woken_early_and_the_delay_grows_to_ten_seconds() {
        let mut world = World::new(&[("a", 0, 0)]);
        let mut now = 0;
        for seconds in [1, 2, 4, 8, 10, 10] {
            assert_eq!(world.pop(now).as_deref(), Some("a"));
            world.queue.delay("a", world.at(now));
            world.queue.wake("a", Cause::NodeUpdate, world.at(now));
            assert_eq!(world.pop(now + seconds * 1000 - 1), None);
            now += seconds * 1000;
        }
        assert_eq!(world.pop(now).as_deref(), Some("a"));
    }

    #[test]
    fn a_removed_pod_is_gone_from_everywhere() {
        for put in ["ready", "parked", "woken", "delayed", "taken"] {
            let mut world = World::new(&[("a", 0, 0)]);
            let now = world.at(0);
            if put != "ready" {
                world.pop(0);
            }
            match put {
                "parked" => world.queue.park("a", now),
                "woken" => {
                    world.queue.park("a", now);
                    world.queue.wake("a", Cause::NodeUpdate, now);
                }
                "delayed" => world.queue.delay("a", now),
                _ => {}
            }
            world.queue.remove("a");
            assert!(world.queue.is_empty() && world.queue.none_parked(), "{put}");
            assert_eq!(world.queue.next_due(), None, "{put}");
            assert_eq!(world.pop(1_000_000), None, "{put}");
        }
    }
}
