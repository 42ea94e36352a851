//! Clients that ask a dead holder of the VIP for a connection: seen, and refused by the new one, so that they try again at once.
//!
//! A host without power refuses nobody. A client whose SYN went to its MAC waits for TCP's next one, or for its own next
//! attempt: up to a second after the VIP has moved, for each of its attempts. But when a host's port goes down, switches
//! forget its MAC, and flood what is for it. So the survivors' interfaces see those SYNs, and the host that takes the VIP can
//! give the answer that a kernel without a listener gives.
//!
//! Where the switch does not flood, nothing is seen and nothing is sent.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use decide::net::Mac;
use linux::packet_keeper::SynKeeper;
use linux::packet_socket::PacketSocketError;
use linux::raw_socket::RawSocket;
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};
use wire::tcp::{Refusal, refusal};

/// Bytes kept at most by the kernel, in its own counting: some 300 SYNs.
const ROOM: usize = 256 * 1024;
/// The kernel's store is emptied this often.
const EMPTIED_EVERY: Duration = Duration::from_millis(250);
/// SYNs read at one go: a flood is not to hold up the agent.
const READ_AT_MOST: usize = 1024;
/// Clients refused at most, the latest.
pub const MOST: usize = 256;
/// A client's last SYN may be this old. It sends the second a second after the first; an answer to an older one is of no
/// use to it.
pub const KEPT_FOR: Duration = Duration::from_millis(1200);

/// Clients can't be watched for or refused. The VIP comes all the same: some clients need up to a second longer.
#[derive(Debug, thiserror::Error)]
pub enum OrphanSynsError {
    /// No packet socket, or it failed.
    #[error(
        "clients that still connect to the former holder of {vip} can't be seen: {source}; they wait up to a second longer"
    )]
    Watch {
        /// The VIP.
        vip: IpAddr,
        /// Why; it names the interface and the remedy.
        source: PacketSocketError,
    },
    /// No raw socket.
    #[error(
        "cannot open a raw socket for refusing clients that connect to the former holder of {vip} ({source}); run as root, \
         or with CAP_NET_RAW"
    )]
    NoRawSocket {
        /// The VIP.
        vip: IpAddr,
        /// The kernel's word.
        source: io::Error,
    },
    /// Some refusals were not sent; the others were.
    #[error(
        "{failed} of {of} clients that tried to connect to the former holder of {vip} could not be refused, the first {client}: \
         {source}; they wait up to a second longer"
    )]
    NotRefused {
        /// The VIP.
        vip: IpAddr,
        /// How many were not.
        failed: usize,
        /// Of how many.
        of: usize,
        /// The first that was not.
        client: SocketAddr,
        /// Why.
        source: io::Error,
    },
}

/// The clients that ask one VIP's former holder for a connection.
#[derive(Debug, Default)]
pub struct OrphanSyns {
    watched: Option<Watched>,
}

#[derive(Debug)]
struct Watched {
    interface: String,
    vip: IpAddr,
    mac: Mac,
    asking: Option<Arc<Mutex<Asking>>>,
}

impl OrphanSyns {
    /// Begins to see who asks at `interface` for a connection to `vip` and is sent to `mac`, the former holder's. Where just that
    /// is being done already nothing changes. It does not wait. Within a tokio runtime.
    ///
    /// # Errors
    /// Nobody is watched for, then.
    pub fn watch(&mut self, interface: &str, vip: IpAddr, mac: Mac) -> Result<(), OrphanSynsError> {
        let the_same =
            |watched: &Watched| watched.interface == interface && watched.vip == vip && watched.mac == mac;
        if self.watched.as_ref().is_some_and(the_same) {
            return Ok(());
        }
        self.end();
        let asking = Arc::new(Mutex::new(Asking::open(interface, vip, mac)?));
        tokio::spawn(empty_regularly(Arc::downgrade(&asking)));
        self.watched = Some(Watched { interface: interface.to_owned(), vip, mac, asking: Some(asking) });
        Ok(())
    }

    /// Refuses each client whose last SYN is no older than [`KEPT_FOR`], and ends it; gives how many. To be called when the
    /// VIP is here and announced: the client is to find the new holder when it tries again. It does not wait.
    ///
    /// # Errors
    /// All that could be refused were.
    pub fn refuse(&mut self) -> Result<u32, OrphanSynsError> {
        let Some(watched) = self.watched.take() else { return Ok(0) };
        let Some(asking) = &watched.asking else { return Ok(0) };
        let mut asking = asking.lock().unwrap_or_else(PoisonError::into_inner);
        let emptied = asking.empty();
        let refused = send_all(watched.vip, asking.latest.values().map(|(_, refusal)| refusal))?;
        emptied.map(|()| refused)
    }

    /// Ends it: nobody is watched for any more.
    pub fn end(&mut self) {
        self.watched = None;
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let asking = self.asking.take();
        // Closing a packet socket waits for the kernel: not in the agent's thread.
        if let Ok(runtime) = Handle::try_current() {
            drop(runtime.spawn_blocking(move || drop(asking)));
        }
    }
}

/// Ends when the watch does.
async fn empty_regularly(asking: Weak<Mutex<Asking>>) {
    loop {
        sleep(EMPTIED_EVERY).await;
        let Some(asking) = asking.upgrade() else { return };
        let emptied = asking.lock().unwrap_or_else(PoisonError::into_inner).empty();
        // The watch may have ended meanwhile, and this be the last.
        let last = tokio::task::spawn_blocking(move || drop(asking)).await;
        // What failed fails again when they are to be refused, and is told then.
        if emptied.is_err() || last.is_err() {
            return;
        }
    }
}

/// Who asked last, and when that was read, with the answer.
#[derive(Debug)]
struct Asking {
    vip: IpAddr,
    keeper: SynKeeper,
    latest: BTreeMap<SocketAddr, (Instant, Refusal)>,
}

impl Asking {
    fn open(interface: &str, vip: IpAddr, mac: Mac) -> Result<Self, OrphanSynsError> {
        let keeper = SynKeeper::open(interface, vip, wire::Mac(mac.0), ROOM)
            .map_err(|source| OrphanSynsError::Watch { vip, source })?;
        Ok(Self { vip, keeper, latest: BTreeMap::new() })
    }

    /// Takes in what the kernel has kept, and forgets what is too old.
    fn empty(&mut self) -> Result<(), OrphanSynsError> {
        let now = Instant::now();
        let failed = |source| OrphanSynsError::Watch { vip: self.vip, source };
        self.latest.retain(|_, (at, _)| now.duration_since(*at) <= KEPT_FOR);
        for _ in 0..READ_AT_MOST {
            let Some(found) = self.keeper.read(refusal).map_err(failed)? else { break };
            let Some(refusal) = found else { continue };
            self.latest.insert(refusal.to, (now, refusal));
            if self.latest.len() > MOST
                && let Some(oldest) = self.latest.iter().min_by_key(|(_, (at, _))| *at).map(|(to, _)| *to)
            {
                self.latest.remove(&oldest);
            }
        }
        Ok(())
    }
}

fn send_all<'a>(
    vip: IpAddr,
    refusals: impl ExactSizeIterator<Item = &'a Refusal>,
) -> Result<u32, OrphanSynsError> {
    let of = refusals.len();
    if of == 0 {
        return Ok(0);
    }
    let socket = RawSocket::open(vip, None).map_err(|source| OrphanSynsError::NoRawSocket { vip, source })?;
    let (mut refused, mut failed, mut first) = (0, 0, None);
    for Refusal { to, packet } in refusals {
        match socket.send(packet, to.ip()) {
            Ok(()) => refused += 1,
            Err(source) => {
                failed += 1;
                first.get_or_insert((*to, source));
            }
        }
    }
    match first {
        None => Ok(refused),
        Some((client, source)) => Err(OrphanSynsError::NotRefused { vip, failed, of, client, source }),
    }
}
