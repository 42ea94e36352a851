//! A session that is kept from one statement to the next, and made anew where it has ended.

use std::time::Duration;

use decide::input::Why;
use tokio::time::timeout;

use super::session::{Error, Rows, Session};
use super::{Access, After, Connector, Failure, useless};

/// One server, to be spoken to now and then. Connects with the first statement.
pub(crate) struct KeptSession {
    connector: Connector,
    session: Option<Session>,
    /// For the connection, and for each answer.
    limit: Duration,
}

/// Why a statement has no answer; the server's own number for it, where it gave one.
#[derive(Clone, Debug)]
pub(crate) struct Unanswered {
    pub(crate) code: Option<u16>,
    pub(crate) failure: Failure,
}

impl KeptSession {
    pub(crate) fn new(access: Access, limit: Duration) -> Self {
        Self { connector: Connector::new(access), session: None, limit }
    }

    /// On the kept session, and on a new one where that has ended.
    pub(crate) async fn ask(&mut self, statement: &str) -> Result<Rows, Unanswered> {
        if let Some(mut session) = self.session.take() {
            match self.ask_on(&mut session, statement).await {
                Err(Unanswered { failure: Failure { connection: After::Ended, .. }, .. }) => {}
                answer => {
                    let useless = |unanswered: &Unanswered| unanswered.failure.connection == After::Useless;
                    if !answer.as_ref().is_err_and(useless) {
                        self.session = Some(session);
                    }
                    return answer;
                }
            }
        }
        self.ask_anew(statement).await
    }

    /// On a new session.
    async fn ask_anew(&mut self, statement: &str) -> Result<Rows, Unanswered> {
        let mut session = match timeout(self.limit, Box::pin(self.connector.connect())).await {
            Ok(connected) => connected.map_err(|failure| Unanswered { code: None, failure })?,
            Err(_) => return Err(self.silent()),
        };
        let answer = self.ask_on(&mut session, statement).await;
        if answer.as_ref().map_or_else(|unanswered| unanswered.failure.connection == After::Kept, |_| true) {
            self.session = Some(session);
        }
        answer
    }

    async fn ask_on(&self, session: &mut Session, statement: &str) -> Result<Rows, Unanswered> {
        let tls = session.has_tls();
        match timeout(self.limit, session.query(statement)).await {
            Ok(answer) => answer.map_err(|error| Unanswered {
                code: if let Error::Server { code, .. } = &error { Some(*code) } else { None },
                failure: self.connector.explain(&error, tls),
            }),
            Err(_) => Err(self.silent()),
        }
    }

    /// Ends the session.
    pub(crate) async fn take_leave(&mut self) {
        if let Some(session) = self.session.take() {
            // It ends in any case.
            let _ = timeout(self.limit, session.close()).await;
        }
    }

    fn silent(&self) -> Unanswered {
        Unanswered { code: None, failure: useless(Why::TimedOut(self.limit)) }
    }
}
