//! The secret that a webhook's sender shares with us. Never shown.

use std::fmt;
use std::io::Read as _;
use std::path::Path;

use crate::gitops::error::Error;

/// Far above any secret; a larger file is the wrong one.
const MAX_BYTES: u64 = 4096;

/// A shared secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(***)")
    }
}

impl Secret {
    /// A secret of these bytes; None where there are none, for anybody would know it.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Option<Self> {
        Some(bytes.into()).filter(|bytes| !bytes.is_empty()).map(Self)
    }

    /// Reads a file; a newline at its end does not count.
    ///
    /// # Errors
    /// Where it cannot be read, is empty or too large to be a secret.
    pub fn read(path: &Path) -> Result<Self, Error> {
        Self::read_as("the webhook secret in", path)
    }

    /// As [`Self::read`], with these words before the file's name in errors.
    pub(in crate::gitops) fn read_as(what: &str, path: &Path) -> Result<Self, Error> {
        let failed = |reason: String| Error::Config(format!("{what} {}: {reason}", path.display()));
        let mut bytes = Vec::new();
        let file = std::fs::File::open(path).map_err(|error| failed(error.to_string()))?;
        file.take(MAX_BYTES + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| failed(error.to_string()))?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(failed(format!("the file has more than {MAX_BYTES} bytes")));
        }
        let kept = bytes.trim_ascii_end().len();
        bytes.truncate(kept);
        Self::new(bytes).ok_or_else(|| failed("the file is empty".into()))
    }

    /// Without white space around it; None where it is no text.
    pub(in crate::gitops) fn text(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok().map(str::trim)
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }
}
