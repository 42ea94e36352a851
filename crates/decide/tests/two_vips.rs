//! Two VIPs in one cluster, of two families: each is taken, claimed and let go of by itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod model_host;

use std::collections::BTreeSet;
use std::time::Duration;

use decide::driver::{Driver, Next, Settled, Stop};
use decide::input::{Event, Fact, Frame, Gateway, HostAddress, Says, Seen, Server};
use decide::net::VipId;
use decide::output::{Action, Outcome, Reason, Said, StatMark, VipAction};
use decide::policy::{Policy, VipPolicy};
use decide::time::Time;
use model_host::{VIP, group_policy, host, hung, limits, mac, member, ms, primary, secondary};

const FIRST: VipId = VipId::FIRST;
const SECOND: VipId = VipId(1);
const EACH: [VipId; 2] = [FIRST, SECOND];

fn policy() -> Policy {
    let mut policy = Policy::new(group_policy(), limits());
    policy.vips.insert(SECOND, VipPolicy::new("fd77::100".parse().unwrap()));
    policy
}

/// Member 1's agent and kernel; its server leads unless a test says otherwise.
struct Agent {
    policy: Policy,
    driver: Driver,
    now: Time,
    server: Fact<Server>,
    gateway: Fact<Gateway>,
    /// Nothing is told of the server any more, not even a time-out.
    unheard: bool,
    here: BTreeSet<VipId>,
    /// Orders about these addresses fail.
    fails: BTreeSet<VipId>,
    /// Another host answers for these.
    elsewhere: BTreeSet<VipId>,
    deeds: Vec<Action>,
    settled: Vec<Settled>,
}

impl Agent {
    fn new() -> Self {
        let (policy, now) = (policy(), Time(1_000_000_000));
        let driver = Driver::new(&policy, now);
        let none = BTreeSet::new;
        let (deeds, settled) = (Vec::new(), Vec::new());
        let (here, fails, elsewhere) = (none(), none(), none());
        let (server, gateway, unheard) = (primary(), Fact::Known(Gateway::Reachable), false);
        let mut agent =
            Self { policy, driver, now, server, gateway, unheard, here, fails, elsewhere, deeds, settled };
        agent.driver.push(Event::Neighbor { address: member(2), mac: mac(2) });
        agent
    }

    fn that_holds_both() -> Self {
        let mut agent = Self::new();
        agent.run(Duration::from_secs(2));
        assert_eq!(agent.here, BTreeSet::from(EACH), "{:#?}", agent.settled.last());
        agent.deeds.clear();
        agent.settled.clear();
        agent
    }

    fn addresses(&self) -> Event {
        let mut host = host("eth0", false);
        host.addresses.extend(self.here.iter().map(|vip| {
            let address = self.policy.address_of(*vip).unwrap();
            let prefix = if address.is_ipv4() { 32 } else { 128 };
            HostAddress { address, prefix, interface: "eth0".to_owned() }
        }));
        Event::Host(Seen { asked_at: self.now, fact: Fact::Known(host) })
    }

    fn carry_out(&mut self, action: &Action) -> Outcome {
        let answer = match action {
            Action::AskHost => self.addresses(),
            Action::AskServer if self.unheard => return Outcome::Succeeded,
            Action::AskServer => Event::Server(Seen { asked_at: self.now, fact: self.server.clone() }),
            Action::AskGateway => Event::Gateway(Seen { asked_at: self.now, fact: self.gateway.clone() }),
            Action::Vip(vip, VipAction::SendProbe) if self.elsewhere.contains(vip) => {
                Event::Frame(*vip, Frame { from: mac(2), says: Says::Reply })
            }
            Action::Vip(vip, VipAction::AddAddress { .. } | VipAction::RemoveAddress { .. })
                if self.fails.contains(vip) =>
            {
                return Outcome::Failed("the kernel did not answer".to_owned());
            }
            Action::Vip(vip, VipAction::AddAddress { .. }) => {
                self.here.insert(*vip);
                self.addresses()
            }
            Action::Vip(vip, VipAction::RemoveAddress { .. }) => {
                self.here.remove(vip);
                self.addresses()
            }
            _ => return Outcome::Succeeded,
        };
        self.driver.push(answer);
        Outcome::Succeeded
    }

    /// Gives whether it has not ended. Its server is polled each 20 ms.
    fn run(&mut self, length: Duration) -> bool {
        let end = self.now + length;
        while self.now < end {
            match self.driver.next(&self.policy, self.now, |_, _| {}) {
                Next::Decided(_) => {}
                Next::Deed(action) => {
                    let outcome = self.carry_out(&action);
                    self.driver.done(outcome);
                    self.deeds.push(action);
                }
                Next::Settled(settled) => self.settled.push(*settled),
                Next::ReadUnread { addresses } => {
                    if addresses {
                        self.driver.push(self.addresses());
                    }
                }
                Next::Wait { until } => {
                    self.now = until.min(self.now + ms(20)).max(self.now + ms(1));
                    self.carry_out(&Action::AskServer);
                    self.carry_out(&Action::AskGateway);
                }
                Next::Ended => return false,
            }
        }
        true
    }

    fn count(&self, vip: VipId, wanted: impl Fn(&VipAction) -> bool) -> usize {
        let about = |deed: &&Action| matches!(deed, Action::Vip(of, action) if *of == vip && wanted(action));
        self.deeds.iter().filter(about).count()
    }

    fn said(&self, wanted: impl Fn(&Said) -> bool) -> Option<String> {
        let mut all = self.settled.iter().flat_map(|settled| &settled.decision.reasons);
        all.find(|said| wanted(said)).map(|said| said.text(&self.policy))
    }
}

fn adds(action: &VipAction) -> bool {
    matches!(action, VipAction::AddAddress { .. })
}

#[test]
fn both_are_taken_at_the_start_each_after_probes_of_its_own() {
    let mut agent = Agent::new();
    agent.run(Duration::from_secs(2));
    assert_eq!(agent.here, BTreeSet::from(EACH));
    for vip in EACH {
        assert_eq!(agent.count(vip, adds), 1);
        assert!(agent.count(vip, |action| *action == VipAction::SendProbe) >= 3, "{vip}");
        assert!(agent.count(vip, |action| *action == VipAction::Announce) >= 1, "{vip}");
    }
    let marks = agent.deeds.iter().filter(|deed| **deed == Action::WriteStat(StatMark::Started)).count();
    assert_eq!(marks, 1, "the state file tells of the first alone (S6)");
}

#[test]
fn one_that_another_host_answers_for_is_waited_for_and_the_other_is_taken() {
    for (taken, free) in [(FIRST, SECOND), (SECOND, FIRST)] {
        let mut agent = Agent::new();
        agent.elsewhere.insert(taken);
        agent.run(Duration::from_secs(2));
        assert_eq!(agent.here, BTreeSet::from([free]));
        agent.elsewhere.clear();
        agent.run(Duration::from_secs(2));
        assert_eq!(agent.here, BTreeSet::from(EACH));
    }
}

#[test]
fn a_claim_to_one_that_nothing_can_be_learned_of_takes_that_one_alone() {
    for (claimed, other) in [(FIRST, SECOND), (SECOND, FIRST)] {
        let mut agent = Agent::that_holds_both();
        agent.server = Fact::Unknown(hung());
        agent.run(ms(100));
        for _ in 0..40 {
            agent.driver.push(Event::Frame(claimed, Frame { from: mac(2), says: Says::Probe }));
            agent.run(ms(20));
        }
        assert_eq!(agent.here, BTreeSet::from([other]), "{:#?}", agent.settled.last());
        assert_eq!(agent.count(other, |action| matches!(action, VipAction::AnnounceRelease(_))), 0);
        let stopped = |said: &Said| matches!(said.reason, Reason::Stopped { .. });
        let address = agent.policy.address_of(claimed).unwrap().to_string();
        let words = agent.said(stopped).unwrap();
        assert!(words.starts_with(&format!("{address}: VIP stopped on eth0")), "{words}");
        assert_eq!(agent.said(|said| stopped(said) && said.vip == Some(other)), None);
    }
}

#[test]
fn an_address_that_can_not_be_added_is_not_announced_and_the_other_is() {
    for (failed, other) in [(FIRST, SECOND), (SECOND, FIRST)] {
        let mut agent = Agent::new();
        agent.fails.insert(failed);
        agent.run(Duration::from_secs(2));
        assert_eq!(agent.here, BTreeSet::from([other]));
        assert_eq!(agent.count(failed, |action| *action == VipAction::Announce), 0);
        assert!(agent.count(other, |action| *action == VipAction::Announce) >= 1);
        let marked = agent.deeds.contains(&Action::WriteStat(StatMark::Started));
        assert_eq!(marked, failed == SECOND, "the state file tells of the first (S6)");
        let together = agent.settled.iter().find(|settled| settled.not_started.contains(&failed)).unwrap();
        assert_eq!(together.not_started, BTreeSet::from([failed]), "both were ordered in one decision");
        let of_both = |vip| Action::Vip(vip, VipAction::Announce);
        assert!(EACH.into_iter().all(|vip| together.decision.actions.contains(&of_both(vip))));
        agent.fails.clear();
        agent.run(Duration::from_secs(2));
        assert_eq!(agent.here, BTreeSet::from(EACH), "it is tried again");
    }
}

#[test]
fn giving_up_waits_for_both() {
    let mut agent = Agent::that_holds_both();
    agent.fails.insert(SECOND);
    agent.driver.stop(Stop::GiveUp);
    assert!(agent.run(Duration::from_secs(2)), "one is still here");
    assert_eq!(agent.here, BTreeSet::from([SECOND]));
    assert!(!agent.driver.state().has_given_up());
    agent.fails.clear();
    assert!(!agent.run(Duration::from_secs(2)), "both are gone, and it ends");
    assert!(agent.here.is_empty() && agent.driver.state().has_given_up());
}

#[test]
fn a_reason_names_its_address_where_there_are_several_and_the_hosts_own_names_none() {
    let said = |vip| Said { vip, reason: Reason::Holding };
    assert_eq!(said(Some(FIRST)).text(&policy()), format!("{VIP}: VIP kept: all stages pass"));
    assert_eq!(said(Some(SECOND)).text(&policy()), "fd77::100: VIP kept: all stages pass");
    assert_eq!(said(None).text(&policy()), "VIP kept: all stages pass");
    let one = Policy::new(group_policy(), limits());
    assert_eq!(said(Some(FIRST)).text(&one), "VIP kept: all stages pass");
}

#[test]
fn one_that_cannot_be_heard_is_not_taken_and_the_other_is() {
    for (unheard, heard) in [(FIRST, SECOND), (SECOND, FIRST)] {
        let mut agent = Agent::new();
        agent.driver.push(Event::ReceiveUp(unheard, false));
        agent.driver.push(Event::ReceiveUp(heard, true));
        agent.run(Duration::from_secs(2));
        assert_eq!(agent.here, BTreeSet::from([heard]));
        assert_eq!(agent.count(unheard, |action| *action == VipAction::SendProbe), 0);
        assert!(agent.said(|said| said.vip == Some(unheard) && said.reason == Reason::ReceiveDown).is_some());
        agent.driver.push(Event::ReceiveUp(unheard, true));
        agent.run(Duration::from_secs(2));
        assert_eq!(agent.here, BTreeSet::from(EACH));
        assert!(agent.count(unheard, |action| *action == VipAction::SendProbe) >= 3);
    }
}

/// Since the deeds of a test began: in which order the VIP's connections were listed, its clients tickled and its connections closed.
fn about_clients(agent: &Agent, vip: VipId) -> Vec<&VipAction> {
    agent
        .deeds
        .iter()
        .filter_map(|deed| match deed {
            Action::Vip(of, action) if *of == vip => Some(action),
            _ => None,
        })
        .filter(|action| {
            matches!(
                action,
                VipAction::ListConnections | VipAction::TickleClients | VipAction::DestroyConnections
            )
        })
        .collect()
}

/// The agent stands still until long after its leases are over, the kernel has dropped both addresses, and then goes on.
fn slept_past_its_leases() -> Agent {
    let mut agent = Agent::that_holds_both();
    agent.here.clear();
    agent.now = agent.now + Duration::from_secs(60);
    agent
}

#[test]
fn an_agent_that_wakes_after_its_lease_closes_what_is_connected_once_it_hears_that_another_has_the_vip() {
    for vip in EACH {
        let mut agent = slept_past_its_leases();
        agent.server = secondary();
        agent.driver.push(Event::Wake);
        agent.run(ms(5));
        assert_eq!(about_clients(&agent, vip), [&VipAction::ListConnections], "{vip}: first of all");
        assert_eq!(agent.count(vip, |action| *action == VipAction::AskWhoHasVip), 1, "{vip}");
        agent.driver.push(Event::Frame(vip, Frame { from: mac(2), says: Says::Reply }));
        agent.run(ms(100));
        let done = about_clients(&agent, vip);
        assert_eq!(done[..2], [&VipAction::ListConnections, &VipAction::TickleClients], "{vip}");
        assert_eq!(done.last(), Some(&&VipAction::DestroyConnections), "{vip}");
    }
}

#[test]
fn an_ipv6_vips_connections_are_closed_three_seconds_after_its_lease_where_nobody_is_heard_to_have_it() {
    let mut agent = slept_past_its_leases();
    agent.server = secondary();
    agent.driver.push(Event::Wake);
    agent.run(ms(2_900));
    assert_eq!(about_clients(&agent, SECOND), [&VipAction::ListConnections], "it may come back");
    agent.run(ms(200));
    let closed = [&VipAction::ListConnections, &VipAction::DestroyConnections];
    assert_eq!(
        about_clients(&agent, SECOND),
        closed,
        "its server would go on serving from an address that is gone"
    );
    assert_eq!(
        about_clients(&agent, FIRST),
        [&VipAction::ListConnections],
        "with IPv4 nothing leaves; it may come back"
    );
}

#[test]
fn an_agent_that_wakes_after_its_lease_and_takes_the_vip_again_leaves_its_connections_alone() {
    let mut agent = slept_past_its_leases();
    agent.driver.push(Event::Wake);
    agent.run(Duration::from_secs(70));
    assert_eq!(agent.here, BTreeSet::from(EACH));
    for vip in EACH {
        assert_eq!(agent.count(vip, |action| *action == VipAction::DestroyConnections), 0, "{vip}");
    }
}

#[test]
fn one_that_was_removed_by_hand_keeps_its_connections_where_it_comes_back_and_loses_them_to_another_holder() {
    for vip in EACH {
        let mut agent = Agent::that_holds_both();
        agent.here.remove(&vip);
        agent.driver.push(agent.addresses());
        agent.run(Duration::from_secs(70));
        assert_eq!(agent.here, BTreeSet::from(EACH));
        assert_eq!(agent.count(vip, |action| *action == VipAction::DestroyConnections), 0, "{vip}");
        let mut agent = Agent::that_holds_both();
        agent.here.remove(&vip);
        agent.elsewhere.insert(vip);
        agent.driver.push(agent.addresses());
        agent.run(ms(200));
        assert_eq!(agent.count(vip, |action| *action == VipAction::DestroyConnections), 1, "{vip}");
    }
}

#[test]
fn a_released_vips_connections_are_closed_when_the_new_holder_is_heard_with_ipv6_at_once() {
    for (vip, course) in [
        (FIRST, vec![VipAction::ListConnections, VipAction::TickleClients]),
        (SECOND, vec![VipAction::ListConnections, VipAction::TickleClients, VipAction::DestroyConnections]),
    ] {
        let mut agent = Agent::that_holds_both();
        agent.driver.push(Event::Release);
        agent.run(ms(5));
        assert_eq!(
            about_clients(&agent, vip),
            [&VipAction::ListConnections],
            "{vip}: the new holder is not there yet"
        );
        agent.driver.push(Event::Frame(vip, Frame { from: mac(2), says: Says::Announcement }));
        agent.run(ms(5));
        assert_eq!(about_clients(&agent, vip), course.iter().collect::<Vec<_>>(), "{vip}");
    }
}

#[test]
fn a_lease_that_lapses_says_nothing_of_the_other_vip_which_a_pause_keeps_as_long_as_its_own_lease() {
    for (lapses, other) in [(FIRST, SECOND), (SECOND, FIRST)] {
        let mut agent = Agent::that_holds_both();
        // Its lease is renewed at other times than the other's.
        agent.policy.vips.get_mut(&lapses).unwrap().lease = Some(Duration::from_secs(5));
        agent.run(Duration::from_secs(4));
        agent.driver.push(Event::Pause { until: agent.now + Duration::from_secs(600) });
        agent.run(ms(100));
        agent.unheard = true;
        agent.gateway = Fact::Known(Gateway::Lost { misses: 4 });
        agent.deeds.clear();
        while agent.said(|said| matches!(said.reason, Reason::LeaseOver(_))).is_none() {
            agent.run(ms(20));
        }
        agent.here.remove(&lapses);
        agent.run(ms(500));
        let removes = |action: &VipAction| matches!(action, VipAction::RemoveAddress { .. });
        assert_eq!(
            (agent.count(other, removes), &agent.here),
            (0, &BTreeSet::from([other])),
            "{:#?}",
            agent.settled.last()
        );
        // What is known of the server is as old as it was, and no ground to claim the one that is gone.
        agent.driver.push(Event::Resume);
        agent.gateway = Fact::Known(Gateway::Reachable);
        agent.run(ms(500));
        assert_eq!(agent.count(lapses, |action| *action == VipAction::SendProbe), 0);
        agent.unheard = false;
        agent.run(Duration::from_secs(2));
        assert_eq!(agent.here, BTreeSet::from(EACH), "{:#?}", agent.settled.last());
    }
}

#[test]
fn leases_that_are_due_within_a_moment_of_each_other_are_renewed_after_one_look() {
    let mut agent = Agent::new();
    agent.run(ms(400));
    assert_eq!(agent.here, BTreeSet::from(EACH));
    // The second is put back: from now on its lease would be due half a second after the first's.
    agent.here.remove(&SECOND);
    agent.driver.push(agent.addresses());
    agent.run(Duration::from_secs(7));
    assert_eq!(agent.here, BTreeSet::from(EACH));
    agent.deeds.clear();
    agent.run(Duration::from_secs(20));
    let renews = |action: &VipAction| matches!(action, VipAction::RenewAddress { .. });
    let renewed = EACH.map(|vip| agent.count(vip, renews));
    let looks = agent.deeds.iter().filter(|deed| **deed == Action::AskHost).count();
    assert!(renewed[0] >= 6 && renewed[1] >= 6, "{renewed:?}");
    assert!(looks <= renewed[0] + 2, "{looks} looks for {renewed:?} renewals");
}
