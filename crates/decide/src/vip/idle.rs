//! The VIP is not here: whether it should be, and then the claim begins.

use std::collections::BTreeMap;
use std::mem;
use std::net::IpAddr;

use super::machine::VipMachine;
use super::state::{Claim, Rival, VipState};
use crate::checks::Verdict;
use crate::moment::VipMoment;
use crate::output::{Action, Output, Reason};
use crate::time::Time;
use crate::timers::Timer;

impl VipMachine {
    /// The VIP is not here: claim it, where it should be.
    pub(crate) fn consider_claiming(&mut self, at: VipMoment<'_>, out: &mut Output) -> VipState {
        match at.verdict_to_start() {
            Verdict::Down(stage, cause) => {
                out.say(Reason::NotWanted(stage, cause));
                VipState::Absent
            }
            Verdict::Unknown(stage, why) => {
                out.say(Reason::NotKnown(stage, why));
                VipState::Absent
            }
            Verdict::Up if at.may_not_take() => {
                out.say(Reason::Paused);
                VipState::Absent
            }
            Verdict::Up if at.now < self.retry_at => {
                out.say(Reason::Retrying);
                out.wake(Timer::AddAgain, self.retry_at);
                VipState::Absent
            }
            Verdict::Up => {
                out.act(Action::AskServer);
                out.act(Action::AskGateway);
                let rivals = self.rivals_at_first(at, out);
                self.pursue(
                    at,
                    out,
                    Claim {
                        since: at.now,
                        asked_at: at.now,
                        probes: 0,
                        next_probe: at.now,
                        taken_since: None,
                        answered: None,
                        others: Vec::new(),
                        released_at: None,
                        ready_since: None,
                        rivals,
                    },
                )
            }
        }
    }

    /// Those who began to claim before this agent: a holder that lets go for one of them says so to all, and only one is to
    /// take it.
    fn rivals_at_first(&mut self, at: VipMoment<'_>, out: &mut Output) -> BTreeMap<IpAddr, Rival> {
        let now = at.now;
        let heard = mem::take(&mut self.claimants);
        let lately = |heard: Time| now.since(heard) < Self::given_up_after(at);
        let rivals: BTreeMap<_, _> = heard
            .into_iter()
            .filter(|(_, at)| lately(*at))
            .map(|(member, heard_at)| (member, Rival { since: now, heard_at }))
            .collect();
        for member in rivals.keys() {
            at.ask_peer_unless_asked_since(out, *member, now);
        }
        rivals
    }
}
