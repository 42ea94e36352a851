//! ICMP echo replies: none is taken for another request's, and none of both versions.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wire::Family;
use wire::icmp::Echo;

fuzz_target!(|bytes: &[u8]| {
    let (v4, v6) = (Echo::from_reply(Family::V4, bytes), Echo::from_reply(Family::V6, bytes));
    assert!(v4.is_none() || v6.is_none(), "IPv4 or IPv6");
    if let Some(echo) = v6 {
        let mut again = echo.request(Family::V6);
        again[0] = 129;
        // The kernel checks the checksum before a raw socket of ICMPv6 hears the message.
        assert_eq!((again[1], &again[4..]), (bytes[1], &bytes[4..16]), "the reply to this request");
    }
    if let Some(echo) = v4 {
        let header = usize::from(bytes[0] & 0xf) * 4;
        assert_eq!(
            echo.request(Family::V4)[4..],
            bytes[header + 4..header + 16],
            "the reply to this request"
        );
    }
    if let Some(Ok(numbers)) = bytes.get(..10).map(<[u8; 10]>::try_from) {
        let [sequence @ .., _, _, _, _, _, _, _, _] = numbers;
        let [_, _, mark @ ..] = numbers;
        let echo = Echo { sequence: u16::from_be_bytes(sequence), mark: u64::from_be_bytes(mark) };
        let mut reply = echo.request(Family::V6);
        reply[0] = 129;
        assert_eq!(Echo::from_reply(Family::V6, &reply), Some(echo), "each request's reply is known");
    }
});
