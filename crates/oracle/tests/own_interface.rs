//! A VIP on an interface of its own: what its judge makes of that interface.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod agent;

use agent::{Agent, VIP, add, breaks, fine, member, remove, renew};
use decide::input::{Event, Fact, Host, HostAddress, Interface, Seen};
use decide::net::VipId;
use decide::output::{Action, VipAction};
use oracle::Invariant;

fn interface(agent: &Agent, running: bool, vip: bool) -> Event {
    let on =
        |address, prefix, interface: &str| HostAddress { address, prefix, interface: interface.to_owned() };
    let mut addresses =
        vec![on(member(1), 24, "eth0"), on("10.78.0.11".parse().expect("an address"), 24, "eth1")];
    addresses.extend(vip.then(|| on(VIP, 32, "eth1")));
    let up = |name: &str, running| Interface { name: name.to_owned(), running };
    let interfaces = vec![up("eth0", true), up("eth1", running)];
    Event::Host(Seen { asked_at: agent.now, fact: Fact::Known(Host { addresses, interfaces }) })
}

/// Its VIP is on `eth1`.
fn elsewhere(mut agent: Agent) -> Agent {
    let members = agent.group.members.keys().map(|member| (*member, "eth1".to_owned()));
    agent.vip.interfaces = members.collect();
    agent
}

fn that_holds_it() -> Agent {
    let mut agent = elsewhere(Agent::that_holds_it());
    agent.hears(&interface(&agent, true, true));
    agent.wait(5_000);
    agent.second_check();
    agent
}

fn that_wants_it() -> Agent {
    let mut agent = elsewhere(Agent::new());
    agent.hears(&interface(&agent, true, false));
    agent.second_check();
    agent.wait(1);
    agent.second_check();
    agent.probes(3);
    agent
}

#[test]
fn it_is_let_go_of_where_the_interface_is_down_and_not_held_on_to() {
    let mut agent = that_holds_it();
    agent.hears(&interface(&agent, false, true));
    agent.wait(90);
    fine(&agent.orders(&[]));
    agent.wait(20);
    breaks(&agent.orders(&[renew(agent.vip.lease)]), Invariant::Lease);

    let mut agent = that_holds_it();
    agent.hears(&interface(&agent, false, true));
    fine(&agent.orders(&[remove()]));
}

#[test]
fn that_it_went_and_came_back_is_forgiven_when_it_is_back() {
    let mut agent = that_holds_it();
    agent.hears(&interface(&agent, false, true));
    agent.wait(50);
    agent.hears(&interface(&agent, true, true));
    agent.wait(1_000);
    agent.second_check();
    fine(&agent.renews());
}

#[test]
fn it_is_taken_on_its_own_interface_while_that_is_of_use() {
    let on = |interface: &str, lifetime| {
        Action::Vip(VipId::FIRST, VipAction::AddAddress { interface: interface.to_owned(), lifetime })
    };
    let mut agent = that_wants_it();
    let order = on("eth1", agent.vip.lease);
    fine(&agent.orders(std::slice::from_ref(&order)));

    let mut agent = that_wants_it();
    breaks(&agent.orders(&[add(agent.vip.lease)]), Invariant::Evidence);

    let mut agent = that_wants_it();
    agent.hears(&interface(&agent, false, false));
    breaks(&agent.orders(&[order]), Invariant::Evidence);
}

#[test]
fn a_vip_on_the_members_interface_is_not_taken_on_another() {
    let mut agent = Agent::that_wants_it();
    agent.probes(3);
    agent.second_check();
    let order = VipAction::AddAddress { interface: "eth1".to_owned(), lifetime: agent.vip.lease };
    breaks(&agent.orders(&[Action::Vip(VipId::FIRST, order)]), Invariant::Evidence);
}
