//! Polls the local server, and says so when an answer does not come in time.

use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use decide::event::{Event, Fact, NotInGroup, Seen, Server, Why};
use decide::time::Time;

use super::asker::{Asker, CannotAsk, Due, STACK, due};
use super::{Access, Limits};
use crate::clock;

/// The least time between two polls of a server that turns the account away: each is a new connection, which costs the
/// server a thread and the account's check, and what is amiss is for somebody to put right.
const TURNED_AWAY_PAUSE: Duration = Duration::from_millis(500);

/// The same where TLS fails: the server may count such connections (`max_connect_errors`, 100) and then block this whole
/// host, its applications too.
const TLS_PAUSE: Duration = Duration::from_secs(5);

/// A server that is being watched. Dropped, the watching ends.
#[derive(Debug)]
pub struct ServerWatch {
    inbox: Sender<Message>,
}

enum Message {
    AskNow,
    PollEvery(Duration),
    Answer(Seen<Server>),
    Stop,
}

/// Asks the server at once and then each `every`, and tells each answer. Between two questions the connection's end is
/// told at once, as the answer of a new connection: `Refused` when the server is gone.
///
/// A question that has no answer after [`Limits`] is told as timed out, and again each time the limit has passed once
/// more. Its connection stays; an answer that comes late after all is not told, and the question is put again.
///
/// A server that turns the account away (password, connections used up, offline mode) is polled at most twice a second,
/// one with which TLS fails each 5 s; [`ServerWatch::ask_now`] asks at once all the same.
///
/// `tell` is called on a thread of the watch's own, and must not block.
///
/// # Errors
/// The system gave no thread or no descriptor. That the server can't be reached is no error: it is told.
pub fn watch(
    access: Access,
    every: Duration,
    tell: impl Fn(Event) + Send + 'static,
) -> Result<ServerWatch, CannotAsk> {
    let (inbox, messages) = mpsc::channel();
    let endpoint = access.endpoint.clone();
    let limits = access.limits;
    let answers = inbox.clone();
    // Where nobody receives any more, the watch is over, and the asker about to be.
    let asker = Asker::start(access, move |seen| drop(answers.send(Message::Answer(seen))))?;
    let watcher = Watcher {
        asker,
        limits,
        every,
        outstanding: false,
        again: false,
        asked: clock::now(),
        told: None,
        pause: Duration::ZERO,
    };
    thread::Builder::new()
        .name("mysql-watch".to_owned())
        .stack_size(STACK)
        .spawn(move || watcher.run(&messages, &tell))
        .map_err(|source| CannotAsk { endpoint, source })?;
    Ok(ServerWatch { inbox })
}

impl ServerWatch {
    /// Puts the question now, not at the next poll. While one is unanswered, as soon as that one is answered.
    pub fn ask_now(&self) {
        self.send(Message::AskNow);
    }

    /// Polls at this interval from now on.
    pub fn poll_every(&self, every: Duration) {
        self.send(Message::PollEvery(every));
    }

    fn send(&self, message: Message) {
        // Fails only where the thread is gone, which it never is before `Stop`.
        let _ = self.inbox.send(message);
    }
}

impl Drop for ServerWatch {
    fn drop(&mut self) {
        self.send(Message::Stop);
    }
}

struct Watcher {
    asker: Asker,
    limits: Limits,
    every: Duration,
    /// A question is unanswered.
    outstanding: bool,
    /// Another is wanted when it is answered.
    again: bool,
    /// When the last question was put.
    asked: Time,
    /// When the outstanding one was last told as timed out.
    told: Option<Time>,
    /// The next poll comes no sooner.
    pause: Duration,
}

impl Watcher {
    fn run(mut self, messages: &Receiver<Message>, tell: &impl Fn(Event)) {
        self.ask();
        loop {
            let wait = match self.wait() {
                Ok(wait) => wait,
                Err(seen) => {
                    tell(Event::Server(seen));
                    continue;
                }
            };
            match messages.recv_timeout(wait) {
                Ok(Message::AskNow) if self.outstanding => self.again = true,
                Ok(Message::PollEvery(every)) => self.every = every,
                Ok(Message::Answer(seen)) => {
                    let late = self.is_late(&seen);
                    self.outstanding = false;
                    self.told = None;
                    self.pause = pause_after(&seen.fact);
                    if !late {
                        tell(Event::Server(seen));
                    }
                    if late || core::mem::take(&mut self.again) {
                        self.ask();
                    }
                }
                Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) if self.outstanding => {}
                Ok(Message::AskNow) | Err(RecvTimeoutError::Timeout) => self.ask(),
            }
        }
    }

    /// How long there is nothing to do; or what is to be told now.
    fn wait(&mut self) -> Result<Duration, Seen<Server>> {
        let now = clock::now();
        if !self.outstanding {
            return Ok(self.every.max(self.pause).saturating_sub(now.since(self.asked)));
        }
        match due(self.asker.doing(), self.told, self.limits, now) {
            Due::In(left) => Ok(left),
            Due::Over { asked_at, limit } => {
                self.told = Some(now);
                Err(Seen { asked_at, fact: Fact::Unknown(Why::TimedOut(limit)) })
            }
        }
    }

    fn ask(&mut self) {
        self.outstanding = true;
        self.asked = clock::now();
        self.asker.ask();
    }

    /// What the server said of itself that long ago may have changed since; and that it is silent was told already.
    /// Everything else is news.
    fn is_late(&self, seen: &Seen<Server>) -> bool {
        match &seen.fact {
            Fact::Known(Server::Member(_) | Server::NotInGroup(_)) => {
                clock::now().since(seen.asked_at) > self.limits.query
            }
            Fact::Unknown(Why::TimedOut(_)) => self.told.is_some(),
            Fact::Known(Server::Refused(_)) | Fact::Unknown(_) => false,
        }
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
