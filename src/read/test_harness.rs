//! Test support: delivers conversations to a dispatcher, as flow would.
//!
//! In:  the bytes that each side sends.
//! Out: the facts, one line each.
//! Not: packets.

use super::attributes::AttributeValue;
use super::dispatch::ConversationState;
use super::dispatch::Dispatcher;
use super::fact::AnswerData;
use super::fact::AppStatus;
use super::fact::Fact;
use super::fact::Resolution;
use super::fact::Service;
use crate::base::Address;
use crate::base::FrameRef;
use crate::base::Side;
use crate::base::Time;
use crate::base::proto;
use crate::flow::At;
use crate::flow::Endpoint;
use crate::flow::FlowRef;
use crate::flow::Payload;
use crate::flow::ReadProgress;
use crate::flow::Slot;
use crate::flow::StreamConsumer;
use crate::flow::StreamEnd;

/// A record with a ClientHello without extensions.
pub(crate) const CLIENT_HELLO: &[u8] = b"\x16\x03\x01\x00\x2f\x01\x00\x00\x2b\x03\x03RANDOMRANDOMRANDOMRANDOMRANDOM12\x00\x00\x02\xc0\x30\x01\x00\x00\x00";
/// Its facts.
pub(crate) const CLIENT_HELLO_FACTS: [&str; 4] =
    ["protocol tls", "tls.offered=0x303", "tls.ciphers=c030", "ja4=t12i010000_a17193ba21fd_000000000000"];

/// A conversation with its own dispatcher.
pub(crate) struct TestConversation {
    pub(crate) dispatcher: Dispatcher,
    state: ConversationState,
    flow: FlowRef,
    order: u64,
    /// By side: bytes held, bytes needed, done.
    held: [(Vec<u8>, usize, bool); 2],
}

impl TestConversation {
    pub(crate) fn new(protocol: u8, client_port: u16, server_port: u16) -> TestConversation {
        let client = Endpoint { address: Address::v4([10, 0, 0, 2]), port: client_port };
        let server = Endpoint { address: Address::v4([192, 0, 2, 1]), port: server_port };
        let flow = FlowRef { slot: Slot(0), opened: 0, client, server, protocol, from_start: true };
        TestConversation {
            dispatcher: Dispatcher::default(),
            state: ConversationState::default(),
            flow,
            order: 0,
            held: Default::default(),
        }
    }

    pub(crate) fn tcp(server_port: u16) -> TestConversation {
        TestConversation::new(6, 50000, server_port)
    }

    pub(crate) fn udp(server_port: u16) -> TestConversation {
        TestConversation::new(17, 50000, server_port)
    }

    pub(crate) fn midstream(mut self) -> TestConversation {
        self.flow.from_start = false;
        self
    }

    fn at(&mut self) -> At {
        self.order += 1;
        let frame = FrameRef { number: self.order, ..FrameRef::default() };
        At { order: self.order, frame, time: Time(self.order as i64) }
    }

    /// Sends segments of these lengths, then the rest in one.
    pub(crate) fn send_split(&mut self, side: Side, bytes: &[u8], lens: &[usize]) {
        let mut rest = bytes;
        for len in lens {
            let (head, tail) = rest.split_at((*len).min(rest.len()));
            self.send(side, head);
            rest = tail;
        }
        self.send(side, rest);
    }

    pub(crate) fn send(&mut self, side: Side, bytes: &[u8]) {
        let at = self.at();
        if self.flow.protocol != proto::TCP {
            if !self.held[0].2 {
                let wire_len = bytes.len() as u32;
                let progress = self.dispatcher.datagram(
                    &self.flow,
                    &mut self.state,
                    Payload { side, bytes, at },
                    wire_len,
                );
                self.held[0].2 = progress == ReadProgress::Done;
            }
            return;
        }
        let (held, need, done) = &mut self.held[side.index()];
        if *done {
            return;
        }
        held.extend_from_slice(bytes);
        if held.len() < *need || held.is_empty() {
            return;
        }
        match self.dispatcher.stream(&self.flow, &mut self.state, Payload { side, bytes: held, at }) {
            ReadProgress::Done | ReadProgress::Idle => *done = true,
            ReadProgress::NeedMore { consumed, need: new_need } => {
                held.drain(..consumed);
                *need = new_need;
            }
        }
    }

    pub(crate) fn send_truncated(&mut self, side: Side, bytes: &[u8], wire_len: u32) {
        let at = self.at();
        self.dispatcher.datagram(&self.flow, &mut self.state, Payload { side, bytes, at }, wire_len);
    }

    /// The facts so far.
    pub(crate) fn facts(&mut self) -> Vec<String> {
        self.dispatcher
            .out
            .drain(..)
            .flat_map(|seen| line(&seen.fact).split('\n').map(str::to_owned).collect::<Vec<_>>())
            .collect()
    }

    /// Ends the conversation and returns the facts since the last call.
    pub(crate) fn end(mut self) -> Vec<String> {
        let at = self.at();
        for side in [Side::Client, Side::Server] {
            let (held, _, done) = std::mem::take(&mut self.held[side.index()]);
            if self.flow.protocol == proto::TCP && !done {
                self.dispatcher.stream_ended(
                    &self.flow,
                    &mut self.state,
                    Payload { side, bytes: &held, at },
                    StreamEnd::FlowEnded,
                );
            }
        }
        self.dispatcher.finish(&self.flow, &mut self.state, at);
        self.facts()
    }
}

/// Sends the segments or datagrams and returns one line for each fact.
pub(crate) fn play(mut conversation: TestConversation, sent: &[(Side, &[u8])]) -> Vec<String> {
    for (side, bytes) in sent {
        conversation.send(*side, bytes);
    }
    conversation.end()
}

/// One line for a fact; for several attributes one line each.
fn line(fact: &Fact) -> String {
    match fact {
        Fact::Protocol(app) => format!("protocol {}", app.0),
        Fact::NameClaimed(claim) => {
            let port = claim.port.map(|port| format!(":{port}")).unwrap_or_default();
            let outer = if claim.outer { " outer" } else { "" };
            format!("name {} {}{port}{outer}", claim.source.as_str(), claim.name)
        }
        Fact::DnsResolved(resolution) => resolved(resolution),
        Fact::Status(AppStatus::Alert { by, fatal, description }) => {
            format!("alert {by:?} {} {description}", if *fatal { "fatal" } else { "warning" })
        }
        Fact::Status(AppStatus::Status { code, connect }) => {
            format!("status {code}{}", if *connect { " connect" } else { "" })
        }
        Fact::Status(AppStatus::Socks(code)) => format!("socks {code}"),
        Fact::Attribute(key, value) => format!("{}={}", key.name(), text(value)),
        Fact::Attributes(attributes) => {
            let lines = attributes.iter().map(|(key, value)| format!("{}={}", key.name(), text(value)));
            lines.collect::<Vec<_>>().join("\n")
        }
        Fact::Anomaly(anomaly) => format!("anomaly {}: {}", anomaly.layer, anomaly.what),
        other => format!("{other:?}"),
    }
}

fn text(value: &AttributeValue) -> String {
    match value {
        AttributeValue::Yes => "yes".into(),
        AttributeValue::Number(number) => format!("{number:#x}"),
        AttributeValue::Text(text) => text.to_string(),
        AttributeValue::List(list) => list.iter().map(|text| text.as_str()).collect::<Vec<_>>().join(";"),
        AttributeValue::Codes(codes) => {
            codes.iter().map(|code| format!("{code:04x}")).collect::<Vec<_>>().join(";")
        }
    }
}

fn resolved(resolution: &Resolution) -> String {
    let mut out = format!("resolved {} {}", resolution.query_name, resolution.query_type);
    if resolution.opcode != 0 {
        out += &format!(" opcode={}", resolution.opcode);
    }
    match resolution.rcode {
        Some(rcode) => out += &format!(" rcode={rcode}"),
        None => out += " unanswered",
    }
    match resolution.query_frame {
        Some(frame) => out += &format!(" query={}x{}", frame.number, resolution.query_count),
        None => out += " no-query",
    }
    for (set, word) in [
        (resolution.truncated, " tc"),
        (resolution.damaged, " damaged"),
        (resolution.multicast, " multicast"),
    ] {
        if set {
            out += word;
        }
    }
    if let Some((code, text)) = &resolution.extended_error {
        out += &format!(" ede={code}:{text}");
    }
    if resolution.unread_answers > 0 {
        out += &format!(" unread={}", resolution.unread_answers);
    }
    for answer in &resolution.answers {
        let data = match &answer.data {
            AnswerData::Address(address) => address.to_string(),
            AnswerData::Name(name) => name.to_string(),
            AnswerData::Service(service) => {
                let Service { priority, target, hints, ech, text } = &**service;
                format!("{priority} {target} {text} hints={} ech={ech}", hints.len())
            }
            AnswerData::Other(text) => text.to_string(),
        };
        out += &format!(" | {} {} {data}", answer.owner, answer.kind);
    }
    out
}
