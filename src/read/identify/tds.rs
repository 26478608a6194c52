//! Reads TLS handshakes that SQL Server's protocol encapsulates.
//!
//! In:  both sides' bytes, in order.
//! Out: facts of the TLS handshake.
//! Not: queries.
//!
//! [MS-TDS] §2.2.3.1: packets with a header of eight bytes; §2.2.6.5: the pre-login message, which also carries TLS.

use crate::base::Cursor;
use crate::base::Side;
use crate::flow::ReadProgress;
use crate::read::reader::Emitter;
use crate::read::reader::OnMatch;
use crate::read::reader::Probe;
use crate::read::reader::ProtocolReader;
use crate::read::reader::ReaderSpec;
use crate::read::reader::ReaderTransport;
use crate::read::reader::Sample;
use crate::read::reader::StreamStep;
use crate::read::reader::match_bytes;
use crate::read::tls;

/// §2.2.3.1.1: the packet type of pre-login, and of the server's response to it.
const PRE_LOGIN: u8 = 0x12;
const RESPONSE: u8 = 0x04;
/// §2.2.3.1: the packet header's length.
const HEADER_LEN: usize = 8;
/// Packets of each side skipped before TLS starts: the pre-login and its response.
const PACKET_LIMIT: u8 = 4;
/// Bytes kept of an incomplete TLS record.
const HELD_LIMIT: usize = 64 * 1024;

/// The reader's row.
pub(crate) const SPEC: ReaderSpec = ReaderSpec {
    name: "tds",
    transport: ReaderTransport::Tcp,
    probe,
    sender_is_client: |sample| (probe(sample) == Probe::Yes).then_some(true),
    on_match: OnMatch::Read(|_| Box::new(TdsReader::new())),
};

fn probe(sample: &Sample<'_>) -> Probe {
    match_bytes(
        sample.bytes,
        &[
            // Type, status, length, SPID, packet ID, window.
            (0, |byte| byte == PRE_LOGIN),
            (1, |byte| byte == 1),
            (2, |byte| byte <= 4),
            (4, |byte| byte == 0),
            (5, |byte| byte == 0),
            (6, |byte| byte <= 1),
            (7, |byte| byte == 0),
            // The VERSION option: its token, its offset after at least two options, its length of six bytes.
            (8, |byte| byte == 0),
            (9, |byte| byte == 0),
            (10, |byte| byte >= 11),
            (11, |byte| byte == 0),
            (12, |byte| byte == 6),
        ],
    )
}

struct TdsReader {
    tls: tls::TlsReader,
    /// By side: TLS bytes not read yet.
    held: [Vec<u8>; 2],
    /// By side: packets skipped before TLS; `u8::MAX` once TLS has started.
    skipped: [u8; 2],
    tls_emitted: bool,
}

impl TdsReader {
    fn new() -> TdsReader {
        TdsReader {
            tls: tls::TlsReader::new(),
            held: Default::default(),
            skipped: [0; 2],
            tls_emitted: false,
        }
    }

    /// Reads one packet's payload; false when nothing more of its side is needed.
    fn payload(&mut self, side: Side, payload: &[u8], emit: &mut Emitter<'_>) -> bool {
        let (Some(held), Some(skipped)) =
            (self.held.get_mut(side.index()), self.skipped.get_mut(side.index()))
        else {
            return false;
        };
        // No token of a pre-login is that high.
        let is_tls = matches!(payload, [20..=23, 3, ..]);
        if held.is_empty() && *skipped < u8::MAX && !is_tls {
            // The response to the pre-login may be captured after the ClientHello.
            *skipped += 1;
            return *skipped <= PACKET_LIMIT;
        }
        *skipped = u8::MAX;
        if !self.tls_emitted {
            self.tls_emitted = true;
            emit.protocol(tls::SPEC.name);
        }
        held.extend_from_slice(payload);
        match self.tls.stream(side, held, emit) {
            StreamStep::Continue(ReadProgress::NeedMore { consumed, .. }) => {
                held.drain(..consumed.min(held.len()));
                held.len() <= HELD_LIMIT
            }
            _ => false,
        }
    }
}

impl ProtocolReader for TdsReader {
    fn held_bytes(&self) -> usize {
        size_of::<TdsReader>() + self.tls.message_bytes() + self.held.iter().map(Vec::capacity).sum::<usize>()
    }

    fn stream(&mut self, side: Side, bytes: &[u8], emit: &mut Emitter<'_>) -> StreamStep {
        let mut c = Cursor::new(bytes);
        loop {
            let consumed = c.at();
            let header: Result<_, crate::base::Truncated> = (|| {
                let packet_type = c.u8("type")?;
                c.skip(1, "status")?;
                let len = c.u16("length")?;
                c.skip(4, "SPID, packet ID, window")?;
                Ok((packet_type, usize::from(len)))
            })();
            let Ok((packet_type, len)) = header else { return StreamStep::need_more(consumed, HEADER_LEN) };
            if !matches!(packet_type, PRE_LOGIN | RESPONSE) || len < HEADER_LEN {
                // Login and queries, or TLS without encapsulation.
                return StreamStep::DONE;
            }
            let Ok(payload) = c.take(len - HEADER_LEN, "payload") else {
                return StreamStep::need_more(consumed, len);
            };
            if !self.payload(side, payload, emit) {
                return StreamStep::DONE;
            }
        }
    }

    fn stream_ended(&mut self, side: Side, bytes: &[u8], emit: &mut Emitter<'_>) {
        if self.stream(side, bytes, emit) != StreamStep::DONE && self.tls_emitted {
            // The TLS bytes of an incomplete packet.
            let held = self.held.get_mut(side.index()).map(std::mem::take).unwrap_or_default();
            self.tls.stream_ended(side, &held, emit);
        }
    }

    fn finish(&mut self, emit: &mut Emitter<'_>) {
        self.tls.finish(emit);
    }
}

#[cfg(test)]
mod tests {
    use crate::base::Side::Client;
    use crate::base::Side::Server;
    use crate::read::test_harness::CLIENT_HELLO;
    use crate::read::test_harness::TestConversation;
    use crate::read::test_harness::play;

    #[test]
    fn an_encapsulated_handshake_is_read() {
        let wrap = |payload: &[u8], kind: u8| {
            [&[kind, 1][..], &(payload.len() as u16 + 8).to_be_bytes(), &[0, 0, 0, 0], payload].concat()
        };
        let pre_login = wrap(b"\x00\x00\x1a\x00\x06\x01\x00\x20\xff", 0x12);
        let (a, b) = CLIENT_HELLO.split_at(20);
        let facts = play(
            TestConversation::tcp(1433),
            &[
                (Client, &pre_login),
                (Server, &wrap(b"\x00\x00\x1a\x00\x06\xff", 4)),
                (Client, &wrap(a, 0x12)),
                (Client, &wrap(b, 0x12)),
                (Server, &wrap(b"\x15\x03\x03\x00\x02\x02\x28", 0x12)),
            ],
        );
        assert_eq!(facts[..3], ["protocol tds", "protocol tls", "tls.offered=0x303"]);
        assert_eq!(facts.last().unwrap(), "alert Server fatal 40");
    }
}
