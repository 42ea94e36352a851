//! Who is on the segment and which VIPs it has, as the command line says: families, how many database hosts, writers and readers.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::OnceLock;

use clap::ValueEnum;

/// The gateway's address: the bridge's own.
pub const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 254);
/// The client's address.
pub const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 50);
/// The virtual address that the agents keep, in IPv4.
pub const VIP: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 100);

/// In which family the agents keep a VIP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Family {
    /// IPv4.
    #[default]
    #[value(name = "4")]
    V4,
    /// IPv6; the members' own addresses are still IPv4.
    #[value(name = "6")]
    V6,
    /// One in each; the client writes through the IPv4 one.
    Both,
}

impl Family {
    /// As the command line has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::V4 => "4",
            Self::V6 => "6",
            Self::Both => "both",
        }
    }
}

static FAMILY: OnceLock<Family> = OnceLock::new();

/// In which family: IPv4, unless [`set_family`] said otherwise.
pub fn family() -> Family {
    *FAMILY.get_or_init(Family::default)
}

/// To be called before anything else of this module; later it changes nothing.
pub fn set_family(family: Family) {
    let _ = FAMILY.set(family);
}

/// The VIP through which the clients connect.
pub fn vip() -> IpAddr {
    if family() == Family::V6 { ipv6(VIP).into() } else { VIP.into() }
}

/// The writer VIPs: that one, and the one beside it where there is one in each family, or a second one.
pub fn vips() -> Vec<IpAddr> {
    let other = match family() {
        Family::Both => Some(ipv6(VIP).into()),
        _ if !has_second_writer() => None,
        Family::V4 => Some(SECOND_VIP.into()),
        Family::V6 => Some(ipv6(SECOND_VIP).into()),
    };
    [vip()].into_iter().chain(other).collect()
}

/// The second writer VIP, where there is one and it is of the same family.
const SECOND_VIP: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 102);
/// The reader VIPs that there can be.
const READERS: [Ipv4Addr; 5] = [
    Ipv4Addr::new(10, 77, 0, 121),
    Ipv4Addr::new(10, 77, 0, 122),
    Ipv4Addr::new(10, 77, 0, 123),
    Ipv4Addr::new(10, 77, 0, 124),
    Ipv4Addr::new(10, 77, 0, 125),
];
/// How many VIPs the lab's own cluster has for writers (1 or 2) and for readers.
static WANTED: OnceLock<(usize, usize)> = OnceLock::new();

/// So many writer VIPs (1 or 2) and reader VIPs (0 to 5). To be called before anything else of this module; later it changes nothing.
pub fn set_vips(writers: usize, readers: usize) {
    let _ = WANTED.set((writers, readers.min(READERS.len())));
}

fn wanted() -> (usize, usize) {
    *WANTED.get_or_init(|| (1, 0))
}

fn has_second_writer() -> bool {
    wanted().0 > 1
}

/// The reader VIPs of the lab's own cluster.
pub fn readers() -> Vec<IpAddr> {
    some_readers(wanted().1)
}

/// The first so many of the reader VIPs that there can be.
pub fn some_readers(count: usize) -> Vec<IpAddr> {
    let of_family = |address: Ipv4Addr| {
        if family() == Family::V6 { ipv6(address).into() } else { IpAddr::from(address) }
    };
    READERS.into_iter().take(count).map(of_family).collect()
}

/// All reader VIPs that there can be, whatever the lab's own cluster has.
pub fn all_readers() -> Vec<IpAddr> {
    some_readers(READERS.len())
}

/// The gateway that the agents ask.
pub fn gateway() -> IpAddr {
    if family() == Family::V6 { ipv6(GATEWAY).into() } else { GATEWAY.into() }
}

/// The IPv6 address beside an IPv4 one of the segment: 10.77.0.11 has `fd77::11` beside it.
pub fn ipv6(address: Ipv4Addr) -> Ipv6Addr {
    let [.., last] = address.octets();
    let last = u16::from(last);
    // The decimal digits, as hexadecimal ones.
    let digits = ((last / 100) << 8) | ((last / 10 % 10) << 4) | (last % 10);
    Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, digits)
}

/// The database hosts that there can be: name and address.
const DATABASES: [(&str, Ipv4Addr); 5] = [
    ("db1", Ipv4Addr::new(10, 77, 0, 11)),
    ("db2", Ipv4Addr::new(10, 77, 0, 12)),
    ("db3", Ipv4Addr::new(10, 77, 0, 13)),
    ("db4", Ipv4Addr::new(10, 77, 0, 14)),
    ("db5", Ipv4Addr::new(10, 77, 0, 15)),
];
/// How many of them there are.
static MEMBERS: OnceLock<usize> = OnceLock::new();

/// How many database hosts there are: 3, unless [`set_members`] said otherwise.
pub fn members() -> usize {
    *MEMBERS.get_or_init(|| 3)
}

/// So many database hosts (2 to 5). To be called before anything else of this module; later it changes nothing.
pub fn set_members(count: usize) {
    let _ = MEMBERS.set(count.clamp(2, DATABASES.len()));
}

/// The database hosts: name and address.
pub fn databases() -> &'static [(&'static str, Ipv4Addr)] {
    DATABASES.get(..members()).unwrap_or(&DATABASES)
}
