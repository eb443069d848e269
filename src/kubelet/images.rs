//! Knows which images are present and pulls the others. Decides nothing about pods.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use tokio::sync::Semaphore;

use super::docker::{Credentials, DockerError, Engine, Image};

/// A node runs no more different images than that at once.
const MAX_CACHED: usize = 256;

/// Docker itself downloads three layers at a time; more pulls only wait for each other.
const MAX_PULLS: usize = 4;

type Pull = Shared<BoxFuture<'static, Result<(), DockerError>>>;

/// The node's images.
pub struct Images {
    engine: Arc<Engine>,
    present: Mutex<HashMap<String, Image>>,
    pulling: Mutex<HashMap<String, Pull>>,
    permits: Arc<Semaphore>,
}

impl Images {
    /// The images of that engine.
    pub fn new(engine: Arc<Engine>) -> Self {
        Self {
            engine,
            present: Mutex::default(),
            pulling: Mutex::default(),
            permits: Arc::new(Semaphore::new(MAX_PULLS)),
        }
    }

    /// The image, if it is present.
    ///
    /// # Errors
    /// Where Docker does not answer or takes the name for malformed.
    pub async fn present(&self, reference: &str) -> Result<Option<Image>, DockerError> {
        if let Some(image) = self.lock_present().get(reference) {
            return Ok(Some(image.clone()));
        }
        let found = self.engine.image(reference).await?;
        if let Some(image) = &found {
            let mut present = self.lock_present();
            if present.len() >= MAX_CACHED {
                present.clear();
            }
            present.insert(reference.to_owned(), image.clone());
        }
        Ok(found)
    }

    /// Forgets what was known: some image came, went or was renamed.
    pub fn changed(&self) {
        self.lock_present().clear();
    }

    /// Pulls the image with the first of these credentials that the registry takes, or with none.
    /// Those who ask for one image with the same credentials at the same time share a pull.
    ///
    /// # Errors
    /// The registry's or Docker's last refusal.
    pub async fn pull(&self, reference: &str, credentials: Vec<Credentials>) -> Result<(), DockerError> {
        let users = credentials
            .iter()
            .map(|entry| format!("{}:{}", entry.username, entry.password));
        let key = std::iter::once(reference.to_owned())
            .chain(users)
            .collect::<Vec<_>>()
            .join("\n");
        let pull = {
            let mut pulling = self.pulling.lock().expect("nobody panics while holding this lock");
            // Those that ended are dropped here, so only pulls under way are kept.
            pulling.retain(|_, pull| pull.peek().is_none());
            pulling
                .entry(key)
                .or_insert_with(|| self.start(reference.to_owned(), credentials))
                .clone()
        };
        let result = pull.await;
        self.changed();
        result
    }

    fn start(&self, reference: String, credentials: Vec<Credentials>) -> Pull {
        let (engine, permits) = (self.engine.clone(), self.permits.clone());
        let pull = async move {
            let _permit = permits.acquire().await.expect("this semaphore is never closed");
            let mut refusal = None;
            for entry in credentials {
                match engine.pull(&reference, Some(entry)).await {
                    Ok(()) => return Ok(()),
                    Err(error) => refusal = Some(error),
                }
            }
            match (engine.pull(&reference, None).await, refusal) {
                (Ok(()), _) => Ok(()),
                (Err(_), Some(refusal)) => Err(refusal),
                (Err(error), None) => Err(error),
            }
        };
        // On its own task, so that it goes on where the first who asked for it goes away.
        let task = tokio::spawn(pull);
        let joined = task.map(|ended| ended.unwrap_or_else(|error| Err(DockerError::Unavailable(error.to_string()))));
        joined.boxed().shared()
    }

    fn lock_present(&self) -> std::sync::MutexGuard<'_, HashMap<String, Image>> {
        self.present.lock().expect("nobody panics while holding this lock")
    }
}

/// The registry that a reference names, as Docker's own config files key it.
pub fn registry(reference: &str) -> &str {
    match reference.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => host,
        _ => "docker.io",
    }
}

/// Whether Docker could take this for an image's name at all.
pub fn is_valid_reference(reference: &str) -> bool {
    let (name, tag) = match reference.split_once('@') {
        Some((name, digest)) if digest.contains(':') => (name, None),
        Some(_) => return false,
        None => match reference.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (reference, None),
        },
    };
    let host = registry(name);
    let path = name
        .strip_prefix(host)
        .and_then(|rest| rest.strip_prefix('/'))
        .unwrap_or(name);
    let path = path
        .rsplit_once(':')
        .filter(|(_, tag)| !tag.contains('/'))
        .map_or(path, |(path, _)| path);
    let component = |text: &str| {
        let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._-".contains(&byte);
        let edge = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let bytes = text.as_bytes();
        bytes.iter().all(|byte| good(*byte))
            && bytes.first().is_some_and(|b| edge(*b))
            && bytes.last().is_some_and(|b| edge(*b))
    };
    let tag_character = |character: char| character.is_ascii_alphanumeric() || "._-".contains(character);
    path.split('/').all(component)
        && tag.is_none_or(|tag| !tag.is_empty() && tag.len() <= 128 && tag.chars().all(tag_character))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_references_from_other_text() {
        for (reference, valid) in [
            ("busybox", true),
            ("busybox:1.36", true),
            ("localhost:5000/a/b:c", true),
            ("ghcr.io/a/b@sha256:0123", true),
            ("a/b__c", true),
            ("Busybox", false),
            ("", false),
            ("busy box", false),
            ("busybox:", false),
            ("a//b", false),
            ("-a", false),
            ("a@b", false),
        ] {
            assert_eq!(is_valid_reference(reference), valid, "{reference}");
        }
    }

    #[test]
    fn finds_the_registry() {
        for (reference, expected) in [
            ("busybox", "docker.io"),
            ("library/busybox", "docker.io"),
            ("localhost/x", "localhost"),
            ("10.0.0.1:5000/x", "10.0.0.1:5000"),
            ("ghcr.io/x/y", "ghcr.io"),
        ] {
            assert_eq!(registry(reference), expected, "{reference}");
        }
    }
}
