//! What the operator's commands refuse, and how else they end: each provoked on a real group, its exit status and its sentence looked for.
//! Here are those that several commands share.
//!
//! | command | status | what it says | test |
//! |---|---|---|---|
//! | `switchover` | 0 | done | `switchover_command_done`, `switchover_command_ends_the_session` |
//! | | 0 | `it is the primary already`, `--dry-run` | `switchover_command_refuses` |
//! | | 1 | `failed: nothing changed`: the account may not call the procedure | `switchover_command_without_procedures` |
//! | | 1 | `failed: nothing changed`: MySQL refused | `what_mysql_refuses_changes_nothing` |
//! | | 2 | nobody to ask | `switchover_command_refuses` |
//! | | 2 | no such cluster, a password file that is not there, no configuration | `switchover_command_refuses_what_lasts` |
//! | | 4 | an idle transaction, table locks; a read lock on the target | `switchover_command_refuses` |
//! | | 4 | perhaps opened by BEGIN, a read lock on the primary, a statement of long standing | `switchover_command_refuses_what_lasts` |
//! | | 4 | a target behind, silent, not in the group; no such member | `switchover_command_refuses` |
//! | | 4 | a target that is RECOVERING; refused by whoever was asked | `switchover_command_refuses_what_lasts` |
//! | | 4 | a target of a higher version; sessions that can't be looked at | `switchover/plan/tests.rs` of the crate `haipmgr` |
//! | | 4 | a switchover is under way already | `switchover_command_still_under_way` |
//! | | 4 | no primary in a majority | `without_a_majority_nothing_is_ordered` |
//! | | 4 | the cluster is paused | `paused_cluster_is_neither_switched_nor_drained` |
//! | | 5 | the time is over, Ctrl-C | `switchover_command_still_under_way`, `switchover_command_interrupted` |
//! | | 5 | the VIP has not followed | `switchover_to_a_paused_host` |
//! | `drain` | 0 | drained; not the primary | `drain_then_shutdown`, `drained_host_takes_no_vip` |
//! | | 1 | no agent, an agent that hangs, a file that can't be written | `drain_says_what_it_could_not_do` |
//! | | 1 | `failed: nothing changed`: MySQL refused | `what_mysql_refuses_changes_nothing` |
//! | | 2 | no such cluster | `drain_says_what_it_could_not_do` |
//! | | 4 | what does not end by itself | `drain_refused_leaves_the_vip` |
//! | | 4 | no candidate | `drain_without_a_candidate_leaves_the_vip` |
//! | | 4 | no majority | `without_a_majority_nothing_is_ordered` |
//! | | 4 | the cluster is paused | `paused_cluster_is_neither_switched_nor_drained` |
//! | | 5 | the time is over | `drain_whose_time_is_over` |
//! | `pause`, `resume` | 0 | confirmed everywhere; it was over already, there was none | `paused_cluster_moves_no_vip_after_kill_9`, `pause_names_who_has_it_not` |
//! | | 1 | a member that is silent, or that the group copies nothing to; no agent here | `pause_names_who_has_it_not` |
//! | | 1 | no right to order it or to read it; no procedure, no table, no schema | `pause_without_rights_or_tables` |
//! | | 2 | no such cluster, a length that is none | `pause_names_who_has_it_not` |
//! | | 4 | no primary in a majority | `without_a_majority_nothing_is_ordered` |
//!
//! Not provoked: `the VIP is not given up within 5 s`, for no kernel of the lab refuses to remove an address; `the system gives no descriptor`.

use std::time::{Duration, Instant};

use super::drain::says;
use super::expect::{followed, never_two_holders, promise, rows_are_there, untouched};
use super::history::{address, typed};
use super::network::wait_for_holders;
use super::{Broken, UnderTest};
use crate::experiment::Experiment;
use crate::fault::holders;
use crate::group::Server;

/// How long the group takes to call a silent member UNREACHABLE: 5 s, and some.
const UNREACHABLE_WITHIN: Duration = Duration::from_secs(20);
/// How long the VIP may take to be where it belongs, once nothing is in its way.
const MOVED_WITHIN: Duration = Duration::from_secs(3);
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// What `group_replication_set_as_primary` needs, which the procedure's definer has.
const RIGHT: &str = "GROUP_REPLICATION_ADMIN ON *.*";
const DEFINER: &str = "'haipmgr_definer'@'localhost'";

/// Both other members hang: nothing is ordered, by whichever command, and each says that there is no majority.
pub(super) fn without_a_majority(under_test: &mut UnderTest) -> Result<String, Broken> {
    let figures = under_test.experiment.watched("commands without a majority", |experiment| {
        let primary = experiment.lab.group.primary()?;
        let others = || (0..experiment.lab.agents.len()).filter(|place| *place != primary);
        for other in others() {
            experiment.lab.group.servers()[other].freeze()?;
        }
        let refused = all_unreachable(experiment, primary).and_then(|()| refuse(experiment, primary));
        for other in others() {
            experiment.lab.group.servers()[other].thaw()?;
        }
        experiment.lab.repair()?;
        refused
    })?;
    rows_are_there(&figures)?;
    Ok(format!("outage {} s, by the group that hung", figures.outage))
}

fn all_unreachable(experiment: &Experiment, primary: usize) -> Result<(), Broken> {
    let since = Instant::now();
    loop {
        let view = experiment.lab.group.servers()[primary].view()?;
        let silent = view.members.iter().filter(|member| member.state == "UNREACHABLE").count();
        if silent + 1 == experiment.lab.agents.len() {
            return Ok(());
        }
        promise(since.elapsed() < UNREACHABLE_WITHIN, || format!("{silent} are UNREACHABLE: {view:?}"))?;
        std::thread::sleep(LOOK_EVERY);
    }
}

fn refuse(experiment: &Experiment, primary: usize) -> Result<(), Broken> {
    let nobody = "no member is ONLINE, PRIMARY and in the majority";
    says(&typed(experiment, primary, &["switchover", "--yes"])?, 4, &format!("refused: {nobody}"))?;
    let drained = typed(experiment, primary, &["drain"])?;
    says(&drained, 4, &format!("not drained: {nobody}"))?;
    says(&drained, 4, "not drained: the VIP of lab stays as it is")?;
    for command in ["pause", "resume"] {
        let said = typed(experiment, primary, &[command])?;
        says(&said, 4, "refused: nothing was changed: no member of lab is a primary that takes writes")?;
        says(&said, 4, "with --host, typed on each host, each agent is told directly")?;
    }
    Ok(())
}

/// The definer of the procedures lacks the right: MySQL refuses, and says so.
pub(super) fn by_mysql(under_test: &mut UnderTest) -> Result<String, Broken> {
    let figures = under_test.experiment.watched("commands that MySQL refuses", |experiment| {
        let primary = experiment.lab.group.primary()?;
        let server = &experiment.lab.group.servers()[primary];
        server.run(&format!("REVOKE {RIGHT} FROM {DEFINER}"))?;
        let leads = format!("{} leads as before", address(experiment, primary));
        let commands = [&["switchover", "--yes"][..], &["drain"][..]];
        let said: Vec<_> = commands.iter().map(|command| typed(experiment, primary, command)).collect();
        server.run(&format!("GRANT {RIGHT} TO {DEFINER}"))?;
        for said in said {
            let said = said?;
            says(&said, 1, "failed: nothing changed: ")?;
            says(&said, 1, &leads)?;
        }
        let found = experiment.lab.group.primary()?;
        promise(found == primary, || format!("nothing changed, it says, and {found} leads"))
    })?;
    untouched(&under_test.experiment, &figures)
}

/// While the cluster is paused the VIP would not follow the primary, so that neither is moved.
pub(super) fn while_paused(under_test: &mut UnderTest) -> Result<String, Broken> {
    let figures = under_test.experiment.watched("commands while the cluster is paused", |experiment| {
        let primary = experiment.lab.group.primary()?;
        let other = (primary + 1) % experiment.lab.agents.len();
        says(&typed(experiment, other, &["pause", "--reason", "new switch"])?, 0, "confirmed")?;
        let switchover = typed(experiment, other, &["switchover", "--yes"]);
        let drain = typed(experiment, primary, &["drain"]);
        let found = experiment.lab.group.primary()?;
        says(&typed(experiment, other, &["resume"])?, 0, "ended      the pause of lab until")?;
        let switchover = switchover?;
        says(&switchover, 4, "refused: the cluster is paused until")?;
        says(
            &switchover,
            4,
            "new switch: the primary would move and the VIP would not; haipmgr resume first",
        )?;
        let drain = drain?;
        says(&drain, 4, "not drained: the cluster is paused until")?;
        says(&drain, 4, "not drained: the VIP of lab stays as it is")?;
        promise(found == primary, || format!("it was refused, and {found} leads"))
    })?;
    untouched(&under_test.experiment, &figures)
}

/// This host's pause is its own agent's alone: the target's server is made the primary, its agent takes no VIP until it is resumed, and the
/// command does not call that done.
pub(super) fn to_a_paused_host(under_test: &mut UnderTest) -> Result<String, Broken> {
    let figures = under_test.experiment.dethroning("switchover to a paused host", |experiment, deed| {
        let old = experiment.lab.group.primary()?;
        let to = (old + 1) % experiment.lab.agents.len();
        says(&typed(experiment, to, &["pause", "--host"])?, 0, "paused until")?;
        let at = address(experiment, to);
        let said = typed(experiment, old, &["switchover", "--yes", "--to", &at]);
        let (primary, there) = (experiment.lab.group.primary(), holders(&experiment.lab.segment));
        says(&typed(experiment, to, &["resume", "--host"])?, 0, "resumed")?;
        let said = said?;
        says(
            &said,
            5,
            &format!("still under way: {at} is the primary, and is not seen to take writes at the VIP"),
        )?;
        says(&said, 5, &format!("look at the log of haipmgr on {at}"))?;
        let (primary, there) = (primary?, there?);
        promise(primary == to && there != [to], || format!("{primary} leads, and the VIP is on {there:?}"))?;
        wait_for_holders(experiment, &[to], MOVED_WITHIN)?;
        experiment.wait_followed(old)?;
        experiment.heals(deed);
        Ok::<_, Broken>(())
    })?;
    rows_are_there(&figures)?;
    never_two_holders(&figures)?;
    Ok(format!("the VIP moved {} s after the switchover, once the host was resumed", figures.vip_moved))
}

/// Rows flow where each takes no longer than this …
const FLOWS_WITHIN: Duration = Duration::from_millis(100);
/// … which they do again within this, after a member has joined.
const FLOWS_LIMIT: Duration = Duration::from_secs(60);

/// While a member joins, the group commits four rows a second (docs/failover-time.md): a row of the client's that takes as long as the whole
/// drain may is refused, as it should be, and not what is to be shown.
fn wait_until_rows_flow(server: &Server) -> Result<(), Broken> {
    let (since, mut in_a_row) = (Instant::now(), 0);
    while in_a_row < 5 {
        let begun = Instant::now();
        server.run("REPLACE INTO lab.ledger (id, note) VALUES (0, 'does it flow')")?;
        in_a_row = if begun.elapsed() < FLOWS_WITHIN { in_a_row + 1 } else { 0 };
        promise(since.elapsed() < FLOWS_LIMIT, || {
            format!(
                "the primary took no five rows within {} ms each for {} s",
                FLOWS_WITHIN.as_millis(),
                FLOWS_LIMIT.as_secs()
            )
        })?;
    }
    server.run("DELETE FROM lab.ledger WHERE id = 0")?;
    Ok(())
}

/// The whole time that a drain may take is over while a transaction at work holds the switchover up: it says so, and nothing is given up.
/// When the transaction ends the switchover happens, and the VIP follows it.
pub(super) fn drain_out_of_time(under_test: &mut UnderTest) -> Result<String, Broken> {
    let figures = under_test.experiment.dethroning("haipmgr drain, out of time", |experiment, deed| {
        let old = experiment.lab.group.primary()?;
        wait_until_rows_flow(&experiment.lab.group.servers()[old])?;
        let work = super::switchover_command::at_work(&experiment.lab.group.servers()[old])?;
        let said = typed(experiment, old, &["drain", "--timeout", "2s"]);
        let there = holders(&experiment.lab.segment);
        work.end();
        let said = said?;
        says(&said, 5, "1s are over, and the switchover is still under way")?;
        says(&said, 5, "still under way: 2s are over")?;
        says(&said, 5, "it may still happen")?;
        let there = there?;
        promise(there == [old], || format!("its time was over, and the VIP was on {there:?}"))?;
        experiment.wait_followed(old)?;
        experiment.heals(deed);
        Ok::<_, Broken>(())
    })?;
    followed(&figures)
}
