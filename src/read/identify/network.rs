//! Identifies network services over UDP.
//!
//! In:  a datagram.
//! Out: NTP, DHCP, IKE and ESP, WireGuard, STUN, SNMP.
//! Not: their contents.

use super::after_ber;
use super::ber_contents;
use super::probe_result;
use super::u16_at;
use super::u32_at;
use crate::read::reader::OnMatch;
use crate::read::reader::Probe;
use crate::read::reader::ReaderSpec;
use crate::read::reader::ReaderTransport;
use crate::read::reader::Sample;

/// NTP: RFC 5905 §7.3. Its header has few fixed bits, so its port is required.
pub(crate) const NTP: ReaderSpec = ReaderSpec {
    name: "ntp",
    transport: ReaderTransport::Udp,
    probe: |sample| probe_result(ntp_mode(sample).is_some()),
    sender_is_client: |sample| match ntp_mode(sample)? {
        1 | 3 => Some(true),
        2 | 4 => Some(false),
        _ => None,
    },
    on_match: OnMatch::Stop,
};

/// The mode: 3 client, 4 server.
fn ntp_mode(sample: &Sample<'_>) -> Option<u8> {
    let first = *sample.bytes.first()?;
    let (version, mode) = ((first >> 3) & 7, first & 7);
    // Control messages (RFC 9327) are shorter.
    let min_len = if mode >= 6 { 8 } else { 48 };
    (sample.has_port(123) && (1..=4).contains(&version) && mode > 0 && sample.wire_len >= min_len)
        .then_some(mode)
}

/// DHCP: RFC 2131 §2.
pub(crate) const DHCP: ReaderSpec = ReaderSpec {
    name: "dhcp",
    transport: ReaderTransport::Udp,
    probe: |sample| probe_result(dhcp(sample)),
    sender_is_client: |sample| dhcp(sample).then(|| sample.bytes.first() == Some(&1)),
    on_match: OnMatch::Stop,
};

/// RFC 2131 §3: the four bytes before the options.
const DHCP_COOKIE: u32 = 0x6382_5363;

fn dhcp(sample: &Sample<'_>) -> bool {
    matches!(sample.bytes.first(), Some(1 | 2)) && u32_at(sample.bytes, 236) == Some(DHCP_COOKIE)
}

/// DHCP for IPv6: RFC 8415 §7.2 and §7.3, on its ports.
pub(crate) const DHCPV6: ReaderSpec = ReaderSpec {
    name: "dhcpv6",
    transport: ReaderTransport::Udp,
    probe: |sample| {
        let is_dhcpv6 = |port| matches!(port, 546 | 547);
        let known = matches!(sample.bytes.first(), Some(1..=36));
        probe_result(
            is_dhcpv6(sample.from_port) && is_dhcpv6(sample.to_port) && known && sample.wire_len >= 4,
        )
    },
    sender_is_client: |_| None,
    on_match: OnMatch::Stop,
};

/// IKE: RFC 7296 §3.1, RFC 2408 §3.1; on port 4500 after four zero bytes (RFC 3948 §2.2).
pub(crate) const IKE: ReaderSpec = ReaderSpec {
    name: "ike",
    transport: ReaderTransport::Udp,
    probe: |sample| {
        let bytes = match sample.bytes {
            [0, 0, 0, 0, rest @ ..] if sample.has_port(4500) => rest,
            bytes => bytes,
        };
        probe_result(ike(bytes, sample.wire_len - (sample.bytes.len() - bytes.len())))
    },
    sender_is_client: |_| None,
    on_match: OnMatch::Stop,
};

fn ike(bytes: &[u8], wire_len: usize) -> bool {
    let spi = bytes.get(..8).is_some_and(|spi| spi.iter().any(|byte| *byte != 0));
    let version = bytes.get(17).is_some_and(|version| matches!(version, 0x10 | 0x20));
    // Identity protection, aggressive, informational, quick; IKE_SA_INIT to IKE_INTERMEDIATE.
    let exchange = bytes.get(18).is_some_and(|exchange| matches!(exchange, 1..=6 | 32..=43));
    let len = u32_at(bytes, 24).and_then(|len| usize::try_from(len).ok());
    spi && version && exchange && len == Some(wire_len)
}

/// ESP in UDP: RFC 3948 §2.1. All but eight bytes are encrypted, so its port is required.
pub(crate) const ESP_UDP: ReaderSpec = ReaderSpec {
    name: "esp-udp",
    transport: ReaderTransport::Udp,
    probe: |sample| {
        // RFC 4303 §2.1: SPIs up to 255 are reserved. RFC 3948 §2.3: a single 0xff is a NAT keepalive.
        let spi = u32_at(sample.bytes, 0).is_some_and(|spi| spi > 255);
        probe_result(sample.has_port(4500) && ((spi && sample.wire_len >= 24) || sample.bytes == [0xff]))
    },
    sender_is_client: |_| None,
    on_match: OnMatch::Stop,
};

/// WireGuard (www.wireguard.com/protocol): a type, three zero bytes, and fixed lengths.
pub(crate) const WIREGUARD: ReaderSpec = ReaderSpec {
    name: "wireguard",
    transport: ReaderTransport::Udp,
    probe: |sample| {
        let Some([kind, 0, 0, 0]) = sample.bytes.first_chunk::<4>() else { return Probe::No };
        probe_result(match kind {
            1 => sample.wire_len == 148,
            2 => sample.wire_len == 92,
            3 => sample.wire_len == 64,
            4 => sample.wire_len >= 32 && sample.wire_len.is_multiple_of(16) && sample.has_port(51820),
            _ => false,
        })
    },
    sender_is_client: |sample| match (sample.bytes.first()?, sample.wire_len) {
        (1, 148) => Some(true),
        (2, 92) => Some(false),
        _ => None,
    },
    on_match: OnMatch::Stop,
};

/// STUN: RFC 8489 §5. DTLS often follows.
pub(crate) const STUN: ReaderSpec = ReaderSpec {
    name: "stun",
    transport: ReaderTransport::Udp,
    probe: |sample| {
        let len = u16_at(sample.bytes, 2).map(usize::from);
        let matches = sample.bytes.first().is_some_and(|byte| byte & 0xc0 == 0)
            && u32_at(sample.bytes, 4) == Some(STUN_COOKIE)
            && len.is_some_and(|len| len.is_multiple_of(4) && len + 20 == sample.wire_len);
        probe_result(matches)
    },
    sender_is_client: |_| None,
    on_match: OnMatch::WatchForTls,
};

/// RFC 8489 §5: the magic cookie.
const STUN_COOKIE: u32 = 0x2112_a442;

/// SNMP: RFC 1157 §4, RFC 1901 §3, RFC 3412 §6.
pub(crate) const SNMP: ReaderSpec = ReaderSpec {
    name: "snmp",
    transport: ReaderTransport::Udp,
    probe: |sample| probe_result(snmp(sample.bytes).is_some()),
    sender_is_client: |sample| match snmp(sample.bytes)? {
        // Get, get-next, set, get-bulk, inform, traps; 0xa2 is the response.
        0xa2 => Some(false),
        0xa0..=0xa8 => Some(true),
        _ => None,
    },
    on_match: OnMatch::Stop,
};

/// The tag after the community, or after the version in version 3.
fn snmp(bytes: &[u8]) -> Option<u8> {
    let message = ber_contents(bytes, 0x30)?;
    let [2, 1, version @ (0 | 1 | 3), rest @ ..] = message else { return None };
    match (version, rest.first()?) {
        (0 | 1, 0x04) => after_ber(rest)?.first().copied().filter(|tag| (0xa0..=0xa8).contains(tag)),
        // msgGlobalData starts with msgID.
        (3, 0x30) => ber_contents(rest, 0x30).filter(|data| data.first() == Some(&2)).map(|_| 0x30),
        _ => None,
    }
}
