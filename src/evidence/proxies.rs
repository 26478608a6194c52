//! Finds the proxies through which the servers of a site reach their destinations.
//!
//! In:  an evidence folder.
//! Out: the proxies that the site file declares, and those that requests of each server went through.
//! Not: whether a destination has to be reached through a proxy.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::net::SocketAddr;

use serde_json::Value;

use crate::base::Address;
use crate::judge::FlowRow;
use crate::report::ReadError;
use crate::report::StoredEvidence;
use crate::report::StoredRow;
use crate::report::TableRow as _;

/// Pairs of server and proxy that are kept: a site has a few proxies.
const LIMIT: usize = 10_000;

/// A proxy, as a program is told to use it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ProxyServer {
    pub(super) address: SocketAddr,
    /// It speaks SOCKS, not HTTP.
    pub(super) is_socks: bool,
}

impl ProxyServer {
    /// The URL for curl. A SOCKS proxy resolves the name, as a proxy for HTTP does.
    pub(super) fn url(&self) -> String {
        format!("{}://{}", if self.is_socks { "socks5h" } else { "http" }, self.address)
    }

    /// Whether a firewall of the site is between the proxy and the internet.
    pub(super) fn is_inside(&self) -> bool {
        Address::from(self.address.ip()).is_private()
    }
}

/// The proxies of a site.
#[derive(Debug, Default)]
pub(super) struct SiteProxies {
    /// Those of the site file.
    pub(super) declared: Vec<ProxyServer>,
    /// Those that opened a tunnel, or answered a request, for a server.
    used: BTreeMap<IpAddr, BTreeSet<ProxyServer>>,
    pairs: usize,
}

impl SiteProxies {
    pub(super) fn read(evidence: &StoredEvidence) -> Result<SiteProxies, ReadError> {
        let declared = evidence.manifest().pointer("/site/proxies").and_then(Value::as_array);
        let declared = declared.into_iter().flatten().filter_map(|text| text.as_str()?.parse().ok());
        let mut proxies = SiteProxies {
            declared: declared.map(|address| ProxyServer { address, is_socks: false }).collect(),
            ..SiteProxies::default()
        };
        evidence.for_each_row(FlowRow::FILE, |row| proxies.add(row))?;
        Ok(proxies)
    }

    fn add(&mut self, row: &StoredRow<'_>) {
        if row.raw("requested_port").is_empty() || row.raw("outcome") != "ok" || self.pairs >= LIMIT {
            return;
        }
        let port = u16::try_from(row.number("server_port"));
        let (Ok(client), Ok(server), Ok(port)) =
            (row.raw("client_ip").parse(), row.raw("server_ip").parse(), port)
        else {
            return;
        };
        let is_socks = row.raw("http_method").is_empty();
        let proxy = ProxyServer { address: SocketAddr::new(server, port), is_socks };
        self.pairs += usize::from(self.used.entry(client).or_default().insert(proxy));
    }

    /// The proxy of a server: a declared one, else one that it used.
    pub(super) fn of(&self, server: Option<IpAddr>) -> Option<ProxyServer> {
        let used = || self.used.get(&server?)?.first().copied();
        self.declared.first().copied().or_else(used)
    }

    /// Servers that use a proxy that the site file does not declare, and the first such proxy of each.
    pub(super) fn undeclared(&self) -> impl Iterator<Item = (IpAddr, ProxyServer)> {
        let is_declared =
            |proxy: &ProxyServer| self.declared.iter().any(|declared| declared.address == proxy.address);
        self.used.iter().filter_map(move |(server, proxies)| {
            Some((*server, *proxies.iter().find(|proxy| !is_declared(proxy))?))
        })
    }
}
