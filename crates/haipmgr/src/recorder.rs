//! The flight recorder: the last seconds of events in memory, written out as a trace when the VIP is switched. Since
//! the rules are pure, a snapshot of the state and the events are enough: the decisions are worked out again.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::{iter, mem};

use decide::State;
use decide::input::{Event, Fact, Gateway, Host, Seen, Server};
use decide::policy::Policy;
use decide::step;
use decide::time::Time;
use decide::trace::{FORMAT, Line};

use crate::config::DecisionTrace;

/// Events in a stretch; memory holds at most two stretches a cluster.
const STRETCH: usize = 128;
/// Events after a switch that are written too.
const AFTERMATH: usize = 200;

/// What all clusters were told of this host last, kept once for all of them: with a hundred VIPs it is long, and each move of
/// one is told to all.
#[derive(Clone, Debug, Default)]
pub struct Sightings(Arc<Mutex<Weak<Fact<Host>>>>);

impl Sightings {
    fn share(&self, fact: &Fact<Host>) -> Arc<Fact<Host>> {
        let mut latest = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = latest.upgrade().filter(|known| **known == *fact) {
            return known;
        }
        let shared = Arc::new(fact.clone());
        *latest = Arc::downgrade(&shared);
        shared
    }
}

struct Stretch {
    now: Time,
    state: State,
    events: Vec<(Time, Remembered)>,
    last: Last,
}

/// An event, in little room.
enum Remembered {
    /// As it was.
    Whole(Box<Event>),
    /// This host, as all clusters were told of it.
    Host(Time, Arc<Fact<Host>>),
    /// The server said again what it had said before, to a question put then: nearly all that happens.
    SameServer(Time),
    /// The same of this host.
    SameHost(Time),
    /// The same of the gateway.
    SameGateway(Time),
    /// The same of one that a VIP has of its own.
    SameOwnGateway(IpAddr, Time),
}

/// What was last said of each in a stretch.
#[derive(Default)]
struct Last {
    server: Option<Fact<Server>>,
    host: Option<Arc<Fact<Host>>>,
    gateway: Option<Fact<Gateway>>,
    own_gateways: BTreeMap<IpAddr, Fact<Gateway>>,
}

impl Last {
    fn shorten(&mut self, event: &Event, sightings: &Sightings) -> Remembered {
        match event {
            Event::Server(seen) if self.server.as_ref() == Some(&seen.fact) => {
                return Remembered::SameServer(seen.asked_at);
            }
            Event::Host(seen) if self.host.as_deref() == Some(&seen.fact) => {
                return Remembered::SameHost(seen.asked_at);
            }
            Event::Host(seen) => {
                let shared = sightings.share(&seen.fact);
                self.host = Some(Arc::clone(&shared));
                return Remembered::Host(seen.asked_at, shared);
            }
            Event::Gateway(seen) if self.gateway.as_ref() == Some(&seen.fact) => {
                return Remembered::SameGateway(seen.asked_at);
            }
            Event::OwnGateway(own, seen) if self.own_gateways.get(own) == Some(&seen.fact) => {
                return Remembered::SameOwnGateway(*own, seen.asked_at);
            }
            other => self.keep(other),
        }
        Remembered::Whole(Box::new(event.clone()))
    }

    fn keep(&mut self, event: &Event) {
        match event {
            Event::Server(seen) => self.server = Some(seen.fact.clone()),
            Event::Gateway(seen) => self.gateway = Some(seen.fact.clone()),
            Event::OwnGateway(own, seen) => drop(self.own_gateways.insert(*own, seen.fact.clone())),
            _ => {}
        }
    }

    /// None only where there was none before, which does not happen.
    fn restore(&mut self, remembered: Remembered) -> Option<Event> {
        Some(match remembered {
            Remembered::Whole(event) => {
                self.keep(&event);
                *event
            }
            Remembered::SameServer(asked_at) => Event::Server(Seen { asked_at, fact: self.server.clone()? }),
            Remembered::Host(asked_at, shared) => {
                let fact = Fact::clone(&shared);
                self.host = Some(shared);
                Event::Host(Seen { asked_at, fact })
            }
            Remembered::SameHost(asked_at) => {
                Event::Host(Seen { asked_at, fact: Fact::clone(self.host.as_ref()?) })
            }
            Remembered::SameGateway(asked_at) => {
                Event::Gateway(Seen { asked_at, fact: self.gateway.clone()? })
            }
            Remembered::SameOwnGateway(own, asked_at) => {
                Event::OwnGateway(own, Seen { asked_at, fact: self.own_gateways.get(&own)?.clone() })
            }
        })
    }
}

impl Stretch {
    fn new(now: Time, state: State) -> Self {
        Self { now, state, events: Vec::new(), last: Last::default() }
    }

    fn remember(&mut self, now: Time, event: &Event, sightings: &Sightings) {
        self.events.push((now, self.last.shorten(event, sightings)));
    }

    fn into_events(self) -> impl Iterator<Item = (Time, Event)> {
        let mut last = Last::default();
        self.events.into_iter().filter_map(move |(now, remembered)| Some((now, last.restore(remembered)?)))
    }
}

/// What is to be written, each line made when it is asked for: all those of one switch together are some 300 KB.
pub type Lines = Box<dyn Iterator<Item = Line> + Send>;

/// Steps written after one start at the most: a trace file is begun anew at a start only.
const PLAYED_FROM_ONE_START: usize = 4096;

/// One cluster's recorder.
pub struct Recorder {
    mode: DecisionTrace,
    policy: Policy,
    sightings: Sightings,
    stretches: VecDeque<Stretch>,
    still_to_write: usize,
    started: bool,
    written_since_start: usize,
}

impl Recorder {
    /// A recorder for a cluster with this policy.
    pub fn new(mode: DecisionTrace, policy: Policy, sightings: Sightings) -> Self {
        Self {
            mode,
            policy,
            sightings,
            stretches: VecDeque::new(),
            still_to_write: 0,
            started: false,
            written_since_start: 0,
        }
    }

    /// To be called before each step, with the state that the step will find. Gives the lines to be written now.
    pub fn before(
        &mut self,
        now: Time,
        state: &State,
        event: &Event,
        note: impl Fn() -> String,
    ) -> Option<Lines> {
        let writing = match self.mode {
            DecisionTrace::Off => return None,
            DecisionTrace::All => true,
            DecisionTrace::Switches => self.still_to_write > 0,
        };
        if !writing {
            self.started = false;
            self.remember(now, state, event);
            return None;
        }
        self.still_to_write = self.still_to_write.saturating_sub(1);
        let mut lines = Vec::new();
        self.written_since_start += 1;
        if !mem::replace(&mut self.started, true) || self.written_since_start > PLAYED_FROM_ONE_START {
            self.written_since_start = 0;
            lines.push(self.start(now, state.clone(), note()));
        }
        lines.push(decided(&self.policy, now, &mut state.clone(), event.clone()));
        Some(Box::new(lines.into_iter()))
    }

    /// To be called after a step that switched the VIP: the stretch that led to it.
    pub fn switched(&mut self, note: impl Fn() -> String) -> Option<Lines> {
        if self.mode != DecisionTrace::Switches {
            return None;
        }
        self.still_to_write = AFTERMATH;
        let stretches = mem::take(&mut self.stretches);
        let first = stretches.front()?;
        let mut state = first.state.clone();
        let start = self.start(first.now, state.clone(), note());
        self.started = true;
        let policy = self.policy.clone();
        let events = stretches.into_iter().flat_map(Stretch::into_events);
        let steps = events.map(move |(now, event)| decided(&policy, now, &mut state, event));
        Some(Box::new(iter::once(start).chain(steps)))
    }

    fn remember(&mut self, now: Time, state: &State, event: &Event) {
        if self.stretches.back().is_none_or(|last| last.events.len() >= STRETCH) {
            if self.stretches.len() >= 2 {
                self.stretches.pop_front();
            }
            self.stretches.push_back(Stretch::new(now, state.clone()));
        }
        if let Some(last) = self.stretches.back_mut() {
            last.remember(now, event, &self.sightings);
        }
    }

    fn start(&self, now: Time, state: State, note: String) -> Line {
        Line::Start {
            format: FORMAT,
            now,
            note,
            policy: Box::new(self.policy.clone()),
            state: Box::new(state),
        }
    }
}

fn decided(policy: &Policy, now: Time, state: &mut State, event: Event) -> Line {
    let decision = step(policy, state, &event, now);
    Line::Step { now, event: Box::new(event), decision: Box::new(decision) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use decide::input::{Interface, NotInGroup};
    use decide::policy::{GroupPolicy, VipPolicy};

    use super::*;

    #[test]
    fn what_is_written_of_a_switch_is_what_happened_also_where_the_same_was_seen_again() {
        let policy = Policy::new(GroupPolicy::new(BTreeMap::new()), VipPolicy::new([10, 0, 0, 9].into()));
        let server = |asked, reason| {
            let fact = Fact::Known(Server::NotInGroup(reason));
            Event::Server(Seen { asked_at: Time(asked), fact })
        };
        let host = |of| Host {
            addresses: Vec::new(),
            interfaces: vec![Interface { name: format!("eth{of}"), running: true }],
        };
        let events: Vec<Event> = (1..400)
            .map(|at| match at % 50 {
                0 => Event::Wake,
                25 => server(at, NotInGroup::PluginMissing),
                10 | 11 | 40 => Event::Host(Seen { asked_at: Time(at), fact: Fact::Known(host(at / 200)) }),
                12 | 13 => Event::Gateway(Seen { asked_at: Time(at), fact: Fact::Known(Gateway::Reachable) }),
                _ => server(at, NotInGroup::NotRunning),
            })
            .collect();
        let mut recorder = Recorder::new(DecisionTrace::Switches, policy.clone(), Sightings::default());
        let mut state = State::new(&policy, Time(0));
        for (at, event) in (1..).zip(&events) {
            let lines = recorder.before(Time(at), &state, event, String::new);
            assert!(lines.is_none());
            step(&policy, &mut state, event, Time(at));
        }
        let written: Vec<Event> = recorder
            .switched(String::new)
            .into_iter()
            .flatten()
            .filter_map(|line| match line {
                Line::Step { event, .. } => Some(*event),
                Line::Start { .. } => None,
            })
            .collect();
        assert!(written.len() > STRETCH);
        assert_eq!(written, events[events.len() - written.len()..]);
    }
    #[test]
    fn what_all_clusters_were_told_of_this_host_is_kept_once() {
        let sightings = Sightings::default();
        let told = |name: &str| {
            let interfaces = vec![Interface { name: name.to_owned(), running: true }];
            Event::Host(Seen {
                asked_at: Time(1),
                fact: Fact::Known(Host { addresses: Vec::new(), interfaces }),
            })
        };
        let remembered = |event: &Event| match Last::default().shorten(event, &sightings) {
            Remembered::Host(_, shared) => Some(shared),
            _ => None,
        };
        let (one, other) = (remembered(&told("eth0")), remembered(&told("eth0")));
        assert!(one.zip(other).is_some_and(|(one, other)| Arc::ptr_eq(&one, &other)));
        let changed = remembered(&told("eth1"));
        assert!(
            changed
                .is_some_and(|changed| Event::Host(Seen { asked_at: Time(1), fact: Fact::clone(&changed) })
                    == told("eth1"))
        );
    }
}
