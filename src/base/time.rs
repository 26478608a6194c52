//! The time of frames.
//!
//! In:  seconds and nanoseconds.
//! Out: [`Time`], printed as RFC 3339.
//! Not: the clock; only live capture and the command line read it.

/// Nanoseconds since 1970-01-01T00:00:00Z.
///
/// The range is the years 1678 to 2261. Capture files can have times outside of it, which their readers clamp.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(pub i64);

impl Time {
    /// The earliest time.
    pub const MIN: Time = Time(i64::MIN);

    /// The latest time.
    pub const MAX: Time = Time(i64::MAX);

    /// A time from seconds and nanoseconds, clamped to the range.
    #[inline]
    pub const fn from_parts(secs: i64, nanos: u32) -> Time {
        Time(secs.saturating_mul(1_000_000_000).saturating_add(nanos as i64))
    }

    /// Whole seconds, rounded down.
    #[inline]
    pub const fn secs(self) -> i64 {
        self.0.div_euclid(1_000_000_000)
    }

    /// Nanoseconds from `earlier` to this time; zero if this time is before `earlier`.
    #[inline]
    pub const fn since(self, earlier: Time) -> u64 {
        // As unsigned numbers the difference is exact, also where it is no signed number.
        if self.0 > earlier.0 { self.0.wrapping_sub(earlier.0) as u64 } else { 0 }
    }

    /// For sentences, UTC, to the second: `2026-07-20 10:11:12`.
    pub fn date_and_time(self) -> String {
        self.to_string().get(..19).unwrap_or_default().replace('T', " ")
    }
}

/// RFC 3339, UTC, always with nine fractional digits: `2026-07-20T10:11:12.123456000Z`.
impl std::fmt::Display for Time {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match jiff::Timestamp::from_nanosecond(i128::from(self.0)) {
            Ok(stamp) => write!(f, "{stamp:.9}"),
            // Cannot happen: every i64 of nanoseconds is in jiff's range of years.
            Err(_) => Ok(()),
        }
    }
}

/// Text in JSON and CSV; nanoseconds in stored facts.
impl serde::Serialize for Time {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match serializer.is_human_readable() {
            true => serializer.collect_str(self),
            false => serializer.serialize_i64(self.0),
        }
    }
}

/// The same forms.
impl<'de> serde::Deserialize<'de> for Time {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Time, D::Error> {
        if !deserializer.is_human_readable() {
            return i64::deserialize(deserializer).map(Time);
        }
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|()| serde::de::Error::custom("not a time"))
    }
}

/// RFC 3339.
impl std::str::FromStr for Time {
    type Err = ();

    fn from_str(text: &str) -> Result<Time, ()> {
        let stamp: jiff::Timestamp = text.parse().map_err(|_| ())?;
        i64::try_from(stamp.as_nanosecond()).map(Time).map_err(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_printed_with_nine_fractional_digits() {
        assert_eq!(Time(0).to_string(), "1970-01-01T00:00:00.000000000Z");
        assert_eq!(
            Time::from_parts(1_784_542_272, 123_456_000).to_string(),
            "2026-07-20T10:11:12.123456000Z"
        );
        assert_eq!(Time(-1).to_string(), "1969-12-31T23:59:59.999999999Z");
        assert_eq!(Time(i64::MIN).to_string().len(), 30);
        assert_eq!(Time(-1).to_string().parse(), Ok(Time(-1)));
        assert_eq!("yesterday".parse::<Time>(), Err(()));
        assert_eq!(Time(i64::MAX).to_string().len(), 30);
    }

    #[test]
    fn times_in_sentences_have_seconds() {
        assert_eq!(Time::from_parts(1_784_542_272, 999_999_999).date_and_time(), "2026-07-20 10:11:12");
    }

    #[test]
    fn the_duration_since_a_later_time_is_zero() {
        assert_eq!(Time(5).since(Time(3)), 2);
        assert_eq!(Time(3).since(Time(5)), 0);
        assert_eq!(Time(i64::MAX).since(Time::MIN), u64::MAX);
    }
}
