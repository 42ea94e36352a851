//! Which hook is run next, and when: in the order in which things happened, each switch once, and only of the host that kept the VIP. Pure.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::message::Message;
use crate::config::Happening;

/// A VIP that came is told of after this long, where it is still here: one that was taken over a lost answer goes again sooner
/// (`vip/post_claim_check.rs`, 0.5 s), and its host was never the final holder.
const SETTLED_AFTER: Duration = Duration::from_millis(700);
/// So many wait at the most; of those that are no switch, so many.
const MOST: usize = 256;
const MOST_WORDS: usize = 16;

/// What waits to be told.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: VecDeque<(Instant, Message)>,
}

/// What became of something new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It waits to be told.
    Waits,
    /// It came and went again before it was told: neither is.
    CameAndWent,
    /// There is no room: it is not told.
    NoRoom,
}

impl Queue {
    /// Something happened.
    pub(super) fn push(&mut self, message: Message, now: Instant) -> Taken {
        if message.hook == Happening::OnRelease {
            let came = |(due, waiting): &(Instant, Message)| {
                waiting.hook == Happening::OnAcquire && waiting.vip == message.vip && now < *due
            };
            if let Some(place) = self.waiting.iter().position(came) {
                self.waiting.remove(place);
                return Taken::CameAndWent;
            }
        }
        let is_switch = message.switch.is_some();
        let words = || self.waiting.iter().filter(|(_, waiting)| waiting.switch.is_none()).count();
        if self.waiting.len() >= MOST || (!is_switch && words() >= MOST_WORDS) {
            return Taken::NoRoom;
        }
        let due = if message.hook == Happening::OnAcquire { now + SETTLED_AFTER } else { now };
        self.waiting.push_back((due, message));
        Taken::Waits
    }

    /// The next one, where it is due.
    pub(super) fn pop(&mut self, now: Instant) -> Option<Message> {
        self.waiting.pop_front_if(|(due, _)| *due <= now).map(|(_, message)| message)
    }

    /// When the next is due; none: nothing waits.
    pub(super) fn due(&self) -> Option<Instant> {
        self.waiting.front().map(|(due, _)| *due)
    }

    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::history::Record;

    fn switch(hook: Happening, vip: &str, id: &str) -> Message {
        let kind = if hook == Happening::OnAcquire { "came" } else { "left" };
        let record: Record = serde_json::from_value(serde_json::json!({
            "format": 1, "id": id, "kind": kind, "code": "SWITCHOVER", "at": "2026-11-29T02:30:00.123Z", "cluster": "orders",
            "vip": vip, "from": null, "to": null, "by": { "how": "automatic", "who": null, "reason": null }, "sentence": "it moved",
            "outage": null, "seen": [], "trace_us": 1,
        }))
        .unwrap();
        Message::of_switch(hook, "db1", record)
    }

    fn words(number: usize) -> Message {
        Message::of_words(Happening::OnTrouble, "db1", "orders", String::new(), format!("{number}"))
    }

    fn ids(queue: &mut Queue, now: Instant) -> Vec<String> {
        std::iter::from_fn(|| queue.pop(now)).map(|message| message.switch.unwrap().id).collect()
    }

    #[test]
    fn switches_are_told_in_order_and_one_that_came_only_once_it_has_stayed() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        queue.push(switch(Happening::OnRelease, "10.77.0.101", "a"), now);
        queue.push(switch(Happening::OnAcquire, "10.77.0.100", "b"), now);
        queue.push(switch(Happening::OnRelease, "10.77.0.101", "c"), now);
        assert_eq!(ids(&mut queue, now), ["a"], "what comes after it waits too");
        assert_eq!(queue.due(), Some(now + SETTLED_AFTER));
        assert_eq!(ids(&mut queue, now + SETTLED_AFTER), ["b", "c"]);
    }

    #[test]
    fn a_vip_that_goes_again_at_once_was_never_kept_and_one_that_goes_later_is_told_twice() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        queue.push(switch(Happening::OnAcquire, "10.77.0.100", "a"), now);
        let other = switch(Happening::OnRelease, "10.77.0.101", "b");
        assert_eq!(queue.push(other, now), Taken::Waits, "another VIP's");
        let soon = now + SETTLED_AFTER / 2;
        assert_eq!(queue.push(switch(Happening::OnRelease, "10.77.0.100", "c"), soon), Taken::CameAndWent);
        assert_eq!(ids(&mut queue, soon), ["b"]);
        queue.push(switch(Happening::OnAcquire, "10.77.0.100", "d"), now);
        let late = now + SETTLED_AFTER;
        assert_eq!(queue.push(switch(Happening::OnRelease, "10.77.0.100", "e"), late), Taken::Waits);
        assert_eq!(ids(&mut queue, late), ["d", "e"]);
    }

    #[test]
    fn what_waits_is_bounded_and_words_take_no_room_from_switches() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        let taken = (0..100).filter(|number| queue.push(words(*number), now) == Taken::Waits).count();
        assert_eq!(taken, MOST_WORDS);
        let release = || switch(Happening::OnRelease, "10.77.0.100", "a");
        let taken = (0..1_000).filter(|_| queue.push(release(), now) == Taken::Waits).count();
        assert_eq!((taken, queue.len()), (MOST - MOST_WORDS, MOST));
    }
}
