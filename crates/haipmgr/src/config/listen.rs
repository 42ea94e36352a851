//! Where the agent answers over HTTP, and to whom (docs/http.md): nowhere, unless the file has `listen`.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::password::{self, Password};
use super::problem::{Position, Problems};
use super::value::{Entry, Value};

/// Where the agent answers over HTTP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// The address or socket.
    pub at: ListenAt,
    /// Who asks has to show it; none: everybody who can connect is answered.
    pub token: Option<Password>,
    /// What is shown to who connects by TLS; none: plain HTTP.
    pub tls: Option<ServerCertificate>,
}

/// An address or a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListenAt {
    /// TCP.
    Tcp(SocketAddr),
    /// A Unix socket file.
    Unix(PathBuf),
}

impl core::fmt::Display for ListenAt {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// Two files in PEM form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerCertificate {
    /// The certificate, and those between it and its authority.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// What the file says of it.
#[derive(Default)]
pub(super) struct ListenDraft {
    at: Option<(ListenAt, Position)>,
    beyond_this_host: bool,
    token_file: Option<(PathBuf, Position)>,
    certificate: Option<(PathBuf, Position)>,
    key: Option<(PathBuf, Position)>,
}

impl ListenDraft {
    /// Takes the key in, where it is one of these; gives whether it is.
    pub(super) fn take(&mut self, entry: &Entry, problems: &mut Problems) -> bool {
        let at = entry.value_at;
        let path = |value: &Value| match value {
            Value::Text(path) if path.starts_with('/') && !path.ends_with('/') => {
                Ok(Some((PathBuf::from(path), at)))
            }
            _ => Err("write the file's whole path in quotes, from \"/\"".to_owned()),
        };
        let taken = match (entry.key.as_str(), &entry.value) {
            ("listen", value) => place(value).map(|place| self.at = Some((place, at))),
            ("listen_beyond_this_host", Value::Switch(switch)) => {
                self.beyond_this_host = *switch;
                Ok(())
            }
            ("listen_beyond_this_host", _) => Err("write true or false".to_owned()),
            ("listen_token_file", value) => path(value).map(|path| self.token_file = path),
            ("listen_tls_cert", value) => path(value).map(|path| self.certificate = path),
            ("listen_tls_key", value) => path(value).map(|path| self.key = path),
            _ => return false,
        };
        if let Err(text) = taken {
            problems.add(at, format!("{}: {text}", entry.key));
        }
        true
    }

    /// What is wrong with these keys together. Touches no file.
    pub(super) fn check(&self, problems: &mut Problems) {
        let rest = [&self.token_file, &self.certificate, &self.key];
        let Some((place, at)) = &self.at else {
            for (_, at) in rest.into_iter().flatten() {
                problems.add(*at, "this says how HTTP is answered, and there is no \"listen\"; write where, such as listen = \"127.0.0.1:9640\", or remove this");
            }
            return;
        };
        match (&self.certificate, &self.key) {
            (Some((_, at)), None) => {
                problems.add(*at, "listen_tls_cert: its private key is missing; write listen_tls_key too");
            }
            (None, Some((_, at))) => {
                problems.add(*at, "listen_tls_key: its certificate is missing; write listen_tls_cert too");
            }
            _ => {}
        }
        let ListenAt::Tcp(address) = place else { return };
        if address.ip().is_loopback() {
            return;
        }
        if !self.beyond_this_host {
            problems.add(*at, format!("listen: {} is no loopback address, so other hosts can ask there; write listen_beyond_this_host = true if that is meant", address.ip()));
        } else if self.token_file.is_none() && self.certificate.is_none() {
            problems.add(*at, "listen: other hosts can ask there; write listen_tls_cert and listen_tls_key, or listen_token_file, or both");
        }
    }

    /// With the token, which is read now.
    pub(super) fn finish(self, problems: &mut Problems) -> Option<Listen> {
        let (place, _) = self.at?;
        let token = self.token_file.and_then(|(file, at)| match password::from_file(&file) {
            Ok(token) if token.reveal().len() >= SHORTEST_TOKEN => Some(token),
            Ok(_) => {
                problems.add(at, format!("listen_token_file: the token is shorter than {SHORTEST_TOKEN} characters; make one: openssl rand -hex 32"));
                None
            }
            Err(error) => {
                problems.add(at, format!("listen_token_file: {error}"));
                None
            }
        });
        let tls = self.certificate.zip(self.key);
        let tls = tls.map(|((certificate, _), (key, _))| ServerCertificate { certificate, key });
        Some(Listen { at: place, token, tls })
    }
}

/// A shorter token could be guessed.
const SHORTEST_TOKEN: usize = 16;

fn place(value: &Value) -> Result<ListenAt, String> {
    const ADVICE: &str = "write an address and a port such as \"127.0.0.1:9640\" or \"[::1]:9640\", or a socket file's whole path";
    let Value::Text(text) = value else { return Err(format!("this is {}; {ADVICE}", value.kind())) };
    if text.starts_with('/') && !text.ends_with('/') {
        return Ok(ListenAt::Unix(PathBuf::from(text)));
    }
    match text.parse::<SocketAddr>() {
        Ok(address) if address.port() != 0 => Ok(ListenAt::Tcp(address)),
        _ => Err(format!("\"{}\" is no address with a port; {ADVICE}", text.escape_debug())),
    }
}
