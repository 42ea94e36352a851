//! What every rule reads, and nothing else: the facts, the policy and the time of one decision. [`Moment`] is what the rules of
//! the whole cluster read; those of one VIP read its own limits too, in a [`VipMoment`].

use std::net::IpAddr;
use std::ops::Deref;
use std::time::Duration;

use crate::checks::{Cause, Finding, Stages, Verdict, gateway_found, own_member};
use crate::entitlement::Entitlement;
use crate::facts::{Facts, Reach};
use crate::input::{Fact, GroupView, MemberState, Server, Why};
use crate::net::{Mac, VipId};
use crate::output::Output;
use crate::planted::planted;
use crate::policy::{
    GatewayLost, GroupPolicy, Policy, ReadOnlyPrimary, VipGateway, VipPolicy, VipRole, WhenNoReader,
};
use crate::time::Time;

/// Members' hardware addresses are asked for because of an unknown one at most this often; it is also their time to answer.
pub(crate) const LEARN_AT_MOST_EVERY: Duration = Duration::from_secs(1);
/// On an interface that only VIPs are on each member says once a second who it is: so long at the most until all have, but for lost frames.
const SAID_WITHIN: Duration = Duration::from_secs(2);

/// The facts, the group's policy and the time of one decision.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment<'a> {
    pub(crate) facts: &'a Facts,
    pub(crate) group: &'a GroupPolicy,
    pub(crate) now: Time,
}

/// The same, for one VIP's machine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct VipMoment<'a> {
    pub(crate) moment: Moment<'a>,
    /// Which.
    pub(crate) vip: VipId,
    /// The VIP's own limits and choices.
    pub(crate) policy: &'a VipPolicy,
    /// The cluster's, with all its VIPs.
    pub(crate) cluster: &'a Policy,
}

impl<'a> Deref for VipMoment<'a> {
    type Target = Moment<'a>;

    fn deref(&self) -> &Self::Target {
        &self.moment
    }
}

impl<'a> VipMoment<'a> {
    /// The interface that it is on, where that is not the members' own: by the first VIP that is on it.
    pub(crate) fn elsewhere(&self) -> Option<VipId> {
        self.cluster.interface_elsewhere(self.vip)
    }

    /// The interface of this host that is to have the VIP. None: which member this host is is not known, or it is none.
    pub(crate) fn home(&self) -> Option<&'a str> {
        let Fact::Known(host) = &self.facts.host.fact else { return None };
        let (member, interface) = own_member(self.group, host)?;
        if planted!(self.group, TakeOnTheMembersInterface) {
            return Some(interface);
        }
        Some(self.policy.interfaces.get(&member).map_or(interface, String::as_str))
    }

    /// From which of its addresses this host speaks where the VIP is: one of the VIP's family that is no VIP. Why not, where the interface is
    /// of no use.
    pub(crate) fn asker(&self) -> Result<IpAddr, Cause> {
        let (Fact::Known(host), Some(home)) = (&self.facts.host.fact, self.home()) else {
            return Err(Cause::NotAMember);
        };
        match host.interfaces.iter().find(|interface| interface.name == home) {
            None => return Err(Cause::InterfaceMissing(home.to_owned())),
            Some(interface) if !interface.running => return Err(Cause::InterfaceDown(home.to_owned())),
            Some(_) => {}
        }
        let own = |address: &IpAddr| {
            address.is_ipv4() == self.policy.address.is_ipv4() && self.cluster.vip_of(*address).is_none()
        };
        let there = host.addresses.iter().filter(|there| there.interface == home);
        let mut there: Vec<IpAddr> = there.map(|there| there.address).filter(own).collect();
        // Every interface that does IPv6 has one, and keeps it.
        let is_link_local =
            |address: &IpAddr| matches!(address, IpAddr::V6(v6) if v6.is_unicast_link_local());
        there.sort_by_key(|address| (!is_link_local(address), *address));
        there.into_iter().next().ok_or_else(|| Cause::NoAddressOn(home.to_owned()))
    }

    /// The member that owns this hardware address where the VIP is, another than this host.
    pub(crate) fn member_of(&self, mac: Mac) -> Option<IpAddr> {
        let own = self.elsewhere().filter(|_| !planted!(self.group, TakeMacsOfAnotherInterface));
        let Some(elsewhere) = own else { return self.facts.neighbors.member_of(mac) };
        let member = self.facts.neighbors.introduced_as(elsewhere, mac);
        // Who says that it is this host is none.
        member.filter(|member| Some(*member) != self.own_address())
    }

    /// The hardware address of this member where the VIP is.
    pub(crate) fn mac_of(&self, member: IpAddr) -> Option<Mac> {
        match self.elsewhere().filter(|_| !planted!(self.group, TakeMacsOfAnotherInterface)) {
            None => self.facts.neighbors.macs.get(&member).copied(),
            Some(elsewhere) => self.facts.neighbors.mac_elsewhere(elsewhere, member),
        }
    }

    /// A host whose hardware address is still no member's after this long is none, but for lost frames.
    pub(crate) fn members_known_within(&self) -> Duration {
        if self.elsewhere().is_some() { SAID_WITHIN } else { LEARN_AT_MOST_EVERY }
    }
}

impl VipMoment<'_> {
    /// It is a VIP for readers.
    pub(crate) fn is_for_readers(&self) -> bool {
        self.policy.role == VipRole::Reader
    }

    /// It is a reader VIP, and belongs on this member.
    pub(crate) fn belongs_to(&self, member: IpAddr) -> bool {
        let placed = self.facts.readers.placed.as_ref().and_then(|placed| placed.get(&self.vip));
        self.is_for_readers() && placed == Some(&member)
    }

    /// The stages as the facts stand, the first by the interface that this VIP has, the third by what it is for, the fourth by the gateway
    /// that it has.
    pub(crate) fn stages(&self) -> Stages {
        let mut stages = self.moment.stages();
        if stages.member.0 == Finding::Passed
            && let Err(cause) = self.own_interface_serves()
        {
            stages.member.0 = Finding::Failed(cause);
        }
        stages.gateway = self.gateway_of(self.policy.gateway);
        if self.follows_read_only_primary() && stages.primary.0 == Finding::Failed(Cause::ReadOnly) {
            stages.primary.0 = Finding::Passed;
        }
        if self.is_for_readers()
            && let Fact::Known(Server::Member(view)) = &self.facts.server.fact
        {
            stages.primary.0 = self.serves_readers(view);
        }
        stages
    }

    /// Stage 1 of a VIP that is not on the members' own interface: the one where it is is of use.
    fn own_interface_serves(&self) -> Result<(), Cause> {
        if planted!(self.group, LetGoOfAllWithOneInterface) {
            let others = self.cluster.vips.iter().map(|(vip, policy)| Self { vip: *vip, policy, ..*self });
            return others
                .filter(|other| other.elsewhere().is_some())
                .try_for_each(|other| other.asker().map(drop));
        }
        if self.elsewhere().is_none() || planted!(self.group, ClaimWhereTheInterfaceIsDown) {
            return Ok(());
        }
        self.asker().map(drop)
    }

    /// The VIP is on the primary, whether that takes writes or not.
    pub(crate) fn follows_read_only_primary(&self) -> bool {
        self.policy.read_only_primary == ReadOnlyPrimary::Follow
    }

    /// What a server that showed this view is entitled to with regard to this VIP.
    pub(crate) fn entitlement(&self, view: &GroupView) -> Entitlement {
        match self.moment.entitlement(view) {
            Entitlement::Keep if self.follows_read_only_primary() => Entitlement::Start,
            other => other,
        }
    }

    /// Asks a member's server who leads, unless it was asked at `since` or later. Where a reader VIP belongs no other server can say: each
    /// member says of itself how fit it is.
    pub(crate) fn ask_peer_unless_asked_since(&self, out: &mut Output, member: IpAddr, since: Time) {
        if !self.is_for_readers() {
            self.moment.ask_peer_unless_asked_since(out, member, since);
        }
    }

    /// The server that showed this view leads, by its own word, so that the VIP belongs there.
    pub(crate) fn leads(&self, view: &GroupView) -> bool {
        view.is_writable_primary() || (view.is_primary() && self.follows_read_only_primary())
    }

    /// Stage 3 of a reader VIP: this server may serve readers, and the VIP belongs here.
    fn serves_readers(&self, view: &GroupView) -> Finding {
        let newest = self.facts.views.newest.as_ref();
        if let Err(cause) = Entitlement::to_serve_readers(self.group, view, newest) {
            return Finding::Failed(cause);
        }
        let readers = &self.facts.readers;
        if let Some(Reach { answered, others, .. }) = readers.reach.filter(Reach::is_cut_off) {
            return Finding::Failed(Cause::CutOff { answered, others });
        }
        match readers.placed.as_ref().map(|placed| placed.get(&self.vip)) {
            _ if !readers.reaches_enough() => Finding::Unknown(Why::OthersNotHeard),
            None => Finding::Unknown(Why::OthersNotHeard),
            Some(Some(member)) if Some(*member) == self.own_address() => Finding::Passed,
            Some(Some(_)) if planted!(self.group, ClaimWhateverIsPlaced) => Finding::Passed,
            Some(Some(member)) => Finding::Failed(Cause::PlacedOn(*member)),
            Some(None) => Finding::Failed(Cause::NoReader),
        }
    }

    /// May a VIP that is here stay?
    pub(crate) fn verdict_to_keep(&self) -> Verdict {
        let (gateway_lost, read_only_primary) = if self.is_paused() {
            (GatewayLost::HoldWithMajority, ReadOnlyPrimary::Hold)
        } else {
            (self.policy.gateway_lost, self.policy.read_only_primary)
        };
        let when_none = if self.is_paused() { WhenNoReader::Primary } else { self.group.readers.when_none };
        let mut stages = self.stages();
        if self.is_paused() && stages.primary.0 == Finding::Unknown(Why::OthersNotHeard) {
            // Wherever it belongs: it serves, and a pause moves nothing.
            stages.primary.0 = Finding::Failed(Cause::NoReader);
        }
        stages.verdict_to_keep(gateway_lost, read_only_primary, when_none)
    }

    /// May the VIP come here?
    pub(crate) fn verdict_to_start(&self) -> Verdict {
        match self.stages().verdict_to_start() {
            Verdict::Unknown(..) if planted!(self.group, TakeUnknownForYes) => Verdict::Up,
            verdict => verdict,
        }
    }

    /// The operator has paused the agent: nothing is taken.
    pub(crate) fn may_not_take(&self) -> bool {
        self.is_paused() && !planted!(self.group, TakeWhilePaused)
    }

    /// The interface that bears the VIP: `None` when it is not here, `Unknown` when the host's addresses are not known. On a
    /// member only the VIP's interface counts (`copies.rs` has the others); a host that is none lets go of it wherever it is.
    pub(crate) fn vip_interface(&self) -> Fact<Option<String>> {
        match &self.facts.host.fact {
            Fact::Unknown(why) => Fact::Unknown(why.clone()),
            Fact::Known(host) => {
                let own_interface = self.home();
                let mut interfaces = host
                    .addresses
                    .iter()
                    .filter(|own| own.address == self.policy.address)
                    .map(|own| &own.interface);
                Fact::Known(
                    interfaces.find(|interface| own_interface.is_none_or(|own| own == *interface)).cloned(),
                )
            }
        }
    }

    /// The server's answers, or time-outs, have not ended altogether.
    pub(crate) fn server_is_heard_of(&self) -> bool {
        let heard_of = self.policy.hung_patience.max(self.group.poll_interval * 2);
        self.now.since(self.facts.server.asked_at) <= heard_of
    }
}

impl Moment<'_> {
    /// The operator has paused this agent.
    pub(crate) fn is_paused(&self) -> bool {
        self.facts.pause.is_on()
    }

    /// The operator has paused the agent: it lets go of nothing by choice. What another claims is yielded all the same, and what
    /// must be let go of at once (a server that takes writes which its group never gets, a view older than another's) is: somebody
    /// else may have the VIP by then, unheard.
    pub(crate) fn pause_keeps_vip(&self) -> bool {
        self.is_paused() && !planted!(self.group, LetGoWhilePaused)
    }

    /// The stages, as the facts stand.
    pub(crate) fn stages(&self) -> Stages {
        Stages::of(self.group, self.facts)
    }

    /// Stage 4 by this gateway, and when that was asked. Where none is asked nothing can be old.
    pub(crate) fn gateway_of(&self, gateway: VipGateway) -> (Finding, Time) {
        match gateway {
            VipGateway::TheClusters => {
                (gateway_found(&self.facts.gateway.fact, None), self.facts.gateway.asked_at)
            }
            VipGateway::Own(own) => match self.facts.own_gateways.get(&own) {
                Some(seen) => (gateway_found(&seen.fact, Some(own)), seen.asked_at),
                None => (Finding::Unknown(Why::NotAskedYet), Time(0)),
            },
            VipGateway::Nobody => (Finding::Passed, self.now),
        }
    }

    /// What a server that showed this view is entitled to, as far as the group's views are known here.
    pub(crate) fn entitlement(&self, view: &GroupView) -> Entitlement {
        Entitlement::of(self.group, view, self.facts.views.newest.as_ref())
    }

    /// Which member this host is, by what is known.
    pub(crate) fn own_address(&self) -> Option<IpAddr> {
        match &self.facts.host.fact {
            Fact::Known(host) => own_member(self.group, host).map(|(address, _)| address),
            Fact::Unknown(_) => None,
        }
    }

    /// A member of the cluster is not ONLINE in the group, or none is known to be: cut off, paused or down. When it comes
    /// back it may still hold the VIP in an old view, and learns by an announcement that another does.
    pub(crate) fn some_member_is_missing(&self) -> bool {
        self.facts.own_view().is_none_or(|view| {
            let online = view.members.iter().filter(|member| member.state == MemberState::Online).count();
            online < self.group.members.len()
        })
    }

    /// ONLINE in a group with one primary, by a fresh answer, and in the majority.
    pub(crate) fn survives(&self) -> bool {
        let fresh = self.now.since(self.facts.server.asked_at) <= self.group.evidence_age;
        fresh
            && self.facts.own_view().is_some_and(|view| {
                view.has_majority()
                    && view.local_member().is_some_and(|local| local.state == MemberState::Online)
            })
    }

    /// Asks a member's server, unless it was asked at `since` or later.
    pub(crate) fn ask_peer_unless_asked_since(&self, out: &mut Output, member: IpAddr, since: Time) {
        if self.facts.peers.asked_at(member).is_none_or(|asked| asked < since) {
            out.ask_peer(member);
        }
    }

    /// Asks for the members' hardware addresses, unless that was done a moment ago: a stranger's flood is not to
    /// become ours.
    pub(crate) fn learn_neighbors(&self, out: &mut Output) {
        let learnt_at = self.facts.neighbors.learnt_at;
        if learnt_at.is_none_or(|at| self.now.since(at) >= LEARN_AT_MOST_EVERY) {
            out.learn_neighbors();
        }
    }
}

impl Stages {
    /// As the facts stand.
    pub fn of(policy: &GroupPolicy, facts: &Facts) -> Self {
        let newest = facts.views.newest.as_ref();
        let mut stages = Self::look(policy, &facts.host, &facts.server, &facts.gateway, newest);
        if facts.started_anew
            && let Finding::Unknown(why) = &stages.primary.0
            && *why != Why::NotAskedYet
        {
            stages.primary.0 = Finding::Failed(Cause::StartedAnew);
        }
        stages
    }
}
