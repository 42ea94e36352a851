//! The picture of the benchmark (SVG): a bar for each fault and tool, as long as the outage. The scale is logarithmic, because
//! a tenth of a second and a minute are both to be seen; it says so. White behind it, for light and dark pages.

use std::io;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::summary::Row;
use super::{Summary, Tool};
use crate::measure::Reading;
use crate::report::timeline::NotDrawn;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Failed = DrawingAreaErrorKind<io::Error>;

// All in the picture's points.
const WIDTH: u32 = 960;
const LEFT: i32 = 190;
const RIGHT: i32 = 130;
const TITLE: i32 = 78;
const BAR: i32 = 20;
const BETWEEN_FAULTS: i32 = 16;
const AXIS: i32 = 64;

/// The scale, in seconds.
const FROM: f64 = 0.01;
const TO: f64 = 60.0;
const TICKS: [(f64, &str); 5] = [(0.01, "0.01"), (0.1, "0.1"), (1.0, "1"), (10.0, "10"), (60.0, "60 s")];

const INK: RGBColor = RGBColor(0x22, 0x26, 0x2b);
const FAINT: RGBColor = RGBColor(0xd9, 0xdd, 0xe2);
const QUIET: RGBColor = RGBColor(0x6a, 0x73, 0x7d);

fn colour(tool: Tool) -> RGBColor {
    match tool {
        Tool::Haipmgr => RGBColor(0x1f, 0x6f, 0xd6),
        Tool::Keepalived => RGBColor(0xe0, 0x8a, 0x1e),
        Tool::VipManager => RGBColor(0x8a, 0x93, 0x9e),
    }
}

impl Summary {
    /// The picture's text.
    ///
    /// # Errors
    /// The drawing failed.
    pub fn picture(&self) -> Result<String, NotDrawn> {
        let rows = self.rows();
        let breaks = rows.windows(2).filter(|pair| pair[0].fault != pair[1].fault).count();
        let lines = |count: usize| i32::try_from(count).unwrap_or(i32::MAX / 64);
        let bottom = TITLE + lines(rows.len()) * BAR + lines(breaks) * BETWEEN_FAULTS;
        let mut text = String::new();
        {
            let size = (WIDTH, u32::try_from(bottom + AXIS).unwrap_or(u32::MAX));
            let root = SVGBackend::with_string(&mut text, size).into_drawing_area();
            let drawn = self.draw(&root, &rows, bottom).and_then(|()| root.present());
            drawn.map_err(|cause| NotDrawn::Drawing(cause.to_string()))?;
        }
        Ok(text)
    }

    fn draw(&self, root: &Area<'_>, rows: &[Row], bottom: i32) -> Result<(), Failed> {
        root.fill(&WHITE)?;
        words(root, "How long writes stop, by fault and tool", (16, 22), 18, INK, HPos::Left)?;
        let mut x = 16;
        for (tool, version) in &self.versions {
            root.draw(&Rectangle::new([(x, 44), (x + 14, 58)], colour(*tool).filled()))?;
            let legend = format!("{} {version}", tool.name());
            words(root, &legend, (x + 20, 51), 13, INK, HPos::Left)?;
            x += 190;
        }
        for (seconds, tick) in TICKS {
            let x = place(seconds);
            root.draw(&PathElement::new(vec![(x, TITLE - 6), (x, bottom + 4)], FAINT.stroke_width(1)))?;
            words(root, tick, (x, bottom + 14), 12, QUIET, HPos::Center)?;
        }
        let runs = rows.iter().map(|row| row.runs).max().unwrap_or_default();
        let several = if runs > 1 { format!("thin line: worst of {runs}; ") } else { String::new() };
        let caption = format!(
            "Bar: median outage as a writing client sees it, seconds, logarithmic scale; {several}black mark: the group's \
             new primary is writable."
        );
        words(root, &caption, (16, bottom + 40), 12, QUIET, HPos::Left)?;
        let mut y = TITLE;
        let mut above: Option<&str> = None;
        for row in rows {
            if above.is_some_and(|above| above != row.fault) {
                y += BETWEEN_FAULTS;
            }
            if above != Some(&row.fault) {
                words(root, &row.fault, (16, y + BAR / 2), 14, INK, HPos::Left)?;
            }
            above = Some(&row.fault);
            bar(root, row, y)?;
            y += BAR;
        }
        Ok(())
    }
}

fn bar(root: &Area<'_>, row: &Row, top: i32) -> Result<(), Failed> {
    let (begin, end, furthest) = (place(FROM), end(row.median), end(row.worst));
    let (colour, middle) = (colour(row.tool), top + BAR / 2);
    root.draw(&Rectangle::new([(begin, top + 2), (end.max(begin + 1), top + BAR - 2)], colour.filled()))?;
    root.draw(&PathElement::new(vec![(end, middle), (furthest, middle)], INK.stroke_width(1)))?;
    root.draw(&PathElement::new(vec![(furthest, middle - 4), (furthest, middle + 4)], INK.stroke_width(1)))?;
    if let Reading::After(_) = row.elected {
        let x = self::end(row.elected);
        root.draw(&PathElement::new(vec![(x, top + 1), (x, top + BAR - 1)], INK.stroke_width(2)))?;
    }
    let told = match row.median {
        Reading::After(_) => format!("{} s", row.median),
        _ => row.median.to_string(),
    };
    words(root, &told, (furthest.max(end) + 8, middle), 12, INK, HPos::Left)
}

/// Where a bar of this length ends. One that never ends goes to the edge.
fn end(reading: Reading) -> i32 {
    place(reading.seconds().unwrap_or(TO))
}

fn place(seconds: f64) -> i32 {
    let share = (seconds.clamp(FROM, TO) / FROM).ln() / (TO / FROM).ln();
    let width = f64::from(i32::try_from(WIDTH).unwrap_or(i32::MAX) - LEFT - RIGHT);
    #[allow(clippy::cast_possible_truncation)] // from 0 to the picture's width
    let x = (share * width).round() as i32;
    LEFT + x
}

fn words(
    area: &Area<'_>,
    text: &str,
    at: (i32, i32),
    size: i32,
    ink: RGBColor,
    anchor: HPos,
) -> Result<(), Failed> {
    let style =
        TextStyle::from(("sans-serif", size).into_font()).color(&ink).pos(Pos::new(anchor, VPos::Center));
    area.draw(&Text::new(text.to_owned(), at, style))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::summary::tests::summary;
    use super::*;

    #[test]
    fn the_picture_names_each_tool_and_says_its_time_and_that_the_scale_is_logarithmic() {
        let text = summary(&[
            (Tool::Haipmgr, Reading::After(480_000)),
            (Tool::Keepalived, Reading::Never(60_000_000)),
        ])
        .picture()
        .unwrap();
        for wanted in ["haipmgr 1.0", "keepalived 1.0", "0.480 s", "never (60 s)", "logarithmic", "shutdown"]
        {
            assert!(text.contains(wanted), "no {wanted}");
        }
    }

    #[test]
    fn a_longer_outage_is_a_longer_bar_up_to_a_minute() {
        assert!(place(0.1) < place(1.0) && place(1.0) < place(21.5) && place(21.5) < place(60.0));
        assert_eq!(place(90.0), place(60.0));
        assert_eq!(place(0.001), LEFT);
    }
}
