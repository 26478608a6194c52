//! Copies frames into blocks, once.
//!
//! In:  frames, borrowed from libpcap.
//! Out: blocks with their frames, sent when they are full or the audit is idle.
//! Not: blocking: if the queue is full, the frames are dropped and counted.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use crossbeam_channel::Sender;

use super::stats::CaptureStats;
use super::stats::InterfaceStats;
use crate::base::Time;
use crate::capture::FrameHeader;
use crate::capture::LinkType;
use crate::capture::block::BlockPool;

/// Bytes of a block; the longest frame of libpcap fits.
const BLOCK_LEN: usize = 256 << 10;

/// Frames of one block, however short they are.
const BLOCK_FRAMES: usize = 2048;

/// How long a frame waits for its block to fill while the audit is busy.
const MAX_WAIT: Duration = Duration::from_millis(20);

/// A block of one interface, on its way to the audit.
pub(super) struct CapturedBlock {
    pub(super) bytes: Arc<Vec<u8>>,
    pub(super) frames: Vec<FrameHeader>,
}

/// Copies the frames of one interface into blocks.
pub(super) struct BlockWriter {
    interface: u16,
    pub(super) link: LinkType,
    pool: BlockPool,
    block: Arc<Vec<u8>>,
    used: usize,
    frames: Vec<FrameHeader>,
    /// Time of the last frame.
    pub(super) latest: Time,
    /// When the block got its first frame.
    started: Instant,
    out: Sender<CapturedBlock>,
    pub(super) stats: Arc<CaptureStats>,
}

impl BlockWriter {
    pub(super) fn new(
        interface: u16,
        link: LinkType,
        out: Sender<CapturedBlock>,
        stats: Arc<CaptureStats>,
    ) -> BlockWriter {
        let mut pool = BlockPool::new(BLOCK_LEN);
        let block = pool.take(BLOCK_LEN);
        let (frames, latest, started) = (Vec::new(), Time::MIN, Instant::now());
        BlockWriter { interface, link, pool, block, used: 0, frames, latest, started, out, stats }
    }

    /// Copies a frame.
    pub(super) fn write(&mut self, packet: &pcap::Packet<'_>) {
        let header = packet.header;
        let end = self.used + packet.data.len();
        if end > self.block.len() || self.frames.len() >= BLOCK_FRAMES {
            self.send();
        }
        let start = self.used;
        let end = start + packet.data.len();
        let space = Arc::get_mut(&mut self.block).and_then(|block| block.get_mut(start..end));
        let Some(space) = space else {
            // Longer than any frame of libpcap.
            self.count_drops(1);
            return;
        };
        space.copy_from_slice(packet.data);
        if self.frames.is_empty() {
            self.started = Instant::now();
        }
        self.used = end;
        // With nanosecond precision, libpcap stores nanoseconds in the field for microseconds.
        let unit = if cfg!(target_os = "linux") { 1 } else { 1000 };
        let time = Time::from_parts(header.ts.tv_sec, (header.ts.tv_usec as u32).wrapping_mul(unit));
        self.latest = time;
        self.frames.push(FrameHeader {
            time,
            number: 0,
            offset: start as u32,
            captured_len: packet.data.len() as u32,
            wire_len: header.len,
            link: self.link,
            interface: self.interface,
        });
    }

    /// Sends the block if the audit is idle, or if its frames have waited long enough.
    pub(super) fn send_if_due(&mut self) {
        if self.out.is_empty() || self.started.elapsed() > MAX_WAIT {
            self.send();
        }
    }

    /// Sends the block if it has frames.
    pub(super) fn send(&mut self) {
        if self.frames.is_empty() {
            return;
        }
        let frames = std::mem::replace(&mut self.frames, Vec::with_capacity(BLOCK_FRAMES / 4));
        let count = frames.len() as u64;
        let block = CapturedBlock { bytes: Arc::clone(&self.block), frames };
        self.used = 0;
        if self.out.try_send(block).is_err() {
            // The block was not sent, and is filled again.
            self.count_drops(count);
            return;
        }
        let next = self.pool.take(BLOCK_LEN);
        self.pool.put(std::mem::replace(&mut self.block, next));
    }

    /// Everything that the capture buffer had at `time` has been read.
    pub(super) fn set_read_until(&self, time: Time) {
        if let (Some(stats), true) = (self.interface_stats(), self.frames.is_empty()) {
            // Released after the frames were sent: a thread that reads this time also finds them in the queue.
            stats.read_until.store(time.0, Ordering::Release);
        }
    }

    fn count_drops(&self, frames: u64) {
        if let Some(stats) = self.interface_stats() {
            stats.queue_drops.fetch_add(frames, Ordering::Relaxed);
        }
    }

    fn interface_stats(&self) -> Option<&InterfaceStats> {
        self.stats.interfaces.get(usize::from(self.interface))
    }
}
