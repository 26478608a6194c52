//! Writes a rule set in the configuration of a firewall.
//!
//! In:  a rule set; for devices without rules for names, the address prefixes of service tags.
//! Out: text that the device reads, and what it cannot express.
//! Not: more than was asked for: what a device cannot express is left out, never widened.

use std::fmt::Write as _;

use ipnet::IpNet;
use serde_json::Value;
use serde_json::json;

use super::AllowRow;
use super::Allowlist;
use super::addresses;
use super::addresses::TagPrefixes;
use super::printable;
use super::rows::AllowLevel;
use super::rows::source_text;
use crate::report::count;

/// The configuration of a firewall.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceFormat {
    /// A rule collection group of an Azure Firewall policy, as a resource of an ARM template.
    AzureFirewall,
    /// Commands of FortiOS.
    FortiGate,
    /// Set commands of PAN-OS.
    PaloAlto,
    /// nftables; addresses only.
    Nftables,
    /// `New-NetFirewallRule`; addresses only.
    PowerShell,
}

/// Destinations that one rule allows.
pub(super) struct Rule<'a> {
    pub(super) name: String,
    pub(super) level: AllowLevel,
    pub(super) sources: &'a [IpNet],
    pub(super) protocol: &'static str,
    pub(super) ports: String,
    pub(super) rows: Vec<&'a AllowRow>,
}

impl Rule<'_> {
    /// Why the rule is there: its documents.
    pub(super) fn why(&self) -> String {
        let mut documents: Vec<&str> =
            self.rows.iter().flat_map(|row| &row.documents).map(String::as_str).collect();
        documents.sort_unstable();
        documents.dedup();
        printable(&format!("{}: {}", self.level, documents.join(", ")))
    }
}

/// Rows with the same level, sources, protocol and ports are one rule.
pub(super) fn rules(list: &Allowlist) -> Vec<Rule<'_>> {
    let mut rules: Vec<Rule<'_>> = Vec::new();
    for row in &list.rows {
        let ports = row.ports();
        let same = |rule: &&mut Rule<'_>| {
            (rule.level, rule.sources, rule.protocol) == (row.level, row.sources.as_slice(), row.protocol)
                && rule.ports == ports
        };
        match rules.iter_mut().find(same) {
            Some(rule) => rule.rows.push(row),
            None => {
                let (level, protocol) = (row.level, row.protocol);
                let number = rules.len() + 1;
                let name = format!("afs-audit-{number}-{level}-{protocol}-{ports}");
                rules.push(Rule { name, level, sources: &row.sources, protocol, ports, rows: vec![row] });
            }
        }
    }
    rules
}

/// The configuration, and what is not in it, one sentence each.
pub fn render_rules(
    list: &Allowlist,
    format: DeviceFormat,
    tags: Option<&TagPrefixes>,
) -> (String, Vec<String>) {
    let rules = rules(list);
    match format {
        DeviceFormat::AzureFirewall => azure_firewall(&rules),
        DeviceFormat::FortiGate => fortigate(&rules),
        DeviceFormat::PaloAlto => palo_alto(&rules),
        DeviceFormat::Nftables => addresses::nftables(&rules, tags),
        DeviceFormat::PowerShell => {
            let of_servers: Vec<Rule<'_>> =
                rules.into_iter().filter(|rule| list.proxies.is_empty() || rule.protocol != "tcp").collect();
            addresses::powershell(&of_servers, tags, &list.proxies)
        }
    }
}

/// A pattern that a device with a wildcard for the first labels can express: `*.suffix`.
fn is_plain_wildcard(destination: &str) -> bool {
    destination.strip_prefix("*.").is_some_and(|suffix| !suffix.contains('*'))
}

/// `Microsoft.Network/firewallPolicies/ruleCollectionGroups`: names are application rules for HTTP and HTTPS, and network rules
/// on other ports.
fn azure_firewall(rules: &[Rule<'_>]) -> (String, Vec<String>) {
    let mut left_out = Vec::new();
    let (mut application, mut network): (Vec<Value>, Vec<Value>) = (Vec::new(), Vec::new());
    for rule in rules {
        let sources: Vec<String> = match rule.sources.is_empty() {
            true => vec!["*".to_owned()],
            false => rule.sources.iter().map(source_text).collect(),
        };
        let protocol = match (rule.protocol, rule.ports.as_str()) {
            ("tcp", "443") => Some(("Https", 443)),
            ("tcp", "80") => Some(("Http", 80)),
            _ => None,
        };
        let is_expressible = |row: &&&AllowRow| match protocol {
            Some(_) => !row.is_wildcard() || is_plain_wildcard(&row.destination),
            None => !row.is_wildcard(),
        };
        let (rows, others): (Vec<&AllowRow>, Vec<&AllowRow>) = {
            let (kept, others): (Vec<&&AllowRow>, Vec<&&AllowRow>) =
                rule.rows.iter().partition(is_expressible);
            (kept.into_iter().copied().collect(), others.into_iter().copied().collect())
        };
        left_out.extend(others.iter().map(|row| {
            format!(
                "{}:{}/{}: Azure Firewall has no rule for this pattern",
                row.destination, rule.ports, rule.protocol
            )
        }));
        if rows.is_empty() {
            continue;
        }
        let names: Vec<&str> = rows.iter().map(|row| row.destination.as_str()).collect();
        match protocol {
            Some((kind, port)) => application.push(json!({
                "ruleType": "ApplicationRule",
                "name": rule.name,
                "description": rule.why(),
                "sourceAddresses": sources,
                "protocols": [{"protocolType": kind, "port": port}],
                "targetFqdns": names,
                "terminateTLS": false,
            })),
            None => network.push(json!({
                "ruleType": "NetworkRule",
                "name": rule.name,
                "description": rule.why(),
                "sourceAddresses": sources,
                "ipProtocols": [rule.protocol.to_ascii_uppercase()],
                "destinationFqdns": names,
                "destinationPorts": [rule.ports],
            })),
        }
    }
    let collection = |name: &str, priority: u32, rules: Vec<Value>| {
        (!rules.is_empty()).then(|| {
            json!({
                "ruleCollectionType": "FirewallPolicyFilterRuleCollection",
                "name": name,
                "priority": priority,
                "action": {"type": "Allow"},
                "rules": rules,
            })
        })
    };
    // Azure Firewall applies network rules before application rules.
    let collections: Vec<Value> = [
        collection("afs-audit-network", 200, network),
        collection("afs-audit-application", 300, application),
    ]
    .into_iter()
    .flatten()
    .collect();
    let resource = json!({
        "type": "Microsoft.Network/firewallPolicies/ruleCollectionGroups",
        "apiVersion": "2023-11-01",
        "name": "[concat(parameters('firewallPolicyName'), '/afs-audit')]",
        "properties": {"priority": 500, "ruleCollections": collections},
    });
    let template = json!({
        "$schema": "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#",
        "contentVersion": "1.0.0.0",
        "parameters": {"firewallPolicyName": {"type": "string"}},
        "resources": [resource],
    });
    (serde_json::to_string_pretty(&template).unwrap_or_default() + "\n", left_out)
}

/// Sources of one IP version, and how many of the other there are.
fn v4_sources<'a>(rule: &'a Rule<'_>) -> (Vec<&'a IpNet>, usize) {
    let (v4, others): (Vec<&IpNet>, Vec<&IpNet>) =
        rule.sources.iter().partition(|source| matches!(source, IpNet::V4(_)));
    (v4, others.len())
}

/// FortiOS 7: address objects with wildcards, services, policies.
fn fortigate(rules: &[Rule<'_>]) -> (String, Vec<String>) {
    let mut left_out = Vec::new();
    let (mut addresses, mut services, mut policies): (Vec<String>, Vec<String>, Vec<String>) =
        Default::default();
    let add = |list: &mut Vec<String>, text: String| {
        if !list.contains(&text) {
            list.push(text);
        }
    };
    for rule in rules {
        let (sources, other_sources) = v4_sources(rule);
        if other_sources > 0 {
            left_out.push(format!(
                "{}: {}; FortiGate has policies of their own for IPv6",
                rule.name,
                count(other_sources as u64, "IPv6 source")
            ));
        }
        if sources.is_empty() && !rule.sources.is_empty() {
            continue;
        }
        for source in &sources {
            let text = format!(
                "edit \"{}\"\nset type ipmask\nset subnet {} {}\nnext",
                object_name(&source_text(source)),
                source.addr(),
                source.netmask()
            );
            add(&mut addresses, text);
        }
        let mut names = Vec::new();
        for row in &rule.rows {
            if row.is_wildcard() && !is_plain_wildcard(&row.destination) {
                left_out.push(format!("{}: FortiGate has no address for this pattern", row.destination));
                continue;
            }
            let name = &row.destination;
            add(
                &mut addresses,
                format!("edit \"{}\"\nset type fqdn\nset fqdn \"{name}\"\nnext", object_name(name)),
            );
            names.push(format!("\"{}\"", object_name(name)));
        }
        if names.is_empty() {
            continue;
        }
        let (protocol, ports) = (rule.protocol, &rule.ports);
        add(
            &mut services,
            format!("edit \"afs-audit-{protocol}-{ports}\"\nset {protocol}-portrange {ports}\nnext"),
        );
        let sources: Vec<String> = match sources.is_empty() {
            true => vec!["\"all\"".to_owned()],
            false => {
                sources.iter().map(|source| format!("\"{}\"", object_name(&source_text(source)))).collect()
            }
        };
        policies.push(format!(
            "edit 0\nset name \"{:.35}\"\nset srcintf \"any\"\nset dstintf \"any\"\nset srcaddr {}\nset dstaddr {}\n\
             set service \"afs-audit-{protocol}-{ports}\"\nset schedule \"always\"\nset action accept\nset logtraffic all\n\
             set comments \"{}\"\nnext",
            rule.name,
            sources.join(" "),
            names.join(" "),
            rule.why(),
        ));
    }
    let mut out = String::new();
    let sections = [
        ("firewall address", addresses),
        ("firewall service custom", services),
        ("firewall policy", policies),
    ];
    for (section, entries) in sections.iter().filter(|(_, entries)| !entries.is_empty()) {
        let body: Vec<String> = entries.iter().flat_map(|entry| entry.lines().map(indented)).collect();
        // Writing into a String cannot fail.
        let _ = writeln!(out, "config {section}\n{}\nend", body.join("\n"));
    }
    (out, left_out)
}

/// The name of an address object.
fn object_name(address: &str) -> String {
    format!("afs-audit-{}", address.replace('*', "any"))
}

/// A line as FortiOS shows it.
fn indented(line: &str) -> String {
    match line.starts_with("edit") || line == "next" {
        true => format!("    {line}"),
        false => format!("        {line}"),
    }
}

/// PAN-OS: address objects for names; URL categories for patterns, which an address object cannot have.
fn palo_alto(rules: &[Rule<'_>]) -> (String, Vec<String>) {
    let mut left_out = Vec::new();
    let mut lines: Vec<String> = Vec::new();
    let add = |lines: &mut Vec<String>, line: String| {
        if !lines.contains(&line) {
            lines.push(line);
        }
    };
    for rule in rules {
        let (protocol, ports) = (rule.protocol, &rule.ports);
        let service = format!("afs-audit-{protocol}-{ports}");
        add(&mut lines, format!("set service {service} protocol {protocol} port {ports}"));
        let sources: Vec<String> = rule.sources.iter().map(source_text).collect();
        let sources =
            if sources.is_empty() { "any".to_owned() } else { format!("[ {} ]", sources.join(" ")) };
        let mut names = Vec::new();
        let mut patterns = Vec::new();
        for row in &rule.rows {
            let name = &row.destination;
            if !row.is_wildcard() {
                let object = object_name(name);
                // Names of objects have at most 63 characters.
                let object = object.get(..63).unwrap_or(&object).to_owned();
                add(&mut lines, format!("set address {object} fqdn {name}"));
                names.push(object);
            } else if is_plain_wildcard(name) && protocol == "tcp" && matches!(ports.as_str(), "80" | "443") {
                patterns.push(format!("{name}/"));
            } else {
                left_out.push(format!("{name}:{ports}/{protocol}: PAN-OS has no rule for this pattern"));
            }
        }
        let mut add_rule = |suffix: &str, destination: &str, category: &str| {
            let name = format!("{}{suffix}", rule.name);
            lines.push(format!(
                "set rulebase security rules {name} from any to any source {sources} destination {destination} \
                 application any service {service} category {category} action allow description \"{}\"",
                rule.why()
            ));
        };
        if !names.is_empty() {
            add_rule("", &format!("[ {} ]", names.join(" ")), "any");
        }
        if !patterns.is_empty() {
            let category = format!("{}-urls", rule.name);
            add_rule("-wildcards", "any", &category);
            let at = lines.len() - 1;
            let list = patterns.join(" ");
            lines.insert(
                at,
                format!("set profiles custom-url-category {category} type \"URL List\" list [ {list} ]"),
            );
        }
    }
    (lines.join("\n") + "\n", left_out)
}
