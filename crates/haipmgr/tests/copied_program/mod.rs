//! A copy of the program, as a user runs it who may not read the build's folder.

#![allow(unreachable_pub, reason = "each test program has this file as a module of its own")]

use std::io::ErrorKind;
use std::path::Path;
use std::process::{Command, Output};

/// Puts it there.
pub fn at(path: &Path) {
    std::fs::copy(env!("CARGO_BIN_EXE_haipmgr"), path).unwrap();
}

/// Runs it until its end. Another test that starts a program just when the copy is made inherits the copy, open for writing, and for that
/// moment the kernel starts it for nobody (execve(2), ETXTBSY).
pub fn output(command: &mut Command) -> Output {
    loop {
        match command.output() {
            Err(error) if error.kind() == ErrorKind::ExecutableFileBusy => {}
            ended => break ended.unwrap(),
        }
    }
}
