//! Opens a frame down to the innermost transport header.
//!
//! In:  one [`Frame`](crate::capture::Frame).
//! Out: a [`Decoded`]: the packet inside, or why there is none. Each frame is exactly one of these.
//! Not: which conversation the packet belongs to.

mod copies;
mod decoder;
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

pub use copies::Copies;
pub use decoder::Counts;
pub use decoder::Decoder;
pub use ether::name as ether_type_name;
pub use fragment::FragmentCounts;
pub use fragment::Limits;
pub use fragment::LostDatagram;
pub use icmp::asks as icmp_asks;
pub use owned::OwnedPacket;
pub use packet::Damage;
pub use packet::Decoded;
pub use packet::Fate;
pub use packet::Layer;
pub use packet::LayerKind;
pub use packet::Packet;
pub use packet::Quoted;
pub use packet::TcpHeader;
pub use packet::Transport;
pub use packet::Wrapping;

/// The name of an IP protocol, as evidence spells it; empty for the others.
pub const fn protocol_name(number: u8) -> &'static str {
    match number {
        1 => "icmp",
        6 => "tcp",
        17 => "udp",
        58 => "icmp6",
        132 => "sctp",
        _ => "",
    }
}
