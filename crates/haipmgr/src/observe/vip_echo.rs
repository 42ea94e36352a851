//! Asks for an IPv4 VIP by ICMP echo while it is claimed and ARP says nothing of it.
//!
//! A host may have the VIP up and be told to answer no ARP question (`arp_ignore`, a packet rule that drops ARP). As long as an agent
//! runs there it hears the claim all the same; without one nobody is seen to have the address, and a claimant would take it too. But such a
//! host answers whoever speaks to the address. So each probe of a claim but the first after an answer is followed by one echo request to
//! the MAC of each member whose MAC is known, and to nobody else: a stranger that has the address and keeps it from the segment (a real
//! server behind a balancer) is nobody's holder. What is answered is told as the answer to an ARP probe is. At rest nothing is open and nothing is sent.
//!
//! IPv6 needs none of this: no setting keeps a kernel from answering a neighbor solicitation. A packet rule that drops advertisements is not
//! seen through: it drops what the host says of its other addresses too, so that nobody on the segment reaches it for long.

mod questions;

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use decide::net::Mac;
use decide::time::Time;
use linux::echo_socket::EchoSocket;
use linux::packet_socket::PacketSocketError;
use tokio::sync::oneshot;
use wire::icmp::Echo;

use crate::clock;
use crate::observe::interface_address;
use questions::{Answer, Asked, Questions};

/// The probe in a row without an answer from which on echoes are sent. The first is for a host that answers by ARP, as nearly all do.
const FROM_PROBE: u32 = 2;

/// Which VIP, and from where it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EchoSettings {
    /// The interface on which the VIPs live on this host.
    pub interface: String,
    /// The VIP.
    pub vip: Ipv4Addr,
    /// All VIPs of the cluster: nothing is asked from them.
    pub vips: Vec<IpAddr>,
    /// This host's own address on the interface; where there is none, or that is none of IPv4, the interface's first that is no VIP.
    pub own_address: Option<IpAddr>,
}

/// Something for the log.
#[derive(Debug, thiserror::Error)]
pub enum EchoReport {
    /// No echo is sent or heard. Told once, until one is sent again.
    #[error("whether another host has {vip} is asked by ARP alone, and not by echo too: {cause}")]
    Trouble {
        /// The VIP.
        vip: IpAddr,
        /// Why; it names the interface and the remedy.
        cause: PacketSocketError,
    },
    /// A host has the VIP, and for a while has said so by echo alone.
    #[error(
        "{vip} is up on {member} ({mac}), which answers no ARP question about it: something there keeps ARP in (arp_ignore, a packet rule), and no \
         agent there lets it go. It is not taken here while that is so: start haipmgr on that host, or remove the address there (ip \
         address del {vip}/32 dev {interface}); then mend what keeps ARP in"
    )]
    EchoAlone {
        /// The VIP.
        vip: IpAddr,
        /// The interface on which it is claimed.
        interface: String,
        /// The member's hardware address.
        mac: Mac,
        /// The member.
        member: IpAddr,
    },
}

/// Asks for one VIP.
pub struct VipEcho {
    shared: Arc<Shared>,
    /// How the claim stands: when it began, and its probes since the last answer.
    claim: Option<(Time, u32)>,
    asking: Option<Asking>,
    in_trouble: bool,
}

/// What was asked, for whoever hears answers.
pub struct Shared {
    settings: EchoSettings,
    questions: Mutex<Questions>,
    tell: Box<dyn Fn(Mac) + Send + Sync>,
    report: Box<dyn Fn(EchoReport) + Send + Sync>,
}

/// While this lives, replies are heard. The socket goes first, so that who hears has the last part of it.
struct Asking {
    socket: Arc<EchoSocket>,
    ended: oneshot::Sender<()>,
}

impl VipEcho {
    /// Nothing is opened before a claim needs it. `tell` gets the MAC of each host that answers while the claim that it was asked for goes
    /// on; neither callback may block.
    pub fn new(
        settings: EchoSettings,
        tell: impl Fn(Mac) + Send + Sync + 'static,
        report: impl Fn(EchoReport) + Send + Sync + 'static,
    ) -> Self {
        let questions = Mutex::new(Questions::default());
        let shared = Shared { settings, questions, tell: Box::new(tell), report: Box::new(report) };
        Self { shared: Arc::new(shared), claim: None, asking: None, in_trouble: false }
    }

    /// For whoever hears ARP.
    pub fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// How the claim stands: when it began, and how many probes it has sent since the last answer. None: the VIP is not claimed (any
    /// more), and no reply counts from here on.
    pub fn follow(&mut self, claim: Option<(Time, u32)>) {
        let before = self.claim.map(|(since, _)| since);
        let now = claim.map(|(since, _)| since);
        self.claim = claim;
        if before == now {
            return;
        }
        self.shared.lock().begin(now.map(|_| RandomState::new().build_hasher().finish()));
    }

    /// Closes what a claim that is over had opened. Apart from [`Self::follow`]: the address is not to wait for it.
    pub fn close_unused(&mut self) {
        if self.claim.is_none() {
            self.asking = None;
        }
    }

    /// A probe was sent; `members`: the others, each with its MAC where that is known. Within a tokio runtime; it does not wait.
    pub fn probe_sent(&mut self, members: impl FnOnce() -> Vec<(IpAddr, Option<Mac>)>) {
        if self.claim.is_none_or(|(_, probes)| probes < FROM_PROBE) {
            return;
        }
        let asked = self.ask(&members());
        let in_trouble = asked.is_err();
        if let Err(cause) = asked {
            self.asking = None;
            if !self.in_trouble {
                self.shared.report_trouble(cause);
            }
        }
        self.in_trouble = in_trouble;
    }

    fn ask(&mut self, members: &[(IpAddr, Option<Mac>)]) -> Result<(), PacketSocketError> {
        let Some(from) = self.shared.settings.source() else { return Ok(()) };
        let asking = match self.asking.take() {
            Some(asking) if !asking.ended.is_closed() => asking,
            _ => Asking::begin(&self.shared)?,
        };
        let known = members.iter().filter_map(|(member, mac)| Some(Asked { member: *member, mac: (*mac)? }));
        let mut questions = self.shared.lock();
        for asked in known {
            if let Some(echo) = questions.ask(asked, clock::now()) {
                match asking.socket.ask(echo, from, wire::Mac(asked.mac.0)) {
                    // Full queues and the like pass, and the question is put again.
                    Ok(()) | Err(PacketSocketError::Failed { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        drop(questions);
        self.asking = Some(asking);
        Ok(())
    }
}

impl EchoSettings {
    fn source(&self) -> Option<Ipv4Addr> {
        let source = match self.own_address {
            Some(IpAddr::V4(own)) => return Some(own),
            Some(IpAddr::V6(_)) | None => interface_address::ipv4_but(&self.interface, &self.vips)?,
        };
        match source {
            IpAddr::V4(source) => Some(source),
            IpAddr::V6(_) => None,
        }
    }
}

impl Asking {
    fn begin(shared: &Arc<Shared>) -> Result<Self, PacketSocketError> {
        let EchoSettings { interface, vip, .. } = &shared.settings;
        let socket = Arc::new(EchoSocket::open(interface, *vip)?);
        let (ended, end) = oneshot::channel();
        tokio::spawn(hear(Arc::clone(&socket), Arc::clone(shared), end));
        Ok(Self { socket, ended })
    }
}

async fn hear(socket: Arc<EchoSocket>, shared: Arc<Shared>, mut end: oneshot::Receiver<()>) {
    loop {
        tokio::select! {
            biased;
            _ = &mut end => break,
            heard = socket.receive() => match heard {
                Ok(echo) => shared.hear(echo),
                // The next probe opens it anew, and tells what is wrong where that fails.
                Err(_) => break,
            },
        }
    }
    // Closing a packet socket waits for the kernel: not in the agent's thread. Whoever asks has let go of it before.
    drop(tokio::task::spawn_blocking(move || drop(socket)));
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Questions> {
        self.questions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn report_trouble(&self, cause: PacketSocketError) {
        (self.report)(EchoReport::Trouble { vip: self.settings.vip.into(), cause });
    }

    fn hear(&self, echo: Echo) {
        let answer = self.lock().answered(echo, clock::now());
        let Some(Answer { at: Asked { member, mac }, by_echo_alone }) = answer else { return };
        (self.tell)(mac);
        if by_echo_alone {
            let EchoSettings { vip, interface, .. } = &self.settings;
            let (vip, interface) = ((*vip).into(), interface.clone());
            (self.report)(EchoReport::EchoAlone { vip, interface, mac, member });
        }
    }

    /// A host spoke of the VIP by ARP; `lets_go`: it said that the VIP is free, so that an echo which it answered before, and which is
    /// read after, is old news.
    pub fn heard_by_arp(&self, from: Mac, lets_go: bool) {
        self.lock().heard_by_arp(from, lets_go);
    }
}
