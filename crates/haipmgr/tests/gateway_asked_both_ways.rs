//! A check that waits asks the gateway by echo and by ARP at once, so that one lost ARP request, of whichever side, costs
//! no second. Real kernels in network namespaces of the tests' own. Needs root.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod namespace;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use decide::input::{Fact, Gateway, Seen};
use decide::net::VipId;
use decide::time::Time;
use haipmgr::clock;
use haipmgr::observe::gateway::{GatewaySettings, Gateways, SharedGateway};
use haipmgr::observe::neighbor::{Interfaces, NeighborSettings, NeighborWatch};
use linux::neighbor_socket::NeighborListener;
use namespace::{LIMIT, Neighbor, cable_to, forget_neighbors, give, in_new_namespace, netlink, set};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::{Instant, timeout, timeout_at};
use wire::{Family, NeighborMessage};

const OWN: &str = "10.77.0.11";
const GATEWAY: &str = "10.77.0.254";
/// Answering echo: "0" it does, "1" it does not.
const ECHO_IGNORED: &str = "ipv4/icmp_echo_ignore_all";
/// Answering ARP: "0" it does, "8" it does not.
const ARP_IGNORED: &str = "ipv4/conf/eth0/arp_ignore";
/// How often the rules ask while a claim waits for the gateway.
const ASKED_EVERY: Duration = Duration::from_millis(20);
/// Well below the 250 ms after which a probe is missed, and the second after which a kernel repeats its ARP request.
const SOON: Duration = Duration::from_millis(150);
const ROUNDS: usize = 5;

/// Two clusters on one host, wired to the segment as the agent wires them, and their gateway.
struct Scene {
    router: Neighbor,
    clusters: Vec<Cluster>,
}

struct Cluster {
    gateway: Arc<SharedGateway>,
    _neighbor: Arc<NeighborWatch>,
    facts: UnboundedReceiver<Seen<Gateway>>,
}

impl Cluster {
    fn new(interfaces: &Interfaces, gateways: &Gateways, vip: &str) -> Self {
        let address = |text: &str| -> IpAddr { text.parse().unwrap() };
        let settings = NeighborSettings {
            interface: "eth0".to_owned(),
            only_vips: false,
            vips: BTreeMap::from([(address(vip), VipId::FIRST)]),
            own_address: address(OWN),
            members: vec![address(OWN)],
            gateways: vec![address(GATEWAY)],
        };
        let to_be = Arc::new(OnceLock::<Weak<SharedGateway>>::new());
        let heard = {
            let to_be = Arc::clone(&to_be);
            move |_, asked_at| {
                if let Some(gateway) = to_be.get().and_then(Weak::upgrade) {
                    gateway.heard_arp(asked_at);
                }
            }
        };
        let neighbor = Arc::new(interfaces.watch(&settings, |_| {}, heard, |_| {}));
        let (tell, facts) = unbounded_channel();
        let by_arp = Arc::clone(&neighbor);
        let settings = GatewaySettings::new(address(GATEWAY), "eth0", address(OWN));
        let gateway = Arc::new(gateways.watch(
            settings,
            move |seen| drop(tell.send(seen)),
            move || by_arp.ask_gateway(address(GATEWAY)),
        ));
        to_be.set(Arc::downgrade(&gateway)).unwrap();
        Self { gateway, _neighbor: neighbor, facts }
    }

    /// Asks as the rules do while a claim waits, until something fresh is told; gives how long that took.
    async fn check(&mut self) -> Duration {
        let (since, began) = (clock::now(), Instant::now());
        while began.elapsed() < LIMIT {
            self.gateway.ask_now();
            let again = Instant::now() + ASKED_EVERY;
            while let Ok(Some(seen)) = timeout_at(again, self.facts.recv()).await {
                if is_fresh(&seen, since) {
                    return began.elapsed();
                }
            }
        }
        panic!("nothing was heard of the gateway");
    }

    async fn reachable(&mut self) {
        let since = Time(0);
        let told = async { while !is_fresh(&self.facts.recv().await.unwrap(), since) {} };
        timeout(LIMIT, told).await.expect("the gateway is there");
    }
}

fn is_fresh(seen: &Seen<Gateway>, since: Time) -> bool {
    seen.fact == Fact::Known(Gateway::Reachable) && seen.asked_at >= since
}

impl Scene {
    async fn new() -> Self {
        let router = Neighbor::new();
        cable_to(&router).await;
        give(&netlink(), "eth0", OWN, 24).await;
        router.run(|| async { give(&netlink(), "eth0", GATEWAY, 24).await });
        let (interfaces, gateways) = (Interfaces::default(), Gateways::default());
        let mut clusters: Vec<_> =
            ["10.77.0.100", "10.77.0.101"].map(|vip| Cluster::new(&interfaces, &gateways, vip)).into();
        for cluster in &mut clusters {
            cluster.reachable().await;
        }
        Self { router, clusters }
    }

    /// How long a check usually takes: the median, each time with this done before it.
    async fn usual_check(&mut self, mut before: impl AsyncFnMut(&Neighbor)) -> Duration {
        let mut took = Vec::new();
        for _ in 0..ROUNDS {
            before(&self.router).await;
            took.push(self.clusters[0].check().await);
        }
        took.sort();
        println!("question to answer, {ROUNDS} times: {took:?}");
        took[ROUNDS / 2]
    }
}

/// Waits until somebody else asks for `address`, then answers ARP again.
fn answer_from_the_second_on(address: &'static str) {
    let listener = NeighborListener::open("eth0", Family::V4).unwrap();
    let address: IpAddr = address.parse().unwrap();
    tokio::spawn(async move {
        loop {
            let heard = listener.receive().await.unwrap().message;
            if matches!(heard, NeighborMessage::Question { target, .. } if target == address) {
                break;
            }
        }
        set(ARP_IGNORED, "0");
    });
}

#[test]
fn a_gateway_that_drops_the_first_arp_request_is_heard_at_once_all_the_same() {
    in_new_namespace(|| async {
        let mut scene = Scene::new().await;
        let took = scene
            .usual_check(async |router| {
                router.run(|| async {
                    set(ARP_IGNORED, "8");
                    answer_from_the_second_on(GATEWAY);
                });
                forget_neighbors().await;
            })
            .await;
        assert!(took < SOON, "{took:?}");
    });
}

#[test]
fn a_gateway_whose_first_arp_request_is_lost_is_heard_at_once_all_the_same() {
    in_new_namespace(|| async {
        let mut scene = Scene::new().await;
        let took = scene
            .usual_check(async |router| {
                set(ARP_IGNORED, "8");
                answer_from_the_second_on(OWN);
                router.run(|| async { forget_neighbors().await });
            })
            .await;
        assert!(took < SOON, "{took:?}");
    });
}

#[test]
fn a_gateway_that_answers_only_arp_and_one_that_answers_only_echo_are_both_heard_at_once() {
    in_new_namespace(|| async {
        let mut scene = Scene::new().await;
        scene.router.set(ECHO_IGNORED, "1");
        let took = scene.usual_check(async |_| {}).await;
        assert!(took < SOON, "by ARP alone: {took:?}");
        scene.router.set(ECHO_IGNORED, "0");
        scene.router.set(ARP_IGNORED, "8");
        let took = scene.usual_check(async |_| {}).await;
        assert!(took < SOON, "by echo alone: {took:?}");
    });
}

#[test]
fn a_cluster_hears_what_another_asked_of_the_gateway_that_they_share() {
    in_new_namespace(|| async {
        let mut scene = Scene::new().await;
        scene.router.set(ECHO_IGNORED, "1");
        let since = clock::now();
        let (asks, hears) = scene.clusters.split_at_mut(1);
        asks[0].check().await;
        let told = async { while !is_fresh(&hears[0].facts.recv().await.unwrap(), since) {} };
        timeout(LIMIT, told).await.expect("the other cluster is told too");
    });
}

#[test]
fn a_gateway_that_is_known_is_asked_alone_too_in_case_that_broadcasts_are_dropped() {
    in_new_namespace(|| async {
        let mut scene = Scene::new().await;
        let (tell, mut asked) = unbounded_channel();
        scene.router.run(|| async move {
            let listener = NeighborListener::open("eth0", Family::V4).unwrap();
            tokio::spawn(async move {
                while let Ok(received) = listener.receive().await {
                    let _ = tell.send(received.to_us_alone);
                }
            });
        });
        let both = async {
            let (mut alone, mut with_all) = (false, false);
            while !(alone && with_all) {
                scene.clusters[0].check().await;
                let to_it_alone = asked.recv().await.unwrap();
                alone |= to_it_alone;
                with_all |= !to_it_alone;
            }
        };
        timeout(LIMIT, both).await.expect("the gateway's MAC and everybody are asked by turns");
    });
}
