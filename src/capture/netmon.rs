//! Reads capture files of Microsoft Network Monitor 2.x (`.cap`), also written by Network Monitor 3 and by Message Analyzer.
//!
//! In:  bytes of the capture.
//! Out: frames, in the order of the file.
//! Not: the tables after the frames: comments, processes, the index of frames; nor reading on after damage.
//!
//! Layout: `CAPTUREFILE_HEADER_VALUES` of Netmon.h, and "Capture File Format" in the help of Network Monitor 3; all
//! little-endian.

use super::FrameHeader;
use super::Interface;
use super::LinkType;
use super::concatenated::end_at_capture_start;
use super::frame_reader::CaptureFormat;
use super::frame_reader::DamageStart;
use super::frame_reader::FrameOut;
use super::frame_reader::FrameReader;
use super::frame_reader::InputBytes;
use super::frame_reader::OpenReader;
use super::frame_reader::RECORD_LIMIT;
use super::frame_reader::ReadStep;
use super::frame_reader::four_at;
use super::frame_reader::need_record;
use crate::base::Time;

pub(super) const FORMAT: CaptureFormat = CaptureFormat { probe_len: FILE_HEADER_LEN, probe };

pub(super) const MAGIC: &[u8] = b"GMBU";
const FILE_HEADER_LEN: usize = 128;
const RECORD_HEADER_LEN: usize = 16;

/// Tables after the frames: the offsets of their offsets in the file header.
const TABLES: [usize; 6] = [24, 32, 40, 48, 56, 64];

/// From 1601-01-01 to 1970-01-01, in 100 ns.
const UNIX_EPOCH: i64 = 116_444_736_000_000_000;

/// Network types that have a link type.
const LINKS: &[(u16, LinkType)] = &[
    // Some traces of virtual private networks have type 0 and Ethernet frames.
    (0, LinkType::ETHERNET),
    (1, LinkType::ETHERNET),
    (2, LinkType::IEEE802_5),
    (3, LinkType::FDDI),
    (WIFI, LinkType::IEEE802_11),
    // Tunnel interfaces, wireless WAN, raw IP.
    (7, LinkType::RAW),
    (8, LinkType::RAW),
    (9, LinkType::RAW),
];

/// 802.11 after a header with radio data, whose length is in its second and third byte.
const WIFI: u16 = 6;

/// Types from here to 0xefff are those of libpcap.
const PCAP_LINKS: std::ops::Range<u16> = 0xe000..0xf000;

struct Netmon {
    /// The file header, once it was read.
    header: Option<FileHeader>,
    damage: Option<DamageStart>,
}

#[derive(Clone, Copy)]
struct FileHeader {
    minor: u8,
    network: u16,
    /// Local time of the capturing computer, in nanoseconds since 1970.
    start: i64,
    /// Where the frames end; `None` in a file that was not closed.
    end: Option<u64>,
    /// Where the tables after them end.
    tables_end: u64,
    /// The number of its interface: after other captures in the same input, not the first.
    interface: u16,
}

/// Whether these are the first bytes of a file: its magic number and version 2.
pub(super) fn is_file_header(bytes: &[u8]) -> bool {
    const MAJOR: usize = 5;
    bytes.starts_with(MAGIC) && bytes.get(MAJOR) == Some(&2)
}

fn probe(head: &[u8], _whole: bool) -> Option<OpenReader> {
    let is_netmon = is_file_header(head) && head.len() >= FILE_HEADER_LEN;
    let netmon = Netmon { header: None, damage: None };
    is_netmon.then(|| (Box::new(netmon) as Box<dyn FrameReader>, "netmon"))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..).and_then(|rest| rest.first_chunk::<2>()).copied().map(u16::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    four_at(bytes, at).map(u32::from_le_bytes)
}

fn i64_at(bytes: &[u8], at: usize) -> Option<i64> {
    bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()).copied().map(i64::from_le_bytes)
}

impl FileHeader {
    /// Parses the header of a file that begins at `position`.
    fn parse(head: &[u8], position: u64, interface: u16) -> FileHeader {
        let number = |at| u16_at(head, at).unwrap_or_default();
        let offsets = || TABLES.iter().filter_map(|at| u32_at(head, *at));
        let ends = TABLES.iter().filter_map(|at| {
            let (offset, len) = (u32_at(head, *at)?, u32_at(head, at + 4)?);
            Some(position + u64::from(offset) + u64::from(len))
        });
        let is_after_header = |offset: &u32| *offset as usize >= FILE_HEADER_LEN;
        FileHeader {
            minor: head.get(4).copied().unwrap_or_default(),
            network: number(6),
            start: start_nanos(head).unwrap_or_default(),
            end: offsets().filter(is_after_header).min().map(|offset| position + u64::from(offset)),
            tables_end: ends.max().unwrap_or_default(),
            interface,
        }
    }

    /// What follows a frame: 2.1 added its network type, 2.2 its process, 2.3 its time and time zone.
    const fn trailer_len(self) -> usize {
        match self.minor {
            0 => 0,
            1 => 2,
            2 => 6,
            _ => 15,
        }
    }
}

/// The `SYSTEMTIME` at which the capture began: year, month, day of the week, day, hour, minute, second, millisecond.
fn start_nanos(head: &[u8]) -> Option<i64> {
    let field = |index: usize| u16_at(head, 8 + 2 * index);
    let byte = |index| field(index).and_then(|value| i8::try_from(value).ok());
    let date = jiff::civil::Date::new(i16::try_from(field(0)?).ok()?, byte(1)?, byte(3)?).ok()?;
    let time = jiff::civil::Time::new(byte(4)?, byte(5)?, byte(6)?, 0).ok()?;
    let start = jiff::civil::DateTime::from_parts(date, time).to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(start.timestamp().as_second() * 1_000_000_000 + i64::from(field(7)?) * 1_000_000)
}

fn link_type(network: u16) -> LinkType {
    if PCAP_LINKS.contains(&network) {
        return LinkType(network - PCAP_LINKS.start);
    }
    // Others hold no frames: events, filters, names. They keep their frame number.
    LINKS.iter().find(|(number, _)| *number == network).map_or(LinkType::UNREGISTERED, |(_, link)| *link)
}

impl FrameReader for Netmon {
    fn read_frames(&mut self, input: InputBytes<'_>, out: &mut FrameOut<'_>) -> ReadStep {
        let mut used = 0;
        let header = match self.header {
            Some(header) => header,
            None => {
                used = FILE_HEADER_LEN.min(input.bytes.len());
                let interface = out.facts.interfaces.len().try_into().unwrap_or(u16::MAX);
                let header = FileHeader::parse(input.bytes, input.position, interface);
                self.header = Some(header);
                out.facts.interfaces.push(Interface::new(link_type(header.network), 0, "10^-6"));
                out.facts.overhead_bytes += used as u64;
                if header.minor < 3 {
                    out.facts.note("times are local times of the computer that captured");
                }
                header
            }
        };
        loop {
            if let Some(damage) = self.damage {
                return damage.skip_rest(input, out);
            }
            if out.frames.len() >= out.limit {
                return ReadStep { used, need: 0 };
            }
            if header.end.is_some_and(|end| input.position + used as u64 >= end) {
                return skip_tables(header, input, used, out);
            }
            let rest = input.bytes.get(used..).unwrap_or_default();
            match read_record(header, rest, input.block_offset + used, out) {
                Ok(len) => used += len,
                Err(need) if need > RECORD_LIMIT => {
                    self.damage = Some(DamageStart::at(used, "invalid record header", input, out));
                }
                Err(need) => return need_record(need, input, used, out),
            }
        }
    }
}

/// Skips the tables after the frames. Another capture may follow them.
fn skip_tables(header: FileHeader, input: InputBytes<'_>, used: usize, out: &mut FrameOut<'_>) -> ReadStep {
    let left = input.bytes.len() - used;
    let tables = header.tables_end.saturating_sub(input.position + used as u64);
    let tables = usize::try_from(tables).unwrap_or(usize::MAX).min(left);
    out.facts.overhead_bytes += tables as u64;
    let used = used + tables;
    if tables == left {
        return ReadStep { used, need: 1 };
    }
    end_at_capture_start(input, used, out).unwrap_or_else(|| {
        out.facts.overhead_bytes += (left - tables) as u64;
        ReadStep { used: input.bytes.len(), need: 1 }
    })
}

/// The length of the record; `Err`: the bytes needed, more than any record has if the header is invalid.
fn read_record(
    header: FileHeader,
    bytes: &[u8],
    block_offset: usize,
    out: &mut FrameOut<'_>,
) -> Result<usize, usize> {
    // Microseconds since the start, length on the wire, captured length.
    let fields = (i64_at(bytes, 0), u32_at(bytes, 8), u32_at(bytes, 12));
    let (Some(since_start), Some(wire_len), Some(captured_len)) = fields else {
        return Err(RECORD_HEADER_LEN);
    };
    if captured_len as usize > RECORD_LIMIT / 2 || captured_len > wire_len {
        return Err(usize::MAX);
    }
    let trailer_at = RECORD_HEADER_LEN + captured_len as usize;
    let len = trailer_at + header.trailer_len();
    let Some(record) = bytes.get(..len) else { return Err(len) };
    let network = u16_at(record, trailer_at).unwrap_or(header.network);
    let utc = i64_at(record, trailer_at + 6).map(|filetime| filetime.saturating_sub(UNIX_EPOCH));
    let nanos = match utc.filter(|_| header.minor >= 3) {
        Some(utc) => utc.saturating_mul(100),
        None => header.start.saturating_add(since_start.saturating_mul(1_000)),
    };
    let radio = match network {
        WIFI => u32::from(u16_at(record, RECORD_HEADER_LEN + 1).unwrap_or_default()).min(captured_len),
        _ => 0,
    };
    out.facts.overhead_bytes += len as u64 - u64::from(captured_len - radio);
    let number = out.last_number() + 1;
    out.frames.push(FrameHeader {
        time: Time(nanos),
        number,
        offset: (block_offset + RECORD_HEADER_LEN) as u32 + radio,
        captured_len: captured_len - radio,
        wire_len: wire_len - radio,
        link: link_type(network),
        interface: header.interface,
    });
    Ok(len)
}

#[cfg(test)]
mod tests {
    use super::super::test_support::read;
    use super::super::test_support::read_in_pieces;

    const START_SECS: i64 = 1_700_000_000;

    /// A file of version 2.`minor` that began at [`START_SECS`] (2023-11-14, 22:13:20), with frames: seconds since then, network
    /// type, bytes; and tables after them.
    fn file(minor: u8, frames: &[(i64, u16, &[u8])]) -> Vec<u8> {
        let mut out = [&b"GMBU"[..], &[minor, 2, 1, 0]].concat();
        out.extend([2023u16, 11, 2, 14, 22, 13, 20, 0].map(u16::to_le_bytes).concat());
        out.resize(128, 0);
        for (seconds, network, bytes) in frames {
            out.extend((seconds * 1_000_000).to_le_bytes());
            out.extend([bytes.len() as u32 + 4, bytes.len() as u32].map(u32::to_le_bytes).concat());
            out.extend(*bytes);
            let utc = super::UNIX_EPOCH + (START_SECS + seconds) * 10_000_000;
            let trailer = [&network.to_le_bytes()[..], &[0xff; 4], &utc.to_le_bytes(), &[0]].concat();
            out.extend(&trailer[..[0, 2, 6, 15][usize::from(minor)]]);
        }
        let end = out.len() as u32;
        out[24..28].copy_from_slice(&end.to_le_bytes());
        out.extend([0x55; 40]);
        out
    }

    #[test]
    fn frames_of_every_version_are_read() {
        for minor in 0..=3 {
            let bytes = file(minor, &[(1, 1, b"abc"), (2, 1, b"defg")]);
            let (seen, facts) = read(&bytes).unwrap();
            let second = |seconds: i64| (START_SECS + seconds) * 1_000_000_000;
            assert_eq!(seen[0], (1, second(1), 1, 7, b"abc".to_vec()), "2.{minor}");
            assert_eq!(seen[1], (2, second(2), 1, 8, b"defg".to_vec()), "2.{minor}");
            assert_eq!((seen.len(), facts.format, facts.damage_count), (2, Some("netmon"), 0));
            assert!(facts.adds_up(), "{facts:?}");
            assert_eq!(facts.notes.len(), usize::from(minor < 3), "only 2.3 has UTC");
            assert_eq!(read_in_pieces(&bytes, 13).unwrap().0, seen);
        }
    }

    #[test]
    fn each_frame_has_its_own_link_type() {
        let wifi = [&[2u8, 5, 0, 0, 0][..], b"802.11"].concat();
        let frames: [(i64, u16, &[u8]); 5] = [
            (0, 0, b"ethernet"),
            (1, 8, b"ip"),
            (2, 6, &wifi),
            (3, 0xe000 + 113, b"sll"),
            (4, 0xfffd, b"names"),
        ];
        let (seen, facts) = read(&file(3, &frames)).unwrap();
        let links: Vec<u16> = seen.iter().map(|frame| frame.2).collect();
        assert_eq!(links, [1, 101, 105, 113, u16::MAX]);
        assert_eq!(seen[2].4, b"802.11", "without the header before it");
        assert!(facts.adds_up(), "{facts:?}");
    }

    #[test]
    fn a_file_that_was_not_closed_is_read_to_its_end() {
        let mut bytes = file(3, &[(1, 1, b"abc"), (2, 1, b"defg")]);
        bytes.truncate(bytes.len() - 40);
        bytes[24..28].fill(0);
        assert_eq!(read(&bytes).unwrap().0.len(), 2);
    }

    #[test]
    fn damage_loses_only_what_follows_it() {
        let bytes = file(3, &[(1, 1, b"abc"), (2, 1, b"defg"), (3, 1, b"hi")]);
        let (whole, _) = read(&bytes).unwrap();
        for len in 128..bytes.len() {
            let (seen, facts) = read(&bytes[..len]).unwrap();
            assert!(whole.starts_with(&seen) && facts.adds_up(), "{len}");
        }
        for at in 8..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0xff;
            let (_, facts) = read(&damaged).unwrap();
            assert!(facts.adds_up(), "{at}: {facts:?}");
        }
        let mut damaged = bytes.clone();
        // The captured length of the second frame.
        damaged[128 + 34 + 15] = 0xff;
        let (seen, facts) = read(&damaged).unwrap();
        assert_eq!((seen.len(), facts.damage_count), (1, 1));
        assert!(
            facts.damage[0].message.starts_with("invalid record header after frame 1"),
            "{:?}",
            facts.damage
        );
    }
}
