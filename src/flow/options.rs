//! Reads TCP options.
//!
//! In:  the option bytes of a segment.
//! Out: what one option contains.
//! Not: the options of the handshake, such as window scale.

use super::sequence::ahead;

/// Selective acknowledgement (RFC 2018 §3).
pub(super) const SACK: u8 = 5;
/// Timestamps (RFC 7323 §3.2).
pub(super) const TIMESTAMPS: u8 = 8;

/// The content of the option `wanted`.
pub(super) fn option(options: &[u8], wanted: u8) -> Option<&[u8]> {
    let mut rest = options;
    loop {
        rest = match rest {
            // RFC 9293 §3.1: 0 ends the list, 1 is padding of one byte; all others have a length.
            [1, tail @ ..] => tail,
            [kind, len, ..] if *kind > 1 && *len >= 2 => {
                let (own, tail) = rest.split_at_checked(usize::from(*len)).unwrap_or((rest, &[]));
                if *kind == wanted {
                    return own.get(2..);
                }
                tail
            }
            _ => return None,
        }
    }
}

/// Bytes in the longest block of a SACK option. A block is its first number and the one after its last (RFC 2018 §3).
pub(super) fn longest_sack_block(blocks: &[u8]) -> u32 {
    let (blocks, _) = blocks.as_chunks::<8>();
    let number = |bytes: &[u8]| bytes.iter().fold(0u32, |number, byte| number << 8 | u32::from(*byte));
    let len = |block: &[u8; 8]| {
        let (begin, end) = block.split_at(4);
        ahead(number(end), number(begin)).max(0).unsigned_abs()
    };
    blocks.iter().map(len).max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(options: &[u8], wanted: u8, expected: Option<&[u8]>) {
        assert_eq!(option(options, wanted), expected, "{options:?}");
    }

    #[test]
    fn finds_an_option_after_padding() {
        let options = [1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8, 5, 2];
        check(&options, TIMESTAMPS, Some(&[1, 2, 3, 4, 5, 6, 7, 8]));
        check(&options, SACK, Some(&[]));
        check(&options, 3, None);
    }

    #[test]
    fn a_broken_list_ends_where_it_breaks() {
        // End of options, a length below 2, no length, a length beyond the end.
        check(&[0, 5, 2], SACK, None);
        check(&[3, 0, 5, 2], SACK, None);
        check(&[3, 1, 5, 2], SACK, None);
        check(&[5], SACK, None);
        check(&[3, 9, 5, 2], SACK, None);
        check(&[5, 9, 7], SACK, Some(&[7]));
        check(&[], SACK, None);
    }

    #[test]
    fn the_longest_block_may_wrap() {
        let blocks = |blocks: &[(u32, u32)]| -> Vec<u8> {
            blocks.iter().flat_map(|(begin, end)| [begin.to_be_bytes(), end.to_be_bytes()].concat()).collect()
        };
        assert_eq!(longest_sack_block(&blocks(&[(100, 150), (u32::MAX - 49, 50)])), 100);
        // A block that ends before it begins, and half a block.
        assert_eq!(longest_sack_block(&blocks(&[(150, 100)])), 0);
        assert_eq!(longest_sack_block(&blocks(&[(1, 2)])[..7]), 0);
    }
}
