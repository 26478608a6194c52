//! Converts the timestamps of a pcapng interface.
//!
//! In:  the interface's options and a frame's timestamp, as the file has them.
//! Out: exact nanoseconds, or the nearest time that can be represented.
//! Not: how blocks are read.

use super::LinkType;
use crate::base::Time;

/// The unit of timestamps.
#[derive(Clone, Copy)]
pub(super) enum TimeUnit {
    /// Nanoseconds of a tick.
    Nanos(u64),
    /// A nanosecond divided by this power of ten; 0: too small for any timestamp to reach a nanosecond.
    NanoFraction(u64),
    /// 2^-n seconds.
    BinaryFraction(u32),
}

/// What is needed of an interface for each of its frames.
#[derive(Clone, Copy)]
pub(super) struct InterfaceClock {
    pub link: LinkType,
    pub snap_len: u32,
    pub unit: TimeUnit,
    /// Added to every timestamp.
    pub offset_secs: i64,
    /// Bytes of frame checksum at the end of every frame.
    pub checksum_len: u32,
}

impl TimeUnit {
    // draft-ietf-opsawg-pcapng §4.2: if_tsresol: the upper bit selects powers of two.
    pub(super) fn from_resolution(resolution: u8) -> TimeUnit {
        let power = u32::from(resolution & 0x7f);
        if resolution & 0x80 != 0 {
            return TimeUnit::BinaryFraction(power);
        }
        match power {
            0..=9 => TimeUnit::Nanos(10_u64.pow(9 - power)),
            10..=28 => TimeUnit::NanoFraction(10_u64.pow(power - 9)),
            // 2^64 units of 10^-29 seconds are less than a nanosecond.
            _ => TimeUnit::NanoFraction(0),
        }
    }
}

impl InterfaceClock {
    /// The time of a timestamp; `Err` holds the nearest time that can be represented.
    #[inline(always)]
    pub(super) fn time(&self, stamp: u64) -> Result<Time, Time> {
        if let (TimeUnit::Nanos(factor), 0) = (self.unit, self.offset_secs)
            && let Some(nanos) = stamp.checked_mul(factor).filter(|nanos| *nanos <= i64::MAX as u64)
        {
            return Ok(Time(nanos as i64));
        }
        self.time_in_any_unit(stamp)
    }

    fn time_in_any_unit(&self, stamp: u64) -> Result<Time, Time> {
        let nanos = match self.unit {
            TimeUnit::Nanos(factor) => i128::from(stamp) * i128::from(factor),
            TimeUnit::NanoFraction(0) => 0,
            TimeUnit::NanoFraction(divisor) => i128::from(stamp) / i128::from(divisor),
            TimeUnit::BinaryFraction(power) => (i128::from(stamp) * 1_000_000_000) >> power,
        } + i128::from(self.offset_secs) * 1_000_000_000;
        match i64::try_from(nanos) {
            Ok(nanos) => Ok(Time(nanos)),
            Err(_) => Err(Time(if nanos < 0 { i64::MIN } else { i64::MAX })),
        }
    }
}
