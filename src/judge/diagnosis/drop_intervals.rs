//! When a live capture lost frames.
//!
//! In:  pulses, and how much was lost since the one before.
//! Out: whether something falls into such a time.
//! Not: gaps that streams show; see `quality`.

use std::collections::VecDeque;

use crate::base::Time;

/// When frames were lost.
#[derive(Debug, Default)]
pub(in crate::judge) struct DropIntervals {
    /// From and to, in order; no two touch.
    spans: VecDeque<(Time, Time)>,
    /// The last pulse.
    last: Option<Time>,
    /// All the time.
    pub(in crate::judge) always: bool,
}

impl DropIntervals {
    /// Spans remembered; the oldest go first.
    const KEPT: usize = 4096;

    /// The clock of a live capture: `lost` frames are missing since the pulse before.
    pub(in crate::judge) fn heartbeat(&mut self, time: Time, lost: u64) {
        let from = self.last.unwrap_or(Time::MIN);
        self.last = Some(time);
        if lost == 0 {
            return;
        }
        match self.spans.back_mut() {
            Some((_, to)) if *to >= from => *to = time,
            _ => self.spans.push_back((from, time)),
        }
        if self.spans.len() > DropIntervals::KEPT {
            self.spans.pop_front();
        }
    }

    /// Whether frames were lost while something lasted, or in the second around it.
    pub(in crate::judge) fn touch(&self, first: Time, last: Time) -> bool {
        let begin = Time(first.0.saturating_sub(1_000_000_000));
        let end = Time(last.0.saturating_add(1_000_000_000));
        self.always || self.spans.iter().rev().any(|(from, to)| *from <= end && *to >= begin)
    }
}
