//! What is remembered of members that are UNREACHABLE: what proves them dead, and what was changed on their account.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::facts::Peers;
use crate::input::{Fact, GroupView, Member, MemberPort, MemberState, NotInGroup, Role, Seen, Server};
use crate::moment::Moment;
use crate::planted::planted;
use crate::policy::GroupPolicy;
use crate::time::Time;

/// Refusals in a row that prove a death.
const PROVING_REFUSALS: u32 = 2;
/// Between two looks at a member that refuses.
const LOOK_AGAIN_REFUSED: Duration = Duration::from_millis(20);
/// … and at one that does not.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
/// A member whose port has neither answered nor refused for this long is silent: a host that lives does so within a few
/// milliseconds, and the group has not heard this one for 5 s.
pub(super) const SILENT_AFTER: Duration = Duration::from_millis(200);
/// A member that did not say who it is, is asked again after this, and after twice as long each time that it fails.
const MEET_AGAIN: Duration = Duration::from_millis(250);
/// … but after no longer than this.
const MEET_AGAIN_AT_MOST: Duration = Duration::from_secs(10);

/// What is remembered of dead members and the group's patience with them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ExpelState {
    /// The configured `group_replication_member_expel_timeout` in seconds, never the 0 that was set here.
    pub timeout: Option<Seen<u32>>,
    /// When it was last asked for.
    pub read_asked: Option<Time>,
    /// Addresses at which a member's server is looked for and has not said who it is.
    #[serde(default)]
    pub port_probes: BTreeMap<IpAddr, PortProbe>,
    /// Members that the last view showed ONLINE, by `server_uuid`.
    #[serde(default)]
    pub online: BTreeSet<String>,
    /// Members that are UNREACHABLE, by `server_uuid`.
    pub suspects: BTreeMap<String, Suspect>,
    /// The expel timeout is 0 here, or may be, and has to be put back.
    pub changed: Option<Changed>,
}

/// A member's server is asked who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PortProbe {
    /// Its port is being looked at since then.
    pub looking: Option<Time>,
    /// Not to be looked at again before.
    pub next_look: Time,
    /// How often in a row it did not say who it is.
    pub misses: u32,
}

impl PortProbe {
    pub(super) fn new(now: Time) -> Self {
        Self { looking: None, next_look: now, misses: 0 }
    }

    fn missed(&mut self, now: Time) {
        let again = MEET_AGAIN.saturating_mul(1 << self.misses.min(10));
        self.looking = None;
        self.next_look = now + again.min(MEET_AGAIN_AT_MOST);
        self.misses = self.misses.saturating_add(1);
    }
}

/// A member that is UNREACHABLE.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Suspect {
    /// `MEMBER_HOST`.
    pub name: String,
    /// Whether it leads, by the last word.
    pub primary: bool,
    /// Since when: the question whose answer first showed it so.
    pub since: Time,
    /// Its port is being looked at since then.
    pub looking: Option<Time>,
    /// Not to be looked at again before.
    pub next_look: Time,
    /// How often in a row its port refused.
    pub refusals: u32,
    /// How often in a row its port was silent.
    pub silences: u32,
    /// When its port was last asked that answered or refused.
    #[serde(default)]
    pub spoke_at: Option<Time>,
    /// Whether its server was started again.
    #[serde(default)]
    pub started_again: StartedAgain,
    /// What became of the fence command.
    pub fence: Fence,
    /// When the group was last told to look.
    pub woken_at: Option<Time>,
    /// How often.
    pub wakes: u32,
    /// It was proven dead, and the group did not expel it in time or could not be told: not tried again.
    pub given_up: bool,
}

/// Whether an UNREACHABLE member's server is another process than the one that the group counts on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StartedAgain {
    /// Nothing says so.
    #[default]
    NotKnown,
    /// Its port answers: its server is to be asked what it is by now.
    ToBeAsked,
    /// It said that it is in no group.
    Certain,
}

/// The fence command, for one member that is UNREACHABLE.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fence {
    /// Not run.
    NotRun,
    /// Running.
    Running,
    /// It succeeded: the host is dead.
    Dead,
    /// It failed, which proves nothing.
    Failed,
}

/// The expel timeout is not what the operator set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Changed {
    /// What the operator set, in seconds.
    pub original: u32,
    /// Since when.
    pub since: Time,
    /// When the group was last told to look.
    pub woken_at: Time,
    /// It is being put back: there is no way back to 0 from here.
    pub restoring: bool,
    /// When that was last asked for.
    pub asked_at: Option<Time>,
}

impl Suspect {
    fn new(name: &str, primary: bool, since: Time) -> Self {
        Self {
            name: name.to_owned(),
            primary,
            since,
            looking: None,
            next_look: since,
            refusals: 0,
            silences: 0,
            spoke_at: None,
            started_again: StartedAgain::NotKnown,
            fence: Fence::NotRun,
            woken_at: None,
            wakes: 0,
            given_up: false,
        }
    }

    pub(super) fn is_proven_dead(&self, policy: &GroupPolicy) -> bool {
        (policy.proven_dead
            && (self.refusals >= PROVING_REFUSALS || self.started_again == StartedAgain::Certain))
            || (policy.fence && self.fence == Fence::Dead)
            || (self.silences > 0 && planted!(policy, SilenceProvesDeath))
    }

    /// Neither answers nor refuses. `answered`: when the question was put that the local server answered last. Its answer
    /// shows that this agent did not stand still itself while it waited for the member's.
    pub(super) fn is_silent(&self, answered: Time) -> bool {
        self.silences > 0 || self.looking.is_some_and(|asked| answered.since(asked) >= SILENT_AFTER)
    }

    fn take_in_port(&mut self, seen: &Seen<MemberPort>, now: Time) {
        if seen.asked_at < self.since {
            return;
        }
        let (refusals, silences, again) = match &seen.fact {
            Fact::Known(MemberPort::Refuses) => (self.refusals.saturating_add(1), 0, LOOK_AGAIN_REFUSED),
            Fact::Known(MemberPort::Answers(_)) => (0, 0, LOOK_AGAIN),
            Fact::Unknown(_) => (0, self.silences.saturating_add(1), LOOK_AGAIN),
        };
        (self.refusals, self.silences) = (refusals, silences);
        if matches!(seen.fact, Fact::Known(_)) {
            self.spoke_at = Some(seen.asked_at);
        }
        if matches!(seen.fact, Fact::Known(MemberPort::Answers(_))) {
            self.started_again = StartedAgain::ToBeAsked;
        }
        self.looking = None;
        self.next_look = now + again;
    }
}

/// This very server, and in no group. One that was expelled, or lost its group, is in ERROR: it may think that it leads.
fn is_outside(server: &Server, id: &str) -> bool {
    match server {
        Server::Member(view) => {
            let offline = |member: &Member| member.state == MemberState::Offline;
            view.local == id && view.local_member().is_some_and(offline)
        }
        Server::NotInGroup(why) => *why == NotInGroup::NotRunning,
        Server::Refused(_) => false,
    }
}

impl ExpelState {
    pub(super) fn oldest(&self) -> Option<Time> {
        self.suspects.values().map(|suspect| suspect.since).min()
    }

    /// The configured value, read since the first member became UNREACHABLE.
    pub(super) fn configured(&self) -> Option<u32> {
        let seen = self.timeout.as_ref()?;
        match &seen.fact {
            Fact::Known(seconds) if self.oldest().is_none_or(|since| seen.asked_at >= since) => {
                Some(*seconds)
            }
            _ => None,
        }
    }

    pub(super) fn follow(&mut self, view: &GroupView, asked_at: Time) {
        let unreachable = |id: &str| {
            view.members.iter().any(|member| member.id == id && member.state == MemberState::Unreachable)
        };
        self.suspects.retain(|id, _| unreachable(id));
        let is_online = |state| state == MemberState::Online;
        let online: BTreeSet<String> =
            view.members.iter().filter(|row| is_online(row.state)).map(|row| row.id.clone()).collect();
        if !online.is_subset(&self.online) {
            // It may have been silent while it was starting; from now on it answers.
            self.port_probes.retain(|_, meeting| meeting.looking.is_some());
        }
        self.online = online;
        for member in view.members.iter().filter(|member| member.state == MemberState::Unreachable) {
            let primary = member.role == Role::Primary;
            let suspect = || Suspect::new(&member.host, primary, asked_at);
            self.suspects.entry(member.id.clone()).or_insert_with(suspect).primary = primary;
        }
    }

    pub(super) fn take_in_port(&mut self, member: IpAddr, seen: &Seen<MemberPort>, at: Moment<'_>) {
        if matches!(&seen.fact, Fact::Known(MemberPort::Answers(Some(_)))) {
            self.port_probes.remove(&member);
        } else if let Some(meeting) = self.port_probes.get_mut(&member) {
            meeting.missed(at.now);
        }
        for (id, suspect) in &mut self.suspects {
            if at.facts.peers.open.get(id).is_some_and(|open| open.address == member) {
                suspect.take_in_port(seen, at.now);
            }
        }
    }

    /// A member's server said what it is.
    pub(super) fn take_in_peer(&mut self, member: IpAddr, seen: &Seen<Server>, peers: &Peers) {
        let Fact::Known(server) = &seen.fact else { return };
        for (id, suspect) in &mut self.suspects {
            let its_own = peers.open.get(id).is_some_and(|open| open.address == member);
            if its_own && seen.asked_at >= suspect.since {
                let certain = is_outside(server, id);
                suspect.started_again = if certain { StartedAgain::Certain } else { StartedAgain::NotKnown };
            }
        }
    }

    pub(super) fn give_up(&mut self) {
        self.suspects.values_mut().for_each(|suspect| suspect.given_up = true);
    }
}
