//! The numbers that `/metrics` shows, by name: what is now, from the agents' own picture, and what has happened, from their tallies. Pure;
//! `OpenMetrics` by `prometheus-client`. docs/http.md lists them, and a test holds it to that.

use std::fmt;
use std::net::IpAddr;

use decide::fitness::Fitness;
use decide::input::MemberState;
use decide::status::{Found, Has, Mode, PlacedStatus, ReadersStatus, Status, VipStatus, Wanted, WordStatus};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, text};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::exemplar::Exemplar;
use prometheus_client::registry::{Registry, Unit};

use crate::control::report::{Report, Told};
use crate::journal::Lines;
use crate::tally::{Counts, Histogram, stage_word};

/// What `/metrics` answers with.
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All that is shown.
pub(super) struct Shown<'a> {
    /// Of every cluster.
    pub(super) report: &'a Report,
    /// Each cluster's counts, in the report's order.
    pub(super) counts: &'a [Counts],
    /// Lines of the log.
    pub(super) lines: Lines,
}

type Labels = Vec<(&'static str, String)>;
/// The samples of a cluster with this name, on this member's host.
type OfReaders = fn(&str, Option<IpAddr>, &ReadersStatus) -> Vec<(Labels, Value)>;

#[derive(Clone, Debug)]
enum Value {
    Gauge(f64),
    Count(u64),
    Times(Histogram),
}

/// One metric with all its samples.
#[derive(Clone, Debug)]
struct Family {
    name: &'static str,
    help: &'static str,
    unit: Option<Unit>,
    samples: Vec<(Labels, Value)>,
}

/// The text.
///
/// # Errors
/// None that is known: it is written to memory.
pub(super) fn text(shown: &Shown<'_>) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Families(families(shown))));
    let mut text = String::new();
    text::encode(&mut text, &registry)?;
    Ok(text)
}

#[derive(Debug)]
struct Families(Vec<Family>);

impl Collector for Families {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        for family in &self.0 {
            let kind = match family.samples.first() {
                Some((_, Value::Count(_))) => MetricType::Counter,
                Some((_, Value::Times(_))) => MetricType::Histogram,
                Some((_, Value::Gauge(_))) => MetricType::Gauge,
                None => continue,
            };
            let mut metric =
                encoder.encode_descriptor(family.name, family.help, family.unit.as_ref(), kind)?;
            for (labels, value) in &family.samples {
                write(&mut metric.encode_family(labels)?, value)?;
            }
        }
        Ok(())
    }
}

fn write(metric: &mut MetricEncoder<'_>, value: &Value) -> Result<(), fmt::Error> {
    match value {
        Value::Gauge(value) => metric.encode_gauge(value),
        Value::Count(count) => metric.encode_counter(count, None::<&Exemplar<Labels, f64>>),
        Value::Times(times) => {
            metric.encode_histogram::<Labels>(times.sum, times.count(), &times.buckets, None)
        }
    }
}

fn families(shown: &Shown<'_>) -> Vec<Family> {
    let mut families = whole(shown);
    families.extend(now(shown));
    families.extend(vips_now(shown));
    families.extend(readers_now(shown));
    families.extend(reader_vips_now(shown));
    families.extend(counted(shown));
    families
}

/// Of the agent as a whole.
fn whole(shown: &Shown<'_>) -> Vec<Family> {
    let report = shown.report;
    let version = vec![("version", report.version.clone())];
    let silent = |told: &Told| matches!(told, Told::Silent(_));
    let answers = |cluster: &crate::control::report::ClusterReport| {
        (vec![("cluster", cluster.name.clone())], truth(!silent(&cluster.told)))
    };
    let lines = [("info", shown.lines.info), ("error", shown.lines.error), ("switch", shown.lines.switch)];
    vec![
        family("haipmgr_build", "The agent's version; always 1.", None, vec![(version, Value::Gauge(1.0))]),
        family(
            "haipmgr_up",
            "For how long the agent has been running.",
            Some(Unit::Seconds),
            vec![(Vec::new(), seconds(report.up_ms))],
        ),
        family(
            "haipmgr_loop_answers",
            "1: the cluster's loop answers; 0: it is held up.",
            None,
            report.clusters.iter().map(answers).collect(),
        ),
        family(
            "haipmgr_log_lines",
            "Lines that the log was given, by level.",
            None,
            lines.map(|(level, count)| (vec![("level", level.to_owned())], Value::Count(count))).into(),
        ),
    ]
}

/// What each cluster's loop has told; none of one that is silent.
fn told<'s>(shown: &'s Shown<'_>) -> impl Iterator<Item = (&'s str, &'s Status)> {
    shown.report.clusters.iter().filter_map(|cluster| match &cluster.told {
        Told::Status(status) => Some((cluster.name.as_str(), &**status)),
        Told::Silent(_) => None,
    })
}

/// What is now: nothing of a cluster whose loop is silent, and no number for what is not known.
fn now(shown: &Shown<'_>) -> Vec<Family> {
    let each = |samples: fn(&str, &Status) -> Vec<(Labels, Value)>| {
        told(shown).flat_map(|(name, status)| samples(name, status)).collect::<Vec<_>>()
    };
    vec![
        family("haipmgr_stage", "1: so the stage is found; 0: otherwise.", None, each(stages)),
        family(
            "haipmgr_stage_age",
            "How old the stage's question is.",
            Some(Unit::Seconds),
            each(stage_ages),
        ),
        family(
            "haipmgr_mode",
            "1: this is what the agent is told to do; 0: it is something else.",
            None,
            each(modes),
        ),
        family(
            "haipmgr_pause_left",
            "How long the operator's pause still lasts; 0: there is none.",
            Some(Unit::Seconds),
            each(|name, status| vec![(labels(name, []), seconds(status.pause_left_ms.unwrap_or(0)))]),
        ),
        family(
            "haipmgr_members",
            "Members in the local server's view of its group, by state.",
            None,
            each(members),
        ),
        family(
            "haipmgr_majority",
            "1: the local server sees the majority of its group; 0: it does not.",
            None,
            each(|name, status| {
                status.group.iter().map(|group| (labels(name, []), truth(group.majority))).collect()
            }),
        ),
    ]
}

/// What is now of each VIP.
fn vips_now(shown: &Shown<'_>) -> Vec<Family> {
    let vips = |value: fn(&VipStatus) -> Option<Value>| {
        let of_cluster = |(name, status): (&str, &Status)| {
            let sample =
                |vip: &VipStatus| Some((labels(name, [("vip", vip.address.to_string())]), value(vip)?));
            status.vips.iter().filter_map(sample).collect::<Vec<_>>()
        };
        told(shown).flat_map(of_cluster).collect::<Vec<_>>()
    };
    vec![
        family(
            "haipmgr_vip_held",
            "1: the VIP is on this host; 0: it is not.",
            None,
            vips(|vip| Some(truth(vip.state == Has::Holding))),
        ),
        family(
            "haipmgr_vip_wanted",
            "1: the VIP should be on this host; 0: it should not; no number: not known.",
            None,
            vips(|vip| match vip.wanted {
                Wanted::Yes => Some(truth(true)),
                Wanted::No => Some(truth(false)),
                Wanted::Unknown => None,
            }),
        ),
        family(
            "haipmgr_vip_lease_left",
            "How long the kernel keeps a VIP that is held, unless its lease is renewed.",
            Some(Unit::Seconds),
            vips(|vip| vip.lease_left_ms.map(seconds)),
        ),
        family(
            "haipmgr_vip_proof_age",
            "How old the question is whose answer last proved that a VIP that is held belongs here.",
            Some(Unit::Seconds),
            vips(|vip| vip.proof_age_ms.map(seconds)),
        ),
    ]
}

/// What is now of serving readers: nothing of a cluster without reader VIPs.
fn readers_now(shown: &Shown<'_>) -> Vec<Family> {
    let each = |samples: OfReaders| of_readers(shown, samples);
    vec![
        family(
            "haipmgr_reader_fitness",
            "1: so fit this host is to serve readers; 0: otherwise.",
            None,
            each(|name, _, readers| {
                let Some(own) = readers.own else { return Vec::new() };
                let sample = |fitness: Fitness| {
                    let word = fitness_word(fitness).to_owned();
                    (labels(name, [("fitness", word)]), truth(fitness == own))
                };
                Fitness::EACH.map(sample).into()
            }),
        ),
        family(
            "haipmgr_reader_word_age",
            "How long ago each other member said how fit its host is to serve readers.",
            Some(Unit::Seconds),
            each(|name, _, readers| {
                let age = |word: &WordStatus| {
                    (labels(name, [("member", word.member.to_string())]), seconds(word.age_ms))
                };
                readers.words.iter().map(age).collect()
            }),
        ),
        family(
            "haipmgr_reader_behind_transactions",
            "Transactions that wait in the local server's applier queue.",
            None,
            each(|name, _, readers| {
                let count = readers.backlog.as_ref().and_then(|backlog| backlog.transactions);
                #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
                let value = |count: u64| (labels(name, []), Value::Gauge(count as f64));
                count.map(value).into_iter().collect()
            }),
        ),
        family(
            "haipmgr_reader_behind",
            "How old the transaction is that the local server applied last, while others wait.",
            Some(Unit::Seconds),
            each(|name, _, readers| {
                let age = readers.backlog.as_ref().and_then(|backlog| backlog.behind_ms);
                age.map(|age| (labels(name, []), seconds(age))).into_iter().collect()
            }),
        ),
    ]
}

/// Whether it reaches the others, and which reader VIPs belong on it.
fn reader_vips_now(shown: &Shown<'_>) -> Vec<Family> {
    let each = |samples: OfReaders| of_readers(shown, samples);
    vec![
        family(
            "haipmgr_reader_cut_off",
            "1: too few of the other members answer on the segment, so this host serves no readers; 0: enough do.",
            None,
            each(|name, _, readers| {
                let enough = readers.reach.and_then(|reach| reach.enough);
                enough.map(|enough| (labels(name, []), truth(!enough))).into_iter().collect()
            }),
        ),
        family(
            "haipmgr_reader_vip_placed",
            "1: the reader VIP belongs on this host; 0: elsewhere, or nowhere.",
            None,
            each(|name, own, readers| {
                let here = |placed: &PlacedStatus| {
                    let is_here = placed.member.is_some() && placed.member == own;
                    (labels(name, [("vip", placed.vip.to_string())]), truth(is_here))
                };
                readers.placed.iter().flatten().map(here).collect()
            }),
        ),
    ]
}

fn of_readers(shown: &Shown<'_>, samples: OfReaders) -> Vec<(Labels, Value)> {
    let of_cluster = |(name, status): (&str, &Status)| {
        status.readers.as_ref().map_or_else(Vec::new, |readers| samples(name, status.member, readers))
    };
    told(shown).flat_map(of_cluster).collect()
}

/// In one word, as labels have it.
fn fitness_word(fitness: Fitness) -> &'static str {
    match fitness {
        Fitness::Ready => "ready",
        Fitness::Settling => "settling",
        Fitness::Behind => "behind",
        Fitness::Primary => "primary",
        Fitness::Paused => "paused",
        Fitness::Unfit => "unfit",
    }
}

/// What has happened since the agent started.
fn counted(shown: &Shown<'_>) -> Vec<Family> {
    let each = || shown.report.clusters.iter().map(|cluster| cluster.name.as_str()).zip(shown.counts);
    let mut switches = Vec::new();
    let mut outages = Vec::new();
    let mut expels = Vec::new();
    let mut conflicts = Vec::new();
    let mut unknowns = Vec::new();
    let mut polls = Vec::new();
    let mut hooks = Vec::new();
    for (name, counts) in each() {
        for ((vip, kind, code), count) in &counts.switches {
            let of = [("vip", vip.to_string()), ("kind", (*kind).to_owned()), ("code", code.clone())];
            switches.push((labels(name, of), Value::Count(*count)));
        }
        for (part, times) in &counts.outages {
            outages.push((labels(name, [("part", (*part).to_owned())]), Value::Times(times.clone())));
        }
        expels.push((labels(name, []), Value::Count(counts.expels_asked)));
        conflicts.push((labels(name, []), Value::Count(counts.conflicts)));
        for ((stage, why), count) in &counts.unknowns {
            let of = [("stage", (*stage).to_owned()), ("why", (*why).to_owned())];
            unknowns.push((labels(name, of), Value::Count(*count)));
        }
        for ((hook, outcome), count) in &counts.hooks {
            let of = [("hook", (*hook).to_owned()), ("outcome", (*outcome).to_owned())];
            hooks.push((labels(name, of), Value::Count(*count)));
        }
        if counts.polls.count() > 0 {
            polls.push((labels(name, []), Value::Times(counts.polls.clone())));
        }
    }
    vec![
        family("haipmgr_hooks", "Hooks that were run, or not, by what came of it.", None, hooks),
        family(
            "haipmgr_switches",
            "VIPs that came to this host or left it, by the history's code.",
            None,
            switches,
        ),
        family(
            "haipmgr_outage",
            "What the time of VIPs that came was spent on, as the history has it.",
            Some(Unit::Seconds),
            outages,
        ),
        family(
            "haipmgr_expels_asked",
            "Times that the group was asked to expel a member sooner.",
            None,
            expels,
        ),
        family(
            "haipmgr_conflicts",
            "Times that the log was told of a host which uses a VIP and has no business with it.",
            None,
            conflicts,
        ),
        family("haipmgr_unknowns", "Times that a stage became unknown, by why.", None, unknowns),
        family("haipmgr_poll", "How long the local server's answers took.", Some(Unit::Seconds), polls),
    ]
}

fn stages(name: &str, status: &Status) -> Vec<(Labels, Value)> {
    let found = [
        (Found::Passed, "passed"),
        (Found::Secondary, "secondary"),
        (Found::Failed, "failed"),
        (Found::Unknown, "unknown"),
    ];
    let of_stage = |stage: &decide::status::StageStatus| {
        let (which, is) = (stage_word(stage.stage), stage.found);
        found.map(|(found, word)| {
            (labels(name, [("stage", which.to_owned()), ("found", word.to_owned())]), truth(found == is))
        })
    };
    status.stages.iter().flat_map(of_stage).collect()
}

fn stage_ages(name: &str, status: &Status) -> Vec<(Labels, Value)> {
    let age = |stage: &decide::status::StageStatus| {
        Some((labels(name, [("stage", stage_word(stage.stage).to_owned())]), seconds(stage.age_ms?)))
    };
    status.stages.iter().filter_map(age).collect()
}

fn modes(name: &str, status: &Status) -> Vec<(Labels, Value)> {
    let modes = [
        (Mode::Running, "running"),
        (Mode::Paused, "paused"),
        (Mode::Drained, "drained"),
        (Mode::Ending, "ending"),
    ];
    modes.map(|(mode, word)| (labels(name, [("mode", word.to_owned())]), truth(mode == status.mode))).into()
}

fn members(name: &str, status: &Status) -> Vec<(Labels, Value)> {
    let Some(group) = &status.group else { return Vec::new() };
    let words = [
        (MemberState::Online, "online"),
        (MemberState::Recovering, "recovering"),
        (MemberState::Unreachable, "unreachable"),
        (MemberState::Offline, "offline"),
        (MemberState::Error, "error"),
        (MemberState::Other, "other"),
    ];
    let count = |state| group.members.iter().filter(|member| member.state == state).count();
    words
        .map(|(state, word)| {
            let count = u32::try_from(count(state)).unwrap_or(u32::MAX);
            (labels(name, [("state", word.to_owned())]), Value::Gauge(f64::from(count)))
        })
        .into()
}

fn family(
    name: &'static str,
    help: &'static str,
    unit: Option<Unit>,
    samples: Vec<(Labels, Value)>,
) -> Family {
    // The library ends each help with a full stop.
    Family { name, help: help.trim_end_matches('.'), unit, samples }
}

fn labels<const N: usize>(cluster: &str, others: [(&'static str, String); N]) -> Labels {
    std::iter::once(("cluster", cluster.to_owned())).chain(others).collect()
}

fn truth(is: bool) -> Value {
    Value::Gauge(f64::from(u8::from(is)))
}

fn seconds(ms: u64) -> Value {
    Value::Gauge(std::time::Duration::from_millis(ms).as_secs_f64())
}
