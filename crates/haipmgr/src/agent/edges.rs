//! What the only loop (`drive.rs`) asks of one cluster's agent: what has arrived, and what is done before a decision, with it and after it.

use std::time::Duration;

use decide::State;
use decide::driver::{Driver, Settled};
use decide::input::{Event, Fact, Seen, Server};
use decide::output::{Action, Outcome};
use decide::status::LastSwitch;
use decide::time::Time;

use super::drive::Edges;
use super::log_dedup::Line;
use super::vip_edges::VipEdges;
use super::{Agent, next_in};
use crate::clock::{self, Clocks};
use crate::config::Happening;
use crate::hooks::Message;

/// At the word to stop, the kernel's answer about this host's addresses is waited for no longer than this.
const LOOK_WITHIN: Duration = Duration::from_millis(200);

impl Edges for Agent {
    fn now(&mut self) -> Time {
        clock::now()
    }

    fn push_arrived(&mut self, driver: &mut Driver) {
        let clocks = Clocks::read();
        let parted = clocks.parted_since(&self.clocks);
        self.clocks = clocks;
        if let Some(parted) = parted {
            driver.push(parted);
        }
        for queue in [&mut self.frames, &mut self.inbox].into_iter().flatten() {
            while let Ok(event) = queue.try_recv() {
                driver.push(event);
            }
        }
        if let Some(answer) = self.wiring.unchanged_answer() {
            driver.push_last_word(answer);
        }
    }

    async fn push_unread(&mut self, driver: &mut Driver, addresses: bool) {
        // Who listens is a task of the same thread, and is to be asked first.
        tokio::task::yield_now().await;
        if addresses {
            let asked_at = clock::now();
            self.shared.ask_host();
            let answer = async {
                while let Some(event) = next_in(&mut self.inbox).await {
                    let is_it = matches!(&event, Event::Host(seen) if seen.asked_at >= asked_at);
                    driver.push(event);
                    if is_it {
                        break;
                    }
                }
            };
            // Not answered: a renewal touches only what is there.
            let _ = tokio::time::timeout(LOOK_WITHIN, answer).await;
        }
    }

    fn before(&mut self, now: Time, state: &State, event: &Event) {
        self.wall_time = jiff::Zoned::now();
        self.decided_at = now;
        self.lines = self.recorder.before(now, state, event, wall_clock);
    }

    fn decided(&mut self, driver: &Driver, event: &Event) {
        match event {
            Event::Host(_) => self.rewire(driver.state()),
            Event::Server(Seen { fact: Fact::Known(Server::Member(_) | Server::NotInGroup(_)), .. }) => {
                self.wiring.server_answers();
            }
            _ => {}
        }
        self.wiring.follow_claims(driver.state());
        if let Some(decision) = driver.decision() {
            self.tally.looked(&decision.stages);
            self.historian.decided(&self.cluster, driver.state(), event, decision, self.decided_at);
        }
    }

    async fn carry_out(&mut self, deed: &Action) -> Outcome {
        let outcome = self.carry_out_deed(deed).await;
        self.historian.done(deed, &outcome);
        self.tally.done(deed);
        outcome
    }

    async fn settled(&mut self, settled: &Settled) {
        self.tidy().await;
        self.wiring.close_unused_echoes();
        let log = self.journal.at(self.wall_time.clone());
        let names = self.leaving.as_ref().map_or(&self.cluster.policy, |leaving| &leaving.policy);
        for line in self.log_dedup.lines(names, settled) {
            line.write(&log);
            if matches!(line, Line::Conflict(_)) {
                self.tally.conflict();
            }
            self.have_run(&line);
        }
        for error in self.reader_stats.settled(settled) {
            self.once.error(&self.journal, error.to_string(), &error);
        }
        let lines = self.lines.take();
        self.trace.write(lines, &self.journal);
        if settled.decision.stage_5() != 1 {
            let switch = LastSwitch::of(&self.cluster.policy, &settled.decision, settled.at);
            // A start that failed is none.
            self.last_switch = switch.filter(|_| settled.not_started.is_empty()).or(self.last_switch.take());
            let lines = self.recorder.switched(wall_clock);
            self.trace.write(lines, &self.journal);
        }
        self.historian.settled(&self.cluster, || self.wiring.servers());
    }
}

impl Agent {
    /// Looks after the VIPs that this decision added or renewed, after one look at this host's addresses.
    async fn tidy(&mut self) {
        if !self.vips.values().any(VipEdges::is_to_be_tidied) {
            return;
        }
        let all = tokio::time::timeout(LOOK_WITHIN, self.shared.addresses.all()).await.ok().flatten();
        for vip in self.vips.values_mut() {
            vip.tidy(&self.shared.addresses, all.as_ref()).await;
        }
    }

    /// The hook for what a line of the log says, where there is one.
    fn have_run(&self, line: &Line) {
        let (hook, text) = match line {
            Line::Conflict(text) => (Happening::OnConflict, text),
            Line::Error(text) => (Happening::OnTrouble, text),
            Line::Switch(_) | Line::Info(_) => return,
        };
        self.hooks.tell(hook, |host| {
            let at = format!("{:.3}", self.wall_time.timestamp());
            Message::of_words(hook, host, &self.cluster.name, at, text.clone())
        });
    }

    /// Starts, or starts anew, what looks at the segment, once it is known which member this host is.
    fn rewire(&mut self, state: &State) {
        if let Fact::Known(host) = &state.facts.host.fact {
            let member = decide::checks::own_member(&self.cluster.policy.group, host);
            let member = member.map(|(address, interface)| (address, interface.to_owned()));
            let processes = self.shared.processes.as_deref();
            self.wiring.follow(&self.cluster, member, processes, &self.events, &self.journal);
        }
    }
}

fn wall_clock() -> String {
    jiff::Zoned::now().to_string()
}
