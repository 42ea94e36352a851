//! ARP frames about the VIP, and the MACs of the members. Says what was heard, and decides nothing.
//!
//! One socket for each card, whose frames all clusters on it hear: with a socket for each of a hundred clusters, every answer of
//! a member would be received a hundred times, and asked for as often.

mod ear;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use decide::event::Event;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, interval_at, timeout_at};

use crate::arp_socket::ArpListener;
use crate::packet_socket::PacketSocketError;
use crate::wire::arp::ArpFrame;
use ear::Ear;

/// Members' MACs are asked for anew this often: a replaced network card on a silent host is noticed.
const LEARN_INTERVAL: Duration = Duration::from_secs(30);
/// How often the card is looked at, and members whose MAC is not known are asked again.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// Time between attempts to open a socket on a card that is not there or is down.
const REOPEN_DELAY: Duration = Duration::from_millis(200);
/// The same address is not asked for again within this time: its answer is for all clusters.
const ASKED_JUST_NOW: Duration = Duration::from_millis(20);
/// Frames about one VIP a second that are told, and as many in one burst: of the members, and of all others together, so that a
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
        cause: Arc<PacketSocketError>,
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
    number: u64,
    card: Arc<CardWatch>,
}

/// What is heard on one card, for all clusters there.
#[derive(Debug)]
struct CardWatch {
    card: String,
    own_address: Ipv4Addr,
    ears: Ears,
    questions: mpsc::UnboundedSender<Question>,
    task: JoinHandle<()>,
}

#[derive(Clone, Copy, Debug)]
enum Question {
    /// What this cluster wants to know.
    Everyone(u64),
    /// This cluster's gateway.
    Gateway(u64),
    /// This cluster's VIP.
    Vip(u64),
    /// Is the card still the one that is listened to?
    Card,
}

impl NeighbourWatch {
    /// Asks by ARP for the addresses of all members and of the gateway, now. It does not wait for the answers.
    pub fn learn_now(&self) {
        self.ask(Question::Everyone(self.number));
    }

    /// Asks by ARP for the gateway's address, now.
    pub fn ask_gateway(&self) {
        self.ask(Question::Gateway(self.number));
    }

    /// Asks by ARP who has the VIP, now, from this host's own address: that is no claim. Another host that has it answers,
    /// which is told as a frame.
    pub fn ask_who_has_vip(&self) {
        self.ask(Question::Vip(self.number));
    }

    /// The host's cards have changed: looks at once whether the card is still the one that is listened to, or is there
    /// again.
    pub fn look_at_card(&self) {
        self.ask(Question::Card);
    }

    fn ask(&self, question: Question) {
        // Fails only when the task is gone, which it is when the runtime shuts down: nobody needs the answer then.
        let _ = self.card.questions.send(question);
    }
}

impl Drop for NeighbourWatch {
    fn drop(&mut self) {
        self.card.ears.lock().all.remove(&self.number);
    }
}

impl Drop for CardWatch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The clusters of one card.
#[derive(Clone, Default)]
struct Ears(Arc<Mutex<EarsInside>>);

#[derive(Default)]
struct EarsInside {
    all: BTreeMap<u64, Ear>,
    /// Whether the card can be heard now.
    hearing: bool,
    next: u64,
}

impl Ears {
    fn lock(&self) -> MutexGuard<'_, EarsInside> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl EarsInside {
    fn is_vip(&self, number: u64, address: Ipv4Addr) -> bool {
        self.all.get(&number).is_some_and(|ear| ear.vip() == address)
    }
}

impl std::fmt::Debug for Ears {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Ears")
    }
}

/// The cards that are being watched.
#[derive(Clone, Debug, Default)]
pub struct Cards(Arc<Mutex<Vec<Weak<CardWatch>>>>);

impl Cards {
    /// Starts watching the VIP's card for one more cluster, as a task of the current tokio runtime.
    ///
    /// `tell` gets `Event::Hearing` at once, and again when frames can be heard and when they no longer can. It gets
    /// `Event::Frame` for each frame of another host about the VIP, and `Event::Neighbour` when a member's MAC is first learned, when it changes, and when it answers a question of this host. `gateway_heard` is called at each
    /// ARP answer of the gateway to this host. All three callbacks are called from within the task, and must not block.
    ///
    /// A card that is not there or is down is no error: the watch reports it, and goes on trying.
    ///
    /// # Errors
    /// An address is IPv6.
    pub fn watch(
        &self,
        settings: NeighbourSettings,
        tell: impl Fn(Event) + Send + 'static,
        gateway_heard: impl Fn() + Send + 'static,
        report: impl Fn(NeighbourReport) + Send + 'static,
    ) -> Result<NeighbourWatch, NeighbourError> {
        let (card, own_address) = (settings.card.clone(), ipv4(settings.own_address)?);
        let ear = Ear::new(settings, tell, gateway_heard, report)?;
        let mut cards = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        cards.retain(|card| card.strong_count() > 0);
        let known = cards.iter().filter_map(Weak::upgrade);
        let known = known.into_iter().find(|known| known.card == card && known.own_address == own_address);
        let watch = known.unwrap_or_else(|| {
            let watch = Arc::new(CardWatch::start(card, own_address));
            cards.push(Arc::downgrade(&watch));
            watch
        });
        let number = {
            let mut ears = watch.ears.lock();
            ears.next += 1;
            let number = ears.next;
            ear.tell_hearing(ears.hearing);
            ears.all.insert(number, ear);
            number
        };
        let watch = NeighbourWatch { number, card: watch };
        watch.learn_now();
        Ok(watch)
    }
}

/// As [`Cards::watch`], for the one cluster of a card.
///
/// # Errors
/// An address is IPv6.
pub fn watch(
    settings: NeighbourSettings,
    tell: impl Fn(Event) + Send + 'static,
    gateway_heard: impl Fn() + Send + 'static,
    report: impl Fn(NeighbourReport) + Send + 'static,
) -> Result<NeighbourWatch, NeighbourError> {
    Cards::default().watch(settings, tell, gateway_heard, report)
}

fn ipv4(address: IpAddr) -> Result<Ipv4Addr, NeighbourError> {
    match address {
        IpAddr::V4(address) => Ok(address),
        IpAddr::V6(_) => Err(NeighbourError::Ipv6NotSupportedYet(address)),
    }
}

impl CardWatch {
    fn start(card: String, own_address: Ipv4Addr) -> Self {
        let ears = Ears::default();
        let (questions, asked) = mpsc::unbounded_channel();
        let watcher =
            Watcher { card: card.clone(), own_address, ears: ears.clone(), asked_at: BTreeMap::new() };
        let task = tokio::spawn(watcher.run(asked));
        Self { card, own_address, ears, questions, task }
    }
}

struct Watcher {
    card: String,
    own_address: Ipv4Addr,
    ears: Ears,
    /// When each address was last asked for.
    asked_at: BTreeMap<Ipv4Addr, Instant>,
}

impl Watcher {
    async fn run(mut self, mut asked: mpsc::UnboundedReceiver<Question>) {
        let mut deaf = false;
        loop {
            let cause = match ArpListener::open(&self.card) {
                Ok(listener) => {
                    self.tell_hearing(true);
                    if std::mem::take(&mut deaf) {
                        self.report(|vip, card| NeighbourReport::Hearing { vip, card });
                    }
                    let ended = self.listen(&listener, &mut asked).await;
                    self.tell_hearing(false);
                    match ended {
                        // Nothing is broken: the card is there, with a new MAC or index. Open it anew, and see.
                        Err(PacketSocketError::Changed { .. }) => continue,
                        Err(cause) => cause,
                        Ok(()) => return,
                    }
                }
                Err(cause) => cause,
            };
            if !std::mem::replace(&mut deaf, true) {
                let cause = Arc::new(cause);
                self.report(|vip, _| NeighbourReport::Deaf { vip, cause: Arc::clone(&cause) });
            }
            if !wait_for_card(&mut asked).await {
                return;
            }
        }
    }

    fn tell_hearing(&self, hearing: bool) {
        let mut ears = self.ears.lock();
        ears.hearing = hearing;
        for ear in ears.all.values() {
            ear.tell_hearing(hearing);
        }
    }

    fn report(&self, of: impl Fn(IpAddr, String) -> NeighbourReport) {
        for ear in self.ears.lock().all.values() {
            ear.report(of(ear.vip().into(), self.card.clone()));
        }
    }

    /// Listens until the socket fails; `Ok` where the watch is dropped.
    async fn listen(
        &mut self,
        listener: &ArpListener,
        asked: &mut mpsc::UnboundedReceiver<Question>,
    ) -> Result<(), PacketSocketError> {
        // What was asked for on another socket was perhaps never sent.
        self.asked_at.clear();
        // Everyone is asked at once, the unknown again a second later.
        let mut learn = interval(LEARN_INTERVAL);
        learn.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut check = interval_at(Instant::now() + CHECK_INTERVAL, CHECK_INTERVAL);
        check.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                received = listener.receive() => {
                    let received = received?;
                    for ear in self.ears.lock().all.values_mut() {
                        ear.hear(received);
                    }
                },
                question = asked.recv() => match question {
                    Some(Question::Everyone(number)) => self.ask(listener, |of, ear| {
                        if of == number { ear.members().chain([ear.gateway()]).collect() } else { Vec::new() }
                    })?,
                    Some(Question::Gateway(number)) => self.ask(listener, |of, ear| {
                        if of == number { vec![ear.gateway()] } else { Vec::new() }
                    })?,
                    Some(Question::Vip(number)) => {
                        // Nobody else asks for it, and who does may want to ask again at once.
                        self.asked_at.retain(|address, _| !self.ears.lock().is_vip(number, *address));
                        self.ask(listener, |of, ear| {
                            if of == number { vec![ear.vip()] } else { Vec::new() }
                        })?;
                    }
                    Some(Question::Card) => listener.check()?,
                    None => return Ok(()),
                },
                _ = learn.tick() => self.ask(listener, |_, ear| ear.members().chain([ear.gateway()]).collect())?,
                _ = check.tick() => {
                    listener.check()?;
                    // A lost answer is made up for, and a member that was off when asked is learned soon.
                    self.ask(listener, |_, ear| ear.unknown().collect())?;
                    for ear in self.ears.lock().all.values_mut() {
                        ear.look_for_flood();
                    }
                }
            }
        }
    }

    /// Asks for all that is wanted, but for what was asked for just now.
    fn ask(
        &mut self,
        listener: &ArpListener,
        wanted: impl Fn(u64, &Ear) -> Vec<Ipv4Addr>,
    ) -> Result<(), PacketSocketError> {
        let all: BTreeSet<Ipv4Addr> =
            self.ears.lock().all.iter().flat_map(|(number, ear)| wanted(*number, ear)).collect();
        let now = Instant::now();
        self.asked_at.retain(|_, at| now.duration_since(*at) < ASKED_JUST_NOW);
        for address in all {
            if self.asked_at.contains_key(&address) {
                continue;
            }
            match listener.send(&ArpFrame::request(listener.mac(), self.own_address, address)) {
                // Full queues and the like pass, and the question is put again: no reason to stop listening.
                Err(PacketSocketError::Failed { .. }) => {}
                sent => {
                    sent?;
                    self.asked_at.insert(address, now);
                }
            }
        }
        Ok(())
    }
}

/// Waits until it is time to try again, or the cards have changed; meanwhile there is no card to ask anything by. `false` where
/// the watch is dropped.
async fn wait_for_card(asked: &mut mpsc::UnboundedReceiver<Question>) -> bool {
    let again = Instant::now() + REOPEN_DELAY;
    loop {
        match timeout_at(again, asked.recv()).await {
            Ok(Some(Question::Everyone(_) | Question::Gateway(_) | Question::Vip(_))) => {}
            Ok(Some(Question::Card)) | Err(_) => return true,
            Ok(None) => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VIP: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 100);
    const OTHER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 12);

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
