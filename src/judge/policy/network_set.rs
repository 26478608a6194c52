//! Sets of networks, for a lookup per flow.
//!
//! In:  networks, each with a bit.
//! Out: the bits of all networks that hold an address.
//! Not: what the bits mean.

use ipnet::IpNet;

use crate::base::Address;

/// Networks as segments of the address space within which the bits are the same, so that a lookup does not depend on how many
/// networks a site has.
#[derive(Clone, Debug, Default)]
pub(in crate::judge) struct NetworkSet {
    starts: Vec<u128>,
    bits: Vec<u16>,
}

impl NetworkSet {
    pub(super) fn of<'a>(nets: impl IntoIterator<Item = &'a IpNet>) -> NetworkSet {
        NetworkSet::with_bits(nets.into_iter().map(|net| (*net, 1)))
    }

    /// Networks, each with one bit.
    pub(super) fn with_bits(nets: impl IntoIterator<Item = (IpNet, u16)>) -> NetworkSet {
        // The first address of each network, and the first one after it.
        let mut boundaries: Vec<(u128, u16, i32)> = Vec::new();
        for (net, bit) in nets {
            // IPv4 is in the last 32 bits (see `Address`).
            let free = match net {
                IpNet::V4(net) => 32 - u32::from(net.prefix_len()),
                IpNet::V6(net) => 128 - u32::from(net.prefix_len()),
            };
            let mask = u128::MAX.checked_shl(free).unwrap_or(0);
            let first = Address::from(net.network()).0 & mask;
            boundaries.push((first, bit, 1));
            if let Some(after) = (first | !mask).checked_add(1) {
                boundaries.push((after, bit, -1));
            }
        }
        boundaries.sort_unstable();
        let mut set = NetworkSet::default();
        let mut open = [0i32; 16];
        for (at, bit, change) in boundaries {
            if let Some(count) = open.get_mut(bit.trailing_zeros() as usize) {
                *count += change;
            }
            let add_bit =
                |bits: u16, (index, count): (usize, &i32)| if *count > 0 { bits | 1 << index } else { bits };
            let bits = open.iter().enumerate().fold(0, add_bit);
            if set.starts.last() == Some(&at) {
                set.bits.pop();
            } else {
                set.starts.push(at);
            }
            set.bits.push(bits);
        }
        set
    }

    /// The bits of all networks that hold `address`.
    pub(super) fn bits(&self, address: Address) -> u16 {
        self.segment(address).and_then(|index| self.bits.get(index)).copied().unwrap_or_default()
    }

    /// The first address of each segment.
    pub(super) fn segments(&self) -> &[u128] {
        &self.starts
    }

    /// The segment that holds `address`; none before the first.
    pub(super) fn segment(&self, address: Address) -> Option<usize> {
        self.starts.partition_point(|start| *start <= address.0).checked_sub(1)
    }

    /// Whether one of them holds `address`.
    pub(in crate::judge) fn contains(&self, address: Address) -> bool {
        self.bits(address) != 0
    }

    pub(in crate::judge) fn is_empty(&self) -> bool {
        self.starts.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        text.parse::<std::net::IpAddr>().unwrap().into()
    }

    #[test]
    fn networks_hold_their_first_and_last_address() {
        let nets: Vec<IpNet> =
            ["10.1.0.0/16", "fd00::/64", "0.0.0.0/0"].iter().map(|net| net.parse().unwrap()).collect();
        let contains = |nets: &[IpNet], text: &str| NetworkSet::of(nets).contains(address(text));
        assert!(contains(&nets[..2], "10.1.255.255") && !contains(&nets[..2], "10.2.0.0"));
        assert!(contains(&nets[..2], "fd00::1") && !contains(&nets[..2], "fd00:0:0:1::1"));
        assert!(contains(&nets[2..], "8.8.8.8") && !contains(&nets[2..], "2001:db8::1"));
        let last: Vec<IpNet> = vec!["ffff::/16".parse().unwrap(), "::/0".parse().unwrap()];
        assert!(contains(&last[..1], "ffff:ffff::1") && !contains(&last[..1], "fffe::1"));
        assert!(contains(&last, "8.8.8.8"));
    }

    #[test]
    fn nested_networks_join_their_bits() {
        let nested = [("10.0.0.0/8", 1), ("10.1.0.0/16", 2), ("10.1.0.0/24", 2), ("10.2.0.0/16", 4)];
        let nested = NetworkSet::with_bits(nested.map(|(net, bit)| (net.parse().unwrap(), bit)));
        let addresses = ["10.0.0.1", "10.1.0.1", "10.1.1.1", "10.2.0.1", "10.3.0.1", "11.0.0.0"];
        assert_eq!(addresses.map(|text| nested.bits(address(text))), [1, 3, 3, 5, 1, 0]);
    }
}
