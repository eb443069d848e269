//! What a `Source` says of signatures, as a policy.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::{Keyring, MAX_FILE_BYTES, Mode, Verify};
use crate::gitops::error::Error;
use crate::object::source::Verification;

impl Verify {
    /// What a configuration says, with the data of the Secret that it names: each value is a file of keys. `place` is where
    /// it stands.
    ///
    /// # Errors
    /// What is wrong, by its field or the Secret's key.
    pub fn of_data(place: &str, spec: &Verification, data: BTreeMap<String, Vec<u8>>) -> Result<Self, Error> {
        let mode = mode(place, spec)?;
        if data.is_empty() {
            // They may come.
            return Err(Error::Source(format!("{place}.secretRef: that Secret is empty")));
        }
        let mut files = Vec::with_capacity(data.len());
        for (key, value) in data {
            let name = format!("{place}.secretRef, key {key}");
            files.push(text(&name, value).map(|text| (name, text))?);
        }
        let keyring = Keyring::parse(&files)?;
        Ok(Self { keyring, mode })
    }

    /// That of a file, whose keys lie in files as well.
    ///
    /// # Errors
    /// What is wrong, by its field or the file of keys.
    pub fn of_files(place: &str, spec: &Verification) -> Result<Self, Error> {
        let mode = mode(place, spec)?;
        if spec.secret_ref.is_some() {
            let reason = "is for objects of a cluster; give files with the keys";
            return Err(Error::Config(format!("{place}.secretRef: {reason}")));
        }
        let files: Vec<PathBuf> = spec.files.iter().flatten().map(PathBuf::from).collect();
        if files.is_empty() {
            return Err(Error::Config(format!("{place}.files: give files with the keys")));
        }
        let keyring = Keyring::read(&files).map_err(|error| Error::Config(format!("{place}.files: {error}")))?;
        Ok(Self { keyring, mode })
    }
}

fn mode(place: &str, spec: &Verification) -> Result<Mode, Error> {
    match spec.mode.as_str() {
        "Commits" => Ok(Mode::Commit),
        "Tags" => Ok(Mode::Tag),
        other => Err(Error::Config(format!("{place}.mode: {other:?}: write Commits or Tags"))),
    }
}

/// A file of keys as text. `name` is for messages.
pub(super) fn text(name: &str, bytes: Vec<u8>) -> Result<String, Error> {
    let failed = |reason: String| Error::Config(format!("keys in {name}: {reason}"));
    if bytes.len() as u64 > MAX_FILE_BYTES {
        return Err(failed(format!("there are more than {MAX_FILE_BYTES} bytes")));
    }
    String::from_utf8(bytes).map_err(|_| failed("it is no text; write OpenPGP keys with: gpg --export --armor".into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::source::MODES;

    const KEY: &str = "alice ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE1hbhDHjrJKDk3ecVkCHuhIGFwMxsE7mGIwRBGKfFEl\n";

    fn spec(mode: &str) -> Verification {
        Verification {
            mode: mode.into(),
            ..Verification::default()
        }
    }

    fn data(pairs: &[(&str, &[u8])]) -> BTreeMap<String, Vec<u8>> {
        let owned = |(key, value): &(&str, &[u8])| ((*key).to_owned(), value.to_vec());
        pairs.iter().map(owned).collect()
    }

    #[test]
    fn mistakes_name_the_field_and_the_key_of_the_secret() {
        let good = [("team", KEY.as_bytes())];
        for (spec, pairs, part) in [
            (
                spec("commits"),
                &good[..],
                "spec.verify.mode: \"commits\": write Commits",
            ),
            (spec("Commits"), &[], "spec.verify.secretRef: that Secret is empty"),
            (
                spec("Commits"),
                &[("team", b"alice\n")],
                "spec.verify.secretRef, key team, line 1",
            ),
            (
                spec("Tags"),
                &[("a", KEY.as_bytes()), ("b", b"# none")],
                "key b: there is none",
            ),
            (spec("Tags"), &[("a", &[0xff])], "key a: it is no text"),
        ] {
            let error = Verify::of_data("spec.verify", &spec, data(pairs)).expect_err(part);
            assert!(error.to_string().contains(part), "{error}");
        }
        for mode in MODES {
            assert!(
                Verify::of_data("spec.verify", &spec(mode), data(&good)).is_ok(),
                "{mode}"
            );
        }
        let both = Verify::of_data(
            "spec.verify",
            &spec("Tags"),
            data(&[("a", KEY.as_bytes()), ("b", KEY.as_bytes())]),
        );
        let both = both.expect("keys");
        assert_eq!(
            (both.mode, format!("{:?}", both.keyring).as_str()),
            (Mode::Tag, "Keyring(2 SSH, 0 OpenPGP)")
        );
    }
}
