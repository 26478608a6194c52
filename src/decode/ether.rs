//! Reads what an ether type says: tags, IP, and tunnels that need no IP around them.
//!
//! In:  an ether type and what follows it.
//! Out: what lies behind; or the number, if it is not IP.
//! Not: the frame's addresses.

use super::ip;
use super::link::ethernet;
use super::link::lan;
use super::link::serial;
use super::packet::LayerKind;
use super::tunnel::gre;
use super::tunnel::mpls;
use super::tunnel::nsh;
use super::view::Next;
use super::view::Reader;
use super::view::Stop;
use super::view::View;
use super::view::Walk;

/// An ether type that we know.
struct EtherType {
    number: u16,
    name: &'static str,
    /// How to look inside; `None` where IP never is, or is not ours to find.
    reader: Option<Reader>,
}

pub(super) const IPV4: u16 = 0x0800;
pub(super) const IPV6: u16 = 0x86dd;
pub(super) const VLAN: u16 = 0x8100;
pub(super) const SERVICE_VLAN: u16 = 0x88a8;
/// Ethernet frames inside something else.
pub(super) const BRIDGED: u16 = 0x6558;
/// What stands for PPP frames without IP in [`super::Decoded::NotIp`].
pub(super) const PPP: u16 = 0x880b;
const PPPOE_SESSION: u16 = 0x8864;

/// Sorted by number. Names as in IEEE's register or as people say.
#[rustfmt::skip]
const ETHER_TYPES: &[EtherType] = &[
    row(0x0800, "IPv4", Some(ip::read)),
    row(0x0806, "ARP", None),
    row(0x0842, "Wake-on-LAN", None),
    row(0x2000, "CDP", None),
    row(0x22ea, "SRP", None),
    row(0x22eb, "ERSPAN III", Some(gre::erspan)),
    row(0x22f0, "AVTP", None),
    row(0x22f3, "TRILL", Some(trill)),
    row(0x22f4, "L2-IS-IS", None),
    row(0x6002, "DEC MOP", None),
    row(0x6003, "DECnet", None),
    row(0x6004, "DEC LAT", None),
    row(0x6558, "Ethernet bridging", Some(ethernet::read)),
    row(0x8035, "RARP", None),
    row(0x809b, "AppleTalk", None),
    row(0x80f3, "AppleTalk ARP", None),
    row(0x8100, "802.1Q", Some(vlan)),
    row(0x8137, "IPX", None),
    row(0x814c, "SNMP over Ethernet", None),
    row(0x86dd, "IPv6", Some(ip::read)),
    row(0x8808, "flow control", None),
    row(0x8809, "slow protocols (LACP)", None),
    row(0x880b, "PPP", Some(serial::ppp)),
    row(0x8847, "MPLS", Some(mpls::read)),
    row(0x8848, "MPLS multicast", Some(mpls::read)),
    row(0x8863, "PPPoE discovery", None),
    row(0x8864, "PPPoE session", Some(pppoe)),
    row(0x886d, "Intel ANS probe", None),
    row(0x8870, "jumbo LLC", Some(lan::llc)),
    row(0x887b, "HomePlug 1.0", None),
    row(0x888e, "EAPOL", None),
    row(0x8892, "PROFINET", None),
    row(0x8899, "Realtek RRCP", None),
    row(0x889a, "HyperSCSI", None),
    row(0x88a2, "ATA over Ethernet", None),
    row(0x88a4, "EtherCAT", None),
    row(0x88a8, "802.1ad", Some(vlan)),
    row(0x88ab, "Powerlink", None),
    row(0x88b5, "local experiment 1", None),
    row(0x88b6, "local experiment 2", None),
    row(0x88b8, "GOOSE", None),
    row(0x88ba, "sampled values", None),
    row(0x88be, "ERSPAN", Some(gre::erspan)),
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
    row(0x8909, "Cisco MetaData", Some(metadata)),
    row(0x8914, "FIP", None),
    row(0x8915, "RoCE", None),
    row(0x891d, "TTEthernet", None),
    row(0x8926, "VN-Tag", Some(vn_tag)),
    row(0x892f, "HSR", Some(redundancy)),
    row(0x893a, "1905.1", None),
    row(0x893f, "802.1BR", Some(extension_tag)),
    row(0x894f, "NSH", Some(nsh::read)),
    row(0x9000, "loopback", None),
    row(0x9100, "QinQ", Some(vlan)),
    row(0x9200, "QinQ", Some(vlan)),
    row(0x9300, "QinQ", Some(vlan)),
    row(0xd28b, "Arista time stamp", Some(arista)),
    row(0xf1c1, "802.1CB", Some(redundancy)),
];

const fn row(number: u16, name: &'static str, reader: Option<Reader>) -> EtherType {
    EtherType { number, name, reader }
}

fn find(number: u16) -> Option<&'static EtherType> {
    let index = ETHER_TYPES.binary_search_by_key(&number, |row| row.number).ok()?;
    ETHER_TYPES.get(index)
}

/// What an ether type is called, for example `"ARP"`; `None` where we know no name.
pub fn name(number: u16) -> Option<&'static str> {
    find(number).map(|row| row.name)
}

/// Reads what `number` says.
#[inline]
pub(super) fn read<'b>(walk: &mut Walk, number: u16, view: View<'b>) -> Result<Next<'b>, Stop> {
    match number {
        IPV4 | IPV6 => Ok(Next::Ip(view)),
        _ => match find(number).and_then(|row| row.reader) {
            Some(reader) => reader(walk, view),
            None => Err(Stop::NotIp(number)),
        },
    }
}

/// IEEE 802.1Q §9.6: priority and DEI, 12 bits of VLAN id; then the next type or a length.
pub(super) fn vlan<'b>(walk: &mut Walk, view: View<'b>) -> Result<Next<'b>, Stop> {
    let ((tag, number), inside) = view.read("vlan", |c| Ok((c.u16("tag")?, c.u16("ether type")?)))?;
    note_vlan(walk, tag)?;
    ethernet::type_or_length(number, inside)
}

/// IEEE 802.1Q §9.6: VLAN id 0 carries a priority only.
#[inline]
pub(super) fn note_vlan(walk: &mut Walk, tag: u16) -> Result<(), Stop> {
    match tag & 0xfff {
        0 => Ok(()),
        id => walk.tag(LayerKind::Vlan, u32::from(id)),
    }
}

/// IEEE 802.1AE §9.3 to §9.8: a tag whose E and C bits are off leaves the payload as it was.
fn macsec<'b>(walk: &mut Walk, view: View<'b>) -> Result<Next<'b>, Stop> {
    let (control, inside) = view.read("macsec", |c| {
        let control = c.u8("tag control")?;
        c.skip(5, "short length and packet number")?;
        // SC: an explicit channel identifier follows.
        c.skip(if control & 0x20 != 0 { 8 } else { 0 }, "channel identifier")?;
        Ok(control)
    })?;
    if control & 0x0c != 0 {
        return Err(Stop::Unreadable("macsec"));
    }
    walk.tag(LayerKind::Other("macsec"), 0)?;
    let (number, inside) = inside.read("macsec", |c| c.u16("ether type"))?;
    // The integrity check value at the end is 16 bytes in every registered cipher suite.
    ethernet::type_or_length(number, inside.at_most(inside.wire.saturating_sub(16)))
}

/// RFC 2516 §4: version and type 1, code 0 in a session.
fn pppoe<'b>(walk: &mut Walk, view: View<'b>) -> Result<Next<'b>, Stop> {
    let ((code, session, len), inside) = view.read("pppoe", |c| {
        c.skip(1, "version and type")?;
        Ok((c.u8("code")?, c.u16("session id")?, c.u16("length")?))
    })?;
    if code != 0 {
        return Err(Stop::NotIp(PPPOE_SESSION));
    }
    walk.tag(LayerKind::Pppoe, u32::from(session))?;
    Ok(Next::Read(serial::ppp, inside.at_most(usize::from(len))))
}

/// The session header alone, as LINKTYPE_PPP_ETHER has it.
pub(super) fn pppoe_link<'b>(walk: &mut Walk, view: View<'b>) -> Result<Next<'b>, Stop> {
    pppoe(walk, view)
}

/// IEEE 802.1Q §9.7: flags and a 24-bit service id, then the customer's frame.
fn backbone<'b>(walk: &mut Walk, view: View<'b>) -> Result<Next<'b>, Stop> {
    let (service, inside) = view.read("802.1ah", |c| {
        c.skip(1, "flags")?;
        c.u24("service id")
    })?;
    walk.tag(LayerKind::Other("pbb"), service)?;
    Ok(Next::Read(ethernet::read, inside))
}

/// The FabricPath tag follows its type: 10 bits of tree, 6 of time to live; then the original frame.
fn fabric_path<'b>(walk: &mut Walk, view: View<'b>) -> Result<Next<'b>, Stop> {
    let (tag, inside) = view.read("fabricpath", |c| c.u16("tag"))?;
    walk.tag(LayerKind::Other("fabricpath"), u32::from(tag >> 6))?;
    Ok(Next::Read(ethernet::read, inside))
}

/// RFC 6325 §3.2: five bits count the words of options.
fn trill<'b>(walk: &mut Walk, view: View<'b>) -> Result<Next<'b>, Stop> {
    let ((), inside) = view.read("trill", |c| {
        let first = c.u16("flags and options length")?;
        c.skip(4, "nicknames")?;
        c.skip(usize::from(first >> 6 & 0x1f) * 4, "options")
    })?;
    walk.tag(LayerKind::Other("trill"), 0)?;
    Ok(Next::Read(ethernet::read, inside))
}

/// TrustSec metadata: a version, the length of its options in words (one at least), options; then the next type.
fn metadata<'b>(walk: &mut Walk, view: View<'b>) -> Result<Next<'b>, Stop> {
    let (number, inside) = view.read("metadata", |c| {
        c.skip(1, "version")?;
        let words = usize::from(c.u8("length")?);
        c.skip(words.max(1) * 4, "options")?;
        c.u16("ether type")
    })?;
    walk.tag(LayerKind::Other("metadata"), 0)?;
    ethernet::type_or_length(number, inside)
}

/// VN-Tag: four bytes of interface ids, then the next type.
fn vn_tag<'b>(walk: &mut Walk, view: View<'b>) -> Result<Next<'b>, Stop> {
    four_bytes(walk, view, "vntag")
}

/// HSR (IEC 62439-3) and 802.1CB: four bytes with a sequence number, then the next type.
fn redundancy<'b>(walk: &mut Walk, view: View<'b>) -> Result<Next<'b>, Stop> {
    four_bytes(walk, view, "redundancy")
}

/// IEEE 802.1Q §9.5 (802.1BR): six bytes of priority and channel ids, then the next type.
fn extension_tag<'b>(walk: &mut Walk, view: View<'b>) -> Result<Next<'b>, Stop> {
    let (number, inside) = view.read("e-tag", |c| {
        c.skip(6, "tag")?;
        c.u16("ether type")
    })?;
    walk.tag(LayerKind::Other("etag"), 0)?;
    ethernet::type_or_length(number, inside)
}

/// Arista's time stamps: sub-type 1, a version that says how long they are, then the next type.
fn arista<'b>(walk: &mut Walk, view: View<'b>) -> Result<Next<'b>, Stop> {
    let (number, inside) = view.read("time stamp", |c| {
        c.skip(2, "sub-type")?;
        // 0x..20 has 48 bits, 0x..10 has 64.
        let len = if c.u16("version")? & 0xff == 0x20 { 6 } else { 8 };
        c.skip(len, "time stamp")?;
        c.u16("ether type")
    })?;
    walk.tag(LayerKind::Other("timestamp"), 0)?;
    ethernet::type_or_length(number, inside)
}

fn four_bytes<'b>(walk: &mut Walk, view: View<'b>, name: &'static str) -> Result<Next<'b>, Stop> {
    let (number, inside) = view.read(name, |c| {
        c.skip(4, "tag")?;
        c.u16("ether type")
    })?;
    walk.tag(LayerKind::Other(name), 0)?;
    ethernet::type_or_length(number, inside)
}
