//! Fuzzes QUIC packets.
#![no_main]

mod conversation;

libfuzzer_sys::fuzz_target!(|segments: &[u8]| {
    conversation::play(17, 443, segments);
});
