//! `[[cluster.vips]]`: the VIPs of a cluster beside its first.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use decide::policy::{VipGateway, VipPolicy, VipRole};

use super::apply::{host_address, interface_name, lease, unknown, vip};
use super::draft::Draft;
use super::problem::{Position, Problems};
use super::value::{Entry, Value};

/// A cluster has at most this many beside the first.
const MOST: usize = 63;
const KEYS: [&str; 5] = ["address", "role", "interface", "gateway", "lease"];

/// One of them, as the file has it.
pub(super) struct FurtherVip {
    pub(super) address: IpAddr,
    prefix: Option<u8>,
    /// Where the address is given.
    pub(super) at: Position,
    role: VipRole,
    interface: Interface,
    /// Where that is given.
    interface_at: Option<Position>,
    pub(super) gateway: VipGateway,
    /// Where that is given.
    pub(super) gateway_at: Option<Position>,
    lease: Lease,
}

/// On which interface it is.
enum Interface {
    /// The one that `members` names.
    TheMembers,
    /// This one, on every host.
    Everywhere(String),
    /// One for each member.
    Each(BTreeMap<IpAddr, String>),
}

/// How long the kernel keeps it.
#[derive(Clone, Copy)]
enum Lease {
    AsTheCluster,
    Own(Option<Duration>),
}

impl FurtherVip {
    /// With the cluster's limits where it has none of its own. `gateway`: the cluster's, which may be named once more.
    pub(super) fn policy(
        &self,
        cluster: &VipPolicy,
        members: &BTreeMap<IpAddr, String>,
        gateway: Option<IpAddr>,
    ) -> VipPolicy {
        let lease = match self.lease {
            Lease::AsTheCluster => cluster.lease,
            Lease::Own(lease) => lease,
        };
        VipPolicy {
            address: self.address,
            prefix: self.prefix,
            interfaces: match &self.interface {
                Interface::TheMembers => BTreeMap::new(),
                Interface::Everywhere(name) => members.keys().map(|member| (*member, name.clone())).collect(),
                Interface::Each(names) => names.clone(),
            },
            role: self.role,
            gateway: match self.gateway {
                VipGateway::Own(own) if Some(own) == gateway => VipGateway::TheClusters,
                other => other,
            },
            lease,
            ..cluster.clone()
        }
    }
}

impl FurtherVip {
    /// What of its interface does not fit the cluster, with where that is.
    pub(super) fn interface_problems(&self, members: &BTreeMap<IpAddr, String>, problems: &mut Problems) {
        if matches!(self.interface, Interface::TheMembers) {
            return;
        }
        if self.role == VipRole::Reader {
            problems.add(
                self.interface_at,
                "interface: a VIP for readers is on the interface that `members` names; leave interface out",
            );
        }
        let Interface::Each(names) = &self.interface else { return };
        for member in members.keys().filter(|member| !names.contains_key(member)) {
            problems.add(
                self.interface_at,
                format!("interface: {member} is missing; write the interface of {} on each member's host, or one name for all of them", self.address),
            );
        }
        for other in names.keys().filter(|other| !members.contains_key(other)) {
            problems
                .add(self.interface_at, format!("interface: {other} is no member; write a member's address"));
        }
    }
}

/// Reads the tables.
pub(super) fn further(draft: &mut Draft, entry: &Entry, problems: &mut Problems) {
    let tables = match &entry.value {
        Value::List(items) if items.iter().all(|item| matches!(item, Value::Table(_))) => items,
        other => {
            let kind = other.kind();
            problems.add(
                entry.value_at,
                format!("{}: this is {kind}; write [[cluster.vips]] in a line of its own", entry.key),
            );
            return;
        }
    };
    if tables.len() > MOST {
        problems.add(entry.value_at, format!("a cluster has at most {MOST} VIPs beside its first"));
        return;
    }
    for table in tables {
        let Value::Table(rows) = table else { continue };
        let read = one(rows, problems);
        match read {
            Some(vip) => draft.further_vips.push(vip),
            None if rows.iter().any(|row| row.key == "address") => {}
            None => problems.add(
                rows.first().map_or(entry.value_at, |row| row.key_at),
                format!("{}: the key \"address\" is missing; write the VIP's address in quotes", entry.key),
            ),
        }
    }
}

/// Nothing where it has no address that can be one.
fn one(rows: &[Entry], problems: &mut Problems) -> Option<FurtherVip> {
    let mut found = None;
    let mut role = VipRole::Writer;
    let mut interface = (Interface::TheMembers, None);
    let mut gateway = (VipGateway::TheClusters, None);
    let mut own_lease = Lease::AsTheCluster;
    for row in rows {
        let told = match (row.key.as_str(), &row.value) {
            ("address", value) => vip(value).map(|vip| found = Some((vip, row.value_at))),
            ("role", value) => role_of(value).map(|given| role = given),
            ("interface", value) => own_interface(value).map(|given| interface = (given, Some(row.value_at))),
            ("gateway", value) => own_gateway(value).map(|given| gateway = (given, Some(row.value_at))),
            ("lease", value) => lease(value).map(|lease| own_lease = Lease::Own(lease)),
            (key, _) => {
                problems.add(row.key_at, unknown(key, &KEYS).0);
                continue;
            }
        };
        if let Err(text) = told {
            problems.add(row.value_at, format!("{}: {text}", row.key));
        }
    }
    found.map(|((address, prefix), at)| FurtherVip {
        address,
        prefix,
        at,
        role,
        interface: interface.0,
        interface_at: interface.1,
        gateway: gateway.0,
        gateway_at: gateway.1,
        lease: own_lease,
    })
}

/// One name for all hosts, or one for each member.
fn own_interface(value: &Value) -> Result<Interface, String> {
    const ADVICE: &str = "write the interface's name in quotes, such as \"eth1\", or one for each member: \
                          { \"10.77.0.11\" = \"eth1\", \"10.77.0.12\" = \"ens7\" }";
    let name = |value: &Value| match value {
        Value::Text(name) if **name == "lo" => {
            Err("lo is the loopback, which no other host can reach; write the clients' interface".to_owned())
        }
        Value::Text(name) => interface_name(name).map(|()| name.to_string()),
        other => Err(format!("this is {}; {ADVICE}", other.kind())),
    };
    let Value::Table(rows) = value else { return name(value).map(Interface::Everywhere) };
    let mut names = BTreeMap::new();
    for row in rows {
        let member = host_address(&row.key).map_err(|text| format!("member {text}"))?;
        let interface = name(&row.value).map_err(|text| format!("member {member}: {text}"))?;
        if names.insert(member, interface).is_some() {
            return Err(format!("member {member} is there twice; remove one"));
        }
    }
    if names.is_empty() { Err(format!("it names nothing; {ADVICE}")) } else { Ok(Interface::Each(names)) }
}

/// A gateway of its own, or the word that none is asked.
fn own_gateway(value: &Value) -> Result<VipGateway, String> {
    match value {
        Value::Text(word) if **word == "none" => Ok(VipGateway::Nobody),
        Value::Text(text) => host_address(text)
            .map(VipGateway::Own)
            .map_err(|problem| format!("{problem}; or \"none\": no gateway is asked")),
        other => Err(format!(
            "this is {}; write the gateway's address in quotes, or \"none\": no gateway is asked",
            other.kind()
        )),
    }
}

fn role_of(value: &Value) -> Result<VipRole, String> {
    const ADVICE: &str =
        "write \"writer\" (the VIP belongs on the primary) or \"reader\" (on a secondary that is fit)";
    match value {
        Value::Text(role) if **role == "writer" => Ok(VipRole::Writer),
        Value::Text(role) if **role == "reader" => Ok(VipRole::Reader),
        Value::Text(role) => Err(format!("\"{}\" is no role; {ADVICE}", role.escape_debug())),
        other => Err(format!("this is {}; {ADVICE}", other.kind())),
    }
}
