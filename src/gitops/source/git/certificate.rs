//! Whether an HTTPS server's certificate is one to trust, and in words what is wrong with it. Opens no connection.

use rustls::RootCertStore;
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::server::ParsedCertificate;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// How many of a certificate's names a message has.
const NAMES_SHOWN: usize = 5;

/// Checks a certificate against the given authorities only. `ask` is asked for what lies between, where that is missing.
///
/// # Errors
/// What is wrong with it, for a person.
pub(super) fn check(
    der: &[u8],
    host: &str,
    given: &[CertificateDer<'static>],
    now: UnixTime,
    ask: impl FnOnce() -> std::io::Result<Vec<CertificateDer<'static>>>,
) -> Result<(), String> {
    let der = CertificateDer::from(der);
    let (_, certificate) = X509Certificate::from_der(&der)
        .map_err(|error| format!("the certificate of {host} cannot be read: {error}"))?;
    let validity = certificate.validity();
    let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    if validity.not_after.timestamp() < seconds {
        return Err(format!(
            "the certificate of {host} expired on {}; the server needs a new one",
            validity.not_after
        ));
    }
    if validity.not_before.timestamp() > seconds {
        return Err(format!(
            "the certificate of {host} is valid only from {}; is the clock right?",
            validity.not_before
        ));
    }
    let parsed = ParsedCertificate::try_from(&der)
        .map_err(|error| format!("the certificate of {host} cannot be used: {error}"))?;
    let name = ServerName::try_from(host).map_err(|_| format!("{host} is no host name"))?;
    if verify_server_name(&parsed, &name).is_err() {
        return Err(format!(
            "the certificate of {host} is for {} and not for {host}; use the name that it is for",
            names(&certificate)
        ));
    }
    // One that was given itself needs no authority above it.
    if given.contains(&der) {
        return Ok(());
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(given.iter().cloned());
    let algorithms = rustls::crypto::ring::default_provider().signature_verification_algorithms;
    let leads_to_root = |between: &[CertificateDer<'_>]| {
        verify_server_cert_signed_by_trust_anchor(&parsed, &roots, between, now, algorithms.all)
    };
    let mut result = leads_to_root(&[]);
    if result.is_err() && !given.is_empty() {
        match ask() {
            Ok(between) => result = leads_to_root(&between),
            Err(error) => tracing::debug!(%host, %error, "the server's chain of certificates could not be asked for"),
        }
    }
    result.map_err(|_| {
        let signer = match certificate.issuer() == certificate.subject() {
            true => "signed by itself".to_owned(),
            false => format!("signed by {}", certificate.issuer()),
        };
        let trusted = match given.is_empty() {
            true => "this machine does not trust",
            false => "neither this machine nor ca.crt of the credentials trusts",
        };
        format!(
            "the certificate of {host} is {signer}, which {trusted}; \
             if you do, put the authority's certificate into ca.crt of --credentials"
        )
    })
}

fn names(certificate: &X509Certificate<'_>) -> String {
    let alternative = certificate.subject_alternative_name().ok().flatten();
    let found: Vec<String> = alternative
        .iter()
        .flat_map(|extension| &extension.value.general_names)
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            GeneralName::IPAddress(bytes) => address(bytes),
            _ => None,
        })
        .take(NAMES_SHOWN)
        .collect();
    match found.is_empty() {
        true => "no host".into(),
        false => found.join(", "),
    }
}

fn address(bytes: &[u8]) -> Option<String> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return Some(std::net::Ipv4Addr::from(four).to_string());
    }
    let sixteen = <[u8; 16]>::try_from(bytes).ok()?;
    Some(std::net::Ipv6Addr::from(sixteen).to_string())
}
