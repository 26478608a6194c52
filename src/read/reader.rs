//! Defines what a reader is: a row of the table, and the code that parses one protocol.
//!
//! In:  the first bytes of a conversation; later all its bytes.
//! Out: whether the bytes are the reader's protocol; facts, through [`Emitter`].
//! Not: which reader gets the bytes; that is for the dispatcher.

use super::attributes::AttributeKey;
use super::attributes::AttributeValue;
use super::fact::Anomaly;
use super::fact::App;
use super::fact::Claim;
use super::fact::Fact;
use super::fact::NameSource;
use super::fact::Observation;
use super::parse_cache::ParseCache;
use crate::base::HostName;
use crate::base::Side;
use crate::flow::At;
use crate::flow::ReadProgress;
use crate::flow::Slot;

/// Whether bytes are a reader's protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// They are another protocol.
    No,
    /// Undecided until the sample has at least this many bytes. A shorter sample gives the same result.
    Maybe(usize),
    /// They are this protocol.
    Yes,
}

/// The transports of a reader's protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReaderTransport {
    /// TCP only.
    Tcp,
    /// UDP only.
    Udp,
    /// TCP and UDP.
    Both,
}

/// The first bytes that one side sent, and their context.
#[derive(Clone, Copy, Debug)]
pub struct Sample<'a> {
    /// The bytes of the stream so far, or the captured bytes of a datagram.
    pub bytes: &'a [u8],
    /// On-wire length of the datagram; for a stream the length of `bytes`.
    pub wire_len: usize,
    /// True for a datagram, false for a stream.
    pub datagram: bool,
    /// The sender's port.
    pub from_port: u16,
    /// The receiver's port.
    pub to_port: u16,
}

impl Sample<'_> {
    /// True when either port is `port`: a hint, never a proof.
    #[inline]
    pub const fn has_port(&self, port: u16) -> bool {
        self.from_port == port || self.to_port == port
    }
}

/// What follows once a conversation is identified.
#[derive(Clone, Copy)]
pub enum OnMatch {
    /// Nothing: the protocol is not parsed.
    Stop,
    /// The protocol is not parsed, but it may switch to TLS (STARTTLS and the like): the start of each segment is checked
    /// for a ClientHello.
    WatchForTls,
    /// The protocol is parsed.
    Read(fn(&Sample<'_>) -> Box<dyn ProtocolReader>),
}

/// A row of the table of readers.
pub struct ReaderSpec {
    /// The word in the `app` column; empty where the reader reports it itself, or reports none.
    pub name: &'static str,
    /// The transports to try it on.
    pub transport: ReaderTransport,
    /// Recognises the protocol by the first bytes of one side.
    pub probe: fn(&Sample<'_>) -> Probe,
    /// Whether the sender of these bytes is the client, where the bytes show it.
    pub sender_is_client: fn(&Sample<'_>) -> Option<bool>,
    /// What follows a match.
    pub on_match: OnMatch,
}

/// What a reader makes of a stream's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamStep {
    /// The same reader stays in charge.
    Continue(ReadProgress),
    /// A tunnel starts after `consumed` bytes: both sides carry another protocol from there on. Only the dispatcher sees
    /// this step, never flow.
    Tunnel {
        /// How many of the bytes come before the tunnel.
        consumed: usize,
    },
}

impl StreamStep {
    /// Nothing more of this side is needed.
    pub const DONE: StreamStep = StreamStep::Continue(ReadProgress::Done);

    /// `consumed` bytes are not needed any more; `need` bytes must follow them before the next call.
    pub const fn need_more(consumed: usize, need: usize) -> StreamStep {
        StreamStep::Continue(ReadProgress::NeedMore { consumed, need })
    }
}

/// Parses one conversation.
pub trait ProtocolReader: Send {
    /// A stream's bytes, from the first byte that the reader has not consumed.
    fn stream(&mut self, side: Side, bytes: &[u8], emit: &mut Emitter<'_>) -> StreamStep;

    /// A stream cannot continue: `bytes` are its last bytes, and may end anywhere.
    fn stream_ended(&mut self, side: Side, bytes: &[u8], emit: &mut Emitter<'_>);

    /// A datagram.
    fn datagram(
        &mut self,
        side: Side,
        bytes: &[u8],
        wire_len: usize,
        emit: &mut Emitter<'_>,
    ) -> ReadProgress {
        let _ = (side, bytes, wire_len, emit);
        ReadProgress::Done
    }

    /// Approximate memory of the reader, in bytes.
    fn held_bytes(&self) -> usize;

    /// The conversation is over.
    fn finish(&mut self, emit: &mut Emitter<'_>) {
        let _ = emit;
    }
}

/// Emits a reader's facts: adds the time, the frame and the conversation.
pub struct Emitter<'a> {
    /// The facts so far.
    pub out: &'a mut Vec<Observation>,
    /// The current frame.
    pub at: At,
    /// The conversation's slot in the flow table.
    pub slot: Slot,
    /// The `order` of the frame that opened the conversation.
    pub opened: u64,
    /// Results of parsing the same bytes before.
    pub cache: &'a mut ParseCache,
}

impl Emitter<'_> {
    /// Emits a fact.
    #[inline]
    pub fn fact(&mut self, fact: Fact) {
        self.out.push(Observation { at: self.at, slot: self.slot, opened: self.opened, fact });
    }

    /// Emits the protocol of the conversation.
    pub fn protocol(&mut self, name: &'static str) {
        self.fact(Fact::Protocol(App(name)));
    }

    /// Emits a name of the server.
    pub fn name(&mut self, source: NameSource, name: HostName, port: Option<u16>, outer: bool) {
        self.fact(Fact::NameClaimed(Claim { source, name, port, outer }));
    }

    /// Emits an attribute.
    #[inline]
    pub fn attribute(&mut self, key: AttributeKey, value: AttributeValue) {
        self.fact(Fact::Attribute(key, value));
    }

    /// Emits an anomaly.
    pub fn anomaly(&mut self, layer: &'static str, what: &'static str) {
        self.fact(Fact::Anomaly(Anomaly { layer, what }));
    }
}

/// An offset and the test that the byte there must pass.
pub(crate) type BytePattern = (usize, fn(u8) -> bool);

/// Tests bytes against patterns in the order of their offsets; `Maybe` while all bytes present pass.
pub(crate) fn match_bytes(bytes: &[u8], patterns: &[BytePattern]) -> Probe {
    for (at, test) in patterns {
        match bytes.get(*at) {
            None => return Probe::Maybe(at + 1),
            Some(byte) if !test(*byte) => return Probe::No,
            Some(_) => {}
        }
    }
    Probe::Yes
}
