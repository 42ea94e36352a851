//! Who led the group, what became of it, and since when this host's server leads: what the server and the agent's looks at the old
//! primary's port say.

use std::time::Duration;

use super::row::Code;
use crate::expel::{ExpelState, StartedAgain};
use crate::input::{GroupView, MemberState, Role};
use crate::time::Time;

/// Another member that leads, or led until now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Leader {
    /// `server_uuid`.
    pub(super) id: String,
    /// UNREACHABLE since this was noticed.
    pub(super) unreachable_at: Option<Time>,
    /// The state that it was last shown in, beside ONLINE and UNREACHABLE, and when first.
    pub(super) in_state: Option<(Time, MemberState)>,
    /// How often in a row its MySQL port refused, at the most.
    refusals: u32,
    /// Its port was silent.
    silent: bool,
    /// Its port answered while it was UNREACHABLE.
    answered: bool,
}

impl Leader {
    pub(super) fn new(id: &str) -> Self {
        Self {
            id: id.to_owned(),
            unreachable_at: None,
            in_state: None,
            refusals: 0,
            silent: false,
            answered: false,
        }
    }

    /// What a view says of it. Gives what is new, in words.
    pub(super) fn follow(&mut self, view: &GroupView, now: Time) -> Option<String> {
        let state = view.members.iter().find(|member| member.id == self.id).map(|member| member.state);
        match state {
            Some(MemberState::Online) => {
                *self = Self::new(&self.id);
                None
            }
            Some(MemberState::Unreachable) if self.unreachable_at.is_none() => {
                self.unreachable_at = Some(now);
                Some("is UNREACHABLE in the group".to_owned())
            }
            Some(state) if state != MemberState::Unreachable && self.in_state.is_none() => {
                self.in_state = Some((now, state));
                Some(format!("is {state} in the group"))
            }
            Some(_) | None => None,
        }
    }

    /// What the looks at its port say, while it is UNREACHABLE. Gives what is new, in words.
    pub(super) fn look(&mut self, expel: &ExpelState) -> Option<String> {
        let suspect = expel.suspects.get(&self.id)?;
        if suspect.refusals > self.refusals {
            self.refusals = suspect.refusals;
            return (self.refusals <= 2)
                .then(|| format!("refused at its MySQL port ({})", times(self.refusals)));
        }
        if suspect.started_again != StartedAgain::NotKnown && !self.answered {
            self.answered = true;
            return Some("answered at its MySQL port".to_owned());
        }
        if suspect.silences > 0 && !self.silent {
            self.silent = true;
            return Some("neither answered nor refused at its MySQL port".to_owned());
        }
        None
    }

    /// When its end was first noticed.
    pub(super) fn noticed_at(&self) -> Option<Time> {
        let state = self.in_state.map(|(at, _)| at);
        self.unreachable_at.into_iter().chain(state).min()
    }

    /// Why it leads no more, seen from the view in which another does.
    pub(super) fn end(&self, view: &GroupView) -> (Code, Option<String>) {
        let state = view.members.iter().find(|member| member.id == self.id).map(|member| member.state);
        if state == Some(MemberState::Online) {
            return (Code::Switchover, None);
        }
        if self.refusals > 0 {
            return (Code::PrimaryDied, Some(format!("its port refused {}", times(self.refusals))));
        }
        if self.unreachable_at.is_some() {
            return match (self.answered, self.silent) {
                (true, _) => {
                    let detail = "it was UNREACHABLE in the group, and its MySQL port answered";
                    (Code::PrimaryCutOff, Some(detail.to_owned()))
                }
                (false, true) => {
                    let detail =
                        "it was UNREACHABLE in the group, and its MySQL port neither answered nor refused";
                    (Code::HostSilent, Some(detail.to_owned()))
                }
                (false, false) => (Code::HostSilent, Some("it was UNREACHABLE in the group".to_owned())),
            };
        }
        let state = state.or(self.in_state.map(|(_, state)| state));
        (Code::PrimaryLeft, state.map(|state| format!("its state was {state}")))
    }
}

fn times(count: u32) -> String {
    match count {
        1 => "once".to_owned(),
        2 => "twice".to_owned(),
        more => format!("{more} times"),
    }
}

/// This host's server leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reign {
    /// When that was noticed.
    pub(super) since: Time,
    /// When it was first seen to take writes.
    pub(super) writable_at: Option<Time>,
    /// Why another leads no more.
    pub(super) code: Code,
    /// What that rests on.
    pub(super) detail: Option<String>,
    /// Who led before.
    pub(super) before: Option<Leader>,
}

impl Reign {
    /// When the change was first noticed; none where nothing was before this.
    pub(super) fn noticed_at(&self) -> Option<Time> {
        let before = self.before.as_ref()?;
        Some(before.noticed_at().unwrap_or(self.since))
    }

    /// From then until the server took writes.
    pub(super) fn elected(&self) -> Option<Duration> {
        Some(self.writable_at?.since(self.noticed_at()?))
    }
}

/// Who leads in this view.
pub(super) fn primary_of(view: &GroupView) -> Option<&str> {
    view.members.iter().find(|member| member.role == Role::Primary).map(|member| member.id.as_str())
}
