//! Clients' SYNs: a refusal is what its client's kernel takes for one, and is itself never refused.
#![no_main]

use haipmgr::wire::tcp::{Refusal, refusal};
use libfuzzer_sys::fuzz_target;

/// The Internet checksum's sum (RFC 1071): all ones where the checksum in it is right.
fn sum(parts: &[&[u8]]) -> u16 {
    let words = parts.iter().flat_map(|part| part.chunks_exact(2));
    let sum: u32 = words.map(|word| u32::from(u16::from_be_bytes([word[0], word[1]]))).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    u16::try_from((folded & 0xffff) + (folded >> 16)).unwrap_or_default()
}

fuzz_target!(|syn: &[u8]| {
    let Some(Refusal { to, packet }) = refusal(syn) else { return };
    let header = usize::from(syn[0] & 0xf) * 4;
    let (ip, tcp) = packet.split_at(20);
    assert_eq!(sum(&[ip]), u16::MAX, "the header's checksum");
    assert_eq!(sum(&[&ip[12..20], &[0, 6, 0, 20], tcp]), u16::MAX, "the segment's checksum");
    assert_eq!(
        (&ip[12..16], &ip[16..20]),
        (&syn[16..20], &syn[12..16]),
        "from the one that was asked to the one that asked"
    );
    assert_eq!(
        (&tcp[0..2], &tcp[2..4]),
        (&syn[header + 2..header + 4], &syn[header..header + 2]),
        "their ports"
    );
    assert_eq!((to.ip().octets().as_slice(), &to.port().to_be_bytes()[..]), (&ip[16..20], &tcp[2..4]));
    let asked = u32::from_be_bytes([syn[header + 4], syn[header + 5], syn[header + 6], syn[header + 7]]);
    assert_eq!(tcp[8..12], asked.wrapping_add(1).to_be_bytes(), "what it acknowledges");
    assert_eq!(refusal(&packet), None, "two hosts never refuse each other's refusals");
    let headers = &syn[..header + 20];
    assert_eq!(refusal(headers), refusal(syn), "what follows the headers does not count");
});
