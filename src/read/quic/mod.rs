//! Reads QUIC: the hello inside the first packets, which only look encrypted.
//!
//! In:  datagrams of both sides.
//! Out: version, and what a TLS handshake tells up to ServerHello; a refusal in the first packets.
//! Not: anything behind the handshake.

mod google;
mod keys;
mod packet;

use super::assembler::Assembler;
use super::fact::AppStatus;
use super::fact::AttributeKey;
use super::fact::AttributeValue;
use super::fact::Fact;
use super::fact::NameSource;
use super::reader::Emitter;
use super::reader::OnMatch;
use super::reader::Probe;
use super::reader::Reader;
use super::reader::ReaderSpec;
use super::reader::ReaderTransport;
use super::reader::Sample;
use super::reader::StreamStep;
use super::tls::CLIENT_HELLO;
use super::tls::Carrier;
use super::tls::HANDSHAKE_HEADER_LEN;
use super::tls::SERVER_HELLO;
use super::tls::Talk;
use crate::base::Cursor;
use crate::base::HostName;
use crate::base::Side;
use crate::base::Truncated;
use crate::base::port;
use crate::flow::ReadProgress;
use keys::Keys;
use keys::Sender;
use packet::Initial;
use packet::Kind;
use packet::Long;
use packet::Version;
use packet::varint;

/// Initial packets tried on each side of a conversation.
const INITIAL_LIMIT: u8 = 16;
/// Datagrams looked at in a conversation.
const DATAGRAM_LIMIT: u8 = 32;
/// Datagrams looked at after the hello, for the server's answer.
const ANSWER_LIMIT: u8 = 12;
/// Packets in one datagram.
const PACKET_LIMIT: usize = 8;
/// Frames in one packet that are not padding.
const FRAME_LIMIT: usize = 256;
/// Bytes of CRYPTO frames kept of a side.
const CRYPTO_LIMIT: usize = 64 * 1024;
/// RFC 9000 §14.1: a client's first datagrams are at least this long.
const DATAGRAM_MIN: usize = 1200;
/// Ports on which an unknown version is believed.
const HOME_PORTS: &[u16] = &[port::HTTPS, 784, port::DNS_OVER_TLS, 8443];

/// RFC 9000 §19: frame types that an Initial may hold (§12.4).
const PADDING: u8 = 0x00;
const PING: usize = 0x01;
const ACK: usize = 0x02;
const ACK_ECN: usize = 0x03;
const CRYPTO: usize = 0x06;
const CONNECTION_CLOSE: usize = 0x1c;
/// Google's number for CRYPTO in Q050.
const GOOGLE_CRYPTO: usize = 0x08;
/// RFC 9001 §4.8: an alert is told as this plus its description.
const CRYPTO_ERROR: usize = 0x0100;

/// The reader's row.
pub(crate) const SPEC: ReaderSpec = ReaderSpec {
    name: "quic",
    transport: ReaderTransport::Udp,
    probe,
    sender_is_client,
    on_match: OnMatch::Read(|_| Box::new(Quic::new())),
};

fn probe(sample: &Sample<'_>) -> Probe {
    if google_header(sample.bytes).is_some() {
        return Probe::Yes;
    }
    let mut c = Cursor::new(sample.bytes);
    let Ok(Some(long)) = packet::long(&mut c) else { return Probe::No };
    let home = HOME_PORTS.iter().any(|port| sample.has_port(*port));
    let believed = match long.kind {
        // RFC 9000 §17.2.1: a list of versions, and nothing else.
        Kind::Negotiation => {
            let list = c.rest().as_chunks::<4>();
            !list.0.is_empty()
                && list.1.is_empty()
                && list.0.iter().all(|version| Version(u32::from_be_bytes(*version)).is_known())
        }
        _ if long.version.is_known() => match packet::body(sample.bytes, 0, &long, &mut c) {
            Ok(_) => true,
            // Cut by the capture, or a length that lies.
            Err(_) => sample.wire_len > sample.bytes.len() || long.version.google().is_some(),
        },
        Kind::Initial => home && sample.wire_len >= DATAGRAM_MIN && long.destination.len() >= 8,
        _ => false,
    };
    if believed { Probe::Yes } else { Probe::No }
}

fn sender_is_client(sample: &Sample<'_>) -> Option<bool> {
    if probe(sample) != Probe::Yes {
        return None;
    }
    let mut c = Cursor::new(sample.bytes);
    match packet::long(&mut c) {
        Ok(Some(long)) => match long.kind {
            Kind::Negotiation | Kind::Retry => Some(false),
            Kind::ZeroRtt => Some(true),
            // RFC 9000 §7.2: a client's first choice has eight bytes at least; many clients have an empty id of their own.
            _ if long.destination.len() < 8 => Some(false),
            _ => match (HOME_PORTS.contains(&sample.from_port), HOME_PORTS.contains(&sample.to_port)) {
                (true, false) => Some(false),
                (false, true) => Some(true),
                _ => None,
            },
        },
        // Only clients say the version in Google's old header.
        _ => Some(true),
    }
}

/// Google's header before Q044: flags, connection id, version. Only clients say the version.
fn google_header(bytes: &[u8]) -> Option<Version> {
    /// The version is there.
    const VERSION: u8 = 0x01;
    /// A connection id of eight bytes is there.
    const CONNECTION_ID: u8 = 0x08;
    let mut c = Cursor::new(bytes);
    let flags = c.u8("flags").ok()?;
    if flags & 0xc0 != 0 || flags & (VERSION | CONNECTION_ID) != VERSION | CONNECTION_ID {
        return None;
    }
    c.skip(8, "connection id").ok()?;
    let version = Version(c.u32("version").ok()?);
    matches!(version.google(), Some((b'Q', 9..=46))).then_some(version)
}

/// What the client's keys are derived from, and the keys.
struct Opened {
    version: Version,
    id: Vec<u8>,
    keys: Keys,
}

impl Opened {
    fn is_for(&self, long: &Long<'_>) -> bool {
        self.version == long.version && self.id == long.destination
    }
}

struct Quic {
    talk: Talk,
    opened: Option<Opened>,
    server_keys: Option<Keys>,
    /// CRYPTO data by sender.
    crypto: [Assembler; 2],
    /// Which side of the conversation is the client of the handshake, once a packet was opened.
    client: Option<Side>,
    version_told: bool,
    /// Google's own handshake named the server.
    google_named: bool,
    /// Initials tried, by side.
    tried: [u8; 2],
    datagrams: u8,
    /// A packet was cut by the capture.
    cut: bool,
    /// Datagrams since the hello was told.
    since_hello: u8,
    done: bool,
}

impl Quic {
    fn new() -> Quic {
        Quic {
            talk: Talk::new(Carrier::Quic),
            opened: None,
            server_keys: None,
            crypto: Default::default(),
            client: None,
            version_told: false,
            google_named: false,
            tried: [0; 2],
            datagrams: 0,
            cut: false,
            since_hello: 0,
            done: false,
        }
    }

    fn version(&mut self, version: Version, emit: &mut Emitter<'_>) {
        if !self.version_told && version != Version::NEGOTIATION {
            self.version_told = true;
            emit.attribute(AttributeKey::QuicVersion, AttributeValue::Number(u64::from(version.0)));
        }
    }

    /// All packets of a datagram: RFC 9000 §12.2.
    fn packets(&mut self, side: Side, bytes: &[u8], emit: &mut Emitter<'_>) -> Result<(), Truncated> {
        let mut c = Cursor::new(bytes);
        for _ in 0..PACKET_LIMIT {
            if c.is_empty() || self.done {
                break;
            }
            let start = c.at();
            let Some(long) = packet::long(&mut c)? else { break };
            self.version(long.version, emit);
            if matches!(long.version.google(), Some((b'Q', ..=49))) {
                self.google(bytes, emit);
                break;
            }
            match packet::body(bytes, start, &long, &mut c)? {
                Some(initial) if long.kind == Kind::Initial => self.initial(side, &long, &initial, emit),
                Some(_) => {}
                None => break,
            }
        }
        Ok(())
    }

    fn google(&mut self, bytes: &[u8], emit: &mut Emitter<'_>) {
        if self.google_named {
            return;
        }
        if let Some(name) = google::server_name(bytes).and_then(HostName::from_wire_text) {
            self.google_named = true;
            self.done = true;
            emit.name(NameSource::QuicSni, name, None, false);
        }
    }

    fn initial(&mut self, side: Side, long: &Long<'_>, initial: &Initial<'_>, emit: &mut Emitter<'_>) {
        let Some(tried) = self.tried.get_mut(side.index()) else { return };
        if *tried >= INITIAL_LIMIT {
            return;
        }
        *tried += 1;
        let mut frames = Vec::new();
        if self.client.is_some_and(|client| client != side) {
            let keys = self.server_keys.take().or_else(|| {
                let opened = self.opened.as_ref()?;
                opened.keys.of_server(&opened.id)
            });
            if let Some(keys) = keys {
                if keys.open(initial, &mut frames) {
                    self.frames(Sender::Server, long.version, &frames, emit);
                }
                self.server_keys = Some(keys);
            }
            return;
        }
        if let Some(opened) = &self.opened
            && opened.keys.open(initial, &mut frames)
        {
            self.client = Some(side);
            return self.frames(Sender::Client, long.version, &frames, emit);
        }
        // The first packet, or the first after a Retry (RFC 9001 §5.2) or another version, which change the keys.
        if self.opened.as_ref().is_some_and(|opened| opened.is_for(long)) {
            return;
        }
        for keys in Keys::candidates(long.version, long.destination) {
            if keys.open(initial, &mut frames) {
                self.client = Some(side);
                self.opened = Some(Opened { version: long.version, id: long.destination.to_vec(), keys });
                self.server_keys = None;
                // Both handshakes begin at offset 0.
                self.crypto = Default::default();
                return self.frames(Sender::Client, long.version, &frames, emit);
            }
        }
    }

    fn frames(&mut self, sender: Sender, version: Version, bytes: &[u8], emit: &mut Emitter<'_>) {
        if matches!(version.google(), Some((b'Q', _))) {
            if sender == Sender::Client {
                self.google(bytes, emit);
            }
            return;
        }
        // A packet that is broken inside is read up to there.
        let _ = self.frame_list(sender, version, bytes, emit);
        self.messages(sender, emit);
    }

    fn frame_list(
        &mut self,
        sender: Sender,
        version: Version,
        bytes: &[u8],
        emit: &mut Emitter<'_>,
    ) -> Result<(), Truncated> {
        let mut c = Cursor::new(bytes);
        let mut count = 0;
        while !c.is_empty() && count < FRAME_LIMIT {
            // Padding is most of a first packet.
            let padding = c.rest().iter().take_while(|byte| **byte == PADDING).count();
            c.take_up_to(padding);
            if c.is_empty() {
                break;
            }
            let kind = varint(&mut c)?;
            count += 1;
            match kind {
                PING => {}
                // RFC 9000 §19.3: largest, delay, count, first range; then pairs; then three counts.
                ACK | ACK_ECN => {
                    varint(&mut c)?;
                    varint(&mut c)?;
                    let ranges = varint(&mut c)?;
                    varint(&mut c)?;
                    for _ in 0..ranges.min(bytes.len()) {
                        varint(&mut c)?;
                        varint(&mut c)?;
                    }
                    for _ in 0..if kind == ACK_ECN { 3 } else { 0 } {
                        varint(&mut c)?;
                    }
                }
                CRYPTO => self.crypto(sender, &mut c)?,
                GOOGLE_CRYPTO if version.google().is_some() => self.crypto(sender, &mut c)?,
                CONNECTION_CLOSE => {
                    let code = varint(&mut c)?;
                    self.closed(sender, code, emit);
                    return Ok(());
                }
                _ => return Ok(()),
            }
        }
        Ok(())
    }

    /// RFC 9000 §19.6.
    fn crypto(&mut self, sender: Sender, c: &mut Cursor<'_>) -> Result<(), Truncated> {
        let offset = varint(c)?;
        let len = varint(c)?;
        let piece = c.take(len, "crypto data")?;
        let [client, server] = &mut self.crypto;
        let pieces = if sender == Sender::Client { client } else { server };
        pieces.add(offset, piece, CRYPTO_LIMIT);
        Ok(())
    }

    /// RFC 9000 §19.19.
    fn closed(&mut self, sender: Sender, code: usize, emit: &mut Emitter<'_>) {
        self.done = self.talk.greeted();
        let by = match (sender, self.client) {
            (Sender::Client, Some(side)) => side,
            (Sender::Server, Some(side)) => side.other(),
            (_, None) => return,
        };
        if let Some(description) = code.checked_sub(CRYPTO_ERROR).and_then(|code| u8::try_from(code).ok()) {
            emit.fact(Fact::Status(AppStatus::Alert { by, fatal: true, description }));
        } else {
            emit.attribute(AttributeKey::QuicError, AttributeValue::Number(code as u64));
        }
    }

    /// Reads hellos that have become whole.
    fn messages(&mut self, sender: Sender, emit: &mut Emitter<'_>) {
        let [client, server] = &self.crypto;
        let ready = if sender == Sender::Client { client.ready() } else { server.ready() };
        let mut c = Cursor::new(ready);
        let Ok(kind) = c.u8("message type") else { return };
        let Some(len) = c.u24("message length").ok().and_then(|len| usize::try_from(len).ok()) else {
            return;
        };
        let Ok(body) = c.take(len, "message") else { return };
        match (sender, kind) {
            (Sender::Client, CLIENT_HELLO) if !self.talk.greeted() => {
                let read = self.talk.client_hello(body, false, emit);
                self.done = !read;
                if !read {
                    emit.anomaly("quic", "ClientHello of another version");
                }
            }
            (Sender::Server, SERVER_HELLO) if self.talk.chosen.is_none() && !self.talk.retry => {
                self.talk.server_hello(body, emit);
                // After a HelloRetryRequest the second ServerHello stands behind the first: not worth the wait.
                self.done = true;
            }
            _ => {}
        }
    }

    /// Tells what can be told of a hello that never became whole.
    fn give_up(&mut self, emit: &mut Emitter<'_>) {
        let [client, _] = &self.crypto;
        if self.talk.greeted() || self.google_named {
            return;
        }
        if client.ready().first() != Some(&CLIENT_HELLO) {
            if self.cut {
                self.cut = false;
                emit.attribute(AttributeKey::HelloCut, AttributeValue::Yes);
            }
            return;
        }
        let body = client.ready().get(HANDSHAKE_HEADER_LEN..).unwrap_or_default().to_vec();
        self.talk.client_hello(&body, true, emit);
    }
}

impl Reader for Quic {
    fn held_bytes(&self) -> usize {
        size_of::<Quic>() + self.crypto.iter().map(Assembler::held_bytes).sum::<usize>()
    }

    fn stream(&mut self, _side: Side, _bytes: &[u8], _emit: &mut Emitter<'_>) -> StreamStep {
        StreamStep::DONE
    }

    fn stream_ended(&mut self, _side: Side, _bytes: &[u8], _emit: &mut Emitter<'_>) {}

    fn datagram(
        &mut self,
        side: Side,
        bytes: &[u8],
        wire_len: usize,
        emit: &mut Emitter<'_>,
    ) -> ReadProgress {
        self.datagrams += 1;
        self.since_hello += u8::from(self.talk.greeted());
        if let Some(version) = google_header(bytes) {
            self.version(version, emit);
            self.google(bytes, emit);
        } else {
            // A packet cut by the capture cannot be opened: its end authenticates it.
            let cut = self.packets(side, bytes, emit).is_err() && bytes.len() < wire_len;
            self.cut |= cut && self.client.is_none();
        }
        if self.done || self.datagrams >= DATAGRAM_LIMIT || self.since_hello >= ANSWER_LIMIT {
            self.give_up(emit);
            return ReadProgress::Done;
        }
        ReadProgress::NeedMore { consumed: bytes.len(), need: 0 }
    }

    fn finish(&mut self, emit: &mut Emitter<'_>) {
        self.give_up(emit);
    }
}

#[cfg(test)]
mod tests;
