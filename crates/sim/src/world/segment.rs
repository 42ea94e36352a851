//! The segment: who is who on it, and what it does to frames.

use std::net::{IpAddr, Ipv4Addr};

use decide::event::{Event, Frame, Mac, Says};

use super::{Due, World};
use crate::group::Place;

/// The address of a host.
pub fn address(place: Place) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(10, 77, 0, 11 + u8::try_from(place).unwrap_or(u8::MAX)))
}

pub(super) fn mac(place: Place) -> Mac {
    Mac([2, 0, 0, 0, 0, u8::try_from(place).unwrap_or(u8::MAX)])
}

impl World {
    pub(super) fn broadcast(&mut self, from: Place, says: Says) {
        for to in (0..self.hosts.len()).filter(|to| *to != from) {
            self.send(from, to, says);
        }
    }

    fn send(&mut self, from: Place, to: Place, says: Says) {
        let apart = self.hosts[from].isolated || self.hosts[to].isolated;
        if apart || !self.hosts[to].powered || self.chance(self.chances.loss) {
            return;
        }
        let wait = self.between_us(50, 400);
        // A switch does not let one frame overtake another between the same two ports.
        let last = self.last_arrival.get(&(from, to)).copied().unwrap_or_default();
        let at = (self.now + wait).max(last);
        self.last_arrival.insert((from, to), at);
        self.push(at, Due::Arp { to, from, says });
    }

    pub(super) fn arp(&mut self, to: Place, from: Place, says: Says) {
        if !self.hosts[to].powered {
            return;
        }
        if says == Says::Probe && self.hosts[to].vip.is_some() {
            self.send(to, from, Says::Reply);
        }
        self.tell_agent(to, self.hosts[to].life, Event::Frame(Frame { from: mac(from), says }));
    }
}
