//! OpenPGP signatures (RFC 9580) and whether the key behind one may sign now. Never performs I/O.
//!
//! The library does the cryptography and takes packets apart. What a key may do is decided here: by its newest valid
//! self-signature, and never where it was revoked, whatever for.

use chrono::{DateTime, TimeDelta, Utc};
use pgp::composed::{Deserializable as _, DetachedSignature, SignedPublicKey, SignedPublicSubKey};
use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{KeyFlags, Signature, SignatureType};
use pgp::types::{Duration, Fingerprint, KeyDetails, KeyId, Tag, Timestamp, VerifyingKey};

use super::Refusal;
use super::object::Signed;

/// How the armour of keys begins and ends.
const KEYS: (&str, &str) = (
    "-----BEGIN PGP PUBLIC KEY BLOCK-----",
    "-----END PGP PUBLIC KEY BLOCK-----",
);

/// How far the clock of whoever signed may be ahead of ours.
const CLOCK_SKEW: TimeDelta = TimeDelta::minutes(5);

/// Whether a file of keys is one of armoured OpenPGP keys.
pub(super) fn is_armoured(text: &str) -> bool {
    text.lines().any(|line| line.starts_with("-----BEGIN PGP "))
}

/// Whether this signature is OpenPGP's.
pub(super) fn is_signature(text: &str) -> bool {
    text.starts_with("-----BEGIN PGP ")
}

/// Every key of every block in the text; what stands around the blocks is for people.
pub(super) fn parse(text: &str) -> Result<Vec<SignedPublicKey>, String> {
    if text.contains("-----BEGIN PGP PRIVATE KEY BLOCK-----") {
        return Err("this is a private key; write the public one with: gpg --export --armor".into());
    }
    let mut keys = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find(KEYS.0) {
        let after = &rest[start..];
        let end = after.find(KEYS.1).ok_or("a block of keys has no end")? + KEYS.1.len();
        let (block, behind) = after.split_at(end);
        let (found, _) = SignedPublicKey::from_armor_many(block.as_bytes()).map_err(|error| error.to_string())?;
        for key in found {
            keys.push(key.map_err(|error| error.to_string())?);
        }
        rest = behind;
    }
    Ok(keys)
}

/// Whether one of the keys signed this and may.
pub(super) fn verify(keys: &[SignedPublicKey], signed: &Signed, now: DateTime<Utc>) -> Result<(), Refusal> {
    let signature = single(&signed.signature)?;
    if signature.typ() != Some(SignatureType::Binary) {
        return Err(Refusal::unreadable("it is no signature of a document"));
    }
    strong(&signature)?;
    let made = time(
        signature
            .created()
            .ok_or_else(|| Refusal::unreadable("nothing says when it was made"))?,
    );
    let mut refusal = Refusal::UnknownKey(issuer(&signature));
    for key in keys {
        let subkeys = key.public_subkeys.iter().filter(|subkey| is_by(&signature, *subkey));
        let found = match subkeys.clone().next() {
            Some(_) => subkeys
                .map(|subkey| by_subkey(key, subkey, &signature, signed, now))
                .collect(),
            None if is_by(&signature, &key.primary_key) => vec![by_primary(key, &signature, signed, now)],
            None => Vec::new(),
        };
        for outcome in found {
            match outcome.and_then(|()| in_time(&signature, made, now)) {
                Ok(()) => return Ok(()),
                Err(reason) => refusal = reason,
            }
        }
    }
    Err(refusal)
}

/// The one signature of the armour; several would leave open which of them counts.
fn single(armoured: &str) -> Result<Signature, Refusal> {
    let unreadable = |error: pgp::errors::Error| Refusal::unreadable(error.to_string());
    let (found, _) = DetachedSignature::from_armor_many(armoured.as_bytes()).map_err(unreadable)?;
    let mut found: Vec<DetachedSignature> = found.collect::<Result<_, _>>().map_err(unreadable)?;
    match (found.pop(), found.is_empty()) {
        (Some(only), true) => Ok(only.signature),
        (Some(_), false) => Err(Refusal::unreadable("there are several")),
        (None, _) => Err(Refusal::unreadable("there is none in its armour")),
    }
}

fn strong(signature: &Signature) -> Result<(), Refusal> {
    match signature.hash_alg() {
        Some(
            HashAlgorithm::Sha256
            | HashAlgorithm::Sha384
            | HashAlgorithm::Sha512
            | HashAlgorithm::Sha3_256
            | HashAlgorithm::Sha3_512,
        ) => Ok(()),
        Some(other) => Err(Refusal::Weak(other.to_string())),
        None => Err(Refusal::unreadable("its version is not supported")),
    }
}

fn issuer(signature: &Signature) -> String {
    let fingerprint = signature.issuer_fingerprint().first().map(|issuer| shown(issuer));
    let id = |id: &KeyId| id.as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
    fingerprint
        .or_else(|| signature.issuer_key_id().first().copied().map(id))
        .unwrap_or_else(|| "without a name".to_owned())
}

fn shown(fingerprint: &Fingerprint) -> String {
    format!("{fingerprint:X}")
}

/// Whether a signature names this key; one that names none is nobody's.
fn is_by(signature: &Signature, key: &impl KeyDetails) -> bool {
    let fingerprints = signature.issuer_fingerprint();
    match fingerprints.is_empty() {
        false => fingerprints.contains(&&key.fingerprint()),
        true => signature.issuer_key_id().contains(&&key.legacy_key_id()),
    }
}

fn time(timestamp: Timestamp) -> DateTime<Utc> {
    DateTime::from(std::time::SystemTime::from(timestamp))
}

/// Refuses a signature from the future, and one that was to last for some time only.
fn in_time(signature: &Signature, made: DateTime<Utc>, now: DateTime<Utc>) -> Result<(), Refusal> {
    if made > now + CLOCK_SKEW {
        return Err(Refusal::unreadable(format!(
            "it was made in the future, at {}",
            super::shown(made)
        )));
    }
    let lasts = signature
        .signature_expiration_time()
        .filter(|lasts| lasts.as_secs() > 0);
    match lasts.map(|lasts| after(made, lasts)).filter(|end| *end <= now) {
        Some(end) => Err(Refusal::unreadable(format!(
            "it was to last until {}",
            super::shown(end)
        ))),
        None => Ok(()),
    }
}

fn after(start: DateTime<Utc>, lasts: Duration) -> DateTime<Utc> {
    start + TimeDelta::seconds(i64::from(lasts.as_secs()))
}

fn by_primary(
    key: &SignedPublicKey,
    signature: &Signature,
    signed: &Signed,
    now: DateTime<Utc>,
) -> Result<(), Refusal> {
    fits(&key.primary_key, signature, signed)?;
    let flags = primary(key, now)?;
    may_sign(&key.primary_key, &flags, flags != KeyFlags::default())
}

fn by_subkey(
    key: &SignedPublicKey,
    subkey: &SignedPublicSubKey,
    signature: &Signature,
    signed: &Signed,
    now: DateTime<Utc>,
) -> Result<(), Refusal> {
    fits(subkey, signature, signed)?;
    primary(key, now)?;
    let name = shown(&subkey.fingerprint());
    let valid = |wanted| {
        subkey.signatures.iter().filter(move |each| {
            each.typ() == Some(wanted) && each.verify_subkey_binding(&key.primary_key, &subkey.key).is_ok()
        })
    };
    if valid(SignatureType::SubkeyRevocation).next().is_some() {
        return Err(Refusal::Revoked(name));
    }
    let Some(binding) = newest(valid(SignatureType::SubkeyBinding)) else {
        return Err(unbound(name));
    };
    alive(subkey, expiry(subkey, binding), now)?;
    // The subkey must have agreed, or anybody could take over another's signatures with it.
    let agreed = binding
        .embedded_signature()
        .is_some_and(|back| back.verify_primary_key_binding(&subkey.key, &key.primary_key).is_ok());
    if !agreed {
        return Err(unbound(name));
    }
    may_sign(subkey, &binding.key_flags(), true)
}

fn unbound(key: String) -> Refusal {
    Refusal::Unfit {
        key,
        reason: "no valid self-signature binds it".into(),
    }
}

fn fits(key: &impl VerifyingKey, signature: &Signature, signed: &Signed) -> Result<(), Refusal> {
    signature.verify(key, &*signed.payload).map_err(|_| Refusal::Mismatch)
}

/// What the primary key may do, where it is alive: its newest self-signature says.
fn primary(key: &SignedPublicKey, now: DateTime<Utc>) -> Result<KeyFlags, Refusal> {
    let own = &key.primary_key;
    let name = shown(&own.fingerprint());
    let revoked = |each: &Signature| each.typ() == Some(SignatureType::KeyRevocation) && each.verify_key(own).is_ok();
    if key.details.revocation_signatures.iter().any(revoked) {
        return Err(Refusal::Revoked(name));
    }
    let direct = newest(
        key.details
            .direct_signatures
            .iter()
            .filter(|each| each.typ() == Some(SignatureType::Key) && each.verify_key(own).is_ok()),
    );
    let users = newest(key.details.users.iter().filter_map(|user| {
        let by_itself = user
            .signatures
            .iter()
            .filter(|each| each.verify_certification(own, Tag::UserId, &user.id).is_ok());
        newest(by_itself).filter(|each| each.typ() != Some(SignatureType::CertRevocation))
    }));
    let ends = [direct, users]
        .into_iter()
        .flatten()
        .filter_map(|each| expiry(own, each))
        .min();
    alive(own, ends, now)?;
    let flags = newest([direct, users].into_iter().flatten()).map(Signature::key_flags);
    flags.ok_or_else(|| unbound(name))
}

fn newest<'a>(signatures: impl Iterator<Item = &'a Signature>) -> Option<&'a Signature> {
    signatures.max_by_key(|each| each.created().map(Timestamp::as_secs))
}

/// When a self-signature says that the key ends.
fn expiry(key: &impl KeyDetails, signature: &Signature) -> Option<DateTime<Utc>> {
    let lasts = signature.key_expiration_time().filter(|lasts| lasts.as_secs() > 0)?;
    Some(after(time(key.created_at()), lasts))
}

fn alive(key: &impl KeyDetails, ends: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Result<(), Refusal> {
    let name = shown(&key.fingerprint());
    let created = time(key.created_at());
    if created > now + CLOCK_SKEW {
        return Err(Refusal::too_early(&name, created));
    }
    match ends.filter(|end| *end <= now) {
        Some(end) => Err(Refusal::expired(&name, end)),
        None => Ok(()),
    }
}

/// A primary key that says nothing of its uses may sign; a subkey must say so.
fn may_sign(key: &impl KeyDetails, flags: &KeyFlags, said: bool) -> Result<(), Refusal> {
    match said && !flags.sign() {
        true => Err(Refusal::Unfit {
            key: shown(&key.fingerprint()),
            reason: "it is for other uses".into(),
        }),
        false => Ok(()),
    }
}
