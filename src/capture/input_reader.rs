//! Reads one input from its first byte to its last.
//!
//! In:  a file or stream.
//! Out: runs of frames that the filter keeps; at the end, the facts of the input.
//! Not: other inputs.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use super::FrameHeader;
use super::InputFacts;
use super::InputOutcome;
use super::block::BlockReader;
use super::block::RawReader;
use super::block::RawSource;
use super::compress::DecompressingReader;
use super::etl::LogSurvey;
use super::etl::Transcoder;
use super::filter::Filter;
use super::format::FORMATS;
use super::frame_reader::FrameOut;
use super::frame_reader::FrameReader;
use super::frame_reader::InputBytes;
use super::frame_reader::RECORD_LIMIT;
use super::hash::HashTee;
use super::refusal::is_text;
use super::refusal::known_other;
use super::seek_points::Layout;
use super::seek_points::SeekPoint;
use crate::base::FileId;
use crate::base::HostReport;

/// First bytes by which a file is named that is no capture.
const REFUSAL_LEN: usize = 4096;

/// Frames of one run, so that their headers and their block fit into the processor's cache.
const RUN_LIMIT: usize = 2048;

/// One input while it is read.
pub(super) struct InputReader {
    bytes: DecompressingReader,
    frame_reader: Box<dyn FrameReader>,
    facts: InputFacts,
    /// Bytes of the file when it was found.
    size: Option<u64>,
    block_len: usize,
    is_done: bool,
}

/// Frames that share a block.
#[derive(Default)]
pub(super) struct FrameRun {
    pub frames: Vec<FrameHeader>,
    /// Frames that the host itself dropped, by number.
    pub host_reports: Vec<(u64, HostReport)>,
    pub block: Arc<Vec<u8>>,
}

/// What to open, and how to read it.
pub(super) struct InputOptions {
    pub source: RawSource,
    /// Bytes of the file when it was found.
    pub size: Option<u64>,
    pub hash_tee: Option<HashTee>,
    /// Counts the raw bytes.
    pub meter: Arc<AtomicU64>,
    pub block_len: usize,
    /// What is known of an event trace log before it is read.
    pub survey: LogSurvey,
}

impl InputReader {
    /// Opens an input and recognizes its format. Without a format, the facts have the reason.
    pub(super) fn open(options: InputOptions, mut facts: InputFacts) -> Result<InputReader, Box<InputFacts>> {
        let InputOptions { source, size, hash_tee, meter, block_len, survey } = options;
        let raw = BlockReader::new(RawReader::new(source, hash_tee, meter), block_len);
        let mut bytes = DecompressingReader::new(raw, block_len);
        if let Some(trace) = bytes.event_trace_mut() {
            trace.set_survey(survey, block_len);
        }
        facts.compression = bytes.compression();
        for format in FORMATS {
            bytes.fill(format.probe_len);
            if let Some((frame_reader, name)) = (format.probe)(bytes.window().bytes(), bytes.is_at_end()) {
                facts.format = Some(if bytes.event_trace().is_some() { "etl" } else { name });
                facts.outcome = InputOutcome::Read;
                return Ok(InputReader { bytes, frame_reader, facts, size, block_len, is_done: false });
            }
        }
        bytes.fill(REFUSAL_LEN);
        facts.outcome = InputOutcome::Refused(reason_for_refusal(&bytes));
        facts.raw_bytes = bytes.raw().read_bytes();
        Err(Box::new(facts))
    }

    /// Whether the input reports before its first frame that so much is missing that a missing reply proves nothing.
    pub(super) fn reports_heavy_loss(&self) -> bool {
        self.bytes.event_trace().is_some_and(Transcoder::reports_heavy_loss)
    }

    /// Reads the next run of at most `limit` frames; false at the end.
    pub(super) fn next(&mut self, run: &mut FrameRun, filter: Option<&mut Filter>, limit: u64) -> bool {
        run.frames.clear();
        run.host_reports.clear();
        let mut filter = filter;
        while !self.is_done {
            self.read_run(run, usize::try_from(limit).unwrap_or(RUN_LIMIT).min(RUN_LIMIT));
            self.facts.count_frames(&run.frames);
            if let Some(point) = self.seek_point() {
                self.facts.seek_points.add(point);
            }
            if self.is_done {
                self.read_rest();
            }
            if run.frames.is_empty() {
                continue;
            }
            if let Some(filter) = filter.as_deref_mut() {
                self.apply_filter(run, filter);
            }
            if !run.frames.is_empty() {
                return true;
            }
        }
        false
    }

    /// Where reading is, if a later reading can go on here.
    fn seek_point(&self) -> Option<SeekPoint> {
        let is_uncompressed = self.facts.path.is_some() && self.bytes.is_uncompressed();
        let layout = self.layout().filter(|_| is_uncompressed)?;
        let InputFacts { frames, numbered_blocks, last, .. } = self.facts;
        Some(SeekPoint { position: self.bytes.position(), frames, numbered_blocks, last, layout })
    }

    fn layout(&self) -> Option<Layout> {
        let (sections, interfaces) = self.frame_reader.layout()?;
        Some(Layout { captures: self.facts.further_captures, sections, interfaces })
    }

    /// Goes on at a place of an earlier reading of the same file, if it is ahead and its layout is the one here.
    pub(super) fn skip_to(&mut self, point: &SeekPoint) {
        if self.layout() == Some(point.layout) && self.bytes.seek(point.position) {
            (self.facts.frames, self.facts.numbered_blocks) = (point.frames, point.numbered_blocks);
            self.facts.last = point.last;
        }
    }

    fn read_run(&mut self, run: &mut FrameRun, limit: usize) {
        let at_end = self.bytes.is_at_end();
        let window = self.bytes.window();
        let bytes = window.bytes();
        let input =
            InputBytes { bytes, block_offset: window.start(), position: self.bytes.position(), at_end };
        let host_reports = self.bytes.event_trace().is_some().then_some(&mut run.host_reports);
        let (frames, facts) = (&mut run.frames, &mut self.facts);
        let mut out = FrameOut { frames, limit, facts, host_reports, begins_another: false };
        let step = self.frame_reader.read_frames(input, &mut out);
        let begins_another = out.begins_another;
        let left = bytes.len().saturating_sub(step.used);
        if !run.frames.is_empty() {
            run.block = Arc::clone(window.block());
        }
        self.bytes.mark_used(step.used);
        if begins_another {
            return self.begin_another(run.frames.len());
        }
        if at_end {
            // Bytes are left if the frame limit was reached. A reader that made no progress never will.
            self.is_done = left == 0 || (step.used == 0 && run.frames.is_empty());
            if self.is_done && self.bytes.is_followed() {
                self.begin_another(run.frames.len());
            }
        } else if step.need > RECORD_LIMIT + 4096 {
            self.is_done = true;
        } else if run.frames.is_empty() || step.need > 0 {
            // The run shares the old block, so that reading on does not overwrite its frames.
            self.bytes.fill(step.need.max(left + 1));
        }
    }

    /// Goes on with the capture that follows in the same input; `frames`: read in this run.
    fn begin_another(&mut self, frames: usize) {
        if let Some(trace) = self.bytes.event_trace() {
            trace.add_facts(&mut self.facts);
        }
        let before = std::mem::replace(&mut self.bytes, DecompressingReader::closed());
        self.bytes = before.begin_another(self.block_len);
        let after_frame = self.facts.frames + frames as u64;
        let Some((frame_reader, _)) = FORMATS.iter().find_map(|format| {
            self.bytes.fill(format.probe_len);
            (format.probe)(self.bytes.window().bytes(), self.bytes.is_at_end())
        }) else {
            self.is_done = true;
            let message =
                format!("unreadable after frame {after_frame}: {}", reason_for_refusal(&self.bytes));
            return self.facts.record_damage(after_frame, self.bytes.position(), 0, message);
        };
        self.is_done = false;
        self.frame_reader = frame_reader;
        self.facts.further_captures += 1;
        self.facts.note(format!("another capture begins after frame {after_frame}"));
    }

    /// Removes frames that the filter rejects.
    fn apply_filter(&mut self, run: &mut FrameRun, filter: &mut Filter) {
        let block = &run.block;
        let before = run.frames.len();
        let facts = &mut self.facts;
        run.frames.retain(|header| {
            let start = header.offset as usize;
            let bytes = block.get(start..start + header.captured_len as usize).unwrap_or_default();
            match filter.program(header.link) {
                Some(program) => program.matches(bytes, header.wire_len),
                None => {
                    let name = super::link_type_name(header.link).unwrap_or("unknown");
                    facts.note(format!(
                        "the filter cannot be applied to link type {} ({name}): its frames are left out",
                        header.link.0
                    ));
                    false
                }
            }
        });
        facts.filtered += (before - run.frames.len()) as u64;
    }

    /// Reads the bytes that are left, for the hash, and accounts for them.
    fn read_rest(&mut self) {
        let position = self.bytes.position();
        let after_frame = self.facts.frames;
        if let Some(error) = self.bytes.error() {
            let message = format!("{error} near frame {after_frame}");
            self.facts.record_damage(after_frame, position, 0, message);
        }
        let skipped = self.bytes.drain();
        if skipped > 0 && self.bytes.compression().is_none() {
            let message = format!("unreadable after frame {after_frame}");
            self.facts.record_damage(after_frame, position, skipped, message);
        } else {
            self.facts.skipped_bytes += skipped;
        }
        self.facts.compression = self.bytes.compression();
        if let Some(trace) = self.bytes.event_trace() {
            trace.add_facts(&mut self.facts);
        }
        self.facts.complete = true;
    }

    /// Sets its position in the order of all inputs.
    pub(super) fn set_file(&mut self, file: FileId) {
        self.facts.file = file;
    }

    /// Counts frames that were delivered.
    pub(super) fn count_delivered(&mut self, frames: usize) {
        self.facts.delivered += frames as u64;
    }

    /// Ends reading; the facts of the input.
    pub(super) fn finish(mut self) -> InputFacts {
        let raw = self.bytes.raw();
        self.facts.raw_bytes = raw.read_bytes();
        self.facts.decoded_bytes = self.bytes.position();
        if let Some(error) = raw.error() {
            self.facts.complete = false;
            let (after_frame, position) = (self.facts.frames, self.facts.raw_bytes);
            let message = format!("cannot be read past byte {position}: {error}");
            self.facts.record_damage(after_frame, position, 0, message);
        }
        let trailing = self.bytes.trailing_bytes();
        if trailing > 0 {
            self.facts.note(format!("{trailing} bytes after the compressed stream"));
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

/// Why bytes without a known format are refused.
fn reason_for_refusal(source: &DecompressingReader) -> String {
    let bytes = source.window().bytes();
    let head = bytes.get(..REFUSAL_LEN).unwrap_or(bytes);
    if let Some(error) = source.raw().error() {
        return error.to_string();
    }
    if let Some(error) = source.error().filter(|_| head.is_empty()) {
        return error.to_owned();
    }
    if let Some(what) = known_other(head) {
        return what.to_owned();
    }
    let reason = match (source.compression().is_some(), head.is_empty(), is_text(head)) {
        (false, true, _) => "empty",
        (true, true, _) => "empty after decompression",
        (false, false, true) => "text file, not a capture",
        (true, false, true) => "compressed text file, not a capture",
        (false, false, false) => "not a known capture format",
        (true, false, false) => "decompressed, but not a known capture format",
    };
    reason.to_owned()
}
