//! Which hosts are audited.
//!
//! In:  the networks given with `--server`, or none.
//! Out: whether a client is audited.
//! Not: roles, which the site file declares.

use std::sync::Arc;

use ipnet::IpNet;

use super::network_set::NetworkSet;
use crate::base::Address;

/// The audited hosts.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// Empty for every private address.
    servers: NetworkSet,
    /// The same, as given.
    networks: Arc<[IpNet]>,
}

impl Scope {
    /// The hosts in these networks; without one, every private address.
    pub fn of(servers: &[IpNet]) -> Scope {
        Scope { servers: NetworkSet::of(servers), networks: servers.into() }
    }

    /// Whether no network was given.
    pub(in crate::judge) fn is_open(&self) -> bool {
        self.servers.is_empty()
    }

    /// The given networks that hold none of these hosts, which are sorted.
    pub(in crate::judge) fn networks_without(&self, hosts: &[Address]) -> Vec<IpNet> {
        let has_none = |net: &&IpNet| {
            let first = hosts.partition_point(|host| *host < Address::from(net.network()));
            hosts.get(first).is_none_or(|host| *host > Address::from(net.broadcast()))
        };
        self.networks.iter().filter(has_none).copied().collect()
    }

    /// Whether flows that `client` opens are judged.
    pub fn audits(&self, client: Address) -> bool {
        if self.is_open() { client.is_private() } else { self.servers.contains(client) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_without_a_host() {
        let nets = ["10.1.0.4/32", "10.2.0.0/16", "0.0.0.0/0", "2001:db8::/32", "10.1.0.5/32"];
        let scope = Scope::of(&nets.map(|net| net.parse().unwrap()));
        let without = |hosts: &[&str]| -> Vec<String> {
            let mut hosts: Vec<Address> =
                hosts.iter().map(|host| Address::from(host.parse::<std::net::IpAddr>().unwrap())).collect();
            hosts.sort_unstable();
            scope.networks_without(&hosts).iter().map(ToString::to_string).collect()
        };
        assert_eq!(without(&[]), nets);
        assert_eq!(without(&["10.1.0.4", "10.2.255.255"]), ["2001:db8::/32", "10.1.0.5/32"]);
        assert_eq!(
            without(&["2001:db8:ffff::1"]),
            ["10.1.0.4/32", "10.2.0.0/16", "0.0.0.0/0", "10.1.0.5/32"]
        );
    }
}
