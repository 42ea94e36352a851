//! What several VIPs in one cluster cost an agent that holds them all, beside one that holds one. The cluster's server is a stand-in's port.

use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::thread::sleep;
use std::time::Duration;

use super::CostError;
use super::many::{Addresses, SETTLES_IN, Servers, configuration, vip};
use super::process::{Memory, Spent};
use crate::agents::{Agent, CONFIGURATION, write};
use crate::host::Host;
use crate::namespace::Layout;

/// What was measured of one agent that holds so many VIPs of one cluster.
#[derive(Clone, Copy, Debug)]
pub struct SeveralVips {
    /// How many.
    pub vips: u16,
    /// Its processor time at rest, as a share of one core.
    pub processor: f64,
    /// Its memory at rest, bytes.
    pub resident: u64,
}

/// Runs an agent on the first host until it holds that many VIPs, and watches it for `seconds`.
pub(super) fn measure(
    layout: &Layout,
    hosts: &[Host],
    vips: u16,
    seconds: u32,
) -> Result<SeveralVips, CostError> {
    let [host, peers @ ..] = hosts else { return Err(CostError::NoHost) };
    let mut agent = Agent::prepare(layout, host)?;
    let members: Vec<Ipv4Addr> = hosts.iter().map(Host::address).collect();
    write(host, CONFIGURATION, &with_vips(vips, &members), 0o644)?;
    let mut servers = Servers::start(layout, host, 1, 0)?;
    let _others = peers
        .iter()
        .enumerate()
        .map(|(place, peer)| Servers::start(layout, peer, 1, place + 1))
        .collect::<Result<Vec<_>, _>>()?;
    let mut addresses = Addresses::start(layout, host)?;
    agent.start(host)?;
    let outcome = hold(&mut agent, &mut servers, &mut addresses, vips, seconds);
    agent.kill()?;
    outcome
}

fn hold(
    agent: &mut Agent,
    servers: &mut Servers,
    addresses: &mut Addresses,
    vips: u16,
    seconds: u32,
) -> Result<SeveralVips, CostError> {
    servers.lead(0, true)?;
    for number in 0..vips {
        addresses.wait(agent, vip(number), true)?;
    }
    sleep(SETTLES_IN);
    let pid = agent.pid().unwrap_or_default();
    let before = Spent::by(pid)?;
    sleep(Duration::from_secs(seconds.into()));
    agent.check()?;
    let processor = Spent::by(pid)?.share_since(before);
    Ok(SeveralVips { vips, processor, resident: Memory::of(pid)?.resident })
}

/// One cluster whose further VIPs are writers' too.
fn with_vips(vips: u16, members: &[Ipv4Addr]) -> String {
    let mut text = configuration(1, members);
    for number in 1..vips {
        // Writing to a String can't fail.
        let _ = write!(text, "[[cluster.vips]]\naddress = \"{}\"\n", vip(number));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_cluster_has_as_many_vips_as_are_wanted_and_each_is_another() {
        let text = with_vips(64, &[Ipv4Addr::LOCALHOST]);
        let mut addresses: Vec<&str> = text.lines().filter(|line| line.contains("10.78.")).collect();
        addresses.dedup();
        assert_eq!(addresses.len(), 64, "{text}");
        assert_eq!(text.matches("[[cluster]]").count(), 1);
    }
}
