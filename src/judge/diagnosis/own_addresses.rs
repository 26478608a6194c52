//! Addresses that were not audited and seem to belong to an audited server.
//!
//! In:  how each flow's first packet was sent; the addresses that DNS returned for names.
//! Out: such addresses, each with the server and the evidence.
//! Not: whether it is so: the site file says which hosts are audited.
//!
//! A host sends with its own adapter and with the TTL that its system begins with (32, 64, 128 or 255). A router sends packets of many
//! hosts with its adapter, and all but some firewalls count the TTL down. So an adapter shows that two addresses belong to one host only
//! where it sent no packet with another TTL, nor those of more addresses than a host has, and where no other adapter sent theirs.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::base::Address;
use crate::base::HostName;
use crate::base::LinkAddress;
use crate::flow::FlowStart;
use crate::judge::bounded_map::BoundedMap;
use crate::judge::policy::name_table::NameTable;

/// Hosts and adapters that are kept. Where there were more, nothing is said: it may rest on a part of them.
const MAX_ENTRIES: usize = 7 << 11;

/// IPv4 addresses of one host.
const MAX_IPV4: usize = 2;

/// IPv6 addresses of one host: a stable one, and temporary ones (RFC 8981).
const MAX_IPV6: usize = 5;

/// Adapters of one address that are kept: with two it is ambiguous already.
const MAX_ADAPTERS: usize = 2;

/// What shows that an address belongs to a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::judge) enum OwnAddressEvidence {
    /// Both send with this adapter.
    Adapter(LinkAddress),
    /// DNS returns both for this name.
    Name(Arc<HostName>),
}

/// As a clause.
impl std::fmt::Display for OwnAddressEvidence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            OwnAddressEvidence::Adapter(adapter) => write!(f, "both send with the MAC address {adapter}"),
            OwnAddressEvidence::Name(name) => write!(f, "DNS returns both for {name}"),
        }
    }
}

/// An address that was not audited and seems to belong to an audited server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::judge) struct OwnAddress {
    pub(in crate::judge) address: Address,
    pub(in crate::judge) server: Address,
    /// Flows that it opened.
    pub(in crate::judge) flows: u64,
    pub(in crate::judge) evidence: OwnAddressEvidence,
}

/// A host that opened flows.
#[derive(Debug)]
struct OpeningHost {
    flows: u64,
    /// Adapters that sent its packets, each with its VLANs.
    adapters: SmallVec<[(LinkAddress, Box<str>); 1]>,
}

/// The hosts that opened flows, and the adapters of routers.
#[derive(Debug)]
pub(in crate::judge) struct OwnAddresses {
    hosts: BoundedMap<Address, OpeningHost>,
    routers: BoundedMap<LinkAddress, ()>,
}

impl Default for OwnAddresses {
    fn default() -> OwnAddresses {
        OwnAddresses { hosts: BoundedMap::new(MAX_ENTRIES), routers: BoundedMap::new(MAX_ENTRIES) }
    }
}

impl OwnAddresses {
    /// A flow has started.
    pub(in crate::judge) fn add(&mut self, flow_start: &FlowStart) {
        let client = flow_start.client.address;
        if client.is_group() || flow_start.server.address.is_group() || client.is_link_local() {
            return;
        }
        let host = match self.hosts.get(&client) {
            Some(host) => host,
            None => {
                self.hosts.insert(client, OpeningHost { flows: 0, adapters: SmallVec::new() });
                let Some(host) = self.hosts.get(&client) else { return };
                host
            }
        };
        host.flows += 1;
        let Some(sent) = flow_start.sent else { return };
        if !matches!(sent.ttl, 32 | 64 | 128 | 255) {
            if self.routers.get(&sent.adapter).is_none() {
                self.routers.insert(sent.adapter, ());
            }
            return;
        }
        let is_known = host
            .adapters
            .iter()
            .any(|(adapter, vlan)| *adapter == sent.adapter && **vlan == *flow_start.vlan);
        if !is_known && host.adapters.len() < MAX_ADAPTERS {
            host.adapters.push((sent.adapter, flow_start.vlan.clone()));
        }
    }

    /// Addresses for which `is_audited` is false that seem to belong to one for which it is true, lowest first.
    pub(in crate::judge) fn found(
        &self,
        names: &NameTable,
        is_audited: impl Fn(Address) -> bool,
    ) -> Vec<OwnAddress> {
        if self.hosts.evictions + self.routers.evictions > 0 {
            return Vec::new();
        }
        let mut found: BTreeMap<Address, OwnAddress> = BTreeMap::new();
        let mut add = |address: Address, server: Address, evidence: OwnAddressEvidence| {
            let flows = self.hosts.peek(&address).map_or(0, |host| host.flows);
            if flows > 0 && !is_audited(address) {
                found.entry(address).or_insert(OwnAddress { address, server, flows, evidence });
            }
        };
        for (adapter, addresses) in self.by_adapter() {
            if self.routers.contains(&adapter) || !adapter.is_of_one_host() {
                continue;
            }
            let all: BTreeSet<Address> = addresses.keys().copied().collect();
            let Some(server) = one_server(&all, &is_audited) else { continue };
            for (address, vlans) in &addresses {
                if Some(vlans) == addresses.get(&server) {
                    add(*address, server, OwnAddressEvidence::Adapter(adapter));
                }
            }
        }
        for (name, addresses) in addresses_of_names(names) {
            let ipv4 = addresses.iter().filter(|address| address.is_v4()).count();
            if ipv4 == 1
                && let Some(server) = one_server(&addresses, &is_audited)
            {
                for address in &addresses {
                    add(*address, server, OwnAddressEvidence::Name(Arc::clone(&name)));
                }
            }
        }
        found.into_values().collect()
    }

    /// The addresses that each adapter sends for, with their VLANs. An address that several adapters send for is left out, and its
    /// adapters with it: one of them is a router's.
    fn by_adapter(&self) -> BTreeMap<LinkAddress, BTreeMap<Address, &str>> {
        let mut by_adapter: BTreeMap<LinkAddress, BTreeMap<Address, &str>> = BTreeMap::new();
        let mut ambiguous: BTreeSet<LinkAddress> = BTreeSet::new();
        for (address, host) in self.hosts.iter() {
            match &host.adapters[..] {
                [] => {}
                [(adapter, vlan)] => {
                    by_adapter.entry(*adapter).or_default().insert(*address, vlan);
                }
                several => ambiguous.extend(several.iter().map(|(adapter, _)| *adapter)),
            }
        }
        by_adapter.retain(|adapter, _| !ambiguous.contains(adapter));
        by_adapter
    }
}

/// The audited server among addresses that can be those of one host.
fn one_server(addresses: &BTreeSet<Address>, is_audited: impl Fn(Address) -> bool) -> Option<Address> {
    let (ipv4, ipv6): (Vec<Address>, Vec<Address>) = addresses.iter().partition(|address| address.is_v4());
    let audited: Vec<Address> = addresses.iter().copied().filter(|address| is_audited(*address)).collect();
    let is_one = ipv4.len() <= MAX_IPV4
        && ipv6.len() <= MAX_IPV6
        && audited.iter().filter(|address| address.is_v4()).count() <= 1;
    audited.first().copied().filter(|_| is_one)
}

/// The addresses that DNS returned for names that no document lists, to whichever client.
fn addresses_of_names(names: &NameTable) -> BTreeMap<Arc<HostName>, BTreeSet<Address>> {
    let mut by_name: BTreeMap<Arc<HostName>, BTreeSet<Address>> = BTreeMap::new();
    for (_, address, answer) in names.answers_by_address() {
        let known = answer.dns.known();
        if !known.is_documented() {
            by_name.entry(Arc::clone(known.name.shared())).or_default().insert(address);
        }
    }
    by_name
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::FrameRef;
    use crate::base::Time;
    use crate::base::proto;
    use crate::flow::Endpoint;
    use crate::flow::SentBy;
    use crate::judge::policy::Policy;
    use crate::judge::test_support;

    fn address(text: &str) -> Address {
        text.parse::<std::net::IpAddr>().unwrap().into()
    }

    /// What is found: servers are in 10.1.0.0/24; flows by client, last byte of the adapter, TTL and VLAN.
    fn found(flows: &[(&str, u32, u8, &str)], responses: &[(&str, &str)]) -> Vec<String> {
        let mut hosts = OwnAddresses::default();
        for (client, adapter, ttl, vlan) in flows {
            let end = |address, port| Endpoint { address, port };
            let (client, server) = (end(address(client), 50_000), end(address("20.60.0.4"), 443));
            let mut flow = test_support::flow_state(proto::TCP, client, server);
            let adapter = LinkAddress::from_parts(0x0015, 0x5d00_0000 | adapter);
            flow.flow_start.sent = adapter.filter(|_| *ttl > 0).map(|adapter| SentBy { adapter, ttl: *ttl });
            flow.flow_start.vlan = (*vlan).into();
            hosts.add(&flow.flow_start);
        }
        let policy = Policy::for_tests("");
        let mut names = NameTable::new(usize::MAX);
        for (name, returned) in responses {
            let response = test_support::resolution(name, Some(0), &[address(returned)]);
            names.add_response(address("10.9.9.9"), &response, (FrameRef::default(), Time(0)), &policy);
        }
        let is_audited = |host: Address| host.to_string().starts_with("10.1.0.");
        let found = hosts.found(&names, is_audited);
        found.iter().map(|own| format!("{} of {}: {}", own.address, own.server, own.evidence)).collect()
    }

    const V4: &str = "10.1.0.4";
    const V6: &str = "2001:db8::4";
    const NONE: [&str; 0] = [];

    #[test]
    fn an_adapter_that_sends_for_a_server_shows_its_other_addresses() {
        let by_adapter = "2001:db8::4 of 10.1.0.4: both send with the MAC address 00:15:5d:00:00:01";
        assert_eq!(found(&[(V4, 1, 128, ""), (V6, 1, 128, "")], &[]), [by_adapter]);
        assert_eq!(found(&[(V4, 1, 128, "7"), (V6, 1, 64, "7")], &[]), [by_adapter]);
        let second = "10.2.0.4 of 10.1.0.4: both send with the MAC address 00:15:5d:00:00:01";
        assert_eq!(found(&[(V4, 1, 128, ""), ("10.2.0.4", 1, 128, "")], &[]), [second]);
        assert_eq!(found(&[(V4, 1, 128, ""), (V6, 2, 128, "")], &[]), NONE, "another adapter");
        assert_eq!(found(&[(V4, 1, 128, "7"), (V6, 1, 128, "8")], &[]), NONE, "another segment");
        assert_eq!(found(&[(V4, 1, 128, ""), ("fe80::4", 1, 255, "")], &[]), NONE, "link-local");
    }

    #[test]
    fn an_adapter_of_a_router_shows_nothing() {
        assert_eq!(found(&[(V4, 1, 127, ""), (V6, 1, 127, "")], &[]), NONE, "TTL counted down");
        assert_eq!(found(&[(V4, 1, 128, ""), (V6, 1, 128, ""), ("10.3.0.1", 1, 63, "")], &[]), NONE);
        let clients = ["10.2.0.1", "10.2.0.2"].map(|client| (client, 1, 128, ""));
        let behind = [&[(V4, 1, 128, "")][..], &clients].concat();
        assert_eq!(found(&behind, &[]), NONE, "a firewall that keeps the TTL");
        let two_servers = [(V4, 1, 128, ""), ("10.1.0.5", 1, 128, ""), (V6, 1, 128, "")];
        assert_eq!(found(&two_servers, &[]), NONE, "it may be an address of either");
        // Before and after the firewall.
        let both_sides = [(V4, 2, 128, ""), (V4, 1, 128, ""), (V6, 1, 128, "")];
        assert_eq!(found(&both_sides, &[]), NONE);
    }

    #[test]
    fn a_name_with_both_addresses_shows_them() {
        let flows = [(V4, 0, 0, ""), (V6, 0, 0, "")];
        let name = "fs01.contoso.example";
        let by_name = "2001:db8::4 of 10.1.0.4: DNS returns both for fs01.contoso.example";
        assert_eq!(found(&flows, &[(name, V4), (name, V6)]), [by_name]);
        assert_eq!(found(&flows[..1], &[(name, V4), (name, V6)]), NONE, "it opened no flow");
        assert_eq!(
            found(&flows, &[(name, V4), (name, "10.2.0.4"), (name, V6)]),
            NONE,
            "a name of several hosts"
        );
        let documented = "westeurope01.afs.azure.net";
        assert_eq!(found(&flows, &[(documented, V4), (documented, V6)]), NONE);
    }
}
