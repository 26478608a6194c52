//! What is passed along with a packet: its flow's direction, the table's limits and counters, the consumer.
//!
//! In:  nothing.
//! Out: two structs of borrowed values.
//! Not: what is done with them.

use super::consumer::At;
use super::consumer::StreamConsumer;
use super::limits::FlowCounts;
use super::limits::FlowLimits;
use crate::decode::Packet;

/// A packet, and which end of its flow's key sent it: the high end if `flipped`.
#[derive(Clone, Copy)]
pub(super) struct PacketCtx<'a> {
    pub(super) packet: &'a Packet<'a>,
    pub(super) flipped: bool,
    pub(super) at: At,
    /// The number of a flow that it opens.
    pub(super) opened: u64,
}

/// What all flows of a table share.
pub(super) struct TableCtx<'a, L: StreamConsumer> {
    pub(super) limits: &'a FlowLimits,
    pub(super) counts: &'a mut FlowCounts,
    pub(super) consumer: &'a mut L,
}
