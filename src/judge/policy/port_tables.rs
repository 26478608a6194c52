//! The documented ports between roles inside the site.
//!
//! In:  the port tables of the documents, the roles of the site file.
//! Out: what the tables say of a conversation between two roles.
//! Not: conversations with hosts outside the declared roles.

use std::sync::Arc;

use hashbrown::HashMap;

use super::network_set::NetworkSet;
use super::references::quote;
use crate::base::Address;
use crate::base::proto;
use crate::judge::rows::Documented;
use crate::rules::ROLES;
use crate::rules::ReferenceId;
use crate::rules::RuleSet;
use crate::rules::Site;
use crate::rules::TableKind;

/// The roles of a host, as bits in the order of [`ROLES`].
pub(in crate::judge) type RoleBits = u16;

/// The port tables, and which host has which role.
#[derive(Debug)]
pub(in crate::judge) struct PortTables {
    roles: NetworkSet,
    /// The roles that any host has.
    declared: RoleBits,
    /// Rows by the role of the client and that of the server.
    rows: [[Vec<ReferenceId>; ROLES.len()]; ROLES.len()],
    /// The rows, ready to print.
    quoted: HashMap<ReferenceId, Arc<Documented>, foldhash::fast::RandomState>,
    /// The same, marked as resting on a role that the site file does not declare.
    quoted_undeclared: HashMap<ReferenceId, Arc<Documented>, foldhash::fast::RandomState>,
}

/// What the port tables say of a conversation inside the site.
#[derive(Clone, Copy, Debug)]
pub(in crate::judge) enum RolePort<'a> {
    /// A row has the port.
    Documented(ReferenceId, &'a Arc<Documented>),
    /// A row has it, in the opposite direction only.
    OppositeDirection,
    /// No row has it.
    Undocumented,
}

impl PortTables {
    pub(super) fn new(rules: &RuleSet, site: &Site) -> PortTables {
        let index_of = |role: &str| ROLES.iter().position(|known| *known == role);
        let bit = |role: &str| index_of(role).map_or(0, |index| 1 << index);
        let networks = site.roles.iter().flat_map(|(role, nets)| nets.iter().map(|net| (*net, bit(role))));
        let mut tables = PortTables {
            roles: NetworkSet::with_bits(networks),
            declared: site.roles.keys().fold(0, |bits, role| bits | bit(role)),
            rows: <_>::default(),
            quoted: <_>::default(),
            quoted_undeclared: <_>::default(),
        };
        for (id, row) in rules.of_kind(TableKind::Port) {
            let quoted = quote(rules, [id]);
            let references = format!("{} (undeclared role)", quoted.references);
            tables.quoted_undeclared.insert(id, Arc::new(Documented { references, ..quoted.clone() }));
            tables.quoted.insert(id, Arc::new(quoted));
            let ends = [&row.source, &row.destination].map(|role| role.as_deref().and_then(index_of));
            let [Some(client), Some(server)] = ends else { continue };
            let mut add = |client: usize, server: usize| {
                if let Some(ids) = tables.rows.get_mut(client).and_then(|rows| rows.get_mut(server)) {
                    ids.push(id);
                }
            };
            add(client, server);
            if row.bidirectional && client != server {
                add(server, client);
            }
        }
        tables
    }

    /// The roles of a host.
    pub(in crate::judge) fn roles(&self, address: Address) -> RoleBits {
        if self.roles.is_empty() { 0 } else { self.roles.bits(address) }
    }

    /// Every row for a pair of roles that two hosts have, in either direction.
    pub(in crate::judge) fn rows_between(&self, one: RoleBits, other: RoleBits) -> Vec<ReferenceId> {
        let has = |roles: RoleBits, index: usize| roles & (1 << index) != 0;
        let mut found = Vec::new();
        for (from, row) in self.rows.iter().enumerate() {
            for (to, ids) in row.iter().enumerate() {
                if (has(one, from) && has(other, to)) || (has(other, from) && has(one, to)) {
                    found.extend_from_slice(ids);
                }
            }
        }
        found
    }

    /// What the tables say of a conversation between two sets of roles; none where they have nothing about any pair. A port that they
    /// open to a role is documented between members of that role too: cluster servers manage each other.
    pub(in crate::judge) fn find(
        &self,
        [client, server]: [RoleBits; 2],
        protocol: u8,
        port: u16,
        rules: &RuleSet,
    ) -> Option<RolePort<'_>> {
        let mut has_rows = false;
        let mut best: Option<(u16, ReferenceId)> = None;
        let mut is_opposite = false;
        let mut within_role: Option<(u16, ReferenceId)> = None;
        for (from, row) in self.rows.iter().enumerate() {
            for (to, ids) in row.iter().enumerate().filter(|(_, ids)| !ids.is_empty()) {
                let (from, to) = (1 << from, 1 << to);
                let forward = client & from != 0 && server & to != 0;
                let backward = server & from != 0 && client & to != 0;
                let same_role = client & server & to != 0;
                if !forward && !backward && !same_role {
                    continue;
                }
                has_rows |= forward || backward;
                for id in ids {
                    let Some(width) = rules.reference(*id).effective_ports().narrowest(protocol, port) else {
                        continue;
                    };
                    if forward && best.is_none_or(|found| (width, *id) < found) {
                        best = Some((width, *id));
                    }
                    is_opposite |= backward;
                    if same_role && within_role.is_none_or(|found| (width, *id) < found) {
                        within_role = Some((width, *id));
                    }
                }
            }
        }
        match best.or(within_role) {
            Some((_, id)) => self.quoted.get(&id).map(|quoted| RolePort::Documented(id, quoted)),
            None if !has_rows => None,
            None if is_opposite => Some(RolePort::OppositeDirection),
            None => Some(RolePort::Undocumented),
        }
    }
}

impl PortTables {
    /// The narrowest row for a conversation of which one host has no role (0): the row that gives the port to a role that no host
    /// has, with that role. A range does not show a role.
    pub(in crate::judge) fn find_undeclared(
        &self,
        [client, server]: [RoleBits; 2],
        protocol: u8,
        port: u16,
        rules: &RuleSet,
    ) -> Option<(ReferenceId, &Arc<Documented>, &'static str)> {
        if !matches!(protocol, proto::TCP | proto::UDP) || (client == 0) == (server == 0) {
            return None;
        }
        let mut best: Option<(ReferenceId, &'static str)> = None;
        for (from, row) in self.rows.iter().enumerate() {
            for (to, ids) in row.iter().enumerate() {
                let (from_bit, to_bit) = (1 << from, 1 << to);
                let undeclared = if client & from_bit != 0 && server == 0 && self.declared & to_bit == 0 {
                    to
                } else if server & to_bit != 0 && client == 0 && self.declared & from_bit == 0 {
                    from
                } else {
                    continue;
                };
                let is_exact = |id: &&ReferenceId| {
                    rules.reference(**id).effective_ports().narrowest(protocol, port) == Some(0)
                };
                for id in ids.iter().filter(is_exact) {
                    if best.is_none_or(|(known, _)| *id < known) {
                        best = ROLES.get(undeclared).map(|role| (*id, *role));
                    }
                }
            }
        }
        let (id, role) = best?;
        Some((id, self.quoted_undeclared.get(&id)?, role))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::policy::Policy;

    #[test]
    fn ports_are_documented_by_role_and_direction() {
        let policy = Policy::for_tests(
            "[site]\nproducts = [\"azure-stack-hci\"]\n[roles]\nservers = [\"10.0.0.0/24\"]\n\
             windows-admin-center = [\"10.0.9.9\"]\n",
        );
        let tables = &policy.port_tables;
        let role = |text: &str| tables.roles(text.parse::<std::net::IpAddr>().unwrap().into());
        let (center, server) = (role("10.0.9.9"), role("10.0.0.4"));
        assert_eq!(role("10.0.8.8"), 0);
        let find =
            |client, server, protocol, port| tables.find([client, server], protocol, port, &policy.rules);
        assert!(matches!(find(center, server, proto::TCP, 5985), Some(RolePort::Documented(..))));
        assert!(matches!(find(server, center, proto::TCP, 5985), Some(RolePort::OppositeDirection)));
        assert!(matches!(find(center, server, proto::TCP, 3389), Some(RolePort::Undocumented)));
        assert!(matches!(find(center, server, proto::UDP, 5985), Some(RolePort::Undocumented)));
        assert!(find(server, server, proto::TCP, 3389).is_none(), "no table has this pair");
        assert!(matches!(find(server, server, proto::TCP, 5985), Some(RolePort::Documented(..))));
    }

    #[test]
    fn a_role_that_no_host_has_may_be_that_of_a_host_without_one() {
        let undeclared = |site: &str, server_has_role: bool, port| {
            let policy = Policy::for_tests(&format!(
                "[site]\nproducts = [\"azure-stack-hci\"]\n[roles]\nservers = [\"10.0.0.0/24\"]\n\
                 cluster-servers = [\"10.0.0.0/24\"]\n{site}"
            ));
            let role = policy.port_tables.roles(Address::v4([10, 0, 0, 4]));
            let ends = if server_has_role { [0, role] } else { [role, 0] };
            let found = policy.port_tables.find_undeclared(ends, proto::TCP, port, &policy.rules);
            found.map(|(_, documented, role)| {
                assert!(documented.references.ends_with(" (undeclared role)"), "{}", documented.references);
                role
            })
        };
        assert_eq!(undeclared("", true, 40_343), Some("aks-clusters"));
        assert_eq!(undeclared("", false, 22), Some("aks-clusters"));
        assert_eq!(undeclared("aks-clusters = [\"10.5.0.0/24\"]", true, 40_343), None, "another host has it");
        assert_eq!(undeclared("", true, 50_000), None, "a range does not show a role");
    }
}
