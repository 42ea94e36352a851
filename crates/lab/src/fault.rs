//! Each fault: how it is done to a host, and how it is undone.

use std::net::IpAddr;
use std::time::Duration;

use mysql::Conn;
use mysql::prelude::Queryable;

use crate::agents::{Agent, AgentError};
use crate::group::{AGENT_PASSWORD, AGENT_USER, Group, GroupError, Server};
use crate::obstacle::{Obstacle, ObstacleError, Standing};
use crate::packet_rules::{self, FilterError, PartError};
use crate::segment::{Segment, SegmentError, all_readers, vip};
use crate::statement;

/// How long healing waits for the end of a server that was shut down, before it is killed. A few seconds are usual.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(8);

/// What can happen to a group and its segment. On the command line: in small letters, with dashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Fault {
    /// Another member is made primary (planned)
    Switchover,
    /// The same by `haipmgr switchover`, on another host
    SwitchoverCommand,
    /// The same while the others have yet to apply a transaction of 300,000 rows
    SwitchoverBacklog,
    /// The same while a statement that writes runs on the primary for 5 s
    SwitchoverStatement,
    /// The same while a table of 300,000 rows is altered by copying it
    SwitchoverDdl,
    /// The same while a transaction is open on the primary, for 5 s
    SwitchoverTransaction,
    /// SHUTDOWN on the primary (S19)
    Shutdown,
    /// The same after `haipmgr drain`, as the drop-in for mysqld's unit has it
    DrainShutdown,
    /// `STOP GROUP_REPLICATION` on the primary (S20)
    StopGroupReplication,
    /// kill -9 of the primary's mysqld
    #[value(name = "kill-9")]
    Kill9,
    /// The primary's host loses its power (S18)
    PowerOff,
    /// Group Replication's port is cut off on the primary's host; all else goes on
    GroupPortCut,
    /// The gateway stops answering, for everybody
    GatewayLost,
    /// An operator removes the VIP from its holder
    VipRemovedByHand,
    /// The holder's agent is stopped and started (S7)
    AgentRestart,
    /// kill -9 of the holder's agent
    #[value(name = "agent-kill-9")]
    AgentKill9,
    /// The agents' password no longer fits (S10)
    WrongPassword,
    /// The primary takes no more connections (S10)
    TooManyConnections,
    /// The cable of the primary's host is pulled
    LinkDown,
    /// The primary's mysqld stands still (SIGSTOP), for less time than the group bears
    Freeze,
    /// kill -9 of a secondary's mysqld: the primary waits for it at each commit, until it is expelled
    #[value(name = "secondary-kill-9")]
    SecondaryKill9,
    /// A secondary's host loses its power
    SecondaryPowerOff,
    /// A secondary that had left the group joins it again
    Rejoin,
    /// kill -9 of the mysqld of a secondary that has a reader VIP
    #[value(name = "reader-kill-9")]
    ReaderKill9,
    /// The host of such a secondary loses its power
    ReaderPowerOff,
    /// The cable of such a secondary's host is pulled
    ReaderLinkDown,
    /// SHUTDOWN on such a secondary
    ReaderShutdown,
    /// `STOP GROUP_REPLICATION` on such a secondary
    ReaderStopGroupReplication,
    /// The mysqld of such a secondary stands still (SIGSTOP) until the group has expelled it
    ReaderFreeze,
}

/// How often the limit on connections is set anew, at the most.
const LIMIT_ATTEMPTS: u32 = 100;
/// How often in a row it must have been right.
const LIMIT_SETTLED: u32 = 5;
const LIMIT_EVERY: Duration = Duration::from_millis(20);

/// Why a fault could not be done or undone.
#[derive(Debug, thiserror::Error)]
pub enum FaultError {
    /// The group failed, other than intended.
    #[error(transparent)]
    Group(#[from] GroupError),
    /// The segment failed, other than intended.
    #[error(transparent)]
    Segment(#[from] SegmentError),
    /// The agent failed, other than intended.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// What a switchover was to find in its way could not be put there, or the switchover took it away.
    #[error(transparent)]
    Obstacle(#[from] ObstacleError),
    /// No host holds the VIP.
    #[error("no host holds the VIP {}, so that it can't be removed", vip())]
    NoHolder,
    /// No secondary has a reader VIP.
    #[error("no secondary has a reader VIP; start the lab with --readers 2")]
    NoReader,
    /// `haipmgr` was told to do it, and did not.
    #[error("haipmgr {command} ended with {status}: {words}")]
    Command {
        /// What was typed.
        command: String,
        /// Its exit status.
        status: std::process::ExitStatus,
        /// What it said.
        words: String,
    },
    /// The packet filter could not be set.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// A host could not be cut off from the other members, or not be brought back.
    #[error(transparent)]
    Part(#[from] PartError),
}

/// A fault that was done, and what is needed to undo it.
#[derive(Debug)]
pub struct Injected {
    /// Which one.
    pub fault: Fault,
    /// To which host: its place among the databases.
    pub victim: usize,
    /// `max_connections` before, where connections were used up, and the connection that sets it back: the place that the
    /// server keeps for an administrator may be taken for a moment by whoever connects.
    connection_limit: Option<(u64, Conn)>,
    /// What the switchover finds in its way.
    obstacle: Option<Standing>,
}

/// The three things a fault can be done to.
#[derive(Debug)]
pub struct Scene<'a> {
    /// Hosts and cables.
    pub segment: &'a Segment,
    /// The servers.
    pub group: &'a mut Group,
    /// The agents, in the same order; empty when the lab runs without them.
    pub agents: &'a mut [Agent],
}

impl Fault {
    /// Its name, as on the command line.
    pub fn name(self) -> String {
        use clap::ValueEnum as _;
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// Whether it is a planned one: by `group_replication_set_as_primary`, to the next member.
    pub fn is_a_switchover(self) -> bool {
        matches!(self, Self::Switchover | Self::SwitchoverCommand) || self.obstacle().is_some()
    }

    fn obstacle(self) -> Option<Obstacle> {
        match self {
            Self::SwitchoverBacklog => Some(Obstacle::Backlog),
            Self::SwitchoverStatement => Some(Obstacle::Statement),
            Self::SwitchoverDdl => Some(Obstacle::Ddl),
            Self::SwitchoverTransaction => Some(Obstacle::Transaction),
            _ => None,
        }
    }

    /// Whether another member becomes primary because of it.
    pub fn moves_the_primary(self) -> bool {
        self.is_a_switchover()
            || matches!(
                self,
                Self::Shutdown
                    | Self::DrainShutdown
                    | Self::StopGroupReplication
                    | Self::Kill9
                    | Self::PowerOff
                    | Self::GroupPortCut
                    | Self::LinkDown
            )
    }

    /// Whether it is done to a secondary, and the group has one member less until it is undone.
    pub fn is_about_a_secondary(self) -> bool {
        matches!(self, Self::SecondaryKill9 | Self::SecondaryPowerOff | Self::Rejoin)
            || self.is_about_a_reader()
    }

    /// Whether it is done to a secondary that has a reader VIP.
    pub fn is_about_a_reader(self) -> bool {
        matches!(
            self,
            Self::ReaderKill9
                | Self::ReaderPowerOff
                | Self::ReaderLinkDown
                | Self::ReaderShutdown
                | Self::ReaderStopGroupReplication
                | Self::ReaderFreeze
        )
    }

    /// Whether the group loses a member by it.
    pub fn costs_a_member(self) -> bool {
        self.is_about_a_secondary() && self != Self::Rejoin
    }

    /// Whether a host loses its power.
    pub fn takes_the_power(self) -> bool {
        matches!(self, Self::PowerOff | Self::SecondaryPowerOff | Self::ReaderPowerOff)
    }

    /// Whether the VIP is to be on the primary again before the fault is undone.
    pub fn recovers_by_itself(self) -> bool {
        !matches!(self, Self::GatewayLost | Self::AgentKill9 | Self::Freeze)
    }

    /// Whether it is over as soon as it is done, so that nothing is seen by leaving it as it is.
    pub fn is_a_moment(self) -> bool {
        matches!(self, Self::VipRemovedByHand | Self::AgentRestart)
    }

    /// [`Self::prepare`] and [`Injected::carry_out`].
    pub fn inject(self, scene: &mut Scene<'_>) -> Result<Injected, FaultError> {
        self.prepare(scene)?.carry_out(scene)
    }

    /// The place of the host that it would be done to now: the primary's, or a secondary's.
    ///
    /// # Errors
    /// There is no primary, or no secondary has a reader VIP where that is wanted.
    pub fn victim(self, scene: &Scene<'_>) -> Result<usize, FaultError> {
        let primary = scene.group.primary()?;
        if !self.is_about_a_secondary() {
            return Ok(primary);
        }
        if !self.is_about_a_reader() {
            return Ok((primary + 1) % scene.group.servers().len());
        }
        for vip in all_readers() {
            let holders = holders_of(scene.segment, vip)?;
            if let Some(holder) = holders.into_iter().find(|holder| *holder != primary) {
                return Ok(holder);
            }
        }
        Err(FaultError::NoReader)
    }

    /// Gets ready what is not part of it yet, for the primary's host (which is the VIP's holder, in a steady state), or for the
    /// secondary next to it.
    pub fn prepare(self, scene: &Scene<'_>) -> Result<Injected, FaultError> {
        let victim = self.victim(scene)?;
        if self == Self::Rejoin {
            scene.group.servers()[victim].run("STOP GROUP_REPLICATION")?;
        }
        let obstacle = self.obstacle().map(|obstacle| obstacle.put(scene.group, victim)).transpose()?;
        Ok(Injected { fault: self, victim, connection_limit: None, obstacle })
    }
}

impl Injected {
    /// Does it. What was done halfway when the rest failed is undone.
    pub fn carry_out(mut self, scene: &mut Scene<'_>) -> Result<Self, FaultError> {
        if let Err(error) = self.do_it(scene) {
            // The first failure is the one to tell.
            let _ = self.heal(scene);
            return Err(error);
        }
        Ok(self)
    }

    fn do_it(&mut self, scene: &mut Scene<'_>) -> Result<(), FaultError> {
        let victim = self.victim;
        let host = &scene.segment.databases[victim];
        match self.fault {
            Fault::Switchover
            | Fault::SwitchoverBacklog
            | Fault::SwitchoverStatement
            | Fault::SwitchoverDdl
            | Fault::SwitchoverTransaction => {
                let other = (victim + 1) % scene.group.servers().len();
                scene.group.switch_over(other)?;
            }
            Fault::SwitchoverCommand => {
                let hosts = &scene.segment.databases;
                let other = (victim + 1) % hosts.len();
                let to = hosts[other].address().to_string();
                command(scene, (victim + 2) % hosts.len(), &["switchover", "--yes", "--to", &to])?;
            }
            Fault::DrainShutdown => {
                command(scene, victim, &["drain"])?;
                scene.group.servers()[victim].run("SHUTDOWN")?;
            }
            Fault::Shutdown | Fault::ReaderShutdown => scene.group.servers()[victim].run("SHUTDOWN")?,
            Fault::StopGroupReplication | Fault::ReaderStopGroupReplication => {
                scene.group.servers()[victim].run("STOP GROUP_REPLICATION")?;
            }
            Fault::Kill9 | Fault::SecondaryKill9 | Fault::ReaderKill9 => kill_server(scene, victim)?,
            Fault::PowerOff | Fault::SecondaryPowerOff | Fault::ReaderPowerOff => {
                // The cable first: a dead host's kernel says no goodbye.
                scene.segment.set_cable(host, false)?;
                kill_server(scene, victim)?;
                if let Some(agent) = scene.agents.get_mut(victim) {
                    agent.kill()?;
                }
                scene.segment.forget_other_addresses(host)?;
            }
            Fault::GroupPortCut => packet_rules::cut_group_port(host)?,
            Fault::GatewayLost => scene.segment.set_gateway(false)?,
            Fault::VipRemovedByHand => {
                self.victim = holder(scene.segment)?.ok_or(FaultError::NoHolder)?;
                scene.segment.remove_vip(&scene.segment.databases[self.victim])?;
            }
            Fault::AgentRestart => {
                if let Some(agent) = scene.agents.get_mut(victim) {
                    agent.stop()?;
                    agent.start(host)?;
                }
            }
            Fault::AgentKill9 => {
                if let Some(agent) = scene.agents.get_mut(victim) {
                    agent.kill()?;
                }
            }
            Fault::WrongPassword => {
                set_agent_password(&scene.group.servers()[victim], "not-the-agents")?;
                for server in scene.group.servers() {
                    end_agent_connections(&mut server.admin()?, server)?;
                }
            }
            Fault::TooManyConnections => {
                self.connection_limit = Some(use_up_connections(&scene.group.servers()[victim])?);
            }
            Fault::LinkDown | Fault::ReaderLinkDown => scene.segment.set_cable(host, false)?,
            Fault::Freeze | Fault::ReaderFreeze => scene.group.servers()[victim].freeze()?,
            Fault::Rejoin => scene.group.heal(victim, host)?,
        }
        Ok(())
    }

    /// Undoes it and waits until the group is whole again.
    pub fn heal(mut self, scene: &mut Scene<'_>) -> Result<(), FaultError> {
        let obstacle = self.obstacle.take();
        let host = &scene.segment.databases[self.victim];
        match self.fault {
            // The group's own healing, below, is all that these need, if anything.
            Fault::Switchover
            | Fault::SwitchoverCommand
            | Fault::SwitchoverBacklog
            | Fault::SwitchoverStatement
            | Fault::SwitchoverDdl
            | Fault::SwitchoverTransaction
            | Fault::StopGroupReplication
            | Fault::Kill9
            | Fault::SecondaryKill9
            | Fault::ReaderKill9
            | Fault::ReaderStopGroupReplication
            | Fault::Rejoin
            | Fault::VipRemovedByHand
            | Fault::AgentRestart
            | Fault::AgentKill9 => {}
            Fault::Shutdown | Fault::DrainShutdown | Fault::ReaderShutdown => {
                if let Some(server) = scene.group.server_mut(self.victim) {
                    server.wait_end(SHUTDOWN_PATIENCE)?;
                }
            }
            Fault::PowerOff
            | Fault::SecondaryPowerOff
            | Fault::LinkDown
            | Fault::ReaderPowerOff
            | Fault::ReaderLinkDown => {
                scene.segment.set_cable(host, true)?;
            }
            Fault::Freeze | Fault::ReaderFreeze => scene.group.servers()[self.victim].thaw()?,
            Fault::GroupPortCut => packet_rules::remove(host)?,
            Fault::GatewayLost => scene.segment.set_gateway(true)?,
            Fault::WrongPassword => {
                let primary = scene.group.primary()?;
                set_agent_password(&scene.group.servers()[primary], AGENT_PASSWORD)?;
            }
            Fault::TooManyConnections => {
                if let Some((limit, mut admin)) = self.connection_limit {
                    let statement = format!("SET GLOBAL max_connections = {limit}");
                    let server = &scene.group.servers()[self.victim];
                    statement::run(&mut admin, &statement).map_err(server.said(&statement))?;
                }
            }
        }
        scene.group.heal(self.victim, host)?;
        if let Some(agent) = scene.agents.get_mut(self.victim) {
            agent.start(host)?;
        }
        if self.fault == Fault::DrainShutdown {
            command(scene, self.victim, &["undrain"])?;
        }
        Ok(obstacle.map_or(Ok(()), |obstacle| obstacle.remove(scene.group))?)
    }
}

/// Has `haipmgr` do it on this host.
fn command(scene: &Scene<'_>, place: usize, arguments: &[&str]) -> Result<(), FaultError> {
    let Some(agent) = scene.agents.get(place) else { return Ok(()) };
    let said = agent.command(&scene.segment.databases[place], arguments)?;
    if said.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&[said.stdout, said.stderr].concat()).into_owned();
    Err(FaultError::Command { command: arguments.join(" "), status: said.status, words })
}

/// The place of the first host that has the VIP on its interface.
pub fn holder(segment: &Segment) -> Result<Option<usize>, SegmentError> {
    Ok(holders(segment)?.first().copied())
}

/// The places of all hosts that have the VIP on their interface.
pub fn holders(segment: &Segment) -> Result<Vec<usize>, SegmentError> {
    holders_of(segment, vip())
}

/// The places of all hosts that have this address on their interface.
pub(crate) fn holders_of(segment: &Segment, vip: IpAddr) -> Result<Vec<usize>, SegmentError> {
    let mut found = Vec::new();
    for (place, host) in segment.databases.iter().enumerate() {
        if segment.addresses(host)?.contains(&vip) {
            found.push(place);
        }
    }
    Ok(found)
}

fn kill_server(scene: &mut Scene<'_>, victim: usize) -> Result<(), GroupError> {
    scene.group.server_mut(victim).map_or(Ok(()), Server::kill)
}

fn set_agent_password(primary: &Server, password: &str) -> Result<(), GroupError> {
    primary.run(&format!("ALTER USER '{AGENT_USER}'@'%' IDENTIFIED BY '{password}'"))
}

/// Ends the agents' connections to this server, so that they must connect again; returns how many there were.
pub(crate) fn end_agent_connections(admin: &mut Conn, server: &Server) -> Result<u64, GroupError> {
    let statement = format!("SELECT ID FROM performance_schema.processlist WHERE USER = '{AGENT_USER}'");
    let connections: Vec<u64> = admin.query(&statement).map_err(server.said(&statement))?;
    let mut ended = 0;
    for connection in connections {
        // It may have gone meanwhile.
        ended += u64::from(statement::run(admin, format!("KILL {connection}")).is_ok());
    }
    Ok(ended)
}

/// Leaves no room for another ordinary connection, and ends the agents'; gives the limit that there was. The lab's own
/// account has one connection in reserve.
///
/// Connections that were just ended still count for a moment, and the agents come again at once: the limit is set anew until
/// it is what is in use without them, several times in a row.
fn use_up_connections(server: &Server) -> Result<(u64, Conn), GroupError> {
    let mut admin = server.admin()?;
    let statement = "SELECT @@max_connections";
    let before: Option<u64> = admin.query_first(statement).map_err(server.said(statement))?;
    let in_use = format!(
        "SELECT CAST(VARIABLE_VALUE AS SIGNED), \
         (SELECT COUNT(*) FROM performance_schema.processlist WHERE USER = '{AGENT_USER}') \
         FROM performance_schema.global_status WHERE VARIABLE_NAME = 'Threads_connected'"
    );
    let (mut last, mut the_same) = (0, 0);
    for _ in 0..LIMIT_ATTEMPTS {
        end_agent_connections(&mut admin, server)?;
        std::thread::sleep(LIMIT_EVERY);
        let found: Option<(i64, i64)> = admin.query_first(&in_use).map_err(server.said(&in_use))?;
        let (all, agents) = found.unwrap_or_default();
        // This connection stays, and is counted.
        let others = (all - agents).max(1);
        the_same = if agents == 0 && others == last { the_same + 1 } else { 0 };
        if the_same >= LIMIT_SETTLED {
            break;
        }
        last = others;
        let limit = format!("SET GLOBAL max_connections = {others}");
        statement::run(&mut admin, &limit).map_err(server.said(&limit))?;
    }
    Ok((before.unwrap_or(151), admin))
}
