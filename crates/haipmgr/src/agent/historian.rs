//! Writes the history: one line for each switch of a VIP, once the servers have said who ordered it. Nothing here is waited for by
//! whoever decides.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use decide::history::{History, Kind, Row};
use decide::input::Event;
use decide::output::{Action, Outcome};
use decide::time::Time;
use decide::{Decision, State};

use crate::clock;
use crate::config::{Cluster, Happening};
use crate::file_writer;
use crate::history::learn::Question;
use crate::history::{Record, Written, append};
use crate::hooks::{Hooks, Message};
use crate::journal::Log;
use crate::server_access::Servers;
use crate::tally::Tally;

/// A line that is being learnt more of. Whoever takes it writes it.
type Open = Arc<Mutex<Option<Record>>>;

/// One cluster's history.
pub(super) struct Historian {
    history: History,
    /// None: no history is kept.
    path: Option<PathBuf>,
    listeners: Listeners,
    open: Vec<Open>,
}

/// Who hears of each switch beside the file.
#[derive(Clone)]
pub(super) struct Listeners {
    pub(super) journal: Log,
    pub(super) tally: Tally,
    pub(super) hooks: Hooks,
}

impl Historian {
    pub(super) fn new(path: Option<PathBuf>, listeners: Listeners) -> Self {
        Self { history: History::default(), path, listeners, open: Vec::new() }
    }

    /// A step was made; its orders follow.
    pub(super) fn decided(
        &mut self,
        cluster: &Cluster,
        state: &State,
        event: &Event,
        decision: &Decision,
        now: Time,
    ) {
        if self.path.is_some() {
            self.history.decided(&cluster.policy, state, event, decision, now);
        }
    }

    /// How an order went.
    pub(super) fn done(&mut self, action: &Action, outcome: &Outcome) {
        if self.path.is_some() && matches!(action, Action::Vip(..)) {
            self.history.done(action, outcome, clock::now());
        }
    }

    /// Writes what has come of it, or has it asked about first.
    pub(super) fn settled(&mut self, cluster: &Cluster, servers: impl FnOnce() -> Servers) {
        let rows = self.history.take_rows();
        if rows.is_empty() {
            return;
        }
        self.open.retain(|open| open.lock().unwrap_or_else(PoisonError::into_inner).is_some());
        let servers = servers();
        for row in rows {
            self.tell(cluster, row, &servers);
        }
    }

    fn tell(&mut self, cluster: &Cluster, row: Row, servers: &Servers) {
        let (Some(path), Some(vip)) = (self.path.clone(), cluster.policy.vips.get(&row.vip)) else { return };
        let written = Written {
            cluster: cluster.name.clone(),
            port: cluster.mysql_port,
            vips: cluster.policy.vips.len(),
            vip: vip.address,
            role: vip.role,
            now: clock::now(),
            wall: jiff::Timestamp::now(),
        };
        let record = Record::of(&row, &written);
        let Some(question) = Question::about(&row, cluster) else {
            self.listeners.tell(path, record);
            return;
        };
        let open: Open = Arc::new(Mutex::new(Some(record)));
        self.open.push(Arc::clone(&open));
        let listeners = self.listeners.clone();
        let asked = servers.spawn(async move {
            let learnt = question.ask().await;
            if take(&open).is_some() {
                listeners.tell(path, Record::learnt(row, &written, &learnt));
            }
        });
        if asked.is_err() {
            self.write_open();
        }
    }

    /// The agent ends: what is being learnt more of is written as it is.
    pub(super) fn write_open(&mut self) {
        let Some(path) = &self.path else { return };
        for record in self.open.drain(..).filter_map(|open| take(&open)) {
            self.listeners.tell(path.clone(), record);
        }
    }
}

fn take(open: &Open) -> Option<Record> {
    open.lock().unwrap_or_else(PoisonError::into_inner).take()
}

fn count(record: &Record, tally: &Tally) {
    let kind = match record.kind {
        Kind::Came => "came",
        Kind::Left => "left",
    };
    let parts = record.outage.iter().flat_map(|outage| {
        [
            ("noticed", outage.noticed_ms),
            ("elected", outage.elected_ms),
            ("claimed", outage.claimed_ms),
            ("announced", outage.announced_ms),
            ("total", Some(outage.total_ms)),
        ]
    });
    let parts: Vec<_> = parts.filter_map(|(part, ms)| Some((part, ms?))).collect();
    tally.switched(record.vip, kind, &record.code, &parts);
}

impl Listeners {
    /// Writes it, counts it, and has its hook run.
    fn tell(&self, path: PathBuf, record: Record) {
        let record = record.finished();
        count(&record, &self.tally);
        let hook = match record.kind {
            Kind::Came => Happening::OnAcquire,
            Kind::Left => Happening::OnRelease,
        };
        self.hooks.tell(hook, |host| Message::of_switch(hook, host, record.clone()));
        let journal = self.journal.clone();
        let handed_over = file_writer::hand_over(Box::new(move || {
            if let Err(error) = append(&path, &record) {
                journal.error(&format!("the history {} can't be written: {error}", path.display()));
            }
        }));
        if !handed_over {
            self.journal.error("a line of the history is lost: the disk is too slow");
        }
    }
}
