//! What a claimant makes of a holder that it heard lately: one whose host lives is asked longer, for its answers may be lost.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod model_host;

use std::time::Duration;

use decide::input::{Event, Says};
use decide::net::VipId;
use decide::output::{Action, VipAction};
use model_host::{Answers, ModelHost, mac, member, ms, primary, secondary};

/// Member 2 announced the VIP a moment ago; then this member became the primary.
fn elected_beside(holder_lives: bool, then: Option<(u8, Says)>, later: Duration) -> usize {
    let mut model = ModelHost::new(Answers { server: secondary(), ..Answers::all_pass() }, false);
    model.run(ms(500));
    model.frame(2, Says::Announcement);
    if let Some((number, says)) = then {
        model.frame(number, says);
    }
    model.run(later);
    model.first.server = primary();
    let elected = model.now;
    while !model.vip_here {
        model.run(ms(5));
        if holder_lives {
            // It answers for its own address, and its answers for the VIP are lost.
            model.tell(Event::Neighbor { address: member(2), mac: mac(2) });
        }
        assert!(model.now.since(elected) < Duration::from_secs(3), "{:#?}", model.reasons);
    }
    model.count(|action| *action == Action::Vip(VipId::FIRST, VipAction::SendProbe))
}

#[test]
fn a_holder_whose_host_lives_is_asked_ten_times_before_its_silence_counts() {
    assert!(elected_beside(true, None, ms(100)) >= 10);
}

#[test]
fn a_holder_whose_host_is_dead_is_asked_three_times() {
    assert_eq!(elected_beside(false, None, ms(100)), 3);
}

#[test]
fn a_holder_that_was_heard_to_let_go_is_asked_three_times() {
    assert_eq!(elected_beside(true, Some((2, Says::Probe)), Duration::from_secs(2)), 3);
}

#[test]
fn anothers_probe_does_not_take_the_holder_for_gone() {
    assert!(elected_beside(true, Some((3, Says::Probe)), Duration::from_secs(2)) >= 10);
}

#[test]
fn a_holder_that_was_heard_minutes_ago_is_asked_three_times() {
    assert_eq!(elected_beside(true, None, Duration::from_secs(121)), 3);
    assert!(elected_beside(true, None, Duration::from_secs(119)) >= 10);
}
