//! Which plugins keep pods from being placed, counted by profile. Pure.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use crate::scheduler::schedule::Unschedulable;

/// A profile's name and a plugin's.
type Key = (Arc<str>, &'static str);

/// Pods that were refused and not tried since, by what refused them.
#[derive(Debug, Default)]
pub(super) struct Refused {
    pods: HashMap<Arc<str>, (Arc<str>, BTreeSet<&'static str>)>,
    counts: HashMap<Key, usize>,
    /// Counts that changed since they were last asked for.
    changed: BTreeSet<Key>,
}

impl Refused {
    /// A pod of that profile fits nowhere.
    pub(super) fn add(&mut self, uid: &Arc<str>, profile: &Arc<str>, refused: &Unschedulable) {
        let reasons = refused.refusals.iter().flat_map(|(_, reasons)| reasons);
        let plugins: BTreeSet<&'static str> = reasons.filter_map(|reason| reason.plugin()).collect();
        for plugin in &plugins {
            self.change((profile.clone(), plugin), |count| count + 1);
        }
        self.pods.insert(uid.clone(), (profile.clone(), plugins));
    }

    /// It is tried again, or gone.
    pub(super) fn remove(&mut self, uid: &str) {
        let Some((profile, plugins)) = self.pods.remove(uid) else {
            return;
        };
        for plugin in plugins {
            self.change((profile.clone(), plugin), |count| count.saturating_sub(1));
        }
    }

    fn change(&mut self, key: Key, to: impl Fn(usize) -> usize) {
        let count = self.counts.entry(key.clone()).or_default();
        *count = to(*count);
        self.changed.insert(key);
    }

    /// How many pods are kept by what, where that changed.
    pub(super) fn take_changed(&mut self) -> Vec<(Key, usize)> {
        let changed = std::mem::take(&mut self.changed).into_iter();
        changed
            .map(|key| {
                let count = self.counts.get(&key).copied().unwrap_or_default();
                (key, count)
            })
            .collect()
    }
}
