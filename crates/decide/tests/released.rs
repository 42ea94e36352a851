//! "It is free": whom the word is for, how long it holds, and what is no such word.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod model_host;

use std::time::Duration;

use decide::input::{Event, Fact, Says, Server};
use decide::net::VipId;
use decide::output::{Action, Reason, Vacant, VipAction};
use model_host::{Answers, ModelHost, group, mac, member, ms};

/// Leads, and claims the VIP, which member 2 has and answers for; member 2's server follows.
fn claimant() -> ModelHost {
    let mut model = ModelHost::new(Answers::all_pass(), false);
    model.peers.insert(member(2), Fact::Known(Server::Member(group(2, 1, 545, true))));
    model.answering = Some(2);
    model.run(ms(300));
    assert!(!model.vip_here);
    model.answering = None;
    model
}

/// For how long the VIP is not here, from now on.
fn taken_after(model: &mut ModelHost) -> Duration {
    let from = model.now;
    while !model.vip_here && model.now.since(from) < Duration::from_secs(5) {
        model.run(ms(1));
    }
    assert!(model.vip_here, "{:#?}", model.reasons.last());
    model.now.since(from)
}

#[test]
fn a_word_for_this_host_that_is_read_at_once_is_enough() {
    let mut model = claimant();
    let heard_at = model.now;
    model.frame(2, Says::Release { heard_at });
    assert!(model.vip_here, "{:#?}", model.reasons.last());
    assert!(model.said(
        |reason| matches!(reason, Reason::Started { because: Vacant::Released(from), .. } if *from == mac(2))
    ));
}

#[test]
fn a_word_that_was_heard_long_before_it_is_read_proves_nothing() {
    let mut model = claimant();
    model.frame(2, Says::Release { heard_at: model.now - ms(60) });
    assert!(!model.vip_here, "another may have found it free meanwhile");
    model.answering = Some(3);
    model.run(Duration::from_secs(2));
    assert!(!model.vip_here, "and has: {:#?}", model.reasons.last());
}

#[test]
fn a_word_holds_for_a_quarter_of_the_time_that_anothers_probes_take() {
    for (age, holds) in [(15, true), (16, false)] {
        let mut model = claimant();
        model.frame(2, Says::Release { heard_at: model.now - ms(age) });
        assert_eq!(model.vip_here, holds, "heard {age} ms ago");
    }
}

#[test]
fn who_lets_go_right_after_a_claim_was_settled_says_so_to_that_claimant_and_later_to_nobody_in_particular() {
    for (later, to) in [(ms(50), Some(mac(2))), (ms(500), None)] {
        let mut model = ModelHost::settled_holder();
        model.peers.insert(member(2), Fact::Known(Server::Member(group(2, 2, 544, false))));
        model.frame(2, Says::Probe);
        model.run(ms(30));
        assert!(model.said(|reason| *reason == Reason::DisputeWon(member(2))));
        model.run(later);
        model.tell(Event::Release);
        assert_eq!(
            model.count(|action| *action == Action::Vip(VipId::FIRST, VipAction::AnnounceRelease(to))),
            1,
            "after {later:?}"
        );
    }
}

#[test]
fn a_word_of_the_kernel_that_is_younger_than_the_removal_ends_it() {
    let mut model = ModelHost::settled_holder();
    model.tell(Event::Release);
    model.now = model.now + ms(1);
    let gone = model.host_event(model.now);
    model.tell(gone);
    assert_eq!(model.machine().state, decide::vip::VipState::Absent);
}

#[test]
fn a_word_that_was_lost_or_read_late_or_said_to_another_delays_the_move_by_some_probes() {
    let words: [fn(&ModelHost) -> Option<Says>; 3] = [
        |_| None,
        |model| Some(Says::Release { heard_at: model.now - ms(60) }),
        |_| Some(Says::ReleaseToOthers),
    ];
    for word in words {
        let mut model = claimant();
        if let Some(says) = word(&model) {
            model.frame(2, says);
        }
        let after = taken_after(&mut model);
        assert!((ms(180)..=ms(260)).contains(&after), "{after:?}");
    }
}

#[test]
fn a_slow_claimant_asks_at_the_quick_pace_when_it_hears_that_it_is_free_for_another() {
    let mut model = claimant();
    model.answering = Some(2);
    model.run(Duration::from_secs(5));
    model.answering = None;
    model.frame(2, Says::ReleaseToOthers);
    let after = taken_after(&mut model);
    assert!(after <= ms(260), "{after:?}");
}

#[test]
fn a_holder_that_lost_it_by_force_and_asks_for_it_has_not_let_go() {
    let mut model = claimant();
    model.frame(2, Says::Probe);
    model.run(ms(50));
    assert!(!model.vip_here, "{:#?}", model.reasons.last());
    let asked = model.count(|action| *action == Action::AskPeer(member(2)));
    assert!(asked >= 1, "it is a rival, and is asked about");
}

#[test]
fn only_the_host_that_answered_can_say_that_it_is_free() {
    for number in [3, 9] {
        let mut model = claimant();
        let heard_at = model.now;
        model.frame(number, Says::Release { heard_at });
        assert!(!model.vip_here, "said by {number}");
    }
}

#[test]
fn a_question_that_was_asked_before_its_host_was_known_to_be_a_member_is_not_taken_up_later() {
    // A member whose MAC is not known yet asks for the VIP, and takes it. Then its MAC is learned.
    let mut model = ModelHost::settled_holder();
    model.state.facts.neighbors.macs.clear();
    model.frame(2, Says::Probe);
    let disputes = |model: &ModelHost| model.count(|action| *action == Action::AskPeer(member(2)));
    let before = disputes(&model);
    model.tell(Event::Neighbor { address: member(2), mac: mac(2) });
    assert_eq!(disputes(&model), before);
}

#[test]
fn who_yields_says_so_to_the_claimant_and_who_lets_go_by_itself_to_nobody_in_particular() {
    let mut model = ModelHost::settled_holder();
    model.peers.insert(member(2), Fact::Known(Server::Member(group(2, 2, 546, false))));
    model.frame(2, Says::Probe);
    model.run(ms(100));
    assert!(!model.vip_here);
    assert_eq!(
        model.count(|action| *action == Action::Vip(VipId::FIRST, VipAction::AnnounceRelease(Some(mac(2))))),
        1
    );

    let mut model = ModelHost::settled_holder();
    model.tell(Event::Release);
    assert_eq!(
        model.count(|action| *action == Action::Vip(VipId::FIRST, VipAction::AnnounceRelease(None))),
        1
    );
}

#[test]
fn a_holder_that_hears_another_let_go_disputes_nothing() {
    let mut model = ModelHost::settled_holder();
    let heard_at = model.now;
    for says in [Says::Release { heard_at }, Says::ReleaseToOthers] {
        let decision = model.frame(2, says);
        assert!(!decision.actions.contains(&Action::AskPeer(member(2))), "{decision:#?}");
        assert!(decision.each_reason().any(|reason| *reason == Reason::Holding), "{decision:#?}");
    }
}

#[test]
fn a_word_of_the_kernel_that_is_older_than_the_removal_does_not_end_it() {
    // An agent that stood still: the VIP was removed by hand, put back by its renewal, and then let go; of all three it is
    // told one after the other.
    let mut model = ModelHost::settled_holder();
    model.vip_here = false;
    let flushed = model.host_event(model.now);
    model.vip_here = true;
    let put_back = model.host_event(model.now + ms(1));
    model.now = model.now + ms(2);
    model.tell(Event::Release);
    for old in [flushed, put_back] {
        let decision = model.tell(old);
        assert!(
            !decision.actions.iter().any(|action| matches!(
                action,
                Action::Vip(_, VipAction::AddAddress { .. } | VipAction::RenewAddress { .. })
            )),
            "{decision:#?}"
        );
        assert!(!decision.each_reason().any(|reason| *reason == Reason::Adopted), "{decision:#?}");
    }
    model.run(ms(20));
    assert!(model.state.has_given_up() || !model.vip_here, "{:#?}", model.reasons.last());
}

#[test]
fn the_word_of_one_of_two_holders_is_not_the_others() {
    // A host that was paused comes back with the VIP, which another has taken: both answer, and one lets go.
    let mut model = claimant();
    model.frame(3, Says::Reply);
    model.frame(2, Says::Reply);
    let heard_at = model.now;
    model.frame(2, Says::Release { heard_at });
    assert!(!model.vip_here, "{:#?}", model.reasons.last());
    model.frame(3, Says::Reply);
    let heard_at = model.now;
    model.frame(3, Says::Release { heard_at });
    assert!(model.vip_here, "now both have said so: {:#?}", model.reasons.last());
}

#[test]
fn each_of_several_holders_has_to_say_so_in_whatever_order() {
    const STRANGER: u8 = 9;
    let holders = [2, 3, STRANGER];
    for first in 0..3 {
        for step in [1, 2] {
            let mut model = claimant();
            for holder in holders {
                model.frame(holder, Says::Reply);
            }
            for turn in 0..3 {
                assert!(!model.vip_here, "{turn} of three have said so, from {first} on by {step}");
                let heard_at = model.now;
                model.frame(holders[(first + turn * step) % 3], Says::Release { heard_at });
            }
            assert!(model.vip_here, "from {first} on by {step}: {:#?}", model.reasons.last());
        }
    }
}

#[test]
fn who_answered_long_ago_is_not_waited_for() {
    let mut model = claimant();
    model.frame(3, Says::Reply);
    model.answering = Some(2);
    model.run(Duration::from_secs(4));
    let heard_at = model.now;
    model.frame(2, Says::Release { heard_at });
    assert!(model.vip_here, "{:#?}", model.reasons.last());
}

#[test]
fn of_two_that_answer_by_turns_each_is_kept_once() {
    let mut model = claimant();
    for turn in 0..20 {
        model.frame(2 + turn % 2, Says::Reply);
    }
    let decide::vip::VipState::Claiming(claim) = &model.machine().state else {
        panic!("{:#?}", model.machine().state)
    };
    assert_eq!(claim.others.len(), 1, "{:#?}", claim.others);
}
