//! Whether mysqld takes new clients: by the kernel's table of sockets, so that no server is connected to. At the VIP, for the log; and at
//! all, for readers. At `SHUTDOWN` it accepts nobody any more, seconds before it leaves its group and answers this agent's session all the
//! while, but its sockets go on listening: that it shuts down it writes to its error log, and that is its last word.

use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use decide::input::{Event, Fact, ProcessSign, Seen, Why};
use decide::time::Time;
use linux::sock_diag::{Diag, DiagError};
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::clock;
use crate::server_access::{Kept, Servers};

const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A server that has written that it shuts down has left its group by then. One that still answers in it did not mean it, or somebody else
/// wrote that into its log.
const COUNTS_FOR: Duration = Duration::from_secs(30);
/// The server has not written that it shuts down.
const NEVER: u64 = u64::MAX;
/// After a sign of the server's process it is looked at again and again, this long after the look before.
const AFTER_A_SIGN_MS: [u64; 8] = [1, 4, 10, 15, 30, 60, 120, 250];

/// For each of these VIPs one sentence where servers listen at this port and none of them at that VIP: its clients are refused there. None
/// where nothing listens at all (the server is down, or has a network of its own), or the kernel, which is asked once, does not tell.
pub fn remarks(
    vips: impl IntoIterator<Item = IpAddr>,
    port: u16,
) -> impl Iterator<Item = (IpAddr, Option<String>)> {
    let listeners = Diag::open().and_then(|mut diag| diag.listeners(port)).unwrap_or_default();
    let at: Vec<IpAddr> = listeners.into_iter().map(|(address, _)| address.to_canonical()).collect();
    vips.into_iter().map(move |vip| (vip, refused_at(vip, port, &at)))
}

fn refused_at(vip: IpAddr, port: u16, listeners: &[IpAddr]) -> Option<String> {
    let serves = |address: &IpAddr| match address {
        // A server on `::` takes IPv4 connections as well; one that does not is not told apart here.
        IpAddr::V6(address) if address.is_unspecified() => true,
        other => *other == vip || (other.is_unspecified() && vip.is_ipv4()),
    };
    if listeners.is_empty() || listeners.iter().any(serves) {
        return None;
    }
    let mut places: Vec<_> = listeners.iter().map(ToString::to_string).collect();
    places.sort();
    places.dedup();
    Some(format!(
        "mysqld listens at {} only, port {port}: clients of the VIP {vip} are refused on this host; set bind_address to \"*\", or start \
         mysqld with the VIP in it (an address that is not here yet needs net.ipv4.ip_nonlocal_bind)",
        places.join(", ")
    ))
}

/// It is being looked at as long as this lives.
pub struct ListeningWatch {
    sign: Arc<Notify>,
    /// When it last wrote that it shuts down, in microseconds of [`clock`].
    shuts_down: Arc<AtomicU64>,
    _task: Kept,
}

impl ListeningWatch {
    /// What is to be called at each sign of the server's process, from any thread: it is looked at sooner then.
    pub fn at_a_sign(&self) -> impl Fn(ProcessSign) + Send + 'static {
        let (sign, shuts_down) = (Arc::clone(&self.sign), Arc::clone(&self.shuts_down));
        move |of| {
            if of != ProcessSign::WroteToItsLog {
                // Another process, or none.
                shuts_down.store(NEVER, Ordering::Relaxed);
            }
            sign.notify_one();
        }
    }

    /// What is to be called when the server has written that it shuts down, from any thread.
    pub fn at_the_last_word(&self) -> impl Fn() + Send + 'static {
        let (sign, shuts_down) = (Arc::clone(&self.sign), Arc::clone(&self.shuts_down));
        move || {
            shuts_down.store(clock::now().0, Ordering::Relaxed);
            sign.notify_one();
        }
    }
}

/// Tells `Event::Listens` once a second, and at once what has changed; `tell` may not block.
///
/// # Errors
/// The system gives no thread.
pub fn watch(
    servers: &Servers,
    port: u16,
    tell: impl Fn(Event) + Send + Sync + 'static,
) -> io::Result<ListeningWatch> {
    let sign = Arc::new(Notify::new());
    let signs = Arc::clone(&sign);
    let shuts_down = Arc::new(AtomicU64::new(NEVER));
    let last_word = Arc::clone(&shuts_down);
    let task = servers.keep(async move {
        let mut port = Port::new(port);
        let mut told: Option<Seen<bool>> = None;
        let mut waits = [].iter();
        loop {
            let asked_at = clock::now();
            let shuts_down = counts(last_word.load(Ordering::Relaxed), asked_at);
            let fact = if shuts_down { Fact::Known(false) } else { port.look() };
            let seen = Seen { asked_at, fact };
            let is_news = told.as_ref().is_none_or(|told| {
                told.fact != seen.fact || seen.asked_at.since(told.asked_at) >= LOOK_EVERY
            });
            if is_news {
                tell(Event::Listens(seen.clone()));
                told = Some(seen);
            }
            let wait = waits.next().copied().map_or(LOOK_EVERY, Duration::from_millis);
            if timeout(wait, pin!(signs.notified())).await.is_ok() {
                waits = AFTER_A_SIGN_MS.iter();
            }
        }
    })?;
    Ok(ListeningWatch { sign, shuts_down, _task: task })
}

/// Whether a last word of then counts now.
fn counts(said_at: u64, now: Time) -> bool {
    said_at != NEVER && now.since(Time(said_at)) < COUNTS_FOR
}

/// The server's port on this host.
struct Port {
    number: u16,
    diag: Option<Diag>,
    /// Something was seen to listen there: where nothing ever did, the server may have a network of its own.
    listened: bool,
}

impl Port {
    fn new(port: u16) -> Self {
        Self { number: port, diag: None, listened: false }
    }

    fn look(&mut self) -> Fact<bool> {
        match self.ask() {
            Ok(listens) => self.understand(listens),
            Err(error) => {
                self.diag = None;
                Fact::Unknown(Why::Other(error.to_string()))
            }
        }
    }

    fn understand(&mut self, listens: bool) -> Fact<bool> {
        self.listened |= listens;
        if self.listened {
            Fact::Known(listens)
        } else {
            Fact::Unknown(Why::Other(format!(
                "nothing was seen to listen at port {} of this host",
                self.number
            )))
        }
    }

    fn ask(&mut self) -> Result<bool, DiagError> {
        let diag = match &mut self.diag {
            Some(diag) => diag,
            none => none.insert(Diag::open()?),
        };
        Ok(!diag.listeners(self.number)?.is_empty())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    fn remark_for(listeners: &[&str]) -> Option<String> {
        let at = |address: &&str| address.parse::<IpAddr>().unwrap().to_canonical();
        let listeners: Vec<_> = listeners.iter().map(at).collect();
        refused_at([10, 77, 0, 100].into(), 3306, &listeners)
    }

    #[test]
    fn a_port_where_nothing_was_ever_seen_to_listen_says_nothing() {
        let mut port = Port::new(3306);
        assert!(matches!(port.understand(false), Fact::Unknown(_)));
        assert_eq!(port.understand(true), Fact::Known(true));
        assert_eq!(port.understand(false), Fact::Known(false));
    }

    #[test]
    fn a_word_that_nothing_came_of_counts_no_longer_than_a_server_takes_to_leave_its_group() {
        let second = 1_000_000;
        assert!(counts(5 * second, Time(5 * second)) && counts(5 * second, Time(34 * second)));
        assert!(!counts(5 * second, Time(35 * second)) && !counts(NEVER, Time(5 * second)));
    }

    #[test]
    fn a_server_that_shuts_down_and_a_listener_that_is_closed_are_told_of_within_a_moment() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let (told, heard) = std::sync::mpsc::channel();
        let port = listener.local_addr().unwrap().port();
        let watch = watch(&Servers::default(), port, move |event| drop(told.send(event))).unwrap();
        let next = || match heard.recv_timeout(Duration::from_secs(5)).unwrap() {
            Event::Listens(seen) => seen.fact,
            event => panic!("{event:?}"),
        };
        assert_eq!(next(), Fact::Known(true));
        let sign = watch.at_a_sign();
        watch.at_the_last_word()();
        let said = std::time::Instant::now();
        while next() != Fact::Known(false) {}
        assert!(said.elapsed() < Duration::from_millis(500), "it listens on: {:?}", said.elapsed());
        sign(ProcessSign::Watched);
        while next() != Fact::Known(true) {}
        sign(ProcessSign::WroteToItsLog);
        let closed = std::time::Instant::now();
        drop(listener);
        while next() != Fact::Known(false) {}
        assert!(closed.elapsed() < Duration::from_millis(500), "{:?}", closed.elapsed());
    }

    #[test]
    fn a_server_that_does_not_listen_at_the_vip_is_named_with_where_it_listens() {
        for listens in [&["::"][..], &["0.0.0.0"], &["10.77.0.11", "10.77.0.100"], &["::ffff:0.0.0.0"], &[]] {
            assert_eq!(remark_for(listens), None, "{listens:?}");
        }
        let text = remark_for(&["10.77.0.11", "127.0.0.1"]).unwrap();
        assert!(text.contains("10.77.0.11, 127.0.0.1 only") && text.contains("bind_address"), "{text}");
        assert!(remark_for(&["::1"]).is_some());
    }
}
