//! The watch against a real MySQL server, in namespaces of its own.
#![allow(missing_docs, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "mysql_server/mod.rs"]
mod server;

use std::net::Ipv6Addr;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use decide::input::{Backlog, Event, Fact, GroupView, MemberState, NotInGroup, Role, Server as Answer, Why};
use haipmgr::config::ClientCertificate;
use haipmgr::observe::backlog;
use haipmgr::observe::mysql::{Access, Endpoint, Password, Peer, ask_once};
use haipmgr::server_access::Servers;
use mysql::prelude::Queryable;
use nix::sys::signal::Signal;
use server::{GROUP, PORT, Server, Watched};

const OFTEN: Duration = Duration::from_millis(20);

fn known(answer: Answer) -> Fact<Answer> {
    Fact::Known(answer)
}

fn why(access: &Access) -> Why {
    match ask_once(access).fact {
        Fact::Unknown(why) => why,
        Fact::Known(answer) => panic!("known: {answer:?}"),
    }
}

#[test]
fn a_member_is_followed_from_offline_through_primary_and_read_only_to_multi_primary() {
    let server = Server::start(GROUP);
    let watched = Watched::new(server.over_socket(), OFTEN);
    let (_, view) = watched.until_member("OFFLINE", |_| true);
    assert_eq!(view.local_member().unwrap().state, MemberState::Offline);
    assert_eq!(view.local_member().unwrap().role, Role::None);
    assert_eq!(view.view, None);

    server.bootstrap();
    let (_, view) = watched.until_member("writable primary", GroupView::is_writable_primary);
    assert!(view.view.is_some());
    assert_eq!(view.members.len(), 1);
    assert_eq!(view.members[0].port, 3306);

    server.sql("SET GLOBAL super_read_only = ON");
    watched.until_member("read-only primary", |view| view.is_primary() && view.super_read_only);
    server.sql("SET GLOBAL super_read_only = OFF");
    watched.until_member("writable again", GroupView::is_writable_primary);

    server.sql("DO group_replication_switch_to_multi_primary_mode()");
    watched.until("multi-primary", |fact| *fact == known(Answer::NotInGroup(NotInGroup::MultiPrimary)));
    server.sql("DO group_replication_switch_to_single_primary_mode()");
    watched.until_member("single-primary again", GroupView::is_writable_primary);

    server.sql("STOP GROUP_REPLICATION");
    watched.until_member("OFFLINE again", |view| view.local_member().unwrap().state == MemberState::Offline);
}

/// Until something is told of which this holds.
fn backlog_until(told: &Receiver<Event>, what: &str, holds: impl Fn(&Fact<Backlog>) -> bool) {
    let until = Instant::now() + Duration::from_secs(30);
    while let Ok(event) = told.recv_timeout(until.saturating_duration_since(Instant::now())) {
        let Event::Backlog(seen) = event else { panic!("{event:?}") };
        if holds(&seen.fact) {
            return;
        }
    }
    panic!("never {what}");
}

#[test]
fn how_far_a_server_is_behind_is_read_by_the_account_that_haipmgr_makes_and_never_guessed() {
    let server = Server::start(GROUP);
    let (tell, told) = channel();
    let (report, reported) = channel();
    let _watch = backlog::watch(
        &Servers::default(),
        server.over_socket(),
        move |event| drop(tell.send(event)),
        move |why: &str| drop(report.send(why.to_owned())),
    )
    .unwrap();
    let in_no_group = |fact: &Fact<Backlog>| matches!(fact, Fact::Unknown(Why::Other(text)) if text.contains("no statistics"));
    backlog_until(&told, "in no group", in_no_group);
    server.bootstrap();
    let nothing_waits = Fact::Known(Backlog { transactions: 0, age: Duration::ZERO });
    backlog_until(&told, "nothing waits", |fact| *fact == nothing_waits);
    assert!(reported.try_recv().is_err(), "all of that passes by itself");
    server.sql("REVOKE SELECT ON performance_schema.* FROM haip@'%'");
    backlog_until(&told, "not allowed", |fact| matches!(fact, Fact::Unknown(_)));
    assert!(reported.recv_timeout(Duration::from_secs(10)).unwrap().contains("haipmgr sql"));
    server.sql("GRANT SELECT ON performance_schema.* TO haip@'%'");
    backlog_until(&told, "nothing waits again", |fact| *fact == nothing_waits);
}

#[test]
fn a_server_without_the_plugin_is_known_as_such() {
    let server = Server::start(&[]);
    assert_eq!(ask_once(&server.over_socket()).fact, known(Answer::NotInGroup(NotInGroup::PluginMissing)));
    // Installed while the connection is kept: seen on that connection.
    let watched = Watched::new(server.over_tcp(), OFTEN);
    watched.until("plugin missing", |fact| *fact == known(Answer::NotInGroup(NotInGroup::PluginMissing)));
    server.sql("INSTALL PLUGIN group_replication SONAME 'group_replication.so'");
    watched.until_member("OFFLINE", |view| view.local_member().unwrap().state == MemberState::Offline);
}

#[test]
fn the_question_is_prepared_once_and_a_plugin_that_goes_meanwhile_is_missed() {
    let server = Server::start(GROUP);
    let watched = Watched::new(server.over_socket(), OFTEN);
    watched.until_member("OFFLINE", |_| true);
    watched.until("executed", |_| server.counted("Com_stmt_execute") > 20);
    assert_eq!(server.counted("Com_stmt_prepare"), 1);

    server.sql("UNINSTALL PLUGIN group_replication");
    watched.until("plugin missing", |fact| *fact == known(Answer::NotInGroup(NotInGroup::PluginMissing)));
    server.sql("INSTALL PLUGIN group_replication SONAME 'group_replication.so'");
    watched.until_member("OFFLINE again", |view| view.local_member().unwrap().state == MemberState::Offline);
}

#[test]
fn a_server_that_prepares_nothing_is_asked_as_text() {
    let server = Server::start(GROUP);
    server.sql("SET GLOBAL max_prepared_stmt_count = 0");
    let watched = Watched::new(server.over_socket(), OFTEN);
    watched.until_member("OFFLINE", |_| true);
    let before = server.counted("Com_select");
    watched.until("asked on and on, and never told as unknown", |fact| {
        assert!(matches!(fact, Fact::Known(_)), "{fact:?}");
        server.counted("Com_select") > before + 20
    });
}

#[test]
fn an_account_that_is_turned_away_is_no_dead_server() {
    let server = Server::start(GROUP);
    for access in [server.over_socket(), server.over_tcp()] {
        let wrong = Access { password: Password::new("No-such-word-1"), ..access.clone() };
        let told = why(&wrong);
        assert!(matches!(&told, Why::WrongPassword(text) if text.contains("1045")), "{told:?}");
        assert!(!format!("{told} {wrong:?}").contains("No-such-word"));
        let told = why(&Access { user: "nobody".into(), ..access.clone() });
        assert!(matches!(told, Why::WrongPassword(_)), "{told:?}");
    }

    let watched = Watched::new(server.over_tcp(), OFTEN);
    watched.until_member("allowed", |_| true);
    server.sql("REVOKE SELECT ON performance_schema.* FROM haip@'%'");
    watched.until(
        "not allowed",
        |fact| matches!(fact, Fact::Unknown(Why::NotAllowed(text)) if text.contains("1142")),
    );
    server.sql("GRANT SELECT ON performance_schema.* TO haip@'%'");
    watched.until_member("allowed again", |_| true);

    server.sql("ALTER USER haip@'%' ACCOUNT LOCK");
    assert!(matches!(why(&server.over_tcp()), Why::WrongPassword(text) if text.contains("3118")));
    server.sql("ALTER USER haip@'%' ACCOUNT UNLOCK PASSWORD EXPIRE");
    let told = why(&server.over_tcp());
    assert!(matches!(told, Why::WrongPassword(_)), "{told:?}");
    server.sql("RENAME USER haip@'%' TO haip@'10.9.9.9'");
    let told = why(&server.over_tcp());
    assert!(matches!(told, Why::NotAllowed(_) | Why::WrongPassword(_)), "{told:?}");
}

#[test]
fn offline_mode_is_no_dead_server_and_is_seen_on_the_kept_connection() {
    let server = Server::start(GROUP);
    let watched = Watched::new(server.over_socket(), OFTEN);
    watched.until_member("answers", |_| true);
    server.sql("SET GLOBAL offline_mode = ON");
    watched.until("offline mode", |fact| *fact == known(Answer::NotInGroup(NotInGroup::OfflineMode)));
    assert_eq!(ask_once(&server.over_tcp()).fact, known(Answer::NotInGroup(NotInGroup::OfflineMode)));
    server.sql("SET GLOBAL offline_mode = OFF");
    watched.until_member("answers again", |_| true);
}

#[test]
fn with_no_connection_to_spare_the_kept_one_goes_on_and_a_new_one_is_told_why() {
    let server = Server::start(&[GROUP, &["--max-connections=3", "--max-connect-errors=2"]].concat());
    let watched = Watched::new(server.over_tcp(), OFTEN);
    watched.until_member("answers", |_| true);
    server.sql("ALTER USER haip@'%' WITH MAX_USER_CONNECTIONS 1");
    let mut one = Peer::new(server.over_tcp()).unwrap();
    assert!(matches!(one.ask().fact, Fact::Known(_)));
    let told = why(&server.over_tcp());
    assert!(matches!(&told, Why::TooManyConnections(text) if text.contains("1226")), "{told:?}");
    drop(one);
    server.sql("ALTER USER haip@'%' WITH MAX_USER_CONNECTIONS 0");

    let mut others = Vec::new();
    let told = loop {
        assert!(others.len() < 10, "the server never ran out of connections");
        let mut peer = Peer::new(server.over_tcp()).unwrap();
        match peer.ask().fact {
            Fact::Known(_) => others.push(peer),
            Fact::Unknown(why) => break why,
        }
    };
    assert!(matches!(&told, Why::TooManyConnections(text) if text.contains("1040")), "{told:?}");
    let told = why(&server.over_socket());
    assert!(matches!(&told, Why::TooManyConnections(text) if text.contains("1040")), "{told:?}");
    watched.told();
    watched.watch.ask_now();
    watched.until_member("the kept connection answers", |_| true);
}

#[test]
fn kill_is_noticed_between_two_polls() {
    let server = Server::start(GROUP);
    for access in [server.over_socket(), server.over_tcp()] {
        let watched = Watched::new(access, Duration::from_secs(1));
        watched.until_member("answers", |_| true);
        drop(watched);
    }
    let socket = Watched::new(server.over_socket(), Duration::from_secs(1));
    let tcp = Watched::new(server.over_tcp(), Duration::from_secs(1));
    socket.until_member("answers", |_| true);
    tcp.until_member("answers", |_| true);

    let witness = server.witness();
    let killed = Instant::now();
    server.signal(Signal::SIGKILL);
    // The kernel takes tens of milliseconds to take mysqld's memory apart, and only then ends its connections.
    let gone = witness.join().unwrap();
    for watched in [&socket, &tcp] {
        let (at, seen) = watched.until("refused", |fact| matches!(fact, Fact::Known(Answer::Refused(_))));
        let took = at.saturating_duration_since(gone);
        println!("kill -9: gone after {:?}, told {took:?} later: {:?}", gone - killed, seen.fact);
        assert!(took < Duration::from_millis(30), "{took:?}");
    }
    // And it goes on being told at each poll.
    assert!(matches!(socket.next().fact, Fact::Known(Answer::Refused(_))));
    drop(server);
    // The socket file is gone with the folder.
    socket.until(
        "no socket file",
        |fact| matches!(fact, Fact::Known(Answer::Refused(text)) if text.contains("No such")),
    );
}

#[test]
fn a_hung_server_is_told_in_time_gathers_no_connections_and_is_heard_when_it_wakes() {
    let server = Server::start(GROUP);
    for access in [server.over_socket(), server.over_tcp()] {
        let limit = access.limits.query;
        let watched = Watched::new(access.clone(), OFTEN);
        watched.until_member("answers", |_| true);
        let before = server.connections();
        server.signal(Signal::SIGSTOP);
        let stopped = Instant::now();
        let (at, _) = watched.until("timed out", |fact| *fact == Fact::Unknown(Why::TimedOut(limit)));
        let took = at - stopped;
        assert!(took < limit + Duration::from_millis(60), "{took:?}");
        // A fresh connection, as to a peer, is told within the connection's limit.
        let started = Instant::now();
        let told = why(&access);
        assert_eq!(told, Why::TimedOut(access.limits.connect));
        assert!(started.elapsed() < access.limits.connect + Duration::from_millis(100));
        // Told again and again, each time as a later question.
        let first = watched.next().asked_at;
        assert!(watched.next().asked_at.since(first) >= limit);

        server.signal(Signal::SIGCONT);
        let woken = Instant::now();
        let (at, _) = watched.until_member("answers again", |_| true);
        assert!(at - woken < Duration::from_millis(100), "{:?}", at - woken);
        // Ours of before and after, the peer's, and the administrator's; each poll would have made one.
        let made = server.connections() - before;
        assert!(made <= 5, "{made} connections");
    }
}

#[test]
fn a_hung_server_that_is_killed_is_told_as_refused_at_once() {
    let server = Server::start(GROUP);
    let watched = Watched::new(server.over_socket(), OFTEN);
    watched.until_member("answers", |_| true);
    let witness = server.witness();
    server.signal(Signal::SIGSTOP);
    watched.until("timed out", |fact| matches!(fact, Fact::Unknown(Why::TimedOut(_))));
    server.signal(Signal::SIGKILL);
    let (at, _) = watched.until("refused", |fact| matches!(fact, Fact::Known(Answer::Refused(_))));
    let took = at.saturating_duration_since(witness.join().unwrap());
    assert!(took < Duration::from_millis(30), "{took:?}");
}

#[test]
fn shutdown_ends_in_refused_and_never_in_a_wrong_reason() {
    let server = Server::start(GROUP);
    server.bootstrap();
    let watched = Watched::new(server.over_tcp(), OFTEN);
    watched.until_member("primary", GroupView::is_writable_primary);
    server.sql("SHUTDOWN");
    loop {
        match watched.next().fact {
            Fact::Known(Answer::Member(_)) | Fact::Unknown(Why::TimedOut(_)) => {}
            Fact::Unknown(Why::Other(text)) => println!("during SHUTDOWN: {text}"),
            Fact::Known(Answer::Refused(_)) => break,
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_connection_that_the_server_closes_for_idling_is_renewed_in_silence() {
    let server = Server::start(&[GROUP, &["--wait-timeout=1"]].concat());
    let watched = Watched::new(server.over_tcp(), Duration::from_secs(3));
    watched.until_member("answers", |_| true);
    let before = server.connections();
    for _ in 0..3 {
        let seen = watched.next();
        assert!(matches!(seen.fact, Fact::Known(Answer::Member(_))), "{seen:?}");
    }
    assert!(server.connections() > before + 1, "the server closed no connection");
}

#[test]
fn tls_is_used_where_offered_and_verified_where_asked_for() {
    let server = Server::start(GROUP);
    let encrypted = |server: &Server| -> Vec<String> {
        server.root().query(
            "SELECT connection_type FROM performance_schema.threads WHERE processlist_user = 'haip' ORDER BY 1",
        ).unwrap()
    };
    let plain = server.over_tcp();
    let mut peer = Peer::new(plain.clone()).unwrap();
    assert!(matches!(peer.ask().fact, Fact::Known(_)));
    assert_eq!(encrypted(&server), ["SSL/TLS"]);
    drop(peer);

    let verified = Access { tls_ca: Some(server.file("ca.pem")), ..plain.clone() };
    assert!(matches!(ask_once(&verified).fact, Fact::Known(_)), "{:?}", ask_once(&verified));

    let over_ipv6 = Access { endpoint: Endpoint::Tcp(Ipv6Addr::LOCALHOST.into(), PORT), ..verified.clone() };
    assert!(matches!(ask_once(&over_ipv6).fact, Fact::Known(_)), "{:?}", ask_once(&over_ipv6));

    // A certificate that signed nothing here.
    let wrong = Access { tls_ca: Some(server.file("client-cert.pem")), ..plain.clone() };
    let told = why(&wrong);
    assert!(matches!(told, Why::Tls(_)), "{told:?}");
    println!("wrong authority: {told}");
    let missing = Access { tls_ca: Some("/nonexistent/ca.pem".into()), ..plain };
    let told = why(&missing);
    assert!(matches!(&told, Why::Tls(text) if text.contains("/nonexistent/ca.pem")), "{told:?}");
    let no_pem = Access { tls_ca: Some(server.file("auto.cnf")), ..server.over_tcp() };
    let told = why(&no_pem);
    assert!(matches!(told, Why::Tls(_)), "{told:?}");

    // The account works over TLS alone.
    server.sql("ALTER USER haip@'%' REQUIRE SSL");
    assert!(matches!(ask_once(&server.over_tcp()).fact, Fact::Known(_)));
}

#[test]
fn an_account_that_needs_a_certificate_of_its_own_gets_in_with_it_and_is_told_what_is_missing_without() {
    let server = Server::start(GROUP);
    server.sql("ALTER USER haip@'%' REQUIRE X509");
    let told = why(&server.over_tcp());
    let names_keys = |text: &str| text.contains("tls_cert") && text.contains("tls_key");
    assert!(matches!(&told, Why::WrongPassword(text) if names_keys(text)), "{told:?}");
    let with = |certificate: &str, key: &str| Access {
        tls_client: Some(ClientCertificate { certificate: server.file(certificate), key: server.file(key) }),
        ..server.over_tcp()
    };
    let seen = ask_once(&with("client-cert.pem", "client-key.pem"));
    assert!(matches!(seen.fact, Fact::Known(_)), "{seen:?}");
    let verified =
        Access { tls_ca: Some(server.file("ca.pem")), ..with("client-cert.pem", "client-key.pem") };
    assert!(matches!(ask_once(&verified).fact, Fact::Known(_)));
    let told = why(&with("client-cert.pem", "ca.pem"));
    assert!(
        matches!(&told, Why::Tls(text) if text.contains("tls_key") && text.contains("ca.pem")),
        "{told:?}"
    );
}

#[test]
fn a_server_without_tls_is_asked_in_plain_unless_tls_is_required() {
    let server = Server::start(&[GROUP, &["--tls-version=", "--max-connect-errors=3"]].concat());
    // The account's first check goes through the RSA key exchange, as nothing is cached yet.
    for _ in 0..6 {
        let seen = ask_once(&server.over_tcp());
        assert!(matches!(seen.fact, Fact::Known(_)), "{seen:?}");
    }
    let told = why(&Access { tls_ca: Some(server.file("ca.pem")), ..server.over_tcp() });
    assert!(matches!(told, Why::Tls(_)), "{told:?}");
}

#[test]
fn nothing_is_told_after_the_watch_is_dropped_and_the_connection_ends() {
    let server = Server::start(GROUP);
    let Watched { watch, .. } = &Watched::new(server.over_tcp(), OFTEN);
    watch.ask_now();
    let watched = Watched::new(server.over_socket(), OFTEN);
    watched.until_member("answers", |_| true);
    drop(watched);
    let ended = Instant::now();
    loop {
        let left: u64 = server.root()
            .query_first("SELECT COUNT(*) FROM performance_schema.threads WHERE processlist_user = 'haip' AND connection_type = 'Socket'")
            .unwrap().unwrap();
        if left == 0 {
            break;
        }
        assert!(ended.elapsed() < Duration::from_secs(2), "the connection is still there");
        std::thread::sleep(Duration::from_millis(10));
    }
}
