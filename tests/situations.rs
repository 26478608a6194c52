//! The first screen names the cause in the situations that engineers meet.
//!
//! In:  `captures/situations`: captures with site files, and what the audit has to say first about each.
//! Out: situations that it tells otherwise; `docs/situations.md`, which lists what it says.
//! Not: what was reported in the field; see `tests/field.rs`.
//!
//! `BLESS=1` writes `docs/situations.md`; read its diff before committing.

#![expect(clippy::unwrap_used, reason = "a panic shows where a test failed")]

mod support;

use std::fmt::Write as _;
use std::path::Path;
use std::path::PathBuf;
use std::process::Command;

use serde::Deserialize;
use serde_json::Value;

use support::files::map_parallel;

#[derive(Debug, Deserialize)]
struct Situations {
    situation: Vec<Situation>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Situation {
    capture: String,
    what: String,
    /// The first finding; none where nothing is wrong.
    code: Option<String>,
    severity: Option<String>,
    #[serde(default)]
    says: Vec<String>,
    /// Texts of its recommendation.
    #[serde(default)]
    advises: Vec<String>,
    /// Texts of the summary.
    #[serde(default)]
    summary: Vec<String>,
    /// Codes of findings that it must not have.
    #[serde(default)]
    lacks: Vec<String>,
    /// Codes of findings that the first one explains.
    #[serde(default)]
    explains: Vec<String>,
}

const HEAD: &str = "\
# Situations

What the audit says first in situations that engineers meet. The captures are in `captures/situations`; each has a site file of its
own. `tests/situations.rs` compares this page with what the program says.

```sh
afs-audit analyze captures/situations/proxy-silent.pcap --site captures/situations/proxy-silent.toml
```

| situation | capture | what the audit says first |
| --- | --- | --- |
";

#[test]
fn the_first_finding_names_the_cause() {
    let text = std::fs::read_to_string(folder().join("situations.toml")).unwrap();
    let situations = toml::from_str::<Situations>(&text).unwrap().situation;
    assert!(situations.len() >= 20);
    let audited = map_parallel(&situations, |situation| findings(&situation.capture));
    let (mut wrong, mut page) = (String::new(), HEAD.to_owned());
    for (situation, findings) in situations.iter().zip(&audited) {
        for fault in faults(situation, findings) {
            writeln!(wrong, "{}: {fault}", situation.capture).unwrap();
        }
        let first = findings.first();
        let says = match first {
            Some(first) => {
                format!("`{}` {}: {}", cell(first, "code"), cell(first, "title"), cell(first, "message"))
            }
            None => "no findings".to_owned(),
        };
        let says = says.replace('|', "\\|").replace('*', "\\*");
        writeln!(page, "| {} | `{}` | {says} |", situation.what, situation.capture).unwrap();
    }
    assert!(wrong.is_empty(), "{wrong}");
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/situations.md");
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == page, "docs/situations.md is not what the audit says: run the test with BLESS=1");
}

/// The summary says what no finding is about.
#[test]
fn the_summary_names_what_is_missing() {
    let text = std::fs::read_to_string(folder().join("situations.toml")).unwrap();
    let mut situations = toml::from_str::<Situations>(&text).unwrap().situation;
    situations.retain(|situation| !situation.summary.is_empty());
    assert!(situations.len() >= 2);
    for Situation { capture, summary, .. } in situations {
        let path = folder().join(&capture);
        let output = Command::new(env!("CARGO_BIN_EXE_afs-audit"))
            .args(["analyze", "--color", "never", "--site"])
            .args([path.with_extension("toml"), path.with_extension("pcap")])
            .output()
            .unwrap();
        let printed = String::from_utf8(output.stdout).unwrap();
        let printed = printed.split_whitespace().collect::<Vec<_>>().join(" ");
        for expected in summary {
            assert!(printed.contains(&expected), "{capture}: expected `{expected}` in: {printed}");
        }
    }
}

/// No capture is left out, and each has its site file.
#[test]
fn every_capture_is_a_situation() {
    let text = std::fs::read_to_string(folder().join("situations.toml")).unwrap();
    for entry in std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path()) {
        let name = entry.file_stem().unwrap().to_str().unwrap();
        if entry.extension().is_some_and(|extension| extension == "pcap") {
            assert!(text.contains(&format!("capture = \"{name}\"")), "situations.toml has no {name}");
            assert!(entry.with_extension("toml").is_file(), "{name} has no site file");
        }
    }
}

/// What is not as expected.
fn faults(situation: &Situation, findings: &[Value]) -> Vec<String> {
    let (Some(code), Some(first)) = (&situation.code, findings.first()) else {
        let codes: Vec<&str> = findings.iter().map(|row| cell(row, "code")).collect();
        let is_right = situation.code.is_none() && findings.is_empty();
        return if is_right {
            Vec::new()
        } else {
            vec![format!("expected {:?}, found {codes:?}", situation.code)]
        };
    };
    let mut faults = Vec::new();
    for (column, expected) in [("code", Some(code)), ("severity", situation.severity.as_ref())] {
        if let Some(expected) = expected.filter(|expected| *expected != cell(first, column)) {
            faults.push(format!("expected {column} {expected}, found {}", cell(first, column)));
        }
    }
    for (column, texts) in [("message", &situation.says), ("recommendation", &situation.advises)] {
        let printed = cell(first, column);
        for text in texts.iter().filter(|text| !printed.contains(*text)) {
            faults.push(format!("expected `{text}` in: {printed}"));
        }
    }
    for code in situation.lacks.iter().filter(|code| findings.iter().any(|row| cell(row, "code") == *code)) {
        faults.push(format!("expected no {code}"));
    }
    let mut explained: Vec<&str> = findings
        .iter()
        .filter(|row| cell(row, "cause") == code.as_str())
        .map(|row| cell(row, "code"))
        .collect();
    explained.sort_unstable();
    explained.dedup();
    if explained != situation.explains {
        faults.push(format!("expected to explain {:?}, found {explained:?}", situation.explains));
    }
    faults
}

/// The findings of a capture, the first one first.
fn findings(capture: &str) -> Vec<Value> {
    let path = folder().join(capture);
    let output = Command::new(env!("CARGO_BIN_EXE_afs-audit"))
        .args(["analyze", "-q", "--format", "jsonl", "--site"])
        .args([path.with_extension("toml"), path.with_extension("pcap")])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!text.is_empty(), "{capture}: {}", String::from_utf8_lossy(&output.stderr));
    let rows = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    rows.filter(|row| cell(row, "record") == "finding").collect()
}

fn cell<'a>(row: &'a Value, column: &str) -> &'a str {
    row.get(column).and_then(Value::as_str).unwrap_or_default()
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("captures/situations")
}
