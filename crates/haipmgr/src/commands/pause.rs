//! `haipmgr pause` and `haipmgr resume`: of the whole cluster, through a row that the group itself copies to every member, or of this
//! host's agent, through its socket.

use std::net::IpAddr;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use tokio::time::sleep;

use super::drain::each;
use super::terminal::print;
use super::{File, REFUSED, say};
use crate::config::{self, Cluster};
use crate::control::message::{Answer, Request};
use crate::control::{self, Patience};
use crate::observe::pauses::{NO_TABLE, understand};
use crate::pause::{LONGEST, Pause, wall_ms};
use crate::server_access::account::{PAUSE, PAUSED_UNTIL, RESUME};
use crate::server_access::kept_session::Unanswered;
use crate::server_access::servers;
use crate::switchover::member::{Known, Member, NO_SUCH_PROCEDURE, NOT_EXECUTABLE, Row, not_executable, why};

/// How long a server may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);
/// How long the group may take to copy a row to a member.
const COPIED_WITHIN: Duration = Duration::from_secs(5);
/// How often a member is asked whether it has it.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// What `--help` ends with.
pub(super) const EXAMPLES: &str = "Examples:
  haipmgr pause                                     the whole cluster, for an hour
  haipmgr pause --for 20m --reason 'new switch'     for twenty minutes
  haipmgr pause --host                              this host's agent alone; where the group has no primary, on each host
  haipmgr resume                                    ends it sooner

A pause ends by itself, and outlives a restart of the agent. A claim is yielded to all the same: two hosts never hold the VIP.
Exit status: 0 paused everywhere; 1 failed, or not everywhere: those are named; 2 the command line or the configuration is wrong;
4 refused: the group has no primary, and nothing was changed.";

/// Its arguments.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    file: File,
    /// This cluster only; the others go on.
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,
    /// How long, from one second to one day. Told again, the last word counts.
    #[arg(long = "for", value_name = "TIME", default_value = "1h", value_parser = length)]
    length: Duration,
    /// Why: shown in every agent's log.
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
    /// This host's agent alone: the other hosts' take the VIP as ever, and this one yields to them.
    #[arg(long)]
    host: bool,
}

/// Whom `resume` is about.
#[derive(Debug, clap::Args)]
pub(super) struct Resumed {
    #[command(flatten)]
    file: File,
    /// This cluster only.
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,
    /// This host's agent alone, whoever paused it; the others' pause goes on.
    #[arg(long)]
    host: bool,
}

fn length(text: &str) -> Result<Duration, String> {
    let length = config::parse_duration(text)?;
    if length < Duration::from_secs(1) || length > LONGEST {
        return Err("a pause is from 1s to 24h long: it is to end by itself".to_owned());
    }
    Ok(length)
}

pub(super) fn pause(arguments: &Arguments) -> ExitCode {
    let by = ordered_by();
    each(&arguments.file.config, arguments.cluster.as_deref(), |socket, cluster| {
        if arguments.host {
            let until_ms =
                wall_ms().saturating_add(u64::try_from(arguments.length.as_millis()).unwrap_or(u64::MAX));
            let pause = Pause::new(until_ms, &by, &arguments.reason);
            return ask(socket, &Request::Pause { cluster: Some(cluster.name.clone()), pause, whole: false });
        }
        let pause = Pause::new(0, &by, &arguments.reason);
        let statement = format!(
            "CALL {PAUSE}({}, {}, {})",
            arguments.length.as_secs(),
            literal(&pause.by),
            literal(&pause.reason)
        );
        of_the_cluster(cluster, socket, PAUSE, &statement)
    })
}

pub(super) fn resume(arguments: &Resumed) -> ExitCode {
    each(&arguments.file.config, arguments.cluster.as_deref(), |socket, cluster| {
        if arguments.host {
            return ask(socket, &Request::Resume { cluster: Some(cluster.name.clone()), whole: false });
        }
        of_the_cluster(cluster, socket, RESUME, &format!("CALL {RESUME}()"))
    })
}

/// "root on db1".
fn ordered_by() -> String {
    let user = ["SUDO_USER", "USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok());
    let user = user.unwrap_or_else(|| format!("user {}", nix::unistd::geteuid()));
    let host = nix::unistd::gethostname().ok().and_then(|host| host.into_string().ok());
    host.map_or(user.clone(), |host| format!("{user} on {host}"))
}

/// As the server takes it, whatever characters are in it.
fn literal(text: &str) -> String {
    let hex = text.bytes().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"));
    format!("_utf8mb4 X'{hex}'")
}

/// Has the primary write, and says who has it by then.
fn of_the_cluster(
    cluster: &Cluster,
    socket: &Path,
    procedure: &str,
    statement: &str,
) -> Result<(), ExitCode> {
    let written = match servers::wait_for(write(cluster, procedure, statement)) {
        Ok(written) => written?,
        Err(error) => {
            return failed(&format!("nothing was changed: the system gives no descriptor: {error}"));
        }
    };
    let named = Some(cluster.name.clone());
    let request = match &written.pause {
        Some(pause) => Request::Pause { cluster: named, pause: pause.clone(), whole: true },
        None => Request::Resume { cluster: named, whole: true },
    };
    let mut everywhere = true;
    for (address, confirmed) in &written.members {
        match confirmed {
            Ok(()) => {
                print(&format!("{address}  confirmed: its server has it, and its agent reads it within 3 s"));
            }
            Err(why) => {
                everywhere = false;
                say(&format!("haipmgr: {address}  NOT confirmed: {why}"));
            }
        }
    }
    let here = ask(socket, &request);
    if everywhere {
        return here;
    }
    failed(&format!(
        "the cluster {} is {}, but not confirmed by every member: on those, type haipmgr {} --host",
        cluster.name,
        if written.pause.is_some() { "paused" } else { "resumed" },
        if written.pause.is_some() { "pause" } else { "resume" },
    ))
}

/// What the primary has by now, and whether each member has it too.
struct Written {
    pause: Option<Pause>,
    members: Vec<(IpAddr, Result<(), String>)>,
}

async fn write(cluster: &Cluster, procedure: &str, statement: &str) -> Result<Written, ExitCode> {
    let mut members = Member::all(cluster, ANSWER_LIMIT);
    let groups = join_all(members.iter_mut().map(Member::group)).await;
    let leads = |group: &Known<(String, bool, Vec<Row>)>| matches!(group, Ok((id, true, rows)) if is_primary(id, rows));
    let Some(primary) = groups.iter().position(leads).and_then(|place| members.get_mut(place)) else {
        say(&format!(
            "haipmgr: refused: nothing was changed: no member of {} is a primary that takes writes; with --host, typed on each host, each \
             agent is told directly",
            cluster.name
        ));
        for (member, group) in members.iter().zip(&groups) {
            if let Err(why) = group {
                say(&format!("haipmgr: {}  {why}", member.address));
            }
        }
        return Err(ExitCode::from(REFUSED));
    };
    let before = row(primary).await;
    if let Err(unanswered) = primary.order(statement).await {
        return failed(&not_written(procedure, unanswered));
    }
    if let (RESUME, Ok(before)) = (procedure, &before) {
        print(&what_is_ended(&cluster.name, before.as_ref(), wall_ms()));
    }
    let pause = match row(primary).await {
        Ok(pause) => pause,
        Err(why) => {
            return failed(&format!("it was ordered, and can't be read back from the primary: {why}"));
        }
    };
    let since = Instant::now();
    let confirmed = join_all(members.iter_mut().map(|member| has(member, pause.as_ref(), since))).await;
    let addresses = members.iter().map(|member| member.address);
    Ok(Written { pause: pause.clone(), members: addresses.zip(confirmed).collect() })
}

/// Why the primary has not written it, with what to do.
fn not_written(procedure: &str, unanswered: Unanswered) -> String {
    match unanswered.code {
        Some(NO_SUCH_PROCEDURE | NOT_EXECUTABLE) => {
            format!("nothing was changed: {}", not_executable(procedure))
        }
        Some(_) => format!("nothing was changed: {}", with_what_to_do(unanswered)),
        None => format!("it is not known whether the primary has it ({}): type it again", why(unanswered)),
    }
}

/// A table that is not there, or that the account may not read, is made by the text for it.
fn with_what_to_do(unanswered: Unanswered) -> String {
    let mend = unanswered.code.is_some_and(|code| NO_TABLE.contains(&code));
    let mend = if mend { "; run what haipmgr sql prints on the primary" } else { "" };
    format!("{}{mend}", why(unanswered))
}

/// What was there to be ended.
fn what_is_ended(cluster: &str, pause: Option<&Pause>, now_ms: u64) -> String {
    match pause {
        None => format!("note       the cluster {cluster} was not paused"),
        Some(pause) if pause.left(now_ms).is_none() => {
            format!("note       the pause of {cluster} was over already: {pause}")
        }
        Some(pause) => format!("ended      the pause of {cluster} {pause}"),
    }
}

fn is_primary(id: &str, rows: &[Row]) -> bool {
    let unreachable = rows.iter().filter(|row| row.state == "UNREACHABLE").count();
    2 * unreachable < rows.len()
        && rows.iter().any(|row| row.id == *id && row.primary && row.state == "ONLINE")
}

/// The cluster's pause, as this member has it.
async fn row(member: &mut Member) -> Result<Option<Pause>, String> {
    let rows = member.order(PAUSED_UNTIL).await.map_err(with_what_to_do)?;
    understand(&rows).map_err(|odd| odd.to_string())
}

/// Waits until this member has it.
async fn has(member: &mut Member, pause: Option<&Pause>, since: Instant) -> Result<(), String> {
    loop {
        match row(member).await {
            Ok(there) if there.as_ref() == pause => return Ok(()),
            Ok(_) if since.elapsed() >= COPIED_WITHIN => {
                return Err(format!(
                    "the group has not copied it there within {} s",
                    COPIED_WITHIN.as_secs()
                ));
            }
            Ok(_) => sleep(LOOK_EVERY).await,
            Err(why) => return Err(why),
        }
    }
}

fn ask(socket: &Path, request: &Request) -> Result<(), ExitCode> {
    match control::ask(socket, request, Patience::ORDER) {
        Ok(Answer::Done(words)) => {
            print(&words);
            Ok(())
        }
        Ok(Answer::Failed(words)) => failed(&format!("this host's agent: {words}")),
        Ok(Answer::Status(_) | Answer::Reload(_)) => {
            failed("this host's agent answered with its status, which was not asked for")
        }
        Err(error) => failed(&format!("this host's agent: {error}")),
    }
}

fn failed<T>(words: &str) -> Result<T, ExitCode> {
    say(&format!("haipmgr: {words}"));
    Err(ExitCode::FAILURE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_has_an_end_within_a_day() {
        assert_eq!(length("1s"), Ok(Duration::from_secs(1)));
        assert_eq!(length("24h"), Ok(LONGEST));
        for no in ["0s", "500ms", "25h", "soon", ""] {
            assert!(length(no).is_err(), "{no}");
        }
    }

    #[test]
    fn a_pause_that_was_not_there_or_was_over_is_not_said_to_be_ended() {
        let pause = Pause::new(1_777_636_800_250, "root on db1", "new disk");
        let said = |pause, now_ms| what_is_ended("orders", pause, now_ms);
        assert!(said(None, 0).contains("orders was not paused"));
        assert!(
            said(Some(&pause), 1_777_636_800_250).contains("was over already: until 2026-05-01T12:00:00Z")
        );
        assert!(said(Some(&pause), 1_777_636_800_249).starts_with("ended      the pause of orders until"));
    }

    #[test]
    fn words_reach_the_server_whatever_characters_are_in_them() {
        assert_eq!(literal("a'\\"), "_utf8mb4 X'61275c'");
        assert_eq!(literal(""), "_utf8mb4 X''");
    }
}
