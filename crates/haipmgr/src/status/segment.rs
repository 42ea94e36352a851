//! Who answers for an address on the segment. It is asked as any host asks that wants to talk to it, from this host's own address: never
//! by a probe, which is a claim.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use futures_util::future::join_all;
use linux::neighbor_socket::NeighborListener;
use linux::packet_socket::PacketSocketError;
use tokio::time::{Instant, sleep_until, timeout_at};
use wire::{Family, Mac, NeighborMessage};

use super::picture::Known;
use crate::observe::interface_address;

/// Frames are lost: each address is asked for up to three times, and listened for until then, in milliseconds.
const HEARD_UNTIL: [u64; 3] = [25, 70, 150];
/// A second holder's answer is waited for at least this long.
const AT_LEAST: Duration = Duration::from_millis(40);

/// Who answered for an address: each hardware address, with the time from which it was listened for. When a frame arrived is not known
/// exactly: it may have lain in the socket.
pub(super) type Heard = BTreeMap<Mac, Instant>;

/// Asks for `targets` on this interface: from `own`, this member's own address there, and in the other family, or where it is not there, from
/// an address that the interface has. Gives who answered for each of those that could be asked for: where there is no address to ask from, those of its
/// family are left out.
///
/// # Errors
/// In words: the right to do it is missing, or the interface is of no use.
pub(super) async fn ask(
    interface: &str,
    own: Option<IpAddr>,
    targets: &[IpAddr],
) -> Known<BTreeMap<IpAddr, Heard>> {
    let asked = interface_address::askers(interface, own, targets);
    let each = join_all(asked.map(|(asker, targets)| ask_from(interface, asker, targets))).await;
    Ok(each.into_iter().collect::<Known<Vec<_>>>()?.into_iter().flatten().collect())
}

async fn ask_from(interface: &str, asker: IpAddr, targets: Vec<IpAddr>) -> Known<BTreeMap<IpAddr, Heard>> {
    let listener = NeighborListener::open(interface, Family::of(asker)).map_err(|error| in_words(&error))?;
    let can_be_asked = |target: &&IpAddr| **target != asker;
    let begun = Instant::now();
    let mut found: BTreeMap<IpAddr, Heard> =
        targets.iter().filter(can_be_asked).map(|target| (*target, Heard::new())).collect();
    for heard_until in HEARD_UNTIL {
        let unanswered = found.iter().filter(|(_, answers)| answers.is_empty());
        for target in unanswered.map(|(target, _)| *target) {
            let question = NeighborMessage::Question { target, asker };
            listener.send(question, None).map_err(|error| in_words(&error))?;
        }
        if hear(&listener, &mut found, begun, begun + Duration::from_millis(heard_until)).await? {
            break;
        }
    }
    sleep_until(begun + AT_LEAST).await;
    // What came while nobody listened is still in the socket.
    hear(&listener, &mut found, begun, Instant::now() + Duration::from_millis(1)).await?;
    Ok(found)
}

/// Hears until then, or until each address was answered for and a second holder has had its time. Gives whether that is so.
async fn hear(
    listener: &NeighborListener,
    found: &mut BTreeMap<IpAddr, Heard>,
    begun: Instant,
    until: Instant,
) -> Known<bool> {
    loop {
        let all = found.values().all(|answers| !answers.is_empty());
        if all && begun.elapsed() >= AT_LEAST {
            return Ok(true);
        }
        let until = if all { until.min(begun + AT_LEAST) } else { until };
        let Ok(received) = timeout_at(until, listener.receive()).await else { return Ok(all) };
        let received = received.map_err(|error| in_words(&error))?;
        let uses = received.message.sender_address();
        if let Some(answers) = uses.and_then(|address| found.get_mut(&address)) {
            answers.insert(received.from, begun);
        }
    }
}

fn in_words(error: &PacketSocketError) -> String {
    match error {
        PacketSocketError::NotAllowed { .. } => "needs root, or the capability CAP_NET_RAW".to_owned(),
        other => other.to_string(),
    }
}
