//! Where the time went in runs that were recorded: `cargo run -p haipmgr-lab --example budget -- RECORDING…`, each a
//! `recording.jsonl`. The medians are over all of them.

use std::error::Error;
use std::net::IpAddr;
use std::path::PathBuf;

use lab::measure::budget::budgets;
use lab::record::Recording;
use lab::report::budget::text;
use lab::segment::VIP;

fn main() -> Result<(), Box<dyn Error>> {
    let mut all = Vec::new();
    for path in std::env::args_os().skip(1).map(PathBuf::from) {
        all.extend(budgets(&Recording::load(&path)?, IpAddr::V4(VIP)));
    }
    print!("{}", text(&all));
    Ok(())
}
