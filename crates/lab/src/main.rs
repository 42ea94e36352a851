//! The lab command.

mod arguments;
mod run;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use clap::Parser as _;
use lab::bench::{Bench, FAULTS, Tool};
use lab::cost::{self, Wanted};
use lab::end_to_end::{Labs, Share, Tally};
use lab::fault::Fault;
use lab::namespace::{self, EnterTarget, Layout, Outside};
use lab::report::table::Style;
use lab::scenario::Lab;
use lab::segment::Family;
use lab::{clients, consistency, end_to_end, group, host, provision, segment};

use self::arguments::{Arguments, Task};
use self::run::{Company, DEMO, run};

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    namespace::accept_signals();
    let arguments = Arguments::parse();
    segment::set_members(usize::from(arguments.members));
    // The demo shows all that there is: a writer in both families, and two readers.
    let shows_all = matches!(arguments.command, Task::Demo { .. }) && !arguments.no_agents;
    segment::set_family(if shows_all { Family::Both } else { arguments.family });
    let readers = if shows_all { arguments.readers.max(2) } else { arguments.readers };
    segment::set_vips(usize::from(arguments.writers), usize::from(readers));
    arguments.stack.choose();
    match dispatch(arguments) {
        Ok(status) => ExitCode::from(status),
        Err(error) => {
            eprintln!("lab: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The commands that must run before anything else exists, then those that run outside, then those inside.
fn dispatch(arguments: Arguments) -> Result<u8, Failure> {
    match arguments.command {
        Task::Enter { holder, root, program } => {
            Err(namespace::enter(&EnterTarget { holder, root, program }).into())
        }
        Task::Chroot { root, program } => Err(namespace::enter_root(&root, &program).into()),
        Task::Park { base, name } => Ok(host::park(&Layout::at(&base), &name).map(|()| 0)?),
        Task::Pid1 { base, lab, mysql_root, older_root, browser_root, arguments: rest } => {
            let outside = Outside { mysql_root, older_root, browser_root, agent: arguments.agent };
            Ok(namespace::run_as_pid_1(&base, &lab, &outside, &rest)?)
        }
        Task::Provision => {
            println!("{}", provision::provision()?.display());
            Ok(0)
        }
        Task::EnterHost { host, lab, program } => Ok(namespace::enter_from_outside(&host, lab, &program)?),
        Task::Witness(witness) => Ok(witness.run().map(|()| 0)?),
        Task::PatroniShim(shim) => Ok(shim.run().map(|()| 0)?),
        Task::Crowd(crowd) => Ok(crowd.run().map(|()| 0)?),
        Task::InItsPlace(other) => Ok(other.run().map(|()| 0)?),
        Task::StandIn(stand_in) => Ok(stand_in.run().map(|()| 0)?),
        Task::Test { filters, labs, out } => {
            let Arguments { agent, members, writers, readers, .. } = arguments;
            let group = [("--members", members), ("--writers", writers), ("--readers", readers)];
            test(&filters, labs, group, agent, out.as_deref())
        }
        task if arguments.inside.is_none() => start_over_inside(&task, arguments.agent, arguments.no_agents),
        Task::Up => up(&inside(arguments.inside), !arguments.no_agents, &arguments.called_as),
        Task::Run { faults, times, beside_mysql_alone, beside_silent_host_expel, output } => {
            let all: Vec<Fault> = (0..times).flat_map(|_| faults.iter().copied()).collect();
            let agents = !arguments.no_agents;
            let company = Company { agents, beside_mysql_alone, beside_silent_host_expel };
            run(&inside(arguments.inside), &all, &output, company)
        }
        Task::Bench { faults, times, tools, out, evidence } => {
            let faults = if faults.is_empty() { FAULTS.to_vec() } else { faults };
            bench(&inside(arguments.inside), &faults, times, &tools, &out, evidence.as_deref())
        }
        Task::Cost { seconds, starts, clusters, flips, vips, out } => {
            let wanted = Wanted { seconds, starts, clusters, flips, vips };
            measure_cost(&inside(arguments.inside), wanted, out.as_deref())
        }
        Task::Clients { faults, warm, words, markdown } => {
            let wanted = clients::Wanted { faults, warm, words };
            through_real_clients(&inside(arguments.inside), &wanted, markdown)
        }
        Task::Consistency { times, markdown } => {
            measure_consistency(&inside(arguments.inside), times, markdown)
        }
        Task::Page { times, out } => Ok(shown(lab::page::prove(&inside(arguments.inside), times, &out)?)),
        Task::Load { times, abuse, markdown } => {
            Ok(shown(lab::load::measure(&inside(arguments.inside), times, abuse, style(markdown))?))
        }
        Task::TestShare { queue, then, last, out, .. } => {
            let share = Share { queue, then, last };
            Ok(status(&end_to_end::run_from_queue(&inside(arguments.inside), &share, out.as_deref())?))
        }
        Task::Upgrade { .. } => Ok(shown(end_to_end::upgrade(&inside(arguments.inside))?)),
        Task::Alerts { stories, out } => {
            Ok(status(&end_to_end::alerts(&inside(arguments.inside), &stories, &out)?))
        }
        Task::Soak { kind, minutes, seed } => {
            let time = std::time::Duration::from_secs(minutes * 60);
            let seed = seed.unwrap_or_else(lab::record::now_us);
            Ok(status(&end_to_end::soak(&inside(arguments.inside), kind, time, seed)?))
        }
        Task::Demo { output } => demo(&inside(arguments.inside), !arguments.no_agents, &output),
    }
}

fn style(markdown: bool) -> Style {
    if markdown { Style::Markdown } else { Style::Terminal }
}

/// Prints what was found. Gives the exit status.
fn shown(found: impl std::fmt::Display) -> u8 {
    println!("{found}");
    0
}

/// The exit status of tests.
fn status(tally: &Tally) -> u8 {
    u8::from(tally.failed > 0)
}

/// Does outside what can't be done inside, and starts over inside.
fn start_over_inside(task: &Task, agent: Option<PathBuf>, no_agents: bool) -> Result<u8, Failure> {
    match task {
        Task::Clients { .. } => {
            // Outside, where the package registries can be reached.
            clients::install()?;
            go_inside(agent, false)
        }
        Task::Alerts { .. } => {
            provision::promtool()?;
            go_inside(agent, false)
        }
        Task::Upgrade { from } => go_inside_with(agent, no_agents, Some(provision::given(from)?), None),
        Task::Page { .. } => go_inside_with(agent, false, None, Some(provision::browser()?)),
        Task::TestShare { starter, .. } => {
            namespace::end_with(*starter)?;
            go_inside(agent, no_agents)
        }
        Task::Consistency { .. } => go_inside(agent, true),
        _ => go_inside(agent, no_agents),
    }
}

/// Starts the labs that share the tests: each is this program again, which makes namespaces of its own.
fn test(
    filters: &[String],
    labs: Option<u8>,
    group: [(&str, u8); 3],
    agent: Option<PathBuf>,
    out: Option<&Path>,
) -> Result<u8, Failure> {
    // Once, before the labs look for it at the same time.
    provision::provision()?;
    let agent = &find_agent(agent)?;
    let command = |share: &Share, number: usize| {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("test-share").arg("--agent").arg(agent);
        for (name, count) in group {
            command.arg(name).arg(count.to_string());
        }
        command.arg("--stack").arg(group::stack().name());
        command.arg("--family").arg(segment::family().name());
        command
            .arg("--starter")
            .arg(std::process::id().to_string())
            .arg("--queue")
            .arg(share.queue.to_string());
        command.args(share.then.iter().flat_map(|name| ["--then", name]));
        command.args(share.last.iter().flat_map(|last| ["--last".to_owned(), last.to_string()]));
        if let Some(out) = out {
            command.arg("--out").arg(out.join(if number == 0 {
                "alone".to_owned()
            } else {
                format!("lab-{number}")
            }));
        }
        Ok(command)
    };
    let labs = Labs { wanted: labs.map(usize::from), members: usize::from(group[0].1), command: &command };
    let tally = end_to_end::run_side_by_side(filters, &labs)?;
    Ok(u8::from(tally.failed > 0))
}

/// Finds what the lab needs outside, and starts over inside.
fn go_inside(agent: Option<PathBuf>, no_agents: bool) -> Result<u8, Failure> {
    go_inside_with(agent, no_agents, None, None)
}

/// The same with another root or two.
fn go_inside_with(
    agent: Option<PathBuf>,
    no_agents: bool,
    older_root: Option<PathBuf>,
    browser_root: Option<PathBuf>,
) -> Result<u8, Failure> {
    let mysql_root = provision::provision()?;
    let agent = if no_agents { None } else { Some(find_agent(agent)?) };
    let rest: Vec<OsString> = std::env::args_os().skip(1).collect();
    Ok(namespace::isolate(&Outside { mysql_root, older_root, browser_root, agent }, &rest)?)
}

fn find_agent(given: Option<PathBuf>) -> Result<PathBuf, Failure> {
    let found = match given {
        Some(path) => path,
        None => std::env::current_exe()?.with_file_name("haipmgr"),
    };
    found.canonicalize().map_err(|error| {
        format!(
            "no agent at {}: {error}. Build it (cargo build), or give --agent or --no-agents",
            found.display()
        )
        .into()
    })
}

fn inside(base: Option<PathBuf>) -> Layout {
    Layout::at(&base.unwrap_or_default())
}

fn start(layout: &Layout, with_agents: bool) -> Result<Lab, Failure> {
    let since = std::time::Instant::now();
    let lab = Lab::start(layout, with_agents, &mut |step| {
        eprintln!("{:6.1} s  {step}", since.elapsed().as_secs_f64());
    })?;
    eprintln!("{:6.1} s  {} members ONLINE", since.elapsed().as_secs_f64(), segment::members());
    Ok(lab)
}

fn up(layout: &Layout, with_agents: bool, called_as: &Path) -> Result<u8, Failure> {
    let mut lab = start(layout, with_agents)?;
    let primary = lab.wait_steady()?;
    println!("{}", guide(&lab, primary, called_as));
    // Ctrl-C ends this process, and with it everything.
    loop {
        std::thread::park();
    }
}

/// What to type in another terminal.
fn guide(lab: &Lab, primary: usize, called_as: &Path) -> String {
    let program = called_as.display();
    let primary = lab.segment.databases[primary].name();
    let (user, password, vip) = (lab::group::CLIENT_USER, lab::group::CLIENT_PASSWORD, segment::vip());
    let log = lab::agents::LOG;
    format!(
        "
The group is up; {primary} is its primary. In another terminal:

  enter a host             {program} enter-host db1        (db2, db3, client, gateway)
  see its agent's log      {program} enter-host db1 -- tail -F {log}
  write through the VIP    {program} enter-host client -- mysql -h {vip} -u {user} -p{password} \\
                               -e \"INSERT INTO lab.ledger VALUES (1000001, 'by hand', NOW(6))\"

Ctrl-C here ends it all and leaves nothing behind."
    )
}

fn bench(
    layout: &Layout,
    faults: &[Fault],
    times: u32,
    tools: &[Tool],
    out: &Path,
    evidence: Option<&Path>,
) -> Result<u8, Failure> {
    let mut bench = Bench::start(layout)?;
    let outcome = bench.run(times, tools, faults, &mut |line| println!("{line}"));
    let summary = bench.summary();
    let written = summary.document(out, &machine())?;
    if let Some(folder) = evidence {
        bench.save_evidence(folder)?;
    }
    bench.finish();
    for said in summary.findings() {
        println!("{said}");
    }
    println!("{}", summary.table(Style::Terminal));
    println!("All times in seconds. {}", written.page.display());
    // What was measured until then is told all the same.
    outcome?;
    Ok(0)
}

/// Real client libraries, through moves of the VIP.
fn through_real_clients(layout: &Layout, wanted: &clients::Wanted, markdown: bool) -> Result<u8, Failure> {
    let style = style(markdown);
    let since = std::time::Instant::now();
    let tables = clients::run(layout, wanted, style, &mut |step| {
        eprintln!("{:6.1} s  {step}", since.elapsed().as_secs_f64());
    })?;
    print!("{tables}");
    Ok(0)
}

fn demo(layout: &Layout, agents: bool, output: &arguments::Output) -> Result<u8, Failure> {
    let company = Company { agents, beside_mysql_alone: false, beside_silent_host_expel: false };
    run(layout, &DEMO, output, company)
}

/// MySQL's own: no agent runs.
fn measure_consistency(layout: &Layout, times: u32, markdown: bool) -> Result<u8, Failure> {
    let style = style(markdown);
    let since = std::time::Instant::now();
    let tables = consistency::measure(layout, times, style, &mut |step| {
        eprintln!("{:6.1} s  {step}", since.elapsed().as_secs_f64());
    })?;
    print!("{tables}");
    Ok(0)
}

fn measure_cost(layout: &Layout, wanted: Wanted, out: Option<&Path>) -> Result<u8, Failure> {
    let since = std::time::Instant::now();
    let figures = cost::measure(layout, wanted, &mut |step| {
        eprintln!("{:6.1} s  {step}", since.elapsed().as_secs_f64());
    })?;
    println!("{}", figures.table(Style::Terminal));
    for remark in figures.remarks() {
        println!("{remark}");
    }
    if let Some(folder) = out {
        println!("{}", figures.document(folder, &machine())?.display());
    }
    Ok(0)
}

/// What a measurement runs on, in words.
fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let build = if cfg!(debug_assertions) { ", a debug build" } else { "" };
    let release: Vec<&str> = kernel.trim().split('.').take(2).collect();
    format!("one machine with {cores} cores, Linux {}{build}", release.join("."))
}
