//! docs/status.schema.json, held to what is printed of every kind of picture, and to the tables of docs/status.md.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use decide::checks::Stage;
use decide::facts::Reach;
use decide::fitness::Fitness;
use decide::input::{MemberState, Role};
use decide::policy::VipRole;
use decide::status::{
    BacklogStatus, Found, GroupStatus, Has, HostStatus, MemberStatus, Mode, PlacedStatus, ReadersStatus,
    VipStatus, Wanted, WordStatus,
};
use serde_json::Value;

use super::super::json::json;
use super::super::picture::{Agent, Picture};
use super::super::sample::{hangs, ip, mac, shows, status_of, vip, well, well_from_db3};
use crate::schema::{Schema, Words, documented, never_printed, printed};

const SCHEMA: &str = include_str!("../../../../../docs/status.schema.json");
const PAGE: &str = include_str!("../../../../../docs/status.md");

fn document(pictures: &[Picture]) -> Value {
    let line = json(pictures, "2026-11-29T02:30:00.123Z", Duration::from_millis(42));
    serde_json::from_str(&line.unwrap()).unwrap()
}

fn with(mut picture: Picture, change: impl FnOnce(&mut Picture)) -> Picture {
    change(&mut picture);
    picture
}

/// Nobody said anything.
fn silent() -> Picture {
    with(well_from_db3(), |picture| {
        for server in &mut picture.servers {
            (server.said, server.silent) = (None, Some("refused".to_owned()));
        }
        picture.segment = Err("needs root".to_owned());
    })
}

/// Only the agent's server shows the group, with a member in every state.
fn shown_by_the_agent() -> Picture {
    let states = [
        MemberState::Online,
        MemberState::Recovering,
        MemberState::Offline,
        MemberState::Error,
        MemberState::Unreachable,
        MemberState::Other,
    ];
    let roles = [Role::Primary, Role::Secondary, Role::None];
    let members =
        (1..).zip(states).zip(roles.into_iter().cycle()).map(|((number, state), role)| MemberStatus {
            id: format!("uuid-{number}"),
            host: format!("db{number}"),
            port: 3306,
            address: (number <= 3).then(|| ip(10 + number)),
            state,
            role,
        });
    let group = GroupStatus {
        age_ms: 30,
        view: Some("17635:545".to_owned()),
        majority: true,
        members: members.collect(),
    };
    with(silent(), |picture| status_of(picture).group = Some(group))
}

/// Readers' VIPs, of both families, one of them nowhere; a host of every fitness.
fn with_readers() -> Picture {
    let others = [IpAddr::from([0xfd77, 0, 0, 0, 0, 0, 0, 0x101]), ip(101)];
    let words = (0..).zip(Fitness::EACH).map(|(number, fitness)| WordStatus {
        member: ip(20 + number),
        fitness,
        age_ms: 250,
        counts: number > 0,
    });
    let place = |(vip, member)| PlacedStatus { vip, member };
    let readers = ReadersStatus {
        own: Some(Fitness::Primary),
        backlog: Some(BacklogStatus {
            asked_ms: 300,
            transactions: Some(7),
            behind_ms: Some(20),
            unknown: None,
        }),
        listens: Some(true),
        reach: Some(Reach { answered: 2, others: 2, enough: Some(true) }),
        words: words.collect(),
        placed: Some(others.into_iter().zip([Some(ip(12)), None]).map(place).collect()),
    };
    with(well(), |picture| {
        picture.vips.extend(others);
        picture.readers.extend(others);
        let status = status_of(picture);
        let stands = [(Has::Claiming, Wanted::Unknown), (Has::Releasing, Wanted::No)];
        status.vips.extend(others.into_iter().zip(stands).map(|(address, (state, wanted))| VipStatus {
            address,
            role: VipRole::Reader,
            wanted,
            state,
            words: "it belongs elsewhere".to_owned(),
            interface: None,
            for_ms: None,
            lease_left_ms: None,
            proof_age_ms: None,
            gateway: Some("no gateway is asked".to_owned()),
            hosts: vec![HostStatus { member: ip(12), mac: mac(2).to_string() }],
        }));
        status.readers = Some(readers);
    })
}

/// The same with a host of each fitness; before anything is known of readers; and with what is known of the backlog that it is not known.
fn with_other_readers() -> Vec<Picture> {
    let unknown = ReadersStatus {
        own: None,
        backlog: None,
        listens: None,
        reach: None,
        words: Vec::new(),
        placed: None,
    };
    let why = Some("the server does not answer".to_owned());
    let backlog = BacklogStatus { asked_ms: 300, transactions: None, behind_ms: None, unknown: why };
    let reach = Some(Reach { answered: 0, others: 2, enough: None });
    let mut all = vec![unknown.clone(), ReadersStatus { backlog: Some(backlog), reach, ..unknown.clone() }];
    all.extend(Fitness::EACH.map(|own| ReadersStatus { own: Some(own), ..unknown.clone() }));
    let picture = |readers| with(with_readers(), |picture| status_of(picture).readers = Some(readers));
    all.into_iter().map(picture).collect()
}

fn in_mode(mode: Mode) -> Picture {
    with(well(), |picture| {
        let status = status_of(picture);
        (status.mode, status.pause_left_ms) = (mode, (mode == Mode::Paused).then_some(90_400));
    })
}

/// Who holds the VIP.
fn held() -> [Picture; 4] {
    let answered = |number| BTreeMap::from([(mac(number), Duration::ZERO)]);
    [
        with(well_from_db3(), |picture| {
            // A host that is no member.
            picture.segment = Ok(BTreeMap::from([(vip(), answered(0x66))]));
        }),
        with(well(), |picture| {
            // Two, one of them without an end.
            picture.segment = Ok(BTreeMap::from([(vip(), answered(2)), (ip(12), answered(2))]));
            picture.kernel.as_mut().unwrap()[0].lease_left = None;
        }),
        with(well(), |picture| picture.kernel = Ok(Vec::new())),
        with(silent(), |picture| {
            picture.own = None;
            picture.kernel = Err("can't be asked".to_owned());
        }),
    ]
}

fn stages_found() -> Picture {
    with(well_from_db3(), |picture| {
        let status = status_of(picture);
        status.last_switch = None;
        status.waits_for = vec!["the first answer about stage 4 (gateway)".to_owned()];
        for stage in &mut status.stages {
            match stage.stage {
                Stage::Server => stage.found = Found::Failed,
                Stage::Gateway => (stage.found, stage.age_ms) = (Found::Unknown, None),
                Stage::Member | Stage::Primary => {}
            }
        }
    })
}

/// Of every kind there is.
fn pictures() -> Vec<Picture> {
    let mut all =
        vec![well(), well_from_db3(), silent(), shown_by_the_agent(), with_readers(), stages_found()];
    all.extend(with_other_readers());
    all.extend(held());
    all.extend([Mode::Paused, Mode::Drained, Mode::Ending].map(in_mode));
    for (number, state) in [(2, "UNREACHABLE"), (3, "ERROR")] {
        all.push(with(well(), |picture| hangs(picture, number, None, state)));
    }
    all.push(with(well(), |picture| shows(picture, 2, None)));
    all.push(with(well(), |picture| picture.agent = Agent::None("nobody listens".to_owned())));
    all.push(with(well(), |picture| picture.agent = Agent::Unknown("only root may".to_owned())));
    all
}

#[test]
fn whatever_is_printed_is_as_the_schema_says() {
    let schema = Schema::read(SCHEMA);
    for picture in pictures() {
        let document = document(std::slice::from_ref(&picture));
        assert_eq!(schema.against(&document), Vec::<String>::new(), "{document}");
    }
    assert_eq!(schema.against(&document(&pictures())), Vec::<String>::new());
    assert_eq!(schema.against(&document(&[])), Vec::<String>::new());
}

#[test]
fn the_schema_names_no_key_and_no_word_that_is_never_printed() {
    let mut words = Words::new();
    for picture in pictures() {
        printed(&document(&[picture]), "", &mut words);
    }
    assert_eq!(never_printed(&Schema::read(SCHEMA), &words), Vec::<String>::new());
}

#[test]
fn the_manual_has_every_key_of_the_schema_and_no_other() {
    let mut keys = documented(PAGE, "## JSON", "", "clusters");
    keys.extend(documented(PAGE, "The agent's own word, each fact", "clusters.status", ""));
    let there: Vec<_> = Schema::read(SCHEMA).keys().into_keys().collect();
    assert_eq!(keys.into_iter().collect::<Vec<_>>(), there);
}
