//! One host: its power, its kernel with the VIP, its agent's memory, its server.

use std::time::Duration;

use decide::State;
use decide::driver::Driver;
use decide::output::Reason;
use decide::time::Time;
use oracle::Book;

use super::World;
use super::readers::Candidate;
use crate::group::{ModelServer, Place, View};
use crate::nic::Nic;

/// One host.
#[derive(Clone, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "independent of each other, each set by a fault of its own")]
pub struct ModelHost {
    /// It has power.
    pub powered: bool,
    /// The virtual machine stands still until then.
    pub paused_until: Option<Time>,
    /// How long it is to stand still, or stood still last.
    pub(super) pause_length: Duration,
    /// Its clock is set right when it goes on.
    pub(super) clock_jumps: bool,
    /// Its interfaces.
    pub(super) cards: [Card; 2],
    /// The agent's memory, while it runs.
    pub agent: Option<Box<Driver>>,
    /// Counts the agent's starts: what was meant for an earlier one is dropped.
    pub life: u32,
    /// The agent handles nothing before this.
    pub busy_until: Time,
    /// The agent's process is stopped until then.
    pub hung_until: Option<Time>,
    /// What watches its server is stuck until then.
    pub(super) asker_stuck_until: Option<Time>,
    /// When it last went on.
    pub(super) asker_back_at: Option<Time>,
    /// Its server.
    pub server: ModelServer,
    /// What it has to do with each VIP.
    pub vips: Vec<HostVip>,
    /// What its agent last said of how things stand, and how often that changed: each change is a line in its log.
    pub stands: Option<Reason>,
    /// How often `stands` changed. Counted while a story is told.
    pub changes_of_mind: usize,
    /// When its agent may be told that the gateway is lost, while it does not answer.
    pub gateway_lost_at: Option<Time>,
    /// The same of the gateway that one VIP has of its own.
    pub own_gateway_lost_at: Option<Time>,
    /// Since when its own server has led, its gateway answered and its agent run undisturbed.
    pub well_since: Option<Time>,
    /// … that one VIP has of its own.
    pub(super) own_well_since: Option<Time>,
    /// … whether a gateway answers or not.
    pub(super) leads_since: Option<Time>,
    /// `group_replication_member_expel_timeout`, in seconds.
    pub expel_timeout: u32,
    /// Since when it is what the operator did not set.
    pub expel_changed_since: Option<Time>,
    /// The operator's value, on disk while it is changed.
    pub expel_on_disk: Option<u32>,
    /// Since when its server has shown nobody as UNREACHABLE.
    pub(super) all_reachable_since: Time,
    /// Since when the agent has run, neither stopped nor paused.
    pub(super) acts_since: Option<Time>,
    /// When its server last went on after it had hung.
    pub(super) went_on_at: Time,
    /// Since when the agent has run undisturbed beside a server that answers: it can put back what it changed.
    pub fit_since: Option<Time>,
    /// This host's clock is ahead of the world's by so many microseconds, or behind it.
    pub(super) clock_ahead: i64,
    /// Its agent is started again as soon as it has ended.
    pub(super) starts_again: bool,
    /// Its agent is stopped (SIGSTOP) for so long between its next decision and the deed, or between two deeds.
    pub(super) hangs_at_a_deed: Option<Duration>,
    /// When its agent decided last, on its clock.
    pub(super) decided_at: Time,
    /// What it knew before, where the poll that it decides on may be left out.
    pub(super) before: Option<Box<State>>,
    /// So many transactions wait in its server's applier queue.
    pub(super) backlog: u64,
    /// How it stands as one that may serve readers.
    pub(super) candidate: Candidate,
    /// Its agent was told to give the VIP up.
    pub(super) giving_up: bool,
    /// The operator has paused its agent until then, on the world's clock: kept on disk and in the group.
    pub(super) operator_pauses_until: Option<Time>,
    /// … and so its agent was told, on its own clock.
    pub(super) paused_on_its_clock: Option<Time>,
    /// The agent can't see its server's process: it is in a container.
    pub(super) process_is_hidden: bool,
    /// When its agent was last told something, or looked at the time.
    pub(super) last_step: Time,
    pub(super) poll: Duration,
    /// Polls are due at this and then at each `poll`.
    pub(super) poll_base: Time,
    pub(super) poll_serial: u32,
    /// Polls are left out: each would tell the agent what it knows already.
    pub(super) parked: bool,
    /// As `parked`, but the polls are carried out, to check that.
    pub(super) would_park: bool,
    /// It was either of both until just now.
    pub(super) was_parked: bool,
    pub(super) last_frame: Time,
    pub(super) last_addresses: Time,
    pub(super) last_of_operator: Time,
    pub(super) wake_at: Time,
    pub(super) loop_at: Option<Time>,
    /// A question to its server is under way, put then: one kept connection takes one at a time.
    pub(super) question: Option<(u32, Time)>,
    pub(super) question_serial: u32,
    /// … and another is to be put when it is answered.
    pub(super) ask_again: bool,
}

/// One interface of a host.
#[derive(Clone, Copy, Debug)]
pub(super) struct Card {
    /// It is there.
    pub(super) there: bool,
    /// It has a carrier.
    pub(super) carrier: bool,
    /// It has an address of its own, beside VIPs.
    pub(super) addressed: bool,
    /// Counts the interfaces: each has a hardware address of its own.
    pub(super) serial: u8,
    /// Since when all of that has been so, the host being awake.
    pub(super) serves_since: Option<Time>,
    /// From then on its hardware address counts as its host's where hosts have to say who they are: there was another before it.
    pub(super) known_from: Time,
}

impl Card {
    fn new(now: Time) -> Self {
        Self { there: true, carrier: true, addressed: true, serial: 0, serves_since: None, known_from: now }
    }

    /// A VIP may be on it.
    pub(super) fn serves(&self) -> bool {
        self.there && self.carrier && self.addressed
    }
}

/// What one host has to do with one VIP.
#[derive(Clone, Debug)]
pub struct HostVip {
    /// The kernel bears it, and drops it then.
    #[allow(clippy::option_option, reason = "here or not; and if here, for ever or until then")]
    pub here: Option<Option<Time>>,
    /// Since when.
    pub(super) since: Time,
    /// When its agent removed it last.
    pub(super) removed_at: Option<Time>,
    /// When somebody else than its agent took it away last.
    pub(super) flushed_at: Option<Time>,
    /// It is here because `takeover_after` was over, though another answered for it.
    pub(super) overruled: bool,
    /// What its agent was told and ordered about it, for the invariants.
    pub(super) book: Book,
}

impl HostVip {
    fn new(now: Time) -> Self {
        let book = Book::new(now);
        Self { here: None, since: now, removed_at: None, flushed_at: None, overruled: false, book }
    }
}

impl ModelHost {
    /// With power, an idle agent's place, and a server that answers.
    pub(super) fn new(view: View, place: Place, now: Time, poll: Duration, vips: usize) -> Self {
        Self {
            powered: true,
            paused_until: None,
            pause_length: Duration::ZERO,
            clock_jumps: false,
            cards: [Card::new(now), Card::new(now)],
            agent: None,
            life: 0,
            busy_until: now,
            hung_until: None,
            asker_stuck_until: None,
            asker_back_at: None,
            server: ModelServer::new(place, view),
            vips: vec![HostVip::new(now); vips],
            stands: None,
            changes_of_mind: 0,
            gateway_lost_at: None,
            own_gateway_lost_at: None,
            well_since: None,
            own_well_since: None,
            leads_since: None,
            expel_timeout: OPERATORS_TIMEOUT,
            expel_changed_since: None,
            expel_on_disk: None,
            all_reachable_since: now,
            acts_since: None,
            went_on_at: Time(0),
            fit_since: None,
            clock_ahead: 0,
            starts_again: false,
            hangs_at_a_deed: None,
            decided_at: now,
            before: None,
            backlog: 0,
            candidate: Candidate::default(),
            giving_up: false,
            operator_pauses_until: None,
            paused_on_its_clock: None,
            process_is_hidden: false,
            last_step: now,
            poll,
            poll_base: now,
            poll_serial: 0,
            parked: false,
            would_park: false,
            was_parked: false,
            last_frame: now,
            last_addresses: now,
            last_of_operator: now,
            wake_at: now,
            loop_at: None,
            question: None,
            question_serial: 0,
            ask_again: false,
        }
    }

    /// One of its interfaces.
    pub(super) fn card(&self, nic: Nic) -> &Card {
        &self.cards[nic.place()]
    }

    pub(super) fn card_mut(&mut self, nic: Nic) -> &mut Card {
        &mut self.cards[nic.place()]
    }

    /// This interface is there, and carries frames.
    pub(super) fn is_on(&self, nic: Nic) -> bool {
        let card = self.card(nic);
        card.there && card.carrier
    }

    /// It has power and its clock runs.
    pub fn is_awake(&self) -> bool {
        self.powered && self.paused_until.is_none()
    }

    /// An agent runs here and is neither stopped nor paused.
    pub fn agent_acts(&self) -> bool {
        self.is_awake() && self.agent.is_some() && self.hung_until.is_none()
    }
}

/// What the operator set, in seconds: MySQL's default.
pub(super) const OPERATORS_TIMEOUT: u32 = 5;

impl World {
    /// The time on a host's clock.
    pub(super) fn clock(&self, host: Place) -> Time {
        Time(self.now.0.saturating_add_signed(self.hosts[host].clock_ahead))
    }

    /// When a host's clock will show this.
    pub(super) fn on_world_clock(&self, host: Place, at: Time) -> Time {
        Time(at.0.saturating_add_signed(-self.hosts[host].clock_ahead))
    }
}
