//! Reads the PROXY protocol: a header in which a load balancer gives the client's address.
//!
//! In:  the first bytes of a connection.
//! Out: the client's address. The dispatcher gets the bytes after the header.
//! Not: the TLVs of version 2.
//!
//! HAProxy's proxy-protocol.txt, §2.1 (text) and §2.2 (binary).

use super::attributes::AttributeKey;
use super::attributes::AttributeValue;
use super::http::probe_start;
use super::reader::Emitter;
use super::reader::OnMatch;
use super::reader::Probe;
use super::reader::ProtocolReader;
use super::reader::ReaderSpec;
use super::reader::ReaderTransport;
use super::reader::Sample;
use super::reader::StreamStep;
use crate::base::Address;
use crate::base::Cursor;
use crate::base::Side;
use crate::base::WireText;

/// §2.1: the start of version 1.
const V1: &[u8] = b"PROXY ";
/// §2.1: the longest line, including its end.
const V1_LIMIT: usize = 107;
/// §2.2: the signature of version 2.
const V2: &[u8] = b"\r\n\r\n\x00\r\nQUIT\n";
/// §2.2: signature, version and command, family, length.
const V2_HEADER_LEN: usize = 16;

/// The reader's row. It has no name: the protocol after the header has one.
pub(crate) const SPEC: ReaderSpec = ReaderSpec {
    name: "",
    transport: ReaderTransport::Tcp,
    probe,
    sender_is_client: |sample| (probe(sample) == Probe::Yes).then_some(true),
    on_match: OnMatch::Read(|_| Box::new(ProxyProtocolReader)),
};

fn probe(sample: &Sample<'_>) -> Probe {
    match (probe_start(sample.bytes, V2), probe_start(sample.bytes, V1)) {
        (Probe::Yes, _) | (_, Probe::Yes) => Probe::Yes,
        (Probe::Maybe(need), _) | (_, Probe::Maybe(need)) => Probe::Maybe(need),
        _ => Probe::No,
    }
}

struct ProxyProtocolReader;

impl ProtocolReader for ProxyProtocolReader {
    fn held_bytes(&self) -> usize {
        0
    }

    fn stream(&mut self, _side: Side, bytes: &[u8], emit: &mut Emitter<'_>) -> StreamStep {
        let need_more = StreamStep::need_more(0, bytes.len() + 1);
        if bytes.starts_with(V1) {
            let Some(end) = bytes.iter().take(V1_LIMIT).position(|byte| *byte == b'\n') else {
                return if bytes.len() >= V1_LIMIT { StreamStep::DONE } else { need_more };
            };
            let line = bytes.get(..end).unwrap_or_default();
            // PROXY TCP4 source destination source-port destination-port.
            if let Some(source) = line.split(|byte| *byte == b' ').nth(2) {
                emit.attribute(
                    AttributeKey::ProxySource,
                    AttributeValue::Text(WireText::new(source, V1_LIMIT)),
                );
            }
            return StreamStep::Tunnel { consumed: end + 1 };
        }
        let mut c = Cursor::new(bytes);
        let header = (|| {
            c.skip(13, "signature, version and command")?;
            let family = c.u8("family")?;
            let len = c.u16("length")?;
            Ok::<_, crate::base::Truncated>((family, c.sub(len, "addresses")?))
        })();
        let Ok((family, mut addresses)) = header else {
            let len = bytes
                .get(14..V2_HEADER_LEN)
                .and_then(|len| len.first_chunk())
                .map(|len| u16::from_be_bytes(*len));
            return StreamStep::need_more(0, V2_HEADER_LEN + len.map_or(0, usize::from));
        };
        // §2.2: the upper four bits of the family are 1 for IPv4 and 2 for IPv6.
        let source = match family >> 4 {
            1 => addresses.array("source").ok().map(Address::v4),
            2 => addresses.array("source").ok().map(Address::v6),
            _ => None,
        };
        if let Some(source) = source {
            emit.attribute(
                AttributeKey::ProxySource,
                AttributeValue::Text(WireText::new(source.to_string().as_bytes(), V1_LIMIT)),
            );
        }
        StreamStep::Tunnel { consumed: c.at() }
    }

    fn stream_ended(&mut self, _side: Side, _bytes: &[u8], _emit: &mut Emitter<'_>) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Side::Client;
    use crate::read::test_harness::TestConversation;
    use crate::read::test_harness::play;

    fn check(header: &[u8], expected: &[&str]) {
        let stream = [header, b"GET / HTTP/1.1\r\n\r\n"].concat();
        let expected: Vec<&str> =
            expected.iter().chain(&["protocol http", "http.method=GET", "http.target=/"]).copied().collect();
        for split in 1..stream.len() {
            let (a, b) = stream.split_at(split);
            assert_eq!(play(TestConversation::tcp(80), &[(Client, a), (Client, b)]), expected);
        }
    }

    #[test]
    fn both_versions_are_read_and_skipped() {
        check(b"PROXY TCP4 192.0.2.7 10.0.0.1 5000 443\r\n", &["proxy.source=192.0.2.7"]);
        check(b"PROXY UNKNOWN\r\n", &[]);
        let v2 = [V2, &b"\x21\x11\x00\x0c\xc0\x00\x02\x07\x0a\x00\x00\x01\x13\x88\x01\xbb"[..]].concat();
        check(&v2, &["proxy.source=192.0.2.7"]);
        let local = [V2, &b"\x20\x00\x00\x00"[..]].concat();
        check(&local, &[]);
    }
}
