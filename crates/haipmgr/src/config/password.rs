//! The account's password: where it comes from, and who else could read it there.

use core::fmt;
use std::fs::{File, Metadata};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// A password that no `Debug` output shows, and whose memory is wiped when it is no longer needed.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(Zeroizing<String>);

impl Password {
    /// Wraps one.
    pub fn new(password: impl Into<String>) -> Self {
        Self(Zeroizing::new(password.into()))
    }

    /// The password itself, for the connection only.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(hidden)")
    }
}

/// No file that is to hold one password is larger, in bytes.
const LONGEST: u64 = 4096;

/// A password that can't be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PasswordError {
    #[error("the file {} can't be read: {cause}; create it with mode 600, with the password in its only line", file.display())]
    Unreadable { file: PathBuf, cause: std::io::Error },
    #[error("{} must be a plain file of at most {LONGEST} bytes with the password in its only line", .0.display())]
    NotAPasswordFile(PathBuf),
    #[error("{0}")]
    OthersCanRead(String),
    #[error("the name of a systemd credential has no \"/\" in it; write the name from LoadCredential=")]
    BadCredentialName,
    #[error(
        "there are no systemd credentials (CREDENTIALS_DIRECTORY is not set); start the agent with systemd and \
         LoadCredential={0}:FILE in the unit, or write password_file instead"
    )]
    NoCredentials(String),
}

/// Why others than root and the agent's own user can read this file, with the command that mends it; none where they
/// can't. Group read is let pass for root's group, the agent's own, and that of a folder which root made for this group alone: with
/// the package, `/etc/haipmgr` is the group haipmgr's, and root's `haipmgr check` reads the same files as the agent.
pub(super) fn readable_by_others(file: &Path, holds: &str, metadata: &Metadata) -> Option<String> {
    let mode = metadata.mode() & 0o7777;
    let group = metadata.gid();
    let folder_is_the_groups = || {
        let folder = file.parent().and_then(|folder| folder.metadata().ok());
        folder.is_some_and(|folder| folder.uid() == 0 && folder.gid() == group && folder.mode() & 0o027 == 0)
    };
    let group_is_ours = group == 0 || group == nix::unistd::getegid().as_raw() || folder_is_the_groups();
    let exposed = mode & 0o004 != 0 || (mode & 0o040 != 0 && !group_is_ours);
    exposed.then(|| {
        format!(
            "the file {} holds {holds} and its mode {mode:03o} lets others read it; type: chmod 600 {}",
            file.display(),
            shell_quoted(file)
        )
    })
}

/// Reads a password file: one line, its end not part of the password.
pub(crate) fn from_file(file: &Path) -> Result<Password, PasswordError> {
    let unreadable = |cause| PasswordError::Unreadable { file: file.to_owned(), cause };
    // Without O_NONBLOCK a named pipe put in the file's place would keep the start waiting without an end.
    let open = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(file).map_err(unreadable)?;
    let metadata = open.metadata().map_err(unreadable)?;
    if !metadata.is_file() || metadata.len() > LONGEST {
        return Err(PasswordError::NotAPasswordFile(file.to_owned()));
    }
    if let Some(text) = readable_by_others(file, "a password", &metadata) {
        return Err(PasswordError::OthersCanRead(text));
    }
    first_line(open, file)
}

/// Reads the systemd credential `name` from `directory` (`$CREDENTIALS_DIRECTORY`); systemd sees to its mode.
pub(super) fn from_credential(name: &str, directory: Option<&Path>) -> Result<Password, PasswordError> {
    if name.is_empty() || name.contains('/') || name == "." || name == ".." {
        return Err(PasswordError::BadCredentialName);
    }
    let Some(directory) = directory else { return Err(PasswordError::NoCredentials(name.to_owned())) };
    let file = directory.join(name);
    let open = File::open(&file).map_err(|cause| PasswordError::Unreadable { file: file.clone(), cause })?;
    first_line(open, &file)
}

pub(super) fn first_line(open: impl Read, file: &Path) -> Result<Password, PasswordError> {
    // Large enough from the start: a string that grows leaves copies behind.
    let mut text = Zeroizing::new(String::with_capacity(4096 + 2));
    open.take(LONGEST + 1)
        .read_to_string(&mut text)
        .map_err(|cause| PasswordError::Unreadable { file: file.to_owned(), cause })?;
    let line = text.strip_suffix("\r\n").or_else(|| text.strip_suffix('\n')).unwrap_or(&text);
    if line.is_empty() || line.contains('\n') {
        return Err(PasswordError::NotAPasswordFile(file.to_owned()));
    }
    Ok(Password::new(line))
}

/// A path as a shell takes it.
pub(super) fn shell_quoted(path: &Path) -> String {
    let text = path.display().to_string();
    if text.chars().all(|c| c.is_ascii_alphanumeric() || "/._-+:@".contains(c)) {
        return text;
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn file_with(mode: u32, content: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("orders.password");
        std::fs::write(&file, content).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
        (folder, file)
    }

    #[test]
    fn the_line_end_is_no_part_of_the_password() {
        for content in ["p $\\\" w", "p $\\\" w\n", "p $\\\" w\r\n"] {
            let (_folder, file) = file_with(0o600, content);
            assert_eq!(from_file(&file).unwrap().reveal(), "p $\\\" w");
        }
    }

    #[test]
    fn a_return_that_ends_no_line_belongs_to_the_password() {
        let (_folder, file) = file_with(0o600, "p\r");
        assert_eq!(from_file(&file).unwrap().reveal(), "p\r");
    }

    #[test]
    fn a_password_file_that_others_can_read_is_refused_with_the_chmod_to_type() {
        let (_folder, file) = file_with(0o644, "secret\n");
        let text = from_file(&file).unwrap_err().to_string();
        assert!(text.contains(&format!("chmod 600 {}", file.display())), "{text}");
        assert!(!text.contains("secret"), "{text}");
    }

    #[test]
    fn a_groups_file_is_read_by_root_only_in_a_folder_that_root_made_for_that_group() {
        assert!(nix::unistd::geteuid().is_root(), "needs root: sudo -E cargo test -p haipmgr --lib password");
        let (folder, file) = file_with(0o640, "secret\n");
        let give = |path: &Path, mode: u32| {
            std::os::unix::fs::chown(path, Some(0), Some(4711)).unwrap();
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        give(&file, 0o640);
        assert!(from_file(&file).unwrap_err().to_string().contains("chmod 600"));
        give(folder.path(), 0o755);
        assert!(from_file(&file).unwrap_err().to_string().contains("chmod 600"));
        give(folder.path(), 0o750);
        assert_eq!(from_file(&file).unwrap().reveal(), "secret");
    }

    #[test]
    fn an_empty_or_longer_password_file_is_refused() {
        for content in ["", "\n", "one\ntwo\n"] {
            let (_folder, file) = file_with(0o600, content);
            assert!(matches!(from_file(&file), Err(PasswordError::NotAPasswordFile(_))));
        }
    }

    #[test]
    fn a_credential_is_read_from_systemds_folder_only() {
        let (folder, _) = file_with(0o400, "secret");
        assert_eq!(from_credential("orders.password", Some(folder.path())).unwrap().reveal(), "secret");
        assert!(matches!(
            from_credential("../x", Some(folder.path())),
            Err(PasswordError::BadCredentialName)
        ));
        assert!(matches!(from_credential("orders", None), Err(PasswordError::NoCredentials(_))));
    }

    #[test]
    fn debug_output_hides_it() {
        assert_eq!(format!("{:?}", Password::new("secret")), "Password(hidden)");
    }
}
