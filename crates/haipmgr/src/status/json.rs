//! The same for programs, with a format number: docs/status.md has each field. Fields are added, and never change their meaning within
//! a format. Pure.

use std::net::IpAddr;
use std::time::Duration;

use decide::policy::VipRole;
use decide::status::Status;
use serde::Serialize;

use super::holders::{Holder, holders};
use super::judge::{Health, judge};
use super::member_row::{MemberRole, MemberRow, SaidBy, member_rows};
use super::picture::{Agent, Picture};

/// Raised when a field goes or changes its meaning.
const FORMAT: u32 = 1;

#[derive(Serialize)]
struct Document<'p> {
    format: u32,
    /// UTC.
    at: &'p str,
    took_ms: u64,
    health: Health,
    exit_status: u8,
    clusters: Vec<Cluster<'p>>,
}

#[derive(Serialize)]
struct Cluster<'p> {
    name: &'p str,
    health: Health,
    remarks: Vec<String>,
    this_host: Option<IpAddr>,
    vips: Vec<Vip>,
    members: Vec<Member>,
    agent: Option<AgentJson<'p>>,
    no_agent: Option<&'p str>,
    agent_unknown: Option<&'p str>,
    status: Option<&'p Status>,
}

#[derive(Serialize)]
struct AgentJson<'p> {
    version: &'p str,
    pid: u32,
    up_ms: u64,
}

#[derive(Serialize)]
struct Vip {
    address: IpAddr,
    role: VipRole,
    holders: Option<Vec<HolderJson>>,
    unknown: Option<String>,
}

#[derive(Serialize)]
struct HolderJson {
    member: Option<IpAddr>,
    here: bool,
    mac: Option<String>,
    interface: Option<String>,
    lease_left_ms: Option<u64>,
    age_ms: u64,
}

#[derive(Serialize)]
struct Member {
    address: IpAddr,
    name: Option<String>,
    id: Option<String>,
    role: Option<MemberRole>,
    state: Option<String>,
    writable: Option<bool>,
    queue: Option<u64>,
    version: Option<String>,
    vips: Option<Vec<IpAddr>>,
    agent: Option<AgentShownJson>,
    agent_unknown: Option<String>,
    age_ms: Option<u64>,
    said_by: Option<SaidBy>,
    silent: Option<String>,
}

#[derive(Serialize)]
struct AgentShownJson {
    version: String,
    configuration: String,
}

/// All clusters, on one line. `at`: the time from which ages count back, in UTC; `took`: how long it took.
pub(crate) fn json(pictures: &[Picture], at: &str, took: Duration) -> Result<String, serde_json::Error> {
    let clusters: Vec<_> = pictures.iter().map(cluster).collect();
    let health = clusters.iter().map(|cluster| cluster.health).max().unwrap_or(Health::Well);
    let document = Document {
        format: FORMAT,
        at,
        took_ms: milliseconds(took),
        health,
        exit_status: health.exit_status(),
        clusters,
    };
    serde_json::to_string(&document).map(|line| line + "\n")
}

fn cluster(picture: &Picture) -> Cluster<'_> {
    let judged = judge(picture);
    let (agent, no_agent, agent_unknown) = match &picture.agent {
        Agent::Runs { version, pid, up, .. } => {
            (Some(AgentJson { version, pid: *pid, up_ms: milliseconds(*up) }), None, None)
        }
        Agent::None(why) => (None, Some(why.as_str()), None),
        Agent::Unknown(why) => (None, None, Some(why.as_str())),
    };
    Cluster {
        name: &picture.cluster,
        health: judged.health,
        remarks: judged.remarks.into_iter().map(|(_, words)| words).collect(),
        this_host: picture.own,
        vips: picture.vips.iter().map(|vip| vip_of(picture, *vip)).collect(),
        members: member_rows(picture).into_iter().map(member).collect(),
        agent,
        no_agent,
        agent_unknown,
        status: picture.status(),
    }
}

fn vip_of(picture: &Picture, address: IpAddr) -> Vip {
    let (held, unknown) = match holders(picture, address) {
        Ok(held) => (Some(held), None),
        Err(why) => (None, Some(why)),
    };
    let holder = |holder: Holder| HolderJson {
        member: holder.member,
        here: holder.here,
        mac: holder.mac.map(|mac| mac.to_string()),
        interface: holder.interface,
        lease_left_ms: holder.lease_left.map(milliseconds),
        age_ms: milliseconds(holder.age),
    };
    let role = if picture.readers.contains(&address) { VipRole::Reader } else { VipRole::Writer };
    Vip { address, role, holders: held.map(|held| held.into_iter().map(holder).collect()), unknown }
}

fn member(row: MemberRow) -> Member {
    let (agent, agent_unknown) = match row.agent {
        Ok(agent) => (agent, None),
        Err(why) => (None, Some(why)),
    };
    let agent = agent
        .map(|agent| AgentShownJson { version: agent.version, configuration: agent.configuration.short() });
    Member {
        address: row.address,
        name: row.name,
        id: row.id,
        role: row.role,
        state: row.state,
        writable: row.writable,
        queue: row.queue,
        version: row.version,
        vips: row.vips,
        agent,
        agent_unknown,
        age_ms: row.age.map(milliseconds),
        said_by: row.said_by,
        silent: row.silent,
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::{Value, json};

    use super::super::sample::{hangs, well, well_from_db3};
    use super::*;

    fn document(picture: &Picture) -> Value {
        let line = json(std::slice::from_ref(picture), "2026-11-29T02:30:00.123Z", Duration::from_millis(42));
        serde_json::from_str(&line.unwrap()).unwrap()
    }

    #[test]
    fn it_has_a_format_number_and_the_exit_status() {
        let all = document(&well());
        assert_eq!((&all["format"], &all["exit_status"]), (&json!(1), &json!(0)));
        assert_eq!((&all["health"], &all["took_ms"]), (&json!("well"), &json!(42)));
        let cluster = &all["clusters"][0];
        assert_eq!(cluster["vips"][0]["holders"][0]["member"], "10.77.0.11");
        assert_eq!(cluster["vips"][0]["holders"][0]["lease_left_ms"], 8_000);
        assert_eq!(cluster["vips"][0]["role"], "writer");
        assert_eq!(cluster["members"][0]["role"], "primary");
        assert_eq!(cluster["members"][1]["said_by"], "itself");
        assert_eq!(cluster["members"][1]["agent"]["version"], "0.1.0");
        assert_eq!(cluster["members"][1]["agent_unknown"], Value::Null);
        assert_eq!(cluster["status"]["vips"][0]["state"], "holding");
        assert_eq!(cluster["status"]["stages"][2]["age_ms"], 80);
    }

    #[test]
    fn what_is_not_known_is_null_with_a_reason_and_never_an_empty_list() {
        let mut picture = well_from_db3();
        picture.segment = Err("needs root".to_owned());
        picture.agent = Agent::None("nobody listens".to_owned());
        hangs(&mut picture, 2, None, "UNREACHABLE");
        let cluster = &document(&picture)["clusters"][0];
        assert_eq!(cluster["vips"][0]["holders"], Value::Null);
        assert_eq!(cluster["vips"][0]["unknown"], "needs root");
        assert_eq!((&cluster["agent"], &cluster["no_agent"]), (&Value::Null, &json!("nobody listens")));
        let member = &cluster["members"][1];
        assert_eq!((&member["vips"], &member["queue"]), (&Value::Null, &Value::Null));
        assert_eq!(member["said_by"], json!({ "member": "10.77.0.11" }));
        assert_eq!(
            (&member["agent"], &member["agent_unknown"]),
            (&Value::Null, &json!("no answer within 200 ms"))
        );
        assert_eq!(
            (&member["state"], &member["silent"]),
            (&json!("UNREACHABLE"), &json!("no answer within 200 ms"))
        );
    }
}
