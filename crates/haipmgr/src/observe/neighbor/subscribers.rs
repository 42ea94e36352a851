//! What one cluster makes of the frames that its interface hears.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use decide::input::{Event, Frame, Says};
use decide::net::{Mac, VipId};
use decide::time::Time;
use linux::neighbor_socket::Received;
use tokio::time::Instant;
use wire::{Family, NeighborMessage};

use super::{CHANGES_PER_SECOND, FRAMES_PER_SECOND, NeighborReport, NeighborSettings, words};
use crate::clock;
use crate::observe::token_bucket::TokenBucket;

/// Whom one cluster's share is told to.
pub(super) struct Told {
    pub(super) tell: Box<dyn Fn(Event) + Send + Sync>,
    pub(super) gateway_heard: Box<dyn Fn(IpAddr, Time) + Send + Sync>,
    pub(super) report: Box<dyn Fn(NeighborReport) + Send + Sync>,
}

/// One cluster's, in one family.
pub(super) struct Subscriber {
    interface: String,
    /// This member's.
    own_address: IpAddr,
    /// One of the cluster's, of either family.
    any_vip: IpAddr,
    /// The VIPs that are of this family.
    vips: BTreeMap<IpAddr, AboutVip>,
    /// The gateways that are; whether each has answered once.
    gateways: BTreeMap<IpAddr, bool>,
    /// The MAC of each member other than this host, as far as it is known and was told: of those of this family, by their own addresses.
    members: BTreeMap<IpAddr, Option<Mac>>,
    /// Where no member's address is looked for: all members in their order, each of which says its place. Then `members` has what was said.
    places: Option<Vec<IpAddr>>,
    changes: TokenBucket,
    answers: TokenBucket,
    told: Arc<Told>,
}

/// One of its VIPs, and how much is said about it.
struct AboutVip {
    id: VipId,
    from_members: TokenBucket,
    from_strangers: TokenBucket,
    flood: Flood,
}

/// Frames dropped since the last look, and in the whole flood, if there is one.
#[derive(Default)]
struct Flood {
    dropped: u64,
    total: Option<u64>,
}

impl Subscriber {
    /// Nothing where nothing of the cluster's is of this family.
    pub(super) fn new(settings: &NeighborSettings, family: Family, told: &Arc<Told>) -> Option<Self> {
        let of_family = |address: &IpAddr| Family::of(*address) == family;
        let others = settings.members.iter().filter(|member| **member != settings.own_address);
        let places = settings.only_vips.then(|| settings.members.clone());
        let by_address: BTreeMap<_, _> = others
            .filter(|member| places.is_none() && of_family(member))
            .map(|member| (*member, None))
            .collect();
        let now = Instant::now();
        let bucket = || TokenBucket::new(FRAMES_PER_SECOND, now);
        let about = |(vip, id): (&IpAddr, &VipId)| {
            let flood = Flood::default();
            (*vip, AboutVip { id: *id, from_members: bucket(), from_strangers: bucket(), flood })
        };
        let vips: BTreeMap<_, _> =
            settings.vips.iter().filter(|(vip, _)| of_family(vip)).map(about).collect();
        let gateways: BTreeMap<_, _> =
            settings.gateways.iter().filter(|gateway| of_family(gateway)).map(|it| (*it, false)).collect();
        if by_address.is_empty() && vips.is_empty() && gateways.is_empty() {
            return None;
        }
        Some(Self {
            interface: settings.interface.clone(),
            own_address: settings.own_address,
            any_vip: *settings.vips.keys().next()?,
            vips,
            gateways,
            members: by_address,
            places,
            changes: TokenBucket::new(CHANGES_PER_SECOND, now),
            answers: bucket(),
            told: Arc::clone(told),
        })
    }

    /// Whether frames about its VIPs can be heard.
    pub(super) fn tell_receive_up(&self, hearing: bool) {
        for vip in self.vips.values() {
            (self.told.tell)(Event::ReceiveUp(vip.id, hearing));
        }
    }

    /// Those of this family.
    pub(super) fn vips(&self) -> impl Iterator<Item = IpAddr> {
        self.vips.keys().copied()
    }

    /// Reports this of each VIP; where none is of this family, of one of the other, whose members or gateway are.
    pub(super) fn report(&self, of: impl Fn(IpAddr) -> NeighborReport) {
        for vip in self.vips().chain(self.vips.is_empty().then_some(self.any_vip)) {
            (self.told.report)(of(vip));
        }
    }

    pub(super) fn has_gateway(&self, gateway: IpAddr) -> bool {
        self.gateways.contains_key(&gateway)
    }

    /// The members that are known to be there, each with its MAC as far as that is known.
    pub(super) fn members(&self) -> impl Iterator<Item = (IpAddr, Option<Mac>)> {
        self.members.iter().map(|(member, mac)| (*member, *mac))
    }

    /// All members whose addresses are looked for, and the gateways.
    pub(super) fn everyone(&self) -> impl Iterator<Item = IpAddr> {
        let members = self.members.keys().filter(|_| self.places.is_none());
        members.chain(self.gateways.keys()).copied()
    }

    /// The members whose MAC is not known, and each gateway until it has answered once.
    pub(super) fn unknown(&self) -> impl Iterator<Item = IpAddr> {
        let members = self.members.iter().filter(|(_, mac)| mac.is_none()).map(|(member, _)| *member);
        let gateways = self.gateways.iter().filter(|(_, answered)| !**answered).map(|(gateway, _)| *gateway);
        members.chain(gateways)
    }

    /// `answer`: it is one to this host; `asked_at`: to a question that was put then.
    pub(super) fn hear(&mut self, received: &Received, answer: bool, asked_at: Option<Time>) {
        let from = Mac(received.from.0);
        for (vip, about) in &mut self.vips {
            let Some(says) = what_it_says(received, *vip, self.places.as_deref()) else { continue };
            let is_member = self.members.values().any(|mac| *mac == Some(from));
            let bucket = if is_member { &mut about.from_members } else { &mut about.from_strangers };
            if bucket.take(Instant::now()) {
                (self.told.tell)(Event::Frame(about.id, Frame { from, says }));
                if let Says::Member(member) = says
                    && member != self.own_address
                {
                    self.members.insert(member, Some(from));
                }
            } else {
                about.flood.dropped += 1;
            }
        }
        let Some(sender) = received.message.sender_address() else { return };
        // Where each says who it is, a member's address may be that of another of its interfaces.
        if let Some(known) = self.members.get_mut(&sender).filter(|_| self.places.is_none()) {
            let bucket = if *known == Some(from) { &mut self.answers } else { &mut self.changes };
            // A change that is not told is not remembered either: the next frame brings it again.
            if (answer || *known != Some(from)) && bucket.take(Instant::now()) {
                *known = Some(from);
                (self.told.tell)(Event::Neighbor { address: sender, mac: from });
            }
        }
        if answer && let Some(answered) = self.gateways.get_mut(&sender) {
            *answered = true;
            if let Some(asked_at) = asked_at {
                (self.told.gateway_heard)(sender, asked_at);
            }
        }
    }

    pub(super) fn look_for_flood(&mut self) {
        for (vip, AboutVip { flood, .. }) in &mut self.vips {
            let dropped = std::mem::take(&mut flood.dropped);
            let (vip, interface) = (*vip, self.interface.clone());
            match (flood.total, dropped) {
                (None, 0) => {}
                (None, _) => {
                    flood.total = Some(dropped);
                    (self.told.report)(NeighborReport::Flood { vip, interface });
                }
                (Some(total), 0) => {
                    flood.total = None;
                    (self.told.report)(NeighborReport::FloodOver { vip, interface, dropped: total });
                }
                (Some(total), _) => flood.total = Some(total + dropped),
            }
        }
    }
}

/// What another host says about this VIP; nothing where it is not about it. `places`: the members, where each says which it is.
fn what_it_says(received: &Received, vip: IpAddr, places: Option<&[IpAddr]>) -> Option<Says> {
    match received.message {
        NeighborMessage::Reply { address, .. } if address == vip => Some(Says::Reply),
        // Whoever asks from the VIP says that it has it: a holder's kernel asks so for a client.
        NeighborMessage::Announcement { address }
        | NeighborMessage::Question { asker: address, .. }
        | NeighborMessage::Word { asker: address, .. }
            if address == vip =>
        {
            Some(Says::Announcement)
        }
        NeighborMessage::Word { target, word, .. } if target == vip => match places {
            Some(places) => places.get(word.place()?).copied().map(Says::Member),
            None => words::meant_by(word).map(Says::Fitness),
        },
        NeighborMessage::Probe { target } if target == vip => Some(Says::Probe),
        NeighborMessage::Release { address, to } if address == vip => {
            let heard_at = received.wall_time.and_then(clock::at_wall_time);
            let to_us = to == Some(received.own_mac);
            Some(match heard_at.filter(|_| to_us) {
                Some(heard_at) => Says::Release { heard_at },
                None => Says::ReleaseToOthers,
            })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;
    use std::time::{Duration, SystemTime, UNIX_EPOCH};

    use decide::fitness::Fitness;
    use wire::Mac;
    use wire::arp::{ArpFrame, Operation};

    use super::*;

    const VIP: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 100);
    const OTHER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 12);
    const MAC: Mac = Mac([2, 0, 0, 0, 0, 0x12]);
    const OURS: Mac = Mac([2, 0, 0, 0, 0, 0x11]);

    /// What comes of a frame that the kernel received a moment ago.
    fn says(frame: ArpFrame) -> Option<Says> {
        received(frame, wall_time()).and_then(|received| what_it_says(&received, VIP.into(), None))
    }

    fn wall_time() -> Option<i64> {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
        i64::try_from(since_1970.as_micros()).ok()
    }

    fn received(frame: ArpFrame, wall_time: Option<i64>) -> Option<Received> {
        let (from, message) = NeighborMessage::decode(&frame.encode()).ok()?;
        let to_us_alone = frame.destination == OURS;
        Some(Received { from, message, to_us_alone, own_mac: OURS, wall_time })
    }

    #[test]
    fn each_kind_of_frame_about_the_vip_is_told_apart() {
        assert_eq!(says(ArpFrame::probe(MAC, VIP)), Some(Says::Probe));
        assert_eq!(
            says(ArpFrame::reply(MAC, VIP, OURS, Ipv4Addr::UNSPECIFIED)),
            Some(Says::Reply),
            "the answer to a probe"
        );
        assert_eq!(says(ArpFrame::reply(MAC, VIP, OURS, OTHER)), Some(Says::Reply));
        assert_eq!(says(ArpFrame::gratuitous_request(MAC, VIP)), Some(Says::Announcement));
        assert_eq!(says(ArpFrame::gratuitous_reply(MAC, VIP)), Some(Says::Announcement));
        assert_eq!(
            says(ArpFrame::request(MAC, VIP, OTHER)),
            Some(Says::Announcement),
            "the holder's kernel asks for a client from the VIP"
        );
    }

    #[test]
    fn a_members_word_about_its_host_is_told_and_a_plain_question_for_the_vip_is_not() {
        let Some(behind) = wire::Word::new(2) else { unreachable!("it is one of six") };
        assert_eq!(says(ArpFrame::word(MAC, OTHER, VIP, behind)), Some(Says::Fitness(Fitness::Behind)));
        assert_eq!(says(ArpFrame::word(MAC, OTHER, OTHER, behind)), None, "about another VIP");
        assert_eq!(says(ArpFrame::request(MAC, OTHER, VIP)), None);
    }

    #[test]
    fn where_only_vips_are_a_word_says_which_member_it_is_and_elsewhere_it_is_a_plain_question() {
        let places: [IpAddr; 2] = [[10, 9, 0, 11].into(), [10, 9, 0, 12].into()];
        let heard = |number, places| {
            let word = wire::Word::new(number)?;
            what_it_says(&received(ArpFrame::word(MAC, OTHER, VIP, word), wall_time())?, VIP.into(), places)
        };
        assert_eq!(heard(17, Some(&places[..])), Some(Says::Member(places[1])));
        assert_eq!(heard(18, Some(&places[..])), None, "there are only two");
        assert_eq!(heard(2, Some(&places[..])), None, "nobody serves readers there");
        assert_eq!(heard(17, None), None);
    }

    #[test]
    fn the_word_that_it_is_free_is_for_the_one_it_names_and_only_with_the_time_at_which_it_was_heard() {
        let before = clock::now();
        let Some(Says::Release { heard_at }) = says(ArpFrame::release(MAC, VIP, Some(OURS))) else {
            unreachable!("it names this interface")
        };
        assert!(
            heard_at.since(before) < Duration::from_secs(5)
                && before.since(heard_at) < Duration::from_secs(5)
        );
        assert_eq!(says(ArpFrame::release(MAC, VIP, Some(Mac([2; 6])))), Some(Says::ReleaseToOthers));
        assert_eq!(says(ArpFrame::release(MAC, VIP, None)), Some(Says::ReleaseToOthers));
        let no_time = received(ArpFrame::release(MAC, VIP, Some(OURS)), None);
        let says = no_time.and_then(|received| what_it_says(&received, VIP.into(), None));
        assert_eq!(says, Some(Says::ReleaseToOthers));
    }

    #[test]
    fn frames_about_other_addresses_are_not_told() {
        assert_eq!(says(ArpFrame::request(MAC, OTHER, VIP)), None, "a client asks for the VIP");
        assert_eq!(says(ArpFrame::probe(MAC, OTHER)), None);
        assert_eq!(says(ArpFrame::reply(MAC, OTHER, OURS, VIP)), None);
        let reply_form = ArpFrame { operation: Operation::Reply, ..ArpFrame::probe(MAC, VIP) };
        assert_eq!(says(reply_form), None, "no probe: RFC 5227 probes are requests");
    }
}
