//! The agent's end of `haipmgr drain` and `undrain`: which clusters take no VIP on this host, kept in a file each that outlives the
//! agent and ends with the next boot.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use crate::agent::{Orders, PauseOrders};
use crate::config::{Cluster, Config};
use crate::control::Order;
use crate::control::message::{Answer, Request};
use crate::journal::Log;

/// How long a VIP may take to be given up.
const GIVEN_UP_WITHIN: Duration = Duration::from_secs(5);

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// Which clusters are drained, and which have given their VIP up.
pub(super) struct Drains {
    drained: watch::Sender<BTreeSet<String>>,
    given_up: watch::Receiver<BTreeSet<String>>,
    files: Vec<(String, PathBuf)>,
}

impl Drains {
    /// As the files say, with what the agents need to be told of it. A file of an earlier boot says nothing.
    pub(super) fn begin(config: &Config, log: &Log, pauses: PauseOrders) -> (Self, Orders) {
        let drained = kept(config);
        if !drained.is_empty() {
            log.info(&format!(
                "drained: this host takes no VIP of {} until haipmgr undrain or the next boot",
                in_words(&drained)
            ));
        }
        let (drained, told) = watch::channel(drained);
        let (tell, given_up) = watch::channel(BTreeSet::new());
        (Self { drained, given_up, files: files(config) }, Orders { drained: told, given_up: tell, pauses })
    }

    /// The clusters are these from now on. What is drained stays so, and one that comes is as its file says.
    pub(super) fn follow(&mut self, config: &Config) {
        let before = std::mem::replace(&mut self.files, files(config));
        let mut kept = kept(config);
        kept.retain(|name| before.iter().all(|(known, _)| known != name));
        self.drained.send_if_modified(|drained| {
            let all = drained.clone();
            drained.retain(|name| self.files.iter().any(|(known, _)| known == name));
            drained.extend(kept);
            *drained != all
        });
    }

    /// Those that are drained, from now on.
    pub(super) fn drained(&self) -> watch::Receiver<BTreeSet<String>> {
        self.drained.subscribe()
    }

    /// Does what is ordered, and answers when the VIPs are given up. Not waited for: the agents go on meanwhile.
    pub(super) fn carry_out(&self, order: Order) {
        let drains = matches!(order.request, Request::Drain { .. });
        let wanted = order.request.cluster();
        let about: Vec<_> = self
            .files
            .iter()
            .filter(|(name, _)| wanted.is_none_or(|wanted| wanted == name))
            .cloned()
            .collect();
        let names: BTreeSet<_> = about.iter().map(|(name, _)| name.clone()).collect();
        self.drained.send_modify(|drained| {
            if drains {
                drained.extend(names.iter().cloned());
            } else {
                drained.retain(|name| !names.contains(name));
            }
        });
        let mut given_up = self.given_up.clone();
        tokio::spawn(async move {
            let kept = tokio::task::spawn_blocking(move || keep(&about, drains)).await;
            let kept = kept.unwrap_or_else(|error| Err(error.to_string()));
            let are_up = given_up.wait_for(|given_up| !drains || names.is_subset(given_up));
            let gone = timeout(GIVEN_UP_WITHIN, are_up).await.is_ok();
            order.answer_and_go_on(&answer(drains, gone, kept, &names)).await;
        });
    }
}

fn answer(drains: bool, gone: bool, kept: Result<(), String>, names: &BTreeSet<String>) -> Answer {
    let names = in_words(names);
    match (drains, gone, kept) {
        (_, _, Err(why)) => Answer::Failed(format!("done, but it does not outlive the agent: {why}")),
        (true, false, Ok(())) => Answer::Failed(format!(
            "the VIP of {names} is not given up within {} s: look at the agent's log and at ip address show",
            GIVEN_UP_WITHIN.as_secs()
        )),
        (true, true, Ok(())) => Answer::Done(format!(
            "drained: this host does not hold the VIP of {names}, and takes it no more until haipmgr undrain or the next boot"
        )),
        (false, _, Ok(())) => Answer::Done(format!("undrained: this host may take the VIP of {names} again")),
    }
}

fn in_words(names: &BTreeSet<String>) -> String {
    names.iter().cloned().collect::<Vec<_>>().join(", ")
}

fn keep(about: &[(String, PathBuf)], drained: bool) -> Result<(), String> {
    for (_, file) in about {
        let done = if drained { std::fs::write(file, boot()) } else { std::fs::remove_file(file) };
        match done {
            Err(error) if drained || error.kind() != std::io::ErrorKind::NotFound => {
                return Err(format!("{}: {error}", file.display()));
            }
            _ => {}
        }
    }
    Ok(())
}

fn files(config: &Config) -> Vec<(String, PathBuf)> {
    config.clusters.iter().map(|cluster| (cluster.name.clone(), cluster.drained_file())).collect()
}

/// Those that are drained by their files' word.
fn kept(config: &Config) -> BTreeSet<String> {
    let boot = boot();
    let is_drained = |cluster: &&Cluster| {
        std::fs::read_to_string(cluster.drained_file())
            .is_ok_and(|kept| kept.trim() == boot && !boot.is_empty())
    };
    config.clusters.iter().filter(is_drained).map(|cluster| cluster.name.clone()).collect()
}

/// The kernel's name for this boot; empty where it has none.
fn boot() -> String {
    std::fs::read_to_string(BOOT_ID).unwrap_or_default().trim().to_owned()
}
