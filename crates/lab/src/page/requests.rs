//! What a page asked for, by the browser's own log.

use super::{AS_TYPED, PageError, promise};
use crate::browser::Told;

/// Every request was a GET of this agent's; gives how many there were.
pub(super) fn of_its_own_agent(told: &[Told], agent: &str) -> Result<usize, PageError> {
    let sent = told.iter().filter(|told| told.method == "Network.requestWillBeSent");
    let mut count = 0;
    for request in sent.map(|told| &told.parameters["request"]) {
        let text = |key: &str| request[key].as_str().unwrap_or_default();
        // The page itself was typed with name and password.
        let (address, method) = (text("url").replace(&format!("{AS_TYPED}@"), ""), text("method"));
        // Written in the page itself: nobody is asked.
        if address.starts_with("data:") || address == "about:blank" {
            continue;
        }
        promise(address.starts_with(agent) && method == "GET", || {
            format!("{agent}: the page asked {method} {address}")
        })?;
        count += 1;
    }
    promise(count >= 3, || {
        format!("{agent}: {count} requests in the browser's log: it was not listened to")
    })?;
    let refused = told
        .iter()
        .find(|told| told.method == "Log.entryAdded" && told.parameters["entry"]["source"] == "security");
    promise(refused.is_none(), || {
        format!("{agent}: the browser refused something: {:?}", refused.map(|told| &told.parameters))
    })?;
    Ok(count)
}
