//! All views of a made-up run, for their development: `cargo run -p haipmgr-lab --example report -- FOLDER [live]`.
//! With `live` the run is shown as it would unfold, ten times as fast.

use std::error::Error;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use lab::measure::figures;
use lab::record::{Address, Expects, Outcome, Phase, Recorded, Recording, Role, What};
use lab::report::{csv, live::Live, table, timeline};

struct Made {
    all: Vec<Recorded>,
    next_id: u64,
}

impl Made {
    fn tell(&mut self, at_ms: u64, who: &str, what: What) {
        self.all.push(Recorded { at_us: at_ms * 1000, who: who.to_owned(), what });
    }

    fn role(&mut self, at_ms: u64, who: &str, role: &str, super_read_only: bool, unreachable: u32) {
        let role = Role {
            state: if role.is_empty() { "OFFLINE".into() } else { "ONLINE".into() },
            role: role.into(),
            super_read_only,
            view: None,
            members: 3,
            unreachable,
            primaries: 1,
        };
        self.tell(at_ms, who, What::Role(role));
    }

    fn fault(&mut self, at_ms: u64, name: &str, host: &str, expects: Expects, phase: Phase) {
        let (name, host) = (name.to_owned(), host.to_owned());
        self.tell(at_ms, "lab", What::Fault { name, host, target: None, expects, phase });
    }

    fn address(&mut self, at_ms: u64, who: &str, there: bool) {
        let address = Address { address: vip(), prefix: 32, interface: "eth0".into() };
        let what = if there { What::AddressAdded(address) } else { What::AddressRemoved(address) };
        self.tell(at_ms, who, what);
        let line = format!("VIP {} here", if there { "started" } else { "stopped" });
        self.tell(at_ms + 1, who, What::Agent { line });
    }

    fn inserts(&mut self, from_ms: u64, to_ms: u64) {
        for at in (from_ms..to_ms).step_by(4) {
            // A little unevenness, as a real server has.
            let at_ms = at + (at / 7) % 3;
            let (id, sent_us) = (self.next_id, at_ms * 1000 - 900);
            self.tell(at_ms, "client", What::Insert { id, sent_us, outcome: Outcome::Acknowledged });
            self.next_id += 1;
        }
    }

    fn failures(&mut self, from_ms: u64, to_ms: u64, every_ms: usize, outcome: &Outcome) {
        for at_ms in (from_ms..to_ms).step_by(every_ms) {
            let (id, outcome) = (self.next_id, outcome.clone());
            self.tell(at_ms, "client", What::Insert { id, sent_us: at_ms * 1000 - 900, outcome });
        }
    }
}

fn vip() -> std::net::IpAddr {
    [10, 77, 0, 100].into()
}

fn made() -> Recording {
    let mut made = Made { all: Vec::new(), next_id: 1 };
    let refused = Outcome::ConnectFailed { text: "Connection refused".into() };
    made.role(0, "db1", "PRIMARY", false, 0);
    made.role(0, "db2", "SECONDARY", true, 0);
    made.role(0, "db3", "SECONDARY", true, 0);
    made.address(50, "db1", true);
    made.inserts(100, 3000);
    made.fault(3000, "switchover", "db1", Expects::NewPrimary, Phase::Injected);
    made.inserts(3000, 3040);
    made.role(3045, "db1", "SECONDARY", true, 0);
    made.role(3060, "db2", "PRIMARY", true, 0);
    made.role(3085, "db2", "PRIMARY", false, 0);
    let read_only = Outcome::Error { code: 1290, text: "running with the --super-read-only option".into() };
    made.failures(3042, 3092, 10, &read_only);
    made.address(3093, "db1", false);
    made.address(3096, "db2", true);
    made.inserts(3130, 7000);
    made.fault(5000, "switchover", "db1", Expects::NewPrimary, Phase::Healed);
    made.fault(7000, "shutdown", "db2", Expects::NewPrimary, Phase::Injected);
    made.failures(7005, 7690, 10, &refused);
    made.role(7640, "db3", "PRIMARY", true, 0);
    made.role(7680, "db3", "PRIMARY", false, 0);
    made.address(7690, "db2", false);
    made.address(7693, "db3", true);
    made.inserts(7740, 14_000);
    made.tell(9900, "db2", What::NoRole { why: "Connection refused".into(), asked_us: None });
    made.fault(11_000, "shutdown", "db2", Expects::NewPrimary, Phase::Healed);
    made.role(11_500, "db2", "", true, 0);
    made.role(12_800, "db2", "SECONDARY", true, 0);
    made.tell(13_000, "lab", What::Verified { acknowledged: 100, missing: vec![] });
    made.fault(14_000, "power-off", "db3", Expects::NewPrimary, Phase::Injected);
    made.tell(14_001, "db3", What::HostDown);
    made.failures(15_000, 35_000, 1000, &Outcome::ConnectFailed { text: "no connection in 1000 ms".into() });
    made.role(35_300, "db1", "PRIMARY", false, 0);
    made.address(35_370, "db1", true);
    made.inserts(35_900, 42_000);
    made.fault(39_000, "power-off", "db3", Expects::NewPrimary, Phase::Healed);
    made.tell(39_100, "db3", What::HostUp);
    made.role(40_000, "db3", "", true, 0);
    made.role(41_000, "db3", "SECONDARY", true, 0);
    made.tell(41_900, "lab", What::Verified { acknowledged: 100, missing: vec![] });
    made.fault(42_000, "vip-removed", "db1", Expects::SamePrimary, Phase::Injected);
    made.address(42_001, "db1", false);
    made.address(42_062, "db1", true);
    made.inserts(42_290, 45_000);
    made.all.into_iter().collect()
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().ok_or("say into which folder to write")?);
    let recording = made();
    let hosts = ["db1", "db2", "db3"].map(str::to_owned);
    if arguments.next().as_deref() == Some("live") {
        let mut live = Live::on_standard_output(&hosts, vip());
        let mut last_us = 0;
        for recorded in recording.all() {
            while last_us < recorded.at_us {
                thread::sleep(Duration::from_millis(1));
                last_us += 10_000;
                live.draw(last_us)?;
            }
            if let What::Fault { name, host, phase: Phase::Injected, .. } = &recorded.what {
                live.say(&format!("— {name} {host}"))?;
            }
            live.take(recorded);
        }
        live.finish()?;
    }
    let figures = figures(&recording, vip());
    println!("{}\n", table::table(&figures, table::Style::Terminal));
    println!("{}", table::table(&figures, table::Style::Markdown));
    let thrice: Vec<_> = (0..3).flat_map(|_| figures.clone()).collect();
    println!("\n{}", table::table(&thrice, table::Style::Terminal));
    recording.save(&folder.join("run.jsonl"))?;
    csv::save(&figures, &folder.join("run.csv"))?;
    timeline::save(&recording, &figures, &hosts, vip(), "A made-up run", &folder.join("run.svg"))?;
    Ok(())
}
