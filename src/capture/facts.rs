//! What one input was, and what could not be read of it.
//!
//! In:  what the readers of bytes and of the format count and notice.
//! Out: [`InputFacts`], one per input, for the manifest.
//! Not: what is inside the frames.

use std::path::PathBuf;

use super::FrameHeader;
use super::LinkType;
use super::SeekPoints;
use crate::base::FileId;
use crate::base::Time;
use crate::base::WireText;

/// Damage and notes of one input that are kept. All damage is counted.
pub(super) const DAMAGE_LIMIT: usize = 64;

/// What became of an input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum InputOutcome {
    /// Not opened: the frame limit was reached before it.
    #[default]
    NotReached,
    /// Read, as far as its damage allowed.
    Read,
    /// Named by the user, and without a frame that can be read: the reason.
    Refused(String),
    /// Found in a folder, and not a capture: the reason.
    Skipped(String),
}

/// An interface that frames of an input were captured on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// The link type of its frames.
    pub link: LinkType,
    /// Most bytes kept of a frame; 0: no limit.
    pub snap_len: u32,
    /// Its name, for example `eth0`.
    pub name: Option<WireText>,
    /// Its description, hardware, operating system, capture filter and comments.
    pub metadata: Vec<(&'static str, WireText)>,
    /// The unit of its timestamps, for example `10^-9` or `2^-20` of a second.
    pub resolution: String,
    /// Packets received, by its own count.
    pub received: Option<u64>,
    /// Packets that the interface dropped, by its own count.
    pub dropped: Option<u64>,
    /// Packets that the operating system dropped after it.
    pub dropped_by_os: Option<u64>,
}

impl Interface {
    /// An interface of which only this is known.
    pub(super) fn new(link: LinkType, snap_len: u32, resolution: &str) -> Interface {
        Interface {
            link,
            snap_len,
            name: None,
            metadata: Vec::new(),
            resolution: resolution.to_owned(),
            received: None,
            dropped: None,
            dropped_by_os: None,
        }
    }
}

/// A part of an input that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputDamage {
    /// The last intact frame before it; 0: none.
    pub after_frame: u64,
    /// Its first byte, in the decompressed capture.
    pub at_byte: u64,
    /// Bytes skipped.
    pub skipped_bytes: u64,
    /// What is wrong and where: `truncated after frame 1812`.
    pub message: String,
}

/// Everything known of one input that is not a frame.
#[derive(Clone, Debug, Default)]
pub struct InputFacts {
    /// Its position in the order of all inputs.
    pub file: FileId,
    /// Its name as the user gave it, printable.
    pub name: WireText,
    /// Its path; `None` for streams.
    pub path: Option<PathBuf>,
    /// What became of it.
    pub outcome: InputOutcome,
    /// The capture format, for example `pcapng`.
    pub format: Option<&'static str>,
    /// The compression, for example `gzip`.
    pub compression: Option<&'static str>,
    /// Bytes read, before decompression.
    pub raw_bytes: u64,
    /// True when it was read to its end.
    pub complete: bool,
    /// Hash of the raw bytes, in hexadecimal.
    pub hash: Option<String>,
    /// Bytes of the decompressed capture.
    pub decoded_bytes: u64,
    /// Of `decoded_bytes`: headers, blocks without frames, padding, frame checksums that were removed.
    pub overhead_bytes: u64,
    /// Of `decoded_bytes`: the frames' own bytes.
    pub frame_bytes: u64,
    /// Frames of which the capture holds a part only, because of its snap length.
    pub cut_frames: u64,
    /// The most bytes that it holds of such a frame.
    pub cut_len: u32,
    /// Of `decoded_bytes`: skipped because of damage.
    pub skipped_bytes: u64,
    /// Frames read.
    pub frames: u64,
    /// Of `frames`: rejected by the capture filter.
    pub filtered: u64,
    /// Of `frames`: delivered to the next stage.
    pub delivered: u64,
    /// Time of the first frame.
    pub first: Option<Time>,
    /// Time of the last frame.
    pub last: Option<Time>,
    /// The earliest time.
    pub earliest: Option<Time>,
    /// The latest time.
    pub latest: Option<Time>,
    /// How often a frame was earlier than the one before it.
    pub time_reversals: u64,
    /// Frames whose time is outside the years that [`Time`] can represent, and was clamped.
    pub clamped_times: u64,
    /// Frames without a time. They get the time of the frame before.
    pub frames_without_time: u64,
    /// Packets that records and blocks report as dropped.
    pub reported_drops: u64,
    /// Buffers of an event trace log that its session lost, each with an unknown number of packets.
    pub lost_buffers: u64,
    /// Buffers of an event trace log.
    pub buffers: u64,
    /// Packets that an event trace log holds with other addresses, too: its host translates them.
    pub translated_packets: u64,
    /// Which of these addresses stand for one another.
    pub translations: Vec<String>,
    /// Blocks that hold no frame and still have a frame number, because Wireshark gives them one.
    pub numbered_blocks: u64,
    /// Blocks of unknown types.
    pub skipped_blocks: u64,
    /// Interfaces, in file order.
    pub interfaces: Vec<Interface>,
    /// Captures after the first one: files were concatenated.
    pub further_captures: u64,
    /// The file's hardware, operating system, application and comments.
    pub metadata: Vec<(&'static str, WireText)>,
    /// Where a second reading can go on.
    pub seek_points: SeekPoints,
    /// What could not be read, up to a limit.
    pub damage: Vec<InputDamage>,
    /// How many parts could not be read.
    pub damage_count: u64,
    /// What is unusual and not damage.
    pub notes: Vec<String>,
}

/// Some devices count the frame check sequence and do not capture it.
const CHECKSUM_LEN: u32 = 4;

/// If more than one packet in this many was dropped, a missing reply proves nothing.
const HEAVY_LOSS_ONE_IN: u64 = 100;

/// Whether so many packets were dropped that a missing reply proves nothing.
pub(super) const fn is_heavy_loss(dropped: u64, kept: u64) -> bool {
    dropped > kept / HEAVY_LOSS_ONE_IN
}

impl InputFacts {
    /// Counts frames that follow those counted before.
    pub(super) fn count_frames(&mut self, frames: &[FrameHeader]) {
        let (Some(first), Some(last)) = (frames.first(), frames.last()) else { return };
        let mut before = self.last.unwrap_or(first.time);
        let mut earliest = self.earliest.unwrap_or(first.time);
        let mut latest = self.latest.unwrap_or(first.time);
        for frame in frames {
            self.frame_bytes += u64::from(frame.captured_len);
            if frame.captured_len.saturating_add(CHECKSUM_LEN) < frame.wire_len {
                self.cut_frames += 1;
                self.cut_len = self.cut_len.max(frame.captured_len);
            }
            self.time_reversals += u64::from(frame.time < before);
            earliest = earliest.min(frame.time);
            latest = latest.max(frame.time);
            before = frame.time;
        }
        self.frames += frames.len() as u64;
        self.first = self.first.or(Some(first.time));
        self.last = Some(last.time);
        self.earliest = Some(earliest);
        self.latest = Some(latest);
    }

    /// Records damage.
    pub(super) fn record_damage(
        &mut self,
        after_frame: u64,
        at_byte: u64,
        skipped_bytes: u64,
        message: String,
    ) {
        self.damage_count += 1;
        self.skipped_bytes += skipped_bytes;
        if self.damage.len() < DAMAGE_LIMIT {
            self.damage.push(InputDamage { after_frame, at_byte, skipped_bytes, message });
        }
    }

    /// Adds a note, once.
    pub(super) fn note(&mut self, note: impl Into<String>) {
        let note = note.into();
        if self.notes.len() < DAMAGE_LIMIT && !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }

    /// Packets that the capture device reports as dropped. Counts in records and counts of interfaces may be the same drops.
    pub fn dropped_packets(&self) -> u64 {
        let by_interface = |interface: &Interface| {
            let counts = [interface.dropped, interface.dropped_by_os];
            counts.into_iter().flatten().fold(0, u64::saturating_add)
        };
        let by_interfaces = self.interfaces.iter().map(by_interface).fold(0, u64::saturating_add);
        self.reported_drops.max(by_interfaces)
    }

    /// True when so many packets were dropped that a missing reply proves nothing.
    pub fn has_heavy_loss(&self) -> bool {
        is_heavy_loss(self.dropped_packets(), self.frames) || is_heavy_loss(self.lost_buffers, self.buffers)
    }

    /// True when every decoded byte is accounted for.
    pub fn adds_up(&self) -> bool {
        self.decoded_bytes == self.overhead_bytes + self.frame_bytes + self.skipped_bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn damage_beyond_the_limit_is_counted() {
        let mut facts = InputFacts::default();
        for at in 0..100 {
            facts.record_damage(at, at, 2, "x".to_owned());
        }
        assert_eq!((facts.damage.len(), facts.damage_count, facts.skipped_bytes), (64, 100, 200));
    }

    #[test]
    fn cut_frames_are_counted_with_the_snap_length() {
        let frame = |captured_len, wire_len| FrameHeader { captured_len, wire_len, ..FrameHeader::default() };
        let mut facts = InputFacts::default();
        facts.count_frames(&[frame(60, 60), frame(128, 1514), frame(60, 64), frame(128, 133), frame(90, 60)]);
        assert_eq!((facts.cut_frames, facts.cut_len), (2, 128));
    }

    #[test]
    fn time_reversals_are_counted_across_runs_of_frames() {
        let at = |time| FrameHeader { time: Time(time), ..FrameHeader::default() };
        let mut facts = InputFacts::default();
        facts.count_frames(&[at(5), at(7), at(6)]);
        facts.count_frames(&[at(4), at(9)]);
        assert_eq!((facts.time_reversals, facts.frames), (2, 5));
        assert_eq!((facts.earliest, facts.latest), (Some(Time(4)), Some(Time(9))));
        assert_eq!((facts.first, facts.last), (Some(Time(5)), Some(Time(9))));
    }
}
