//! The key that all packets of a flow share.
//!
//! In:  addresses, ports, protocol and scope.
//! Out: one key for both directions.
//! Not: which end is the client.

use std::fmt;
use std::hash::Hash;
use std::hash::Hasher;
use std::net::SocketAddr;

use serde::Deserialize;
use serde::Serialize;

use crate::base::Address;
use crate::decode::Packet;

/// An address with a port; port 0 where the protocol has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Endpoint {
    /// The address.
    pub address: Address,
    /// The port.
    pub port: u16,
}

/// `10.1.0.4:443`, `[2001:db8::4]:443`.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        SocketAddr::new(self.address.to_ip(), self.port).fmt(f)
    }
}

/// Protocol, both ends in a fixed order, and the encapsulation's scope: the same for both directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlowKey {
    /// The smaller address.
    pub low: Address,
    /// The other address.
    pub high: Address,
    /// VLAN and tunnel ([`Packet::scope`]); 0 for neither.
    pub scope: u64,
    /// Port at `low`.
    pub low_port: u16,
    /// Port at `high`.
    pub high_port: u16,
    /// IANA protocol number.
    pub protocol: u8,
}

/// In as few words as possible: a key is hashed for every packet.
impl Hash for FlowKey {
    #[inline]
    fn hash<H: Hasher>(&self, state: &mut H) {
        let ports =
            u64::from(self.low_port) << 32 | u64::from(self.high_port) << 8 | u64::from(self.protocol);
        state.write_u128(self.low.0);
        state.write_u128(self.high.0);
        state.write_u128(u128::from(self.scope) << 64 | u128::from(ports));
    }
}

impl FlowKey {
    /// The key of a flow, and whether `src` is the key's high end.
    #[inline]
    pub fn new(src: Endpoint, dst: Endpoint, protocol: u8, scope: u64) -> (FlowKey, bool) {
        let flipped = (src.address.0, src.port) > (dst.address.0, dst.port);
        let (low, high) = if flipped { (dst, src) } else { (src, dst) };
        let key = FlowKey {
            low: low.address,
            high: high.address,
            scope,
            low_port: low.port,
            high_port: high.port,
            protocol,
        };
        (key, flipped)
    }

    /// The key of a packet with ports, and whether its sender is the key's high end.
    #[inline]
    pub fn of(packet: &Packet<'_>) -> (FlowKey, bool) {
        let src = Endpoint { address: packet.src, port: packet.src_port };
        let dst = Endpoint { address: packet.dst, port: packet.dst_port };
        FlowKey::new(src, dst, packet.protocol, packet.scope)
    }

    /// The end with the smaller address.
    #[inline]
    pub const fn low_end(&self) -> Endpoint {
        Endpoint { address: self.low, port: self.low_port }
    }

    /// The end with the larger address.
    #[inline]
    pub const fn high_end(&self) -> Endpoint {
        Endpoint { address: self.high, port: self.high_port }
    }
}
