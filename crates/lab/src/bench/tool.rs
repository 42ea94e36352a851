//! The tools that are measured, and how each is set up on a host: the files beside this one are what they get.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::BenchError;
use crate::agents::{Agent, Program};
use crate::group::{AGENT_PASSWORD, AGENT_USER, Server};
use crate::host::Host;
use crate::namespace::Layout;
use crate::segment::{INTERFACE, VIP, databases};

/// Where the stand-in for Patroni's REST API listens, on each host's loopback: Patroni's own port.
const SHIM_PORT: u16 = 8008;

const KEEPALIVED: &str = "/usr/sbin/keepalived";
const VIP_MANAGER: &str = "/usr/bin/vip-manager";

/// A file that a tool gets on each host: its name, its text with `@PLACES@` to be filled in, and its mode.
pub(super) type Template = (&'static str, &'static str, u32);

/// The question that both other tools ask.
pub(super) const QUESTION: &str = include_str!("mysql-is-primary.sql");
/// What keepalived gets.
pub(super) const KEEPALIVED_FILES: [Template; 4] = [
    ("keepalived.conf", include_str!("keepalived.conf"), 0o644),
    ("mysql-is-primary.sh", include_str!("mysql-is-primary.sh"), 0o755),
    ("mysql-is-primary.sql", QUESTION, 0o644),
    ("mysql-is-primary.cnf", include_str!("mysql-is-primary.cnf"), 0o600),
];
/// What vip-manager gets.
pub(super) const VIP_MANAGER_FILES: [Template; 1] =
    [("vip-manager.yml", include_str!("vip-manager.yml"), 0o644)];

/// Something that keeps a VIP on the primary. On the command line: in small letters, with dashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Tool {
    /// This project's agent
    Haipmgr,
    /// VRRP, with a check script
    Keepalived,
    /// Polls what it takes for Patroni
    VipManager,
}

impl Tool {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Haipmgr, Self::Keepalived, Self::VipManager];

    /// Its name, as on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Haipmgr => "haipmgr",
            Self::Keepalived => "keepalived",
            Self::VipManager => "vip-manager",
        }
    }

    /// The package that another tool comes in, and its program.
    fn program(self) -> Option<(&'static str, &'static str)> {
        match self {
            Self::Haipmgr => None,
            Self::Keepalived => Some(("keepalived", KEEPALIVED)),
            Self::VipManager => Some(("vip-manager2", VIP_MANAGER)),
        }
    }

    /// Writes its files for a host and gives what is to be run there. Nothing is started.
    pub(crate) fn prepare(self, layout: &Layout, host: &Host, server: &Server) -> Result<Agent, BenchError> {
        if let Some((package, program)) = self.program()
            && !layout.root().join(program.trim_start_matches('/')).exists()
        {
            return Err(BenchError::NotInstalled { tool: self.name(), package });
        }
        let place = Place::of(layout, host, server)?;
        let programs = match self {
            Self::Haipmgr => return Ok(Agent::prepare(layout, host)?),
            Self::Keepalived => {
                place.write(&KEEPALIVED_FILES)?;
                vec![place.keepalived()]
            }
            Self::VipManager => {
                place.write(&VIP_MANAGER_FILES)?;
                let configuration = format!("{}/vip-manager.yml", place.folder);
                vec![shim(layout, server), rooted(VIP_MANAGER, &["--config", &configuration])]
            }
        };
        Ok(Agent::of_programs(programs, layout, host, self.name()))
    }

    /// What it calls its version.
    pub(super) fn version(self, layout: &Layout, host: &Host) -> String {
        version_of(match self.program() {
            None => host.command(layout.agent()),
            Some((_, program)) => host.rooted_command(program),
        })
    }
}

/// The first word that looks like one in what a program says of its version.
pub(super) fn version_of(mut command: Command) -> String {
    // keepalived says it on standard error. A version that can't be had is no reason to measure nothing.
    let output = command.arg("--version").output().map(|output| [output.stdout, output.stderr].concat());
    let text = String::from_utf8_lossy(&output.unwrap_or_default()).into_owned();
    let mut words = text.split_whitespace().map(|word| word.trim_start_matches('v'));
    words
        .find(|word| word.starts_with(|first: char| first.is_ascii_digit()))
        .unwrap_or("of an unknown version")
        .to_owned()
}

fn rooted(program: &str, arguments: &[&str]) -> Program {
    Program { path: program.into(), arguments: arguments.iter().map(OsString::from).collect(), rooted: true }
}

/// A folder of one host's own in the root that all hosts share, and what the templates' places are filled with there.
struct Place {
    /// In the root's own terms.
    folder: String,
    outside: PathBuf,
    filled: Vec<(&'static str, String)>,
}

impl Place {
    fn of(layout: &Layout, host: &Host, server: &Server) -> Result<Self, BenchError> {
        let folder = format!("/bench/{}", host.name());
        let outside = layout.root().join(folder.trim_start_matches('/'));
        fs::create_dir_all(&outside).map_err(BenchError::io(&outside))?;
        let socket = server.socket().strip_prefix(layout.root()).unwrap_or(server.socket());
        let peers = databases()
            .iter()
            .filter(|(_, address)| *address != host.address())
            .map(|(_, address)| format!("        {address}"));
        let filled = vec![
            ("@FOLDER@", folder.clone()),
            ("@HOST@", host.name().to_owned()),
            ("@ADDRESS@", host.address().to_string()),
            ("@PEERS@", peers.collect::<Vec<_>>().join("\n")),
            ("@VIP@", VIP.to_string()),
            ("@INTERFACE@", INTERFACE.to_owned()),
            ("@SOCKET@", Path::new("/").join(socket).display().to_string()),
            ("@USER@", AGENT_USER.to_owned()),
            ("@PASSWORD@", AGENT_PASSWORD.to_owned()),
            ("@SHIM_PORT@", SHIM_PORT.to_string()),
        ];
        Ok(Self { folder, outside, filled })
    }

    fn write(&self, templates: &[Template]) -> Result<(), BenchError> {
        for (name, template, mode) in templates {
            let fill = |text: String, (place, value): &(&str, String)| text.replace(place, value);
            let text = self.filled.iter().fold((*template).to_owned(), fill);
            let path = self.outside.join(name);
            fs::write(&path, text)
                .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(*mode)))
                .map_err(BenchError::io(&path))?;
        }
        Ok(())
    }

    fn keepalived(&self) -> Program {
        let file = |name: &str| format!("{}/{name}", self.folder);
        rooted(
            KEEPALIVED,
            &[
                "--dont-fork",
                "--log-console",
                "--log-detail",
                "--vrrp",
                "--use-file",
                &file("keepalived.conf"),
                // The hosts share one /run.
                "--pid",
                &file("keepalived.pid"),
                "--vrrp_pid",
                &file("vrrp.pid"),
                "--checkers_pid",
                &file("checkers.pid"),
                "--bfd_pid",
                &file("bfd.pid"),
            ],
        )
    }
}

fn shim(layout: &Layout, server: &Server) -> Program {
    let mut arguments: Vec<OsString> = vec!["patroni-shim".into(), "--socket".into()];
    arguments.push(server.socket().into());
    arguments.extend(["--port".into(), SHIM_PORT.to_string().into()]);
    Program { path: layout.lab(), arguments, rooted: false }
}
