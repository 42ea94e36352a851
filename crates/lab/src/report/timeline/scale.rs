//! Where a moment stands in a picture, and how wide a stretch of time is.

/// From, to, in microseconds.
#[derive(Clone, Copy)]
pub(super) struct Span(pub(super) u64, pub(super) u64);

/// The lanes' place in a panel.
pub(super) struct Lanes {
    pub(super) span: Span,
    pub(super) left: i32,
    pub(super) right: i32,
}

impl Lanes {
    pub(super) fn holds(&self, at_us: u64) -> bool {
        at_us >= self.span.0 && at_us < self.span.1
    }

    pub(super) fn length(&self) -> u64 {
        (self.span.1.saturating_sub(self.span.0)).max(1)
    }

    pub(super) fn x(&self, at_us: u64) -> i32 {
        let room = u128::try_from(self.right - self.left).unwrap_or_default();
        let past = u128::from(at_us.clamp(self.span.0, self.span.1) - self.span.0);
        self.left + i32::try_from(past * room / u128::from(self.length())).unwrap_or_default()
    }

    /// Left and right of a stretch as far as it is in sight, at least one point wide.
    pub(super) fn stretch(&self, start: u64, end: u64) -> Option<(i32, i32)> {
        if end <= self.span.0 || start >= self.span.1 {
            return None;
        }
        let left = self.x(start);
        Some((left, self.x(end).max(left + 1)))
    }

    /// The width of one bar of inserts, of a round length and at least three points wide, and how many there are.
    pub(super) fn bins(&self) -> (u64, usize) {
        let wanted = self.length() * 3 / u64::try_from(self.right - self.left).unwrap_or(1).max(1);
        let bin = round_up(wanted.max(10_000));
        (bin, usize::try_from(self.length().div_ceil(bin)).unwrap_or_default())
    }
}

/// The next of 1, 2, 5, 10, 20 …
pub(super) fn round_up(us: u64) -> u64 {
    let mut power = 1;
    loop {
        for step in [1, 2, 5] {
            if step * power >= us {
                return step * power;
            }
        }
        power *= 10;
    }
}

/// A length of time, in the unit that suits steps of this length.
pub(super) fn span_words(us: u64, step: u64) -> String {
    match step {
        _ if us == 0 => "0".to_owned(),
        step if step < 100_000 => format!("{} ms", us / 1000),
        step if step < 1_000_000 => format!("{}.{} s", us / 1_000_000, us % 1_000_000 / 100_000),
        _ => format!("{} s", us / 1_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_of_the_axis_are_round() {
        assert_eq!([1, 3, 7, 11, 51, 100, 101].map(round_up), [1, 5, 10, 20, 100, 100, 200]);
        assert_eq!(span_words(2_500_000, 500_000), "2.5 s");
        assert_eq!(span_words(20_000, 20_000), "20 ms");
        assert_eq!(span_words(1_200_000, 50_000), "1200 ms");
        assert_eq!(span_words(20_000_000, 5_000_000), "20 s");
    }
}
