//! The gateway, probed all the time in the background, so that a decision never waits for a ping (stage 4, S12).
//!
//! ICMP echo, as long as that is answered and nobody waits. ARP as well (for an IPv6 gateway that means neighbor discovery, here and
//! below) where echo is not answered, so that a gateway that drops ICMP counts as reachable; and where somebody waits: an echo stands still for a second when the ARP request that
//! either kernel sends for it is lost, and any word of the gateway proves that it is there. The ARP frames themselves are another
//! module's: this one says when to send, and is told when the reply is heard.

mod probes;
mod shared;

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use decide::input::{Fact, Gateway, Seen, Why};
use decide::time::Time;
use nix::errno::Errno;
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::UdpSocket;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use wire::Family;
use wire::icmp::Echo;

use crate::clock;
use crate::observe::interface_address;
use probes::{Order, Probes, Told};

pub use shared::{Gateways, SharedGateway};

/// Answers read in a row before anything else gets its turn.
const ANSWERS_AT_ONCE: usize = 64;

/// Whom to probe, from where, and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GatewaySettings {
    /// The gateway.
    pub gateway: IpAddr,
    /// The interface of the VIPs that need it: probes leave by it, whatever the routes say.
    pub interface: String,
    /// The member's own address: never the VIP, which may leave. None: it is on another interface, and an address of this one is used.
    pub source: Option<IpAddr>,
    /// Between probes while the gateway answers.
    pub interval: Duration,
    /// How long an answer may take; a later one still counts, when it comes.
    pub limit: Duration,
    /// Misses in a row that make it lost; at least 1.
    pub misses_until_lost: u32,
    /// Between probes while it does not answer. `misses_until_lost` times the longer of this and `limit` is the time from
    /// the first unanswered probe to "lost".
    pub interval_while_missing: Duration,
}

impl GatewaySettings {
    /// Once a second, and lost after 16 misses within 4 s: a cable that is away for 3 s, for which no group changes its primary, moves
    /// nothing.
    pub fn new(gateway: IpAddr, interface: impl Into<String>, source: IpAddr) -> Self {
        Self {
            gateway,
            interface: interface.into(),
            source: Some(source),
            interval: Duration::from_secs(1),
            limit: Duration::from_millis(250),
            misses_until_lost: 16,
            interval_while_missing: Duration::from_millis(250),
        }
    }
}

/// Watches until it is dropped.
#[derive(Debug)]
pub struct GatewayWatch {
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Shared {
    ask: Notify,
    arp: Notify,
    /// When the newest question was put that ARP has answered, and was not looked at yet.
    arp_answer: Mutex<Option<Time>>,
    trouble: Mutex<Option<String>>,
}

impl GatewayWatch {
    /// Probe at once, by echo and by ARP. The answer is told with an `asked_at` not before this call; so is a miss where the gateway is lost.
    /// A miss that does not yet make it lost tells nothing: more probes follow quickly, and one of them decides.
    pub fn ask_now(&self) {
        self.shared.ask.notify_one();
    }

    /// The gateway answered an ARP request that was sent at `asked_at`, whoever had it sent.
    pub fn heard_arp(&self, asked_at: Time) {
        let mut answer = self.shared.arp_answer.lock().unwrap_or_else(PoisonError::into_inner);
        *answer = (*answer).max(Some(asked_at));
        self.shared.arp.notify_one();
    }

    /// Why the last probe could not be sent or was refused on its way, for the log; none once the gateway has answered.
    pub fn trouble(&self) -> Option<String> {
        self.shared.trouble().clone()
    }
}

impl Shared {
    fn take_arp_answer(&self) -> Option<Time> {
        self.arp_answer.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn trouble(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for GatewayWatch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Probes from now on, and tells: each answer, as `Reachable`; each miss from the one on that makes it `Lost`; and
/// `Unknown(Why::Other)` where this host can't send (it lacks `CAP_NET_RAW` or descriptors), which is no miss. To be called inside
/// a tokio runtime, in the network namespace of the interface.
///
/// `arp_probe` is to send one ARP request for the gateway: with each probe while echo is not answered or somebody waits, but at
/// most once per `interval` when the gateway is lost.
pub fn watch(
    settings: GatewaySettings,
    tell: impl Fn(Seen<Gateway>) + Send + Sync + 'static,
    arp_probe: impl Fn() + Send + Sync + 'static,
) -> GatewayWatch {
    let shared = Arc::new(Shared::default());
    let task = tokio::spawn(probe(settings, Arc::clone(&shared), tell, arp_probe));
    GatewayWatch { shared, task }
}

async fn probe(
    settings: GatewaySettings,
    shared: Arc<Shared>,
    tell: impl Fn(Seen<Gateway>) + Send + Sync,
    arp_probe: impl Fn() + Send + Sync,
) {
    let tell_known = |told: Option<Told>| {
        if let Some((asked_at, gateway)) = told {
            if gateway == Gateway::Reachable {
                shared.trouble().take();
            }
            tell(Seen { asked_at, fact: Fact::Known(gateway) });
        }
    };
    let mark = RandomState::new().build_hasher().finish();
    let mut probes = Probes::new(&settings, clock::now());
    let mut socket: Option<EchoSocket> = None;
    loop {
        // Whatever has arrived is read before anything is called a miss: a starved process finds its answers waiting. The
        // yield lets the runtime see them, and whoever hears ARP for this module hear it.
        let now = clock::now();
        if probes.wake_at() <= now {
            tokio::task::yield_now().await;
        }
        for _ in 0..ANSWERS_AT_ONCE {
            match socket.as_ref().map(EchoSocket::read) {
                Some(Ok(echo)) => {
                    tell_known(echo.and_then(|echo| own(echo, mark)).and_then(|n| probes.echo_answered(n)));
                }
                Some(Err(error)) if error.kind() != io::ErrorKind::WouldBlock => {
                    shared.trouble().replace(settings.explain(&EchoError::Returned(error)));
                    socket = None;
                }
                Some(Err(_)) | None => break,
            }
        }
        tell_known(shared.take_arp_answer().map(|asked_at| probes.arp_answered(asked_at)));
        tell_known(probes.expire(now));
        if let Some(Order { sequence, with_arp }) = probes.due(now) {
            if with_arp {
                arp_probe();
            }
            if let Err(error) = send(&mut socket, &settings, Echo { sequence, mark }) {
                socket = None;
                let text = settings.explain(&error);
                shared.trouble().replace(text.clone());
                if error.lies_with_this_host()
                    && let Some(asked_at) = probes.could_not_send(sequence)
                {
                    tell(Seen { asked_at, fact: Fact::Unknown(Why::Other(text)) });
                }
            }
        }
        tokio::select! {
            biased;
            () = readable(socket.as_ref()) => {}
            () = shared.arp.notified() => {}
            () = shared.ask.notified() => probes.ask(clock::now()),
            () = tokio::time::sleep(probes.wake_at().since(clock::now())) => {}
        }
    }
}

fn own(echo: Echo, mark: u64) -> Option<u16> {
    (echo.mark == mark).then_some(echo.sequence)
}

/// An interface that went and came back, or an address that did, needs a new socket: it is opened, and the probe sent, at once.
fn send(socket: &mut Option<EchoSocket>, settings: &GatewaySettings, echo: Echo) -> Result<(), EchoError> {
    if let Some(open) = socket
        && open.send(echo).is_ok()
    {
        return Ok(());
    }
    // The first time, or the socket is an interface's that is gone: the new interface is not to wait for the next probe.
    socket.insert(EchoSocket::open(settings)?).send(echo)
}

async fn readable(socket: Option<&EchoSocket>) {
    match socket {
        Some(socket) => socket.readable().await,
        None => std::future::pending().await,
    }
}

/// A probe could not be sent, or came back.
#[derive(Debug, thiserror::Error)]
enum EchoError {
    #[error(
        "cannot open a raw ICMP socket: {0}; the agent needs CAP_NET_RAW: run it as root, or give it that capability"
    )]
    Open(#[source] io::Error),
    #[error("cannot send by this interface: {0}")]
    Interface(#[source] io::Error),
    #[error("cannot send from this address: {0}")]
    Source(#[source] io::Error),
    #[error("no route: {0}")]
    Connect(#[source] io::Error),
    #[error("not sent: {0}")]
    Send(#[source] io::Error),
    #[error("refused by the network: {0}")]
    Returned(#[source] io::Error),
}

impl EchoError {
    /// Whether it is this host that lacks something, so that nothing was learned of the gateway. A missing interface, address or
    /// route is a network that is not there, and a refusal of the local firewall drops echo for good: both are misses.
    fn lies_with_this_host(&self) -> bool {
        match self {
            Self::Open(_) => true,
            Self::Interface(error) | Self::Source(error) | Self::Connect(error) | Self::Send(error) => {
                matches!(
                    error.raw_os_error().map(Errno::from_raw),
                    Some(Errno::ENOBUFS | Errno::ENOMEM | Errno::EAGAIN | Errno::EMFILE | Errno::ENFILE)
                ) || (matches!(self, Self::Interface(_)) && error.raw_os_error() == Some(Errno::EPERM as i32))
            }
            Self::Returned(_) => false,
        }
    }
}

impl GatewaySettings {
    /// From where: the member's own address. An IPv6 gateway is asked from the link-local one where that is of the other family, or
    /// where a router that has only a link-local address itself could not answer. An IPv4 gateway of an IPv6 member: as the kernel
    /// chooses. The same where the member's address is on another interface.
    fn source_address(&self) -> Result<Option<IpAddr>, EchoError> {
        let of_v6 = |source: IpAddr| source.is_ipv6();
        match self.gateway {
            IpAddr::V6(gateway) if !self.source.is_some_and(of_v6) || gateway.is_unicast_link_local() => {
                let source = interface_address::link_local(&self.interface);
                source.map(Some).ok_or_else(|| EchoError::Source(Errno::EADDRNOTAVAIL.into()))
            }
            IpAddr::V4(_) if self.source.is_some_and(of_v6) => Ok(None),
            _ => Ok(self.source),
        }
    }

    fn explain(&self, error: &EchoError) -> String {
        let from = self.source.map_or_else(String::new, |source| format!(" from {source}"));
        format!("probe of the gateway {} by {}{from}: {error}", self.gateway, self.interface)
    }
}

/// A raw ICMP socket bound to the interface and the member's address, connected to the gateway: only its messages arrive.
struct EchoSocket {
    socket: UdpSocket,
    family: Family,
}

impl EchoSocket {
    fn open(settings: &GatewaySettings) -> Result<Self, EchoError> {
        let (domain, protocol) = match settings.gateway {
            IpAddr::V4(_) => (Domain::IPV4, Protocol::ICMPV4),
            IpAddr::V6(_) => (Domain::IPV6, Protocol::ICMPV6),
        };
        let socket = Socket::new(domain, Type::RAW.nonblocking().cloexec(), Some(protocol))
            .map_err(EchoError::Open)?;
        socket.bind_device(Some(settings.interface.as_bytes())).map_err(EchoError::Interface)?;
        let index = nix::net::if_::if_nametoindex(settings.interface.as_str())
            .map_err(|error| EchoError::Interface(error.into()))?;
        let on_interface = |address| match address {
            IpAddr::V4(_) => SocketAddr::new(address, 0),
            // A link-local address means nothing without its interface.
            IpAddr::V6(address) => {
                SocketAddrV6::new(address, 0, 0, if address.is_unicast_link_local() { index } else { 0 })
                    .into()
            }
        };
        if let Some(source) = settings.source_address()? {
            socket.bind(&on_interface(source).into()).map_err(EchoError::Source)?;
        }
        socket.connect(&on_interface(settings.gateway).into()).map_err(EchoError::Connect)?;
        // tokio takes a raw socket safely only in this dress; on a connected one its calls are plain send and recv.
        let socket = UdpSocket::from_std(socket.into()).map_err(EchoError::Open)?;
        Ok(Self { socket, family: Family::of(settings.gateway) })
    }

    fn send(&self, echo: Echo) -> Result<(), EchoError> {
        // Directly, for tokio would first wait to be told that there is room.
        let socket = SockRef::from(&self.socket);
        socket.send(&echo.request(self.family)).map(|_| ()).map_err(EchoError::Send)
    }

    /// The next thing that has arrived, if it is an echo reply; `WouldBlock` when nothing is left.
    fn read(&self) -> io::Result<Option<Echo>> {
        let mut bytes = [0; 256];
        let length = self.socket.try_recv(&mut bytes)?;
        Ok(bytes.get(..length).and_then(|bytes| Echo::from_reply(self.family, bytes)))
    }

    /// Returns once something has arrived since the last `read` that found nothing.
    async fn readable(&self) {
        if self.socket.readable().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
