//! What an agent answered, to be said again in its place.

use std::io::{self, Read};

use serde::{Deserialize, Serialize};

/// Whole answers, with their headers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Words {
    /// What a scrape gets.
    pub metrics: String,
    /// What an open page gets at first: the headers, and the first event.
    pub first_event: String,
    /// One more event, as a chunk (RFC 9112, section 7.1).
    pub event: String,
}

impl Words {
    /// From what an agent sends to a scrape, which ends, and to an open page, which does not.
    ///
    /// # Errors
    /// They can't be read, or are not what an agent sends.
    pub(super) fn heard(mut scrape: impl Read, mut page: impl Read) -> io::Result<Self> {
        let mut metrics = String::new();
        scrape.read_to_string(&mut metrics)?;
        let mut text = Vec::new();
        let mut piece = [0; 4 << 10];
        loop {
            if let Some((first, second)) = two_events(&text) {
                let words = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                return Ok(Self {
                    metrics,
                    first_event: words(&text[..first]),
                    event: words(&text[first..second]),
                });
            }
            match page.read(&mut piece)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => text.extend_from_slice(&piece[..read]),
            }
        }
    }
}

/// Where the first chunk ends, and where the second does.
fn two_events(text: &[u8]) -> Option<(usize, usize)> {
    let headers = find(text, b"\r\n\r\n")? + 4;
    let first = headers + chunk(&text[headers..])?;
    Some((first, first + chunk(&text[first..])?))
}

/// The length of the chunk that begins here, once it is whole.
fn chunk(text: &[u8]) -> Option<usize> {
    let line = find(text, b"\r\n")?;
    let size = usize::from_str_radix(std::str::from_utf8(&text[..line]).ok()?, 16).ok()?;
    let whole = size.checked_add(line + 4)?;
    (text.len() >= whole).then_some(whole)
}

fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|here| here == what)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::Words;

    #[test]
    fn an_open_page_is_heard_to_the_end_of_its_second_event() {
        let page = "HTTP/1.1 200 OK\r\n\r\n3\r\none\r\n6\r\nsecond\r\n5\r\nth";
        let words = Words::heard("metrics".as_bytes(), page.as_bytes()).unwrap();
        assert_eq!(words.metrics, "metrics");
        assert_eq!(words.first_event, "HTTP/1.1 200 OK\r\n\r\n3\r\none\r\n");
        assert_eq!(words.event, "6\r\nsecond\r\n");
        assert!(
            Words::heard("".as_bytes(), &page.as_bytes()[..30]).is_err(),
            "the page's stream ended before that"
        );
    }
}
