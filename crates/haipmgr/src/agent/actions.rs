//! Carries out what was decided, in order.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use decide::Decision;
use decide::action::{Action, Outcome};
use decide::event::{Event, Mac};
use decide::time::Time;
use tokio::time::timeout;

use super::{Agent, wiring};
use crate::act::expel::Expel;
use crate::act::late_packets::LatePacketsError;
use crate::act::sockets::{self, SocketsError};
use crate::clock;
use crate::journal::Log;
use crate::observe::mysql::ask_once;

/// Between the decision to take the VIP and the deed: a claimant that probes meanwhile finds it free after 60 ms. The
/// simulator assumes the same.
const PROOF_HOLDS_FOR: Duration = Duration::from_millis(20);
/// Between the order to remove the VIP and the word to one other host that it is free: others may find it free after 60 ms,
/// and that host needs some of them too.
const WORD_WITHIN: Duration = Duration::from_millis(10);
const TOO_LATE: &str = "VIP not started: the agent was delayed for too long after the decision; \
                        it tries again in a second (is the host short of processor time?)";
/// The kernel's answer to an address order is waited for no longer than this.
const ADDRESS_LIMIT: Duration = Duration::from_millis(500);
/// The address does not wait longer than this for the list of its connections.
const LIST_LIMIT: Duration = Duration::from_millis(50);

/// What cannot be helped while the agent runs, and comes back at each switch: each cause goes to the log once.
#[derive(Clone, Default)]
pub(super) struct Once(Arc<Mutex<BTreeSet<String>>>);

impl Once {
    fn error(&self, journal: &Log, cause: impl Into<String>, text: &impl Display) {
        if self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(cause.into()) {
            journal.error(&text.to_string());
        }
    }

    fn sockets_error(&self, journal: &Log, error: &SocketsError) {
        match error {
            SocketsError::CannotDestroy { .. } => self.error(journal, "cannot destroy", error),
            SocketsError::MayNotDestroy { .. } => self.error(journal, "may not destroy", error),
            other => journal.error(&other.to_string()),
        }
    }

    fn late_packets_error(&self, journal: &Log, error: &LatePacketsError) {
        self.error(journal, error.to_string(), error);
    }
}

impl Agent {
    /// Carries out the actions up to the first that fails, which comes back as an event. Gives whether the VIP was to be
    /// added and was not.
    pub(super) async fn carry_out(&mut self, decision: &Decision, decided: Time) -> bool {
        let starts = decision.stage_5() == 2;
        let mut added = None;
        let mut removed_at = None;
        for action in &decision.actions {
            let done = match action {
                Action::AddAddress { .. } if starts && clock::now().since(decided) > PROOF_HOLDS_FOR => {
                    Some(Outcome::Failed(TOO_LATE.to_owned()))
                }
                Action::AddAddress { interface, lifetime } => Some(self.add(interface, *lifetime).await),
                Action::RemoveAddress { interface } => {
                    let ordered_at = clock::now();
                    let (outcome, was_here) = self.remove(interface).await;
                    removed_at = was_here.then_some(ordered_at);
                    Some(outcome)
                }
                Action::AnnounceRelease(to) => {
                    let at_once = removed_at.is_some_and(|at| clock::now().since(at) <= WORD_WITHIN);
                    self.report(|agent| agent.wiring.announce_release(to.filter(|_| at_once)));
                    None
                }
                other => {
                    self.carry_out_simple(other).await;
                    None
                }
            };
            if let (Action::AddAddress { interface, lifetime: Some(_) }, Some(Outcome::Succeeded)) =
                (action, &done)
            {
                added = Some(interface);
            }
            let Some(outcome) = done else { continue };
            let failed = matches!(outcome, Outcome::Failed(_));
            if failed {
                self.outcomes.push_back(Event::Done { action: action.clone(), outcome });
                return matches!(action, Action::AddAddress { .. });
            }
        }
        // Last: the announcement is not to wait for it.
        if let Some(interface) = added {
            self.remove_other_prefixes(interface).await;
        }
        false
    }

    /// What the switch of an address needs is opened, and loaded by the kernel, before it is needed.
    pub(super) fn prepare(&self) {
        self.shared.addresses.prepare();
        let (vip, journal) = (self.cluster.policy.vip, self.journal.clone());
        tokio::spawn(async move {
            // The first question makes the kernel load tcp_diag.
            if let Err(error) = sockets::list(vip).await {
                journal.error(&error.to_string());
            }
        });
    }

    async fn carry_out_simple(&mut self, action: &Action) {
        match action {
            Action::AskServer => self.wiring.ask_server(),
            Action::AskGateway => self.wiring.ask_gateway(),
            Action::AskHost => self.shared.ask_host(),
            Action::AskPeer(member) => self.ask_peer(*member),
            Action::LearnNeighbors => self.wiring.learn_neighbors(),
            Action::AskWhoHasVip => self.wiring.ask_who_has_vip(),
            Action::SendProbe => {
                // The rules say it, for a probe that was not sent must not count as unanswered.
                if let Err(error) = self.wiring.probe() {
                    let outcome = Outcome::Failed(error.to_string());
                    self.outcomes.push_back(Event::Done { action: action.clone(), outcome });
                }
            }
            Action::Announce => self.report(|agent| agent.wiring.announce()),
            Action::ListConnections => self.list_connections().await,
            Action::KeepLatePackets { interface } => self.keep_late_packets(interface),
            Action::ForwardLatePackets(to) => self.forward_late_packets(*to),
            Action::WatchOrphanSyns { interface, mac } => self.watch_orphan_syns(interface, *mac),
            Action::RefuseOrphanSyns => self.refuse_orphan_syns(),
            Action::EndOrphanSyns => self.orphan_syns.end(),
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
            Action::WakeExpel => self.expel(Expel::wake),
            Action::SetExpelTimeout { original } => self.expel(|expel| expel.set(*original)),
            Action::RestoreExpelTimeout { value } => self.expel(|expel| expel.restore(*value)),
            Action::Fence { member, name } => self.fence(*member, name),
            Action::AddAddress { .. } | Action::RemoveAddress { .. } | Action::AnnounceRelease(_) => {}
        }
    }

    fn report<E: Display>(&mut self, deed: impl FnOnce(&mut Self) -> Result<(), E>) {
        if let Err(error) = deed(self) {
            self.journal.error(&error.to_string());
        }
    }

    async fn add(&mut self, interface: &str, lifetime: Option<Duration>) -> Outcome {
        let label = self.wiring.label(interface, self.cluster.mysql_port, &self.journal);
        let (vip, prefix) = (self.cluster.policy.vip, self.cluster.prefix);
        self.late_packets.end();
        outcome(
            timeout(ADDRESS_LIMIT, self.shared.addresses.add(interface, vip, prefix, &label, lifetime)).await,
        )
    }

    /// Gives also whether there was something to remove.
    async fn remove(&mut self, interface: &str) -> (Outcome, bool) {
        let removal = self.shared.addresses.remove(interface, self.cluster.policy.vip);
        let done = timeout(ADDRESS_LIMIT, removal).await;
        let was_here = matches!(done, Ok(Ok(true)));
        (outcome(done), was_here)
    }

    async fn remove_other_prefixes(&mut self, interface: &str) {
        let (vip, prefix) = (self.cluster.policy.vip, self.cluster.prefix);
        let removal = self.shared.addresses.remove_other_prefixes(interface, vip, prefix);
        if let Outcome::Failed(text) = outcome(timeout(ADDRESS_LIMIT, removal).await) {
            // The next renewal of the lease tries again.
            self.once.error(&self.journal, text.clone(), &text);
        }
    }

    fn keep_late_packets(&mut self, interface: &str) {
        let (once, journal, vip) = (self.once.clone(), self.journal.clone(), self.cluster.policy.vip);
        let ended = move |outcome| match outcome {
            Ok(0) => {}
            Ok(count) => {
                journal.info(&format!("{count} late packets for {vip} were passed on to its new holder"));
            }
            Err(error) => once.late_packets_error(&journal, &error),
        };
        if let Err(error) = self.late_packets.keep(interface, vip, ended) {
            self.once.late_packets_error(&self.journal, &error);
        }
    }

    fn forward_late_packets(&mut self, to: Mac) {
        if let Err(error) = self.late_packets.pass_on(to) {
            self.once.late_packets_error(&self.journal, &error);
        }
    }

    fn watch_orphan_syns(&mut self, interface: &str, mac: Mac) {
        if let Err(error) = self.orphan_syns.watch(interface, self.cluster.policy.vip, mac) {
            self.once.error(&self.journal, error.to_string(), &error);
        }
    }

    fn refuse_orphan_syns(&mut self) {
        match self.orphan_syns.refuse() {
            Ok(0) => {}
            Ok(count) => self.journal.info(&format!(
                "{count} clients that tried to connect to the former holder were refused, so that they try again here at once"
            )),
            Err(error) => self.once.error(&self.journal, error.to_string(), &error),
        }
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
                    .error("listing the VIP's connections took too long: the clients are not told that the VIP moves, and find out by their own time-outs");
                Arc::from(Vec::new())
            }
        };
    }

    fn tickle(&self) {
        let (once, journal, vip) = (self.once.clone(), self.journal.clone(), self.cluster.policy.vip);
        let connections = Arc::clone(&self.connections);
        tokio::spawn(async move {
            if let Err(error) = sockets::tickle(vip, connections).await {
                once.sockets_error(&journal, &error);
            }
        });
    }

    fn destroy(&mut self) {
        let connections = std::mem::replace(&mut self.connections, Arc::from(Vec::new()));
        let (once, journal) = (self.once.clone(), self.journal.clone());
        tokio::spawn(async move {
            if let Err(error) = sockets::destroy(connections).await {
                once.sockets_error(&journal, &error);
            }
        });
    }
}

fn outcome<T, E: Display>(done: Result<Result<T, E>, tokio::time::error::Elapsed>) -> Outcome {
    match done {
        Ok(Ok(_)) => Outcome::Succeeded,
        Ok(Err(error)) => Outcome::Failed(error.to_string()),
        Err(_) => {
            Outcome::Failed(format!("the kernel did not answer within {} ms", ADDRESS_LIMIT.as_millis()))
        }
    }
}
