//! Whose flows are judged.
//!
//! In:  the networks that the user named, or none.
//! Out: whether a client is audited.
//! Not: roles, which the site file declares.

use ipnet::IpNet;

use crate::base::Address;
use crate::judge::policy::NetworkSet;

/// Which hosts are audited.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// None for every private client.
    servers: NetworkSet,
}

impl Scope {
    /// The hosts in these networks; without one, every private address.
    pub fn of(servers: &[IpNet]) -> Scope {
        Scope { servers: NetworkSet::of(servers) }
    }

    /// Nobody said whose flows are judged.
    pub(in crate::judge) fn is_open(&self) -> bool {
        self.servers.is_empty()
    }

    /// Whether flows that `client` opens are judged.
    pub fn audits(&self, client: Address) -> bool {
        if self.is_open() { client.is_private() } else { self.servers.hold(client) }
    }
}
