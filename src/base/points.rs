//! Capture points: the places at which the frames of a run were captured.
//!
//! In:  nothing.
//! Out: which input belongs to which point, and how the clocks of the points differ.
//! Not: how points are recognized.

use serde::Deserialize;
use serde::Serialize;

use super::FileId;
use super::Time;

/// The capture points of a run. One point without a name, unless several were named or recognized.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapturePoints {
    points: Vec<CapturePoint>,
    /// The point of each input, by [`FileId`].
    of_file: Vec<u8>,
}

/// A place at which frames were captured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapturePoint {
    /// Its name.
    pub name: Box<str>,
    /// By how many nanoseconds its clock is ahead of the first point's; none where no packet shows it.
    pub clock_offset: Option<i64>,
}

impl CapturePoints {
    /// More points than this are joined with the last one.
    pub const LIMIT: usize = 8;

    /// Points, and the point of each input.
    pub const fn new(points: Vec<CapturePoint>, of_file: Vec<u8>) -> CapturePoints {
        CapturePoints { points, of_file }
    }

    /// Whether there is more than one.
    pub const fn are_several(&self) -> bool {
        self.points.len() > 1
    }

    /// How many there are.
    pub const fn len(&self) -> usize {
        if self.points.is_empty() { 1 } else { self.points.len() }
    }

    /// False: there is at least one.
    pub const fn is_empty(&self) -> bool {
        false
    }

    /// The point of an input.
    #[inline]
    pub fn of(&self, file: FileId) -> u8 {
        self.of_file.get(file.0 as usize).copied().unwrap_or_default()
    }

    /// All points that have a name.
    pub fn iter(&self) -> impl Iterator<Item = &CapturePoint> {
        self.points.iter()
    }

    /// The name of a point; empty where there is one point only.
    pub fn name(&self, point: u8) -> &str {
        self.points.get(usize::from(point)).map_or("", |point| &point.name)
    }

    /// A time of a point's clock as the first point's clock would show it.
    pub fn common_time(&self, point: u8, time: Time) -> Time {
        let offset = self.points.get(usize::from(point)).and_then(|point| point.clock_offset);
        Time(time.0.saturating_sub(offset.unwrap_or_default()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_names_there_is_one_point() {
        let points = CapturePoints::default();
        assert_eq!(
            (points.len(), points.are_several(), points.of(FileId(7)), points.name(0)),
            (1, false, 0, "")
        );
        assert_eq!(points.common_time(0, Time(5)), Time(5));
    }

    #[test]
    fn times_of_a_point_are_converted_to_the_clock_of_the_first() {
        let point = |name: &str, clock_offset| CapturePoint { name: name.into(), clock_offset };
        let points =
            CapturePoints::new(vec![point("inside", Some(0)), point("outside", Some(-30))], vec![1, 0]);
        assert_eq!(points.name(points.of(FileId(0))), "outside");
        assert_eq!(points.common_time(1, Time(100)), Time(130));
        assert_eq!(points.common_time(0, Time(100)), Time(100));
    }
}
