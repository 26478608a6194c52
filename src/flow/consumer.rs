//! The interface between the flow table and the stage that reads payload.
//!
//! In:  nothing.
//! Out: what a consumer implements, and the types of its arguments.
//! Not: who implements it.

use super::key::Endpoint;
use super::record::FlowEnd;
use super::record::FlowStart;
use crate::base::FrameRef;
use crate::base::Side;
use crate::base::Time;

/// When and where something was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct At {
    /// Position in the order of all frames of the run, from 0. What happens between two frames has a number between theirs.
    pub order: u64,
    /// The frame.
    pub frame: FrameRef,
    /// Its time.
    pub time: Time,
}

/// The index of a live flow: unique among live flows, reused after the flow has closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub u32);

/// Which live flow a call is about.
#[derive(Clone, Copy, Debug)]
pub struct FlowRef {
    /// Its index among the live flows.
    pub slot: Slot,
    /// The `order` of the frame that opened it. Rows are numbered in this order.
    pub opened: u64,
    /// The end that opened it, as far as is known.
    pub client: Endpoint,
    /// The other end.
    pub server: Endpoint,
    /// IANA protocol number.
    pub protocol: u8,
    /// False when its start was not seen (TCP without SYN).
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

/// What a consumer still needs of one side of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadProgress {
    /// Nothing: later bytes of this side are counted and not delivered.
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

/// Why a stream ended before the consumer was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamEnd {
    /// The receiver ACKed bytes that the capture does not have.
    MissingBytes,
    /// The snap length truncated a frame.
    Truncated,
    /// More out-of-order or unread bytes than the limit.
    LimitReached,
    /// The flow ended, or the capture did.
    FlowEnded,
}

/// Payload that is delivered.
#[derive(Clone, Copy, Debug)]
pub struct Payload<'a> {
    /// The side that sent it.
    pub side: Side,
    /// Its bytes.
    pub bytes: &'a [u8],
    /// The frame that brought it, or that made a stream contiguous.
    pub at: At,
}

/// Reads the payload of flows. The flow table calls it; it never calls back.
pub trait StreamConsumer {
    /// What the consumer keeps for a flow until both sides are done.
    type State: Default;

    /// A flow started.
    fn opened(&mut self, flow: &FlowRef, flow_start: FlowStart, at: At);

    /// The payload shows that client and server were swapped; `flow` has them right from here on.
    fn swapped(&mut self, flow: &FlowRef, at: At);

    /// Whether the sender of a flow's first payload is its client; `None` if the bytes do not show it.
    /// Called only when no handshake was seen; `from` sent `bytes` to `to`.
    fn sender_is_client(&self, protocol: u8, from: Endpoint, to: Endpoint, bytes: &[u8]) -> Option<bool>;

    /// A TCP stream has new bytes. The payload starts after the last consumed byte. Called in frame order.
    fn stream(&mut self, flow: &FlowRef, state: &mut Self::State, payload: Payload<'_>) -> ReadProgress;

    /// A TCP stream cannot continue: the payload is the last bytes that were not consumed, and may end anywhere.
    /// No more bytes of this side are delivered.
    fn stream_ended(&mut self, flow: &FlowRef, state: &mut Self::State, payload: Payload<'_>, why: StreamEnd);

    /// A datagram of UDP or another protocol without streams. `wire_len` is its length on the wire.
    /// `Done` ends the delivery of both sides; `consumed` and `need` are ignored.
    fn datagram(
        &mut self,
        flow: &FlowRef,
        state: &mut Self::State,
        payload: Payload<'_>,
        wire_len: u32,
    ) -> ReadProgress;

    /// Memory that the state uses, besides its own size.
    fn held(&self, _: &Self::State) -> usize {
        0
    }

    /// What was counted of a flow that one side has closed or reset, or that an ICMP error quotes; and a little later of one
    /// whose SYN was retransmitted or whose server has sent its first payload. Called only if
    /// [`FlowLimits::report_interim`](super::FlowLimits::report_interim) is set; more packets may follow.
    fn interim(&mut self, _: &FlowRef, _: FlowEnd, _: At) {}

    /// The flow ended while its state was still held: the last chance to report what the state was waiting for.
    fn finish(&mut self, flow: &FlowRef, state: &mut Self::State, at: At);

    /// The flow ended: the last call about it.
    fn closed(&mut self, flow: &FlowRef, flow_end: FlowEnd, at: At);
}
