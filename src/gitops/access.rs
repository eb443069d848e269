//! What a remote asks for before it lets us in, and whom to trust there. Opens no connection; `Debug` shows no secret.

pub(super) mod known_hosts;

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;

use super::error::Error;
use known_hosts::KnownHosts;

/// One file of credentials; as much as a Kubernetes Secret may hold altogether.
const MAX_BYTES: u64 = 1 << 20;

/// The names of what is understood, as in the secrets of Flux.
const KEYS: [&str; 8] = [
    "username",
    "password",
    "bearerToken",
    "identity",
    "identity.password",
    "known_hosts",
    "ca.crt",
    "proxy",
];

/// Logins, keys and trust for a remote. The default has nothing: then the user's own SSH agent, keys, `known_hosts` and
/// git credential helpers are used, as git does.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Access {
    pub(super) username: Option<String>,
    pub(super) password: Option<String>,
    pub(super) bearer_token: Option<String>,
    /// A private key for SSH, in a format that OpenSSH writes.
    pub(super) identity: Option<String>,
    pub(super) passphrase: Option<String>,
    pub(super) known_hosts: Option<KnownHosts>,
    /// Trusted over HTTPS, besides the authorities of the machine.
    pub(super) authorities: Vec<CertificateDer<'static>>,
    pub(super) proxy: Option<String>,
    /// The Secret or directory that holds it, whatever it says today.
    origin: Option<String>,
}

impl std::fmt::Debug for Access {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            username,
            password,
            bearer_token,
            identity,
            passphrase,
            known_hosts,
            authorities,
            proxy,
            origin: _,
        } = self;
        let has = [
            username.is_some(),
            password.is_some(),
            bearer_token.is_some(),
            identity.is_some(),
            passphrase.is_some(),
            known_hosts.is_some(),
            !authorities.is_empty(),
            proxy.is_some(),
        ];
        let names: Vec<&str> = KEYS
            .into_iter()
            .zip(has)
            .filter_map(|(key, has)| has.then_some(key))
            .collect();
        write!(formatter, "Access({})", names.join(", "))
    }
}

impl Access {
    /// Reads the files of a directory: `username`, `password`, `bearerToken`, `identity` (an SSH private key),
    /// `identity.password`, `known_hosts`, `ca.crt` (PEM) and `proxy` (a URL), each optional, others ignored.
    ///
    /// # Errors
    /// Where the directory or one of these files cannot be read or used.
    pub fn from_directory(directory: &Path) -> Result<Self, Error> {
        let failed = |path: &Path, reason: &str| Error::Config(format!("credentials {}: {reason}", path.display()));
        let metadata = fs::metadata(directory).map_err(|error| failed(directory, &error.to_string()))?;
        if !metadata.is_dir() {
            return Err(failed(directory, "not a directory"));
        }
        let mut data = BTreeMap::new();
        for key in KEYS {
            let path = directory.join(key);
            let mut contents = Vec::new();
            match fs::File::open(&path).and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut contents)) {
                Ok(_) => data.insert(key.to_owned(), contents),
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                Err(error) => return Err(failed(&path, &error.to_string())),
            };
        }
        let access = Self::parse(&data).map_err(|reason| failed(directory, &reason))?;
        let origin = fs::canonicalize(directory).map_err(|error| failed(directory, &error.to_string()))?;
        Ok(Self {
            origin: Some(format!("directory {}", origin.display())),
            ..access
        })
    }

    /// Reads the data of that Secret, as [`Access::from_data`].
    ///
    /// # Errors
    /// As for that.
    pub fn from_secret(namespace: &str, name: &str, data: &BTreeMap<String, Vec<u8>>) -> Result<Self, Error> {
        Ok(Self {
            origin: Some(format!("Secret {namespace}/{name}")),
            ..Self::from_data(data)?
        })
    }

    /// The files of a directory that [`Access::from_directory`] reads, where they are there.
    pub fn files(directory: &Path) -> impl Iterator<Item = PathBuf> {
        KEYS.into_iter().map(|key| directory.join(key))
    }

    /// Reads the data of a Secret, which has the same keys as [`Access::from_directory`] has files.
    ///
    /// # Errors
    /// Where one of them cannot be used; the message has its name and never its value.
    pub fn from_data(data: &BTreeMap<String, Vec<u8>>) -> Result<Self, Error> {
        Self::parse(data).map_err(|reason| Error::Config(format!("credentials: {reason}")))
    }

    fn parse(data: &BTreeMap<String, Vec<u8>>) -> Result<Self, String> {
        if !KEYS.iter().any(|key| data.contains_key(*key)) {
            return Err(format!("has none of {}", KEYS.join(", ")));
        }
        for key in KEYS {
            if data.get(key).is_some_and(|value| value.len() as u64 > MAX_BYTES) {
                return Err(format!("{key} has more than {MAX_BYTES} bytes"));
            }
        }
        let access = Self {
            username: line(data, "username")?,
            password: line(data, "password")?,
            bearer_token: line(data, "bearerToken")?,
            identity: text(data, "identity")?,
            passphrase: line(data, "identity.password")?,
            known_hosts: text(data, "known_hosts")?
                .map(|text| KnownHosts::parse(&text))
                .transpose()?,
            authorities: data.get("ca.crt").map_or(Ok(Vec::new()), |pem| authorities(pem))?,
            proxy: line(data, "proxy")?,
            origin: None,
        };
        if access.bearer_token.is_some() && access.password.is_some() {
            return Err("has both password and bearerToken; give one of them".into());
        }
        if access.username.is_some() && access.password.is_none() && access.identity.is_none() {
            return Err("has a username and neither password nor identity".into());
        }
        if access.passphrase.is_some() && access.identity.is_none() {
            return Err("has identity.password and no identity".into());
        }
        if let Some(key) = &access.identity
            && !key.trim_start().starts_with("-----BEGIN ")
        {
            return Err("identity is no private key; it begins with -----BEGIN".into());
        }
        if let Some(proxy) = &access.proxy
            && !["http://", "https://"].iter().any(|scheme| proxy.starts_with(scheme))
        {
            return Err("proxy is no URL that begins with http:// or https://".into());
        }
        Ok(access)
    }

    /// For another host: whom to trust, and through which proxy, without what lets us in.
    pub(super) fn without_login(&self) -> Self {
        Self {
            known_hosts: self.known_hosts.clone(),
            authorities: self.authorities.clone(),
            proxy: self.proxy.clone(),
            ..Self::default()
        }
    }

    /// What tells whoever logs in with this from others; None where it lets nobody in. Holds secrets.
    pub(super) fn login(&self) -> Option<String> {
        let secrets = [&self.username, &self.password, &self.bearer_token, &self.identity];
        if secrets.iter().all(|secret| secret.is_none()) {
            return None;
        }
        Some(self.origin.clone().unwrap_or_else(|| format!("{secrets:?}")))
    }

    /// What must never be printed.
    pub(super) fn secrets(&self) -> impl Iterator<Item = &str> {
        let proxy_login = self.proxy.as_deref().and_then(|url| {
            let (_, rest) = url.split_once("://")?;
            rest.split('/').next()?.rsplit_once('@').map(|(login, _)| login)
        });
        [
            self.password.as_deref(),
            self.bearer_token.as_deref(),
            self.identity.as_deref(),
            self.passphrase.as_deref(),
            proxy_login,
        ]
        .into_iter()
        .flatten()
    }
}

fn text(data: &BTreeMap<String, Vec<u8>>, key: &str) -> Result<Option<String>, String> {
    let Some(bytes) = data.get(key) else { return Ok(None) };
    let text = String::from_utf8(bytes.clone()).map_err(|_| format!("{key} is not text"))?;
    if text.trim().is_empty() {
        return Err(format!("{key} is empty"));
    }
    Ok(Some(text))
}

/// One line. What editors and `echo` put behind it is not part of it.
fn line(data: &BTreeMap<String, Vec<u8>>, key: &str) -> Result<Option<String>, String> {
    let Some(text) = text(data, key)? else {
        return Ok(None);
    };
    let line = text.trim_end_matches(['\r', '\n']);
    match line.contains(['\r', '\n', '\0']) {
        true => Err(format!("{key} has more than one line")),
        false => Ok(Some(line.to_owned())),
    }
}

fn authorities(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let found: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| format!("ca.crt: {error}"))?;
    if found.is_empty() {
        return Err("ca.crt holds no certificate (PEM)".into());
    }
    let mut store = rustls::RootCertStore::empty();
    for certificate in &found {
        store
            .add(certificate.clone())
            .map_err(|error| format!("ca.crt: {error}"))?;
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data(pairs: &[(&str, &str)]) -> BTreeMap<String, Vec<u8>> {
        let owned = |(key, value): &(&str, &str)| ((*key).to_owned(), value.as_bytes().to_vec());
        pairs.iter().map(owned).collect()
    }

    #[test]
    fn files_are_read_without_the_end_of_their_line() {
        let directory = tempfile::tempdir().expect("a directory");
        fs::write(directory.path().join("username"), "ann\n").expect("written");
        fs::write(directory.path().join("password"), " s3cret \r\n").expect("written");
        fs::write(directory.path().join("notes"), "ignored").expect("written");
        let access = Access::from_directory(directory.path()).expect("usable");
        assert_eq!(access.username.as_deref(), Some("ann"));
        assert_eq!(access.password.as_deref(), Some(" s3cret "));
        assert_eq!(format!("{access:?}"), "Access(username, password)");
    }

    #[test]
    fn what_cannot_be_used_is_named_and_not_shown() {
        for (name, pairs, part) in [
            ("nothing", &[("other", "x")][..], "has none of username"),
            (
                "two logins",
                &[("password", "s3cret"), ("bearerToken", "s3cret")],
                "give one of them",
            ),
            (
                "a lone name",
                &[("username", "s3cret")],
                "neither password nor identity",
            ),
            ("a lone passphrase", &[("identity.password", "s3cret")], "no identity"),
            ("no key", &[("identity", "s3cret")], "identity is no private key"),
            ("no certificate", &[("ca.crt", "s3cret")], "ca.crt holds no certificate"),
            (
                "a broken one",
                &[(
                    "ca.crt",
                    "-----BEGIN CERTIFICATE-----\ns3cret\n-----END CERTIFICATE-----\n",
                )],
                "ca.crt",
            ),
            ("no host", &[("known_hosts", "# none\n")], "known_hosts"),
            (
                "lines",
                &[("password", "s3cret\ns3cret")],
                "password has more than one line",
            ),
            ("empty", &[("password", "\n")], "password is empty"),
            ("no URL", &[("proxy", "s3cret:80")], "proxy is no URL"),
        ] {
            let error = Access::from_data(&data(pairs)).expect_err(name).to_string();
            assert!(error.contains(part) && !error.contains("s3cret"), "{name}: {error}");
        }
        let gone = Access::from_directory(Path::new("/nowhere/at/all")).expect_err("gone");
        assert!(gone.to_string().contains("/nowhere/at/all"), "{gone}");
    }

    #[test]
    fn every_secret_is_known_as_one() {
        let access = Access::from_data(&data(&[
            ("password", "one"),
            ("identity", "-----BEGIN two"),
            ("identity.password", "three"),
            ("proxy", "http://user:four@proxy:3128/"),
        ]))
        .expect("usable");
        let secrets: Vec<&str> = access.secrets().collect();
        assert_eq!(secrets, ["one", "-----BEGIN two", "three", "user:four"]);
        assert_eq!(
            format!("{access:?}"),
            "Access(password, identity, identity.password, proxy)"
        );
    }
}
