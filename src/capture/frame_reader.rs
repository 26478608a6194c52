//! What the capture formats have in common.
//!
//! In:  bytes of a capture, block by block.
//! Out: frame headers, and the damage between them.
//! Not: any format; those are rows of [`FORMATS`](super::format::FORMATS).

use super::FrameHeader;
use super::InputFacts;
use crate::base::HostReport;

/// The longest record that is accepted. A longer length in a record header is damage.
pub(super) const RECORD_LIMIT: usize = 64 << 20;

/// Seconds between two records of one capture. After more, another capture may begin there.
pub(super) const USUAL_GAP_SECS: u32 = 7 * 86_400;

/// The bytes that are not used yet, in one block.
#[derive(Clone, Copy)]
pub(super) struct InputBytes<'a> {
    pub bytes: &'a [u8],
    /// Offset of the first byte in its block.
    pub block_offset: usize,
    /// Offset of the first byte in the capture.
    pub position: u64,
    /// True when no bytes follow these.
    pub at_end: bool,
}

/// What a reader fills.
pub(super) struct FrameOut<'a> {
    /// The frames; empty at the start.
    pub frames: &'a mut Vec<FrameHeader>,
    /// At most this many frames.
    pub limit: usize,
    /// Everything that is not a frame.
    pub facts: &'a mut InputFacts,
    /// Frames that the host itself dropped, by number; `None` where the input is no event trace, and so cannot report any.
    pub host_reports: Option<&'a mut Vec<(u64, HostReport)>>,
    /// Another capture begins where this one ends: files were concatenated.
    pub begins_another: bool,
}

impl FrameOut<'_> {
    /// The number of the last frame; 0 before the first.
    pub(super) fn last_number(&self) -> u64 {
        self.facts.frames + self.facts.numbered_blocks + self.frames.len() as u64
    }
}

/// How far a reader got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ReadStep {
    /// Bytes used.
    pub used: usize,
    /// Bytes needed after these; 0: the frame limit was reached.
    pub need: usize,
}

/// Reads the frames of one capture.
///
/// At the end of the input a reader uses all bytes, unless the frame limit stops it.
pub(super) trait FrameReader: Send {
    /// Reads as many frames as bytes and limit allow.
    fn read_frames(&mut self, input: InputBytes<'_>, out: &mut FrameOut<'_>) -> ReadStep;

    /// Sections and interfaces, if a reader of the same capture that has read as many can go on here. By default none can.
    fn layout(&self) -> Option<(u32, usize)> {
        None
    }
}

/// A reader, and the name of its format.
pub(super) type OpenReader = (Box<dyn FrameReader>, &'static str);

/// A capture format.
pub(super) struct CaptureFormat {
    /// Bytes that `probe` needs.
    pub probe_len: usize,
    /// The reader, if a capture of this format starts with these bytes; `true`: they are the whole capture.
    pub probe: fn(&[u8], bool) -> Option<OpenReader>,
}

/// A position from which on a capture could not be read.
#[derive(Clone, Copy, Debug)]
pub(super) struct DamageStart {
    /// In bytes of the capture.
    pub position: u64,
    /// The last frame before it.
    pub after_frame: u64,
    pub reason: &'static str,
}

impl DamageStart {
    /// Damage from `used` on.
    pub(super) fn at(
        used: usize,
        reason: &'static str,
        input: InputBytes<'_>,
        out: &FrameOut<'_>,
    ) -> DamageStart {
        let position = input.position + used as u64;
        DamageStart { position, after_frame: out.last_number(), reason }
    }

    /// Skips the rest of a capture whose format does not show where the next record starts.
    pub(super) fn skip_rest(self, input: InputBytes<'_>, out: &mut FrameOut<'_>) -> ReadStep {
        if input.at_end {
            self.record_until(input.position + input.bytes.len() as u64, out.facts);
        }
        ReadStep { used: input.bytes.len(), need: 1 }
    }

    /// Records the damage: reading continues at `end`, or the capture ends there.
    pub(super) fn record_until(self, end: u64, facts: &mut InputFacts) {
        let skipped = end - self.position;
        let message = format!("{} after frame {}, {} bytes skipped", self.reason, self.after_frame, skipped);
        facts.record_damage(self.after_frame, self.position, skipped, message);
    }
}

/// Asks for the `need` bytes of the record at `used`, or records that the capture ends inside it.
pub(super) fn need_record(
    need: usize,
    input: InputBytes<'_>,
    used: usize,
    out: &mut FrameOut<'_>,
) -> ReadStep {
    if input.at_end {
        record_truncation(input, used, out);
        ReadStep { used: input.bytes.len(), need: 0 }
    } else {
        ReadStep { used, need }
    }
}

/// Records that the capture ends inside a record that starts at `used`.
pub(super) fn record_truncation(input: InputBytes<'_>, used: usize, out: &mut FrameOut<'_>) {
    let skipped = (input.bytes.len() - used) as u64;
    if skipped > 0 {
        let after_frame = out.last_number();
        let message = if after_frame == 0 {
            "truncated before the first frame".to_owned()
        } else {
            format!("truncated after frame {after_frame}")
        };
        out.facts.record_damage(after_frame, input.position + used as u64, skipped, message);
    }
}

/// A number in the capture's byte order.
#[inline(always)]
pub(super) const fn u32_from<const BIG: bool>(bytes: [u8; 4]) -> u32 {
    if BIG { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
}

/// The four bytes at `offset`.
#[inline(always)]
pub(super) fn four_at(bytes: &[u8], offset: usize) -> Option<[u8; 4]> {
    bytes.get(offset..).and_then(|rest| rest.first_chunk::<4>()).copied()
}
