//! TLS and DTLS records and handshakes.
#![no_main]

mod conversation;

libfuzzer_sys::fuzz_target!(|turns: &[u8]| {
    conversation::play(6, 443, turns);
    conversation::play(17, 4433, turns);
});
