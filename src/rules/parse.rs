//! Parses one rule file and checks that it is consistent.
//!
//! In:  the text of a rule file.
//! Out: its document and its references in printed order, or every error with its line.
//! Not: which documents apply; that is for `library`.

use std::collections::HashMap;
use std::collections::HashSet;
use std::sync::Arc;

use ipnet::IpNet;
use sha2::Digest;
use sha2::Sha256;
use toml::Spanned;

use crate::base::port;
use crate::base::proto;

use super::cloud::Cloud;
use super::cloud::Clouds;
use super::derived;
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
use super::printed::DocumentUrl;
use super::printed::SCHEMES;
use super::printed::cells;
use super::printed::replace_placeholders;
use super::printed::strip_markup;
use super::reference::Document;
use super::reference::DocumentTable;
use super::reference::ROLES;
use super::reference::Reference;
use super::reference::RegionRole;
use super::reference::SourceRow;
use super::reference::TableKind;
use super::text::RuleText;

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
    if parser.errors.is_empty() {
        let suffixes = &shape.document.get_ref().derived_suffixes;
        Ok((document, derived::with_derived(parser.references, suffixes)))
    } else {
        Err(parser.errors)
    }
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
            self.error(at, "the document has no `source`, the place where it was retrieved".to_owned());
        }
        if head.retrieved.is_none() {
            self.error(at, "the document has no `retrieved`, the date on which it was retrieved".to_owned());
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
        if let Some(value) = head.needs_value.as_deref().filter(|value| !SITE_VALUES.contains(value)) {
            self.error(at, format!("no value of a site file is called `{value}`"));
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
            background: head.background,
            issuers_cover: boxed(&head.issuers_cover),
            region: head.region.as_deref().map(RuleText::from),
            hardware: head.hardware.as_deref().map(RuleText::from),
            needs_value: head.needs_value.as_deref().map(RuleText::from),
            file: self.file.into(),
            sha256: hex(&Sha256::digest(self.text.as_bytes())).into(),
        }
    }

    fn table(&mut self, document: &Arc<Document>, shape: &Spanned<TableShape>) {
        let head = shape.get_ref();
        let table = Arc::new(DocumentTable {
            id: head.id.get_ref().as_str().into(),
            title: head.title.as_str().into(),
            section: head.section.as_deref().map(RuleText::from),
            kind: head.kind,
            printed: head.printed.as_deref().map(RuleText::from),
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
            let is_short = printed.len() < heads.len() && row.note.is_some();
            if !heads.is_empty() && printed.len() != heads.len() && !is_short {
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
                until_version: row.until_version,
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
                region: row.region.as_deref().map(RuleText::from),
                pair: row.pair.as_ref().map(|pair| pair.get_ref().as_str().into()),
                role: None,
                broad: false,
                is_derived: false,
                every_minutes: None,
                see: None,
                note: row.note.as_deref().map(RuleText::from),
                arc_gateway: row.arc_gateway,
                instead_of: row.instead_of.as_ref().map(|place| place.get_ref().as_str().into()),
                source: row.source.as_deref().map(RuleText::from),
                destination: row.destination.as_deref().map(RuleText::from),
                action: row.action.as_deref().map(RuleText::from),
                bidirectional: row.bidirectional,
                zone: row.zone.as_deref().map(RuleText::from),
                suffix: row.suffix.as_deref().map(RuleText::from),
                common_name: row.common_name.as_deref().map(RuleText::from),
                organization: row.organization.as_deref().map(RuleText::from),
                networks: row.networks.iter().filter_map(|word| self.network(word)).collect(),
                about: row.about.as_deref().map(RuleText::from),
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
            // A line that names no endpoint or role.
            TableKind::Endpoint | TableKind::Port if base.about.is_some() => None,
            TableKind::Endpoint | TableKind::PrivateLink | TableKind::PublicResolution => Some("a URL"),
            TableKind::ReservedNetwork if base.networks.is_empty() => Some("`networks`"),
            TableKind::Region => Some("`primary` and `discovery`"),
            TableKind::Port if base.ports.is_empty() => Some("`ports`"),
            TableKind::Port if base.source.is_none() || base.destination.is_none() => {
                Some("`source` and `destination`")
            }
            TableKind::ServiceTag if base.row.tags.is_empty() => Some("`tags`"),
            TableKind::Issuer if base.organization.is_none() => Some("`organization`"),
            TableKind::Statement if base.about.is_none() => Some("`about`"),
            TableKind::Port
            | TableKind::ServiceTag
            | TableKind::Issuer
            | TableKind::ReservedNetwork
            | TableKind::Statement => None,
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
        reference.path = url.path.map(RuleText::from);
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
            fields.alias.as_ref().and_then(|alias| self.pattern(DocumentUrl::split(alias).host, at));
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
        reference.see = fields.see.as_deref().map(RuleText::from);
        let claims = [(fields.broad, "is broad"), (fields.every_minutes.is_some(), "is used periodically")];
        for (_, claim) in claims.iter().filter(|(claimed, _)| *claimed && fields.see.is_none()) {
            self.error(at, format!("`{}` {claim}: name the statement that proves it in `see`", fields.url));
        }
    }

    fn pattern(&mut self, host: &str, at: usize) -> Option<Pattern> {
        Pattern::parse(host).map_err(|message| self.error(at, message)).ok()
    }

    fn network(&mut self, word: &Spanned<String>) -> Option<IpNet> {
        let net = word.get_ref().parse();
        net.map_err(|_| self.error(word.span().start, format!("not a network: `{}`", word.get_ref()))).ok()
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
            let targets =
                [&reference.see, &reference.instead_of].into_iter().flatten().map(|text| text.to_string());
            for place in targets.chain(repeats.iter().cloned()) {
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
    /// wins; a later row may be marked as repeating an earlier one.
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
                let is_marked = self.repeats.get(i).is_some_and(|repeats| {
                    repeats.iter().any(|place| *place == other.place() || **place == *other.table.id)
                });
                // One row may print several paths of a host.
                let same_row = equal && reference.place() == other.place();
                if may_meet && !is_marked && !same_row && (equal || first.ties(host)) {
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
        for (i, reference) in self.references.iter().enumerate() {
            if reference.table.kind != TableKind::Port || reference.about.is_some() {
                continue;
            }
            let key = (&reference.source, &reference.destination, &reference.ports);
            let repeats = self.repeats.get(i).is_some_and(|repeats| !repeats.is_empty());
            if let Some(first) = ports.insert(key, reference.place()).filter(|_| !repeats) {
                ties.push((reference.row.line, format!("same roles and ports as {first}")));
            }
        }
        for (line, message) in ties {
            self.error_at_line(line, message);
        }
    }
}

/// Values of a site file that can replace a placeholder.
const SITE_VALUES: &[&str] = &[
    "storage-account",
    "sync-service",
    "region",
    "key-vault",
    "arc-gateway",
    "witness-storage-account",
    ANY_VALUE,
];

/// A placeholder for which a site file has no value; it matches any label.
const ANY_VALUE: &str = "any";

const WITHOUT_NOTE: &str = "a correction needs a `note` with the reason";

/// Bytes in hexadecimal.
pub(super) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let mut out = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing into a String cannot fail.
        let _ = write!(out, "{byte:02x}");
    }
    out
}

#[cfg(test)]
mod tests;
