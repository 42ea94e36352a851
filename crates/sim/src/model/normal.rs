//! An agent's memory, brought to one form: times become ages, and what no rule can tell apart becomes the same.

use std::time::Duration;

use decide::expel::ExpelState;
use decide::facts::process::Signs;
use decide::facts::{Facts, Neighbors, Pause, Peers};
use decide::net::VipId;
use decide::time::Time;
use decide::vip::{Claim, Hold, VipMachine, VipState};
use decide::{Pace, Polling, State};

/// One tick.
pub const TICK: Duration = Duration::from_millis(100);
/// Now, for every agent, always: at each tick its memory grows older instead.
pub const NOW: Time = Time(1_000_000_000);

/// Older than every limit that an age is compared with.
const OLD: u32 = 40;
/// Further off than every limit but the safety net, which is left out.
const FAR: u32 = 60;

/// So many ticks ago.
pub fn ago(ticks: u32) -> Time {
    NOW - TICK * ticks
}

/// So many ticks from now.
fn ahead(ticks: u32) -> Time {
    NOW + TICK * ticks
}

/// Lets a tick pass.
pub fn grow_older(state: &mut State) {
    each_time(state, &mut |time| *time = *time - TICK);
    bring_to_form(state);
}

/// Makes two memories equal that no rule can tell apart.
///
/// Each line says why it changes nothing: it is that line's claim, and the memory's every field is named in `each_time`,
/// so that a new one is not forgotten.
pub fn bring_to_form(state: &mut State) {
    // The model has one VIP.
    let State { facts, vips, expel, polling, candidacy: _ } = state;
    let Some(vip) = vips.get_mut(&VipId::FIRST) else { return };
    // The state file, the connections left behind and the orphan SYNs touch nothing of the address.
    polling.stat_quiet_at = None;
    vip.left_behind = None;
    vip.orphan_syns = None;
    // Of the signs only what is known of the process decides anything: the rest is the pace of polls.
    facts.process = Signs { process: facts.process.process, ..Signs::default() };
    // Removals are counted only to be spoken of, and no copies are in the model.
    vip.removals.clear();
    vip.removals_named_at = None;
    vip.tidied_at = None;
    vip.removed_copy_at = None;
    // The election has a model of its own.
    *expel = ExpelState::default();
    facts.peers.open.clear();
    // The alert pace has no end here (`alert_limit`).
    polling.pace = Pace { alert_since: polling.pace.alert_since.map(|_| NOW), ..polling.pace };
    // A stranger that was named once is named again a minute later at the soonest, and that is all that counts then.
    if let Some(stranger) = &mut vip.stranger {
        let named = stranger.named_at.is_some();
        stranger.since = if named { NOW } else { stranger.since.max(ago(11)) };
        stranger.named_at = stranger.named_at.map(|_| NOW);
    }
    // A claimant that was last heard too long ago is none.
    vip.claimants.retain(|_, at| *at > ago(5));
    // Throttles: only whether they are over counts.
    facts.neighbors.learnt_at = facts.neighbors.learnt_at.filter(|at| *at > ago(10));
    vip.retry_at = vip.retry_at.max(NOW);
    // Heard for a second, or silent for one: which is all that counts.
    facts.spoke_at = facts.spoke_at.map(|at| at.max(ago(11)));
    facts.spoke_again_at = facts.spoke_again_at.filter(|at| *at > ago(10));
    facts.server_unknown_since = facts.server_unknown_since.map(|at| at.max(ago(20)));
    vip.other_holder = vip.other_holder.map(|(mac, at)| (mac, at.max(ago(21))));
    // Each host has one hardware address, and keeps it: when it said whose that is decides nothing.
    let said = facts.neighbors.introduced.values_mut().flat_map(|said| said.values_mut()).flatten();
    said.for_each(|(_, at)| *at = NOW);
    // It is said once more when that is over.
    vip.introduced_at = vip.introduced_at.map(|at| at.max(ago(10)));
    // What a paused holder put up with counts from the end of the pause, for as long as its patience at the most.
    facts.pause.ended_at = facts.pause.ended_at.filter(|at| vip.holds() && *at > ago(20));
    form_addresses(facts, vip);
    let asked_since = form_state(facts, vip);
    // A question put before every time that is compared with it is as good as none.
    for peer in facts.peers.asked.values_mut() {
        peer.waiting_since = peer.waiting_since.filter(|at| *at >= asked_since);
        peer.seen = peer.seen.take().filter(|seen| seen.asked_at >= asked_since);
    }
    facts.peers.asked.retain(|_, peer| peer.waiting_since.is_some() || peer.seen.is_some());
    forget_distances(state);
}

/// When the host's addresses were asked for.
fn form_addresses(facts: &mut Facts, vip: &VipMachine) {
    // The host's addresses are read when they are told, so an answer is never older than the last: only the doubt compares.
    let doubt = match &vip.state {
        VipState::Holding(hold) => hold.recheck_since,
        _ => None,
    };
    // … and a holder whose address has not shown up yet.
    let unconfirmed = matches!(&vip.state, VipState::Holding(hold) if !hold.confirmed);
    facts.host.asked_at = match doubt {
        _ if unconfirmed => facts.host.asked_at.max(ago(20)),
        Some(since) if facts.host.asked_at < since => since - TICK,
        Some(since) => since,
        None => NOW,
    };
}

/// What only one state of the VIP remembers or compares. Gives since when the questions to others may count.
fn form_state(facts: &mut Facts, vip: &mut VipMachine) -> Time {
    let mut asked_since = ago(10);
    match &mut vip.state {
        VipState::Absent => facts.neighbors.alive_at.retain(|_, at| *at >= NOW),
        VipState::Claiming(claim) => {
            form_claim(claim);
            let since = claim.since;
            facts.neighbors.alive_at.retain(|_, at| *at >= since);
            facts.neighbors.alive_at.values_mut().for_each(|at| *at = since);
            asked_since = claim.rivals.values().map(|rival| rival.since).fold(asked_since, Time::min);
        }
        VipState::Holding(hold) => {
            form_hold(hold);
            facts.neighbors.alive_at.retain(|_, at| *at >= NOW);
            asked_since = hold.dispute.map_or(asked_since, |dispute| asked_since.min(dispute.since));
        }
        VipState::Releasing { since, .. } => {
            // Compared with the last answer alone.
            *since = if facts.server.asked_at >= *since { facts.server.asked_at } else { NOW };
            facts.neighbors.alive_at.retain(|_, at| *at >= NOW);
        }
    }
    asked_since
}

fn form_claim(claim: &mut Claim) {
    // What is older than the evidence may be is not fresh, whenever the wish arose.
    claim.since = claim.since.max(ago(7));
    claim.asked_at = claim.asked_at.max(ago(7));
    claim.taken_since = claim.taken_since.map(|at| at.max(ago(10)));
    claim.answered = claim.answered.map(|(mac, at)| (mac, at.max(ago(31))));
    claim.others.retain(|(_, at)| *at > ago(31));
    // A word that is a tick old is not believed any more.
    claim.released_at = claim.released_at.map(|at| at.max(ago(1)));
    // Only a rival waits by it.
    claim.ready_since = claim.ready_since.filter(|_| !claim.rivals.is_empty()).map(|at| at.max(ago(10)));
    claim.probes = claim.probes.min(10);
}

fn form_hold(hold: &mut Hold) {
    hold.since = hold.since.max(ago(20));
    hold.settled = hold.settled.filter(|(_, until)| *until > NOW);
    // Its questions are not in the model; what is answered to announcements is.
    hold.post_claim_check = hold.post_claim_check.filter(|post_claim_check| post_claim_check.until > NOW);
    if let Some(post_claim_check) = &mut hold.post_claim_check {
        post_claim_check.next_question = ahead(1);
    }
    hold.next_announce = hold.next_announce.max(NOW);
    hold.announced = hold.announced.min(6);
    // A conflict has no end here: the time after which it is over is longer than all that is told apart. What goes on in it is as
    // often as the announcements are anyway.
    if let Some(conflict) = &mut hold.conflict {
        conflict.since = NOW;
        conflict.heard_at = NOW;
        conflict.defended_at = conflict.defended_at.map(|at| at.max(ago(2)));
    }
}

/// What is old stays in its order, and its distances are forgotten; what is far off stays far off.
fn forget_distances(state: &mut State) {
    let mut old = Vec::new();
    each_time(state, &mut |time| {
        if *time < ago(OLD) {
            old.push(*time);
        } else if *time > ahead(FAR) {
            *time = ahead(1000);
        }
    });
    if old.is_empty() {
        return;
    }
    old.sort_unstable_by(|one, other| other.cmp(one));
    old.dedup();
    each_time(state, &mut |time| {
        if let Some(rank) = old.iter().position(|known| known == time) {
            *time = ago(OLD + 1 + u32::try_from(rank).unwrap_or(u32::MAX));
        }
    });
}

/// Every time in an agent's memory. Each function here names every field that holds a time, and each that holds none.
fn each_time(state: &mut State, change: &mut impl FnMut(&mut Time)) {
    let State { facts, vips, expel: _, polling, candidacy: _ } = state;
    let Facts {
        host,
        server,
        gateway,
        // The model's VIP has the cluster's.
        own_gateways: _,
        server_unknown_since,
        started_anew: _,
        spoke_at,
        spoke_again_at,
        views: _,
        peers: Peers { asked: peers, open: _ },
        neighbors: Neighbors { macs: _, alive_at, learnt_at, not_heard: _, questions, introduced },
        process: _,
        giving_up: _,
        pause: Pause { until, ended_at },
        // The model has no reader VIP.
        readers: _,
    } = facts;
    let Polling { pace: _, next_look, stat_quiet_at: _ } = polling;
    for time in [&mut host.asked_at, &mut server.asked_at, &mut gateway.asked_at, next_look] {
        change(time);
    }
    [server_unknown_since, spoke_at, spoke_again_at, learnt_at, until, ended_at]
        .into_iter()
        .flatten()
        .for_each(&mut *change);
    alive_at.values_mut().for_each(&mut *change);
    let said = introduced.values_mut().flat_map(|said| said.values_mut()).flatten();
    said.for_each(|(_, at)| change(at));
    for question in questions {
        change(&mut question.at);
    }
    for peer in peers.values_mut() {
        peer.waiting_since.iter_mut().for_each(&mut *change);
        peer.seen.iter_mut().for_each(|seen| change(&mut seen.asked_at));
    }
    for vip in vips.values_mut() {
        each_time_of_a_vip(vip, change);
    }
}

fn each_time_of_a_vip(vip: &mut VipMachine, change: &mut impl FnMut(&mut Time)) {
    let VipMachine {
        state,
        other_holder,
        receive_down: _,
        claimants,
        stranger,
        left_behind: _,
        retry_at,
        removals: _,
        removals_named_at: _,
        tidied_at: _,
        removed_copy_at: _,
        asks_anew,
        orphan_syns: _,
        introduced_at,
    } = vip;
    change(retry_at);
    introduced_at.iter_mut().for_each(&mut *change);
    if let Some(anew) = asks_anew {
        change(&mut anew.since);
    }
    claimants.values_mut().for_each(&mut *change);
    if let Some((_, at)) = other_holder {
        change(at);
    }
    if let Some(stranger) = stranger {
        change(&mut stranger.since);
        stranger.named_at.iter_mut().for_each(&mut *change);
    }
    match state {
        VipState::Absent => {}
        VipState::Claiming(claim) => each_time_of_a_claim(claim, change),
        VipState::Holding(hold) => each_time_of_a_hold(hold, change),
        VipState::Releasing { since, retry_at, .. } => {
            change(since);
            change(retry_at);
        }
    }
}

fn each_time_of_a_claim(claim: &mut Claim, change: &mut impl FnMut(&mut Time)) {
    let Claim {
        since,
        asked_at,
        probes: _,
        next_probe,
        taken_since,
        answered,
        others,
        released_at,
        ready_since,
        rivals,
    } = claim;
    [since, asked_at, next_probe].into_iter().for_each(&mut *change);
    [taken_since, released_at, ready_since].into_iter().flatten().for_each(&mut *change);
    for (_, at) in others.iter_mut().chain(answered) {
        change(at);
    }
    for rival in rivals.values_mut() {
        change(&mut rival.since);
        change(&mut rival.heard_at);
    }
}

fn each_time_of_a_hold(hold: &mut Hold, change: &mut impl FnMut(&mut Time)) {
    let Hold {
        since,
        interface: _,
        confirmed: _,
        recheck_since,
        down_since,
        dispute,
        settled,
        conflict,
        post_claim_check,
        next_announce,
        announced: _,
        next_renewal,
        renewal_looks,
        lapsing_at,
    } = hold;
    change(since);
    change(next_announce);
    [recheck_since, down_since, next_renewal, lapsing_at].into_iter().flatten().for_each(&mut *change);
    if let Some((_, at)) = renewal_looks {
        change(at);
    }
    if let Some(conflict) = conflict {
        change(&mut conflict.since);
        change(&mut conflict.heard_at);
        [&mut conflict.owed_since, &mut conflict.defended_at].into_iter().flatten().for_each(&mut *change);
    }
    if let Some(post_claim_check) = post_claim_check {
        change(&mut post_claim_check.until);
        change(&mut post_claim_check.next_question);
    }
    if let Some(dispute) = dispute {
        change(&mut dispute.since);
    }
    if let Some((_, until)) = settled {
        change(until);
    }
}
