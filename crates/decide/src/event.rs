//! What was seen. Each fact is `Known` or `Unknown(why)`, with the time at which it was asked for; an edge
//! module builds these and decides nothing.

use core::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::action::{Action, Outcome};
use crate::time::Time;

/// Something that was seen, or an invitation to look at the time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The host's own addresses and cards, whole, after each change that the kernel tells of (stages 1 and 5).
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
    /// A frame about the VIP that another host sent (never one of our own).
    Frame(Frame),
    /// A member's (or any) address was seen to belong to this MAC; told when first learned and when it changes.
    Neighbour {
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
    /// Nothing new but the time: `wake_at` has come.
    Wake,
}

/// A fact with the time at which the question was put. A fact is never younger than its question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen<T> {
    /// When the question was put.
    pub asked_at: Time,
    /// The answer.
    pub fact: Fact<T>,
}

/// Known, or unknown and why. Not knowing is never taken for "no" (UNKNOWN-IS-NOT-NO).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fact<T> {
    /// It was seen.
    Known(T),
    /// It could not be seen, for this reason.
    Unknown(Why),
}

/// Why something is not known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
            Self::WrongPassword(_) | Self::TooManyConnections(_) | Self::NotAllowed(_) | Self::Tls(_)
        )
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAskedYet => f.write_str("not asked yet"),
            Self::TimedOut(limit) => write!(f, "no answer within {} ms", limit.as_millis()),
            Self::WrongPassword(text) => write!(f, "wrong user or password ({text})"),
            Self::TooManyConnections(text) => write!(f, "too many connections ({text})"),
            Self::NotAllowed(text) => write!(f, "the account lacks a privilege ({text})"),
            Self::Tls(text) => write!(f, "TLS failed ({text})"),
            Self::Unreachable(text) => write!(f, "not reachable ({text})"),
            Self::Other(text) => f.write_str(text),
        }
    }
}

/// What was met at a member's MySQL port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemberPort {
    /// A server answers; its `server_uuid`, where it said it.
    Answers(Option<String>),
    /// The host refuses the connection: it is alive, and no process listens there.
    Refuses,
}

/// This host's addresses and cards.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// Every address on every card (loopback left out).
    pub addresses: Vec<HostAddress>,
    /// Every card (loopback left out).
    pub cards: Vec<Card>,
}

/// One address of this host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostAddress {
    /// The address.
    pub address: IpAddr,
    /// Prefix length, 0–32 or 0–128.
    pub prefix: u8,
    /// Name of the card that bears it.
    pub card: String,
}

/// One network card.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Card {
    /// Its name, `eth0`.
    pub name: String,
    /// Administratively up and with carrier.
    pub running: bool,
}

/// What a server said of itself, as far as it is certain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Server {
    /// It is in a group, in single-primary mode, and showed the members.
    Member(GroupView),
    /// It answers and leads nothing, for this reason.
    NotInGroup(NotInGroup),
    /// Nothing listens: the connection was actively refused or the socket file has no listener. The process is gone.
    Refused(String),
}

/// Why a server that answers is in no group that a VIP could follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NotInGroup {
    /// `replication_group_members` does not exist or is empty: the plugin is not there or not active.
    PluginMissing,
    /// The plugin is there, and Group Replication is not running.
    NotRunning,
    /// The group is in multi-primary mode (S8: not supported).
    MultiPrimary,
    /// Error 3032: the server is in offline mode, and turns this account away.
    OfflineMode,
}

impl fmt::Display for NotInGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PluginMissing => "the Group Replication plugin is not active",
            Self::NotRunning => "Group Replication is not running",
            Self::MultiPrimary => "the group is in multi-primary mode, which has no one primary to follow",
            Self::OfflineMode => "the server is in offline mode",
        })
    }
}

/// The group as one member shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupView {
    /// `@@server_uuid` of the server that answered.
    pub local: String,
    /// `@@super_read_only`.
    pub super_read_only: bool,
    /// `replication_group_member_stats.VIEW_ID` of the local member; none before the first view, or when unreadable.
    pub view: Option<ViewId>,
    /// Every row of `replication_group_members`.
    pub members: Vec<Member>,
}

impl GroupView {
    /// The row of the server that answered, matched by `@@server_uuid` and never by host name.
    pub fn local_member(&self) -> Option<&Member> {
        self.members.iter().find(|member| member.id == self.local)
    }

    /// How many members this server can't reach.
    pub fn unreachable(&self) -> usize {
        self.members.iter().filter(|member| member.state == MemberState::Unreachable).count()
    }

    /// `2 × UNREACHABLE < members`: without it ONLINE and PRIMARY prove nothing.
    pub fn has_majority(&self) -> bool {
        2 * self.unreachable() < self.members.len()
    }

    /// ONLINE, PRIMARY and with a majority, by its own word.
    pub fn is_primary(&self) -> bool {
        self.has_majority()
            && self
                .local_member()
                .is_some_and(|member| member.state == MemberState::Online && member.role == Role::Primary)
    }

    /// [`Self::is_primary`], and it takes writes.
    pub fn is_writable_primary(&self) -> bool {
        self.is_primary() && !self.super_read_only
    }
}

/// One row of `performance_schema.replication_group_members`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// `MEMBER_ID`.
    pub id: String,
    /// `MEMBER_HOST`.
    pub host: String,
    /// `MEMBER_PORT`.
    pub port: u16,
    /// `MEMBER_STATE`.
    pub state: MemberState,
    /// `MEMBER_ROLE`; in 5.7 worked out from `group_replication_primary_member`.
    pub role: Role,
}

/// `MEMBER_STATE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum MemberState {
    /// Takes part fully.
    Online,
    /// Catching up.
    Recovering,
    /// The plugin is loaded, the member is in no group.
    Offline,
    /// Left the group because of a fault.
    Error,
    /// The failure detector suspects it.
    Unreachable,
    /// A state this program does not know: never taken for ONLINE.
    Other,
}

impl fmt::Display for MemberState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Online => "ONLINE",
            Self::Recovering => "RECOVERING",
            Self::Offline => "OFFLINE",
            Self::Error => "ERROR",
            Self::Unreachable => "UNREACHABLE",
            Self::Other => "in an unknown state",
        })
    }
}

/// `MEMBER_ROLE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Role {
    /// The one that takes writes.
    Primary,
    /// All others.
    Secondary,
    /// Empty, as an OFFLINE member shows it.
    None,
}

/// A view of the group, `<group's birth>:<counter>`. Two views of the same birth are ordered: the group agreed on each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct ViewId {
    birth: String,
    counter: u64,
}

impl ViewId {
    /// From its two halves.
    pub fn new(birth: impl Into<String>, counter: u64) -> Self {
        Self { birth: birth.into(), counter }
    }

    /// Whether both views are of the group that was born at the same moment.
    pub fn is_of_the_same_group(&self, other: &Self) -> bool {
        self.birth == other.birth
    }

    /// Whether this view is certainly newer than `other`: same group's birth, higher counter. Views of groups
    /// of different birth can't be compared, and neither is newer.
    pub fn is_newer_than(&self, other: &Self) -> bool {
        self.birth == other.birth && self.counter > other.counter
    }
}

/// A `VIEW_ID` that is not `<birth>:<counter>`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a view of the form <birth>:<counter>")]
pub struct NotAView(pub String);

impl FromStr for ViewId {
    type Err = NotAView;

    fn from_str(text: &str) -> Result<Self, NotAView> {
        let refuse = || NotAView(text.to_owned());
        let (birth, counter) = text.split_once(':').ok_or_else(refuse)?;
        if birth.is_empty() {
            return Err(refuse());
        }
        Ok(Self::new(birth, counter.parse().map_err(|_| refuse())?))
    }
}

impl TryFrom<String> for ViewId {
    type Error = NotAView;

    fn try_from(text: String) -> Result<Self, NotAView> {
        text.parse()
    }
}

impl From<ViewId> for String {
    fn from(view: ViewId) -> Self {
        view.to_string()
    }
}

impl fmt::Display for ViewId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.birth, self.counter)
    }
}

/// What the probes of the gateway say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

/// A hardware address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Mac(pub [u8; 6]);

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, byte) in self.0.iter().enumerate() {
            write!(f, "{}{byte:02x}", if place == 0 { "" } else { ":" })?;
        }
        Ok(())
    }
}

/// A frame about the VIP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Frame {
    /// The sender's hardware address.
    pub from: Mac,
    /// What it says.
    pub says: Says,
}

/// What a frame about the VIP says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Says {
    /// An ARP probe (RFC 5227 section 1.1): "may I use it?" A claim, or, from the host that held it, "it is free".
    Probe,
    /// An ARP reply to us, from the owner of the address: "it is mine".
    Reply,
    /// A gratuitous ARP, request or reply form, or any other ARP with the VIP as the sender's address: "it is mine".
    Announcement,
}

/// The character in the state file (S6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StatMark {
    /// `0`: the VIP was closed here.
    Stopped,
    /// `1`: nothing has changed lately.
    Quiet,
    /// `2`: the VIP was started here.
    Started,
}

impl StatMark {
    /// The one character.
    pub fn character(self) -> char {
        match self {
            Self::Stopped => '0',
            Self::Quiet => '1',
            Self::Started => '2',
        }
    }
}
