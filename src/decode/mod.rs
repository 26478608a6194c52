//! Decodes a frame to its innermost transport header.
//!
//! In:  one [`Frame`](crate::capture::Frame).
//! Out: a [`Decoded`]: the packet, or why there is none. Each frame gives exactly one.
//! Not: which flow the packet belongs to.

mod decoder;
mod dedup;
mod encap_kind;
mod ether;
mod fragment;
mod icmp;
mod ip;
mod layer;
mod link;
mod other_link;
mod owned;
mod packet;
mod transport;
mod tunnel;

#[cfg(test)]
mod test_support;
#[cfg(test)]
mod tests;

pub use decoder::DecodeCounts;
pub use decoder::Decoder;
pub use dedup::Dedup;
pub use encap_kind::EncapKind;
pub use ether::name as ether_type_name;
pub use fragment::FragmentCounts;
pub use fragment::FragmentLimits;
pub use icmp::is_request as icmp_is_request;
pub use link::is_decoded as is_link_type_decoded;
pub use other_link::ANOTHER_LINK;
pub use other_link::editcap_name;
pub use owned::OwnedPacket;
pub use packet::DamageKind;
pub use packet::Decoded;
pub use packet::EncapHeader;
pub use packet::Encapsulation;
pub use packet::Packet;
pub use packet::PacketDamage;
pub use packet::Quoted;
pub use packet::TcpHeader;
pub use packet::Transport;
