//! The page's stream: server-sent events (HTML standard, section 9.2), one `status` each time that the cluster was looked at.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, Stream};
use hyper::body::Frame;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep, sleep_until};

use super::looks::{Looks, Whole};

/// From one event to the next, at least: it counts from the beginning of the look, lest what is shown wait for what a look takes too.
const EVERY: Duration = Duration::from_millis(200);
/// What was seen already is asked for again after this.
const AGAIN_AFTER: Duration = Duration::from_millis(20);
/// After this long the stream ends, and the browser asks again: whoever is no longer there is found out.
const AT_MOST: Duration = Duration::from_secs(600);

/// When it was asked for, and what was seen.
type Shown = (Instant, Arc<Whole>);

/// What was seen after the last one; none: the stream is to end, or nothing can be told, and the page shows how old the last one is.
async fn next(looks: &Looks, last: Option<&Shown>, until: Instant) -> Option<Shown> {
    if let Some((begun, _)) = last {
        sleep_until(*begun + EVERY).await;
    }
    loop {
        let begun = Instant::now();
        if begun >= until {
            return None;
        }
        let whole = looks.whole().await.ok()?;
        if last.is_none_or(|(_, last)| !Arc::ptr_eq(last, &whole)) {
            return Some((begun, whole));
        }
        sleep(AGAIN_AFTER).await;
    }
}

/// Events until whoever asked has gone. `place`: among those who are served so.
pub(super) fn events(
    looks: Arc<Looks>,
    place: OwnedSemaphorePermit,
) -> impl Stream<Item = Result<Frame<Bytes>, Infallible>> + Send {
    let until = Instant::now() + AT_MOST;
    stream::unfold((looks, place, None), move |(looks, place, last)| async move {
        let (begun, whole) = next(&looks, last.as_ref(), until).await?;
        let again = if last.is_none() { "retry: 1000\n" } else { "" };
        let event = format!("{again}event: status\ndata: {}\n\n", whole.json.trim_end());
        Some((Ok(Frame::data(Bytes::from(event))), (looks, place, Some((begun, whole)))))
    })
}
