//! The gateway as it is probed, in network namespaces of the tests' own. Needs root.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod namespace;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use decide::input::{Fact, Gateway, Seen, Why};
use haipmgr::observe::gateway::{GatewaySettings, GatewayWatch, watch};
use namespace::{LIMIT, Neighbor, cable_to, give, in_new_namespace, index, netlink, set_down, set_up};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;

/// Answering echo, in the gateway's namespace: "0" it does, "1" it does not.
const ECHO_IGNORED: &str = "ipv4/icmp_echo_ignore_all";

/// A host and its gateway, and what is told.
struct Scene {
    gateway: Neighbor,
    watch: Arc<GatewayWatch>,
    facts: UnboundedReceiver<(Seen<Gateway>, Instant)>,
    arp_asked: UnboundedReceiver<()>,
    /// Whether an ARP request is answered; stands for the neighbor module, which hears the reply.
    arp_answers: Arc<AtomicBool>,
}

impl Scene {
    async fn new() -> Self {
        let gateway = Neighbor::new();
        cable_to(&gateway).await;
        let netlink = netlink();
        give(&netlink, "eth0", "10.77.0.11", 24).await;
        give(&netlink, "eth0", "10.77.0.100", 32).await;
        gateway.run(|| async { give(&self::netlink(), "eth0", "10.77.0.254", 24).await });
        Self::watching(gateway, settings())
    }

    fn watching(gateway: Neighbor, settings: GatewaySettings) -> Self {
        let (fact_sender, facts) = unbounded_channel();
        let (arp_sender, arp_asked) = unbounded_channel();
        let arp_answers = Arc::new(AtomicBool::new(false));
        let itself = Arc::new(Mutex::new(None::<std::sync::Weak<GatewayWatch>>));
        let (answers, hears) = (Arc::clone(&arp_answers), Arc::clone(&itself));
        let watch = Arc::new(watch(
            settings,
            move |seen| drop(fact_sender.send((seen, Instant::now()))),
            move || {
                let _ = arp_sender.send(());
                if answers.load(Ordering::Relaxed)
                    && let Some(watch) = hears.lock().unwrap().as_ref().and_then(std::sync::Weak::upgrade)
                {
                    watch.heard_arp(haipmgr::clock::now());
                }
            },
        ));
        *itself.lock().unwrap() = Some(Arc::downgrade(&watch));
        Self { gateway, watch, facts, arp_asked, arp_answers }
    }

    async fn next(&mut self) -> (Seen<Gateway>, Instant) {
        timeout(LIMIT, self.facts.recv()).await.expect("nothing told within the limit").unwrap()
    }

    /// The next fact must be that it answers.
    async fn reachable(&mut self) -> Instant {
        let (seen, at) = self.next().await;
        assert_eq!(seen.fact, Fact::Known(Gateway::Reachable), "{:?}", self.watch.trouble());
        at
    }

    /// Reads on until it is lost.
    async fn lost(&mut self) -> Instant {
        loop {
            let (seen, at) = self.next().await;
            if let Fact::Known(Gateway::Lost { misses }) = seen.fact {
                assert!(misses >= 4);
                return at;
            }
        }
    }
}

fn settings() -> GatewaySettings {
    GatewaySettings::new("10.77.0.254".parse().unwrap(), "eth0", "10.77.0.11".parse().unwrap())
}

#[test]
fn a_gateway_that_answers_is_told_again_and_again_and_at_once_when_asked() {
    in_new_namespace(|| async {
        let mut scene = Scene::new().await;
        let first = scene.reachable().await;
        let gap = scene.reachable().await - first;
        assert!(gap > Duration::from_millis(800) && gap < Duration::from_millis(1500), "{gap:?}");
        assert!(scene.arp_asked.try_recv().is_err(), "no ARP while echo is answered and nobody waits");
        let mut took = Vec::new();
        for _ in 0..20 {
            let asked_at = haipmgr::clock::now();
            let began = Instant::now();
            scene.watch.ask_now();
            let (seen, at) = scene.next().await;
            assert_eq!(seen.fact, Fact::Known(Gateway::Reachable));
            assert!(seen.asked_at >= asked_at);
            took.push(at - began);
        }
        took.sort();
        println!(
            "question to answer, 20 times: first {:?}, median {:?}, worst {:?}",
            took[0], took[10], took[19]
        );
        assert!(scene.arp_asked.try_recv().is_ok(), "whoever waits is asked for by ARP too");
    });
}

#[test]
fn one_lost_ping_loses_nothing() {
    in_new_namespace(|| async {
        let mut scene = Scene::new().await;
        scene.reachable().await;
        scene.gateway.set(ECHO_IGNORED, "1");
        scene.watch.ask_now();
        timeout(LIMIT, scene.arp_asked.recv()).await.expect("ARP is asked after a miss").unwrap();
        scene.gateway.set(ECHO_IGNORED, "0");
        scene.reachable().await;
        scene.reachable().await;
    });
}

#[test]
fn a_pulled_cable_is_told_after_more_than_three_seconds_and_its_return_at_once() {
    in_new_namespace(|| async {
        let mut scene = Scene::new().await;
        scene.reachable().await;
        let pulled = Instant::now();
        scene.gateway.run(|| async { set_down(&netlink(), "eth0").await });
        let lost = scene.lost().await - pulled;
        println!("cable pulled to gateway lost: {lost:?}");
        assert!(lost > Duration::from_secs(3) && lost < Duration::from_millis(5_500), "{lost:?}");
        let asked_at = haipmgr::clock::now();
        scene.watch.ask_now();
        let told = loop {
            let (seen, _) = scene.next().await;
            if seen.asked_at >= asked_at {
                break seen.fact;
            }
        };
        assert!(
            matches!(told, Fact::Known(Gateway::Lost { .. })),
            "a lost gateway, asked about, is lost: {told:?}"
        );
        scene.gateway.run(|| async { set_up(&netlink(), "eth0").await });
        let plugged = Instant::now();
        loop {
            let (seen, at) = scene.next().await;
            if seen.fact == Fact::Known(Gateway::Reachable) {
                println!("cable plugged to gateway reachable: {:?}", at - plugged);
                break;
            }
        }
        assert_eq!(scene.watch.trouble(), None);
    });
}

#[test]
fn a_gateway_that_stops_answering_is_lost_and_comes_back() {
    in_new_namespace(|| async {
        let mut scene = Scene::new().await;
        scene.reachable().await;
        scene.gateway.set(ECHO_IGNORED, "1");
        scene.lost().await;
        scene.gateway.set(ECHO_IGNORED, "0");
        loop {
            if scene.next().await.0.fact == Fact::Known(Gateway::Reachable) {
                break;
            }
        }
        scene.reachable().await;
    });
}

#[test]
fn a_gateway_that_drops_icmp_and_answers_arp_is_reachable() {
    in_new_namespace(|| async {
        let mut scene = Scene::new().await;
        scene.arp_answers.store(true, Ordering::Relaxed);
        scene.gateway.set(ECHO_IGNORED, "1");
        for _ in 0..4 {
            scene.reachable().await;
        }
        scene.arp_answers.store(false, Ordering::Relaxed);
        scene.lost().await;
        scene.arp_answers.store(true, Ordering::Relaxed);
        loop {
            if scene.next().await.0.fact == Fact::Known(Gateway::Reachable) {
                break;
            }
        }
    });
}

#[test]
fn a_interface_that_goes_and_comes_back_loses_and_finds_the_gateway_again() {
    in_new_namespace(|| async {
        let mut scene = Scene::new().await;
        scene.reachable().await;
        let netlink = netlink();
        netlink.link().del(index(&netlink, "eth0").await).execute().await.unwrap();
        scene.lost().await;
        let trouble = scene.watch.trouble().expect("the log can say why");
        assert!(trouble.contains("eth0") && trouble.contains("10.77.0.254"), "{trouble}");
        println!("{trouble}");
        cable_to(&scene.gateway).await;
        give(&netlink, "eth0", "10.77.0.11", 24).await;
        scene.gateway.run(|| async { give(&self::netlink(), "eth0", "10.77.0.254", 24).await });
        loop {
            if scene.next().await.0.fact == Fact::Known(Gateway::Reachable) {
                break;
            }
        }
    });
}

#[test]
fn a_gateway_of_either_family_is_probed_also_link_local_and_by_a_member_of_the_other() {
    for (gateway, member) in [
        ("fd77::254", "fd77::11"),
        ("fd77::254", "10.77.0.11"),
        ("fe80::fe", "fd77::11"),
        ("fe80::fe", "10.77.0.11"),
        ("10.77.0.254", "fd77::11"),
    ] {
        in_new_namespace(move || async move {
            let router = Neighbor::new();
            cable_to(&router).await;
            std::fs::write("/proc/sys/net/ipv6/conf/eth0/accept_dad", "0").unwrap();
            router.set("ipv6/conf/eth0/accept_dad", "0");
            give(&netlink(), "eth0", "10.77.0.11", 24).await;
            give(&netlink(), "eth0", "fd77::11", 64).await;
            let prefix = if gateway.contains(':') { 64 } else { 24 };
            router.run(move || async move { give(&netlink(), "eth0", gateway, prefix).await });
            let settings = GatewaySettings::new(gateway.parse().unwrap(), "eth0", member.parse().unwrap());
            let mut scene = Scene::watching(router, settings);
            let answers = async { while scene.next().await.0.fact != Fact::Known(Gateway::Reachable) {} };
            timeout(LIMIT, answers).await.unwrap_or_else(|_| {
                panic!("{gateway} is lost to {member}: {:?}", scene.watch.trouble());
            });
            scene.reachable().await;
        });
    }
}

#[test]
fn without_the_right_to_probe_the_gateway_is_unknown_and_not_lost() {
    use nix::sys::resource::{Resource, setrlimit};
    // A child of its own: the limit on descriptors is the whole process's.
    if std::env::var_os("HAIPMGR_TEST_CHILD").is_none() {
        let name = "without_the_right_to_probe_the_gateway_is_unknown_and_not_lost";
        let child = std::process::Command::new(std::env::current_exe().unwrap())
            .args([name, "--exact", "--nocapture"])
            .env("HAIPMGR_TEST_CHILD", "1")
            .output()
            .unwrap();
        assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stderr));
        return;
    }
    in_new_namespace(|| async {
        let gateway = Neighbor::new();
        cable_to(&gateway).await;
        give(&netlink(), "eth0", "10.77.0.11", 24).await;
        let open = std::fs::read_dir("/proc/self/fd").unwrap().count() as u64;
        setrlimit(Resource::RLIMIT_NOFILE, open / 2, 1024).unwrap();
        let mut scene = Scene::watching(gateway, settings());
        for _ in 0..3 {
            let (seen, _) = scene.next().await;
            let Fact::Unknown(Why::Other(text)) = seen.fact else { panic!("{seen:?}") };
            assert!(text.contains("Too many open files") && text.contains("10.77.0.254"), "{text}");
        }
    });
}
