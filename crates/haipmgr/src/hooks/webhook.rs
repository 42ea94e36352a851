//! One message to a web address: a POST of the line of JSON, over HTTP or HTTPS. Any answer of 2xx is well.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper::header::{self, HeaderValue};
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{self, CertificateError, ClientConfig, RootCertStore};

use super::message::Message;

/// Sends it; over HTTPS to whoever shows a certificate of one of the `authorities` in this file, or of the host's own. Gives in words why it
/// did not succeed; the address's query, which may hold a secret, is in no word.
pub(super) async fn post(
    address: &str,
    message: &Message,
    limit: Duration,
    authorities: Option<&Path>,
) -> Result<(), String> {
    match timeout(limit, send(address, message, authorities)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(format!("no answer within {} s (hook_limit)", limit.as_secs_f64())),
    }
}

async fn send(address: &str, message: &Message, authorities: Option<&Path>) -> Result<(), String> {
    let line = message.line().map_err(|error| error.to_string())?;
    let uri: Uri = address.parse().map_err(|error| format!("this is no web address: {error}"))?;
    let host = uri.host().ok_or("this web address names no host")?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let secret = uri.scheme_str() == Some("https");
    let port = uri.port_u16().unwrap_or(if secret { 443 } else { 80 });
    let stream = TcpStream::connect((host, port))
        .await
        .map_err(|cause| format!("{host}, port {port}, can't be reached: {cause}"))?;
    if !secret {
        return exchange(stream, &uri, line).await;
    }
    let name = ServerName::try_from(host.to_owned()).map_err(|error| format!("{host}: {error}"))?;
    let connector = TlsConnector::from(trusting(authorities)?);
    let stream =
        connector.connect(name, stream).await.map_err(|cause| format!("{host}: {}", refused(&cause)))?;
    exchange(stream, &uri, line).await
}

/// Why no encrypted connection came about. Nothing has been sent by then.
fn refused(cause: &std::io::Error) -> String {
    let tls = cause.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    let what = match tls {
        Some(rustls::Error::InvalidCertificate(why)) => match why {
            // The latter: of an authority that bears the name of one of these, and has another key.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                "is signed by no authority that counts here; hook_ca names the file of another"
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "is for another name"
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => "has expired",
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "is not valid yet; is this host's clock right?"
            }
            CertificateError::Revoked => "was revoked",
            _ => return format!("its certificate is not trusted: {cause}; nothing was sent"),
        },
        _ => return format!("TLS: {cause}"),
    };
    format!("its certificate {what}; nothing was sent")
}

/// The authorities in this file, or those that the system trusts (`/etc/ssl/certs`, `SSL_CERT_FILE`).
fn trusting(authorities: Option<&Path>) -> Result<Arc<ClientConfig>, String> {
    let roots = match authorities {
        Some(file) => in_file(file).map_err(|why| format!("hook_ca: {}: {why}", file.display()))?,
        None => of_this_host()?,
    };
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}

/// Read anew each time: it may have been renewed.
fn in_file(file: &Path) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let found = CertificateDer::pem_file_iter(file).map_err(|error| error.to_string())?;
    for certificate in found {
        roots.add(certificate.map_err(|error| error.to_string())?).map_err(|error| error.to_string())?;
    }
    if roots.is_empty() { Err("it holds no certificate in PEM form".to_owned()) } else { Ok(roots) }
}

fn of_this_host() -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    // Some in a store are always too old for anybody.
    let (known, _) = roots.add_parsable_certificates(found.certs);
    if known > 0 {
        return Ok(roots);
    }
    Err("this host has no certificates of authorities: install the package ca-certificates, or name a file of them (hook_ca)".to_owned())
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    uri: &Uri,
    line: String,
) -> Result<(), String> {
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    // What stands before an "@" is for this host alone.
    let host = authority.rsplit('@').next().unwrap_or(authority);
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    let request = Request::post(path)
        .header(header::HOST, host)
        .header(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))
        .header(header::USER_AGENT, HeaderValue::from_static("haipmgr"))
        .body(Full::new(Bytes::from(line)))
        .map_err(|error| format!("this web address can't be asked: {error}"))?;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|error| format!("{host}: {error}"))?;
    // Ends with the answer: nothing is kept open.
    let connection = tokio::spawn(connection);
    let answer = sender.send_request(request).await.map_err(|error| format!("{host}: {error}"));
    connection.abort();
    match answer?.status() {
        status if status.is_success() => Ok(()),
        status => Err(format!("{host} answered {status}")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;

    use super::*;
    use crate::config::Happening;

    const LIMIT: Duration = Duration::from_secs(5);

    fn message() -> Message {
        Message::of_words(Happening::OnConflict, "db1", "orders", String::new(), "another has it".to_owned())
    }

    /// Somebody who takes one request, answers so, and gives what was asked.
    fn server(answer: &'static str) -> (String, std::thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/hook?key=very-secret", listener.local_addr().unwrap());
        let asked = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let (mut text, mut piece) = (String::new(), [0; 2048]);
            while !text.contains("another has it") {
                let read = stream.read(&mut piece).unwrap();
                text.push_str(&String::from_utf8_lossy(&piece[..read]));
            }
            stream.write_all(answer.as_bytes()).unwrap();
            text
        });
        (address, asked)
    }

    #[tokio::test]
    async fn the_line_is_posted_and_any_2xx_is_well() {
        let (address, asked) = server("HTTP/1.1 204 No Content\r\n\r\n");
        post(&address, &message(), LIMIT, None).await.unwrap();
        let asked = asked.join().unwrap().to_lowercase();
        assert!(asked.starts_with("post /hook?key=very-secret http/1.1\r\n"), "{asked}");
        assert!(
            asked.contains("content-type: application/json") && asked.contains("\"hook\":\"on_conflict\"")
        );
    }

    #[tokio::test]
    async fn what_fails_is_said_without_the_addresss_secret() {
        let (address, asked) = server("HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n");
        let said = post(&address, &message(), LIMIT, None).await.unwrap_err();
        assert!(said.contains("answered 500") && !said.contains("very-secret"), "{said}");
        asked.join().unwrap();
        let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let said = post(&format!("http://{nobody}/hook?key=very-secret"), &message(), LIMIT, None)
            .await
            .unwrap_err();
        assert!(said.contains("can't be reached") && !said.contains("very-secret"), "{said}");
        // It accepts, and never answers.
        let silent = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/", silent.local_addr().unwrap());
        let said = post(&address, &message(), Duration::from_millis(200), None).await.unwrap_err();
        assert!(said.contains("no answer within 0.2 s"), "{said}");
    }
}
