//! Reads one rule file into rules, and refuses what does not hold together.
//!
//! In:  the text of a rule file.
//! Out: its document and its rules in printed order, or every mistake with its line.
//! Not: which documents count; that is for the selection.

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
use super::file::Lines;
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

/// What stands for a placeholder until the site fills it: anything inside one label. A single star at the front would
/// be a wildcard for any number of labels.
const ANY: &str = "**";

/// Reads the rule file `file` with the contents `text`.
pub(super) fn read(file: &str, text: &str) -> Result<(Arc<Document>, Vec<Reference>), Vec<RuleFileError>> {
    let shape: FileShape = read_toml("rules", file, text).map_err(|problem| vec![problem])?;
    let lines = Lines::of(text);
    let mut reader =
        Reader { file, text, lines, problems: Vec::new(), rules: Vec::new(), repeats: Vec::new() };
    let document = Arc::new(reader.document(&shape));
    let mut ids = HashSet::new();
    if shape.table.is_empty() {
        reader.problem(shape.document.span().start, "the document has no table".to_owned());
    }
    for table in &shape.table {
        let id = &table.get_ref().id;
        if table.get_ref().row.is_empty() {
            reader.problem(id.span().start, format!("table `{}` has no row", id.get_ref()));
        }
        if !ids.insert(id.get_ref().clone()) {
            reader.problem(id.span().start, format!("a second table `{}`", id.get_ref()));
        }
        reader.table(&document, table);
    }
    reader.references();
    reader.ties();
    if reader.problems.is_empty() { Ok((document, reader.rules)) } else { Err(reader.problems) }
}

/// The urls of one cloud or column of a row.
type Entries = [Spanned<EntryShape>];

struct Reader<'a> {
    file: &'a str,
    text: &'a str,
    lines: Lines,
    problems: Vec<RuleFileError>,
    rules: Vec<Reference>,
    /// For each rule, the tables or rows that it is said to repeat.
    repeats: Vec<Vec<String>>,
}

impl Reader<'_> {
    fn problem(&mut self, at: usize, message: String) {
        self.problem_at_line(self.lines.at(at), message);
    }

    fn problem_at_line(&mut self, line: usize, message: String) {
        self.problems.push(RuleFileError { what: "rules", file: self.file.to_owned(), line, message });
    }

    fn document(&mut self, shape: &FileShape) -> Document {
        let head = shape.document.get_ref();
        let at = shape.document.span().start;
        let is_word = |text: &str| !text.is_empty() && !text.contains(['/', ' ', ';']);
        for word in [&head.id, &head.short] {
            if !is_word(word.get_ref()) {
                self.problem(word.span().start, format!("not an id: `{}`", word.get_ref()));
            }
        }
        if head.source.trim().is_empty() {
            self.problem(at, "the document has no `source`: say where it was read".to_owned());
        }
        if head.looked.is_none() {
            self.problem(at, "the document has no `looked`: say when it was read".to_owned());
        }
        for date in [&head.date, &head.looked].into_iter().flatten() {
            let when = date.get_ref();
            if when.date.is_none() || when.time.is_some() {
                self.problem(date.span().start, format!("not a day: `{when}`"));
            }
        }
        if head.products.get_ref().is_empty() {
            self.problem(head.products.span().start, "the document is for no product".to_owned());
        }
        let boxed = |list: &[String]| list.iter().map(|text| text.as_str().into()).collect();
        Document {
            id: head.id.get_ref().as_str().into(),
            short: head.short.get_ref().as_str().into(),
            title: head.title.as_str().into(),
            date: head.date.as_ref().map(|date| date.get_ref().to_string()).unwrap_or_default().into(),
            products: boxed(head.products.get_ref()),
            source: head.source.as_str().into(),
            looked: head.looked.as_ref().map(|date| date.get_ref().to_string()).unwrap_or_default().into(),
            always: head.always,
            supersedes: boxed(&head.supersedes),
            keeps: boxed(&head.keeps),
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
                self.problem(name.span().start, format!("the table has no column `{}`", name.get_ref()));
            }
            found
        };
        let (service, usage) = (column(&head.service), column(&head.usage));
        let ports = head.ports.as_ref().map(|ports| self.ports(ports.get_ref(), ports.span().start));
        for (i, spanned) in head.row.iter().enumerate() {
            let row = spanned.get_ref();
            let number = *row.number.get_ref();
            if usize::try_from(number) != Ok(i + 1) {
                let message = format!("row {number} of table `{}` stands at place {}", table.id, i + 1);
                self.problem(row.number.span().start, message);
            }
            let printed = cells(&row.printed);
            if !heads.is_empty() && printed.len() != heads.len() {
                let message = format!("{} cells printed under {} column heads", printed.len(), heads.len());
                self.problem(spanned.span().start, message);
            }
            let cell = |column: Option<usize>, own: &Option<String>| match own {
                Some(text) => Some(text.as_str().into()),
                None => column.and_then(|column| printed.get(column)).map(|text| plain(text).into()),
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
                as_meant: None,
                path: None,
                placeholders: Box::default(),
                filled: Box::default(),
                clouds: head.cloud.map_or(Clouds::NONE, |word| word.clouds()),
                ports: Ports::default(),
                ports_as_meant: Ports::default(),
                at_least: row.at_least,
                service_kind: row.service_kind.or(head.service_kind),
                need: row.need.or(head.need).unwrap_or_default(),
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

    /// Adds the rules of one row: one for each url, or one for the row where it has none.
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
        if let Some(ports) = &row.ports_as_meant {
            base.ports_as_meant = self.ports(ports.get_ref(), ports.span().start);
            if row.note.is_none() {
                self.problem(ports.span().start, WITHOUT_NOTE.to_owned());
            }
        }
        let first = self.rules.len();
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
                if clouds.is_none() {
                    self.problem(at, format!("no cloud for `{}`: give the table a `cloud`", fields.url));
                }
                // A url printed for two clouds in one row is one rule.
                let of_row = self.rules.get_mut(first..).unwrap_or_default();
                let same = |rule: &&mut Reference| rule.url.as_deref() == Some(&fields.url) && role.is_none();
                if let Some(rule) = of_row.iter_mut().find(same) {
                    if rule.clouds.meets(clouds) {
                        self.problem(at, format!("`{}` twice in one row", fields.url));
                    } else {
                        rule.clouds = rule.clouds.and(clouds);
                    }
                    continue;
                }
                let mut rule = base.clone();
                rule.clouds = clouds;
                rule.role = fields.role.or(role);
                rule.id = format!("{}.{}", base.id, self.rules.len() - first + 1).into();
                self.entry(&mut rule, fields, at, row_ports.as_ref(), table_ports);
                self.rules.push(rule);
                let own = fields.repeats.iter().chain(&row.repeats);
                self.repeats.push(own.chain(table_repeats).cloned().collect());
            }
        }
        if self.rules.len() > first {
            return;
        }
        base.ports = row_ports.unwrap_or_default();
        for role in [&base.source, &base.destination].into_iter().flatten() {
            if !ROLES.contains(&&**role) {
                let near =
                    nearest(role, ROLES).map(|near| format!(", did you mean `{near}`?")).unwrap_or_default();
                self.problem(at, format!("unknown role `{role}`{near}"));
            }
        }
        let missing = match base.table.kind {
            TableKind::Endpoint | TableKind::PrivateLink => Some("a url"),
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
            self.problem(at, format!("the row needs {missing}"));
        }
        self.rules.push(base);
        self.repeats.push(row.repeats.iter().chain(table_repeats).cloned().collect());
    }

    fn entry(
        &mut self,
        rule: &mut Reference,
        fields: &EntryFields,
        at: usize,
        row: Option<&Ports>,
        table: Option<&Ports>,
    ) {
        let url = Url::cut(&fields.url);
        rule.url = Some(fields.url.as_str().into());
        rule.path = url.path.map(Box::from);
        rule.placeholders = fields
            .placeholders
            .iter()
            .map(|(word, fact)| (word.as_str().into(), fact.as_str().into()))
            .collect();
        for (_, fact) in rule.placeholders.iter().filter(|(_, fact)| !FACTS.contains(&&**fact)) {
            let near = nearest(fact, FACTS.iter().copied())
                .map(|near| format!(", did you mean `{near}`?"))
                .unwrap_or_default();
            self.problem(at, format!("nothing in a site file is called `{fact}`{near}"));
        }
        if let Some(scheme) = url.scheme.filter(|scheme| !SCHEMES.contains(scheme)) {
            self.problem(at, format!("unknown scheme `{scheme}` in `{}`", fields.url));
        }
        if url.bad_port {
            self.problem(at, format!("not a port in `{}`", fields.url));
        }
        let is_corrected = fields.as_meant.is_some() || fields.ports_as_meant.is_some();
        if is_corrected && fields.note.is_none() && rule.note.is_none() {
            self.problem(at, WITHOUT_NOTE.to_owned());
        }
        let host = with_placeholders(url.host, &rule.placeholders, |_| ANY);
        match host {
            None => self.problem(at, format!("a placeholder is not in `{}`", fields.url)),
            Some(host) if host.is_empty() => {}
            Some(host) => rule.host = self.pattern(&host, at),
        }
        rule.as_meant = fields.as_meant.as_ref().and_then(|meant| self.pattern(Url::cut(meant).host, at));
        let own = fields.ports.as_ref().map(|ports| self.ports(ports, at));
        let from_url = url.port.or_else(|| url.scheme_port()).map(Ports::tcp);
        match own.or_else(|| row.cloned()).or(from_url).or_else(|| table.cloned()) {
            Some(ports) => rule.ports = ports,
            None => self.problem(at, format!("no port for `{}`: give `ports`", fields.url)),
        }
        if let Some(ports) = &fields.ports_as_meant {
            rule.ports_as_meant = self.ports(ports, at);
        }
        let has_ports = !rule.true_ports().is_empty();
        if url.scheme_port() == Some(port::HTTP)
            && has_ports
            && !rule.true_ports().holds(proto::TCP, port::HTTP)
        {
            self.problem(at, format!("http means port 80: give `{}` its `ports-as-meant`", fields.url));
        }
        if let Some(note) = &fields.note {
            rule.note = Some(note.as_str().into());
        }
        rule.need = fields.need.unwrap_or(rule.need);
        rule.broad = fields.broad;
        rule.every_minutes = fields.every_minutes;
        rule.see = fields.see.as_deref().map(Box::from);
        let claims = [(fields.broad, "is broad"), (fields.every_minutes.is_some(), "is used every so often")];
        for (_, claim) in claims.iter().filter(|(claimed, _)| *claimed && fields.see.is_none()) {
            self.problem(at, format!("`{}` {claim}: give the sentence that says so in `see`", fields.url));
        }
    }

    fn pattern(&mut self, host: &str, at: usize) -> Option<Pattern> {
        Pattern::parse(host).map_err(|message| self.problem(at, message)).ok()
    }

    /// The ports; none where the text is no list of ports, which has been told then.
    fn ports(&mut self, text: &str, at: usize) -> Ports {
        Ports::parse(text).map_err(|message| self.problem(at, message)).unwrap_or_default()
    }

    /// Whatever a row points at must be there.
    fn references(&mut self) {
        let places: HashSet<String> = self.rules.iter().map(Reference::place).collect();
        let tables: HashSet<String> = self.rules.iter().map(|rule| rule.table.id.to_string()).collect();
        let regions: HashSet<&str> = self.rules.iter().filter_map(|rule| rule.region.as_deref()).collect();
        let mut lost = Vec::new();
        for (rule, repeats) in self.rules.iter().zip(&self.repeats) {
            let said = [&rule.see, &rule.instead_of].into_iter().flatten().map(|text| text.to_string());
            for place in said.chain(repeats.iter().cloned()) {
                if !places.contains(&place) && !tables.contains(&place) {
                    lost.push((rule.row.line, format!("there is no row `{place}` in this document")));
                }
            }
            if let Some(pair) = rule.pair.as_deref().filter(|pair| !regions.contains(pair)) {
                lost.push((rule.row.line, format!("the paired region `{pair}` has no row")));
            }
        }
        lost.dedup();
        for (line, message) in lost {
            self.problem_at_line(line, message);
        }
    }

    /// The most specific row wins, so two rows of one document must not be equally specific for one name and port,
    /// unless the later one says that it repeats the earlier.
    fn ties(&mut self) {
        let mut by_tail: HashMap<&str, Vec<usize>> = HashMap::new();
        let mut ties = Vec::new();
        for (i, rule) in self.rules.iter().enumerate() {
            let Some(host) = &rule.host else { continue };
            let others = by_tail.entry(&host.tail).or_default();
            for other in others.iter().filter_map(|other| self.rules.get(*other)) {
                let Some(first) = &other.host else { continue };
                let equal = first.text == host.text;
                let may_meet = rule.clouds.meets(other.clouds) && rule.true_ports().meets(other.true_ports());
                let said = self.repeats.get(i).is_some_and(|repeats| {
                    repeats.iter().any(|place| *place == other.place() || **place == *other.table.id)
                });
                if may_meet && !said && (equal || first.ties(host)) {
                    let what = if equal { "again" } else { "as specific as" };
                    ties.push((
                        rule.row.line,
                        format!(
                            "`{}` is {what} `{}` of {}: say `repeats = \"{}\"` if the document does",
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
        for rule in self.rules.iter().filter(|rule| rule.table.kind == TableKind::Port) {
            let key = (&rule.source, &rule.destination, &rule.ports);
            if let Some(first) = ports.insert(key, rule.place()) {
                ties.push((rule.row.line, format!("the same roles and ports as {first}")));
            }
        }
        for (line, message) in ties {
            self.problem_at_line(line, message);
        }
    }
}

/// Schemes that the documents print.
const SCHEMES: &[&str] = &["http", "https", "git"];

/// What a site file can say that fills a placeholder.
const FACTS: &[&str] =
    &["storage-account", "sync-service", "region", "key-vault", "arc-gateway", "witness-storage-account"];

const WITHOUT_NOTE: &str = "a correction needs a `note` that says why";

/// The parts of a url as documents print it: a bare host is one too.
struct Url<'a> {
    scheme: Option<&'a str>,
    host: &'a str,
    port: Option<u16>,
    /// There is something where a port belongs, and it is none.
    bad_port: bool,
    path: Option<&'a str>,
}

impl<'a> Url<'a> {
    fn cut(text: &'a str) -> Url<'a> {
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
        Url { scheme, host, port, bad_port, path: (!path.is_empty()).then_some(path) }
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

/// `host` with each placeholder replaced once; `None` when one of them is not there.
pub(super) fn with_placeholders<'a>(
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

/// The host of a url as printed.
pub(super) fn host_of(url: &str) -> &str {
    Url::cut(url).host
}

/// The cells of a printed row; none when the row is not a table row.
pub(super) fn cells(printed: &str) -> Vec<&str> {
    let inner = printed.strip_prefix('|').and_then(|rest| rest.strip_suffix('|'));
    inner.map(|inner| inner.split('|').map(str::trim).collect()).unwrap_or_default()
}

/// A cell without the markup of the page.
fn plain(cell: &str) -> String {
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
looked = 2026-11-20

[[table]]
id = "t"
title = "T"
kind = "endpoint"
cloud = "public"
"#;

    /// What is wrong with `rows` under [`HEAD`], as `line: message`.
    fn check(rows: &str, expected: &[&str]) {
        let problems = match read("x.toml", &format!("{HEAD}{rows}")) {
            Ok(_) => Vec::new(),
            Err(problems) => problems,
        };
        let shown: Vec<String> = problems.iter().map(|p| format!("{}: {}", p.line, p.message)).collect();
        assert_eq!(shown, expected, "{rows}");
    }

    fn row(number: u32, rest: &str) -> String {
        format!("[[table.row]]\nnumber = {number}\nprinted = \"p\"\n{rest}\n")
    }

    #[test]
    fn a_good_file_has_no_problem() {
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
                "18: `a.example.com` is again `a.example.com` of t/1: say `repeats = \"t/1\"` if the document does",
            ],
        );
        check(&twice("repeats = \"t/1\""), &[]);
        check(
            &twice("repeats = \"t/9\""),
            &[
                "18: there is no row `t/9` in this document",
                "18: `a.example.com` is again `a.example.com` of t/1: say `repeats = \"t/1\"` if the document does",
            ],
        );
        let globs = "ports = \"443\"\nurls = [\"a*.example.com\", \"*a.example.com\"]";
        check(
            &row(1, globs),
            &[
                "14: `*a.example.com` is as specific as `a*.example.com` of t/1: say `repeats = \"t/1\"` if the document does",
            ],
        );
        let http = "urls = [\"https://a.example.com\", \"http://a.example.com\"]";
        check(&row(1, http), &[]);
    }

    #[test]
    fn mistakes_are_told_with_their_line() {
        check(&row(2, "urls = [\"https://a.example.com\"]"), &["15: row 2 of table `t` stands at place 1"]);
        check(&row(1, "urls = [\"a.example.com\"]"), &["17: no port for `a.example.com`: give `ports`"]);
        check(&row(1, ""), &["14: the row needs a url"]);
        check(
            &row(1, "urls = [\"https://*.com\"]"),
            &["17: not a host pattern: `*.com`: a wildcard needs two labels after it"],
        );
        check(
            &row(1, "ports = \"443\"\nurls = [\"http://a.example.com\"]"),
            &["18: http means port 80: give `http://a.example.com` its `ports-as-meant`"],
        );
        check(
            &row(1, "urls = [{ url = \"https://*.example.com\", broad = true }]"),
            &["17: `https://*.example.com` is broad: give the sentence that says so in `see`"],
        );
        check(
            &row(1, "urls = [{ ulr = \"https://a.example.com\" }]"),
            &["17: unknown key `ulr`, did you mean `url`?"],
        );
    }

    #[test]
    fn slips_are_refused() {
        let url = |text: &str| row(1, &format!("ports = \"443\"\nurls = [{text}]"));
        check(&url("\"htps://a.example.com\""), &["18: unknown scheme `htps` in `htps://a.example.com`"]);
        check(&url("\"https://a.example.com:99999\""), &["18: not a port in `https://a.example.com:99999`"]);
        check(
            &url("{ url = \"a.example.com\", as-meant = \"b.example.com\" }"),
            &["18: a correction needs a `note` that says why"],
        );
        check(
            &row(1, "ports-as-meant = \"80\"\nurls = [\"https://a.example.com\"]"),
            &["17: a correction needs a `note` that says why"],
        );
        check(
            &url("{ url = \"my.example.com\", placeholders = { my = \"storrage-account\" } }"),
            &["18: nothing in a site file is called `storrage-account`, did you mean `storage-account`?"],
        );
        check(
            "[[table]]\nid = \"u\"\ntitle = \"U\"\nkind = \"endpoint\"\n",
            &["10: table `t` has no row", "15: table `u` has no row"],
        );
    }

    #[test]
    fn a_wrong_port_is_told_once() {
        check(
            &row(1, "ports = \"70000\"\nurls = [\"a.example.com\", \"http://b.example.com\"]"),
            &["17: not a port: `70000`"],
        );
    }

    #[test]
    fn a_document_has_days_and_tables() {
        let text = HEAD.split("[[table]]").next().unwrap();
        let text = text.replace("looked = 2026-11-20", "looked = 07:30:00");
        let problems = read("x.toml", &text).map(|_| ()).unwrap_err();
        let shown: Vec<String> = problems.iter().map(|p| format!("{}: {}", p.line, p.message)).collect();
        assert_eq!(shown, ["7: not a day: `07:30:00`", "1: the document has no table",]);
    }

    #[test]
    fn a_document_names_its_source() {
        let text = HEAD.replace("source = \"somewhere\"\nlooked = 2026-11-20\n", "")
            + &row(1, "urls = [\"https://a.example.com\"]");
        let problems = read("x.toml", &text).map(|_| ()).unwrap_err();
        let messages: Vec<_> = problems.iter().map(|p| p.to_string()).collect();
        assert_eq!(
            messages,
            [
                "cannot read rules: x.toml:1: the document has no `source`: say where it was read",
                "cannot read rules: x.toml:1: the document has no `looked`: say when it was read",
            ]
        );
    }
}
