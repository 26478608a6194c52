//! Derives the smallest rule set that the documented traffic of a site needs.
//!
//! In:  the required endpoints of an evidence folder and the documented rows that it cites; on request, the documented
//!      destinations of its flows.
//! Out: destinations to allow, with the servers that need them and the rows that say so.
//! Not: what was used and is not documented. Traffic inside of the site: name resolution, time, domain controllers.

mod addresses;
mod devices;
mod regions;
mod rows;
mod table;

use std::collections::BTreeSet;
use std::collections::HashMap;
use std::net::IpAddr;
use std::net::SocketAddr;

use ipnet::IpNet;

use super::proxies::ProxyServer;
use super::proxies::SiteProxies;
use crate::base::proto;
use crate::judge::FlowRow;
use crate::judge::RequirementRow;
use crate::report::CitedRow;
use crate::report::ReadError;
use crate::report::StoredEvidence;
use crate::report::StoredRow;
use crate::report::TableRow as _;
use crate::report::count;
use crate::rules::Pattern;
use crate::rules::Ports;
use crate::rules::RuleSet;
pub use addresses::TagPrefixes;
pub use devices::DeviceFormat;
pub use devices::render_rules;
pub use rows::AllowLevel;
pub use rows::AllowRow;
pub use rows::Observed;
pub use table::write_allowlist;

/// What stands in a pattern of the manifest for a placeholder without a value.
const PLACEHOLDER: &str = "**";

/// Rows of a rule set. No firewall takes more by hand.
const ROW_LIMIT: usize = 50_000;

/// Destinations of flows whose outcomes are kept.
const CONTACT_LIMIT: usize = 1 << 16;

/// What is asked for.
#[derive(Clone, Debug, Default)]
pub struct AllowOptions {
    /// Levels that are allowed; empty for required, install-time and recommended.
    pub levels: Vec<AllowLevel>,
    /// Networks in place of the servers.
    pub sources: Vec<IpNet>,
    /// Also allow documented destinations that the site does not need, if they were observed.
    pub with_observed: bool,
}

/// A rule set.
#[derive(Debug, Default)]
pub struct Allowlist {
    /// What to allow, in the order of the levels.
    pub rows: Vec<AllowRow>,
    /// What the rule set does not contain, one sentence each.
    pub left_out: Vec<String>,
    /// What has to be known about the sources, one sentence each.
    pub notes: Vec<String>,
    /// Proxies that connect for the servers.
    proxies: Vec<SocketAddr>,
    /// Destinations of all levels.
    destinations: BTreeSet<String>,
}

impl Allowlist {
    /// Derives the rule set of a run.
    pub fn new(evidence: &StoredEvidence, options: &AllowOptions) -> Result<Allowlist, ReadError> {
        let mut builder = Builder::default();
        let audited = evidence.manifest().get("tally").and_then(|tally| tally.get("audited"));
        let audited = audited.and_then(serde_json::Value::as_array).into_iter().flatten();
        let mut servers: BTreeSet<IpAddr> = audited.filter_map(|text| text.as_str()?.parse().ok()).collect();
        evidence.for_each_row(RequirementRow::FILE, |row| builder.add_requirement(row, evidence))?;
        evidence.for_each_row(FlowRow::FILE, |row| builder.add_flow(row, options.with_observed))?;
        servers.extend(builder.rows.iter().flat_map(|row| row.servers.iter().flatten().copied()));
        let mut list = builder.finish(&servers, options);
        if options.sources.is_empty() {
            list.set_proxies_as_sources(&SiteProxies::read(evidence)?);
        }
        Ok(list)
    }

    /// Where a proxy connects for the servers, rules for TCP are for the proxy: a rule for a server would only help what bypasses it.
    fn set_proxies_as_sources(&mut self, proxies: &SiteProxies) {
        let inside: Vec<&ProxyServer> = proxies.declared.iter().filter(|proxy| proxy.is_inside()).collect();
        let addresses = |proxies: &[&ProxyServer]| {
            let list: Vec<String> = proxies.iter().map(|proxy| proxy.address.to_string()).collect();
            list.join(", ")
        };
        self.proxies = proxies.declared.iter().map(|proxy| proxy.address).collect();
        if !inside.is_empty() {
            let sources: BTreeSet<IpNet> = inside.iter().map(|proxy| proxy.address.ip().into()).collect();
            for row in self.rows.iter_mut().filter(|row| row.protocol == "tcp") {
                row.sources = sources.iter().copied().collect();
            }
            self.notes.push(format!(
                "the site file declares the proxy {}: rules for TCP are for the proxy, and the servers need a rule to its port only; \
                 --source names other sources",
                addresses(&inside)
            ));
        }
        let outside: Vec<&ProxyServer> = proxies.declared.iter().filter(|proxy| !proxy.is_inside()).collect();
        if !outside.is_empty() {
            self.notes.push(format!(
                "the declared proxy {} has a public address: if it is outside of the firewall, the servers need a rule to it only, and \
                 the names are for the rules of the proxy",
                addresses(&outside)
            ));
        }
        if let Some((server, proxy)) = proxies.undeclared().next() {
            self.notes.push(format!(
                "{server} sends requests to the proxy {}, which the site file does not declare: declare it there if the \
                 servers are meant to use it; the rules are then for the proxy",
                proxy.address
            ));
        }
    }
}

impl Allowlist {
    /// Adds the service tags of other rows that document a destination, where its own rows have none: the rows for regional
    /// names have none, and the row for their wildcard has one. And the regions of destinations, where the documents tell them.
    pub fn add_service_tags(&mut self, rules: &RuleSet) {
        for row in self.rows.iter_mut().filter(|row| row.service_tags.is_empty() && !row.is_wildcard()) {
            // Most specific first: a row about another service may have a wider pattern.
            let tags_of = |id| {
                let row = &rules.reference(id).row;
                row.tags
                    .iter()
                    .map(|(tag, _)| tag)
                    .chain(&row.tags_of_service)
                    .map(ToString::to_string)
                    .collect()
            };
            let found = rules.match_host(&row.destination);
            let tags: Option<Vec<String>> =
                found.iter().map(|found| tags_of(found.id)).find(|tags: &Vec<String>| !tags.is_empty());
            row.service_tags = tags.unwrap_or_default();
        }
        regions::add(self, rules);
    }
}

/// A row that is being put together from the requirements of several servers.
struct Candidate {
    /// The servers; none for the site as a whole.
    servers: BTreeSet<Option<IpAddr>>,
    row: AllowRow,
}

#[derive(Default)]
struct Builder {
    rows: Vec<Candidate>,
    by_key: HashMap<(String, &'static str, u16, u16), usize>,
    /// Flows by name, transport and port.
    contacts: HashMap<(String, String, u64), Observed>,
    left_out: BTreeSet<String>,
    skipped_rows: u64,
}

impl Builder {
    fn add_requirement(&mut self, row: &StoredRow<'_>, evidence: &StoredEvidence) {
        let server = row.raw("server").parse().ok();
        for endpoint in documented_endpoints(row, evidence) {
            for name in &endpoint.unfilled {
                self.left_out.insert(format!("{name}: the site file does not give the name"));
            }
            if endpoint.hosts.is_empty() && endpoint.unfilled.is_empty() {
                self.left_out
                    .insert(format!("{} is a row without a name: {}", endpoint.id, endpoint.cited.table));
            }
            for host in &endpoint.hosts {
                let rule = AllowRow {
                    sources: Vec::new(),
                    destination: host.clone(),
                    protocol: "tcp",
                    first_port: 0,
                    last_port: 0,
                    level: level(row.raw("level")),
                    observed: Observed::NotObserved,
                    is_broad: endpoint.cited.broad && row.raw("name").is_empty(),
                    service: row.text("service").to_owned(),
                    references: vec![endpoint.id.clone()],
                    documents: vec![endpoint.cited.document.clone()],
                    service_tags: endpoint.cited.service_tags.clone(),
                    is_declared: !row.raw("name").is_empty(),
                    regions: BTreeSet::new(),
                };
                self.add_ports(&rule, &endpoint.cited.ports, server);
            }
        }
    }

    /// Notes the outcome of a flow; allows its destination if a document lists it, and nothing is wrong with the flow.
    fn add_flow(&mut self, row: &StoredRow<'_>, with_observed: bool) {
        let port = match row.raw("requested_port") {
            "" => row.number("server_port"),
            _ => row.number("requested_port"),
        };
        let name = row.text("name");
        let is_judged = !row.raw("destination_verdict").is_empty();
        let (Ok(client), true, false) = (row.raw("client_ip").parse(), is_judged, name.is_empty()) else {
            return;
        };
        let observed = match row.raw("outcome") {
            "ok" => Observed::Reached,
            "blocked-looking" => Observed::Blocked,
            _ => Observed::NotObserved,
        };
        let key = (name.to_owned(), row.raw("transport").to_owned(), port);
        if self.contacts.len() < CONTACT_LIMIT || self.contacts.contains_key(&key) {
            let known = self.contacts.entry(key).or_insert(observed);
            *known = observed.min(*known);
        }
        let is_documented =
            row.raw("destination_verdict") == "documented" && row.raw("port_verdict") != "not-443";
        let is_good = observed == Observed::Reached && row.raw("findings").is_empty();
        let references: Vec<String> = row.list("references").iter().map(|id| id_of(id).to_owned()).collect();
        let has_own_name = row.raw("name_source") != "service-tag";
        if !(with_observed && is_documented && is_good && has_own_name) || references.is_empty() {
            return;
        }
        let transport = row.raw("transport");
        let is_covered = self.rows.iter().map(|candidate| &candidate.row).any(|rule| {
            rule.protocol == transport
                && rule.destination != name
                && (u64::from(rule.first_port)..=u64::from(rule.last_port)).contains(&port)
                && Pattern::parse(&rule.destination).is_ok_and(|pattern| pattern.matches(name))
        });
        if is_covered {
            return;
        }
        let rule = AllowRow {
            sources: Vec::new(),
            destination: name.to_owned(),
            protocol: "tcp",
            first_port: 0,
            last_port: 0,
            level: AllowLevel::Optional,
            observed,
            is_broad: false,
            service: "documented, and used".to_owned(),
            references: references.into_iter().take(1).collect(),
            documents: row.list("documents").into_iter().take(1).collect(),
            service_tags: Vec::new(),
            is_declared: false,
            regions: BTreeSet::new(),
        };
        self.add_ports(&rule, &format!("{port}/{transport}"), Some(client));
    }

    /// What the capture shows of a destination on its ports.
    fn observed(&self, row: &AllowRow) -> Observed {
        let pattern = Pattern::parse(&row.destination).ok();
        let is_of_row = |(name, transport, port): &(String, String, u64)| {
            transport == row.protocol
                && (u64::from(row.first_port)..=u64::from(row.last_port)).contains(port)
                && pattern.as_ref().is_some_and(|pattern| pattern.matches(name))
        };
        let found = self.contacts.iter().filter(|(contact, _)| is_of_row(contact));
        found.map(|(_, observed)| *observed).min().unwrap_or(Observed::NotObserved)
    }

    /// Adds a rule for each range of ports, or adds what it says to the one that is there.
    fn add_ports(&mut self, rule: &AllowRow, ports: &str, server: Option<IpAddr>) {
        let Some(destination) = checked_destination(&rule.destination) else {
            self.left_out.insert(format!("not a host name or pattern: {}", printable(&rule.destination)));
            return;
        };
        let ranges = Ports::parse(ports).unwrap_or_default();
        if ranges.is_empty() {
            self.left_out.insert(format!("{destination}: the documents give no port"));
        }
        for range in ranges.ranges() {
            let protocol = match range.protocol {
                proto::TCP => "tcp",
                proto::UDP => "udp",
                _ => {
                    self.left_out.insert(format!("{destination}: ICMP"));
                    continue;
                }
            };
            let key = (destination.clone(), protocol, range.from, range.to);
            let at = *self.by_key.entry(key).or_insert(self.rows.len());
            if at >= ROW_LIMIT {
                self.skipped_rows += 1;
                continue;
            }
            let Some(known) = self.rows.get_mut(at) else {
                let row = AllowRow {
                    destination: destination.clone(),
                    protocol,
                    first_port: range.from,
                    last_port: range.to,
                    ..rule.clone()
                };
                self.rows.push(Candidate { servers: [server].into(), row });
                continue;
            };
            known.servers.insert(server);
            let row = &mut known.row;
            row.level = row.level.min(rule.level);
            add_missing(&mut row.references, &rule.references);
            add_missing(&mut row.documents, &rule.documents);
            add_missing(&mut row.service_tags, &rule.service_tags);
        }
    }

    fn finish(mut self, servers: &BTreeSet<IpAddr>, options: &AllowOptions) -> Allowlist {
        const USUAL: [AllowLevel; 3] =
            [AllowLevel::Required, AllowLevel::InstallTime, AllowLevel::Recommended];
        let mut levels = if options.levels.is_empty() { USUAL.to_vec() } else { options.levels.clone() };
        levels.extend(options.with_observed.then_some(AllowLevel::Optional));
        let observed: Vec<Observed> =
            self.rows.iter().map(|candidate| self.observed(&candidate.row)).collect();
        for (candidate, observed) in self.rows.iter_mut().zip(observed) {
            candidate.row.observed = observed;
        }
        let destinations = self.rows.iter().map(|candidate| candidate.row.destination.clone()).collect();
        let (kept, others): (Vec<Candidate>, Vec<Candidate>) =
            self.rows.into_iter().partition(|candidate| levels.contains(&candidate.row.level));
        let mut left_out: Vec<String> = self.left_out.into_iter().collect();
        if !others.is_empty() {
            left_out
                .push(format!("{} of other levels; see --level", count(others.len() as u64, "destination")));
        }
        if self.skipped_rows > 0 {
            left_out.push(format!("{} rows: there are more than {ROW_LIMIT}", self.skipped_rows));
        }
        let mut rows: Vec<AllowRow> = kept
            .into_iter()
            .map(|Candidate { servers: needed_by, mut row }| {
                row.sources = match options.sources.is_empty() {
                    false => options.sources.clone(),
                    true if needed_by.contains(&None) => servers.iter().copied().map(IpNet::from).collect(),
                    true => needed_by.into_iter().flatten().map(IpNet::from).collect(),
                };
                row
            })
            .collect();
        rows.sort_by_key(|row| row.level);
        Allowlist { rows, left_out, destinations, ..Allowlist::default() }
    }
}

/// A documented row of a requirement.
pub(super) struct DocumentedEndpoint {
    /// The id of the row.
    pub(super) id: String,
    /// Its names and patterns, or the name of the site file.
    pub(super) hosts: Vec<String>,
    /// Names with a placeholder that the site file does not fill, with `NAME` in its place.
    pub(super) unfilled: Vec<String>,
    /// The row.
    pub(super) cited: CitedRow,
}

/// The documented rows of a requirement. A name of older installations is needed only where the documents give no other one.
pub(super) fn documented_endpoints(
    row: &StoredRow<'_>,
    evidence: &StoredEvidence,
) -> Vec<DocumentedEndpoint> {
    let declared = row.text("name");
    let endpoint = |id: &String| {
        let cited = evidence.cited(id)?;
        let hosts = if declared.is_empty() { cited.hosts.clone() } else { vec![declared.to_owned()] };
        // Any label matches a placeholder without a value: a rule would open the names of all customers.
        let (unfilled, hosts): (Vec<String>, Vec<String>) =
            hosts.into_iter().partition(|host| host.contains(PLACEHOLDER));
        let unfilled = unfilled.iter().map(|host| host.replace(PLACEHOLDER, "NAME")).collect();
        Some(DocumentedEndpoint { id: id_of(id).to_owned(), hosts, unfilled, cited })
    };
    let mut endpoints: Vec<DocumentedEndpoint> = row.list("references").iter().filter_map(endpoint).collect();
    let is_legacy = |endpoint: &DocumentedEndpoint| endpoint.cited.level == AllowLevel::Legacy.as_str();
    if !endpoints.iter().all(is_legacy) {
        endpoints.retain(|endpoint| !is_legacy(endpoint));
    }
    endpoints
}

/// The id of a reference without the remark that follows it.
fn id_of(reference: &str) -> &str {
    reference.split_whitespace().next().unwrap_or_default()
}

pub(super) fn level(word: &str) -> AllowLevel {
    AllowLevel::ALL.iter().copied().find(|level| level.as_str() == word).unwrap_or(AllowLevel::Optional)
}

fn add_missing(list: &mut Vec<String>, more: &[String]) {
    for text in more {
        if !list.contains(text) {
            list.push(text.clone());
        }
    }
}

/// The name or pattern of a destination, if it is nothing else: it becomes a part of commands.
pub(super) fn checked_destination(text: &str) -> Option<String> {
    let pattern = Pattern::parse(text).ok()?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"*-._".contains(&byte);
    pattern.text.bytes().all(is_plain).then(|| pattern.text.to_string())
}

/// Text that can be put into the comment of any configuration.
fn printable(text: &str) -> String {
    let plain = |c: char| match c {
        c if c.is_ascii_alphanumeric() || " .,:;@/()*-_+=".contains(c) => c,
        _ => '_',
    };
    text.chars().take(200).map(plain).collect()
}

#[cfg(test)]
mod tests;
