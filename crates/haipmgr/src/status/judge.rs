//! Whether what was seen is well, and what is not. Pure.

use std::net::IpAddr;
use std::time::Duration;

use decide::checks::Stage;
use decide::status::{Found, Has, Mode, PlacedStatus, StageStatus, Status};
use serde::Serialize;

use super::holders::{Holder, holders};
use super::member_row::{MemberRole, MemberRow, member_rows};
use super::picture::{Agent, Limits, Picture};
use super::words::{NOT_KNOWN, ago, ms, plain};

/// How it is, the better before the worse: what the exit status says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Health {
    /// Each member ONLINE, each VIP on the primary, each stage known.
    Well,
    /// Something is not so, or not known.
    Degraded,
    /// No agent answers on this host.
    NoAgent,
    /// Nobody holds a VIP.
    NobodyHolds,
}

impl Health {
    /// `haipmgr status` ends with it; 2 is a wrong command line or configuration.
    pub(crate) fn exit_status(self) -> u8 {
        match self {
            Self::Well => 0,
            Self::Degraded => 1,
            Self::NoAgent => 3,
            Self::NobodyHolds => 4,
        }
    }

    /// In words.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Well => "well",
            Self::Degraded => "degraded",
            Self::NoAgent => "no agent on this host",
            Self::NobodyHolds => "nobody holds a VIP",
        }
    }
}

/// How one cluster is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Judged {
    /// The worst that was found.
    pub(crate) health: Health,
    /// What is not well, a sentence each, the worst first.
    pub(crate) remarks: Vec<(Health, String)>,
}

/// Looks at what was seen.
pub(crate) fn judge(picture: &Picture) -> Judged {
    let rows = member_rows(picture);
    let mut remarks = Vec::new();
    remarks.extend(about_agent(picture));
    about_vips(picture, &rows, &mut remarks);
    remarks.extend(rows.iter().filter_map(about_member).map(|words| (Health::Degraded, words)));
    remarks.extend(about_agents(picture, &rows).into_iter().map(|words| (Health::Degraded, words)));
    if let Some(status) = picture.status() {
        let stages = status.stages.iter().filter_map(|stage| about_stage(stage, picture.limits));
        remarks.extend(stages.map(|words| (Health::Degraded, words)));
        remarks.extend(about_mode(status).map(|words| (Health::Degraded, words)));
    }
    // Worst first; the rest in the order in which it was found.
    remarks.sort_by_key(|(health, _)| std::cmp::Reverse(*health));
    let health = remarks.iter().map(|(health, _)| *health).max().unwrap_or(Health::Well);
    Judged { health, remarks }
}

/// A stage's age is more than it should be.
pub(super) fn is_old(stage: &StageStatus, limits: Limits) -> bool {
    let limit = match stage.stage {
        Stage::Server | Stage::Primary => limits.server,
        Stage::Member | Stage::Gateway => limits.other,
    };
    stage.age_ms.is_some_and(|age| ms(age) > limit)
}

fn about_agent(picture: &Picture) -> Option<(Health, String)> {
    match &picture.agent {
        Agent::Runs { .. } => None,
        Agent::None(why) => Some((Health::NoAgent, why.clone())),
        Agent::Unknown(why) => {
            Some((Health::Degraded, format!("the agent's own word is {NOT_KNOWN}: {why}")))
        }
    }
}

fn about_vips(picture: &Picture, rows: &[MemberRow], remarks: &mut Vec<(Health, String)>) {
    let is_primary = |row: &&MemberRow| row.role == Some(MemberRole::Primary);
    let primaries: Vec<_> = rows.iter().filter(is_primary).map(|row| row.address).collect();
    if primaries.is_empty() {
        remarks.push((Health::Degraded, "no member is known to be the primary".to_owned()));
    }
    if let [one, other, ..] = primaries[..] {
        remarks.push((Health::Degraded, format!("{one} and {other} both count as the primary")));
    }
    for vip in &picture.vips {
        let found = match holders(picture, *vip) {
            Err(why) => Some((Health::Degraded, format!("who holds {vip} is {NOT_KNOWN}: {why}"))),
            Ok(all) => match &all[..] {
                held if picture.readers.contains(vip) => about_reader_vip(picture, *vip, held, &primaries),
                [] => Some((Health::NobodyHolds, format!("nobody holds {vip}: no host answers for it"))),
                [one] => not_the_primarys(*vip, one, &primaries),
                several => Some((Health::Degraded, several_hold(*vip, several))),
            },
        };
        remarks.extend(found);
        let believes = picture.status().and_then(|status| status.vips.iter().find(|own| own.address == *vip));
        let here = picture.kernel.as_ref().map(|there| there.iter().any(|own| own.address == *vip));
        if believes.is_some_and(|own| own.state == Has::Holding) && here == Ok(false) {
            let words = format!("the agent takes {vip} for its own, and this host's kernel does not have it");
            remarks.push((Health::Degraded, words));
        }
    }
}

fn not_the_primarys(vip: IpAddr, holder: &Holder, primaries: &[IpAddr]) -> Option<(Health, String)> {
    let [primary] = primaries else { return None };
    match holder.member {
        Some(member) if member == *primary => None,
        Some(member) => {
            Some((Health::Degraded, format!("{vip} is on {member}, and {primary} is the primary")))
        }
        None => Some((Health::Degraded, format!("{} answers for {vip}", stranger(holder)))),
    }
}

/// A reader VIP belongs on a secondary that is fit, and where the agent here says so.
fn about_reader_vip(
    picture: &Picture,
    vip: IpAddr,
    held: &[Holder],
    primaries: &[IpAddr],
) -> Option<(Health, String)> {
    let place = picture.status().and_then(|status| status.readers.as_ref()?.place_of(vip));
    let words = match held {
        [] => match place {
            Some(PlacedStatus { member: None, .. }) => {
                format!("nobody holds {vip}, for readers: no member is fit to serve them")
            }
            Some(_) | None => format!("nobody holds {vip}, for readers: no host answers for it"),
        },
        [Holder { member: Some(member), .. }] => match place {
            Some(PlacedStatus { member: Some(place), .. }) if place != member => {
                format!("{vip}, for readers, is on {member}, and belongs on {place}")
            }
            _ if primaries.contains(member) => {
                format!("{vip}, for readers, is on {member}, the primary: no secondary is fit to serve them")
            }
            _ => return None,
        },
        [one] => format!("{} answers for {vip}", stranger(one)),
        several => several_hold(vip, several),
    };
    Some((Health::Degraded, words))
}

fn stranger(holder: &Holder) -> String {
    let mac = holder.mac.map_or_else(|| "this host".to_owned(), |mac| format!("the host with {mac}"));
    format!("{mac}, which is no member as far as is known,")
}

fn several_hold(vip: IpAddr, holders: &[Holder]) -> String {
    let one = |holder: &Holder| holder.member.map_or_else(|| stranger(holder), |member| member.to_string());
    let all: Vec<_> = holders.iter().map(one).collect();
    format!("{vip} has {} holders: {}", all.len(), all.join(" and "))
}

fn about_member(row: &MemberRow) -> Option<String> {
    let state = row.state.as_deref().map(plain);
    match (&row.silent, state) {
        (None, _) if row.is_online() && row.age.unwrap_or_default() < Duration::from_secs(1) => None,
        (None, Some(state)) if row.is_online() => {
            let age = ago(row.age.unwrap_or_default());
            Some(format!("{} was {state} {age}: that is old", row.address))
        }
        (None, Some(state)) => Some(format!("{} is {state}, not ONLINE", row.address)),
        (None, None) => Some(format!("{}: its state is {NOT_KNOWN}", row.address)),
        (Some(why), state) => {
            let by = match (row.said_by, row.age) {
                (Some(super::member_row::SaidBy::Itself), Some(age)) => {
                    format!("by its own word, {}", ago(age))
                }
                (Some(super::member_row::SaidBy::Member(other)), Some(age)) => {
                    format!("by {other}'s word, {}", ago(age))
                }
                (_, age) => format!("by this host's agent's word, {}", ago(age.unwrap_or_default())),
            };
            let shown = state
                .map_or_else(|| format!("its state is {NOT_KNOWN}"), |state| format!("it was {state} {by}"));
            Some(format!("{}: its server does not answer ({}); {shown}", row.address, plain(why)))
        }
    }
}

/// The agents of the other hosts, as far as their servers show them; and whether all have the same configuration.
fn about_agents(picture: &Picture, rows: &[MemberRow]) -> Vec<String> {
    let without = rows.iter().filter(|row| row.agent == Ok(None) && picture.own != Some(row.address));
    let mut remarks: Vec<String> = without
        .map(|row| format!("{}: no agent is logged in to its server: it takes no VIP there", row.address))
        .collect();
    let known: Vec<_> =
        rows.iter().filter_map(|row| Some((row.address, row.agent.as_ref().ok()?.as_ref()?))).collect();
    // This host's is the measure, or else the first.
    let own = known.iter().find(|(address, _)| picture.own == Some(*address)).or(known.first());
    if let Some((measure, ours)) = own {
        remarks.extend(known.iter().filter_map(|(address, theirs)| {
            let parts = ours.configuration.differences(&theirs.configuration);
            (!parts.is_empty()).then(|| {
                format!(
                    "the configurations of {measure} and {address} differ ({}): haipmgr check says what to do",
                    parts.join(", ")
                )
            })
        }));
    }
    remarks
}

fn about_stage(stage: &StageStatus, limits: Limits) -> Option<String> {
    let old = is_old(stage, limits);
    let age = stage.age_ms.map_or_else(|| "never asked".to_owned(), |age| ago(ms(age)));
    match stage.found {
        Found::Passed | Found::Secondary if !old => None,
        Found::Passed | Found::Secondary => {
            Some(format!("{}: {} was found {age}: that is old", stage.stage, plain(&stage.words)))
        }
        Found::Failed => Some(format!("{} fails: {} ({age})", stage.stage, plain(&stage.words))),
        Found::Unknown => Some(format!("{} is {} ({age})", stage.stage, plain(&stage.words))),
    }
}

fn about_mode(status: &Status) -> Option<String> {
    match status.mode {
        Mode::Running => None,
        Mode::Paused => {
            let left = status
                .pause_left_ms
                .map_or_else(String::new, |left| format!(", for another {} s", left / 1000));
            Some(format!(
                "the agent is paused{left}: it takes no VIP and lets go of none by choice until then, or haipmgr resume"
            ))
        }
        Mode::Drained => {
            Some("this host is drained: it takes no VIP until haipmgr undrain or the next boot".to_owned())
        }
        Mode::Ending => Some("the agent was told to stop, and is about to end".to_owned()),
        Mode::Other => Some("the agent is in a mode that this version does not know".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::{hangs, ip, mac, shown, shows, status_of, vip, well, well_from_db3};
    use super::*;

    fn says(picture: &Picture, health: Health, words: &str) {
        let judged = judge(picture);
        assert_eq!(judged.health, health, "{judged:?}");
        assert!(judged.remarks.iter().any(|(_, remark)| remark.contains(words)), "{words:?}: {judged:?}");
    }

    #[test]
    fn a_whole_group_is_well_seen_from_the_holder_and_from_another_host() {
        for picture in [well(), well_from_db3()] {
            assert_eq!(judge(&picture), Judged { health: Health::Well, remarks: Vec::new() });
        }
    }

    #[test]
    fn a_vip_that_no_host_answers_for_is_held_by_nobody_and_that_is_worse_than_no_agent() {
        let mut picture = well();
        picture.kernel = Ok(Vec::new());
        picture.agent = Agent::None("no agent runs here".to_owned());
        says(&picture, Health::NobodyHolds, "nobody holds 10.77.0.100");
        assert_eq!(judge(&picture).health.exit_status(), 4);
    }

    #[test]
    fn without_the_right_to_ask_it_is_not_known_who_holds_a_vip_and_never_nobody() {
        let mut picture = well_from_db3();
        picture.segment = Err("needs root, or the capability CAP_NET_RAW".to_owned());
        says(&picture, Health::Degraded, "who holds 10.77.0.100 is not known: needs root");
        assert_eq!(judge(&picture).health.exit_status(), 1);
        let mut holders_own = well();
        holders_own.segment = picture.segment;
        assert_eq!(judge(&holders_own).health, Health::Well, "the kernel here knows it all the same");
    }

    #[test]
    fn two_holders_are_named() {
        let mut picture = well();
        if let Ok(answers) = &mut picture.segment {
            answers.entry(vip()).or_default().insert(mac(2), Duration::ZERO);
        }
        says(&picture, Health::Degraded, "10.77.0.100 has 2 holders: 10.77.0.11 and 10.77.0.12");
    }

    #[test]
    fn a_host_that_is_no_member_is_named_by_its_hardware_address() {
        let mut picture = well_from_db3();
        if let Ok(answers) = &mut picture.segment {
            answers.insert(vip(), [(mac(0x66), Duration::ZERO)].into());
        }
        says(&picture, Health::Degraded, "the host with 02:00:00:00:00:66, which is no member");
    }

    #[test]
    fn a_vip_that_is_not_on_the_primary_is_degraded() {
        let mut picture = well_from_db3();
        if let Ok(answers) = &mut picture.segment {
            answers.insert(vip(), [(mac(2), Duration::ZERO)].into());
        }
        says(&picture, Health::Degraded, "10.77.0.100 is on 10.77.0.12, and 10.77.0.11 is the primary");
    }

    #[test]
    fn a_reader_vip_belongs_on_a_secondary_and_where_it_is_placed() {
        use decide::status::ReadersStatus;
        let reader = ip(101);
        let with = |held_by: Option<u8>, place: Option<u8>| {
            let mut picture = well();
            picture.vips.push(reader);
            picture.readers.insert(reader);
            if let Ok(answers) = &mut picture.segment {
                answers.insert(
                    reader,
                    held_by.map(|number| (mac(number), Duration::ZERO)).into_iter().collect(),
                );
                answers.insert(ip(11), [(mac(1), Duration::ZERO)].into());
            }
            let member = place.map(|number| ip(10 + number));
            status_of(&mut picture).readers = Some(ReadersStatus {
                own: None,
                backlog: None,
                listens: None,
                reach: None,
                words: Vec::new(),
                placed: Some(vec![PlacedStatus { vip: reader, member }]),
            });
            picture
        };
        assert_eq!(judge(&with(Some(2), Some(2))).health, Health::Well);
        says(&with(Some(2), Some(3)), Health::Degraded, "is on 10.77.0.12, and belongs on 10.77.0.13");
        says(&with(Some(1), Some(1)), Health::Degraded, "10.77.0.11, the primary: no secondary is fit");
        says(
            &with(None, Some(2)),
            Health::Degraded,
            "nobody holds 10.77.0.101, for readers: no host answers",
        );
        says(&with(None, None), Health::Degraded, "no member is fit to serve them");
    }

    #[test]
    fn a_dead_agent_is_status_3() {
        let mut picture = well();
        picture.agent = Agent::None("no agent runs here with this configuration".to_owned());
        says(&picture, Health::NoAgent, "no agent runs here");
        assert_eq!(judge(&picture).health.exit_status(), 3);
        picture.agent = Agent::Unknown("only root may".to_owned());
        says(&picture, Health::Degraded, "the agent's own word is not known: only root may");
    }

    #[test]
    fn another_host_without_an_agent_or_with_another_configuration_is_degraded_and_another_version_is_not() {
        let mut picture = well();
        shows(&mut picture, 2, None);
        says(&picture, Health::Degraded, "10.77.0.12: no agent is logged in to its server");
        shows(&mut picture, 2, Some(shown("0.1.0", 8)));
        says(&picture, Health::Degraded, "the configurations of 10.77.0.11 and 10.77.0.12 differ (limits)");
        shows(&mut picture, 2, Some(shown("0.2.0", 7)));
        assert_eq!(judge(&picture).health, Health::Well, "that is how an upgrade goes");
        shows(&mut picture, 1, None);
        assert_eq!(judge(&picture).health, Health::Well, "of this host's agent its own word counts");
    }

    #[test]
    fn a_hung_server_is_degraded_and_what_the_others_say_of_it_is_told_as_theirs() {
        let mut picture = well();
        hangs(&mut picture, 3, Some(12), "UNREACHABLE");
        says(&picture, Health::Degraded, "it was UNREACHABLE by 10.77.0.11's word, now");
    }

    #[test]
    fn what_a_server_said_before_it_hung_is_told_with_its_age() {
        let mut picture = well();
        hangs(&mut picture, 3, Some(12), "ONLINE");
        for server in picture.servers.iter_mut().filter(|server| server.address != ip(13)) {
            (server.said, server.silent) = (None, Some("refused".to_owned()));
        }
        says(
            &picture,
            Health::Degraded,
            "10.77.0.13: its server does not answer (no answer within 200 ms); it was ONLINE by its own word, 12 s ago",
        );
        says(&picture, Health::Degraded, "10.77.0.12: its server does not answer (refused)");
    }

    #[test]
    fn an_old_fact_of_the_agent_is_not_taken_for_a_current_one() {
        let mut picture = well();
        status_of(&mut picture).stages[2].age_ms = Some(12_000);
        says(&picture, Health::Degraded, "stage 3 (primary): as it must be was found 12 s ago: that is old");
        let mut looked_at_seldom = well();
        status_of(&mut looked_at_seldom).stages[0].age_ms = Some(12_000);
        assert_eq!(
            judge(&looked_at_seldom).health,
            Health::Well,
            "changes are told; it is looked at each 7 s"
        );
    }

    #[test]
    fn an_unknown_stage_and_a_drained_host_are_degraded() {
        let mut picture = well();
        let stage = &mut status_of(&mut picture).stages[3];
        (stage.found, stage.words, stage.age_ms) = (Found::Unknown, "not asked yet".to_owned(), None);
        says(&picture, Health::Degraded, "stage 4 (gateway) is not asked yet (never asked)");
        let mut drained = well();
        status_of(&mut drained).mode = Mode::Drained;
        says(&drained, Health::Degraded, "this host is drained");
    }

    #[test]
    fn a_pause_is_shown_with_what_is_left_of_it() {
        let mut paused = well();
        let status = status_of(&mut paused);
        (status.mode, status.pause_left_ms) = (Mode::Paused, Some(90_400));
        says(&paused, Health::Degraded, "the agent is paused, for another 90 s");
    }

    #[test]
    fn an_agent_that_believes_in_a_vip_which_the_kernel_does_not_have_is_contradicted() {
        let mut picture = well();
        picture.kernel = Ok(Vec::new());
        says(&picture, Health::NobodyHolds, "the agent takes 10.77.0.100 for its own");
    }
}
