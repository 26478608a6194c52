//! Recognizes frames that are not of the link type that their file names.
//!
//! In:  a frame of which nothing could be decoded.
//! Out: the link type that it seems to have: one after whose header an IP header begins.
//! Not: a decoded frame: what the file says is not replaced by what seems likely.
//!
//! An IPv4 header shows itself by its checksum, or by its length where the checksum was left to the network adapter; an IPv6 header
//! by its length. So frames of protocols that are not known are not taken for others.

use super::ether;
use super::ip;
use super::layer::LayerSlice;
use super::layer::Stop;
use super::packet::DamageKind;
use crate::base::proto;
use crate::capture::Frame;
use crate::capture::LinkType;

/// How reasons begin that this file gives.
pub const ANOTHER_LINK: &str = "another link type";

/// Bytes before an IP header that are tried.
const OFFSET_LIMIT: usize = 48;

/// A link type: its number, the length of its header, and where the header has an EtherType.
struct KnownLink {
    number: u16,
    header_len: usize,
    ether_type_at: Option<usize>,
    reason: &'static str,
}

const fn row(
    number: u16,
    header_len: usize,
    ether_type_at: Option<usize>,
    reason: &'static str,
) -> KnownLink {
    KnownLink { number, header_len, ether_type_at, reason }
}

const KNOWN: &[KnownLink] = &[
    row(LinkType::RAW.0, 0, None, "another link type: raw IP"),
    row(LinkType::ETHERNET.0, 14, Some(12), "another link type: Ethernet"),
    row(LinkType::ETHERNET.0, 18, Some(16), "another link type: Ethernet"),
    row(113, 16, Some(14), "another link type: Linux cooked capture"),
    row(276, 20, Some(0), "another link type: Linux cooked capture v2"),
    row(0, 4, None, "another link type: loopback"),
];

/// What `editcap -T` calls the link type of a reason.
pub fn editcap_name(reason: &str) -> Option<&'static str> {
    const NAMES: &[(u16, &str)] =
        &[(101, "rawip"), (1, "ether"), (113, "linux-sll"), (276, "linux-sll2"), (0, "null")];
    let known = KNOWN.iter().find(|known| known.reason == reason)?;
    NAMES.iter().find(|(number, _)| *number == known.number).map(|(_, name)| *name)
}

/// Why the frame could not be decoded, if it seems to be of another link type.
#[cold]
pub(super) fn reason(frame: &Frame<'_>, stop: &Stop) -> Option<&'static str> {
    const LLC: u16 = 0;
    // What the link header says to be IP, and is not.
    const IP: &str = "ip";
    let may_have_any_header = match stop {
        Stop::NotIp(LLC | ether::PPP) | Stop::UnknownLink(_) => true,
        Stop::Damaged(damage) if damage.layer == IP && damage.kind == DamageKind::Broken => true,
        Stop::NotIp(number) if ether::name(*number).is_none() => false,
        _ => return None,
    };
    let layer = LayerSlice::frame(frame);
    let named = frame.link.0;
    let has_ether_type = |known: &KnownLink| {
        known.ether_type_at.is_none_or(|at| matches!(layer.peek(at), Some(ether::IPV4 | ether::IPV6)))
    };
    for known in KNOWN {
        if known.number != named && has_ether_type(known) && is_ip(layer, known.header_len) {
            return Some(known.reason);
        }
    }
    // A link type that is not decoded may have any header; so may one that is added to a known one.
    (may_have_any_header && (1..=OFFSET_LIMIT).any(|offset| is_ip(layer, offset))).then_some(ANOTHER_LINK)
}

/// Whether an IP header begins at `offset`.
fn is_ip(layer: LayerSlice<'_>, offset: usize) -> bool {
    const IPV4_HEADER: usize = 20;
    const IPV6_HEADER: usize = 40;
    // Ethernet pads shorter packets.
    const PADDED: usize = 46;
    let Some(bytes) = layer.bytes.get(offset..) else { return false };
    let on_wire = layer.wire_len.saturating_sub(offset);
    let is_length = |len: usize| len == on_wire || (len < on_wire && on_wire <= PADDED);
    let field = |at: usize| layer.peek(offset + at).map(usize::from);
    match bytes.first().map(|first| first >> 4) {
        Some(4) => {
            let (Some(len), Some(checksum)) = (field(2), field(10)) else { return false };
            let is_known = bytes.get(9).is_some_and(|protocol| is_known_protocol(*protocol));
            is_known
                && (IPV4_HEADER..=on_wire).contains(&len)
                && match checksum {
                    0 => is_length(len),
                    _ => ip::has_correct_checksum(layer.after(offset)),
                }
        }
        Some(6) => {
            let is_known = bytes.get(6).is_some_and(|protocol| is_known_protocol(*protocol));
            is_known && field(4).is_some_and(|len| is_length(len + IPV6_HEADER))
        }
        _ => false,
    }
}

const fn is_known_protocol(protocol: u8) -> bool {
    matches!(protocol, proto::ICMP | proto::TCP | proto::UDP | proto::ICMPV6)
}

#[cfg(test)]
mod tests {
    use super::super::Decoded;
    use super::super::test_support::decoder;
    use super::super::test_support::ethernet;
    use super::super::test_support::frame;
    use super::super::test_support::in_ethernet;
    use super::super::test_support::ipv4_syn;
    use super::super::test_support::ipv6_syn;
    use super::*;

    fn check(link: u16, bytes: &[u8], expected: Option<&str>) {
        let mut decoder = decoder();
        let reason = match decoder.decode(&frame(link, bytes, 1)) {
            Decoded::Unreadable(reason) => Some(reason),
            _ => None,
        };
        assert_eq!(reason, expected, "link type {link}: {bytes:02x?}");
        assert!(decoder.counts().add_up());
    }

    #[test]
    fn frames_of_another_link_type_are_recognized() {
        const COOKED: [u8; 16] = [0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0, 8, 0];
        for ip in [ipv4_syn(), ipv6_syn()] {
            check(1, &ip, Some("another link type: raw IP"));
            check(101, &in_ethernet(&ip), Some("another link type: Ethernet"));
            check(147, &in_ethernet(&ip), Some("another link type: Ethernet"));
            check(105, &in_ethernet(&ip), Some("another link type: Ethernet"));
        }
        let ip = ipv4_syn();
        check(1, &[&COOKED[..], &ip].concat(), Some("another link type: Linux cooked capture"));
        check(1, &[&[2, 0, 0, 0][..], &ip].concat(), Some("another link type: loopback"));
        check(1, &[&[0, 0, 0, 1][..], &in_ethernet(&ip)].concat(), Some(ANOTHER_LINK));
        assert_eq!(editcap_name("another link type: raw IP"), Some("rawip"));
        assert_eq!(editcap_name(ANOTHER_LINK), None);
    }

    #[test]
    fn what_is_no_ip_packet_is_not_taken_for_one() {
        let mut wrong = ipv4_syn();
        wrong[10] ^= 1;
        check(1, &wrong, None);
        // A packet that was decoded up to damage in its transport.
        let mut damaged = ipv4_syn();
        damaged[32] = 0x10;
        check(1, &in_ethernet(&damaged), None);
        // Spanning tree, and protocols with a number of their own.
        check(1, &ethernet(38, &[0x42, 0x42, 3, 0, 0, 0, 0, 0, 0x80, 0]), None);
        check(1, &ethernet(0x88cc, &ipv4_syn()), None);
    }
}
