//! The parts of pcapng blocks that every writer needs, little-endian.
//!
//! In:  block types, bodies, options.
//! Out: bytes of blocks, appended to a buffer whose length is a multiple of 4.
//! Not: which blocks a file has.
//!
//! draft-ietf-opsawg-pcapng §3.1 (blocks), §3.5 (options), §4 (block types).

use super::pcapng_blocks::BYTE_ORDER_MAGIC;
use super::pcapng_blocks::SECTION_HEADER;

/// Options and their values (§3.5, §4.1, §4.2).
pub(super) const COMMENT: u16 = 1;
pub(super) const SHB_USERAPPL: u16 = 4;
pub(super) const IF_NAME: u16 = 2;
pub(super) const IF_TSRESOL: u16 = 9;
/// 10^-9 s as a value of [`IF_TSRESOL`].
pub(super) const NANOSECONDS: u8 = 9;

/// Appends a block.
pub(super) fn push_block(out: &mut Vec<u8>, block_type: u32, body: impl FnOnce(&mut Vec<u8>)) {
    let begin = out.len();
    out.extend(block_type.to_le_bytes());
    out.extend([0; 4]);
    body(out);
    let len = (out.len() - begin + 4) as u32;
    out.extend(len.to_le_bytes());
    if let Some(field) = out.get_mut(begin + 4..begin + 8) {
        field.copy_from_slice(&len.to_le_bytes());
    }
}

/// Appends a section header, with `options` after its fields.
pub(super) fn push_section(out: &mut Vec<u8>, options: impl FnOnce(&mut Vec<u8>)) {
    push_block(out, SECTION_HEADER, |out| {
        out.extend(BYTE_ORDER_MAGIC.to_le_bytes());
        // Version 1.0, and a section whose length is not known.
        out.extend([1, 0, 0, 0]);
        out.extend(u64::MAX.to_le_bytes());
        options(out);
    });
}

/// Appends the name and version of this program, and the end of the options.
pub(super) fn push_own_name(out: &mut Vec<u8>) {
    push_option(out, SHB_USERAPPL, concat!("afs-audit ", env!("CARGO_PKG_VERSION")).as_bytes());
    push_end_of_options(out);
}

/// Appends an option; its value is cut to what the length field can hold.
pub(super) fn push_option(out: &mut Vec<u8>, code: u16, value: &[u8]) {
    let value = value.get(..usize::from(u16::MAX)).unwrap_or(value);
    out.extend(code.to_le_bytes());
    out.extend((value.len() as u16).to_le_bytes());
    out.extend(value);
    pad(out);
}

/// Appends the end of the options.
pub(super) fn push_end_of_options(out: &mut Vec<u8>) {
    push_option(out, 0, &[]);
}

/// Pads to a multiple of 4.
pub(super) fn pad(out: &mut Vec<u8>) {
    out.resize(out.len().next_multiple_of(4), 0);
}
