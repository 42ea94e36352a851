//! The files that `haipmgr init` writes: configuration, password, SQL.

use std::fs::{File, Permissions};
use std::io::{self, Read as _, Write as _};
use std::net::Ipv4Addr;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use core::fmt::Write as _;

use super::Wishes;
use super::found::Found;
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
pub(super) fn configuration(found: &Found, vip: Ipv4Addr, user: &str, wishes: &Wishes) -> String {
    let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
    let mut text = format!(
        "# haipmgr: the same file on every host of the group. Made by haipmgr init on {own}.
# Every key: man haipmgr.toml. After a change: haipmgr check --config FILE

[[cluster]]
# The address that clients connect to. No host has it as its own.
vip           = \"{vip}\"
# The router, found in this host's default route. A host that can't reach it does not hold the VIP.
gateway       = \"{gateway}\"
mysql_port    = {port}
",
        own = found.own,
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
