//! `silent_host`: a member that is silent on two different paths, in the group and on the clients' segment, while the others are heard on
//! both. Nothing proves it dead; but it serves nobody, and the patience that its group has with it buys nothing that clients could use.

use std::time::Duration;

use super::suspects::{ExpelState, SILENT_AFTER, Suspect};
use crate::facts::Question;
use crate::input::MemberState;
use crate::moment::Moment;
use crate::output::Output;
use crate::planted::planted;
use crate::time::Time;
use crate::timers::Timer;

/// The members are asked for their addresses this often, so that it is known how long a host has been silent when the group says that it
/// is: 5 s later.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// … and this often while one is UNREACHABLE: a host that has just come back is heard before its silence counts as long enough.
const ASK_EVERY_WHILE_SUSPECTED: Duration = Duration::from_millis(250);
/// A cable that is away for 3 s, and back, is no silence (docs/faults.md). What others answered to a question that is not remembered, such
/// as a probe's, counts for the one before it, up to 0.25 s earlier; the rest is to spare.
const LONGER_THAN_A_BLIP: Duration = Duration::from_millis(3_500);
/// So many questions must have been put meanwhile: an agent that stood still asked none, and answers to one or two may be lost.
const UNANSWERED: usize = 3;
/// Two questions that are put within this time count as one: of a burst all answers may be lost together.
const COUNTS_APART: Duration = Duration::from_millis(900);
/// Between two questions that count, and between the last and now, lies no more than this, or nothing is known of the time between them: this host was cut off itself, or
/// heard nobody else. One question and one answer of another may be lost.
const GAP_AT_MOST: Duration = Duration::from_millis(2_500);
/// The others count as heard for this long after an answer: one answer may be lost; and a host that itself hears nobody any more notices
/// it before the silence of the others is long enough.
const HEARD_FOR: Duration = Duration::from_secs(2);
/// While somebody is UNREACHABLE it is looked this often whether it is silent.
const LOOK_EVERY: Duration = Duration::from_millis(50);

impl ExpelState {
    /// Asks the members' hosts for their addresses, each second, and once more when one of them is UNREACHABLE.
    pub(super) fn listen_to_hosts(&self, at: Moment<'_>, out: &mut Output) {
        if !at.group.expels_silent_hosts() {
            return;
        }
        let newest = self.suspects.values().map(|suspect| suspect.since).max();
        let every = if self.suspects.is_empty() { ASK_EVERY } else { ASK_EVERY_WHILE_SUSPECTED };
        let due = match (at.facts.neighbors.questions.back(), newest) {
            (Some(asked), newest) if newest.is_none_or(|since| asked.at >= since) => asked.at + every,
            _ => at.now,
        };
        if at.now >= due {
            out.learn_neighbors();
        }
        let next = if at.now >= due { at.now + every } else { due };
        out.wake(
            Timer::ListenToHosts,
            if self.suspects.is_empty() { next } else { next.min(at.now + LOOK_EVERY) },
        );
    }

    /// Neither its port nor its host has answered for longer than a cable's blip, and it is not this host that is cut off.
    pub(super) fn is_silent_everywhere(&self, at: Moment<'_>, id: &str, suspect: &Suspect) -> bool {
        if !at.group.expels_silent_hosts() {
            return false;
        }
        if planted!(at.group, ExpelOnTheGroupsWordAlone) {
            return self.hears_a_majority(at);
        }
        let Some(open) = at.facts.peers.open.get(id) else { return false };
        let Some(unanswered) = at.facts.neighbors.unanswered_by(open.address) else { return false };
        let Some(view) = at.facts.own_view() else { return false };
        // What nobody answers says something of this host alone: its own cable may have been away.
        let heard_by_others = |question: &&Question| is_majority(question.answered.len(), view.members.len());
        let all = planted!(at.group, ExpelWhileNobodyIsHeard);
        let unanswered = without_gaps(
            unanswered
                .filter(|question| all || heard_by_others(question))
                .map(|question| question.at)
                .collect(),
        );
        // After a time without a majority, in which nobody was asked, what was before it says nothing.
        if unanswered.last().is_none_or(|last| at.now.since(*last) > GAP_AT_MOST) {
            return false;
        }
        let for_long = unanswered.first().is_some_and(|first| at.now.since(*first) >= LONGER_THAN_A_BLIP);
        // The local server's answer shows that this agent did not stand still itself while it waited for the host's.
        let had_its_time = |asked: &Time| at.facts.server.asked_at.since(*asked) >= SILENT_AFTER;
        let lately = unanswered.iter().any(|asked| *asked >= suspect.since && had_its_time(asked));
        for_long
            && lately
            && count_apart(&unanswered) >= UNANSWERED
            && suspect.spoke_at.is_none_or(|spoke| unanswered.first().is_some_and(|first| spoke < *first))
            && suspect.is_silent(at.facts.server.asked_at)
            && (self.hears_a_majority(at) || planted!(at.group, ExpelWhileNobodyIsHeard))
    }

    /// This host, and the members that are ONLINE here and have just answered on the segment, since the last one became UNREACHABLE, are
    /// more than half of the group.
    fn hears_a_majority(&self, at: Moment<'_>) -> bool {
        let Some(view) = at.facts.own_view() else { return false };
        let Some(newest) = self.suspects.values().map(|suspect| suspect.since).max() else { return false };
        let is_heard = |id: &str| {
            let address = at.facts.peers.open.get(id).map(|open| open.address);
            address
                .and_then(|address| at.facts.neighbors.alive_at.get(&address))
                .is_some_and(|heard| *heard >= newest && at.now.since(*heard) <= HEARD_FOR)
        };
        let others = view.members.iter().filter(|member| {
            member.id != view.local && member.state == MemberState::Online && is_heard(&member.id)
        });
        is_majority(others.count(), view.members.len())
    }
}

/// Whether this host and so many others are more than half of them.
fn is_majority(others: usize, members: usize) -> bool {
    2 * (1 + others) > members
}

/// The last of these questions, in order: those after the last gap.
fn without_gaps(mut questions: Vec<Time>) -> Vec<Time> {
    let gap = questions.windows(2).rposition(|two| two[1].since(two[0]) > GAP_AT_MOST);
    questions.drain(..gap.map_or(0, |gap| gap + 1));
    questions
}

/// How many of these questions, in order, were put at moments of their own.
fn count_apart(questions: &[Time]) -> usize {
    let mut counted: Option<Time> = None;
    let mut count = 0;
    for asked in questions {
        if counted.is_none_or(|last| asked.since(last) >= COUNTS_APART) {
            counted = Some(*asked);
            count += 1;
        }
    }
    count
}
