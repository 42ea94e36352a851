//! The lab command's arguments.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Parser, Subcommand};
use lab::bench::{Shim, Tool};
use lab::cost::StandIn;
use lab::end_to_end::{Soak, Story};
use lab::fault::Fault;
use lab::group::Stack;
use lab::load::{Abuse, Crowd, InItsPlace};
use lab::segment::Family;
use lab::witness::Witness;

/// A real MySQL group, a real client and real faults, on one machine, in namespaces of its own
#[derive(Debug, Parser)]
#[command(name = "lab", version)]
pub(crate) struct Arguments {
    /// Where the private file system is: set by the lab itself, once it is inside
    #[arg(long, hide = true)]
    pub(crate) inside: Option<PathBuf>,
    /// What the user calls this program: set by the lab itself, once it is inside
    #[arg(long, hide = true, default_value = "lab")]
    pub(crate) called_as: PathBuf,
    /// The agent's binary (by default the one beside the lab's own)
    #[arg(long, global = true)]
    pub(crate) agent: Option<PathBuf>,
    /// Bring the group up without agents; `run` then shows what the group itself takes, by a client that knows every server's own address
    #[arg(long, global = true)]
    pub(crate) no_agents: bool,
    /// How many members the group has
    #[arg(long, global = true, default_value_t = 3, value_parser = clap::value_parser!(u8).range(2..=5))]
    pub(crate) members: u8,
    /// In which family the agents keep a VIP
    #[arg(long, global = true, value_enum, default_value_t)]
    pub(crate) family: Family,
    /// How many VIPs for writers (the second one of the other family with `--family both`)
    #[arg(long, global = true, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=2))]
    pub(crate) writers: u8,
    /// How many VIPs for readers
    #[arg(long, global = true, default_value_t = 0, value_parser = clap::value_parser!(u8).range(0..=5))]
    pub(crate) readers: u8,
    /// The group's communication stack
    #[arg(long, global = true, value_enum, default_value_t = Stack::Xcom)]
    pub(crate) stack: Stack,
    #[command(subcommand)]
    pub(crate) command: Task,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    /// Find or unpack a MySQL server, and print its root folder
    Provision,
    /// Bring everything up and keep it up until Ctrl-C
    Up,
    /// Show it, with a VIP for writers in both families and two for readers: a switchover, a shutdown, Group Replication stopped, kill -9,
    /// and power off, one after another
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
        /// Do each of them twice each time: once with agents, once with all agents stopped. Only for faults that leave the primary where it is
        #[arg(long, conflicts_with = "no_agents")]
        beside_mysql_alone: bool,
        /// Do each of them twice each time: once as the agents are, once with `silent_host = "expel"`
        #[arg(long, conflicts_with_all = ["no_agents", "beside_mysql_alone", "mysql_elects_alone"])]
        beside_silent_host_expel: bool,
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
        /// VIPs of one cluster, on a stand-in for its server; 1 for an agent that knows no more
        #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=64))]
        vips: u16,
        /// A folder for the page
        #[arg(long)]
        out: Option<PathBuf>,
    },
    /// Take real client libraries through moves of the VIP, and print what each of them gets. Installs them once, with pip,
    /// npm, cargo and from Debian's packages
    Clients {
        /// The faults; each must move the VIP
        #[arg(default_values = ["switchover", "kill-9"])]
        faults: Vec<Fault>,
        /// Have each account log in to every server before
        #[arg(long)]
        warm: bool,
        /// Only libraries with this word in their names; may be given several times
        #[arg(long = "library", value_name = "WORD")]
        words: Vec<String>,
        /// The tables in Markdown
        #[arg(long)]
        markdown: bool,
    },
    /// Measure what each value of `group_replication_consistency` costs and gives, without agents
    Consistency {
        /// How many switches, at each value that matters for one
        #[arg(long, default_value_t = 5)]
        times: u32,
        /// The tables in Markdown
        #[arg(long)]
        markdown: bool,
    },
    /// Look at the agents' page in a real browser while the VIP moves, and say how soon it shows the new holder. Unpacks Chromium once
    Page {
        /// How many switchovers, and as many times kill -9
        #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
        times: u32,
        /// A folder for the pictures
        #[arg(long, default_value = "lab-results")]
        out: PathBuf,
    },
    /// Measure what HTTP and hooks cost those who decide: switchovers with both off, and with both on under load and abuse, in turns
    Load {
        /// How many turns on each side, four switchovers in each
        #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..))]
        times: u32,
        /// How hard those who mean no good try
        #[arg(long, default_value = "steady")]
        abuse: Abuse,
        /// The table in Markdown
        #[arg(long)]
        markdown: bool,
    },
    /// Asks the agents over HTTP, well and badly
    #[command(hide = true)]
    Crowd(Crowd),
    /// Answers over HTTP in an agent's place
    #[command(hide = true)]
    InItsPlace(InItsPlace),
    /// Answers the agent's questions in the place of many servers
    #[command(hide = true)]
    StandIn(StandIn),
    /// Answers as Patroni's REST API would
    #[command(hide = true)]
    PatroniShim(Shim),
    /// Run the end-to-end tests on real groups, in several labs side by side, and say how each went
    Test {
        /// Only the tests with one of these in their name
        filters: Vec<String>,
        /// How many labs (by default as many as memory and cores are good for); one after another: 1
        #[arg(long, value_parser = clap::value_parser!(u8).range(1..=32))]
        labs: Option<u8>,
        /// A folder for the recordings, the figures and the pictures: a folder in it for each lab
        #[arg(long)]
        out: Option<PathBuf>,
    },
    /// Is one of the labs that share the end-to-end tests
    #[command(hide = true)]
    TestShare {
        /// The process that started it
        #[arg(long)]
        starter: i32,
        /// The number of the open pipe that the tests are taken from
        #[arg(long)]
        queue: i32,
        /// The tests to be done after those, in every lab
        #[arg(long)]
        then: Vec<String>,
        /// The number of the open pipe that the last tests are taken from
        #[arg(long)]
        last: Option<i32>,
        #[arg(long)]
        out: Option<PathBuf>,
    },
    /// Scrape every agent's metrics each second through real faults, and have Prometheus's promtool say which alerts of the package fire
    Alerts {
        /// Only these
        #[arg(value_enum)]
        stories: Vec<Story>,
        /// The folder for the recordings, as promtool's tests
        #[arg(long, default_value = "lab-results")]
        out: PathBuf,
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
    /// Form the group with an older MySQL server, kill its primary when one member is upgraded, upgrade the others, the primary last, and
    /// say what became of the VIP
    Upgrade {
        /// A root folder with usr/sbin/mysqld of the older server in it
        from: PathBuf,
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
        #[arg(long)]
        older_root: Option<PathBuf>,
        #[arg(long)]
        browser_root: Option<PathBuf>,
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
pub(crate) struct Output {
    /// The folder for the recording, the figures and the picture
    #[arg(long, default_value = "lab-results")]
    pub(crate) out: PathBuf,
    /// The table in Markdown
    #[arg(long)]
    pub(crate) markdown: bool,
    /// Leave elections to MySQL alone: the agents don't have a dead member expelled sooner
    #[arg(long)]
    pub(crate) mysql_elects_alone: bool,
    /// Set the servers' `group_replication_member_expel_timeout` to this many seconds; MySQL's default is 5
    #[arg(long, value_parser = clap::value_parser!(u16).range(0..=3600))]
    pub(crate) expel_timeout: Option<u16>,
    /// Set the servers' `replica_checkpoint_period` to this many milliseconds; MySQL's default is 300
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=4_294_967_295))]
    pub(crate) checkpoint_period: Option<u32>,
}
