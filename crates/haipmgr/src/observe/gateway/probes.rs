//! When to probe the gateway, and what the answers and misses say. Pure: it is handed the time.

use std::collections::VecDeque;
use std::time::Duration;

use decide::input::Gateway;
use decide::time::Time;

use super::GatewaySettings;

/// Probes that are remembered for late answers.
const REMEMBERED: usize = 32;

/// Two probes are never closer than this, however often someone asks.
const CLOSEST: Duration = Duration::from_millis(5);

/// A question that is not answered after this long is put again, and again after twice as long each time: one frame may get
/// lost, and the first ones of an interface that has just come up often do.
const FIRST_REPETITION: Duration = Duration::from_millis(20);
/// So often, at the most.
const REPETITIONS: u32 = 3;

/// A fact, with the time at which its probe was sent.
pub(super) type Told = (Time, Gateway);

/// What to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Order {
    /// The echo's sequence number.
    pub(super) sequence: u16,
    /// Ask by ARP too.
    pub(super) with_arp: bool,
}

#[derive(Clone, Copy, Debug)]
struct Probe {
    sequence: u16,
    sent: Time,
    /// Neither answered nor past its limit.
    open: bool,
}

/// The probes under way, and the misses in a row.
#[derive(Debug)]
pub(super) struct Probes {
    interval: Duration,
    interval_while_missing: Duration,
    limit: Duration,
    misses_until_lost: u32,
    echoes: VecDeque<Probe>,
    misses: u32,
    /// When the last miss that counted was sent.
    last_miss: Option<Time>,
    last_sent: Option<Time>,
    last_arp: Option<Time>,
    /// False once ARP answered and echo did not: then both are sent every time.
    echo_answers: bool,
    /// Someone waits for an answer: when that was asked for, and the probes sent since.
    asked: Option<(Time, u32)>,
    next_sequence: u16,
    next_at: Time,
}

impl Probes {
    /// The first probe is due at once.
    pub(super) fn new(settings: &GatewaySettings, now: Time) -> Self {
        Self {
            interval: settings.interval,
            interval_while_missing: settings.interval_while_missing,
            limit: settings.limit,
            misses_until_lost: settings.misses_until_lost.max(1),
            echoes: VecDeque::new(),
            misses: 0,
            last_miss: None,
            last_sent: None,
            last_arp: None,
            echo_answers: true,
            asked: None,
            next_sequence: 0,
            next_at: now,
        }
    }

    /// Someone wants a probe that is sent from now on.
    pub(super) fn ask(&mut self, now: Time) {
        let earliest = self.last_sent.map_or(now, |sent| now.max(sent + CLOSEST));
        self.next_at = self.next_at.min(earliest);
        self.asked = Some((now, 0));
    }

    /// The probe that is due, if one is.
    pub(super) fn due(&mut self, now: Time) -> Option<Order> {
        if now < self.next_at {
            return None;
        }
        let sequence = self.next_sequence;
        self.next_sequence = sequence.wrapping_add(1);
        self.echoes.push_back(Probe { sequence, sent: now, open: true });
        if self.echoes.len() > REMEMBERED {
            self.echoes.pop_front();
        }
        let with_arp = self.wants_arp(now);
        if with_arp {
            self.last_arp = Some(now);
        }
        self.last_sent = Some(now);
        self.next_at = now + if self.misses == 0 { self.interval } else { self.interval_while_missing };
        self.plan_repetition(now);
        Some(Order { sequence, with_arp })
    }

    /// A gateway that is lost is asked once: whoever asks hears of the miss.
    fn plan_repetition(&mut self, now: Time) {
        self.asked = self.asked.filter(|(_, sent)| *sent < REPETITIONS && !self.is_lost());
        if let Some((_, sent)) = &mut self.asked {
            self.next_at = self.next_at.min(now + FIRST_REPETITION * 2_u32.pow(*sent));
            *sent += 1;
        }
    }

    fn is_lost(&self) -> bool {
        self.misses >= self.misses_until_lost
    }

    /// Whoever waits is not to wait for a kernel's ARP. A lost gateway is not shouted at: ARP requests are broadcasts.
    fn wants_arp(&self, now: Time) -> bool {
        let lately = self.last_arp.is_some_and(|sent| now.since(sent) < self.interval);
        (self.misses > 0 || !self.echo_answers || self.asked.is_some()) && !(self.is_lost() && lately)
    }

    /// The echo of this number was answered; late counts too.
    pub(super) fn echo_answered(&mut self, sequence: u16) -> Option<Told> {
        let sent = self.echoes.iter().rev().find(|probe| probe.sequence == sequence)?.sent;
        self.echo_answers = true;
        Some(self.answered(sent))
    }

    /// The gateway answered an ARP request of that time.
    pub(super) fn arp_answered(&mut self, sent: Time) -> Told {
        if self.misses > 0 {
            self.echo_answers = false;
        }
        self.answered(sent)
    }

    fn answered(&mut self, sent: Time) -> Told {
        for probe in self.echoes.iter_mut().filter(|probe| probe.sent <= sent) {
            probe.open = false;
        }
        self.misses = 0;
        self.last_miss = None;
        if self.asked.is_some_and(|(at, _)| at > sent) {
            // The answer to an earlier question, and not to that one.
            return (sent, Gateway::Reachable);
        }
        self.asked = None;
        if let Some(last) = self.last_sent {
            self.next_at = self.next_at.max(last + self.interval);
        }
        (sent, Gateway::Reachable)
    }

    /// The echo could not be sent for a reason that lies on this host: no miss.
    pub(super) fn could_not_send(&mut self, sequence: u16) -> Option<Time> {
        let probe = self.echoes.iter_mut().rev().find(|probe| probe.sequence == sequence)?;
        probe.open = false;
        Some(probe.sent)
    }

    /// Counts the probes whose limit has passed; tells only what is decisive. To be called after everything that has
    /// been received was handed in.
    pub(super) fn expire(&mut self, now: Time) -> Option<Told> {
        let mut told = None;
        for probe in &mut self.echoes {
            let deadline = probe.sent + self.limit;
            if !probe.open || now < deadline {
                continue;
            }
            probe.open = false;
            if now.since(deadline) > self.limit / 2 {
                // This process slept past the limit, and so may have whoever hears ARP for it: the miss may be its own.
                // NO-FLAP: ask again instead.
                self.next_at = now;
                continue;
            }
            // However many probes are asked for at once, one burst of loss is one miss.
            if self.last_miss.is_none_or(|last| probe.sent.since(last) >= self.interval_while_missing) {
                self.misses = self.misses.saturating_add(1);
                self.last_miss = Some(probe.sent);
            }
            self.next_at = self.next_at.min(now.max(probe.sent + self.interval_while_missing));
            if self.misses >= self.misses_until_lost {
                told = Some((probe.sent, Gateway::Lost { misses: self.misses }));
            }
        }
        told
    }

    /// When `expire` or `due` has something to do next.
    pub(super) fn wake_at(&self) -> Time {
        let open = self.echoes.iter().filter(|probe| probe.open).map(|probe| probe.sent + self.limit);
        open.min().map_or(self.next_at, |deadline| deadline.min(self.next_at))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn settings() -> GatewaySettings {
        GatewaySettings::new("10.77.0.254".parse().unwrap(), "eth0", "10.77.0.11".parse().unwrap())
    }

    /// Runs until `end`; `answers` says whether a probe sent at that time is answered, 1 ms later, by echo and by ARP.
    fn run(
        probes: &mut Probes,
        from: Time,
        end: Time,
        answers: impl Fn(Time) -> (bool, bool),
    ) -> Vec<(Time, Told)> {
        let mut told = Vec::new();
        let mut now = from;
        while now < end {
            told.extend(probes.expire(now).map(|fact| (now, fact)));
            if let Some(order) = probes.due(now) {
                let (echo, arp) = answers(now);
                let later = now + Duration::from_millis(1);
                if arp && order.with_arp {
                    told.push((later, probes.arp_answered(now)));
                }
                if echo {
                    told.extend(probes.echo_answered(order.sequence).map(|fact| (later, fact)));
                }
                now = later;
            } else {
                now = now.max(probes.wake_at());
            }
        }
        told
    }

    fn ms(milliseconds: u64) -> Time {
        Time(milliseconds * 1000)
    }

    #[test]
    fn a_steady_gateway_is_told_once_an_interval() {
        let told = run(&mut Probes::new(&settings(), ms(0)), ms(0), ms(9_500), |_| (true, false));
        assert_eq!(told.len(), 10);
        assert!(told.iter().all(|(_, (_, gateway))| *gateway == Gateway::Reachable));
    }

    #[test]
    fn a_gateway_that_falls_silent_is_lost_within_five_seconds_and_seen_again_at_once() {
        let silent = |at: Time| at < ms(5_001) || at > ms(20_000);
        let told =
            run(&mut Probes::new(&settings(), ms(0)), ms(0), ms(21_000), |at| (silent(at), silent(at)));
        let (lost_at, (asked_at, first)) =
            told.iter().find(|(_, (_, gateway))| *gateway != Gateway::Reachable).unwrap();
        assert_eq!(*first, Gateway::Lost { misses: 16 });
        assert!(lost_at.since(ms(5_001)) <= Duration::from_millis(5_050), "lost at {lost_at}");
        assert!(*asked_at > ms(5_001));
        let (back_at, _) =
            told.iter().find(|(at, (_, g))| *at > *lost_at && *g == Gateway::Reachable).unwrap();
        assert!(back_at.since(ms(20_000)) <= Duration::from_millis(260), "back at {back_at}");
    }

    #[test]
    fn a_cable_that_is_away_for_three_seconds_loses_nothing() {
        for begin in (2_500..3_600).step_by(50) {
            let away = ms(begin)..ms(begin + 3_000);
            let answered = |at: Time| (!away.contains(&at), !away.contains(&at));
            let told = run(&mut Probes::new(&settings(), ms(0)), ms(0), ms(10_000), answered);
            assert!(told.iter().all(|(_, (_, gateway))| *gateway == Gateway::Reachable), "{told:?}");
        }
    }

    #[test]
    fn asking_in_a_storm_does_not_turn_one_burst_of_loss_into_a_lost_gateway() {
        let mut probes = Probes::new(&settings(), ms(0));
        let mut told = Vec::new();
        for at in (0..600).step_by(20) {
            probes.ask(ms(at));
            assert!(probes.due(ms(at)).is_some(), "a probe is sent after each question");
            told.extend(probes.expire(ms(at)));
        }
        assert!(told.is_empty(), "{told:?}");
        assert!(probes.misses < 4);
    }

    #[test]
    fn a_question_whose_first_frames_are_lost_is_answered_by_arp_within_a_twentieth_of_a_second() {
        let mut probes = Probes::new(&settings(), ms(0));
        probes.ask(ms(0));
        // An interface that has just come up: its switch takes nothing yet, and then the kernel keeps echoes back.
        let told = run(&mut probes, ms(0), ms(240), |at| (false, at > ms(10)));
        let (at, (asked_at, gateway)) = told[0];
        assert_eq!(gateway, Gateway::Reachable);
        assert!(at <= ms(50) && asked_at > ms(10), "{told:?}");
        assert_eq!(told.len(), 1, "answered, and not asked again at once");
    }

    #[test]
    fn an_answer_to_an_earlier_question_does_not_put_off_the_one_that_is_due() {
        let mut probes = Probes::new(&settings(), ms(0));
        let first = probes.due(ms(0)).unwrap();
        probes.ask(ms(30));
        assert_eq!(probes.echo_answered(first.sequence), Some((ms(0), Gateway::Reachable)));
        assert!(probes.due(ms(30)).is_some());
    }

    #[test]
    fn a_question_that_nobody_answers_is_put_four_times_and_is_one_miss() {
        let mut probes = Probes::new(&settings(), ms(0));
        run(&mut probes, ms(0), ms(10), |_| (true, true));
        probes.ask(ms(100));
        let mut sent = 0;
        let mut now = ms(100);
        while now < ms(345) {
            sent += u32::from(probes.due(now).is_some());
            assert_eq!(probes.expire(now), None);
            now = probes.wake_at().max(now + Duration::from_millis(1));
        }
        assert_eq!((sent, probes.misses), (1 + REPETITIONS, 0));
        probes.expire(ms(351));
        assert_eq!(probes.misses, 1);
    }

    #[test]
    fn a_question_put_to_a_lost_gateway_is_answered_by_its_own_miss() {
        let mut probes = Probes::new(&settings(), ms(0));
        run(&mut probes, ms(0), ms(6_000), |_| (false, false));
        probes.ask(ms(6_000));
        let told = run(&mut probes, ms(6_000), ms(6_300), |_| (false, false));
        assert!(
            told.iter().any(|(_, (asked_at, g))| *asked_at >= ms(6_000) && matches!(g, Gateway::Lost { .. }))
        );
    }

    #[test]
    fn a_gateway_that_drops_echo_and_answers_arp_is_never_lost() {
        let told = run(&mut Probes::new(&settings(), ms(0)), ms(0), ms(20_000), |_| (false, true));
        assert!(told.iter().all(|(_, (_, gateway))| *gateway == Gateway::Reachable), "{told:?}");
        assert!(told.len() >= 19, "once an interval: {told:?}");
        assert!(told.iter().all(|(at, (asked_at, _))| at.since(*asked_at) <= Duration::from_millis(1)));
    }

    #[test]
    fn a_late_answer_counts_with_the_time_of_its_question() {
        let mut probes = Probes::new(&settings(), ms(0));
        let order = probes.due(ms(0)).unwrap();
        assert_eq!(probes.expire(ms(250)), None);
        assert_eq!(probes.misses, 1);
        assert_eq!(probes.echo_answered(order.sequence), Some((ms(0), Gateway::Reachable)));
        assert_eq!(probes.misses, 0);
    }

    #[test]
    fn a_process_that_was_starved_asks_again_and_counts_nothing() {
        let mut probes = Probes::new(&settings(), ms(0));
        for round in 0..10 {
            let now = ms(round * 5_000);
            assert_eq!(probes.expire(now), None);
            assert!(probes.due(now).is_some());
        }
        assert_eq!(probes.misses, 0);
    }
}
