//! Field cases: captures of what people reported, each with what the audit has to say about it.
//!
//! In:  `../shared/field/<case>/`, expectations in `tests/field/<case>.toml` (their format: `tests/field/README.md`).
//! Out: a line for each case that fails, with what was expected and what came.
//! Not: the wording of messages beyond the facts that help.
//!
//! `tests/field/pending.tsv` lists the cases that are not fulfilled yet. The test fails when another case fails, and when a
//! pending case holds: then its line goes. `FIELD=c02 cargo test --test field` runs the cases whose names begin so, and
//! prints everything that is not as expected.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a panic shows where a test failed")]

mod support;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use serde::Deserialize;

use support::files::CsvRow;
use support::files::map_parallel;
use support::files::read_csv;
use support::prerequisites::not_run;
use support::prerequisites::shared_folder;

/// Expectations of issues up to this one are due. The others are run and counted, and fail nothing.
const DUE: u32 = 16;

/// What a case must show.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Expectation {
    /// What the capture shows, in a sentence.
    what: String,
    /// The issue that it belongs to.
    issue: u32,
    /// Folder under `../shared/field`, where it is not named as the case.
    folder: Option<String>,
    /// Python script of the folder that writes the capture, and its arguments before the path.
    #[serde(default)]
    generate: Vec<String>,
    /// Arguments of `--server`.
    #[serde(default)]
    server: Vec<String>,
    exit_not: Option<i32>,
    /// The first finding.
    lead: Option<RowExpectation>,
    #[serde(default)]
    finding: Vec<RowExpectation>,
    #[serde(default)]
    requirement: Vec<RowExpectation>,
    #[serde(default)]
    flow: Vec<RowExpectation>,
    #[serde(default)]
    dns: Vec<RowExpectation>,
    #[serde(default)]
    summary: TextExpectation,
}

/// Selects rows of a table and says what they must look like.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RowExpectation {
    why: Option<String>,
    /// Columns that are equal to one of these values: select rows.
    #[serde(default, rename = "where")]
    equal: BTreeMap<String, Texts>,
    /// Columns that contain one of these texts: select rows.
    #[serde(default)]
    with: BTreeMap<String, Texts>,
    /// The least severity that is selected.
    from: Option<String>,
    /// How many rows must be selected: at least one, unless it says otherwise.
    count: Option<usize>,
    at_least: Option<usize>,
    at_most: Option<usize>,
    /// Columns that must be equal to one of these values in every selected row.
    #[serde(default)]
    is: BTreeMap<String, Texts>,
    /// Columns that must contain all of these texts.
    #[serde(default)]
    has: BTreeMap<String, Texts>,
    /// Columns that must contain none of these texts.
    #[serde(default)]
    lacks: BTreeMap<String, Texts>,
}

/// Texts of the summary.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct TextExpectation {
    why: Option<String>,
    #[serde(default)]
    has: Vec<String>,
    #[serde(default)]
    lacks: Vec<String>,
}

/// One text or several, each with alternatives separated by `|`.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
enum Texts {
    One(String),
    Several(Vec<String>),
}

impl Texts {
    fn iter(&self) -> impl Iterator<Item = &str> {
        match self {
            Texts::One(text) => std::slice::from_ref(text),
            Texts::Several(texts) => texts.as_slice(),
        }
        .iter()
        .map(String::as_str)
    }
}

/// What a run printed and wrote.
struct Evidence {
    exit: Option<i32>,
    summary: String,
    flows: Vec<CsvRow>,
    findings: Vec<CsvRow>,
    requirements: Vec<CsvRow>,
    dns: Vec<CsvRow>,
}

#[test]
fn the_audit_names_the_cause_of_field_cases() {
    let Some(captures) = shared_folder("field") else { return };
    let only = std::env::var("FIELD").unwrap_or_default();
    let pending = read_pending(&expectations().join("pending.tsv"));
    let mut names = case_names();
    for name in pending.keys() {
        assert!(names.contains(name), "pending.tsv: no case {name}");
    }
    names.retain(|name| name.starts_with(&only));
    if Command::new("python3").arg("--version").output().is_err() {
        not_run("captures that a script writes: missing programs: python3");
        names.retain(|name| read_expectation(name).generate.is_empty());
    }
    let results = map_parallel(&names, |name| {
        let expectation = read_expectation(name);
        let folder = captures.join(expectation.folder.as_ref().unwrap_or(name));
        let failures = match audit(&expectation, &folder) {
            Ok(evidence) => check(&expectation, &evidence),
            Err(why) => vec![why],
        };
        (expectation.issue <= DUE, failures)
    });

    let mut report = String::new();
    let [mut held, mut waiting, mut later, mut wrong] = [0; 4];
    for (name, (is_due, failures)) in names.iter().zip(&results) {
        match (failures.as_slice(), pending.contains_key(name)) {
            ([], false) => held += 1,
            ([], true) => {
                wrong += 1;
                writeln!(report, "{name}: holds now: remove it from tests/field/pending.tsv").unwrap();
            }
            _ if !is_due => later += 1,
            (_, true) => waiting += 1,
            ([first, ..], false) => {
                wrong += 1;
                writeln!(report, "{name}: {first} ({} in all)", failures.len()).unwrap();
            }
        }
        if !only.is_empty() {
            failures.iter().for_each(|failure| println!("{name}: {failure}"));
        }
    }
    println!("field cases: {held} hold, {waiting} pending, {later} not due");
    assert!(wrong == 0, "{wrong} field cases are not as expected:\n{report}");
}

/// No folder of captures is left out.
#[test]
fn every_field_case_has_an_expectation() {
    let Some(captures) = shared_folder("field") else { return };
    let folders: Vec<String> =
        case_names().into_iter().map(|name| read_expectation(&name).folder.unwrap_or(name)).collect();
    for entry in std::fs::read_dir(captures).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        assert!(
            entry.path().is_file() || folders.contains(&name),
            "tests/field has no expectation for {name}"
        );
    }
}

fn expectations() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/field")
}

fn case_names() -> Vec<String> {
    let paths = std::fs::read_dir(expectations()).unwrap().map(|entry| entry.unwrap().path());
    let mut names: Vec<String> = paths
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

fn read_expectation(name: &str) -> Expectation {
    let text = std::fs::read_to_string(expectations().join(format!("{name}.toml"))).unwrap();
    let expectation: Expectation =
        toml::from_str(&text).unwrap_or_else(|error| panic!("{name}.toml: {error}"));
    assert!(!expectation.what.is_empty(), "{name}.toml says what the capture shows");
    expectation
}

/// Cases that are not fulfilled yet, each with a reason.
fn read_pending(path: &Path) -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(path).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines
        .map(|line| {
            let (name, reason) = line.split_once('\t').unwrap_or_else(|| panic!("{line}: no reason"));
            (name.to_owned(), reason.to_owned())
        })
        .collect()
}

/// Runs the program over a case.
fn audit(expectation: &Expectation, folder: &Path) -> Result<Evidence, String> {
    let scratch = tempfile::tempdir().unwrap();
    let inputs = match expectation.generate.split_first() {
        None => captures_in(folder),
        Some((script, arguments)) => {
            let capture = scratch.path().join("capture.pcap");
            let mut python = Command::new("python3");
            let status = python.arg(folder.join(script)).args(arguments).arg(&capture).status();
            if !status.is_ok_and(|status| status.success()) {
                return Err(format!("{script} did not write a capture"));
            }
            vec![capture]
        }
    };
    let evidence = scratch.path().join("evidence");
    let mut arguments: Vec<OsString> = vec!["analyze".into()];
    arguments.extend(inputs.into_iter().map(PathBuf::into_os_string));
    let site = folder.join("site.toml");
    if site.is_file() {
        arguments.extend(["--site".into(), site.into_os_string()]);
    }
    arguments.extend(expectation.server.iter().flat_map(|server| ["--server".into(), server.into()]));
    arguments.extend(["-o".into(), evidence.clone().into_os_string()]);
    let output = Command::new(env!("CARGO_BIN_EXE_afs-audit")).args(arguments).output().unwrap();
    // A run that failed wrote no tables.
    let rows = |table: &str| {
        let file = evidence.join(format!("{table}.csv"));
        if file.is_file() { read_csv(&file) } else { Vec::new() }
    };
    Ok(Evidence {
        exit: output.status.code(),
        summary: format!("{}{}", text(&output.stdout), text(&output.stderr)),
        flows: rows("flows"),
        findings: rows("findings"),
        requirements: rows("requirements"),
        dns: rows("dns"),
    })
}

/// One line, so that a text is found wherever the summary breaks it.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).split_whitespace().collect::<Vec<_>>().join(" ") + " "
}

fn captures_in(folder: &Path) -> Vec<PathBuf> {
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let is_capture = |path: &PathBuf| path.file_name().unwrap().to_string_lossy().starts_with("capture");
    let mut found: Vec<PathBuf> = paths.filter(is_capture).collect();
    found.sort();
    found
}

/// Everything that is not as expected.
fn check(expectation: &Expectation, evidence: &Evidence) -> Vec<String> {
    let mut failures = Vec::new();
    if expectation.exit_not.is_some() && expectation.exit_not == evidence.exit {
        failures.push(format!("exit status {:?}", evidence.exit));
    }
    if let Some(lead) = &expectation.lead {
        match evidence.findings.first() {
            Some(first) => check_row("lead", lead, first, &mut failures),
            None => failures.push("lead: no finding".to_owned()),
        }
    }
    let tables = [
        ("finding", &expectation.finding, &evidence.findings),
        ("requirement", &expectation.requirement, &evidence.requirements),
        ("flow", &expectation.flow, &evidence.flows),
        ("dns", &expectation.dns, &evidence.dns),
    ];
    for (table, expected, rows) in tables {
        for expected in expected {
            check_table(table, expected, rows, &mut failures);
        }
    }
    let TextExpectation { why, has, lacks } = &expectation.summary;
    let why = why.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
    for wanted in has.iter().filter(|wanted| !contains_any(&evidence.summary, wanted)) {
        failures.push(format!("summary lacks {wanted:?}{why}"));
    }
    for unwanted in lacks.iter().filter(|unwanted| contains_any(&evidence.summary, unwanted)) {
        failures.push(format!("summary has {unwanted:?}{why}"));
    }
    failures
}

fn check_table(table: &str, expected: &RowExpectation, rows: &[CsvRow], failures: &mut Vec<String>) {
    let columns = expected.equal.keys().chain(expected.with.keys());
    for column in columns.filter(|column| rows.first().is_some_and(|row| cell(row, column).is_none())) {
        failures.push(format!("{table}: no column {column}"));
    }
    let selected: Vec<&CsvRow> = rows.iter().filter(|row| is_selected(expected, row)).collect();
    let (least, most) = match expected.count {
        Some(count) => (count, count),
        None => (expected.at_least.unwrap_or(1), expected.at_most.unwrap_or(usize::MAX)),
    };
    if selected.len() < least || selected.len() > most {
        let why = expected.why.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
        let shown = selected.iter().take(2).map(|row| show(table, row)).collect::<Vec<_>>().join(", ");
        failures.push(format!(
            "{table} {}: {} rows, expected {}{why} {shown}",
            selection(expected),
            selected.len(),
            range(least, most)
        ));
    }
    for row in selected {
        check_row(&format!("{table} {}", selection(expected)), expected, row, failures);
    }
}

fn check_row(place: &str, expected: &RowExpectation, row: &CsvRow, failures: &mut Vec<String>) {
    let why = expected.why.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
    let mut fail = |what: String| failures.push(format!("{place}: {what}{why}"));
    for (column, values) in &expected.is {
        match cell(row, column) {
            None => fail(format!("no column {column}")),
            Some(found) if values.iter().all(|value| equals_any(&found, value)) => {}
            Some(found) => fail(format!("{column} expected {}, is {found:?}", listed(values))),
        }
    }
    for (column, values) in &expected.has {
        match cell(row, column) {
            None => fail(format!("no column {column}")),
            Some(found) => {
                for value in values.iter().filter(|value| !contains_any(&found, value)) {
                    fail(format!("{column} lacks {value:?}: {found:?}"));
                }
            }
        }
    }
    for (column, values) in &expected.lacks {
        match cell(row, column) {
            None => fail(format!("no column {column}")),
            Some(found) => {
                for value in values.iter().filter(|value| contains_any(&found, value)) {
                    fail(format!("{column} has {value:?}: {found:?}"));
                }
            }
        }
    }
}

fn is_selected(expected: &RowExpectation, row: &CsvRow) -> bool {
    let severe = |word: &str| ["info", "low", "medium", "high"].iter().position(|known| *known == word);
    let is_severe = expected.from.as_ref().is_none_or(|from| {
        cell(row, "severity").and_then(|found| severe(&found)) >= Some(severe(from).unwrap())
    });
    let equal = |(column, values): (&String, &Texts)| {
        cell(row, column).is_some_and(|found| values.iter().all(|value| equals_any(&found, value)))
    };
    let with = |(column, values): (&String, &Texts)| {
        cell(row, column).is_some_and(|found| values.iter().all(|value| contains_any(&found, value)))
    };
    is_severe && expected.equal.iter().all(equal) && expected.with.iter().all(with)
}

/// A cell; for `*` the whole row.
fn cell(row: &CsvRow, column: &str) -> Option<String> {
    match column {
        "*" => Some(row.values().cloned().collect::<Vec<_>>().join(" ")),
        _ => row.get(column).cloned(),
    }
}

fn equals_any(found: &str, alternatives: &str) -> bool {
    alternatives.split('|').any(|value| value == found)
}

/// Whether a text contains one of several, whatever their case; a number is an element of a list.
fn contains_any(found: &str, alternatives: &str) -> bool {
    let found = found.to_lowercase();
    alternatives.split('|').any(|value| {
        if value.bytes().all(|byte| byte.is_ascii_digit()) {
            found.split(|c: char| !c.is_ascii_digit()).any(|number| number == value)
        } else {
            found.contains(&value.to_lowercase())
        }
    })
}

fn selection(expected: &RowExpectation) -> String {
    let from = expected.from.iter().map(|from| format!("from {from}"));
    let equal = expected.equal.iter().map(|(column, values)| format!("{column}={}", listed(values)));
    let with = expected.with.iter().map(|(column, values)| format!("{column}~{}", listed(values)));
    format!("[{}]", from.chain(equal).chain(with).collect::<Vec<_>>().join(" "))
}

fn listed(values: &Texts) -> String {
    values.iter().collect::<Vec<_>>().join(" and ")
}

fn range(least: usize, most: usize) -> String {
    match (least, most) {
        (least, most) if least == most => least.to_string(),
        (least, usize::MAX) => format!("at least {least}"),
        (_, most) => format!("at most {most}"),
    }
}

fn show(table: &str, row: &CsvRow) -> String {
    let columns: &[&str] = match table {
        "finding" | "lead" => &["code", "severity", "message"],
        "requirement" => &["server", "documented_as", "state", "note"],
        "flow" => &["first_frame", "server_ip", "server_port", "name", "outcome", "mechanism"],
        _ => &["frame", "query_name", "query_type", "rcode"],
    };
    columns.iter().filter_map(|column| row.get(*column).cloned()).collect::<Vec<_>>().join(" ")
}
