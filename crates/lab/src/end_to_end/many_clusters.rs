//! One agent with several clusters, each on a stand-in's port: it costs little, and follows each. The limits are generous;
//! `lab cost` measures.

use std::time::Duration;

use super::expect::promise;
use super::{Broken, UnderTest};
use crate::cost;

/// As a share of one core, with six clusters on a machine that does other things too.
const PROCESSOR: f64 = 0.3;
/// Bytes.
const MEMORY: u64 = 80_000_000;
/// From a server that leads to its VIP on the interface.
const REACTION: Duration = Duration::from_secs(3);

pub(super) fn cost_little(under_test: &mut UnderTest) -> Result<String, Broken> {
    let layout = under_test.layout.clone();
    let many = cost::briefly(&layout, &under_test.experiment.lab.segment.client)?;
    let (share, slowest) = (many.processor, many.reaction.percentile(100));
    promise(share < PROCESSOR, || format!("the agent takes {:.1} % of a core", share * 100.0))?;
    promise(many.resident < MEMORY, || format!("the agent has {} bytes of memory", many.resident))?;
    promise(slowest < REACTION, || {
        format!("a VIP came {:.3} s after its server led", slowest.as_secs_f64())
    })?;
    Ok(format!(
        "{} clusters: {:.2} % of a core, {} kB, the slowest VIP after {:.3} s",
        many.clusters,
        share * 100.0,
        many.resident / 1000,
        slowest.as_secs_f64()
    ))
}
