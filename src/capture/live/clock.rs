//! Reads the wall clock.
//!
//! In:  nothing.
//! Out: the time.
//! Not: used outside live capture; all other times are those of frames.

use std::time::SystemTime;

use crate::base::Time;

/// The wall-clock time.
pub(super) fn now() -> Time {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Time::from_parts(since_epoch.as_secs() as i64, since_epoch.subsec_nanos())
}
