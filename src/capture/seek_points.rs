//! Places in a file where reading can go on: to read a few frames again, the bytes between them are not needed.
//!
//! In:  how far reading had got between two runs of frames.
//! Out: for a frame, the last place before it.
//! Not: frames, and inputs that can only be read from their start: streams, compressed files, event traces.

use crate::base::Time;

/// A place between two frames of an uncompressed file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeekPoint {
    /// Its offset in the file.
    pub(super) position: u64,
    /// Frames before it.
    pub(super) frames: u64,
    /// Blocks before it that are numbered like frames.
    pub(super) numbered_blocks: u64,
    /// Time of the frame before it, for frames without a time.
    pub(super) last: Option<Time>,
    /// How the bytes after it are to be read.
    pub(super) layout: Layout,
}

/// Readers with the same layout read the same bytes as the same frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// Captures before this one in the same file.
    pub(super) captures: u64,
    /// Sections of the capture so far, and interfaces of the last one.
    pub(super) sections: u32,
    pub(super) interfaces: usize,
}

impl SeekPoint {
    /// The number of the last frame or numbered block before it.
    const fn number(&self) -> u64 {
        self.frames + self.numbered_blocks
    }
}

/// The places of one file, in its order.
#[derive(Clone, Debug)]
pub struct SeekPoints {
    points: Vec<SeekPoint>,
    /// One of this many places is kept.
    stride: u32,
    /// Places to pass over before the next one is kept.
    passed_over: u32,
}

/// Places that are kept of a file.
const POINT_LIMIT: usize = 4096;

impl Default for SeekPoints {
    fn default() -> SeekPoints {
        SeekPoints { points: Vec::new(), stride: 1, passed_over: 0 }
    }
}

impl SeekPoints {
    /// Adds a place after all others. When there are too many, every other one goes.
    pub(super) fn add(&mut self, point: SeekPoint) {
        if self.passed_over > 0 {
            self.passed_over -= 1;
            return;
        }
        if self.points.len() >= POINT_LIMIT {
            let mut is_kept = false;
            self.points.retain(|_| {
                is_kept = !is_kept;
                is_kept
            });
            self.stride = self.stride.saturating_mul(2);
        }
        self.points.push(point);
        self.passed_over = self.stride - 1;
    }

    /// The last place before the frame with this number.
    pub fn before(&self, number: u64) -> Option<&SeekPoint> {
        let after = self.points.partition_point(|point| point.number() < number);
        self.points.get(after.checked_sub(1)?)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Capture;
    use super::super::Chunk;
    use super::super::Input;
    use super::super::InputPlan;
    use super::super::test_support::CaptureBuilder;
    use super::super::test_support::ReadFrame;
    use super::*;

    fn point(frames: u64) -> SeekPoint {
        let layout = Layout { captures: 0, sections: 0, interfaces: 1 };
        SeekPoint { position: frames * 100, frames, numbered_blocks: 0, last: None, layout }
    }

    #[test]
    fn the_place_before_a_frame_is_found() {
        let mut points = SeekPoints::default();
        assert_eq!(points.before(1), None);
        (0..3).for_each(|run| points.add(point(run * 10)));
        let found = |number| points.before(number).map(|point| point.frames);
        assert_eq!([1, 10, 11, 20, 21, 99].map(found), [0, 0, 10, 10, 20, 20].map(Some));
        assert_eq!(found(0), None);
    }

    #[test]
    fn a_long_file_keeps_places_all_over_it() {
        let mut points = SeekPoints::default();
        (0..100_000).for_each(|run| points.add(point(run)));
        assert!((POINT_LIMIT / 2..=POINT_LIMIT).contains(&points.points.len()), "{}", points.points.len());
        let far = (1..=100_000).map(|number| number - points.before(number).unwrap().frames).max();
        assert!(far <= Some(64), "{far:?}");
        assert!(points.points.is_sorted_by_key(|point| point.frames));
    }

    /// The frames of a file; after its first chunk, reading goes on at `point`.
    fn read_from(path: &std::path::Path, point: Option<&SeekPoint>) -> (Vec<ReadFrame>, SeekPoints) {
        let inputs = vec![Input::Path(path.to_owned())];
        let mut capture = Capture::open(InputPlan { inputs, ..InputPlan::default() }).unwrap();
        let mut chunk = Chunk::default();
        let mut frames = Vec::new();
        while capture.next(&mut chunk) {
            if let (Some(point), true) = (point, frames.is_empty()) {
                capture.skip_to(chunk.file, point);
            }
            frames.extend(chunk.frames().map(|frame| {
                (frame.frame_ref.number, frame.time.0, frame.link.0, frame.wire_len, frame.bytes.to_vec())
            }));
        }
        (frames, capture.finish().remove(0).seek_points)
    }

    /// Reads the file anew from each of its places. Returns those to which it skips frames, by the number of frames before them.
    fn skips(file: &CaptureBuilder) -> Vec<u64> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("capture");
        std::fs::write(&path, &file.bytes).unwrap();
        let (all, points) = read_from(&path, None);
        let first_run = points.points[0].frames as usize;
        let mut skipped_to = Vec::new();
        for point in &points.points {
            let (again, _) = read_from(&path, Some(point));
            let from = all.len() - (again.len() - first_run);
            assert!(from == first_run || from as u64 == point.frames, "{point:?}: {from}");
            assert!(again[..first_run] == all[..first_run] && again[first_run..] == all[from..], "{point:?}");
            skipped_to.extend((from > first_run).then_some(point.frames));
        }
        skipped_to
    }

    const FRAME: [u8; 900] = [7; 900];

    #[test]
    fn a_pcap_file_is_read_on_at_each_place() {
        let mut file = CaptureBuilder::pcap(false, 0xa1b2_c3d4, 1);
        for number in 0..6_000 {
            file.record(1_700_000_000 + number, number, &FRAME);
        }
        assert!(skips(&file).len() > 10);
        // Another capture in the same file may have another link type: no place of it is skipped to from the first.
        let mut other = CaptureBuilder::pcap(true, 0xa1b2_3c4d, 101);
        for number in 0..3_000 {
            other.record(1_700_006_000 + number, number, &FRAME);
        }
        file.raw(&other.bytes);
        let skipped_to = skips(&file);
        assert!(skipped_to.len() > 10 && skipped_to.iter().all(|frames| *frames <= 6_000), "{skipped_to:?}");
    }

    #[test]
    fn a_pcapng_file_is_read_on_where_the_same_interfaces_are_described() {
        let mut file = CaptureBuilder::pcapng(false);
        file.interface(1, |_| ());
        let packets = |file: &mut CaptureBuilder, interface: u32| {
            for number in 0..3_000 {
                file.packet(interface, 1_700_000_000_000_000 + number, &FRAME);
                if number % 1_000 == 500 {
                    // A simple packet has no time of its own.
                    file.block(3, |block| {
                        block.u32(900).raw(&FRAME);
                    });
                }
            }
        };
        packets(&mut file, 0);
        file.interface(101, |_| ());
        packets(&mut file, 1);
        file.section(true).interface(101, |_| ());
        packets(&mut file, 0);
        let skipped_to = skips(&file);
        assert!(skipped_to.len() > 5 && skipped_to.iter().all(|frames| *frames <= 3_003), "{skipped_to:?}");
    }

    #[test]
    fn damage_is_no_place_to_read_on() {
        let mut file = CaptureBuilder::pcap(false, 0xa1b2_c3d4, 1);
        for number in 0..6_000 {
            file.record(1_700_000_000 + number, number, &FRAME);
            if number % 2_000 == 1_500 {
                file.raw(&[0xee; 5_000]);
            }
        }
        assert!(skips(&file).len() > 5);
    }
}
