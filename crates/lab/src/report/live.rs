//! The live view: who is primary, who holds the VIP, inserts per second, the fault, the agents' last lines. Redrawn in
//! place on a terminal; one line a second where standard output is none.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{self, IsTerminal, Stdout, Write};
use std::net::IpAddr;

use crossterm::style::{Color, Stylize};
use crossterm::terminal::{Clear, ClearType};
use crossterm::{cursor, queue, terminal};

use super::standing::Standing;
use crate::measure::seconds;
use crate::record::{Outcome, Phase, Recorded, What};

/// Microseconds between two drawings: on a terminal, and where there is none.
const REDRAW: u64 = 100_000;
const SPEAK: u64 = 1_000_000;

/// Microseconds of one bar of the inserts' picture, and how many bars.
const BAR: u64 = 250_000;
const BARS: u64 = 48;

/// Columns where the terminal does not tell its width.
const WIDTH: u16 = 100;

/// What is known of the run so far.
#[derive(Debug)]
struct Now {
    hosts: Vec<String>,
    vip: IpAddr,
    began_us: Option<u64>,
    standing: BTreeMap<String, Standing>,
    holders: BTreeSet<String>,
    agent: BTreeMap<String, String>,
    last_agent: Option<String>,
    fault: Option<(String, u64, Phase)>,
    acknowledged: u64,
    recent: VecDeque<u64>,
    failing: Option<String>,
}

/// The view.
#[derive(Debug)]
pub struct Live<W: Write> {
    now: Now,
    out: W,
    /// Whether to redraw in place.
    in_place: bool,
    drawn_lines: u16,
    drawn_us: u64,
}

impl Live<Stdout> {
    /// On standard output, for these hosts in this order.
    pub fn on_standard_output(hosts: &[String], vip: IpAddr) -> Self {
        Self::new(hosts, vip, io::stdout(), io::stdout().is_terminal())
    }
}

impl<W: Write> Live<W> {
    /// On any output; `in_place` where that is a terminal.
    pub fn new(hosts: &[String], vip: IpAddr, out: W, in_place: bool) -> Self {
        let now = Now {
            hosts: hosts.to_vec(),
            vip,
            began_us: None,
            standing: BTreeMap::new(),
            holders: BTreeSet::new(),
            agent: BTreeMap::new(),
            last_agent: None,
            fault: None,
            acknowledged: 0,
            recent: VecDeque::new(),
            failing: None,
        };
        Self { now, out, in_place, drawn_lines: 0, drawn_us: 0 }
    }

    /// Takes in what happened. Draws nothing.
    pub fn take(&mut self, recorded: &Recorded) {
        self.now.take(recorded);
    }

    /// Draws, when it is time to. Call it as often as you like.
    ///
    /// # Errors
    /// The output can't be written.
    pub fn draw(&mut self, now_us: u64) -> io::Result<()> {
        let wait = if self.in_place { REDRAW } else { SPEAK };
        if now_us < self.drawn_us.saturating_add(wait) {
            return Ok(());
        }
        self.drawn_us = now_us;
        if !self.in_place {
            writeln!(self.out, "{}", self.now.one_line(now_us))?;
            return self.out.flush();
        }
        self.erase()?;
        let width = usize::from(terminal::size().map_or(WIDTH, |(columns, _)| columns)).saturating_sub(1);
        let lines = self.now.lines(now_us, width);
        for line in &lines {
            writeln!(self.out, "{line}")?;
        }
        self.drawn_lines = u16::try_from(lines.len()).unwrap_or(u16::MAX);
        self.out.flush()
    }

    /// Prints a line that stays, above the view.
    ///
    /// # Errors
    /// The output can't be written.
    pub fn say(&mut self, line: &str) -> io::Result<()> {
        self.erase()?;
        writeln!(self.out, "{line}")?;
        self.drawn_us = 0;
        self.out.flush()
    }

    /// Takes the view away, so that what is printed next stands in its place.
    ///
    /// # Errors
    /// The output can't be written.
    pub fn finish(mut self) -> io::Result<()> {
        self.erase()?;
        self.out.flush()
    }

    fn erase(&mut self) -> io::Result<()> {
        if self.in_place && self.drawn_lines > 0 {
            queue!(self.out, cursor::MoveToPreviousLine(self.drawn_lines), Clear(ClearType::FromCursorDown))?;
            self.drawn_lines = 0;
        }
        Ok(())
    }
}

impl Now {
    fn take(&mut self, recorded: &Recorded) {
        let who = &recorded.who;
        self.began_us.get_or_insert(recorded.at_us);
        if let Some(standing) = Standing::told_by(&recorded.what) {
            self.standing.insert(who.clone(), standing);
        }
        match &recorded.what {
            What::Addresses(all) => self.hold(who, all.iter().any(|address| address.address == self.vip)),
            What::AddressAdded(address) if address.address == self.vip => self.hold(who, true),
            What::AddressRemoved(address) if address.address == self.vip => self.hold(who, false),
            What::HostDown => self.hold(who, false),
            What::Agent { line } => {
                self.agent.insert(who.clone(), line.clone());
                self.last_agent = Some(format!("{who}: {line}"));
            }
            What::Fault { name, host, phase, .. } => {
                self.fault = Some((format!("{name} {host}"), recorded.at_us, *phase));
            }
            What::Insert { outcome, .. } => self.insert(recorded.at_us, outcome),
            _ => {}
        }
    }

    fn hold(&mut self, who: &str, holds: bool) {
        if holds {
            self.holders.insert(who.to_owned());
        } else {
            self.holders.remove(who);
        }
    }

    fn insert(&mut self, at_us: u64, outcome: &Outcome) {
        self.failing = match outcome {
            Outcome::Acknowledged | Outcome::AcknowledgedLate => None,
            Outcome::Error { code, text } => Some(format!("error {code}: {text}")),
            Outcome::ConnectFailed { text } | Outcome::Disconnected { text } => Some(text.clone()),
            Outcome::TimedOut => Some("no answer in time".to_owned()),
        };
        if self.failing.is_none() {
            self.acknowledged += 1;
            self.recent.push_back(at_us);
            while self.recent.front().is_some_and(|first| first + BAR * BARS < at_us) {
                self.recent.pop_front();
            }
        }
    }

    fn per_second(&self, now_us: u64) -> usize {
        self.recent.iter().rev().take_while(|at| **at + 1_000_000 > now_us).count()
    }

    fn clock(&self, now_us: u64) -> String {
        let since = now_us.saturating_sub(self.began_us.unwrap_or(now_us)) / 1_000_000;
        format!("{}:{:02}", since / 60, since % 60)
    }

    fn fault_words(&self, now_us: u64) -> String {
        match &self.fault {
            None => "all is well".to_owned(),
            Some((name, at_us, phase)) => {
                let since = seconds(i64::try_from(now_us.saturating_sub(*at_us)).unwrap_or(i64::MAX));
                match phase {
                    Phase::Injected => format!("{name}, {since:.1} s ago"),
                    Phase::Healed => format!("{name}: healing for {since:.1} s"),
                }
            }
        }
    }

    fn bars(&self, now_us: u64) -> String {
        // Whole bars only, so that they stand still from one drawing to the next and the last is not half full.
        let end = now_us / BAR;
        let mut counts = vec![0_usize; usize::try_from(BARS).unwrap_or_default()];
        for at in &self.recent {
            let back = end.saturating_sub(at / BAR);
            let place =
                BARS.checked_sub(back).filter(|_| back > 0).and_then(|place| usize::try_from(place).ok());
            if let Some(count) = place.and_then(|place| counts.get_mut(place)) {
                *count += 1;
            }
        }
        let most = counts.iter().copied().max().unwrap_or_default().max(1);
        let steps: Vec<char> = " ▁▂▃▄▅▆▇█".chars().collect();
        counts
            .iter()
            .map(|count| steps.get((count * (steps.len() - 1)).div_ceil(most)).copied().unwrap_or(' '))
            .collect()
    }

    fn lines(&self, now_us: u64, width: usize) -> Vec<String> {
        let mut lines = vec![
            String::new(),
            format!("{}  {}", self.clock(now_us), cut(&self.fault_words(now_us), width.saturating_sub(8)))
                .bold()
                .to_string(),
        ];
        for host in &self.hosts {
            let standing = self.standing.get(host).copied().unwrap_or(Standing::Unknown);
            let (red, green, blue) = standing.colour();
            let vip = if self.holders.contains(host) { format!("{}", self.vip) } else { String::new() };
            let vip = format!("{vip:<16}").with(Color::Rgb { r: 0x3d, g: 0x8b, b: 0xff }).bold();
            let agent = self.agent.get(host).map_or("", String::as_str);
            let square = "■".with(Color::Rgb { r: red, g: green, b: blue });
            // 5 for the name, 2 for the square, 21 and 17 for the next two columns.
            let agent = cut(agent, width.saturating_sub(48)).dim();
            lines.push(format!(" {host:<5} {square} {:<21} {vip} {agent}", standing.words()));
        }
        lines.push(format!(
            " {:<5} {:>5}/s {} {} rows",
            "write",
            self.per_second(now_us),
            self.bars(now_us).with(Color::Green),
            self.acknowledged
        ));
        lines.push(match &self.failing {
            Some(text) => format!("       {}", cut(text, width.saturating_sub(8)).with(Color::Red)),
            None => String::new(),
        });
        lines
    }

    fn one_line(&self, now_us: u64) -> String {
        let primaries: Vec<&str> = self
            .hosts
            .iter()
            .filter(|host| self.standing.get(*host) == Some(&Standing::Primary))
            .map(String::as_str)
            .collect();
        let holders: Vec<&str> = self.holders.iter().map(String::as_str).collect();
        let named = |names: &[&str]| {
            if names.is_empty() { "nobody".to_owned() } else { names.join(" and ") }
        };
        let last = self.failing.as_ref().or(self.last_agent.as_ref());
        format!(
            "{} primary {}, VIP on {}, {} inserts/s; {}{}",
            self.clock(now_us),
            named(&primaries),
            named(&holders),
            self.per_second(now_us),
            self.fault_words(now_us),
            last.map(|line| format!("; {}", cut(line, 100))).unwrap_or_default(),
        )
    }
}

/// So many characters of a text, and none that moves the cursor.
fn cut(text: &str, width: usize) -> String {
    let mut clean: String = text.chars().filter(|letter| !letter.is_control()).take(width + 1).collect();
    if clean.chars().count() > width {
        clean = clean.chars().take(width.saturating_sub(1)).chain(std::iter::once('…')).collect();
    }
    clean
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::record::{Address, Expects, Role};

    fn told(in_place: bool) -> String {
        let hosts = ["db1".to_owned(), "db2".to_owned()];
        let mut out = Vec::new();
        let mut live = Live::new(&hosts, "10.77.0.100".parse().unwrap(), &mut out, in_place);
        let role = |role: &str| {
            What::Role(Role {
                state: "ONLINE".into(),
                role: role.into(),
                super_read_only: false,
                view: None,
                members: 2,
                unreachable: 0,
                primaries: 1,
            })
        };
        let vip = Address { address: "10.77.0.100".parse().unwrap(), prefix: 32, interface: "eth0".into() };
        let fault = What::Fault {
            name: "shutdown".into(),
            host: "db1".into(),
            target: None,
            expects: Expects::NewPrimary,
            phase: Phase::Injected,
        };
        for (at_us, who, what) in [
            (1_000_000, "db2", role("PRIMARY")),
            (1_000_001, "db2", What::AddressAdded(vip)),
            (1_500_000, "lab", fault),
            (1_600_000, "client", What::Insert { id: 1, sent_us: 0, outcome: Outcome::Acknowledged }),
            (1_700_000, "db2", What::Agent { line: "took the VIP\x1b[2J".into() }),
        ] {
            live.take(&Recorded { at_us, who: who.into(), what });
        }
        live.draw(2_000_000).unwrap();
        // Too soon to be drawn again.
        live.draw(2_000_001).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn without_a_terminal_one_line_says_who_leads_who_holds_and_how_fast_it_goes() {
        assert_eq!(
            told(false),
            "0:01 primary db2, VIP on db2, 1 inserts/s; shutdown db1, 0.5 s ago; db2: took the VIP[2J\n"
        );
    }

    #[test]
    fn on_a_terminal_each_host_has_its_line_and_a_log_line_can_not_move_the_cursor() {
        let text = told(true);
        assert!(text.contains("db1") && text.contains("10.77.0.100"), "{text}");
        assert!(!text.contains("\x1b[2J"), "{text}");
    }
}
