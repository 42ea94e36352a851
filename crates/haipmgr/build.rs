//! Says which commit a release is built of, and of when, for `--version`: from git, or from whoever builds without one
//! (`HAIPMGR_COMMIT`, `SOURCE_DATE_EPOCH`). Other builds are of whatever lies there, and are made anew at no commit.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let (mut commit, mut seconds) = (String::new(), String::new());
    if std::env::var("PROFILE").is_ok_and(|profile| profile == "release") {
        commit = given("HAIPMGR_COMMIT").or_else(commit_of_work_tree).unwrap_or_default();
        seconds =
            given("SOURCE_DATE_EPOCH").or_else(|| git(&["log", "-1", "--format=%ct"])).unwrap_or_default();
    }
    println!("cargo::rustc-env=HAIPMGR_COMMIT={commit}");
    println!("cargo::rustc-env=HAIPMGR_SECONDS={seconds}");
}

fn given(variable: &str) -> Option<String> {
    println!("cargo::rerun-if-env-changed={variable}");
    std::env::var(variable).ok().filter(|value| !value.is_empty())
}

/// None where this is an unpacked archive, also one that lies in another project's work tree.
fn commit_of_work_tree() -> Option<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().ok()?;
    if Path::new(&git(&["rev-parse", "--show-toplevel"])?) != root {
        return None;
    }
    for file in ["logs/HEAD", "index"] {
        println!("cargo::rerun-if-changed={}", root.join(git(&["rev-parse", "--git-path", file])?).display());
    }
    let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
    let modified =
        git(&["status", "--porcelain", "--untracked-files=no"]).is_none_or(|changes| !changes.is_empty());
    Some(if modified { format!("{commit}, modified") } else { commit })
}

fn git(words: &[&str]) -> Option<String> {
    let output = Command::new("git").args(words).current_dir(env!("CARGO_MANIFEST_DIR")).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
