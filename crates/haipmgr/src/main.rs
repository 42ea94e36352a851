//! The command line.

use std::process::ExitCode;

use clap::Parser;
use haipmgr::commands::{CommandLine, execute};

// The rules of an agent that acts on a real host hold no planted mistakes: build it without `--all-features`.
const _: () = assert!(!decide::planted::CAN_BE_PLANTED);

fn main() -> ExitCode {
    linux::host_names::by_files_and_dns();
    execute(CommandLine::parse())
}
