//! Writes pcapng blocks, little-endian.
//!
//! In:  interfaces, frames, counters.
//! Out: bytes of blocks, appended to a buffer.
//! Not: files.

use crate::base::Time;
use crate::capture::Frame;
use crate::capture::Interface;
use crate::capture::pcapng_blocks::ENHANCED_PACKET;
use crate::capture::pcapng_blocks::INTERFACE_DESCRIPTION;
use crate::capture::pcapng_blocks::INTERFACE_STATISTICS;
use crate::capture::pcapng_write::IF_NAME;
use crate::capture::pcapng_write::IF_TSRESOL;
use crate::capture::pcapng_write::NANOSECONDS;
use crate::capture::pcapng_write::pad;
use crate::capture::pcapng_write::push_block;
use crate::capture::pcapng_write::push_end_of_options;
use crate::capture::pcapng_write::push_option;
use crate::capture::pcapng_write::push_own_name;
use crate::capture::pcapng_write::push_section;

/// An option of an interface: the capture filter (draft-ietf-opsawg-pcapng §4.2).
const IF_FILTER: u16 = 11;

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
    push_section(&mut out, push_own_name);
    for interface in interfaces {
        push_block(&mut out, INTERFACE_DESCRIPTION, |out| {
            out.extend(interface.link.0.to_le_bytes());
            out.extend([0, 0]);
            out.extend(interface.snap_len.to_le_bytes());
            if let Some(name) = &interface.name {
                push_option(out, IF_NAME, name.as_str().as_bytes());
            }
            push_option(out, IF_TSRESOL, &[NANOSECONDS]);
            for (_, filter) in interface.metadata.iter().filter(|(key, _)| *key == "filter") {
                // 0: an expression as text.
                push_option(out, IF_FILTER, &[b"\0", filter.as_str().as_bytes()].concat());
            }
            push_end_of_options(out);
        });
    }
    out
}

/// Appends an interface statistics block. To readers of the file, frames that were not saved are dropped by the system.
// draft-ietf-opsawg-pcapng §4.6
pub(super) fn push_statistics(out: &mut Vec<u8>, interface: u32, span: [Time; 2], counts: InterfaceCounts) {
    // The upper half of a timestamp comes first in either byte order.
    let timestamp = |time: Time| [(time.0 as u64 >> 32) as u32, time.0 as u32].map(u32::to_le_bytes).concat();
    let [start, end] = span.map(timestamp);
    let InterfaceCounts { received, interface_drops, later_drops, unsaved, saved } = counts;
    push_block(out, INTERFACE_STATISTICS, |out| {
        out.extend(interface.to_le_bytes());
        out.extend(&end);
        push_option(out, 2, &start);
        push_option(out, 3, &end);
        for (code, count) in [(4, received), (5, interface_drops), (7, later_drops + unsaved), (8, saved)] {
            push_option(out, code, &count.to_le_bytes());
        }
        push_end_of_options(out);
    });
}

/// Appends an enhanced packet block.
// draft-ietf-opsawg-pcapng §4.3
pub(super) fn push_frame(out: &mut Vec<u8>, frame: &Frame<'_>, interface: u16) {
    let (captured, time) = (frame.bytes.len() as u32, frame.time.0 as u64);
    push_block(out, ENHANCED_PACKET, |out| {
        for word in [u32::from(interface), (time >> 32) as u32, time as u32, captured, frame.wire_len] {
            out.extend(word.to_le_bytes());
        }
        out.extend(frame.bytes);
        pad(out);
    });
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
