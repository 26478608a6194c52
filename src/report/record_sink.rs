//! Writes records to the evidence folder, to standard output, to both or to neither.

use std::io;
use std::io::Read;
use std::io::Write;
use std::path::PathBuf;

use serde::Serialize;

use super::column::TableRow;
use super::facts::RunFacts;
use super::folder::ClosedFolder;
use super::folder::EvidenceFolder;
use super::input_names::InputNames;
use super::table::CsvTable;
use super::table::JsonLines;
use super::write_error::WriteError;
use crate::facts::FactsHeader;
use crate::judge::DnsRow;
use crate::judge::FindingRow;
use crate::judge::FlowRow;
use crate::judge::ProblemReport;
use crate::judge::RequirementRow;

/// A writer that can be sent to another thread.
pub type ByteSink = Box<dyn Write + Send>;

/// Records on standard output.
pub enum RecordStream {
    /// No records: the summary is printed.
    None,
    /// Flow rows only, because CSV has one header. Findings are in the folder, the summary and JSON lines.
    Csv(Box<CsvTable<FlowRow, ByteSink>>),
    /// All records.
    Json(JsonLines<ByteSink>),
    /// The reader closed it, as `head` does. Not an error.
    Closed,
}

/// Receives the records of a run.
pub struct RecordSink {
    names: InputNames,
    folder: Option<EvidenceFolder>,
    stream: RecordStream,
}

impl RecordSink {
    /// `names` are those of the inputs before they are opened; see [`RecordSink::name_inputs`].
    pub fn new(names: InputNames, folder: Option<EvidenceFolder>, stream: RecordStream) -> RecordSink {
        RecordSink { names, folder, stream }
    }

    /// Names the inputs again, before the first record: opening them expands folders and may change their order.
    pub fn name_inputs(&mut self, names: InputNames) {
        self.names = names;
    }

    /// The names of the inputs.
    pub fn names(&self) -> &InputNames {
        &self.names
    }

    /// Writes a row of `flows.csv`.
    pub fn flow(&mut self, row: &FlowRow) -> Result<(), WriteError> {
        if let Some(folder) = &mut self.folder {
            folder.flow(row, &self.names)?;
        }
        if let RecordStream::Csv(csv) = &mut self.stream {
            let written = csv.write(row, &self.names);
            return self.check_stream(written);
        }
        self.json(row)
    }

    /// Writes a row of `dns.csv`.
    pub fn dns(&mut self, row: &DnsRow) -> Result<(), WriteError> {
        if let Some(folder) = &mut self.folder {
            folder.dns(row, &self.names)?;
        }
        self.json(row)
    }

    /// Whether facts are stored.
    pub fn stores_facts(&self) -> bool {
        self.folder.as_ref().is_some_and(EvidenceFolder::stores_facts)
    }

    /// Begins the facts file.
    pub fn begin_facts(&mut self, header: &FactsHeader) -> Result<(), WriteError> {
        self.folder.as_mut().map_or(Ok(()), |folder| folder.begin_facts(header))
    }

    /// Writes a chunk of facts.
    pub fn facts(&mut self, chunk: &[u8]) -> Result<(), WriteError> {
        self.folder.as_mut().map_or(Ok(()), |folder| folder.facts(chunk))
    }

    /// Ends the facts file with what else is known of the run.
    pub fn end_facts(&mut self, end: &impl Serialize) -> Result<(), WriteError> {
        self.folder.as_mut().map_or(Ok(()), |folder| folder.end_facts(end))
    }

    /// Copies the facts file of an earlier run.
    pub fn copy_facts(&mut self, from: impl Read) -> Result<(), WriteError> {
        self.folder.as_mut().map_or(Ok(()), |folder| folder.copy_facts(from))
    }

    /// Writes a row of `findings.csv`.
    pub fn finding(&mut self, row: &FindingRow) -> Result<(), WriteError> {
        if let Some(folder) = &mut self.folder {
            folder.finding(row, &self.names)?;
        }
        self.json(row)
    }

    /// Writes a finding to standard output when it first appears. The folder gets it complete, when the interval ends.
    pub fn announce_finding(&mut self, row: &FindingRow) -> Result<(), WriteError> {
        self.json(row)
    }

    /// Writes to standard output what has changed about a problem that was announced.
    pub fn problem(&mut self, report: &ProblemReport) -> Result<(), WriteError> {
        let RecordStream::Json(json) = &mut self.stream else { return Ok(()) };
        let written = json.write_problem(report);
        self.check_stream(written)
    }

    /// Writes a finding to the folder only: it was announced before.
    pub fn keep_finding(&mut self, row: &FindingRow) -> Result<(), WriteError> {
        match &mut self.folder {
            Some(folder) => folder.finding(row, &self.names),
            None => Ok(()),
        }
    }

    /// Writes the rows that stand for several to the folder, after its last row.
    pub fn write_collapsed(&mut self) -> Result<(), WriteError> {
        self.folder.as_mut().map_or(Ok(()), |folder| folder.write_collapsed(&self.names))
    }

    /// Replaces the folder, and returns the one before.
    pub fn exchange_folder(&mut self, next: Option<EvidenceFolder>) -> Option<EvidenceFolder> {
        std::mem::replace(&mut self.folder, next)
    }

    /// Whether the reader of standard output closed it.
    pub fn is_stream_closed(&self) -> bool {
        matches!(self.stream, RecordStream::Closed)
    }

    /// Writes a row of `requirements.csv`.
    pub fn requirement(&mut self, row: &RequirementRow) -> Result<(), WriteError> {
        if let Some(folder) = &mut self.folder {
            folder.requirement(row, &self.names)?;
        }
        self.json(row)
    }

    /// Writes what is buffered for standard output.
    pub fn flush(&mut self) -> Result<(), WriteError> {
        let flushed = match &mut self.stream {
            RecordStream::Csv(csv) => csv.flush(),
            RecordStream::Json(json) => json.flush(),
            RecordStream::None | RecordStream::Closed => Ok(()),
        };
        self.check_stream(flushed)
    }

    /// Whether records go nowhere: there is no folder, and the reader of standard output closed it.
    pub fn is_closed(&self) -> bool {
        matches!(self.stream, RecordStream::Closed) && self.folder.is_none()
    }

    /// Reports in JSON lines what was not done and what limits the results.
    pub fn limits(&mut self, facts: &RunFacts) -> Result<(), WriteError> {
        for reason in &facts.not_done {
            let RecordStream::Json(json) = &mut self.stream else { return Ok(()) };
            let written = json.write_not_done(reason);
            self.check_stream(written)?;
        }
        for (kind, message) in facts.limits() {
            let RecordStream::Json(json) = &mut self.stream else { return Ok(()) };
            let written = json.write_limit(kind, message);
            self.check_stream(written)?;
        }
        Ok(())
    }

    /// Reports in JSON lines what was not done and what limits the results, flushes standard output, and completes the tables of the folder.
    pub fn close(mut self, facts: &RunFacts) -> Result<Option<ClosedFolder>, WriteError> {
        self.limits(facts)?;
        self.write_collapsed()?;
        self.flush()?;
        self.folder.map(|folder| folder.close(facts.span())).transpose()
    }

    fn json<R: TableRow>(&mut self, row: &R) -> Result<(), WriteError> {
        let RecordStream::Json(json) = &mut self.stream else { return Ok(()) };
        let written = json.write(row, &self.names);
        self.check_stream(written)
    }

    fn check_stream(&mut self, written: io::Result<()>) -> Result<(), WriteError> {
        match written {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.stream = RecordStream::Closed;
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

    /// A pipe whose reader closed it.
    struct ClosedPipe;

    impl Write for ClosedPipe {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_sink_can_be_sent_to_another_thread() {
        fn check<T: Send>() {}
        check::<RecordSink>();
    }

    #[test]
    fn a_closed_pipe_is_not_an_error() {
        let csv = CsvTable::new(Box::new(ClosedPipe) as ByteSink).unwrap();
        let mut sink = RecordSink::new(test_support::names(), None, RecordStream::Csv(Box::new(csv)));
        for _ in 0..1000 {
            sink.flow(&test_support::flow()).unwrap();
        }
        assert!(sink.is_closed());
        sink.flush().unwrap();

        let mut sink = RecordSink::new(
            test_support::names(),
            None,
            RecordStream::Json(JsonLines::new(Box::new(ClosedPipe))),
        );
        sink.finding(&test_support::finding()).unwrap();
        assert!(!sink.is_closed());
        sink.flush().unwrap();
        assert!(sink.is_closed());
    }
}
