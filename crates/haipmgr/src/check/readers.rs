//! Reader VIPs: whether there are as many as suit the group, and whether their limit can be kept. Pure.

use decide::policy::{Policy, WhenNoReader};

use super::group::answered;
use super::line::Line;
use super::server::Asked;

/// All about them.
pub(super) fn lines(policy: &Policy, asked: &[Asked]) -> Vec<Line> {
    let vips = policy.reader_vips().count();
    let mut lines = vec![how_many(vips, policy.group.members.len().saturating_sub(1))];
    if vips > 0 {
        lines.extend(behind(policy, asked));
    }
    lines
}

/// One VIP is one host: with as many as there are secondaries each has one.
fn how_many(vips: usize, secondaries: usize) -> Line {
    let name = "readers";
    let suits = format!("{secondaries} suit the group, one for each secondary");
    match (vips, secondaries) {
        (0, _) => Line::ok(name, format!("no reader VIPs; {suits}")),
        (_, 0) => Line::advice(
            name,
            format!("{vips} reader VIPs and no secondary: when_no_reader says who has them"),
            "add a member, or take the reader VIPs out of the file",
        ),
        (vips, secondaries) if vips > secondaries && !vips.is_multiple_of(secondaries) => Line::advice(
            name,
            format!(
                "{vips} reader VIPs for {secondaries} secondaries: some have {} and some {}; {suits}",
                vips / secondaries,
                vips / secondaries + 1
            ),
            format!("{secondaries} reader VIPs, or a multiple of it"),
        ),
        (vips, secondaries) if vips < secondaries => Line::ok(
            name,
            format!(
                "{vips} reader VIPs for {secondaries} secondaries: {} of them serve no readers by a VIP; {suits}",
                secondaries - vips
            ),
        ),
        _ => Line::ok(name, format!("{vips} reader VIPs for {secondaries} secondaries: all have as many")),
    }
}

/// Whether `reader_max_behind` can be kept, by what the servers show now.
fn behind(policy: &Policy, asked: &[Asked]) -> Option<Line> {
    let name = "reader-max-behind";
    let limits = &policy.group.readers;
    if limits.max_transactions.is_none() && limits.max_age.is_none() {
        return Some(Line::ok(name, "no limit: a secondary serves readers however far it is behind"));
    }
    let secondaries: Vec<_> = answered(asked)
        .filter(|(_, said)| !said.leads())
        .filter_map(|(address, said)| Some((address, said.own_row()?)))
        .filter(|(_, row)| row.state == "ONLINE")
        .collect();
    let unknown: Vec<String> = secondaries
        .iter()
        .filter(|(_, row)| row.queue.is_none())
        .map(|(address, _)| address.to_string())
        .collect();
    if !unknown.is_empty() {
        return Some(Line::advice(
            name,
            format!("how far it is behind is not shown by {}: it counts as not behind", unknown.join(", ")),
            "MySQL 8.0.2 or later; see grant-select",
        ));
    }
    let most = limits.max_transactions?;
    let over = secondaries.iter().filter(|(_, row)| row.queue.is_some_and(|queue| queue > most)).count();
    if over > 0 && over == secondaries.len() {
        let then = match limits.when_none {
            WhenNoReader::Primary => "the primary has",
            WhenNoReader::Nobody => "nobody has",
            WhenNoReader::AnyOnline => "any member has",
        };
        return Some(Line::advice(
            name,
            format!(
                "every secondary has more than {most} transactions to apply: {then} the reader VIPs while that lasts"
            ),
            "a larger reader_max_behind, or secondaries that apply faster (replica_parallel_workers, smaller transactions)",
        ));
    }
    Some(Line::ok(
        name,
        format!("{} of {} secondaries are within it", secondaries.len() - over, secondaries.len()),
    ))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeMap;
    use std::net::IpAddr;

    use decide::net::VipId;
    use decide::policy::{GroupPolicy, VipPolicy, VipRole};

    use super::super::server::tests::all_asked;
    use super::*;
    use crate::check::line::Level;

    fn policy(vips: u16) -> Policy {
        let members = (11..=13).map(|last| (IpAddr::from([10, 77, 0, last]), "eth0".to_owned()));
        let mut policy = Policy::new(
            GroupPolicy::new(members.collect::<BTreeMap<_, _>>()),
            VipPolicy::new([10, 77, 0, 100].into()),
        );
        let reader = |number: u16| {
            let address = IpAddr::from([10, 77, 1, u8::try_from(number).unwrap()]);
            (VipId(number), VipPolicy { role: VipRole::Reader, ..VipPolicy::new(address) })
        };
        policy.vips.extend((1..=vips).map(reader));
        policy
    }

    #[test]
    fn as_many_as_secondaries_suit_and_what_can_not_be_even_is_named() {
        let of = |vips| how_many(vips, 2);
        for (vips, level) in [
            (0, Level::Ok),
            (1, Level::Ok),
            (2, Level::Ok),
            (3, Level::Advice),
            (4, Level::Ok),
            (5, Level::Advice),
        ] {
            assert_eq!(of(vips).level, level, "{vips}: {}", of(vips).says);
        }
        assert_eq!(of(2).says, "2 reader VIPs for 2 secondaries: all have as many");
        assert!(of(3).says.contains("some have 1 and some 2"), "{}", of(3).says);
        assert_eq!(how_many(1, 0).level, Level::Advice);
    }

    #[test]
    fn a_limit_that_no_secondary_keeps_now_is_named_with_who_has_the_vips_then() {
        let mut asked = all_asked();
        let of = |asked: &[Asked], policy: &Policy| lines(policy, asked).into_iter().nth(1);
        assert_eq!(of(&asked, &policy(0)), None);
        assert_eq!(of(&asked, &policy(2)).unwrap().level, Level::Ok);
        for one in &mut asked {
            for row in one.said.as_mut().unwrap().members.as_mut().unwrap() {
                row.queue = Some(25_001);
            }
        }
        let behind = of(&asked, &policy(2)).unwrap();
        assert_eq!(behind.level, Level::Advice);
        assert!(
            behind.says.contains("more than 25000") && behind.says.contains("the primary has"),
            "{behind:?}"
        );
        let mut none = policy(2);
        none.group.readers.max_transactions = None;
        assert_eq!(of(&asked, &none).unwrap().level, Level::Ok);
        for one in &mut asked {
            for row in one.said.as_mut().unwrap().members.as_mut().unwrap() {
                row.queue = None;
            }
        }
        assert!(of(&asked, &policy(2)).unwrap().says.contains("not shown by"));
    }
}
