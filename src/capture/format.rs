//! The capture formats that can be read.
//!
//! In:  the first bytes of a capture.
//! Out: the reader that cuts its frames.
//! Not: where the bytes come from.

use super::FrameHeader;
use super::InputFacts;
use super::erf;
use super::pcap;
use super::pcapng;
use super::snoop;

/// A record that is longer than this is damage, whatever its header says.
pub(super) const RECORD_LIMIT: usize = 64 << 20;

/// What a format's reader sees: bytes that are not used yet, in one block.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    /// The bytes.
    pub bytes: &'a [u8],
    /// Where they begin in their block.
    pub base: usize,
    /// Where they begin in the capture.
    pub position: u64,
    /// True when no bytes follow them.
    pub last: bool,
}

/// What a format's reader writes.
pub(super) struct Out<'a> {
    /// The frames; empty when the reader begins.
    pub frames: &'a mut Vec<FrameHeader>,
    /// No more frames than that.
    pub room: usize,
    /// Everything else.
    pub facts: &'a mut InputFacts,
}

impl Out<'_> {
    /// The number of the last frame cut.
    pub(super) fn frames_before(&self) -> u64 {
        self.facts.frames + self.facts.numbered_blocks + self.frames.len() as u64
    }
}

/// How far a reader came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// So many bytes are used up.
    pub used: usize,
    /// So many bytes are wanted from there on; 0: there was no room for more frames.
    pub need: usize,
}

/// Cuts the frames of one capture.
///
/// With `view.last` a reader uses every byte up, unless `out` has no room left.
pub(super) trait Cut: Send {
    /// Cuts as many frames as there are bytes and room for.
    fn cut(&mut self, view: View<'_>, out: &mut Out<'_>) -> Step;
}

/// A reader, and the name of its format.
pub(super) type Reader = (Box<dyn Cut>, &'static str);

/// A capture format.
pub(super) struct Format {
    /// Looks at so many bytes.
    pub wanted: usize,
    /// Its reader and its name, if these are its first bytes; `true`: they are all there is.
    pub probe: fn(&[u8], bool) -> Option<Reader>,
}

/// The formats, those with a magic number first.
pub(super) const FORMATS: &[Format] = &[pcap::FORMAT, pcapng::FORMAT, snoop::FORMAT, erf::FORMAT];

/// A place from which on a capture could not be read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lost {
    /// Where it began.
    pub at: u64,
    /// The frame before it.
    pub after_frame: u64,
    /// What was wrong there.
    pub why: &'static str,
}

impl Lost {
    /// Tells that reading goes on at `position`, or that the capture ended there.
    pub(super) fn found(self, position: u64, facts: &mut InputFacts) {
        let skipped = position - self.at;
        let what = format!("{} after frame {}, {} bytes skipped", self.why, self.after_frame, skipped);
        facts.damaged(self.after_frame, self.at, skipped, what);
    }
}

/// Tells that the capture ends inside a record.
pub(super) fn cut_short(view: View<'_>, used: usize, out: &mut Out<'_>) {
    let skipped = (view.bytes.len() - used) as u64;
    if skipped > 0 {
        let after = out.frames_before();
        let what = if after == 0 {
            "cut before the first frame".to_owned()
        } else {
            format!("cut after frame {after}")
        };
        out.facts.damaged(after, view.position + used as u64, skipped, what);
    }
}

/// Four bytes in the capture's byte order.
#[inline(always)]
pub(super) const fn word<const BIG: bool>(bytes: [u8; 4]) -> u32 {
    if BIG { u32::from_be_bytes(bytes) } else { u32::from_le_bytes(bytes) }
}

/// The four bytes at `at`.
#[inline(always)]
pub(super) fn four(bytes: &[u8], at: usize) -> Option<[u8; 4]> {
    bytes.get(at..).and_then(|rest| rest.first_chunk::<4>()).copied()
}
