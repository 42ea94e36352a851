//! The agent of this host: whether one runs for these VIPs, which process it is, whether it is this build of haipmgr, whether it is
//! drained; and the files that it needs.

use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::line::Line;
use crate::config::Cluster;

/// Less than so many bytes are left where log and state file go: a day's lines fit still.
const LITTLE: u64 = 64 << 20;
/// Less: the state file's one character hardly fits.
const NOTHING: u64 = 1 << 20;

/// Whether an agent looks after this VIP in this network namespace: it has the VIP's name there (`lock/name`). The text of
/// `/proc/net/unix`.
pub(super) fn runs(sockets: &str, vip: IpAddr) -> bool {
    let name = format!("@haipmgr VIP {vip}");
    sockets.lines().any(|line| line.ends_with(&name))
}

/// What is known of the agent that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Running {
    /// Where it can be seen from here.
    pub(super) pid: Option<i32>,
    pub(super) build: Build,
}

/// Which program the agent is, compared with this command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Build {
    Same,
    Another,
    /// Its file was replaced after it was started.
    Replaced,
    NotKnown,
}

impl Build {
    /// Of this process, by its file.
    pub(super) fn of(pid: i32) -> Self {
        let program = format!("/proc/{pid}/exe");
        let identity = |path: &str| fs::metadata(path).map(|about| (about.dev(), about.ino())).ok();
        let replaced =
            fs::read_link(&program).is_ok_and(|file| file.to_string_lossy().ends_with(" (deleted)"));
        match (identity(&program), identity("/proc/self/exe")) {
            _ if replaced => Self::Replaced,
            (Some(theirs), Some(ours)) if theirs == ours => Self::Same,
            (Some(_), Some(_)) => Self::Another,
            _ => Self::NotKnown,
        }
    }
}

/// The agent; and that this host is drained.
pub(super) fn lines(running: Option<&Running>, drained: bool) -> Vec<Line> {
    let name = "agent";
    let restart = "systemctl restart haipmgr (no connection is lost)";
    let version = crate::version::long();
    let mut lines = vec![match running {
        None => Line::advice(
            name,
            "no agent runs here: this host takes no VIP, and helps to expel no dead member",
            "systemctl enable --now haipmgr",
        ),
        Some(Running { pid, build }) => {
            let process = pid.map_or_else(
                || "a process that can't be seen from here".to_owned(),
                |pid| format!("process {pid}"),
            );
            match build {
                Build::Same => Line::ok(name, format!("it runs: {process}, haipmgr {version}")),
                Build::NotKnown => Line::ok(name, format!("it runs: {process}; its version is not known")),
                Build::Replaced => Line::advice(
                    name,
                    format!(
                        "it runs: {process}, of a file that was replaced since; this command is haipmgr {version}"
                    ),
                    restart,
                ),
                Build::Another => Line::advice(
                    name,
                    format!(
                        "it runs: {process}, and is another program than this command, haipmgr {version}"
                    ),
                    format!("{restart}; or look at ExecStart= in its unit"),
                ),
            }
        }
    }];
    if drained {
        lines.push(Line::advice(
            "drained",
            "this host is drained: it takes no VIP",
            "haipmgr undrain --config FILE",
        ));
    }
    lines
}

/// Log and state file: room for them, and a timeout that an agent left. `room`: bytes left where `install_path` is.
pub(super) fn files(
    cluster: &Cluster,
    room: Result<u64, String>,
    kept: Option<u32>,
    expel_now: Option<u64>,
) -> Vec<Line> {
    let mut lines = vec![space(&cluster.install_path, room)];
    if let (Some(kept), Some(0)) = (kept, expel_now) {
        lines.push(Line::problem(
            "expel-timeout-kept",
            format!(
                "group_replication_member_expel_timeout is 0 here, and {kept} is kept in {}: an agent was killed while a member was being expelled",
                cluster.expel_timeout_file().display()
            ),
            format!("systemctl start haipmgr, which puts it back; or SET GLOBAL group_replication_member_expel_timeout = {kept}; and remove that file"),
        ));
    }
    lines
}

fn space(folder: &Path, room: Result<u64, String>) -> Line {
    let name = "install-path";
    let folder = folder.display();
    let mend = format!("df {folder}; make room, or write another install_path");
    match room {
        Err(why) => Line::not_looked_at(name, format!("{folder}: {why}"), mend),
        Ok(bytes) if bytes < NOTHING => Line::problem(
            name,
            format!("{folder} is full: no log, no state file (the VIP moves all the same)"),
            mend,
        ),
        Ok(bytes) if bytes < LITTLE => {
            Line::advice(name, format!("{folder} has {} MB left", bytes >> 20), mend)
        }
        Ok(_) => Line::ok(name, format!("{folder} can be written to, and has room")),
    }
}

/// Bytes left for this process's user.
pub(super) fn room(folder: &Path) -> Result<u64, String> {
    let about = rustix::fs::statvfs(folder).map_err(|errno| std::io::Error::from(errno).to_string())?;
    Ok(about.f_bavail.saturating_mul(about.f_frsize))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::check::line::Level;

    #[test]
    fn an_agent_is_known_by_the_name_that_it_has_in_the_kernel() {
        let vip: IpAddr = [10, 77, 0, 100].into();
        let table = "Num RefCount Protocol Flags Type St Inode Path\n0: 2 0 00010000 0001 01 1 @haipmgr VIP 10.77.0.100\n";
        assert!(runs(table, vip));
        assert!(!runs(table, [10, 77, 0, 10].into()));
        assert!(!runs("", vip));
    }

    #[test]
    fn no_agent_another_build_and_a_drained_host_are_advice() {
        let of = |pid, build| Some(Running { pid, build });
        for (running, drained, names) in [
            (of(Some(7), Build::Same), false, &[][..]),
            (of(None, Build::NotKnown), false, &[]),
            (None, false, &["agent"]),
            (of(Some(7), Build::Another), false, &["agent"]),
            (of(Some(7), Build::Replaced), true, &["agent", "drained"]),
        ] {
            let found: Vec<_> = lines(running.as_ref(), drained)
                .into_iter()
                .filter(|line| line.level != Level::Ok)
                .map(|line| line.name)
                .collect();
            assert_eq!(found, names, "{running:?}");
        }
    }

    #[test]
    fn this_process_is_its_own_build_and_another_program_is_not() {
        let own = i32::try_from(std::process::id()).unwrap();
        assert_eq!(Build::of(own), Build::Same);
        let mut other = std::process::Command::new("/bin/sleep").arg("60").spawn().unwrap();
        let build = Build::of(i32::try_from(other.id()).unwrap());
        other.kill().unwrap();
        other.wait().unwrap();
        assert_eq!(build, Build::Another);
        assert_eq!(Build::of(-1), Build::NotKnown);
    }

    #[test]
    fn a_full_disk_is_a_problem_and_a_nearly_full_one_is_advice() {
        let level = |room| space(Path::new("/var/lib/haipmgr"), room).level;
        assert_eq!(level(Ok(1 << 30)), Level::Ok);
        assert_eq!(level(Ok(10 << 20)), Level::Advice);
        assert_eq!(level(Ok(0)), Level::Problem);
        assert_eq!(level(Err("no such folder".into())), Level::Advice);
        assert!(room(Path::new("/")).is_ok());
        assert!(room(Path::new("/none")).is_err());
    }
}
