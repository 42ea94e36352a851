//! What watched the Python program goes on as it is (S15–S17): quiet while all is well, and one alarm for each thing that happened.
//!
//! Each monitor is what the seed document says of it, and no more. It looks from beside, in a thread of its own, while a failover goes on.

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mysql::prelude::Queryable as _;
use mysql::{Conn, Opts, OptsBuilder};

use super::expect::{followed, promise};
use super::{Broken, UnderTest};
use crate::experiment::Experiment;
use crate::fault::Fault;
use crate::segment::members;

/// S15, as the document has it; the schema is chosen at the login.
const MEMBERS_ONLINE: &str = "select count(*) from replication_group_members where MEMBER_STATE='ONLINE'";
/// How often S15 and S17 look: often enough to see each of their alarms.
const OFTEN: Duration = Duration::from_millis(200);
/// S16's period.
const A_MINUTE: Duration = Duration::from_secs(60);
/// The state file says 1 again after twenty times `sleeptime`, 7 s in the lab, and some.
const ONE_AGAIN: Duration = Duration::from_secs(145);
/// How long all is well before something is done, so that a monitor is seen to be quiet.
const WELL_FOR: Duration = Duration::from_secs(1);
const STAT_FILE: &str = "/var/lib/haipmgr/stat_3306";
/// How long a monitor may take to say that all is well, once it is.
const QUIET_WITHIN: Duration = Duration::from_secs(20);

/// What one monitor of one host found, one look after the other. Only what differs from the look before is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Found(Vec<String>);

impl Found {
    fn look(&mut self, found: String) {
        if self.0.last() != Some(&found) {
            self.0.push(found);
        }
    }

    /// What was found in each alarm: from the first look that was not `well` to the next that was.
    fn alarms(&self, well: &str) -> Vec<Vec<&str>> {
        let of_alarm = self.0.split(|found| found == well).filter(|alarm| !alarm.is_empty());
        of_alarm.map(|alarm| alarm.iter().map(String::as_str).collect()).collect()
    }
}

/// One look, at each host in turn.
type Look = Box<dyn FnMut() -> Vec<String> + Send>;

/// A monitor at work.
struct Monitor {
    end: Sender<()>,
    thread: JoinHandle<Vec<Found>>,
}

impl Monitor {
    /// Looks at once, and then each `every`.
    fn begin(every: Duration, mut look: Look) -> Self {
        let (end, ended) = channel();
        let thread = std::thread::spawn(move || {
            let mut found = Vec::new();
            let began = Instant::now();
            for look_at in 1_u32.. {
                let looked = look();
                found.resize(looked.len(), Found::default());
                found.iter_mut().zip(looked).for_each(|(found, looked)| found.look(looked));
                let wait = (began + every * look_at).saturating_duration_since(Instant::now());
                if ended.recv_timeout(wait) != Err(RecvTimeoutError::Timeout) {
                    break;
                }
            }
            found
        });
        Self { end, thread }
    }

    fn end(self) -> Result<Vec<Found>, Broken> {
        // It may have ended by a panic, which is told below.
        let _ = self.end.send(());
        self.thread.join().map_err(|_| Broken::NotAsPromised("the monitor itself has failed".to_owned()))
    }
}

/// What was found of each host is this many alarms and no more, and it ends well.
fn alarms(
    experiment: &Experiment,
    found: &[Found],
    well: &str,
    wanted: &dyn Fn(usize) -> usize,
) -> Result<(), Broken> {
    for (place, found) in found.iter().enumerate() {
        let alarms = found.alarms(well);
        let (wanted, name) = (wanted(place), experiment.name(place));
        promise(alarms.len() == wanted, || {
            format!("{name}: {wanted} alarms are due, and there were {alarms:?}")
        })?;
        promise(found.0.last().is_some_and(|last| last == well), || {
            format!("{name}: the monitor says {:?} in the end, and not {well}", found.0.last())
        })?;
    }
    Ok(())
}

/// Waits until a look finds all well.
fn wait_until_well(look: &mut Look, well: &str, limit: Duration) -> Result<(), Broken> {
    let since = Instant::now();
    loop {
        let found = look();
        if found.iter().all(|found| found == well) {
            return Ok(());
        }
        promise(since.elapsed() <= limit, || format!("nothing was done, and the monitor finds {found:?}"))?;
        std::thread::sleep(OFTEN);
    }
}

/// S15: the members that are ONLINE, asked of every server by SQL. A planned switchover leaves all of them so.
pub(super) fn members_online(under_test: &mut UnderTest) -> Result<String, Broken> {
    let experiment = &mut under_test.experiment;
    experiment.lab.wait_steady()?;
    let sockets = experiment.lab.group.servers().iter().map(|server| server.socket().to_owned());
    let sockets: Vec<PathBuf> = sockets.collect();
    let well = members().to_string();
    let look = move || -> Look {
        let sockets = sockets.clone();
        Box::new(move || sockets.iter().map(|socket| online(socket)).collect())
    };
    wait_until_well(&mut look(), &well, QUIET_WITHIN)?;

    let monitor = Monitor::begin(OFTEN, look());
    std::thread::sleep(WELL_FOR);
    let planned = experiment.run(Fault::Switchover);
    alarms(experiment, &monitor.end()?, &well, &|_| 0)?;
    followed(&planned?)?;

    let monitor = Monitor::begin(OFTEN, look());
    std::thread::sleep(WELL_FOR);
    let killed = experiment.run(Fault::Kill9);
    let settled = wait_until_well(&mut look(), &well, QUIET_WITHIN);
    std::thread::sleep(OFTEN * 2);
    let found = monitor.end()?;
    let words = followed(&killed?)?;
    settled?;
    alarms(experiment, &found, &well, &|_| 1)?;
    let survivors = found.iter().filter(|found| found.0.iter().all(|said| said.parse::<u64>().is_ok()));
    let survivors = survivors.count();
    promise(survivors == members() - 1, || {
        format!("one server was killed, and the monitor found {found:?}")
    })?;
    Ok(format!("quiet at a switchover; kill -9: one alarm by each server; {words}"))
}

/// The number, or why there is none: that is not 3 either.
fn online(socket: &Path) -> String {
    let options = OptsBuilder::new()
        .socket(socket.to_str())
        .user(Some("root"))
        .db_name(Some("performance_schema"))
        .read_timeout(Some(Duration::from_secs(5)));
    let answer =
        Conn::new(Opts::from(options)).and_then(|mut session| session.query_first::<u64, _>(MEMBERS_ONLINE));
    match answer {
        Ok(count) => count.unwrap_or_default().to_string(),
        Err(_) => "no answer".to_owned(),
    }
}

/// S16: the state file of each host, read once a minute; any value but 1 is an alarm.
pub(super) fn state_file(under_test: &mut UnderTest) -> Result<String, Broken> {
    let experiment = &mut under_test.experiment;
    let old = experiment.lab.wait_steady()?;
    let hosts = experiment.lab.segment.databases.iter();
    let files: Vec<PathBuf> = hosts.map(|host| host.path(STAT_FILE)).collect();
    let look = move || -> Look {
        let files = files.clone();
        Box::new(move || files.iter().map(|file| mark(file)).collect())
    };
    // The tests before this one have switched the VIP.
    wait_until_well(&mut look(), "1", ONE_AGAIN)?;

    let began = Instant::now();
    let monitor = Monitor::begin(A_MINUTE, look());
    std::thread::sleep(WELL_FOR);
    let killed = experiment.run(Fault::Kill9);
    let new = experiment.lab.wait_steady();
    // Two readings of the alarm, and one that finds all well again.
    let settled = wait_until_well(&mut look(), "1", ONE_AGAIN);
    std::thread::sleep(until_the_next_reading(began.elapsed()) + WELL_FOR);
    let found = monitor.end()?;
    let words = followed(&killed?)?;
    let new = new?;
    settled?;
    alarms(experiment, &found, "1", &|place| usize::from(place == old || place == new))?;
    for (place, says) in [(old, "0"), (new, "2")] {
        let alarm = found[place].alarms("1").concat();
        promise(alarm == [says], || {
            format!("{}: the alarm is {says}, and the monitor read {alarm:?}", experiment.name(place))
        })?;
    }
    let (old, new) = (experiment.name(old), experiment.name(new));
    Ok(format!("read each minute: one alarm on {old} (0), one on {new} (2), the third quiet; {words}"))
}

/// It reads at each full minute.
fn until_the_next_reading(elapsed: Duration) -> Duration {
    A_MINUTE.saturating_sub(Duration::from_secs(elapsed.as_secs() % A_MINUTE.as_secs()))
}

fn mark(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap_or_else(|error| error.to_string())
}

/// S17: the two processes of each host, by name.
pub(super) fn processes(under_test: &mut UnderTest) -> Result<String, Broken> {
    let experiment = &mut under_test.experiment;
    let old = experiment.lab.wait_steady()?;
    let hosts = experiment.lab.segment.databases.iter();
    // The lab's hosts share their processes; a host's own are those in its network.
    let networks: Vec<PathBuf> =
        hosts.map(|host| PathBuf::from(format!("/proc/{}/ns/net", host.holder()))).collect();
    let look = move || -> Look {
        let networks = networks.clone();
        Box::new(move || networks.iter().map(|network| running(network)).collect())
    };
    let well = "haipmgr mysqld";
    wait_until_well(&mut look(), well, QUIET_WITHIN)?;

    let monitor = Monitor::begin(OFTEN, look());
    std::thread::sleep(WELL_FOR);
    let planned = experiment.run(Fault::Switchover);
    alarms(experiment, &monitor.end()?, well, &|_| 0)?;
    followed(&planned?)?;
    let new = experiment.lab.wait_steady()?;
    promise(new != old, || "the switchover has moved nothing".to_owned())?;

    let monitor = Monitor::begin(OFTEN, look());
    std::thread::sleep(WELL_FOR);
    let killed = experiment.run(Fault::Kill9);
    std::thread::sleep(OFTEN * 2);
    let found = monitor.end()?;
    let words = followed(&killed?)?;
    alarms(experiment, &found, well, &|place| usize::from(place == new))?;
    promise(found[new].alarms(well).concat() == ["haipmgr"], || format!("mysqld was killed: {found:?}"))?;

    let holder = experiment.lab.wait_steady()?;
    let monitor = Monitor::begin(OFTEN, look());
    std::thread::sleep(WELL_FOR);
    let agent_killed = experiment.run(Fault::AgentKill9);
    std::thread::sleep(OFTEN * 2);
    let found = monitor.end()?;
    agent_killed?;
    alarms(experiment, &found, well, &|place| usize::from(place == holder))?;
    promise(found[holder].alarms(well).concat() == ["mysqld"], || format!("an agent was killed: {found:?}"))?;
    Ok(format!("quiet at a switchover; one alarm for a mysqld that was killed, one for an agent; {words}"))
}

/// Which of the two run in this network, in the order of their names.
fn running(network: &Path) -> String {
    let inode = |path: &Path| std::fs::metadata(path).map(|found| found.ino()).ok();
    let own = inode(network);
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten().map(|entry| entry.path());
    let mut names: Vec<String> = processes
        .filter(|process| own.is_some() && inode(&process.join("ns/net")) == own)
        .filter_map(|process| std::fs::read_to_string(process.join("comm")).ok())
        .map(|name| name.trim_end().to_owned())
        .filter(|name| ["haipmgr", "mysqld"].contains(&name.as_str()))
        .collect();
    names.sort();
    names.dedup();
    names.join(" ")
}

#[cfg(test)]
mod tests {
    use super::Found;

    fn found(looks: &[&str]) -> Found {
        let mut found = Found::default();
        for look in looks {
            found.look((*look).to_owned());
        }
        found
    }

    #[test]
    fn an_alarm_lasts_until_all_is_well_and_is_one() {
        let none: Vec<Vec<&str>> = Vec::new();
        assert_eq!(found(&["1", "1"]).alarms("1"), none);
        assert_eq!(found(&["1", "0", "0", "1"]).alarms("1"), [["0"]]);
        assert_eq!(
            found(&["3", "2", "no answer", "3", "2", "3"]).alarms("3"),
            [vec!["2", "no answer"], vec!["2"]]
        );
        assert_eq!(found(&["1", "2"]).alarms("1"), [["2"]], "one that goes on is one too");
    }
}
