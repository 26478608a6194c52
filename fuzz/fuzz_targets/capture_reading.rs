//! Reads fuzzed captures.
//!
//! In:  bytes of a capture file.
//! Out: nothing; the test is that it returns, and that every byte and every frame is accounted for.
//! Not: what the frames contain.

use afs_audit::capture::Capture;
use afs_audit::capture::Chunk;
use afs_audit::capture::InputHash;

/// Reads a capture to its end.
pub fn read_capture(bytes: Vec<u8>) {
    let bytes = Box::new(std::io::Cursor::new(bytes));
    let Ok(mut capture) = Capture::from_reader("fuzz", bytes, InputHash::None) else { return };
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
}
