//! References to files, frames and sides of a flow.
//!
//! In:  numbers of files and frames.
//! Out: references that sort by file and frame.
//! Not: the frames.

use serde::Deserialize;
use serde::Serialize;

/// An input, by its index in the manifest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FileId(pub u32);

/// One captured record: frames are numbered from 1 in each file, as Wireshark numbers them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FrameRef {
    /// Its input.
    pub file: FileId,
    /// Its number in the input, from 1.
    pub number: u64,
}

/// A side of a flow, by role, not by address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Side {
    /// Opened the flow.
    Client,
    /// Was connected to.
    Server,
}

impl Side {
    /// The peer.
    #[inline]
    pub const fn other(self) -> Side {
        match self {
            Side::Client => Side::Server,
            Side::Server => Side::Client,
        }
    }

    /// 0 for the client, 1 for the server.
    #[inline]
    pub const fn index(self) -> usize {
        self as usize
    }
}

impl FrameRef {
    /// Bits of the frame number in [`FrameRef::pack`].
    const NUMBER_BITS: u32 = 44;

    /// Both numbers in one, in the same order: 2^20 files with 2^44 frames each; larger frame numbers are clamped.
    #[inline]
    pub const fn pack(self) -> u64 {
        let limit = (1 << FrameRef::NUMBER_BITS) - 1;
        let number = if self.number > limit { limit } else { self.number };
        ((self.file.0 as u64) << FrameRef::NUMBER_BITS) | number
    }

    /// The reference that was packed.
    #[inline]
    pub const fn unpack(packed: u64) -> FrameRef {
        FrameRef {
            file: FileId((packed >> FrameRef::NUMBER_BITS) as u32),
            number: packed & ((1 << FrameRef::NUMBER_BITS) - 1),
        }
    }
}
