//! The Internet checksum (RFC 1071), which IPv4, ICMP and TCP share.

use std::net::Ipv6Addr;

/// The checksum over parts that are each an even number of bytes, but for the last. It is 0 over parts that hold a right one.
pub(crate) fn checksum(parts: &[&[u8]]) -> [u8; 2] {
    let words = parts.iter().flat_map(|part| part.chunks(2));
    let word = |pair: &[u8]| match *pair {
        [high, low] => u16::from_be_bytes([high, low]),
        [high] => u16::from_be_bytes([high, 0]),
        _ => 0,
    };
    let mut sum: u64 = words.map(|pair| u64::from(word(pair))).sum();
    while let carry @ 1.. = sum >> 16 {
        sum = (sum & 0xffff) + carry;
    }
    let [.., high, low] = (!sum).to_be_bytes();
    [high, low]
}

/// The checksum of what follows an IPv6 header, over its pseudo-header too (RFC 8200 section 8.1).
pub(crate) fn checksum_v6(
    source: Ipv6Addr,
    destination: Ipv6Addr,
    next_header: u8,
    payload: &[u8],
) -> [u8; 2] {
    // Nothing here is near 4 GiB.
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes();
    checksum(&[&source.octets(), &destination.octets(), &length, &[0, 0, 0, next_header], payload])
}

#[cfg(test)]
mod tests {
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
    fn an_odd_byte_at_the_end_counts_as_the_high_one() {
        assert_eq!(checksum(&[&[1, 2], &[3]]), checksum(&[&[1, 2, 3, 0]]));
    }
}
