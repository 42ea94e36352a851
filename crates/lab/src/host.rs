//! One host of the lab: its own network, host name and folders, held by a parked process.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use nix::sched::{CloneFlags, setns, unshare};

use crate::namespace::{Layout, NamespaceError};
use crate::segment;

/// Why a host could not be made or used.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// The namespaces failed.
    #[error(transparent)]
    Namespace(#[from] NamespaceError),
    /// The host did not come up.
    #[error("host {name} did not come up: {cause}")]
    DidNotComeUp {
        /// Its name.
        name: String,
        /// What its process said or did.
        cause: io::Error,
    },
    /// Its network could not be joined or used.
    #[error("host {name}: {what}: {cause}")]
    Network {
        /// Its name.
        name: String,
        /// What was being done.
        what: &'static str,
        /// The system's answer.
        cause: io::Error,
    },
}

/// A running host. Dropping it ends its parked process; what runs on it keeps its namespaces until that ends too.
#[derive(Debug)]
pub struct Host {
    name: String,
    address: Ipv4Addr,
    layout: Layout,
    parked: Child,
}

impl Host {
    /// Makes a host with its loopback up and no other interface.
    pub fn start(layout: &Layout, name: &str, address: Ipv4Addr) -> Result<Self, HostError> {
        let failed = |cause| HostError::DidNotComeUp { name: name.to_owned(), cause };
        let mut parked = Command::new(layout.lab())
            .arg("park")
            .arg("--base")
            .arg(layout.base())
            .arg(name)
            .arg("--members")
            .arg(segment::members().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(failed)?;
        let output = parked.stdout.take().ok_or_else(|| failed(io::ErrorKind::BrokenPipe.into()))?;
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line).map_err(failed)?;
        if line.trim() != "ready" {
            return Err(failed(io::Error::other("its process ended; its message is above")));
        }
        Ok(Self { name: name.to_owned(), address, layout: layout.clone(), parked })
    }

    /// Its name, which is also its host name: `db1`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its own address on the segment.
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// The process that holds its namespaces, in the lab's pid namespace.
    pub fn holder(&self) -> u32 {
        self.parked.id()
    }

    /// A command that runs `program` on this host. The child's pid is the program's own.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = self.entering();
        command.arg("--").arg(program);
        command
    }

    /// The same inside the root that holds mysqld and its tools: `program` and all paths are that root's.
    pub fn rooted_command(&self, program: impl AsRef<OsStr>) -> Command {
        self.command_in(&self.layout.root(), program)
    }

    /// The same inside the root at `root`.
    pub(crate) fn command_in(&self, root: &Path, program: impl AsRef<OsStr>) -> Command {
        let mut command = self.entering();
        command.arg("--root").arg(root).arg("--").arg(program);
        command
    }

    fn entering(&self) -> Command {
        let mut command = Command::new(self.layout.lab());
        command.arg("enter").arg("--holder").arg(self.holder().to_string());
        // The caller's folder for temporary files need not be there; mysqld ends where it is not.
        command.stdin(Stdio::null()).env_remove("TMPDIR");
        command
    }

    /// A file of this host, as the lab itself can open it: `/etc/haipmgr/…` of the host, not of the machine.
    pub fn path(&self, on_host: impl AsRef<Path>) -> PathBuf {
        let on_host = on_host.as_ref();
        PathBuf::from(format!("/proc/{}/root", self.holder()))
            .join(on_host.strip_prefix("/").unwrap_or(on_host))
    }

    /// Runs `work` in a thread that is in this host's network. Sockets it opens stay there.
    pub fn in_network<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T, HostError> {
        let network = self.network()?;
        let run = || -> Result<T, HostError> {
            self.join(&network)?;
            Ok(work())
        };
        std::thread::scope(|scope| scope.spawn(run).join()).unwrap_or_else(|_| {
            Err(self.failed("work in its network")(io::Error::other("the thread doing it panicked")))
        })
    }

    /// Starts a thread of its own in this host's network, for what runs on. The thread returns `None` only when this
    /// function returned an error.
    pub fn spawn_in_network<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<std::thread::JoinHandle<Option<T>>, HostError> {
        let network = self.network()?;
        let (joined, outcome) = std::sync::mpsc::channel();
        let thread = std::thread::Builder::new()
            .name(self.name.clone())
            .spawn(move || {
                let result = setns(&network, CloneFlags::CLONE_NEWNET);
                let entered = result.is_ok();
                // The starter waits for this; if it is gone there is nobody to tell.
                let _ = joined.send(result);
                // Working in the wrong network would be worse than not working.
                entered.then(work)
            })
            .map_err(self.failed("starting a thread"))?;
        match outcome.recv() {
            Ok(Ok(())) => Ok(thread),
            Ok(Err(cause)) => Err(self.failed("joining its network")(cause.into())),
            Err(_) => Err(self.failed("joining its network")(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn network(&self) -> Result<File, HostError> {
        File::open(format!("/proc/{}/ns/net", self.holder()))
            .map_err(self.failed("opening its network namespace"))
    }

    fn join(&self, network: &File) -> Result<(), HostError> {
        setns(network, CloneFlags::CLONE_NEWNET)
            .map_err(|cause| self.failed("joining its network namespace")(cause.into()))
    }

    fn failed(&self, what: &'static str) -> impl FnOnce(io::Error) -> HostError {
        let name = self.name.clone();
        move |cause| HostError::Network { name, what, cause }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // It may have ended already; either way it is reaped.
        let _ = self.parked.kill();
        let _ = self.parked.wait();
    }
}

/// The parked process's work (`lab park`): makes a host's namespaces, says `ready`, and waits to be ended.
///
/// Must be called while the process has one thread.
pub fn park(layout: &Layout, name: &str) -> Result<(), HostError> {
    unshare(CloneFlags::CLONE_NEWNET | CloneFlags::CLONE_NEWUTS | CloneFlags::CLONE_NEWNS)
        .map_err(|cause| NamespaceError::Refused { cause })?;
    // A session of its own: Ctrl-C is for the lab, not for the hardware.
    let _ = nix::unistd::setsid();
    nix::unistd::sethostname(name).map_err(NamespaceError::os("can't set the host name"))?;
    layout.build_host(name, &segment::hosts_file())?;
    segment::raise_loopback()
        .map_err(|cause| HostError::DidNotComeUp { name: name.to_owned(), cause: io::Error::other(cause) })?;
    println!("ready");
    // Ends when the lab lets go of the other end.
    let _ = io::stdin().read(&mut [0]);
    Ok(())
}
