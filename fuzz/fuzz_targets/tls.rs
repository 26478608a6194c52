//! Fuzzes TLS and DTLS records and handshakes.
#![no_main]

mod conversation;

libfuzzer_sys::fuzz_target!(|segments: &[u8]| {
    conversation::play(6, 443, segments);
    conversation::play(17, 4433, segments);
});
