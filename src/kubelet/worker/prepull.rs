//! Pulls what the pod that replaces this one will need, as an annotation asks, and remembers the answer for the status.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use super::{Outcome, Worker};
use crate::kubelet::context::Context;
use crate::kubelet::events::Kind;
use crate::kubelet::local::Prepulling;
use crate::kubelet::{images, pod, pull_secrets};
use crate::object::prepull::{self, Prepull, Wanted};

/// Waits between tries: somebody waits for it, and the registry is not to be burdened.
const RETRY: (SignedDuration, SignedDuration) = (SignedDuration::from_secs(2), SignedDuration::from_mins(1));

/// What a try ended with.
pub(super) struct Prepulled {
    pod: Arc<Pod>,
    mark: String,
    result: Result<(), String>,
}

impl Worker {
    /// Begins what the annotation asks for, where that is not done, and takes back the answer where it asks no more.
    pub(super) fn follow_prepull(&mut self, pod: &Arc<Pod>, now: Timestamp) {
        let asked = pod.annotations().get(prepull::ANNOTATION);
        let Some(text) = asked.filter(|_| !pod::is_terminating(pod)) else {
            self.local.prepulling = None;
            return;
        };
        let mark = prepull::mark(text);
        let known = self.local.prepulling.take().filter(|known| known.mark == mark);
        if let Some(known) = known.clone().filter(|known| !known.is_due(now)) {
            self.local.prepulling = Some(known);
            return;
        }
        // What the last try failed with stays to be seen until the end of this one.
        let mut prepulling = known.unwrap_or_else(|| Prepulling {
            mark: mark.clone(),
            ..Prepulling::default()
        });
        match Prepull::parse(text) {
            // Only another text is worth another try.
            Err(reason) => prepulling.result = Some(Err(reason)),
            Ok(asked) => {
                prepulling.under_way = true;
                let (context, pod) = (Arc::clone(&self.context), Arc::clone(pod));
                self.background.spawn(async move {
                    let result = all_present(&context, &pod, &asked).await;
                    Outcome::Prepulled(Prepulled { pod, mark, result })
                });
            }
        }
        self.local.prepulling = Some(prepulling);
    }

    /// When to try again.
    pub(super) fn prepull_due(&self) -> Option<Timestamp> {
        let waiting = self.local.prepulling.as_ref().filter(|known| !known.under_way);
        waiting.and_then(|known| known.retry_at)
    }

    /// Takes what a try ended with.
    pub(super) fn take_prepull(&mut self, prepulled: Prepulled) {
        let Prepulled { pod, mark, result } = prepulled;
        let Some(known) = self.local.prepulling.as_mut().filter(|known| known.mark == mark) else {
            // Something else is asked for by now.
            return;
        };
        known.under_way = false;
        known.retry_at = None;
        if let Err(reason) = &result {
            let factor = 2_i32.saturating_pow(known.failures.min(10));
            let wait = RETRY.0.saturating_mul(factor).min(RETRY.1);
            known.failures += 1;
            known.retry_at = Timestamp::now().checked_add(wait).ok();
            let message = format!("what replaces this pod cannot start yet: {reason}");
            self.context.events.pod(&pod, None, Kind::Warning, "Failed", message);
        }
        known.result = Some(result);
    }
}

/// Makes every image present that is asked for; or says which is not, and why.
async fn all_present(context: &Context, pod: &Pod, asked: &Prepull) -> Result<(), String> {
    let namespace = pod.namespace().unwrap_or_default();
    for wanted in &asked.images {
        let made = present(context, &namespace, asked, wanted).await;
        made.map_err(|reason| format!("image {:?}: {reason}", wanted.image))?;
    }
    Ok(())
}

async fn present(context: &Context, namespace: &str, asked: &Prepull, wanted: &Wanted) -> Result<(), String> {
    let Wanted { image, pull_policy } = wanted;
    if !images::is_valid_reference(image) {
        return Err("it is no valid name of an image".to_owned());
    }
    if pull_policy != "Always" {
        let found = context.images.present(image).await.map_err(|error| error.to_string())?;
        match found {
            Some(_) => return Ok(()),
            None if pull_policy == "Never" => {
                return Err("it is not present, and its pull policy is Never".to_owned());
            }
            None => {}
        }
    }
    let pulled = pull_secrets::pull(context, namespace, &asked.image_pull_secrets, image).await;
    pulled.map_err(|error| error.to_string())
}
