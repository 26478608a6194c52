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
use std::ops::Range;
use std::sync::Arc;
use std::vec;

use super::packets::PacketBytes;
use super::packets::TracedPacket;

/// Buffers that the window holds: at least this many, and [`PER_PROCESSOR`] for each processor.
const BUFFERS: usize = 64;
const PER_PROCESSOR: usize = 4;
/// The most that it holds for many processors.
const BUFFERS_LIMIT: usize = 1024;

/// Bytes that it holds.
const BYTES: usize = 64 << 20;

/// A buffer is late whose packets are all older by this than one that has left, in 100 ns.
const LATE: u64 = 10_000_000;

/// What a packet in the window costs besides its bytes.
const PACKET_COST: usize = size_of::<TracedPacket>() + 64;

/// The records of a buffer, in a block that may hold more.
#[derive(Clone, Debug, Default)]
pub(super) struct BufferRecords {
    block: Arc<Vec<u8>>,
    range: Range<usize>,
}

impl BufferRecords {
    pub(super) const fn new(block: Arc<Vec<u8>>, range: Range<usize>) -> BufferRecords {
        BufferRecords { block, range }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        self.block.get(self.range.clone()).unwrap_or_default()
    }

    /// Copies the packets out where they are less than half of the block, so that what waits is bounded by packets: a block
    /// stays as long as one of its packets.
    fn keep_packets_only(&mut self, packets: &mut [TracedPacket]) {
        let in_buffer = |packet: &TracedPacket| match &packet.bytes {
            PacketBytes::InBuffer(range) => range.len(),
            PacketBytes::Own(_) => 0,
        };
        let len: usize = packets.iter().map(in_buffer).sum();
        if len >= self.block.len() / 2 {
            return;
        }
        let mut kept = Vec::with_capacity(len);
        for packet in packets {
            if let PacketBytes::InBuffer(range) = &mut packet.bytes {
                let start = kept.len();
                kept.extend_from_slice(self.bytes().get(range.clone()).unwrap_or_default());
                *range = start..kept.len();
            }
        }
        *self = BufferRecords { range: 0..kept.len(), block: Arc::new(kept) };
    }
}

/// The packets of a buffer that wait, in the order of time. Ordered by the time of the first one, then by the order of the file.
#[derive(Debug)]
struct BufferRun {
    key: Reverse<(u64, u64)>,
    packets: vec::IntoIter<TracedPacket>,
    records: BufferRecords,
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
    runs: BinaryHeap<BufferRun>,
    /// Runs so far.
    run_count: u64,
    /// Packets that wait.
    packets: usize,
    /// The latest time in each buffer, oldest buffer first.
    latest: VecDeque<u64>,
    /// What packets and runs cost that wait.
    bytes: usize,
    /// Packets up to this time may leave.
    released: Option<u64>,
    /// Buffers that the window holds, once the number of processors is known.
    buffers: usize,
    /// Buffers that came too late to be put in order.
    pub(super) late_buffers: u64,
}

impl ReorderWindow {
    /// How many buffers wait, for a number of processors.
    pub(super) fn set_processors(&mut self, processors: u32) {
        let wanted = (processors as usize).saturating_mul(PER_PROCESSOR);
        self.buffers = wanted.clamp(BUFFERS, BUFFERS_LIMIT);
    }

    /// Packets that wait.
    pub(super) fn len(&self) -> usize {
        self.packets
    }

    /// Takes the packets of the next buffer.
    pub(super) fn push_buffer(&mut self, mut packets: Vec<TracedPacket>, mut records: BufferRecords) {
        let Some(latest) = packets.iter().map(|packet| packet.time).max() else { return };
        let is_late = self.released.is_some_and(|released| latest.saturating_add(LATE) < released);
        self.late_buffers += u64::from(is_late);
        records.keep_packets_only(&mut packets);
        self.bytes += records.block.len() + packets.iter().map(packet_cost).sum::<usize>();
        self.packets += packets.len();
        // Stable, and one pass where they are in order, as they almost always are.
        packets.sort_by_key(|packet| packet.time);
        let first = packets.first().map_or(0, |packet| packet.time);
        self.run_count += 1;
        let key = Reverse((first, self.run_count));
        self.runs.push(BufferRun { key, packets: packets.into_iter(), records });
        self.latest.push_back(latest);
        while self.latest.len() > self.buffers.max(BUFFERS) {
            let oldest = self.latest.pop_front();
            self.released = self.released.max(oldest);
        }
    }

    /// No more buffers come.
    pub(super) const fn finish(&mut self) {
        self.released = Some(u64::MAX);
    }

    /// Takes the next packet that may leave, with its bytes; false if none may.
    pub(super) fn pop(&mut self, take: impl FnOnce(TracedPacket, &[u8])) -> bool {
        let Some(mut run) = self.runs.peek_mut() else { return false };
        let Reverse((time, number)) = run.key;
        if self.released.is_none_or(|released| time > released) && self.bytes <= BYTES {
            return false;
        }
        let next = run.packets.next();
        if let Some(mut packet) = next {
            self.packets -= 1;
            self.bytes -= packet_cost(&packet);
            let bytes = std::mem::replace(&mut packet.bytes, PacketBytes::Own(Vec::new()));
            take(packet, bytes.get(run.records.bytes()));
        }
        match run.packets.as_slice().first().map(|next| next.time) {
            Some(next) => run.key = Reverse((next, number)),
            None => self.bytes -= PeekMut::pop(run).records.block.len(),
        }
        true
    }
}

/// What a packet costs that waits, besides its buffer's records.
fn packet_cost(packet: &TracedPacket) -> usize {
    let own = match &packet.bytes {
        PacketBytes::Own(bytes) => bytes.len(),
        PacketBytes::InBuffer(_) => 0,
    };
    own + PACKET_COST
}

#[cfg(test)]
mod tests {
    use super::super::packets::LogPoint;
    use super::*;
    use crate::capture::LinkType;

    fn packet(time: u64, bytes: PacketBytes) -> TracedPacket {
        let point = LogPoint { link: LinkType::RAW, component: 0, is_pktmon: false };
        let (drop, process, translated) = (None, None, None);
        TracedPacket { time, point, bytes, original_len: 0, packet_id: None, drop, process, translated }
    }

    /// A buffer whose packets, with a time and a length each, hold the low byte of their time.
    fn push(window: &mut ReorderWindow, packets: &[(u64, usize)]) {
        let mut block = vec![0xee; 8];
        let mut made = Vec::new();
        for (time, len) in packets {
            let start = block.len() - 8;
            block.extend(vec![*time as u8; *len]);
            made.push(packet(*time, PacketBytes::InBuffer(start..start + len)));
        }
        let end = block.len();
        window.push_buffer(made, BufferRecords::new(Arc::new(block), 8..end));
    }

    /// Times and lengths of the packets that leave.
    fn drain(window: &mut ReorderWindow) -> Vec<(u64, usize)> {
        let mut left = Vec::new();
        while window.pop(|packet, bytes| {
            assert!(bytes.iter().all(|byte| *byte == packet.time as u8), "{packet:?}");
            left.push((packet.time, bytes.len()));
        }) {}
        left
    }

    #[test]
    fn buffers_of_several_processors_are_merged() {
        let mut window = ReorderWindow::default();
        window.set_processors(2);
        push(&mut window, &[(10, 1), (30, 1), (50, 1)]);
        push(&mut window, &[(20, 99), (40, 99), (60, 99)]);
        assert!(drain(&mut window).is_empty(), "later buffers may hold earlier packets");
        window.finish();
        assert_eq!(drain(&mut window), [(10, 1), (20, 99), (30, 1), (40, 99), (50, 1), (60, 99)]);
        assert_eq!(window.bytes, 0);
    }

    #[test]
    fn packets_of_one_buffer_leave_in_the_order_of_time_and_equal_ones_in_that_of_the_file() {
        let mut window = ReorderWindow::default();
        push(&mut window, &[(20, 1), (10, 2), (20, 3)]);
        push(&mut window, &[(20, 4)]);
        window.finish();
        assert_eq!(window.len(), 4);
        assert_eq!(drain(&mut window), [(10, 2), (20, 1), (20, 3), (20, 4)]);
        assert_eq!((window.len(), window.bytes), (0, 0));
    }

    #[test]
    fn the_window_is_bounded_by_buffers_and_by_bytes() {
        let mut window = ReorderWindow::default();
        window.set_processors(1);
        for time in 0..200 {
            push(&mut window, &[(time, 1)]);
        }
        assert_eq!(drain(&mut window).len(), 200 - BUFFERS);
        for time in 200..264 {
            push(&mut window, &[(time, 2 << 20)]);
        }
        assert!(!drain(&mut window).is_empty());
        assert!(window.bytes <= BYTES);
    }

    #[test]
    fn a_block_with_few_packets_does_not_wait_with_them() {
        let mut window = ReorderWindow::default();
        let block = Arc::new(vec![7; 1 << 20]);
        let few = vec![packet(7, PacketBytes::InBuffer(10..20)), packet(7, PacketBytes::Own(vec![7; 5]))];
        window.push_buffer(few, BufferRecords::new(Arc::clone(&block), 100..200));
        assert_eq!(Arc::strong_count(&block), 1);
        assert_eq!(window.bytes, 10 + 5 + 2 * PACKET_COST);
        window.finish();
        assert_eq!(drain(&mut window), [(7, 10), (7, 5)]);
    }
}
