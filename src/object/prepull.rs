//! Images that are to be on a node before a pod there is replaced: how the one who replaces asks for them, by an
//! annotation of the old pod, and how the kubelet answers, by a condition of it. Pure.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::pod::default_pull_policy;

/// The annotation that asks.
pub const ANNOTATION: &str = "reconcile.dev/prepull";

/// The condition that answers.
pub const CONDITION: &str = "reconcile.dev/ImagesPresent";

/// What is asked for, as the annotation's JSON.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Prepull {
    /// The images of the new pod.
    pub images: Vec<Wanted>,
    /// Names of the Secrets with the credentials for them, in the pod's namespace.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub image_pull_secrets: Vec<String>,
}

/// One image.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Wanted {
    /// As the pod names it.
    pub image: String,
    /// `Always`, `IfNotPresent` or `Never`.
    pub pull_policy: String,
}

impl Prepull {
    /// What a pod of this spec needs, each image once.
    pub fn of(spec: &Value) -> Self {
        let containers = ["initContainers", "containers"]
            .into_iter()
            .flat_map(|list| spec[list].as_array().into_iter().flatten());
        let wanted = containers.filter_map(|container| {
            let image = container["image"].as_str().filter(|image| !image.is_empty())?;
            let policy = container["imagePullPolicy"].as_str();
            Some(Wanted {
                image: image.to_owned(),
                pull_policy: policy.unwrap_or_else(|| default_pull_policy(image)).to_owned(),
            })
        });
        let images: BTreeSet<Wanted> = wanted.collect();
        let secrets = spec["imagePullSecrets"].as_array().into_iter().flatten();
        Self {
            images: images.into_iter().collect(),
            image_pull_secrets: secrets
                .filter_map(|secret| secret["name"].as_str().map(str::to_owned))
                .collect(),
        }
    }

    /// Whether the live pod runs, or ran, all of them already, and none is to be pulled again.
    pub fn is_used_by(&self, pod: &Value) -> bool {
        let statuses: Vec<&Value> = ["initContainerStatuses", "containerStatuses"]
            .into_iter()
            .flat_map(|list| pod["status"][list].as_array().into_iter().flatten())
            .filter(|status| !status["imageID"].as_str().unwrap_or_default().is_empty())
            .collect();
        let containers: Vec<&Value> = ["initContainers", "containers"]
            .into_iter()
            .flat_map(|list| pod["spec"][list].as_array().into_iter().flatten())
            .collect();
        let runs = |image: &str| {
            containers.iter().any(|container| {
                container["image"] == image && statuses.iter().any(|status| status["name"] == container["name"])
            })
        };
        self.images
            .iter()
            .all(|wanted| wanted.pull_policy != "Always" && runs(&wanted.image))
    }

    /// As it is written.
    pub fn text(&self) -> String {
        serde_json::to_string(self).expect("plain data can be written as JSON")
    }

    /// Reads an annotation.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        serde_json::from_str(text).map_err(|error| format!("the annotation {ANNOTATION} cannot be read: {error}"))
    }

    /// The names of the images, for people.
    pub fn names(&self) -> String {
        let names: BTreeSet<&str> = self.images.iter().map(|wanted| wanted.image.as_str()).collect();
        names.into_iter().collect::<Vec<_>>().join(", ")
    }
}

/// What an answer says of which annotation: another text, another mark.
pub fn mark(text: &str) -> String {
    hex::encode(&Sha256::digest(text)[..6])
}

/// The message of the condition that answers the annotation of this mark.
pub fn message(mark: &str, result: &Result<(), String>) -> String {
    match result {
        Ok(()) => format!("{mark}: all images are present"),
        Err(reason) => format!("{mark}: {reason}"),
    }
}

/// What a pod's condition answers to the annotation of this mark, if it does.
pub fn answer(pod: &Value, mark: &str) -> Option<Result<(), String>> {
    let conditions = pod["status"]["conditions"].as_array()?;
    let condition = conditions.iter().find(|condition| condition["type"] == CONDITION)?;
    let (answered, rest) = condition["message"].as_str()?.split_once(": ")?;
    let result = match condition["status"].as_str() {
        Some("True") => Ok(()),
        _ => Err(rest.to_owned()),
    };
    (answered == mark).then_some(result)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spec() -> Value {
        json!({
            "initContainers": [{"name": "first", "image": "a:1"}],
            "containers": [
                {"name": "main", "image": "b"},
                {"name": "more", "image": "a:1"},
                {"name": "never", "image": "c:1", "imagePullPolicy": "Never"},
            ],
            "imagePullSecrets": [{"name": "key"}],
        })
    }

    #[test]
    fn every_image_is_asked_for_once_and_read_back() {
        let asked = Prepull::of(&spec());
        let policies: Vec<(&str, &str)> = asked
            .images
            .iter()
            .map(|wanted| (wanted.image.as_str(), wanted.pull_policy.as_str()))
            .collect();
        assert_eq!(policies, [("a:1", "IfNotPresent"), ("b", "Always"), ("c:1", "Never")]);
        assert_eq!(Prepull::parse(&asked.text()), Ok(asked.clone()));
        assert_eq!(
            (asked.names().as_str(), asked.image_pull_secrets),
            ("a:1, b, c:1", vec!["key".to_owned()])
        );
        assert!(Prepull::parse("[").is_err());
    }

    #[test]
    fn what_runs_already_is_present_unless_it_is_always_pulled() {
        let pod = |image: &str, id: &str| {
            json!({
                "spec": {"containers": [{"name": "main", "image": image}]},
                "status": {"containerStatuses": [{"name": "main", "imageID": id}]},
            })
        };
        let of = |image: &str, policy: &str| {
            Prepull::of(&json!({"containers": [{"image": image, "imagePullPolicy": policy}]}))
        };
        for (name, asked, live, used) in [
            ("the same", of("a:1", "IfNotPresent"), pod("a:1", "sha256:0"), true),
            ("another", of("a:2", "IfNotPresent"), pod("a:1", "sha256:0"), false),
            ("always", of("a:1", "Always"), pod("a:1", "sha256:0"), false),
            ("never got it", of("a:1", "IfNotPresent"), pod("a:1", ""), false),
        ] {
            assert_eq!(asked.is_used_by(&live), used, "{name}");
        }
    }

    #[test]
    fn an_answer_is_to_one_annotation_only() {
        let (one, other) = (mark("one"), mark("other"));
        for (status, result) in [("True", Ok(())), ("False", Err("image \"a\": no: such".to_owned()))] {
            let message = message(&one, &result);
            let pod = json!({"status": {"conditions": [{"type": CONDITION, "status": status, "message": message}]}});
            assert_eq!(answer(&pod, &one), Some(result));
            assert_eq!(answer(&pod, &other), None);
        }
        assert_eq!(answer(&json!({}), &one), None);
    }
}
