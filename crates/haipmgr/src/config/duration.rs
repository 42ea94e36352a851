//! Lengths of time as people write them.

use std::time::Duration;

/// Reads `"7s"`, `"100ms"`, `"1m"`, `"2h"`, `"0.5s"`; a number without a unit is seconds.
///
/// # Errors
/// What is wrong, and what to write instead.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let advice = || {
        format!(
            "\"{}\" is not a length of time; write a number and a unit, such as \"100ms\", \"7s\" or \"1m\"",
            text.escape_debug()
        )
    };
    let text = text.trim();
    let unit_at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(unit_at);
    let scale = match unit.trim() {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => return Err(advice()),
    };
    let number: f64 = number.parse().map_err(|_| advice())?;
    from_seconds(number * scale).ok_or_else(advice)
}

/// Seconds as a number; none where it is negative, not a number or far too large. Rounded to microseconds.
pub(super) fn from_seconds(seconds: f64) -> Option<Duration> {
    let exact = Duration::try_from_secs_f64(seconds).ok()?;
    let micros = u64::try_from((exact.as_nanos() + 500) / 1000).ok()?;
    Some(Duration::from_micros(micros))
}

/// In the largest unit that leaves a whole number.
pub fn format(duration: Duration) -> String {
    let millis = duration.as_millis();
    if duration.as_nanos() != millis * 1_000_000 {
        return format!("{}s", duration.as_secs_f64());
    }
    match millis {
        0 => "0s".to_owned(),
        hours if hours % 3_600_000 == 0 => format!("{}h", hours / 3_600_000),
        minutes if minutes % 60_000 == 0 => format!("{}m", minutes / 60_000),
        seconds if seconds % 1000 == 0 => format!("{}s", seconds / 1000),
        millis => format!("{millis}ms"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn lengths_of_time_are_read_as_written_and_written_as_read() {
        for (text, millis) in
            [("7s", 7000), ("100ms", 100), ("1m", 60_000), ("2h", 7_200_000), ("500ms", 500), ("0s", 0)]
        {
            assert_eq!(parse(text).unwrap(), Duration::from_millis(millis));
            assert_eq!(format(Duration::from_millis(millis)), text);
        }
        assert_eq!(parse("1.5s").unwrap(), Duration::from_millis(1500));
        assert_eq!(parse("7").unwrap(), Duration::from_secs(7));
        assert_eq!(parse(" 7 s ").unwrap(), Duration::from_secs(7));
    }

    #[test]
    fn what_is_no_length_of_time_is_refused_with_an_example() {
        for text in ["", "s", "7 days", "-1s", "1e400", "1.2.3s", "soon", "99999999999999999999999999h"] {
            assert!(parse(text).unwrap_err().contains("\"100ms\""), "{text}");
        }
    }
}
