//! VIPs for readers on every agent's page: who has each, and why it may.

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use super::{PageError, SERVED, Shown, promise};
use crate::agents::{Cluster, LAB};
use crate::experiment::{Experiment, ExperimentError};
use crate::fault::holders_of;
use crate::scenario::ScenarioError;
use crate::segment::{databases, some_readers};

/// The page has a panel of this VIP, which says that the host with this address has it, and what its server says of itself.
const PANEL: &str = "[...document.querySelectorAll('.vip')].some(panel =>
  panel.querySelector('[data-holder]').dataset.holder === 'VIP'
  && panel.querySelector('.holder').classList.contains('well')
  && panel.querySelector('.holder').textContent.includes('HOST')
  && panel.querySelector('.why')?.textContent.startsWith('It is for readers. Its server is a secondary, by its own word'))";
/// The members' table has it in the row of that host, and in no other.
const ROW: &str = "[...document.querySelectorAll('tbody tr')].filter(row => row.cells.length === 8 && row.cells[3].textContent.includes('VIP'))
  .map(row => row.cells[0].textContent.includes('HOST')).join() === 'true'";

fn two() -> Vec<IpAddr> {
    some_readers(2)
}

impl Shown {
    /// The agents get two VIPs for readers. Every page then shows each with its holder and the reason, and a picture is left in `out`.
    pub(super) fn readers(&mut self, experiment: &mut Experiment, out: &Path) -> Result<String, PageError> {
        let with_two = Cluster { readers: two, more: "reader_well_for = \"3s\"\n", ..LAB };
        experiment.configure_agents_under(SERVED, with_two)?;
        let lab = &mut experiment.lab;
        lab.wait_steady().and_then(|_| lab.wait_readers(&two())).map_err(ExperimentError::from)?;
        let mut words = Vec::new();
        for vip in two() {
            let holders = holders_of(&lab.segment, vip);
            let holders = holders.map_err(ScenarioError::from).map_err(ExperimentError::from)?;
            promise(holders.len() == 1, || format!("{vip} is on the hosts {holders:?}"))?;
            let (name, address) = databases()[holders[0]];
            for page in &self.pages {
                for shown in [PANEL, ROW] {
                    let shown = shown.replace("VIP", &vip.to_string()).replace("HOST", &address.to_string());
                    self.browser.wait(page, &shown)?;
                }
            }
            words.push(format!("{vip} with {name}"));
        }
        let file = out.join("page-readers.png");
        let picture = self.browser.picture(&self.pages[0], true)?;
        fs::write(&file, picture).map_err(|cause| PageError::File { path: file, cause })?;
        Ok(format!("on every page, with the holder's own word: {}", words.join(", ")))
    }
}
