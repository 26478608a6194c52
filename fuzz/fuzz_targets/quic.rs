//! QUIC packets.
#![no_main]

mod conversation;

libfuzzer_sys::fuzz_target!(|turns: &[u8]| {
    conversation::play(17, 443, turns);
});
