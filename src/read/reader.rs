//! What a reader is: a row in a table, and the code behind it.
//!
//! In:  a sample of a conversation; later its bytes.
//! Out: how sure the reader is that the bytes are its protocol; facts, through [`Emitter`].
//! Not: which reader gets the bytes; that is the desk's work.

use super::fact::Anomaly;
use super::fact::App;
use super::fact::AttributeKey;
use super::fact::AttributeValue;
use super::fact::Claim;
use super::fact::Fact;
use super::fact::NameSource;
use super::fact::Observation;
use super::parse_cache::ParseCache;
use crate::base::HostName;
use crate::base::Side;
use crate::flow::At;
use crate::flow::Slot;

/// How sure a reader is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probe {
    /// The bytes are something else.
    No,
    /// They could be; with this many bytes it can be told. A longer sample may say anything, a shorter one says the same.
    Maybe(usize),
    /// They are.
    Yes,
}

/// The transports that a reader can sit on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// TCP only.
    Tcp,
    /// UDP only.
    Udp,
    /// Either.
    Both,
}

/// The first bytes of a side, and what is known around them.
#[derive(Clone, Copy, Debug)]
pub struct Sample<'a> {
    /// Of a stream what is there of it; of a datagram all that was captured.
    pub bytes: &'a [u8],
    /// How long the datagram was on the wire; for streams the length of `bytes`.
    pub wire_len: usize,
    /// True for a datagram, false for a stream.
    pub datagram: bool,
    /// Port of the side that sent it.
    pub from_port: u16,
    /// Port of the other side.
    pub to_port: u16,
}

impl Sample<'_> {
    /// True when either port is `port`: a hint, never a proof.
    #[inline]
    pub const fn on(&self, port: u16) -> bool {
        self.from_port == port || self.to_port == port
    }
}

/// What becomes of a conversation after its protocol is known and no code reads it further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// Nothing more is wanted.
    Sated,
    /// It may turn into TLS (STARTTLS and its like): the beginnings of its segments are watched.
    Watch,
}

/// The code behind a row.
#[derive(Clone, Copy)]
pub enum Code {
    /// It is enough to know the protocol.
    Name(After),
    /// Reads on.
    Read(fn(&Sample<'_>) -> Box<dyn Reader>),
}

/// A reader's row.
pub struct Spec {
    /// What the `app` column says; empty where the reader says it itself, or says nothing.
    pub name: &'static str,
    /// What it sits on.
    pub transport: Transport,
    /// Tells its protocol by the first bytes of a side.
    pub probe: fn(&Sample<'_>) -> Probe,
    /// Whether the sender of such bytes is the client, where they tell.
    pub asks: fn(&Sample<'_>) -> Option<bool>,
    /// The code.
    pub code: Code,
}

/// What a reader wants next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing more of this side; for datagrams of both.
    Sated,
    /// Datagrams: nothing needs to be remembered until the next one.
    Rest,
    /// `consumed` bytes are done with; come back when `need` bytes follow them.
    Hungry {
        /// Bytes done with.
        consumed: usize,
        /// Bytes needed after them; 0 and 1 mean any.
        need: usize,
    },
    /// A tunnel begins behind `consumed` bytes: both sides speak another protocol from here on.
    Inside {
        /// Bytes done with.
        consumed: usize,
    },
}

/// Reads one conversation.
pub trait Reader: Send {
    /// A stream's bytes, from where the reader last consumed to.
    fn stream(&mut self, side: Side, bytes: &[u8], emit: &mut Emitter<'_>) -> Step;

    /// A stream cannot go on; `bytes` may end anywhere.
    fn lost(&mut self, side: Side, bytes: &[u8], emit: &mut Emitter<'_>);

    /// A datagram.
    fn datagram(&mut self, side: Side, bytes: &[u8], wire_len: usize, emit: &mut Emitter<'_>) -> Step {
        let _ = (side, bytes, wire_len, emit);
        Step::Sated
    }

    /// Bytes that it keeps, about.
    fn held(&self) -> usize;

    /// The conversation is over.
    fn finish(&mut self, emit: &mut Emitter<'_>) {
        let _ = emit;
    }
}

/// Where a reader tells facts: it adds when, where and of which conversation.
pub struct Emitter<'a> {
    /// Where facts go.
    pub out: &'a mut Vec<Observation>,
    /// When and where.
    pub at: At,
    /// The conversation.
    pub slot: Slot,
    /// The conversation's place in the order of openings.
    pub opened: u64,
    /// What the same bytes said before.
    pub cache: &'a mut ParseCache,
}

impl Emitter<'_> {
    /// Tells a fact.
    #[inline]
    pub fn fact(&mut self, fact: Fact) {
        self.out.push(Observation { at: self.at, slot: self.slot, opened: self.opened, fact });
    }

    /// Tells what the bytes are.
    pub fn spoke(&mut self, name: &'static str) {
        self.fact(Fact::Protocol(App(name)));
    }

    /// Tells a name.
    pub fn claim(&mut self, source: NameSource, name: HostName, port: Option<u16>, outer: bool) {
        self.fact(Fact::NameClaimed(Claim { source, name, port, outer }));
    }

    /// Tells an attribute.
    #[inline]
    pub fn note(&mut self, key: AttributeKey, value: AttributeValue) {
        self.fact(Fact::Attribute(key, value));
    }

    /// Tells something odd.
    pub fn odd(&mut self, layer: &'static str, what: &'static str) {
        self.fact(Fact::Anomaly(Anomaly { layer, what }));
    }
}

/// A place in a sample and what may stand there.
pub(crate) type Place = (usize, fn(u8) -> bool);

/// The bytes against what must stand at each place; `Maybe` as long as all that is there fits.
pub(crate) fn fits(bytes: &[u8], wanted: &[Place]) -> Probe {
    for (at, test) in wanted {
        match bytes.get(*at) {
            None => return Probe::Maybe(at + 1),
            Some(byte) if !test(*byte) => return Probe::No,
            Some(_) => {}
        }
    }
    Probe::Yes
}
