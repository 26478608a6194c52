//! Joins packets into conversations and streams.
//!
//! In:  decoded packets, in order.
//! Out: to a [`Listener`]: conversations opened, their bytes in order as long as it wants them, what became of them.
//! Not: what the bytes mean.

mod community;
mod entry;
mod expiry;
mod key;
mod limits;
mod listener;
mod roles;
mod shard;
mod story;
mod stream;
mod table;
mod tcp;

pub use community::CommunityId;
pub use community::community_id;
pub use key::Endpoint;
pub use key::FlowKey;
pub use limits::FlowCounts;
pub use limits::Limits;
pub use listener::Appetite;
pub use listener::At;
pub use listener::Flow;
pub use listener::Listener;
pub use listener::Lost;
pub use listener::Slot;
pub use shard::SHARDS;
pub use shard::shard_of;
pub use story::Close;
pub use story::Closing;
pub use story::Handshake;
pub use story::IcmpError;
pub use story::Opening;
pub use story::ResetKinds;
pub use story::SideStory;
pub use story::Signs;
pub use story::TcpStory;
pub use table::FlowTable;
