//! Prometheus's own program for testing rules: the machine's, or Debian's, unpacked into the cache by the command that starts the lab.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::end_to_end::Broken;
use crate::namespace::Layout;
use crate::provision;

/// As it is within its root.
const PROGRAM: &str = "/usr/bin/promtool";

/// Where it is.
#[derive(Debug)]
pub(super) struct Promtool {
    lab: PathBuf,
    root: PathBuf,
}

impl Promtool {
    pub(super) fn find(layout: &Layout) -> Result<Self, Broken> {
        let root = provision::promtool_root().ok_or_else(|| {
            Broken::NotAsPromised("there is no promtool: apt-get install prometheus".to_owned())
        })?;
        Ok(Self { lab: layout.lab(), root })
    }

    /// Whether the rules do what this file of tests says, and promtool's words.
    pub(super) fn test(&self, rules: &str, tests: &str) -> Result<(bool, String), Broken> {
        let failed = || Broken::io("can't hand the rules to promtool");
        let temporary = self.root.join("tmp");
        std::fs::create_dir_all(&temporary).map_err(failed())?;
        let folder = tempfile::tempdir_in(&temporary).map_err(failed())?;
        for (name, text) in [("alerts.yml", rules), ("tests.yml", tests)] {
            std::fs::write(folder.path().join(name), text).map_err(failed())?;
        }
        let within =
            folder.path().strip_prefix(&self.root).map_or_else(|_| folder.path().to_owned(), Path::to_owned);
        let file = Path::new("/").join(within).join("tests.yml");
        let mut command = Command::new(&self.lab);
        command.arg("chroot").arg(&self.root).args([PROGRAM, "test", "rules"]).arg(file);
        let output = command.output().map_err(Broken::io("can't run promtool"))?;
        let words = [output.stdout, output.stderr].concat();
        Ok((output.status.success(), String::from_utf8_lossy(&words).into_owned()))
    }
}
