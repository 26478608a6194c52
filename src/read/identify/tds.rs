//! Reads what SQL Server's protocol wraps around a TLS handshake.
//!
//! In:  both sides' bytes, in order.
//! Out: what the TLS handshake inside tells.
//! Not: queries.
//!
//! [MS-TDS] §2.2.3.1: packets with a header of eight bytes; §2.2.6.5: the pre-login message, which also carries TLS.

use crate::base::Cursor;
use crate::base::Side;
use crate::flow::ReadProgress;
use crate::read::reader::Emitter;
use crate::read::reader::OnMatch;
use crate::read::reader::Probe;
use crate::read::reader::Reader;
use crate::read::reader::ReaderSpec;
use crate::read::reader::ReaderTransport;
use crate::read::reader::Sample;
use crate::read::reader::StreamStep;
use crate::read::reader::match_bytes;
use crate::read::tls;

/// §2.2.3.1.1: pre-login, and the server's answer to it.
const PRE_LOGIN: u8 = 0x12;
const ANSWER: u8 = 0x04;
/// §2.2.3.1.
const HEADER_LEN: usize = 8;
/// Packets passed over on each side before TLS begins: the pre-login and its answer.
const PACKET_LIMIT: u8 = 4;
/// Bytes kept of a TLS record that is not whole.
const HELD_LIMIT: usize = 64 * 1024;

/// The reader's row.
pub(crate) const SPEC: ReaderSpec = ReaderSpec {
    name: "tds",
    transport: ReaderTransport::Tcp,
    probe,
    sender_is_client: |sample| (probe(sample) == Probe::Yes).then_some(true),
    on_match: OnMatch::Read(|_| Box::new(Tds::new())),
};

fn probe(sample: &Sample<'_>) -> Probe {
    match_bytes(
        sample.bytes,
        &[
            // Type, status, length, SPID, packet id, window.
            (0, |byte| byte == PRE_LOGIN),
            (1, |byte| byte == 1),
            (2, |byte| byte <= 4),
            (4, |byte| byte == 0),
            (5, |byte| byte == 0),
            (6, |byte| byte <= 1),
            (7, |byte| byte == 0),
            // The VERSION option: its token, its place behind at least two options, its six bytes.
            (8, |byte| byte == 0),
            (9, |byte| byte == 0),
            (10, |byte| byte >= 11),
            (11, |byte| byte == 0),
            (12, |byte| byte == 6),
        ],
    )
}

struct Tds {
    inside: tls::Tls,
    /// By side: what is unwrapped and not read, and how many packets came before TLS.
    held: [Vec<u8>; 2],
    passed: [u8; 2],
    begun: bool,
}

impl Tds {
    fn new() -> Tds {
        Tds { inside: tls::Tls::new(), held: Default::default(), passed: [0; 2], begun: false }
    }

    /// One packet's payload; false when its side is of no more use.
    fn payload(&mut self, side: Side, payload: &[u8], emit: &mut Emitter<'_>) -> bool {
        let (Some(held), Some(passed)) = (self.held.get_mut(side.index()), self.passed.get_mut(side.index()))
        else {
            return false;
        };
        // The pre-login's first token is never that high.
        let record = matches!(payload, [20..=23, 3, ..]);
        if held.is_empty() && *passed < u8::MAX && !record {
            // The answer to the pre-login may come after the client's hello was seen.
            *passed += 1;
            return *passed <= PACKET_LIMIT;
        }
        *passed = u8::MAX;
        if !self.begun {
            self.begun = true;
            emit.protocol(tls::SPEC.name);
        }
        held.extend_from_slice(payload);
        match self.inside.stream(side, held, emit) {
            StreamStep::Continue(ReadProgress::NeedMore { consumed, .. }) => {
                held.drain(..consumed.min(held.len()));
                held.len() <= HELD_LIMIT
            }
            _ => false,
        }
    }
}

impl Reader for Tds {
    fn held_bytes(&self) -> usize {
        size_of::<Tds>() + self.inside.message_bytes() + self.held.iter().map(Vec::capacity).sum::<usize>()
    }

    fn stream(&mut self, side: Side, bytes: &[u8], emit: &mut Emitter<'_>) -> StreamStep {
        let mut c = Cursor::new(bytes);
        loop {
            let consumed = c.at();
            let header: Result<_, crate::base::Truncated> = (|| {
                let kind = c.u8("type")?;
                c.skip(1, "status")?;
                let len = c.u16("length")?;
                c.skip(4, "spid, packet id, window")?;
                Ok((kind, usize::from(len)))
            })();
            let Ok((kind, len)) = header else { return StreamStep::need_more(consumed, HEADER_LEN) };
            if !matches!(kind, PRE_LOGIN | ANSWER) || len < HEADER_LEN {
                // Login and queries; or TLS that is not wrapped any more.
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
        if self.stream(side, bytes, emit) != StreamStep::DONE && self.begun {
            // A packet that is cut: what is there of its payload.
            let held = self.held.get_mut(side.index()).map(std::mem::take).unwrap_or_default();
            self.inside.stream_ended(side, &held, emit);
        }
    }

    fn finish(&mut self, emit: &mut Emitter<'_>) {
        self.inside.finish(emit);
    }
}

#[cfg(test)]
mod tests {
    use crate::base::Side::Client;
    use crate::base::Side::Server;
    use crate::read::test_harness::TestConversation;
    use crate::read::test_harness::play;

    #[test]
    fn tls_inside() {
        let wrap = |payload: &[u8], kind: u8| {
            [&[kind, 1][..], &(payload.len() as u16 + 8).to_be_bytes(), &[0, 0, 0, 0], payload].concat()
        };
        let pre_login = wrap(b"\x00\x00\x1a\x00\x06\x01\x00\x20\xff", 0x12);
        let hello = b"\x16\x03\x01\x00\x2f\x01\x00\x00\x2b\x03\x03RANDOMRANDOMRANDOMRANDOMRANDOM12\x00\x00\x02\xc0\x30\x01\x00\x00\x00";
        let (a, b) = hello.split_at(20);
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
