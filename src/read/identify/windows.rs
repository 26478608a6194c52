//! Identifies the protocols of Windows networks.
//!
//! In:  the first bytes of a side.
//! Out: SMB, RDP, Kerberos, LDAP, DCE/RPC, NetBIOS.
//! Not: their contents.

use super::after_ber;
use super::ber_contents;
use super::ber_header;
use super::probe_result;
use super::u16_at;
use super::u32_at;
use crate::read::reader::OnMatch;
use crate::read::reader::Probe;
use crate::read::reader::ReaderSpec;
use crate::read::reader::ReaderTransport;
use crate::read::reader::Sample;
use crate::read::reader::match_bytes;

/// SMB 1 to 3, over NetBIOS sessions or directly: [MS-SMB2] §2.1.
pub(crate) const SMB: ReaderSpec = ReaderSpec {
    name: "smb",
    transport: ReaderTransport::Tcp,
    probe: smb,
    sender_is_client: smb_sender_is_client,
    on_match: OnMatch::Stop,
};

fn smb(sample: &Sample<'_>) -> Probe {
    let request = session_request(sample);
    if request != Probe::No {
        return request;
    }
    match_bytes(
        sample.bytes,
        &[
            // RFC 1002 §4.3.1: session message with a 24-bit length.
            (0, |byte| byte == 0),
            (1, |byte| byte <= 1),
            // SMB 1, 2, encrypted, compressed: [MS-CIFS] §2.2.3.1, [MS-SMB2] §2.2.1, §2.2.41, §2.2.42.
            (4, |byte| byte >= 0xfc),
            (5, |byte| byte == b'S'),
            (6, |byte| byte == b'M'),
            (7, |byte| byte == b'B'),
        ],
    )
}

/// RFC 1002 §4.3.2: two encoded names of 34 bytes.
fn session_request(sample: &Sample<'_>) -> Probe {
    match_bytes(
        sample.bytes,
        &[
            (0, |byte| byte == 0x81),
            (1, |byte| byte == 0),
            (2, |byte| byte == 0),
            (3, |byte| byte == 68),
            (4, |byte| byte == 32),
            (5, |byte| byte.is_ascii_uppercase()),
            (37, |byte| byte == 0),
            (38, |byte| byte == 32),
        ],
    )
}

fn smb_sender_is_client(sample: &Sample<'_>) -> Option<bool> {
    if smb(sample) != Probe::Yes {
        return None;
    }
    match sample.bytes.get(4)? {
        // SMB_FLAGS_REPLY, SMB2_FLAGS_SERVER_TO_REDIR.
        0xff => Some(sample.bytes.get(4 + 9)? & 0x80 == 0),
        0xfe => Some(sample.bytes.get(4 + 16)? & 1 == 0),
        32 => Some(true),
        _ => None,
    }
}

/// Remote desktop: [MS-RDPBCGR] §2.2.1.1. TLS starts after the first exchange.
pub(crate) const RDP: ReaderSpec = ReaderSpec {
    name: "rdp",
    transport: ReaderTransport::Tcp,
    probe: rdp,
    sender_is_client: |sample| {
        (rdp(sample) == Probe::Yes).then(|| sample.bytes.get(5) == Some(&CONNECTION_REQUEST))
    },
    on_match: OnMatch::WatchForTls,
};

/// X.224 §13.3: the code of a connection request; §13.4: of its confirmation.
const CONNECTION_REQUEST: u8 = 0xe0;
const CONNECTION_CONFIRM: u8 = 0xd0;

fn rdp(sample: &Sample<'_>) -> Probe {
    let bytes = sample.bytes;
    let start = match_bytes(
        bytes,
        &[
            // RFC 1006 §6: version 3, reserved, length.
            (0, |byte| byte == 3),
            (1, |byte| byte == 0),
            (2, |byte| byte <= 1),
            (5, |byte| byte == CONNECTION_REQUEST || byte == CONNECTION_CONFIRM),
            (10, |byte| byte == 0),
        ],
    );
    if start != Probe::Yes {
        return start;
    }
    let Some(len) = u16_at(bytes, 2).map(usize::from) else { return Probe::No };
    let agrees = bytes.get(4).is_some_and(|indicator| usize::from(*indicator) + 5 == len);
    if !agrees {
        return Probe::No;
    }
    if len == 11 {
        // Without more bytes it may be any ISO transport.
        return probe_result(sample.has_port(3389));
    }
    match bytes.get(11..14) {
        None => Probe::Maybe(14),
        // A cookie or token; a negotiation request, response or failure of eight bytes.
        Some(b"Coo") => Probe::Yes,
        Some([1..=3, _, 8]) => Probe::Yes,
        Some(_) => probe_result(sample.has_port(3389)),
    }
}

/// Kerberos: RFC 4120 §7.2.
pub(crate) const KERBEROS: ReaderSpec = ReaderSpec {
    name: "kerberos",
    transport: ReaderTransport::Both,
    probe: |sample| match kerberos(sample) {
        Ok(_) => Probe::Yes,
        Err(probe) => probe,
    },
    sender_is_client: |sample| kerberos(sample).ok().map(|kind| kind & 1 == 0 && kind != 30),
    on_match: OnMatch::Stop,
};

/// The message type, or the result of the probe.
fn kerberos(sample: &Sample<'_>) -> Result<u8, Probe> {
    let message = if sample.datagram {
        sample.bytes
    } else {
        // RFC 4120 §7.2.2: a length before each message over TCP; the messages are BER.
        match match_bytes(
            sample.bytes,
            &[
                (0, |byte| byte == 0),
                (1, |byte| byte <= 1),
                (4, |byte| (0x6a..=0x7e).contains(&byte)),
                (23, |_| true),
            ],
        ) {
            Probe::Yes => {}
            other => return Err(other),
        }
        let len = u32_at(sample.bytes, 0).and_then(|len| usize::try_from(len).ok()).ok_or(Probe::No)?;
        let message = sample.bytes.get(4..).unwrap_or_default();
        match ber_header(message) {
            Some((_, body, header)) if body + header == len => {}
            _ => return Err(Probe::No),
        }
        message
    };
    let (tag, ..) = ber_header(message).ok_or(Probe::No)?;
    // RFC 4120 §5.10: application tags 10 to 13 of the requests and replies, 30 of errors.
    let kind = tag.wrapping_sub(0x60);
    if !matches!(kind, 10..=13 | 30) {
        return Err(Probe::No);
    }
    let sequence = ber_contents(message, tag).and_then(|body| ber_contents(body, 0x30)).ok_or(Probe::No)?;
    // pvno is 5; requests number their fields from 1, replies from 0.
    let (first, second) = if matches!(kind, 10 | 12) { (0xa1, 0xa2) } else { (0xa0, 0xa1) };
    let fields = [first, 3, 2, 1, 5, second, 3, 2, 1, kind];
    if sequence.starts_with(&fields) { Ok(kind) } else { Err(Probe::No) }
}

/// LDAP over TCP, and Windows' queries over UDP: RFC 4511 §4.1.1. StartTLS may follow.
pub(crate) const LDAP: ReaderSpec = ReaderSpec {
    name: "ldap",
    transport: ReaderTransport::Both,
    probe: |sample| match ldap(sample) {
        Ok(_) => Probe::Yes,
        Err(probe) => probe,
    },
    sender_is_client: |sample| match ldap(sample).ok()? {
        // Requests: bind, unbind, search, modify, add, delete, rename, compare, abandon, extended.
        0x60 | 0x42 | 0x63 | 0x66 | 0x68 | 0x4a | 0x6c | 0x6e | 0x50 | 0x77 => Some(true),
        _ => Some(false),
    },
    on_match: OnMatch::WatchForTls,
};

/// The operation's tag, or the result of the probe.
fn ldap(sample: &Sample<'_>) -> Result<u8, Probe> {
    let bytes = sample.bytes;
    match bytes {
        [] => return Err(Probe::No),
        [0x30, ..] if bytes.len() < 14 && !sample.datagram => {
            // The shortest message has seven bytes; with long forms of lengths the operation's tag is the twelfth or later.
            let complete =
                ber_header(bytes).is_some_and(|(_, len, header)| len >= 5 && bytes.len() >= len + header);
            if !complete {
                return Err(Probe::Maybe(14));
            }
        }
        [0x30, ..] => {}
        _ => return Err(Probe::No),
    }
    let (_, len, _) = ber_header(bytes).ok_or(Probe::No)?;
    let message = ber_contents(bytes, 0x30).ok_or(Probe::No)?;
    let (tag, id_len, _) = ber_header(message).ok_or(Probe::No)?;
    let operation = after_ber(message).ok_or(Probe::No)?;
    let (kind, operation_len, header) = ber_header(operation).ok_or(Probe::No)?;
    let known = matches!(
        kind,
        0x60 | 0x61 | 0x42 | 0x63..=0x6f | 0x73 | 0x4a | 0x50 | 0x77..=0x79
    );
    // Controls may follow the operation; the operation must fit in the message.
    let room = (len + 2).checked_sub(id_len + 2 + header + operation_len);
    let matches = tag == 0x02 && (1..=4).contains(&id_len) && known && room.is_some();
    // The version of a bind is 2 or 3.
    let version = ber_contents(operation, 0x60).is_none_or(|bind| matches!(bind, [2, 1, 2 | 3, ..]));
    if matches && version { Ok(kind) } else { Err(Probe::No) }
}

/// DCE/RPC over TCP: C706 §12.6.
pub(crate) const DCERPC: ReaderSpec = ReaderSpec {
    name: "dcerpc",
    transport: ReaderTransport::Tcp,
    probe: dcerpc,
    sender_is_client: |sample| match sample.bytes.get(2).filter(|_| dcerpc(sample) == Probe::Yes)? {
        0 | 11 | 14 | 16 => Some(true),
        2 | 3 | 12 | 13 | 15 => Some(false),
        _ => None,
    },
    on_match: OnMatch::Stop,
};

fn dcerpc(sample: &Sample<'_>) -> Probe {
    let start = match_bytes(
        sample.bytes,
        &[
            (0, |byte| byte == 5),
            (1, |byte| byte <= 1),
            (2, |byte| matches!(byte, 0 | 2 | 3 | 11..=20)),
            // Data representation: ASCII, IEEE, little- or big-endian.
            (4, |byte| byte == 0x10 || byte == 0),
            (5, |byte| byte == 0),
            (6, |byte| byte == 0),
            (7, |byte| byte == 0),
            (15, |_| true),
        ],
    );
    if start != Probe::Yes {
        return start;
    }
    let Some([low, high]) = sample.bytes.get(8..).and_then(|rest| rest.first_chunk()) else {
        return Probe::No;
    };
    let little = sample.bytes.get(4) == Some(&0x10);
    let len = if little { u16::from_le_bytes([*low, *high]) } else { u16::from_be_bytes([*low, *high]) };
    probe_result((16..=0x2000).contains(&len))
}

/// NetBIOS name service: RFC 1002 §4.2. The encoded name distinguishes it from DNS.
pub(crate) const NBNS: ReaderSpec = ReaderSpec {
    name: "nbns",
    transport: ReaderTransport::Udp,
    probe: nbns,
    sender_is_client: |sample| {
        (nbns(sample) == Probe::Yes).then(|| sample.bytes.get(2).is_some_and(|flags| flags & 0x80 == 0))
    },
    on_match: OnMatch::Stop,
};

fn nbns(sample: &Sample<'_>) -> Probe {
    // RFC 1001 §14.1: sixteen bytes become thirty-two letters from A to P.
    let Some([32, name @ ..]) = sample.bytes.get(12..) else { return Probe::No };
    let encoded = name.get(..32).is_some_and(|name| name.iter().all(|byte| (b'A'..=b'P').contains(byte)));
    probe_result(encoded && name.get(32).is_some_and(|next| *next == 0 || sample.has_port(137)))
}

/// NetBIOS datagrams: RFC 1002 §4.4.1; only on their port and with a complete header.
pub(crate) const NBDGM: ReaderSpec = ReaderSpec {
    name: "nbdgm",
    transport: ReaderTransport::Udp,
    probe: |sample| {
        let start = match_bytes(
            sample.bytes,
            &[(0, |byte| (0x10..=0x16).contains(&byte)), (1, |byte| byte & 0xf0 == 0), (13, |_| true)],
        );
        probe_result(start == Probe::Yes && sample.has_port(138))
    },
    sender_is_client: |_| None,
    on_match: OnMatch::Stop,
};
