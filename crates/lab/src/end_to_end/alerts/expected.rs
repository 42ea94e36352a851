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
    /// How much time passes between two samples: a second, or more for an alert that takes hours.
    each: &'static str,
    /// Whether it is a recording of its own, and does not know what was before.
    alone: bool,
}

impl Stretch {
    pub(super) fn new(name: &str, from: u64, to: u64, fire: &[Firing]) -> Self {
        Self { name: name.to_owned(), from, to, fire: fire.to_vec(), each: "1s", alone: false }
    }

    /// The same samples, told as if they had been recorded one a minute.
    pub(super) fn as_minutes(&self, name: &str, fire: &[Firing]) -> Self {
        Self { name: name.to_owned(), fire: fire.to_vec(), each: "1m", alone: true, ..self.clone() }
    }

    pub(super) fn is_silent(&self) -> bool {
        self.fire.is_empty()
    }

    /// The same, of which nothing is expected.
    pub(super) fn silenced(&self) -> Self {
        Self { fire: Vec::new(), ..self.clone() }
    }

    /// The question at the end of the stretch: which alerts fired at any time in it.
    fn question(&self, text: &mut String) -> fmt::Result {
        let unit = self.each.trim_start_matches('1');
        let length = self.to.saturating_sub(self.from);
        let end = if self.alone { length } else { self.to };
        let back = length.saturating_sub(1).max(1);
        writeln!(
            text,
            "      # {}\n      - expr: count by (alertname, instance) (count_over_time(ALERTS{{alertstate=\"firing\"}}[{back}{unit}])) > bool 0",
            self.name
        )?;
        write!(text, "        eval_time: {}{unit}\n        exp_samples: [", end.saturating_sub(1))?;
        for (alert, instance) in &self.fire {
            let instance = instance.as_ref().map_or(String::new(), |name| format!(",instance=\"{name}\""));
            write!(text, "{{labels: '{{alertname=\"{alert}\"{instance}}}', value: 1}}, ")?;
        }
        writeln!(text, "]")
    }
}

impl fmt::Display for Stretch {
    fn fmt(&self, words: &mut fmt::Formatter<'_>) -> fmt::Result {
        let each: Vec<String> = self
            .fire
            .iter()
            .map(|(alert, instance)| {
                instance.as_ref().map_or_else(|| (*alert).to_owned(), |on| format!("{alert} on {on}"))
            })
            .collect();
        let fire = if each.is_empty() { "silent".to_owned() } else { each.join(", ") };
        let (length, unit) = (self.to.saturating_sub(self.from), self.each.trim_start_matches('1'));
        write!(words, "        {length:>4} {unit}  {}: {fire}", self.name)
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
    fn minutes_are_a_recording_of_their_own() {
        let stretch = Stretch::new("seconds", 3, 7, &[]).as_minutes("minutes", &[("Gone", None)]);
        let text = document(&held(), &[stretch], &Answered::default());
        assert!(text.contains("- interval: 1m\n"), "{text}");
        assert!(text.contains("values: '3+0x0 4+0x0 5+0x0 6+0x0'"), "{text}");
        assert!(text.contains("[3m])) > bool 0\n        eval_time: 3m\n"), "{text}");
    }
}
