//! The person at the terminal, told and asked.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use tokio::task::JoinHandle;

use crate::switchover::carry_out::Operator;

/// Standard output and standard input.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terminal {
    /// Somebody is there to answer.
    pub(super) attended: bool,
}

impl Terminal {
    pub(super) fn new() -> Self {
        Self { attended: io::stdin().is_terminal() }
    }

    /// Waits for the answer. Nothing but `y` or `yes` is a yes.
    pub(super) fn confirm(question: &str) -> bool {
        let mut out = io::stdout().lock();
        let mut answer = String::new();
        let asked = write!(out, "{question} [y/N] ").and_then(|()| out.flush());
        drop(out);
        let answered = asked.and_then(|()| io::stdin().lock().read_line(&mut answer));
        answered.is_ok() && matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
    }
}

impl Operator for Terminal {
    fn say(&self, line: &str) {
        print(line);
    }

    fn ask(&self, question: &str) -> Option<JoinHandle<bool>> {
        let question = question.to_owned();
        self.attended.then(|| tokio::task::spawn_blocking(move || Self::confirm(&question)))
    }
}

/// On standard output; where that is closed there is nobody to tell.
pub(super) fn print(text: &str) {
    let _nobody_listens = writeln!(io::stdout().lock(), "{text}");
}
