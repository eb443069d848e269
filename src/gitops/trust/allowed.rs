//! Reads `allowed_signers` files, as ssh-keygen(1) describes them under ALLOWED SIGNERS. Never performs I/O.

use chrono::{DateTime, Local, NaiveDateTime, TimeZone as _, Utc};
use ssh_key::{Algorithm, PublicKey};

use super::ssh::{NAMESPACE, Signer};
use crate::gitops::pattern;

/// Sizes of RSA keys: less can be broken, more is not supported by the library that checks.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=4096;

/// Every key of the file; or the line and what is wrong with it.
pub(super) fn parse(text: &str) -> Result<Vec<Signer>, (usize, String)> {
    text.lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line.trim()))
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(number, line)| signer(line).map_err(|reason| (number, reason)))
        .collect()
}

/// `PRINCIPALS [OPTIONS] KEYTYPE BASE64 [COMMENT]`. As git does, any principal may sign any commit.
fn signer(line: &str) -> Result<Signer, String> {
    if line.starts_with("-----BEGIN") || line.contains("PRIVATE KEY") {
        return Err("this is no list of allowed signers, nor an armoured OpenPGP public key".into());
    }
    let (_, rest) = word(line)?;
    let found = key(rest);
    let (options, key) = match found {
        Some(key) => ("", key),
        None => {
            let (options, rest) = word(rest)?;
            let key = key_or_reason(rest)?;
            (options, key)
        }
    };
    usable(&key)?;
    let mut signer = Signer {
        key,
        for_git: true,
        valid_after: None,
        valid_before: None,
    };
    for option in split(options, ',') {
        apply(&mut signer, option)?;
    }
    Ok(signer)
}

fn apply(signer: &mut Signer, option: &str) -> Result<(), String> {
    let (name, value) = match option.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (option, None),
    };
    let quoted = || {
        value
            .and_then(|value| value.strip_prefix('"')?.strip_suffix('"'))
            .ok_or_else(|| format!("the option {name} needs a value in double quotes"))
    };
    match name.to_ascii_lowercase().as_str() {
        "" => {}
        "namespaces" => signer.for_git = pattern::names(quoted()?, NAMESPACE),
        "valid-after" => signer.valid_after = Some(time(quoted()?)?),
        "valid-before" => signer.valid_before = Some(time(quoted()?)?),
        "cert-authority" => return Err("cert-authority is not supported; list the keys themselves".into()),
        _ => return Err(format!("unknown option {name}")),
    }
    Ok(())
}

/// The first word, in which double quotes keep spaces; and what follows it.
fn word(text: &str) -> Result<(&str, &str), String> {
    let mut quoted = false;
    let end = text.find(|character: char| {
        quoted ^= character == '"';
        !quoted && character.is_whitespace()
    });
    let end = end.ok_or("expected: principals, options if any, the kind of key, the key")?;
    Ok((&text[..end], text[end..].trim_start()))
}

/// Parts between separators that are not in double quotes.
fn split(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    text.split(move |character: char| {
        quoted ^= character == '"';
        !quoted && character == separator
    })
}

fn key(text: &str) -> Option<PublicKey> {
    key_or_reason(text).ok()
}

fn key_or_reason(text: &str) -> Result<PublicKey, String> {
    let fields: Vec<&str> = text.split_whitespace().take(2).collect();
    PublicKey::from_openssh(&fields.join(" ")).map_err(|error| format!("the key cannot be read: {error}"))
}

/// Refuses keys that could never be checked or could be broken.
fn usable(key: &PublicKey) -> Result<(), String> {
    match key.algorithm() {
        Algorithm::Ed25519 | Algorithm::SkEd25519 | Algorithm::Ecdsa { .. } | Algorithm::SkEcdsaSha2NistP256 => Ok(()),
        Algorithm::Rsa { .. } => {
            let bytes = key.key_data().rsa().and_then(|key| key.n.as_positive_bytes());
            let bits = bytes.map_or(0, |bytes| bytes.len() * 8);
            match RSA_BITS.contains(&bits) {
                true => Ok(()),
                false => Err(format!(
                    "the RSA key has {bits} bits; it must have {} to {}",
                    RSA_BITS.start(),
                    RSA_BITS.end()
                )),
            }
        }
        other => Err(format!("keys of the kind {other} are not supported")),
    }
}

/// `YYYYMMDD[Z]` or `YYYYMMDDHHMM[SS][Z]`: local time unless it ends in Z.
fn time(text: &str) -> Result<DateTime<Utc>, String> {
    let wrong = || format!("{text:?} is no time; write it as YYYYMMDD or YYYYMMDDHHMMSS, with a Z for UTC");
    let digits = text.strip_suffix(['Z', 'z']).unwrap_or(text);
    let whole = match (digits.len(), digits.bytes().all(|byte| byte.is_ascii_digit())) {
        (8, true) => format!("{digits}000000"),
        (12, true) => format!("{digits}00"),
        (14, true) => digits.to_owned(),
        _ => return Err(wrong()),
    };
    let naive = NaiveDateTime::parse_from_str(&whole, "%Y%m%d%H%M%S").map_err(|_| wrong())?;
    match digits.len() < text.len() {
        true => Ok(naive.and_utc()),
        false => Local
            .from_local_datetime(&naive)
            .earliest()
            .map(|time| time.to_utc())
            .ok_or_else(wrong),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE1hbhDHjrJKDk3ecVkCHuhIGFwMxsE7mGIwRBGKfFEl";

    #[test]
    fn lines_are_understood() {
        for (line, for_git, after, before) in [
            (format!("a@x {KEY}"), true, None, None),
            (format!("a@x,*@y\t{KEY} a comment"), true, None, None),
            (format!("\"a b\" {KEY}"), true, None, None),
            (format!("a@x namespaces=\"git,file\" {KEY}"), true, None, None),
            (format!("a@x namespaces=\"g?t\" {KEY}"), true, None, None),
            (format!("a@x Namespaces=\"file\" {KEY}"), false, None, None),
            (format!("a@x namespaces=\"*,!git\" {KEY}"), false, None, None),
            (
                format!("a@x valid-after=\"20240101Z\",valid-before=\"20240102030405Z\" {KEY}"),
                true,
                Some("2024-01-01T00:00:00Z"),
                Some("2024-01-02T03:04:05Z"),
            ),
            (
                format!("a@x valid-before=\"202401020304Z\" {KEY}"),
                true,
                None,
                Some("2024-01-02T03:04:00Z"),
            ),
        ] {
            let signers =
                parse(&format!("# comment\n\n  {line}\n")).unwrap_or_else(|error| panic!("{line}: {error:?}"));
            let [signer] = signers.as_slice() else {
                panic!("{line}: {}", signers.len())
            };
            let time = |text: &str| text.parse::<DateTime<Utc>>().expect("a time");
            assert_eq!(signer.for_git, for_git, "{line}");
            assert_eq!(signer.valid_after, after.map(time), "{line}");
            assert_eq!(signer.valid_before, before.map(time), "{line}");
        }
    }

    #[test]
    fn mistakes_name_their_line() {
        for (line, part) in [
            (format!("a@x cert-authority {KEY}"), "cert-authority is not supported"),
            (format!("a@x frobnicate {KEY}"), "unknown option frobnicate"),
            (format!("a@x valid-before=20240101 {KEY}"), "in double quotes"),
            (format!("a@x valid-before=\"2024\" {KEY}"), "is no time"),
            (format!("a@x valid-before=\"20241301\" {KEY}"), "is no time"),
            ("a@x".to_owned(), "expected: principals"),
            ("a@x ssh-ed25519 AAAA".to_owned(), "cannot be read"),
            (
                "-----BEGIN OPENSSH PRIVATE KEY-----".to_owned(),
                "no list of allowed signers",
            ),
        ] {
            let (number, reason) = parse(&format!("# first\n{line}\n")).expect_err(&line);
            assert!(number == 2 && reason.contains(part), "{line}: {number}: {reason}");
        }
    }
}
