//! Whether who asks shows the token. Pure.

use zeroize::Zeroizing;

use crate::config::Password;

/// Whether this `Authorization` header shows the token: `Bearer TOKEN`, or `Basic` with it as the password, as a browser sends it.
pub(super) fn is_shown(token: &Password, header: Option<&[u8]>) -> bool {
    let Some(header) = header else { return false };
    let Some(space) = header.iter().position(|byte| *byte == b' ') else { return false };
    let (scheme, rest) = (&header[..space], header[space..].trim_ascii());
    if scheme.eq_ignore_ascii_case(b"bearer") {
        return is_same(token.reveal().as_bytes(), rest);
    }
    if scheme.eq_ignore_ascii_case(b"basic") {
        let Some(pair) = from_base64(rest) else { return false };
        let Some(colon) = pair.iter().position(|byte| *byte == b':') else { return false };
        return is_same(token.reveal().as_bytes(), &pair[colon + 1..]);
    }
    false
}

/// Takes as long wherever they differ: the time tells nothing of the token but its length.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    let differs = one.iter().zip(other).fold(0, |differs, (one, other)| differs | (one ^ other));
    one.len() == other.len() && std::hint::black_box(differs) == 0
}

/// RFC 4648 section 4; nothing where it is none.
fn from_base64(text: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let text = text.strip_suffix(b"==").or_else(|| text.strip_suffix(b"=")).unwrap_or(text);
    let (mut bytes, mut bits, mut held) = (Zeroizing::new(Vec::with_capacity(text.len())), 0_u32, 0_u32);
    for byte in text {
        let six = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        held = (held << 6 | u32::from(six)) & 0xff_ffff;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(held >> bits & 0xff).ok()?);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_taken_as_a_bearers_and_as_a_browsers_password_and_nothing_else_is() {
        let token = Password::new("0123456789abcdef");
        for header in
            ["Bearer 0123456789abcdef", "bearer  0123456789abcdef", "Basic YWRtaW46MDEyMzQ1Njc4OWFiY2RlZg=="]
        {
            assert!(is_shown(&token, Some(header.as_bytes())), "{header}");
        }
        for header in [
            "",
            "Bearer",
            "Bearer ",
            "Bearer 0123456789abcdeF",
            "Bearer 0123456789abcdef0",
            "Bearer 0123456789abcde",
            "Basic 0123456789abcdef",
            "Basic YWRtaW46",
            "Basic !",
            "Digest 0123456789abcdef",
        ] {
            assert!(!is_shown(&token, Some(header.as_bytes())), "{header}");
        }
        assert!(!is_shown(&token, None));
    }
}
