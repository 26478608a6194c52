//! A part of a capture by time.
//!
//! In:  when the part begins and ends, and how much is read around it.
//! Out: whether a frame is read, and whether a row belongs to the part.
//! Not: what a row is.

use super::Time;

/// The part of a capture that is reported, and the frames around it that are read.
///
/// A row belongs to the window that contains the time of its first frame. So each row of a capture belongs to one of the windows that
/// divide it. The lead-in is read before the window, for names and open flows, and as much after it, so that flows
/// which begin in the window are read to their end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct TimeWindow {
    /// Where it begins; none for the beginning of the capture.
    pub from: Option<Time>,
    /// The first time after it; none for the end of the capture.
    pub until: Option<Time>,
    /// Nanoseconds that are read before and after it.
    pub lead_in_nanos: u64,
}

impl TimeWindow {
    /// Whether it is the whole capture.
    pub fn is_unlimited(&self) -> bool {
        self.from.is_none() && self.until.is_none()
    }

    /// Whether a row with this time of its first frame belongs to the window.
    #[inline]
    pub fn contains(&self, time: Time) -> bool {
        self.from.is_none_or(|from| time >= from) && self.until.is_none_or(|until| time < until)
    }

    /// Whether a frame is earlier than the lead-in.
    #[inline]
    pub fn is_before(&self, time: Time) -> bool {
        let lead_in = i64::try_from(self.lead_in_nanos).unwrap_or(i64::MAX);
        self.from.is_some_and(|from| time.0 < from.0.saturating_sub(lead_in))
    }

    /// The first time after what is read after the window.
    #[inline]
    pub fn read_until(&self) -> Option<Time> {
        let lead_in = i64::try_from(self.lead_in_nanos).unwrap_or(i64::MAX);
        self.until.map(|until| Time(until.0.saturating_add(lead_in)))
    }

    /// Whether a frame is later than what is read after the window.
    #[inline]
    pub fn is_after(&self, time: Time) -> bool {
        self.read_until().is_some_and(|end| time >= end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Before what is read, in the window, after what is read.
    fn check(window: TimeWindow, time: i64, expected: [bool; 3]) {
        let time = Time(time);
        assert_eq!(
            [window.is_before(time), window.contains(time), window.is_after(time)],
            expected,
            "{time:?}"
        );
    }

    #[test]
    fn each_time_is_in_one_of_adjacent_windows() {
        let window = |from, until| TimeWindow { from, until, lead_in_nanos: 10 };
        let first = window(None, Some(Time(100)));
        let second = window(Some(Time(100)), None);
        check(first, 99, [false, true, false]);
        check(second, 99, [false, false, false]);
        check(first, 100, [false, false, false]);
        check(second, 100, [false, true, false]);
        check(first, 109, [false, false, false]);
        check(first, 110, [false, false, true]);
        check(second, 90, [false, false, false]);
        check(second, 89, [true, false, false]);
    }

    #[test]
    fn bounds_at_the_end_of_time_do_not_overflow() {
        let window =
            TimeWindow { from: Some(Time::MIN), until: Some(Time(i64::MAX)), lead_in_nanos: u64::MAX };
        check(window, i64::MIN, [false, true, false]);
        check(window, i64::MAX, [false, false, true]);
        check(TimeWindow::default(), 0, [false, true, false]);
    }
}
