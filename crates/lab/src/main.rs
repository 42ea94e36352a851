//! The lab command.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use lab::agents::{Cluster, LAB, configure};
use lab::bench::{Bench, FAULTS, Shim, Tool};
use lab::cost::{self, StandIn, Wanted};
use lab::end_to_end::Soak;
use lab::experiment::Experiment;
use lab::fault::Fault;
use lab::namespace::{self, EnterTarget, Layout, Outside};
use lab::report::budget;
use lab::report::table::{Style, table};
use lab::scenario::Lab;
use lab::witness::Witness;
use lab::{end_to_end, host, provision, segment};

/// A real MySQL group, a real client and real faults, on one machine, in namespaces of its own
#[derive(Debug, Parser)]
#[command(name = "lab", version)]
struct Arguments {
    /// Where the private file system is: set by the lab itself, once it is inside
    #[arg(long, hide = true)]
    inside: Option<PathBuf>,
    /// What the user calls this program: set by the lab itself, once it is inside
    #[arg(long, hide = true, default_value = "lab")]
    called_as: PathBuf,
    /// The agent's binary (by default the one beside the lab's own)
    #[arg(long, global = true)]
    agent: Option<PathBuf>,
    /// Bring the group up without agents; `run` then shows what the group itself takes, by a client that knows every server's own address
    #[arg(long, global = true)]
    no_agents: bool,
    /// How many members the group has
    #[arg(long, global = true, default_value_t = 3, value_parser = clap::value_parser!(u8).range(2..=5))]
    members: u8,
    #[command(subcommand)]
    command: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Find or unpack a MySQL server, and print its root folder
    Provision,
    /// Bring everything up and keep it up until Ctrl-C
    Up,
    /// Show it: a switchover, a shutdown, Group Replication stopped, kill -9, and power off, one after another
    Demo {
        #[command(flatten)]
        output: Output,
    },
    /// Bring everything up, do each fault in turn while a client writes, heal it, and print what it cost
    Run {
        /// The faults, in this order
        #[arg(required = true)]
        faults: Vec<Fault>,
        /// Do them all this many times, in turn
        #[arg(long, default_value_t = 1)]
        times: u32,
        #[command(flatten)]
        output: Output,
    },
    /// Do each fault with haipmgr, keepalived and vip-manager in turn, and say how they compare
    Bench {
        /// The faults (by default those that move the primary); one that is named twice is done twice as often
        faults: Vec<Fault>,
        /// Do each fault this many times with each tool
        #[arg(long, default_value_t = 1)]
        times: u32,
        /// The tools
        #[arg(long, value_enum, value_delimiter = ',', default_values_t = Tool::ALL)]
        tools: Vec<Tool>,
        /// The folder for the page, the picture and the figures
        #[arg(long, default_value = "lab-results")]
        out: PathBuf,
        /// A folder for the recording and what the tools said
        #[arg(long)]
        evidence: Option<PathBuf>,
    },
    /// Measure what an agent costs: at rest, what it costs mysqld, its start, and one agent with many clusters
    Cost {
        /// Seconds at rest: with agents, and as long without
        #[arg(long, default_value_t = 60)]
        seconds: u32,
        /// Starts of an agent
        #[arg(long, default_value_t = 20)]
        starts: u32,
        /// Clusters of the one agent, on a stand-in for their servers
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
        clusters: u16,
        /// Changes of a primary, with one cluster and with all
        #[arg(long, default_value_t = 100)]
        flips: u32,
        /// A folder for the page
        #[arg(long)]
        out: Option<PathBuf>,
    },
    /// Answers the agent's questions in the place of many servers
    #[command(hide = true)]
    StandIn(StandIn),
    /// Answers as Patroni's REST API would
    #[command(hide = true)]
    PatroniShim(Shim),
    /// Run the end-to-end tests on one real group, and say how each went
    Test {
        /// Only the tests with one of these in their name
        filters: Vec<String>,
        /// A folder for the recording, the figures and the picture
        #[arg(long)]
        out: Option<PathBuf>,
    },
    /// Let the lab run for a long time, at rest, busy, or with random faults, and say what was not as promised
    Soak {
        /// What is done meanwhile
        #[arg(value_enum, default_value = "faults")]
        kind: Soak,
        /// For how long
        #[arg(long, default_value_t = 60)]
        minutes: u64,
        /// Draws the faults; by default another one each time
        #[arg(long)]
        seed: Option<u64>,
    },
    /// Looks at a host, or writes through the VIP, and tells
    #[command(hide = true, subcommand)]
    Witness(Witness),
    /// Run a program on a host of a lab that is up (a shell, when none is given)
    EnterHost {
        /// db1, db2, db3, client or gateway
        host: String,
        /// The process of the lab, where more than one is up
        #[arg(long)]
        lab: Option<u32>,
        /// The program and its arguments
        #[arg(last = true)]
        program: Vec<OsString>,
    },
    /// Pid 1 of the lab's namespaces
    #[command(hide = true)]
    Pid1 {
        #[arg(long)]
        base: PathBuf,
        #[arg(long)]
        lab: PathBuf,
        #[arg(long)]
        mysql_root: PathBuf,
        #[arg(last = true)]
        arguments: Vec<OsString>,
    },
    /// Holds a host's namespaces
    #[command(hide = true)]
    Park {
        #[arg(long)]
        base: PathBuf,
        name: String,
    },
    /// Becomes a program on a host
    #[command(hide = true)]
    Enter {
        #[arg(long)]
        holder: u32,
        #[arg(long)]
        root: Option<PathBuf>,
        #[arg(last = true)]
        program: Vec<OsString>,
    },
    /// Becomes a program in another root
    #[command(hide = true)]
    Chroot {
        root: PathBuf,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        program: Vec<OsString>,
    },
}

/// Where results go.
#[derive(Clone, Debug, clap::Args)]
struct Output {
    /// The folder for the recording, the figures and the picture
    #[arg(long, default_value = "lab-results")]
    out: PathBuf,
    /// The table in Markdown
    #[arg(long)]
    markdown: bool,
    /// Leave elections to MySQL alone: the agents don't have a dead member expelled sooner
    #[arg(long)]
    mysql_elects_alone: bool,
    /// Set the servers' group_replication_member_expel_timeout to this many seconds; MySQL's default is 5
    #[arg(long, value_parser = clap::value_parser!(u16).range(0..=3600))]
    expel_timeout: Option<u16>,
}

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    namespace::accept_signals();
    let arguments = Arguments::parse();
    segment::set_members(usize::from(arguments.members));
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
        Task::Pid1 { base, lab, mysql_root, arguments: rest } => {
            let outside = Outside { mysql_root, agent: arguments.agent };
            Ok(namespace::run_as_pid_1(&base, &lab, &outside, &rest)?)
        }
        Task::Provision => {
            println!("{}", provision::provision()?.display());
            Ok(0)
        }
        Task::EnterHost { host, lab, program } => Ok(namespace::enter_from_outside(&host, lab, &program)?),
        Task::Witness(witness) => Ok(witness.run().map(|()| 0)?),
        Task::PatroniShim(shim) => Ok(shim.run().map(|()| 0)?),
        Task::StandIn(stand_in) => Ok(stand_in.run().map(|()| 0)?),
        Task::Up
        | Task::Run { .. }
        | Task::Bench { .. }
        | Task::Cost { .. }
        | Task::Demo { .. }
        | Task::Test { .. }
        | Task::Soak { .. }
            if arguments.inside.is_none() =>
        {
            go_inside(arguments.agent, arguments.no_agents)
        }
        Task::Up => up(&inside(arguments.inside), !arguments.no_agents, &arguments.called_as),
        Task::Run { faults, times, output } => {
            let all: Vec<Fault> = (0..times).flat_map(|_| faults.iter().copied()).collect();
            run(&inside(arguments.inside), &all, &output, !arguments.no_agents)
        }
        Task::Bench { faults, times, tools, out, evidence } => {
            let faults = if faults.is_empty() { FAULTS.to_vec() } else { faults };
            bench(&inside(arguments.inside), &faults, times, &tools, &out, evidence.as_deref())
        }
        Task::Cost { seconds, starts, clusters, flips, out } => {
            let wanted = Wanted { seconds, starts, clusters, flips };
            measure_cost(&inside(arguments.inside), wanted, out.as_deref())
        }
        Task::Test { filters, out } => {
            let tally = end_to_end::run(&inside(arguments.inside), &filters, out.as_deref())?;
            Ok(u8::from(tally.failed > 0))
        }
        Task::Soak { kind, minutes, seed } => {
            let time = std::time::Duration::from_secs(minutes * 60);
            let seed = seed.unwrap_or_else(lab::record::now_us);
            let tally = end_to_end::soak(&inside(arguments.inside), kind, time, seed)?;
            Ok(u8::from(tally.failed > 0))
        }
        Task::Demo { output } => run(&inside(arguments.inside), &DEMO, &output, !arguments.no_agents),
    }
}

/// Finds what the lab needs outside, and starts over inside.
fn go_inside(agent: Option<PathBuf>, no_agents: bool) -> Result<u8, Failure> {
    let mysql_root = provision::provision()?;
    let agent = if no_agents { None } else { Some(find_agent(agent)?) };
    let rest: Vec<OsString> = std::env::args_os().skip(1).collect();
    Ok(namespace::isolate(&Outside { mysql_root, agent }, &rest)?)
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
    let (user, password, vip) = (lab::group::CLIENT_USER, lab::group::CLIENT_PASSWORD, segment::VIP);
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

/// What the demo shows, in this order.
const DEMO: [Fault; 5] =
    [Fault::Switchover, Fault::Shutdown, Fault::StopGroupReplication, Fault::Kill9, Fault::PowerOff];

fn run(layout: &Layout, faults: &[Fault], output: &Output, with_agents: bool) -> Result<u8, Failure> {
    let since = std::time::Instant::now();
    if let Some(fault) = faults.iter().find(|fault| !with_agents && !fault.moves_the_primary()) {
        return Err(format!(
            "--no-agents: {} does not move the primary, so it shows nothing of the group's; leave it out",
            fault.name()
        )
        .into());
    }
    let mut experiment = if with_agents {
        Experiment::start(layout, true)?
    } else {
        Experiment::start_without_agents(layout, true)?
    };
    if let Some(seconds) = output.expel_timeout {
        for server in experiment.lab.group.servers() {
            // Persisted, so that a server that is killed and started again has it too.
            server.run(&format!("SET PERSIST group_replication_member_expel_timeout = {seconds}"))?;
        }
    }
    if output.mysql_elects_alone {
        let cluster = Cluster { sooner_elections: false, ..LAB };
        let Lab { segment, agents, .. } = &mut experiment.lab;
        for (host, agent) in segment.databases.iter().zip(agents) {
            configure(host, &[cluster])?;
            agent.stop()?;
            agent.start(host)?;
        }
    }
    let mut failure = None;
    for fault in faults {
        if let Err(error) = experiment.run(*fault) {
            failure = Some(format!("{}: {error}", fault.name()));
            break;
        }
    }
    let (figures, both, cost) = (experiment.figures(), experiment.two_holders(), experiment.agent_cost());
    let budgets = experiment.budgets();
    let title = if with_agents {
        "haipmgr on three real MySQL servers"
    } else {
        "Three real MySQL servers, no agents"
    };
    let picture = experiment.save(&output.out, title)?;
    experiment.finish();
    let style = if output.markdown { Style::Markdown } else { Style::Terminal };
    println!("{}", table(&figures, style));
    print!("{}", budget::text(&budgets));
    if with_agents {
        println!(
            "All times in seconds. Two holders in the whole run: {:.3} s. An agent took at most {:.1} MB of memory and {:.2} % of a core.",
            both.as_secs_f64(),
            lab::report::megabytes(cost.memory),
            cost.processor * 100.0
        );
    } else {
        println!(
            "All times in seconds. No agents and no VIP: the client went to the servers' own addresses."
        );
    }
    println!("{:.0} s in all. Picture: {}", since.elapsed().as_secs_f64(), picture.display());
    match failure {
        Some(text) => Err(text.into()),
        None => Ok(0),
    }
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
