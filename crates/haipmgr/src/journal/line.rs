//! What one line looks like.

use core::fmt::Write as _;

/// What a line is about. The level of a switch is written for switches alone (S1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    Info,
    Error,
    Switch,
}

impl Level {
    fn word(self) -> &'static str {
        match self {
            Self::Info => "INFO ",
            Self::Error => "ERROR",
            Self::Switch => "WARN ",
        }
    }

    /// `sd-daemon(3)`'s priority.
    fn priority(self) -> u8 {
        match self {
            Self::Error => 3,
            Self::Switch => 4,
            Self::Info => 6,
        }
    }
}

/// When a line was written: local time to the millisecond, with its offset from UTC.
pub(super) struct Stamp(String);

impl Stamp {
    pub(super) fn now() -> Self {
        Self::of(&jiff::Zoned::now())
    }

    pub(super) fn of(time: &jiff::Zoned) -> Self {
        Self(time.strftime("%Y-%m-%d %H:%M:%S%.3f%:z").to_string())
    }
}

/// A text longer than this, in bytes, is cut off.
const LONGEST: usize = 2048;

/// The line for a log file, its end included.
pub(super) fn for_file(level: Level, stamp: &Stamp, name: Option<&str>, text: &str) -> String {
    format!("{} {} {}\n", stamp.0, level.word(), safe(level, name, text))
}

/// The line for standard error. The systemd journal knows the time by itself, and the level from a prefix.
pub(super) fn for_standard_error(
    level: Level,
    stamp: &Stamp,
    name: Option<&str>,
    text: &str,
    systemd: bool,
) -> String {
    if systemd {
        format!("<{}>{} {}\n", level.priority(), level.word(), safe(level, name, text))
    } else {
        for_file(level, stamp, name, text)
    }
}

/// Name and text in one line that forges no other line and, but for a switch, holds no switch's level.
fn safe(level: Level, name: Option<&str>, text: &str) -> String {
    let mut line = String::with_capacity(text.len() + 16);
    if let Some(name) = name {
        line.push('[');
        escape_into(&mut line, name);
        line.push_str("] ");
    }
    escape_into(&mut line, text);
    if level == Level::Switch { line } else { part_level(&line) }
}

/// Control characters, line ends of every alphabet, and marks that turn the direction of writing become escapes.
fn escape_into(line: &mut String, text: &str) {
    for c in text.chars() {
        if line.len() > LONGEST {
            line.push('…');
            return;
        }
        let disturbs = c.is_control()
            || matches!(c, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
        match c {
            '\t' => line.push(' '),
            _ if disturbs => {
                let _never_fails = write!(line, "{}", c.escape_unicode());
            }
            _ => line.push(c),
        }
    }
}

/// Parts the letters of a switch's level wherever they stand together, in any case: `w-arn`. `grep -i` for them then
/// finds the switches only, and a person still reads what is meant.
fn part_level(line: &str) -> String {
    let mut parted = String::with_capacity(line.len() + 8);
    for (at, c) in line.char_indices() {
        parted.push(c);
        let here = line.as_bytes().get(at..at + 4);
        if here.is_some_and(|letters| letters.eq_ignore_ascii_case(b"warn")) {
            parted.push('-');
        }
    }
    parted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_level_of_a_switch_is_parted_in_any_case_and_stays_readable() {
        for (text, shown) in [
            ("warn", "w-arn"),
            ("WARNING: x", "W-ARNING: x"),
            ("a wArN", "a w-ArN"),
            ("wawarnrn", "waw-arnrn"),
            ("warnwarn", "w-arnw-arn"),
            ("war n", "war n"),
            ("wärn…warn", "wärn…w-arn"),
        ] {
            assert_eq!(part_level(text), shown);
        }
    }

    #[test]
    fn no_text_forges_a_line() {
        let stamp = Stamp("now".to_owned());
        let line = for_file(Level::Info, &stamp, Some("a\nb"), "x\r\ny\u{2028}z\u{1b}[31m\u{202e}");
        assert_eq!(line.matches('\n').count(), 1);
        assert!(line.ends_with('\n'));
        assert!(
            !line.trim_end().chars().any(|c| c.is_control() || c == '\u{2028}' || c == '\u{202e}'),
            "{line:?}"
        );
    }

    #[test]
    fn a_very_long_text_is_cut_off() {
        let stamp = Stamp("now".to_owned());
        assert!(for_file(Level::Error, &stamp, None, &"é".repeat(100_000)).len() < LONGEST + 100);
    }

    #[test]
    fn the_systemd_journal_gets_a_priority_and_no_second_time_stamp() {
        let stamp = Stamp("now".to_owned());
        assert_eq!(for_standard_error(Level::Switch, &stamp, Some("a"), "b", true), "<4>WARN  [a] b\n");
        assert_eq!(for_standard_error(Level::Info, &stamp, None, "b", false), "now INFO  b\n");
    }
}
