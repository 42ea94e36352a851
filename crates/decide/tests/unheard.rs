//! A holder whose server is heard of no more, not even by time-outs, or of which nothing was ever heard.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod model_host;

use std::time::Duration;

use decide::input::{Fact, Says, Server};
use decide::net::VipId;
use decide::output::{Action, Reason, VipAction};
use model_host::{Answers, ModelHost, group, hung, member, ms};

#[test]
fn a_holder_that_hears_nothing_more_of_its_server_asks_each_second_who_else_has_the_vip() {
    let mut model = ModelHost::settled_holder();
    model.server_blocks = true;
    model.vip.hung_patience = Duration::from_secs(2);
    // Not even time-outs are told here.
    model.run(model.vip.hung_patience + ms(100));
    let asks = |model: &ModelHost| {
        model.count(|action| *action == Action::Vip(VipId::FIRST, VipAction::AskWhoHasVip))
    };
    let announces =
        |model: &ModelHost| model.count(|action| *action == Action::Vip(VipId::FIRST, VipAction::Announce));
    let before = (asks(&model), announces(&model));
    model.run(Duration::from_secs(4));
    assert!((4..=5).contains(&(asks(&model) - before.0)), "{}", asks(&model) - before.0);
    assert_eq!(announces(&model), before.1, "it can prove nothing");
    model.peers.insert(member(2), Fact::Known(Server::Member(group(2, 2, 546, false))));
    model.frame(2, Says::Reply);
    model.run(ms(200));
    assert!(!model.vip_here, "{:#?}", model.reasons.last());
}

#[test]
fn a_server_that_refused_once_and_is_heard_of_no_more_lingers_as_long_as_one_that_goes_on_refusing() {
    let mut model = ModelHost::settled_holder();
    model.vip.linger = Duration::from_secs(5);
    model.vip.hung_patience = Duration::from_secs(2);
    model.first.server = Fact::Known(Server::Refused("refused".to_owned()));
    while !model.said(|reason| matches!(reason, Reason::Rechecking(..))) {
        model.run(ms(1));
    }
    // Not even time-outs are told from here on.
    model.server_blocks = true;
    model.run(ms(4_900));
    assert!(model.vip_here, "it refuses for its clients");
    model.run(ms(300));
    assert!(!model.vip_here, "{:#?}", model.reasons.last());
}

#[test]
fn an_agent_that_never_heard_of_its_server_asks_each_second_who_else_has_the_vip() {
    let answers = Answers { server: Fact::Unknown(hung()), ..Answers::all_pass() };
    let mut model = ModelHost::new(answers, true);
    model.run(Duration::from_secs(5));
    assert!(model.vip_here && model.said(|reason| *reason == Reason::Adopted), "{:#?}", model.reasons);
    let asked = model.count(|action| *action == Action::Vip(VipId::FIRST, VipAction::AskWhoHasVip));
    assert!((5..=8).contains(&asked), "{asked}");
}

#[test]
fn a_dead_servers_vip_that_nobody_claims_is_let_go_of_in_the_end() {
    let mut model = ModelHost::settled_holder();
    model.first.server = Fact::Known(Server::Refused("connection refused".to_owned()));
    model.run(Duration::from_secs(59));
    assert!(model.vip_here);
    model.run(Duration::from_secs(2));
    assert!(!model.vip_here);
}
