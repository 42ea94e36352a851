//! An empty data directory with the lab's accounts and table, made once and copied: making one takes seconds.

use std::fs;
use std::path::Path;

use super::{AGENT_PASSWORD, AGENT_USER, CLIENT_PASSWORD, CLIENT_USER, GroupError};
use crate::host::Host;
use crate::namespace::Layout;

/// The account that a joining member fetches missing transactions with, and its password.
pub(super) const RECOVERY: (&str, &str) = ("recovery", "recovery-Secret1");

const FOLDER: &str = "template";

/// Runs `mysqld --initialize-insecure` with the accounts and the table. Nothing of it is in a binary log, so that the
/// copies are equal and the group starts without a transaction.
pub(super) fn make(layout: &Layout, host: &Host) -> Result<(), GroupError> {
    let statements = layout.data().join("template.sql");
    fs::write(&statements, accounts_and_table())
        .map_err(GroupError::io(format!("can't write {}", statements.display())))?;
    let output = host
        .command_in(&super::first_root(layout), "/usr/sbin/mysqld")
        .args(["--no-defaults", "--initialize-insecure", "--user=root", "--secure-file-priv=NULL"])
        .arg(format!("--datadir=/data/{FOLDER}"))
        .args(["--init-file=/data/template.sql", "--innodb-buffer-pool-size=64M", "--mysqlx=OFF"])
        .arg("--innodb-redo-log-capacity=64M")
        .output()
        .map_err(GroupError::io("can't run mysqld"))?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    Err(GroupError::NotInitialised { status: output.status, words: super::server::tail(&words) })
}

/// One statement a line, as an init file wants it.
fn accounts_and_table() -> String {
    let (recovery, recovery_password) = RECOVERY;
    [
        format!("CREATE USER '{recovery}'@'%' IDENTIFIED BY '{recovery_password}';"),
        format!("GRANT REPLICATION SLAVE, CONNECTION_ADMIN, BACKUP_ADMIN, GROUP_REPLICATION_STREAM ON *.* TO '{recovery}'@'%';"),
        format!("CREATE USER '{AGENT_USER}'@'%' IDENTIFIED BY '{AGENT_PASSWORD}';"),
        format!("GRANT SELECT ON performance_schema.* TO '{AGENT_USER}'@'%';"),
        format!("CREATE USER '{CLIENT_USER}'@'%' IDENTIFIED BY '{CLIENT_PASSWORD}';"),
        format!("GRANT SELECT, INSERT ON lab.* TO '{CLIENT_USER}'@'%';"),
        "CREATE DATABASE lab;".to_owned(),
        "CREATE TABLE lab.ledger (id BIGINT UNSIGNED PRIMARY KEY, note VARCHAR(200) NOT NULL, \
         inserted_at TIMESTAMP(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6));"
            .to_owned(),
        String::new(),
    ]
    .join("\n")
}

/// Gives a server its own copy, without the file that names the server: each must have a UUID of its own. What an earlier
/// life left there is removed.
pub(super) fn copy(layout: &Layout, to: &Path) -> Result<(), GroupError> {
    if to.exists() {
        fs::remove_dir_all(to).map_err(GroupError::io(format!("can't remove {}", to.display())))?;
    }
    copy_folder(&layout.data().join(FOLDER), to)?;
    let identity = to.join("auto.cnf");
    fs::remove_file(&identity).map_err(GroupError::io(format!("can't remove {}", identity.display())))
}

/// Gives the memory back that it takes.
pub(super) fn remove(layout: &Layout) -> Result<(), GroupError> {
    let folder = layout.data().join(FOLDER);
    fs::remove_dir_all(&folder).map_err(GroupError::io(format!("can't remove {}", folder.display())))
}

fn copy_folder(from: &Path, to: &Path) -> Result<(), GroupError> {
    fs::create_dir_all(to).map_err(GroupError::io(format!("can't make {}", to.display())))?;
    let entries = fs::read_dir(from).map_err(GroupError::io(format!("can't list {}", from.display())))?;
    for entry in entries.flatten() {
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind =
            entry.file_type().map_err(GroupError::io(format!("can't look at {}", source.display())))?;
        if kind.is_dir() {
            copy_folder(&source, &target)?;
        } else if kind.is_file() {
            fs::copy(&source, &target).map_err(GroupError::io(format!(
                "can't copy {} to {}",
                source.display(),
                target.display()
            )))?;
        }
    }
    Ok(())
}
