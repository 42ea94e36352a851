//! The private file system that everything inside shares, and the mounts of each host.
//!
//! ```text
//! BASE/bin/          lab, haipmgr, and the tools of the private root
//! BASE/root/         what mysqld is chrooted into: usr and its links bound from the real or the unpacked root
//! BASE/older/        the same of an older server, where the lab was given one; its data is BASE/root/data too
//! BASE/root/data/    the servers' data directories, option files, error logs and sockets
//! BASE/browser/      what a browser is chrooted into, where the lab was given one
//! BASE/etc/          the machine's own /etc, which each host's /etc links to
//! BASE/log/          the agents' standard error
//! ```
//! It is a tmpfs: a server's fsync costs nothing, and nothing is left behind on a disk.

use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};

use super::{NamespaceError, Outside, write};

/// Folders that every system has and that the lab may cover inside its own mount namespace.
const MOUNT_POINTS: [&str; 4] = ["/mnt", "/srv", "/media", "/opt"];

/// Room for three data directories (about 200 MB each), logs and a long run's rows.
const SIZE: &str = "size=6g,mode=0755";

/// Where things are inside the lab.
#[derive(Clone, Debug)]
pub struct Layout {
    base: PathBuf,
}

impl Layout {
    /// The first mount point that hides none of `needed`, nor the working folder.
    pub(super) fn choose(needed: &[&Path]) -> Result<Self, NamespaceError> {
        let working = std::env::current_dir().unwrap_or_default();
        MOUNT_POINTS
            .iter()
            .map(Path::new)
            .find(|point| {
                point.is_dir()
                    && !working.starts_with(point)
                    && !needed.iter().any(|path| path.starts_with(point))
            })
            .map(Self::at)
            .ok_or_else(|| NamespaceError::NoMountPoint { tried: MOUNT_POINTS.join(", ") })
    }

    /// The layout whose private file system is at `base`.
    pub fn at(base: &Path) -> Self {
        Self { base: base.to_owned() }
    }

    /// The private file system itself.
    pub fn base(&self) -> &Path {
        &self.base
    }

    /// The lab's own program, seen from inside.
    pub fn lab(&self) -> PathBuf {
        self.base.join("bin/lab")
    }

    /// The agent's program, seen from inside. It is there only when the lab was given one.
    pub fn agent(&self) -> PathBuf {
        self.base.join("bin/haipmgr")
    }

    /// Programs for whoever enters a host: first in its `PATH`.
    pub fn programs(&self) -> PathBuf {
        self.base.join("bin")
    }

    /// What mysqld is chrooted into.
    pub fn root(&self) -> PathBuf {
        self.base.join("root")
    }

    /// What an older mysqld is chrooted into; there is none unless the lab was given one.
    pub fn older_root(&self) -> PathBuf {
        self.base.join("older")
    }

    /// What a browser is chrooted into; there is none unless the lab was given one.
    pub fn browser_root(&self) -> PathBuf {
        self.base.join("browser")
    }

    /// The servers' files, seen from outside the chroot (`/data` in it).
    pub fn data(&self) -> PathBuf {
        self.base.join("root/data")
    }

    /// The agents' standard error.
    pub fn log(&self) -> PathBuf {
        self.base.join("log")
    }

    /// Makes all of it: called by pid 1, in the new mount namespace.
    pub(super) fn build(&self, lab: &Path, outside: &Outside) -> Result<(), NamespaceError> {
        // First of all: no mount made here may travel back to the real host.
        mount_at("nothing", None, Path::new("/"), None, MsFlags::MS_REC | MsFlags::MS_PRIVATE, None)?;
        mount_at("proc", Some(Path::new("proc")), Path::new("/proc"), Some("proc"), MsFlags::empty(), None)?;
        tmpfs(&self.base, SIZE)?;
        for folder in ["bin", "etc", "log"] {
            make_folder(&self.base.join(folder))?;
        }
        bind(Path::new("/etc"), &self.base.join("etc"))?;
        bind_file(lab, &self.lab())?;
        if let Some(agent) = &outside.agent {
            bind_file(agent, &self.agent())?;
        }
        Self::build_root(&outside.mysql_root, &self.root())?;
        if let Some(older) = &outside.older_root {
            Self::build_root(older, &self.older_root())?;
            bind(&self.data(), &self.older_root().join("data"))?;
        }
        if let Some(browser) = &outside.browser_root {
            Self::build_root(browser, &self.browser_root())?;
        }
        self.wrap_programs()
    }

    /// A root for mysqld that shows `source`'s programs and nothing else of it.
    fn build_root(source: &Path, root: &Path) -> Result<(), NamespaceError> {
        for folder in ["etc", "dev", "proc", "tmp", "run", "data", "root"] {
            make_folder(&root.join(folder))?;
        }
        for name in ["usr", "bin", "sbin", "lib", "lib32", "lib64"] {
            let (from, to) = (source.join(name), root.join(name));
            if let Ok(target) = fs::read_link(&from) {
                symlink(&target, &to).map_err(NamespaceError::io(format!("can't link {}", to.display())))?;
            } else if from.is_dir() {
                make_folder(&to)?;
                bind(&from, &to)?;
            }
        }
        for device in ["null", "zero", "random", "urandom"] {
            bind_file(&Path::new("/dev").join(device), &root.join("dev").join(device))?;
        }
        bind(Path::new("/proc"), &root.join("proc"))?;
        // keepalived does not start without the file there that says how it was built; without fonts a browser writes nothing.
        for settings in ["etc/keepalived", "etc/fonts"] {
            let from = source.join(settings);
            if from.is_dir() {
                make_folder(&root.join(settings))?;
                bind(&from, &root.join(settings))?;
            }
        }
        write(&root.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n")?;
        write(&root.join("etc/group"), "root:x:0:\n")
    }

    /// The root's tools, to be typed as if they were installed.
    fn wrap_programs(&self) -> Result<(), NamespaceError> {
        let root = self.root();
        for program in ["usr/bin/mysql", "usr/bin/mysqladmin", "usr/sbin/nft", "usr/sbin/ip"] {
            if !root.join(program).exists() {
                continue;
            }
            let name = program.rsplit('/').next().unwrap_or(program);
            let wrapper = self.programs().join(name);
            let script = format!(
                "#!/bin/sh\nexec {} chroot {} /{program} \"$@\"\n",
                self.lab().display(),
                root.display()
            );
            write(&wrapper, &script)?;
            fs::set_permissions(&wrapper, fs::Permissions::from_mode(0o755))
                .map_err(NamespaceError::io(format!("can't make {} executable", wrapper.display())))?;
        }
        Ok(())
    }

    /// A host's own `/etc`, `/run`, `/root` and `/var/lib`: called in the host's mount namespace.
    ///
    /// `/etc` shows the machine's, through links, so that programs find what they need; `/etc/haipmgr` is the host's own.
    pub(crate) fn build_host(&self, name: &str, hosts: &str) -> Result<(), NamespaceError> {
        let etc = Path::new("/etc");
        tmpfs(etc, "mode=0755")?;
        let machine = self.base.join("etc");
        let entries = fs::read_dir(&machine).map_err(NamespaceError::io("can't list /etc"))?;
        for entry in entries.flatten() {
            let (from, to) = (entry.path(), etc.join(entry.file_name()));
            symlink(&from, &to).map_err(NamespaceError::io(format!("can't link {}", to.display())))?;
        }
        for (file, content) in [("hostname", format!("{name}\n")), ("hosts", hosts.to_owned())] {
            let file = etc.join(file);
            // Absent is as good as removed.
            let _ = fs::remove_file(&file);
            write(&file, &content)?;
        }
        let haipmgr = etc.join("haipmgr");
        let _ = fs::remove_file(&haipmgr);
        make_folder(&haipmgr)?;
        for (folder, options) in [("/run", "mode=0755"), ("/root", "mode=0700"), ("/var/lib", "mode=0755")] {
            tmpfs(Path::new(folder), options)?;
        }
        make_folder(Path::new("/var/lib/haipmgr"))
    }
}

fn make_folder(folder: &Path) -> Result<(), NamespaceError> {
    fs::create_dir_all(folder).map_err(NamespaceError::io(format!("can't make {}", folder.display())))
}

fn tmpfs(target: &Path, options: &str) -> Result<(), NamespaceError> {
    mount_at("tmpfs", Some(Path::new("tmpfs")), target, Some("tmpfs"), MsFlags::empty(), Some(options))
}

fn bind(source: &Path, target: &Path) -> Result<(), NamespaceError> {
    let what = source.display().to_string();
    mount_at(&what, Some(source), target, None, MsFlags::MS_BIND | MsFlags::MS_REC, None)
}

fn bind_file(source: &Path, target: &Path) -> Result<(), NamespaceError> {
    File::create(target).map_err(NamespaceError::io(format!("can't make {}", target.display())))?;
    bind(source, target)
}

fn mount_at(
    what: &str,
    source: Option<&Path>,
    target: &Path,
    kind: Option<&str>,
    flags: MsFlags,
    options: Option<&str>,
) -> Result<(), NamespaceError> {
    mount(source, target, kind, flags, options).map_err(|cause| NamespaceError::Mount {
        what: what.to_owned(),
        target: target.to_owned(),
        cause,
    })
}
