//! What an agent answers who is asked how it is: each cluster's [`Status`], and the agent's own facts.

use decide::status::Status;
use serde::{Deserialize, Serialize};

/// One agent, with each of its clusters or those that were asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Its version.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// How long it has been running, in milliseconds.
    pub up_ms: u64,
    /// Its clusters, in the order of its configuration.
    pub clusters: Vec<ClusterReport>,
}

/// One cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterReport {
    /// Its name.
    pub name: String,
    /// How it is.
    pub told: Told,
}

/// How a cluster is, by the word of its loop.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Told {
    /// Its loop answered.
    Status(Box<Status>),
    /// Its loop did not, for this reason.
    Silent(String),
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use std::net::IpAddr;

    use decide::checks::Stage;
    use decide::facts::Reach;
    use decide::fitness::Fitness;
    use decide::input::{MemberState, Role};
    use decide::policy::VipRole;
    use decide::status::{
        BacklogStatus, Found, GroupStatus, Has, MemberStatus, Mode, PlacedStatus, ReadersStatus, StageStatus,
        SwitchStatus, VipStatus, Wanted, WordStatus,
    };

    use super::*;
    use crate::config::Source;
    use crate::control::message::{Answer, LONGEST_ANSWER, PROTOCOL, Speaks};
    use crate::fuzzing::configuration;

    /// As large as a configuration may be.
    const LARGEST: usize = 256 << 10;
    /// A group's members, at the most (MySQL manual, "Group Replication Limitations").
    const MEMBERS: usize = 9;
    /// `MYSQL_ERRMSG_SIZE`
    const LONGEST_ERROR: usize = 512;

    /// The smallest cluster that is accepted, over and over.
    fn clusters_of_the_largest_configuration() -> usize {
        let cluster = |number: usize| {
            let (high, low) = (number >> 8, number & 255);
            format!(
                "[[cluster]]\nname=\"{number}\"\nvip=\"10.7.{high}.{low}\"\ngateway=\"10.0.0.1\"\nmysql_port={}\nuser=\"u\"\npassword=\"p\"\ninstall_path=\"/\"\nmembers={{\"10.0.0.2\"=\"e\"}}\n",
                number + 1_024
            )
        };
        let mut text = String::new();
        let fits = (0..).take_while(|number| {
            text += &cluster(*number);
            text.len() <= LARGEST
        });
        let count = fits.count();
        let few = (0..3).map(cluster).collect::<String>();
        if let Err(problems) = configuration(Source::Toml, few.as_bytes()) {
            panic!("a cluster as small as that is accepted: {problems}");
        }
        count
    }

    /// With a server's longest error everywhere, each letter of it one that JSON escapes, and each name as long as it may be.
    fn longest_status() -> Status {
        let words = "\"".repeat(LONGEST_ERROR);
        let address: IpAddr = "fd77:1111:2222:3333:4444:5555:6666:7777".parse().unwrap();
        let stage = |stage| StageStatus {
            stage,
            found: Found::Unknown,
            words: words.clone(),
            age_ms: Some(u64::MAX),
        };
        let member = || MemberStatus {
            id: "x".repeat(36),
            host: "x".repeat(255),
            port: u16::MAX,
            address: Some(address),
            state: MemberState::Unreachable,
            role: Role::Secondary,
        };
        Status {
            mode: Mode::Drained,
            pause_left_ms: Some(u64::MAX),
            member: Some(address),
            stages: [Stage::Member, Stage::Server, Stage::Primary, Stage::Gateway].map(stage).to_vec(),
            vips: vec![VipStatus {
                address,
                role: VipRole::Writer,
                wanted: Wanted::Unknown,
                state: Has::Claiming,
                words: words.clone(),
                interface: Some("x".repeat(15)),
                for_ms: Some(u64::MAX),
                lease_left_ms: Some(u64::MAX),
                proof_age_ms: Some(u64::MAX),
                gateway: Some("x".repeat(100)),
                hosts: Vec::new(),
            }],
            group: Some(GroupStatus {
                age_ms: u64::MAX,
                view: Some("1".repeat(40)),
                majority: false,
                members: (0..MEMBERS).map(|_| member()).collect(),
            }),
            waits_for: vec![words.clone(); 2],
            readers: Some(ReadersStatus {
                own: Some(Fitness::Settling),
                backlog: Some(BacklogStatus {
                    asked_ms: u64::MAX,
                    transactions: Some(u64::MAX),
                    behind_ms: Some(u64::MAX),
                    unknown: Some(words.clone()),
                }),
                listens: Some(false),
                reach: Some(Reach { answered: usize::MAX, others: usize::MAX, enough: Some(false) }),
                words: (0..MEMBERS)
                    .map(|_| WordStatus {
                        member: address,
                        fitness: Fitness::Settling,
                        age_ms: u64::MAX,
                        counts: false,
                    })
                    .collect(),
                placed: Some(vec![PlacedStatus { vip: address, member: Some(address) }]),
            }),
            last_switch: Some(SwitchStatus { words, age_ms: u64::MAX }),
        }
    }

    #[test]
    fn the_status_of_the_largest_configuration_is_an_answer_that_may_be_given() {
        let count = clusters_of_the_largest_configuration();
        assert!(count > 1_000, "{count}");
        let cluster = |number: usize| ClusterReport {
            name: number.to_string(),
            told: Told::Status(Box::new(longest_status())),
        };
        let report = Report {
            version: "0.1.0".to_owned(),
            pid: 1,
            up_ms: 1,
            clusters: (0..count).map(cluster).collect(),
        };
        let answer = Answer::Status(Box::new(report));
        let line = answer.line(Speaks::Protocol(PROTOCOL)).unwrap();
        println!("{count} clusters: {} bytes", line.len());
        assert!(line.len() > LONGEST_ANSWER);
        assert_eq!(Answer::parse(line.as_bytes()).unwrap(), (answer, Speaks::Protocol(PROTOCOL)));
    }
}
