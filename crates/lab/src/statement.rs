//! One statement of SQL, run to its end.

use mysql::Conn;
use mysql::prelude::Queryable;

/// Runs one statement, reads all that it returns, and drops it.
///
/// The crate's own `query_drop` (mysql 28.0.4) says Ok where the server's error comes after the columns, as that of a function which fails at its
/// work does (3910): `SELECT group_replication_set_as_primary(…)`, `SELECT group_replication_enable_member_action(…)`.
///
/// # Errors
///
/// The server's, or that of the connection.
pub(crate) fn run(connection: &mut Conn, statement: impl AsRef<str>) -> Result<(), mysql::Error> {
    let mut returned = connection.query_iter(statement)?;
    while let Some(rows) = returned.iter() {
        for row in rows {
            row?;
        }
    }
    Ok(())
}
