//! Recognizes a capture that begins where another one ends: files that were concatenated.
//!
//! In:  the bytes at the place of a record or block that is invalid.
//! Out: whether a file header is there.
//! Not: reading on; see `input_reader`.

use super::frame_reader::four_at;
use super::pcapng_blocks::BYTE_ORDER_MAGIC;
use super::pcapng_blocks::SECTION_HEADER;

/// Magic numbers of pcap (draft-ietf-opsawg-pcap §4), in the byte order of the writer.
pub(super) const PCAP_MICROSECONDS: u32 = 0xa1b2_c3d4;
pub(super) const PCAP_NANOSECONDS: u32 = 0xa1b2_3c4d;

/// Version 2.4 in the byte order of the writer.
const PCAP_VERSION: [u8; 4] = [0, 2, 0, 4];

/// Whether a capture starts with these bytes: the first twelve of a file header.
pub(super) fn starts_capture(bytes: &[u8]) -> bool {
    let [Some(magic), Some(version), Some(order)] = [0, 4, 8].map(|offset| four_at(bytes, offset)) else {
        return false;
    };
    let is_pcap = |magic: u32, version: [u8; 4]| {
        [PCAP_MICROSECONDS, PCAP_NANOSECONDS].contains(&magic) && version == PCAP_VERSION
    };
    let [a, b, c, d] = version;
    let has_order = [u32::from_be_bytes(order), u32::from_le_bytes(order)].contains(&BYTE_ORDER_MAGIC);
    is_pcap(u32::from_be_bytes(magic), version)
        || is_pcap(u32::from_le_bytes(magic), [b, a, d, c])
        || (u32::from_be_bytes(magic) == SECTION_HEADER && has_order)
}
