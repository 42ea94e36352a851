//! What is said about the VIP on the segment, and the MACs of the members. Says what was heard, and decides nothing.
//!
//! One socket for each interface, whose frames all clusters on it hear: with a socket for each of a hundred clusters, every answer of
//! a member would be received a hundred times, and asked for as often.

mod questions;
mod subscribers;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use decide::event::{Event, Mac, VipId};
use decide::time::Time;
use linux::neighbor_socket::{NeighborListener, Received};
use linux::packet_socket::PacketSocketError;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, interval_at, timeout_at};
use wire::NeighborMessage;

use crate::clock;
use questions::Questions;
use subscribers::Subscriber;

/// Members' MACs are asked for anew this often: a replaced network interface on a silent host is noticed.
const LEARN_INTERVAL: Duration = Duration::from_secs(30);
/// How often the interface is looked at, and members whose MAC is not known are asked again.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// Time between attempts to open a socket on an interface that is not there or is down.
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
pub struct NeighborSettings {
    /// The interface on which the VIPs live on this host.
    pub interface: String,
    /// The VIPs: which address is which.
    pub vips: BTreeMap<IpAddr, VipId>,
    /// This host's own address on the interface: questions are asked from it.
    pub own_address: IpAddr,
    /// The members' addresses; this host's own among them is left out.
    pub members: Vec<IpAddr>,
    /// The gateway's address.
    pub gateway: IpAddr,
}

/// Something for the log. Each is told when it begins, not each time that it is found again.
#[derive(Debug, thiserror::Error)]
pub enum NeighborReport {
    /// Nothing can be heard; it is tried again and again.
    #[error("ARP frames about {vip} can't be received: {cause}; trying again")]
    ReceiveDown {
        /// The VIP.
        vip: IpAddr,
        /// Why.
        cause: Arc<PacketSocketError>,
    },
    /// Heard again after `ReceiveDown`.
    #[error("ARP frames about {vip} are received again on {interface}")]
    ReceiveUp {
        /// The VIP.
        vip: IpAddr,
        /// The interface.
        interface: String,
    },
    /// More frames than the limit: what is more is dropped.
    #[error(
        "a flood of ARP frames about {vip} on {interface}: more than {FRAMES_PER_SECOND} a second are dropped"
    )]
    Flood {
        /// The VIP.
        vip: IpAddr,
        /// The interface.
        interface: String,
    },
    /// The flood is over.
    #[error("the flood of ARP frames about {vip} on {interface} is over; {dropped} were dropped")]
    FloodOver {
        /// The VIP.
        vip: IpAddr,
        /// The interface.
        interface: String,
        /// Frames dropped during it.
        dropped: u64,
    },
}

/// A running watch; it ends when this is dropped.
#[derive(Debug)]
pub struct NeighborWatch {
    number: u64,
    interface: Arc<InterfaceWatch>,
}

/// What is heard on one interface, for all clusters there.
#[derive(Debug)]
struct InterfaceWatch {
    interface: String,
    own_address: IpAddr,
    subscribers: Subscribers,
    questions: mpsc::UnboundedSender<Question>,
    task: JoinHandle<()>,
}

#[derive(Clone, Copy, Debug)]
enum Question {
    /// What this cluster wants to know.
    Everyone(u64),
    /// This cluster's gateway.
    Gateway(u64),
    /// This VIP, of whichever cluster.
    Vip(IpAddr),
    /// Is the interface still the one that is listened to?
    Interface,
}

impl NeighborWatch {
    /// Asks by ARP for the addresses of all members and of the gateway, now. It does not wait for the answers.
    pub fn learn_now(&self) {
        self.ask(Question::Everyone(self.number));
    }

    /// Asks by ARP for the gateway's address, now: the gateway alone and everybody by turns, where its MAC is known. Each call
    /// sends: whoever calls keeps the pace.
    pub fn ask_gateway(&self) {
        self.ask(Question::Gateway(self.number));
    }

    /// Asks by ARP who has this VIP, now, from this host's own address: that is no claim. Another host that has it answers,
    /// which is told as a frame.
    pub fn ask_who_has_vip(&self, vip: IpAddr) {
        self.ask(Question::Vip(vip));
    }

    /// The host's interfaces have changed: looks at once whether the interface is still the one that is listened to, or is there
    /// again.
    pub fn look_at_interface(&self) {
        self.ask(Question::Interface);
    }

    fn ask(&self, question: Question) {
        // Fails only when the task is gone, which it is when the runtime shuts down: nobody needs the answer then.
        let _ = self.interface.questions.send(question);
    }
}

impl Drop for NeighborWatch {
    fn drop(&mut self) {
        self.interface.subscribers.lock().all.remove(&self.number);
    }
}

impl Drop for InterfaceWatch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The clusters of one interface.
#[derive(Clone, Default)]
struct Subscribers(Arc<Mutex<SubscriberTable>>);

#[derive(Default)]
struct SubscriberTable {
    all: BTreeMap<u64, Subscriber>,
    /// Whether the interface can be heard now.
    hearing: bool,
    next: u64,
}

impl Subscribers {
    fn lock(&self) -> MutexGuard<'_, SubscriberTable> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Subscribers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Subscribers")
    }
}

/// The interfaces that are being watched.
#[derive(Clone, Debug, Default)]
pub struct Interfaces(Arc<Mutex<Vec<Weak<InterfaceWatch>>>>);

impl Interfaces {
    /// Starts watching the VIP's interface for one more cluster, as a task of the current tokio runtime.
    ///
    /// `tell` gets `Event::ReceiveUp` at once, and again when frames can be heard and when they no longer can. It gets
    /// `Event::Frame` for each frame of another host about a VIP, and `Event::Neighbor` when a member's MAC is first learned, when it changes, and when it answers a question of this host. `gateway_heard` is called at each
    /// ARP answer of the gateway to this host, with the time of the question. All three callbacks are called from within the task, and must not block.
    ///
    /// An interface that is not there or is down is no error: the watch reports it, and goes on trying.
    pub fn watch(
        &self,
        settings: NeighborSettings,
        tell: impl Fn(Event) + Send + 'static,
        gateway_heard: impl Fn(Time) + Send + 'static,
        report: impl Fn(NeighborReport) + Send + 'static,
    ) -> NeighborWatch {
        let (interface, own_address) = (settings.interface.clone(), settings.own_address);
        let subscriber = Subscriber::new(settings, tell, gateway_heard, report);
        let mut interfaces = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        interfaces.retain(|interface| interface.strong_count() > 0);
        let known = interfaces.iter().filter_map(Weak::upgrade);
        let known =
            known.into_iter().find(|known| known.interface == interface && known.own_address == own_address);
        let watch = known.unwrap_or_else(|| {
            let watch = Arc::new(InterfaceWatch::start(interface, own_address));
            interfaces.push(Arc::downgrade(&watch));
            watch
        });
        let number = {
            let mut subscribers = watch.subscribers.lock();
            subscribers.next += 1;
            let number = subscribers.next;
            subscriber.tell_receive_up(subscribers.hearing);
            subscribers.all.insert(number, subscriber);
            number
        };
        let watch = NeighborWatch { number, interface: watch };
        watch.learn_now();
        watch
    }
}

/// As [`Interfaces::watch`], for the one cluster of an interface.
pub fn watch(
    settings: NeighborSettings,
    tell: impl Fn(Event) + Send + 'static,
    gateway_heard: impl Fn(Time) + Send + 'static,
    report: impl Fn(NeighborReport) + Send + 'static,
) -> NeighborWatch {
    Interfaces::default().watch(settings, tell, gateway_heard, report)
}

impl InterfaceWatch {
    fn start(interface: String, own_address: IpAddr) -> Self {
        let subscribers = Subscribers::default();
        let (questions, asked) = mpsc::unbounded_channel();
        let watcher = Watcher {
            interface: interface.clone(),
            own_address,
            subscribers: subscribers.clone(),
            asked_at: BTreeMap::new(),
            questions: Questions::default(),
        };
        let task = tokio::spawn(watcher.run(asked));
        Self { interface, own_address, subscribers, questions, task }
    }
}

struct Watcher {
    interface: String,
    own_address: IpAddr,
    subscribers: Subscribers,
    /// When each address was last asked for.
    asked_at: BTreeMap<IpAddr, Instant>,
    questions: Questions,
}

impl Watcher {
    async fn run(mut self, mut asked: mpsc::UnboundedReceiver<Question>) {
        let mut receive_down = false;
        loop {
            let cause = match NeighborListener::open(&self.interface) {
                Ok(listener) => {
                    self.tell_receive_up(true);
                    if std::mem::take(&mut receive_down) {
                        self.report(|vip, interface| NeighborReport::ReceiveUp { vip, interface });
                    }
                    let ended = self.listen(&listener, &mut asked).await;
                    self.tell_receive_up(false);
                    match ended {
                        // Nothing is broken: the interface is there, with a new MAC or index. Open it anew, and see.
                        Err(PacketSocketError::Changed { .. }) => continue,
                        Err(cause) => cause,
                        Ok(()) => return,
                    }
                }
                Err(cause) => cause,
            };
            if !std::mem::replace(&mut receive_down, true) {
                let cause = Arc::new(cause);
                self.report(|vip, _| NeighborReport::ReceiveDown { vip, cause: Arc::clone(&cause) });
            }
            if !wait_for_interface(&mut asked).await {
                return;
            }
        }
    }

    fn tell_receive_up(&self, hearing: bool) {
        let mut subscribers = self.subscribers.lock();
        subscribers.hearing = hearing;
        for subscriber in subscribers.all.values() {
            subscriber.tell_receive_up(hearing);
        }
    }

    fn report(&self, of: impl Fn(IpAddr, String) -> NeighborReport) {
        for subscriber in self.subscribers.lock().all.values() {
            for vip in subscriber.vips() {
                subscriber.report(of(vip, self.interface.clone()));
            }
        }
    }

    /// Listens until the socket fails; `Ok` where the watch is dropped.
    async fn listen(
        &mut self,
        listener: &NeighborListener,
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
                received = listener.receive() => self.hear(&received?),
                question = asked.recv() => match question {
                    Some(Question::Everyone(number)) => self.ask(listener, |of, subscriber| {
                        if of == number { subscriber.members().chain([subscriber.gateway()]).collect() } else { Vec::new() }
                    })?,
                    Some(Question::Gateway(number)) => self.ask_gateway(listener, number)?,
                    // Nobody else asks for it, and who does may want to ask again at once.
                    Some(Question::Vip(vip)) => drop(self.put(listener, vip, None)?),
                    Some(Question::Interface) => listener.check()?,
                    None => return Ok(()),
                },
                _ = learn.tick() => self.ask(listener, |_, subscriber| subscriber.members().chain([subscriber.gateway()]).collect())?,
                _ = check.tick() => {
                    listener.check()?;
                    // A lost answer is made up for, and a member that was off when asked is learned soon.
                    self.ask(listener, |_, subscriber| subscriber.unknown().collect())?;
                    for subscriber in self.subscribers.lock().all.values_mut() {
                        subscriber.look_for_flood();
                    }
                }
            }
        }
    }

    fn hear(&mut self, received: &Received) {
        let from = Mac(received.from.0);
        if let Some(address) = received.message.sender_address() {
            self.questions.is_at(address, from);
        }
        let gateway_asked_at = match received.message {
            NeighborMessage::Reply { address, to } if to == Some(self.own_address) => {
                self.questions.answered(address, clock::now())
            }
            _ => None,
        };
        for subscriber in self.subscribers.lock().all.values_mut() {
            subscriber.hear(received, gateway_asked_at);
        }
    }

    fn ask_gateway(&mut self, listener: &NeighborListener, number: u64) -> Result<(), PacketSocketError> {
        let gateway = self.subscribers.lock().all.get(&number).map(Subscriber::gateway);
        let Some(gateway) = gateway else { return Ok(()) };
        let to = self.questions.next_to(gateway);
        self.put(listener, gateway, to).map(|_| ())
    }

    /// Puts one question, to this MAC alone or to everybody, and gives whether it was sent.
    fn put(
        &mut self,
        listener: &NeighborListener,
        address: IpAddr,
        to: Option<Mac>,
    ) -> Result<bool, PacketSocketError> {
        let question = NeighborMessage::Question { target: address, asker: self.own_address };
        let now = clock::now();
        match listener.send(question, to.map(|mac| wire::Mac(mac.0))) {
            // Full queues and the like pass, and the question is put again: no reason to stop listening.
            Err(PacketSocketError::Failed { .. }) => Ok(false),
            sent => {
                sent?;
                self.questions.asked(address, now);
                Ok(true)
            }
        }
    }

    /// Asks everybody for all that is wanted, but for what was asked for just now.
    fn ask(
        &mut self,
        listener: &NeighborListener,
        wanted: impl Fn(u64, &Subscriber) -> Vec<IpAddr>,
    ) -> Result<(), PacketSocketError> {
        let all: BTreeSet<IpAddr> = self
            .subscribers
            .lock()
            .all
            .iter()
            .flat_map(|(number, subscriber)| wanted(*number, subscriber))
            .collect();
        let now = Instant::now();
        self.asked_at.retain(|_, at| now.duration_since(*at) < ASKED_JUST_NOW);
        for address in all {
            if self.asked_at.contains_key(&address) {
                continue;
            }
            if self.put(listener, address, None)? {
                self.asked_at.insert(address, now);
            }
        }
        Ok(())
    }
}

/// Waits until it is time to try again, or the interfaces have changed; meanwhile there is no interface to ask anything by. `false` where
/// the watch is dropped.
async fn wait_for_interface(asked: &mut mpsc::UnboundedReceiver<Question>) -> bool {
    let again = Instant::now() + REOPEN_DELAY;
    loop {
        match timeout_at(again, asked.recv()).await {
            Ok(Some(Question::Everyone(_) | Question::Gateway(_) | Question::Vip(_))) => {}
            Ok(Some(Question::Interface)) | Err(_) => return true,
            Ok(None) => return false,
        }
    }
}
