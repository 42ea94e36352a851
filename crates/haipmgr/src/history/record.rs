//! One line of the history file.

use std::net::IpAddr;
use std::time::Duration;

use decide::history::{Code, Kind, Party, Row};
use decide::net::VipId;
use decide::policy::VipRole;
use decide::time::Time;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::learn::{Expelled, Learnt};

/// The format of the lines that are written here. A higher one is left unread.
pub const FORMAT: u32 = 1;

/// An old primary's last write counts as the beginning of the outage where it is no older than this when the group noticed that it is
/// silent: the group does so 5 to 7 s after it heard from it last.
const LAST_WRITE_BEFORE_SILENCE: Duration = Duration::from_secs(10);
/// The same where the primary left or was replaced in good order.
const LAST_WRITE_BEFORE_ELECTION: Duration = Duration::from_secs(2);

/// One switch of a VIP, as the host tells it that it came to or left. docs/history.md names each field.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// [`FORMAT`].
    pub format: u32,
    /// What `haipmgr explain` takes.
    pub id: String,
    /// Whether it came or left.
    pub kind: Kind,
    /// Why, in one of the words of [`Code`]. A later version may know more.
    pub code: String,
    /// When, in UTC.
    pub at: String,
    /// The cluster's name.
    pub cluster: String,
    /// The VIP.
    pub vip: IpAddr,
    /// Whom it is for; none: the line is of a version that had no VIPs for readers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<VipRole>,
    /// Who had it before.
    pub from: Option<Party>,
    /// Who has it now.
    pub to: Option<Party>,
    /// Who wanted it.
    pub by: By,
    /// All of it in one sentence.
    pub sentence: String,
    /// What its time was spent on; only where the VIP came.
    pub outage: Option<Outage>,
    /// What was seen and done on the way.
    pub seen: Vec<SeenOnTheWay>,
    /// The step of the trace that decided it: microseconds since the host's boot.
    pub trace_us: u64,
}

/// Who wanted a switch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct By {
    /// By itself or by order.
    pub how: How,
    /// Who gave the order; none: not known.
    pub who: Option<String>,
    /// Why, in that person's words; none: not known, or not given.
    pub reason: Option<String>,
}

/// By itself or by order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// Nobody ordered it.
    Automatic,
    /// Somebody ordered it.
    Ordered,
}

/// What a switch's time was spent on, in milliseconds, as the new holder's host measured it. None: not known there, or no such part.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Outage {
    /// From the old primary's last write that this host's server received until the trouble was noticed here. MySQL's own time.
    pub noticed_ms: Option<f64>,
    /// From then until this host's server took writes. MySQL's own time.
    pub elected_ms: Option<f64>,
    /// From then, or from when the VIP was gone, until the address was here.
    pub claimed_ms: Option<f64>,
    /// From then until it was announced.
    pub announced_ms: Option<f64>,
    /// All that is known of it.
    pub total_ms: f64,
    /// `noticed_ms` and `elected_ms`: what no tool for virtual IPs can change.
    pub mysql_ms: f64,
}

/// Something that was seen or done on the way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SeenOnTheWay {
    /// Milliseconds after the decision; negative: before it.
    pub ms: f64,
    /// What.
    pub what: String,
}

/// What a row needs to become a line: names, and what the clocks show now.
#[derive(Clone, Debug)]
pub struct Written {
    /// The cluster's name.
    pub cluster: String,
    /// MySQL's port.
    pub port: u16,
    /// How many VIPs the cluster has: with several, each is called by its address.
    pub vips: usize,
    /// The VIP.
    pub vip: IpAddr,
    /// Whom it is for.
    pub role: VipRole,
    /// The agent's clock …
    pub now: Time,
    /// … and the wall clock at the same moment.
    pub wall: Timestamp,
}

impl Written {
    /// What the VIP is called.
    fn name(&self) -> String {
        if self.vips > 1 { format!("{} {}", self.cluster, self.vip) } else { self.cluster.clone() }
    }
}

impl Record {
    /// Of a row, before anybody was asked.
    pub fn of(row: &Row, written: &Written) -> Self {
        let at = wall_time(row.at, written);
        let how = if row.code.is_ordered() { How::Ordered } else { How::Automatic };
        let seen = |mark: &decide::history::Mark| SeenOnTheWay {
            ms: signed_ms(mark.at, row.decided),
            what: mark.what.clone(),
        };
        let mut record = Self {
            format: FORMAT,
            id: id(row, written.port, at),
            kind: row.kind,
            code: row.code.word().to_owned(),
            at: utc(at),
            cluster: written.cluster.clone(),
            vip: written.vip,
            role: Some(written.role),
            from: row.from.clone(),
            to: row.to.clone(),
            by: By { how, who: None, reason: None },
            sentence: row.sentence(&written.name()),
            outage: None,
            seen: row.marks.iter().map(seen).collect(),
            trace_us: row.decided.0,
        };
        if row.kind == Kind::Came {
            record.outage = Some(Outage::of(row, None));
        }
        record
    }

    /// Of a row, with what the servers said when they were asked about it.
    pub fn learnt(mut row: Row, written: &Written, learnt: &Learnt) -> Self {
        if let Some(Expelled { seen_by, port }) = learnt.expelled {
            row.was_expelled(&seen_by.to_string(), port);
        }
        let mut record = Self::of(&row, written);
        if let Some(order) = &learnt.order {
            record.by.who = Some(order.who.clone());
            record.by.reason.clone_from(&order.reason);
        }
        if row.kind == Kind::Came {
            record.outage = Some(Outage::of(&row, learnt.last_write));
        }
        record
    }

    /// To be called last: who ordered it becomes a part of the sentence.
    #[must_use]
    pub fn finished(mut self) -> Self {
        if self.by.how == How::Ordered && self.code == Code::Switchover.word() {
            self.sentence += match self.kind {
                Kind::Came => ", by ",
                Kind::Left => "; by order of ",
            };
            self.sentence += &match (&self.by.who, &self.by.reason) {
                (Some(who), Some(reason)) => format!("{who}: {reason}"),
                (Some(who), None) => who.clone(),
                (None, _) => match self.kind {
                    Kind::Came => "an order in MySQL (who is not known)".to_owned(),
                    Kind::Left => "somebody in MySQL (who is not known)".to_owned(),
                },
            };
        }
        self
    }

    /// When; none where the line is not as it is written here.
    pub fn time(&self) -> Option<Timestamp> {
        self.at.parse().ok()
    }
}

impl Outage {
    fn of(row: &Row, last_write: Option<Time>) -> Self {
        let split = row.split;
        let elected = row.code.is_election();
        // Where nothing but the election itself was noticed, only a write just before it tells of an outage.
        let limit = match (row.code, split.elected) {
            (Code::PrimaryDied | Code::HostSilent | Code::PrimaryCutOff, _) => LAST_WRITE_BEFORE_SILENCE,
            _ => LAST_WRITE_BEFORE_ELECTION,
        };
        let noticed = match (split.noticed_at, last_write) {
            (Some(noticed), Some(written)) if elected => {
                Some(noticed.since(written)).filter(|since| *since <= limit)
            }
            _ => None,
        };
        let ms = |length: Option<Duration>| length.map(in_ms);
        // Whoever wrote on after it was noticed was out for less than all of it.
        let overlap = match (split.noticed_at, last_write) {
            (Some(noticed), Some(written)) if elected => written.since(noticed),
            _ => Duration::ZERO,
        };
        let elected = split.elected.map(|elected| elected.saturating_sub(overlap));
        let mysql = noticed.unwrap_or_default() + elected.unwrap_or_default();
        let total = mysql + split.claimed.unwrap_or_default() + split.announced.unwrap_or_default();
        Self {
            noticed_ms: ms(noticed),
            elected_ms: ms(elected),
            claimed_ms: ms(split.claimed),
            announced_ms: ms(split.announced),
            total_ms: in_ms(total),
            mysql_ms: in_ms(mysql),
        }
    }
}

fn id(row: &Row, port: u16, at: Timestamp) -> String {
    let vip = if row.vip == VipId::FIRST { String::new() } else { format!("-vip{}", row.vip.0) };
    let left = if row.kind == Kind::Left { "-left" } else { "" };
    format!("{port}-{}{vip}{left}", at.strftime("%Y%m%dT%H%M%S.%3fZ"))
}

fn wall_time(at: Time, written: &Written) -> Timestamp {
    let age = SignedDuration::try_from(written.now.since(at)).unwrap_or_default();
    written.wall.checked_sub(age).unwrap_or(written.wall)
}

/// A time in UTC, to the millisecond, with its offset.
pub fn utc(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S.%3f+00:00").to_string()
}

/// To a tenth.
fn in_ms(length: Duration) -> f64 {
    (length.as_secs_f64() * 10_000.0).round() / 10.0
}

fn signed_ms(at: Time, origin: Time) -> f64 {
    if at < origin { -in_ms(origin.since(at)) } else { in_ms(at.since(origin)) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use decide::history::{Mark, PortThen, Split};

    use super::super::learn::OrderSeen;
    use super::*;
    use crate::schema::{Schema, Words, documented, never_printed, printed};

    const MS: u64 = 1_000;

    pub(crate) fn row(code: Code) -> Row {
        let party = |name: &str| Some(Party { name: Some(name.to_owned()), address: None });
        Row {
            vip: VipId::FIRST,
            kind: Kind::Came,
            code,
            at: Time(20_000 * MS),
            decided: Time(19_990 * MS),
            from: party("db2"),
            to: party("db1"),
            detail: None,
            split: Split {
                noticed_at: Some(Time(18_500 * MS)),
                elected: Some(Duration::from_millis(1_450)),
                claimed: Some(Duration::from_millis(45)),
                announced: Some(Duration::from_millis(5)),
            },
            marks: vec![Mark { at: Time(18_500 * MS), what: "db2 is UNREACHABLE".to_owned() }],
        }
    }

    fn written() -> Written {
        Written {
            cluster: "orders".to_owned(),
            port: 3306,
            vips: 1,
            vip: [10, 77, 0, 100].into(),
            role: VipRole::Writer,
            now: Time(21_000 * MS),
            wall: "2026-11-29T01:30:13.345Z".parse().unwrap(),
        }
    }

    #[test]
    fn a_row_becomes_a_line_with_the_wall_clocks_time_of_the_switch() {
        let record = Record::of(&row(Code::PrimaryDied), &written()).finished();
        assert_eq!(record.at, "2026-11-29T01:30:12.345+00:00");
        assert_eq!(record.id, "3306-20261129T013012.345Z");
        assert_eq!(utc(record.time().unwrap()), record.at);
        assert_eq!(record.seen[0].ms.to_string(), "-1490");
        assert_eq!(record.by.how, How::Automatic);
        let line = serde_json::to_string(&record).unwrap();
        assert!(line.starts_with("{\"format\":1,"), "{line}");
        assert_eq!(serde_json::from_str::<Record>(&line).unwrap(), record);
    }

    #[test]
    fn every_line_is_as_the_schema_says_and_the_manual_has_its_keys() {
        let schema = Schema::read(include_str!("../../../../docs/history.schema.json"));
        let order = OrderSeen { who: "root on db3".to_owned(), reason: Some("upgrade".to_owned()) };
        let asked = Learnt { order: Some(order), last_write: Some(Time(13_400 * MS)), ..Learnt::default() };
        let mut words = Words::new();
        for (code, learnt) in Code::ALL.into_iter().flat_map(|code| [(code, None), (code, Some(&asked))]) {
            let came = row(code);
            let left =
                Row { kind: Kind::Left, from: None, split: Split::default(), marks: Vec::new(), ..row(code) };
            for (row, role) in [(came, VipRole::Writer), (left, VipRole::Reader)] {
                let written = Written { role, ..written() };
                let record = match learnt {
                    Some(learnt) => Record::learnt(row, &written, learnt),
                    None => Record::of(&row, &written),
                };
                let all = serde_json::json!({ "format": FORMAT, "switches": [record.finished()], "lines_not_read": 0 });
                assert_eq!(schema.against(&all), Vec::<String>::new(), "{all}");
                printed(&all, "", &mut words);
            }
        }
        assert_eq!(never_printed(&schema, &words), Vec::<String>::new());
        let page = include_str!("../../../../docs/history.md");
        let keys = documented(page, "## The file", "", "").into_iter().collect::<Vec<_>>();
        assert_eq!(keys, schema.definition("switch").keys().into_keys().collect::<Vec<_>>());
    }

    #[test]
    fn the_outage_is_told_from_the_last_write_where_that_was_a_moment_before_and_else_is_not_known() {
        let died = row(Code::PrimaryDied);
        let record = Record::of(&died, &written());
        assert_eq!(record.outage.as_ref().unwrap().noticed_ms, None, "nobody was asked yet");
        let written_last = |at| {
            let learnt = Learnt { last_write: Some(Time(at * MS)), ..Learnt::default() };
            Record::learnt(died.clone(), &written(), &learnt).outage.unwrap()
        };
        let outage = written_last(13_400);
        assert_eq!(outage.noticed_ms, Some(5_100.0));
        assert_eq!((outage.total_ms, outage.mysql_ms), (6_600.0, 6_550.0));
        let outage = written_last(1_000);
        assert_eq!(outage.noticed_ms, None, "nobody wrote for long: not known");
        assert_eq!(outage.total_ms.to_string(), "1500");
    }

    /// Another member may find out sooner that the primary is gone, and has it expelled: this host's server then never shows it as
    /// UNREACHABLE, as if it had left in good order.
    #[test]
    fn an_old_primary_that_another_member_had_expelled_did_not_leave_and_its_port_says_what_became_of_it() {
        for (port, code, words) in [
            (
                PortThen::Refused,
                "PRIMARY_DIED",
                "orders moved from db2 to db1 after db2's mysqld died: its port refused",
            ),
            (
                PortThen::Answered,
                "PRIMARY_CUT_OFF",
                "orders moved from db2 to db1 after the group lost db2: its port answered",
            ),
            (
                PortThen::Silent,
                "HOST_SILENT",
                "orders moved from db2 to db1 after db2 fell silent: its port neither",
            ),
        ] {
            let expelled = Some(Expelled { seen_by: [10, 77, 0, 3].into(), port });
            let learnt = Learnt { expelled, last_write: Some(Time(12_000 * MS)), ..Learnt::default() };
            let left = row(Code::PrimaryLeft);
            assert!(left.may_have_been_expelled());
            let record = Record::learnt(left, &written(), &learnt).finished();
            assert_eq!(record.code, code);
            assert!(record.sentence.starts_with(words), "{}", record.sentence);
            assert!(
                record.sentence.ends_with("it was UNREACHABLE for 10.77.0.3 before"),
                "{}",
                record.sentence
            );
            assert_eq!(
                record.outage.unwrap().noticed_ms,
                Some(6_500.0),
                "the silence is a part of the outage"
            );
        }
        let shown = Row { detail: Some("its state was ERROR".to_owned()), ..row(Code::PrimaryLeft) };
        assert!(!shown.may_have_been_expelled(), "its own word on why it left");
    }

    #[test]
    fn a_switchovers_line_tells_who_ordered_it_and_why_or_that_it_is_not_known() {
        let switchover = row(Code::Switchover);
        let unknown = Record::of(&switchover, &written()).finished();
        assert!(
            unknown.sentence.ends_with("by an order in MySQL (who is not known)"),
            "{}",
            unknown.sentence
        );
        let order = OrderSeen { who: "root on db3".to_owned(), reason: Some("upgrade".to_owned()) };
        let learnt = Learnt { order: Some(order), ..Learnt::default() };
        let known = Record::learnt(switchover, &written(), &learnt).finished();
        assert!(known.sentence.ends_with(", by root on db3: upgrade"), "{}", known.sentence);
        assert_eq!((known.by.how, known.by.reason.as_deref()), (How::Ordered, Some("upgrade")));
    }
}
