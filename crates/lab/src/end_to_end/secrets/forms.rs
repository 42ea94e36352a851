//! The forms in which a secret could be written down: as it is, in hex, in an address, in JSON, in base64 at whatever place in a longer
//! text. Pure.

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const OF_ADDRESSES: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
const HEX: &[u8; 16] = b"0123456789abcdef";

/// What is to show nowhere.
#[derive(Debug)]
pub(super) struct Secret {
    /// What it is, in words.
    pub(super) called: &'static str,
    forms: Vec<(&'static str, Vec<u8>)>,
}

impl Secret {
    pub(super) fn new(called: &'static str, text: &str) -> Self {
        let bytes = text.as_bytes();
        let mut forms = vec![
            ("as it is", bytes.to_vec()),
            ("backwards", bytes.iter().rev().copied().collect()),
            ("in hex", hex(bytes)),
            ("in hex, capitals", hex(bytes).to_ascii_uppercase()),
            ("as in an address", escaped(bytes, false)),
            ("as in an address, small letters", escaped(bytes, true)),
            ("as in JSON", text.replace('\\', "\\\\").replace('"', "\\\"").into_bytes()),
            ("in UTF-16", text.encode_utf16().flat_map(u16::to_le_bytes).collect()),
        ];
        for offset in 0..3 {
            forms.push(("in base64", base64_within(bytes, offset, STANDARD)));
            forms.push(("in base64 for addresses", base64_within(bytes, offset, OF_ADDRESSES)));
        }
        Self { called, forms }
    }

    /// In which form it stands there; none where it does not.
    pub(super) fn shown_in(&self, content: &[u8]) -> Option<&'static str> {
        self.forms.iter().find(|(_, form)| times_in(content, form) > 0).map(|(name, _)| *name)
    }
}

/// How often this stands there.
pub(super) fn times_in(content: &[u8], wanted: &[u8]) -> usize {
    let Some(first) = wanted.first() else { return 0 };
    content.windows(wanted.len()).filter(|part| part.first() == Some(first) && *part == wanted).count()
}

fn hex(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().flat_map(|byte| [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]).collect()
}

/// RFC 3986: all but its unreserved characters by their number.
fn escaped(bytes: &[u8], small: bool) -> Vec<u8> {
    let mut text = Vec::new();
    for byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
            text.push(*byte);
        } else {
            let number = hex(&[*byte]);
            text.push(b'%');
            text.extend(if small { number } else { number.to_ascii_uppercase() });
        }
    }
    text
}

/// RFC 4648, of bytes that so many others stand before and any behind: only the letters that nothing but these bytes makes.
fn base64_within(bytes: &[u8], before: usize, letters: &[u8; 64]) -> Vec<u8> {
    let bits = |place: usize| -> Option<u8> {
        let byte = place / 8;
        let byte = byte.checked_sub(before).and_then(|byte| bytes.get(byte))?;
        Some(byte >> (7 - place % 8) & 1)
    };
    let all = (before + bytes.len()) * 8 / 6;
    (0..all)
        .filter_map(|letter| {
            let six = (letter * 6..letter * 6 + 6)
                .try_fold(0, |six: usize, place| Some(six << 1 | usize::from(bits(place)?)));
            six.map(|six| letters[six])
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_is_found_where_it_stands_in_something_longer() {
        let secret = Secret::new("it", "a\"b/c d");
        for (form, text) in [
            ("as it is", "xx a\"b/c d xx"),
            ("backwards", "xd c/b\"ax"),
            ("in hex", "00612262 2f6320"),
            ("in hex", "x6122622f632064x"),
            ("in hex, capitals", "6122622F632064"),
            ("as in an address", "?key=a%22b%2Fc%20d&"),
            ("as in an address, small letters", "?key=a%22b%2fc%20d&"),
            ("as in JSON", "{\"x\":\"a\\\"b/c d\"}"),
            // base64 of the secret alone, of "haip:" and it, of "x:" and it, each with more behind.
            ("in base64", "YSJiL2MgZCE="),
            ("in base64", "aGFpcDphImIvYyBkIQ=="),
            ("in base64", "eDphImIvYyBkIQ=="),
        ] {
            let found = secret.shown_in(text.as_bytes());
            let torn = text.contains(' ') && form == "in hex";
            assert_eq!(found, (!torn).then_some(form), "{text}");
        }
        assert_eq!(secret.shown_in(b"a\"b/c  d a\"b/cd YSJiL2Mg"), None);
    }

    #[test]
    fn how_often_something_stands_there_is_counted() {
        assert_eq!((times_in(b"ababa", b"aba"), times_in(b"ab", b"aba"), times_in(b"ab", b"")), (2, 0, 0));
    }
}
