//! The end of a pod: its last status, its removal from Docker, the API and this host.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, Preconditions};

use super::{Error, Worker, files};
use crate::kubelet::labels;
use crate::kubelet::observed::Observed;

impl Worker {
    /// The last status, then no containers, then no API object: nobody sees a deleted pod's container run.
    pub(super) async fn finish_deletion(&mut self, pod: &Arc<Pod>, observed: &Observed) -> Result<(), Error> {
        let last = self.status(pod, observed, Timestamp::now());
        if let Some(report) = &self.report {
            report.publish(last.clone());
            report.publish_now(last).await?;
        }
        let containers = observed.containers.iter().map(|container| &container.id);
        let sandboxes = observed.sandboxes.iter().map(|sandbox| &sandbox.id);
        let removals = containers.chain(sandboxes).map(|id| self.context.engine.remove(id));
        futures::future::try_join_all(removals).await?;
        let namespace = pod.namespace().unwrap_or_default();
        let api = Api::<Pod>::namespaced(self.context.client.clone(), &namespace);
        let parameters = DeleteParams {
            grace_period_seconds: Some(0),
            preconditions: Some(Preconditions {
                uid: pod.uid(),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        match api.delete(&pod.name_any(), &parameters).await {
            Ok(_) => Ok(()),
            // Gone already, or its name belongs to another pod by now.
            Err(kube::Error::Api(refusal)) if matches!(refusal.code, 404 | 409) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes what is left on this host.
    pub(super) async fn forget(&mut self) -> Result<(), Error> {
        self.background.shutdown().await;
        let mut labels = self.context.labels.clone();
        labels.insert(labels::POD_UID.to_owned(), self.uid.clone());
        self.context.engine.remove_volumes(&labels).await?;
        files::remove(&self.context.config, &self.uid)
            .await
            .map_err(Error::Files)?;
        self.context.pods.forget(&self.uid);
        Ok(())
    }
}
