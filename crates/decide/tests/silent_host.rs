//! `silent_host = "expel"`: an UNREACHABLE member whose host is silent on the segment too is expelled at once, and nobody else.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod model_host;
mod survivor;

use decide::input::{Event, Fact, MemberPort};
use decide::net::{Mac, VipId};
use decide::output::{Action, Reason};
use decide::policy::{GroupPolicy, SilentHost};
use model_host::{group_policy, member, ms};
use survivor::{Survivor, is_restore, is_set, refuses, silent};

const TIMEOUT: u32 = 5;
/// The group says UNREACHABLE after 5 s of silence at the soonest.
const UNREACHABLE_AFTER: u64 = 5_000;

/// What answers on the segment, member by member.
struct Segment {
    survivor: Survivor,
    /// Whose hosts answer when they are asked for their addresses.
    hosts: Vec<u8>,
    port: Fact<MemberPort>,
}

fn expelling() -> GroupPolicy {
    GroupPolicy { silent_host: SilentHost::Expel, ..group_policy() }
}

impl Segment {
    fn new(policy: GroupPolicy) -> Self {
        let answers = Fact::Known(MemberPort::Answers(Some("uuid-1".to_owned())));
        let mut segment =
            Self { survivor: Survivor::prepared(policy, TIMEOUT), hosts: vec![1, 3], port: answers };
        segment.passes(3_000, &[]);
        segment.survivor.done.clear();
        segment
    }

    /// For so many milliseconds: polled each 10 ms, whoever is asked answers as it can.
    fn passes(&mut self, milliseconds: u64, unreachable: &[u8]) {
        for _ in 0..milliseconds / 10 {
            let asked = self.survivor.learns;
            self.survivor.run(10, unreachable, TIMEOUT, Some(&self.port));
            if self.survivor.learns > asked {
                for number in self.hosts.clone() {
                    let mac = Mac([2, 0, 0, 0, 0, number]);
                    self.survivor.tell(&Event::Neighbor { address: member(number), mac });
                }
            }
        }
    }

    /// Member 1's host says nothing any more, for so long before the group notices.
    fn falls_silent(&mut self, milliseconds: u64) {
        (self.hosts, self.port) = (vec![3], silent());
        self.passes(milliseconds, &[]);
        self.survivor.done.clear();
    }

    fn expelled(&self) -> usize {
        self.survivor.times(is_set).len()
    }
}

#[test]
fn a_host_that_is_silent_in_the_group_and_on_the_segment_is_expelled_within_a_third_of_a_second() {
    let mut segment = Segment::new(expelling());
    segment.falls_silent(UNREACHABLE_AFTER);
    segment.passes(330, &[1]);
    assert_eq!(segment.expelled(), 1);
    assert!(
        segment
            .survivor
            .said
            .iter()
            .any(|said| matches!(said, Reason::SilentHosts(names) if names.len() == 1))
    );
    segment.passes(1_000, &[]);
    assert_eq!(segment.survivor.times(is_restore).len(), 1, "the patience is given back when it is gone");
}

#[test]
fn by_default_a_silent_host_keeps_the_operators_patience_and_nobody_asks_the_segment() {
    let mut segment = Segment::new(group_policy());
    segment.falls_silent(UNREACHABLE_AFTER);
    segment.passes(4_900, &[1]);
    // The look at everything, each sleeptime, asks nobody for that.
    assert_eq!(segment.expelled(), 0);
    assert!(segment.survivor.learns <= 2, "{}", segment.survivor.learns);
}

#[test]
fn a_host_that_was_silent_for_no_longer_than_a_cables_blip_is_waited_for() {
    let mut segment = Segment::new(expelling());
    // The group may count for itself; the segment was silent for less.
    segment.falls_silent(2_900);
    segment.passes(100, &[1]);
    segment.hosts = vec![1, 3];
    segment.passes(4_000, &[1]);
    assert_eq!(segment.expelled(), 0);
}

#[test]
fn what_was_asked_before_this_host_was_cut_off_itself_says_nothing_of_a_silence_after_it() {
    let mut segment = Segment::new(expelling());
    // One lost answer; then nobody is heard; then the others are, and a cable is away for a blip.
    (segment.hosts, segment.port) = (vec![3], silent());
    segment.passes(1_000, &[]);
    segment.hosts = vec![];
    segment.passes(5_000, &[1]);
    segment.hosts = vec![3];
    segment.passes(3_000, &[1]);
    assert_eq!(segment.expelled(), 0);
    segment.passes(1_000, &[1]);
    assert_eq!(segment.expelled(), 1, "silent for longer than a blip, and the other is heard all the while");
}

#[test]
fn a_silence_of_before_this_host_lost_its_majority_says_nothing_once_it_has_it_again() {
    let mut segment = Segment::new(expelling());
    segment.falls_silent(UNREACHABLE_AFTER);
    // The other is out of reach as well, before member 1 has been silent for long enough since: nobody is asked.
    segment.passes(100, &[1]);
    segment.passes(8_000, &[1, 3]);
    // Another host asked, and member 3's answered. What became of member 1's host meanwhile is not known.
    segment.survivor.tell(&Event::Neighbor { address: member(3), mac: Mac([2, 0, 0, 0, 0, 3]) });
    segment.passes(200, &[1]);
    assert_eq!(segment.expelled(), 0);
    segment.passes(4_000, &[1]);
    assert_eq!(segment.expelled(), 1, "silent for longer than a blip, and the other is heard all the while");
}

#[test]
fn a_host_cut_off_in_the_group_for_long_is_waited_for_when_its_cable_is_away_for_a_blip_too() {
    let mut segment = Segment::new(expelling());
    segment.passes(2_000, &[1]);
    (segment.hosts, segment.port) = (vec![3], silent());
    segment.passes(3_000, &[1]);
    segment.hosts = vec![1, 3];
    segment.passes(1_500, &[1]);
    assert_eq!(segment.expelled(), 0);
}

#[test]
fn a_host_that_answers_for_its_address_is_waited_for_however_silent_its_server_is() {
    let mut segment = Segment::new(expelling());
    segment.port = silent();
    segment.passes(UNREACHABLE_AFTER, &[]);
    segment.passes(4_900, &[1]);
    assert_eq!(segment.expelled(), 0);
}

#[test]
fn a_host_whose_port_answers_is_waited_for_though_it_says_nothing_by_arp() {
    let mut segment = Segment::new(expelling());
    segment.hosts = vec![3];
    segment.passes(UNREACHABLE_AFTER, &[]);
    segment.passes(4_900, &[1]);
    assert_eq!(segment.expelled(), 0);
}

#[test]
fn a_host_that_was_never_heard_on_the_segment_says_nothing_by_its_silence() {
    let mut segment = Segment::new(expelling());
    segment.survivor.state.facts.neighbors.alive_at.remove(&member(1));
    segment.falls_silent(UNREACHABLE_AFTER);
    segment.passes(4_900, &[1]);
    assert_eq!(segment.expelled(), 0);
}

#[test]
fn an_agent_that_hears_nobody_on_the_segment_has_nobody_expelled() {
    let mut segment = Segment::new(expelling());
    segment.falls_silent(0);
    segment.hosts = Vec::new();
    segment.passes(UNREACHABLE_AFTER, &[]);
    segment.passes(4_900, &[1]);
    assert_eq!(segment.expelled(), 0);
}

#[test]
fn the_own_cables_blip_and_another_hosts_after_it_are_no_long_silence_of_that_host() {
    let mut segment = Segment::new(expelling());
    // This host's cable is away, and no notification says so of its interface.
    (segment.hosts, segment.port) = (Vec::new(), silent());
    segment.passes(2_950, &[]);
    // It is back, and member 1's is away.
    segment.hosts = vec![3];
    segment.passes(2_100, &[]);
    segment.passes(850, &[1]);
    assert_eq!(segment.expelled(), 0);
}

#[test]
fn an_answer_that_comes_late_does_not_make_a_question_count_that_nobody_heard() {
    let mut segment = Segment::new(expelling());
    (segment.hosts, segment.port) = (Vec::new(), silent());
    segment.passes(2_500, &[]);
    let asked_at = |segment: &Segment| segment.survivor.state.facts.neighbors.questions.back().unwrap().at;
    while segment.survivor.now.since(asked_at(&segment)) < ms(500) {
        segment.passes(10, &[]);
    }
    // Whoever asked that: the last question of this agent was put while its cable was away.
    segment.survivor.tell(&Event::Neighbor { address: member(3), mac: Mac([2, 0, 0, 0, 0, 3]) });
    assert!(segment.survivor.state.facts.neighbors.questions.back().unwrap().answered.is_empty());
}

#[test]
fn what_could_not_be_heard_while_the_interface_was_down_is_no_silence() {
    let mut segment = Segment::new(expelling());
    segment.falls_silent(UNREACHABLE_AFTER - 1_000);
    segment.survivor.tell(&Event::ReceiveUp(VipId::FIRST, false));
    segment.survivor.tell(&Event::ReceiveUp(VipId::FIRST, true));
    segment.passes(1_000, &[]);
    segment.passes(2_000, &[1]);
    assert_eq!(segment.expelled(), 0);
    segment.passes(2_000, &[1]);
    assert_eq!(segment.expelled(), 1, "it is silent all the same, and that shows in time");
}

#[test]
fn an_agent_that_stood_still_asked_nobody_meanwhile() {
    let mut segment = Segment::new(expelling());
    segment.falls_silent(200);
    segment.survivor.now = segment.survivor.now + ms(UNREACHABLE_AFTER);
    segment.passes(1_000, &[1]);
    assert_eq!(segment.expelled(), 0);
}

#[test]
fn a_host_that_is_heard_again_before_it_is_expelled_gets_the_patience_back_at_once() {
    let mut segment = Segment::new(expelling());
    segment.falls_silent(UNREACHABLE_AFTER);
    segment.passes(400, &[1]);
    assert_eq!(segment.expelled(), 1);
    segment.hosts = vec![1, 3];
    segment.passes(1_100, &[1]);
    assert_eq!(segment.survivor.times(is_restore).len(), 1);
    segment.passes(3_000, &[1]);
    assert_eq!(segment.expelled(), 1, "and it is not tried again");
}

#[test]
fn a_dead_member_beside_a_silent_host_is_named_for_what_it_is() {
    let mut segment = Segment::new(expelling());
    segment.port = refuses();
    segment.passes(100, &[]);
    segment.passes(200, &[1]);
    assert!(segment.survivor.said.iter().any(|said| matches!(said, Reason::ProvenDead(_))));
    assert!(!segment.survivor.said.iter().any(|said| matches!(said, Reason::SilentHosts(_))));
}

#[test]
fn the_segment_is_asked_once_a_second_and_no_more() {
    let mut segment = Segment::new(expelling());
    let before = segment.survivor.learns;
    segment.passes(10_000, &[]);
    assert!((9..=11).contains(&(segment.survivor.learns - before)));
    assert_eq!(segment.survivor.times(|action| matches!(action, Action::SetExpelTimeout { .. })), [0; 0]);
}
