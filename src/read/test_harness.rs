//! Plays conversations to a desk, as flow would, for tests.
//!
//! In:  who says what.
//! Out: the facts, a line each.
//! Not: packets.

use super::dispatch::ConversationState;
use super::dispatch::Dispatcher;
use super::fact::AnswerData;
use super::fact::AppStatus;
use super::fact::AttributeValue;
use super::fact::Fact;
use super::fact::Resolution;
use crate::base::Address;
use crate::base::FrameRef;
use crate::base::Side;
use crate::base::Time;
use crate::base::proto;
use crate::flow::At;
use crate::flow::Endpoint;
use crate::flow::FlowRef;
use crate::flow::ReadProgress;
use crate::flow::Slot;
use crate::flow::StreamConsumer;
use crate::flow::StreamEnd;

/// A conversation with a desk of its own.
pub(crate) struct TestConversation {
    pub(crate) dispatcher: Dispatcher,
    state: ConversationState,
    flow: FlowRef,
    order: u64,
    /// Per side: bytes held, bytes needed, sated.
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

    /// Says it in pieces of these lengths, and what is left in one.
    pub(crate) fn send_split(&mut self, side: Side, bytes: &[u8], cuts: &[usize]) {
        let mut rest = bytes;
        for cut in cuts {
            let (head, tail) = rest.split_at((*cut).min(rest.len()));
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
                let progress =
                    self.dispatcher.datagram(&self.flow, &mut self.state, side, bytes, wire_len, at);
                self.held[0].2 = progress == ReadProgress::Done;
            }
            return;
        }
        let (held, need, sated) = &mut self.held[side.index()];
        if *sated {
            return;
        }
        held.extend_from_slice(bytes);
        if held.len() < *need || held.is_empty() {
            return;
        }
        match self.dispatcher.stream(&self.flow, &mut self.state, side, held, at) {
            ReadProgress::Done | ReadProgress::Idle => *sated = true,
            ReadProgress::NeedMore { consumed, need: wanted } => {
                held.drain(..consumed);
                *need = wanted;
            }
        }
    }

    pub(crate) fn send_truncated(&mut self, side: Side, bytes: &[u8], wire_len: u32) {
        let at = self.at();
        self.dispatcher.datagram(&self.flow, &mut self.state, side, bytes, wire_len, at);
    }

    /// The facts so far, without those that flow tells.
    pub(crate) fn facts(&mut self) -> Vec<String> {
        self.dispatcher
            .out
            .drain(..)
            .flat_map(|seen| line(&seen.fact).split('\n').map(str::to_owned).collect::<Vec<_>>())
            .collect()
    }

    /// Ends the conversation; all facts.
    pub(crate) fn end(mut self) -> Vec<String> {
        let at = self.at();
        for side in [Side::Client, Side::Server] {
            let (held, _, sated) = std::mem::take(&mut self.held[side.index()]);
            if self.flow.protocol == proto::TCP && !sated {
                self.dispatcher.stream_ended(
                    &self.flow,
                    &mut self.state,
                    side,
                    &held,
                    StreamEnd::FlowEnded,
                    at,
                );
            }
        }
        self.dispatcher.finish(&self.flow, &mut self.state, at);
        self.facts()
    }
}

/// Plays `talk` on a conversation; a line for each fact.
pub(crate) fn play(mut conversation: TestConversation, talk: &[(Side, &[u8])]) -> Vec<String> {
    for (side, bytes) in talk {
        conversation.send(*side, bytes);
    }
    conversation.end()
}

/// A line for a fact; for a profile one for each attribute.
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
        Fact::Attributes(profile) => {
            let said = profile.iter().map(|(key, value)| format!("{}={}", key.name(), text(value)));
            said.collect::<Vec<_>>().join("\n")
        }
        Fact::Anomaly(odd) => format!("anomaly {}: {}", odd.layer, odd.what),
        other => format!("{other:?}"),
    }
}

fn text(value: &AttributeValue) -> String {
    match value {
        AttributeValue::Yes => "yes".into(),
        AttributeValue::Number(number) => format!("{number:#x}"),
        AttributeValue::Word(word) => (*word).into(),
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
    for answer in &resolution.answers {
        let data = match &answer.data {
            AnswerData::Address(address) => address.to_string(),
            AnswerData::Name(name) => name.to_string(),
            AnswerData::Service { priority, target, hints, ech, text } => {
                format!("{priority} {target} {text} hints={} ech={ech}", hints.len())
            }
            AnswerData::Other(text) => text.to_string(),
        };
        out += &format!(" | {} {} {data}", answer.owner, answer.kind);
    }
    out
}
