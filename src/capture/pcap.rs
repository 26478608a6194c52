//! Reads pcap files: microseconds and nanoseconds, both byte orders, and the variants that libpcap reads.
//!
//! In:  bytes of the capture.
//! Out: frames, and the damage between them.
//! Not: pcapng.

use super::FrameHeader;
use super::Interface;
use super::LinkType;
use super::concatenated::CaptureStart;
use super::concatenated::PCAP_MICROSECONDS;
use super::concatenated::PCAP_NANOSECONDS;
use super::concatenated::capture_start;
use super::concatenated::end_at_capture_start;
use super::concatenated::find_capture;
use super::frame_reader::CaptureFormat;
use super::frame_reader::DamageStart;
use super::frame_reader::FrameOut;
use super::frame_reader::FrameReader;
use super::frame_reader::InputBytes;
use super::frame_reader::OpenReader;
use super::frame_reader::RECORD_LIMIT;
use super::frame_reader::ReadStep;
use super::frame_reader::USUAL_GAP_SECS;
use super::frame_reader::four_at;
use super::frame_reader::record_truncation;
use super::frame_reader::u32_from;
use crate::base::Time;

pub(super) const FORMAT: CaptureFormat = CaptureFormat { probe_len: 4, probe };

/// A pcap variant.
struct Variant {
    magic: u32,
    name: &'static str,
    nanos_per_unit: i64,
    record_header_len: usize,
}

const fn variant(magic: u32, name: &'static str, nanos_per_unit: i64, record_header_len: usize) -> Variant {
    Variant { magic, name, nanos_per_unit, record_header_len }
}

// draft-ietf-opsawg-pcap §4: magic numbers; libpcap sf-pcap.c for the others.
const VARIANTS: &[Variant] = &[
    variant(PCAP_MICROSECONDS, "pcap", 1000, 16),
    variant(PCAP_NANOSECONDS, "pcap ns", 1, 16),
    // Kuznetzov's patch of 1998: interface index, protocol and packet type follow the usual record header.
    variant(0xa1b2_cd34, "pcap modified", 1000, 24),
    variant(0xa1b2_34cd, "pcap FMESQUITA", 1000, 16),
    variant(0xa12b_3c4d, "pcap NAVTEL", 1000, 16),
];

const FILE_HEADER_LEN: usize = 24;
/// libpcap's MAXIMUM_SNAPLEN: a record may be this long even if the file header has a smaller snap length.
const USUAL_LEN: u32 = 262_144;
/// Bytes after damage that are searched for the next record.
const SEARCH_LIMIT: u64 = 16 << 20;
/// Plausible records in a row that end the search.
const SEARCH_CHAIN: usize = 3;

/// The order of a record's two lengths; libpcap sf-pcap.c, on versions before 2.4.
#[derive(Clone, Copy, PartialEq, Eq)]
enum LengthOrder {
    CapturedFirst,
    WireFirst,
    SmallerIsCaptured,
}

struct Pcap {
    big_endian: bool,
    has_file_header: bool,
    nanos_per_unit: i64,
    record_header_len: usize,
    /// The longest plausible record.
    max_len: u32,
    length_order: LengthOrder,
    checksum_len: u32,
    link: LinkType,
    /// The number of its interface: after other captures in the same input, not the first.
    interface: u16,
    /// Seconds of the last record, to recognize records after damage.
    last_secs: Option<u32>,
    /// The position of a record with a time far from that of the one before, which is a record nevertheless.
    far_record: Option<u64>,
    damage: Option<DamageStart>,
    /// No record was found within the search limit: the rest is skipped.
    gave_up: bool,
}

fn probe(head: &[u8], _whole: bool) -> Option<OpenReader> {
    let magic = four_at(head, 0)?;
    VARIANTS.iter().find_map(|variant| {
        let big_endian = variant.magic == u32::from_be_bytes(magic);
        let pcap = Pcap {
            big_endian,
            has_file_header: false,
            nanos_per_unit: variant.nanos_per_unit,
            record_header_len: variant.record_header_len,
            max_len: USUAL_LEN,
            length_order: LengthOrder::CapturedFirst,
            checksum_len: 0,
            link: LinkType(0),
            interface: 0,
            last_secs: None,
            far_record: None,
            damage: None,
            gave_up: false,
        };
        let matches = big_endian || variant.magic == u32::from_le_bytes(magic);
        matches.then(|| (Box::new(pcap) as Box<dyn FrameReader>, variant.name))
    })
}

#[derive(Clone, Copy)]
struct PcapRecordHeader {
    secs: u32,
    fraction: u32,
    captured_len: u32,
    wire_len: u32,
}

/// Why a run of records ended.
enum RecordRunEnd {
    /// The frame limit was reached.
    FrameLimit,
    /// This many bytes are needed.
    Need(usize),
    Implausible(PcapRecordHeader),
    /// The time of the next record is far from that of the last one.
    Far,
    /// Another capture begins here.
    AnotherCapture,
}

impl FrameReader for Pcap {
    fn read_frames(&mut self, input: InputBytes<'_>, out: &mut FrameOut<'_>) -> ReadStep {
        if self.big_endian { self.read::<true>(input, out) } else { self.read::<false>(input, out) }
    }

    fn layout(&self) -> Option<(u32, usize)> {
        (self.has_file_header && self.damage.is_none() && !self.gave_up).then_some((0, 1))
    }
}

impl Pcap {
    fn read<const BIG: bool>(&mut self, input: InputBytes<'_>, out: &mut FrameOut<'_>) -> ReadStep {
        let mut used = 0;
        if !self.has_file_header {
            if input.bytes.len() < FILE_HEADER_LEN {
                if input.at_end {
                    record_truncation(input, 0, out);
                    return ReadStep { used: input.bytes.len(), need: 0 };
                }
                return ReadStep { used: 0, need: FILE_HEADER_LEN };
            }
            self.read_file_header::<BIG>(input.bytes, out);
            used = FILE_HEADER_LEN;
        }
        loop {
            if self.damage.is_some()
                && let Some(need) = self.resync::<BIG>(input, &mut used, out)
            {
                return ReadStep { used, need };
            }
            match self.read_records::<BIG>(input, &mut used, out) {
                RecordRunEnd::FrameLimit => {
                    if self.is_far::<BIG>(input, used)
                        && let Some(step) = self.end_at_swallowed_capture(input, used, out)
                    {
                        return step;
                    }
                    return ReadStep { used, need: 0 };
                }
                RecordRunEnd::Need(need) => {
                    let is_far = self.is_far::<BIG>(input, used);
                    if (is_far || input.at_end)
                        && let Some(step) = self.end_at_swallowed_capture(input, used, out)
                    {
                        return step;
                    }
                    if !input.at_end {
                        return ReadStep { used, need };
                    }
                    // The record itself may have swallowed it.
                    if !is_far && let Some(step) = self.end_in_truncated_record(input, used, out) {
                        return step;
                    }
                    record_truncation(input, used, out);
                    return ReadStep { used: input.bytes.len(), need: 0 };
                }
                RecordRunEnd::Far => {
                    if let Some(step) = self.end_at_swallowed_capture(input, used, out) {
                        return step;
                    }
                    self.far_record = Some(input.position + used as u64);
                }
                RecordRunEnd::AnotherCapture => {
                    out.begins_another = true;
                    return ReadStep { used, need: 0 };
                }
                RecordRunEnd::Implausible(record) => {
                    if let Some(step) = end_at_capture_start(input, used, out) {
                        return step;
                    }
                    if let Some(need) = self.check_next_record::<BIG>(input, &mut used, record, out) {
                        return ReadStep { used, need };
                    }
                    if self.damage.is_some()
                        && let Some(step) = self.end_at_swallowed_capture(input, used, out)
                    {
                        self.damage = None;
                        return step;
                    }
                }
            }
        }
    }

    fn read_file_header<const BIG: bool>(&mut self, bytes: &[u8], out: &mut FrameOut<'_>) {
        let field = |at| four_at(bytes, at).map(u32_from::<BIG>).unwrap_or_default();
        let version = field(4);
        let (major, minor) =
            if BIG { (version >> 16, version & 0xffff) } else { (version & 0xffff, version >> 16) };
        let snap_len = field(16);
        // draft-ietf-opsawg-pcap §4: the upper bits are not the link type; f: frames end with a checksum, whose length is in
        // 16-bit words.
        let link = field(20);
        self.link = LinkType((link & 0xffff) as u16);
        self.checksum_len = if link & 0x0400_0000 == 0 { 0 } else { (link >> 28) * 2 };
        if link & 0x03ff_0000 != 0 {
            out.facts.note("reserved bits of the link type field are set");
        }
        self.length_order = match (major, minor) {
            (2, ..=2) => LengthOrder::WireFirst,
            (2, 3) | (543, _) => LengthOrder::SmallerIsCaptured,
            _ => LengthOrder::CapturedFirst,
        };
        if (major, minor) != (2, 4) {
            out.facts.note(format!("pcap version {major}.{minor}"));
        }
        self.max_len = snap_len.clamp(USUAL_LEN, RECORD_LIMIT as u32);
        self.has_file_header = true;
        let resolution = if self.nanos_per_unit == 1 { "10^-9" } else { "10^-6" };
        self.interface = out.facts.interfaces.len().try_into().unwrap_or(u16::MAX);
        out.facts.interfaces.push(Interface::new(self.link, snap_len, resolution));
        out.facts.overhead_bytes += FILE_HEADER_LEN as u64;
    }

    #[inline(always)]
    fn record_header<const BIG: bool>(&self, bytes: &[u8], at: usize) -> Option<PcapRecordHeader> {
        let head = bytes.get(at..)?.first_chunk::<16>()?;
        let [s0, s1, s2, s3, f0, f1, f2, f3, c0, c1, c2, c3, w0, w1, w2, w3] = *head;
        let secs = u32_from::<BIG>([s0, s1, s2, s3]);
        let fraction = u32_from::<BIG>([f0, f1, f2, f3]);
        let mut captured_len = u32_from::<BIG>([c0, c1, c2, c3]);
        let mut wire_len = u32_from::<BIG>([w0, w1, w2, w3]);
        if self.length_order != LengthOrder::CapturedFirst
            && (self.length_order == LengthOrder::WireFirst || captured_len > wire_len)
        {
            std::mem::swap(&mut captured_len, &mut wire_len);
        }
        Some(PcapRecordHeader { secs, fraction, captured_len, wire_len })
    }

    /// The hot loop: reads records until bytes are missing or a header is implausible.
    #[inline(always)]
    fn read_records<const BIG: bool>(
        &mut self,
        input: InputBytes<'_>,
        used: &mut usize,
        out: &mut FrameOut<'_>,
    ) -> RecordRunEnd {
        let bytes = input.bytes;
        let first = out.facts.frames + 1;
        let frames_before = out.frames.len();
        let mut at = *used;
        let mut secs = self.last_secs;
        let mut checksums = 0;
        let end = loop {
            if out.frames.len() >= out.limit {
                break RecordRunEnd::FrameLimit;
            }
            let Some(record) = self.record_header::<BIG>(bytes, at) else {
                break RecordRunEnd::Need(self.record_header_len);
            };
            // The magic numbers of captures are times far from those of most.
            if secs.is_none_or(|last| last.abs_diff(record.secs) > USUAL_GAP_SECS) {
                match capture_start(input, at) {
                    CaptureStart::Yes => break RecordRunEnd::AnotherCapture,
                    CaptureStart::Need(need) => break RecordRunEnd::Need(need),
                    CaptureStart::No if self.far_record == Some(input.position + at as u64) => {}
                    CaptureStart::No => break RecordRunEnd::Far,
                }
            }
            if record.captured_len > self.max_len || record.is_empty() {
                break RecordRunEnd::Implausible(record);
            }
            let body = at + self.record_header_len;
            let next = body + record.captured_len as usize;
            if next > bytes.len() {
                break RecordRunEnd::Need(next - at);
            }
            let header = self.header(record, input.block_offset + body, first + out.frames.len() as u64);
            checksums += u64::from(record.captured_len - header.captured_len);
            out.frames.push(header);
            secs = Some(record.secs);
            at = next;
        };
        self.last_secs = secs;
        out.facts.overhead_bytes +=
            ((out.frames.len() - frames_before) * self.record_header_len) as u64 + checksums;
        *used = at;
        end
    }

    /// Whether the record at `used` has a time far from that of the last one.
    #[cold]
    fn is_far<const BIG: bool>(&self, input: InputBytes<'_>, used: usize) -> bool {
        self.record_header::<BIG>(input.bytes, used)
            .zip(self.last_secs)
            .is_some_and(|(record, last)| last.abs_diff(record.secs) > USUAL_GAP_SECS)
    }

    /// Ends where another capture begins inside of a record before `used`: the one before was cut off in the record, and then
    /// concatenated. What seemed to be records since then is no frame.
    #[cold]
    fn end_at_swallowed_capture(
        &self,
        input: InputBytes<'_>,
        used: usize,
        out: &mut FrameOut<'_>,
    ) -> Option<ReadStep> {
        /// Records that bytes of another capture may seem to be.
        const LOOK_BACK: usize = 8;
        const GAP_NANOS: u64 = USUAL_GAP_SECS as u64 * 1_000_000_000;
        let at = |frame: &FrameHeader| frame.offset as usize - input.block_offset;
        let last = out.frames.len().saturating_sub(1);
        let is_near = |index: usize| {
            let before = index.checked_sub(1).and_then(|before| out.frames.get(before));
            let pair = before.zip(out.frames.get(index));
            pair.is_none_or(|(before, frame)| before.time.0.abs_diff(frame.time.0) <= GAP_NANOS)
        };
        // The record that was cut off has a header of its own; what follows has bytes of the other capture as its times.
        let first = (0..=last).rev().take(LOOK_BACK).find(|index| is_near(*index)).unwrap_or(last);
        let from = out.frames.get(first).map_or(used, |frame| at(frame) - self.record_header_len);
        // Inside of the header at `used`, and no further.
        let until = (used + self.record_header_len + FILE_HEADER_LEN - 1).min(input.bytes.len());
        let start = from + find_capture(input.bytes.get(from..)?, until - from)?;
        let kept =
            out.frames.iter().take_while(|frame| at(frame) + frame.captured_len as usize <= start).count();
        let end = out.frames.get(kept).map_or(used, |frame| at(frame) - self.record_header_len);
        let no_frames: u64 = out.frames.drain(kept..).map(|frame| u64::from(frame.captured_len)).sum();
        out.facts.overhead_bytes -= (used - end) as u64 - no_frames;
        Some(end_before_capture(input, end, start, out))
    }

    /// The same where the record at `used` is longer than the file.
    #[cold]
    fn end_in_truncated_record(
        &self,
        input: InputBytes<'_>,
        used: usize,
        out: &mut FrameOut<'_>,
    ) -> Option<ReadStep> {
        let rest = input.bytes.get(used..)?;
        let start = used + find_capture(rest, rest.len())?;
        Some(end_before_capture(input, used, start, out))
    }

    #[inline(always)]
    fn header(&self, record: PcapRecordHeader, offset: usize, number: u64) -> FrameHeader {
        let wire_len = record.wire_len.saturating_sub(self.checksum_len);
        let captured_len =
            if self.checksum_len == 0 { record.captured_len } else { record.captured_len.min(wire_len) };
        FrameHeader {
            // Cannot overflow: 32 bits of seconds end in 2106.
            time: Time(
                i64::from(record.secs) * 1_000_000_000 + i64::from(record.fraction) * self.nanos_per_unit,
            ),
            number,
            offset: offset as u32,
            captured_len,
            wire_len,
            link: self.link,
            interface: self.interface,
        }
    }

    /// Reads a record that is too long or all zero if a plausible one follows; if not, damage starts here. `Some`: this many bytes
    /// are needed first.
    fn check_next_record<const BIG: bool>(
        &mut self,
        input: InputBytes<'_>,
        used: &mut usize,
        record: PcapRecordHeader,
        out: &mut FrameOut<'_>,
    ) -> Option<usize> {
        let len = self.record_header_len + record.captured_len as usize;
        let end = *used + len;
        let left = input.bytes.len() - *used;
        let is_intact = if len > RECORD_LIMIT || (input.at_end && len > left) {
            false
        } else if left >= len + self.record_header_len {
            self.record_header::<BIG>(input.bytes, end).is_some_and(|next| self.is_plausible(next))
        } else if input.at_end {
            left == len && !record.is_zero()
        } else {
            return Some(len + self.record_header_len);
        };
        let number = out.last_number() + 1;
        if !is_intact {
            let reason =
                if record.is_zero() { "zero bytes instead of records" } else { "invalid record header" };
            let position = input.position + *used as u64;
            self.damage = Some(DamageStart { position, after_frame: number - 1, reason });
            return None;
        }
        let header = self.header(record, input.block_offset + *used + self.record_header_len, number);
        out.facts.overhead_bytes +=
            self.record_header_len as u64 + u64::from(record.captured_len - header.captured_len);
        out.frames.push(header);
        self.last_secs = Some(record.secs);
        *used = end;
        None
    }

    fn is_plausible(&self, record: PcapRecordHeader) -> bool {
        record.captured_len <= self.max_len
            && record.fraction < 1_000_000_000
            && record.wire_len as usize <= RECORD_LIMIT
            && !record.is_zero()
    }

    /// Searches for plausible records in a row. `Some`: all bytes are used, or this many are needed first.
    fn resync<const BIG: bool>(
        &mut self,
        input: InputBytes<'_>,
        used: &mut usize,
        out: &mut FrameOut<'_>,
    ) -> Option<usize> {
        let damage = self.damage?;
        while !self.gave_up && *used < input.bytes.len() {
            let position = input.position + *used as u64;
            if position > damage.position {
                match self.check_chain::<BIG>(input, *used) {
                    ChainCheck::Holds => {
                        damage.record_until(position, out.facts);
                        self.damage = None;
                        return None;
                    }
                    ChainCheck::Need(need) => return Some(need),
                    ChainCheck::Breaks => {}
                }
            }
            self.gave_up = position - damage.position >= SEARCH_LIMIT;
            *used += 1;
        }
        *used = input.bytes.len();
        if input.at_end {
            damage.record_until(input.position + *used as u64, out.facts);
            self.damage = None;
            return Some(0);
        }
        Some(1)
    }

    fn check_chain<const BIG: bool>(&self, input: InputBytes<'_>, from: usize) -> ChainCheck {
        let mut at = from;
        for link in 0..SEARCH_CHAIN {
            if at == input.bytes.len() && input.at_end {
                return if link > 0 { ChainCheck::Holds } else { ChainCheck::Breaks };
            }
            let Some(record) = self.record_header::<BIG>(input.bytes, at) else {
                return if input.at_end {
                    ChainCheck::Breaks
                } else {
                    ChainCheck::Need(at - from + self.record_header_len)
                };
            };
            let near = self.last_secs.is_none_or(|secs| secs.abs_diff(record.secs) <= USUAL_GAP_SECS);
            let whole = record.captured_len > 0 && record.captured_len <= record.wire_len;
            if !near || !whole || !self.is_plausible(record) {
                return ChainCheck::Breaks;
            }
            at += self.record_header_len + record.captured_len as usize;
            if at > input.bytes.len() && input.at_end {
                return ChainCheck::Breaks;
            }
        }
        ChainCheck::Holds
    }
}

/// Ends at `start`, where another capture begins; the bytes from `end` on are a part of a record.
fn end_before_capture(input: InputBytes<'_>, end: usize, start: usize, out: &mut FrameOut<'_>) -> ReadStep {
    let after_frame = out.last_number();
    let message = format!("truncated after frame {after_frame}, where another capture begins");
    out.facts.record_damage(after_frame, input.position + end as u64, (start - end) as u64, message);
    out.begins_another = true;
    ReadStep { used: start, need: 0 }
}

/// Whether records in a row are plausible.
enum ChainCheck {
    Holds,
    Breaks,
    Need(usize),
}

impl PcapRecordHeader {
    /// Only zeros, as after a crash or in a preallocated file.
    /// No bytes were captured, and none were on the wire.
    const fn is_empty(self) -> bool {
        self.captured_len == 0 && self.wire_len == 0
    }

    const fn is_zero(self) -> bool {
        self.secs == 0 && self.captured_len == 0 && self.wire_len == 0
    }
}

#[cfg(test)]
mod tests {
    use super::super::InputFacts;
    use super::super::test_support::CaptureBuilder;
    use super::super::test_support::read;
    use super::super::test_support::read_in_pieces;

    /// Reads a file and compares its frames (time, bytes) and the messages of its damage.
    fn check(bytes: &[u8], frames: &[(i64, &[u8])], damage: &[&str]) -> InputFacts {
        let (seen, facts) = read(bytes).unwrap();
        let seen_frames: Vec<(i64, &[u8])> = seen.iter().map(|frame| (frame.1, &*frame.4)).collect();
        assert_eq!(seen_frames, frames);
        let messages: Vec<&str> = facts.damage.iter().map(|damage| &*damage.message).collect();
        assert_eq!(messages, damage);
        let (in_pieces, _) = read_in_pieces(bytes, bytes.len() / 2000 + 7).unwrap();
        assert_eq!(in_pieces, seen, "the same frames however the bytes arrive");
        facts
    }

    const MICRO: u32 = 0xa1b2_c3d4;

    #[test]
    fn microseconds_and_nanoseconds_in_both_byte_orders() {
        for big in [false, true] {
            let mut micro = CaptureBuilder::pcap(big, MICRO, 1);
            micro.record(10, 5, b"ab").record(11, 999_999, b"");
            check(&micro.bytes, &[(10_000_005_000, b"ab"), (11_999_999_000, b"")], &[]);
            let mut nano = CaptureBuilder::pcap(big, 0xa1b2_3c4d, 1);
            nano.record(u32::MAX, 999_999_999, b"ab");
            let facts = check(&nano.bytes, &[(4_294_967_295_999_999_999, b"ab")], &[]);
            assert_eq!((facts.format, &*facts.interfaces[0].resolution), (Some("pcap ns"), "10^-9"));
        }
    }

    #[test]
    fn kuznetzov_records_have_longer_headers() {
        let mut capture = CaptureBuilder::pcap(false, 0xa1b2_cd34, 1);
        capture.u32(1).u32(2).u32(3).u32(3).raw(&[0; 8]).raw(b"abc");
        capture.u32(2).u32(2).u32(1).u32(1).raw(&[0; 8]).raw(b"d");
        check(&capture.bytes, &[(1_000_002_000, b"abc"), (2_000_002_000, b"d")], &[]);
    }

    #[test]
    fn version_2_2_has_the_wire_length_first() {
        let mut capture = CaptureBuilder::pcap(false, MICRO, 1);
        capture.bytes[6] = 2;
        capture.u32(1).u32(0).u32(9).u32(2).raw(b"ab");
        check(&capture.bytes, &[(1_000_000_000, b"ab")], &[]);
    }

    #[test]
    fn frame_checksums_are_removed() {
        // draft-ietf-opsawg-pcap §4: f is set, and a checksum is 2 words long.
        let mut capture = CaptureBuilder::pcap(false, MICRO, 0x2400_0001);
        capture.record(1, 0, b"abcdefgh");
        capture.u32(1).u32(0).u32(4).u32(100).raw(b"abcd");
        let facts = check(&capture.bytes, &[(1_000_000_000, b"abcd"), (1_000_000_000, b"abcd")], &[]);
        assert_eq!(facts.interfaces[0].link.0, 1);
        let (seen, _) = read(&capture.bytes).unwrap();
        assert_eq!((seen[0].3, seen[1].3), (4, 96));
    }

    #[test]
    fn unusual_lengths_are_read_if_a_plausible_record_follows() {
        let mut capture = CaptureBuilder::pcap(false, MICRO, 1);
        capture.u32(1).u32(0).u32(4).u32(2).raw(b"abcd");
        let long = vec![7; 1 << 20];
        capture.record(2, 0, &long).record(3, 0, b"x").record(4, 0, &long);
        let frames: [(i64, &[u8]); 4] =
            [(1_000_000_000, b"abcd"), (2_000_000_000, &long), (3_000_000_000, b"x"), (4_000_000_000, &long)];
        check(&capture.bytes, &frames, &[]);
    }

    #[test]
    fn a_truncated_file_keeps_its_complete_frames() {
        let mut capture = CaptureBuilder::pcap(false, MICRO, 1);
        capture.record(1, 0, b"abcd").record(2, 0, b"efgh");
        let bytes = &capture.bytes;
        check(&bytes[..63], &[(1_000_000_000, b"abcd")], &["truncated after frame 1"]);
        check(&bytes[..50], &[(1_000_000_000, b"abcd")], &["truncated after frame 1"]);
        check(&bytes[..30], &[], &["truncated before the first frame"]);
        check(&bytes[..10], &[], &["truncated before the first frame"]);
        check(&bytes[..24], &[], &[]);
    }

    #[test]
    fn concatenated_captures_are_read_one_after_another() {
        let capture = |big, magic, secs| {
            let mut capture = CaptureBuilder::pcap(big, magic, 1);
            capture.record(secs, 0, b"abcd");
            capture.bytes.clone()
        };
        let mut pcapng = CaptureBuilder::pcapng(false);
        pcapng.interface(1, |_| ()).packet(0, 3_000_000, b"efgh");
        let parts = [
            capture(false, MICRO, 1),
            capture(true, 0xa1b2_3c4d, 2),
            pcapng.bytes.clone(),
            capture(false, MICRO, 4),
        ];
        let frames: [(i64, &[u8]); 4] = [
            (1_000_000_000, b"abcd"),
            (2_000_000_000, b"abcd"),
            (3_000_000_000, b"efgh"),
            (4_000_000_000, b"abcd"),
        ];
        let facts = check(&parts.concat(), &frames, &[]);
        assert_eq!((facts.further_captures, facts.interfaces.len()), (3, 4));
        assert_eq!(facts.notes[1], "another capture begins after frame 2");
        let (seen, _) = read(&parts.concat()).unwrap();
        assert_eq!(seen.iter().map(|frame| frame.0).collect::<Vec<_>>(), [1, 2, 3, 4]);
    }

    #[test]
    fn reading_continues_after_damage() {
        for junk in [&[0xee_u8; 37][..], &[0xff; 3], &[0; 400]] {
            let mut capture = CaptureBuilder::pcap(false, MICRO, 1);
            capture.record(1000, 0, b"abcd").raw(junk);
            capture.record(1001, 0, b"e").record(1002, 0, b"f").record(1003, 0, b"g");
            let frames: [(i64, &[u8]); 4] = [(1000, &b"abcd"[..]), (1001, b"e"), (1002, b"f"), (1003, b"g")]
                .map(|(s, b)| (s * 1_000_000_000, b));
            let (seen, facts) = read(&capture.bytes).unwrap();
            let seen: Vec<(i64, &[u8])> = seen.iter().map(|frame| (frame.1, &*frame.4)).collect();
            assert_eq!(seen, frames);
            assert_eq!((facts.damage_count, facts.skipped_bytes), (1, junk.len() as u64), "{facts:?}");
        }
    }

    #[test]
    fn a_length_of_4_gib_is_damage_and_later_records_are_found() {
        let mut capture = CaptureBuilder::pcap(false, MICRO, 1);
        capture.record(1, 0, b"abcd").u32(2).u32(0).u32(u32::MAX).u32(60).raw(&[9; 60]);
        capture.record(2, 0, b"e").record(3, 0, b"f").record(4, 0, b"g");
        let (seen, facts) = read(&capture.bytes).unwrap();
        assert_eq!(seen.len(), 4);
        assert_eq!(facts.damage[0].message, "invalid record header after frame 1, 76 bytes skipped");
        assert_eq!((facts.damage[0].at_byte, seen[1].0), (44, 2));
    }

    #[test]
    fn zero_bytes_at_the_end_are_not_frames() {
        let mut capture = CaptureBuilder::pcap(false, MICRO, 1);
        capture.record(1, 0, b"abcd").raw(&[0; 100_000]);
        let damage = ["zero bytes instead of records after frame 1, 100000 bytes skipped"];
        check(&capture.bytes, &[(1_000_000_000, b"abcd")], &damage);
    }
}
