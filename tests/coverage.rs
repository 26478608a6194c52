//! Every link type, tunnel and reader has a capture that shows it, damaged captures and a fuzz target; every finding,
//! mechanism and column has a capture and a text.
//!
//! `coverage.tsv` names a capture for each link type, tunnel and reader: of this repository where there is one, otherwise of
//! the corpus of public captures. `BLESS=1` looks for captures of the rows that lack one.

#![expect(clippy::unwrap_used, reason = "a panic shows where a test failed")]

mod support;

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::path::PathBuf;

use afs_audit::capture::LinkType;
use afs_audit::decode::EncapKind;
use afs_audit::decode::is_link_type_decoded;
use afs_audit::read::Fact;
use afs_audit::read::READERS;

use support::capture_writer::FixedRandom;
use support::capture_writer::Record;
use support::capture_writer::pcapng;
use support::capture_writer::records;
use support::files::files_in;
use support::files::is_capture;
use support::files::map_parallel;
use support::files::own_captures;
use support::golden;
use support::golden::GoldenRow;
use support::observe::Observed;
use support::observe::observe;
use support::observe::open;
use support::observe::open_bytes;
use support::prerequisites::not_run;
use support::prerequisites::shared_folder;

const KINDS: [&str; 3] = ["link-type", "reader", "tunnel"];

const HEADING: &str = "# Kind, name, a capture that shows it, its fuzz target.\n";

/// A link type, tunnel or reader: its kind and name.
type Item = (&'static str, String);

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every link type, tunnel and reader that the program has.
fn items() -> BTreeSet<Item> {
    let mut items = BTreeSet::new();
    for link in 0..=u16::MAX {
        if is_link_type_decoded(LinkType(link)) {
            items.insert(("link-type", link.to_string()));
        }
    }
    items.extend(EncapKind::ALL.iter().map(|kind| ("tunnel", kind.name().to_owned())));
    // DNS and the PROXY protocol report their names themselves.
    let readers = READERS.iter().map(|reader| reader.name).filter(|name| !name.is_empty());
    items.extend(readers.chain(["dns", "proxy-protocol"]).map(|name| ("reader", name.to_owned())));
    items
}

fn shown(observed: &Observed) -> BTreeSet<Item> {
    let mut shown = BTreeSet::new();
    shown.extend(observed.links.iter().map(|link| ("link-type", link.to_string())));
    shown.extend(observed.layers.iter().map(|name| ("tunnel", (*name).to_owned())));
    for observation in &observed.observations {
        match &observation.fact {
            Fact::Protocol(app) => shown.insert(("reader", app.0.to_owned())),
            Fact::DnsResolved(_) => shown.insert(("reader", "dns".to_owned())),
            Fact::Attribute(key, _) if key.name() == "proxy.source" => {
                shown.insert(("reader", "proxy-protocol".to_owned()))
            }
            _ => false,
        };
    }
    shown
}

/// A row of `coverage.tsv`.
#[derive(Clone)]
struct Row {
    /// Relative to the repository.
    capture: String,
    /// Name of a file in `fuzz/fuzz_targets`.
    fuzz_target: String,
}

fn table_path() -> PathBuf {
    repository().join("tests/coverage.tsv")
}

fn table() -> BTreeMap<Item, Row> {
    let mut rows = BTreeMap::new();
    let text = std::fs::read_to_string(table_path()).unwrap_or_default();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let [kind, name, capture, fuzz_target] = line.split('\t').collect::<Vec<_>>()[..] else {
            unreachable!("four columns: {line}");
        };
        let kind = KINDS.into_iter().find(|known| *known == kind).unwrap();
        let row = Row { capture: capture.to_owned(), fuzz_target: fuzz_target.to_owned() };
        rows.insert((kind, name.to_owned()), row);
    }
    rows
}

/// Adds a row for each item without one, with the smallest capture; one of this repository before others.
fn bless() {
    let mut captures: Vec<PathBuf> =
        files_in(&own_captures()).into_iter().filter(|path| is_capture(path)).collect();
    captures.extend(shared_folder("captures").iter().flat_map(|folder| files_in(folder)));
    let size = |path: &PathBuf| std::fs::metadata(path).unwrap().len();
    captures.sort_by_key(|path| (path.starts_with(repository().join("../shared")), size(path)));
    let found = map_parallel(&captures, |path| {
        open(path).map(|capture| shown(&observe(capture, false))).unwrap_or_default()
    });
    let mut rows = table();
    for (capture, shown) in captures.iter().zip(found) {
        for item in shown {
            let fuzz_target = if item.0 == "reader" { "" } else { item.0 }.replace("link-type", "decode");
            let capture = capture.strip_prefix(repository()).unwrap().display().to_string();
            rows.entry(item).or_insert(Row { capture, fuzz_target });
        }
    }
    let mut text = String::from(HEADING);
    let known = items();
    for ((kind, name), Row { capture, fuzz_target }) in rows.iter().filter(|(item, _)| known.contains(item)) {
        writeln!(text, "{kind}\t{name}\t{capture}\t{fuzz_target}").unwrap();
    }
    std::fs::write(table_path(), text).unwrap();
}

/// Runs `check` on each row whose capture is present. Rows of an absent corpus are reported as not run.
fn check_rows(check: impl Fn(&Item, &Path) -> Result<(), String> + Sync) {
    let rows: Vec<_> = table().into_iter().collect();
    let results = map_parallel(&rows, |(item, row)| {
        let path = repository().join(&row.capture);
        path.is_file().then(|| check(item, &path).map_err(|error| format!("{} {}: {error}", item.0, item.1)))
    });
    let wrong: Vec<&String> = results.iter().flatten().filter_map(|result| result.as_ref().err()).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    let absent = results.iter().filter(|result| result.is_none()).count();
    if absent > 0 {
        not_run(&format!("{absent} captures are in ../shared/captures, which is absent"));
    }
}

#[test]
fn every_link_type_tunnel_and_reader_has_a_capture() {
    if std::env::var_os("BLESS").is_some() {
        bless();
    }
    let (items, table) = (items(), table());
    let missing: Vec<&Item> = items.iter().filter(|item| !table.contains_key(item)).collect();
    assert!(missing.is_empty(), "no capture in coverage.tsv: {missing:?}");
    let unknown: Vec<&Item> = table.keys().filter(|item| !items.contains(item)).collect();
    assert!(unknown.is_empty(), "in coverage.tsv, and not in the program: {unknown:?}");
    check_rows(|item, path| {
        let shown = shown(&observe(open(path).unwrap(), false));
        if shown.contains(item) { Ok(()) } else { Err(format!("{} does not show it", path.display())) }
    });
}

#[test]
fn every_link_type_tunnel_and_reader_has_a_fuzz_target() {
    let manifest = std::fs::read_to_string(repository().join("fuzz/Cargo.toml")).unwrap();
    for ((kind, name), Row { fuzz_target, .. }) in table() {
        let file = format!("fuzz_targets/{fuzz_target}.rs");
        let is_present = repository().join("fuzz").join(&file).is_file();
        assert!(is_present && manifest.contains(&file), "{kind} {name}: no fuzz target {fuzz_target}");
    }
}

/// Frames that are read of each capture; the first ones show what it is for.
const FRAMES: usize = 60;

/// Damaged copies of each capture, truncated and with changed bytes, are read without a panic; some truncation of a
/// link-layer or tunnel header is reported as damage. What a truncation may change in the rows: `lost_frames.rs`.
#[test]
fn every_link_type_tunnel_and_reader_is_read_damaged() {
    check_rows(|(kind, _), path| {
        let records: Vec<Record> = records(path).into_iter().take(FRAMES).collect();
        let mut damaged = 0;
        for len in (1..100).chain((100..1500).step_by(97)) {
            let mut truncated = records.clone();
            for record in &mut truncated {
                record.bytes.truncate(len);
            }
            damaged += observe(open_bytes(pcapng(&truncated)), false).damaged;
        }
        let mut random = FixedRandom(1);
        for _ in 0..20 {
            let mut changed = records.clone();
            for record in changed.iter_mut().filter(|record| !record.bytes.is_empty()) {
                let at = random.below(record.bytes.len() as u64) as usize;
                record.bytes[at] ^= 1 << random.below(8);
            }
            observe(open_bytes(pcapng(&changed)), false);
        }
        if *kind == "reader" || damaged > 0 { Ok(()) } else { Err("no truncation is reported".to_owned()) }
    });
}

#[test]
fn every_column_has_a_value_in_some_case() {
    let rows: Vec<GoldenRow> = golden::cases().iter().flat_map(|case| golden::expected(case)).collect();
    for (record, columns) in golden::columns() {
        for column in columns {
            let is_filled = rows.iter().any(|row| row.record == record && !row.cell(column).is_empty());
            let is_excused = COLUMNS_WITHOUT_CASE.contains(&(record, column));
            assert!(is_filled != is_excused, "{record}.{column}: a case shows it: {is_filled}");
        }
    }
}

/// Columns that no case can show. Multicast DNS has no rows; two columns need an option, see `tests/max_evidence.rs`.
const COLUMNS_WITHOUT_CASE: &[(&str, &str)] =
    &[("dns", "multicast"), ("flow", "further_flows"), ("dns", "further_messages")];
