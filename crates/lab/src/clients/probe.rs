//! A library's program: told when the fault comes and when the VIP has moved, and what it says of its three attempts.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::ClientsError;
use crate::host::Host;

/// What a program says once it has its connections.
const READY: &str = "ready";
/// The attempt in whose place a failure is told.
const FIRST: &str = "idle";
/// How much of a failure is told, characters.
const LONGEST: usize = 100;

/// One attempt, tried until it succeeded.
#[derive(Clone, Debug, PartialEq, Deserialize)]
struct Attempt {
    /// `idle`, `busy` or `connect`.
    what: String,
    /// The number or name of each error on the way.
    errors: Vec<String>,
    /// Until the success; none where it was given up after 20 s.
    seconds: Option<f64>,
    /// Whether the row whose INSERT failed is there all the same.
    written: Option<bool>,
}

/// All that a program said.
#[derive(Clone, Debug, Default)]
pub(super) struct Said {
    attempts: Vec<Attempt>,
    /// Its last words, where it ended before it was asked anything.
    failure: Option<String>,
}

impl Said {
    /// What became of one attempt, in words.
    pub(super) fn words(&self, what: &str, patience: Duration) -> String {
        if let Some(words) = &self.failure {
            return if what == FIRST { words.clone() } else { String::new() };
        }
        let Some(attempt) = self.attempts.iter().find(|attempt| attempt.what == what) else {
            return format!("more than {} s", patience.as_secs());
        };
        let errors = runs(&attempt.errors);
        let errors = if errors.is_empty() { "no error".to_owned() } else { errors.join(", ") };
        let written = match attempt.written {
            Some(true) => "; the row is there",
            Some(false) => "; the row is not there",
            None => "",
        };
        let seconds = attempt.seconds.map_or("given up".to_owned(), |seconds| format!("{seconds:.2} s"));
        format!("{errors}; {seconds}{written}")
    }
}

/// `2013, 2003 × 512`: errors of the same number in a row are told once.
fn runs(errors: &[String]) -> Vec<String> {
    errors
        .chunk_by(|one, next| one == next)
        .filter_map(|run| {
            let error = run.first()?;
            Some(if run.len() > 1 { format!("{error} × {}", run.len()) } else { error.clone() })
        })
        .collect()
}

/// A program that runs on the client's host.
#[derive(Debug)]
pub(super) struct Probe {
    process: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
    said: Said,
}

impl Probe {
    pub(super) fn start(client: &Host, mut command: Command) -> Result<Self, ClientsError> {
        let name = command.get_program().to_string_lossy().into_owned();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // In the client's network, and with the machine's files: the libraries are in the lab's cache.
        let spawned = client.in_network(move || command.spawn())?;
        let mut process = spawned.map_err(ClientsError::io(format!("can't run {name}")))?;
        let (sender, lines) = channel();
        let output = process.stdout.take();
        std::thread::spawn(move || {
            for line in
                output.into_iter().flat_map(|output| BufReader::new(output).lines()).map_while(Result::ok)
            {
                // Nobody listens once the table is made.
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        Ok(Self { input: process.stdin.take(), process, lines, said: Said::default() })
    }

    /// Waits until it has its connections; where that fails its last words are kept, and it is asked nothing.
    pub(super) fn wait_ready(&mut self, limit: Duration) {
        if self.lines.recv_timeout(limit).is_ok_and(|line| line == READY) {
            return;
        }
        let mut words = String::new();
        // A program that hangs says nothing more when it is killed.
        let _ = self.process.kill();
        if let Some(mut errors) = self.process.stderr.take() {
            let _ = errors.read_to_string(&mut words);
        }
        let last: String = words.lines().last().unwrap_or("no answer").chars().take(LONGEST).collect();
        self.said.failure = Some(format!("does not start: {last}"));
    }

    pub(super) fn tell(&mut self, line: &str) {
        if let Some(input) = &mut self.input {
            // One that has ended is not told; that is seen when it is waited for.
            let _ = writeln!(input, "{line}");
        }
    }

    /// Waits for its end, and kills it when that does not come in time.
    pub(super) fn wait_end(mut self, until: Instant) -> Said {
        while let Ok(line) = self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
            self.said.attempts.extend(serde_json::from_str::<Attempt>(&line));
        }
        // It may have ended by itself; either way it is reaped.
        let _ = self.process.kill();
        let _ = self.process.wait();
        self.said
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn said(lines: &[&str]) -> Said {
        let attempts = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
        Said { attempts, failure: None }
    }

    const PATIENCE: Duration = Duration::from_secs(60);

    #[test]
    fn errors_in_a_row_are_told_once_and_a_row_that_is_there_is_said() {
        let said = said(&[
            r#"{"what":"busy","errors":["2013","2003","2003"],"seconds":6.518,"written":true}"#,
            r#"{"what":"idle","errors":[],"seconds":0.004}"#,
        ]);
        assert_eq!(said.words("busy", PATIENCE), "2013, 2003 × 2; 6.52 s; the row is there");
        assert_eq!(said.words("idle", PATIENCE), "no error; 0.00 s");
    }

    #[test]
    fn what_is_not_over_in_time_is_said_to_take_longer() {
        assert_eq!(said(&[]).words("idle", PATIENCE), "more than 60 s");
    }

    #[test]
    fn an_attempt_that_was_given_up_is_told_with_its_errors() {
        let said = said(&[r#"{"what":"idle","errors":["2061","2061"],"seconds":null}"#]);
        assert_eq!(said.words("idle", PATIENCE), "2061 × 2; given up");
    }

    #[test]
    fn a_program_that_does_not_start_is_no_success() {
        let failed = Said { failure: Some("does not start: no module".to_owned()), ..Said::default() };
        assert_eq!(failed.words("idle", PATIENCE), "does not start: no module");
        assert_eq!(failed.words("busy", PATIENCE), "");
    }
}
