//! Where records go: the evidence folder, standard output, both, or neither.

use std::io;
use std::io::Write;
use std::path::PathBuf;

use super::columns::Record;
use super::error::WriteError;
use super::facts::RunFacts;
use super::folder::Folder;
use super::folder::Published;
use super::manifest::Manifest;
use super::manifest::Run;
use super::names::Names;
use super::table::Csv;
use super::table::JsonLines;
use crate::judge::DnsRow;
use crate::judge::FindingRow;
use crate::judge::FlowRow;
use crate::judge::RequirementRow;

/// Anything that takes bytes and can go to another thread.
pub type Out = Box<dyn Write + Send>;

/// Records as a stream.
pub enum Stream {
    /// No stream: the summary is for the reader.
    None,
    /// Flow rows only: a stream of CSV has one header. Findings are in the folder, in the summary and in JSON lines.
    Csv(Box<Csv<FlowRow, Out>>),
    /// All records.
    Json(JsonLines<Out>),
    /// Its reader went away, as `head` does. Not an error.
    Closed,
}

/// Takes the records that judge leaves.
pub struct Sink {
    names: Names,
    folder: Option<Folder>,
    stream: Stream,
}

impl Sink {
    /// A sink. `names` are those of the inputs by `FileId`, as far as they are known before the inputs are opened.
    pub fn new(names: Names, folder: Option<Folder>, stream: Stream) -> Sink {
        Sink { names, folder, stream }
    }

    /// Names the inputs anew, before the first record: reading may put them in another order, and looks into folders.
    pub fn name_inputs(&mut self, names: Names) {
        self.names = names;
    }

    /// What the inputs are called.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// A flow's row.
    pub fn flow(&mut self, row: &FlowRow) -> Result<(), WriteError> {
        if let Some(folder) = &mut self.folder {
            folder.flow(row, &self.names)?;
        }
        if let Stream::Csv(csv) = &mut self.stream {
            let written = csv.write(row, &self.names);
            return self.streamed(written);
        }
        self.json(row)
    }

    /// A DNS answer's row.
    pub fn dns(&mut self, row: &DnsRow) -> Result<(), WriteError> {
        if let Some(folder) = &mut self.folder {
            folder.dns(row, &self.names)?;
        }
        self.json(row)
    }

    /// A finding's row.
    pub fn finding(&mut self, row: &FindingRow) -> Result<(), WriteError> {
        if let Some(folder) = &mut self.folder {
            folder.finding(row, &self.names)?;
        }
        self.json(row)
    }

    /// A finding at its first sign, for the stream alone: the folder gets it when it is closed.
    pub fn announce_finding(&mut self, row: &FindingRow) -> Result<(), WriteError> {
        self.json(row)
    }

    /// A finding's row for the folder alone: the stream had it when it was new.
    pub fn keep_finding(&mut self, row: &FindingRow) -> Result<(), WriteError> {
        match &mut self.folder {
            Some(folder) => folder.finding(row, &self.names),
            None => Ok(()),
        }
    }

    /// Gives the folder out, to be finished, and goes on with another.
    pub fn exchange_folder(&mut self, next: Option<Folder>) -> Option<Folder> {
        std::mem::replace(&mut self.folder, next)
    }

    /// Whether the stream's reader went away.
    pub fn is_stream_closed(&self) -> bool {
        matches!(self.stream, Stream::Closed)
    }

    /// A requirement's row.
    pub fn requirement(&mut self, row: &RequirementRow) -> Result<(), WriteError> {
        if let Some(folder) = &mut self.folder {
            folder.requirement(row, &self.names)?;
        }
        self.json(row)
    }

    /// Hands on what the stream still holds.
    pub fn flush(&mut self) -> Result<(), WriteError> {
        let flushed = match &mut self.stream {
            Stream::Csv(csv) => csv.flush(),
            Stream::Json(json) => json.flush(),
            Stream::None | Stream::Closed => Ok(()),
        };
        self.streamed(flushed)
    }

    /// True when nobody takes records any more: there is no folder, and the stream's reader went away.
    pub fn is_closed(&self) -> bool {
        matches!(self.stream, Stream::Closed) && self.folder.is_none()
    }

    /// Ends the stream, and writes the folder's manifest.
    pub fn finish(mut self, facts: &RunFacts, run: &Run) -> Result<Option<Published>, WriteError> {
        self.flush()?;
        let Some(folder) = self.folder else { return Ok(None) };
        folder.finish(|outputs| Manifest::new(facts, run, outputs).to_json()).map(Some)
    }

    fn json<R: Record>(&mut self, row: &R) -> Result<(), WriteError> {
        let Stream::Json(json) = &mut self.stream else { return Ok(()) };
        let written = json.write(row, &self.names);
        self.streamed(written)
    }

    fn streamed(&mut self, written: io::Result<()>) -> Result<(), WriteError> {
        match written {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.stream = Stream::Closed;
                Ok(())
            }
            Err(error) => Err(WriteError::new(&PathBuf::from("standard output"), &error)),
            Ok(()) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::test_support;

    /// A pipe whose reader has gone.
    struct Gone;

    impl Write for Gone {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_sink_can_go_to_another_thread() {
        fn check<T: Send>() {}
        check::<Sink>();
    }

    #[test]
    fn a_closed_pipe_is_not_an_error() {
        let csv = Csv::new(Box::new(Gone) as Out).unwrap();
        let mut sink = Sink::new(test_support::names(), None, Stream::Csv(Box::new(csv)));
        for _ in 0..1000 {
            sink.flow(&test_support::flow()).unwrap();
        }
        assert!(sink.is_closed());
        sink.flush().unwrap();

        let mut sink = Sink::new(test_support::names(), None, Stream::Json(JsonLines::new(Box::new(Gone))));
        sink.finding(&test_support::finding()).unwrap();
        assert!(!sink.is_closed());
        sink.flush().unwrap();
        assert!(sink.is_closed());
    }
}
