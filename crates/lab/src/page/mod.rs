//! The agents' page in a real browser, through real switches: how soon it shows the new holder, whether everybody can read it, and that it
//! asks nobody but its own agent.
//!
//! | file | the one idea |
//! |---|---|
//! | `mod.rs` | the browser on the client's host, a page of each agent, the switches |
//! | `readable.rs` | what a person with a telephone, in the dark, or with a screen reader is given |
//! | `readers.rs` | VIPs for readers: who has each, and why |
//! | `requests.rs` | what the page asked for, by the browser's own log |

mod readable;
mod readers;
mod requests;

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use std::{fs, io};

use serde_json::Value;

use crate::agents::{AgentError, LAB, write};
use crate::browser::{Browser, BrowserError, Page, Told};
use crate::experiment::{Experiment, ExperimentError};
use crate::fault::Fault;
use crate::measure::{Reading, median, worst};
use crate::namespace::Layout;
use crate::record::{Recording, What, now_us};
use crate::segment::{databases, vip};

/// The new holder is shown within this after its kernel has the VIP; microseconds.
const SHOWN_WITHIN_US: i64 = 500_000;
/// Where the agents answer.
pub(crate) const PORT: u16 = 9640;
/// Keys of every agent: the page is for other hosts too, with a token.
pub(crate) const SERVED: &str = "listen = \"0.0.0.0:9640\"
listen_beyond_this_host = true
listen_token_file = \"/etc/haipmgr/lab.token\"
";
/// What it holds.
pub(crate) const TOKEN: &str = "a-token-of-the-lab-0123456789abcdef";
/// Who looks at the page types this before its address; any name will do.
const AS_TYPED: &str = "dba:a-token-of-the-lab-0123456789abcdef";
const TOKEN_FILE: &str = "/etc/haipmgr/lab.token";
/// A switch is in the history by then.
const WRITTEN_WITHIN: Duration = Duration::from_secs(10);
const LOOK_EVERY: Duration = Duration::from_millis(20);
const HISTORY: &str = "/var/lib/haipmgr/history_3306.jsonl";
/// Every page says why the VIP is where it is, from the word of the holder's own server.
const REASON: &str = "document.querySelector('.vip .why').textContent.startsWith('Its server is the primary and takes writes, by its own word')";
/// Told by the page when what it shows of the holders has changed and been painted.
const SEEN: &str = "labSees";
const WATCH: &str = r#"(() => {
  let last = "";
  const holders = () => [...document.querySelectorAll("[data-holder]")].map(one => one.dataset.holder + " " + one.textContent).join("; ");
  const look = () => requestAnimationFrame(() => setTimeout(() => {
    const now = holders();
    if (now !== last) { last = now; labSees(now); }
  }));
  new MutationObserver(look).observe(document, { subtree: true, childList: true, characterData: true });
})();"#;

/// Why the page is not as it should be, or could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    /// The browser.
    #[error(transparent)]
    Browser(#[from] BrowserError),
    /// The lab.
    #[error(transparent)]
    Experiment(#[from] ExperimentError),
    /// An agent.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// Something is not as promised.
    #[error("{0}")]
    NotAsPromised(String),
    /// A file can't be read or written.
    #[error("{}: {cause}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        cause: io::Error,
    },
}

fn promise(kept: bool, what: impl FnOnce() -> String) -> Result<(), PageError> {
    if kept { Ok(()) } else { Err(PageError::NotAsPromised(what())) }
}

/// The browser with a page of each agent, in the order of the hosts.
struct Shown {
    browser: Browser,
    pages: Vec<Page>,
    /// What the browser has told of each.
    told: Vec<Vec<Told>>,
    /// Whose host holds the VIP since the last switch.
    holder: usize,
}

/// Brings the lab up, looks at the page through so many switchovers and as many times kill -9, and gives the figures in words. Pictures are
/// left in `out`.
///
/// # Errors
/// The page is not as promised; or the lab or the browser failed.
pub fn prove(layout: &Layout, times: u32, out: &Path) -> Result<String, PageError> {
    let mut experiment = Experiment::start(layout, false)?;
    give_token(&experiment)?;
    experiment.configure_agents_under(SERVED, LAB)?;
    let mut shown = Shown::open(layout, &experiment)?;
    let (mut planned, mut killed) = (Vec::new(), Vec::new());
    for _ in 0..times {
        planned.extend(shown.through(&mut experiment, Fault::Switchover)?);
        killed.extend(shown.through(&mut experiment, Fault::Kill9)?);
    }
    let mut lines = vec![
        figures("switchover", times, &planned, shown.pages.len()),
        figures("kill -9", times, &killed, shown.pages.len()),
    ];
    println!("{}", lines.join("\n"));
    let all = planned.into_iter().chain(killed);
    promise(all.max().is_some_and(|latest| latest <= Reading::After(SHOWN_WITHIN_US)), || {
        format!("a new holder was shown later than {} ms after it held", SHOWN_WITHIN_US / 1000)
    })?;
    let Shown { browser, pages, holder, .. } = &mut shown;
    lines.push(readable::look(browser, &pages[*holder], out)?);
    keep(browser, &pages[*holder], out)?;
    lines.push(shown.when_the_agent_ends(&mut experiment)?);
    lines.push(shown.readers(&mut experiment, out)?);
    lines.push(shown.requests()?);
    experiment.finish();
    Ok(lines[2..].join("\n"))
}

/// What the page was made from, beside the pictures.
fn keep(browser: &mut Browser, page: &Page, out: &Path) -> Result<(), PageError> {
    for (name, data) in [("status.json", "shown"), ("history.json", "({ switches })")] {
        let path = out.join(name);
        let text = browser.evaluate(page, data)?.to_string();
        fs::write(&path, text).map_err(|cause| PageError::File { path, cause })?;
    }
    Ok(())
}

/// The token's file, on every host.
pub(crate) fn give_token(experiment: &Experiment) -> Result<(), AgentError> {
    experiment
        .lab
        .segment
        .databases
        .iter()
        .try_for_each(|host| write(host, TOKEN_FILE, &format!("{TOKEN}\n"), 0o600))
}

fn figures(fault: &str, times: u32, all: &[Reading], pages: usize) -> String {
    format!(
        "{fault}, {times} times, {pages} pages: the new holder is shown after its kernel has the VIP by, median {} s, worst {} s",
        median(all.iter().copied()),
        worst(all.iter().copied())
    )
}

impl Shown {
    /// As a person does who types the address with the token as the password.
    fn open(layout: &Layout, experiment: &Experiment) -> Result<Self, PageError> {
        let mut browser = Browser::start(layout, &experiment.lab.segment.client)?;
        let mut pages = Vec::new();
        for (_, address) in databases() {
            let page = browser.open(SEEN, WATCH)?;
            browser.go(&page, &format!("http://{AS_TYPED}@{address}:{PORT}/"))?;
            browser.wait(&page, "document.querySelector('[data-holder]')")?;
            pages.push(page);
        }
        let told = vec![Vec::new(); pages.len()];
        Ok(Self { browser, pages, told, holder: 0 })
    }

    /// Takes in what the browser has told.
    fn listen(&mut self) -> Result<(), BrowserError> {
        for (page, told) in self.pages.iter().zip(&mut self.told) {
            told.extend(self.browser.told(page)?);
        }
        Ok(())
    }

    /// A switch; gives for each page how long after the kernel had the VIP it showed who holds it.
    fn through(&mut self, experiment: &mut Experiment, fault: Fault) -> Result<Vec<Reading>, PageError> {
        let since = now_us();
        experiment.run(fault)?;
        let (held_us, holder) = last_holder(&experiment.recording(), since)
            .ok_or_else(|| PageError::NotAsPromised(format!("{}: the VIP came to nobody", fault.name())))?;
        self.listen()?;
        let place = databases().iter().position(|(name, _)| *name == holder).unwrap_or_default();
        let (_, address) = databases()[place];
        let mut all = Vec::new();
        for (told, (host, _)) in self.told.iter().zip(databases()) {
            let shown = told.iter().find(|told| told.at_us >= held_us && says(told, address));
            let words = || {
                let said = told.iter().filter_map(|told| told.parameters["payload"].as_str()).next_back();
                format!(
                    "{}: {host}'s page does not say that {holder} holds the VIP; it last said {said:?}",
                    fault.name()
                )
            };
            let shown = shown.ok_or_else(|| PageError::NotAsPromised(words()))?;
            all.push(Reading::between(held_us, shown.at_us));
        }
        for page in &self.pages {
            self.browser.wait(page, REASON)?;
        }
        self.holder = place;
        self.wait_for_the_timeline(experiment, place)?;
        Ok(all)
    }

    /// The new holder's own page tells of the switch, with what its time was spent on.
    fn wait_for_the_timeline(&mut self, experiment: &Experiment, place: usize) -> Result<(), PageError> {
        let history = experiment.lab.segment.databases[place].path(HISTORY);
        let since = Instant::now();
        let id = loop {
            // There is none before the first switch.
            let text = fs::read_to_string(&history).unwrap_or_default();
            let last: Value =
                serde_json::from_str(text.lines().last().unwrap_or_default()).unwrap_or_default();
            if last["kind"] == "came"
                && let Some(id) = last["id"].as_str()
            {
                break id.to_owned();
            }
            promise(since.elapsed() < WRITTEN_WITHIN, || {
                format!("{}'s history ends with {last}", experiment.name(place))
            })?;
            std::thread::sleep(LOOK_EVERY);
        };
        let newest = "document.querySelector('.timeline li')";
        let told = format!("{newest}?.textContent.includes('{id}') && {newest}.querySelector('.split')");
        Ok(self.browser.wait(&self.pages[place], &told)?)
    }

    /// An agent that has ended is seen to have: what its page shows is marked as old, and is new again when the agent is back.
    fn when_the_agent_ends(&mut self, experiment: &mut Experiment) -> Result<String, PageError> {
        let lab = &mut experiment.lab;
        lab.agents[0].stop()?;
        let since = Instant::now();
        self.browser.wait(&self.pages[0], "!document.getElementById('old').hidden")?;
        let marked = since.elapsed();
        lab.agents[0].start(&lab.segment.databases[0])?;
        let since = Instant::now();
        self.browser.wait(&self.pages[0], "document.getElementById('old').hidden")?;
        Ok(format!(
            "the agent ended: marked as old after {:.1} s; started again: live again after {:.1} s",
            marked.as_secs_f64(),
            since.elapsed().as_secs_f64()
        ))
    }

    /// Each page asked its own agent alone, and only to be told.
    fn requests(&mut self) -> Result<String, PageError> {
        self.listen()?;
        let mut asked = 0;
        for (told, (_, address)) in self.told.iter().zip(databases()) {
            asked += requests::of_its_own_agent(told, &format!("http://{address}:{PORT}/"))?;
        }
        Ok(format!("{asked} requests, each of them GET, and of the page's own agent"))
    }
}

/// The host that the VIP came to last, and when.
fn last_holder(recording: &Recording, since_us: u64) -> Option<(u64, String)> {
    let came = recording.all().iter().rev().find(|recorded| {
        recorded.at_us >= since_us
            && matches!(&recorded.what, What::AddressAdded(added) if added.address == vip())
    })?;
    Some((came.at_us, came.who.clone()))
}

/// Whether it was told that the host with this address holds the VIP, alone.
fn says(told: &Told, host: Ipv4Addr) -> bool {
    let text = told.parameters["payload"].as_str().unwrap_or_default();
    let words = text.strip_prefix(&format!("{} ", vip())).unwrap_or_default();
    told.method == "Runtime.bindingCalled" && words.contains(&host.to_string()) && !words.contains(" and ")
}
