//! Identifies databases whose connections may switch to TLS.
//!
//! In:  the first bytes of a side.
//! Out: MySQL, PostgreSQL.
//! Not: queries.

use super::probe_result;
use super::u32_at;
use crate::read::reader::OnMatch;
use crate::read::reader::Probe;
use crate::read::reader::ReaderSpec;
use crate::read::reader::ReaderTransport;
use crate::read::reader::Sample;
use crate::read::reader::match_bytes;

/// MySQL's manual, "Protocol::HandshakeV10": the server's first packet.
pub(crate) const MYSQL: ReaderSpec = ReaderSpec {
    name: "mysql",
    transport: ReaderTransport::Tcp,
    probe: mysql,
    sender_is_client: |sample| (mysql(sample) == Probe::Yes).then_some(false),
    on_match: OnMatch::WatchForTls,
};

fn mysql(sample: &Sample<'_>) -> Probe {
    match_bytes(
        sample.bytes,
        &[
            // Little-endian length of at least 45 bytes, sequence 0, protocol 10, a version such as `8.0`.
            (0, |byte| byte >= 45),
            (1, |byte| byte == 0),
            (2, |byte| byte == 0),
            (3, |byte| byte == 0),
            (4, |byte| byte == 10),
            (5, |byte| byte.is_ascii_digit()),
            (6, |byte| byte == b'.' || byte.is_ascii_digit()),
            (7, |byte| byte == b'.' || byte.is_ascii_digit()),
        ],
    )
}

/// PostgreSQL's manual, "Message Formats": StartupMessage, SSLRequest, GSSENCRequest.
pub(crate) const POSTGRES: ReaderSpec = ReaderSpec {
    name: "postgres",
    transport: ReaderTransport::Tcp,
    probe: postgres,
    sender_is_client: |sample| (postgres(sample) == Probe::Yes).then_some(true),
    on_match: OnMatch::WatchForTls,
};

fn postgres(sample: &Sample<'_>) -> Probe {
    let start = match_bytes(
        sample.bytes,
        &[(0, |byte| byte == 0), (1, |byte| byte == 0), (4, |byte| byte == 0 || byte == 4)],
    );
    if start != Probe::Yes {
        return start;
    }
    let (Some(len), Some(code)) = (u32_at(sample.bytes, 0), u32_at(sample.bytes, 4)) else {
        return Probe::Maybe(8);
    };
    match code {
        80_877_103 | 80_877_104 => probe_result(len == 8),
        0x0003_0000..=0x0003_0002 => match sample.bytes.get(8..13) {
            None => Probe::Maybe(13),
            Some(name) => probe_result(name == b"user\0" || name == b"datab"),
        },
        _ => Probe::No,
    }
}
