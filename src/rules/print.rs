//! What `afs-audit rules list`, `show` and `check` print.
//!
//! In:  rules.
//! Out: lines for people, or rows as CSV and JSON lines.
//! Not: the comparison of two documents; that is for `diff`.

use std::io;
use std::io::Write;
use std::path::Path;

use serde::Serialize;

use super::Library;
use super::MatchKind;
use super::ReferenceMatch;
use super::RuleError;
use super::RuleSet;
use super::pattern::Pattern;
use super::printed::host_of;
use super::reference::Document;
use super::reference::Reference;
use super::text::RuleText;

/// Prints every document and the number of rows in each of its tables.
pub fn list(rules: &RuleSet, out: &mut dyn Write) -> io::Result<()> {
    for document in rules.documents() {
        writeln!(out, "{}  {}", document.id, document.title)?;
        let mut tables: Vec<(&str, &str, u32)> = Vec::new();
        for (_, reference) in rules.iter().filter(|(_, reference)| reference.document == *document) {
            match tables.last_mut() {
                Some((id, _, rows)) if *id == &*reference.table.id => *rows = reference.row.number,
                _ => tables.push((&reference.table.id, &reference.table.title, reference.row.number)),
            }
        }
        for (id, title, rows) in tables {
            writeln!(out, "    {rows:>4}  {}/{id}  {title}", document.short)?;
        }
    }
    Ok(())
}

/// The format of [`list_rows`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowFormat {
    /// RFC 4180, with a header.
    Csv,
    /// One JSON object on each line.
    JsonLines,
}

/// A reference as a record.
#[derive(Serialize)]
struct ReferenceRecord<'a> {
    reference: &'a str,
    document: &'a str,
    products: String,
    table: &'a str,
    table_kind: &'static str,
    row: u32,
    printed: &'a str,
    service: &'a str,
    usage: &'a str,
    service_kind: &'static str,
    url: &'a str,
    host: String,
    alias: &'a str,
    path: &'a str,
    ports: String,
    corrected_ports: String,
    clouds: String,
    level: &'static str,
    region: &'a str,
    region_role: &'static str,
    paired_region: &'a str,
    source: &'a str,
    destination: &'a str,
    service_tags: String,
    broad: bool,
    arc_gateway: bool,
    every_minutes: Option<u32>,
    statement: &'a str,
    note: &'a str,
}

impl<'a> ReferenceRecord<'a> {
    fn new(reference: &'a Reference) -> ReferenceRecord<'a> {
        fn text(field: &Option<RuleText>) -> &str {
            field.as_deref().unwrap_or_default()
        }
        ReferenceRecord {
            reference: &reference.id,
            document: &reference.document.id,
            products: reference.document.products.join(";"),
            table: &reference.table.id,
            table_kind: reference.table.kind.word(),
            row: reference.row.number,
            printed: &reference.row.printed,
            service: text(&reference.row.service),
            usage: text(&reference.row.usage),
            service_kind: reference.service_kind.map_or("", |kind| kind.word()),
            url: text(&reference.url),
            host: reference.host.as_ref().map(|host| host_text(reference, host)).unwrap_or_default(),
            alias: reference.alias.as_ref().map_or("", |alias| &alias.text),
            path: text(&reference.path),
            ports: reference.ports.to_string(),
            corrected_ports: reference.corrected_ports.to_string(),
            clouds: reference.clouds.to_string(),
            level: reference.level.word(),
            region: text(&reference.region),
            region_role: reference.role.map_or("", |role| role.word()),
            paired_region: text(&reference.pair),
            source: text(&reference.source),
            destination: text(&reference.destination),
            service_tags: tags(reference, ";"),
            broad: reference.broad,
            arc_gateway: reference.arc_gateway,
            every_minutes: reference.every_minutes,
            statement: text(&reference.see),
            note: text(&reference.note),
        }
    }
}

/// Prints every reference as a row, document by document in printed order.
pub fn list_rows(rules: &RuleSet, format: RowFormat, out: &mut dyn Write) -> io::Result<()> {
    let records = rules.iter().map(|(_, reference)| ReferenceRecord::new(reference));
    match format {
        RowFormat::Csv => {
            let mut writer = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(out);
            for record in records {
                writer.serialize(record).map_err(io::Error::from)?;
            }
            writer.flush()
        }
        RowFormat::JsonLines => {
            for record in records {
                serde_json::to_writer(&mut *out, &record)?;
                writeln!(out)?;
            }
            Ok(())
        }
    }
}

/// Prints the references whose id is `query` or begins with it (a document, a table, a row or an entry); else those that
/// match the host `query`. Returns their number.
pub fn show(rules: &RuleSet, query: &str, out: &mut dyn Write) -> io::Result<usize> {
    let mut shown = 0;
    let has_id = |reference: &Reference| match reference.id.strip_prefix(query) {
        Some(rest) => rest.is_empty() || rest.starts_with(['/', '.']),
        None => *reference.document.id == *query,
    };
    for (_, reference) in rules.iter().filter(|(_, reference)| has_id(reference)) {
        show_reference(reference, out)?;
        shown += 1;
    }
    if shown == 0 { show_host(rules, query, out) } else { Ok(shown) }
}

/// Prints which references match a host, with their ports, documents and clouds. A port or a path after the host is
/// ignored.
fn show_host(rules: &RuleSet, query: &str, out: &mut dyn Write) -> io::Result<usize> {
    let matches = rules.match_host(host_of(query));
    for found in &matches {
        let reference = rules.reference(found.id);
        let clouds =
            if reference.clouds.is_empty() { "all clouds".to_owned() } else { reference.clouds.to_string() };
        let ports = reference.effective_ports();
        writeln!(out, "{}  {ports}  {clouds}  {}", reference.id, reference.level.word())?;
        writeln!(out, "    match: {}", match_text(reference, found))?;
        if let Some(service) = reference.row.service.as_ref().filter(|service| !service.is_empty()) {
            writeln!(out, "    service: {service}")?;
        }
        if let (Some(region), Some(role)) = (&reference.region, reference.role) {
            writeln!(out, "    region: {region} ({})", role.word())?;
        }
        let document = &reference.document;
        writeln!(
            out,
            "    document: {} ({}{})",
            document.title,
            document.id,
            superseded_by(document, rules)
        )?;
        if let Some(note) = &reference.note {
            writeln!(out, "    note: {note}")?;
        }
    }
    Ok(matches.len())
}

fn match_text(reference: &Reference, found: &ReferenceMatch) -> String {
    let host = reference.host.as_ref().map(|host| host_text(reference, host)).unwrap_or_default();
    match (found.kind, &reference.alias) {
        (_, Some(alias)) if found.is_alias => format!("{alias}, the alias of {host}", alias = alias.text),
        (MatchKind::Exact, _) => format!("{host}, the exact name"),
        (MatchKind::Wildcard(_) | MatchKind::Glob, _) if reference.broad => {
            format!("{host}, a wildcard that the document itself calls too broad")
        }
        (MatchKind::Wildcard(_) | MatchKind::Glob, _) => format!("{host}, a wildcard"),
        (MatchKind::Placeholder, _) => format!("{host}, a placeholder for a name of the site"),
    }
}

fn superseded_by(document: &Document, rules: &RuleSet) -> String {
    let supersedes = |newer: &&std::sync::Arc<Document>| newer.supersedes.contains(&document.id);
    let newer = rules.documents().iter().find(supersedes);
    newer.map(|newer| format!(", superseded by {}", newer.id)).unwrap_or_default()
}

fn tags(reference: &Reference, separator: &str) -> String {
    let tags: Vec<&str> = reference.row.tags.iter().map(|(tag, _)| &**tag).collect();
    tags.join(separator)
}

fn show_reference(reference: &Reference, out: &mut dyn Write) -> io::Result<()> {
    let text = |field: &Option<RuleText>| field.as_deref().unwrap_or_default().to_owned();
    let table = match &reference.table.section {
        Some(section) if **section != *reference.table.title => {
            format!("{section}: {}", reference.table.title)
        }
        _ => reference.table.title.to_string(),
    };
    let document = &reference.document;
    let rows: [(&str, String); 22] = [
        ("document", format!("{} ({})", document.title, document.id)),
        ("source", format!("{}, retrieved {}", document.source, document.retrieved)),
        ("table", format!("{table}, row {}", reference.row.number)),
        ("printed", reference.row.printed.to_string()),
        ("service", text(&reference.row.service)),
        ("service kind", reference.service_kind.map(|kind| kind.word().to_owned()).unwrap_or_default()),
        ("usage", text(&reference.row.usage)),
        ("host", reference.host.as_ref().map(|host| host_text(reference, host)).unwrap_or_default()),
        ("alias", reference.alias.as_ref().map(|host| host.text.to_string()).unwrap_or_default()),
        ("ports", reference.ports.to_string()),
        ("corrected ports", reference.corrected_ports.to_string()),
        ("from", text(&reference.source)),
        ("to", text(&reference.destination)),
        ("clouds", reference.clouds.to_string()),
        ("region", text(&reference.region)),
        ("role", reference.role.map(|role| role.word().to_owned()).unwrap_or_default()),
        ("paired region", text(&reference.pair)),
        ("service tags", tags(reference, ", ")),
        ("level", reference.level.word().to_owned()),
        (
            "used every",
            reference.every_minutes.map(|minutes| format!("{minutes} minutes")).unwrap_or_default(),
        ),
        (if reference.broad { "too broad according to" } else { "statement" }, text(&reference.see)),
        ("note", text(&reference.note)),
    ];
    writeln!(out, "{}", reference.id)?;
    for (name, text) in rows.iter().filter(|(_, text)| !text.is_empty()) {
        writeln!(out, "    {name}: {text}")?;
    }
    Ok(())
}

/// Checks the rule files of `folder`, or those inside the program if there is no folder. Prints every error, or what was
/// checked. Returns the number of errors.
pub fn check(folder: Option<&Path>, out: &mut dyn Write) -> Result<usize, RuleError> {
    // The build script checked the rules inside the program.
    let errors = folder.map(Library::errors).transpose()?.unwrap_or_default();
    for error in &errors {
        // A closed output ends the report, not the check.
        let _ = match error.line {
            0 => writeln!(out, "{}: {}", error.file, error.message),
            line => writeln!(out, "{}:{line}: {}", error.file, error.message),
        };
    }
    if errors.is_empty() {
        let library = match folder {
            Some(folder) => Library::from_dir(folder)?,
            None => Library::embedded()?,
        };
        let place = folder.map_or("built-in rules".to_owned(), |folder| folder.display().to_string());
        let (documents, rows, references) = library.counts();
        let _ =
            writeln!(out, "{place}: {documents} documents, {rows} rows, {references} references, no error");
    }
    Ok(errors.len())
}

/// The host of a reference, with `<word>` for each placeholder, because documents name placeholders differently.
pub(super) fn host_text(reference: &Reference, host: &Pattern) -> String {
    let Some(url) = reference.url.as_deref().filter(|_| !reference.placeholders.is_empty()) else {
        return host.text.to_string();
    };
    reference
        .placeholders
        .iter()
        .fold(host_of(url).to_owned(), |text, (word, fact)| text.replacen(&**word, &format!("<{fact}>"), 1))
}

#[cfg(test)]
mod tests;
