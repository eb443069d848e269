//! Reads certificates: whom they name, until when, for which hosts.

use std::net::IpAddr;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::apiserver::auth::User;

/// What a certificate says.
#[derive(Debug)]
pub struct Facts {
    /// CN.
    pub user: String,
    /// Every O.
    pub groups: Vec<String>,
    /// Host names and addresses, sorted.
    pub names: Vec<String>,
    /// Seconds since 1970.
    pub not_after_seconds: i64,
    /// The key, as it lies in the certificate.
    pub public_key: Vec<u8>,
    der: CertificateDer<'static>,
}

impl Facts {
    /// Whether that CA signed it.
    pub fn is_signed_by(&self, ca_pem: &str) -> bool {
        let Ok(ca) = CertificateDer::from_pem_slice(ca_pem.as_bytes()) else {
            return false;
        };
        let (Ok((_, ca)), Ok((_, own))) = (X509Certificate::from_der(&ca), X509Certificate::from_der(&self.der)) else {
            return false;
        };
        // The verifying library's own checks are for peers; here the issuer's name and key identifier suffice to notice
        // that the CA was replaced.
        own.issuer() == ca.subject() && authority_key(&own) == subject_key(&ca)
    }
}

fn authority_key(certificate: &X509Certificate<'_>) -> Option<Vec<u8>> {
    certificate
        .extensions()
        .iter()
        .find_map(|extension| match extension.parsed_extension() {
            x509_parser::extensions::ParsedExtension::AuthorityKeyIdentifier(id) => {
                id.key_identifier.as_ref().map(|id| id.0.to_vec())
            }
            _ => None,
        })
}

fn subject_key(certificate: &X509Certificate<'_>) -> Option<Vec<u8>> {
    certificate
        .extensions()
        .iter()
        .find_map(|extension| match extension.parsed_extension() {
            x509_parser::extensions::ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0.to_vec()),
            _ => None,
        })
}

/// What a PEM certificate says, or why it cannot be read.
pub fn facts(pem: &str) -> Result<Facts, String> {
    let der = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|error| error.to_string())?;
    let (_, certificate) = X509Certificate::from_der(&der).map_err(|error| error.to_string())?;
    let (user, groups) = subject(&certificate);
    let mut names = Vec::new();
    if let Ok(Some(extension)) = certificate.subject_alternative_name() {
        for name in &extension.value.general_names {
            match name {
                GeneralName::DNSName(name) => names.push((*name).to_owned()),
                GeneralName::IPAddress(bytes) => names.extend(address(bytes).map(|address| address.to_string())),
                _ => {}
            }
        }
    }
    names.sort();
    let not_after_seconds = certificate.validity().not_after.timestamp();
    let public_key = certificate.public_key().subject_public_key.data.to_vec();
    Ok(Facts {
        user,
        groups,
        names,
        not_after_seconds,
        public_key,
        der: der.clone().into_owned(),
    })
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
        _ => None,
    }
}

fn subject(certificate: &X509Certificate<'_>) -> (String, Vec<String>) {
    let subject = certificate.subject();
    let user = subject
        .iter_common_name()
        .next()
        .and_then(|name| name.as_str().ok())
        .unwrap_or_default()
        .to_owned();
    let groups = subject
        .iter_organization()
        .filter_map(|name| name.as_str().ok())
        .map(str::to_owned)
        .collect();
    (user, groups)
}

/// The user that a verified client certificate names, if it names one.
pub fn peer_user(certificate: &CertificateDer<'_>) -> Option<User> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let (user, groups) = subject(&certificate);
    (!user.is_empty()).then(|| User::new(user, groups))
}
