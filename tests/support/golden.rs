//! The expected rows of a case in `captures/`: every column of every row that has a value.
//!
//! ```text
//! [flow]
//! flow_id=1
//! client_ip=10.1.0.4
//! ```

use std::path::Path;
use std::path::PathBuf;

use afs_audit::judge::DnsRow;
use afs_audit::judge::FindingRow;
use afs_audit::judge::FlowRow;
use afs_audit::judge::RequirementRow;
use afs_audit::report::TableRow;
use serde_json::Value as Json;

use super::files::own_captures;

/// Name of the file with the expected rows, in the folder of each case.
pub const FILE: &str = "expected.rows";

/// Names of the columns of each record, in order.
pub fn columns() -> [(&'static str, Vec<&'static str>); 4] {
    fn of<R: TableRow>() -> (&'static str, Vec<&'static str>) {
        (R::RECORD, R::COLUMNS.iter().map(|column| column.name).collect())
    }
    [of::<FlowRow>(), of::<DnsRow>(), of::<FindingRow>(), of::<RequirementRow>()]
}

/// A row: its record and its cells, in the order of the columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GoldenRow {
    pub record: String,
    pub cells: Vec<(String, String)>,
}

impl GoldenRow {
    /// A record of `--format jsonl`; none if it is no row of a table.
    pub fn from_json(line: &str) -> Option<GoldenRow> {
        let json: Json = serde_json::from_str(line).unwrap();
        let record = text(json.get("record").unwrap());
        if record == "limit" {
            return None;
        }
        let columns = columns().into_iter().find(|(name, _)| *name == record);
        let (_, columns) = columns.unwrap_or_else(|| panic!("unknown record: {line}"));
        let known = columns.iter().filter_map(|name| Some(((*name).to_owned(), text(json.get(name)?))));
        let cells: Vec<_> = known.collect();
        let keys = json.as_object().unwrap().len() - 1;
        assert_eq!(cells.len(), keys, "a key that is not a column: {line}");
        Some(GoldenRow { record, cells })
    }

    /// The value of a column; empty if it has none.
    pub fn cell(&self, column: &str) -> &str {
        self.cells.iter().find(|(name, _)| name == column).map_or("", |(_, value)| value)
    }

    /// Whether the row has every part of a comma-separated description: a record (`finding`), a cell (`code=AFS101`, or
    /// `note=expected: …` for its start), or text in any cell.
    pub fn shows(&self, description: &str) -> bool {
        let is_column = |name: &str| columns().iter().any(|(_, columns)| columns.contains(&name));
        let is_record = |name: &str| columns().iter().any(|(record, _)| *record == name);
        description.split(',').all(|part| match part.split_once('=') {
            Some((column, value)) if is_column(column) => match value.strip_suffix('…') {
                Some(start) => self.cell(column).starts_with(start),
                None => self.cell(column) == value,
            },
            None if is_record(part) => self.record == part,
            _ => self.cells.iter().any(|(_, value)| value.contains(part)),
        })
    }

    fn print(&self) -> String {
        let cells: String = self.cells.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
        format!("[{}]\n{cells}", self.record)
    }
}

fn text(json: &Json) -> String {
    match json {
        Json::String(text) => text.replace('\n', "\\n"),
        Json::Array(items) => items.iter().map(text).collect::<Vec<_>>().join(";"),
        other => other.to_string(),
    }
}

/// The text of a file with these rows.
pub fn print(rows: &[GoldenRow]) -> String {
    rows.iter().map(GoldenRow::print).collect::<Vec<_>>().join("\n")
}

/// The expected rows of a case.
pub fn expected(case: &Path) -> Vec<GoldenRow> {
    let Ok(text) = std::fs::read_to_string(case.join(FILE)) else { return Vec::new() };
    let mut rows: Vec<GoldenRow> = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        match (line.strip_prefix('[').and_then(|line| line.strip_suffix(']')), line.split_once('=')) {
            (Some(record), _) => rows.push(GoldenRow { record: record.to_owned(), cells: Vec::new() }),
            (_, Some((name, value))) => {
                rows.last_mut().unwrap().cells.push((name.to_owned(), value.to_owned()))
            }
            _ => panic!("{}: neither a record nor a cell: {line}", case.display()),
        }
    }
    rows
}

/// The cases of this repository, sorted. The scenarios in `captures/lab` have labels instead.
pub fn cases() -> Vec<PathBuf> {
    let mut cases: Vec<PathBuf> =
        std::fs::read_dir(own_captures()).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.retain(|case| {
        !["lab", "points", "situations"].iter().any(|other| case.ends_with(other)) && case.is_dir()
    });
    cases.sort();
    cases
}

/// The capture files of a case, in order.
pub fn capture_files(case: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(case).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.file_name().unwrap().to_string_lossy().starts_with("capture"));
    files.sort();
    assert!(!files.is_empty(), "{}: no capture", case.display());
    files
}
