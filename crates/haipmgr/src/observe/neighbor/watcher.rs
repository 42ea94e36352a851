//! Listens on one interface in one family, for all clusters there, and puts their questions.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use decide::net::Mac;
use linux::neighbor_socket::{NeighborListener, Received};
use linux::packet_socket::PacketSocketError;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, interval_at, timeout_at};
use wire::{Family, NeighborMessage, Word};

use super::questions::Questions;
use super::subscribers::Subscriber;
use super::{NeighborReport, Question, Subscribers, words};
use crate::clock;
use crate::observe::interface_address;

/// Members' MACs are asked for anew this often: a replaced network interface on a silent host is noticed.
const LEARN_INTERVAL: Duration = Duration::from_secs(30);
/// How often the interface is looked at, and members whose MAC is not known are asked again.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// Time between attempts to open a socket on an interface that is not there or is down.
const REOPEN_DELAY: Duration = Duration::from_millis(200);
/// The same address is not asked for again within this time: its answer is for all clusters.
const ASKED_JUST_NOW: Duration = Duration::from_millis(20);

pub(super) struct Watcher {
    interface: String,
    family: Family,
    /// The member's own address, of either family; none: it is not looked for on this interface.
    own_address: Option<IpAddr>,
    /// From which address of the family questions are asked; none where the interface has none, and then nothing is asked: from
    /// nobody's address it would be a claim.
    asker: Option<IpAddr>,
    subscribers: Subscribers,
    /// When each address was last asked for.
    asked_at: BTreeMap<IpAddr, Instant>,
    questions: Questions,
}

impl Watcher {
    pub(super) fn new(
        interface: String,
        family: Family,
        own_address: Option<IpAddr>,
        subscribers: Subscribers,
    ) -> Self {
        let (asked_at, questions) = (BTreeMap::new(), Questions::default());
        Self { interface, family, own_address, asker: None, subscribers, asked_at, questions }
    }

    pub(super) async fn run(mut self, mut asked: mpsc::UnboundedReceiver<Question>) {
        let mut receive_down = false;
        loop {
            let cause = match self.open() {
                Ok(mut listener) => {
                    self.tell_receive_up(true);
                    if std::mem::take(&mut receive_down) {
                        let family = self.family;
                        self.report(|vip, interface| NeighborReport::ReceiveUp { family, vip, interface });
                    }
                    let ended = self.listen(&mut listener, &mut asked).await;
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
                let (family, cause) = (self.family, Arc::new(cause));
                self.report(|vip, _| NeighborReport::ReceiveDown { family, vip, cause: Arc::clone(&cause) });
            }
            if !wait_for_interface(&mut asked).await {
                return;
            }
        }
    }

    fn open(&mut self) -> Result<NeighborListener, PacketSocketError> {
        let mut listener = NeighborListener::open(&self.interface, self.family)?;
        self.hear_about_vips(&mut listener)?;
        Ok(listener)
    }

    fn hear_about_vips(&self, listener: &mut NeighborListener) -> Result<(), PacketSocketError> {
        let subscribers = self.subscribers.lock();
        let vips = subscribers.all.values().flat_map(Subscriber::vips).filter_map(|vip| match vip {
            IpAddr::V6(vip) => Some(vip),
            IpAddr::V4(_) => None,
        });
        listener.hear_about(vips)
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
            subscriber.report(|vip| of(vip, self.interface.clone()));
        }
    }

    /// Listens until the socket fails; `Ok` where the watch is dropped.
    async fn listen(
        &mut self,
        listener: &mut NeighborListener,
        asked: &mut mpsc::UnboundedReceiver<Question>,
    ) -> Result<(), PacketSocketError> {
        // What was asked for on another socket was perhaps never sent.
        self.asked_at.clear();
        self.asker = self.find_asker();
        // Everyone is asked at once, the unknown again a second later.
        let mut learn = interval(LEARN_INTERVAL);
        learn.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut check = interval_at(Instant::now() + CHECK_INTERVAL, CHECK_INTERVAL);
        check.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                received = listener.receive() => self.hear(&received?),
                question = asked.recv() => match question {
                    Some(Question::Everyone(number)) => {
                        self.hear_about_vips(listener)?;
                        self.ask(listener, |of, subscriber| {
                            if of == number { subscriber.everyone().collect() } else { Vec::new() }
                        })?;
                    }
                    Some(Question::Gateway(number, gateway)) => self.ask_gateway(listener, number, gateway)?,
                    // Nobody else asks for it, and who does may want to ask again at once.
                    Some(Question::Vip(vip, word)) => drop(self.put_with(listener, vip, None, word.map(words::of))?),
                    Some(Question::Interface) => {
                        listener.check()?;
                        self.asker = self.find_asker();
                    }
                    None => return Ok(()),
                },
                _ = learn.tick() => self.ask(listener, |_, subscriber| subscriber.everyone().collect())?,
                _ = check.tick() => {
                    listener.check()?;
                    self.hear_about_vips(listener)?;
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
        let answered = match received.message {
            NeighborMessage::Reply { address, to: Some(to) } if Some(to) == self.asker => Some(address),
            _ => None,
        };
        let asked_at = answered.and_then(|address| self.questions.answered(address, clock::now()));
        for subscriber in self.subscribers.lock().all.values_mut() {
            subscriber.hear(received, answered.is_some(), asked_at);
        }
    }

    fn find_asker(&self) -> Option<IpAddr> {
        if let Some(own) = self.own_address.filter(|own| Family::of(*own) == self.family) {
            return Some(own);
        }
        match self.family {
            Family::V4 => {
                let subscribers = self.subscribers.lock();
                let vips: Vec<_> = subscribers.all.values().flat_map(Subscriber::vips).collect();
                interface_address::ipv4_but(&self.interface, &vips)
            }
            Family::V6 => interface_address::link_local(&self.interface),
        }
    }

    /// Where it is of this family, and this cluster's.
    fn ask_gateway(
        &mut self,
        listener: &NeighborListener,
        number: u64,
        gateway: IpAddr,
    ) -> Result<(), PacketSocketError> {
        if !self.subscribers.lock().all.get(&number).is_some_and(|of| of.has_gateway(gateway)) {
            return Ok(());
        }
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
        self.put_with(listener, address, to, None)
    }

    /// The same, with a word about this host.
    fn put_with(
        &mut self,
        listener: &NeighborListener,
        address: IpAddr,
        to: Option<Mac>,
        word: Option<Word>,
    ) -> Result<bool, PacketSocketError> {
        let (Some(asker), target) = (self.asker, address) else { return Ok(false) };
        let question = match word {
            Some(word) => NeighborMessage::Word { target, asker, word },
            None => NeighborMessage::Question { target, asker },
        };
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
            Ok(Some(Question::Everyone(_) | Question::Gateway(..) | Question::Vip(..))) => {}
            Ok(Some(Question::Interface)) | Err(_) => return true,
            Ok(None) => return false,
        }
    }
}
