//! `[[cluster.vips]]`: the VIPs of a cluster beside its first.

use std::net::IpAddr;
use std::time::Duration;

use decide::policy::{VipGateway, VipPolicy, VipRole};

use super::apply::{host_address, lease, unknown, vip};
use super::draft::Draft;
use super::problem::{Position, Problems};
use super::value::{Entry, Value};

/// A cluster has at most this many beside the first.
const MOST: usize = 63;
const KEYS: [&str; 4] = ["address", "role", "gateway", "lease"];

/// One of them, as the file has it.
pub(super) struct FurtherVip {
    pub(super) address: IpAddr,
    prefix: Option<u8>,
    /// Where the address is given.
    pub(super) at: Position,
    role: VipRole,
    pub(super) gateway: VipGateway,
    /// Where that is given.
    pub(super) gateway_at: Option<Position>,
    lease: Lease,
}

/// How long the kernel keeps it.
#[derive(Clone, Copy)]
enum Lease {
    AsTheCluster,
    Own(Option<Duration>),
}

impl FurtherVip {
    /// With the cluster's limits where it has none of its own. `gateway`: the cluster's, which may be named once more.
    pub(super) fn policy(&self, cluster: &VipPolicy, gateway: Option<IpAddr>) -> VipPolicy {
        let lease = match self.lease {
            Lease::AsTheCluster => cluster.lease,
            Lease::Own(lease) => lease,
        };
        VipPolicy {
            address: self.address,
            prefix: self.prefix,
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
    let mut gateway = (VipGateway::TheClusters, None);
    let mut own_lease = Lease::AsTheCluster;
    for row in rows {
        let told = match (row.key.as_str(), &row.value) {
            ("address", value) => vip(value).map(|vip| found = Some((vip, row.value_at))),
            ("role", value) => role_of(value).map(|given| role = given),
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
        gateway: gateway.0,
        gateway_at: gateway.1,
        lease: own_lease,
    })
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
