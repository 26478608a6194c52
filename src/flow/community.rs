//! Community ID version 1: identifies the same flow in the logs of other monitors.
//!
//! In:  protocol and both ends; for ICMP the ports are type and code of the first message.
//! Out: `1:` and 28 characters, the same for both directions.
//! Not: VLANs and tunnels, which the specification leaves out.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::Digest as _;
use sha1::Sha1;

use super::key::Endpoint;
use crate::base::proto;

/// A Community ID, ready to print. All of its characters are ASCII.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CommunityId([u8; 30]);

impl CommunityId {
    /// As text.
    #[inline]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for CommunityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for CommunityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The Community ID of a flow, with the default seed 0.
pub fn community_id(protocol: u8, client: Endpoint, server: Endpoint) -> CommunityId {
    let (client_port, server_port, one_way) = match protocol {
        proto::ICMP => mapped(ICMP_PAIRS, client.port, server.port),
        proto::ICMPV6 => mapped(ICMPV6_PAIRS, client.port, server.port),
        _ => (client.port, server.port, false),
    };
    let client = Endpoint { port: client_port, ..client };
    let server = Endpoint { port: server_port, ..server };
    // The smaller address is first, then the smaller port. Addresses of both IP versions compare like their bytes on the wire.
    let in_order = one_way || (client.address.0, client.port) <= (server.address.0, server.port);
    let (low, high) = if in_order { (client, server) } else { (server, client) };

    // seed, addresses, protocol, a zero, ports: at most 40 bytes, one block of SHA-1.
    let mut bytes = [0; 40];
    let mut len = 2;
    let mut put = |field: &[u8]| {
        if let Some(slot) = bytes.get_mut(len..len + field.len()) {
            slot.copy_from_slice(field);
            len += field.len();
        }
    };
    if low.address.is_v4() && high.address.is_v4() {
        put(&(low.address.0 as u32).to_be_bytes());
        put(&(high.address.0 as u32).to_be_bytes());
    } else {
        put(&low.address.0.to_be_bytes());
        put(&high.address.0.to_be_bytes());
    }
    put(&[protocol, 0]);
    if matches!(protocol, proto::ICMP | proto::TCP | proto::UDP | proto::ICMPV6 | proto::SCTP) {
        put(&low.port.to_be_bytes());
        put(&high.port.to_be_bytes());
    }
    let digest = Sha1::digest(bytes.get(..len).unwrap_or_default());
    let mut text = *b"1:............................";
    if let Some(slot) = text.get_mut(2..) {
        // 20 bytes are always 28 characters.
        let _ = STANDARD.encode_slice(digest, slot);
    }
    CommunityId(text)
}

/// Type and code in place of ports: a request type is paired with its response type; all other messages are one-way.
fn mapped(pairs: &[(u16, u16)], kind: u16, code: u16) -> (u16, u16, bool) {
    for (request, response) in pairs {
        if kind == *request {
            return (*request, *response, false);
        }
        if kind == *response {
            return (*response, *request, false);
        }
    }
    (kind, code, true)
}

/// The type of the request that an ICMP response answers; any other type unchanged.
pub(super) fn icmp_request_kind(protocol: u8, kind: u8) -> u16 {
    let pairs = if protocol == proto::ICMP { ICMP_PAIRS } else { ICMPV6_PAIRS };
    let kind = u16::from(kind);
    pairs.iter().find(|(_, response)| *response == kind).map_or(kind, |(request, _)| *request)
}

/// Echo, router discovery, timestamp, information, address mask (RFC 792, 950, 1256).
const ICMP_PAIRS: &[(u16, u16)] = &[(8, 0), (10, 9), (13, 14), (15, 16), (17, 18)];

/// Echo, multicast listener, router, neighbour, node information, home agent discovery (RFC 4443, 2710, 4861, 4620, 6275).
const ICMPV6_PAIRS: &[(u16, u16)] = &[(128, 129), (130, 131), (133, 134), (135, 136), (139, 140), (144, 145)];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Address;

    fn check(protocol: u8, client: (&str, u16), server: (&str, u16), expected: &str) {
        let end = |(address, port): (&str, u16)| Endpoint {
            address: Address::from(address.parse::<std::net::IpAddr>().unwrap()),
            port,
        };
        assert_eq!(community_id(protocol, end(client), end(server)).as_str(), expected);
    }

    /// From the baseline that is published with the specification.
    #[test]
    fn equals_the_published_baseline() {
        let (a, b) = ("128.232.110.120", "66.35.250.204");
        check(6, (a, 34855), (b, 80), "1:LQU9qZlK+B5F3KDmev6m5PMibrg=");
        check(6, (b, 80), (a, 34855), "1:LQU9qZlK+B5F3KDmev6m5PMibrg=");
        check(17, ("192.168.1.52", 54585), ("8.8.8.8", 53), "1:d/FP5EW3wiY1vCndhwleRRKHowQ=");
        check(17, ("8.8.8.8", 53), ("192.168.1.52", 54585), "1:d/FP5EW3wiY1vCndhwleRRKHowQ=");
        check(132, ("192.168.170.56", 7), ("192.168.170.8", 7), "1:MP2EtRCAUIZvTw6MxJHLV7N7JDs=");
        let (a, b) = ("2001:470:e5bf:dead:4957:2174:e82c:4887", "2607:f8b0:400c:c03::1a");
        check(6, (a, 63943), (b, 25), "1:/qFaeAR+gFe1KYjMzVDsMv+wgU4=");
        check(6, (b, 25), (a, 63943), "1:/qFaeAR+gFe1KYjMzVDsMv+wgU4=");
        // A protocol without ports.
        check(46, ("10.1.12.2", 0), ("10.1.12.1", 0), "1:KHlLkgoJW7ifUTyTSgyVfkFHzKw=");
    }

    #[test]
    fn icmp_types_are_used_as_ports() {
        check(1, ("192.168.0.89", 8), ("192.168.0.1", 0), "1:X0snYXpgwiv9TZtqg64sgzUn6Dk=");
        check(1, ("192.168.0.1", 0), ("192.168.0.89", 0), "1:X0snYXpgwiv9TZtqg64sgzUn6Dk=");
        // Time exceeded is one-way.
        check(1, ("10.0.0.1", 11), ("10.0.0.2", 0), "1:YHxtAirCG//0OzkcVAukqKQN9xM=");
        let (a, b) = ("fe80::200:86ff:fe05:80da", "fe80::260:97ff:fe07:69ea");
        check(58, (a, 135), (b, 0), "1:dGHyGvjMfljg6Bppwm3bg0LO8TY=");
        check(58, (b, 136), (a, 0), "1:dGHyGvjMfljg6Bppwm3bg0LO8TY=");
        check(58, (b, 135), (a, 0), "1:zavyT/cezQr1fmImYCwYnMXbgck=");
        let (a, b) = ("3ffe:507:0:1:200:86ff:fe05:80da", "3ffe:501:0:1001::2");
        check(58, (a, 128), (b, 0), "1:+TW+HtLHvV1xnGhV1lv7XoJrqQg=");
        check(58, (b, 129), (a, 0), "1:+TW+HtLHvV1xnGhV1lv7XoJrqQg=");
        let (a, b) = ("3ffe:501:1800:2345::2", "3ffe:507:0:1:200:86ff:fe05:80da");
        check(58, (a, 3), (b, 0), "1:2ObVBgIn28oZvibYZhZMBgh7WdQ=");
    }
}
