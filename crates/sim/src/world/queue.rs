//! What is due, in order of time, and of being planned where the times are the same.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use decide::time::Time;

/// A queue of things that are due. The heap holds small keys only; the things themselves stay where they are.
#[derive(Debug)]
pub(super) struct Queue<T> {
    heap: BinaryHeap<Reverse<(Time, u64, u32)>>,
    slots: Vec<Option<T>>,
    free: Vec<u32>,
    serial: u64,
}

impl<T> Queue<T> {
    pub(super) fn new() -> Self {
        Self {
            heap: BinaryHeap::with_capacity(64),
            slots: Vec::with_capacity(64),
            free: Vec::new(),
            serial: 0,
        }
    }

    pub(super) fn push(&mut self, at: Time, thing: T) {
        self.serial += 1;
        self.push_again(at, self.serial, thing);
    }

    /// Puts back something that was taken out, in its old order.
    pub(super) fn push_again(&mut self, at: Time, serial: u64, thing: T) {
        let slot = if let Some(slot) = self.free.pop() {
            slot
        } else {
            self.slots.push(None);
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        };
        if let Some(place) = self.slots.get_mut(slot as usize) {
            *place = Some(thing);
        }
        self.heap.push(Reverse((at, serial, slot)));
    }

    /// The next, where it is due at `until` or before.
    pub(super) fn pop(&mut self, until: Time) -> Option<(Time, u64, T)> {
        let Reverse((at, _, _)) = *self.heap.peek()?;
        if at > until {
            return None;
        }
        let Reverse((at, serial, slot)) = self.heap.pop()?;
        let thing = self.slots.get_mut(slot as usize)?.take()?;
        self.free.push(slot);
        Some((at, serial, thing))
    }
}
