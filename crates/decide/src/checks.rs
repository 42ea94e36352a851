//! The legacy program's stages 1–4 (S9–S12), each a finding, and the verdict they give together. Pure data: the log,
//! `check` and any status page show these.

use core::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::entitlement::Entitlement;
use crate::event::{Fact, Gateway, Host, MemberState, NotInGroup, Seen, Server, ViewId, Why};
use crate::policy::{GatewayLost, Policy};
use crate::time::Time;

/// The legacy program's stages, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// 1: is this host a member (address and interface both match)? S9
    Member = 1,
    /// 2: can mysqld be connected to? S10
    Server = 2,
    /// 3: is it ONLINE, the primary, writable, with a majority? S11
    Primary = 3,
    /// 4: is the gateway reachable? S12
    Gateway = 4,
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Member => "member",
            Self::Server => "server",
            Self::Primary => "primary",
            Self::Gateway => "gateway",
        };
        write!(f, "stage {} ({name})", *self as u8)
    }
}

/// Why a stage fails: something known, never a lack of knowledge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// None of this host's addresses is a member's address on the interface named for it.
    NotAMember,
    /// Nothing listens where the local server should.
    Refused(String),
    /// The server answers and is in no group.
    NotInGroup(NotInGroup),
    /// Its own row is missing from the group's members.
    NotListed,
    /// Its state is not ONLINE.
    NotOnline(MemberState),
    /// Too many members are UNREACHABLE.
    NoMajority {
        /// How many.
        unreachable: usize,
        /// Of how many.
        members: usize,
    },
    /// ONLINE, another member is the primary, and it takes no writes.
    Secondary,
    /// ONLINE, another member is the primary, and it still takes writes: a switchover whose target has yet to apply what it
    /// had queued, or somebody's hand.
    SecondaryWritable,
    /// The primary, and `super_read_only` is on.
    ReadOnly,
    /// It has refused connections since it last spoke, and now does not answer, or turns us away: another process, which is in
    /// no group until it says so.
    StartedAnew,
    /// It thinks that it leads, in a view older than the newest that was seen (NEWEST-VIEW).
    StaleView {
        /// Its view.
        own: ViewId,
        /// The newest seen.
        newest: ViewId,
    },
    /// The gateway does not answer.
    GatewayLost {
        /// Misses in a row.
        misses: u32,
    },
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAMember => f.write_str("no address of this host is a member's address on the interface that `members` names for it"),
            Self::Refused(text) => write!(f, "mysqld is not running: {text}"),
            Self::NotInGroup(why) => write!(f, "{why}"),
            Self::NotListed => f.write_str("the server is not among the group's members"),
            Self::NotOnline(state) => write!(f, "the server is {state}, not ONLINE"),
            Self::NoMajority { unreachable, members } => {
                write!(f, "no majority: {unreachable} of {members} members are UNREACHABLE")
            }
            Self::Secondary => f.write_str("the server is ONLINE and a secondary"),
            Self::SecondaryWritable => f.write_str("the server is a secondary that still takes writes"),
            Self::ReadOnly => {
                f.write_str("the server is the primary and not writable (super_read_only is on)")
            }
            Self::StartedAnew => f.write_str(
                "mysqld was down since it last answered, and the new process has not yet said that it is in its group",
            ),
            Self::StaleView { own, newest } => {
                write!(f, "the server shows view {own}, but the group is at {newest} by now")
            }
            Self::GatewayLost { misses } => write!(f, "the gateway has missed {misses} probes in a row"),
        }
    }
}

/// What one stage found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finding {
    /// As it must be.
    Passed,
    /// Certainly not.
    Failed(Cause),
    /// Not known.
    Unknown(Why),
}

/// All four, with the time at which each one's question was put.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stages {
    /// Stage 1.
    pub member: (Finding, Time),
    /// Stage 2.
    pub server: (Finding, Time),
    /// Stage 3.
    pub primary: (Finding, Time),
    /// Stage 4.
    pub gateway: (Finding, Time),
}

/// What the VIP should be here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Up: all stages pass (the legacy program's 0).
    Up,
    /// Down: this stage fails (the legacy program's 1).
    Down(Stage, Cause),
    /// It can't be told: none fails, this one is not known.
    Unknown(Stage, Why),
}

impl Stages {
    /// Looks at the facts.
    pub fn look(
        policy: &Policy,
        host: &Seen<Host>,
        server: &Seen<Server>,
        gateway: &Seen<Gateway>,
        newest_view: Option<&ViewId>,
    ) -> Self {
        Self {
            member: (member(policy, &host.fact), host.asked_at),
            server: (answers(&server.fact), server.asked_at),
            primary: (primary(policy, &server.fact, newest_view), server.asked_at),
            gateway: (gateway_found(&gateway.fact), gateway.asked_at),
        }
    }

    /// Each stage with its finding, in order.
    pub fn each(&self) -> [(Stage, &Finding, Time); 4] {
        [
            (Stage::Member, &self.member.0, self.member.1),
            (Stage::Server, &self.server.0, self.server.1),
            (Stage::Primary, &self.primary.0, self.primary.1),
            (Stage::Gateway, &self.gateway.0, self.gateway.1),
        ]
    }

    /// When this stage's question was put.
    pub fn asked_at(&self, stage: Stage) -> Time {
        match stage {
            Stage::Member => self.member.1,
            Stage::Server => self.server.1,
            Stage::Primary => self.primary.1,
            Stage::Gateway => self.gateway.1,
        }
    }

    /// Should the VIP be started? A certain "no" of any stage counts more than another's "not known".
    pub fn verdict_to_start(&self) -> Verdict {
        self.verdict(|_| true)
    }

    /// May a VIP that is here stay? As to start it, but for what [`Cause::lets_keep`]. With
    /// [`GatewayLost::HoldWithMajority`] a lost gateway takes nothing away from who is entitled to keep the VIP by stage 3: where
    /// that is not known, the gateway counts.
    pub fn verdict_to_keep(&self, gateway_lost: GatewayLost) -> Verdict {
        let entitled = match &self.primary.0 {
            Finding::Passed => true,
            Finding::Failed(cause) => cause.lets_keep(),
            Finding::Unknown(_) => false,
        };
        self.verdict(|cause| match cause {
            Cause::GatewayLost { .. } => gateway_lost == GatewayLost::Release || !entitled,
            cause => !cause.lets_keep(),
        })
    }

    fn verdict(&self, counts: impl Fn(&Cause) -> bool) -> Verdict {
        let mut unknown = None;
        for (stage, finding, _) in self.each() {
            match finding {
                Finding::Failed(cause) if counts(cause) => return Verdict::Down(stage, cause.clone()),
                Finding::Unknown(why) if unknown.is_none() => unknown = Some((stage, why.clone())),
                Finding::Passed | Finding::Failed(_) | Finding::Unknown(_) => {}
            }
        }
        unknown.map_or(Verdict::Up, |(stage, why)| Verdict::Unknown(stage, why))
    }
}

/// Which member this host is: its address and interface.
pub fn own_member<'a>(policy: &'a Policy, host: &Host) -> Option<(IpAddr, &'a str)> {
    policy
        .members
        .iter()
        .find(|(member, interface)| {
            host.addresses.iter().any(|own| own.address == **member && own.interface == **interface)
        })
        .map(|(member, interface)| (*member, interface.as_str()))
}

fn member(policy: &Policy, host: &Fact<Host>) -> Finding {
    match host {
        Fact::Unknown(why) => Finding::Unknown(why.clone()),
        Fact::Known(host) if own_member(policy, host).is_some() => Finding::Passed,
        Fact::Known(_) => Finding::Failed(Cause::NotAMember),
    }
}

fn answers(server: &Fact<Server>) -> Finding {
    match server {
        Fact::Known(Server::Refused(text)) => Finding::Failed(Cause::Refused(text.clone())),
        Fact::Known(_) => Finding::Passed,
        Fact::Unknown(why) if why.server_lives() => Finding::Passed,
        Fact::Unknown(why) => Finding::Unknown(why.clone()),
    }
}

fn primary(policy: &Policy, server: &Fact<Server>, newest_view: Option<&ViewId>) -> Finding {
    let view = match server {
        Fact::Unknown(why) => return Finding::Unknown(why.clone()),
        Fact::Known(Server::Refused(text)) => return Finding::Failed(Cause::Refused(text.clone())),
        Fact::Known(Server::NotInGroup(why)) => return Finding::Failed(Cause::NotInGroup(*why)),
        Fact::Known(Server::Member(view)) => view,
    };
    Entitlement::of(policy, view, newest_view).finding()
}

fn gateway_found(gateway: &Fact<Gateway>) -> Finding {
    match gateway {
        Fact::Unknown(why) => Finding::Unknown(why.clone()),
        Fact::Known(Gateway::Reachable) => Finding::Passed,
        Fact::Known(Gateway::Lost { misses }) => Finding::Failed(Cause::GatewayLost { misses: *misses }),
    }
}
