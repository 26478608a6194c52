//! Fuzzes the decoder with any link type: no panic, no endless loop, one result per frame, counts that add up.
//!
//! The input is a link type, then frames, each after its two-byte length, so that fragments can be reassembled.

#![no_main]

use afs_audit::base::FileId;
use afs_audit::base::FrameRef;
use afs_audit::base::Time;
use afs_audit::capture::Frame;
use afs_audit::capture::LinkType;
use afs_audit::decode::Decoded;
use afs_audit::decode::Decoder;
use afs_audit::decode::FragmentLimits;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((link, mut rest)) = data.split_first_chunk::<2>() else {
        return;
    };
    let link = LinkType(u16::from_be_bytes(*link));
    let mut decoder = Decoder::new(FragmentLimits { fragment_bytes: 20_000, ..FragmentLimits::default() });
    let mut number = 0;
    while let Some((len, more)) = rest.split_first_chunk::<2>() {
        let len = usize::from(u16::from_be_bytes(*len));
        let (bytes, after) = more.split_at(len.min(more.len()));
        rest = after;
        number += 1;
        let frame = Frame {
            frame_ref: FrameRef { file: FileId(0), number },
            time: Time::from_parts(number as i64, 0),
            link,
            wire_len: len as u32,
            bytes,
        };
        if let Decoded::Packet(packet) = decoder.decode(&frame) {
            assert!(packet.payload.len() <= packet.payload_len as usize);
            let _ = (packet.encapsulation.vlans(), packet.encapsulation.tunnel());
        }
    }
    decoder.finish();
    let counts = decoder.counts();
    assert_eq!(counts.frames, number);
    assert!(counts.add_up(), "{counts:?}");
});
