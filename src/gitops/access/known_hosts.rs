//! Which keys hosts are known by, as `ssh` keeps them (`known_hosts`, see sshd(8)). Reads text, never files.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use ring::hmac;
use sha2::{Digest, Sha256};

use crate::gitops::pattern;

/// The port that is not written into `known_hosts`.
const DEFAULT_PORT: u16 = 22;

/// The lines of a `known_hosts` file.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct KnownHosts(Vec<Entry>);

#[derive(Clone, PartialEq, Eq)]
struct Entry {
    hosts: Hosts,
    key: Vec<u8>,
    revoked: bool,
}

#[derive(Clone, PartialEq, Eq)]
enum Hosts {
    /// Comma-separated, with `*`, `?` and `!`.
    Patterns(String),
    /// HMAC-SHA1 of the name.
    Hashed { salt: Vec<u8>, hash: Vec<u8> },
}

/// What is known of a host's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// This host has this key.
    Known,
    /// The host has another key of this kind: fingerprints.
    Changed(Vec<String>),
    /// Only keys of other kinds are known.
    OtherKinds(Vec<String>),
    /// Nothing is known of the host.
    Unknown,
    /// The key was revoked.
    Revoked,
}

impl KnownHosts {
    /// Reads the given file's text. Certificate authorities are not supported and left out.
    ///
    /// # Errors
    /// Where no line of it can be used.
    pub fn parse(text: &str) -> Result<Self, String> {
        let known = Self::parse_leniently(text);
        match known.0.is_empty() {
            true => Err("known_hosts has no usable line; make one with ssh-keyscan HOST".into()),
            false => Ok(known),
        }
    }

    /// Reads what can be read, as `ssh` does with a user's own file.
    pub fn parse_leniently(text: &str) -> Self {
        Self(text.lines().filter_map(Entry::parse).collect())
    }

    /// Whether `host` is known by this key, in the form in which SSH sends it.
    pub fn check(&self, host: &str, port: u16, key: &[u8]) -> Verdict {
        let host = host.to_lowercase();
        let names = match port {
            DEFAULT_PORT => vec![host],
            // As ssh does: a key that the host has on the usual port is its key on others as well.
            port => vec![format!("[{host}]:{port}"), host],
        };
        let of_host: Vec<&Entry> = self
            .0
            .iter()
            .filter(|entry| names.iter().any(|name| entry.hosts.matches(name)))
            .collect();
        let same = |entry: &&&Entry| entry.key == key;
        if of_host.iter().filter(same).any(|entry| entry.revoked) {
            return Verdict::Revoked;
        }
        if of_host.iter().any(|entry| same(&entry)) {
            return Verdict::Known;
        }
        let of_kind = |entry: &&&Entry| kind(&entry.key) == kind(key);
        let valid: Vec<&Entry> = of_host.into_iter().filter(|entry| !entry.revoked).collect();
        let changed: Vec<String> = valid
            .iter()
            .filter(of_kind)
            .map(|entry| fingerprint(&entry.key))
            .collect();
        match (valid.is_empty(), changed.is_empty()) {
            (true, _) => Verdict::Unknown,
            (_, false) => Verdict::Changed(changed),
            _ => Verdict::OtherKinds(valid.iter().map(|entry| kind(&entry.key).to_owned()).collect()),
        }
    }
}

impl Entry {
    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split_whitespace();
        let mut hosts = fields.next()?;
        let revoked = hosts == "@revoked";
        if revoked {
            hosts = fields.next()?;
        }
        if hosts.starts_with(['#', '@']) {
            return None;
        }
        let (name, key) = (fields.next()?, fields.next()?);
        let key = STANDARD.decode(key).ok()?;
        let hosts = Hosts::parse(hosts)?;
        (kind(&key) == name).then_some(Self { hosts, key, revoked })
    }
}

impl Hosts {
    fn parse(text: &str) -> Option<Self> {
        if let Some(rest) = text.strip_prefix("|1|") {
            let (salt, hash) = rest.split_once('|')?;
            return Some(Self::Hashed {
                salt: STANDARD.decode(salt).ok()?,
                hash: STANDARD.decode(hash).ok()?,
            });
        }
        Some(Self::Patterns(text.to_lowercase()))
    }

    fn matches(&self, name: &str) -> bool {
        match self {
            Self::Hashed { salt, hash } => {
                let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, salt);
                hmac::verify(&key, name.as_bytes(), hash).is_ok()
            }
            Self::Patterns(patterns) => pattern::names(patterns, name),
        }
    }
}

/// The kind of a key, e.g. `ssh-ed25519`: the first string in it, behind its length.
pub fn kind(key: &[u8]) -> &str {
    let length = key
        .first_chunk::<4>()
        .map_or(0, |bytes| u32::from_be_bytes(*bytes) as usize);
    let name = key.get(4..4usize.saturating_add(length)).unwrap_or_default();
    std::str::from_utf8(name).unwrap_or_default()
}

/// A key's fingerprint as `ssh-keygen -l` shows it.
pub fn fingerprint(key: &[u8]) -> String {
    format!("SHA256:{}", STANDARD_NO_PAD.encode(Sha256::digest(key)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A key of that kind; what is in it does not matter here.
    fn key(kind: &str, body: &str) -> Vec<u8> {
        let mut key = (kind.len() as u32).to_be_bytes().to_vec();
        key.extend(kind.as_bytes());
        key.extend(body.as_bytes());
        key
    }

    fn line(hosts: &str, key: &[u8]) -> String {
        format!("{hosts} {} {} a comment\n", kind(key), STANDARD.encode(key))
    }

    #[test]
    fn hosts_are_found_by_name_pattern_port_and_hash() {
        let (ours, other) = (key("ssh-ed25519", "ours"), key("ssh-ed25519", "other"));
        // A name hidden as `ssh-keygen -H` does.
        let salt = STANDARD.encode(b"0123456789abcdefghij");
        let secret = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, b"0123456789abcdefghij");
        let hash = STANDARD.encode(hmac::sign(&secret, b"git.example.com"));
        let hashed = format!("|1|{salt}|{hash}");
        for (hosts, port, expected) in [
            ("git.example.com", 22, Verdict::Known),
            ("GIT.example.com,192.0.2.1", 22, Verdict::Known),
            ("*.example.com", 22, Verdict::Known),
            ("git.ex?mple.com", 22, Verdict::Known),
            ("*.example.com,!git.example.com", 22, Verdict::Unknown),
            ("example.com", 22, Verdict::Unknown),
            ("[git.example.com]:2222", 2222, Verdict::Known),
            ("[git.example.com]:2222", 22, Verdict::Unknown),
            ("git.example.com", 2222, Verdict::Known),
            (&hashed, 22, Verdict::Known),
            ("@revoked *", 22, Verdict::Revoked),
            ("@cert-authority *", 22, Verdict::Unknown),
            ("#git.example.com", 22, Verdict::Unknown),
        ] {
            let known = KnownHosts::parse_leniently(&line(hosts, &ours));
            assert_eq!(known.check("git.example.com", port, &ours), expected, "{hosts} {port}");
        }
        let known = KnownHosts::parse(&line("git.example.com", &other)).expect("a line");
        assert_eq!(
            known.check("git.example.com", 22, &ours),
            Verdict::Changed(vec![fingerprint(&other)])
        );
        let rsa = KnownHosts::parse(&line("git.example.com", &key("ssh-rsa", "x"))).expect("a line");
        assert_eq!(
            rsa.check("git.example.com", 22, &ours),
            Verdict::OtherKinds(vec!["ssh-rsa".into()])
        );
    }

    #[test]
    fn nonsense_is_no_line() {
        for text in [
            "",
            "# only\n",
            "host",
            "host ssh-ed25519",
            "host ssh-ed25519 !!!",
            "host ssh-rsa AAAA",
        ] {
            assert!(KnownHosts::parse(text).is_err(), "{text:?}");
        }
    }
}
