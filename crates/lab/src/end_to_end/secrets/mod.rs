//! Passwords, the token of HTTP and what is secret in a hook's address: in their own files alone, whatever is done; and gone from an
//! agent's memory when another has taken their place.
//!
//! | file | the one idea |
//! |---|---|
//! | `forms.rs` | the forms in which a secret could be written down |
//! | `work.rs` | what is done with secrets that are known, and what is said meanwhile |
//! | `crash.rs` | what ends by a signal that dumps core |
//! | `places.rs` | every place in which something could be left |
//! | `memory.rs` | what stands in a process's memory |

mod crash;
mod forms;
mod memory;
mod places;
mod work;

use self::forms::Secret;
use self::memory::copies_of;
use self::places::Found;
use super::expect::promise;
use super::files::reconfigure;
use super::reload::rotate;
use super::{Broken, UnderTest};
use crate::agents::{self, CONFIGURATION, LAB, PASSWORD_FILE};
use crate::experiment::Experiment;
use crate::group::AGENT_PASSWORD;

/// The account's for the time of the test: of what addresses, JSON and shells write otherwise.
const PASSWORD: &str = "Known-to-the-test\"$7/+x&";
/// One that no server knows.
const WRONG_PASSWORD: &str = "Nobody-knows\"$8/+y&";
/// What HTTP wants to see.
const TOKEN: &str = "token-of-the-test/+4f2a9c";
/// What nobody is let in with.
const WRONG_TOKEN: &str = "another-token/+00000000";
/// In the address of a hook.
const IN_ADDRESS: &str = "secret-of-the-address-77e1";
const TOKEN_FILE: &str = "/etc/haipmgr/http.token";

/// With passwords and a token that are known: two rotations by reload, switchovers, every command, every path of HTTP, hooks of both kinds,
/// traces of everything, wrong passwords and tokens, crashes; then everything is looked through.
pub(super) fn show_nowhere(under_test: &mut UnderTest) -> Result<String, Broken> {
    let outcome = attempt(under_test);
    let back = as_before(&mut under_test.experiment);
    let figures = outcome?;
    back?;
    Ok(figures)
}

fn attempt(under_test: &mut UnderTest) -> Result<String, Broken> {
    let experiment = &mut under_test.experiment;
    work::begin(experiment)?;
    let at_the_start = copies(experiment, AGENT_PASSWORD)?;
    promise(at_the_start.iter().all(|copies| *copies > 0), || {
        format!(
            "an agent's memory does not hold the password that it uses, {at_the_start:?}: it was not read"
        )
    })?;
    rotate(experiment, PASSWORD)?;
    none_left(experiment, "the password before the rotation", AGENT_PASSWORD)?;
    let mut found = Vec::new();
    work::all_kinds(under_test, &mut found)?;
    let crashed = crash::all_kinds(under_test)?;
    places::look(under_test, &mut found)?;
    let looked_at = nothing_shows(&found)?;
    the_look_finds_what_is_there(&under_test.experiment)?;
    let experiment = &under_test.experiment;
    let in_use = copies(experiment, PASSWORD)?;
    rotate(experiment, AGENT_PASSWORD)?;
    none_left(experiment, "the password before the second rotation", PASSWORD)?;
    let of_the_wrong = copies(experiment, WRONG_PASSWORD)?;
    promise(of_the_wrong.iter().all(|copies| *copies == 0), || {
        format!("a password that a reload refused is left in the agents' memory: {of_the_wrong:?} times")
    })?;
    let of_token = copies(experiment, TOKEN)?;
    Ok(format!(
        "{looked_at}; {crashed}; of a password in an agent's memory: {at_the_start:?} copies after its start, {in_use:?} after a rotation and work, none of \
         the old one; of the token {of_token:?} after it was shown over HTTP"
    ))
}

/// The lab's own password and configuration again, however far the test came.
fn as_before(experiment: &mut Experiment) -> Result<(), Broken> {
    let primary = experiment.lab.group.primary()?;
    experiment.lab.group.servers()[primary]
        .run(&format!("ALTER USER '{}'@'%' IDENTIFIED BY '{AGENT_PASSWORD}'", crate::group::AGENT_USER))?;
    for host in &experiment.lab.segment.databases {
        agents::write(host, PASSWORD_FILE, &format!("{AGENT_PASSWORD}\n"), 0o600)?;
    }
    experiment.lab.start_agents()?;
    reconfigure(experiment, &[LAB])?;
    for host in &experiment.lab.segment.databases {
        for file in [TOKEN_FILE, work::HOOK, work::HOOK_INPUT] {
            // Where the test failed early, not each is there.
            let _ = std::fs::remove_file(host.path(file));
        }
    }
    Ok(())
}

/// How often each agent's memory holds it.
fn copies(experiment: &Experiment, text: &str) -> Result<Vec<usize>, Broken> {
    let pids = experiment.lab.agents.iter().filter_map(agents::Agent::pid);
    pids.map(|pid| copies_of(text, pid)).collect()
}

fn none_left(experiment: &Experiment, what: &str, text: &str) -> Result<(), Broken> {
    let left = copies(experiment, text)?;
    promise(left.iter().all(|copies| *copies == 0), || {
        format!("{what} is left in the agents' memory: {left:?} times")
    })
}

fn secrets() -> Vec<Secret> {
    [
        ("the password", PASSWORD),
        ("the password before it", AGENT_PASSWORD),
        ("the wrong password", WRONG_PASSWORD),
        ("the token", TOKEN),
        ("the wrong token", WRONG_TOKEN),
        ("the secret in a hook's address", IN_ADDRESS),
    ]
    .map(|(called, text)| Secret::new(called, text))
    .into()
}

fn nothing_shows(found: &[Found]) -> Result<String, Broken> {
    let secrets = secrets();
    let mut shown = Vec::new();
    for Found { what, content } in found {
        for secret in &secrets {
            if let Some(form) = secret.shown_in(content) {
                shown.push(format!("{what} shows {}, {form}", secret.called));
            }
        }
    }
    promise(shown.is_empty(), || shown.join("; "))?;
    let bytes: usize = found.iter().map(|found| found.content.len()).sum();
    Ok(format!("none of {} secrets in {} files and answers, {bytes} bytes", secrets.len(), found.len()))
}

/// The same look does see each of them where it belongs.
fn the_look_finds_what_is_there(experiment: &Experiment) -> Result<(), Broken> {
    let host = &experiment.lab.segment.databases[0];
    for (file, text) in [(PASSWORD_FILE, PASSWORD), (TOKEN_FILE, TOKEN), (CONFIGURATION, IN_ADDRESS)] {
        let content = std::fs::read(host.path(file)).map_err(Broken::io(format!("reading {file}")))?;
        let seen = Secret::new("it", text).shown_in(&content).is_some();
        promise(seen, || {
            format!("{file} does not hold its secret: the look through all else proves nothing")
        })?;
    }
    Ok(())
}
