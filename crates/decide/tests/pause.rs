//! The operator's pause: what a holder puts up with meanwhile, what it lets go of all the same, and what comes after it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod model_host;
mod survivor;

use std::time::Duration;

use decide::input::{Event, Fact, Gateway, NotInGroup, ProcessSign, Says, Server, Why};
use decide::output::{Action, Reason, VipAction};
use model_host::{Answers, ModelHost, group, group_policy, hung, member, ms, not_in_group, secondary};
use survivor::{Survivor, is_restore, is_set, is_wake, refuses};

const LONG: Duration = Duration::from_secs(600);
const MINUTES: Duration = Duration::from_secs(180);

fn paused_holder() -> ModelHost {
    let mut model = ModelHost::settled_holder();
    let until = model.now + LONG;
    model.tell(Event::Pause { until });
    model
}

fn dead() -> Fact<Server> {
    Fact::Known(Server::Refused("connection refused".to_owned()))
}

fn lost() -> Fact<Gateway> {
    Fact::Known(Gateway::Lost { misses: 4 })
}

/// For three minutes, whether the VIP is still here after that; nothing that was done broke an invariant.
fn keeps(mut model: ModelHost) -> bool {
    model.run(MINUTES);
    assert_eq!(model.breach, None, "{:#?}", model.reasons);
    model.vip_here
}

#[test]
fn a_paused_holder_keeps_the_vip_where_it_would_let_go_by_choice() {
    for server in [secondary(), dead(), Fact::Unknown(hung()), not_in_group(NotInGroup::OfflineMode)] {
        let mut model = paused_holder();
        model.first.server = server.clone();
        assert!(keeps(model), "{server:?}");
        let mut model = ModelHost::settled_holder();
        model.first.server = server.clone();
        assert!(!keeps(model), "not paused: {server:?}");
    }
    let mut model = paused_holder();
    model.first.gateway = lost();
    assert!(keeps(model), "it leads, and its gateway is lost");
}

#[test]
fn a_paused_holder_whose_server_left_the_group_does_not_let_go_for_a_strangers_sake() {
    let stranger = |model: &mut ModelHost| {
        model.first.server = not_in_group(NotInGroup::OfflineMode);
        model.run(ms(500));
        model.frame(9, Says::Announcement);
    };
    let mut model = paused_holder();
    stranger(&mut model);
    assert!(keeps(model));
    let mut model = ModelHost::settled_holder();
    stranger(&mut model);
    assert!(!keeps(model), "not paused");
}

#[test]
fn a_paused_holder_lets_go_at_once_where_another_may_have_the_vip_or_writes_would_be_lost() {
    let mut alone = group(1, 1, 545, false);
    for member in alone.members.iter_mut().skip(1) {
        member.state = decide::input::MemberState::Unreachable;
    }
    for server in [Fact::Known(Server::Member(alone)), not_in_group(NotInGroup::NotRunning)] {
        let mut model = paused_holder();
        model.first.server = server.clone();
        model.run(ms(3_000));
        assert_eq!((model.vip_here, model.breach), (false, None), "{server:?}");
    }
    for server in [secondary(), dead(), Fact::Unknown(hung())] {
        let mut model = paused_holder();
        (model.first.server, model.first.gateway) = (server.clone(), lost());
        model.run(ms(3_000));
        assert!(!model.vip_here, "cut off, it hears no claim: {server:?}");
        assert_eq!(model.breach, None);
    }
    let mut model = paused_holder();
    model.first.server = dead();
    model.run(ms(1_000));
    model.tell(Event::Process(ProcessSign::MayStart));
    model.first.server = Fact::Unknown(Why::TimedOut(ms(500)));
    model.run(ms(3_000));
    assert!(!model.vip_here, "another process may take writes outside the group");
}

#[test]
fn a_paused_holder_yields_to_a_claim_within_milliseconds() {
    let mut model = paused_holder();
    model.peers.insert(member(2), Fact::Known(Server::Member(group(2, 2, 546, false))));
    model.frame(2, Says::Probe);
    model.run(ms(50));
    assert_eq!((model.vip_here, model.breach), (false, None), "{:#?}", model.reasons);
}

#[test]
fn nothing_is_taken_while_paused_and_a_claim_that_is_under_way_is_called_off() {
    let mut model = ModelHost::new(Answers::all_pass(), false);
    model.run(ms(30));
    assert!(model.said(|reason| *reason == Reason::Claiming));
    let until = model.now + LONG;
    model.tell(Event::Pause { until });
    model.run(MINUTES);
    assert!(!model.vip_here && model.said(|reason| *reason == Reason::Paused));
    model.tell(Event::Resume);
    model.run(ms(200));
    assert_eq!((model.vip_here, model.breach), (true, None));
}

#[test]
fn a_vip_that_is_removed_by_hand_is_put_back_only_after_the_pause() {
    let mut model = ModelHost::settled_holder();
    let until = model.now + ms(20_000);
    model.tell(Event::Pause { until });
    model.vip_here = false;
    let seen = model.host_event(model.now);
    model.tell(seen);
    model.run(ms(19_900));
    assert!(!model.vip_here);
    model.run(ms(300));
    assert_eq!((model.vip_here, model.breach), (true, None), "the pause ends by itself");
}

#[test]
fn the_last_word_counts_and_one_whose_time_is_over_ends_the_pause() {
    let mut model = ModelHost::new(Answers::all_pass(), false);
    let (soon, late) = (model.now + ms(1_000), model.now + LONG);
    model.tell(Event::Pause { until: late });
    model.tell(Event::Pause { until: soon });
    model.run(ms(900));
    assert!(!model.vip_here);
    model.tell(Event::Pause { until: late });
    model.run(ms(5_000));
    assert!(!model.vip_here);
    model.tell(Event::Pause { until: soon });
    model.run(ms(200));
    assert!(model.vip_here);
}

#[test]
fn after_the_pause_a_claim_is_waited_for_once_more() {
    let mut model = paused_holder();
    model.first.server = secondary();
    model.run(MINUTES);
    model.tell(Event::Resume);
    model.run(ms(500));
    assert!(model.vip_here, "the primary's agent may hear of the end a second later");
    model.run(ms(1_500));
    assert_eq!((model.vip_here, model.breach), (false, None));
}

#[test]
fn a_paused_holder_that_does_not_lead_finds_another_that_took_the_vip_while_neither_heard_the_other() {
    let asks = |action: &Action| matches!(action, Action::Vip(_, VipAction::AskWhoHasVip));
    let mut model = paused_holder();
    model.first.server = secondary();
    model.run(ms(5_000));
    let before = model.count(asks);
    model.run(ms(3_000));
    assert!(
        (2..=4).contains(&(model.count(asks) - before)),
        "once a second: the other does not announce for a minute"
    );
    model.peers.insert(member(2), Fact::Known(Server::Member(group(2, 2, 545, false))));
    model.frame(2, Says::Reply);
    model.run(ms(50));
    assert_eq!((model.vip_here, model.breach), (false, None), "{:#?}", model.reasons);
}

#[test]
fn at_the_end_of_a_pause_a_holder_that_does_not_lead_asks_at_once_who_else_has_the_vip() {
    let mut model = paused_holder();
    model.first.server = secondary();
    model.run(ms(5_000));
    let decision = model.tell(Event::Resume);
    let asks = |action: &&Action| matches!(action, Action::Vip(_, VipAction::AskWhoHasVip));
    assert_eq!(decision.actions.iter().filter(asks).count(), 1, "{decision:#?}");
}

#[test]
fn nobody_is_expelled_sooner_while_paused_and_what_was_changed_is_put_back() {
    let mut survivor = Survivor::prepared(group_policy(), 5);
    let until = survivor.now + LONG;
    survivor.tell(&Event::Pause { until });
    survivor.run(20_000, &[1], 5, Some(&refuses()));
    let sooner = |action: &Action| is_set(action) || is_wake(action);
    assert_eq!(survivor.times(sooner), [0; 0]);
    survivor.tell(&Event::Resume);
    // The look that the end of the pause ordered counts as lost here, and is put again after 5 s.
    survivor.run(6_000, &[1], 5, Some(&refuses()));
    assert_eq!(survivor.times(is_set).len(), 1);
    let until = survivor.now + LONG;
    let before = survivor.times(is_restore).len();
    survivor.tell(&Event::Pause { until });
    assert_eq!(survivor.times(is_restore).len(), before + 1);
}
