//! The operator's fence command: proves a host dead by switching it off.

use std::net::IpAddr;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use crate::self_protection::as_ordinary_thread;

/// The fence command proved nothing.
#[derive(Debug, thiserror::Error)]
pub enum FenceError {
    /// The configuration has none.
    #[error("there is no fence_command")]
    NoCommand,
    /// It can't be started.
    #[error("fence_command {program} can't be started: {cause}; see that it exists and may be executed")]
    NotStarted {
        /// The program.
        program: String,
        /// Why.
        cause: std::io::Error,
    },
    /// It failed.
    #[error("fence_command {program} ended with {status}")]
    Failed {
        /// The program.
        program: String,
        /// Its exit status.
        status: std::process::ExitStatus,
    },
    /// It took too long, and was ended.
    #[error("fence_command {program} was stopped after {} s; raise fence_limit if it needs longer", limit.as_secs())]
    TooLong {
        /// The program.
        program: String,
        /// How long it had.
        limit: Duration,
    },
}

/// Runs `command` with the member's address and name as two more arguments. Success proves that its host is dead.
///
/// # Errors
/// It can't be started, fails, or takes longer than `limit`; it is then killed.
pub async fn run(command: &[String], member: IpAddr, name: &str, limit: Duration) -> Result<(), FenceError> {
    let (program, arguments) = command.split_first().ok_or(FenceError::NoCommand)?;
    let named = || program.clone();
    let mut prepared = Command::new(program);
    prepared
        .args(arguments)
        .arg(member.to_string())
        .arg(name)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let mut child = as_ordinary_thread(|| prepared.spawn())
        .map_err(|cause| FenceError::NotStarted { program: named(), cause })?;
    match timeout(limit, child.wait()).await {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(FenceError::Failed { program: named(), status }),
        Ok(Err(cause)) => Err(FenceError::NotStarted { program: named(), cause }),
        Err(_) => Err(FenceError::TooLong { program: named(), limit }),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn fence(script: &str, limit: Duration) -> Result<(), FenceError> {
        let command = ["/bin/sh", "-c", script, "fence"].map(str::to_owned);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(run(&command, [192, 0, 2, 1].into(), "db1", limit))
    }

    #[test]
    fn it_is_told_the_members_address_and_name_and_proves_by_its_exit_status() {
        let limit = Duration::from_secs(10);
        fence("test \"$1 $2\" = '192.0.2.1 db1'", limit).unwrap();
        assert!(matches!(fence("exit 3", limit), Err(FenceError::Failed { .. })));
    }

    #[test]
    fn one_that_takes_too_long_proves_nothing() {
        let ended = fence("exec sleep 60", Duration::from_millis(100));
        assert!(matches!(ended, Err(FenceError::TooLong { .. })));
    }
}
