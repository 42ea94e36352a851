#!/bin/bash
# mysql_async 0.37.1 with rustls 0.23.46: `with_danger_skip_domain_validation(true)` skips nothing.
#
# The option is for servers whose certificate is signed by a known authority and bears no usable name: every certificate that
# MySQL makes for itself at --initialize is one. The driver recognises the name's error by searching the error's text for the word
# NotValidForName. This rustls gives the error with its context, whose text is a sentence, so the word is not in it, and the
# connection is refused with the very error that was to be put up with.
#
# Needs cargo and a C compiler; builds two pinned crates in a temporary folder and speaks over loopback only. The other end is the
# first packet of MySQL's protocol (HandshakeV10) and a TLS server; its certificate is signed by the authority that the client is
# given, and names another host. Fails if the driver does otherwise. Seen: Err("... invalid peer certificate: certificate not valid for name ...").
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
mkdir src
cat >Cargo.toml <<'TOML'
[package]
name = "finding"
version = "0.0.0"
edition = "2021"
[dependencies]
mysql_async = { version = "=0.37.1", default-features = false, features = ["default-rustls-ring"] }
rustls = { version = "=0.23.46", default-features = false, features = ["ring", "std", "tls12"] }
tokio-rustls = { version = "0.26", default-features = false, features = ["ring", "tls12"] }
rcgen = { version = "0.13", default-features = false, features = ["ring", "pem"] }
tokio = { version = "1", features = ["rt", "net", "io-util", "macros"] }
TOML
cat >src/main.rs <<'RUST'
use mysql_async::{Conn, OptsBuilder, SslOpts};
use std::{path::PathBuf, sync::Arc};
use tokio::{io::{AsyncReadExt, AsyncWriteExt}, net::TcpListener};

fn greeting() -> Vec<u8> {
    // CLIENT_PROTOCOL_41, SSL, TRANSACTIONS, SECURE_CONNECTION, PLUGIN_AUTH
    let capabilities: u32 = 0x0200 | 0x0800 | 0x2000 | 0x8000 | 0x0008_0000;
    let mut body = vec![10];
    body.extend(b"9.7.4\0");
    body.extend([1, 0, 0, 0]);
    body.extend([7; 8]);
    body.push(0);
    body.extend(&capabilities.to_le_bytes()[..2]);
    body.extend([255, 2, 0]);
    body.extend(&capabilities.to_le_bytes()[2..]);
    body.push(21);
    body.extend([0; 10]);
    body.extend([7; 12]);
    body.push(0);
    body.extend(b"caching_sha2_password\0");
    let mut packet = (body.len() as u32).to_le_bytes()[..3].to_vec();
    packet.push(0);
    packet.extend(body);
    packet
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let authority_key = rcgen::KeyPair::generate().unwrap();
    let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority = authority.self_signed(&authority_key).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let named = rcgen::CertificateParams::new(vec!["another-host".to_owned()]).unwrap();
    let certificate = named.signed_by(&key, &authority, &authority_key).unwrap();
    std::fs::write("ca.pem", authority.pem()).unwrap();
    let tls = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions().unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], rustls::pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap())
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(&greeting()).await.unwrap();
        // SSLRequest
        stream.read_exact(&mut [0; 36]).await.unwrap();
        let _ = tokio_rustls::TlsAcceptor::from(Arc::new(tls)).accept(stream).await;
    };
    let ssl = SslOpts::default()
        .with_root_certs(vec![PathBuf::from("ca.pem").into()])
        .with_disable_built_in_roots(true)
        .with_danger_skip_domain_validation(true);
    let options = OptsBuilder::default().ip_or_hostname("127.0.0.1").tcp_port(port).user(Some("u")).ssl_opts(Some(ssl));
    let (outcome, ()) = tokio::join!(Conn::new(options), server);
    let text = match outcome { Ok(_) => "connected".to_owned(), Err(error) => error.to_string() };
    println!("mysql_async 0.37.1, rustls 0.23.46, skip_domain_validation = true: {text}");
    assert!(text.contains("not valid for name"), "the driver does otherwise now");
}
RUST
cargo run --quiet
