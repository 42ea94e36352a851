//! Validated limits and choices: what the rules may assume of the configuration.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::net::VipId;

/// One cluster's limits and choices: the group's, and each VIP's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// What holds for the whole cluster.
    pub group: GroupPolicy,
    /// Its VIPs. The first ([`VipId::FIRST`]) is always there, and marks the state file (S6).
    pub vips: BTreeMap<VipId, VipPolicy>,
}

/// What holds for the whole cluster, whatever VIPs it has. Build one with [`GroupPolicy::new`] and change what the configuration
/// names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupPolicy {
    /// Member address → interface (the legacy program's `cluser_ip`).
    pub members: BTreeMap<IpAddr, String>,
    /// Time between two questions to the local server when all is well.
    pub poll_interval: Duration,
    /// Time between two questions while something is in the air.
    pub alert_interval: Duration,
    /// How long `alert_interval` lasts at the most after what called for it.
    pub alert_limit: Duration,
    /// The safety net under the events: everything is looked at anew at least this often (the legacy program's loop).
    pub sleeptime: Duration,
    /// How old a fact may be and still start a VIP, or have a member expelled.
    pub evidence_age: Duration,
    /// Once a member has been UNREACHABLE for the configured `group_replication_member_expel_timeout`, wake the thread
    /// that expels it.
    pub wake_expel: bool,
    /// Have an UNREACHABLE member expelled at once when its host refuses connections to the MySQL port.
    pub proven_dead: bool,
    /// There is a fence command: have an UNREACHABLE primary expelled at once when it succeeds.
    pub fence: bool,
    /// What is done about an UNREACHABLE member whose host is silent on the segment too. A trace of a version without it was recorded
    /// without.
    #[serde(default)]
    pub silent_host: SilentHost,
    /// What is asked of a host that is to serve readers. A trace of a version without it was recorded without reader VIPs.
    #[serde(default, skip_serializing_if = "ReaderPolicy::is_default")]
    pub readers: ReaderPolicy,
    /// A mistake that is planted in the rules.
    #[cfg(feature = "planted")]
    #[serde(skip)]
    pub planted: Option<crate::planted::Planted>,
}

/// One VIP: its address, whose it is to be, and its limits. Build one with [`VipPolicy::new`] and change what the configuration
/// names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VipPolicy {
    /// The virtual IP, of either family.
    pub address: IpAddr,
    /// The prefix length that it is added with; none: that of a single host ([`VipPolicy::prefix_length`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<u8>,
    /// The interface that it is on at each member's host, where that is not the member's own; nothing: it is the member's own everywhere. Of a
    /// VIP that has these, each member is named.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub interfaces: BTreeMap<IpAddr, String>,
    /// Which member it belongs on.
    pub role: VipRole,
    /// Which gateway a host must reach to have it.
    #[serde(default, skip_serializing_if = "VipGateway::is_the_clusters")]
    pub gateway: VipGateway,
    /// Unanswered probes before the VIP is taken (1–20).
    pub probe_count: u32,
    /// Time between two probes.
    pub probe_spacing: Duration,
    /// Time between two probes of a claim that has long been answered "taken".
    pub probe_spacing_when_taken: Duration,
    /// In a dispute, how long the holder's own server may take to answer before the claimant's word counts alone.
    pub own_answer_limit: Duration,
    /// In a dispute, when the holder yields though it knows nothing of either server.
    pub dispute_limit: Duration,
    /// How long a former primary whose server lives waits for a claim before it lets go by itself.
    pub claim_wait: Duration,
    /// How long a dead server's address stays, so that clients are refused and not left hanging, when nobody claims it.
    pub linger: Duration,
    /// How long the address outlives the last proof that renewed it: the kernel has dropped it by then; none: it stays until
    /// it is removed.
    pub lease: Option<Duration>,
    /// How long a holder whose server does not answer in time keeps the VIP.
    pub hung_patience: Duration,
    /// How long a holder keeps the VIP while its server lives and can't be asked (wrong password, too many
    /// connections, no privilege); none: as long as it lasts.
    pub refused_patience: Option<Duration>,
    /// What a holder does whose gateway does not answer (S12).
    pub gateway_lost: GatewayLost,
    /// What a holder does whose server is the primary and takes no writes. A trace of a version without it was recorded without.
    #[serde(default)]
    pub read_only_primary: ReadOnlyPrimary,
    /// A claim that a member's host has answered for this long without yielding takes the address all the same, where that
    /// member's server is not shown to lead; none: never.
    pub takeover_after: Option<Duration>,
    /// Time between two announcements while the VIP is held, after the first burst.
    pub announce_interval: Duration,
}

/// Which member a VIP belongs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum VipRole {
    /// The primary: whoever takes writes.
    Writer,
    /// A secondary that is fit to serve readers; which of them, placement says (`readers/placement.rs`).
    Reader,
}

/// Which gateway a host must reach to have a VIP (stage 4).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VipGateway {
    /// The cluster's.
    #[default]
    TheClusters,
    /// One of its own.
    Own(IpAddr),
    /// None is asked: the stage passes.
    Nobody,
}

impl VipGateway {
    /// As it is where nobody says otherwise: a trace need not say so.
    fn is_the_clusters(&self) -> bool {
        *self == Self::TheClusters
    }
}

/// What is asked of a host that is to serve readers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReaderPolicy {
    /// A secondary with more transactions than this in its applier queue is behind; none: however many it has.
    pub max_transactions: Option<u64>,
    /// One whose last applied transaction is older than this, while others wait, is behind; none: however old it is.
    pub max_age: Option<Duration>,
    /// It is called too far behind once it has been behind for so long without a break, and well again below half of either.
    pub behind_for: Duration,
    /// A host that was not fit takes its share once it has been fit for so long.
    pub well_for: Duration,
    /// Who has the reader VIPs when no secondary is fit.
    pub when_none: WhenNoReader,
}

impl ReaderPolicy {
    /// As it is where nobody says otherwise: a trace need not say so.
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Default for ReaderPolicy {
    fn default() -> Self {
        Self {
            // Where Group Replication itself begins to slow the writers down for it
            // (`group_replication_flow_control_applier_threshold`).
            max_transactions: Some(25_000),
            max_age: None,
            behind_for: Duration::from_secs(10),
            well_for: Duration::from_secs(10),
            when_none: WhenNoReader::Primary,
        }
    }
}

/// Who has the reader VIPs when no secondary is fit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WhenNoReader {
    /// The primary: readers are served, and read what is newest.
    #[default]
    Primary,
    /// Nobody: the primary is spared.
    Nobody,
    /// Any member that is ONLINE with the majority: the primary, and secondaries however far they are behind.
    AnyOnline,
}

/// What a holder does whose gateway does not answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GatewayLost {
    /// Lets go (S12): it may be this host that is cut off.
    #[default]
    Release,
    /// Keeps the VIP as long as its server is the primary and sees the majority of the group: for sites whose one router may
    /// go down for every host at once. To start a VIP the gateway is needed all the same (EVIDENCE).
    HoldWithMajority,
}

/// What a VIP means where the primary takes no writes (`super_read_only`): in a group that is kept read-only on purpose, as a `ClusterSet`'s
/// replica clusters are, it is so for good.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReadOnlyPrimary {
    /// A holder keeps the VIP: no other member takes writes either, and who only reads goes on. It is not started there.
    #[default]
    Hold,
    /// A holder lets go after `claim_wait`, and it is not started there: for clients that must not find a server that refuses their
    /// writes.
    Release,
    /// It is on the primary, whether that takes writes or not: for a standby group's readers, monitors and replication. A secondary that
    /// still takes writes, as during a switchover, keeps it all the same.
    Follow,
}

/// What the survivors do about an UNREACHABLE member that is silent on two different paths: in the group, and to their own questions on
/// the clients' segment (`expel/silence.rs`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SilentHost {
    /// It keeps the patience that the operator gave it: its cable may be back in a moment.
    #[default]
    Wait,
    /// It serves nobody, and is expelled at once: for sites that had rather replace a host which is away for some seconds.
    Expel,
}

/// On an interface that has no member's address each member says its place among the members, in a number from 16 to 255.
const MOST_MEMBERS_ELSEWHERE: usize = 240;

/// A policy that can't be kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {problem}")]
pub struct BadPolicy {
    /// The configuration's key.
    pub key: &'static str,
    /// What is wrong and what to write.
    pub problem: String,
}

impl GroupPolicy {
    /// The defaults.
    pub fn new(members: BTreeMap<IpAddr, String>) -> Self {
        Self {
            members,
            poll_interval: Duration::from_millis(100),
            alert_interval: Duration::from_millis(10),
            alert_limit: Duration::from_secs(30),
            sleeptime: Duration::from_secs(7),
            evidence_age: Duration::from_secs(1),
            wake_expel: true,
            proven_dead: true,
            fence: false,
            silent_host: SilentHost::Wait,
            readers: ReaderPolicy::default(),
            #[cfg(feature = "planted")]
            planted: None,
        }
    }

    /// Whether a dead member is to be expelled sooner than by MySQL alone.
    pub fn elects(&self) -> bool {
        self.wake_expel || self.proven_dead || self.fence || self.expels_silent_hosts()
    }

    /// Whether a silent host is expelled without the operator's patience.
    pub fn expels_silent_hosts(&self) -> bool {
        self.silent_host == SilentHost::Expel
    }

    fn validate(&self) -> Result<(), BadPolicy> {
        if self.members.is_empty() {
            return bad("members", "no member is named; write each member's address and interface");
        }
        if self.poll_interval < Duration::from_millis(10) || self.poll_interval > Duration::from_secs(60) {
            return bad("poll_interval", "must be from 10ms to 60s");
        }
        if self.sleeptime < Duration::from_secs(1) || self.sleeptime > Duration::from_secs(3600) {
            return bad("sleeptime", "must be from 1 to 3600 seconds");
        }
        Ok(())
    }
}

impl VipPolicy {
    /// The defaults, of a VIP for the primary.
    pub fn new(address: IpAddr) -> Self {
        Self {
            address,
            prefix: None,
            interfaces: BTreeMap::new(),
            role: VipRole::Writer,
            gateway: VipGateway::TheClusters,
            probe_count: 3,
            probe_spacing: Duration::from_millis(20),
            probe_spacing_when_taken: Duration::from_millis(200),
            own_answer_limit: Duration::from_millis(100),
            dispute_limit: Duration::from_millis(500),
            claim_wait: Duration::from_secs(1),
            linger: Duration::from_secs(60),
            lease: Some(Duration::from_secs(10)),
            hung_patience: Duration::from_secs(30),
            refused_patience: None,
            gateway_lost: GatewayLost::Release,
            read_only_primary: ReadOnlyPrimary::Hold,
            takeover_after: None,
            announce_interval: Duration::from_secs(60),
        }
    }

    /// The prefix length that it is added with. Of a single host it is unless the configuration names another: that has no network but the
    /// address itself.
    pub fn prefix_length(&self) -> u8 {
        self.prefix.unwrap_or(if self.address.is_ipv4() { 32 } else { 128 })
    }

    fn validate(&self, group: &GroupPolicy) -> Result<(), BadPolicy> {
        self.validate_interfaces(group)?;
        let most = if self.address.is_ipv4() { 32 } else { 128 };
        if !(1..=most).contains(&self.prefix_length()) {
            return bad("vip", "the prefix length must be from 1 to 32, of an IPv6 address to 128");
        }
        if group.members.contains_key(&self.address) {
            return bad("vip", "the VIP is also a member's own address; it must be one that no host has");
        }
        if self.probe_count == 0 || self.probe_count > 20 {
            return bad("probe_count", "must be from 1 to 20");
        }
        if self.probe_spacing < Duration::from_millis(5) || self.probe_spacing > Duration::from_secs(2) {
            return bad("probe_spacing", "must be from 5ms to 2s");
        }
        if self.lease.is_some_and(|lease| lease < Duration::from_secs(3) || lease > Duration::from_secs(3600))
        {
            return bad("lease", "must be from 3s to 3600s, or 0 for none");
        }
        // A hung agent's address is gone when its lease is over, and nobody need be overruled.
        let lease_over = self.lease.unwrap_or_default() + Duration::from_secs(2);
        if self.takeover_after.is_some_and(|after| after < lease_over.max(Duration::from_secs(10))) {
            return bad("takeover_after", "must be at least 10s, and at least 2s more than lease");
        }
        if self.announce_interval < Duration::from_secs(1) {
            return bad("announce_interval", "must be at least 1s");
        }
        Ok(())
    }

    fn validate_interfaces(&self, group: &GroupPolicy) -> Result<(), BadPolicy> {
        if self.interfaces.is_empty() {
            return Ok(());
        }
        if self.role == VipRole::Reader {
            return bad("interface", "a VIP for readers is on the members' own interface; leave this out");
        }
        if !self.interfaces.keys().eq(group.members.keys()) {
            return bad("interface", "must name one for each member, or one for all");
        }
        if group.members.len() > MOST_MEMBERS_ELSEWHERE {
            return bad(
                "interface",
                "a cluster of more than 240 members has its VIPs on the members' own interface",
            );
        }
        Ok(())
    }
}

impl Policy {
    /// Of a cluster with this one VIP.
    pub fn new(group: GroupPolicy, vip: VipPolicy) -> Self {
        Self { group, vips: BTreeMap::from([(VipId::FIRST, vip)]) }
    }

    /// The VIP with this address.
    pub fn vip_of(&self, address: IpAddr) -> Option<VipId> {
        self.vips.iter().find(|(_, vip)| vip.address == address).map(|(id, _)| *id)
    }

    /// A VIP's address.
    pub fn address_of(&self, vip: VipId) -> Option<IpAddr> {
        self.vips.get(&vip).map(|vip| vip.address)
    }

    /// The interface on which this VIP is, where that is not the members' own: by the first VIP that is on it. Two that are on the same
    /// interface at each host have the same.
    pub fn interface_elsewhere(&self, vip: VipId) -> Option<VipId> {
        let interfaces = &self.vips.get(&vip)?.interfaces;
        if interfaces.is_empty() {
            return None;
        }
        self.vips.iter().find(|(_, other)| other.interfaces == *interfaces).map(|(first, _)| *first)
    }

    /// The VIPs for readers, in order.
    pub fn reader_vips(&self) -> impl Iterator<Item = VipId> {
        self.vips.iter().filter(|(_, vip)| vip.role == VipRole::Reader).map(|(id, _)| *id)
    }

    /// Whether there is such a VIP, and it is one for readers.
    pub fn is_for_readers(&self, vip: VipId) -> bool {
        self.vips.get(&vip).is_some_and(|vip| vip.role == VipRole::Reader)
    }

    /// The gateways that single VIPs have of their own.
    pub fn own_gateways(&self) -> BTreeSet<IpAddr> {
        let own = |vip: &VipPolicy| match vip.gateway {
            VipGateway::Own(gateway) => Some(gateway),
            VipGateway::TheClusters | VipGateway::Nobody => None,
        };
        self.vips.values().filter_map(own).collect()
    }

    /// The longest lease of a VIP; none: no VIP has one.
    pub fn longest_lease(&self) -> Option<Duration> {
        self.vips.values().filter_map(|vip| vip.lease).max()
    }

    /// Checks that the limits make sense together. Members and VIPs may be of different families.
    ///
    /// # Errors
    /// The first key that can't be kept, with what to write instead.
    pub fn validate(&self) -> Result<(), BadPolicy> {
        self.group.validate()?;
        if !self.vips.contains_key(&VipId::FIRST) {
            return bad("vip", "no VIP is named; write the address that clients connect to");
        }
        if self.vips.get(&VipId::FIRST).is_some_and(|first| first.role != VipRole::Writer) {
            return bad("vip", "the first VIP is the writer's; reader VIPs are [[cluster.vips]] tables");
        }
        for (id, vip) in &self.vips {
            vip.validate(&self.group)?;
            if self.vip_of(vip.address) != Some(*id) {
                return bad("vip", "the same address is named twice; each VIP is one machine's business");
            }
            let asked_elsewhere = |other: &VipPolicy| {
                matches!(vip.gateway, VipGateway::Own(_))
                    && other.gateway == vip.gateway
                    && other.interfaces != vip.interfaces
            };
            if self.vips.values().any(asked_elsewhere) {
                return bad(
                    "gateway",
                    "two VIPs on different interfaces name the same gateway; it is asked on one of them",
                );
            }
        }
        Ok(())
    }
}

fn bad(key: &'static str, problem: &str) -> Result<(), BadPolicy> {
    Err(BadPolicy { key, problem: problem.to_owned() })
}
