//! What `afs-audit rules` prints: lists, single rows, mistakes, and what changed between two documents.
//!
//! In:  rules.
//! Out: lines for people, and the count of what was found.

use std::collections::BTreeMap;
use std::io;
use std::io::Write;
use std::path::Path;

use super::Library;
use super::RuleError;
use super::RuleSet;
use super::TableKind;
use super::parse::host_of;
use super::pattern::Pattern;
use super::reference::Reference;

/// Prints every document and the number of rows in each of its tables.
pub fn list(rules: &RuleSet, out: &mut dyn Write) -> io::Result<()> {
    for document in rules.documents() {
        writeln!(out, "{}  {}", document.id, document.title)?;
        let mut tables: Vec<(&str, &str, u32)> = Vec::new();
        for (_, rule) in rules.iter().filter(|(_, rule)| rule.document == *document) {
            match tables.last_mut() {
                Some((id, _, rows)) if *id == &*rule.table.id => *rows = rule.row.number,
                _ => tables.push((&rule.table.id, &rule.table.title, rule.row.number)),
            }
        }
        for (id, title, rows) in tables {
            writeln!(out, "    {rows:>4}  {}/{id}  {title}", document.short)?;
        }
    }
    Ok(())
}

/// Prints everything about the rules whose id is `id` or begins with it: a document, a table, a row or an entry.
/// Says how many there were.
pub fn show(rules: &RuleSet, id: &str, out: &mut dyn Write) -> io::Result<usize> {
    let mut shown = 0;
    let is_asked = |rule: &Reference| match rule.id.strip_prefix(id) {
        Some(rest) => rest.is_empty() || rest.starts_with(['/', '.']),
        None => *rule.document.id == *id,
    };
    for (_, rule) in rules.iter().filter(|(_, rule)| is_asked(rule)) {
        show_one(rule, out)?;
        shown += 1;
    }
    Ok(shown)
}

fn show_one(rule: &Reference, out: &mut dyn Write) -> io::Result<()> {
    let roles = |role: &Option<Box<str>>| role.as_deref().unwrap_or_default().to_owned();
    let place = match &rule.table.section {
        Some(section) if **section != *rule.table.title => format!("{section}: {}", rule.table.title),
        _ => rule.table.title.to_string(),
    };
    let tags: Vec<&str> = rule.row.tags.iter().map(|(tag, _)| &**tag).collect();
    let rows: [(&str, String); 21] = [
        ("document", format!("{} ({})", rule.document.title, rule.document.id)),
        ("source", format!("{}, looked at on {}", rule.document.source, rule.document.looked)),
        ("table", format!("{place}, row {}", rule.row.number)),
        ("printed", rule.row.printed.to_string()),
        ("service", roles(&rule.row.service)),
        ("usage", roles(&rule.row.usage)),
        ("host", rule.host.as_ref().map(|host| host_text(rule, host)).unwrap_or_default()),
        ("as meant", rule.as_meant.as_ref().map(|host| host.text.to_string()).unwrap_or_default()),
        ("ports", rule.ports.to_string()),
        ("ports as meant", rule.ports_as_meant.to_string()),
        ("from", roles(&rule.source)),
        ("to", roles(&rule.destination)),
        ("clouds", rule.clouds.to_string()),
        ("region", roles(&rule.region)),
        ("role", rule.role.map(|role| role.word().to_owned()).unwrap_or_default()),
        ("paired region", roles(&rule.pair)),
        ("service tags", tags.join(", ")),
        ("need", rule.need.word().to_owned()),
        ("used every", rule.every_minutes.map(|minutes| format!("{minutes} minutes")).unwrap_or_default()),
        (if rule.broad { "broad" } else { "see" }, roles(&rule.see)),
        ("note", roles(&rule.note)),
    ];
    writeln!(out, "{}", rule.id)?;
    for (name, text) in rows.iter().filter(|(_, text)| !text.is_empty()) {
        writeln!(out, "    {name}: {text}")?;
    }
    Ok(())
}

/// Prints every mistake in the rule files of `folder`, or of the program where there is none, and counts them.
pub fn check(folder: Option<&Path>, out: &mut dyn Write) -> Result<usize, RuleError> {
    let problems = Library::problems(folder)?;
    for problem in &problems {
        // A reader that went away cannot be told anything.
        let _ = match problem.line {
            0 => writeln!(out, "{}: {}", problem.file, problem.message),
            line => writeln!(out, "{}:{line}: {}", problem.file, problem.message),
        };
    }
    Ok(problems.len())
}

/// Prints what changed from document `old` to document `new`, each with what it includes, and counts the changes.
pub fn diff(library: &Library, old: &str, new: &str, out: &mut dyn Write) -> Result<usize, DiffError> {
    let (old, new) = (library.whole(old)?, library.whole(new)?);
    let (before, after) = (by_subject(&old), by_subject(&new));
    let mut changes = 0;
    let mut say = |sign: char, words: &str, rest: String| {
        changes += 1;
        writeln!(out, "{sign} {words:<6} {rest}")
    };
    for (key, rules) in &after {
        if !before.contains_key(key) {
            say('+', "added", facts(key, rules))?;
        }
    }
    for (key, rules) in &before {
        match after.get(key) {
            None => say('-', "gone", facts(key, rules))?,
            Some(now) => {
                let (was_at, is_at) = (places(rules), places(now));
                if was_at != is_at {
                    say('>', "moved", format!("{}: {was_at} -> {is_at}", key.name()))?;
                }
                let (had, has) = (ports(rules), ports(now));
                if had != has {
                    say('~', "ports", format!("{}: {had} -> {has}", key.name()))?;
                }
                let (was, is) = (needs(rules), needs(now));
                if was != is {
                    say('~', "need", format!("{}: {was} -> {is}", key.name()))?;
                }
            }
        }
    }
    Ok(changes)
}

/// A comparison cannot be made or printed.
#[derive(Debug, thiserror::Error)]
pub enum DiffError {
    /// One of the documents is not there.
    #[error(transparent)]
    RuleSet(#[from] RuleError),
    /// The output is gone.
    #[error("cannot print the changes")]
    Output(#[from] io::Error),
}

/// What makes two rows the same row in two documents.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key<'a> {
    kind: TableKind,
    cloud: &'static str,
    roles: (&'a str, &'a str),
    subject: String,
}

impl Key<'_> {
    fn name(&self) -> String {
        match (self.cloud, self.roles) {
            ("", ("", "")) => self.subject.clone(),
            ("", (source, destination)) => format!("{source} -> {destination} {}", self.subject),
            (cloud, _) => format!("{} ({cloud})", self.subject),
        }
    }
}

/// The rows under what they are about; sentences are prose and not compared.
fn by_subject<'a>(rules: &[&'a Reference]) -> BTreeMap<Key<'a>, Vec<&'a Reference>> {
    let mut rows: BTreeMap<Key<'_>, Vec<&Reference>> = BTreeMap::new();
    for rule in rules.iter().filter(|rule| rule.table.kind != TableKind::Statement) {
        let subjects = match (&rule.host, rule.table.kind) {
            (Some(host), _) => vec![host_text(rule, host)],
            (None, TableKind::Port) => vec![rule.ports.to_string()],
            (None, TableKind::ServiceTag) => rule.row.tags.iter().map(|(tag, _)| tag.to_string()).collect(),
            (None, _) => vec![rule.subject()],
        };
        let clouds: Vec<&'static str> = match rule.clouds.is_none() {
            true => vec![""],
            false => rule.clouds.iter().map(|cloud| cloud.word()).collect(),
        };
        // A host is the same host whether a table of services or of regions has it.
        let kind = if rule.host.is_some() { TableKind::Endpoint } else { rule.table.kind };
        let roles =
            (rule.source.as_deref().unwrap_or_default(), rule.destination.as_deref().unwrap_or_default());
        for subject in subjects {
            for cloud in &clouds {
                let key = Key { kind, cloud, roles, subject: subject.clone() };
                rows.entry(key).or_default().push(rule);
            }
        }
    }
    rows
}

/// What a rule's host matches; where it has a placeholder, what fills it: two documents seldom call that the same.
fn host_text(rule: &Reference, host: &Pattern) -> String {
    let Some(url) = rule.url.as_deref().filter(|_| !rule.placeholders.is_empty()) else {
        return host.text.to_string();
    };
    rule.placeholders
        .iter()
        .fold(host_of(url).to_owned(), |text, (word, fact)| text.replacen(&**word, &format!("<{fact}>"), 1))
}

fn facts(key: &Key<'_>, rules: &[&Reference]) -> String {
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

/// Where rows stand, in words that outlive a new numbering: what it is for, or the table.
fn places(rules: &[&Reference]) -> String {
    joined(rules.iter().map(|rule| match (&rule.region, rule.role) {
        (Some(region), Some(role)) => format!("{} of {region}", role.word()),
        _ => rule.row.service.as_deref().unwrap_or(&rule.table.title).to_owned(),
    }))
}

fn ports(rules: &[&Reference]) -> String {
    joined(rules.iter().map(|rule| rule.true_ports().to_string()))
}

fn needs(rules: &[&Reference]) -> String {
    joined(rules.iter().map(|rule| rule.need.word().to_owned()))
}
