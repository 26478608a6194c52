//! IPv4 and IPv6 addresses as one type.
//!
//! In:  header bytes, addresses of the standard library.
//! Out: [`Address`], which sorts and prints like an IP address.
//! Not: whose address it is.

use std::fmt;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;

/// An IPv4 or IPv6 address in 128 bits; IPv4 is kept as `::ffff:a.b.c.d` (RFC 4291 §2.5.5.2) and printed as IPv4.
///
/// Aligned to 8 bytes instead of 16: everything that is kept of a flow has two addresses, each next to a port.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
#[repr(Rust, packed(8))]
pub struct Address(pub u128);

const MAPPED: u128 = 0xffff << 32;

impl Address {
    /// From the four bytes of an IPv4 header.
    #[inline]
    pub const fn v4(bytes: [u8; 4]) -> Address {
        Address(MAPPED | u32::from_be_bytes(bytes) as u128)
    }

    /// From the sixteen bytes of an IPv6 header.
    #[inline]
    pub const fn v6(bytes: [u8; 16]) -> Address {
        Address(u128::from_be_bytes(bytes))
    }

    /// True for IPv4.
    #[inline]
    pub const fn is_v4(self) -> bool {
        self.0 >> 32 == 0xffff
    }

    /// The same address as a type of the standard library.
    #[inline]
    pub const fn to_ip(self) -> IpAddr {
        if self.is_v4() {
            IpAddr::V4(Ipv4Addr::from_bits(self.0 as u32))
        } else {
            IpAddr::V6(Ipv6Addr::from_bits(self.0))
        }
    }

    /// True for addresses that no public server can have: RFC 1918, RFC 4193 (fc00::/7), link-local, loopback, shared (RFC 6598).
    pub const fn is_private(self) -> bool {
        match self.to_ip() {
            IpAddr::V4(ip) => {
                let [a, b, ..] = ip.octets();
                ip.is_private() || ip.is_link_local() || ip.is_loopback() || (a == 100 && b & 0xc0 == 64)
            }
            IpAddr::V6(ip) => ip.is_unique_local() || ip.is_unicast_link_local() || ip.is_loopback(),
        }
    }

    /// True for the shared addresses 100.64.0.0/10 (RFC 6598).
    pub const fn is_shared(self) -> bool {
        self.is_v4() && (self.0 as u32) >> 22 == 0x6440_0000 >> 22
    }

    /// The public IPv4 address in an IPv6 address of the site that NAT64 translates (RFC 6052 §2.2, a prefix of 96 bits in RFC 4193
    /// space): its last 32 bits, after 32 zero bits. Interface identifiers, which are random or contain `fffe`, have none there.
    pub const fn translated_ipv4(self) -> Option<Address> {
        let IpAddr::V6(ip) = self.to_ip() else { return None };
        let [.., g, h, i, j, a, b, c, d] = ip.octets();
        let embedded = Address::v4([a, b, c, d]);
        let is_public = !matches!(a, 0 | 240..) && !embedded.is_private() && !embedded.is_group();
        if ip.is_unique_local() && matches!([g, h, i, j], [0, 0, 0, 0]) && is_public {
            Some(embedded)
        } else {
            None
        }
    }

    /// True for addresses that are valid on one link only.
    pub const fn is_link_local(self) -> bool {
        match self.to_ip() {
            IpAddr::V4(ip) => ip.is_link_local(),
            IpAddr::V6(ip) => ip.is_unicast_link_local(),
        }
    }

    /// True for addresses that are not those of one host: multicast, broadcast, unspecified.
    pub const fn is_group(self) -> bool {
        match self.to_ip() {
            IpAddr::V4(ip) => ip.is_multicast() || ip.is_broadcast() || ip.is_unspecified(),
            IpAddr::V6(ip) => ip.is_multicast() || ip.is_unspecified(),
        }
    }
}

impl From<IpAddr> for Address {
    fn from(ip: IpAddr) -> Address {
        match ip {
            IpAddr::V4(ip) => Address::v4(ip.octets()),
            IpAddr::V6(ip) => Address::v6(ip.octets()),
        }
    }
}

/// IPv4 before IPv6, then by number.
impl Ord for Address {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        other.is_v4().cmp(&self.is_v4()).then({ self.0 }.cmp(&{ other.0 }))
    }
}

impl PartialOrd for Address {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_ip().fmt(f)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_ip().fmt(f)
    }
}

/// Text in JSON and CSV; in stored facts a number, which is short for IPv4.
impl serde::Serialize for Address {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match serializer.is_human_readable() {
            true => serializer.collect_str(self),
            false => serializer.serialize_u128(self.0 ^ MAPPED),
        }
    }
}

/// Of stored facts only.
impl<'de> serde::Deserialize<'de> for Address {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Address, D::Error> {
        u128::deserialize(deserializer).map(|number| Address(number ^ MAPPED))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_versions_are_printed_and_classified() {
        let v4 = Address::v4([10, 0, 0, 8]);
        let v6 = Address::from("fd00::1".parse::<IpAddr>().unwrap());
        assert_eq!((v4.to_string().as_str(), v6.to_string().as_str()), ("10.0.0.8", "fd00::1"));
        assert!(v4.is_v4() && !v6.is_v4() && v4 < v6);
        assert!(v4.is_private() && v6.is_private());
        assert!(!Address::v4([20, 60, 0, 4]).is_private());
        assert!(Address::v4([255; 4]).is_group() && !v4.is_group());
    }

    #[test]
    fn nat64_of_the_site_has_the_public_address_at_its_end() {
        let translated = |text: &str| {
            let ip = Address::from(text.parse::<IpAddr>().unwrap()).translated_ipv4();
            ip.map(|ip| ip.to_string()).unwrap_or_default()
        };
        assert_eq!(translated("fd00:64::348a:14"), "52.138.0.20");
        assert_eq!(translated("fd00:64:1:2::348a:14"), "52.138.0.20");
        assert_eq!(translated("fd00:64::a01:4"), "", "a private address");
        assert_eq!(translated("fd00:64::4"), "", "a small number");
        assert_eq!(translated("fd00::2a0:98ff:fe12:3456"), "", "of a MAC address");
        assert_eq!(translated("64:ff9b::348a:14"), "", "no address of the site");
    }
}
