//! Saves frames in pcapng files, or in a pipe.
//!
//! In:  chunks of frames, as the audit gets them.
//! Out: `NAME.pcapng`; with a limit of size or time `NAME-00001.pcapng` and so on. At the end of each file, the packets that its
//!      interfaces received and dropped since the file before. Where each frame is, for [`SavedFrames`].
//! Not: slowing down the capture. Saving has a thread and a bounded queue of its own; frames that do not fit are counted.

use std::fs::File;
use std::io;
use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread;
use std::thread::JoinHandle;
use std::time::Duration;
use std::time::Instant;

use crossbeam_channel::Receiver;
use crossbeam_channel::RecvTimeoutError;
use crossbeam_channel::Sender;
use crossbeam_channel::bounded;

use super::clock::now;
use super::pcapng_writer::InterfaceCounts;
use super::pcapng_writer::push_frame;
use super::pcapng_writer::push_statistics;
use super::pcapng_writer::section;
use super::saved_frames::SavedFile;
use super::saved_frames::SavedFrames;
use super::saved_frames::SavedRun;
use super::stats::CaptureStats;
use super::stats::InterfaceStats;
use super::stats::load;
use crate::base::Time;
use crate::capture::Chunk;
use crate::capture::FrameHeader;
use crate::capture::Interface;

/// Chunks that wait to be written.
const QUEUED_CHUNKS: usize = 64;

/// Bytes written at once.
const BUFFER_LEN: usize = 256 << 10;

/// The time between a write error and the next try.
const RETRY_AFTER: Duration = Duration::from_secs(10);

/// How long the end of a run waits for a disk or a reader that makes no progress.
const STALL_LIMIT: Duration = Duration::from_secs(10);

/// What to write, and when to start another file.
#[derive(Clone, Debug)]
pub struct SavePlan {
    /// The file, or the name that numbered files are derived from; `-` is standard output.
    pub path: PathBuf,
    /// A file is closed at this size.
    pub rotate_bytes: Option<u64>,
    /// A file is closed at this age.
    pub rotate_after: Option<Duration>,
    /// Permissions of new files.
    pub mode: u32,
    /// Set when the reader of standard output has closed it.
    pub stop: Arc<AtomicBool>,
}

/// Sends chunks to the thread that writes them.
#[derive(Debug)]
pub struct FrameSaver {
    out: Sender<Chunk>,
    /// The other end of `out`, to see how many chunks wait.
    queue: Receiver<Chunk>,
    thread: JoinHandle<()>,
    saved: Option<Arc<SavedFrames>>,
}

impl FrameSaver {
    /// Opens the first file and starts the thread. A named pipe is opened by the thread, because that waits for a reader.
    pub fn start(
        plan: SavePlan,
        interfaces: Vec<Interface>,
        stats: Arc<CaptureStats>,
    ) -> io::Result<FrameSaver> {
        let mut files = SaveFiles::new(plan, interfaces, stats);
        if files.target != SaveTarget::Pipe {
            files.open_next()?;
        }
        let (out, chunks) = bounded(QUEUED_CHUNKS);
        let queue = chunks.clone();
        let saved = (files.target == SaveTarget::File).then(|| Arc::clone(&files.saved));
        let write = move || write_all(files, &chunks);
        let thread = thread::Builder::new().name("save".to_owned()).spawn(write)?;
        Ok(FrameSaver { out, queue, thread, saved })
    }

    /// The frames in files; none if frames go to a pipe.
    pub fn saved_frames(&self) -> Option<Arc<SavedFrames>> {
        self.saved.clone()
    }

    /// Queues a chunk. If the queue is full, its frames are counted as not saved.
    pub(super) fn save(&self, chunk: &Chunk, stats: &CaptureStats) {
        if !chunk.frames.is_empty() && self.out.try_send(chunk.clone()).is_err() {
            count_unsaved(chunk, stats);
        }
    }

    /// Waits until the queue is written, as long as that makes progress.
    pub(super) fn finish(self, stats: &CaptureStats) {
        let FrameSaver { out, queue, thread, saved: _ } = self;
        drop(out);
        let progress = || (queue.len(), stats.interfaces.iter().map(|one| load(&one.saved)).sum::<u64>());
        let (mut before, mut since) = (progress(), Instant::now());
        while !thread.is_finished() {
            thread::sleep(Duration::from_millis(5));
            let now = progress();
            if now != before {
                (before, since) = (now, Instant::now());
            } else if since.elapsed() > STALL_LIMIT {
                let mut count = 0;
                for stats in &stats.interfaces {
                    let left = load(&stats.frames).saturating_sub(load(&stats.saved));
                    count += left - stats.unsaved.swap(left, Ordering::Relaxed).min(left);
                }
                stats.report(&format!(
                    "the last {count} frames were not saved: the output accepts no more data"
                ));
                // The thread ends with the process.
                return;
            }
        }
        if let Err(panic) = thread.join() {
            std::panic::resume_unwind(panic);
        }
    }
}

fn count_unsaved(chunk: &Chunk, stats: &CaptureStats) {
    for frame in &chunk.frames {
        if let Some(stats) = stats.interfaces.get(usize::from(frame.interface)) {
            stats.unsaved.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn last_number(chunk: &Chunk) -> u64 {
    chunk.frames.last().map_or(0, |frame| frame.number)
}

/// The thread that writes.
fn write_all(mut files: SaveFiles, chunks: &Receiver<Chunk>) {
    let stats = Arc::clone(&files.stats);
    let mut failed_at: Option<Instant> = None;
    if files.target == SaveTarget::Pipe
        && let Err(error) = files.open_next()
    {
        stats.report(&files.error_message(&error));
        failed_at = Some(Instant::now());
    }
    loop {
        let received = chunks.recv_timeout(Duration::from_secs(1));
        if failed_at.is_some_and(|since| files.rotates() && since.elapsed() >= RETRY_AFTER) {
            failed_at = match files.open_next() {
                Ok(()) => {
                    stats.report(&format!("frames are saved again: {}", files.path().display()));
                    None
                }
                Err(_) => Some(Instant::now()),
            };
        }
        let written = match &received {
            Ok(chunk) if failed_at.is_some() => {
                count_unsaved(chunk, &stats);
                files.saved.pass(last_number(chunk));
                continue;
            }
            // An empty queue is flushed: readers of the file see frames soon, and a crash loses few. A full one is written in
            // large pieces.
            Ok(chunk) => {
                files.write(chunk).and_then(|()| if chunks.is_empty() { files.flush() } else { Ok(()) })
            }
            Err(_) if failed_at.is_some() => Ok(()),
            Err(RecvTimeoutError::Timeout) => files.flush(),
            Err(RecvTimeoutError::Disconnected) => files.close(),
        };
        if let Err(error) = written {
            files.count_failed();
            received.iter().for_each(|chunk| files.saved.pass(last_number(chunk)));
            if files.target == SaveTarget::StandardOutput && error.kind() == io::ErrorKind::BrokenPipe {
                // The reader, for example `head`, has all it needs.
                files.plan.stop.store(true, Ordering::Relaxed);
            } else {
                stats.report(&files.error_message(&error));
            }
            failed_at = Some(Instant::now());
        }
        if matches!(received, Err(RecvTimeoutError::Disconnected)) {
            files.saved.close();
            return;
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SaveTarget {
    File,
    /// A named pipe.
    Pipe,
    StandardOutput,
}

fn counts(stats: &InterfaceStats) -> InterfaceCounts {
    InterfaceCounts {
        received: load(&stats.received),
        interface_drops: load(&stats.interface_drops),
        later_drops: load(&stats.kernel_drops) + load(&stats.queue_drops),
        unsaved: load(&stats.unsaved),
        saved: load(&stats.saved),
    }
}

struct SaveFiles {
    plan: SavePlan,
    target: SaveTarget,
    interfaces: Vec<Interface>,
    stats: Arc<CaptureStats>,
    number: u32,
    /// When the file got its first frame.
    started: Option<Instant>,
    file: Option<File>,
    /// The file, if its frames can be read back, and the number of its frames with those that are not written yet.
    saved_file: Option<Arc<SavedFile>>,
    frames: u64,
    /// Bytes of the file, which ends with a complete frame.
    bytes: u64,
    /// Complete frames that are not written yet, and their number by interface.
    buffer: Vec<u8>,
    buffered_frames: Vec<u64>,
    /// Where they will be.
    buffered_runs: Vec<SavedRun>,
    saved: Arc<SavedFrames>,
    /// Frames of each interface that could not be written, until they are added to the counters.
    failed_frames: Vec<u64>,
    /// The counters in the statistics of the last file, and their time.
    last_counts: Vec<InterfaceCounts>,
    last_counts_time: Time,
}

impl SaveFiles {
    fn new(plan: SavePlan, interfaces: Vec<Interface>, stats: Arc<CaptureStats>) -> SaveFiles {
        let target = match std::fs::metadata(&plan.path) {
            _ if plan.path == Path::new("-") => SaveTarget::StandardOutput,
            Ok(metadata) if metadata.file_type().is_fifo() => SaveTarget::Pipe,
            _ => SaveTarget::File,
        };
        let count = stats.interfaces.len();
        SaveFiles {
            plan,
            target,
            interfaces,
            stats,
            number: 0,
            started: None,
            file: None,
            saved_file: None,
            frames: 0,
            bytes: 0,
            buffer: Vec::with_capacity(BUFFER_LEN + (64 << 10)),
            buffered_frames: vec![0; count],
            buffered_runs: Vec::new(),
            saved: Arc::default(),
            failed_frames: vec![0; count],
            last_counts: vec![InterfaceCounts::default(); count],
            last_counts_time: now(),
        }
    }

    fn rotates(&self) -> bool {
        self.target == SaveTarget::File
            && (self.plan.rotate_bytes.is_some() || self.plan.rotate_after.is_some())
    }

    fn path(&self) -> PathBuf {
        if self.rotates() { numbered_path(&self.plan.path, self.number) } else { self.plan.path.clone() }
    }

    fn error_message(&self, error: &io::Error) -> String {
        format!(
            "cannot write: {}: {}; {}, the audit continues",
            self.path().display(),
            match error.kind() {
                io::ErrorKind::StorageFull => "no space left on the disk".to_owned(),
                io::ErrorKind::BrokenPipe => "the reader has closed the pipe".to_owned(),
                _ => error.to_string(),
            },
            if self.rotates() {
                "frames are not saved until it can be written"
            } else {
                "no more frames are saved"
            }
        )
    }

    fn open_next(&mut self) -> io::Result<()> {
        self.close()?;
        self.file = Some(match self.target {
            SaveTarget::StandardOutput => File::from(io::stdout().as_fd().try_clone_to_owned()?),
            // Files of earlier runs are kept.
            SaveTarget::File if self.rotates() => loop {
                self.number += 1;
                match File::options().write(true).create_new(true).mode(self.plan.mode).open(self.path()) {
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                    opened => break opened?,
                }
            },
            SaveTarget::File => open_file(&self.path(), self.plan.mode)?,
            SaveTarget::Pipe => File::options().write(true).open(self.path())?,
        });
        self.saved_file = self.file.as_ref().and_then(|file| SavedFile::of(file, &self.path()));
        self.frames = 0;
        self.bytes = 0;
        self.buffer = section(&self.interfaces);
        self.started = None;
        self.flush().inspect_err(|_| {
            if self.rotates() {
                // The next try uses the number again.
                let _ = std::fs::remove_file(self.path());
                self.number -= 1;
            }
        })
    }

    /// Ends the file with the statistics of its interfaces.
    fn close(&mut self) -> io::Result<()> {
        if self.file.is_none() {
            return Ok(());
        }
        // Before the frames saved are counted.
        self.flush()?;
        let counts: Vec<InterfaceCounts> = self.stats.interfaces.iter().map(counts).collect();
        let time = now();
        for (interface, (counts, before)) in counts.iter().zip(&self.last_counts).enumerate() {
            let span = [self.last_counts_time, time];
            push_statistics(&mut self.buffer, interface as u32, span, counts.since(*before));
        }
        self.flush()?;
        (self.last_counts, self.last_counts_time) = (counts, time);
        self.file = None;
        Ok(())
    }

    /// Writes the buffer. After an error the file is truncated to complete frames and closed.
    fn flush(&mut self) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let written = file.write_all(&self.buffer);
        match written {
            Ok(()) => {
                self.bytes += self.buffer.len() as u64;
                for (stats, frames) in self.stats.interfaces.iter().zip(&self.buffered_frames) {
                    stats.saved.fetch_add(*frames, Ordering::Relaxed);
                }
                self.saved.add(self.buffered_runs.drain(..));
            }
            Err(_) => {
                for (failed, frames) in self.failed_frames.iter_mut().zip(&self.buffered_frames) {
                    *failed += frames;
                }
                // A truncated frame would be damage to readers.
                let _ = file.set_len(self.bytes);
                self.file = None;
            }
        }
        self.buffer.clear();
        self.buffered_frames.fill(0);
        self.buffered_runs.clear();
        written
    }

    fn write(&mut self, chunk: &Chunk) -> io::Result<()> {
        for (index, frame) in chunk.frames.iter().enumerate() {
            let written = if self.rotates() && self.is_full() {
                self.open_next()
            } else if self.buffer.len() >= BUFFER_LEN {
                self.flush()
            } else {
                Ok(())
            };
            if written.is_err() {
                for frame in chunk.frames.iter().skip(index) {
                    increment(&mut self.failed_frames, frame.interface);
                }
                return written;
            }
            self.started.get_or_insert_with(Instant::now);
            self.note_place(frame);
            push_frame(&mut self.buffer, &chunk.frame(frame), frame.interface);
            increment(&mut self.buffered_frames, frame.interface);
        }
        Ok(())
    }

    /// Notes where the next frame of the buffer will be.
    fn note_place(&mut self, frame: &FrameHeader) {
        self.frames += 1;
        let FrameHeader { number, time, .. } = *frame;
        if let Some(run) = self.buffered_runs.last_mut().filter(|run| run.end == number) {
            run.end += 1;
        } else if let Some(file) = self.saved_file.clone() {
            let position = self.bytes + self.buffer.len() as u64;
            let (end, in_file) = (number + 1, self.frames);
            self.buffered_runs.push(SavedRun { first: number, end, in_file, position, time, file });
        }
    }

    /// Whether the next frame starts another file. The age of a file starts with its first frame, so that no file is empty.
    fn is_full(&self) -> bool {
        let Some(started) = self.started else { return false };
        let len = self.bytes + self.buffer.len() as u64;
        self.plan.rotate_bytes.is_some_and(|limit| len >= limit)
            || self.plan.rotate_after.is_some_and(|limit| started.elapsed() >= limit)
    }

    /// Adds frames that could not be written to the counters.
    fn count_failed(&mut self) {
        for (stats, failed) in self.stats.interfaces.iter().zip(&mut self.failed_frames) {
            stats.unsaved.fetch_add(std::mem::take(failed), Ordering::Relaxed);
        }
    }
}

/// Opens a file to be replaced. What another user put in its place is refused, be it a link or a file: the frames are for the
/// caller. Root is trusted.
fn open_file(path: &Path, mode: u32) -> io::Result<File> {
    let mut options = File::options();
    options.write(true).create(true).truncate(false).mode(mode);
    let refuse_other = |what: &str, owner: u32| {
        let is_trusted = owner == 0 || owner == nix::unistd::geteuid().as_raw();
        if is_trusted { Ok(()) } else { Err(io::Error::other(format!("{what} of the user with ID {owner}"))) }
    };
    let file = match options.clone().custom_flags(nix::libc::O_NOFOLLOW).open(path) {
        Err(error) if error.raw_os_error() == Some(nix::libc::ELOOP) => {
            refuse_other("a symbolic link", std::fs::symlink_metadata(path)?.uid())?;
            options.open(path)?
        }
        opened => opened?,
    };
    let metadata = file.metadata()?;
    refuse_other("a file", metadata.uid())?;
    if metadata.is_file() {
        file.set_len(0)?;
    }
    Ok(file)
}

fn increment(counts: &mut [u64], interface: u16) {
    if let Some(count) = counts.get_mut(usize::from(interface)) {
        *count += 1;
    }
}

/// `office-00002.pcapng` for `office.pcapng`.
fn numbered_path(path: &Path, number: u32) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let extension = path.extension().map(|end| format!(".{}", end.to_string_lossy())).unwrap_or_default();
    path.with_file_name(format!("{stem}-{number:05}{extension}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_numbered_before_their_extension() {
        assert_eq!(numbered_path(Path::new("a/office.pcapng"), 12), Path::new("a/office-00012.pcapng"));
        assert_eq!(numbered_path(Path::new("office"), 1), Path::new("office-00001"));
    }
}
