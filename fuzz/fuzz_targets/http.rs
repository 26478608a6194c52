//! Fuzzes HTTP and the protocols that are identified by their first bytes.
#![no_main]

mod conversation;

libfuzzer_sys::fuzz_target!(|segments: &[u8]| {
    conversation::play(6, 8080, segments);
    conversation::play(6, 25, segments);
    conversation::play(17, 40000, segments);
});
