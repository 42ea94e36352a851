//! What is known: of this host, of its server, of the gateway, of the other members. The only code that writes it.
//!
//! Whoever decides reads it (`&Facts`). What it wants to be asked it says to its `Output`; what was asked is noted
//! here afterwards.

mod neighbors;
mod news;
mod pause;
mod peers;
pub mod process;
mod reach;
mod readers;
mod view;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use neighbors::{Introduced, Neighbors, Question};
pub use news::News;
pub use pause::Pause;
pub use peers::{Open, Peer, Peers};
pub use process::Signs;
pub use reach::Reach;
pub use readers::Readers;
pub use view::Views;

use crate::input::{Event, Fact, Frame, Gateway, GroupView, Host, Says, Seen, Server, Why};
use crate::net::{Mac, VipId};
use crate::output::group::{Action, Outcome};
use crate::output::vip::VipAction;
use crate::policy::{GroupPolicy, Policy, VipGateway};
use crate::time::Time;

/// A server that was not heard for longer than this has stood still, or this host has.
const SILENCE: Duration = Duration::from_secs(1);

/// All that is known.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Facts {
    /// This host's addresses and interfaces.
    pub host: Seen<Host>,
    /// The local server.
    pub server: Seen<Server>,
    /// The gateway.
    pub gateway: Seen<Gateway>,
    /// Those that single VIPs have of their own.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub own_gateways: BTreeMap<IpAddr, Seen<Gateway>>,
    /// Since when the local server's facts have been unknown.
    pub server_unknown_since: Option<Time>,
    /// The local server has refused connections since it last spoke: what may listen now was started anew, and is in no group
    /// until it says that it is.
    pub started_anew: bool,
    /// When the local server was last heard to speak of its group.
    pub spoke_at: Option<Time>,
    /// When it was heard again after it, or this agent, had stood still.
    pub spoke_again_at: Option<Time>,
    /// The group's views.
    pub views: Views,
    /// The other members' servers.
    pub peers: Peers,
    /// The hosts on the segment.
    pub neighbors: Neighbors,
    /// The local server's process.
    pub process: Signs,
    /// The operator's word: every VIP is to be given up, and none is taken any more.
    pub giving_up: bool,
    /// The operator's pause.
    #[serde(default)]
    pub pause: Pause,
    /// What is known about serving readers.
    #[serde(default, skip_serializing_if = "Readers::is_empty")]
    pub readers: Readers,
}

impl Facts {
    /// An agent that has just started and knows nothing.
    pub fn new(now: Time) -> Self {
        Self {
            host: not_asked(Time(0)),
            server: not_asked(Time(0)),
            gateway: not_asked(Time(0)),
            own_gateways: BTreeMap::new(),
            server_unknown_since: Some(now),
            started_anew: false,
            spoke_at: None,
            spoke_again_at: None,
            views: Views::default(),
            peers: Peers::default(),
            neighbors: Neighbors::default(),
            process: Signs::default(),
            giving_up: false,
            pause: Pause::default(),
            readers: Readers::default(),
        }
    }

    /// Takes nothing for known any more; answers to questions put before `now` count no more either.
    pub(crate) fn forget(&mut self, now: Time) {
        self.host = not_asked(now);
        self.server = not_asked(now);
        self.forget_gateways(now);
        self.server_unknown_since = Some(now);
        self.neighbors.forget_questions();
        self.readers.forget();
    }

    /// The same, as if this host's addresses, the server or the gateway had not been asked since then.
    pub(crate) fn without(&self, since: Time, host: bool, server: bool, gateway: bool) -> Self {
        let mut facts = self.clone();
        if host {
            facts.host = not_asked(since);
        }
        if server {
            facts.server = not_asked(since);
            facts.server_unknown_since = Some(since);
        }
        if gateway {
            facts.forget_gateways(since);
        }
        facts
    }

    fn forget_gateways(&mut self, since: Time) {
        self.gateway = not_asked(since);
        self.own_gateways.values_mut().for_each(|own| *own = not_asked(since));
    }

    /// Takes in what was seen.
    pub(crate) fn take_in(&mut self, policy: &Policy, event: &Event, now: Time) -> Vec<News> {
        match event {
            Event::Host(seen) => return self.take_in_host(seen),
            Event::Server(seen) => self.take_in_server(&policy.group, seen, now),
            Event::Peer { member, seen } => {
                self.views.take_in_peer(seen);
                self.peers.take_in(*member, seen);
            }
            Event::Gateway(seen) => {
                let lost = take_in_gateway(&mut self.gateway, seen);
                return lost.then_some(News::GatewayLost(VipGateway::TheClusters)).into_iter().collect();
            }
            Event::OwnGateway(gateway, seen) => {
                let known = self.own_gateways.entry(*gateway).or_insert_with(|| not_asked(Time(0)));
                let lost = take_in_gateway(known, seen);
                return lost.then_some(News::GatewayLost(VipGateway::Own(*gateway))).into_iter().collect();
            }
            Event::ReceiveUp(vip, up) => self.take_in_receive_up(policy, *vip, *up, now),
            Event::Frame(vip, Frame { from, says: Says::Member(member) }) => {
                self.take_in_word(policy, *vip, *member, *from, now);
            }
            Event::Frame(vip, frame) if policy.is_for_readers(*vip) => {
                let member = self.neighbors.member_of(frame.from);
                if member.is_some_and(|member| self.readers.take_in_frame(*vip, member, frame.says, now)) {
                    return vec![News::HeardAgain];
                }
            }
            Event::Backlog(seen) => self.readers.take_in_backlog(seen),
            Event::Listens(seen) => self.readers.take_in_listens(seen),
            Event::Neighbor { address, mac } => {
                if policy.group.members.contains_key(address) {
                    self.neighbors.take_in(*address, *mac, now);
                }
            }
            Event::MemberPort { member, seen } => self.peers.take_in_port(*member, seen),
            Event::Process(sign) => return self.process.take_in(*sign, now),
            Event::Release => self.giving_up = true,
            Event::Undrain => self.giving_up = false,
            Event::Done {
                action: Action::Vip(vip, VipAction::RenewAddress { interface, .. }),
                outcome: Outcome::Gone,
            } => {
                if let Some(address) = policy.address_of(*vip) {
                    self.take_in_gone(address, interface, now);
                }
                return vec![News::AddressGone];
            }
            // The operator's pause is taken in by `step`, which says what it changes.
            Event::Pause { .. }
            | Event::Resume
            | Event::Frame(..)
            | Event::StatFile(_)
            | Event::ExpelTimeout(_)
            | Event::ExpelTimeoutLeft(_)
            | Event::Fenced { .. }
            | Event::Done { .. }
            | Event::ClocksParted { .. }
            | Event::Stopping
            | Event::Wake => {}
        }
        Vec::new()
    }

    /// What is not heard where only VIPs are says nothing of the members' own interface.
    fn take_in_receive_up(&mut self, policy: &Policy, vip: VipId, up: bool, now: Time) {
        if policy.interface_elsewhere(vip).is_none() {
            self.neighbors.receive_changes(vip, up);
        }
        if policy.is_for_readers(vip) {
            self.readers.receive_changes(up, now);
            self.neighbors.ask_anew();
        }
    }

    /// A host said on the interface of this VIP which member it is.
    fn take_in_word(&mut self, policy: &Policy, vip: VipId, member: IpAddr, from: Mac, now: Time) {
        if let Some(elsewhere) = policy.interface_elsewhere(vip)
            && policy.group.members.contains_key(&member)
        {
            self.neighbors.take_in_word(elsewhere, member, from, now);
        }
    }

    /// Notes what was asked for just now.
    pub(crate) fn note_asked(&mut self, policy: &Policy, peers: &[IpAddr], neighbors: bool, now: Time) {
        for member in peers {
            self.peers.is_being_asked(*member, now);
        }
        if neighbors {
            self.neighbors.learnt_at = Some(now);
            if policy.group.expels_silent_hosts() || policy.reader_vips().next().is_some() {
                self.neighbors.note_question(now);
            }
        }
    }

    fn take_in_host(&mut self, seen: &Seen<Host>) -> Vec<News> {
        if seen.asked_at < self.host.asked_at {
            return Vec::new();
        }
        let mut news = Vec::new();
        if let (Fact::Known(before), Fact::Known(after)) = (&self.host.fact, &seen.fact) {
            let up = after.interfaces.iter().filter(|known| known.running && !runs(before, &known.name));
            news.extend(up.map(|known| News::InterfaceUp(known.name.clone())));
        }
        if self.host.fact != seen.fact {
            news.push(News::HostChanged);
        }
        self.host = seen.clone();
        news
    }

    /// The kernel found no VIP to renew on this interface: somebody else has removed it.
    fn take_in_gone(&mut self, vip: IpAddr, interface: &str, now: Time) {
        if let Fact::Known(host) = &mut self.host.fact {
            host.addresses.retain(|there| there.address != vip || there.interface != interface);
            self.host.asked_at = now;
        }
    }

    fn take_in_server(&mut self, policy: &GroupPolicy, seen: &Seen<Server>, now: Time) {
        let late = seen.asked_at < self.server.asked_at;
        self.views.take_in_own(seen, late);
        if late {
            return;
        }
        // Silence and the refusals of a server that lives have patiences of their own: each counts from its own start.
        let lives = |fact: &Fact<Server>| matches!(fact, Fact::Unknown(why) if why.server_lives());
        let same_kind = lives(&seen.fact) == lives(&self.server.fact);
        self.server_unknown_since = match &seen.fact {
            Fact::Known(_) => None,
            Fact::Unknown(_) => {
                Some(self.server_unknown_since.filter(|_| same_kind).unwrap_or(seen.asked_at))
            }
        };
        if let Fact::Known(Server::Member(view)) = &seen.fact {
            let silence = SILENCE.max(policy.poll_interval * 3);
            if self.spoke_at.is_some_and(|at| now.since(at) > silence) {
                self.spoke_again_at = Some(now);
            }
            self.spoke_at = Some(now);
            self.peers.follow(view);
        }
        if let Fact::Known(server) = &seen.fact {
            self.started_anew = matches!(server, Server::Refused(_));
        }
        self.server = seen.clone();
    }

    /// The group as the local server showed it last, if it did.
    pub fn own_view(&self) -> Option<&GroupView> {
        match &self.server.fact {
            Fact::Known(Server::Member(view)) => Some(view),
            _ => None,
        }
    }

    /// The member that owns this hardware address, another than this host, on whichever interface: for words. What a rule makes of a
    /// frame depends on where it was heard (`VipMoment::member_of`).
    pub fn member_of(&self, mac: Mac) -> Option<IpAddr> {
        let elsewhere = || {
            let mut all = self.neighbors.introduced.keys();
            all.find_map(|interface| self.neighbors.introduced_as(*interface, mac))
        };
        self.neighbors.member_of(mac).or_else(elsewhere)
    }

    /// What a member's server said to a question put at `since` or later.
    pub fn peer_since(&self, member: IpAddr, since: Time) -> Option<&Fact<Server>> {
        self.peers.said_since(member, since)
    }
}

/// Gives whether it was lost just now, or is again.
fn take_in_gateway(known: &mut Seen<Gateway>, seen: &Seen<Gateway>) -> bool {
    if seen.asked_at < known.asked_at {
        return false;
    }
    let is_lost = |fact: &Fact<Gateway>| matches!(fact, Fact::Known(Gateway::Lost { .. }));
    let (was_lost, lost) = (is_lost(&known.fact), is_lost(&seen.fact));
    if was_lost && lost {
        // The count grows with each probe; as a reason it is one and the same.
        known.asked_at = seen.asked_at;
        return false;
    }
    *known = seen.clone();
    lost
}

fn runs(host: &Host, interface: &str) -> bool {
    host.interfaces.iter().any(|known| known.name == interface && known.running)
}

fn not_asked<T>(at: Time) -> Seen<T> {
    Seen { asked_at: at, fact: Fact::Unknown(Why::NotAskedYet) }
}
