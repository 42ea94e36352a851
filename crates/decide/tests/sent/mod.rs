//! What may be sent to an agent, made at random.
#![allow(unreachable_pub)]

use std::net::IpAddr;
use std::time::Duration;

use decide::input::{
    Event, Fact, Frame, Gateway, GroupView, MemberState, NotInGroup, Says, Seen, Server, ViewId, Why,
};
use decide::net::VipId;
use decide::output::{Action, Outcome, StatMark, VipAction};
use decide::time::Time;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::model_host::{self, group, host, mac, member, ms};

/// An event, with the age of its question where it has one.
#[derive(Clone, Debug)]
pub enum Sent {
    Host(Fact<(&'static str, bool)>),
    Server(Fact<Server>),
    Gateway(Fact<Gateway>),
    Peer(IpAddr, Fact<Server>),
    Other(Event),
}

impl Sent {
    pub fn event(&self, asked_at: Time) -> Event {
        match self.clone() {
            Self::Host(Fact::Known((interface, here))) => {
                Event::Host(Seen { asked_at, fact: Fact::Known(host(interface, here)) })
            }
            Self::Host(Fact::Unknown(why)) => Event::Host(Seen { asked_at, fact: Fact::Unknown(why) }),
            Self::Server(fact) => Event::Server(Seen { asked_at, fact }),
            Self::Gateway(fact) => Event::Gateway(Seen { asked_at, fact }),
            Self::Peer(member, fact) => Event::Peer { member, seen: Seen { asked_at, fact } },
            Self::Other(Event::Frame(VipId::FIRST, Frame { from, says: Says::Release { .. } })) => {
                Event::Frame(VipId::FIRST, Frame { from, says: Says::Release { heard_at: asked_at } })
            }
            Self::Other(event) => event,
        }
    }
}

pub fn whys() -> impl Strategy<Value = Why> {
    prop_oneof![
        Just(Why::TimedOut(ms(1000))),
        Just(Why::WrongPassword("1045".to_owned())),
        Just(Why::TooManyConnections("1040".to_owned())),
        Just(Why::Unreachable("no route".to_owned())),
        Just(Why::Other("?".to_owned())),
    ]
}

pub fn views(local: u8) -> impl Strategy<Value = GroupView> {
    (1..=3_u8, 540..550_u64, prop::bool::weighted(0.2), 0..10_u8, 0..8_u8).prop_map(
        move |(primary, counter, read_only, odd, birth)| {
            let mut view = group(local, primary, counter, read_only);
            match odd {
                0 => view.members[1..].iter_mut().for_each(|row| row.state = MemberState::Unreachable),
                1 => view.members[usize::from(local) - 1].state = MemberState::Recovering,
                2 => view.view = None,
                _ => {}
            }
            if birth == 0 {
                view.view = Some(ViewId::new("99999", counter));
            }
            view
        },
    )
}

pub fn servers(local: u8) -> impl Strategy<Value = Fact<Server>> {
    prop_oneof![
        6 => views(local).prop_map(|view| Fact::Known(Server::Member(view))),
        1 => Just(Fact::Known(Server::NotInGroup(NotInGroup::NotRunning))),
        1 => Just(Fact::Known(Server::Refused("refused".to_owned()))),
        2 => whys().prop_map(Fact::Unknown),
    ]
}

pub fn gateways() -> impl Strategy<Value = Fact<Gateway>> {
    prop_oneof![
        6 => Just(Fact::Known(Gateway::Reachable)),
        1 => (3..9_u32).prop_map(|misses| Fact::Known(Gateway::Lost { misses })),
        1 => whys().prop_map(Fact::Unknown),
    ]
}

/// What a frame may say; a word that it is free was heard when [`Sent::event`] says.
pub fn words() -> impl Strategy<Value = Says> {
    prop_oneof![
        3 => Just(Says::Probe),
        3 => Just(Says::Reply),
        3 => Just(Says::Announcement),
        2 => Just(Says::Release { heard_at: Time(0) }),
        1 => Just(Says::ReleaseToOthers),
    ]
}

pub fn frames() -> impl Strategy<Value = Event> {
    (2..=4_u8, words())
        .prop_map(|(number, says)| Event::Frame(VipId::FIRST, Frame { from: mac(number), says }))
}

pub fn anything() -> impl Strategy<Value = Sent> {
    prop_oneof![
        6 => Just(Sent::Server(model_host::primary())),
        4 => servers(1).prop_map(Sent::Server),
        4 => Just(Sent::Gateway(Fact::Known(Gateway::Reachable))),
        2 => gateways().prop_map(Sent::Gateway),
        3 => any::<bool>().prop_map(|here| Sent::Host(Fact::Known(("eth0", here)))),
        1 => Just(Sent::Host(Fact::Known(("eth1", false)))),
        1 => whys().prop_map(|why| Sent::Host(Fact::Unknown(why))),
        3 => (2..=3_u8).prop_flat_map(|number| servers(number).prop_map(move |fact| Sent::Peer(member(number), fact))),
        5 => frames().prop_map(Sent::Other),
        2 => (2..=3_u8).prop_map(|number| Sent::Other(Event::Neighbor { address: member(number), mac: mac(number) })),
        1 => Just(Sent::Other(Event::Done {
            action: Action::Vip(VipId::FIRST, VipAction::AddAddress { interface: "eth0".to_owned(), lifetime: None }),
            outcome: Outcome::Failed("no such interface".to_owned()),
        })),
        1 => any::<bool>().prop_map(|gone| Sent::Other(Event::Done {
            action: Action::Vip(VipId::FIRST, VipAction::RenewAddress { interface: "eth0".to_owned(), lifetime: None }),
            outcome: if gone { Outcome::Gone } else { Outcome::Failed("busy".to_owned()) },
        })),
        1 => Just(Sent::Other(Event::StatFile(Some((StatMark::Started, Duration::from_secs(3)))))),
        1 => (0..20_u64, -5_000..5_000_i64).prop_map(|(suspended, wall_step_ms)| Sent::Other(Event::ClocksParted {
            suspended: Duration::from_secs(suspended),
            wall_step_ms,
        })),
        1 => prop::bool::weighted(0.8).prop_map(|hearing| Sent::Other(Event::ReceiveUp(VipId::FIRST, hearing))),
        8 => Just(Sent::Other(Event::Wake)),
    ]
}

pub fn gaps() -> impl Strategy<Value = Duration> {
    prop_oneof![
        8 => (0..25_u64).prop_map(ms),
        3 => (0..600_u64).prop_map(ms),
        1 => (0..40_000_u64).prop_map(ms),
    ]
}

/// Gap before it, age of its question, whether `wake_at` is obeyed in the gap, the event.
pub type Played = (Duration, Duration, bool, Sent);

pub fn ages() -> impl Strategy<Value = Duration> {
    prop_oneof![6 => (0..5_u64).prop_map(ms), 2 => (0..500_u64).prop_map(ms), 1 => (0..5_000_u64).prop_map(ms)]
}

pub fn plays() -> impl Strategy<Value = Vec<Played>> {
    vec((gaps(), ages(), prop::bool::weighted(0.8), anything()), 1..120)
}
