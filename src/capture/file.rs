//! Reads one input from its first byte to its last.
//!
//! In:  a file or stream.
//! Out: runs of frames, filtered, and at the end its facts.
//! Not: other inputs.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::FrameHeader;
use super::InputFacts;
use super::InputOutcome;
use super::block;
use super::block::Feed;
use super::block::Raw;
use super::compress::Source;
use super::filter::Filter;
use super::format::Cut;
use super::format::FORMATS;
use super::format::Out;
use super::format::RECORD_LIMIT;
use super::format::View;
use super::hash::Tee;
use crate::base::FileId;

/// Frames of one run: their headers stay in the cache beside their block.
const RUN_LIMIT: usize = 2048;

/// One input while it is read.
pub(super) struct Reading {
    source: Source,
    cutter: Box<dyn Cut>,
    facts: InputFacts,
    size: Option<u64>,
    done: bool,
}

/// A run of frames that share a block.
#[derive(Default)]
pub(super) struct Run {
    pub frames: Vec<FrameHeader>,
    pub block: Arc<Vec<u8>>,
}

impl Reading {
    /// Begins to read and recognises the format; without one, the facts say what it is instead.
    pub(super) fn begin(
        origin: block::Origin,
        size: Option<u64>,
        tee: Option<Tee>,
        meter: Arc<AtomicU64>,
        block_len: usize,
        mut facts: InputFacts,
    ) -> Result<Reading, Box<InputFacts>> {
        let feed = Feed::new(Raw::new(origin, tee, meter), block_len);
        let mut source = Source::new(feed, block_len);
        facts.compression = source.compression();
        for format in FORMATS {
            source.have(format.wanted);
            if let Some((cutter, name)) = (format.probe)(source.window().bytes(), source.ended()) {
                facts.format = Some(name);
                facts.outcome = InputOutcome::Read;
                return Ok(Reading { source, cutter, facts, size, done: false });
            }
        }
        facts.outcome = InputOutcome::Refused(what_else(&source));
        facts.raw_bytes = source.feed().read_bytes();
        Err(Box::new(facts))
    }

    /// Cuts the next run of frames; false at the end.
    pub(super) fn next(&mut self, run: &mut Run, filter: Option<&mut Filter>, room: u64) -> bool {
        run.frames.clear();
        let mut filter = filter;
        while !self.done {
            self.cut(run, usize::try_from(room).unwrap_or(RUN_LIMIT).min(RUN_LIMIT));
            self.facts.tally(&run.frames);
            if self.done {
                self.end();
            }
            if run.frames.is_empty() {
                continue;
            }
            if let Some(filter) = filter.as_deref_mut() {
                self.choose(run, filter);
            }
            if !run.frames.is_empty() {
                return true;
            }
        }
        false
    }

    fn cut(&mut self, run: &mut Run, room: usize) {
        let last = self.source.ended();
        let window = self.source.window();
        let view =
            View { bytes: window.bytes(), base: window.begin(), position: self.source.position(), last };
        let left = view.bytes.len();
        let step = self.cutter.cut(view, &mut Out { frames: &mut run.frames, room, facts: &mut self.facts });
        if !run.frames.is_empty() {
            run.block = Arc::clone(window.block());
        }
        self.source.consume(step.used);
        let left = left.saturating_sub(step.used);
        if last {
            // Without room the reader has more to say; without progress it never will.
            self.done = left == 0 || (step.used == 0 && run.frames.is_empty());
        } else if step.need > RECORD_LIMIT + 4096 {
            self.done = true;
        } else if run.frames.is_empty() || step.need > 0 {
            // The frames just cut keep the old block alive, so that reading on cannot change them.
            self.source.have(step.need.max(left + 1));
        }
    }

    /// Drops frames that the filter does not want.
    fn choose(&mut self, run: &mut Run, filter: &mut Filter) {
        let block = &run.block;
        let before = run.frames.len();
        let facts = &mut self.facts;
        run.frames.retain(|header| {
            let begin = header.offset as usize;
            let bytes = block.get(begin..begin + header.captured_len as usize).unwrap_or_default();
            match filter.program(header.link) {
                Some(program) => program.keeps(bytes, header.wire_len),
                None => {
                    let name = super::link_type_name(header.link).unwrap_or("unknown");
                    facts.note(format!(
                        "filter does not suit link type {} ({name}): its frames are left out",
                        header.link.0
                    ));
                    false
                }
            }
        });
        facts.filtered += (before - run.frames.len()) as u64;
    }

    /// Reads what is left for the hash, and closes the books.
    fn end(&mut self) {
        let at = self.source.position();
        let after = self.facts.frames;
        if let Some(fault) = self.source.fault() {
            let what = format!("{fault} near frame {after}");
            self.facts.damaged(after, at, 0, what);
        }
        let skipped = self.source.drain();
        if skipped > 0 && self.source.compression().is_none() {
            self.facts.damaged(after, at, skipped, format!("unreadable after frame {after}"));
        } else {
            self.facts.skipped_bytes += skipped;
        }
        self.facts.compression = self.source.compression();
        self.source.add_facts(&mut self.facts);
        self.facts.complete = true;
    }

    /// Gives it its place among the inputs.
    pub(super) fn number(&mut self, file: FileId) {
        self.facts.file = file;
    }

    /// Notes that frames were handed on.
    pub(super) fn handed_on(&mut self, frames: usize) {
        self.facts.handed_on += frames as u64;
    }

    /// What the input was.
    pub(super) fn facts(mut self) -> InputFacts {
        let feed = self.source.feed();
        self.facts.raw_bytes = feed.read_bytes();
        self.facts.decoded_bytes = self.source.position();
        if let Some(fault) = feed.fault() {
            self.facts.complete = false;
            let (after, at) = (self.facts.frames, self.facts.raw_bytes);
            self.facts.damaged(after, at, 0, format!("cannot be read past byte {at}: {fault}"));
        }
        let trailing = self.source.trailing_bytes();
        if trailing > 0 {
            self.facts.note(format!("{trailing} bytes behind the compressed stream"));
        }
        if let (Some(size), true) = (self.size, self.facts.complete) {
            let read = self.facts.raw_bytes;
            if read > size {
                self.facts.note(format!("grew from {size} to {read} bytes while it was read"));
            } else if read < size {
                self.facts.note(format!("shrank from {size} to {read} bytes while it was read"));
            }
        }
        self.facts
    }
}

/// What bytes are that are no capture.
fn what_else(source: &Source) -> String {
    let bytes = source.window().bytes();
    let head = bytes.get(..512).unwrap_or(bytes);
    let inside = if source.compression().is_some() { " inside its compression" } else { "" };
    if let Some(fault) = source.feed().fault() {
        return fault.to_string();
    }
    if let Some(fault) = source.fault().filter(|_| head.is_empty()) {
        return fault.to_owned();
    }
    if head.is_empty() {
        return format!("empty{inside}");
    }
    let is_text = |byte: &u8| matches!(byte, b'\t' | b'\n' | b'\r' | 0x20..=0x7e | 0x80..);
    if head.iter().all(is_text) {
        return format!("a text, no capture{inside}");
    }
    format!("no capture format that is known{inside}")
}
