//! The line between flow and whoever reads what conversations say.

use super::key::Endpoint;
use super::record::FlowEnd;
use super::record::FlowStart;
use crate::base::FrameRef;
use crate::base::Side;
use crate::base::Time;

/// When and where something was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At {
    /// Place in the order of all frames of the run, from 0; what happens between two frames has the later one's.
    pub order: u64,
    /// The frame.
    pub frame: FrameRef,
    /// Its time.
    pub time: Time,
}

/// A live conversation's place in the flow table: unique among live flows, used again after the flow has closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub u32);

/// What a listener is told about the conversation that speaks.
#[derive(Clone, Copy, Debug)]
pub struct FlowRef {
    /// Its place among the live flows.
    pub slot: Slot,
    /// The `order` of the frame that opened it: the order in which rows are numbered.
    pub opened: u64,
    /// Who opened it, as far as is known.
    pub client: Endpoint,
    /// Who answered.
    pub server: Endpoint,
    /// IANA protocol number.
    pub protocol: u8,
    /// False when its beginning was not seen (TCP without SYN).
    pub from_start: bool,
}

impl FlowRef {
    /// The end point of a side.
    #[inline]
    pub const fn end(&self, side: Side) -> Endpoint {
        match side {
            Side::Client => self.client,
            Side::Server => self.server,
        }
    }
}

/// What a consumer still needs of one side of a conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadProgress {
    /// Nothing more: later bytes of this side are counted, not delivered.
    Done,
    /// Datagrams only: no state is needed until the next datagram, which is delivered with a new state.
    Idle,
    /// `consumed` of the delivered bytes are not needed any more. Deliver again when at least `need` bytes follow them.
    NeedMore {
        /// How many of the delivered bytes are not needed any more.
        consumed: usize,
        /// How many bytes must follow before the next delivery; 0 and 1 mean any.
        need: usize,
    },
}

/// Why a stream cannot be delivered any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamEnd {
    /// Bytes are missing that the receiver acknowledged: the capture did not see them.
    MissingBytes,
    /// The frame was cut by the capture's snap length.
    Truncated,
    /// More out-of-order or unread bytes than the cap allows.
    LimitReached,
    /// The conversation ended, or the capture did.
    FlowEnded,
}

/// Reads what conversations say. Flow calls it; it never calls back.
pub trait StreamConsumer {
    /// What the listener remembers of a conversation while it is hungry. Dropped when both sides are sated.
    type State: Default;

    /// A conversation began.
    fn opened(&mut self, flow: &FlowRef, flow_start: FlowStart, at: At);

    /// What was said shows that client and server are the other way round; `flow` has them right from here on.
    fn swapped(&mut self, flow: &FlowRef, at: At);

    /// Whether the sender of a conversation's first payload is its client, where the bytes tell.
    /// Asked only when the handshake was not seen; `from` sent `bytes` to `to`.
    fn sender_is_client(&self, protocol: u8, from: Endpoint, to: Endpoint, bytes: &[u8]) -> Option<bool>;

    /// A TCP stream has new bytes. `bytes` begins where the listener last consumed to.
    /// Called in frame order; `at` is the frame that made the bytes contiguous.
    fn stream(
        &mut self,
        flow: &FlowRef,
        state: &mut Self::State,
        side: Side,
        bytes: &[u8],
        at: At,
    ) -> ReadProgress;

    /// A TCP stream cannot go on: `bytes` is all there is beyond what was consumed, and it may end anywhere.
    /// Nothing more of this side is delivered after it.
    fn stream_ended(
        &mut self,
        flow: &FlowRef,
        state: &mut Self::State,
        side: Side,
        bytes: &[u8],
        why: StreamEnd,
        at: At,
    );

    /// A datagram of UDP or another protocol without streams. `wire_len` is its length before the capture cut it.
    /// Both sides share one progress: `Done` ends the delivery of both; `consumed` and `need` mean nothing here.
    fn datagram(
        &mut self,
        flow: &FlowRef,
        state: &mut Self::State,
        side: Side,
        bytes: &[u8],
        wire_len: u32,
        at: At,
    ) -> ReadProgress;

    /// Bytes that the state keeps from others, besides its own size.
    fn held(&self, _: &Self::State) -> usize {
        0
    }

    /// How the conversation stands, now that one side has ended it or somebody rejected it. Only told where
    /// [`FlowLimits::report_interim`](super::Limits) asks for it; more may be told of the conversation afterwards.
    fn interim(&mut self, _: &FlowRef, _: FlowEnd, _: At) {}

    /// The conversation is over while the state was still held: the last chance to tell what it waited for.
    fn finish(&mut self, flow: &FlowRef, state: &mut Self::State, at: At);

    /// The conversation is over: the last thing that is told of it.
    fn closed(&mut self, flow: &FlowRef, flow_end: FlowEnd, at: At);
}
