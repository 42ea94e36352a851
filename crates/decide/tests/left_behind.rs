//! Who is connected when the VIP leaves: none is missed, for one that is in no list is told nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod model_host;

use decide::input::{Event, Says};
use decide::net::VipId;
use decide::output::{Action, VipAction};
use model_host::{ModelHost, ms, secondary};

const LIST: Action = Action::Vip(VipId::FIRST, VipAction::ListConnections);

fn removes(action: &Action) -> bool {
    matches!(action, Action::Vip(_, VipAction::RemoveAddress { .. }))
}

fn keeps_late_packets(action: &Action) -> bool {
    matches!(action, Action::Vip(_, VipAction::KeepLatePackets { .. }))
}

fn by_order(model: &mut ModelHost) {
    model.tell(Event::Release);
}

fn by_a_claim(model: &mut ModelHost) {
    model.first.server = secondary();
    model.run(ms(200));
    model.frame(2, Says::Probe);
    model.run(ms(20));
}

fn by_itself(model: &mut ModelHost) {
    model.first.server = secondary();
    model.run(ms(3_000));
}

/// What a client sends is kept from before the address goes, so that it is passed on where the list has missed its connection; and the
/// list is of what is there once no connection can be made any more.
#[test]
fn whoever_connects_until_the_address_is_gone_is_listed_or_has_its_packets_passed_on() {
    for leaves in [by_order, by_a_claim, by_itself] {
        let mut model = ModelHost::settled_holder();
        let before = model.actions.len();
        leaves(&mut model);
        let orders = &model.actions[before..];
        let place = |wanted: &dyn Fn(&Action) -> bool| {
            let mut places = (0..orders.len()).filter(|place| wanted(&orders[*place].1));
            let only = places.next().expect("ordered");
            assert_eq!(places.next(), None, "once: {orders:?}");
            only
        };
        let (kept, removed, listed) =
            (place(&keeps_late_packets), place(&removes), place(&|action| *action == LIST));
        assert!(kept < removed && removed < listed, "{orders:?}");
        assert_eq!(orders[removed].0, orders[listed].0, "with one decision");
    }
}

#[test]
fn where_the_address_is_removed_again_the_list_is_made_again() {
    let mut model = ModelHost::settled_holder();
    model.tell(Event::Release);
    // It was not removed, or was put back since.
    model.vip_here = true;
    model.run(ms(700));
    let both: Vec<bool> = (model.actions.iter())
        .map(|(_, action)| action)
        .filter(|action| removes(action) || **action == LIST)
        .map(removes)
        .collect();
    assert_eq!(both, [true, false, true, false], "a list after each removal");
}
