//! Configuration files in folders of their own, and what loading them says.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, dead_code, unreachable_pub, missing_docs)]

use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use haipmgr::config::{Cluster, Config, load};

/// A folder with a configuration file that only its owner can read.
pub struct Written {
    pub folder: tempfile::TempDir,
    pub file: PathBuf,
}

/// `FOLDER` in `text` becomes the folder that the file is in.
pub fn written(name: &str, text: &str) -> Written {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(name);
    std::fs::write(&file, text.replace("FOLDER", folder.path().to_str().unwrap())).unwrap();
    mode(&file, 0o600);
    Written { folder, file }
}

pub fn mode(file: &Path, mode: u32) {
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(mode)).unwrap();
}

pub fn loaded(name: &str, text: &str) -> (Written, Config) {
    let written = written(name, text);
    let config = load(&written.file).unwrap_or_else(|problems| panic!("{problems}"));
    (written, config)
}

pub fn only(config: &Config) -> &Cluster {
    assert_eq!(config.clusters.len(), 1);
    config.clusters.first().unwrap()
}

/// Each problem as `line:column: text`; those of the whole file as the text alone.
pub fn refused(name: &str, text: &str) -> Vec<String> {
    let written = written(name, text);
    let problems = load(&written.file).expect_err("is refused");
    let prefix = format!("{}:", written.file.display());
    problems
        .to_string()
        .lines()
        .map(|line| line.strip_prefix(&prefix).unwrap_or(line).trim().to_owned())
        .collect()
}

pub const TOML: &str = r#"
[[cluster]]
name          = "orders"
vip           = "10.77.0.100/32"
gateway       = "10.77.0.254"
mysql_port    = 3306
group_port    = 33061
user          = "haip"
password      = "KRj$r748Lf"
sleeptime     = "7s"
install_path  = "FOLDER/"
[cluster.members]
"10.77.0.11" = "eth0"
"10.77.0.12" = "eth0"
"10.77.0.13" = "eth0"
"#;

/// As section 2 of the Python program's manual has it, but for the folder.
pub const PARAMETER_PY: &str = r#"par_var = {"vip":"192.168.250.39","cluser_ip":{"192.168.250.33":"bond0","192.168.250.37":"bond0","192.168.250.38":"bond0"},\
            "ip_gateway":"192.168.250.254","mysql_port":"4790","inter_port":"14790","passwd":"KRj$r748Lf","user":"haip_user",\
           "platfrom":"linux","sleeptime":7,"install_path":"FOLDER/"}
"#;

pub fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}
