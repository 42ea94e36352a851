//! A web address of the operator's own, over HTTPS: told of each switch once, and only where its certificate proves that it is who it says.

use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use serde_json::Value;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::expect::{followed, promise};
use super::files::reconfigure;
use super::{Broken, UnderTest, logs};
use crate::agents::{Cluster, LAB, write};
use crate::experiment::Experiment;
use crate::fault::Fault;
use crate::segment::CLIENT;

/// The hosts know it by this name.
const NAME: &str = "client";
const PORT: u16 = 8443;
const HOOKS: &str = "on_acquire = \"https://client:8443/hooks/4f2a-is-a-secret\"
on_release = \"https://client:8443/hooks/4f2a-is-a-secret\"
hook_ca = \"/etc/haipmgr/hook-ca.pem\"
";
const SECRET: &str = "4f2a-is-a-secret";
const CA_FILE: &str = "/etc/haipmgr/hook-ca.pem";
/// A hook is run within this after its switch: 0.7 s after a VIP came, and the history's line before that.
const TOLD_WITHIN: Duration = Duration::from_secs(5);
/// A conversation is over by then, whatever the other end does.
const CONVERSE_LIMIT: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// So many switches are told of over HTTPS.
const SWITCHES: usize = 2;

/// The new holder and the old one tell it of each switch, each once, over TLS that is verified by `hook_ca` alone; to whoever shows a
/// certificate of another authority, or for another name, nothing is told, and the log says why.
pub(super) fn over_https(under_test: &mut UnderTest) -> Result<String, Broken> {
    let experiment = &mut under_test.experiment;
    let ours = authority("the lab's authority")?;
    let server = Server::start(experiment, &certified(&ours, NAME)?)?;
    for host in &experiment.lab.segment.databases {
        write(host, CA_FILE, &ours.pem(), 0o644)?;
    }
    reconfigure(experiment, &[Cluster { more: HOOKS, ..LAB }])?;
    let outcome = told_each_once(experiment, &server).and_then(|told| {
        // The second has the name of ours, and another key.
        for stranger in ["a stranger", "the lab's authority"] {
            server.show(&certified(&authority(stranger)?, NAME)?);
            refused(experiment, &server, "is signed by no authority that counts here")?;
        }
        server.show(&certified(&ours, "another.example")?);
        refused(experiment, &server, "is for another name")?;
        Ok(format!("{told}; nothing to two strangers' certificates, nor to one for another name"))
    });
    reconfigure(experiment, &[LAB])?;
    outcome
}

fn told_each_once(experiment: &mut Experiment, server: &Server) -> Result<String, Broken> {
    for _ in 0..SWITCHES {
        let old = experiment.lab.wait_steady()?;
        // What was told of the agents' start.
        server.told().clear();
        followed(&experiment.run(Fault::Switchover)?)?;
        let new = experiment.lab.wait_steady()?;
        let (came, left) = (experiment.name(new), experiment.name(old));
        for (hook, host) in [("on_acquire", &came), ("on_release", &left)] {
            let is_it = |one: &Value| {
                one["hook"] == hook && one["host"] == **host && one["switch"]["code"] == "SWITCHOVER"
            };
            let since = Instant::now();
            while !server.told().iter().any(is_it) {
                promise(since.elapsed() < TOLD_WITHIN, || {
                    format!("{host} did not tell {hook}; told was {:?}", server.told())
                })?;
                std::thread::sleep(LOOK_EVERY);
            }
        }
        let told = server.told().clone();
        promise(told.len() == 2, || format!("one switch was told of {} times: {told:?}", told.len()))?;
    }
    Ok(format!("{SWITCHES} switches, each told by the old holder once and by the new one once"))
}

/// A switch of which nothing is told: the new holder's log says so, and not where to.
fn refused(experiment: &mut Experiment, server: &Server, why: &str) -> Result<(), Broken> {
    server.told().clear();
    let marks: Vec<_> = (0..experiment.lab.agents.len()).map(|place| logs::mark(experiment, place)).collect();
    let old = experiment.lab.wait_steady()?;
    followed(&experiment.run(Fault::Switchover)?)?;
    let new = experiment.lab.wait_steady()?;
    for (place, hook) in [(new, "on_acquire"), (old, "on_release")] {
        let words = format!("{hook} failed: {NAME}: its certificate {why}");
        marks[place].wait_for(experiment, &[&words, "nothing was sent"])?;
        let said = marks[place].since(experiment);
        promise(!said.contains(SECRET), || format!("the log has the address's secret: {said}"))?;
    }
    let told = server.told().clone();
    promise(told.is_empty(), || format!("it was told all the same: {told:?}"))
}

type Authority = CertifiedIssuer<'static, KeyPair>;

fn unmade(cause: rcgen::Error) -> Broken {
    Broken::io("making a certificate")(io::Error::other(cause))
}

fn authority(name: &str) -> Result<Authority, Broken> {
    let mut wanted = CertificateParams::new(Vec::new()).map_err(unmade)?;
    wanted.distinguished_name.push(DnType::CommonName, name);
    wanted.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().map_err(unmade)?;
    CertifiedIssuer::self_signed(wanted, key).map_err(unmade)
}

/// A server's certificate for this name, of this authority.
fn certified(authority: &Authority, name: &str) -> Result<Arc<ServerConfig>, Broken> {
    let key = KeyPair::generate().map_err(unmade)?;
    let wanted = CertificateParams::new(vec![name.to_owned()]).map_err(unmade)?;
    let certificate = wanted.signed_by(&key, authority).map_err(unmade)?;
    let private = PrivateKeyDer::try_from(key.serialize_der())
        .map_err(|cause| Broken::io("making a key")(io::Error::other(cause)))?;
    let failed = |cause| Broken::io("making a TLS server")(io::Error::other(cause));
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(failed)?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], private)
        .map_err(failed)?;
    Ok(Arc::new(config))
}

/// Takes what it is sent, on the client's host, until the test ends.
struct Server {
    shared: Arc<Shared>,
}

struct Shared {
    shows: Mutex<Arc<ServerConfig>>,
    told: Mutex<Vec<Value>>,
    ended: Mutex<bool>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Server {
    fn start(experiment: &Experiment, shows: &Arc<ServerConfig>) -> Result<Self, Broken> {
        let bind = || TcpListener::bind((CLIENT, PORT));
        let listener = experiment.lab.segment.client.in_network(bind)?;
        let listener = listener.map_err(Broken::io("listening on the client's host"))?;
        listener.set_nonblocking(true).map_err(Broken::io("listening on the client's host"))?;
        let (shows, told, ended) = (Mutex::new(Arc::clone(shows)), Mutex::default(), Mutex::new(false));
        let shared = Arc::new(Shared { shows, told, ended });
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            while !*lock(&serving.ended) {
                match listener.accept() {
                    // Who does not trust the certificate says so and goes: the log of who went is looked at.
                    Ok((stream, _)) => drop(serving.converse(stream)),
                    Err(_) => std::thread::sleep(LOOK_EVERY),
                }
            }
        });
        Ok(Self { shared })
    }

    /// From now on it shows this certificate.
    fn show(&self, config: &Arc<ServerConfig>) {
        *lock(&self.shared.shows) = Arc::clone(config);
    }

    fn told(&self) -> MutexGuard<'_, Vec<Value>> {
        lock(&self.shared.told)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        *lock(&self.shared.ended) = true;
    }
}

impl Shared {
    /// One request, which is answered well.
    fn converse(&self, stream: TcpStream) -> io::Result<()> {
        stream.set_nonblocking(false)?;
        stream.set_read_timeout(Some(CONVERSE_LIMIT))?;
        let shows = Arc::clone(&lock(&self.shows));
        let connection = ServerConnection::new(shows).map_err(io::Error::other)?;
        let mut stream = StreamOwned::new(connection, stream);
        let (mut text, mut piece) = (Vec::new(), [0; 4096]);
        let body = loop {
            let read = stream.read(&mut piece)?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            text.extend_from_slice(&piece[..read]);
            // The line ends what is sent.
            if text.ends_with(b"\n")
                && let Some(head) = text.windows(4).position(|four| four == b"\r\n\r\n")
                && head + 4 < text.len()
            {
                break head + 4;
            }
        };
        let message = serde_json::from_slice(&text[body..])?;
        lock(&self.told).push(message);
        stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n")?;
        stream.conn.send_close_notify();
        stream.flush()
    }
}
