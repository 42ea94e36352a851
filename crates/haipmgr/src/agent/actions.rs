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
use crate::act::sockets::{self, SocketsError};
use crate::act::stragglers::StragglersError;
use crate::clock;
use crate::journal::Log;
use crate::observe::mysql::ask_and_tell;

/// Between the decision to take the VIP and the deed: a claimant that probes meanwhile finds it free after 60 ms. The
/// simulator assumes the same.
const PROOF_HOLDS_FOR: Duration = Duration::from_millis(20);
/// Between the order to remove the VIP and the word to one other host that it is free: others may find it free after 60 ms,
/// and that host needs some of them too.
const WORD_WITHIN: Duration = Duration::from_millis(10);
const TOO_LATE: &str = "VIP not started: this host was held up between the decision and the deed, and the proof is too old; \
                        it is claimed anew in a second (is the host short of processor time?)";
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

    fn stragglers_error(&self, journal: &Log, error: &StragglersError) {
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
                Action::AddAddress { card, lifetime } => Some(self.add(card, *lifetime).await),
                Action::RemoveAddress { card } => {
                    let ordered_at = clock::now();
                    let (outcome, was_here) = self.remove(card).await;
                    removed_at = was_here.then_some(ordered_at);
                    Some(outcome)
                }
                Action::SayFree(to) => {
                    let at_once = removed_at.is_some_and(|at| clock::now().since(at) <= WORD_WITHIN);
                    self.report(|agent| agent.wiring.say_free(to.filter(|_| at_once)));
                    None
                }
                other => {
                    self.carry_out_simple(other).await;
                    None
                }
            };
            if let (Action::AddAddress { card, lifetime: Some(_) }, Some(Outcome::Succeeded)) =
                (action, &done)
            {
                added = Some(card);
            }
            let Some(outcome) = done else { continue };
            let failed = matches!(outcome, Outcome::Failed(_));
            if failed {
                self.outcomes.push_back(Event::Done { action: action.clone(), outcome });
                return matches!(action, Action::AddAddress { .. });
            }
        }
        // Last: the announcement is not to wait for it.
        if let Some(card) = added {
            self.remove_other_prefixes(card).await;
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
            Action::LearnNeighbours => self.wiring.learn_neighbours(),
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
            Action::KeepStragglers { card } => self.keep_stragglers(card),
            Action::PassOnStragglers(to) => self.pass_on_stragglers(*to),
            Action::WatchStrays { card, mac } => self.watch_strays(card, *mac),
            Action::RefuseStrays => self.refuse_strays(),
            Action::EndStrays => self.strays.end(),
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
            Action::AddAddress { .. } | Action::RemoveAddress { .. } | Action::SayFree(_) => {}
        }
    }

    fn report<E: Display>(&mut self, deed: impl FnOnce(&mut Self) -> Result<(), E>) {
        if let Err(error) = deed(self) {
            self.journal.error(&error.to_string());
        }
    }

    async fn add(&mut self, card: &str, lifetime: Option<Duration>) -> Outcome {
        let label = self.wiring.label(card, self.cluster.mysql_port, &self.journal);
        let (vip, prefix) = (self.cluster.policy.vip, self.cluster.prefix);
        self.stragglers.end();
        outcome(timeout(ADDRESS_LIMIT, self.shared.addresses.add(card, vip, prefix, &label, lifetime)).await)
    }

    /// Gives also whether there was something to remove.
    async fn remove(&mut self, card: &str) -> (Outcome, bool) {
        let removal = self.shared.addresses.remove(card, self.cluster.policy.vip);
        let done = timeout(ADDRESS_LIMIT, removal).await;
        let was_here = matches!(done, Ok(Ok(true)));
        (outcome(done), was_here)
    }

    async fn remove_other_prefixes(&mut self, card: &str) {
        let (vip, prefix) = (self.cluster.policy.vip, self.cluster.prefix);
        let removal = self.shared.addresses.remove_other_prefixes(card, vip, prefix);
        if let Outcome::Failed(text) = outcome(timeout(ADDRESS_LIMIT, removal).await) {
            // The next renewal of the lease tries again.
            self.once.error(&self.journal, text.clone(), &text);
        }
    }

    fn keep_stragglers(&mut self, card: &str) {
        let (once, journal, vip) = (self.once.clone(), self.journal.clone(), self.cluster.policy.vip);
        let ended = move |outcome| match outcome {
            Ok(0) => {}
            Ok(count) => journal.info(&format!(
                "packets that still came here for {vip} and were passed on to its new holder: {count}"
            )),
            Err(error) => once.stragglers_error(&journal, &error),
        };
        if let Err(error) = self.stragglers.keep(card, vip, ended) {
            self.once.stragglers_error(&self.journal, &error);
        }
    }

    fn pass_on_stragglers(&mut self, to: Mac) {
        if let Err(error) = self.stragglers.pass_on(to) {
            self.once.stragglers_error(&self.journal, &error);
        }
    }

    fn watch_strays(&mut self, card: &str, mac: Mac) {
        if let Err(error) = self.strays.watch(card, self.cluster.policy.vip, mac) {
            self.once.error(&self.journal, error.to_string(), &error);
        }
    }

    fn refuse_strays(&mut self) {
        match self.strays.refuse() {
            Ok(0) => {}
            Ok(count) => self.journal.info(&format!(
                "{count} clients that knocked at the former holder were refused, to try again here"
            )),
            Err(error) => self.once.error(&self.journal, error.to_string(), &error),
        }
    }

    fn ask_peer(&self, member: IpAddr) {
        let access = wiring::access_to(&self.cluster, member);
        let events = self.events.clone();
        // Fails only when the agent is stopping.
        let tell = move |seen| drop(events.send(Event::Peer { member, seen }));
        if let Err(error) = ask_and_tell(&self.wiring.servers(), access, tell) {
            self.journal.error(&error.to_string());
        }
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
