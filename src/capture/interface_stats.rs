//! Looks at the end of a pcapng file before it is read.
//!
//! In:  a file.
//! Out: whether its sensor says that it lost a share of the packets that makes silence worthless.
//! Not: the frames. What a stream or a compressed file says there is known only when it was read.
//!
//! Sensors write their counts behind the last packet (draft-ietf-opsawg-pcapng §4.6), and rows are told long before that.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::io::Seek as _;
use std::io::SeekFrom;
use std::path::Path;

use super::facts::is_much;
use super::format::four;
use super::format::word;
use super::pcapng::long;
use super::pcapng::options_of;

/// So many bytes at the end are looked at, and so many blocks in them.
const TAIL: u64 = 64 << 10;
const BLOCKS: usize = 256;

const SECTION: [u8; 4] = [0x0a, 0x0d, 0x0d, 0x0a];
const STATISTICS: u32 = 5;
/// Blocks that may stand behind or between the counts: names, secrets, custom ones.
const PASSED: [u32; 4] = [4, 10, 0xbad, 0x4000_0bad];

/// Whether the counts at the end of `path` say that much was lost; false where there are none.
pub(super) fn says_much_was_lost(path: &Path) -> bool {
    read(path).is_some_and(|(big, tail)| if big { much::<true>(&tail) } else { much::<false>(&tail) })
}

/// The byte order of a pcapng file, and its end.
fn read(path: &Path) -> Option<(bool, Vec<u8>)> {
    let mut file = File::open(path).ok()?;
    let mut head = [0; 12];
    file.read_exact(&mut head).ok()?;
    let big = match (four(&head, 0)?, four(&head, 8)?) {
        (SECTION, [0x1a, 0x2b, 0x3c, 0x4d]) => true,
        (SECTION, [0x4d, 0x3c, 0x2b, 0x1a]) => false,
        _ => return None,
    };
    let len = file.seek(SeekFrom::End(0)).ok()?;
    file.seek(SeekFrom::Start(len.saturating_sub(TAIL))).ok()?;
    let mut tail = Vec::new();
    file.take(TAIL).read_to_end(&mut tail).ok()?;
    Some((big, tail))
}

fn much<const BIG: bool>(tail: &[u8]) -> bool {
    let number = |bytes: &[u8], at: usize| four(bytes, at).map(word::<BIG>);
    // By interface: received and lost, by the count that stands last.
    let mut interfaces: BTreeMap<u32, (u64, u64)> = BTreeMap::new();
    let mut rest = tail;
    for _ in 0..BLOCKS {
        let Some(len) = rest.last_chunk::<4>().copied().map(word::<BIG>) else { break };
        let Some(start) = usize::try_from(len).ok().and_then(|len| rest.len().checked_sub(len)) else {
            break;
        };
        let (before, block) = rest.split_at(start);
        let [Some(kind), Some(again)] = [0, 4].map(|at| number(block, at)) else { break };
        if again != len || len < 12 || !(kind == STATISTICS || PASSED.contains(&kind)) {
            break;
        }
        if let (STATISTICS, Some(place)) = (kind, number(block, 8)) {
            let (mut received, mut lost) = (0, 0u64);
            options_of::<BIG>(block.get(20..block.len() - 4).unwrap_or_default(), |code, value| match code {
                4 => received = long::<BIG>(value),
                5 | 7 => lost = lost.saturating_add(long::<BIG>(value)),
                _ => {}
            });
            interfaces.entry(place).or_insert((received, lost));
        }
        rest = before;
    }
    let sum = |all: u64, one: u64| all.saturating_add(one);
    let received = interfaces.values().map(|(received, _)| *received).fold(0, sum);
    is_much(interfaces.values().map(|(_, lost)| *lost).fold(0, sum), received)
}

#[cfg(test)]
mod tests {
    use super::super::test_support::Craft;
    use super::*;

    fn check(counts: &[(u32, u64, u64)], expected: bool) {
        for big in [false, true] {
            let mut craft = Craft::pcapng(big);
            craft.interface(1, |_| {}).packet(0, 1, b"a");
            for (interface, received, lost) in counts {
                let option = |number: u64| if big { number.to_be_bytes() } else { number.to_le_bytes() };
                craft.block(5, |block| {
                    block.u32(*interface).u32(0).u32(0);
                    block.option(4, &option(*received)).option(7, &option(*lost));
                });
            }
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("capture");
            std::fs::write(&path, &craft.bytes).unwrap();
            assert_eq!(says_much_was_lost(&path), expected, "{counts:?}");
        }
    }

    #[test]
    fn the_last_counts_stand() {
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
        fn any_end_is_survived(bytes in proptest::collection::vec(0..8u8, 0..200)) {
            much::<false>(&bytes);
            much::<true>(&bytes);
        }
    }

    #[test]
    fn what_is_no_pcapng_says_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("capture");
        for bytes in [&b""[..], b"\x0a\x0d\x0d\x0a", &[0xff; 5_000]] {
            std::fs::write(&path, bytes).unwrap();
            assert!(!says_much_was_lost(&path));
        }
    }
}
