//! A limit on how many of something pass in a second.

use tokio::time::Instant;

/// Lets so many pass a second, and as many in one burst.
#[derive(Debug)]
pub(crate) struct TokenBucket {
    per_second: u32,
    tokens: f64,
    filled_at: Instant,
}

impl TokenBucket {
    pub(crate) fn new(per_second: u32, now: Instant) -> Self {
        Self { per_second, tokens: f64::from(per_second), filled_at: now }
    }

    /// Whether one more may pass.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let most = f64::from(self.per_second);
        let since = now.saturating_duration_since(self.filled_at).as_secs_f64();
        self.tokens = since.mul_add(most, self.tokens).min(most);
        self.filled_at = now;
        let passes = self.tokens >= 1.0;
        if passes {
            self.tokens -= 1.0;
        }
        passes
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_flood_is_cut_to_the_limit_and_passes_again_after_a_pause() {
        let start = Instant::now();
        let mut bucket = TokenBucket::new(500, start);
        let passed = (0..10_000_u64).filter(|i| bucket.take(start + Duration::from_micros(i * 100))).count();
        assert!((990..=1000).contains(&passed), "a burst of 500, then 500 in that second: {passed}");
        assert!(bucket.take(start + Duration::from_secs(2)));
    }
}
