//! Looks images up and pulls them. Keeps nothing.

use bollard::auth::DockerCredentials;
use bollard::query_parameters::{CreateImageOptionsBuilder, ListImagesOptionsBuilder};
use futures::TryStreamExt;

use super::{DockerError, Engine};

/// An image that is present.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Image {
    /// `sha256:…`
    pub id: String,
    /// Its name by content in a registry, where it came from one.
    pub digest: Option<String>,
    /// The user its processes run as, as the image says.
    pub user: String,
    /// Bytes on disk.
    pub size_bytes: i64,
}

impl Image {
    /// As `status.containerStatuses[].imageID` shows it.
    pub fn status_id(&self) -> String {
        match &self.digest {
            Some(digest) => format!("docker-pullable://{digest}"),
            None => format!("docker://{}", self.id),
        }
    }
}

/// One line of a node's list of images.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageSummary {
    /// By content and by tag.
    pub names: Vec<String>,
    /// Bytes on disk.
    pub size_bytes: i64,
}

/// What a registry wants to know of who pulls.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    /// User name.
    pub username: String,
    /// Password or token.
    pub password: String,
    /// A token that stands for both, where the registry gave one.
    pub identity_token: String,
    /// The registry they are for.
    pub server: String,
}

impl Engine {
    /// The image of that name or id, if it is present.
    ///
    /// # Errors
    /// Where Docker does not answer or takes the name for malformed.
    pub async fn image(&self, reference: &str) -> Result<Option<Image>, DockerError> {
        let found = match self.docker.inspect_image(reference).await.map_err(DockerError::from) {
            Ok(found) => found,
            Err(DockerError::NotFound(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(Some(Image {
            id: found.id.unwrap_or_default(),
            digest: found.repo_digests.unwrap_or_default().into_iter().next(),
            user: found.config.and_then(|config| config.user).unwrap_or_default(),
            size_bytes: found.size.unwrap_or_default(),
        }))
    }

    /// Every image that has a name.
    ///
    /// # Errors
    /// Where Docker does not answer.
    pub async fn images(&self) -> Result<Vec<ImageSummary>, DockerError> {
        let options = ListImagesOptionsBuilder::new().build();
        let listed = self.docker.list_images(Some(options)).await?;
        let named = |name: &String| !name.contains("<none>");
        let summaries = listed.into_iter().map(|image| ImageSummary {
            names: image
                .repo_digests
                .into_iter()
                .chain(image.repo_tags)
                .filter(named)
                .collect(),
            size_bytes: image.size,
        });
        Ok(summaries.filter(|summary| !summary.names.is_empty()).collect())
    }

    /// Pulls an image; a reference without tag or digest means `latest`, never all tags.
    ///
    /// # Errors
    /// Where the registry or Docker refuses, or does not answer.
    pub async fn pull(&self, reference: &str, credentials: Option<Credentials>) -> Result<(), DockerError> {
        let (name, tag) = split_reference(reference);
        let options = CreateImageOptionsBuilder::new().from_image(name).tag(tag).build();
        let credentials = credentials.map(|credentials| DockerCredentials {
            username: text(credentials.username),
            password: text(credentials.password),
            identitytoken: text(credentials.identity_token),
            serveraddress: text(credentials.server),
            ..DockerCredentials::default()
        });
        self.docker
            .create_image(Some(options), None, credentials)
            .try_for_each(|_progress| futures::future::ready(Ok(())))
            .await?;
        Ok(())
    }
}

/// Name and tag or digest, as the pull request wants them.
fn split_reference(reference: &str) -> (&str, &str) {
    if let Some((name, digest)) = reference.split_once('@') {
        return (name, digest);
    }
    match reference.rsplit_once(':') {
        // A colon before a slash belongs to the registry's port.
        Some((name, tag)) if !tag.contains('/') => (name, tag),
        _ => (reference, "latest"),
    }
}

fn text(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_references() {
        for (reference, expected) in [
            ("busybox", ("busybox", "latest")),
            ("busybox:1.36", ("busybox", "1.36")),
            ("localhost:5000/a/b", ("localhost:5000/a/b", "latest")),
            ("localhost:5000/a/b:c", ("localhost:5000/a/b", "c")),
            ("a/b@sha256:12", ("a/b", "sha256:12")),
            ("a/b:c@sha256:12", ("a/b:c", "sha256:12")),
        ] {
            assert_eq!(split_reference(reference), expected, "{reference}");
        }
    }
}
