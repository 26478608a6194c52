//! Accounts for every frame and byte that was read.

use std::collections::BTreeMap;

use crate::capture::Frame;
use crate::decode;
use crate::decode::DamageKind;
use crate::decode::Decoded;

/// Frames and their captured bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct FileAccounting {
    /// How many frames.
    pub frames: u64,
    /// How many captured bytes.
    pub bytes: u64,
}

impl FileAccounting {
    #[inline]
    fn enter(&mut self, frame: &Frame<'_>) {
        self.frames += 1;
        self.bytes += frame.bytes.len() as u64;
    }
}

impl std::ops::AddAssign for FileAccounting {
    fn add_assign(&mut self, other: FileAccounting) {
        self.frames += other.frames;
        self.bytes += other.bytes;
    }
}

/// What became of the frames: every frame is in exactly one of the lines below `read`.
#[derive(Clone, Debug, Default)]
pub struct FrameAccounting {
    /// All frames that passed the filter.
    pub read: FileAccounting,
    /// Frames that gave a packet; with fragments, the frame that completed it.
    pub packets: FileAccounting,
    /// Frames whose packet is a copy of one that came just before, as a span session shows it; counted nowhere else.
    pub copies: FileAccounting,
    /// Fragments that waited for the rest of their datagram.
    pub fragments: FileAccounting,
    /// Frames without IP, by ether type.
    pub not_ip: BTreeMap<u16, FileAccounting>,
    /// Frames of link types that are not known, by number.
    pub unknown_link: BTreeMap<u16, FileAccounting>,
    /// Frames that are known and cannot be read, by what hides them.
    pub unreadable: BTreeMap<&'static str, FileAccounting>,
    /// Frames with a header that the capture cut, by layer and what was looked for.
    pub cut: BTreeMap<(&'static str, &'static str), FileAccounting>,
    /// Frames with a header that contradicts itself, by layer and what was looked for.
    pub broken: BTreeMap<(&'static str, &'static str), FileAccounting>,
    /// What happened to the fragments.
    pub fragment_counts: decode::FragmentCounts,
    /// Packets behind the first of 802.11 aggregates, which are not read.
    pub aggregated: u64,
    /// Packets that claim more bytes than their frame had.
    pub beyond_frame: u64,
}

impl FrameAccounting {
    /// Enters a frame.
    #[inline]
    pub(super) fn enter(&mut self, frame: &Frame<'_>, decoded: &Decoded<'_>) {
        self.read.enter(frame);
        match decoded {
            Decoded::Packet(_) => self.packets.enter(frame),
            Decoded::Fragment => self.fragments.enter(frame),
            other => self.enter_other(frame, other),
        }
    }

    /// Enters a frame with a packet that was there before.
    #[inline]
    pub(super) fn enter_copy(&mut self, frame: &Frame<'_>) {
        self.read.enter(frame);
        self.copies.enter(frame);
    }

    fn enter_other(&mut self, frame: &Frame<'_>, decoded: &Decoded<'_>) {
        let line = match decoded {
            Decoded::NotIp(ether_type) => self.not_ip.entry(*ether_type).or_default(),
            Decoded::UnknownLink(link) => self.unknown_link.entry(link.0).or_default(),
            Decoded::Unreadable(what) => self.unreadable.entry(what).or_default(),
            Decoded::Damaged(damage) => {
                let lines = match damage.fate {
                    DamageKind::Truncated => &mut self.cut,
                    DamageKind::Broken => &mut self.broken,
                };
                lines.entry((damage.layer, damage.wanted)).or_default()
            }
            Decoded::Packet(_) | Decoded::Fragment => return,
        };
        line.enter(frame);
    }

    /// Takes over what the decoder counted at the end.
    pub(super) fn close(&mut self, counts: decode::DecodeCounts) {
        self.fragment_counts = counts.fragment;
        self.aggregated = counts.aggregated;
        self.beyond_frame = counts.beyond_frame;
    }

    /// The sum of all lines below `read`; the same as `read`, or frames were lost.
    pub fn sum(&self) -> FileAccounting {
        let mut sum = self.packets;
        sum += self.copies;
        sum += self.fragments;
        let by_number = self.not_ip.values().chain(self.unknown_link.values());
        let by_text = self.unreadable.values().chain(self.cut.values()).chain(self.broken.values());
        for line in by_number.chain(by_text) {
            sum += *line;
        }
        sum
    }
}
