//! Schedules with reader VIPs: what they vary, and what befalls readers. Drawn apart, so that whatever has no readers is the same with and
//! without them.

use std::time::Duration;

use decide::policy::{ReaderPolicy, WhenNoReader};
use fastrand::Rng;
use oracle::placed::settles_within;
use serde::{Deserialize, Serialize};

use super::draw::length;
use super::{HEAD_MS, Schedule, TAIL_MS, Timed};
use crate::fault::{Fault, Who};

/// One schedule in so many has reader VIPs: every word that is said once a second is carried out, which takes long.
const READERS_IN: u8 = 16;
/// No schedule with readers, in which each is to be in its place at the end, is longer than this.
const LONGEST_WITH_READERS_MS: u64 = 80_000;
/// The seeds of what is drawn of readers.
const READERS_DRAWN: u64 = 0x004e_ade5;

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

    pub(super) fn policy(self) -> ReaderPolicy {
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

/// Whether the schedule of this seed has some where nobody says otherwise.
pub(super) fn has_readers(seed: u64) -> bool {
    Rng::with_seed(seed ^ READERS_DRAWN).u8(0..READERS_IN) == 0
}

impl Schedule {
    /// The same with reader VIPs, as many as the seed says or as many as that, and with faults of their own.
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
        let end = end.max(cut_readers_off(self.seed, self.members, &mut self.faults));
        self.faults.sort_by_key(|timed| timed.at_ms);
        let end = end.max(self.length_ms.saturating_sub(TAIL_MS));
        self.length_ms = (end + readers.tail_ms()).min(LONGEST_WITH_READERS_MS);
        self.readers = Some(readers);
        self
    }
}

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

/// In one schedule of three with readers somebody is cut off from the others on the segment alone, for so long that these take what it has:
/// the group's port lives, and its gateway answers. Drawn apart, so that all else is the same with and without it. Gives when it is over.
fn cut_readers_off(seed: u64, members: usize, faults: &mut Vec<Timed>) -> u64 {
    let mut rng = Rng::with_seed(seed ^ READERS_DRAWN ^ 0xc07);
    if rng.u8(0..3) != 0 {
        return 0;
    }
    let who = if rng.u8(0..3) == 0 { Who::Host(rng.usize(0..members)) } else { Who::Reader };
    let (at_ms, ms) = (HEAD_MS + 1_500 + rng.u64(0..9_000), rng.u64(3_000..16_000));
    faults.push(Timed { at_ms, fault: Fault::ClientSideCut { who, gateway: false, ms } });
    at_ms + ms
}
