//! Polls the local server, and says so when an answer does not come in time.

use std::sync::Arc;
use std::time::Duration;

use decide::event::{Event, Fact, NotInGroup, Seen, Server, Why};
use decide::time::Time;
use tokio::task::AbortHandle;

use super::asker::{Answer, Asker, Calls, Next, Tell};
use super::connection::Connection;
use super::unchanged::Unchanged;
use super::{Access, CannotAsk, Limits};
use crate::clock;
use crate::server_access::Servers;

/// The least time between two polls of a server that turns the account away: each is a new connection, which costs the
/// server a thread and the account's check, and what is amiss is for somebody to put right.
const TURNED_AWAY_PAUSE: Duration = Duration::from_millis(500);

/// The same where TLS fails: the server may count such connections (`max_connect_errors`, 100) and then block this whole
/// host, its applications too.
const TLS_PAUSE: Duration = Duration::from_secs(5);

/// A server that is being watched. Dropped, the watching ends.
pub struct ServerWatch {
    calls: Arc<Calls>,
    unchanged: Arc<Unchanged>,
    task: AbortHandle,
    /// The thread is there as long as this.
    _servers: Servers,
}

impl Drop for ServerWatch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Asks the server at once and then each `every`, and tells each answer, but for those that say what was told before while all
/// is well and nobody waits for them: of these the last is kept ([`ServerWatch::unchanged`]). Between two questions the connection's end is
/// told at once, as the answer of a new connection: `Refused` when the server is gone.
///
/// A question that has no answer after [`Limits`] is told as timed out, and again each time the limit has passed once
/// more. Its connection stays; an answer that comes late after all is not told, and the question is put again.
///
/// A server that turns the account away (password, connections used up, offline mode) is polled at most twice a second,
/// one with which TLS fails each 5 s; [`ServerWatch::ask_now`] asks at once all the same.
///
/// `tell` is called on the thread that speaks to servers, and must not block.
///
/// # Errors
/// The system gave no thread or no descriptor. That the server can't be reached is no error: it is told.
pub fn watch(
    servers: &Servers,
    access: Access,
    every: Duration,
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
        tell: News { unchanged: Arc::clone(&unchanged), limits },
    };
    let task = servers.spawn(asker.run()).map_err(|source| CannotAsk { endpoint, source })?;
    Ok(ServerWatch { calls, unchanged, task, _servers: servers.clone() })
}

/// What of the answers is told.
struct News {
    unchanged: Arc<Unchanged>,
    limits: Limits,
}

impl Tell for News {
    fn answered(&mut self, Answer { seen, told, awaited }: Answer) -> Next {
        if is_late(&seen, told, self.limits) {
            return Next::AtOnce;
        }
        let pause = pause_after(&seen.fact);
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

fn pause_after(fact: &Fact<Server>) -> Duration {
    match fact {
        Fact::Unknown(Why::WrongPassword(_) | Why::TooManyConnections(_) | Why::NotAllowed(_))
        | Fact::Known(Server::NotInGroup(NotInGroup::OfflineMode)) => TURNED_AWAY_PAUSE,
        Fact::Unknown(Why::Tls(_)) => TLS_PAUSE,
        Fact::Unknown(_) | Fact::Known(_) => Duration::ZERO,
    }
}
