//! Where something was seen: which file, which frame, which side of a conversation.

/// An input, by its place in the order in which the inputs are named in the manifest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(pub u32);

/// One captured record: frames are numbered from 1 in each file, as Wireshark numbers them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FrameRef {
    /// The input that holds it.
    pub file: FileId,
    /// Its number there, from 1.
    pub number: u64,
}

/// A side of a conversation, by role and not by address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// Opened it.
    Client,
    /// Answered.
    Server,
}

impl Side {
    /// The side across.
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
    /// The largest frame number that [`FrameRef::pack`] keeps.
    const NUMBER_BITS: u32 = 44;

    /// Both parts in one number, ordered like the reference: 2^20 files of 2^44 frames; clamps beyond.
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
