//! What is true of every configuration file, of either kind.

use std::path::Path;

use haipmgr::config::{Cluster, Problems, Source};
use haipmgr::fuzzing::{configuration, passwords};

/// Where this stands in a password and nowhere else, no problem may show it.
const MARK: &str = "Zq7";

/// Reads it, and asserts.
pub fn check(source: Source, content: &[u8]) -> Result<Vec<Cluster>, Problems> {
    let read = configuration(source, content);
    let text = String::from_utf8_lossy(content);
    match &read {
        Ok(clusters) => {
            assert!(!clusters.is_empty(), "no cluster, and no problem");
            for (at, cluster) in clusters.iter().enumerate() {
                assert_eq!(cluster.policy.validate(), Ok(()));
                assert!(cluster.install_path.is_absolute(), "{}", cluster.install_path.display());
                for other in &clusters[..at] {
                    assert_ne!(cluster.name, other.name);
                    let theirs = |address| other.policy.vips.values().any(|vip| vip.address == address);
                    assert!(!cluster.policy.vips.values().any(|vip| theirs(vip.address)));
                    assert_ne!(cluster.mysql_port, other.mysql_port);
                }
            }
        }
        Err(problems) => {
            assert!(!problems.list().is_empty(), "refused without a word");
            let lines = text.split('\n').count();
            let secret = text.matches(MARK).count() == 1
                && passwords(source, content).iter().any(|password| password.contains(MARK));
            for problem in problems.list() {
                assert!(!secret || !problem.text.contains(MARK), "a password is shown: {problem}");
                assert!(problem.file == Path::new("/fuzz") && !problem.text.is_empty());
                if let Some(at) = problem.at {
                    assert!((1..=lines).contains(&at.line) && at.column >= 1, "{problem} of {lines} lines");
                }
            }
        }
    }
    read
}
