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
mod survey;
mod translation;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use self::container::BUFFER_HEADER_LEN;
use self::container::BUFFER_LIMIT;
use self::container::BufferHeader;
use self::container::LogFileHeader;
use self::container::Record;
use self::container::Records;
use self::container::TraceClock;
use self::lzxpress::LzxpressError;
use self::packets::PacketEvents;
use self::pcapng_out::PcapngOut;
use self::providers::provider_name;
use self::reorder::BufferRecords;
use self::reorder::ReorderWindow;
pub(super) use self::survey::LogSurvey;
use self::survey::OldestBuffers;
use self::translation::Translations;
use super::InputDamage;
use super::InputFacts;
use super::block::BlockPool;
use super::block::BlockReader;
use super::block::RawReader;
use super::compress::DecompressingReader;
use super::concatenated::CaptureStart;
use super::concatenated::capture_start;
use super::facts::DAMAGE_LIMIT;
use super::frame_reader::InputBytes;

/// The first bytes of a log: a buffer's header and the beginning of the log's own header.
pub(super) const PROBE_LEN: usize = BUFFER_HEADER_LEN + 8;

/// The first bytes of a log, up to the end of its own header.
const LOG_HEADER_LEN: usize = 512;

/// Providers named where a log holds no packets.
const PROVIDERS_NAMED: usize = 8;
/// Providers counted.
const PROVIDERS_LIMIT: usize = 256;

/// Blocks for decompressed records are a multiple of this long: buffers of one log differ a little.
const BLOCK_LEN_STEP: usize = 64 << 10;

/// Bytes in which the next buffer is searched at a time.
const SEARCH_LEN: usize = 1 << 20;

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

/// Whether this may be the length of a buffer.
pub(super) fn may_be_buffer(size: u32) -> bool {
    (BUFFER_HEADER_LEN..=BUFFER_LIMIT).contains(&(size as usize))
}

/// The offset of a compressed buffer that another follows, or the end.
fn find_buffer(bytes: &[u8], is_at_end: bool) -> Option<usize> {
    let header_at = |at: usize| BufferHeader::parse(bytes.get(at..)?).ok().flatten();
    (1..bytes.len()).find(|at| {
        header_at(*at).is_some_and(|header| {
            let next = at + header.size;
            header.compressed && (header_at(next).is_some() || (is_at_end && next == bytes.len()))
        })
    })
}

/// The oldest buffers of a circular log, which are read after the log's own header and before newer ones.
struct OldestPart {
    source: DecompressingReader,
    /// Their offset in the log.
    offset: u64,
    part: LogPart,
}

/// Which part of a circular log is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum LogPart {
    /// The log's own header.
    Header,
    Oldest,
    Newer,
}

/// Reads a log and makes pcapng of it.
pub(super) struct Transcoder {
    source: DecompressingReader,
    oldest: Option<OldestPart>,
    clock: TraceClock,
    /// The log reports losses in its own header.
    heavy_loss: bool,
    events: PacketEvents,
    translations: Translations,
    window: ReorderWindow,
    out: PcapngOut,
    /// Blocks for decompressed records.
    blocks: BlockPool,
    is_compressed: bool,
    ended: bool,
    /// Another capture follows the log.
    is_followed: bool,
    packets: u64,
    buffers: u64,
    damage: Vec<InputDamage>,
    damage_count: u64,
    /// By the log's own header.
    buffers_lost: u64,
    /// Buffers that report the loss of another.
    buffers_after_loss: u64,
    events_lost: u64,
    /// The length of the first buffer after the log's own; those of a log that was not relogged have one length.
    buffer_len: Option<usize>,
    providers: BTreeMap<[u8; 16], u64>,
}

impl Transcoder {
    pub(super) fn new(mut source: DecompressingReader) -> Transcoder {
        source.fill(LOG_HEADER_LEN);
        let header = LogFileHeader::peek(source.window().bytes());
        Transcoder {
            source,
            oldest: None,
            clock: TraceClock::UNKNOWN,
            heavy_loss: header.is_some_and(|header| header.reports_heavy_loss()),
            events: PacketEvents::default(),
            translations: Translations::default(),
            window: ReorderWindow::default(),
            out: PcapngOut::default(),
            blocks: BlockPool::new(0),
            is_compressed: false,
            ended: false,
            is_followed: false,
            packets: 0,
            buffers: 0,
            damage: Vec::new(),
            damage_count: 0,
            buffers_lost: 0,
            buffers_after_loss: 0,
            events_lost: 0,
            buffer_len: None,
            providers: BTreeMap::new(),
        }
    }

    /// The bytes of the log.
    pub(super) const fn source(&self) -> &DecompressingReader {
        &self.source
    }

    /// The bytes after the log.
    pub(super) fn into_source(self) -> DecompressingReader {
        self.source
    }

    /// Whether another capture follows the log, which was read to its end.
    pub(super) const fn is_followed(&self) -> bool {
        self.is_followed
    }

    pub(super) const fn source_mut(&mut self) -> &mut DecompressingReader {
        &mut self.source
    }

    /// How the log is compressed.
    pub(super) fn compression(&self) -> Option<&'static str> {
        self.source.compression().or(if self.is_compressed { Some("lzxpress") } else { None })
    }

    /// Whether the log's own header reports so many losses that a missing reply proves nothing.
    pub(super) const fn reports_heavy_loss(&self) -> bool {
        self.heavy_loss
    }

    /// What is known of the log, before its packets are read.
    pub(super) fn set_survey(&mut self, survey: LogSurvey, block_len: usize) {
        let LogSurvey { names, oldest } = survey;
        self.events.add_names(names);
        self.oldest = oldest.map(|OldestBuffers { offset, source }| {
            let raw = BlockReader::new(RawReader::new(source, None, Arc::default()), block_len);
            OldestPart {
                source: DecompressingReader::uncompressed(raw, block_len),
                offset,
                part: LogPart::Header,
            }
        });
    }

    /// The part that is read now.
    fn reader(&mut self) -> &mut DecompressingReader {
        match &mut self.oldest {
            Some(OldestPart { source, part: LogPart::Oldest, .. }) => source,
            _ => &mut self.source,
        }
    }

    /// The place in the log that is read now.
    fn position(&self) -> u64 {
        match &self.oldest {
            Some(OldestPart { source, offset, part: LogPart::Oldest }) => offset + source.position(),
            _ => self.source.position(),
        }
    }

    /// Goes on with another part of a circular log.
    fn change_part(&mut self) {
        let Some(oldest) = &mut self.oldest else { return };
        match oldest.part {
            LogPart::Header if self.buffers == 1 => oldest.part = LogPart::Oldest,
            LogPart::Newer if self.source.position() >= oldest.offset => {
                self.source.end_here();
            }
            _ => {}
        }
    }

    /// Writes pcapng into `room`; 0 is the end. An error says why there are no packets.
    pub(super) fn read(&mut self, room: &mut [u8]) -> Result<usize, String> {
        let len = room.len();
        let mut room = room;
        // A block that does not fit waits, and ends the loop.
        while self.out.write_waiting(&mut room) && !room.is_empty() {
            if self.write_next(&mut room) {
                continue;
            }
            if !self.ended {
                self.next_buffer();
            } else if self.packets == 0 {
                return Err(self.without_packets());
            } else {
                break;
            }
        }
        Ok(len - room.len())
    }

    /// Adds what the header of the log reports, after it is read.
    pub(super) fn add_facts(&self, facts: &mut InputFacts) {
        facts.reported_drops = facts.reported_drops.saturating_add(self.events_lost);
        // The header counts what the buffers report.
        facts.lost_buffers = self.buffers_lost.max(self.buffers_after_loss);
        facts.buffers = self.buffers;
        if self.oldest.is_some() {
            facts.note("circular log: read from its oldest buffer on");
        }
        let lost_buffers = facts.lost_buffers;
        let mut note = |count: u64, one: &str, many: &str| {
            if count > 0 {
                facts.note(format!("{count} {}", if count == 1 { one } else { many }));
            }
        };
        note(self.events_lost, "event lost by the trace session", "events lost by the trace session");
        note(lost_buffers, "buffer lost by the trace session", "buffers lost by the trace session");
        facts.translated_packets = self.translations.packets;
        facts.translations = self.translations.pairs().collect();
        if self.translations.more_pairs {
            facts.note("more translated addresses than are listed");
        }
        if self.events.damaged > 0 {
            let events = if self.events.damaged == 1 { "event is" } else { "events are" };
            let message = format!("{} packet {events} damaged or incomplete", self.events.damaged);
            facts.record_damage(self.packets, self.source.position(), 0, message);
        }
        facts.damage_count += self.damage_count;
        let room = DAMAGE_LIMIT.saturating_sub(facts.damage.len());
        facts.damage.extend(self.damage.iter().take(room).cloned());
    }

    /// Reads one buffer and takes its packets.
    fn next_buffer(&mut self) {
        self.change_part();
        self.reader().fill(BUFFER_HEADER_LEN);
        let position = self.position();
        let bytes = self.reader().window().bytes();
        if bytes.is_empty() {
            return self.end_part();
        }
        let parsed = BufferHeader::parse(bytes);
        if !matches!(parsed, Ok(Some(_))) && self.is_capture_next() {
            self.is_followed = true;
            return self.end();
        }
        let header = match parsed {
            Ok(Some(header)) => header,
            Ok(None) => return self.resynchronize(),
            Err(_) => return self.skip_rest(),
        };
        // With the next header, so that each buffer is read by one call into one block, which its packets share.
        self.reader().fill_exactly(header.size + BUFFER_HEADER_LEN);
        let (block, start, available) = {
            let window = self.reader().window();
            (Arc::clone(window.block()), window.start(), window.bytes().len())
        };
        let is_whole = available >= header.size;
        let len = header.size.min(available);
        let body = block.get(start + BUFFER_HEADER_LEN..start + len).unwrap_or_default();
        let mut fault = (!is_whole).then(|| "the last buffer of the trace is truncated".to_owned());
        let filled = header.filled - BUFFER_HEADER_LEN;
        let records = if header.compressed {
            let (records, result) = decompress(body, filled, &mut self.blocks);
            fault = fault.or_else(|| Some(result.err()?.to_string()));
            records
        } else {
            let begin = start + BUFFER_HEADER_LEN;
            let end = begin + filled.min(body.len());
            BufferRecords::new(block, begin..end)
        };
        self.reader().mark_used(len);
        self.is_compressed |= header.compressed;
        self.buffers += 1;
        if self.buffers == 2 && !header.compressed {
            self.buffer_len = Some(header.size);
            let block_len = header.size + BUFFER_HEADER_LEN;
            self.source.set_block_len(block_len);
            if let Some(oldest) = &mut self.oldest {
                oldest.source.set_block_len(block_len);
            }
        }
        self.buffers_after_loss += u64::from(header.buffer_lost);
        if self.take_records(records, u32::from(header.processor)) {
            fault = fault.or_else(|| Some("a buffer of the trace holds damaged records".to_owned()));
        }
        if let Some(fault) = fault {
            self.record_damage(position, &fault);
        }
        if !is_whole {
            self.end_part();
        }
    }

    /// Whether a file header of another capture comes next.
    fn is_capture_next(&self) -> bool {
        if self.oldest.is_some() {
            return false;
        }
        let bytes = self.source.window().bytes();
        let input = InputBytes { bytes, block_offset: 0, position: 0, at_end: true };
        capture_start(input, 0) == CaptureStart::Yes
    }

    fn record_damage(&mut self, position: u64, what: &str) {
        self.damage_count += 1;
        if self.damage.len() < DAMAGE_LIMIT {
            let after_frame = self.packets + self.window.len() as u64;
            let message = format!("{what}, at byte {position}");
            self.damage.push(InputDamage { after_frame, at_byte: position, skipped_bytes: 0, message });
        }
    }

    /// Takes the packets of the current buffer; true where the buffer holds what is no record.
    fn take_records(&mut self, records: BufferRecords, processor: u32) -> bool {
        let mut packets = Vec::new();
        let bytes = records.bytes();
        let mut iterator = Records::new(bytes);
        for record in iterator.by_ref() {
            match record {
                Record::LogFile(header) => {
                    // Later headers are those of joined logs, which have clocks of their own.
                    self.clock = header.clock;
                    self.events_lost += u64::from(header.events_lost);
                    self.buffers_lost += u64::from(header.buffers_lost);
                    self.window.set_processors(header.processors);
                }
                Record::Classic(provider) => self.count_provider(provider),
                Record::Event(event) => {
                    self.count_provider(event.provider);
                    if let Some(mut packet) = self.events.accept(&event, processor) {
                        packet.time = self.clock.unix(packet.time);
                        self.translations.accept(&packet, packet.bytes.get(bytes));
                        packets.push(packet);
                    }
                }
                Record::Other => {}
            }
        }
        let is_damaged = iterator.damaged;
        self.window.push_buffer(packets, records);
        is_damaged
    }

    fn count_provider(&mut self, provider: [u8; 16]) {
        if let Some(count) = self.providers.get_mut(&provider) {
            *count += 1;
        } else if self.providers.len() < PROVIDERS_LIMIT {
            self.providers.insert(provider, 1);
        }
    }

    /// Looks for the next buffer where one cannot be read. In a log whose buffers have one length it is that far on.
    fn resynchronize(&mut self) {
        let position = self.position();
        if let Some(len) = self.buffer_len
            && self.reader().fill(len)
        {
            self.reader().mark_used(len);
            return self
                .record_damage(position, &format!("{len} bytes that are not a trace buffer were skipped"));
        }
        while self.reader().fill(BUFFER_HEADER_LEN + 1) {
            self.reader().fill(SEARCH_LEN);
            let is_at_end = self.reader().is_at_end();
            let bytes = self.reader().window().bytes();
            let searched = bytes.len() + 1 - BUFFER_HEADER_LEN;
            if let Some(at) = find_buffer(bytes, is_at_end) {
                self.reader().mark_used(at);
                let skipped = self.position() - position;
                return self.record_damage(
                    position,
                    &format!("{skipped} bytes that are not a trace buffer were skipped"),
                );
            }
            self.reader().mark_used(searched);
        }
        self.skip_rest();
    }

    /// No buffer follows: what else does is skipped.
    fn skip_rest(&mut self) {
        let position = self.position();
        let skipped = self.reader().drain();
        self.record_damage(position, &format!("{skipped} bytes that are not a trace buffer were skipped"));
        self.end_part();
    }

    /// A part of the log is over, mostly its last.
    fn end_part(&mut self) {
        match &mut self.oldest {
            Some(oldest) if oldest.part == LogPart::Oldest => oldest.part = LogPart::Newer,
            _ => self.end(),
        }
    }

    fn end(&mut self) {
        self.ended = true;
        let late = self.window.late_buffers;
        if late > 0 {
            self.record_damage(
                self.position(),
                &format!(
                    "{late} buffers of the trace are older than those before them, as in a circular log: save it as a file of its own"
                ),
            );
        }
        self.events.finish();
        self.window.finish();
    }

    /// Writes the next packet that may leave; false if none may.
    fn write_next(&mut self, room: &mut &mut [u8]) -> bool {
        let (events, translations, out) = (&self.events, &self.translations, &mut self.out);
        let is_written = self.window.pop(|mut packet, bytes| {
            events.name_process(&mut packet);
            packet.translated = translations.other_ends(packet.point.link, bytes).map(Box::new);
            let point = packet.point;
            let name = || match events.component_name(point.component).filter(|_| point.is_pktmon) {
                Some(name) => name.to_owned(),
                None if point.is_pktmon => format!("component {}", point.component),
                None => format!("interface {}", point.component),
            };
            out.packet(&packet, bytes, name, room);
        });
        self.packets += u64::from(is_written);
        is_written
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

/// Decompresses records of at most `limit` bytes into a block.
fn decompress(
    bytes: &[u8],
    limit: usize,
    blocks: &mut BlockPool,
) -> (BufferRecords, Result<(), LzxpressError>) {
    if limit > blocks.block_len() {
        *blocks = BlockPool::new(limit.next_multiple_of(BLOCK_LEN_STEP));
    }
    let mut block = blocks.take(limit);
    let room = Arc::get_mut(&mut block).and_then(|block| block.get_mut(..limit));
    let (len, result) = lzxpress::decompress(bytes, room.unwrap_or_default());
    blocks.put(Arc::clone(&block));
    (BufferRecords::new(block, 0..len), result)
}
