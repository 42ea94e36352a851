//! How late an agent's loop was, by its own trace: each decision says when the loop is to wake next, and the next line says when it did.

use std::io;

use decide::input::Event;
use decide::trace::Line;

use crate::host::Host;

const TRACE: &str = "/var/lib/haipmgr/HAIPMGR_3306.trace.jsonl";

/// Of every wake on this host since then, in microseconds.
pub(super) fn since(host: &Host, since_us: u64) -> io::Result<Vec<i64>> {
    Ok(late(&std::fs::read_to_string(host.path(TRACE))?, since_us))
}

fn late(trace: &str, since_us: u64) -> Vec<i64> {
    let lines = trace.lines().filter_map(|line| serde_json::from_str(line).ok());
    let mut due = None;
    let mut all = Vec::new();
    for line in lines {
        let Line::Step { now, event, decision } = line else {
            due = None;
            continue;
        };
        if let Some(due) = due
            && *event == Event::Wake
            && now.0 >= due
            && due >= since_us
        {
            all.push(i64::try_from(now.0 - due).unwrap_or(i64::MAX));
        }
        due = Some(decision.wake_at.0);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::late;

    fn line(now: u64, event: &str, wake_at: u64) -> String {
        let stage = "[\"passed\",1]";
        format!(
            "{{\"step\":{{\"now\":{now},\"event\":{event},\"decision\":{{\"actions\":[],\"reasons\":[],\"wake_at\":{wake_at},\
             \"stages\":{{\"member\":{stage},\"server\":{stage},\"primary\":{stage},\"gateway\":{stage}}}}}}}}}\n"
        )
    }

    #[test]
    fn a_wake_is_late_by_what_it_came_after_it_was_due_and_other_events_are_no_wakes() {
        let stat = "{\"stat_file\":null}";
        let trace = [
            line(100, "\"wake\"", 500),
            line(700, "\"wake\"", 2_000),
            line(900, stat, 1_000),
            line(1_003, "\"wake\"", 9_000),
        ];
        assert_eq!(late(&trace.concat(), 0), [200, 3]);
        assert_eq!(late(&trace.concat(), 600), [3], "what was due before it was looked at");
    }
}
