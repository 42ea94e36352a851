//! What a person with a telephone, in the dark, or with a screen reader is given.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::{PageError, promise};
use crate::browser::{Browser, Page, Window};

/// A desk, and a small telephone.
const WINDOWS: [(&str, Window); 2] = [
    ("desk", Window { width: 1200, height: 800, mobile: false }),
    ("telephone", Window { width: 360, height: 740, mobile: true }),
];
/// What README shows.
const README: Window = Window { width: 1000, height: 1000, mobile: false };
/// The largest part of a text that may stand outside the window, for whoever has only this wide a window.
const SIDEWAYS: &str = "document.documentElement.scrollWidth - document.documentElement.clientWidth";
/// Text and its background differ by this much (WCAG 2.2, 1.4.3).
const CONTRAST: f64 = 4.5;
const LEAST_CONTRAST: &str = include_str!("contrast.js");
/// Nothing that a person could press, fill in or send.
const CONTROLS: &str =
    "document.querySelectorAll('form, input, button, select, textarea, [contenteditable], [onclick]').length";

/// Looks at the page in each window, light and dark, and as a screen reader does; leaves pictures.
pub(super) fn look(browser: &mut Browser, page: &Page, out: &Path) -> Result<String, PageError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |cause| PageError::File { path, cause }
    };
    fs::create_dir_all(out).map_err(failed(out))?;
    let mut least = f64::INFINITY;
    let mut backgrounds = BTreeSet::new();
    for (name, window) in WINDOWS {
        for dark in [false, true] {
            browser.shape(page, window, dark)?;
            let colours = if dark { "dark" } else { "light" };
            let sideways = browser.evaluate(page, SIDEWAYS)?;
            promise(sideways == 0, || {
                format!("{name}: the page is {sideways} pixels wider than the window")
            })?;
            let found = browser.evaluate(page, LEAST_CONTRAST)?;
            let contrast = found["contrast"].as_f64().unwrap_or_default();
            promise(contrast >= CONTRAST, || {
                format!("{name}, {colours}: text that can hardly be read: {found}")
            })?;
            least = least.min(contrast);
            backgrounds.insert(found["background"].to_string());
            let file = out.join(format!("page-{name}-{colours}.png"));
            fs::write(&file, browser.picture(page, true)?).map_err(failed(&file))?;
        }
    }
    browser.shape(page, README, false)?;
    let file = out.join("page.png");
    fs::write(&file, browser.picture(page, false)?).map_err(failed(&file))?;
    promise(backgrounds.len() == 2, || format!("light and dark have the backgrounds {backgrounds:?}"))?;
    let controls = browser.evaluate(page, CONTROLS)?;
    promise(controls == 0, || {
        format!("there are {controls} things on the page that a person could press or fill in")
    })?;
    let heard = to_a_screen_reader(&browser.accessibility(page)?)?;
    Ok(format!(
        "no sideways scrolling at 360 pixels; least contrast of text, light and dark: {least:.1}; to a screen reader: {heard}"
    ))
}

/// The page has headings, tables whose columns and rows are named, and a place whose changes are read out.
fn to_a_screen_reader(nodes: &[Value]) -> Result<String, PageError> {
    let seen = |node: &&Value| node["ignored"] != true;
    let of = |role: &str| {
        nodes.iter().filter(seen).filter(|node| node["role"]["value"] == role).collect::<Vec<_>>()
    };
    let property = |node: &Value, name: &str| {
        let properties = node["properties"].as_array();
        let found = properties.into_iter().flatten().find(|property| property["name"] == name);
        found.map(|property| property["value"]["value"].clone()).unwrap_or_default()
    };
    let name = |node: &Value| node["name"]["value"].as_str().unwrap_or_default().to_owned();
    let levels: Vec<i64> = of("heading").iter().filter_map(|node| property(node, "level").as_i64()).collect();
    promise(levels.first() == Some(&1) && levels.iter().filter(|level| **level == 1).count() == 1, || {
        format!("the headings' levels are {levels:?}")
    })?;
    let skips = levels.windows(2).any(|two| two[1] > two[0] + 1);
    promise(!skips && levels.len() >= 4, || format!("the headings' levels are {levels:?}"))?;
    let tables = of("table");
    promise(tables.len() >= 2 && tables.iter().all(|table| !name(table).is_empty()), || {
        format!("tables: {:?}", tables.iter().map(|table| name(table)).collect::<Vec<_>>())
    })?;
    let (columns, rows) = (of("columnheader"), of("rowheader"));
    let named = columns.iter().chain(&rows).all(|header| !name(header).is_empty());
    promise(named && columns.len() >= 8 && rows.len() >= 7, || {
        format!("{} column headers, {} row headers; all named: {named}", columns.len(), rows.len())
    })?;
    let polite = nodes.iter().filter(|node| property(node, "live") == "polite").count();
    promise(polite > 0 && !of("main").is_empty(), || {
        format!("{polite} places whose changes are read out, {} main", of("main").len())
    })?;
    Ok(format!(
        "{} headings, {} tables with {} column and {} row headers, {polite} live",
        levels.len(),
        tables.len(),
        columns.len(),
        rows.len()
    ))
}
