//! The survivors' side of a death: when the group may be told to expel an UNREACHABLE member sooner than its thread
//! looks by itself (each 15 s), and when the patience that was taken from it is given back (RESTORED).
//!
//! Two ways. *Wake*: the configured patience is over, so the thread is woken; nothing is changed. *Proven dead*: the
//! member's process is certainly gone (its port refuses, or its server was started again and is in no group), so there is nothing to be patient with; `group_replication_member_expel_timeout`
//! is 0 until the member is expelled, 10 s at most.

mod memory;

use core::mem;
use std::net::IpAddr;
use std::time::Duration;

pub use memory::{Changed, ExpelState, Fence, Open, PortProbe, StartedAgain, Suspect};

use crate::action::{Action, Outcome};
use crate::decide::Turn;
use crate::event::{Event, Fact, MemberState, Seen, Server, Why};
use crate::planted::planted;
use crate::reason::Reason;
use crate::stages::own_member;

/// The group is told again this often, and the configured value read again, while a member stays UNREACHABLE.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
/// A member is not waited for longer than this many tellings: the group can't expel it for reasons of its own.
const MOST_WAKES: u32 = 60;
/// The expel timeout stays changed no longer than this.
const CHANGED_AT_MOST: Duration = Duration::from_secs(10);
/// A look whose answer does not come is put again after this.
const LOOK_LOST_AFTER: Duration = Duration::from_secs(5);
/// When all is well: how often the configured value is read, so that missing procedures are noticed.
const READ_EVERY: Duration = Duration::from_mins(1);
/// … and how often while it can't be read: the procedures may just have been made.
const READ_UNKNOWN_EVERY: Duration = Duration::from_secs(5);
/// A member whose port was open is asked again after this: a firewall may have been put up meanwhile.
const OPEN_FOR: Duration = Duration::from_mins(10);
/// An UNREACHABLE member whose port answers is asked what it is no more often than this.
const PEER_AGAIN: Duration = Duration::from_millis(100);
/// A value that can't be restored because the server is silent is tried again after this.
const RESTORE_SILENT_AGAIN: Duration = Duration::from_secs(10);

impl Turn<'_> {
    /// The survivors' part of a step. It says nothing of the VIP and moves nothing of it.
    pub(crate) fn consider_expelling(&mut self, event: &Event) {
        let mut expel = mem::take(&mut self.state.expel);
        self.take_in_expel(&mut expel, event);
        if *event != Event::Stopping && self.policy.elects() && self.survives() {
            self.read_expel_timeout(&mut expel);
            self.meet_members(&mut expel);
            self.look_at_suspects(&mut expel);
            self.expel_the_dead(&mut expel);
            self.wake_on_time(&mut expel);
        } else if let Some(changed) = &mut expel.changed {
            changed.restoring = true;
        }
        self.put_back(&mut expel);
        self.state.expel = expel;
    }

    /// ONLINE in a group with one primary, by a fresh answer, and in the majority.
    pub(crate) fn survives(&self) -> bool {
        let fresh = self.now.since(self.state.server.asked_at) <= self.policy.evidence_age;
        fresh
            && self.state.own_view().is_some_and(|view| {
                view.has_majority()
                    && view.local_member().is_some_and(|local| local.state == MemberState::Online)
            })
    }

    fn take_in_expel(&mut self, expel: &mut ExpelState, event: &Event) {
        match event {
            // An answer that was overtaken by a later one changes nothing.
            Event::Server(seen) if seen.asked_at == self.state.server.asked_at => match &seen.fact {
                Fact::Known(Server::Member(view)) => expel.follow(view, seen.asked_at),
                Fact::Known(Server::NotInGroup(_) | Server::Refused(_)) => expel.suspects.clear(),
                Fact::Unknown(_) => {}
            },
            Event::MemberPort { member, seen } => expel.take_in_port(*member, seen, self.now),
            Event::Peer { member, seen } => expel.take_in_peer(*member, seen),
            Event::ExpelTimeout(seen) if expel.changed.is_none() => {
                self.take_in_timeout(expel, seen);
            }
            Event::ExpelTimeoutLeft(original) => {
                expel.changed = Some(Changed {
                    original: *original,
                    since: self.now,
                    woken_at: self.now,
                    restoring: true,
                    asked_at: None,
                });
            }
            Event::Fenced { member, outcome } => self.take_in_fence(expel, *member, outcome),
            Event::Done { action: Action::SetExpelTimeout { .. }, outcome: Outcome::Failed(_) } => {
                // Whether it was set is not known where the answer was lost.
                expel.give_up();
                if let Some(changed) = &mut expel.changed {
                    changed.restoring = true;
                }
            }
            Event::Done { action: Action::RestoreExpelTimeout { .. }, outcome: Outcome::Succeeded }
                if expel.changed.is_some_and(|changed| changed.restoring) =>
            {
                expel.changed = None;
            }
            _ => {}
        }
    }

    fn take_in_timeout(&mut self, expel: &mut ExpelState, seen: &Seen<u32>) {
        let before = expel.timeout.as_ref().map(|known| &known.fact);
        if before != Some(&seen.fact) {
            match &seen.fact {
                Fact::Known(seconds) => self.say_aside(Reason::SoonerExpel(*seconds)),
                // A server that can't be asked at present is no news here: stage 2 tells.
                Fact::Unknown(why @ (Why::NotAllowed(_) | Why::Other(_))) => {
                    self.say_aside(Reason::NoSoonerExpel(why.clone()));
                }
                Fact::Unknown(_) => {}
            }
        }
        expel.timeout = Some(seen.clone());
    }

    fn take_in_fence(&mut self, expel: &mut ExpelState, member: IpAddr, outcome: &Outcome) {
        let (fence, words) = match outcome {
            Outcome::Succeeded => (Fence::Dead, None),
            Outcome::Failed(text) => (Fence::Failed, Some(text.clone())),
            // No fence ends so: what is not a proof is none.
            Outcome::Gone => (Fence::Failed, None),
        };
        self.say_aside(Reason::Fenced(member, words));
        for (id, suspect) in &mut expel.suspects {
            let its_own = expel.open.get(id).is_some_and(|open| open.address == member);
            if its_own && suspect.fence == Fence::Running {
                suspect.fence = fence;
            }
        }
    }

    /// Each minute, sooner while it is not known; each second while the value matters, so that the operator's latest word is followed.
    fn read_expel_timeout(&mut self, expel: &mut ExpelState) {
        if expel.changed.is_some() {
            return;
        }
        let known = matches!(&expel.timeout, Some(Seen { fact: Fact::Known(_), .. }));
        let every = match (expel.suspects.is_empty(), known) {
            (false, _) => AGAIN_AFTER,
            (true, true) => READ_EVERY,
            (true, false) => READ_UNKNOWN_EVERY,
        };
        let due = match (expel.read_asked, expel.oldest()) {
            (None, _) => self.now,
            (Some(asked), Some(since)) if asked < since => self.now,
            (Some(asked), _) => asked + every,
        };
        if self.now < due {
            if !expel.suspects.is_empty() {
                self.wake(due);
            }
            return;
        }
        expel.read_asked = Some(self.now);
        self.act(Action::ReadExpelTimeout);
    }

    /// Finds out at which address each member's server answers, as soon as it is in the group, and again once in a while.
    /// Without that a refusal proves nothing: the port may never have been open to this host.
    fn meet_members(&mut self, expel: &mut ExpelState) {
        if !self.proof_is_of_use(expel) {
            return;
        }
        let (now, policy) = (self.now, self.policy);
        let stale = |open: Option<&Open>| open.is_none_or(|open| now.since(open.at) >= OPEN_FOR);
        let unmet = self.state.own_view().is_some_and(|view| {
            view.members.iter().any(|member| member.id != view.local && stale(expel.open.get(&member.id)))
        });
        if !unmet {
            expel.port_probes.clear();
            return;
        }
        let own = match &self.state.host.fact {
            Fact::Known(host) => own_member(policy, host).map(|(address, _)| address),
            Fact::Unknown(_) => None,
        };
        for address in policy.members.keys().filter(|address| Some(**address) != own) {
            let known = expel.open.iter().find(|(_, open)| open.address == *address);
            // A suspect is looked at anyway.
            let suspected = known.is_some_and(|(id, _)| expel.suspects.contains_key(id));
            if suspected || !stale(known.map(|(_, open)| open)) {
                continue;
            }
            let meeting = expel.port_probes.entry(*address).or_insert_with(|| PortProbe::new(now));
            let mut due = meeting.looking.map_or(meeting.next_look, |asked| asked + LOOK_LOST_AFTER);
            if now >= due {
                meeting.looking = Some(now);
                due = now + LOOK_LOST_AFTER;
                self.act(Action::LookAtMember(*address));
            }
            self.wake(due);
        }
    }

    /// There are procedures, and a choice of the operator's, that make a proof useful.
    fn proof_is_of_use(&self, expel: &ExpelState) -> bool {
        let usable = matches!(&expel.timeout, Some(Seen { fact: Fact::Known(_), .. }));
        (self.policy.proven_dead || self.policy.fence) && usable
    }

    fn look_at_suspects(&mut self, expel: &mut ExpelState) {
        // The value itself is being read anew meanwhile.
        if !self.proof_is_of_use(expel) {
            return;
        }
        for (id, suspect) in &mut expel.suspects {
            let Some(open) = expel.open.get(id) else { continue };
            if suspect.given_up || suspect.is_proven_dead(self.policy) {
                continue;
            }
            if self.policy.proven_dead && suspect.started_again == StartedAgain::ToBeAsked {
                suspect.started_again = StartedAgain::NotKnown;
                self.ask_peer_unless_asked_since(open.address, suspect.since.max(self.now - PEER_AGAIN));
            }
            let due = suspect.looking.map_or(suspect.next_look, |asked| asked + LOOK_LOST_AFTER);
            if self.now >= due {
                suspect.looking = Some(self.now);
                self.act(Action::LookAtMember(open.address));
                self.wake(self.now + LOOK_LOST_AFTER);
            } else {
                self.wake(due);
            }
            // A host that answers or refuses needs no fence.
            let silent = suspect.is_silent(self.state.server.asked_at);
            if self.policy.fence && suspect.primary && suspect.fence == Fence::NotRun && silent {
                suspect.fence = Fence::Running;
                self.say_aside(Reason::Fencing(suspect.name.clone()));
                self.act(Action::Fence { member: open.address, name: suspect.name.clone() });
            }
        }
    }

    fn expel_the_dead(&mut self, expel: &mut ExpelState) {
        if expel.changed.is_some() || !expel.all_dead(self.policy) {
            return;
        }
        // With 0 configured there is nothing to change: it is woken as soon as it is UNREACHABLE.
        let Some(original) = expel.configured().filter(|seconds| *seconds > 0) else { return };
        let names = expel.suspects.values().map(|suspect| suspect.name.clone()).collect();
        self.say_aside(Reason::ProvenDead(names));
        self.act(Action::SetExpelTimeout { original });
        expel.changed =
            Some(Changed { original, since: self.now, woken_at: self.now, restoring: false, asked_at: None });
    }

    fn wake_on_time(&mut self, expel: &mut ExpelState) {
        if !self.policy.wake_expel || expel.changed.is_some() {
            return;
        }
        let Some(timeout) = expel.configured() else { return };
        let mut wake = false;
        for suspect in expel.suspects.values_mut() {
            if suspect.wakes >= MOST_WAKES {
                continue;
            }
            let over = suspect.since + Duration::from_secs(timeout.into());
            let due = suspect.woken_at.map_or(over, |at| over.max(at + AGAIN_AFTER));
            if self.now < due {
                self.wake(due);
                continue;
            }
            if suspect.wakes == 0 {
                self.say_aside(Reason::WokeExpel { member: suspect.name.clone(), timeout });
            }
            wake = true;
            suspect.woken_at = Some(self.now);
            suspect.wakes += 1;
            self.wake(self.now + AGAIN_AFTER);
        }
        if wake {
            self.act(Action::WakeExpel);
        }
    }

    /// Gives the group its patience back as soon as nobody dead is left to be expelled, or the dead are not alone, or it
    /// took too long.
    fn put_back(&mut self, expel: &mut ExpelState) {
        let Some(mut changed) = expel.changed else { return };
        let over = changed.since + CHANGED_AT_MOST;
        if !changed.restoring && expel.all_dead(self.policy) && self.now < over {
            if self.now.since(changed.woken_at) >= AGAIN_AFTER {
                changed.woken_at = self.now;
                self.act(Action::WakeExpel);
            }
            self.wake(over.min(changed.woken_at + AGAIN_AFTER));
            // Where no answer comes, the last one ages.
            self.wake(self.state.server.asked_at + self.policy.evidence_age + Duration::from_micros(1));
            expel.changed = Some(changed);
            return;
        }
        changed.restoring = true;
        expel.give_up();
        if planted!(self.policy, ForgetRestore) {
            expel.changed = None;
            return;
        }
        let answers =
            matches!(&self.state.server.fact, Fact::Known(Server::Member(_) | Server::NotInGroup(_)));
        let again = if answers { AGAIN_AFTER } else { RESTORE_SILENT_AGAIN };
        let due = changed.asked_at.map_or(self.now, |at| at + again);
        if self.now >= due {
            if changed.asked_at.is_none() {
                self.say_aside(Reason::RestoringExpelTimeout(changed.original));
            }
            changed.asked_at = Some(self.now);
            self.act(Action::RestoreExpelTimeout { value: changed.original });
            self.wake(self.now + again);
        } else {
            self.wake(due);
        }
        expel.changed = Some(changed);
    }
}
