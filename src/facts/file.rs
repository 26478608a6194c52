//! The facts file: a header, chunks of facts, the rest of the run.
//!
//! In:  a header, chunks in the order of the run, and at the end what else is known of the run.
//! Out: one LZ4 frame, so that `lz4 -t` can check it; the same parts from it.
//! Not: what is in a chunk, and what else is known of the run.

use std::fs::File;
use std::io;
use std::io::BufReader;
use std::io::Read;
use std::io::Seek as _;
use std::io::Write;
use std::path::Path;
use std::path::PathBuf;

use lz4_flex::frame::BlockMode;
use lz4_flex::frame::BlockSize;
use lz4_flex::frame::FrameDecoder;
use lz4_flex::frame::FrameEncoder;
use lz4_flex::frame::FrameInfo;
use serde::Deserialize;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::encoding::FactsDecoder;
use super::encoding::TOO_MANY_FLOWS;
use super::stored::Stored;
use crate::base::CapturePoints;
use crate::base::TimeWindow;
use crate::base::WireText;
use crate::base::is_printable;

/// The version of the format. A change of any fact needs the next number.
const FORMAT: u32 = 4;

/// How the file begins, after it was decompressed.
const MAGIC: &[u8; 8] = b"AFSFACTS";

/// The longest chunk: a complete one, and the longest record after it.
const CHUNK_LIMIT: usize = 16 << 20;

/// The longest header and the longest end.
const JSON_LIMIT: usize = 64 << 20;

/// The end mark of an LZ4 frame, and the checksum of its content.
const END_MARK_LEN: u64 = 8;

/// The kinds of parts: a byte before their length.
const HEADER: u8 = b'H';
const CHUNK: u8 = b'F';
const END: u8 = b'E';

/// What must be known of a run before its first fact.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FactsHeader {
    /// The version of the program that wrote it.
    pub program: String,
    /// Names of the inputs in rows, by `FileId`.
    pub inputs: Vec<WireText>,
    /// Limits of the run.
    pub limits: StoredLimits,
    /// So many packets were dropped that a missing reply proves nothing.
    pub is_silence_unreliable: bool,
    /// The capture points of the inputs.
    #[serde(default)]
    pub points: CapturePoints,
    /// The part of the inputs whose rows are reported.
    #[serde(default, skip_serializing_if = "TimeWindow::is_unlimited")]
    pub window: TimeWindow,
    /// Which live run, where it may have several intervals.
    pub run: String,
    /// The number of the interval. Its facts are also about flows that began in the intervals before it.
    pub interval: u64,
}

/// Limits that decide what `judge` keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredLimits {
    /// Distinct findings.
    pub findings: usize,
    /// Bytes of names, about.
    pub name_bytes: usize,
}

/// The header with its version, which is read before the rest of it.
#[derive(Serialize, Deserialize)]
struct VersionedHeader {
    format: u32,
    #[serde(flatten)]
    header: serde_json::Value,
}

/// A facts file cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read facts: {}: {reason}", path.display())]
pub struct FactsError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: String,
}

/// Writes a facts file.
pub struct FactsWriter<W: Write> {
    out: FrameEncoder<W>,
}

impl<W: Write> FactsWriter<W> {
    /// Begins a file.
    pub fn new(out: W, header: &FactsHeader) -> io::Result<FactsWriter<W>> {
        let info = FrameInfo::new()
            .block_size(BlockSize::Max256KB)
            .block_mode(BlockMode::Linked)
            .content_checksum(true);
        let mut writer = FactsWriter { out: FrameEncoder::with_frame_info(info, out) };
        writer.out.write_all(MAGIC)?;
        let header = VersionedHeader { format: FORMAT, header: serde_json::to_value(header)? };
        writer.part(HEADER, &serde_json::to_vec(&header)?)?;
        Ok(writer)
    }

    /// Adds a chunk of facts.
    pub fn chunk(&mut self, chunk: &[u8]) -> io::Result<()> {
        match chunk {
            [] => Ok(()),
            records => self.part(CHUNK, records),
        }
    }

    /// Ends the file with what else is known of the run.
    pub fn finish(mut self, end: &impl Serialize) -> io::Result<W> {
        self.part(END, &serde_json::to_vec(end)?)?;
        self.out.finish().map_err(io::Error::other)
    }

    fn part(&mut self, kind: u8, bytes: &[u8]) -> io::Result<()> {
        let len = u32::try_from(bytes.len()).map_err(io::Error::other)?;
        self.out.write_all(&[kind])?;
        self.out.write_all(&len.to_le_bytes())?;
        self.out.write_all(bytes)
    }
}

/// Reads a facts file.
pub struct FactsReader {
    path: PathBuf,
    input: FrameDecoder<BufReader<File>>,
    header: FactsHeader,
    decoder: FactsDecoder,
    chunk: Vec<u8>,
    /// Bytes of the chunk that were read.
    position: usize,
    /// Records so far.
    records: u64,
    end: Option<Vec<u8>>,
    max_flows: u64,
}

impl FactsReader {
    /// Opens a file and reads its header. `max_flows` is the limit of flows that are open at the same time.
    pub fn open(path: &Path, max_flows: u64) -> Result<FactsReader, FactsError> {
        let failed = |reason: String| FactsError { path: path.to_owned(), reason };
        let file = File::open(path).map_err(|error| failed(error.kind().to_string()))?;
        let mut reader = FactsReader {
            path: path.to_owned(),
            input: FrameDecoder::new(BufReader::with_capacity(256 << 10, file)),
            header: FactsHeader::default(),
            decoder: FactsDecoder::default(),
            chunk: Vec::new(),
            position: 0,
            records: 0,
            end: None,
            max_flows,
        };
        let mut magic = [0; MAGIC.len()];
        if reader.input.read_exact(&mut magic).is_err() || magic != *MAGIC {
            return Err(failed("not a facts file of this program".to_owned()));
        }
        let json = match reader.part()? {
            (HEADER, json) => json,
            _ => return Err(failed("damaged: it has no header".to_owned())),
        };
        let versioned: VersionedHeader = serde_json::from_slice(&json)
            .map_err(|_| failed("damaged: its header is not readable".to_owned()))?;
        if versioned.format != FORMAT {
            return Err(failed(format!(
                "version {} of the format; this program reads version {FORMAT}: analyze the captures again",
                versioned.format
            )));
        }
        if !has_printable_texts(&versioned.header) {
            return Err(failed("damaged: text that is not printable".to_owned()));
        }
        reader.header = serde_json::from_value(versioned.header)
            .map_err(|_| failed("damaged: its header is not readable".to_owned()))?;
        Ok(reader)
    }

    /// Opens the file of the interval after `before`, which was read to its end.
    pub fn open_next(path: &Path, before: FactsReader) -> Result<FactsReader, FactsError> {
        let mut reader = FactsReader::open(path, before.max_flows)?;
        let (header, earlier) = (&reader.header, &before.header);
        if header.run != earlier.run || header.run.is_empty() || header.interval != earlier.interval + 1 {
            let reason = format!("does not continue {}", before.path.display());
            return Err(FactsError { path: reader.path, reason });
        }
        reader.decoder.continue_flows(before.decoder);
        Ok(reader)
    }

    /// The header.
    pub fn header(&self) -> &FactsHeader {
        &self.header
    }

    /// Bytes of the file that were read.
    fn bytes_read(&mut self) -> u64 {
        self.input.get_mut().stream_position().unwrap_or_default()
    }

    /// Records so far.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// The next fact; none after the last.
    pub fn next_fact(&mut self) -> Result<Option<Stored>, FactsError> {
        while self.position >= self.chunk.len() {
            if self.end.is_some() {
                return Ok(None);
            }
            match self.part()? {
                (CHUNK, bytes) => (self.chunk, self.position) = (bytes, 0),
                (END, bytes) => {
                    self.check_end()?;
                    self.end = Some(bytes);
                }
                _ => return Err(self.damaged("an unknown part")),
            }
        }
        let mut rest = self.chunk.get(self.position..).unwrap_or_default();
        match self.decoder.take(&mut rest, self.max_flows) {
            Ok(stored) => {
                self.position = self.chunk.len() - rest.len();
                self.records += 1;
                Ok(Some(stored))
            }
            Err(what @ TOO_MANY_FLOWS) => {
                Err(FactsError { path: self.path.clone(), reason: what.to_owned() })
            }
            Err(what) => Err(self.damaged(what)),
        }
    }

    /// What else is known of the run, after the last fact.
    pub fn end<T: DeserializeOwned>(&self) -> Result<T, FactsError> {
        let json = self.end.as_deref().ok_or_else(|| self.damaged("it was not read to its end"))?;
        let unreadable = |_| self.damaged("its end is not readable");
        let value: serde_json::Value = serde_json::from_slice(json).map_err(unreadable)?;
        if !has_printable_texts(&value) {
            return Err(self.damaged("text that is not printable"));
        }
        serde_json::from_value(value).map_err(unreadable)
    }

    /// Nothing may follow the last part but the end of the LZ4 frame.
    fn check_end(&mut self) -> Result<(), FactsError> {
        let before = self.bytes_read();
        match self.input.read(&mut [0]) {
            // The decoder takes a file that ends before the mark for complete.
            Ok(0) if self.bytes_read() == before + END_MARK_LEN => Ok(()),
            Ok(0) => Err(self.damaged("cut off")),
            Ok(_) => Err(self.damaged("more follows after its end")),
            Err(error) => Err(self.damaged(&error.to_string())),
        }
    }

    /// The kind and the bytes of the next part.
    fn part(&mut self) -> Result<(u8, Vec<u8>), FactsError> {
        let mut head = [0; 5];
        self.read(&mut head)?;
        let [kind, len @ ..] = head;
        let len = u32::from_le_bytes(len) as usize;
        if len > if kind == CHUNK { CHUNK_LIMIT } else { JSON_LIMIT } {
            return Err(self.damaged("a part that is longer than any can be"));
        }
        let mut bytes = Vec::new();
        // Not allocated for a length that nothing follows.
        let read = self.input.by_ref().take(len as u64).read_to_end(&mut bytes);
        match read {
            Ok(read) if read == len => Ok((kind, bytes)),
            Ok(_) => Err(self.damaged("cut off")),
            Err(error) => Err(self.damaged(&error.to_string())),
        }
    }

    fn read(&mut self, bytes: &mut [u8]) -> Result<(), FactsError> {
        self.input.read_exact(bytes).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => self.damaged("cut off"),
            _ => self.damaged(&error.to_string()),
        })
    }

    fn damaged(&self, what: &str) -> FactsError {
        let reason = format!("damaged after fact {}: {what}", self.records);
        FactsError { path: self.path.clone(), reason }
    }
}

/// Whether all texts of a value can be shown on a terminal. `serde_json` limits the depth.
fn has_printable_texts(value: &serde_json::Value) -> bool {
    use serde_json::Value;
    match value {
        Value::String(text) => is_printable(text),
        Value::Array(values) => values.iter().all(has_printable_texts),
        Value::Object(values) => {
            values.iter().all(|(key, value)| is_printable(key) && has_printable_texts(value))
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::super::encoding::FactsEncoder;
    use super::super::encoding::tests::one_of_each;
    use super::*;

    /// A file with one fact of each kind.
    fn bytes() -> Vec<u8> {
        let header =
            FactsHeader { inputs: vec![WireText::new(b"office.pcapng", 99)], ..FactsHeader::default() };
        let mut encoder = FactsEncoder::default();
        one_of_each().iter().for_each(|observation| encoder.add(observation));
        let mut writer = FactsWriter::new(Vec::new(), &header).unwrap();
        writer.chunk(&encoder.take_chunk()).unwrap();
        writer.chunk(&[]).unwrap();
        writer.finish(&"the rest of the run").unwrap()
    }

    /// What reading gives: the number of facts and the end, or the reason.
    fn read(bytes: &[u8]) -> Result<(usize, String), String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("facts.lz4");
        std::fs::write(&path, bytes).unwrap();
        let read = || {
            let mut reader = FactsReader::open(&path, 10)?;
            let mut facts = 0;
            while reader.next_fact()?.is_some() {
                facts += 1;
            }
            Ok((facts, reader.end::<String>()?))
        };
        read().map_err(|error: FactsError| error.reason)
    }

    /// A file of these parts.
    fn parts(parts: &[(u8, u32, &[u8])]) -> Vec<u8> {
        let mut encoder = FrameEncoder::new(MAGIC.to_vec());
        encoder.get_mut().clear();
        encoder.write_all(MAGIC).unwrap();
        for (kind, len, bytes) in parts {
            encoder.write_all(&[*kind]).unwrap();
            encoder.write_all(&len.to_le_bytes()).unwrap();
            encoder.write_all(bytes).unwrap();
        }
        encoder.finish().unwrap()
    }

    #[test]
    fn a_file_is_read_as_it_was_written() {
        assert_eq!(read(&bytes()), Ok((one_of_each().len(), "the rest of the run".to_owned())));
        assert_eq!(bytes(), bytes());
    }

    #[test]
    fn a_file_that_is_cut_off_or_altered_is_refused() {
        let whole = bytes();
        for len in 0..whole.len() {
            assert!(read(&whole[..len]).is_err(), "cut after {len} bytes");
        }
        for at in 0..whole.len() {
            let mut altered = whole.clone();
            altered[at] ^= 0x10;
            assert!(read(&altered).is_err(), "byte {at} altered");
        }
    }

    #[test]
    fn foreign_files_are_named_as_such() {
        let foreign = "not a facts file of this program";
        assert_eq!(read(b"").unwrap_err(), foreign);
        assert_eq!(read(&[0; 64]).unwrap_err(), foreign);
        let mut other = FrameEncoder::new(Vec::new());
        other.write_all(b"some other text").unwrap();
        assert_eq!(read(&other.finish().unwrap()).unwrap_err(), foreign);
    }

    #[test]
    fn a_newer_format_and_false_lengths_are_refused() {
        let json = br#"{"format":5}"#;
        let newer = "version 5 of the format; this program reads version 4: analyze the captures again";
        assert_eq!(read(&parts(&[(HEADER, json.len() as u32, json)])).unwrap_err(), newer);
        let long = "damaged after fact 0: a part that is longer than any can be";
        assert_eq!(read(&parts(&[(HEADER, u32::MAX, b"")])).unwrap_err(), long);
        assert_eq!(read(&parts(&[(HEADER, 1 << 25, b"{}")])).unwrap_err(), "damaged after fact 0: cut off");
        let header = serde_json::to_vec(&FactsHeader::default()).unwrap();
        let header = [br#"{"format":4,"#, &header[1..]].concat();
        let of_chunk = |chunk: &[u8]| {
            let head = (HEADER, header.len() as u32, &header[..]);
            read(&parts(&[head, (CHUNK, chunk.len() as u32, chunk)])).unwrap_err()
        };
        assert_eq!(of_chunk(&[0, 0, 0]), "damaged after fact 0: a record that is cut off or no record");
        // A protocol with a name of 2^63 bytes.
        let name = [0, 0, 0, 0, 2, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
        assert_eq!(of_chunk(&name), "damaged after fact 0: a record that is cut off or no record");
        // A set of attributes with as many elements.
        let set = [0, 0, 0, 0, 7, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f];
        assert_eq!(of_chunk(&set), "damaged after fact 0: a record that is cut off or no record");
        assert_eq!(
            of_chunk(&[0, 0, 0, 0, 8, 5]),
            "damaged after fact 0: a set of attributes that is not in it"
        );
    }
}
