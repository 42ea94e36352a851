//! The caller's contract as code: in which order what was seen is taken in, how late each deed may be carried out, and what
//! a failed deed undoes. No IO, no async, no clock: the agent and the simulator both run this, and have no such rules of
//! their own. The model checker, which explores every order of events by itself, runs [`Deeds`].
//!
//! The caller pushes what was seen ([`Driver::push`]) and calls [`Driver::next`], with the time read anew before each call,
//! until it is told to wait or that all is over:
//!
//! | [`Next`] | the caller |
//! |---|---|
//! | `Decided` | may look at [`Driver::state`] and [`Driver::decision`]; the deeds follow |
//! | `Deed` | carries it out, and says with [`Driver::done`] how that went |
//! | `Settled` | writes the log |
//! | `ReadUnread` | reads what its sources hold unread, and pushes it |
//! | `Wait` | waits for something to push, or for the time |
//! | `Ended` | calls no more |
//!
//! Order: a jump of the clocks; outcomes; frames, so that a claim heard in between is answered before anything is taken; the
//! server's last word, on which all else is decided; this host's addresses; all other events; the time. The word to stop is
//! taken once everything that was heard before it has been.

mod deeds;
mod inbox;

use std::collections::BTreeSet;
use std::time::Duration;

use crate::input::Event;
use crate::net::VipId;
use crate::output::group::{Action, Outcome};
use crate::output::vip::VipAction;
use crate::policy::Policy;
use crate::step::{Decision, State, step};
use crate::time::Time;

pub use deeds::{Deeds, Permit, RELEASE_WORD_WITHIN, RENEWAL_WITHIN, START_WITHIN};
use inbox::Inbox;

/// A caller that comes so much later than it was asked to was held up: what arrived meanwhile may be unread yet.
pub const HELD_UP: Duration = Duration::from_millis(5);
/// A VIP that was to be given up and is still here after this long is left as it is.
pub const GIVE_UP_WITHIN: Duration = Duration::from_secs(3);

/// How an agent is to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// The VIP stays as it is (S7).
    LeaveVip,
    /// The VIP is given up first.
    GiveUp,
}

/// What the caller is to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// This was taken in and decided on; the deeds follow.
    Decided(Box<Event>),
    /// To be carried out now.
    Deed(Action),
    /// The decision is carried out, up to a deed that failed.
    Settled(Box<Settled>),
    /// What the sources hold unread is to be pushed first; with `addresses`, this host's addresses, asked for now, too.
    ReadUnread {
        /// Whether the kernel is to be asked for this host's addresses.
        addresses: bool,
    },
    /// Nothing is to be done before this.
    Wait {
        /// When to call again, if nothing is pushed before.
        until: Time,
    },
    /// The agent has stopped.
    Ended,
}

/// One decision, carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// When it was made.
    pub at: Time,
    /// The decision.
    pub decision: Decision,
    /// VIPs that were to be started, and were not: no switch. Why is told by the next event.
    pub not_started: BTreeSet<VipId>,
}

/// How far the word to stop has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stopping {
    /// It was not given.
    No,
    /// It was given.
    Told(Stop),
    /// The caller reads what it has not read yet.
    Reading(Stop),
    /// So many events were heard before it, and are taken in first.
    After(usize, Stop),
    /// The VIP is being given up, until then.
    GivingUp(Time),
    /// The last decision is being carried out, or has been.
    Last,
}

/// A decision that is being carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Current {
    at: Time,
    decision: Decision,
    next: usize,
    deeds: Deeds,
    /// The deed that was handed out last, and when.
    handed: Option<(Action, Time)>,
    not_started: BTreeSet<VipId>,
}

/// One agent: its memory, what it has yet to take in, and the decision that it carries out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Driver {
    state: State,
    unread: Inbox,
    current: Option<Current>,
    wake_at: Time,
    /// The caller was held up before this wake-up, and has read what was unread.
    read_before: Option<Time>,
    stopping: Stopping,
}

impl Driver {
    /// Of an agent that has just started; it looks at the time at once.
    pub fn new(policy: &Policy, now: Time) -> Self {
        Self {
            state: State::new(policy, now),
            unread: Inbox::default(),
            current: None,
            wake_at: now,
            read_before: None,
            stopping: Stopping::No,
        }
    }

    /// What the agent remembers.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// For callers that leave out polls which would only make a fact younger.
    pub fn state_mut(&mut self) -> &mut State {
        &mut self.state
    }

    /// The decision that is being carried out.
    pub fn decision(&self) -> Option<&Decision> {
        self.current.as_ref().map(|current| &current.decision)
    }

    /// Something was seen. Events of one kind are taken in in the order in which they are pushed.
    pub fn push(&mut self, event: Event) {
        self.unread.push(event);
    }

    /// The server's answer, where it said nothing new: only the last one counts, and it is taken in before anything is decided
    /// that is not a frame.
    pub fn push_last_word(&mut self, event: Event) {
        self.unread.last_word = Some(event);
    }

    /// The agent is to stop. Whoever was told to give the VIP up and is told again to leave it, leaves it.
    pub fn stop(&mut self, stop: Stop) {
        match self.stopping {
            Stopping::No | Stopping::GivingUp(_) if stop == Stop::LeaveVip => {
                self.stopping = Stopping::Told(stop);
            }
            Stopping::No => self.stopping = Stopping::Told(stop),
            _ => {}
        }
    }

    /// Whether the agent was told to stop in any way.
    pub fn is_stopping(&self) -> bool {
        self.stopping != Stopping::No
    }

    /// Whether nothing is unread and nothing is under way: only the time will bring it on.
    pub fn is_at_rest(&self) -> bool {
        let rests = matches!(self.stopping, Stopping::No | Stopping::GivingUp(_));
        rests && self.current.is_none() && self.unread.count() == 0
    }

    /// So many events are yet to be taken in.
    pub fn unread_count(&self) -> usize {
        self.unread.count()
    }

    /// Nothing is to be done before this unless something is pushed.
    pub fn waits_until(&self) -> Time {
        match self.stopping {
            Stopping::GivingUp(until) => until.min(self.wake_at),
            _ => self.wake_at,
        }
    }

    /// What to do next; `before` is shown the memory and the event before each step.
    pub fn next(&mut self, policy: &Policy, now: Time, before: impl FnOnce(&State, &Event)) -> Next {
        if self.current.is_some() {
            return self.go_on(policy, now);
        }
        match self.choose(now) {
            Ok(event) => {
                before(&self.state, &event);
                self.decide(policy, event, now)
            }
            Err(next) => next,
        }
    }

    /// How the deed that was handed out last went. Only for the orders about the address, and for what failed.
    pub fn done(&mut self, outcome: Outcome) {
        let Some(current) = &mut self.current else { return };
        let Some((action, begun)) = current.handed.take() else { return };
        self.unread.outcomes.extend(current.deeds.done(&action, begun, outcome));
        if let Action::Vip(vip, VipAction::AddAddress { .. }) = action
            && current.deeds.has_failed(vip)
        {
            current.not_started.insert(vip);
        }
    }

    /// The event that is to be taken in now, or what is to be done instead.
    fn choose(&mut self, now: Time) -> Result<Event, Next> {
        self.stopping = match self.stopping {
            Stopping::Last => return Err(Next::Ended),
            Stopping::Told(stop) => {
                self.stopping = Stopping::Reading(stop);
                return Err(Next::ReadUnread { addresses: true });
            }
            Stopping::Reading(stop) => Stopping::After(self.unread.count(), stop),
            Stopping::GivingUp(until) if now >= until || self.state.has_given_up() => {
                Stopping::After(0, Stop::LeaveVip)
            }
            other => other,
        };
        // What failed just now is known before the end.
        if let Stopping::After(0, stop) = self.stopping {
            if let Some(outcome) = self.unread.outcomes.pop_front() {
                return Ok(outcome);
            }
            self.stopping = match stop {
                Stop::LeaveVip => Stopping::Last,
                Stop::GiveUp => Stopping::GivingUp(now + GIVE_UP_WITHIN),
            };
            return Ok(match stop {
                Stop::LeaveVip => Event::Stopping,
                Stop::GiveUp => Event::Release,
            });
        }
        if let Some(event) = self.unread.pop() {
            if let Stopping::After(left, _) = &mut self.stopping {
                *left = left.saturating_sub(1);
            }
            return Ok(event);
        }
        if now < self.wake_at {
            return Err(Next::Wait { until: self.waits_until() });
        }
        if now.since(self.wake_at) > HELD_UP && self.read_before != Some(self.wake_at) {
            self.read_before = Some(self.wake_at);
            return Err(Next::ReadUnread { addresses: false });
        }
        Ok(Event::Wake)
    }

    fn decide(&mut self, policy: &Policy, event: Event, now: Time) -> Next {
        let decision = step(policy, &mut self.state, &event, now);
        self.wake_at = decision.wake_at;
        self.current = Some(Current {
            at: now,
            decision,
            next: 0,
            deeds: Deeds::new(now),
            handed: None,
            not_started: BTreeSet::new(),
        });
        Next::Decided(Box::new(event))
    }

    /// The next deed, or the end of the decision.
    fn go_on(&mut self, policy: &Policy, now: Time) -> Next {
        while let Some(current) = &mut self.current {
            let Some(action) = current.decision.actions.get(current.next) else { break };
            current.next += 1;
            match current.deeds.may(&policy.group, action, now) {
                Permit::AsDecided => {
                    current.handed = Some((action.clone(), now));
                    return Next::Deed(action.clone());
                }
                Permit::ToNobodyInParticular => {
                    current.handed = Some((action.clone(), now));
                    let mut action = action.clone();
                    if let Action::Vip(_, VipAction::AnnounceRelease(to)) = &mut action {
                        *to = None;
                    }
                    return Next::Deed(action);
                }
                Permit::Dropped => {}
                Permit::TooLate(text) => {
                    current.handed = Some((action.clone(), now));
                    self.done(Outcome::Failed(text.to_owned()));
                }
            }
        }
        match self.current.take() {
            Some(Current { at, decision, not_started, .. }) => {
                Next::Settled(Box::new(Settled { at, decision, not_started }))
            }
            None => Next::Wait { until: self.waits_until() },
        }
    }

    /// What failed in the last decision: the rules are asked no more.
    pub fn failed_at_the_end(&mut self) -> impl Iterator<Item = (Action, Outcome)> + '_ {
        self.unread.outcomes.drain(..).filter_map(|event| match event {
            Event::Done { action, outcome } => Some((action, outcome)),
            _ => None,
        })
    }
}
