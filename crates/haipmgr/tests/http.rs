//! What the agent answers over HTTP, asked as a scraper, a load balancer, a browser and somebody who means no good do.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use decide::status::Status;
use haipmgr::config::{self, Config};
use haipmgr::control::{Door, Doors};
use haipmgr::http::Http;
use haipmgr::journal::Journal;
use haipmgr::tally::Tally;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore, Stream};

const LIMIT: Duration = Duration::from_secs(10);
const TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// A port of loopback that nobody listens at.
fn free() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

fn status(role: &str, age_ms: u64) -> Status {
    let primary = role == "PRIMARY";
    let stage = |stage: &str, found: &str| json!({ "stage": stage, "found": found, "words": "as it is", "age_ms": age_ms });
    let member = |number: u8, role: &str| {
        json!({
            "id": format!("uuid-{number}"), "host": format!("db{number}"), "port": 3306,
            "address": format!("10.77.0.1{number}"), "state": "ONLINE", "role": role,
        })
    };
    let status = json!({
        "mode": "running",
        "member": "10.77.0.11",
        "stages": [
            stage("member", "passed"), stage("server", "passed"),
            stage("primary", if primary { "passed" } else { "secondary" }), stage("gateway", "passed"),
        ],
        "vips": [{
            "address": "10.77.0.100", "role": "writer", "wanted": if primary { "yes" } else { "no" },
            "state": if primary { "holding" } else { "absent" }, "words": "VIP held: this server is the primary",
            "interface": primary.then_some("eth0"), "for_ms": 5000, "lease_left_ms": primary.then_some(8250),
            "proof_age_ms": primary.then_some(40),
        }],
        "group": {
            "age_ms": age_ms, "view": "17635:545", "majority": true,
            "members": [member(1, role), member(2, if primary { "SECONDARY" } else { "PRIMARY" }), member(3, "SECONDARY")],
        },
        "waits_for": [],
        "pause_left_ms": null,
        "readers": {
            "own": if primary { "primary" } else { "ready" },
            "backlog": { "asked_ms": 300, "transactions": 7, "behind_ms": 20, "unknown": null },
            "reach": { "answered": 2, "others": 2, "enough": true },
            "words": [{ "member": "10.77.0.12", "fitness": "ready", "age_ms": 250, "counts": true }],
            "placed": [{ "vip": "10.77.0.101", "member": "10.77.0.12" }],
        },
        "last_switch": null,
    });
    serde_json::from_value(status).unwrap()
}

/// A cluster whose loop answers so, until the test ends.
fn door(status: Status) -> Door {
    let (questions, mut asked) = mpsc::channel::<oneshot::Sender<Status>>(1);
    std::thread::spawn(move || {
        while let Some(answer) = asked.blocking_recv() {
            let _ = answer.send(status.clone());
        }
    });
    Door { cluster: "orders".to_owned(), questions, tally: Tally::default() }
}

/// An agent's HTTP side, without the agent.
struct Site {
    folder: tempfile::TempDir,
    _http: Http,
    journal: Journal,
}

impl Site {
    fn config(folder: &tempfile::TempDir, listen: &str) -> Config {
        let path = folder.path().join("haipmgr.toml");
        let install = folder.path().display();
        let cluster = format!(
            "[[cluster]]\nname = \"orders\"\nvip = \"10.77.0.100\"\ngateway = \"10.77.0.254\"\nmysql_port = 3306\nuser = \"haip\"\n\
             password = \"very secret\"\ninstall_path = \"{install}/\"\n[cluster.members]\n\"10.77.0.11\" = \"eth0\"\n"
        );
        std::fs::write(folder.path().join("token"), format!("{TOKEN}\n")).unwrap();
        std::fs::write(&path, format!("{listen}\n{cluster}")).unwrap();
        for file in ["token", "haipmgr.toml"] {
            let only_owner = std::fs::Permissions::from_mode(0o600);
            std::fs::set_permissions(folder.path().join(file), only_owner).unwrap();
        }
        config::load(&path).unwrap()
    }

    fn new(listen: &str, door: Door) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listen = listen.replace("FOLDER", &folder.path().display().to_string());
        let config = Self::config(&folder, &listen);
        let (journal, doors) = (Journal::start().unwrap(), Doors::default());
        doors.set(vec![door]);
        let wanted = config.listen.clone().unwrap();
        let http = Http::begin(&wanted, Arc::new(config), doors, journal.clone()).unwrap();
        Self { folder, _http: http, journal }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// As soon as somebody listens.
fn connect(at: SocketAddr) -> TcpStream {
    let since = Instant::now();
    loop {
        match TcpStream::connect(at) {
            Ok(stream) => {
                stream.set_read_timeout(Some(LIMIT)).unwrap();
                return stream;
            }
            Err(error) => assert!(since.elapsed() < LIMIT, "{at}: {error}"),
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

fn read(mut stream: impl std::io::Read) -> Answer {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    Answer { status, head: head.to_lowercase(), body: body.to_owned() }
}

fn ask(at: SocketAddr, request: &str) -> Answer {
    let mut stream = connect(at);
    stream.write_all(request.as_bytes()).unwrap();
    read(stream)
}

fn get(at: SocketAddr, path: &str) -> Answer {
    ask(at, &format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"))
}

fn listening(door: Door) -> (SocketAddr, Site) {
    let at = free();
    (at, Site::new(&format!("listen = \"{at}\""), door))
}

#[test]
fn a_load_balancer_finds_the_primary_with_its_vip_and_no_other() {
    let (primary, _primary) = listening(door(status("PRIMARY", 40)));
    let (secondary, _secondary) = listening(door(status("SECONDARY", 40)));
    let (silent, _silent) = listening(door(status("PRIMARY", 5_000)));
    for (path, of_primary, of_secondary, of_silent) in [
        ("/primary", 200, 503, 503),
        ("/replica", 503, 200, 503),
        ("/readiness", 200, 200, 503),
        ("/liveness", 200, 200, 200),
        ("/primary?cluster=orders", 200, 503, 503),
        ("/primary?cluster=stock", 400, 400, 400),
        ("/replica?lag=many", 400, 400, 400),
        ("/nothing", 404, 404, 404),
    ] {
        let found = [primary, secondary, silent].map(|at| get(at, path).status);
        assert_eq!(found, [of_primary, of_secondary, of_silent], "{path}");
    }
    assert_eq!(get(secondary, "/primary").body, "the local server is not the writable primary\n");
    assert_eq!(get(silent, "/readiness").body, "the local server was last heard 5000 ms ago\n");
}

#[test]
fn the_numbers_say_what_is_so_and_what_is_not_known_has_none() {
    let door = door(status("PRIMARY", 40));
    let (at, site) = listening(door);
    site.journal.agent().error("something");
    let answer = get(at, "/metrics");
    assert!(
        answer.head.contains("content-type: application/openmetrics-text; version=1.0.0"),
        "{}",
        answer.head
    );
    let held = "haipmgr_vip_held{cluster=\"orders\",vip=\"10.77.0.100\"} 1.0\n";
    for line in [
        held,
        "haipmgr_vip_lease_left_seconds{cluster=\"orders\",vip=\"10.77.0.100\"} 8.25\n",
        "haipmgr_stage{cluster=\"orders\",stage=\"primary\",found=\"passed\"} 1.0\n",
        "haipmgr_stage{cluster=\"orders\",stage=\"primary\",found=\"unknown\"} 0.0\n",
        "haipmgr_members{cluster=\"orders\",state=\"online\"} 3.0\n",
        "haipmgr_mode{cluster=\"orders\",mode=\"running\"} 1.0\n",
        "haipmgr_reader_fitness{cluster=\"orders\",fitness=\"primary\"} 1.0\n",
        "haipmgr_reader_fitness{cluster=\"orders\",fitness=\"ready\"} 0.0\n",
        "haipmgr_reader_behind_transactions{cluster=\"orders\"} 7.0\n",
        "haipmgr_reader_vip_placed{cluster=\"orders\",vip=\"10.77.0.101\"} 0.0\n",
        "haipmgr_expels_asked_total{cluster=\"orders\"} 0\n",
        "haipmgr_log_lines_total{level=\"error\"} 1\n",
    ] {
        assert!(answer.body.contains(line), "{line}{}", answer.body);
    }
    assert!(answer.body.ends_with("# EOF\n"));
    let unknown = Status { vips: Vec::new(), group: None, ..status("PRIMARY", 40) };
    let (at, _site) = listening(self::door(unknown));
    let answer = get(at, "/metrics");
    for name in ["haipmgr_members{", "haipmgr_majority{", "haipmgr_vip_held{"] {
        assert!(!answer.body.contains(name), "{name} {}", answer.body);
    }
}

#[test]
fn every_metric_is_in_the_manual_and_the_manual_names_no_other() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/http.md")).unwrap();
    let (at, _site) = listening(door(status("PRIMARY", 40)));
    let text = get(at, "/metrics").body;
    let shown = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    let documented: Vec<_> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `haipmgr_")?.split(['`', '{']).next())
        .map(|name| format!("haipmgr_{name}"))
        .collect();
    for name in shown {
        let documented = documented.iter().any(|known| known.trim_end_matches("_total") == name);
        assert!(documented, "{name} is not in docs/http.md");
    }
    // What has not happened yet is not shown.
    let later = [
        "haipmgr_switches_total",
        "haipmgr_outage_seconds",
        "haipmgr_unknowns_total",
        "haipmgr_poll_seconds",
        "haipmgr_hooks_total",
    ];
    for name in documented.iter().filter(|name| !later.contains(&name.as_str())) {
        assert!(
            text.contains(&format!("# TYPE {} ", name.trim_end_matches("_total"))),
            "{name} is in docs/http.md alone"
        );
    }
}

#[test]
fn status_and_history_are_the_commands_own() {
    let (at, site) = listening(door(status("PRIMARY", 40)));
    let all: Value = serde_json::from_str(&get(at, "/status.json").body).unwrap();
    assert_eq!((&all["format"], &all["clusters"][0]["name"]), (&json!(1), &json!("orders")));
    let none: Value = serde_json::from_str(&get(at, "/history.json").body).unwrap();
    assert_eq!(none, json!({ "format": 1, "switches": [] }));
    let line = |id: &str, at: &str| {
        json!({
            "format": 1, "id": id, "kind": "came", "code": "SWITCHOVER", "at": at, "cluster": "orders", "vip": "10.77.0.100",
            "from": null, "to": null, "by": { "how": "ordered", "who": null, "reason": null }, "sentence": "it moved",
            "outage": null, "seen": [], "trace_us": 1,
        })
        .to_string()
    };
    let lines = [line("one", "2026-11-29T02:30:00.123Z"), line("two", "2026-11-29T02:31:00.123Z")];
    std::fs::write(site.path("history_3306.jsonl"), lines.join("\n") + "\n").unwrap();
    let last: Value = serde_json::from_str(&get(at, "/history.json?limit=1").body).unwrap();
    assert_eq!(last["switches"].as_array().map(Vec::len), Some(1));
    assert_eq!(last["switches"][0]["id"], "two");
    for (path, answered) in [("/status.schema.json", all), ("/history.schema.json", last)] {
        let schema = get(at, path);
        assert!(schema.head.contains("content-type: application/schema+json"), "{}", schema.head);
        let schema: Value = serde_json::from_str(&schema.body).unwrap();
        let validator = jsonschema::draft202012::new(&schema).unwrap();
        let wrong: Vec<_> = validator.iter_errors(&answered).map(|error| error.to_string()).collect();
        assert!(wrong.is_empty(), "{path}: {wrong:?}: {answered}");
    }
    assert_eq!(get(at, "/hook.schema.json").status, 200);
}

#[test]
fn the_page_loads_nothing_from_elsewhere_and_its_stream_brings_the_status() {
    let (at, _site) = listening(door(status("PRIMARY", 40)));
    let page = get(at, "/");
    assert!(page.head.contains("content-security-policy: default-src 'none'"), "{}", page.head);
    for foreign in ["http://", "https://", "src=\"//", "@import"] {
        assert!(!page.body.contains(foreign), "{foreign}");
    }
    let mut stream = connect(at);
    stream.write_all(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let (mut text, mut piece) = (String::new(), [0; 4096]);
    while text.matches("event: status\n").count() < 2 {
        let read = stream.read(&mut piece).unwrap();
        assert_ne!(read, 0, "it ended: {text}");
        text.push_str(&String::from_utf8_lossy(&piece[..read]));
    }
    assert!(text.to_lowercase().contains("content-type: text/event-stream"), "{text}");
}

#[test]
fn nothing_can_be_ordered() {
    let (at, _site) = listening(door(status("PRIMARY", 40)));
    for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
        let answer = ask(at, &format!("{method} /primary HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"));
        assert_eq!(answer.status, 405, "{method}");
        assert!(answer.head.contains("allow: get, head"), "{}", answer.head);
    }
    let head = ask(at, "HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_eq!((head.status, head.body.as_str()), (200, ""));
}

#[test]
fn who_does_not_show_the_token_learns_only_that_the_agent_lives() {
    let at = free();
    let listen = format!("listen = \"{at}\"\nlisten_token_file = \"FOLDER/token\"");
    let _site = Site::new(&listen, door(status("PRIMARY", 40)));
    assert_eq!(get(at, "/liveness").status, 200);
    for path in [
        "/",
        "/metrics",
        "/primary",
        "/status.json",
        "/history.json",
        "/events",
        "/nothing",
        "/status.schema.json",
    ] {
        let refused = get(at, path);
        assert_eq!(refused.status, 401, "{path}");
        assert!(refused.head.contains("www-authenticate: basic"), "{}", refused.head);
        assert!(!refused.body.contains(TOKEN));
    }
    let shown = format!("GET /primary HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n\r\n");
    assert_eq!(ask(at, &shown).status, 200);
}

#[test]
fn with_a_certificate_only_https_is_answered() {
    let at = free();
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (certificate, key) = (folder.path().join("http.crt"), folder.path().join("http.key"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let listen = format!(
        "listen = \"{at}\"\nlisten_tls_cert = \"{}\"\nlisten_tls_key = \"{}\"",
        certificate.display(),
        key.display()
    );
    let _site = Site::new(&listen, door(status("PRIMARY", 40)));
    let plain = connect(at)
        .write_all(b"GET /primary HTTP/1.1\r\nHost: x\r\n\r\n")
        .map(|()| get(at, "/primary").status);
    assert!(!matches!(plain, Ok(200)), "{plain:?}");
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut client = ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap();
    let mut stream = connect(at);
    let mut secret = Stream::new(&mut client, &mut stream);
    secret.write_all(b"GET /primary HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut text = String::new();
    secret.read_to_string(&mut text).unwrap();
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
}

#[test]
fn a_unix_socket_does_as_well_and_is_gone_at_the_end() {
    let site = Site::new("listen = \"FOLDER/http.socket\"", door(status("PRIMARY", 40)));
    let path = site.path("http.socket");
    let since = Instant::now();
    let mut stream = loop {
        match UnixStream::connect(&path) {
            Ok(stream) => break stream,
            Err(error) => assert!(since.elapsed() < LIMIT, "{error}"),
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    stream.write_all(b"GET /primary HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    assert_eq!(read(stream).status, 200);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o007, 0, "it is not for everybody");
    let Site { folder, _http: http, .. } = site;
    drop(http);
    let since = Instant::now();
    while path.exists() {
        assert!(since.elapsed() < LIMIT, "it stays");
        std::thread::sleep(Duration::from_millis(5));
    }
    drop(folder);
}

#[test]
fn who_means_no_good_keeps_nobody_else_from_an_answer() {
    let (at, _site) = listening(door(status("PRIMARY", 40)));
    for nonsense in
        ["\r\n\r\n", "\u{0}\u{1}\u{2}\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "SSH-2.0-x\r\n\r\n"]
    {
        let answer = ask(at, nonsense);
        assert!(matches!(answer.status, 0 | 400 | 405 | 505), "{nonsense:?}: {}", answer.status);
    }
    let huge = format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(64 << 10));
    let mut stream = connect(at);
    // It may be refused before all of it is sent.
    let _ = stream.write_all(huge.as_bytes());
    drop(stream);
    let slow: Vec<_> = (0..200)
        .map(|_| {
            let mut stream = connect(at);
            let _ = stream.write_all(b"GET /primary HTTP/1.1\r\nX: ");
            stream
        })
        .collect();
    // More than there is room for, and none of them has asked.
    for _ in 0..5 {
        assert_eq!(get(at, "/primary").status, 200, "who asks is answered at once");
    }
    drop(slow);
}

#[test]
fn a_place_that_another_program_has_is_said_in_the_log_and_stops_nothing() {
    let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let at = taken.local_addr().unwrap();
    let site = Site::new(&format!("listen = \"{at}\""), door(status("PRIMARY", 40)));
    let since = Instant::now();
    while site.journal.lines().error == 0 {
        assert!(since.elapsed() < LIMIT, "nothing is said");
        std::thread::sleep(Duration::from_millis(20));
    }
}
