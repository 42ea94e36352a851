//! What is asked of an agent, and what it answers: one line of JSON each. No IO.

use serde::{Deserialize, Serialize};

use crate::pause::Pause;

/// No request is longer, in bytes, its end of line included.
pub const LONGEST_REQUEST: usize = 1024;
/// No answer is longer, in bytes, its end of line included.
pub const LONGEST_ANSWER: usize = 8192;

/// What is asked of an agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// End, and leave the VIPs as they are, as on SIGTERM (S7).
    Stop,
    /// Give the VIP up, and end.
    Release {
        /// Of the cluster of this name only; none: of each.
        cluster: Option<String>,
    },
    /// Give the VIP up, and take none until [`Request::Undrain`] or the next boot. The agent goes on.
    Drain {
        /// Of the cluster of this name only; none: of each.
        cluster: Option<String>,
    },
    /// Take VIPs again.
    Undrain {
        /// Of the cluster of this name only; none: of each.
        cluster: Option<String>,
    },
    /// Take no VIP and let go of none by choice, until the pause's end or [`Request::Resume`].
    Pause {
        /// Of the cluster of this name only; none: of each.
        cluster: Option<String>,
        /// Until when, by whom, why.
        pause: Pause,
        /// It is the whole cluster's, and stands in its table: answer when this agent has read it there.
        whole: bool,
    },
    /// The end of a pause before its time.
    Resume {
        /// Of the cluster of this name only; none: of each.
        cluster: Option<String>,
        /// The whole cluster's ends too, and no longer stands in its table: answer when this agent has read that.
        whole: bool,
    },
}

impl Request {
    /// The cluster that it names.
    pub fn cluster(&self) -> Option<&String> {
        match self {
            Self::Stop => None,
            Self::Release { cluster }
            | Self::Drain { cluster }
            | Self::Undrain { cluster }
            | Self::Pause { cluster, .. }
            | Self::Resume { cluster, .. } => cluster.as_ref(),
        }
    }
}

/// What an agent answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// It is done; in words.
    Done(String),
    /// It is not, or not wholly; why, and what to do.
    Failed(String),
}

/// A line that asks for nothing that this version knows.
#[derive(Debug, thiserror::Error)]
pub enum BadMessage {
    /// It is longer than it may be.
    #[error("the message is longer than {0} bytes; does something other than haipmgr use this socket?")]
    TooLong(usize),
    /// It is no such message.
    #[error("this version cannot read the message ({0}); use the same version as the running agent")]
    NotKnown(#[from] serde_json::Error),
}

impl Request {
    /// Reads one line, with or without its end.
    ///
    /// # Errors
    /// It is no request, or longer than [`LONGEST_REQUEST`].
    pub fn parse(line: &[u8]) -> Result<Self, BadMessage> {
        parse(line, LONGEST_REQUEST)
    }

    /// As one line.
    ///
    /// # Errors
    /// It would be longer than [`LONGEST_REQUEST`].
    pub fn line(&self) -> Result<String, BadMessage> {
        line(self, LONGEST_REQUEST)
    }
}

impl Answer {
    /// Reads one line, with or without its end.
    ///
    /// # Errors
    /// It is no answer, or longer than [`LONGEST_ANSWER`].
    pub fn parse(line: &[u8]) -> Result<Self, BadMessage> {
        parse(line, LONGEST_ANSWER)
    }

    /// As one line.
    ///
    /// # Errors
    /// It would be longer than [`LONGEST_ANSWER`].
    pub fn line(&self) -> Result<String, BadMessage> {
        line(self, LONGEST_ANSWER)
    }
}

fn parse<'l, T: Deserialize<'l>>(line: &'l [u8], longest: usize) -> Result<T, BadMessage> {
    if line.len() > longest {
        return Err(BadMessage::TooLong(longest));
    }
    Ok(serde_json::from_slice(line)?)
}

fn line(message: &impl Serialize, longest: usize) -> Result<String, BadMessage> {
    let line = serde_json::to_string(message)? + "\n";
    if line.len() > longest { Err(BadMessage::TooLong(longest)) } else { Ok(line) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn requests_and_answers_survive_the_way_also_with_odd_names() {
        let odd = Some("two\nlines \"and\" more".to_owned());
        for request in [
            Request::Stop,
            Request::Release { cluster: None },
            Request::Release { cluster: odd.clone() },
            Request::Drain { cluster: odd },
            Request::Undrain { cluster: None },
            Request::Pause {
                cluster: None,
                pause: Pause::new(u64::MAX, &"\"".repeat(200), &"\"".repeat(400)),
                whole: true,
            },
            Request::Resume { cluster: None, whole: false },
        ] {
            let line = request.line().unwrap();
            assert_eq!(line.matches('\n').count(), 1, "{line}");
            assert_eq!(Request::parse(line.as_bytes()).unwrap(), request);
        }
        let answer = Answer::Failed("why".to_owned());
        assert_eq!(Answer::parse(answer.line().unwrap().as_bytes()).unwrap(), answer);
    }

    #[test]
    fn what_is_no_request_is_refused() {
        let long = format!("{{\"release\":{{\"cluster\":\"{}\"}}}}", "x".repeat(LONGEST_REQUEST));
        for line in ["", "\n", "stop", "\"halt\"", "{\"release\":{\"vip\":\"all\"}}", "[\"stop\"]", &long] {
            assert!(Request::parse(line.as_bytes()).is_err(), "{line}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_request_that_can_be_written_again_or_an_error(line in prop::collection::vec(any::<u8>(), 0..1500)) {
            if let Ok(request) = Request::parse(&line) {
                prop_assert_eq!(Request::parse(request.line().unwrap().as_bytes()).unwrap(), request);
            }
            let _any = Answer::parse(&line);
        }
    }
}
