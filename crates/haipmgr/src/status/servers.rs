//! Each member's own server, asked directly. One task each, which asks when it is told to and keeps what was answered last: a question
//! that outlives its limit stays open, so that a server that hangs gathers no broken connections (`max_connect_errors`), and what it said
//! before is shown with its age.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};

use super::picture::{AgentShown, Known, Server, Word};
use crate::config::Cluster;
use crate::server_access::agent_shown::QUESTION;
use crate::switchover::member::{Member, why};

/// The question about the agent that shows itself on a server has so long: what was said of the group is not held up by it.
const AGENT_WITHIN: Duration = Duration::from_millis(80);
/// A question that is not answered within this is given up.
const GIVE_UP: Duration = Duration::from_secs(10);

/// The members' servers, asked again and again.
#[derive(Debug)]
pub(super) struct Servers {
    all: Vec<Asked>,
    /// From when and until when they were asked last.
    last: Option<(Instant, Instant)>,
}

#[derive(Debug)]
struct Asked {
    address: IpAddr,
    known: Arc<Mutex<Kept>>,
    ask: Arc<Notify>,
    /// Counts what has ended.
    ended: watch::Receiver<u64>,
    task: JoinHandle<()>,
}

/// What a server said last, and whether it answers now.
#[derive(Debug)]
pub(super) struct Answered {
    address: IpAddr,
    /// With when it was asked.
    said: Option<(Word, Instant)>,
    silent: Option<String>,
}

impl Answered {
    /// As it is shown now: an answer goes on growing older while other servers are waited for.
    pub(super) fn shown(self, now: Instant) -> Server {
        let said = self.said.map(|(word, at)| (word, now.duration_since(at)));
        Server { address: self.address, said, silent: self.silent }
    }
}

/// What is kept of one server.
#[derive(Debug, Default)]
struct Kept {
    said: Option<(Word, Instant)>,
    failed: Option<(String, Instant)>,
    /// When that was asked for which nothing more is waited for.
    done: Option<Instant>,
    waiting_since: Option<Instant>,
}

impl Servers {
    /// Of this cluster's members; inside a tokio runtime.
    pub(super) fn of(cluster: &Cluster) -> Self {
        let members = cluster.policy.group.members.keys();
        Self { all: members.map(|address| Asked::start(cluster, *address)).collect(), last: None }
    }

    /// Asks all of them, and waits no longer than until then.
    pub(super) async fn ask(&mut self, until: Instant) -> Vec<Answered> {
        let begun = Instant::now();
        self.last = Some((begun, until));
        for asked in &self.all {
            asked.ask.notify_one();
        }
        for asked in &mut self.all {
            let newer = |known: &Kept| known.done.is_some_and(|asked_at| asked_at >= begun);
            while !newer(&asked.lock())
                && matches!(timeout_at(until, asked.ended.changed()).await, Ok(Ok(())))
            {}
        }
        self.answered()
    }

    /// What they answered when they were asked last, or have answered since. They must have been asked.
    pub(super) fn answered(&self) -> Vec<Answered> {
        let now = Instant::now();
        let (begun, until) = self.last.unwrap_or((now, now));
        self.all.iter().map(|asked| asked.answered(begun, until)).collect()
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Asked {
    fn start(cluster: &Cluster, address: IpAddr) -> Self {
        let (known, ask) = (Arc::new(Mutex::new(Kept::default())), Arc::new(Notify::new()));
        let (tell, ended) = watch::channel(0);
        let member = Member::one(cluster, address, GIVE_UP);
        let task = tokio::spawn(answer(member, Arc::clone(&known), Arc::clone(&ask), tell));
        Self { address, known, ask, ended, task }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answered(&self, begun: Instant, until: Instant) -> Answered {
        let known = self.lock();
        let now = Instant::now();
        let answered = known.said.as_ref().is_some_and(|(_, at)| *at >= begun);
        let failed = known.failed.as_ref().filter(|(_, at)| *at >= begun).map(|(why, _)| why.clone());
        let silent = (!answered).then(|| {
            failed.unwrap_or_else(|| {
                let waited = known.waiting_since.map_or(until - begun, |since| now - since);
                format!("no answer within {} ms", waited.as_millis())
            })
        });
        Answered { address: self.address, said: known.said.clone(), silent }
    }
}

async fn answer(mut member: Member, known: Arc<Mutex<Kept>>, ask: Arc<Notify>, tell: watch::Sender<u64>) {
    let keep =
        |with: &mut dyn FnMut(&mut Kept)| with(&mut known.lock().unwrap_or_else(PoisonError::into_inner));
    loop {
        ask.notified().await;
        let asked_at = Instant::now();
        keep(&mut |kept| kept.waiting_since = Some(asked_at));
        let answer = member.group().await;
        let answers = answer.is_ok();
        keep(&mut |kept| {
            kept.waiting_since = None;
            match &answer {
                Ok((id, writable, rows)) => {
                    let (id, rows) = (id.clone(), rows.clone());
                    let agent = Err("its server was slow to answer".to_owned());
                    kept.said = Some((Word { id, writable: *writable, rows, agent }, asked_at));
                    kept.failed = None;
                }
                Err(why) => kept.failed = Some((why.clone(), asked_at)),
            }
        });
        // Where it takes too long, what was said of the group is shown without it.
        let agent = if answers { Some(agent_on(&mut member).await) } else { None };
        keep(&mut |kept| {
            if let (Some((word, _)), Some(agent)) = (&mut kept.said, &agent) {
                word.agent.clone_from(agent);
            }
            kept.done = Some(asked_at);
        });
        tell.send_modify(|ended| *ended += 1);
    }
}

/// The agent that shows itself on this server.
async fn agent_on(member: &mut Member) -> Known<Option<AgentShown>> {
    match timeout(AGENT_WITHIN, member.order(QUESTION)).await {
        Ok(Ok(rows)) => Ok(AgentShown::read(&rows)),
        Ok(Err(unanswered)) => Err(why(unanswered)),
        Err(_) => Err(format!("no answer within {} ms", AGENT_WITHIN.as_millis())),
    }
}
