//! What nobody tells the rules of, and a person should read in the log: a removed file, a server that listens elsewhere, a primary that stays
//! read-only, a kernel that answers no ARP, a changed way of the frames. Decides nothing.

use std::collections::BTreeSet;
use std::net::IpAddr;

use decide::State;
use decide::checks::{Cause, Finding};
use tokio::time::Instant;

use super::{Agent, held};
use crate::clock;
use crate::observe::link::PathChange;
use crate::observe::{arp_kept_in, listening};

const READ_ONLY: &str = "this server has been the primary and read-only for a while, and does not take the VIP: clients can't write. It may have a backlog \
     to apply; where super_read_only stays on, switch it off on this server, and look for mysql_disable_super_read_only_if_primary in \
     performance_schema.replication_group_member_actions";

impl Agent {
    /// The way of the frames has changed: the VIP, where it is held there, is announced anew.
    pub(super) fn follow_path(&mut self, change: &PathChange, state: &State) {
        if !held(state).any(|(_, interface)| interface == change.interface) {
            return;
        }
        self.announce_again.begin(Instant::now());
        let PathChange { interface, what } = change;
        let text = format!("{interface}: {what}; the VIP is announced again");
        if let Some(line) = self.log_dedup.info(clock::now(), text) {
            line.write(&self.journal);
        }
    }

    /// The primary that takes no writes does not take the VIP: said once it was so at two looks, for it is so for a moment at each switchover.
    fn look_at_read_only(&mut self, state: &State) {
        let read_only = Finding::Failed(Cause::ReadOnly) == state.stages(&self.cluster.policy).primary.0;
        let holds = held(state).any(|(vip, _)| !self.cluster.policy.is_for_readers(vip));
        let before = std::mem::replace(&mut self.was_read_only, read_only && !holds);
        if !self.was_read_only {
            self.once.forget(READ_ONLY);
        } else if before {
            self.once.error(&self.journal, READ_ONLY, &READ_ONLY);
        }
    }

    /// What nobody tells of: a removed file, a server that listens elsewhere.
    pub(super) fn look_around(&mut self, state: &State) {
        if let Err(error) = self.stat_file.put_back() {
            self.once.error(&self.journal, error.to_string(), &error);
        }
        for error in self.reader_stats.look(clock::now()) {
            self.once.error(&self.journal, error.to_string(), &error);
        }
        self.look_at_read_only(state);
        self.look_at_listeners(state);
    }

    /// A server that listens elsewhere refuses the VIP's clients.
    fn look_at_listeners(&self, state: &State) {
        let mut here = Vec::new();
        for (id, vip) in &self.cluster.policy.vips {
            if held(state).any(|(held, _)| held == *id) {
                here.push(vip.address);
            } else {
                self.once.forget(&nobody_listens_at(vip.address));
            }
        }
        if here.is_empty() {
            return;
        }
        let (once, journal, port) = (self.once.clone(), self.journal.clone(), self.cluster.mysql_port);
        tokio::task::spawn_blocking(move || {
            for (vip, remark) in listening::remarks(here, port) {
                match remark {
                    Some(text) => once.error(&journal, nobody_listens_at(vip), &text),
                    None => once.forget(&nobody_listens_at(vip)),
                }
            }
        });
    }

    /// The VIP stays here without an agent, so that only the kernel's answers keep others from taking it.
    pub(super) fn say_what_keeps_arp_in(&self, state: &State) {
        let interfaces: BTreeSet<&str> = held(state).map(|(_, interface)| interface).collect();
        for remark in interfaces.into_iter().filter_map(arp_kept_in::remark) {
            self.journal.error(&format!(
                "{remark}. Without an agent here nobody lets the VIP go after a switchover either: end this agent with haipmgr stop --release, or mend that first"
            ));
        }
    }
}

/// The name of this trouble, by which it is said once.
fn nobody_listens_at(vip: IpAddr) -> String {
    format!("nobody listens at {vip}")
}
