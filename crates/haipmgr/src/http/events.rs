//! The page's stream: server-sent events (HTML standard, section 9.2), one `status` each time that the cluster was looked at.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, Stream};
use hyper::body::Frame;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep};

use super::looks::Looks;

/// Between two events.
const EVERY: Duration = Duration::from_millis(200);
/// After this long the stream ends, and the browser asks again: whoever is no longer there is found out.
const AT_MOST: Duration = Duration::from_secs(600);

/// Events until whoever asked has gone. `place`: among those who are served so.
pub(super) fn events(
    looks: Arc<Looks>,
    place: OwnedSemaphorePermit,
) -> impl Stream<Item = Result<Frame<Bytes>, Infallible>> + Send {
    let until = Instant::now() + AT_MOST;
    stream::unfold((looks, place, None), move |(looks, place, last)| async move {
        let begun = Instant::now();
        if begun >= until {
            return None;
        }
        if last.is_some() {
            sleep(EVERY).await;
        }
        // None is known; the page shows how old the last one is.
        let whole = looks.whole().await.ok()?;
        let again = if last.is_none() { "retry: 1000\n" } else { "" };
        let event = format!("{again}event: status\ndata: {}\n\n", whole.json.trim_end());
        Some((Ok(Frame::data(Bytes::from(event))), (looks, place, Some(begun))))
    })
}
