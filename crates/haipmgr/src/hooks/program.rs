//! A program: told by its environment and its standard input; ended, with all that it started, when it takes too long.

use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::message::Message;

/// So much of what it says is told where it fails, in bytes.
const SAID_AT_MOST: usize = 512;

/// Runs it. Gives in words why it did not succeed.
pub(super) async fn run(command: &[String], message: &Message, limit: Duration) -> Result<(), String> {
    let Some((program, arguments)) = command.split_first() else {
        return Err("it names no program".to_owned());
    };
    let line = message.line().map_err(|error| error.to_string())?;
    let mut prepared = Command::new(program);
    prepared
        .args(arguments)
        .envs(message.environment())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true);
    let mut child = prepared.spawn().map_err(|cause| format!("{program} can't be started: {cause}"))?;
    let group = child.id().and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
    let ended = timeout(limit, converse(&mut child, &line)).await;
    let outcome = match ended {
        Ok(Ok((status, _))) if status.success() => return Ok(()),
        Ok(Ok((status, said))) => Err(format!("{program} ended with {status}{said}")),
        Ok(Err(cause)) => Err(format!("{program}: {cause}")),
        Err(_) => Err(format!("{program} was ended after {} s (hook_limit)", limit.as_secs_f64())),
    };
    if let Some(group) = group {
        // Where it has ended by itself, nobody may be left.
        let _ = killpg(group, Signal::SIGKILL);
    }
    // So that no dead process stays.
    let _ = child.wait().await;
    outcome
}

async fn converse(child: &mut Child, line: &str) -> std::io::Result<(std::process::ExitStatus, String)> {
    if let Some(mut input) = child.stdin.take() {
        // It need not read.
        let _ = input.write_all(line.as_bytes()).await;
    }
    let mut said = Vec::new();
    if let Some(errors) = child.stderr.take() {
        let mut kept = errors.take(SAID_AT_MOST as u64);
        let _ = kept.read_to_end(&mut said).await;
        // What it says beyond that is read and dropped: a full pipe would stop it.
        let _ = tokio::io::copy(&mut kept.into_inner(), &mut tokio::io::sink()).await;
    }
    let said = String::from_utf8_lossy(&said).trim().replace('\n', "; ");
    let said = if said.is_empty() { said } else { format!(": {said}") };
    Ok((child.wait().await?, said))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Instant;

    use super::*;
    use crate::config::Happening;

    async fn shell(script: &str, limit: Duration) -> Result<(), String> {
        let command = ["/bin/sh", "-c", script].map(str::to_owned);
        let sentence = "the interface's name; $(touch /tmp/nothing) \"quoted\"".to_owned();
        let at = "2026-11-29T02:30:00.123Z".to_owned();
        run(&command, &Message::of_words(Happening::OnTrouble, "db1", "orders", at, sentence), limit).await
    }

    const LIMIT: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn it_is_told_by_its_environment_and_its_input_and_need_not_read() {
        let script = "test \"$HAIPMGR_HOOK $HAIPMGR_CLUSTER $HAIPMGR_HOST\" = 'on_trouble orders db1' && grep -q '\"sentence\":\"the interface'";
        shell(script, LIMIT).await.unwrap();
        shell("exit 0", LIMIT).await.unwrap();
    }

    #[tokio::test]
    async fn one_that_fails_is_told_with_what_it_said() {
        let said = shell("echo one >&2; echo two >&2; exit 3", LIMIT).await.unwrap_err();
        assert_eq!(said, "/bin/sh ended with exit status: 3: one; two");
        let missing = run(
            &["/nowhere/hook".to_owned()],
            &Message::of_words(Happening::OnTrouble, "", "", String::new(), String::new()),
            LIMIT,
        )
        .await;
        assert!(missing.unwrap_err().contains("/nowhere/hook can't be started"));
        shell("yes >&2 & sleep 0.05; kill $!; exit 0", LIMIT).await.unwrap();
    }

    #[tokio::test]
    async fn one_that_hangs_is_ended_with_all_that_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("id");
        let begun = Instant::now();
        let script = format!("sleep 60 & echo $! >{}; wait", file.display());
        let said = shell(&script, Duration::from_millis(300)).await.unwrap_err();
        assert!(said.contains("was ended after 0.3 s") && begun.elapsed() < LIMIT, "{said}");
        let id: i32 = std::fs::read_to_string(file).unwrap().trim().parse().unwrap();
        let alive =
            || std::fs::read_to_string(format!("/proc/{id}/stat")).is_ok_and(|stat| !stat.contains(") Z "));
        while alive() {
            assert!(begun.elapsed() < LIMIT, "what it started goes on");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}
