//! What the local server and this host's kernel say of the group and the network.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, ToSocketAddrs as _};

use decide::input::{Fact, NotInGroup, Server, Why};
use tokio::time::timeout;

use crate::commands::this_host::{Own, ThisHost};
use crate::server_access::session::{Error, Rows, Session};
use crate::server_access::{Access, Connector, GIVE_UP, servers};

/// The group and the network, as this host sees them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// This host's own address as a member.
    pub(super) own: IpAddr,
    /// Each member's address, this one's too, in order.
    pub(super) members: Vec<IpAddr>,
    /// This member's interface.
    pub(super) interface: String,
    /// The segment's gateway.
    pub(super) gateway: IpAddr,
    pub(super) mysql_port: u16,
    /// Group Replication's own port; none with the communication stack MYSQL, which has none.
    pub(super) group_port: Option<u16>,
}

/// Why no configuration can be made.
#[derive(Debug, thiserror::Error)]
pub(in crate::commands) enum NotFound {
    /// The account can't log in.
    #[error("the server turns the account away: {0}")]
    TurnedAway(String),
    /// The server does not answer.
    #[error(
        "the local server does not answer: {0}; is mysqld running here? Name its port with --port, or its socket file with --socket"
    )]
    Silent(String),
    /// It is in no group.
    #[error("the local server is in no group: {0}; start Group Replication on this host first")]
    NoGroup(String),
    /// What it says is not understood.
    #[error(
        "the local server says something that is not understood: {0}; write the file by hand, from the package's haipmgr.toml"
    )]
    NotUnderstood(String),
    /// A member's name has no address.
    #[error(
        "member {0} (MEMBER_HOST) has no address here that other hosts could use; add it to /etc/hosts, or set report_host on that server to its address"
    )]
    NoAddress(String),
    /// No interface has this member's address.
    #[error("no interface of this host has an address in the members' network ({0}); see: ip -br address")]
    NoInterface(String),
    /// There is no router.
    #[error(
        "no default route leaves by {0}: name the router that every host can reach with --gateway ADDRESS"
    )]
    NoGateway(String),
    /// The VIP is an address of somebody.
    #[error("{0} is {1}'s own address: the VIP must be one that no host has")]
    VipIsTaken(IpAddr, &'static str),
    /// The kernel does not tell.
    #[error("this host's {0} can't be read: {1}")]
    Kernel(&'static str, std::io::Error),
}

const MEMBERS: &str = "SELECT MEMBER_ID = @@GLOBAL.server_uuid, MEMBER_HOST, @@GLOBAL.port, @@GLOBAL.group_replication_local_address \
                       FROM performance_schema.replication_group_members WHERE MEMBER_HOST <> ''";
const STACK: &str = "SELECT @@GLOBAL.group_replication_communication_stack";
/// `ER_UNKNOWN_SYSTEM_VARIABLE`: with STACK, a server before 8.0.27; with MEMBERS, one without the plugin.
const UNKNOWN_VARIABLE: u16 = 1193;

/// What the server said.
#[derive(Debug, PartialEq, Eq)]
struct Said {
    /// This member's name.
    own: String,
    members: Vec<String>,
    mysql_port: u16,
    group_port: Option<u16>,
}

/// Asks. Blocks, 10 s at the most for the connection and as long for the answers.
pub(super) fn ask(access: Access, vip: IpAddr, gateway: Option<IpAddr>) -> Result<Found, NotFound> {
    let group = servers::wait_for(answers(access))
        .unwrap_or_else(|error| Err(NotFound::Silent(error.to_string())))?;
    let resolve = |host: &String| address_of(host).ok_or_else(|| NotFound::NoAddress(host.clone()));
    let others: Vec<IpAddr> =
        group.members.iter().filter(|host| **host != group.own).map(resolve).collect::<Result<_, _>>()?;
    let host = ThisHost::read();
    // The VIP may be here already.
    let all: Vec<(&str, Own)> = host.addresses().filter(|(_, own)| own.address != vip).collect();
    let (interface, own) = own_member(&all, address_of(&group.own), &others)
        .ok_or_else(|| NotFound::NoInterface(group.members.join(", ")))?;
    let mut members = others;
    members.push(own.address);
    members.sort_unstable();
    if members.contains(&vip) {
        return Err(NotFound::VipIsTaken(vip, "a member"));
    }
    let gateway = match gateway {
        Some(gateway) => gateway,
        None => gateway_by(interface, own.address)?,
    };
    if gateway == vip {
        return Err(NotFound::VipIsTaken(vip, "the gateway"));
    }
    let Said { mysql_port, group_port, .. } = group;
    let interface = interface.to_owned();
    Ok(Found { own: own.address, members, interface, gateway, mysql_port, group_port })
}

/// The router of the members' own family, and where there is none, of the other.
fn gateway_by(interface: &str, own: IpAddr) -> Result<IpAddr, NotFound> {
    let table = |file| std::fs::read_to_string(file).map_err(|error| NotFound::Kernel("routes", error));
    let v4 = default_gateway(&table("/proc/net/route")?, interface).map(IpAddr::V4);
    // Not there where IPv6 is off.
    let v6 = table("/proc/net/ipv6_route").ok().and_then(|table| default_gateway_v6(&table, interface));
    let v6 = v6.map(IpAddr::V6);
    let found = if own.is_ipv4() { v4.or(v6) } else { v6.or(v4) };
    found.ok_or_else(|| NotFound::NoGateway(interface.to_owned()))
}

async fn answers(access: Access) -> Result<Said, NotFound> {
    let mut connector = Connector::new(access);
    let silent = || NotFound::Silent(format!("not within {} s", GIVE_UP.as_secs()));
    let connected = timeout(GIVE_UP, connector.connect()).await.map_err(|_| silent())?;
    let mut session = connected.map_err(|failure| because(failure.fact))?;
    let tls = session.has_tls();
    match timeout(GIVE_UP, both(&mut session)).await.map_err(|_| silent())? {
        Ok((members, stack)) => {
            session.close().await;
            understand(&members, stack.first().and_then(|row| row.first()?.as_deref()))
        }
        Err(Error::Server { code: UNKNOWN_VARIABLE, .. }) => {
            Err(NotFound::NoGroup(NotInGroup::PluginMissing.to_string()))
        }
        Err(error) => Err(because(connector.explain(&error, tls).fact)),
    }
}

async fn both(session: &mut Session) -> Result<(Rows, Rows), Error> {
    let members = session.query(MEMBERS).await?;
    let stack = match session.query(STACK).await {
        Err(Error::Server { code: UNKNOWN_VARIABLE, .. }) => Rows::new(),
        other => other?,
    };
    Ok((members, stack))
}

fn because(fact: Fact<Server>) -> NotFound {
    match fact {
        Fact::Unknown(why @ (Why::WrongPassword(_) | Why::NotAllowed(_))) => {
            NotFound::TurnedAway(why.to_string())
        }
        Fact::Unknown(why) => NotFound::Silent(why.to_string()),
        Fact::Known(Server::Refused(text)) => NotFound::Silent(text),
        Fact::Known(Server::NotInGroup(why)) => NotFound::NoGroup(why.to_string()),
        Fact::Known(Server::Member(_)) => NotFound::NotUnderstood("an answer to no question".to_owned()),
    }
}

fn understand(rows: &Rows, stack: Option<&str>) -> Result<Said, NotFound> {
    let strange = |what: &str| NotFound::NotUnderstood(what.to_owned());
    let (mut own, mut members, mut ports) = (None, Vec::new(), None);
    for row in rows {
        let [is_own, Some(host), Some(port), group_address] = row.as_slice() else {
            return Err(strange("a member's row without name or port"));
        };
        if is_own.as_deref() == Some("1") {
            own = Some(host.clone());
        }
        members.push(host.clone());
        ports = Some((port.clone(), group_address.clone().unwrap_or_default()));
    }
    let (Some(own), Some((mysql_port, group_address))) = (own, ports) else {
        return Err(NotFound::NoGroup(NotInGroup::NotRunning.to_string()));
    };
    let group_port = if stack == Some("MYSQL") {
        None
    } else {
        let port = group_address.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        Some(port.ok_or_else(|| strange(&format!("group_replication_local_address is {group_address:?}")))?)
    };
    let mysql_port = mysql_port.parse().map_err(|_| strange("port"))?;
    Ok(Said { own, members, mysql_port, group_port })
}

/// The name's first address that other hosts could use; IPv4 before IPv6.
fn address_of(host: &str) -> Option<IpAddr> {
    let addresses = (host, 0).to_socket_addrs().ok()?.map(|address| address.ip());
    let everywhere = |address: &IpAddr| match address {
        IpAddr::V4(address) => !address.is_loopback(),
        IpAddr::V6(address) => !address.is_loopback() && !address.is_unicast_link_local(),
    };
    addresses.filter(everywhere).min_by_key(IpAddr::is_ipv6)
}

/// This member's interface and address: the one that its name has, or, where its own name means loopback here (Debian's /etc/hosts), the
/// one in the other members' network.
fn own_member<'a>(
    all: &[(&'a str, Own)],
    named: Option<IpAddr>,
    others: &[IpAddr],
) -> Option<(&'a str, Own)> {
    let in_their_network = |(_, own): &&(&str, Own)| {
        let single_host = if own.address.is_ipv4() { 32 } else { 128 };
        own.prefix != single_host && others.iter().any(|other| own.shares_network_with(*other))
    };
    let named = named.and_then(|named| all.iter().find(|(_, own)| own.address == named));
    named.or_else(|| all.iter().find(in_their_network)).copied()
}

/// From the kernel's table of routes (`/proc/net/route`): addresses are hexadecimal numbers in the machine's byte order.
fn default_gateway(routes: &str, interface: &str) -> Option<Ipv4Addr> {
    routes.lines().skip(1).find_map(|line| {
        let mut cells = line.split_whitespace();
        let (name, destination, gateway) = (cells.next()?, cells.next()?, cells.next()?);
        let gateway = u32::from_str_radix(gateway, 16).ok().filter(|gateway| *gateway != 0)?;
        (name == interface && destination == "00000000").then(|| Ipv4Addr::from(gateway.to_ne_bytes()))
    })
}

/// The same of IPv6 (`/proc/net/ipv6_route`): hexadecimal digits as they are written in an address.
fn default_gateway_v6(routes: &str, interface: &str) -> Option<Ipv6Addr> {
    routes.lines().find_map(|line| {
        let cells: Vec<&str> = line.split_whitespace().collect();
        let [_, "00", _, _, gateway, .., name] = cells.as_slice() else { return None };
        let gateway = u128::from_str_radix(gateway, 16).ok().filter(|gateway| *gateway != 0)?;
        (*name == interface).then(|| Ipv6Addr::from_bits(gateway))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn row(own: &str, host: &str, group_address: &str) -> Vec<Option<String>> {
        [own, host, "3306", group_address].map(|cell| Some(cell.to_owned())).to_vec()
    }

    fn own(address: &str, prefix: u8, interface: &'static str) -> (&'static str, Own) {
        (interface, Own { address: address.parse().unwrap(), prefix })
    }

    #[test]
    fn the_groups_own_port_is_found_and_with_the_stack_mysql_there_is_none() {
        let rows = vec![row("0", "db2", "db1:33061"), row("1", "db1", "db1:33061")];
        let group = understand(&rows, Some("XCOM")).unwrap();
        assert_eq!((group.own.as_str(), group.mysql_port, group.group_port), ("db1", 3306, Some(33061)));
        assert_eq!(understand(&rows, None).unwrap().group_port, Some(33061));
        assert_eq!(understand(&rows, Some("MYSQL")).unwrap().group_port, None);
    }

    #[test]
    fn a_server_outside_a_group_makes_no_configuration() {
        let only_others = vec![row("0", "db2", "db1:33061")];
        for rows in [Rows::new(), only_others] {
            assert!(matches!(understand(&rows, None), Err(NotFound::NoGroup(_))));
        }
    }

    #[test]
    fn a_host_whose_own_name_means_loopback_is_found_by_the_others_network() {
        let all =
            [own("172.16.0.5", 24, "eth1"), own("10.77.0.11", 24, "eth0"), own("10.77.0.100", 32, "eth0")];
        let others = ["10.77.0.12".parse().unwrap()];
        assert_eq!(own_member(&all, None, &others).unwrap().0, "eth0");
        let named = Some("172.16.0.5".parse().unwrap());
        assert_eq!(own_member(&all, named, &others).unwrap().0, "eth1");
        assert!(own_member(&all[..1], None, &others).is_none());
    }

    #[test]
    fn the_gateway_is_the_default_route_of_the_members_interface() {
        let bytes = u32::from_ne_bytes([10, 77, 0, 254]);
        let table = format!(
            "Iface\tDestination\tGateway \tFlags\neth1\t00000000\t0100A8C0\t0003\neth0\t0000FEA9\t00000000\t0001\n\
             eth0\t00000000\t{bytes:08X}\t0003\n"
        );
        assert_eq!(default_gateway(&table, "eth0"), Some(Ipv4Addr::new(10, 77, 0, 254)));
        assert_eq!(default_gateway(&table, "eth2"), None);
    }

    #[test]
    fn members_of_ipv6_are_found_by_their_network_and_their_routers_route() {
        let all = [own("10.77.0.11", 24, "eth1"), own("fe80::11", 64, "eth0"), own("fd77::11", 64, "eth0")];
        let found = own_member(&all, None, &["fd77::12".parse().unwrap()]).unwrap();
        assert_eq!(found, own("fd77::11", 64, "eth0"));
        let none = "0".repeat(32);
        let table = format!(
            "fd770000000000000000000000000000 40 {none} 00 {none} 00000100 00000001 00000000 00000001     eth0\n\
             {none} 00 {none} 00 fd7700000000000000000000000000fe 00000400 00000001 00000000 00000003     eth0\n\
             {none} 00 {none} 00 {none} ffffffff 00000001 00000000 00200200       lo\n"
        );
        assert_eq!(default_gateway_v6(&table, "eth0"), Some("fd77::fe".parse().unwrap()));
        assert_eq!(default_gateway_v6(&table, "lo"), None);
    }
}
