//! Fuzzes capture files: no panic, and every byte is accounted for.
#![no_main]

use afs_audit::capture::Capture;
use afs_audit::capture::Chunk;
use afs_audit::capture::InputHash;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(mut capture) = Capture::from_reader("fuzz", Box::new(std::io::Cursor::new(bytes.to_vec())), InputHash::None)
    else {
        return;
    };
    let mut chunk = Chunk::default();
    let mut frames = 0;
    while capture.next(&mut chunk) {
        for (header, frame) in chunk.frames.iter().zip(chunk.frames()) {
            assert_eq!(frame.bytes.len(), header.captured_len as usize);
            frames += 1;
        }
    }
    for facts in capture.finish() {
        assert!(facts.adds_up(), "{facts:?}");
        assert_eq!(facts.frames, frames);
    }
});
