//! Standard output and standard error as the commands write to them.

use std::io;
use std::io::Write;

use anstream::AutoStream;
use anstream::ColorChoice;
use anstream::stream::RawStream;

use crate::report::reason;

/// A stream whose errors say where they come from, and that drops colours where nobody would see them.
pub(super) struct Speech<S: RawStream> {
    stream: AutoStream<S>,
    name: &'static str,
}

/// Standard output.
pub(super) fn stdout(color: ColorChoice) -> Speech<io::StdoutLock<'static>> {
    Speech { stream: AutoStream::new(io::stdout().lock(), color), name: "standard output" }
}

/// Standard error.
pub(super) fn stderr(color: ColorChoice) -> Speech<io::StderrLock<'static>> {
    Speech { stream: AutoStream::new(io::stderr().lock(), color), name: "standard error" }
}

impl<S: RawStream> Speech<S> {
    fn told(&self, error: io::Error) -> io::Error {
        match error.kind() {
            // Callers tell it by its kind, and nobody prints it. A call that was interrupted is made again.
            io::ErrorKind::BrokenPipe | io::ErrorKind::Interrupted => error,
            kind => io::Error::new(kind, format!("cannot write: {}: {}", self.name, reason(&error))),
        }
    }
}

impl<S: RawStream> Write for Speech<S>
where
    AutoStream<S>: Write,
{
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.write(bytes).map_err(|error| self.told(error))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush().map_err(|error| self.told(error))
    }
}
