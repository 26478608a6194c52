//! Reads the statistics at the end of a pcapng file before the file itself is read.
//!
//! In:  a file.
//! Out: whether so many packets were dropped that a missing reply proves nothing.
//! Not: frames; streams and compressed files, whose statistics are known only at their end.
//!
//! Sensors write their counts after the last packet (draft-ietf-opsawg-pcapng §4.6), and rows are written long before that.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::io::Seek as _;
use std::io::SeekFrom;
use std::path::Path;

use super::facts::is_heavy_loss;
use super::frame_reader::four_at;
use super::frame_reader::u32_from;
use super::pcapng_blocks::BYTE_ORDER_MAGIC;
use super::pcapng_blocks::CUSTOM;
use super::pcapng_blocks::DECRYPTION_SECRETS;
use super::pcapng_blocks::INTERFACE_STATISTICS;
use super::pcapng_blocks::NAME_RESOLUTION;
use super::pcapng_blocks::SECTION_HEADER;
use super::pcapng_blocks::for_each_option;
use super::pcapng_blocks::u64_from;

/// Bytes read at the end of the file, and blocks read in them.
const TAIL_LEN: u64 = 64 << 10;
const BLOCK_LIMIT: usize = 256;

/// Whether the statistics at the end of `path` report heavy loss; false if there are none.
pub(super) fn has_heavy_loss(path: &Path) -> bool {
    read_tail(path).is_some_and(|(big_endian, tail)| {
        if big_endian { reports_heavy_loss::<true>(&tail) } else { reports_heavy_loss::<false>(&tail) }
    })
}

/// Whether a pcapng file is big-endian, and its last bytes.
fn read_tail(path: &Path) -> Option<(bool, Vec<u8>)> {
    let mut file = File::open(path).ok()?;
    let mut head = [0; 12];
    file.read_exact(&mut head).ok()?;
    let order = four_at(&head, 8)?;
    let big_endian = u32::from_be_bytes(order) == BYTE_ORDER_MAGIC;
    if four_at(&head, 0)? != SECTION_HEADER.to_be_bytes()
        || !(big_endian || u32::from_le_bytes(order) == BYTE_ORDER_MAGIC)
    {
        return None;
    }
    let len = file.seek(SeekFrom::End(0)).ok()?;
    file.seek(SeekFrom::Start(len.saturating_sub(TAIL_LEN))).ok()?;
    let mut tail = Vec::new();
    file.take(TAIL_LEN).read_to_end(&mut tail).ok()?;
    Some((big_endian, tail))
}

/// Reads blocks backwards, by their trailing lengths, as long as they are of types that follow the last packet.
fn reports_heavy_loss<const BIG: bool>(tail: &[u8]) -> bool {
    let number_at = |bytes: &[u8], at: usize| four_at(bytes, at).map(u32_from::<BIG>);
    // Packets received and dropped, by interface. The counts are totals: the last block of an interface counts.
    let mut interfaces: BTreeMap<u32, (u64, u64)> = BTreeMap::new();
    let mut rest = tail;
    for _ in 0..BLOCK_LIMIT {
        let Some(len) = rest.last_chunk::<4>().copied().map(u32_from::<BIG>) else { break };
        let Some(start) = usize::try_from(len).ok().and_then(|len| rest.len().checked_sub(len)) else {
            break;
        };
        let (before, block) = rest.split_at(start);
        let [Some(block_type), Some(leading_len)] = [0, 4].map(|at| number_at(block, at)) else { break };
        let may_follow_packets = [INTERFACE_STATISTICS, NAME_RESOLUTION, DECRYPTION_SECRETS]
            .contains(&block_type)
            || CUSTOM.contains(&block_type);
        if leading_len != len || len < 12 || !may_follow_packets {
            break;
        }
        if let (INTERFACE_STATISTICS, Some(interface)) = (block_type, number_at(block, 8)) {
            let (mut received, mut dropped) = (0, 0u64);
            let options = block.get(20..block.len() - 4).unwrap_or_default();
            for_each_option::<BIG>(options, |code, value| match code {
                4 => received = u64_from::<BIG>(value),
                5 | 7 => dropped = dropped.saturating_add(u64_from::<BIG>(value)),
                _ => {}
            });
            interfaces.entry(interface).or_insert((received, dropped));
        }
        rest = before;
    }
    let (received, dropped) = interfaces
        .values()
        .fold((0_u64, 0_u64), |sum, counts| (sum.0.saturating_add(counts.0), sum.1.saturating_add(counts.1)));
    is_heavy_loss(dropped, received)
}

#[cfg(test)]
mod tests {
    use super::super::test_support::CaptureBuilder;
    use super::*;

    fn check(counts: &[(u32, u64, u64)], expected: bool) {
        for big_endian in [false, true] {
            let mut capture = CaptureBuilder::pcapng(big_endian);
            capture.interface(1, |_| {}).packet(0, 1, b"a");
            for (interface, received, dropped) in counts {
                let option =
                    |number: u64| if big_endian { number.to_be_bytes() } else { number.to_le_bytes() };
                capture.block(5, |block| {
                    block.u32(*interface).u32(0).u32(0);
                    block.option(4, &option(*received)).option(7, &option(*dropped));
                });
            }
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("capture");
            std::fs::write(&path, &capture.bytes).unwrap();
            assert_eq!(has_heavy_loss(&path), expected, "{counts:?}");
        }
    }

    #[test]
    fn the_last_counts_of_an_interface_count() {
        check(&[], false);
        check(&[(0, 1_000, 0)], false);
        check(&[(0, 1_000, 10)], false);
        check(&[(0, 1_000, 11)], true);
        check(&[(0, 1_000, 11), (0, 10_000, 11)], false);
        check(&[(0, 1_000, 0), (1, 1_000, 900)], true);
        check(&[(0, 0, 1)], true);
    }

    proptest::proptest! {
        #[test]
        fn random_bytes_do_not_panic(bytes in proptest::collection::vec(0..8u8, 0..200)) {
            reports_heavy_loss::<false>(&bytes);
            reports_heavy_loss::<true>(&bytes);
        }
    }

    #[test]
    fn other_files_report_no_loss() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("capture");
        for bytes in [&b""[..], b"\x0a\x0d\x0d\x0a", &[0xff; 5_000]] {
            std::fs::write(&path, bytes).unwrap();
            assert!(!has_heavy_loss(&path));
        }
    }
}
