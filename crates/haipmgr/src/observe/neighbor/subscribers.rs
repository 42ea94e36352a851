//! What one cluster makes of the frames that its interface hears.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use decide::event::{Event, Frame, Mac, Says};
use decide::time::Time;
use tokio::time::Instant;

use super::{CHANGES_PER_SECOND, FRAMES_PER_SECOND, NeighborError, NeighborReport, NeighborSettings, ipv4};
use crate::arp_socket::Received;
use crate::observe::token_bucket::TokenBucket;
use crate::wire::arp::Operation;

type Tell = Box<dyn Fn(Event) + Send>;
type Heard = Box<dyn Fn(Time) + Send>;
type Report = Box<dyn Fn(NeighborReport) + Send>;

/// One cluster's.
pub(super) struct Subscriber {
    interface: String,
    vip: Ipv4Addr,
    own_address: Ipv4Addr,
    gateway: Ipv4Addr,
    gateway_answered: bool,
    /// The MAC of each member other than this host, as far as it is known and was told.
    members: BTreeMap<Ipv4Addr, Option<Mac>>,
    from_members: TokenBucket,
    from_strangers: TokenBucket,
    changes: TokenBucket,
    answers: TokenBucket,
    flood: Flood,
    tell: Tell,
    gateway_heard: Heard,
    report: Report,
}

/// Frames dropped since the last look, and in the whole flood, if there is one.
#[derive(Default)]
struct Flood {
    dropped: u64,
    total: Option<u64>,
}

impl Subscriber {
    pub(super) fn new(
        settings: NeighborSettings,
        tell: impl Fn(Event) + Send + 'static,
        gateway_heard: impl Fn(Time) + Send + 'static,
        report: impl Fn(NeighborReport) + Send + 'static,
    ) -> Result<Self, NeighborError> {
        let own_address = ipv4(settings.own_address)?;
        let mut members = BTreeMap::new();
        for member in &settings.members {
            let member = ipv4(*member)?;
            if member != own_address {
                members.insert(member, None);
            }
        }
        let now = Instant::now();
        Ok(Self {
            interface: settings.interface,
            vip: ipv4(settings.vip)?,
            own_address,
            gateway: ipv4(settings.gateway)?,
            gateway_answered: false,
            members,
            from_members: TokenBucket::new(FRAMES_PER_SECOND, now),
            from_strangers: TokenBucket::new(FRAMES_PER_SECOND, now),
            changes: TokenBucket::new(CHANGES_PER_SECOND, now),
            answers: TokenBucket::new(FRAMES_PER_SECOND, now),
            flood: Flood::default(),
            tell: Box::new(tell),
            gateway_heard: Box::new(gateway_heard),
            report: Box::new(report),
        })
    }

    pub(super) fn tell_receive_up(&self, hearing: bool) {
        (self.tell)(Event::ReceiveUp(hearing));
    }

    pub(super) fn vip(&self) -> Ipv4Addr {
        self.vip
    }

    pub(super) fn gateway(&self) -> Ipv4Addr {
        self.gateway
    }

    pub(super) fn report(&self, report: NeighborReport) {
        (self.report)(report);
    }

    pub(super) fn members(&self) -> impl Iterator<Item = Ipv4Addr> {
        self.members.keys().copied()
    }

    /// The members whose MAC is not known, and the gateway until it has answered once.
    pub(super) fn unknown(&self) -> impl Iterator<Item = Ipv4Addr> {
        let members = self.members.iter().filter(|(_, mac)| mac.is_none()).map(|(member, _)| *member);
        members.chain((!self.gateway_answered).then_some(self.gateway))
    }

    /// `gateway_asked_at`: the frame is a gateway's answer to a question of that time.
    pub(super) fn hear(&mut self, received: Received, gateway_asked_at: Option<Time>) {
        let from = received.frame.sender_mac;
        if let Some(says) = what_it_says(&received, self.vip) {
            let is_member = self.members.values().any(|mac| *mac == Some(from));
            let bucket = if is_member { &mut self.from_members } else { &mut self.from_strangers };
            if bucket.take(Instant::now()) {
                (self.tell)(Event::Frame(Frame { from, says }));
            } else {
                self.flood.dropped += 1;
            }
        }
        let sender = received.frame.sender_address;
        let answer =
            received.frame.operation == Operation::Reply && received.frame.target_address == self.own_address;
        if let Some(known) = self.members.get_mut(&sender) {
            let bucket = if *known == Some(from) { &mut self.answers } else { &mut self.changes };
            // A change that is not told is not remembered either: the next frame brings it again.
            if (answer || *known != Some(from)) && bucket.take(Instant::now()) {
                *known = Some(from);
                (self.tell)(Event::Neighbor { address: sender.into(), mac: from });
            }
        }
        if sender == self.gateway && answer {
            self.gateway_answered = true;
            if let Some(asked_at) = gateway_asked_at {
                (self.gateway_heard)(asked_at);
            }
        }
    }

    pub(super) fn look_for_flood(&mut self) {
        let dropped = std::mem::take(&mut self.flood.dropped);
        let (vip, interface) = (self.vip.into(), self.interface.clone());
        match (self.flood.total, dropped) {
            (None, 0) => {}
            (None, _) => {
                self.flood.total = Some(dropped);
                (self.report)(NeighborReport::Flood { vip, interface });
            }
            (Some(total), 0) => {
                self.flood.total = None;
                (self.report)(NeighborReport::FloodOver { vip, interface, dropped: total });
            }
            (Some(total), _) => self.flood.total = Some(total + dropped),
        }
    }
}

/// What another host's frame says about the VIP; nothing where it is not about it.
fn what_it_says(received: &Received, vip: Ipv4Addr) -> Option<Says> {
    let frame = &received.frame;
    if frame.sender_address == vip {
        let to_one = received.to_us_alone || frame.target_address != vip;
        Some(if frame.operation == Operation::Reply && to_one { Says::Reply } else { Says::Announcement })
    } else if frame.sender_address.is_unspecified()
        && frame.target_address == vip
        && frame.operation == Operation::Request
    {
        Some(match (frame.released_to(), received.heard_at) {
            (None, _) => Says::Probe,
            (Some(named), Some(heard_at)) if named == received.own_mac => Says::Release { heard_at },
            (Some(_), _) => Says::ReleaseToOthers,
        })
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::arp::ArpFrame;

    const VIP: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 100);
    const OTHER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 12);
    const MAC: Mac = Mac([2, 0, 0, 0, 0, 0x12]);
    const OURS: Mac = Mac([2, 0, 0, 0, 0, 0x11]);
    const HEARD_AT: Time = Time(1_000_000);

    fn broadcast(frame: ArpFrame) -> Option<Says> {
        what_it_says(&Received { frame, to_us_alone: false, own_mac: OURS, heard_at: Some(HEARD_AT) }, VIP)
    }

    fn unicast(frame: ArpFrame) -> Option<Says> {
        what_it_says(&Received { frame, to_us_alone: true, own_mac: OURS, heard_at: Some(HEARD_AT) }, VIP)
    }

    #[test]
    fn each_kind_of_frame_about_the_vip_is_told_apart() {
        assert_eq!(broadcast(ArpFrame::probe(MAC, VIP)), Some(Says::Probe));
        assert_eq!(
            unicast(ArpFrame::reply(MAC, VIP, OURS, Ipv4Addr::UNSPECIFIED)),
            Some(Says::Reply),
            "the answer to a probe"
        );
        assert_eq!(unicast(ArpFrame::reply(MAC, VIP, OURS, OTHER)), Some(Says::Reply));
        assert_eq!(broadcast(ArpFrame::gratuitous_request(MAC, VIP)), Some(Says::Announcement));
        assert_eq!(broadcast(ArpFrame::gratuitous_reply(MAC, VIP)), Some(Says::Announcement));
        assert_eq!(
            broadcast(ArpFrame::request(MAC, VIP, OTHER)),
            Some(Says::Announcement),
            "the holder's kernel asks for a client from the VIP"
        );
    }

    #[test]
    fn the_word_that_it_is_free_is_for_the_one_it_names_and_only_with_the_time_at_which_it_was_heard() {
        let free = Says::Release { heard_at: HEARD_AT };
        assert_eq!(broadcast(ArpFrame::release(MAC, VIP, Some(OURS))), Some(free));
        assert_eq!(broadcast(ArpFrame::release(MAC, VIP, Some(Mac([2; 6])))), Some(Says::ReleaseToOthers));
        assert_eq!(broadcast(ArpFrame::release(MAC, VIP, None)), Some(Says::ReleaseToOthers));
        let frame = ArpFrame::release(MAC, VIP, Some(OURS));
        let no_time = Received { frame, to_us_alone: false, own_mac: OURS, heard_at: None };
        assert_eq!(what_it_says(&no_time, VIP), Some(Says::ReleaseToOthers));
    }

    #[test]
    fn frames_about_other_addresses_are_not_told() {
        assert_eq!(broadcast(ArpFrame::request(MAC, OTHER, VIP)), None, "a client asks for the VIP");
        assert_eq!(broadcast(ArpFrame::probe(MAC, OTHER)), None);
        assert_eq!(unicast(ArpFrame::reply(MAC, OTHER, OURS, VIP)), None);
        let reply_form = ArpFrame { operation: Operation::Reply, ..ArpFrame::probe(MAC, VIP) };
        assert_eq!(broadcast(reply_form), None, "no probe: RFC 5227 probes are requests");
    }
}
