//! One bare TCP segment over IPv4 (RFC 9293, RFC 791): the tickle.

use std::net::SocketAddrV4;

/// Bytes of a tickle: 20 of IPv4, 20 of TCP, neither with options.
pub const TICKLE_LENGTH: usize = 40;

const PROTOCOL_TCP: u8 = 6;
/// Any sequence and acknowledgement number will do that is almost surely outside the client's windows. Were one
/// inside, the other would still make the client answer (RFC 9293 section 3.10.7.4, first and fifth check).
const NONSENSE: [u8; 4] = [0; 4];

/// A bare ACK from `from` to `to` with nonsense numbers. The client's kernel finds it out of its window and answers
/// with an ACK of its own (RFC 9293 section 3.10.7.4), which goes to whoever holds `from`'s address by now; that
/// kernel knows no such connection and resets it. The connection's data is not touched.
pub fn tickle(from: SocketAddrV4, to: SocketAddrV4) -> [u8; TICKLE_LENGTH] {
    let mut packet = [0; TICKLE_LENGTH];
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
    tcp[4..8].copy_from_slice(&NONSENSE);
    tcp[8..12].copy_from_slice(&NONSENSE);
    tcp[12] = 0x50; // five words of header
    tcp[13] = 0x10; // ACK
    tcp[14..16].copy_from_slice(&1234_u16.to_be_bytes()); // a window, as a real segment has
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

    proptest! {
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
