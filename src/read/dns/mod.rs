//! Reads DNS over UDP and TCP, mDNS and LLMNR.
//!
//! In:  messages: RFC 1035 §4.1, over TCP with a length prefix (§4.2.2).
//! Out: each response with its query; queries without a response.
//! Not: whether a response is right.

mod data;
mod message;
mod name;

use super::fact::Fact;
use super::fact::Resolution;
use super::reader::Emitter;
use super::reader::OnMatch;
use super::reader::Probe;
use super::reader::ProtocolReader;
use super::reader::ReaderSpec;
use super::reader::ReaderTransport;
use super::reader::Sample;
use super::reader::StreamStep;
use crate::base::Cursor;
use crate::base::FrameRef;
use crate::base::HostName;
use crate::base::Side;
use crate::base::Time;
use crate::base::port;
use crate::flow::ReadProgress;
use dns_parser::Opcode;
use message::DnsMessage;
use message::HEADER_LEN;
use name::DnsDamage;
use name::NameBudget;
use smallvec::SmallVec;

/// Link-local multicast name resolution: RFC 4795 §2.
const LLMNR_PORT: u16 = 5355;
/// NetBIOS name service messages have the format of DNS but other names (RFC 1002 §4.2).
const NBNS_PORT: u16 = 137;

/// Queries tracked in one conversation.
const QUERY_LIMIT: usize = 256;

/// The highest assigned opcode (IANA DNS parameters): DSO.
const OPCODE_MAX: u16 = 6;
/// Questions in a message on the DNS ports; mDNS queries hold several.
const QUESTIONS_MAX: u16 = 64;
/// Records in each section of a message on another port; a message with more is not taken for DNS.
const OTHER_PORT_RECORDS: u16 = 64;
/// The highest query type accepted on another port: the assigned low types and the query types end at 260.
const OTHER_PORT_TYPE_MAX: u16 = 260;

/// The reader's row. The protocol depends on the port, so the reader emits it.
pub(crate) const SPEC: ReaderSpec = ReaderSpec {
    name: "",
    transport: ReaderTransport::Both,
    probe,
    sender_is_client,
    on_match: OnMatch::Read(|sample| Box::new(DnsReader::new(sample))),
};

/// On the DNS ports a plausible header and question are enough; on another port the whole message must be valid.
fn probe(sample: &Sample<'_>) -> Probe {
    let on_dns_port =
        sample.has_port(port::DNS) || sample.has_port(port::MDNS) || sample.has_port(LLMNR_PORT);
    if sample.datagram {
        if sample.has_port(NBNS_PORT) {
            return Probe::No;
        }
        let matches = if on_dns_port { plausible(sample.bytes) } else { certain(sample.bytes) };
        return if matches { Probe::Yes } else { Probe::No };
    }
    let mut c = Cursor::new(sample.bytes);
    let Ok(len) = c.u16("message length") else {
        return if sample.has_port(port::DNS) { Probe::Maybe(2 + HEADER_LEN) } else { Probe::No };
    };
    let len = usize::from(len);
    if len < HEADER_LEN {
        return Probe::No;
    }
    if sample.has_port(port::DNS) {
        return match c.rest() {
            rest if rest.len() < HEADER_LEN => Probe::Maybe(2 + HEADER_LEN),
            rest if plausible_header(rest) => Probe::Yes,
            _ => Probe::No,
        };
    }
    // On another port the first segment must hold a whole message, so that no other reader has to wait.
    match c.take(len, "message") {
        Ok(message) if certain(message) => Probe::Yes,
        _ => Probe::No,
    }
}

fn sender_is_client(sample: &Sample<'_>) -> Option<bool> {
    // The common case: the QR bit agrees with the port.
    let (from_server, to_server) = (sample.from_port == port::DNS, sample.to_port == port::DNS);
    if sample.datagram
        && from_server != to_server
        && sample.bytes.get(2).is_some_and(|flags| (flags & 0x80 != 0) == from_server)
    {
        return Some(to_server);
    }
    if probe(sample) != Probe::Yes {
        return None;
    }
    let bytes = if sample.datagram { sample.bytes } else { sample.bytes.get(2..)? };
    message::parse_header(bytes).map(|header| header.query)
}

fn plausible_header(bytes: &[u8]) -> bool {
    message::parse_header(bytes).is_some_and(|header| {
        Into::<u16>::into(header.opcode) <= OPCODE_MAX && header.questions <= QUESTIONS_MAX
    })
}

fn plausible(bytes: &[u8]) -> bool {
    plausible_header(bytes)
        && match message::parse_header(bytes) {
            Some(header) if header.questions > 0 => {
                // A question truncated by the snap length is accepted, a malformed one is not.
                {
                    let mut budget = NameBudget::for_message(bytes.len());
                    let labels = name::read_labels(bytes, HEADER_LEN, &mut budget);
                    !matches!(labels, Err(DnsDamage::Malformed(_)))
                }
            }
            Some(header) => {
                !header.query || header.nameservers > 0 || header.additional > 0 || header.answers > 0
            }
            None => false,
        }
}

/// A standard query or response with one printable question, valid to the last byte.
fn certain(bytes: &[u8]) -> bool {
    let Some(header) = message::parse_header(bytes) else { return false };
    let plausible = header.opcode == Opcode::StandardQuery
        && header.questions == 1
        && header.answers <= OTHER_PORT_RECORDS
        && header.nameservers <= OTHER_PORT_RECORDS
        && header.additional <= OTHER_PORT_RECORDS
        && !(header.query && (header.answers > 0 || header.nameservers > 0 || header.additional > 2));
    if !plausible {
        return false;
    }
    let mut budget = NameBudget::for_message(bytes.len());
    let Ok((labels, _)) = name::read_labels(bytes, HEADER_LEN, &mut budget) else { return false };
    let printable =
        |label: &&[u8]| label.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte));
    if labels.is_empty() || !labels.iter().all(printable) {
        return false;
    }
    let Some(message) = message::parse_message(bytes) else { return false };
    let Some(question) = message.question else { return false };
    message.damage.is_none()
        && message.trailing == 0
        && (1..=OTHER_PORT_TYPE_MAX).contains(&question.kind)
        // RFC 1035 §3.2.4: IN; mDNS sets the top bit (RFC 6762 §5.4).
        && question.class & 0x7fff == 1
}

/// A query, with or without a response so far.
struct TrackedQuery {
    id: u16,
    kind: u16,
    name: HostName,
    frame: FrameRef,
    time: Time,
    last: Time,
    count: u32,
    answered: bool,
}

impl TrackedQuery {
    /// `last_query_time`: none where the query is no longer tracked, and its response may still come.
    fn unanswered(self, last_query_time: Option<Time>) -> Fact {
        Fact::DnsResolved(Box::new(Resolution {
            opcode: 0,
            query_name: self.name,
            query_type: self.kind,
            query_frame: Some(self.frame),
            query_time: Some(self.time),
            query_count: self.count,
            last_query_time,
            rcode: None,
            answers: Vec::new(),
            unread_answers: 0,
            truncated: false,
            damaged: false,
            extended_error: None,
            multicast: false,
        }))
    }
}

/// Reads the DNS messages of one conversation.
struct DnsReader {
    /// Nearly every conversation over UDP has one.
    queries: SmallVec<[TrackedQuery; 1]>,
    app: &'static str,
    protocol_emitted: bool,
    anomaly_emitted: bool,
    overflow_emitted: bool,
}

impl DnsReader {
    fn new(sample: &Sample<'_>) -> DnsReader {
        // A client of a resolver on port 53 may have chosen one of the other two ports as its own.
        let app = if sample.has_port(port::DNS) {
            "dns"
        } else if sample.has_port(port::MDNS) {
            "mdns"
        } else if sample.has_port(LLMNR_PORT) {
            "llmnr"
        } else {
            "dns"
        };
        DnsReader {
            queries: SmallVec::new(),
            app,
            protocol_emitted: false,
            anomaly_emitted: false,
            overflow_emitted: false,
        }
    }

    fn is_multicast(&self) -> bool {
        self.app != "dns"
    }

    /// Reads one message; `cut`: the capture does not hold all of it.
    fn message(&mut self, bytes: &[u8], cut: bool, emit: &mut Emitter<'_>) {
        if !self.protocol_emitted {
            self.protocol_emitted = true;
            emit.protocol(self.app);
        }
        let Some(message) = message::parse_message(bytes) else {
            return self.anomaly("message shorter than its header", emit);
        };
        if let Some(DnsDamage::Malformed(what)) = message.damage {
            self.anomaly(what, emit);
        } else if message.damage.is_some() && !cut && !message.truncated {
            self.anomaly("message ends before its records", emit);
        }
        match (message.opcode, message.query) {
            (message::QUERY, true) => self.query(message, emit),
            (message::QUERY | message::NOTIFY | message::UPDATE, false) => self.response(message, cut, emit),
            // An unanswered NOTIFY or UPDATE is not reported; the other opcodes query no name.
            _ => {}
        }
    }

    /// Emits the first anomaly of the conversation.
    fn anomaly(&mut self, what: &'static str, emit: &mut Emitter<'_>) {
        if !self.anomaly_emitted {
            self.anomaly_emitted = true;
            emit.anomaly("dns", what);
        }
    }

    fn query(&mut self, message: DnsMessage, emit: &mut Emitter<'_>) {
        // The responses to a multicast query are in conversations of their own, so it is unknown whether it was answered.
        let Some(question) = message.question.filter(|_| !self.is_multicast()) else { return };
        let same = self.queries.iter_mut().rev().find(|query| {
            query.id == message.id && query.kind == question.kind && query.name == question.name
        });
        match same {
            Some(query) if !query.answered => {
                query.count = query.count.saturating_add(1);
                query.last = emit.at.time;
            }
            Some(query) => {
                query.frame = emit.at.frame;
                query.time = emit.at.time;
                query.last = emit.at.time;
                query.count = 1;
                query.answered = false;
            }
            None => {
                self.make_room(emit);
                self.queries.push(TrackedQuery {
                    id: message.id,
                    kind: question.kind,
                    name: question.name,
                    frame: emit.at.frame,
                    time: emit.at.time,
                    last: emit.at.time,
                    count: 1,
                    answered: false,
                });
            }
        }
    }

    /// Drops all answered queries when the limit is reached, or else the oldest query.
    fn make_room(&mut self, emit: &mut Emitter<'_>) {
        if self.queries.len() < QUERY_LIMIT {
            return;
        }
        self.queries.retain(|query| !query.answered);
        if self.queries.len() >= QUERY_LIMIT {
            if !self.overflow_emitted {
                self.overflow_emitted = true;
                emit.anomaly("dns", "more open queries in one conversation than are tracked");
            }
            emit.fact(self.queries.remove(0).unanswered(None));
        }
    }

    fn response(&mut self, message: DnsMessage, cut: bool, emit: &mut Emitter<'_>) {
        let question = message.question;
        let query = self.queries.iter_mut().rev().find(|query| {
            message.opcode == message::QUERY
                && query.id == message.id
                && question
                    .as_ref()
                    .is_none_or(|question| query.kind == question.kind && query.name == question.name)
        });
        let (query_frame, query_time, query_count) = match &query {
            Some(query) => (Some(query.frame), Some(query.time), query.count),
            None => (None, None, 0),
        };
        let (query_name, query_type) = match (question, &query, message.answers.first()) {
            (Some(question), _, _) => (question.name, question.kind),
            (None, Some(query), _) => (query.name.clone(), query.kind),
            // mDNS responses have no question (RFC 6762 §6): the first record's name and type take its place.
            (None, None, Some(answer)) => (answer.owner.clone(), answer.kind),
            // Cut or malformed before its name: the root would be a name that no client queried.
            (None, None, None) if message.damage.is_some() => return,
            (None, None, None) => (HostName::from_labels([]), 0),
        };
        if let Some(query) = query {
            query.answered = true;
        }
        let multicast = self.is_multicast();
        emit.fact(Fact::DnsResolved(Box::new(Resolution {
            opcode: message.opcode as u8,
            query_name,
            query_type,
            query_frame,
            query_time,
            query_count,
            last_query_time: None,
            rcode: Some(message.rcode),
            answers: message.answers,
            unread_answers: message.unread_answers,
            truncated: message.truncated,
            damaged: cut || message.damage.is_some(),
            extended_error: message.extended_error,
            multicast,
        })));
    }
}

impl ProtocolReader for DnsReader {
    fn held_bytes(&self) -> usize {
        size_of::<DnsReader>()
            + self
                .queries
                .iter()
                .map(|query| size_of::<TrackedQuery>() + query.name.as_str().len())
                .sum::<usize>()
    }

    fn stream(&mut self, _side: Side, bytes: &[u8], emit: &mut Emitter<'_>) -> StreamStep {
        let mut c = Cursor::new(bytes);
        loop {
            let consumed = c.at();
            let Ok(len) = c.u16("message length") else { return StreamStep::need_more(consumed, 2) };
            match c.take(usize::from(len), "message") {
                Ok(message) => self.message(message, false, emit),
                Err(_) => return StreamStep::need_more(consumed, 2 + usize::from(len)),
            }
        }
    }

    fn stream_ended(&mut self, _side: Side, bytes: &[u8], emit: &mut Emitter<'_>) {
        let mut c = Cursor::new(bytes);
        while let Ok(len) = c.u16("message length") {
            let len = usize::from(len);
            let message = c.take_up_to(len);
            if !message.is_empty() {
                self.message(message, message.len() < len, emit);
            }
        }
    }

    fn datagram(
        &mut self,
        _side: Side,
        bytes: &[u8],
        wire_len: usize,
        emit: &mut Emitter<'_>,
    ) -> ReadProgress {
        if !bytes.is_empty() {
            self.message(bytes, bytes.len() < wire_len, emit);
        }
        // Most conversations are one query and one response; they stay in the flow table for a while without this state.
        if self.queries.iter().all(|query| query.answered) {
            return ReadProgress::Idle;
        }
        ReadProgress::NeedMore { consumed: bytes.len(), need: 0 }
    }

    fn finish(&mut self, emit: &mut Emitter<'_>) {
        for query in self.queries.drain(..) {
            if !query.answered {
                let last = query.last;
                emit.fact(query.unanswered(Some(last)));
            }
        }
    }
}

#[cfg(test)]
mod tests;
