//! What `haipmgr status` showed, held against what the witnesses saw at the moment that it speaks of. Pure.
//!
//! Each fact bears an age: it is to have been so at some moment between so long before it was printed and then. What the lab's eyes did
//! not see contradicts nothing, and is counted.

use std::net::IpAddr;

use serde_json::Value;

use super::witnessed::{Stands, Timeline, Witnessed, Word, has};

/// From this age on a fact is shown with it, and no longer as current, in ms.
const OLD_MS: u64 = 1_000;
/// A witness asks this often, and `status` prints whole milliseconds: so much older may a fact be than its age, in µs.
const BEFORE_US: u64 = 25_000;
/// A witness may tell of a change so much later than `status`, in µs: nobody foresees one.
const AFTER_US: u64 = 500_000;
/// When, counted back from its end, a look at the segment listens for certain, in µs: the process has started, and has not yet read on.
const LISTENS_US: (u64, u64) = (110_000, 30_000);
/// A file that is older than this tells what the agent's mode is, in ms: it reads and writes it when it is told.
const SETTLED_MS: u64 = 1_000;

/// One answer of `haipmgr status --format json`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Look {
    /// On which host.
    pub(super) on: usize,
    /// When the command was typed, when it printed, and when it had ended: µs of the recording's clock.
    pub(super) begun_us: u64,
    pub(super) printed_us: u64,
    pub(super) ended_us: u64,
    /// The document's first cluster.
    pub(super) cluster: Value,
    /// Whether this host is drained and paused, by the files that say so: both before and after it was asked.
    pub(super) drained: Kept,
    pub(super) paused: Kept,
}

/// Whether something is so by a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    /// It is, and has been for longer than [`SETTLED_MS`].
    Yes,
    /// It is not, and was not before.
    No,
    /// It is changing.
    Unsettled,
}

impl Kept {
    /// By how old the file was before and after, in ms; none: it was not there.
    pub(super) fn of(before_ms: Option<u64>, after_ms: Option<u64>) -> Self {
        match (before_ms, after_ms) {
            (Some(before), Some(after)) if before > SETTLED_MS && after >= before => Self::Yes,
            (None, None) => Self::No,
            _ => Self::Unsettled,
        }
    }
}

/// How many facts were shown, and how they stand.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Compared {
    /// Held against what was witnessed, and so.
    pub(super) agreed: usize,
    /// … of which were shown as old.
    pub(super) old: usize,
    /// Shown as not known.
    pub(super) unknown: usize,
    /// The lab's own eyes saw nothing of it at that time.
    pub(super) not_witnessed: usize,
    /// Shown as held by nobody, for no answer came, while a host bore the VIP that this one did not hear.
    pub(super) unheard: usize,
    /// Not so at any moment of that time: both sides.
    pub(super) contradictions: Vec<String>,
}

impl Compared {
    pub(super) fn add(&mut self, other: Self) {
        self.agreed += other.agreed;
        self.old += other.old;
        self.unknown += other.unknown;
        self.not_witnessed += other.not_witnessed;
        self.unheard += other.unheard;
        self.contradictions.extend(other.contradictions);
    }
}

/// One look, held against what was witnessed.
pub(super) fn compare(look: &Look, witnessed: &Witnessed) -> Compared {
    let mut compared = Compared::default();
    let whose = &witnessed.hosts[look.on];
    if whose.power.stands(look.begun_us, look.ended_us, |on| !on) == Stands::Agrees {
        return compared;
    }
    let mut comparison = Comparison { look, witnessed, compared: &mut compared };
    for vip in list(&look.cluster["vips"]) {
        comparison.vip(vip);
    }
    for member in list(&look.cluster["members"]) {
        comparison.member(member);
    }
    if look.cluster["status"].is_object() {
        comparison.agent(&look.cluster["status"]);
    } else {
        comparison.compared.unknown += 1;
    }
    compared
}

struct Comparison<'c> {
    look: &'c Look,
    witnessed: &'c Witnessed,
    compared: &'c mut Compared,
}

impl Comparison<'_> {
    fn vip(&mut self, vip: &Value) {
        let Ok(address) = text(&vip["address"]).parse::<IpAddr>() else { return };
        let Some(holders) = vip["holders"].as_array() else {
            self.compared.unknown += 1;
            return;
        };
        if holders.is_empty() {
            self.nobody(address);
        }
        for holder in holders {
            self.holder(address, holder);
        }
    }

    /// No host answered. That is wrong where this host has it, or where an answer came.
    fn nobody(&mut self, vip: IpAddr) {
        let (from, to) = (self.look.begun_us, self.look.printed_us);
        let bears =
            |place: usize| self.witnessed.hosts[place].addresses.throughout(from, to, |all| has(all, vip));
        let bearer = (0..self.witnessed.hosts.len()).find(|place| bears(*place));
        let Some(bearer) = bearer else {
            self.compared.agreed += 1;
            return;
        };
        let listens = to.saturating_sub(LISTENS_US.0)..to.saturating_sub(LISTENS_US.1);
        let heard = self.witnessed.hosts[self.look.on].heard.iter();
        let answer = heard.filter(|(_, _, about, answer)| *about == vip && *answer);
        let answered = answer.map(|(at, from, ..)| (*at, from.clone())).find(|(at, _)| listens.contains(at));
        let bearer_name = &self.witnessed.hosts[bearer].name;
        match answered {
            _ if bearer == self.look.on => {
                let seen = format!("{bearer_name} had it all the while");
                self.contradict(&format!("{vip} is nobody's"), &seen);
            }
            Some((at, mac)) => {
                let seen =
                    format!("{bearer_name} had it all the while, and {mac} answered at {}", seconds(at));
                self.contradict(&format!("{vip} is nobody's"), &seen);
            }
            None => self.compared.unheard += 1,
        }
    }

    fn holder(&mut self, vip: IpAddr, holder: &Value) {
        let age = holder["age_ms"].as_u64();
        let Some(member) = holder["member"].as_str() else {
            let mac = text(&holder["mac"]);
            let (from, to) = self.window(age);
            let heard = &self.witnessed.hosts[self.look.on].heard;
            let is_it = |(at, from_mac, about, _): &(u64, String, IpAddr, bool)| {
                *about == vip && from_mac.eq_ignore_ascii_case(mac) && (from..=to).contains(at)
            };
            let stands = if heard.iter().any(is_it) { Stands::Agrees } else { Stands::Contradicted };
            self.judge(stands, age, || (format!("{mac} answers for {vip}"), format!("{heard:?}")));
            return;
        };
        let Some(place) = self.witnessed.place_at(member) else { return };
        let addresses = &self.witnessed.hosts[place].addresses;
        let (from, to) = self.window(age);
        let stands = addresses.stands(from, to, |all| has(all, vip));
        self.judge(stands, age, || (format!("{member} has {vip}"), seen(addresses, from, to)));
    }

    fn member(&mut self, member: &Value) {
        let Some(place) = self.witnessed.place_at(text(&member["address"])) else { return };
        let (Some(state), Some(age)) = (member["state"].as_str(), member["age_ms"].as_u64()) else {
            self.compared.unknown += 1;
            return;
        };
        let role = text(&member["role"]);
        if member["said_by"] == "itself" {
            self.own_word(place, member, state, role, age);
            return;
        }
        let by = match member["said_by"]["member"].as_str() {
            Some(by) => self.witnessed.place_at(by),
            None => Some(self.look.on),
        };
        if let Some(by) = by {
            self.in_group(by, text(&member["id"]), state, role, age);
        }
    }

    fn own_word(&mut self, place: usize, member: &Value, state: &str, role: &str, age: u64) {
        let (from, to) = self.window(Some(age));
        let host = &self.witnessed.hosts[place];
        let says = |is_so: &dyn Fn(&crate::record::Role) -> bool| {
            host.word.stands(from, to, |word| matches!(word, Word::Says(said) if is_so(said)))
        };
        let (in_state, in_role) =
            (says(&|said| said.state == state), says(&|said| role_of(&said.state, &said.role) == role));
        // `read_only` alone makes a server refuse too, and the witness does not ask for it.
        let writable = member["writable"] == true;
        let takes_writes = writable.then(|| says(&|said| !said.super_read_only));
        for (stands, what) in [(in_state, state), (in_role, role)]
            .into_iter()
            .chain(takes_writes.map(|stands| (stands, "writable")))
        {
            let words = || (format!("{} is {what} by its own word", host.name), seen(&host.word, from, to));
            self.judge(stands, Some(age), words);
        }
    }

    /// A member in the table of the server at `by`.
    fn in_group(&mut self, by: usize, id: &str, state: &str, role: &str, age: u64) {
        let (from, to) = self.window(Some(age));
        let host = &self.witnessed.hosts[by];
        let stands = host.group.stands(from, to, |group| {
            let row = group.members.iter().find(|row| row.id == id);
            row.is_some_and(|row| row.state == state && role_of(&row.state, &row.role) == role)
        });
        let whom = self.witnessed.place_of(id).map_or(id, |place| self.witnessed.hosts[place].name.as_str());
        self.judge(stands, Some(age), || {
            (format!("{whom} is {state} and {role} in {}'s table", host.name), seen(&host.group, from, to))
        });
    }

    /// The agent's own word.
    fn agent(&mut self, status: &Value) {
        let host = &self.witnessed.hosts[self.look.on];
        for stage in list(&status["stages"]).filter(|stage| stage["stage"] == "primary") {
            let age = stage["age_ms"].as_u64();
            let (from, to) = self.window(age);
            let is_so: &dyn Fn(&Word) -> bool = match text(&stage["found"]) {
                "passed" => &|word| matches!(word, Word::Says(said) if said.is_writable_primary()),
                "secondary" => &|word| matches!(word, Word::Says(said) if said.role == "SECONDARY"),
                "failed" => continue,
                _ => {
                    self.compared.unknown += 1;
                    continue;
                }
            };
            let stands = host.word.stands(from, to, is_so);
            self.judge(stands, age, || (format!("stage 3: {}", stage["words"]), seen(&host.word, from, to)));
        }
        if let Some(age) = status["group"]["age_ms"].as_u64() {
            for member in list(&status["group"]["members"]) {
                let (state, role) =
                    (text(&member["state"]).to_uppercase(), text(&member["role"]).to_uppercase());
                let role = role_of(&state, &role);
                self.in_group(self.look.on, text(&member["id"]), &state, role, age);
            }
        }
        for vip in list(&status["vips"]) {
            self.has(vip);
        }
        self.mode(text(&status["mode"]));
    }

    /// What the agent has to do with a VIP: of the time in which it was asked.
    fn has(&mut self, vip: &Value) {
        let Ok(address) = text(&vip["address"]).parse::<IpAddr>() else { return };
        let is_here = match text(&vip["state"]) {
            "holding" => true,
            "absent" => false,
            _ => return,
        };
        let addresses = &self.witnessed.hosts[self.look.on].addresses;
        let (from, to) = (self.look.begun_us.saturating_sub(BEFORE_US), self.look.ended_us + AFTER_US);
        let stands = addresses.stands(from, to, |all| has(all, address) == is_here);
        self.judge(stands, Some(0), || {
            (format!("{address} is {} here by the agent's word", vip["state"]), seen(addresses, from, to))
        });
    }

    fn mode(&mut self, mode: &str) {
        let (drained, paused) = (self.look.drained, self.look.paused);
        let wrong = match mode {
            "running" => drained == Kept::Yes || paused == Kept::Yes,
            "paused" => drained == Kept::Yes || paused == Kept::No,
            "drained" => drained == Kept::No,
            // On its way out, whatever it was told before.
            "ending" => false,
            _ => true,
        };
        let stands = if wrong { Stands::Contradicted } else { Stands::Agrees };
        self.judge(stands, Some(0), || {
            (format!("the mode is {mode}"), format!("by its files, drained {drained:?}, paused {paused:?}"))
        });
    }

    fn window(&self, age_ms: Option<u64>) -> (u64, u64) {
        let age = age_ms.unwrap_or(0).saturating_mul(1_000);
        (self.look.printed_us.saturating_sub(age + BEFORE_US), self.look.printed_us + AFTER_US)
    }

    fn judge(&mut self, stands: Stands, age_ms: Option<u64>, words: impl FnOnce() -> (String, String)) {
        match stands {
            Stands::Agrees => {
                self.compared.agreed += 1;
                self.compared.old += usize::from(age_ms.is_some_and(|age| age >= OLD_MS));
            }
            Stands::NotWitnessed => self.compared.not_witnessed += 1,
            Stands::Contradicted => {
                let (shown, seen) = words();
                let age = age_ms.map_or_else(String::new, |age| format!(", {age} ms old"));
                self.contradict(&format!("{shown}{age}"), &seen);
            }
        }
    }

    fn contradict(&mut self, shown: &str, seen: &str) {
        let Look { on, begun_us, printed_us, .. } = self.look;
        self.compared.contradictions.push(format!(
            "status on {}, typed at {}, printed at {}: {shown}; the witnesses: {seen}",
            self.witnessed.hosts[*on].name,
            seconds(*begun_us),
            seconds(*printed_us)
        ));
    }
}

/// As `status` has it.
fn role_of<'r>(state: &str, role: &str) -> &'r str {
    match (state, role) {
        ("OFFLINE" | "ERROR", _) => "none",
        (_, "PRIMARY") => "primary",
        _ => "secondary",
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn seconds(us: u64) -> String {
    format!("{}.{:06} s", us / 1_000_000, us % 1_000_000)
}

fn seen<T: Clone + PartialEq + std::fmt::Debug>(timeline: &Timeline<T>, from: u64, to: u64) -> String {
    let each = timeline.within(from, to).map(|(at, value)| format!("from {} {value:?}", seconds(*at)));
    each.collect::<Vec<_>>().join(", then ")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::record::{Address, ArpKind, GroupShown, MemberShown, Recorded, Role, What};

    const VIP: [u8; 4] = [10, 77, 0, 100];
    const MS: u64 = 1_000;
    /// db1 led until then, and db2 from then on.
    const MOVED: u64 = 10_000 * MS;

    fn told(at_us: u64, who: &str, what: What) -> Recorded {
        Recorded { at_us, who: who.to_owned(), what }
    }

    fn role(primary: bool) -> What {
        What::Role(Role {
            state: "ONLINE".into(),
            role: if primary { "PRIMARY" } else { "SECONDARY" }.into(),
            super_read_only: !primary,
            view: None,
            members: 2,
            unreachable: 0,
            primaries: 1,
        })
    }

    fn group(own: &str, primary: &str) -> What {
        let row = |id: &str| MemberShown {
            id: id.into(),
            state: "ONLINE".into(),
            role: if id == primary { "PRIMARY" } else { "SECONDARY" }.into(),
        };
        What::Group(GroupShown { own: own.into(), members: ["u1", "u2"].map(row).to_vec() })
    }

    /// db1 had the VIP and led, and db2 does now; `more` is told beside that.
    fn witnessed(more: Vec<Recorded>) -> Witnessed {
        let vip = || Address { address: VIP.into(), prefix: 32, interface: "eth0".into() };
        let mut all = vec![
            told(0, "db1", What::Addresses(vec![vip()])),
            told(0, "db2", What::Addresses(Vec::new())),
            told(0, "db1", role(true)),
            told(0, "db2", role(false)),
            told(0, "db1", group("u1", "u1")),
            told(0, "db2", group("u2", "u1")),
            told(MOVED, "db1", role(false)),
            told(MOVED, "db2", role(true)),
            told(MOVED, "db1", group("u1", "u2")),
            told(MOVED, "db2", group("u2", "u2")),
            told(MOVED + 20 * MS, "db1", What::AddressRemoved(vip())),
            told(MOVED + 20 * MS, "db2", What::AddressAdded(vip())),
        ];
        all.extend(more);
        let hosts = [("db1", "10.77.0.11"), ("db2", "10.77.0.12")];
        Witnessed::of(hosts.map(|(name, address)| (name.to_owned(), address.to_owned())), &all)
    }

    fn look(on: usize, printed_us: u64, cluster: Value) -> Look {
        let (drained, paused) = (Kept::No, Kept::No);
        Look {
            on,
            begun_us: printed_us - 200 * MS,
            printed_us,
            ended_us: printed_us + MS,
            cluster,
            drained,
            paused,
        }
    }

    fn document(primary: &str, holder: &str, age_ms: u64) -> Value {
        let member = |address: &str, id: &str| {
            let leads = address == primary;
            let role = if leads { "primary" } else { "secondary" };
            json!({ "address": address, "id": id, "state": "ONLINE", "role": role, "writable": leads, "said_by": "itself", "age_ms": age_ms })
        };
        json!({
            "vips": [{ "address": "10.77.0.100", "holders": [{ "member": holder, "age_ms": age_ms }] }],
            "members": [member("10.77.0.11", "u1"), member("10.77.0.12", "u2")],
            "status": null,
        })
    }

    fn contradictions(look: &Look, more: Vec<Recorded>) -> Vec<String> {
        compare(look, &witnessed(more)).contradictions
    }

    #[test]
    fn what_was_so_within_its_age_agrees_and_what_was_over_before_is_contradicted() {
        let later = MOVED + 3_000 * MS;
        let new = look(0, later, document("10.77.0.12", "10.77.0.12", 150));
        let compared = compare(&new, &witnessed(vec![]));
        assert_eq!((compared.contradictions, compared.agreed), (vec![], 6));
        let old = |age_ms| look(0, later, document("10.77.0.11", "10.77.0.11", age_ms));
        assert_eq!(contradictions(&old(3_100), vec![]), [""; 0]);
        assert_eq!(compare(&old(3_100), &witnessed(vec![])).old, 6);
        let found = contradictions(&old(2_000), vec![]);
        assert_eq!(found.len(), 4, "{found:#?}");
        assert!(found[0].contains("10.77.0.11 has 10.77.0.100, 2000 ms old"), "{found:#?}");
    }

    #[test]
    fn nobody_is_wrong_where_an_answer_came_and_is_counted_where_none_did() {
        let later = MOVED + 3_000 * MS;
        let mut nobody = document("10.77.0.12", "10.77.0.12", 150);
        nobody["vips"][0]["holders"] = json!([]);
        let from_db1 = look(0, later, nobody.clone());
        assert_eq!(compare(&from_db1, &witnessed(vec![])).unheard, 1);
        let answer = What::Arp { from: "02:00:00:00:00:02".into(), kind: ArpKind::Reply, about: VIP.into() };
        let found = contradictions(&from_db1, vec![told(later - 70 * MS, "db1", answer)]);
        assert!(found.len() == 1 && found[0].contains("02:00:00:00:00:02 answered"), "{found:?}");
        let found = contradictions(&look(1, later, nobody), vec![]);
        assert!(found.len() == 1 && found[0].contains("db2 had it all the while"), "{found:?}");
    }

    #[test]
    fn the_agents_own_word_and_anothers_table_are_held_against_what_was_seen_there() {
        let later = MOVED + 3_000 * MS;
        let with = |stage: &str, state: &str, role: &str, mode: &str| {
            let mut all = json!({ "vips": [], "members": [] });
            all["status"] = json!({
                "mode": mode,
                "stages": [{ "stage": "primary", "found": stage, "words": "", "age_ms": 90 }],
                "vips": [{ "address": "10.77.0.100", "state": state }],
                "group": { "age_ms": 90, "members": [{ "id": "u2", "state": "ONLINE", "role": role }] },
            });
            contradictions(&look(1, later, all), vec![]).len()
        };
        assert_eq!(with("passed", "holding", "PRIMARY", "running"), 0);
        assert_eq!(with("secondary", "holding", "PRIMARY", "running"), 1);
        assert_eq!(with("passed", "absent", "PRIMARY", "running"), 1);
        assert_eq!(with("passed", "holding", "SECONDARY", "running"), 1);
        assert_eq!(with("passed", "holding", "PRIMARY", "drained"), 1, "no file says so");
    }

    #[test]
    fn a_mode_is_settled_when_its_file_has_stood_for_a_second() {
        assert_eq!(Kept::of(Some(1_500), Some(1_900)), Kept::Yes);
        assert_eq!(Kept::of(None, None), Kept::No);
        for (before, after) in
            [(Some(300), Some(700)), (None, Some(100)), (Some(1_500), None), (Some(1_500), Some(20))]
        {
            assert_eq!(Kept::of(before, after), Kept::Unsettled);
        }
    }

    #[test]
    fn a_host_without_power_shows_nothing_that_counts() {
        let later = MOVED + 3_000 * MS;
        let down = vec![told(later - 100 * MS, "db1", What::HostDown)];
        let wrong = look(0, later, document("10.77.0.11", "10.77.0.11", 10));
        assert_eq!(compare(&wrong, &witnessed(down)), Compared::default());
    }
}
