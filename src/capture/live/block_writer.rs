//! Copies frames into blocks, once.
//!
//! In:  frames as libpcap lends them.
//! Out: blocks with their frames, handed on when they are full or wanted.
//! Not: waiting: what nobody takes is dropped and counted.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use std::time::Instant;

use crossbeam_channel::Sender;

use super::stats::CaptureStats;
use crate::base::Time;
use crate::capture::FrameHeader;
use crate::capture::LinkType;
use crate::capture::block::Pool;

/// Bytes of a block; the longest frame that libpcap gives fits.
const BLOCK_LEN: usize = 256 << 10;

/// Frames of one block, however small they are.
const FRAMES: usize = 2048;

/// A block with its frames, on its way to the audit.
pub(super) struct Piece {
    pub(super) bytes: Arc<Vec<u8>>,
    pub(super) frames: Vec<FrameHeader>,
}

/// Copies frames into blocks.
pub(super) struct BlockWriter {
    pub(super) place: u16,
    pub(super) link: LinkType,
    pub(super) pool: Pool,
    pub(super) block: Arc<Vec<u8>>,
    pub(super) used: usize,
    pub(super) frames: Vec<FrameHeader>,
    pub(super) latest: Time,
    pub(super) began: Instant,
    pub(super) out: Sender<Piece>,
    pub(super) gauges: Arc<CaptureStats>,
}

impl BlockWriter {
    pub(super) fn new(
        place: u16,
        link: LinkType,
        out: Sender<Piece>,
        gauges: Arc<CaptureStats>,
    ) -> BlockWriter {
        let mut pool = Pool::new(BLOCK_LEN);
        let block = pool.take(BLOCK_LEN);
        let (frames, latest, began) = (Vec::new(), Time::MIN, Instant::now());
        BlockWriter { place, link, pool, block, used: 0, frames, latest, began, out, gauges }
    }

    pub(super) fn put(&mut self, packet: &pcap::Packet<'_>) {
        let header = packet.header;
        let end = self.used + packet.data.len();
        if end > self.block.len() || self.frames.len() >= FRAMES {
            self.hand_on();
        }
        let begin = self.used;
        let end = begin + packet.data.len();
        let room = Arc::get_mut(&mut self.block).and_then(|block| block.get_mut(begin..end));
        let Some(room) = room else {
            // Longer than any frame that libpcap gives.
            self.drop_frames(1);
            return;
        };
        room.copy_from_slice(packet.data);
        if self.frames.is_empty() {
            self.began = Instant::now();
        }
        self.used = end;
        // With nanosecond stamps libpcap puts nanoseconds where microseconds are in its structure.
        let unit = if cfg!(target_os = "linux") { 1 } else { 1000 };
        let time = Time::from_parts(header.ts.tv_sec, (header.ts.tv_usec as u32).wrapping_mul(unit));
        self.latest = time;
        self.frames.push(FrameHeader {
            time,
            number: 0,
            offset: begin as u32,
            captured_len: packet.data.len() as u32,
            wire_len: header.len,
            link: self.link,
            interface: self.place,
        });
    }

    /// Hands on what is there when somebody waits for it, or it has waited long enough.
    pub(super) fn hand_on_if_wanted(&mut self) {
        if self.out.is_empty() || self.began.elapsed() > Duration::from_millis(20) {
            self.hand_on();
        }
    }

    pub(super) fn hand_on(&mut self) {
        if self.frames.is_empty() {
            return;
        }
        let frames = std::mem::replace(&mut self.frames, Vec::with_capacity(FRAMES / 4));
        let count = frames.len() as u64;
        let piece = Piece { bytes: Arc::clone(&self.block), frames };
        self.used = 0;
        if self.out.try_send(piece).is_err() {
            // The block was not taken, and serves again.
            self.drop_frames(count);
            return;
        }
        let next = self.pool.take(BLOCK_LEN);
        self.pool.put(std::mem::replace(&mut self.block, next));
    }

    /// The ring held nothing more that came before `since`.
    pub(super) fn is_through(&self, since: Time) {
        let gauge = self.gauges.ports.get(usize::from(self.place));
        if let (Some(gauge), true) = (gauge, self.frames.is_empty()) {
            // Behind the frames, so that whoever sees it sees them too.
            gauge.seen_until.store(since.0, Ordering::Release);
        }
    }

    fn drop_frames(&self, count: u64) {
        if let Some(gauge) = self.gauges.ports.get(usize::from(self.place)) {
            gauge.our_drops.fetch_add(count, Ordering::Relaxed);
        }
    }
}
