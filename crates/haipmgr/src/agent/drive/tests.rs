//! The loop on a clock and edges of the test's own: nothing sleeps, nothing is sent.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use decide::driver::{HELD_UP, RENEWAL_WITHIN, START_WITHIN, Stop};
use decide::input::{
    Fact, Frame, Gateway, GroupView, Host, HostAddress, Interface, Member, MemberState, Role, Says, Seen,
    Server, ViewId,
};
use decide::net::{Mac, VipId};
use decide::output::VipAction;
use decide::policy::{GroupPolicy, VipPolicy};
use decide::vip::VipState;

use super::*;

const VIP: &str = "10.77.0.100";
const BEGIN: Time = Time(1_000_000_000);

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn policy() -> Policy {
    let members = (11..=13).map(|last| (ip(&format!("10.77.0.{last}")), "eth0".to_owned()));
    Policy::new(GroupPolicy::new(members.collect::<BTreeMap<_, _>>()), VipPolicy::new(ip(VIP)))
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn claim() -> Event {
    Event::Frame(VipId::FIRST, Frame { from: Mac([2, 0, 0, 0, 0, 12]), says: Says::Probe })
}

/// What happens at the edges, in the order of the calls; the clock moves only where a test moves it.
struct Fake {
    now: Time,
    vip_here: bool,
    /// Pushed at the next call.
    arrived: VecDeque<Event>,
    /// Lies in the kernel, and is pushed when that is asked for.
    unread: VecDeque<Event>,
    /// Time that each kind of deed takes, by the start of its name.
    takes: Vec<(&'static str, Duration)>,
    fails: Option<&'static str>,
    /// From each decision to start or renew to what follows.
    held_up: Duration,
    taken: Vec<Event>,
    deeds: Vec<Action>,
    switches: usize,
}

impl Fake {
    fn new(vip_here: bool) -> Self {
        Self {
            now: BEGIN,
            vip_here,
            arrived: VecDeque::new(),
            unread: VecDeque::new(),
            takes: Vec::new(),
            fails: None,
            held_up: Duration::ZERO,
            taken: Vec::new(),
            deeds: Vec::new(),
            switches: 0,
        }
    }

    fn host(&self) -> Event {
        let address = |text, prefix| HostAddress { address: ip(text), prefix, interface: "eth0".to_owned() };
        let mut addresses = vec![address("10.77.0.11", 24)];
        addresses.extend(self.vip_here.then(|| address(VIP, 32)));
        let interfaces = vec![Interface { name: "eth0".to_owned(), running: true }];
        Event::Host(Seen { asked_at: self.now, fact: Fact::Known(Host { addresses, interfaces }) })
    }

    /// The server leads, and the gateway answers.
    fn answers(&self) -> [Event; 2] {
        let row = |last: u8| Member {
            id: format!("uuid-{last}"),
            host: format!("db{last}"),
            port: 3306,
            state: MemberState::Online,
            role: if last == 11 { Role::Primary } else { Role::Secondary },
        };
        let view = GroupView {
            local: "uuid-11".to_owned(),
            super_read_only: false,
            view: Some(ViewId::new("17635", 5)),
            members: (11..=13).map(row).collect(),
        };
        let asked_at = self.now;
        [
            Event::Server(Seen { asked_at, fact: Fact::Known(Server::Member(view)) }),
            Event::Gateway(Seen { asked_at, fact: Fact::Known(Gateway::Reachable) }),
        ]
    }

    fn did(&self, name: &str) -> usize {
        self.deeds.iter().filter(|deed| in_words(deed).starts_with(name)).count()
    }
}

/// An order by its name, whichever VIP it is about.
fn in_words(deed: &Action) -> String {
    match deed {
        Action::Vip(_, order) => format!("{order:?}"),
        other => format!("{other:?}"),
    }
}

impl Edges for Fake {
    fn now(&mut self) -> Time {
        self.now
    }

    fn push_arrived(&mut self, driver: &mut Driver) {
        for event in self.arrived.drain(..) {
            driver.push(event);
        }
    }

    async fn push_unread(&mut self, driver: &mut Driver, addresses: bool) {
        for event in self.unread.drain(..) {
            driver.push(event);
        }
        if addresses {
            driver.push(self.host());
        }
    }

    fn before(&mut self, _: Time, _: &State, _: &Event) {}

    fn decided(&mut self, driver: &Driver, event: &Event) {
        self.taken.push(event.clone());
        let proven = |action: &Action| {
            matches!(action, Action::Vip(_, VipAction::AddAddress { .. } | VipAction::RenewAddress { .. }))
        };
        if driver.decision().is_some_and(|decision| decision.actions.iter().any(proven)) {
            self.now = self.now + self.held_up;
        }
    }

    async fn carry_out(&mut self, deed: &Action) -> Outcome {
        self.deeds.push(deed.clone());
        let name = in_words(deed);
        let is = |kind: &&str| name.starts_with(*kind);
        self.now =
            self.now + self.takes.iter().find(|(kind, _)| is(kind)).map_or(Duration::ZERO, |(_, time)| *time);
        if self.fails.as_ref().is_some_and(is) {
            return Outcome::Failed("the kernel says no".to_owned());
        }
        match deed {
            Action::Vip(_, VipAction::AddAddress { .. }) => self.vip_here = true,
            Action::Vip(_, VipAction::RenewAddress { .. }) if !self.vip_here => return Outcome::Gone,
            Action::Vip(_, VipAction::RemoveAddress { .. }) => {
                if !std::mem::take(&mut self.vip_here) {
                    return Outcome::Gone;
                }
                self.arrived.push_back(self.host());
            }
            Action::AskHost => self.arrived.push_back(self.host()),
            Action::AskServer | Action::AskGateway => self.arrived.extend(self.answers()),
            _ => {}
        }
        Outcome::Succeeded
    }

    async fn settled(&mut self, settled: &Settled) {
        self.switches += usize::from(settled.decision.stage_5() != 1 && settled.not_started.is_empty());
    }
}

/// Lets the agent run for so long, woken when it wants to be. Gives whether it has not ended.
async fn run(driver: &mut Driver, edges: &mut Fake, length: Duration) -> bool {
    let end = edges.now + length;
    while edges.now < end {
        let Some(until) = drive(driver, &policy(), edges).await else { return false };
        // Polled each 100 ms, as the server's watch does.
        edges.now = until.min(edges.now + ms(100)).min(end).max(edges.now + ms(1));
        let answers = edges.answers();
        edges.arrived.extend(answers);
    }
    true
}

async fn holder() -> (Driver, Fake) {
    let (mut driver, mut edges) = (Driver::new(&policy(), BEGIN), Fake::new(true));
    assert!(run(&mut driver, &mut edges, Duration::from_secs(2)).await);
    edges.arrived.push_back(Event::Neighbor { address: ip("10.77.0.12"), mac: Mac([2, 0, 0, 0, 0, 12]) });
    assert!(run(&mut driver, &mut edges, ms(500)).await);
    let held = &driver.state().vips[&VipId::FIRST].state;
    assert!(matches!(held, VipState::Holding(_)), "{held:?}");
    (driver, edges)
}

#[tokio::test]
async fn a_stop_comes_after_the_claim_that_lies_unread_and_leaves_the_vip_to_its_lease() {
    let (mut driver, mut edges) = holder().await;
    edges.deeds.clear();
    edges.unread.push_back(claim());
    driver.stop(Stop::LeaveVip);
    assert_eq!(drive(&mut driver, &policy(), &mut edges).await, None, "it ends");
    let place = |wanted: &Event| edges.taken.iter().position(|event| event == wanted);
    assert!(place(&claim()).unwrap() < place(&Event::Stopping).unwrap(), "{:?}", edges.taken);
    assert_eq!(edges.did("RenewAddress"), 0, "{:?}", edges.deeds);
    assert!(edges.vip_here, "it stays");
}

#[tokio::test]
async fn a_stopped_holder_whose_vip_was_removed_while_it_stood_still_adds_nothing() {
    let (mut driver, mut edges) = holder().await;
    edges.deeds.clear();
    edges.now = edges.now + Duration::from_secs(4);
    edges.vip_here = false;
    driver.stop(Stop::LeaveVip);
    assert_eq!(drive(&mut driver, &policy(), &mut edges).await, None);
    assert!(!edges.vip_here);
    assert_eq!(edges.did("AddAddress"), 0, "{:?}", edges.deeds);
}

#[tokio::test]
async fn a_stop_makes_the_vip_permanent_where_nothing_is_against_it() {
    let (mut driver, mut edges) = holder().await;
    edges.deeds.clear();
    driver.stop(Stop::LeaveVip);
    assert_eq!(drive(&mut driver, &policy(), &mut edges).await, None);
    assert!(
        edges
            .deeds
            .iter()
            .any(|deed| matches!(deed, Action::Vip(_, VipAction::RenewAddress { lifetime: None, .. }))),
        "{:?}",
        edges.deeds
    );
}

#[tokio::test]
async fn a_frame_that_is_heard_between_decision_and_deed_is_the_next_thing_taken_in() {
    let (mut driver, mut edges) = holder().await;
    edges.taken.clear();
    edges.now = driver.waits_until();
    // Something with deeds; while they are carried out the claim arrives behind the server's answers.
    edges.arrived.push_back(edges.host());
    let answers = edges.answers();
    edges.arrived.extend(answers);
    edges.arrived.push_back(claim());
    drive(&mut driver, &policy(), &mut edges).await;
    assert_eq!(edges.taken[0], claim(), "{:?}", edges.taken);
}

#[tokio::test]
async fn an_agent_that_was_held_up_hears_the_claim_before_it_looks_at_the_time() {
    let (mut driver, mut edges) = holder().await;
    edges.taken.clear();
    edges.arrived.clear();
    edges.now = driver.waits_until() + HELD_UP + ms(1);
    edges.unread.push_back(claim());
    drive(&mut driver, &policy(), &mut edges).await;
    assert_eq!(edges.taken[0], claim(), "{:?}", edges.taken);
}

#[tokio::test]
async fn a_start_that_comes_too_late_is_none_and_no_switch_is_logged() {
    let (mut driver, mut edges) = (Driver::new(&policy(), BEGIN), Fake::new(false));
    edges.held_up = START_WITHIN + ms(1);
    assert!(run(&mut driver, &mut edges, Duration::from_secs(3)).await);
    assert_eq!((edges.did("AddAddress"), edges.switches), (0, 0), "{:?}", edges.deeds);
    let too_late = |event: &Event| matches!(event, Event::Done { outcome: Outcome::Failed(text), .. } if text.contains("delayed"));
    assert!(edges.taken.iter().any(too_late), "it was to be started: {:?}", edges.taken);
    edges.held_up = Duration::ZERO;
    assert!(run(&mut driver, &mut edges, Duration::from_secs(3)).await);
    assert_eq!((edges.did("AddAddress"), edges.switches), (1, 1), "and it is, once it is not held up");
}

#[tokio::test]
async fn a_renewal_that_comes_too_late_is_not_carried_out_and_is_decided_anew() {
    let (mut driver, mut edges) = holder().await;
    edges.deeds.clear();
    edges.held_up = RENEWAL_WITHIN + ms(1);
    assert!(run(&mut driver, &mut edges, Duration::from_secs(5)).await);
    assert_eq!(edges.did("RenewAddress"), 0, "{:?}", edges.deeds);
    edges.held_up = Duration::ZERO;
    assert!(run(&mut driver, &mut edges, ms(1_500)).await);
    assert!(edges.did("RenewAddress") > 0, "{:?}", edges.deeds);
}

#[tokio::test]
async fn a_removal_that_fails_says_to_nobody_that_the_vip_is_free() {
    let (mut driver, mut edges) = holder().await;
    edges.deeds.clear();
    edges.fails = Some("RemoveAddress");
    driver.stop(Stop::GiveUp);
    assert!(drive(&mut driver, &policy(), &mut edges).await.is_some());
    assert!(edges.did("RemoveAddress") > 0 && edges.did("AnnounceRelease") == 0, "{:?}", edges.deeds);
    assert!(edges.vip_here);
}

#[tokio::test]
async fn a_renewal_that_finds_nothing_announces_nothing() {
    let (mut driver, mut edges) = holder().await;
    edges.deeds.clear();
    let mut renewed = 0;
    while renewed == 0 {
        // It goes just after each look of the kernel.
        edges.vip_here = true;
        edges.arrived.push_back(edges.host());
        edges.vip_here = false;
        assert!(drive(&mut driver, &policy(), &mut edges).await.is_some());
        renewed = edges.did("RenewAddress");
        edges.now = edges.now + ms(10);
        let answers = edges.answers();
        edges.arrived.extend(answers);
        assert!(edges.now < BEGIN + Duration::from_secs(10), "it was never to be renewed");
    }
    assert!(edges.taken.iter().any(|event| matches!(event, Event::Done { outcome: Outcome::Gone, .. })));
    let renewal = edges
        .deeds
        .iter()
        .position(|deed| matches!(deed, Action::Vip(_, VipAction::RenewAddress { .. })))
        .unwrap();
    assert!(
        !edges.deeds[renewal..].contains(&Action::Vip(VipId::FIRST, VipAction::Announce)),
        "{:?}",
        &edges.deeds[renewal..]
    );
}
