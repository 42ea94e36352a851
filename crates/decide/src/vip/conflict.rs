//! A host that is no member and uses the VIP while it is held here (RFC 5227 section 2.4): prove again, then defend or let
//! go. A member's frames are a dispute (`dispute.rs`).

use std::time::Duration;

use super::machine::VipMachine;
use super::state::{Conflict, Hold, Stranger};
use crate::checks::{Stage, Stages, Verdict};
use crate::input::Says;
use crate::moment::VipMoment;
use crate::net::Mac;
use crate::output::{Action, LetGo, Output, Reason, VipAction};
use crate::timers::Timer;

/// RFC 5227 section 2.4 `DEFEND_INTERVAL`: a conflict that has been silent for this long is over.
const DEFEND_INTERVAL: Duration = Duration::from_secs(10);
/// Between two defences in a conflict's first [`DEFEND_INTERVAL`], and later. The RFC's own answer for an address that
/// must not be given up is one defence in 10 s, so that two hosts can't keep each other busy at the speed of the
/// network. But each of the stranger's frames turns clients' caches away from the primary, until the next defence turns
/// them back: after one in 10 s they would be lost for 10 s. These rates bound the traffic just as well: 20 small frames a
/// second for 10 s, then 2.
const DEFEND_AT_FIRST_EVERY: Duration = Duration::from_millis(100);
const DEFEND_LATER_EVERY: Duration = Duration::from_secs(1);
/// Between two announcements until a conflict is over. A stranger's answer to a client is for that client alone: nobody here
/// hears it, and without this the client would stay there until the next refresh, also when the stranger has gone.
const ANNOUNCE_DURING_CONFLICT: Duration = Duration::from_secs(1);

impl VipMachine {
    /// A frame about the VIP, which is held here, from a MAC that is not known to be a member's.
    pub(crate) fn stranger_while_holding(
        &mut self,
        at: VipMoment<'_>,
        out: &mut Output,
        hold: &mut Hold,
        from: Mac,
        says: Says,
    ) {
        match &mut self.stranger {
            Some(known) if known.mac == from => {
                if !known.says.is_use() && says.is_use() {
                    // Named for its question, if at all; its use of the address is another matter.
                    known.named_at = None;
                    known.says = says;
                }
            }
            _ => self.stranger = Some(Stranger { mac: from, says, since: at.now, named_at: None }),
        }
        at.learn_neighbors(out);
        if !says.is_use() {
            // The kernel answers it, and that is all that a stranger's question gets.
            return;
        }
        let going_on = hold.conflict.filter(|conflict| at.now.since(conflict.heard_at) < DEFEND_INTERVAL);
        let conflict = going_on.unwrap_or(Conflict {
            mac: from,
            since: at.now,
            heard_at: at.now,
            owed_since: None,
            defended_at: None,
        });
        if conflict.owed_since.is_none() {
            out.act(Action::AskServer);
        }
        let owed_since = Some(conflict.owed_since.unwrap_or(at.now));
        hold.conflict = Some(Conflict { mac: from, heard_at: at.now, owed_since, ..conflict });
    }

    /// Defends the address where it was proven since that this host leads; gives why to let go where it certainly does not.
    pub(crate) fn answer_conflict(
        &mut self,
        at: VipMoment<'_>,
        out: &mut Output,
        hold: &mut Hold,
        stages: &Stages,
        verdict: &Verdict,
    ) -> Option<LetGo> {
        let conflict = hold.conflict.as_mut()?;
        let owed_since = conflict.owed_since?;
        if stages.asked_at(Stage::Server) < owed_since {
            return None;
        }
        match verdict {
            Verdict::Up => {
                let long = at.now.since(conflict.since) >= DEFEND_INTERVAL;
                let every = if long { DEFEND_LATER_EVERY } else { DEFEND_AT_FIRST_EVERY };
                let due = conflict.defended_at.map_or(at.now, |at| at + every);
                if at.now < due {
                    out.wake(Timer::Defend, due);
                    return None;
                }
                conflict.defended_at = Some(at.now);
                conflict.owed_since = None;
                let mac = conflict.mac;
                out.order(VipAction::Announce);
                hold.next_announce = at.now + ANNOUNCE_DURING_CONFLICT;
                out.say(Reason::Defended(mac));
                if self.other_holder.is_some_and(|(other, _)| other == mac) {
                    // This host holds it, by a proof that is newer. Should it be taken away here, its return is not to wait
                    // for a host that had no right to it: one that uses it still answers the first probe.
                    self.other_holder = None;
                }
                None
            }
            // Failed twice: neither the clients of a dead server nor a successor's claim is worth a fight. To let go for a stranger's
            // sake is a choice all the same, and the operator's pause forbids those.
            Verdict::Down(stage, cause) if hold.down_since.is_some() && !at.pause_keeps_vip() => {
                Some(LetGo::ConflictWhileFailing(conflict.mac, *stage, cause.clone()))
            }
            // Not known: neither proof to defend it on, nor reason to let go.
            Verdict::Down(..) | Verdict::Unknown(..) => None,
        }
    }

    /// How long the next announcement may wait at the most because a stranger was heard lately; none where no conflict goes on.
    pub(crate) fn announce_against_a_stranger(at: VipMoment<'_>, hold: &Hold) -> Option<Duration> {
        let conflict = hold.conflict?;
        (at.now.since(conflict.heard_at) < DEFEND_INTERVAL).then_some(ANNOUNCE_DURING_CONFLICT)
    }
}
