//! What a server says of itself and of its group: members, states, roles, and the view that orders two such words; and what is met at
//! its port.

use core::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What a server said of itself, as far as it is certain.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
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

/// What was met at a member's MySQL port.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemberPort {
    /// A server answers; its `server_uuid`, where it said it.
    Answers(Option<String>),
    /// The host refuses the connection: it is alive, and no process listens there.
    Refuses,
}

/// How far the local server is behind what its group has agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Backlog {
    /// Transactions of the group that it has received and not applied yet
    /// (`replication_group_member_stats.COUNT_TRANSACTIONS_REMOTE_IN_APPLIER_QUEUE`).
    pub transactions: u64,
    /// How long ago the transaction that it applied last was committed on the primary, while others wait; zero where none does.
    pub age: Duration,
}

/// The group as one member shows it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
