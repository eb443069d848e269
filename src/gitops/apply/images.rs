//! The images of a pod that is to be replaced: the old one goes once the kubelet that runs it has those of the new one.

use k8s_openapi::api::core::v1::Node;
use kube::core::ApiResource;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{Applier, GONE_POLL, MOMENT, Patience};
use crate::gitops::health::is_finished_pod;
use crate::gitops::kinds::Resource;
use crate::gitops::plan::Step;
use crate::object::prepull::{self, Prepull};

/// What is known of the images of a new pod.
pub(super) enum Images {
    /// They are on the node, or nobody can say.
    Present,
    /// They are asked for; what is waited for.
    Awaited(String),
    /// They cannot be had.
    Failed(String),
}

/// What kubelets of ours have in their version, by which they tell that they understand the annotation.
const OUR_KUBELET: &str = "+reconcile.";

impl Applier<'_> {
    /// Whether the old pod may go, by the images of the new one; asks for them where its kubelet is one of ours.
    pub(super) async fn images(&self, step: &Step, manifest: &Value, live: &Value) -> Result<Images, kube::Error> {
        let node = live["spec"]["nodeName"].as_str().filter(|node| !node.is_empty());
        let is_pod = step.key.kind == "Pod" && step.key.group.is_empty();
        let (Some(node), true, false) = (node, is_pod, is_finished_pod(live)) else {
            return Ok(Images::Present);
        };
        let asked = Prepull::of(&step.predicted.as_ref().unwrap_or(manifest)["spec"]);
        if asked.is_used_by(live) || !self.is_understood_by(node).await? {
            return Ok(Images::Present);
        }
        let text = asked.text();
        let mark = prepull::mark(&text);
        if live["metadata"]["annotations"][prepull::ANNOTATION] != text.as_str() {
            self.annotate(step, live, json!(text)).await?;
        }
        let limit = match self.patience {
            Patience::Moment => Instant::now() + MOMENT,
            Patience::Until(deadline) => deadline,
        };
        let mut pause = GONE_POLL.0;
        loop {
            let namespace = step.key.namespace.as_deref();
            let now = self.requests.get(&step.resource, namespace, &step.key.name).await?;
            let Some(now) = now.filter(|now| now["metadata"]["uid"] == live["metadata"]["uid"]) else {
                return Ok(Images::Present);
            };
            let answer = prepull::answer(&now, &mark);
            match (answer, self.patience) {
                (Some(Ok(())), _) => return Ok(Images::Present),
                (Some(Err(reason)), Patience::Moment) => return Ok(Images::Failed(reason)),
                (Some(Err(reason)), _) if Instant::now() >= limit => return Ok(Images::Failed(reason)),
                (None, Patience::Moment) if Instant::now() >= limit => {
                    return Ok(Images::Awaited(format!("it waits for images: {}", asked.names())));
                }
                (None, _) if Instant::now() >= limit => {
                    return Ok(Images::Failed(format!("not present in time: {}", asked.names())));
                }
                _ => {}
            }
            sleep(pause).await;
            pause = (pause * 2).min(GONE_POLL.1);
        }
    }

    /// Takes the request for images back where the pod is not to be replaced any more.
    pub(super) async fn ask_no_more(&self, step: &Step, live: &Value) -> Result<(), kube::Error> {
        if live["metadata"]["annotations"][prepull::ANNOTATION].is_null() {
            return Ok(());
        }
        match self.annotate(step, live, Value::Null).await {
            // Gone, or another by now.
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
            result => result,
        }
    }

    async fn annotate(&self, step: &Step, live: &Value, value: Value) -> Result<(), kube::Error> {
        let metadata = json!({"uid": live["metadata"]["uid"], "annotations": {prepull::ANNOTATION: value}});
        let patch = json!({"metadata": metadata});
        let namespace = step.key.namespace.as_deref();
        let patched = self.requests.merge(&step.resource, namespace, &step.key.name, &patch);
        patched.await.map(drop)
    }

    /// Whether the kubelet of that node is one of ours. One that is gone, or that we may not ask about, is not.
    async fn is_understood_by(&self, node: &str) -> Result<bool, kube::Error> {
        let nodes = Resource {
            api: ApiResource::erase::<Node>(&()),
            singular: "node".to_owned(),
            namespaced: false,
        };
        match self.requests.get(&nodes, None, node).await {
            Ok(found) => Ok(found.is_some_and(|node| {
                let version = node["status"]["nodeInfo"]["kubeletVersion"].as_str();
                version.is_some_and(|version| version.contains(OUR_KUBELET))
            })),
            Err(kube::Error::Api(status)) if status.code == 403 => Ok(false),
            Err(error) => Err(error),
        }
    }
}
