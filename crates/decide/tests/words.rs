//! What the log says where somebody has to act on it: the words name the stage, the state and the numbers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod model_host;

use std::time::Duration;

use decide::checks::{Cause, Stage};
use decide::input::{Fact, MemberState, Says, Server, Why};
use decide::output::{LetGo, Reason, StatMark, Vacant};
use decide::time::Time;
use model_host::{Answers, ModelHost, group, mac, member, ms};

#[test]
fn a_stage_that_fails_is_named_with_its_number_and_a_members_state_as_mysql_writes_it() {
    for (state, word) in [
        (MemberState::Recovering, "RECOVERING"),
        (MemberState::Offline, "OFFLINE"),
        (MemberState::Error, "ERROR"),
        (MemberState::Unreachable, "UNREACHABLE"),
    ] {
        let mut view = group(1, 1, 545, false);
        view.members[0].state = state;
        let server = Fact::Known(Server::Member(view));
        let mut model = ModelHost::new(Answers { server, ..Answers::all_pass() }, false);
        model.run(Duration::from_secs(1));
        let said = model.reasons.last().unwrap().to_string();
        assert!(said.contains("stage 3 (primary)") && said.contains(word), "{said}");
    }
}

#[test]
fn a_time_is_written_in_seconds_with_all_its_microseconds() {
    assert_eq!(Time(61_000_203).to_string(), "61.000203");
}

#[test]
fn a_stranger_is_named_with_its_hardware_address_as_every_tool_writes_it() {
    let mut model = ModelHost::settled_holder();
    model.frame(66, Says::Announcement);
    model.run(Duration::from_secs(2));
    assert!(model.said(|reason| reason.to_string().contains("02:00:00:00:00:42")), "{:#?}", model.reasons);
}

#[test]
fn what_is_not_known_is_said_with_the_words_of_what_failed() {
    for (why, words) in [
        (Why::TimedOut(ms(500)), "no answer within 500 ms"),
        (Why::WrongPassword("1045".to_owned()), "wrong user or password (1045)"),
        (Why::Other("netlink is full".to_owned()), "netlink is full"),
    ] {
        let server = Fact::Unknown(why);
        let mut model = ModelHost::new(Answers { server, ..Answers::all_pass() }, false);
        model.run(Duration::from_secs(1));
        let said = model.reasons.last().unwrap().to_string();
        assert!(said.contains(words), "{said}");
    }
}

#[test]
fn s6_the_state_file_says_0_for_stopped_1_for_quiet_and_2_for_started() {
    let marks = [StatMark::Stopped, StatMark::Quiet, StatMark::Started];
    assert_eq!(marks.map(StatMark::character), ['0', '1', '2']);
}

#[test]
fn s1_only_what_starts_or_stops_the_vip_is_logged_as_a_switch() {
    let because = Vacant::Released(mac(2));
    assert!(Reason::Started { interface: "eth0".to_owned(), because }.is_switch());
    assert!(Reason::Stopped { interface: "eth0".to_owned(), because: LetGo::Told }.is_switch());
    for reason in [Reason::Holding, Reason::Adopted, Reason::Claiming, Reason::GivenUp] {
        assert!(!reason.is_switch(), "{reason}");
    }
}

#[test]
fn what_is_done_about_a_dead_member_is_said_with_its_name_and_the_numbers() {
    let name = "db2".to_owned();
    for (reason, words) in [
        (Reason::WokeExpel { member: name.clone(), timeout: 5 }, &["db2", "(5 s)"][..]),
        (Reason::ProvenDead(vec![name.clone(), "db3".to_owned()]), &["db2, db3", "proven dead"]),
        (Reason::RestoringExpelTimeout(7), &["back to 7"]),
        (Reason::NoSoonerExpel(Why::NotAllowed("1370".to_owned())), &["no sooner", "privilege (1370)"]),
        (Reason::SoonerExpel(9), &["is 9 s"]),
        (Reason::Fencing(name), &["db2", "running fence_command"]),
        (Reason::Fenced(member(2), None), &["10.77.0.12", "succeeded"]),
        (
            Reason::Fenced(member(2), Some("status 1".to_owned())),
            &["10.77.0.12", "may still be running", "status 1"],
        ),
    ] {
        let said = reason.to_string();
        assert!(words.iter().all(|word| said.contains(word)), "{said}");
    }
}

#[test]
fn clocks_that_parted_are_told_by_how_much_and_which_way() {
    for (suspended, wall_step_ms, words) in [
        (60, 0, "suspended for 60.0 s"),
        (60, 5, "suspended for 60.0 s"),
        (0, 3_600_000, "set forward by 3600.0 s"),
        (0, -2_500, "set back by 2.5 s"),
    ] {
        let suspended = Duration::from_secs(suspended);
        let said = Reason::ClocksParted { suspended, wall_step_ms }.to_string();
        assert!(said.contains(words), "{said}");
    }
}

#[test]
fn s1_a_switch_is_logged_with_its_reason() {
    let refused = Cause::Refused("no such file".to_owned());
    for (because, words) in [
        (
            LetGo::StageFailed(Stage::Server, refused),
            "stage 2 (server) failed: mysqld is not running: no such file",
        ),
        (LetGo::ClaimantLeads(member(2)), "yielded to member 10.77.0.12"),
        (LetGo::Suspended(Duration::from_secs(60)), "suspended for 60.0 s"),
    ] {
        let said = Reason::Stopped { interface: "eth0".to_owned(), because }.to_string();
        assert!(said.contains("VIP stopped on eth0") && said.contains(words), "{said}");
    }
    let because = Vacant::Unanswered(3);
    let said = Reason::Started { interface: "eth0".to_owned(), because }.to_string();
    assert!(said.contains("VIP started on eth0") && said.contains("3 probes in a row"), "{said}");
}
