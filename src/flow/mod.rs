//! Joins packets into conversations and streams.
//!
//! In:  decoded packets, in order.
//! Out: to a [`StreamConsumer`]: conversations opened, their bytes in order as long as it wants them, what became of them.
//! Not: what the bytes mean.

mod community;
mod consumer;
mod entry;
mod expiry;
mod gaps;
mod key;
mod limits;
mod orientation;
mod record;
mod shard;
mod stream;
mod table;
mod tcp;

pub use community::CommunityId;
pub use community::community_id;
pub use consumer::At;
pub use consumer::FlowRef;
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
pub use record::IcmpError;
pub use record::ResetEvidence;
pub use record::ResetKinds;
pub use record::SideSummary;
pub use record::TcpSummary;
pub use shard::SHARDS;
pub use shard::shard_of;
pub use table::FlowTable;
