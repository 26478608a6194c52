//! What all pcapng blocks have in common.
//!
//! In:  bytes of a pcapng file.
//! Out: block types, plausible lengths, options.
//! Not: the fields of a block.

use super::frame_reader::InputBytes;
use super::frame_reader::four_at;
use super::frame_reader::u32_from;

// draft-ietf-opsawg-pcapng §4, §11.1: block types.
pub(super) const SECTION_HEADER: u32 = 0x0a0d_0d0a;
pub(super) const INTERFACE_DESCRIPTION: u32 = 1;
pub(super) const OBSOLETE_PACKET: u32 = 2;
pub(super) const SIMPLE_PACKET: u32 = 3;
pub(super) const NAME_RESOLUTION: u32 = 4;
pub(super) const INTERFACE_STATISTICS: u32 = 5;
pub(super) const ENHANCED_PACKET: u32 = 6;
const SYSTEMD_JOURNAL: u32 = 9;
pub(super) const DECRYPTION_SECRETS: u32 = 10;
pub(super) const CUSTOM: [u32; 2] = [0x0bad, 0x4000_0bad];

/// An option of packets for local use (§3.5.2: codes with the highest bit set): the host dropped the packet, for the reason whose
/// number is the value. Only packets out of event trace logs have it.
pub(super) const HOST_DROP_OPTION: u16 = 0x8001;

/// The same for the process that sent the packet: its number, and its name where the trace has it.
pub(super) const PROCESS_OPTION: u16 = 0x8002;

/// The same for the ends of a packet before or after the host translated it: source, its port, destination, its port; addresses
/// are IPv6, those of IPv4 are mapped (RFC 4291 §2.5.5.2).
pub(super) const TRANSLATED_OPTION: u16 = 0x8003;

/// Wireshark gives these a frame number: custom blocks, journal entries, Sysdig events.
pub(super) const NUMBERED: [u32; 6] = [0x0bad, 0x4000_0bad, SYSTEMD_JOURNAL, 0x204, 0x216, 0x221];

/// draft-ietf-opsawg-pcapng §4.1: the byte-order magic.
pub(super) const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;

/// The longest block that is recognized after damage.
const PLAUSIBLE_LEN: usize = 1 << 20;

/// What is at a position.
pub(super) enum BlockProbe {
    /// Too few bytes to recognize a block.
    TooShort,
    EndOfFile,
    NoBlock,
    /// A block of a known type, with a plausible length.
    Block(usize),
}

/// What is at `at`, by type and length.
pub(super) fn block_at<const BIG: bool>(bytes: &[u8], at: usize, at_end: bool) -> BlockProbe {
    let rest = bytes.get(at..).unwrap_or_default();
    if rest.is_empty() && at_end {
        return BlockProbe::EndOfFile;
    }
    let [Some(block_type), Some(len)] = [0, 4].map(|offset| four_at(rest, offset).map(u32_from::<BIG>))
    else {
        return if at_end { BlockProbe::NoBlock } else { BlockProbe::TooShort };
    };
    let is_known = matches!(
        block_type,
        SECTION_HEADER
            | INTERFACE_DESCRIPTION
            | OBSOLETE_PACKET
            | SIMPLE_PACKET
            | NAME_RESOLUTION
            | INTERFACE_STATISTICS
            | ENHANCED_PACKET
            | SYSTEMD_JOURNAL
            | DECRYPTION_SECRETS
    ) || CUSTOM.contains(&block_type);
    let len = len as usize;
    if is_known && (12..=PLAUSIBLE_LEN).contains(&len) && len.is_multiple_of(4) {
        BlockProbe::Block(len)
    } else {
        BlockProbe::NoBlock
    }
}

/// Whether a block of a known type starts at `at` and ends with the same length; `Err`: this many bytes are needed.
pub(super) fn is_valid_block_at(input: InputBytes<'_>, at: usize, big_endian: bool) -> Result<bool, usize> {
    let rest = input.bytes.get(at..).unwrap_or_default();
    // A section header has its own byte order.
    let big_endian = match four_at(rest, 0) {
        None => return if input.at_end { Ok(false) } else { Err(12) },
        Some(block_type) if u32::from_be_bytes(block_type) == SECTION_HEADER => {
            four_at(rest, 8).map(u32::from_be_bytes) == Some(BYTE_ORDER_MAGIC)
        }
        Some(_) => big_endian,
    };
    let probe = if big_endian {
        block_at::<true>(input.bytes, at, input.at_end)
    } else {
        block_at::<false>(input.bytes, at, input.at_end)
    };
    let len = match probe {
        BlockProbe::TooShort => return Err(12),
        BlockProbe::NoBlock | BlockProbe::EndOfFile => return Ok(false),
        BlockProbe::Block(len) => len,
    };
    match four_at(rest, len - 4) {
        Some(trailer) if big_endian => Ok(u32_from::<true>(trailer) as usize == len),
        Some(trailer) => Ok(u32_from::<false>(trailer) as usize == len),
        None if input.at_end => Ok(false),
        None => Err(len),
    }
}

/// Calls `each` with code and value of every option, up to the end or the first that is truncated.
// draft-ietf-opsawg-pcapng §3.5: code, length, value padded to 32 bits; code 0 ends the list.
pub(super) fn for_each_option<'a, const BIG: bool>(mut bytes: &'a [u8], mut each: impl FnMut(u16, &'a [u8])) {
    while let Some((&[c0, c1, l0, l1], rest)) = bytes.split_first_chunk::<4>() {
        let half = |bytes| if BIG { u16::from_be_bytes(bytes) } else { u16::from_le_bytes(bytes) };
        let (code, len) = (half([c0, c1]), usize::from(half([l0, l1])));
        let Some(value) = rest.get(..len) else { return };
        if code == 0 {
            return;
        }
        each(code, value);
        bytes = rest.get(len.next_multiple_of(4)..).unwrap_or_default();
    }
}

/// The number in the first eight bytes of an option's value; 0 if it is shorter.
pub(super) fn u64_from<const BIG: bool>(value: &[u8]) -> u64 {
    let Some(value) = value.first_chunk::<8>().copied() else { return 0 };
    if BIG { u64::from_be_bytes(value) } else { u64::from_le_bytes(value) }
}
