//! The order to the group, and what is seen until it is done.
//!
//! A switchover that has begun can't be called off: MySQL has no word for it. So this only watches, says at the limit who holds it up,
//! and ends a session where it is told to.

use std::net::IpAddr;
use std::time::Duration;

use nix::unistd::{Uid, User, gethostname};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};

use super::checkpoint::{self, Shortened};
use super::member::{Member, NO_SUCH_PROCEDURE, NOT_EXECUTABLE, not_executable, read_all, why};
use super::plan::{Obstacle, holders};
use super::vip::{SeenAtVip, VipWatch};
use crate::config::{Cluster, format_duration};
use crate::history::learn::COMMENT;
use crate::server_access::Access;
use crate::server_access::account::MAKE_PRIMARY;
use crate::server_access::kept_session::Unanswered;
use crate::server_access::session::Rows;

/// Between two looks at what MySQL is at.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// Nothing is said of what MySQL is at before.
const SILENT_FOR: Duration = Duration::from_secs(1);
/// How long the first answer at the VIP is waited for, before anything is done.
const VIP_LIMIT: Duration = Duration::from_secs(1);
/// How long the VIP may take to follow, once the group has its new primary.
const FOLLOW_LIMIT: Duration = Duration::from_secs(5);
/// The agents ask who ordered it when the first clients have logged in again (`history/learn.rs`), 0.2 s after the VIP moved.
const AGENTS_ASK_WITHIN: Duration = Duration::from_millis(500);
/// The order itself has no limit: its end is the switchover's.
const NO_LIMIT: Duration = Duration::from_secs(24 * 3600);
/// For each other answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(1);
/// An order that failed is looked after for so long: it may have reached the group.
const DOUBT_LIMIT: Duration = Duration::from_secs(2);

/// What is to be done.
pub(crate) struct Order<'a> {
    pub(crate) cluster: &'a Cluster,
    /// The primary of now.
    pub(crate) from: IpAddr,
    /// Whom to make the primary: address and UUID.
    pub(crate) target: (IpAddr, String),
    /// Why, in the operator's words.
    pub(crate) reason: &'a str,
    /// When who holds it up is said.
    pub(crate) within: Duration,
    /// When it is not watched any more; none: until it ends, or Ctrl-C.
    pub(crate) leave_after: Option<Duration>,
    /// End those sessions then.
    pub(crate) end_sessions: bool,
    /// The VIP, by the account that looks at it or writes through it.
    pub(crate) vip: Access,
    /// A row is written through the VIP.
    pub(crate) writes: bool,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The target is the primary, and answers at the VIP.
    Done(String),
    /// The order failed, and the old primary leads as before.
    NothingChanged(String),
    /// It may still happen.
    UnderWay(String),
}

/// Who is told, and asked.
pub(crate) trait Operator {
    /// Tells.
    fn say(&self, line: &str);
    /// Asks a question of yes or no; none where nobody can be asked.
    fn ask(&self, question: &str) -> Option<JoinHandle<bool>>;
}

/// Does it. To be run inside a tokio runtime.
pub(crate) async fn carry_out(order: Order<'_>, operator: &impl Operator) -> Outcome {
    let vip = VipWatch::start(order.vip.clone(), order.writes);
    let until = Instant::now() + VIP_LIMIT;
    while vip.seen().served.is_none() && Instant::now() < until {
        sleep(Duration::from_millis(5)).await;
    }
    if vip.seen().served.is_none() {
        let why = vip.seen().failure.unwrap_or_else(|| "no answer".to_owned());
        operator.say(&format!(
            "note       no server that takes writes answers at the VIP {}: {why}",
            order.vip.endpoint
        ));
    }
    let shortened = shorten(&order, operator).await;
    vip.begin_anew();
    let members = Member::all(order.cluster, ANSWER_LIMIT);
    let members = members
        .into_iter()
        .filter(|one| one.address == order.from || one.address == order.target.0)
        .collect();
    let mut at_work = AtWork {
        order: &order,
        operator,
        members,
        ordered_on: None,
        began: Instant::now(),
        said: None,
        asked: None,
        told: false,
    };
    let outcome = match at_work.until_ordered().await {
        Ended::Made => {
            let outcome = at_work.until_followed(&vip).await;
            sleep(AGENTS_ASK_WITHIN).await;
            outcome
        }
        Ended::NothingChanged(why) => Outcome::NothingChanged(why),
        Ended::Left(why) => Outcome::UnderWay(why),
    };
    if let Some(shortened) = shortened
        && let Err(why) = shortened.put_back().await
    {
        operator.say(&format!("note       {why}"));
    }
    outcome
}

async fn shorten(order: &Order<'_>, operator: &impl Operator) -> Option<Shortened> {
    let target = Member::one(order.cluster, order.target.0, ANSWER_LIMIT);
    checkpoint::shorten(target).await.unwrap_or_else(|why| {
        operator.say(&format!("note       the first write may wait 0.3 s longer: {why}"));
        None
    })
}

/// How the order ended.
enum Ended {
    Made,
    NothingChanged(String),
    Left(String),
}

struct AtWork<'a, O> {
    order: &'a Order<'a>,
    operator: &'a O,
    /// The old primary and the target.
    members: Vec<Member>,
    /// The session in which the order was given.
    ordered_on: Option<Member>,
    began: Instant,
    /// What MySQL was at when that was last said.
    said: Option<String>,
    /// A question under way, and the session that it is about.
    asked: Option<(Obstacle, JoinHandle<bool>)>,
    /// Who holds it up was said.
    told: bool,
}

impl<O: Operator> AtWork<'_, O> {
    async fn until_ordered(&mut self) -> Ended {
        let mut target = Member::one(self.order.cluster, self.order.target.0, NO_LIMIT);
        let statement = statement(&self.order.target.1, &whoever_types(), self.order.reason);
        // Its session stays open: while it does, the agents find there who ordered this, and why.
        let mut call = tokio::spawn(async move { (target.order(&statement).await, target) });
        let within = self.order.within;
        loop {
            tokio::select! {
                ended = &mut call => {
                    // The task is aborted by nobody.
                    let Ok((answer, target)) = ended else { return self.left("the order's task ended") };
                    self.ordered_on = Some(target);
                    return self.after_order(answer).await;
                }
                _ = tokio::signal::ctrl_c() => return self.left("you stopped watching"),
                () = sleep_until(Instant::now() + LOOK_EVERY) => {}
            }
            let waited = self.began.elapsed();
            if waited >= SILENT_FOR {
                self.say_stage().await;
            }
            if waited >= within && !self.told {
                self.told = true;
                self.name_holders().await;
            }
            self.take_answer().await;
            if self.order.leave_after.is_some_and(|limit| waited >= limit) {
                return self.left(&format!("{} are over", format_duration(waited_for(waited))));
            }
        }
    }

    fn left(&self, why: &str) -> Ended {
        let at = self.said.as_deref().map_or_else(String::new, |stage| format!(" (MySQL: {stage})"));
        Ended::Left(format!(
            "{why}; the switchover to {} can't be called off and goes on{at}: it may still happen, also hours from now",
            self.order.target.0
        ))
    }

    async fn after_order(&mut self, answer: Result<Rows, Unanswered>) -> Ended {
        let Err(failed) = answer else { return Ended::Made };
        let reason = match failed.code {
            Some(NO_SUCH_PROCEDURE | NOT_EXECUTABLE) => not_executable(MAKE_PRIMARY),
            _ => why(failed),
        };
        // An answer that was lost says nothing of the order.
        let until = Instant::now() + DOUBT_LIMIT;
        loop {
            let (mut leads, mut under_way) = (None, false);
            for member in &mut self.members {
                under_way |= member.stage().await.is_some();
                if let Ok((id, true, rows)) = member.group().await
                    && rows.iter().any(|row| row.id == id && row.primary)
                {
                    leads = Some(member.address);
                }
            }
            if leads == Some(self.order.target.0) {
                self.operator.say(&format!("note       the order ended with: {reason}"));
                return Ended::Made;
            }
            if leads == Some(self.order.from) && !under_way {
                return Ended::NothingChanged(format!("{reason}; {} leads as before", self.order.from));
            }
            if Instant::now() >= until {
                return self.left(&reason);
            }
            sleep(LOOK_EVERY).await;
        }
    }

    async fn until_followed(&mut self, vip: &VipWatch) -> Outcome {
        let (target, id) = &self.order.target;
        let made = self.began.elapsed();
        let until = Instant::now() + FOLLOW_LIMIT;
        let address = &self.order.vip.endpoint;
        loop {
            let seen = vip.seen();
            if seen.served.as_ref().is_some_and(|(by, _)| by == id) {
                return Outcome::Done(format!(
                    "primary    {target}, {:.2} s after the order\nVIP        {address} is answered by {target}\n{}",
                    made.as_secs_f64(),
                    self.gap(&seen)
                ));
            }
            if Instant::now() >= until {
                let why = seen.failure.map_or_else(String::new, |why| format!(" ({why})"));
                return Outcome::UnderWay(format!(
                    "{target} is the primary, and is not seen to take writes at the VIP {address} within {}{why}; look at the log of haipmgr on {target}",
                    format_duration(FOLLOW_LIMIT)
                ));
            }
            tokio::select! {
                _ = tokio::signal::ctrl_c() => return Outcome::UnderWay(format!("you stopped watching; {target} is the primary, and the VIP {address} was not seen there yet")),
                () = sleep(Duration::from_millis(5)) => {}
            }
        }
    }

    fn gap(&self, seen: &SeenAtVip) -> String {
        let gap = seen.gap.as_secs_f64();
        if self.order.writes {
            format!("gap        {gap:.3} s between two rows written through the VIP; {} rows", seen.rows)
        } else {
            format!("gap        {gap:.3} s in which no server that takes writes answered at the VIP")
        }
    }

    async fn say_stage(&mut self) {
        let mut stage = None;
        for member in &mut self.members {
            let own = member.stage().await;
            // The old primary's word, where it has one: it is mostly the one that is waited for.
            stage = if member.address == self.order.from { own.or(stage) } else { stage.or(own) };
        }
        if stage.is_some() && stage != self.said {
            let since = self.began.elapsed().as_secs_f64();
            self.operator.say(&format!("{since:6.1} s   MySQL: {}", stage.as_deref().unwrap_or_default()));
            self.said = stage;
        }
    }

    async fn name_holders(&mut self) {
        let limit = format_duration(self.order.within);
        self.operator.say(&format!("{limit} are over, and the switchover is still under way; it can't be called off, and may still happen"));
        let readings = read_all(&mut self.members).await;
        let found = holders(&readings, self.order.from, self.order.within);
        if found.is_empty() {
            self.operator.say("held up by no session that can be seen");
        }
        for obstacle in found {
            self.operator.say(&format!("held up by {obstacle}"));
            if self.order.end_sessions {
                self.end(&obstacle).await;
            } else if self.asked.is_none() && obstacle.session.is_some() {
                let asked = self.operator.ask("end this session?");
                self.asked = asked.map(|asked| (obstacle, asked));
            }
        }
    }

    async fn take_answer(&mut self) {
        let Some((obstacle, answer)) = self.asked.take_if(|(_, answer)| answer.is_finished()) else { return };
        if answer.await.unwrap_or_default() {
            self.end(&obstacle).await;
        }
        // The next one that holds it up, if there is one.
        self.told = false;
    }

    async fn end(&mut self, obstacle: &Obstacle) {
        let Some(session) = obstacle.session else { return };
        let server = self.members.iter_mut().find(|member| member.address == obstacle.server);
        let Some(server) = server else { return };
        match server.order(&format!("KILL {session}")).await {
            Ok(_) => self.operator.say(&format!("ended      session {session} on {}", obstacle.server)),
            Err(failed) => self.operator.say(&format!(
                "not ended  session {session}: {}; type on {}: KILL {session}; or GRANT CONNECTION_ADMIN ON *.* TO the account of haipmgr",
                why(failed),
                obstacle.server
            )),
        }
    }
}

/// In whole seconds, as a person counts.
fn waited_for(waited: Duration) -> Duration {
    Duration::from_secs(waited.as_secs())
}

/// Who gives the order: the user, as whom he logged in, and the host.
fn whoever_types() -> String {
    let user = std::env::var("SUDO_USER").ok().filter(|user| !user.is_empty());
    let user = user.or_else(|| User::from_uid(Uid::current()).ok().flatten().map(|user| user.name));
    let user = user.unwrap_or_else(|| format!("user {}", Uid::current()));
    let host = gethostname().map(|host| host.to_string_lossy().into_owned());
    host.map_or_else(|_| user.clone(), |host| format!("{user} on {host}"))
}

/// With who ordered it, and why, as a comment, which `performance_schema` shows beside it.
fn statement(id: &str, who: &str, reason: &str) -> String {
    let id: String = id.chars().filter(|letter| letter.is_ascii_alphanumeric() || *letter == '-').collect();
    let reason: String = reason.chars().filter(|letter| !letter.is_control()).collect();
    let who: String = who.chars().filter(|letter| !letter.is_control() && !"*:/".contains(*letter)).collect();
    format!("CALL {MAKE_PRIMARY}('{id}') {COMMENT}{who}: {} */", reason.replace("*/", "* /"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_a_uuid_nor_a_name_nor_a_reason_ends_the_order() {
        assert_eq!(
            statement("a-1'); DROP", "root*/ on: db2", "because */ DROP\n"),
            "CALL haipmgr.make_primary('a-1DROP') /* haipmgr by root on db2: because * / DROP */"
        );
    }
}
