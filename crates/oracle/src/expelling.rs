//! RESTORED, of one agent: the group's patience (`group_replication_member_expel_timeout`) is taken only from members that are
//! proven dead, woken no sooner than the operator's patience is over, and given back.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use crate::inputs::{
    Action, Event, Fact, GroupPolicy, GroupView, Member, MemberPort, MemberState, Outcome, Seen, Server,
    Time, VipId,
};
use crate::invariant::{Breach, Invariant};

/// Refusals in a row that prove a death.
const PROVING_REFUSALS: u32 = 2;
/// The timeout is changed for no longer than this, while the agent looks at the time.
const CHANGED_AT_MOST: Duration = Duration::from_secs(10);

/// A host that is to count as silent has not answered for this long: what is promised (docs/faults.md) is that a cable may be away for
/// 3 s. The rules wait for longer, since they may count an answer to another question than it was given to.
const SILENT_FOR: Duration = Duration::from_secs(3);
/// … though it was asked so often, each time so long after the one that counts before it.
const QUESTIONS_UNANSWERED: usize = 3;
const QUESTIONS_APART: Duration = Duration::from_millis(500);
/// The others are heard, if they answered no longer ago than this.
const HEARD_FOR: Duration = Duration::from_secs(2);
/// What was before a longer time without such a question says nothing of the host: the one that asks may have been cut off itself.
const GAP_AT_MOST: Duration = Duration::from_secs(3);
/// Older questions are forgotten.
const QUESTIONS_KEPT_FOR: Duration = Duration::from_secs(20);

/// The operator's value is changed here, or may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Changed {
    original: u32,
    since: Time,
    asked_back: bool,
}

/// What one agent knows of dead members, and what it changed on their account.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Expelling {
    /// Whose server is at which address.
    addresses: BTreeMap<String, IpAddr>,
    /// Who is UNREACHABLE, by its own server's last answer of the group, and since when.
    suspects: BTreeMap<String, Time>,
    /// When its own server was asked whose answer was told last.
    asked: Time,
    /// When its own server was asked that last said ONLINE, with a majority.
    stands_since: Option<Time>,
    refusals: BTreeMap<IpAddr, u32>,
    /// Members whose server last said that it is in no group.
    outside: BTreeSet<IpAddr>,
    fencing: BTreeSet<IpAddr>,
    fenced: BTreeSet<IpAddr>,
    timeout: Option<u32>,
    changed: Option<Changed>,
    /// What was heard on the segment; kept only where silent hosts are expelled.
    silence: Silence,
}

impl Expelling {
    /// The operator's value is changed, nothing justifies it any more, and it was not asked back.
    fn owes(&self, policy: &GroupPolicy, event: &Event, now: Time) -> Option<Breach> {
        let changed = self.changed.filter(|changed| !changed.asked_back)?;
        let breach = |words: &str| Some(Breach::new(Invariant::Restored, words));
        if *event == Event::Stopping {
            return breach("stops, and does not put the expel timeout back");
        }
        if now.since(changed.since) >= CHANGED_AT_MOST {
            return breach("has kept the expel timeout at 0 for too long");
        }
        match self.living(policy, now) {
            Some(_) => breach("keeps the expel timeout at 0, and nobody dead justifies it any more"),
            None => None,
        }
    }

    /// Whether the expel timeout is changed, and nothing has shown that it is back.
    pub fn is_changed(&self) -> bool {
        self.changed.is_some()
    }

    /// An answer that was left out, since it would have told nothing new, would have been this young.
    pub(crate) fn aged(&mut self, asked_at: Time) {
        self.asked = self.asked.max(asked_at);
        self.stands_since = self.stands_since.map(|asked| asked.max(asked_at));
    }

    /// Reads one step into the book, what the agent was told and what it ordered, and judges it.
    pub fn step(
        &mut self,
        policy: &GroupPolicy,
        event: &Event,
        actions: &[Action],
        now: Time,
    ) -> Option<Breach> {
        self.told(event, now);
        if policy.expels_silent_hosts() {
            self.silence.told(event, now);
        }
        let breach = self.judge(policy, actions, now);
        self.ordered(actions, now);
        if policy.expels_silent_hosts() && actions.contains(&Action::LearnNeighbors) {
            self.silence.asked(now);
        }
        breach.or_else(|| self.owes(policy, event, now))
    }

    fn told(&mut self, event: &Event, now: Time) {
        match event {
            Event::Server(seen) => self.told_of_server(seen),
            Event::Peer { member, seen } => {
                if let Fact::Known(server) = &seen.fact {
                    self.outside.remove(member);
                    if is_outside(server) {
                        self.outside.insert(*member);
                    }
                }
            }
            Event::MemberPort { member, seen } => match &seen.fact {
                Fact::Known(MemberPort::Refuses) => *self.refusals.entry(*member).or_default() += 1,
                Fact::Known(MemberPort::Answers(id)) => {
                    self.refusals.remove(member);
                    if let Some(id) = id {
                        self.addresses.insert(id.clone(), *member);
                    }
                }
                Fact::Unknown(_) => drop(self.refusals.remove(member)),
            },
            Event::ExpelTimeout(seen) if self.changed.is_none() => {
                self.timeout = match seen.fact {
                    Fact::Known(seconds) => Some(seconds),
                    Fact::Unknown(_) => None,
                };
            }
            // What an earlier run left changed is to be put back at once, whoever is dead.
            Event::ExpelTimeoutLeft(original) => {
                self.changed = Some(Changed { original: *original, since: now, asked_back: false });
            }
            Event::Fenced { member, outcome } => {
                let asked_for = self.fencing.remove(member);
                self.fenced.extend(Some(*member).filter(|_| asked_for && *outcome == Outcome::Succeeded));
            }
            Event::Done { action: Action::RestoreExpelTimeout { .. }, outcome: Outcome::Succeeded } => {
                self.changed = self.changed.filter(|changed| !changed.asked_back);
            }
            _ => {}
        }
    }

    fn told_of_server(&mut self, seen: &Seen<Server>) {
        // An answer that came late says nothing any more.
        if seen.asked_at < self.asked {
            return;
        }
        self.asked = seen.asked_at;
        self.stands_since = None;
        let Fact::Known(server) = &seen.fact else { return };
        let Server::Member(view) = server else {
            self.suspects.clear();
            return self.forget_the_reachable();
        };
        let unreachable = |member: &&Member| member.state == MemberState::Unreachable;
        let suspects: Vec<&Member> = view.members.iter().filter(unreachable).collect();
        self.suspects.retain(|id, _| suspects.iter().any(|member| member.id == *id));
        self.forget_the_reachable();
        for member in suspects {
            self.suspects.entry(member.id.clone()).or_insert(seen.asked_at);
        }
        self.stands_since = stands(view).then_some(seen.asked_at);
    }

    /// What was proven of a member counts as long as it is UNREACHABLE.
    fn forget_the_reachable(&mut self) {
        let Self { suspects, addresses, refusals, fencing, fenced, .. } = self;
        let suspected = |member: &IpAddr| suspects.keys().any(|id| addresses.get(id) == Some(member));
        refusals.retain(|member, _| suspected(member));
        fencing.retain(|member| suspected(member));
        fenced.retain(|member| suspected(member));
    }

    fn ordered(&mut self, actions: &[Action], now: Time) {
        for action in actions {
            match action {
                Action::SetExpelTimeout { original } => {
                    self.changed = Some(Changed { original: *original, since: now, asked_back: false });
                }
                Action::RestoreExpelTimeout { .. } => {
                    if let Some(changed) = &mut self.changed {
                        changed.asked_back = true;
                    }
                }
                Action::Fence { member, .. } => drop(self.fencing.insert(*member)),
                _ => {}
            }
        }
    }

    fn judge(&self, policy: &GroupPolicy, actions: &[Action], now: Time) -> Option<Breach> {
        actions.iter().find_map(|action| {
            let wrong = match action {
                Action::SetExpelTimeout { original } => self.set_wrongly(policy, *original, now),
                Action::RestoreExpelTimeout { value } => match self.changed {
                    None => Some("puts an expel timeout back that it has not changed".to_owned()),
                    Some(changed) if changed.original != *value => Some(format!(
                        "puts {value} s back, and the operator's value is {} s",
                        changed.original
                    )),
                    Some(_) => None,
                },
                Action::WakeExpel => self.wakes_too_soon(policy, now),
                Action::Fence { .. } if !policy.fence => {
                    Some("runs a fence command that there is not".to_owned())
                }
                _ => None,
            };
            wrong.map(|words| Breach::new(Invariant::Restored, words))
        })
    }

    fn set_wrongly(&self, policy: &GroupPolicy, original: u32, now: Time) -> Option<String> {
        if self.changed.is_some_and(|changed| !changed.asked_back) {
            return Some("changes the expel timeout twice".to_owned());
        }
        if original == 0 || Some(original) != self.timeout {
            return Some(format!(
                "takes {original} s for the operator's expel timeout, which is {:?}",
                self.timeout
            ));
        }
        self.living(policy, now).map(|living| format!("sets the expel timeout to 0, and {living}"))
    }

    /// Why nobody may be expelled at once.
    fn living(&self, policy: &GroupPolicy, now: Time) -> Option<String> {
        if self.stands_since.is_none_or(|asked| now.since(asked) > policy.evidence_age) {
            return Some("its own server is not known to be ONLINE in the majority".to_owned());
        }
        if self.suspects.is_empty() {
            return Some("nobody is UNREACHABLE".to_owned());
        }
        let is_silent = |id: &String| policy.expels_silent_hosts() && self.is_silent(id, now);
        let living = self.suspects.keys().find(|id| !self.is_dead(id) && !is_silent(id))?;
        Some(format!("{living} is not proven dead"))
    }

    /// Silent in the group and on the segment, and others are heard on both.
    fn is_silent(&self, id: &str, now: Time) -> bool {
        let Some((address, since)) = self.addresses.get(id).zip(self.suspects.get(id)) else { return false };
        let Some(newest) = self.suspects.values().max() else { return false };
        let heard = |id: &String| {
            self.addresses.get(id).is_some_and(|address| self.silence.heard_since(*address, *newest, now))
        };
        let others = self.silence.online.iter().filter(|id| heard(id)).count();
        self.silence.of(*address, *since, now) && 2 * (1 + others) > self.silence.members
    }

    fn is_dead(&self, id: &str) -> bool {
        self.addresses.get(id).is_some_and(|member| {
            self.refusals.get(member).is_some_and(|count| *count >= PROVING_REFUSALS)
                || self.outside.contains(member)
                || self.fenced.contains(member)
        })
    }

    fn wakes_too_soon(&self, policy: &GroupPolicy, now: Time) -> Option<String> {
        let stands = self.stands_since.is_some_and(|asked| now.since(asked) <= policy.evidence_age);
        let patience = Duration::from_secs(self.timeout.unwrap_or(u32::MAX).into());
        let over = self.suspects.values().any(|since| now.since(*since) >= patience);
        (!stands || self.suspects.is_empty() || !(over || self.changed.is_some()))
            .then(|| "wakes the group before the operator's patience is over".to_owned())
    }
}

/// What the segment says of the members' hosts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Silence {
    /// When each answered last for its own address.
    heard: BTreeMap<IpAddr, Time>,
    /// When each server's port answered or refused last.
    port_spoke: BTreeMap<IpAddr, Time>,
    /// When the members were asked for their addresses, and who has answered since.
    questions: Vec<(Time, BTreeSet<IpAddr>)>,
    last_question: Option<Time>,
    /// The other members that are ONLINE by the last answer, and how many there are, this one too.
    online: BTreeSet<String>,
    members: usize,
}

impl Silence {
    fn told(&mut self, event: &Event, now: Time) {
        match event {
            Event::Neighbor { address, .. } => {
                self.heard.insert(*address, now);
                if let Some((_, answered)) = self.questions.last_mut() {
                    answered.insert(*address);
                }
            }
            // The first VIP is on the members' interface, where they are asked. What is not heard on another's says nothing of them.
            Event::ReceiveUp(VipId::FIRST, _) => self.questions.clear(),
            Event::MemberPort { member, seen: Seen { fact: Fact::Known(_), asked_at } } => {
                self.port_spoke.insert(*member, *asked_at);
            }
            Event::Server(Seen { fact: Fact::Known(Server::Member(view)), .. }) => {
                let others = view.members.iter().filter(|member| member.id != view.local);
                let online = others.filter(|member| member.state == MemberState::Online);
                self.online = online.map(|member| member.id.clone()).collect();
                self.members = view.members.len();
            }
            _ => {}
        }
    }

    fn asked(&mut self, now: Time) {
        self.last_question = Some(now);
        if self.questions.last().is_none_or(|(last, _)| *last != now) {
            self.questions.push((now, BTreeSet::new()));
        }
        self.questions.retain(|(asked, _)| now.since(*asked) <= QUESTIONS_KEPT_FOR);
    }

    fn heard_since(&self, address: IpAddr, since: Time, now: Time) -> bool {
        self.heard.get(&address).is_some_and(|heard| *heard >= since && now.since(*heard) <= HEARD_FOR)
    }

    /// It answered once, and nothing since, nor did its port, though asked for longer than a cable's blip, others answering, and once
    /// more since it is UNREACHABLE.
    fn of(&self, address: IpAddr, unreachable_since: Time, now: Time) -> bool {
        let Some(heard) = self.heard.get(&address) else { return false };
        let spoke = self.port_spoke.get(&address).unwrap_or(heard).max(heard);
        let counts = |(asked, answered): &&(Time, BTreeSet<IpAddr>)| {
            asked > spoke && 2 * (1 + answered.len()) > self.members
        };
        let unanswered: Vec<_> = self.questions.iter().filter(counts).map(|(asked, _)| asked).collect();
        let gap = unanswered.windows(2).rposition(|two| two[1].since(*two[0]) > GAP_AT_MOST);
        let unanswered = &unanswered[gap.map_or(0, |gap| gap + 1)..];
        put_apart(unanswered) >= QUESTIONS_UNANSWERED
            && unanswered.last().is_some_and(|last| now.since(**last) <= GAP_AT_MOST)
            && unanswered.first().is_some_and(|first| now.since(**first) >= SILENT_FOR)
            && self.last_question.is_some_and(|asked| asked >= unreachable_since && asked > *heard)
    }
}

/// How many of these questions count: of a burst all answers may be lost together.
fn put_apart(questions: &[&Time]) -> usize {
    let mut last: Option<Time> = None;
    let mut counts = |asked: Time| {
        let apart = last.is_none_or(|last| asked.since(last) >= QUESTIONS_APART);
        last = if apart { Some(asked) } else { last };
        apart
    };
    questions.iter().filter(|asked| counts(***asked)).count()
}

fn stands(view: &GroupView) -> bool {
    view.local_member().is_some_and(|local| local.state == MemberState::Online) && view.has_majority()
}

fn is_outside(server: &Server) -> bool {
    match server {
        Server::NotInGroup(_) => true,
        Server::Member(view) => view.local_member().is_some_and(|local| local.state == MemberState::Offline),
        Server::Refused(_) => false,
    }
}
