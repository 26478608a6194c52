//! The address of a network adapter on its link.
//!
//! In:  the 48 bits of a frame.
//! Out: [`LinkAddress`], and whether it can be that of one host.
//! Not: which host has it.

use std::num::NonZeroU64;

/// A MAC address (EUI-48); never all zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct LinkAddress(NonZeroU64);

/// Addresses that several routers or servers share: value and mask.
const SHARED: [(u64, u64); 7] = [
    // RFC 9568 §7.3: VRRP for IPv4 (01) and IPv6 (02).
    (0x0000_5e00_0100, 0xffff_ffff_ff00),
    (0x0000_5e00_0200, 0xffff_ffff_ff00),
    // HSRP version 1 (RFC 2281 §5), version 2, and version 2 for IPv6.
    (0x0000_0c07_ac00, 0xffff_ffff_ff00),
    (0x0000_0c9f_f000, 0xffff_ffff_f000),
    (0x0005_73a0_0000, 0xffff_ffff_f000),
    // GLBP.
    (0x0007_b400_0000, 0xffff_ff00_0000),
    // In an Azure virtual network, every frame that a virtual machine receives has this source address, whichever host sent it, and
    // no router has decremented the TTL.
    (0x1234_5678_9abc, 0xffff_ffff_ffff),
];

/// Network Load Balancing of Windows in unicast mode: `02-bf`, or `02` and the number of the host, and the cluster's IPv4 address.
const LOAD_BALANCED: u64 = 0x02bf;

impl LinkAddress {
    /// From the six bytes of a frame, as two numbers; none if all are zero.
    #[inline]
    pub fn from_parts(high: u16, low: u32) -> Option<LinkAddress> {
        NonZeroU64::new(u64::from(high) << 32 | u64::from(low)).map(LinkAddress)
    }

    /// Whether it can be that of one host: not of a group, nor one that routers or servers share.
    pub fn is_of_one_host(self) -> bool {
        let number = self.0.get();
        let is_group = number >> 40 & 1 == 1;
        !is_group
            && number >> 32 != LOAD_BALANCED
            && SHARED.iter().all(|(value, mask)| number & mask != *value)
    }
}

/// `00:15:5d:01:02:03`.
impl std::fmt::Display for LinkAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [_, _, a, b, c, d, e, g] = self.0.get().to_be_bytes();
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_addresses_are_of_no_host() {
        let check = |high, low, text: &str, is_of_one_host| {
            let address = LinkAddress::from_parts(high, low).unwrap();
            assert_eq!(address.to_string(), text);
            assert_eq!(address.is_of_one_host(), is_of_one_host, "{text}");
        };
        check(0x0015, 0x5d01_0203, "00:15:5d:01:02:03", true);
        check(0x0200, 0x0000_0001, "02:00:00:00:00:01", true);
        check(0x0000, 0x5e00_0107, "00:00:5e:00:01:07", false);
        check(0x0000, 0x5e00_0207, "00:00:5e:00:02:07", false);
        check(0x0000, 0x0c07_ac01, "00:00:0c:07:ac:01", false);
        check(0x0000, 0x0c9f_f123, "00:00:0c:9f:f1:23", false);
        check(0x0005, 0x73a0_0001, "00:05:73:a0:00:01", false);
        check(0x0007, 0xb400_0102, "00:07:b4:00:01:02", false);
        check(0x1234, 0x5678_9abc, "12:34:56:78:9a:bc", false);
        check(0x02bf, 0x0a01_0005, "02:bf:0a:01:00:05", false);
        check(0x0100, 0x5e00_0001, "01:00:5e:00:00:01", false);
        assert_eq!(LinkAddress::from_parts(0, 0), None);
    }
}
