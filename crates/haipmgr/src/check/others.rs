//! Who else might move the VIP on this host: keepalived and its like, the legacy Python program, a network configuration that names it.
//! Reads `/proc` and `/etc` below a root.

use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::line::Line;
use crate::observe::foreign_files;

/// Longest file that is read, in bytes.
const LONGEST: u64 = 256 << 10;
/// So many files of a folder are looked at.
const MOST_FILES: usize = 200;
/// Programs that move addresses, by their process's name.
const MOVERS: [&str; 9] = [
    "keepalived",
    "vip-manager",
    "ucarp",
    "vrrpd",
    "corosync",
    "pacemakerd",
    "heartbeat",
    "wackamole",
    "uvip",
];
/// Where an address might be written: files, or folders of files.
const PLACES: [&str; 16] = [
    "etc/keepalived",
    "etc/vip-manager.yml",
    "etc/default/vip-manager",
    "etc/ucarp",
    "etc/ha.d",
    "etc/corosync",
    "var/lib/pacemaker/cib/cib.xml",
    "etc/network/interfaces",
    "etc/network/interfaces.d",
    "etc/netplan",
    "etc/systemd/network",
    "etc/NetworkManager/system-connections",
    "etc/sysconfig/network-scripts",
    "etc/rc.local",
    "etc/crontab",
    "etc/cron.d",
];

/// Programs beside the agent, and files that name a VIP. `legacy_lock`: the Python program's.
pub(super) fn lines(root: &Path, vips: &[IpAddr], legacy_lock: &Path, agent: Option<i32>) -> Vec<Line> {
    let mut lines = Vec::new();
    let named: Vec<(PathBuf, IpAddr)> = PLACES
        .iter()
        .flat_map(|place| files_at(&root.join(place)))
        .filter_map(|file| Some((foreign_files::read(&file, LONGEST)?, file)))
        .filter_map(|(text, file)| Some((file, *vips.iter().find(|vip| names(&text, **vip))?)))
        .collect();
    for (file, vip) in &named {
        let shown = file.strip_prefix(root).unwrap_or(file).display();
        lines.push(Line::problem(
            "vip-elsewhere",
            format!("/{shown} names the VIP {vip}: somebody else may put it on this host"),
            format!("take {vip} out of /{shown}; only haipmgr may add it"),
        ));
    }
    let movers = processes(root).filter(|(_, name)| MOVERS.contains(&name.as_str()));
    lines.extend(movers.map(|(pid, name)| {
        Line::advice(
            "other-mover",
            format!("{name} (process {pid}) runs beside haipmgr; it must not have a VIP of haipmgr's"),
            format!("where it moved the VIP until now: systemctl disable --now {name}"),
        )
    }));
    lines.extend(legacy(root, legacy_lock, agent));
    if lines.is_empty() {
        lines.push(Line::ok("vip-elsewhere", "no other program and no configuration file here names a VIP"));
    }
    lines
}

/// The Python program holds its lock for as long as it runs (S4).
fn legacy(root: &Path, lock: &Path, agent: Option<i32>) -> Option<Line> {
    let about = fs::metadata(lock).ok()?;
    let locks = fs::read_to_string(root.join("proc/locks")).ok()?;
    let pid = locks.lines().find_map(|line| holder_in(line, about.ino()))?;
    if agent == Some(pid) {
        return None;
    }
    let name = fs::read_to_string(root.join(format!("proc/{pid}/comm"))).ok()?;
    name.starts_with("python").then(|| {
        Line::advice(
            "legacy-program",
            format!("the Python program runs here (process {pid}, {})", lock.display()),
            format!("kill {pid} (the VIP stays), then: systemctl start haipmgr"),
        )
    })
}

/// A line of `/proc/locks`: `1: POSIX ADVISORY WRITE 4711 08:01:12345 0 EOF`.
fn holder_in(line: &str, inode: u64) -> Option<i32> {
    let mut cells = line.split_whitespace().skip(4);
    let (pid, file) = (cells.next()?, cells.next()?);
    (file.rsplit(':').next()?.parse() == Ok(inode)).then(|| pid.parse().ok()).flatten()
}

fn processes(root: &Path) -> impl Iterator<Item = (i32, String)> {
    let own = fs::read_link(root.join("proc/self/ns/net")).ok();
    let root = root.to_owned();
    fs::read_dir(root.join("proc")).into_iter().flatten().flatten().filter_map(move |entry| {
        let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
        let name = fs::read_to_string(entry.path().join("comm")).ok()?;
        // A container's, with a network of its own, moves nothing here.
        let elsewhere =
            fs::read_link(entry.path().join("ns/net")).is_ok_and(|network| own.as_ref() != Some(&network));
        (!elsewhere).then(|| (pid, name.trim_end().to_owned()))
    })
}

/// Whether a line that is no comment has this address as a whole word.
fn names(text: &str, vip: IpAddr) -> bool {
    let vip = vip.to_string();
    let lines = text.lines().map(str::trim_start).filter(|line| !line.starts_with(['#', ';', '!']));
    let mut words =
        lines.flat_map(|line| line.split(|c: char| !(c.is_ascii_hexdigit() || c == '.' || c == ':')));
    words.any(|word| word.trim_matches(':') == vip || word == vip)
}

fn files_at(path: &Path) -> Vec<PathBuf> {
    if !path.is_dir() {
        return vec![path.to_owned()];
    }
    foreign_files::files_in(path, MOST_FILES)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::check::line::Level;

    const VIP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 77, 0, 100));

    fn with(files: &[(&str, &str)]) -> Vec<Line> {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        lines(root.path(), &[VIP], Path::new("/none"), None)
    }

    #[test]
    fn a_file_that_names_the_vip_is_found() {
        for (path, text) in [
            ("etc/keepalived/keepalived.conf", "virtual_ipaddress {\n 10.77.0.100/24 dev eth0\n}\n"),
            ("etc/network/interfaces", "iface eth0:1 inet static\n address 10.77.0.100\n"),
            ("etc/netplan/50.yaml", "addresses: [10.77.0.11/24, 10.77.0.100/24]\n"),
            ("etc/systemd/network/eth0.network", "[Network]\nAddress=10.77.0.100/24\n"),
            ("etc/vip-manager.yml", "ip: 10.77.0.100\n"),
            ("etc/sysconfig/network-scripts/ifcfg-eth0", "IPADDR1=\"10.77.0.100\"\n"),
            ("etc/rc.local", "ip a add 10.77.0.100/32 dev eth0\n"),
        ] {
            let lines = with(&[(path, text)]);
            assert_eq!(
                (lines.len(), lines[0].name, lines[0].level),
                (1, "vip-elsewhere", Level::Problem),
                "{path}"
            );
            assert!(lines[0].says.contains(&format!("/{path}")), "{}", lines[0]);
        }
    }

    #[test]
    fn comments_and_addresses_that_only_look_alike_are_left_alone() {
        let text = "# address 10.77.0.100\n  ; 10.77.0.100\naddress 10.77.0.10\naddress 110.77.0.100\naddress 10.77.0.1001\n";
        let lines = with(&[("etc/network/interfaces", text)]);
        assert_eq!((lines.len(), lines[0].level), (1, Level::Ok), "{lines:?}");
    }

    #[test]
    fn a_program_that_moves_addresses_is_named() {
        for name in ["keepalived", "vip-manager"] {
            let lines = with(&[("proc/4711/comm", &format!("{name}\n")), ("proc/4712/comm", "mysqld\n")]);
            assert_eq!((lines.len(), lines[0].name), (1, "other-mover"));
            assert!(lines[0].says.contains(&format!("{name} (process 4711)")));
        }
    }

    #[test]
    fn the_python_program_is_found_by_its_lock() {
        let root = tempfile::tempdir().unwrap();
        let lock = root.path().join("HAIPMGRdb1.lock");
        fs::write(&lock, "").unwrap();
        let inode = fs::metadata(&lock).unwrap().ino();
        fs::create_dir_all(root.path().join("proc/4711")).unwrap();
        fs::write(root.path().join("proc/4711/comm"), "python3\n").unwrap();
        let locks = format!(
            "1: FLOCK  ADVISORY  WRITE 99 08:01:7 0 EOF\n2: POSIX  ADVISORY  WRITE 4711 08:01:{inode} 0 EOF\n"
        );
        fs::write(root.path().join("proc/locks"), locks).unwrap();
        let found = lines(root.path(), &[VIP], &lock, None);
        assert_eq!((found[0].name, found[0].level), ("legacy-program", Level::Advice));
        assert_eq!(
            lines(root.path(), &[VIP], &lock, Some(4711))[0].name,
            "vip-elsewhere",
            "it is haipmgr itself"
        );
    }
}
