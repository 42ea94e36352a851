//! One bare TCP segment over IPv4 or IPv6 (RFC 9293, RFC 791, RFC 8200): the tickle, and the refusal of a SYN.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::checksum::{checksum, checksum_v6};

const PROTOCOL_TCP: u8 = 6;
const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;
const IPV4_HEADER: usize = 20;
const IPV6_HEADER: usize = 40;
const TCP_HEADER: usize = 20;
/// Any sequence and acknowledgement number will do that is almost surely outside the client's windows. Were one
/// inside, the other would still make the client answer (RFC 9293 section 3.10.7.4, first and fifth check).
const NONSENSE: [u8; 4] = [0; 4];

/// A bare ACK from `from` to `to` with nonsense numbers. The client's kernel finds it out of its window and answers
/// with an ACK of its own (RFC 9293 section 3.10.7.4), which goes to whoever holds `from`'s address by now; that
/// kernel knows no such connection and resets it. The connection's data is not touched. None: the two are of different
/// families, and no connection.
pub fn tickle(from: SocketAddr, to: SocketAddr) -> Option<Vec<u8>> {
    // A window, as a real segment has.
    bare(from, to, NONSENSE, NONSENSE, ACK, 1234)
}

/// The answer to a SYN that nobody listens for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Who asked, and is refused.
    pub to: SocketAddr,
    /// The packet, with its IP header, from the address that was asked.
    pub packet: Vec<u8>,
}

/// The RST with which a kernel refuses this packet (RFC 9293 section 3.10.7.1), where it is an IP packet with a bare
/// TCP SYN; nothing for all else: segments with ACK, RST or FIN, fragments, what is cut short, and senders that are not
/// one host. Checksums are not looked at: a virtual machine's neighbor leaves them to be filled in. A SYN behind an IPv6
/// extension header, which no client's kernel sends, is left alone.
pub fn refusal(syn: &[u8]) -> Option<Refusal> {
    let (client, server, tcp) = match syn.first()? >> 4 {
        4 => segment_of_v4(syn)?,
        6 => segment_of_v6(syn)?,
        _ => return None,
    };
    let (tcp, _) = tcp.split_first_chunk::<TCP_HEADER>()?;
    if tcp[13] & (FIN | SYN | RST | ACK) != SYN || !is_one_host(client) || client == server {
        return None;
    }
    let to = SocketAddr::new(client, u16::from_be_bytes([tcp[0], tcp[1]]));
    let from = SocketAddr::new(server, u16::from_be_bytes([tcp[2], tcp[3]]));
    let next = u32::from_be_bytes([tcp[4], tcp[5], tcp[6], tcp[7]]).wrapping_add(1);
    Some(Refusal { to, packet: bare(from, to, [0; 4], next.to_be_bytes(), RST | ACK, 0)? })
}

/// Source, destination, and what begins with the TCP header.
fn segment_of_v4(packet: &[u8]) -> Option<(IpAddr, IpAddr, &[u8])> {
    let (ip, _) = packet.split_first_chunk::<IPV4_HEADER>()?;
    let header = usize::from(ip[0] & 0xf) * 4;
    let length = usize::from(u16::from_be_bytes([ip[2], ip[3]]));
    let fragment = u16::from_be_bytes([ip[6], ip[7]]) & 0x3fff;
    if header < IPV4_HEADER || ip[9] != PROTOCOL_TCP || fragment != 0 || length < header + TCP_HEADER {
        return None;
    }
    let client = Ipv4Addr::new(ip[12], ip[13], ip[14], ip[15]);
    let server = Ipv4Addr::new(ip[16], ip[17], ip[18], ip[19]);
    Some((client.into(), server.into(), packet.get(header..)?))
}

/// The same of an IPv6 packet.
fn segment_of_v6(packet: &[u8]) -> Option<(IpAddr, IpAddr, &[u8])> {
    let (ip, tcp) = packet.split_first_chunk::<IPV6_HEADER>()?;
    let length = usize::from(u16::from_be_bytes([ip[4], ip[5]]));
    if ip[6] != PROTOCOL_TCP || length < TCP_HEADER {
        return None;
    }
    let (_, addresses) = ip.split_first_chunk::<8>()?;
    let (client, server) = addresses.split_first_chunk::<16>()?;
    let server: &[u8; 16] = server.try_into().ok()?;
    Some((Ipv6Addr::from(*client).into(), Ipv6Addr::from(*server).into(), tcp))
}

fn is_one_host(address: IpAddr) -> bool {
    let broadcast = matches!(address, IpAddr::V4(address) if address.is_broadcast());
    !(address.is_unspecified() || address.is_loopback() || address.is_multicast() || broadcast)
}

/// The packet; nothing where the two are of different families.
fn bare(
    from: SocketAddr,
    to: SocketAddr,
    sequence: [u8; 4],
    acknowledged: [u8; 4],
    flags: u8,
    window: u16,
) -> Option<Vec<u8>> {
    let mut tcp = [0; TCP_HEADER];
    tcp[0..2].copy_from_slice(&from.port().to_be_bytes());
    tcp[2..4].copy_from_slice(&to.port().to_be_bytes());
    tcp[4..8].copy_from_slice(&sequence);
    tcp[8..12].copy_from_slice(&acknowledged);
    tcp[12] = 0x50; // five words of header
    tcp[13] = flags;
    tcp[14..16].copy_from_slice(&window.to_be_bytes());
    match (from.ip(), to.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let (source, destination) = (from.octets(), to.octets());
            let sum = checksum(&[&source, &destination, &[0, PROTOCOL_TCP, 0, 20], &tcp]);
            tcp[16..18].copy_from_slice(&sum);
            Some([&header_v4(from, to)[..], &tcp].concat())
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let sum = checksum_v6(from, to, PROTOCOL_TCP, &tcp);
            tcp[16..18].copy_from_slice(&sum);
            Some([&header_v6(from, to)[..], &tcp].concat())
        }
        _ => None,
    }
}

fn header_v4(from: Ipv4Addr, to: Ipv4Addr) -> [u8; IPV4_HEADER] {
    let mut ip = [0; IPV4_HEADER];
    ip[0] = 0x45; // version 4, five words of header
    ip[3] = 40; // total length
    ip[6] = 0x40; // don't fragment
    ip[8] = 64; // time to live
    ip[9] = PROTOCOL_TCP;
    ip[12..16].copy_from_slice(&from.octets());
    ip[16..20].copy_from_slice(&to.octets());
    let sum = checksum(&[&ip]);
    ip[10..12].copy_from_slice(&sum);
    ip
}

fn header_v6(from: Ipv6Addr, to: Ipv6Addr) -> [u8; IPV6_HEADER] {
    let mut ip = [0; IPV6_HEADER];
    ip[0] = 0x60; // version 6
    ip[5] = 20; // payload length
    ip[6] = PROTOCOL_TCP;
    ip[7] = 64; // hop limit
    ip[8..24].copy_from_slice(&from.octets());
    ip[24..40].copy_from_slice(&to.octets());
    ip
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_tickle_is_a_bare_ack_with_no_data() {
        let packet =
            tickle("10.77.0.100:3306".parse().unwrap(), "10.77.0.50:40000".parse().unwrap()).unwrap();
        assert_eq!(packet[33], 0x10, "the flags");
        assert_eq!(u16::from_be_bytes([packet[2], packet[3]]), 40, "the length");
        assert_eq!(packet[12..20], [10, 77, 0, 100, 10, 77, 0, 50]);
        assert_eq!(u16::from_be_bytes([packet[20], packet[21]]), 3306);
        assert_eq!(u16::from_be_bytes([packet[22], packet[23]]), 40000);
    }

    fn syn() -> Vec<u8> {
        let (from, to) = ("10.77.0.50:40000".parse().unwrap(), "10.77.0.100:3306".parse().unwrap());
        bare(from, to, [0xff; 4], [0; 4], SYN, 64240).unwrap()
    }

    fn syn_v6() -> Vec<u8> {
        let (from, to) = ("[fd77::50]:40000".parse().unwrap(), "[fd77::100]:3306".parse().unwrap());
        bare(from, to, [0xff; 4], [0; 4], SYN, 64240).unwrap()
    }

    #[test]
    fn an_ipv6_client_is_refused_and_tickled_the_same_way() {
        let Refusal { to, packet } = refusal(&syn_v6()).unwrap();
        assert_eq!(to, "[fd77::50]:40000".parse().unwrap());
        assert_eq!(packet[..8], [0x60, 0, 0, 0, 0, 20, 6, 64]);
        assert_eq!((&packet[8..24], &packet[24..40]), (&syn_v6()[24..40], &syn_v6()[8..24]));
        assert_eq!(packet[40..44], [3306_u16.to_be_bytes(), 40000_u16.to_be_bytes()].concat());
        assert_eq!((&packet[44..52], packet[53]), (&[0; 8][..], RST | ACK));
        assert_eq!(refusal(&packet), None);
        for (at, value) in [(6, 17), (6, 0), (5, 19), (8, 0xff), (53, SYN | ACK)] {
            let mut changed = syn_v6();
            changed[at] = value;
            assert_eq!(refusal(&changed), None, "byte {at}");
        }
        for length in 0..syn_v6().len() {
            assert_eq!(refusal(&syn_v6()[..length]), None, "{length} bytes");
        }
        let tickle = tickle("[fd77::100]:3306".parse().unwrap(), to).unwrap();
        assert_eq!((tickle.len(), tickle[53]), (60, ACK));
        let sum = checksum_v6(
            Ipv6Addr::from([0xfd77, 0, 0, 0, 0, 0, 0, 0x100]),
            Ipv6Addr::from([0xfd77, 0, 0, 0, 0, 0, 0, 0x50]),
            6,
            &tickle[40..],
        );
        assert_eq!(sum, [0, 0], "a receiver finds the checksum right");
    }

    #[test]
    fn two_families_are_no_connection() {
        assert_eq!(tickle("10.77.0.100:3306".parse().unwrap(), "[fd77::50]:1".parse().unwrap()), None);
    }

    #[test]
    fn a_syn_is_refused_as_a_kernel_would() {
        let Refusal { to, packet } = refusal(&syn()).unwrap();
        assert_eq!(to, "10.77.0.50:40000".parse().unwrap());
        assert_eq!(packet[12..20], [10, 77, 0, 100, 10, 77, 0, 50]);
        assert_eq!(packet[20..24], [3306_u16.to_be_bytes(), 40000_u16.to_be_bytes()].concat());
        assert_eq!(packet[24..28], [0; 4], "the sequence number");
        assert_eq!(packet[28..32], [0; 4], "acknowledged: the SYN's number and one, around the end");
        assert_eq!(packet[33], RST | ACK);
    }

    #[test]
    fn options_and_what_follows_change_nothing() {
        let mut long = syn();
        long[0] = 0x46;
        long[3] = 44;
        long.splice(20..20, [1; 4]);
        long.extend([0; 30]);
        assert_eq!(refusal(&long), refusal(&syn()));
        let mut with_congestion_control = syn();
        with_congestion_control[33] |= 0xc0;
        assert_eq!(refusal(&with_congestion_control), refusal(&syn()));
    }

    #[test]
    fn nothing_but_a_whole_bare_syn_of_one_host_is_refused() {
        let with = |at: usize, value: u8| {
            let mut changed = syn();
            changed[at] = value;
            refusal(&changed)
        };
        for flags in [0, ACK, SYN | ACK, SYN | RST, SYN | FIN, RST, FIN] {
            assert_eq!(with(33, flags), None, "flags {flags:#x}");
        }
        assert_eq!(with(0, 0x55), None, "version 5");
        assert_eq!(with(0, 0x44), None, "a header of four words");
        assert_eq!(with(3, 39), None, "too short by its own word");
        assert_eq!(with(6, 0x20), None, "a first fragment");
        assert_eq!(with(7, 1), None, "a later fragment");
        assert_eq!(with(9, 17), None, "UDP");
        assert_eq!(with(12, 224), None, "from a group");
        assert_eq!(with(12, 127), None, "from nowhere");
        assert_eq!(with(19, 50), None, "from the address itself");
        for length in 0..syn().len() {
            assert_eq!(refusal(&syn()[..length]), None, "{length} bytes");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_borne(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            let _ = refusal(&bytes);
        }

        #[test]
        fn a_syn_with_anything_in_it_is_borne(at in 0_usize..40, value: u8, length in 0_usize..=40) {
            let mut changed = syn();
            changed[at] = value;
            let _ = refusal(&changed[..length]);
        }

        #[test]
        fn a_receiver_finds_both_checksums_right(from: [u8; 4], to: [u8; 4], from_port: u16, to_port: u16) {
            let packet = tickle(
                SocketAddr::new(Ipv4Addr::from(from).into(), from_port),
                SocketAddr::new(Ipv4Addr::from(to).into(), to_port),
            ).unwrap();
            prop_assert_eq!(checksum(&[&packet[..20]]), [0, 0]);
            prop_assert_eq!(checksum(&[&packet[12..20], &[0, 6, 0, 20], &packet[20..]]), [0, 0]);
        }
    }
}
