//! Reads DTLS.
//!
//! In:  datagrams of both sides.
//! Out: facts of the unencrypted part of the TLS handshake.
//! Not: records after epoch 0, which are encrypted.

use super::handshake;
use super::handshake::CLIENT_HELLO;
use super::handshake::SERVER_HELLO;
use super::handshake::TlsHandshake;
use super::hello::Carrier;
use crate::base::Cursor;
use crate::base::Side;
use crate::base::Truncated;
use crate::flow::ReadProgress;
use crate::read::assembler::Assembler;
use crate::read::fact::AppStatus;
use crate::read::fact::Fact;
use crate::read::reader::Emitter;
use crate::read::reader::OnMatch;
use crate::read::reader::Probe;
use crate::read::reader::ProtocolReader;
use crate::read::reader::ReaderSpec;
use crate::read::reader::ReaderTransport;
use crate::read::reader::Sample;
use crate::read::reader::StreamStep;

/// RFC 6347 §4.1: type, version, epoch, sequence number, length.
const RECORD_HEADER_LEN: usize = 13;
/// RFC 6347 §4.2.2: type, length, message_seq, fragment_offset, fragment_length.
const FRAGMENT_HEADER_LEN: usize = 12;
/// Datagrams read of one conversation.
const DATAGRAM_LIMIT: u8 = 24;
/// Records read of one datagram.
const RECORD_COUNT_LIMIT: usize = 64;
/// RFC 6347 §4.3.2.
const HELLO_VERIFY_REQUEST: u8 = 3;
/// RFC 9146 §3: the content type of records with a connection ID.
const TLS12_CID: u8 = 25;

/// The reader's row.
pub(crate) const SPEC: ReaderSpec = ReaderSpec {
    name: "dtls",
    transport: ReaderTransport::Udp,
    probe,
    sender_is_client,
    on_match: OnMatch::Read(|_| Box::new(DtlsReader::new())),
};

/// RFC 6347 §4.1.
struct DtlsRecord<'a> {
    content_type: u8,
    epoch: u16,
    body: &'a [u8],
}

/// Parses a record; `Ok(None)`: another protocol.
fn parse_record<'a>(c: &mut Cursor<'a>) -> Result<Option<DtlsRecord<'a>>, Truncated> {
    let content_type = c.u8("record type")?;
    let version = c.u16("record version")?;
    let epoch = c.u16("epoch")?;
    c.skip(6, "sequence number")?;
    let len = c.u16("record length")?;
    // 1.0 is 0xfeff, 1.2 is 0xfefd; OpenSSL before 0.9.8f sent 0x0100.
    if !(super::CHANGE_CIPHER_SPEC..=TLS12_CID).contains(&content_type)
        || !matches!(version, 0xfeff | 0xfefd | 0x0100)
    {
        return Ok(None);
    }
    Ok(Some(DtlsRecord { content_type, epoch, body: c.take(usize::from(len), "record")? }))
}

/// The type of the handshake message at the start of a datagram.
fn first_message(sample: &Sample<'_>) -> Option<u8> {
    let mut c = Cursor::new(sample.bytes);
    // A ClientHello cut by the snap length is still recognised.
    let [content_type, major, minor, epoch_high, epoch_low] = *sample.bytes.first_chunk()?;
    let matches = content_type == super::HANDSHAKE
        && matches!((major, minor), (0xfe, 0xff | 0xfd) | (1, 0))
        && (epoch_high, epoch_low) == (0, 0);
    if !matches {
        return None;
    }
    c.skip(11, "record header").ok()?;
    let record_len = usize::from(c.u16("record length").ok()?);
    if record_len < FRAGMENT_HEADER_LEN || RECORD_HEADER_LEN + record_len > sample.wire_len {
        return None;
    }
    let message_type = c.u8("message type").ok()?;
    let len = c.u24("message length").ok()?;
    c.skip(2, "message sequence").ok()?;
    let offset = c.u24("fragment offset").ok()?;
    let fragment = c.u24("fragment length").ok()?;
    (offset.checked_add(fragment)? <= len
        && usize::try_from(fragment).ok()? + FRAGMENT_HEADER_LEN <= record_len)
        .then_some(message_type)
}

fn probe(sample: &Sample<'_>) -> Probe {
    let opening = CLIENT_HELLO..=HELLO_VERIFY_REQUEST;
    if first_message(sample).is_some_and(|message_type| opening.contains(&message_type)) {
        return Probe::Yes;
    }
    // A later datagram: records that fill it to its last byte.
    let mut c = Cursor::new(sample.bytes);
    for _ in 0..RECORD_COUNT_LIMIT {
        match parse_record(&mut c) {
            Ok(Some(record))
                if record.content_type < TLS12_CID
                    && (record.epoch > 0 || record.content_type != super::APPLICATION_DATA) => {}
            _ => return Probe::No,
        }
        if c.is_empty() {
            return Probe::Yes;
        }
    }
    Probe::No
}

fn sender_is_client(sample: &Sample<'_>) -> Option<bool> {
    match first_message(sample)? {
        CLIENT_HELLO => Some(true),
        SERVER_HELLO | HELLO_VERIFY_REQUEST => Some(false),
        _ => None,
    }
}

/// A handshake message that arrives in fragments.
#[derive(Default)]
struct FragmentedMessage {
    message_type: u8,
    sequence: u16,
    len: usize,
    fragments: Assembler,
}

struct DtlsReader {
    handshake: TlsHandshake,
    /// By side.
    messages: [FragmentedMessage; 2],
    datagrams: u8,
    done: bool,
}

impl DtlsReader {
    fn new() -> DtlsReader {
        DtlsReader {
            handshake: TlsHandshake::new(Carrier::Dtls),
            messages: Default::default(),
            datagrams: 0,
            done: false,
        }
    }

    fn record(&mut self, side: Side, record: &DtlsRecord<'_>, emit: &mut Emitter<'_>) {
        if record.epoch > 0 {
            return;
        }
        match record.content_type {
            super::HANDSHAKE => {
                let mut c = Cursor::new(record.body);
                while !c.is_empty() {
                    if self.fragment(side, &mut c, emit).is_err() {
                        return;
                    }
                }
            }
            super::ALERT => {
                if let [level, description] = *record.body {
                    let fatal = level == super::FATAL;
                    self.done |= fatal;
                    emit.fact(Fact::Status(AppStatus::Alert { by: side, fatal, description }));
                }
            }
            super::CHANGE_CIPHER_SPEC if side == Side::Server => {
                self.handshake.server_encryption_starts(emit);
                self.done = true;
            }
            _ => {}
        }
    }

    fn fragment(&mut self, side: Side, c: &mut Cursor<'_>, emit: &mut Emitter<'_>) -> Result<(), Truncated> {
        let message_type = c.u8("message type")?;
        let len = usize::try_from(c.u24("message length")?).unwrap_or(usize::MAX);
        let sequence = c.u16("message sequence")?;
        let offset = usize::try_from(c.u24("fragment offset")?).unwrap_or(usize::MAX);
        let fragment_len = usize::try_from(c.u24("fragment length")?).unwrap_or(usize::MAX);
        let body = c.take_up_to(fragment_len);
        let limit = match message_type {
            CLIENT_HELLO => super::HELLO_LIMIT,
            SERVER_HELLO => super::SERVER_HELLO_LIMIT,
            handshake::CERTIFICATE if side == Side::Server => super::CERTIFICATE_LIMIT,
            _ => return Ok(()),
        };
        if len > limit || offset.saturating_add(body.len()) > len {
            return Ok(());
        }
        if body.len() == len {
            self.message(message_type, body, false, emit);
            return Ok(());
        }
        let [client, server] = &mut self.messages;
        let message = if side == Side::Client { client } else { server };
        if (message.message_type, message.sequence, message.len) != (message_type, sequence, len) {
            *message = FragmentedMessage { message_type, sequence, len, fragments: Assembler::default() };
        }
        message.fragments.add(offset, body, limit);
        if message.fragments.ready().len() == len {
            let message = std::mem::take(message);
            self.message(message_type, message.fragments.ready(), false, emit);
        }
        Ok(())
    }

    fn message(&mut self, message_type: u8, body: &[u8], cut: bool, emit: &mut Emitter<'_>) {
        match message_type {
            CLIENT_HELLO => {
                self.handshake.client_hello(body, cut, emit);
            }
            SERVER_HELLO if !cut && self.handshake.chosen.is_none() => {
                self.handshake.server_hello(body, emit);
                self.done = self.handshake.encrypts_certificates();
            }
            handshake::CERTIFICATE if !cut => self.handshake.certificate(body, emit),
            _ => {}
        }
    }

    /// Reads incomplete ClientHellos as far as they go.
    fn flush(&mut self, emit: &mut Emitter<'_>) {
        let [client, server] = std::mem::take(&mut self.messages);
        for message in [client, server] {
            if message.message_type == CLIENT_HELLO && !self.handshake.has_client_hello() {
                self.message(CLIENT_HELLO, message.fragments.ready(), true, emit);
            }
        }
    }
}

impl ProtocolReader for DtlsReader {
    fn held_bytes(&self) -> usize {
        size_of::<DtlsReader>()
            + self.messages.iter().map(|message| message.fragments.held_bytes()).sum::<usize>()
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
        let mut c = Cursor::new(bytes);
        for _ in 0..RECORD_COUNT_LIMIT {
            if c.is_empty() || self.done {
                break;
            }
            let start = c;
            match parse_record(&mut c) {
                Ok(Some(record)) => self.record(side, &record, emit),
                // Cut by the snap length: the rest of the datagram is read as an incomplete record.
                Err(_) if bytes.len() < wire_len => {
                    let mut rest = start;
                    if rest.skip(RECORD_HEADER_LEN, "record header").is_ok() {
                        let body = rest.rest();
                        let record = DtlsRecord { content_type: super::HANDSHAKE, epoch: 0, body };
                        self.record(side, &record, emit);
                    }
                    break;
                }
                _ => break,
            }
        }
        if self.done || self.datagrams >= DATAGRAM_LIMIT {
            self.flush(emit);
            return ReadProgress::Done;
        }
        ReadProgress::NeedMore { consumed: bytes.len(), need: 0 }
    }

    fn finish(&mut self, emit: &mut Emitter<'_>) {
        self.flush(emit);
    }
}
