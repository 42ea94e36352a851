//! One witness by itself, for its development: `cargo run -p haipmgr-lab --example witness -- addresses --who here`.

use std::process::ExitCode;

use clap::Parser;
use lab::witness::Witness;

#[derive(Parser)]
struct Command {
    #[command(subcommand)]
    witness: Witness,
}

fn main() -> ExitCode {
    match Command::parse().witness.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(cause) => {
            eprintln!("{cause}");
            ExitCode::FAILURE
        }
    }
}
