//! Brings the sandbox image into Docker: one static program, carried in this binary. Needs no registry.

use bollard::query_parameters::CreateImageOptionsBuilder;
use futures::TryStreamExt;
use sha2::{Digest, Sha256};

use super::{DockerError, Engine};

/// Built from `pause/pause.c` by `build.rs`.
const PROGRAM: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/pause"));

/// The image's name but for its tag.
const REPOSITORY: &str = "reconcile.dev/pause";

impl Engine {
    /// The name of the built-in sandbox image.
    pub fn pause_image_name() -> String {
        format!("{REPOSITORY}:{}", tag())
    }

    /// Loads the built-in sandbox image; one that is there already becomes the same again.
    ///
    /// # Errors
    /// Where Docker does not answer or cannot store it.
    pub async fn load_pause_image(&self) -> Result<(), DockerError> {
        let options = CreateImageOptionsBuilder::new()
            .from_src("-")
            .repo(REPOSITORY)
            .tag(&tag())
            .changes(vec![r#"ENTRYPOINT ["/pause"]"#.into()])
            .build();
        let archive = archive().map_err(|error| DockerError::Refused(error.to_string()))?;
        self.docker
            .create_image(Some(options), Some(bollard::body_full(archive.into())), None)
            .try_for_each(|_progress| futures::future::ready(Ok(())))
            .await?;
        Ok(())
    }
}

/// Names the program's content, so that another version of it gets its own image.
fn tag() -> String {
    hex::encode(&Sha256::digest(PROGRAM)[..6])
}

fn archive() -> std::io::Result<Vec<u8>> {
    let mut header = tar::Header::new_gnu();
    header.set_size(PROGRAM.len() as u64);
    header.set_mode(0o755);
    let mut builder = tar::Builder::new(Vec::new());
    builder.append_data(&mut header, "pause", PROGRAM)?;
    builder.into_inner()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_is_a_small_executable() {
        assert!(PROGRAM.starts_with(b"\x7fELF"));
        assert!(PROGRAM.len() < 16 * 1024, "{} bytes", PROGRAM.len());
    }
}
