//! What one VIP's deeds leave behind in this process, and how each is carried out: its address, its connections, what arrives late
//! for it, and who asks its former holder for a connection.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use decide::net::Mac;
use decide::output::Outcome;
use decide::policy::VipPolicy;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared, ready};
use tokio::time::timeout;

use crate::act::address::{Addresses, AllAddresses, Company, Label, OwnAddresses};
use crate::act::late_packets::{LatePackets, LatePacketsError};
use crate::act::orphan_syns::OrphanSyns;
use crate::act::sockets::{self, Connection, SocketsError};
use crate::journal::Log;

/// The kernel's answer to an address order is waited for no longer than this.
const ADDRESS_LIMIT: Duration = Duration::from_millis(500);
/// Clients do not wait longer than this for the list of the VIP's connections.
const LIST_LIMIT: Duration = Duration::from_secs(1);

/// Connections, once they are listed. Each clone gives the same ones.
type Listed = Shared<BoxFuture<'static, Arc<[Connection]>>>;

fn no_connections() -> Listed {
    ready(Arc::from(Vec::new())).boxed().shared()
}

/// What cannot be helped while the agent runs, and comes back at each switch: each cause goes to the log once.
#[derive(Clone, Default)]
pub(super) struct Once(Arc<Mutex<BTreeSet<String>>>);

impl Once {
    pub(super) fn error(&self, journal: &Log, cause: impl Into<String>, text: &impl Display) {
        if self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(cause.into()) {
            journal.error(&text.to_string());
        }
    }

    /// It is over; should it come back, it is said again.
    pub(super) fn forget(&self, cause: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(cause);
    }

    fn sockets_error(&self, journal: &Log, error: &SocketsError) {
        match error {
            SocketsError::CannotDestroy { .. } => self.error(journal, "cannot destroy", error),
            SocketsError::MayNotDestroy { .. } => self.error(journal, "may not destroy", error),
            SocketsError::NotForgotten { .. } => self.error(journal, "not forgotten", error),
            other => journal.error(&other.to_string()),
        }
    }

    fn late_packets_error(&self, journal: &Log, error: &LatePacketsError) {
        self.error(journal, error.to_string(), error);
    }
}

/// One VIP on this host.
pub(super) struct VipEdges {
    address: IpAddr,
    /// The prefix length that it is added with.
    prefix: u8,
    /// The members' addresses: the VIP stays behind that of them which is this host's. None: it is on an interface that has none, and stays
    /// behind this host's own there.
    members: Option<Arc<[IpAddr]>>,
    journal: Log,
    once: Once,
    /// What `ListConnections` finds, for `TickleClients` and `DestroyConnections`.
    connections: Listed,
    /// What still arrives for the VIP after it has left.
    late_packets: LatePackets,
    /// Clients that ask a dead holder for a connection.
    orphan_syns: OrphanSyns,
    /// The VIP was added or renewed by the decision that is being carried out.
    tidy: Option<Tidy>,
}

/// How the VIP was added or renewed.
struct Tidy {
    interface: String,
    label: Label,
    lifetime: Option<Duration>,
}

impl VipEdges {
    /// `once`: what the cluster's log was told already.
    pub(super) fn new(vip: &VipPolicy, members: Arc<[IpAddr]>, journal: Log, once: Once) -> Self {
        Self {
            address: vip.address,
            prefix: vip.prefix_length(),
            members: vip.interfaces.is_empty().then_some(members),
            journal,
            once,
            connections: no_connections(),
            late_packets: LatePackets::default(),
            orphan_syns: OrphanSyns::default(),
            tidy: None,
        }
    }

    pub(super) fn address(&self) -> IpAddr {
        self.address
    }

    pub(super) async fn add(
        &mut self,
        addresses: &Addresses,
        interface: &str,
        label: &Label,
        lifetime: Option<Duration>,
    ) -> Outcome {
        self.late_packets.end();
        let order = addresses.add(interface, self.address, self.prefix, label, lifetime);
        let done = outcome(timeout(ADDRESS_LIMIT, order).await.map(|done| done.map(|()| true)));
        self.tidy_after(&done, interface, label, lifetime);
        done
    }

    pub(super) async fn renew(
        &mut self,
        addresses: &Addresses,
        interface: &str,
        label: &Label,
        lifetime: Option<Duration>,
    ) -> Outcome {
        let order = addresses.renew(interface, self.address, self.prefix, label, lifetime);
        let done = outcome(timeout(ADDRESS_LIMIT, order).await);
        self.tidy_after(&done, interface, label, lifetime);
        done
    }

    pub(super) async fn remove(&self, addresses: &Addresses, interface: &str) -> Outcome {
        outcome(timeout(ADDRESS_LIMIT, addresses.remove(interface, self.address)).await)
    }

    /// What came beside the address goes last: the announcement is not to wait for it.
    fn tidy_after(&mut self, done: &Outcome, interface: &str, label: &Label, lifetime: Option<Duration>) {
        let tidy = || Tidy { interface: interface.to_owned(), label: label.clone(), lifetime };
        self.tidy = (*done == Outcome::Succeeded).then(tidy);
    }

    /// Whether it was added or renewed since it was last looked at.
    pub(super) fn is_to_be_tidied(&self) -> bool {
        self.tidy.is_some()
    }

    /// Removes the predecessor's copies beside the VIP that was just put under a lease, and puts it behind the host's own address. Where
    /// `all`, read since, show that there is nothing to do, nothing is done.
    pub(super) async fn tidy(&mut self, addresses: &Addresses, all: Option<&AllAddresses>) {
        let Some(Tidy { interface, label, lifetime }) = self.tidy.take() else { return };
        let own = self.members.as_deref().map_or(OwnAddresses::Unlabelled, OwnAddresses::Among);
        let (address, prefix) = (self.address, self.prefix);
        let company = Company { interface: &interface, address, prefix, leased: lifetime.is_some(), own };
        if all.is_some_and(|all| all.are_tidy(company)) {
            return;
        }
        if lifetime.is_some() {
            let removal = addresses.remove_other_prefixes(&interface, self.address, self.prefix);
            let done = timeout(ADDRESS_LIMIT, removal).await.map(|done| done.map(|()| true));
            if let Outcome::Failed(text) = outcome(done) {
                // The next renewal of the lease tries again.
                self.once.error(&self.journal, text.clone(), &text);
            }
        }
        let move_it = addresses.put_behind(&interface, self.address, self.prefix, &label, lifetime, own);
        match timeout(ADDRESS_LIMIT, move_it).await {
            Ok(Ok(false)) => {}
            Ok(Ok(true)) => self.journal.info(&format!(
                "{}/{} came before this host's own address on {interface}, or had a route: it was put behind it, so that this host's own connections come from its own address; see that its default route is there: ip route",
                self.address, self.prefix
            )),
            failed => {
                if let Outcome::Failed(text) = outcome(failed) {
                    self.once.error(&self.journal, text.clone(), &text);
                }
            }
        }
    }

    pub(super) fn keep_late_packets(&mut self, interface: &str) {
        let (once, journal, vip) = (self.once.clone(), self.journal.clone(), self.address);
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

    pub(super) fn forward_late_packets(&mut self, to: Mac) {
        if let Err(error) = self.late_packets.pass_on(to) {
            self.once.late_packets_error(&self.journal, &error);
        }
    }

    pub(super) fn watch_orphan_syns(&mut self, interface: &str, mac: Mac) {
        if let Err(error) = self.orphan_syns.watch(interface, self.address, mac) {
            self.once.error(&self.journal, error.to_string(), &error);
        }
    }

    pub(super) fn refuse_orphan_syns(&mut self) {
        match self.orphan_syns.refuse() {
            Ok(0) => {}
            Ok(count) => self.journal.info(&format!(
                "{count} clients that tried to connect to the former holder were refused, so that they try again here at once"
            )),
            Err(error) => self.once.error(&self.journal, error.to_string(), &error),
        }
    }

    /// Begins to list them. Nothing waits for it but what is told to the clients: the kernel looks through all its connections, which takes
    /// milliseconds.
    pub(super) fn list_connections(&mut self) {
        let (vip, journal) = (self.address, self.journal.clone());
        let listing = async move {
            match timeout(LIST_LIMIT, sockets::list(vip)).await {
                Ok(Ok(connections)) => return Arc::from(connections),
                Ok(Err(error)) => journal.error(&error.to_string()),
                Err(_) => journal.error("listing the VIP's connections took too long: the clients are not told that the VIP moves, and find out by their own time-outs"),
            }
            Arc::from(Vec::new())
        };
        self.connections = listing.boxed().shared();
        tokio::spawn(self.connections.clone());
    }

    pub(super) fn end_orphan_syns(&mut self) {
        self.orphan_syns.end();
    }

    pub(super) fn tickle(&self) {
        let (once, journal, vip) = (self.once.clone(), self.journal.clone(), self.address);
        let connections = self.connections.clone();
        tokio::spawn(async move {
            if let Err(error) = sockets::tickle(vip, connections.await).await {
                once.sockets_error(&journal, &error);
            }
        });
    }

    /// The listed ones, and what the kernel remembers of those that are over.
    pub(super) fn destroy(&mut self) {
        let connections = std::mem::replace(&mut self.connections, no_connections());
        let (once, journal, vip) = (self.once.clone(), self.journal.clone(), self.address);
        tokio::spawn(async move {
            for done in [sockets::destroy(connections.await).await, sockets::forget_ended(vip).await] {
                if let Err(error) = done {
                    once.sockets_error(&journal, &error);
                }
            }
        });
    }
}

/// `true`: the address was there to be changed.
fn outcome<E: Display>(done: Result<Result<bool, E>, tokio::time::error::Elapsed>) -> Outcome {
    match done {
        Ok(Ok(true)) => Outcome::Succeeded,
        Ok(Ok(false)) => Outcome::Gone,
        Ok(Err(error)) => failed(error),
        Err(_) => {
            Outcome::Failed(format!("the kernel did not answer within {} ms", ADDRESS_LIMIT.as_millis()))
        }
    }
}

pub(super) fn failed(error: impl Display) -> Outcome {
    Outcome::Failed(error.to_string())
}
