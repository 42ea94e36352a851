//! Answers who asks how the agent is, from each cluster's own loop: on the thread that listens, so that the one that decides does no
//! more than to make its picture.
//!
//! Whoever asks at the same time gets the same answer, and nobody is asked more often than a tenth of the time allows: however many
//! ask, the loops lose no more than that.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use decide::status::Status;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout};

use super::listener::Order;
use super::message::{Answer, Request};
use super::report::{ClusterReport, Report, Told};
use crate::tally::Tally;

/// A loop that does not answer within this is held up.
const LOOP_WITHIN: Duration = Duration::from_millis(100);
/// Between two looks.
const LOOK_AT_MOST_EVERY: Duration = Duration::from_millis(10);
/// … and after a look that took long, this many times as long.
const REST: u32 = 10;

/// Asks one cluster's loop how it is.
#[derive(Clone, Debug)]
pub struct Door {
    /// The cluster.
    pub cluster: String,
    /// Where its loop is asked. It answers when it next has nothing to do for the VIP.
    pub questions: mpsc::Sender<oneshot::Sender<Status>>,
    /// What has happened there.
    pub tally: Tally,
}

/// The doors of all clusters that there are now, for all who have this.
#[derive(Clone, Debug, Default)]
pub struct Doors(Arc<Mutex<Vec<Door>>>);

impl Doors {
    /// These, and no others, from now on.
    pub fn set(&self, doors: Vec<Door>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = doors;
    }

    /// Those that there are now.
    pub fn all(&self) -> Vec<Door> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Answers until nobody can ask any more.
pub(super) async fn answer_all(doors: Doors, mut orders: mpsc::Receiver<Order>) {
    let since = Instant::now();
    while let Some(first) = orders.recv().await {
        let mut together = vec![first];
        while let Ok(order) = orders.try_recv() {
            together.push(order);
        }
        let begun = Instant::now();
        let asks_for = |name: &str| {
            let about = |order: &Order| order.request.cluster().is_none_or(|wanted| wanted == name);
            together.iter().any(about)
        };
        let report = look(&doors.all(), since, asks_for).await;
        for order in together {
            let answer = part(&report, &order.request);
            // Who takes the answer slowly keeps nobody waiting.
            tokio::spawn(order.answer_and_go_on_with(answer));
        }
        sleep(LOOK_AT_MOST_EVERY.max(begun.elapsed() * REST)).await;
    }
}

/// One cluster after the other, so that no loop has to wait for the pictures of all others.
pub(crate) async fn look(doors: &[Door], since: Instant, is_wanted: impl Fn(&str) -> bool) -> Report {
    let mut clusters = Vec::new();
    for door in doors.iter().filter(|door| is_wanted(&door.cluster)) {
        clusters.push(ClusterReport { name: door.cluster.clone(), told: ask(door).await });
    }
    Report {
        version: crate::version::long().to_owned(),
        pid: std::process::id(),
        up_ms: u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX),
        clusters,
    }
}

async fn ask(door: &Door) -> Told {
    let silent = || {
        Told::Silent(format!(
            "the agent's loop does not answer within {} ms: it is held up, or the host is very busy; where that lasts, its lease ends and the kernel removes the VIP",
            LOOP_WITHIN.as_millis()
        ))
    };
    let (answer, told) = oneshot::channel();
    // Where the last question is still there, nobody has looked at it since.
    if door.questions.try_send(answer).is_err() {
        return silent();
    }
    match timeout(LOOP_WITHIN, told).await {
        Ok(Ok(status)) => Told::Status(Box::new(status)),
        Ok(Err(_)) => Told::Silent("the agent is ending".to_owned()),
        Err(_) => silent(),
    }
}

/// What of the report was asked for.
fn part(report: &Report, request: &Request) -> Answer {
    let mut part = report.clone();
    if let Some(wanted) = request.cluster() {
        part.clusters.retain(|cluster| cluster.name == *wanted);
        if part.clusters.is_empty() {
            return Answer::Failed(format!(
                "the running agent has no cluster {wanted:?}: was the configuration changed? haipmgr reload has it read anew"
            ));
        }
    }
    Answer::Status(Box::new(part))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;

    fn door(name: &str) -> (Door, mpsc::Receiver<oneshot::Sender<Status>>) {
        let (questions, asked) = mpsc::channel(1);
        (Door { cluster: name.to_owned(), questions, tally: Tally::default() }, asked)
    }

    #[tokio::test]
    async fn a_loop_that_is_held_up_is_said_to_be_and_the_others_answer_all_the_same() {
        let (held_up, _asked) = door("orders");
        let (ends, asked) = door("accounts");
        drop(asked);
        let doors = [held_up, ends];
        for _ in 0..2 {
            let report = look(&doors, Instant::now(), |_| true).await;
            let [orders, accounts] = &report.clusters[..] else { panic!("{report:?}") };
            let Told::Silent(words) = &orders.told else { panic!("{orders:?}") };
            assert!(words.contains("does not answer within 100 ms"), "{words}");
            assert!(matches!(accounts.told, Told::Silent(_)));
        }
    }

    #[tokio::test]
    async fn only_the_cluster_that_was_asked_for_is_asked() {
        let (orders, _orders) = door("orders");
        let (accounts, mut accounts_asked) = door("accounts");
        let report = look(&[orders, accounts], Instant::now(), |name| name == "orders").await;
        assert_eq!(report.clusters.len(), 1);
        assert!(accounts_asked.try_recv().is_err());
        let wanted = Request::Status { cluster: Some("orders".to_owned()) };
        assert!(matches!(part(&report, &wanted), Answer::Status(part) if part.clusters.len() == 1));
        let unknown = Request::Status { cluster: Some("stock".to_owned()) };
        assert!(matches!(part(&report, &unknown), Answer::Failed(words) if words.contains("\"stock\"")));
    }
}
