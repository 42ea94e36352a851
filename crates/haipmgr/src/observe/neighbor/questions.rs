//! What was asked of each address, whom the next question is to go to, and which answer is to which question. Pure: it is
//! handed the time.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use decide::net::Mac;
use decide::time::Time;

/// An answer that takes longer than this is taken for one to a later question: on a segment they take milliseconds.
const ANSWERED_WITHIN: Duration = Duration::from_millis(250);
/// Questions without an answer that are remembered for each address.
const REMEMBERED: usize = 32;

/// The addresses that were asked for on one interface.
#[derive(Debug, Default)]
pub(super) struct Questions(BTreeMap<IpAddr, Asked>);

#[derive(Debug, Default)]
struct Asked {
    mac: Option<Mac>,
    /// Whether the last question that was put went to this MAC alone.
    mac_alone: bool,
    /// When the questions without an answer were put. An answer does not say which question it is to: it is taken for the
    /// oldest's, so that a fact is never made younger than it is.
    open: VecDeque<Time>,
}

impl Questions {
    /// Whom the next question is to go to: the address's MAC and everybody by turns, where the MAC is known. A broadcast is
    /// what switches drop first, and the MAC may be that of a router that has been replaced.
    pub(super) fn next_to(&mut self, address: IpAddr) -> Option<Mac> {
        let asked = self.0.entry(address).or_default();
        asked.mac_alone = asked.mac.is_some() && !asked.mac_alone;
        asked.mac.filter(|_| asked.mac_alone)
    }

    /// A question was put now, whoever wanted to know.
    pub(super) fn asked(&mut self, address: IpAddr, now: Time) {
        let asked = self.0.entry(address).or_default();
        asked.open.push_back(now);
        if asked.open.len() > REMEMBERED {
            asked.open.pop_front();
        }
    }

    /// A frame said that this address is at this MAC. Where nobody asked, nobody cares.
    pub(super) fn is_at(&mut self, address: IpAddr, mac: Mac) {
        if let Some(asked) = self.0.get_mut(&address) {
            asked.mac = Some(mac);
        }
    }

    /// This address answered this host: when the question was put. None where nobody asked.
    pub(super) fn answered(&mut self, address: IpAddr, now: Time) -> Option<Time> {
        let open = &mut self.0.get_mut(&address)?.open;
        while open.front().is_some_and(|put| now.since(*put) > ANSWERED_WITHIN) {
            open.pop_front();
        }
        open.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GATEWAY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 77, 0, 254));
    const MAC: Mac = Mac([2, 0, 0, 0, 0, 0xfe]);

    fn ms(milliseconds: u64) -> Time {
        Time(milliseconds * 1000)
    }

    #[test]
    fn a_gateway_whose_mac_is_known_is_mac_alone_and_before_everybody_by_turns() {
        let mut questions = Questions::default();
        assert_eq!([(); 2].map(|()| questions.next_to(GATEWAY)), [None; 2]);
        questions.is_at(GATEWAY, MAC);
        assert_eq!([(); 4].map(|()| questions.next_to(GATEWAY)), [Some(MAC), None, Some(MAC), None]);
    }

    #[test]
    fn an_answer_is_as_old_as_the_oldest_question_that_it_may_be_to() {
        let mut questions = Questions::default();
        questions.asked(GATEWAY, ms(0));
        questions.asked(GATEWAY, ms(20));
        assert_eq!(questions.answered(GATEWAY, ms(21)), Some(ms(0)));
        assert_eq!(questions.answered(GATEWAY, ms(22)), Some(ms(20)));
        assert_eq!(questions.answered(GATEWAY, ms(23)), None, "nobody asked");
        questions.asked(GATEWAY, ms(30));
        assert_eq!(questions.answered(GATEWAY, ms(300)), None, "too late to be the answer");
    }

    #[test]
    fn an_address_that_nobody_asked_for_is_not_remembered() {
        let mut questions = Questions::default();
        questions.is_at(GATEWAY, MAC);
        assert_eq!(questions.answered(GATEWAY, ms(1)), None);
        assert_eq!(questions.next_to(GATEWAY), None);
    }
}
