//! A schedule: hosts, limits, faults and their times, made from a seed. It can be written down, read back and run again.

use core::fmt;
use std::time::Duration;

use decide::net::VipId;
use decide::policy::{GatewayLost, ReaderPolicy, SilentHost, VipPolicy, VipRole, WhenNoReader};
use fastrand::Rng;
use serde::{Deserialize, Serialize};

use crate::fault::{Fault, Who};
use crate::world::{BEGIN, Chances, Measured, Setup, VIPS, World, policy};
use oracle::placed::settles_within;
use oracle::{Broken, Counts};

/// After the last fault has passed the world runs on for this long: the lease, an election, a join, and the VIP follows.
const TAIL_MS: u64 = 14_000;
/// Agents start, meet, and the first holder takes the VIP.
const HEAD_MS: u64 = 700;
/// One schedule in so many has a second VIP.
const SECOND_VIP_IN: u8 = 8;
/// One schedule in so many has reader VIPs: every word that is said once a second is carried out, which takes long.
const READERS_IN: u8 = 16;
/// One schedule in so many has `silent_host = "expel"`.
const SILENT_HOSTS_GO_IN: u8 = 6;
/// … and then no longer a lease than the group needs to say that a member is UNREACHABLE.
const LEASE_WHERE_SILENT_HOSTS_GO_MS: u64 = 5_000;
/// No schedule is longer than this.
const LONGEST_MS: u64 = 60_000;
/// … but for one with readers, in which each is to be in its place at the end.
const LONGEST_WITH_READERS_MS: u64 = 80_000;

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

/// What schedules with reader VIPs vary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Readers {
    /// How many reader VIPs, 1 to 3.
    pub vips: u8,
    /// `reader_behind_for`, in milliseconds.
    pub behind_for_ms: u64,
    /// `reader_well_for`, in milliseconds.
    pub well_for_ms: u64,
    /// `when_no_reader`.
    pub when_none: WhenNoReader,
}

impl Readers {
    /// The defaults.
    pub fn new(vips: u8) -> Self {
        let default = ReaderPolicy::default();
        let ms = |limit: Duration| u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        Self {
            vips,
            behind_for_ms: ms(default.behind_for),
            well_for_ms: ms(default.well_for),
            when_none: default.when_none,
        }
    }

    fn policy(self) -> ReaderPolicy {
        ReaderPolicy {
            behind_for: Duration::from_millis(self.behind_for_ms),
            well_for: Duration::from_millis(self.well_for_ms),
            when_none: self.when_none,
            ..ReaderPolicy::default()
        }
    }

    /// So long after the last fault all is in its place.
    fn tail_ms(self) -> u64 {
        u64::try_from(settles_within(&self.policy()).as_millis()).unwrap_or(u64::MAX) + TAIL_MS
    }
}

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
        if Rng::with_seed(seed ^ READERS_DRAWN).u8(0..READERS_IN) == 0 {
            schedule.with_readers(None)
        } else {
            schedule
        }
    }

    /// The same with reader VIPs, as many as the seed says or as many as that, and with faults of their own. Drawn apart: whatever has no
    /// readers is the same with and without them.
    #[must_use]
    pub fn with_readers(mut self, vips: Option<u8>) -> Self {
        if self.readers.is_some() {
            if let (Some(readers), Some(vips)) = (&mut self.readers, vips) {
                readers.vips = vips;
            }
            return self;
        }
        let mut rng = Rng::with_seed(self.seed ^ READERS_DRAWN ^ 0xa11);
        let drawn = rng.u8(1..=3);
        let mut readers = Readers::new(vips.unwrap_or(drawn));
        if rng.u8(0..4) != 0 {
            readers.behind_for_ms = rng.u64(1_000..6_000);
            readers.well_for_ms = rng.u64(1_000..6_000);
        }
        readers.when_none =
            [WhenNoReader::Primary, WhenNoReader::Primary, WhenNoReader::Nobody, WhenNoReader::AnyOnline]
                [rng.usize(0..4)];
        let end = let_readers_fail(&mut rng, self.members, &mut self.faults);
        self.faults.sort_by_key(|timed| timed.at_ms);
        let end = end.max(self.length_ms.saturating_sub(TAIL_MS));
        self.length_ms = (end + readers.tail_ms()).min(LONGEST_WITH_READERS_MS);
        self.readers = Some(readers);
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
            policy.vips.insert(VipId(1), VipPolicy { address: VIPS[1], ..vip.clone() });
        }
        if let Some(readers) = self.readers {
            policy.group.readers = readers.policy();
            for _ in 0..readers.vips {
                let next = policy.vips.len();
                let reader = VipPolicy { address: VIPS[next], role: VipRole::Reader, ..vip.clone() };
                policy.vips.insert(VipId(u16::try_from(next).unwrap_or(u16::MAX)), reader);
            }
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

fn who(rng: &mut Rng, members: usize) -> Who {
    match rng.u8(0..4) {
        0 | 1 => Who::Primary,
        2 => Who::Holder,
        _ => Who::Host(rng.usize(0..members)),
    }
}

/// 10 ms to 15 s, the short as likely as the long.
fn length(rng: &mut Rng) -> u64 {
    let exponent = rng.f64() * 7.3;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "10 to 15,000")]
    let ms = (10.0 * exponent.exp()) as u64;
    ms.clamp(10, 15_000)
}

/// What one site has and another has not: `gateway_lost`, `takeover_after`, and that somebody gives a VIP up. Gives when the
/// last of its faults is over.
fn choose_of_the_site(rng: &mut Rng, limits: &mut Limits, faults: &mut Vec<Timed>) -> u64 {
    limits.holds_without_gateway = rng.u8(0..4) == 0;
    let mut end = 0;
    if rng.u8(0..12) == 0 {
        let (at_ms, ms) = (HEAD_MS + rng.u64(0..6_000), rng.u64(3_500..9_000));
        faults.push(Timed { at_ms, fault: Fault::GivenUp { who: Who::Holder, ms } });
        end = at_ms + ms;
    }
    if rng.u8(0..16) == 0 {
        // An agent that was stopped left the VIP for good, and the group has another primary since.
        limits.takeover_after_ms = limits.lease_ms + 2_000 + rng.u64(0..3_000);
        let at_ms = HEAD_MS + rng.u64(0..2_000);
        let ms = limits.takeover_after_ms + rng.u64(2_000..8_000);
        faults.push(Timed { at_ms, fault: Fault::AgentRestarts { who: Who::Holder, ms } });
        let to = rng.usize(0..7);
        faults.push(Timed { at_ms: at_ms + rng.u64(50..1_500), fault: Fault::Switchover { to } });
        end = end.max(at_ms + ms);
    }
    end
}

/// The seeds of what is drawn of readers.
const READERS_DRAWN: u64 = 0x004e_ade5;

/// What readers fail by: servers that are too far behind, for a moment or for long, and whatever befalls who serves readers. Gives when it
/// is over.
fn let_readers_fail(rng: &mut Rng, members: usize, faults: &mut Vec<Timed>) -> u64 {
    let mut end = 0;
    for _ in 0..rng.usize(0..=3) {
        let who = if rng.bool() { Who::Reader } else { Who::Host(rng.usize(0..members)) };
        let at_ms = HEAD_MS + 1_500 + rng.u64(0..9_000);
        let ms = length(rng);
        let mut long = rng.u64(3_000..15_000);
        let fault = match rng.u8(0..14) {
            0..=2 => Fault::FallsBehind { who, ms },
            3..=5 => Fault::FallsBehind { who, ms: long },
            6 => Fault::Kill { who, ms },
            7 => Fault::Shutdown { who, ms: long },
            8 => Fault::ServerHangs { who, ms: long },
            9 => Fault::GatewayLost { who, ms: long },
            10 => Fault::AgentRestarts { who, ms },
            11 | 12 => {
                // Away for so long that the others are to have found their places without it.
                long += 14_000;
                Fault::PowerOff { who, ms: long }
            }
            _ => Fault::PausedByOperator { who: Some(who), ms: long, resumed: rng.bool() },
        };
        faults.push(Timed { at_ms, fault });
        end = end.max(at_ms + ms.max(long));
    }
    end
}

/// The operator pauses one agent, or all: in one schedule of six. Gives when that is over.
fn let_the_operator_pause(rng: &mut Rng, faults: &mut Vec<Timed>) -> u64 {
    if rng.u8(0..6) != 0 {
        return 0;
    }
    let mut end = 0;
    for _ in 0..rng.usize(1..=2) {
        let who = match rng.u8(0..6) {
            0 => Some(Who::Primary),
            1 => Some(Who::Holder),
            2 => Some(Who::Host(rng.usize(0..7))),
            _ => None,
        };
        let (at_ms, ms) = (rng.u64(0..9_000), rng.u64(500..15_000));
        faults.push(Timed { at_ms, fault: Fault::PausedByOperator { who, ms, resumed: rng.bool() } });
        end = end.max(at_ms + ms + 1_000);
    }
    end
}

/// The target of some switchovers has yet to apply what it has queued. Gives when the last has.
fn give_backlogs(rng: &mut Rng, faults: &mut [Timed]) -> u64 {
    let mut end = 0;
    for timed in faults {
        if let Fault::Switchover { to } = timed.fault
            && rng.u8(0..3) == 0
        {
            let ms = length(rng);
            timed.fault = Fault::SwitchoverWithBacklog { to, ms };
            end = end.max(timed.at_ms + ms);
        }
    }
    end
}

/// What makes some faults worse, at a time that chance alone would seldom find.
fn follow_up(rng: &mut Rng, members: usize, first: Timed, faults: &mut Vec<Timed>) {
    let mut then = |after: u64, fault| faults.push(Timed { at_ms: first.at_ms + after, fault });
    match first.fault {
        // Two claimants: the old primary, which still believes that it leads, and the new one both find the VIP free.
        Fault::Shutdown { .. } => then(rng.u64(420..1_100), Fault::Flushed { who: Who::Holder }),
        // The new primary's agent stands still in the middle of its claim, and another takes the VIP meanwhile.
        Fault::Switchover { to } => {
            then(rng.u64(80..260), Fault::AgentHangs { who: Who::Host(to), ms: rng.u64(300..3_000) });
            then(rng.u64(270..800), Fault::Switchover { to: rng.usize(0..members) });
        }
        // The claim that follows stands still before it is through.
        Fault::Flushed { who } => then(rng.u64(1..60), Fault::AgentHangs { who, ms: rng.u64(600..3_000) }),
        // What it was told is not read: somebody removes the VIP, and another takes it, before it goes on and ends.
        Fault::AgentHangsAndIsTold { who, ms } => {
            then(rng.u64(0..=ms), Fault::Flushed { who });
            then(rng.u64(0..=ms), Fault::Switchover { to: rng.usize(0..members) });
        }
        // It comes back, and is gone again.
        Fault::Isolated { who, ms } => {
            then(ms + rng.u64(0..1_500), Fault::Isolated { who, ms: rng.u64(10..2_000) });
        }
        _ => {}
    }
}

fn draw(rng: &mut Rng, members: usize) -> Fault {
    let who = who(rng, members);
    let ms = length(rng);
    // Long enough for the group to notice.
    let long = rng.u64(3_000..15_000);
    match rng.u8(0..50) {
        0..=3 => Fault::Switchover { to: rng.usize(0..members) },
        4..=6 => Fault::Shutdown { who, ms: long },
        7 | 8 => Fault::StopGroupReplication { who, ms: long },
        9 | 10 => Fault::Kill { who, ms },
        11 => Fault::Kill { who, ms: long },
        12 | 13 => Fault::PowerOff { who, ms: long },
        14 | 15 => Fault::ServerHangs { who, ms },
        16 => Fault::ServerHangs { who, ms: long },
        17 => Fault::ServerTurnsAway { who, password: rng.bool(), ms },
        18 => Fault::ColdStart { ms },
        19 | 20 => Fault::AgentHangs { who, ms },
        21 => Fault::AgentKilled { who, ms },
        22 => Fault::AgentRestarts { who, ms },
        23 => Fault::Paused { who, ms, clock_jumps: rng.bool() },
        24 => Fault::Paused { who, ms: long, clock_jumps: rng.bool() },
        25 => Fault::ClockJumps { who, ms },
        26 | 27 => Fault::GroupPortCut { who, ms: long },
        28 => Fault::ClientSideCut { who, gateway: rng.bool(), ms },
        29 => Fault::Isolated { who, ms },
        30 => Fault::Isolated { who, ms: long },
        31 => Fault::Partition { left: rng.usize(1..members), gateway: rng.bool(), ms: long },
        32 => Fault::ReceiveDown { who, ms },
        33 => Fault::Mute { who, ms },
        34 => Fault::Loss { percent: rng.u8(1..40), ms },
        35 => Fault::LossFrom { who, percent: rng.u8(1..100), ms },
        36 => Fault::Duplicated { ms },
        37 => Fault::Reordered { ms },
        38 => Fault::Late { ms },
        39 => Fault::Stranger { ms },
        40 => Fault::SwitchAnswers { ms },
        41 | 42 => Fault::Flushed { who },
        43 => Fault::InterfaceGone { who, ms },
        44 => Fault::AskerSticks { who, ms: long },
        45 => Fault::GatewayLost { who, ms },
        46 | 47 => Fault::AgentHangsAndIsTold { who, ms },
        48 => Fault::AgentHangsAtADeed { who, ms },
        _ => Fault::GatewayLostForAll { ms },
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
        for timed in &self.faults {
            writeln!(f, "{:5}.{:03} s  {}", timed.at_ms / 1000, timed.at_ms % 1000, timed.fault)?;
        }
        write!(f, "{:5}.{:03} s  end", self.length_ms / 1000, self.length_ms % 1000)
    }
}
