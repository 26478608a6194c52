//! DNS messages, over UDP and TCP.
#![no_main]

mod conversation;

libfuzzer_sys::fuzz_target!(|turns: &[u8]| {
    conversation::play(17, 53, turns);
    conversation::play(6, 53, turns);
});
