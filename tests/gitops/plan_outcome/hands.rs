//! What others do to the cluster between two syncs, and what the cluster itself does during one.

use std::collections::BTreeSet;

use http::{Method, Request};
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use reconcile::store::Store;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::objects::{NAMESPACE, POD, Shape, Subject, manifest};
use crate::gitops::state::{let_go, list};

const PART_OF: &str = "applyset.kubernetes.io/part-of";
const MERGE: &str = "application/merge-patch+json";

/// Another hand.
pub struct Hands<'a> {
    pub client: &'a kube::Client,
    /// What was done, for the message of a failing pair.
    pub log: Vec<String>,
}

impl Hands<'_> {
    /// One act; many are refused, as life goes.
    pub async fn act(&mut self, random: &mut StdRng, store: &dyn Store) {
        let all = Subject::all();
        let keys: BTreeSet<String> = list(store).await.into_iter().map(|item| item.key).collect();
        let there: Vec<Subject> = (all.iter().copied())
            .filter(|subject| keys.contains(&subject.key()))
            .collect();
        let shape = Shape {
            labels: random.random_range(0..3),
            data: random.random_range(0..3),
            fixed: random.random_range(0..3),
            image: random.random_range(0..2),
        };
        if random.random_bool(0.15) {
            // A namespace first, now and then: otherwise little would ever lie in them.
            let newcomer = *all.choose(random).expect("some");
            let mut object = manifest(&newcomer, shape);
            if random.random_bool(0.3) {
                object["metadata"]["labels"] = json!({PART_OF: "applyset-of-another-source-v1"});
            }
            return self
                .send(
                    Method::POST,
                    &newcomer.collection(),
                    "kubectl-create",
                    "application/json",
                    &object,
                )
                .await;
        }
        let Some(subject) = there.choose(random).copied() else {
            return;
        };
        let path = subject.path();
        let kind = random.random_range(0..13);
        match kind {
            0 => {
                self.merge(&path, json!({"metadata": {"labels": {"app": "edited"}}}))
                    .await
            }
            1 => {
                self.merge(
                    &path,
                    json!({"metadata": {"labels": {"theirs": "x"}, "annotations": {"theirs": "y"}}}),
                )
                .await
            }
            2 => self.merge(&path, content(&subject, shape)).await,
            3 => {
                let object = manifest(&subject, shape);
                let path = format!("{path}?force=true");
                self.send(Method::PATCH, &path, "kubectl", "application/apply-patch+yaml", &object)
                    .await;
            }
            4 => {
                self.send(Method::DELETE, &path, "kubectl", "application/json", &json!({}))
                    .await
            }
            5 => {
                self.merge(
                    &path,
                    json!({"metadata": {"labels": {PART_OF: "applyset-of-another-source-v1"}}}),
                )
                .await
            }
            6 => {
                self.merge(&path, json!({"metadata": {"labels": {PART_OF: null}}}))
                    .await
            }
            7 => {
                self.merge(
                    &path,
                    json!({"metadata": {"annotations": {"reconcile.dev/prune": "disabled"}}}),
                )
                .await
            }
            8 if subject.kind != NAMESPACE => {
                self.merge(&path, json!({"metadata": {"finalizers": ["example.com/hold"]}}))
                    .await;
                self.send(Method::DELETE, &path, "kubectl", "application/json", &json!({}))
                    .await;
            }
            9 | 10 if subject.kind == POD => {
                let binding = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": subject.name}, "target": {"kind": "Node", "name": "node"}});
                self.send(
                    Method::POST,
                    &format!("{path}/binding"),
                    "scheduler",
                    "application/json",
                    &binding,
                )
                .await;
                if kind == 10 {
                    self.send(Method::DELETE, &path, "kubectl", "application/json", &json!({}))
                        .await;
                }
            }
            11 if subject.kind == POD => {
                let phase = *["Running", "Succeeded", "Failed"].choose(random).expect("some");
                let status = json!({"status": {"phase": phase}});
                self.send(Method::PATCH, &format!("{path}/status"), "kubelet", MERGE, &status)
                    .await;
            }
            12 if subject.kind == POD => {
                let image = json!({"spec": {"containers": [{"name": "main", "image": "busybox:edited"}]}});
                self.send(
                    Method::PATCH,
                    &path,
                    "kubectl-set",
                    "application/strategic-merge-patch+json",
                    &image,
                )
                .await;
            }
            _ => {}
        }
    }

    async fn merge(&mut self, path: &str, patch: Value) {
        self.send(Method::PATCH, path, "kubectl-edit", MERGE, &patch).await;
    }

    async fn send(&mut self, method: Method, path: &str, manager: &str, content_type: &str, body: &Value) {
        let sign = if path.contains('?') { '&' } else { '?' };
        let uri = match method {
            Method::DELETE => path.to_owned(),
            _ => format!("{path}{sign}fieldManager={manager}"),
        };
        let request = Request::builder()
            .method(&method)
            .uri(&uri)
            .header("content-type", content_type)
            .body(serde_json::to_vec(body).expect("JSON"))
            .expect("a request");
        let answer = match self.client.request::<Value>(request).await {
            Ok(_) => "done".to_owned(),
            Err(kube::Error::Api(status)) => format!("refused: {}", status.message.lines().next().unwrap_or_default()),
            Err(error) => panic!("{method} {uri}: {error}"),
        };
        self.log.push(format!("{method} {uri} {body}: {answer}"));
    }
}

/// What an object is about, changed without saying what it is.
fn content(subject: &Subject, shape: Shape) -> Value {
    let mut object = manifest(subject, shape);
    if let Some(fields) = object.as_object_mut() {
        fields.retain(|key, _| !["apiVersion", "kind", "metadata", "spec"].contains(&key.as_str()));
        if subject.kind.name == "Lease" {
            fields.insert("spec".into(), json!({"holderIdentity": "thief"}));
        }
    }
    object
}

/// What kubelets and controllers do: let go what was told to go. Ends when told, and then leaves nothing going.
pub async fn cluster(store: &dyn Store, until: CancellationToken) {
    loop {
        let last = until.is_cancelled();
        while let_go(store).await {}
        if last {
            return;
        }
        tokio::select! {
            () = until.cancelled() => {}
            () = tokio::time::sleep(std::time::Duration::from_millis(5)) => {}
        }
    }
}
