//! Reads protocols by EtherType: tags, IP, and tunnels that run without IP.
//!
//! In:  an EtherType and what follows it.
//! Out: the next layer; or the number, if it is not IP.
//! Not: the frame's addresses.

use super::encap_kind::EncapKind;
use super::ip;
use super::layer::DecodeState;
use super::layer::LayerReader;
use super::layer::LayerResult;
use super::layer::LayerSlice;
use super::layer::NextLayer;
use super::layer::Stop;
use super::link::ethernet;
use super::link::lan;
use super::link::serial;
use super::tunnel::gre;
use super::tunnel::mpls;
use super::tunnel::nsh;

/// A known EtherType.
struct EtherType {
    number: u16,
    name: &'static str,
    /// `None` for protocols that do not carry IP.
    reader: Option<LayerReader>,
}

pub(super) const IPV4: u16 = 0x0800;
pub(super) const ARP: u16 = 0x0806;
pub(super) const ERSPAN_3: u16 = 0x22eb;
/// Ethernet frames in GRE and other tunnels.
pub(super) const BRIDGED: u16 = 0x6558;
pub(super) const RARP: u16 = 0x8035;
pub(super) const VLAN: u16 = 0x8100;
pub(super) const IPX: u16 = 0x8137;
pub(super) const IPV6: u16 = 0x86dd;
/// Also the value of [`super::Decoded::NotIp`] for PPP frames without IP.
pub(super) const PPP: u16 = 0x880b;
pub(super) const MPLS: u16 = 0x8847;
const PPPOE_SESSION: u16 = 0x8864;
pub(super) const SERVICE_VLAN: u16 = 0x88a8;
pub(super) const ERSPAN: u16 = 0x88be;
/// Cisco's TrustSec metadata.
pub(super) const METADATA: u16 = 0x8909;
pub(super) const NSH: u16 = 0x894f;

/// Sorted by number. Names as in the IEEE registry, or as commonly used.
#[rustfmt::skip]
const ETHER_TYPES: &[EtherType] = &[
    row(IPV4, "IPv4", Some(ip::read)),
    row(ARP, "ARP", None),
    row(0x0842, "Wake-on-LAN", None),
    row(0x2000, "CDP", None),
    row(0x22ea, "SRP", None),
    row(ERSPAN_3, "ERSPAN III", Some(gre::erspan)),
    row(0x22f0, "AVTP", None),
    row(0x22f3, "TRILL", Some(trill)),
    row(0x22f4, "L2-IS-IS", None),
    row(0x6002, "DEC MOP", None),
    row(0x6003, "DECnet", None),
    row(0x6004, "DEC LAT", None),
    row(BRIDGED, "Ethernet bridging", Some(ethernet::read)),
    row(RARP, "RARP", None),
    row(0x809b, "AppleTalk", None),
    row(0x80f3, "AppleTalk ARP", None),
    row(VLAN, "802.1Q", Some(vlan)),
    row(IPX, "IPX", None),
    row(0x814c, "SNMP over Ethernet", None),
    row(IPV6, "IPv6", Some(ip::read)),
    row(0x8808, "flow control", None),
    row(0x8809, "slow protocols (LACP)", None),
    row(PPP, "PPP", Some(serial::ppp)),
    row(MPLS, "MPLS", Some(mpls::read)),
    row(0x8848, "MPLS multicast", Some(mpls::read)),
    row(0x8863, "PPPoE discovery", None),
    row(PPPOE_SESSION, "PPPoE session", Some(pppoe)),
    row(0x886d, "Intel ANS probe", None),
    row(0x8870, "jumbo LLC", Some(lan::llc)),
    row(0x887b, "HomePlug 1.0", None),
    row(0x888e, "EAPOL", None),
    row(0x8892, "PROFINET", None),
    row(0x8899, "Realtek RRCP", None),
    row(0x889a, "HyperSCSI", None),
    row(0x88a2, "ATA over Ethernet", None),
    row(0x88a4, "EtherCAT", None),
    row(SERVICE_VLAN, "802.1ad", Some(vlan)),
    row(0x88ab, "Powerlink", None),
    row(0x88b5, "local experiment 1", None),
    row(0x88b6, "local experiment 2", None),
    row(0x88b8, "GOOSE", None),
    row(0x88ba, "sampled values", None),
    row(ERSPAN, "ERSPAN", Some(gre::erspan)),
    row(0x88c7, "802.11 pre-authentication", None),
    row(0x88ca, "TIPC", None),
    row(0x88cc, "LLDP", None),
    row(0x88cd, "SERCOS III", None),
    row(0x88d9, "LLTD", None),
    row(0x88e1, "HomePlug AV", None),
    row(0x88e3, "MRP", None),
    row(0x88e5, "MACsec", Some(macsec)),
    row(0x88e7, "802.1ah", Some(backbone)),
    row(0x88f5, "MVRP", None),
    row(0x88f6, "MMRP", None),
    row(0x88f7, "PTP", None),
    row(0x88fb, "PRP", None),
    row(0x8902, "CFM", None),
    row(0x8903, "FabricPath", Some(fabric_path)),
    row(0x8906, "FCoE", None),
    row(METADATA, "Cisco MetaData", Some(metadata)),
    row(0x8914, "FIP", None),
    row(0x8915, "RoCE", None),
    row(0x891d, "TTEthernet", None),
    row(0x8926, "VN-Tag", Some(vn_tag)),
    row(0x892f, "HSR", Some(redundancy)),
    row(0x893a, "1905.1", None),
    row(0x893f, "802.1BR", Some(extension_tag)),
    row(NSH, "NSH", Some(nsh::read)),
    row(0x9000, "loopback", None),
    row(0x9100, "QinQ", Some(vlan)),
    row(0x9200, "QinQ", Some(vlan)),
    row(0x9300, "QinQ", Some(vlan)),
    row(0xd28b, "Arista timestamp", Some(arista)),
    row(0xf1c1, "802.1CB", Some(redundancy)),
];

const fn row(number: u16, name: &'static str, reader: Option<LayerReader>) -> EtherType {
    EtherType { number, name, reader }
}

fn find(number: u16) -> Option<&'static EtherType> {
    let index = ETHER_TYPES.binary_search_by_key(&number, |row| row.number).ok()?;
    ETHER_TYPES.get(index)
}

/// The name of an EtherType, for example `"ARP"`; `None` for an unknown one.
pub fn name(number: u16) -> Option<&'static str> {
    find(number).map(|row| row.name)
}

/// Reads the protocol of EtherType `number`.
#[inline]
pub(super) fn read<'b>(state: &mut DecodeState, number: u16, layer: LayerSlice<'b>) -> LayerResult<'b> {
    match number {
        IPV4 | IPV6 => Ok(NextLayer::Ip(layer)),
        _ => match find(number).and_then(|row| row.reader) {
            Some(reader) => reader(state, layer),
            None => Err(Stop::NotIp(number)),
        },
    }
}

/// IEEE 802.1Q §9.6: priority and DEI, 12 bits of VLAN ID; then the next type or a length.
pub(super) fn vlan<'b>(state: &mut DecodeState, layer: LayerSlice<'b>) -> LayerResult<'b> {
    let ((tag, number), inside) = layer.read("vlan", |c| Ok((c.u16("tag")?, c.u16("ether type")?)))?;
    push_vlan(state, tag)?;
    ethernet::type_or_length(number, inside)
}

/// IEEE 802.1Q §9.6: VLAN ID 0 has only a priority.
#[inline]
pub(super) fn push_vlan(state: &mut DecodeState, tag: u16) -> Result<(), Stop> {
    match tag & 0xfff {
        0 => Ok(()),
        id => state.push_tag(EncapKind::Vlan, u32::from(id)),
    }
}

/// IEEE 802.1AE §9.3 to §9.8: a tag with E and C clear leaves the payload unchanged.
fn macsec<'b>(state: &mut DecodeState, layer: LayerSlice<'b>) -> LayerResult<'b> {
    let (control, inside) = layer.read("macsec", |c| {
        let control = c.u8("tag control")?;
        c.skip(5, "short length and packet number")?;
        // SC: an explicit channel identifier follows.
        c.skip(if control & 0x20 != 0 { 8 } else { 0 }, "channel identifier")?;
        Ok(control)
    })?;
    if control & 0x0c != 0 {
        return Err(Stop::Unreadable("macsec"));
    }
    state.push_tag(EncapKind::Macsec, 0)?;
    let (number, inside) = inside.read("macsec", |c| c.u16("ether type"))?;
    // The integrity check value at the end has 16 bytes in every registered cipher suite.
    ethernet::type_or_length(number, inside.at_most(inside.wire_len.saturating_sub(16)))
}

/// RFC 2516 §4: version and type 1, code 0 in a session.
fn pppoe<'b>(state: &mut DecodeState, layer: LayerSlice<'b>) -> LayerResult<'b> {
    let ((code, session, len), inside) = layer.read("pppoe", |c| {
        c.skip(1, "version and type")?;
        Ok((c.u8("code")?, c.u16("session id")?, c.u16("length")?))
    })?;
    if code != 0 {
        return Err(Stop::NotIp(PPPOE_SESSION));
    }
    state.push_tag(EncapKind::Pppoe, u32::from(session))?;
    Ok(NextLayer::Read(serial::ppp, inside.at_most(usize::from(len))))
}

/// LINKTYPE_PPP_ETHER: a session header without Ethernet.
pub(super) fn pppoe_link<'b>(state: &mut DecodeState, layer: LayerSlice<'b>) -> LayerResult<'b> {
    pppoe(state, layer)
}

/// IEEE 802.1Q §9.7: flags and a 24-bit service ID, then the customer's frame.
fn backbone<'b>(state: &mut DecodeState, layer: LayerSlice<'b>) -> LayerResult<'b> {
    let (service, inside) = layer.read("802.1ah", |c| {
        c.skip(1, "flags")?;
        c.u24("service id")
    })?;
    state.push_tag(EncapKind::Pbb, service)?;
    Ok(NextLayer::Read(ethernet::read, inside))
}

/// The FabricPath tag follows its type: 10 bits of tree, 6 of TTL; then the original frame.
fn fabric_path<'b>(state: &mut DecodeState, layer: LayerSlice<'b>) -> LayerResult<'b> {
    let (tag, inside) = layer.read("fabricpath", |c| c.u16("tag"))?;
    state.push_tag(EncapKind::FabricPath, u32::from(tag >> 6))?;
    Ok(NextLayer::Read(ethernet::read, inside))
}

/// RFC 6325 §3.2: five bits are the length of the options, in words.
fn trill<'b>(state: &mut DecodeState, layer: LayerSlice<'b>) -> LayerResult<'b> {
    let ((), inside) = layer.read("trill", |c| {
        let first = c.u16("flags and options length")?;
        c.skip(4, "nicknames")?;
        c.skip(usize::from(first >> 6 & 0x1f) * 4, "options")
    })?;
    state.push_tag(EncapKind::Trill, 0)?;
    Ok(NextLayer::Read(ethernet::read, inside))
}

/// TrustSec metadata: a version, the length of its options in words (at least one), options; then the next type.
fn metadata<'b>(state: &mut DecodeState, layer: LayerSlice<'b>) -> LayerResult<'b> {
    let (number, inside) = layer.read("metadata", |c| {
        c.skip(1, "version")?;
        let words = usize::from(c.u8("length")?);
        c.skip(words.max(1) * 4, "options")?;
        c.u16("ether type")
    })?;
    state.push_tag(EncapKind::Metadata, 0)?;
    ethernet::type_or_length(number, inside)
}

/// VN-Tag: four bytes of interface IDs, then the next type.
fn vn_tag<'b>(state: &mut DecodeState, layer: LayerSlice<'b>) -> LayerResult<'b> {
    four_bytes(state, layer, EncapKind::VnTag)
}

/// HSR (IEC 62439-3) and 802.1CB: four bytes with a sequence number, then the next type.
fn redundancy<'b>(state: &mut DecodeState, layer: LayerSlice<'b>) -> LayerResult<'b> {
    four_bytes(state, layer, EncapKind::Redundancy)
}

/// IEEE 802.1Q §9.5 (802.1BR): six bytes of priority and channel IDs, then the next type.
fn extension_tag<'b>(state: &mut DecodeState, layer: LayerSlice<'b>) -> LayerResult<'b> {
    let (number, inside) = layer.read("e-tag", |c| {
        c.skip(6, "tag")?;
        c.u16("ether type")
    })?;
    state.push_tag(EncapKind::ETag, 0)?;
    ethernet::type_or_length(number, inside)
}

/// Arista's timestamps: sub-type 1, a version that determines their length, then the next type.
fn arista<'b>(state: &mut DecodeState, layer: LayerSlice<'b>) -> LayerResult<'b> {
    let (number, inside) = layer.read("time stamp", |c| {
        c.skip(2, "sub-type")?;
        // 0x..20: 48 bits; 0x..10: 64 bits.
        let len = if c.u16("version")? & 0xff == 0x20 { 6 } else { 8 };
        c.skip(len, "time stamp")?;
        c.u16("ether type")
    })?;
    state.push_tag(EncapKind::Timestamp, 0)?;
    ethernet::type_or_length(number, inside)
}

fn four_bytes<'b>(state: &mut DecodeState, layer: LayerSlice<'b>, kind: EncapKind) -> LayerResult<'b> {
    let (number, inside) = layer.read(kind.name(), |c| {
        c.skip(4, "tag")?;
        c.u16("ether type")
    })?;
    state.push_tag(kind, 0)?;
    ethernet::type_or_length(number, inside)
}
