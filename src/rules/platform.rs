//! Addresses that exist inside the virtual networks of a cloud only.
//!
//! In:  `rules/platform-addresses.tsv`, which is inside the program.
//! Out: whether an address is one of them.
//! Not: whether a host is inside such a network: no packet shows that.

use std::sync::LazyLock;

use crate::base::Address;

const FILE: &str = include_str!("../../rules/platform-addresses.tsv");

static ADDRESSES: LazyLock<Vec<Address>> = LazyLock::new(|| rows().collect());

/// The address of each row.
fn rows() -> impl Iterator<Item = Address> {
    let lines = FILE.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split('\t').next()?.parse::<std::net::IpAddr>().ok()).map(Address::from)
}

/// Whether only hosts inside a cloud's virtual network can reach an address.
pub fn is_platform_address(address: Address) -> bool {
    ADDRESSES.contains(&address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_complete_and_sorted() {
        let lines: Vec<&str> = FILE.lines().skip(1).collect();
        for line in &lines {
            let cells: Vec<&str> = line.split('\t').collect();
            let [address, what, source] = cells[..] else { unreachable!("{line}") };
            assert!(address.parse::<std::net::IpAddr>().is_ok(), "{line}");
            assert!(!what.is_empty() && !source.is_empty(), "{line}");
        }
        assert_eq!(rows().count(), lines.len());
        assert!(rows().is_sorted());
        assert!(is_platform_address(Address::v4([168, 63, 129, 16])));
        assert!(!is_platform_address(Address::v4([168, 63, 129, 17])));
    }
}
