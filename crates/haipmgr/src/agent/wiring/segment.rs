//! What looks at the segment of one cluster: neighbors, gateways, who has an IPv4 VIP; and what speaks there.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Arc, OnceLock, Weak};

use decide::input::{Event, Frame, Says};
use decide::net::VipId;
use decide::policy::{VipGateway, VipPolicy};
use decide::time::Time;
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
    /// On the member's own interface.
    pub(super) neighbor: Arc<NeighborWatch>,
    /// On each interface that only VIPs are on, by its name.
    elsewhere: BTreeMap<String, Arc<NeighborWatch>>,
    /// The VIPs that are on those.
    homes: BTreeMap<VipId, String>,
    pub(super) announcers: BTreeMap<VipId, Announcer>,
    /// Of each VIP that is of IPv4.
    pub(super) echoes: BTreeMap<VipId, VipEcho>,
}

/// What is looked at on one interface.
struct Look<'a> {
    interface: &'a str,
    /// No member's address is on it.
    only_vips: bool,
    vips: BTreeMap<IpAddr, VipId>,
    gateways: Vec<IpAddr>,
}

/// A watch's gateways, each once it is there.
type GatewaysToBe = Arc<OnceLock<BTreeMap<IpAddr, Weak<SharedGateway>>>>;

/// Whom a cluster's agent is told by: what is heard goes to the first, all else to the second.
type Told<'a> = (&'a mpsc::UnboundedSender<Event>, &'a mpsc::UnboundedSender<Event>);

impl Segment {
    /// Begins to look.
    pub(super) fn watch(
        segments: &Segments,
        cluster: &Cluster,
        (address, interface): (IpAddr, &str),
        told: Told<'_>,
        journal: &Log,
    ) -> Self {
        let homes = homes(cluster, address);
        let echoes = ask_by_echo(cluster, (address, interface, &homes), told.0, journal);
        let gateways_to_be = GatewaysToBe::default();
        let listen = |look: &Look<'_>| {
            let settings = NeighborSettings {
                interface: look.interface.to_owned(),
                only_vips: look.only_vips,
                vips: look.vips.clone(),
                own_address: address,
                members: cluster.policy.group.members.keys().copied().collect(),
                gateways: look.gateways.clone(),
            };
            let asked = echoes.iter().filter(|(id, _)| look.vips.values().any(|vip| vip == *id));
            let asked = asked.map(|(id, echo)| (*id, echo.shared())).collect();
            let tell = frames_apart(sending(told.0), sending(told.1), asked);
            let heard = gateway_heard(&gateways_to_be);
            Arc::new(segments.interfaces.watch(&settings, tell, heard, reporting(journal)))
        };
        let mut gateways = BTreeMap::new();
        let mut begin = |look: &Look<'_>| {
            let neighbor = listen(look);
            for gateway in &look.gateways {
                let watched = watch_gateway(segments, cluster, (*gateway, address, look), &neighbor, told.1);
                gateways.insert(*gateway, Arc::new(watched));
            }
            neighbor
        };
        let neighbor = begin(&look_at_members(cluster, interface, &homes));
        let names: BTreeSet<&String> = homes.values().collect();
        let elsewhere =
            names.into_iter().map(|name| (name.clone(), begin(&look_at_vips(cluster, name, &homes))));
        let elsewhere = elsewhere.collect();
        // Set once, here: they can't be there already.
        let _ = gateways_to_be
            .set(gateways.iter().map(|(gateway, watch)| (*gateway, Arc::downgrade(watch))).collect());
        let announcer = |(id, vip): (&VipId, &VipPolicy)| {
            let mut announcer = Announcer::new(homes.get(id).map_or(interface, String::as_str), vip.address);
            announcer.prepare();
            (*id, announcer)
        };
        let announcers = cluster.policy.vips.iter().map(announcer).collect();
        Self { gateways, neighbor, elsewhere, homes, announcers, echoes }
    }

    /// What listens on the interface of this VIP.
    pub(super) fn neighbor_of(&self, vip: VipId) -> &NeighborWatch {
        let elsewhere = self.homes.get(&vip).and_then(|interface| self.elsewhere.get(interface));
        elsewhere.unwrap_or(&self.neighbor)
    }

    /// On each interface.
    pub(super) fn neighbors(&self) -> impl Iterator<Item = &NeighborWatch> {
        std::iter::once(&self.neighbor).chain(self.elsewhere.values()).map(Arc::as_ref)
    }

    /// A probe for this VIP was sent.
    pub(super) fn echo_probe(&mut self, vip: VipId) {
        let elsewhere = self.homes.get(&vip).and_then(|interface| self.elsewhere.get(interface));
        let neighbor = elsewhere.unwrap_or(&self.neighbor);
        if let Some(echo) = self.echoes.get_mut(&vip) {
            echo.probe_sent(|| neighbor.members());
        }
    }
}

/// Each VIP that is on another interface of this member's host than its own, with that.
fn homes(cluster: &Cluster, member: IpAddr) -> BTreeMap<VipId, String> {
    let home = |(id, vip): (&VipId, &VipPolicy)| Some((*id, vip.interfaces.get(&member)?.clone()));
    cluster.policy.vips.iter().filter_map(home).collect()
}

/// On the member's own interface: the cluster's gateway too.
fn look_at_members<'a>(cluster: &Cluster, interface: &'a str, homes: &BTreeMap<VipId, String>) -> Look<'a> {
    let (vips, gateways) = on(cluster, homes, None);
    let others = gateways.into_iter().filter(|gateway| *gateway != cluster.gateway);
    let gateways = std::iter::once(cluster.gateway).chain(others).collect();
    Look { interface, only_vips: false, vips, gateways }
}

fn look_at_vips<'a>(cluster: &Cluster, interface: &'a String, homes: &BTreeMap<VipId, String>) -> Look<'a> {
    let (vips, gateways) = on(cluster, homes, Some(interface));
    Look { interface, only_vips: true, vips, gateways: gateways.into_iter().collect() }
}

/// The VIPs that are at home there, and the gateways that they have of their own.
fn on(
    cluster: &Cluster,
    homes: &BTreeMap<VipId, String>,
    home: Option<&String>,
) -> (BTreeMap<IpAddr, VipId>, BTreeSet<IpAddr>) {
    let vips = || cluster.policy.vips.iter().filter(|(id, _)| homes.get(id) == home);
    let own = |(_, vip): (&VipId, &VipPolicy)| match vip.gateway {
        VipGateway::Own(gateway) => Some(gateway),
        VipGateway::TheClusters | VipGateway::Nobody => None,
    };
    (vips().map(|(id, vip)| (vip.address, *id)).collect(), vips().filter_map(own).collect())
}

/// Sending fails only when the cluster's task has ended.
fn sending(events: &mpsc::UnboundedSender<Event>) -> impl Fn(Event) + Send + Sync + 'static {
    let events = events.clone();
    move |event| drop(events.send(event))
}

fn gateway_heard(to_be: &GatewaysToBe) -> impl Fn(IpAddr, Time) + Send + Sync + 'static {
    let gateways = Arc::clone(to_be);
    move |gateway, asked_at| {
        let heard = gateways.get().and_then(|all| all.get(&gateway)).and_then(Weak::upgrade);
        if let Some(heard) = heard {
            heard.heard_arp(asked_at);
        }
    }
}

/// `neighbor`: what asks it by ARP, on the same interface.
fn watch_gateway(
    segments: &Segments,
    cluster: &Cluster,
    (gateway, own, look): (IpAddr, IpAddr, &Look<'_>),
    neighbor: &Arc<NeighborWatch>,
    events: &mpsc::UnboundedSender<Event>,
) -> SharedGateway {
    let (tell, by_arp) = (sending(events), Arc::clone(neighbor));
    let settings = GatewaySettings {
        interval: cluster.gateway_interval,
        misses_until_lost: cluster.gateway_misses,
        source: (!look.only_vips).then_some(own),
        ..GatewaySettings::new(gateway, look.interface, own)
    };
    let is_the_clusters = gateway == cluster.gateway;
    let seen = move |seen| {
        tell(if is_the_clusters { Event::Gateway(seen) } else { Event::OwnGateway(gateway, seen) });
    };
    segments.gateways.watch(settings, seen, move || by_arp.ask_gateway(gateway))
}

/// What asks by echo for each VIP that is of IPv4 while it is claimed. What is answered is told as the answer to an ARP probe is.
fn ask_by_echo(
    cluster: &Cluster,
    (own_address, interface, homes): (IpAddr, &str, &BTreeMap<VipId, String>),
    frames: &mpsc::UnboundedSender<Event>,
    journal: &Log,
) -> BTreeMap<VipId, VipEcho> {
    let vips = &cluster.policy.vips;
    let all: Vec<IpAddr> = vips.values().map(|vip| vip.address).collect();
    let echo = |(id, vip): (&VipId, &VipPolicy)| {
        let IpAddr::V4(address) = vip.address else { return None };
        let home = homes.get(id);
        let settings = EchoSettings {
            interface: home.map_or(interface, String::as_str).to_owned(),
            vip: address,
            vips: all.clone(),
            own_address: home.is_none().then_some(own_address),
        };
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
