//! What was seen. Each fact is `Known` or `Unknown(why)`, with the time at which it was asked for; an edge
//! module builds these and decides nothing. Here is what can happen; what is seen of whom is in the files beside.

mod host;
mod neighbor;
mod process;
mod server;

use core::fmt;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use host::{Host, HostAddress, Interface};
pub use neighbor::{Frame, Gateway, Says};
pub use process::ProcessSign;
pub use server::{
    Backlog, GroupView, Member, MemberPort, MemberState, NotAView, NotInGroup, Role, Server, ViewId,
};

use crate::net::{Mac, VipId};
use crate::output::group::{Action, Outcome, StatMark};
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
    /// The gateway with this address, which single VIPs have of their own (stage 4).
    OwnGateway(IpAddr, Seen<Gateway>),
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
    /// How far the local server is behind its group; asked for once a second where the cluster has reader VIPs.
    Backlog(Seen<Backlog>),
    /// Whether the local mysqld listens for clients, by the kernel's word, and has not written that it shuts down; looked at once a second,
    /// and after each sign of its process, where the cluster has reader VIPs. Known not to only where it was seen to before.
    Listens(Seen<bool>),
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
    /// Of where a reader VIP belongs: the other members have not been heard on this network, not yet or not any more.
    OthersNotHeard,
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
            Self::OthersNotHeard => {
                f.write_str("the other members have not been heard on this network, so it can't be told where the VIP belongs")
            }
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
