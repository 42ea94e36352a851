//! Which alerts fire in which stretch of a recording, as promtool's questions. Pure.

use std::fmt::{self, Write as _};

use super::series::{All, Sample, notation};

/// An alert that fires, and where; of the whole cluster: none.
type Firing = (&'static str, Option<String>);

/// A part of a recording.
#[derive(Clone, Debug)]
pub(super) struct Stretch {
    name: String,
    /// Seconds of the recording; the last is not in it.
    from: u64,
    to: u64,
    fire: Vec<Firing>,
    /// Those whose time has begun in it and is not over: what is amiss is so for too short a time.
    pending: Vec<Firing>,
    /// How much time passes between two samples: a second, or more for an alert that takes hours.
    each: &'static str,
    /// Whether it is a recording of its own, and does not know what was before.
    alone: bool,
}

impl Stretch {
    pub(super) fn new(name: &str, from: u64, to: u64, fire: &[Firing]) -> Self {
        let (name, fire, pending) = (name.to_owned(), fire.to_vec(), Vec::new());
        Self { name, from, to, fire, pending, each: "1s", alone: false }
    }

    /// The same, in which these alerts are on their way to fire.
    pub(super) fn with_pending(self, pending: &[Firing]) -> Self {
        Self { pending: pending.to_vec(), ..self }
    }

    /// Its first seconds, as a recording of their own: nothing fires yet, and these are on their way to.
    pub(super) fn first(&self, seconds: u64, name: &str, pending: &[Firing]) -> Self {
        let to = self.to.min(self.from + seconds);
        Self { alone: true, ..Self::new(name, self.from, to, &[]) }.with_pending(pending)
    }

    /// The same samples, told as if they had been recorded one a minute.
    pub(super) fn as_minutes(&self, name: &str, fire: &[Firing]) -> Self {
        let (name, fire, pending) = (name.to_owned(), fire.to_vec(), Vec::new());
        Self { name, fire, pending, each: "1m", alone: true, ..self.clone() }
    }

    pub(super) fn is_silent(&self) -> bool {
        self.fire.is_empty()
    }

    /// The same, of which nothing is expected.
    pub(super) fn silenced(&self) -> Self {
        Self { fire: Vec::new(), pending: Vec::new(), ..self.clone() }
    }

    /// The questions at the end of the stretch: which alerts fired at any time in it, and whether those on their way to were.
    fn question(&self, text: &mut String) -> fmt::Result {
        writeln!(text, "      # {}", self.name)?;
        self.ask(text, "alertstate=\"firing\"", &self.fire)?;
        if self.pending.is_empty() {
            return Ok(());
        }
        let names: Vec<_> = self.pending.iter().map(|(alert, _)| *alert).collect();
        let pending = format!("alertstate=\"pending\",alertname=~\"{}\"", names.join("|"));
        self.ask(text, &pending, &self.pending)
    }

    fn ask(&self, text: &mut String, which: &str, expected: &[Firing]) -> fmt::Result {
        let unit = self.each.trim_start_matches('1');
        let length = self.to.saturating_sub(self.from);
        let end = if self.alone { length } else { self.to };
        let back = length.saturating_sub(1).max(1);
        writeln!(
            text,
            "      - expr: count by (alertname, instance) (count_over_time(ALERTS{{{which}}}[{back}{unit}])) > bool 0"
        )?;
        write!(text, "        eval_time: {}{unit}\n        exp_samples: [", end.saturating_sub(1))?;
        for (alert, instance) in expected {
            let instance = instance.as_ref().map_or(String::new(), |name| format!(",instance=\"{name}\""));
            write!(text, "{{labels: '{{alertname=\"{alert}\"{instance}}}', value: 1}}, ")?;
        }
        writeln!(text, "]")
    }
}

impl fmt::Display for Stretch {
    fn fmt(&self, words: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words_of = |all: &[Firing]| {
            let words = all.iter().map(|(alert, instance)| {
                instance.as_ref().map_or_else(|| (*alert).to_owned(), |on| format!("{alert} on {on}"))
            });
            words.collect::<Vec<_>>().join(", ")
        };
        let fire = if self.fire.is_empty() { "silent".to_owned() } else { words_of(&self.fire) };
        let pending = match words_of(&self.pending) {
            none if none.is_empty() => none,
            pending => format!(" ({pending} waits)"),
        };
        let (length, unit) = (self.to.saturating_sub(self.from), self.each.trim_start_matches('1'));
        write!(words, "        {length:>4} {unit}  {}: {fire}{pending}", self.name)
    }
}

/// Queries that give something at some time of a recording of so many seconds. Asked every 5 s: promtool takes no more samples than a
/// server would.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Answered<'q> {
    pub(super) queries: &'q [String],
    pub(super) seconds: usize,
}

impl Answered<'_> {
    fn questions(&self, text: &mut String) -> fmt::Result {
        let Self { queries, seconds } = self;
        queries.iter().try_for_each(|query| {
            writeln!(
                text,
                "      - expr: 'count(count_over_time(({query})[{seconds}s:5s])) > bool 0'
        eval_time: {seconds}s
        exp_samples: [{{labels: '{{}}', value: 1}}]"
            )
        })
    }
}

/// promtool's file, for rules in `alerts.yml` beside it: one test of the whole recording, and one for each stretch that stands alone.
pub(super) fn document(series: &All, stretches: &[Stretch], answered: &Answered<'_>) -> String {
    let mut text = String::from("rule_files: [alerts.yml]\nevaluation_interval: 1s\ntests:\n");
    let whole: Vec<_> = stretches.iter().filter(|stretch| !stretch.alone).collect();
    // Writing to memory cannot fail.
    let _ = test(&mut text, "1s", series, None, &whole);
    let _ = answered.questions(&mut text);
    for stretch in stretches.iter().filter(|stretch| stretch.alone) {
        let _ = test(&mut text, stretch.each, series, Some((stretch.from, stretch.to)), &[stretch]);
    }
    text
}

fn test(
    text: &mut String,
    each: &str,
    series: &All,
    part: Option<(u64, u64)>,
    stretches: &[&Stretch],
) -> fmt::Result {
    if stretches.is_empty() {
        return Ok(());
    }
    writeln!(text, "  - interval: {each}\n    input_series:")?;
    for (name, samples) in series {
        let samples = part.map_or(samples.as_slice(), |part| within(samples, part));
        writeln!(text, "      - series: '{name}'\n        values: '{}'", notation(samples))?;
    }
    writeln!(text, "    promql_expr_test:")?;
    stretches.iter().try_for_each(|stretch| stretch.question(text))
}

fn within(samples: &[Sample], (from, to): (u64, u64)) -> &[Sample] {
    let place = |second: u64| usize::try_from(second).unwrap_or(usize::MAX).min(samples.len());
    &samples[place(from)..place(to).max(place(from))]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held() -> All {
        let samples = (0..9).map(|second| Sample::Value(f64::from(second))).collect();
        All::from([("held{instance=\"db1\"}".to_owned(), samples)])
    }

    #[test]
    fn a_stretch_asks_at_its_last_second_what_fired_in_it() {
        let stretch = Stretch::new("two", 3, 7, &[("Gone", None), ("Down", Some("db1".to_owned()))]);
        let text = document(&held(), std::slice::from_ref(&stretch), &Answered::default());
        assert!(text.contains("values: '0+0x0 1+0x0"), "{text}");
        assert!(text.contains("[3s])) > bool 0\n        eval_time: 6s\n"), "{text}");
        assert!(text.contains("'{alertname=\"Gone\"}', value: 1}"), "{text}");
        assert!(text.contains("'{alertname=\"Down\",instance=\"db1\"}', value: 1}"), "{text}");
        assert!(document(&held(), &[stretch.silenced()], &Answered::default()).contains("exp_samples: []"));
    }

    #[test]
    fn what_is_amiss_for_too_short_a_time_is_on_its_way_to_fire_and_does_not() {
        let down = [("Down", Some("db1".to_owned()))];
        let stretch = Stretch::new("short", 3, 7, &[]).with_pending(&down);
        let text = document(&held(), &[stretch], &Answered::default());
        assert!(
            text.contains(
                "{alertstate=\"firing\"}[3s])) > bool 0\n        eval_time: 6s\n        exp_samples: []"
            ),
            "{text}"
        );
        let asked = "{alertstate=\"pending\",alertname=~\"Down\"}[3s])) > bool 0\n        eval_time: 6s\n        exp_samples: [{labels: '{alertname=\"Down\",instance=\"db1\"}', value: 1}, ]";
        assert!(text.contains(asked), "{text}");
        let first = Stretch::new("long", 3, 7, &down).first(2, "its first seconds", &down);
        let text = document(&held(), &[first], &Answered::default());
        assert!(text.contains("values: '3+0x0 4+0x0'") && text.contains("exp_samples: []"), "{text}");
        assert!(text.contains("alertname=~\"Down\"}[1s])) > bool 0\n        eval_time: 1s\n"), "{text}");
    }

    #[test]
    fn minutes_are_a_recording_of_their_own() {
        let stretch = Stretch::new("seconds", 3, 7, &[]).as_minutes("minutes", &[("Gone", None)]);
        let text = document(&held(), &[stretch], &Answered::default());
        assert!(text.contains("- interval: 1m\n"), "{text}");
        assert!(text.contains("values: '3+0x0 4+0x0 5+0x0 6+0x0'"), "{text}");
        assert!(text.contains("[3m])) > bool 0\n        eval_time: 3m\n"), "{text}");
    }
}
