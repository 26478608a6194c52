//! Which hosts that the site file declares occur in a capture.
//!
//! In:  both ends of each flow.
//! Out: roles, proxies, resolvers and private endpoints without a flow.
//! Not: the audited servers; see `scope`.

use ipnet::IpNet;

use super::network_set::NetworkSet;
use crate::base::Address;
use crate::flow::FlowStart;
use crate::rules::Site;

/// The role that also selects the audited hosts: `scope` knows which of them opened no flow.
const SERVERS: &str = "servers";

/// Hosts under one key of the site file that have no flow in the capture, as declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AbsentHosts {
    /// Section and key.
    pub key: String,
    /// Addresses, networks, or address and port of a proxy.
    pub hosts: Vec<String>,
}

/// The declared hosts that had a flow so far.
#[derive(Debug)]
pub(in crate::judge) struct DeclaredHosts {
    networks: NetworkSet,
    /// By segment of `networks`.
    seen: Vec<bool>,
    /// By proxy of the site file.
    seen_proxies: Vec<bool>,
}

impl DeclaredHosts {
    pub(in crate::judge) fn new(site: &Site) -> DeclaredHosts {
        let declared: Vec<IpNet> = declared_networks(site).into_iter().flat_map(|(_, nets)| nets).collect();
        let networks = NetworkSet::of(&declared);
        let seen = vec![false; networks.segments().len()];
        DeclaredHosts { networks, seen, seen_proxies: vec![false; site.proxies.len()] }
    }

    /// A flow has started.
    pub(in crate::judge) fn add(&mut self, flow_start: &FlowStart, site: &Site) {
        let ends = [flow_start.client, flow_start.server];
        if !self.networks.is_empty() {
            for end in ends {
                let segment = self.networks.segment(end.address);
                if let Some(seen) = segment.and_then(|segment| self.seen.get_mut(segment)) {
                    *seen = true;
                }
            }
        }
        for (proxy, seen) in site.proxies.iter().zip(&mut self.seen_proxies) {
            *seen |= ends.iter().any(|end| (end.address, end.port) == *proxy);
        }
    }

    /// The declared hosts without a flow.
    pub(in crate::judge) fn absent(&self, site: &Site) -> Vec<AbsentHosts> {
        let proxies = site.proxies.iter().zip(&self.seen_proxies).filter(|(_, seen)| !**seen);
        let proxies = proxies.map(|((address, port), _)| match address.is_v4() {
            true => format!("{address}:{port}"),
            false => format!("[{address}]:{port}"),
        });
        let networks = declared_networks(site).into_iter().map(|(key, nets)| {
            let absent = nets.iter().filter(|net| !self.is_seen(net));
            AbsentHosts { key, hosts: absent.map(host_text).collect() }
        });
        let proxies = AbsentHosts { key: "[proxy]".to_owned(), hosts: proxies.collect() };
        networks.chain([proxies]).filter(|absent| !absent.hosts.is_empty()).collect()
    }

    fn is_seen(&self, net: &IpNet) -> bool {
        let (first, last) = (Address::from(net.network()), Address::from(net.broadcast()));
        let starts = self.networks.segments();
        let range = starts.partition_point(|start| *start < first.0)
            ..starts.partition_point(|start| *start <= last.0);
        self.seen.get(range).is_some_and(|segments| segments.contains(&true))
    }
}

/// A network as the site file gives it: an address without a prefix length.
pub fn host_text(net: &IpNet) -> String {
    match net.prefix_len() == net.max_prefix_len() {
        true => net.addr().to_string(),
        false => net.to_string(),
    }
}

/// What the site file declares, by section and key, without the servers and the proxies.
fn declared_networks(site: &Site) -> Vec<(String, Vec<IpNet>)> {
    let roles = site.roles.iter().filter(|(role, _)| **role != SERVERS);
    let mut declared: Vec<(String, Vec<IpNet>)> =
        roles.map(|(role, nets)| (format!("[roles] {role}"), nets.clone())).collect();
    declared.push(("[private-endpoints]".to_owned(), site.private_endpoints.clone()));
    let resolvers = site.resolvers.iter().map(|address| IpNet::from(address.to_ip()));
    declared.push(("[dns]".to_owned(), resolvers.collect()));
    declared
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::policy::Policy;
    use crate::judge::test_support;

    const SITE: &str = r#"
        [private-endpoints]
        networks = ["10.1.2.0/24"]
        [roles]
        servers = ["10.9.0.0/16"]
        management-system = ["10.1.9.10"]
        cluster-servers = ["10.1.0.0/28", "10.1.0.4", "fd00::/64"]
        [proxy]
        addresses = ["10.0.0.8:8080", "10.0.0.8:3128"]
        [dns]
        resolvers = ["10.1.0.53"]
    "#;

    /// The hosts without a flow, after flows of TCP between such ends.
    fn check(flows: &[(&str, &str)], expected: &[&str]) {
        let site = Policy::for_tests(SITE).site;
        let mut declared = DeclaredHosts::new(&site);
        for (client, server) in flows {
            let [client, server] = [client, server].map(|end| {
                let end: std::net::SocketAddr = end.parse().unwrap();
                crate::flow::Endpoint { address: end.ip().into(), port: end.port() }
            });
            declared.add(&test_support::flow_state(6, client, server).flow_start, &site);
        }
        let absent: Vec<String> = declared
            .absent(&site)
            .iter()
            .map(|absent| format!("{} {}", absent.key, absent.hosts.join(" ")))
            .collect();
        assert_eq!(absent, expected);
    }

    #[test]
    fn declared_hosts_without_a_flow() {
        let nothing = [
            "[roles] cluster-servers 10.1.0.0/28 10.1.0.4 fd00::/64",
            "[roles] management-system 10.1.9.10",
            "[private-endpoints] 10.1.2.0/24",
            "[dns] 10.1.0.53",
            "[proxy] 10.0.0.8:8080 10.0.0.8:3128",
        ];
        check(&[], &nothing);
        // Neighbours, and another port of the proxy.
        check(&[("10.1.0.16:1", "10.1.3.0:443"), ("10.1.9.9:1", "10.0.0.8:443")], &nothing);
        // A host of a network is not the one that the same key gives by address.
        check(
            &[
                ("10.1.0.5:1", "10.1.9.10:443"),
                ("10.1.0.5:2", "10.0.0.8:3128"),
                ("[fd00::1]:1", "[fd01::1]:2"),
            ],
            &[
                "[roles] cluster-servers 10.1.0.4",
                "[private-endpoints] 10.1.2.0/24",
                "[dns] 10.1.0.53",
                "[proxy] 10.0.0.8:8080",
            ],
        );
        check(
            &[
                ("10.1.0.4:1", "10.1.9.10:443"),
                ("10.1.0.53:53", "10.1.2.255:443"),
                ("10.0.0.8:8080", "[fd00::1]:5"),
                ("10.1.0.4:1", "10.0.0.8:3128"),
            ],
            &[],
        );
    }
}
