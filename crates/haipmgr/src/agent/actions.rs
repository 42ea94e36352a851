//! Carries out what was decided, in order.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use decide::action::{Action, Outcome};
use decide::event::Event;
use tokio::time::timeout;

use super::{Agent, wiring};
use crate::act::expel::Expel;
use crate::act::{fence, sockets};
use crate::observe::member_port;
use crate::observe::mysql::ask_once;

/// The kernel's answer to an address order is waited for no longer than this.
const ADDRESS_LIMIT: Duration = Duration::from_millis(500);
/// The address does not wait longer than this for the list of its connections.
const LIST_LIMIT: Duration = Duration::from_millis(50);

impl Agent {
    /// Carries out the actions up to the first that fails, which comes back as an event. Gives whether the VIP was to be
    /// added and was not.
    pub(super) async fn carry_out(&mut self, actions: &[Action]) -> bool {
        for action in actions {
            let done = match action {
                Action::AddAddress { card, lifetime } => Some(self.add(card, *lifetime).await),
                Action::RemoveAddress { card } => Some(self.remove(card).await),
                other => {
                    self.carry_out_simple(other).await;
                    None
                }
            };
            let Some(outcome) = done else { continue };
            let failed = matches!(outcome, Outcome::Failed(_));
            if failed {
                self.outcomes.push_back(Event::Done { action: action.clone(), outcome });
                return matches!(action, Action::AddAddress { .. });
            }
        }
        false
    }

    async fn carry_out_simple(&mut self, action: &Action) {
        match action {
            Action::AskServer => self.wiring.ask_server(),
            Action::AskGateway => self.wiring.ask_gateway(),
            Action::AskHost => self.link.ask_now(),
            Action::AskPeer(member) => self.ask_peer(*member),
            Action::LearnNeighbours => self.wiring.learn_neighbours(),
            Action::SendProbe => self.report(|agent| agent.wiring.probe()),
            Action::Announce => self.report(|agent| agent.wiring.announce()),
            Action::ListConnections => self.list_connections().await,
            Action::TickleClients => self.tickle(),
            Action::DestroyConnections => self.destroy(),
            Action::PollEvery(every) => self.wiring.poll_server_every(*every),
            Action::WriteStat(mark) => {
                if let Err(error) = self.stat_file.write(*mark) {
                    self.journal.error(&error.to_string());
                }
            }
            Action::LookAtMember(member) => self.look_at(*member),
            Action::ReadExpelTimeout => self.expel(Expel::read),
            Action::WakeElection => self.expel(Expel::wake),
            Action::SetExpelTimeout { original } => self.expel(|expel| expel.set(*original)),
            Action::RestoreExpelTimeout { value } => self.expel(|expel| expel.restore(*value)),
            Action::Fence { member, name } => self.fence(*member, name),
            Action::AddAddress { .. } | Action::RemoveAddress { .. } => {}
        }
    }

    /// What comes of an order to the server is told by an event.
    fn expel(&self, order: impl FnOnce(&Expel)) {
        if let Some(expel) = self.wiring.expel() {
            order(expel);
        }
    }

    fn look_at(&self, member: IpAddr) {
        let access = wiring::access_to(&self.cluster, member);
        let events = self.events.clone();
        tokio::task::spawn_blocking(move || {
            let seen = member_port::look(&access);
            // Fails only when the agent is stopping.
            let _ = events.send(Event::MemberPort { member, seen });
        });
    }

    fn fence(&self, member: IpAddr, name: &str) {
        let command = self.cluster.fence_command.clone().unwrap_or_default();
        let (name, limit, events) = (name.to_owned(), self.cluster.fence_limit, self.events.clone());
        tokio::spawn(async move {
            let outcome = match fence::run(&command, member, &name, limit).await {
                Ok(()) => Outcome::Succeeded,
                Err(error) => Outcome::Failed(error.to_string()),
            };
            // Fails only when the agent is stopping.
            let _ = events.send(Event::Fenced { member, outcome });
        });
    }

    fn report<E: std::fmt::Display>(&mut self, deed: impl FnOnce(&mut Self) -> Result<(), E>) {
        if let Err(error) = deed(self) {
            self.journal.error(&error.to_string());
        }
    }

    async fn add(&mut self, card: &str, lifetime: Option<Duration>) -> Outcome {
        let label = self.wiring.label(card, self.cluster.mysql_port, &self.journal);
        let (vip, prefix) = (self.cluster.policy.vip, self.cluster.prefix);
        outcome(timeout(ADDRESS_LIMIT, self.addresses.add(card, vip, prefix, &label, lifetime)).await)
    }

    async fn remove(&mut self, card: &str) -> Outcome {
        outcome(timeout(ADDRESS_LIMIT, self.addresses.remove(card, self.cluster.policy.vip)).await)
    }

    fn ask_peer(&self, member: IpAddr) {
        let access = wiring::access_to(&self.cluster, member);
        let events = self.events.clone();
        tokio::task::spawn_blocking(move || {
            let seen = ask_once(&access);
            // Fails only when the agent is stopping.
            let _ = events.send(Event::Peer { member, seen });
        });
    }

    async fn list_connections(&mut self) {
        self.connections = match timeout(LIST_LIMIT, sockets::list(self.cluster.policy.vip)).await {
            Ok(Ok(connections)) => Arc::from(connections),
            Ok(Err(error)) => {
                self.journal.error(&error.to_string());
                Arc::from(Vec::new())
            }
            Err(_) => {
                self.journal
                    .error("the list of the VIP's connections took too long: clients are not tickled");
                Arc::from(Vec::new())
            }
        };
    }

    fn tickle(&self) {
        let (connections, journal) = (Arc::clone(&self.connections), self.journal.clone());
        let vip = self.cluster.policy.vip;
        tokio::spawn(async move {
            if let Err(error) = sockets::tickle(vip, connections).await {
                journal.error(&error.to_string());
            }
        });
    }

    fn destroy(&mut self) {
        let connections = std::mem::replace(&mut self.connections, Arc::from(Vec::new()));
        let journal = self.journal.clone();
        tokio::spawn(async move {
            if let Err(error) = sockets::destroy(connections).await {
                journal.error(&error.to_string());
            }
        });
    }
}

fn outcome<E: std::fmt::Display>(done: Result<Result<(), E>, tokio::time::error::Elapsed>) -> Outcome {
    match done {
        Ok(Ok(())) => Outcome::Succeeded,
        Ok(Err(error)) => Outcome::Failed(error.to_string()),
        Err(_) => {
            Outcome::Failed(format!("the kernel did not answer within {} ms", ADDRESS_LIMIT.as_millis()))
        }
    }
}
