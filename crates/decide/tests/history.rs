//! Each switch gives its row: once where the VIP came, once where it left, with the code of what happened.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod model_host;

use std::time::Duration;

use decide::history::{Code, History, Kind, Row};
use decide::input::{
    Event, Fact, Gateway, GroupView, MemberPort, MemberState, NotInGroup, ProcessSign, Says, Seen, Server,
};
use decide::net::VipId;
use decide::output::{Action, Outcome, VipAction};
use decide::policy::{GatewayLost, Policy, ReadOnlyPrimary};
use decide::step;
use decide::trace::Line;
use model_host::{Answers, ModelHost, group, hung, mac, member, ms, not_in_group};

/// The rows of all that the model was told since its trace began; `fails`: which orders fail.
fn rows_where(model: &ModelHost, fails: impl Fn(&Action) -> bool) -> Vec<Row> {
    let (mut history, mut playing) = (History::default(), None::<(Policy, decide::State)>);
    for line in &model.trace {
        match line {
            Line::Start { policy, state, .. } => {
                playing = Some((policy.as_ref().clone(), state.as_ref().clone()));
            }
            Line::Step { now, event, .. } => {
                let (policy, state) = playing.as_mut().unwrap();
                let decision = step(policy, state, event, *now);
                history.decided(policy, state, event, &decision, *now);
                for action in &decision.actions {
                    let failed = Outcome::Failed("no".to_owned());
                    let outcome = if fails(action) { failed } else { Outcome::Succeeded };
                    history.done(action, &outcome, *now);
                }
            }
        }
    }
    history.take_rows()
}

fn rows(model: &ModelHost) -> Vec<Row> {
    rows_where(model, |_| false)
}

fn is_member(view: GroupView) -> Fact<Server> {
    Fact::Known(Server::Member(view))
}

/// This host is a secondary; db2 leads.
fn bystander() -> ModelHost {
    let mut model =
        ModelHost::new(Answers { server: is_member(group(1, 2, 545, true)), ..Answers::all_pass() }, false);
    model.start_trace("a bystander");
    model.run(ms(500));
    let port = Fact::Known(MemberPort::Answers(Some("uuid-2".to_owned())));
    model.tell(Event::MemberPort { member: member(2), seen: Seen { asked_at: model.now, fact: port } });
    model
}

fn holder() -> ModelHost {
    let mut model = ModelHost::new(Answers::all_pass(), true);
    model.start_trace("a holder");
    model.tell(Event::Process(ProcessSign::Watched));
    model.run(Duration::from_secs(2));
    model
}

/// The group without db2 whose primary this host's server is.
fn without_db2() -> Fact<Server> {
    let mut view = group(1, 1, 546, false);
    view.members.retain(|row| row.host != "db2");
    is_member(view)
}

fn unreachable_db2() -> Fact<Server> {
    let mut view = group(1, 2, 545, true);
    view.members[1].state = MemberState::Unreachable;
    is_member(view)
}

/// The one row, with its code.
/// It is UNREACHABLE, and its port refuses twice.
fn db2_dies(model: &mut ModelHost) {
    model.first.server = unreachable_db2();
    model.run(ms(200));
    for _ in 0..2 {
        let seen = Seen { asked_at: model.now, fact: Fact::Known(MemberPort::Refuses) };
        model.tell(Event::MemberPort { member: member(2), seen });
        model.run(ms(100));
    }
}

fn only(rows: &[Row], kind: Kind, code: Code) -> &Row {
    assert_eq!(rows.len(), 1, "{rows:#?}");
    assert_eq!((rows[0].kind, rows[0].code), (kind, code), "{rows:#?}");
    &rows[0]
}

/// The row that came, with its code, where the VIP left before.
fn back(rows: &[Row], code: Code) {
    let told: Vec<_> = rows.iter().map(|row| (row.kind, row.code)).collect();
    assert_eq!(told, [(Kind::Left, code), (Kind::Came, code)], "{rows:#?}");
    assert_eq!(rows[1].from, rows[1].to, "it is back where it was");
}

fn named(party: Option<&decide::history::Party>) -> Option<&str> {
    party?.name.as_deref()
}

#[test]
fn a_switchover_is_one_row_that_names_both_members_and_how_long_mysql_took() {
    let mut model = bystander();
    model.first.server = is_member(group(1, 1, 546, true));
    model.run(ms(300));
    model.first.server = is_member(group(1, 1, 546, false));
    model.run(Duration::from_secs(3));
    let rows = rows(&model);
    let row = only(&rows, Kind::Came, Code::Switchover);
    assert_eq!((named(row.from.as_ref()), named(row.to.as_ref())), (Some("db2"), Some("db1")));
    assert_eq!(row.from.as_ref().unwrap().address, Some(member(2)));
    let elected = row.split.elected.unwrap();
    assert!(elected >= ms(200) && elected <= ms(400), "{elected:?}");
    assert!(row.split.claimed.unwrap() <= ms(200) && row.split.announced.is_some(), "{:?}", row.split);
    assert_eq!(
        row.sentence("orders"),
        "orders moved from db2 to db1: the group was told to make db1 the primary"
    );
}

#[test]
fn a_primary_whose_port_refused_twice_is_told_to_have_died() {
    let mut model = bystander();
    db2_dies(&mut model);
    model.first.server = without_db2();
    model.run(Duration::from_secs(3));
    let rows = rows(&model);
    let row = only(&rows, Kind::Came, Code::PrimaryDied);
    assert_eq!(
        row.sentence("orders"),
        "orders moved from db2 to db1 after db2's mysqld died: its port refused twice"
    );
    let marks: Vec<_> = row.marks.iter().map(|mark| mark.what.as_str()).collect();
    for told in
        ["db2 is UNREACHABLE in the group", "this host's server takes writes", "the VIP was added here"]
    {
        assert!(marks.contains(&told), "{marks:#?}");
    }
    assert!(row.split.elected.unwrap() >= ms(300), "{:?}", row.split);
}

#[test]
fn a_silent_host_and_one_that_was_cut_off_are_told_apart_by_its_port() {
    for (port, code) in [
        (Fact::Unknown(hung()), Code::HostSilent),
        (Fact::Known(MemberPort::Answers(Some("uuid-2".to_owned()))), Code::PrimaryCutOff),
    ] {
        let mut model = bystander();
        model.first.server = unreachable_db2();
        model.run(ms(200));
        let seen = Seen { asked_at: model.now, fact: port };
        model.tell(Event::MemberPort { member: member(2), seen });
        model.run(ms(100));
        model.first.server = without_db2();
        model.run(Duration::from_secs(3));
        only(&rows(&model), Kind::Came, code);
    }
}

#[test]
fn a_primary_that_left_the_group_in_good_order_is_told_so() {
    let mut model = bystander();
    model.first.server = without_db2();
    model.run(Duration::from_secs(3));
    let rows = rows(&model);
    let row = only(&rows, Kind::Came, Code::PrimaryLeft);
    assert_eq!(row.sentence("orders"), "orders moved from db2 to db1 after db2 left the group");
}

#[test]
fn a_holder_that_yields_tells_whom_to_and_why() {
    let cut_off = Code::PrimaryCutOff;
    for (own, code) in [(group(1, 2, 546, true), Code::Switchover), (group(1, 1, 545, false), cut_off)] {
        let mut model = holder();
        model.peers.insert(member(2), is_member(group(2, 2, 546, false)));
        model.first.server = is_member(own);
        for _ in 0..20 {
            model.frame(2, Says::Probe);
            model.run(ms(20));
        }
        let rows = rows(&model);
        let row = only(&rows, Kind::Left, code);
        assert_eq!(row.to.as_ref().and_then(|to| to.address), Some(member(2)));
        assert!(row.sentence("orders").starts_with("orders left db1 for "), "{}", row.sentence("orders"));
    }
}

#[test]
fn what_a_holder_gives_up_by_itself_has_the_code_of_what_failed() {
    let gateway = Fact::Known(Gateway::Lost { misses: 3 });
    let mut no_majority = group(1, 1, 545, false);
    no_majority.members[1].state = MemberState::Unreachable;
    no_majority.members[2].state = MemberState::Unreachable;
    let all = Answers::all_pass;
    for (answers, code) in [
        (Answers { gateway, ..all() }, Code::GatewayLost),
        (Answers { server: is_member(no_majority), ..all() }, Code::MajorityLost),
        (Answers { server: not_in_group(NotInGroup::NotRunning), ..all() }, Code::PrimaryLeft),
        (Answers { server: Fact::Known(Server::Refused("111".into())), ..all() }, Code::PrimaryDied),
        (Answers { server: Fact::Unknown(hung()), ..all() }, Code::ServerSilent),
        (Answers { interface: "eth1", ..all() }, Code::NotAMember),
        (Answers { server: is_member(group(1, 2, 546, true)), ..all() }, Code::Switchover),
    ] {
        let mut model = holder();
        model.first = answers;
        model.run(Duration::from_secs(100));
        only(&rows(&model), Kind::Left, code);
    }
}

#[test]
fn a_read_only_primary_that_is_to_let_go_tells_so() {
    let mut model = ModelHost::new(Answers::all_pass(), true);
    model.vip.read_only_primary = ReadOnlyPrimary::Release;
    model.start_trace("read only");
    model.run(Duration::from_secs(2));
    model.first.server = is_member(group(1, 1, 545, true));
    model.run(Duration::from_secs(5));
    only(&rows(&model), Kind::Left, Code::ReadOnly);
}

#[test]
fn a_vip_that_was_removed_by_hand_left_and_came_back_to_the_same_host() {
    let mut model = holder();
    model.vip_here = false;
    let event = model.host_event(model.now);
    model.tell(event);
    model.run(Duration::from_secs(3));
    let rows = rows(&model);
    back(&rows, Code::RemovedByHand);
    assert_eq!(rows[1].split.elected, None, "MySQL had no part in it");
    assert!(rows[1].split.claimed.unwrap() <= ms(200), "{:?}", rows[1].split);
    assert!(
        rows[1].sentence("orders").starts_with("orders is back on db1"),
        "{}",
        rows[1].sentence("orders")
    );
}

#[test]
fn what_comes_back_after_the_gateway_or_an_undrain_has_the_code_that_it_left_with() {
    let mut model = holder();
    model.first.gateway = Fact::Known(Gateway::Lost { misses: 3 });
    model.run(Duration::from_secs(5));
    model.first.gateway = Fact::Known(Gateway::Reachable);
    model.run(Duration::from_secs(5));
    back(&rows(&model), Code::GatewayLost);
    let mut model = holder();
    model.tell(Event::Release);
    model.run(Duration::from_secs(2));
    model.tell(Event::Undrain);
    model.run(Duration::from_secs(2));
    back(&rows(&model), Code::Drained);
}

#[test]
fn an_agent_that_starts_on_the_primary_and_finds_the_vip_nowhere_tells_that_it_started() {
    let mut model = ModelHost::new(Answers::all_pass(), false);
    model.start_trace("a start");
    model.run(Duration::from_secs(3));
    let rows = rows(&model);
    let row = only(&rows, Kind::Came, Code::AgentStarted);
    assert_eq!((row.from.as_ref(), row.split.noticed_at), (None, None), "who had it before is not known");
}

#[test]
fn an_agent_that_starts_where_the_vip_is_moves_nothing_and_tells_nothing() {
    assert_eq!(rows(&holder()), []);
}

#[test]
fn a_server_that_comes_into_its_group_as_the_primary_is_told_apart_from_a_failover() {
    let mut model = bystander();
    model.first.server = Fact::Known(Server::Refused("111".into()));
    model.run(Duration::from_secs(2));
    model.first.server = is_member(group(1, 1, 547, false));
    model.run(Duration::from_secs(3));
    let rows = rows(&model);
    assert_eq!(only(&rows, Kind::Came, Code::GroupStarted).from, None);
}

#[test]
fn a_server_that_shows_no_group_for_the_moment_in_which_its_view_changes_has_not_left_it() {
    let mut model = bystander();
    db2_dies(&mut model);
    model.first.server = not_in_group(NotInGroup::NotRunning);
    model.run(ms(50));
    model.first.server = without_db2();
    model.run(Duration::from_secs(3));
    let rows = rows(&model);
    assert_eq!(named(only(&rows, Kind::Came, Code::PrimaryDied).from.as_ref()), Some("db2"));
}

#[test]
fn a_server_that_was_in_no_group_for_longer_comes_into_one() {
    let mut model = bystander();
    model.first.server = not_in_group(NotInGroup::NotRunning);
    model.run(Duration::from_secs(1));
    model.first.server = without_db2();
    model.run(Duration::from_secs(3));
    assert_eq!(only(&rows(&model), Kind::Came, Code::GroupStarted).from, None);
}

#[test]
fn a_vip_that_another_answers_for_after_it_was_taken_came_never_and_left_as_a_conflict() {
    let mut model = bystander();
    model.first.server = without_db2();
    model.run(ms(20));
    while !model.vip_here {
        model.run(ms(1));
    }
    model.frame(3, Says::Reply);
    model.run(ms(50));
    only(&rows(&model), Kind::Left, Code::Conflict);
}

#[test]
fn a_member_that_did_not_yield_and_was_overruled_is_named() {
    let mut model = bystander();
    model.vip.takeover_after = Some(Duration::from_secs(12));
    model.start_trace("takeover_after");
    model.answering = Some(2);
    model.peers.insert(member(2), Fact::Known(Server::Refused("111".into())));
    model.run(ms(500));
    model.first.server = is_member(group(1, 1, 546, false));
    model.run(Duration::from_secs(14));
    let rows = rows(&model);
    let came: Vec<_> = rows.iter().filter(|row| row.kind == Kind::Came).collect();
    assert_eq!(came.iter().map(|row| row.code).collect::<Vec<_>>(), [Code::Overruled], "{rows:#?}");
    assert_eq!(came[0].from.as_ref().and_then(|from| from.address), Some(member(2)));
}

#[test]
fn a_start_that_failed_gives_no_row_and_a_removal_that_failed_gives_one_only_when_it_is_gone() {
    let mut model = bystander();
    model.first.server = without_db2();
    model.run(ms(400));
    let adds = |action: &Action| matches!(action, Action::Vip(_, VipAction::AddAddress { .. }));
    assert_eq!(rows_where(&model, adds), []);
    let mut model = holder();
    model.tell(Event::Release);
    model.run(ms(100));
    let removes = |action: &Action| matches!(action, Action::Vip(_, VipAction::RemoveAddress { .. }));
    assert_eq!(rows_where(&model, removes), []);
    only(&rows(&model), Kind::Left, Code::Drained);
}

#[test]
fn an_agent_that_stood_still_past_its_lease_tells_that_the_lease_ended() {
    let mut model = holder();
    model.now = model.now + Duration::from_secs(60);
    model.vip_here = false;
    model.tell(Event::Wake);
    model.run(Duration::from_secs(3));
    back(&rows(&model), Code::LeaseEnded);
}

#[test]
fn a_suspended_host_tells_how_long() {
    let mut model = holder();
    model.now = model.now + Duration::from_secs(60);
    model.tell(Event::ClocksParted { suspended: Duration::from_secs(60), wall_step_ms: 0 });
    model.run(ms(100));
    let rows = rows(&model);
    let row = rows.iter().find(|row| row.kind == Kind::Left).unwrap();
    assert_eq!(row.code, Code::HostSuspended);
    assert!(row.sentence("orders").contains("60.0 s"), "{}", row.sentence("orders"));
}

#[test]
fn with_hold_with_majority_a_lost_gateway_gives_no_row() {
    let mut model = ModelHost::new(Answers::all_pass(), true);
    model.vip.gateway_lost = GatewayLost::HoldWithMajority;
    model.start_trace("hold with majority");
    model.run(Duration::from_secs(1));
    model.first.gateway = Fact::Known(Gateway::Lost { misses: 3 });
    model.run(Duration::from_secs(10));
    assert_eq!(rows(&model), []);
    assert_eq!(model.state.vips[&VipId::FIRST].other_holder, None, "{:?}", mac(2));
}

#[test]
fn every_code_is_written_as_it_is_named() {
    for code in Code::ALL {
        assert_eq!(serde_json::to_string(&code).unwrap(), format!("\"{}\"", code.word()));
        let row = Row {
            vip: VipId::FIRST,
            kind: Kind::Came,
            code,
            at: decide::time::Time(0),
            decided: decide::time::Time(0),
            from: None,
            to: None,
            detail: None,
            split: decide::history::Split::default(),
            marks: Vec::new(),
        };
        for kind in [Kind::Came, Kind::Left] {
            let sentence = Row { kind, ..row.clone() }.sentence("orders");
            assert!(
                sentence.starts_with("orders ") && !sentence.to_lowercase().contains("warn"),
                "{sentence}"
            );
        }
    }
}
