//! Downloads packages with everything they depend on and unpacks them into a folder, beside the machine's own packages
//! and without touching them.
//!
//! `apt-get` is given folders of its own, and an empty package database, so that the closure is complete: the C library
//! too, which the machine's own may be too old for. It checks the archive's signature with the machine's own keys.

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use indicatif::{ProgressBar, ProgressStyle};

use super::{ProvisionError, sources};

/// The suite that carries MySQL; Debian's stable ones don't.
const SUITE: &str = "unstable";
/// Where Debian keeps its archive's keys.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// What is unpacked, and what is said where it can't be.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wanted<'a> {
    /// In a word, for the bar.
    pub(super) name: &'static str,
    pub(super) packages: &'a [&'a str],
    /// Whether a root will do that is there already: another lab may have been quicker.
    pub(super) is_complete: fn(&Path) -> bool,
    /// What this machine lacks.
    pub(super) lacks: &'static str,
    /// What to do instead.
    pub(super) advice: &'static str,
}

/// A package that was unpacked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Package {
    pub(crate) name: String,
    /// Upstream's, without what Debian adds to it.
    pub(crate) version: String,
}

/// Puts what is wanted and all it needs under `root`, and says which packages that were. `root` appears only when it is complete.
pub(super) fn unpack(cache: &Path, root: &Path, wanted: &Wanted) -> Result<Vec<Package>, ProvisionError> {
    let archive = machine_archive(wanted)?;
    for (tool, found) in [("apt-get", in_path("apt-get")), ("dpkg-deb", in_path("dpkg-deb"))] {
        if !found {
            return Err(ProvisionError::NoTools { tool, lacks: wanted.lacks, advice: wanted.advice });
        }
    }
    make_folder(cache)?;
    // Beside the target, so that the last step is a rename; removed by itself when anything fails.
    let work = tempfile::Builder::new()
        .prefix("unpacking-")
        .tempdir_in(cache)
        .map_err(ProvisionError::io(format!("can't make a folder in {}", cache.display())))?;
    let bar = progress_bar();
    let apt = Apt::prepare(work.path(), &archive, wanted.advice)?;
    bar.set_message("reading the package lists");
    apt.run(&bar, "apt-get update", &["update".into()])?;
    bar.set_message(format!("downloading {}", wanted.name));
    let mut install: Vec<OsString> = vec!["--yes".into(), "install".into(), "--download-only".into()];
    install.extend(wanted.packages.iter().map(Into::into));
    apt.run(&bar, "apt-get install --download-only", &install)?;

    let unpacked = work.path().join("root");
    let archives = apt.archives()?;
    apt.extract(&bar, &archives, &unpacked)?;
    match fs::rename(&unpacked, root) {
        Ok(()) => {}
        // Another lab was quicker, and its root is as good.
        Err(_) if (wanted.is_complete)(root) => {}
        Err(cause) => return Err(ProvisionError::io(format!("can't move to {}", root.display()))(cause)),
    }
    bar.finish_and_clear();
    Ok(archives.iter().filter_map(|archive| package(archive.file_name()?.to_str()?)).collect())
}

/// `golang-go_2%3a1.27~1-3_amd64.deb` is version 1.27~1 of `golang-go`.
fn package(file: &str) -> Option<Package> {
    let mut parts = file.split('_');
    let (name, version) = (parts.next()?, parts.next()?);
    let version = version.split_once("%3a").map_or(version, |(_epoch, version)| version);
    let version = version.rsplit_once('-').map_or(version, |(version, _debian)| version);
    Some(Package { name: name.to_owned(), version: version.to_owned() })
}

/// The archive that this machine's own sources name.
fn machine_archive(wanted: &Wanted) -> Result<String, ProvisionError> {
    let Wanted { lacks, advice, .. } = *wanted;
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    let value = |key: &str| {
        release
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
            .map(|value| value.trim_matches('"'))
    };
    if value("ID") != Some("debian") {
        return Err(ProvisionError::NoMirror { cause: "this is not Debian".to_owned(), lacks, advice });
    }
    // Testing and unstable machines may have no code name.
    let codenames: Vec<&str> =
        value("VERSION_CODENAME").into_iter().chain([SUITE, "sid", "testing", "stable"]).collect();
    let mut lists = vec![PathBuf::from("/etc/apt/sources.list")];
    if let Ok(parts) = fs::read_dir("/etc/apt/sources.list.d") {
        lists.extend(parts.flatten().map(|part| part.path()));
    }
    lists.sort();
    let texts: Vec<String> = lists.iter().filter_map(|list| fs::read_to_string(list).ok()).collect();
    codenames
        .iter()
        .find_map(|codename| texts.iter().find_map(|text| sources::archive(text, codename)))
        .ok_or_else(|| ProvisionError::NoMirror {
            cause: format!("no source offers {}", codenames.join(" or ")),
            lacks,
            advice,
        })
}

/// An `apt-get` with folders of its own.
struct Apt {
    folder: PathBuf,
    options: Vec<String>,
    /// What to do where the archive can't be reached.
    advice: &'static str,
}

impl Apt {
    fn prepare(work: &Path, archive: &str, advice: &'static str) -> Result<Self, ProvisionError> {
        let folder = work.join("apt");
        for part in ["lists/partial", "cache/archives/partial"] {
            make_folder(&folder.join(part))?;
        }
        // Named where it is, for its absence must not make apt fall back to keys of other archives.
        let signed =
            if Path::new(KEYRING).exists() { format!("[signed-by={KEYRING}] ") } else { String::new() };
        for (file, content) in
            [("status", String::new()), ("sources.list", format!("deb {signed}{archive} {SUITE} main\n"))]
        {
            let file = folder.join(file);
            fs::write(&file, content)
                .map_err(ProvisionError::io(format!("can't write {}", file.display())))?;
        }
        let at = |rest: &str| folder.join(rest).display().to_string();
        let options = vec![
            format!("Dir::Etc::SourceList={}", at("sources.list")),
            "Dir::Etc::SourceParts=/dev/null".to_owned(),
            format!("Dir::State={}", at("")),
            format!("Dir::State::Lists={}", at("lists")),
            format!("Dir::State::Status={}", at("status")),
            format!("Dir::Cache={}", at("cache")),
            "APT::Install-Recommends=false".to_owned(),
            // Otherwise `update` ends well even where it could not fetch a list.
            "APT::Update::Error-Mode=any".to_owned(),
            // The download user of its own could not write to a private folder.
            format!("APT::Sandbox::User={}", own_name()),
            // The machine's package database is not used, hence not locked; an ordinary user could not.
            "Debug::NoLocking=1".to_owned(),
            // Lines like `dlstatus:1:42.5:Retrieving file 3 of 40` on standard output.
            "APT::Status-Fd=1".to_owned(),
        ];
        Ok(Self { folder, options, advice })
    }

    fn run(
        &self,
        bar: &ProgressBar,
        step: &'static str,
        arguments: &[OsString],
    ) -> Result<(), ProvisionError> {
        let mut command = Command::new("apt-get");
        for option in &self.options {
            command.arg("-o").arg(option);
        }
        command.args(arguments).env("LC_ALL", "C").env("DEBIAN_FRONTEND", "noninteractive");
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(ProvisionError::io("can't run apt-get"))?;
        // A few lines at most: they fit the pipe, and are read after the end.
        let mut errors = child.stderr.take();
        bar.set_length(100);
        for line in
            child.stdout.take().into_iter().flat_map(|output| BufReader::new(output).lines()).flatten()
        {
            if let Some(percent) = line.strip_prefix("dlstatus:").and_then(|rest| rest.split(':').nth(1)) {
                // A figure for the eye; what is no number moves nothing.
                if let Ok(percent) = percent.split('.').next().unwrap_or_default().parse() {
                    bar.set_position(percent);
                }
            }
        }
        let mut words = Vec::new();
        if let Some(errors) = &mut errors {
            errors.read_to_end(&mut words).map_err(ProvisionError::io("can't read apt-get's messages"))?;
        }
        let status = child.wait().map_err(ProvisionError::io("can't wait for apt-get"))?;
        if !status.success() {
            return Err(tool_failed(step, status, &words, self.advice));
        }
        Ok(())
    }

    fn extract(
        &self,
        bar: &ProgressBar,
        archives: &[PathBuf],
        unpacked: &Path,
    ) -> Result<(), ProvisionError> {
        make_folder(unpacked)?;
        bar.set_length(archives.len() as u64);
        bar.set_position(0);
        bar.set_message("unpacking");
        for archive in archives {
            let mut extract = Command::new("dpkg-deb");
            extract.arg("--extract").arg(archive).arg(unpacked);
            let output = extract.output().map_err(ProvisionError::io("can't run dpkg-deb"))?;
            if !output.status.success() {
                return Err(tool_failed("dpkg-deb --extract", output.status, &output.stderr, self.advice));
            }
            bar.inc(1);
        }
        for name in ["lib", "lib64", "bin", "sbin"] {
            let link = unpacked.join(name);
            // The package that owns these links makes them at its configuration, which is not run.
            if !link.exists() {
                symlink(format!("usr/{name}"), &link)
                    .map_err(ProvisionError::io(format!("can't link {}", link.display())))?;
            }
        }
        Ok(())
    }

    fn archives(&self) -> Result<Vec<PathBuf>, ProvisionError> {
        let folder = self.folder.join("cache/archives");
        let entries =
            fs::read_dir(&folder).map_err(ProvisionError::io(format!("can't list {}", folder.display())))?;
        let is_package = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "deb");
        Ok(entries.flatten().map(|entry| entry.path()).filter(is_package).collect())
    }
}

fn tool_failed(
    step: &'static str,
    status: std::process::ExitStatus,
    errors: &[u8],
    instead: &str,
) -> ProvisionError {
    let words = String::from_utf8_lossy(errors).trim().to_owned();
    let advice =
        if words.contains("NO_PUBKEY") || words.contains("EXPKEYSIG") || words.contains("Missing key") {
            "\nThe machine's keys for the Debian archive are too old to check its signature. \
         Bring them up to date: apt-get install debian-archive-keyring"
                .to_owned()
        } else {
            format!("\nThe machine must reach the archive that its package sources name. Or else: {instead}")
        };
    ProvisionError::Tool { step, status, words, advice }
}

fn own_name() -> String {
    let user = nix::unistd::User::from_uid(nix::unistd::Uid::effective());
    user.ok().flatten().map_or_else(|| "root".to_owned(), |user| user.name)
}

fn make_folder(folder: &Path) -> Result<(), ProvisionError> {
    fs::create_dir_all(folder).map_err(ProvisionError::io(format!("can't make {}", folder.display())))
}

fn in_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// Drawn only when something moves: the lab must have one thread when it makes its namespaces.
fn progress_bar() -> ProgressBar {
    let bar = ProgressBar::new(100);
    // The template is a constant; where it is wrong, the plain bar does.
    if let Ok(style) = ProgressStyle::with_template("{msg:26} [{bar:40}] {pos:>3}/{len} {elapsed}") {
        bar.set_style(style);
    }
    bar.reset_elapsed();
    bar.tick();
    bar
}

#[cfg(test)]
mod tests {
    use super::{Package, package};

    #[test]
    fn a_package_file_tells_its_name_and_upstream_version() {
        let told = |name: &str, version: &str| Some(Package { name: name.into(), version: version.into() });
        assert_eq!(package("golang-go_2%3a1.27~1_amd64.deb"), told("golang-go", "1.27~1"));
        assert_eq!(package("libmariadb-java_3.5.10-1_all.deb"), told("libmariadb-java", "3.5.10"));
        assert_eq!(package("a_1%3a2.0-rc1-0+deb13u1_all.deb"), told("a", "2.0-rc1"));
        assert_eq!(package("no-package.deb"), None);
    }
}
