//! A schedule: hosts, limits, faults and their times, made from a seed. It can be written down, read back and run again.

mod draw;
mod elsewhere;
mod readers;

use core::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use decide::net::VipId;
use decide::policy::{GatewayLost, SilentHost, VipGateway, VipPolicy, VipRole};
use fastrand::Rng;
use serde::{Deserialize, Serialize};

pub use self::readers::Readers;

use self::draw::{choose_of_the_site, draw, follow_up, give_backlogs, let_the_operator_pause};
use self::elsewhere::has_own_interface;
use self::readers::has_readers;
use crate::fault::{Fault, Who};
use crate::nic::Nic;
use crate::world::{BEGIN, Chances, Measured, Setup, VIPS, World, policy};
use oracle::{Broken, Counts};

/// After the last fault has passed the world runs on for this long: the lease, an election, a join, and the VIP follows.
const TAIL_MS: u64 = 14_000;
/// Agents start, meet, and the first holder takes the VIP.
const HEAD_MS: u64 = 700;
/// One schedule in so many has a second VIP.
const SECOND_VIP_IN: u8 = 8;
/// One schedule in so many has `silent_host = "expel"`.
const SILENT_HOSTS_GO_IN: u8 = 6;
/// … and then no longer a lease than the group needs to say that a member is UNREACHABLE.
const LEASE_WHERE_SILENT_HOSTS_GO_MS: u64 = 5_000;
/// No schedule is longer than this.
const LONGEST_MS: u64 = 60_000;

/// One fault at its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timed {
    /// Milliseconds from the beginning.
    pub at_ms: u64,
    /// What happens.
    pub fault: Fault,
}

/// Limits that the schedules vary, in milliseconds; the others are the defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// `lease`; 0: none.
    pub lease_ms: u64,
    /// `claim_wait`.
    pub claim_wait_ms: u64,
    /// `linger`.
    pub linger_ms: u64,
    /// `hung_patience`.
    pub hung_patience_ms: u64,
    /// `gateway_lost = "hold-with-majority"`.
    #[serde(default)]
    pub holds_without_gateway: bool,
    /// `takeover_after`; 0: off.
    #[serde(default)]
    pub takeover_after_ms: u64,
    /// `silent_host = "expel"`.
    #[serde(default)]
    pub expels_silent_hosts: bool,
}

/// Which gateway a host must reach to have the last of several VIPs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum LastGateway {
    /// The cluster's.
    #[default]
    TheClusters,
    /// One of its own.
    ItsOwn,
    /// None is asked.
    Nobody,
}

/// The gateway that the last VIP has of its own.
const OWN_GATEWAY: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 78, 0, 254));

/// A schedule.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    /// The seed of all jitter.
    pub seed: u64,
    /// How many hosts, 2 to 7.
    pub members: usize,
    /// Limits.
    pub limits: Limits,
    /// Of an agent to be held up for up to 80 ms, in thousandths.
    pub held_up: u16,
    /// Of a peer's server to turn a question away, in thousandths.
    pub peer_unknown: u16,
    /// There is a second VIP, held by the same limits.
    #[serde(default)]
    pub second_vip: bool,
    /// … which has an interface of its own, on every host.
    #[serde(default)]
    pub own_interface: bool,
    /// The last VIP of several has another gateway than the cluster's, or none.
    #[serde(default)]
    pub last_gateway: LastGateway,
    /// There are VIPs for readers.
    #[serde(default)]
    pub readers: Option<Readers>,
    /// The faults, in the order of their times.
    pub faults: Vec<Timed>,
    /// How long it runs, in milliseconds.
    pub length_ms: u64,
    /// A mistake in the rules.
    #[cfg(feature = "planted")]
    #[serde(skip)]
    pub planted: Option<decide::planted::Planted>,
}

/// What a run of a schedule gave.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The invariants that were broken; none: all is well.
    pub broken: Vec<Broken>,
    /// How often each excuse was needed.
    pub excuses: Counts,
    /// Two holders.
    pub measured: Measured,
    /// How soon the VIP followed, each time.
    pub followed: Vec<Duration>,
    /// How often reader VIPs were looked for in their places, and how often one moved.
    pub placed: (u64, u64),
    /// How long it ran, on the world's clock.
    pub length: Duration,
    /// The story, where it was to be told.
    pub story: Vec<(Duration, String)>,
}

impl Schedule {
    /// Without a fault, on default limits.
    pub fn quiet(seed: u64, members: usize, length_ms: u64) -> Self {
        let default = VipPolicy::new(VIPS[0]);
        let ms = |limit: Duration| u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        let limits = Limits {
            lease_ms: default.lease.map_or(0, ms),
            claim_wait_ms: ms(default.claim_wait),
            linger_ms: ms(default.linger),
            hung_patience_ms: ms(default.hung_patience),
            holds_without_gateway: false,
            takeover_after_ms: 0,
            expels_silent_hosts: false,
        };
        Self {
            seed,
            members,
            limits,
            held_up: 0,
            peer_unknown: 0,
            second_vip: false,
            own_interface: false,
            last_gateway: LastGateway::TheClusters,
            readers: None,
            faults: Vec::new(),
            length_ms,
            #[cfg(feature = "planted")]
            planted: None,
        }
    }

    /// Made from a seed: the same seed always gives the same schedule. `members`: so many hosts, or as the seed says.
    pub fn from_seed(seed: u64, members: Option<usize>) -> Self {
        let mut rng = Rng::with_seed(seed ^ 0x005e_ed0f_5eed);
        let drawn = [2, 2, 3, 3, 3, 3, 3, 5, 5, 7][rng.usize(0..10)];
        let members = members.unwrap_or(drawn);
        let quiet = Self::quiet(seed, members, 0);
        let mut limits = quiet.limits;
        // Long patiences would outlast the schedule: what ends them would never be seen.
        if rng.bool() {
            limits.linger_ms = rng.u64(1_000..8_000);
            limits.hung_patience_ms = rng.u64(2_000..8_000);
        }
        if rng.u8(0..4) == 0 {
            limits.lease_ms = rng.u64(3_000..12_000);
        }
        let held_up = if rng.u8(0..6) == 0 { rng.u16(1..40) } else { 0 };
        let mut peer_unknown = if rng.u8(0..8) == 0 { rng.u16(100..1000) } else { 0 };
        let count = [1, 1, 2, 2, 2, 3, 3, 3, 4, 5][rng.usize(0..10)];
        let mut at_ms = HEAD_MS + rng.u64(0..2_000);
        let mut faults = Vec::with_capacity(count);
        let mut end = at_ms;
        for _ in 0..count {
            let mut fault = draw(&mut rng, members);
            let length = fault.length().map_or(0, |ms| *ms);
            end = end.max(at_ms + length);
            faults.push(Timed { at_ms, fault });
            if rng.u8(0..4) == 0 {
                follow_up(&mut rng, members, Timed { at_ms, fault }, &mut faults);
                if matches!(fault, Fault::Shutdown { .. }) && rng.bool() {
                    // Two claimants that can learn nothing of each other's servers.
                    peer_unknown = rng.u16(700..=1000);
                }
            }
            // Many overlap, some follow each other within milliseconds, some wait for the one before.
            at_ms += match rng.u8(0..4) {
                0 => rng.u64(0..100),
                1 => rng.u64(0..1_000),
                2 => rng.u64(0..5_000),
                _ => length.min(8_000) + rng.u64(0..3_000),
            };
        }
        end = end.max(give_backlogs(&mut Rng::with_seed(seed ^ 0x00ba_c106), &mut faults));
        end = end.max(choose_of_the_site(&mut Rng::with_seed(seed ^ 0x0517_e5e7), &mut limits, &mut faults));
        end = end.max(let_the_operator_pause(&mut Rng::with_seed(seed ^ 0x0050_a05e), &mut faults));
        faults.sort_by_key(|timed| timed.at_ms);
        let length_ms = (end + TAIL_MS).min(LONGEST_MS);
        // Drawn apart, so that the seed's other choices are the same with and without it.
        let second_vip = Rng::with_seed(seed ^ 0x0005_ec09_d71b).u8(0..SECOND_VIP_IN) == 0;
        if Rng::with_seed(seed ^ 0x0051_1e47).u8(0..SILENT_HOSTS_GO_IN) == 0 {
            limits.expels_silent_hosts = true;
            // What the agent does at its start: the lease ends before the group can replace a silent member.
            limits.lease_ms = limits.lease_ms.min(LEASE_WHERE_SILENT_HOSTS_GO_MS);
        }
        let schedule = Self { limits, held_up, peer_unknown, second_vip, faults, length_ms, ..quiet };
        let schedule = if has_readers(seed) { schedule.with_readers(None) } else { schedule };
        let own_interface = second_vip && has_own_interface(seed);
        let schedule = if own_interface { schedule.with_own_interface() } else { schedule };
        schedule.with_last_gateway(members)
    }

    /// Of several VIPs the last has another gateway: in one such schedule of three its own, in one of three none. Its own is lost too.
    fn with_last_gateway(mut self, members: usize) -> Self {
        if !self.second_vip && self.readers.is_none() {
            return self;
        }
        let mut rng = Rng::with_seed(self.seed ^ 0x006a_7e3a);
        self.last_gateway =
            [LastGateway::TheClusters, LastGateway::ItsOwn, LastGateway::Nobody][rng.usize(0..3)];
        if self.last_gateway == LastGateway::ItsOwn {
            for _ in 0..rng.usize(1..3) {
                let (at_ms, ms) = (HEAD_MS + rng.u64(0..8_000), rng.u64(500..12_000));
                let who = if rng.bool() { Who::Holder } else { Who::Host(rng.usize(0..members)) };
                self.faults.push(Timed { at_ms, fault: Fault::OwnGatewayLost { who, ms } });
                self.length_ms = self.length_ms.max(at_ms + ms + TAIL_MS).min(LONGEST_MS);
            }
            self.faults.sort_by_key(|timed| timed.at_ms);
        }
        self
    }

    /// Made from a seed: the segment loses this share of all frames, in percent, from the first holding to the end, and nothing
    /// else is wrong with the network, the hosts and the agents. The VIP changes hands by switchover, `SHUTDOWN` and `kill -9`.
    pub fn under_loss(seed: u64, members: Option<usize>, percent: u8) -> Self {
        let mut rng = Rng::with_seed(seed ^ 0x1055_a10e);
        let members = members.unwrap_or([2, 3, 3, 3, 3, 5, 5, 7][rng.usize(0..8)]);
        let mut at_ms = HEAD_MS + rng.u64(1_000..2_000);
        let mut faults = Vec::new();
        for _ in 0..rng.usize(2..6) {
            let fault = match rng.u8(0..4) {
                0 | 1 => Fault::Switchover { to: rng.usize(0..members) },
                2 => Fault::Shutdown { who: Who::Primary, ms: rng.u64(3_200..6_000) },
                _ => Fault::Kill { who: Who::Primary, ms: rng.u64(500..6_000) },
            };
            faults.push(Timed { at_ms, fault });
            // Some moves meet the one before, most find the group whole again.
            at_ms += if rng.u8(0..4) == 0 { rng.u64(50..2_000) } else { rng.u64(8_000..12_000) };
        }
        let length_ms = (at_ms + TAIL_MS).min(LONGEST_MS);
        let loss = Fault::Loss { percent, ms: length_ms - HEAD_MS };
        faults.insert(0, Timed { at_ms: HEAD_MS, fault: loss });
        Self { faults, length_ms, ..Self::quiet(seed, members, 0) }
    }

    fn setup(&self, recording: bool) -> Setup {
        let mut policy = policy(self.members);
        let mut vip = VipPolicy::new(VIPS[0]);
        vip.lease = (self.limits.lease_ms > 0).then(|| Duration::from_millis(self.limits.lease_ms));
        vip.claim_wait = Duration::from_millis(self.limits.claim_wait_ms);
        vip.linger = Duration::from_millis(self.limits.linger_ms);
        vip.hung_patience = Duration::from_millis(self.limits.hung_patience_ms);
        if self.limits.holds_without_gateway {
            vip.gateway_lost = GatewayLost::HoldWithMajority;
        }
        let takeover_after = self.limits.takeover_after_ms;
        vip.takeover_after = (takeover_after > 0).then(|| Duration::from_millis(takeover_after));
        if self.second_vip {
            let mut second = VipPolicy { address: VIPS[1], ..vip.clone() };
            if self.own_interface {
                let members = policy.group.members.keys();
                second.interfaces = members.map(|member| (*member, Nic::Eth1.name().to_owned())).collect();
            }
            policy.vips.insert(VipId(1), second);
        }
        if let Some(readers) = self.readers {
            policy.group.readers = readers.policy();
            for _ in 0..readers.vips {
                let next = policy.vips.len();
                let reader = VipPolicy { address: VIPS[next], role: VipRole::Reader, ..vip.clone() };
                policy.vips.insert(VipId(u16::try_from(next).unwrap_or(u16::MAX)), reader);
            }
        }
        if let Some(mut last) = policy.vips.last_entry().filter(|last| *last.key() != VipId::FIRST) {
            last.get_mut().gateway = match self.last_gateway {
                LastGateway::TheClusters => VipGateway::TheClusters,
                LastGateway::ItsOwn => VipGateway::Own(OWN_GATEWAY),
                LastGateway::Nobody => VipGateway::Nobody,
            };
        }
        policy.vips.insert(VipId::FIRST, vip);
        if self.limits.expels_silent_hosts {
            policy.group.silent_host = SilentHost::Expel;
        }
        #[cfg(feature = "planted")]
        {
            policy.group.planted = self.planted;
        }
        let chances = Chances {
            loss: 0.0,
            held_up: f64::from(self.held_up) / 1000.0,
            peer_unknown: f64::from(self.peer_unknown) / 1000.0,
        };
        Setup { seed: self.seed, members: self.members, policy, chances, recording, skipping: true }
    }

    /// Runs it, to its end or until an invariant is broken.
    pub fn run(&self) -> Outcome {
        self.run_as(&self.setup(false))
    }

    /// Runs it, and tells the story.
    pub fn tell(&self) -> Outcome {
        self.run_as(&self.setup(true))
    }

    /// Runs it with every poll carried out, to check that those which are left out otherwise lead to nothing.
    pub fn run_all_polls(&self) -> Outcome {
        self.run_as(&Setup { skipping: false, ..self.setup(false) })
    }

    fn run_as(&self, setup: &Setup) -> Outcome {
        let mut world = World::new(setup);
        for timed in &self.faults {
            world.fault_in(Duration::from_millis(timed.at_ms), timed.fault);
        }
        world.run(Duration::from_millis(self.length_ms));
        world.check_end();
        Outcome {
            length: world.now.since(BEGIN),
            broken: world.broken,
            excuses: world.excuses,
            placed: world.placed,
            measured: world.measured,
            followed: world.followed.each().to_vec(),
            story: world.story.into_iter().map(|(at, words)| (at.since(BEGIN), words)).collect(),
        }
    }

    /// Whether frames are lost or late at some time in it.
    pub fn loses_frames(&self) -> bool {
        self.faults.iter().any(|timed| timed.fault.loses_frames())
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Limits { lease_ms, claim_wait_ms, linger_ms, hung_patience_ms, .. } = self.limits;
        writeln!(
            f,
            "seed {}, {} hosts; lease {lease_ms} ms, claim_wait {claim_wait_ms} ms, linger {linger_ms} ms, hung_patience {hung_patience_ms} ms",
            self.seed, self.members
        )?;
        if self.limits.holds_without_gateway {
            writeln!(f, "gateway_lost = \"hold-with-majority\"")?;
        }
        if self.limits.takeover_after_ms > 0 {
            writeln!(f, "takeover_after {} ms", self.limits.takeover_after_ms)?;
        }
        if self.held_up > 0 {
            writeln!(f, "agents are held up {} times in 1000", self.held_up)?;
        }
        if self.peer_unknown > 0 {
            writeln!(f, "peers' servers turn questions away {} times in 1000", self.peer_unknown)?;
        }
        if let Some(Readers { vips, behind_for_ms, well_for_ms, when_none }) = self.readers {
            writeln!(
                f,
                "{vips} reader VIPs; reader_behind_for {behind_for_ms} ms, reader_well_for {well_for_ms} ms, when_no_reader {when_none:?}"
            )?;
        }
        if self.own_interface {
            writeln!(f, "the second VIP has an interface of its own")?;
        }
        match self.last_gateway {
            LastGateway::TheClusters => {}
            LastGateway::ItsOwn => writeln!(f, "the last VIP has a gateway of its own")?,
            LastGateway::Nobody => writeln!(f, "for the last VIP no gateway is asked")?,
        }
        for timed in &self.faults {
            writeln!(f, "{:5}.{:03} s  {}", timed.at_ms / 1000, timed.at_ms % 1000, timed.fault)?;
        }
        write!(f, "{:5}.{:03} s  end", self.length_ms / 1000, self.length_ms % 1000)
    }
}
