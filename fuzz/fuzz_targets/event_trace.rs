//! Fuzzes event trace logs: buffers, records and packet events, plain and compressed. No panic, and every byte is accounted for.
#![no_main]

mod capture_reading;

use capture_reading::read_capture;
use libfuzzer_sys::fuzz_target;

/// A log, of which the first buffer is used: the log's own header.
const TRACE: &[u8] = include_bytes!("../../captures/dropped-by-host/capture.etl");

/// A buffer header is so long.
const HEADER_LEN: usize = 72;

fuzz_target!(|bytes: &[u8]| {
    let len = u32::from_le_bytes([TRACE[0], TRACE[1], TRACE[2], TRACE[3]]) as usize;
    let first = &TRACE[..len];
    // The container: headers of buffers as the fuzzer writes them.
    read_capture([first, bytes].concat());
    // LZXPRESS, and the records that come out of it.
    read_capture([first, &buffer(bytes, 0x40), bytes].concat());
    // Records that are not compressed.
    read_capture([first, &buffer(bytes, 0), bytes].concat());
});

/// The header of a buffer whose records, compressed where a flag says so, are `bytes`.
fn buffer(bytes: &[u8], flags: u16) -> [u8; HEADER_LEN] {
    let mut header = [0; HEADER_LEN];
    let size = (HEADER_LEN + bytes.len()) as u32;
    let filled = if flags == 0 { size } else { 1 << 16 };
    header[..4].copy_from_slice(&size.to_le_bytes());
    header[48..52].copy_from_slice(&filled.to_le_bytes());
    header[52..54].copy_from_slice(&flags.to_le_bytes());
    header
}
