//! The stories of handing the address over, each recorded once as a golden file: `tests/golden/<story>.jsonl`.
//!
//! A golden file pins what the rules do, right or wrong, so each story also says what must be true of it. After a
//! change of the rules, look at what differs; where it is meant, record anew: `UPDATE_GOLDEN=1 cargo test -p
//! haipmgr-decide --test golden`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod model_host;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use decide::action::{Action, VipAction};
use decide::checks::{Cause, Stage};
use decide::event::{Event, Fact, Frame, NotInGroup, Says, Server};
use decide::net::VipId;
use decide::reason::{LetGo, Reason};
use decide::trace::{Line, Played, Replay};
use decide::vip::VipState;
use model_host::{Answers, ModelHost, group, mac, member, ms, not_in_group, primary, secondary};

fn file(story: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(format!("{story}.jsonl"))
}

/// Compares the recorded trace with the golden file, or writes it.
fn golden(story: &str, model: &ModelHost) {
    assert_eq!(model.breach, None, "{story}: an invariant is broken");
    let text: String = model.trace.iter().map(|line| serde_json::to_string(line).unwrap() + "\n").collect();
    let path = file(story);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &text).unwrap();
    }
    let record = "record it: UPDATE_GOLDEN=1 cargo test -p haipmgr-decide --test golden";
    let golden =
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}; {record}", path.display()));
    // The golden file is played again first: that tells a change of the rules from a change of the model.
    let mut replay = Replay::default();
    for (number, line) in golden.lines().enumerate() {
        let line: Line = serde_json::from_str(line).unwrap();
        match replay.play(&line) {
            Played::Started | Played::Same(_) => {}
            other => {
                panic!("{story}, line {}: {line:#?}\nnow: {other:#?}\nif it is meant, {record}", number + 1)
            }
        }
    }
    assert_eq!(golden, text, "{story}: the rules decide the same, the story is another; {record}");
}

fn let_go(model: &ModelHost) -> Option<LetGo> {
    model.reasons.iter().find_map(|reason| match reason {
        Reason::Stopped { because, .. } => Some(because.clone()),
        _ => None,
    })
}

/// When the VIP was removed after `from`.
fn removed_after(model: &ModelHost, from: decide::time::Time) -> Duration {
    let removed = model
        .actions
        .iter()
        .find(|(_, action)| matches!(action, Action::Vip(_, VipAction::RemoveAddress { .. })));
    removed.map(|(at, _)| at.since(from)).expect("the VIP was never removed")
}

/// Member 2 claims each 20 ms, until the VIP is gone from here or `limit` is over; then it takes it and announces.
fn claimed_by_2(model: &mut ModelHost, limit: Duration) {
    let end = model.now + limit;
    while model.vip_here && model.now < end {
        model.frame(2, Says::Probe);
        model.run(ms(20));
    }
    if !model.vip_here {
        model.answering = Some(2);
        model.frame(2, Says::Announcement);
    }
}

fn leads_in(counter: u64) -> Fact<Server> {
    Fact::Known(Server::Member(group(2, 2, counter, false)))
}

#[test]
fn switchover() {
    let mut model = ModelHost::settled_holder();
    model.start_trace("switchover: member 2 becomes the primary in the same view, and claims 60 ms later");
    model.first.server = secondary();
    model.run(ms(60));
    let claimed = model.now;
    model.peers.insert(member(2), leads_in(545));
    claimed_by_2(&mut model, ms(500));
    model.run(ms(300));
    assert!(removed_after(&model, claimed) < ms(10));
    assert!(model.count(|action| *action == Action::Vip(VipId::FIRST, VipAction::TickleClients)) == 2);
    assert!(model.count(|action| *action == Action::Vip(VipId::FIRST, VipAction::DestroyConnections)) == 1);
    golden("switchover", &model);
}

#[test]
fn shutdown_while_the_old_server_still_swears_that_it_leads() {
    let mut model = ModelHost::settled_holder();
    model.start_trace("shutdown: our server says PRIMARY in view 545; member 2 leads in view 546 and claims");
    let claimed = model.now;
    model.peers.insert(member(2), leads_in(546));
    claimed_by_2(&mut model, ms(500));
    model.run(ms(500));
    assert!(
        matches!(
            let_go(&model),
            Some(
                LetGo::ClaimantLeads(_)
                    | LetGo::ClaimedWhileFailing(_, Stage::Primary, Cause::StaleView { .. })
            )
        ),
        "{:?}",
        let_go(&model)
    );
    assert!(removed_after(&model, claimed) < ms(50));
    assert!(!model.vip_here, "it claimed back in the old view");
    assert!(matches!(model.machine().state, VipState::Absent));
    golden("shutdown", &model);
}

#[test]
fn stop_group_replication_while_queries_block() {
    let mut model = ModelHost::settled_holder();
    model
        .start_trace("stop group replication: our server does not answer for 3 s; member 2 leads and claims");
    model.server_blocks = true;
    model.run(ms(400));
    let claimed = model.now;
    model.peers.insert(member(2), leads_in(546));
    claimed_by_2(&mut model, ms(500));
    model.run(Duration::from_secs(1));
    assert!(removed_after(&model, claimed) < ms(150));
    model.server_blocks = false;
    model.first.server = not_in_group(NotInGroup::NotRunning);
    model.run(ms(300));
    assert!(!model.vip_here);
    golden("stop_group_replication", &model);
}

#[test]
fn kill_9_refuses_for_the_clients_until_claimed() {
    let mut model = ModelHost::settled_holder();
    // Twenty seconds of quick polls would make a long file.
    model.group.poll_interval = ms(2000);
    model.group.alert_interval = ms(2000);
    model.tell(Event::Wake);
    model.run(ms(100));
    model.start_trace("kill -9: nothing listens; member 2 claims 21 s later");
    model.first.server = Fact::Known(Server::Refused("connection refused".to_owned()));
    model.run(Duration::from_secs(21));
    assert!(model.vip_here, "clients hang where the address is nowhere");
    let claimed = model.now;
    model.peers.insert(member(2), leads_in(546));
    claimed_by_2(&mut model, ms(500));
    model.run(ms(200));
    assert!(removed_after(&model, claimed) < ms(5));
    golden("kill_9", &model);
}

#[test]
fn kill_9_that_nobody_claims_lets_go_in_the_end() {
    let mut model = ModelHost::settled_holder();
    model.first.server = Fact::Known(Server::Refused("connection refused".to_owned()));
    model.run(Duration::from_secs(59));
    assert!(model.vip_here);
    model.run(Duration::from_secs(2));
    assert!(!model.vip_here);
}

#[test]
fn group_port_cut_lets_go_at_once_without_a_majority() {
    let mut model = ModelHost::settled_holder();
    model.start_trace("group port cut: ONLINE, PRIMARY, and both others UNREACHABLE");
    let mut alone = group(1, 1, 545, false);
    alone.members[1..].iter_mut().for_each(|row| row.state = decide::event::MemberState::Unreachable);
    model.first.server = Fact::Known(Server::Member(alone));
    let cut = model.now;
    model.run(ms(150));
    assert!(removed_after(&model, cut) <= ms(110));
    assert!(!model.vip_here);
    golden("group_port_cut", &model);
}

#[test]
fn vip_removed_by_hand_is_back_within_100_ms() {
    let mut model = ModelHost::settled_holder();
    model.start_trace("somebody removes the VIP; nobody answers for it");
    model.vip_here = false;
    let event = model.host_event(model.now);
    model.tell(event);
    model.run(ms(100));
    assert!(model.vip_here);
    assert!(model.said(|reason| matches!(reason, Reason::RemovedByOther(_))));
    golden("removed_by_hand", &model);
}

#[test]
fn two_claimants_the_newer_view_takes_and_the_older_gives_up() {
    // Ours is the older one.
    let mut model = ModelHost::new(Answers::all_pass(), false);
    model.start_trace("two claimants: we claim in view 545, member 2 in view 546");
    model.peers.insert(member(2), leads_in(546));
    model.run(ms(10));
    for _ in 0..10 {
        model.frame(2, Says::Probe);
        model.run(ms(20));
    }
    assert!(!model.vip_here);
    assert_eq!(model.machine().state, VipState::Absent);
    golden("two_claimants_older", &model);

    // Ours is the newer one.
    let mut model = ModelHost::new(Answers { server: primary(), ..Answers::all_pass() }, false);
    model.start_trace("two claimants: we claim in view 545, member 2 in view 544");
    model.peers.insert(member(2), leads_in(544));
    model.run(ms(10));
    for _ in 0..5 {
        model.tell(Event::Frame(VipId::FIRST, Frame { from: mac(2), says: Says::Probe }));
        model.run(ms(20));
    }
    assert!(model.vip_here);
    golden("two_claimants_newer", &model);
}
