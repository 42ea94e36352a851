//! The steps of a trace as a story: what was seen, what was concluded, what was done. What happens again and again is told once.

use std::collections::BTreeMap;
use std::net::IpAddr;

use decide::State;
use decide::fitness::Fitness;
use decide::input::{
    Event, Fact, Frame, Gateway, GroupView, MemberPort, MemberState, ProcessSign, Says, Server,
};
use decide::net::{Mac, VipId};
use decide::output::{Action, Reason, VipAction};
use decide::policy::Policy;
use decide::time::Time;

use super::stretch::{Played, Stretch};
use crate::config::format_duration;

/// One line of a story.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) at: Time,
    pub(super) what: Part,
    pub(super) words: String,
    /// How often in a row.
    pub(super) times: usize,
}

/// What kind of line it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Saw,
    Concluded,
    Did,
}

impl Part {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Saw => "saw",
            Self::Concluded => "concluded",
            Self::Did => "did",
        }
    }
}

/// The story of one VIP in a stretch.
pub(super) fn of_vip(stretch: &Stretch, vip: VipId) -> Vec<Told> {
    let mut teller = Teller {
        vip,
        policy: &stretch.policy,
        told: Vec::new(),
        server: None,
        standing: None,
        gateway: None,
        own_gateways: BTreeMap::new(),
        words: BTreeMap::new(),
    };
    // What was known before the first step is no news.
    teller.server = Some(server_in_words(&stretch.state.facts.server.fact));
    stretch.play(|played, state| teller.take_in(played, state));
    teller.told
}

struct Teller<'p> {
    vip: VipId,
    policy: &'p Policy,
    told: Vec<Told>,
    /// What was last told of each.
    server: Option<String>,
    standing: Option<String>,
    gateway: Option<bool>,
    own_gateways: BTreeMap<IpAddr, bool>,
    /// How fit each host said it is to serve readers, by its MAC; none: this one.
    words: BTreeMap<Option<Mac>, Fitness>,
}

impl Teller<'_> {
    fn is_for_readers(&self) -> bool {
        self.policy.is_for_readers(self.vip)
    }

    fn tell(&mut self, at: Time, what: Part, words: String) {
        match self.told.iter_mut().rev().take(3).find(|told| told.what == what && told.words == words) {
            Some(again) => again.times += 1,
            None => self.told.push(Told { at, what, words, times: 1 }),
        }
    }

    fn take_in(&mut self, played: &Played<'_>, state: &State) {
        self.saw(played, state);
        for said in &played.decision.reasons {
            if said.vip == Some(self.vip) {
                self.said(played.now, &said.reason);
            } else if said.vip.is_none() {
                self.tell(played.now, Part::Concluded, said.reason.to_string());
            }
        }
        for action in &played.decision.actions {
            if let Action::Vip(_, VipAction::SayFitness(own)) = action
                && self.is_for_readers()
                && self.words.insert(None, *own) != Some(*own)
            {
                let words = format!("told the others of this host, about serving readers: {own}");
                self.tell(played.now, Part::Did, words);
            }
            if let Some(words) = self.done(action, state) {
                self.tell(played.now, Part::Did, words);
            }
        }
    }

    fn said(&mut self, at: Time, reason: &Reason) {
        let words = reason.to_string();
        if self.standing.as_ref() != Some(&words) {
            self.standing = Some(words.clone());
            self.tell(at, Part::Concluded, words);
        }
    }

    fn saw(&mut self, played: &Played<'_>, state: &State) {
        let words = match played.event {
            Event::Server(seen) => {
                let words = server_in_words(&seen.fact);
                if self.server.replace(words.clone()).is_some_and(|before| before == words) {
                    return;
                }
                format!("this server: {words}")
            }
            Event::Peer { member, seen } => format!("{member}'s server: {}", server_in_words(&seen.fact)),
            Event::Gateway(seen) => {
                let lost = matches!(seen.fact, Fact::Known(Gateway::Lost { .. }));
                if self.gateway.replace(lost).unwrap_or_default() == lost {
                    return;
                }
                (if lost { "the gateway does not answer" } else { "the gateway answers again" }).to_owned()
            }
            Event::OwnGateway(own, seen) => {
                let lost = matches!(seen.fact, Fact::Known(Gateway::Lost { .. }));
                if self.own_gateways.insert(*own, lost).unwrap_or_default() == lost {
                    return;
                }
                format!("the gateway {own} {}", if lost { "does not answer" } else { "answers again" })
            }
            Event::Frame(_, Frame { from, says: Says::Fitness(fitness) }) => {
                if !self.is_for_readers() || self.words.insert(Some(*from), *fitness) == Some(*fitness) {
                    return;
                }
                format!("{} says of its host, about serving readers: {fitness}", host(*from, state))
            }
            Event::Frame(vip, frame) if *vip == self.vip => {
                let from = host(frame.from, state);
                match frame.says {
                    Says::Probe => format!("{from} asks for the VIP: a claim"),
                    Says::Release { .. } => {
                        format!("{from} says that the VIP is free, and this host's to take")
                    }
                    Says::ReleaseToOthers => format!("{from} says that the VIP is free"),
                    Says::Reply => format!("{from} answers that it has the VIP"),
                    Says::Announcement => format!("{from} announces that it has the VIP"),
                    Says::Fitness(_) | Says::Member(_) => return,
                }
            }
            Event::MemberPort { member, seen } => match &seen.fact {
                Fact::Known(MemberPort::Refuses) => format!("{member} refuses at its MySQL port"),
                Fact::Known(MemberPort::Answers(_)) => format!("{member} answers at its MySQL port"),
                Fact::Unknown(_) => format!("{member} is silent at its MySQL port"),
            },
            Event::Process(ProcessSign::Ended) => "the local mysqld's process has ended".to_owned(),
            Event::Process(ProcessSign::MayStart) => "the local mysqld may be starting".to_owned(),
            Event::Release => "the operator's word to give the VIP up".to_owned(),
            Event::Undrain => "the operator's word that the VIP may be taken again".to_owned(),
            Event::Stopping => "the word to end the agent".to_owned(),
            _ => return,
        };
        self.tell(played.now, Part::Saw, words);
    }

    fn done(&self, action: &Action, state: &State) -> Option<String> {
        let Action::Vip(vip, action) = action else { return done_for_the_group(action) };
        if *vip != self.vip {
            return None;
        }
        let lifetime = |lifetime: &Option<std::time::Duration>| {
            lifetime.map_or_else(
                || "without a lease".to_owned(),
                |lease| format!("with a lease of {}", format_duration(lease)),
            )
        };
        let address = self.policy.address_of(*vip).map_or_else(String::new, |address| format!(" {address}"));
        Some(match action {
            VipAction::SendProbe => "asked the network whether anybody has the VIP".to_owned(),
            VipAction::AddAddress { interface, lifetime: lease } => {
                format!("added{address} to {interface} {}", lifetime(lease))
            }
            VipAction::RemoveAddress { interface } => format!("removed{address} from {interface}"),
            VipAction::AnnounceRelease(Some(to)) => format!("told {} that it is free", host(*to, state)),
            VipAction::AnnounceRelease(None) => "told the network that it is free".to_owned(),
            VipAction::Announce => "announced to the network that the VIP is here".to_owned(),
            VipAction::TickleClients => "had the clients' old connections reset".to_owned(),
            VipAction::DestroyConnections => "closed this host's ends of the old connections".to_owned(),
            VipAction::ForwardLatePackets(to) => format!("sent late packets on to {}", host(*to, state)),
            VipAction::RefuseOrphanSyns => {
                "refused the connection attempts that the old holder left unanswered".to_owned()
            }
            VipAction::RenewAddress { lifetime: None, .. } => "left the address without a lease".to_owned(),
            VipAction::RenewAddress { .. }
            | VipAction::AskWhoHasVip
            | VipAction::SayFitness(_)
            | VipAction::SayMember { .. }
            | VipAction::ListConnections
            | VipAction::KeepLatePackets { .. }
            | VipAction::WatchOrphanSyns { .. }
            | VipAction::EndOrphanSyns => return None,
        })
    }
}

fn done_for_the_group(action: &Action) -> Option<String> {
    Some(match action {
        Action::AskPeer(member) => format!("asked {member}'s server what it is"),
        Action::LookAtMember(member) => format!("looked at {member}'s MySQL port"),
        Action::WakeExpel => "told the group to look at its silent members now".to_owned(),
        Action::SetExpelTimeout { .. } => "told the group to expel its dead members at once".to_owned(),
        Action::RestoreExpelTimeout { value } => {
            format!("put group_replication_member_expel_timeout back to {value}")
        }
        Action::Fence { name, .. } => format!("ran the fence command for {name}"),
        _ => return None,
    })
}

/// The member with this hardware address, or the address.
fn host(mac: Mac, state: &State) -> String {
    let member: Option<IpAddr> = state.facts.member_of(mac);
    member.map_or_else(|| mac.to_string(), |member| member.to_string())
}

/// What a server says of itself and its group.
pub(super) fn server_in_words(fact: &Fact<Server>) -> String {
    match fact {
        Fact::Unknown(why) => why.to_string(),
        Fact::Known(Server::Refused(text)) => format!("it is not running: {text}"),
        Fact::Known(Server::NotInGroup(why)) => why.to_string(),
        Fact::Known(Server::Member(view)) => group_in_words(view),
    }
}

fn group_in_words(view: &GroupView) -> String {
    let state =
        view.local_member().map_or_else(|| "not among the members".to_owned(), |own| own.state.to_string());
    let role = if view.is_primary() { "the primary" } else { "a secondary" };
    let writes = if view.super_read_only { "read-only" } else { "takes writes" };
    let mut words = format!("{state}, {role}, {writes}; {} members", view.members.len());
    if let Some(number) = &view.view {
        words += &format!(", view {number}");
    }
    for member in view.members.iter().filter(|member| member.state != MemberState::Online) {
        words += &format!(", {} {}", member.host, member.state);
    }
    words
}
