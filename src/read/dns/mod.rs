//! Reads DNS over UDP and TCP, and its multicast relatives.
//!
//! In:  messages: RFC 1035 §4.1, over TCP with a length before each (§4.2.2).
//! Out: each response with the query it answers; queries that never got one.
//! Not: what a name's owner should have answered.

mod data;
mod message;
mod name;

use super::fact::Fact;
use super::fact::Resolution;
use super::reader::Emitter;
use super::reader::OnMatch;
use super::reader::Probe;
use super::reader::Reader;
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
use message::HEADER_LEN;
use message::Message;
use name::NameError;

/// Link-local multicast name resolution: RFC 4795 §2.
const LLMNR_PORT: u16 = 5355;
/// NetBIOS names look like DNS and are not (RFC 1002 §4.2).
const NBNS_PORT: u16 = 137;

/// Queries remembered of one conversation.
const ASKED_LIMIT: usize = 256;

/// Opcodes above are unassigned (IANA DNS parameters): 6 is DSO.
const OPCODE_MAX: u16 = 6;
/// Questions in a message on DNS's own ports; mDNS asks several at once.
const QUESTIONS_MAX: u16 = 64;
/// A message on an unexpected port may have so many records in each section and is believed no further.
const STRANGER_RECORDS: u16 = 64;
/// Types up to here may be asked for on an unexpected port: the assigned low ones and the Q-types end at 260.
const STRANGER_TYPE_MAX: u16 = 260;

/// The reader's row. Its name depends on the port, so the reader tells it.
pub(crate) const SPEC: ReaderSpec = ReaderSpec {
    name: "",
    transport: ReaderTransport::Both,
    probe,
    sender_is_client,
    on_match: OnMatch::Read(|sample| Box::new(Dns::new(sample))),
};

/// On DNS's own ports a plausible header and question do; elsewhere every byte must be in its place.
fn probe(sample: &Sample<'_>) -> Probe {
    let home = sample.has_port(port::DNS) || sample.has_port(port::MDNS) || sample.has_port(LLMNR_PORT);
    if sample.datagram {
        if sample.has_port(NBNS_PORT) {
            return Probe::No;
        }
        let fits = if home { plausible(sample.bytes) } else { certain(sample.bytes) };
        return if fits { Probe::Yes } else { Probe::No };
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
    // Elsewhere the first message must be whole in the first piece: nobody else is kept waiting for it.
    match c.take(len, "message") {
        Ok(message) if certain(message) => Probe::Yes,
        _ => Probe::No,
    }
}

fn sender_is_client(sample: &Sample<'_>) -> Option<bool> {
    // Nearly always the first bit behind the identification says what the port says.
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
    message::header(bytes).map(|header| header.query)
}

fn plausible_header(bytes: &[u8]) -> bool {
    message::header(bytes).is_some_and(|header| {
        Into::<u16>::into(header.opcode) <= OPCODE_MAX && header.questions <= QUESTIONS_MAX
    })
}

fn plausible(bytes: &[u8]) -> bool {
    plausible_header(bytes)
        && match message::header(bytes) {
            Some(header) if header.questions > 0 => {
                // A question cut by the snap length is fine, a broken one is not.
                !matches!(name::labels(bytes, HEADER_LEN), Err(NameError::Broken(_)))
            }
            Some(header) => {
                !header.query || header.nameservers > 0 || header.additional > 0 || header.answers > 0
            }
            None => false,
        }
}

/// A standard query or response with one printable question, whole to the last byte.
fn certain(bytes: &[u8]) -> bool {
    let Some(header) = message::header(bytes) else { return false };
    let cheap = header.opcode == Opcode::StandardQuery
        && header.questions == 1
        && header.answers <= STRANGER_RECORDS
        && header.nameservers <= STRANGER_RECORDS
        && header.additional <= STRANGER_RECORDS
        && !(header.query && (header.answers > 0 || header.nameservers > 0 || header.additional > 2));
    if !cheap {
        return false;
    }
    let Ok((labels, _)) = name::labels(bytes, HEADER_LEN) else { return false };
    let printable =
        |label: &&[u8]| label.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte));
    if labels.is_empty() || !labels.iter().all(printable) {
        return false;
    }
    let Some(message) = message::read(bytes) else { return false };
    let Some(question) = message.question else { return false };
    message.damage.is_none()
        && message.trailing == 0
        && (1..=STRANGER_TYPE_MAX).contains(&question.kind)
        // RFC 1035 §3.2.4: IN; mDNS sets the top bit (RFC 6762 §5.4).
        && question.class & 0x7fff == 1
}

/// A query waiting for its response, or the last one answered.
struct Asked {
    id: u16,
    kind: u16,
    name: HostName,
    frame: FrameRef,
    time: Time,
    count: u32,
    answered: bool,
}

impl Asked {
    fn unanswered(self) -> Fact {
        Fact::DnsResolved(Box::new(Resolution {
            opcode: 0,
            query_name: self.name,
            query_type: self.kind,
            query_frame: Some(self.frame),
            query_time: Some(self.time),
            query_count: self.count,
            rcode: None,
            answers: Vec::new(),
            truncated: false,
            damaged: false,
            extended_error: None,
            multicast: false,
        }))
    }
}

/// Remembers a conversation's queries.
struct Dns {
    asked: Vec<Asked>,
    app: &'static str,
    told: bool,
    odd: bool,
    full: bool,
}

impl Dns {
    fn new(sample: &Sample<'_>) -> Dns {
        // A resolver on 53 may answer a client that chose one of the others' ports.
        let app = if sample.has_port(port::DNS) {
            "dns"
        } else if sample.has_port(port::MDNS) {
            "mdns"
        } else if sample.has_port(LLMNR_PORT) {
            "llmnr"
        } else {
            "dns"
        };
        Dns { asked: Vec::new(), app, told: false, odd: false, full: false }
    }

    fn multicast(&self) -> bool {
        self.app != "dns"
    }

    /// Reads one message; `cut`: the capture does not hold all of it.
    fn message(&mut self, bytes: &[u8], cut: bool, emit: &mut Emitter<'_>) {
        if !self.told {
            self.told = true;
            emit.protocol(self.app);
        }
        let Some(message) = message::read(bytes) else {
            return self.odd("message shorter than its header", emit);
        };
        if let Some(NameError::Broken(what)) = message.damage {
            self.odd(what, emit);
        } else if message.damage.is_some() && !cut && !message.truncated {
            self.odd("message ends before its records", emit);
        }
        match (message.opcode, message.query) {
            (message::QUERY, true) => self.query(message, emit),
            (message::QUERY | message::NOTIFY | message::UPDATE, false) => self.response(message, cut, emit),
            // A notice or update that nobody answers is not waited for; the rest asks for no name.
            _ => {}
        }
    }

    fn odd(&mut self, what: &'static str, emit: &mut Emitter<'_>) {
        if !self.odd {
            self.odd = true;
            emit.anomaly("dns", what);
        }
    }

    fn query(&mut self, message: Message, emit: &mut Emitter<'_>) {
        // Who answers a multicast query speaks in a conversation of its own: whether it was answered cannot be told here.
        let Some(question) = message.question.filter(|_| !self.multicast()) else { return };
        let known = self.asked.iter_mut().rev().find(|asked| {
            asked.id == message.id && asked.kind == question.kind && asked.name == question.name
        });
        match known {
            Some(asked) if !asked.answered => asked.count = asked.count.saturating_add(1),
            Some(asked) => {
                asked.frame = emit.at.frame;
                asked.time = emit.at.time;
                asked.count = 1;
                asked.answered = false;
            }
            None => {
                self.make_room(emit);
                self.asked.push(Asked {
                    id: message.id,
                    kind: question.kind,
                    name: question.name,
                    frame: emit.at.frame,
                    time: emit.at.time,
                    count: 1,
                    answered: false,
                });
            }
        }
    }

    /// Forgets all answered queries, or the oldest, when there are too many.
    fn make_room(&mut self, emit: &mut Emitter<'_>) {
        if self.asked.len() < ASKED_LIMIT {
            return;
        }
        self.asked.retain(|asked| !asked.answered);
        if self.asked.len() >= ASKED_LIMIT {
            if !self.full {
                self.full = true;
                emit.anomaly("dns", "more open queries in one conversation than are remembered");
            }
            emit.fact(self.asked.remove(0).unanswered());
        }
    }

    fn response(&mut self, message: Message, cut: bool, emit: &mut Emitter<'_>) {
        let question = message.question;
        let asked = self.asked.iter_mut().rev().find(|asked| {
            message.opcode == message::QUERY
                && asked.id == message.id
                && question
                    .as_ref()
                    .is_none_or(|question| asked.kind == question.kind && asked.name == question.name)
        });
        let (query_frame, query_time, query_count) = match &asked {
            Some(asked) => (Some(asked.frame), Some(asked.time), asked.count),
            None => (None, None, 0),
        };
        let (query_name, query_type) = match (question, &asked, message.answers.first()) {
            (Some(question), _, _) => (question.name, question.kind),
            (None, Some(asked), _) => (asked.name.clone(), asked.kind),
            // mDNS responses carry no question (RFC 6762 §6): they stand under their first record.
            (None, None, Some(answer)) => (answer.owner.clone(), answer.kind),
            // Cut or broken before its name: the root would be a name that nobody asked for.
            (None, None, None) if message.damage.is_some() => return,
            (None, None, None) => (HostName::from_labels([]), 0),
        };
        if let Some(asked) = asked {
            asked.answered = true;
        }
        let multicast = self.multicast();
        emit.fact(Fact::DnsResolved(Box::new(Resolution {
            opcode: message.opcode as u8,
            query_name,
            query_type,
            query_frame,
            query_time,
            query_count,
            rcode: Some(message.rcode),
            answers: message.answers,
            truncated: message.truncated,
            damaged: cut || message.damage.is_some(),
            extended_error: message.extended_error,
            multicast,
        })));
    }
}

impl Reader for Dns {
    fn held_bytes(&self) -> usize {
        size_of::<Dns>()
            + self.asked.iter().map(|asked| size_of::<Asked>() + asked.name.as_str().len()).sum::<usize>()
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
            let wanted = usize::from(len);
            let message = c.take_up_to(wanted);
            if !message.is_empty() {
                self.message(message, message.len() < wanted, emit);
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
        // Most conversations are one question and one answer, and stay in the flow table for a while after it.
        if self.asked.iter().all(|asked| asked.answered) {
            return ReadProgress::Idle;
        }
        ReadProgress::NeedMore { consumed: bytes.len(), need: 0 }
    }

    fn finish(&mut self, emit: &mut Emitter<'_>) {
        for asked in self.asked.drain(..) {
            if !asked.answered {
                emit.fact(asked.unanswered());
            }
        }
    }
}

#[cfg(test)]
mod tests;
