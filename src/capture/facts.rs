//! What one input was, and what could not be read of it.
//!
//! In:  what the raw reader and the format's reader noticed.
//! Out: [`InputFacts`], one per input, for the manifest.
//! Not: what was inside the frames.

use std::path::PathBuf;

use super::FrameHeader;
use super::LinkType;
use crate::base::FileId;
use crate::base::Time;
use crate::base::WireText;

/// Damage is kept in full up to here; past it, only counted.
const DAMAGE_LIMIT: usize = 64;

/// What became of an input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum InputOutcome {
    /// Not opened: the frame limit was reached before it.
    #[default]
    Untouched,
    /// Read, as far as its damage allowed.
    Read,
    /// Named by the user, and no frame could be read: why.
    Refused(String),
    /// Found in a folder and no capture: why.
    PassedOver(String),
}

/// An interface that frames of an input were captured on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Interface {
    /// How its frames begin.
    pub link: LinkType,
    /// At most so many bytes of a frame were kept; 0: no limit.
    pub snap_len: u32,
    /// Its name, for example `eth0`.
    pub name: Option<WireText>,
    /// What it was called by a person, its hardware, its operating system, the filter that was set, comments.
    pub about: Vec<(&'static str, WireText)>,
    /// Units of its time stamps, for example `10^-9` or `2^-20` of a second.
    pub resolution: String,
    /// Packets that it received, by its own count.
    pub received: Option<u64>,
    /// Packets that it lost, by its own count.
    pub dropped: Option<u64>,
    /// Packets that the operating system lost behind it.
    pub dropped_by_system: Option<u64>,
}

impl Interface {
    /// An interface of which only the link type is known.
    pub(super) fn new(link: LinkType, snap_len: u32, resolution: &str) -> Interface {
        Interface {
            link,
            snap_len,
            name: None,
            about: Vec::new(),
            resolution: resolution.to_owned(),
            received: None,
            dropped: None,
            dropped_by_system: None,
        }
    }
}

/// One place where an input could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputDamage {
    /// The last sound frame before it; 0: none.
    pub after_frame: u64,
    /// Where it began, in bytes of the capture (decompressed, if it was compressed).
    pub at_byte: u64,
    /// How many bytes were passed over.
    pub skipped_bytes: u64,
    /// The sentence for people: `cut after frame 1812`.
    pub what: String,
}

/// Everything known of one input that is not a frame.
#[derive(Clone, Debug, Default)]
pub struct InputFacts {
    /// Its place in the final order.
    pub file: FileId,
    /// Its name as the user gave it, printable.
    pub name: WireText,
    /// Its path; `None` for streams.
    pub path: Option<PathBuf>,
    /// What became of it.
    pub outcome: InputOutcome,
    /// The capture format, for example `pcapng`.
    pub format: Option<&'static str>,
    /// How it was compressed, for example `gzip`.
    pub compression: Option<&'static str>,
    /// Bytes read, as they lie on the disk.
    pub raw_bytes: u64,
    /// True when it was read to its end.
    pub complete: bool,
    /// Hash of those bytes, in hexadecimal.
    pub hash: Option<String>,
    /// Bytes of the capture; the same as `raw_bytes` when it is not compressed.
    pub decoded_bytes: u64,
    /// Of `decoded_bytes`: headers, blocks without frames, padding, checksums cut off.
    pub overhead_bytes: u64,
    /// Of `decoded_bytes`: the frames' own bytes.
    pub frame_bytes: u64,
    /// Of `decoded_bytes`: passed over because of damage.
    pub skipped_bytes: u64,
    /// Frames cut.
    pub frames: u64,
    /// Frames of these that the filter turned away.
    pub filtered: u64,
    /// Frames handed on.
    pub handed_on: u64,
    /// Time of the first frame.
    pub first: Option<Time>,
    /// Time of the last frame.
    pub last: Option<Time>,
    /// The earliest time.
    pub earliest: Option<Time>,
    /// The latest time.
    pub latest: Option<Time>,
    /// How often a frame was earlier than the one before it.
    pub backwards: u64,
    /// Frames whose time lies outside the years that [`Time`] can say, and was clamped.
    pub clamped: u64,
    /// Frames without a time; they carry the time of the frame before.
    pub untimed: u64,
    /// Packets that the capture says were lost, from counts beside its frames.
    pub lost: u64,
    /// Blocks that are no frames, but have a number as if they were, because Wireshark gives them one.
    pub numbered_blocks: u64,
    /// Blocks of a type that says nothing to us.
    pub passed_over: u64,
    /// Interfaces, in file order.
    pub interfaces: Vec<Interface>,
    /// What the file says of its origin: hardware, operating system, application, comments.
    pub about: Vec<(&'static str, WireText)>,
    /// Where it could not be read; the first of them.
    pub damage: Vec<InputDamage>,
    /// How many places could not be read.
    pub damage_count: u64,
    /// What is odd and no damage, as sentences.
    pub notes: Vec<String>,
}

/// Of so many packets one missing is too much to believe in silence.
const ONE_IN: u64 = 100;

/// Whether `lost` packets beside `kept` ones are so many that silence means nothing.
pub(super) const fn is_much(lost: u64, kept: u64) -> bool {
    lost > kept / ONE_IN
}

/// Texts of an interface or a section are kept up to so many.
const ABOUT_LIMIT: usize = 16;

/// Keeps a text of a section or interface, within limits.
pub(super) fn tell(about: &mut Vec<(&'static str, WireText)>, what: &'static str, text: &[u8]) {
    let text = text.strip_suffix(b"\0").unwrap_or(text);
    if about.len() < ABOUT_LIMIT && !text.is_empty() {
        about.push((what, WireText::new(text, 512)));
    }
}

impl InputFacts {
    /// Adds what a run of new frames says.
    pub(super) fn tally(&mut self, frames: &[FrameHeader]) {
        let (Some(first), Some(last)) = (frames.first(), frames.last()) else { return };
        let mut before = self.last.unwrap_or(first.time);
        let mut earliest = self.earliest.unwrap_or(first.time);
        let mut latest = self.latest.unwrap_or(first.time);
        for frame in frames {
            self.frame_bytes += u64::from(frame.captured_len);
            self.backwards += u64::from(frame.time < before);
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

    /// Tells of damage; `skipped_bytes` of it were passed over.
    pub(super) fn damaged(&mut self, after_frame: u64, at_byte: u64, skipped_bytes: u64, what: String) {
        self.damage_count += 1;
        self.skipped_bytes += skipped_bytes;
        if self.damage.len() < DAMAGE_LIMIT {
            self.damage.push(InputDamage { after_frame, at_byte, skipped_bytes, what });
        }
    }

    /// Notes something odd, once.
    pub(super) fn note(&mut self, what: impl Into<String>) {
        let what = what.into();
        if self.notes.len() < DAMAGE_LIMIT && !self.notes.contains(&what) {
            self.notes.push(what);
        }
    }

    /// Packets that its sensor says it lost, by its counts beside the frames or those of its interfaces, which may be the same.
    pub fn missing(&self) -> u64 {
        let each = |interface: &Interface| {
            let by = [interface.dropped, interface.dropped_by_system];
            by.into_iter().flatten().fold(0, u64::saturating_add)
        };
        self.lost.max(self.interfaces.iter().map(each).fold(0, u64::saturating_add))
    }

    /// True when so many are missing that silence in it means nothing.
    pub fn has_heavy_loss(&self) -> bool {
        is_much(self.missing(), self.frames)
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
    fn damage_is_capped_and_counted() {
        let mut facts = InputFacts::default();
        for at in 0..100 {
            facts.damaged(at, at, 2, "x".to_owned());
        }
        assert_eq!((facts.damage.len(), facts.damage_count, facts.skipped_bytes), (64, 100, 200));
    }

    #[test]
    fn time_that_runs_backwards_is_counted_across_runs() {
        let at = |time| FrameHeader { time: Time(time), ..FrameHeader::default() };
        let mut facts = InputFacts::default();
        facts.tally(&[at(5), at(7), at(6)]);
        facts.tally(&[at(4), at(9)]);
        assert_eq!((facts.backwards, facts.frames), (2, 5));
        assert_eq!((facts.earliest, facts.latest), (Some(Time(4)), Some(Time(9))));
        assert_eq!((facts.first, facts.last), (Some(Time(5)), Some(Time(9))));
    }
}
