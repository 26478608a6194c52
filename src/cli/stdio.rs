//! Standard output and standard error, as the commands write to them.

use std::io;
use std::io::Write;

use anstream::AutoStream;
use anstream::ColorChoice;
use anstream::stream::RawStream;

use crate::report::reason;

/// A standard stream that names itself in its errors, and strips colours as `--color` says.
pub(super) struct StdStream<S: RawStream> {
    stream: AutoStream<S>,
    name: &'static str,
}

pub(super) fn stdout(color: ColorChoice) -> StdStream<io::StdoutLock<'static>> {
    StdStream { stream: AutoStream::new(io::stdout().lock(), color), name: "standard output" }
}

pub(super) fn stderr(color: ColorChoice) -> StdStream<io::StderrLock<'static>> {
    StdStream { stream: AutoStream::new(io::stderr().lock(), color), name: "standard error" }
}

impl<S: RawStream> StdStream<S> {
    fn named(&self, error: io::Error) -> io::Error {
        match error.kind() {
            // A closed pipe is recognised by its kind and never printed; an interrupted call is repeated.
            io::ErrorKind::BrokenPipe | io::ErrorKind::Interrupted => error,
            kind => io::Error::new(kind, format!("cannot write: {}: {}", self.name, reason(&error))),
        }
    }
}

impl<S: RawStream> Write for StdStream<S>
where
    AutoStream<S>: Write,
{
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.write(bytes).map_err(|error| self.named(error))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush().map_err(|error| self.named(error))
    }
}
