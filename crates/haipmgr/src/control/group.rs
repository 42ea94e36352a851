//! The number of a system group, without a directory service in this process.
//!
//! `getgrnam(3)` loads the modules that nsswitch.conf names, half a megabyte that stays, and waits for as long as a directory that does not
//! answer makes it wait: the agent would not start while LDAP is down. A group that a package makes is in the file. Others are asked for by
//! getent(1), a process of its own, which has [`ANSWERS_WITHIN`]; and only where nsswitch.conf names a directory, for a process that is being
//! started holds what this one has open, its lock too, for a moment after this one has ended.

use std::io::Read as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::self_protection::as_ordinary_thread;

const FILE: &str = "/etc/group";
const SERVICES: &str = "/etc/nsswitch.conf";
/// Services that know no group but this host's own.
const OF_THIS_HOST: [&str; 3] = ["files", "compat", "systemd"];
const GETENT: &str = "/usr/bin/getent";
/// Who does not answer within this knows of no such group.
const ANSWERS_WITHIN: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// The group's number; none: there is no such group, or nobody says so in time.
pub(super) fn number_of(name: &str) -> Option<u32> {
    let has_directory = names_a_directory(&std::fs::read_to_string(SERVICES).unwrap_or_default());
    number_by(Path::new(FILE), has_directory.then(|| Command::new(GETENT)), name)
}

/// Whether nsswitch.conf(5) sends who asks for a group to somebody beyond this host.
fn names_a_directory(services: &str) -> bool {
    let group = services.lines().find_map(|line| line.trim().strip_prefix("group:")).unwrap_or_default();
    let group = group.split('#').next().unwrap_or_default();
    let mut in_brackets = false;
    group.split_whitespace().any(|word| {
        let reaction = in_brackets || word.starts_with('[');
        in_brackets = reaction && !word.ends_with(']');
        !reaction && !OF_THIS_HOST.contains(&word)
    })
}

fn number_by(file: &Path, getent: Option<Command>, name: &str) -> Option<u32> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.lines().find_map(|line| number_in(line, name)).or_else(|| asked(getent?, name))
}

/// Of a line as in group(5): `name:password:number:members`.
fn number_in(line: &str, name: &str) -> Option<u32> {
    let mut fields = line.split(':');
    (fields.next()? == name).then(|| fields.nth(1)?.parse().ok())?
}

fn asked(mut getent: Command, name: &str) -> Option<u32> {
    getent.args(["group", name]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = as_ordinary_thread(|| getent.spawn()).ok()?;
    let answered = ends_in_time(&mut child);
    if !answered {
        // It may have ended this moment.
        let _ = child.kill();
        let _ = child.wait();
        return None;
    }
    let mut line = String::new();
    child.stdout.take()?.read_to_string(&mut line).ok()?;
    number_in(line.trim_end(), name)
}

fn ends_in_time(child: &mut Child) -> bool {
    let until = Instant::now() + ANSWERS_WITHIN;
    loop {
        match child.try_wait() {
            Ok(Some(_)) => return true,
            Ok(None) if Instant::now() < until => std::thread::sleep(LOOK_EVERY),
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// What it is asked for is `$0` and `$1`. No file of its own: another test's child could hold it open.
    fn getent(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_group_in_the_file_is_found_there_and_another_is_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("group");
        std::fs::write(&file, "root:x:0:\nhaipmgr-operators:x:991:anna\nhaipmgr:x:990:anna,bert\nbroken:x\n")
            .unwrap();
        let never = || Some(Command::new("/nonexistent/getent"));
        assert_eq!(number_by(&file, never(), "haipmgr"), Some(990));
        assert_eq!(number_by(&file, never(), "haipmgr-operators"), Some(991));
        assert_eq!(number_by(&file, never(), "broken"), None);
        let directory =
            || Some(getent("[ $0 = group ] && [ $1 = dbas ] && echo 'dbas:*:70001:carla' || exit 2"));
        assert_eq!(number_by(&file, directory(), "dbas"), Some(70_001));
        assert_eq!(number_by(&file, directory(), "nobody-knows"), None);
        assert_eq!(number_by(&file, None, "dbas"), None, "there is no directory");
        assert_eq!(number_by(Path::new("/nonexistent/group"), never(), "haipmgr"), None);
    }

    #[test]
    fn a_directory_is_what_knows_more_than_this_host() {
        for (line, wanted) in [
            ("group:          files systemd", false),
            ("group: files [SUCCESS=merge] systemd # sss", false),
            ("group: compat", false),
            ("group:\tfiles sss", true),
            ("group: files [ SUCCESS = merge ] systemd ldap", true),
            ("netgroup: nis", false),
        ] {
            assert_eq!(
                names_a_directory(&format!("passwd: files sss\n{line}\nhosts: files dns\n")),
                wanted,
                "{line}"
            );
        }
        assert!(!names_a_directory(""));
    }

    #[test]
    fn a_directory_that_does_not_answer_is_not_waited_for() {
        let since = Instant::now();
        assert_eq!(number_by(Path::new("/nonexistent/group"), Some(getent("exec sleep 60")), "dbas"), None);
        assert!(since.elapsed() < Duration::from_secs(20), "{:?}", since.elapsed());
    }
}
