//! Fuzzes DNS messages over UDP and TCP.
#![no_main]

mod conversation;

libfuzzer_sys::fuzz_target!(|segments: &[u8]| {
    conversation::play(17, 53, segments);
    conversation::play(6, 53, segments);
});
