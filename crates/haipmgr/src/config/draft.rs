//! One cluster while it is read: what the file says so far, and where it says it.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use decide::net::VipId;
use decide::policy::{GroupPolicy, Policy, VipPolicy};
use zeroize::Zeroizing;

use super::DecisionTrace;
use super::hook::{Happening, Hook};
use super::problem::Position;
use super::vips::FurtherVip;

/// A cluster as far as it is known. Every limit has its default or what the file says.
pub(super) struct Draft {
    pub(super) group: GroupPolicy,
    pub(super) limits: VipPolicy,
    pub(super) further_vips: Vec<FurtherVip>,
    pub(super) name: Option<String>,
    pub(super) vip: Option<IpAddr>,
    pub(super) gateway: Option<IpAddr>,
    pub(super) mysql_port: Option<u16>,
    pub(super) group_port: Option<u16>,
    pub(super) user: Option<String>,
    pub(super) password: Option<Zeroizing<String>>,
    pub(super) password_file: Option<PathBuf>,
    pub(super) password_credential: Option<String>,
    pub(super) socket: Option<PathBuf>,
    pub(super) tls_ca: Option<PathBuf>,
    pub(super) tls_cert: Option<PathBuf>,
    pub(super) tls_key: Option<PathBuf>,
    pub(super) install_path: Option<PathBuf>,
    pub(super) gateway_interval: Duration,
    pub(super) gateway_misses: u32,
    pub(super) connect_limit: Duration,
    pub(super) query_limit: Duration,
    pub(super) fence_command: Option<Vec<String>>,
    pub(super) fence_limit: Duration,
    pub(super) hooks: BTreeMap<Happening, Hook>,
    pub(super) hook_limit: Duration,
    pub(super) hook_ca: Option<PathBuf>,
    pub(super) decision_trace: DecisionTrace,
    /// Where the cluster begins in the file.
    pub(super) begins: Option<Position>,
    /// Key → where it was given.
    pub(super) given: BTreeMap<&'static str, Position>,
    /// Member → where it was given.
    pub(super) member_given: BTreeMap<IpAddr, Position>,
}

impl Draft {
    /// All defaults.
    pub(super) fn new(begins: Option<Position>) -> Self {
        Self {
            // The VIP has no default; `vip` says whether it was given.
            limits: VipPolicy::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
            group: GroupPolicy::new(BTreeMap::new()),
            further_vips: Vec::new(),
            name: None,
            vip: None,
            gateway: None,
            mysql_port: None,
            group_port: None,
            user: None,
            password: None,
            password_file: None,
            password_credential: None,
            socket: None,
            tls_ca: None,
            tls_cert: None,
            tls_key: None,
            install_path: None,
            gateway_interval: Duration::from_secs(1),
            gateway_misses: 16,
            connect_limit: Duration::from_secs(1),
            query_limit: Duration::from_millis(500),
            fence_command: None,
            fence_limit: Duration::from_secs(10),
            hooks: BTreeMap::new(),
            hook_limit: Duration::from_secs(30),
            hook_ca: None,
            decision_trace: DecisionTrace::Switches,
            begins,
            given: BTreeMap::new(),
            member_given: BTreeMap::new(),
        }
    }

    /// What the rules are given.
    pub(super) fn policy(&self) -> Policy {
        let group = GroupPolicy { fence: self.fence_command.is_some(), ..self.group.clone() };
        let of = |vip: &FurtherVip| vip.policy(&self.limits, &self.group.members, self.gateway);
        let further = self.further_vips.iter().map(of);
        let mut policy = Policy::new(group, self.limits.clone());
        policy.vips.extend((1..).map(VipId).zip(further));
        policy
    }

    /// Every VIP, with where it is given.
    pub(super) fn all_vips(&self) -> impl Iterator<Item = (IpAddr, Option<Position>)> {
        let further = self.further_vips.iter().map(|vip| (vip.address, Some(vip.at)));
        self.vip.map(|vip| (vip, self.place_of("vip"))).into_iter().chain(further)
    }

    /// Where `key` was given; else where the cluster begins.
    pub(super) fn place_of(&self, key: &str) -> Option<Position> {
        self.given.get(key).copied().or(self.begins)
    }

    /// What people call this cluster: its name, or its port.
    pub(super) fn called(&self) -> String {
        match (&self.name, self.mysql_port) {
            (Some(name), _) => name.clone(),
            (None, Some(port)) => port.to_string(),
            (None, None) => "?".to_owned(),
        }
    }
}
