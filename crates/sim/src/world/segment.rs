//! The segments, the members' and the one that only VIPs are on: who hears whom there, and what they do to frames. The group's own talk has
//! its own matrix: its port can be cut while the clients' side lives, and the reverse.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use decide::input::{Event, Frame, Says};
use decide::net::{Mac, VipId};
use decide::policy::VipGateway;
use decide::time::Time;

use super::{Due, World, id_of_vip, place_of_vip};
use crate::group::{Place, Places};
use crate::nic::Nic;

/// What a fault takes from the network, until it is healed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Frames, and on the members' segment the peers' MySQL ports: these and all others hear each other no more.
    Segment(Nic, Places),
    /// The group's port: these and all others hear each other no more.
    GroupPort(Places),
    /// These hosts do not hear the gateway.
    Gateway(Places),
    /// These hosts do not hear the gateway that one VIP has of its own.
    OwnGateway(Places),
    /// This host hears nobody on the segment, and is heard.
    ReceiveDown(Nic, Place),
    /// This host is heard by nobody on the segment, and hears.
    Mute(Nic, Place),
    /// This share of all frames is lost, in percent.
    Loss(Nic, u8),
    /// This share of the frames that this host sends is lost, in percent.
    LossFrom(Nic, Place, u8),
    /// One frame in four comes twice.
    Duplicated(Nic),
    /// Frames overtake each other, by 5 ms at the most.
    Reordered(Nic),
    /// One frame in eight is up to 2 s late.
    Late(Nic),
    /// A host that is no member has the first VIP on this segment too, answers and announces.
    Stranger(Nic),
    /// A switch answers every probe from its cache, for whoever announced the VIP last before.
    SwitchAnswers(Nic),
}

impl Cut {
    /// Takes frames away from hosts that hear each other, or holds them back for longer than probes wait: what three
    /// unanswered probes prove is less then, and ONE-HOLDER is measured and not demanded.
    pub fn loses_frames_on(self, nic: Nic) -> bool {
        match self {
            Self::Loss(there, _) | Self::LossFrom(there, ..) | Self::Late(there) => there == nic,
            _ => false,
        }
    }

    /// Somebody who is no member, or no longer has it, answers for a VIP.
    pub fn answers_for_others_on(self, nic: Nic) -> bool {
        matches!(self, Self::Stranger(there) | Self::SwitchAnswers(there) if there == nic)
    }
}

/// The network as it is.
#[derive(Clone, Debug, Default)]
pub(super) struct Segment {
    /// What is cut now, each with its number.
    pub(super) cuts: Vec<(u32, Cut)>,
    pub(super) cut_serial: u32,
    /// On each segment, for each host, whom it does not hear.
    unheard: [[Places; 8]; 2],
    /// For each host, with whom its server can't talk.
    group_apart: [Places; 8],
    pub(super) gateway_lost: Places,
    own_gateway_lost: Places,
    last_arrival: [[[Time; 8]; 8]; 2],
    /// On each segment, when frames were last lost: what that leads to takes a moment.
    lossy_until: [Option<Time>; 2],
    /// Who announced each VIP last.
    pub(super) announced_by: BTreeMap<VipId, Mac>,
}

/// The address of a host.
pub fn address(place: Place) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 77, 0, 11 + u8::try_from(place).unwrap_or(u8::MAX)))
}

/// The address that a host has on this interface, beside VIPs.
pub(super) fn address_on(nic: Nic, place: Place) -> IpAddr {
    match nic {
        Nic::Eth0 => address(place),
        Nic::Eth1 => IpAddr::V4(Ipv4Addr::new(10, 78, 0, 11 + u8::try_from(place).unwrap_or(u8::MAX))),
    }
}

/// The host with this address, of `hosts`.
pub(super) fn place_of(address_asked: IpAddr, hosts: usize) -> Option<Place> {
    (0..hosts).find(|place| address(*place) == address_asked)
}

/// A stranger's hardware address.
const STRANGER: Mac = Mac([2, 0, 0, 0xee, 0xee, 0xee]);

impl World {
    /// The hardware address that a host has there now: an interface that is made anew has another.
    pub(super) fn mac(&self, nic: Nic, place: Place) -> Mac {
        let serial = self.hosts[place].card(nic).serial;
        let number = |place: usize| u8::try_from(place).unwrap_or(u8::MAX);
        Mac([2, 0, 0, number(nic.place()), serial, number(place)])
    }

    /// The interface that a VIP belongs on.
    pub(super) fn nic_of(&self, vip: usize) -> Nic {
        self.vips[vip].nic
    }

    /// The VIP that is on an interface of its own, if one is.
    pub(super) fn elsewhere(&self) -> Option<usize> {
        self.vips.iter().position(|vip| vip.nic == Nic::Eth1)
    }

    /// A VIP is on an interface of its own.
    pub(crate) fn has_elsewhere(&self) -> bool {
        self.elsewhere().is_some()
    }

    /// Who bears that VIP.
    pub(crate) fn holder_elsewhere(&self) -> Option<Place> {
        self.vips[self.elsewhere()?].holders.each().next()
    }

    /// The interfaces that hosts have.
    pub(super) fn nics(&self) -> impl Iterator<Item = Nic> + use<> {
        let both = self.elsewhere().is_some();
        Nic::EACH.into_iter().filter(move |nic| both || *nic == Nic::Eth0)
    }

    /// The interface on which the gateway is that one VIP has of its own.
    fn nic_of_own_gateway(&self) -> Nic {
        let own = (0..self.vips.len()).find(|vip| matches!(self.gateway_of(*vip), VipGateway::Own(_)));
        own.map_or(Nic::Eth0, |vip| self.nic_of(vip))
    }

    pub(super) fn cut(&mut self, cut: Cut) -> u32 {
        self.segment.cut_serial += 1;
        let number = self.segment.cut_serial;
        self.segment.cuts.push((number, cut));
        if matches!(cut, Cut::Stranger(_)) {
            self.push(self.now + Duration::from_millis(50), Due::StrangerAnnounces(number));
        }
        self.wire_up();
        number
    }

    pub(super) fn heal(&mut self, number: u32) {
        let loses = |cuts: &[(u32, Cut)], nic: Nic| cuts.iter().any(|(_, cut)| cut.loses_frames_on(nic));
        let before = Nic::EACH.map(|nic| loses(&self.segment.cuts, nic));
        self.segment.cuts.retain(|(known, _)| *known != number);
        for (nic, before) in Nic::EACH.into_iter().zip(before) {
            if before && !loses(&self.segment.cuts, nic) {
                // Late frames are up to 2 s late; a decision that rests on a lost one falls within some probes.
                self.segment.lossy_until[nic.place()] = Some(self.now + Duration::from_secs(3));
            }
        }
        self.wire_up();
    }

    /// Works out who hears whom.
    pub(super) fn wire_up(&mut self) {
        let all = Places::first(self.hosts.len());
        let segment = &mut self.segment;
        segment.unheard = Default::default();
        segment.group_apart = [Places::default(); 8];
        segment.gateway_lost = Places::default();
        segment.own_gateway_lost = Places::default();
        for (_, cut) in &segment.cuts {
            match *cut {
                Cut::Segment(nic, these) => split(&mut segment.unheard[nic.place()], these, all),
                Cut::GroupPort(these) => split(&mut segment.group_apart, these, all),
                Cut::Gateway(these) => segment.gateway_lost.0 |= these.0,
                Cut::OwnGateway(these) => segment.own_gateway_lost.0 |= these.0,
                Cut::ReceiveDown(nic, host) => segment.unheard[nic.place()][host] = all,
                Cut::Mute(nic, host) => {
                    segment.unheard[nic.place()].iter_mut().for_each(|unheard| unheard.add(host));
                }
                _ => {}
            }
        }
        for place in 0..self.hosts.len() {
            for own in [false, true] {
                self.lose_or_find_gateway(place, own);
            }
        }
    }

    /// `own`: the gateway that one VIP has of its own.
    fn lose_or_find_gateway(&mut self, place: Place, own: bool) {
        let segment = &self.segment;
        let cut = if own { segment.own_gateway_lost } else { segment.gateway_lost };
        let nic = if own { self.nic_of_own_gateway() } else { Nic::Eth0 };
        let lost = cut.has(place) || !self.hosts[place].is_on(nic);
        if own && !self.has_own_gateway() {
            return;
        }
        let known =
            if own { self.hosts[place].own_gateway_lost_at } else { self.hosts[place].gateway_lost_at };
        if lost == known.is_some() {
            return;
        }
        self.unpark(place);
        let mut lost_at = None;
        if lost {
            // Probed once a second, and lost after 4 s of misses.
            let at = self.now + self.between_ms(4_000, 5_000);
            lost_at = Some(at);
            self.push(at, Due::Unpark(place));
        }
        let host = &mut self.hosts[place];
        if own {
            host.own_gateway_lost_at = lost_at;
        } else {
            host.gateway_lost_at = lost_at;
        }
    }

    pub(super) fn is_cut(&self, which: impl Fn(Cut) -> bool) -> bool {
        self.segment.cuts.iter().any(|(_, cut)| which(*cut))
    }

    /// Whether frames are lost there now, or were a moment ago.
    pub(super) fn lossy(&self, nic: Nic) -> bool {
        self.chances.loss > 0.0
            || self.is_cut(|cut| cut.loses_frames_on(nic))
            || self.segment.lossy_until[nic.place()].is_some_and(|until| self.now < until)
    }

    /// A host hears another there: both are awake, and no cut is between them that way.
    pub(super) fn hears(&self, nic: Nic, to: Place, from: Place) -> bool {
        let awake = |place: Place| self.hosts[place].is_awake() && self.hosts[place].is_on(nic);
        awake(to) && awake(from) && !self.segment.unheard[nic.place()][to].has(from)
    }

    pub(super) fn hear_each_other(&self, nic: Nic, one: Place, other: Place) -> bool {
        self.hears(nic, one, other) && self.hears(nic, other, one)
    }

    /// Two servers can talk to each other as members of a group.
    pub(super) fn can_talk(&self, one: Place, other: Place) -> bool {
        let takes_part = |place: Place| self.hosts[place].is_awake() && self.hosts[place].server.takes_part();
        takes_part(one) && takes_part(other) && (one == other || self.group_link(one, other))
    }

    /// The group's port of each can be reached from the other.
    pub(super) fn group_link(&self, one: Place, other: Place) -> bool {
        let apart = &self.segment.group_apart;
        self.hosts[one].is_on(Nic::Eth0)
            && self.hosts[other].is_on(Nic::Eth0)
            && !apart[one].has(other)
            && !apart[other].has(one)
    }

    /// `AnnounceRelease`: one frame, which each host that hears it takes for its own or for another's.
    pub(super) fn announce_release(&mut self, from: Place, vip: VipId, to: Option<Mac>) {
        for host in (0..self.hosts.len()).filter(|host| *host != from) {
            let named = to == Some(self.mac(self.nic_of(place_of_vip(vip)), host));
            let heard_at = self.clock(host);
            self.send(
                from,
                host,
                vip,
                if named { Says::Release { heard_at } } else { Says::ReleaseToOthers },
            );
        }
    }

    pub(super) fn broadcast(&mut self, from: Place, vip: VipId, says: Says) {
        let nic = self.nic_of(place_of_vip(vip));
        let mac = self.mac(nic, from);
        if says == Says::Announcement {
            self.segment.announced_by.insert(vip, mac);
        }
        for to in (0..self.hosts.len()).filter(|to| *to != from) {
            self.send(from, to, vip, says);
        }
        if says == Says::Probe && self.hosts[from].is_awake() && self.hosts[from].is_on(nic) {
            if vip == self.first_on(nic)
                && self.is_cut(|cut| cut == Cut::Stranger(nic))
                && !self.segment.unheard[nic.place()][from].has(from)
            {
                self.push(
                    self.now + Duration::from_micros(300),
                    Due::Arp { to: from, vip, from: STRANGER, says: Says::Reply },
                );
            }
            let cached = self.segment.announced_by.get(&vip).copied();
            if let (true, Some(cached)) = (self.is_cut(|cut| cut == Cut::SwitchAnswers(nic)), cached)
                && cached != mac
            {
                self.push(
                    self.now + Duration::from_micros(100),
                    Due::Arp { to: from, vip, from: cached, says: Says::Reply },
                );
            }
        }
    }

    pub(super) fn stranger_announces(&mut self, number: u32) {
        let of_the_number = |(known, cut): &(u32, Cut)| match *cut {
            Cut::Stranger(nic) if *known == number => Some(nic),
            _ => None,
        };
        let Some(nic) = self.segment.cuts.iter().find_map(of_the_number) else { return };
        let vip = self.first_on(nic);
        for to in 0..self.hosts.len() {
            self.push(
                self.now + Duration::from_micros(100),
                Due::Arp { to, vip, from: STRANGER, says: Says::Announcement },
            );
        }
        let again = self.between_ms(100, 2_000);
        self.push(self.now + again, Due::StrangerAnnounces(number));
    }

    /// The VIP that a stranger on this segment uses.
    fn first_on(&self, nic: Nic) -> VipId {
        match nic {
            Nic::Eth0 => VipId::FIRST,
            Nic::Eth1 => self.elsewhere().map_or(VipId::FIRST, id_of_vip),
        }
    }

    fn send(&mut self, from: Place, to: Place, vip: VipId, says: Says) {
        let nic = self.nic_of(place_of_vip(vip));
        if !self.hears(nic, to, from) || self.chance(self.chances.loss) {
            return;
        }
        let mac = self.mac(nic, from);
        let mut wait = self.between_us(50, 400);
        let mut ordered = true;
        for place in 0..self.segment.cuts.len() {
            let roll = self.rng.u8(0..100);
            match self.segment.cuts[place].1 {
                Cut::Loss(there, percent) if there == nic && roll < percent => return,
                Cut::LossFrom(there, host, percent) if there == nic && host == from && roll < percent => {
                    return;
                }
                Cut::Duplicated(there) if there == nic && roll < 25 => {
                    let later = wait + self.between_us(1, 3_000);
                    self.push(self.now + later, Due::Arp { to, vip, from: mac, says });
                }
                Cut::Reordered(there) if there == nic => {
                    wait += self.between_us(0, 5_000);
                    ordered = false;
                }
                Cut::Late(there) if there == nic && roll < 12 => {
                    wait += self.between_ms(5, 2_000);
                    ordered = false;
                }
                _ => {}
            }
        }
        let mut at = self.now + wait;
        if ordered {
            // A switch does not let one frame overtake another between the same two ports.
            let last = &mut self.segment.last_arrival[nic.place()][from][to];
            at = at.max(*last);
            *last = at;
        }
        self.push(at, Due::Arp { to, vip, from: mac, says });
    }

    /// A question from the host's own address: whoever has the VIP answers, and nobody's agent hears a claim.
    pub(super) fn ask_who_has_vip(&mut self, from: Place, vip: VipId) {
        for to in (0..self.hosts.len()).filter(|to| *to != from) {
            // The answer may be lost on its own way.
            let has_it = self.hosts[to].vips[place_of_vip(vip)].here.is_some();
            let nic = self.nic_of(place_of_vip(vip));
            if has_it && self.hear_each_other(nic, from, to) && !self.loses_frame(nic, from) {
                self.send(to, from, vip, Says::Reply);
            }
        }
    }

    pub(super) fn arp(&mut self, to: Place, vip: VipId, from: Mac, says: Says) {
        let nic = self.nic_of(place_of_vip(vip));
        if !self.hosts[to].is_awake() || !self.hosts[to].is_on(nic) {
            return;
        }
        if matches!(says, Says::Probe | Says::Fitness(_) | Says::Member(_))
            && self.hosts[to].vips[place_of_vip(vip)].here.is_some()
            && let Some(asker) = (0..self.hosts.len()).find(|place| self.mac(nic, *place) == from)
        {
            self.send(to, asker, vip, Says::Reply);
        }
        let says = match says {
            Says::Release { .. } => Says::Release { heard_at: self.clock(to) },
            other => other,
        };
        self.tell_agent(to, self.hosts[to].life, Event::Frame(vip, Frame { from, says }));
    }
}

fn split(apart: &mut [Places; 8], these: Places, all: Places) {
    for (place, unheard) in apart.iter_mut().enumerate() {
        unheard.0 |= if these.has(place) { all.without(these).0 } else { these.0 };
    }
}
