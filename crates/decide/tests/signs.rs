//! Signs of the local server's process: the server is asked at once, and often for a moment, but not without an end.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod model_host;

use std::time::Duration;

use decide::checks::Cause;
use decide::facts::process::Signs;
use decide::input::{Event, Fact, MemberState, NotInGroup, ProcessSign, Seen, Server, Why};
use decide::net::VipId;
use decide::output::{Action, LetGo, Reason, VipAction};
use model_host::{Answers, ModelHost, group, ms, not_in_group, secondary};

fn quiet_secondary() -> ModelHost {
    let mut model = ModelHost::new(Answers { server: secondary(), ..Answers::all_pass() }, false);
    model.run(Duration::from_secs(10));
    model.actions.clear();
    model
}

fn asked(model: &ModelHost) -> usize {
    model.count(|action| *action == Action::AskServer)
}

#[test]
fn a_new_primary_claims_a_few_milliseconds_after_its_server_wrote_of_the_election() {
    let mut model = quiet_secondary();
    // Between two polls.
    model.run(ms(35));
    let elected = model.now;
    model.first.server = Fact::Known(Server::Member(group(1, 1, 546, false)));
    model.tell(Event::Process(ProcessSign::WroteToItsLog));
    model.run(ms(200));
    let (claimed, _) = model
        .actions
        .iter()
        .find(|(_, action)| *action == Action::Vip(VipId::FIRST, VipAction::SendProbe))
        .unwrap();
    assert!(claimed.since(elected) <= ms(5), "claimed after {:?}", claimed.since(elected));
}

#[test]
fn what_the_log_announces_is_looked_for_at_the_short_interval_and_then_no_more() {
    let mut model = quiet_secondary();
    model.tell(Event::Process(ProcessSign::WroteToItsLog));
    let (short, long) = (model.group.alert_interval, model.group.poll_interval);
    assert_eq!(model.last.as_ref().unwrap().actions, [Action::AskServer, Action::PollEvery(short)]);
    model.run(ms(3000));
    let paces: Vec<_> =
        model.actions.iter().filter(|(_, action)| matches!(action, Action::PollEvery(_))).collect();
    let [(began, _), (ended, last)] = paces[..] else { panic!("{paces:?}") };
    assert_eq!(*last, Action::PollEvery(long));
    assert_eq!(ended.since(*began), ms(300));
}

#[test]
fn an_election_each_ten_seconds_is_seen_at_once_each_time() {
    let mut model = quiet_secondary();
    for _ in 0..500 {
        for _ in 0..5 {
            model.actions.clear();
            model.tell(Event::Process(ProcessSign::WroteToItsLog));
            assert_eq!(asked(&model), 1);
            model.run(ms(4));
        }
        model.run(Duration::from_secs(10));
    }
}

#[test]
fn a_log_that_is_written_to_all_the_time_does_not_make_the_agent_poll_fast_all_the_time() {
    let mut model = quiet_secondary();
    let mut fast = Duration::ZERO;
    let minutes = 10;
    // Ten times a second: alert without a pause, if the rules let it.
    for _ in 0..minutes * 60 * 10 {
        model.tell(Event::Process(ProcessSign::WroteToItsLog));
        if model.state.polling.pace.every == Some(model.group.alert_interval) {
            fast += ms(100);
        }
        model.run(ms(100));
    }
    let most = Duration::from_secs(20 + 1 + minutes * 60 / 30);
    assert!(fast <= most, "fast for {fast:?} of {minutes} minutes");
    let questions = usize::try_from(40 + 1 + minutes * 60 * 2).unwrap() + 100;
    assert!(asked(&model) <= questions, "asked for it {} times", asked(&model));
    model.actions.clear();
    model.tell(Event::Process(ProcessSign::Ended));
    assert_eq!(asked(&model), 1, "the process's end is acted on all the same");
    model.run(Duration::from_secs(60));
    model.actions.clear();
    model.tell(Event::Process(ProcessSign::WroteToItsLog));
    assert_eq!(asked(&model), 1, "after a quiet minute the log is acted on again");
}

fn refused() -> Fact<Server> {
    Fact::Known(Server::Refused("connection refused".to_owned()))
}

fn lingering() -> ModelHost {
    let mut model = ModelHost::settled_holder();
    model.first.server = refused();
    model.tell(Event::Process(ProcessSign::Ended));
    model.run(Duration::from_secs(10));
    assert!(model.vip_here, "it refuses for the clients");
    model
}

/// The server of member 1, in no group any more.
fn outside(super_read_only: bool) -> Fact<Server> {
    let mut view = group(1, 1, 545, super_read_only);
    view.members.truncate(1);
    view.members[0].state = MemberState::Offline;
    view.view = None;
    Fact::Known(Server::Member(view))
}

#[test]
fn a_lingering_vip_goes_before_a_server_that_starts_could_take_a_write() {
    let mut model = lingering();
    model.tell(Event::Process(ProcessSign::MayStart));
    model.run(ms(30));
    assert!(!model.vip_here, "what a client writes to a server that has not joined its group is lost");
}

#[test]
fn a_vip_does_not_linger_where_the_start_of_a_server_would_not_be_noticed() {
    let mut model = ModelHost::settled_holder();
    model.state.facts.process = Signs::default();
    model.first.server = refused();
    model.run(ms(300));
    assert!(!model.vip_here);
}

#[test]
fn a_server_that_is_found_again_may_die_again_and_its_vip_linger_again() {
    let mut model = ModelHost::settled_holder();
    for sign in [ProcessSign::Ended, ProcessSign::MayStart, ProcessSign::Watched] {
        model.tell(Event::Process(sign));
        model.run(ms(5));
    }
    model.run(Duration::from_secs(1));
    model.first.server = refused();
    model.tell(Event::Process(ProcessSign::Ended));
    model.run(Duration::from_secs(10));
    assert!(model.vip_here);
}

#[test]
fn what_hangs_or_turns_us_away_after_a_refusal_is_another_server_and_gets_no_patience() {
    for second in [Why::TimedOut(ms(1000)), Why::TooManyConnections("1040".to_owned())] {
        let mut model = ModelHost::settled_holder();
        // As an agent that stood still finds it: the end, a successor that may have started, one old refusal.
        model.tell(Event::Process(ProcessSign::Ended));
        model.tell(Event::Process(ProcessSign::MayStart));
        let asked_at = model.now;
        model.tell(Event::Server(Seen { asked_at, fact: refused() }));
        assert!(model.vip_here, "a second check comes first (S13)");
        model.first.server = Fact::Unknown(second.clone());
        model.run(ms(1500));
        assert!(!model.vip_here, "{second:?}: it may take writes that its group never has");
        let stopped = model.reasons.iter().any(|reason| {
            matches!(reason, Reason::Stopped { because: LetGo::StageFailed(_, Cause::StartedAnew), .. })
        });
        assert!(stopped, "{second:?}: it says why");
    }
}

#[test]
fn a_server_that_spoke_after_a_refusal_has_all_the_patience_again() {
    let mut model = ModelHost::settled_holder();
    let asked_at = model.now;
    model.tell(Event::Server(Seen { asked_at, fact: refused() }));
    model.run(ms(500));
    model.first.server = Fact::Unknown(Why::TimedOut(ms(1000)));
    model.run(model.vip.hung_patience.saturating_sub(ms(1000)));
    assert!(model.vip_here);
}

#[test]
fn a_server_outside_its_group_that_takes_writes_does_not_wait_for_a_claim() {
    for server in
        [outside(false), not_in_group(NotInGroup::PluginMissing), not_in_group(NotInGroup::NotRunning)]
    {
        let mut model = ModelHost::settled_holder();
        model.first.server = server.clone();
        model.run(model.group.poll_interval + ms(30));
        assert!(!model.vip_here, "{server:?}");
    }
}

#[test]
fn a_server_that_was_told_to_leave_and_is_read_only_keeps_its_vip_until_it_is_claimed() {
    let mut model = ModelHost::settled_holder();
    model.first.server = outside(true);
    model.run(ms(900));
    assert!(model.vip_here);
    model.run(ms(400));
    assert!(!model.vip_here, "nobody claims it");
}

#[test]
fn what_the_server_said_before_its_process_ended_is_no_evidence_to_take_the_vip_on() {
    let mut model = ModelHost::new(Answers::all_pass(), false);
    model.run(ms(45));
    assert!(
        model.count(|action| *action == Action::Vip(VipId::FIRST, VipAction::SendProbe)) > 0,
        "it claims"
    );
    model.tell(Event::Process(ProcessSign::Ended));
    model.tell(Event::Process(ProcessSign::MayStart));
    // Whatever runs there now takes the questions, and does not answer yet.
    model.first.server = Fact::Unknown(Why::TimedOut(ms(500)));
    model.server_blocks = true;
    model.run(Duration::from_secs(2));
    assert!(!model.reasons.iter().any(|reason| matches!(reason, Reason::Started { .. })));
}

/// How long the claim of a new primary takes where its server's process gives this sign meanwhile.
fn claim_with(sign: Option<ProcessSign>) -> Duration {
    let mut model = quiet_secondary();
    model.first.server = Fact::Known(Server::Member(group(1, 1, 546, false)));
    let from = model.now;
    while model.count(|action| *action == Action::Vip(VipId::FIRST, VipAction::SendProbe)) < 2 {
        model.run(ms(1));
        assert!(model.now.since(from) < Duration::from_secs(1), "{:#?}", model.reasons);
    }
    if let Some(sign) = sign {
        model.tell(Event::Process(sign));
    }
    let from = model.now;
    while !model.vip_here {
        model.run(ms(1));
        assert!(model.now.since(from) < Duration::from_secs(2), "{:#?}", model.reasons);
    }
    model.now.since(from)
}

#[test]
fn a_claim_begins_anew_when_the_servers_process_ends_and_goes_on_when_it_writes_to_its_log() {
    let alone = claim_with(None);
    let probe = ModelHost::new(Answers::all_pass(), false).vip.probe_spacing;
    for sign in [ProcessSign::WroteToItsLog, ProcessSign::MayStart, ProcessSign::Watched] {
        assert!(claim_with(Some(sign)) <= alone + probe / 2, "{sign:?}");
    }
    assert!(claim_with(Some(ProcessSign::Ended)) > alone + probe / 2);
}

#[test]
fn a_holder_whose_servers_process_ends_goes_on_holding_until_that_is_looked_at() {
    let mut model = ModelHost::settled_holder();
    let before = model.machine().state.clone();
    model.reasons.clear();
    model.tell(Event::Process(ProcessSign::Ended));
    assert!(!model.said(|reason| *reason == Reason::Adopted), "it has not found its own address");
    assert_eq!(std::mem::discriminant(&model.machine().state), std::mem::discriminant(&before));
}
