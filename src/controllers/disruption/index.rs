//! The budgets and pods there are, and which budgets are to be counted. Pure.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use k8s_openapi::jiff::Timestamp;

use super::count::{Counted, PodView, count};
use crate::object::disruption;

/// An object's namespace and name.
pub type Key = (String, String);

/// Everything counting needs to know.
#[derive(Debug, Default)]
pub struct Index {
    budgets: BTreeMap<Key, PodDisruptionBudget>,
    pods: BTreeMap<Key, PodView>,
    /// Budgets whose count may have changed.
    stale: BTreeSet<Key>,
}

impl Index {
    /// Whether there is nothing to count.
    pub fn is_empty(&self) -> bool {
        self.budgets.is_empty()
    }

    /// The budgets that are to be counted; they stay so until [`Index::take`].
    pub fn stale(&self) -> Vec<Key> {
        self.stale.iter().cloned().collect()
    }

    /// A budget that is to be counted, with what it comes to; from now on only news make it so again.
    pub fn take(&mut self, key: &Key, now: Timestamp) -> Option<(&PodDisruptionBudget, Counted)> {
        self.stale.remove(key);
        let budget = self.budgets.get(key)?;
        let pods = namespace(&self.pods, &key.0);
        Some((budget, count(budget, pods.map(|(_, pod)| pod), now)))
    }

    /// Has a budget counted once more.
    pub fn count_again(&mut self, key: Key) {
        if self.budgets.contains_key(&key) {
            self.stale.insert(key);
        }
    }

    /// Takes in a budget that is new or changed; what is older than what is known is no news.
    pub fn budget_changed(&mut self, budget: PodDisruptionBudget) {
        let key = key(budget.metadata.namespace.as_deref(), budget.metadata.name.as_deref());
        let known = self.budgets.get(&key).and_then(version);
        if known.is_some() && version(&budget) <= known {
            return;
        }
        self.budgets.insert(key.clone(), budget);
        self.stale.insert(key);
    }

    /// Forgets a budget.
    pub fn budget_gone(&mut self, key: &Key) {
        self.budgets.remove(key);
        self.stale.remove(key);
    }

    /// Takes in a pod that is new or changed.
    pub fn pod_changed(&mut self, pod: &Pod) {
        let key = pod_key(pod);
        let now = PodView::read(pod);
        let before = self.pods.insert(key.clone(), now.clone());
        if before.as_ref() != Some(&now) {
            self.concern(&key.0, before.iter().chain([&now]));
        }
    }

    /// Forgets a pod.
    pub fn pod_gone(&mut self, key: &Key) {
        if let Some(pod) = self.pods.remove(key) {
            self.concern(&key.0, [&pod]);
        }
    }

    /// Forgets every budget that a complete list did not have.
    pub fn keep_budgets(&mut self, listed: &BTreeSet<Key>) {
        let gone: Vec<Key> = self
            .budgets
            .keys()
            .filter(|key| !listed.contains(*key))
            .cloned()
            .collect();
        gone.iter().for_each(|key| self.budget_gone(key));
    }

    /// Forgets every pod that a complete list did not have.
    pub fn keep_pods(&mut self, listed: &BTreeSet<Key>) {
        let gone: Vec<Key> = self.pods.keys().filter(|key| !listed.contains(*key)).cloned().collect();
        gone.iter().for_each(|key| self.pod_gone(key));
    }

    /// Has the budgets counted that select a pod as it is or was.
    fn concern<'a>(&mut self, of: &str, pods: impl IntoIterator<Item = &'a PodView> + Clone) {
        let concerned = namespace(&self.budgets, of).filter(|(_, budget)| {
            // What cannot be counted is to say so.
            let selects = |pod: &PodView| disruption::selects(budget, &pod.labels).unwrap_or(true);
            pods.clone().into_iter().any(selects)
        });
        self.stale.extend(concerned.map(|(key, _)| key.clone()));
    }
}

/// The key of an object with that namespace and name.
pub fn key(namespace: Option<&str>, name: Option<&str>) -> Key {
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    (text(namespace), text(name))
}

/// The key of a pod.
pub fn pod_key(pod: &Pod) -> Key {
    key(pod.metadata.namespace.as_deref(), pod.metadata.name.as_deref())
}

/// What lies in that namespace.
fn namespace<'a, V>(all: &'a BTreeMap<Key, V>, namespace: &str) -> impl Iterator<Item = (&'a Key, &'a V)> {
    let namespace = namespace.to_owned();
    let first = (namespace.clone(), String::new());
    all.range(first..).take_while(move |(key, _)| key.0 == namespace)
}

/// Later states of an object have higher ones.
fn version(budget: &PodDisruptionBudget) -> Option<u64> {
    budget.metadata.resource_version.as_ref()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn budget(name: &str, app: &str, version: u64) -> PodDisruptionBudget {
        let budget = json!({
            "metadata": {"name": name, "namespace": "default", "resourceVersion": version.to_string()},
            "spec": {"minAvailable": 0, "selector": {"matchLabels": {"app": app}}},
        });
        serde_json::from_value(budget).expect("a budget")
    }

    fn pod(namespace: &str, app: &str, more: Value) -> Pod {
        let pod = json!({
            "metadata": {"name": "p", "namespace": namespace, "labels": {"app": app}},
            "status": more,
        });
        serde_json::from_value(pod).expect("a pod")
    }

    /// Names of what is to be counted, which then counts as counted.
    fn counted(index: &mut Index) -> Vec<String> {
        let stale = index.stale();
        stale
            .into_iter()
            .filter_map(|key| index.take(&key, Timestamp::UNIX_EPOCH).map(|_| key.1.clone()))
            .collect()
    }

    #[test]
    fn only_news_of_a_budgets_own_pods_have_it_counted() {
        let mut index = Index::default();
        index.budget_changed(budget("db", "db", 1));
        index.budget_changed(budget("web", "web", 2));
        assert_eq!(counted(&mut index), ["db", "web"], "they are new");
        let ready = json!({"conditions": [{"type": "Ready", "status": "True"}]});
        for (name, pod, wanted) in [
            ("new", pod("default", "web", json!({})), &["web"][..]),
            ("same", pod("default", "web", json!({"podIP": "10.0.0.1"})), &[]),
            ("ready", pod("default", "web", ready.clone()), &["web"]),
            ("another's now", pod("default", "db", ready), &["db", "web"]),
            ("elsewhere", pod("other", "web", json!({})), &[]),
        ] {
            index.pod_changed(&pod);
            assert_eq!(counted(&mut index), wanted, "{name}");
        }
        index.pod_gone(&key(Some("default"), Some("p")));
        assert_eq!(counted(&mut index), ["db"], "gone");
        index.pod_gone(&key(Some("default"), Some("p")));
        assert!(counted(&mut index).is_empty(), "gone already");
    }

    #[test]
    fn what_is_older_than_known_is_no_news() {
        let mut index = Index::default();
        index.budget_changed(budget("b", "web", 5));
        assert_eq!(counted(&mut index), ["b"]);
        for (name, version, wanted) in [("the same", 5, &[][..]), ("older", 4, &[]), ("newer", 6, &["b"])] {
            index.budget_changed(budget("b", "web", version));
            assert_eq!(counted(&mut index), wanted, "{name}");
        }
        index.keep_budgets(&BTreeSet::new());
        assert!(index.is_empty());
        index.count_again(key(Some("default"), Some("b")));
        assert!(counted(&mut index).is_empty(), "it is gone");
    }

    #[test]
    fn a_list_that_begins_anew_forgets_what_it_does_not_have() {
        let mut index = Index::default();
        index.budget_changed(budget("web", "web", 1));
        index.pod_changed(&pod("default", "web", json!({})));
        assert_eq!(counted(&mut index), ["web"]);
        index.keep_pods(&BTreeSet::from([key(Some("default"), Some("p"))]));
        assert!(counted(&mut index).is_empty());
        index.keep_pods(&BTreeSet::new());
        let web = key(Some("default"), Some("web"));
        let (_, count) = index.take(&web, Timestamp::UNIX_EPOCH).expect("the budget");
        assert_eq!(count.status.expected_pods, Some(0));
    }
}
