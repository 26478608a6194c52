//! Splits QUIC datagrams into packets.
//!
//! In:  a datagram.
//! Out: its long headers, in order.
//! Not: payloads.

use crate::base::Cursor;
use crate::base::Truncated;

/// A QUIC version number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct QuicVersion(pub(crate) u32);

/// RFC 9000 §17.2: the top bit is set in long headers.
const LONG: u8 = 0x80;
/// RFC 9000 §17.2: the fixed bit, which may be greased (RFC 9287).
const FIXED: u8 = 0x40;
/// RFC 9000 §17.2: the longest connection ID of versions 1 and 2.
const ID_LIMIT: usize = 20;

impl QuicVersion {
    /// RFC 9000 §17.2.1: the version of a Version Negotiation packet.
    pub(crate) const NEGOTIATION: QuicVersion = QuicVersion(0);
    /// RFC 9369 §3.1.
    pub(crate) const V2: u32 = 0x6b33_43cf;
    /// draft-ietf-quic-v2-01 to 04.
    pub(crate) const V2_DRAFT: u32 = 0x709a_50c4;

    /// The family and number of a version of gQUIC, which is four characters: `Q043`, `T051`.
    pub(crate) const fn google(self) -> Option<(u8, u32)> {
        let [family, zero, tens, ones] = self.0.to_be_bytes();
        if matches!(family, b'Q' | b'T') && zero == b'0' && tens.is_ascii_digit() && ones.is_ascii_digit() {
            Some((family, (tens - b'0') as u32 * 10 + (ones - b'0') as u32))
        } else {
            None
        }
    }

    /// A draft of version 1.
    pub(crate) const fn is_draft(self) -> bool {
        matches!(self.0, 0xff00_0001..=0xff00_0022)
    }

    /// Google's versions before Q050 and drafts before 22 pack the lengths of both connection IDs, less three, into one byte.
    pub(crate) const fn packs_lengths(self) -> bool {
        matches!(self.google(), Some((b'Q', 44..=49))) || matches!(self.0, 0xff00_0001..=0xff00_0015)
    }

    /// Facebook's library, mvfst.
    pub(crate) const fn is_mvfst(self) -> bool {
        matches!(self.0, 0xface_b000..=0xface_b01f | 0xface_feed)
    }

    /// True for versions that an implementation is known to use.
    pub(crate) const fn is_known(self) -> bool {
        matches!(self.0, 1 | QuicVersion::V2 | QuicVersion::V2_DRAFT | 0xff02_0000)
            || self.is_draft()
            || self.is_mvfst()
            || self.google().is_some()
            // The IETF's list of versions (quicwg wiki, "QUIC Versions"): picoquic, quant, quic-go, quicly, MsQuic.
            || matches!(self.0,
                0x5043_5130..=0x5043_5139
                | 0x4547_4700..=0x4547_47ff
                | 0x5147_4f00..=0x5147_4fff
                | 0x91c1_7000..=0x91c1_70ff
                | 0xabcd_0000..=0xabcd_000f)
            // RFC 9000 §15: reserved to force version negotiation.
            || self.0 & 0x0f0f_0f0f == 0x0a0a_0a0a
    }
}

/// The types of packets with a long header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PacketType {
    Initial,
    ZeroRtt,
    Handshake,
    Retry,
    VersionNegotiation,
}

/// A long header: RFC 8999 §5.1.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LongHeader<'a> {
    pub(crate) first: u8,
    pub(crate) version: QuicVersion,
    pub(crate) destination: &'a [u8],
    pub(crate) packet_type: PacketType,
}

/// An Initial packet: RFC 9000 §17.2.2.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InitialPacket<'a> {
    /// The first byte, protected.
    pub(crate) first: u8,
    /// All bytes before the packet number.
    pub(crate) header: &'a [u8],
    /// Packet number and payload, protected.
    pub(crate) protected: &'a [u8],
}

/// Parses the long header at the cursor. `Ok(None)`: a short header, padding, or another protocol.
pub(crate) fn parse_long_header<'a>(c: &mut Cursor<'a>) -> Result<Option<LongHeader<'a>>, Truncated> {
    let first = c.u8("first byte")?;
    if first & LONG == 0 {
        return Ok(None);
    }
    let version = QuicVersion(c.u32("version")?);
    if version != QuicVersion::NEGOTIATION && first & FIXED == 0 {
        return Ok(None);
    }
    let destination = if version.packs_lengths() {
        let lens = c.u8("connection id lengths")?;
        let len = |nibble: u8| if nibble == 0 { 0 } else { usize::from(nibble) + 3 };
        let destination = c.take(len(lens >> 4), "destination connection id")?;
        c.skip(len(lens & 15), "source connection id")?;
        destination
    } else {
        let destination_len = usize::from(c.u8("destination connection id length")?);
        if destination_len > ID_LIMIT {
            return Ok(None);
        }
        let destination = c.take(destination_len, "destination connection id")?;
        let source_len = usize::from(c.u8("source connection id length")?);
        if source_len > ID_LIMIT {
            return Ok(None);
        }
        c.skip(source_len, "source connection id")?;
        destination
    };
    let bits = (first >> 4) & 3;
    let v2 = matches!(version.0, QuicVersion::V2 | QuicVersion::V2_DRAFT | 0xff02_0000);
    let packet_type = match (version, v2, bits) {
        (QuicVersion::NEGOTIATION, ..) => PacketType::VersionNegotiation,
        // RFC 9000 §17.2 and RFC 9369 §3.2.
        (_, false, 0) | (_, true, 1) => PacketType::Initial,
        (_, false, 1) | (_, true, 2) => PacketType::ZeroRtt,
        (_, false, 2) | (_, true, 3) => PacketType::Handshake,
        _ => PacketType::Retry,
    };
    Ok(Some(LongHeader { first, version, destination, packet_type }))
}

/// Parses the rest of a packet after its long header; `start` is the packet's offset in `datagram`.
/// `Ok(None)` for packets without a length.
pub(crate) fn parse_body<'a>(
    datagram: &'a [u8],
    start: usize,
    header: &LongHeader<'_>,
    c: &mut Cursor<'a>,
) -> Result<Option<InitialPacket<'a>>, Truncated> {
    match header.packet_type {
        PacketType::Initial => {
            let token_len = varint(c)?;
            c.skip(token_len, "token")?;
        }
        PacketType::ZeroRtt | PacketType::Handshake => {}
        PacketType::Retry | PacketType::VersionNegotiation => return Ok(None),
    }
    let len = varint(c)?;
    let header_bytes = datagram.get(start..c.at()).unwrap_or_default();
    let protected = c.take(len, "protected part")?;
    Ok(Some(InitialPacket { first: header.first, header: header_bytes, protected }))
}

/// RFC 9000 §16: a variable-length integer.
pub(crate) fn varint(c: &mut Cursor<'_>) -> Result<usize, Truncated> {
    let first = c.u8("variable-length integer")?;
    let mut value = u64::from(first & 0x3f);
    let more = (1 << (first >> 6)) - 1;
    for _ in 0..more {
        value = value << 8 | u64::from(c.u8("variable-length integer")?);
    }
    Ok(usize::try_from(value).unwrap_or(usize::MAX))
}
