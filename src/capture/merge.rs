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
use super::InputOutcome;
use super::block;
use super::file::Reading;
use super::file::Run;
use super::filter::Filter;
use super::hash::Hasher;
use super::input;
use super::input::Found;
use super::input::Origin;
use super::interface_stats::says_much_was_lost;
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
pub struct InputPlan {
    /// Files, folders and streams; several are one capture.
    pub inputs: Vec<Input>,
    /// Folders that are not searched for inputs, though they may lie in one that is.
    pub except: Vec<PathBuf>,
    /// A BPF expression, as tcpdump takes it.
    pub filter: Option<String>,
    /// How inputs are hashed.
    pub hash: Hash,
    /// Stops after so many frames.
    pub frame_limit: Option<u64>,
}

/// Shows from any thread how far reading has come.
#[derive(Clone, Debug, Default)]
pub struct ReadMeter(Arc<AtomicU64>);

impl ReadMeter {
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
    meter: ReadMeter,
    bytes_total: Option<u64>,
    frames_left: u64,
    block_len: usize,
    open_files: usize,
    nothing: Arc<Vec<u8>>,
    /// An input says at its end that its sensor lost much.
    has_heavy_loss: bool,
}

impl Capture {
    /// Finds and opens the inputs; an error if nothing in them can be read.
    pub fn open(plan: InputPlan) -> Result<Capture, Error> {
        let filter = plan.filter.as_deref().map(Filter::new).transpose()?;
        let found = input::find(plan.inputs, &plan.except)?;
        let block_len = if found.len() > MANY_INPUTS { SMALL_BLOCK_LEN } else { BLOCK_LEN };
        let hasher = Hasher::start(plan.hash, block_len).map_err(Error::Thread)?;
        let bytes_total = found.iter().filter(|one| one.passed_over.is_none()).map(|one| one.size).sum();
        let mut capture = Capture {
            entries: Vec::with_capacity(found.len()),
            heads: BinaryHeap::new(),
            current: None,
            filter,
            hasher,
            tickets: 0,
            meter: ReadMeter::default(),
            bytes_total,
            frames_left: plan.frame_limit.unwrap_or(u64::MAX),
            block_len,
            open_files: 0,
            nothing: Arc::default(),
            has_heavy_loss: false,
        };
        capture.arrange(found)?;
        Ok(capture)
    }

    /// Reads bytes that lie in memory or come from elsewhere.
    pub fn over(name: &str, bytes: Box<dyn Read + Send>, hash: Hash) -> Result<Capture, Error> {
        let inputs = vec![Input::Stream(name.to_owned(), bytes)];
        Capture::open(InputPlan { inputs, hash, ..InputPlan::default() })
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
    pub fn meter(&self) -> ReadMeter {
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

    /// Whether it is known before the first frame that an input misses so many packets that silence means nothing.
    pub const fn has_heavy_loss(&self) -> bool {
        self.has_heavy_loss
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
            if let (None, Origin::File(path)) = (&one.passed_over, &one.origin) {
                self.has_heavy_loss |= says_much_was_lost(path);
            }
            match (one.passed_over, one.origin) {
                (Some(why), _) => entry.facts.outcome = InputOutcome::PassedOver(why),
                (None, Origin::File(path)) if !alone => first = peek(path, one.size, &mut entry),
                (None, origin) => {
                    self.begin(origin, one.size, &mut entry);
                    // Its time decides its place among others; alone, nothing is read before it is asked for.
                    if let (false, Slot::Open(open)) = (alone, &mut entry.slot)
                        && open.reading.next(&mut open.run, self.filter.as_mut(), RUN_BEFORE_OTHERS)
                    {
                        first = open.run.frames.first().map(|frame| frame.time);
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
                InputOutcome::Refused(why) | InputOutcome::PassedOver(why) => {
                    Some(format!("{}: {why}", entry.facts.name))
                }
                InputOutcome::Untouched | InputOutcome::Read => None,
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
                entry.refuse(InputFacts { outcome: InputOutcome::Refused(error.to_string()), ..facts });
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
            Err(facts) => {
                // What was read of it is not all of it, and its hash would say nothing.
                entry.ticket = None;
                entry.refuse(*facts);
            }
        }
    }

    /// Opens an input that merging has come to.
    fn reach(&mut self, place: usize, waiting: Slot) {
        let Slot::Waiting(path, size) = waiting else { return };
        let Some(slot) = self.entries.get_mut(place) else { return };
        let empty = Entry {
            slot: Slot::Done,
            path: None,
            facts: InputFacts::default(),
            explicit: slot.explicit,
            ticket: None,
        };
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
        if let (InputOutcome::Refused(why), false) = (&self.facts.outcome, self.explicit) {
            self.facts.outcome = InputOutcome::PassedOver(why.clone());
        }
    }
}

/// Looks at a file's first frame and closes it again.
fn peek(path: PathBuf, size: Option<u64>, entry: &mut Entry) -> Option<Time> {
    let facts = entry.facts.clone();
    let origin = match File::open(&path) {
        Ok(file) => block::Origin::File(file),
        Err(error) => {
            entry.refuse(InputFacts { outcome: InputOutcome::Refused(error.to_string()), ..facts });
            return None;
        }
    };
    let reading = Reading::begin(origin, size, None, Arc::default(), SMALL_BLOCK_LEN, facts);
    match reading {
        Err(facts) => {
            entry.refuse(*facts);
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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::test_support::Craft;
    use super::super::test_support::read_all;
    use super::*;

    /// A folder with pcap files; each frame holds its file's name, and its second is its time.
    fn folder(files: &[(&str, &[u32])]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, secs) in files {
            let mut craft = Craft::pcap(false, 0xa1b2_c3d4, 1);
            for second in *secs {
                craft.record(*second, 0, name.as_bytes());
            }
            fs::write(folder.path().join(name), &craft.bytes).unwrap();
        }
        folder
    }

    fn plan(folder: &tempfile::TempDir, names: &[&str]) -> InputPlan {
        let inputs = names.iter().map(|name| Input::Path(folder.path().join(name))).collect();
        InputPlan { inputs, ..InputPlan::default() }
    }

    /// Reads files in any order of naming: `name second` for each frame.
    fn check(files: &[(&str, &[u32])], expected: &[&str]) {
        let folder = folder(files);
        let mut names: Vec<&str> = files.iter().map(|(name, _)| *name).collect();
        for _ in 0..names.len() {
            names.rotate_left(1);
            let (seen, facts) = read_all(Capture::open(plan(&folder, &names)).unwrap()).unwrap();
            let seen: Vec<String> = seen
                .iter()
                .map(|one| format!("{} {}", String::from_utf8_lossy(&one.4), one.1 / 1_000_000_000))
                .collect();
            assert_eq!(seen, expected);
            let sizes: u64 = facts.iter().map(|one| one.raw_bytes).sum();
            let lens: u64 =
                names.iter().map(|name| fs::metadata(folder.path().join(name)).unwrap().len()).sum();
            assert_eq!(sizes, lens);
            assert!(facts.iter().all(|one| one.complete && one.hash.as_ref().unwrap().len() == 64));
        }
    }

    #[test]
    fn a_ring_is_read_in_order_of_time() {
        check(&[("b", &[1, 2]), ("a", &[3, 4])], &["b 1", "b 2", "a 3", "a 4"]);
        check(&[("a", &[1, 5]), ("b", &[2, 3, 9]), ("c", &[4])], &["a 1", "b 2", "b 3", "c 4", "a 5", "b 9"]);
        check(&[("b", &[1, 1]), ("a", &[1, 1])], &["a 1", "a 1", "b 1", "b 1"]);
        check(&[("a", &[5, 1, 6]), ("b", &[2, 5])], &["b 2", "b 5", "a 5", "a 1", "a 6"]);
        check(&[("a", &[]), ("b", &[1])], &["b 1"]);
    }

    #[test]
    fn inputs_are_numbered_in_the_final_order() {
        let folder = folder(&[("late", &[9]), ("early", &[1]), ("none", &[])]);
        fs::write(folder.path().join("README"), "text").unwrap();
        let all = InputPlan { inputs: vec![Input::Path(folder.path().to_owned())], ..InputPlan::default() };
        let (_, facts) = read_all(Capture::open(all).unwrap()).unwrap();
        let told: Vec<(u32, &str, bool)> = facts
            .iter()
            .map(|one| (one.file.0, one.name.rsplit('/').next().unwrap(), one.outcome == InputOutcome::Read))
            .collect();
        assert_eq!(told, [(0, "early", true), (1, "late", true), (2, "none", true), (3, "README", false)]);
        assert_eq!(facts[3].outcome, InputOutcome::PassedOver("a text, no capture".to_owned()));
    }

    #[test]
    fn a_file_that_is_no_capture_does_not_stop_the_others() {
        let folder = folder(&[("a", &[1])]);
        fs::write(folder.path().join("text"), "text").unwrap();
        let (seen, facts) = read_all(Capture::open(plan(&folder, &["text", "a"])).unwrap()).unwrap();
        assert_eq!(
            (seen.len(), &facts[1].outcome),
            (1, &InputOutcome::Refused("a text, no capture".to_owned()))
        );
        let alone = Capture::open(plan(&folder, &["text"])).err().unwrap().to_string();
        assert!(
            alone.starts_with("cannot read capture: ") && alone.ends_with("text: a text, no capture"),
            "{alone}"
        );
        assert!(matches!(Capture::open(plan(&folder, &["a", "missing"])), Err(Error::Missing { .. })));
    }

    #[test]
    fn more_files_at_a_time_than_may_be_open() {
        let names: Vec<String> = (0..300).map(|number| format!("{number:03}")).collect();
        let files: Vec<(&str, &[u32])> = names.iter().map(|name| (name.as_str(), &[1, 3][..])).collect();
        let folder = folder(&files);
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut capture = Capture::open(plan(&folder, &names)).unwrap();
        let mut chunk = Chunk::default();
        let mut most_open = 0;
        let mut frames = 0;
        while capture.next(&mut chunk) {
            frames += chunk.frames.len();
            most_open = most_open.max(capture.open_files);
        }
        assert_eq!((frames, most_open, capture.open_files), (600, 300, 0));
    }

    #[test]
    fn streams_have_their_place_among_files() {
        let folder = folder(&[("a", &[1, 5]), ("b", &[3, 7])]);
        let stream = fs::File::open(folder.path().join("b")).unwrap();
        let inputs =
            vec![Input::Stream("pipe".to_owned(), Box::new(stream)), Input::Path(folder.path().join("a"))];
        let (seen, facts) =
            read_all(Capture::open(InputPlan { inputs, ..InputPlan::default() }).unwrap()).unwrap();
        let order: Vec<&[u8]> = seen.iter().map(|one| &*one.4).collect();
        assert_eq!(order, [b"a", b"b", b"a", b"b"]);
        assert_eq!((facts[1].name.as_str(), facts[1].hash.is_some()), ("pipe", true));
    }

    #[test]
    fn a_limit_stops_early_and_says_so() {
        let folder = folder(&[("a", &[1, 2, 3]), ("b", &[4])]);
        let limited = InputPlan { frame_limit: Some(2), ..plan(&folder, &["a", "b"]) };
        let (seen, facts) = read_all(Capture::open(limited).unwrap()).unwrap();
        assert_eq!(seen.len(), 2);
        assert_eq!(
            (facts[0].handed_on, facts[0].complete, &facts[1].outcome),
            (2, false, &InputOutcome::Untouched)
        );
    }

    #[test]
    fn a_file_may_grow_or_shrink_while_it_is_read() {
        let folder = folder(&[("a", &[1, 2, 3]), ("b", &[1])]);
        let path = folder.path().join("a");
        let whole = fs::read(&path).unwrap();
        let capture = Capture::open(plan(&folder, &["a", "b"])).unwrap();
        fs::write(&path, [&whole[..], &whole[24..]].concat()).unwrap();
        let (seen, facts) = read_all(capture).unwrap();
        assert_eq!((seen.len(), &*facts[0].notes[0]), (7, "grew from 75 to 126 bytes while it was read"));
        fs::write(&path, &whole).unwrap();
        let capture = Capture::open(plan(&folder, &["a", "b"])).unwrap();
        fs::write(&path, &whole[..50]).unwrap();
        let (seen, facts) = read_all(capture).unwrap();
        assert_eq!((seen.len(), &*facts[0].notes[0]), (2, "shrank from 75 to 50 bytes while it was read"));
    }

    #[cfg(unix)]
    #[test]
    fn a_pipe_with_a_name_is_read_once() {
        let folder = folder(&[("a", &[1, 2])]);
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let bytes = fs::read(folder.path().join("a")).unwrap();
        let writer = {
            let pipe = pipe.clone();
            std::thread::spawn(move || fs::write(pipe, bytes).unwrap())
        };
        let (seen, facts) = read_all(Capture::open(plan(&folder, &["pipe"])).unwrap()).unwrap();
        writer.join().unwrap();
        assert_eq!((seen.len(), facts[0].complete), (2, true));
        let all = InputPlan { inputs: vec![Input::Path(folder.path().to_owned())], ..InputPlan::default() };
        let (_, facts) = read_all(Capture::open(all).unwrap()).unwrap();
        assert_eq!(
            facts[1].outcome,
            InputOutcome::PassedOver("not a regular file".to_owned()),
            "a folder's pipe is not opened"
        );
    }

    #[cfg(feature = "live")]
    #[test]
    fn a_filter_leaves_numbers_as_they_are() {
        let folder = tempfile::tempdir().unwrap();
        let mut craft = Craft::pcap(false, 0xa1b2_c3d4, 1);
        craft.record(1, 0, &[0; 20]).record(2, 0, &[0; 60]).record(3, 0, &[0; 10]).record(4, 0, &[0; 70]);
        fs::write(folder.path().join("a"), &craft.bytes).unwrap();
        let filtered = InputPlan { filter: Some("greater 50".to_owned()), ..plan(&folder, &["a"]) };
        let (seen, facts) = read_all(Capture::open(filtered).unwrap()).unwrap();
        assert_eq!(seen.iter().map(|one| one.0).collect::<Vec<_>>(), [2, 4]);
        assert_eq!((facts[0].frames, facts[0].filtered, facts[0].handed_on), (4, 2, 2));
        let broken = InputPlan { filter: Some("tcp and and".to_owned()), ..plan(&folder, &["a"]) };
        assert!(matches!(Capture::open(broken), Err(Error::Filter(_))));
    }

    #[test]
    fn a_capture_may_move_to_another_thread() {
        const fn check<T: Send>() {}
        check::<Capture>();
        check::<Chunk>();
    }

    proptest::proptest! {
        #[test]
        fn random_and_damaged_bytes_never_panic_and_add_up(
            kind in 0..6_usize,
            edits in proptest::collection::vec((0..4000_usize, 0..=255_u8, 0..40_usize), 0..8),
            noise in proptest::collection::vec(0..=255_u8, 0..600),
            drop_len in 1..5000_usize,
        ) {
            let mut craft = if kind % 2 == 0 { Craft::pcap(kind == 2, 0xa1b2_c3d4, 1) } else { Craft::pcapng(kind == 3) };
            if kind % 2 == 1 {
                craft.interface(1, |_| {});
            }
            for number in 0..40 {
                let bytes = vec![number as u8; 3 * number];
                if kind % 2 == 0 { craft.record(1000 + number as u32, 7, &bytes); } else { craft.packet(0, number as u64, &bytes); }
            }
            let mut bytes = craft.bytes;
            for (at, byte, len) in edits {
                let at = at.min(bytes.len());
                match byte % 3 {
                    0 => { bytes.drain(at..(at + len).min(bytes.len())); }
                    1 => { bytes.splice(at..at, vec![byte; len]); }
                    _ => { if let Some(place) = bytes.get_mut(at) { *place = byte; } }
                }
            }
            bytes.extend(&noise);
            if kind >= 4 {
                bytes.drain(..bytes.len() - noise.len());
            }
            // The account is checked where captures are read.
            let whole = super::super::test_support::read(&bytes);
            let dripped = super::super::test_support::read_dripping(&bytes, drop_len);
            proptest::prop_assert_eq!(whole.ok().map(|(seen, _)| seen), dripped.ok().map(|(seen, _)| seen));
        }
    }
}
