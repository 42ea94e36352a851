//! The VIP goes, is doubled, or is put where it never may be, and not by the agent.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod model_host;

use std::time::Duration;

use decide::input::{Event, Fact, Host, HostAddress, Interface, Says, Seen};
use decide::net::VipId;
use decide::output::{Action, Outcome, Reason, VipAction};
use decide::vip::VipState;
use model_host::{
    Answers, ModelHost, VIP, group_policy, host, hung, limits, mac, member, ms, primary, secondary,
};

/// No member's.
const STRANGER: u8 = 66;

fn on(interface: &str, prefix: u8) -> HostAddress {
    HostAddress { address: VIP, prefix, interface: interface.to_owned() }
}

/// This member on eth0, another interface, and these copies of the VIP.
fn with_copies(copies: &[HostAddress]) -> Host {
    let mut shown = host("eth0", false);
    shown.interfaces.push(Interface { name: "eth1".to_owned(), running: true });
    shown.addresses.push(HostAddress {
        address: "192.0.2.1".parse().unwrap(),
        prefix: 24,
        interface: "eth1".into(),
    });
    shown.addresses.extend(copies.iter().cloned());
    shown
}

fn shows(model: &mut ModelHost, host: Host) -> Vec<Action> {
    let seen = Seen { asked_at: model.now, fact: Fact::Known(host) };
    model.tell(Event::Host(seen)).actions
}

fn removes(interface: &str) -> Action {
    Action::Vip(VipId::FIRST, VipAction::RemoveAddress { interface: interface.to_owned() })
}

#[test]
fn an_address_that_was_flushed_is_back_within_a_fifth_of_a_second_and_the_network_was_asked_first() {
    let mut model = ModelHost::settled_holder();
    model.vip_here = false;
    let probes = model.count(|action| *action == Action::Vip(VipId::FIRST, VipAction::SendProbe));
    let event = model.host_event(model.now);
    model.tell(event);
    model.run(ms(200));
    assert!(model.vip_here);
    assert!(model.count(|action| *action == Action::Vip(VipId::FIRST, VipAction::SendProbe)) >= probes + 3);
    assert!(model.said(|reason| matches!(reason, Reason::RemovedByOther(_)) && reason.is_error()));
}

#[test]
fn an_address_that_was_flushed_is_back_as_soon_where_it_was_just_defended_against_a_stranger() {
    let mut model = ModelHost::settled_holder();
    model.frame(STRANGER, Says::Announcement);
    model.run(ms(700));
    assert!(model.said(|reason| *reason == Reason::Defended(mac(STRANGER))));
    model.vip_here = false;
    let event = model.host_event(model.now);
    model.tell(event);
    model.run(ms(100));
    assert!(model.vip_here);
}

#[test]
fn an_address_that_was_flushed_is_asked_for_longer_where_a_strangers_use_of_it_was_not_answered_yet() {
    let mut model = ModelHost::settled_holder();
    model.first.server = Fact::Unknown(hung());
    model.frame(STRANGER, Says::Announcement);
    model.run(ms(700));
    let probes = model.count(|action| *action == Action::Vip(VipId::FIRST, VipAction::SendProbe));
    model.first.server = primary();
    model.vip_here = false;
    let event = model.host_event(model.now);
    model.tell(event);
    model.run(ms(400));
    assert!(model.vip_here);
    assert_eq!(model.count(|action| *action == Action::Vip(VipId::FIRST, VipAction::SendProbe)), probes + 10);
}

#[test]
fn an_address_that_went_before_the_kernel_showed_it_is_missed_soon() {
    let mut model = ModelHost::new(Answers::all_pass(), false);
    while !model.vip_here {
        model.run(ms(1));
    }
    // Removed at once; the notifications of its coming and going were read as one look.
    model.vip_here = false;
    let from = model.now;
    while !model.vip_here {
        model.run(ms(1));
        assert!(model.now.since(from) < ms(300), "{:#?}", model.reasons);
    }
}

#[test]
fn a_program_that_removes_the_vip_again_and_again_is_spoken_of_once() {
    let mut model = ModelHost::settled_holder();
    for _ in 0..8 {
        model.vip_here = false;
        let event = model.host_event(model.now);
        model.tell(event);
        model.run(Duration::from_secs(2));
        assert!(model.vip_here);
    }
    let said: Vec<_> =
        model.reasons.iter().filter(|reason| matches!(reason, Reason::RemovedAgain(..))).collect();
    assert_eq!(said, [&Reason::RemovedAgain("eth0".to_owned(), 3)]);
    assert!(said[0].is_error());
}

#[test]
fn a_failed_attempt_is_repeated_as_soon_as_the_interfaces_have_changed() {
    let mut model = ModelHost::new(Answers::all_pass(), false);
    while !model.vip_here {
        model.run(ms(1));
    }
    model.vip_here = false;
    let action = Action::Vip(
        VipId::FIRST,
        VipAction::AddAddress { interface: "eth0".to_owned(), lifetime: limits().lease },
    );
    model.tell(Event::Done { action, outcome: Outcome::Failed("no such interface".to_owned()) });
    model.run(ms(300));
    assert!(!model.vip_here, "not at once: it would fail again");
    let mut other = host("eth0", false);
    other.interfaces[0].running = false;
    shows(&mut model, other);
    model.run(ms(150));
    assert!(model.vip_here, "{:#?}", model.reasons);
}

#[test]
fn a_copy_on_another_interface_is_removed_and_the_vip_itself_stays() {
    let mut model = ModelHost::settled_holder();
    let actions = shows(&mut model, with_copies(&[on("eth0", 32), on("eth1", 32)]));
    assert!(actions.contains(&removes("eth1")) && !actions.contains(&removes("eth0")), "{actions:?}");
    assert!(model.said(|reason| *reason == Reason::CopyElsewhere("eth1".to_owned()) && reason.is_error()));
}

#[test]
fn a_copy_on_another_interface_is_removed_where_the_vip_is_not_held_and_is_no_holding() {
    let mut model = ModelHost::new(Answers { server: secondary(), ..Answers::all_pass() }, false);
    model.run(Duration::from_secs(5));
    let mut is_removed = || shows(&mut model, with_copies(&[on("eth1", 32)])).contains(&removes("eth1"));
    assert!(is_removed());
    // It is still there: again, and not at once.
    assert!(!is_removed());
    model.now = model.now + ms(500);
    assert!(shows(&mut model, with_copies(&[on("eth1", 32)])).contains(&removes("eth1")));
    assert!(!model.vip_here);
}

#[test]
fn a_copy_with_another_prefix_is_replaced_by_the_leased_address_at_once() {
    let mut model = ModelHost::settled_holder();
    let actions = shows(&mut model, with_copies(&[on("eth0", 24), on("eth0", 32)]));
    let renewal = Action::Vip(
        VipId::FIRST,
        VipAction::RenewAddress { interface: "eth0".to_owned(), lifetime: limits().lease },
    );
    assert!(actions.contains(&renewal), "{actions:?}");
    assert!(
        model.said(|reason| *reason == Reason::CopyWithPrefix("eth0".to_owned(), 24) && reason.is_error())
    );
    let again = shows(&mut model, with_copies(&[on("eth0", 24), on("eth0", 32)]));
    assert!(!again.contains(&renewal), "not with each look: {again:?}");
}

#[test]
fn a_vip_with_a_prefix_length_of_its_own_is_known_by_it_and_the_full_one_is_the_copy() {
    let mut model = ModelHost::settled_holder();
    model.vip.prefix = Some(24);
    let renews = |actions: &[Action]| {
        actions.iter().any(|action| matches!(action, Action::Vip(_, VipAction::RenewAddress { .. })))
    };
    // A lease that is due soon is renewed at the first look.
    shows(&mut model, with_copies(&[on("eth0", 24)]));
    assert!(!renews(&shows(&mut model, with_copies(&[on("eth0", 24)]))), "as it is to be");
    assert!(renews(&shows(&mut model, with_copies(&[on("eth0", 32)]))), "of the file before");
    assert!(model.said(|reason| *reason == Reason::CopyWithPrefix("eth0".to_owned(), 32)));
}

#[test]
fn without_a_lease_the_predecessors_prefix_is_left_alone() {
    let mut model = ModelHost::new(Answers::all_pass(), true);
    model.vip.lease = None;
    shows(&mut model, with_copies(&[on("eth0", 8)]));
    model.run(Duration::from_secs(20));
    assert_eq!(
        model.count(|action| matches!(
            action,
            Action::Vip(
                _,
                VipAction::AddAddress { .. }
                    | VipAction::RenewAddress { .. }
                    | VipAction::RemoveAddress { .. }
            )
        )),
        0
    );
}

#[test]
fn a_renamed_interface_is_no_members_interface_and_loses_the_vip() {
    let mut model = ModelHost::settled_holder();
    model.first.interface = "lan0";
    let event = model.host_event(model.now);
    model.tell(event);
    model.run(ms(200));
    assert!(model.actions.iter().any(|(_, action)| *action == removes("lan0")), "{:#?}", model.reasons);
    assert!(group_policy().members.contains_key(&member(1)));
}

#[test]
fn a_interface_that_has_its_carrier_again_makes_the_holder_announce_at_once_and_another_interface_does_not() {
    for (interface, announces) in [("eth0", true), ("eth1", false)] {
        let mut model = ModelHost::settled_holder();
        model.run(Duration::from_secs(120));
        let mut shown = with_copies(&[on("eth0", 32)]);
        let said = |actions: Vec<Action>| actions.contains(&Action::Vip(VipId::FIRST, VipAction::Announce));
        shown.interfaces.iter_mut().find(|known| known.name == interface).unwrap().running = false;
        assert!(!said(shows(&mut model, shown.clone())));
        model.now = model.now + ms(1);
        shown.interfaces.iter_mut().find(|known| known.name == interface).unwrap().running = true;
        assert_eq!(said(shows(&mut model, shown)), announces, "{interface}");
    }
}

#[test]
fn a_look_at_the_addresses_that_a_later_one_overtook_changes_nothing() {
    let mut model = ModelHost::settled_holder();
    let gone = Event::Host(Seen {
        asked_at: model.state.facts.host.asked_at - ms(1),
        fact: Fact::Known(host("eth0", false)),
    });
    model.tell(gone);
    model.run(ms(100));
    assert!(!model.said(|reason| matches!(reason, Reason::RemovedByOther(_))), "{:#?}", model.reasons);
}

#[test]
fn a_renewal_that_fails_once_leaves_the_vip_held_as_it_was() {
    let mut model = ModelHost::settled_holder();
    let since = |model: &ModelHost| match &model.machine().state {
        VipState::Holding(hold) => hold.since,
        _ => panic!("not held"),
    };
    let before = since(&model);
    let action = Action::Vip(
        VipId::FIRST,
        VipAction::RenewAddress { interface: "eth0".to_owned(), lifetime: limits().lease },
    );
    model.tell(Event::Done { action, outcome: Outcome::Failed("busy".to_owned()) });
    model.run(Duration::from_secs(1));
    assert_eq!(since(&model), before);
}
