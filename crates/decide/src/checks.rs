//! The legacy program's stages 1–4 (S9–S12), each a finding, and the verdict they give together. Pure data: the log,
//! `check` and any status page show these.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::entitlement::Entitlement;
use crate::input::{Fact, Gateway, Host, Seen, Server, ViewId, Why};
pub use crate::output::findings::{Cause, Finding, Stage};
use crate::policy::{GatewayLost, GroupPolicy, ReadOnlyPrimary, WhenNoReader};
use crate::time::Time;

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
        policy: &GroupPolicy,
        host: &Seen<Host>,
        server: &Seen<Server>,
        gateway: &Seen<Gateway>,
        newest_view: Option<&ViewId>,
    ) -> Self {
        Self {
            member: (member(policy, &host.fact), host.asked_at),
            server: (answers(&server.fact), server.asked_at),
            primary: (primary(policy, &server.fact, newest_view), server.asked_at),
            gateway: (gateway_found(&gateway.fact, None), gateway.asked_at),
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
    /// that is not known, the gateway counts. With [`ReadOnlyPrimary::Release`] a read-only primary's stage 3 counts here too.
    /// A reader VIP that is placed elsewhere stays until it is claimed; with [`WhenNoReader::Nobody`] one that belongs nowhere leaves.
    pub fn verdict_to_keep(
        &self,
        gateway_lost: GatewayLost,
        read_only_primary: ReadOnlyPrimary,
        when_none: WhenNoReader,
    ) -> Verdict {
        let entitled = match &self.primary.0 {
            Finding::Passed => true,
            Finding::Failed(cause) => cause.lets_keep(),
            Finding::Unknown(_) => false,
        };
        self.verdict(|cause| match cause {
            Cause::GatewayLost { .. } => gateway_lost == GatewayLost::Release || !entitled,
            Cause::ReadOnly => read_only_primary == ReadOnlyPrimary::Release,
            Cause::NoReader => when_none == WhenNoReader::Nobody,
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
pub fn own_member<'a>(policy: &'a GroupPolicy, host: &Host) -> Option<(IpAddr, &'a str)> {
    policy
        .members
        .iter()
        .find(|(member, interface)| {
            host.addresses.iter().any(|own| own.address == **member && own.interface == **interface)
        })
        .map(|(member, interface)| (*member, interface.as_str()))
}

fn member(policy: &GroupPolicy, host: &Fact<Host>) -> Finding {
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

fn primary(policy: &GroupPolicy, server: &Fact<Server>, newest_view: Option<&ViewId>) -> Finding {
    let view = match server {
        Fact::Unknown(why) => return Finding::Unknown(why.clone()),
        Fact::Known(Server::Refused(text)) => return Finding::Failed(Cause::Refused(text.clone())),
        Fact::Known(Server::NotInGroup(why)) => return Finding::Failed(Cause::NotInGroup(*why)),
        Fact::Known(Server::Member(view)) => view,
    };
    Entitlement::of(policy, view, newest_view).finding()
}

/// `own`: it is one that a VIP has of its own.
pub(crate) fn gateway_found(gateway: &Fact<Gateway>, own: Option<IpAddr>) -> Finding {
    match gateway {
        Fact::Unknown(why) => Finding::Unknown(why.clone()),
        Fact::Known(Gateway::Reachable) => Finding::Passed,
        Fact::Known(Gateway::Lost { misses }) => Finding::Failed(Cause::GatewayLost { misses: *misses, own }),
    }
}
