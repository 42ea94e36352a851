//! The words of the scenarios' files: the one place that knows how the rules' inputs and outputs are written there.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use decide::Decision;
use decide::checks::{Finding, Stage, Stages};
use decide::input::{Event, Fact, GroupView, Member, MemberState, NotInGroup, Role, Seen, Server, ViewId};
use decide::net::VipId;
use decide::output::{Action, Said};
use decide::time::Time;
use serde_json::Value;

use crate::model_host::{Answers, BIRTH, ModelHost, host, member, ms};

/// The world that a scenario begins in.
pub fn given(model: Option<ModelHost>, words: &str) -> Option<ModelHost> {
    match (model, words) {
        (None, "this host has held the VIP for 10 s") => Some(ModelHost::settled_holder()),
        (None, "this host has just started, without the VIP") => {
            Some(ModelHost::new(Answers::all_pass(), false))
        }
        (Some(mut model), words) => {
            let every =
                length(words.strip_prefix("the server is asked every ")?.strip_suffix(", no sooner")?)?;
            (model.group.poll_interval, model.group.alert_interval) = (every, every);
            model.tell(Event::Wake);
            model.run(ms(100));
            Some(model)
        }
        _ => None,
    }
}

/// `3 ms`, `2.5 s`.
pub fn length(words: &str) -> Option<Duration> {
    let (number, unit) = words.split_once(' ')?;
    let number: f64 = number.parse().ok()?;
    let micros = match unit {
        "ms" => number * 1e3,
        "s" => number * 1e6,
        _ => return None,
    };
    Some(Duration::from_secs_f64(micros / 1e6))
}

/// What the server of this member answers: `PRIMARY, writable, view 545`; `SECONDARY, read-only, view 546, db2 leads`;
/// `…, db3 UNREACHABLE`; `refuses: connection refused`; `Group Replication is not running`.
pub fn server(local: u8, words: &str) -> Option<Fact<Server>> {
    if let Some(text) = words.strip_prefix("refuses: ") {
        return Some(Fact::Known(Server::Refused(text.to_owned())));
    }
    if words == NotInGroup::NotRunning.to_string() {
        return Some(Fact::Known(Server::NotInGroup(NotInGroup::NotRunning)));
    }
    let mut parts = words.split(", ");
    let leads = match parts.next()? {
        "PRIMARY" => Some(local),
        "SECONDARY" => None,
        _ => return None,
    };
    let super_read_only = match parts.next()? {
        "writable" => false,
        "read-only" => true,
        _ => return None,
    };
    let counter = parts.next()?.strip_prefix("view ")?.parse().ok()?;
    let (mut leads, mut unreachable) = (leads, Vec::new());
    for part in parts {
        let (name, what) = part.strip_prefix("db")?.split_once(' ')?;
        match what {
            "leads" => leads = Some(name.parse().ok()?),
            "UNREACHABLE" => unreachable.push(name.parse().ok()?),
            _ => return None,
        }
    }
    let row = |number: u8| Member {
        id: format!("uuid-{number}"),
        host: format!("db{number}"),
        port: 3306,
        state: if unreachable.contains(&number) { MemberState::Unreachable } else { MemberState::Online },
        role: if leads == Some(number) { Role::Primary } else { Role::Secondary },
    };
    Some(Fact::Known(Server::Member(GroupView {
        local: format!("uuid-{local}"),
        super_read_only,
        view: Some(ViewId::new(BIRTH, counter)),
        members: (1..=3).map(row).collect(),
    })))
}

/// The same, written. What it leaves out is what [`server`] puts in again.
fn of_server(local: u8, fact: &Fact<Server>) -> String {
    let words = match fact {
        Fact::Unknown(why) => return why.to_string(),
        Fact::Known(Server::Refused(text)) => format!("refuses: {text}"),
        Fact::Known(Server::NotInGroup(why)) => why.to_string(),
        Fact::Known(Server::Member(view)) => of_group(view),
    };
    assert_eq!(server(local, &words).as_ref(), Some(fact), "{words} leaves something out");
    words
}

fn of_group(view: &GroupView) -> String {
    let is_primary = |member: &Member| member.role == Role::Primary;
    let leads = view.local_member().is_some_and(is_primary);
    let mut words = String::from(if leads { "PRIMARY" } else { "SECONDARY" });
    words += if view.super_read_only { ", read-only" } else { ", writable" };
    if let Some(view) = &view.view {
        write!(words, ", view {}", view.to_string().trim_start_matches(BIRTH).trim_start_matches(':'))
            .unwrap();
    }
    if !leads && let Some(primary) = view.members.iter().find(|member| is_primary(member)) {
        write!(words, ", {} leads", primary.host).unwrap();
    }
    for member in view.members.iter().filter(|member| member.state != MemberState::Online) {
        write!(words, ", {} {}", member.host, member.state).unwrap();
    }
    words
}

/// An order: its name, and then what it says more.
pub fn action(action: &Action) -> String {
    match action {
        Action::Vip(vip, order) => of_vip(*vip, &plain(&serde_json::to_value(order).unwrap())),
        other => plain(&serde_json::to_value(other).unwrap()),
    }
}

/// The first VIP is not named: most scenarios have no other.
fn of_vip(vip: VipId, words: &str) -> String {
    if vip == VipId::FIRST { words.to_owned() } else { format!("{vip}: {words}") }
}

/// What is said of a VIP, or of none.
fn of_reason(said: &Said) -> String {
    let words = format!("\"{}\"", said.reason);
    said.vip.map_or_else(|| format!("aside: {words}"), |vip| of_vip(vip, &words))
}

/// Whatever is not worth words of its own, by the names that it has in a trace.
fn plain(value: &Value) -> String {
    let list = |all: Vec<String>| all.join(", ");
    match value {
        Value::Null => "–".to_owned(),
        Value::String(name) => name.replace('_', " "),
        Value::Array(bytes) if bytes.len() == 6 && bytes.iter().all(Value::is_u64) => {
            let bytes = bytes.iter().map(|byte| format!("{:02x}", byte.as_u64().unwrap()));
            bytes.collect::<Vec<_>>().join(":")
        }
        Value::Array(all) => list(all.iter().map(plain).collect()),
        Value::Object(all) => match (all.get("secs"), all.get("nanos")) {
            (Some(secs), Some(nanos)) => {
                let nanos = u32::try_from(nanos.as_u64().unwrap()).unwrap();
                format!("{:?}", Duration::new(secs.as_u64().unwrap(), nanos))
            }
            _ if all.len() == 1 => {
                let (name, value) = all.iter().next().unwrap();
                format!("{} {}", name.replace('_', " "), plain(value))
            }
            _ => list(all.values().map(plain).collect()),
        },
        other => other.to_string(),
    }
}

/// Prints what changes from one decision to the next.
pub struct Printer {
    start: Time,
    /// When host, server and gateway were asked what was told of them last.
    asked: [Time; 3],
    server: String,
    said: Vec<String>,
    wake_at: Option<Time>,
    stages: String,
}

impl Printer {
    pub fn new(model: &ModelHost) -> Self {
        let stages = model.state.stages(&model.policy());
        let asked = [Stage::Member, Stage::Server, Stage::Gateway].map(|stage| stages.asked_at(stage));
        let mut printer = Self {
            start: model.now,
            asked,
            server: String::new(),
            said: Vec::new(),
            wake_at: None,
            stages: String::new(),
        };
        printer.stages = printer.of_stages(&stages);
        printer
    }

    pub fn print<'a>(&mut self, steps: impl Iterator<Item = (Time, &'a Event, &'a Decision)>) -> String {
        let (mut text, mut quiet) = (String::new(), BTreeMap::new());
        for (now, event, decision) in steps {
            let event = self.of_event(event, now);
            let changes = self.changes(decision);
            if changes.is_empty() {
                quiet.entry(event).or_insert_with(Vec::new).push(now);
                continue;
            }
            text += &self.of_quiet(std::mem::take(&mut quiet));
            writeln!(text, "{:>13}  {event}", self.point(now)).unwrap();
            for line in changes {
                writeln!(text, "{:15}{line}", "").unwrap();
            }
        }
        text += &self.of_quiet(quiet);
        text
    }

    /// What was told and changed nothing.
    fn of_quiet(&self, quiet: BTreeMap<String, Vec<Time>>) -> String {
        let mut lines = Vec::new();
        for (event, times) in quiet {
            let mut rest = times.as_slice();
            while let [first, more @ ..] = rest {
                let gap = more.first().map_or(Duration::ZERO, |next| next.since(*first));
                let even = rest.windows(2).take_while(|two| two[1].since(two[0]) == gap).count();
                if even > 1 {
                    lines.push((*first, format!("{event}; every {gap:?} until {}", self.point(rest[even]))));
                    rest = &rest[even + 1..];
                } else {
                    lines.push((*first, event.clone()));
                    rest = more;
                }
            }
        }
        lines.sort_by_key(|(at, _)| *at);
        lines
            .iter()
            .fold(String::new(), |text, (at, event)| format!("{text}{:>13}  {event}\n", self.point(*at)))
    }

    /// A time of the scenario, in milliseconds.
    fn point(&self, at: Time) -> String {
        let micros = i128::from(at.0) - i128::from(self.start.0);
        let text = format!("{}.{:03}", micros / 1000, micros.abs() % 1000);
        format!("{} ms", text.trim_end_matches('0').trim_end_matches('.'))
    }

    fn of_event(&mut self, event: &Event, now: Time) -> String {
        match event {
            Event::Wake => "the time is up".to_owned(),
            Event::Server(seen) => {
                self.asked[1] = seen.asked_at;
                let words = of_server(1, &seen.fact);
                let same = std::mem::replace(&mut self.server, words.clone()) == words;
                format!("server: {}{}", if same { "the same" } else { &words }, ago(seen, ms(1), now))
            }
            Event::Peer { member: address, seen } => {
                let number = (1..=3).find(|number| member(*number) == *address).unwrap();
                format!(
                    "member {number}'s server: {}{}",
                    of_server(number, &seen.fact),
                    ago(seen, ms(10), now)
                )
            }
            Event::Gateway(seen) => {
                self.asked[2] = seen.asked_at;
                let fact = plain(&serde_json::to_value(&seen.fact).unwrap());
                format!("gateway: {}{}", fact.trim_start_matches("known "), ago(seen, ms(1), now))
            }
            Event::Host(seen) => {
                self.asked[0] = seen.asked_at;
                let here =
                    [true, false].into_iter().find(|here| seen.fact == Fact::Known(host("eth0", *here)));
                let here = here.expect("a host of the model");
                format!(
                    "host: the VIP is {}{}",
                    if here { "here" } else { "not here" },
                    ago(seen, ms(1), now)
                )
            }
            Event::Frame(vip, frame) => {
                of_vip(*vip, &format!("frame {}", plain(&serde_json::to_value(frame).unwrap())))
            }
            other => plain(&serde_json::to_value(other).unwrap()),
        }
    }

    fn changes(&mut self, decision: &Decision) -> Vec<String> {
        let Decision { actions, reasons, wake_at, stages } = decision;
        let orders: Vec<String> = actions.iter().map(action).collect();
        let mut lines = Vec::new();
        if !orders.is_empty() {
            lines.push(format!("→ {}", orders.join("; ")));
        }
        let said: Vec<String> = reasons.iter().map(of_reason).collect();
        if said != self.said {
            lines.extend(said.iter().cloned());
            self.said = said;
        }
        let stages = self.of_stages(stages);
        if stages != self.stages {
            lines.push(format!("stages: {stages}"));
            self.stages = stages;
        }
        if self.wake_at != Some(*wake_at) {
            lines.push(format!("wakes at {}", self.point(*wake_at)));
            self.wake_at = Some(*wake_at);
        }
        lines
    }

    /// Those that do not pass; and when one was asked about, where that is not when the last answer was.
    fn of_stages(&self, stages: &Stages) -> String {
        let of = |(stage, finding, asked_at): (Stage, &Finding, Time)| {
            let last = self.asked[match stage {
                Stage::Member => 0,
                Stage::Server | Stage::Primary => 1,
                Stage::Gateway => 2,
            }];
            let asked =
                if asked_at == last { String::new() } else { format!(", asked at {}", self.point(asked_at)) };
            match finding {
                Finding::Passed if asked.is_empty() => None,
                Finding::Passed => Some(format!("{stage} passes{asked}")),
                Finding::Failed(cause) => Some(format!("{stage} fails: {cause}{asked}")),
                Finding::Unknown(why) => Some(format!("{stage} not known: {why}{asked}")),
            }
        };
        let others: Vec<String> = stages.each().into_iter().filter_map(of).collect();
        if others.is_empty() { "all pass".to_owned() } else { others.join("; ") }
    }
}

/// When the question was put, where that is not as long ago as is usual.
fn ago<T>(seen: &Seen<T>, usual: Duration, now: Time) -> String {
    let ago = now.since(seen.asked_at);
    match ago {
        ago if ago == usual => String::new(),
        Duration::ZERO => " (asked just now)".to_owned(),
        ago => format!(" (asked {ago:?} ago)"),
    }
}
