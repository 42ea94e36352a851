//! The survivors' side of a death: when the group may be told to expel an UNREACHABLE member sooner than its thread
//! looks by itself (each 15 s), and when the patience that was taken from it is given back (RESTORED).
//!
//! Three ways. *Wake*: the configured patience is over, so the thread is woken; nothing is changed. *Proven dead*: the
//! member's process is certainly gone (its port refuses, or its server was started again and is in no group), so there is nothing to be patient with; `group_replication_member_expel_timeout`
//! is 0 until the member is expelled, 10 s at most. *Silent host* (`silence.rs`), where the operator wants it: the host is silent on the
//! segment too, and serves nobody; the same is done.

mod silence;
mod suspects;

use std::net::IpAddr;
use std::time::Duration;

pub use suspects::{Changed, ExpelState, Fence, PortProbe, StartedAgain, Suspect};

use crate::facts::Open;
use crate::input::{Event, Fact, Seen, Server, Why};
use crate::moment::Moment;
use crate::output::{Action, Outcome, Output, Reason};
use crate::planted::planted;
use crate::timers::Timer;

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

impl ExpelState {
    /// Moves on. It says nothing of a VIP and moves nothing of it.
    pub(crate) fn poll(&mut self, event: &Event, at: Moment<'_>, out: &mut Output) {
        self.take_in(event, at, out);
        if *event != Event::Stopping && at.group.elects() && at.survives() {
            self.read_timeout(at, out);
            self.meet_members(at, out);
            self.listen_to_hosts(at, out);
            if !at.is_paused() || planted!(at.group, ExpelWhilePaused) {
                self.look_at_suspects(at, out);
                self.expel_the_dead(at, out);
                self.wake_on_time(at, out);
            } else if let Some(changed) = &mut self.changed {
                // The operator's word: the group keeps its own patience.
                changed.restoring = true;
            }
        } else if let Some(changed) = &mut self.changed {
            changed.restoring = true;
        }
        self.put_back(at, out);
    }

    fn take_in(&mut self, event: &Event, at: Moment<'_>, out: &mut Output) {
        match event {
            // An answer that was overtaken by a later one changes nothing.
            Event::Server(seen) if seen.asked_at == at.facts.server.asked_at => match &seen.fact {
                Fact::Known(Server::Member(view)) => self.follow(view, seen.asked_at),
                Fact::Known(Server::NotInGroup(_) | Server::Refused(_)) => self.suspects.clear(),
                Fact::Unknown(_) => {}
            },
            Event::MemberPort { member, seen } => self.take_in_port(*member, seen, at),
            Event::Peer { member, seen } => self.take_in_peer(*member, seen, &at.facts.peers),
            Event::ExpelTimeout(seen) if self.changed.is_none() => {
                self.take_in_timeout(seen, out);
            }
            Event::ExpelTimeoutLeft(original) => {
                self.changed = Some(Changed {
                    original: *original,
                    since: at.now,
                    woken_at: at.now,
                    restoring: true,
                    asked_at: None,
                });
            }
            Event::Fenced { member, outcome } => self.take_in_fence(*member, outcome, at, out),
            Event::Done { action: Action::SetExpelTimeout { .. }, outcome: Outcome::Failed(_) } => {
                // Whether it was set is not known where the answer was lost.
                self.give_up();
                if let Some(changed) = &mut self.changed {
                    changed.restoring = true;
                }
            }
            Event::Done { action: Action::RestoreExpelTimeout { .. }, outcome: Outcome::Succeeded }
                if self.changed.is_some_and(|changed| changed.restoring) =>
            {
                self.changed = None;
            }
            _ => {}
        }
    }

    fn take_in_timeout(&mut self, seen: &Seen<u32>, out: &mut Output) {
        let before = self.timeout.as_ref().map(|known| &known.fact);
        if before != Some(&seen.fact) {
            match &seen.fact {
                Fact::Known(seconds) => out.say_aside(Reason::SoonerExpel(*seconds)),
                // A server that can't be asked at present is no news here: stage 2 tells.
                Fact::Unknown(why @ (Why::NotAllowed(_) | Why::ServerError(_) | Why::Other(_))) => {
                    out.say_aside(Reason::NoSoonerExpel(why.clone()));
                }
                Fact::Unknown(_) => {}
            }
        }
        self.timeout = Some(seen.clone());
    }

    fn take_in_fence(&mut self, member: IpAddr, outcome: &Outcome, at: Moment<'_>, out: &mut Output) {
        let (fence, words) = match outcome {
            Outcome::Succeeded => (Fence::Dead, None),
            Outcome::Failed(text) => (Fence::Failed, Some(text.clone())),
            // No fence ends so: what is not a proof is none.
            Outcome::Gone => (Fence::Failed, None),
        };
        out.say_aside(Reason::Fenced(member, words));
        for (id, suspect) in &mut self.suspects {
            let its_own = at.facts.peers.open.get(id).is_some_and(|open| open.address == member);
            if its_own && suspect.fence == Fence::Running {
                suspect.fence = fence;
            }
        }
    }

    /// Each minute, sooner while it is not known; each second while the value matters, so that the operator's latest word is followed.
    fn read_timeout(&mut self, at: Moment<'_>, out: &mut Output) {
        if self.changed.is_some() {
            return;
        }
        let known = matches!(&self.timeout, Some(Seen { fact: Fact::Known(_), .. }));
        let every = match (self.suspects.is_empty(), known) {
            (false, _) => AGAIN_AFTER,
            (true, true) => READ_EVERY,
            (true, false) => READ_UNKNOWN_EVERY,
        };
        let due = match (self.read_asked, self.oldest()) {
            (None, _) => at.now,
            (Some(asked), Some(since)) if asked < since => at.now,
            (Some(asked), _) => asked + every,
        };
        if at.now < due {
            if !self.suspects.is_empty() {
                out.wake(Timer::ReadExpelTimeout, due);
            }
            return;
        }
        self.read_asked = Some(at.now);
        out.act(Action::ReadExpelTimeout);
    }

    /// Finds out at which address each member's server answers, as soon as it is in the group, and again once in a while.
    /// Without that a refusal proves nothing: the port may never have been open to this host.
    fn meet_members(&mut self, at: Moment<'_>, out: &mut Output) {
        if !self.proof_is_of_use(at) {
            return;
        }
        let (now, policy) = (at.now, at.group);
        let stale = |open: Option<&Open>| open.is_none_or(|open| now.since(open.at) >= OPEN_FOR);
        let unmet = at.facts.own_view().is_some_and(|view| {
            view.members
                .iter()
                .any(|member| member.id != view.local && stale(at.facts.peers.open.get(&member.id)))
        });
        if !unmet {
            self.port_probes.clear();
            return;
        }
        let own = at.own_address();
        for address in policy.members.keys().filter(|address| Some(**address) != own) {
            let known = at.facts.peers.open.iter().find(|(_, open)| open.address == *address);
            // A suspect is looked at anyway.
            let suspected = known.is_some_and(|(id, _)| self.suspects.contains_key(id));
            if suspected || !stale(known.map(|(_, open)| open)) {
                continue;
            }
            let meeting = self.port_probes.entry(*address).or_insert_with(|| PortProbe::new(now));
            let mut due = meeting.looking.map_or(meeting.next_look, |asked| asked + LOOK_LOST_AFTER);
            if now >= due {
                meeting.looking = Some(now);
                due = now + LOOK_LOST_AFTER;
                out.act(Action::LookAtMember(*address));
            }
            out.wake(Timer::MeetMember, due);
        }
    }

    /// There are procedures, and a choice of the operator's, that make a proof useful.
    fn proof_is_of_use(&self, at: Moment<'_>) -> bool {
        let usable = matches!(&self.timeout, Some(Seen { fact: Fact::Known(_), .. }));
        (at.group.proven_dead || at.group.fence || at.group.expels_silent_hosts()) && usable
    }

    fn look_at_suspects(&mut self, at: Moment<'_>, out: &mut Output) {
        // The value itself is being read anew meanwhile.
        if !self.proof_is_of_use(at) {
            return;
        }
        for (id, suspect) in &mut self.suspects {
            let Some(open) = at.facts.peers.open.get(id) else { continue };
            if suspect.given_up || suspect.is_proven_dead(at.group) {
                continue;
            }
            if at.group.proven_dead && suspect.started_again == StartedAgain::ToBeAsked {
                suspect.started_again = StartedAgain::NotKnown;
                at.ask_peer_unless_asked_since(out, open.address, suspect.since.max(at.now - PEER_AGAIN));
            }
            let due = suspect.looking.map_or(suspect.next_look, |asked| asked + LOOK_LOST_AFTER);
            if at.now >= due {
                suspect.looking = Some(at.now);
                out.act(Action::LookAtMember(open.address));
                out.wake(Timer::LookAtSuspect, at.now + LOOK_LOST_AFTER);
            } else {
                out.wake(Timer::LookAtSuspect, due);
            }
            // A host that answers or refuses needs no fence.
            let silent = suspect.is_silent(at.facts.server.asked_at);
            if at.group.fence && suspect.primary && suspect.fence == Fence::NotRun && silent {
                suspect.fence = Fence::Running;
                out.say_aside(Reason::Fencing(suspect.name.clone()));
                out.act(Action::Fence { member: open.address, name: suspect.name.clone() });
            }
        }
    }

    /// There is somebody to expel, and everybody whom 0 would expel is dead, or silent everywhere: one that is only cut off keeps the
    /// patience that the operator gave it.
    fn all_are_to_go(&self, at: Moment<'_>) -> bool {
        let is_to_go = |(id, suspect): (&String, &Suspect)| {
            !suspect.given_up
                && (suspect.is_proven_dead(at.group) || self.is_silent_everywhere(at, id, suspect))
        };
        !self.suspects.is_empty() && self.suspects.iter().all(is_to_go)
    }

    fn expel_the_dead(&mut self, at: Moment<'_>, out: &mut Output) {
        if self.changed.is_some() || !self.all_are_to_go(at) {
            return;
        }
        // With 0 configured there is nothing to change: it is woken as soon as it is UNREACHABLE.
        let Some(original) = self.configured().filter(|seconds| *seconds > 0) else { return };
        let is_dead = |suspect: &&Suspect| suspect.is_proven_dead(at.group);
        let (dead, silent): (Vec<_>, Vec<_>) = self.suspects.values().partition(is_dead);
        for (suspects, reason) in
            [(dead, Reason::ProvenDead as fn(Vec<String>) -> Reason), (silent, Reason::SilentHosts)]
        {
            if !suspects.is_empty() {
                out.say_aside(reason(suspects.iter().map(|suspect| suspect.name.clone()).collect()));
            }
        }
        out.act(Action::SetExpelTimeout { original });
        self.changed =
            Some(Changed { original, since: at.now, woken_at: at.now, restoring: false, asked_at: None });
    }

    fn wake_on_time(&mut self, at: Moment<'_>, out: &mut Output) {
        if !at.group.wake_expel || self.changed.is_some() {
            return;
        }
        let Some(timeout) = self.configured() else { return };
        let mut wake = false;
        for suspect in self.suspects.values_mut() {
            if suspect.wakes >= MOST_WAKES {
                continue;
            }
            let over = suspect.since + Duration::from_secs(timeout.into());
            let due = suspect.woken_at.map_or(over, |at| over.max(at + AGAIN_AFTER));
            if at.now < due {
                out.wake(Timer::WakeExpel, due);
                continue;
            }
            if suspect.wakes == 0 {
                out.say_aside(Reason::WokeExpel { member: suspect.name.clone(), timeout });
            }
            wake = true;
            suspect.woken_at = Some(at.now);
            suspect.wakes += 1;
            out.wake(Timer::WakeExpel, at.now + AGAIN_AFTER);
        }
        if wake {
            out.act(Action::WakeExpel);
        }
    }

    /// Gives the group its patience back as soon as nobody dead is left to be expelled, or the dead are not alone, or it
    /// took too long.
    fn put_back(&mut self, at: Moment<'_>, out: &mut Output) {
        let Some(mut changed) = self.changed else { return };
        let over = changed.since + CHANGED_AT_MOST;
        if !changed.restoring && self.all_are_to_go(at) && at.now < over {
            if at.now.since(changed.woken_at) >= AGAIN_AFTER {
                changed.woken_at = at.now;
                out.act(Action::WakeExpel);
            }
            out.wake(Timer::ExpelTimeoutChanged, over.min(changed.woken_at + AGAIN_AFTER));
            // Where no answer comes, the last one ages.
            out.wake(
                Timer::SurvivorsEvidence,
                at.facts.server.asked_at + at.group.evidence_age + Duration::from_micros(1),
            );
            self.changed = Some(changed);
            return;
        }
        changed.restoring = true;
        self.give_up();
        if planted!(at.group, ForgetRestore) {
            self.changed = None;
            return;
        }
        let answers = matches!(&at.facts.server.fact, Fact::Known(Server::Member(_) | Server::NotInGroup(_)));
        let again = if answers { AGAIN_AFTER } else { RESTORE_SILENT_AGAIN };
        let due = changed.asked_at.map_or(at.now, |at| at + again);
        if at.now >= due {
            if changed.asked_at.is_none() {
                out.say_aside(Reason::RestoringExpelTimeout(changed.original));
            }
            changed.asked_at = Some(at.now);
            out.act(Action::RestoreExpelTimeout { value: changed.original });
            out.wake(Timer::RestoreExpelTimeout, at.now + again);
        } else {
            out.wake(Timer::RestoreExpelTimeout, due);
        }
        self.changed = Some(changed);
    }
}
