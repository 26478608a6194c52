//! Reads what has to be known of an event trace log before its packets.
//!
//! In:  a file, compressed or not, or a file in an archive.
//! Out: names of components and processes that its last buffers have; in a circular log, where its oldest buffers are.
//! Not: packets; streams, which are read once.
//!
//! Packet Monitor names its components when the session ends, after all packets. A circular log, the default of `netsh trace` and
//! `pktmon`, goes on after its own header once it has its full size, so the file has newer buffers before older ones.

use std::collections::HashMap;
use std::collections::HashSet;
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::io::BufReader;
use std::io::Read;
use std::io::Seek as _;
use std::io::SeekFrom;
use std::path::Path;
use std::sync::Arc;

use super::PROBE_LEN;
use super::container::BUFFER_HEADER_LEN;
use super::container::BufferHeader;
use super::container::FirstRecord;
use super::container::Record;
use super::container::Records;
use super::is_trace;
use super::lzxpress;
use super::packets::PacketEvents;
use crate::capture::archive;
use crate::capture::block::RawSource;
use crate::capture::compress;
use crate::capture::input::InputOrigin;

/// Buffers at the end that are searched for names.
const LAST_BUFFERS: usize = 64;

/// Buffers that are looked at. A log of more has no names of its end, and is read in the order of the file.
const BUFFERS_LIMIT: usize = 1 << 16;

/// Bytes of the last buffers that are kept, and of their records.
const BYTES_LIMIT: usize = 64 << 20;

/// Names by number.
#[derive(Debug, Default)]
pub(super) struct TrailingNames {
    pub(super) components: Vec<(u32, Arc<str>)>,
    pub(super) processes: HashMap<u32, Arc<str>>,
}

/// The oldest buffers of a circular log: from here to its end.
pub(super) struct OldestBuffers {
    pub(super) offset: u64,
    /// Their bytes.
    pub(super) source: RawSource,
}

/// What was found.
#[derive(Default)]
pub(in crate::capture) struct LogSurvey {
    pub(super) names: TrailingNames,
    /// Where they are after newer ones.
    pub(super) oldest: Option<OldestBuffers>,
}

impl LogSurvey {
    /// Reads the buffers of a log; nothing where the input is no log, cannot be read, or can be read only once.
    pub(in crate::capture) fn of(origin: &InputOrigin) -> LogSurvey {
        let reopen: Box<dyn Fn() -> io::Result<LogBytes>> = match origin {
            InputOrigin::File(path) => Box::new(|| open_file(path)),
            InputOrigin::Member(member) => Box::new(|| member.open().map(LogBytes::Once)),
            InputOrigin::Pipe(_) | InputOrigin::Stream(_) => return LogSurvey::default(),
        };
        let survey = || {
            let mut log = reopen()?;
            let mut head = [0; PROBE_LEN];
            log.read_exact(&mut head)?;
            if !is_trace(&head) {
                return Ok(LogSurvey::default());
            }
            let mut log = reopen()?;
            let mut scan = LogScan::default();
            scan.read(&mut log)?;
            let names = scan.names(&mut log)?.into_names();
            let oldest = scan.oldest().map(|offset| {
                let mut log = reopen()?;
                log.skip(offset)?;
                Ok::<_, io::Error>(OldestBuffers { offset, source: log.into_source() })
            });
            Ok::<_, io::Error>(LogSurvey { names, oldest: oldest.transpose()? })
        };
        survey().unwrap_or_default()
    }
}

/// The bytes of a log.
enum LogBytes {
    File(File),
    /// Decompressed: what is skipped has to be read.
    Once(Box<dyn Read + Send>),
}

impl LogBytes {
    fn read_exact(&mut self, space: &mut [u8]) -> io::Result<()> {
        match self {
            LogBytes::File(file) => file.read_exact(space),
            LogBytes::Once(bytes) => bytes.read_exact(space),
        }
    }

    fn skip(&mut self, len: u64) -> io::Result<()> {
        let skipped = match self {
            LogBytes::File(file) => {
                let len = i64::try_from(len).map_err(io::Error::other)?;
                return file.seek(SeekFrom::Current(len)).map(drop);
            }
            LogBytes::Once(bytes) => io::copy(&mut bytes.take(len), &mut io::sink())?,
        };
        if skipped < len { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }

    fn into_source(self) -> RawSource {
        match self {
            LogBytes::File(file) => RawSource::File(file),
            LogBytes::Once(bytes) => RawSource::Stream(bytes),
        }
    }
}

/// A file's bytes, decompressed if necessary.
fn open_file(path: &Path) -> io::Result<LogBytes> {
    let mut file = File::open(path)?;
    let mut head = Vec::with_capacity(PROBE_LEN);
    (&mut file).take(PROBE_LEN as u64).read_to_end(&mut head)?;
    if compress::is_stream(&head) {
        return Ok(LogBytes::Once(Box::new(BufReader::new(archive::decompress_only(path)?))));
    }
    file.seek(SeekFrom::Start(0))?;
    Ok(LogBytes::File(file))
}

/// A buffer's place, and the time of its first record in units of the log's clock.
#[derive(Clone, Copy, Debug)]
struct BufferPlace {
    offset: u64,
    processor: u16,
    first_time: u64,
}

/// One of the last buffers.
struct LastBuffer {
    offset: u64,
    header: BufferHeader,
    /// What follows its header, where it cannot be read again.
    body: Option<Vec<u8>>,
}

/// The buffers of a log.
#[derive(Default)]
struct LogScan {
    places: Vec<BufferPlace>,
    last: VecDeque<LastBuffer>,
    last_len: usize,
    /// The file has one log only, up to its end.
    is_one_log: bool,
}

impl LogScan {
    /// Reads all headers.
    fn read(&mut self, log: &mut LogBytes) -> io::Result<()> {
        let mut offset = 0;
        for number in 0..BUFFERS_LIMIT {
            let mut bytes = [0; BUFFER_HEADER_LEN];
            if log.read_exact(&mut bytes).is_err() {
                self.is_one_log = true;
                break;
            }
            let Ok(Some(header)) = BufferHeader::parse(&bytes) else { break };
            let body_len = header.size - BUFFER_HEADER_LEN;
            let mut body = vec![0; body_len.min(FirstRecord::LEN)];
            if log.read_exact(&mut body).is_err() {
                break;
            }
            match FirstRecord::of(&body).filter(|_| !header.compressed) {
                Some(FirstRecord::LogHeader) if number > 0 => break,
                Some(FirstRecord::At(first_time)) => {
                    self.places.push(BufferPlace { offset, processor: header.processor, first_time });
                }
                Some(FirstRecord::LogHeader) | None => {}
            }
            let rest = body_len - body.len();
            let kept = if matches!(log, LogBytes::File(_)) {
                log.skip(rest as u64)?;
                None
            } else {
                body.resize(body_len, 0);
                if log.read_exact(body.get_mut(body_len - rest..).unwrap_or_default()).is_err() {
                    break;
                }
                Some(body)
            };
            self.last_len += body_len;
            self.last.push_back(LastBuffer { offset, header, body: kept });
            while self.last.len() > LAST_BUFFERS || (self.last_len > BYTES_LIMIT && self.last.len() > 1) {
                self.last_len -=
                    self.last.pop_front().map_or(0, |buffer| buffer.header.size - BUFFER_HEADER_LEN);
            }
            offset += header.size as u64;
        }
        Ok(())
    }

    /// What the last buffers name.
    fn names(&self, log: &mut LogBytes) -> io::Result<PacketEvents> {
        let mut events = PacketEvents::default();
        let mut read = Vec::new();
        let mut decompressed = Vec::new();
        let mut records_left = BYTES_LIMIT;
        for LastBuffer { offset, header, body } in &self.last {
            let body = match (body, &mut *log) {
                (Some(body), _) => body,
                (None, LogBytes::File(file)) => {
                    read.resize(header.size - BUFFER_HEADER_LEN, 0);
                    file.seek(SeekFrom::Start(offset + BUFFER_HEADER_LEN as u64))?;
                    if file.read_exact(&mut read).is_err() {
                        break;
                    }
                    &read
                }
                (None, LogBytes::Once(_)) => break,
            };
            let filled = header.filled - BUFFER_HEADER_LEN;
            records_left = match records_left.checked_sub(filled) {
                Some(left) => left,
                None => break,
            };
            let records = if header.compressed {
                decompressed.resize(filled, 0);
                let (len, result) = lzxpress::decompress(body, &mut decompressed);
                if result.is_err() {
                    continue;
                }
                decompressed.get(..len).unwrap_or_default()
            } else {
                body.get(..filled).unwrap_or(body)
            };
            for record in Records::new(records) {
                if let Record::Event(event) = record {
                    events.accept_name(&event);
                }
            }
        }
        Ok(events)
    }

    /// The offset of the oldest buffer, where newer ones are before it.
    fn oldest(&self) -> Option<u64> {
        if self.is_one_log { oldest_buffer(&self.places) } else { None }
    }
}

/// Where time goes back the most, the oldest buffer begins, if those from there on are older than those before. Buffers of several
/// processors overlap in time, and one that an idle processor fills is written late: such a one is alone.
fn oldest_buffer(places: &[BufferPlace]) -> Option<u64> {
    let went_back = |pair: &[BufferPlace]| match pair {
        [before, after] => before.first_time.saturating_sub(after.first_time),
        _ => 0,
    };
    let steps = places.windows(2).map(went_back).enumerate();
    let (index, largest) = steps.reduce(|a, b| if b.1 > a.1 { b } else { a })?;
    if largest == 0 {
        return None;
    }
    let (newer, older) = places.split_at_checked(index + 1)?;
    let mut processors = HashSet::new();
    let has_full_ones = older.iter().any(|place| !processors.insert(place.processor));
    let times = |part: &[BufferPlace]| {
        let mut times: Vec<u64> = part.iter().map(|place| place.first_time).collect();
        times.sort_unstable();
        times
    };
    let (newer, older_times) = (times(newer), times(older));
    // A tenth of each may overlap.
    let is_older = older_times.get(older_times.len() * 9 / 10)? <= newer.get(newer.len() / 10)?;
    older.first().filter(|_| has_full_ones && is_older).map(|place| place.offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Buffers, each with its processor and the time of its first record; the expected index of the oldest one.
    fn check(buffers: &[(u16, u64)], expected: Option<u64>) {
        let places: Vec<BufferPlace> = (0..)
            .zip(buffers)
            .map(|(offset, (processor, first_time))| BufferPlace {
                offset,
                processor: *processor,
                first_time: *first_time,
            })
            .collect();
        assert_eq!(oldest_buffer(&places), expected, "{buffers:?}");
    }

    #[test]
    fn the_oldest_buffer_of_a_circular_log_is_found() {
        check(&[(0, 70), (0, 80), (0, 10), (0, 20), (0, 60)], Some(2));
        check(&[(0, 70), (1, 68), (0, 80), (1, 78), (0, 10), (1, 8), (0, 20), (1, 18)], Some(4));
        check(&[(0, 90), (0, 10), (0, 20)], Some(1));
    }

    #[test]
    fn a_log_in_order_has_none() {
        check(&[], None);
        check(&[(0, 10), (0, 20), (0, 30)], None);
        check(&[(0, 10), (1, 8), (0, 20), (1, 18), (0, 30)], None);
        // Idle processors, whose buffers are written when the session ends.
        check(&[(0, 10), (0, 20), (0, 30), (0, 40), (1, 5), (2, 6), (3, 7)], None);
        check(&[(0, 10), (0, 10), (0, 10)], None);
    }
}
