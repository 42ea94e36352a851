//! ICMP echo (RFC 792, RFC 4443 section 4): one request, and whether some bytes are its reply.
//!
//! The two ICMPs differ in their type numbers and in who does the checksum.

use crate::Family;
use crate::checksum::checksum;

/// Type, code, checksum, identifier, sequence number.
const HEADER: usize = 8;
/// The mark follows the header.
const LENGTH: usize = HEADER + 8;
/// The shortest IPv4 header.
const IPV4_HEADER: usize = 20;
/// `protocol` of the IPv4 header.
const IPV4_PROTOCOL_ICMP: u8 = 1;

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
    fn ipv6_has_its_own_numbers() {
        let mut message = ECHO.request(Family::V6);
        assert_eq!(message[0], 128);
        message[0] = 129;
        assert_eq!(Echo::from_reply(Family::V6, &message), Some(ECHO));
    }
}
