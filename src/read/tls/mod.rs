//! Reads TLS over TCP.
//!
//! In:  both sides' bytes, in order.
//! Out: names (SNI, certificate), versions, cipher suites, ALPN; unencrypted alerts.
//! Not: whether a name is expected; that is for `judge`.
//!
//! The record layer is parsed here, because tls-parser rejects a ClientHello that spans records.

mod certificate;
mod dtls;
mod handshake;
mod hello;
mod ja4;

pub(crate) use dtls::SPEC as DTLS;

use super::attributes::AttributeKey;
use super::attributes::AttributeValue;
use super::fact::AppStatus;
use super::fact::Fact;
use super::http;
use super::reader::Emitter;
use super::reader::OnMatch;
use super::reader::Probe;
use super::reader::ProtocolReader;
use super::reader::ReaderSpec;
use super::reader::ReaderTransport;
use super::reader::Sample;
use super::reader::StreamStep;
use super::reader::match_bytes;
use crate::base::Cursor;
use crate::base::Side;
use crate::base::port;
pub(crate) use handshake::CLIENT_HELLO;
pub(crate) use handshake::HEADER_LEN as HANDSHAKE_HEADER_LEN;
pub(crate) use handshake::SERVER_HELLO;
pub(crate) use handshake::TlsHandshake;
pub(crate) use hello::Carrier;
use tls_parser::TlsMessage;
use tls_parser::parse_tls_message_alert;

/// RFC 8446 §5.1: record types.
const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;
/// RFC 6520 §3.
const HEARTBEAT: u8 = 24;
/// RFC 8446 §5.1: type, version, length.
const RECORD_HEADER_LEN: usize = 5;
/// RFC 5246 §6.2.3: 2^14 bytes and up to 2,048 bytes of expansion.
const RECORD_LIMIT: usize = 16384 + 2048;
/// RFC 8446 §6: level and description.
const ALERT_LEN: usize = 2;
/// RFC 8446 §6.
const FATAL: u8 = 2;
/// The major version in every record.
const MAJOR: u8 = 3;
/// The highest minor version of a record or ClientHello: TLS 1.3 is written as 1.2, and by some clients as 1.3.
const MINOR_MAX: u8 = 4;

/// Bytes read of a ClientHello.
pub(crate) const HELLO_LIMIT: usize = 32 * 1024;
/// Bytes read of a ServerHello. It has a few hundred bytes, with a post-quantum key share 1,300.
const SERVER_HELLO_LIMIT: usize = 8 * 1024;
/// Bytes read of a certificate chain.
const CERTIFICATE_LIMIT: usize = 64 * 1024;
/// Bytes reserved at once for an incomplete message.
const RESERVE_STEP: usize = 4096;

/// RFC 9112 §4: the start of a response.
const HTTP_RESPONSE: &[u8] = b"HTTP/1.";
/// Bytes read of the head of a plain HTTP response.
const HTTP_HEAD_LIMIT: usize = 8 * 1024;

/// Ports on which one record header identifies a connection whose ClientHello was not captured.
const TLS_PORTS: &[u16] = &[
    port::HTTPS,
    465,
    636,
    port::DNS_OVER_TLS,
    989,
    990,
    993,
    995,
    3269,
    5061,
    5671,
    5986,
    6514,
    8443,
    8883,
    9443,
];

/// The reader's row.
pub(crate) const SPEC: ReaderSpec = ReaderSpec {
    name: "tls",
    transport: ReaderTransport::Tcp,
    probe,
    sender_is_client,
    on_match: OnMatch::Read(|_| Box::new(TlsReader::new())),
};

/// Recognises a record with the start of a ClientHello.
pub(crate) fn probe_hello(sample: &Sample<'_>) -> Probe {
    match probe_message(sample.bytes, CLIENT_HELLO) {
        Probe::Maybe(_) => Probe::Maybe(RECORD_HEADER_LEN + HANDSHAKE_HEADER_LEN + 2),
        probe => probe,
    }
}

/// Recognises a handshake record that starts with a message of this type.
fn probe_message(bytes: &[u8], message_type: u8) -> Probe {
    let record = match_bytes(
        bytes,
        &[
            (0, |byte| byte == HANDSHAKE),
            (1, |byte| byte == MAJOR),
            (2, |byte| byte <= MINOR_MAX),
            (3, |byte| byte <= (RECORD_LIMIT >> 8) as u8),
            (4, |_| true),
        ],
    );
    if record != Probe::Yes {
        return record;
    }
    let mut c = Cursor::new(bytes);
    let len = (|| {
        c.skip(3, "record type and version")?;
        c.u16("record length")
    })();
    let len = usize::from(len.unwrap_or_default());
    match c.rest().first() {
        Some(first) if *first != message_type => return Probe::No,
        _ if len == 0 => return Probe::No,
        _ => {}
    }
    if len < HANDSHAKE_HEADER_LEN + 2 {
        // A message split into tiny records: the next record's header must follow.
        return match_bytes(
            c.rest().get(len..).unwrap_or_default(),
            &[(0, |b| b == HANDSHAKE), (1, |b| b == MAJOR)],
        );
    }
    // The message's type, its 24-bit length of at most 2^17, its version.
    match match_bytes(
        c.rest(),
        &[
            (0, |_| true),
            (1, |b| b <= 1),
            (2, |_| true),
            (3, |_| true),
            (4, |b| b == MAJOR),
            (5, |b| b <= MINOR_MAX),
        ],
    ) {
        Probe::Maybe(need) => Probe::Maybe(RECORD_HEADER_LEN + need),
        probe => probe,
    }
}

fn probe(sample: &Sample<'_>) -> Probe {
    let bytes = sample.bytes;
    let mut result = Probe::No;
    for message_type in [CLIENT_HELLO, SERVER_HELLO] {
        match probe_message(bytes, message_type) {
            Probe::Yes => return Probe::Yes,
            Probe::Maybe(_) => result = Probe::Maybe(RECORD_HEADER_LEN + HANDSHAKE_HEADER_LEN + 2),
            Probe::No => {}
        }
    }
    for other in [probe_alert(bytes), probe_sslv2_hello(bytes), probe_midstream(sample)] {
        match (other, result) {
            (Probe::Yes, _) => return Probe::Yes,
            (Probe::Maybe(need), Probe::Maybe(least)) => result = Probe::Maybe(need.min(least)),
            (Probe::Maybe(_), _) => result = other,
            (Probe::No, _) => {}
        }
    }
    result
}

/// Recognises an unencrypted alert.
fn probe_alert(bytes: &[u8]) -> Probe {
    match_bytes(
        bytes,
        &[
            (0, |byte| byte == ALERT),
            (1, |byte| byte == MAJOR),
            (2, |byte| byte <= MINOR_MAX),
            (3, |byte| byte == 0),
            (4, |byte| usize::from(byte) == ALERT_LEN),
            (5, |byte| byte == 1 || byte == FATAL),
            (6, |_| true),
        ],
    )
}

/// Recognises a connection whose ClientHello was not captured: by one record header on a TLS port, by two on another port.
fn probe_midstream(sample: &Sample<'_>) -> Probe {
    let header = match_bytes(
        sample.bytes,
        &[
            (0, |byte| (CHANGE_CIPHER_SPEC..=APPLICATION_DATA).contains(&byte)),
            (1, |byte| byte == MAJOR),
            (2, |byte| (1..=MINOR_MAX).contains(&byte)),
            (3, |byte| byte <= (RECORD_LIMIT >> 8) as u8),
            (4, |_| true),
        ],
    );
    if header != Probe::Yes {
        return header;
    }
    let Some([_, _, _, high, low]) = sample.bytes.first_chunk() else { return Probe::No };
    let len = usize::from(u16::from_be_bytes([*high, *low]));
    if len == 0 {
        return Probe::No;
    }
    if TLS_PORTS.iter().any(|port| sample.has_port(*port)) {
        return Probe::Yes;
    }
    let next = RECORD_HEADER_LEN + len;
    match match_bytes(
        sample.bytes.get(next..).unwrap_or_default(),
        &[
            (0, |byte| (CHANGE_CIPHER_SPEC..=APPLICATION_DATA).contains(&byte)),
            (1, |byte| byte == MAJOR),
            (2, |byte| (1..=MINOR_MAX).contains(&byte)),
        ],
    ) {
        Probe::Maybe(need) => Probe::Maybe(next + need),
        probe => probe,
    }
}

/// RFC 5246 appendix E.2: a ClientHello in the format of SSL 2.0.
struct Sslv2Hello<'a> {
    version: u16,
    ciphers: &'a [u8],
}

/// The fixed fields: length with its top bit set, type, version, three lengths.
const SSLV2_HEADER_LEN: usize = 11;

/// Parses the hello; returns it and its length. All its lengths must agree, because it has few other fixed bytes.
fn parse_sslv2_hello(bytes: &[u8]) -> Option<(Sslv2Hello<'_>, usize)> {
    let mut c = Cursor::new(bytes);
    let len = usize::from(c.u16("record length").ok()? & 0x7fff);
    c.skip(1, "message type").ok()?;
    let version = c.u16("version").ok()?;
    let ciphers_len = usize::from(c.u16("cipher specs length").ok()?);
    let session_len = usize::from(c.u16("session id length").ok()?);
    let challenge_len = usize::from(c.u16("challenge length").ok()?);
    let consistent = len + 2 == SSLV2_HEADER_LEN + ciphers_len + session_len + challenge_len
        && ciphers_len > 0
        && ciphers_len.is_multiple_of(3)
        && matches!(session_len, 0 | 16 | 32)
        && (16..=32).contains(&challenge_len);
    if !consistent {
        return None;
    }
    let ciphers = c.take_up_to(ciphers_len);
    Some((Sslv2Hello { version, ciphers }, len + 2))
}

fn probe_sslv2_hello(bytes: &[u8]) -> Probe {
    let header = match_bytes(
        bytes,
        &[
            (0, |byte| byte & 0xf0 == 0x80),
            (1, |_| true),
            (2, |byte| byte == CLIENT_HELLO),
            (3, |byte| byte == MAJOR || byte == 0),
            (4, |byte| byte <= MINOR_MAX),
            (10, |_| true),
        ],
    );
    match header {
        Probe::Yes if parse_sslv2_hello(bytes).is_some() => Probe::Yes,
        Probe::Yes => Probe::No,
        other => other,
    }
}

fn sender_is_client(sample: &Sample<'_>) -> Option<bool> {
    let is_hello = |message_type| probe_message(sample.bytes, message_type) == Probe::Yes;
    if is_hello(CLIENT_HELLO) || probe_sslv2_hello(sample.bytes) == Probe::Yes {
        Some(true)
    } else if is_hello(SERVER_HELLO) {
        Some(false)
    } else {
        None
    }
}

/// The record layer of one side.
#[derive(Default)]
struct RecordLayer {
    /// Bytes left of the current handshake record.
    record_left: usize,
    /// The first bytes of an incomplete handshake message.
    message: Vec<u8>,
    /// Bytes left of a handshake message that is not read.
    skip: usize,
    /// A record or hello of this side was read.
    started: bool,
    /// This side sent a ServerHello.
    is_server: bool,
    /// This side sent a ClientKeyExchange: records after its ChangeCipherSpec are encrypted.
    key_exchanged: bool,
    done: bool,
}

/// Reads both sides of a connection.
pub(crate) struct TlsReader {
    handshake: TlsHandshake,
    /// By side.
    records: [RecordLayer; 2],
}

impl TlsReader {
    /// A connection before its first byte.
    pub(crate) fn new() -> TlsReader {
        TlsReader { handshake: TlsHandshake::new(Carrier::Tls), records: Default::default() }
    }

    /// Memory of incomplete messages.
    pub(crate) fn message_bytes(&self) -> usize {
        self.records.iter().map(|records| records.message.capacity()).sum()
    }
}

impl ProtocolReader for TlsReader {
    fn held_bytes(&self) -> usize {
        size_of::<TlsReader>() + self.message_bytes()
    }

    fn stream(&mut self, side: Side, bytes: &[u8], emit: &mut Emitter<'_>) -> StreamStep {
        let TlsReader { handshake, records: [client, server] } = self;
        let records = if side == Side::Client { client } else { server };
        let mut c = Cursor::new(bytes);
        while !records.done {
            if records.record_left == 0 {
                let start = c.at();
                match records.header(&mut c, side, handshake, emit) {
                    HeaderResult::Read => {}
                    HeaderResult::NeedMore(need) => return StreamStep::need_more(start, need),
                }
            }
            let body = c.take_up_to(records.record_left);
            records.record_left -= body.len();
            records.handshake_bytes(body, side, handshake, emit);
            if c.is_empty() && !records.done {
                return StreamStep::need_more(c.at(), 0);
            }
        }
        StreamStep::DONE
    }

    fn stream_ended(&mut self, side: Side, bytes: &[u8], emit: &mut Emitter<'_>) {
        self.stream(side, bytes, emit);
        let TlsReader { handshake, records: [client, server] } = self;
        let records = if side == Side::Client { client } else { server };
        records.flush(handshake, emit);
    }

    fn finish(&mut self, emit: &mut Emitter<'_>) {
        let TlsReader { handshake, records } = self;
        for records in records {
            records.flush(handshake, emit);
        }
        handshake.ended(emit);
    }
}

/// The result of reading a record header.
enum HeaderResult {
    /// It was read; the record's body follows.
    Read,
    /// This many bytes are needed, counted from the first of the header.
    NeedMore(usize),
}

impl RecordLayer {
    fn header(
        &mut self,
        c: &mut Cursor<'_>,
        side: Side,
        handshake: &mut TlsHandshake,
        emit: &mut Emitter<'_>,
    ) -> HeaderResult {
        if !self.started && probe_sslv2_hello(c.rest()) == Probe::Yes {
            return self.sslv2_hello(c, emit);
        }
        if !self.started && c.rest().starts_with(HTTP_RESPONSE) {
            return self.http_response(c, emit);
        }
        let mut ahead = *c;
        let header: Result<_, crate::base::Truncated> = (|| {
            Ok((
                ahead.u8("record type")?,
                ahead.u8("major")?,
                ahead.u8("minor")?,
                usize::from(ahead.u16("length")?),
            ))
        })();
        let Ok((content_type, major, minor, len)) = header else {
            return HeaderResult::NeedMore(RECORD_HEADER_LEN);
        };
        let known =
            (CHANGE_CIPHER_SPEC..=HEARTBEAT).contains(&content_type) && major == MAJOR && minor <= MINOR_MAX;
        if !known || len > RECORD_LIMIT {
            self.done = true;
            emit.anomaly(
                "tls",
                if self.started { "bytes that are not a record" } else { "no record at the start" },
            );
            return HeaderResult::Read;
        }
        match content_type {
            HANDSHAKE => self.record_left = len,
            // A longer alert is encrypted.
            ALERT if len == ALERT_LEN => {
                let Ok(body) = ahead.take(ALERT_LEN, "alert") else {
                    return HeaderResult::NeedMore(RECORD_HEADER_LEN + ALERT_LEN);
                };
                self.alert(body, side, emit);
                // Neither side is read any more after it.
                if self.done && self.is_server {
                    handshake.ended(emit);
                }
            }
            CHANGE_CIPHER_SPEC => {
                if ahead.skip(len, "change cipher spec").is_err() {
                    return HeaderResult::NeedMore(RECORD_HEADER_LEN + len);
                }
                self.change_cipher_spec(side, handshake, emit);
            }
            _ => self.done = true,
        }
        self.started = true;
        *c = ahead;
        HeaderResult::Read
    }

    /// Reads a response in plain HTTP: of a middlebox, or of a proxy whose response the client did not wait for.
    fn http_response(&mut self, c: &mut Cursor<'_>, emit: &mut Emitter<'_>) -> HeaderResult {
        self.started = true;
        match http::emit_plain_response(c.rest(), emit) {
            Some(len) => {
                emit.anomaly("tls", "plain HTTP response");
                c.take_up_to(len);
            }
            None if c.left() < HTTP_HEAD_LIMIT => {
                self.started = false;
                return HeaderResult::NeedMore(c.left() + 1);
            }
            None => self.done = true,
        }
        HeaderResult::Read
    }

    fn alert(&mut self, body: &[u8], by: Side, emit: &mut Emitter<'_>) {
        if let Ok((_, TlsMessage::Alert(alert))) = parse_tls_message_alert(body) {
            let fatal = alert.severity.0 == FATAL;
            self.done = fatal;
            emit.fact(Fact::Status(AppStatus::Alert { by, fatal, description: alert.code.0 }));
        }
    }

    /// Up to TLS 1.2 encryption starts here; in TLS 1.3 the record has no meaning (RFC 8446 appendix D.4).
    fn change_cipher_spec(&mut self, side: Side, handshake: &mut TlsHandshake, emit: &mut Emitter<'_>) {
        if self.is_server || (side == Side::Server && !handshake.has_client_hello()) {
            handshake.server_encryption_starts(emit);
        }
        // A client may send it before its second ClientHello, so reading continues until the server has chosen.
        self.done = handshake.chosen.is_some() || !handshake.has_client_hello() || self.key_exchanged;
    }

    fn sslv2_hello(&mut self, c: &mut Cursor<'_>, emit: &mut Emitter<'_>) -> HeaderResult {
        let Some((hello, len)) = parse_sslv2_hello(c.rest()) else {
            self.done = true;
            return HeaderResult::Read;
        };
        if c.left() < len {
            return HeaderResult::NeedMore(len);
        }
        self.started = true;
        c.take_up_to(len);
        emit.attribute(AttributeKey::TlsOffered, AttributeValue::Number(u64::from(hello.version)));
        // RFC 5246 appendix E.2: cipher suites of SSL 3.0 and later have a leading zero.
        let ciphers: std::sync::Arc<[u16]> = hello
            .ciphers
            .as_chunks::<3>()
            .0
            .iter()
            .filter(|[zero, ..]| *zero == 0)
            .map(|[_, high, low]| u16::from_be_bytes([*high, *low]))
            .collect();
        if !ciphers.is_empty() {
            emit.attribute(AttributeKey::TlsCiphers, AttributeValue::Codes(ciphers));
        }
        HeaderResult::Read
    }

    /// Reads the bytes of handshake records, in order.
    fn handshake_bytes(
        &mut self,
        mut bytes: &[u8],
        side: Side,
        handshake: &mut TlsHandshake,
        emit: &mut Emitter<'_>,
    ) {
        // Each iteration takes at least one byte.
        while !bytes.is_empty() && !self.done {
            if self.skip > 0 {
                let skipped = self.skip.min(bytes.len());
                self.skip -= skipped;
                bytes = bytes.get(skipped..).unwrap_or_default();
                continue;
            }
            if self.message.is_empty()
                && let Some((message_type, len)) = parse_message_header(bytes)
            {
                let Some(limit) = self.limit(message_type, side) else {
                    self.key_exchanged |= message_type == handshake::CLIENT_KEY_EXCHANGE;
                    self.skip = HANDSHAKE_HEADER_LEN + len;
                    continue;
                };
                // The common case: the message is complete and nothing is copied.
                let total = HANDSHAKE_HEADER_LEN + len;
                if len <= limit
                    && let Some((message, rest)) = bytes.split_at_checked(total)
                {
                    self.message(message, false, handshake, emit);
                    bytes = rest;
                    continue;
                }
            }
            bytes = self.buffer(bytes, side, handshake, emit);
        }
    }

    /// Buffers the bytes of an incomplete message; returns the bytes after it.
    fn buffer<'b>(
        &mut self,
        bytes: &'b [u8],
        side: Side,
        handshake: &mut TlsHandshake,
        emit: &mut Emitter<'_>,
    ) -> &'b [u8] {
        let missing = HANDSHAKE_HEADER_LEN.saturating_sub(self.message.len());
        let (head, rest) = bytes.split_at_checked(missing).unwrap_or((bytes, &[]));
        self.message.extend_from_slice(head);
        let Some((message_type, len)) = parse_message_header(&self.message) else { return rest };
        let Some(limit) = self.limit(message_type, side) else {
            self.message.clear();
            self.key_exchanged |= message_type == handshake::CLIENT_KEY_EXCHANGE;
            self.skip = len;
            return rest;
        };
        let kept = HANDSHAKE_HEADER_LEN + len.min(limit);
        let missing = kept.saturating_sub(self.message.len());
        if self.message.capacity() < kept {
            // One allocation for a usual hello, without trusting the length.
            self.message.reserve(missing.min(RESERVE_STEP));
        }
        let (body, rest) = rest.split_at_checked(missing).unwrap_or((rest, &[]));
        self.message.extend_from_slice(body);
        if self.message.len() == kept {
            let message = std::mem::take(&mut self.message);
            self.skip = len.saturating_sub(limit);
            self.message(&message, len > limit, handshake, emit);
        }
        rest
    }

    /// Bytes to read of a message of this type; `None` when it is not read.
    fn limit(&self, message_type: u8, side: Side) -> Option<usize> {
        match message_type {
            CLIENT_HELLO => Some(HELLO_LIMIT),
            SERVER_HELLO => Some(SERVER_HELLO_LIMIT),
            // A client's certificate is not the server's.
            handshake::CERTIFICATE if self.is_server || side == Side::Server => Some(CERTIFICATE_LIMIT),
            _ => None,
        }
    }

    fn message(&mut self, message: &[u8], cut: bool, handshake: &mut TlsHandshake, emit: &mut Emitter<'_>) {
        let Some((message_type, body)) = message.split_first() else { return };
        let body = body.get(HANDSHAKE_HEADER_LEN - 1..).unwrap_or_default();
        match *message_type {
            CLIENT_HELLO => {
                if !handshake.client_hello(body, cut, emit) && !cut {
                    emit.anomaly("tls", "ClientHello of an unknown version");
                }
                // A second ClientHello is the last; this one may have been the second.
                self.done = handshake.chosen.is_some();
            }
            SERVER_HELLO if !cut => {
                self.is_server = true;
                handshake.server_hello(body, emit);
                self.done = handshake.encrypts_certificates();
            }
            handshake::CERTIFICATE => handshake.certificate(body, emit),
            _ => {}
        }
    }

    /// Reads an incomplete message as far as it goes; no more bytes will arrive.
    fn flush(&mut self, handshake: &mut TlsHandshake, emit: &mut Emitter<'_>) {
        if self.done {
            return;
        }
        self.done = true;
        let message = std::mem::take(&mut self.message);
        self.message(&message, true, handshake, emit);
        self.done = true;
    }
}

/// Type and length of a handshake message.
fn parse_message_header(bytes: &[u8]) -> Option<(u8, usize)> {
    let [kind, high, middle, low] = *bytes.first_chunk()?;
    Some((kind, usize::try_from(u32::from_be_bytes([0, high, middle, low])).ok()?))
}

#[cfg(test)]
mod tests;
