//! What a configuration names on this host: folders, programs, certificates, passwords. Whether they are there, and who else can read them.

use std::path::Path;

use nix::unistd::AccessFlags;

use super::draft::Draft;
use super::password::{self, Password};
use super::problem::Problems;

/// What the agent writes to and runs.
pub(super) fn folders_and_programs(draft: &Draft, problems: &mut Problems) {
    if let Some(folder) = &draft.install_path {
        let at = draft.place_of("install_path");
        let quoted = password::shell_quoted(folder);
        if !folder.exists() {
            problems
                .add(at, format!("the folder {} does not exist; type: mkdir -p {quoted}", folder.display()));
        } else if !folder.is_dir() {
            problems.add(
                at,
                format!("{} is not a folder; write one for the log and the state file", folder.display()),
            );
        } else if let Err(cause) = nix::unistd::access(folder, AccessFlags::W_OK | AccessFlags::X_OK) {
            problems.add(
                at,
                format!("the folder {} can't be written to ({}); write another, or let the agent's user write to it", folder.display(), cause.desc()),
            );
        }
    }
    if let Some(program) = draft.fence_command.as_ref().and_then(|command| command.first())
        && let Err(cause) = nix::unistd::access(program.as_str(), AccessFlags::X_OK)
    {
        problems.add(
            draft.place_of("fence_command"),
            format!("fence_command: {program} can't be run: {}; write a program that is there", cause.desc()),
        );
    }
}

/// What is read on this host.
pub(super) fn on_this_host(draft: &Draft, problems: &mut Problems) {
    let files = [
        ("tls_ca", &draft.tls_ca),
        ("tls_cert", &draft.tls_cert),
        ("tls_key", &draft.tls_key),
        ("hook_ca", &draft.hook_ca),
    ];
    for (key, file) in files {
        let Some(file) = file else { continue };
        let text = match readable(file) {
            Err(cause) => Some(format!("{} can't be read: {cause}", file.display())),
            Ok(metadata) if key == "tls_key" => {
                password::readable_by_others(file, "a private key", &metadata)
            }
            Ok(_) => None,
        };
        if let Some(text) = text {
            problems.add(draft.place_of(key), format!("{key}: {text}"));
        }
    }
}

fn readable(file: &Path) -> std::io::Result<std::fs::Metadata> {
    let metadata = std::fs::metadata(file)?;
    if !metadata.is_file() {
        return Err(std::io::Error::other("it is not a plain file"));
    }
    std::fs::File::open(file).map(|_| metadata)
}

/// The password, wherever the file says that it is.
pub(super) fn password_of(
    draft: &Draft,
    credentials: Option<&Path>,
    problems: &mut Problems,
) -> Option<Password> {
    let (key, read) = if let Some(password) = &draft.password {
        return Some(Password::new(password.as_str()));
    } else if let Some(file) = &draft.password_file {
        ("password_file", password::from_file(file))
    } else if let Some(name) = &draft.password_credential {
        ("password_credential", password::from_credential(name, credentials))
    } else {
        return None;
    };
    read.map_err(|error| problems.add(draft.place_of(key), format!("{key}: {error}"))).ok()
}
