//! The page about the benchmark: how it is done, each tool's files as they are, and the figures.

use std::fs;
use std::path::{Path, PathBuf};

use super::tool::{KEEPALIVED_FILES, Template, VIP_MANAGER_FILES};
use super::{BenchError, Summary};
use crate::agents;
use crate::report::table::Style;

const PAGE: &str = include_str!("benchmark.md");
const TABLE: &str = "benchmark.csv";
const PICTURE: &str = "benchmark.svg";
const DOCUMENT: &str = "benchmark.md";

/// Where the page and what it shows were written.
#[derive(Clone, Debug)]
pub struct Documented {
    /// The page.
    pub page: PathBuf,
    /// The picture.
    pub picture: PathBuf,
    /// Each run's figures.
    pub figures: PathBuf,
}

impl Summary {
    /// Writes the page, the picture and the figures into a folder. `machine` says what it ran on.
    ///
    /// # Errors
    /// A file can't be written.
    pub fn document(&self, folder: &Path, machine: &str) -> Result<Documented, BenchError> {
        fs::create_dir_all(folder).map_err(BenchError::io(folder))?;
        let at = |name: &str| folder.join(name);
        let written = Documented { page: at(DOCUMENT), picture: at(PICTURE), figures: at(TABLE) };
        self.save_csv(&written.figures)?;
        fs::write(&written.picture, self.picture()?).map_err(BenchError::io(&written.picture))?;
        fs::write(&written.page, self.page(machine)).map_err(BenchError::io(&written.page))?;
        Ok(written)
    }

    fn page(&self, machine: &str) -> String {
        let versions: Vec<String> =
            self.versions.iter().map(|(tool, version)| format!("{} {version}", tool.name())).collect();
        let findings: Vec<String> = self.findings().iter().map(|said| format!("- {said}\n")).collect();
        [
            ("@VERSIONS@", versions.join(", ")),
            ("@MYSQL@", self.mysql.clone()),
            ("@MACHINE@", machine.to_owned()),
            ("@TABLE@", self.table(Style::Markdown)),
            ("@FINDINGS@", findings.concat().trim_end().to_owned()),
            ("@HAIPMGR@", shown("haipmgr.toml", &agents::configuration(&[agents::LAB]))),
            ("@KEEPALIVED@", files(&KEEPALIVED_FILES)),
            ("@VIP_MANAGER@", files(&VIP_MANAGER_FILES)),
        ]
        .iter()
        .fold(PAGE.to_owned(), |page, (place, text)| page.replace(place, text))
    }
}

/// Each file as the tool gets it, but for the places that are filled in on each host.
fn files(templates: &[Template]) -> String {
    templates.iter().map(|(name, text, _)| shown(name, text)).collect::<Vec<_>>().join("\n\n")
}

fn shown(name: &str, text: &str) -> String {
    let language = match Path::new(name).extension().and_then(|extension| extension.to_str()) {
        Some("yml") => "yaml",
        Some("cnf") => "ini",
        Some(known @ ("sh" | "sql" | "toml")) => known,
        _ => "text",
    };
    format!("`{name}`\n\n```{language}\n{}\n```", text.trim_end())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::super::Tool;
    use super::super::summary::tests::summary;
    use super::*;
    use crate::measure::Reading;

    #[test]
    fn the_page_shows_every_file_that_a_tool_gets_and_no_place_is_left_empty() {
        let folder = tempfile::tempdir().unwrap();
        let summary = summary(&[(Tool::Haipmgr, Reading::After(480_000))]);
        let written = summary.document(folder.path(), "two cores").unwrap();
        let page = fs::read_to_string(written.page).unwrap();
        for (_, text, _) in KEEPALIVED_FILES.iter().chain(&VIP_MANAGER_FILES) {
            assert!(page.contains(text.trim_end()));
        }
        for place in [
            "@VERSIONS@",
            "@MYSQL@",
            "@MACHINE@",
            "@TABLE@",
            "@FINDINGS@",
            "@HAIPMGR@",
            "@KEEPALIVED@",
            "@VIP_MANAGER@",
        ] {
            assert!(!page.contains(place), "{place}");
        }
        assert!(page.contains("two cores") && page.contains("0.480"));
        assert!(written.picture.exists() && written.figures.exists());
    }
}
