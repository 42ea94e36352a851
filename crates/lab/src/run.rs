//! `lab run` and `lab demo`: faults one after another, and what is told of them in the end.

use std::net::IpAddr;

use lab::agents::{Cluster, LAB, configure};
use lab::experiment::{AgentCost, Experiment};
use lab::fault::Fault;
use lab::measure::budget::Budget;
use lab::measure::readers::Readership;
use lab::measure::slowdown::Slowdown;
use lab::measure::{Figures, Judged, Reading, median, worst};
use lab::namespace::Layout;
use lab::report::table::{Style, table};
use lab::report::{budget, readers, slowdown};
use lab::scenario::Lab;

use super::Failure;
use super::arguments::Output;

/// What the demo shows, in this order.
pub(crate) const DEMO: [Fault; 5] =
    [Fault::Switchover, Fault::Shutdown, Fault::StopGroupReplication, Fault::Kill9, Fault::PowerOff];

/// With whom the faults are done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Company {
    pub(crate) agents: bool,
    /// Each fault once more while all agents are stopped.
    pub(crate) beside_mysql_alone: bool,
    /// Each fault once more with `silent_host = "expel"`.
    pub(crate) beside_silent_host_expel: bool,
}

impl Company {
    fn suits(self, faults: &[Fault]) -> Result<(), Failure> {
        let shows_the_group = |fault: &Fault| fault.moves_the_primary() || fault.is_about_a_secondary();
        if let Some(fault) = faults.iter().find(|fault| !self.agents && !shows_the_group(fault)) {
            let name = fault.name();
            return Err(format!("--no-agents: {name} does nothing to the group; leave it out").into());
        }
        if let Some(fault) =
            faults.iter().find(|fault| self.beside_mysql_alone && !fault.is_about_a_secondary())
        {
            let name = fault.name();
            return Err(format!(
                "--beside-mysql-alone: after {name} nobody would bring the VIP to its place; leave {name} out, or see --no-agents"
            )
            .into());
        }
        Ok(())
    }
}

/// Does the faults one after another, and prints what came of them.
pub(crate) fn run(
    layout: &Layout,
    faults: &[Fault],
    output: &Output,
    company: Company,
) -> Result<u8, Failure> {
    let since = std::time::Instant::now();
    company.suits(faults)?;
    let with_agents = company.agents;
    let mut experiment = if with_agents {
        Experiment::start(layout, true)?
    } else {
        Experiment::start_without_agents(layout, true)?
    };
    set_up(&mut experiment, output)?;
    let failure = inflict(&mut experiment, faults, company);
    let results = Results::of(&experiment, with_agents);
    let title = if with_agents {
        "haipmgr on three real MySQL servers"
    } else {
        "Three real MySQL servers, no agents"
    };
    let picture = experiment.save(&output.out, title)?;
    experiment.finish();
    let style = if output.markdown { Style::Markdown } else { Style::Terminal };
    results.print(style);
    println!("{:.0} s in all. Picture: {}", since.elapsed().as_secs_f64(), picture.display());
    match failure {
        Some(text) => Err(text.into()),
        None if results.judged.broken.is_empty() => Ok(0),
        None => Err("an invariant is broken".into()),
    }
}

/// The servers and the agents as they are wanted, where that is not the lab's own way.
fn set_up(experiment: &mut Experiment, output: &Output) -> Result<(), Failure> {
    let settings = [
        ("group_replication_member_expel_timeout", output.expel_timeout.map(u32::from)),
        ("replica_checkpoint_period", output.checkpoint_period),
    ];
    for (name, value) in settings.into_iter().filter_map(|(name, value)| Some((name, value?))) {
        for server in experiment.lab.group.servers() {
            // Persisted, so that a server that is killed and started again has it too.
            server.run(&format!("SET PERSIST {name} = {value}"))?;
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
    Ok(())
}

/// Gives what failed; no fault is done after that.
fn inflict(experiment: &mut Experiment, faults: &[Fault], company: Company) -> Option<String> {
    for fault in faults {
        let beside = |experiment: &mut Experiment| {
            if company.beside_mysql_alone {
                experiment.run_mysql_alone(*fault).map(drop)
            } else if company.beside_silent_host_expel {
                experiment.run_expelling_silent_hosts(*fault).map(drop)
            } else {
                Ok(())
            }
        };
        if let Err(error) = experiment.run(*fault).and_then(|_| beside(experiment)) {
            return Some(format!("{}: {error}", fault.name()));
        }
    }
    None
}

/// What came of all faults.
struct Results {
    with_agents: bool,
    figures: Vec<Figures>,
    judged: Judged,
    cost: AgentCost,
    budgets: Vec<Budget>,
    slowdowns: Vec<Slowdown>,
    reading: Vec<Readership>,
    apart: Vec<Reading>,
    handovers: Vec<(IpAddr, Vec<Reading>)>,
    of_the_second: Vec<Budget>,
}

impl Results {
    fn of(experiment: &Experiment, with_agents: bool) -> Self {
        Self {
            with_agents,
            figures: experiment.figures(),
            judged: experiment.judged(),
            cost: experiment.agent_cost(),
            budgets: experiment.budgets(),
            slowdowns: experiment.slowdowns(),
            reading: experiment.reading(),
            apart: experiment.apart(),
            handovers: experiment.handovers(),
            of_the_second: experiment.budgets_of_the_second(),
        }
    }

    fn print(&self, style: Style) {
        println!("{}", table(&self.figures, style));
        print!("{}", budget::text(&self.budgets));
        if !self.apart.is_empty() {
            println!("The same of the VIP in IPv6:");
            print!("{}", budget::text(&self.of_the_second));
            println!(
                "One family had moved and the other had not: median {} s, worst {} s, {} moves",
                median(self.apart.iter().copied()),
                worst(self.apart.iter().copied()),
                self.apart.len()
            );
        }
        for (vip, handovers) in self.handovers.iter().filter(|(_, handovers)| !handovers.is_empty()) {
            let ms = |reading: Reading| reading.seconds().map_or(0.0, |seconds| seconds * 1_000.0);
            println!(
                "{vip}, gone on the old host to there on the new one: median {:.2} ms, worst {:.2} ms, {} moves",
                ms(median(handovers.iter().copied())),
                ms(worst(handovers.iter().copied())),
                handovers.len()
            );
        }
        print!("{}", slowdown::table(&self.slowdowns, style));
        print!("{}", readers::table(&self.reading, style));
        if self.with_agents {
            println!(
                "All times in seconds. The whole run: {}. An agent took at most {:.1} MB of memory and {:.2} % of a core.",
                self.judged,
                lab::report::megabytes(self.cost.memory),
                self.cost.processor * 100.0
            );
        } else {
            println!(
                "All times in seconds. No agents and no VIP: the client went to the servers' own addresses."
            );
        }
    }
}
