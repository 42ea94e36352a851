//! The procedures that `haipmgr sql` prints, and the orders that use them, against a real MySQL server.
#![allow(missing_docs, unreachable_pub, dead_code)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "mysql_server/mod.rs"]
mod server;

use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use decide::input::{Event, Fact, MemberPort, Seen, Why};
use decide::output::{Action, Outcome};
use haipmgr::act::expel::Expel;
use haipmgr::observe::member_port;
use haipmgr::observe::mysql::{Endpoint, Servers};
use haipmgr::server_access::account::{checkpoint_sql, election_sql};
use mysql::prelude::Queryable;
use server::{GROUP, LOOPBACK, Server};
use tempfile::TempDir;

struct Orders {
    expel: Expel,
    told: Receiver<Event>,
    file: PathBuf,
    _folder: TempDir,
}

impl Orders {
    fn start(server: &Server, left: Option<&str>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("expel_timeout_3306");
        if let Some(left) = left {
            std::fs::write(&file, left).unwrap();
        }
        let (sender, told) = mpsc::channel();
        let tell = move |event| drop(sender.send(event));
        let servers = Servers::default();
        let report = |error: &_| panic!("{error}");
        let expel = Expel::start(&servers, server.over_tcp(), file.clone(), tell, report).unwrap();
        Self { expel, told, file, _folder: folder }
    }

    fn next(&self) -> Event {
        self.told.recv_timeout(Duration::from_secs(30)).expect("nothing was told for 30 s")
    }

    fn read(&self) -> Fact<u32> {
        self.expel.read();
        match self.next() {
            Event::ExpelTimeout(Seen { fact, .. }) => fact,
            other => panic!("{other:?}"),
        }
    }

    fn done(&self, action: Action) {
        assert_eq!(self.next(), Event::Done { action, outcome: Outcome::Succeeded });
    }
}

fn timeout(server: &Server) -> u32 {
    let read = "SELECT @@GLOBAL.group_replication_member_expel_timeout";
    server.root().query_first(read).unwrap().unwrap()
}

fn as_agent() -> mysql::Conn {
    mysql::Conn::new(
        mysql::OptsBuilder::new()
            .ip_or_hostname(Some(LOOPBACK.to_string()))
            .prefer_socket(false)
            .user(Some("haip"))
            .pass(Some(server::PASSWORD)),
    )
    .unwrap()
}

fn make_procedures(server: &Server) {
    for statement in election_sql("haip").split_terminator(";\n") {
        server.sql(statement);
    }
}

#[test]
fn the_procedures_change_nothing_but_what_they_are_for_and_the_agent_may_call_no_more_than_these() {
    let server = Server::start(GROUP);
    make_procedures(&server);
    // Again, as after an upgrade.
    make_procedures(&server);
    server.bootstrap();
    let orders = Orders::start(&server, None);
    assert_eq!(orders.read(), Fact::Known(5));

    orders.expel.wake();
    orders.done(Action::WakeExpel);
    assert_eq!(timeout(&server), 5);

    // Nobody is UNREACHABLE: the procedure itself refuses, and the value is on disk all the same.
    orders.expel.set(5);
    orders.done(Action::SetExpelTimeout { original: 5 });
    assert_eq!(timeout(&server), 5);
    assert_eq!(std::fs::read_to_string(&orders.file).unwrap(), "5\n");

    server.sql("SET GLOBAL group_replication_member_expel_timeout = 0");
    orders.expel.restore(5);
    orders.done(Action::RestoreExpelTimeout { value: 5 });
    assert_eq!(timeout(&server), 5);
    assert!(!orders.file.exists());

    // What the operator set meanwhile stays.
    server.sql("SET GLOBAL group_replication_member_expel_timeout = 9");
    orders.expel.restore(5);
    orders.done(Action::RestoreExpelTimeout { value: 5 });
    assert_eq!(timeout(&server), 9);

    let direct = "SET GLOBAL group_replication_member_expel_timeout = 0";
    let refused = server::run(&mut as_agent(), direct).unwrap_err();
    assert!(matches!(&refused, mysql::Error::MySqlError(error) if error.code == 1227), "{refused}");
}

#[test]
fn the_checkpoint_period_is_shortened_and_put_back_and_nothing_else_is_done_to_it() {
    let server = Server::start(GROUP);
    make_procedures(&server);
    for statement in checkpoint_sql("haip").split_terminator(";\n") {
        server.sql(statement);
    }
    let mut agent = as_agent();
    let mut after = |call: &str| {
        server::run(&mut agent, call).unwrap_or_else(|error| panic!("{call}: {error}"));
        let period: Option<u32> =
            server.root().query_first("SELECT @@GLOBAL.replica_checkpoint_period").unwrap();
        period
    };
    let (shorten, restore) =
        ("CALL haipmgr.shorten_checkpoint_period()", "CALL haipmgr.restore_checkpoint_period");
    for (call, period) in [
        // It is not short: nothing to put back.
        (format!("{restore}(200)"), 300),
        (shorten.to_owned(), 10),
        (shorten.to_owned(), 10),
        (format!("{restore}(0)"), 10),
        (format!("{restore}(300)"), 300),
    ] {
        assert_eq!(after(&call), Some(period), "{call}");
    }
    // What the operator has set shorter stays.
    server.sql("SET GLOBAL replica_checkpoint_period = 5");
    assert_eq!(after(shorten), Some(5));
    assert_eq!(after(&format!("{restore}(300)")), Some(5));
}

#[test]
fn a_value_that_a_killed_agent_left_on_disk_is_told_first_and_goes_when_the_server_has_it_again() {
    let server = Server::start(GROUP);
    make_procedures(&server);
    server.sql("SET GLOBAL group_replication_member_expel_timeout = 0");
    let orders = Orders::start(&server, Some("7\n"));
    assert_eq!(orders.next(), Event::ExpelTimeoutLeft(7));
    orders.expel.restore(7);
    orders.done(Action::RestoreExpelTimeout { value: 7 });
    assert_eq!(timeout(&server), 7);
    assert!(!orders.file.exists());
}

#[test]
fn missing_procedures_and_a_missing_variable_are_told_in_words_that_say_what_to_do() {
    let server = Server::start(GROUP);
    let orders = Orders::start(&server, None);
    let Fact::Unknown(Why::NotAllowed(words)) = orders.read() else { panic!("the procedures are not there") };
    assert!(words.contains("haipmgr.wake_expel") && words.contains("haipmgr sql"), "{words}");
    make_procedures(&server);
    assert_eq!(orders.read(), Fact::Known(5));
    drop(server);

    let without_plugin = Server::start(&[]);
    let orders = Orders::start(&without_plugin, None);
    let Fact::Unknown(Why::Other(words)) = orders.read() else { panic!("the variable is not there") };
    assert!(words.contains("group_replication_member_expel_timeout"), "{words}");
}

#[test]
fn looking_at_a_members_port_leaves_no_aborted_connection_behind() {
    let server = Server::start(GROUP);
    server.bootstrap();
    let aborted = || {
        let row: (String, u64) =
            server.root().query_first("SHOW GLOBAL STATUS LIKE 'Aborted_connects'").unwrap().unwrap();
        row.1
    };
    let before = aborted();
    for _ in 0..3 {
        let fact = member_port::look(&server.over_tcp()).fact;
        assert!(matches!(fact, Fact::Known(MemberPort::Answers(Some(_)))), "{fact:?}");
    }
    assert_eq!(aborted(), before);
    let nobody =
        haipmgr::observe::mysql::Access { endpoint: Endpoint::Tcp(LOOPBACK, 3), ..server.over_tcp() };
    assert_eq!(member_port::look(&nobody).fact, Fact::Known(MemberPort::Refuses));
}
