//! Which haipmgr this is.

use std::sync::LazyLock;

/// `0.1.0 (commit 255d9f59c1b2, of 2026-11-28)`; of a build that is no release, the number alone.
static LONG: LazyLock<String> =
    LazyLock::new(|| of(env!("CARGO_PKG_VERSION"), env!("HAIPMGR_COMMIT"), env!("HAIPMGR_SECONDS")));

/// For `--version` and for the log's first line.
pub fn long() -> &'static str {
    &LONG
}

fn of(number: &str, commit: &str, seconds: &str) -> String {
    let commit = (!commit.is_empty()).then(|| format!("commit {commit}"));
    let time = seconds.parse().ok().and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    let time = time.map(|time| format!("of {}", time.strftime("%F")));
    let known: Vec<String> = [commit, time].into_iter().flatten().collect();
    if known.is_empty() { number.to_owned() } else { format!("{number} ({})", known.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::of;

    #[test]
    fn what_is_not_known_is_left_out() {
        assert_eq!(of("0.1.0", "255d9f59c1b2", "1764288000"), "0.1.0 (commit 255d9f59c1b2, of 2025-11-28)");
        assert_eq!(of("0.1.0", "", "1764288000"), "0.1.0 (of 2025-11-28)");
        assert_eq!(of("0.1.0", "", "soon"), "0.1.0");
    }
}
