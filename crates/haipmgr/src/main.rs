//! The command line.

use std::process::ExitCode;

use clap::Parser;
use haipmgr::commands::{CommandLine, execute};

fn main() -> ExitCode {
    execute(CommandLine::parse())
}
