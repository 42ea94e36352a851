//! Puts a value where its key says, or says why it can't be one.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use decide::policy::{GatewayLost, ReadOnlyPrimary, SilentHost, WhenNoReader};

use super::DecisionTrace;
use super::draft::Draft;
use super::duration;
use super::hook::hook;
use super::keys::{
    GATEWAY_LOST_WORDS, Key, Kind, LEASE, NO_READER_WORDS, READ_ONLY_WORDS, SILENT_HOST_WORDS, TRACE_WORDS,
};
use super::problem::{Problems, nearest};
use super::readers;
use super::value::{Entry, Value};
use super::vips::further;

/// Longest name of an interface, in bytes (Linux, `IFNAMSIZ` less its end).
const LONGEST_INTERFACE: usize = 15;

/// Takes `entry` as the value of `key`, and adds to `problems` what is wrong with it.
pub(super) fn apply(draft: &mut Draft, key: &'static Key, entry: &Entry, problems: &mut Problems) {
    draft.given.insert(key.name, entry.key_at);
    if matches!(key.kind, Kind::Members) {
        return members(draft, entry, problems);
    }
    if matches!(key.kind, Kind::FurtherVips) {
        return further(draft, entry, problems);
    }
    if let Kind::Hook(happening) = &key.kind {
        match hook(&entry.value) {
            Ok(hook) => drop(draft.hooks.insert(*happening, hook)),
            Err(text) => problems.add(entry.value_at, format!("{}: {text}", entry.key)),
        }
        return;
    }
    if let Err(text) = place(draft, &key.kind, &entry.value) {
        problems.add(entry.value_at, format!("{}: {text}", entry.key));
    }
}

/// One of these words, each of which means what stands at its place.
fn choice<T: Copy, const N: usize>(value: &Value, words: [&str; N], meanings: [T; N]) -> Result<T, String> {
    let all = words.join("\", \"");
    let said = text(value, &format!("one of \"{all}\""))?;
    let meaning = words.iter().zip(meanings).find(|(word, _)| **word == said).map(|(_, meaning)| meaning);
    meaning.ok_or_else(|| format!("\"{}\" is not one of \"{all}\"", said.escape_debug()))
}

fn place(draft: &mut Draft, kind: &Kind, value: &Value) -> Result<(), String> {
    match kind {
        Kind::Text(at) => *at(draft) = Some(text(value, "in quotes, and not empty")?),
        Kind::Secret(at) => *at(draft) = Some(text(value, "the password in quotes")?.into()),
        Kind::Path(at) => *at(draft) = Some(path(value)?),
        Kind::Vip => {
            let (address, prefix) = vip(value)?;
            draft.vip = Some(address);
            draft.limits.address = address;
            draft.limits.prefix = prefix;
        }
        Kind::Address(at) => *at(draft) = Some(host_address(&address_text(value)?)?),
        Kind::Port(at) => {
            let advice = "write a port from 1 to 65535, without quotes";
            *at(draft) = Some(
                u16::try_from(whole(value, advice)?)
                    .ok()
                    .filter(|port| *port != 0)
                    .ok_or_else(|| format!("this is out of range; {advice}"))?,
            );
        }
        Kind::Count { least, most, at } => {
            let advice = format!("write a whole number from {least} to {most}");
            *at(draft) = u32::try_from(whole(value, &advice)?)
                .ok()
                .filter(|count| (least..=most).contains(&count))
                .ok_or_else(|| format!("this is out of range; {advice}"))?;
        }
        Kind::Duration { least, most, at } => {
            let off = matches!(value, Value::Text(word) if **word == "off") && least.is_zero();
            *at(draft) =
                if off { Duration::ZERO } else { within(length_of_time(value)?, *least, *most, None)? };
        }
        Kind::DurationOr { word, zero_is_word, least, most, at } => {
            *at(draft) = length_or(value, word, *zero_is_word, *least, *most)?;
        }
        Kind::Switch(at) => {
            *at(draft) = match value {
                Value::Switch(switch) => *switch,
                other => {
                    return Err(format!("this is {}; write true or false, without quotes", other.kind()));
                }
            };
        }
        Kind::Command(at) => *at(draft) = Some(command(value)?),
        Kind::ReaderMaxBehind => {
            let limits = readers::max_behind(value)?;
            draft.group.readers.max_transactions = limits.transactions;
            draft.group.readers.max_age = limits.age;
        }
        Kind::DecisionTrace
        | Kind::GatewayLost
        | Kind::ReadOnlyPrimary
        | Kind::SilentHost
        | Kind::WhenNoReader => place_choice(draft, kind, value)?,
        Kind::Members | Kind::FurtherVips | Kind::Hook(_) => {}
    }
    Ok(())
}

/// What is one of a few words.
fn place_choice(draft: &mut Draft, kind: &Kind, value: &Value) -> Result<(), String> {
    match kind {
        Kind::DecisionTrace => {
            draft.decision_trace = choice(
                value,
                TRACE_WORDS,
                [DecisionTrace::Switches, DecisionTrace::All, DecisionTrace::Off],
            )?;
        }
        Kind::GatewayLost => {
            draft.limits.gateway_lost =
                choice(value, GATEWAY_LOST_WORDS, [GatewayLost::Release, GatewayLost::HoldWithMajority])?;
        }
        Kind::ReadOnlyPrimary => {
            draft.limits.read_only_primary = choice(
                value,
                READ_ONLY_WORDS,
                [ReadOnlyPrimary::Hold, ReadOnlyPrimary::Release, ReadOnlyPrimary::Follow],
            )?;
        }
        Kind::SilentHost => {
            draft.group.silent_host =
                choice(value, SILENT_HOST_WORDS, [SilentHost::Wait, SilentHost::Expel])?;
        }
        Kind::WhenNoReader => {
            draft.group.readers.when_none = choice(
                value,
                NO_READER_WORDS,
                [WhenNoReader::Primary, WhenNoReader::Nobody, WhenNoReader::AnyOnline],
            )?;
        }
        _ => {}
    }
    Ok(())
}

fn members(draft: &mut Draft, entry: &Entry, problems: &mut Problems) {
    let Value::Table(rows) = &entry.value else {
        problems.add(
            entry.value_at,
            format!(
                "{} is {}; write each member's address and its interface, such as \"10.77.0.11\" = \"eth0\"",
                entry.key,
                entry.value.kind()
            ),
        );
        return;
    };
    for row in rows {
        if let Value::Table(_) = row.value {
            // TOML takes 10.77.0.11 without quotes for four keys, one in another.
            problems.add(
                row.key_at,
                format!("{}: write the member's address in quotes, and its interface's name after \"=\", such as \"10.77.0.11\" = \"eth0\"", entry.key),
            );
            continue;
        }
        let address = match host_address(&row.key) {
            Ok(address) => address,
            Err(text) => {
                problems.add(row.key_at, format!("{}: member {text}", entry.key));
                continue;
            }
        };
        let interface = match &row.value {
            Value::Text(interface) => interface.to_string(),
            other => {
                problems.add(
                    row.value_at,
                    format!(
                        "{}: member {address}: the interface is {}; write its name in quotes, such as \"eth0\"",
                        entry.key,
                        other.kind()
                    ),
                );
                continue;
            }
        };
        if let Err(text) = interface_name(&interface) {
            problems.add(row.value_at, format!("{}: member {address}: {text}", entry.key));
        }
        if let Some(first) = draft.member_given.get(&address) {
            problems.add(
                row.key_at,
                format!(
                    "{}: member {address} is there twice, first in line {}; remove one",
                    entry.key, first.line
                ),
            );
            continue;
        }
        draft.member_given.insert(address, row.key_at);
        draft.group.members.insert(address, interface);
    }
}

pub(super) fn interface_name(interface: &str) -> Result<(), String> {
    let shown = interface.escape_debug();
    if interface.is_empty() {
        return Err(
            "the interface's name is empty; write it as \"ip link\" shows it, such as \"eth0\"".to_owned()
        );
    }
    if interface.len() > LONGEST_INTERFACE {
        return Err(format!(
            "the interface's name \"{shown}\" is over {LONGEST_INTERFACE} bytes, which no Linux interface's is; write it as \"ip link\" shows it"
        ));
    }
    if interface == "."
        || interface == ".."
        || interface.chars().any(|c| c == '/' || c == ':' || c.is_whitespace() || c.is_control())
    {
        return Err(format!(
            "\"{shown}\" can't be an interface's name; write it as \"ip link\" shows it, without \"@…\" or \":…\""
        ));
    }
    Ok(())
}

fn text(value: &Value, advice: &str) -> Result<String, String> {
    match value {
        Value::Text(text) if text.is_empty() => Err("this is empty; write it ".to_owned() + advice),
        Value::Text(text) if text.contains('\0') => Err("this holds a zero byte; remove it".to_owned()),
        Value::Text(text) => Ok(text.to_string()),
        other => Err(format!("this is {}; write {advice}", other.kind())),
    }
}

fn path(value: &Value) -> Result<PathBuf, String> {
    let text = text(value, "the whole path in quotes, from \"/\"")?;
    if text.starts_with('/') {
        Ok(PathBuf::from(text))
    } else {
        Err(format!("\"{}\" does not begin with \"/\"; write the whole path", text.escape_debug()))
    }
}

fn command(value: &Value) -> Result<Vec<String>, String> {
    const ADVICE: &str =
        "write the program's whole path and its arguments, such as [\"/usr/local/sbin/fence\", \"ipmi\"]";
    let Value::List(items) = value else { return Err(format!("this is {}; {ADVICE}", value.kind())) };
    let words =
        items.iter().map(|item| text(item, "each argument in quotes")).collect::<Result<Vec<_>, _>>()?;
    match words.first() {
        Some(program) if program.starts_with('/') => Ok(words),
        Some(_) => Err(format!("the program's path does not begin with \"/\"; {ADVICE}")),
        None => Err(format!("this list is empty; {ADVICE}")),
    }
}

fn address_text(value: &Value) -> Result<String, String> {
    text(value, "an address in quotes, such as \"10.77.0.100\"")
}

/// A length of time, or nothing, in this word.
fn length_or(
    value: &Value,
    word: &str,
    zero_is_word: bool,
    least: Duration,
    most: Duration,
) -> Result<Option<Duration>, String> {
    if matches!(value, Value::Text(text) if **text == word) {
        return Ok(None);
    }
    match length_of_time(value).map_err(|problem| format!("{problem}, or \"{word}\""))? {
        Duration::ZERO if zero_is_word => Ok(None),
        length => within(length, least, most, Some(word)).map(Some),
    }
}

/// A lease, or none.
pub(super) fn lease(value: &Value) -> Result<Option<Duration>, String> {
    length_or(value, "off", true, LEASE.0, LEASE.1)
}

/// The VIP; its prefix length, where that is not a single host's.
pub(super) fn vip(value: &Value) -> Result<(IpAddr, Option<u8>), String> {
    let text = address_text(value)?;
    let (address, prefix) =
        text.split_once('/').map_or((text.as_str(), None), |(address, prefix)| (address, Some(prefix)));
    let address = host_address(address)?;
    if matches!(address, IpAddr::V6(address) if address.is_unicast_link_local()) {
        return Err(format!(
            "{address} is link-local, and a different address on each network; write a global or a unique local one (fd00::/8)"
        ));
    }
    let full = if address.is_ipv4() { 32 } else { 128 };
    let Some(prefix) = prefix else { return Ok((address, None)) };
    let length = Some(prefix)
        .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|digits| digits.parse().ok())
        .filter(|length| (1..=full).contains(length))
        .ok_or_else(|| {
            format!(
                "\"/{}\" is no prefix length of {address}: write \"{address}\" alone, which is /{full} and does for every network, or \
                 one from /1 to /{full}",
                prefix.escape_debug()
            )
        })?;
    if let Some(what) = address_of_no_host(address, length) {
        return Err(format!(
            "{address} is the {what} address of its own network with /{length}, and no host may have it; write another address, or \
             \"{address}/{full}\" if the network is a larger one"
        ));
    }
    Ok((address, Some(length).filter(|length| *length != full)))
}

/// The same, of what a person answers to a question.
pub(crate) fn vip_of_text(text: &str) -> Result<(IpAddr, Option<u8>), String> {
    vip(&Value::Text(text.to_owned().into()))
}

/// "broadcast" or "network", where this is that address of its network (RFC 919, RFC 922; not with /31, RFC 3021).
pub(crate) fn address_of_no_host(address: IpAddr, prefix: u8) -> Option<&'static str> {
    let IpAddr::V4(address) = address else { return None };
    let host_bits = 32_u32.saturating_sub(prefix.into());
    if host_bits < 2 {
        return None;
    }
    let mask = u32::MAX.checked_shr(32 - host_bits).unwrap_or_default();
    match address.to_bits() & mask {
        0 => Some("network"),
        ones if ones == mask => Some("broadcast"),
        _ => None,
    }
}

/// An address that a host can have.
pub(super) fn host_address(text: &str) -> Result<IpAddr, String> {
    let shown = text.escape_debug();
    let address: IpAddr = text.parse().map_err(|_| {
        format!("\"{shown}\" is not an IP address; write one such as \"10.77.0.100\", not a host name")
    })?;
    let broadcast = matches!(address, IpAddr::V4(v4) if v4.is_broadcast());
    if address.is_unspecified() || address.is_loopback() || address.is_multicast() || broadcast {
        return Err(format!(
            "\"{shown}\" is not an address that a host on the network can have; write that host's address"
        ));
    }
    Ok(address)
}

fn whole(value: &Value, advice: &str) -> Result<i128, String> {
    match value {
        Value::Whole(number) => Ok(*number),
        other => Err(format!("this is {}; {advice}", other.kind())),
    }
}

pub(super) fn length_of_time(value: &Value) -> Result<Duration, String> {
    const ADVICE: &str =
        "write a length of time such as \"100ms\", \"7s\" or \"1m\"; a plain number is seconds";
    let out_of_range = || format!("this is out of range; {ADVICE}");
    match value {
        Value::Text(text) => duration::parse(text),
        Value::Whole(number) => u32::try_from(*number)
            .map(|seconds| Duration::from_secs(seconds.into()))
            .map_err(|_| out_of_range()),
        Value::Decimal(number) => duration::from_seconds(*number).ok_or_else(out_of_range),
        other => Err(format!("this is {}; {ADVICE}", other.kind())),
    }
}

pub(super) fn within(
    length: Duration,
    least: Duration,
    most: Duration,
    or: Option<&str>,
) -> Result<Duration, String> {
    if (least..=most).contains(&length) {
        return Ok(length);
    }
    let or = or.map(|word| format!(", or \"{word}\"")).unwrap_or_default();
    Err(format!(
        "{} is out of range; write from {} to {}{or}",
        duration::format(length),
        duration::format(least),
        duration::format(most)
    ))
}

/// What to say of an unknown key, and the known one that was probably meant: that one is then not missing as well.
pub(super) fn unknown<'k>(key: &str, known: &[&'k str]) -> (String, Option<&'k str>) {
    let near = nearest(key, known.iter().copied());
    let advice = match near {
        Some(near) => format!("did you mean \"{near}\"?"),
        None => format!("known are: {}", known.join(", ")),
    };
    (format!("unknown key \"{}\": {advice}", key.escape_debug()), near)
}
