//! Clients' SYNs: a refusal is what its client's kernel takes for one, and is itself never refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::tcp::{Refusal, refusal};

/// The Internet checksum's sum (RFC 1071): all ones where the checksum in it is right.
fn sum(parts: &[&[u8]]) -> u16 {
    let words = parts.iter().flat_map(|part| part.chunks_exact(2));
    let sum: u32 = words.map(|word| u32::from(u16::from_be_bytes([word[0], word[1]]))).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    u16::try_from((folded & 0xffff) + (folded >> 16)).unwrap_or_default()
}

fuzz_target!(|syn: &[u8]| {
    let Some(Refusal { to, packet }) = refusal(syn) else { return };
    // Where the addresses are, and where each header ends, in the SYN and in its refusal.
    let v4 = syn[0] >> 4 == 4;
    let (source, destination, own_header) = if v4 { (12..16, 16..20, 20) } else { (8..24, 24..40, 40) };
    let header = if v4 { usize::from(syn[0] & 0xf) * 4 } else { 40 };
    let (ip, tcp) = packet.split_at(own_header);
    if v4 {
        assert_eq!(sum(&[ip]), u16::MAX, "the header's checksum");
    }
    let addresses = &ip[source.start..destination.end];
    assert_eq!(sum(&[addresses, &[0, 6, 0, 20], tcp]), u16::MAX, "the segment's checksum");
    assert_eq!(
        (&ip[source.clone()], &ip[destination.clone()]),
        (&syn[destination], &syn[source.clone()]),
        "from the one that was asked to the one that asked"
    );
    assert_eq!(
        (&tcp[0..2], &tcp[2..4]),
        (&syn[header + 2..header + 4], &syn[header..header + 2]),
        "their ports"
    );
    let client = match to.ip() {
        std::net::IpAddr::V4(client) => client.octets().to_vec(),
        std::net::IpAddr::V6(client) => client.octets().to_vec(),
    };
    assert_eq!((&client[..], &to.port().to_be_bytes()[..]), (&syn[source], &tcp[2..4]));
    let asked = u32::from_be_bytes([syn[header + 4], syn[header + 5], syn[header + 6], syn[header + 7]]);
    assert_eq!(tcp[8..12], asked.wrapping_add(1).to_be_bytes(), "what it acknowledges");
    assert_eq!(refusal(&packet), None, "two hosts never refuse each other's refusals");
    let headers = &syn[..header + 20];
    assert_eq!(refusal(headers), refusal(syn), "what follows the headers does not count");
});
