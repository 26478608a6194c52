//! Prints a rule set for people.
//!
//! In:  a rule set.
//! Out: one line for each destination, under its level.
//! Not: the syntax of a firewall.

use std::io;
use std::io::Write;

use super::AllowRow;
use super::Allowlist;
use super::rows::AllowLevel;
use super::rows::Observed;
use super::rows::source_text;
use crate::report::count;
use crate::rules::Pattern;

/// Sources that are named.
const SOURCES: usize = 4;

/// Prints a rule set.
pub fn write_allowlist(list: &Allowlist, out: &mut dyn Write) -> io::Result<()> {
    let width = list.rows.iter().map(|row| endpoint(row).len()).max().unwrap_or_default().min(72);
    let mut sources = String::new();
    for level in AllowLevel::ALL {
        let rows: Vec<&AllowRow> = list.rows.iter().filter(|row| row.level == *level).collect();
        if rows.is_empty() {
            continue;
        }
        writeln!(out, "{level}: {}", rows.len())?;
        for row in rows {
            let from = sources_text(row);
            if from != sources {
                writeln!(out, "  from {from}")?;
                sources = from;
            }
            let observed = match row.observed {
                Observed::Reached => "reached",
                Observed::Blocked => "BLOCKED",
                Observed::NotObserved => "not observed",
            };
            let mark = match (row.is_broad, row.is_wildcard()) {
                (true, _) => ", a wildcard that its document calls too broad".to_owned(),
                (_, true) => wildcard_mark(row, list),
                _ => String::new(),
            };
            let why = row.references.first().map_or("", String::as_str);
            writeln!(out, "    {:<width$}  {observed:<12}  {why}{mark}", endpoint(row))?;
        }
        writeln!(out)?;
    }
    for note in &list.notes {
        writeln!(out, "note: {note}")?;
    }
    for what in &list.left_out {
        writeln!(out, "not in the list: {what}")?;
    }
    writeln!(
        out,
        "not in the list: what no document lists, and traffic inside of the site (DNS, time, domain controllers)"
    )
}

/// What is to be known of a pattern: the names that the list has besides may be enough for the site.
fn wildcard_mark(row: &AllowRow, list: &Allowlist) -> String {
    let ports = |row: &AllowRow| (row.protocol, row.first_port, row.last_port);
    let pattern = Pattern::parse(&row.destination).ok();
    let is_covered = |other: &&AllowRow| {
        other.destination != row.destination
            && ports(other) == ports(row)
            && pattern.as_ref().is_some_and(|pattern| pattern.matches(&other.destination))
    };
    match list.rows.iter().filter(is_covered).count() as u64 {
        0 => ", wildcard: the documents give no name".to_owned(),
        covered => format!(", wildcard: covers {} of this list", count(covered, "other destination")),
    }
}

/// `westeurope01.afs.azure.net:443/tcp`.
fn endpoint(row: &AllowRow) -> String {
    format!("{}:{}/{}", row.destination, row.ports(), row.protocol)
}

fn sources_text(row: &AllowRow) -> String {
    let named: Vec<String> = row.sources.iter().take(SOURCES).map(source_text).collect();
    match row.sources.len().saturating_sub(SOURCES) {
        _ if named.is_empty() => "any server (name them with --source)".to_owned(),
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}
