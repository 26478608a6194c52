//! Writes records as CSV or JSON lines.
//!
//! In:  records.
//! Out: RFC 4180 rows under one header, or one JSON object per line, to any writer.
//! Not: where the bytes go.

use std::io;
use std::io::Write;
use std::marker::PhantomData;

use super::cell::Cell;
use super::cell::CellFormat;
use super::column::TableRow;
use super::facts::LimitKind;
use super::input_names::InputNames;
use super::kept_rows::KeptColumns;
use super::kept_rows::KeptRows;
use crate::judge::Mechanism;
use crate::judge::ProblemReport;

/// Bytes buffered before a write, so that there is not a system call per row.
const BUFFER: usize = 1 << 16;

/// A CSV table.
pub struct CsvTable<R, W: Write> {
    out: io::BufWriter<W>,
    cell: Cell,
    /// The field being quoted.
    unquoted: Vec<u8>,
    rows: u64,
    /// Bytes of the rows.
    bytes: u64,
    header_len: usize,
    kept: Option<Box<KeptRows>>,
    record: PhantomData<fn(&R)>,
}

impl<R: TableRow, W: Write> CsvTable<R, W> {
    /// Writes the header.
    pub fn new(out: W) -> io::Result<CsvTable<R, W>> {
        let mut header = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
        header.write_record(R::COLUMNS.iter().map(|column| column.name)).map_err(io_error)?;
        let mut out = io::BufWriter::with_capacity(BUFFER, out);
        let header = header.into_inner().unwrap_or_default();
        out.write_all(&header)?;
        Ok(CsvTable {
            out,
            cell: Cell::new(CellFormat::Csv),
            unquoted: Vec::new(),
            rows: 0,
            bytes: 0,
            header_len: header.len(),
            kept: None,
            record: PhantomData,
        })
    }

    /// Keeps columns of the rows in memory, too, within the table's share of `bytes`. Before the first row.
    pub(super) fn keep(&mut self, columns: &KeptColumns, bytes: usize) {
        self.kept = Some(Box::new(KeptRows::new::<R>(columns, bytes, self.header_len)));
    }

    /// Takes the rows that were kept.
    pub(super) fn take_kept(&mut self) -> Option<Box<KeptRows>> {
        self.kept.take()
    }

    /// Writes a row.
    pub fn write(&mut self, row: &R, names: &InputNames) -> io::Result<()> {
        let cell = &mut self.cell;
        cell.out.clear();
        let parts = row.parts();
        for (at, column) in R::COLUMNS.iter().enumerate() {
            let from = cell.out.len();
            column.fill(row, parts, names, cell);
            if let Some(kept) = &mut self.kept {
                kept.add_field(at, cell.out.get(from..).unwrap_or_default());
            }
            if std::mem::take(&mut cell.wants_quotes) {
                quote(&mut cell.out, from, &mut self.unquoted);
            }
            cell.out.push(b',');
        }
        cell.out.pop();
        cell.out.extend_from_slice(b"\r\n");
        self.rows += 1;
        self.bytes += cell.out.len() as u64;
        if let Some(kept) = &mut self.kept {
            kept.end_row(cell.out.len());
        }
        self.out.write_all(&cell.out)
    }

    /// Rows written.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Bytes of the rows written, and of those still buffered.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Writes what is buffered.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// Writes what is buffered and returns the writer.
    pub fn finish(self) -> io::Result<W> {
        self.out.into_inner().map_err(io::IntoInnerError::into_error)
    }
}

/// Quotes the field that begins at `from`. Few fields need quotes, so only these are copied.
fn quote(out: &mut Vec<u8>, from: usize, unquoted: &mut Vec<u8>) {
    unquoted.clear();
    unquoted.extend_from_slice(out.get(from..).unwrap_or_default());
    out.truncate(from);
    out.push(b'"');
    let inside = out.len();
    // At worst every byte is a quote, which is doubled.
    out.resize(inside + 2 * unquoted.len(), 0);
    let space = out.get_mut(inside..).unwrap_or_default();
    let (_, _, written) = csv_core::quote(unquoted, space, b'"', b'"', true);
    out.truncate(inside + written);
    out.push(b'"');
}

/// Unwraps the writer's error from the csv crate's, so that callers recognise a closed pipe.
fn io_error(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    }
}

/// Records of all kinds, one JSON object per line.
///
/// The first key is `record`; the others are the names of the columns. Missing values are left out. Frames of other inputs are
/// strings `name#number`.
pub struct JsonLines<W: Write> {
    out: io::BufWriter<W>,
    cell: Cell,
}

impl<W: Write> JsonLines<W> {
    /// Writes to `out`.
    pub fn new(out: W) -> JsonLines<W> {
        JsonLines { out: io::BufWriter::with_capacity(BUFFER, out), cell: Cell::new(CellFormat::Json) }
    }

    /// Writes a line.
    pub fn write<R: TableRow>(&mut self, row: &R, names: &InputNames) -> io::Result<()> {
        let cell = &mut self.cell;
        cell.out.clear();
        cell.out.extend_from_slice(b"{\"record\":\"");
        cell.out.extend_from_slice(R::RECORD.as_bytes());
        cell.out.push(b'"');
        let parts = row.parts();
        for column in R::COLUMNS {
            let before = cell.out.len();
            cell.out.extend_from_slice(b",\"");
            cell.out.extend_from_slice(column.name.as_bytes());
            cell.out.extend_from_slice(b"\":");
            let value = cell.out.len();
            column.fill(row, parts, names, cell);
            if cell.out.len() == value {
                cell.out.truncate(before);
            }
        }
        cell.out.extend_from_slice(b"}\n");
        self.out.write_all(&cell.out)
    }

    /// Writes a line about a part of the job that was not done: `{"record":"not-done","reason":"…"}`.
    pub fn write_not_done(&mut self, reason: &str) -> io::Result<()> {
        let line = serde_json::json!({ "record": "not-done", "reason": reason });
        writeln!(self.out, "{line}")
    }

    /// Writes a line about what limits the results: `{"record":"limit","kind":"damage","message":"…"}`.
    pub fn write_limit(&mut self, kind: LimitKind, message: &str) -> io::Result<()> {
        let line = serde_json::json!({ "record": "limit", "kind": kind.as_str(), "message": message });
        writeln!(self.out, "{line}")
    }

    /// Writes a line about a problem of a live run: `{"record":"problem","change":"recovered",…}`.
    pub fn write_problem(&mut self, report: &ProblemReport) -> io::Result<()> {
        let ProblemReport { change, time, problem } = report;
        let finding = &problem.finding;
        let line = serde_json::json!({
            "record": "problem",
            "change": change,
            "time": time.to_string(),
            "state": problem.state,
            "code": finding.code.as_str(),
            "severity": finding.severity,
            "target": finding.target,
            "first_seen": problem.first_seen.to_string(),
            "last_seen": problem.last_seen.to_string(),
            "count": problem.count,
            "message": finding.message,
            "audited_host": finding.audited_host.map(|host| host.to_string()),
            "mechanism": finding.mechanism.map(Mechanism::as_str),
        });
        let line: serde_json::Map<String, serde_json::Value> = line
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(_, value)| !value.is_null())
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        let line = serde_json::Value::Object(line);
        writeln!(self.out, "{line}")
    }

    /// Writes what is buffered.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::DnsRow;
    use crate::judge::FindingRow;
    use crate::judge::FlowRow;
    use crate::report::test_support;

    fn csv_of<R: TableRow>(rows: &[R]) -> String {
        let mut csv = CsvTable::new(Vec::new()).unwrap();
        for row in rows {
            csv.write(row, &test_support::names()).unwrap();
        }
        assert_eq!(csv.rows(), rows.len() as u64);
        String::from_utf8(csv.finish().unwrap()).unwrap()
    }

    fn json_of<R: TableRow>(row: &R) -> serde_json::Map<String, serde_json::Value> {
        let mut json = JsonLines::new(Vec::new());
        json.write(row, &test_support::names()).unwrap();
        let line = String::from_utf8(json.out.into_inner().unwrap()).unwrap();
        assert_eq!(line.matches('\n').count(), 1);
        assert!(line.starts_with(&format!("{{\"record\":\"{}\",", R::RECORD)));
        serde_json::from_str(&line).unwrap()
    }

    /// Compares cells as a CSV reader returns them, and CSV with JSON.
    fn check<R: TableRow>(row: R, expected: &[(&str, &str)]) {
        let text = csv_of(std::slice::from_ref(&row));
        assert!(text.ends_with("\r\n"));
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let header = reader.headers().unwrap().clone();
        let cells = reader.records().next().unwrap().unwrap();
        for (name, value) in expected {
            let at = header.iter().position(|column| column == *name).unwrap();
            assert_eq!(cells.get(at), Some(*value), "{name}");
        }
        // JSON has the same values, without formula guards and list separators.
        let json = json_of(&row);
        for (name, cell) in header.iter().zip(cells.iter()) {
            let json_text = match json.get(name) {
                None => String::new(),
                Some(serde_json::Value::Array(items)) => {
                    items.iter().map(text_of).collect::<Vec<_>>().join(";")
                }
                Some(value) => text_of(value),
            };
            let unguarded = cell.replace("\\x3b", ";").replace(";'", ";");
            assert_eq!(json_text, unguarded.strip_prefix('\'').unwrap_or(&unguarded), "{name}");
        }
    }

    fn text_of(value: &serde_json::Value) -> String {
        value.as_str().map_or_else(|| value.to_string(), str::to_owned)
    }

    #[test]
    fn a_flow() {
        check(
            test_support::flow(),
            &[
                ("flow_id", "7"),
                ("community_id", "1:yaap1zIes5xTa/fcPSeJLpdmRZY="),
                ("file", "office.pcapng"),
                ("first_frame", "3"),
                ("last_frame", "office2.pcapng#12"),
                ("first_seen", "2026-07-20T10:11:12.123456000Z"),
                ("transport", "tcp"),
                ("client_ip", "10.1.0.4"),
                ("client_port", "50000"),
                ("vlan", "10;20"),
                ("tunnel", ""),
                ("name", "kailani1.one.microsoft.com"),
                ("name_source", "sni"),
                ("dns_name", ""),
                ("alpn", "h2;http/1.1"),
                ("tls_version", "TLS 1.3"),
                ("ech", ""),
                ("packets_to_client", "9"),
                ("destination_verdict", "documented"),
                ("port_verdict", "443"),
                ("findings", "AFS107"),
                ("evidence_frames", "3;4;office2.pcapng#2"),
            ],
        );
    }

    #[test]
    fn a_hostile_flow() {
        let mut row = test_support::flow();
        row.alpn = Some(crate::base::WireText::new(b"=cmd|' /C calc'!A0", 99));
        row.attributes = test_support::certificate(b"@x,\"y\"\r\n=1;=2");
        row.name = crate::base::HostName::from_wire_text(b"-1+1").map(std::sync::Arc::new);
        check(
            row,
            &[
                ("alpn", "'=cmd|' /C calc'!A0"),
                ("certificate_issuer", "'@x,\"y\"\\x0d\\x0a=1\\x3b=2"),
                ("name", "'-1\\x2b1"),
            ],
        );
    }

    #[test]
    fn a_dns_response() {
        check(
            test_support::dns(),
            &[
                ("file", "office.pcapng"),
                ("frame", "2"),
                ("query_name", "kailani1.one.microsoft.com"),
                ("query_type", "A"),
                ("rcode", "NOERROR"),
                ("answers", "CNAME=edge.example;A=20.60.0.4;TYPE65280=# 1 3b\\x3b;HTTPS=1 . alpn=h2"),
                ("resolved_addresses", "20.60.0.4"),
                ("extended_error", "15 Blocked: by policy"),
                ("query_count", "2"),
                ("truncated", ""),
            ],
        );
    }

    #[test]
    fn an_unanswered_query() {
        let mut row = test_support::dns();
        let resolution = &mut row.resolution;
        resolution.rcode = None;
        resolution.answers.clear();
        row.resolved_addresses.clear();
        check(row, &[("rcode", ""), ("answers", ""), ("resolved_addresses", ""), ("frame", "2")]);
    }

    #[test]
    fn a_finding_and_a_requirement() {
        check(
            test_support::finding(),
            &[
                ("code", "AFS202"),
                ("severity", "high"),
                ("frames", "3;5"),
                ("flows", "7;8"),
                ("documents", "azure-file-sync@2019-06-24"),
                ("file", "office.pcapng"),
            ],
        );
        check(
            test_support::requirement(),
            &[("state", "not-observed"), ("first_seen", ""), ("frames", ""), ("file", "")],
        );
    }

    #[test]
    fn an_empty_table_is_its_header() {
        assert!(csv_of::<FindingRow>(&[]).starts_with("code,title,severity,"));
        assert_eq!(csv_of::<DnsRow>(&[]).lines().count(), 1);
        assert_eq!(csv_of::<FlowRow>(&[]).matches("\r\n").count(), 1);
    }

    /// Prints what a row costs: `cargo test --release --lib speed -- --nocapture`.
    #[test]
    fn speed() {
        let rounds = if cfg!(debug_assertions) { 100 } else { 50_000 };
        let (flow, dns, names) = (test_support::flow(), test_support::dns(), test_support::names());
        let mut flows = CsvTable::<FlowRow, _>::new(io::sink()).unwrap();
        let mut answers = CsvTable::<DnsRow, _>::new(io::sink()).unwrap();
        let mut json = JsonLines::new(io::sink());
        let per_row = |what: &str, write: &mut dyn FnMut()| {
            // The best of several: other load only adds time.
            let best = (0..8).map(|_| {
                let start = std::time::Instant::now();
                (0..rounds).for_each(|_| write());
                start.elapsed().as_nanos() / rounds
            });
            println!("{what}: {} ns", best.min().unwrap_or_default());
        };
        per_row("flow, CSV", &mut || flows.write(&flow, &names).unwrap());
        per_row("dns, CSV", &mut || answers.write(&dns, &names).unwrap());
        per_row("flow, JSON", &mut || json.write(&flow, &names).unwrap());
        per_row("dns, JSON", &mut || json.write(&dns, &names).unwrap());
        let parent = tempfile::tempdir().unwrap();
        let options = crate::report::FolderOptions::default();
        let mut folder =
            crate::report::EvidenceFolder::open(&parent.path().join("evidence"), options).unwrap();
        per_row("flow, hashed in a folder", &mut || folder.flow(&flow, &names).unwrap());
        per_row("community id", &mut || {
            std::hint::black_box(crate::flow::community_id(
                6,
                flow.client,
                std::hint::black_box(flow.server),
            ));
        });
    }
}
