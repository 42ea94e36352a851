//! Ages and unknowns in words. Pure.

use std::time::Duration;

/// What could not be seen.
pub(super) const NOT_KNOWN: &str = "not known";

/// From this on a fact is shown with its age, and no longer as current.
const CURRENT: Duration = Duration::from_secs(1);

/// "now", "12 s ago".
pub(super) fn ago(age: Duration) -> String {
    if age < CURRENT { "now".to_owned() } else { format!("{} ago", length(age)) }
}

/// " (12 s ago)" behind what is no longer current; nothing behind what is.
pub(super) fn if_old(age: Duration) -> String {
    if age < CURRENT { String::new() } else { format!(" ({})", ago(age)) }
}

/// The two largest units that make sense: "8.2 s", "12 s", "3 min", "5 h 10 min", "12 d 3 h".
pub(super) fn length(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..10 => format!("{}.{} s", seconds, time.subsec_millis() / 100),
        10..120 => format!("{seconds} s"),
        120..3_600 => format!("{} min", seconds / 60),
        3_600..86_400 => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

/// What came from outside, on one line and without what a terminal would act on.
pub(super) fn plain(text: &str) -> String {
    text.replace(char::is_control, " ")
}

/// What came from outside, or "not known".
pub(super) fn or_not_known(text: Option<&str>) -> String {
    text.map_or_else(|| NOT_KNOWN.to_owned(), plain)
}

/// Milliseconds, as they came over the socket.
pub(super) fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_older_than_a_second_is_never_shown_as_now() {
        assert_eq!(ago(ms(999)), "now");
        assert_eq!((ago(ms(1_000)), if_old(ms(1_000))), ("1.0 s ago".to_owned(), " (1.0 s ago)".to_owned()));
        assert_eq!((ago(ms(12_400)), if_old(ms(900))), ("12 s ago".to_owned(), String::new()));
    }

    #[test]
    fn lengths_have_the_units_that_a_person_would_use() {
        for (seconds, words) in
            [(9, "9.0 s"), (119, "119 s"), (120, "2 min"), (18_630, "5 h 10 min"), (1_050_000, "12 d 3 h")]
        {
            assert_eq!(length(Duration::from_secs(seconds)), words);
        }
    }

    #[test]
    fn a_servers_words_move_no_cursor_and_begin_no_line() {
        assert_eq!(plain("db1\u{1b}[2J\n\tx"), "db1 [2J  x");
    }
}
