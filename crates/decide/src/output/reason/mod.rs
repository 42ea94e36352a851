//! Why a decision is what it is, in words for the log.

mod because;
mod readers;

use core::fmt;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use because::{LetGo, Vacant};

use crate::input::Why;
use crate::net::{Mac, VipId};
use crate::output::findings::{Cause, Stage};
use crate::policy::Policy;

/// A reason, and the VIP that it is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// None: it is about the host, its server or the group.
    pub vip: Option<VipId>,
    /// Why.
    pub reason: Reason,
}

impl Said {
    /// For the log of a cluster with this policy. Where there are several VIPs, the one that it is about is named first.
    pub fn text(&self, policy: &Policy) -> String {
        let address = self.vip.filter(|_| policy.vips.len() > 1).and_then(|vip| policy.address_of(vip));
        let words = self.words(policy);
        address.map_or_else(|| words.clone(), |address| format!("{address}: {words}"))
    }

    /// The same without the VIP's name.
    pub fn words(&self, policy: &Policy) -> String {
        let for_readers = self.is_about_readers(policy).then(|| readers::words(&self.reason)).flatten();
        for_readers.unwrap_or_else(|| self.reason.to_string())
    }

    /// It is about a VIP for readers.
    pub fn is_about_readers(&self, policy: &Policy) -> bool {
        self.vip.is_some_and(|vip| policy.is_for_readers(vip))
    }

    /// It is the switch of a writer VIP: what the legacy monitors look for (S1).
    pub fn is_switch(&self, policy: &Policy) -> bool {
        self.reason.is_switch() && !self.is_about_readers(policy)
    }
}

/// Why. The first two are switches; all others leave the VIP as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// The VIP is started here (stage 5 returns 2).
    Started {
        /// On this interface.
        interface: String,
        /// Why nobody else has it.
        because: Vacant,
    },
    /// The VIP is stopped here (stage 5 returns 0).
    Stopped {
        /// On this interface.
        interface: String,
        /// Why.
        because: LetGo,
    },
    /// It should be down and is.
    NotWanted(Stage, Cause),
    /// It is not here, and whether it should be is not known.
    NotKnown(Stage, Why),
    /// It should be up and is.
    Holding,
    /// It was up here when the agent started, and stays (S7).
    Adopted,
    /// The primary is read-only; the VIP stays.
    HoldingReadOnly,
    /// The server is a secondary that still takes writes; the VIP stays until the primary claims it.
    HoldingUntilClaimed,
    /// Of a reader VIP: it belongs on this member, and stays until that one claims it.
    HoldingUntilPlaced(IpAddr),
    /// Of a reader VIP: no member is fit to serve readers, and it stays where it is.
    HoldingNoReader,
    /// The gateway is lost, and the policy says to hold with the majority.
    HoldingWithoutGateway,
    /// It is here, and whether it should be is not known.
    HoldingUnknown(Stage, Why),
    /// A stage fails and is asked about a second time.
    Rechecking(Stage, Cause),
    /// The server lives and no longer leads: waiting for the new primary's claim.
    WaitingForClaim(Stage, Cause),
    /// The server is dead: the address stays so that clients are refused and not left hanging, until claimed.
    Lingering(Stage, Cause),
    /// A member asks for the address.
    Disputed(IpAddr),
    /// … and has no better right to it.
    DisputeWon(IpAddr),
    /// A host that is no member uses the VIP.
    Stranger(Mac),
    /// A host that is no member asks for the VIP by a probe.
    StrangerAsks(Mac),
    /// The VIP was announced again, because this host that is no member uses it too.
    Defended(Mac),
    /// A copy of the VIP is on this interface, where it never may be: it is removed.
    CopyElsewhere(String),
    /// A copy of the VIP with this prefix length is on this interface: the agent's own replaces it.
    CopyWithPrefix(String, u8),
    /// The VIP was removed from this interface so many times within a minute.
    RemovedAgain(String, usize),
    /// It should be here, and the network is being asked.
    Claiming,
    /// … and this host, a member if known, answers for it.
    Taken(Mac, Option<IpAddr>),
    /// … and this host, which is no member, has answered for it for a while.
    TakenByStranger(Mac),
    /// … and nothing can be heard of the VIP, so nobody can be asked.
    ReceiveDown,
    /// … and this member asks for it too.
    Rival(IpAddr),
    /// … and what is known of the server or the gateway is older than the wish: the second check is awaited.
    SecondCheck,
    /// The VIP went away, and not by this agent.
    RemovedByOther(String),
    /// The agent, or the whole host, stood still for longer than the lease: all is asked anew.
    LeaseOver(String),
    /// Adding or removing it failed.
    Failed(String),
    /// It should be here, and adding it failed a moment ago: tried again soon.
    Retrying,
    /// The address is being removed.
    Releasing,
    /// The agent stops, and there is nothing to be done about the VIP.
    Stopping,
    /// The agent stops, and the VIP stays on this interface without an end (S7).
    StoppingForEver(String),
    /// The agent stops, and the VIP, which should not be on this interface, goes with its lease.
    StoppingUnderLease(String, Duration),
    /// The VIP is not here, and not taken any more: the agent was told to give it up.
    GivenUp,
    /// It should be here, and is not taken: the operator has paused the agent.
    Paused,
    /// The operator has paused the agent, so it stays, though this stage fails.
    HoldingPaused(Stage, Cause),
    /// The operator pauses the agent for so long.
    PauseBegins(Duration),
    /// The pause is over.
    PauseEnds,
    /// The host was suspended for so long, or the wall clock was set by so many milliseconds: all is asked anew.
    ClocksParted {
        /// How long the host was suspended.
        suspended: Duration,
        /// How far the wall clock was set.
        wall_step_ms: i64,
    },
    /// Its own addresses are not known.
    HostNotKnown(Why),
    /// This member is UNREACHABLE for longer than the configured timeout: the group is told to look now.
    WokeExpel {
        /// The member's name.
        member: String,
        /// `group_replication_member_expel_timeout`, in seconds.
        timeout: u32,
    },
    /// These members are dead: the group is told to expel them at once.
    ProvenDead(Vec<String>),
    /// These members are UNREACHABLE, and their hosts silent on the segment too: the group is told to expel them at once.
    SilentHosts(Vec<String>),
    /// `group_replication_member_expel_timeout` is being put back to this many seconds.
    RestoringExpelTimeout(u32),
    /// It can't be used, and what is lost by that.
    NoSoonerExpel(Why),
    /// It can be used; this many seconds are configured.
    SoonerExpel(u32),
    /// This member's fence command is being run.
    Fencing(String),
    /// The fence command for the member of this address has ended, without proof where words are given.
    Fenced(IpAddr, Option<String>),
}

impl Reason {
    /// Whether the VIP is switched: the one thing that is logged as such (S1).
    pub fn is_switch(&self) -> bool {
        matches!(self, Self::Started { .. } | Self::Stopped { .. })
    }

    /// Stage 5's return value in the legacy program's table (S13): 0 stop, 1 leave, 2 start.
    pub fn stage_5(&self) -> u8 {
        match self {
            Self::Started { .. } => 2,
            Self::Stopped { .. } => 0,
            _ => 1,
        }
    }

    /// Whether an administrator should look at this although nothing is switched.
    pub fn is_error(&self) -> bool {
        // A server that lives and turns the agent away: nothing can follow a failover until somebody mends that.
        if let Self::HoldingUnknown(_, why) | Self::NotKnown(_, why) = self {
            return why.server_lives();
        }
        matches!(
            self,
            Self::Stranger(_)
                | Self::TakenByStranger(_)
                | Self::HoldingReadOnly
                | Self::HoldingWithoutGateway
                | Self::CopyElsewhere(_)
                | Self::CopyWithPrefix(..)
                | Self::RemovedAgain(..)
                | Self::Failed(_)
                | Self::RemovedByOther(_)
                | Self::LeaseOver(_)
                | Self::Fenced(_, Some(_))
        )
    }
}

const UNTIL_CLAIMED: &str = "VIP kept until the new primary claims it: this server is a secondary that still takes writes, while the primary applies what it had queued";

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started { interface, because } => {
                write!(f, "VIP started on {interface}: this server is the primary, and {because}")
            }
            Self::Stopped { interface, because } => write!(f, "VIP stopped on {interface}: {because}"),
            Self::Holding => f.write_str("VIP kept: all stages pass"),
            Self::Adopted => {
                f.write_str("VIP is up here without this agent having started it: it stays as it is")
            }
            Self::HoldingReadOnly => f.write_str(
                "VIP kept: this server is the primary, but it is not writable (super_read_only is on): clients can't write",
            ),
            Self::HoldingUntilClaimed => f.write_str(UNTIL_CLAIMED),
            Self::HoldingUntilPlaced(member) => {
                write!(f, "VIP kept until member {member} claims it: it belongs there")
            }
            Self::HoldingNoReader => {
                f.write_str("VIP kept although no member is fit to serve readers: this one still answers them")
            }
            Self::HoldingWithoutGateway => f.write_str(
                "VIP kept though the gateway does not answer: this server is the primary and sees a majority (gateway_lost = \"hold-with-majority\")",
            ),
            Self::HoldingUnknown(stage, why) => write!(f, "VIP kept for now: {stage} is not known: {why}"),
            Self::Rechecking(stage, cause) => {
                write!(f, "VIP kept until a second check: {stage} fails: {cause}")
            }
            Self::WaitingForClaim(stage, cause) => {
                write!(f, "VIP kept until the new primary claims it, for claim_wait at most: {stage} fails: {cause}")
            }
            Self::Lingering(stage, cause) => {
                write!(
                    f,
                    "VIP kept so that clients are refused at once, until the new primary claims it, for linger at most: {stage} fails: {cause}"
                )
            }
            Self::HoldingPaused(stage, cause) => {
                write!(f, "VIP kept while the agent is paused, until another member claims it: {stage} fails: {cause}")
            }
            Self::PauseBegins(length) => paused_for(f, *length),
            Self::PauseEnds => f.write_str("the pause is over: the VIP follows the primary again"),
            Self::Disputed(member) => {
                write!(f, "member {member} claims the VIP: asking its server and our own")
            }
            Self::DisputeWon(member) => {
                write!(
                    f,
                    "VIP kept: member {member} claims it, but its server is not known to be the primary in a newer view than ours"
                )
            }
            Self::Failed(text) => f.write_str(text),
            Self::Releasing => f.write_str("VIP is being removed"),
            Self::Stopping => f.write_str("agent stops, and leaves the VIP as it is"),
            Self::StoppingForEver(interface) => stopping_for_ever(f, interface),
            Self::StoppingUnderLease(interface, lease) => stopping_under_lease(f, interface, *lease),
            Self::GivenUp => f.write_str("VIP given up: it is not here, and this agent does not take it again"),
            Self::ClocksParted { suspended, wall_step_ms } => parted(f, *suspended, *wall_step_ms),
            Self::HostNotKnown(why) => write!(f, "this host's addresses are not known: {why}"),
            other => other.fmt_of_claim(f),
        }
    }
}

impl Reason {
    /// The words of a host that has not the VIP.
    fn fmt_of_claim(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotWanted(stage, cause) => write!(f, "VIP not wanted here: {stage}: {cause}"),
            Self::NotKnown(stage, why) => {
                write!(f, "VIP not here, and not started: {stage} is not known: {why}")
            }
            Self::Claiming => f.write_str("VIP wanted here: asking the network whether another host has it"),
            Self::Taken(mac, Some(member)) => {
                write!(f, "VIP wanted here, but member {member} ({mac}) still has it")
            }
            Self::Taken(mac, None) => write!(f, "VIP wanted here, but {mac} still answers for it"),
            Self::TakenByStranger(mac) => write!(
                f,
                "VIP wanted here, but {mac}, no member's interface, keeps answering for it: find that host in the switches' MAC tables and remove the address there"
            ),
            Self::ReceiveDown => f.write_str("VIP wanted here, but nothing can be heard of it on its interface: waiting for the interface to come up"),
            Self::Rival(member) => {
                write!(f, "VIP wanted here, but member {member} claims it too: asking its server")
            }
            Self::SecondCheck => f.write_str("VIP wanted here, and nobody has it: waiting for the second check"),
            Self::Paused => f.write_str("VIP wanted here, and not taken: the agent is paused (haipmgr resume ends that)"),
            Self::Retrying => f.write_str("VIP wanted here: adding it failed, trying again soon"),
            other => other.fmt_of_others(f),
        }
    }

    /// The words for what others do with the VIP, or to it.
    fn fmt_of_others(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stranger(mac) => write!(
                f,
                "{mac}, no member's interface, uses the VIP: clients may reach that host instead of this one; find it in the switches' MAC tables and remove the address there"
            ),
            Self::StrangerAsks(mac) => write!(
                f,
                "{mac}, no member's interface, asks by a probe whether the VIP is in use: this host answered that it is, and keeps the VIP"
            ),
            Self::Defended(mac) => {
                write!(
                    f,
                    "VIP kept: this server is the primary, so the VIP is announced again, against {mac}"
                )
            }
            Self::CopyElsewhere(interface) => write!(
                f,
                "a copy of the VIP is on {interface}, which is not this member's interface: removing it, because it would stay here when the VIP moves; find out what added it"
            ),
            Self::CopyWithPrefix(interface, prefix) => write!(
                f,
                "a copy of the VIP with prefix length {prefix} is on {interface}: removing it, because it has no lease and would stay here when the VIP moves; find out what added it"
            ),
            Self::RemovedAgain(interface, times) => write!(
                f,
                "VIP was removed from {interface} {times} times within a minute by another program: a network service (systemd-networkd, NetworkManager), or another tool for virtual IPs; run haipmgr check to see what to set"
            ),
            Self::RemovedByOther(interface) => {
                write!(
                    f,
                    "VIP is gone from {interface}, and haipmgr did not remove it: it was removed by hand or by another program, or its lease ended"
                )
            }
            Self::LeaseOver(interface) => write!(
                f,
                "the agent did not run for longer than the VIP's lease on {interface}: checking everything again (is the host short of processor time?)"
            ),
            expel => expel.fmt_of_expel(f),
        }
    }

    /// The words for what is done about dead members; none for all else.
    fn fmt_of_expel(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WokeExpel { member, timeout } => write!(
                f,
                "member {member} has been UNREACHABLE for group_replication_member_expel_timeout ({timeout} s): telling the group to expel it now"
            ),
            Self::ProvenDead(members) => write!(
                f,
                "member {} is UNREACHABLE and proven dead: telling the group to expel it at once (group_replication_member_expel_timeout is set to 0 until then)",
                members.join(", ")
            ),
            Self::SilentHosts(members) => write!(
                f,
                "member {} is UNREACHABLE, and its host answers nothing on this network either, while the others do: telling the group to expel it at once (silent_host = \"expel\"; group_replication_member_expel_timeout is set to 0 until then)",
                members.join(", ")
            ),
            Self::RestoringExpelTimeout(value) => {
                write!(f, "putting group_replication_member_expel_timeout back to {value}")
            }
            Self::NoSoonerExpel(why) => write!(
                f,
                "after a crash a new primary is elected no sooner than by MySQL alone (21 s with its defaults): {why}"
            ),
            Self::SoonerExpel(timeout) => write!(
                f,
                "a dead member can be expelled on time: group_replication_member_expel_timeout is {timeout} s here"
            ),
            Self::Fencing(member) => write!(f, "member {member} is UNREACHABLE: running fence_command"),
            Self::Fenced(member, None) => {
                write!(f, "fence_command succeeded for member {member}: its host is dead")
            }
            Self::Fenced(member, Some(text)) => {
                write!(f, "fence_command failed, so the host of member {member} may still be running: {text}")
            }
            _ => Ok(()),
        }
    }
}

fn paused_for(f: &mut fmt::Formatter<'_>, length: Duration) -> fmt::Result {
    write!(
        f,
        "paused for {} s: the VIP is not taken here, is let go of only where another member claims it or may have it, and no member \
         is expelled sooner; haipmgr resume ends this",
        length.as_secs()
    )
}

fn stopping_for_ever(f: &mut fmt::Formatter<'_>, interface: &str) -> fmt::Result {
    write!(
        f,
        "agent stops, and leaves the VIP as it is: on {interface}, from now on without a lease. It stays there, and no other \
         host takes it, until an agent is started here or somebody removes it"
    )
}

fn stopping_under_lease(f: &mut fmt::Formatter<'_>, interface: &str, lease: Duration) -> fmt::Result {
    write!(
        f,
        "agent stops, and leaves the VIP as it is: it does not belong on {interface} any more, and the kernel removes it within {} s (its lease)",
        lease.as_secs_f64()
    )
}

fn parted(f: &mut fmt::Formatter<'_>, suspended: Duration, wall_step_ms: i64) -> fmt::Result {
    if suspended > Duration::ZERO {
        let seconds = suspended.as_secs_f64();
        return write!(
            f,
            "this host was suspended for {seconds:.1} s: checking everything again before the lease is renewed"
        );
    }
    let direction = if wall_step_ms < 0 { "back" } else { "forward" };
    let seconds = Duration::from_millis(wall_step_ms.unsigned_abs()).as_secs_f64();
    write!(
        f,
        "the wall clock was set {direction} by {seconds:.1} s, as after a pause of a virtual machine: checking everything again \
         before the lease is renewed"
    )
}
