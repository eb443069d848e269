//! Asks an HTTPS server for the certificates between its own and an authority's, which libgit2 does not show. What it
//! says is not trusted: whether these certificates lead to an authority is for others to check.

use std::io::{self, ErrorKind};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

/// For each step of the handshake. The server has just answered, so it is near and awake.
const TIMEOUT: Duration = Duration::from_secs(10);

/// More are no chain.
const MAX_LENGTH: usize = 10;

/// The certificates that the server sends after its own.
pub(super) fn intermediates(host: &str, port: u16) -> io::Result<Vec<CertificateDer<'static>>> {
    let heard = Arc::new(Listener {
        provider: rustls::crypto::ring::default_provider().into(),
        chain: Mutex::default(),
    });
    let config = ClientConfig::builder_with_provider(Arc::clone(&heard.provider))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::clone(&heard) as Arc<dyn ServerCertVerifier>)
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
    let mut connection = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    let address = (host, port).to_socket_addrs()?.next().ok_or(ErrorKind::NotFound)?;
    let mut socket = TcpStream::connect_timeout(&address, TIMEOUT)?;
    socket.set_read_timeout(Some(TIMEOUT))?;
    socket.set_write_timeout(Some(TIMEOUT))?;
    // The listener ends the handshake as soon as it has heard enough, so this always fails.
    let ended = connection.complete_io(&mut socket);
    let chain = std::mem::take(&mut *heard.chain.lock().unwrap_or_else(PoisonError::into_inner));
    match (chain, ended) {
        (Some(chain), _) => Ok(chain),
        (None, Err(error)) => Err(error),
        (None, Ok(_)) => Err(ErrorKind::InvalidData.into()),
    }
}

/// Hears which certificates the server sends, and trusts none.
#[derive(Debug)]
struct Listener {
    provider: Arc<CryptoProvider>,
    chain: Mutex<Option<Vec<CertificateDer<'static>>>>,
}

impl ServerCertVerifier for Listener {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let chain = intermediates.iter().take(MAX_LENGTH);
        let chain = chain.map(|certificate| certificate.clone().into_owned()).collect();
        *self.chain.lock().unwrap_or_else(PoisonError::into_inner) = Some(chain);
        Err(enough())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(enough())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(enough())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// Ends the handshake: the certificates are all that was wanted.
fn enough() -> Error {
    Error::General("heard enough".into())
}
