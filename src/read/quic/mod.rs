//! Reads QUIC: the ClientHello in the Initial packets, whose keys are public.
//!
//! In:  datagrams of both sides.
//! Out: version; facts of the TLS handshake up to ServerHello; a CONNECTION_CLOSE in the Initial packets.
//! Not: anything after the handshake.

mod google;
mod keys;
mod packet;

use super::assembler::Assembler;
use super::attributes::AttributeKey;
use super::attributes::AttributeValue;
use super::fact::AppStatus;
use super::fact::Fact;
use super::fact::NameSource;
use super::reader::Emitter;
use super::reader::OnMatch;
use super::reader::Probe;
use super::reader::ProtocolReader;
use super::reader::ReaderSpec;
use super::reader::ReaderTransport;
use super::reader::Sample;
use super::reader::StreamStep;
use super::tls::CLIENT_HELLO;
use super::tls::Carrier;
use super::tls::HANDSHAKE_HEADER_LEN;
use super::tls::SERVER_HELLO;
use super::tls::TlsHandshake;
use crate::base::Cursor;
use crate::base::HostName;
use crate::base::Side;
use crate::base::Truncated;
use crate::base::port;
use crate::flow::ReadProgress;
use keys::Keys;
use keys::Sender;
use packet::InitialPacket;
use packet::LongHeader;
use packet::PacketType;
use packet::QuicVersion;
use packet::varint;

/// Initial packets read of each side of a conversation.
const INITIAL_LIMIT: u8 = 16;
/// Packets of each side for which keys are derived that decrypt nothing: random bytes on port 443 cost a derivation each. A
/// capture that starts within a handshake shows one or two such packets.
const FAILURE_LIMIT: u8 = 3;
/// Datagrams read of a conversation.
const DATAGRAM_LIMIT: u8 = 32;
/// Datagrams read after the ClientHello, until the ServerHello.
const SERVER_HELLO_WAIT: u8 = 12;
/// Packets in one datagram.
const PACKET_LIMIT: usize = 8;
/// Frames read of one packet, PADDING not counted.
const FRAME_LIMIT: usize = 256;
/// Bytes of CRYPTO frames kept of each side.
const CRYPTO_LIMIT: usize = 64 * 1024;
/// RFC 9000 §14.1: the least length of a datagram with a client's Initial packet.
const DATAGRAM_MIN: usize = 1200;
/// Ports on which an unknown version is accepted.
const QUIC_PORTS: &[u16] = &[port::HTTPS, 784, port::DNS_OVER_TLS, 8443];

/// RFC 9000 §19: the frame types allowed in Initial packets (§12.4).
const PADDING: u8 = 0x00;
const PING: usize = 0x01;
const ACK: usize = 0x02;
const ACK_ECN: usize = 0x03;
const CRYPTO: usize = 0x06;
const CONNECTION_CLOSE: usize = 0x1c;
/// Google's type of CRYPTO in Q050.
const GOOGLE_CRYPTO: usize = 0x08;
/// RFC 9001 §4.8: an alert is sent as this error code plus its description.
const CRYPTO_ERROR: usize = 0x0100;

/// The reader's row.
pub(crate) const SPEC: ReaderSpec = ReaderSpec {
    name: "quic",
    transport: ReaderTransport::Udp,
    probe,
    sender_is_client,
    on_match: OnMatch::Read(|_| Box::new(QuicReader::new())),
};

fn probe(sample: &Sample<'_>) -> Probe {
    if parse_google_header(sample.bytes).is_some() {
        return Probe::Yes;
    }
    let mut c = Cursor::new(sample.bytes);
    let Ok(Some(long)) = packet::parse_long_header(&mut c) else { return Probe::No };
    let on_quic_port = QUIC_PORTS.iter().any(|port| sample.has_port(*port));
    let accepted = match long.packet_type {
        // RFC 9000 §17.2.1: a list of versions and nothing else.
        PacketType::VersionNegotiation => {
            let list = c.rest().as_chunks::<4>();
            !list.0.is_empty()
                && list.1.is_empty()
                && list.0.iter().all(|version| QuicVersion(u32::from_be_bytes(*version)).is_known())
        }
        _ if long.version.is_known() => match packet::parse_body(sample.bytes, 0, &long, &mut c) {
            Ok(_) => true,
            // Cut by the snap length, or a wrong length.
            Err(_) => sample.wire_len > sample.bytes.len() || long.version.google().is_some(),
        },
        PacketType::Initial => on_quic_port && sample.wire_len >= DATAGRAM_MIN && long.destination.len() >= 8,
        _ => false,
    };
    if accepted { Probe::Yes } else { Probe::No }
}

fn sender_is_client(sample: &Sample<'_>) -> Option<bool> {
    if probe(sample) != Probe::Yes {
        return None;
    }
    let mut c = Cursor::new(sample.bytes);
    match packet::parse_long_header(&mut c) {
        Ok(Some(long)) => match long.packet_type {
            PacketType::VersionNegotiation | PacketType::Retry => Some(false),
            PacketType::ZeroRtt => Some(true),
            // RFC 9000 §7.2: a client's first destination ID has at least eight bytes; many clients' own ID is empty.
            _ if long.destination.len() < 8 => Some(false),
            _ => match (QUIC_PORTS.contains(&sample.from_port), QUIC_PORTS.contains(&sample.to_port)) {
                (true, false) => Some(false),
                (false, true) => Some(true),
                _ => None,
            },
        },
        // In gQUIC's old header only clients send the version.
        _ => Some(true),
    }
}

/// gQUIC's header before Q044: flags, connection ID, version. Only clients send the version.
fn parse_google_header(bytes: &[u8]) -> Option<QuicVersion> {
    /// The flag of the version.
    const VERSION: u8 = 0x01;
    /// The flag of a connection ID of eight bytes.
    const CONNECTION_ID: u8 = 0x08;
    let mut c = Cursor::new(bytes);
    let flags = c.u8("flags").ok()?;
    if flags & 0xc0 != 0 || flags & (VERSION | CONNECTION_ID) != VERSION | CONNECTION_ID {
        return None;
    }
    c.skip(8, "connection ID").ok()?;
    let version = QuicVersion(c.u32("version").ok()?);
    matches!(version.google(), Some((b'Q', 9..=46))).then_some(version)
}

/// The client's keys and what they are derived from.
struct ClientKeys {
    version: QuicVersion,
    id: Vec<u8>,
    keys: Keys,
}

impl ClientKeys {
    fn match_header(&self, header: &LongHeader<'_>) -> bool {
        self.version == header.version && self.id == header.destination
    }
}

struct QuicReader {
    handshake: TlsHandshake,
    client_keys: Option<ClientKeys>,
    server_keys: Option<Keys>,
    /// CRYPTO data by sender.
    crypto: [Assembler; 2],
    /// The side that is the client of the handshake, once a packet was decrypted.
    client: Option<Side>,
    version_emitted: bool,
    /// A gQUIC client hello named the server.
    google_named: bool,
    /// Initial packets read, by side.
    initials: [u8; 2],
    /// Packets for which keys were derived that decrypt nothing, by side.
    failures: [u8; 2],
    datagrams: u8,
    /// A packet was cut by the snap length.
    cut: bool,
    /// Datagrams since the ClientHello.
    since_hello: u8,
    done: bool,
}

impl QuicReader {
    fn new() -> QuicReader {
        QuicReader {
            handshake: TlsHandshake::new(Carrier::Quic),
            client_keys: None,
            server_keys: None,
            crypto: Default::default(),
            client: None,
            version_emitted: false,
            google_named: false,
            initials: [0; 2],
            failures: [0; 2],
            datagrams: 0,
            cut: false,
            since_hello: 0,
            done: false,
        }
    }

    fn emit_version(&mut self, version: QuicVersion, emit: &mut Emitter<'_>) {
        if !self.version_emitted && version != QuicVersion::NEGOTIATION {
            self.version_emitted = true;
            emit.attribute(AttributeKey::QuicVersion, AttributeValue::Number(u64::from(version.0)));
        }
    }

    /// Reads all packets of a datagram: RFC 9000 §12.2.
    fn packets(&mut self, side: Side, bytes: &[u8], emit: &mut Emitter<'_>) -> Result<(), Truncated> {
        let mut c = Cursor::new(bytes);
        for _ in 0..PACKET_LIMIT {
            if c.is_empty() || self.done {
                break;
            }
            let start = c.at();
            let Some(header) = packet::parse_long_header(&mut c)? else { break };
            self.emit_version(header.version, emit);
            if matches!(header.version.google(), Some((b'Q', ..=49))) {
                self.google_hello(bytes, emit);
                break;
            }
            match packet::parse_body(bytes, start, &header, &mut c)? {
                Some(packet) if header.packet_type == PacketType::Initial => {
                    self.initial(side, &header, &packet, emit);
                }
                Some(_) => {}
                None => break,
            }
        }
        Ok(())
    }

    fn google_hello(&mut self, bytes: &[u8], emit: &mut Emitter<'_>) {
        if self.google_named {
            return;
        }
        if let Some(name) = google::find_server_name(bytes).and_then(HostName::from_wire_text) {
            self.google_named = true;
            self.done = true;
            emit.name(NameSource::QuicSni, name, None, false);
        }
    }

    fn initial(
        &mut self,
        side: Side,
        header: &LongHeader<'_>,
        packet: &InitialPacket<'_>,
        emit: &mut Emitter<'_>,
    ) {
        let (Some(initials), Some(failures)) =
            (self.initials.get_mut(side.index()), self.failures.get_mut(side.index()))
        else {
            return;
        };
        if *initials >= INITIAL_LIMIT {
            return;
        }
        *initials += 1;
        let mut frames = Vec::new();
        if self.client.is_some_and(|client| client != side) {
            let keys = self.server_keys.take().or_else(|| {
                let client = self.client_keys.as_ref()?;
                client.keys.server_keys(&client.id)
            });
            if let Some(keys) = keys {
                if keys.decrypt(packet, &mut frames) {
                    self.frames(Sender::Server, header.version, &frames, emit);
                }
                self.server_keys = Some(keys);
            }
            return;
        }
        if let Some(client) = &self.client_keys
            && client.keys.decrypt(packet, &mut frames)
        {
            self.client = Some(side);
            return self.frames(Sender::Client, header.version, &frames, emit);
        }
        // The first packet, or the first after a Retry (RFC 9001 §5.2) or in another version, both of which change the keys.
        if *failures >= FAILURE_LIMIT
            || self.client_keys.as_ref().is_some_and(|keys| keys.match_header(header))
        {
            return;
        }
        for keys in Keys::client_candidates(header.version, header.destination) {
            if keys.decrypt(packet, &mut frames) {
                self.client = Some(side);
                let (version, id) = (header.version, header.destination.to_vec());
                self.client_keys = Some(ClientKeys { version, id, keys });
                self.server_keys = None;
                // Both handshakes start at offset 0.
                self.crypto = Default::default();
                return self.frames(Sender::Client, header.version, &frames, emit);
            }
        }
        *failures += 1;
    }

    fn frames(&mut self, sender: Sender, version: QuicVersion, bytes: &[u8], emit: &mut Emitter<'_>) {
        if matches!(version.google(), Some((b'Q', _))) {
            if sender == Sender::Client {
                self.google_hello(bytes, emit);
            }
            return;
        }
        // A malformed packet is read up to the fault.
        let _ = self.frame_list(sender, version, bytes, emit);
        self.messages(sender, emit);
    }

    fn frame_list(
        &mut self,
        sender: Sender,
        version: QuicVersion,
        bytes: &[u8],
        emit: &mut Emitter<'_>,
    ) -> Result<(), Truncated> {
        let mut c = Cursor::new(bytes);
        let mut count = 0;
        while !c.is_empty() && count < FRAME_LIMIT {
            // Padding is most of a client's first packet.
            let padding = c.rest().iter().take_while(|byte| **byte == PADDING).count();
            c.take_up_to(padding);
            if c.is_empty() {
                break;
            }
            let frame_type = varint(&mut c)?;
            count += 1;
            match frame_type {
                PING => {}
                // RFC 9000 §19.3: largest, delay, range count, first range; then pairs; then three ECN counts.
                ACK | ACK_ECN => {
                    varint(&mut c)?;
                    varint(&mut c)?;
                    let ranges = varint(&mut c)?;
                    varint(&mut c)?;
                    for _ in 0..ranges.min(bytes.len()) {
                        varint(&mut c)?;
                        varint(&mut c)?;
                    }
                    for _ in 0..if frame_type == ACK_ECN { 3 } else { 0 } {
                        varint(&mut c)?;
                    }
                }
                CRYPTO => self.crypto_frame(sender, &mut c)?,
                GOOGLE_CRYPTO if version.google().is_some() => self.crypto_frame(sender, &mut c)?,
                CONNECTION_CLOSE => {
                    let code = varint(&mut c)?;
                    self.connection_close(sender, code, emit);
                    return Ok(());
                }
                _ => return Ok(()),
            }
        }
        Ok(())
    }

    /// RFC 9000 §19.6: offset, length, data.
    fn crypto_frame(&mut self, sender: Sender, c: &mut Cursor<'_>) -> Result<(), Truncated> {
        let offset = varint(c)?;
        let len = varint(c)?;
        let data = c.take(len, "crypto data")?;
        let [client, server] = &mut self.crypto;
        let assembler = if sender == Sender::Client { client } else { server };
        assembler.add(offset, data, CRYPTO_LIMIT);
        Ok(())
    }

    /// RFC 9000 §19.19: an alert, or another error code.
    fn connection_close(&mut self, sender: Sender, code: usize, emit: &mut Emitter<'_>) {
        self.done = self.handshake.has_client_hello();
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

    /// Reads a ClientHello or ServerHello that has become complete.
    fn messages(&mut self, sender: Sender, emit: &mut Emitter<'_>) {
        let [client, server] = &self.crypto;
        let ready = if sender == Sender::Client { client.ready() } else { server.ready() };
        let mut c = Cursor::new(ready);
        let Ok(message_type) = c.u8("message type") else { return };
        let Some(len) = c.u24("message length").ok().and_then(|len| usize::try_from(len).ok()) else {
            return;
        };
        let Ok(body) = c.take(len, "message") else { return };
        match (sender, message_type) {
            (Sender::Client, CLIENT_HELLO) if !self.handshake.has_client_hello() => {
                let parsed = self.handshake.client_hello(body, false, emit);
                self.done = !parsed;
                if !parsed {
                    emit.anomaly("quic", "ClientHello of an unknown version");
                }
            }
            (Sender::Server, SERVER_HELLO) if self.handshake.chosen.is_none() && !self.handshake.retry => {
                self.handshake.server_hello(body, emit);
                // After a HelloRetryRequest the second ServerHello follows the first; it is not worth the wait.
                self.done = true;
            }
            _ => {}
        }
    }

    /// Reads an incomplete ClientHello as far as it goes.
    fn flush(&mut self, emit: &mut Emitter<'_>) {
        let [client, _] = &self.crypto;
        if self.handshake.has_client_hello() || self.google_named {
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
        self.handshake.client_hello(&body, true, emit);
    }
}

impl ProtocolReader for QuicReader {
    fn held_bytes(&self) -> usize {
        size_of::<QuicReader>() + self.crypto.iter().map(Assembler::held_bytes).sum::<usize>()
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
        self.since_hello += u8::from(self.handshake.has_client_hello());
        if let Some(version) = parse_google_header(bytes) {
            self.emit_version(version, emit);
            self.google_hello(bytes, emit);
        } else {
            // A packet cut by the snap length cannot be decrypted: its last bytes authenticate it.
            let cut = self.packets(side, bytes, emit).is_err() && bytes.len() < wire_len;
            self.cut |= cut && self.client.is_none();
        }
        if self.done || self.datagrams >= DATAGRAM_LIMIT || self.since_hello >= SERVER_HELLO_WAIT {
            self.flush(emit);
            return ReadProgress::Done;
        }
        ReadProgress::NeedMore { consumed: bytes.len(), need: 0 }
    }

    fn finish(&mut self, emit: &mut Emitter<'_>) {
        self.flush(emit);
    }
}

#[cfg(test)]
mod tests;
