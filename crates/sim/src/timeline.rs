//! A schedule's run, printed to be read.

use crate::schedule::Schedule;

/// The schedule, what happened in it moment by moment, and what was broken.
pub fn timeline(schedule: &Schedule) -> String {
    let outcome = schedule.tell();
    let mut text = format!("{schedule}\n\n");
    for (at, words) in &outcome.story {
        text.push_str(&format!("{:10.4} s  {words}\n", at.as_secs_f64()));
    }
    for broken in &outcome.broken {
        text.push_str(&format!("{:10.4} s  BROKEN  {broken}\n", outcome.length.as_secs_f64()));
    }
    text
}
