//! The CA, and the certificates it signs: made on first use, kept in files, renewed when they near their end.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::{Timestamp, ToSpan, civil::Date, tz::TimeZone};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType, date_time_ymd,
};

use super::files::{make_private_dir, read, write_private};
use super::identity::{Facts, facts};
use super::{Credentials, PkiError};
use crate::apiserver::tokens::{KEY_LENGTH, TokenKey};

/// How long the CA lives: longer than anybody keeps such a cluster.
const CA_YEARS: i32 = 10;
/// How long what it signs lives, as with kubeadm.
const LEAF_YEARS: i32 = 1;
/// A certificate that ends sooner than this is made anew at start.
const RENEW_BEFORE_SECONDS: i64 = 30 * 24 * 3600;

/// Names that the serving certificate always carries: how pods and processes of this machine reach the API server.
const SERVING_NAMES: [&str; 6] = [
    "localhost",
    "127.0.0.1",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
];

/// Whom a client certificate names.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The certificate's files, e.g. `admin`.
    pub file: &'a str,
    /// The user (CN).
    pub user: &'a str,
    /// The groups (O).
    pub groups: &'a [&'a str],
}

impl Subject<'static> {
    /// May do everything; what `DATA_DIR/kubeconfig` carries.
    pub const ADMIN: Self = Self {
        file: "admin",
        user: "reconcile-admin",
        groups: &["system:masters"],
    };
    /// The API server towards kubelets.
    pub const KUBELET_CLIENT: Self = Self {
        file: "apiserver-kubelet-client",
        user: "kube-apiserver-kubelet-client",
        groups: &["system:masters"],
    };
    /// The scheduler.
    pub const SCHEDULER: Self = Self {
        file: "scheduler",
        user: "system:kube-scheduler",
        groups: &[],
    };
    /// A kubelet.
    pub const KUBELET: Self = Self {
        file: "kubelet",
        user: "system:node",
        groups: &["system:nodes"],
    };
}

/// A cluster's CA and the directory its files lie in.
pub struct Pki {
    directory: PathBuf,
    ca_certificate: String,
    ca_key: String,
    token_key: [u8; KEY_LENGTH],
}

impl Pki {
    /// Opens the CA in that directory, or makes it.
    ///
    /// # Errors
    /// Where files cannot be read or written, or hold something else.
    pub fn open(directory: &Path) -> Result<Self, PkiError> {
        make_private_dir(directory)?;
        let (certificate_path, key_path) = (directory.join("ca.crt"), directory.join("ca.key"));
        let ca = match (read(&certificate_path)?, read(&key_path)?) {
            (Some(certificate), Some(key)) => Credentials { certificate, key },
            (Some(_), None) => {
                return Err(PkiError::Damaged {
                    path: key_path,
                    reason: "the CA's certificate is there without its key".to_owned(),
                });
            }
            // Without a certificate nothing can have been signed yet: the key is written first.
            (None, _) => {
                let made = make_ca()?;
                write_private(&key_path, made.key.as_bytes())?;
                write_private(&certificate_path, made.certificate.as_bytes())?;
                made
            }
        };
        let pki = Self {
            directory: directory.to_owned(),
            ca_certificate: ca.certificate,
            ca_key: ca.key,
            token_key: open_token_key(&directory.join("sa.key"))?,
        };
        let damaged = |path: &Path, reason: String| PkiError::Damaged {
            path: path.to_owned(),
            reason,
        };
        facts(&pki.ca_certificate).map_err(|reason| damaged(&certificate_path, reason))?;
        pki.issuer().map_err(|error| damaged(&key_path, error.to_string()))?;
        Ok(pki)
    }

    /// The CA's certificate (PEM).
    pub fn ca_certificate(&self) -> &str {
        &self.ca_certificate
    }

    /// What signs service account tokens.
    pub fn token_key(&self) -> TokenKey {
        TokenKey::new(self.token_key)
    }

    /// The API server's own certificate, for the usual names and these (host names and addresses).
    ///
    /// # Errors
    /// Where files cannot be read or written.
    pub fn serving(&self, names: &[String]) -> Result<Credentials, PkiError> {
        let mut all: Vec<String> = SERVING_NAMES.map(str::to_owned).to_vec();
        all.extend(names.iter().filter(|name| !name.is_empty()).cloned());
        all.sort();
        all.dedup();
        let fits = |facts: &Facts| facts.names == all;
        self.leaf("apiserver", fits, || {
            let mut params = leaf_params("kube-apiserver", &[]);
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
            for name in &all {
                params.subject_alt_names.push(match name.parse::<IpAddr>() {
                    Ok(address) => SanType::IpAddress(address),
                    Err(_) => SanType::DnsName(name.as_str().try_into()?),
                });
            }
            Ok(params)
        })
    }

    /// A client certificate.
    ///
    /// # Errors
    /// Where files cannot be read or written.
    pub fn client(&self, subject: Subject<'_>) -> Result<Credentials, PkiError> {
        let fits = |facts: &Facts| facts.user == subject.user && facts.groups == subject.groups;
        self.leaf(subject.file, fits, || {
            let mut params = leaf_params(subject.user, subject.groups);
            params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
            Ok(params)
        })
    }

    /// The certificate in these files, or a new one where it is missing, near its end or does not fit.
    fn leaf(
        &self,
        file: &str,
        fits: impl Fn(&Facts) -> bool,
        params: impl FnOnce() -> Result<CertificateParams, PkiError>,
    ) -> Result<Credentials, PkiError> {
        let (certificate_path, key_path) = (
            self.directory.join(format!("{file}.crt")),
            self.directory.join(format!("{file}.key")),
        );
        if let (Some(certificate), Some(key)) = (read(&certificate_path)?, read(&key_path)?)
            && self.is_good(&certificate, &key, fits)
        {
            return Ok(Credentials { certificate, key });
        }
        let key = KeyPair::generate()?;
        let certificate = params()?.signed_by(&key, &self.issuer()?)?;
        let made = Credentials {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        };
        write_private(&key_path, made.key.as_bytes())?;
        write_private(&certificate_path, made.certificate.as_bytes())?;
        Ok(made)
    }

    fn is_good(&self, certificate: &str, key: &str, fits: impl Fn(&Facts) -> bool) -> bool {
        let Ok(facts) = facts(certificate) else { return false };
        let Ok(key) = KeyPair::from_pem(key) else { return false };
        facts.not_after_seconds - Timestamp::now().as_second() > RENEW_BEFORE_SECONDS
            && facts.public_key.ends_with(key.public_key_raw())
            && facts.is_signed_by(&self.ca_certificate)
            && fits(&facts)
    }

    fn issuer(&self) -> Result<Issuer<'static, KeyPair>, rcgen::Error> {
        Issuer::from_ca_cert_pem(&self.ca_certificate, KeyPair::from_pem(&self.ca_key)?)
    }
}

fn make_ca() -> Result<Credentials, PkiError> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params.distinguished_name = name("reconcile-ca", &[]);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::CrlSign,
        KeyUsagePurpose::DigitalSignature,
    ];
    set_dates(&mut params, CA_YEARS);
    let certificate = params.self_signed(&key)?;
    Ok(Credentials {
        certificate: certificate.pem(),
        key: key.serialize_pem(),
    })
}

fn leaf_params(user: &str, groups: &[&str]) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = name(user, groups);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.use_authority_key_identifier_extension = true;
    set_dates(&mut params, LEAF_YEARS);
    params
}

fn name(user: &str, groups: &[&str]) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    for group in groups {
        name.push(DnType::OrganizationName, *group);
    }
    name.push(DnType::CommonName, user);
    name
}

/// Valid from yesterday, so that clocks may differ a little.
fn set_dates(params: &mut CertificateParams, years: i32) {
    let today = Timestamp::now().to_zoned(TimeZone::UTC).date();
    let ymd = |date: Date| {
        date_time_ymd(
            date.year().into(),
            date.month().unsigned_abs(),
            date.day().unsigned_abs(),
        )
    };
    params.not_before = ymd(today.saturating_sub(1.day()));
    params.not_after = ymd(today.saturating_add(years.years()));
}

/// Reads the key that signs tokens, or makes it.
fn open_token_key(path: &Path) -> Result<[u8; KEY_LENGTH], PkiError> {
    if let Some(text) = read(path)? {
        let damaged = || PkiError::Damaged {
            path: path.to_owned(),
            reason: "it is no key of the right length".to_owned(),
        };
        return STANDARD
            .decode(text.trim())
            .ok()
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or_else(damaged);
    }
    let key: [u8; KEY_LENGTH] = rand::random();
    write_private(path, STANDARD.encode(key).as_bytes())?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn certificates_are_kept_and_made_anew_only_where_they_no_longer_fit() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("pki");
        let first = Pki::open(&path).expect("a new CA");
        let serving = first
            .serving(&["10.0.0.1".into(), "host".into()])
            .expect("a certificate");
        let admin = first.client(Subject::ADMIN).expect("a certificate");
        let second = Pki::open(&path).expect("the same CA");
        assert_eq!(first.ca_certificate(), second.ca_certificate());
        assert_eq!(first.token_key, second.token_key);
        let again = second
            .serving(&["host".into(), "10.0.0.1".into()])
            .expect("a certificate");
        assert_eq!(
            again.certificate, serving.certificate,
            "the same names in another order"
        );
        let other = second.serving(&["elsewhere".into()]).expect("a certificate");
        assert_ne!(other.certificate, serving.certificate, "other names");
        assert_eq!(
            second.client(Subject::ADMIN).expect("a certificate").certificate,
            admin.certificate
        );
        let facts = facts(&admin.certificate).expect("facts");
        assert_eq!(
            (facts.user.as_str(), facts.groups.as_slice()),
            ("reconcile-admin", &["system:masters".to_owned()][..])
        );
    }

    #[test]
    fn another_cas_certificates_are_not_kept() {
        let directory = tempfile::tempdir().expect("a directory");
        let first = Pki::open(directory.path()).expect("a CA");
        let admin = first.client(Subject::ADMIN).expect("a certificate");
        for file in ["ca.crt", "ca.key"] {
            std::fs::remove_file(directory.path().join(file)).expect("removed");
        }
        let second = Pki::open(directory.path()).expect("another CA");
        assert_ne!(
            second.client(Subject::ADMIN).expect("a certificate").certificate,
            admin.certificate
        );
    }

    #[test]
    fn keys_are_private_and_damage_is_told() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("pki");
        Pki::open(&path).expect("a CA");
        let mode = |path: &Path| std::fs::metadata(path).expect("a file").permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(&path.join("ca.key"))), (0o700, 0o600));
        std::fs::write(path.join("ca.key"), "nonsense").expect("written");
        assert!(matches!(Pki::open(&path), Err(PkiError::Damaged { .. })));
        std::fs::remove_file(path.join("ca.key")).expect("removed");
        assert!(matches!(Pki::open(&path), Err(PkiError::Damaged { .. })));
    }
}
