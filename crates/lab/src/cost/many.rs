//! What an agent costs that serves many clusters, and whether it reacts as soon as with one. Each cluster's server is a
//! stand-in's port.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, Ipv4Addr};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::process::{Memory, Spent, threads};
use super::stand_in::READY;
use super::{CostError, Times};
use crate::agents::{Agent, CONFIGURATION, INSTALL_PATH, PASSWORD_FILE, write};
use crate::group::AGENT_USER;
use crate::host::Host;
use crate::namespace::Layout;
use crate::record::{Recorder, What};
use crate::segment::{GATEWAY, INTERFACE};

/// The first cluster's port on the stand-in.
const FIRST_PORT: u16 = 20_001;
/// The groups' own ports, which nobody opens.
const FIRST_GROUP_PORT: u16 = 40_001;
/// One cluster in so many leads on this host and has its VIP here, as on each of three hosts.
const ONE_IN: u16 = 3;
/// How long everything may take to be as it should be.
const LIMIT: Duration = Duration::from_secs(30);
/// What a start stirs up (announcements that thin out, and the like) is over after this.
pub(super) const SETTLES_IN: Duration = Duration::from_secs(10);

/// What was measured of one agent with so many clusters.
#[derive(Clone, Debug)]
pub struct Many {
    /// How many.
    pub clusters: u16,
    /// Its processor time at rest, as a share of one core.
    pub processor: f64,
    /// What the stand-in took meanwhile: no part of the agent's cost.
    pub stand_in: f64,
    /// Its memory at rest, bytes.
    pub resting: u64,
    /// The same at the end, after all those changes.
    pub resident: u64,
    /// The same, shared pages counted in part.
    pub proportional: u64,
    /// Its threads.
    pub threads: usize,
    /// From the moment when a server leads and can be written to, to its VIP on the interface.
    pub reaction: Times,
}

/// Runs an agent on the first host, with all of `hosts` as members, for that many clusters: at rest for `seconds`, then as many changes of a cluster's primary as
/// `flips` says, at random moments.
pub(super) fn measure(
    layout: &Layout,
    hosts: &[Host],
    clusters: u16,
    seconds: u32,
    flips: u32,
) -> Result<Many, CostError> {
    let [host, peers @ ..] = hosts else { return Err(CostError::NoHost) };
    let mut agent = Agent::prepare(layout, host)?;
    let members: Vec<Ipv4Addr> = hosts.iter().map(Host::address).collect();
    write(host, CONFIGURATION, &configuration(clusters, &members), 0o644)?;
    let mut servers = Servers::start(layout, host, clusters, 0)?;
    // The other members' servers, whose ports the agent looks at now and then.
    let _others = peers
        .iter()
        .enumerate()
        .map(|(place, peer)| Servers::start(layout, peer, clusters, place + 1))
        .collect::<Result<Vec<_>, _>>()?;
    let mut addresses = Addresses::start(layout, host)?;
    agent.start(host)?;
    let outcome = with(&mut agent, &mut servers, &mut addresses, clusters, seconds, flips);
    agent.kill()?;
    outcome
}

fn with(
    agent: &mut Agent,
    servers: &mut Servers,
    addresses: &mut Addresses,
    clusters: u16,
    seconds: u32,
    flips: u32,
) -> Result<Many, CostError> {
    // A single one does not lead: the changes are to begin with it.
    let leading: Vec<u16> = (0..clusters).filter(|number| number % ONE_IN == ONE_IN - 1).collect();
    for number in &leading {
        servers.lead(*number, true)?;
    }
    for number in &leading {
        addresses.wait(agent, vip(*number), true)?;
    }
    sleep(SETTLES_IN);
    let pid = agent.pid().unwrap_or_default();
    let (before, stand_in_before) = (Spent::by(pid)?, Spent::by(servers.child.id())?);
    sleep(Duration::from_secs(seconds.into()));
    agent.check()?;
    let processor = Spent::by(pid)?.share_since(before);
    let stand_in = Spent::by(servers.child.id())?.share_since(stand_in_before);
    let resting = Memory::of(pid)?.resident;

    let mut chance = Chance(0x9E37_79B9_7F4A_7C15);
    let idle: Vec<u16> = (0..clusters).filter(|number| !leading.contains(number)).collect();
    let mut reactions = Vec::new();
    for _ in 0..flips {
        let number = idle[usize::try_from(chance.below(idle.len() as u64)).unwrap_or_default()];
        // Its last turn may not be over yet.
        addresses.wait(agent, vip(number), false)?;
        sleep(Duration::from_micros(chance.below(300_000)));
        let began = servers.lead(number, true)?;
        let there = addresses.wait(agent, vip(number), true)?;
        reactions.push(Duration::from_micros(there.saturating_sub(began)));
        servers.lead(number, false)?;
    }
    let memory = Memory::of(pid)?;
    Ok(Many {
        clusters,
        processor,
        stand_in,
        resting,
        resident: memory.resident,
        proportional: memory.proportional,
        threads: threads(pid)?,
        reaction: Times::of(reactions),
    })
}

pub(super) fn vip(number: u16) -> Ipv4Addr {
    let [high, low] = (number + 1).to_be_bytes();
    Ipv4Addr::new(10, 78, high, low)
}

pub(super) fn configuration(clusters: u16, members: &[Ipv4Addr]) -> String {
    let members: Vec<String> =
        members.iter().map(|address| format!("\"{address}\" = \"{INTERFACE}\"")).collect();
    let members = members.join("\n");
    let mut text = String::new();
    for number in 0..clusters {
        // Writing to a String can't fail.
        let _ = write!(
            text,
            "[[cluster]]
name          = \"c{number}\"
vip           = \"{}/32\"
gateway       = \"{GATEWAY}\"
mysql_port    = {}
group_port    = {}
user          = \"{AGENT_USER}\"
password_file = \"{PASSWORD_FILE}\"
install_path  = \"{INSTALL_PATH}\"
[cluster.members]
{members}
",
            vip(number),
            FIRST_PORT + number,
            FIRST_GROUP_PORT + number,
        );
    }
    text
}

/// The stand-in's process.
pub(super) struct Servers {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Servers {
    pub(super) fn start(
        layout: &Layout,
        host: &Host,
        clusters: u16,
        place: usize,
    ) -> Result<Self, CostError> {
        let mut command = host.command(layout.lab());
        command.args(["stand-in", "--first-port", &FIRST_PORT.to_string(), "--ports", &clusters.to_string()]);
        command.args(["--place", &place.to_string()]);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(CostError::stand_in("starting it"))?;
        let gone = || CostError::stand_in("starting it")(std::io::ErrorKind::BrokenPipe.into());
        let orders = child.stdin.take().ok_or_else(gone)?;
        let answers = BufReader::new(child.stdout.take().ok_or_else(gone)?);
        let mut servers = Self { child, orders, answers };
        if servers.line()? == READY { Ok(servers) } else { Err(gone()) }
    }

    /// Makes a cluster's server the primary or a secondary, and gives since when it says so, microseconds.
    pub(super) fn lead(&mut self, number: u16, leads: bool) -> Result<u64, CostError> {
        let role = if leads { "primary" } else { "secondary" };
        writeln!(self.orders, "{} {role}", FIRST_PORT + number)
            .and_then(|()| self.orders.flush())
            .map_err(CostError::stand_in("giving it an order"))?;
        let line = self.line()?;
        line.split_once(' ').and_then(|(_, at)| at.parse().ok()).ok_or_else(|| {
            CostError::stand_in("giving it an order")(std::io::Error::other(format!("it says {line:?}")))
        })
    }

    fn line(&mut self) -> Result<String, CostError> {
        let mut line = String::new();
        self.answers.read_line(&mut line).map_err(CostError::stand_in("hearing it"))?;
        Ok(line.trim().to_owned())
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        // It may have ended already; either way it is reaped.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The addresses on the host, as its witness tells them.
pub(super) struct Addresses {
    witness: Child,
    told: Recorder,
    /// Whether it is there, and since when, microseconds.
    known: BTreeMap<IpAddr, (bool, u64)>,
}

impl Addresses {
    pub(super) fn start(layout: &Layout, host: &Host) -> Result<Self, CostError> {
        let mut command = host.command(layout.lab());
        command.args(["witness", "addresses", "--who", host.name()]);
        let mut witness =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(CostError::Witness)?;
        let told = Recorder::default();
        let output =
            witness.stdout.take().ok_or_else(|| CostError::Witness(std::io::ErrorKind::BrokenPipe.into()))?;
        told.attach().witness(host.name(), output);
        Ok(Self { witness, told, known: BTreeMap::new() })
    }

    /// Waits until this address is there, or is not; gives since when, where it changed.
    pub(super) fn wait(
        &mut self,
        agent: &mut Agent,
        address: Ipv4Addr,
        there: bool,
    ) -> Result<u64, CostError> {
        let since = Instant::now();
        let address = IpAddr::V4(address);
        loop {
            let (known, at) = self.known.get(&address).copied().unwrap_or_default();
            if known == there {
                return Ok(at);
            }
            match self.told.next_within(Duration::from_secs(1)) {
                Some(recorded) => match recorded.what {
                    What::Addresses(all) => {
                        self.known.clear();
                        self.known.extend(all.into_iter().map(|one| (one.address, (true, recorded.at_us))));
                    }
                    What::AddressAdded(one) => {
                        self.known.insert(one.address, (true, recorded.at_us));
                    }
                    What::AddressRemoved(one) => {
                        self.known.insert(one.address, (false, recorded.at_us));
                    }
                    _ => {}
                },
                None => agent.check()?,
            }
            if since.elapsed() > LIMIT {
                return Err(CostError::VipNotMoved { vip: address, there, limit: LIMIT });
            }
        }
    }
}

impl Drop for Addresses {
    fn drop(&mut self) {
        let _ = self.witness.kill();
        let _ = self.witness.wait();
    }
}

/// Numbers that are the same in each run: a xorshift generator.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cluster_has_a_vip_and_ports_of_its_own() {
        let text = configuration(300, &[Ipv4Addr::LOCALHOST]);
        for key in ["vip ", "mysql_port ", "group_port ", "name "] {
            let mut values: Vec<&str> = text.lines().filter(|line| line.starts_with(key)).collect();
            values.sort_unstable();
            values.dedup();
            assert_eq!(values.len(), 300, "{key}");
        }
    }
}
