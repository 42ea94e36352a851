//! Answers that say nothing new are kept, not told: the rules promise with `wake_at` that polls which tell what is known
//! change nothing until then (the simulator holds them to it), and ten such answers a second would wake the agent for each.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use decide::input::{Event, Fact, MemberState, Seen, Server};

/// What was told last, and what came since and says the same.
pub(super) struct Unchanged {
    known: Mutex<Known>,
    tell: Box<dyn Fn(Event) + Send + Sync>,
}

#[derive(Debug, Default)]
struct Known {
    told: Option<Fact<Server>>,
    kept: Option<Seen<Server>>,
}

impl fmt::Debug for Unchanged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unchanged").field("known", &self.known).finish_non_exhaustive()
    }
}

impl Unchanged {
    /// `tell` must not block.
    pub(super) fn new(tell: impl Fn(Event) + Send + Sync + 'static) -> Self {
        Self { known: Mutex::default(), tell: Box::new(tell) }
    }

    /// Tells this answer, or keeps it. `awaited`: it is told in any case.
    pub(super) fn take_in(&self, seen: Seen<Server>, awaited: bool) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if !awaited && known.told.as_ref() == Some(&seen.fact) && all_is_well(&seen.fact) {
            known.kept = Some(seen);
            return;
        }
        *known = Known { told: Some(seen.fact.clone()), kept: None };
        // While nobody else can tell: what was seen first is told first.
        (self.tell)(Event::Server(seen));
    }

    /// What was kept last; it stays.
    pub(super) fn look(&self) -> Option<Seen<Server>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).kept.clone()
    }

    /// What was kept last.
    pub(super) fn take(&self) -> Option<Seen<Server>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).kept.take()
    }
}

fn all_is_well(fact: &Fact<Server>) -> bool {
    let Fact::Known(Server::Member(view)) = fact else { return false };
    let online = view.members.iter().all(|member| member.state == MemberState::Online);
    online && !(view.is_primary() && view.super_read_only)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::mpsc;
    use std::time::Duration;

    use decide::input::{GroupView, Member, Role, Why};
    use decide::time::Time;

    use super::*;

    fn answer(at: u64, state: MemberState) -> Seen<Server> {
        let member = |id: &str, state, role| Member {
            id: id.to_owned(),
            host: id.to_owned(),
            port: 3306,
            state,
            role,
        };
        let view = GroupView {
            local: "a".to_owned(),
            super_read_only: false,
            view: None,
            members: vec![
                member("a", MemberState::Online, Role::Primary),
                member("b", state, Role::Secondary),
            ],
        };
        Seen { asked_at: Time(at), fact: Fact::Known(Server::Member(view)) }
    }

    #[test]
    fn only_an_answer_that_says_what_was_told_while_all_is_well_is_kept_and_the_last_of_them_given() {
        let (sender, told) = mpsc::channel();
        let unchanged = Unchanged::new(move |event| sender.send(event).unwrap());
        let times = || -> Vec<u64> {
            let asked_at = |event| match event {
                Event::Server(seen) => Some(seen.asked_at.0),
                _ => None,
            };
            told.try_iter().filter_map(asked_at).collect()
        };
        unchanged.take_in(answer(1, MemberState::Online), false);
        unchanged.take_in(answer(2, MemberState::Online), false);
        unchanged.take_in(answer(3, MemberState::Online), false);
        assert_eq!(times(), [1]);
        assert_eq!(unchanged.take().unwrap().asked_at, Time(3));
        assert_eq!(unchanged.take(), None);

        unchanged.take_in(answer(4, MemberState::Online), true);
        assert_eq!(times(), [4], "what somebody waits for");
        unchanged.take_in(answer(5, MemberState::Online), false);
        unchanged.take_in(answer(6, MemberState::Unreachable), false);
        unchanged.take_in(answer(7, MemberState::Unreachable), false);
        assert_eq!(times(), [6, 7], "a member is missing");
        assert_eq!(unchanged.take(), None, "what is told is newer");
        let silent = Fact::Unknown(Why::TimedOut(Duration::from_secs(1)));
        unchanged.take_in(Seen { asked_at: Time(8), fact: silent }, true);
        unchanged.take_in(answer(9, MemberState::Online), false);
        assert_eq!(times(), [8, 9], "what was told last is another thing");
    }
}
