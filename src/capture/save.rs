//! Writes frames into pcapng files that follow one another.
//!
//! In:  chunks of frames, as the audit gets them.
//! Out: `NAME.pcapng`, or `NAME-00001.pcapng` and so on where they are limited by size or time.
//! Not: at the cost of capture. It has a thread and a bounded queue of its own; what does not fit is counted as not saved.

use std::fs::File;
use std::io;
use std::io::Write as _;
use std::path::Path;
use std::path::PathBuf;
use std::sync::Arc;
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
use super::live::Gauges;

/// Chunks under way to the disk.
const QUEUE: usize = 64;

/// Bytes that are written at once.
const BUFFER: usize = 256 << 10;

/// How long a disk that was full is left alone.
const RETRY: Duration = Duration::from_secs(10);

/// What to write, and when to begin another file.
#[derive(Clone, Debug)]
pub struct SavePlan {
    /// The file, or what its numbered successors are named after.
    pub path: PathBuf,
    /// A file is closed at this size.
    pub rotate_bytes: Option<u64>,
    /// A file is closed at this age.
    pub rotate_after: Option<Duration>,
}

/// Hands chunks to the thread that writes them.
#[derive(Debug)]
pub struct Saver {
    out: Sender<Chunk>,
    thread: JoinHandle<()>,
}

impl Saver {
    /// Opens the first file, and begins.
    pub fn start(plan: SavePlan, interfaces: Vec<Interface>, gauges: Arc<Gauges>) -> io::Result<Saver> {
        let mut files = Files::new(plan, interfaces);
        files.next()?;
        let (out, chunks) = bounded(QUEUE);
        let write = move || write_all(files, &chunks, &gauges);
        let thread = thread::Builder::new().name("save".to_owned()).spawn(write)?;
        Ok(Saver { out, thread })
    }

    /// Takes a chunk for the disk, if there is room.
    pub(super) fn save(&self, chunk: &Chunk, gauges: &Gauges) {
        let count = chunk.frames.len() as u64;
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = self.out.try_send(chunk.clone()) {
            gauges.unsaved.fetch_add(count, Ordering::Relaxed);
        }
    }

    /// Waits until everything that was taken is written.
    pub(super) fn finish(self) {
        drop(self.out);
        if let Err(panic) = self.thread.join() {
            std::panic::resume_unwind(panic);
        }
    }
}

fn write_all(mut files: Files, chunks: &Receiver<Chunk>, gauges: &Gauges) {
    let mut failed: Option<Instant> = None;
    loop {
        let taken = chunks.recv_timeout(Duration::from_secs(1));
        if failed.is_some_and(|since| files.rotates() && since.elapsed() >= RETRY) {
            failed = match files.next() {
                Ok(()) => {
                    gauges.say(format!("frames are saved again: {}", files.path().display()));
                    None
                }
                Err(_) => Some(Instant::now()),
            };
        }
        let written = match &taken {
            Ok(chunk) if failed.is_some() => {
                gauges.unsaved.fetch_add(chunk.frames.len() as u64, Ordering::Relaxed);
                continue;
            }
            Ok(chunk) => files.write(chunk),
            Err(_) if failed.is_some() => Ok(()),
            Err(_) => files.flush(),
        };
        if let Err(error) = written {
            gauges.unsaved.fetch_add(std::mem::take(&mut files.lost), Ordering::Relaxed);
            gauges.say(format!(
                "cannot write: {}: {}; {}, the audit goes on",
                files.path().display(),
                if error.kind() == io::ErrorKind::StorageFull {
                    "no space left on the disk".to_owned()
                } else {
                    error.to_string()
                },
                if files.rotates() {
                    "frames are not saved until it can be"
                } else {
                    "frames are no longer saved"
                }
            ));
            failed = Some(Instant::now());
        }
        if matches!(taken, Err(RecvTimeoutError::Disconnected)) {
            return;
        }
    }
}

struct Files {
    plan: SavePlan,
    interfaces: Vec<Interface>,
    number: u32,
    began: Instant,
    file: Option<File>,
    /// Bytes of the file; they end with a whole frame.
    bytes: u64,
    /// What follows them, whole frames too, and how many.
    buffer: Vec<u8>,
    held: u64,
    /// Frames that could not be written, until somebody counts them.
    lost: u64,
}

impl Files {
    fn new(plan: SavePlan, interfaces: Vec<Interface>) -> Files {
        Files {
            plan,
            interfaces,
            number: 0,
            began: Instant::now(),
            file: None,
            bytes: 0,
            buffer: Vec::with_capacity(BUFFER + (64 << 10)),
            held: 0,
            lost: 0,
        }
    }

    fn rotates(&self) -> bool {
        self.plan.rotate_bytes.is_some() || self.plan.rotate_after.is_some()
    }

    fn path(&self) -> PathBuf {
        if self.rotates() { numbered(&self.plan.path, self.number) } else { self.plan.path.clone() }
    }

    fn next(&mut self) -> io::Result<()> {
        self.flush()?;
        self.file = None;
        self.file = Some(if self.rotates() {
            // What an earlier run has saved stays.
            loop {
                self.number += 1;
                match File::create_new(self.path()) {
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                    opened => break opened?,
                }
            }
        } else {
            File::create(self.path())?
        });
        self.bytes = 0;
        self.buffer = head(&self.interfaces);
        self.began = Instant::now();
        self.flush().inspect_err(|_| {
            if self.rotates() {
                // The number is for the next try.
                let _ = std::fs::remove_file(self.path());
                self.number -= 1;
            }
        })
    }

    /// Writes what is held; what cannot be written whole is taken back.
    fn flush(&mut self) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let written = file.write_all(&self.buffer);
        match written {
            Ok(()) => self.bytes += self.buffer.len() as u64,
            Err(_) => {
                self.lost += self.held;
                // A frame that was cut would be damage to whoever reads it.
                let _ = file.set_len(self.bytes);
                self.file = None;
            }
        }
        self.buffer.clear();
        self.held = 0;
        written
    }

    fn write(&mut self, chunk: &Chunk) -> io::Result<()> {
        for (place, frame) in chunk.frames.iter().enumerate() {
            let len = self.bytes + self.buffer.len() as u64;
            let full = self.plan.rotate_bytes.is_some_and(|limit| len >= limit);
            let old = self.plan.rotate_after.is_some_and(|limit| self.began.elapsed() >= limit);
            let written = if full || old {
                self.next()
            } else if self.buffer.len() >= BUFFER {
                self.flush()
            } else {
                Ok(())
            };
            if written.is_err() {
                self.lost += (chunk.frames.len() - place) as u64;
                return written;
            }
            packet(&mut self.buffer, &chunk.frame(frame), frame.interface);
            self.held += 1;
        }
        Ok(())
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
        assert!(capture.finish().iter().all(|facts| facts.damage_count == 0 && facts.adds_up()));
    }

    #[test]
    fn files_are_numbered_in_front_of_their_ending() {
        assert_eq!(numbered(Path::new("a/office.pcapng"), 12), Path::new("a/office-00012.pcapng"));
        assert_eq!(numbered(Path::new("office"), 1), Path::new("office-00001"));
    }
}
