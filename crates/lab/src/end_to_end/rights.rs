//! What the agents' account may do: a test gives back what it changes of that, or every test after it runs with another account.

use std::collections::BTreeSet;

use mysql::prelude::Queryable as _;

use super::Broken;
use crate::experiment::Experiment;
use crate::group::AGENT_USER;

/// A line for each grant, as the primary shows them; none where there is no primary to ask.
pub(super) fn of_agents(experiment: &Experiment) -> Option<BTreeSet<String>> {
    let group = &experiment.lab.group;
    let mut connection = group.servers()[group.primary().ok()?].admin().ok()?;
    connection.query::<String, _>(format!("SHOW GRANTS FOR '{AGENT_USER}'@'%'")).ok().map(BTreeSet::from_iter)
}

/// An error where both are known and differ.
pub(super) fn unchanged(
    before: Option<&BTreeSet<String>>,
    after: Option<&BTreeSet<String>>,
) -> Result<(), Broken> {
    let (Some(before), Some(after)) = (before, after) else { return Ok(()) };
    let differ: Vec<&str> = before.symmetric_difference(after).map(String::as_str).collect();
    if differ.is_empty() {
        return Ok(());
    }
    Err(Broken::NotAsPromised(format!("the test leaves other rights to {AGENT_USER}: {}", differ.join("; "))))
}
