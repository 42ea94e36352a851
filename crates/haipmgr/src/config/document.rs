//! `docs/configuration.md`, from the table of keys.

use super::draft::Draft;
use super::duration;
use super::keys::{
    CLUSTER, GATEWAY_LOST_WORDS, Key, Kind, NO_READER_WORDS, Presence, READ_ONLY_WORDS, READER_AGE,
    SILENT_HOST_WORDS, SWITCH, TOP, TRACE_WORDS,
};

const HEAD: &str = "# Every configuration key

This page is generated from the program's own table of keys; a test keeps it current. To generate it again:
`UPDATE_DOCS=1 cargo test -p haipmgr --test configuration_page`.

The same file goes on every host. `haipmgr check --config FILE` prints every problem with its line, and starts
nothing. `haipmgr run` refuses a file with any problem: it ends with status 2; nothing is started, nothing is stopped.

`haipmgr reload --config FILE` has a running agent follow the file; every key takes effect by it but three, which take a restart of the agent (the VIP
stays): `lock`, and of a cluster that keeps its name `install_path` and `mysql_port`. What the files that a key names hold: the password is read anew; certificates are read at each new connection anyway. A systemd credential is renewed by a restart alone.

A length of time is a number with a unit, in quotes: `\"100ms\"`, `\"7s\"`, `\"1m\"`, `\"2h\"`. A plain number is seconds.

```toml
[[cluster]]
name          = \"orders\"
vip           = \"10.77.0.100/32\"
gateway       = \"10.77.0.254\"
mysql_port    = 3306
group_port    = 33061
user          = \"haip\"
password_file = \"/etc/haipmgr/orders.password\"
sleeptime     = \"7s\"
install_path  = \"/var/lib/haipmgr/\"
[cluster.members]
\"10.77.0.11\" = \"eth0\"
\"10.77.0.12\" = \"eth0\"
\"10.77.0.13\" = \"eth0\"
[[cluster.vips]]
address       = \"fd77::100\"
[[cluster.vips]]
address       = \"10.77.0.101\"
role          = \"reader\"
```

A file may have several `[[cluster]]` tables: one agent serves them all. No two may have the same name, VIP or port.
";

const PARAMETER_PY: &str = "
## The Python program's `parameter.py`
A file whose name ends in `.py` is read as a `parameter.py`, unchanged; nothing in it is executed. It must have exactly its ten keys. `vip`, `ip_gateway`, `mysql_port`, `user`, `sleeptime` and `install_path` mean what they mean above;
`cluser_ip` is `members`, `inter_port` is `group_port`, `passwd` is `password`, `platfrom` is `\"linux\"`. `install_path` ends in `/`.
With it the agent behaves as the Python program did: `lease` is `\"off\"`, `linger` is 0, and the lock is `/root/HAIPMGR<host name>.lock`.
`drain_on_shutdown` is `false`. Everything else has the defaults above. `haipmgr convert parameter.py` prints the same configuration as TOML.
";

/// One key, as it is documented, here and in `haipmgr.toml(5)`. Code stands between backticks.
pub struct Documented {
    /// Its name.
    pub name: &'static str,
    /// What it takes.
    pub takes: String,
    /// What holds without it.
    pub default: String,
    /// What it means.
    pub about: &'static str,
}

/// The keys of the whole file.
pub fn keys_of_the_file() -> impl Iterator<Item = Documented> {
    TOP.iter().map(|key| Documented {
        name: key.name,
        takes: key.takes.to_owned(),
        default: key.default.to_owned(),
        about: key.about,
    })
}

/// The keys of a `[[cluster]]`.
pub fn keys_of_a_cluster() -> impl Iterator<Item = Documented> {
    CLUSTER.iter().map(|key| Documented {
        name: key.name,
        takes: takes(key),
        default: default(key),
        about: key.about,
    })
}

impl Documented {
    fn row(&self) -> String {
        format!("| `{}` | {} | {} | {} |\n", self.name, self.takes, self.default, self.about)
    }
}

/// The page, in Markdown.
pub fn markdown() -> String {
    let table = |title, keys: &mut dyn Iterator<Item = Documented>| {
        let rows: String = keys.map(|key| key.row()).collect();
        format!("\n## {title}\n| key | takes | default | meaning |\n|---|---|---|---|\n{rows}")
    };
    let whole = table("Keys of the whole file", &mut keys_of_the_file());
    let cluster = table("Keys of a `[[cluster]]`", &mut keys_of_a_cluster());
    [HEAD, &whole, &cluster, PARAMETER_PY].concat()
}

fn takes(key: &Key) -> String {
    let range = |least, most| format!("{} to {}", duration::format(least), duration::format(most));
    match &key.kind {
        Kind::Text(_) | Kind::Secret(_) => "text".to_owned(),
        Kind::Path(_) => "a path".to_owned(),
        Kind::Vip | Kind::Address(_) => "an address".to_owned(),
        Kind::Port(_) => "1 to 65535".to_owned(),
        Kind::Count { least, most, .. } => format!("{least} to {most}"),
        Kind::Duration { least, most, .. } => range(*least, *most),
        Kind::DurationOr { word, least, most, .. } => format!("{}, or `\"{word}\"`", range(*least, *most)),
        Kind::Switch(_) => SWITCH.to_owned(),
        Kind::Hook(_) => "a list: program, arguments; or a web address".to_owned(),
        Kind::Command(_) => "a list: program, arguments".to_owned(),
        Kind::GatewayLost => format!("`\"{}\"`", GATEWAY_LOST_WORDS.join("\"`, `\"")),
        Kind::ReadOnlyPrimary => format!("`\"{}\"`", READ_ONLY_WORDS.join("\"`, `\"")),
        Kind::SilentHost => format!("`\"{}\"`", SILENT_HOST_WORDS.join("\"`, `\"")),
        Kind::ReaderMaxBehind => {
            format!("a number, {}, or a list of both", range(READER_AGE.0, READER_AGE.1))
        }
        Kind::WhenNoReader => format!("`\"{}\"`", NO_READER_WORDS.join("\"`, `\"")),
        Kind::DecisionTrace => format!("`\"{}\"`", TRACE_WORDS.join("\"`, `\"")),
        Kind::Members => "address = interface".to_owned(),
        Kind::FurtherVips => "tables".to_owned(),
    }
}

fn default(key: &Key) -> String {
    match key.presence {
        Presence::Needed => "must be given".to_owned(),
        Presence::OneOfThePasswords => "one of the three".to_owned(),
        Presence::Or(words) => words.to_owned(),
        Presence::Default => {
            let mut draft = Draft::new(None);
            match &key.kind {
                Kind::Count { at, .. } => format!("{}", at(&mut draft)),
                Kind::Duration { at, .. } => format!("`\"{}\"`", duration::format(*at(&mut draft))),
                Kind::DurationOr { word, at, .. } => {
                    format!("`\"{}\"`", at(&mut draft).map_or_else(|| (*word).to_owned(), duration::format))
                }
                Kind::Switch(at) => format!("`{}`", at(&mut draft)),
                Kind::GatewayLost => "`\"release\"`".to_owned(),
                Kind::ReadOnlyPrimary => "`\"hold\"`".to_owned(),
                Kind::SilentHost => "`\"wait\"`".to_owned(),
                Kind::ReaderMaxBehind => {
                    format!("`{}`", draft.group.readers.max_transactions.unwrap_or_default())
                }
                Kind::WhenNoReader => "`\"primary\"`".to_owned(),
                Kind::DecisionTrace => "`\"switches\"`".to_owned(),
                _ => String::new(),
            }
        }
    }
}
