//! The agent's end of `haipmgr pause` and `resume`: hands the word of this host to the agents, and answers when they have heard it, or
//! the whole cluster's from their server.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use crate::agent::{Heard, PauseOrders, PauseWord};
use crate::config::Config;
use crate::control::Order;
use crate::control::message::{Answer, Request};
use crate::pause::Pause;

/// How long the agents may take to hear it. Their server is asked each second.
const HEARD_WITHIN: Duration = Duration::from_secs(4);

/// What each cluster's agent is told, and what each has heard.
pub(super) struct Pauses {
    of_host: watch::Sender<BTreeMap<String, PauseWord>>,
    heard: watch::Receiver<BTreeMap<String, Heard>>,
    clusters: BTreeSet<String>,
}

impl Pauses {
    /// With what the agents need to be told of it.
    pub(super) fn begin(config: &Config) -> (Self, PauseOrders) {
        let (of_host, told) = watch::channel(BTreeMap::new());
        let (tell, heard) = watch::channel(BTreeMap::new());
        (
            Self { of_host, heard, clusters: names(config) },
            PauseOrders { of_host: told, heard: tell, followed: 0 },
        )
    }

    /// The clusters are these from now on. Each one's agent has its pause in a file.
    pub(super) fn follow(&mut self, config: &Config) {
        self.clusters = names(config);
    }

    /// Does what is ordered, and answers when it is heard. Not waited for: the agents go on meanwhile.
    pub(super) fn carry_out(&self, order: Order) {
        let (pause, whole) = match &order.request {
            Request::Pause { pause, whole, .. } => (Some(pause.clone()), *whole),
            Request::Resume { whole, .. } => (None, *whole),
            _ => return,
        };
        let wanted = order.request.cluster();
        let names: BTreeSet<_> = self
            .clusters
            .iter()
            .filter(|name| wanted.is_none_or(|wanted| wanted == *name))
            .cloned()
            .collect();
        // Who resumes here wants this host's agent to go on, whatever paused it.
        if !whole || pause.is_none() {
            self.of_host.send_modify(|told| {
                let number = told.values().map(|word| word.number).max().unwrap_or_default() + 1;
                let word = PauseWord { number, pause: pause.clone() };
                told.extend(names.iter().map(|name| (name.clone(), word.clone())));
            });
        }
        let mut heard = self.heard.clone();
        tokio::spawn(async move {
            let is_heard = |heard: &Heard| match (&pause, whole) {
                (Some(_), true) => heard.cluster == pause,
                (Some(_), false) => heard.host == pause,
                (None, _) => *heard == Heard::default(),
            };
            let all = heard.wait_for(|all| names.iter().all(|name| all.get(name).is_some_and(is_heard)));
            let in_time = matches!(timeout(HEARD_WITHIN, all).await, Ok(Ok(_)));
            order.answer_and_go_on(&answer(pause.as_ref(), in_time)).await;
        });
    }
}

fn names(config: &Config) -> BTreeSet<String> {
    config.clusters.iter().map(|cluster| cluster.name.clone()).collect()
}

fn answer(pause: Option<&Pause>, in_time: bool) -> Answer {
    match (pause, in_time) {
        (Some(pause), true) => Answer::Done(format!("paused {pause}")),
        (None, true) => Answer::Done("resumed".to_owned()),
        (_, false) => Answer::Failed(format!(
            "the agent has not heard of it within {} s: it reads it from its own server, so look whether that answers, and whether the \
             account may read haipmgr.pauses (haipmgr sql); with --host it is told directly",
            HEARD_WITHIN.as_secs()
        )),
    }
}
