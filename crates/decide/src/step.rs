//! `step`: an event in; what is known and what is under way move on; actions and reasons out. It wires the others and has no
//! rules of its own.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::checks::{Stages, Verdict};
use crate::expel::ExpelState;
use crate::facts::{Facts, News};
use crate::input::{Event, Fact, Frame, Says};
use crate::moment::{Moment, VipMoment};
use crate::net::VipId;
use crate::output::{Action, Outcome, Output, Reason, Said, VipAction};
use crate::planted::planted;
use crate::policy::{Policy, VipGateway};
use crate::polling::Polling;
use crate::readers::{self, Candidacy};
use crate::time::Time;
use crate::timers::{Timer, Timers};
use crate::vip::{VipInput, VipMachine, VipState};

/// Everything that an agent remembers of one cluster between two events.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct State {
    /// What is known.
    pub facts: Facts,
    /// What it has to do with each VIP.
    pub vips: BTreeMap<VipId, VipMachine>,
    /// What is remembered of dead members and the group's patience with them.
    pub expel: ExpelState,
    /// What is due whatever the VIP does.
    pub polling: Polling,
    /// How fit this host is to serve readers, and what the others were told of it.
    #[serde(default, skip_serializing_if = "Candidacy::is_new")]
    pub candidacy: Candidacy,
}

impl State {
    /// An agent that has just started and knows nothing.
    pub fn new(policy: &Policy, now: Time) -> Self {
        Self {
            facts: Facts::new(now),
            vips: policy.vips.keys().map(|vip| (*vip, VipMachine::new(now))).collect(),
            expel: ExpelState::default(),
            polling: Polling::new(now),
            candidacy: Candidacy::default(),
        }
    }

    /// Whether every VIP was to be given up, and is: nothing of it is left to be done here.
    pub fn has_given_up(&self) -> bool {
        self.facts.giving_up
            && self.vips.values().all(VipMachine::is_done)
            && matches!(self.facts.host.fact, Fact::Known(_))
    }

    /// The stages, as the facts stand.
    pub fn stages(&self, policy: &Policy) -> Stages {
        Stages::of(&policy.group, &self.facts)
    }
}

/// What `step` decided.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// To be carried out in this order.
    pub actions: Vec<Action>,
    /// Why. The last one about each VIP says how that stands; what is before it happened on the way.
    pub reasons: Vec<Said>,
    /// Come back then, with [`Event::Wake`], if nothing else is seen before.
    pub wake_at: Time,
    /// Stages 1–4, as the facts stand.
    pub stages: Stages,
}

impl Decision {
    /// Why, whatever it is about.
    pub fn each_reason(&self) -> impl DoubleEndedIterator<Item = &Reason> {
        self.reasons.iter().map(|said| &said.reason)
    }

    /// How this VIP stands.
    pub fn stands(&self, vip: VipId) -> Option<&Reason> {
        self.said_of(vip).map(|said| &said.reason)
    }

    /// The same, with what it is about.
    pub fn said_of(&self, vip: VipId) -> Option<&Said> {
        self.reasons.iter().rfind(|said| said.vip == Some(vip))
    }

    /// Stage 5's return value in the legacy program's table (S13).
    pub fn stage_5(&self) -> u8 {
        self.each_reason().map(Reason::stage_5).find(|value| *value != 1).unwrap_or(1)
    }
}

/// Takes one event in and decides. Pure: the same arguments always give the same result.
pub fn step(policy: &Policy, state: &mut State, event: &Event, now: Time) -> Decision {
    step_and_timers(policy, state, event, now).0
}

/// The same, and all that it asks to be woken for. A decision itself, which is written into the trace, has the earliest time alone.
pub fn step_and_timers(policy: &Policy, state: &mut State, event: &Event, now: Time) -> (Decision, Timers) {
    let mut out = Output::default();
    follow_operator(policy, state, event, now, &mut out);
    notice_pauses(policy, state, event, now, &mut out);
    take_in(policy, state, event, now, &mut out);
    note_asked(policy, state, now, &mut out);
    if *event == Event::Stopping {
        each_vip(policy, state, now, &mut out, VipMachine::leave_as_it_is);
    } else {
        place_readers(policy, state, now, &mut out);
        each_vip(policy, state, now, &mut out, VipMachine::poll);
        run_due_timers(policy, state, now, &mut out);
    }
    note_asked(policy, state, now, &mut out);
    state.expel.poll(event, Moment { facts: &state.facts, group: &policy.group, now }, &mut out);
    note_asked(policy, state, now, &mut out);
    if *event != Event::Stopping {
        each_vip(policy, state, now, &mut out, |machine, at, out| {
            assert_what_one_agent_can_see(machine, at, out);
        });
    }
    decide(policy, state, now, out)
}

/// Lets each VIP's machine do this, one after the other, with its own limits. What it says and orders is about its VIP.
fn each_vip(
    policy: &Policy,
    state: &mut State,
    now: Time,
    out: &mut Output,
    mut with: impl FnMut(&mut VipMachine, VipMoment<'_>, &mut Output),
) {
    for id in policy.vips.keys() {
        one_vip(policy, state, *id, now, out, &mut with);
    }
}

/// The same with one VIP's machine, where there is such a VIP.
fn one_vip(
    policy: &Policy,
    state: &mut State,
    vip: VipId,
    now: Time,
    out: &mut Output,
    with: impl FnOnce(&mut VipMachine, VipMoment<'_>, &mut Output),
) {
    if let (Some(machine), Some(limits)) = (state.vips.get_mut(&vip), policy.vips.get(&vip)) {
        let knows = machine.knows(&state.facts);
        let moment = Moment { facts: knows.as_ref().unwrap_or(&state.facts), group: &policy.group, now };
        out.vip = Some(vip);
        with(machine, VipMoment { moment, vip, policy: limits, cluster: policy }, out);
        out.vip = None;
    }
}

fn decide(policy: &Policy, state: &State, now: Time, out: Output) -> (Decision, Timers) {
    let Output { actions, mut reasons, asides, timers, .. } = out;
    reasons.splice(0..0, asides);
    let wake_at = timers.next_timeout().unwrap_or(now + policy.group.sleeptime);
    (Decision { actions, reasons, wake_at, stages: state.stages(policy) }, timers)
}

/// What must be true of one VIP on one agent after each step, whatever it was told: checked in builds with debug assertions.
fn assert_what_one_agent_can_see(machine: &VipMachine, at: VipMoment<'_>, out: &Output) {
    let orders = |wanted: fn(&VipAction) -> bool| {
        let about_it = |action: &Action| matches!(action, Action::Vip(vip, action) if Some(*vip) == out.vip && wanted(action));
        out.actions.iter().any(about_it)
    };
    let adds = orders(|action| matches!(action, VipAction::AddAddress { .. }));
    let renews = orders(|action| matches!(action, VipAction::RenewAddress { .. }));
    debug_assert!(!(adds || renews) || machine.holds(), "what is added or renewed is held");
    debug_assert!(!(adds && renews), "what was just added needs no renewal");
    // EVIDENCE, NEWEST-VIEW: nobody claims whose facts do not entitle to it.
    debug_assert!(
        !matches!(machine.state, VipState::Claiming(_)) || at.verdict_to_start() == Verdict::Up,
        "who claims is entitled to start the VIP"
    );
    debug_assert!(out.reasons.iter().any(|said| said.vip == out.vip), "it is said how each VIP stands");
    debug_assert!(
        out.timers.next_timeout().is_none_or(|wake| wake > at.now),
        "a wake-up that is already past"
    );
}

/// The operator's pause begins, is changed, or ends, by a word or by itself. What was known before it ends is as good after it; what
/// the VIP is kept in spite of is asked about once more.
fn follow_operator(policy: &Policy, state: &mut State, event: &Event, now: Time, out: &mut Output) {
    let was_on = state.facts.pause.is_on();
    let changes = match *event {
        Event::Pause { until } => state.facts.pause.take_in(Some(until), now),
        Event::Resume => state.facts.pause.take_in(None, now),
        _ => !planted!(policy.group, PauseWithoutEnd) && state.facts.pause.end_in_time(now),
    };
    if let Some(until) = state.facts.pause.until {
        if until > now {
            out.wake(Timer::PauseEnds, until);
        }
        if changes {
            out.say_aside(Reason::PauseBegins(until.since(now)));
        }
    } else if changes && was_on {
        out.say_aside(Reason::PauseEnds);
        each_vip(policy, state, now, out, VipMachine::end_pause);
    }
}

/// After a pause, of the host or of the agent alone, nothing is known any more; all is asked. Of a pause in which nothing ran, not
/// even the clocks, a step of the wall clock may be the only sign.
fn notice_pauses(policy: &Policy, state: &mut State, event: &Event, now: Time, out: &mut Output) {
    if let Event::ClocksParted { suspended, wall_step_ms } = *event {
        out.say_aside(Reason::ClocksParted { suspended, wall_step_ms });
        ask_anew(policy, state, now, out);
    }
    let mut overslept = false;
    each_vip(policy, state, now, out, |machine, at, _| overslept |= machine.has_overslept(at));
    if overslept {
        ask_anew(policy, state, now, out);
    }
    each_vip(policy, state, now, out, |machine, at, out| {
        if machine.lease_is_over(at) && !planted!(at.group, DontForgetAfterAPause) {
            machine.end_lease(event, at, out);
        }
    });
}

fn ask_anew(policy: &Policy, state: &mut State, now: Time, out: &mut Output) {
    state.facts.forget(now);
    for question in [Action::AskHost, Action::AskServer, Action::AskGateway] {
        out.act(question);
    }
    each_vip(policy, state, now, out, |machine, at, out| machine.ask_who_has_vip(at, out));
}

/// Who has each reader VIP: another that has what is here answers, and that is settled.
fn ask_who_has_reader_vips(policy: &Policy, state: &mut State, now: Time, out: &mut Output) {
    for vip in policy.reader_vips() {
        one_vip(policy, state, vip, now, out, |machine, at, out| machine.ask_who_has_vip(at, out));
    }
}

fn take_in(policy: &Policy, state: &mut State, event: &Event, now: Time, out: &mut Output) {
    for (id, machine) in &mut state.vips {
        let gateway = policy.vips.get(id).map(|vip| vip.gateway).unwrap_or_default();
        machine.note_answer(event, gateway);
    }
    for news in state.facts.take_in(policy, event, now) {
        each_vip(policy, state, now, out, |machine, at, out| machine.take_in(VipInput::News(&news), at, out));
        match news {
            News::WorthAsking => out.act(Action::AskServer),
            News::AddressGone => out.act(Action::AskHost),
            News::HeardAgain => ask_who_has_reader_vips(policy, state, now, out),
            _ => {}
        }
    }
    match event {
        // A word about its host is about no VIP: the facts have it.
        Event::Frame(_, Frame { says: Says::Fitness(_) | Says::Member(_), .. }) => {}
        Event::Frame(vip, frame) => {
            one_vip(policy, state, *vip, now, out, |machine, at, out| {
                machine.take_in(VipInput::Frame(*frame), at, out);
            });
        }
        Event::ReceiveUp(vip, up) => {
            one_vip(policy, state, *vip, now, out, |machine, at, out| {
                machine.take_in(VipInput::ReceiveUp(*up), at, out);
            });
        }
        Event::Done { action: Action::Vip(vip, action), outcome: Outcome::Failed(text) } => {
            one_vip(policy, state, *vip, now, out, |machine, at, out| {
                machine.take_in(VipInput::Failed(action, text), at, out);
            });
        }
        Event::Done { outcome: Outcome::Failed(text), .. } => out.say(Reason::Failed(text.clone())),
        Event::StatFile(found) => state.polling.take_in_stat(&policy.group, *found, now, out),
        _ => {}
    }
}

/// How fit this host is to serve readers, what the others are told of it, and where each reader VIP belongs.
fn place_readers(policy: &Policy, state: &mut State, now: Time, out: &mut Output) {
    let Some(first) = policy.reader_vips().next() else { return };
    let at = Moment { facts: &state.facts, group: &policy.group, now };
    let reach = readers::reach(at, out);
    let has_one = readers::here(policy, at).next().is_some();
    state.facts.readers.note_reach(reach, has_one, now);
    let at = Moment { facts: &state.facts, group: &policy.group, now };
    out.vip = Some(first);
    let mut gateways: Vec<VipGateway> =
        policy.reader_vips().filter_map(|vip| Some(policy.vips.get(&vip)?.gateway)).collect();
    gateways.dedup();
    let own = state.candidacy.assess(at, first, &gateways, out);
    if let Some(fitness) = own {
        state.candidacy.say(fitness, now, out);
    }
    out.vip = None;
    if let Some(member) = at.own_address() {
        let here: Vec<VipId> = readers::here(policy, at).collect();
        state.facts.readers.note_here(&here, member, now);
    }
    state.facts.readers.note_own(own, now);
    let at = Moment { facts: &state.facts, group: &policy.group, now };
    let placed = readers::placed(policy, at, out);
    state.facts.readers.note_placed(placed);
}

fn run_due_timers(policy: &Policy, state: &mut State, now: Time, out: &mut Output) {
    if std::mem::take(&mut out.switched) {
        state.polling.note_switch(&policy.group, now);
    }
    state.polling.quieten_stat(now, out);
    each_vip(policy, state, now, out, VipMachine::close_left_behind);
    if state.polling.look_around(&policy.group, now, out) {
        each_vip(policy, state, now, out, |machine, at, out| machine.ask_who_has_vip(at, out));
    }
    let mut vips = false;
    each_vip(policy, state, now, out, |machine, at, _| vips |= machine.needs_fast_polling(at));
    state.polling.set_pace(Moment { facts: &state.facts, group: &policy.group, now }, vips, out);
}

/// What was asked for is a fact too.
fn note_asked(policy: &Policy, state: &mut State, now: Time, out: &mut Output) {
    let (peers, neighbors) = (std::mem::take(&mut out.asked_peers), std::mem::take(&mut out.learns));
    state.facts.note_asked(policy, &peers, neighbors, now);
}
