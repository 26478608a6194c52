//! Turns an event trace log (ETL) into pcapng, as a stream.
//!
//! In:  bytes of the log: files by `netsh trace`, `New-NetEventSession` and `pktmon`.
//! Out: the packets in it as pcapng, in the order of time; what its header reports about the session.
//! Not: what a packet holds, and which appearances of it are one packet (see `decode::dedup`).
//!
//! A log is a row of buffers (`container`), compressed or not (`lzxpress`); a buffer is a row of events, some of which hold
//! packets (`packets`); the buffers of several processors overlap in time (`reorder`).

mod container;
mod lzxpress;
mod packets;
mod pcapng_out;
mod providers;
mod reorder;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use self::container::BUFFER_HEADER_LEN;
use self::container::BUFFER_LIMIT;
use self::container::BufferHeader;
use self::container::Record;
use self::container::Records;
use self::container::TraceClock;
use self::packets::PacketEvents;
use self::pcapng_out::PcapngOut;
use self::providers::provider_name;
use self::reorder::ReorderWindow;
use super::InputFacts;
use super::block::BlockReader;

/// The first bytes of a log: a buffer's header and the beginning of the log's own header.
pub(super) const PROBE_LEN: usize = BUFFER_HEADER_LEN + 8;

/// Providers named where a log holds no packets.
const PROVIDERS_NAMED: usize = 8;
/// Providers counted.
const PROVIDERS_LIMIT: usize = 256;

/// What to type so that the next trace holds packets.
const HOW_TO_CAPTURE: &str =
    "capture packets with `pktmon start --capture --pkt-size 0` or `netsh trace start capture=yes`";

/// True where these are the first bytes of a log: a buffer whose first record is the log's own header.
pub(super) fn is_trace(head: &[u8]) -> bool {
    const SYSTEM_RECORD: [u8; 2] = [1, 2];
    let is_buffer = BufferHeader::parse(head).is_ok_and(|header| header.is_some());
    let record = head.get(BUFFER_HEADER_LEN..PROBE_LEN);
    // Kind, mark, size, and hook 0: group and opcode of the log's own header.
    let is_log_header =
        matches!(record, Some([_, _, kind, 0xc0, _, _, 0, 0]) if SYSTEM_RECORD.contains(kind));
    is_buffer && is_log_header
}

/// Reads a log and makes pcapng of it.
pub(super) struct Transcoder {
    raw: BlockReader,
    clock: TraceClock,
    events: PacketEvents,
    window: ReorderWindow,
    out: PcapngOut,
    /// Bytes of `out` that were handed on.
    handed_on: usize,
    /// Records of the current buffer, decompressed.
    records: Vec<u8>,
    is_compressed: bool,
    ended: bool,
    packets: u64,
    buffers: u64,
    buffers_damaged: u64,
    buffers_lost: u64,
    events_lost: u64,
    /// The length of the first buffer after the log's own; those of a log that was not relogged have one length.
    buffer_len: Option<usize>,
    providers: BTreeMap<[u8; 16], u64>,
}

impl Transcoder {
    pub(super) fn new(raw: BlockReader) -> Transcoder {
        Transcoder {
            raw,
            clock: TraceClock::UNKNOWN,
            events: PacketEvents::default(),
            window: ReorderWindow::default(),
            out: PcapngOut::default(),
            handed_on: 0,
            records: Vec::new(),
            is_compressed: false,
            ended: false,
            packets: 0,
            buffers: 0,
            buffers_damaged: 0,
            buffers_lost: 0,
            events_lost: 0,
            buffer_len: None,
            providers: BTreeMap::new(),
        }
    }

    /// The raw bytes.
    pub(super) const fn raw(&self) -> &BlockReader {
        &self.raw
    }

    pub(super) const fn raw_mut(&mut self) -> &mut BlockReader {
        &mut self.raw
    }

    /// How the log is compressed.
    pub(super) const fn compression(&self) -> Option<&'static str> {
        if self.is_compressed { Some("lzxpress") } else { None }
    }

    /// Writes pcapng into `room`; 0 is the end. An error says why there are no packets.
    pub(super) fn read(&mut self, room: &mut [u8]) -> Result<usize, String> {
        while self.handed_on >= self.out.bytes.len() {
            self.out.bytes.clear();
            self.handed_on = 0;
            if self.ended {
                return if self.packets == 0 { Err(self.without_packets()) } else { Ok(0) };
            }
            self.next_buffer();
            self.write_released();
        }
        let ready = self.out.bytes.get(self.handed_on..).unwrap_or_default();
        let len = ready.len().min(room.len());
        if let (Some(to), Some(from)) = (room.get_mut(..len), ready.get(..len)) {
            to.copy_from_slice(from);
        }
        self.handed_on += len;
        Ok(len)
    }

    /// Adds what the header of the log reports, after it is read.
    pub(super) fn add_facts(&self, facts: &mut InputFacts) {
        facts.format = Some("etl");
        facts.reported_drops = facts.reported_drops.saturating_add(self.events_lost);
        let mut note = |count: u64, one: &str, many: &str| {
            if count > 0 {
                facts.note(format!("{count} {}", if count == 1 { one } else { many }));
            }
        };
        note(self.events_lost, "event lost by the trace session", "events lost by the trace session");
        note(self.buffers_lost, "buffer lost by the trace session", "buffers lost by the trace session");
        note(self.buffers_damaged, "buffer of the trace damaged", "buffers of the trace damaged");
        note(
            self.events.damaged,
            "packet event damaged or incomplete",
            "packet events damaged or incomplete",
        );
    }

    /// Reads one buffer and takes its packets.
    fn next_buffer(&mut self) {
        self.raw.fill(BUFFER_HEADER_LEN);
        let bytes = self.raw.window().bytes();
        if bytes.is_empty() {
            return self.end();
        }
        let header = match BufferHeader::parse(bytes) {
            Ok(Some(header)) => header,
            Ok(None) => return self.resynchronize(),
            Err(_) => {
                self.buffers_damaged += 1;
                let left = bytes.len();
                self.raw.mark_used(left);
                return self.end();
            }
        };
        let is_whole = self.raw.fill(header.size);
        let bytes = self.raw.window().bytes();
        let buffer = bytes.get(..header.size).unwrap_or(bytes);
        let len = buffer.len();
        let body = buffer.get(BUFFER_HEADER_LEN..).unwrap_or_default();
        let mut is_damaged = !is_whole;
        self.records.clear();
        if header.compressed {
            let limit = header.filled - BUFFER_HEADER_LEN;
            is_damaged |= lzxpress::decompress(body, limit, &mut self.records).is_err();
        } else {
            let filled = header.filled - BUFFER_HEADER_LEN;
            self.records.extend_from_slice(body.get(..filled).unwrap_or(body));
        }
        let processor = buffer.get(40..42).and_then(|bytes| bytes.first_chunk::<2>()).copied();
        let processor = u32::from(processor.map_or(0, u16::from_le_bytes));
        self.raw.mark_used(len);
        self.is_compressed |= header.compressed;
        self.buffers += 1;
        if self.buffers == 2 && !header.compressed {
            self.buffer_len = Some(header.size);
        }
        self.buffers_lost += u64::from(header.buffer_lost);
        is_damaged |= self.take_records(processor);
        self.buffers_damaged += u64::from(is_damaged);
        if !is_whole {
            self.end();
        }
    }

    /// Takes the packets of the current buffer; true where the buffer holds what is no record.
    fn take_records(&mut self, processor: u32) -> bool {
        let records = std::mem::take(&mut self.records);
        let mut latest = None;
        let mut iterator = Records::new(&records);
        for record in iterator.by_ref() {
            match record {
                Record::LogFile(header) => {
                    // Later headers are those of joined logs; their packets keep the clock of their own.
                    self.clock = header.clock;
                    self.events_lost += u64::from(header.events_lost);
                    self.buffers_lost += u64::from(header.buffers_lost);
                    self.window.set_processors(header.processors);
                }
                Record::Event(event) => {
                    if self.providers.len() < PROVIDERS_LIMIT || self.providers.contains_key(&event.provider)
                    {
                        *self.providers.entry(event.provider).or_default() += 1;
                    }
                    if let Some(packet) = self.events.accept(&event, processor) {
                        latest = latest.max(Some(packet.time));
                        self.window.push(packet);
                    }
                }
                Record::Other => {}
            }
        }
        let is_damaged = iterator.damaged;
        self.window.end_buffer(latest);
        self.records = records;
        is_damaged
    }

    /// Looks for the next buffer where one cannot be read: in a log whose buffers have one length, that far on.
    fn resynchronize(&mut self) {
        self.buffers_damaged += 1;
        let step = self.buffer_len.filter(|len| *len <= BUFFER_LIMIT);
        match step {
            Some(len) if self.raw.fill(len) => self.raw.mark_used(len),
            _ => self.end(),
        }
    }

    fn end(&mut self) {
        self.ended = true;
        self.events.finish();
        self.window.finish();
    }

    fn write_released(&mut self) {
        while let Some(packet) = self.window.pop() {
            self.packets += 1;
            let point = packet.point;
            let events = &self.events;
            self.out.packet(&packet, self.clock.unix(packet.time), || {
                match events.component_name(point.component).filter(|_| point.is_pktmon) {
                    Some(name) => name.to_owned(),
                    None if point.is_pktmon => format!("component {}", point.component),
                    None => format!("interface {}", point.component),
                }
            });
        }
    }

    fn without_packets(&self) -> String {
        let mut names: Vec<(u64, String)> =
            self.providers.iter().map(|(provider, events)| (*events, provider_name(*provider))).collect();
        names.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
        let more = names.len().saturating_sub(PROVIDERS_NAMED);
        let mut list: Vec<String> = names.into_iter().take(PROVIDERS_NAMED).map(|(_, name)| name).collect();
        if more > 0 {
            list.push(format!("{more} more"));
        }
        let providers = if list.is_empty() { "none".to_owned() } else { list.join(", ") };
        format!("event trace log without packets (providers: {providers}); {HOW_TO_CAPTURE}")
    }
}
