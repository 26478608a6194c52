//! Reads DTLS: TLS over datagrams.
//!
//! In:  datagrams of both sides.
//! Out: what a TLS handshake tells, as far as it is in the clear.
//! Not: what is behind epoch 0.

use super::hello::Carrier;
use super::talk;
use super::talk::CLIENT_HELLO;
use super::talk::SERVER_HELLO;
use super::talk::Talk;
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
use crate::read::reader::Reader;
use crate::read::reader::ReaderSpec;
use crate::read::reader::ReaderTransport;
use crate::read::reader::Sample;
use crate::read::reader::StreamStep;

/// RFC 6347 §4.1: type, version, epoch, sequence number, length.
const RECORD_HEADER_LEN: usize = 13;
/// RFC 6347 §4.2.2: type, length, message_seq, fragment_offset, fragment_length.
const FRAGMENT_HEADER_LEN: usize = 12;
/// Datagrams read of one conversation before its handshake is left alone.
const DATAGRAM_LIMIT: u8 = 24;
/// Records in one datagram.
const RECORD_COUNT_LIMIT: usize = 64;

/// The reader's row.
pub(crate) const SPEC: ReaderSpec = ReaderSpec {
    name: "dtls",
    transport: ReaderTransport::Udp,
    probe,
    sender_is_client,
    on_match: OnMatch::Read(|_| Box::new(Dtls::new())),
};

/// RFC 6347 §4.1.
struct Record<'a> {
    kind: u8,
    epoch: u16,
    body: &'a [u8],
}

fn record<'a>(c: &mut Cursor<'a>) -> Result<Option<Record<'a>>, Truncated> {
    let kind = c.u8("record type")?;
    let version = c.u16("record version")?;
    let epoch = c.u16("epoch")?;
    c.skip(6, "sequence number")?;
    let len = c.u16("record length")?;
    // 1.0 is 0xfeff, 1.2 is 0xfefd; OpenSSL before 0.9.8f said 0x0100.
    if !(super::CHANGE_CIPHER_SPEC..=25).contains(&kind) || !matches!(version, 0xfeff | 0xfefd | 0x0100) {
        return Ok(None);
    }
    Ok(Some(Record { kind, epoch, body: c.take(usize::from(len), "record")? }))
}

/// The type of the handshake message that a datagram begins with.
fn first_message(sample: &Sample<'_>) -> Option<u8> {
    let mut c = Cursor::new(sample.bytes);
    // A hello cut by the snap length is still one.
    let [kind, major, minor, epoch_high, epoch_low] = *sample.bytes.first_chunk()?;
    let fits = kind == super::HANDSHAKE
        && matches!((major, minor), (0xfe, 0xff | 0xfd) | (1, 0))
        && (epoch_high, epoch_low) == (0, 0);
    if !fits {
        return None;
    }
    c.skip(11, "record header").ok()?;
    let record_len = usize::from(c.u16("record length").ok()?);
    if record_len < FRAGMENT_HEADER_LEN || RECORD_HEADER_LEN + record_len > sample.wire_len {
        return None;
    }
    let kind = c.u8("message type").ok()?;
    let len = c.u24("message length").ok()?;
    c.skip(2, "message sequence").ok()?;
    let offset = c.u24("fragment offset").ok()?;
    let fragment = c.u24("fragment length").ok()?;
    (offset.checked_add(fragment)? <= len
        && usize::try_from(fragment).ok()? + FRAGMENT_HEADER_LEN <= record_len)
        .then_some(kind)
}

fn probe(sample: &Sample<'_>) -> Probe {
    // RFC 6347 §4.3.2: ClientHello, ServerHello, HelloVerifyRequest.
    if first_message(sample).is_some_and(|kind| (CLIENT_HELLO..=3).contains(&kind)) {
        return Probe::Yes;
    }
    // Under way: records that fill the datagram to its last byte.
    let mut c = Cursor::new(sample.bytes);
    for _ in 0..RECORD_COUNT_LIMIT {
        match record(&mut c) {
            Ok(Some(record))
                if record.kind < 25 && (record.epoch > 0 || record.kind != super::APPLICATION_DATA) => {}
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
        SERVER_HELLO | 3 => Some(false),
        _ => None,
    }
}

/// A message that arrives in fragments.
#[derive(Default)]
struct Message {
    kind: u8,
    sequence: u16,
    len: usize,
    pieces: Assembler,
}

struct Dtls {
    talk: Talk,
    messages: [Message; 2],
    seen: u8,
    done: bool,
}

impl Dtls {
    fn new() -> Dtls {
        Dtls { talk: Talk::new(Carrier::Dtls), messages: Default::default(), seen: 0, done: false }
    }

    fn record(&mut self, side: Side, record: &Record<'_>, emit: &mut Emitter<'_>) {
        if record.epoch > 0 {
            return;
        }
        match record.kind {
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
                self.talk.server_encrypts(emit);
                self.done = true;
            }
            _ => {}
        }
    }

    fn fragment(&mut self, side: Side, c: &mut Cursor<'_>, emit: &mut Emitter<'_>) -> Result<(), Truncated> {
        let kind = c.u8("message type")?;
        let len = usize::try_from(c.u24("message length")?).unwrap_or(usize::MAX);
        let sequence = c.u16("message sequence")?;
        let offset = usize::try_from(c.u24("fragment offset")?).unwrap_or(usize::MAX);
        let fragment = usize::try_from(c.u24("fragment length")?).unwrap_or(usize::MAX);
        let body = c.take_up_to(fragment);
        let limit = match kind {
            CLIENT_HELLO => super::HELLO_LIMIT,
            SERVER_HELLO => super::SERVER_HELLO_LIMIT,
            talk::CERTIFICATE if side == Side::Server => super::CERTIFICATE_LIMIT,
            _ => return Ok(()),
        };
        if len > limit || offset.saturating_add(body.len()) > len {
            return Ok(());
        }
        if body.len() == len {
            self.message(kind, body, false, emit);
            return Ok(());
        }
        let [client, server] = &mut self.messages;
        let message = if side == Side::Client { client } else { server };
        if (message.kind, message.sequence, message.len) != (kind, sequence, len) {
            *message = Message { kind, sequence, len, pieces: Assembler::default() };
        }
        message.pieces.add(offset, body, limit);
        if message.pieces.ready().len() == len {
            let message = std::mem::take(message);
            self.message(kind, message.pieces.ready(), false, emit);
        }
        Ok(())
    }

    fn message(&mut self, kind: u8, body: &[u8], cut: bool, emit: &mut Emitter<'_>) {
        match kind {
            CLIENT_HELLO => {
                self.talk.client_hello(body, cut, emit);
            }
            SERVER_HELLO if !cut && self.talk.chosen.is_none() => {
                self.talk.server_hello(body, emit);
                self.done = self.talk.hides_certificates();
            }
            talk::CERTIFICATE if !cut => self.talk.certificate(body, emit),
            _ => {}
        }
    }

    /// Tells what can be told of unfinished hellos.
    fn give_up(&mut self, emit: &mut Emitter<'_>) {
        let [client, server] = std::mem::take(&mut self.messages);
        for message in [client, server] {
            if message.kind == CLIENT_HELLO && !self.talk.greeted() {
                self.message(CLIENT_HELLO, message.pieces.ready(), true, emit);
            }
        }
    }
}

impl Reader for Dtls {
    fn held_bytes(&self) -> usize {
        size_of::<Dtls>() + self.messages.iter().map(|message| message.pieces.held_bytes()).sum::<usize>()
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
        self.seen += 1;
        let mut c = Cursor::new(bytes);
        for _ in 0..RECORD_COUNT_LIMIT {
            if c.is_empty() || self.done {
                break;
            }
            let start = c;
            match record(&mut c) {
                Ok(Some(record)) => self.record(side, &record, emit),
                // The capture cut it: what is there of its record is read as far as it goes.
                Err(_) if bytes.len() < wire_len => {
                    let mut rest = start;
                    if rest.skip(RECORD_HEADER_LEN, "record header").is_ok() {
                        let body = rest.rest();
                        self.record(side, &Record { kind: super::HANDSHAKE, epoch: 0, body }, emit);
                    }
                    break;
                }
                _ => break,
            }
        }
        if self.done || self.seen >= DATAGRAM_LIMIT {
            self.give_up(emit);
            return ReadProgress::Done;
        }
        ReadProgress::NeedMore { consumed: bytes.len(), need: 0 }
    }

    fn finish(&mut self, emit: &mut Emitter<'_>) {
        self.give_up(emit);
    }
}
