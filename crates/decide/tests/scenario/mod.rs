//! Reads a scenario: what a person wrote (what the world does, what must be true in the end) is played on a [`ModelHost`]; what
//! the agent was told and decided meanwhile is printed below the line that it follows from.
#![allow(unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod words;

use decide::input::Says;
use decide::output::Action;
use decide::time::Time;
use decide::trace::Line;
use oracle::outside::{OneHolder, SETTLE_WITHIN, Together};

use crate::model_host::{ModelHost, member, ms};
use words::Printer;

/// The members' hosts of the model: all hear each other from the beginning.
const ALL_HEAR: [[Option<Time>; 8]; 8] = [[Some(Time(0)); 8]; 8];

pub struct Scenario {
    pub model: ModelHost,
    /// The file anew, as the rules decide now.
    pub text: String,
    start: Time,
    printer: Printer,
    /// How much of the trace is printed.
    printed: usize,
    holders: OneHolder,
}

/// Plays a scenario, and gives it back as the rules decide now.
pub fn play(name: &str, text: &str) -> Scenario {
    let mut lines = text.lines().enumerate().filter(|(_, line)| !line.starts_with(' ')).peekable();
    let at = |number: usize| format!("tests/scenarios/{name}.txt, line {}", number + 1);
    let (mut head, mut model) = (String::new(), None);
    while let Some((number, line)) = lines.next_if(|(_, line)| !line.starts_with("at ")) {
        if let Some(given) = line.strip_prefix("given: ") {
            model = Some(words::given(model, given).unwrap_or_else(|| panic!("{}: {given}?", at(number))));
        }
        head += &format!("{line}\n");
    }
    let mut model = model.unwrap_or_else(|| panic!("tests/scenarios/{name}.txt has no line \"given: …\""));
    model.start_trace(name);
    let printer = Printer::new(&model);
    let (start, holders) = (model.now, OneHolder::default());
    let mut scenario = Scenario { start, model, text: head, printer, printed: 1, holders };
    // Blank lines and remarks belong to what follows them.
    let mut before = String::new();
    for (number, line) in lines {
        if line.is_empty() || line.starts_with('#') {
            before += &format!("{line}\n");
            continue;
        }
        let is_known = if let Some(claim) = line.strip_prefix("then: ") {
            scenario.holds_true(claim)
        } else if let Some((when, what)) = line.strip_prefix("at ").and_then(|rest| rest.split_once(": ")) {
            words::length(when).is_some_and(|when| {
                scenario.run_until(start + when);
                scenario.print();
                scenario.happens(what)
            })
        } else {
            false
        };
        let said = &scenario.model.reasons;
        assert!(is_known, "{}: not understood, or not so: {line}\nsaid: {said:#?}", at(number));
        scenario.text += &format!("{}{line}\n", std::mem::take(&mut before));
    }
    assert_eq!(scenario.model.breach, None, "{name}: an invariant is broken");
    scenario
}

impl Scenario {
    fn run_until(&mut self, end: Time) {
        assert!(end >= self.model.now, "the lines are not in the order of time");
        while self.model.now < end {
            // In small steps: who holds the VIP is looked at from outside, too.
            self.model.run(ms(1).min(end.since(self.model.now)));
            self.look_from_outside();
        }
    }

    /// ONE-HOLDER: member 2, whose kernel answers for the address once it has taken it, and this host.
    fn look_from_outside(&mut self) {
        let other = self.model.answering.map(|number| usize::from(number) - 1);
        let holders: Vec<usize> = self.model.vip_here.then_some(0).into_iter().chain(other).collect();
        let together = Together {
            holders: &holders,
            hear_since: &ALL_HEAR,
            frames_lost: false,
            overruled: false,
            act_since: Some(Time(0)),
            settle_within: SETTLE_WITHIN,
        };
        let breach = self.holders.look(&together, self.model.now).breach;
        self.model.breach = self.model.breach.take().or(breach);
    }

    /// What a person wrote happens now. False: it is not understood.
    fn happens(&mut self, what: &str) -> bool {
        if let Some(answer) = what.strip_prefix("the server answers: ") {
            let Some(fact) = words::server(1, answer) else { return false };
            (self.model.first.server, self.model.server_blocks) = (fact, false);
        } else if let Some((number, rest)) =
            what.strip_prefix("member ").and_then(|rest| rest.split_once(' '))
        {
            let Ok(number) = number.trim_end_matches("'s").parse() else { return false };
            return self.member_does(number, rest);
        } else {
            match what {
                "the server does not answer" => self.model.server_blocks = true,
                "somebody removes the VIP" => {
                    self.model.vip_here = false;
                    let event = self.model.host_event(self.model.now);
                    self.model.tell(event);
                }
                "end" => {}
                _ => return false,
            }
        }
        true
    }

    fn member_does(&mut self, number: u8, what: &str) -> bool {
        let times = |text: &str| text.strip_suffix(" times")?.parse().ok();
        if let Some(answer) = what.strip_prefix("server answers: ") {
            let Some(fact) = words::server(number, answer) else { return false };
            self.model.peers.insert(member(number), fact);
        } else if let Some(limit) =
            what.strip_prefix("probes until the VIP is gone, and takes it, within ").and_then(words::length)
        {
            let times = u32::try_from(limit.as_millis() / 20).unwrap();
            self.probes(number, times, |model| model.vip_here);
            if !self.model.vip_here {
                self.takes(number);
            }
        } else if what == "takes the VIP" {
            self.takes(number);
        } else if let Some(times) = what.strip_prefix("probes every 20 ms, ").and_then(times) {
            self.probes(number, times, |_| true);
        } else {
            return false;
        }
        true
    }

    fn probes(&mut self, number: u8, times: u32, goes_on: impl Fn(&ModelHost) -> bool) {
        for _ in 0..times {
            if goes_on(&self.model) {
                self.model.frame(number, Says::Probe);
                self.run_until(self.model.now + ms(20));
            }
        }
    }

    fn takes(&mut self, number: u8) {
        self.model.answering = Some(number);
        self.model.frame(number, Says::Announcement);
        self.look_from_outside();
    }

    /// Whether that is so, by now.
    fn holds_true(&mut self, claim: &str) -> bool {
        let model = &self.model;
        if let Some(text) = claim.strip_prefix("said: ") {
            return model.said(|reason| reason.to_string().contains(text));
        }
        if let Some((action, times)) = claim.strip_prefix("ordered: ").and_then(|rest| rest.rsplit_once(", "))
        {
            let ordered = model.count(|ordered| words::action(ordered) == action);
            return format!("{ordered} times") == times;
        }
        if let Some((limit, since)) =
            claim.strip_prefix("the VIP was removed within ").and_then(|rest| rest.split_once(" of "))
        {
            let (limit, since) = (words::length(limit).unwrap(), self.start + words::length(since).unwrap());
            let removed = |action: &Action| words::action(action).starts_with("remove address");
            let removed = model.actions.iter().find(|(at, action)| *at >= since && removed(action));
            return removed.is_some_and(|(at, _)| at.since(since) <= limit);
        }
        match claim {
            "the VIP is here" => model.vip_here,
            "the VIP is not here" => !model.vip_here,
            _ => false,
        }
    }

    /// Prints what was told and decided since the last time.
    fn print(&mut self) {
        let steps = self.model.trace[self.printed..].iter().filter_map(|line| match line {
            Line::Step { now, event, decision } => Some((*now, event.as_ref(), decision.as_ref())),
            Line::Start { .. } => None,
        });
        self.text += &self.printer.print(steps);
        self.printed = self.model.trace.len();
    }
}
