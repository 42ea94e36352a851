//! Which echoes of the claim that goes on are open, and what an answer to one of them means. Pure: it is handed the time.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use decide::net::Mac;
use decide::time::Time;
use wire::icmp::Echo;

/// An answer that takes longer than this says nothing of now.
const ANSWERED_WITHIN: Duration = Duration::from_secs(1);
/// Open questions at the most, and hosts.
const REMEMBERED: usize = 64;
/// A host that has answered echoes alone for this long keeps ARP in; before, its ARP answers may have got lost.
const ECHO_ALONE_FOR: Duration = Duration::from_secs(1);
/// … which is not said again of the same host within this time, however often the claim begins anew.
const SAID_AGAIN_AFTER: Duration = Duration::from_secs(60);

/// Who was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    /// Which member.
    pub(super) member: IpAddr,
    /// At which MAC.
    pub(super) mac: Mac,
}

/// Who has the VIP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Answer {
    /// Who was asked: the VIP is there, also where the reply took another way back.
    pub(super) at: Asked,
    /// It has been so for a while, by echo alone, and is to be said now.
    pub(super) by_echo_alone: bool,
}

#[derive(Debug, Default)]
pub(super) struct Questions {
    /// Names the claim that goes on: what bears another is not for it.
    mark: Option<u64>,
    sequence: u16,
    open: VecDeque<(Time, u16, Asked)>,
    /// Since when who has answered in this claim.
    answers_since: BTreeMap<Mac, Time>,
    /// Of whom there is nothing to say in this claim: they spoke of the VIP by ARP too, or it was said.
    nothing_to_say: BTreeSet<Mac>,
    /// The host of which it was said last that it answers echoes alone, and when.
    said: Option<(Mac, Time)>,
}

impl Questions {
    /// Another claim begins, of this name; none: there is none.
    pub(super) fn begin(&mut self, mark: Option<u64>) {
        *self = Self { mark, said: self.said, ..Self::default() };
    }

    /// The request to send. None where there is no claim.
    pub(super) fn ask(&mut self, asked: Asked, now: Time) -> Option<Echo> {
        let mark = self.mark?;
        self.sequence = self.sequence.wrapping_add(1);
        self.open.push_back((now, self.sequence, asked));
        if self.open.len() > REMEMBERED {
            self.open.pop_front();
        }
        Some(Echo { sequence: self.sequence, mark })
    }

    /// What a reply says. None: it is to no open question of this claim.
    pub(super) fn answered(&mut self, echo: Echo, now: Time) -> Option<Answer> {
        self.open.retain(|(at, ..)| now.since(*at) <= ANSWERED_WITHIN);
        let place = self.open.iter().position(|(_, sequence, _)| *sequence == echo.sequence)?;
        if Some(echo.mark) != self.mark {
            return None;
        }
        let (_, _, at) = self.open.remove(place)?;
        let mac = at.mac;
        let since = self.answers_since.get(&mac).copied().unwrap_or(now);
        if self.answers_since.len() < REMEMBERED {
            self.answers_since.insert(mac, since);
        }
        let said = self.said.is_some_and(|(of, at)| of == mac && now.since(at) < SAID_AGAIN_AFTER);
        let by_echo_alone = now.since(since) >= ECHO_ALONE_FOR && !said && self.nothing_to_say.insert(mac);
        if by_echo_alone {
            self.said = Some((mac, now));
        }
        Some(Answer { at, by_echo_alone })
    }

    /// A host spoke of the VIP by ARP; `lets_go`: what it answered before is old news.
    pub(super) fn heard_by_arp(&mut self, from: Mac, lets_go: bool) {
        if self.mark.is_none() {
            return;
        }
        if self.nothing_to_say.len() < REMEMBERED {
            self.nothing_to_say.insert(from);
        }
        if lets_go {
            self.open.retain(|(_, _, asked)| asked.mac != from);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const MAC: Mac = Mac([2, 0, 0, 0, 0, 0x12]);
    const MEMBER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 77, 0, 12));
    const ONE: Asked = Asked { member: MEMBER, mac: MAC };
    const OTHER: Asked = Asked { member: MEMBER, mac: Mac([2, 0, 0, 0, 0, 0x13]) };
    const IT_IS_THERE: Option<Answer> = Some(Answer { at: ONE, by_echo_alone: false });

    fn ms(milliseconds: u64) -> Time {
        Time(milliseconds * 1000)
    }

    fn claiming() -> Questions {
        let mut questions = Questions::default();
        questions.begin(Some(7));
        questions
    }

    #[test]
    fn a_reply_counts_once_while_its_claim_goes_on() {
        let mut questions = claiming();
        let [first, late, second] = [0, 1, 20].map(|at| questions.ask(ONE, ms(at)).unwrap());
        assert_eq!(questions.answered(Echo { mark: 8, ..first }, ms(1)), None, "not ours");
        assert_eq!(questions.answered(first, ms(1)), IT_IS_THERE);
        assert_eq!(questions.answered(first, ms(2)), None, "a second time");
        assert_eq!(questions.answered(late, ms(1002)), None, "too late");
        assert_eq!(questions.answered(second, ms(1003)).map(|answer| answer.at), Some(ONE));
        let third = questions.ask(ONE, ms(1040)).unwrap();
        questions.begin(None);
        assert_eq!(questions.answered(third, ms(1041)), None, "the claim is over");
        assert_eq!(questions.ask(ONE, ms(1042)), None, "nothing is asked without a claim");
        questions.begin(Some(8));
        assert_eq!(questions.answered(third, ms(1043)), None, "another claim");
    }

    #[test]
    fn who_lets_go_has_answered_for_the_last_time() {
        let mut questions = claiming();
        let (of_one, of_other) = (questions.ask(ONE, ms(0)).unwrap(), questions.ask(OTHER, ms(0)).unwrap());
        questions.heard_by_arp(MAC, true);
        assert_eq!(questions.answered(of_one, ms(1)), None);
        assert_eq!(questions.answered(of_other, ms(1)).unwrap().at, OTHER);
    }

    /// How often it is said in so many seconds, with a question every 100 ms.
    fn said(questions: &mut Questions, seconds: std::ops::Range<u64>) -> usize {
        let times = (seconds.start * 10..seconds.end * 10).map(|tenth| ms(tenth * 100));
        times
            .filter(|at| {
                let echo = questions.ask(ONE, *at).unwrap();
                questions.answered(echo, *at).unwrap().by_echo_alone
            })
            .count()
    }

    #[test]
    fn a_host_that_answers_echoes_alone_is_spoken_of_once_a_claim_and_once_a_minute() {
        let mut questions = claiming();
        assert_eq!(said(&mut questions, 0..1), 0, "its ARP answers may have got lost");
        assert_eq!(said(&mut questions, 1..200), 1);
        questions.begin(Some(8));
        assert_eq!(said(&mut questions, 200..210), 1);
        questions.begin(Some(9));
        assert_eq!(said(&mut questions, 210..220), 0, "the claim began anew too soon");
        let mut questions = claiming();
        assert_eq!(said(&mut questions, 0..1), 0);
        questions.heard_by_arp(MAC, false);
        assert_eq!(said(&mut questions, 1..10), 0, "it speaks ARP");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut questions = claiming();
        for at in 0..100_000 {
            questions.ask(ONE, ms(at));
        }
        assert!(questions.open.len() <= REMEMBERED);
    }
}
