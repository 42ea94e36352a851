//! One state of the model: hosts with their kernels, servers and agents, what is under way to them, and the group in truth.

use decide::input::{ProcessSign, Says};
use oracle::{Breach, Invariant, outside};

/// A host, by its place.
pub type Place = u8;

/// A host that is no member.
pub const STRANGER: Place = 7;

/// An agent's memory, by its number in [`super::agent::Memories`].
pub type Memory = u32;

/// What a server shows of the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shows {
    /// The view's counter.
    pub counter: u8,
    /// The members, a bit each.
    pub members: u8,
    /// The primary.
    pub primary: Place,
    /// `super_read_only`.
    pub read_only: bool,
    /// UNREACHABLE members, a bit each.
    pub unreachable: u8,
}

/// A server's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Answer {
    /// The group, true or not.
    Shows(Shows),
    /// Nothing listens.
    Refused,
    /// It is in no group, and read-only.
    NotInGroup,
    /// It is in no group, and takes writes.
    Outside,
    /// None within the limit.
    TimedOut,
    /// Too many connections: it lives.
    Occupied,
    /// The host can't be reached.
    Unreachable,
}

/// Something to be told to an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum What {
    /// A frame about the VIP.
    Frame(Place, Says),
    /// The own server's answer.
    Server(Answer),
    /// A sign of the own server's process.
    Sign(ProcessSign),
    /// Another member's server's answer.
    Peer(Place, Answer),
    /// The host's addresses, as they are when it is told.
    Addresses,
    /// The gateway: whether it answers.
    Gateway(bool),
    /// These members answered for their own addresses, a bit each.
    Neighbors(u8),
    /// The time.
    Wake,
    /// Told to stop.
    Stopping,
    /// The operator pauses the agent, or resumes it.
    OperatorPauses(bool),
    /// The kernel found nothing to renew.
    RenewalGone,
}

impl What {
    /// Messages of one key stay in their order; else the order says nothing.
    pub(super) fn key(self) -> (u8, Place) {
        match self {
            // One switch, one socket: all frames in the order in which they were sent.
            Self::Frame(..) => (0, 0),
            Self::Server(_) => (1, 0),
            Self::Peer(from, _) => (2, from),
            Self::Addresses => (3, 0),
            Self::Sign(_) => (5, 0),
            Self::Gateway(_)
            | Self::Neighbors(_)
            | Self::Wake
            | Self::Stopping
            | Self::OperatorPauses(_)
            | Self::RenewalGone => (4, 0),
        }
    }
}

/// A message under way to an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Mail {
    /// Ticks until it is there.
    pub due: u8,
    /// Ticks since its question was put; of a frame, since it arrived.
    pub age: u8,
    /// What.
    pub what: What,
}

/// How a server treats questions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Process {
    /// It answers, and learns what the group decides.
    Answers,
    /// It answers what it knew last: it is being shut down, or cut off from the group.
    Stale,
    /// It takes questions and does not answer.
    Blocks,
    /// Its process is gone.
    Refuses,
    /// It answers that it is in no group.
    LeftGroup,
    /// It is being started again, and does not listen yet.
    Starts,
    /// Started again, it takes questions and does not answer.
    StartedBlocks,
    /// Started again, it answers that it is in no group, and takes writes.
    StartedOutside,
}

/// Never, of things counted in ticks; of a lease: it does not end.
pub const NEVER: u8 = u8::MAX;

/// One host.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[allow(clippy::struct_excessive_bools, reason = "independent of each other, each set by a fault of its own")]
pub struct Host {
    /// It has power.
    pub powered: bool,
    /// Its agent's memory, while there is one.
    pub agent: Option<Memory>,
    /// The agent stands still.
    pub paused: bool,
    /// The operator has paused the agent.
    pub paused_by_operator: bool,
    /// Ticks until the agent looks by itself.
    pub wake: u8,
    /// Ticks until the next poll, and between two.
    pub poll: (u8, u8),
    /// A question to its server is under way, and whether another is to follow.
    pub asking: (bool, bool),
    /// Messages to its agent.
    pub mail: Vec<Mail>,
    /// The kernel bears the VIP for so many ticks more.
    pub vip: Option<u8>,
    /// How its server treats questions.
    pub process: Process,
    /// What its server shows.
    pub shows: Shows,
    /// Its server has no connection to spare.
    pub occupied: bool,
    /// Its server's next answer is a wrong "no": for a moment all others seem UNREACHABLE.
    pub wrong_no: bool,
    /// What watches the server is stuck: not even a time-out is told.
    pub stuck: bool,
    /// Its gateway does not answer.
    pub gateway_lost: bool,
    /// Its interface that only the VIP is on has no carrier.
    pub interface_down: bool,
    /// It is cut off from all others, since so many ticks (10 at most).
    pub isolated: Option<u8>,
    /// For so many ticks it has led in truth, and everything of it has been well.
    pub well: u8,
    /// For so many ticks it has held, and its agent has run, while its server takes writes outside the group.
    pub stray: u8,
    /// For so many ticks its agent has stood still.
    pub still: u8,
}

/// What the group is about to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pending {
    /// Nothing.
    Nothing,
    /// To make this member the primary, in the same view.
    Elect(Place),
    /// To go on without this member, after so many ticks at the least.
    Expel(Place, u8),
    /// To let the elected primary take writes.
    Writable,
}

/// The group in truth.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Group {
    /// The newest view's counter.
    pub counter: u8,
    /// Its members, a bit each.
    pub members: u8,
    /// Its primary.
    pub primary: Place,
    /// The primary takes writes.
    pub writable: bool,
    /// The former primary, which takes writes until the new one has applied what it had queued.
    pub yielding: Option<Place>,
    /// What comes next.
    pub pending: Pending,
}

impl Group {
    /// What a server shows that knows all.
    pub fn shown_by(&self, place: Place) -> Shows {
        Shows {
            counter: self.counter,
            members: self.members,
            primary: self.primary,
            read_only: !(self.writable && self.primary == place) && self.yielding != Some(place),
            unreachable: 0,
        }
    }

    /// Whether this host's server is in it.
    pub fn has(&self, place: Place) -> bool {
        self.members & (1 << place) != 0
    }
}

/// One state of the model.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct World {
    /// The hosts.
    pub hosts: Vec<Host>,
    /// The group in truth.
    pub group: Group,
    /// Faults that may still come.
    pub faults: u8,
    /// Messages that may still be lost or late.
    pub frames: u8,
    /// A stranger has the VIP, since so many ticks (10 at most).
    pub stranger: Option<u8>,
    /// The segment answers probes for the host that announced the VIP last.
    pub switch_answers: bool,
    /// Who that is; kept where a segment may answer.
    pub announced_by: Option<Place>,
    /// For so many ticks the VIP has not been where it should be, although nothing stands in the way.
    pub unfollowed: u8,
    /// The invariant that was broken on the way here.
    pub broken: Option<Invariant>,
}

impl World {
    /// Whether two hosts hear each other.
    pub fn hear(&self, one: Place, other: Place) -> bool {
        one != other && self.is_on_segment(one) && self.is_on_segment(other)
    }

    /// A host hears the segment that the VIP is on.
    pub fn is_on_segment(&self, place: Place) -> bool {
        self.is_reached(place) && !self.hosts[usize::from(place)].interface_down
    }

    /// Whether two hosts reach each other by the members' addresses.
    pub fn reach(&self, one: Place, other: Place) -> bool {
        one != other && self.is_reached(one) && self.is_reached(other)
    }

    fn is_reached(&self, place: Place) -> bool {
        let host = &self.hosts[usize::from(place)];
        host.powered && host.isolated.is_none()
    }

    /// Every host's place.
    pub fn places(&self) -> impl Iterator<Item = Place> + use<> {
        0..u8::try_from(self.hosts.len()).unwrap_or(u8::MAX)
    }

    /// Notes a broken invariant; the first one counts.
    pub fn break_(&mut self, invariant: Invariant) {
        self.broken.get_or_insert(invariant);
    }

    /// … as the oracle found it.
    pub(super) fn found<T>(&mut self, found: Result<T, Breach>) -> Option<T> {
        found.map_err(|breach| self.break_(breach.invariant)).ok()
    }

    /// Two hosts that hear each other hold the VIP.
    pub fn has_two_holders(&self) -> bool {
        let holders = (0..self.hosts.len()).filter(|place| self.hosts[*place].vip.is_some());
        let place = |place: usize| Place::try_from(place).unwrap_or(STRANGER);
        outside::two_holders(&holders, |one, other| self.hear(place(one), place(other))).is_some()
    }

    /// This host leads in truth, and nothing of it is in the way of its holding.
    pub fn is_well(&self, place: Place) -> bool {
        let host = &self.hosts[usize::from(place)];
        self.group.writable
            && self.group.primary == place
            && host.powered
            && host.agent.is_some()
            && !host.paused
            && host.process == Process::Answers
            && host.shows == self.group.shown_by(place)
            && !host.occupied
            && !host.stuck
            && !host.gateway_lost
            && !host.interface_down
            && host.isolated.is_none()
    }
}
