//! Cuts an event trace log into buffers, and a buffer into records.
//!
//! In:  bytes of the file.
//! Out: buffer headers, the log's own header with its clock, records with their header fields.
//! Not: what a record's payload means.
//!
//! Field layouts: `WMI_BUFFER_HEADER`, `TRACE_LOGFILE_HEADER`, `EVENT_HEADER` and `SYSTEM_TRACE_HEADER` of the Windows
//! SDK, as they are written to disk; all little-endian.

use super::packets::guid;
use crate::base::Cursor;
use crate::base::Truncated;
use crate::capture::facts::is_heavy_loss;

/// Length of a buffer's header.
pub(super) const BUFFER_HEADER_LEN: usize = 72;

/// A buffer longer than this is damage; the largest that Windows allocates is 1 MiB, relogged ones are smaller than their
/// decompressed records.
pub(super) const BUFFER_LIMIT: usize = 16 << 20;

/// The records of a compressed buffer may become so long.
pub(super) const RECORDS_LIMIT: usize = 16 << 20;

/// Record kinds, by the byte at offset 2.
const SYSTEM: [u8; 2] = [0x01, 0x02];
const COMPACT: [u8; 2] = [0x03, 0x04];
const PERFINFO: [u8; 2] = [0x10, 0x11];
const EVENT: [u8; 2] = [0x12, 0x13];
/// `EVENT_TRACE_HEADER`: events of providers without a manifest.
const FULL_HEADER: [u8; 2] = [0x0a, 0x14];

/// `SystemTraceControlGuid`, in whose name the kernel logs.
pub(super) const KERNEL: [u8; 16] =
    guid(0x9e81_4aad, 0x3204, 0x11d2, [0x9a, 0x82, 0x00, 0x60, 0x08, 0xa8, 0x69, 0x39]);

/// The top bits of the byte at offset 3: every record has one of these.
const TRACE_MARK: u8 = 0xc0;
const MESSAGE_MARK: u8 = 0x80;

/// A buffer's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BufferHeader {
    /// Bytes on disk, header included.
    pub size: usize,
    /// Bytes of header and records, decompressed.
    pub filled: usize,
    /// Records are compressed.
    pub compressed: bool,
    /// Events did not fit a buffer.
    pub events_lost: bool,
    /// A whole buffer was lost before this one.
    pub buffer_lost: bool,
    /// The processor whose events it holds.
    pub processor: u16,
}

impl BufferHeader {
    const EVENTS_LOST: u16 = 0x02;
    const BUFFER_LOST: u16 = 0x04;
    const COMPRESSED: u16 = 0x40;

    /// Parses a header; `Ok(None)` where the bytes cannot be one.
    pub(super) fn parse(bytes: &[u8]) -> Result<Option<BufferHeader>, Truncated> {
        let mut c = Cursor::new(bytes);
        let size = c.u32_le("buffer size")? as usize;
        let saved = c.u32_le("saved offset")? as usize;
        c.skip(32, "buffer header")?;
        let processor = c.u16_le("processor")?;
        c.skip(6, "buffer header")?;
        let filled = c.u32_le("filled bytes")? as usize;
        let flags = c.u16_le("buffer flags")?;
        let _kind = c.u16_le("buffer type")?;
        c.skip(16, "buffer header")?;
        let compressed = flags & BufferHeader::COMPRESSED != 0;
        let filled = filled.max(saved);
        let sound = (BUFFER_HEADER_LEN..=BUFFER_LIMIT).contains(&size)
            && (BUFFER_HEADER_LEN..=RECORDS_LIMIT).contains(&filled)
            && (compressed || filled <= size);
        Ok(sound.then_some(BufferHeader {
            size,
            filled,
            compressed,
            events_lost: flags & BufferHeader::EVENTS_LOST != 0,
            buffer_lost: flags & BufferHeader::BUFFER_LOST != 0,
            processor,
        }))
    }
}

/// How the records of a buffer begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FirstRecord {
    /// With the header of a log.
    LogHeader,
    /// With an event of this time, in units of the log's clock.
    At(u64),
}

impl FirstRecord {
    /// Bytes that are needed to know.
    pub(super) const LEN: usize = 24;

    /// By the first bytes of the records; none where the record has its time elsewhere.
    pub(super) fn of(records: &[u8]) -> Option<FirstRecord> {
        let [_, _, kind, mark, _, _, hook_low, hook_high] = *records.first_chunk::<8>()?;
        if mark & TRACE_MARK != TRACE_MARK {
            return None;
        }
        if SYSTEM.contains(&kind) && (hook_low, hook_high) == (0, 0) {
            return Some(FirstRecord::LogHeader);
        }
        let has_time = SYSTEM.contains(&kind) || EVENT.contains(&kind) || FULL_HEADER.contains(&kind);
        let time = records.get(16..)?.first_chunk::<8>().filter(|_| has_time)?;
        Some(FirstRecord::At(u64::from_le_bytes(*time)))
    }
}

/// A record: the fields that packet events need of its header, and its payload.
#[derive(Clone, Copy, Debug)]
pub(super) enum Record<'a> {
    /// The log's own header, in the first buffer.
    LogFile(LogFileHeader),
    /// An event of a provider.
    Event(Event<'a>),
    /// An event of a provider without a manifest, or of the kernel.
    Classic([u8; 16]),
    /// Anything else: messages.
    Other,
}

/// An event of a provider.
#[derive(Clone, Copy, Debug)]
pub(super) struct Event<'a> {
    /// The provider's GUID, as on disk.
    pub provider: [u8; 16],
    /// The event's number at its provider.
    pub id: u16,
    /// Which form of the event it is.
    pub version: u8,
    /// The process that ran when it was logged.
    pub process: u32,
    /// Raw time, in units of the log's clock.
    pub time: u64,
    /// Bits whose meaning the provider defines.
    pub keywords: u64,
    /// The provider's data.
    pub payload: &'a [u8],
    /// Its offset in the records of its buffer.
    pub payload_at: usize,
}

/// What the header of the log reports about the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LogFileHeader {
    /// Events that the session lost.
    pub events_lost: u32,
    /// Buffers that the session lost.
    pub buffers_lost: u32,
    /// Processors of the machine, each with buffers of its own.
    pub processors: u32,
    /// Bytes of a buffer, before compression.
    pub buffer_len: u32,
    /// Buffers in the log; 0 where the session ended without a word.
    pub buffers_written: u32,
    /// How raw times become wall-clock times.
    pub clock: TraceClock,
}

/// How raw times become wall-clock times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TraceClock {
    /// Wall-clock time of `raw_start`, in 100 ns since 1601.
    start: u64,
    /// Raw time of the log's first record.
    raw_start: u64,
    /// Raw units per second; 0 where raw times are wall-clock times already.
    frequency: u64,
}

/// 100 ns per second, the unit of a FILETIME.
const FILETIME_PER_SEC: i128 = 10_000_000;

/// From 1601-01-01 to 1970-01-01, in 100 ns.
const UNIX_EPOCH: i128 = 116_444_736_000_000_000;

impl TraceClock {
    /// The clock of a log whose header is lost: times stay what they are.
    pub(super) const UNKNOWN: TraceClock = TraceClock { start: 0, raw_start: 0, frequency: 0 };

    /// A raw time, in 100 ns since 1970; 0 for an earlier one.
    pub(super) fn unix(&self, raw: u64) -> u64 {
        let filetime = if self.frequency == 0 {
            i128::from(raw)
        } else {
            let since = i128::from(raw) - i128::from(self.raw_start);
            i128::from(self.start) + to_filetime(since, i128::from(self.frequency))
        };
        u64::try_from(filetime - UNIX_EPOCH).unwrap_or_default()
    }
}

/// Units of a clock as units of a FILETIME. A division of 128 bits costs more than the rest of an event.
fn to_filetime(units: i128, frequency: i128) -> i128 {
    if frequency == FILETIME_PER_SEC {
        return units;
    }
    let scaled = units * FILETIME_PER_SEC;
    match (i64::try_from(scaled), i64::try_from(frequency)) {
        (Ok(scaled), Ok(frequency)) => i128::from(scaled / frequency),
        _ => scaled / frequency,
    }
}

impl LogFileHeader {
    /// Clock types of `ReservedFlags`: performance counter, system time, processor cycles.
    const QPC: u32 = 1;
    const SYSTEM_TIME: u32 = 2;

    fn parse(c: &mut Cursor<'_>, raw_start: u64) -> Result<LogFileHeader, Truncated> {
        let buffer_len = c.u32_le("buffer size")?;
        c.skip(8, "versions")?;
        let processors = c.u32_le("processors")?;
        c.skip(20, "end time and limits")?;
        let buffers_written = c.u32_le("buffers written")?;
        c.skip(4, "start buffers")?;
        let pointer_len = c.u32_le("pointer size")?;
        let events_lost = c.u32_le("events lost")?;
        let mhz = c.u32_le("processor speed")?;
        // Two pointers without meaning on disk; a time zone of 172 bytes; alignment to 8.
        c.skip(if pointer_len == 4 { 8 } else { 16 }, "log file names")?;
        c.skip(172 + 4, "time zone")?;
        c.skip(8, "boot time")?;
        let performance_frequency = c.u64_le("performance counter frequency")?;
        let start = c.u64_le("start time")?;
        let clock_type = c.u32_le("clock type")?;
        let buffers_lost = c.u32_le("buffers lost")?;
        let frequency = match clock_type {
            LogFileHeader::QPC => performance_frequency,
            LogFileHeader::SYSTEM_TIME => 0,
            _ => u64::from(mhz) * 1_000_000,
        };
        let clock = TraceClock { start, raw_start, frequency };
        Ok(LogFileHeader { events_lost, buffers_lost, processors, buffer_len, buffers_written, clock })
    }

    /// Reads it from the first bytes of a log.
    pub(super) fn peek(bytes: &[u8]) -> Option<LogFileHeader> {
        match Records::new(bytes.get(BUFFER_HEADER_LEN..)?).next()? {
            Record::LogFile(header) => Some(header),
            Record::Event(_) | Record::Classic(_) | Record::Other => None,
        }
    }

    /// Whether so much was lost that a missing reply proves nothing.
    pub(super) fn reports_heavy_loss(&self) -> bool {
        /// Events are longer than their header of 80 bytes, and buffers are seldom full.
        const BYTES_OF_AN_EVENT: u64 = 512;
        let buffers = u64::from(self.buffers_written);
        let events = buffers * u64::from(self.buffer_len) / BYTES_OF_AN_EVENT;
        is_heavy_loss(u64::from(self.events_lost), events)
            || is_heavy_loss(u64::from(self.buffers_lost), buffers)
    }
}

/// The records of one buffer, after its header.
#[derive(Clone, Debug)]
pub(super) struct Records<'a> {
    rest: &'a [u8],
    len: usize,
    /// Bytes remain that are no record.
    pub(super) damaged: bool,
}

impl<'a> Records<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Records<'a> {
        Records { rest: bytes, len: bytes.len(), damaged: false }
    }
}

impl<'a> Iterator for Records<'a> {
    type Item = Record<'a>;

    fn next(&mut self) -> Option<Record<'a>> {
        let head = self.rest.first_chunk::<8>()?;
        let [s0, s1, kind, mark, z0, z1, ..] = *head;
        let is_end = matches!((s0, s1), (0, 0) | (0xff, 0xff)) && mark & TRACE_MARK != TRACE_MARK;
        if is_end {
            return None;
        }
        // Records of the kernel's own kinds have a version first and their size at offset 4.
        let size_is_later = [SYSTEM, COMPACT, PERFINFO].iter().any(|kinds| kinds.contains(&kind));
        let size = usize::from(if size_is_later && mark == TRACE_MARK {
            u16::from_le_bytes([z0, z1])
        } else {
            u16::from_le_bytes([s0, s1])
        });
        let Some(record) = self.rest.get(..size).filter(|_| size >= 8 && mark & MESSAGE_MARK != 0) else {
            self.damaged = true;
            self.rest = &[];
            return None;
        };
        let end = self.len - self.rest.len() + size;
        self.rest = self.rest.get(size.next_multiple_of(8)..).unwrap_or_default();
        let parsed = match kind {
            _ if mark & TRACE_MARK != TRACE_MARK => Ok(Record::Other),
            kind if SYSTEM.contains(&kind) => system(record),
            kind if EVENT.contains(&kind) => event(record, end),
            kind if FULL_HEADER.contains(&kind) => classic(record),
            _ if size_is_later => Ok(Record::Classic(KERNEL)),
            _ => Ok(Record::Other),
        };
        // A record shorter than its own header says nothing; the next may be sound.
        self.damaged |= parsed.is_err();
        Some(parsed.unwrap_or(Record::Other))
    }
}

/// `SYSTEM_TRACE_HEADER`; group 0, opcode 0 is the log's own header.
fn system(record: &[u8]) -> Result<Record<'_>, Truncated> {
    let mut c = Cursor::new(record);
    c.skip(6, "system header")?;
    let hook = c.u16_le("hook id")?;
    c.skip(8, "system header")?;
    let time = c.u64_le("time")?;
    c.skip(8, "processor time")?;
    if hook != 0 {
        return Ok(Record::Classic(KERNEL));
    }
    LogFileHeader::parse(&mut c, time).map(Record::LogFile)
}

/// `EVENT_TRACE_HEADER`: the class of the event after its time.
fn classic(record: &[u8]) -> Result<Record<'_>, Truncated> {
    let mut c = Cursor::new(record);
    c.skip(24, "event header")?;
    c.array::<16>("event class").map(Record::Classic)
}

/// `EVENT_HEADER`, 80 bytes; items with further data may come between it and the payload. `end` is where the
/// record ends in its buffer.
fn event(record: &[u8], end: usize) -> Result<Record<'_>, Truncated> {
    const HAS_EXTENDED_ITEMS: u16 = 1;
    let mut c = Cursor::new(record);
    c.skip(4, "event header")?;
    let flags = c.u16_le("event flags")?;
    c.skip(6, "event header")?;
    let process = c.u32_le("process id")?;
    let time = c.u64_le("time")?;
    let provider = c.array::<16>("provider")?;
    let id = c.u16_le("event id")?;
    let version = c.u8("event version")?;
    c.skip(5, "event descriptor")?;
    let keywords = c.u64_le("keywords")?;
    c.skip(24, "event header")?;
    if flags & HAS_EXTENDED_ITEMS != 0 {
        skip_extended_items(&mut c)?;
    }
    let payload = c.rest();
    let payload_at = end - payload.len();
    Ok(Record::Event(Event { provider, id, version, process, time, keywords, payload, payload_at }))
}

/// `EVENT_HEADER_EXTENDED_DATA_ITEM`: each says whether another follows.
fn skip_extended_items(c: &mut Cursor<'_>) -> Result<(), Truncated> {
    loop {
        let size = c.u16_le("extended item size")?;
        let _kind = c.u16_le("extended item type")?;
        let linkage = c.u16_le("extended item linkage")?;
        c.skip(usize::from(size).saturating_sub(6), "extended item")?;
        if linkage & 1 == 0 || size < 8 {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_times_become_wall_clock_times() {
        let second = 10_000_000u64;
        let start = 116_444_736_000_000_000 + 1_700_000_000 * second;
        let qpc = TraceClock { start, raw_start: 500, frequency: 1_000 };
        assert_eq!(qpc.unix(1_500), 1_700_000_001 * second);
        assert_eq!(qpc.unix(400), 1_700_000_000 * second - second / 10, "logged before the header");
        let system = TraceClock { start, raw_start: 500, frequency: 0 };
        assert_eq!(system.unix(start + 5), 1_700_000_000 * second + 5);
        assert_eq!(TraceClock::UNKNOWN.unix(7), 0);
    }

    #[test]
    fn a_buffer_that_cannot_be_one_is_not_one() {
        let mut bytes = [0u8; BUFFER_HEADER_LEN];
        let mut check = |size: u32, filled: u32, flags: u16, expected: Option<(usize, bool)>| {
            bytes[..4].copy_from_slice(&size.to_le_bytes());
            bytes[48..52].copy_from_slice(&filled.to_le_bytes());
            bytes[52..54].copy_from_slice(&flags.to_le_bytes());
            let header = BufferHeader::parse(&bytes).unwrap();
            assert_eq!(header.map(|header| (header.filled, header.compressed)), expected);
        };
        check(1024, 536, 1, Some((536, false)));
        check(1024, 4096, 0x40, Some((4096, true)));
        check(1024, 4096, 0, None);
        check(71, 71, 0, None);
        check(u32::MAX, 536, 0, None);
        assert!(BufferHeader::parse(&bytes[..71]).is_err());
    }

    #[test]
    fn records_end_at_the_first_empty_one() {
        let other = [16, 0, 0x11, 0xc0, 16, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1];
        let bytes = [&other[..], &other, &[0; 8], &other].concat();
        let mut records = Records::new(&bytes);
        assert_eq!(records.by_ref().count(), 2);
        assert!(!records.damaged);
        let mut records = Records::new(&[9, 0, 0x13, 0xc0, 0, 0, 0, 0]);
        assert!(records.next().is_none() && records.damaged, "a size past the buffer");
    }
}
