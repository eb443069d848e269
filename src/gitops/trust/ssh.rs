//! SSH signatures (OpenSSH's PROTOCOL.sshsig). Never performs I/O.

use chrono::{DateTime, Utc};
use ssh_key::{HashAlg, PublicKey, SshSig};

use super::Refusal;
use super::object::Signed;

/// What git's signatures are made for, so that one for anything else is worth nothing here.
pub(super) const NAMESPACE: &str = "git";

/// A key that may sign.
#[derive(Clone, Debug)]
pub(super) struct Signer {
    pub key: PublicKey,
    /// Whether its namespaces include git.
    pub for_git: bool,
    pub valid_after: Option<DateTime<Utc>>,
    pub valid_before: Option<DateTime<Utc>>,
}

impl Signer {
    /// Valid both when it says that it signed and now: whoever has a key that expired can write any date.
    fn permits(&self, shown: &str, times: [DateTime<Utc>; 2]) -> Result<(), Refusal> {
        if !self.for_git {
            return Err(Refusal::Unfit {
                key: shown.to_owned(),
                reason: "it is allowed for other namespaces than git".into(),
            });
        }
        for time in times {
            if let Some(from) = self.valid_after.filter(|from| time < *from) {
                return Err(Refusal::too_early(shown, from));
            }
            if let Some(at) = self.valid_before.filter(|at| time > *at) {
                return Err(Refusal::expired(shown, at));
            }
        }
        Ok(())
    }
}

/// Whether one of the signers signed this.
pub(super) fn verify(signers: &[Signer], signed: &Signed, now: DateTime<Utc>) -> Result<(), Refusal> {
    let signature =
        SshSig::from_pem(signed.signature.trim_end()).map_err(|error| Refusal::unreadable(error.to_string()))?;
    if signature.namespace() != NAMESPACE {
        return Err(Refusal::OtherPurpose(signature.namespace().to_owned()));
    }
    let made = signed
        .made()
        .ok_or_else(|| Refusal::unreadable("nothing says when it was made"))?;
    let shown = signature.public_key().fingerprint(HashAlg::Sha256).to_string();
    let mut refusal = Refusal::UnknownKey(shown.clone());
    for signer in signers {
        if signer.key.key_data() != signature.public_key() {
            continue;
        }
        if signer.key.verify(NAMESPACE, &signed.payload, &signature).is_err() {
            return Err(Refusal::Mismatch);
        }
        match signer.permits(&shown, [made, now]) {
            Ok(()) => return Ok(()),
            Err(reason) => refusal = reason,
        }
    }
    Err(refusal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_must_be_valid_when_it_signs_and_now() {
        let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE1hbhDHjrJKDk3ecVkCHuhIGFwMxsE7mGIwRBGKfFEl";
        let day = |day: &str| {
            format!("2024-01-{day}T00:00:00Z")
                .parse::<DateTime<Utc>>()
                .expect("a day")
        };
        let signer = Signer {
            key: PublicKey::from_openssh(key).expect("a key"),
            for_git: true,
            valid_after: Some(day("10")),
            valid_before: Some(day("20")),
        };
        for (name, made, now, expected) in [
            ("inside", "10", "20", Ok(())),
            ("made before", "09", "15", Err(Refusal::too_early("key", day("10")))),
            ("not yet", "15", "09", Err(Refusal::too_early("key", day("10")))),
            (
                "dated back with a key that is over",
                "15",
                "21",
                Err(Refusal::expired("key", day("20"))),
            ),
            ("dated ahead", "21", "15", Err(Refusal::expired("key", day("20")))),
        ] {
            assert_eq!(signer.permits("key", [day(made), day(now)]), expected, "{name}");
        }
    }
}
