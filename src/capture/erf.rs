//! Reads ERF files, as Endace cards and some sensors write them.
//!
//! In:  bytes of the capture.
//! Out: frames; records of other types as a whole, with link type ERF.
//! Not: multi-channel and ATM records; reading on after damage.

use super::FrameHeader;
use super::Interface;
use super::LinkType;
use super::frame_reader::CaptureFormat;
use super::frame_reader::DamageStart;
use super::frame_reader::FrameOut;
use super::frame_reader::FrameReader;
use super::frame_reader::InputBytes;
use super::frame_reader::OpenReader;
use super::frame_reader::ReadStep;
use super::frame_reader::need_record;
use crate::base::Time;
use crate::base::WireText;

/// There is no magic number: a run of records has to be plausible.
pub(super) const FORMAT: CaptureFormat = CaptureFormat { probe_len: 32 << 10, probe };

const HEADER_LEN: usize = 16;
/// Records that must be plausible, or all if there are fewer.
const PROBED_RECORDS: usize = 16;
/// Extension headers of one record, at most; Wireshark's limit.
const EXTENSION_LIMIT: usize = 16;
/// Seconds between two probed records, at most.
const PROBED_SECS: u64 = 30 * 86_400;

/// A record type: the link type of its frame, and the bytes before the frame.
struct RecordType {
    number: u8,
    link: LinkType,
    pad_len: usize,
}

// Endace ERF Types Reference Guide; Wireshark's wiretap/erf.h.
const RECORD_TYPES: &[RecordType] = &[
    RecordType { number: 1, link: LinkType::C_HDLC, pad_len: 0 },
    // An offset and a pad byte come before Ethernet, so that the IP header is aligned.
    RecordType { number: 2, link: LinkType::ETHERNET, pad_len: 2 },
    RecordType { number: 10, link: LinkType::C_HDLC, pad_len: 0 },
    RecordType { number: 11, link: LinkType::ETHERNET, pad_len: 2 },
    RecordType { number: 15, link: LinkType::C_HDLC, pad_len: 0 },
    RecordType { number: 16, link: LinkType::ETHERNET, pad_len: 2 },
    RecordType { number: 19, link: LinkType::C_HDLC, pad_len: 0 },
    RecordType { number: 20, link: LinkType::ETHERNET, pad_len: 2 },
    RecordType { number: 22, link: LinkType::RAW, pad_len: 0 },
    RecordType { number: 23, link: LinkType::RAW, pad_len: 0 },
];
const LAST_TYPE: u8 = 27;
const PAD_TYPE: u8 = 48;

struct Erf {
    /// Each port of the card and link type seen, by the index of its interface.
    interfaces: Vec<(u8, LinkType)>,
    damage: Option<DamageStart>,
}

struct ErfRecordHeader {
    timestamp: u64,
    record_type: u8,
    port: u8,
    len: usize,
    drops: u16,
    wire_len: u16,
}

fn record_header(bytes: &[u8]) -> Option<ErfRecordHeader> {
    let (timestamp, rest) = bytes.split_first_chunk::<8>()?;
    let [record_type, flags, l0, l1, d0, d1, w0, w1] = *rest.first_chunk::<8>()?;
    Some(ErfRecordHeader {
        timestamp: u64::from_le_bytes(*timestamp),
        record_type,
        port: flags & 3,
        len: usize::from(u16::from_be_bytes([l0, l1])),
        drops: u16::from_be_bytes([d0, d1]),
        wire_len: u16::from_be_bytes([w0, w1]),
    })
}

/// Bytes before the frame: header, extension headers, pad; `None` if the record is shorter.
fn frame_offset(record: &ErfRecordHeader, bytes: &[u8], pad_len: usize) -> Option<usize> {
    let mut len = HEADER_LEN;
    let mut more = record.record_type & 0x80 != 0;
    for _ in 0..EXTENSION_LIMIT {
        if !more {
            break;
        }
        more = bytes.get(len)? & 0x80 != 0;
        len += 8;
    }
    (!more && len + pad_len <= record.len).then_some(len + pad_len)
}

fn probe(head: &[u8], whole: bool) -> Option<OpenReader> {
    let mut rest = head;
    let mut before: Option<u64> = None;
    for count in 0..PROBED_RECORDS {
        let Some(found) = record_header(rest) else {
            // One record is enough only if the file ends exactly after it.
            let is_enough = count > 1 || (count == 1 && rest.is_empty());
            return (whole && is_enough).then(reader);
        };
        let record_type = found.record_type & 0x7f;
        let secs = found.timestamp >> 32;
        let is_near = before.is_none_or(|before| before.abs_diff(secs) <= PROBED_SECS);
        let is_known = (1..=LAST_TYPE).contains(&record_type) || record_type == PAD_TYPE;
        // One repeated byte is not a record: seconds and fraction would be equal.
        let is_repetition = found.timestamp != 0 && secs == found.timestamp & 0xffff_ffff;
        let has_len = found.len >= HEADER_LEN && (found.wire_len > 0 || record_type == PAD_TYPE);
        if !is_known || is_repetition || !is_near || !has_len {
            return None;
        }
        before = Some(secs);
        match rest.get(found.len..) {
            Some(next) => rest = next,
            // Truncated inside a record: the records before it decide.
            None => return (count > 1).then(reader),
        }
    }
    Some(reader())
}

fn reader() -> OpenReader {
    (Box::new(Erf { interfaces: Vec::new(), damage: None }), "erf")
}

impl FrameReader for Erf {
    fn read_frames(&mut self, input: InputBytes<'_>, out: &mut FrameOut<'_>) -> ReadStep {
        let mut used = 0;
        loop {
            if let Some(damage) = self.damage {
                return damage.skip_rest(input, out);
            }
            if out.frames.len() >= out.limit {
                return ReadStep { used, need: 0 };
            }
            let rest = input.bytes.get(used..).unwrap_or_default();
            let Some(found) = record_header(rest) else { return need_record(HEADER_LEN, input, used, out) };
            if found.len < HEADER_LEN {
                self.damage = Some(DamageStart::at(used, "invalid record header", input, out));
                continue;
            }
            let Some(bytes) = rest.get(..found.len) else { return need_record(found.len, input, used, out) };
            self.add_frame(&found, bytes, input.block_offset + used, out);
            used += found.len;
        }
    }
}

impl Erf {
    fn add_frame(
        &mut self,
        record: &ErfRecordHeader,
        bytes: &[u8],
        block_offset: usize,
        out: &mut FrameOut<'_>,
    ) {
        let record_type = record.record_type & 0x7f;
        if record_type == PAD_TYPE {
            out.facts.skipped_blocks += 1;
            out.facts.overhead_bytes += record.len as u64;
            return;
        }
        // Colour and hash types have another field in place of the loss counter.
        if matches!(record_type, 1 | 2 | 22 | 23) {
            out.facts.reported_drops += u64::from(record.drops);
        }
        let known = RECORD_TYPES.iter().find(|row| row.number == record_type);
        let frame = known.and_then(|row| Some((row.link, frame_offset(record, bytes, row.pad_len)?)));
        let (link, offset) = frame.unwrap_or((LinkType::ERF, 0));
        let stored_len = record.len - offset;
        // The wire length includes the Ethernet checksum, and the record is padded to 8 bytes. The checksum is kept: some
        // writers leave it out, and bytes after the IP packet are no part of it.
        let wire_len = if offset == 0 { stored_len } else { usize::from(record.wire_len) };
        let captured_len = stored_len.min(wire_len);
        let number = out.last_number() + 1;
        let interface = self.interface_index(record.port, link, out);
        // ERF: 32 bits of seconds and 32 bits of a second's fraction.
        let nanos = (u128::from(record.timestamp) * 1_000_000_000) >> 32;
        out.frames.push(FrameHeader {
            time: Time(nanos as i64),
            number,
            offset: (block_offset + offset) as u32,
            captured_len: captured_len as u32,
            wire_len: wire_len as u32,
            link,
            interface,
        });
        out.facts.overhead_bytes += (record.len - captured_len) as u64;
    }

    fn interface_index(&mut self, port: u8, link: LinkType, out: &mut FrameOut<'_>) -> u16 {
        if let Some(index) = self.interfaces.iter().position(|known| *known == (port, link)) {
            return index as u16;
        }
        self.interfaces.push((port, link));
        let mut interface = Interface::new(link, 0, "2^-32");
        interface.name = Some(WireText::printable(format!("port {port}")));
        out.facts.interfaces.push(interface);
        (self.interfaces.len() - 1) as u16
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_support::read;

    fn record(record_type: u8, flags: u8, timestamp: u64, wire_len: u16, body: &[u8]) -> Vec<u8> {
        let len = (16 + body.len()).next_multiple_of(8) as u16;
        let mut bytes = timestamp.to_le_bytes().to_vec();
        bytes.extend([record_type, flags]);
        bytes.extend(len.to_be_bytes());
        bytes.extend([0, 1]);
        bytes.extend(wire_len.to_be_bytes());
        bytes.extend(body);
        bytes.resize(usize::from(len), 0);
        bytes
    }

    fn check(records: &[Vec<u8>], expected: &[(i64, u16, u32, &[u8])]) {
        let (seen, facts) = read(&records.concat()).unwrap();
        let seen: Vec<(i64, u16, u32, &[u8])> =
            seen.iter().map(|one| (one.1, one.2, one.3, &*one.4)).collect();
        assert_eq!(seen, expected);
        assert_eq!(facts.format, Some("erf"));
    }

    #[test]
    fn records_of_every_type() {
        let stamp = (7 << 32) | (1 << 31);
        let time = 7_500_000_000;
        let ethernet = record(2, 4, stamp, 4, b"\0\0abcd");
        let extended = record(0x82, 5, stamp, 4, &[&[0x83; 8][..], &[3; 8], b"\0\0efgh"].concat());
        let hdlc = record(1, 4, stamp, 900, b"ijklmnop");
        let ip = record(22, 4, stamp, 2, b"qr");
        let atm = record(3, 4, stamp, 52, b"");
        check(
            &[ethernet, extended, hdlc, record(48, 0, stamp, 0, b""), ip, atm.clone()],
            &[
                (time, 1, 4, b"abcd"),
                (time, 1, 4, b"efgh"),
                (time, 104, 900, b"ijklmnop"),
                (time, 101, 2, b"qr"),
                (time, 197, 16, &atm),
            ],
        );
    }

    #[test]
    fn other_bytes_are_not_recognized_as_records() {
        assert!(read(&[0; 4096]).is_err());
        assert!(read(&[2; 4096]).is_err());
        let mut bytes = record(2, 4, 7 << 32, 4, b"\0\0abcd");
        bytes.extend([0x55; 200]);
        assert!(read(&bytes).is_err(), "one record and other bytes");
    }
}
