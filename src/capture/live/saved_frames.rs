//! Where frames were saved, to read a few of them back.
//!
//! In:  runs of frames, from the thread that writes them to files.
//! Out: a frame by its number in the run, while its file is still there and unchanged.
//! Not: open files. A file that is deleted gives its space back, and its frames cannot be read any more.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::io::BufReader;
use std::io::Read as _;
use std::io::Seek as _;
use std::io::SeekFrom;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;

use crate::base::Cursor;
use crate::base::Time;
use crate::base::WireText;
use crate::capture::pcapng_blocks::ENHANCED_PACKET;

/// Runs that are remembered: about 1 MB. Without loss, a run has at least [`RUN_BYTES`], so that these cover 4 GB; of more, each
/// run covers more.
const RUN_LIMIT: usize = 1 << 14;

/// Bytes between two places of a file without loss.
const RUN_BYTES: u64 = 256 << 10;

/// The fields of an enhanced packet block before the frame (draft-ietf-opsawg-pcapng §4.3), and all its fields.
const HEADER_LEN: usize = 28;
const BLOCK_FIELDS: u32 = 32;

/// The longest frame that is read; libpcap has none that is longer.
const MAX_FRAME: u32 = 1 << 20;

/// A file that frames were saved in.
#[derive(Debug)]
pub(super) struct SavedFile {
    path: PathBuf,
    name: String,
    /// Device and inode: another file may have its name by now.
    identity: (u64, u64),
}

impl SavedFile {
    /// The file that was created or opened at `path`; none if it cannot be read back, as a device.
    pub(super) fn of(file: &File, path: &Path) -> Option<Arc<SavedFile>> {
        let metadata = file.metadata().ok().filter(std::fs::Metadata::is_file)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        Some(Arc::new(SavedFile {
            path: path.to_owned(),
            name: WireText::new(name.as_bytes(), name.len()).to_string(),
            identity: (metadata.dev(), metadata.ino()),
        }))
    }

    fn open(&self) -> io::Result<File> {
        // What may have taken its place must not make the open wait.
        let file = File::options().read(true).custom_flags(nix::libc::O_NONBLOCK).open(&self.path)?;
        let metadata = file.metadata()?;
        if metadata.is_file() && (metadata.dev(), metadata.ino()) == self.identity {
            Ok(file)
        } else {
            Err(io::ErrorKind::NotFound.into())
        }
    }
}

/// Frames with numbers and blocks without a gap.
#[derive(Clone, Debug)]
pub(super) struct SavedRun {
    /// Number of the first frame in the live run, and of the one after the last.
    pub(super) first: u64,
    pub(super) end: u64,
    /// The first frame's number in the file, its offset and its time.
    pub(super) in_file: u64,
    pub(super) position: u64,
    pub(super) time: Time,
    pub(super) file: Arc<SavedFile>,
}

impl SavedRun {
    /// Whether `next` only tells where reading can begin.
    fn continues_with(&self, next: &SavedRun) -> bool {
        self.end == next.first
            && Arc::ptr_eq(&self.file, &next.file)
            && next.in_file - self.in_file == next.first - self.first
    }
}

/// What the writing thread has saved so far.
#[derive(Debug, Default)]
pub struct SavedFrames {
    state: Mutex<SaveState>,
}

#[derive(Debug, Default)]
struct SaveState {
    /// In order of their numbers.
    runs: VecDeque<SavedRun>,
    /// The last frame that is in a file or was given up.
    passed: u64,
    /// Nothing more is written.
    is_closed: bool,
}

impl SavedFrames {
    fn state(&self) -> MutexGuard<'_, SaveState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds runs that are in the file now.
    pub(super) fn add(&self, runs: impl Iterator<Item = SavedRun>) {
        let mut state = self.state();
        runs.for_each(|run| state.add(run));
    }

    /// No frame up to this one will be written any more.
    pub(super) fn pass(&self, number: u64) {
        let mut state = self.state();
        state.passed = state.passed.max(number);
    }

    pub(super) fn close(&self) {
        self.state().is_closed = true;
    }

    /// Whether the frames up to `number` are in files, as far as they ever will be.
    pub fn is_written(&self, number: u64) -> bool {
        let state = self.state();
        state.is_closed || state.passed >= number
    }

    /// Reads frames that were saved until now.
    pub fn reader(&self) -> SavedReader {
        let runs = self.state().runs.iter().cloned().collect();
        SavedReader { runs, open: None, lost: None, bytes: Vec::new() }
    }
}

impl SaveState {
    fn add(&mut self, run: SavedRun) {
        self.passed = self.passed.max(run.end - 1);
        match self.runs.back_mut() {
            Some(last) if last.continues_with(&run) && run.position - last.position < RUN_BYTES => {
                last.end = run.end;
                return;
            }
            _ => self.runs.push_back(run),
        }
        if self.runs.len() <= RUN_LIMIT {
            return;
        }
        // Of places without a gap between them, every other one goes. If files and gaps alone are too many, the oldest go.
        let mut kept: VecDeque<SavedRun> = VecDeque::with_capacity(RUN_LIMIT + 1);
        let mut is_merged = true;
        for run in self.runs.drain(..) {
            match kept.back_mut() {
                Some(last) if !is_merged && last.continues_with(&run) => {
                    last.end = run.end;
                    is_merged = true;
                }
                _ => {
                    kept.push_back(run);
                    is_merged = false;
                }
            }
        }
        let surplus = kept.len().saturating_sub(RUN_LIMIT / 4 * 3);
        if kept.len() > RUN_LIMIT / 8 * 7 {
            kept.drain(..surplus);
        }
        self.runs = kept;
    }
}

/// A frame that was read back.
#[derive(Debug)]
pub struct SavedFrame<'a> {
    /// Its time.
    pub time: Time,
    /// Index of its interface.
    pub interface: u16,
    /// Its length on the wire.
    pub wire_len: u32,
    /// Its captured bytes.
    pub bytes: &'a [u8],
    /// Its number in the file.
    pub in_file: u64,
    /// The name of the file.
    pub file: &'a str,
}

/// Why a frame could not be read back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotRead {
    /// It is in no file, or it is not remembered in which.
    NotSaved,
    /// The file of this name is gone, was changed or cannot be read.
    FileLost(String),
}

/// Reads saved frames in order of their numbers.
#[derive(Debug)]
pub struct SavedReader {
    runs: Vec<SavedRun>,
    open: Option<OpenFile>,
    /// The last file that could not be read.
    lost: Option<Arc<SavedFile>>,
    bytes: Vec<u8>,
}

#[derive(Debug)]
struct OpenFile {
    file: Arc<SavedFile>,
    reader: BufReader<File>,
    /// Index of the run that is read, and number of its next frame.
    run: usize,
    next: u64,
}

impl SavedReader {
    /// Reads the frame with this number of the live run.
    pub fn frame(&mut self, number: u64) -> Result<SavedFrame<'_>, NotRead> {
        let index = self.runs.partition_point(|run| run.first <= number).checked_sub(1);
        let found = index.and_then(|index| Some((index, self.runs.get(index)?)));
        let Some((index, run)) = found.filter(|(_, run)| number < run.end) else {
            return Err(NotRead::NotSaved);
        };
        let file_lost = || NotRead::FileLost(run.file.name.clone());
        if self.lost.as_ref().is_some_and(|lost| Arc::ptr_eq(lost, &run.file)) {
            return Err(file_lost());
        }
        let read = read_from(&mut self.open, (index, run), number, &mut self.bytes);
        let Ok(BlockHeader { interface, time, wire_len, .. }) = read else {
            self.lost = Some(Arc::clone(&run.file));
            self.open = None;
            return Err(file_lost());
        };
        let in_file = run.in_file + (number - run.first);
        Ok(SavedFrame { time, interface, wire_len, bytes: &self.bytes, in_file, file: &run.file.name })
    }
}

/// Reads a frame of a run.
fn read_from(
    open: &mut Option<OpenFile>,
    (index, run): (usize, &SavedRun),
    number: u64,
    bytes: &mut Vec<u8>,
) -> io::Result<BlockHeader> {
    if !open.as_ref().is_some_and(|open| Arc::ptr_eq(&open.file, &run.file)) {
        let reader = BufReader::with_capacity(64 << 10, run.file.open()?);
        *open = Some(OpenFile { file: Arc::clone(&run.file), reader, run: usize::MAX, next: 0 });
    }
    let Some(open) = open else { return Err(io::ErrorKind::NotFound.into()) };
    if open.run != index || open.next > number {
        open.reader.seek(SeekFrom::Start(run.position))?;
        (open.run, open.next) = (index, run.first);
    }
    loop {
        let header = BlockHeader::read(&mut open.reader)?;
        // A file that was truncated and written again has other frames.
        if open.next == run.first && header.time != run.time {
            return Err(io::ErrorKind::InvalidData.into());
        }
        open.next += 1;
        if open.next > number {
            bytes.resize(header.captured_len as usize, 0);
            open.reader.read_exact(bytes)?;
            open.reader.seek_relative(i64::from(header.after_header() - header.captured_len))?;
            return Ok(header);
        }
        open.reader.seek_relative(i64::from(header.after_header()))?;
    }
}

/// The fields of an enhanced packet block.
struct BlockHeader {
    interface: u16,
    time: Time,
    captured_len: u32,
    wire_len: u32,
}

impl BlockHeader {
    /// Reads a block as [`push_frame`](super::pcapng_writer::push_frame) writes it, up to its frame.
    fn read(reader: &mut BufReader<File>) -> io::Result<BlockHeader> {
        let mut header = [0; HEADER_LEN];
        reader.read_exact(&mut header)?;
        BlockHeader::parse(&header).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    // draft-ietf-opsawg-pcapng §4.3
    fn parse(header: &[u8]) -> Option<BlockHeader> {
        let mut fields = Cursor::new(header);
        let block_type = fields.u32_le("block type").ok()?;
        let block_len = fields.u32_le("block length").ok()?;
        let interface = fields.u32_le("interface").ok()?;
        let upper = fields.u32_le("upper half of the time").ok()?;
        let lower = fields.u32_le("lower half of the time").ok()?;
        let captured_len = fields.u32_le("captured length").ok()?;
        let wire_len = fields.u32_le("length on the wire").ok()?;
        let time = Time((u64::from(upper) << 32 | u64::from(lower)) as i64);
        let header = BlockHeader { interface: u16::try_from(interface).ok()?, time, captured_len, wire_len };
        let is_plausible = block_type == ENHANCED_PACKET
            && captured_len <= MAX_FRAME
            && block_len == BLOCK_FIELDS + captured_len.next_multiple_of(4);
        is_plausible.then_some(header)
    }

    /// Bytes of the block after these fields: the frame, its padding, and the length again.
    const fn after_header(&self) -> u32 {
        self.captured_len.next_multiple_of(4) + (BLOCK_FIELDS - HEADER_LEN as u32)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::super::pcapng_writer::push_frame;
    use super::*;
    use crate::base::FrameRef;
    use crate::capture::Frame;
    use crate::capture::LinkType;

    fn time_of(number: u64) -> Time {
        Time(1_700_000_000_000_000_000 + number as i64)
    }

    /// Writes frames with these numbers to a file, and adds them, each as a run of its own.
    fn save(saved: &SavedFrames, path: &Path, numbers: std::ops::Range<u64>) {
        let mut file = File::create(path).unwrap();
        let of_file = SavedFile::of(&file, path).unwrap();
        let mut bytes = b"section.".to_vec();
        for (number, in_file) in numbers.zip(1..) {
            let (position, time) = (bytes.len() as u64, time_of(number));
            let content = number.to_string();
            let frame = Frame {
                frame_ref: FrameRef::default(),
                time,
                link: LinkType::ETHERNET,
                wire_len: 1500,
                bytes: content.as_bytes(),
            };
            push_frame(&mut bytes, &frame, 3);
            let file = Arc::clone(&of_file);
            saved.add(std::iter::once(SavedRun {
                first: number,
                end: number + 1,
                in_file,
                position,
                time,
                file,
            }));
        }
        file.write_all(&bytes).unwrap();
    }

    /// Bytes, number in the file and file of a frame.
    fn read(reader: &mut SavedReader, number: u64) -> Result<(String, u64, String), NotRead> {
        reader.frame(number).map(|frame| {
            assert_eq!((frame.time, frame.interface, frame.wire_len), (time_of(number), 3, 1500));
            (String::from_utf8(frame.bytes.to_vec()).unwrap(), frame.in_file, frame.file.to_owned())
        })
    }

    #[test]
    fn frames_are_read_back_by_their_numbers() {
        let folder = tempfile::tempdir().unwrap();
        let saved = SavedFrames::default();
        save(&saved, &folder.path().join("a-00001.pcapng"), 1..100);
        // 100 to 104 were not saved.
        save(&saved, &folder.path().join("a-00002.pcapng"), 105..200);
        assert_eq!(saved.state().runs.len(), 2, "runs without a gap are one");
        let mut reader = saved.reader();
        for number in [1, 2, 7, 7, 99, 98, 105, 150, 199] {
            let (file, in_file) =
                if number < 100 { ("a-00001.pcapng", number) } else { ("a-00002.pcapng", number - 104) };
            assert_eq!(read(&mut reader, number), Ok((number.to_string(), in_file, file.to_owned())));
        }
        for number in [0, 100, 104, 200] {
            assert_eq!(read(&mut reader, number), Err(NotRead::NotSaved), "{number}");
        }
        assert!(saved.is_written(199) && !saved.is_written(200));
        saved.pass(300);
        assert!(saved.is_written(300) && !saved.is_written(301));
        saved.close();
        assert!(saved.is_written(301));
    }

    #[test]
    fn a_file_that_is_gone_or_changed_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let saved = SavedFrames::default();
        let [gone, other, truncated, whole] =
            ["gone", "other", "truncated", "whole"].map(|name| folder.path().join(name));
        save(&saved, &gone, 1..10);
        save(&saved, &other, 10..20);
        save(&saved, &truncated, 20..30);
        save(&saved, &whole, 30..40);
        std::fs::remove_file(&gone).unwrap();
        // Another run wrote to the same file.
        save(&SavedFrames::default(), &other, 11..20);
        File::options().write(true).open(&truncated).unwrap().set_len(100).unwrap();
        let mut reader = saved.reader();
        let lost = |name: &str| Err(NotRead::FileLost(name.to_owned()));
        assert_eq!(read(&mut reader, 5), lost("gone"));
        assert_eq!(read(&mut reader, 15), lost("other"));
        assert_eq!(read(&mut reader, 25), lost("truncated"));
        assert_eq!(read(&mut reader, 35), Ok(("35".to_owned(), 6, "whole".to_owned())));
        // Another file has its name now.
        save(&SavedFrames::default(), &folder.path().join("new"), 30..40);
        std::fs::rename(folder.path().join("new"), &whole).unwrap();
        assert_eq!(read(&mut saved.reader(), 35), lost("whole"));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("frames");
        let file = SavedFile::of(&File::create(&path).unwrap(), &path).unwrap();
        let run = |number: u64| SavedRun {
            first: number,
            end: number + 1,
            in_file: number,
            position: number * RUN_BYTES,
            time: time_of(number),
            file: Arc::clone(&file),
        };
        let saved = SavedFrames::default();
        saved.add((1..200_000).map(run));
        let state = saved.state();
        assert!(state.runs.len() <= RUN_LIMIT && state.runs.len() > RUN_LIMIT / 4);
        assert!(state.runs.iter().zip(state.runs.iter().skip(1)).all(|(one, next)| one.continues_with(next)));
        assert_eq!((state.runs[0].first, state.runs.back().unwrap().end), (1, 200_000));
        drop(state);
        // With a gap after every frame, the oldest are forgotten.
        let saved = SavedFrames::default();
        saved.add((1..100_000).map(|number| run(number * 2)));
        let state = saved.state();
        assert!(state.runs.len() <= RUN_LIMIT && state.runs.len() > RUN_LIMIT / 2);
        assert_eq!(state.runs.back().unwrap().first, 199_998);
    }
}
