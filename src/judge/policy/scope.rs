//! Which hosts are audited.
//!
//! In:  the networks given with `--server`, or none.
//! Out: whether a client is audited.
//! Not: roles, which the site file declares.

use ipnet::IpNet;

use super::network_set::NetworkSet;
use crate::base::Address;

/// The audited hosts.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// Empty for every private address.
    servers: NetworkSet,
}

impl Scope {
    /// The hosts in these networks; without one, every private address.
    pub fn of(servers: &[IpNet]) -> Scope {
        Scope { servers: NetworkSet::of(servers) }
    }

    /// Whether no network was given.
    pub(in crate::judge) fn is_open(&self) -> bool {
        self.servers.is_empty()
    }

    /// Whether flows that `client` opens are judged.
    pub fn audits(&self, client: Address) -> bool {
        if self.is_open() { client.is_private() } else { self.servers.contains(client) }
    }
}
