//! A root folder with a `mysqld` in it: the machine's own, or one unpacked privately into a cache.

mod apt;
mod sources;

use std::path::{Path, PathBuf};
use std::process::Command;

pub(crate) use self::apt::Package;
use self::apt::Wanted;

/// What is unpacked. `nftables` cuts ports off; `iproute2` is for whoever enters a host and looks around; `keepalived` and
/// `vip-manager2` are measured beside haipmgr, and `dash` runs the check script; `haproxy` and `mysql-router` stand before the group on
/// the client's host.
const PACKAGES: [&str; 9] = [
    "mysql-server-core",
    "mysql-client-core",
    "nftables",
    "iproute2",
    "keepalived",
    "vip-manager2",
    "dash",
    "haproxy",
    "mysql-router",
];

const MYSQL: Wanted = Wanted {
    name: "MySQL",
    packages: &PACKAGES,
    is_complete: has_server,
    lacks: "this machine has no mysqld 8.0 or later with group_replication.so",
    advice: "Install MySQL's server (it need not be started), then start again",
};

/// A browser without a screen, and letters for it to write with.
const BROWSER: Wanted = Wanted {
    name: "Chromium",
    packages: &["chromium-headless-shell", "fonts-dejavu-core"],
    is_complete: has_browser,
    lacks: "this machine's cache has no Chromium to look at the page with",
    advice: "The page is looked at on Debian only",
};
/// Where it is in its root.
pub(crate) const BROWSER_PROGRAM: &str = "/usr/lib/chromium/chromium-headless-shell";

/// Points to a root that is to be used as it is, for development.
const ROOT_VARIABLE: &str = "HAIPMGR_LAB_MYSQL_ROOT";
/// Points to the cache folder.
const CACHE_VARIABLE: &str = "HAIPMGR_LAB_CACHE";

/// Where promtool is unpacked, in the cache.
const PROMTOOL_ROOT: &str = "root-prometheus";

/// Why there is no MySQL to run.
#[derive(Debug, thiserror::Error)]
pub enum ProvisionError {
    /// The given root has no server.
    #[error("there is no usr/sbin/mysqld with group_replication.so in {} (named on the command line or by {ROOT_VARIABLE})", root.display())]
    NotARoot {
        /// The folder.
        root: PathBuf,
    },
    /// No folder for the cache.
    #[error("there is no home folder to keep MySQL in. Set {CACHE_VARIABLE} to a folder with 1 GB of room")]
    NoCacheFolder,
    /// No package tools.
    #[error("{lacks}, and no {tool} to unpack one with. {advice}")]
    NoTools {
        /// The program that is missing.
        tool: &'static str,
        /// What was to be unpacked.
        lacks: &'static str,
        /// What to do instead.
        advice: &'static str,
    },
    /// No mirror to take the packages from.
    #[error("{lacks}, and its package sources name no Debian archive to unpack one from ({cause}). {advice}")]
    NoMirror {
        /// What was looked for.
        cause: String,
        /// What was to be unpacked.
        lacks: &'static str,
        /// What to do instead.
        advice: &'static str,
    },
    /// The package tools failed.
    #[error("{step} failed with {status}:\n{words}{advice}")]
    Tool {
        /// What was being done.
        step: &'static str,
        /// Its exit status.
        status: std::process::ExitStatus,
        /// Its last words.
        words: String,
        /// What to do.
        advice: String,
    },
    /// A file or process operation failed.
    #[error("{what}: {cause}")]
    Io {
        /// What was being done, to which file.
        what: String,
        /// The system's answer.
        cause: std::io::Error,
    },
}

impl ProvisionError {
    fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |cause| Self::Io { what, cause }
    }
}

/// Finds a root with a usable `mysqld`, or unpacks one. Once unpacked it is found again at once.
pub fn provision() -> Result<PathBuf, ProvisionError> {
    if let Some(root) = std::env::var_os(ROOT_VARIABLE) {
        return given(Path::new(&root));
    }
    let machine = Path::new("/");
    if has_server(machine) && machine.join("usr/sbin/nft").exists() && is_recent("/usr/sbin/mysqld") {
        return Ok(machine.to_owned());
    }
    let cache = cache_folder()?;
    let root = cache.join(format!("root-{}", fingerprint()));
    if !has_server(&root) {
        // Not through the bar, which says nothing where there is no terminal.
        eprintln!(
            "No MySQL server with Group Replication on this machine: unpacking one into {} (once).",
            cache.display()
        );
        apt::unpack(&cache, &root, &MYSQL)?;
    }
    Ok(root)
}

/// A root with a browser in it, unpacked into the cache once.
pub fn browser() -> Result<PathBuf, ProvisionError> {
    let cache = cache_folder()?;
    let root = cache.join(format!("root-{}", BROWSER.packages.join("+")));
    if !has_browser(&root) {
        eprintln!("Unpacking Chromium into {} (once).", cache.display());
        apt::unpack(&cache, &root, &BROWSER)?;
    }
    Ok(root)
}

/// Unpacks a client library's Debian packages, with all they need, into a new folder, and says which those are.
pub(crate) fn client_library(
    root: &Path,
    name: &'static str,
    packages: &[&str],
) -> Result<Vec<Package>, ProvisionError> {
    let wanted = Wanted {
        name,
        packages,
        is_complete: Path::is_dir,
        lacks: "this machine's cache has no such client library",
        advice: "It is measured on Debian only",
    };
    apt::unpack(root.parent().unwrap_or(root), root, &wanted)
}

/// The root with Prometheus's `promtool` in it: the machine's own, or one in the cache. None: [`promtool`] has not been called.
pub(crate) fn promtool_root() -> Option<PathBuf> {
    let cached = cache_folder().map(|cache| cache.join(PROMTOOL_ROOT)).ok();
    [Some(PathBuf::from("/")), cached].into_iter().flatten().find(|root| has_promtool(root))
}

/// Unpacks Debian's `prometheus` for its `promtool`, where the machine has none and it is not in the cache yet.
///
/// # Errors
/// It can't be downloaded or unpacked.
pub fn promtool() -> Result<(), ProvisionError> {
    if promtool_root().is_some() {
        return Ok(());
    }
    let cache = cache_folder()?;
    eprintln!("No promtool on this machine: unpacking Debian's prometheus into {} (once).", cache.display());
    let wanted = Wanted {
        name: "promtool",
        packages: &["prometheus"],
        is_complete: has_promtool,
        lacks: "this machine has no promtool",
        advice: "apt-get install prometheus (it need not be started), then start again",
    };
    apt::unpack(&cache, &cache.join(PROMTOOL_ROOT), &wanted).map(drop)
}

fn has_promtool(root: &Path) -> bool {
    root.join("usr/bin/promtool").is_file()
}

/// A root that was named, if there is a usable `mysqld` in it.
pub fn given(root: &Path) -> Result<PathBuf, ProvisionError> {
    let root = root.canonicalize().unwrap_or_else(|_| root.to_owned());
    if has_server(&root) { Ok(root) } else { Err(ProvisionError::NotARoot { root }) }
}

/// Whether the server and the plugin are there. Where the plugin is differs between distributions.
fn has_server(root: &Path) -> bool {
    let plugins = ["usr/lib/mysql/plugin", "usr/lib64/mysql/plugin", "usr/lib/x86_64-linux-gnu/mysql/plugin"];
    root.join("usr/sbin/mysqld").exists()
        && plugins.iter().any(|folder| root.join(folder).join("group_replication.so").exists())
}

fn has_browser(root: &Path) -> bool {
    root.join(BROWSER_PROGRAM.trim_start_matches('/')).is_file()
}

/// Whether it is MySQL 8.0 or later (and not MariaDB, whose server answers to the same name).
fn is_recent(mysqld: &str) -> bool {
    Command::new(mysqld)
        .args(["--no-defaults", "--version"])
        .output()
        .is_ok_and(|output| version_is_recent(&String::from_utf8_lossy(&output.stdout)))
}

/// `line` is like `/usr/sbin/mysqld  Ver 9.7.4 for Linux on x86_64 (…)`.
fn version_is_recent(line: &str) -> bool {
    let version = line.split_whitespace().skip_while(|word| *word != "Ver").nth(1).unwrap_or_default();
    let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    !line.contains("MariaDB") && major.is_some_and(|major| major >= 8)
}

/// A list with other packages gives another folder, so that an old cache is never taken for a new one.
fn fingerprint() -> String {
    PACKAGES.join("+")
}

pub(crate) fn cache_folder() -> Result<PathBuf, ProvisionError> {
    let under = |variable: &str, rest: &str| {
        std::env::var_os(variable).filter(|value| !value.is_empty()).map(|value| Path::new(&value).join(rest))
    };
    under(CACHE_VARIABLE, "")
        .or_else(|| under("XDG_CACHE_HOME", "haipmgr-lab"))
        .or_else(|| under("HOME", ".cache/haipmgr-lab"))
        .ok_or(ProvisionError::NoCacheFolder)
}

#[cfg(test)]
mod tests {
    use super::version_is_recent;

    #[test]
    fn mysql_8_and_later_are_taken_and_others_are_not() {
        assert!(version_is_recent("/usr/sbin/mysqld  Ver 9.7.4 for Linux on x86_64 ((Debian))"));
        assert!(version_is_recent("mysqld  Ver 8.0.44-0ubuntu0.22.04.1 for Linux on x86_64 ((Ubuntu))"));
        assert!(!version_is_recent("mysqld  Ver 5.7.44 for Linux on x86_64"));
        assert!(!version_is_recent("mysqld  Ver 10.11.6-MariaDB-0+deb12u1 for debian-linux-gnu"));
        assert!(!version_is_recent(""));
    }
}
