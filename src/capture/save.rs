//! Writes frames into pcapng files that follow one another, or into a pipe.
//!
//! In:  chunks of frames, as the audit gets them.
//! Out: `NAME.pcapng`, or `NAME-00001.pcapng` and so on where they are limited by size or time; at the end of each what its
//!      interfaces received and lost since the one before.
//! Not: at the cost of capture. It has a thread and a bounded queue of its own; what does not fit is counted as not saved.

use std::fs::File;
use std::io;
use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::os::unix::fs::FileTypeExt as _;
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
use crossbeam_channel::TrySendError;
use crossbeam_channel::bounded;

use super::Chunk;
use super::Frame;
use super::Interface;
use super::live::CaptureStats;
use super::live::InterfaceStats;
use super::live::now;
use super::live::read;
use crate::base::Time;

/// Chunks under way to the disk.
const QUEUE: usize = 64;

/// Bytes that are written at once.
const BUFFER: usize = 256 << 10;

/// How long a disk that was full is left alone.
const RETRY: Duration = Duration::from_secs(10);

/// How long the end of a run waits for a disk or a reader that takes nothing.
const STUCK: Duration = Duration::from_secs(10);

/// What to write, and when to begin another file.
#[derive(Clone, Debug)]
pub struct SavePlan {
    /// The file, or what its numbered successors are named after; `-` is standard output.
    pub path: PathBuf,
    /// A file is closed at this size.
    pub rotate_bytes: Option<u64>,
    /// A file is closed at this age.
    pub rotate_after: Option<Duration>,
    /// Set when whoever reads standard output has left.
    pub stop: Arc<AtomicBool>,
}

/// Hands chunks to the thread that writes them.
#[derive(Debug)]
pub struct FrameSaver {
    out: Sender<Chunk>,
    /// What still waits, to be seen from here.
    waiting: Receiver<Chunk>,
    thread: JoinHandle<()>,
}

impl FrameSaver {
    /// Opens the first file, and begins. A named pipe is opened by the thread: that waits for its reader.
    pub fn start(
        plan: SavePlan,
        interfaces: Vec<Interface>,
        gauges: Arc<CaptureStats>,
    ) -> io::Result<FrameSaver> {
        let mut files = Files::new(plan, interfaces, gauges);
        if files.target != Target::Pipe {
            files.next()?;
        }
        let (out, chunks) = bounded(QUEUE);
        let waiting = chunks.clone();
        let write = move || write_all(files, &chunks);
        let thread = thread::Builder::new().name("save".to_owned()).spawn(write)?;
        Ok(FrameSaver { out, waiting, thread })
    }

    /// Takes a chunk for the disk, if there is room.
    pub(super) fn save(&self, chunk: &Chunk, gauges: &CaptureStats) {
        if chunk.frames.is_empty() {
            return;
        }
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = self.out.try_send(chunk.clone()) {
            unsaved(chunk, gauges);
        }
    }

    /// Waits until everything that was taken is written, as long as anything is.
    pub(super) fn finish(self, gauges: &CaptureStats) {
        let FrameSaver { out, waiting, thread } = self;
        drop(out);
        let state = || (waiting.len(), gauges.ports.iter().map(|gauge| read(&gauge.saved)).sum::<u64>());
        let (mut before, mut since) = (state(), Instant::now());
        while !thread.is_finished() {
            thread::sleep(Duration::from_millis(5));
            let now = state();
            if now != before {
                (before, since) = (now, Instant::now());
            } else if since.elapsed() > STUCK {
                let mut count = 0;
                for gauge in &gauges.ports {
                    let left = read(&gauge.frames).saturating_sub(read(&gauge.saved));
                    count += left - gauge.unsaved.swap(left, Ordering::Relaxed).min(left);
                }
                gauges.say(&format!("the last {count} frames could not be saved: nobody takes them"));
                // The thread ends with the process.
                return;
            }
        }
        if let Err(panic) = thread.join() {
            std::panic::resume_unwind(panic);
        }
    }
}

/// Counts the frames of a chunk as not saved.
fn unsaved(chunk: &Chunk, gauges: &CaptureStats) {
    for frame in &chunk.frames {
        if let Some(gauge) = gauges.ports.get(usize::from(frame.interface)) {
            gauge.unsaved.fetch_add(1, Ordering::Relaxed);
        }
    }
}

fn write_all(mut files: Files, chunks: &Receiver<Chunk>) {
    let gauges = Arc::clone(&files.gauges);
    let mut failed: Option<Instant> = None;
    if files.target == Target::Pipe
        && let Err(error) = files.next()
    {
        gauges.say(&files.complaint(&error));
        failed = Some(Instant::now());
    }
    loop {
        let taken = chunks.recv_timeout(Duration::from_secs(1));
        if failed.is_some_and(|since| files.rotates() && since.elapsed() >= RETRY) {
            failed = match files.next() {
                Ok(()) => {
                    gauges.say(&format!("frames are saved again: {}", files.path().display()));
                    None
                }
                Err(_) => Some(Instant::now()),
            };
        }
        let written = match &taken {
            Ok(chunk) if failed.is_some() => {
                unsaved(chunk, &gauges);
                continue;
            }
            // Whoever reads along sees them soon, and a crash loses little; a flood is written in large pieces.
            Ok(chunk) => {
                files.write(chunk).and_then(|()| if chunks.is_empty() { files.flush() } else { Ok(()) })
            }
            Err(_) if failed.is_some() => Ok(()),
            Err(RecvTimeoutError::Timeout) => files.flush(),
            Err(RecvTimeoutError::Disconnected) => files.close(),
        };
        if let Err(error) = written {
            files.count_lost();
            if files.target == Target::Output && error.kind() == io::ErrorKind::BrokenPipe {
                // Who asked for the frames has seen enough.
                files.plan.stop.store(true, Ordering::Relaxed);
            } else {
                gauges.say(&files.complaint(&error));
            }
            failed = Some(Instant::now());
        }
        if matches!(taken, Err(RecvTimeoutError::Disconnected)) {
            return;
        }
    }
}

/// What frames are written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Target {
    File,
    /// A named pipe.
    Pipe,
    /// Standard output.
    Output,
}

/// What an interface had counted: received, lost by itself, lost behind it, not saved, saved.
type Counts = [u64; 5];

fn counts(gauge: &InterfaceStats) -> Counts {
    let behind = read(&gauge.kernel_drops) + read(&gauge.our_drops);
    let [received, by_itself] = [&gauge.received, &gauge.interface_drops].map(read);
    [received, by_itself, behind, read(&gauge.unsaved), read(&gauge.saved)]
}

struct Files {
    plan: SavePlan,
    target: Target,
    interfaces: Vec<Interface>,
    gauges: Arc<CaptureStats>,
    number: u32,
    /// When the file got its first frame.
    began: Option<Instant>,
    file: Option<File>,
    /// Bytes of the file; they end with a whole frame.
    bytes: u64,
    /// What follows them, whole frames too, and how many of each interface.
    buffer: Vec<u8>,
    held: Vec<u64>,
    /// Frames of each interface that could not be written, until somebody counts them.
    lost: Vec<u64>,
    /// What each interface had counted, and when, when a file last said so.
    told: Vec<Counts>,
    told_at: Time,
}

impl Files {
    fn new(plan: SavePlan, interfaces: Vec<Interface>, gauges: Arc<CaptureStats>) -> Files {
        let target = match std::fs::metadata(&plan.path) {
            _ if plan.path == Path::new("-") => Target::Output,
            Ok(about) if about.file_type().is_fifo() => Target::Pipe,
            _ => Target::File,
        };
        let ports = gauges.ports.len();
        Files {
            plan,
            target,
            interfaces,
            gauges,
            number: 0,
            began: None,
            file: None,
            bytes: 0,
            buffer: Vec::with_capacity(BUFFER + (64 << 10)),
            held: vec![0; ports],
            lost: vec![0; ports],
            told: vec![Counts::default(); ports],
            told_at: now(),
        }
    }

    fn rotates(&self) -> bool {
        self.target == Target::File && (self.plan.rotate_bytes.is_some() || self.plan.rotate_after.is_some())
    }

    fn path(&self) -> PathBuf {
        if self.rotates() { numbered(&self.plan.path, self.number) } else { self.plan.path.clone() }
    }

    /// What to say of an error.
    fn complaint(&self, error: &io::Error) -> String {
        format!(
            "cannot write: {}: {}; {}, the audit goes on",
            self.path().display(),
            match error.kind() {
                io::ErrorKind::StorageFull => "no space left on the disk".to_owned(),
                io::ErrorKind::BrokenPipe => "its reader has left".to_owned(),
                _ => error.to_string(),
            },
            if self.rotates() {
                "frames are not saved until it can be"
            } else {
                "frames are no longer saved"
            }
        )
    }

    fn next(&mut self) -> io::Result<()> {
        self.close()?;
        self.file = Some(match self.target {
            Target::Output => File::from(io::stdout().as_fd().try_clone_to_owned()?),
            // What an earlier run has saved stays.
            Target::File if self.rotates() => loop {
                self.number += 1;
                match File::create_new(self.path()) {
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                    opened => break opened?,
                }
            },
            Target::File => File::create(self.path())?,
            Target::Pipe => File::options().write(true).open(self.path())?,
        });
        self.bytes = 0;
        self.buffer = head(&self.interfaces);
        self.began = None;
        self.flush().inspect_err(|_| {
            if self.rotates() {
                // The number is for the next try.
                let _ = std::fs::remove_file(self.path());
                self.number -= 1;
            }
        })
    }

    /// Ends the file with what its interfaces counted.
    fn close(&mut self) -> io::Result<()> {
        if self.file.is_none() {
            return Ok(());
        }
        // Saved are those that are written now.
        self.flush()?;
        let now: Vec<Counts> = self.gauges.ports.iter().map(counts).collect();
        let at = self::now();
        for (place, (now, told)) in now.iter().zip(&self.told).enumerate() {
            let since = std::array::from_fn(|which| {
                let [now, told] = [now, told].map(|counts| counts.get(which).copied().unwrap_or_default());
                now.saturating_sub(told)
            });
            statistics(&mut self.buffer, place as u32, [self.told_at, at], since);
        }
        self.flush()?;
        (self.told, self.told_at) = (now, at);
        self.file = None;
        Ok(())
    }

    /// Writes what is held; what cannot be written whole is taken back.
    fn flush(&mut self) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let written = file.write_all(&self.buffer);
        match written {
            Ok(()) => {
                self.bytes += self.buffer.len() as u64;
                for (gauge, held) in self.gauges.ports.iter().zip(&self.held) {
                    gauge.saved.fetch_add(*held, Ordering::Relaxed);
                }
            }
            Err(_) => {
                for (lost, held) in self.lost.iter_mut().zip(&self.held) {
                    *lost += held;
                }
                // A frame that was cut would be damage to whoever reads it.
                let _ = file.set_len(self.bytes);
                self.file = None;
            }
        }
        self.buffer.clear();
        self.held.fill(0);
        written
    }

    fn write(&mut self, chunk: &Chunk) -> io::Result<()> {
        for (place, frame) in chunk.frames.iter().enumerate() {
            let written = if self.rotates() && self.is_done() {
                self.next()
            } else if self.buffer.len() >= BUFFER {
                self.flush()
            } else {
                Ok(())
            };
            if written.is_err() {
                for frame in chunk.frames.iter().skip(place) {
                    count(&mut self.lost, frame.interface);
                }
                return written;
            }
            self.began.get_or_insert_with(Instant::now);
            packet(&mut self.buffer, &chunk.frame(frame), frame.interface);
            count(&mut self.held, frame.interface);
        }
        Ok(())
    }

    /// Whether the next frame is for another file. Age begins with the first frame: no file is left without one.
    fn is_done(&self) -> bool {
        let Some(began) = self.began else { return false };
        let len = self.bytes + self.buffer.len() as u64;
        self.plan.rotate_bytes.is_some_and(|limit| len >= limit)
            || self.plan.rotate_after.is_some_and(|limit| began.elapsed() >= limit)
    }

    /// Counts what could not be written.
    fn count_lost(&mut self) {
        for (gauge, lost) in self.gauges.ports.iter().zip(&mut self.lost) {
            gauge.unsaved.fetch_add(std::mem::take(lost), Ordering::Relaxed);
        }
    }
}

fn count(counts: &mut [u64], interface: u16) {
    if let Some(count) = counts.get_mut(usize::from(interface)) {
        *count += 1;
    }
}

/// `office-00002.pcapng` for `office.pcapng`.
fn numbered(path: &Path, number: u32) -> PathBuf {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    let end = path.extension().map(|end| format!(".{}", end.to_string_lossy())).unwrap_or_default();
    path.with_file_name(format!("{stem}-{number:05}{end}"))
}

/// A section header and the interfaces.
// draft-ietf-opsawg-pcapng §4.1, §4.2
fn head(interfaces: &[Interface]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut section = Vec::new();
    section.extend(0x1a2b_3c4d_u32.to_le_bytes());
    section.extend([1, 0, 0, 0]);
    section.extend(u64::MAX.to_le_bytes());
    option(&mut section, 4, concat!("afs-audit ", env!("CARGO_PKG_VERSION")).as_bytes());
    option(&mut section, 0, &[]);
    block(&mut out, 0x0a0d_0d0a, &section);
    for interface in interfaces {
        let mut about = Vec::new();
        about.extend(interface.link.0.to_le_bytes());
        about.extend([0, 0]);
        about.extend(interface.snap_len.to_le_bytes());
        if let Some(name) = &interface.name {
            option(&mut about, 2, name.as_str().as_bytes());
        }
        option(&mut about, 9, &[9]);
        for (_, filter) in interface.about.iter().filter(|(what, _)| *what == "filter") {
            // 0: as text.
            option(&mut about, 11, &[b"\0", filter.as_str().as_bytes()].concat());
        }
        option(&mut about, 0, &[]);
        block(&mut out, 1, &about);
    }
    out
}

fn option(out: &mut Vec<u8>, code: u16, value: &[u8]) {
    out.extend(code.to_le_bytes());
    out.extend((value.len() as u16).to_le_bytes());
    out.extend(value);
    out.resize(out.len().next_multiple_of(4), 0);
}

fn block(out: &mut Vec<u8>, kind: u32, body: &[u8]) {
    let len = (body.len() + 12) as u32;
    out.extend(kind.to_le_bytes());
    out.extend(len.to_le_bytes());
    out.extend(body);
    out.extend(len.to_le_bytes());
}

/// An interface statistics block. What could not be saved is lost to whoever reads the file, like what the system lost.
// draft-ietf-opsawg-pcapng §4.6
fn statistics(out: &mut Vec<u8>, interface: u32, span: [Time; 2], counts: Counts) {
    // Times are written upper half first, whatever the byte order.
    let stamp = |time: Time| [(time.0 as u64 >> 32) as u32, time.0 as u32].map(u32::to_le_bytes).concat();
    let [begin, end] = span.map(stamp);
    let [received, by_interface, behind, unsaved, saved] = counts;
    let mut body = interface.to_le_bytes().to_vec();
    body.extend(&end);
    option(&mut body, 2, &begin);
    option(&mut body, 3, &end);
    for (code, count) in [(4, received), (5, by_interface), (7, behind + unsaved), (8, saved)] {
        option(&mut body, code, &count.to_le_bytes());
    }
    option(&mut body, 0, &[]);
    block(out, 5, &body);
}

/// An enhanced packet block.
// draft-ietf-opsawg-pcapng §4.3
fn packet(out: &mut Vec<u8>, frame: &Frame<'_>, interface: u16) {
    let captured = frame.bytes.len();
    let padding = captured.next_multiple_of(4) - captured;
    let len = (32 + captured + padding) as u32;
    let stamp = frame.time.0 as u64;
    let words =
        [6, len, u32::from(interface), (stamp >> 32) as u32, stamp as u32, captured as u32, frame.wire_len];
    for word in words {
        out.extend(word.to_le_bytes());
    }
    out.extend(frame.bytes);
    out.extend([0_u8; 4].get(..padding).unwrap_or_default());
    out.extend(len.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Time;
    use crate::capture::Capture;
    use crate::capture::FrameHeader;
    use crate::capture::Hash;
    use crate::capture::LinkType;

    #[test]
    fn what_is_written_is_read_again() {
        let interface = Interface::new(LinkType(1), 262_144, "10^-9");
        let mut bytes = head(&[interface.clone(), Interface { link: LinkType(276), ..interface }]);
        let block: Vec<u8> = (0..100).collect();
        let header = |number, offset, captured_len, interface| FrameHeader {
            time: Time(1_700_000_000_123_456_789 + number as i64),
            number,
            offset,
            captured_len,
            wire_len: 1500,
            link: LinkType(if interface == 0 { 1 } else { 276 }),
            interface,
        };
        let frames = vec![header(1, 0, 61, 0), header(2, 61, 39, 1)];
        let chunk = Chunk { bytes: Arc::new(block), frames, ..Chunk::default() };
        for frame in &chunk.frames {
            packet(&mut bytes, &chunk.frame(frame), frame.interface);
        }
        statistics(&mut bytes, 1, [Time(1 << 40), Time(1 << 41)], [1000, 3, 4, 5, 990]);
        let mut capture = Capture::over("x", Box::new(io::Cursor::new(bytes)), Hash::None).unwrap();
        let mut again = Chunk::default();
        let mut seen = Vec::new();
        while capture.next(&mut again) {
            seen.extend(
                again.frames().map(|frame| (frame.time, frame.link, frame.wire_len, frame.bytes.to_vec())),
            );
        }
        let expected: Vec<_> = chunk
            .frames()
            .map(|frame| (frame.time, frame.link, frame.wire_len, frame.bytes.to_vec()))
            .collect();
        assert_eq!(seen, expected);
        let [facts] = capture.finish().try_into().unwrap();
        assert!(facts.damage_count == 0 && facts.adds_up());
        let [first, second] = facts.interfaces.as_slice() else { unreachable!() };
        assert_eq!((first.received, first.dropped), (None, None));
        let counted = (second.received, second.dropped, second.dropped_by_system);
        assert_eq!(counted, (Some(1000), Some(3), Some(9)));
    }

    #[test]
    fn files_are_numbered_in_front_of_their_ending() {
        assert_eq!(numbered(Path::new("a/office.pcapng"), 12), Path::new("a/office-00012.pcapng"));
        assert_eq!(numbered(Path::new("office"), 1), Path::new("office-00001"));
    }
}
