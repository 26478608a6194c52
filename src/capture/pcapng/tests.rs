//! Tests of the pcapng reader.

use crate::capture::InputFacts;
use crate::capture::test_support::CaptureBuilder;
use crate::capture::test_support::ReadFrame;
use crate::capture::test_support::read;
use crate::capture::test_support::read_in_pieces;

/// Reads a file and compares its frames (time, link type, bytes) and the messages of its damage.
fn check(bytes: &[u8], frames: &[(i64, u16, &[u8])], damage: &[&str]) -> (Vec<ReadFrame>, InputFacts) {
    let (seen, facts) = read(bytes).unwrap();
    let seen_frames: Vec<(i64, u16, &[u8])> =
        seen.iter().map(|frame| (frame.1, frame.2, &*frame.4)).collect();
    assert_eq!(seen_frames, frames);
    let messages: Vec<&str> = facts.damage.iter().map(|damage| &*damage.message).collect();
    assert_eq!(messages, damage);
    let (in_pieces, _) = read_in_pieces(bytes, 5).unwrap();
    assert_eq!(in_pieces, seen, "the same frames however the bytes arrive");
    (seen, facts)
}

#[test]
fn each_section_has_its_own_interfaces_and_byte_order() {
    let mut capture = CaptureBuilder::pcapng(false);
    capture.interface(1, |_| {}).interface(113, |_| {});
    capture.packet(1, 5, b"abc").packet(0, 6, b"defg");
    capture.section(true).interface(276, |_| {}).packet(0, 7, b"h");
    capture.section(false).interface(101, |_| {}).packet(0, 8, b"ij");
    let frames: [(i64, u16, &[u8]); 4] =
        [(5000, 113, b"abc"), (6000, 1, b"defg"), (7000, 276, b"h"), (8000, 101, b"ij")];
    let (_, facts) = check(&capture.bytes, &frames, &[]);
    let links: Vec<u16> = facts.interfaces.iter().map(|interface| interface.link.0).collect();
    assert_eq!(links, [1, 113, 276, 101]);
}

#[test]
fn timestamp_resolutions_and_offsets() {
    let time = |resolution: Option<u8>, offset: Option<i64>, stamp: u64, expected: i64, clamped: u64| {
        let mut capture = CaptureBuilder::pcapng(true);
        capture.interface(1, |block| {
            resolution.map(|value| block.option(9, &[value]));
            offset.map(|value| block.option(14, &value.to_be_bytes()));
        });
        capture.packet(0, stamp, b"a");
        let (_, facts) = check(&capture.bytes, &[(expected, 1, b"a")], &[]);
        assert_eq!(facts.clamped_times, clamped);
    };
    time(None, None, 1_500_000_000_123_456, 1_500_000_000_123_456_000, 0);
    time(Some(9), None, 1_500_000_000_123_456_789, 1_500_000_000_123_456_789, 0);
    time(Some(12), None, 1_999, 1, 0);
    time(Some(3), None, 7, 7_000_000, 0);
    time(Some(0), None, 7, 7_000_000_000, 0);
    time(Some(0x80 | 20), None, 3 << 19, 1_500_000_000, 0);
    time(Some(0x80 | 127), None, u64::MAX, 0, 0);
    time(Some(127), None, u64::MAX, 0, 0);
    time(Some(9), Some(-2), 1, -1_999_999_999, 0);
    time(Some(0), None, u64::MAX, i64::MAX, 1);
    time(Some(9), Some(i64::MIN), 0, i64::MIN, 1);
}

#[test]
fn every_kind_of_packet_block() {
    let mut capture = CaptureBuilder::pcapng(false);
    capture.interface(1, |_| {}).packet(0, 9, b"a");
    capture.block(2, |block| {
        block.u16(0).u16(3).u32(0).u32(10).u32(2).u32(60).raw(b"bc");
    });
    capture.block(3, |block| {
        block.u32(5).raw(b"defgh");
    });
    let (seen, facts) =
        check(&capture.bytes, &[(9000, 1, b"a"), (10_000, 1, b"bc"), (10_000, 1, b"defgh")], &[]);
    assert_eq!((facts.reported_drops, facts.frames_without_time, seen[1].3), (3, 1, 60));
}

#[test]
fn metadata_and_statistics_are_kept() {
    let mut capture = CaptureBuilder { big_endian: false, bytes: Vec::new() };
    capture.block(0x0a0d_0d0a, |block| {
        block
            .u32(0x1a2b_3c4d)
            .u16(1)
            .u16(0)
            .raw(&[0xff; 8])
            .option(2, b"x86")
            .option(4, b"dumpcap\x1b")
            .option(0, b"");
    });
    capture.interface(1, |block| {
        block.option(2, b"eth0").option(11, b"\0tcp").option(12, b"Linux");
    });
    capture.block(5, |block| {
        block.u32(0).u32(0).u32(0).option(4, &90_u64.to_le_bytes()).option(5, &7_u64.to_le_bytes());
    });
    capture.block(6, |block| {
        block.u32(0).u32(0).u32(0).u32(1).u32(1).raw(b"a\0\0\0").option(4, &2_u64.to_le_bytes());
    });
    capture.block(0x7777, |_| {}).block(0xbad, |block| {
        block.u32(1);
    });
    capture.packet(0, 1, b"b");
    let (seen, facts) = check(&capture.bytes, &[(0, 1, b"a"), (1000, 1, b"b")], &[]);
    let metadata: Vec<(&str, &str)> =
        facts.metadata.iter().map(|(key, text)| (*key, text.as_str())).collect();
    assert_eq!(metadata, [("hardware", "x86"), ("application", "dumpcap\\x1b")]);
    let interface = &facts.interfaces[0];
    assert_eq!((interface.received, interface.dropped), (Some(90), Some(7)));
    assert_eq!(interface.name.as_ref().unwrap().as_str(), "eth0");
    assert_eq!((facts.reported_drops, facts.skipped_blocks, facts.numbered_blocks), (2, 2, 1));
    assert_eq!(seen[1].0, 3, "Wireshark numbers the custom block");
}

#[test]
fn metadata_is_kept_whole_up_to_a_limit() {
    let mut capture = CaptureBuilder::pcapng(false);
    let long = vec![b'x'; 60_000];
    for _ in 0..20 {
        capture.interface(1, |block| {
            block.option(1, &long);
        });
    }
    let (_, facts) = read(&capture.bytes).unwrap();
    let lens: Vec<usize> =
        facts.interfaces.iter().flat_map(|one| &one.metadata).map(|(_, text)| text.len()).collect();
    assert_eq!(lens, [60_000; 17]);
    assert_eq!(facts.notes, ["more than 1048576 bytes of metadata: the rest is left out"]);
}

#[test]
fn frame_checksums_are_removed() {
    let mut capture = CaptureBuilder::pcapng(false);
    capture.interface(1, |block| {
        block.option(13, &[32]);
    });
    capture.packet(0, 1, b"abcdefgh");
    let (seen, _) = check(&capture.bytes, &[(1000, 1, b"abcd")], &[]);
    assert_eq!(seen[0].3, 4);
}

#[test]
fn damage_in_one_block_does_not_affect_the_next() {
    let mut capture = CaptureBuilder::pcapng(false);
    capture.interface(1, |_| {}).packet(0, 1, b"a").packet(9, 2, b"b");
    capture.block(6, |block| {
        block.u32(0).u32(0).u32(3).u32(4000).u32(4000).raw(b"c");
    });
    capture.packet(0, 4, b"d");
    let damage =
        ["packet of an undescribed interface after frame 1", "packet longer than its block after frame 1"];
    let (seen, _) = check(&capture.bytes, &[(1000, 1, b"a"), (4000, 1, b"d")], &damage);
    assert_eq!(seen[1].0, 2);
}

#[test]
fn reading_continues_after_damage() {
    let mut capture = CaptureBuilder::pcapng(false);
    capture.interface(1, |_| {}).packet(0, 1, b"a");
    let broken = capture.bytes.len();
    capture.packet(0, 2, b"b").packet(0, 3, b"c");
    let expected: [(i64, u16, &[u8]); 2] = [(1000, 1, b"a"), (3000, 1, b"c")];
    for (length, why) in [
        (7_u32, "invalid block length after frame 1, 36 bytes skipped"),
        (u32::MAX - 3, "invalid block length after frame 1, 36 bytes skipped"),
        (48, "block with two different lengths after frame 1, 36 bytes skipped"),
        (2 << 20, "block longer than the file after frame 1, 36 bytes skipped"),
    ] {
        let mut bytes = capture.bytes.clone();
        bytes[broken + 4..broken + 8].copy_from_slice(&length.to_le_bytes());
        check(&bytes, &expected, &[why]);
    }
    let mut bytes = capture.bytes.clone();
    bytes[broken + 32] = 99;
    let all: [(i64, u16, &[u8]); 3] = [(1000, 1, b"a"), (2000, 1, b"b"), (3000, 1, b"c")];
    check(&bytes, &all, &["block with a wrong trailing length"]);
    let mut bytes = capture.bytes.clone();
    bytes.splice(broken..broken, [0xee; 13]);
    check(&bytes, &all, &["invalid block length after frame 1, 13 bytes skipped"]);
}

#[test]
fn a_truncated_file_keeps_its_complete_frames() {
    let mut capture = CaptureBuilder::pcapng(true);
    capture.interface(1, |_| {}).packet(0, 1, b"abcd");
    let first = capture.bytes.len();
    capture.packet(0, 2, b"efgh");
    for len in 28..capture.bytes.len() {
        let (seen, facts) = read(&capture.bytes[..len]).unwrap();
        assert_eq!(seen.len(), usize::from(len >= first), "{len}");
        assert_eq!(facts.damage_count, u64::from(![28, 48, first].contains(&len)), "{len}");
    }
}
