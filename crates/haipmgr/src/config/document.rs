//! `docs/configuration.md`, from the table of keys.

use core::fmt::Write as _;

use super::draft::Draft;
use super::duration;
use super::keys::{CLUSTER, GATEWAY_LOST_WORDS, Key, Kind, Presence, TOP, TRACE_WORDS};

const HEAD: &str = "# Every configuration key

This page is generated from the program's own table of keys; a test keeps it current. To generate it again:
`UPDATE_DOCS=1 cargo test -p haipmgr --test configuration_page`.

The same file goes on every host. `haipmgr check --config FILE` prints every problem with its line, and starts
nothing. `haipmgr run` refuses a file with any problem: it ends with status 2; nothing is started, nothing is stopped.

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
```

A file may have several `[[cluster]]` tables: one agent serves them all. No two may have the same name, VIP or port.
";

const PARAMETER_PY: &str = "
## The Python program's `parameter.py`
A file whose name ends in `.py` is read as a `parameter.py`, unchanged; nothing in it is executed. It must have exactly its ten keys. `vip`, `ip_gateway`, `mysql_port`, `user`, `sleeptime` and `install_path` mean what they mean above;
`cluser_ip` is `members`, `inter_port` is `group_port`, `passwd` is `password`, `platfrom` is `\"linux\"`. `install_path` ends in `/`.
With it the agent behaves as the Python program did: `lease` is `\"off\"`, `linger` is 0, and the lock is `/root/HAIPMGR<host name>.lock`.
Everything else has the defaults above. `haipmgr convert parameter.py` prints the same configuration as TOML.
";

/// The page, in Markdown.
pub fn markdown() -> String {
    let mut page = HEAD.to_owned();
    page += "\n## Keys of the whole file\n| key | takes | default | meaning |\n|---|---|---|---|\n";
    for key in TOP {
        let _never_fails = writeln!(page, "| `{}` | a path | {} | {} |", key.name, key.default, key.about);
    }
    page += "\n## Keys of a `[[cluster]]`\n| key | takes | default | meaning |\n|---|---|---|---|\n";
    for key in CLUSTER {
        let _never_fails =
            writeln!(page, "| `{}` | {} | {} | {} |", key.name, takes(key), default(key), key.about);
    }
    page + PARAMETER_PY
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
        Kind::Switch(_) => "`true` or `false`".to_owned(),
        Kind::Command(_) => "a list: program, arguments".to_owned(),
        Kind::GatewayLost => format!("`\"{}\"`", GATEWAY_LOST_WORDS.join("\"`, `\"")),
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
                Kind::DecisionTrace => "`\"switches\"`".to_owned(),
                _ => String::new(),
            }
        }
    }
}
