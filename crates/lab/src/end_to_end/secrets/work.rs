//! What is done with secrets that are known: all that could write one down. What is said meanwhile is kept.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Output;
use std::time::{Duration, Instant};

use super::places::Found;
use super::{IN_ADDRESS, PASSWORD, TOKEN, TOKEN_FILE, WRONG_PASSWORD, WRONG_TOKEN};
use crate::agents::{self, CONFIGURATION, Cluster, LAB, PASSWORD_FILE};
use crate::end_to_end::agents::{ADOPTED, AT_WORK, start_and_hear};
use crate::end_to_end::expect::{followed, promise};
use crate::end_to_end::reload::{typed, words_of};
use crate::end_to_end::{Broken, UnderTest};
use crate::experiment::Experiment;
use crate::fault::Fault;
use crate::host::Host;

/// Writes down all that a hook can see.
pub(super) const HOOK: &str = "/var/lib/haipmgr/hook.sh";
/// Where to.
pub(super) const HOOK_INPUT: &str = "/var/lib/haipmgr/hook-input";
const HOOK_SCRIPT: &str = "#!/bin/sh
{
    env
    for file in /proc/$PPID/environ /proc/$PPID/cmdline /proc/$$/environ /proc/$$/cmdline; do tr '\\000' '\\n' <$file; done
    cat
} >>/var/lib/haipmgr/hook-input
";
const HTTP_PORT: u16 = 9640;
/// Nobody listens there.
const NOBODY: &str = "http://127.0.0.1:9/hooks";
const PATHS: [&str; 13] = [
    "/",
    "/metrics",
    "/primary",
    "/replica",
    "/replica?lag=100",
    "/readiness",
    "/liveness",
    "/status.json",
    "/history.json",
    "/history.json?limit=x",
    "/primary?cluster=another",
    "/nothing",
    "/events",
];
/// Every command that speaks of a cluster, but those that are to print the password: `convert`, `init`.
const COMMANDS: [&[&str]; 19] = [
    &["status"],
    &["status", "--extended"],
    &["status", "--format", "json"],
    &["status", "--format", "tsv"],
    &["check"],
    &["check", "--format", "json"],
    &["check", "--offline"],
    &["sql"],
    &["history"],
    &["history", "--format", "json"],
    &["explain", "now"],
    &["explain", "last"],
    &["reload", "--check"],
    &["reload"],
    &["pause", "--host", "--for", "1m", "--reason", "a test"],
    &["resume", "--host"],
    &["drain", "--help"],
    &["switchover", "--dry-run"],
    &["switchover", "--help"],
];
/// How long an answer may take; events go on for ever.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// A hook is run within this after its switch.
const HOOK_WITHIN: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Agents with HTTP, a token, hooks of both kinds, and everything in the trace.
pub(super) fn begin(experiment: &mut Experiment) -> Result<(), Broken> {
    let holder = experiment.lab.wait_steady()?;
    let more = "decision_trace = \"all\"
on_acquire = [\"/var/lib/haipmgr/hook.sh\"]
on_release = [\"/var/lib/haipmgr/hook.sh\"]
on_trouble = \"ADDRESS\"
on_conflict = \"ADDRESS\"
[cluster.members]";
    let address = format!("{NOBODY}/{IN_ADDRESS}?key={IN_ADDRESS}");
    let top = format!(
        "listen = \"0.0.0.0:{HTTP_PORT}\"\nlisten_beyond_this_host = true\nlisten_token_file = \"{TOKEN_FILE}\"\n"
    );
    let cluster = agents::configuration(&[Cluster { ..LAB }])
        .replace("[cluster.members]", &more.replace("ADDRESS", &address));
    for place in 0..experiment.lab.agents.len() {
        experiment.lab.agents[place].stop()?;
        let host = &experiment.lab.segment.databases[place];
        // The address is a secret, and stands in it.
        agents::write(host, CONFIGURATION, &format!("{top}{cluster}"), 0o600)?;
        agents::write(host, TOKEN_FILE, &format!("{TOKEN}\n"), 0o600)?;
        agents::write(host, HOOK, HOOK_SCRIPT, 0o755)?;
        start_and_hear(experiment, place, if place == holder { ADOPTED } else { AT_WORK })?;
    }
    experiment.lab.wait_steady()?;
    Ok(())
}

/// All of it. What was said is added.
pub(super) fn all_kinds(under_test: &mut UnderTest, said: &mut Vec<Found>) -> Result<(), Broken> {
    let experiment = &mut under_test.experiment;
    followed(&experiment.run(Fault::Switchover)?)?;
    let figures = experiment.dethroning("haipmgr switchover", |experiment, _| {
        let old = experiment.lab.group.primary()?;
        let answer = typed(experiment, old, &["switchover", "--yes"])?;
        promise(answer.status.success(), || format!("the switchover: {}", words_of(&answer)))?;
        said.push(of_command("haipmgr switchover", &answer));
        experiment.wait_followed(old)?;
        Ok::<_, Broken>(())
    })?;
    followed(&figures)?;
    hooks_were_told(experiment)?;
    commands(experiment, said)?;
    over_http(experiment, said)?;
    wrong_password(experiment, said)?;
    commands(experiment, said)
}

fn commands(experiment: &Experiment, said: &mut Vec<Found>) -> Result<(), Broken> {
    for place in 0..experiment.lab.agents.len() {
        for words in COMMANDS {
            let answer = typed(experiment, place, words)?;
            said.push(of_command(
                &format!("haipmgr {} on {}", words.join(" "), experiment.name(place)),
                &answer,
            ));
        }
    }
    Ok(())
}

fn of_command(what: &str, answer: &Output) -> Found {
    Found { what: what.to_owned(), content: [answer.stdout.as_slice(), &answer.stderr].concat() }
}

/// A hook that was not run shows nothing, and proves nothing.
fn hooks_were_told(experiment: &Experiment) -> Result<(), Broken> {
    let told = |hook: &str| {
        let inputs = experiment.lab.segment.databases.iter().map(|host| host.path(HOOK_INPUT));
        let line = format!("\"hook\":\"{hook}\"");
        inputs.filter(|input| std::fs::read_to_string(input).is_ok_and(|text| text.contains(&line))).count()
    };
    let since = Instant::now();
    while told("on_acquire") == 0 || told("on_release") == 0 {
        promise(since.elapsed() < HOOK_WITHIN, || "no hook was told of a switchover".to_owned())?;
        std::thread::sleep(LOOK_EVERY);
    }
    Ok(())
}

/// Every path with the right token, as a bearer's and as a browser's, with a wrong one, and without.
fn over_http(experiment: &Experiment, said: &mut Vec<Found>) -> Result<(), Broken> {
    let of_browser = format!("Basic {}", base64(format!("admin:{TOKEN}").as_bytes()));
    for host in &experiment.lab.segment.databases {
        for path in PATHS {
            for (shows, authorization, status) in [
                ("the token", format!("Bearer {TOKEN}"), None),
                ("the token as a browser", of_browser.clone(), None),
                ("a wrong token", format!("Bearer {WRONG_TOKEN}"), Some("401")),
                ("nothing", String::new(), Some("401")),
            ] {
                let what = format!("{path} of {}, asked with {shows}", host.name());
                let content = get(host, path, &authorization)?;
                let begins = String::from_utf8_lossy(&content[..content.len().min(12)]).into_owned();
                let got = begins.split_whitespace().nth(1).unwrap_or_default();
                let as_wanted = status
                    .map_or(got != "401" && !got.is_empty(), |status| path == "/liveness" || got == status);
                promise(as_wanted, || format!("{what}: {begins:?}"))?;
                said.push(Found { what, content });
            }
        }
    }
    Ok(())
}

fn get(host: &Host, path: &str, authorization: &str) -> Result<Vec<u8>, Broken> {
    let asked =
        format!("GET {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: {authorization}\r\n\r\n", host.name());
    let address = SocketAddr::new(host.address().into(), HTTP_PORT);
    let answer = host.in_network(|| {
        let mut stream = TcpStream::connect_timeout(&address, ANSWER_WITHIN)?;
        stream.set_read_timeout(Some(ANSWER_WITHIN))?;
        stream.write_all(asked.as_bytes())?;
        let (mut answer, mut piece, since) = (Vec::new(), [0; 4096], Instant::now());
        while since.elapsed() < ANSWER_WITHIN {
            match stream.read(&mut piece) {
                Ok(0) => break,
                Ok(read) => answer.extend_from_slice(&piece[..read]),
                Err(error) if answer.is_empty() => return Err(error),
                Err(_) => break,
            }
        }
        Ok(answer)
    })?;
    answer.map_err(Broken::io(format!("asking {} for {path}", host.name())))
}

/// A wrong password is in the file while commands are typed, and a reload is asked for; then the right one again.
fn wrong_password(experiment: &Experiment, said: &mut Vec<Found>) -> Result<(), Broken> {
    for (place, host) in experiment.lab.segment.databases.iter().enumerate() {
        agents::write(host, PASSWORD_FILE, &format!("{WRONG_PASSWORD}\n"), 0o600)?;
        let answers: Result<Vec<_>, _> =
            [&["reload"][..], &["status", "--format", "json"], &["check"], &["switchover", "--dry-run"]]
                .map(|words| typed(experiment, place, words).map(|answer| (words, answer)))
                .into_iter()
                .collect();
        agents::write(host, PASSWORD_FILE, &format!("{PASSWORD}\n"), 0o600)?;
        for (words, answer) in answers? {
            let refused = words_of(&answer);
            promise(words != ["reload"] || refused.contains("wrong user or password"), || {
                format!("a reload with a wrong password: {refused}")
            })?;
            said.push(of_command(&format!("haipmgr {} with a wrong password", words.join(" ")), &answer));
        }
    }
    Ok(())
}

/// RFC 4648 section 4.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let letter = |bits: u32, shift: u32| char::from(LETTERS[(bits >> shift & 63) as usize]);
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let byte = |place: usize| u32::from(three.get(place).copied().unwrap_or_default());
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        text.extend([letter(bits, 18), letter(bits, 12)]);
        text.push(if three.len() > 1 { letter(bits, 6) } else { '=' });
        text.push(if three.len() > 2 { letter(bits, 0) } else { '=' });
    }
    text
}
