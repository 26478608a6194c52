//! The bytes of one layer, and what reading them can lead to.
//!
//! In:  captured bytes and the length that they had on the wire.
//! Out: fields read in order, the view of the next layer, or the reason to stop.
//! Not: any protocol.

use crate::base::Address;
use crate::base::Cursor;
use crate::base::Truncated;
use crate::capture::Frame;
use crate::capture::LinkType;

use super::packet::DamageKind;
use super::packet::Encapsulation;
use super::packet::Layer;
use super::packet::LayerKind;
use super::packet::PacketDamage;

/// Bytes of one layer: what was captured, and how much there was.
#[derive(Clone, Copy, Debug)]
pub(super) struct View<'b> {
    /// What was captured.
    pub(super) bytes: &'b [u8],
    /// How long it was on the wire, as far as the layers above say; at least `bytes.len()`.
    pub(super) wire: usize,
    /// Offset in the frame (in a joined datagram: in its payload).
    at: usize,
    /// True when these bytes end where the capture cut the frame.
    cut: bool,
}

impl<'b> View<'b> {
    /// The whole of a frame.
    #[inline(always)]
    pub(super) fn frame(frame: &Frame<'b>) -> Self {
        let wire = frame.bytes.len().max(frame.wire_len as usize);
        View { bytes: frame.bytes, wire, at: 0, cut: wire > frame.bytes.len() }
    }

    /// The payload of a joined datagram: `bytes` of `wire`.
    pub(super) fn joined(bytes: &'b [u8], wire: usize) -> Self {
        View { bytes, wire: wire.max(bytes.len()), at: 0, cut: wire > bytes.len() }
    }

    /// Reads a header of `layer`: what `fields` made of it, and what follows it.
    #[inline(always)]
    pub(super) fn read<T>(
        self,
        layer: &'static str,
        fields: impl FnOnce(&mut Cursor<'b>) -> Result<T, Truncated>,
    ) -> Result<(T, View<'b>), Stop> {
        let mut cursor = Cursor::new(self.bytes);
        match fields(&mut cursor) {
            Ok(value) => Ok((value, self.after(cursor.at()))),
            Err(cut) => Err(self.ended(layer, cut)),
        }
    }

    /// What follows the first `len` bytes.
    #[inline]
    pub(super) fn skip(
        self,
        len: usize,
        layer: &'static str,
        wanted: &'static str,
    ) -> Result<View<'b>, Stop> {
        self.read(layer, |c| c.skip(len, wanted)).map(|((), rest)| rest)
    }

    /// What follows the first `len` bytes; nothing when there are fewer.
    #[inline(always)]
    pub(super) fn after(self, len: usize) -> View<'b> {
        let bytes = self.bytes.get(len..).unwrap_or_default();
        View { bytes, wire: self.wire.saturating_sub(len).max(bytes.len()), at: self.at + len, ..self }
    }

    /// The first `len` bytes, because a header says that no more belong to it. The header is believed even when
    /// the frame was shorter than that.
    #[inline(always)]
    pub(super) fn limit(self, len: usize) -> View<'b> {
        match self.bytes.get(..len) {
            Some(bytes) => View { bytes, wire: len, cut: false, ..self },
            None => View { wire: len, ..self },
        }
    }

    /// The first `len` bytes if there are more: for lengths that only take padding away.
    pub(super) fn at_most(self, len: usize) -> View<'b> {
        if len < self.wire { self.limit(len) } else { self }
    }

    /// Two bytes at `offset`, if they are there: to look before a decision.
    #[inline]
    pub(super) fn peek(self, offset: usize) -> Option<u16> {
        let mut c = Cursor::new(self.bytes);
        c.skip(offset, "look ahead").and_then(|()| c.u16("look ahead")).ok()
    }

    /// The upper half of the first byte: the version, where this is IP.
    #[inline]
    pub(super) fn nibble(self) -> Option<u8> {
        self.bytes.first().map(|byte| byte >> 4)
    }

    /// The bytes ended before what `layer` needs.
    #[cold]
    pub(super) fn ended(self, layer: &'static str, cut: Truncated) -> Stop {
        let fate = if self.cut { DamageKind::Truncated } else { DamageKind::Broken };
        Stop::Damaged(PacketDamage { layer, wanted: cut.wanted, at: offset(self.at + cut.at), fate })
    }

    /// The bytes are there but contradict themselves.
    #[cold]
    pub(super) fn broken(self, layer: &'static str, wanted: &'static str) -> Stop {
        Stop::Damaged(PacketDamage { layer, wanted, at: offset(self.at), fate: DamageKind::Broken })
    }
}

fn offset(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

/// Reads one header and says what comes next.
pub(super) type Reader = for<'b> fn(&mut Walk, View<'b>) -> Result<Next<'b>, Stop>;

/// Why a walk ends without a packet.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stop {
    /// Not IP: the ether type, or 0.
    NotIp(u16),
    /// No row for this link type.
    UnknownLink(LinkType),
    /// Known, but not to be read; the name says what.
    Unreadable(&'static str),
    /// Cut or broken.
    Damaged(PacketDamage),
    /// A tunnel whose inside we do not know: the packet around it is the innermost that we can tell.
    Opaque,
    /// Deeper than [`Encapsulation::LIMIT`].
    TooDeep,
}

/// What lies behind a header.
#[derive(Clone, Copy, Debug)]
pub(super) enum Next<'b> {
    /// A layer with its reader.
    Read(Reader, View<'b>),
    /// A frame of this link type.
    Link(LinkType, View<'b>),
    /// What this ether type says.
    EtherType(u16, View<'b>),
    /// An IP packet.
    Ip(View<'b>),
}

/// How sure a tunnel is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Trust {
    /// A protocol number says so.
    Sure,
    /// A port says so: what does not read well was something else.
    Guess,
}

/// What a walk knows about the layers already read.
#[derive(Clone, Debug)]
pub(super) struct Walk {
    /// Tags and tunnels so far.
    pub(super) wrapping: Encapsulation,
    /// Sender and receiver of the innermost IP header so far: the ends of a tunnel inside it.
    pub(super) ends: Option<(Address, Address)>,
    /// True once something was put together from fragments.
    pub(super) joined: bool,
    /// True once an IP header claimed more bytes than its frame had room for.
    pub(super) beyond: bool,
    /// Packets of an 802.11 aggregate behind the first.
    pub(super) aggregated: u16,
}

impl Walk {
    pub(super) const fn new() -> Self {
        Walk { wrapping: Encapsulation::NONE, ends: None, joined: false, beyond: false, aggregated: 0 }
    }

    pub(super) fn clear(&mut self) {
        self.wrapping.clear();
        self.ends = None;
        self.joined = false;
        self.beyond = false;
        self.aggregated = 0;
    }

    /// Notes a tag that has no ends of its own.
    pub(super) fn tag(&mut self, kind: LayerKind, id: u32) -> Result<(), Stop> {
        self.push(Layer { kind, id, src: None, dst: None })
    }

    /// Notes a tunnel between the ends of the IP packet that carries it.
    pub(super) fn tunnel(&mut self, kind: LayerKind, id: u32) -> Result<(), Stop> {
        let (src, dst) = self.ends.unzip();
        self.push(Layer { kind, id, src, dst })
    }

    fn push(&mut self, layer: Layer) -> Result<(), Stop> {
        if self.wrapping.push(layer) { Ok(()) } else { Err(Stop::TooDeep) }
    }
}
