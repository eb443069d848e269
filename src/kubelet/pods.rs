//! The pods bound to this node, as last read from the API. Knows the difference between "gone" and "not read yet".

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::runtime::watcher::Event;

/// The node's pods by uid.
#[derive(Default)]
pub struct Pods {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    present: HashMap<String, Arc<Pod>>,
    /// What was last seen of pods that are gone, until their worker forgets them.
    gone: HashMap<String, Arc<Pod>>,
    /// A list being read; it replaces `present` once it is complete.
    incoming: Option<HashMap<String, Arc<Pod>>>,
    read: bool,
}

/// What is known of a pod.
#[derive(Clone, Debug)]
pub enum Known {
    /// It is in the API.
    Pod(Arc<Pod>),
    /// It is not in the API (any more); what was last seen of it.
    Gone(Option<Arc<Pod>>),
    /// Nobody knows: the API has not been read.
    Unread,
}

impl Pods {
    /// What is known of the pod with this uid.
    pub fn get(&self, uid: &str) -> Known {
        let inner = self.lock();
        match inner.present.get(uid) {
            Some(pod) => Known::Pod(pod.clone()),
            None if inner.read => Known::Gone(inner.gone.get(uid).cloned()),
            None => Known::Unread,
        }
    }

    /// The pod of that namespace and name.
    pub fn find(&self, namespace: &str, name: &str) -> Option<Arc<Pod>> {
        let inner = self.lock();
        let matches = |pod: &&Arc<Pod>| {
            pod.metadata.name.as_deref() == Some(name) && pod.metadata.namespace.as_deref() == Some(namespace)
        };
        inner.present.values().find(matches).cloned()
    }

    /// Whether a list of all pods was read.
    pub fn read(&self) -> bool {
        self.lock().read
    }

    /// The uids of all pods in the API.
    pub fn uids(&self) -> Vec<String> {
        self.lock().present.keys().cloned().collect()
    }

    /// Takes what the watch delivers; returns the uids to look at.
    pub fn apply(&self, event: Event<Pod>) -> Vec<String> {
        let mut inner = self.lock();
        match event {
            Event::Init => {
                inner.incoming = Some(HashMap::new());
                Vec::new()
            }
            Event::InitApply(pod) => {
                let uid = pod.uid().unwrap_or_default();
                if let Some(incoming) = &mut inner.incoming {
                    incoming.insert(uid, Arc::new(pod));
                }
                Vec::new()
            }
            Event::InitDone => {
                let incoming = inner.incoming.take().unwrap_or_default();
                let before = std::mem::replace(&mut inner.present, incoming);
                inner.read = true;
                let mut uids = inner.present.keys().cloned().collect::<Vec<_>>();
                for (uid, pod) in before {
                    if !inner.present.contains_key(&uid) {
                        uids.push(uid.clone());
                        inner.gone.insert(uid, pod);
                    }
                }
                uids
            }
            Event::Apply(pod) => {
                let uid = pod.uid().unwrap_or_default();
                inner.present.insert(uid.clone(), Arc::new(pod));
                vec![uid]
            }
            Event::Delete(pod) => {
                let uid = pod.uid().unwrap_or_default();
                inner.present.remove(&uid);
                inner.gone.insert(uid.clone(), Arc::new(pod));
                vec![uid]
            }
        }
    }

    /// Drops what was remembered of a pod that left nothing behind.
    pub fn forget(&self, uid: &str) {
        self.lock().gone.remove(uid);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("nobody panics while holding this lock")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kubelet::testing;

    #[test]
    fn a_pod_is_gone_only_once_a_whole_list_was_read() {
        let pods = Pods::default();
        let pod = testing::pod("Always", &["c"]);
        assert!(matches!(pods.get("u-1"), Known::Unread));
        pods.apply(Event::Init);
        assert!(matches!(pods.get("u-1"), Known::Unread), "the list is not complete");
        pods.apply(Event::InitApply(pod.clone()));
        assert_eq!(pods.apply(Event::InitDone), ["u-1"]);
        assert!(matches!(pods.get("u-1"), Known::Pod(_)));
        assert!(matches!(pods.get("u-2"), Known::Gone(None)));
        pods.apply(Event::Init);
        assert!(
            matches!(pods.get("u-1"), Known::Pod(_)),
            "a second list that is not complete removes nothing"
        );
        assert_eq!(pods.apply(Event::InitDone), ["u-1"]);
        assert!(matches!(pods.get("u-1"), Known::Gone(Some(_))));
        pods.forget("u-1");
        assert!(matches!(pods.get("u-1"), Known::Gone(None)));
    }
}
