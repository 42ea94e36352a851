//! One question to another member's server, in a dispute over the VIP.

use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::Duration;

use decide::event::{Fact, Seen, Server, Why};

use super::asker::{Asker, CannotAsk, Due, Next, due};
use super::{Access, Limits};
use crate::clock;

/// A peer's server, whose connection is kept from one question to the next. Dropped, the connection ends.
pub struct Peer {
    asker: Asker,
    answers: Receiver<Seen<Server>>,
    limits: Limits,
}

impl Peer {
    /// Makes ready to ask; connects with the first question.
    ///
    /// # Errors
    /// The system gave no thread or no descriptor.
    pub fn new(access: Access) -> Result<Self, CannotAsk> {
        let limits = access.limits;
        let (deliver, answers) = mpsc::channel();
        let asker = Asker::start(access, None, move |answer| {
            // Fails only when nobody waits any more.
            let _ = deliver.send(answer.seen);
            Next::Poll(Duration::ZERO)
        })?;
        Ok(Self { asker, answers, limits })
    }

    /// Puts the question and waits for the answer, as long as [`Limits`] allow. Blocks.
    pub fn ask(&mut self) -> Seen<Server> {
        let started = clock::now();
        self.asker.ask();
        loop {
            let left = match due(self.asker.doing(), Some(started), self.limits, clock::now()) {
                Due::In(left) => left,
                Due::Over { asked_at, limit } => {
                    return Seen { asked_at, fact: Fact::Unknown(Why::TimedOut(limit)) };
                }
            };
            match self.answers.recv_timeout(left) {
                // An answer to an earlier question, or of a connection that ended meanwhile.
                Ok(seen) if seen.asked_at < started => {}
                Ok(seen) => return seen,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    let why = Why::Other("the thread that asks the server has ended".to_owned());
                    return Seen { asked_at: started, fact: Fact::Unknown(why) };
                }
            }
        }
    }
}

/// Puts the question once, on a connection of its own. Blocks, as long as [`Limits`] allow.
pub fn ask_once(access: &Access) -> Seen<Server> {
    let asked_at = clock::now();
    match Peer::new(access.clone()) {
        Ok(mut peer) => peer.ask(),
        Err(error) => Seen { asked_at, fact: Fact::Unknown(Why::Other(error.to_string())) },
    }
}
