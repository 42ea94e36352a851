//! This host's kernel: what it lets the agent do, how it answers ARP, whether the interface works. Reads `/proc` and `/sys` below a
//! root, so that what is judged can be planted; asks nothing of the network.

use std::io;
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;

use linux::sock_diag::Diag;

use super::line::Line;

/// `IFF_UP` (netdevice(7)).
const UP: u32 = 0x1;

/// Capabilities by number (capabilities(7)), what they are for, and whether the agent works without.
const CAPABILITIES: [(u32, &str, &str, bool); 4] = [
    (12, "CAP_NET_ADMIN", "adds and removes the VIP, and ends its connections", true),
    (13, "CAP_NET_RAW", "speaks ARP", true),
    (2, "CAP_DAC_READ_SEARCH", "watches mysqld's error log", false),
    (19, "CAP_SYS_PTRACE", "notices the end of mysqld's process at once", false),
];

/// What of the capabilities is missing. `status`: the text of `/proc/PID/status`, the agent's where one runs.
pub(super) fn capabilities(status: &str, is_agent: bool) -> Vec<Line> {
    let name = "capabilities";
    let whose = if is_agent { "the agent" } else { "this process" };
    let value = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let Some(effective) = value.and_then(|text| u64::from_str_radix(text.trim(), 16).ok()) else {
        return vec![Line::not_looked_at(
            name,
            "/proc does not show them",
            "mount /proc without hidepid, or run as root",
        )];
    };
    let missing: Vec<_> = CAPABILITIES.iter().filter(|(number, ..)| effective >> number & 1 == 0).collect();
    if !is_agent && !missing.is_empty() {
        let why = "no agent's can be seen from here, and this command is not run as root";
        return vec![Line::not_looked_at(name, why, "run haipmgr check as root")];
    }
    let line = |(_, capability, does, needed): &&(u32, &str, &str, bool)| {
        let says = format!("{whose} lacks {capability}, by which it {does}");
        let mend = format!(
            "AmbientCapabilities={capability} in the unit, as the package's has it; then: systemctl restart haipmgr"
        );
        if *needed { Line::problem(name, says, mend) } else { Line::advice(name, says, mend) }
    };
    if missing.is_empty() {
        let all = CAPABILITIES.map(|(_, capability, ..)| capability).join(", ");
        return vec![Line::ok(name, format!("{whose} has {all}"))];
    }
    missing.iter().map(line).collect()
}

/// The interface is up, and has a carrier.
pub(super) fn interface(root: &Path, interface: &str) -> Line {
    let name = "interface";
    let read = |file: &str| std::fs::read_to_string(root.join(format!("sys/class/net/{interface}/{file}")));
    let Ok(flags) = read("flags") else {
        return Line::not_looked_at(name, format!("/sys shows no interface {interface}"), "ip link");
    };
    let flags = flags.trim().strip_prefix("0x").and_then(|digits| u32::from_str_radix(digits, 16).ok());
    if flags.is_some_and(|flags| flags & UP == 0) {
        return Line::problem(name, format!("{interface} is down"), format!("ip link set {interface} up"));
    }
    if read("carrier").is_ok_and(|text| text.trim() == "0") {
        return Line::problem(
            name,
            format!("{interface} has no carrier"),
            "look at the cable, the switch's port, the bond",
        );
    }
    Line::ok(name, format!("{interface} is up"))
}

/// One of `net.ipv4.conf`: of `all` and of the interface, as numbers.
fn conf(root: &Path, interface: &str, name: &str) -> (Option<u32>, Option<u32>) {
    let of = |of: &str| {
        let path = root.join(format!("proc/sys/net/ipv4/conf/{of}/{name}"));
        std::fs::read_to_string(path).ok()?.trim().parse().ok()
    };
    (of("all"), of(interface))
}

/// The larger of the two counts (Linux, ip-sysctl).
fn larger(root: &Path, interface: &str, name: &str) -> Option<u32> {
    let (all, own) = conf(root, interface, name);
    all.max(own)
}

/// What is set of ARP and of addresses. `gateway_is_here`: the default route leaves by this interface; `secondary`: the member's own
/// address is not the first of its network on the interface; `vip_has_network`: a VIP is written with another prefix length than its full one.
pub(super) fn settings(
    root: &Path,
    interface: &str,
    gateway_is_here: Option<bool>,
    secondary: bool,
    vip_has_network: bool,
) -> Vec<Line> {
    vec![
        arp_announce(root, interface),
        arp_filter(root, interface),
        proxy_arp(root, interface),
        promote_secondaries(root, interface, secondary, vip_has_network),
        rp_filter(root, interface, gateway_is_here),
    ]
}

fn arp_announce(root: &Path, interface: &str) -> Line {
    match larger(root, interface, "arp_announce") {
        None => Line::not_looked_at(
            "arp-announce",
            "/proc/sys does not show it",
            "sysctl net.ipv4.conf.all.arp_announce",
        ),
        // The VIP as sender of this host's questions is right for as long as it is here, and announced elsewhere afterwards.
        Some(value) => Line::ok("arp-announce", format!("arp_announce is {value}: any value does")),
    }
}

fn arp_filter(root: &Path, interface: &str) -> Line {
    let name = "arp-filter";
    if larger(root, interface, "arp_filter") == Some(1) {
        return Line::advice(
            name,
            format!(
                "arp_filter is on: ARP questions about the VIP are answered only where the way back leaves by {interface}"
            ),
            format!(
                "sysctl -w net.ipv4.conf.all.arp_filter=0 net.ipv4.conf.{interface}.arp_filter=0, and in /etc/sysctl.d"
            ),
        );
    }
    Line::ok(name, "arp_filter is off")
}

fn proxy_arp(root: &Path, interface: &str) -> Line {
    let name = "proxy-arp";
    let (all, own) = conf(root, interface, "proxy_arp");
    if all == Some(1) || own == Some(1) {
        return Line::problem(
            name,
            format!(
                "proxy_arp is on: this host may answer for the VIP though another has it, and the next primary then finds it taken ({interface})"
            ),
            format!(
                "sysctl -w net.ipv4.conf.all.proxy_arp=0 net.ipv4.conf.{interface}.proxy_arp=0, and in /etc/sysctl.d"
            ),
        );
    }
    Line::ok(name, "proxy_arp is off")
}

fn promote_secondaries(root: &Path, interface: &str, secondary: bool, vip_has_network: bool) -> Line {
    let name = "promote-secondaries";
    if secondary && larger(root, interface, "promote_secondaries") == Some(0) {
        return Line::advice(
            name,
            format!(
                "this member's own address is not the first of its network on {interface}: where the first is removed, the kernel removes it too, and this host is no member any more"
            ),
            format!("sysctl -w net.ipv4.conf.{interface}.promote_secondaries=1, and in /etc/sysctl.d"),
        );
    }
    let well = if vip_has_network {
        "this member's own address goes with no other"
    } else {
        "no address goes with another: the VIP has a prefix of its own"
    };
    Line::ok(name, well)
}

fn rp_filter(root: &Path, interface: &str, gateway_is_here: Option<bool>) -> Line {
    let name = "rp-filter";
    match (larger(root, interface, "rp_filter"), gateway_is_here) {
        (Some(1), Some(false)) => Line::advice(
            name,
            format!(
                "rp_filter is strict, and the default route does not leave by {interface}: clients of other networks that come in by {interface} are dropped"
            ),
            format!(
                "sysctl -w net.ipv4.conf.{interface}.rp_filter=2, and in /etc/sysctl.d; or a route for those clients by {interface}"
            ),
        ),
        (None, _) => {
            Line::not_looked_at(name, "/proc/sys does not show it", "sysctl net.ipv4.conf.all.rp_filter")
        }
        (Some(value), _) => {
            Line::ok(name, format!("rp_filter is {value}: the VIP's clients come back the way they came"))
        }
    }
}

/// Whether the kernel's table of routes (`/proc/net/route`) has its default route at this interface; none where there is no such route.
pub(super) fn default_route_is_at(root: &Path, interface: &str) -> Option<bool> {
    let table = std::fs::read_to_string(root.join("proc/net/route")).ok()?;
    let defaults: Vec<&str> = table
        .lines()
        .skip(1)
        .filter_map(|line| {
            let mut cells = line.split_whitespace();
            let (name, destination) = (cells.next()?, cells.next()?);
            (destination == "00000000").then_some(name)
        })
        .collect();
    if defaults.is_empty() { None } else { Some(defaults.contains(&interface)) }
}

/// Whether this kernel can end a connection (`SOCK_DESTROY`): tried on one that this process has with itself.
pub(super) fn sock_destroy() -> Line {
    let name = "sock-destroy";
    match try_destroy() {
        Ok(()) => Line::ok(name, "the kernel ends the VIP's connections when it leaves"),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            Line::not_looked_at(name, "it needs CAP_NET_ADMIN", "run haipmgr check as root")
        }
        Err(error) => Line::advice(
            name,
            format!(
                "the kernel can't end connections ({error}): clients of a VIP that left hang until their own time-out"
            ),
            "a kernel with CONFIG_INET_DIAG_DESTROY; modprobe tcp_diag",
        ),
    }
}

fn try_destroy() -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let ours = TcpStream::connect(listener.local_addr()?)?;
    let (local, client) = (ours.local_addr()?, ours.peer_addr()?);
    let other = io::Error::other::<linux::sock_diag::DiagError>;
    let mut diag = Diag::open().map_err(other)?;
    let all = diag.connections_of(IpAddr::V4(Ipv4Addr::LOCALHOST)).map_err(other)?;
    let found = all.iter().find(|one| one.local == local && one.client == client);
    let found =
        found.ok_or_else(|| io::Error::other("sock_diag does not show a connection that is there"))?;
    diag.destroy(found).map_err(|error| match error.to_string() {
        text if text.contains("EPERM") || text.contains("not permitted") => {
            io::ErrorKind::PermissionDenied.into()
        }
        _ => other(error),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::check::line::Level;

    fn root(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        root
    }

    const GOOD: [(&str, &str); 8] = [
        ("sys/class/net/eth0/flags", "0x1003\n"),
        ("sys/class/net/eth0/carrier", "1\n"),
        ("proc/sys/net/ipv4/conf/all/arp_announce", "0\n"),
        ("proc/sys/net/ipv4/conf/all/rp_filter", "0\n"),
        ("proc/sys/net/ipv4/conf/eth0/rp_filter", "2\n"),
        ("proc/sys/net/ipv4/conf/eth0/promote_secondaries", "0\n"),
        ("proc/sys/net/ipv4/conf/all/proxy_arp", "0\n"),
        ("proc/sys/net/ipv4/conf/eth0/arp_filter", "0\n"),
    ];

    fn with(change: (&str, &str), gateway_is_here: Option<bool>, secondary: bool) -> Vec<Line> {
        let root = root(&GOOD);
        let path = root.path().join(change.0);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, change.1).unwrap();
        let mut lines = settings(root.path(), "eth0", gateway_is_here, secondary, false);
        lines.push(interface(root.path(), "eth0"));
        lines.retain(|line| line.level != Level::Ok);
        lines
    }

    #[test]
    fn a_good_kernel_has_nothing_to_mend() {
        assert_eq!(with(GOOD[0], Some(true), false), []);
    }

    #[test]
    fn each_setting_that_hurts_is_found_by_name() {
        for (path, text, gateway_is_here, secondary, name, level) in [
            ("sys/class/net/eth0/flags", "0x1002\n", true, false, "interface", Level::Problem),
            ("sys/class/net/eth0/carrier", "0\n", true, false, "interface", Level::Problem),
            ("proc/sys/net/ipv4/conf/all/proxy_arp", "1\n", true, false, "proxy-arp", Level::Problem),
            ("proc/sys/net/ipv4/conf/eth0/proxy_arp", "1\n", true, false, "proxy-arp", Level::Problem),
            ("proc/sys/net/ipv4/conf/all/arp_filter", "1\n", true, false, "arp-filter", Level::Advice),
            ("proc/sys/net/ipv4/conf/eth0/rp_filter", "1\n", false, false, "rp-filter", Level::Advice),
            (
                "proc/sys/net/ipv4/conf/eth0/promote_secondaries",
                "0\n",
                true,
                true,
                "promote-secondaries",
                Level::Advice,
            ),
        ] {
            let found = with((path, text), Some(gateway_is_here), secondary);
            assert_eq!(found.len(), 1, "{path} {text}: {found:?}");
            assert_eq!((found[0].name, found[0].level), (name, level));
        }
        let strict = ("proc/sys/net/ipv4/conf/eth0/rp_filter", "1\n");
        assert_eq!(with(strict, Some(true), false), [], "the default route leaves by eth0");
        let promotes = ("proc/sys/net/ipv4/conf/all/promote_secondaries", "1\n");
        assert_eq!(with(promotes, Some(true), true), []);
    }

    #[test]
    fn what_the_kernel_does_not_show_is_not_well() {
        let nothing = root(&[]);
        let lines = settings(nothing.path(), "eth0", None, false, false);
        assert!(
            lines.iter().any(|line| line.name == "rp-filter" && line.level == Level::Advice),
            "{lines:?}"
        );
        assert_eq!(interface(nothing.path(), "eth0").level, Level::Advice);
    }

    #[test]
    fn each_missing_capability_of_the_agent_is_named() {
        assert_eq!(capabilities("CapEff:\t000001ffffffffff\n", true)[0].level, Level::Ok);
        for (number, capability, _, needed) in CAPABILITIES {
            let lines = capabilities(&format!("Name:\tx\nCapEff:\t{:016x}\n", !(1u64 << number)), true);
            assert_eq!(lines.len(), 1);
            assert_eq!(lines[0].level == Level::Problem, needed);
            assert!(lines[0].says.contains(capability), "{}", lines[0]);
        }
        assert!(capabilities("CapEff:\t0\n", false)[0].says.contains("not looked at"));
        assert!(capabilities("", true)[0].says.contains("not looked at"));
    }

    #[test]
    fn the_default_route_s_interface_is_found() {
        let table = "Iface\tDestination\tGateway\neth1\t00000000\t0100A8C0\neth0\t0000FEA9\t00000000\n";
        let root = root(&[("proc/net/route", table)]);
        assert_eq!(default_route_is_at(root.path(), "eth1"), Some(true));
        assert_eq!(default_route_is_at(root.path(), "eth0"), Some(false));
        assert_eq!(default_route_is_at(Path::new("/none"), "eth0"), None);
    }

    #[test]
    fn ending_a_connection_is_tried_or_said_not_to_be_looked_at() {
        let line = sock_destroy();
        assert!(
            line.level == Level::Ok || line.says.contains("not looked at") || line.says.contains("can't end"),
            "{line}"
        );
    }
}
