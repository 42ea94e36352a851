//! `reader_max_behind`: how far a secondary may be behind and serve readers; `when_no_reader` in a word.

use std::time::Duration;

use decide::policy::{ReaderPolicy, WhenNoReader};

use super::apply::{length_of_time, within};
use super::duration;
use super::keys::{NO_READER_WORDS, READER_AGE};
use super::value::Value;

const ADVICE: &str = "write how many transactions, such as 25000, how old, such as \"30s\", or both, [25000, \"30s\"]; 0 is no limit";

/// By either of them it is behind; none: not by that one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct MaxBehind {
    pub(super) transactions: Option<u64>,
    pub(super) age: Option<Duration>,
}

/// As the file would have it.
pub(crate) fn max_behind_in_words(readers: &ReaderPolicy) -> String {
    let age = readers.max_age.map(|age| format!("\"{}\"", duration::format(age)));
    match (readers.max_transactions, age) {
        (None, None) => "0".to_owned(),
        (Some(count), None) => count.to_string(),
        (None, Some(age)) => age,
        (Some(count), Some(age)) => format!("[{count}, {age}]"),
    }
}

/// `when_no_reader`'s word.
pub(crate) fn no_reader_word(when_none: WhenNoReader) -> &'static str {
    let [primary, nobody, any_online] = NO_READER_WORDS;
    match when_none {
        WhenNoReader::Primary => primary,
        WhenNoReader::Nobody => nobody,
        WhenNoReader::AnyOnline => any_online,
    }
}

/// What the key says.
pub(super) fn max_behind(value: &Value) -> Result<MaxBehind, String> {
    let mut limits = MaxBehind::default();
    match value {
        Value::List(items) if items.is_empty() || items.len() > 2 => {
            return Err(format!("this list has {} items; {ADVICE}", items.len()));
        }
        Value::List(items) => {
            for item in items {
                one(item, &mut limits)?;
            }
        }
        value => one(value, &mut limits)?,
    }
    Ok(limits)
}

fn one(value: &Value, limits: &mut MaxBehind) -> Result<(), String> {
    const TWICE: &str = "the same limit is there twice; write one of transactions and one of time";
    match value {
        Value::Whole(0) => {}
        Value::Whole(count) => {
            // A number of seconds would be read as one of transactions: the unit tells them apart.
            let count = u32::try_from(*count).map_err(|_| format!("this is out of range; {ADVICE}"))?;
            if limits.transactions.replace(count.into()).is_some() {
                return Err(TWICE.to_owned());
            }
        }
        Value::Text(_) => {
            let age = length_of_time(value).map_err(|_| format!("this is no length of time; {ADVICE}"))?;
            if !age.is_zero() && limits.age.replace(within(age, READER_AGE.0, READER_AGE.1, None)?).is_some()
            {
                return Err(TWICE.to_owned());
            }
        }
        other => return Err(format!("this is {}; {ADVICE}", other.kind())),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn text(text: &str) -> Value {
        Value::Text(text.to_owned().into())
    }

    #[test]
    fn it_is_a_number_of_transactions_a_length_of_time_or_both() {
        let of = |value| max_behind(&value).unwrap();
        let limits =
            |transactions, age: Option<u64>| MaxBehind { transactions, age: age.map(Duration::from_secs) };
        assert_eq!(of(Value::Whole(500)), limits(Some(500), None));
        assert_eq!(of(text("30s")), limits(None, Some(30)));
        for items in [[Value::Whole(500), text("30s")], [text("30s"), Value::Whole(500)]] {
            assert_eq!(of(Value::List(items.into())), limits(Some(500), Some(30)));
        }
        for none in [Value::Whole(0), text("0s"), Value::List(vec![Value::Whole(0)])] {
            assert_eq!(of(none), limits(None, None));
        }
    }

    #[test]
    fn it_is_told_as_the_file_would_have_it() {
        for (transactions, age, words) in [
            (Some(500), None, "500"),
            (None, Some(30), "\"30s\""),
            (Some(500), Some(30), "[500, \"30s\"]"),
            (None, None, "0"),
        ] {
            let limits = ReaderPolicy {
                max_transactions: transactions,
                max_age: age.map(Duration::from_secs),
                ..ReaderPolicy::default()
            };
            assert_eq!(max_behind_in_words(&limits), words);
        }
        assert_eq!(no_reader_word(WhenNoReader::AnyOnline), "any_online");
    }

    #[test]
    fn what_it_can_not_be_is_refused_with_what_to_write() {
        for (value, word) in [
            (Value::Whole(-1), "out of range"),
            (text("soon"), "no length of time"),
            (text("2d"), "no length of time"),
            (text("48h"), "from 1s to"),
            (Value::Decimal(0.5), "a decimal number"),
            (Value::List(vec![]), "0 items"),
            (Value::List(vec![Value::Whole(1), Value::Whole(2)]), "twice"),
            (Value::List(vec![text("1s"), text("2s")]), "twice"),
        ] {
            let said = max_behind(&value).unwrap_err();
            assert!(said.contains(word) && said.contains("write"), "{said}");
        }
    }
}
