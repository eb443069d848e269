//! Writes a pod's status to the API, off the path that starts containers: only the newest counts, and only if it differs.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use k8s_openapi::api::core::v1::{Pod, PodStatus};
use kube::api::PostParams;
use kube::{Api, Client, ResourceExt};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::client::Told;
use crate::object::prepull;

/// Waits between tries while the API server does not answer; the last one repeats.
const RETRY: [Duration; 4] = [
    Duration::from_millis(200),
    Duration::from_secs(1),
    Duration::from_secs(3),
    Duration::from_secs(10),
];

/// A write that conflicts reads again at once; more conflicts than that in a row are no coincidence.
const MAX_CONFLICTS: u32 = 8;

/// Publishes the status of one pod.
pub struct Report {
    shared: Arc<Shared>,
    wanted: watch::Sender<Option<PodStatus>>,
    stop: CancellationToken,
}

struct Shared {
    client: Client,
    /// The newest version of the pod that anybody has seen.
    latest: Mutex<Arc<Pod>>,
    /// Held while writing, so that writes of one pod do not overtake each other.
    writing: tokio::sync::Mutex<()>,
}

/// Whether a write that failed is worth another try.
enum Written {
    /// The API shows the status.
    Done,
    /// The pod is gone.
    Gone,
    /// The API server did not take it.
    Failed(kube::Error),
}

impl Report {
    /// Starts publishing for this pod, until dropped.
    pub fn start(client: Client, pod: Arc<Pod>) -> Self {
        let shared = Arc::new(Shared {
            client,
            latest: Mutex::new(pod),
            writing: tokio::sync::Mutex::new(()),
        });
        let (wanted, receiver) = watch::channel(None);
        let stop = CancellationToken::new();
        tokio::spawn(publish(shared.clone(), receiver, stop.clone()));
        Self { shared, wanted, stop }
    }

    /// The newest version of the pod: what the watch brought, or the answer to our own write if that is newer.
    pub fn newest(&self, watched: &Arc<Pod>) -> Arc<Pod> {
        let mut latest = self.shared.lock();
        if version(watched) > version(&latest) {
            *latest = watched.clone();
        }
        latest.clone()
    }

    /// Has the status written soon.
    pub fn publish(&self, status: PodStatus) {
        let shown = self.shared.lock().status.as_ref() == Some(&status);
        self.wanted.send_if_modified(|wanted| {
            let differs = !shown || wanted.as_ref() != Some(&status);
            if differs {
                *wanted = Some(status);
            }
            differs
        });
    }

    /// Writes the status now and returns when the API shows it or the pod is gone.
    ///
    /// # Errors
    /// Where the API server does not take it.
    pub async fn publish_now(&self, status: PodStatus) -> Result<(), kube::Error> {
        match self.shared.write(&status).await {
            Written::Done | Written::Gone => Ok(()),
            Written::Failed(error) => Err(error),
        }
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn publish(shared: Arc<Shared>, mut wanted: watch::Receiver<Option<PodStatus>>, stop: CancellationToken) {
    let work = async {
        let mut failures = 0;
        loop {
            let status = wanted.borrow_and_update().clone();
            if let Some(status) = status
                && let Written::Failed(error) = shared.write(&status).await
            {
                tracing::debug!(error = %Told(&error), "a pod's status was not written");
                let wait = RETRY[failures.min(RETRY.len() - 1)];
                failures += 1;
                tokio::time::sleep(wait).await;
                continue;
            }
            failures = 0;
            if wanted.changed().await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = stop.cancelled() => {}
        () = work => {}
    }
}

impl Shared {
    async fn write(&self, status: &PodStatus) -> Written {
        let _one_at_a_time = self.writing.lock().await;
        for _ in 0..MAX_CONFLICTS {
            let latest = self.lock().clone();
            let status = merged(status, &latest);
            if latest.status.as_ref() == Some(&status) {
                return Written::Done;
            }
            let (name, uid) = (latest.name_any(), latest.uid());
            let api = Api::<Pod>::namespaced(self.client.clone(), &latest.namespace().unwrap_or_default());
            let body = Pod {
                status: Some(status),
                ..Pod::clone(&latest)
            };
            match api.replace_status(&name, &PostParams::default(), &body).await {
                Ok(written) => {
                    self.advance(Arc::new(written));
                    return Written::Done;
                }
                Err(kube::Error::Api(refusal)) if refusal.code == 404 => return Written::Gone,
                Err(kube::Error::Api(refusal)) if refusal.code == 409 => match api.get_opt(&name).await {
                    Ok(Some(current)) if current.uid() == uid => self.advance(Arc::new(current)),
                    Ok(_) => return Written::Gone,
                    Err(error) => return Written::Failed(error),
                },
                Err(error) => return Written::Failed(error),
            }
        }
        // The watch will bring what keeps changing, and the worker decides anew.
        Written::Done
    }

    fn advance(&self, pod: Arc<Pod>) {
        let mut latest = self.lock();
        if version(&pod) >= version(&latest) {
            *latest = pod;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Arc<Pod>> {
        self.latest.lock().expect("nobody panics while holding this lock")
    }
}

/// Our status with the conditions that others have set since it was computed.
fn merged(status: &PodStatus, latest: &Pod) -> PodStatus {
    let mut merged = status.clone();
    let conditions = merged.conditions.get_or_insert_default();
    let current = latest.status.as_ref().and_then(|status| status.conditions.as_ref());
    for condition in current.into_iter().flatten() {
        match conditions.iter_mut().find(|ours| ours.type_ == condition.type_) {
            // One that is taken back.
            None if condition.type_ == prepull::CONDITION => {}
            None => conditions.push(condition.clone()),
            Some(ours) if !OURS.contains(&ours.type_.as_str()) => *ours = condition.clone(),
            Some(_) => {}
        }
    }
    merged
}

/// The conditions that a kubelet decides.
const OURS: [&str; 6] = [
    prepull::CONDITION,
    "PodReadyToStartContainers",
    "Initialized",
    "Ready",
    "ContainersReady",
    "PodScheduled",
];

/// Versions are the store's revisions, which count up; one that is no number is taken for old.
fn version(pod: &Pod) -> u64 {
    pod.metadata
        .resource_version
        .as_deref()
        .and_then(|text| text.parse().ok())
        .unwrap_or(0)
}
