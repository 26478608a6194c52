//! Finds the reader of each conversation and delivers the bytes to it.
//!
//! In:  flow's events: conversations, their streams and datagrams.
//! Out: [`Observation`]s, in frame order.
//! Not: any protocol; those are rows of [`READERS`].

use super::fact::Fact;
use super::fact::Observation;
use super::parse_cache::ParseCache;
use super::reader::Emitter;
use super::reader::OnMatch;
use super::reader::Probe;
use super::reader::ProtocolReader;
use super::reader::ReaderSpec;
use super::reader::ReaderTransport;
use super::reader::Sample;
use super::reader::StreamStep;
use super::table::READERS;
use super::tls;
use crate::base::Side;
use crate::base::port;
use crate::base::proto;
use crate::flow::At;
use crate::flow::Endpoint;
use crate::flow::FlowEnd;
use crate::flow::FlowRef;
use crate::flow::FlowStart;
use crate::flow::Payload;
use crate::flow::ReadProgress;
use crate::flow::StreamConsumer;
use crate::flow::StreamEnd;

/// Bytes of each side that are watched for a ClientHello.
const WATCH_LIMIT: usize = 16 * 1024;
/// Segments of each side that are probed when the start of the connection was not captured.
const MIDSTREAM_PROBES: u8 = 4;
/// Datagrams that are probed before the conversation stays unidentified.
const DATAGRAM_PROBES: u8 = 8;
/// Depth of nested tunnels: SOCKS inside CONNECT inside CONNECT and so on.
const TUNNEL_LIMIT: u8 = 4;

/// Delivers the bytes of all conversations, each to its reader.
#[derive(Default)]
pub struct Dispatcher {
    /// Observations not yet taken by the next stage.
    pub out: Vec<Observation>,
    /// Results of parsing the same bytes before.
    cache: ParseCache,
}

/// State of a conversation while its bytes are delivered.
#[derive(Default)]
pub struct ConversationState {
    /// The reader, once the protocol is identified.
    reader: Option<Box<dyn ProtocolReader>>,
    /// The protocol emitted last.
    protocol: &'static str,
    /// Bytes of each side watched for a ClientHello.
    watched: [u16; 2],
    /// Segments of each side that were probed; for datagrams the first counts both sides.
    probes: [u8; 2],
    /// Tunnels entered.
    tunnels: u8,
    /// No more bytes of either side are needed.
    done: bool,
}

/// Result of probing all readers.
enum Detection {
    Match(&'static ReaderSpec),
    NeedMore(usize),
    NoMatch,
}

/// Finds the first reader that matches, unless a reader before it needs more bytes to decide.
fn detect(sample: &Sample<'_>, protocol: &'static str) -> Detection {
    let transport = if sample.datagram { ReaderTransport::Udp } else { ReaderTransport::Tcp };
    let mut need: Option<usize> = None;
    for spec in READERS {
        if spec.transport != ReaderTransport::Both && spec.transport != transport {
            continue;
        }
        if !spec.name.is_empty() && spec.name == protocol {
            continue;
        }
        match (spec.probe)(sample) {
            Probe::No => {}
            // A datagram does not grow.
            Probe::Maybe(_) if sample.datagram => {}
            Probe::Maybe(more) => need = Some(need.map_or(more, |least| least.min(more))),
            Probe::Yes if need.is_none() => return Detection::Match(spec),
            Probe::Yes => {}
        }
    }
    need.map_or(Detection::NoMatch, Detection::NeedMore)
}

fn sample<'a>(flow: &FlowRef, side: Side, bytes: &'a [u8], wire_len: usize) -> Sample<'a> {
    Sample {
        bytes,
        wire_len,
        datagram: flow.protocol != proto::TCP,
        from_port: flow.end(side).port,
        to_port: flow.end(side.other()).port,
    }
}

impl ConversationState {
    /// Probes the first bytes of a side. `None` when the conversation has a reader now.
    fn identify(
        &mut self,
        flow: &FlowRef,
        side: Side,
        bytes: &[u8],
        emit: &mut Emitter<'_>,
    ) -> Option<ReadProgress> {
        let sample = sample(flow, side, bytes, bytes.len());
        let limit = if flow.from_start || self.tunnels > 0 { 1 } else { MIDSTREAM_PROBES };
        let probes = self.probes.get_mut(side.index())?;
        if *probes < limit {
            match detect(&sample, self.protocol) {
                Detection::Match(spec) => {
                    *probes = limit;
                    return self.start(spec, &sample, emit);
                }
                Detection::NeedMore(need) => return Some(ReadProgress::NeedMore { consumed: 0, need }),
                Detection::NoMatch => *probes += 1,
            }
        }
        self.watch_for_tls(&sample, side, emit)
    }

    /// Checks whether a segment starts with a ClientHello.
    fn watch_for_tls(
        &mut self,
        sample: &Sample<'_>,
        side: Side,
        emit: &mut Emitter<'_>,
    ) -> Option<ReadProgress> {
        match tls::probe_hello(sample) {
            Probe::Yes => return self.start(&tls::SPEC, sample, emit),
            Probe::Maybe(need) => return Some(ReadProgress::NeedMore { consumed: 0, need }),
            Probe::No => {}
        }
        let watched = self.watched.get_mut(side.index())?;
        let total = usize::from(*watched) + sample.bytes.len();
        if total > WATCH_LIMIT {
            return Some(ReadProgress::Done);
        }
        *watched = u16::try_from(total).unwrap_or(u16::MAX);
        Some(ReadProgress::NeedMore { consumed: sample.bytes.len(), need: 0 })
    }

    /// Emits the protocol and does what its row says. `None` when the conversation has a reader now.
    fn start(
        &mut self,
        spec: &'static ReaderSpec,
        sample: &Sample<'_>,
        emit: &mut Emitter<'_>,
    ) -> Option<ReadProgress> {
        if !spec.name.is_empty() {
            self.protocol = spec.name;
            emit.protocol(spec.name);
        }
        match spec.on_match {
            OnMatch::Read(new_reader) => {
                self.reader = Some(new_reader(sample));
                None
            }
            // A malformed datagram to a resolver may look like another protocol; the queries after it are still read.
            OnMatch::Stop if sample.datagram && sample.has_port(port::DNS) => {
                Some(ReadProgress::NeedMore { consumed: sample.bytes.len(), need: 0 })
            }
            OnMatch::Stop => {
                self.done = true;
                Some(ReadProgress::Done)
            }
            OnMatch::WatchForTls => {
                // The other side's first bytes belong to the same protocol: PostgreSQL's `S` is an answer, not the start
                // of an SSH banner.
                if !sample.datagram {
                    self.probes = [u8::MAX; 2];
                }
                Some(ReadProgress::NeedMore { consumed: sample.bytes.len(), need: 0 })
            }
        }
    }

    /// Drops the reader whose tunnel starts; false when tunnels nest too deep.
    fn enter_tunnel(&mut self) -> bool {
        self.reader = None;
        self.watched = [0; 2];
        self.probes = [0; 2];
        self.protocol = "";
        self.tunnels += 1;
        self.tunnels <= TUNNEL_LIMIT
    }
}

impl Dispatcher {
    fn emitter(&mut self, flow: &FlowRef, at: At) -> Emitter<'_> {
        Emitter { out: &mut self.out, at, slot: flow.slot, opened: flow.opened, cache: &mut self.cache }
    }
}

impl StreamConsumer for Dispatcher {
    type State = ConversationState;

    fn opened(&mut self, flow: &FlowRef, flow_start: FlowStart, at: At) {
        self.emitter(flow, at).fact(Fact::FlowStarted(Box::new(flow_start)));
    }

    fn swapped(&mut self, flow: &FlowRef, at: At) {
        self.emitter(flow, at).fact(Fact::RolesSwapped);
    }

    fn sender_is_client(&self, protocol: u8, from: Endpoint, to: Endpoint, bytes: &[u8]) -> Option<bool> {
        let sample = Sample {
            bytes,
            wire_len: bytes.len(),
            datagram: protocol != proto::TCP,
            from_port: from.port,
            to_port: to.port,
        };
        let transport = match protocol {
            proto::TCP => ReaderTransport::Tcp,
            proto::UDP => ReaderTransport::Udp,
            _ => return None,
        };
        READERS
            .iter()
            .filter(|spec| spec.transport == ReaderTransport::Both || spec.transport == transport)
            .find_map(|spec| (spec.sender_is_client)(&sample))
    }

    fn stream(
        &mut self,
        flow: &FlowRef,
        state: &mut ConversationState,
        payload: Payload<'_>,
    ) -> ReadProgress {
        let Payload { side, bytes, at } = payload;
        let mut emit = self.emitter(flow, at);
        let mut used = 0;
        // Each iteration returns, finds a reader or enters a tunnel, and `TUNNEL_LIMIT` bounds the tunnels.
        loop {
            let rest = bytes.get(used..).unwrap_or_default();
            if state.done {
                return ReadProgress::Done;
            }
            if rest.is_empty() {
                return ReadProgress::NeedMore { consumed: used, need: 0 };
            }
            let step = match &mut state.reader {
                Some(reader) => reader.stream(side, rest, &mut emit),
                None => match state.identify(flow, side, rest, &mut emit) {
                    Some(progress) => StreamStep::Continue(progress),
                    None => continue,
                },
            };
            match step {
                StreamStep::Continue(ReadProgress::Done | ReadProgress::Idle) => return ReadProgress::Done,
                StreamStep::Continue(ReadProgress::NeedMore { consumed, need }) => {
                    return ReadProgress::NeedMore { consumed: used + consumed, need };
                }
                StreamStep::Tunnel { consumed } => {
                    used += consumed;
                    if !state.enter_tunnel() {
                        state.done = true;
                        emit.anomaly("tunnel", "tunnels nested too deep");
                    }
                }
            }
        }
    }

    fn stream_ended(
        &mut self,
        flow: &FlowRef,
        state: &mut ConversationState,
        payload: Payload<'_>,
        _why: StreamEnd,
    ) {
        let Payload { side, bytes, at } = payload;
        let mut emit = self.emitter(flow, at);
        if state.done {
            return;
        }
        if state.reader.is_none() && !bytes.is_empty() {
            // No more bytes will arrive, so undecided probes are ignored and the first match is taken.
            let sample = sample(flow, side, bytes, bytes.len());
            if let Some(spec) = READERS.iter().find(|spec| {
                spec.transport != ReaderTransport::Udp
                    && (spec.name.is_empty() || spec.name != state.protocol)
                    && (spec.probe)(&sample) == Probe::Yes
            }) {
                state.start(spec, &sample, &mut emit);
            }
        }
        if let Some(reader) = &mut state.reader {
            reader.stream_ended(side, bytes, &mut emit);
        }
    }

    fn datagram(
        &mut self,
        flow: &FlowRef,
        state: &mut ConversationState,
        payload: Payload<'_>,
        wire_len: u32,
    ) -> ReadProgress {
        let Payload { side, bytes, at } = payload;
        if state.done || flow.protocol != proto::UDP {
            return ReadProgress::Done;
        }
        let wire_len = usize::try_from(wire_len).unwrap_or(usize::MAX).max(bytes.len());
        let mut emit = self.emitter(flow, at);
        if state.reader.is_none() && !bytes.is_empty() {
            let sample = sample(flow, side, bytes, wire_len);
            if let Detection::Match(spec) = detect(&sample, state.protocol) {
                state.start(spec, &sample, &mut emit);
            }
            let [probes, _] = &mut state.probes;
            *probes = probes.saturating_add(1);
            if state.reader.is_none() && *probes >= DATAGRAM_PROBES {
                state.done = true;
            }
        }
        match state.reader.as_mut().map(|reader| reader.datagram(side, bytes, wire_len, &mut emit)) {
            Some(ReadProgress::Done) => state.done = true,
            Some(ReadProgress::Idle) => return ReadProgress::Idle,
            _ => {}
        }
        if state.done {
            ReadProgress::Done
        } else {
            ReadProgress::NeedMore { consumed: bytes.len(), need: 0 }
        }
    }

    fn finish(&mut self, flow: &FlowRef, state: &mut ConversationState, at: At) {
        if let Some(reader) = &mut state.reader {
            reader.finish(&mut self.emitter(flow, at));
        }
    }

    fn held(&self, state: &ConversationState) -> usize {
        state.reader.as_ref().map_or(0, |reader| reader.held_bytes())
    }

    fn interim(&mut self, flow: &FlowRef, flow_end: FlowEnd, at: At) {
        self.emitter(flow, at).fact(Fact::Interim(Box::new(flow_end)));
    }

    fn closed(&mut self, flow: &FlowRef, flow_end: FlowEnd, at: At) {
        self.emitter(flow, at).fact(Fact::FlowEnded(Box::new(flow_end)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Side::Client;
    use crate::base::Side::Server;
    use crate::read::test_harness::CLIENT_HELLO;
    use crate::read::test_harness::CLIENT_HELLO_FACTS;
    use crate::read::test_harness::TestConversation;
    use crate::read::test_harness::play;

    /// Bytes that no reader matches.
    const UNKNOWN: &[u8] = b"\xff\xfe\xfd\xfc\xfb\xfa";
    const SSH: &[u8] = b"SSH-2.0-x\r\n";
    /// A query for the A records of `a.example`.
    const DNS_QUERY: &[u8] =
        b"\x00\x07\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x07example\x00\x00\x01\x00\x01";

    fn check(conversation: TestConversation, sent: &[(Side, &[u8])], expected: &[&str]) {
        assert_eq!(play(conversation, sent), expected);
    }

    #[test]
    fn tunnels_nest_up_to_the_limit() {
        let connect =
            [(Client, &b"CONNECT a:443 HTTP/1.1\r\n\r\n"[..]), (Server, b"HTTP/1.1 200 OK\r\n\r\n")];
        let facts = [
            "protocol http",
            "http.method=CONNECT",
            "name connect a:443",
            "status 200 connect",
            "http.status=0xc8",
        ];
        let depth = usize::from(TUNNEL_LIMIT);
        let inner = [(Client, SSH)];
        check(
            TestConversation::tcp(8080),
            &[connect.repeat(depth), inner.to_vec()].concat(),
            &[facts.repeat(depth), vec!["protocol ssh"]].concat(),
        );
        check(
            TestConversation::tcp(8080),
            &[connect.repeat(depth + 1), inner.to_vec()].concat(),
            &[facts.repeat(depth + 1), vec!["anomaly tunnel: tunnels nested too deep"]].concat(),
        );
    }

    #[test]
    fn a_stream_is_probed_once_from_its_start_and_a_few_times_midstream() {
        let segments = |unknown| [vec![(Client, UNKNOWN); unknown], vec![(Client, SSH)]].concat();
        let midstream = || TestConversation::tcp(4000).midstream();
        let tries = usize::from(MIDSTREAM_PROBES);
        check(TestConversation::tcp(4000), &segments(0), &["protocol ssh"]);
        check(TestConversation::tcp(4000), &segments(1), &[]);
        check(midstream(), &segments(tries - 1), &["protocol ssh"]);
        check(midstream(), &segments(tries), &[]);
        // The other side has its own count.
        let other_side = [vec![(Client, UNKNOWN); tries], vec![(Server, SSH)]].concat();
        check(midstream(), &other_side, &["protocol ssh"]);
    }

    #[test]
    fn datagrams_are_probed_until_the_limit() {
        let datagrams = |unknown| [vec![(Client, UNKNOWN); unknown], vec![(Client, DNS_QUERY)]].concat();
        let tries = usize::from(DATAGRAM_PROBES);
        let query = format!("resolved a.example 1 unanswered query={tries}x1");
        check(TestConversation::udp(4000), &datagrams(tries - 1), &["protocol dns", &query]);
        check(TestConversation::udp(4000), &datagrams(tries), &[]);
    }

    #[test]
    fn queries_after_another_protocol_on_the_dns_port_are_read() {
        let snmp = b"\x30\x10\x02\x01\x01\x04\x06public\xa0\x03\x02\x01\x01";
        let facts = ["protocol snmp", "protocol dns", "resolved a.example 1 unanswered query=2x1"];
        check(TestConversation::udp(53), &[(Client, snmp), (Client, DNS_QUERY)], &facts);
        check(TestConversation::udp(4000), &[(Client, snmp), (Client, DNS_QUERY)], &facts[..1]);
    }

    #[test]
    fn a_client_hello_is_watched_for_up_to_the_limit() {
        let after = |len: usize| {
            let unknown = UNKNOWN.repeat(len / UNKNOWN.len() + 1);
            play(TestConversation::tcp(4000), &[(Client, &unknown[..len]), (Client, CLIENT_HELLO)])
        };
        assert_eq!(after(WATCH_LIMIT), CLIENT_HELLO_FACTS);
        assert_eq!(after(WATCH_LIMIT + 1), [""; 0]);
        // Also after a protocol that allows STARTTLS, and only at the start of a segment.
        let smtp = (Server, &b"220 a.example ESMTP\r\n"[..]);
        let within = [b"STARTTLS\r\n", CLIENT_HELLO].concat();
        check(TestConversation::tcp(25), &[smtp, (Client, &within)], &["protocol smtp"]);
        let facts = [&["protocol smtp"][..], &CLIENT_HELLO_FACTS].concat();
        check(TestConversation::tcp(25), &[smtp, (Client, b"STARTTLS\r\n"), (Client, CLIENT_HELLO)], &facts);
    }

    /// On the DNS port eleven bytes may still become a DNS message, until the stream ends.
    #[test]
    fn the_end_of_a_stream_decides_for_the_first_match() {
        let mut conversation = TestConversation::tcp(53);
        conversation.send(Client, SSH);
        assert_eq!(conversation.facts(), [""; 0]);
        assert_eq!(conversation.end(), ["protocol ssh"]);
    }
}
