//! Accounts for every frame and byte that was read.

use std::collections::BTreeMap;

use crate::capture::Frame;
use crate::capture::link_type_name;
use crate::decode;
use crate::decode::Decoded;
use crate::decode::Fate;

/// Frames and their captured bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Line {
    /// How many frames.
    pub frames: u64,
    /// How many captured bytes.
    pub bytes: u64,
}

impl Line {
    #[inline]
    fn enter(&mut self, frame: &Frame<'_>) {
        self.frames += 1;
        self.bytes += frame.bytes.len() as u64;
    }
}

impl std::ops::AddAssign for Line {
    fn add_assign(&mut self, other: Line) {
        self.frames += other.frames;
        self.bytes += other.bytes;
    }
}

/// What became of the frames: every frame is in exactly one of the lines below `read`.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct Ledger {
    /// All frames that passed the filter.
    pub read: Line,
    /// Frames that gave a packet; with fragments, the frame that completed it.
    pub packets: Line,
    /// Fragments that waited for the rest of their datagram.
    pub fragments: Line,
    /// Frames without IP, by ether type.
    pub not_ip: BTreeMap<String, Line>,
    /// Frames of link types that are not known, by number and name.
    pub unknown_link: BTreeMap<String, Line>,
    /// Frames that are known and cannot be read, by what hides them.
    pub unreadable: BTreeMap<String, Line>,
    /// Frames with a header that the capture cut, by what was looked for.
    pub cut: BTreeMap<String, Line>,
    /// Frames with a header that contradicts itself, by what was looked for.
    pub broken: BTreeMap<String, Line>,
    /// What happened to the fragments.
    pub fragment_counts: decode::FragmentCounts,
}

impl Ledger {
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

    fn enter_other(&mut self, frame: &Frame<'_>, decoded: &Decoded<'_>) {
        let (lines, what) = match decoded {
            Decoded::NotIp(ether_type) => (
                &mut self.not_ip,
                match decode::ether_type_name(*ether_type) {
                    Some(name) => format!("0x{ether_type:04x} {name}"),
                    None => format!("0x{ether_type:04x}"),
                },
            ),
            Decoded::UnknownLink(link) => (
                &mut self.unknown_link,
                match link_type_name(*link) {
                    Some(name) => format!("{} {name}", link.0),
                    None => link.0.to_string(),
                },
            ),
            Decoded::Unreadable(what) => (&mut self.unreadable, (*what).to_owned()),
            Decoded::Damaged(damage) => {
                let lines = match damage.fate {
                    Fate::Cut => &mut self.cut,
                    Fate::Broken => &mut self.broken,
                };
                (lines, format!("{}: {}", damage.layer, damage.wanted))
            }
            Decoded::Packet(_) | Decoded::Fragment => return,
        };
        lines.entry(what).or_default().enter(frame);
    }

    /// Takes over what the decoder counted at the end.
    pub(super) fn close(&mut self, counts: decode::Counts) {
        self.fragment_counts = counts.fragment;
    }

    /// The sum of all lines below `read`; the same as `read`, or frames were lost.
    pub fn sum(&self) -> Line {
        let mut sum = self.packets;
        sum += self.fragments;
        for lines in [&self.not_ip, &self.unknown_link, &self.unreadable, &self.cut, &self.broken] {
            for line in lines.values() {
                sum += *line;
            }
        }
        sum
    }
}
