//! Whose certificate is accepted: one that `tls_ca` signed, whatever name it bears; or any, where no `tls_ca` is given. No public
//! authority is trusted: none is in the program.

use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::client::{Resumption, WebPkiServerVerifier};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error as RustlsError, RootCertStore,
    SignatureScheme,
};

use super::{Error, Result};
use crate::config::ClientCertificate;

/// `tls_ca`, `tls_cert` or `tls_key` can't be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TlsProblem {
    /// A file can't be read, or holds nothing of what it should.
    #[error("{key} {}: {cause}", file.display())]
    File {
        /// The configuration's key.
        key: &'static str,
        /// What it names.
        file: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
    /// The library.
    #[error("{0}")]
    Library(#[from] RustlsError),
}

/// How a connection is encrypted.
pub(crate) struct Tls {
    connector: TlsConnector,
    name: ServerName<'static>,
}

impl Tls {
    /// To the server at this address. With `tls_ca`, only where its certificate was signed by an authority in that file; without,
    /// to any. The files are read now.
    pub(crate) fn new(
        tls_ca: Option<&Path>,
        client: Option<&ClientCertificate>,
        server: IpAddr,
    ) -> std::result::Result<Self, TlsProblem> {
        let provider = Arc::new(ring::default_provider());
        let chain = tls_ca.map(|file| verifier(file, &provider)).transpose()?;
        let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Verifier { chain, provider }));
        let mut config = match client {
            Some(client) => {
                let key = PrivateKeyDer::from_pem_slice(&read("tls_key", &client.key)?)
                    .map_err(|error| not_usable("tls_key", &client.key, &error))?;
                let chain = certificates("tls_cert", &client.certificate)?;
                config
                    .with_client_auth_cert(chain, key)
                    .map_err(|error| not_usable("tls_cert", &client.certificate, &error))?
            }
            None => config.with_no_client_auth(),
        };
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

fn not_usable(key: &'static str, file: &Path, cause: &impl ToString) -> TlsProblem {
    TlsProblem::File { key, file: file.to_owned(), cause: cause.to_string() }
}

fn read(key: &'static str, file: &Path) -> std::result::Result<Vec<u8>, TlsProblem> {
    std::fs::read(file).map_err(|cause| not_usable(key, file, &cause))
}

/// All that are in the file; there is at least one.
fn certificates(
    key: &'static str,
    file: &Path,
) -> std::result::Result<Vec<CertificateDer<'static>>, TlsProblem> {
    let found: std::result::Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read(key, file)?).collect();
    match found {
        Ok(found) if found.is_empty() => Err(not_usable(key, file, &"it holds no certificate in PEM form")),
        found => found.map_err(|error| not_usable(key, file, &error)),
    }
}

fn verifier(
    tls_ca: &Path,
    provider: &Arc<CryptoProvider>,
) -> std::result::Result<Arc<WebPkiServerVerifier>, TlsProblem> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates("tls_ca", tls_ca)? {
        roots.add(certificate).map_err(|error| not_usable("tls_ca", tls_ca, &error))?;
    }
    WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .build()
        .map_err(|error| not_usable("tls_ca", tls_ca, &error))
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
