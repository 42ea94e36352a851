//! The one table of keys: reading, defaults and `docs/configuration.md` all come from it.

mod cluster;
mod top;

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use zeroize::Zeroizing;

pub(super) use self::cluster::CLUSTER;
pub(super) use self::top::TOP;

use super::draft::Draft;
use super::hook::Happening;

/// One key of a `[[cluster]]` table.
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) presence: Presence,
    pub(super) kind: Kind,
    /// What it means, for the documentation.
    pub(super) about: &'static str,
}

/// Whether a key has to be there.
pub(super) enum Presence {
    Needed,
    /// Exactly one of the three keys for the password.
    OneOfThePasswords,
    /// What holds where it is absent, in words.
    Or(&'static str),
    /// The default is in [`Draft::new`].
    Default,
}

type At<T> = fn(&mut Draft) -> &mut T;

/// What a key takes, and where that goes.
pub(super) enum Kind {
    Text(At<Option<String>>),
    Secret(At<Option<Zeroizing<String>>>),
    /// A whole path, from `/`.
    Path(At<Option<PathBuf>>),
    /// An address that may have a prefix length.
    Vip,
    Address(At<Option<IpAddr>>),
    Port(At<Option<u16>>),
    Count {
        least: u32,
        most: u32,
        at: At<u32>,
    },
    Duration {
        least: Duration,
        most: Duration,
        at: At<Duration>,
    },
    /// A length of time that may be absent, in this word.
    DurationOr {
        word: &'static str,
        /// Whether 0 means the word, too.
        zero_is_word: bool,
        least: Duration,
        most: Duration,
        at: At<Option<Duration>>,
    },
    Switch(At<bool>),
    /// A program or a web address.
    Hook(Happening),
    /// A program's whole path and its arguments.
    Command(At<Option<Vec<String>>>),
    DecisionTrace,
    GatewayLost,
    ReadOnlyPrimary,
    SilentHost,
    /// A number of transactions, a length of time, or a list of both.
    ReaderMaxBehind,
    WhenNoReader,
    Members,
    /// `[[cluster.vips]]`.
    FurtherVips,
}

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The shortest lease and the longest.
pub(super) const LEASE: (Duration, Duration) = (s(3), s(3600));

/// The words `gateway_lost` takes.
pub(super) const GATEWAY_LOST_WORDS: [&str; 2] = ["release", "hold-with-majority"];

/// The words `read_only_primary` takes.
pub(super) const READ_ONLY_WORDS: [&str; 3] = ["hold", "release", "follow"];

/// The words `silent_host` takes.
pub(super) const SILENT_HOST_WORDS: [&str; 2] = ["wait", "expel"];

/// The words `when_no_reader` takes.
pub(super) const NO_READER_WORDS: [&str; 3] = ["primary", "nobody", "any_online"];

/// How old a reader's last applied transaction may be allowed to be.
pub(super) const READER_AGE: (Duration, Duration) = (s(1), s(86_400));

/// The words `decision_trace` takes.
pub(super) const TRACE_WORDS: [&str; 3] = ["switches", "all", "off"];

/// What a key takes that is on or off.
pub(super) const SWITCH: &str = "`true` or `false`";

/// The cluster's key of that name.
pub(super) fn find(name: &str) -> Option<&'static Key> {
    CLUSTER.iter().find(|key| key.name == name)
}
