//! Writes frames into pcapng files that follow one another.
//!
//! In:  chunks of frames, as the audit gets them.
//! Out: `NAME.pcapng`, or `NAME-00001.pcapng` and so on where they are limited by size or time.
//! Not: at the cost of capture. It has a thread and a bounded queue of its own; what does not fit is counted as not saved.

use std::fs::File;
use std::io;
use std::io::BufWriter;
use std::io::Write;
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
        let mut files = Files { plan, interfaces, number: 0, bytes: 0, began: Instant::now(), file: None };
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
    let failed = |files: &Files, error: &io::Error| {
        let path = files.path();
        gauges.say(format!(
            "cannot write: {}: {}; frames are no longer saved, the audit goes on",
            path.display(),
            if error.kind() == io::ErrorKind::StorageFull {
                "no space left on the disk".to_owned()
            } else {
                error.to_string()
            }
        ));
    };
    loop {
        let written = match chunks.recv_timeout(Duration::from_secs(1)) {
            Ok(chunk) => files.write(&chunk).inspect_err(|_| {
                gauges.unsaved.fetch_add(chunk.frames.len() as u64, Ordering::Relaxed);
            }),
            Err(RecvTimeoutError::Timeout) => files.flush(),
            Err(RecvTimeoutError::Disconnected) => {
                if let Err(error) = files.flush() {
                    failed(&files, &error);
                }
                return;
            }
        };
        if let Err(error) = written {
            failed(&files, &error);
            return;
        }
    }
}

struct Files {
    plan: SavePlan,
    interfaces: Vec<Interface>,
    number: u32,
    bytes: u64,
    began: Instant,
    file: Option<BufWriter<File>>,
}

impl Files {
    fn rotates(&self) -> bool {
        self.plan.rotate_bytes.is_some() || self.plan.rotate_after.is_some()
    }

    fn path(&self) -> PathBuf {
        if self.rotates() { numbered(&self.plan.path, self.number) } else { self.plan.path.clone() }
    }

    fn next(&mut self) -> io::Result<()> {
        self.flush()?;
        self.number += 1;
        let mut file = BufWriter::with_capacity(256 << 10, File::create(self.path())?);
        let head = head(&self.interfaces);
        file.write_all(&head)?;
        file.flush()?;
        self.file = Some(file);
        self.bytes = head.len() as u64;
        self.began = Instant::now();
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), Write::flush)
    }

    fn write(&mut self, chunk: &Chunk) -> io::Result<()> {
        for frame in &chunk.frames {
            let full = self.plan.rotate_bytes.is_some_and(|limit| self.bytes >= limit);
            let old = self.plan.rotate_after.is_some_and(|limit| self.began.elapsed() >= limit);
            if full || old {
                self.next()?;
            }
            if let Some(file) = &mut self.file {
                self.bytes += packet(file, &chunk.frame(frame), frame.interface)?;
            }
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

/// An enhanced packet block; returns its length.
// draft-ietf-opsawg-pcapng §4.3
fn packet(out: &mut impl Write, frame: &Frame<'_>, interface: u16) -> io::Result<u64> {
    let captured = frame.bytes.len();
    let padding = captured.next_multiple_of(4) - captured;
    let len = (32 + captured + padding) as u32;
    let stamp = frame.time.0 as u64;
    let words =
        [6, len, u32::from(interface), (stamp >> 32) as u32, stamp as u32, captured as u32, frame.wire_len];
    let mut head = [0_u8; 28];
    for (place, word) in head.chunks_exact_mut(4).zip(words) {
        place.copy_from_slice(&word.to_le_bytes());
    }
    out.write_all(&head)?;
    out.write_all(frame.bytes)?;
    out.write_all([0_u8; 4].get(..padding).unwrap_or_default())?;
    out.write_all(&len.to_le_bytes())?;
    Ok(u64::from(len))
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
            packet(&mut bytes, &chunk.frame(frame), frame.interface).unwrap();
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
