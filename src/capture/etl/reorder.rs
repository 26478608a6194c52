//! Puts the packets of several processors in the order of time.
//!
//! In:  packets, buffer by buffer as the file has them.
//! Out: packets by time, as far as the window reaches.
//! Not: anything of what a packet is.
//!
//! Each processor fills buffers of its own, and the file holds them in the order in which they were full. A buffer that
//! fills slowly is written late, so packets wait until the window holds more than [`BUFFERS`] later buffers or
//! [`BYTES`] bytes.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::VecDeque;

use super::packets::TracedPacket;

/// Buffers that the window holds: at least this many, and [`PER_PROCESSOR`] for each processor.
const BUFFERS: usize = 64;
const PER_PROCESSOR: usize = 4;
/// The most that it holds for many processors.
const BUFFERS_LIMIT: usize = 1024;

/// Bytes of packets that it holds.
const BYTES: usize = 64 << 20;

/// What a packet in the window costs besides its bytes.
const PACKET_COST: usize = size_of::<TracedPacket>() + 64;

/// A packet that waits; by time, and in the order of the file among equals.
#[derive(Debug)]
struct Waiting {
    key: Reverse<(u64, u64)>,
    packet: TracedPacket,
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Waiting) -> bool {
        self.key == other.key
    }
}

impl Eq for Waiting {}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Waiting) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Waiting {
    fn cmp(&self, other: &Waiting) -> std::cmp::Ordering {
        self.key.cmp(&other.key)
    }
}

/// Packets that wait for earlier ones.
#[derive(Debug, Default)]
pub(super) struct ReorderWindow {
    waiting: BinaryHeap<Waiting>,
    /// The latest time in each buffer, oldest buffer first.
    latest: VecDeque<u64>,
    pushed: u64,
    bytes: usize,
    /// Packets up to this time may leave.
    released: Option<u64>,
    /// Buffers that the window holds, once the number of processors is known.
    buffers: usize,
}

impl ReorderWindow {
    /// How many buffers wait, for so many processors.
    pub(super) fn set_processors(&mut self, processors: u32) {
        let wanted = (processors as usize).saturating_mul(PER_PROCESSOR);
        self.buffers = wanted.clamp(BUFFERS, BUFFERS_LIMIT);
    }

    /// Packets that wait.
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Takes a packet of the current buffer.
    pub(super) fn push(&mut self, packet: TracedPacket) {
        self.bytes += packet.bytes.len() + PACKET_COST;
        self.pushed += 1;
        self.waiting.push(Waiting { key: Reverse((packet.time, self.pushed)), packet });
    }

    /// The current buffer is done; `latest` is the time of its last packet.
    pub(super) fn end_buffer(&mut self, latest: Option<u64>) {
        self.latest.extend(latest);
        while self.latest.len() > self.buffers.max(BUFFERS) {
            let oldest = self.latest.pop_front();
            self.released = self.released.max(oldest);
        }
    }

    /// No more buffers come.
    pub(super) fn finish(&mut self) {
        self.released = Some(u64::MAX);
    }

    /// The next packet that may leave.
    pub(super) fn pop(&mut self) -> Option<TracedPacket> {
        let Reverse((time, _)) = self.waiting.peek()?.key;
        if self.released.is_none_or(|released| time > released) && self.bytes <= BYTES {
            return None;
        }
        let packet = self.waiting.pop()?.packet;
        self.bytes -= packet.bytes.len() + PACKET_COST;
        Some(packet)
    }
}

#[cfg(test)]
mod tests {
    use super::super::packets::LogPoint;
    use super::*;
    use crate::capture::LinkType;

    fn packet(time: u64, len: usize) -> TracedPacket {
        let point = LogPoint { link: LinkType::RAW, component: 0, is_pktmon: false };
        let bytes = vec![0; len];
        TracedPacket { time, point, bytes, original_len: 0, packet_id: None, drop: None, process: None }
    }

    fn drain(window: &mut ReorderWindow) -> Vec<u64> {
        std::iter::from_fn(|| window.pop()).map(|packet| packet.time).collect()
    }

    #[test]
    fn buffers_of_several_processors_are_merged() {
        let mut window = ReorderWindow::default();
        window.set_processors(2);
        for buffer in [[10, 30, 50], [20, 40, 60]] {
            for time in buffer {
                window.push(packet(time, 1));
            }
            window.end_buffer(Some(buffer[2]));
        }
        assert!(drain(&mut window).is_empty(), "later buffers may hold earlier packets");
        window.finish();
        assert_eq!(drain(&mut window), [10, 20, 30, 40, 50, 60]);
    }

    #[test]
    fn the_window_is_bounded_by_buffers_and_by_bytes() {
        let mut window = ReorderWindow::default();
        window.set_processors(1);
        for time in 0..200 {
            window.push(packet(time, 1));
            window.end_buffer(Some(time));
        }
        assert_eq!(drain(&mut window).len(), 200 - BUFFERS);
        for time in 200..264 {
            window.push(packet(time, 2 << 20));
        }
        assert!(!drain(&mut window).is_empty());
        assert!(window.bytes <= BYTES);
    }
}
