//! What the witnesses told of each host, as values with the time from which they held. Pure.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::record::{Address, ArpKind, GroupShown, Recorded, Role, What};

/// Values of one thing, each from its time (microseconds) until the next. None: not known from then on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Timeline<T>(Vec<(u64, Option<T>)>);

impl<T> Default for Timeline<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

/// How a statement stands against what was witnessed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stands {
    /// It was so at some moment of that time.
    Agrees,
    /// It was so at none.
    Contradicted,
    /// It was not so at any moment that was witnessed, and some were not.
    NotWitnessed,
}

impl<T: Clone + PartialEq> Timeline<T> {
    fn tell(&mut self, at_us: u64, value: Option<T>) {
        if self.0.last().map(|(_, last)| last) != Some(&value) {
            self.0.push((at_us, value));
        }
    }

    fn last(&self) -> Option<&T> {
        self.0.last()?.1.as_ref()
    }

    /// The values that held at some moment from `from` to `to`, each with the time from which it did.
    pub(super) fn within(&self, from: u64, to: u64) -> impl Iterator<Item = &(u64, Option<T>)> {
        let first = self.0.iter().rposition(|(at, _)| *at <= from).unwrap_or(0);
        self.0.iter().skip(first).take_while(move |(at, _)| *at <= to)
    }

    /// Whether this was so at some moment of that time.
    pub(super) fn stands(&self, from: u64, to: u64, is_so: impl Fn(&T) -> bool) -> Stands {
        // Before the first word nothing is known.
        let mut unknown = self.0.first().is_none_or(|(at, _)| *at > from);
        for (_, value) in self.within(from, to) {
            match value {
                Some(value) if is_so(value) => return Stands::Agrees,
                Some(_) => {}
                None => unknown = true,
            }
        }
        if unknown { Stands::NotWitnessed } else { Stands::Contradicted }
    }

    /// Whether this was known to be so all that time.
    pub(super) fn throughout(&self, from: u64, to: u64, is_so: impl Fn(&T) -> bool) -> bool {
        self.0.first().is_some_and(|(at, _)| *at <= from)
            && self.within(from, to).all(|(_, value)| value.as_ref().is_some_and(&is_so))
    }
}

/// A server's word of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Word {
    Says(Role),
    /// It could not be asked.
    Silent,
}

/// One database host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Host {
    pub(super) name: String,
    /// Its address, as in the agents' `members`.
    pub(super) address: String,
    /// The same one may be there twice, with two prefixes.
    pub(super) addresses: Timeline<BTreeSet<Address>>,
    pub(super) word: Timeline<Word>,
    pub(super) group: Timeline<GroupShown>,
    pub(super) power: Timeline<bool>,
    /// Its server's UUID.
    pub(super) id: Option<String>,
    /// ARP and neighbor discovery frames about a VIP that reached it: when, from which hardware address, whether it is an answer.
    pub(super) heard: Vec<(u64, String, IpAddr, bool)>,
}

/// All of them, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Witnessed {
    pub(super) hosts: Vec<Host>,
}

impl Witnessed {
    /// By what was told, in the order of time. `hosts`: each one's name and address.
    pub(super) fn of<'r>(
        hosts: impl IntoIterator<Item = (String, String)>,
        told: impl IntoIterator<Item = &'r Recorded>,
    ) -> Self {
        let host = |(name, address)| Host { name, address, ..Host::default() };
        let mut all = Self { hosts: hosts.into_iter().map(host).collect() };
        for recorded in told {
            if let Some(host) = all.hosts.iter_mut().find(|host| host.name == recorded.who) {
                host.hear(recorded.at_us, &recorded.what);
            }
        }
        all
    }

    /// The host whose server has this UUID.
    pub(super) fn place_of(&self, id: &str) -> Option<usize> {
        self.hosts.iter().position(|host| host.id.as_deref() == Some(id))
    }

    /// The host with this address.
    pub(super) fn place_at(&self, address: &str) -> Option<usize> {
        self.hosts.iter().position(|host| host.address == address)
    }
}

/// Whether this address is among them.
pub(super) fn has(all: &BTreeSet<Address>, address: IpAddr) -> bool {
    all.iter().any(|one| one.address == address)
}

impl Host {
    fn hear(&mut self, at: u64, what: &What) {
        match what {
            What::Addresses(all) => {
                self.addresses.tell(at, Some(all.iter().cloned().collect()));
            }
            What::AddressAdded(added) => self.change_addresses(at, |all| _ = all.insert(added.clone())),
            What::AddressRemoved(gone) => self.change_addresses(at, |all| _ = all.remove(gone)),
            What::Role(role) => self.word.tell(at, Some(Word::Says(role.clone()))),
            What::NoRole { asked_us, .. } => {
                // One that hangs may have answered others.
                let (from, word) = asked_us.map_or((at, Some(Word::Silent)), |asked| (asked, None));
                self.word.tell(from, word);
                self.group.tell(from, None);
            }
            What::Group(group) => {
                self.id = Some(group.own.clone());
                self.group.tell(at, Some(group.clone()));
            }
            What::HostDown => {
                self.power.tell(at, Some(false));
                // What its witnesses say from now on is of a host that nobody can see.
                (self.addresses, self.word, self.group) =
                    (self.addresses.ended(at), self.word.ended(at), self.group.ended(at));
            }
            What::HostUp => self.power.tell(at, Some(true)),
            What::Arp { from, kind, about } => {
                self.heard.push((at, from.clone(), *about, *kind == ArpKind::Reply));
            }
            _ => {}
        }
    }

    fn change_addresses(&mut self, at: u64, change: impl FnOnce(&mut BTreeSet<Address>)) {
        let mut all = self.addresses.last().cloned().unwrap_or_default();
        change(&mut all);
        self.addresses.tell(at, Some(all));
    }
}

impl<T: Clone + PartialEq> Timeline<T> {
    fn ended(&self, at: u64) -> Self {
        let mut ended = self.clone();
        ended.tell(at, None);
        ended
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[(u64, Option<u8>)]) -> Timeline<u8> {
        Timeline(values.to_vec())
    }

    #[test]
    fn what_held_at_some_moment_agrees_and_what_held_at_none_is_contradicted() {
        let timeline = of(&[(10, Some(1)), (20, Some(2)), (30, Some(3))]);
        let stands = |from, to, value| timeline.stands(from, to, |held| *held == value);
        assert_eq!(stands(15, 16, 1), Stands::Agrees);
        assert_eq!(stands(15, 25, 2), Stands::Agrees);
        assert_eq!(stands(20, 29, 1), Stands::Contradicted);
        assert_eq!(stands(35, 99, 2), Stands::Contradicted);
        assert_eq!(stands(5, 15, 2), Stands::NotWitnessed, "before the first word nothing is known");
        assert!(timeline.throughout(21, 29, |held| *held == 2));
        assert!(!timeline.throughout(5, 15, |held| *held == 1));
    }

    #[test]
    fn a_server_that_did_not_answer_in_time_is_not_witnessed_from_the_question_on() {
        let secondary = Role {
            state: "ONLINE".to_owned(),
            role: "SECONDARY".to_owned(),
            super_read_only: true,
            view: None,
            members: 3,
            unreachable: 0,
            primaries: 1,
        };
        let mut host = Host::default();
        host.hear(10, &What::Role(secondary));
        host.hear(2_000, &What::NoRole { why: "no answer in time".to_owned(), asked_us: Some(1_000) });
        let leads = |word: &Word| matches!(word, Word::Says(role) if role.role == "PRIMARY");
        assert_eq!(host.word.stands(500, 900, leads), Stands::Contradicted);
        assert_eq!(host.word.stands(1_500, 1_600, leads), Stands::NotWitnessed);
        assert_eq!(host.word.stands(2_500, 2_600, leads), Stands::NotWitnessed);
        host.hear(3_000, &What::NoRole { why: "refused".to_owned(), asked_us: None });
        assert_eq!(host.word.stands(3_500, 3_600, leads), Stands::Contradicted);
    }

    #[test]
    fn what_was_not_witnessed_contradicts_nothing() {
        let timeline = of(&[(10, Some(1)), (20, None), (30, Some(3))]);
        assert_eq!(timeline.stands(22, 35, |held| *held == 2), Stands::NotWitnessed);
        assert_eq!(timeline.stands(30, 35, |held| *held == 2), Stands::Contradicted);
        assert!(!timeline.throughout(15, 35, |_| true));
    }

    #[test]
    fn an_address_that_is_there_with_two_prefixes_is_there_until_both_are_gone() {
        let vip: IpAddr = [10, 77, 0, 100].into();
        let with = |prefix| Address { address: vip, prefix, interface: "eth0".into() };
        let told = |at_us, what| Recorded { at_us, who: "db1".into(), what };
        let all = [
            told(10, What::Addresses(vec![with(32), with(24)])),
            told(20, What::AddressRemoved(with(24))),
            told(30, What::AddressRemoved(with(32))),
        ];
        let witnessed = Witnessed::of([("db1".to_owned(), "10.77.0.11".to_owned())], &all);
        let here = |from, to| witnessed.hosts[0].addresses.stands(from, to, |all| has(all, vip));
        assert_eq!((here(25, 26), here(35, 36)), (Stands::Agrees, Stands::Contradicted));
    }

    #[test]
    fn a_host_without_power_is_not_witnessed_until_its_witnesses_speak_again() {
        let vip: IpAddr = [10, 77, 0, 100].into();
        let address = crate::record::Address { address: vip, prefix: 32, interface: "eth0".into() };
        let told = |at_us, what| Recorded { at_us, who: "db1".into(), what };
        let all = [
            told(10, What::Addresses(vec![address])),
            told(20, What::HostDown),
            told(30, What::HostUp),
            told(40, What::Addresses(Vec::new())),
        ];
        let witnessed = Witnessed::of([("db1".to_owned(), "10.77.0.11".to_owned())], &all);
        let host = &witnessed.hosts[0];
        let here = |from, to| host.addresses.stands(from, to, |all| has(all, vip));
        assert_eq!(
            (here(15, 16), here(25, 26), here(41, 42)),
            (Stands::Agrees, Stands::NotWitnessed, Stands::Contradicted)
        );
        assert_eq!(host.power.stands(25, 26, |on| !on), Stands::Agrees);
    }
}
