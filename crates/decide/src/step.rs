//! `step`: an event in; what is known and what is under way move on; actions and reasons out. It wires the others and has no
//! rules of its own.

use serde::{Deserialize, Serialize};

use crate::action::{Action, Outcome, VipAction};
use crate::checks::{Stages, Verdict};
use crate::event::{Event, Fact};
use crate::expel::ExpelState;
use crate::facts::{Facts, News};
use crate::moment::Moment;
use crate::output::Output;
use crate::policy::Policy;
use crate::polling::Polling;
use crate::reason::Reason;
use crate::time::Time;
use crate::vip::{VipInput, VipMachine, VipState};

/// Everything that an agent remembers of one cluster between two events.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct State {
    /// What is known.
    pub facts: Facts,
    /// What it has to do with the VIP.
    pub vip: VipMachine,
    /// What is remembered of dead members and the group's patience with them.
    pub expel: ExpelState,
    /// What is due whatever the VIP does.
    pub polling: Polling,
}

impl State {
    /// An agent that has just started and knows nothing.
    pub fn new(now: Time) -> Self {
        Self {
            facts: Facts::new(now),
            vip: VipMachine::new(now),
            expel: ExpelState::default(),
            polling: Polling::new(now),
        }
    }

    /// Whether every VIP was to be given up, and is: nothing of it is left to be done here.
    pub fn has_given_up(&self) -> bool {
        self.facts.giving_up && self.vip.is_done() && matches!(self.facts.host.fact, Fact::Known(_))
    }

    /// The stages, as the facts stand.
    pub fn stages(&self, policy: &Policy) -> Stages {
        Stages::of(policy, &self.facts)
    }
}

/// What `step` decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// To be carried out in this order.
    pub actions: Vec<Action>,
    /// Why. The last one says how things stand; those before it happened on the way. Never empty.
    pub reasons: Vec<Reason>,
    /// Come back then, with [`Event::Wake`], if nothing else is seen before.
    pub wake_at: Time,
    /// Stages 1–4, as the facts stand.
    pub stages: Stages,
}

impl Decision {
    /// How things stand.
    pub fn reason(&self) -> Option<&Reason> {
        self.reasons.last()
    }

    /// Stage 5's return value in the legacy program's table (S13).
    pub fn stage_5(&self) -> u8 {
        self.reasons.iter().map(Reason::stage_5).find(|value| *value != 1).unwrap_or(1)
    }
}

/// Takes one event in and decides. Pure: the same arguments always give the same result.
pub fn step(policy: &Policy, state: &mut State, event: &Event, now: Time) -> Decision {
    let mut out = Output::default();
    notice_pauses(policy, state, event, now, &mut out);
    take_in(policy, state, event, now, &mut out);
    note_asked(state, now, &mut out);
    if *event == Event::Stopping {
        let at = Moment { facts: &state.facts, policy, now };
        state.vip.leave_as_it_is(at, &mut out);
    } else {
        state.vip.poll(&state.facts, policy, now, &mut out);
        run_due_timers(policy, state, now, &mut out);
    }
    note_asked(state, now, &mut out);
    state.expel.poll(event, Moment { facts: &state.facts, policy, now }, &mut out);
    note_asked(state, now, &mut out);
    if *event != Event::Stopping {
        assert_what_one_agent_can_see(policy, state, now, &out);
    }
    decide(policy, state, now, out)
}

fn decide(policy: &Policy, state: &State, now: Time, out: Output) -> Decision {
    let Output { actions, mut reasons, asides, wake_at, .. } = out;
    if reasons.is_empty() {
        reasons.push(Reason::Releasing);
    }
    reasons.splice(0..0, asides);
    let wake_at = wake_at.unwrap_or(now + policy.sleeptime);
    Decision { actions, reasons, wake_at, stages: state.stages(policy) }
}

/// What must be true of one agent after each step, whatever it was told: checked in builds with debug assertions.
fn assert_what_one_agent_can_see(policy: &Policy, state: &State, now: Time, out: &Output) {
    let orders = |wanted: fn(&VipAction) -> bool| {
        out.actions.iter().any(|action| matches!(action, Action::Vip(_, action) if wanted(action)))
    };
    let adds = orders(|action| matches!(action, VipAction::AddAddress { .. }));
    let renews = orders(|action| matches!(action, VipAction::RenewAddress { .. }));
    debug_assert!(!(adds || renews) || state.vip.holds(), "what is added or renewed is held");
    debug_assert!(!(adds && renews), "what was just added needs no renewal");
    // EVIDENCE, NEWEST-VIEW: nobody claims whose facts do not entitle to it.
    let at = Moment { facts: &state.facts, policy, now };
    debug_assert!(
        !matches!(state.vip.state, VipState::Claiming(_)) || at.verdict_to_start() == Verdict::Up,
        "who claims is entitled to start the VIP"
    );
    debug_assert!(out.wake_at.is_none_or(|at| at > now), "a wake-up that is already past");
}

/// After a pause, of the host or of the agent alone, nothing is known any more; all is asked. Of a pause in which nothing ran, not
/// even the clocks, a step of the wall clock may be the only sign.
fn notice_pauses(policy: &Policy, state: &mut State, event: &Event, now: Time, out: &mut Output) {
    if let Event::ClocksParted { suspended, wall_step_ms } = *event {
        out.say_aside(Reason::ClocksParted { suspended, wall_step_ms });
        ask_anew(state, now, out);
    }
    if state.vip.has_overslept(policy, now) {
        ask_anew(state, now, out);
        let at = Moment { facts: &state.facts, policy, now };
        state.vip.end_oversleeping(event, at, out);
    }
}

fn ask_anew(state: &mut State, now: Time, out: &mut Output) {
    state.facts.forget(now);
    for question in [Action::AskHost, Action::AskServer, Action::AskGateway] {
        out.act(question);
    }
    state.vip.ask_who_has_vip(out);
}

fn take_in(policy: &Policy, state: &mut State, event: &Event, now: Time, out: &mut Output) {
    let all_news = state.facts.take_in(policy, event, now);
    let at = Moment { facts: &state.facts, policy, now };
    for news in &all_news {
        state.vip.take_in(VipInput::News(news), at, out);
        match news {
            News::WorthAsking => out.act(Action::AskServer),
            News::AddressGone => out.act(Action::AskHost),
            _ => {}
        }
    }
    match event {
        Event::Frame(frame) => state.vip.take_in(VipInput::Frame(*frame), at, out),
        Event::Done { action: Action::Vip(_, action), outcome: Outcome::Failed(text) } => {
            state.vip.take_in(VipInput::Failed(action, text), at, out);
        }
        Event::Done { outcome: Outcome::Failed(text), .. } => out.say(Reason::Failed(text.clone())),
        Event::StatFile(found) => state.polling.take_in_stat(policy, *found, now, out),
        _ => {}
    }
}

fn run_due_timers(policy: &Policy, state: &mut State, now: Time, out: &mut Output) {
    if std::mem::take(&mut out.switched) {
        state.polling.note_switch(policy, now);
    }
    let at = Moment { facts: &state.facts, policy, now };
    state.polling.quieten_stat(now, out);
    state.vip.close_left_behind(at, out);
    if state.polling.look_around(policy, now, out) {
        state.vip.ask_who_has_vip(out);
    }
    let vips = state.vip.needs_fast_polling(at);
    state.polling.set_pace(at, vips, out);
}

/// What was asked for is a fact too.
fn note_asked(state: &mut State, now: Time, out: &mut Output) {
    state.facts.note_asked(&std::mem::take(&mut out.asked_peers), std::mem::take(&mut out.learns), now);
}
