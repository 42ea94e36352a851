//! Polls the local server, and says so when an answer does not come in time.

use std::sync::Arc;
use std::time::Duration;

use decide::input::{Event, Fact, NotInGroup, Seen, Server, Why};
use decide::time::Time;

use super::asker::{Answer, Asker, Calls, Next, Tell};
use super::connection::Connection;
use super::unchanged::Unchanged;
use super::{Access, CannotAsk, Limits};
use crate::clock;
use crate::server_access::{Kept, Servers};
use crate::tally::Tally;

/// The least time between two polls of a server that turns the account away: each is a new connection, which costs the
/// server a thread, the account's check and often a line in its log, and what is amiss is for somebody to put right. Each further
/// time it is twice as long, up to [`LONGEST_PAUSE`].
const TURNED_AWAY_PAUSE: Duration = Duration::from_millis(500);

/// Where TLS fails, from the first time: the server may count such connections (`max_connect_errors`, 100) and then block this whole
/// host, its applications too.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// So many answers that are none, one after the other, may be those of a server that is just ending.
const ENDING: u32 = 5;

/// A server that is being watched. Dropped, the watching ends.
pub struct ServerWatch {
    calls: Arc<Calls>,
    unchanged: Arc<Unchanged>,
    _task: Kept,
}

/// Asks the server at once and then each `every`, and tells each answer, but for those that say what was told before while all
/// is well and nobody waits for them: of these the last is kept ([`ServerWatch::unchanged`]). Between two questions the connection's end is
/// told at once, as the answer of a new connection: `Refused` when the server is gone.
///
/// A question that has no answer after [`Limits`] is told as timed out, and again each time the limit has passed once
/// more. Its connection stays; an answer that comes late after all is not told, and the question is put again.
///
/// A server that turns the account away, with whatever error, is polled twice a second and then less and less often, one with which
/// TLS fails each 5 s; [`ServerWatch::ask_now`] asks at once all the same.
///
/// How long each answer took is counted in `tally`. `tell` is called on the thread that speaks to servers, and must not block.
///
/// # Errors
/// The system gave no thread or no descriptor. That the server can't be reached is no error: it is told.
pub fn watch(
    servers: &Servers,
    access: Access,
    every: Duration,
    tally: Tally,
    tell: impl Fn(Event) + Send + Sync + 'static,
) -> Result<ServerWatch, CannotAsk> {
    let (endpoint, limits) = (access.endpoint.clone(), access.limits);
    let unchanged = Arc::new(Unchanged::new(tell));
    let calls = Calls::new(every);
    let asker = Asker {
        calls: Arc::clone(&calls),
        connection: Connection::new(access),
        limits,
        number: servers.number_of_watch(),
        tell: News { unchanged: Arc::clone(&unchanged), limits, tally, turned_away: 0 },
    };
    let task = servers.keep(asker.run()).map_err(|source| CannotAsk { endpoint, source })?;
    Ok(ServerWatch { calls, unchanged, _task: task })
}

/// What of the answers is told.
struct News {
    unchanged: Arc<Unchanged>,
    limits: Limits,
    tally: Tally,
    /// So often in a row.
    turned_away: u32,
}

impl Tell for News {
    fn answered(&mut self, Answer { seen, told, awaited }: Answer) -> Next {
        if is_late(&seen, told, self.limits) {
            return Next::AtOnce;
        }
        if let Fact::Known(_) = seen.fact {
            self.tally.polled(clock::now().since(seen.asked_at));
        }
        let pause = pause_after(&seen.fact, &mut self.turned_away);
        self.unchanged.take_in(seen, awaited);
        Next::Poll(pause)
    }

    fn overdue(&mut self, seen: Seen<Server>) {
        self.unchanged.take_in(seen, true);
    }
}

impl ServerWatch {
    /// Puts the question now, not at the next poll. While one is unanswered, as soon as that one is answered.
    pub fn ask_now(&self) {
        self.calls.ask();
    }

    /// The last answer that was not told because it said what was told before; each is given once.
    pub fn unchanged(&self) -> Option<Seen<Server>> {
        self.unchanged.take()
    }

    /// The same, left where it is.
    pub fn look_at_unchanged(&self) -> Option<Seen<Server>> {
        self.unchanged.look()
    }

    /// Polls at this interval from now on.
    pub fn poll_every(&self, every: Duration) {
        self.calls.poll_every(every);
    }
}

/// What the server said of itself that long ago may have changed since; and that it is silent was told already, at `told`.
/// Everything else is news.
fn is_late(seen: &Seen<Server>, told: Option<Time>, limits: Limits) -> bool {
    match &seen.fact {
        Fact::Known(Server::Member(_) | Server::NotInGroup(_)) => {
            clock::now().since(seen.asked_at) > limits.query
        }
        Fact::Unknown(Why::TimedOut(_)) => told.is_some(),
        Fact::Known(Server::Refused(_)) | Fact::Unknown(_) => false,
    }
}

/// How long to wait after such an answer; `turned_away` counts those in a row that a new connection would not mend.
fn pause_after(fact: &Fact<Server>, turned_away: &mut u32) -> Duration {
    let longer = match fact {
        Fact::Unknown(Why::Tls(_)) => return LONGEST_PAUSE,
        Fact::Unknown(Why::Other(_)) => turned_away.checked_sub(ENDING),
        Fact::Unknown(why) if why.server_lives() => Some(*turned_away),
        Fact::Known(Server::NotInGroup(NotInGroup::OfflineMode)) => Some(*turned_away),
        Fact::Unknown(_) | Fact::Known(_) => {
            *turned_away = 0;
            return Duration::ZERO;
        }
    };
    *turned_away = turned_away.saturating_add(1);
    longer.map_or(Duration::ZERO, |times| (TURNED_AWAY_PAUSE * 2_u32.pow(times.min(8))).min(LONGEST_PAUSE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_turns_the_account_away_is_logged_in_to_less_and_less_often() {
        let pauses = |fact: Fact<Server>| {
            let mut turned_away = 0;
            (0..12).map(|_| pause_after(&fact, &mut turned_away).as_millis()).collect::<Vec<_>>()
        };
        let password = pauses(Fact::Unknown(Why::WrongPassword(String::new())));
        assert_eq!(password[..6], [500, 1000, 2000, 4000, 5000, 5000]);
        assert_eq!(pauses(Fact::Unknown(Why::ServerError(String::new()))), password);
        let ended = pauses(Fact::Unknown(Why::Other("the connection ended".to_owned())));
        assert_eq!(ended[..8], [0, 0, 0, 0, 0, 500, 1000, 2000]);
        assert_eq!(pauses(Fact::Unknown(Why::Tls(String::new())))[..2], [5000, 5000]);
        let refused = pauses(Fact::Known(Server::Refused(String::new())));
        assert_eq!(refused.iter().sum::<u128>(), 0, "a server that may come back is asked at once");
    }
}
