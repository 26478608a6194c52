//! Puts the packets of several processors in the order of time.
//!
//! In:  packets, buffer by buffer as the file has them.
//! Out: packets by time, as far as the window reaches.
//! Not: anything of what a packet is.
//!
//! Each processor fills buffers of its own, and the file holds them in the order in which they were full. A buffer that
//! fills slowly is written late, so packets wait until the window holds more than [`BUFFERS`] later buffers or
//! [`BYTES`] bytes.

use std::cmp::Ordering;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::VecDeque;
use std::collections::binary_heap::PeekMut;
use std::vec;

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

/// The packets of a buffer that wait, in the order of time. Ordered by the time of the first one, then by the order of the file.
#[derive(Debug)]
struct BufferRun {
    key: Reverse<(u64, u64)>,
    packets: vec::IntoIter<TracedPacket>,
}

impl PartialEq for BufferRun {
    fn eq(&self, other: &BufferRun) -> bool {
        self.key == other.key
    }
}

impl Eq for BufferRun {}

impl PartialOrd for BufferRun {
    fn partial_cmp(&self, other: &BufferRun) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for BufferRun {
    fn cmp(&self, other: &BufferRun) -> Ordering {
        self.key.cmp(&other.key)
    }
}

/// Packets that wait for earlier ones.
#[derive(Debug, Default)]
pub(super) struct ReorderWindow {
    /// Packets of the current buffer, in the order of the file.
    current: Vec<TracedPacket>,
    earlier: BinaryHeap<BufferRun>,
    /// Runs so far.
    runs: u64,
    /// Packets that wait.
    packets: usize,
    /// The latest time in each buffer, oldest buffer first.
    latest: VecDeque<u64>,
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
        self.packets
    }

    /// Takes a packet of the current buffer.
    pub(super) fn push(&mut self, packet: TracedPacket) {
        self.bytes += packet.bytes.len() + PACKET_COST;
        self.packets += 1;
        self.current.push(packet);
    }

    /// The packets of the current buffer so far become a run.
    fn end_run(&mut self) {
        let mut packets = std::mem::take(&mut self.current);
        // Stable, and one pass where they are in order, as they almost always are.
        packets.sort_by_key(|packet| packet.time);
        let Some(first) = packets.first() else { return };
        self.runs += 1;
        self.earlier.push(BufferRun { key: Reverse((first.time, self.runs)), packets: packets.into_iter() });
    }

    /// The current buffer is done; `latest` is the time of its last packet.
    pub(super) fn end_buffer(&mut self, latest: Option<u64>) {
        self.end_run();
        self.latest.extend(latest);
        while self.latest.len() > self.buffers.max(BUFFERS) {
            let oldest = self.latest.pop_front();
            self.released = self.released.max(oldest);
        }
    }

    /// No more buffers come.
    pub(super) fn finish(&mut self) {
        self.end_run();
        self.released = Some(u64::MAX);
    }

    /// The next packet that may leave.
    pub(super) fn pop(&mut self) -> Option<TracedPacket> {
        let is_full = self.bytes > BYTES;
        if is_full {
            self.end_run();
        }
        let mut run = self.earlier.peek_mut()?;
        let Reverse((time, number)) = run.key;
        if self.released.is_none_or(|released| time > released) && !is_full {
            return None;
        }
        let packet = run.packets.next()?;
        match run.packets.as_slice().first().map(|next| next.time) {
            Some(next) => run.key = Reverse((next, number)),
            None => drop(PeekMut::pop(run)),
        }
        self.packets -= 1;
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
    fn packets_of_one_buffer_leave_in_the_order_of_time_and_equal_ones_in_that_of_the_file() {
        let mut window = ReorderWindow::default();
        for (time, len) in [(20, 1), (10, 2), (20, 3)] {
            window.push(packet(time, len));
        }
        window.end_buffer(Some(20));
        window.push(packet(20, 4));
        window.finish();
        assert_eq!(window.len(), 4);
        let left: Vec<(u64, usize)> =
            std::iter::from_fn(|| window.pop()).map(|packet| (packet.time, packet.bytes.len())).collect();
        assert_eq!(left, [(10, 2), (20, 1), (20, 3), (20, 4)]);
        assert_eq!(window.len(), 0);
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
