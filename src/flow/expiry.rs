//! Decides when a flow is checked for expiry.
//!
//! In:  seconds of frame time; flows, each with the second in which it is due.
//! Out: seconds that never run backwards; the flows that are due.
//! Not: how long a flow may be idle.
//!
//! A packet does not move its flow to another bucket. A flow that is due and had packets since goes into a later one, so that
//! all checks together are at most as many as the packets.

use super::consumer::Slot;

/// Seconds since the first tick, whatever the clock of the frames does.
#[derive(Debug, Default)]
pub(super) struct FlowClock {
    now: u64,
    /// The second of frame time at `now`; `None` before the first tick.
    frame_secs: Option<i64>,
    /// The earliest second since frame time was set back.
    set_back_to: Option<i64>,
}

/// After the clock of the frames was set back, its new time is used after this many seconds. Until then this clock stops: frames of two clocks that are
/// far apart may alternate, and must not expire all flows at each change.
const SETTLING_SECS: u64 = 60;

impl FlowClock {
    /// Seconds since the first tick.
    pub(super) fn now(&self) -> u64 {
        self.now
    }

    /// Frame time has reached `second`.
    pub(super) fn tick(&mut self, second: i64) {
        let latest = self.frame_secs.unwrap_or(second);
        if second >= latest {
            self.now = self.now.saturating_add(second.abs_diff(latest));
            (self.frame_secs, self.set_back_to) = (Some(second), None);
            return;
        }
        let earliest = self.set_back_to.map_or(second, |earliest| earliest.min(second));
        self.set_back_to = Some(earliest);
        if second.abs_diff(earliest) >= SETTLING_SECS {
            (self.frame_secs, self.set_back_to) = (Some(second), None);
        }
    }
}

/// Flows in buckets, one for each second in which they are due.
#[derive(Debug)]
pub(super) struct ExpiryWheel {
    /// The first second whose flows were not taken yet.
    first: u64,
    /// The bucket of a second is at the second modulo [`BUCKETS`]. Empty before the first flow.
    buckets: Vec<Vec<Slot>>,
    /// A bit for each bucket with flows, so that empty buckets cost nothing however far time moves.
    occupied: [u64; BUCKETS / 64],
}

/// More than the longest default time-out, an hour.
const BUCKETS: usize = 4096;

impl Default for ExpiryWheel {
    fn default() -> Self {
        ExpiryWheel { first: 0, buckets: Vec::new(), occupied: [0; BUCKETS / 64] }
    }
}

impl ExpiryWheel {
    /// Adds a flow; returns the second of its bucket. What is due beyond the last bucket is checked early and added again.
    pub(super) fn add(&mut self, slot: Slot, due: u64) -> u64 {
        let due = due.clamp(self.first, self.first.saturating_add(BUCKETS as u64 - 1));
        let index = (due % BUCKETS as u64) as usize;
        self.buckets.resize_with(BUCKETS, Vec::new);
        if let (Some(bucket), Some(word)) = (self.buckets.get_mut(index), self.occupied.get_mut(index / 64)) {
            bucket.push(slot);
            *word |= 1 << (index % 64);
        }
        due
    }

    /// Takes all flows that were due before second `now`, each with its second.
    pub(super) fn take_due(&mut self, now: u64, due: &mut Vec<(u64, Slot)>) {
        // No bucket has flows of two seconds, so one round takes all.
        let end = now.min(self.first.saturating_add(BUCKETS as u64));
        let mut second = self.first;
        while second < end {
            let index = (second % BUCKETS as u64) as usize;
            let Some(word) = self.occupied.get_mut(index / 64) else { return };
            let rest = *word >> (index % 64);
            if rest & 1 == 0 {
                // To the next bucket with flows, or to the next word.
                second += u64::from(rest.trailing_zeros()).min(64 - index as u64 % 64);
                continue;
            }
            *word &= !(1 << (index % 64));
            if let Some(bucket) = self.buckets.get_mut(index) {
                due.extend(std::mem::take(bucket).into_iter().map(|slot| (second, slot)));
            }
            second += 1;
        }
        self.first = self.first.max(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ticks the clock by `seconds` of frame time; `expected` is what it shows after each.
    fn check(seconds: &[i64], expected: &[u64]) {
        let mut clock = FlowClock::default();
        let shown: Vec<u64> = seconds
            .iter()
            .map(|second| {
                clock.tick(*second);
                clock.now()
            })
            .collect();
        assert_eq!(shown, expected, "{seconds:?}");
    }

    #[test]
    fn the_clock_counts_seconds_from_the_first_tick() {
        check(&[1_700_000_000, 1_700_000_001, 1_700_000_010], &[0, 1, 10]);
        check(&[-5, 5], &[0, 10]);
    }

    #[test]
    fn a_clock_that_was_set_back_goes_on_after_a_minute() {
        check(&[5000, 1000, 1059, 1060, 1061], &[0, 0, 0, 0, 1]);
        // Set back once more: the minute begins anew.
        check(&[5000, 1000, 1059, 900, 959, 960, 961], &[0, 0, 0, 0, 0, 0, 1]);
    }

    #[test]
    fn clocks_that_alternate_do_not_run_faster() {
        check(&[5000, 1000, 5001, 1001, 5002, 1002], &[0, 0, 1, 1, 2, 2]);
        check(&[0, i64::MAX, i64::MIN, i64::MAX], &[0, i64::MAX as u64, i64::MAX as u64, i64::MAX as u64]);
    }

    /// Takes what is due before each of `seconds`.
    fn due(wheel: &mut ExpiryWheel, seconds: &[u64]) -> Vec<Vec<u32>> {
        let mut taken = Vec::new();
        seconds
            .iter()
            .map(|second| {
                taken.clear();
                wheel.take_due(*second, &mut taken);
                taken.iter().map(|(_, slot)| slot.0).collect()
            })
            .collect()
    }

    #[test]
    fn flows_are_due_once_their_second_has_passed() {
        let mut wheel = ExpiryWheel::default();
        for (slot, second) in [(1, 5), (2, 6), (3, 5), (4, 64), (5, 4095)] {
            assert_eq!(wheel.add(Slot(slot), second), second);
        }
        let expected: [&[u32]; 6] = [&[], &[1, 3], &[2], &[4], &[5], &[]];
        assert_eq!(due(&mut wheel, &[5, 6, 64, 65, 4096, 9000]), expected);
    }

    #[test]
    fn a_due_time_outside_the_wheel_goes_into_its_nearest_bucket() {
        let mut wheel = ExpiryWheel::default();
        wheel.take_due(10_000, &mut Vec::new());
        assert_eq!(wheel.add(Slot(1), 3), 10_000);
        assert_eq!(wheel.add(Slot(2), 1 << 40), 10_000 + 4095);
        assert_eq!(due(&mut wheel, &[10_001, 14_095, 14_096]), [vec![1], vec![], vec![2]]);
    }

    #[test]
    fn time_that_leaps_takes_everything() {
        let mut wheel = ExpiryWheel::default();
        wheel.take_due(100, &mut Vec::new());
        for second in [4195, 100, 4100, 163] {
            wheel.add(Slot(second), u64::from(second));
        }
        assert_eq!(due(&mut wheel, &[1 << 50]), [[100, 163, 4100, 4195]]);
        assert_eq!(wheel.occupied, [0; BUCKETS / 64]);
    }
}
