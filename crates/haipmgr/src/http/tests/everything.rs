//! What an agent shows to which everything has happened once.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use decide::checks::{Finding, Stages};
use decide::input::Why;
use decide::status::Status;
use decide::time::Time;
use serde_json::json;

use super::super::metrics::{self, Shown};
use crate::control::report::{ClusterReport, Report, Told};
use crate::journal::Lines;
use crate::tally::Tally;

/// `/metrics` of it.
pub(super) fn text() -> String {
    let told = Told::Status(Box::new(status()));
    let clusters = vec![ClusterReport { name: "orders".to_owned(), told }];
    let report = Report { version: "1".to_owned(), pid: 1, up_ms: 1, clusters };
    let tally = Tally::default();
    let parts = ["noticed", "elected", "claimed", "announced", "total"].map(|part| (part, 1.0));
    for kind in ["came", "left"] {
        tally.switched("10.77.0.100".parse().unwrap(), kind, "SWITCHOVER", &parts);
    }
    let unknown = || (Finding::Unknown(Why::TimedOut(Duration::from_secs(1))), Time(0));
    tally.looked(&Stages { member: unknown(), server: unknown(), primary: unknown(), gateway: unknown() });
    tally.polled(Duration::from_millis(1));
    tally.has_hook("on_acquire");
    let counts = [tally.counts()];
    let lines = Lines { info: 1, error: 1, switch: 1 };
    metrics::text(&Shown { report: &report, counts: &counts, lines }).unwrap()
}

fn status() -> Status {
    let stage = |stage: &str| json!({ "stage": stage, "found": "passed", "words": "", "age_ms": 1 });
    let vip = |address: &str, role: &str| {
        json!({
            "address": address, "role": role, "wanted": "yes", "state": "holding", "words": "", "interface": "eth0",
            "for_ms": 1, "lease_left_ms": 1, "proof_age_ms": 1,
        })
    };
    let status = json!({
        "mode": "running", "member": "10.77.0.11", "waits_for": [], "pause_left_ms": null, "last_switch": null,
        "stages": [stage("member"), stage("server"), stage("primary"), stage("gateway")],
        "vips": [vip("10.77.0.100", "writer"), vip("10.77.0.101", "reader")],
        "group": { "age_ms": 1, "view": "1:1", "majority": true, "members": [] },
        "readers": {
            "own": "ready", "listens": true, "reach": { "answered": 2, "others": 2, "enough": true }, "backlog": { "asked_ms": 1, "transactions": 1, "behind_ms": 1, "unknown": null },
            "words": [{ "member": "10.77.0.12", "fitness": "ready", "age_ms": 1, "counts": true }],
            "placed": [{ "vip": "10.77.0.101", "member": "10.77.0.11" }],
        },
    });
    serde_json::from_value(status).unwrap()
}
