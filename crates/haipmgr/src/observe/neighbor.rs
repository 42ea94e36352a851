//! What is said about the VIP on the segment, and the MACs of the members. Says what was heard, and decides nothing.
//!
//! One socket for each interface and family, whose frames all clusters on it hear: with a socket for each of a hundred clusters, every
//! answer of a member would be received a hundred times, and asked for as often. ARP and neighbor discovery are heard apart: an interface
//! that does no IPv6 still speaks ARP. A cluster hears the family of its VIP, and that of the members and the gateway, which may be the
//! other.

mod questions;
mod report;
mod subscribers;
mod watcher;
mod words;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use decide::fitness::Fitness;
use decide::input::Event;
use decide::net::{Mac, VipId};
use decide::time::Time;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use wire::Family;

pub use report::NeighborReport;
use subscribers::{Subscriber, Told};
use watcher::Watcher;

/// Frames about one VIP a second that are told, and as many in one burst: of the members, and of all others together, so that a
/// stranger's flood does not drown a member's claim. What is more is dropped.
const FRAMES_PER_SECOND: u32 = 500;
/// The same for changes of a known address's MAC: two hosts that fight over a member's address.
const CHANGES_PER_SECOND: u32 = 50;

/// What to listen for.
#[derive(Clone, Debug)]
pub struct NeighborSettings {
    /// The interface on which these VIPs live on this host.
    pub interface: String,
    /// No member's address is looked for there: each says by a word which member it is. Questions are asked from whichever address the
    /// interface has then, and not from this member's.
    pub only_vips: bool,
    /// The VIPs, of either family: which address is which.
    pub vips: BTreeMap<IpAddr, VipId>,
    /// This host's own address on the interface: questions are asked from it. What is asked about the other family's addresses is
    /// asked from the interface's link-local address, or from whichever IPv4 address it has.
    pub own_address: IpAddr,
    /// The members' addresses, of either family, in their order; this host's own among them is left out.
    pub members: Vec<IpAddr>,
    /// The gateways' addresses: the cluster's, and those that single VIPs have of their own.
    pub gateways: Vec<IpAddr>,
}

impl NeighborSettings {
    fn asker(&self) -> Option<IpAddr> {
        (!self.only_vips).then_some(self.own_address)
    }
}

/// A running watch; it ends when this is dropped.
#[derive(Debug)]
pub struct NeighborWatch(Vec<Part>);

/// What one cluster hears in one family.
#[derive(Debug)]
struct Part {
    number: u64,
    interface: Arc<InterfaceWatch>,
}

/// What is heard on one interface in one family, for all clusters there.
#[derive(Debug)]
struct InterfaceWatch {
    interface: String,
    family: Family,
    /// None: questions are asked from whichever address the interface has.
    own_address: Option<IpAddr>,
    subscribers: Subscribers,
    questions: mpsc::UnboundedSender<Question>,
    task: JoinHandle<()>,
}

#[derive(Clone, Copy, Debug)]
enum Question {
    /// What this cluster wants to know.
    Everyone(u64),
    /// This gateway, which is the cluster's or a VIP's of it.
    Gateway(u64, IpAddr),
    /// This VIP, of whichever cluster; with a word about this host, or without one.
    Vip(IpAddr, Option<Fitness>),
    /// Is the interface still the one that is listened to?
    Interface,
}

impl NeighborWatch {
    /// Asks for the MACs of all members and of the gateways, now. It does not wait for the answers.
    pub fn learn_now(&self) {
        self.ask(Question::Everyone);
    }

    /// Asks for this gateway's MAC, now: the gateway alone and everybody by turns, where it is known. Each call
    /// sends: whoever calls keeps the pace.
    pub fn ask_gateway(&self, gateway: IpAddr) {
        self.ask(|number| Question::Gateway(number, gateway));
    }

    /// Asks who has this VIP, now, from this host's own address: that is no claim. Another host that has it answers,
    /// which is told as a frame.
    pub fn ask_who_has_vip(&self, vip: IpAddr) {
        self.ask_about(vip, None);
    }

    /// The same, and says in the same breath how fit this host is to serve readers. Where the interface has no address of the VIP's
    /// family, nothing is said.
    pub fn say_fitness(&self, vip: IpAddr, fitness: Fitness) {
        self.ask_about(vip, Some(fitness));
    }

    fn ask_about(&self, vip: IpAddr, word: Option<Fitness>) {
        let of_family = |part: &&Part| part.interface.family == Family::of(vip);
        for part in self.0.iter().filter(of_family) {
            part.ask(Question::Vip(vip, word));
        }
    }

    /// The other members, each with its MAC as far as it is known.
    pub fn members(&self) -> Vec<(IpAddr, Option<Mac>)> {
        let of_part = |part: &Part| {
            let subscribers = part.interface.subscribers.lock();
            subscribers.all.get(&part.number).map(|of| of.members().collect::<Vec<_>>()).unwrap_or_default()
        };
        self.0.iter().flat_map(of_part).collect()
    }

    /// The host's interfaces have changed: looks at once whether the interface is still the one that is listened to, or is there
    /// again.
    pub fn look_at_interface(&self) {
        self.ask(|_| Question::Interface);
    }

    fn ask(&self, question: impl Fn(u64) -> Question) {
        for part in &self.0 {
            part.ask(question(part.number));
        }
    }
}

impl Part {
    fn ask(&self, question: Question) {
        // Fails only when the task is gone, which it is when the runtime shuts down: nobody needs the answer then.
        let _ = self.interface.questions.send(question);
    }
}

impl Drop for Part {
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
    /// ARP or neighbor discovery answer of a gateway to this host, with the time of the question. All three callbacks are called from within the task, and must not block.
    ///
    /// An interface that is not there or is down is no error: the watch reports it, and goes on trying.
    pub fn watch(
        &self,
        settings: &NeighborSettings,
        tell: impl Fn(Event) + Send + Sync + 'static,
        gateway_heard: impl Fn(IpAddr, Time) + Send + Sync + 'static,
        report: impl Fn(NeighborReport) + Send + Sync + 'static,
    ) -> NeighborWatch {
        let told = Arc::new(Told {
            tell: Box::new(tell),
            gateway_heard: Box::new(gateway_heard),
            report: Box::new(report),
        });
        let parts = Family::ALL.into_iter().filter_map(|family| {
            Some(self.subscribe(settings, family, Subscriber::new(settings, family, &told)?))
        });
        let watch = NeighborWatch(parts.collect());
        watch.learn_now();
        watch
    }

    fn subscribe(&self, settings: &NeighborSettings, family: Family, subscriber: Subscriber) -> Part {
        let mut interfaces = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        interfaces.retain(|interface| interface.strong_count() > 0);
        let wanted = (&settings.interface, family, settings.asker());
        let mut known = interfaces.iter().filter_map(Weak::upgrade);
        let known = known.find(|known| (&known.interface, known.family, known.own_address) == wanted);
        let interface = known.unwrap_or_else(|| {
            let watch = Arc::new(InterfaceWatch::start(settings, family));
            interfaces.push(Arc::downgrade(&watch));
            watch
        });
        let number = {
            let mut subscribers = interface.subscribers.lock();
            subscribers.next += 1;
            let number = subscribers.next;
            subscriber.tell_receive_up(subscribers.hearing);
            subscribers.all.insert(number, subscriber);
            number
        };
        Part { number, interface }
    }
}

/// As [`Interfaces::watch`], for the one cluster of an interface.
pub fn watch(
    settings: &NeighborSettings,
    tell: impl Fn(Event) + Send + Sync + 'static,
    gateway_heard: impl Fn(IpAddr, Time) + Send + Sync + 'static,
    report: impl Fn(NeighborReport) + Send + Sync + 'static,
) -> NeighborWatch {
    Interfaces::default().watch(settings, tell, gateway_heard, report)
}

impl InterfaceWatch {
    fn start(settings: &NeighborSettings, family: Family) -> Self {
        let (interface, own_address) = (settings.interface.clone(), settings.asker());
        let subscribers = Subscribers::default();
        let (questions, asked) = mpsc::unbounded_channel();
        let watcher = Watcher::new(interface.clone(), family, own_address, subscribers.clone());
        let task = tokio::spawn(watcher.run(asked));
        Self { interface, family, own_address, subscribers, questions, task }
    }
}
