//! Whose certificate is accepted: one that `tls_ca` signed, whatever name it bears; or any, where no `tls_ca` is given. No public
//! authority is trusted: none is in the program.

use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::client::{Resumption, WebPkiServerVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error as RustlsError, RootCertStore,
    SignatureScheme,
};

use super::{Error, Result};

/// `tls_ca` can't be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsProblem {
    /// The file.
    #[error("{0}")]
    File(#[from] io::Error),
    /// What is in it.
    #[error("it holds no certificate in PEM form")]
    NoCertificate,
    /// A certificate in it, or the library.
    #[error("{0}")]
    Certificate(String),
}

/// How a connection is encrypted.
pub(crate) struct Tls {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl Tls {
    /// TLS without verification, to the server at this address.
    pub(crate) fn unverified(server: IpAddr) -> std::result::Result<Self, TlsProblem> {
        Self::with(None, server)
    }

    /// Only with a server whose certificate was signed by an authority in this file. The file is read now.
    pub(crate) fn verified(tls_ca: &Path, server: IpAddr) -> std::result::Result<Self, TlsProblem> {
        let text = std::fs::read(tls_ca)?;
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&text) {
            let certificate = certificate.map_err(|error| TlsProblem::Certificate(error.to_string()))?;
            roots.add(certificate).map_err(|error| TlsProblem::Certificate(error.to_string()))?;
        }
        if roots.is_empty() {
            return Err(TlsProblem::NoCertificate);
        }
        Self::with(Some(roots), server)
    }

    fn with(roots: Option<RootCertStore>, server: IpAddr) -> std::result::Result<Self, TlsProblem> {
        let provider = Arc::new(ring::default_provider());
        let chain = roots
            .map(|roots| {
                WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build()
            })
            .transpose()
            .map_err(|error| TlsProblem::Certificate(error.to_string()))?;
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsProblem::Certificate(error.to_string()))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Verifier { chain, provider }))
            .with_no_client_auth();
        // A connection is kept; what the next one could save of its handshake is not worth the memory.
        config.resumption = Resumption::disabled();
        Ok(Self {
            connector: TlsConnector::from(Arc::new(config)),
            name: ServerName::IpAddress(server.into()),
        })
    }

    pub(super) async fn connect(&self, stream: TcpStream) -> Result<TlsStream<TcpStream>> {
        self.connector.connect(self.name.clone(), stream).await.map_err(|error| match error.kind() {
            // How rustls reports an alert, or a certificate that is not accepted.
            io::ErrorKind::InvalidData => Error::Tls(error),
            _ => Error::Io(error),
        })
    }
}

/// As `--ssl-mode=VERIFY_CA` of MySQL's own clients: the chain, not the name, for MySQL's own certificates bear none.
#[derive(Debug)]
struct Verifier {
    chain: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, RustlsError> {
        let Some(chain) = &self.chain else { return Ok(ServerCertVerified::assertion()) };
        // The name is looked at last, once all else is proven.
        match chain.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            Err(RustlsError::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            other => other,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, RustlsError> {
        verify_tls12_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, RustlsError> {
        verify_tls13_signature(
            message,
            certificate,
            signature,
            &self.provider.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
