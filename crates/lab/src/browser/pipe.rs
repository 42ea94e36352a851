//! The browser's protocol (CDP) over pipes: each message is JSON and ends with a zero byte.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{ChildStdin, ChildStdout};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::BrowserError;
use crate::record::now_us;

/// How long an answer may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);

/// What comes with every event of a stream, and is looked at on the page instead.
const NOT_KEPT: [&str; 2] = ["Network.eventSourceMessageReceived", "Network.dataReceived"];

/// Something that the browser told unasked.
#[derive(Clone, Debug)]
pub struct Told {
    /// When it arrived here, on the recording's clock.
    pub at_us: u64,
    /// What it is: `Network.requestWillBeSent`.
    pub method: String,
    /// What of it.
    pub parameters: Value,
}

/// Both directions.
#[derive(Debug)]
pub(super) struct Pipe {
    input: ChildStdin,
    arrived: Receiver<(u64, Value)>,
    /// With the page that it is of.
    unasked: VecDeque<(String, Told)>,
    last: u64,
}

impl Pipe {
    pub(super) fn new(input: ChildStdin, output: ChildStdout) -> Self {
        let (tell, arrived) = channel();
        std::thread::spawn(move || read(output, &tell));
        Self { input, arrived, unasked: VecDeque::new(), last: 0 }
    }

    /// Asks, and waits for the answer.
    pub(super) fn call(
        &mut self,
        session: Option<&str>,
        method: &str,
        parameters: &Value,
    ) -> Result<Value, BrowserError> {
        self.last += 1;
        let id = self.last;
        let mut asked = json!({ "id": id, "method": method, "params": parameters });
        if let Some(session) = session {
            asked["sessionId"] = session.into();
        }
        let message = format!("{asked}\0");
        self.input
            .write_all(message.as_bytes())
            .map_err(|cause| BrowserError::Io { what: "its pipe", cause })?;
        let since = Instant::now();
        loop {
            let left = ANSWER_LIMIT.saturating_sub(since.elapsed());
            match self.arrived.recv_timeout(left) {
                Ok((_, mut answer)) if answer["id"] == id => {
                    return match answer.get("error") {
                        None => Ok(answer["result"].take()),
                        Some(error) => {
                            Err(BrowserError::Refused { method: method.to_owned(), words: error.to_string() })
                        }
                    };
                }
                Ok((at_us, message)) => self.keep(at_us, message),
                Err(_) => return Err(self.silent(method)),
            }
        }
    }

    /// What was told of this page.
    pub(super) fn told(&mut self, session: &str) -> Result<Vec<Told>, BrowserError> {
        loop {
            match self.arrived.recv_timeout(Duration::ZERO) {
                Ok((at_us, message)) => self.keep(at_us, message),
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => return Err(self.silent("anything")),
            }
        }
        let (these, others) =
            self.unasked.drain(..).partition::<VecDeque<_>, _>(|(whose, _)| whose == session);
        self.unasked = others;
        Ok(these.into_iter().map(|(_, told)| told).collect())
    }

    fn keep(&mut self, at_us: u64, mut message: Value) {
        let (Some(method), Some(session)) = (message["method"].as_str(), message["sessionId"].as_str())
        else {
            // Of the browser as a whole, or of no interest any more.
            return;
        };
        if NOT_KEPT.contains(&method) {
            return;
        }
        let (method, session) = (method.to_owned(), session.to_owned());
        self.unasked.push_back((session, Told { at_us, method, parameters: message["params"].take() }));
    }

    fn silent(&self, method: &str) -> BrowserError {
        let words = self.unasked.back().map_or_else(
            || "none; try its program by hand (lab-cache/root-chromium…)".to_owned(),
            |(_, told)| format!("{} {}", told.method, told.parameters),
        );
        BrowserError::Silent { method: method.to_owned(), limit: ANSWER_LIMIT, words }
    }
}

/// Until the browser ends.
fn read(output: ChildStdout, tell: &Sender<(u64, Value)>) {
    let mut output = BufReader::new(output);
    loop {
        let mut message = Vec::new();
        match output.read_until(0, &mut message) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        message.pop();
        let Ok(message) = serde_json::from_slice(&message) else { continue };
        if tell.send((now_us(), message)).is_err() {
            return;
        }
    }
}
