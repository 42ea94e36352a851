//! What a fault does to the world.

use decide::event::Event;
use decide::state::State;
use decide::time::Time;

use super::{Due, World};
use crate::group::{Place, Process};

/// What a fault does to the world, at its time.
#[derive(Clone, Debug)]
pub enum Change {
    /// A server treats questions so from now on.
    Process(Place, Process),
    /// A server shows the group's truth as it is now, read-only or not, unable to reach these.
    Show(Place, bool, Vec<Place>),
    /// The group agrees on a new view of these members, led by the second.
    View(Vec<Place>, Place),
    /// The group elects this primary in the same view.
    Elect(Place),
    /// Nobody takes writes any more.
    NotWritable,
    /// The elected primary takes writes from now on.
    Writable(Place),
    /// Power off.
    PowerOff(Place),
    /// Someone removes the VIP by hand.
    RemoveByHand(Place),
    /// The gateway answers this host no more, or again.
    GatewayAnswers(Place, bool),
    /// The host is cut off from the whole segment, its gateway too, or is back on it.
    Isolated(Place, bool),
    /// The agent is held up until then.
    Hang(Place, Time),
    /// The agent ends, with or without a word.
    AgentEnds {
        /// Where.
        host: Place,
        /// It is told to stop (SIGTERM), and not killed.
        told: bool,
    },
    /// An agent starts.
    AgentStarts(Place),
}

impl World {
    pub(super) fn change(&mut self, change: Change) {
        self.tell(&format!("— {change:?}"));
        match change {
            Change::Process(host, process) => self.hosts[host].server.process = process,
            Change::Show(host, read_only, unreachable) => {
                self.hosts[host].server.shows = self.group.seen_by(host, read_only, &unreachable);
            }
            Change::View(members, primary) => {
                self.group.counter += 1;
                self.group.members = members;
                self.group.primary = primary;
            }
            Change::Elect(primary) => self.group.primary = primary,
            Change::NotWritable => {
                self.group.writable = None;
                self.following_since = None;
            }
            Change::Writable(host) => {
                self.group.writable = Some((host, self.now));
                self.following_since = Some(self.now);
            }
            Change::PowerOff(host) => {
                self.hosts[host].powered = false;
                self.hosts[host].vip = None;
                self.hosts[host].agent = None;
            }
            Change::RemoveByHand(host) => {
                self.set_vip(host, None);
                self.following_since = self.group.writable.map(|_| self.now);
            }
            Change::GatewayAnswers(host, answers) => {
                self.hosts[host].gateway_lost_since = (!answers).then_some(self.now);
                self.following_since = None;
            }
            Change::Isolated(host, isolated) => {
                self.hosts[host].isolated = isolated;
                self.hosts[host].gateway_lost_since = isolated.then_some(self.now);
            }
            Change::Hang(host, until) => self.hosts[host].busy_until = until,
            Change::AgentEnds { host, told } => {
                if told {
                    self.step(host, &Event::Stopping);
                    let ready: Vec<_> = self
                        .due
                        .iter()
                        .filter(|(_, due)| matches!(due, Due::Deed { host: at, .. } if *at == host))
                        .map(|(key, _)| *key)
                        .collect();
                    for key in ready {
                        if let Some(Due::Deed { decided, actions, .. }) = self.due.remove(&key) {
                            self.carry_out(host, decided, actions);
                        }
                    }
                }
                self.hosts[host].agent = None;
            }
            Change::AgentStarts(host) if self.hosts[host].powered => {
                let agent = &mut self.hosts[host];
                agent.life += 1;
                agent.agent = Some(State::new(self.now));
                agent.busy_until = self.now;
                agent.asking = false;
                agent.ask_again = false;
                agent.poll = self.policy.poll_interval;
                let life = agent.life;
                self.push(self.now, Due::Poll { host, life });
                self.tell_agent(host, life, Event::Wake);
            }
            Change::AgentStarts(_) => {}
        }
    }
}
