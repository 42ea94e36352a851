//! The libraries: which, in which version, and how they are installed beside the cached MySQL.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::ClientsError;
use crate::provision;

/// One way of using a library.
#[derive(Clone, Copy, Debug)]
pub(super) struct Library {
    /// What its script knows it by.
    pub(super) name: &'static str,
    pub(super) language: Language,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Language {
    Python,
    Node,
}

const fn python(name: &'static str) -> Library {
    Library { name, language: Language::Python }
}

const fn node(name: &'static str) -> Library {
    Library { name, language: Language::Node }
}

pub(super) const LIBRARIES: [Library; 13] = [
    python("PyMySQL"),
    python("mysqlclient"),
    python("mysql-connector-python"),
    python("mysql-connector-python, ssl_disabled"),
    python("mysql-connector-python, pool"),
    python("SQLAlchemy"),
    python("SQLAlchemy, pool_pre_ping"),
    python("aiomysql, pool"),
    python("asyncmy, pool"),
    node("mysql2"),
    node("mysql2, pool"),
    node("mariadb"),
    node("mariadb, pool"),
];

const PYTHON: [&str; 6] = [
    "PyMySQL==1.2.4",
    "mysql-connector-python==26.10.0",
    "SQLAlchemy==2.1.9",
    "aiomysql==0.3.2",
    "asyncmy==0.2.18",
    "cryptography==50.0.2",
];
/// Is built from source, which needs the headers of MySQL's or MariaDB's C library.
const BUILT: &str = "mysqlclient==2.3.2";
const NODE: [&str; 2] = ["mysql2@3.24.6", "mariadb@3.5.4"];

/// Where the libraries and the scripts are.
#[derive(Clone, Debug)]
pub(super) struct Installed {
    folder: PathBuf,
}

impl Installed {
    /// The program that takes a library through a move.
    pub(super) fn command(&self, library: Library) -> Command {
        let (program, variable, libraries, script) = match library.language {
            Language::Python => ("python3", "PYTHONPATH", "python", "probe.py"),
            Language::Node => ("node", "NODE_PATH", "node/node_modules", "probe.js"),
        };
        let mut command = Command::new(program);
        command.env(variable, self.folder.join(libraries)).arg(self.folder.join(script)).arg(library.name);
        command
    }

    /// Whether it is there: mysqlclient can't be built everywhere.
    pub(super) fn has(&self, library: Library) -> bool {
        library.name != "mysqlclient" || self.folder.join("python/MySQLdb").is_dir()
    }

    /// In words, for the table's caption.
    pub(super) fn versions(&self) -> String {
        let built = self.has(python("mysqlclient")).then_some(BUILT);
        let all: Vec<String> = PYTHON
            .into_iter()
            .chain(built)
            .chain(NODE)
            .map(|pin| pin.replace("==", " ").replace('@', " "))
            .collect();
        all.join(", ")
    }
}

/// Installs the libraries into the cache, once for each list of versions.
///
/// # Errors
/// There is no cache, no pip or npm, or they fail.
pub fn install() -> Result<(), ClientsError> {
    installed().map(drop)
}

pub(super) fn installed() -> Result<Installed, ClientsError> {
    let folder = provision::cache_folder()?.join("clients");
    let pins = [PYTHON.as_slice(), &[BUILT], &NODE].concat().join("\n");
    let done = folder.join("versions");
    if std::fs::read_to_string(&done).is_ok_and(|there| there == pins) {
        write_scripts(&folder)?;
        return Ok(Installed { folder });
    }
    eprintln!("Installing the client libraries into {} (once for these versions).", folder.display());
    // Absent is as good as removed.
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).map_err(ClientsError::io(format!("can't make {}", folder.display())))?;
    let pip = |pins: &[&str]| {
        let mut command = Command::new("python3");
        command.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target"]);
        command.arg(folder.join("python")).args(pins);
        run(command, "pip", "Install Python 3 with pip")
    };
    pip(&PYTHON)?;
    if let Err(error) = pip(&[BUILT]) {
        eprintln!("left out: {error}");
    }
    let mut npm = Command::new("npm");
    npm.args(["install", "--silent", "--prefix"]).arg(folder.join("node")).args(NODE);
    run(npm, "npm", "Install Node with npm")?;
    write_scripts(&folder)?;
    std::fs::write(&done, pins).map_err(ClientsError::io(format!("can't write {}", done.display())))?;
    Ok(Installed { folder })
}

fn write_scripts(folder: &Path) -> Result<(), ClientsError> {
    for (name, text) in [
        ("probe.py", include_str!("../../clients/probe.py")),
        ("probe.js", include_str!("../../clients/probe.js")),
    ] {
        let file = folder.join(name);
        std::fs::write(&file, text).map_err(ClientsError::io(format!("can't write {}", file.display())))?;
    }
    Ok(())
}

fn run(mut command: Command, tool: &'static str, advice: &'static str) -> Result<(), ClientsError> {
    let output = command.output().map_err(ClientsError::io(format!("can't run {tool}. {advice}")))?;
    if output.status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = words.lines().collect();
    let words = lines[lines.len().saturating_sub(8)..].join("\n");
    Err(ClientsError::NotInstalled { tool, status: output.status, words })
}
