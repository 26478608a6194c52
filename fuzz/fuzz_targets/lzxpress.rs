//! Fuzzes LZXPRESS alone: a log with one compressed buffer. No panic, bounded, and every byte is accounted for.
#![no_main]

mod capture_reading;

use capture_reading::read_capture;
use libfuzzer_sys::fuzz_target;

/// A log, of which the first buffer is used: the log's own header.
const TRACE: &[u8] = include_bytes!("../../captures/dropped-by-host/capture.etl");

/// A buffer header is so long.
const HEADER_LEN: usize = 72;
/// The records become no longer than this.
const RECORDS_LEN: u32 = 1 << 20;
const COMPRESSED: u16 = 0x40;

fuzz_target!(|bytes: &[u8]| {
    let len = u32::from_le_bytes([TRACE[0], TRACE[1], TRACE[2], TRACE[3]]) as usize;
    let mut header = [0; HEADER_LEN];
    header[..4].copy_from_slice(&((HEADER_LEN + bytes.len()) as u32).to_le_bytes());
    header[48..52].copy_from_slice(&RECORDS_LEN.to_le_bytes());
    header[52..54].copy_from_slice(&COMPRESSED.to_le_bytes());
    read_capture([&TRACE[..len], &header, bytes].concat());
});
