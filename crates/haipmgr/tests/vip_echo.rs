//! A VIP that is asked for by echo, between hosts of a segment that each test makes for itself.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod segment;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use decide::net::Mac;
use decide::time::Time;
use haipmgr::observe::vip_echo::{EchoReport, EchoSettings, VipEcho};
use segment::vip::{VIP, mac_of};
use segment::{Host, INTERFACE, Segment, wait_for};

const A: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 11);
const B: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 12);
const C: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 13);
/// What a host of this segment answers, it answers long before.
const SILENCE: Duration = Duration::from_millis(300);
/// A probe of a claim that nobody has answered before.
const SECOND_PROBE: Option<(Time, u32)> = Some((Time(1), 2));

type Members = Vec<(IpAddr, Option<Mac>)>;

fn set(host: &Host, setting: &'static str, value: &'static str) {
    host.run(move |_| async move {
        std::fs::write(format!("/proc/sys/net/ipv4/{setting}"), value).expect("the setting is written");
    });
}

/// B's kernel lets out no answer by ARP.
fn keep_arp_in(host: &Host) {
    set(host, "conf/all/arp_ignore", "8");
}

/// The claim stands so on this host, and a probe was sent: what is heard of it.
fn probe(host: &Host, own: Ipv4Addr, claim: Option<(Time, u32)>, members: Members) -> Receiver<Mac> {
    let (give, take) = channel();
    host.run(move |_| async move {
        let settings = EchoSettings {
            interface: INTERFACE.to_owned(),
            vip: VIP,
            vips: vec![VIP.into()],
            own_address: Some(own.into()),
        };
        let tell = move |mac| {
            let _ = give.send(mac);
        };
        let mut echo = VipEcho::new(settings, tell, |report: EchoReport| panic!("{report}"));
        echo.follow(claim);
        echo.probe_sent(|| members);
        tokio::spawn(async move {
            std::future::pending::<()>().await;
            drop(echo);
        });
    });
    take
}

fn nothing(heard: &Receiver<Mac>) -> bool {
    heard.recv_timeout(SILENCE).is_err()
}

#[test]
fn a_host_that_answers_no_arp_question_is_found_by_echo_and_who_has_it_not_is_silent() {
    let mut segment = Segment::new();
    let (a, b, c) = (segment.join(A), segment.join(B), segment.join(C));
    b.add_address(VIP, 32);
    keep_arp_in(&b);
    let members = vec![(B.into(), Some(mac_of(&b))), (C.into(), Some(mac_of(&c)))];
    let heard = probe(&a, A, SECOND_PROBE, members);
    assert_eq!(wait_for(&heard, "B's echo", Some), mac_of(&b));
    assert!(nothing(&heard), "asked once each, and C does not have it");
}

#[test]
fn nothing_is_asked_by_a_first_probe_or_without_a_claim() {
    let mut segment = Segment::new();
    let (a, b) = (segment.join(A), segment.join(B));
    b.add_address(VIP, 32);
    for claim in [None, Some((Time(1), 1))] {
        assert!(nothing(&probe(&a, A, claim, vec![(B.into(), Some(mac_of(&b)))])));
    }
    assert!(nothing(&probe(&a, A, SECOND_PROBE, vec![(B.into(), None)])), "nobody knows where B is");
}

#[test]
fn an_answer_that_comes_when_the_claim_is_over_is_not_told() {
    let mut segment = Segment::new();
    let (a, b) = (segment.join(A), segment.join(B));
    b.add_address(VIP, 32);
    let (give, heard) = channel();
    let members = vec![(B.into(), Some(mac_of(&b)))];
    a.run(move |_| async move {
        let settings = EchoSettings {
            interface: INTERFACE.to_owned(),
            vip: VIP,
            vips: vec![VIP.into()],
            own_address: Some(A.into()),
        };
        let tell = move |mac| {
            let _ = give.send(mac);
        };
        let mut echo = VipEcho::new(settings, tell, |report| panic!("{report}"));
        echo.follow(SECOND_PROBE);
        echo.probe_sent(|| members);
        // The answer may be in the socket by now; nothing has read it.
        echo.follow(None);
        tokio::time::sleep(SILENCE).await;
    });
    assert!(nothing(&heard));
}

#[test]
fn a_host_that_answers_no_echo_is_not_seen() {
    let mut segment = Segment::new();
    let (a, b) = (segment.join(A), segment.join(B));
    b.add_address(VIP, 32);
    set(&b, "icmp_echo_ignore_all", "1");
    assert!(nothing(&probe(&a, A, SECOND_PROBE, vec![(B.into(), Some(mac_of(&b)))])));
}
