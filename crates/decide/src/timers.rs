//! Why an agent asks to be woken: each reason by its name, and the one table that a decision's wake-up comes from.
//!
//! The table is made anew with each decision, by the rules that then find something to wait for. What is to be remembered until then is
//! in the state that it belongs to (`Hold::next_renewal`, `Claim::next_probe`), and ends with that state: no timer has to be stopped.

use crate::time::Time;

/// Defines [`Timer`], and the list of all.
macro_rules! timers {
    ($($(#[$meta:meta])* $name:ident,)*) => {
        /// What an agent waits for. Each says which rule sets it, and how long it is: by which key of the policy, where there is one.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Timer {
            $($(#[$meta])* $name,)*
        }

        impl Timer {
            /// All of them.
            pub const EACH: &'static [Self] = &[$(Self::$name),*];
        }
    };
}

timers! {
    // Of the whole agent.
    /// `polling`: all is looked at anew, whatever happens, `sleeptime` after the last time.
    LookAround,
    /// `polling`: the state file goes back to `1` (S6), 20 × `sleeptime` after a switch.
    StatFileQuiet,
    /// `polling`: something has been in the air for `alert_limit`; the server is no longer polled at the short interval for it.
    AlertLimit,
    /// `polling`: a sign of the server's process was followed for 300 ms; the same.
    SignOver,
    /// `step`: the operator's pause ends by itself, when its command said.
    PauseEnds,

    // Of a cluster that has reader VIPs.
    /// `readers/fitness`: the others are told again how fit this host is, each 1 s.
    SayFitness,
    /// `readers/fitness`: this host has been fit for `reader_well_for`, and takes its share.
    ReaderReady,
    /// `readers/fitness`: its server has been behind for `reader_behind_for`, and is too far behind.
    ReaderBehind,
    /// `readers`: the others have had 1.5 s to be heard, or one has been silent for 3 s or 8 s.
    ReadersHeard,
    /// `readers/reach`: the members' hosts are asked for their addresses each 1 s; one has not answered for 4 s.
    AskMembers,

    // Of one VIP that is not here, or is being asked for.
    /// `vip/idle`: adding the address failed, and may be tried again after 1 s.
    AddAgain,
    /// `vip/probing`: the next probe, `probe_spacing` or, where another answers, `probe_spacing_when_taken` after the last.
    Probe,
    /// `vip/probing`: server and gateway are asked again for a claim that goes on, each half of `evidence_age`.
    ClaimEvidence,

    // Of one VIP that is held here.
    /// `vip/holding`: the kernel has not shown yet the address that was added: it is asked after 100 ms, and it is given up after 2 s.
    AddressShown,
    /// `vip/holding`: a stage is not known, and that is put up with for `hung_patience`; of a server that lives and turns the agent away
    /// for `refused_patience`.
    Patience,
    /// `vip/holding`: a stage failed, and the second answer is awaited for `claim_wait`, or the shorter of `hung_patience` and `linger`.
    SecondCheck,
    /// `vip/holding`: it is certain that the VIP should not be here; another's claim is awaited for `claim_wait`, or `linger`.
    ClaimAwaited,
    /// `vip/dispute`: a member claims: our server's answer is awaited for `own_answer_limit`, all others' for `dispute_limit`.
    Dispute,
    /// `vip/conflict`: a stranger's use of the address is answered once in 100 ms, later once in 1 s.
    Defend,
    /// `vip/post_claim_check`: who has the VIP is asked again, after a quarter of `probe_spacing`, later two and a half of it.
    PostClaimQuestion,
    /// `vip/lease`, and `vip/holding` for a VIP that was adopted: the lease is due, each third of `lease`; one
    /// that lapses is looked at twice as often.
    Renewal,
    /// `vip/lease`: it is due, and the kernel is asked for the address again after 50 ms.
    RenewalLook,
    /// `vip/lease`: the next announcement: 30 ms to 3 s apart at first, then `announce_interval`; 1 s while a member is missing or a
    /// stranger is heard. Where nothing can be proven it is the question of who else has the VIP, each 1 s.
    Announce,
    /// `vip/copies`: a copy with another prefix length is to be gone 500 ms after the renewal that replaces it.
    CopyReplaced,

    // Of one VIP that leaves, or of what is left of it.
    /// `vip/releasing`: an address that is still there 500 ms after its removal is removed again.
    RemoveAgain,
    /// `vip/releasing`: connections that stayed behind are closed, 50 ms after their clients were tickled; where no new holder is heard,
    /// after 60 s, with IPv6 3 s, at the agent's end 1 s.
    LeftBehind,

    // Of one VIP, wherever it is.
    /// `vip/copies`: a copy on another interface is to be gone 500 ms after it was ordered away.
    CopyRemoved,
    /// `vip/introduction`: on an interface that only VIPs are on, the others are told again which member this host is, each 1 s.
    SayMember,
    /// `vip/heard`: a host is called a stranger once the members have had 1 s to tell their hardware addresses, on an interface that only
    /// VIPs are on 2 s.
    NameStranger,
    /// `vip/orphan_syns`: clients of a dead holder are watched for no more, 5 s after the last UNREACHABLE.
    OrphanSyns,

    // Of dead members.
    /// `expel`: the configured expel timeout is read again while somebody is UNREACHABLE, each 1 s.
    ReadExpelTimeout,
    /// `expel`: a member's port is looked at, to find out at which address its server answers: after 250 ms, then ever later, up to 10 s;
    /// 5 s after a look whose answer did not come.
    MeetMember,
    /// `expel`: the port of an UNREACHABLE member is looked at again after 500 ms, 20 ms where it refused; 5 s after a look whose answer
    /// did not come.
    LookAtSuspect,
    /// `expel`: a member has been UNREACHABLE for the server's own `group_replication_member_expel_timeout`; then each 1 s.
    WakeExpel,
    /// `expel`: that timeout is 0 for now: the group is told again each 1 s, and it is put back after 10 s at the latest.
    ExpelTimeoutChanged,
    /// `expel`: … and is put back as soon as the local server's last answer is older than `evidence_age`.
    SurvivorsEvidence,
    /// `expel`: … the order to put it back is given again after 1 s, to a server that is silent after 10 s.
    RestoreExpelTimeout,
    /// `expel/silence`: the members' hosts are asked for their addresses each 1 s; while one is UNREACHABLE each 250 ms, and it is looked
    /// each 50 ms whether it is silent.
    ListenToHosts,
}

/// When an agent asks to be woken: of each kind the earliest, whichever VIP it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timers {
    at: [Option<Time>; Timer::EACH.len()],
}

impl Default for Timers {
    fn default() -> Self {
        Self { at: [None; Timer::EACH.len()] }
    }
}

impl Timers {
    /// To be woken for this then, or before.
    pub(crate) fn set(&mut self, timer: Timer, at: Time) {
        let earliest = &mut self.at[timer as usize];
        *earliest = Some(earliest.map_or(at, |already| already.min(at)));
    }

    /// When this one asks to be woken.
    pub fn get(&self, timer: Timer) -> Option<Time> {
        self.at[timer as usize]
    }

    /// The earliest of all.
    pub fn next_timeout(&self) -> Option<Time> {
        self.at.iter().flatten().min().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_earliest_of_a_kind_counts_and_the_earliest_of_all_is_next() {
        let mut timers = Timers::default();
        assert_eq!(timers.next_timeout(), None);
        for (timer, at) in [(Timer::Probe, 9), (Timer::Probe, 7), (Timer::Probe, 8), (Timer::Dispute, 20)] {
            timers.set(timer, Time(at));
        }
        assert_eq!(
            [Timer::Probe, Timer::Dispute].map(|timer| timers.get(timer)),
            [Some(Time(7)), Some(Time(20))]
        );
        assert_eq!((timers.get(Timer::Renewal), timers.next_timeout()), (None, Some(Time(7))));
    }

    #[test]
    fn each_timer_has_a_place_of_its_own() {
        let mut timers = Timers::default();
        for (place, timer) in Timer::EACH.iter().enumerate() {
            assert_eq!((*timer as usize, timers.get(*timer)), (place, None));
            timers.set(*timer, Time(100 - place as u64));
            assert_eq!(timers.next_timeout(), timers.get(*timer));
        }
    }
}
