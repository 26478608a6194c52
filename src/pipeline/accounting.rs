//! Accounts for every frame that was read, and for its bytes.
//!
//! In:  frames with what they decode to.
//! Out: [`FrameAccounting`], in which every frame is in exactly one line.
//! Not: damage to the capture file itself; that is in [`InputFacts`](crate::capture::InputFacts).

use std::collections::BTreeMap;

use crate::base::DropReason;
use crate::capture::Frame;
use crate::decode;
use crate::decode::DamageKind;
use crate::decode::Decoded;

/// Drop reasons that are counted each for itself; the reasons of damaged traces have any number.
const REASONS_LIMIT: usize = 512;

/// A number of frames, and their captured bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct FrameTotals {
    /// Frames.
    pub frames: u64,
    /// Captured bytes.
    pub bytes: u64,
}

impl FrameTotals {
    #[inline]
    fn add(&mut self, frame: &Frame<'_>) {
        self.frames += 1;
        self.bytes += frame.bytes.len() as u64;
    }
}

impl std::ops::AddAssign for FrameTotals {
    fn add_assign(&mut self, other: FrameTotals) {
        self.frames += other.frames;
        self.bytes += other.bytes;
    }
}

/// What became of the frames. Every frame that was read is in exactly one of: `packets`, `duplicates`, `host_drops`, `fragments`,
/// `not_ip`, `unknown_link`, `unreadable`, `truncated`, `malformed`, `before_window`, `after_window`.
#[derive(Clone, Debug, Default)]
pub struct FrameAccounting {
    /// All frames that the capture filter kept.
    pub read: FrameTotals,
    /// Frames that gave a packet. A reassembled datagram counts for the frame that completed it.
    pub packets: FrameTotals,
    /// Frames with the packet of a frame just before, as a mirror port of both directions shows them.
    pub duplicates: FrameTotals,
    /// Frames with packets that the host itself dropped, by reason.
    pub host_drops: BTreeMap<DropReason, FrameTotals>,
    /// Fragments that waited for the rest of their datagram.
    pub fragments: FrameTotals,
    /// Frames without IP, by EtherType.
    pub not_ip: BTreeMap<u16, FrameTotals>,
    /// Frames of unknown link types, by number.
    pub unknown_link: BTreeMap<u16, FrameTotals>,
    /// Frames whose content cannot be read, by the reason.
    pub unreadable: BTreeMap<&'static str, FrameTotals>,
    /// Frames with a header that the capture truncated, by layer and field.
    pub truncated: BTreeMap<(&'static str, &'static str), FrameTotals>,
    /// Frames with a header that contradicts itself, by layer and field.
    pub malformed: BTreeMap<(&'static str, &'static str), FrameTotals>,
    /// Frames before the lead-in of the window, which are not audited.
    pub before_window: FrameTotals,
    /// Frames after what is read after the window, which are not audited.
    pub after_window: FrameTotals,
    /// Of the others: frames in the window itself.
    pub in_window: u64,
    /// What became of the fragments.
    pub fragment_counts: decode::FragmentCounts,
    /// Packets after the first of an 802.11 aggregate, which are not read. Not frames.
    pub aggregated: u64,
    /// Packets that are longer, by their own headers, than their frame. Not frames of their own: they are in `packets`.
    pub beyond_frame: u64,
}

impl FrameAccounting {
    /// Adds a frame.
    #[inline]
    pub(super) fn add(&mut self, frame: &Frame<'_>, decoded: &Decoded<'_>) {
        self.read.add(frame);
        match decoded {
            Decoded::Packet(_) => self.packets.add(frame),
            Decoded::Fragment => self.fragments.add(frame),
            other => self.add_undecoded(frame, other),
        }
    }

    /// Adds a frame before the lead-in of the window.
    pub(super) fn add_before_window(&mut self, frame: &Frame<'_>) {
        self.read.add(frame);
        self.before_window.add(frame);
    }

    /// Adds a frame after what is read after the window.
    pub(super) fn add_after_window(&mut self, frame: &Frame<'_>) {
        self.read.add(frame);
        self.after_window.add(frame);
    }

    /// Adds a frame with the packet of an earlier frame.
    #[inline]
    pub(super) fn add_duplicate(&mut self, frame: &Frame<'_>) {
        self.read.add(frame);
        self.duplicates.add(frame);
    }

    /// Adds a frame with a packet that the host itself dropped.
    pub(super) fn add_host_drop(&mut self, frame: &Frame<'_>, reason: DropReason) {
        self.read.add(frame);
        let is_listed = self.host_drops.len() < REASONS_LIMIT || self.host_drops.contains_key(&reason);
        self.host_drops.entry(if is_listed { reason } else { DropReason::UNKNOWN }).or_default().add(frame);
    }

    fn add_undecoded(&mut self, frame: &Frame<'_>, decoded: &Decoded<'_>) {
        let line = match decoded {
            Decoded::NotIp(ether_type) => self.not_ip.entry(*ether_type).or_default(),
            Decoded::UnknownLink(link) => self.unknown_link.entry(link.0).or_default(),
            Decoded::Unreadable(reason) => self.unreadable.entry(reason).or_default(),
            Decoded::Damaged(damage) => {
                let lines = match damage.kind {
                    DamageKind::Truncated => &mut self.truncated,
                    DamageKind::Broken => &mut self.malformed,
                };
                lines.entry((damage.layer, damage.wanted)).or_default()
            }
            Decoded::Packet(_) | Decoded::Fragment => return,
        };
        line.add(frame);
    }

    /// Adds what the decoder counts besides frames.
    pub(super) fn add_decode_counts(&mut self, counts: decode::DecodeCounts) {
        self.fragment_counts = counts.fragment;
        self.aggregated = counts.aggregated;
        self.beyond_frame = counts.beyond_frame;
    }

    /// The sum of all lines, which equals `read` unless a frame was not accounted for.
    pub fn sum(&self) -> FrameTotals {
        let mut sum = self.packets;
        sum += self.duplicates;
        sum += self.fragments;
        sum += self.before_window;
        sum += self.after_window;
        let by_number = self.not_ip.values().chain(self.unknown_link.values());
        let by_text = self.unreadable.values().chain(self.truncated.values()).chain(self.malformed.values());
        for line in by_number.chain(by_text).chain(self.host_drops.values()) {
            sum += *line;
        }
        sum
    }
}
