//! How the question is put on one connection: the first time as text, from then on as a statement that the server has
//! prepared. Ten times a second, that spares a server a third of what an answer costs it (docs/cost.md).

use mysql::prelude::{Protocol, Queryable};
use mysql::{Conn, Error, QueryResult, Statement, Value};

use super::query::{COLUMNS, Dialect, Row};

/// No group has more than nine members.
const MOST_ROWS: usize = 64;

/// The question on one connection.
#[derive(Debug)]
pub(super) struct Question {
    dialect: Dialect,
    form: Form,
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

/// None: the rows have other columns than were asked for.
type Rows = Option<Vec<Row>>;

impl Question {
    pub(super) fn new(dialect: Dialect) -> Self {
        Self { dialect, form: Form::First }
    }

    pub(super) fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// Puts it and waits for the rows.
    pub(super) fn put(&mut self, conn: &mut Conn) -> mysql::Result<Rows> {
        if matches!(self.form, Form::Answered) {
            self.form = match conn.prep(self.dialect.query()) {
                Ok(statement) => Form::Prepared(statement),
                Err(Error::MySqlError(_)) => Form::Text,
                Err(error) => return Err(error),
            };
        }
        if let Form::Prepared(statement) = &self.form {
            match conn.exec_iter(statement, ()).and_then(rows_of) {
                // Whatever it is, the same question as text tells it better, or is answered.
                Err(Error::MySqlError(_)) => self.form = Form::Text,
                other => return other,
            }
        }
        let rows = conn.query_iter(self.dialect.query()).and_then(rows_of)?;
        if matches!(self.form, Form::First) {
            self.form = Form::Answered;
        }
        Ok(rows)
    }
}

fn rows_of<P: Protocol>(result: QueryResult<'_, '_, '_, P>) -> mysql::Result<Rows> {
    let rows = result.take(MOST_ROWS).map(|row| Ok(text(row?.unwrap_raw())));
    Ok(rows.collect::<mysql::Result<Vec<_>>>()?.into_iter().collect())
}

fn text(cells: Vec<Option<Value>>) -> Option<Row> {
    let cells: [Option<Value>; COLUMNS] = cells.try_into().ok()?;
    Some(cells.map(|cell| match cell? {
        Value::NULL => None,
        Value::Bytes(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
        Value::Int(number) => Some(number.to_string()),
        Value::UInt(number) => Some(number.to_string()),
        // Kinds that none of the columns has.
        _ => Some(String::new()),
    }))
}
