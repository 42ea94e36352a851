//! ARP frames about the VIP, and the MACs of the members. Says what was heard, and decides nothing.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use decide::event::{Event, Frame, Mac, Says};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, interval_at};

use crate::observe::token_bucket::TokenBucket;
use crate::packet_socket::{PacketListener, PacketSocketError, Received};
use crate::wire::arp::{ArpFrame, Operation};

/// Members' MACs are asked for anew this often: a replaced network card on a silent host is noticed.
const LEARN_INTERVAL: Duration = Duration::from_secs(30);
/// How often the card is looked at, and members whose MAC is not known are asked again.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// Time between attempts to open a socket on a card that is not there or is down.
const REOPEN_DELAY: Duration = Duration::from_millis(200);
/// Frames a second that are told, and as many in one burst: of the members, and of all others together, so that a
/// stranger's flood does not drown a member's claim. What is more is dropped.
const FRAMES_PER_SECOND: u32 = 500;
/// The same for changes of a known address's MAC: two hosts that fight over a member's address.
const CHANGES_PER_SECOND: u32 = 50;

/// What to listen for.
#[derive(Clone, Debug)]
pub struct NeighbourSettings {
    /// The card on which the VIP lives on this host.
    pub card: String,
    /// The VIP.
    pub vip: IpAddr,
    /// This host's own address on the card: questions are asked from it.
    pub own_address: IpAddr,
    /// The members' addresses; this host's own among them is left out.
    pub members: Vec<IpAddr>,
    /// The gateway's address.
    pub gateway: IpAddr,
}

/// A watch that can't be set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NeighbourError {
    /// One of the addresses is IPv6.
    #[error("{0} is an IPv6 address: neighbour discovery is not supported yet, give IPv4 addresses")]
    Ipv6NotSupportedYet(IpAddr),
}

/// Something for the log. Each is told when it begins, not each time that it is found again.
#[derive(Debug, thiserror::Error)]
pub enum NeighbourReport {
    /// Nothing can be heard; it is tried again and again.
    #[error("ARP frames about {vip} can't be heard: {cause}; trying again")]
    Deaf {
        /// The VIP.
        vip: IpAddr,
        /// Why.
        cause: PacketSocketError,
    },
    /// Heard again after `Deaf`.
    #[error("ARP frames about {vip} are heard again on {card}")]
    Hearing {
        /// The VIP.
        vip: IpAddr,
        /// The card.
        card: String,
    },
    /// More frames than the limit: what is more is dropped.
    #[error(
        "a flood of ARP frames about {vip} on {card}: more than {FRAMES_PER_SECOND} a second are dropped"
    )]
    Flood {
        /// The VIP.
        vip: IpAddr,
        /// The card.
        card: String,
    },
    /// The flood is over.
    #[error("the flood of ARP frames about {vip} on {card} is over; {dropped} were dropped")]
    FloodOver {
        /// The VIP.
        vip: IpAddr,
        /// The card.
        card: String,
        /// Frames dropped during it.
        dropped: u64,
    },
}

/// A running watch; it ends when this is dropped.
#[derive(Debug)]
pub struct NeighbourWatch {
    questions: mpsc::UnboundedSender<Question>,
    task: JoinHandle<()>,
}

#[derive(Clone, Copy, Debug)]
enum Question {
    Everyone,
    Gateway,
}

impl NeighbourWatch {
    /// Asks by ARP for the addresses of all members and of the gateway, now. It does not wait for the answers.
    pub fn learn_now(&self) {
        self.ask(Question::Everyone);
    }

    /// Asks by ARP for the gateway's address, now.
    pub fn ask_gateway(&self) {
        self.ask(Question::Gateway);
    }

    fn ask(&self, question: Question) {
        // Fails only when the task is gone, which it is when the runtime shuts down: nobody needs the answer then.
        let _ = self.questions.send(question);
    }
}

impl Drop for NeighbourWatch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Starts watching the VIP's card, as a task of the current tokio runtime.
///
/// `tell` gets `Event::Frame` for each frame of another host about the VIP, and `Event::Neighbour` when a member's MAC
/// is first learned, when it changes, and when it answers a question of ours. `gateway_heard` is called at each ARP answer of the gateway to this host.
/// All three callbacks are called from within the task, and must not block.
///
/// A card that is not there or is down is no error: the watch reports it, and goes on trying.
pub fn watch(
    settings: NeighbourSettings,
    tell: impl Fn(Event) + Send + 'static,
    gateway_heard: impl Fn() + Send + 'static,
    report: impl Fn(NeighbourReport) + Send + 'static,
) -> Result<NeighbourWatch, NeighbourError> {
    let vip = ipv4(settings.vip)?;
    let own_address = ipv4(settings.own_address)?;
    let gateway = ipv4(settings.gateway)?;
    let mut members = BTreeMap::new();
    for member in &settings.members {
        let member = ipv4(*member)?;
        if member != own_address {
            members.insert(member, None);
        }
    }
    let (questions, asked) = mpsc::unbounded_channel();
    let watcher = Watcher {
        card: settings.card,
        vip,
        own_address,
        gateway,
        members,
        from_members: TokenBucket::new(FRAMES_PER_SECOND, Instant::now()),
        from_strangers: TokenBucket::new(FRAMES_PER_SECOND, Instant::now()),
        changes: TokenBucket::new(CHANGES_PER_SECOND, Instant::now()),
        answers: TokenBucket::new(FRAMES_PER_SECOND, Instant::now()),
        flood: Flood::default(),
        tell,
        gateway_heard,
        report,
    };
    Ok(NeighbourWatch { questions, task: tokio::spawn(watcher.run(asked)) })
}

fn ipv4(address: IpAddr) -> Result<Ipv4Addr, NeighbourError> {
    match address {
        IpAddr::V4(address) => Ok(address),
        IpAddr::V6(_) => Err(NeighbourError::Ipv6NotSupportedYet(address)),
    }
}

struct Watcher<Tell, Heard, Report> {
    card: String,
    vip: Ipv4Addr,
    own_address: Ipv4Addr,
    gateway: Ipv4Addr,
    /// The MAC of each member other than this host, as far as it is known and was told.
    members: BTreeMap<Ipv4Addr, Option<Mac>>,
    from_members: TokenBucket,
    from_strangers: TokenBucket,
    changes: TokenBucket,
    answers: TokenBucket,
    flood: Flood,
    tell: Tell,
    gateway_heard: Heard,
    report: Report,
}

/// Frames dropped since the last look, and in the whole flood, if there is one.
#[derive(Default)]
struct Flood {
    dropped: u64,
    total: Option<u64>,
}

impl<Tell, Heard, Report> Watcher<Tell, Heard, Report>
where
    Tell: Fn(Event) + Send + 'static,
    Heard: Fn() + Send + 'static,
    Report: Fn(NeighbourReport) + Send + 'static,
{
    async fn run(mut self, mut asked: mpsc::UnboundedReceiver<Question>) {
        let mut deaf = false;
        loop {
            let cause = match PacketListener::open(&self.card) {
                Ok(listener) => {
                    if std::mem::take(&mut deaf) {
                        (self.report)(NeighbourReport::Hearing {
                            vip: self.vip.into(),
                            card: self.card.clone(),
                        });
                    }
                    match self.listen(&listener, &mut asked).await {
                        // Nothing is broken: the card is there, with a new MAC or index. Open it anew, and see.
                        Err(PacketSocketError::Changed { .. }) => continue,
                        Err(cause) => cause,
                        Ok(()) => return,
                    }
                }
                Err(cause) => cause,
            };
            if !std::mem::replace(&mut deaf, true) {
                (self.report)(NeighbourReport::Deaf { vip: self.vip.into(), cause });
            }
            tokio::time::sleep(REOPEN_DELAY).await;
        }
    }

    /// Listens until the socket fails; `Ok` where the watch is dropped.
    async fn listen(
        &mut self,
        listener: &PacketListener,
        asked: &mut mpsc::UnboundedReceiver<Question>,
    ) -> Result<(), PacketSocketError> {
        // Everyone is asked at once, the unknown again a second later.
        let mut learn = interval(LEARN_INTERVAL);
        learn.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut check = interval_at(Instant::now() + CHECK_INTERVAL, CHECK_INTERVAL);
        check.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                received = listener.receive() => self.hear(received?),
                question = asked.recv() => match question {
                    Some(Question::Everyone) => self.ask_everyone(listener)?,
                    Some(Question::Gateway) => self.ask(listener, self.gateway)?,
                    None => return Ok(()),
                },
                _ = learn.tick() => self.ask_everyone(listener)?,
                _ = check.tick() => {
                    listener.socket().check()?;
                    self.ask_unknown(listener)?;
                    self.look_for_flood();
                }
            }
        }
    }

    fn ask(&self, listener: &PacketListener, address: Ipv4Addr) -> Result<(), PacketSocketError> {
        let socket = listener.socket();
        match socket.send(&ArpFrame::request(socket.mac(), self.own_address, address)) {
            // Full queues and the like pass, and the question is put again: no reason to stop listening.
            Err(PacketSocketError::Failed { .. }) => Ok(()),
            sent => sent,
        }
    }

    fn ask_everyone(&self, listener: &PacketListener) -> Result<(), PacketSocketError> {
        for member in self.members.keys() {
            self.ask(listener, *member)?;
        }
        self.ask(listener, self.gateway)
    }

    /// A lost answer is made up for, and a member that was off when asked is learned soon.
    fn ask_unknown(&self, listener: &PacketListener) -> Result<(), PacketSocketError> {
        for (member, _) in self.members.iter().filter(|(_, mac)| mac.is_none()) {
            self.ask(listener, *member)?;
        }
        Ok(())
    }

    fn hear(&mut self, received: Received) {
        let from = received.frame.sender_mac;
        if let Some(says) = what_it_says(&received, self.vip) {
            let is_member = self.members.values().any(|mac| *mac == Some(from));
            let bucket = if is_member { &mut self.from_members } else { &mut self.from_strangers };
            if bucket.take(Instant::now()) {
                (self.tell)(Event::Frame(Frame { from, says }));
            } else {
                self.flood.dropped += 1;
            }
        }
        let sender = received.frame.sender_address;
        let answer =
            received.frame.operation == Operation::Reply && received.frame.target_address == self.own_address;
        if let Some(known) = self.members.get_mut(&sender) {
            let bucket = if *known == Some(from) { &mut self.answers } else { &mut self.changes };
            // A change that is not told is not remembered either: the next frame brings it again.
            if (answer || *known != Some(from)) && bucket.take(Instant::now()) {
                *known = Some(from);
                (self.tell)(Event::Neighbour { address: sender.into(), mac: from });
            }
        }
        if sender == self.gateway && answer {
            (self.gateway_heard)();
        }
    }

    fn look_for_flood(&mut self) {
        let dropped = std::mem::take(&mut self.flood.dropped);
        let (vip, card) = (self.vip.into(), self.card.clone());
        match (self.flood.total, dropped) {
            (None, 0) => {}
            (None, _) => {
                self.flood.total = Some(dropped);
                (self.report)(NeighbourReport::Flood { vip, card });
            }
            (Some(total), 0) => {
                self.flood.total = None;
                (self.report)(NeighbourReport::FloodOver { vip, card, dropped: total });
            }
            (Some(total), _) => self.flood.total = Some(total + dropped),
        }
    }
}

/// What another host's frame says about the VIP; nothing where it is not about it.
fn what_it_says(received: &Received, vip: Ipv4Addr) -> Option<Says> {
    let frame = &received.frame;
    if frame.sender_address == vip {
        let to_one = received.to_us_alone || frame.target_address != vip;
        Some(if frame.operation == Operation::Reply && to_one { Says::Reply } else { Says::Announcement })
    } else if frame.sender_address.is_unspecified()
        && frame.target_address == vip
        && frame.operation == Operation::Request
    {
        Some(Says::Probe)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VIP: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 100);
    const OTHER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 12);
    const MAC: Mac = Mac([2, 0, 0, 0, 0, 0x12]);
    const OURS: Mac = Mac([2, 0, 0, 0, 0, 0x11]);

    fn broadcast(frame: ArpFrame) -> Option<Says> {
        what_it_says(&Received { frame, to_us_alone: false }, VIP)
    }

    fn unicast(frame: ArpFrame) -> Option<Says> {
        what_it_says(&Received { frame, to_us_alone: true }, VIP)
    }

    #[test]
    fn each_kind_of_frame_about_the_vip_is_told_apart() {
        assert_eq!(broadcast(ArpFrame::probe(MAC, VIP)), Some(Says::Probe));
        assert_eq!(
            unicast(ArpFrame::reply(MAC, VIP, OURS, Ipv4Addr::UNSPECIFIED)),
            Some(Says::Reply),
            "the answer to a probe"
        );
        assert_eq!(unicast(ArpFrame::reply(MAC, VIP, OURS, OTHER)), Some(Says::Reply));
        assert_eq!(broadcast(ArpFrame::gratuitous_request(MAC, VIP)), Some(Says::Announcement));
        assert_eq!(broadcast(ArpFrame::gratuitous_reply(MAC, VIP)), Some(Says::Announcement));
        assert_eq!(
            broadcast(ArpFrame::request(MAC, VIP, OTHER)),
            Some(Says::Announcement),
            "the holder's kernel asks for a client from the VIP"
        );
    }

    #[test]
    fn frames_about_other_addresses_are_not_told() {
        assert_eq!(broadcast(ArpFrame::request(MAC, OTHER, VIP)), None, "a client asks for the VIP");
        assert_eq!(broadcast(ArpFrame::probe(MAC, OTHER)), None);
        assert_eq!(unicast(ArpFrame::reply(MAC, OTHER, OURS, VIP)), None);
        let reply_form = ArpFrame { operation: Operation::Reply, ..ArpFrame::probe(MAC, VIP) };
        assert_eq!(broadcast(reply_form), None, "no probe: RFC 5227 probes are requests");
    }

    #[tokio::test]
    async fn ipv6_is_refused_by_name() {
        let vip: IpAddr = "fd00::100".parse().unwrap_or(IpAddr::V4(VIP));
        let settings = NeighbourSettings {
            card: "eth0".to_owned(),
            vip,
            own_address: OTHER.into(),
            members: vec![],
            gateway: OTHER.into(),
        };
        let refused = watch(settings, |_| {}, || {}, |_| {}).err();
        assert_eq!(refused, Some(NeighbourError::Ipv6NotSupportedYet(vip)));
    }
}
