//! Everything that happened in a run, on one clock: what each witness, the client, the agents and the lab itself
//! told, in the order of time.
//!
//! Each witness is a process of its own, entered into a host's namespaces. It writes one [`Recorded`] per line, as
//! JSON, on standard output. `CLOCK_MONOTONIC` is the same for all processes of a machine, so their times compare.

mod recorder;
mod recording;

use std::net::IpAddr;
use std::time::Duration;

use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

pub use recorder::{Attach, Recorder};
pub use recording::{RecordError, Recording};

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recorded {
    /// When it was noticed: microseconds of `CLOCK_MONOTONIC`.
    pub at_us: u64,
    /// Whose it is: a database host's name (`db1`), `client`, `lab` …
    pub who: String,
    /// What happened.
    pub what: What,
}

impl Recorded {
    /// Something that happened just now.
    pub fn now(who: impl Into<String>, what: What) -> Self {
        Self { at_us: now_us(), who: who.into(), what }
    }
}

/// What can happen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// The address witness of a host has started, and these are the addresses there. It replaces what was known.
    Addresses(Vec<Address>),
    /// An address was put on an interface of the host `who`. A lease that is renewed is not told.
    AddressAdded(Address),
    /// An address went from an interface of the host `who`, taken or run out.
    AddressRemoved(Address),
    /// What the server of the host `who` says of itself; told when it changes.
    Role(Role),
    /// The server of the host `who` can't be asked, and why; told when it changes.
    NoRole {
        /// The reason, in the words of what failed.
        why: String,
        /// When it was asked, where it did not answer in time: what it would have said since then nobody knows. None: it is not there, or
        /// refuses.
        #[serde(default)]
        asked_us: Option<u64>,
    },
    /// The group as the server of the host `who` shows it; told when it changes.
    Group(GroupShown),
    /// An ARP frame about the VIP, seen by `who`.
    Arp {
        /// The sender's hardware address, `02:00:00:00:00:01`.
        from: String,
        /// What the frame is.
        kind: ArpKind,
        /// The address it is about.
        about: IpAddr,
    },
    /// The client has a connection through the VIP.
    Connected {
        /// `@@hostname` of the server at its other end.
        server: String,
    },
    /// The fate of one attempt to insert a row. `at_us` is when the client knew.
    Insert {
        /// The row's number.
        id: u64,
        /// When the attempt began, in the same microseconds.
        sent_us: u64,
        /// What became of it.
        outcome: Outcome,
    },
    /// Reads through a VIP went well: told when another server answers, when a pause is over, and once a second.
    Read {
        /// The VIP.
        about: IpAddr,
        /// Whether they are those of the connection that stays; otherwise each has a connection of its own.
        stays: bool,
        /// `@@hostname` of the server at the other end of the last one.
        server: String,
        /// When the last one was begun, in the same microseconds.
        sent_us: u64,
        /// How many, since the last time.
        reads: u64,
        /// The longest time from one to the next, of these.
        pause_us: u64,
    },
    /// A read through a VIP failed; told once for each reason, until one is good again.
    NotRead {
        /// The VIP.
        about: IpAddr,
        /// Whether it is that of the connection that stays.
        stays: bool,
        /// Why.
        text: String,
    },
    /// The sleeping client sits in a long query, at this server.
    Asleep {
        /// `@@hostname` of the server at its other end.
        server: String,
    },
    /// The sleeping client's query came to an end.
    Woken {
        /// What it was told.
        text: String,
    },
    /// The lab does something to a host, or begins to undo it.
    Fault {
        /// The fault's name, as on the command line: `switchover`, `kill-9` …
        name: String,
        /// The host that it is done to.
        host: String,
        /// The host that is to be primary afterwards, where the fault names one (a switchover).
        target: Option<String>,
        /// Whether the group is expected to get another primary.
        expects: Expects,
        /// Injected, or about to be healed.
        phase: Phase,
    },
    /// The host `who` has no power from now on: whatever its witnesses said last holds no longer.
    HostDown,
    /// The host `who` has power again. Its witnesses must be started anew: what the old ones said no longer counts.
    HostUp,
    /// From now on the lab has frames get lost on the network, or none any more.
    FramesGetLost(bool),
    /// The acknowledged rows were looked for in the primary's table.
    Verified {
        /// How many were acknowledged since the last time.
        acknowledged: u64,
        /// Those that are not there.
        missing: Vec<u64>,
    },
    /// A line of the log of the agent on the host `who`.
    Agent {
        /// The line, without its end.
        line: String,
    },
    /// Something the lab or a witness has to say that is none of the above.
    Said {
        /// In words.
        line: String,
    },
}

/// An IPv4 or IPv6 address on an interface.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Address {
    /// The address.
    pub address: IpAddr,
    /// Prefix length.
    pub prefix: u8,
    /// The interface's name.
    pub interface: String,
}

/// What a server says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    /// `MEMBER_STATE`; empty where the plugin shows no row.
    pub state: String,
    /// `MEMBER_ROLE`.
    pub role: String,
    /// `@@super_read_only`.
    pub super_read_only: bool,
    /// `VIEW_ID`.
    pub view: Option<String>,
    /// Rows in `replication_group_members`.
    pub members: u32,
    /// Those of them that are UNREACHABLE.
    pub unreachable: u32,
    /// Those of them that are PRIMARY: more than one in multi-primary mode.
    #[serde(default)]
    pub primaries: u32,
}

impl Role {
    /// `2 × UNREACHABLE < members`.
    pub fn has_majority(&self) -> bool {
        2 * u64::from(self.unreachable) < u64::from(self.members)
    }

    /// ONLINE, the only PRIMARY, writable, with a majority: what an election is over with. Nobody leads in multi-primary mode.
    pub fn is_writable_primary(&self) -> bool {
        let leads = self.role == "PRIMARY" && self.primaries <= 1;
        self.state == "ONLINE" && leads && !self.super_read_only && self.has_majority()
    }
}

/// A server's table of members.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupShown {
    /// The server's own UUID.
    pub own: String,
    /// Each row of `replication_group_members`.
    pub members: Vec<MemberShown>,
}

/// A row of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberShown {
    /// `MEMBER_ID`.
    pub id: String,
    /// `MEMBER_STATE`.
    pub state: String,
    /// `MEMBER_ROLE`.
    pub role: String,
}

/// What an ARP frame about an address is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ArpKind {
    /// Sender address 0.0.0.0: "may I use it?" (RFC 5227 section 1.1).
    Probe,
    /// Sender and target address are both the one it is about: gratuitous ARP, request or reply form.
    Announcement,
    /// "It is at this hardware address."
    Reply,
    /// "Who has it?"
    Request,
}

/// What became of an attempt to insert a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The server says it is committed.
    Acknowledged,
    /// The row tried again was there already: the attempt before, whose answer never came, had been committed.
    AcknowledgedLate,
    /// The server's error; the row is not there.
    Error {
        /// The error's number.
        code: u16,
        /// Its text.
        text: String,
    },
    /// There was no connection to send it on, and none could be made.
    ConnectFailed {
        /// Why not.
        text: String,
    },
    /// The connection was lost before the answer: the row may be there or not.
    Disconnected {
        /// How it was lost.
        text: String,
    },
    /// No answer within the read time-out: the row may be there or not.
    TimedOut,
}

impl Outcome {
    /// Whether the client has the server's word that the row is there.
    pub fn is_acknowledged(&self) -> bool {
        matches!(self, Self::Acknowledged | Self::AcknowledgedLate)
    }
}

/// What a fault does to the group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expects {
    /// Another member is to become primary.
    NewPrimary,
    /// The primary stays what it is (VIP removed by hand, agent restarted …).
    SamePrimary,
}

/// Where a fault stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// It begins: told just before it is done.
    Injected,
    /// The lab begins to undo it.
    Healed,
}

/// Now, in microseconds of `CLOCK_MONOTONIC`; 0 should the kernel refuse, which Linux never does for this clock.
pub fn now_us() -> u64 {
    clock_gettime(ClockId::CLOCK_MONOTONIC)
        .map_or(0, |time| u64::try_from(Duration::from(time).as_micros()).unwrap_or(u64::MAX))
}
