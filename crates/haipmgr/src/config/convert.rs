//! `parameter.py` → TOML with comments.

use core::fmt::Write as _;
use std::path::Path;

use super::Source;
use super::draft::Draft;
use super::duration;
use super::load::{Loaded, read};
use super::problem::Problems;

/// The TOML that says what this `parameter.py` says. Whether its folders and files are there is not looked at: the
/// host that converts need not be the one that runs.
///
/// # Errors
/// All that is wrong with the file.
pub fn convert(path: &Path) -> Result<String, Problems> {
    let (loaded, problems) = read(path)?;
    if loaded.source == Source::Toml {
        return Err(Problems::of_file(path, "this is not a parameter.py: its name must end in \".py\""));
    }
    text_of(path, &loaded, problems)
}

pub(super) fn text_of(path: &Path, loaded: &Loaded, problems: Problems) -> Result<String, Problems> {
    let text = loaded.drafts.first().map(|draft| print(path, draft)).unwrap_or_default();
    problems.or(text)
}

fn print(path: &Path, draft: &Draft) -> String {
    let quoted = |text: String| toml::Value::String(text).to_string();
    let address =
        |address: Option<_>| quoted(address.map(|ip: std::net::IpAddr| ip.to_string()).unwrap_or_default());
    let port = |port: Option<u16>| port.unwrap_or_default();
    let name =
        path.file_name().map(|name| name.to_string_lossy().escape_debug().to_string()).unwrap_or_default();
    let mysql_port = port(draft.mysql_port);
    let mut members = String::new();
    for (member, interface) in &draft.group.members {
        let _never_fails =
            writeln!(members, "{} = {}", quoted(member.to_string()), quoted(interface.clone()));
    }
    format!(
        "# haipmgr: made from {name}. docs/configuration.md explains every key.
# The password is in it, so keep others from reading it: chmod 600 FILE
# Before the agent starts with this file, stop the Python program: a plain kill leaves the VIP as it is.

# What differs from running {name} itself:
# - the lock file is /run/haipmgr/haipmgr.lock; the old one is: lock = {lock} (above [[cluster]])
# - the VIP has a lease that only a working agent renews; without it: lease = \"off\"
# - the VIP of a dead server stays for a time, so that clients are refused at once (linger); without it: linger = \"0s\"

[[cluster]]
# What the log calls it; a name such as \"orders\" reads better.
name         = {called}
vip          = {vip}
# ip_gateway
gateway      = {gateway}
mysql_port   = {mysql_port}
{group_port}user         = {user}
# passwd. Safer in a file of its own: write it to /etc/haipmgr/{mysql_port}.password (mode 600), and here instead of this line
# password_file = \"/etc/haipmgr/{mysql_port}.password\"
password     = {password}
# Everything is checked again at least this often; stat_{mysql_port} goes back to 1 after 20 of them.
sleeptime    = {sleeptime}
# HAIPMGR_{mysql_port}.log and stat_{mysql_port} go here.
install_path = {install_path}

# cluser_ip: each member's address and interface
[cluster.members]
{members}",
        lock = quoted(super::legacy_lock().display().to_string()),
        called = quoted(draft.called()),
        vip = quoted(format!("{}/{}", draft.limits.address, draft.limits.prefix_length())),
        gateway = address(draft.gateway),
        group_port = draft
            .group_port
            .map_or_else(String::new, |port| format!("# inter_port\ngroup_port   = {port}\n")),
        user = quoted(draft.user.clone().unwrap_or_default()),
        password = quoted(draft.password.as_ref().map(|password| password.to_string()).unwrap_or_default()),
        sleeptime = quoted(duration::format(draft.group.sleeptime)),
        install_path = quoted(draft.install_path.as_ref().map(|path| path.display().to_string()).unwrap_or_default()),
    )
}
