//! What is explored: how many hosts, which faults, how many of them.

use decide::policy::GroupPolicy;

use super::world::Place;

/// A kind of fault, or an operator's command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// `group_replication_set_as_primary()`, to this host.
    Switchover,
    /// The same, and the target has yet to apply what it has queued: the old primary is a secondary that takes writes meanwhile.
    SwitchoverWithBacklog,
    /// `SHUTDOWN` of the primary: it lies for as long as it likes.
    Shutdown,
    /// `kill -9` of the primary.
    Kill,
    /// The primary's process dies and is started again, outside the group.
    StartedAnew,
    /// The primary takes questions and does not answer.
    Hang,
    /// The primary's group port is cut: it goes on leading, by its own word.
    GroupCut,
    /// A host is cut off from all others, and from the gateway.
    Isolate,
    /// The primary's host goes dark.
    PowerOff,
    /// An agent stands still.
    AgentPaused,
    /// An agent is killed.
    AgentKilled,
    /// An agent is told to stop.
    AgentStopped,
    /// Somebody removes the VIP.
    RemovedByHand,
    /// A host's gateway does not answer.
    GatewayLost,
    /// A host's interface that only the VIP is on has no carrier: the VIP stays on it until it is removed.
    InterfaceDown,
    /// What watches a server is stuck.
    WatcherStuck,
    /// The operator pauses an agent, and resumes it some time.
    OperatorPauses,
    /// A server's next answer is a wrong "no": for a moment all others seem UNREACHABLE.
    WrongNo,
    /// A server has no connection to spare.
    Occupied,
    /// A host that is no member has the VIP: it announces it, and answers every probe.
    Stranger,
    /// … and announces it once more.
    StrangerAnnounces,
    /// The segment answers every probe for the host that announced the VIP last.
    SwitchAnswers,
}

impl Kind {
    /// It strikes the segment, and no host of its own.
    pub(super) fn is_of_the_segment(self) -> bool {
        matches!(self, Self::Stranger | Self::StrangerAnnounces | Self::SwitchAnswers)
    }
}

/// `claim_wait`, in ticks.
const CLAIM_WAIT: u8 = 4;
/// `evidence_age`, in ticks.
const EVIDENCE_AGE: u8 = 4;
/// FOLLOWS: a lease, two patiences with slow probes, and some. In ticks.
const FOLLOWS_WITHIN: u8 = 60;

/// What is explored.
#[derive(Clone, Debug)]
pub struct Configuration {
    /// What it is called.
    pub name: &'static str,
    /// How many hosts: 2 or 3.
    pub hosts: u8,
    /// The first primary: of two that claim at once the one with the lower address goes first.
    pub first_primary: Place,
    /// The kinds of fault that may come.
    pub kinds: &'static [Kind],
    /// How many faults at the most.
    pub faults: u8,
    /// How many messages may be lost or late.
    pub frames: u8,
    /// A holder whose server lives and leads no more waits for a claim for so many ticks.
    pub claim_wait: u8,
    /// How old evidence may be, in ticks.
    pub evidence_age: u8,
    /// FOLLOWS: a primary that nothing stands in the way of has the VIP after so many ticks.
    pub follows_within: u8,
    /// NO-STRAY-WRITES: an agent that stood still may hold on for so many ticks, until its first question is answered.
    pub strays_for: u8,
    /// What is due is handled host after host, but for frames to hosts that claim or hold, wake-ups and other members' answers:
    /// those in every order. Else all in every order.
    pub calm: bool,
    /// The VIP is on an interface of its own, where each agent says which member it is.
    pub own_interface: bool,
    /// A mistake in the rules.
    #[cfg(feature = "planted")]
    pub planted: Option<decide::planted::Planted>,
}

impl Configuration {
    const fn new(name: &'static str, hosts: u8, kinds: &'static [Kind], faults: u8, frames: u8) -> Self {
        Self {
            name,
            hosts,
            first_primary: 0,
            kinds,
            faults,
            frames,
            claim_wait: CLAIM_WAIT,
            evidence_age: EVIDENCE_AGE,
            follows_within: FOLLOWS_WITHIN,
            strays_for: 0,
            calm: hosts > 2,
            own_interface: false,
            #[cfg(feature = "planted")]
            planted: None,
        }
    }

    const fn on_its_own_interface(self) -> Self {
        Self { own_interface: true, ..self }
    }

    const fn led_by(self, first_primary: Place) -> Self {
        Self { first_primary, ..self }
    }

    const fn followed_within(self, follows_within: u8) -> Self {
        Self { follows_within, ..self }
    }

    const fn waits_for_a_claim(self, claim_wait: u8) -> Self {
        Self { claim_wait, ..self }
    }

    const fn believes_for(self, evidence_age: u8) -> Self {
        Self { evidence_age, ..self }
    }

    const fn strays_for(self, strays_for: u8) -> Self {
        Self { strays_for, ..self }
    }

    #[cfg_attr(not(feature = "planted"), allow(clippy::unused_self))]
    pub(super) fn plant(&self, group: &mut GroupPolicy) {
        #[cfg(feature = "planted")]
        {
            group.planted = self.planted;
        }
        #[cfg(not(feature = "planted"))]
        let _ = group;
    }

    /// All that is explored, the small ones first.
    pub const EACH: &[Self] = &[
        Self::new("a lying old primary", 2, &[Kind::Shutdown, Kind::RemovedByHand], 2, 0),
        Self::new("gateways and wrong answers", 2, &[Kind::GatewayLost, Kind::WrongNo, Kind::Occupied], 2, 0),
        Self::new("switchovers", 2, &[Kind::Switchover], 2, 0),
        Self::new(
            "the operator pauses agents",
            2,
            &[Kind::OperatorPauses, Kind::Switchover, Kind::RemovedByHand, Kind::GatewayLost],
            2,
            0,
        ),
        Self::new("switchovers with a backlog", 2, &[Kind::SwitchoverWithBacklog, Kind::RemovedByHand], 2, 0),
        Self::new("switchovers, a claim is waited for for long", 2, &[Kind::Switchover], 1, 0)
            .waits_for_a_claim(16)
            .followed_within(16),
        Self::new(
            "a stranger has the VIP",
            2,
            &[Kind::Stranger, Kind::StrangerAnnounces, Kind::Switchover, Kind::RemovedByHand],
            2,
            0,
        ),
        Self::new(
            "a network that answers for others",
            2,
            &[Kind::SwitchAnswers, Kind::Switchover, Kind::RemovedByHand],
            2,
            0,
        ),
        Self::new(
            "an interface of its own",
            2,
            &[Kind::Switchover, Kind::Shutdown, Kind::InterfaceDown],
            1,
            0,
        )
        .on_its_own_interface(),
        Self::new("deaths", 3, &[Kind::Kill, Kind::PowerOff], 1, 0),
        Self::new(
            "deaths, and a network that answers for others",
            3,
            &[Kind::SwitchAnswers, Kind::Kill, Kind::PowerOff],
            2,
            0,
        ),
        Self::new(
            "the operator pauses agents, deaths",
            3,
            &[Kind::OperatorPauses, Kind::Kill, Kind::Shutdown],
            2,
            0,
        ),
        Self::new("a server started anew", 3, &[Kind::StartedAnew], 1, 0),
        Self::new("a server started anew, agents pause", 2, &[Kind::StartedAnew, Kind::AgentPaused], 2, 0)
            .strays_for(4),
        Self::new("removed by hand, agents pause", 2, &[Kind::RemovedByHand, Kind::AgentPaused], 2, 0)
            // Evidence that outlasts a pause: what was not heard meanwhile is to be missed all the same.
            .believes_for(6),
        Self::new(
            "an agent that stands still is told to stop",
            2,
            &[Kind::RemovedByHand, Kind::AgentPaused, Kind::AgentStopped],
            2,
            0,
        ),
        Self::new("a cut group port", 3, &[Kind::GroupCut], 1, 0),
        Self::new("a switchover, late or lost", 2, &[Kind::Switchover], 1, 1),
        Self::new(
            "agents end and start in a switchover",
            2,
            &[Kind::Switchover, Kind::AgentKilled, Kind::AgentStopped],
            2,
            0,
        ),
        Self::new("hung servers, stuck watchers", 2, &[Kind::Hang, Kind::WatcherStuck, Kind::Occupied], 2, 0),
        Self::new("two shutdowns", 3, &[Kind::Shutdown], 2, 0),
        Self::new("a host cut off", 3, &[Kind::Isolate], 1, 0),
        Self::new("a server that hangs", 3, &[Kind::Hang], 1, 0),
        Self::new("a lying old primary, late or lost", 2, &[Kind::Shutdown, Kind::RemovedByHand], 2, 1),
        Self::new("a lying old primary, agents pause", 2, &[Kind::Shutdown, Kind::AgentPaused], 2, 0),
        Self::new("switchovers, led by the last", 3, &[Kind::Switchover], 2, 0).led_by(2),
        Self::new(
            "cut off, no gateway, agents pause",
            2,
            &[Kind::Isolate, Kind::GatewayLost, Kind::AgentPaused],
            2,
            0,
        ),
        Self::new("a switchover, twice late or lost", 2, &[Kind::Switchover], 1, 2),
        Self::new(
            "a switchover with a backlog, agents pause and end",
            2,
            &[Kind::SwitchoverWithBacklog, Kind::AgentPaused, Kind::AgentStopped, Kind::GatewayLost],
            2,
            0,
        ),
        Self::new("agents pause in a switchover", 2, &[Kind::Switchover, Kind::AgentPaused], 2, 0),
    ];
}
