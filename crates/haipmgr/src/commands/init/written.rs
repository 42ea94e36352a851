//! The files that `haipmgr init` writes: configuration, password, SQL.

use std::fs::{File, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use core::fmt::Write as _;

use super::found::Found;
use super::{Vip, Wishes};
use crate::config::Password;
use crate::server_access::account::{PASSWORD_PLACE, whole_sql};

/// A new password: so many of 32 letters and digits that are not taken for others, 120 bits; and an end that pleases `validate_password`.
const LENGTH: usize = 24;
const END: &str = "-A1";
const KINDS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";

/// A file can't be written.
#[derive(Debug, thiserror::Error)]
#[error("{}: {cause}; run haipmgr init as root, or name another file (--output, --password-file)", file.display())]
pub(in crate::commands) struct NotWritten {
    file: PathBuf,
    #[source]
    cause: io::Error,
}

/// Writes a new file; its group is its folder's, which with the package is the agent's. Nobody sees it half written, or with another
/// mode.
pub(super) fn file(path: &Path, text: &str, mode: u32) -> Result<(), NotWritten> {
    let write = || {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let part = path.with_extension("part");
        let _ = std::fs::remove_file(&part);
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(&part)?;
        file.write_all(text.as_bytes())?;
        // Not root: then it is the agent's own user who writes here.
        let _ = fchown(&file, None, Some(folder.metadata()?.gid()));
        file.set_permissions(Permissions::from_mode(mode))?;
        file.sync_all()?;
        std::fs::rename(&part, path)
    };
    write().map_err(|cause| NotWritten { file: path.to_owned(), cause })
}

/// The SQL that makes the account, with its password.
pub(super) fn account(path: &Path, user: &str, password: &Password) -> Result<(), NotWritten> {
    let quoted = password.reveal().replace('\\', "\\\\").replace('\'', "''");
    let text = format!(
        "-- The account of haipmgr, with its password: for root alone. Run it once, on the primary.\n{}",
        whole_sql(user).replace(PASSWORD_PLACE, &quoted),
    );
    file(path, &text, 0o600)
}

/// From the kernel's own source of randomness.
pub(super) fn new_password() -> Result<Password, NotWritten> {
    let source = Path::new("/dev/urandom");
    let mut bytes = [0; LENGTH];
    File::open(source)
        .and_then(|mut file| file.read_exact(&mut bytes))
        .map_err(|cause| NotWritten { file: source.to_owned(), cause })?;
    let letters = bytes.iter().map(|byte| char::from(KINDS[usize::from(*byte) % KINDS.len()]));
    Ok(Password::new(letters.chain(END.chars()).collect::<String>()))
}

/// What stands at its end.
const READERS: &str = "
# Addresses for reading, each on a secondary that is fit: as many as there are secondaries (man haipmgr.toml; docs/readers.md).
# [[cluster.vips]]
# address = \"ANOTHER FREE ADDRESS\"
# role    = \"reader\"
";

/// The configuration, with comments.
pub(super) fn configuration(found: &Found, vip: Vip, user: &str, wishes: &Wishes) -> String {
    let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
    let name = wishes.name.clone().unwrap_or_else(|| vip.address.to_string());
    let mut text = format!(
        "# haipmgr: the same file on every host of the group. Made by haipmgr init on {own}.
# Every key: man haipmgr.toml. After a change: haipmgr check --config FILE

[[cluster]]
# What it is called in logs, metrics and commands: a name that you would say aloud. No other cluster of yours may have the same.
name          = {name}
# The address that clients connect to. No host has it as its own.
vip           = \"{vip}\"
# The router, found in this host's default route. A host that can't reach it does not hold the VIP.
gateway       = \"{gateway}\"
mysql_port    = {port}
",
        own = found.own,
        name = quoted(&name),
        gateway = found.gateway,
        port = found.mysql_port,
    );
    let _never_fails = match found.group_port {
        Some(port) => {
            writeln!(
                text,
                "# Group Replication's own port (group_replication_local_address).\ngroup_port    = {port}"
            )
        }
        None => {
            writeln!(text, "# No group_port: the communication stack is MYSQL, which has no port of its own.")
        }
    };
    if let Some(socket) = &wishes.socket {
        let _never_fails = writeln!(text, "socket        = {}", quoted(&socket.to_string_lossy()));
    }
    let _never_fails = write!(
        text,
        "# The account; haipmgr sql --config FILE prints its SQL. The password is the only line of its file.
user          = {user}
password_file = {password}
# HAIPMGR_{port}.log and stat_{port} go here.
install_path  = \"/var/lib/haipmgr/\"

# Each member's address, and the interface that has it. Found on this host; look at the others: ip -br address
[cluster.members]
",
        user = quoted(user),
        password = quoted(&wishes.password_file.to_string_lossy()),
        port = found.mysql_port,
    );
    for member in &found.members {
        let _never_fails = writeln!(text, "\"{member}\" = {}", quoted(&found.interface));
    }
    text.push_str(READERS);
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use clap::{Args as _, FromArgMatches as _};

    use super::*;
    use crate::config;

    /// What comes of it is read as `haipmgr run` reads it.
    fn read(vip: &str, members: &[&str], words: &[&str]) -> config::Config {
        let folder = tempfile::tempdir().unwrap();
        let password = folder.path().join("password");
        file(&password, "secret\n", 0o600).unwrap();
        let command = Wishes::augment_args(clap::Command::new("init").no_binary_name(true));
        let all = [&["--password-file", password.to_str().unwrap()], words].concat();
        let wishes = Wishes::from_arg_matches(&command.try_get_matches_from(all).unwrap()).unwrap();
        let members: Vec<std::net::IpAddr> = members.iter().map(|member| member.parse().unwrap()).collect();
        let found = Found {
            own: members[0],
            members,
            interface: "eth0".to_owned(),
            gateway: "10.77.0.254".parse().unwrap(),
            mysql_port: 3306,
            group_port: None,
        };
        let path = folder.path().join("haipmgr.toml");
        let text = configuration(&found, vip.parse().unwrap(), "haip", &wishes);
        let here = format!("{}/", folder.path().display());
        std::fs::write(&path, text.replace("/var/lib/haipmgr/", &here)).unwrap();
        config::load(&path).unwrap()
    }

    #[test]
    fn a_vip_of_either_family_and_with_a_prefix_length_is_read_as_it_was_said() {
        for (vip, members) in [
            ("10.77.0.100", ["10.77.0.11", "10.77.0.12"]),
            ("10.77.0.100/24", ["10.77.0.11", "10.77.0.12"]),
            ("fd77::100", ["10.77.0.11", "10.77.0.12"]),
            ("fd77::100/64", ["fd77::11", "fd77::12"]),
        ] {
            let config = read(vip, &members, &[]);
            let cluster = config.clusters.first().unwrap();
            let first = cluster.policy.vips.values().next().unwrap();
            let said: Vip = vip.parse().unwrap();
            assert_eq!((first.address, first.prefix), (said.address, said.prefix), "{vip}");
            assert_eq!(cluster.name, said.address.to_string());
            assert_eq!(cluster.policy.group.members.len(), 2);
        }
    }

    #[test]
    fn a_cluster_is_called_as_it_was_said() {
        let config = read("10.77.0.100", &["10.77.0.11"], &["--name", "the \"orders\""]);
        assert_eq!(config.clusters.first().unwrap().name, "the \"orders\"");
    }
}
