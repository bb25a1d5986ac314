//! Deadlines of slots: a heap with one live entry per slot.
//!
//! A deadline that moves later leaves its entry where it is; when the entry comes up it is put back
//! at the new time. So a slot that answers 50,000 requests per second costs one heap operation per
//! timeout interval and not one per request.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// No deadline.
pub(super) const NEVER: u64 = u64::MAX;

/// Deadlines by slot number.
#[derive(Debug)]
pub(super) struct Timers {
    heap: BinaryHeap<Reverse<(u64, u32)>>,
    /// For each slot: when it is due, and when its live entry comes up.
    slots: Vec<(u64, u64)>,
}

impl Timers {
    pub(super) fn new(slots: usize) -> Self {
        Self { heap: BinaryHeap::with_capacity(slots), slots: vec![(NEVER, NEVER); slots] }
    }

    /// Sets the deadline of a slot in nanoseconds, or [`NEVER`].
    pub(super) fn set(&mut self, slot: u32, deadline: u64) {
        let (due, queued) = &mut self.slots[slot as usize];
        *due = deadline;
        if deadline < *queued {
            *queued = deadline;
            self.heap.push(Reverse((deadline, slot)));
        }
    }

    /// The next slot whose deadline has passed; its deadline is then [`NEVER`].
    pub(super) fn expired(&mut self, now: u64) -> Option<(u32, u64)> {
        while let Some(&Reverse((at, slot))) = self.heap.peek() {
            if at > now {
                return None;
            }
            self.heap.pop();
            let (due, queued) = &mut self.slots[slot as usize];
            if at != *queued {
                continue;
            }
            *queued = NEVER;
            if *due <= now {
                let deadline = std::mem::replace(due, NEVER);
                return Some((slot, deadline));
            }
            if *due != NEVER {
                let deadline = *due;
                self.set(slot, deadline);
            }
        }
        None
    }

    /// When the next entry comes up; not later than the next deadline.
    pub(super) fn next(&self) -> u64 {
        self.heap.peek().map_or(NEVER, |Reverse((at, _))| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_come_up_in_order_and_once() {
        let mut timers = Timers::new(3);
        timers.set(0, 30);
        timers.set(1, 10);
        timers.set(2, 20);
        assert_eq!(timers.next(), 10);
        assert_eq!(timers.expired(9), None);
        assert_eq!(timers.expired(25), Some((1, 10)));
        assert_eq!(timers.expired(25), Some((2, 20)));
        assert_eq!(timers.expired(25), None);
        assert_eq!(timers.expired(30), Some((0, 30)));
        assert_eq!(timers.next(), NEVER);
    }

    #[test]
    fn a_deadline_may_move_both_ways_and_go_away() {
        let mut timers = Timers::new(2);
        for later in [10, 20, 30, 40] {
            timers.set(0, later);
        }
        assert_eq!(timers.heap.len(), 1);
        assert_eq!(timers.expired(39), None);
        assert_eq!(timers.expired(40), Some((0, 40)));
        timers.set(0, 100);
        timers.set(0, 50);
        assert_eq!(timers.expired(60), Some((0, 50)));
        assert_eq!(timers.expired(200), None);
        timers.set(1, 70);
        timers.set(1, NEVER);
        assert_eq!(timers.expired(100), None);
    }
}
