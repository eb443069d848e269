//! Pulls the images of containers in the background.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container as Spec, Pod};
use tokio::time::Instant;

use super::hold::Pace;
use super::{Outcome, Worker};
use crate::kubelet::docker::DockerError;
use crate::kubelet::events::Kind;
use crate::kubelet::{labels, pod, pull_secrets};

/// What a pull ended with.
pub(super) struct Pulled {
    pod: Arc<Pod>,
    container: String,
    image: String,
    took: Duration,
    result: Result<(), DockerError>,
}

impl Worker {
    /// Begins to pull the container's image; the end wakes the worker.
    pub(super) fn pull(&mut self, pod: &Arc<Pod>, spec: &Spec) {
        let image = spec.image.clone().unwrap_or_default();
        self.tell(
            pod,
            &spec.name,
            Kind::Normal,
            "Pulling",
            format!("Pulling image {image:?}"),
        );
        self.hold_while_pulling(spec);
        let (context, pod) = (self.context.clone(), pod.clone());
        let container = spec.name.clone();
        self.background.spawn(async move {
            let begun = Instant::now();
            let result = pull_secrets::pull_for(&context, &pod, &image).await;
            Outcome::Pulled(Pulled {
                pod,
                container,
                image,
                took: begun.elapsed(),
                result,
            })
        });
    }

    /// Takes what a pull ended with.
    pub(super) fn take_pull(&mut self, pulled: Pulled) {
        let Pulled {
            pod,
            container,
            image,
            took,
            result,
        } = pulled;
        let Some(spec) = pod::container(&pod, &container) else {
            return;
        };
        let asked = self.local.holds.get(&container).map(|hold| hold.hash.as_str());
        if asked != Some(labels::spec_hash(spec).as_str()) {
            // The container names another image by now.
            return;
        }
        match result {
            Ok(()) => {
                let message = format!("Successfully pulled image {image:?} in {}ms", took.as_millis());
                self.tell(&pod, &container, Kind::Normal, "Pulled", message);
                self.local.holds.remove(&container);
                self.pulled.insert((container, image));
            }
            Err(error) => {
                let message = format!("Failed to pull image {image:?}: {error}");
                let back_off = format!("Back-off pulling image {image:?}");
                self.tell(&pod, &container, Kind::Warning, "Failed", message.clone());
                self.tell(
                    &pod,
                    &container,
                    Kind::Warning,
                    "Failed",
                    "Error: ErrImagePull".to_owned(),
                );
                self.tell(&pod, &container, Kind::Normal, "BackOff", back_off);
                self.tell(
                    &pod,
                    &container,
                    Kind::Warning,
                    "Failed",
                    "Error: ImagePullBackOff".to_owned(),
                );
                self.hold(spec, "ErrImagePull", message, Pace::PULL);
            }
        }
    }
}
