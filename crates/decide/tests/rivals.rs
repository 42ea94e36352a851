//! Two members that claim at once: what is known of the other's server decides, and where nothing is, the lower address.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod model_host;

use std::time::Duration;

use decide::input::{Event, Fact, GroupView, Says, Server, ViewId};
use decide::output::Action;
use decide::time::Time;
use model_host::{Answers, ModelHost, group, mac, member, ms};

/// Its address is lower than this member's; member 2's is higher.
const LOWER: u8 = 0;

/// When this member took the VIP, `rival` having probed all the while, if it did within two seconds.
fn taken_beside(rival: u8, its_server: Option<Fact<Server>>) -> Option<Duration> {
    let mut model = ModelHost::new(Answers::all_pass(), false);
    model.group.members.insert(member(LOWER), "eth0".to_owned());
    model.tell(Event::Neighbor { address: member(LOWER), mac: mac(LOWER) });
    if let Some(fact) = its_server {
        model.peers.insert(member(rival), fact);
    }
    let begun: Time = model.now;
    model.run(ms(5));
    while !model.vip_here {
        model.frame(rival, Says::Probe);
        model.run(ms(10));
        if model.now.since(begun) > Duration::from_secs(2) {
            return None;
        }
    }
    Some(model.now.since(begun))
}

fn known(rival: u8, primary: u8, counter: u64, super_read_only: bool) -> Fact<Server> {
    let view = group(2, primary, counter, super_read_only);
    let view = GroupView { local: format!("uuid-{}", rival.max(2)), ..view };
    Fact::Known(Server::Member(view))
}

/// It leads a group of which nobody can say whether it is older.
fn leads_another_group() -> Fact<Server> {
    let view = Some(ViewId::new("99999", 7));
    Fact::Known(Server::Member(GroupView { view, ..group(2, 2, 7, false) }))
}

#[test]
fn of_two_that_lead_the_one_with_the_lower_address_takes_it() {
    assert_eq!(taken_beside(LOWER, Some(leads_another_group())), None);
    assert!(taken_beside(2, Some(leads_another_group())).is_some_and(|after| after < ms(200)));
}

#[test]
fn a_rival_that_leads_in_an_older_view_is_not_waited_for() {
    for rival in [LOWER, 2] {
        let after = taken_beside(rival, Some(known(rival, 2, 544, false)));
        assert!(after.is_some_and(|after| after < ms(200)), "{rival}: {after:?}");
    }
}

#[test]
fn a_rival_whose_server_does_not_lead_is_not_waited_for() {
    let refused = Fact::Known(Server::Refused("refused".to_owned()));
    for rival in [LOWER, 2] {
        for server in [known(rival, 1, 545, true), known(rival, 2, 545, true), refused.clone()] {
            let after = taken_beside(rival, Some(server.clone()));
            assert!(after.is_some_and(|after| after < ms(200)), "{rival}, {server:?}: {after:?}");
        }
    }
}

#[test]
fn a_rival_of_which_nothing_is_known_goes_first_with_the_lower_address_and_has_half_a_second_with_the_higher()
{
    assert_eq!(taken_beside(LOWER, None), None);
    let after = taken_beside(2, None);
    assert!(after.is_some_and(|after| (ms(500)..ms(700)).contains(&after)), "{after:?}");
}

#[test]
fn two_that_waited_for_the_same_stranger_do_not_take_it_at_the_same_moment() {
    let mut model = ModelHost::new(Answers::all_pass(), false);
    model.answering = Some(9);
    let beside_a_rival = |model: &mut ModelHost, length: Duration| {
        let end = model.now + length;
        while model.now < end && !model.vip_here {
            model.frame(2, Says::Probe);
            model.run(ms(10));
        }
    };
    beside_a_rival(&mut model, Duration::from_secs(2));
    assert!(!model.vip_here, "the stranger has it");
    model.answering = None;
    beside_a_rival(&mut model, ms(550));
    assert!(!model.vip_here, "the rival may know more, and takes it now");
    beside_a_rival(&mut model, ms(500));
    assert!(model.vip_here, "it had the time");
}

#[test]
fn a_rival_that_falls_silent_is_waited_for_no_longer_than_two_and_a_half_of_its_slowest_probes() {
    let mut model = ModelHost::new(Answers::all_pass(), false);
    model.group.members.insert(member(LOWER), "eth0".to_owned());
    model.tell(Event::Neighbor { address: member(LOWER), mac: mac(LOWER) });
    model.run(ms(5));
    for _ in 0..20 {
        model.frame(LOWER, Says::Probe);
        model.run(ms(20));
    }
    assert!(!model.vip_here);
    model.run(ms(450));
    assert!(!model.vip_here, "it may only be slow");
    model.run(ms(150));
    assert!(model.vip_here, "{:#?}", model.reasons.last());
}

#[test]
fn a_holder_that_answers_each_probe_is_asked_for_its_view_once_a_second() {
    let mut model = ModelHost::new(Answers::all_pass(), false);
    model.peers.insert(member(2), known(2, 2, 545, true));
    model.answering = Some(2);
    model.run(Duration::from_secs(10));
    let asked = model.count(|action| *action == Action::AskPeer(member(2)));
    assert!((9..=12).contains(&asked), "{asked} times in 10 s");
}
