//! Assigns packets to flows and reassembles TCP streams.
//!
//! In:  decoded packets, in capture order.
//! Out: to a [`StreamConsumer`]: flows as they open, their bytes in order until it needs no more, what was counted at the end.
//! Not: what the bytes mean.

mod community;
mod consumer;
mod context;
mod delivery;
mod early_reports;
mod ended;
mod expiry;
mod gaps;
mod key;
mod limits;
mod live_flow;
mod options;
mod orientation;
mod record;
mod reset;
mod sequence;
mod shard;
mod stream;
mod summary;
mod table;
mod tcp;
#[cfg(test)]
mod test_support;

pub use community::CommunityId;
pub use community::community_id;
pub use consumer::At;
pub use consumer::FlowRef;
pub use consumer::Payload;
pub use consumer::ReadProgress;
pub use consumer::Slot;
pub use consumer::StreamConsumer;
pub use consumer::StreamEnd;
pub use key::Endpoint;
pub use key::FlowKey;
pub use limits::FlowCounts;
pub use limits::FlowLimits;
pub use record::EndReason;
pub use record::FlowEnd;
pub use record::FlowStart;
pub use record::Handshake;
pub use record::HostDrops;
pub use record::IcmpError;
pub use record::ResetEvidence;
pub use record::ResetKinds;
pub use record::SentBy;
pub use record::SideSummary;
pub use record::TcpSummary;
pub use shard::SHARDS;
pub use shard::shard_of;
pub use table::DroppedPacket;
pub use table::EarlyErrors;
pub use table::FlowTable;
