//! What changed between two documents: `afs-audit rules diff`.
//!
//! In:  two documents with the documents that they include.
//! Out: a line for each change, and their number.
//! Not: statements, which are prose.

use std::collections::BTreeMap;
use std::io;
use std::io::Write;

use super::Library;
use super::RuleError;
use super::TableKind;
use super::print::host_text;
use super::reference::Reference;
use super::reference::RegionRole;

/// Prints what changed from document `old` to document `new`, each with the documents that it includes. Returns the number
/// of changes.
pub fn diff(library: &Library, old: &str, new: &str, out: &mut dyn Write) -> Result<usize, DiffError> {
    let (old, new) = (library.with_included_references(old)?, library.with_included_references(new)?);
    let (before, after) = (group_by_subject(&old), group_by_subject(&new));
    let mut changes = 0;
    let mut print = |sign: char, change: &str, rest: String| {
        changes += 1;
        writeln!(out, "{sign} {change:<7} {rest}")
    };
    for (key, rules) in &after {
        if !before.contains_key(key) {
            print('+', "added", describe(key, rules))?;
        }
    }
    for (key, rules) in &before {
        match after.get(key) {
            None => print('-', "removed", describe(key, rules))?,
            Some(now) => {
                let (was_at, is_at) = (places(rules), places(now));
                if was_at != is_at {
                    print('>', "moved", format!("{}: {was_at} -> {is_at}", key.name()))?;
                }
                let (had, has) = (ports(rules), ports(now));
                if had != has {
                    print('~', "ports", format!("{}: {had} -> {has}", key.name()))?;
                }
                let (was, is) = (levels(rules), levels(now));
                if was != is {
                    print('~', "level", format!("{}: {was} -> {is}", key.name()))?;
                }
            }
        }
    }
    Ok(changes)
}

/// A comparison cannot be made or printed.
#[derive(Debug, thiserror::Error)]
pub enum DiffError {
    /// One of the documents does not exist.
    #[error(transparent)]
    RuleSet(#[from] RuleError),
    /// The output cannot be written.
    #[error("cannot print the changes")]
    Output(#[from] io::Error),
}

/// What makes two rows the same row in two documents.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct SubjectKey<'a> {
    kind: TableKind,
    cloud: &'static str,
    roles: (&'a str, &'a str),
    subject: String,
}

impl SubjectKey<'_> {
    fn name(&self) -> String {
        match (self.cloud, self.roles) {
            ("", ("", "")) => self.subject.clone(),
            ("", (source, destination)) => format!("{source} -> {destination} {}", self.subject),
            (cloud, _) => format!("{} ({cloud})", self.subject),
        }
    }
}

/// Groups the references by their subject; statements are prose and not compared.
fn group_by_subject<'a>(rules: &[&'a Reference]) -> BTreeMap<SubjectKey<'a>, Vec<&'a Reference>> {
    let mut rows: BTreeMap<SubjectKey<'_>, Vec<&Reference>> = BTreeMap::new();
    for reference in rules.iter().filter(|reference| reference.table.kind != TableKind::Statement) {
        let subjects = match (&reference.host, reference.table.kind) {
            (Some(host), _) => vec![host_text(reference, host)],
            (None, TableKind::Port) => vec![reference.ports.to_string()],
            (None, TableKind::ServiceTag) => {
                reference.row.tags.iter().map(|(tag, _)| tag.to_string()).collect()
            }
            (None, _) => vec![reference.subject()],
        };
        let clouds: Vec<&'static str> = match reference.clouds.is_empty() {
            true => vec![""],
            false => reference.clouds.iter().map(|cloud| cloud.word()).collect(),
        };
        // A host has the same subject in a table of services and in a table of regions.
        let kind = if reference.host.is_some() { TableKind::Endpoint } else { reference.table.kind };
        let roles = (
            reference.source.as_deref().unwrap_or_default(),
            reference.destination.as_deref().unwrap_or_default(),
        );
        for subject in subjects {
            for cloud in &clouds {
                let key = SubjectKey { kind, cloud, roles, subject: subject.clone() };
                rows.entry(key).or_default().push(reference);
            }
        }
    }
    rows
}

fn describe(key: &SubjectKey<'_>, rules: &[&Reference]) -> String {
    let ports = ports(rules);
    let ports =
        if ports.is_empty() || key.kind == TableKind::Port { String::new() } else { format!(" {ports}") };
    format!("{}{ports}: {}", key.name(), places(rules))
}

fn joined(words: impl Iterator<Item = String>) -> String {
    let mut seen: Vec<String> = Vec::new();
    for word in words.filter(|word| !word.is_empty()) {
        if !seen.contains(&word) {
            seen.push(word);
        }
    }
    seen.join("; ")
}

/// Where the references are, in words that survive a renumbering: the region, the service, or the table.
fn places(rules: &[&Reference]) -> String {
    joined(rules.iter().map(|reference| match (&reference.region, reference.role) {
        (Some(region), Some(RegionRole::Primary)) => format!("primary endpoint for {region}"),
        (Some(region), Some(RegionRole::Discovery)) => format!("discovery endpoint for {region}"),
        (Some(region), Some(RegionRole::Paired)) => format!("paired-region endpoint for {region}"),
        _ => reference.row.service.as_deref().unwrap_or(&reference.table.title).to_owned(),
    }))
}

fn ports(rules: &[&Reference]) -> String {
    joined(rules.iter().map(|reference| reference.effective_ports().to_string()))
}

fn levels(rules: &[&Reference]) -> String {
    joined(rules.iter().map(|reference| reference.level.word().to_owned()))
}
