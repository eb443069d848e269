//! Objects that another hand changes again as often as we repair them: those repairs come ever less often, so that two
//! controllers do not keep a cluster busy. Pure: the time comes in as an argument.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use super::report::ObjectKey;

/// Repairs of one object within [`WINDOW`] that are nothing unusual.
const USUAL: usize = 5;
/// Over how long repairs are counted, and how long after a pause a repair belongs to the same fight.
const WINDOW: Duration = Duration::from_secs(60);
/// The first and the longest pause.
const PAUSE: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(300));

/// All fights.
#[derive(Debug, Default)]
pub(super) struct Fights(HashMap<ObjectKey, Fight>);

#[derive(Debug, Default)]
struct Fight {
    /// Repairs of the last minute.
    repairs: VecDeque<Instant>,
    /// The last pause and when it ends.
    pause: Option<(Duration, Instant)>,
}

impl Fights {
    /// An object was repaired.
    pub fn note(&mut self, key: &ObjectKey, now: Instant) {
        self.0.retain(|_, fight| fight.is_fresh(now));
        let fight = self.0.entry(key.clone()).or_default();
        fight.repairs.retain(|at| now.duration_since(*at) < WINDOW);
        fight.repairs.push_back(now);
        let goes_on = fight.pause.is_some();
        if goes_on || fight.repairs.len() > USUAL {
            let pause = fight.pause.map_or(PAUSE.0, |(pause, _)| (pause * 2).min(PAUSE.1));
            fight.pause = Some((pause, now + pause));
            fight.repairs.clear();
        }
    }

    /// The whole of the time for which an object is left as others have it, while that lasts.
    pub fn pause(&self, key: &ObjectKey, now: Instant) -> Option<Duration> {
        let (pause, until) = self.0.get(key)?.pause?;
        (now < until).then_some(pause)
    }

    /// When the next pause ends.
    pub fn next(&self, now: Instant) -> Option<Instant> {
        let ends = self.0.values().filter_map(|fight| fight.pause);
        ends.map(|(_, until)| until).filter(|until| *until > now).min()
    }
}

impl Fight {
    fn is_fresh(&self, now: Instant) -> bool {
        let pause = self.pause.is_some_and(|(_, until)| now < until + WINDOW);
        pause || self.repairs.back().is_some_and(|at| now.duration_since(*at) < WINDOW)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> ObjectKey {
        ObjectKey {
            group: String::new(),
            kind: "ConfigMap".into(),
            namespace: Some("default".into()),
            name: name.into(),
        }
    }

    #[test]
    fn a_fight_is_paused_ever_longer_and_forgotten_when_it_is_over() {
        let (mut fights, mut now) = (Fights::default(), Instant::now());
        for _ in 0..USUAL {
            fights.note(&key("a"), now);
            now += Duration::from_secs(1);
        }
        assert_eq!(fights.pause(&key("a"), now), None);
        for pause in [10, 20, 40, 80, 160, 300, 300] {
            fights.note(&key("a"), now);
            let rest = Duration::from_secs(pause);
            assert_eq!(fights.pause(&key("a"), now), Some(rest));
            assert_eq!(fights.next(now), Some(now + rest));
            assert_eq!(fights.pause(&key("b"), now), None);
            now += rest;
            assert_eq!(fights.pause(&key("a"), now), None);
        }
        now += WINDOW;
        fights.note(&key("b"), now);
        fights.note(&key("a"), now);
        assert_eq!((fights.pause(&key("a"), now), fights.next(now)), (None, None));
    }

    #[test]
    fn repairs_now_and_then_are_no_fight() {
        let (mut fights, mut now) = (Fights::default(), Instant::now());
        for _ in 0..50 {
            fights.note(&key("a"), now);
            now += WINDOW / 4;
            assert_eq!(fights.pause(&key("a"), now), None);
        }
    }
}
