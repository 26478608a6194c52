//! HTTP, proxies and all that is told by its first bytes.
#![no_main]

mod conversation;

libfuzzer_sys::fuzz_target!(|turns: &[u8]| {
    conversation::play(6, 8080, turns);
    conversation::play(6, 25, turns);
    conversation::play(17, 40000, turns);
});
