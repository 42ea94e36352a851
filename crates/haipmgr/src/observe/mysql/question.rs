//! How the question is put in one session: the first time as text, from then on as a statement that the server has
//! prepared. Ten times a second, that spares a server a third of what an answer costs it (docs/cost.md).

use decide::input::Server;

use super::query::{COLUMNS, Row, query, understand};
use crate::server_access::session::{Error, Rows, Session, Statement};
use crate::server_access::versions::Columns;

/// The question in one session.
#[derive(Debug)]
pub(super) struct Question {
    /// What the server has, as far as it has not said that it has not.
    columns: Columns,
    text: String,
    form: Form,
    /// What the last answer to the prepared statement said: an answer of the same bytes says the same.
    last: Option<Server>,
}

#[derive(Debug)]
enum Form {
    /// Not yet answered: what it is asked once, as a member's port is, is not worth a statement, and an error of the
    /// question's own is told by the text's answer.
    First,
    /// Answered as text: to be prepared.
    Answered,
    Prepared(Statement),
    /// The server prepares nothing (`max_prepared_stmt_count`), or did not run what it had prepared.
    Text,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Unanswered {
    /// The session's.
    Error(Error),
    /// The answer is none to what was asked, in words.
    Nonsense(String),
}

impl From<Error> for Unanswered {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

impl Question {
    pub(super) fn new() -> Self {
        Self { columns: Columns::ALL, text: query(Columns::ALL), form: Form::First, last: None }
    }

    /// Puts it and waits for the answer.
    pub(super) async fn put(&mut self, session: &mut Session) -> Result<Server, Unanswered> {
        if matches!(self.form, Form::Answered) {
            self.form = match session.prepare(&self.text).await {
                Ok(statement) => Form::Prepared(statement),
                Err(Error::Server { .. }) => Form::Text,
                Err(error) => return Err(error.into()),
            };
        }
        if let Form::Prepared(statement) = &mut self.form {
            match (session.execute(statement).await, &self.last) {
                (Ok(None), Some(last)) => return Ok(last.clone()),
                (Ok(rows), _) => {
                    let server = self.understood(rows.unwrap_or_default())?;
                    self.last = Some(server.clone());
                    return Ok(server);
                }
                // Whatever it is, the same question as text tells it better, or is answered.
                (Err(Error::Server { .. }), _) => self.form = Form::Text,
                (Err(error), _) => return Err(error.into()),
            }
        }
        let rows = loop {
            let error = match session.query(&self.text).await {
                Ok(rows) => break rows,
                Err(error) => error,
            };
            self.columns = self.columns.after(&error).ok_or(error)?;
            self.text = query(self.columns);
        };
        if matches!(self.form, Form::First) {
            self.form = Form::Answered;
        }
        self.understood(rows)
    }

    fn understood(&self, rows: Rows) -> Result<Server, Unanswered> {
        let rows: Option<Vec<Row>> =
            rows.into_iter().map(|row| <[Option<String>; COLUMNS]>::try_from(row).ok()).collect();
        let rows = rows.ok_or_else(|| {
            Unanswered::Nonsense("the server answered with columns that were not asked for".to_owned())
        })?;
        understand(self.columns, rows).map_err(Unanswered::Nonsense)
    }
}
