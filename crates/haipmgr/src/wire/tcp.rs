//! One bare TCP segment over IPv4 (RFC 9293, RFC 791): the tickle, and the refusal of a SYN.

use std::net::{Ipv4Addr, SocketAddrV4};

/// Bytes of a bare segment: 20 of IPv4, 20 of TCP, neither with options.
pub const BARE_LENGTH: usize = 40;

const PROTOCOL_TCP: u8 = 6;
const FIN: u8 = 0x01;
const SYN: u8 = 0x02;
const RST: u8 = 0x04;
const ACK: u8 = 0x10;
/// Any sequence and acknowledgement number will do that is almost surely outside the client's windows. Were one
/// inside, the other would still make the client answer (RFC 9293 section 3.10.7.4, first and fifth check).
const NONSENSE: [u8; 4] = [0; 4];

/// A bare ACK from `from` to `to` with nonsense numbers. The client's kernel finds it out of its window and answers
/// with an ACK of its own (RFC 9293 section 3.10.7.4), which goes to whoever holds `from`'s address by now; that
/// kernel knows no such connection and resets it. The connection's data is not touched.
pub fn tickle(from: SocketAddrV4, to: SocketAddrV4) -> [u8; BARE_LENGTH] {
    // A window, as a real segment has.
    bare(from, to, NONSENSE, NONSENSE, ACK, 1234)
}

/// The answer to a SYN that nobody listens for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Who asked, and is refused.
    pub to: SocketAddrV4,
    /// The packet, with its IPv4 header, from the address that was asked.
    pub packet: [u8; BARE_LENGTH],
}

/// The RST with which a kernel refuses this packet (RFC 9293 section 3.10.7.1), where it is an IPv4 packet with a bare
/// TCP SYN; nothing for all else: segments with ACK, RST or FIN, fragments, what is cut short, and senders that are not
/// one host. Checksums are not looked at: a virtual machine's neighbor leaves them to be filled in.
pub fn refusal(syn: &[u8]) -> Option<Refusal> {
    let (ip, _) = syn.split_first_chunk::<20>()?;
    let header = usize::from(ip[0] & 0xf) * 4;
    let length = usize::from(u16::from_be_bytes([ip[2], ip[3]]));
    let fragment = u16::from_be_bytes([ip[6], ip[7]]) & 0x3fff;
    if ip[0] >> 4 != 4 || header < 20 || ip[9] != PROTOCOL_TCP || fragment != 0 || length < header + 20 {
        return None;
    }
    let (tcp, _) = syn.get(header..)?.split_first_chunk::<20>()?;
    let client = Ipv4Addr::new(ip[12], ip[13], ip[14], ip[15]);
    let server = Ipv4Addr::new(ip[16], ip[17], ip[18], ip[19]);
    let nobody =
        client.is_unspecified() || client.is_loopback() || client.is_multicast() || client.is_broadcast();
    if tcp[13] & (FIN | SYN | RST | ACK) != SYN || nobody || client == server {
        return None;
    }
    let to = SocketAddrV4::new(client, u16::from_be_bytes([tcp[0], tcp[1]]));
    let from = SocketAddrV4::new(server, u16::from_be_bytes([tcp[2], tcp[3]]));
    let next = u32::from_be_bytes([tcp[4], tcp[5], tcp[6], tcp[7]]).wrapping_add(1);
    Some(Refusal { to, packet: bare(from, to, [0; 4], next.to_be_bytes(), RST | ACK, 0) })
}

fn bare(
    from: SocketAddrV4,
    to: SocketAddrV4,
    sequence: [u8; 4],
    acknowledged: [u8; 4],
    flags: u8,
    window: u16,
) -> [u8; BARE_LENGTH] {
    let mut packet = [0; BARE_LENGTH];
    let (ip, tcp) = packet.split_at_mut(20);
    let (source, destination) = (from.ip().octets(), to.ip().octets());

    ip[0] = 0x45; // version 4, five words of header
    ip[3] = 40; // total length
    ip[6] = 0x40; // don't fragment
    ip[8] = 64; // time to live
    ip[9] = PROTOCOL_TCP;
    ip[12..16].copy_from_slice(&source);
    ip[16..20].copy_from_slice(&destination);
    let sum = checksum(&[ip]);
    ip[10..12].copy_from_slice(&sum);

    tcp[0..2].copy_from_slice(&from.port().to_be_bytes());
    tcp[2..4].copy_from_slice(&to.port().to_be_bytes());
    tcp[4..8].copy_from_slice(&sequence);
    tcp[8..12].copy_from_slice(&acknowledged);
    tcp[12] = 0x50; // five words of header
    tcp[13] = flags;
    tcp[14..16].copy_from_slice(&window.to_be_bytes());
    let pseudo_header = [0, PROTOCOL_TCP, 0, 20];
    let sum = checksum(&[&source, &destination, &pseudo_header, tcp]);
    tcp[16..18].copy_from_slice(&sum);
    packet
}

/// The Internet checksum (RFC 1071) over parts that are each an even number of bytes.
fn checksum(parts: &[&[u8]]) -> [u8; 2] {
    let words = parts.iter().flat_map(|part| part.chunks_exact(2));
    let mut sum: u32 = words.map(|word| u32::from(u16::from_be_bytes([word[0], word[1]]))).sum();
    while let carry @ 1.. = sum >> 16 {
        sum = (sum & 0xffff) + carry;
    }
    let [_, _, high, low] = (!sum).to_be_bytes();
    [high, low]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_checksum_is_that_of_a_known_header() {
        // The worked example of RFC 1071's usual illustration: 172.16.10.99 to 172.16.10.12, checksum b1e6.
        let header = [
            0x45, 0, 0, 0x3c, 0x1c, 0x46, 0x40, 0, 0x40, 6, 0, 0, 0xac, 0x10, 0x0a, 0x63, 0xac, 0x10, 0x0a,
            0x0c,
        ];
        assert_eq!(checksum(&[&header]), [0xb1, 0xe6]);
    }

    #[test]
    fn a_tickle_is_a_bare_ack_with_no_data() {
        let packet = tickle("10.77.0.100:3306".parse().unwrap(), "10.77.0.50:40000".parse().unwrap());
        assert_eq!(packet[33], 0x10, "the flags");
        assert_eq!(u16::from_be_bytes([packet[2], packet[3]]), 40, "the length");
        assert_eq!(packet[12..20], [10, 77, 0, 100, 10, 77, 0, 50]);
        assert_eq!(u16::from_be_bytes([packet[20], packet[21]]), 3306);
        assert_eq!(u16::from_be_bytes([packet[22], packet[23]]), 40000);
    }

    fn syn() -> Vec<u8> {
        let (from, to) = ("10.77.0.50:40000".parse().unwrap(), "10.77.0.100:3306".parse().unwrap());
        bare(from, to, [0xff; 4], [0; 4], SYN, 64240).to_vec()
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
        assert_eq!(with(0, 0x65), None, "IPv6");
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
                SocketAddrV4::new(from.into(), from_port),
                SocketAddrV4::new(to.into(), to_port),
            );
            prop_assert_eq!(checksum(&[&packet[..20]]), [0, 0]);
            prop_assert_eq!(checksum(&[&packet[12..20], &[0, 6, 0, 20], &packet[20..]]), [0, 0]);
        }
    }
}
