//! Which protocols and ports are tunnels.
//!
//! In:  an IP protocol number, or the ports of a UDP packet.
//! Out: the reader for the tunnel's header.
//! Not: how sure that is: numbers are, ports are guesses.

pub(super) mod gre;
pub(super) mod l2tp;
pub(super) mod mobile;
pub(super) mod mpls;
pub(super) mod nsh;
pub(super) mod overlay;
pub(super) mod wireless;

use crate::base::proto;

use super::ether;
use super::link::ethernet;
use super::packet::LayerKind;
use super::view::Next;
use super::view::Reader;
use super::view::Stop;
use super::view::View;
use super::view::Walk;

struct OverIp {
    protocol: u8,
    reader: Reader,
}

const OVER_IP: &[OverIp] = &[
    // RFC 2003, RFC 4213, RFC 2473: IP in IP in all four combinations. 94 is KA9Q's older number.
    OverIp { protocol: proto::IPV4, reader: ip_in_ip },
    OverIp { protocol: proto::IPV6, reader: ip_in_ip },
    OverIp { protocol: proto::IPIP, reader: ip_in_ip },
    OverIp { protocol: proto::GRE, reader: gre::read },
    OverIp { protocol: proto::ETHER_IP, reader: ether_ip },
    OverIp { protocol: proto::L2TP, reader: l2tp::over_ip },
    OverIp { protocol: proto::MPLS, reader: mpls::over_ip },
    OverIp { protocol: proto::ETHERNET, reader: ethernet_in_ip },
];

struct OverUdp {
    port: u16,
    reader: Reader,
}

const OVER_UDP: &[OverUdp] = &[
    OverUdp { port: 1701, reader: l2tp::over_udp },
    OverUdp { port: 2152, reader: mobile::gtp_u },
    OverUdp { port: 3544, reader: mobile::teredo },
    OverUdp { port: 4341, reader: mobile::lisp },
    // RFC 8086.
    OverUdp { port: 4754, reader: gre::over_udp },
    OverUdp { port: 4789, reader: overlay::vxlan },
    OverUdp { port: 4790, reader: overlay::vxlan_gpe },
    OverUdp { port: 5247, reader: wireless::capwap },
    OverUdp { port: 6081, reader: overlay::geneve },
    OverUdp { port: 6635, reader: mpls::over_udp },
    // Linux before the port was registered.
    OverUdp { port: 8472, reader: overlay::vxlan },
    OverUdp { port: 37008, reader: wireless::tzsp },
    // Cisco ACI.
    OverUdp { port: 48879, reader: overlay::vxlan },
];

/// The reader of a tunnel over IP.
pub(super) fn over_ip(protocol: u8) -> Option<Reader> {
    OVER_IP.iter().find(|row| row.protocol == protocol).map(|row| row.reader)
}

/// A bit for each value that `port % 64` has in the table: almost every packet stops here.
const PORT_MASK: u64 = {
    let mut mask = 0;
    let mut rest = OVER_UDP;
    while let [row, more @ ..] = rest {
        mask |= 1 << (row.port % 64);
        rest = more;
    }
    mask
};

/// The reader of what is probably a tunnel over UDP. The destination decides; replies of symmetric tunnels have the
/// port on the other side.
#[inline]
pub(super) fn over_udp(src_port: u16, dst_port: u16) -> Option<Reader> {
    if (PORT_MASK >> (src_port % 64) | PORT_MASK >> (dst_port % 64)) & 1 == 0 {
        return None;
    }
    let find = |port| OVER_UDP.iter().find(|row| row.port == port).map(|row| row.reader);
    find(dst_port).or_else(|| find(src_port))
}

/// What a tunnel carries, by ether type.
pub(super) fn carried<'b>(number: u16, inside: View<'b>) -> Next<'b> {
    match number {
        ether::BRIDGED => Next::Read(ethernet::read, inside),
        _ => Next::EtherType(number, inside),
    }
}

/// IP of either version.
fn ip_in_ip<'b>(walk: &mut Walk, view: View<'b>) -> Result<Next<'b>, Stop> {
    walk.tunnel(LayerKind::IpInIp, 0)?;
    Ok(Next::Ip(view))
}

/// RFC 3378 §3: version 3 in the first four of sixteen bits, then Ethernet.
fn ether_ip<'b>(walk: &mut Walk, view: View<'b>) -> Result<Next<'b>, Stop> {
    walk.tunnel(LayerKind::Other("etherip"), 0)?;
    Ok(Next::Read(ethernet::read, view.skip(2, "etherip", "header")?))
}

/// RFC 8986 §10.1: Ethernet as the last header of a segment route.
fn ethernet_in_ip<'b>(walk: &mut Walk, view: View<'b>) -> Result<Next<'b>, Stop> {
    walk.tunnel(LayerKind::Other("ethernet"), 0)?;
    Ok(Next::Read(ethernet::read, view))
}
