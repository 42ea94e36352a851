//! Carries out what was decided, in order.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use decide::action::{Action, Outcome, VipAction};
use decide::event::{Event, Mac};
use tokio::time::timeout;

use super::{Agent, wiring};
use crate::act::expel::Expel;
use crate::act::late_packets::LatePacketsError;
use crate::act::sockets::{self, SocketsError};
use crate::journal::Log;
use crate::observe::mysql::ask_and_tell;

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
    /// Carries out one deed. Only an order about the address, and a probe, can fail here; what else goes wrong is said in the
    /// log.
    pub(super) async fn carry_out_deed(&mut self, action: &Action) -> Outcome {
        // What came beside the address goes last: the announcement is not to wait for it.
        match action {
            Action::Vip(_, VipAction::AddAddress { interface, lifetime }) => {
                let done = self.add(interface, *lifetime).await;
                self.tidy = lifetime.and_then(|_| succeeded(&done)).map(|()| interface.clone());
                done
            }
            Action::Vip(_, VipAction::RenewAddress { interface, lifetime }) => {
                let done = self.renew(interface, *lifetime).await;
                self.tidy = lifetime.and_then(|_| succeeded(&done)).map(|()| interface.clone());
                done
            }
            Action::Vip(_, VipAction::RemoveAddress { interface }) => self.remove(interface).await,
            // The rules say it, for a probe that was not sent must not count as unanswered.
            Action::Vip(_, VipAction::SendProbe) => match self.wiring.probe() {
                Ok(()) => Outcome::Succeeded,
                Err(error) => Outcome::Failed(error.to_string()),
            },
            other => {
                self.carry_out_simple(other).await;
                Outcome::Succeeded
            }
        }
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
            Action::Vip(_, action) => self.carry_out_for_vip(action).await,
        }
    }

    async fn carry_out_for_vip(&mut self, action: &VipAction) {
        match action {
            VipAction::AskWhoHasVip => self.wiring.ask_who_has_vip(),
            VipAction::AnnounceRelease(to) => self.report(|agent| agent.wiring.announce_release(*to)),
            VipAction::Announce => self.report(|agent| agent.wiring.announce()),
            VipAction::ListConnections => self.list_connections().await,
            VipAction::KeepLatePackets { interface } => self.keep_late_packets(interface),
            VipAction::ForwardLatePackets(to) => self.forward_late_packets(*to),
            VipAction::WatchOrphanSyns { interface, mac } => self.watch_orphan_syns(interface, *mac),
            VipAction::RefuseOrphanSyns => self.refuse_orphan_syns(),
            VipAction::EndOrphanSyns => self.orphan_syns.end(),
            VipAction::TickleClients => self.tickle(),
            VipAction::DestroyConnections => self.destroy(),
            VipAction::AddAddress { .. }
            | VipAction::RenewAddress { .. }
            | VipAction::RemoveAddress { .. }
            | VipAction::SendProbe => {}
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
        let order = self.shared.addresses.add(interface, vip, prefix, &label, lifetime);
        outcome(timeout(ADDRESS_LIMIT, order).await.map(|done| done.map(|()| true)))
    }

    async fn renew(&mut self, interface: &str, lifetime: Option<Duration>) -> Outcome {
        let label = self.wiring.label(interface, self.cluster.mysql_port, &self.journal);
        let (vip, prefix) = (self.cluster.policy.vip, self.cluster.prefix);
        let order = self.shared.addresses.renew(interface, vip, prefix, &label, lifetime);
        outcome(timeout(ADDRESS_LIMIT, order).await)
    }

    async fn remove(&mut self, interface: &str) -> Outcome {
        let removal = self.shared.addresses.remove(interface, self.cluster.policy.vip);
        outcome(timeout(ADDRESS_LIMIT, removal).await)
    }

    /// Removes the predecessor's copies beside the VIP that was just put under a lease.
    pub(super) async fn remove_other_prefixes(&mut self, interface: &str) {
        let (vip, prefix) = (self.cluster.policy.vip, self.cluster.prefix);
        let removal = self.shared.addresses.remove_other_prefixes(interface, vip, prefix);
        let done = timeout(ADDRESS_LIMIT, removal).await.map(|done| done.map(|()| true));
        if let Outcome::Failed(text) = outcome(done) {
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

fn succeeded(outcome: &Outcome) -> Option<()> {
    (*outcome == Outcome::Succeeded).then_some(())
}

/// `true`: the address was there to be changed.
fn outcome<E: Display>(done: Result<Result<bool, E>, tokio::time::error::Elapsed>) -> Outcome {
    match done {
        Ok(Ok(true)) => Outcome::Succeeded,
        Ok(Ok(false)) => Outcome::Gone,
        Ok(Err(error)) => Outcome::Failed(error.to_string()),
        Err(_) => {
            Outcome::Failed(format!("the kernel did not answer within {} ms", ADDRESS_LIMIT.as_millis()))
        }
    }
}
