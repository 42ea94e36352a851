//! The agent's protection of itself: what it says it has, it has.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::process::Command;
use std::thread;

use haipmgr::self_protection::{as_ordinary_thread, protect};

/// Scheduling policy in `proc_pid_stat(5)`, field 41: 0 is an ordinary thread's, 2 round robin.
fn policy(stat: &str) -> u32 {
    stat.rsplit_once(')').unwrap().1.split_whitespace().nth(38).unwrap().parse().unwrap()
}

fn own_policy() -> u32 {
    policy(&std::fs::read_to_string("/proc/thread-self/stat").unwrap())
}

#[test]
fn what_is_had_is_so_and_what_is_not_is_said_with_what_would_help() {
    thread::spawn(|| {
        let protection = protect();
        let words = protection.in_words();
        println!("{words}");
        assert_eq!(
            protection.had.iter().filter(|had| !had.starts_with("raised")).count() + protection.missing.len(),
            4,
            "{words}"
        );
        assert!(!words.to_lowercase().contains("warn"), "S1: {words}");
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let locked: u64 = status
            .lines()
            .find_map(|line| line.strip_prefix("VmLck:"))
            .and_then(|rest| rest.split_whitespace().next()?.parse().ok())
            .unwrap();
        assert_eq!(
            locked > 0,
            words.contains("memory locked") && protection.had.contains(&"memory locked"),
            "{locked} kB"
        );
        let realtime = protection.had.iter().any(|had| had.starts_with("real-time"));
        assert_eq!(own_policy() == 2, realtime, "{words}");
        let inherited = thread::spawn(own_policy).join().unwrap();
        assert_eq!(inherited == 2, realtime, "what it starts to ask MySQL is as quick");
        let child = as_ordinary_thread(|| Command::new("cat").arg("/proc/self/stat").output().unwrap());
        assert_eq!(
            policy(std::str::from_utf8(&child.stdout).unwrap()),
            0,
            "a fence_command is an ordinary process"
        );
        assert_eq!(own_policy() == 2, realtime, "and the thread is as before");
        let spared = std::fs::read_to_string("/proc/self/oom_score_adj").unwrap().trim() == "-900";
        assert!(spared || !protection.had.contains(&"spared by the OOM killer"), "{words}");
        let undumpable =
            rustix::process::dumpable_behavior().unwrap() == rustix::process::DumpableBehavior::NotDumpable;
        assert_eq!(undumpable, protection.had.contains(&"no core dumps"), "{words}");
    })
    .join()
    .unwrap();
}
