//! What a schedule is drawn from: who, for how long, which fault; what one site has and another has not.

use fastrand::Rng;

use super::{HEAD_MS, Limits, Timed};
use crate::fault::{Fault, Who};

fn who(rng: &mut Rng, members: usize) -> Who {
    match rng.u8(0..4) {
        0 | 1 => Who::Primary,
        2 => Who::Holder,
        _ => Who::Host(rng.usize(0..members)),
    }
}

/// 10 ms to 15 s, the short as likely as the long.
pub(super) fn length(rng: &mut Rng) -> u64 {
    let exponent = rng.f64() * 7.3;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "10 to 15,000")]
    let ms = (10.0 * exponent.exp()) as u64;
    ms.clamp(10, 15_000)
}

/// What one site has and another has not: `gateway_lost`, `takeover_after`, and that somebody gives a VIP up. Gives when the
/// last of its faults is over.
pub(super) fn choose_of_the_site(rng: &mut Rng, limits: &mut Limits, faults: &mut Vec<Timed>) -> u64 {
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

/// The operator pauses one agent, or all: in one schedule of six. Gives when that is over.
pub(super) fn let_the_operator_pause(rng: &mut Rng, faults: &mut Vec<Timed>) -> u64 {
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
pub(super) fn give_backlogs(rng: &mut Rng, faults: &mut [Timed]) -> u64 {
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
pub(super) fn follow_up(rng: &mut Rng, members: usize, first: Timed, faults: &mut Vec<Timed>) {
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

pub(super) fn draw(rng: &mut Rng, members: usize) -> Fault {
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
