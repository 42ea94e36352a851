//! VIPs that a new configuration does not have any more: an agent of its own takes them over from their cluster's, and gives them up in
//! good order.

use std::collections::BTreeSet;
use std::future::Future;

use decide::driver::{Driver, Stop};
use decide::net::VipId;
use decide::policy::{Policy, SilentHost};
use tokio::time::{Instant, sleep_until};

use super::drive::drive;
use super::{Agent, Inbox, next_of};
use crate::clock;
use crate::config::{Cluster, DecisionTrace};

/// What is given up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaving {
    cluster: Cluster,
    names: Names,
}

/// How the log names what is given up, and whether the state file is told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Names {
    /// Of the cluster that they were of.
    pub(super) policy: Policy,
    /// Nobody else writes the state file (S6).
    pub(super) marks: bool,
}

impl Leaving {
    /// These VIPs of a cluster, as it was. `goes_on`: the cluster has other VIPs now, and an agent for them, which does all else.
    pub fn of(cluster: &Cluster, vips: &BTreeSet<VipId>, goes_on: bool) -> Self {
        let names = Names { policy: cluster.policy.clone(), marks: !goes_on };
        let mut cluster = cluster.clone();
        cluster.policy.vips.retain(|vip, _| vips.contains(vip));
        let group = &mut cluster.policy.group;
        (group.wake_expel, group.proven_dead, group.fence) = (false, false, false);
        group.silent_host = SilentHost::Wait;
        // Two who write one trace would make it unplayable.
        cluster.decision_trace = DecisionTrace::Off;
        Self { cluster, names }
    }

    pub(super) fn parts(self) -> (Cluster, Names) {
        (self.cluster, self.names)
    }
}

impl Agent {
    /// Holds what it has until `when` is over, and gives it up then. Gives whether it is gone.
    pub(super) async fn give_up(mut self, inbox: Inbox, when: impl Future<Output = ()>) -> bool {
        let policy = self.cluster.policy.clone();
        let mut driver = Driver::new(&policy, clock::now());
        self.inbox = Some(inbox);
        self.prepare();
        tokio::pin!(when);
        while let Some(until) = drive(&mut driver, &policy, &mut self).await {
            let until = Instant::now() + until.since(clock::now());
            let told = driver.is_stopping();
            tokio::select! {
                biased;
                () = &mut when, if !told => driver.stop(Stop::GiveUp),
                event = next_of(&mut self.frames) => driver.push(event),
                event = next_of(&mut self.inbox) => driver.push(event),
                () = sleep_until(until) => {}
            }
        }
        self.historian.write_open();
        self.say_what_failed_at_the_end(&mut driver);
        driver.state().has_given_up()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use crate::config::Source;
    use crate::fuzzing::configuration;

    #[test]
    fn who_gives_up_some_vips_knows_no_others_expels_nobody_and_writes_no_trace() {
        let text = "[[cluster]]\nvip=\"10.7.0.1\"\ngateway=\"10.0.0.1\"\nmysql_port=3306\nuser=\"u\"\npassword=\"p\"\ninstall_path=\"/\"\n\
             decision_trace=\"all\"\nmembers={\"10.0.0.2\"=\"e\"}\n[[cluster.vips]]\naddress=\"10.7.0.2\"\n";
        let cluster = configuration(Source::Toml, text.as_bytes()).unwrap().remove(0);
        assert!(cluster.policy.group.elects());
        let (leaves, names) = Leaving::of(&cluster, &BTreeSet::from([VipId(1)]), true).parts();
        assert_eq!(leaves.policy.vips.keys().collect::<Vec<_>>(), [&VipId(1)]);
        assert!(!leaves.policy.group.elects() && leaves.decision_trace == DecisionTrace::Off);
        assert_eq!((names.policy, names.marks), (cluster.policy.clone(), false));
        assert!(Leaving::of(&cluster, &BTreeSet::from([VipId(0), VipId(1)]), false).names.marks);
    }
}
