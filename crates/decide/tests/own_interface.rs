//! A VIP on an interface that has no member's address: who is which member there, when it is said, and what stage 1 makes of the interface.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod model_host;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use decide::checks::{Cause, Stage};
use decide::driver::{Driver, Next};
use decide::input::{Event, Fact, Frame, Gateway, Host, HostAddress, Interface, Says, Seen, Server};
use decide::net::VipId;
use decide::output::{Action, LetGo, Outcome, Reason, Said, VipAction};
use decide::policy::{Policy, SilentHost, VipGateway, VipPolicy, VipRole};
use decide::time::Time;
use model_host::{group, group_policy, limits, mac, member, ms, primary, secondary};

const FIRST: VipId = VipId::FIRST;
const ELSEWHERE: VipId = VipId(1);
/// Member 2's hardware addresses: on the members' interface, on the other one, and that of a card put in there later.
const ON_ETH0: u8 = 2;
const ON_ETH1: u8 = 22;
const REPLACED: u8 = 32;

fn elsewhere() -> IpAddr {
    "10.78.0.100".parse().unwrap()
}

fn own() -> IpAddr {
    "10.78.0.11".parse().unwrap()
}

fn policy() -> Policy {
    let mut policy = Policy::new(group_policy(), limits());
    let names = policy.group.members.keys().map(|member| (*member, "eth1".to_owned())).collect();
    let vip = VipPolicy { interfaces: names, gateway: VipGateway::Nobody, ..VipPolicy::new(elsewhere()) };
    policy.vips.insert(ELSEWHERE, vip);
    policy.validate().unwrap();
    policy
}

/// Member 1's agent and kernel.
struct Agent {
    policy: Policy,
    driver: Driver,
    now: Time,
    server: Fact<Server>,
    /// Each VIP that is here, by its interface.
    here: BTreeMap<VipId, String>,
    /// The second interface: whether it is there, and runs; whether it has an address of its own.
    eth1: Option<bool>,
    addressed: bool,
    /// What was ordered, and when.
    deeds: Vec<(Time, Action)>,
    said: Vec<Said>,
}

impl Agent {
    fn new(policy: Policy) -> Self {
        let now = Time(1_000_000_000);
        let driver = Driver::new(&policy, now);
        Self {
            policy,
            driver,
            now,
            server: primary(),
            here: BTreeMap::new(),
            eth1: Some(true),
            addressed: true,
            deeds: Vec::new(),
            said: Vec::new(),
        }
    }

    fn that_holds_both() -> Self {
        let mut agent = Self::new(policy());
        agent.run(ms(2_000));
        let both = [(FIRST, "eth0"), (ELSEWHERE, "eth1")].map(|(vip, name)| (vip, name.to_owned()));
        assert_eq!(agent.here, both.into(), "{:#?}", agent.said.last());
        agent.deeds.clear();
        agent.said.clear();
        agent
    }

    fn host(&self) -> Host {
        let at = |address: IpAddr, prefix, interface: &str| HostAddress {
            address,
            prefix,
            interface: interface.to_owned(),
        };
        let mut addresses = vec![at(member(1), 24, "eth0")];
        addresses.extend((self.addressed && self.eth1.is_some()).then(|| at(own(), 24, "eth1")));
        addresses.extend(
            self.here.iter().map(|(vip, name)| at(self.policy.address_of(*vip).unwrap(), 32, name.as_str())),
        );
        let mut interfaces = vec![Interface { name: "eth0".to_owned(), running: true }];
        interfaces.extend(self.eth1.map(|running| Interface { name: "eth1".to_owned(), running }));
        Host { addresses, interfaces }
    }

    fn tell_addresses(&mut self) {
        self.driver.push(Event::Host(Seen { asked_at: self.now, fact: Fact::Known(self.host()) }));
    }

    fn hears(&mut self, from: u8, says: Says) {
        self.driver.push(Event::Frame(ELSEWHERE, Frame { from: mac(from), says }));
        self.run(ms(1));
    }

    fn carry_out(&mut self, action: &Action) {
        let asked_at = self.now;
        match action {
            Action::AskHost => self.tell_addresses(),
            Action::AskServer => {
                self.driver.push(Event::Server(Seen { asked_at, fact: self.server.clone() }));
            }
            Action::AskGateway => {
                let fact = Fact::Known(Gateway::Reachable);
                self.driver.push(Event::Gateway(Seen { asked_at, fact }));
            }
            Action::Vip(vip, VipAction::AddAddress { interface, .. }) => {
                self.here.insert(*vip, interface.clone());
                self.tell_addresses();
            }
            Action::Vip(vip, VipAction::RemoveAddress { interface }) => {
                if self.here.get(vip) == Some(interface) {
                    self.here.remove(vip);
                }
                self.tell_addresses();
            }
            _ => {}
        }
    }

    /// Its server is polled each 20 ms.
    fn run(&mut self, length: Duration) {
        let end = self.now + length;
        while self.now < end {
            match self.driver.next(&self.policy, self.now, |_, _| {}) {
                Next::Deed(action) => {
                    self.carry_out(&action);
                    self.driver.done(Outcome::Succeeded);
                    self.deeds.push((self.now, action));
                }
                Next::Settled(settled) => self.said.extend(settled.decision.reasons),
                Next::Wait { until } => {
                    self.now = until.min(self.now + ms(20)).max(self.now + ms(1));
                    self.carry_out(&Action::AskServer);
                    self.carry_out(&Action::AskGateway);
                }
                Next::Decided(_) | Next::ReadUnread { .. } => {}
                Next::Ended => panic!("it was not told to stop"),
            }
        }
    }

    fn asked_peer(&self, number: u8) -> bool {
        self.deeds.iter().any(|(_, deed)| *deed == Action::AskPeer(member(number)))
    }

    fn words(&self) -> Vec<Time> {
        let word = Action::Vip(ELSEWHERE, VipAction::SayMember { member: member(1), from: own() });
        self.deeds.iter().filter(|(_, deed)| *deed == word).map(|(at, _)| *at).collect()
    }

    fn has_said(&self, vip: VipId, wanted: impl Fn(&Reason) -> bool) -> bool {
        self.said.iter().any(|said| said.vip == Some(vip) && wanted(&said.reason))
    }
}

#[test]
fn which_member_a_host_is_is_said_at_its_start_before_the_first_probe_and_once_a_second() {
    let mut agent = Agent::new(policy());
    agent.run(ms(5_000));
    let about = |(_, deed): &&(Time, Action)| matches!(deed, Action::Vip(ELSEWHERE, _));
    let first = agent.deeds.iter().find(about).unwrap();
    assert!(matches!(first.1, Action::Vip(_, VipAction::SayMember { .. })), "{first:?}");
    let words = agent.words();
    assert_eq!(words.len(), 5, "{words:?}");
    for pair in words.windows(2) {
        assert!(pair[1].since(pair[0]) >= ms(1_000) && pair[1].since(pair[0]) < ms(1_030), "{words:?}");
    }
    let of_the_first =
        |(_, deed): &(Time, Action)| matches!(deed, Action::Vip(FIRST, VipAction::SayMember { .. }));
    assert!(!agent.deeds.iter().any(of_the_first), "on the members' interface all know each other");
}

#[test]
fn a_claim_between_two_words_is_introduced_too() {
    let mut agent = Agent::new(policy());
    agent.server = secondary();
    agent.run(ms(1_300));
    agent.deeds.clear();
    agent.server = primary();
    agent.run(ms(100));
    let probe = Action::Vip(ELSEWHERE, VipAction::SendProbe);
    let first = agent.deeds.iter().position(|(_, deed)| *deed == probe).unwrap();
    let word =
        agent.deeds.iter().position(|(_, deed)| matches!(deed, Action::Vip(_, VipAction::SayMember { .. })));
    assert!(word.is_some_and(|word| word < first), "{:?}", agent.deeds);
    assert_eq!(agent.words().len(), 1, "each probe is not");
}

#[test]
fn the_first_vip_on_an_interface_speaks_for_all() {
    let mut two = policy();
    let third = VipPolicy { address: "10.78.0.101".parse().unwrap(), ..two.vips[&ELSEWHERE].clone() };
    two.vips.insert(VipId(2), third);
    let mut agent = Agent::new(two);
    agent.run(ms(1_000));
    agent.deeds.clear();
    agent.run(ms(3_000));
    assert!((3..=4).contains(&agent.words().len()));
    let third =
        |(_, deed): &(Time, Action)| matches!(deed, Action::Vip(VipId(2), VipAction::SayMember { .. }));
    assert!(!agent.deeds.iter().any(third));
    // What was said of the one holds for the other.
    agent.hears(ON_ETH1, Says::Member(member(2)));
    agent.driver.push(Event::Frame(VipId(2), Frame { from: mac(ON_ETH1), says: Says::Probe }));
    agent.run(ms(5));
    assert!(agent.asked_peer(2));
}

#[test]
fn the_claim_of_one_that_said_who_it_is_is_a_members_and_is_yielded() {
    let mut agent = Agent::that_holds_both();
    agent.hears(ON_ETH1, Says::Member(member(2)));
    assert!(!agent.asked_peer(2), "a word is no claim");
    agent.server = Fact::Known(Server::Member(group(1, 2, 546, true)));
    agent.hears(ON_ETH1, Says::Probe);
    assert!(agent.asked_peer(2));
    agent.run(ms(20));
    assert!(!agent.here.contains_key(&ELSEWHERE), "{:?}", agent.said.last());
    let released = Action::Vip(ELSEWHERE, VipAction::AnnounceRelease(Some(mac(ON_ETH1))));
    assert!(agent.deeds.iter().any(|(_, deed)| *deed == released), "{:?}", agent.deeds);
    assert!(agent.here.contains_key(&FIRST), "nobody has claimed that one");
}

#[test]
fn who_has_said_nothing_there_is_no_member_whatever_its_address_elsewhere() {
    let mut agent = Agent::that_holds_both();
    agent.driver.push(Event::Neighbor { address: member(2), mac: mac(ON_ETH0) });
    agent.hears(ON_ETH0, Says::Probe);
    agent.run(ms(2_500));
    assert!(!agent.asked_peer(2));
    assert!(
        agent.has_said(ELSEWHERE, |reason| *reason == Reason::StrangerAsks(mac(ON_ETH0))),
        "{:?}",
        agent.said
    );
    // Who says that it is this host, or somebody who is in no group, is no member either.
    for says in [member(1), member(9)] {
        agent.hears(ON_ETH1, Says::Member(says));
        agent.hears(ON_ETH1, Says::Probe);
    }
    assert!(!agent.asked_peer(1) && !agent.asked_peer(9));
}

#[test]
fn of_two_that_say_they_are_the_same_member_neither_is_until_one_is_silent() {
    let mut agent = Agent::that_holds_both();
    agent.hears(ON_ETH1, Says::Member(member(2)));
    agent.hears(REPLACED, Says::Member(member(2)));
    agent.hears(REPLACED, Says::Probe);
    agent.hears(ON_ETH1, Says::Probe);
    assert!(!agent.asked_peer(2));
    agent.run(ms(3_100));
    // The interface was replaced: the old hardware address has been silent since.
    agent.hears(REPLACED, Says::Member(member(2)));
    agent.hears(ON_ETH1, Says::Probe);
    assert!(!agent.asked_peer(2));
    agent.hears(REPLACED, Says::Probe);
    assert!(agent.asked_peer(2));
}

#[test]
fn the_last_word_of_a_hardware_address_counts() {
    let mut agent = Agent::that_holds_both();
    agent.hears(ON_ETH1, Says::Member(member(2)));
    agent.hears(ON_ETH1, Says::Member(member(3)));
    agent.hears(ON_ETH1, Says::Probe);
    assert!(agent.asked_peer(3) && !agent.asked_peer(2));
}

#[test]
fn a_holder_whose_agent_has_fallen_silent_is_a_member_still() {
    let mut agent = Agent::new(policy());
    agent.server = secondary();
    agent.hears(ON_ETH1, Says::Member(member(2)));
    agent.run(ms(20_000));
    agent.server = primary();
    agent.run(ms(30));
    agent.hears(ON_ETH1, Says::Reply);
    agent.run(ms(30));
    let taken = Reason::Taken(mac(ON_ETH1), Some(member(2)));
    assert!(agent.has_said(ELSEWHERE, |reason| *reason == taken), "{:?}", agent.said.last());
}

#[test]
fn with_its_interface_down_that_vip_alone_is_let_go_of_and_is_taken_again_with_it() {
    for (eth1, addressed, cause) in [
        (Some(false), true, Cause::InterfaceDown("eth1".to_owned())),
        (None, true, Cause::InterfaceMissing("eth1".to_owned())),
        (Some(true), false, Cause::NoAddressOn("eth1".to_owned())),
    ] {
        let mut agent = Agent::that_holds_both();
        (agent.eth1, agent.addressed) = (eth1, addressed);
        agent.tell_addresses();
        agent.run(ms(100));
        assert!(!agent.here.contains_key(&ELSEWHERE), "{cause}");
        let failed = LetGo::StageFailed(Stage::Member, cause.clone());
        let gone = |reason: &Reason| matches!(reason, Reason::Stopped { because, .. } if *because == failed);
        assert!(agent.has_said(ELSEWHERE, gone), "{:?}", agent.said);
        agent.run(ms(3_000));
        assert!(!agent.here.contains_key(&ELSEWHERE), "{cause}");
        assert!(agent.words().is_empty(), "there is nobody to hear it");
        let not_wanted = Reason::NotWanted(Stage::Member, cause);
        assert!(agent.has_said(ELSEWHERE, |reason| *reason == not_wanted), "{:?}", agent.said.last());
        (agent.eth1, agent.addressed) = (Some(true), true);
        agent.tell_addresses();
        agent.run(ms(200));
        assert_eq!(agent.here.get(&ELSEWHERE).map(String::as_str), Some("eth1"));
        let touched = |(_, deed): &(Time, Action)| {
            matches!(deed, Action::Vip(FIRST, VipAction::AddAddress { .. } | VipAction::RemoveAddress { .. }))
        };
        assert!(!agent.deeds.iter().any(touched), "the first VIP is touched: {:?}", agent.deeds);
    }
}

#[test]
fn another_vip_is_no_address_to_ask_from() {
    let mut two = policy();
    let third = VipPolicy { address: "10.78.0.101".parse().unwrap(), ..two.vips[&ELSEWHERE].clone() };
    two.vips.insert(VipId(2), third);
    let mut agent = Agent::new(two);
    agent.run(ms(2_000));
    assert_eq!(agent.here.len(), 3);
    agent.addressed = false;
    agent.tell_addresses();
    agent.run(ms(200));
    assert_eq!(agent.here.keys().copied().collect::<Vec<_>>(), [FIRST]);
}

#[test]
fn a_copy_on_the_members_interface_is_removed_and_the_vip_is_taken_where_it_belongs() {
    let mut agent = Agent::new(policy());
    agent.here.insert(ELSEWHERE, "eth0".to_owned());
    agent.run(ms(1_000));
    assert_eq!(agent.here.get(&ELSEWHERE).map(String::as_str), Some("eth1"));
    let removed = Action::Vip(ELSEWHERE, VipAction::RemoveAddress { interface: "eth0".to_owned() });
    assert!(agent.deeds.iter().any(|(_, deed)| *deed == removed));
}

#[test]
fn what_is_not_heard_there_says_nothing_of_the_members_own_interface() {
    let mut policy = policy();
    policy.group.silent_host = SilentHost::Expel;
    let mut agent = Agent::new(policy);
    agent.run(ms(3_000));
    let asked = agent.driver.state().facts.neighbors.questions.len();
    assert!(asked >= 2, "{asked}");
    agent.driver.push(Event::ReceiveUp(ELSEWHERE, false));
    agent.run(ms(50));
    assert!(agent.driver.state().facts.neighbors.questions.len() >= asked);
    assert!(agent.driver.state().facts.neighbors.not_heard.is_empty());
}

#[test]
fn an_interface_is_named_for_each_member_or_for_none_and_not_for_readers() {
    let with = |change: fn(&mut VipPolicy)| {
        let mut policy = policy();
        change(policy.vips.get_mut(&ELSEWHERE).unwrap());
        policy.validate().map_err(|bad| bad.to_string())
    };
    let missing = with(|vip| drop(vip.interfaces.pop_first())).unwrap_err();
    assert!(missing.contains("one for each member"), "{missing}");
    let reader = with(|vip| vip.role = VipRole::Reader).unwrap_err();
    assert!(reader.contains("for readers"), "{reader}");
    let mut shared = policy();
    let gateway = VipGateway::Own("10.78.0.254".parse().unwrap());
    shared.vips.get_mut(&ELSEWHERE).unwrap().gateway = gateway;
    let beside = VipPolicy { gateway, ..VipPolicy::new("10.77.0.101".parse().unwrap()) };
    shared.vips.insert(VipId(2), beside);
    let twice = shared.validate().unwrap_err().to_string();
    assert!(twice.contains("the same gateway"), "{twice}");
}

#[test]
fn a_vip_without_it_is_written_into_a_trace_as_ever() {
    let json = serde_json::to_string(&(policy().vips[&FIRST].clone(), limits())).unwrap();
    assert!(!json.contains("interface"), "{json}");
    let agent = Agent::new(Policy::new(group_policy(), limits()));
    let state = serde_json::to_string(agent.driver.state()).unwrap();
    assert!(!state.contains("introduced"), "{state}");
}
