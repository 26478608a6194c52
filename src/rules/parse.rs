//! Parses one rule file and checks that it is consistent.
//!
//! In:  the text of a rule file.
//! Out: its document and its references in printed order, or every error with its line.
//! Not: which documents apply; that is for `library`.

use std::collections::HashMap;
use std::collections::HashSet;
use std::sync::Arc;

use sha2::Digest;
use sha2::Sha256;
use toml::Spanned;

use crate::base::port;
use crate::base::proto;

use super::cloud::Cloud;
use super::cloud::Clouds;
use super::file::EntryFields;
use super::file::EntryShape;
use super::file::FileShape;
use super::file::LineIndex;
use super::file::RowShape;
use super::file::RuleFileError;
use super::file::TableShape;
use super::file::TagShape;
use super::file::nearest;
use super::file::read_toml;
use super::pattern::Pattern;
use super::ports::Ports;
use super::reference::Document;
use super::reference::DocumentTable;
use super::reference::ROLES;
use super::reference::Reference;
use super::reference::RegionRole;
use super::reference::SourceRow;
use super::reference::TableKind;

/// The pattern of a placeholder without a value: any characters inside one label. A single star at the front would be a
/// wildcard for any number of labels.
const ANY: &str = "**";

/// Parses the rule file `file` with the contents `text`.
pub(super) fn read(file: &str, text: &str) -> Result<(Arc<Document>, Vec<Reference>), Vec<RuleFileError>> {
    let shape: FileShape = read_toml("rules", file, text).map_err(|error| vec![error])?;
    let lines = LineIndex::of(text);
    let mut parser =
        RuleFileParser { file, text, lines, errors: Vec::new(), references: Vec::new(), repeats: Vec::new() };
    let document = Arc::new(parser.document(&shape));
    let mut ids = HashSet::new();
    if shape.table.is_empty() {
        parser.error(shape.document.span().start, "the document has no table".to_owned());
    }
    for table in &shape.table {
        let id = &table.get_ref().id;
        if table.get_ref().row.is_empty() {
            parser.error(id.span().start, format!("table `{}` has no row", id.get_ref()));
        }
        if !ids.insert(id.get_ref().clone()) {
            parser.error(id.span().start, format!("duplicate table `{}`", id.get_ref()));
        }
        parser.table(&document, table);
    }
    parser.check_targets();
    parser.check_ties();
    if parser.errors.is_empty() { Ok((document, parser.references)) } else { Err(parser.errors) }
}

/// The URLs of one cloud or column of a row.
type Entries = [Spanned<EntryShape>];

struct RuleFileParser<'a> {
    file: &'a str,
    text: &'a str,
    lines: LineIndex,
    errors: Vec<RuleFileError>,
    references: Vec<Reference>,
    /// For each reference, the tables or rows that it repeats.
    repeats: Vec<Vec<String>>,
}

impl RuleFileParser<'_> {
    fn error(&mut self, at: usize, message: String) {
        self.error_at_line(self.lines.at(at), message);
    }

    fn error_at_line(&mut self, line: usize, message: String) {
        self.errors.push(RuleFileError { what: "rules", file: self.file.to_owned(), line, message });
    }

    fn document(&mut self, shape: &FileShape) -> Document {
        let head = shape.document.get_ref();
        let at = shape.document.span().start;
        let is_word = |text: &str| !text.is_empty() && !text.contains(['/', ' ', ';']);
        for word in [&head.id, &head.short] {
            if !is_word(word.get_ref()) {
                self.error(word.span().start, format!("not an id: `{}`", word.get_ref()));
            }
        }
        if head.source.trim().is_empty() {
            self.error(at, "the document has no `source`: say where it was retrieved".to_owned());
        }
        if head.retrieved.is_none() {
            self.error(at, "the document has no `retrieved`: say when it was retrieved".to_owned());
        }
        for date in [&head.date, &head.retrieved].into_iter().flatten() {
            let when = date.get_ref();
            if when.date.is_none() || when.time.is_some() {
                self.error(date.span().start, format!("not a date: `{when}`"));
            }
        }
        if head.products.get_ref().is_empty() {
            self.error(head.products.span().start, "the document has no product".to_owned());
        }
        let boxed = |list: &[String]| list.iter().map(|text| text.as_str().into()).collect();
        Document {
            id: head.id.get_ref().as_str().into(),
            short: head.short.get_ref().as_str().into(),
            title: head.title.as_str().into(),
            date: head.date.as_ref().map(|date| date.get_ref().to_string()).unwrap_or_default().into(),
            products: boxed(head.products.get_ref()),
            source: head.source.as_str().into(),
            retrieved: head
                .retrieved
                .as_ref()
                .map(|date| date.get_ref().to_string())
                .unwrap_or_default()
                .into(),
            always: head.always,
            supersedes: boxed(&head.supersedes),
            keeps_as_legacy: boxed(&head.keeps_as_legacy),
            includes: boxed(&head.includes),
            region: head.region.as_deref().map(Box::from),
            file: self.file.into(),
            sha256: hex(&Sha256::digest(self.text.as_bytes())),
        }
    }

    fn table(&mut self, document: &Arc<Document>, shape: &Spanned<TableShape>) {
        let head = shape.get_ref();
        let table = Arc::new(DocumentTable {
            id: head.id.get_ref().as_str().into(),
            title: head.title.as_str().into(),
            section: head.section.as_deref().map(Box::from),
            kind: head.kind,
            printed: head.printed.as_deref().map(Box::from),
        });
        let heads: Vec<&str> = head.printed.as_deref().map(cells).unwrap_or_default();
        let mut column = |name: &Option<Spanned<String>>| {
            let name = name.as_ref()?;
            let found = heads.iter().position(|text| text == name.get_ref());
            if found.is_none() {
                self.error(name.span().start, format!("the table has no column `{}`", name.get_ref()));
            }
            found
        };
        let (service, usage) = (column(&head.service), column(&head.usage));
        let ports = head.ports.as_ref().map(|ports| self.ports(ports.get_ref(), ports.span().start));
        for (i, spanned) in head.row.iter().enumerate() {
            let row = spanned.get_ref();
            let number = *row.number.get_ref();
            if usize::try_from(number) != Ok(i + 1) {
                let message = format!("row {number} of table `{}` is in position {}", table.id, i + 1);
                self.error(row.number.span().start, message);
            }
            let printed = cells(&row.printed);
            if !heads.is_empty() && printed.len() != heads.len() {
                let message = format!("{} cells in a table with {} columns", printed.len(), heads.len());
                self.error(spanned.span().start, message);
            }
            let cell = |column: Option<usize>, own: &Option<String>| match own {
                Some(text) => Some(text.as_str().into()),
                None => column.and_then(|column| printed.get(column)).map(|text| strip_markup(text).into()),
            };
            let tags = row.tags.iter().map(|tag| match tag {
                TagShape::Plain(tag) => (tag.as_str().into(), Clouds::NONE),
                TagShape::For { tag, cloud } => (tag.as_str().into(), cloud.clouds()),
            });
            let shared = Arc::new(SourceRow {
                number,
                printed: row.printed.as_str().into(),
                service: cell(service, &row.service),
                usage: cell(usage, &row.usage),
                tags: tags.collect(),
                tags_of_service: row.tags_of_service.iter().map(|tag| tag.as_str().into()).collect(),
                partly_tagged: row.partly_tagged,
                cipher_suite: row.cipher_suite,
                line: self.lines.at(spanned.span().start),
            });
            let base = Reference {
                id: format!("{}/{}/{number}", document.short, table.id).into(),
                document: Arc::clone(document),
                table: Arc::clone(&table),
                row: shared,
                url: None,
                host: None,
                alias: None,
                path: None,
                placeholders: Box::default(),
                filled: Box::default(),
                clouds: head.cloud.map_or(Clouds::NONE, |word| word.clouds()),
                ports: Ports::default(),
                corrected_ports: Ports::default(),
                at_least: row.at_least,
                service_kind: row.service_kind.or(head.service_kind),
                level: row.level.or(head.level).unwrap_or_default(),
                region: row.region.as_deref().map(Box::from),
                pair: row.pair.as_ref().map(|pair| pair.get_ref().as_str().into()),
                role: None,
                broad: false,
                every_minutes: None,
                see: None,
                note: row.note.as_deref().map(Box::from),
                arc_gateway: row.arc_gateway,
                instead_of: row.instead_of.as_ref().map(|place| place.get_ref().as_str().into()),
                source: row.source.as_deref().map(Box::from),
                destination: row.destination.as_deref().map(Box::from),
                action: row.action.as_deref().map(Box::from),
                zone: row.zone.as_deref().map(Box::from),
                suffix: row.suffix.as_deref().map(Box::from),
                organization: row.organization.as_deref().map(Box::from),
                about: row.about.as_deref().map(Box::from),
            };
            self.row(base, row, spanned.span().start, ports.as_ref(), &head.repeats);
        }
    }

    /// Adds the references of one row: one for each URL, or one for a row without a URL.
    fn row(
        &mut self,
        mut base: Reference,
        row: &RowShape,
        at: usize,
        table_ports: Option<&Ports>,
        table_repeats: &[String],
    ) {
        if let Some(word) = row.cloud {
            base.clouds = word.clouds();
        }
        let row_ports = row.ports.as_ref().map(|p| self.ports(p.get_ref(), p.span().start));
        if let Some(ports) = &row.corrected_ports {
            base.corrected_ports = self.ports(ports.get_ref(), ports.span().start);
            if row.note.is_none() {
                self.error(ports.span().start, WITHOUT_NOTE.to_owned());
            }
        }
        let first = self.references.len();
        let lists: [(&Entries, Clouds, Option<RegionRole>); 7] = [
            (&row.public, Clouds::of(Cloud::Public), None),
            (&row.us_government, Clouds::of(Cloud::UsGovernment), None),
            (&row.china, Clouds::of(Cloud::China), None),
            (&row.every, Clouds::EVERY, None),
            (&row.urls, base.clouds, None),
            (&row.primary, base.clouds, Some(RegionRole::Primary)),
            (&row.discovery, base.clouds, Some(RegionRole::Discovery)),
        ];
        for (entries, clouds, role) in lists {
            for entry in entries {
                let fields = &entry.get_ref().0;
                let at = entry.span().start;
                if clouds.is_empty() {
                    self.error(at, format!("no cloud for `{}`: give the table a `cloud`", fields.url));
                }
                // A URL printed for two clouds in one row is one reference.
                let of_this_row = self.references.get_mut(first..).unwrap_or_default();
                let same = |reference: &&mut Reference| {
                    reference.url.as_deref() == Some(&fields.url) && role.is_none()
                };
                if let Some(reference) = of_this_row.iter_mut().find(same) {
                    if reference.clouds.intersects(clouds) {
                        self.error(at, format!("duplicate URL `{}` in one row", fields.url));
                    } else {
                        reference.clouds = reference.clouds.union(clouds);
                    }
                    continue;
                }
                let mut reference = base.clone();
                reference.clouds = clouds;
                reference.role = fields.role.or(role);
                reference.id = format!("{}.{}", base.id, self.references.len() - first + 1).into();
                self.entry(&mut reference, fields, at, row_ports.as_ref(), table_ports);
                self.references.push(reference);
                let own = fields.repeats.iter().chain(&row.repeats);
                self.repeats.push(own.chain(table_repeats).cloned().collect());
            }
        }
        if self.references.len() > first {
            return;
        }
        base.ports = row_ports.unwrap_or_default();
        for role in [&base.source, &base.destination].into_iter().flatten() {
            if !ROLES.contains(&&**role) {
                let near =
                    nearest(role, ROLES).map(|near| format!(", did you mean `{near}`?")).unwrap_or_default();
                self.error(at, format!("unknown role `{role}`{near}"));
            }
        }
        let missing = match base.table.kind {
            TableKind::Endpoint | TableKind::PrivateLink => Some("a URL"),
            TableKind::Region => Some("`primary` and `discovery`"),
            TableKind::Port if base.ports.is_empty() => Some("`ports`"),
            TableKind::Port if base.source.is_none() || base.destination.is_none() => {
                Some("`source` and `destination`")
            }
            TableKind::ServiceTag if base.row.tags.is_empty() => Some("`tags`"),
            TableKind::Issuer if base.organization.is_none() => Some("`organization`"),
            TableKind::Statement if base.about.is_none() => Some("`about`"),
            TableKind::Port | TableKind::ServiceTag | TableKind::Issuer | TableKind::Statement => None,
        };
        if let Some(missing) = missing {
            self.error(at, format!("the row needs {missing}"));
        }
        self.references.push(base);
        self.repeats.push(row.repeats.iter().chain(table_repeats).cloned().collect());
    }

    fn entry(
        &mut self,
        reference: &mut Reference,
        fields: &EntryFields,
        at: usize,
        row: Option<&Ports>,
        table: Option<&Ports>,
    ) {
        let url = DocumentUrl::split(&fields.url);
        reference.url = Some(fields.url.as_str().into());
        reference.path = url.path.map(Box::from);
        reference.placeholders = fields
            .placeholders
            .iter()
            .map(|(word, fact)| (word.as_str().into(), fact.as_str().into()))
            .collect();
        for (_, fact) in reference.placeholders.iter().filter(|(_, fact)| !SITE_VALUES.contains(&&**fact)) {
            let near = nearest(fact, SITE_VALUES.iter().copied())
                .map(|near| format!(", did you mean `{near}`?"))
                .unwrap_or_default();
            self.error(at, format!("no value of a site file is called `{fact}`{near}"));
        }
        if let Some(scheme) = url.scheme.filter(|scheme| !SCHEMES.contains(scheme)) {
            self.error(at, format!("unknown scheme `{scheme}` in `{}`", fields.url));
        }
        if url.bad_port {
            self.error(at, format!("not a port in `{}`", fields.url));
        }
        let is_corrected = fields.alias.is_some() || fields.corrected_ports.is_some();
        if is_corrected && fields.note.is_none() && reference.note.is_none() {
            self.error(at, WITHOUT_NOTE.to_owned());
        }
        let host = replace_placeholders(url.host, &reference.placeholders, |_| ANY);
        match host {
            None => self.error(at, format!("a placeholder is missing in `{}`", fields.url)),
            Some(host) if host.is_empty() => {}
            Some(host) => reference.host = self.pattern(&host, at),
        }
        reference.alias =
            fields.alias.as_ref().and_then(|meant| self.pattern(DocumentUrl::split(meant).host, at));
        let own = fields.ports.as_ref().map(|ports| self.ports(ports, at));
        let from_url = url.port.or_else(|| url.scheme_port()).map(Ports::tcp);
        match own.or_else(|| row.cloned()).or(from_url).or_else(|| table.cloned()) {
            Some(ports) => reference.ports = ports,
            None => self.error(at, format!("no port for `{}`: give `ports`", fields.url)),
        }
        if let Some(ports) = &fields.corrected_ports {
            reference.corrected_ports = self.ports(ports, at);
        }
        let has_ports = !reference.effective_ports().is_empty();
        if url.scheme_port() == Some(port::HTTP)
            && has_ports
            && !reference.effective_ports().contains(proto::TCP, port::HTTP)
        {
            self.error(at, format!("http is port 80: give `{}` its `corrected-ports`", fields.url));
        }
        if let Some(note) = &fields.note {
            reference.note = Some(note.as_str().into());
        }
        reference.level = fields.level.unwrap_or(reference.level);
        reference.broad = fields.broad;
        reference.every_minutes = fields.every_minutes;
        reference.see = fields.see.as_deref().map(Box::from);
        let claims = [(fields.broad, "is broad"), (fields.every_minutes.is_some(), "is used periodically")];
        for (_, claim) in claims.iter().filter(|(claimed, _)| *claimed && fields.see.is_none()) {
            self.error(at, format!("`{}` {claim}: name the statement that says so in `see`", fields.url));
        }
    }

    fn pattern(&mut self, host: &str, at: usize) -> Option<Pattern> {
        Pattern::parse(host).map_err(|message| self.error(at, message)).ok()
    }

    /// Parses a list of ports; reports an error and returns no port if it is none.
    fn ports(&mut self, text: &str, at: usize) -> Ports {
        Ports::parse(text).map_err(|message| self.error(at, message)).unwrap_or_default()
    }

    /// Checks that every table, row and region that a row refers to exists.
    fn check_targets(&mut self) {
        let places: HashSet<String> = self.references.iter().map(Reference::place).collect();
        let tables: HashSet<String> =
            self.references.iter().map(|reference| reference.table.id.to_string()).collect();
        let regions: HashSet<&str> =
            self.references.iter().filter_map(|reference| reference.region.as_deref()).collect();
        let mut missing = Vec::new();
        for (reference, repeats) in self.references.iter().zip(&self.repeats) {
            let said =
                [&reference.see, &reference.instead_of].into_iter().flatten().map(|text| text.to_string());
            for place in said.chain(repeats.iter().cloned()) {
                if !places.contains(&place) && !tables.contains(&place) {
                    missing.push((reference.row.line, format!("no row `{place}` in this document")));
                }
            }
            if let Some(pair) = reference.pair.as_deref().filter(|pair| !regions.contains(pair)) {
                missing.push((reference.row.line, format!("the paired region `{pair}` has no row")));
            }
        }
        missing.dedup();
        for (line, message) in missing {
            self.error_at_line(line, message);
        }
    }

    /// Checks that no two rows of one document are equally specific for one name and port, because the most specific row
    /// wins; a later row may say that it repeats an earlier one.
    fn check_ties(&mut self) {
        let mut by_tail: HashMap<&str, Vec<usize>> = HashMap::new();
        let mut ties = Vec::new();
        for (i, reference) in self.references.iter().enumerate() {
            let Some(host) = &reference.host else { continue };
            let others = by_tail.entry(&host.tail).or_default();
            for other in others.iter().filter_map(|other| self.references.get(*other)) {
                let Some(first) = &other.host else { continue };
                let equal = first.text == host.text;
                let may_meet = reference.clouds.intersects(other.clouds)
                    && reference.effective_ports().overlaps(other.effective_ports());
                let said = self.repeats.get(i).is_some_and(|repeats| {
                    repeats.iter().any(|place| *place == other.place() || **place == *other.table.id)
                });
                if may_meet && !said && (equal || first.ties(host)) {
                    let relation = if equal { "repeats" } else { "is as specific as" };
                    ties.push((
                        reference.row.line,
                        format!(
                            "`{}` {relation} `{}` of {}: add `repeats = \"{}\"` if the document repeats it",
                            host.text,
                            first.text,
                            other.place(),
                            other.place()
                        ),
                    ));
                    break;
                }
            }
            others.push(i);
        }
        let mut ports = HashMap::new();
        for reference in self.references.iter().filter(|reference| reference.table.kind == TableKind::Port) {
            let key = (&reference.source, &reference.destination, &reference.ports);
            if let Some(first) = ports.insert(key, reference.place()) {
                ties.push((reference.row.line, format!("same roles and ports as {first}")));
            }
        }
        for (line, message) in ties {
            self.error_at_line(line, message);
        }
    }
}

/// Schemes that the documents print.
const SCHEMES: &[&str] = &["http", "https", "git"];

/// Values of a site file that can replace a placeholder.
const SITE_VALUES: &[&str] =
    &["storage-account", "sync-service", "region", "key-vault", "arc-gateway", "witness-storage-account"];

const WITHOUT_NOTE: &str = "a correction needs a `note` with the reason";

/// The parts of a URL as documents print it; a bare host is one too.
struct DocumentUrl<'a> {
    scheme: Option<&'a str>,
    host: &'a str,
    port: Option<u16>,
    /// The text after the colon is not a port.
    bad_port: bool,
    path: Option<&'a str>,
}

impl<'a> DocumentUrl<'a> {
    fn split(text: &'a str) -> DocumentUrl<'a> {
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme, rest)) => (Some(scheme), rest),
            None => (None, text),
        };
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (host, printed) = match host.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (host, None),
        };
        let port = printed.and_then(|port| port.parse().ok()).filter(|port| *port != 0);
        let bad_port = printed.is_some() && port.is_none();
        DocumentUrl { scheme, host, port, bad_port, path: (!path.is_empty()).then_some(path) }
    }

    /// RFC 9110 §4.2: the default ports of the two schemes.
    fn scheme_port(&self) -> Option<u16> {
        match self.scheme? {
            "http" => Some(port::HTTP),
            "https" => Some(port::HTTPS),
            _ => None,
        }
    }
}

/// Replaces each placeholder of `host` once; `None` if one of them is missing.
pub(super) fn replace_placeholders<'a>(
    host: &str,
    placeholders: &[(Box<str>, Box<str>)],
    fill: impl Fn(&str) -> &'a str,
) -> Option<String> {
    let mut out = host.to_owned();
    for (word, fact) in placeholders {
        if !out.contains(&**word) {
            return None;
        }
        out = out.replacen(&**word, fill(fact), 1);
    }
    Some(out)
}

/// The host of a URL as printed.
pub(super) fn host_of(url: &str) -> &str {
    DocumentUrl::split(url).host
}

/// The cells of a printed table row; empty for any other row.
pub(super) fn cells(printed: &str) -> Vec<&str> {
    let inner = printed.strip_prefix('|').and_then(|rest| rest.strip_suffix('|'));
    inner.map(|inner| inner.split('|').map(str::trim).collect()).unwrap_or_default()
}

/// A cell without markup.
fn strip_markup(cell: &str) -> String {
    let mut text = cell.replace("**", "").replace('`', "");
    for tag in ["<br>", "<br />", "<br/>"] {
        text = text.replace(tag, " ");
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Bytes in hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> Box<str> {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing into a String cannot fail.
        let _ = write!(out, "{byte:02x}");
    }
    out.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = r#"[document]
id = "x@2020-01-01"
short = "x"
title = "X"
products = ["x"]
source = "somewhere"
retrieved = 2026-11-20

[[table]]
id = "t"
title = "T"
kind = "endpoint"
cloud = "public"
"#;

    /// Parses `rows` after [`HEAD`] and compares the errors, as `line: message`.
    fn check(rows: &str, expected: &[&str]) {
        let errors = match read("x.toml", &format!("{HEAD}{rows}")) {
            Ok(_) => Vec::new(),
            Err(errors) => errors,
        };
        let shown: Vec<String> = errors.iter().map(|p| format!("{}: {}", p.line, p.message)).collect();
        assert_eq!(shown, expected, "{rows}");
    }

    fn row(number: u32, rest: &str) -> String {
        format!("[[table.row]]\nnumber = {number}\nprinted = \"p\"\n{rest}\n")
    }

    #[test]
    fn a_correct_file_has_no_error() {
        check(&row(1, "urls = [\"https://a.example.com\", \"http://b.example.com/x\"]"), &[]);
    }

    #[test]
    fn ties_in_one_document_are_errors() {
        let twice = |more: &str| {
            row(1, "urls = [\"https://a.example.com\"]")
                + &row(2, &format!("urls = [\"https://A.example.com/x\"]\n{more}"))
        };
        check(
            &twice(""),
            &[
                "18: `a.example.com` repeats `a.example.com` of t/1: add `repeats = \"t/1\"` if the document repeats it",
            ],
        );
        check(&twice("repeats = \"t/1\""), &[]);
        check(
            &twice("repeats = \"t/9\""),
            &[
                "18: no row `t/9` in this document",
                "18: `a.example.com` repeats `a.example.com` of t/1: add `repeats = \"t/1\"` if the document repeats it",
            ],
        );
        let globs = "ports = \"443\"\nurls = [\"a*.example.com\", \"*a.example.com\"]";
        check(
            &row(1, globs),
            &[
                "14: `*a.example.com` is as specific as `a*.example.com` of t/1: add `repeats = \"t/1\"` if the document repeats it",
            ],
        );
        let http = "urls = [\"https://a.example.com\", \"http://a.example.com\"]";
        check(&row(1, http), &[]);
    }

    #[test]
    fn errors_have_their_line() {
        check(&row(2, "urls = [\"https://a.example.com\"]"), &["15: row 2 of table `t` is in position 1"]);
        check(&row(1, "urls = [\"a.example.com\"]"), &["17: no port for `a.example.com`: give `ports`"]);
        check(&row(1, ""), &["14: the row needs a URL"]);
        check(
            &row(1, "urls = [\"https://*.com\"]"),
            &["17: not a host pattern: `*.com`: a wildcard needs two labels after it"],
        );
        check(
            &row(1, "ports = \"443\"\nurls = [\"http://a.example.com\"]"),
            &["18: http is port 80: give `http://a.example.com` its `corrected-ports`"],
        );
        check(
            &row(1, "urls = [{ url = \"https://*.example.com\", broad = true }]"),
            &["17: `https://*.example.com` is broad: name the statement that says so in `see`"],
        );
        check(
            &row(1, "urls = [{ ulr = \"https://a.example.com\" }]"),
            &["17: unknown key `ulr`, did you mean `url`?"],
        );
    }

    #[test]
    fn typing_errors_are_rejected() {
        let url = |text: &str| row(1, &format!("ports = \"443\"\nurls = [{text}]"));
        check(&url("\"htps://a.example.com\""), &["18: unknown scheme `htps` in `htps://a.example.com`"]);
        check(&url("\"https://a.example.com:99999\""), &["18: not a port in `https://a.example.com:99999`"]);
        check(
            &url("{ url = \"a.example.com\", alias = \"b.example.com\" }"),
            &["18: a correction needs a `note` with the reason"],
        );
        check(
            &row(1, "corrected-ports = \"80\"\nurls = [\"https://a.example.com\"]"),
            &["17: a correction needs a `note` with the reason"],
        );
        check(
            &url("{ url = \"my.example.com\", placeholders = { my = \"storrage-account\" } }"),
            &["18: no value of a site file is called `storrage-account`, did you mean `storage-account`?"],
        );
        check(
            "[[table]]\nid = \"u\"\ntitle = \"U\"\nkind = \"endpoint\"\n",
            &["10: table `t` has no row", "15: table `u` has no row"],
        );
    }

    #[test]
    fn a_wrong_port_is_reported_once() {
        check(
            &row(1, "ports = \"70000\"\nurls = [\"a.example.com\", \"http://b.example.com\"]"),
            &["17: not a port: `70000`"],
        );
    }

    #[test]
    fn a_document_needs_dates_and_tables() {
        let text = HEAD.split("[[table]]").next().unwrap();
        let text = text.replace("retrieved = 2026-11-20", "retrieved = 07:30:00");
        let errors = read("x.toml", &text).map(|_| ()).unwrap_err();
        let shown: Vec<String> = errors.iter().map(|p| format!("{}: {}", p.line, p.message)).collect();
        assert_eq!(shown, ["7: not a date: `07:30:00`", "1: the document has no table",]);
    }

    #[test]
    fn a_document_needs_a_source() {
        let text = HEAD.replace("source = \"somewhere\"\nretrieved = 2026-11-20\n", "")
            + &row(1, "urls = [\"https://a.example.com\"]");
        let errors = read("x.toml", &text).map(|_| ()).unwrap_err();
        let messages: Vec<_> = errors.iter().map(|p| p.to_string()).collect();
        assert_eq!(
            messages,
            [
                "cannot read rules: x.toml:1: the document has no `source`: say where it was retrieved",
                "cannot read rules: x.toml:1: the document has no `retrieved`: say when it was retrieved",
            ]
        );
    }
}
