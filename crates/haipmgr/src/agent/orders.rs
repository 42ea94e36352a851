//! What the agents are told while they run, how they are to end, and what they tell of it.

use std::collections::{BTreeMap, BTreeSet};

use tokio::sync::watch;

use super::Heard;
use crate::pause::Pause;

/// How the agent is to end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum End {
    /// It is not.
    #[default]
    NotYet,
    /// The VIPs stay as they are (S7).
    LeaveVips,
    /// The VIP of this cluster is given up, or of each where none is named; the others stay as they are.
    GiveUp(Option<String>),
}

impl End {
    pub(super) fn gives_up(&self, cluster: &str) -> bool {
        matches!(self, Self::GiveUp(named) if named.as_ref().is_none_or(|named| named == cluster))
    }
}

/// What the agents are told while they run, and what they tell of it.
#[derive(Clone, Debug)]
pub struct Orders {
    /// The clusters whose VIP is given up, and not taken any more, until they are not named any more.
    pub drained: watch::Receiver<BTreeSet<String>>,
    /// Those that have given it up.
    pub given_up: watch::Sender<BTreeSet<String>>,
    /// Pauses.
    pub pauses: PauseOrders,
}

/// What the agents are told of pauses, and what they have heard.
#[derive(Clone, Debug)]
pub struct PauseOrders {
    /// By cluster, the last word for this host's agent. Not named: there was none since it started.
    pub of_host: watch::Receiver<BTreeMap<String, PauseWord>>,
    /// By cluster.
    pub heard: watch::Sender<BTreeMap<String, Heard>>,
    /// The number of the last word that was followed.
    pub followed: u64,
}

/// This host's agent is paused, or no longer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PauseWord {
    /// Counts the words: each is followed once.
    pub number: u64,
    /// None: it is to go on.
    pub pause: Option<Pause>,
}

impl Orders {
    /// For an agent that comes after one that followed the words up to this number.
    pub(super) fn after(&self, followed: u64) -> Self {
        Self { pauses: PauseOrders { followed, ..self.pauses.clone() }, ..self.clone() }
    }

    /// Whether this cluster is drained, as far as it was told.
    pub(super) fn is_drained(&mut self, cluster: &str) -> bool {
        self.drained.borrow_and_update().contains(cluster)
    }

    /// A word is yet to come. For ever where nobody is there to give it.
    pub(super) async fn changed(&mut self) {
        let changed = tokio::select! {
            changed = self.drained.changed() => changed,
            changed = self.pauses.of_host.changed() => changed,
        };
        if changed.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// The word for this cluster's agent, where there is one that it has not followed yet.
    pub(super) fn pause_of(&mut self, cluster: &str) -> Option<PauseWord> {
        let followed = self.pauses.followed;
        let word = self.pauses.of_host.borrow_and_update().get(cluster).cloned();
        let word = word.filter(|word| word.number > followed)?;
        self.pauses.followed = word.number;
        Some(word)
    }

    pub(super) fn tell_heard(&self, cluster: &str, heard: &Heard) {
        self.pauses.heard.send_if_modified(|all| {
            let news = all.get(cluster) != Some(heard);
            if news {
                all.insert(cluster.to_owned(), heard.clone());
            }
            news
        });
    }

    pub(super) fn tell(&self, cluster: &str, has_given_up: bool) {
        self.given_up.send_if_modified(|all| {
            if has_given_up { all.insert(cluster.to_owned()) } else { all.remove(cluster) }
        });
    }
}
