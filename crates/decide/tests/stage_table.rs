//! S8–S13: the legacy program's stages and its whole table, every cell, on a virtual clock.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cell;
mod model_host;

use std::net::IpAddr;
use std::time::Duration;

use cell::{Stage, every_cell, second_check_is_a_new_wish};
use decide::Decision;
use decide::State;
use decide::checks::{Finding, Verdict};
use decide::input::{Event, Fact, Gateway, MemberState, NotInGroup, Role, Seen, Server, ViewId, Why};
use decide::net::VipId;
use decide::output::{Action, Reason, StatMark, VipAction};
use decide::policy::VipGateway;
use decide::time::Time;
use decide::vip::VipState;
use model_host::{Answers, ModelHost, group, hung, member, ms, not_in_group, policy, primary, secondary};

#[test]
fn s13_every_cell_of_the_table_in_the_seeds_terms() {
    let cells = every_cell();
    assert_eq!(cells.len(), 3 * 5 * 3 * 2 * 2 * 3);
    for cell in cells {
        let model = cell.play();
        let found = (model.stage_5(), model.vip_here);
        assert_eq!(found, cell.legacy_says(), "{cell:?}\n{:#?}", model.reasons);
    }
}

#[test]
fn s13_every_cell_of_the_table_in_the_invariants_terms() {
    for cell in every_cell() {
        let model = cell.play();
        let started = model.said(|reason| matches!(reason, Reason::Started { .. }));
        let stopped = model.said(|reason| matches!(reason, Reason::Stopped { .. }));
        assert!(!second_check_is_a_new_wish(&cell) || !started, "{cell:?}: a wish out of nothing");
        if started {
            // EVIDENCE
            assert_eq!((cell.should_be(), cell.second), (Stage::Pass, Stage::Pass), "{cell:?}");
            assert!(!cell.answered, "ONE-HOLDER: {cell:?}");
            assert!(
                model.count(|action| *action == Action::Vip(VipId::FIRST, VipAction::SendProbe)) >= 3,
                "{cell:?}"
            );
        }
        if cell.should_be() == Stage::Unknown || cell.second == Stage::Unknown {
            assert!(!started, "EVIDENCE: {cell:?}");
            assert!(!stopped || cell.server_was_down(), "UNKNOWN-IS-NOT-NO: {cell:?}");
        }
        if cell.should_be() == Stage::Pass && cell.vip_here {
            assert!(!stopped, "NO-FLAP: {cell:?}");
            assert_eq!(
                model.count(|action| matches!(action, Action::Vip(_, VipAction::RemoveAddress { .. }))),
                0,
                "{cell:?}"
            );
        }
        // LEASE: never longer than the policy says, and only where the VIP is held or started.
        for (_, action) in &model.actions {
            if let Action::Vip(
                _,
                VipAction::AddAddress { lifetime, .. } | VipAction::RenewAddress { lifetime, .. },
            ) = action
            {
                assert_eq!(*lifetime, model.vip.lease, "{cell:?}");
                assert!(cell.vip_here || started, "{cell:?}");
            }
        }
    }
}

#[test]
fn s13_up_and_the_vip_still_answers_keeps_and_looks_again_and_starts_when_it_stops_answering() {
    let mut model = ModelHost::new(Answers::all_pass(), false);
    model.answering = Some(2);
    model.run(Duration::from_secs(20));
    assert_eq!((model.stage_5(), model.vip_here), (1, false));
    model.answering = None;
    model.run(Duration::from_secs(2));
    assert_eq!((model.stage_5(), model.vip_here), (2, true));
}

#[test]
fn s13_down_and_not_here_does_nothing() {
    let mut model = ModelHost::new(Answers { server: secondary(), ..Answers::all_pass() }, false);
    model.run(Duration::from_secs(60));
    assert_eq!(model.stage_5(), 1);
    assert_eq!(
        model.count(|action| matches!(
            action,
            Action::Vip(_, VipAction::SendProbe | VipAction::RemoveAddress { .. })
        )),
        0
    );
}

fn stages_of(answers: &Answers) -> Decision {
    let mut model = ModelHost::new(answers.clone(), false);
    model.run(Duration::from_secs(1));
    model.last.unwrap()
}

fn with_server(server: Fact<Server>) -> Answers {
    Answers { server, ..Answers::all_pass() }
}

#[test]
fn s8_multi_primary_mode_has_no_primary_to_follow() {
    let decision = stages_of(&with_server(not_in_group(NotInGroup::MultiPrimary)));
    assert!(matches!(decision.stages.primary.0, Finding::Failed(_)));
    assert!(decision.each_reason().last().unwrap().to_string().contains("multi-primary"), "{decision:?}");
}

#[test]
fn s9_an_address_on_another_interface_is_no_member() {
    let decision = stages_of(&Answers { interface: "eth1", ..Answers::all_pass() });
    assert!(matches!(decision.stages.member.0, Finding::Failed(_)));
    assert_eq!(stages_of(&Answers::all_pass()).stages.member.0, Finding::Passed);
}

#[test]
fn s9_a_host_whose_address_is_no_members_never_starts_the_vip() {
    let mut model = ModelHost::new(Answers::all_pass(), false);
    model.group.members.remove(&member(1));
    model.run(Duration::from_secs(20));
    assert!(!model.vip_here);
}

#[test]
fn s10_wrong_password_counts_as_connectable() {
    let decision = stages_of(&with_server(Fact::Unknown(Why::WrongPassword("1045".to_owned()))));
    assert_eq!(decision.stages.server.0, Finding::Passed);
    assert!(matches!(decision.stages.primary.0, Finding::Unknown(_)));
}

#[test]
fn s10_wrong_password_never_ends_a_holding_and_never_starts_one() {
    for vip_here in [true, false] {
        let mut model =
            ModelHost::new(with_server(Fact::Unknown(Why::WrongPassword("1045".to_owned()))), vip_here);
        model.run(Duration::from_secs(600));
        assert_eq!(model.vip_here, vip_here);
    }
}

#[test]
fn s10_refused_is_a_no_and_silence_is_not_known() {
    let refused = with_server(Fact::Known(Server::Refused("connection refused".to_owned())));
    assert!(matches!(stages_of(&refused).stages.server.0, Finding::Failed(_)));
    assert!(matches!(stages_of(&with_server(Fact::Unknown(hung()))).stages.server.0, Finding::Unknown(_)));
}

#[test]
fn s11_only_online_primary_writable_with_a_majority_in_the_newest_view_passes() {
    let passes = |change: fn(&mut decide::input::GroupView)| {
        let mut view = group(1, 1, 545, false);
        change(&mut view);
        stages_of(&with_server(Fact::Known(Server::Member(view)))).stages.primary.0 == Finding::Passed
    };
    assert!(passes(|_| {}));
    assert!(passes(|view| view.members[2].state = MemberState::Unreachable));
    assert!(!passes(|view| view.members[1..]
        .iter_mut()
        .for_each(|row| row.state = MemberState::Unreachable)));
    assert!(!passes(|view| view.members[0].role = Role::Secondary));
    assert!(!passes(|view| view.members[0].role = Role::None));
    for state in [
        MemberState::Recovering,
        MemberState::Offline,
        MemberState::Error,
        MemberState::Unreachable,
        MemberState::Other,
    ] {
        let mut view = group(1, 1, 545, false);
        view.members[0].state = state;
        assert!(matches!(
            stages_of(&with_server(Fact::Known(Server::Member(view)))).stages.primary.0,
            Finding::Failed(_)
        ));
    }
    assert!(!passes(|view| view.super_read_only = true));
    assert!(!passes(|view| view.local = "uuid-9".to_owned()));
    assert!(!passes(|view| view.members.clear()));
}

#[test]
fn s11_half_of_four_unreachable_is_no_majority() {
    let mut view = group(1, 1, 545, false);
    let mut fourth = view.members[2].clone();
    fourth.id = "uuid-4".to_owned();
    view.members.push(fourth);
    view.members[2].state = MemberState::Unreachable;
    assert!(view.has_majority());
    view.members[3].state = MemberState::Unreachable;
    assert!(!view.has_majority());
}

#[test]
fn s11_a_view_older_than_the_newest_seen_does_not_count() {
    let mut model = ModelHost::new(Answers::all_pass(), false);
    model.answering = Some(2);
    model.peers.insert(member(2), Fact::Known(Server::Member(group(2, 2, 546, false))));
    model.run(Duration::from_secs(3));
    assert_eq!(model.state.facts.views.newest, Some(ViewId::new(model_host::BIRTH, 546)));
    model.answering = None;
    model.run(Duration::from_secs(30));
    assert!(!model.vip_here, "the old primary claims back what the new one let go of");
}

#[test]
fn s12_a_lost_gateway_stops_the_vip_at_once_after_the_second_check() {
    let mut model = ModelHost::settled_holder();
    model.first.gateway = Fact::Known(Gateway::Lost { misses: 3 });
    model.run(ms(250));
    assert_eq!((model.stage_5(), model.vip_here), (0, false));
}

#[test]
fn s12_a_gateway_that_is_not_known_stops_and_starts_nothing() {
    for vip_here in [true, false] {
        let mut model = ModelHost::new(
            Answers { gateway: Fact::Unknown(Why::Other("no socket".to_owned())), ..Answers::all_pass() },
            vip_here,
        );
        model.run(Duration::from_secs(300));
        assert_eq!(model.vip_here, vip_here);
    }
}

#[test]
fn s14_starting_tells_the_network_and_stopping_lets_the_next_holder_know() {
    let mut model = ModelHost::new(Answers::all_pass(), false);
    model.run(Duration::from_secs(1));
    let place = |wanted: &dyn Fn(&Action) -> bool| {
        model.actions.iter().position(|(_, action)| wanted(action)).unwrap()
    };
    let added = place(&|action| matches!(action, Action::Vip(_, VipAction::AddAddress { .. })));
    assert!(added < place(&|action| *action == Action::Vip(VipId::FIRST, VipAction::Announce)));
    model.first.server = secondary();
    let from = model.actions.len();
    model.run(Duration::from_secs(3));
    let stopping: Vec<_> = model.actions[from..]
        .iter()
        .map(|(_, action)| action)
        .skip_while(|action| !matches!(action, Action::Vip(_, VipAction::KeepLatePackets { .. })))
        .take(5)
        .collect();
    assert!(
        matches!(
            stopping[..],
            [
                Action::Vip(_, VipAction::KeepLatePackets { .. }),
                Action::Vip(_, VipAction::RemoveAddress { .. }),
                Action::Vip(VipId::FIRST, VipAction::AnnounceRelease(None)),
                Action::Vip(VipId::FIRST, VipAction::ListConnections),
                Action::WriteStat(StatMark::Stopped)
            ]
        ),
        "{stopping:?}"
    );
}

fn marks(model: &ModelHost) -> Vec<(Time, StatMark)> {
    model
        .actions
        .iter()
        .filter_map(|(at, action)| match action {
            Action::WriteStat(mark) => Some((*at, *mark)),
            _ => None,
        })
        .collect()
}

#[test]
fn s6_stat_goes_back_to_1_after_20_loops() {
    let mut model = ModelHost::new(Answers::all_pass(), false);
    model.run(Duration::from_secs(200));
    let [(started, StatMark::Started), (quiet, StatMark::Quiet)] = marks(&model)[..] else {
        panic!("{:?}", marks(&model))
    };
    assert_eq!(quiet.since(started), model.group.sleeptime * 20);
}

#[test]
fn s6_a_restart_goes_on_counting_where_the_file_was_left() {
    let mut model = ModelHost::new(Answers::all_pass(), true);
    let begun = model.now;
    model.tell(Event::StatFile(Some((StatMark::Started, Duration::from_secs(100)))));
    model.run(Duration::from_secs(60));
    assert_eq!(marks(&model), [(begun + Duration::from_secs(40), StatMark::Quiet)]);
}

#[test]
fn s6_a_missing_or_outlived_mark_is_quiet_at_once() {
    for found in [None, Some((StatMark::Stopped, Duration::from_secs(1000)))] {
        let mut model = ModelHost::new(Answers::all_pass(), true);
        model.tell(Event::StatFile(found));
        assert_eq!(marks(&model).len(), 1);
    }
}

#[test]
fn s7_start_adopts() {
    for server in [primary(), Fact::Unknown(hung())] {
        let mut model = ModelHost::new(with_server(server), true);
        model.run(Duration::from_secs(20));
        assert!(model.said(|reason| *reason == Reason::Adopted));
        assert_eq!(model.stage_5(), 1);
        assert_eq!(
            model.count(|action| matches!(
                action,
                Action::Vip(
                    _,
                    VipAction::RemoveAddress { .. } | VipAction::SendProbe | VipAction::AnnounceRelease(_)
                )
            )),
            0
        );
    }
}

#[test]
fn s7_stop_leaves_the_vip_and_makes_it_outlive_the_lease() {
    let mut model = ModelHost::settled_holder();
    let decision = model.tell(Event::Stopping);
    assert_eq!(
        decision.actions,
        [Action::Vip(VipId::FIRST, VipAction::RenewAddress { interface: "eth0".to_owned(), lifetime: None })]
    );
    assert_eq!(decision.stage_5(), 1);
    let said = decision.each_reason().last().unwrap().to_string();
    assert!(said.contains("on eth0") && said.contains("without a lease"), "{said}");
}

#[test]
fn s7_stop_without_the_vip_does_nothing() {
    let mut model = ModelHost::new(with_server(secondary()), false);
    model.run(Duration::from_secs(5));
    assert_eq!(model.tell(Event::Stopping).actions, []);
}

#[test]
fn s1_reasons_have_no_word_that_looks_like_a_switch_in_the_log() {
    let mut texts: Vec<String> = Vec::new();
    for cell in every_cell().iter().filter(|cell| cell.answered == cell.vip_here) {
        texts.extend(cell.play().reasons.iter().map(ToString::to_string));
    }
    texts.sort();
    texts.dedup();
    for text in texts {
        assert!(!text.to_lowercase().contains("warn"), "{text}");
    }
}

#[test]
fn a_new_agent_knows_nothing_and_asks_for_everything() {
    let policy = policy();
    let mut state = State::new(&policy, Time(5));
    let decision = decide::step(&policy, &mut state, &Event::Wake, Time(5));
    for question in [Action::AskHost, Action::AskServer, Action::AskGateway, Action::LearnNeighbors] {
        assert!(decision.actions.contains(&question), "{question:?}");
    }
    assert_eq!(state.vips[&VipId::FIRST].state, VipState::Absent);
    assert!(matches!(state.stages(&policy).verdict_to_start(), Verdict::Unknown(..)));
}

const OWN_GATEWAY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 78, 0, 254));

fn tells_own(model: &mut ModelHost, own: IpAddr, gateway: Gateway) {
    let seen = Seen { asked_at: model.now, fact: Fact::Known(gateway) };
    model.tell(Event::OwnGateway(own, seen));
}

#[test]
fn a_vip_with_a_gateway_of_its_own_goes_by_that_one_alone() {
    let mut model = ModelHost::new(Answers::all_pass(), false);
    model.vip.gateway = VipGateway::Own(OWN_GATEWAY);
    model.run(ms(2_000));
    assert!(model.vip_here, "its own answers; the cluster's was never asked");

    let seen = Seen { asked_at: model.now, fact: Fact::Known(Gateway::Lost { misses: 16 }) };
    model.tell(Event::Gateway(seen));
    let another = "10.79.0.254".parse().unwrap();
    tells_own(&mut model, another, Gateway::Lost { misses: 16 });
    model.run(ms(2_000));
    assert!(model.vip_here, "the cluster's gateway and another VIP's are lost");

    model.first.gateway = Fact::Known(Gateway::Lost { misses: 16 });
    model.run(ms(500));
    assert!(!model.vip_here);
    let names_it =
        |reason: &Reason| reason.to_string().contains("the VIP's own gateway 10.78.0.254 has missed 16");
    assert!(model.said(names_it), "{:?}", model.reasons);
    assert_eq!(model.breach, None);
}

#[test]
fn a_vip_whose_own_gateway_is_not_known_is_not_taken_though_the_clusters_answers() {
    let mut model = ModelHost::new(Answers::all_pass(), false);
    model.first.gateway = Fact::Unknown(Why::Other("no socket".to_owned()));
    model.vip.gateway = VipGateway::Own(OWN_GATEWAY);
    for _ in 0..20 {
        let seen = Seen { asked_at: model.now, fact: Fact::Known(Gateway::Reachable) };
        model.tell(Event::Gateway(seen));
        model.run(ms(100));
    }
    assert!(!model.vip_here);
    assert_eq!(model.breach, None);
}

#[test]
fn a_vip_for_which_no_gateway_is_asked_is_taken_and_kept_while_the_clusters_is_lost() {
    let lost = Answers { gateway: Fact::Known(Gateway::Lost { misses: 16 }), ..Answers::all_pass() };
    for gateway in [VipGateway::Nobody, VipGateway::TheClusters] {
        let mut model = ModelHost::new(lost.clone(), false);
        model.vip.gateway = gateway;
        model.run(ms(30_000));
        assert_eq!(model.vip_here, gateway == VipGateway::Nobody);
        assert_eq!(model.breach, None);
    }
}
