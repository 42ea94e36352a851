//! A holding that began because nobody answered, on a segment that may have lost the answers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod model_host;

use std::time::Duration;

use decide::input::Says;
use decide::net::VipId;
use decide::output::{Action, LetGo, Reason, VipAction};
use model_host::{Answers, ModelHost, mac, ms};

/// Leads, and has taken the VIP just now: nobody answered.
fn has_just_taken_it() -> ModelHost {
    let mut model = ModelHost::new(Answers::all_pass(), false);
    while !model.vip_here {
        model.run(ms(1));
    }
    model.run(ms(5));
    model
}

#[test]
fn an_answer_in_the_first_moment_undoes_it_and_the_vip_is_claimed_on() {
    for says in [Says::Reply, Says::Announcement] {
        let mut model = has_just_taken_it();
        model.answering = Some(2);
        model.frame(2, says);
        assert!(!model.vip_here, "{:#?}", model.reasons.last());
        let because = |reason: &Reason| matches!(reason, Reason::Stopped { because: LetGo::Answered(_), .. });
        assert!(model.said(because));
        model.run(Duration::from_secs(2));
        assert!(!model.vip_here, "the other has it all the time");
        model.answering = None;
        let heard_at = model.now;
        model.frame(2, Says::Release { heard_at });
        assert!(model.vip_here, "{:#?}", model.reasons.last());
    }
}

#[test]
fn the_question_is_put_again_and_again_and_then_no_more() {
    let mut model = has_just_taken_it();
    let questions = |model: &ModelHost| {
        model.count(|action| *action == Action::Vip(VipId::FIRST, VipAction::AskWhoHasVip))
    };
    model.run(ms(95));
    let soon = questions(&model);
    assert!((18..=22).contains(&soon), "{soon} in the first tenth of a second");
    model.run(Duration::from_secs(1));
    let all = questions(&model);
    assert!((soon + 6..=soon + 10).contains(&all), "{all} in the first half of a second");
    model.run(Duration::from_secs(1));
    assert_eq!(questions(&model), all);
    assert!(!model.said(|reason| matches!(reason, Reason::Stopped { .. })), "NO-FLAP");
}

#[test]
fn an_answer_later_is_a_dispute_and_a_strangers_a_conflict() {
    let mut model = has_just_taken_it();
    model.run(ms(600));
    model.frame(2, Says::Reply);
    assert!(model.vip_here, "its own server is asked first");
    let mut model = has_just_taken_it();
    model.frame(9, Says::Reply);
    assert!(model.vip_here, "a stranger is asked nothing, and yielded to by none");
}

#[test]
fn what_was_taken_on_the_holders_word_is_not_on_trial() {
    let mut model = ModelHost::new(Answers::all_pass(), false);
    model.answering = Some(2);
    model.run(ms(300));
    model.answering = None;
    let heard_at = model.now;
    let decision = model.frame(2, Says::Release { heard_at });
    assert!(
        model.vip_here && !decision.actions.contains(&Action::Vip(VipId::FIRST, VipAction::AskWhoHasVip)),
        "{decision:#?}"
    );
    assert!(model.state.facts.neighbors.macs.values().any(|known| *known == mac(2)));
}
