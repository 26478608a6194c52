//! The bytes of one protocol layer, and how decoding continues after it.
//!
//! In:  captured bytes and their length on the wire.
//! Out: fields in order, the next layer, or the reason to stop.
//! Not: any protocol.

use crate::base::Address;
use crate::base::Cursor;
use crate::base::Truncated;
use crate::capture::Frame;
use crate::capture::LinkType;

use super::encap_kind::EncapKind;
use super::packet::DamageKind;
use super::packet::EncapHeader;
use super::packet::Encapsulation;
use super::packet::PacketDamage;

/// The bytes of one layer: those that were captured, and how many there were on the wire.
#[derive(Clone, Copy, Debug)]
pub(super) struct LayerSlice<'b> {
    /// The captured bytes.
    pub(super) bytes: &'b [u8],
    /// Length on the wire, as far as the outer layers show; at least `bytes.len()`.
    pub(super) wire_len: usize,
    /// Offset in the frame (in a joined datagram: in its payload).
    offset: usize,
    /// The bytes end where the capture truncated the frame.
    truncated: bool,
}

impl<'b> LayerSlice<'b> {
    /// A whole frame.
    #[inline(always)]
    pub(super) fn frame(frame: &Frame<'b>) -> Self {
        let wire_len = frame.bytes.len().max(frame.wire_len as usize);
        LayerSlice { bytes: frame.bytes, wire_len, offset: 0, truncated: wire_len > frame.bytes.len() }
    }

    /// The payload of a joined datagram: the first `bytes` of `wire_len`.
    pub(super) fn joined(bytes: &'b [u8], wire_len: usize) -> Self {
        LayerSlice {
            bytes,
            wire_len: wire_len.max(bytes.len()),
            offset: 0,
            truncated: wire_len > bytes.len(),
        }
    }

    /// Reads a header of `protocol`: returns the result of `fields`, and what follows the header.
    #[inline(always)]
    pub(super) fn read<T>(
        self,
        protocol: &'static str,
        fields: impl FnOnce(&mut Cursor<'b>) -> Result<T, Truncated>,
    ) -> Result<(T, LayerSlice<'b>), Stop> {
        let mut cursor = Cursor::new(self.bytes);
        match fields(&mut cursor) {
            Ok(value) => Ok((value, self.after(cursor.at()))),
            Err(truncated) => Err(self.ended(protocol, truncated)),
        }
    }

    /// What follows the first `len` bytes.
    #[inline]
    pub(super) fn skip(
        self,
        len: usize,
        protocol: &'static str,
        wanted: &'static str,
    ) -> Result<LayerSlice<'b>, Stop> {
        self.read(protocol, |c| c.skip(len, wanted)).map(|((), rest)| rest)
    }

    /// What follows the first `len` bytes; empty if there are fewer.
    #[inline(always)]
    pub(super) fn after(self, len: usize) -> LayerSlice<'b> {
        let bytes = self.bytes.get(len..).unwrap_or_default();
        let wire_len = self.wire_len.saturating_sub(len).max(bytes.len());
        LayerSlice { bytes, wire_len, offset: self.offset + len, ..self }
    }

    /// The first `len` bytes: a length field excludes the rest. It is used even if the frame was shorter.
    #[inline(always)]
    pub(super) fn limit(self, len: usize) -> LayerSlice<'b> {
        match self.bytes.get(..len) {
            Some(bytes) => LayerSlice { bytes, wire_len: len, truncated: false, ..self },
            None => LayerSlice { wire_len: len, ..self },
        }
    }

    /// The first `len` bytes if there are more: for length fields that only exclude padding.
    pub(super) fn at_most(self, len: usize) -> LayerSlice<'b> {
        if len < self.wire_len { self.limit(len) } else { self }
    }

    /// Two bytes at `offset`, without consuming them.
    #[inline]
    pub(super) fn peek(self, offset: usize) -> Option<u16> {
        let mut c = Cursor::new(self.bytes);
        c.skip(offset, "look ahead").and_then(|()| c.u16("look ahead")).ok()
    }

    /// The upper half of the first byte: the version, if this is IP.
    #[inline]
    pub(super) fn nibble(self) -> Option<u8> {
        self.bytes.first().map(|byte| byte >> 4)
    }

    /// The bytes end before a field of `protocol`.
    #[cold]
    pub(super) fn ended(self, protocol: &'static str, field: Truncated) -> Stop {
        let kind = if self.truncated { DamageKind::Truncated } else { DamageKind::Broken };
        Stop::Damaged(PacketDamage {
            layer: protocol,
            wanted: field.wanted,
            offset: saturate(self.offset + field.at),
            kind,
        })
    }

    /// The bytes are present but contradict each other.
    #[cold]
    pub(super) fn broken(self, protocol: &'static str, wanted: &'static str) -> Stop {
        Stop::Damaged(PacketDamage {
            layer: protocol,
            wanted,
            offset: saturate(self.offset),
            kind: DamageKind::Broken,
        })
    }
}

fn saturate(offset: usize) -> u32 {
    u32::try_from(offset).unwrap_or(u32::MAX)
}

/// Reads one header; returns what comes next.
pub(super) type LayerReader = for<'b> fn(&mut DecodeState, LayerSlice<'b>) -> LayerResult<'b>;

/// The next layer, or the reason to stop.
pub(super) type LayerResult<'b> = Result<NextLayer<'b>, Stop>;

/// Why decoding stopped without a packet.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stop {
    /// Not IP: the EtherType, or 0.
    NotIp(u16),
    /// The link type is not in the table.
    UnknownLink(LinkType),
    /// A known protocol that cannot be read, for example because it is encrypted.
    Unreadable(&'static str),
    /// A header is truncated or malformed.
    Damaged(PacketDamage),
    /// A tunnel whose payload is not known: the packet that carries it is the innermost one.
    Opaque,
    /// More layers than [`Encapsulation::LIMIT`].
    TooDeep,
}

/// What follows a header.
#[derive(Clone, Copy, Debug)]
pub(super) enum NextLayer<'b> {
    /// A layer, with its reader.
    Read(LayerReader, LayerSlice<'b>),
    /// A frame of this link type.
    Link(LinkType, LayerSlice<'b>),
    /// A layer of this EtherType.
    EtherType(u16, LayerSlice<'b>),
    /// An IP packet.
    Ip(LayerSlice<'b>),
}

/// What shows that a packet is a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TunnelEvidence {
    /// Its IP protocol number.
    ProtocolNumber,
    /// Only its port: if the payload does not parse, it is not a tunnel.
    Port,
}

/// What is known of the layers read so far.
#[derive(Clone, Debug)]
pub(super) struct DecodeState {
    /// Tags and tunnels.
    pub(super) encapsulation: Encapsulation,
    /// Sender and receiver in the innermost IP header: the ends of a tunnel that it carries.
    pub(super) ends: Option<(Address, Address)>,
    /// A datagram was joined from fragments.
    pub(super) joined: bool,
    /// The length in an IP header exceeds the frame.
    pub(super) exceeds_frame: bool,
    /// Packets in an 802.11 aggregate after the first.
    pub(super) aggregated: u16,
}

impl DecodeState {
    pub(super) const fn new() -> Self {
        DecodeState {
            encapsulation: Encapsulation::NONE,
            ends: None,
            joined: false,
            exceeds_frame: false,
            aggregated: 0,
        }
    }

    pub(super) fn clear(&mut self) {
        self.encapsulation.clear();
        self.ends = None;
        self.joined = false;
        self.exceeds_frame = false;
        self.aggregated = 0;
    }

    /// Adds a tag without ends of its own.
    pub(super) fn push_tag(&mut self, kind: EncapKind, id: u32) -> Result<(), Stop> {
        self.push(EncapHeader { kind, id, src: None, dst: None })
    }

    /// Adds a tunnel between the ends of the IP packet that carries it.
    pub(super) fn push_tunnel(&mut self, kind: EncapKind, id: u32) -> Result<(), Stop> {
        let (src, dst) = self.ends.unzip();
        self.push(EncapHeader { kind, id, src, dst })
    }

    fn push(&mut self, header: EncapHeader) -> Result<(), Stop> {
        if self.encapsulation.push(header) { Ok(()) } else { Err(Stop::TooDeep) }
    }
}
