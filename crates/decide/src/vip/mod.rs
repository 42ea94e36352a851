//! One VIP, as one agent sees it: the machine that claims it, holds it and lets go of it.
//!
//! ```text
//!                      it should be here, and is not
//!        ┌──────────┐ ───────────────────────────────> ┌──────────┐
//!        │  Absent  │                                  │ Claiming │  probes; the second check; rivals
//!        └──────────┘ <─────────────────────────────── └──────────┘
//!          ^   │          it should not any more            │ nobody has it, or it was released to this host
//!   it is  │   │ it is here all the same (S7)               v
//!   gone   │   └─────────────────────────────────────> ┌──────────┐  announces; renews its lease; answers claims (dispute),
//!        ┌───────────┐                                 │ Holding  │  strangers (conflict), and a "no" of its own (recheck)
//!        │ Releasing │ <────────────────────────────── └──────────┘
//!        └───────────┘    let go: list connections,         │ removed by somebody else, or its lease is over
//!                         remove, say that it is free       └──> Absent, and claimed again
//! ```
//!
//! `idle`, `probing`, `holding` and `releasing` are these four; `recheck`, `dispute`, `conflict`, `post_claim_check` and `lease` are
//! what goes on while it is held. What reaches it beside the facts comes in as a `VipInput`.

mod conflict;
mod copies;
mod dispute;
mod heard;
mod holding;
mod idle;
mod introduction;
mod lease;
mod machine;
mod orphan_syns;
mod post_claim_check;
mod probing;
mod reader_dispute;
mod recheck;
mod releasing;
mod settled;
mod state;

use std::mem;
use std::time::Duration;

pub use machine::{AsksAnew, VipMachine};
pub use state::{
    Claim, Conflict, Dispute, Hold, LeftBehind, OrphanSyns, PostClaimCheck, Rival, Stranger, VipState,
};

use crate::facts::News;
use crate::input::{Event, Fact, Frame};
use crate::moment::VipMoment;
use crate::output::{Action, LetGo, Output, Reason, VipAction};

/// After an attempt to add the address failed, it is not asked for again for this long.
const RETRY_AFTER_FAILURE: Duration = Duration::from_secs(1);

/// After a renewal failed, or came too late to be carried out, it is tried again after this long. The lease outlives several.
const RENEW_AGAIN_AFTER: Duration = Duration::from_millis(250);

/// What concerns one VIP and is no fact that everybody reads.
#[derive(Clone, Copy, Debug)]
pub(crate) enum VipInput<'a> {
    /// Something has just become known.
    News(&'a News),
    /// A frame about it.
    Frame(Frame),
    /// Whether frames about it can be heard from now on.
    ReceiveUp(bool),
    /// An order could not be carried out, in the words of what failed.
    Failed(&'a VipAction, &'a str),
}

impl VipMachine {
    /// The lease is over. A kernel that slept with the agent did not drop the address: then it is removed here, as the kernel would have.
    pub(crate) fn end_lease(&mut self, event: &Event, at: VipMoment<'_>, out: &mut Output) {
        self.state = match (mem::replace(&mut self.state, VipState::Absent), event) {
            (VipState::Holding(hold), Event::ClocksParted { suspended, .. })
                if *suspended > Duration::ZERO =>
            {
                self.let_go(at, out, hold, LetGo::Suspended(*suspended))
            }
            (VipState::Holding(hold), _) => {
                for question in [Action::AskHost, Action::AskServer, Action::AskGateway] {
                    out.act(question);
                }
                self.asks_anew = Some(AsksAnew::from(at.now));
                out.say(Reason::LeaseOver(hold.interface));
                self.remember_clients(at, out);
                VipState::Absent
            }
            (other, _) => other,
        };
    }

    /// Takes in what concerns it, before it is polled.
    pub(crate) fn take_in(&mut self, input: VipInput<'_>, at: VipMoment<'_>, out: &mut Output) {
        match input {
            VipInput::News(news) => self.take_in_news(news, at, out),
            VipInput::Frame(frame) => self.take_in_frame(at, out, frame),
            VipInput::ReceiveUp(up) => {
                self.receive_down = !up;
                // Others hear this interface anew, or have forgotten who it is.
                self.introduced_at = self.introduced_at.filter(|_| !up);
            }
            VipInput::Failed(action, text) => self.take_in_failure(action, text, at, out),
        }
    }

    fn take_in_news(&mut self, news: &News, at: VipMoment<'_>, out: &mut Output) {
        match (news, &mut self.state) {
            // An interface that came back may take the address now.
            (News::HostChanged, _) => self.retry_at = at.now,
            (News::InterfaceUp(interface), VipState::Holding(hold)) if *interface == hold.interface => {
                hold.announced = 0;
                hold.next_announce = at.now;
            }
            (News::GatewayLost(gateway), VipState::Holding(hold))
                if *gateway == at.policy.gateway && hold.recheck_since.is_some() =>
            {
                // Another stage failed before; that was no doubt of the gateway, which is to be looked at a second time too (S13).
                hold.recheck_since = Some(at.now);
                out.act(Action::AskGateway);
            }
            (News::ProcessEnded, VipState::Claiming(_)) => {
                // What the server said before its end is no evidence any more: the wish begins anew, with questions of its own.
                self.state = VipState::Absent;
            }
            _ => {}
        }
    }

    fn take_in_failure(&mut self, action: &VipAction, text: &str, at: VipMoment<'_>, out: &mut Output) {
        out.say(Reason::Failed(text.to_owned()));
        if let (VipAction::SendProbe, VipState::Claiming(claim)) = (action, &mut self.state) {
            // A probe that was not sent is not unanswered.
            claim.probes = 0;
        }
        if let (VipAction::RenewAddress { lifetime: Some(_), .. }, VipState::Holding(hold)) =
            (action, &mut self.state)
        {
            // It is decided anew, on what is known then.
            hold.next_renewal = Some(at.now + RENEW_AGAIN_AFTER);
        }
        let unconfirmed = matches!(&self.state, VipState::Holding(hold) if !hold.confirmed);
        if matches!(action, VipAction::AddAddress { .. }) && unconfirmed {
            self.state = VipState::Absent;
            self.retry_at = at.now + RETRY_AFTER_FAILURE;
        }
    }

    /// Moves on, by what is known now.
    pub(crate) fn poll(&mut self, at: VipMoment<'_>, out: &mut Output) {
        self.introduce(at, out);
        self.name_stranger(at, out);
        self.replace_copy(at, out);
        self.advance(at, out);
        self.remove_copies(at, out);
        self.watch_orphan_syns(at, out);
    }

    fn advance(&mut self, at: VipMoment<'_>, out: &mut Output) {
        let interface = match at.vip_interface() {
            Fact::Known(interface) => Some(interface),
            Fact::Unknown(why) => {
                if matches!(self.state, VipState::Absent | VipState::Claiming(_)) {
                    self.state = VipState::Absent;
                    out.say(Reason::HostNotKnown(why));
                    return;
                }
                None
            }
        };
        let giving_up = at.facts.giving_up;
        self.state = match (mem::replace(&mut self.state, VipState::Absent), interface) {
            (VipState::Absent | VipState::Claiming(_), Some(Some(interface))) if giving_up => {
                let hold = Self::hold_on(at, interface);
                self.let_go(at, out, hold, LetGo::Told)
            }
            (VipState::Absent | VipState::Claiming(_), _) if giving_up => {
                out.say(Reason::GivenUp);
                VipState::Absent
            }
            (VipState::Holding(hold), _) if giving_up => self.let_go(at, out, hold, LetGo::Told),
            (VipState::Absent | VipState::Claiming(_), Some(Some(interface))) => {
                self.adopt(at, out, interface)
            }
            (VipState::Absent, _) => self.consider_claiming(at, out),
            (VipState::Claiming(claim), _) => self.pursue(at, out, claim),
            (VipState::Holding(hold), _) => self.keep(at, out, hold),
            (VipState::Releasing { since, interface, retry_at }, _) => {
                self.await_removal(at, out, since, interface, retry_at)
            }
        };
    }

    /// Where the VIP is here: another that has it answers, which is a dispute. One for readers is asked for wherever it is: who has it is
    /// what placement begins with.
    pub(crate) fn ask_who_has_vip(&self, at: VipMoment<'_>, out: &mut Output) {
        if self.holds() || at.is_for_readers() {
            out.order(VipAction::AskWhoHasVip);
        }
    }

    /// Something is under way that calls for asking at the short interval.
    pub(crate) fn needs_fast_polling(&self, at: VipMoment<'_>) -> bool {
        match &self.state {
            VipState::Absent => false,
            VipState::Claiming(_) | VipState::Releasing { .. } => true,
            VipState::Holding(hold) => {
                hold.dispute.is_some()
                    || hold.recheck_since.is_some()
                    || !hold.confirmed
                    || hold.conflict.is_some_and(|conflict| conflict.owed_since.is_some())
                    || Self::waits_for_the_primary(at)
            }
        }
    }
}
