//! One conversation with a remote: which credentials it is given, whether it is who it should be, and errors in words.

use std::cell::{Cell, RefCell};
use std::path::PathBuf;

use git2::cert::Cert;
use git2::{
    AutotagOption, CertificateCheckStatus, Cred, CredentialType, ErrorClass, ErrorCode, FetchOptions, ProxyOptions,
    RemoteCallbacks, RemoteRedirect,
};
use rustls_pki_types::UnixTime;

use super::url::Url;
use super::{certificate, chain};
use crate::gitops::access::Access;
use crate::gitops::access::known_hosts::{KnownHosts, Verdict, fingerprint, kind};
use crate::gitops::error::Error;

/// How often one connection asks for credentials before it is ended: a name, an agent, three keys, a password, with
/// some to spare. Ours end earlier, by refusing.
const MAX_CREDENTIALS: usize = 10;

/// Who SSH and HTTP know us as where nothing else is said; forges look only at the key or token then.
const DEFAULT_USER: &str = "git";

/// Where a user's own known hosts are, and the machine's.
const MACHINE_KNOWN_HOSTS: &str = "/etc/ssh/ssh_known_hosts";

/// One conversation. Lives longer than the connection, which calls back into it.
pub(super) struct Session<'a> {
    url: &'a Url,
    access: &'a Access,
    asked: Cell<usize>,
    keys_tried: Cell<usize>,
    passwords_tried: Cell<usize>,
    /// Why we gave up; better than what libgit2 makes of it.
    refusal: RefCell<Option<String>>,
    /// What is wrong with the certificate, in case the machine's authorities do not trust it either.
    distrust: RefCell<Option<String>>,
}

impl<'a> Session<'a> {
    pub fn new(url: &'a Url, access: &'a Access) -> Self {
        Self {
            url,
            access,
            asked: Cell::new(0),
            keys_tried: Cell::new(0),
            passwords_tried: Cell::new(0),
            refusal: RefCell::new(None),
            distrust: RefCell::new(None),
        }
    }

    /// Lets another connection of the same conversation be given the same.
    pub fn again(&self) {
        for count in [&self.asked, &self.keys_tried, &self.passwords_tried] {
            count.set(0);
        }
        *self.refusal.borrow_mut() = None;
    }

    /// How to connect and fetch.
    pub fn options(&self) -> FetchOptions<'_> {
        let mut callbacks = RemoteCallbacks::new();
        callbacks
            .credentials(|_, user, allowed| self.credential(user, allowed))
            .certificate_check(|certificate, host| self.certificate(certificate, host));
        let mut proxy = ProxyOptions::new();
        match &self.access.proxy {
            Some(url) => proxy.url(url),
            None => proxy.auto(),
        };
        let mut options = FetchOptions::new();
        options
            .remote_callbacks(callbacks)
            .proxy_options(proxy)
            // To other hosts: what is meant for this one is not for them.
            .follow_redirects(RemoteRedirect::None)
            .download_tags(AutotagOption::None)
            .update_fetchhead(false);
        if let (Some(token), true) = (&self.access.bearer_token, self.url.is_http()) {
            options.custom_headers(&[&format!("Authorization: Bearer {token}")]);
        }
        options
    }

    /// What went wrong, in words and without credentials.
    pub fn failed(&self, step: &str, error: &git2::Error) -> Error {
        let by_certificate = error.class() == ErrorClass::Ssl && error.message().contains("certificate");
        let distrust = self.distrust.borrow().clone().filter(|_| by_certificate);
        let message = match self.refusal.borrow().clone().or(distrust) {
            Some(reason) => reason,
            None => self.explained(error),
        };
        let mut secrets: Vec<&str> = self.access.secrets().chain(self.url.secrets()).collect();
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        let message = secrets
            .into_iter()
            .fold(message, |message, secret| message.replace(secret, "***"));
        Error::Source(format!("{step} {}: {message}", self.url.shown()))
    }

    /// What libgit2 says, with what it means where that is not plain.
    fn explained(&self, error: &git2::Error) -> String {
        let message = error.message().to_owned();
        if error.class() == ErrorClass::Ssh && message.contains("from private key") {
            return match &self.access.identity {
                Some(_) => "identity cannot be used: identity.password is wrong or missing, or it is no private key \
                            in a format that ssh-keygen writes"
                    .into(),
                None => "a key in ~/.ssh cannot be used, perhaps for want of its passphrase; load it into an SSH \
                         agent, or give it in --credentials"
                    .into(),
            };
        }
        match message.rsplit_once("status code: ").map(|(_, code)| code) {
            Some("403") => "the server forbids it (403); may these credentials read the repository?".into(),
            Some("404") => "the server has no such repository (404), or hides it from these credentials".into(),
            Some(code) if code.starts_with('5') => format!("the server fails ({code})"),
            // What the other side said may have lines of its own.
            _ => message.split_whitespace().collect::<Vec<_>>().join(" "),
        }
    }

    fn refuse<T>(&self, code: ErrorCode, class: ErrorClass, reason: String) -> Result<T, git2::Error> {
        let error = git2::Error::new(code, class, &reason);
        *self.refusal.borrow_mut() = Some(reason);
        Err(error)
    }

    fn credential(&self, user_of_url: Option<&str>, allowed: CredentialType) -> Result<Cred, git2::Error> {
        self.asked.set(self.asked.get() + 1);
        let no = |reason: String| self.refuse(ErrorCode::Auth, ErrorClass::Callback, reason);
        if self.asked.get() > MAX_CREDENTIALS {
            return no("the server takes none of the credentials at hand".into());
        }
        let user = self
            .url
            .user
            .as_deref()
            .or(self.access.username.as_deref())
            .or(user_of_url)
            .unwrap_or(DEFAULT_USER);
        if allowed.contains(CredentialType::USERNAME) {
            return Cred::username(user);
        }
        if allowed.contains(CredentialType::SSH_KEY)
            && let Some(key) = self.key(user)
        {
            return key;
        }
        if allowed.contains(CredentialType::USER_PASS_PLAINTEXT) {
            let tried = self.passwords_tried.get();
            self.passwords_tried.set(tried + 1);
            let given = self.access.password.as_ref().or(self.url.password.as_ref());
            let alone = self.url.user.as_ref().filter(|_| self.url.is_http());
            if let (0, Some(password)) = (tried, given) {
                return Cred::userpass_plaintext(user, password);
            }
            if let (0, None, Some(token)) = (tried, given, alone) {
                return Cred::userpass_plaintext(token, "");
            }
            let may_help = self.url.is_http() && given.is_none() && self.access.bearer_token.is_none();
            if tried == 0
                && may_help
                && let Ok(config) = git2::Config::open_default()
                && let Ok(found) = Cred::credential_helper(&config, self.url.shown(), None)
            {
                return Ok(found);
            }
        }
        no(self.exhausted(user))
    }

    /// The next key to try; None where all were.
    fn key(&self, user: &str) -> Option<Result<Cred, git2::Error>> {
        let tried = self.keys_tried.get();
        self.keys_tried.set(tried + 1);
        if let Some(key) = &self.access.identity {
            let passphrase = self.access.passphrase.as_deref();
            return (tried == 0).then(|| Cred::ssh_key_from_memory(user, None, key, passphrase));
        }
        if self.access.password.is_some() {
            return None;
        }
        let agent = std::env::var_os("SSH_AUTH_SOCK").is_some();
        if agent && tried == 0 {
            return Some(Cred::ssh_key_from_agent(user));
        }
        let key = own_keys().into_iter().nth(tried - usize::from(agent))?;
        Some(Cred::ssh_key(user, None, &key, None))
    }

    /// Why there is nothing more to try.
    fn exhausted(&self, user: &str) -> String {
        let Access {
            password,
            bearer_token,
            identity,
            ..
        } = self.access;
        let host = self.url.host();
        if !self.url.is_http() {
            return match (identity, password) {
                (Some(_), _) => format!(
                    "{host} refuses the key in identity for user {user}, or its passphrase is wrong; \
                     is its public key allowed to read the repository?"
                ),
                (None, Some(_)) => format!("{host} refuses the password of the credentials for user {user}"),
                (None, None) => format!(
                    "{host} takes neither the SSH agent's keys nor those in ~/.ssh for user {user}; \
                     give one as identity in --credentials"
                ),
            };
        }
        if bearer_token.is_some() {
            return format!("{host} refuses the bearerToken of the credentials; it may be wrong or expired");
        }
        match (password, &self.url.user) {
            (Some(_), _) => {
                format!("{host} refuses the username and password of the credentials; a token may have expired")
            }
            (None, Some(_)) => format!("{host} refuses the login in the URL"),
            (None, None) => {
                format!("{host} asks for a login; give username and password, or bearerToken, in --credentials")
            }
        }
    }

    fn certificate(&self, certificate: &Cert<'_>, host: &str) -> Result<CertificateCheckStatus, git2::Error> {
        if let Some(key) = certificate.as_hostkey() {
            return match key.hostkey() {
                Some(key) => self.host_key(key),
                None => self.refuse(
                    ErrorCode::Certificate,
                    ErrorClass::Ssh,
                    format!("{host} shows no host key"),
                ),
            };
        }
        let Some(certificate) = certificate.as_x509() else {
            return Ok(CertificateCheckStatus::CertificatePassthrough);
        };
        let ask = || chain::intermediates(host, self.url.https_port());
        match certificate::check(certificate.data(), host, &self.access.authorities, UnixTime::now(), ask) {
            Ok(()) => Ok(CertificateCheckStatus::CertificateOk),
            Err(reason) => {
                // libgit2 has asked the machine's authorities already; what they say stands.
                *self.distrust.borrow_mut() = Some(reason);
                Ok(CertificateCheckStatus::CertificatePassthrough)
            }
        }
    }

    fn host_key(&self, key: &[u8]) -> Result<CertificateCheckStatus, git2::Error> {
        let (host, port) = (self.url.host(), self.url.ssh_port());
        let (known, place) = match &self.access.known_hosts {
            Some(known) => (known.clone(), "known_hosts of the credentials"),
            None => (own_known_hosts(), "~/.ssh/known_hosts"),
        };
        let shown = format!("{} {}", kind(key), fingerprint(key));
        let reason = match known.check(host, port, key) {
            Verdict::Known => return Ok(CertificateCheckStatus::CertificateOk),
            Verdict::Unknown => format!(
                "{host} is not in {place}; it shows the host key {shown}. \
                 If that is its key, add what this prints: ssh-keyscan -p {port} {host}"
            ),
            Verdict::OtherKinds(kinds) => format!(
                "{host} shows the host key {shown}, and {place} has only {}. \
                 If that is its key, add what this prints: ssh-keyscan -p {port} {host}",
                kinds.join(", ")
            ),
            Verdict::Changed(before) => format!(
                "the host key of {host} has changed: it shows {shown}, and {place} has {}. Somebody may be in between. \
                 If the host was given a new key, put that into {place}",
                before.join(", ")
            ),
            Verdict::Revoked => format!("{host} shows the host key {shown}, which {place} says was revoked"),
        };
        self.refuse(ErrorCode::Certificate, ErrorClass::Ssh, reason)
    }
}

fn own_keys() -> Vec<PathBuf> {
    let Some(home) = std::env::home_dir() else {
        return Vec::new();
    };
    ["id_ed25519", "id_ecdsa", "id_rsa"]
        .iter()
        .map(|name| home.join(".ssh").join(name))
        .filter(|path| path.is_file())
        .collect()
}

/// The user's and the machine's known hosts. A file that cannot be read is as if empty: the host is refused then.
fn own_known_hosts() -> KnownHosts {
    let of_user = std::env::home_dir().map(|home| home.join(".ssh/known_hosts"));
    let files = of_user.into_iter().chain([PathBuf::from(MACHINE_KNOWN_HOSTS)]);
    let texts: Vec<String> = files.filter_map(|path| std::fs::read_to_string(path).ok()).collect();
    KnownHosts::parse_leniently(&texts.join("\n"))
}
