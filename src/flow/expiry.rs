//! Remembers when to look at a flow again.
//!
//! A flow lies in one bucket, a second of frame time; when its second has passed it is looked at, and either closed or
//! put into a later bucket. Packets never touch this.

use std::collections::VecDeque;

use super::consumer::Slot;

/// Buckets of flows by the second in which they are due.
#[derive(Debug, Default)]
pub(super) struct Wheel {
    /// The second of the first bucket.
    first: i64,
    buckets: VecDeque<Vec<Slot>>,
}

/// The furthest that a bucket can lie ahead, in seconds; later due times are looked at early, which costs one look.
const HORIZON: i64 = 4096;

impl Wheel {
    /// Puts a flow into the bucket of second `due`; returns the second that it was put under.
    /// The first call of [`Wheel::take_due`] sets the clock and must come before.
    pub(super) fn put(&mut self, slot: Slot, due: i64) -> i64 {
        let due = due.clamp(self.first, self.first.saturating_add(HORIZON));
        let place = (due - self.first) as usize;
        while self.buckets.len() <= place {
            self.buckets.push_back(Vec::new());
        }
        if let Some(bucket) = self.buckets.get_mut(place) {
            bucket.push(slot);
        }
        due
    }

    /// Takes all flows out that were due before second `now`, each with its second.
    pub(super) fn take_due(&mut self, now: i64, out: &mut Vec<(i64, Slot)>) {
        while self.first < now {
            let Some(bucket) = self.buckets.pop_front() else {
                self.first = now;
                return;
            };
            let due = self.first;
            self.first += 1;
            out.extend(bucket.into_iter().map(|slot| (due, slot)));
        }
    }

    /// Empties all buckets for a clock that was set back to second `now`: everything is to be put in again.
    pub(super) fn restart(&mut self, now: i64) {
        self.buckets.clear();
        self.first = now;
    }
}
