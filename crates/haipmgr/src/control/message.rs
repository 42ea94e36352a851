//! What is asked of an agent, and what it answers: one line of JSON each. No IO.
//!
//! A line is an envelope with a protocol number, `{"protocol":1,"request":"stop"}`, and its answer is one too,
//! `{"protocol":1,"answer":{"done":"…"}}`. Version 0.1 knew no envelope: its lines are what stands in one today, and are answered
//! without one. A side that does not understand the other says so in one sentence.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::reloaded::Reloaded;
use super::report::Report;
use crate::pause::Pause;

/// What this version speaks. It is raised when an older side would take a message for something else than it is; a new request
/// alone does not raise it.
pub const PROTOCOL: u32 = 1;

/// No request is longer, in bytes, its end of line included.
pub const LONGEST_REQUEST: usize = 1024;
/// No answer in words is longer, in bytes, its end of line included.
pub const LONGEST_ANSWER: usize = 8192;
/// No status is longer, in bytes, its end of line included: more than that of the largest configuration that is read at all, with nine
/// members in each cluster and an error in place of each answer.
pub const LONGEST_STATUS: usize = 64 << 20;

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
    /// Say how you are. Changes nothing.
    Status {
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
    /// Read the configuration anew, and follow it.
    Reload {
        /// The file that is meant: it must be the one that the agent was started with.
        file: String,
        /// Only say what would change.
        check: bool,
    },
}

impl Request {
    /// The cluster that it names.
    pub fn cluster(&self) -> Option<&String> {
        match self {
            Self::Stop | Self::Reload { .. } => None,
            Self::Release { cluster }
            | Self::Drain { cluster }
            | Self::Undrain { cluster }
            | Self::Pause { cluster, .. }
            | Self::Resume { cluster, .. }
            | Self::Status { cluster } => cluster.as_ref(),
        }
    }

    /// It changes nothing: whoever may connect may ask it.
    pub fn only_reads(&self) -> bool {
        match self {
            Self::Status { .. } => true,
            Self::Stop
            | Self::Release { .. }
            | Self::Drain { .. }
            | Self::Undrain { .. }
            | Self::Pause { .. }
            | Self::Resume { .. }
            | Self::Reload { .. } => false,
        }
    }

    /// An agent of version 0.1 understands it without an envelope.
    fn is_of_version_0_1(&self) -> bool {
        match self {
            Self::Stop | Self::Release { .. } | Self::Drain { .. } | Self::Undrain { .. } => true,
            Self::Pause { .. } | Self::Resume { .. } | Self::Status { .. } | Self::Reload { .. } => false,
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
    /// How it is.
    Status(Box<Report>),
    /// What came of a reload.
    Reload(Reloaded),
}

/// How the other side speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaks {
    /// As version 0.1: without an envelope.
    Version01,
    /// With one, of this protocol.
    Protocol(u32),
}

/// A line that says nothing that this version knows.
#[derive(Debug, thiserror::Error)]
pub enum BadMessage {
    /// It is longer than it may be.
    #[error("the message is longer than {0} bytes; does something other than haipmgr use this socket?")]
    TooLong(usize),
    /// It is no such message.
    #[error("this version cannot read the message ({0}); use the same version as the running agent")]
    NotKnown(#[from] serde_json::Error),
    /// A whole message of a newer version.
    #[error(
        "this side is haipmgr {} and speaks protocol {PROTOCOL}, the other speaks protocol {protocol} and says what is not known here ({cause}); use the same version on both: restart the agent after an upgrade",
        crate::version::long()
    )]
    Newer {
        /// Its protocol.
        protocol: u32,
        /// What is not known.
        #[source]
        cause: serde_json::Error,
    },
    /// The agent is of version 0.1, which can't be asked this.
    #[error(
        "the agent that runs is of version 0.1, which cannot be asked that; restart it with the version that is installed: systemctl restart haipmgr (the VIP stays)"
    )]
    OldAgent,
}

#[derive(Serialize, Deserialize)]
struct Asked<T> {
    protocol: u32,
    request: T,
}

#[derive(Serialize, Deserialize)]
struct Answered<T> {
    protocol: u32,
    answer: T,
}

impl Request {
    /// Reads one line, with or without its end, and how whoever wrote it speaks.
    ///
    /// # Errors
    /// It is no request that this version knows, or longer than [`LONGEST_REQUEST`].
    pub fn parse(line: &[u8]) -> Result<(Self, Speaks), BadMessage> {
        within(line, LONGEST_REQUEST)?;
        match serde_json::from_slice::<Asked<Self>>(line) {
            Ok(Asked { protocol, request }) => Ok((request, Speaks::Protocol(protocol))),
            Err(cause) => without_envelope(line, cause),
        }
    }

    /// As one line.
    ///
    /// # Errors
    /// It would be longer than [`LONGEST_REQUEST`].
    pub fn line(&self) -> Result<String, BadMessage> {
        line(&Asked { protocol: PROTOCOL, request: self }, LONGEST_REQUEST)
    }

    /// As one line for an agent of version 0.1.
    ///
    /// # Errors
    /// Such an agent can't be asked this, or it would be longer than [`LONGEST_REQUEST`].
    pub fn line_for_version_0_1(&self) -> Result<String, BadMessage> {
        if self.is_of_version_0_1() { line(self, LONGEST_REQUEST) } else { Err(BadMessage::OldAgent) }
    }
}

impl Answer {
    /// Reads one line, with or without its end, and how the agent speaks.
    ///
    /// # Errors
    /// It is no answer that this version knows, or longer than [`LONGEST_STATUS`].
    pub fn parse(line: &[u8]) -> Result<(Self, Speaks), BadMessage> {
        within(line, LONGEST_STATUS)?;
        match serde_json::from_slice::<Answered<Self>>(line) {
            Ok(Answered { protocol, answer }) => Ok((answer, Speaks::Protocol(protocol))),
            Err(cause) => without_envelope(line, cause),
        }
    }

    /// As one line for a side that speaks so.
    ///
    /// # Errors
    /// It would be longer than [`LONGEST_ANSWER`], or [`LONGEST_STATUS`].
    pub fn line(&self, to: Speaks) -> Result<String, BadMessage> {
        let longest = match self {
            Self::Status(_) | Self::Reload(_) => LONGEST_STATUS,
            Self::Done(_) | Self::Failed(_) => LONGEST_ANSWER,
        };
        match to {
            Speaks::Version01 => line(self, longest),
            Speaks::Protocol(_) => line(&Answered { protocol: PROTOCOL, answer: self }, longest),
        }
    }
}

/// How a side speaks whose request can't be read: it is answered so that it can read the answer.
pub(super) fn speaks(line: &[u8]) -> Speaks {
    let protocol = serde_json::from_slice::<Value>(line).ok().and_then(|all| all.get("protocol")?.as_u64());
    protocol
        .map_or(Speaks::Version01, |protocol| Speaks::Protocol(u32::try_from(protocol).unwrap_or(u32::MAX)))
}

/// It is no envelope that can be read whole: of version 0.1, or an error because of `cause`.
fn without_envelope<'l, T: Deserialize<'l>>(
    line: &'l [u8],
    cause: serde_json::Error,
) -> Result<(T, Speaks), BadMessage> {
    match speaks(line) {
        Speaks::Protocol(protocol) if protocol > PROTOCOL => Err(BadMessage::Newer { protocol, cause }),
        Speaks::Protocol(_) => Err(BadMessage::NotKnown(cause)),
        Speaks::Version01 => Ok((serde_json::from_slice(line)?, Speaks::Version01)),
    }
}

fn within(line: &[u8], longest: usize) -> Result<(), BadMessage> {
    if line.len() > longest { Err(BadMessage::TooLong(longest)) } else { Ok(()) }
}

fn line(message: &impl Serialize, longest: usize) -> Result<String, BadMessage> {
    let line = serde_json::to_string(message)? + "\n";
    within(line.as_bytes(), longest)?;
    Ok(line)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::super::reloaded::Outcome;
    use super::*;

    fn all() -> Vec<Request> {
        let odd = Some("two\nlines \"and\" more".to_owned());
        vec![
            Request::Stop,
            Request::Release { cluster: None },
            Request::Release { cluster: odd.clone() },
            Request::Drain { cluster: odd.clone() },
            Request::Undrain { cluster: None },
            Request::Pause {
                cluster: None,
                pause: Pause::new(u64::MAX, &"\"".repeat(200), &"\"".repeat(400)),
                whole: true,
            },
            Request::Resume { cluster: None, whole: false },
            Request::Reload { file: "/etc/haip \"mgr\"/ü.toml".to_owned(), check: true },
            Request::Status { cluster: odd },
        ]
    }

    #[test]
    fn requests_and_answers_survive_the_way_also_with_odd_names() {
        for request in all() {
            let line = request.line().unwrap();
            assert_eq!(line.matches('\n').count(), 1, "{line}");
            assert_eq!(Request::parse(line.as_bytes()).unwrap(), (request, Speaks::Protocol(PROTOCOL)));
        }
        let told =
            Reloaded { outcome: Outcome::BadFile, lines: Vec::new(), trouble: vec!["two\nlines".to_owned()] };
        let line = Answer::Reload(told.clone()).line(Speaks::Protocol(PROTOCOL)).unwrap();
        assert_eq!(Answer::parse(line.as_bytes()).unwrap().0, Answer::Reload(told));
        let answer = Answer::Failed("why".to_owned());
        for to in [Speaks::Version01, Speaks::Protocol(PROTOCOL)] {
            let line = answer.line(to).unwrap();
            assert_eq!(Answer::parse(line.as_bytes()).unwrap(), (answer.clone(), to));
        }
    }

    #[test]
    fn the_lines_of_version_0_1_are_understood_and_answered_as_it_understands() {
        for (line, request) in [
            ("\"stop\"\n", Request::Stop),
            ("{\"release\":{\"cluster\":null}}\n", Request::Release { cluster: None }),
            ("{\"drain\":{\"cluster\":\"orders\"}}\n", Request::Drain { cluster: Some("orders".to_owned()) }),
            ("{\"undrain\":{\"cluster\":null}}\n", Request::Undrain { cluster: None }),
        ] {
            assert_eq!(Request::parse(line.as_bytes()).unwrap(), (request.clone(), Speaks::Version01));
            assert_eq!(request.line_for_version_0_1().unwrap(), line);
        }
        let answer = Answer::Done("it is done".to_owned()).line(Speaks::Version01).unwrap();
        assert_eq!(answer, "{\"done\":\"it is done\"}\n");
    }

    #[test]
    fn an_agent_of_version_0_1_that_is_asked_what_it_does_not_know_is_named_as_such() {
        let refused = Request::Status { cluster: None }.line_for_version_0_1().unwrap_err().to_string();
        assert!(refused.contains("version 0.1") && refused.contains("restart"), "{refused}");
    }

    #[test]
    fn a_newer_sides_request_that_is_not_known_here_is_refused_in_one_sentence_that_says_so() {
        let line = br#"{"protocol":7,"request":{"levitate":{}},"since":"version 3"}"#;
        let refused = Request::parse(line).unwrap_err().to_string();
        for word in ["protocol 1", "protocol 7", "levitate", "same version"] {
            assert!(refused.contains(word), "{refused}");
        }
        assert_eq!(speaks(line), Speaks::Protocol(7));
        let known = br#"{"protocol":7,"request":"stop","since":"version 3"}"#;
        assert_eq!(Request::parse(known).unwrap(), (Request::Stop, Speaks::Protocol(7)));
    }

    #[test]
    fn only_a_status_changes_nothing() {
        for request in all() {
            assert_eq!(request.only_reads(), matches!(request, Request::Status { .. }), "{request:?}");
        }
    }

    #[test]
    fn what_is_no_request_is_refused() {
        let long = format!("{{\"release\":{{\"cluster\":\"{}\"}}}}", "x".repeat(LONGEST_REQUEST));
        for line in [
            "",
            "\n",
            "stop",
            "\"halt\"",
            "{\"release\":{\"vip\":\"all\"}}",
            "[\"stop\"]",
            "{\"protocol\":1}",
            "{\"protocol\":-1,\"request\":\"stop\"}",
            "{\"protocol\":1,\"request\":\"halt\"}",
            &long,
        ] {
            assert!(Request::parse(line.as_bytes()).is_err(), "{line}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_request_that_can_be_written_again_or_an_error(line in prop::collection::vec(any::<u8>(), 0..1500)) {
            if let Ok((request, _)) = Request::parse(&line) {
                prop_assert_eq!(Request::parse(request.line().unwrap().as_bytes()).unwrap().0, request);
            }
            let _any = Answer::parse(&line);
            let _any = speaks(&line);
        }

        #[test]
        fn any_json_is_a_request_or_an_error(name in "[a-z_]{0,9}", protocol in any::<i64>(), inside in "[\\PC]{0,40}") {
            let line = serde_json::json!({ "protocol": protocol, "request": { name: inside } }).to_string();
            let _any = Request::parse(line.as_bytes());
        }
    }
}
