//! What was seen. Each fact is `Known` or `Unknown(why)`, with the time at which it was asked for; an edge
//! module builds these and decides nothing.

use core::fmt;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use crate::action::StatMark;
use crate::action::{Action, Outcome};
pub use crate::group_view::{GroupView, Member, MemberState, NotAView, NotInGroup, Role, Server, ViewId};
pub use crate::net::{Mac, VipId};
use crate::time::Time;

/// Something that was seen, or an invitation to look at the time.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The host's own addresses and interfaces, whole, after each change that the kernel tells of (stages 1 and 5).
    Host(Seen<Host>),
    /// The local server's answer, or why there is none (stages 2 and 3).
    Server(Seen<Server>),
    /// A member's server, asked in a dispute over the address (`AskPeer`).
    Peer {
        /// The member's address, as in `members`.
        member: IpAddr,
        /// Its answer.
        seen: Seen<Server>,
    },
    /// The gateway (stage 4).
    Gateway(Seen<Gateway>),
    /// A frame about this VIP that another host sent (never one of our own).
    Frame(VipId, Frame),
    /// Whether frames about this VIP can be heard on this member's interface from now on: not while the interface is down, or not
    /// there, or speaks not the VIP's family.
    ReceiveUp(VipId, bool),
    /// A member's (or any) address was seen to belong to this MAC; told when first learned, when it
    /// changes, and when it answers a question of ours: then its host lives.
    Neighbor {
        /// The address.
        address: IpAddr,
        /// Its owner's hardware address.
        mac: Mac,
    },
    /// An action that can fail was carried out.
    Done {
        /// Which.
        action: Action,
        /// How it went.
        outcome: Outcome,
    },
    /// At start: what the state file (S6) holds, and for how long it has; none where there is no such file.
    StatFile(Option<(StatMark, Duration)>),
    /// A member's MySQL port, looked at from here (`LookAtMember`). Unknown: it is silent.
    MemberPort {
        /// The member's address, as in `members`.
        member: IpAddr,
        /// What was met there.
        seen: Seen<MemberPort>,
    },
    /// The local server's `group_replication_member_expel_timeout` in seconds; unknown where this server has none, or
    /// where the agent's account may not use the procedures that change it.
    ExpelTimeout(Seen<u32>),
    /// At start: an earlier run of the agent set that variable to 0 and did not put it back; this was its value.
    ExpelTimeoutLeft(u32),
    /// The fence command has ended (`Fence`). Success proves that the member's host is dead.
    Fenced {
        /// The member's address.
        member: IpAddr,
        /// How it ended.
        outcome: Outcome,
    },
    /// The agent is told to stop (SIGTERM, SIGINT): the VIP stays as it is (S7).
    Stopping,
    /// The local server's process gave a sign.
    Process(ProcessSign),
    /// The agent is told to give the VIP up, and takes it no more, until [`Event::Undrain`]; or `Stopping` follows.
    Release,
    /// The agent may take the VIP again.
    Undrain,
    /// The host's clocks no longer differ by what they did at the last event: the host was suspended, its virtual machine was
    /// paused, or the wall clock was set. Told before whatever else woke the agent.
    ClocksParted {
        /// How long the host was suspended; zero: it was not.
        suspended: Duration,
        /// How far the wall clock was set, in milliseconds; negative: back.
        wall_step_ms: i64,
    },
    /// The operator pauses the agent until then: it takes nothing, lets go of nothing by choice and has nobody expelled sooner, but
    /// still yields to a claim. Told again, the last word counts; one that is over by now ends the pause.
    Pause {
        /// On the agent's own clock.
        until: Time,
    },
    /// The pause is over before its time.
    Resume,
    /// Nothing new but the time: `wake_at` has come.
    Wake,
}

/// What was seen of the local server's process. It says that something happened, and not what: the server's answer does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProcessSign {
    /// It is known and watched from now on: its end will be told, and after that its successor's start.
    Watched,
    /// It has ended.
    Ended,
    /// After its end: a process that may be its successor was started, or none would be noticed any more. It may listen soon.
    MayStart,
    /// It wrote to its error log. Group Replication does so when it sees a member silent or gone, when a primary is
    /// elected, and when it is stopped.
    WroteToItsLog,
}

/// A fact with the time at which the question was put. A fact is never younger than its question.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Seen<T> {
    /// When the question was put.
    pub asked_at: Time,
    /// The answer.
    pub fact: Fact<T>,
}

/// Known, or unknown and why. Not knowing is never taken for "no" (UNKNOWN-IS-NOT-NO).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fact<T> {
    /// It was seen.
    Known(T),
    /// It could not be seen, for this reason.
    Unknown(Why),
}

/// Why something is not known.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// Not asked yet, the agent has just started.
    NotAskedYet,
    /// The server accepted the question, or the connection, and gave no answer within the limit: hung or very slow.
    TimedOut(Duration),
    /// Error 1045: the server lives, the account or its password is wrong (S10: counts as connectable).
    WrongPassword(String),
    /// Errors 1040, 1203, 1226: the server lives and has no connection to spare.
    TooManyConnections(String),
    /// Errors 1142, 1044, 1227 …: the account may not read what it must.
    NotAllowed(String),
    /// Any other error that the server gave as its answer, in its words: it lives, and nobody knows more.
    ServerError(String),
    /// TLS could not be agreed on, or its certificate was not accepted.
    Tls(String),
    /// The host or network is not reachable (no route, no ARP answer): says nothing of the server.
    Unreachable(String),
    /// Anything else, in the words of what failed.
    Other(String),
}

impl Why {
    /// Whether this is the word of a server that lives (S10: a wrong password counts as connectable).
    pub fn server_lives(&self) -> bool {
        matches!(
            self,
            Self::WrongPassword(_)
                | Self::TooManyConnections(_)
                | Self::NotAllowed(_)
                | Self::ServerError(_)
                | Self::Tls(_)
        )
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAskedYet => f.write_str("not asked yet"),
            Self::TimedOut(limit) => write!(f, "no answer within {} ms", limit.as_millis()),
            Self::WrongPassword(text) => write!(
                f,
                "wrong user or password ({text}); correct the configuration, or the account on the primary"
            ),
            Self::TooManyConnections(text) => {
                write!(f, "too many connections ({text}); the agent needs one of its own")
            }
            Self::NotAllowed(text) => write!(
                f,
                "the account lacks a privilege ({text}); haipmgr sql --config FILE prints what to run on the primary"
            ),
            Self::ServerError(text) => {
                write!(f, "the server lives and answers with an error ({text}); look it up and mend it there")
            }
            Self::Tls(text) => write!(f, "TLS failed ({text}); check tls_ca and the server's certificate"),
            Self::Unreachable(text) => write!(f, "not reachable ({text})"),
            Self::Other(text) => f.write_str(text),
        }
    }
}

/// What was met at a member's MySQL port.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemberPort {
    /// A server answers; its `server_uuid`, where it said it.
    Answers(Option<String>),
    /// The host refuses the connection: it is alive, and no process listens there.
    Refuses,
}

/// This host's addresses and interfaces.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Host {
    /// Every address on every interface (loopback left out).
    pub addresses: Vec<HostAddress>,
    /// Every interface (loopback left out).
    pub interfaces: Vec<Interface>,
}

/// One address of this host.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct HostAddress {
    /// The address.
    pub address: IpAddr,
    /// Prefix length, 0–32 or 0–128.
    pub prefix: u8,
    /// Name of the interface that bears it.
    pub interface: String,
}

/// One network interface.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Interface {
    /// Its name, `eth0`.
    pub name: String,
    /// Administratively up and with carrier.
    pub running: bool,
}

/// What the probes of the gateway say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gateway {
    /// It answered one of the last few probes.
    Reachable,
    /// It missed this many in a row, as many as it takes to call it lost.
    Lost {
        /// Misses in a row.
        misses: u32,
    },
}

/// A frame about the VIP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Frame {
    /// The sender's hardware address.
    pub from: Mac,
    /// What it says.
    pub says: Says,
}

/// What a frame about the VIP says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Says {
    /// An ARP probe (RFC 5227 section 1.1): "may I use it?" A claim.
    Probe,
    /// `AnnounceRelease`, said to this host alone by the one that held the address: "it is free, and yours". The word holds for a
    /// moment only: another may find the address free after that.
    Release {
        /// When this host's kernel received it, which may be long before an agent that stood still reads it.
        heard_at: Time,
    },
    /// The same, said to another host or to nobody in particular, or nobody knows when.
    ReleaseToOthers,
    /// An ARP reply to us, from the owner of the address: "it is mine".
    Reply,
    /// A gratuitous ARP, request or reply form, or any other ARP with the VIP as the sender's address: "it is mine".
    Announcement,
}

impl Says {
    /// "It is mine": the sender uses the address.
    pub fn is_use(self) -> bool {
        matches!(self, Self::Reply | Self::Announcement)
    }
}
