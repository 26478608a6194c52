//! Opens a frame down to the innermost transport header.
//!
//! In:  one [`Frame`](crate::capture::Frame).
//! Out: a [`Decoded`]: the packet inside, or why there is none. Each frame is exactly one of these.
//! Not: which conversation the packet belongs to.

mod decoder;
mod dedup;
mod ether;
mod fragment;
mod icmp;
mod ip;
mod link;
mod owned;
mod packet;
mod transport;
mod tunnel;
mod view;

#[cfg(test)]
mod tests;

pub use decoder::DecodeCounts;
pub use decoder::Decoder;
pub use dedup::Dedup;
pub use ether::name as ether_type_name;
pub use fragment::FragmentCounts;
pub use fragment::FragmentLimits;
pub use fragment::LostDatagram;
pub use icmp::is_request as icmp_is_request;
pub use owned::OwnedPacket;
pub use packet::DamageKind;
pub use packet::Decoded;
pub use packet::Encapsulation;
pub use packet::Layer;
pub use packet::LayerKind;
pub use packet::Packet;
pub use packet::PacketDamage;
pub use packet::Quoted;
pub use packet::TcpHeader;
pub use packet::Transport;
