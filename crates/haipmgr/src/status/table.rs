//! The table that a person reads. Pure.

use std::net::IpAddr;

use comfy_table::presets::ASCII_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};
use decide::facts::Reach;
use decide::status::{BacklogStatus, PlacedStatus, ReadersStatus, VipStatus, Wanted, WordStatus};

use super::holders::{Holder, holders};
use super::judge::{Health, Judged, is_old, judge};
use super::member_row::{MemberRole, MemberRow, SaidBy, member_rows};
use super::picture::{Agent, AgentShown, Picture};
use super::words::{NOT_KNOWN, ago, if_old, length, ms, or_not_known, plain};

/// How it is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Look {
    /// With everything that is known.
    pub(crate) extended: bool,
    /// In colours.
    pub(crate) colours: bool,
}

impl Look {
    fn painted(self, health: Health, text: &str) -> String {
        let colour = match health {
            Health::Well => "32",
            Health::Degraded => "33",
            Health::NoAgent | Health::NobodyHolds => "31",
        };
        if self.colours { format!("\u{1b}[{colour}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// All clusters, one after the other.
pub(crate) fn table(pictures: &[Picture], look: Look) -> String {
    pictures.iter().map(|picture| one(picture, look)).collect::<Vec<_>>().join("\n")
}

fn one(picture: &Picture, look: Look) -> String {
    let judged = judge(picture);
    let health = look.painted(judged.health, judged.health.words());
    let mut lines = vec![format!("{}: {health}", plain(&picture.cluster))];
    lines.extend(picture.vips.iter().map(|vip| vip_line(picture, *vip)));
    lines.push(members(picture, look));
    lines.extend(agent_lines(picture, look));
    lines.extend(remark_lines(&judged, look));
    lines.join("\n") + "\n"
}

fn vip_line(picture: &Picture, vip: IpAddr) -> String {
    let held = match holders(picture, vip) {
        Err(why) => format!("{NOT_KNOWN}: {why}"),
        Ok(all) if all.is_empty() => "nobody".to_owned(),
        Ok(all) => all.iter().map(holder).collect::<Vec<_>>().join(" and "),
    };
    let role = if picture.readers.contains(&vip) { " (for readers)" } else { "" };
    format!("VIP {vip}{role}: {held}")
}

fn holder(holder: &Holder) -> String {
    let who = match (holder.member, holder.mac) {
        (Some(member), _) => member.to_string(),
        (None, Some(mac)) => format!("a host that is no known member ({mac})"),
        (None, None) => "this host, which is no member".to_owned(),
    };
    let Some(interface) = &holder.interface else {
        return format!("{who} (answers on the segment, {})", ago(holder.age));
    };
    let left = holder.lease_left.map_or_else(
        || "no lease: the kernel keeps it for ever".to_owned(),
        |left| format!("the kernel keeps it for {} s more, unless the lease is renewed", left.as_secs()),
    );
    format!("{who} (this host, {}; {left})", plain(interface))
}

fn members(picture: &Picture, look: Look) -> String {
    let mut table = Table::new();
    table.load_style(ASCII_FULL_CONDENSED);
    let mut header = vec!["Member", "Host", "Role", "State", "Queue", "Version", "VIPs", "Seen"];
    if look.extended {
        header.extend(["Writable", "Agent", "Configuration", "Said by", "Server UUID"]);
    }
    table.set_header(header);
    for row in member_rows(picture) {
        table.add_row(cells(&row, look));
    }
    if let Some(queue) = table.column_mut(4) {
        queue.set_cell_alignment(CellAlignment::Right);
    }
    table.to_string()
}

fn cells(row: &MemberRow, look: Look) -> Vec<String> {
    let age = row.age.unwrap_or_default();
    let state = row
        .state
        .as_deref()
        .map_or_else(|| NOT_KNOWN.to_owned(), |state| format!("{}{}", plain(state), if_old(age)));
    let state = if row.silent.is_some() { format!("no answer; {state}") } else { state };
    let mut cells = vec![
        or_not_known(row.name.as_deref()),
        row.address.to_string(),
        role(row.role),
        state,
        row.queue.map_or_else(|| NOT_KNOWN.to_owned(), |queue| queue.to_string()),
        or_not_known(row.version.as_deref()),
        vips(row),
        row.age.map_or_else(|| "never".to_owned(), ago),
    ];
    if look.extended {
        let writable = row.writable.map_or(NOT_KNOWN, |writable| if writable { "yes" } else { "no" });
        cells.extend([writable.to_owned(), agent_version(row), agent_configuration(row)]);
        cells.extend([said_by(row.said_by), or_not_known(row.id.as_deref())]);
    }
    cells
}

pub(super) fn role(role: Option<MemberRole>) -> String {
    match role {
        Some(MemberRole::Primary) => "Primary",
        Some(MemberRole::Secondary) => "Secondary",
        Some(MemberRole::None) => "none",
        None => NOT_KNOWN,
    }
    .to_owned()
}

pub(super) fn vips(row: &MemberRow) -> String {
    match row.vips.as_deref() {
        None => NOT_KNOWN.to_owned(),
        Some([]) => "none".to_owned(),
        Some(vips) => vips.iter().map(ToString::to_string).collect::<Vec<_>>().join(" "),
    }
}

/// The version of the agent that shows itself on this member's server.
pub(super) fn agent_version(row: &MemberRow) -> String {
    of_agent(row, |agent| plain(&agent.version))
}

/// The sum of what of its configuration must be the same everywhere.
pub(super) fn agent_configuration(row: &MemberRow) -> String {
    of_agent(row, |agent| agent.configuration.short())
}

fn of_agent(row: &MemberRow, what: impl Fn(&AgentShown) -> String) -> String {
    match &row.agent {
        Ok(Some(agent)) => what(agent),
        Ok(None) => "none".to_owned(),
        Err(_) => NOT_KNOWN.to_owned(),
    }
}

pub(super) fn said_by(by: Option<SaidBy>) -> String {
    match by {
        Some(SaidBy::Itself) => "itself".to_owned(),
        Some(SaidBy::Member(member)) => member.to_string(),
        Some(SaidBy::Agent) => "agent".to_owned(),
        None => "nobody".to_owned(),
    }
}

fn agent_lines(picture: &Picture, look: Look) -> Vec<String> {
    let (version, pid, up, status) = match &picture.agent {
        Agent::Runs { version, pid, up, status } => (version, pid, up, status),
        Agent::None(_) => return vec!["Agent on this host: none".to_owned()],
        Agent::Unknown(_) => return vec![format!("Agent on this host: {NOT_KNOWN}")],
    };
    let mode = format!("{:?}", status.mode).to_lowercase();
    let mut lines = vec![format!(
        "Agent on this host: haipmgr {}, process {pid}, {mode}, up {}",
        plain(version),
        length(*up)
    )];
    lines.extend(status.vips.iter().map(vip_word));
    lines.extend(status.readers.iter().flat_map(reader_lines));
    if look.extended {
        lines.extend(status.stages.iter().map(|stage| {
            let age = stage.age_ms.map_or_else(|| "never asked".to_owned(), |age| ago(ms(age)));
            let old = if is_old(stage, picture.limits) { ", OLD" } else { "" };
            format!("  {}: {} ({age}{old})", stage.stage, plain(&stage.words))
        }));
        if let Some(view) = status.group.as_ref().and_then(|group| group.view.as_ref()) {
            lines.push(format!("  view {}", plain(view)));
        }
    }
    lines.extend(status.waits_for.iter().map(|what| format!("  waits for {}", plain(what))));
    if let Some(switch) = &status.last_switch {
        lines.push(format!("  last switch here, {}: {}", ago(ms(switch.age_ms)), plain(&switch.words)));
    }
    lines
}

fn vip_word(vip: &VipStatus) -> String {
    let wanted = match vip.wanted {
        Wanted::Yes => "wanted here",
        Wanted::No => "not wanted here",
        Wanted::Unknown => "not known whether wanted here",
    };
    let since = vip.for_ms.map_or_else(String::new, |time| format!(" for {}", length(ms(time))));
    let state = format!("{:?}", vip.state).to_lowercase();
    let lease =
        vip.lease_left_ms.map_or_else(String::new, |left| format!("; lease {} left", length(ms(left))));
    let proof = vip.proof_age_ms.map_or_else(String::new, |age| format!("; last proof {}", ago(ms(age))));
    let gateway = vip.gateway.as_ref().map_or_else(String::new, |found| format!("; {}", plain(found)));
    format!("  {}: {wanted}, {state}{since}{lease}{proof}{gateway}: {}", vip.address, plain(&vip.words))
}

/// How fit each host is to serve readers, by its own word; where the reader VIPs belong.
fn reader_lines(readers: &ReadersStatus) -> Vec<String> {
    let own = readers.own.map_or_else(|| NOT_KNOWN.to_owned(), |own| own.to_string());
    let behind = match &readers.backlog {
        Some(BacklogStatus { transactions: Some(transactions), behind_ms: Some(age), asked_ms, .. }) => {
            let old = if *age > 0 { format!(", {} old", length(ms(*age))) } else { String::new() };
            format!(" ({transactions} transactions behind{old}{})", if_old(ms(*asked_ms)))
        }
        Some(BacklogStatus { unknown: Some(why), .. }) => {
            format!(" (how far its server is behind is {NOT_KNOWN}: {})", plain(why))
        }
        _ => String::new(),
    };
    let closed = if readers.listens == Some(false) { " (mysqld takes no new clients)" } else { "" };
    let cut_off = readers.reach.filter(Reach::is_cut_off).map_or_else(String::new, |reach| {
        let Reach { answered, others, .. } = reach;
        format!(" (cut off: only {answered} of {others} other members answer on the segment)")
    });
    let said = |word: &WordStatus| {
        let silent = if word.counts { "" } else { ", and nothing since" };
        format!(", {}: {}{}{silent}", word.member, word.fitness, if_old(ms(word.age_ms)))
    };
    let others: String = readers.words.iter().map(said).collect();
    let place = |placed: &PlacedStatus| {
        let member = placed.member.map_or_else(|| "nowhere".to_owned(), |member| format!("on {member}"));
        format!("{} {member}", placed.vip)
    };
    let placed = readers.placed.as_ref().map_or_else(
        || NOT_KNOWN.to_owned(),
        |placed| placed.iter().map(place).collect::<Vec<_>>().join(", "),
    );
    vec![
        format!("  to serve readers this host: {own}{closed}{cut_off}{behind}{others}"),
        format!("  where reader VIPs belong: {placed}"),
    ]
}

fn remark_lines(judged: &Judged, look: Look) -> Vec<String> {
    judged
        .remarks
        .iter()
        .map(|(health, words)| look.painted(*health, &format!("! {}", plain(words))))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::sample::{hangs, ip, status_of, well, well_from_db3};
    use super::*;

    fn shown(picture: &Picture) -> String {
        table(std::slice::from_ref(picture), Look::default())
    }

    #[test]
    fn a_whole_group_fits_on_a_page() {
        let text = shown(&well());
        let expected = "\
orders: well
VIP 10.77.0.100: 10.77.0.11 (this host, eth0; the kernel keeps it for 8 s more, unless the lease is renewed)
+--------+------------+-----------+--------+-------+---------+-------------+------+
| Member | Host       | Role      | State  | Queue | Version | VIPs        | Seen |
+=================================================================================+
| db1    | 10.77.0.11 | Primary   | ONLINE |     1 | 9.7.4   | 10.77.0.100 | now  |
| db2    | 10.77.0.12 | Secondary | ONLINE |     2 | 9.7.4   | none        | now  |
| db3    | 10.77.0.13 | Secondary | ONLINE |     3 | 9.7.4   | none        | now  |
+--------+------------+-----------+--------+-------+---------+-------------+------+
Agent on this host: haipmgr 0.1.0, process 4711, running, up 2 h 5 min
  10.77.0.100: wanted here, holding for 2 h 3 min; lease 8.2 s left; last proof now: VIP kept: all stages pass
  last switch here, 2 h 3 min ago: VIP started on eth0: this server is the primary
";
        assert_eq!(text, expected, "{text}");
    }

    #[test]
    fn from_another_host_the_holder_is_who_answers() {
        let text = shown(&well_from_db3());
        assert!(text.contains("VIP 10.77.0.100: 10.77.0.11 (answers on the segment, now)"), "{text}");
        assert!(
            text.contains("| db1    | 10.77.0.11 | Primary   | ONLINE |     1 | 9.7.4   | 10.77.0.100 |"),
            "{text}"
        );
    }

    #[test]
    fn what_is_old_is_shown_as_old_and_what_is_not_known_as_not_known() {
        let mut picture = well_from_db3();
        hangs(&mut picture, 1, Some(12), "ONLINE");
        for server in &mut picture.servers {
            if server.address != ip(11) {
                (server.said, server.silent) = (None, Some("refused".to_owned()));
            }
        }
        picture.segment = Err("needs root, or the capability CAP_NET_RAW".to_owned());
        status_of(&mut picture).stages[1].age_ms = Some(12_000);
        let text = table(&[picture], Look { extended: true, colours: false });
        assert!(text.contains("no answer; ONLINE (12 s ago)"), "{text}");
        assert!(text.contains("| 12 s ago |"), "{text}");
        assert!(text.contains("no answer; not known"), "{text}");
        assert!(text.contains("VIP 10.77.0.100: not known: needs root"), "{text}");
        assert!(text.contains("stage 2 (server): as it must be (12 s ago, OLD)"), "{text}");
        assert_eq!(
            text.matches("none").count(),
            1,
            "only of this host the kernel knows that it bears none: {text}"
        );
    }

    #[test]
    fn colours_are_there_only_where_they_are_wanted() {
        let picture = [well()];
        assert!(!table(&picture, Look::default()).contains('\u{1b}'));
        assert!(table(&picture, Look { extended: false, colours: true }).contains("\u{1b}[32mwell\u{1b}[0m"));
    }

    #[test]
    fn no_two_columns_are_called_lag() {
        assert_eq!(shown(&well()).to_lowercase().matches("lag").count(), 0);
    }
}
