//! `stat_<port>_<address>`: for each reader VIP the one character that `stat_<port>` has for the writer's (S6): `2` it came here, `0` it left, `1`
//! neither for 20 `sleeptime`. The rules know nothing of it.

use std::collections::BTreeMap;
use std::time::Duration;

use decide::driver::Settled;
use decide::net::VipId;
use decide::output::StatMark;
use decide::time::Time;

use crate::act::statfile::{StatFile, StatFileError};
use crate::config::Cluster;

/// Those of one cluster.
pub(super) struct ReaderStats {
    files: BTreeMap<VipId, Stat>,
    /// How long a move is shown.
    shown_for: Duration,
}

struct Stat {
    file: StatFile,
    /// When it goes back to `1`; none: it is there.
    quiet_at: Option<Time>,
}

impl ReaderStats {
    pub(super) fn new(cluster: &Cluster) -> Self {
        let stat = |vip| {
            let file = StatFile::new(cluster.reader_stat_file(cluster.policy.address_of(vip)?));
            Some((vip, Stat { file, quiet_at: None }))
        };
        let files = cluster.policy.reader_vips().filter_map(stat).collect();
        Self { files, shown_for: cluster.stat_shown_for() }
    }

    /// At the start: what a restart has left is shown for the rest of its time.
    pub(super) fn begin(&mut self, now: Time) -> Vec<StatFileError> {
        let shown_for = self.shown_for;
        let begin = |stat: &mut Stat| match stat.file.read()? {
            Some((StatMark::Quiet, _)) => Ok(()),
            Some((_, age)) if age < shown_for => {
                stat.quiet_at = Some(now + shown_for.saturating_sub(age));
                Ok(())
            }
            Some(_) | None => stat.file.write(StatMark::Quiet),
        };
        self.files.values_mut().filter_map(|stat| begin(stat).err()).collect()
    }

    /// Marks what a decision moved.
    pub(super) fn settled(&mut self, settled: &Settled) -> Vec<StatFileError> {
        let mut errors = Vec::new();
        for said in &settled.decision.reasons {
            let Some(vip) = said.vip.filter(|vip| !settled.not_started.contains(vip)) else { continue };
            let mark = match said.reason.stage_5() {
                0 => StatMark::Stopped,
                2 => StatMark::Started,
                _ => continue,
            };
            if let Some(stat) = self.files.get_mut(&vip) {
                stat.quiet_at = Some(settled.at + self.shown_for);
                errors.extend(stat.file.write(mark).err());
            }
        }
        errors
    }

    /// Now and then: what was shown long enough goes back, and what somebody removed is there again.
    pub(super) fn look(&mut self, now: Time) -> Vec<StatFileError> {
        let look = |stat: &mut Stat| {
            if stat.quiet_at.is_some_and(|due| now >= due) {
                stat.quiet_at = None;
                return stat.file.write(StatMark::Quiet);
            }
            stat.file.put_back()
        };
        self.files.values_mut().filter_map(|stat| look(stat).err()).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeSet;

    use decide::input::Event;
    use decide::output::{LetGo, Reason, Said};
    use decide::{State, step};

    use super::*;
    use crate::config::Source;
    use crate::fuzzing::configuration;

    const FILE: &str = "[[cluster]]\nvip=\"10.7.0.1\"\ngateway=\"10.0.0.1\"\nmysql_port=3306\nuser=\"u\"\npassword=\"p\"\ninstall_path=\"/\"\n\
        members={\"10.0.0.2\"=\"e\"}\n[[cluster.vips]]\naddress=\"10.7.0.2\"\nrole=\"reader\"\n[[cluster.vips]]\naddress=\"fd77::3\"\nrole=\"reader\"\n";

    #[test]
    fn each_reader_vip_has_its_file_and_a_move_is_shown_for_20_sleeptimes() {
        let folder = tempfile::tempdir().unwrap();
        let mut cluster = configuration(Source::Toml, FILE.as_bytes()).unwrap().remove(0);
        cluster.install_path = folder.path().to_owned();
        let of = |address: &str| {
            std::fs::read_to_string(folder.path().join(format!("stat_3306_{address}"))).unwrap()
        };
        let mut stats = ReaderStats::new(&cluster);
        let begun = Time(1_000_000);
        assert!(stats.begin(begun).is_empty());
        assert_eq!((of("10.7.0.2"), of("fd77::3")), ("1".to_owned(), "1".to_owned()));
        let mut decision =
            step(&cluster.policy, &mut State::new(&cluster.policy, begun), &Event::Wake, begun);
        let stopped = || Reason::Stopped { interface: "e".to_owned(), because: LetGo::Told };
        let lets_go = |vip| Said { vip: Some(VipId(vip)), reason: stopped() };
        decision.reasons = vec![lets_go(0), lets_go(1)];
        let mut settled = Settled { at: begun, decision, not_started: BTreeSet::new() };
        assert!(stats.settled(&settled).is_empty());
        assert_eq!((of("10.7.0.2"), of("fd77::3")), ("0".to_owned(), "1".to_owned()));
        std::fs::remove_file(folder.path().join("stat_3306_10.7.0.2")).unwrap();
        assert!(stats.look(begun + Duration::from_secs(139)).is_empty());
        assert_eq!(of("10.7.0.2"), "0", "put back");
        assert!(stats.look(begun + Duration::from_secs(140)).is_empty());
        assert_eq!(of("10.7.0.2"), "1");
        settled.not_started.insert(VipId(2));
        settled.decision.reasons = vec![lets_go(2)];
        assert!(stats.settled(&settled).is_empty());
        assert_eq!(of("fd77::3"), "1", "a start that failed is no move");
        assert!(!folder.path().join("stat_3306").exists(), "the writer's is the rules' own");
    }
}
