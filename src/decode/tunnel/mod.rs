//! Protocols and ports of tunnels.
//!
//! In:  an IP protocol number, or the ports of a UDP packet.
//! Out: the reader for the tunnel's header.
//! Not: whether a packet with a tunnel's port is one; the payload shows that.

pub(super) mod gre;
pub(super) mod l2tp;
pub(super) mod mobile;
pub(super) mod mpls;
pub(super) mod nsh;
pub(super) mod overlay;
pub(super) mod wireless;

use crate::base::proto;

use super::encap_kind::EncapKind;
use super::ether;
use super::layer::DecodeState;
use super::layer::LayerReader;
use super::layer::LayerResult;
use super::layer::LayerSlice;
use super::layer::NextLayer;
use super::link::ethernet;

struct IpTunnel {
    protocol: u8,
    reader: LayerReader,
}

const IP_TUNNELS: &[IpTunnel] = &[
    // RFC 2003, RFC 4213, RFC 2473: all four combinations of IP versions. IPIP is KA9Q's older number.
    IpTunnel { protocol: proto::IPV4, reader: ip_in_ip },
    IpTunnel { protocol: proto::IPV6, reader: ip_in_ip },
    IpTunnel { protocol: proto::IPIP, reader: ip_in_ip },
    IpTunnel { protocol: proto::GRE, reader: gre::read },
    IpTunnel { protocol: proto::ETHER_IP, reader: ether_ip },
    IpTunnel { protocol: proto::L2TP, reader: l2tp::over_ip },
    IpTunnel { protocol: proto::MPLS, reader: mpls::over_ip },
    IpTunnel { protocol: proto::ETHERNET, reader: ethernet_in_ip },
];

struct UdpTunnel {
    port: u16,
    reader: LayerReader,
}

const UDP_TUNNELS: &[UdpTunnel] = &[
    UdpTunnel { port: 1701, reader: l2tp::over_udp },
    UdpTunnel { port: 2152, reader: mobile::gtp_u },
    UdpTunnel { port: 3544, reader: mobile::teredo },
    UdpTunnel { port: 4341, reader: mobile::lisp },
    // RFC 8086.
    UdpTunnel { port: 4754, reader: gre::over_udp },
    UdpTunnel { port: 4789, reader: overlay::vxlan },
    UdpTunnel { port: 4790, reader: overlay::vxlan_gpe },
    UdpTunnel { port: 5247, reader: wireless::capwap },
    UdpTunnel { port: 6081, reader: overlay::geneve },
    UdpTunnel { port: 6635, reader: mpls::over_udp },
    // VXLAN on Linux before the port was registered.
    UdpTunnel { port: 8472, reader: overlay::vxlan },
    // Azure Gateway Load Balancer: the internal and the external side of an appliance.
    UdpTunnel { port: 10800, reader: overlay::vxlan },
    UdpTunnel { port: 10801, reader: overlay::vxlan },
    UdpTunnel { port: 37008, reader: wireless::tzsp },
    // Cisco ACI.
    UdpTunnel { port: 48879, reader: overlay::vxlan },
];

/// The reader for a tunnel over IP.
pub(super) fn over_ip(protocol: u8) -> Option<LayerReader> {
    IP_TUNNELS.iter().find(|row| row.protocol == protocol).map(|row| row.reader)
}

/// A bit for each value of `port % 64` in the table, which excludes most packets with one test.
const PORT_MASK: u64 = {
    let mut mask = 0;
    let mut rest = UDP_TUNNELS;
    while let [row, more @ ..] = rest {
        mask |= 1 << (row.port % 64);
        rest = more;
    }
    mask
};

/// The reader for a possible tunnel over UDP. The destination port decides; responses of symmetric tunnels have the port as
/// their source.
#[inline]
pub(super) fn over_udp(src_port: u16, dst_port: u16) -> Option<LayerReader> {
    if (PORT_MASK >> (src_port % 64) | PORT_MASK >> (dst_port % 64)) & 1 == 0 {
        return None;
    }
    let find = |port| UDP_TUNNELS.iter().find(|row| row.port == port).map(|row| row.reader);
    find(dst_port).or_else(|| find(src_port))
}

/// The payload of a tunnel, by EtherType.
pub(super) fn by_ether_type<'b>(number: u16, inside: LayerSlice<'b>) -> NextLayer<'b> {
    match number {
        ether::BRIDGED => NextLayer::Read(ethernet::read, inside),
        _ => NextLayer::EtherType(number, inside),
    }
}

/// IP of either version.
fn ip_in_ip<'b>(state: &mut DecodeState, layer: LayerSlice<'b>) -> LayerResult<'b> {
    state.push_tunnel(EncapKind::IpInIp, 0)?;
    Ok(NextLayer::Ip(layer))
}

/// RFC 3378 §3: sixteen bits, the first four of which are version 3; then Ethernet.
fn ether_ip<'b>(state: &mut DecodeState, layer: LayerSlice<'b>) -> LayerResult<'b> {
    state.push_tunnel(EncapKind::EtherIp, 0)?;
    Ok(NextLayer::Read(ethernet::read, layer.skip(2, "etherip", "header")?))
}

/// RFC 8986 §10.1: Ethernet after a segment routing header.
fn ethernet_in_ip<'b>(state: &mut DecodeState, layer: LayerSlice<'b>) -> LayerResult<'b> {
    state.push_tunnel(EncapKind::Ethernet, 0)?;
    Ok(NextLayer::Read(ethernet::read, layer))
}
