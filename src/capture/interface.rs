//! What a pcapng interface means for each of its frames.
//!
//! In:  resolution, offset and stamps, as the file has them.
//! Out: exact nanoseconds, or the nearest that can be said.
//! Not: how blocks are read.

use super::LinkType;
use crate::base::Time;

/// How an interface's time stamps become nanoseconds.
#[derive(Clone, Copy)]
pub(super) enum Scale {
    /// Units of at least a nanosecond.
    Times(u64),
    /// Decimal units below a nanosecond; 0: too small for any stamp to reach one.
    Over(u64),
    /// Units of 2^-n seconds.
    Shift(u32),
}

/// What is needed of an interface for each of its frames.
#[derive(Clone, Copy)]
pub(super) struct InterfaceClock {
    pub link: LinkType,
    pub snap_len: u32,
    pub scale: Scale,
    pub offset_secs: i64,
    pub checksum_len: u32,
}

impl Scale {
    /// The scale that an interface's resolution names.
    // draft-ietf-opsawg-pcapng §4.2: if_tsresol: the upper bit chooses powers of two.
    pub(super) fn new(resolution: u8) -> Scale {
        let power = u32::from(resolution & 0x7f);
        if resolution & 0x80 != 0 {
            return Scale::Shift(power);
        }
        match power {
            0..=9 => Scale::Times(10_u64.pow(9 - power)),
            10..=28 => Scale::Over(10_u64.pow(power - 9)),
            // 2^64 units of 10^-29 seconds are less than a nanosecond.
            _ => Scale::Over(0),
        }
    }
}

impl InterfaceClock {
    /// The time of a stamp; `Err` holds the nearest time that can be said.
    #[inline(always)]
    pub(super) fn time(&self, stamp: u64) -> Result<Time, Time> {
        if let (Scale::Times(factor), 0) = (self.scale, self.offset_secs)
            && let Some(nanos) = stamp.checked_mul(factor).filter(|nanos| *nanos <= i64::MAX as u64)
        {
            return Ok(Time(nanos as i64));
        }
        self.odd_time(stamp)
    }

    fn odd_time(&self, stamp: u64) -> Result<Time, Time> {
        let nanos = match self.scale {
            Scale::Times(factor) => i128::from(stamp) * i128::from(factor),
            Scale::Over(0) => 0,
            Scale::Over(divisor) => i128::from(stamp) / i128::from(divisor),
            Scale::Shift(power) => (i128::from(stamp) * 1_000_000_000) >> power,
        } + i128::from(self.offset_secs) * 1_000_000_000;
        match i64::try_from(nanos) {
            Ok(nanos) => Ok(Time(nanos)),
            Err(_) => Err(Time(if nanos < 0 { i64::MIN } else { i64::MAX })),
        }
    }
}
