//! Clients' accounts that a failover would lock out: those that come without TLS and are in no other member's password cache
//! (docs/clients.md). Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::group::answered;
use super::line::Line;
use super::server::Asked;

/// By name: who is connected without TLS somewhere, and has not logged in somewhere else since that server's start.
pub(super) fn line(asked: &[Asked]) -> Line {
    let name = "clients-without-tls";
    let known = || {
        answered(asked).filter_map(|(address, said)| {
            Some((address, said.without_tls.as_ref().ok()?, said.logged_in.as_ref().ok()?))
        })
    };
    let without_tls: BTreeSet<&String> = known().flat_map(|(_, without_tls, _)| without_tls).collect();
    let mut at_risk: BTreeMap<&String, Vec<String>> = BTreeMap::new();
    for account in &without_tls {
        let cold = known().filter(|(_, _, logged_in)| !logged_in.contains(account));
        for (address, ..) in cold {
            at_risk.entry(account).or_default().push(address.to_string());
        }
    }
    if at_risk.is_empty() {
        let all: Vec<&str> = without_tls.into_iter().map(String::as_str).collect();
        return match (known().next(), all.is_empty()) {
            (None, _) => Line::not_looked_at(name, "no server shows who is connected", "see grant-select"),
            (_, true) => Line::ok(name, "nobody is connected over TCP without TLS"),
            (_, false) => Line::ok(
                name,
                format!("{} connected without TLS, and known to every member that answers", all.join(", ")),
            ),
        };
    }
    let each: Vec<String> = at_risk
        .iter()
        .map(|(account, on)| format!("{account} has never logged in on {}", on.join(", ")))
        .collect();
    Line::advice(
        name,
        format!(
            "connected without TLS: {}. With caching_sha2_password a failover there ends in \"Access denied\"",
            each.join("; ")
        ),
        "TLS in the application; or log in once on each server with that account, over TLS or by the socket (docs/clients.md)",
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::server::tests::all_asked;
    use super::*;
    use crate::check::line::Level;

    #[test]
    fn an_account_without_tls_that_another_member_does_not_know_is_named_with_that_member() {
        let mut asked = all_asked();
        asked[0].said.as_mut().unwrap().without_tls = Ok(vec!["app".into(), "old".into()]);
        asked[0].said.as_mut().unwrap().logged_in.as_mut().unwrap().push("old".into());
        let line = line(&asked);
        assert_eq!(line.level, Level::Advice);
        assert!(line.says.contains("old has never logged in on 10.77.0.12, 10.77.0.13"), "{line}");
        assert!(!line.says.contains("app has"), "{line}");
    }

    #[test]
    fn accounts_that_all_members_know_are_no_risk() {
        let mut asked = all_asked();
        asked[0].said.as_mut().unwrap().without_tls = Ok(vec!["app".into()]);
        assert_eq!(line(&asked).level, Level::Ok);
        assert_eq!(line(&all_asked()).level, Level::Ok);
        assert_eq!(line(&[]).level, Level::Advice, "unknown is not well");
    }
}
