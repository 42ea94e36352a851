//! `haipmgr status`: the whole cluster at a glance, from any member's host.

use std::io::{self, IsTerminal as _};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use super::switchover::one_of;
use super::terminal::print;
use super::{BAD_INPUT, File, refuse, say};
use crate::config::{self, Config};
use crate::server_access::servers;
use crate::status::gather::Watched;
use crate::status::json::json;
use crate::status::judge::{Health, judge};
use crate::status::picture::Picture;
use crate::status::table::{Look, table};
use crate::status::tsv::tsv;

/// What `--help` ends with.
pub(super) const EXAMPLES: &str = "Examples:
  haipmgr status                                 what to type first at night
  haipmgr status --extended                      with the agent's stages, its group's view, and whose word each row is
  haipmgr status --watch                         again each 2 seconds, until Ctrl-C
  haipmgr status --format json | jq .health      for a script

Who holds a VIP is what answers for it on the segment: asking needs root, or the capability CAP_NET_RAW. All else needs the
configuration and its password, and the group haipmgr for the agent's own word.

Exit status: 0 well; 1 degraded, or something is not known; 2 the command line or the configuration is wrong;
3 no agent answers on this host; 4 nobody holds a VIP.";

/// The screen's upper left corner, and nothing on the screen.
const CLEARED: &str = "\u{1b}[H\u{1b}[2J";

/// Its arguments.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    file: File,
    /// This cluster only, where the configuration has several.
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,
    /// How it is printed: docs/status.md has each column and field.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
    /// Look again and again, each so many seconds.
    #[arg(
        long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2",
        value_parser = clap::value_parser!(u32).range(1..=3600)
    )]
    watch: Option<u32>,
    /// With everything that is known.
    #[arg(long)]
    extended: bool,
}

/// How it is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For a person.
    Table,
    /// A line for each member, with tabs.
    Tsv,
    /// One document on one line, with a format number.
    Json,
}

pub(super) fn status(arguments: &Arguments) -> ExitCode {
    let begun = Instant::now();
    let config = match config::load_to_read(&arguments.file.config) {
        Ok(config) => config,
        Err(problems) => return refuse(&problems, &arguments.file.config),
    };
    if let Some(name) = &arguments.cluster
        && let Err(error) = one_of(&config, name)
    {
        say(&format!("haipmgr: {error}"));
        return ExitCode::from(BAD_INPUT);
    }
    match servers::wait_for(look_and_print(&config, arguments, begun)) {
        Ok(Ok(health)) => ExitCode::from(health.exit_status()),
        Ok(Err(error)) => failed(&error.to_string()),
        Err(error) => failed(&format!("the system gives no descriptor: {error}")),
    }
}

fn failed(why: &str) -> ExitCode {
    say(&format!("haipmgr: {why}"));
    ExitCode::FAILURE
}

/// Once, or until Ctrl-C; gives how it was at the last look.
async fn look_and_print(
    config: &Config,
    arguments: &Arguments,
    mut begun: Instant,
) -> Result<Health, serde_json::Error> {
    let mut watched = Watched::of(config, arguments.cluster.as_deref());
    let terminal = io::stdout().is_terminal();
    let look = Look { extended: arguments.extended, colours: terminal && wants_colours() };
    loop {
        let (at, pictures) = watched.look().await;
        let health = pictures.iter().map(|picture| judge(picture).health).max().unwrap_or(Health::Well);
        let text = rendered(arguments.format, &pictures, look, at, begun.elapsed())?;
        let redraws = terminal && arguments.format == Format::Table && arguments.watch.is_some();
        print(&format!("{}{}", if redraws { CLEARED } else { "" }, text.trim_end()));
        let Some(seconds) = arguments.watch else { return Ok(health) };
        let pause = tokio::time::sleep(Duration::from_secs(seconds.into()));
        tokio::select! {
            () = pause => {}
            _ = tokio::signal::ctrl_c() => return Ok(health),
        }
        begun = Instant::now();
    }
}

fn rendered(
    format: Format,
    pictures: &[Picture],
    look: Look,
    at: jiff::Timestamp,
    took: Duration,
) -> Result<String, serde_json::Error> {
    let at = format!("{at:.3}");
    match format {
        Format::Table => Ok(format!("{}\n{at}, looked at in {} ms", table(pictures, look), took.as_millis())),
        Format::Tsv => Ok(tsv(pictures)),
        Format::Json => json(pictures, &at, took),
    }
}

/// <https://no-color.org>: whatever `NO_COLOR` is set to, but for nothing.
fn wants_colours() -> bool {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    !is_set("NO_COLOR") && std::env::var_os("TERM").is_some_and(|term| term != "dumb")
}
