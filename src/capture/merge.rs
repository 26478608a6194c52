//! Reads all inputs as one capture, in the order of time.
//!
//! In:  what the user named.
//! Out: chunks of frames; at the end, the facts of every input.
//! Not: how a file is read.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use super::Chunk;
use super::Error;
use super::Hash;
use super::Input;
use super::InputFacts;
use super::Outcome;
use super::block;
use super::file::Reading;
use super::file::Run;
use super::filter::Filter;
use super::hash::Hasher;
use super::input;
use super::input::Found;
use super::input::Origin;
use crate::base::FileId;
use crate::base::Time;

/// Bytes read at once.
const BLOCK_LEN: usize = 256 << 10;
/// The same where many files may be open at a time, and for the first look into a file.
const SMALL_BLOCK_LEN: usize = 32 << 10;
const MANY_INPUTS: usize = 64;
/// A stream among files is read so far ahead, in frames.
const RUN_BEFORE_OTHERS: u64 = 256;
/// So many files stay open; more are opened anew for each block.
const OPEN_LIMIT: usize = 128;

/// What to read, and how.
#[derive(Debug, Default)]
pub struct Plan {
    /// Files, folders and streams; several are one capture.
    pub inputs: Vec<Input>,
    /// A BPF expression, as tcpdump takes it.
    pub filter: Option<String>,
    /// How inputs are hashed.
    pub hash: Hash,
    /// Stops after so many frames.
    pub frame_limit: Option<u64>,
}

/// Shows from any thread how far reading has come.
#[derive(Clone, Debug, Default)]
pub struct Meter(Arc<AtomicU64>);

impl Meter {
    /// Bytes read so far, as they lie on the disk.
    pub fn bytes_read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

enum Slot {
    /// Not open yet; the time of its first frame is known.
    Waiting(PathBuf, Option<u64>),
    Open(Box<Open>),
    Done,
}

/// An input that is being read.
struct Open {
    reading: Reading,
    run: Run,
    /// Frames of the run that were handed on.
    handed_on: usize,
}

struct Entry {
    slot: Slot,
    /// None for streams.
    path: Option<PathBuf>,
    facts: InputFacts,
    explicit: bool,
    /// Its number at the hasher, once it is read.
    ticket: Option<usize>,
}

/// All inputs while they are read.
pub struct Capture {
    entries: Vec<Entry>,
    /// The time of each input's next frame; ties go to the input that comes first.
    heads: BinaryHeap<Reverse<(Time, usize)>>,
    /// The input whose run is used up: its next run is read when it is asked for, and not before.
    current: Option<usize>,
    filter: Option<Filter>,
    hasher: Option<Hasher>,
    tickets: u32,
    meter: Meter,
    bytes_total: Option<u64>,
    frames_left: u64,
    block_len: usize,
    open_files: usize,
    nothing: Arc<Vec<u8>>,
}

impl Capture {
    /// Finds and opens the inputs; an error if nothing in them can be read.
    pub fn open(plan: Plan) -> Result<Capture, Error> {
        let filter = plan.filter.as_deref().map(Filter::new).transpose()?;
        let found = input::find(plan.inputs)?;
        let hasher = Hasher::start(plan.hash).map_err(Error::Thread)?;
        let bytes_total = found.iter().filter(|one| one.passed_over.is_none()).map(|one| one.size).sum();
        let mut capture = Capture {
            entries: Vec::with_capacity(found.len()),
            heads: BinaryHeap::new(),
            current: None,
            filter,
            hasher,
            tickets: 0,
            meter: Meter::default(),
            bytes_total,
            frames_left: plan.frame_limit.unwrap_or(u64::MAX),
            block_len: if found.len() > MANY_INPUTS { SMALL_BLOCK_LEN } else { BLOCK_LEN },
            open_files: 0,
            nothing: Arc::default(),
        };
        capture.arrange(found)?;
        Ok(capture)
    }

    /// Reads bytes that lie in memory or come from elsewhere.
    pub fn over(name: &str, bytes: Box<dyn Read + Send>, hash: Hash) -> Result<Capture, Error> {
        let inputs = vec![Input::Stream(name.to_owned(), bytes)];
        Capture::open(Plan { inputs, hash, ..Plan::default() })
    }

    /// Fills `chunk` with the next frames, all of one input; false at the end.
    ///
    /// `chunk` may be reused; who still needs its bytes holds a clone of them.
    pub fn next(&mut self, chunk: &mut Chunk) -> bool {
        chunk.frames.clear();
        chunk.bytes = Arc::clone(&self.nothing);
        while self.frames_left > 0 {
            if let Some(place) = self.current.take() {
                self.refill(place);
            }
            let Some(Reverse((_, place))) = self.heads.pop() else { return false };
            let waiting = match self.entries.get_mut(place).map(|entry| &mut entry.slot) {
                Some(Slot::Open(_)) => None,
                Some(slot @ Slot::Waiting(..)) => Some(std::mem::replace(slot, Slot::Done)),
                Some(Slot::Done) | None => continue,
            };
            match waiting {
                None => {
                    self.hand_on(place, chunk);
                    return true;
                }
                Some(waiting) => self.reach(place, waiting),
            }
        }
        false
    }

    /// Shows how far reading has come, from any thread.
    pub fn meter(&self) -> Meter {
        self.meter.clone()
    }

    /// Bytes read so far, as they lie on the disk.
    pub fn bytes_read(&self) -> u64 {
        self.meter.bytes_read()
    }

    /// Bytes of all inputs when they were found; `None` if one of them is a stream.
    pub const fn bytes_total(&self) -> Option<u64> {
        self.bytes_total
    }

    /// The paths of all inputs, in the order of their numbers; `-` for streams.
    pub fn inputs(&self) -> Vec<PathBuf> {
        let path = |entry: &Entry| entry.path.clone().unwrap_or_else(|| PathBuf::from("-"));
        self.entries.iter().map(path).collect()
    }

    /// Ends reading, waits for the hashes, and tells what each input was, in the order of their numbers.
    pub fn finish(mut self) -> Vec<InputFacts> {
        let entries = std::mem::take(&mut self.entries);
        let mut told = Vec::with_capacity(entries.len());
        for entry in entries {
            let facts = match entry.slot {
                Slot::Open(open) => open.reading.facts(),
                Slot::Waiting(..) | Slot::Done => entry.facts,
            };
            told.push((entry.ticket, facts));
        }
        let mut hashes = self.hasher.take().map(Hasher::finish).unwrap_or_default();
        for (ticket, facts) in &mut told {
            let hash = ticket.and_then(|ticket| hashes.get_mut(ticket)).and_then(Option::take);
            // An input without bytes never reaches the hasher's table.
            facts.hash = hash;
        }
        told.into_iter().map(|(_, facts)| facts).collect()
    }

    /// Sorts inputs by the time of their first frame, then by path, and numbers them.
    fn arrange(&mut self, found: Vec<Found>) -> Result<(), Error> {
        let alone = found.len() == 1;
        let mut sorted: Vec<(Option<Time>, Entry)> = Vec::with_capacity(found.len());
        for one in found {
            let facts = InputFacts {
                name: one.name.clone(),
                path: one.path().map(Path::to_owned),
                ..InputFacts::default()
            };
            let mut entry = Entry {
                slot: Slot::Done,
                path: facts.path.clone(),
                facts,
                explicit: one.explicit,
                ticket: None,
            };
            let mut first = None;
            match (one.passed_over, one.origin) {
                (Some(why), _) => entry.facts.outcome = Outcome::PassedOver(why),
                (None, Origin::File(path)) if !alone => first = peek(path, one.size, &mut entry),
                (None, origin) => {
                    self.begin(origin, one.size, &mut entry);
                    // Its time decides its place among others; alone, nothing is read before it is asked for.
                    if let (false, Slot::Open(open)) = (alone, &mut entry.slot) {
                        if open.reading.next(&mut open.run, self.filter.as_mut(), RUN_BEFORE_OTHERS) {
                            first = open.run.frames.first().map(|frame| frame.time);
                        }
                    }
                }
            }
            sorted.push((first, entry));
        }
        // Inputs with frames in their order of time, then those without, then what is no capture. The sort is stable and
        // the list came sorted by path.
        sorted.sort_by_key(|(first, entry)| (matches!(entry.slot, Slot::Done), first.is_none(), *first));
        for (place, (first, mut entry)) in sorted.into_iter().enumerate() {
            entry.facts.file = FileId(place as u32);
            if let Slot::Open(open) = &mut entry.slot {
                open.reading.number(FileId(place as u32));
            }
            match &entry.slot {
                Slot::Done => {}
                Slot::Open(_) if first.is_none() && alone => self.current = Some(place),
                Slot::Open(_) | Slot::Waiting(..) => {
                    self.heads.push(Reverse((first.unwrap_or(Time::MIN), place)))
                }
            }
            self.entries.push(entry);
        }
        if self.heads.is_empty() && self.current.is_none() {
            let reasons = self.entries.iter().filter_map(|entry| match &entry.facts.outcome {
                Outcome::Refused(why) | Outcome::PassedOver(why) => {
                    Some(format!("{}: {why}", entry.facts.name))
                }
                Outcome::Untouched | Outcome::Read => None,
            });
            return Err(Error::Nothing { reasons: reasons.collect() });
        }
        Ok(())
    }

    /// Opens an input and recognises its format; the entry's slot and facts say how that went.
    fn begin(&mut self, origin: Origin, size: Option<u64>, entry: &mut Entry) {
        let many = self.open_files >= OPEN_LIMIT;
        let origin = match origin {
            Origin::Stream(stream) => Ok(block::Origin::Stream(stream)),
            Origin::File(path) if many => Ok(block::Origin::Path(path)),
            Origin::File(path) | Origin::Pipe(path) => File::open(path).map(block::Origin::File),
        };
        let facts = std::mem::take(&mut entry.facts);
        let origin = match origin {
            Ok(origin) => origin,
            Err(error) => {
                entry.refuse(InputFacts { outcome: Outcome::Refused(error.to_string()), ..facts });
                return;
            }
        };
        let tee = self.hasher.as_ref().map(|hasher| hasher.tee(self.tickets));
        entry.ticket = Some(self.tickets as usize);
        self.tickets += 1;
        match Reading::begin(origin, size, tee, Arc::clone(&self.meter.0), self.block_len, facts) {
            Ok(reading) => {
                self.open_files += 1;
                entry.slot = Slot::Open(Box::new(Open { reading, run: Run::default(), handed_on: 0 }));
            }
            Err(facts) => entry.refuse(facts),
        }
    }

    /// Opens an input that merging has come to.
    fn reach(&mut self, place: usize, waiting: Slot) {
        let Slot::Waiting(path, size) = waiting else { return };
        let Some(slot) = self.entries.get_mut(place) else { return };
        let empty =
            Entry { slot: Slot::Done, path: None, facts: InputFacts::default(), explicit: slot.explicit, ticket: None };
        let mut entry = std::mem::replace(slot, empty);
        self.begin(Origin::File(path), size, &mut entry);
        if let Some(slot) = self.entries.get_mut(place) {
            *slot = entry;
        }
        self.current = Some(place);
    }

    /// Reads the next run of an input, or closes it.
    fn refill(&mut self, place: usize) {
        let Some(entry) = self.entries.get_mut(place) else { return };
        let Slot::Open(open) = &mut entry.slot else { return };
        open.handed_on = 0;
        let more = open.reading.next(&mut open.run, self.filter.as_mut(), self.frames_left);
        match open.run.frames.first() {
            Some(first) if more => self.heads.push(Reverse((first.time, place))),
            _ => {
                if let Slot::Open(open) = std::mem::replace(&mut entry.slot, Slot::Done) {
                    entry.facts = open.reading.facts();
                    self.open_files -= 1;
                }
            }
        }
    }

    /// Hands on frames of an input up to the next frame of another.
    fn hand_on(&mut self, place: usize, chunk: &mut Chunk) {
        let Some(Slot::Open(open)) = self.entries.get_mut(place).map(|entry| &mut entry.slot) else { return };
        let rest = open.run.frames.get(open.handed_on..).unwrap_or_default();
        let until = match self.heads.peek() {
            None => rest.len(),
            Some(Reverse(next)) => {
                rest.iter().position(|frame| (frame.time, place) > *next).unwrap_or(rest.len())
            }
        };
        let len = until.min(usize::try_from(self.frames_left).unwrap_or(usize::MAX));
        chunk.file = FileId(place as u32);
        chunk.bytes = Arc::clone(&open.run.block);
        if open.handed_on == 0 && len == rest.len() {
            std::mem::swap(&mut chunk.frames, &mut open.run.frames);
            open.run.frames.clear();
        } else {
            chunk.frames.extend_from_slice(rest.get(..len).unwrap_or_default());
        }
        open.handed_on += len;
        open.reading.handed_on(len);
        self.frames_left -= len as u64;
        match open.run.frames.get(open.handed_on) {
            Some(frame) => self.heads.push(Reverse((frame.time, place))),
            None => {
                open.run.block = Arc::clone(&self.nothing);
                self.current = Some(place);
            }
        }
    }
}

impl Entry {
    /// It holds no frames: an error where the user named it, and listed where a folder did.
    fn refuse(&mut self, facts: InputFacts) {
        self.facts = facts;
        if let (Outcome::Refused(why), false) = (&self.facts.outcome, self.explicit) {
            self.facts.outcome = Outcome::PassedOver(why.clone());
        }
    }
}

/// Looks at a file's first frame and closes it again.
fn peek(path: PathBuf, size: Option<u64>, entry: &mut Entry) -> Option<Time> {
    let facts = entry.facts.clone();
    let begun = File::open(&path)
        .map(block::Origin::File)
        .map_err(|error| InputFacts { outcome: Outcome::Refused(error.to_string()), ..facts.clone() });
    let reading =
        begun.and_then(|origin| Reading::begin(origin, size, None, Arc::default(), SMALL_BLOCK_LEN, facts));
    match reading {
        Err(facts) => {
            entry.refuse(facts);
            None
        }
        Ok(mut reading) => {
            entry.slot = Slot::Waiting(path, size);
            let mut run = Run::default();
            reading.next(&mut run, None, 1);
            run.frames.first().map(|frame| frame.time)
        }
    }
}
