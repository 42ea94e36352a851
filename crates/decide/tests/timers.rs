//! Each reason for which an agent asks to be woken occurs: there is a short story for each, and a timer without one does not compile.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod model_host;
mod reader_world;
mod survivor;

use std::collections::BTreeSet;

use decide::input::{Event, Fact, HostAddress, MemberState, ProcessSign, Says, Seen, Server};
use decide::output::{Action, Outcome, VipAction};
use decide::policy::{GroupPolicy, SilentHost};
use decide::timers::Timer;
use model_host::{Answers, ModelHost, VIP, group, group_policy, host, hung, ms, primary, secondary};
use survivor::{Survivor, refuses, silent};

type Set = BTreeSet<Timer>;

/// What is asked for from now on, while this goes on with a holder that is well and quiet.
fn while_holding(goes_on: impl FnOnce(&mut ModelHost)) -> Set {
    let mut model = ModelHost::settled_holder();
    model.timers.clear();
    goes_on(&mut model);
    model.timers
}

/// The VIP is nowhere, and this server leads: it is claimed, and held a moment later.
fn while_claiming() -> Set {
    let mut model = ModelHost::new(Answers::all_pass(), false);
    model.run(ms(1_000));
    assert!(model.vip_here);
    model.timers
}

/// The kernel refuses to add the address.
fn after_a_failure() -> Set {
    let mut model = ModelHost::new(Answers::all_pass(), false);
    while !model.machine().holds() {
        model.run(ms(1));
    }
    let adds = |(_, action): &&(_, Action)| matches!(action, Action::Vip(_, VipAction::AddAddress { .. }));
    let action = model.actions.iter().find(adds).unwrap().1.clone();
    model.vip_here = false;
    model.tell(Event::Done { action, outcome: Outcome::Failed("eth0 is down".to_owned()) });
    model.timers
}

/// Beside the holder's own address there is this one.
fn beside_a_copy(prefix: u8, interface: &str) -> Set {
    while_holding(|model| {
        let mut host = host("eth0", true);
        host.addresses.push(HostAddress { address: VIP, prefix, interface: interface.to_owned() });
        model.tell(Event::Host(Seen { asked_at: model.now, fact: Fact::Known(host) }));
    })
}

/// Member 2 led, held the VIP, and is UNREACHABLE.
fn beside_a_dead_holder() -> Set {
    let mut model = ModelHost::new(Answers { server: secondary(), ..Answers::all_pass() }, false);
    model.run(ms(500));
    model.frame(2, Says::Announcement);
    let mut view = group(1, 2, 545, true);
    view.members[1].state = MemberState::Unreachable;
    model.first.server = Fact::Known(Server::Member(view));
    model.run(ms(500));
    model.timers
}

/// Member 1 is UNREACHABLE, and its port answers so; then, where the order to put the timeout back is not carried out, it is in the group
/// again.
fn surviving(policy: GroupPolicy, milliseconds: u64, refusing: bool, comes_back: bool) -> Set {
    let mut survivor = Survivor::prepared(policy, 5);
    survivor.timers.clear();
    survivor.run(milliseconds, &[1], 5, Some(&if refusing { refuses() } else { silent() }));
    if comes_back {
        survivor.sees(&[]);
    }
    survivor.timers
}

/// The VIP is on an interface of its own.
fn where_only_vips_are() -> Set {
    while_holding(|model| {
        model.vip.interfaces = model.group.members.clone();
        model.run(ms(20));
    })
}

fn expelling_silent_hosts() -> GroupPolicy {
    GroupPolicy { silent_host: SilentHost::Expel, ..group_policy() }
}

fn story_of(timer: Timer) -> Set {
    match timer {
        Timer::LookAround | Timer::Renewal | Timer::RenewalLook | Timer::Announce => {
            while_holding(|model| model.run(ms(5_000)))
        }
        Timer::StatFileQuiet
        | Timer::AlertLimit
        | Timer::Probe
        | Timer::ClaimEvidence
        | Timer::AddressShown
        | Timer::PostClaimQuestion => while_claiming(),
        Timer::SignOver => while_holding(|model| {
            model.tell(Event::Process(ProcessSign::WroteToItsLog));
        }),
        Timer::PauseEnds => while_holding(|model| {
            model.tell(Event::Pause { until: model.now + ms(60_000) });
        }),
        Timer::AddAgain => after_a_failure(),
        Timer::Patience => while_holding(|model| {
            model.first.server = Fact::Unknown(hung());
            model.run(ms(200));
        }),
        Timer::SecondCheck => while_holding(|model| {
            let asked_at = model.now;
            model.now = asked_at + ms(1);
            model.tell(Event::Server(Seen { asked_at, fact: secondary() }));
            model.tell(Event::Wake);
        }),
        Timer::ClaimAwaited => while_holding(|model| {
            model.first.server = secondary();
            model.run(ms(500));
        }),
        Timer::Dispute => while_holding(|model| {
            model.frame(2, Says::Probe);
        }),
        Timer::Defend => while_holding(|model| {
            for _ in 0..2 {
                model.frame(9, Says::Announcement);
                model.run(ms(10));
            }
        }),
        Timer::CopyReplaced => beside_a_copy(24, "eth0"),
        Timer::CopyRemoved => beside_a_copy(32, "eth1"),
        Timer::RemoveAgain | Timer::LeftBehind => while_holding(|model| {
            model.tell(Event::Release);
        }),
        Timer::SayMember => where_only_vips_are(),
        Timer::NameStranger => while_holding(|model| {
            model.frame(9, Says::Probe);
        }),
        Timer::OrphanSyns => beside_a_dead_holder(),
        Timer::ReadExpelTimeout | Timer::LookAtSuspect | Timer::WakeExpel => {
            surviving(group_policy(), 1_000, false, false)
        }
        Timer::MeetMember => {
            let mut survivor = Survivor::new(group_policy());
            survivor.run(500, &[], 5, None);
            survivor.timers
        }
        Timer::ExpelTimeoutChanged | Timer::SurvivorsEvidence => surviving(group_policy(), 300, true, false),
        Timer::RestoreExpelTimeout => surviving(group_policy(), 300, true, true),
        Timer::SayFitness
        | Timer::ReaderReady
        | Timer::ReaderBehind
        | Timer::ReadersHeard
        | Timer::AskMembers => reader_world::timers_of_a_member_that_comes_back_and_falls_behind(),
        Timer::ListenToHosts => surviving(expelling_silent_hosts(), 100, false, false),
    }
}

#[test]
fn each_timer_is_set_by_its_story() {
    for timer in Timer::EACH {
        let set = story_of(*timer);
        assert!(set.contains(timer), "{timer:?} is not among {set:?}");
    }
}

#[test]
fn what_ends_takes_its_timers_with_it() {
    let quiet = while_holding(|model| model.run(ms(5_000)));
    assert_eq!(
        quiet,
        Set::from([Timer::LookAround, Timer::Renewal, Timer::RenewalLook, Timer::Announce]),
        "a holder that is well waits for nothing else"
    );
    let mut model = ModelHost::settled_holder();
    model.peers.insert(model_host::member(2), secondary());
    model.frame(2, Says::Probe);
    model.run(ms(1_000));
    model.timers.clear();
    model.run(ms(1_000));
    assert!(!model.timers.contains(&Timer::Dispute), "it is settled: {:?}", model.timers);
    assert_eq!((model.first.server.clone(), model.vip_here), (primary(), true));
}
