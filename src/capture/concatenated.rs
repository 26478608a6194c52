//! Recognizes a capture that begins where another one ends: files that were concatenated.
//!
//! In:  the bytes at the place of a record or block.
//! Out: whether a file header is there.
//! Not: reading on; see `input_reader`. Formats without a magic number (ERF).

use super::compress;
use super::etl;
use super::frame_reader::FrameOut;
use super::frame_reader::InputBytes;
use super::frame_reader::RECORD_LIMIT;
use super::frame_reader::ReadStep;
use super::frame_reader::USUAL_GAP_SECS;
use super::frame_reader::four_at;
use super::netmon;
use super::pcapng_blocks::BYTE_ORDER_MAGIC;
use super::pcapng_blocks::SECTION_HEADER;
use super::snoop;

/// Magic numbers of pcap (draft-ietf-opsawg-pcap §4), in the byte order of the writer.
pub(super) const PCAP_MICROSECONDS: u32 = 0xa1b2_c3d4;
pub(super) const PCAP_NANOSECONDS: u32 = 0xa1b2_3c4d;

/// Version 2.4 in the byte order of the writer.
const PCAP_VERSION: [u8; 4] = [0, 2, 0, 4];

/// Whether a capture starts at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CaptureStart {
    Yes,
    No,
    /// This many bytes are needed to know.
    Need(usize),
}

/// Whether a capture starts at `used`. A magic number alone is not enough: bytes of a damaged record may be anything.
#[cold]
pub(super) fn capture_start(input: InputBytes<'_>, used: usize) -> CaptureStart {
    /// The most that one of the checks needs.
    const NEEDED: usize = etl::PROBE_LEN;
    let bytes = input.bytes.get(used..).unwrap_or_default();
    if is_capture(bytes) {
        CaptureStart::Yes
    } else if bytes.len() < NEEDED && !input.at_end && may_start_capture(bytes) {
        CaptureStart::Need(NEEDED)
    } else {
        CaptureStart::No
    }
}

/// Ends a reader's step where another capture begins, or where more bytes are needed to know; `None` where none begins.
pub(super) fn end_at_capture_start(
    input: InputBytes<'_>,
    used: usize,
    out: &mut FrameOut<'_>,
) -> Option<ReadStep> {
    match capture_start(input, used) {
        CaptureStart::Yes => {
            out.begins_another = true;
            Some(ReadStep { used, need: 0 })
        }
        CaptureStart::Need(need) => Some(ReadStep { used, need }),
        CaptureStart::No => None,
    }
}

/// Where in the first `until` bytes a pcap or pcapng file begins, whose whole header is in them. Frames may contain a magic number:
/// the header and the records after it have to be those of a capture.
#[cold]
pub(super) fn find_capture(bytes: &[u8], until: usize) -> Option<usize> {
    let places = 0..=until.min(bytes.len()).checked_sub(PCAP_HEADER_LEN)?;
    places.into_iter().find(|at| {
        let rest = bytes.get(*at..).unwrap_or_default();
        is_pcap_or_pcapng(rest).unwrap_or(false) && (!is_pcap(rest) || has_plausible_records(rest))
    })
}

const PCAP_HEADER_LEN: usize = 24;
const PCAP_RECORD_HEADER_LEN: usize = 16;

/// Whether the header of a pcap file has nothing unusual, and its first two records, as far as they are there, have possible
/// lengths and times near each other.
fn has_plausible_records(bytes: &[u8]) -> bool {
    let magic = four_at(bytes, 0).map(u32::from_le_bytes).unwrap_or_default();
    let is_little = [PCAP_MICROSECONDS, PCAP_NANOSECONDS].contains(&magic);
    let field = |at: usize| {
        four_at(bytes, at)
            .map(|field| if is_little { u32::from_le_bytes(field) } else { u32::from_be_bytes(field) })
    };
    let is_nanoseconds = field(0) == Some(PCAP_NANOSECONDS);
    let units = if is_nanoseconds { 1_000_000_000 } else { 1_000_000 };
    // Time zone and accuracy are not used by any writer; upper bits of the link type are flags.
    if field(8) != Some(0) || field(12) != Some(0) || field(20).is_none_or(|link| link > u32::from(u16::MAX))
    {
        return false;
    }
    let mut at = PCAP_HEADER_LEN;
    let mut secs_before = None;
    for _ in 0..2 {
        let (Some(secs), Some(fraction), Some(captured), Some(wire)) =
            (field(at), field(at + 4), field(at + 8), field(at + 12))
        else {
            return true;
        };
        let is_near = secs_before.is_none_or(|before: u32| before.abs_diff(secs) <= USUAL_GAP_SECS);
        if !is_near
            || fraction >= units
            || captured == 0
            || captured > wire
            || captured as usize > RECORD_LIMIT
        {
            return false;
        }
        secs_before = Some(secs);
        at += PCAP_RECORD_HEADER_LEN + captured as usize;
    }
    true
}

/// Whether a capture begins with these bytes, compressed or not.
pub(super) fn is_capture(bytes: &[u8]) -> bool {
    is_pcap_or_pcapng(bytes).unwrap_or(false)
        || snoop::is_file_header(bytes)
        || netmon::is_file_header(bytes)
        || etl::is_trace(bytes)
        || compress::is_stream(bytes)
}

/// Whether bytes are too few for [`is_capture`], and what is there fits.
fn may_start_capture(bytes: &[u8]) -> bool {
    let Some(head) = four_at(bytes, 0) else { return true };
    let magics = [PCAP_MICROSECONDS, PCAP_NANOSECONDS, SECTION_HEADER];
    magics.contains(&u32::from_be_bytes(head))
        || magics.contains(&u32::from_le_bytes(head))
        || snoop::MAGIC.starts_with(&head)
        || netmon::MAGIC.starts_with(&head)
        || compress::may_be_stream(&head)
        || etl::may_be_buffer(u32::from_le_bytes(head))
}

/// The first twelve bytes of a file header; `None` where there are fewer.
fn is_pcap_or_pcapng(bytes: &[u8]) -> Option<bool> {
    let (magic, order) = (four_at(bytes, 0)?, four_at(bytes, 8)?);
    let has_order = [u32::from_be_bytes(order), u32::from_le_bytes(order)].contains(&BYTE_ORDER_MAGIC);
    Some(is_pcap(bytes) || (u32::from_be_bytes(magic) == SECTION_HEADER && has_order))
}

/// Whether a pcap file begins with these bytes.
pub(super) fn is_pcap(bytes: &[u8]) -> bool {
    let (Some(magic), Some(version)) = (four_at(bytes, 0), four_at(bytes, 4)) else { return false };
    let has = |magic: u32, version: [u8; 4]| {
        [PCAP_MICROSECONDS, PCAP_NANOSECONDS].contains(&magic) && version == PCAP_VERSION
    };
    let [a, b, c, d] = version;
    has(u32::from_be_bytes(magic), version) || has(u32::from_le_bytes(magic), [b, a, d, c])
}

#[cfg(test)]
mod tests {
    use super::super::test_support::CaptureBuilder;
    use super::super::test_support::read;
    use super::super::test_support::read_in_pieces;

    /// A log of this repository, with its packets.
    const TRACE: &[u8] = include_bytes!("../../captures/dropped-by-host/capture.etl");
    const NETMON: &[u8] = include_bytes!("../../captures/netmon/capture.cap");
    const SECS: u32 = 1_767_600_000;

    fn pcap(big_endian: bool, frames: u32) -> Vec<u8> {
        let mut capture = CaptureBuilder::pcap(big_endian, 0xa1b2_c3d4, 1);
        for frame in 0..frames {
            capture.record(SECS + frame, 0, &[frame as u8; 60]);
        }
        capture.bytes
    }

    fn snoop() -> Vec<u8> {
        let mut bytes = b"snoop\0\0\0".to_vec();
        for field in [2, 4, 60, 60, 84, 0, SECS, 5] {
            bytes.extend(u32::to_be_bytes(field));
        }
        bytes.extend([9; 60]);
        bytes
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        use std::io::Write as _;
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// Bytes and links of frames, whatever their times and numbers.
    fn frames(bytes: &[u8]) -> Vec<(u16, Vec<u8>)> {
        let (seen, _) = read(bytes).unwrap();
        seen.into_iter().map(|(_, _, link, _, bytes)| (link, bytes)).collect()
    }

    #[test]
    fn captures_of_any_format_are_read_on_after_one_another() {
        let pcapng = include_bytes!("../../captures/pcapng-sections/capture.pcapng").to_vec();
        let captures: Vec<(&str, Vec<u8>)> = vec![
            ("pcap", pcap(false, 3)),
            ("big-endian pcap", pcap(true, 2)),
            ("pcap without frames", pcap(false, 0)),
            ("pcapng", pcapng),
            ("snoop", snoop()),
            ("netmon", NETMON.to_vec()),
            ("etl", TRACE.to_vec()),
            ("gzip", gzip(&pcap(false, 4))),
            ("gzip of etl", gzip(TRACE)),
        ];
        let own: Vec<Vec<(u16, Vec<u8>)>> = captures
            .iter()
            .map(|(_, bytes)| if bytes.len() == 24 { Vec::new() } else { frames(bytes) })
            .collect();
        for ((first, one), of_one) in captures.iter().zip(&own) {
            for ((second, other), of_other) in captures.iter().zip(&own) {
                // Streams and logs that follow each other are joined.
                let are_joined = (first.starts_with("gzip") && second.starts_with("gzip"))
                    || (*first == "etl" && *second == "etl");
                if are_joined {
                    continue;
                }
                let joined = [&one[..], other, &pcap(false, 1)].concat();
                let name = format!("{first}, {second}");
                let Ok((seen, facts)) = read(&joined) else { panic!("{name}") };
                let expected: usize = of_one.len() + of_other.len();
                assert_eq!(seen.len(), expected + 1, "{name}: {facts:?}");
                assert_eq!(facts.damage_count, 0, "{name}: {facts:?}");
                assert!(facts.adds_up(), "{name}: {facts:?}");
                // Sections are parts of one capture.
                let sections = usize::from((*first, *second) == ("pcapng", "pcapng"));
                assert_eq!(facts.further_captures as usize, 2 - sections, "{name}");
                let both: Vec<_> = of_one.iter().chain(of_other).cloned().collect();
                let found: Vec<_> =
                    seen.iter().take(expected).map(|frame| (frame.2, frame.4.clone())).collect();
                assert_eq!(found, both, "{name}");
                assert_eq!(read_in_pieces(&joined, 211).unwrap().0.len(), seen.len(), "{name}");
            }
        }
    }

    /// A frame may contain what looks like a file header, and a record with another time may follow.
    #[test]
    fn a_file_header_in_a_frame_is_no_capture_without_records() {
        let header = &pcap(false, 0)[..];
        let junk = [header, &[0x45; 60]].concat();
        let zone = [&header[..8], &[1], &header[9..], &pcap(false, 1)[24..]].concat();
        for inside in [junk, zone] {
            let mut capture = CaptureBuilder::pcap(false, 0xa1b2_c3d4, 1);
            capture.record(SECS, 0, &[1; 60]).record(SECS, 0, &inside).record(SECS / 2, 0, &[2; 60]);
            let (seen, facts) = read(&capture.bytes).unwrap();
            assert_eq!((seen.len(), facts.damage_count, facts.further_captures), (3, 0, 0), "{facts:?}");
        }
    }

    /// A capture that was cut off anywhere after its first record, with others after it: these are read from their headers on.
    #[test]
    fn captures_after_a_truncated_one_are_read() {
        let (first, second) = (pcap(false, 3), pcap(true, 4));
        for len in 24 + 76..first.len() {
            let joined = [&first[..len], &second, &pcap(false, 2)].concat();
            let (seen, facts) = read(&joined).unwrap();
            let whole = (len - 24) / 76;
            assert_eq!((seen.len(), facts.further_captures), (whole + 6, 2), "{len}: {facts:?}");
            assert_eq!(facts.damage_count > 0, (len - 24) % 76 > 0, "{len}: {facts:?}");
            assert!(facts.adds_up(), "{len}: {facts:?}");
            let (_, facts) = read_in_pieces(&joined, 100).unwrap();
            assert!(facts.adds_up(), "{len}: {facts:?}");
        }
    }

    #[test]
    fn a_pcap_file_after_a_truncated_pcapng_file_is_read() {
        let pcapng = include_bytes!("../../captures/pcapng-sections/capture.pcapng");
        let (all, _) = read(pcapng).unwrap();
        for cut in [1, 5, 30, 99] {
            let joined = [&pcapng[..pcapng.len() - cut], &pcap(false, 4)].concat();
            let (seen, facts) = read(&joined).unwrap();
            assert!((all.len()..all.len() + 4).contains(&seen.len()), "{cut}: {facts:?}");
            assert_eq!((facts.further_captures, facts.damage_count), (1, 1), "{cut}: {facts:?}");
            assert!(facts.adds_up(), "{cut}: {facts:?}");
        }
    }

    #[test]
    fn what_follows_a_compressed_stream_is_read_if_it_is_a_capture() {
        let joined = [gzip(&pcap(false, 3)), pcap(false, 2), gzip(TRACE)].concat();
        let (seen, facts) = read(&joined).unwrap();
        assert_eq!((seen.len(), facts.further_captures), (5 + frames(TRACE).len(), 2), "{facts:?}");
        assert!(facts.adds_up(), "{facts:?}");
        let (seen, facts) = read(&[gzip(&pcap(false, 3)), b"something else".to_vec()].concat()).unwrap();
        assert_eq!((seen.len(), facts.further_captures), (3, 0));
        assert!(facts.notes.iter().any(|note| note.contains("bytes after the compressed stream")));
    }

    /// A magic number in a record, or in place of one, is not a capture.
    #[test]
    fn only_whole_headers_at_a_record_begin_a_capture() {
        let mut capture = CaptureBuilder::pcap(false, 0xa1b2_c3d4, 1);
        for header in [&pcap(false, 0)[..], &snoop(), &TRACE[..200], &NETMON[..140], &gzip(b"x")] {
            capture.record(SECS, 0, header);
        }
        // Times far apart, among them those that magic numbers would be.
        for secs in [5, 65_536, 0x0008_8b1f, u32::from_le_bytes(*b"GMBU"), u32::from_le_bytes(*b"snoo"), SECS]
        {
            capture.record(secs, 7, &[0; 60]);
        }
        let (seen, facts) = read(&capture.bytes).unwrap();
        assert_eq!((seen.len(), facts.further_captures, facts.damage_count), (11, 0, 0), "{facts:?}");
    }
}
