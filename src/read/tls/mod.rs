//! Reads TLS over TCP.
//!
//! In:  both sides' bytes, in order.
//! Out: names (SNI, certificate), versions, ciphers, ALPN; alerts in the clear.
//! Not: whether a name is expected; that is for `judge`.
//!
//! The record layer is ours: tls-parser takes a hello that spans records for an error.

mod certificate;
mod dtls;
mod hello;
mod ja4;
mod talk;

pub(crate) use dtls::SPEC as DTLS;

use super::fact::AppStatus;
use super::fact::AttributeKey;
use super::fact::AttributeValue;
use super::fact::Fact;
use super::http;
use super::reader::Emitter;
use super::reader::OnMatch;
use super::reader::Probe;
use super::reader::Reader;
use super::reader::ReaderSpec;
use super::reader::ReaderTransport;
use super::reader::Sample;
use super::reader::StreamStep;
use super::reader::match_bytes;
use crate::base::Cursor;
use crate::base::Side;
use crate::base::port;
pub(crate) use hello::Carrier;
pub(crate) use talk::CLIENT_HELLO;
pub(crate) use talk::HEADER_LEN as HANDSHAKE_HEADER_LEN;
pub(crate) use talk::SERVER_HELLO;
pub(crate) use talk::Talk;
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
/// RFC 5246 §6.2.3: 2^14 bytes and up to 2,048 of expansion.
const RECORD_LIMIT: usize = 16384 + 2048;
/// RFC 8446 §6: level and description.
const ALERT_LEN: usize = 2;
/// RFC 8446 §6.
const FATAL: u8 = 2;
/// The major version in every record.
const MAJOR: u8 = 3;
/// The highest minor version in a record or hello: 1.3 is written as 1.2, and some write 1.3.
const MINOR_MAX: u8 = 4;

/// A ClientHello is read as far as this.
pub(crate) const HELLO_LIMIT: usize = 32 * 1024;
/// A ServerHello is a few hundred bytes; with a post-quantum key share 1,300.
const SERVER_HELLO_LIMIT: usize = 8 * 1024;
/// A chain of certificates is read as far as this.
const CERTIFICATE_LIMIT: usize = 64 * 1024;
/// Room made at once for a message that is not whole yet.
const GATHER_STEP: usize = 4096;

/// RFC 9112 §4: the beginning of a response.
const PLAIN_HTTP: &[u8] = b"HTTP/1.";
/// The head of a plain answer is waited for as far as this.
const PLAIN_HTTP_LIMIT: usize = 8 * 1024;

/// Ports on which one record header of a conversation under way is enough.
const HOME_PORTS: &[u16] = &[
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
    on_match: OnMatch::Read(|_| Box::new(Tls::new())),
};

/// Tells a record with the beginning of a ClientHello.
pub(crate) fn probe_hello(sample: &Sample<'_>) -> Probe {
    match probe_message(sample.bytes, CLIENT_HELLO) {
        Probe::Maybe(_) => Probe::Maybe(RECORD_HEADER_LEN + HANDSHAKE_HEADER_LEN + 2),
        probe => probe,
    }
}

/// A handshake record that begins with a message of type `kind`.
fn probe_message(bytes: &[u8], kind: u8) -> Probe {
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
        Some(first) if *first != kind => return Probe::No,
        _ if len == 0 => return Probe::No,
        _ => {}
    }
    if len < HANDSHAKE_HEADER_LEN + 2 {
        // A message cut into tiny records: the next record's header must follow.
        return match_bytes(
            c.rest().get(len..).unwrap_or_default(),
            &[(0, |b| b == HANDSHAKE), (1, |b| b == MAJOR)],
        );
    }
    // The message's type, three bytes of length of which 2^17 is the most, its version.
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
    let mut answer = Probe::No;
    for kind in [CLIENT_HELLO, SERVER_HELLO] {
        match probe_message(bytes, kind) {
            Probe::Yes => return Probe::Yes,
            Probe::Maybe(_) => answer = Probe::Maybe(RECORD_HEADER_LEN + HANDSHAKE_HEADER_LEN + 2),
            Probe::No => {}
        }
    }
    for other in [probe_alert(bytes), probe_old_hello(bytes), probe_under_way(sample)] {
        match (other, answer) {
            (Probe::Yes, _) => return Probe::Yes,
            (Probe::Maybe(need), Probe::Maybe(least)) => answer = Probe::Maybe(need.min(least)),
            (Probe::Maybe(_), _) => answer = other,
            (Probe::No, _) => {}
        }
    }
    answer
}

/// An alert in the clear.
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

/// A conversation whose hello was not seen: a record header on a port for TLS, elsewhere two of them.
fn probe_under_way(sample: &Sample<'_>) -> Probe {
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
    if HOME_PORTS.iter().any(|port| sample.has_port(*port)) {
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

/// RFC 5246 appendix E.2: a ClientHello in the clothes of SSL 2.0.
struct OldHello<'a> {
    version: u16,
    ciphers: &'a [u8],
}

/// The fixed part: length with its top bit set, type, version, three lengths.
const OLD_HEADER_LEN: usize = 11;

/// The hello and its length. All its lengths must agree, since its shape has little else to be known by.
fn old_hello(bytes: &[u8]) -> Option<(OldHello<'_>, usize)> {
    let mut c = Cursor::new(bytes);
    let len = usize::from(c.u16("record length").ok()? & 0x7fff);
    c.skip(1, "message type").ok()?;
    let version = c.u16("version").ok()?;
    let ciphers_len = usize::from(c.u16("cipher specs length").ok()?);
    let session_len = usize::from(c.u16("session id length").ok()?);
    let challenge_len = usize::from(c.u16("challenge length").ok()?);
    let agrees = len + 2 == OLD_HEADER_LEN + ciphers_len + session_len + challenge_len
        && ciphers_len > 0
        && ciphers_len.is_multiple_of(3)
        && matches!(session_len, 0 | 16 | 32)
        && (16..=32).contains(&challenge_len);
    if !agrees {
        return None;
    }
    let ciphers = c.take_up_to(ciphers_len);
    Some((OldHello { version, ciphers }, len + 2))
}

fn probe_old_hello(bytes: &[u8]) -> Probe {
    let head = match_bytes(
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
    match head {
        Probe::Yes if old_hello(bytes).is_some() => Probe::Yes,
        Probe::Yes => Probe::No,
        other => other,
    }
}

fn sender_is_client(sample: &Sample<'_>) -> Option<bool> {
    let is = |probe| probe == Probe::Yes;
    if is(probe_message(sample.bytes, CLIENT_HELLO)) || is(probe_old_hello(sample.bytes)) {
        Some(true)
    } else if is(probe_message(sample.bytes, SERVER_HELLO)) {
        Some(false)
    } else {
        None
    }
}

/// One side's place in the record layer.
#[derive(Default)]
struct Half {
    /// Bytes left of the handshake record that is being read.
    record_left: usize,
    /// The beginning of a handshake message that is not whole yet.
    message: Vec<u8>,
    /// Bytes of a handshake message that nobody wants.
    skip: usize,
    /// Something was read of this side.
    begun: bool,
    /// This side said ServerHello.
    serves: bool,
    /// This side sent its half of the keys: what follows its change of the cipher is encrypted.
    keyed: bool,
    sated: bool,
}

/// Reads both sides of a connection.
pub(crate) struct Tls {
    talk: Talk,
    halves: [Half; 2],
}

impl Tls {
    /// A connection of which nothing was read.
    pub(crate) fn new() -> Tls {
        Tls { talk: Talk::new(Carrier::Tls), halves: Default::default() }
    }

    /// Bytes of messages that are not whole yet.
    pub(crate) fn message_bytes(&self) -> usize {
        self.halves.iter().map(|half| half.message.capacity()).sum()
    }
}

impl Reader for Tls {
    fn held_bytes(&self) -> usize {
        size_of::<Tls>() + self.message_bytes()
    }

    fn stream(&mut self, side: Side, bytes: &[u8], emit: &mut Emitter<'_>) -> StreamStep {
        let Tls { talk, halves: [client, server] } = self;
        let half = if side == Side::Client { client } else { server };
        let mut c = Cursor::new(bytes);
        while !half.sated {
            if half.record_left == 0 {
                let start = c.at();
                match half.header(&mut c, side, talk, emit) {
                    Header::Taken => {}
                    Header::Short(need) => return StreamStep::need_more(start, need),
                }
            }
            let body = c.take_up_to(half.record_left);
            half.record_left -= body.len();
            half.feed(body, side, talk, emit);
            if c.is_empty() && !half.sated {
                return StreamStep::need_more(c.at(), 0);
            }
        }
        StreamStep::DONE
    }

    fn stream_ended(&mut self, side: Side, bytes: &[u8], emit: &mut Emitter<'_>) {
        self.stream(side, bytes, emit);
        let Tls { talk, halves: [client, server] } = self;
        let half = if side == Side::Client { client } else { server };
        half.give_up(talk, emit);
    }

    fn finish(&mut self, emit: &mut Emitter<'_>) {
        let Tls { talk, halves } = self;
        for half in halves {
            half.give_up(talk, emit);
        }
    }
}

/// What became of a record header.
enum Header {
    /// It was read; the record's body follows.
    Taken,
    /// So many bytes are needed, from the header's first.
    Short(usize),
}

impl Half {
    fn header(&mut self, c: &mut Cursor<'_>, side: Side, talk: &mut Talk, emit: &mut Emitter<'_>) -> Header {
        if !self.begun && probe_old_hello(c.rest()) == Probe::Yes {
            return self.old_hello(c, emit);
        }
        if !self.begun && c.rest().starts_with(PLAIN_HTTP) {
            return self.plain_answer(c, emit);
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
        let Ok((kind, major, minor, len)) = header else { return Header::Short(RECORD_HEADER_LEN) };
        let known = (CHANGE_CIPHER_SPEC..=HEARTBEAT).contains(&kind) && major == MAJOR && minor <= MINOR_MAX;
        if !known || len > RECORD_LIMIT {
            self.sated = true;
            emit.anomaly(
                "tls",
                if self.begun { "bytes that are no record" } else { "no record where one was expected" },
            );
            return Header::Taken;
        }
        match kind {
            HANDSHAKE => self.record_left = len,
            // Longer ones are encrypted.
            ALERT if len == ALERT_LEN => {
                let Ok(body) = ahead.take(ALERT_LEN, "alert") else {
                    return Header::Short(RECORD_HEADER_LEN + ALERT_LEN);
                };
                self.alert(body, side, emit);
            }
            CHANGE_CIPHER_SPEC => {
                if ahead.skip(len, "change cipher spec").is_err() {
                    return Header::Short(RECORD_HEADER_LEN + len);
                }
                self.change_cipher_spec(side, talk, emit);
            }
            _ => self.sated = true,
        }
        self.begun = true;
        *c = ahead;
        Header::Taken
    }

    /// A box on the path, or a proxy that was not waited for, answers in plain HTTP.
    fn plain_answer(&mut self, c: &mut Cursor<'_>, emit: &mut Emitter<'_>) -> Header {
        self.begun = true;
        match http::tell_plain_answer(c.rest(), emit) {
            Some(len) => {
                emit.anomaly("tls", "answered in plain HTTP");
                c.take_up_to(len);
            }
            None if c.left() < PLAIN_HTTP_LIMIT => {
                self.begun = false;
                return Header::Short(c.left() + 1);
            }
            None => self.sated = true,
        }
        Header::Taken
    }

    fn alert(&mut self, body: &[u8], by: Side, emit: &mut Emitter<'_>) {
        if let Ok((_, TlsMessage::Alert(alert))) = parse_tls_message_alert(body) {
            let fatal = alert.severity.0 == FATAL;
            self.sated = fatal;
            emit.fact(Fact::Status(AppStatus::Alert { by, fatal, description: alert.code.0 }));
        }
    }

    /// Up to TLS 1.2 encryption begins here; in TLS 1.3 it means nothing (RFC 8446 appendix D.4).
    fn change_cipher_spec(&mut self, side: Side, talk: &mut Talk, emit: &mut Emitter<'_>) {
        if self.serves || (side == Side::Server && !talk.greeted()) {
            talk.server_encrypts(emit);
        }
        // A client may send it before its second hello; until the server has chosen, go on.
        self.sated = talk.chosen.is_some() || !talk.greeted() || self.keyed;
    }

    fn old_hello(&mut self, c: &mut Cursor<'_>, emit: &mut Emitter<'_>) -> Header {
        let Some((hello, len)) = old_hello(c.rest()) else {
            self.sated = true;
            return Header::Taken;
        };
        if c.left() < len {
            return Header::Short(len);
        }
        self.begun = true;
        c.take_up_to(len);
        emit.attribute(AttributeKey::TlsOffered, AttributeValue::Number(u64::from(hello.version)));
        // RFC 5246 appendix E.2: suites of SSL 3.0 and later have a zero in front.
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
        Header::Taken
    }

    /// Takes the bytes of handshake records, in order.
    fn feed(&mut self, mut bytes: &[u8], side: Side, talk: &mut Talk, emit: &mut Emitter<'_>) {
        // Every turn takes at least one byte.
        while !bytes.is_empty() && !self.sated {
            if self.skip > 0 {
                let skipped = self.skip.min(bytes.len());
                self.skip -= skipped;
                bytes = bytes.get(skipped..).unwrap_or_default();
                continue;
            }
            if self.message.is_empty()
                && let Some((kind, len)) = message_header(bytes)
            {
                let Some(limit) = self.limit(kind, side) else {
                    self.keyed |= kind == talk::CLIENT_KEY_EXCHANGE;
                    self.skip = HANDSHAKE_HEADER_LEN + len;
                    continue;
                };
                // The common case: all in one piece, nothing is copied.
                let total = HANDSHAKE_HEADER_LEN + len;
                if len <= limit
                    && let Some((message, rest)) = bytes.split_at_checked(total)
                {
                    self.message(message, false, talk, emit);
                    bytes = rest;
                    continue;
                }
            }
            bytes = self.gather(bytes, side, talk, emit);
        }
    }

    /// Keeps what is there of a message; gives back what it did not take.
    fn gather<'b>(
        &mut self,
        bytes: &'b [u8],
        side: Side,
        talk: &mut Talk,
        emit: &mut Emitter<'_>,
    ) -> &'b [u8] {
        let missing = HANDSHAKE_HEADER_LEN.saturating_sub(self.message.len());
        let (head, rest) = bytes.split_at_checked(missing).unwrap_or((bytes, &[]));
        self.message.extend_from_slice(head);
        let Some((kind, len)) = message_header(&self.message) else { return rest };
        let Some(limit) = self.limit(kind, side) else {
            self.message.clear();
            self.keyed |= kind == talk::CLIENT_KEY_EXCHANGE;
            self.skip = len;
            return rest;
        };
        let kept = HANDSHAKE_HEADER_LEN + len.min(limit);
        let missing = kept.saturating_sub(self.message.len());
        if self.message.capacity() < kept {
            // One growth for an honest hello; what is only promised is not paid for.
            self.message.reserve(missing.min(GATHER_STEP));
        }
        let (body, rest) = rest.split_at_checked(missing).unwrap_or((rest, &[]));
        self.message.extend_from_slice(body);
        if self.message.len() == kept {
            let message = std::mem::take(&mut self.message);
            self.skip = len.saturating_sub(limit);
            self.message(&message, len > limit, talk, emit);
        }
        rest
    }

    /// How much of a message is wanted; `None`: nothing.
    fn limit(&self, kind: u8, side: Side) -> Option<usize> {
        match kind {
            CLIENT_HELLO => Some(HELLO_LIMIT),
            SERVER_HELLO => Some(SERVER_HELLO_LIMIT),
            // A client's certificate is not the server's.
            talk::CERTIFICATE if self.serves || side == Side::Server => Some(CERTIFICATE_LIMIT),
            _ => None,
        }
    }

    fn message(&mut self, message: &[u8], cut: bool, talk: &mut Talk, emit: &mut Emitter<'_>) {
        let Some((kind, body)) = message.split_first() else { return };
        let body = body.get(HANDSHAKE_HEADER_LEN - 1..).unwrap_or_default();
        match *kind {
            CLIENT_HELLO => {
                if !talk.client_hello(body, cut, emit) && !cut {
                    emit.anomaly("tls", "ClientHello of another version");
                }
                // The second hello is the last; the first may have been it.
                self.sated = talk.chosen.is_some();
            }
            SERVER_HELLO if !cut => {
                self.serves = true;
                talk.server_hello(body, emit);
                self.sated = talk.hides_certificates();
            }
            talk::CERTIFICATE => talk.certificate(body, emit),
            _ => {}
        }
    }

    /// No more bytes come: tells what can be told of an unfinished message.
    fn give_up(&mut self, talk: &mut Talk, emit: &mut Emitter<'_>) {
        if self.sated {
            return;
        }
        self.sated = true;
        let message = std::mem::take(&mut self.message);
        self.message(&message, true, talk, emit);
        self.sated = true;
    }
}

/// Type and length of a handshake message.
fn message_header(bytes: &[u8]) -> Option<(u8, usize)> {
    let [kind, high, middle, low] = *bytes.first_chunk()?;
    Some((kind, usize::try_from(u32::from_be_bytes([0, high, middle, low])).ok()?))
}

#[cfg(test)]
mod tests;
