//! What looks at the segment of one cluster: neighbors, gateways, who has an IPv4 VIP; and what speaks there.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock, Weak};

use decide::input::{Event, Frame, Says};
use decide::net::VipId;
use decide::policy::VipPolicy;
use tokio::sync::mpsc;

use super::Segments;
use crate::act::announce::Announcer;
use crate::config::Cluster;
use crate::journal::Log;
use crate::observe::gateway::{GatewaySettings, SharedGateway};
use crate::observe::neighbor::{NeighborReport, NeighborSettings, NeighborWatch};
use crate::observe::vip_echo::{EchoReport, EchoSettings, Shared as EchoShared, VipEcho};

/// What looks at the segment, and speaks on it, for one cluster.
pub(super) struct Segment {
    /// The cluster's, and those that single VIPs have of their own.
    pub(super) gateways: BTreeMap<IpAddr, Arc<SharedGateway>>,
    pub(super) neighbor: Arc<NeighborWatch>,
    pub(super) announcers: BTreeMap<VipId, Announcer>,
    /// Of each VIP that is of IPv4.
    pub(super) echoes: BTreeMap<VipId, VipEcho>,
}

impl Segment {
    /// Begins to look. What is heard goes to `frames`, all else to `events`.
    pub(super) fn watch(
        segments: &Segments,
        cluster: &Cluster,
        (address, interface): (IpAddr, &str),
        (frames, events): (&mpsc::UnboundedSender<Event>, &mpsc::UnboundedSender<Event>),
        journal: &Log,
    ) -> Self {
        let told = |events: &mpsc::UnboundedSender<Event>| {
            let events = events.clone();
            // Sending fails only when the cluster's task has ended.
            move |event| drop(events.send(event))
        };
        let (tell, tell_frame) = (told(events), told(frames));
        let gateways_to_be = Arc::new(OnceLock::<BTreeMap<IpAddr, Weak<SharedGateway>>>::new());
        let gateway_heard = {
            let gateways = Arc::clone(&gateways_to_be);
            move |gateway, asked_at| {
                let heard = gateways.get().and_then(|all| all.get(&gateway)).and_then(Weak::upgrade);
                if let Some(heard) = heard {
                    heard.heard_arp(asked_at);
                }
            }
        };
        let report = reporting(journal);
        let settings = NeighborSettings {
            interface: interface.to_owned(),
            vips: cluster.policy.vips.iter().map(|(id, vip)| (vip.address, *id)).collect(),
            own_address: address,
            members: cluster.policy.group.members.keys().copied().collect(),
            gateways: cluster.gateways().collect(),
        };
        let echoes = ask_by_echo(cluster, (address, interface), frames, journal);
        let asked = echoes.iter().map(|(id, echo)| (*id, echo.shared())).collect();
        let tell_either = frames_apart(tell_frame, tell, asked);
        let neighbor = Arc::new(segments.interfaces.watch(&settings, tell_either, gateway_heard, report));
        let watch_gateway = |gateway| {
            let (tell, by_arp) = (told(events), Arc::clone(&neighbor));
            let settings = GatewaySettings {
                interval: cluster.gateway_interval,
                misses_until_lost: cluster.gateway_misses,
                ..GatewaySettings::new(gateway, interface, address)
            };
            let is_the_clusters = gateway == cluster.gateway;
            let seen = move |seen| {
                tell(if is_the_clusters { Event::Gateway(seen) } else { Event::OwnGateway(gateway, seen) });
            };
            segments.gateways.watch(settings, seen, move || by_arp.ask_gateway(gateway))
        };
        let gateways: BTreeMap<IpAddr, Arc<SharedGateway>> =
            cluster.gateways().map(|gateway| (gateway, Arc::new(watch_gateway(gateway)))).collect();
        // Set once, here: they can't be there already.
        let _ = gateways_to_be
            .set(gateways.iter().map(|(gateway, watch)| (*gateway, Arc::downgrade(watch))).collect());
        let announcer = |vip: &VipPolicy| {
            let mut announcer = Announcer::new(interface, vip.address);
            announcer.prepare();
            announcer
        };
        let announcers = cluster.policy.vips.iter().map(|(id, vip)| (*id, announcer(vip))).collect();
        Self { gateways, neighbor, announcers, echoes }
    }
}

/// What asks by echo for each VIP that is of IPv4 while it is claimed. What is answered is told as the answer to an ARP probe is.
fn ask_by_echo(
    cluster: &Cluster,
    (own_address, interface): (IpAddr, &str),
    frames: &mpsc::UnboundedSender<Event>,
    journal: &Log,
) -> BTreeMap<VipId, VipEcho> {
    let vips = &cluster.policy.vips;
    let all: Vec<IpAddr> = vips.values().map(|vip| vip.address).collect();
    let echo = |(id, vip): (&VipId, &VipPolicy)| {
        let IpAddr::V4(address) = vip.address else { return None };
        let settings =
            EchoSettings { interface: interface.to_owned(), vip: address, vips: all.clone(), own_address };
        let (frames, id, log) = (frames.clone(), *id, journal.clone());
        // Sending fails only when the cluster's task has ended.
        let tell = move |from| drop(frames.send(Event::Frame(id, Frame { from, says: Says::Reply })));
        let report = move |report: EchoReport| log.error(&report.to_string());
        Some((id, VipEcho::new(settings, tell, report)))
    };
    vips.iter().filter_map(echo).collect()
}

/// What is amiss with hearing is an error, and its end is not.
fn reporting(journal: &Log) -> impl Fn(NeighborReport) + Send + Sync + 'static {
    let log = journal.clone();
    move |report| match report {
        NeighborReport::ReceiveUp { .. } | NeighborReport::FloodOver { .. } => {
            log.info(&report.to_string());
        }
        NeighborReport::ReceiveDown { .. } | NeighborReport::Flood { .. } => {
            log.error(&report.to_string());
        }
    }
}

/// Frames go apart from all else; whoever asked by echo hears of them too.
fn frames_apart(
    tell_frame: impl Fn(Event) + Send + Sync + 'static,
    tell: impl Fn(Event) + Send + Sync + 'static,
    asked: BTreeMap<VipId, Arc<EchoShared>>,
) -> impl Fn(Event) + Send + Sync + 'static {
    move |event| match event {
        // In one queue: what is heard after the silence comes after the word that it is over.
        Event::Frame(id, frame) => {
            if let Some(echo) = asked.get(&id) {
                let lets_go = matches!(frame.says, Says::Release { .. } | Says::ReleaseToOthers);
                echo.heard_by_arp(frame.from, lets_go);
            }
            tell_frame(event);
        }
        Event::ReceiveUp(..) => tell_frame(event),
        other => tell(other),
    }
}
