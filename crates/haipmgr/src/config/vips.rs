//! `[[cluster.vips]]`: the VIPs of a cluster beside its first.

use std::net::IpAddr;
use std::time::Duration;

use decide::policy::{VipPolicy, VipRole};

use super::apply::{lease, unknown, vip};
use super::draft::Draft;
use super::problem::{Position, Problems};
use super::value::{Entry, Value};

/// A cluster has at most this many beside the first.
const MOST: usize = 63;
const KEYS: [&str; 3] = ["address", "role", "lease"];

/// One of them, as the file has it.
pub(super) struct FurtherVip {
    pub(super) address: IpAddr,
    prefix: Option<u8>,
    /// Where the address is given.
    pub(super) at: Position,
    role: VipRole,
    lease: Lease,
}

/// How long the kernel keeps it.
#[derive(Clone, Copy)]
enum Lease {
    AsTheCluster,
    Own(Option<Duration>),
}

impl FurtherVip {
    /// With the cluster's limits where it has none of its own.
    pub(super) fn policy(&self, cluster: &VipPolicy) -> VipPolicy {
        let lease = match self.lease {
            Lease::AsTheCluster => cluster.lease,
            Lease::Own(lease) => lease,
        };
        VipPolicy { address: self.address, prefix: self.prefix, role: self.role, lease, ..cluster.clone() }
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
    let mut own_lease = Lease::AsTheCluster;
    for row in rows {
        let told = match (row.key.as_str(), &row.value) {
            ("address", value) => vip(value).map(|vip| found = Some((vip, row.value_at))),
            ("role", value) => role_of(value).map(|given| role = given),
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
    found.map(|((address, prefix), at)| FurtherVip { address, prefix, at, role, lease: own_lease })
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
