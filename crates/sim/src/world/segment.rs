//! The segment: who hears whom, and what it does to frames. The group's own talk has its own matrix: its port can be cut
//! while the clients' side lives, and the reverse.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use decide::input::{Event, Frame, Says};
use decide::net::{Mac, VipId};
use decide::time::Time;

use super::{Due, World, place_of_vip};
use crate::group::{Place, Places};

/// What a fault takes from the network, until it is healed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Frames, the peers' MySQL ports: these and all others hear each other no more.
    Segment(Places),
    /// The group's port: these and all others hear each other no more.
    GroupPort(Places),
    /// These hosts do not hear the gateway.
    Gateway(Places),
    /// These hosts do not hear the gateway that one VIP has of its own.
    OwnGateway(Places),
    /// This host hears nobody on the segment, and is heard.
    ReceiveDown(Place),
    /// This host is heard by nobody on the segment, and hears.
    Mute(Place),
    /// This share of all frames is lost, in percent.
    Loss(u8),
    /// This share of the frames that this host sends is lost, in percent.
    LossFrom(Place, u8),
    /// One frame in four comes twice.
    Duplicated,
    /// Frames overtake each other, by 5 ms at the most.
    Reordered,
    /// One frame in eight is up to 2 s late.
    Late,
    /// A host that is no member has the first VIP too, answers and announces.
    Stranger,
    /// A switch answers every probe from its cache, for whoever announced the VIP last before.
    SwitchAnswers,
}

impl Cut {
    /// Takes frames away from hosts that hear each other, or holds them back for longer than probes wait: what three
    /// unanswered probes prove is less then, and ONE-HOLDER is measured and not demanded.
    pub fn loses_frames(self) -> bool {
        matches!(self, Self::Loss(_) | Self::LossFrom(..) | Self::Late)
    }
}

/// The network as it is.
#[derive(Clone, Debug, Default)]
pub(super) struct Segment {
    /// What is cut now, each with its number.
    pub(super) cuts: Vec<(u32, Cut)>,
    pub(super) cut_serial: u32,
    /// For each host, whom it does not hear.
    unheard: [Places; 8],
    /// For each host, with whom its server can't talk.
    group_apart: [Places; 8],
    pub(super) gateway_lost: Places,
    own_gateway_lost: Places,
    last_arrival: [[Time; 8]; 8],
    /// When frames were last lost: what that leads to takes a moment.
    pub(super) lossy_until: Option<Time>,
    /// Who announced each VIP last.
    pub(super) announced_by: BTreeMap<VipId, Mac>,
}

/// The address of a host.
pub fn address(place: Place) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 77, 0, 11 + u8::try_from(place).unwrap_or(u8::MAX)))
}

/// The host with this address, of `hosts`.
pub(super) fn place_of(address_asked: IpAddr, hosts: usize) -> Option<Place> {
    (0..hosts).find(|place| address(*place) == address_asked)
}

/// A stranger's hardware address.
const STRANGER: Mac = Mac([2, 0, 0, 0xee, 0xee, 0xee]);

impl World {
    /// The hardware address that a host has now: an interface that is made anew has another.
    pub(super) fn mac(&self, place: Place) -> Mac {
        Mac([2, 0, 0, 0, self.hosts[place].interface_serial, u8::try_from(place).unwrap_or(u8::MAX)])
    }

    pub(super) fn cut(&mut self, cut: Cut) -> u32 {
        self.segment.cut_serial += 1;
        let number = self.segment.cut_serial;
        self.segment.cuts.push((number, cut));
        if cut == Cut::Stranger {
            self.push(self.now + Duration::from_millis(50), Due::StrangerAnnounces(number));
        }
        self.wire_up();
        number
    }

    pub(super) fn heal(&mut self, number: u32) {
        let loses = |cuts: &[(u32, Cut)]| cuts.iter().any(|(_, cut)| cut.loses_frames());
        let before = loses(&self.segment.cuts);
        self.segment.cuts.retain(|(known, _)| *known != number);
        if before && !loses(&self.segment.cuts) {
            // Late frames are up to 2 s late; a decision that rests on a lost one falls within some probes.
            self.segment.lossy_until = Some(self.now + Duration::from_secs(3));
        }
        self.wire_up();
    }

    /// Works out who hears whom.
    pub(super) fn wire_up(&mut self) {
        let all = Places::first(self.hosts.len());
        let segment = &mut self.segment;
        segment.unheard = [Places::default(); 8];
        segment.group_apart = [Places::default(); 8];
        segment.gateway_lost = Places::default();
        segment.own_gateway_lost = Places::default();
        for (_, cut) in &segment.cuts {
            match *cut {
                Cut::Segment(these) => split(&mut segment.unheard, these, all),
                Cut::GroupPort(these) => split(&mut segment.group_apart, these, all),
                Cut::Gateway(these) => segment.gateway_lost.0 |= these.0,
                Cut::OwnGateway(these) => segment.own_gateway_lost.0 |= these.0,
                Cut::ReceiveDown(host) => segment.unheard[host] = all,
                Cut::Mute(host) => segment.unheard.iter_mut().for_each(|unheard| unheard.add(host)),
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
        let lost = cut.has(place) || !self.hosts[place].interface;
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

    /// Whether frames are lost now, or were a moment ago.
    pub(super) fn lossy(&self) -> bool {
        self.chances.loss > 0.0
            || self.is_cut(Cut::loses_frames)
            || self.segment.lossy_until.is_some_and(|until| self.now < until)
    }

    /// A host hears another: both are awake, and no cut is between them that way.
    pub(super) fn hears(&self, to: Place, from: Place) -> bool {
        let awake = |place: Place| self.hosts[place].is_awake() && self.hosts[place].interface;
        awake(to) && awake(from) && !self.segment.unheard[to].has(from)
    }

    pub(super) fn hear_each_other(&self, one: Place, other: Place) -> bool {
        self.hears(one, other) && self.hears(other, one)
    }

    /// Two servers can talk to each other as members of a group.
    pub(super) fn can_talk(&self, one: Place, other: Place) -> bool {
        let takes_part = |place: Place| self.hosts[place].is_awake() && self.hosts[place].server.takes_part();
        takes_part(one) && takes_part(other) && (one == other || self.group_link(one, other))
    }

    /// The group's port of each can be reached from the other.
    pub(super) fn group_link(&self, one: Place, other: Place) -> bool {
        let apart = &self.segment.group_apart;
        self.hosts[one].interface
            && self.hosts[other].interface
            && !apart[one].has(other)
            && !apart[other].has(one)
    }

    /// `AnnounceRelease`: one frame, which each host that hears it takes for its own or for another's.
    pub(super) fn announce_release(&mut self, from: Place, vip: VipId, to: Option<Mac>) {
        for host in (0..self.hosts.len()).filter(|host| *host != from) {
            let named = to == Some(self.mac(host));
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
        let mac = self.mac(from);
        if says == Says::Announcement {
            self.segment.announced_by.insert(vip, mac);
        }
        for to in (0..self.hosts.len()).filter(|to| *to != from) {
            self.send(from, to, vip, says);
        }
        if says == Says::Probe && self.hosts[from].is_awake() && self.hosts[from].interface {
            if vip == VipId::FIRST
                && self.is_cut(|cut| cut == Cut::Stranger)
                && !self.segment.unheard[from].has(from)
            {
                self.push(
                    self.now + Duration::from_micros(300),
                    Due::Arp { to: from, vip, from: STRANGER, says: Says::Reply },
                );
            }
            if let (true, Some(cached)) =
                (self.is_cut(|cut| cut == Cut::SwitchAnswers), self.segment.announced_by.get(&vip).copied())
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
        if !self.segment.cuts.iter().any(|(known, _)| *known == number) {
            return;
        }
        for to in 0..self.hosts.len() {
            self.push(
                self.now + Duration::from_micros(100),
                Due::Arp { to, vip: VipId::FIRST, from: STRANGER, says: Says::Announcement },
            );
        }
        let again = self.between_ms(100, 2_000);
        self.push(self.now + again, Due::StrangerAnnounces(number));
    }

    fn send(&mut self, from: Place, to: Place, vip: VipId, says: Says) {
        if !self.hears(to, from) || self.chance(self.chances.loss) {
            return;
        }
        let mac = self.mac(from);
        let mut wait = self.between_us(50, 400);
        let mut ordered = true;
        for place in 0..self.segment.cuts.len() {
            let roll = self.rng.u8(0..100);
            match self.segment.cuts[place].1 {
                Cut::Loss(percent) if roll < percent => return,
                Cut::LossFrom(host, percent) if host == from && roll < percent => return,
                Cut::Duplicated if roll < 25 => {
                    let later = wait + self.between_us(1, 3_000);
                    self.push(self.now + later, Due::Arp { to, vip, from: mac, says });
                }
                Cut::Reordered => {
                    wait += self.between_us(0, 5_000);
                    ordered = false;
                }
                Cut::Late if roll < 12 => {
                    wait += self.between_ms(5, 2_000);
                    ordered = false;
                }
                _ => {}
            }
        }
        let mut at = self.now + wait;
        if ordered {
            // A switch does not let one frame overtake another between the same two ports.
            at = at.max(self.segment.last_arrival[from][to]);
            self.segment.last_arrival[from][to] = at;
        }
        self.push(at, Due::Arp { to, vip, from: mac, says });
    }

    /// A question from the host's own address: whoever has the VIP answers, and nobody's agent hears a claim.
    pub(super) fn ask_who_has_vip(&mut self, from: Place, vip: VipId) {
        for to in (0..self.hosts.len()).filter(|to| *to != from) {
            // The answer may be lost on its own way.
            let has_it = self.hosts[to].vips[place_of_vip(vip)].here.is_some();
            if has_it && self.hear_each_other(from, to) && !self.loses_frame(from) {
                self.send(to, from, vip, Says::Reply);
            }
        }
    }

    pub(super) fn arp(&mut self, to: Place, vip: VipId, from: Mac, says: Says) {
        if !self.hosts[to].is_awake() || !self.hosts[to].interface {
            return;
        }
        if matches!(says, Says::Probe | Says::Fitness(_) | Says::Member(_))
            && self.hosts[to].vips[place_of_vip(vip)].here.is_some()
            && let Some(asker) = (0..self.hosts.len()).find(|place| self.mac(*place) == from)
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
