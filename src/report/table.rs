//! Rows as bytes: CSV and JSON lines.
//!
//! In:  records.
//! Out: RFC 4180 rows under one header, or one JSON object a line, into any writer.
//! Not: where the bytes go.

use std::io;
use std::io::Write;
use std::marker::PhantomData;

use super::cell::Cell;
use super::cell::Form;
use super::columns::Record;
use super::names::Names;

/// How much is gathered before it is written: a page cache's worth, not a syscall per row.
const BUFFER: usize = 1 << 16;

/// One table of CSV.
pub struct Csv<R, W: Write> {
    out: io::BufWriter<W>,
    cell: Cell,
    /// The field that is being quoted.
    bare: Vec<u8>,
    rows: u64,
    record: PhantomData<fn(&R)>,
}

impl<R: Record, W: Write> Csv<R, W> {
    /// Begins the table: writes its header.
    pub fn new(out: W) -> io::Result<Csv<R, W>> {
        let mut header = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(Vec::new());
        header.write_record(R::COLUMNS.iter().map(|column| column.name)).map_err(plain)?;
        let mut out = io::BufWriter::with_capacity(BUFFER, out);
        out.write_all(&header.into_inner().unwrap_or_default())?;
        Ok(Csv { out, cell: Cell::new(Form::Csv), bare: Vec::new(), rows: 0, record: PhantomData })
    }

    /// Adds a row.
    pub fn write(&mut self, row: &R, names: &Names) -> io::Result<()> {
        let cell = &mut self.cell;
        cell.out.clear();
        for column in R::COLUMNS {
            let from = cell.out.len();
            (column.cell)(row, names, cell);
            if std::mem::take(&mut cell.wants_quotes) {
                quote(&mut cell.out, from, &mut self.bare);
            }
            cell.out.push(b',');
        }
        cell.out.pop();
        cell.out.extend_from_slice(b"\r\n");
        self.rows += 1;
        self.out.write_all(&cell.out)
    }

    /// How many rows were written.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Hands everything on.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// Hands everything on and gives the writer back.
    pub fn finish(self) -> io::Result<W> {
        self.out.into_inner().map_err(io::IntoInnerError::into_error)
    }
}

/// Puts what stands behind `from` in quotes. Few fields need it, so that only these are copied.
fn quote(out: &mut Vec<u8>, from: usize, bare: &mut Vec<u8>) {
    bare.clear();
    bare.extend_from_slice(out.get(from..).unwrap_or_default());
    out.truncate(from);
    out.push(b'"');
    let inside = out.len();
    // Each byte may be a quote, and is doubled.
    out.resize(inside + 2 * bare.len(), 0);
    let room = out.get_mut(inside..).unwrap_or_default();
    let (_, _, written) = csv_core::quote(bare, room, b'"', b'"', true);
    out.truncate(inside + written);
    out.push(b'"');
}

/// The writer's own error: the csv crate wraps it, and callers want to know a closed pipe.
fn plain(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    }
}

/// Records of all kinds, one JSON object a line.
///
/// The first key is `record`, then come the columns under their names. Numbers are numbers and lists are arrays;
/// what is not known is left out. Frames in other inputs are strings `name#number`.
pub struct JsonLines<W: Write> {
    out: io::BufWriter<W>,
    cell: Cell,
}

impl<W: Write> JsonLines<W> {
    /// A stream without records.
    pub fn new(out: W) -> JsonLines<W> {
        JsonLines { out: io::BufWriter::with_capacity(BUFFER, out), cell: Cell::new(Form::Json) }
    }

    /// Adds a line.
    pub fn write<R: Record>(&mut self, row: &R, names: &Names) -> io::Result<()> {
        let cell = &mut self.cell;
        cell.out.clear();
        cell.out.extend_from_slice(b"{\"record\":\"");
        cell.out.extend_from_slice(R::RECORD.as_bytes());
        cell.out.push(b'"');
        for column in R::COLUMNS {
            let before = cell.out.len();
            cell.out.extend_from_slice(b",\"");
            cell.out.extend_from_slice(column.name.as_bytes());
            cell.out.extend_from_slice(b"\":");
            let value = cell.out.len();
            (column.cell)(row, names, cell);
            if cell.out.len() == value {
                cell.out.truncate(before);
            }
        }
        cell.out.extend_from_slice(b"}\n");
        self.out.write_all(&cell.out)
    }

    /// Hands everything on.
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

    fn csv_of<R: Record>(rows: &[R]) -> String {
        let mut csv = Csv::new(Vec::new()).unwrap();
        for row in rows {
            csv.write(row, &test_support::names()).unwrap();
        }
        assert_eq!(csv.rows(), rows.len() as u64);
        String::from_utf8(csv.finish().unwrap()).unwrap()
    }

    fn json_of<R: Record>(row: &R) -> serde_json::Map<String, serde_json::Value> {
        let mut json = JsonLines::new(Vec::new());
        json.write(row, &test_support::names()).unwrap();
        let line = String::from_utf8(json.out.into_inner().unwrap()).unwrap();
        assert_eq!(line.matches('\n').count(), 1);
        assert!(line.starts_with(&format!("{{\"record\":\"{}\",", R::RECORD)));
        serde_json::from_str(&line).unwrap()
    }

    /// The row as a foreign reader of CSV sees it, column by column.
    fn check<R: Record>(row: R, expected: &[(&str, &str)]) {
        let text = csv_of(std::slice::from_ref(&row));
        assert!(text.ends_with("\r\n"));
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let header = reader.headers().unwrap().clone();
        let cells = reader.records().next().unwrap().unwrap();
        for (name, value) in expected {
            let at = header.iter().position(|column| column == *name).unwrap();
            assert_eq!(cells.get(at), Some(*value), "{name}");
        }
        // JSON says the same, without quotes, guards and separators.
        let json = json_of(&row);
        for (name, cell) in header.iter().zip(cells.iter()) {
            let said = match json.get(name) {
                None => String::new(),
                Some(serde_json::Value::Array(items)) => {
                    items.iter().map(text_of).collect::<Vec<_>>().join(";")
                }
                Some(value) => text_of(value),
            };
            let bare = cell.replace("\\x3b", ";").replace(";'", ";");
            assert_eq!(said, bare.strip_prefix('\'').unwrap_or(&bare), "{name}");
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
        row.certificate_issuer = Some(crate::base::WireText::new(b"@x,\"y\"\r\n=1;=2", 99));
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
    fn a_dns_answer() {
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
    fn a_query_without_answer() {
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

    /// Not a test of anything: `cargo test --release --lib speed -- --nocapture` says what a row costs.
    #[test]
    fn speed() {
        let rounds = if cfg!(debug_assertions) { 100 } else { 50_000 };
        let (flow, dns, names) = (test_support::flow(), test_support::dns(), test_support::names());
        let mut flows = Csv::<FlowRow, _>::new(io::sink()).unwrap();
        let mut answers = Csv::<DnsRow, _>::new(io::sink()).unwrap();
        let mut json = JsonLines::new(io::sink());
        let per_row = |what: &str, write: &mut dyn FnMut()| {
            // The best of several: other work on the machine only ever adds.
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
        let overwrite = crate::report::Overwrite::Ours;
        let mut folder = crate::report::Folder::open(&parent.path().join("evidence"), overwrite).unwrap();
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
