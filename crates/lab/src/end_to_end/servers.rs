//! A server that lives and can't be asked is no reason to let go (S10, UNKNOWN-IS-NOT-NO).

use super::expect::untouched;
use super::{Broken, UnderTest, logs};
use crate::fault::Fault;

/// The VIP stays, the holder's log says why not all is well, and later that it is.
fn endures(under_test: &mut UnderTest, fault: Fault, says: &str) -> Result<String, Broken> {
    let holder = under_test.experiment.lab.wait_steady()?;
    let mark = logs::mark(&under_test.experiment, holder);
    let figures = under_test.experiment.run(fault)?;
    mark.wait_for(&under_test.experiment, &[says, "VIP kept: all stages pass"])?;
    untouched(&under_test.experiment, &figures)
}

pub(super) fn wrong_password(under_test: &mut UnderTest) -> Result<String, Broken> {
    endures(under_test, Fault::WrongPassword, "wrong user or password")
}

pub(super) fn too_many_connections(under_test: &mut UnderTest) -> Result<String, Broken> {
    endures(under_test, Fault::TooManyConnections, "too many connections")
}

/// For less time than the group takes to elect another.
pub(super) fn hung(under_test: &mut UnderTest) -> Result<String, Broken> {
    endures(under_test, Fault::Freeze, "no answer within")
}
