//! `haipmgr replay FILE`: plays a trace again, and prints each decision with its reason.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use decide::Decision;
use decide::input::{Event, Fact};
use decide::policy::Policy;
use decide::time::Time;
use decide::trace::{Heading, Line, Played, Replay};

/// Why a trace can't be played.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The file can't be read.
    #[error("{path}: {cause}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: std::io::Error,
    },
    /// A line is not of a trace.
    #[error(
        "{path}:{line}: this version cannot read this line of the trace: {cause}; replay it with the version that wrote it"
    )]
    NotATrace {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// Why.
        cause: serde_json::Error,
    },
    /// A stretch is written in another format.
    #[error(
        "{path}:{line}: written in trace format {format}, and this version of haipmgr plays format {plays}: replay it with the version that wrote it",
        plays = decide::trace::FORMAT
    )]
    OtherFormat {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// The format.
        format: u32,
    },
    /// A step comes before any start.
    #[error(
        "{path}:{line}: no \"start\" line before this step: the beginning of the file is missing; remove the lines before its first \"start\""
    )]
    NoStart {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
    },
}

/// For the place of a line that was never finished.
const CUT_SHORT: &str = "-- a line is cut short here: the agent was killed, or the disk was full";

/// What playing a file again gave.
#[derive(Debug, Default)]
pub struct Replayed {
    /// How many steps were decided as they were when recorded.
    pub same: usize,
    /// How many differently: recorded by another version, or the file was changed.
    pub different: usize,
}

/// Plays the trace in `path`, and hands each line of the account to `print`.
///
/// # Errors
/// The file can't be read, or is no trace.
pub fn replay(path: &Path, mut print: impl FnMut(&str)) -> Result<Replayed, ReplayError> {
    let unreadable = |cause| ReplayError::Unreadable { path: path.to_owned(), cause };
    let file = File::open(path).map_err(unreadable)?;
    replay_text(path, BufReader::new(file), &mut print)
}

/// The same with the file's content; `path` is for the errors alone.
pub(crate) fn replay_text(
    path: &Path,
    text: impl BufRead,
    print: &mut impl FnMut(&str),
) -> Result<Replayed, ReplayError> {
    let unreadable = |cause| ReplayError::Unreadable { path: path.to_owned(), cause };
    let (mut replay, mut replayed, mut began) = (Replay::default(), Replayed::default(), Time(0));
    // A line that can't be read, until it is known what comes after it: a killed agent leaves one behind, and the next
    // agent begins with a start.
    let mut cut_short = None;
    for (at, text) in text.split(b'\n').enumerate() {
        let (line, path) = (at + 1, path.to_owned());
        let text = text.map_err(unreadable)?;
        let read = match serde_json::from_slice::<Line>(&text) {
            Ok(read) => read,
            Err(cause) => {
                if let Some(format) = other_format(&text) {
                    return Err(ReplayError::OtherFormat { path, line, format });
                }
                if let Some(earlier) = cut_short.replace(ReplayError::NotATrace { path, line, cause }) {
                    return Err(earlier);
                }
                continue;
            }
        };
        if let Some(error) = cut_short.take() {
            if !matches!(read, Line::Start { .. }) {
                return Err(error);
            }
            print(CUT_SHORT);
        }
        let played = replay.play(&read);
        match (&read, played) {
            (_, Played::OtherFormat(format)) => {
                return Err(ReplayError::OtherFormat { path, line, format });
            }
            (Line::Start { now, note, policy, .. }, _) => {
                began = *now;
                let vips: Vec<_> = policy.vips.values().map(|vip| vip.address.to_string()).collect();
                print(&format!("-- VIP {}, written {note}", vips.join(", ")));
            }
            (Line::Step { now, event, .. }, Played::Same(decision)) => {
                replayed.same += 1;
                print(&account(replay.policy(), began, *now, event, &decision));
            }
            (Line::Step { now, event, decision: then }, Played::Different(decision)) => {
                replayed.different += 1;
                print(&account(replay.policy(), began, *now, event, &decision));
                print(&format!("   DIFFERENT: when recorded, {}", decided(replay.policy(), then)));
            }
            (Line::Step { .. }, Played::NoStart | Played::Started) => {
                return Err(ReplayError::NoStart { path, line });
            }
        }
    }
    match cut_short {
        // Nothing but that line: this is no trace at all.
        Some(error) if replayed.same + replayed.different == 0 => Err(error),
        Some(_) => {
            print(CUT_SHORT);
            Ok(replayed)
        }
        None => Ok(replayed),
    }
}

/// The format of a stretch that begins with this line and that another version wrote.
fn other_format(text: &[u8]) -> Option<u32> {
    serde_json::from_slice::<Heading>(text).ok()?.other_format()
}

fn account(policy: Option<&Policy>, began: Time, now: Time, event: &Event, decision: &Decision) -> String {
    format!(
        "{:>10.4} s  {}\n              {}",
        now.since(began).as_secs_f64(),
        seen(policy, event),
        decided(policy, decision)
    )
}

fn seen(policy: Option<&Policy>, event: &Event) -> String {
    let fact = |name: &str, fact: &dyn std::fmt::Debug| format!("{name}: {fact:?}");
    match event {
        Event::Server(seen) => match &seen.fact {
            Fact::Known(decide::input::Server::Member(view)) => format!(
                "server: primary {}, writable {}, {} members, {} UNREACHABLE, view {}",
                view.is_primary(),
                !view.super_read_only,
                view.members.len(),
                view.unreachable(),
                view.view.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string)
            ),
            other => fact("server", other),
        },
        Event::Peer { member, seen } => fact(&format!("server of {member}"), &seen.fact),
        Event::Gateway(seen) => fact("gateway", &seen.fact),
        Event::OwnGateway(own, seen) => fact(&format!("gateway {own}"), &seen.fact),
        Event::Host(seen) => fact("host", &seen.fact),
        Event::Frame(vip, frame) => {
            let several = policy.filter(|policy| policy.vips.len() > 1);
            let about = several.and_then(|policy| policy.address_of(*vip));
            let about = about.map_or_else(String::new, |vip| format!("{vip}: "));
            format!("{about}frame from {}: {:?}", frame.from, frame.says)
        }
        other => format!("{other:?}"),
    }
}

fn decided(policy: Option<&Policy>, decision: &Decision) -> String {
    let mut text = String::new();
    for (at, said) in decision.reasons.iter().enumerate() {
        let words = policy.map_or_else(|| said.reason.to_string(), |policy| said.text(policy));
        let _infallible = write!(text, "{}{words}", if at == 0 { "" } else { "; " });
    }
    if !decision.actions.is_empty() {
        let _infallible = write!(text, "  => {:?}", decision.actions);
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use decide::policy::{GroupPolicy, VipPolicy};

    use super::*;

    const CUT: &str = "{\"step\":{\"now\":12";

    fn start() -> String {
        let now = Time(0);
        let group = GroupPolicy::new(std::collections::BTreeMap::new());
        let policy = Policy::new(group, VipPolicy::new([10, 0, 0, 9].into()));
        let state = decide::State::new(&policy, now);
        let (policy, state) = (Box::new(policy), Box::new(state));
        serde_json::to_string(&Line::Start {
            format: decide::trace::FORMAT,
            now,
            note: "a test".into(),
            policy,
            state,
        })
        .unwrap()
    }

    fn step() -> String {
        let Line::Start { policy, mut state, .. } = serde_json::from_str(&start()).unwrap() else {
            unreachable!()
        };
        let decision = decide::step(&policy, &mut state, &Event::Wake, Time(0));
        let (event, decision) = (Box::new(Event::Wake), Box::new(decision));
        serde_json::to_string(&Line::Step { now: Time(0), event, decision }).unwrap()
    }

    fn play(lines: &[&str]) -> Result<Replayed, ReplayError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("trace.jsonl");
        std::fs::write(&path, lines.join("\n")).unwrap();
        replay(&path, |_| {})
    }

    #[test]
    fn a_trace_of_another_version_is_refused_with_both_formats_and_what_to_do() {
        let old = r#"{"start":{"now":1,"note":"old","policy":{},"state":{"host":1}}}"#;
        let (own, next) = (decide::trace::FORMAT, decide::trace::FORMAT + 1);
        let newer = start().replacen(&format!("\"format\":{own}"), &format!("\"format\":{next}"), 1);
        for (line, format) in [(old, 1), (newer.as_str(), next)] {
            let error = play(&[line]).unwrap_err().to_string();
            let both = [format, own].map(|format| format!("format {format}"));
            assert!(both.iter().all(|format| error.contains(format)), "{error}");
            assert!(error.contains("the version that wrote it"), "{error}");
        }
    }

    #[test]
    fn what_a_killed_agent_left_unfinished_does_not_keep_the_rest_from_being_played() {
        let (start, step) = (start(), step());
        let replayed = play(&[&start, &step, CUT, &start, &step]).unwrap();
        assert_eq!((replayed.same, replayed.different), (2, 0));
        assert_eq!(play(&[&start, &step, CUT]).unwrap().same, 1);
    }

    #[test]
    fn a_line_that_is_missing_in_the_midst_is_an_error_that_names_it() {
        let (start, step) = (start(), step());
        let error = play(&[&start, CUT, &step]).unwrap_err().to_string();
        assert!(error.contains(":2:"), "{error}");
        assert!(play(&["no trace"]).is_err());
    }
}
