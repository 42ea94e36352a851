//! The agent's ARP, between hosts of a segment that each test makes for itself.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod segment;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::os::fd::AsRawFd;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use decide::fitness::Fitness;
use decide::input::{Event, Frame, Says};
use decide::net::{Mac, VipId};
use haipmgr::act::announce::{AnnounceError, Announcer};
use haipmgr::observe::neighbor::{NeighborReport, NeighborSettings, NeighborWatch, watch};
use linux::neighbor_socket::{NeighborListener, NeighborSender};
use linux::packet_socket::PacketSocketError;
use nix::sys::socket::{AddressFamily, LinkAddr, MsgFlags, SockFlag, SockProtocol, SockType, sendto, socket};
use segment::{Host, INTERFACE, LIMIT, Segment, wait_for};
use wire::arp::ArpFrame;
use wire::{Family, NeighborMessage};

const VIP: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 100);
const A: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 11);
const B: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 12);
const C: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 13);
const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 254);

/// What a watch says.
#[derive(Debug)]
enum Heard {
    Event(Event, Instant),
    Gateway,
    Report(NeighborReport),
}

/// A watch on the host, for as long as the host lives.
fn listen(host: &Host, own: Ipv4Addr) -> Receiver<Heard> {
    listen_and(host, own, |_| {})
}

/// … with something done with it first.
fn listen_and(host: &Host, own: Ipv4Addr, first: fn(&NeighborWatch)) -> Receiver<Heard> {
    listen_where(host, own, false, first)
}

fn listen_where(host: &Host, own: Ipv4Addr, only_vips: bool, first: fn(&NeighborWatch)) -> Receiver<Heard> {
    let (give, take): (Sender<Heard>, _) = channel();
    host.run(move |_| async move {
        let settings = NeighborSettings {
            interface: INTERFACE.to_owned(),
            only_vips,
            vips: BTreeMap::from([(VIP.into(), VipId::FIRST)]),
            own_address: own.into(),
            members: vec![A.into(), B.into(), C.into()],
            gateways: vec![GATEWAY.into()],
        };
        let (events, gateway) = (give.clone(), give.clone());
        let watch = watch(
            &settings,
            move |event| {
                let _ = events.send(Heard::Event(event, Instant::now()));
            },
            move |_, _| {
                let _ = gateway.send(Heard::Gateway);
            },
            move |report| {
                let _ = give.send(Heard::Report(report));
            },
        );
        first(&watch);
        tokio::spawn(async move {
            std::future::pending::<()>().await;
            drop(watch);
        });
        // Let the watch's task open its socket before anything is sent.
        tokio::task::yield_now().await;
    });
    take
}

fn on_wire(mac: Mac) -> wire::Mac {
    wire::Mac(mac.0)
}

fn mac(host: &Host) -> Mac {
    Mac(host.run(|_| async { NeighborSender::open(INTERFACE).expect("a socket").mac() }).0)
}

fn send(host: &Host, frame: ArpFrame) -> Instant {
    host.run(move |_| async move {
        let socket = NeighborSender::open(INTERFACE).expect("a socket");
        let at = Instant::now();
        socket.send_frame(&frame.encode()).expect("sent");
        at
    })
}

/// An announcer's call on the host.
fn act(host: &Host, what: fn(&mut Announcer) -> Result<(), AnnounceError>) {
    host.run(move |_| async move { what(&mut Announcer::new(INTERFACE, VIP.into())).expect("sent") });
}

#[allow(clippy::needless_pass_by_value, reason = "it is handed to `wait_for`")]
fn frame(heard: Heard) -> Option<Frame> {
    match heard {
        Heard::Event(Event::Frame(VipId::FIRST, frame), _) => Some(frame),
        _ => None,
    }
}

#[test]
fn a_probe_for_a_held_address_is_answered_by_the_holders_kernel_and_told_as_a_reply() {
    let mut segment = Segment::new();
    let (a, b) = (segment.join(A), segment.join(B));
    // Both ways are open: an interface that has just come up may still drop what it is to send.
    reach(&a, B);
    b.add_address(VIP, 32);
    let heard = listen(&a, A);
    act(&a, Announcer::probe);
    let reply = wait_for(&heard, "the reply", frame);
    assert_eq!(reply, Frame { from: mac(&b), says: Says::Reply });
}

#[test]
fn a_holder_that_asks_who_has_the_vip_hears_of_another_and_claims_nothing() {
    let mut segment = Segment::new();
    let (a, b, c) = (segment.join(A), segment.join(B), segment.join(C));
    let others = listen(&c, C);
    a.add_address(VIP, 32);
    b.add_address(VIP, 32);
    let heard = listen_and(&a, A, |watch| watch.ask_who_has_vip(VIP.into()));
    let reply = wait_for(&heard, "the other holder's answer", frame);
    assert_eq!(reply, Frame { from: mac(&b), says: Says::Reply });
    // What C hears next about the VIP is this, and not a word of A's.
    act(&b, Announcer::announce);
    assert_eq!(wait_for(&others, "B's announcement", frame).from, mac(&b));
}

#[test]
fn a_word_about_a_host_is_heard_by_the_others_answered_by_the_holder_and_no_claim() {
    let mut segment = Segment::new();
    let (a, b, c) = (segment.join(A), segment.join(B), segment.join(C));
    reach(&a, B);
    b.add_address(VIP, 32);
    let others = listen(&c, C);
    let heard = listen_and(&a, A, |watch| watch.say_fitness(VIP.into(), Fitness::Settling));
    let word = wait_for(&others, "A's word", frame);
    assert_eq!(word, Frame { from: mac(&a), says: Says::Fitness(Fitness::Settling) });
    assert_eq!(wait_for(&heard, "the holder's answer", frame), Frame { from: mac(&b), says: Says::Reply });
}

#[test]
fn where_only_vips_are_a_host_says_which_member_it_is_and_no_address_of_a_member_is_looked_for() {
    let mut segment = Segment::new();
    let (a, b) = (segment.join(A), segment.join(B));
    reach(&a, B);
    let heard = listen_where(&a, A, true, NeighborWatch::learn_now);
    // B speaks from its address there, and is the third member, whose address is another.
    b.run(
        move |_| async move { Announcer::new(INTERFACE, VIP.into()).say_member(2, B.into()).expect("sent") },
    );
    let told = wait_for(&heard, "B's word", |heard| match heard {
        Heard::Event(event @ (Event::Frame(..) | Event::Neighbor { .. }), _) => Some(event),
        _ => None,
    });
    let word = Frame { from: mac(&b), says: Says::Member(C.into()) };
    assert_eq!(told, Event::Frame(VipId::FIRST, word), "nobody was asked where a member's address is");
    act(&b, Announcer::probe);
    assert_eq!(wait_for(&heard, "B's probe", frame), Frame { from: mac(&b), says: Says::Probe });
}

#[test]
fn a_word_of_the_second_row_is_a_plain_question_where_the_members_are() {
    let mut segment = Segment::new();
    let (a, b) = (segment.join(A), segment.join(B));
    let heard = listen(&a, A);
    b.run(
        move |_| async move { Announcer::new(INTERFACE, VIP.into()).say_member(2, B.into()).expect("sent") },
    );
    act(&b, Announcer::probe);
    assert_eq!(wait_for(&heard, "B's probe, and no word", frame).says, Says::Probe);
}

#[test]
fn a_probe_is_heard_by_another_host_with_the_probers_mac_and_not_by_the_prober() {
    let mut segment = Segment::new();
    let (a, b) = (segment.join(A), segment.join(B));
    let (heard, own) = (listen(&a, A), listen(&b, B));
    act(&b, Announcer::probe);
    assert_eq!(wait_for(&heard, "the probe", frame), Frame { from: mac(&b), says: Says::Probe });
    // A's probe is the first that B hears: its own went before.
    act(&a, Announcer::probe);
    assert_eq!(wait_for(&own, "A's probe", frame).from, mac(&a));
}

#[test]
fn the_word_that_it_is_free_is_heard_as_such_by_whom_it_names_with_the_time_at_which_the_kernel_received_it()
{
    let mut segment = Segment::new();
    let (a, b, c) = (segment.join(A), segment.join(B), segment.join(C));
    let (heard, others) = (listen(&a, A), listen(&c, C));
    let (from, to) = (mac(&b), mac(&a));
    let before = haipmgr::clock::now();
    b.run(move |_| async move { Announcer::new(INTERFACE, VIP.into()).announce_release(Some(to)).expect("sent") });
    let word = wait_for(&heard, "the word", frame);
    let Says::Release { heard_at } = word.says else { panic!("{word:?}") };
    assert!(word.from == from && heard_at >= before && heard_at <= haipmgr::clock::now(), "{word:?}");
    assert_eq!(wait_for(&others, "the word", frame), Frame { from, says: Says::ReleaseToOthers });
    b.run(
        move |_| async move { Announcer::new(INTERFACE, VIP.into()).announce_release(None).expect("sent") },
    );
    assert_eq!(wait_for(&heard, "the word", frame), Frame { from, says: Says::ReleaseToOthers });
}

/// The client's kernel has just found the VIP at A; the VIP moves to B, which sends this form.
fn is_heard_and_corrects_a_fresh_entry(form: fn(wire::Mac, Ipv4Addr) -> ArpFrame) {
    let mut segment = Segment::new();
    let (a, b, client) = (segment.join(A), segment.join(B), segment.join(C));
    let heard = listen(&a, A);
    a.add_address(VIP, 32);
    reach(&client, VIP);
    assert_eq!(entry(&client, VIP), Some(mac(&a)), "the client talks to A");
    a.remove_address(VIP, 32);
    send(&b, form(on_wire(mac(&b)), VIP));
    assert_eq!(
        wait_for(&heard, "the announcement", frame),
        Frame { from: mac(&b), says: Says::Announcement }
    );
    assert_eq!(entry(&client, VIP), Some(mac(&b)), "the client has been told of B");
}

#[test]
fn a_gratuitous_request_is_heard_and_corrects_the_entry_of_a_third_host() {
    is_heard_and_corrects_a_fresh_entry(ArpFrame::gratuitous_request);
}

#[test]
fn a_gratuitous_reply_is_heard_and_corrects_the_entry_of_a_third_host() {
    is_heard_and_corrects_a_fresh_entry(ArpFrame::gratuitous_reply);
}

/// Makes the host's kernel look the address up by ARP, and waits until it has.
fn reach(host: &Host, address: Ipv4Addr) {
    host.run(move |_| async move {
        let socket = tokio::net::UdpSocket::bind("0.0.0.0:0").await.expect("a socket");
        let until = Instant::now() + LIMIT;
        loop {
            let _ = socket.send_to(b"x", (address, 9)).await;
            if arp_entry(address).is_some() {
                return;
            }
            assert!(Instant::now() < until, "{address} was never found by ARP");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
}

fn entry(host: &Host, address: Ipv4Addr) -> Option<Mac> {
    host.run(move |_| async move { arp_entry(address) })
}

/// From `/proc/thread-self/net/arp`, which is this namespace's.
fn arp_entry(address: Ipv4Addr) -> Option<Mac> {
    let table = std::fs::read_to_string("/proc/thread-self/net/arp").expect("the ARP table");
    let line = table.lines().find(|line| line.split_whitespace().next() == Some(&address.to_string()))?;
    let text = line.split_whitespace().nth(3)?;
    let mut mac = [0; 6];
    for (byte, part) in mac.iter_mut().zip(text.split(':')) {
        *byte = u8::from_str_radix(part, 16).expect("a MAC");
    }
    (mac != [0; 6]).then_some(Mac(mac))
}

#[test]
fn members_macs_are_learned_by_asking_and_a_changed_one_is_told_once() {
    let mut segment = Segment::new();
    let (a, b, c) = (segment.join(A), segment.join(B), segment.join(C));
    let (mac_b, mac_c) = (mac(&b), mac(&c));
    let heard = listen(&a, A);
    let neighbor = |heard| match heard {
        Heard::Event(Event::Neighbor { address, mac }, _) => Some((address, mac)),
        _ => None,
    };
    let mut learned = [(); 2].map(|()| wait_for(&heard, "a member's MAC", neighbor));
    learned.sort();
    assert_eq!(learned, [(B.into(), mac_b), (C.into(), mac_c)], "and not A's own");

    // Unchanged: nothing is told. Changed: told. (A frame of C's afterwards proves that nothing came between.)
    send(&b, ArpFrame::request(on_wire(mac_b), B, GATEWAY));
    let new = Mac([2, 0, 0, 0, 0xbb, 1]);
    b.set_mac(new);
    send(&b, ArpFrame::request(on_wire(new), B, GATEWAY));
    send(&b, ArpFrame::request(on_wire(new), B, GATEWAY));
    assert_eq!(wait_for(&heard, "B's new MAC", neighbor), (B.into(), new));
    let new = Mac([2, 0, 0, 0, 0xcc, 1]);
    c.set_mac(new);
    send(&c, ArpFrame::request(on_wire(new), C, GATEWAY));
    assert_eq!(wait_for(&heard, "C's new MAC", neighbor), (C.into(), new));
}

#[test]
fn the_gateways_answer_is_heard() {
    let mut segment = Segment::new();
    let (a, _gateway) = (segment.join(A), segment.join(GATEWAY));
    let heard = listen(&a, A);
    wait_for(&heard, "the gateway's answer", |heard| matches!(heard, Heard::Gateway).then_some(()));
}

#[test]
fn garbage_is_ignored_and_the_next_frame_is_heard() {
    let mut segment = Segment::new();
    let (a, b) = (segment.join(A), segment.join(B));
    let heard = listen(&a, A);
    send_raw(&b, mac(&b));
    act(&b, Announcer::probe);
    assert_eq!(wait_for(&heard, "the probe", frame), Frame { from: mac(&b), says: Says::Probe });
}

fn send_to(raw: &impl AsRawFd, bytes: &[u8], interface: &LinkAddr) {
    sendto(raw.as_raw_fd(), bytes, interface, MsgFlags::empty()).expect("sent");
}

/// ARP frames that are cut off, of another hardware, of another protocol, and of an unknown operation.
fn send_raw(host: &Host, from: Mac) {
    host.run(move |_| async move {
        let good = ArpFrame::gratuitous_request(on_wire(from), VIP).encode();
        let interface = nix::ifaddrs::getifaddrs()
            .expect("interfaces")
            .find_map(|found| {
                found.address.filter(|_| found.interface_name == INTERFACE)?.as_link_addr().copied()
            })
            .expect("the interface's address");
        let raw = socket(AddressFamily::Packet, SockType::Raw, SockFlag::empty(), SockProtocol::EthAll)
            .expect("a packet socket");
        for (at, byte) in [(15, 6), (16, 0x86), (18, 8), (19, 16), (21, 77)] {
            let mut bad = good;
            bad[at] = byte;
            send_to(&raw, &bad, &interface);
        }
        for length in 14..42 {
            send_to(&raw, &good[..length], &interface);
        }
    });
}

#[test]
fn a_flood_from_a_stranger_is_dropped_and_does_not_drown_a_members_claim() {
    let mut segment = Segment::new();
    let (a, b) = (segment.join(A), segment.join(B));
    let heard = listen(&a, A);
    let member = mac(&b);
    wait_for(&heard, "B's MAC", |heard| {
        matches!(heard, Heard::Event(Event::Neighbor { .. }, _)).then_some(())
    });
    let flooded = b.run(|_| async {
        let socket = NeighborSender::open(INTERFACE).expect("a socket");
        let stranger = Mac([2, 0, 0, 0, 0, 0x66]);
        let start = Instant::now();
        let mut sent = 0_u64;
        while start.elapsed() < Duration::from_millis(1500) {
            // The kernel's own queue may be full: that is a flood, too.
            sent += u64::from(
                socket.send_frame(&ArpFrame::gratuitous_request(on_wire(stranger), VIP).encode()).is_ok(),
            );
            if sent.is_multiple_of(1000) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        // As a claimant does: one probe may find the queue of a machine that is busy full.
        for _ in 0..20 {
            socket.send(NeighborMessage::Probe { target: VIP.into() }, None).expect("the claim is sent");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        sent
    });
    let mut told = 0_u64;
    let mut reported = false;
    wait_for(&heard, "the member's claim", |heard| {
        match heard {
            Heard::Event(Event::Frame(_, Frame { from, says: Says::Probe }), _) if from == member => {
                return Some(());
            }
            Heard::Event(Event::Frame(..), _) => told += 1,
            Heard::Report(NeighborReport::Flood { .. }) => reported = true,
            _ => {}
        }
        None
    });
    assert!(reported, "the flood is reported");
    assert!(flooded > 5_000, "it was a flood: {flooded}");
    assert!(told < 1_500, "{told} of {flooded} frames were told");
}

#[test]
fn a_interface_that_goes_down_or_is_replaced_is_reported_once_and_heard_again() {
    let mut segment = Segment::new();
    let (a, b) = (segment.join(A), segment.join(B));
    let heard = listen(&a, A);
    let reports = |heard| match heard {
        Heard::Report(report) => Some(report),
        _ => None,
    };
    a.link_down(INTERFACE);
    let report = wait_for(&heard, "a report of the interface down", reports);
    assert!(report.to_string().contains("eth0 is down"), "{report}");
    a.link_up(INTERFACE);
    let report = wait_for(&heard, "a report of the interface up", reports);
    assert!(matches!(report, NeighborReport::ReceiveUp { .. }), "reported once: {report}");

    a.delete_interface();
    let report = wait_for(&heard, "a report of the interface gone", reports);
    assert!(matches!(report, NeighborReport::ReceiveDown { .. }), "{report}");
    segment.plug_in(&a);
    let report = wait_for(&heard, "a report of the interface back", reports);
    assert!(matches!(report, NeighborReport::ReceiveUp { .. }), "{report}");
    act(&b, Announcer::probe);
    assert_eq!(wait_for(&heard, "the probe", frame).says, Says::Probe);
}

#[test]
fn a_watch_says_when_it_can_hear_and_when_it_can_not() {
    let mut segment = Segment::new();
    let a = segment.join(A);
    let heard = listen(&a, A);
    let says = |wanted: bool| {
        move |heard| match heard {
            Heard::Event(Event::ReceiveUp(_, hearing), _) if hearing == wanted => Some(()),
            _ => None,
        }
    };
    wait_for(&heard, "the word that it hears", says(true));
    a.link_down(INTERFACE);
    wait_for(&heard, "the word that it is deaf", says(false));
    a.link_up(INTERFACE);
    wait_for(&heard, "the word that it hears again", says(true));
    a.delete_interface();
    wait_for(&heard, "the word that the interface is gone", says(false));
    segment.plug_in(&a);
    wait_for(&heard, "the word that the new interface is heard", says(true));
}

#[test]
fn an_announcer_goes_on_after_its_interface_was_replaced_or_got_a_new_mac() {
    let mut segment = Segment::new();
    let (a, b) = (segment.join(A), segment.join(B));
    let heard = listen(&a, A);
    let (commands, mut todo) = tokio::sync::mpsc::unbounded_channel::<()>();
    b.run(move |_| async move {
        let mut announcer = Announcer::new(INTERFACE, VIP.into());
        tokio::spawn(async move {
            while todo.recv().await.is_some() {
                announcer.probe().expect("sent");
            }
        });
    });
    commands.send(()).unwrap();
    assert_eq!(wait_for(&heard, "the first probe", frame).from, mac(&b));
    let new = Mac([2, 0, 0, 0, 0xbb, 2]);
    b.set_mac(new);
    commands.send(()).unwrap();
    assert_eq!(wait_for(&heard, "the probe from the new MAC", frame).from, new);
    b.delete_interface();
    segment.plug_in(&b);
    commands.send(()).unwrap();
    assert_eq!(wait_for(&heard, "the probe from the new interface", frame).from, mac(&b));
}

#[test]
fn a_interface_that_is_not_there_is_named() {
    let host = Host::new();
    let (none, lo) = host.run(|_| async {
        (NeighborSender::open("eth7").map(|_| ()), NeighborListener::open("lo", Family::V4).map(|_| ()))
    });
    assert!(matches!(none, Err(PacketSocketError::NoSuchInterface { interface }) if interface == "eth7"));
    assert!(matches!(lo, Err(PacketSocketError::NotEthernet { .. })));
}

#[test]
fn a_frame_is_told_within_a_few_milliseconds_of_being_sent() {
    let mut segment = Segment::new();
    let (a, b) = (segment.join(A), segment.join(B));
    // Both ways are open: an interface that has just come up may still drop what it is to send.
    reach(&b, A);
    let heard = listen(&a, A);
    let from = mac(&b);
    let mut took: Vec<Duration> = (0..200)
        .map(|_| {
            let sent = send(&b, ArpFrame::probe(on_wire(from), VIP));
            let told = wait_for(&heard, "the probe", |heard| match heard {
                Heard::Event(Event::Frame(..), at) => Some(at),
                _ => None,
            });
            std::thread::sleep(Duration::from_millis(2));
            told.saturating_duration_since(sent)
        })
        .collect();
    took.sort();
    let (median, worst) = (took[100], took[199]);
    println!("frame sent to told: median {median:?}, worst {worst:?}");
    assert!(median < Duration::from_millis(2), "median {median:?}, worst {worst:?}");
}
