#!/bin/bash
# mysql 28.0.4 (Rust): query_drop() and exec_drop() say Ok(()) where the server answers with an error after the columns, as it does when a function fails at
# its work. query_first() of the same statement gives the error; so does query_drop() of mysql_async 0.36.2, and every client in another language.
#
# What is ordered of Group Replication is such a statement: SELECT group_replication_set_as_primary(…), SELECT group_replication_enable_member_action(…). What
# the server refuses at once is an error ("Can't initialize function", 1123), so a test with a wrong UUID sees one; what fails later (3910) is lost, and the
# program goes on as if it had been done. haipmgr's own lab did. Nothing in the documentation of query_drop says that errors of rows are dropped with the rows.
#
# Needs what group/three-servers.sh says, and Rust with crates.io; takes a minute. Seen: query_drop: Ok | exec_drop: Ok | query_first: error 3910 |
#   query_drop of mysql_async: error 3910
. "$(dirname "$0")/group/three-servers.sh"
mkdir -p "$folder/src"
cat >"$folder/Cargo.toml" <<'TOML'
[package]
name = "finding"
version = "0.0.0"
edition = "2024"
[dependencies]
mysql = { version = "=28.0.4", default-features = false, features = ["minimal-rust"] }
mysql_async = { version = "=0.36.2", default-features = false, features = ["minimal-rust"] }
tokio = { version = "1", features = ["rt", "macros"] }
[workspace]
TOML
cat >"$folder/src/main.rs" <<'RUST'
use mysql::prelude::Queryable;

const URL: &str = "mysql://root@127.0.0.1:33101/";
// No action has this name: the server refuses when it is at work on the row.
const REFUSED: &str = "SELECT group_replication_disable_member_action('of_no_such_name', 'AFTER_PRIMARY_ELECTION')";

fn said(outcome: Result<(), mysql::Error>) -> String {
    match outcome {
        Ok(()) => "Ok".to_owned(),
        Err(mysql::Error::MySqlError(error)) => format!("error {}", error.code),
        Err(other) => other.to_string(),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut connection = mysql::Conn::new(URL).unwrap();
    println!("query_drop: {}", said(connection.query_drop(REFUSED)));
    println!("exec_drop: {}", said(connection.exec_drop(REFUSED, ())));
    println!("query_first: {}", said(connection.query_first::<mysql::Row, _>(REFUSED).map(drop)));
    let mut other = mysql_async::Conn::from_url(URL).await.unwrap();
    let outcome = match mysql_async::prelude::Queryable::query_drop(&mut other, REFUSED).await {
        Ok(()) => "Ok".to_owned(),
        Err(mysql_async::Error::Server(error)) => format!("error {}", error.code),
        Err(error) => error.to_string(),
    };
    println!("query_drop of mysql_async: {outcome}");
}
RUST
# In the network's own namespace there is no registry.
cargo build --quiet --manifest-path "$folder/Cargo.toml" --target-dir "$folder/target"
three_servers <<'PY'
import os, pathlib, subprocess, sys
import group

group.one_server()
print("version:", group.ask(1, "SELECT @@version")[0][0])
seen = subprocess.run([pathlib.Path(os.environ["FINDING_ROOT"]).parent / "target/debug/finding"], check=True, capture_output=True, text=True).stdout
print(seen, end="")
expected = ["query_drop: Ok", "exec_drop: Ok", "query_first: error 3910", "query_drop of mysql_async: error 3910"]
sys.exit(0 if seen.splitlines() == expected else "CHANGED")
PY
echo "as expected"
