//! What is so, as data: one picture of an agent at one time, made when somebody asks. Command line, page and metrics are
//! renderings of it.
//!
//! How each VIP stands is asked of the rules themselves, on a copy of what the agent remembers: the words are those of the log, and no
//! rule is written down twice. Nothing is ordered by it.
//!
//! Every fact carries the age of its question in milliseconds. Whether that is too old is for the reader to say.

mod readers;

use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use readers::{BacklogStatus, PlacedStatus, ReadersStatus, WordStatus};

use crate::checks::{Cause, Finding, Stage, Verdict, own_member};
use crate::facts::Facts;
use crate::input::{Event, Fact, GroupView, Member, MemberState, Role, Server, Why};
use crate::moment::{Moment, VipMoment};
use crate::policy::{Policy, VipGateway, VipPolicy, VipRole};
use crate::step::{Decision, State, step};
use crate::time::Time;
use crate::vip::{Claim, Hold, VipMachine, VipState};

/// One cluster, as the agent of one host sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// What the agent is told to do.
    pub mode: Mode,
    /// Which member this host is; none: no member, or not known.
    pub member: Option<IpAddr>,
    /// Stages 1 to 4, in order.
    pub stages: Vec<StageStatus>,
    /// Each VIP of the configuration, in order.
    pub vips: Vec<VipStatus>,
    /// The group as the local server showed it last; none: it shows none, or is not heard of.
    pub group: Option<GroupStatus>,
    /// What is waited for, a sentence each.
    pub waits_for: Vec<String>,
    /// How long the operator's pause still lasts, in ms; none: there is none.
    #[serde(default)]
    pub pause_left_ms: Option<u64>,
    /// Serving readers; none: the cluster has no reader VIPs.
    #[serde(default)]
    pub readers: Option<ReadersStatus>,
    /// The last time that a VIP came to this host or left it, since the agent was started.
    pub last_switch: Option<SwitchStatus>,
}

/// What the agent is told to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// To follow the primary.
    Running,
    /// To take no VIP and let go of none by choice, for [`Status::pause_left_ms`].
    Paused,
    /// To give its VIPs up, and to take none. Stands above a pause.
    Drained,
    /// To end; whoever runs the agent says so, for the rules know of no end.
    Ending,
    /// Something that the reader's version does not know.
    #[serde(other)]
    Other,
}

/// What one stage finds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageStatus {
    /// Which.
    pub stage: Stage,
    /// How it is.
    pub found: Found,
    /// In words.
    pub words: String,
    /// How old its question is; none: nothing was asked yet.
    pub age_ms: Option<u64>,
}

/// How a stage is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Found {
    /// As it must be for a VIP to start here.
    Passed,
    /// An ordinary secondary: nothing is wrong, and no VIP starts here.
    Secondary,
    /// Certainly not as it must be.
    Failed,
    /// Not known.
    Unknown,
}

/// One VIP, as this agent sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VipStatus {
    /// Its address.
    pub address: IpAddr,
    /// Which member it belongs on.
    pub role: VipRole,
    /// Whether it should be here.
    pub wanted: Wanted,
    /// What this agent has to do with it.
    pub state: Has,
    /// How it stands, and why: the log's words.
    pub words: String,
    /// The interface that bears it here.
    pub interface: Option<String>,
    /// How long it has been so.
    pub for_ms: Option<u64>,
    /// How long the kernel keeps it at the most, unless the lease is renewed; none: not held, or without a lease.
    pub lease_left_ms: Option<u64>,
    /// How old the question is whose answer last proved that it belongs here; none: not held, or no such answer is the newest.
    pub proof_age_ms: Option<u64>,
    /// What its own stage 4 found, where it does not go by the cluster's gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<String>,
    /// Of a VIP on an interface that has no member's address: each other member that says who it is there, with its hardware address.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<HostStatus>,
}

/// A member, by its own word on an interface that has no member's address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostStatus {
    /// Which member it says it is.
    pub member: IpAddr,
    /// The hardware address from which it says so, such as `02:00:00:00:00:0b`.
    pub mac: String,
}

/// Whether a VIP should be here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Wanted {
    /// It should.
    Yes,
    /// It should not.
    No,
    /// It is not known.
    Unknown,
}

/// What an agent has to do with a VIP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Has {
    /// Nothing: it is not here.
    Absent,
    /// It asks the network for it.
    Claiming,
    /// It holds it.
    Holding,
    /// It is removing it.
    Releasing,
}

/// The group as one server shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupStatus {
    /// How old the question is.
    pub age_ms: u64,
    /// The view, `<birth>:<counter>`.
    pub view: Option<String>,
    /// Whether the server sees a majority.
    pub majority: bool,
    /// Each row of `replication_group_members`.
    pub members: Vec<MemberStatus>,
}

/// One member in a view.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberStatus {
    /// `MEMBER_ID`.
    pub id: String,
    /// `MEMBER_HOST`.
    pub host: String,
    /// `MEMBER_PORT`.
    pub port: u16,
    /// Its address as in `members`, where that is known.
    pub address: Option<IpAddr>,
    /// `MEMBER_STATE`.
    pub state: MemberState,
    /// `MEMBER_ROLE`.
    pub role: Role,
}

/// A VIP came to this host or left it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwitchStatus {
    /// In the log's words.
    pub words: String,
    /// How long ago.
    pub age_ms: u64,
}

/// The last switch, as the agent remembers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastSwitch {
    /// When it was decided.
    pub at: Time,
    /// In the log's words.
    pub words: String,
}

impl LastSwitch {
    /// The switch in this decision, if there is one.
    pub fn of(policy: &Policy, decision: &Decision, at: Time) -> Option<Self> {
        let switch = decision.reasons.iter().rfind(|said| said.reason.stage_5() != 1)?;
        Some(Self { at, words: switch.text(policy) })
    }
}

impl Status {
    /// As it is now, `unread` taken in: an answer that the rules have not been woken for.
    pub fn of(
        policy: &Policy,
        state: &State,
        unread: Option<&Event>,
        last_switch: Option<&LastSwitch>,
        now: Time,
    ) -> Self {
        let mut copy = state.clone();
        if let Some(event) = unread {
            step(policy, &mut copy, event, now);
        }
        let state = &copy;
        // What the rules would say, were they asked now; what they would do is dropped.
        let decision = step(policy, &mut state.clone(), &Event::Wake, now);
        let moment = Moment { facts: &state.facts, group: &policy.group, now };
        let vips = policy.vips.iter().filter_map(|(id, limits)| {
            let at = VipMoment { moment, vip: *id, policy: limits, cluster: policy };
            let words = decision.said_of(*id).map(|said| said.words(policy));
            Some(vip(state.vips.get(id)?, words, at))
        });
        let stages = state.stages(policy);
        let stages = stages.each().into_iter().map(|(which, found, at)| stage(which, found, now.since(at)));
        Self {
            mode: mode(&state.facts),
            member: moment.own_address(),
            stages: stages.collect(),
            vips: vips.collect(),
            group: group(policy, &state.facts, now),
            waits_for: waits_for(policy, state, now),
            pause_left_ms: state.facts.pause.until.map(|until| milliseconds(until.since(now))),
            readers: ReadersStatus::of(policy, &state.facts, now),
            last_switch: last_switch.map(|switch| SwitchStatus {
                words: switch.words.clone(),
                age_ms: milliseconds(now.since(switch.at)),
            }),
        }
    }

    /// The same so much later: each age is higher, and what is left is less.
    #[must_use]
    pub fn later(&self, by: Duration) -> Self {
        let by = milliseconds(by);
        let mut later = self.clone();
        let grow = |age: &mut u64| *age = age.saturating_add(by);
        let shrink = |left: &mut u64| *left = left.saturating_sub(by);
        later.stages.iter_mut().filter_map(|stage| stage.age_ms.as_mut()).for_each(grow);
        for vip in &mut later.vips {
            vip.for_ms.iter_mut().chain(&mut vip.proof_age_ms).for_each(grow);
            vip.lease_left_ms.iter_mut().for_each(shrink);
        }
        later.group.iter_mut().for_each(|group| grow(&mut group.age_ms));
        later.pause_left_ms.iter_mut().for_each(shrink);
        later.readers.iter_mut().for_each(|readers| readers.grow(by));
        later.last_switch.iter_mut().for_each(|switch| grow(&mut switch.age_ms));
        later
    }
}

/// The operator's word that counts.
fn mode(facts: &Facts) -> Mode {
    if facts.giving_up {
        Mode::Drained
    } else if facts.pause.is_on() {
        Mode::Paused
    } else {
        Mode::Running
    }
}

/// Whole milliseconds.
fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn stage(stage: Stage, finding: &Finding, age: Duration) -> StageStatus {
    let (found, words) = match finding {
        Finding::Passed => (Found::Passed, passed(stage).to_owned()),
        Finding::Failed(Cause::Secondary) => (Found::Secondary, Cause::Secondary.to_string()),
        Finding::Failed(cause) => (Found::Failed, cause.to_string()),
        Finding::Unknown(why) => (Found::Unknown, format!("not known: {why}")),
    };
    let asked = !matches!(finding, Finding::Unknown(Why::NotAskedYet));
    StageStatus { stage, found, words, age_ms: asked.then(|| milliseconds(age)) }
}

fn passed(stage: Stage) -> &'static str {
    match stage {
        Stage::Member => "this host is a member",
        Stage::Server => "mysqld answers",
        Stage::Primary => "the server is the primary, ONLINE and writable, with a majority",
        Stage::Gateway => "the gateway answers",
    }
}

fn vip(machine: &VipMachine, words: Option<String>, at: VipMoment<'_>) -> VipStatus {
    let (state, interface, since) = match &machine.state {
        VipState::Absent => (Has::Absent, None, None),
        VipState::Claiming(claim) => (Has::Claiming, None, Some(claim.since)),
        VipState::Holding(hold) => (Has::Holding, Some(&hold.interface), Some(hold.since)),
        VipState::Releasing { since, interface, .. } => (Has::Releasing, Some(interface), Some(*since)),
    };
    let hold = if let VipState::Holding(hold) = &machine.state { Some(hold) } else { None };
    let verdict = if hold.is_some() { at.verdict_to_keep() } else { at.verdict_to_start() };
    let wanted = match verdict {
        _ if at.facts.giving_up => Wanted::No,
        Verdict::Up => Wanted::Yes,
        Verdict::Down(..) => Wanted::No,
        Verdict::Unknown(..) => Wanted::Unknown,
    };
    let proof = hold.filter(|_| wanted == Wanted::Yes).map(|_| at.now.since(at.facts.server.asked_at));
    VipStatus {
        address: at.policy.address,
        role: at.policy.role,
        wanted,
        state,
        words: words.unwrap_or_else(|| "not known".to_owned()),
        interface: interface.cloned(),
        for_ms: since.map(|since| milliseconds(at.now.since(since))),
        lease_left_ms: hold.and_then(|hold| lease_left(at.policy, hold, at.now)).map(milliseconds),
        proof_age_ms: proof.map(milliseconds),
        gateway: gateway(at),
        hosts: hosts(at),
    }
}

fn hosts(at: VipMoment<'_>) -> Vec<HostStatus> {
    let others = at.group.members.keys().filter(|member| Some(**member) != at.own_address());
    let there = others.filter(|_| at.elsewhere().is_some());
    there
        .filter_map(|member| Some(HostStatus { member: *member, mac: at.mac_of(*member)?.to_string() }))
        .collect()
}

fn gateway(at: VipMoment<'_>) -> Option<String> {
    let own = match at.policy.gateway {
        VipGateway::TheClusters => return None,
        VipGateway::Nobody => return Some("no gateway is asked".to_owned()),
        VipGateway::Own(own) => own,
    };
    Some(match at.gateway_of(VipGateway::Own(own)).0 {
        Finding::Passed => format!("its gateway {own} answers"),
        Finding::Failed(cause) => cause.to_string(),
        Finding::Unknown(why) => format!("whether its gateway {own} answers is not known: {why}"),
    })
}

/// It was last renewed a third of its length before the next renewal is due.
fn lease_left(policy: &VipPolicy, hold: &Hold, now: Time) -> Option<Duration> {
    let lease = policy.lease?;
    Some((hold.next_renewal? - lease / 3 + lease).since(now))
}

fn group(policy: &Policy, facts: &Facts, now: Time) -> Option<GroupStatus> {
    let view = facts.own_view()?;
    let member = |member: &Member| MemberStatus {
        id: member.id.clone(),
        host: member.host.clone(),
        port: member.port,
        address: address_of(policy, facts, view, member),
        state: member.state,
        role: member.role,
    };
    Some(GroupStatus {
        age_ms: milliseconds(now.since(facts.server.asked_at)),
        view: view.view.as_ref().map(ToString::to_string),
        majority: view.has_majority(),
        members: view.members.iter().map(member).collect(),
    })
}

/// Whose row it is: this host's, one whose port answered with this UUID, or one that is named by its address.
fn address_of(policy: &Policy, facts: &Facts, view: &GroupView, member: &Member) -> Option<IpAddr> {
    if member.id == view.local {
        let Fact::Known(host) = &facts.host.fact else { return None };
        return own_member(&policy.group, host).map(|(address, _)| address);
    }
    let named = || member.host.parse().ok().filter(|address| policy.group.members.contains_key(address));
    facts.peers.open.get(&member.id).map(|open| open.address).or_else(named)
}

fn waits_for(policy: &Policy, state: &State, now: Time) -> Vec<String> {
    let mut all = Vec::new();
    for (stage, finding, _) in state.stages(policy).each() {
        if *finding == Finding::Unknown(Why::NotAskedYet) {
            all.push(format!("the first answer about {stage}"));
        }
    }
    for (id, machine) in &state.vips {
        let Some(limits) = policy.vips.get(id) else { continue };
        all.extend(vip_waits_for(limits, machine, &state.facts, now));
    }
    if state.expel.changed.is_some() {
        all.push("the group to expel a dead member".to_owned());
    }
    if matches!(&state.facts.server.fact, Fact::Unknown(why) if *why != Why::NotAskedYet) {
        all.push("an answer of the local server".to_owned());
    }
    if matches!(&state.facts.server.fact, Fact::Known(Server::Refused(_))) {
        all.push("the local server to listen again".to_owned());
    }
    all
}

fn vip_waits_for(limits: &VipPolicy, machine: &VipMachine, facts: &Facts, now: Time) -> Option<String> {
    let vip = limits.address;
    match &machine.state {
        VipState::Claiming(claim) => Some(claim_waits_for(limits, claim, facts, now)),
        VipState::Holding(Hold { dispute: Some(dispute), .. }) => {
            let claimant = dispute.claimant;
            Some(format!("proof of who has the better right to {vip}, which {claimant} claims"))
        }
        VipState::Holding(Hold { recheck_since: Some(_), down_since: None, .. }) => {
            Some(format!("a second look before {vip} is given up"))
        }
        VipState::Holding(Hold { down_since: Some(_), .. }) => Some(format!("another member to claim {vip}")),
        VipState::Absent | VipState::Holding(_) => None,
        VipState::Releasing { interface, .. } => Some(format!("the kernel to remove {vip} from {interface}")),
    }
}

fn claim_waits_for(limits: &VipPolicy, claim: &Claim, facts: &Facts, now: Time) -> String {
    let vip = limits.address;
    if let (Some(since), Some((mac, _))) = (claim.taken_since, claim.answered) {
        let who = facts.member_of(mac).map_or_else(|| format!("the host with {mac}"), |at| at.to_string());
        return format!(
            "{who} to yield {vip}: it has answered for the address for {} ms",
            now.since(since).as_millis()
        );
    }
    if claim.probes < limits.probe_count {
        return format!(
            "answers to its probes for {vip}: {} of {} are sent",
            claim.probes, limits.probe_count
        );
    }
    if let Some(rival) = claim.rivals.keys().next() {
        return format!("{rival}, which claims {vip} too");
    }
    format!("the second check before {vip} is taken")
}
