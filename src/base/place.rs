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
