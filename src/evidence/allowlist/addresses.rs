//! Rules for devices that know addresses only: the prefixes of service tags.
//!
//! In:  rules, a service tag file.
//! Out: nftables and `New-NetFirewallRule`, with the number of addresses that each rule opens.
//! Not: addresses from the capture: those of a name change, and other names have them too.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use ipnet::IpNet;
use serde::Deserialize;

use super::devices::Rule;
use super::rows::AllowRow;
use super::rows::source_text;
use crate::report::grouped;
use crate::rules::RuleFileError;
use crate::rules::Tags;

/// Addresses in one `New-NetFirewallRule`.
const ADDRESSES_PER_RULE: usize = 1000;

/// The prefixes of service tags.
#[derive(Debug)]
pub struct TagPrefixes {
    /// Name of the file.
    file: String,
    /// Date in its name; empty if there is none.
    date: String,
    /// Tags by their names, in lower case.
    by_name: HashMap<String, TagEntry>,
}

#[derive(Debug)]
struct TagEntry {
    /// As written.
    name: String,
    prefixes: Vec<IpNet>,
}

#[derive(Deserialize)]
struct TagFile {
    values: Vec<TagValue>,
}

#[derive(Deserialize)]
struct TagValue {
    name: String,
    properties: TagProperties,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TagProperties {
    address_prefixes: Vec<String>,
}

impl TagPrefixes {
    /// Reads a service tag file.
    pub fn load(path: &Path) -> Result<TagPrefixes, RuleFileError> {
        let failed = |message: String| RuleFileError {
            what: "service tags",
            file: path.display().to_string(),
            line: 0,
            message,
        };
        let bytes = std::fs::read(path).map_err(|error| failed(crate::report::reason(&error)))?;
        let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
        // Checks the file, and finds its date.
        let tags = Tags::parse(&name, &bytes)?;
        let file: TagFile = serde_json::from_slice(&bytes).map_err(|error| failed(error.to_string()))?;
        let prefixes = |value: &TagValue| -> Vec<IpNet> {
            IpNet::aggregate(
                &value.properties.address_prefixes.iter().filter_map(|text| text.parse().ok()).collect(),
            )
        };
        let entry = |value: &TagValue| TagEntry { name: value.name.clone(), prefixes: prefixes(value) };
        let by_name =
            file.values.iter().map(|value| (value.name.to_ascii_lowercase(), entry(value))).collect();
        Ok(TagPrefixes { file: tags.file.to_string(), date: tags.date.to_string(), by_name })
    }

    /// The tags of a destination: those of its regions if the file has one for each region, otherwise those of the service as a whole.
    fn of_row(&self, row: &AllowRow) -> Vec<&TagEntry> {
        let find = |name: &str| self.by_name.get(&name.to_ascii_lowercase());
        let of_regions = |tag: &String| -> Option<Vec<&TagEntry>> {
            let regional = row.regions.iter().map(|region| find(&format!("{tag}.{region}"))).collect();
            if row.regions.is_empty() { None } else { regional }
        };
        let of_tag = |tag| of_regions(tag).unwrap_or_else(|| find(tag).into_iter().collect());
        row.service_tags.iter().flat_map(of_tag).collect()
    }

    /// `ServiceTags_Public_20260105.json of 2026-01-05`.
    fn source(&self) -> String {
        let file = super::printable(&self.file);
        if self.date.is_empty() { file } else { format!("{file} of {}", super::printable(&self.date)) }
    }
}

/// A rule by addresses.
struct AddressRule<'a> {
    rule: &'a Rule<'a>,
    /// The tags, sorted.
    tags: Vec<String>,
    prefixes: Vec<IpNet>,
}

impl AddressRule<'_> {
    /// `1,024 IPv4 addresses and 3 IPv6 prefixes`.
    fn opens(&self) -> String {
        let v4: u64 = self
            .prefixes
            .iter()
            .filter(|prefix| matches!(prefix, IpNet::V4(_)))
            .map(|prefix| 1u64 << (prefix.max_prefix_len() - prefix.prefix_len()))
            .sum();
        let v6 = self.prefixes.iter().filter(|prefix| matches!(prefix, IpNet::V6(_))).count();
        let (addresses, prefixes) =
            (if v4 == 1 { "address" } else { "addresses" }, if v6 == 1 { "prefix" } else { "prefixes" });
        format!("{} IPv4 {addresses} and {v6} IPv6 {prefixes}", grouped(v4))
    }

    /// The prefixes of the IP version of `source`.
    fn prefixes_for(&self, is_v4: bool) -> Vec<&IpNet> {
        self.prefixes.iter().filter(|prefix| matches!(prefix, IpNet::V4(_)) == is_v4).collect()
    }
}

/// Rules by the addresses of their service tags, and destinations without one.
fn address_rules<'a>(
    rules: &'a [Rule<'a>],
    tags: Option<&TagPrefixes>,
) -> (Vec<AddressRule<'a>>, Vec<String>) {
    let mut found = Vec::new();
    let mut left_out: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for rule in rules {
        let mut names = BTreeSet::new();
        let mut prefixes = Vec::new();
        for row in &rule.rows {
            let known = tags.map(|tags| tags.of_row(row)).unwrap_or_default();
            if known.is_empty() {
                let why = match row.service_tags.is_empty() {
                    true => "no document gives a service tag".to_owned(),
                    false => format!(
                        "{} is not in the service tag file",
                        super::printable(&row.service_tags.join(", "))
                    ),
                };
                let names = left_out.entry(why).or_default();
                if !names.contains(&row.destination.as_str()) {
                    names.push(&row.destination);
                }
                continue;
            }
            for tag in known {
                if names.insert(super::printable(&tag.name)) {
                    prefixes.extend(&tag.prefixes);
                }
            }
        }
        if !names.is_empty() {
            let prefixes = IpNet::aggregate(&prefixes);
            found.push(AddressRule { rule, tags: names.into_iter().collect(), prefixes });
        }
    }
    let left_out = left_out.into_iter().map(|(why, names)| format!("{why}: {}", names.join(", "))).collect();
    (found, left_out)
}

/// What every rule set by addresses says at its top.
fn header(tags: Option<&TagPrefixes>) -> String {
    let source = tags.map(TagPrefixes::source).unwrap_or_default();
    format!(
        "# Written by afs-audit. Addresses of {source}; the file changes every week.\n\
         # A service tag has the addresses of many customers: rules by name open less.\n"
    )
}

/// A table with one chain that accepts, and that no hook calls: loading it changes nothing until another chain jumps to it.
pub(super) fn nftables(rules: &[Rule<'_>], tags: Option<&TagPrefixes>) -> (String, Vec<String>) {
    let (rules, left_out) = address_rules(rules, tags);
    let mut out = header(tags);
    out.push_str("# Use it from the chain that filters the servers: `jump azure_endpoints` in a chain of this table.\n");
    // Replaces an earlier version in the same transaction.
    out.push_str("table inet afs_audit\ndelete table inet afs_audit\ntable inet afs_audit {\n");
    let mut chain = String::new();
    for (number, rule) in rules.iter().enumerate() {
        let number = number + 1;
        let opens = rule.opens();
        // Writing into a String cannot fail.
        let _ = writeln!(chain, "        # {}: {}; opens {opens}", rule.rule.why(), rule.tags.join(", "));
        for (is_v4, version, kind) in [(true, "ip", "ipv4_addr"), (false, "ip6", "ipv6_addr")] {
            let sources: Vec<String> = rule
                .rule
                .sources
                .iter()
                .filter(|source| matches!(source, IpNet::V4(_)) == is_v4)
                .map(source_text)
                .collect();
            let prefixes: Vec<String> =
                rule.prefixes_for(is_v4).iter().map(|prefix| prefix.to_string()).collect();
            if prefixes.is_empty() || (sources.is_empty() && !rule.rule.sources.is_empty()) {
                continue;
            }
            let set = format!("destinations_{number}_{version}");
            let _ = writeln!(
                out,
                "    set {set} {{\n        type {kind}\n        flags interval\n        elements = {{ {} }}\n    }}",
                prefixes.join(",\n                     ")
            );
            let from = match sources.is_empty() {
                true => String::new(),
                false => format!("{version} saddr {{ {} }} ", sources.join(", ")),
            };
            let _ = writeln!(
                chain,
                "        {from}{version} daddr @{set} {} dport {} accept comment \"{}\"",
                rule.rule.protocol, rule.rule.ports, rule.rule.name
            );
        }
    }
    let _ = writeln!(out, "    chain azure_endpoints {{\n{chain}    }}\n}}");
    (out, left_out)
}

/// Rules of the firewall of the servers themselves, which connect to the `proxies` for TCP, if there are any.
pub(super) fn powershell(
    rules: &[Rule<'_>],
    tags: Option<&TagPrefixes>,
    proxies: &[SocketAddr],
) -> (String, Vec<String>) {
    let (rules, left_out) = address_rules(rules, tags);
    let mut out = header(tags);
    out.push_str("# Run it on each server. It matters only where outbound traffic is blocked by default.\n");
    for (number, proxy) in proxies.iter().enumerate() {
        let _ = writeln!(
            out,
            "\n# The declared proxy, which connects for the servers\n\
             New-NetFirewallRule -DisplayName 'afs-audit-proxy-{}' -Group 'afs-audit' -Direction Outbound -Action Allow \
             -Protocol TCP -RemotePort '{}' -RemoteAddress @('{}')",
            number + 1,
            proxy.port(),
            proxy.ip(),
        );
    }
    for rule in &rules {
        let _ = writeln!(out, "\n# {}; opens {}", rule.tags.join(", "), rule.opens());
        let chunks: Vec<&[IpNet]> = rule.prefixes.chunks(ADDRESSES_PER_RULE).collect();
        for (number, prefixes) in chunks.iter().enumerate() {
            let part = if chunks.len() > 1 { format!("-part-{}", number + 1) } else { String::new() };
            let addresses: Vec<String> = prefixes.iter().map(|prefix| format!("'{prefix}'")).collect();
            let _ = writeln!(
                out,
                "New-NetFirewallRule -DisplayName '{}{part}' -Group 'afs-audit' -Description '{}' -Direction Outbound \
                 -Action Allow -Protocol {} -RemotePort '{}' -RemoteAddress @({})",
                rule.rule.name,
                rule.rule.why(),
                rule.rule.protocol.to_ascii_uppercase(),
                rule.rule.ports,
                addresses.join(", "),
            );
        }
    }
    (out, left_out)
}
