//! A picture of a group that is well, for the tests of what is made of it.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use decide::checks::Stage;
use decide::policy::VipRole;
use decide::status::{Found, Has, Mode, StageStatus, Status, SwitchStatus, VipStatus, Wanted};
use wire::Mac;

use crate::config::Alike;

use super::picture::{Agent, AgentShown, Limits, OnThisHost, Picture, Row, Server, Word};

pub(super) fn ip(last: u8) -> IpAddr {
    IpAddr::from([10, 77, 0, last])
}

pub(super) fn vip() -> IpAddr {
    ip(100)
}

pub(super) fn mac(number: u8) -> Mac {
    Mac([2, 0, 0, 0, 0, number])
}

pub(super) fn row(number: u8) -> Row {
    Row {
        id: format!("uuid-{number}"),
        host: format!("db{number}"),
        state: "ONLINE".to_owned(),
        primary: number == 1,
        version: "9.7.4".to_owned(),
        queue: Some(u64::from(number)),
    }
}

/// What member `number`'s server says.
pub(super) fn word(number: u8) -> Word {
    let rows = (1..=3).map(row).collect();
    Word { id: format!("uuid-{number}"), writable: number == 1, rows, agent: Ok(Some(shown("0.1.0", 7))) }
}

/// An agent that shows itself, of this version, with limits of this sum.
pub(super) fn shown(version: &str, limits: u32) -> AgentShown {
    let configuration = Alike::parse(&format!("members:00000001 limits:{limits:08x}")).unwrap();
    AgentShown { version: version.to_owned(), configuration }
}

/// The agent that shows itself on member `number`'s server is this one.
pub(super) fn shows(picture: &mut Picture, number: u8, agent: Option<AgentShown>) {
    if let Some((word, _)) = &mut picture.servers[usize::from(number) - 1].said {
        word.agent = Ok(agent);
    }
}

/// Typed on db1, the primary, which holds the VIP.
pub(super) fn well() -> Picture {
    let server = |number: u8| Server {
        address: ip(10 + number),
        said: Some((word(number), Duration::from_millis(20))),
        silent: None,
    };
    let answers = |number: u8| BTreeMap::from([(mac(number), Duration::from_millis(10))]);
    Picture {
        cluster: "orders".to_owned(),
        vips: vec![vip()],
        readers: BTreeSet::new(),
        own: Some(ip(11)),
        servers: (1..=3).map(server).collect(),
        agent: Agent::Runs {
            version: "0.1.0".to_owned(),
            pid: 4711,
            up: Duration::from_secs(7_500),
            status: Box::new(status()),
        },
        kernel: Ok(vec![OnThisHost {
            address: vip(),
            interface: "eth0".to_owned(),
            lease_left: Some(Duration::from_secs(8)),
            age: Duration::from_millis(15),
        }]),
        segment: Ok(BTreeMap::from([(vip(), BTreeMap::new()), (ip(12), answers(2)), (ip(13), answers(3))])),
        limits: Limits { server: Duration::from_secs(1), other: Duration::from_secs(15) },
    }
}

/// The same, typed on db3.
pub(super) fn well_from_db3() -> Picture {
    let mut picture = well();
    picture.own = Some(ip(13));
    picture.kernel = Ok(Vec::new());
    let answers = |number: u8| BTreeMap::from([(mac(number), Duration::from_millis(10))]);
    picture.segment = Ok(BTreeMap::from([(vip(), answers(1)), (ip(11), answers(1)), (ip(12), answers(2))]));
    if let Agent::Runs { status, .. } = &mut picture.agent {
        status.vips[0].state = Has::Absent;
        status.vips[0].wanted = Wanted::No;
        status.stages[2].found = Found::Secondary;
    }
    picture
}

fn status() -> Status {
    let stage = |stage, age_ms| StageStatus {
        stage,
        found: Found::Passed,
        words: "as it must be".to_owned(),
        age_ms: Some(age_ms),
    };
    Status {
        mode: Mode::Running,
        pause_left_ms: None,
        member: Some(ip(11)),
        stages: vec![
            stage(Stage::Member, 6_500),
            stage(Stage::Server, 80),
            stage(Stage::Primary, 80),
            stage(Stage::Gateway, 900),
        ],
        vips: vec![VipStatus {
            address: vip(),
            role: VipRole::Writer,
            wanted: Wanted::Yes,
            state: Has::Holding,
            words: "VIP kept: all stages pass".to_owned(),
            interface: Some("eth0".to_owned()),
            for_ms: Some(7_400_000),
            lease_left_ms: Some(8_200),
            proof_age_ms: Some(80),
            gateway: None,
            hosts: Vec::new(),
        }],
        group: None,
        waits_for: Vec::new(),
        readers: None,
        last_switch: Some(SwitchStatus {
            words: "VIP started on eth0: this server is the primary".to_owned(),
            age_ms: 7_400_000,
        }),
    }
}

/// The agent's own word.
pub(super) fn status_of(picture: &mut Picture) -> &mut Status {
    match &mut picture.agent {
        Agent::Runs { status, .. } => status,
        Agent::None(_) | Agent::Unknown(_) => unreachable!("the sample's agent runs"),
    }
}

/// Its server hangs since `seconds`; the others show it as `state`.
pub(super) fn hangs(picture: &mut Picture, number: u8, said: Option<u64>, state: &str) {
    for server in &mut picture.servers {
        if server.address == ip(10 + number) {
            server.said = said.map(|seconds| (word(number), Duration::from_secs(seconds)));
            server.silent = Some("no answer within 200 ms".to_owned());
        } else if let Some((word, _)) = &mut server.said {
            word.rows[usize::from(number) - 1].state = state.to_owned();
        }
    }
}
