//! What is said to the kernel's routing socket, and what is understood of its answers (rtnetlink(7)).
//!
//! Of an interface the kernel tells hundreds of things, and each kind of interface has its own. The library below knows them all; whoever
//! names its message for interfaces has that whole parser in memory, a twentieth of the agent. So what is read of an interface is read here,
//! out of the library's own header and attributes; messages about addresses are the library's.

use netlink_packet_core::{
    DecodeError, DefaultNla, Emitable, NetlinkDeserializable, NetlinkHeader, NetlinkPayload,
    NetlinkSerializable, NlasIterator, Parseable as _, parse_u32,
};
use netlink_packet_route::address::AddressMessage;
use netlink_packet_route::link::{LinkFlags, LinkHeader};

// linux/rtnetlink.h
const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_GETLINK: u16 = 18;
const RTM_SETLINK: u16 = 19;
const RTM_NEWADDR: u16 = 20;
const RTM_DELADDR: u16 = 21;
const RTM_GETADDR: u16 = 22;
const RTEXT_FILTER_SKIP_STATS: u32 = 1 << 3;
// linux/if_link.h
const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_LINK: u16 = 5;
const IFLA_MASTER: u16 = 10;
const IFLA_AF_SPEC: u16 = 26;
const IFLA_EXT_MASK: u16 = 29;
const IFLA_EVENT: u16 = 44;
const IFLA_EVENT_BONDING_FAILOVER: u32 = 3;
const IFLA_EVENT_NOTIFY_PEERS: u32 = 4;
const IFLA_INET_CONF: u16 = 1;
const AF_INET: u16 = 2;
/// Of linux/ip.h; they count from 1.
const IPV4_DEVCONF_PROMOTE_SECONDARIES: u16 = 20;

/// A question, an order, an answer or a notification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteMessage {
    /// Which interfaces there are (`RTM_GETLINK`).
    GetLinks,
    /// The interface of this name.
    GetLink(String),
    /// Whether the interface of this index keeps "secondary" addresses when the first one of their network goes (`RTM_SETLINK`).
    SetPromoteSecondaries {
        /// The interface.
        index: u32,
        /// Whether it does.
        on: bool,
    },
    /// An interface as it is now (`RTM_NEWLINK`).
    NewLink(Link),
    /// An interface that has gone (`RTM_DELLINK`).
    DelLink(Link),
    /// Which addresses there are (`RTM_GETADDR`).
    GetAddresses,
    /// An address: to be added or renewed, or as it is now (`RTM_NEWADDR`).
    NewAddress(AddressMessage),
    /// An address: to be removed, or that has gone (`RTM_DELADDR`).
    DelAddress(AddressMessage),
    /// Any other message, by its type.
    Other(u16),
}

/// What is read of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its number.
    pub index: u32,
    /// `IFF_…` of linux/if.h.
    pub flags: LinkFlags,
    /// Its name; none: the kernel did not tell.
    pub name: Option<String>,
    /// Its hardware address; empty: it has none.
    pub mac: Vec<u8>,
    /// The bond or bridge that it is a port of (`IFLA_MASTER`), by index.
    pub port_of: Option<u32>,
    /// The interface that it is a VLAN or the like on (`IFLA_LINK`), by index.
    pub on: Option<u32>,
    /// The kernel calls for announcements: a bond's other port took over, a virtual machine came from another host (`IFLA_EVENT`).
    pub calls_for_announcements: bool,
    /// `net.ipv4.conf.NAME.promote_secondaries`; none: not told.
    pub promotes_secondaries: Option<bool>,
}

impl Link {
    fn parse(payload: &[u8]) -> Result<Self, DecodeError> {
        let header = LinkHeader::parse(payload)?;
        let mut link = Self {
            index: header.index,
            flags: header.flags,
            name: None,
            mac: Vec::new(),
            port_of: None,
            on: None,
            calls_for_announcements: false,
            promotes_secondaries: None,
        };
        for attribute in NlasIterator::new(payload.get(header.buffer_len()..).unwrap_or_default()) {
            let attribute = attribute?;
            let value = attribute.value();
            match attribute.kind() {
                IFLA_IFNAME => link.name = Some(text(value)?),
                IFLA_ADDRESS => link.mac = value.to_vec(),
                IFLA_MASTER => link.port_of = Some(parse_u32(value)?),
                IFLA_LINK => link.on = Some(parse_u32(value)?),
                IFLA_EVENT => {
                    let event = parse_u32(value)?;
                    link.calls_for_announcements =
                        [IFLA_EVENT_NOTIFY_PEERS, IFLA_EVENT_BONDING_FAILOVER].contains(&event);
                }
                IFLA_AF_SPEC => link.promotes_secondaries = promotes_secondaries(value)?,
                _ => {}
            }
        }
        Ok(link)
    }
}

/// The kernel ends names with a zero byte.
fn text(value: &[u8]) -> Result<String, DecodeError> {
    let name = value.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8(name.to_vec()).map_err(|error| DecodeError::from(error.to_string()))
}

/// In `IFLA_AF_SPEC { AF_INET { IFLA_INET_CONF: [i32] } }`, where one setting follows the other.
fn promotes_secondaries(families: &[u8]) -> Result<Option<bool>, DecodeError> {
    let Some(ipv4) = find(families, AF_INET)? else { return Ok(None) };
    let Some(settings) = find(ipv4, IFLA_INET_CONF)? else { return Ok(None) };
    let at = usize::from(IPV4_DEVCONF_PROMOTE_SECONDARIES - 1) * size_of::<u32>();
    settings.get(at..at + size_of::<u32>()).map(|value| parse_u32(value).map(|value| value != 0)).transpose()
}

fn find(attributes: &[u8], kind: u16) -> Result<Option<&[u8]>, DecodeError> {
    let mut rest = attributes;
    while let Some(attribute) = NlasIterator::new(rest).next().transpose()? {
        let length = usize::from(attribute.length());
        let (whole, others) = rest.split_at_checked(length.next_multiple_of(4)).unwrap_or((rest, &[]));
        if attribute.kind() == kind {
            return Ok(whole.get(4..length));
        }
        rest = others;
    }
    Ok(None)
}

/// The header and the attributes of a message about an interface, as bytes.
fn link_bytes(index: u32, attribute: &DefaultNla) -> Vec<u8> {
    let header = LinkHeader { index, ..LinkHeader::default() };
    let mut bytes = bytes_of(&header);
    bytes.extend(bytes_of(attribute));
    bytes
}

fn bytes_of(part: &impl Emitable) -> Vec<u8> {
    let mut bytes = vec![0; part.buffer_len()];
    part.emit(&mut bytes);
    bytes
}

/// `IFLA_AF_SPEC { AF_INET { IFLA_INET_CONF { number: value } } }`: the form that the kernel takes differs from the one it answers with.
fn one_ipv4_setting(number: u16, value: u32) -> DefaultNla {
    let value = DefaultNla::new(number, value.to_ne_bytes().to_vec());
    let settings = DefaultNla::new(IFLA_INET_CONF, bytes_of(&value));
    let family = DefaultNla::new(AF_INET, bytes_of(&settings));
    DefaultNla::new(IFLA_AF_SPEC, bytes_of(&family))
}

impl RouteMessage {
    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::GetLinks => {
                link_bytes(0, &DefaultNla::new(IFLA_EXT_MASK, RTEXT_FILTER_SKIP_STATS.to_ne_bytes().to_vec()))
            }
            Self::GetLink(name) => {
                let name = name.bytes().chain([0]).collect();
                link_bytes(0, &DefaultNla::new(IFLA_IFNAME, name))
            }
            Self::SetPromoteSecondaries { index, on } => {
                link_bytes(*index, &one_ipv4_setting(IPV4_DEVCONF_PROMOTE_SECONDARIES, u32::from(*on)))
            }
            Self::GetAddresses => bytes_of(&AddressMessage::default()),
            Self::NewAddress(address) | Self::DelAddress(address) => bytes_of(address),
            // What only the kernel says.
            Self::NewLink(_) | Self::DelLink(_) | Self::Other(_) => Vec::new(),
        }
    }
}

impl NetlinkSerializable for RouteMessage {
    fn message_type(&self) -> u16 {
        match self {
            Self::GetLinks | Self::GetLink(_) => RTM_GETLINK,
            Self::SetPromoteSecondaries { .. } => RTM_SETLINK,
            Self::NewLink(_) => RTM_NEWLINK,
            Self::DelLink(_) => RTM_DELLINK,
            Self::GetAddresses => RTM_GETADDR,
            Self::NewAddress(_) => RTM_NEWADDR,
            Self::DelAddress(_) => RTM_DELADDR,
            Self::Other(kind) => *kind,
        }
    }

    fn buffer_len(&self) -> usize {
        self.bytes().len()
    }

    fn serialize(&self, buffer: &mut [u8]) {
        buffer.copy_from_slice(&self.bytes());
    }
}

impl NetlinkDeserializable for RouteMessage {
    type Error = DecodeError;

    fn deserialize(header: &NetlinkHeader, payload: &[u8]) -> Result<Self, DecodeError> {
        Ok(match header.message_type {
            RTM_NEWLINK => Self::NewLink(Link::parse(payload)?),
            RTM_DELLINK => Self::DelLink(Link::parse(payload)?),
            RTM_NEWADDR => Self::NewAddress(AddressMessage::parse(payload)?),
            RTM_DELADDR => Self::DelAddress(AddressMessage::parse(payload)?),
            kind => Self::Other(kind),
        })
    }
}

impl From<RouteMessage> for NetlinkPayload<RouteMessage> {
    fn from(message: RouteMessage) -> Self {
        Self::InnerMessage(message)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::panic, clippy::unwrap_used, reason = "a test")]

    use netlink_packet_route::RouteNetlinkMessage;
    use netlink_packet_route::link::{
        AfSpecInet, AfSpecUnspec, InetDevConf, LinkAttribute, LinkEvent, LinkExtentMask, LinkMessage,
    };

    use super::*;

    /// As the library writes it.
    fn told(message: LinkMessage) -> Link {
        let payload = bytes_of(&RouteNetlinkMessage::NewLink(message));
        let mut header = NetlinkHeader::default();
        header.message_type = RTM_NEWLINK;
        match RouteMessage::deserialize(&header, &payload).unwrap() {
            RouteMessage::NewLink(link) => link,
            other => panic!("{other:?}"),
        }
    }

    fn eth0(attributes: Vec<LinkAttribute>) -> LinkMessage {
        let mut message = LinkMessage::default();
        message.header.index = 7;
        message.header.flags = LinkFlags::Up | LinkFlags::LowerUp;
        message.attributes = attributes;
        message
    }

    #[test]
    fn an_interface_is_read_as_the_library_reads_it() {
        let link = told(eth0(vec![
            LinkAttribute::IfName("bond0.7".to_owned()),
            LinkAttribute::Mtu(1500),
            LinkAttribute::Address(vec![2, 0, 0, 0, 0, 9]),
            LinkAttribute::Controller(3),
            LinkAttribute::Link(4),
            LinkAttribute::Event(LinkEvent::BondingFailover),
        ]));
        let wanted = Link {
            index: 7,
            flags: LinkFlags::Up | LinkFlags::LowerUp,
            name: Some("bond0.7".to_owned()),
            mac: vec![2, 0, 0, 0, 0, 9],
            port_of: Some(3),
            on: Some(4),
            calls_for_announcements: true,
            promotes_secondaries: None,
        };
        assert_eq!(link, wanted);
        let calls = |event| told(eth0(vec![LinkAttribute::Event(event)])).calls_for_announcements;
        assert!(calls(LinkEvent::NotifyPeers) && !calls(LinkEvent::Features));
    }

    #[test]
    fn whether_an_interface_keeps_secondary_addresses_is_found_among_its_settings() {
        for on in [false, true] {
            let mut settings = InetDevConf::default();
            settings.promote_secondaries = i32::from(on);
            let ipv4 = AfSpecUnspec::Inet(vec![AfSpecInet::DevConf(settings)]);
            let link = told(eth0(vec![LinkAttribute::AfSpecUnspec(vec![ipv4])]));
            assert_eq!(link.promotes_secondaries, Some(on));
        }
    }

    #[test]
    fn questions_are_the_librarys_own_bytes() {
        let mut all = LinkMessage::default();
        all.attributes.push(LinkAttribute::ExtMask(vec![LinkExtentMask::SkipStats]));
        assert_eq!(RouteMessage::GetLinks.bytes(), bytes_of(&RouteNetlinkMessage::GetLink(all)));
        let mut one = LinkMessage::default();
        one.attributes.push(LinkAttribute::IfName("eth0".to_owned()));
        assert_eq!(
            RouteMessage::GetLink("eth0".into()).bytes(),
            bytes_of(&RouteNetlinkMessage::GetLink(one))
        );
        let addresses = RouteNetlinkMessage::GetAddress(AddressMessage::default());
        assert_eq!(RouteMessage::GetAddresses.bytes(), bytes_of(&addresses));
    }

    #[test]
    fn what_is_cut_short_is_an_error_and_what_is_unknown_is_left_alone() {
        let payload = bytes_of(&RouteNetlinkMessage::NewLink(eth0(vec![LinkAttribute::Link(4)])));
        for length in 0..payload.len() {
            // With no byte of the attributes, it is an interface of which nothing is told.
            assert_eq!(Link::parse(&payload[..length]).is_ok(), length == 16, "{length} bytes");
        }
        let mut header = NetlinkHeader::default();
        header.message_type = 24;
        assert_eq!(RouteMessage::deserialize(&header, &[1, 2, 3]).unwrap(), RouteMessage::Other(24));
    }
}
