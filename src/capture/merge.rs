//! Reads all inputs as one capture, in order of time.
//!
//! In:  the inputs that the user named.
//! Out: chunks of frames; at the end, the facts of every input.
//! Not: how one input is read.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::HashSet;
use std::fs::File;
use std::io::Read;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use super::Chunk;
use super::Error;
use super::Input;
use super::InputFacts;
use super::InputHash;
use super::InputOutcome;
use super::block::RawSource;
use super::etl::LogSurvey;
use super::filter::Filter;
use super::hash::InputHasher;
use super::input::FoundInput;
use super::input::InputOrigin;
use super::input::find_inputs;
use super::input_reader::FrameRun;
use super::input_reader::InputOptions;
use super::input_reader::InputReader;
use super::interruptible::InterruptibleReader;
use super::seek_points::SeekPoint;
use super::trailing_stats;
use crate::base::FileId;
use crate::base::HostReport;
use crate::base::Time;

/// Bytes read at once.
const BLOCK_LEN: usize = 256 << 10;
/// The same when many files may be open at once, for a short file, and to find the first frame of a file.
const SMALL_BLOCK_LEN: usize = 32 << 10;
const MANY_INPUTS: usize = 64;
/// Frames that are read ahead of a stream among several inputs.
const STREAM_READ_AHEAD: u64 = 256;
/// Files that stay open. Further ones are opened for each block.
const OPEN_LIMIT: usize = 128;

/// What to read, and how.
#[derive(Debug, Default)]
pub struct InputPlan {
    /// Files, folders and streams. Several are read as one capture.
    pub inputs: Vec<Input>,
    /// Folders that are not searched, even inside one that is.
    pub except: Vec<PathBuf>,
    /// A capture filter, in the language of tcpdump.
    pub filter: Option<String>,
    /// The hash of the inputs.
    pub hash: InputHash,
    /// The capture ends after this many frames.
    pub frame_limit: Option<u64>,
    /// Ends reading of standard input and named pipes, which may be silent.
    pub stop: Arc<AtomicBool>,
}

/// Progress of reading, readable from any thread.
#[derive(Clone, Debug, Default)]
pub struct ReadMeter(Arc<AtomicU64>);

impl ReadMeter {
    /// Raw bytes read so far.
    pub fn bytes_read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

enum InputState {
    /// A file, with its size, that is opened when its first frame is next.
    Waiting(InputOrigin, Option<u64>),
    Open(Box<OpenInput>),
    Done,
}

struct OpenInput {
    reader: InputReader,
    run: FrameRun,
    /// Frames of the run that were delivered.
    delivered: usize,
}

struct InputEntry {
    state: InputState,
    /// None for streams.
    path: Option<PathBuf>,
    facts: InputFacts,
    /// Named by the user, not found in a folder.
    is_explicit: bool,
    /// Which of the arguments it is of.
    argument: usize,
    /// The index of its hash, once it was opened.
    hash_index: Option<usize>,
}

/// All inputs while they are read.
pub struct Capture {
    inputs: Vec<InputEntry>,
    /// The time of each input's next frame, with the index of the input, which decides between equal times.
    next_frames: BinaryHeap<Reverse<(Time, usize)>>,
    /// The input whose run was delivered. Its next run is read by the next call: a live stream may block.
    current: Option<usize>,
    filter: Option<Filter>,
    hasher: Option<InputHasher>,
    /// Inputs that the hasher has.
    hashed_inputs: u32,
    meter: ReadMeter,
    bytes_total: Option<u64>,
    frames_left: u64,
    block_len: usize,
    open_files: usize,
    empty_block: Arc<Vec<u8>>,
    /// The statistics at the end of an input report heavy loss.
    has_heavy_loss: bool,
    stop: Arc<AtomicBool>,
}

impl Capture {
    /// Finds and opens the inputs; an error if none can be read.
    pub fn open(plan: InputPlan) -> Result<Capture, Error> {
        let filter = plan.filter.as_deref().map(Filter::new).transpose()?;
        let found = find_inputs(plan.inputs, &plan.except, &plan.stop)?;
        let bytes_total: Option<u64> =
            found.iter().filter(|one| one.skip_reason.is_none()).map(|one| one.size).sum();
        // A block that is larger than a small input costs more than reading it.
        let needed = bytes_total.map_or(BLOCK_LEN, |bytes| usize::try_from(bytes).unwrap_or(BLOCK_LEN));
        let block_len = match found.len() > MANY_INPUTS {
            true => SMALL_BLOCK_LEN,
            false => needed.next_multiple_of(SMALL_BLOCK_LEN).clamp(SMALL_BLOCK_LEN, BLOCK_LEN),
        };
        let hasher = InputHasher::start(plan.hash, block_len).map_err(Error::Thread)?;
        let mut capture = Capture {
            inputs: Vec::with_capacity(found.len()),
            next_frames: BinaryHeap::new(),
            current: None,
            filter,
            hasher,
            hashed_inputs: 0,
            meter: ReadMeter::default(),
            bytes_total,
            frames_left: plan.frame_limit.unwrap_or(u64::MAX),
            block_len,
            open_files: 0,
            empty_block: Arc::default(),
            has_heavy_loss: false,
            stop: plan.stop,
        };
        capture.sort_inputs(found)?;
        Ok(capture)
    }

    /// Reads bytes from memory or any other source.
    pub fn from_reader(name: &str, bytes: Box<dyn Read + Send>, hash: InputHash) -> Result<Capture, Error> {
        let inputs = vec![Input::Stream(name.to_owned(), bytes)];
        Capture::open(InputPlan { inputs, hash, ..InputPlan::default() })
    }

    /// Fills `chunk` with the next frames, all of one input; false at the end.
    ///
    /// `chunk` may be reused. Its old bytes stay as they are while they are shared.
    pub fn next(&mut self, chunk: &mut Chunk) -> bool {
        chunk.frames.clear();
        chunk.host_reports.clear();
        chunk.bytes = Arc::clone(&self.empty_block);
        while self.frames_left > 0 {
            if let Some(index) = self.current.take() {
                self.read_next_run(index);
            }
            let Some(Reverse((_, index))) = self.next_frames.pop() else { return false };
            let Some(entry) = self.inputs.get_mut(index) else { continue };
            match std::mem::replace(&mut entry.state, InputState::Done) {
                InputState::Open(open) => {
                    entry.state = InputState::Open(open);
                    self.deliver(index, chunk);
                    return true;
                }
                InputState::Waiting(origin, size) => self.open_waiting(index, origin, size),
                InputState::Done => {}
            }
        }
        false
    }

    /// Goes on with an input at a place of an earlier reading of it, if that is ahead: frames before it are not given. To be called
    /// after a chunk of the input.
    pub fn skip_to(&mut self, file: FileId, point: &SeekPoint) {
        let index = file.0 as usize;
        if self.current != Some(index) {
            return;
        }
        if let Some(InputState::Open(open)) = self.inputs.get_mut(index).map(|entry| &mut entry.state) {
            open.reader.skip_to(point);
        }
    }

    /// Progress of reading, readable from any thread.
    pub fn meter(&self) -> ReadMeter {
        self.meter.clone()
    }

    /// Raw bytes read so far.
    pub fn bytes_read(&self) -> u64 {
        self.meter.bytes_read()
    }

    /// Size of all inputs when they were found; `None` if one of them is a stream.
    pub const fn bytes_total(&self) -> Option<u64> {
        self.bytes_total
    }

    /// Whether it is known before the first frame that an input has heavy loss ([`InputFacts::has_heavy_loss`]).
    pub const fn has_heavy_loss(&self) -> bool {
        self.has_heavy_loss
    }

    /// The paths of all inputs, in their final order; `-` for streams.
    pub fn inputs(&self) -> Vec<PathBuf> {
        let path = |entry: &InputEntry| entry.path.clone().unwrap_or_else(|| PathBuf::from("-"));
        self.inputs.iter().map(path).collect()
    }

    /// Ends reading and waits for the hashes; the facts of all inputs, in their final order.
    pub fn finish(self) -> Vec<InputFacts> {
        // All inputs are closed before the hasher is waited for: it ends when none can send bytes.
        let closed: Vec<(Option<usize>, InputFacts)> = self
            .inputs
            .into_iter()
            .map(|entry| match entry.state {
                InputState::Open(open) => (entry.hash_index, open.reader.finish()),
                InputState::Waiting(..) | InputState::Done => (entry.hash_index, entry.facts),
            })
            .collect();
        let mut hashes = self.hasher.map(InputHasher::finish).unwrap_or_default();
        let with_hash = |(hash_index, facts): (Option<usize>, InputFacts)| {
            // An input without bytes has no entry in `hashes`.
            let hash = hash_index.and_then(|index| hashes.get_mut(index)).and_then(Option::take);
            InputFacts { hash, ..facts }
        };
        closed.into_iter().map(with_hash).collect()
    }

    /// Sorts inputs by the time of their first frame, then by path, and numbers them.
    fn sort_inputs(&mut self, found: Vec<FoundInput>) -> Result<(), Error> {
        let is_single = found.len() == 1;
        let mut sorted: Vec<(Option<Time>, InputEntry)> = Vec::with_capacity(found.len());
        for one in found {
            let facts = InputFacts { name: one.name.clone(), path: one.path(), ..InputFacts::default() };
            let mut entry = InputEntry {
                state: InputState::Done,
                path: facts.path.clone(),
                facts,
                is_explicit: one.is_explicit,
                argument: one.argument,
                hash_index: None,
            };
            let mut first = None;
            if let (None, InputOrigin::File(path)) = (&one.skip_reason, &one.origin) {
                self.has_heavy_loss |= trailing_stats::has_heavy_loss(path);
            }
            match (one.skip_reason, one.origin) {
                (Some(reason), _) => {
                    let outcome = InputOutcome::Refused(reason);
                    let facts = std::mem::take(&mut entry.facts);
                    entry.refuse(InputFacts { outcome, ..facts });
                }
                (None, origin @ (InputOrigin::File(_) | InputOrigin::Member(_))) if !is_single => {
                    let has_heavy_loss;
                    (first, has_heavy_loss) = first_frame_time(origin, one.size, &mut entry);
                    self.has_heavy_loss |= has_heavy_loss;
                }
                (None, origin) => {
                    self.open_input(origin, one.size, &mut entry);
                    // Its time decides its position among others. A single input is not read before the first call of `next`.
                    if let (false, InputState::Open(open)) = (is_single, &mut entry.state)
                        && open.reader.next(&mut open.run, self.filter.as_mut(), STREAM_READ_AHEAD)
                    {
                        first = open.run.frames.first().map(|frame| frame.time);
                    }
                }
            }
            sorted.push((first, entry));
        }
        refuse_without_captures(&mut sorted);
        // Inputs with frames in order of time, then those without frames, then those that are not captures. The sort is stable
        // and the list was sorted by path.
        sorted
            .sort_by_key(|(first, entry)| (matches!(entry.state, InputState::Done), first.is_none(), *first));
        for (index, (first, mut entry)) in sorted.into_iter().enumerate() {
            entry.facts.file = FileId(index as u32);
            if let InputState::Open(open) = &mut entry.state {
                open.reader.set_file(FileId(index as u32));
            }
            match &entry.state {
                InputState::Done => {}
                InputState::Open(_) if first.is_none() && is_single => self.current = Some(index),
                InputState::Open(_) | InputState::Waiting(..) => {
                    self.next_frames.push(Reverse((first.unwrap_or(Time::MIN), index)));
                }
            }
            self.inputs.push(entry);
        }
        if self.next_frames.is_empty() && self.current.is_none() {
            let reasons = self.inputs.iter().filter_map(|entry| match &entry.facts.outcome {
                InputOutcome::Refused(reason) | InputOutcome::Skipped(reason) => {
                    Some(format!("{}: {reason}", entry.facts.name))
                }
                InputOutcome::NotReached | InputOutcome::Read => None,
            });
            return Err(Error::NoCapture { reasons: reasons.collect() });
        }
        Ok(())
    }

    /// Opens an input and recognizes its format. The result is the entry's state, or the outcome in its facts.
    fn open_input(&mut self, origin: InputOrigin, size: Option<u64>, entry: &mut InputEntry) {
        let has_many_open = self.open_files >= OPEN_LIMIT;
        let survey = LogSurvey::of(&origin);
        let source = match origin {
            InputOrigin::Stream(stream) => Ok(RawSource::Stream(stream)),
            InputOrigin::File(path) if has_many_open => Ok(RawSource::Path(path)),
            InputOrigin::Member(member) => member.open().map(RawSource::Stream),
            InputOrigin::File(path) => File::open(path).map(RawSource::File),
            InputOrigin::Pipe(path) => {
                InterruptibleReader::open(&path, &self.stop).map(|reader| RawSource::Stream(Box::new(reader)))
            }
        };
        let facts = std::mem::take(&mut entry.facts);
        let source = match source {
            Ok(source) => source,
            Err(error) => {
                entry.refuse(InputFacts { outcome: InputOutcome::Refused(error.to_string()), ..facts });
                return;
            }
        };
        let hash_tee = self.hasher.as_ref().map(|hasher| hasher.tee(self.hashed_inputs));
        entry.hash_index = Some(self.hashed_inputs as usize);
        self.hashed_inputs += 1;
        let (meter, block_len) = (Arc::clone(&self.meter.0), self.block_len);
        match InputReader::open(InputOptions { source, size, hash_tee, meter, block_len, survey }, facts) {
            Ok(reader) => {
                self.open_files += 1;
                self.has_heavy_loss |= reader.reports_heavy_loss();
                let open = OpenInput { reader, run: FrameRun::default(), delivered: 0 };
                entry.state = InputState::Open(Box::new(open));
            }
            Err(facts) => {
                // Only its first bytes were read, which are not what a hash should cover.
                entry.hash_index = None;
                entry.refuse(*facts);
            }
        }
    }

    /// Opens a file whose first frame is next.
    fn open_waiting(&mut self, index: usize, origin: InputOrigin, size: Option<u64>) {
        let Some(entry) = self.inputs.get_mut(index) else { return };
        let placeholder = InputEntry {
            state: InputState::Done,
            path: None,
            facts: InputFacts::default(),
            is_explicit: entry.is_explicit,
            argument: entry.argument,
            hash_index: None,
        };
        let mut entry = std::mem::replace(entry, placeholder);
        self.open_input(origin, size, &mut entry);
        if let Some(place) = self.inputs.get_mut(index) {
            *place = entry;
        }
        self.current = Some(index);
    }

    /// Reads the next run of an input, or closes it.
    fn read_next_run(&mut self, index: usize) {
        let Some(entry) = self.inputs.get_mut(index) else { return };
        let InputState::Open(open) = &mut entry.state else { return };
        open.delivered = 0;
        let has_frames = open.reader.next(&mut open.run, self.filter.as_mut(), self.frames_left);
        match open.run.frames.first() {
            Some(first) if has_frames => self.next_frames.push(Reverse((first.time, index))),
            _ => {
                if let InputState::Open(open) = std::mem::replace(&mut entry.state, InputState::Done) {
                    entry.facts = open.reader.finish();
                    self.open_files -= 1;
                }
            }
        }
    }

    /// Delivers frames of an input up to the next frame of another.
    fn deliver(&mut self, index: usize, chunk: &mut Chunk) {
        let Some(InputState::Open(open)) = self.inputs.get_mut(index).map(|entry| &mut entry.state) else {
            return;
        };
        let rest = open.run.frames.get(open.delivered..).unwrap_or_default();
        let until = match self.next_frames.peek() {
            None => rest.len(),
            Some(Reverse(next)) => {
                rest.iter().position(|frame| (frame.time, index) > *next).unwrap_or(rest.len())
            }
        };
        let len = until.min(usize::try_from(self.frames_left).unwrap_or(usize::MAX));
        chunk.file = FileId(index as u32);
        chunk.bytes = Arc::clone(&open.run.block);
        if open.delivered == 0 && len == rest.len() {
            std::mem::swap(&mut chunk.frames, &mut open.run.frames);
            open.run.frames.clear();
        } else {
            chunk.frames.extend_from_slice(rest.get(..len).unwrap_or_default());
        }
        if let (Some(first), Some(last)) = (chunk.frames.first(), chunk.frames.last()) {
            let (first, last) = (first.number, last.number);
            let is_delivered = |drop: &&(u64, HostReport)| (first..=last).contains(&drop.0);
            chunk.host_reports.extend(open.run.host_reports.iter().filter(is_delivered).cloned());
        }
        open.delivered += len;
        open.reader.count_delivered(len);
        self.frames_left -= len as u64;
        match open.run.frames.get(open.delivered) {
            Some(frame) => self.next_frames.push(Reverse((frame.time, index))),
            None => {
                open.run.block = Arc::clone(&self.empty_block);
                self.current = Some(index);
            }
        }
    }
}

impl InputEntry {
    /// The input has no frames: an error if the user named it, listed if it was found in a folder.
    fn refuse(&mut self, facts: InputFacts) {
        self.facts = facts;
        if let (InputOutcome::Refused(reason), false) = (&self.facts.outcome, self.is_explicit) {
            self.facts.outcome = InputOutcome::Skipped(reason.clone());
        }
    }
}

/// A folder or an archive may hold other files, too. One without any capture was named by mistake: its first file is refused.
fn refuse_without_captures(entries: &mut [(Option<Time>, InputEntry)]) {
    let is_read = |entry: &InputEntry| !matches!(entry.state, InputState::Done);
    let mut settled: HashSet<usize> =
        entries.iter().filter(|(_, entry)| is_read(entry)).map(|(_, entry)| entry.argument).collect();
    for (_, entry) in entries {
        if let InputOutcome::Skipped(reason) = &entry.facts.outcome
            && settled.insert(entry.argument)
        {
            entry.facts.outcome = InputOutcome::Refused(reason.clone());
        }
    }
}

/// Reads a file up to its first frame, closes it, and sets the entry's state; the frame's time, and whether the file reports heavy
/// loss before it.
fn first_frame_time(origin: InputOrigin, size: Option<u64>, entry: &mut InputEntry) -> (Option<Time>, bool) {
    let facts = entry.facts.clone();
    let source = match &origin {
        InputOrigin::Member(member) => member.open().map(RawSource::Stream),
        InputOrigin::File(path) => File::open(path).map(RawSource::File),
        InputOrigin::Pipe(_) | InputOrigin::Stream(_) => return (None, false),
    };
    let source = match source {
        Ok(source) => source,
        Err(error) => {
            entry.refuse(InputFacts { outcome: InputOutcome::Refused(error.to_string()), ..facts });
            return (None, false);
        }
    };
    let (meter, block_len) = (Arc::default(), SMALL_BLOCK_LEN);
    let survey = LogSurvey::of(&origin);
    match InputReader::open(InputOptions { source, size, hash_tee: None, meter, block_len, survey }, facts) {
        Err(facts) => {
            entry.refuse(*facts);
            (None, false)
        }
        Ok(mut reader) => {
            entry.state = InputState::Waiting(origin, size);
            let mut run = FrameRun::default();
            reader.next(&mut run, None, 1);
            (run.frames.first().map(|frame| frame.time), reader.reports_heavy_loss())
        }
    }
}

#[cfg(test)]
mod tests;
