//! What an independent eye says of one step: it knows the facts that the agent was told, and none of its rules.

use decide::Decision;
use decide::State;
use decide::action::{Action, VipAction};
use decide::event::{Event, Fact, Frame, Gateway, GroupView, MemberState, Role, Says, Server};
use decide::policy::Policy;
use decide::reason::Reason;
use decide::vip::VipState;

use super::agent::{LEASE, PATIENCE};
use super::normal::{NOW, TICK};
use super::world::Invariant;

/// What is to be said of one step.
#[derive(Clone, Copy, Debug, Default)]
pub struct Judgement {
    /// It breaks this invariant.
    pub breaks: Option<Invariant>,
    /// It starts the VIP, on this view.
    pub starts_on: Option<u64>,
    /// It starts the VIP because its probes were not answered.
    pub starts_unanswered: bool,
}

impl Judgement {
    /// Notes a broken invariant; the first one counts.
    fn note(&mut self, invariant: Invariant) {
        self.breaks.get_or_insert(invariant);
    }
}

/// An agent that knows a certain "no" may hold for so many ticks more: until it has asked twice where nobody may wait for it, and
/// for as long as a claim is waited for where somebody may.
pub(super) fn certain_no(policy: &Policy, state: &State) -> Option<u8> {
    const AT_ONCE: u8 = 2;
    // A server that stood still, or whose agent did, says for a moment that it lacks the majority.
    const COMES_TO: u8 = 5;
    const LINGER: u8 = 9;
    let ticks = policy.claim_wait.as_millis().div_ceil(TICK.as_millis());
    let claim_wait = u8::try_from(ticks).unwrap_or(u8::MAX).saturating_add(3);
    if matches!(state.facts.gateway.fact, Fact::Known(Gateway::Lost { .. })) {
        return Some(AT_ONCE);
    }
    match &state.facts.server.fact {
        Fact::Unknown(_) => state.facts.started_anew.then_some(LINGER),
        Fact::Known(Server::Refused(_)) => Some(LINGER),
        Fact::Known(Server::NotInGroup(_)) => Some(claim_wait),
        Fact::Known(Server::Member(view)) => {
            let passed_by = match (&view.view, &state.facts.views.newest) {
                (Some(own), Some(newest)) => newest.is_newer_than(own),
                _ => false,
            };
            if outnumbered(view) && state.facts.spoke_again_at.is_some() {
                Some(COMES_TO)
            } else if outnumbered(view) {
                Some(AT_ONCE)
            } else if passed_by || !(online_primary(view) || takes_writes(view)) {
                Some(claim_wait)
            } else {
                None
            }
        }
    }
}

/// Looks at one step.
pub(super) fn judge(
    policy: &Policy,
    before: &State,
    event: &Event,
    after: &State,
    decision: &Decision,
) -> Judgement {
    let mut judgement = Judgement::default();
    if decision.wake_at <= NOW {
        judgement.note(Invariant::Progress);
    }
    let starts = decision.reasons.iter().any(|reason| matches!(reason, Reason::Started { .. }));
    if starts {
        judgement.starts_unanswered = !was_released(before, event);
        if !is_proven(policy, before, event, after) {
            judgement.note(Invariant::Evidence);
        }
    } else if renews(decision) && !may_renew(before, after, decision) {
        judgement.note(Invariant::Lease);
    }
    if decision.reasons.iter().any(|reason| matches!(reason, Reason::Stopped { .. }))
        && !may_let_go(policy, before, event, after)
    {
        judgement.note(Invariant::UnknownIsNotNo);
    }
    if decision.reasons.iter().any(|reason| matches!(reason, Reason::DisputeWon(_)))
        && wins_unproven(before, after)
    {
        judgement.note(Invariant::Evidence);
    }
    for action in &decision.actions {
        let wrong = match action {
            Action::Vip(
                _,
                VipAction::AddAddress { lifetime: Some(lifetime), .. }
                | VipAction::RenewAddress { lifetime: Some(lifetime), .. },
            ) => *lifetime > TICK * u32::from(LEASE),
            Action::Vip(_, VipAction::AddAddress { lifetime: None, .. }) => true,
            Action::Vip(_, VipAction::RenewAddress { lifetime: None, .. }) => *event != Event::Stopping,
            _ => false,
        };
        if wrong {
            judgement.note(Invariant::Lease);
        }
    }
    if starts && let Fact::Known(Server::Member(view)) = &after.facts.server.fact {
        judgement.starts_on =
            view.view.as_ref().and_then(|view| view.to_string().split(':').nth(1)?.parse().ok());
    }
    judgement
}

fn renews(decision: &Decision) -> bool {
    decision
        .actions
        .iter()
        .any(|action| matches!(action, Action::Vip(_, VipAction::RenewAddress { lifetime: Some(_), .. })))
}

/// Stages 1 to 4 twice, and 5: asked of the network, and not answered, or released.
fn is_proven(policy: &Policy, before: &State, event: &Event, after: &State) -> bool {
    let VipState::Claiming(claim) = &before.vip.state else { return false };
    let Fact::Known(Server::Member(view)) = &after.facts.server.fact else { return false };
    let leads = online_primary(view) && !outnumbered(view) && !view.super_read_only;
    let gateway = after.facts.gateway.fact == Fact::Known(Gateway::Reachable);
    let fresh = [after.facts.server.asked_at, after.facts.gateway.asked_at]
        .into_iter()
        .all(|at| at >= claim.since && NOW.since(at) <= policy.evidence_age);
    let asked = claim.probes >= 3 || was_released(before, event);
    leads && gateway && fresh && asked && matches!(after.facts.host.fact, Fact::Known(_))
}

/// Whoever had it said that it is free, just now.
fn was_released(before: &State, event: &Event) -> bool {
    let VipState::Claiming(claim) = &before.vip.state else { return false };
    let by = |holder| *event == Event::Frame(Frame { from: holder, says: Says::Release { heard_at: NOW } });
    claim.released_at == Some(NOW) || claim.answered.is_some_and(|(mac, _)| by(mac))
}

/// It is heard of the server, for no longer than patience lasts without knowing; and the agent has not stood still for its lease.
fn may_renew(before: &State, after: &State, decision: &Decision) -> bool {
    let VipState::Holding(hold) = &before.vip.state else {
        // One that has just started adopts what it finds.
        return decision.reasons.contains(&Reason::Adopted);
    };
    let heard_of = NOW.since(after.facts.server.asked_at) <= TICK * (PATIENCE + 1);
    let lives = matches!(&after.facts.server.fact, Fact::Unknown(why) if why.server_lives());
    let begun = after.facts.server_unknown_since.map_or(NOW, |since| since.max(hold.since));
    let patient = lives || NOW.since(begun) <= TICK * PATIENCE;
    let awake = hold.next_renewal.is_none_or(|due| NOW.since(due) < TICK * u32::from(LEASE - LEASE / 3));
    heard_of && patient && awake
}

/// A certain "no", another's claim, or patience that has run out.
fn may_let_go(policy: &Policy, before: &State, event: &Event, after: &State) -> bool {
    let (claimed, since) = match &before.vip.state {
        VipState::Holding(hold) => (hold.dispute.is_some() || hold.post_claim_check.is_some(), hold.since),
        _ => (false, NOW),
    };
    let over = after
        .facts
        .server_unknown_since
        .is_some_and(|unknown| NOW.since(unknown.max(since)) >= TICK * PATIENCE);
    // A claim that finds all known that it is settled by is yielded to at once.
    let claimed = claimed || matches!(event, Event::Frame(_));
    claimed || over || certain_no(policy, after).is_some()
}

/// It stays, against a claimant that leads in no older view, and its own server was not asked since.
fn wins_unproven(before: &State, after: &State) -> bool {
    let VipState::Holding(hold) = &before.vip.state else { return false };
    let Some(dispute) = hold.dispute else { return false };
    if after.facts.server.asked_at >= dispute.since {
        return false;
    }
    let Some(Fact::Known(Server::Member(theirs))) = after.facts.peer_since(dispute.claimant, dispute.since)
    else {
        return false;
    };
    let older = match (&theirs.view, &after.facts.views.newest) {
        (Some(theirs), Some(newest)) => newest.is_newer_than(theirs),
        _ => false,
    };
    online_primary(theirs) && !outnumbered(theirs) && !theirs.super_read_only && !older
}

fn online_primary(view: &GroupView) -> bool {
    view.members
        .iter()
        .find(|member| member.id == view.local)
        .is_some_and(|local| local.state == MemberState::Online && local.role == Role::Primary)
}

/// ONLINE, and it takes writes whatever its role: the former primary of a switchover whose target has yet to apply its backlog.
fn takes_writes(view: &GroupView) -> bool {
    let local = view.members.iter().find(|member| member.id == view.local);
    !view.super_read_only && local.is_some_and(|local| local.state == MemberState::Online)
}

fn outnumbered(view: &GroupView) -> bool {
    let lost = view.members.iter().filter(|member| member.state == MemberState::Unreachable).count();
    lost * 2 >= view.members.len()
}
