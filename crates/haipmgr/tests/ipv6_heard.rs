//! What is heard about an IPv6 VIP: neighbor discovery, between hosts of a segment that each test makes for itself.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod segment;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use decide::fitness::Fitness;
use decide::input::{Event, Frame, Says};
use decide::net::{Mac, VipId};
use haipmgr::act::announce::{AnnounceError, Announcer};
use haipmgr::observe::neighbor::{NeighborReport, NeighborSettings, NeighborWatch, watch};
use linux::neighbor_socket::NeighborSender;
use segment::{Host, INTERFACE, LIMIT, Segment, wait_for};

const VIP: Ipv6Addr = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 0x100);
/// In another solicited-node group.
const NOBODY: Ipv6Addr = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 0x200);
const LINK_LOCAL_GATEWAY: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0xfe);
const A: u8 = 11;
const B: u8 = 12;
const C: u8 = 13;
const GATEWAY: u8 = 254;

/// What a watch says.
#[derive(Debug)]
enum Heard {
    Event(Event),
    Gateway,
    Report(NeighborReport),
}

fn v4(number: u8) -> IpAddr {
    Ipv4Addr::new(10, 77, 0, number).into()
}

fn v6(number: u8) -> IpAddr {
    Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, number.into()).into()
}

/// With both families' addresses.
fn join(segment: &mut Segment, number: u8) -> Host {
    let host = segment.join(Ipv4Addr::new(10, 77, 0, number));
    host.detect_no_duplicates();
    host.add_address(v6(number), 64);
    host
}

fn settings(own: u8, members: fn(u8) -> IpAddr) -> NeighborSettings {
    NeighborSettings {
        interface: INTERFACE.to_owned(),
        only_vips: false,
        vips: BTreeMap::from([(VIP.into(), VipId::FIRST)]),
        own_address: members(own),
        members: [A, B, C].map(members).into(),
        gateways: vec![v6(GATEWAY)],
    }
}

fn listen(host: &Host, own: u8) -> Receiver<Heard> {
    listen_and(host, settings(own, v6), |_| {})
}

/// Between two times that something is done with a watch.
const AGAIN_AFTER: std::time::Duration = std::time::Duration::from_millis(200);

/// A watch on the host, for as long as the host lives, with something done with it first, and again and again.
fn listen_and(host: &Host, settings: NeighborSettings, first: fn(&NeighborWatch)) -> Receiver<Heard> {
    let (give, take) = channel();
    host.run(move |_| async move {
        let (events, gateway) = (give.clone(), give.clone());
        let watch = watch(
            &settings,
            move |event| drop(events.send(Heard::Event(event))),
            move |_, _| drop(gateway.send(Heard::Gateway)),
            move |report| drop(give.send(Heard::Report(report))),
        );
        first(&watch);
        tokio::spawn(async move {
            // As an agent does what it does again and again: an answer may be lost, or come before it can be heard.
            loop {
                tokio::time::sleep(AGAIN_AFTER).await;
                first(&watch);
            }
        });
    });
    wait_for(&take, "the word that it hears", |heard| {
        matches!(heard, Heard::Event(Event::ReceiveUp(_, true))).then_some(())
    });
    take
}

fn mac(host: &Host) -> Mac {
    Mac(host.run(|_| async { NeighborSender::open(INTERFACE).expect("a socket").mac() }).0)
}

fn act(host: &Host, what: fn(&mut Announcer) -> Result<(), AnnounceError>) {
    act_for(host, VIP, what);
}

/// An announcer's call on the host.
fn act_for(host: &Host, address: Ipv6Addr, what: fn(&mut Announcer) -> Result<(), AnnounceError>) {
    host.run(move |_| async move { what(&mut Announcer::new(INTERFACE, address.into())).expect("sent") });
}

#[allow(clippy::needless_pass_by_value, reason = "it is handed to `wait_for`")]
fn frame(heard: Heard) -> Option<Frame> {
    match heard {
        Heard::Event(Event::Frame(VipId::FIRST, frame)) => Some(frame),
        _ => None,
    }
}

#[allow(clippy::needless_pass_by_value, reason = "it is handed to `wait_for`")]
fn neighbor(heard: Heard) -> Option<(IpAddr, Mac)> {
    match heard {
        Heard::Event(Event::Neighbor { address, mac }) => Some((address, mac)),
        _ => None,
    }
}

#[test]
fn a_holders_answer_to_a_probe_is_heard_by_the_prober_and_by_all_others_as_an_announcement() {
    let mut segment = Segment::new();
    let [a, b, c] = [A, B, C].map(|number| join(&mut segment, number));
    let (heard, others, _in_the_group) = (listen(&a, A), listen(&c, C), listen(&b, B));
    b.add_address(VIP, 128);
    act(&a, Announcer::probe);
    let answer = Frame { from: mac(&b), says: Says::Announcement };
    assert_eq!(wait_for(&heard, "the answer", frame), answer);
    assert_eq!(wait_for(&others, "the probe", frame), Frame { from: mac(&a), says: Says::Probe });
    assert_eq!(wait_for(&others, "the answer", frame), answer);
}

#[test]
fn a_word_about_a_host_is_heard_by_the_others_and_answered_by_the_holder_whichever_family_members_are_of() {
    for members in [v6 as fn(u8) -> IpAddr, v4] {
        let mut segment = Segment::new();
        let [a, b, c] = [A, B, C].map(|number| join(&mut segment, number));
        b.add_address(VIP, 128);
        let others = listen(&c, C);
        let heard = listen_and(&a, settings(A, members), |watch| {
            watch.say_fitness(VIP.into(), Fitness::Primary);
        });
        let word = Frame { from: mac(&a), says: Says::Fitness(Fitness::Primary) };
        assert_eq!(wait_for(&others, "A's word", frame), word);
        let answer = wait_for(&heard, "the holder's answer", frame);
        assert_eq!(answer, Frame { from: mac(&b), says: Says::Reply });
    }
}

#[test]
fn a_probe_and_a_release_are_heard_behind_a_switch_that_snoops_on_groups() {
    let mut segment = Segment::snooping();
    let [a, b] = [A, B].map(|number| join(&mut segment, number));
    let heard = listen(&a, A);
    wait_until_groups_count(&a, &b);
    let from = mac(&b);
    act(&b, Announcer::probe);
    assert_eq!(wait_for(&heard, "the probe", frame), Frame { from, says: Says::Probe });
    let (to, before) = (mac(&a), haipmgr::clock::now());
    b.run(
        move |_| async move { Announcer::new(INTERFACE, VIP.into()).announce_release(Some(to)).expect("sent") },
    );
    let word = wait_for(&heard, "the release", frame);
    let Says::Release { heard_at } = word.says else { panic!("{word:?}") };
    assert!(word.from == from && heard_at >= before && heard_at <= haipmgr::clock::now(), "{word:?}");
    b.run(
        move |_| async move { Announcer::new(INTERFACE, VIP.into()).announce_release(None).expect("sent") },
    );
    assert_eq!(wait_for(&heard, "the release", frame), Frame { from, says: Says::ReleaseToOthers });
}

/// Until the switch keeps from A what is for a group that A is not in, though A's packet socket would take it.
fn wait_until_groups_count(a: &Host, b: &Host) {
    let (give, take) = channel();
    a.run(move |_| async move {
        let listener =
            linux::neighbor_socket::NeighborListener::open(INTERFACE, wire::Family::V6).expect("a socket");
        tokio::spawn(async move {
            while let Ok(received) = listener.receive().await {
                if received.message == (wire::NeighborMessage::Probe { target: NOBODY.into() }) {
                    let _ = give.send(());
                }
            }
        });
    });
    let until = Instant::now() + LIMIT;
    loop {
        act_for(b, NOBODY, Announcer::probe);
        if take.recv_timeout(Duration::from_millis(100)).is_err() {
            return;
        }
        assert!(Instant::now() < until, "the switch lets everything through");
    }
}

#[test]
fn an_announcement_is_heard_and_corrects_the_entry_of_a_third_host() {
    let mut segment = Segment::new();
    let [a, b, client] = [A, B, C].map(|number| join(&mut segment, number));
    let heard = listen(&a, A);
    a.add_address(VIP, 128);
    reach(&client, VIP);
    assert_eq!(entry(&client, VIP), Some(mac(&a)), "the client talks to A");
    a.remove_address(VIP, 128);
    act(&b, Announcer::announce);
    let announcement = Frame { from: mac(&b), says: Says::Announcement };
    assert_eq!(wait_for(&heard, "the announcement", frame), announcement);
    assert_eq!(entry(&client, VIP), Some(mac(&b)), "the client has been told of B");
}

/// Makes the host's kernel look the address up, and waits until it has.
fn reach(host: &Host, address: Ipv6Addr) {
    host.run(move |_| async move {
        let socket = tokio::net::UdpSocket::bind("[::]:0").await.expect("a socket");
        let until = Instant::now() + LIMIT;
        while neighbor_entry(address).await.is_none() {
            let _ = socket.send_to(b"x", (address, 9)).await;
            assert!(Instant::now() < until, "{address} was never found");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
}

fn entry(host: &Host, address: Ipv6Addr) -> Option<Mac> {
    host.run(move |_| async move { neighbor_entry(address).await })
}

async fn neighbor_entry(address: Ipv6Addr) -> Option<Mac> {
    use futures_util::TryStreamExt as _;
    use rtnetlink::packet_route::AddressFamily;
    use rtnetlink::packet_route::neighbour::{NeighbourAddress, NeighbourAttribute};
    let (connection, netlink, _) = rtnetlink::new_connection().expect("netlink");
    tokio::spawn(connection);
    let entries = netlink.neighbours().get().set_address_family(AddressFamily::Inet6).execute();
    let entries: Vec<_> = entries.try_collect().await.expect("the neighbor cache");
    let is_it =
        |attribute: &_| *attribute == NeighbourAttribute::Destination(NeighbourAddress::Inet6(address));
    let entry = entries.into_iter().find(|entry| entry.attributes.iter().any(is_it))?;
    entry.attributes.into_iter().find_map(|attribute| match attribute {
        NeighbourAttribute::LinkLayerAddress(mac) => Some(Mac(mac.try_into().ok()?)),
        _ => None,
    })
}

#[test]
fn members_macs_are_learned_in_their_own_family_and_the_gateways_answer_in_its() {
    for members in [v6, v4] {
        let mut segment = Segment::new();
        let [a, b, c, _gateway] = [A, B, C, GATEWAY].map(|number| join(&mut segment, number));
        let heard = listen_and(&a, settings(A, members), |_| {});
        let mut learned = Vec::new();
        let mut gateway = false;
        wait_for(&heard, "both members and the gateway", |heard| {
            match heard {
                Heard::Gateway => gateway = true,
                heard => learned.extend(neighbor(heard)),
            }
            learned.sort_unstable();
            learned.dedup();
            (gateway && learned.len() == 2).then_some(())
        });
        assert_eq!(learned, [(members(B), mac(&b)), (members(C), mac(&c))], "and not A's own");
    }
}

#[test]
fn a_gateway_with_a_link_local_address_is_heard() {
    let mut segment = Segment::new();
    let [a, gateway] = [A, GATEWAY].map(|number| join(&mut segment, number));
    gateway.add_address(LINK_LOCAL_GATEWAY, 64);
    for members in [v6, v4] {
        let settings = NeighborSettings { gateways: vec![LINK_LOCAL_GATEWAY.into()], ..settings(A, members) };
        let heard = listen_and(&a, settings, |_| {});
        wait_for(&heard, "the gateway's answer", |heard| matches!(heard, Heard::Gateway).then_some(()));
    }
}

#[test]
fn a_holder_that_asks_who_has_the_vip_hears_of_another_and_claims_nothing() {
    for members in [v6, v4] {
        let mut segment = Segment::new();
        let [a, b, c] = [A, B, C].map(|number| join(&mut segment, number));
        // A kernel alone is deaf to questions for a moment after an address was added: it joins the address's group later.
        let (others, _in_the_group) = (listen(&c, C), listen(&b, B));
        a.add_address(VIP, 128);
        b.add_address(VIP, 128);
        let heard = listen_and(&a, settings(A, members), |watch| watch.ask_who_has_vip(VIP.into()));
        let reply = wait_for(&heard, "the other holder's answer", frame);
        assert_eq!(reply, Frame { from: mac(&b), says: Says::Reply });
        // What C hears next about the VIP is this, and not a word of A's.
        act(&b, Announcer::announce);
        assert_eq!(wait_for(&others, "B's announcement", frame).from, mac(&b));
    }
}

#[test]
fn an_interface_that_goes_down_or_is_replaced_is_heard_again_behind_a_switch_that_snoops_too() {
    let mut segment = Segment::snooping();
    let [a, b] = [A, B].map(|number| join(&mut segment, number));
    let heard = listen(&a, A);
    let reports = |heard| match heard {
        Heard::Report(report) => Some(report.to_string()),
        _ => None,
    };
    let is_probed = || {
        act(&b, Announcer::probe);
        assert_eq!(wait_for(&heard, "the probe", frame).says, Says::Probe);
    };
    a.link_down(INTERFACE);
    let report = wait_for(&heard, "a report of the interface down", reports);
    assert!(
        report.contains("neighbor discovery messages about fd77::100") && report.contains("eth0 is down")
    );
    a.link_up(INTERFACE);
    let report = wait_for(&heard, "a report of the interface up", reports);
    assert!(report.contains("received again on eth0"), "{report}");
    wait_until_groups_count(&a, &b);
    is_probed();
    a.delete_interface();
    wait_for(&heard, "a report of the interface gone", reports);
    segment.plug_in(&a);
    wait_for(&heard, "a report of the interface back", reports);
    wait_until_groups_count(&a, &b);
    is_probed();
}
