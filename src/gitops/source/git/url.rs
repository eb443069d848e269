//! A remote's URL, with the credentials in it kept apart from what is shown. Opens nothing.

use sha2::{Digest, Sha256};

/// How much of a hash names a clone's directory; enough to never meet twice.
const NAME_LENGTH: usize = 16;

/// What is understood; anything else is a path.
const SCHEMES: [&str; 7] = ["http", "https", "ssh", "git", "file", "git+ssh", "ssh+git"];

/// The port of SSH where the URL names none.
const SSH_PORT: u16 = 22;

/// The same of HTTP.
const HTTP_PORT: u16 = 80;

/// The same of HTTPS.
const HTTPS_PORT: u16 = 443;

/// A URL with its credentials kept apart from what is shown.
#[derive(Clone)]
pub(in super::super) struct Url {
    shown: String,
    scheme: String,
    host: String,
    port: Option<u16>,
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
    secrets: Vec<String>,
}

impl std::fmt::Debug for Url {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.shown)
    }
}

impl Url {
    /// Reads `https://…`, `ssh://…`, `git://…`, `file://…` and `user@host:path`; None for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let Some((scheme, rest)) = text.split_once("://") else {
            return Self::parse_short(text);
        };
        if !SCHEMES.contains(&scheme) {
            return None;
        }
        let (authority, path) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
        let (login, address) = authority
            .rsplit_once('@')
            .map_or((None, authority), |(login, address)| (Some(login), address));
        let (user, password) = match login.map(|login| login.split_once(':').unwrap_or((login, ""))) {
            Some((user, password)) => (given(user), given(password)),
            None => (None, None),
        };
        let keep_user = scheme.contains("ssh");
        let shown_user = user
            .as_deref()
            .filter(|_| keep_user)
            .map(|user| format!("{user}@"))
            .unwrap_or_default();
        let mut secrets: Vec<String> = login
            .into_iter()
            .filter(|login| !login.is_empty() && (!keep_user || password.is_some()))
            .map(str::to_owned)
            .collect();
        secrets.extend(password.clone());
        // A token may stand alone, as the user's name.
        secrets.extend(user.clone().filter(|_| !keep_user && password.is_none()));
        let (host, port) = host_and_port(address);
        Some(Self {
            shown: format!("{scheme}://{shown_user}{address}{path}"),
            scheme: scheme.to_owned(),
            host,
            port,
            user,
            password,
            secrets,
        })
    }

    /// `user@host:path`.
    fn parse_short(text: &str) -> Option<Self> {
        let (address, path) = match text.find("]:") {
            Some(end) => (&text[..=end], &text[end + 2..]),
            None => text.split_once(':')?,
        };
        let valid =
            !address.is_empty() && !path.is_empty() && !address.contains('/') && !address.contains(char::is_whitespace);
        let (user, address) = address
            .split_once('@')
            .map_or((None, address), |(user, address)| (given(user), address));
        let (host, port) = host_and_port(address);
        valid.then(|| Self {
            shown: text.to_owned(),
            scheme: "ssh".into(),
            host,
            port,
            user,
            password: None,
            secrets: Vec::new(),
        })
    }

    /// The URL without credentials, for people and for libgit2.
    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// Under which name its clone is kept.
    pub fn directory_name(&self) -> String {
        let hash = Sha256::digest(self.shown.as_bytes());
        hex::encode(hash)[..NAME_LENGTH].to_owned()
    }

    /// Whether it is reached through the file system.
    pub fn is_local(&self) -> bool {
        self.scheme == "file"
    }

    /// Whether it is reached over HTTP or HTTPS.
    pub fn is_http(&self) -> bool {
        self.scheme.starts_with("http")
    }

    /// Without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Whether both are on one host and port, and reached alike.
    pub fn is_beside(&self, other: &Self) -> bool {
        let port = |url: &Self| {
            url.port.or(match url.scheme.as_str() {
                "http" => Some(HTTP_PORT),
                "https" => Some(HTTPS_PORT),
                scheme if scheme.contains("ssh") => Some(SSH_PORT),
                _ => None,
            })
        };
        self.scheme == other.scheme && self.host.eq_ignore_ascii_case(&other.host) && port(self) == port(other)
    }

    /// With the login of another, where it has none itself.
    pub fn with_login_of(mut self, other: &Self) -> Self {
        if self.user.is_none() && self.password.is_none() {
            self.user.clone_from(&other.user);
            self.password.clone_from(&other.password);
            self.secrets.extend(other.secrets.iter().cloned());
        }
        self
    }

    /// The port for HTTPS.
    pub fn https_port(&self) -> u16 {
        self.port.unwrap_or(HTTPS_PORT)
    }

    /// The port for SSH.
    pub fn ssh_port(&self) -> u16 {
        self.port.unwrap_or(SSH_PORT)
    }

    /// What must never be printed.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        self.secrets.iter().map(String::as_str)
    }
}

/// A decoded part of a login, where there is one.
fn given(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| decode(text))
}

fn host_and_port(address: &str) -> (String, Option<u16>) {
    let (host, port) = match address.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((host, port)) => (host, port.strip_prefix(':')),
        None => address
            .split_once(':')
            .map_or((address, None), |(host, port)| (host, Some(port))),
    };
    (host.to_owned(), port.and_then(|port| port.parse().ok()))
}

/// `%40` and the like.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escaped = (*first == b'%')
            .then(|| {
                after
                    .get(..2)
                    .and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok())
            })
            .flatten();
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_told_from_paths_and_show_no_credentials() {
        for (text, shown) in [
            (
                "https://user:s3cret@example.com/a.git",
                Some("https://example.com/a.git"),
            ),
            ("https://tok3n@example.com/a.git", Some("https://example.com/a.git")),
            ("https://@example.com/a.git", Some("https://example.com/a.git")),
            ("ssh://git@example.com:22/a.git", Some("ssh://git@example.com:22/a.git")),
            (
                "ssh://git:s3cret@example.com/a.git",
                Some("ssh://git@example.com/a.git"),
            ),
            ("git@example.com:a/b.git", Some("git@example.com:a/b.git")),
            ("file:///srv/a.git", Some("file:///srv/a.git")),
            ("./apps", None),
            ("/srv/a:b", None),
            ("C", None),
            ("ftp://example.com/a", None),
        ] {
            let url = Url::parse(text);
            assert_eq!(url.as_ref().map(Url::shown), shown, "{text}");
            let secrets: Vec<String> = url.iter().flat_map(Url::secrets).map(str::to_owned).collect();
            assert!(secrets.iter().all(|secret| !secret.is_empty()), "{text}: {secrets:?}");
        }
        let url = Url::parse("https://user:p%40ss@example.com/a").expect("a URL");
        assert_eq!(url.password.as_deref(), Some("p@ss"));
        assert_eq!(url.secrets().collect::<Vec<_>>(), ["user:p%40ss", "p@ss"]);
        assert!(!format!("{url:?}").contains("p%40"));
    }

    #[test]
    fn hosts_and_ports() {
        for (text, host, port) in [
            ("ssh://git@example.com:2222/a", "example.com", 2222),
            ("ssh://example.com/a", "example.com", 22),
            ("git@example.com:a", "example.com", 22),
            ("ssh://git@[::1]:2222/a", "::1", 2222),
            ("git@[::1]:a", "::1", 22),
        ] {
            let url = Url::parse(text).expect("a URL");
            assert_eq!((url.host(), url.ssh_port()), (host, port), "{text}");
        }
    }
}
