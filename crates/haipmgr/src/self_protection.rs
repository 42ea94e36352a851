//! The agent's own protection: its memory is not swapped out, it is served before others, and the OOM killer takes it last.
//! What can't be had stops nothing.

use std::fs;
use std::io;

use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};
use rustix::mm::{MlockAllFlags, mlockall};
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use thread_priority::{
    NormalThreadSchedulePolicy, RealtimeThreadSchedulePolicy, ThreadPriority, ThreadPriorityValue,
    ThreadSchedulePolicy, set_thread_priority_and_policy, thread_native_id, thread_schedule_policy,
};

/// The lowest real-time priority: before everything that has none, behind everything else that has one.
const PRIORITY: u8 = 1;
/// Where there is no real-time priority to be had.
const NICE: i32 = -10;
/// For what can wait, so that a server on this host does not.
const BEHIND_OTHERS: i32 = 10;
/// A real-time thread that runs for so long without waiting for anything is beside itself: the kernel ends the agent, systemd
/// starts it again, and the lease sees to the rest. Microseconds.
const RUNS_AT_MOST: u64 = 5_000_000;
/// systemd's own word for "the last but one": -1000 would be never.
const OOM_SCORE: i32 = -900;
const OOM_FILE: &str = "/proc/self/oom_score_adj";

/// What the agent has, and what it could not have; each in words for the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Protection {
    /// What it has.
    pub had: Vec<&'static str>,
    /// What it has not, why, and what would help.
    pub missing: Vec<String>,
}

impl Protection {
    /// All of it in one line.
    pub fn in_words(&self) -> String {
        let had = if self.had.is_empty() { "nothing".to_owned() } else { self.had.join(", ") };
        if self.missing.is_empty() {
            return format!("the agent's own protection: {had}");
        }
        format!("the agent's own protection: {had}; missing: {}", self.missing.join("; "))
    }

    fn add(&mut self, done: Result<&'static str, String>) {
        match done {
            Ok(had) => self.had.push(had),
            Err(missing) => self.missing.push(missing),
        }
    }
}

/// Protects this process: to be called on the thread that runs the loop, before it starts others. Those that it starts
/// afterwards, which ask MySQL, get its priority.
pub fn protect() -> Protection {
    let mut protection = Protection::default();
    protection.add(lock_memory().map_err(|cause| {
        format!("memory locked ({cause}; LimitMEMLOCK=infinity in the unit, ulimit -l unlimited)")
    }));
    match realtime() {
        Ok(had) => protection.add(Ok(had)),
        Err(cause) => {
            let nice = rustix::process::setpriority_process(None, NICE);
            if nice.is_ok() {
                protection.add(Ok("raised priority (nice -10)"));
            }
            protection.add(Err(format!(
                "real-time priority ({cause}; LimitRTPRIO=1 and RestrictRealtime=no in the unit, or CAP_SYS_NICE)"
            )));
        }
    }
    protection.add(
        spare_from_oom_killer()
            .map_err(|cause| format!("spared by the OOM killer ({cause}; OOMScoreAdjust=-900 in the unit)")),
    );
    // Last: with it, the files of this process in /proc become root's.
    protection.add(without_core_dumps());
    protection
}

/// A core dump would hold the passwords. systemd-coredump would keep one even under a limit of 0.
///
/// # Errors
/// In words: the system refuses it.
pub fn without_core_dumps() -> Result<&'static str, String> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map(|()| "no core dumps")
        .map_err(|errno| format!("no core dumps ({errno}; LimitCORE=0 in the unit)"))
}

/// Pages are locked as they are touched, so that nothing is read in that is not needed.
///
/// Only where there is no limit: under one, a later thread's stack or an allocation could be refused because of it.
fn lock_memory() -> Result<&'static str, String> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_MEMLOCK).map_err(|errno| errno.desc().to_owned())?;
    let raised = soft == RLIM_INFINITY
        || setrlimit(Resource::RLIMIT_MEMLOCK, RLIM_INFINITY, RLIM_INFINITY).is_ok()
        || (hard == RLIM_INFINITY && setrlimit(Resource::RLIMIT_MEMLOCK, hard, hard).is_ok());
    if !raised {
        return Err(format!("the limit is {} kB", soft / 1024));
    }
    mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT)
        .map_err(|errno| io::Error::from(errno).to_string())?;
    Ok("memory locked")
}

fn realtime() -> Result<&'static str, String> {
    setrlimit(Resource::RLIMIT_RTTIME, RUNS_AT_MOST, RUNS_AT_MOST)
        .map_err(|errno| errno.desc().to_owned())?;
    schedule(ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::RoundRobin), PRIORITY)?;
    Ok("real-time priority (round robin, 1)")
}

fn schedule(policy: ThreadSchedulePolicy, priority: u8) -> Result<(), String> {
    let priority = ThreadPriorityValue::try_from(priority).map_err(|problem| format!("{problem:?}"))?;
    set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Crossplatform(priority), policy)
        .map_err(|error| match error {
            thread_priority::Error::OS(number) => io::Error::from_raw_os_error(number).to_string(),
            other => other.to_string(),
        })
}

fn spare_from_oom_killer() -> Result<&'static str, String> {
    const HAD: &str = "spared by the OOM killer";
    let text = fs::read_to_string(OOM_FILE).map_err(|cause| cause.to_string())?;
    if text.trim().parse::<i32>().is_ok_and(|score| score <= OOM_SCORE) {
        return Ok(HAD);
    }
    fs::write(OOM_FILE, OOM_SCORE.to_string()).map(|()| HAD).map_err(|cause| cause.to_string())
}

/// Does something on this thread as an ordinary one: a process that is started meanwhile is an ordinary one.
pub fn as_ordinary_thread<T>(work: impl FnOnce() -> T) -> T {
    let realtime = matches!(thread_schedule_policy(), Ok(ThreadSchedulePolicy::Realtime(_)));
    if !realtime {
        return work();
    }
    let ordinary = rustix::process::getpriority_process(None).ok();
    // Where it can't be laid down, what is started has it as well: no reason not to start it.
    let _ = set_thread_priority_and_policy(
        thread_native_id(),
        ThreadPriority::Min,
        ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Other),
    );
    if let Some(nice) = ordinary {
        let _ = rustix::process::setpriority_process(None, nice);
    }
    let done = work();
    let _ = realtime_again();
    done
}

/// Lets everybody else on the host come before this thread, and before those that it begins, for as long as they live.
pub fn give_way() {
    // Where it can't be had, it is as all others are.
    let _ = rustix::process::setpriority_process(None, BEHIND_OTHERS);
}

fn realtime_again() -> Result<(), String> {
    schedule(ThreadSchedulePolicy::Realtime(RealtimeThreadSchedulePolicy::RoundRobin), PRIORITY)
}
