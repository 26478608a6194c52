//! Writes pcapng blocks, little-endian.
//!
//! In:  interfaces, frames, counters.
//! Out: bytes of blocks, appended to a buffer.
//! Not: files.

use crate::base::Time;
use crate::capture::Frame;
use crate::capture::Interface;

/// What an interface has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct InterfaceCounts {
    pub(super) received: u64,
    /// Dropped by the interface.
    pub(super) interface_drops: u64,
    /// Dropped after the interface: by the kernel and by this program.
    pub(super) later_drops: u64,
    pub(super) unsaved: u64,
    pub(super) saved: u64,
}

impl InterfaceCounts {
    /// What was counted since `before`.
    pub(super) fn since(self, before: InterfaceCounts) -> InterfaceCounts {
        InterfaceCounts {
            received: self.received.saturating_sub(before.received),
            interface_drops: self.interface_drops.saturating_sub(before.interface_drops),
            later_drops: self.later_drops.saturating_sub(before.later_drops),
            unsaved: self.unsaved.saturating_sub(before.unsaved),
            saved: self.saved.saturating_sub(before.saved),
        }
    }
}

/// A section header and the descriptions of the interfaces.
// draft-ietf-opsawg-pcapng §4.1, §4.2
pub(super) fn section(interfaces: &[Interface]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut body = Vec::new();
    body.extend(0x1a2b_3c4d_u32.to_le_bytes());
    body.extend([1, 0, 0, 0]);
    body.extend(u64::MAX.to_le_bytes());
    push_option(&mut body, 4, concat!("afs-audit ", env!("CARGO_PKG_VERSION")).as_bytes());
    push_option(&mut body, 0, &[]);
    push_block(&mut out, 0x0a0d_0d0a, &body);
    for interface in interfaces {
        let mut body = Vec::new();
        body.extend(interface.link.0.to_le_bytes());
        body.extend([0, 0]);
        body.extend(interface.snap_len.to_le_bytes());
        if let Some(name) = &interface.name {
            push_option(&mut body, 2, name.as_str().as_bytes());
        }
        push_option(&mut body, 9, &[9]);
        for (_, filter) in interface.metadata.iter().filter(|(key, _)| *key == "filter") {
            // 0: an expression as text.
            push_option(&mut body, 11, &[b"\0", filter.as_str().as_bytes()].concat());
        }
        push_option(&mut body, 0, &[]);
        push_block(&mut out, 1, &body);
    }
    out
}

fn push_option(out: &mut Vec<u8>, code: u16, value: &[u8]) {
    let value = value.get(..usize::from(u16::MAX)).unwrap_or(value);
    out.extend(code.to_le_bytes());
    out.extend((value.len() as u16).to_le_bytes());
    out.extend(value);
    out.resize(out.len().next_multiple_of(4), 0);
}

fn push_block(out: &mut Vec<u8>, block_type: u32, body: &[u8]) {
    let len = (body.len() + 12) as u32;
    out.extend(block_type.to_le_bytes());
    out.extend(len.to_le_bytes());
    out.extend(body);
    out.extend(len.to_le_bytes());
}

/// Appends an interface statistics block. To readers of the file, frames that were not saved are dropped by the system.
// draft-ietf-opsawg-pcapng §4.6
pub(super) fn push_statistics(out: &mut Vec<u8>, interface: u32, span: [Time; 2], counts: InterfaceCounts) {
    // The upper half of a timestamp comes first in either byte order.
    let timestamp = |time: Time| [(time.0 as u64 >> 32) as u32, time.0 as u32].map(u32::to_le_bytes).concat();
    let [start, end] = span.map(timestamp);
    let InterfaceCounts { received, interface_drops, later_drops, unsaved, saved } = counts;
    let mut body = interface.to_le_bytes().to_vec();
    body.extend(&end);
    push_option(&mut body, 2, &start);
    push_option(&mut body, 3, &end);
    for (code, count) in [(4, received), (5, interface_drops), (7, later_drops + unsaved), (8, saved)] {
        push_option(&mut body, code, &count.to_le_bytes());
    }
    push_option(&mut body, 0, &[]);
    push_block(out, 5, &body);
}

/// Appends an enhanced packet block.
// draft-ietf-opsawg-pcapng §4.3
pub(super) fn push_frame(out: &mut Vec<u8>, frame: &Frame<'_>, interface: u16) {
    let captured = frame.bytes.len();
    let padding = captured.next_multiple_of(4) - captured;
    let len = (32 + captured + padding) as u32;
    let time = frame.time.0 as u64;
    let words =
        [6, len, u32::from(interface), (time >> 32) as u32, time as u32, captured as u32, frame.wire_len];
    for word in words {
        out.extend(word.to_le_bytes());
    }
    out.extend(frame.bytes);
    out.extend([0_u8; 4].get(..padding).unwrap_or_default());
    out.extend(len.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::capture::Capture;
    use crate::capture::Chunk;
    use crate::capture::FrameHeader;
    use crate::capture::InputHash;
    use crate::capture::LinkType;

    #[test]
    fn written_frames_and_counts_are_read_again() {
        let interface = Interface::new(LinkType::ETHERNET, 262_144, "10^-9");
        let mut bytes = section(&[interface.clone(), Interface { link: LinkType(276), ..interface }]);
        let block: Vec<u8> = (0..100).collect();
        let header = |number, offset, captured_len, interface| FrameHeader {
            time: Time(1_700_000_000_123_456_789 + number as i64),
            number,
            offset,
            captured_len,
            wire_len: 1500,
            link: LinkType(if interface == 0 { 1 } else { 276 }),
            interface,
        };
        let frames = vec![header(1, 0, 61, 0), header(2, 61, 39, 1)];
        let chunk = Chunk { bytes: Arc::new(block), frames, ..Chunk::default() };
        for frame in &chunk.frames {
            push_frame(&mut bytes, &chunk.frame(frame), frame.interface);
        }
        let counts =
            InterfaceCounts { received: 1000, interface_drops: 3, later_drops: 4, unsaved: 5, saved: 990 };
        push_statistics(&mut bytes, 1, [Time(1 << 40), Time(1 << 41)], counts);
        let reader = Box::new(std::io::Cursor::new(bytes));
        let mut capture = Capture::from_reader("x", reader, InputHash::None).unwrap();
        let fields = |chunk: &Chunk| -> Vec<_> {
            chunk
                .frames()
                .map(|frame| (frame.time, frame.link, frame.wire_len, frame.bytes.to_vec()))
                .collect()
        };
        let mut next = Chunk::default();
        let mut seen = Vec::new();
        while capture.next(&mut next) {
            seen.extend(fields(&next));
        }
        assert_eq!(seen, fields(&chunk));
        let [facts] = capture.finish().try_into().unwrap();
        assert!(facts.damage_count == 0 && facts.adds_up());
        let [first, second] = facts.interfaces.as_slice() else { unreachable!() };
        assert_eq!((first.received, first.dropped), (None, None));
        let counted = (second.received, second.dropped, second.dropped_by_os);
        assert_eq!(counted, (Some(1000), Some(3), Some(9)));
    }
}
