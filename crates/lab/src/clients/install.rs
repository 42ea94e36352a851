//! How the libraries are installed beside the cached MySQL: once for each list of versions, each tool's into a folder of its own.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::ClientsError;
use super::libraries::Library;
use crate::provision::{self, Package};

const PYTHON: [&str; 6] = [
    "PyMySQL==1.2.4",
    "mysql-connector-python==26.10.0",
    "SQLAlchemy==2.1.9",
    "aiomysql==0.3.2",
    "asyncmy==0.2.18",
    "cryptography==50.0.2",
];
/// Is built from source, which needs the headers of MySQL's or MariaDB's C library.
const BUILT: [&str; 1] = ["mysqlclient==2.3.2"];
const NODE: [&str; 2] = ["mysql2@3.24.6", "mariadb@3.5.4"];
/// Debian's: then no registry of modules is asked.
const GO: [&str; 2] = ["golang-go", GO_DRIVER];
const GO_DRIVER: &str = "golang-github-go-sql-driver-mysql-dev";
const JAVA: [&str; 3] = [JAVA_DRIVER, JAVA_POOL, "libslf4j-java"];
const JAVA_DRIVER: &str = "libmariadb-java";
const JAVA_POOL: &str = "libhikaricp-java";
/// The last one swallows what libraries write into their log: nobody reads it.
const JARS: [&str; 4] = ["mariadb-java-client.jar", "HikariCP.jar", "slf4j-api.jar", "slf4j-nop.jar"];

/// These two are not compiled, and written anew each time.
const SCRIPTS: [(&str, &str); 2] = [
    ("probe.py", include_str!("../../clients/probe.py")),
    ("probe.js", include_str!("../../clients/probe.js")),
];
const GO_PROGRAM: &str = include_str!("../../clients/probe.go");
const JAVA_PROGRAM: &str = include_str!("../../clients/Probe.java");
const RUST_MANIFEST: &str = include_str!("../../clients/rust/Cargo.toml");
const RUST_FILES: [(&str, &str); 3] = [
    ("Cargo.toml", RUST_MANIFEST),
    ("Cargo.lock", include_str!("../../clients/rust/Cargo.lock")),
    ("src/main.rs", include_str!("../../clients/rust/src/main.rs")),
];

/// What a part was made of: another list or program is installed anew. Written last.
const RECIPE: &str = "recipe";
/// Its versions in words, for the table's caption.
const VERSIONS: &str = "versions";

/// What is installed together, or left out together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Python,
    Mysqlclient,
    Node,
    Rust,
    Go,
    Java,
}

impl Part {
    const ALL: [Self; 6] = [Self::Python, Self::Mysqlclient, Self::Node, Self::Rust, Self::Go, Self::Java];

    /// The name of its folder, too.
    const fn name(self) -> &'static str {
        match self {
            Self::Python => "python",
            Self::Mysqlclient => "mysqlclient",
            Self::Node => "node",
            Self::Rust => "rust",
            Self::Go => "go",
            Self::Java => "java",
        }
    }

    fn recipe(self) -> String {
        match self {
            Self::Python => PYTHON.join("\n"),
            Self::Mysqlclient => BUILT.join("\n"),
            Self::Node => NODE.join("\n"),
            Self::Rust => RUST_FILES.map(|(_, text)| text).join("\n"),
            Self::Go => format!("{}\n{GO_PROGRAM}", GO.join("\n")),
            Self::Java => format!("{}\n{JAVA_PROGRAM}", JAVA.join("\n")),
        }
    }

    /// Into its empty folder; gives the versions in words.
    fn install(self, folder: &Path) -> Result<String, ClientsError> {
        match self {
            Self::Python => pip(folder, &PYTHON),
            Self::Mysqlclient => pip(folder, &BUILT),
            Self::Node => npm(folder),
            Self::Rust => cargo(folder),
            Self::Go => go(folder),
            Self::Java => java(folder),
        }
    }

    fn is_in(self, folder: &Path) -> bool {
        std::fs::read_to_string(folder.join(self.name()).join(RECIPE))
            .is_ok_and(|there| there == self.recipe())
    }
}

/// Where the libraries and the programs are.
#[derive(Clone, Debug)]
pub(super) struct Installed {
    folder: PathBuf,
    parts: Vec<Part>,
}

impl Installed {
    /// The program that takes a library through a move.
    pub(super) fn command(&self, library: Library) -> Command {
        let at = |rest: &str| self.folder.join(rest);
        let script = |interpreter: &str, variable: &str, libraries: &str, script: &str| {
            let mut command = Command::new(interpreter);
            command.env(variable, at(libraries)).arg(at(script));
            command
        };
        let mut command = match library.part {
            Part::Python => script("python3", "PYTHONPATH", "python", "probe.py"),
            Part::Mysqlclient => script("python3", "PYTHONPATH", "mysqlclient", "probe.py"),
            Part::Node => script("node", "NODE_PATH", "node/node_modules", "probe.js"),
            Part::Rust if library.name.ends_with("TLS") => Command::new(at("rust/probe-tls")),
            Part::Rust => Command::new(at("rust/probe")),
            Part::Go => Command::new(at("go/probe")),
            Part::Java => {
                let mut command = Command::new("java");
                command.arg("-cp").arg(class_path(&at("java"))).arg("Probe");
                command
            }
        };
        command.arg(library.name);
        command
    }

    /// Whether it is there: not everything can be installed everywhere.
    pub(super) fn has(&self, library: Library) -> bool {
        self.parts.contains(&library.part)
    }

    /// In words, for the table's caption; and what is missing.
    pub(super) fn versions(&self) -> String {
        let words = |part: &Part| {
            let file = self.folder.join(part.name()).join(VERSIONS);
            std::fs::read_to_string(file).unwrap_or_else(|_| part.name().to_owned())
        };
        let there: Vec<String> = self.parts.iter().map(words).collect();
        let missing: Vec<&str> =
            Part::ALL.into_iter().filter(|part| !self.parts.contains(part)).map(Part::name).collect();
        let missing =
            if missing.is_empty() { String::new() } else { format!(". Left out: {}", missing.join(", ")) };
        format!("{}{missing}", there.join(", "))
    }
}

/// Installs the libraries into the cache, once for each list of versions. What can't be installed on this machine is left out,
/// and tried again at the next call.
///
/// # Errors
/// There is no cache, or nothing at all can be installed.
pub fn install() -> Result<(), ClientsError> {
    let folder = folder()?;
    for part in Part::ALL {
        if part.is_in(&folder) {
            continue;
        }
        let place = folder.join(part.name());
        eprintln!("Installing client libraries into {} (once for these versions).", place.display());
        // Absent is as good as removed.
        let _ = std::fs::remove_dir_all(&place);
        make_folder(&place)?;
        match part.install(&place) {
            Ok(versions) => {
                write(&place.join(VERSIONS), &versions)?;
                write(&place.join(RECIPE), &part.recipe())?;
            }
            Err(error) => eprintln!("left out: {}: {error}", part.name()),
        }
    }
    for (name, text) in SCRIPTS {
        write(&folder.join(name), text)?;
    }
    installed().map(drop)
}

/// What is there. Installs nothing: inside the lab no registry can be reached.
pub(super) fn installed() -> Result<Installed, ClientsError> {
    let folder = folder()?;
    let parts: Vec<Part> = Part::ALL.into_iter().filter(|part| part.is_in(&folder)).collect();
    if parts.is_empty() { Err(ClientsError::NoLibraries) } else { Ok(Installed { folder, parts }) }
}

fn folder() -> Result<PathBuf, ClientsError> {
    Ok(provision::cache_folder()?.join("clients"))
}

fn pip(folder: &Path, pins: &[&str]) -> Result<String, ClientsError> {
    let mut command = Command::new("python3");
    command.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target"]);
    command.arg(folder).args(pins);
    run(command, "pip", "Install Python 3 with pip")?;
    Ok(pins.join(", ").replace("==", " "))
}

fn npm(folder: &Path) -> Result<String, ClientsError> {
    let mut command = Command::new("npm");
    command.args(["install", "--silent", "--prefix"]).arg(folder).args(NODE);
    run(command, "npm", "Install Node with npm")?;
    Ok(format!("{} (npm)", NODE.join(", ").replace('@', " ")))
}

/// Builds the program twice: whether sqlx knows TLS is decided when it is built.
fn cargo(folder: &Path) -> Result<String, ClientsError> {
    let source = folder.join("source");
    make_folder(&source.join("src"))?;
    for (name, text) in RUST_FILES {
        write(&source.join(name), text)?;
    }
    let target = folder.join("target");
    for (features, name) in [("", "probe"), ("tls", "probe-tls")] {
        let mut command = Command::new("cargo");
        command.args(["build", "--quiet", "--release", "--locked", "--features", features]);
        command.arg("--manifest-path").arg(source.join("Cargo.toml")).arg("--target-dir").arg(&target);
        run(command, "cargo", "Install Rust")?;
        let program = folder.join(name);
        std::fs::rename(target.join("release/probe"), &program)
            .map_err(ClientsError::io(format!("can't make {}", program.display())))?;
    }
    remove(&target)?;
    Ok(rust_versions())
}

/// As the manifest pins them.
fn rust_versions() -> String {
    let pin = |line: &str| {
        let (name, rest) = line.split_once(" = { version = \"=")?;
        Some(format!("{name} {}", rest.split('"').next()?))
    };
    let pins: Vec<String> = RUST_MANIFEST.lines().filter_map(pin).collect();
    format!("{} (Rust)", pins.join(", "))
}

/// Compiles with a Go that is unpacked for it and removed afterwards; nothing is asked of a registry of modules.
fn go(folder: &Path) -> Result<String, ClientsError> {
    let (root, work) = (folder.join("root"), folder.join("work"));
    let packages = provision::client_library(&root, "Go", &GO)?;
    make_folder(&work)?;
    let source = work.join("probe.go");
    write(&source, GO_PROGRAM)?;
    let mut command = Command::new(root.join("usr/bin/go"));
    command.args(["build", "-o"]).arg(folder.join("probe")).arg(&source).current_dir(&work);
    command.env_remove("GOROOT").env_remove("GOFLAGS");
    command.envs([("GO111MODULE", "off"), ("GOTOOLCHAIN", "local"), ("GOENV", "off"), ("CGO_ENABLED", "0")]);
    command.env("GOPATH", root.join("usr/share/gocode")).env("GOCACHE", work.join("cache"));
    run(command, "go", "")?;
    remove(&root)?;
    remove(&work)?;
    let compiler = packages.iter().find(|package| is_go(&package.name));
    let compiler = compiler.map_or("?", |package| &package.version);
    Ok(format!("go-sql-driver/mysql {} (Go {compiler})", version(&packages, GO_DRIVER)))
}

/// `golang-1.27-go`, where `golang-go` only depends on it.
fn is_go(package: &str) -> bool {
    package.starts_with("golang-1.") && package.ends_with("-go")
}

fn java(folder: &Path) -> Result<String, ClientsError> {
    let compiler = || Command::new("javac");
    let mut there = compiler();
    there.arg("-version");
    // Before anything is downloaded.
    run(there, "javac", "Install a JDK")?;
    let packages = provision::client_library(&folder.join("root"), "Java", &JAVA)?;
    let source = folder.join("Probe.java");
    write(&source, JAVA_PROGRAM)?;
    let mut compile = compiler();
    compile.arg("-d").arg(folder.join("classes")).arg("-cp").arg(class_path(folder)).arg(&source);
    run(compile, "javac", "")?;
    let (driver, pool) = (version(&packages, JAVA_DRIVER), version(&packages, JAVA_POOL));
    Ok(format!("MariaDB Connector/J {driver} with HikariCP {pool}"))
}

fn class_path(folder: &Path) -> std::ffi::OsString {
    let jars = JARS.map(|jar| folder.join("root/usr/share/java").join(jar));
    let all = std::iter::once(folder.join("classes")).chain(jars);
    let all: Vec<std::ffi::OsString> = all.map(PathBuf::into_os_string).collect();
    all.join(OsStr::new(":"))
}

fn version<'a>(packages: &'a [Package], name: &str) -> &'a str {
    packages.iter().find(|package| package.name == name).map_or("?", |package| &package.version)
}

fn make_folder(folder: &Path) -> Result<(), ClientsError> {
    std::fs::create_dir_all(folder).map_err(ClientsError::io(format!("can't make {}", folder.display())))
}

fn remove(folder: &Path) -> Result<(), ClientsError> {
    std::fs::remove_dir_all(folder).map_err(ClientsError::io(format!("can't remove {}", folder.display())))
}

fn write(file: &Path, text: &str) -> Result<(), ClientsError> {
    std::fs::write(file, text).map_err(ClientsError::io(format!("can't write {}", file.display())))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rust_libraries_versions_are_the_manifests() {
        let words = rust_versions();
        for library in ["mysql ", "mysql_async ", "sqlx "] {
            assert!(words.contains(library), "{words}");
        }
        assert!(words.ends_with(" (Rust)"), "{words}");
    }

    #[test]
    fn what_is_not_there_is_said_in_the_caption() {
        let installed = Installed { folder: PathBuf::from("/nonexistent"), parts: vec![Part::Node] };
        assert_eq!(installed.versions(), "node. Left out: python, mysqlclient, rust, go, java");
    }

    #[test]
    fn the_compiler_is_not_the_package_that_only_names_it() {
        assert!(is_go("golang-1.27-go"));
        assert!(!is_go("golang-go"));
        assert!(!is_go("golang-1.27-src"));
    }
}
