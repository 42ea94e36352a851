//! haipmgr on each database host: its file, its start and its end, and what it says. The benchmark puts another tool's
//! programs in its place.

use std::ffi::OsString;
use std::fs::{self, File};
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ExitStatus, Output};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::group::{self, AGENT_PASSWORD, AGENT_USER, Identity, Stack, stack};
use crate::host::Host;
use crate::namespace::Layout;
use crate::segment::{self, INTERFACE, databases};

/// The agent's file, on every host.
pub const CONFIGURATION: &str = "/etc/haipmgr/haipmgr.toml";
/// Its password file, on every host.
pub const PASSWORD_FILE: &str = "/etc/haipmgr/lab.password";
/// Its log, on every host (S5).
pub const LOG: &str = "/var/lib/haipmgr/HAIPMGR_3306.log";

/// Where it keeps its files, on every host.
pub const INSTALL_PATH: &str = "/var/lib/haipmgr/";

/// How long an agent may take to end after SIGTERM.
const END_LIMIT: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// Why an agent could not be started or stopped.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// A file or process operation failed.
    #[error("{what}: {cause}")]
    Io {
        /// What was being done, on which host.
        what: String,
        /// The system's answer.
        cause: std::io::Error,
    },
    /// It ended by itself.
    #[error("the agent on {host} ended by itself with {status}. Its last words:\n{words}")]
    Ended {
        /// Its host.
        host: String,
        /// Its exit status.
        status: ExitStatus,
        /// The tail of its standard error.
        words: String,
    },
    /// It does not end.
    #[error("the agent on {host} does not end {} s after the signal", END_LIMIT.as_secs())]
    DoesNotEnd {
        /// Its host.
        host: String,
    },
}

/// A program that an agent is made of, with its arguments.
#[derive(Clone, Debug)]
pub struct Program {
    /// Where it is.
    pub path: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Whether it and its files are in the root that holds mysqld.
    pub rooted: bool,
}

/// One host's agent.
#[derive(Debug)]
pub struct Agent {
    host: String,
    programs: Vec<Program>,
    messages: PathBuf,
    /// In the order of `programs`; empty while it does not run.
    processes: Vec<Child>,
}

impl Agent {
    /// Writes the host's configuration. The agent is not started.
    pub fn prepare(layout: &Layout, host: &Host) -> Result<Self, AgentError> {
        configure(host, &[LAB])?;
        write(host, PASSWORD_FILE, &format!("{AGENT_PASSWORD}\n"), 0o600)?;
        let arguments = ["run", "--config", CONFIGURATION].map(OsString::from).to_vec();
        let program = Program { path: layout.agent(), arguments, rooted: false };
        Ok(Self::of_programs(vec![program], layout, host, "agent"))
    }

    /// An agent made of these programs, started in this order and stopped in the reverse one. Not started yet; `name` is
    /// its message file's.
    pub fn of_programs(programs: Vec<Program>, layout: &Layout, host: &Host, name: &str) -> Self {
        Self {
            host: host.name().to_owned(),
            programs,
            messages: layout.log().join(format!("{}.{name}", host.name())),
            processes: Vec::new(),
        }
    }

    /// Its standard error, as a file.
    pub fn messages(&self) -> &Path {
        &self.messages
    }

    /// Its first program's process, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.processes.first().map(Child::id)
    }

    /// Starts it, if it does not run.
    pub fn start(&mut self, host: &Host) -> Result<(), AgentError> {
        if !self.processes.is_empty() {
            return Ok(());
        }
        let failed = |what: &str| Self::failed(what, host.name());
        for program in &self.programs {
            let messages = File::options()
                .create(true)
                .append(true)
                .open(&self.messages)
                .map_err(failed("opening the agent's message file"))?;
            let mut command =
                if program.rooted { host.rooted_command(&program.path) } else { host.command(&program.path) };
            let output = messages.try_clone().map_err(failed("opening the agent's message file"))?;
            // As the unit in packaging/ has it.
            command.env("MALLOC_ARENA_MAX", "1");
            // The machine's own shutdown is none of these hosts'.
            command.env("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=/nonexistent/system_bus_socket");
            command.args(&program.arguments).stdout(output).stderr(messages);
            self.processes.push(command.spawn().map_err(failed("starting the agent"))?);
        }
        Ok(())
    }

    /// Its first program.
    pub fn program(&self) -> &Path {
        self.programs.first().map_or(Path::new(""), |program| program.path.as_path())
    }

    /// Runs `haipmgr` on its host with these arguments and its configuration, and waits for its end.
    pub fn command(&self, host: &Host, arguments: &[&str]) -> Result<Output, AgentError> {
        let mut command = host.command(self.program());
        command.args(arguments).args(["--config", CONFIGURATION]);
        command.output().map_err(Self::failed("running haipmgr", host.name()))
    }

    /// What `haipmgr sql` prints for its configuration.
    pub fn sql(&self, host: &Host) -> Result<String, AgentError> {
        let printed = self.command(host, &["sql"])?;
        if printed.status.success() {
            return Ok(String::from_utf8_lossy(&printed.stdout).into_owned());
        }
        let words = String::from_utf8_lossy(&printed.stderr).into_owned();
        Err(AgentError::Ended { host: host.name().to_owned(), status: printed.status, words })
    }

    /// An error if it should be running and has ended.
    pub fn check(&mut self) -> Result<(), AgentError> {
        let mut ended = None;
        for process in &mut self.processes {
            let status = process.try_wait().map_err(Self::failed("looking at the agent", &self.host))?;
            ended = ended.or(status);
        }
        let Some(status) = ended else { return Ok(()) };
        self.kill()?;
        let words = fs::read_to_string(&self.messages).unwrap_or_default();
        let lines: Vec<&str> = words.lines().collect();
        let words = lines[lines.len().saturating_sub(8)..].join("\n");
        Err(AgentError::Ended { host: self.host.clone(), status, words })
    }

    /// Stops it as systemd would: SIGTERM, and SIGCONT for one that stands still (systemd.kill(5)); and waits for its end.
    pub fn stop(&mut self) -> Result<(), AgentError> {
        while let Some(mut process) = self.processes.pop() {
            self.signal(&process, Signal::SIGTERM)?;
            self.signal(&process, Signal::SIGCONT)?;
            let since = Instant::now();
            while process.try_wait().map_err(Self::failed("waiting for the agent", &self.host))?.is_none() {
                if since.elapsed() > END_LIMIT {
                    self.processes.push(process);
                    return Err(AgentError::DoesNotEnd { host: self.host.clone() });
                }
                std::thread::sleep(LOOK_EVERY);
            }
        }
        Ok(())
    }

    /// Ends its first program by this signal, and gives how it ended. It is sent again and again: Rust's own handler takes the first
    /// SIGSEGV that no fault has made, and lets the next do what it does.
    pub fn end_by(&mut self, signal: Signal) -> Result<Option<ExitStatus>, AgentError> {
        let Some(mut process) = self.processes.pop() else { return Ok(None) };
        let since = Instant::now();
        loop {
            self.signal(&process, signal)?;
            let ended = process.try_wait().map_err(Self::failed("waiting for the agent", &self.host))?;
            if ended.is_some() {
                return Ok(ended);
            }
            if since.elapsed() > END_LIMIT {
                self.processes.push(process);
                return Err(AgentError::DoesNotEnd { host: self.host.clone() });
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Kills it and all that it has started with SIGKILL, and waits until it is gone.
    pub fn kill(&mut self) -> Result<(), AgentError> {
        while let Some(mut process) = self.processes.pop() {
            let started = descendants(process.id());
            // Ended by itself, it is reaped below all the same.
            if process.try_wait().ok().flatten().is_none() {
                self.signal(&process, Signal::SIGKILL)?;
            }
            for pid in started {
                // Each may be ending already, because its parent has.
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
            process.wait().map_err(Self::failed("waiting for the agent", &self.host))?;
        }
        Ok(())
    }

    /// Lets it stand still (SIGSTOP), with all that it has open.
    pub fn freeze(&self) -> Result<(), AgentError> {
        self.processes.iter().try_for_each(|process| self.signal(process, Signal::SIGSTOP))
    }

    /// Lets it go on (SIGCONT). One that does not stand still does not notice.
    pub fn thaw(&self) -> Result<(), AgentError> {
        self.processes.iter().try_for_each(|process| self.signal(process, Signal::SIGCONT))
    }

    /// Another program to start from now on: an upgrade.
    pub fn set_program(&mut self, program: &Path) {
        if let Some(first) = self.programs.first_mut() {
            program.clone_into(&mut first.path);
        }
    }

    fn signal(&self, process: &Child, signal: Signal) -> Result<(), AgentError> {
        let pid = Pid::from_raw(i32::try_from(process.id()).unwrap_or(i32::MAX));
        // It is not reaped yet, so that the pid can be no other process's.
        kill(pid, signal)
            .map_err(|cause| Self::failed("sending the agent a signal", &self.host)(cause.into()))
    }

    fn failed(what: &str, host: &str) -> impl FnOnce(std::io::Error) -> AgentError + use<> {
        let what = format!("{host}: {what}");
        move |cause| AgentError::Io { what, cause }
    }
}

/// All processes that this one has started, and those that they have (proc(5), `children`).
fn descendants(pid: u32) -> Vec<i32> {
    let mut found = Vec::new();
    let mut parents = vec![pid.to_string()];
    while let Some(parent) = parents.pop() {
        let children =
            fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap_or_default();
        for child in children.split_whitespace() {
            found.extend(child.parse::<i32>());
            parents.push(child.to_owned());
        }
    }
    found
}

/// Writes the host's configuration. An agent that runs reads it when it is started again.
pub fn configure(host: &Host, clusters: &[Cluster]) -> Result<(), AgentError> {
    write(host, CONFIGURATION, &configuration(clusters), 0o644)
}

/// The same with these keys above the clusters, as lines of the file.
pub fn configure_under(host: &Host, above: &str, clusters: &[Cluster]) -> Result<(), AgentError> {
    write(host, CONFIGURATION, &format!("{above}{}", configuration(clusters)), 0o644)
}

/// Writes a file on a host.
pub(crate) fn write(host: &Host, file: &str, content: &str, mode: u32) -> Result<(), AgentError> {
    let path = host.path(file);
    fs::write(&path, content)
        .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(mode)))
        .map_err(Agent::failed(&format!("writing {file}"), host.name()))
}

/// What a configuration names of one cluster.
#[derive(Clone, Copy, Debug)]
pub struct Cluster {
    /// Its name.
    pub name: &'static str,
    /// Its VIPs, the first first.
    pub vips: fn() -> Vec<IpAddr>,
    /// Those for readers; none: the agents don't look for who is fit for them.
    pub readers: fn() -> Vec<IpAddr>,
    /// Its group.
    pub group: Identity,
    /// Seconds.
    pub sleeptime: u32,
    /// Whether the agents may have a dead member expelled sooner; otherwise elections are left to MySQL alone.
    pub sooner_elections: bool,
    /// A shell script that is their `fence_command`.
    pub fence: Option<&'static str>,
    /// Whether they have a silent host expelled without MySQL's patience (`silent_host = "expel"`).
    pub silent_hosts_go: bool,
    /// What stands after the first VIP's address: nothing, or a prefix length such as `/24`.
    pub prefix: &'static str,
    /// Further keys of the cluster, as lines of the file.
    pub more: &'static str,
}

/// The lab's own cluster, with the default `sleeptime`.
pub const LAB: Cluster = Cluster {
    name: "lab",
    vips: segment::vips,
    readers: segment::readers,
    group: group::FIRST,
    sleeptime: 7,
    sooner_elections: true,
    fence: None,
    silent_hosts_go: false,
    prefix: "",
    more: "",
};

/// The same file on every host.
pub fn configuration(clusters: &[Cluster]) -> String {
    let table = |cluster: &Cluster| {
        let Cluster { name, vips, readers, group, sleeptime, .. } = cluster;
        let Cluster { sooner_elections, fence, silent_hosts_go, prefix, more, .. } = cluster;
        let mysql_port = group.mysql_port;
        // With the stack MYSQL there is none to be named.
        let group_port = match stack() {
            Stack::Xcom => format!("group_port    = {}\n", group.group_port()),
            Stack::Mysql => String::new(),
        };
        let fence = fence.map_or(String::new(), |script| {
            format!("fence_command = [\"/bin/sh\", \"-c\", \"{script}\", \"fence\"]\n")
        });
        let silent_host = if *silent_hosts_go { "silent_host   = \"expel\"\n" } else { "" };
        let members = databases().iter().map(|(_, address)| format!("\"{address}\" = \"{INTERFACE}\"\n"));
        let members: String = members.collect();
        let mut vips = vips().into_iter();
        let vip = vips.next().map_or(String::new(), |vip| vip.to_string());
        let table = |vip: IpAddr, role: &str| format!("[[cluster.vips]]\naddress = \"{vip}\"\n{role}");
        let writers = vips.map(|vip| table(vip, ""));
        let readers = readers().into_iter().map(|vip| table(vip, "role = \"reader\"\n"));
        let further: String = writers.chain(readers).collect();
        let gateway = segment::gateway();
        format!(
            "[[cluster]]
name          = \"{name}\"
vip           = \"{vip}{prefix}\"
gateway       = \"{gateway}\"
mysql_port    = {mysql_port}
{group_port}user          = \"{AGENT_USER}\"
password_file = \"{PASSWORD_FILE}\"
sleeptime     = \"{sleeptime}s\"
install_path  = \"{INSTALL_PATH}\"
wake_expel = {sooner_elections}
proven_dead   = {sooner_elections}
{fence}{silent_host}{more}[cluster.members]
{members}{further}
"
        )
    };
    clusters.iter().map(table).collect()
}
