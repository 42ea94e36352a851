//! `haipmgr reload`: has the running agent read its configuration anew.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use super::terminal::print;
use super::{ALREADY_RUNNING, BAD_INPUT, File, say};
use crate::config;
use crate::control::message::{Answer, Request};
use crate::control::reloaded::{Outcome, Reloaded};
use crate::control::{self, ClientError, Patience};

/// What `--help` ends with.
pub(super) const EXAMPLES: &str = "Examples:
  haipmgr reload --check     whether the file is good, and what would change
  haipmgr reload             follow it: only what has changed is begun anew, and every VIP that stays is untouched
  systemctl reload haipmgr                 the same

After another password was written into the password file: the same command. SIGHUP does the same with a TOML file, and says in the log
what came of it.

Exit status: 0 done; 1 failed, or not wholly; 2 the command line or the configuration is wrong: every problem is named, nothing was
changed; 3 no agent runs with this configuration.";

/// How long the agent is waited for: it may have another reload to do first, and VIPs to give up.
const PATIENCE: Patience = Patience { connect: Duration::from_secs(2), answer: Duration::from_secs(60) };
/// No agent runs with this configuration.
const NO_AGENT: u8 = ALREADY_RUNNING;

/// Its arguments.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    file: File,
    /// Only say what is wrong with the file, or what would change.
    #[arg(long, visible_alias = "dry-run")]
    check: bool,
}

pub(super) fn reload(arguments: &Arguments) -> ExitCode {
    let path = &arguments.file.config;
    let socket = match config::control_socket_of(path) {
        Ok(socket) => socket,
        Err(problems) => return bad_file(&problems),
    };
    let file = path.canonicalize().unwrap_or_else(|_| path.clone());
    let request = Request::Reload { file: file.display().to_string(), check: arguments.check };
    match control::ask(&socket, &request, PATIENCE) {
        Ok(Answer::Reload(told)) => tell(&told),
        Ok(Answer::Failed(words)) => failed(&words),
        Ok(Answer::Done(_) | Answer::Status(_)) => failed("the agent answered what was not asked for"),
        Err(nobody @ ClientError::NobodyThere(_)) => no_agent(path, &nobody),
        Err(error) => failed(&error.to_string()),
    }
}

/// What is wrong with the file comes first.
fn no_agent(path: &Path, nobody: &ClientError) -> ExitCode {
    if let Err(problems) = config::load_to_read(path) {
        return bad_file(&problems);
    }
    say(&format!("haipmgr: {nobody}; where `lock` is another than it was, restart the agent"));
    ExitCode::from(NO_AGENT)
}

fn tell(told: &Reloaded) -> ExitCode {
    if !told.lines.is_empty() {
        print(&told.lines.join("\n"));
    }
    if let Some((last, others)) = told.trouble.split_last() {
        for line in others {
            say(line);
        }
        say(&format!("haipmgr: {last}"));
    }
    match told.outcome {
        Outcome::Done => ExitCode::SUCCESS,
        Outcome::Failed => ExitCode::FAILURE,
        Outcome::BadFile => ExitCode::from(BAD_INPUT),
    }
}

fn bad_file(problems: &config::Problems) -> ExitCode {
    say(&format!("{problems}\nhaipmgr: no agent was asked, and nothing was changed"));
    ExitCode::from(BAD_INPUT)
}

fn failed(words: &str) -> ExitCode {
    say(&format!("haipmgr: {words}"));
    ExitCode::FAILURE
}
