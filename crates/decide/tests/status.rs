//! What an agent says of itself when it is asked: whole, with the age of each fact, and without moving anything.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod model_host;
mod sent;

use std::time::Duration;

use decide::State;
use decide::checks::Stage;
use decide::input::{Event, Fact, Gateway, MemberState, Role, Says, Seen, Server};
use decide::status::{Found, Has, LastSwitch, Mode, Status, Wanted};
use decide::step;
use decide::time::Time;
use model_host::{Answers, ModelHost, VIP, hung, member, ms, policy, primary, secondary};
use proptest::prelude::*;
use sent::plays;

fn status(model: &ModelHost) -> Status {
    status_at(model, model.now)
}

fn status_at(model: &ModelHost, now: Time) -> Status {
    Status::of(&model.policy(), &model.state, None, None, now)
}

#[test]
fn a_holder_that_is_well_says_why_it_holds_how_long_the_lease_lasts_and_how_old_its_proof_is() {
    let said = status(&ModelHost::settled_holder());
    assert_eq!((said.mode, said.member), (Mode::Running, Some(member(1))));
    assert!(said.stages.iter().all(|stage| stage.found == Found::Passed), "{:?}", said.stages);
    let [vip] = &said.vips[..] else { panic!("{:?}", said.vips) };
    assert_eq!((vip.address, vip.wanted, vip.state), (VIP, Wanted::Yes, Has::Holding));
    assert_eq!(vip.interface.as_deref(), Some("eth0"));
    assert_eq!(vip.words, "VIP kept: all stages pass");
    let left = vip.lease_left_ms.unwrap();
    assert!((6_000..=10_000).contains(&left), "renewed thrice in 10 s: {left} ms");
    assert!(vip.proof_age_ms.unwrap() <= 110, "asked each 100 ms: {vip:?}");
    assert!(vip.for_ms.unwrap() >= 9_000, "{vip:?}");
    assert!(said.waits_for.is_empty(), "{:?}", said.waits_for);
    let group = said.group.unwrap();
    assert!(group.majority && group.view.is_some());
    assert_eq!(group.members.len(), 3);
    assert_eq!((group.members[0].address, group.members[0].role), (Some(member(1)), Role::Primary));
    assert_eq!(group.members[1].address, None, "its name is not its address, and its port was not met");
}

#[test]
fn every_fact_grows_older_while_nothing_is_heard() {
    let model = ModelHost::settled_holder();
    let (now, later) = (status(&model), status_at(&model, model.now + Duration::from_secs(5)));
    for (before, after) in now.stages.iter().zip(&later.stages) {
        assert_eq!(after.age_ms.unwrap(), before.age_ms.unwrap() + 5_000, "{after:?}");
    }
    assert_eq!(later.group.unwrap().age_ms, now.group.unwrap().age_ms + 5_000);
    let (before, after) = (&now.vips[0], &later.vips[0]);
    assert_eq!(after.lease_left_ms.unwrap() + 5_000, before.lease_left_ms.unwrap());
    assert_eq!(after.proof_age_ms.unwrap(), before.proof_age_ms.unwrap() + 5_000);
    let over = status_at(&model, model.now + Duration::from_secs(60));
    assert_eq!(over.vips[0].lease_left_ms, Some(0), "it is over, and not less than over");
}

#[test]
fn an_answer_that_the_rules_were_not_woken_for_makes_the_facts_younger_and_changes_nothing_else() {
    let model = ModelHost::settled_holder();
    let later = model.now + Duration::from_secs(3);
    let unread = Event::Server(Seen { asked_at: later - ms(40), fact: primary() });
    let old = status_at(&model, later);
    let said = Status::of(&model.policy(), &model.state, Some(&unread), None, later);
    assert!(old.stages[2].age_ms.unwrap() >= 3_000, "{old:?}");
    assert_eq!((said.stages[2].age_ms, said.vips[0].proof_age_ms), (Some(40), Some(40)));
    assert_eq!((said.vips[0].state, &said.vips[0].words), (old.vips[0].state, &old.vips[0].words));
}

#[test]
fn an_agent_that_has_just_started_knows_nothing_and_says_what_it_waits_for() {
    let now = Time(1_000_000);
    let said = Status::of(&policy(), &State::new(&policy(), now), None, None, now);
    assert!(said.stages.iter().all(|stage| stage.found == Found::Unknown && stage.age_ms.is_none()));
    assert_eq!((said.member, said.group, said.last_switch), (None, None, None));
    assert_eq!((said.vips[0].state, said.vips[0].wanted), (Has::Absent, Wanted::Unknown));
    assert_eq!(said.vips[0].proof_age_ms, None);
    assert!(said.waits_for.iter().any(|what| what.contains("first answer about stage 3 (primary)")));
}

#[test]
fn a_hung_server_makes_the_primary_unknown_and_not_failed_and_the_vip_is_held_without_proof() {
    let mut model = ModelHost::settled_holder();
    model.first.server = Fact::Unknown(hung());
    model.run(ms(500));
    let said = status(&model);
    let primary = said.stages.iter().find(|stage| stage.stage == Stage::Primary).unwrap();
    assert_eq!(primary.found, Found::Unknown);
    assert!(primary.words.starts_with("not known: no answer within"), "{}", primary.words);
    let vip = &said.vips[0];
    assert_eq!((vip.wanted, vip.state, vip.proof_age_ms), (Wanted::Unknown, Has::Holding, None));
    assert!(vip.words.starts_with("VIP kept for now: stage 2 (server) is not known"), "{}", vip.words);
    assert_eq!(said.group, None, "what was shown before is not the group of now");
    assert_eq!(said.waits_for, ["an answer of the local server"]);
}

#[test]
fn a_lost_gateway_is_said_in_words() {
    let mut model = ModelHost::new(Answers::all_pass(), false);
    model.first.gateway = Fact::Known(Gateway::Lost { misses: 5 });
    model.run(Duration::from_secs(1));
    let gateway = status(&model).stages.pop().unwrap();
    assert_eq!((gateway.stage, gateway.found), (Stage::Gateway, Found::Failed));
    assert_eq!(gateway.words, "the gateway has missed 5 probes in a row");
}

#[test]
fn an_ordinary_secondary_is_no_failure() {
    let mut model = ModelHost::new(Answers { server: secondary(), ..Answers::all_pass() }, false);
    model.run(Duration::from_secs(1));
    let said = status(&model);
    assert_eq!(said.stages[2].found, Found::Secondary);
    assert_eq!((said.vips[0].wanted, said.vips[0].state), (Wanted::No, Has::Absent));
    assert!(said.vips[0].words.contains("ONLINE and a secondary"), "{}", said.vips[0].words);
}

#[test]
fn a_claim_that_is_answered_names_who_is_to_yield() {
    let mut model = ModelHost::new(Answers::all_pass(), false);
    model.answering = Some(2);
    model.run(Duration::from_secs(1));
    let said = status(&model);
    assert_eq!((said.vips[0].wanted, said.vips[0].state), (Wanted::Yes, Has::Claiming));
    let [waits] = &said.waits_for[..] else { panic!("{:?}", said.waits_for) };
    assert!(waits.starts_with("10.77.0.12 to yield 10.77.0.100"), "{waits}");
}

#[test]
fn a_dispute_names_the_claimant() {
    let mut model = ModelHost::settled_holder();
    model.server_blocks = true;
    model.frame(2, Says::Probe);
    let said = status(&model);
    assert!(said.waits_for[0].contains("which 10.77.0.12 claims"), "{:?}", said.waits_for);
}

#[test]
fn a_member_that_is_not_online_is_shown_so() {
    let mut model = ModelHost::settled_holder();
    let Fact::Known(Server::Member(mut view)) = primary() else { panic!() };
    view.members[2].state = MemberState::Unreachable;
    view.members[2].host = "10.77.0.13".to_owned();
    model.first.server = Fact::Known(Server::Member(view));
    model.run(ms(300));
    let group = status(&model).group.unwrap();
    assert_eq!(group.members[2].state, MemberState::Unreachable);
    assert_eq!(group.members[2].address, Some(member(3)), "it is named by its address");
}

#[test]
fn a_paused_agent_says_so_and_for_how_long() {
    let mut model = ModelHost::settled_holder();
    let until = model.now + Duration::from_secs(90);
    model.tell(Event::Pause { until });
    let said = status(&model);
    assert_eq!((said.mode, said.pause_left_ms), (Mode::Paused, Some(90_000)));
    model.tell(Event::Resume);
    assert_eq!((status(&model).mode, status(&model).pause_left_ms), (Mode::Running, None));
}

#[test]
fn a_drained_agent_says_so() {
    let mut model = ModelHost::settled_holder();
    model.tell(Event::Release);
    model.run(Duration::from_secs(1));
    let said = status(&model);
    assert_eq!((said.mode, said.vips[0].wanted), (Mode::Drained, Wanted::No));
    assert_eq!(said.vips[0].state, Has::Absent);
    assert!(said.vips[0].words.contains("given up"), "{}", said.vips[0].words);
}

#[test]
fn the_last_switch_is_in_the_logs_words_with_its_age() {
    let mut model = ModelHost::settled_holder();
    assert_eq!(LastSwitch::of(&model.policy(), model.last.as_ref().unwrap(), model.now), None);
    let decision = model.tell(Event::Release);
    let switch = LastSwitch::of(&model.policy(), &decision, model.now).unwrap();
    let said =
        Status::of(&model.policy(), &model.state, None, Some(&switch), model.now + Duration::from_secs(12));
    let last = said.last_switch.unwrap();
    assert_eq!(last.age_ms, 12_000);
    assert!(last.words.starts_with("VIP stopped on eth0:"), "{}", last.words);
}

#[test]
fn a_mode_that_this_version_does_not_know_can_be_read() {
    assert_eq!(serde_json::from_str::<Mode>("\"hibernating\"").unwrap(), Mode::Other);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happened_it_can_be_said_and_read_again_and_each_vip_has_words(plays in plays()) {
        let policy = policy();
        let mut now = Time(1_000_000_000);
        let mut state = State::new(&policy, now);
        for (gap, age, _, sent) in &plays {
            now = now + *gap;
            step(&policy, &mut state, &sent.event(now - *age), now);
            let said = Status::of(&policy, &state, None, None, now);
            prop_assert!(said.vips[0].words != "not known", "{:?}", state.vips);
            prop_assert_eq!(said.vips[0].state == Has::Holding, said.vips[0].interface.is_some() && !matches!(said.vips[0].state, Has::Releasing));
            let line = serde_json::to_string(&said).unwrap();
            prop_assert_eq!(serde_json::from_str::<Status>(&line).unwrap(), said);
        }
    }
}
