//! Fuzzes gzip, zstd, xz and LZ4 around a capture. No panic, bounded, and every byte that comes out is accounted for.
#![no_main]

mod capture_reading;

use capture_reading::read_capture;
use libfuzzer_sys::fuzz_target;

/// The first bytes of each format: its magic, and fields that a fuzzer would need long to find.
const HEADS: &[&[u8]] = &[
    // RFC 1952 §2.3: deflate, no flags.
    &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3],
    // RFC 8878 §3.1.1: a window, no checksum.
    &[0x28, 0xb5, 0x2f, 0xfd],
    // The .xz file format §2.1.1: CRC32.
    &[0xfd, b'7', b'z', b'X', b'Z', 0, 0, 1, 0x69, 0x22, 0xde, 0x36],
    // LZ4 frame format: independent blocks of up to 64 KiB, with its header checksum.
    &[0x04, 0x22, 0x4d, 0x18, 0x60, 0x40, 0x82],
];

fuzz_target!(|bytes: &[u8]| {
    read_capture(bytes.to_vec());
    for head in HEADS {
        read_capture([head, bytes].concat());
    }
});
