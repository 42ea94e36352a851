//! ICMP echo (RFC 792, RFC 4443 section 4): one request, and whether some bytes are its reply.
//!
//! The two ICMPs differ in their type numbers and in who does the checksum.

use std::net::Ipv4Addr;

use crate::checksum::checksum;
use crate::{Family, Mac};

/// Type, code, checksum, identifier, sequence number.
const HEADER: usize = 8;
/// The mark follows the header.
const LENGTH: usize = HEADER + 8;
/// The shortest IPv4 header.
const IPV4_HEADER: usize = 20;
/// `protocol` of the IPv4 header.
const IPV4_PROTOCOL_ICMP: u8 = 1;
/// `EtherType` of IPv4.
const IPV4: [u8; 2] = [8, 0];

/// An echo request, or what its reply repeats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Echo {
    /// Which of the sender's requests it is; goes round.
    pub sequence: u16,
    /// A number that only this sender knows: other programs ping the same gateway.
    pub mark: u64,
}

impl Echo {
    /// The ICMP message, to be sent on a raw socket.
    pub fn request(self, family: Family) -> [u8; LENGTH] {
        let [high, low] = self.sequence.to_be_bytes();
        let mark = self.mark.to_be_bytes();
        let kind = match family {
            Family::V4 => 8,
            Family::V6 => 128,
        };
        let mut bytes = [kind, 0, 0, 0, mark[0], mark[1], high, low, 0, 0, 0, 0, 0, 0, 0, 0];
        bytes[HEADER..].copy_from_slice(&mark);
        // Over IPv6 the kernel does the checksum, which takes in the addresses (RFC 3542 section 3.1).
        if family == Family::V4 {
            let sum = checksum(&[&bytes]);
            bytes[2..4].copy_from_slice(&sum);
        }
        bytes
    }

    /// Reads an echo reply, as a raw socket gives it: over IPv4 with the IP header in front. None: it is something else.
    pub fn from_reply(family: Family, bytes: &[u8]) -> Option<Self> {
        let (message, kind) = match family {
            Family::V4 => {
                let first = *bytes.first()?;
                let header = usize::from(first & 0x0f) * 4;
                if first >> 4 != 4 || header < IPV4_HEADER || *bytes.get(9)? != IPV4_PROTOCOL_ICMP {
                    return None;
                }
                (bytes.get(header..)?, 0)
            }
            Family::V6 => (bytes, 129),
        };
        let message: &[u8; LENGTH] = message.get(..LENGTH)?.try_into().ok()?;
        let [is, code, _, _, first, second, high, low, mark @ ..] = *message;
        let sound = family == Family::V6 || checksum(&[message]) == [0, 0];
        let echo = Self { sequence: u16::from_be_bytes([high, low]), mark: u64::from_be_bytes(mark) };
        (is == kind && code == 0 && sound && mark[..2] == [first, second]).then_some(echo)
    }

    /// A whole frame with the request, from this interface and address to those, over IPv4. It is for the host with that MAC alone, whatever
    /// anybody's routes say: its time to live is 1, so that a host which does not have the address passes it on to nobody.
    pub fn frame(self, from: (Mac, Ipv4Addr), to: (Mac, Ipv4Addr)) -> Vec<u8> {
        let message = self.request(Family::V4);
        let length = u16::try_from(IPV4_HEADER + message.len()).unwrap_or(u16::MAX).to_be_bytes();
        // Not to be cut up; the identification means nothing then (RFC 6864).
        let mut header = [0x45, 0, length[0], length[1], 0, 0, 0x40, 0, 1, IPV4_PROTOCOL_ICMP, 0, 0]
            .into_iter()
            .chain(from.1.octets())
            .chain(to.1.octets())
            .collect::<Vec<u8>>();
        let sum = checksum(&[&header]);
        header.splice(10..12, sum);
        [&to.0.0, &from.0.0, &IPV4[..], &header, &message].concat()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const ECHO: Echo = Echo { sequence: 0x1234, mark: 0xdead_beef_0bad_cafe };

    fn reply_to(request: [u8; LENGTH]) -> Vec<u8> {
        let mut message = request;
        message[0] = 0;
        message[2] = 0;
        message[3] = 0;
        let sum = checksum(&[&message]);
        message[2..4].copy_from_slice(&sum);
        let mut bytes =
            vec![0x46, 0, 0, 40, 0, 0, 0, 0, 64, 1, 0, 0, 10, 77, 0, 254, 10, 77, 0, 11, 1, 1, 1, 0];
        bytes.extend(message);
        bytes
    }

    #[test]
    fn a_reply_is_told_from_everything_else() {
        let request = ECHO.request(Family::V4);
        assert_eq!(checksum(&[&request]), [0, 0], "the checksum holds");
        let reply = reply_to(request);
        assert_eq!(Echo::from_reply(Family::V4, &reply), Some(ECHO));
        assert_eq!(Echo::from_reply(Family::V6, &reply), None);
        for end in 0..reply.len() {
            assert_eq!(Echo::from_reply(Family::V4, &reply[..end]), None, "cut at {end}");
        }
        for index in 24..reply.len() {
            let mut spoilt = reply.clone();
            spoilt[index] ^= 0x10;
            assert_eq!(Echo::from_reply(Family::V4, &spoilt), None, "spoilt at {index}");
        }
        let mut own_request = reply[..24].to_vec();
        own_request.extend(request);
        assert_eq!(Echo::from_reply(Family::V4, &own_request), None, "a request is no reply");
    }

    #[test]
    fn a_frame_bears_the_request_to_one_host() {
        let (ours, theirs) = (Mac([2, 0, 0, 0, 0, 0x11]), Mac([2, 0, 0, 0, 0, 0x12]));
        let (own, vip) = (Ipv4Addr::new(10, 77, 0, 11), Ipv4Addr::new(10, 77, 0, 100));
        let frame = ECHO.frame((ours, own), (theirs, vip));
        assert_eq!(frame[..14], [2, 0, 0, 0, 0, 0x12, 2, 0, 0, 0, 0, 0x11, 8, 0]);
        assert_eq!(
            (frame[14 + 8], checksum(&[&frame[14..34]])),
            (1, [0, 0]),
            "time to live, and a sound header"
        );
        assert_eq!((&frame[26..30], &frame[30..34]), (&own.octets()[..], &vip.octets()[..]));
        assert_eq!(frame[34..], ECHO.request(Family::V4));
    }

    #[test]
    fn ipv6_has_its_own_numbers() {
        let mut message = ECHO.request(Family::V6);
        assert_eq!(message[0], 128);
        message[0] = 129;
        assert_eq!(Echo::from_reply(Family::V6, &message), Some(ECHO));
    }
}
