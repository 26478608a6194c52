//! Reads standard input and named pipes so that a run can be stopped while they are silent.
//!
//! In:  a descriptor, and the flag that stops the run.
//! Out: its bytes; an error when the flag is set.
//! Not: regular files, which are never silent.

use std::fs::File;
use std::io;
use std::io::Read;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use rustix::event::PollFd;
use rustix::event::PollFlags;
use rustix::event::Timespec;
use rustix::fs::Mode;
use rustix::fs::OFlags;
use rustix::io::Errno;

/// How often the flag is looked at while there is nothing to read.
const STOP_CHECK: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// A reader that ends when the run is stopped.
pub(super) struct InterruptibleReader {
    from: Box<dyn AsFd + Send>,
    stop: Arc<AtomicBool>,
}

impl InterruptibleReader {
    /// Standard input.
    pub(super) fn stdin(stop: &Arc<AtomicBool>) -> InterruptibleReader {
        InterruptibleReader { from: Box::new(io::stdin()), stop: Arc::clone(stop) }
    }

    /// A named pipe or a device. Opening does not wait for a writer, reading does.
    pub(super) fn open(path: &Path, stop: &Arc<AtomicBool>) -> io::Result<InterruptibleReader> {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
        Ok(InterruptibleReader { from: Box::new(file), stop: Arc::clone(stop) })
    }
}

impl Read for InterruptibleReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while !self.stop.load(Ordering::Relaxed) {
            match rustix::event::poll(&mut [PollFd::new(&self.from, PollFlags::IN)], Some(&STOP_CHECK)) {
                Ok(0) | Err(Errno::INTR) => continue,
                Ok(_) => {}
                Err(error) => return Err(error.into()),
            }
            match rustix::io::read(&self.from, &mut *buffer) {
                Err(Errno::INTR | Errno::AGAIN) => {}
                read => return Ok(read?),
            }
        }
        Err(io::Error::other("interrupted"))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_silent_reader_ends_when_the_run_is_stopped() {
        let (mut writer, reader) = UnixStream::pair().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let mut reader = InterruptibleReader { from: Box::new(reader), stop: Arc::clone(&stop) };
        writer.write_all(b"abc").unwrap();
        let mut buffer = [0; 8];
        assert_eq!(reader.read(&mut buffer).unwrap(), 3);
        let reading = std::thread::spawn(move || reader.read(&mut buffer).unwrap_err());
        stop.store(true, Ordering::Relaxed);
        assert_eq!(reading.join().unwrap().to_string(), "interrupted");
        drop(writer);
    }

    #[test]
    fn a_pipe_ends_with_its_writer() {
        let folder = tempfile::tempdir().unwrap();
        let pipe = folder.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let mut reader = InterruptibleReader::open(&pipe, &Arc::default()).unwrap();
        let writer = std::thread::spawn(move || std::fs::write(pipe, "abc").unwrap());
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        writer.join().unwrap();
        assert_eq!(text, "abc");
    }
}
