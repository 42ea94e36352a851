//! A run as a picture (SVG): the whole of it, and each fault seen close up. One lane per host: where its server stands, and
//! when it held the VIP. One lane for the client's inserts. White behind it, so that it reads the same on light and dark pages.

mod scale;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use self::scale::{Lanes, Span, round_up, span_words};
use super::standing::Standing;
use crate::measure::{Figures, Holding, Reading};
use crate::record::{Phase, Recording, What};

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Failed = DrawingAreaErrorKind<io::Error>;

/// The picture could not be drawn.
#[derive(Debug, thiserror::Error)]
pub enum NotDrawn {
    /// The file can't be written.
    #[error("{path}: {cause}; check that the folder exists and has space")]
    File {
        /// The file.
        path: PathBuf,
        /// What failed.
        cause: io::Error,
    },
    /// The drawing itself failed.
    #[error("the timeline could not be drawn: {0}")]
    Drawing(String),
}

// All in the picture's points.
const WIDTH: u32 = 1200;
const MARGIN: i32 = 16;
/// Left of the lanes, for their names.
const NAMES: i32 = 70;
const TITLE: i32 = 44;
const LEGEND: i32 = 40;
const PANEL_TITLE: i32 = 40;
const HOST_LANE: i32 = 42;
const CLIENT_LANE: i32 = 58;
const AXIS: i32 = 26;
/// Two close-ups side by side.
const GUTTER: i32 = 24;

/// A close-up begins so many microseconds before its fault at the most.
const MOST_BEFORE: u64 = 1_500_000;

const INK: RGBColor = RGBColor(0x22, 0x26, 0x2b);
const FAINT: RGBColor = RGBColor(0xd9, 0xdd, 0xe2);
const QUIET: RGBColor = RGBColor(0x6a, 0x73, 0x7d);
const VIP: RGBColor = RGBColor(0x1f, 0x6f, 0xd6);
const INSERTS: RGBColor = RGBColor(0x4a, 0x5b, 0x8c);
const ERRORS: RGBColor = RGBColor(0xd1, 0x24, 0x2f);
const FAULT: RGBColor = RGBColor(0xd1, 0x24, 0x2f);

/// Draws the run into a file. `hosts` in the order of their lanes; `figures` as [`crate::measure::figures`] gives them.
///
/// # Errors
/// See [`NotDrawn`].
pub fn save(
    recording: &Recording,
    figures: &[Figures],
    hosts: &[String],
    vip: IpAddr,
    title: &str,
    path: &Path,
) -> Result<(), NotDrawn> {
    let text = svg(recording, figures, hosts, vip, title)?;
    fs::write(path, text).map_err(|cause| NotDrawn::File { path: path.to_owned(), cause })
}

/// The picture's text.
///
/// # Errors
/// The drawing failed.
pub fn svg(
    recording: &Recording,
    figures: &[Figures],
    hosts: &[String],
    vip: IpAddr,
    title: &str,
) -> Result<String, NotDrawn> {
    let run = Run::of(recording, figures, hosts, vip);
    let panel = run.panel_height();
    let rows = i32::try_from(figures.len().div_ceil(2)).unwrap_or(i32::MAX);
    let height = TITLE + LEGEND + panel + rows.saturating_mul(panel + GUTTER) + MARGIN;
    let mut text = String::new();
    {
        let size = (WIDTH, u32::try_from(height).unwrap_or(u32::MAX));
        let root = SVGBackend::with_string(&mut text, size).into_drawing_area();
        run.draw(&root, title, panel).map_err(|cause| NotDrawn::Drawing(cause.to_string()))?;
        root.present().map_err(|cause| NotDrawn::Drawing(cause.to_string()))?;
    }
    Ok(text)
}

struct Run<'a> {
    hosts: &'a [String],
    figures: &'a [Figures],
    span: Span,
    standings: BTreeMap<&'a str, Vec<(u64, Standing)>>,
    holding: Holding,
    acknowledged: Vec<u64>,
    failed: Vec<u64>,
    faults: Vec<(u64, &'a str, Phase)>,
}

impl<'a> Run<'a> {
    fn of(recording: &'a Recording, figures: &'a [Figures], hosts: &'a [String], vip: IpAddr) -> Self {
        let mut run = Self {
            hosts,
            figures,
            span: Span(0, 1),
            standings: BTreeMap::new(),
            holding: Holding::of(vip, recording),
            acknowledged: Vec::new(),
            failed: Vec::new(),
            faults: Vec::new(),
        };
        for recorded in recording.all() {
            match &recorded.what {
                What::Insert { outcome, .. } if outcome.is_acknowledged() => {
                    run.acknowledged.push(recorded.at_us);
                }
                What::Insert { .. } => run.failed.push(recorded.at_us),
                What::Fault { name, phase, .. } => run.faults.push((recorded.at_us, name, *phase)),
                _ => {}
            }
            if let Some(standing) = Standing::told_by(&recorded.what) {
                let all = run.standings.entry(recorded.who.as_str()).or_default();
                if all.last().is_none_or(|(_, last)| *last != standing) {
                    all.push((recorded.at_us, standing));
                }
            }
        }
        // The picture begins a little before the first thing that is worth seeing: an insert or a fault.
        let first = run.acknowledged.first().into_iter().chain(run.faults.first().map(|(at, ..)| at)).min();
        let begin = first.or(recording.all().first().map(|first| &first.at_us)).copied().unwrap_or_default();
        let end = recording.all().last().map_or(begin + 1, |last| last.at_us);
        run.span = Span(begin, end.max(begin + 1));
        run
    }

    fn panel_height(&self) -> i32 {
        let hosts = i32::try_from(self.hosts.len()).unwrap_or(i32::MAX);
        PANEL_TITLE + hosts.saturating_mul(HOST_LANE) + CLIENT_LANE + AXIS
    }

    fn draw(&self, root: &Area<'_>, title: &str, panel: i32) -> Result<(), Failed> {
        root.fill(&WHITE)?;
        let width = i32::try_from(WIDTH).unwrap_or(i32::MAX);
        write(root, title, (MARGIN, 28), 20, INK, HPos::Left)?;
        Self::legend(root)?;
        let at = (MARGIN, TITLE + LEGEND);
        let whole = root.clone().shrink(at, (width - 2 * MARGIN, panel));
        self.panel(&whole, self.span, self.span.0, "the whole run", width - 2 * MARGIN)?;
        let half = (width - 2 * MARGIN - GUTTER) / 2;
        for (place, figures) in self.figures.iter().enumerate() {
            let place = i32::try_from(place).unwrap_or(i32::MAX);
            let x = MARGIN + (place % 2) * (half + GUTTER);
            let y = TITLE + LEGEND + panel + GUTTER + (place / 2) * (panel + GUTTER);
            let area = root.clone().shrink((x, y), (half, panel));
            self.panel(&area, self.close_up(figures), figures.injected_us, &headline(figures), half)?;
        }
        Ok(())
    }

    fn legend(root: &Area<'_>) -> Result<(), Failed> {
        let y = TITLE + 4;
        let mut x = MARGIN;
        let others = [(VIP, "holds the VIP"), (INSERTS, "inserts"), (ERRORS, "failed")];
        let standings = Standing::LEGEND.iter().map(|standing| (rgb(*standing), standing.words()));
        for (colour, words) in standings.chain(others) {
            root.draw(&Rectangle::new([(x, y), (x + 12, y + 12)], colour.filled()))?;
            write(root, words, (x + 17, y + 6), 12, INK, HPos::Left)?;
            x += 17 + i32::try_from(words.chars().count()).unwrap_or(i32::MAX).saturating_mul(6) + 18;
        }
        Ok(())
    }

    /// From a little before a fault until a little after the writes go on again, and not into the healing.
    fn close_up(&self, figures: &Figures) -> Span {
        let longest = [figures.elected, figures.vip_moved, figures.outage]
            .iter()
            .map(|reading| match reading {
                Reading::After(us) | Reading::Never(us) => u64::try_from(*us).unwrap_or_default(),
                Reading::DoesNotApply => 0,
            })
            .max()
            .unwrap_or_default()
            .max(200_000);
        let next = self.faults.iter().map(|(at, ..)| *at).find(|at| *at > figures.injected_us + longest);
        let begin = figures.injected_us.saturating_sub((longest / 5).min(MOST_BEFORE));
        let end = figures.injected_us + longest + longest / 3;
        Span(begin.max(self.span.0), end.min(next.unwrap_or(self.span.1)))
    }

    fn panel(
        &self,
        area: &Area<'_>,
        span: Span,
        zero_us: u64,
        title: &str,
        width: i32,
    ) -> Result<(), Failed> {
        let lanes = Lanes { span, left: NAMES, right: width };
        write(area, title, (0, 10), 14, INK, HPos::Left)?;
        let hosts_end = PANEL_TITLE + i32::try_from(self.hosts.len()).unwrap_or_default() * HOST_LANE;
        let bottom = hosts_end + CLIENT_LANE;
        axis(area, &lanes, zero_us, bottom)?;
        for (lane, host) in self.hosts.iter().enumerate() {
            let top = PANEL_TITLE + i32::try_from(lane).unwrap_or_default() * HOST_LANE;
            write(area, host, (0, top + 16), 13, INK, HPos::Left)?;
            self.standing_bar(area, &lanes, host, top)?;
            self.vip_bar(area, &lanes, host, top + 18)?;
        }
        write(area, "inserts", (0, hosts_end + 22), 13, INK, HPos::Left)?;
        self.inserts(area, &lanes, hosts_end, bottom)?;
        self.fault_marks(area, &lanes, bottom)
    }

    fn standing_bar(&self, area: &Area<'_>, lanes: &Lanes, host: &str, top: i32) -> Result<(), Failed> {
        let all = self.standings.get(host).map(Vec::as_slice).unwrap_or_default();
        let ends = all.iter().skip(1).map(|(at, _)| *at).chain(std::iter::once(lanes.span.1));
        for ((start, standing), end) in all.iter().zip(ends) {
            let Some((left, right)) = lanes.stretch(*start, end) else { continue };
            if *standing == Standing::Unknown {
                continue;
            }
            area.draw(&Rectangle::new([(left, top), (right, top + 16)], rgb(*standing).filled()))?;
            let ink = match standing {
                Standing::Primary | Standing::Silent | Standing::PowerOff => WHITE,
                _ => INK,
            };
            label(area, standing.words(), (left, right), top + 8, ink)?;
        }
        Ok(())
    }

    fn vip_bar(&self, area: &Area<'_>, lanes: &Lanes, host: &str, top: i32) -> Result<(), Failed> {
        let Span(from, to) = lanes.span;
        // Stretches in which only the company changes are one for this host.
        let mut bars: Vec<(u64, u64)> = Vec::new();
        for (start, end, hosts) in self.holding.stretches(from, to) {
            if !hosts.contains(host) {
                continue;
            }
            match bars.last_mut() {
                Some((_, last)) if *last == start => *last = end,
                _ => bars.push((start, end)),
            }
        }
        for (start, end) in bars {
            let Some((left, right)) = lanes.stretch(start, end) else { continue };
            area.draw(&Rectangle::new([(left, top), (right, top + 14)], VIP.filled()))?;
            label(area, "VIP", (left, right), top + 7, WHITE)?;
        }
        Ok(())
    }

    fn inserts(&self, area: &Area<'_>, lanes: &Lanes, top: i32, bottom: i32) -> Result<(), Failed> {
        let (bin, columns) = lanes.bins();
        let count = |times: &[u64]| {
            let mut counts = vec![0_i32; columns];
            for at in times.iter().filter(|at| lanes.holds(**at)) {
                let column = usize::try_from((at - lanes.span.0) / bin).unwrap_or(usize::MAX);
                if let Some(count) = counts.get_mut(column) {
                    *count += 1;
                }
            }
            counts
        };
        let good = count(&self.acknowledged);
        let most = good.iter().copied().max().unwrap_or_default().max(1);
        let room = bottom - top - 20;
        for (column, (good, bad)) in good.iter().zip(count(&self.failed)).enumerate() {
            let start = lanes.span.0 + bin * u64::try_from(column).unwrap_or_default();
            let Some((left, right)) = lanes.stretch(start, start + bin) else { continue };
            if *good > 0 {
                let height = (good * room / most).max(1);
                let corners = [(left, bottom - 8 - height), (right, bottom - 8)];
                area.draw(&Rectangle::new(corners, INSERTS.filled()))?;
            }
            if bad > 0 {
                let corners = [(left, bottom - 6), (right.max(left + 1), bottom - 2)];
                area.draw(&Rectangle::new(corners, ERRORS.filled()))?;
            }
        }
        let scale = format!("{most} in {}", span_words(bin, bin));
        write(area, &scale, (0, top + 38), 10, QUIET, HPos::Left)
    }

    fn fault_marks(&self, area: &Area<'_>, lanes: &Lanes, bottom: i32) -> Result<(), Failed> {
        let mut free_from = 0;
        for (at, name, phase) in self.faults.iter().filter(|(at, ..)| lanes.holds(*at)) {
            let x = lanes.x(*at);
            let (colour, words) = match phase {
                Phase::Injected => (FAULT, *name),
                Phase::Healed => (QUIET, "heal"),
            };
            area.draw(&PathElement::new(vec![(x, PANEL_TITLE - 6), (x, bottom)], colour))?;
            // Names that would lie over one another are left out; the close-ups bear them too.
            let width = i32::try_from(words.len()).unwrap_or_default() * 6;
            let start = x.min(lanes.right - width);
            if start >= free_from {
                write(area, words, (start, PANEL_TITLE - 13), 11, colour, HPos::Left)?;
                free_from = start + width + 6;
            }
        }
        Ok(())
    }
}

fn headline(figures: &Figures) -> String {
    let named = |name: &str, reading: Reading| match reading {
        Reading::DoesNotApply => String::new(),
        reading => format!("{name} {reading}, "),
    };
    format!(
        "{} {}: {}{}outage {} s",
        figures.fault,
        figures.host,
        named("elected", figures.elected),
        named("VIP moved", figures.vip_moved),
        figures.outage
    )
}

fn axis(area: &Area<'_>, lanes: &Lanes, zero_us: u64, bottom: i32) -> Result<(), Failed> {
    let step = round_up(lanes.length() / 8);
    let before = (zero_us.saturating_sub(lanes.span.0) / step) * step;
    let mut at = zero_us.saturating_sub(before);
    while at <= lanes.span.1 {
        let x = lanes.x(at);
        area.draw(&PathElement::new(vec![(x, PANEL_TITLE - 2), (x, bottom)], FAINT))?;
        let place = if lanes.right - x < 20 { HPos::Right } else { HPos::Center };
        let words = if at < zero_us {
            format!("−{}", span_words(zero_us - at, step))
        } else {
            span_words(at - zero_us, step)
        };
        write(area, &words, (x, bottom + 10), 11, QUIET, place)?;
        at += step;
    }
    area.draw(&PathElement::new(vec![(lanes.left, bottom), (lanes.right, bottom)], QUIET))
}

/// Words in a bar, where there is room for them.
fn label(area: &Area<'_>, words: &str, bar: (i32, i32), y: i32, ink: RGBColor) -> Result<(), Failed> {
    let needs = i32::try_from(words.chars().count()).unwrap_or(i32::MAX).saturating_mul(7) + 8;
    if bar.1 - bar.0 < needs {
        return Ok(());
    }
    write(area, words, (bar.0 + 4, y), 11, ink, HPos::Left)
}

fn write(
    area: &Area<'_>,
    words: &str,
    at: (i32, i32),
    size: i32,
    ink: RGBColor,
    place: HPos,
) -> Result<(), Failed> {
    let style =
        TextStyle::from(("sans-serif", size).into_font()).color(&ink).pos(Pos::new(place, VPos::Center));
    area.draw(&Text::new(words.to_owned(), at, style))
}

fn rgb(standing: Standing) -> RGBColor {
    let (red, green, blue) = standing.colour();
    RGBColor(red, green, blue)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_empty_run_is_a_picture_too() {
        let vip = "10.77.0.100".parse().unwrap();
        let text = svg(&Recording::default(), &[], &["db1".to_owned()], vip, "nothing").unwrap();
        assert!(text.starts_with("<svg") && text.contains("nothing"));
    }
}
