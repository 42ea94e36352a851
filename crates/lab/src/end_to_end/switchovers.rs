//! Planned switchovers while something is in their way: the VIP stays on the server that takes writes, whatever its role is called,
//! until the next one does. What MySQL does in each: `group_replication_set_as_primary` waits for the statement, the DDL and the
//! transaction. It does not wait for the backlog: the roles change at once, and for seconds the old primary is SECONDARY and writable,
//! the new one PRIMARY and read-only.

use super::expect::{followed, promise};
use super::{Broken, UnderTest};
use crate::fault::Fault;
use crate::measure::Reading;

/// How long nobody may hold the VIP. Seconds.
const UNHELD_LIMIT: f64 = 0.3;
/// How long the client may be without an acknowledged row, on a machine busy with other things: 300,000 rows are applied by three
/// servers on its disk meanwhile. Seconds …
const OUTAGE_LIMIT: f64 = 1.0;
/// … or this share of the time until another leads, whichever is longer: a holder that lets go at once costs all of it.
const OUTAGE_SHARE: f64 = 0.5;

pub(super) fn backlog(under_test: &mut UnderTest) -> Result<String, Broken> {
    serves_until_taken(under_test, Fault::SwitchoverBacklog)
}

pub(super) fn statement(under_test: &mut UnderTest) -> Result<String, Broken> {
    serves_until_taken(under_test, Fault::SwitchoverStatement)
}

pub(super) fn ddl(under_test: &mut UnderTest) -> Result<String, Broken> {
    serves_until_taken(under_test, Fault::SwitchoverDdl)
}

pub(super) fn transaction(under_test: &mut UnderTest) -> Result<String, Broken> {
    serves_until_taken(under_test, Fault::SwitchoverTransaction)
}

/// That the statement, the DDL and the transaction succeed, and that their rows are there, is looked for when they are taken away.
fn serves_until_taken(under_test: &mut UnderTest, fault: Fault) -> Result<String, Broken> {
    let figures = under_test.experiment.run(fault)?;
    let told = followed(&figures)?;
    let unheld = match figures.unheld {
        Reading::DoesNotApply => 0.0,
        other => other.seconds().unwrap_or(f64::INFINITY),
    };
    promise(unheld <= UNHELD_LIMIT, || {
        format!("nobody held the VIP for {} s while the old primary took writes; {told}", figures.unheld)
    })?;
    let outage = figures.outage.seconds().unwrap_or(f64::INFINITY);
    let limit =
        figures.elected.seconds().map_or(OUTAGE_LIMIT, |elected| OUTAGE_LIMIT.max(OUTAGE_SHARE * elected));
    promise(outage <= limit, || {
        format!("the client was out for {outage:.3} s, {limit:.3} s is the limit; {told}")
    })?;
    Ok(format!("{told}; nobody held the VIP for {unheld:.3} s"))
}
