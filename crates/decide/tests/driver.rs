//! The caller's contract (`decide::driver`): what is taken in first, how late a deed may be, what a failed deed undoes, and how
//! an agent stops.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod model_host;

use std::time::Duration;

use decide::driver::{Deeds, Driver, Next, Permit, RELEASE_WORD_WITHIN, RENEWAL_WITHIN, START_WITHIN, Stop};
use decide::input::{Event, Fact, Frame, Gateway, Says, Seen};
use decide::net::{Mac, VipId};
use decide::output::{Action, Outcome, VipAction};
use decide::policy::Policy;
use decide::time::Time;
use decide::vip::VipState;
use model_host::{ModelHost, group_policy, host, limits, mac, member, ms, policy, primary};

const ETH0: &str = "eth0";

fn renewal(lifetime: Option<Duration>) -> Action {
    Action::Vip(VipId::FIRST, VipAction::RenewAddress { interface: ETH0.to_owned(), lifetime })
}

fn start() -> Action {
    Action::Vip(VipId::FIRST, VipAction::AddAddress { interface: ETH0.to_owned(), lifetime: limits().lease })
}

fn removal() -> Action {
    Action::Vip(VipId::FIRST, VipAction::RemoveAddress { interface: ETH0.to_owned() })
}

fn frame(number: u8, says: Says) -> Event {
    Event::Frame(VipId::FIRST, Frame { from: mac(number), says })
}

fn addresses(vip: bool, at: Time) -> Event {
    Event::Host(Seen { asked_at: at, fact: Fact::Known(host(ETH0, vip)) })
}

fn leads(asked_at: Time) -> Event {
    Event::Server(Seen { asked_at, fact: primary() })
}

/// An agent with the memory of a holder that is well, and its kernel.
struct Held {
    driver: Driver,
    now: Time,
    policy: Policy,
    vip_here: bool,
    /// What was taken in, and carried out.
    taken: Vec<Event>,
    deeds: Vec<Action>,
    /// Time that passes before each deed.
    late_by: Duration,
    goes_after_the_look: bool,
    /// Told to the agent when it is asked to read what is unread.
    unread: Vec<Event>,
}

impl Held {
    fn new() -> Self {
        let model = ModelHost::settled_holder();
        let mut driver = Driver::new(&policy(), model.now);
        *driver.state_mut() = model.state.clone();
        Self {
            driver,
            now: model.now,
            policy: policy(),
            vip_here: true,
            taken: Vec::new(),
            deeds: Vec::new(),
            late_by: Duration::ZERO,
            goes_after_the_look: false,
            unread: Vec::new(),
        }
    }

    /// Until it waits (true) or has ended.
    fn run(&mut self) -> bool {
        for _ in 0..1000 {
            let next = self.driver.next(&self.policy, self.now, |_, _| {});
            match next {
                Next::Decided(event) => {
                    self.taken.push(*event);
                    self.now = self.now + self.late_by;
                }
                Next::Deed(action) => {
                    let outcome = match &action {
                        Action::Vip(_, VipAction::RenewAddress { .. }) if !self.vip_here => Outcome::Gone,
                        Action::Vip(_, VipAction::RemoveAddress { .. })
                            if !std::mem::take(&mut self.vip_here) =>
                        {
                            Outcome::Gone
                        }
                        _ => Outcome::Succeeded,
                    };
                    self.driver.done(outcome);
                    self.deeds.push(action);
                }
                Next::Settled(_) => {}
                Next::ReadUnread { addresses: asked } => {
                    for event in self.unread.drain(..) {
                        self.driver.push(event);
                    }
                    if asked {
                        self.driver.push(addresses(self.vip_here, self.now));
                        self.vip_here &= !self.goes_after_the_look;
                    }
                }
                Next::Wait { .. } => return true,
                Next::Ended => return false,
            }
        }
        panic!("it never comes to rest: {:?}", self.taken.last());
    }

    fn renewals(&self) -> usize {
        self.deeds
            .iter()
            .filter(|deed| matches!(deed, Action::Vip(_, VipAction::RenewAddress { .. })))
            .count()
    }
}

#[test]
fn frames_go_before_addresses_and_those_before_all_else_and_the_time_is_last() {
    let mut held = Held::new();
    let gateway = Event::Gateway(Seen { asked_at: held.now, fact: Fact::Known(Gateway::Reachable) });
    let claim = frame(2, Says::Probe);
    held.driver.push(gateway.clone());
    held.driver.push(addresses(true, held.now));
    held.driver.push(claim.clone());
    held.driver.push(Event::ClocksParted { suspended: Duration::ZERO, wall_step_ms: 5 });
    held.run();
    assert!(matches!(held.taken[0], Event::ClocksParted { .. }), "{:?}", held.taken);
    assert_eq!(held.taken[1], claim);
    assert!(matches!(held.taken[2], Event::Host(_)), "{:?}", held.taken);
    assert_eq!(held.taken[3], gateway);
    assert!(held.taken[4..].iter().all(|event| *event == Event::Wake), "{:?}", held.taken);
}

#[test]
fn an_outcome_is_taken_in_before_a_frame_that_came_first() {
    let mut held = Held::new();
    held.driver.push(frame(2, Says::Probe));
    let failed = Event::Done {
        action: Action::Vip(VipId::FIRST, VipAction::SendProbe),
        outcome: Outcome::Failed("no interface".to_owned()),
    };
    held.driver.push(failed.clone());
    held.run();
    assert_eq!(held.taken[0], failed);
}

#[test]
fn the_servers_last_word_is_taken_in_after_frames_and_before_all_else() {
    let mut held = Held::new();
    let word = leads(held.now);
    held.driver.push(addresses(true, held.now));
    held.driver.push_last_word(word.clone());
    held.driver.push(frame(2, Says::Probe));
    held.run();
    assert_eq!(held.taken[0], frame(2, Says::Probe));
    assert_eq!(held.taken[1], word);
}

#[test]
fn who_was_held_up_reads_what_is_unread_before_it_looks_at_the_time() {
    let mut held = Held::new();
    held.run();
    let wake_at = held.driver.waits_until();
    held.taken.clear();
    held.now = wake_at + ms(40);
    held.unread = vec![frame(2, Says::Probe)];
    held.run();
    assert_eq!(held.taken[0], frame(2, Says::Probe), "{:?}", held.taken);
}

#[test]
fn the_word_to_stop_makes_the_vip_permanent_where_it_is_there() {
    let mut held = Held::new();
    held.driver.stop(Stop::LeaveVip);
    assert!(!held.run(), "it ends");
    assert_eq!(held.taken.last(), Some(&Event::Stopping));
    assert_eq!(held.deeds.last(), Some(&renewal(None)));
}

#[test]
fn an_agent_that_is_told_to_stop_adds_nothing_where_the_vip_was_removed_meanwhile() {
    // At the look it is gone; or it goes between that look and the deed.
    for goes_after_the_look in [false, true] {
        let mut held = Held::new();
        held.vip_here = goes_after_the_look;
        held.goes_after_the_look = goes_after_the_look;
        held.driver.stop(Stop::LeaveVip);
        assert!(!held.run());
        assert!(!held.vip_here);
        assert!(
            !held.deeds.iter().any(|deed| matches!(deed, Action::Vip(_, VipAction::AddAddress { .. }))),
            "{:?}",
            held.deeds
        );
        assert_eq!(held.renewals(), usize::from(goes_after_the_look), "{:?}", held.deeds);
    }
}

#[test]
fn a_stop_is_taken_in_after_the_claim_and_the_announcement_that_lie_unread() {
    for says in [Says::Probe, Says::Announcement] {
        let mut held = Held::new();
        held.unread = vec![frame(2, says)];
        held.driver.stop(Stop::LeaveVip);
        assert!(!held.run());
        assert_eq!(held.taken[0], frame(2, says));
        assert_eq!(held.taken.last(), Some(&Event::Stopping));
        assert_eq!(held.renewals(), 0, "another claims it: it is left to its lease: {:?}", held.deeds);
    }
}

#[test]
fn a_stop_is_taken_in_after_an_address_change_that_lies_in_the_queue() {
    let mut held = Held::new();
    let gone = addresses(false, held.now + ms(1));
    held.now = held.now + ms(2);
    held.driver.push(gone);
    held.vip_here = false;
    held.driver.stop(Stop::LeaveVip);
    assert!(!held.run());
    assert_eq!(held.renewals(), 0, "{:?}", held.deeds);
}

#[test]
fn what_comes_after_the_word_to_stop_does_not_hold_it_up_for_ever() {
    let mut held = Held::new();
    held.driver.stop(Stop::LeaveVip);
    let mut steps = 0;
    loop {
        // A flood: one more frame with each call.
        held.driver.push(frame(2, Says::Probe));
        match held.driver.next(&held.policy, held.now, |_, _| {}) {
            Next::Ended => break,
            Next::Deed(_) => held.driver.done(Outcome::Succeeded),
            _ => {}
        }
        steps += 1;
        assert!(steps < 200, "it does not end");
    }
}

#[test]
fn an_agent_that_gives_the_vip_up_ends_once_it_has_and_at_the_latest_after_three_seconds() {
    let mut held = Held::new();
    held.driver.stop(Stop::GiveUp);
    assert!(held.run(), "its clients are tickled first");
    assert!(held.deeds.contains(&removal()), "{:?}", held.deeds);
    assert!(!held.vip_here);
    held.now = held.now + decide::driver::GIVE_UP_WITHIN;
    assert!(!held.run());
}

#[test]
fn a_renewal_of_what_is_gone_is_no_renewal_and_the_network_is_asked_before_it_is_started_again() {
    let mut held = Held::new();
    held.vip_here = false;
    for _ in 0..400 {
        held.now = held.now + ms(10);
        held.driver.push(leads(held.now));
        held.driver.push(Event::Gateway(Seen { asked_at: held.now, fact: Fact::Known(Gateway::Reachable) }));
        if held.renewals() == 0 {
            // The kernel's answer, just before it goes.
            held.driver.push(addresses(true, held.now));
        }
        held.run();
        if held.renewals() > 0 {
            break;
        }
    }
    assert_eq!(held.renewals(), 1);
    let gone = |event: &Event| matches!(event, Event::Done { outcome: Outcome::Gone, .. });
    assert!(held.taken.iter().any(gone), "{:?}", held.taken);
    assert!(!held.deeds.contains(&start()), "{:?}", held.deeds);
    assert!(
        matches!(held.driver.state().vips[&VipId::FIRST].state, VipState::Claiming(_)),
        "{:?}",
        held.driver.state().vips[&VipId::FIRST].state
    );
    let since = held
        .deeds
        .iter()
        .position(|deed| matches!(deed, Action::Vip(_, VipAction::RenewAddress { .. })))
        .unwrap();
    assert!(
        !held.deeds[since..].contains(&Action::Vip(VipId::FIRST, VipAction::Announce)),
        "nothing is here to be announced"
    );
}

#[test]
fn a_stop_that_is_held_up_before_its_deed_leaves_the_vip_to_its_lease() {
    let mut held = Held::new();
    held.late_by = RENEWAL_WITHIN + ms(1);
    held.driver.stop(Stop::LeaveVip);
    assert!(!held.run());
    assert_eq!(held.renewals(), 0, "{:?}", held.deeds);
    let mut failed = held.driver.failed_at_the_end();
    assert!(matches!(
        failed.next(),
        Some((Action::Vip(_, VipAction::RenewAddress { .. }), Outcome::Failed(_)))
    ));
}

#[test]
fn each_kind_of_deed_has_its_own_limit_and_questions_have_none() {
    let (group, decided) = (group_policy(), Time(1_000_000));
    let deeds = Deeds::new(decided);
    for (action, limit) in
        [(start(), START_WITHIN), (renewal(limits().lease), RENEWAL_WITHIN), (renewal(None), RENEWAL_WITHIN)]
    {
        assert_eq!(deeds.may(&group, &action, decided + limit), Permit::AsDecided, "{action:?}");
        let late = deeds.may(&group, &action, decided + limit + Duration::from_micros(1));
        assert!(matches!(late, Permit::TooLate(_)), "{action:?}: {late:?}");
    }
    for action in [removal(), Action::AskServer, Action::Vip(VipId::FIRST, VipAction::Announce)] {
        assert_eq!(deeds.may(&group, &action, decided + Duration::from_secs(60)), Permit::AsDecided);
    }
}

#[test]
fn the_release_word_names_a_successor_only_just_after_the_vip_was_removed() {
    let (group, decided) = (group_policy(), Time(1_000_000));
    let word = Action::Vip(VipId::FIRST, VipAction::AnnounceRelease(Some(Mac([2, 0, 0, 0, 0, 2]))));
    let after = |outcome, later| {
        let mut deeds = Deeds::new(decided);
        deeds.done(&removal(), decided, outcome);
        deeds.may(&group, &word, decided + later)
    };
    assert_eq!(after(Outcome::Succeeded, RELEASE_WORD_WITHIN), Permit::AsDecided);
    assert_eq!(after(Outcome::Succeeded, RELEASE_WORD_WITHIN + ms(1)), Permit::ToNobodyInParticular);
    assert_eq!(after(Outcome::Gone, ms(0)), Permit::ToNobodyInParticular, "it was not here to be removed");
    assert_eq!(after(Outcome::Failed("busy".to_owned()), ms(0)), Permit::Dropped, "it is still here");
    assert_eq!(Deeds::new(decided).may(&group, &word, decided), Permit::ToNobodyInParticular);
}

#[test]
fn a_failed_deed_undoes_what_rests_on_it_and_nothing_else() {
    let (group, now) = (group_policy(), Time(1_000_000));
    for (action, outcome) in [
        (start(), Outcome::Failed("there already".to_owned())),
        (renewal(limits().lease), Outcome::Gone),
        (removal(), Outcome::Failed("busy".to_owned())),
    ] {
        let mut deeds = Deeds::new(now);
        let told = deeds.done(&action, now, outcome.clone());
        assert_eq!(told, Some(Event::Done { action: action.clone(), outcome }));
        for rests in [
            Action::Vip(VipId::FIRST, VipAction::Announce),
            Action::Vip(VipId::FIRST, VipAction::AnnounceRelease(None)),
            Action::Vip(VipId::FIRST, VipAction::TickleClients),
        ] {
            assert_eq!(deeds.may(&group, &rests, now), Permit::Dropped, "{action:?}, {rests:?}");
        }
        for stands in [
            Action::AskServer,
            Action::AskPeer(member(2)),
            Action::PollEvery(ms(10)),
            Action::Vip(VipId::FIRST, VipAction::AskWhoHasVip),
            // Where the address stays, its clients are those that it had.
            Action::Vip(VipId::FIRST, VipAction::ListConnections),
        ] {
            assert_eq!(deeds.may(&group, &stands, now), Permit::AsDecided, "{action:?}, {stands:?}");
        }
    }
    // What was not there to be removed is removed.
    let mut deeds = Deeds::new(now);
    assert_eq!(deeds.done(&removal(), now, Outcome::Gone), None);
    assert!(!deeds.has_failed(VipId::FIRST));
}
