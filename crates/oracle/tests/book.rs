//! The judge judged: for each invariant that one agent's book holds, a story that breaks it is caught, and a near miss is not.
#![allow(clippy::unwrap_used)]

mod agent;

use std::time::Duration;

use agent::{
    Agent, OTHER, add, breaks, excused, fine, follows, leads, member, ms, remove, renew, silent, uuid, view,
};
use decide::input::{Event, Fact, Frame, MemberPort, NotInGroup, Says, Seen, Server, Why};
use decide::net::VipId;
use decide::output::{Action, Outcome, VipAction};
use oracle::{Excuse, Invariant, Orders};

#[test]
fn evidence_three_unanswered_probes_and_a_second_check_take_the_vip_and_two_do_not() {
    for (probes, enough) in [(3, true), (2, false)] {
        let mut agent = Agent::that_wants_it();
        agent.probes(probes);
        agent.second_check();
        let verdict = agent.takes_it();
        assert!(verdict.starts);
        if enough { fine(&verdict) } else { breaks(&verdict, Invariant::Evidence) }
    }
}

#[test]
fn evidence_what_was_asked_before_the_wish_arose_is_no_second_check() {
    for (asked_again, twice) in [(true, true), (false, false)] {
        let mut agent = Agent::new();
        agent.gateway(true);
        let answer = agent.answer(leads());
        agent.wait(5);
        agent.hears(&answer);
        if asked_again {
            agent.second_check();
        }
        agent.probes(3);
        let verdict = agent.takes_it();
        if twice { fine(&verdict) } else { breaks(&verdict, Invariant::Evidence) }
    }
}

#[test]
fn evidence_is_not_older_than_the_policy_says() {
    for (age, fresh) in [(930, true), (1_001, false)] {
        let mut agent = Agent::that_wants_it();
        agent.second_check();
        agent.wait(age - 60);
        agent.probes(3);
        let verdict = agent.takes_it();
        if fresh { fine(&verdict) } else { breaks(&verdict, Invariant::Evidence) }
    }
}

#[test]
fn evidence_an_answer_makes_the_probes_before_it_worthless() {
    let mut agent = Agent::that_wants_it();
    agent.probes(3);
    agent.frame(Says::Reply);
    agent.second_check();
    breaks(&agent.takes_it(), Invariant::Evidence);
    let mut agent = Agent::that_wants_it();
    agent.frame(Says::Reply);
    agent.probes(3);
    agent.second_check();
    fine(&agent.takes_it());
}

#[test]
fn evidence_the_word_that_it_is_free_counts_for_a_moment_and_only_from_whoever_had_it() {
    let mut agent = Agent::that_wants_it();
    agent.frame(Says::Reply);
    agent.second_check();
    agent.frame(Says::Release { heard_at: agent.now });
    agent.wait(20);
    fine(&agent.takes_it());
    let mut agent = Agent::that_wants_it();
    agent.frame(Says::Reply);
    agent.second_check();
    agent.frame(Says::Release { heard_at: agent.now });
    agent.wait(21);
    breaks(&agent.takes_it(), Invariant::Evidence);
    let mut agent = Agent::that_wants_it();
    agent.second_check();
    agent.frame(Says::Release { heard_at: agent.now });
    breaks(&agent.takes_it(), Invariant::Evidence);
}

#[test]
fn evidence_probes_from_before_a_pause_or_that_could_not_be_heard_prove_nothing() {
    for (still, counts) in [(500, true), (601, false)] {
        let mut agent = Agent::that_wants_it();
        agent.probes(3);
        agent.wait(still);
        agent.book.went_on_after(ms(still), agent.now);
        agent.second_check();
        let verdict = agent.takes_it();
        if counts { fine(&verdict) } else { breaks(&verdict, Invariant::Evidence) }
    }
    let mut agent = Agent::that_wants_it();
    agent.probes(3);
    agent.hears(&Event::ReceiveUp(VipId::FIRST, false));
    agent.hears(&Event::ReceiveUp(VipId::FIRST, true));
    agent.second_check();
    breaks(&agent.takes_it(), Invariant::Evidence);
}

#[test]
fn evidence_only_a_writable_primary_with_its_gateway_takes_the_vip() {
    let mut read_only = view(1, 1, 545, &[]);
    read_only.super_read_only = true;
    let no = [
        Fact::Known(Server::Member(read_only)),
        Fact::Known(Server::Member(view(1, 1, 545, &[2, 3]))),
        Fact::Known(Server::NotInGroup(NotInGroup::NotRunning)),
        Fact::Known(Server::Refused("refused".to_owned())),
        follows(),
        silent(),
    ];
    for fact in no {
        let mut agent = Agent::that_wants_it();
        agent.server(fact.clone());
        agent.probes(3);
        agent.gateway(true);
        agent.server(fact);
        breaks(&agent.takes_it(), Invariant::Evidence);
    }
    let mut agent = Agent::that_wants_it();
    agent.probes(3);
    agent.second_check();
    agent.gateway(false);
    breaks(&agent.takes_it(), Invariant::Evidence);
}

#[test]
fn lease_what_is_gone_is_renewed_by_no_order_and_only_an_order_to_add_needs_evidence() {
    let mut agent = Agent::that_holds_it();
    agent.sight.here = Some(false);
    fine(&agent.renews());
    let mut agent = Agent::that_holds_it();
    agent.sight.here = Some(false);
    breaks(&agent.takes_it(), Invariant::Evidence);
}

#[test]
fn evidence_a_claim_is_not_answered_by_what_was_asked_before_it() {
    for (asked_since, proven) in [(true, true), (false, false)] {
        let mut agent = Agent::that_holds_it();
        agent.hears(&Event::Neighbor { address: member(2), mac: OTHER });
        agent.wait(10);
        agent.frame(Says::Probe);
        let fact = Fact::Known(Server::Member(view(2, 2, 545, &[])));
        agent.hears(&Event::Peer { member: member(2), seen: Seen { asked_at: agent.now, fact } });
        if asked_since {
            agent.server(leads());
        }
        let orders = Orders { actions: &[], wake_at: agent.now + ms(1), settled: Some(member(2)) };
        let verdict = agent.step(&Event::Wake, &orders);
        if proven { fine(&verdict) } else { breaks(&verdict, Invariant::Evidence) }
    }
}

#[test]
fn newest_view_nobody_claims_in_a_view_that_is_older_than_one_it_was_told_of() {
    for (theirs, stale) in [(545, false), (546, true)] {
        let mut agent = Agent::that_wants_it();
        let fact = Fact::Known(Server::Member(view(2, 2, theirs, &[])));
        agent.hears(&Event::Peer { member: member(2), seen: Seen { asked_at: agent.now, fact } });
        let verdict = agent.orders(&[Action::Vip(VipId::FIRST, VipAction::SendProbe)]);
        if stale {
            breaks(&verdict, Invariant::NewestView);
        } else {
            fine(&verdict);
        }
        agent.second_check();
        let verdict = agent.takes_it();
        breaks(&verdict, if stale { Invariant::NewestView } else { Invariant::Evidence });
    }
}

#[test]
fn newest_view_nobody_yields_to_a_claim_of_an_older_view() {
    for (theirs, older) in [(545, false), (544, true)] {
        let mut agent = Agent::that_holds_it();
        agent.hears(&Event::Neighbor { address: member(2), mac: OTHER });
        agent.frame(Says::Probe);
        let fact = Fact::Known(Server::Member(view(2, 2, theirs, &[])));
        agent.hears(&Event::Peer { member: member(2), seen: Seen { asked_at: agent.now, fact } });
        agent.server(silent());
        let verdict = agent.orders(&[remove()]);
        if older { breaks(&verdict, Invariant::NewestView) } else { excused(&verdict, Excuse::Contested) }
    }
}

#[test]
fn newest_view_a_holder_of_an_older_view_waits_for_a_claim_and_no_longer() {
    for (waits, holds_on) in [(1_100, false), (1_101, true)] {
        let mut agent = Agent::that_holds_it();
        let fact = Fact::Known(Server::Member(view(2, 2, 546, &[])));
        agent.hears(&Event::Peer { member: member(2), seen: Seen { asked_at: agent.now, fact } });
        agent.wait(waits);
        let verdict = agent.orders(&[]);
        if holds_on { breaks(&verdict, Invariant::NewestView) } else { fine(&verdict) }
    }
}

#[test]
fn lease_the_kernel_is_never_told_more_than_the_policy_says_but_by_an_agent_that_stops() {
    let lease = Agent::new().vip.lease.unwrap();
    for (lifetime, right) in [(Some(lease), true), (Some(lease + ms(1)), false), (None, false)] {
        let mut agent = Agent::that_holds_it();
        let verdict = agent.orders(&[renew(lifetime)]);
        if right { fine(&verdict) } else { breaks(&verdict, Invariant::Lease) }
    }
    let mut agent = Agent::that_holds_it();
    fine(&agent.does(&Event::Stopping, &[renew(None)]));
    let mut agent = Agent::that_holds_it();
    breaks(&agent.does(&Event::Stopping, &[add(None)]), Invariant::Lease);
}

#[test]
fn lease_nothing_is_renewed_once_nothing_more_is_heard_of_the_server() {
    for (silence, heard_of) in [(30_100, true), (30_101, false)] {
        let mut agent = Agent::that_holds_it();
        agent.wait(silence);
        let verdict = agent.renews();
        if heard_of { fine(&verdict) } else { breaks(&verdict, Invariant::Lease) }
    }
}

#[test]
fn lease_an_agent_that_comes_back_after_its_lease_takes_nothing_unasked() {
    for (still, over) in [(9_999, false), (10_000, true)] {
        let mut agent = Agent::that_holds_it();
        fine(&agent.renews());
        agent.wait(still);
        let verdict = agent.renews();
        if over { breaks(&verdict, Invariant::Lease) } else { fine(&verdict) }
    }
}

#[test]
fn lease_a_certain_no_ends_the_holding_within_its_limit() {
    let dead = Fact::Known(Server::Refused("refused".to_owned()));
    let outnumbered = Fact::Known(Server::Member(view(1, 1, 545, &[2, 3])));
    for (fact, limit) in [(follows(), 1_000), (dead, 60_000), (silent(), 30_000), (outnumbered, 300)] {
        for (more, holds_on) in [(100, false), (101, true)] {
            let mut agent = Agent::that_holds_it();
            agent.server(fact.clone());
            agent.wait(limit + more);
            let verdict = agent.orders(&[]);
            if holds_on { breaks(&verdict, Invariant::Lease) } else { fine(&verdict) }
        }
    }
    let mut agent = Agent::that_holds_it();
    agent.gateway(false);
    agent.wait(101);
    breaks(&agent.orders(&[]), Invariant::Lease);
    // It stood still after the first word, and asks again.
    agent.book.went_on_after(ms(700), agent.now);
    excused(&agent.orders(&[]), Excuse::StoodStill);
}

#[test]
fn unknown_is_not_no_a_silent_server_is_put_up_with_for_as_long_as_the_policy_says() {
    for (silence, patient) in [(29_999, false), (30_000, true)] {
        let mut agent = Agent::that_holds_it();
        agent.server(silent());
        agent.wait(silence);
        let verdict = agent.orders(&[remove()]);
        if patient { fine(&verdict) } else { breaks(&verdict, Invariant::UnknownIsNotNo) }
    }
    let mut agent = Agent::that_holds_it();
    agent.server(Fact::Unknown(Why::TooManyConnections("1040".to_owned())));
    agent.wait(3_600_000);
    breaks(&agent.orders(&[remove()]), Invariant::UnknownIsNotNo);
}

#[test]
fn unknown_is_not_no_a_claim_or_the_operator_may_end_it_all_the_same() {
    let mut agent = Agent::that_holds_it();
    agent.server(silent());
    agent.frame(Says::Probe);
    excused(&agent.orders(&[remove()]), Excuse::Contested);
    let mut agent = Agent::that_holds_it();
    agent.server(silent());
    excused(&agent.does(&Event::Release, &[remove()]), Excuse::GivenUp);
    // A word that is no claim excuses nothing.
    let mut agent = Agent::that_holds_it();
    agent.server(silent());
    agent.frame(Says::ReleaseToOthers);
    breaks(&agent.orders(&[remove()]), Invariant::UnknownIsNotNo);
}

#[test]
fn no_flap_a_first_no_is_asked_about_again() {
    let mut agent = Agent::that_holds_it();
    agent.wait(10);
    let answer = Event::Server(Seen { asked_at: agent.now - ms(5), fact: follows() });
    breaks(&agent.does(&answer, &[remove()]), Invariant::NoFlap);
    let mut agent = Agent::that_holds_it();
    agent.wait(10);
    agent.hears(&Event::Server(Seen { asked_at: agent.now - ms(5), fact: follows() }));
    agent.wait(10);
    fine(&agent.does(&agent.answer(follows()), &[remove()]));
}

#[test]
fn no_flap_a_holder_whose_server_leads_lets_go_of_nothing() {
    let mut agent = Agent::that_holds_it();
    breaks(&agent.orders(&[remove()]), Invariant::NoFlap);
    let mut agent = Agent::that_holds_it();
    fine(&agent.renews());
}

#[test]
fn no_flap_a_former_primary_that_still_takes_writes_keeps_the_vip_until_it_is_claimed() {
    let mut former = view(1, 2, 545, &[]);
    former.super_read_only = false;
    let former = || Fact::Known(Server::Member(former.clone()));
    let mut agent = Agent::that_holds_it();
    agent.server(former());
    agent.wait(5_000);
    agent.server(former());
    fine(&agent.orders(&[]));
    breaks(&agent.orders(&[remove()]), Invariant::NoFlap);
    let mut agent = Agent::that_holds_it();
    agent.server(former());
    agent.frame(Says::Probe);
    excused(&agent.orders(&[remove()]), Excuse::Contested);
    // It does not take it, though.
    let mut agent = Agent::that_wants_it();
    agent.server(former());
    agent.probes(3);
    agent.gateway(true);
    agent.server(former());
    breaks(&agent.takes_it(), Invariant::Evidence);
}

/// Member 2 is UNREACHABLE; its port was open, and has refused so often since.
fn survivor(refusals: u32) -> Agent {
    let mut agent = Agent::new();
    let port = |agent: &mut Agent, fact| {
        agent.hears(&Event::MemberPort { member: member(2), seen: Seen { asked_at: agent.now, fact } });
    };
    port(&mut agent, Fact::Known(MemberPort::Answers(Some(uuid(2)))));
    agent.hears(&Event::ExpelTimeout(Seen { asked_at: agent.now, fact: Fact::Known(5) }));
    agent.server(Fact::Known(Server::Member(view(1, 2, 545, &[2]))));
    for _ in 0..refusals {
        port(&mut agent, Fact::Known(MemberPort::Refuses));
    }
    agent
}

#[test]
fn restored_the_groups_patience_is_taken_from_the_dead_alone() {
    let set = || Action::SetExpelTimeout { original: 5 };
    fine(&survivor(2).orders(&[set()]));
    breaks(&survivor(1).orders(&[set()]), Invariant::Restored);
    let mut answers_again = survivor(2);
    let fact = Fact::Known(MemberPort::Answers(None));
    answers_again
        .hears(&Event::MemberPort { member: member(2), seen: Seen { asked_at: answers_again.now, fact } });
    breaks(&answers_again.orders(&[set()]), Invariant::Restored);
    breaks(&survivor(2).orders(&[Action::SetExpelTimeout { original: 0 }]), Invariant::Restored);
}

#[test]
fn restored_it_is_given_back_when_nobody_dead_justifies_it_any_more() {
    let mut agent = survivor(2);
    fine(&agent.orders(&[Action::SetExpelTimeout { original: 5 }]));
    let whole = agent.answer(leads());
    breaks(&agent.does(&whole, &[]), Invariant::Restored);
    let mut agent = survivor(2);
    fine(&agent.orders(&[Action::SetExpelTimeout { original: 5 }]));
    let (whole, back) = (agent.answer(leads()), Action::RestoreExpelTimeout { value: 5 });
    fine(&agent.does(&whole, std::slice::from_ref(&back)));
    assert!(agent.book.expelling.is_changed());
    agent.hears(&Event::Done { action: back, outcome: Outcome::Succeeded });
    assert!(!agent.book.expelling.is_changed());
    breaks(&agent.orders(&[Action::RestoreExpelTimeout { value: 5 }]), Invariant::Restored);
}

#[test]
fn restored_the_group_is_woken_when_the_operators_patience_is_over_and_no_sooner() {
    for (patience, over) in [(4_999, false), (5_000, true)] {
        let mut agent = survivor(0);
        agent.wait(patience);
        let answer = agent.answer(Fact::Known(Server::Member(view(1, 2, 545, &[2]))));
        let verdict = agent.does(&answer, &[Action::WakeExpel]);
        if over { fine(&verdict) } else { breaks(&verdict, Invariant::Restored) }
    }
}

#[test]
fn wakes_an_agent_looks_ahead() {
    let mut agent = Agent::new();
    for (wake_at, ahead) in [(agent.now + Duration::from_micros(1), true), (agent.now, false)] {
        let orders = Orders { actions: &[], wake_at, settled: None };
        let verdict = agent.step(&Event::Wake, &orders);
        if ahead { fine(&verdict) } else { breaks(&verdict, Invariant::Wakes) }
    }
}

#[test]
fn a_book_in_its_form_judges_as_it_did_before() {
    // Each story is told twice, the second time with the book brought to its form and its clock standing still.
    let tick = ms(100);
    for still in 0..40_u32 {
        let mut plain = Agent::that_holds_it();
        plain.server(follows());
        let mut formed = Agent::that_holds_it();
        formed.server(follows());
        for _ in 0..still {
            plain.wait(100);
            formed.book.grow_older(tick);
            formed.book_in_form();
        }
        assert_eq!(plain.orders(&[]).breach.is_some(), formed.orders(&[]).breach.is_some(), "{still} ticks");
        let frame = Event::Frame(VipId::FIRST, Frame { from: OTHER, says: Says::Probe });
        assert_eq!(
            agent::broken(&plain.does(&frame, &[remove()])),
            agent::broken(&formed.does(&frame, &[remove()]))
        );
    }
}
