//! What a hook is told. Pure.

use std::net::IpAddr;

use decide::policy::VipRole;
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
            words.extend(switch.role.map(|role| ("HAIPMGR_ROLE", word_of(role))));
            words.extend(switch.from.as_ref().map(|from| ("HAIPMGR_FROM", from.to_string())));
            words.extend(switch.to.as_ref().map(|to| ("HAIPMGR_TO", to.to_string())));
        }
        words
    }
}

/// As in the file of the configuration.
fn word_of(role: VipRole) -> String {
    match role {
        VipRole::Writer => "writer",
        VipRole::Reader => "reader",
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;
    use crate::schema::{Schema, Words, documented, never_printed, printed};

    #[test]
    fn what_a_hook_is_told_is_as_the_schema_says_and_the_manual_has_its_keys() {
        let switches = Schema::read(include_str!("../../../../docs/history.schema.json"));
        let whole = Schema::read(include_str!("../../../../docs/hook.schema.json"));
        let whole = whole.beside("history.schema.json", &switches);
        let record = json!({
            "format": 1, "id": "3306-20261129T013012.345Z", "kind": "left", "code": "SWITCHOVER", "at": "2026-11-29T02:30:00.123+00:00",
            "cluster": "orders", "vip": "10.77.0.100", "role": "reader", "from": { "name": "db1", "address": null }, "to": null,
            "by": { "how": "ordered", "who": null, "reason": null }, "sentence": "it moved", "outage": null, "seen": [], "trace_us": 1,
        });
        let record: Record = serde_json::from_value(record).unwrap();
        let mut words = Words::new();
        let of_a_reader = Message::of_switch(Happening::OnAcquire, "db1", record.clone());
        assert!(of_a_reader.environment().contains(&("HAIPMGR_ROLE", "reader".to_owned())));
        for hook in [Happening::OnAcquire, Happening::OnRelease, Happening::OnConflict, Happening::OnTrouble]
        {
            let at = "2026-11-29T02:30:00.123Z".to_owned();
            let of_words = Message::of_words(hook, "db1", "orders", at, "another has it".to_owned());
            for message in [Message::of_switch(hook, "db1", record.clone()), of_words] {
                let told = serde_json::from_str(&message.line().unwrap()).unwrap();
                assert_eq!(whole.against(&told), Vec::<String>::new(), "{told}");
                printed(&told, "", &mut words);
            }
        }
        // The history's own test has the switch.
        let own = |key: &String| !key.starts_with("switch.");
        assert_eq!(never_printed(&whole, &words).into_iter().filter(own).collect::<Vec<_>>(), [""; 0]);
        let page = include_str!("../../../../docs/hooks.md");
        let keys = documented(page, "## What it is told", "", "").into_iter().collect::<Vec<_>>();
        assert_eq!(keys, whole.keys().into_keys().filter(own).collect::<Vec<_>>());
    }
}
