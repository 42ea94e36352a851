//! One row for each switch of a VIP, made of what goes into one agent's rules and what comes out of them: a fold beside the rules, which
//! read nothing of it. What one host can't know is none, and is never guessed.
//!
//! The caller shows it each step ([`History::decided`]) and how each order about an address went ([`History::done`]), and takes the
//! rows that have come of it ([`History::take_rows`]). A VIP that came gives a row once it is announced and nobody has answered for it
//! since; one that left, once the kernel has removed it.

mod afterwards;
mod leader;
mod letting_go;
mod marks;
mod row;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::net::IpAddr;
use std::time::Duration;

pub use afterwards::PortThen;
pub use row::{Code, Kind, MOST_MARKS, Mark, Party, Row, Split};

use crate::checks::own_member;
use crate::input::{Event, Fact, Gateway, GroupView, ProcessSign, Server};
use crate::net::VipId;
use crate::output::{Action, LetGo, Outcome, Reason, Vacant, VipAction};
use crate::policy::Policy;
use crate::step::{Decision, State};
use crate::time::Time;
use crate::vip::VipState;

use leader::{Leader, Reign, primary_of};
use letting_go::claimant;
use marks::Marks;

/// What was seen so long before a switch of which nothing was noticed sooner is told with it.
const TOLD_BEFORE: Duration = Duration::from_secs(30);
/// A server that says for no longer than this that it is in no group has not left it: while a new view is put in place its tables may be
/// empty for a moment, and nothing leaves a group and comes into it again so quickly.
const BRIEFLY_OUTSIDE: Duration = Duration::from_millis(250);
/// No more members than these are remembered by name.
const MOST_NAMES: usize = 64;

/// What is remembered so that a switch can be told.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// `MEMBER_HOST` by `server_uuid`, of those that have left too.
    names: BTreeMap<String, String>,
    /// Addresses as in `members`, by `server_uuid`.
    addresses: BTreeMap<String, IpAddr>,
    /// This host, as it was known last.
    own: Party,
    /// Another that leads.
    leader: Option<Leader>,
    /// This host's server leads.
    reign: Option<Reign>,
    /// Since when this host's server says that it is in no group.
    outside_since: Option<Time>,
    /// It was, and has come into one since; nobody was seen to lead that yet.
    was_outside: bool,
    /// The operator let this host take VIPs again.
    undrained_at: Option<Time>,
    /// The last word of the local server and the gateway, as far as it is worth a mark.
    server: Option<&'static str>,
    gateway_lost: bool,
    own_gateways_lost: BTreeSet<IpAddr>,
    marks: Marks,
    vips: BTreeMap<VipId, Track>,
    rows: Vec<Row>,
}

/// One VIP.
#[derive(Clone, Debug, Default)]
struct Track {
    /// It is coming.
    coming: Option<Coming>,
    /// It was ordered away, and is not gone yet.
    leaving: Option<Row>,
    /// It came to this host then: what was before that is another switch's.
    came_at: Option<Time>,
    /// It left this host, then and for this reason.
    gone: Option<(Time, Code)>,
}

/// The VIP was ordered to be started here.
#[derive(Clone, Debug)]
struct Coming {
    decided: Time,
    because: Vacant,
    added_at: Option<Time>,
    announced_at: Option<Time>,
}

impl Track {
    /// From when on what was seen has to do with the VIP's leaving.
    fn told_since(&self, decided: Time) -> Time {
        self.came_at.map_or(decided - TOLD_BEFORE, |came| came.max(decided - TOLD_BEFORE))
    }
}

impl History {
    /// The rows that have come of it since the last call.
    pub fn take_rows(&mut self) -> Vec<Row> {
        mem::take(&mut self.rows)
    }

    /// A step was made; `state`: what the rules remember after it. To be called before its orders are carried out.
    pub fn decided(&mut self, policy: &Policy, state: &State, event: &Event, decision: &Decision, now: Time) {
        self.take_in(policy, state, event, now);
        for said in &decision.reasons {
            match said.vip {
                Some(vip) => self.said_of_vip(policy, state, vip, &said.reason, now),
                None => self.said(&said.reason, now),
            }
        }
        self.finish_arrivals(policy, state, *event == Event::Stopping);
    }

    /// How an order about an address went, or that the VIP was announced.
    pub fn done(&mut self, action: &Action, outcome: &Outcome, now: Time) {
        let Action::Vip(vip, action) = action else { return };
        let track = self.vips.entry(*vip).or_default();
        let failed = matches!(outcome, Outcome::Failed(_));
        match action {
            VipAction::AddAddress { .. } if failed => track.coming = None,
            VipAction::AddAddress { .. } => {
                if let Some(coming) = &mut track.coming {
                    coming.added_at.get_or_insert(now);
                    self.marks.add(now, "the VIP was added here");
                }
            }
            VipAction::Announce => {
                if let Some(coming) = track.coming.as_mut().filter(|coming| coming.added_at.is_some()) {
                    coming.announced_at.get_or_insert(now);
                }
            }
            VipAction::RemoveAddress { .. } if !failed => {
                if let Some(mut row) = track.leaving.take() {
                    track.gone = Some((now, row.code));
                    row.at = now;
                    self.marks.add(now, "the VIP was removed here");
                    row.marks = self.marks.since(track.told_since(row.decided));
                    self.rows.push(row);
                }
            }
            _ => {}
        }
    }

    fn take_in(&mut self, policy: &Policy, state: &State, event: &Event, now: Time) {
        match event {
            Event::Server(seen) if seen.asked_at == state.facts.server.asked_at => {
                self.server_says(policy, &seen.fact, now);
            }
            Event::Host(seen) => {
                if let Fact::Known(host) = &seen.fact {
                    self.own.address = own_member(&policy.group, host).map(|(address, _)| address);
                }
            }
            Event::Peer { member, seen } => {
                if let Fact::Known(Server::Member(view)) = &seen.fact {
                    self.remember_address(&view.local, *member);
                }
            }
            Event::MemberPort { .. } => {
                for (id, open) in &state.facts.peers.open {
                    self.remember_address(id, open.address);
                }
            }
            Event::Gateway(seen) => {
                let lost = matches!(seen.fact, Fact::Known(Gateway::Lost { .. }));
                if lost != mem::replace(&mut self.gateway_lost, lost) {
                    let what = if lost { "the gateway does not answer" } else { "the gateway answers again" };
                    self.marks.add(now, what);
                }
            }
            Event::OwnGateway(gateway, seen) => {
                let lost = matches!(seen.fact, Fact::Known(Gateway::Lost { .. }));
                let before = self.own_gateways_lost.contains(gateway);
                if lost != before {
                    let words = if lost {
                        self.own_gateways_lost.insert(*gateway);
                        "a VIP's own gateway does not answer"
                    } else {
                        self.own_gateways_lost.remove(gateway);
                        "a VIP's own gateway answers again"
                    };
                    self.marks.add(now, words);
                }
            }
            Event::Process(ProcessSign::Ended) => self.marks.add(now, "the local mysqld's process ended"),
            Event::Release => self.marks.add(now, "the agent was told to give the VIP up"),
            Event::Undrain => {
                self.undrained_at = Some(now);
                self.marks.add(now, "the agent may take the VIP again");
            }
            _ => {}
        }
        self.look_at_leader(state, now);
    }

    fn server_says(&mut self, policy: &Policy, fact: &Fact<Server>, now: Time) {
        let word = match fact {
            Fact::Known(Server::Member(_)) => "the local server shows its group",
            Fact::Known(Server::NotInGroup(_)) => "the local server is in no group",
            Fact::Known(Server::Refused(_)) => "the local server refuses connections",
            Fact::Unknown(why) if why.server_lives() => "the local server turns the agent away",
            Fact::Unknown(_) => "the local server does not answer",
        };
        if self.server.replace(word).is_some_and(|before| before != word) {
            self.marks.add(now, word);
        }
        match fact {
            Fact::Known(Server::Member(view)) => {
                if self.outside_since.take().is_some_and(|since| now.since(since) > BRIEFLY_OUTSIDE) {
                    self.forget_leader();
                }
                self.follow_view(policy, view, now);
            }
            Fact::Known(Server::NotInGroup(_)) => drop(self.outside_since.get_or_insert(now)),
            Fact::Known(Server::Refused(_)) => self.forget_leader(),
            Fact::Unknown(_) => {}
        }
    }

    /// This host's server was out of the group: what it comes into may be another.
    fn forget_leader(&mut self) {
        (self.leader, self.reign, self.was_outside) = (None, None, true);
    }

    fn follow_view(&mut self, policy: &Policy, view: &GroupView, now: Time) {
        for member in &view.members {
            if self.names.get(&member.id) != Some(&member.host) && self.names.len() < MOST_NAMES {
                self.names.insert(member.id.clone(), member.host.clone());
                if let Some(address) =
                    member.host.parse().ok().filter(|own| policy.group.members.contains_key(own))
                {
                    self.remember_address(&member.id, address);
                }
            }
        }
        let Some(primary) = primary_of(view) else { return };
        if primary != view.local {
            self.reign = None;
            if self.leader.as_ref().is_none_or(|leader| leader.id != primary) {
                if self.leader.is_some() {
                    let name = self.name_of(primary);
                    self.marks.add(now, format!("{name} is the primary"));
                }
                self.leader = Some(Leader::new(primary));
            }
            if let Some(leader) = &mut self.leader
                && let Some(news) = leader.follow(view, now)
            {
                let name = self.name_of(primary);
                self.marks.add(now, format!("{name} {news}"));
            }
            self.was_outside = false;
        } else if view.is_primary() {
            self.lead(view, now);
        }
        if let Some(own) = view.local_member()
            && self.own.name.as_ref() != Some(&own.host)
        {
            self.own.name = Some(own.host.clone());
        }
    }

    /// This host's server is the primary.
    fn lead(&mut self, view: &GroupView, now: Time) {
        if self.reign.is_none() {
            let before = self.leader.take();
            let (code, detail) = match &before {
                Some(leader) => leader.end(view),
                None if self.was_outside => (Code::GroupStarted, None),
                None => (Code::AgentStarted, None),
            };
            let first = before.as_ref().map(|leader| self.name_of(&leader.id));
            if let Some(name) = first.filter(|_| code != Code::Switchover) {
                self.marks.add(now, format!("{name} is out of the group's lead"));
            }
            self.marks.add(now, "this host's server is the primary");
            self.reign = Some(Reign { since: now, writable_at: None, code, detail, before });
            self.was_outside = false;
        }
        if let Some(reign) = &mut self.reign
            && reign.writable_at.is_none()
            && !view.super_read_only
        {
            reign.writable_at = Some(now);
            self.marks.add(now, "this host's server takes writes");
        }
    }

    fn look_at_leader(&mut self, state: &State, now: Time) {
        let Some(leader) = self.leader.as_mut().filter(|leader| leader.unreachable_at.is_some()) else {
            return;
        };
        if let Some(news) = leader.look(&state.expel) {
            let id = leader.id.clone();
            let name = self.name_of(&id);
            self.marks.add(now, format!("{name} {news}"));
        }
    }

    fn said(&mut self, reason: &Reason, now: Time) {
        if matches!(
            reason,
            Reason::ProvenDead(_)
                | Reason::WokeExpel { .. }
                | Reason::Fencing(_)
                | Reason::Fenced(..)
                | Reason::ClocksParted { .. }
        ) {
            self.marks.add(now, reason.to_string());
        }
    }

    fn said_of_vip(&mut self, policy: &Policy, state: &State, vip: VipId, reason: &Reason, now: Time) {
        match reason {
            Reason::Started { because, .. } => {
                self.marks.add(now, format!("decided to take the VIP: {because}"));
                let coming =
                    Coming { decided: now, because: because.clone(), added_at: None, announced_at: None };
                self.vips.entry(vip).or_default().coming = Some(coming);
            }
            Reason::Stopped { because, .. } => {
                self.marks.add(now, format!("decided to give the VIP up: {because}"));
                let row = self.leaving(policy, state, vip, because, now);
                let track = self.vips.entry(vip).or_default();
                if matches!(because, LetGo::Answered(_)) {
                    // It was never this host's.
                    track.coming = None;
                }
                track.leaving = Some(row);
            }
            Reason::RemovedByOther(_) => self.lost(vip, Code::RemovedByHand, reason, now),
            Reason::LeaseOver(_) => self.lost(vip, Code::LeaseEnded, reason, now),
            Reason::Taken(..)
            | Reason::TakenByStranger(_)
            | Reason::Rival(_)
            | Reason::Disputed(_)
            | Reason::ReceiveDown
            | Reason::Failed(_)
            | Reason::Claiming
            | Reason::Rechecking(..)
            | Reason::WaitingForClaim(..)
            | Reason::Lingering(..)
            | Reason::HoldingUnknown(..) => self.marks.add(now, reason.to_string()),
            _ => {}
        }
    }

    /// The VIP is gone from here, and this agent has not removed it.
    fn lost(&mut self, vip: VipId, code: Code, reason: &Reason, now: Time) {
        self.marks.add(now, reason.to_string());
        let track = self.vips.entry(vip).or_default();
        let row = Row {
            vip,
            kind: Kind::Left,
            code,
            at: now,
            decided: now,
            from: Some(self.own.clone()),
            to: None,
            detail: None,
            split: Split::default(),
            marks: self.marks.since(track.told_since(now)),
        };
        // One that it never was seen to have is no loss.
        if track.coming.take_if(|coming| coming.announced_at.is_none()).is_none() {
            track.gone = Some((now, code));
            self.rows.push(row);
        }
    }

    fn leaving(&self, policy: &Policy, state: &State, vip: VipId, because: &LetGo, now: Time) -> Row {
        let text = because.to_string();
        // Whom it was given up to is told beside it.
        let yielded = claimant(because).map(|member| format!("yielded to member {member}: "));
        let detail =
            yielded.and_then(|yielded| text.strip_prefix(&yielded).map(str::to_owned)).unwrap_or(text);
        Row {
            vip,
            kind: Kind::Left,
            code: Code::of_letting_go(because, &state.facts),
            at: now,
            decided: now,
            from: Some(self.own.clone()),
            to: claimant(because).map(|member| self.party_at(policy, member)),
            detail: Some(detail),
            split: Split::default(),
            marks: Vec::new(),
        }
    }

    /// VIPs that are announced, and that nobody has answered for since, have come.
    fn finish_arrivals(&mut self, policy: &Policy, state: &State, at_the_end: bool) {
        for id in policy.vips.keys() {
            let asks_still = match state.vips.get(id).map(|machine| &machine.state) {
                Some(VipState::Holding(hold)) => hold.post_claim_check.is_some(),
                _ => false,
            };
            let announced =
                |coming: &mut Coming| coming.announced_at.is_some() && (at_the_end || !asks_still);
            let coming = self.vips.get_mut(id).and_then(|track| track.coming.take_if(announced));
            if let Some(coming) = coming {
                let row = self.arrived(policy, state, *id, &coming);
                // What it had left for before is over.
                if let Some(track) = self.vips.get_mut(id) {
                    track.gone = track.gone.filter(|(at, _)| *at > row.decided);
                    track.came_at = Some(row.at);
                }
                // One that is on its way out already came before it left.
                self.rows.push(row);
            }
        }
    }

    fn arrived(&self, policy: &Policy, state: &State, vip: VipId, coming: &Coming) -> Row {
        let at = coming.announced_at.unwrap_or(coming.decided);
        let added_at = coming.added_at.unwrap_or(at);
        // Who leads has nothing to do with where readers are served.
        let for_readers = policy.is_for_readers(vip);
        let reign = self.reign.as_ref().filter(|_| !for_readers);
        let gone = self.vips.get(&vip).and_then(|track| track.gone).filter(|(at, _)| *at <= coming.decided);
        // The newest of what may have led to it.
        let led_at = reign.map(|reign| reign.since);
        let undrained = self.undrained_at.filter(|at| Some(*at) > led_at && *at <= coming.decided);
        let gone = gone.filter(|(at, _)| Some(*at) >= led_at);
        let (code, detail, noticed_at, elected, ready_at) = match (undrained, gone, reign) {
            (Some(at), _, _) => (Code::Drained, None, Some(at), None, Some(at)),
            (None, Some((at, code)), _) => (code, None, Some(at), None, Some(at)),
            (None, None, Some(reign)) => {
                (reign.code, reign.detail.clone(), reign.noticed_at(), reign.elected(), reign.writable_at)
            }
            (None, None, None) if for_readers => (Code::Placed, None, None, None, None),
            (None, None, None) => (Code::NotKnown, None, None, None, None),
        };
        let (code, detail) = match &coming.because {
            Vacant::Overruled(..) => (Code::Overruled, Some(coming.because.to_string())),
            _ => (code, detail),
        };
        let from = match &coming.because {
            Vacant::Overruled(_, member) => Some(self.party_at(policy, *member)),
            Vacant::Released(mac) => state.facts.member_of(*mac).map(|member| self.party_at(policy, member)),
            Vacant::Unanswered(_) if gone.is_some() => Some(self.own.clone()),
            Vacant::Unanswered(_) => None,
        };
        let before = reign.and_then(|reign| reign.before.as_ref()).filter(|_| code.is_election());
        let from = from.or_else(|| before.map(|leader| self.party_of(&leader.id)));
        let told_since = noticed_at.map_or(coming.decided - TOLD_BEFORE, |at| at - Duration::from_secs(1));
        Row {
            vip,
            kind: Kind::Came,
            code,
            at,
            decided: coming.decided,
            from,
            to: Some(self.own.clone()),
            detail,
            split: Split {
                noticed_at,
                elected,
                claimed: ready_at.map(|ready| added_at.since(ready)),
                announced: Some(at.since(added_at)),
            },
            marks: self.marks.since(told_since),
        }
    }

    fn remember_address(&mut self, id: &str, address: IpAddr) {
        if self.addresses.get(id) != Some(&address) && self.addresses.len() < MOST_NAMES {
            self.addresses.insert(id.to_owned(), address);
        }
    }

    fn name_of(&self, id: &str) -> String {
        self.names.get(id).cloned().unwrap_or_else(|| id.to_owned())
    }

    fn party_of(&self, id: &str) -> Party {
        Party { name: self.names.get(id).cloned(), address: self.addresses.get(id).copied() }
    }

    fn party_at(&self, policy: &Policy, address: IpAddr) -> Party {
        if self.own.address == Some(address) {
            return self.own.clone();
        }
        let id = self.addresses.iter().find(|(_, known)| **known == address).map(|(id, _)| id);
        let address = Some(address).filter(|address| policy.group.members.contains_key(address));
        Party { name: id.and_then(|id| self.names.get(id).cloned()), address }
    }
}
