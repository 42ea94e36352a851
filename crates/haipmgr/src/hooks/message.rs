//! What a hook is told. Pure.

use std::net::IpAddr;

use serde::Serialize;

use crate::config::Happening;
use crate::history::Record;

/// The format of what a hook reads.
const FORMAT: u32 = 1;

/// What a hook is told: one line of JSON.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Message {
    format: u32,
    /// Which hook it is.
    pub hook: Happening,
    /// When, in UTC.
    pub at: String,
    /// This host's name.
    pub host: String,
    /// The cluster's name.
    pub cluster: String,
    /// The VIP; none: it is about none, or about several.
    pub vip: Option<IpAddr>,
    /// All of it in one sentence.
    pub sentence: String,
    /// The history's line, of a VIP that came or left.
    pub switch: Option<Record>,
}

impl Message {
    /// Of a switch.
    pub fn of_switch(hook: Happening, host: &str, record: Record) -> Self {
        Self {
            format: FORMAT,
            hook,
            at: record.at.clone(),
            host: host.to_owned(),
            cluster: record.cluster.clone(),
            vip: Some(record.vip),
            sentence: record.sentence.clone(),
            switch: Some(record),
        }
    }

    /// Of anything else.
    pub fn of_words(hook: Happening, host: &str, cluster: &str, at: String, sentence: String) -> Self {
        let (host, cluster) = (host.to_owned(), cluster.to_owned());
        Self { format: FORMAT, hook, at, host, cluster, vip: None, sentence, switch: None }
    }

    /// The line.
    ///
    /// # Errors
    /// None is known: there is nothing in it that JSON can't hold.
    pub(super) fn line(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self).map(|line| line + "\n")
    }

    /// The same for a program's environment.
    pub(super) fn environment(&self) -> Vec<(&'static str, String)> {
        let mut words = vec![
            ("HAIPMGR_HOOK", self.hook.key().to_owned()),
            ("HAIPMGR_AT", self.at.clone()),
            ("HAIPMGR_HOST", self.host.clone()),
            ("HAIPMGR_CLUSTER", self.cluster.clone()),
            ("HAIPMGR_SENTENCE", self.sentence.clone()),
        ];
        words.extend(self.vip.map(|vip| ("HAIPMGR_VIP", vip.to_string())));
        if let Some(switch) = &self.switch {
            words.push(("HAIPMGR_ID", switch.id.clone()));
            words.push(("HAIPMGR_CODE", switch.code.clone()));
            words.extend(switch.from.as_ref().map(|from| ("HAIPMGR_FROM", from.to_string())));
            words.extend(switch.to.as_ref().map(|to| ("HAIPMGR_TO", to.to_string())));
        }
        words
    }
}
