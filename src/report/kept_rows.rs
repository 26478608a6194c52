//! Keeps fields of rows while they are written: the page and the selection of frames need a few columns of each table, and parsing
//! the table for them takes as long as printing it.
//!
//! In:  the fields of each row of a table, without quotes.
//! Out: the same fields, row by row, and where the rows begin that were not kept.
//! Not: rows after the limit. They are read from the file.

use std::hash::BuildHasher as _;
use std::ops::Range;

use hashbrown::HashMap;
use hashbrown::HashTable;

use super::column::TableRow;
use super::stored::StoredRow;
use crate::judge::DnsRow;
use crate::judge::FindingRow;
use crate::judge::FlowRow;

/// Long fields that are kept once.
const LONG_FIELD_LIMIT: usize = 4096;

/// Fields of this length are long. Looking for shorter ones costs more than their bytes.
const LONG_FIELD: usize = 40;

/// Columns of a table that are kept.
pub(super) struct KeptColumns {
    /// The table.
    file: &'static str,
    names: &'static [&'static str],
    /// Rows without a value in this column are not needed; all are if there is none.
    needed: Option<&'static str>,
    /// The share of the memory for all tables.
    one_in: usize,
}

pub(super) const FLOWS: KeptColumns = KeptColumns {
    file: FlowRow::FILE,
    names: &[
        "flow_id",
        "file",
        "first_frame",
        "last_frame",
        "first_seen",
        "transport",
        "client_ip",
        "server_ip",
        "server_port",
        "name",
        "bytes_to_server",
        "bytes_to_client",
        "destination_verdict",
        "port_verdict",
        "outcome",
        "mechanism",
        "inconclusive_reason",
        "references",
        "evidence_frames",
        "requested_port",
    ],
    needed: Some("destination_verdict"),
    one_in: 2,
};

pub(super) const FINDINGS: KeptColumns = KeptColumns {
    file: FindingRow::FILE,
    names: &[
        "code",
        "title",
        "severity",
        "confidence",
        "audited_host",
        "target",
        "name",
        "mechanism",
        "count",
        "message",
        "recommendation",
        "file",
        "frames",
        "references",
        "cause",
    ],
    needed: None,
    one_in: 4,
};

pub(super) const DNS: KeptColumns = KeptColumns {
    file: DnsRow::FILE,
    names: &[
        "file",
        "frame",
        "client_ip",
        "query_name",
        "query_type",
        "rcode",
        "resolved_addresses",
        "query_frame",
    ],
    needed: None,
    one_in: 8,
};

/// The first rows of a table, some columns of them.
pub(super) struct KeptRows {
    file: &'static str,
    /// By column of the table.
    is_kept: Vec<bool>,
    /// Indexes of the kept columns.
    columns: HashMap<String, usize>,
    /// The index in the table of the column that a needed row has a value in.
    needed: Option<usize>,
    limit: usize,
    /// Fields of all rows, one after the other.
    text: Vec<u8>,
    /// For each field a number: twice the length of its text, or twice the index of a long field that is in the text, plus one.
    numbers: Vec<u8>,
    /// Long fields by their content: flows to a destination cite the same list.
    by_content: HashTable<u32>,
    long_fields: Vec<Range<u32>>,
    hasher: foldhash::fast::RandomState,
    row: RowStart,
    /// Rows of the table so far, also those that are not needed, and their bytes.
    rows: u64,
    bytes: u64,
    is_full: bool,
}

/// Where the current row begins.
#[derive(Default)]
struct RowStart {
    text: usize,
    numbers: usize,
    long_fields: usize,
    lacks_needed: bool,
}

impl KeptRows {
    /// Keeps columns of a table whose header has `header_len` bytes, within the table's share of `bytes`.
    pub(super) fn new<R: TableRow>(kept: &KeptColumns, bytes: usize, header_len: usize) -> KeptRows {
        let is_kept: Vec<bool> = R::COLUMNS.iter().map(|column| kept.names.contains(&column.name)).collect();
        let columns = R::COLUMNS.iter().filter(|column| kept.names.contains(&column.name));
        let needed = |name| R::COLUMNS.iter().position(|column| column.name == name);
        KeptRows {
            file: kept.file,
            is_kept,
            columns: columns.enumerate().map(|(at, column)| (column.name.to_owned(), at)).collect(),
            needed: kept.needed.and_then(needed),
            limit: bytes / kept.one_in,
            text: Vec::new(),
            numbers: Vec::new(),
            by_content: HashTable::new(),
            long_fields: Vec::new(),
            hasher: foldhash::fast::RandomState::default(),
            row: RowStart::default(),
            rows: 0,
            bytes: header_len as u64,
            is_full: false,
        }
    }

    /// The table.
    pub(super) fn file(&self) -> &'static str {
        self.file
    }

    /// Adds a field of the current row. `column` is its index in the table.
    #[inline]
    pub(super) fn add_field(&mut self, column: usize, field: &[u8]) {
        if self.is_kept.get(column) == Some(&true) && !self.is_full {
            self.row.lacks_needed |= field.is_empty() && self.needed == Some(column);
            self.push(field);
        }
    }

    fn push(&mut self, field: &[u8]) {
        if field.len() < LONG_FIELD {
            self.text.extend_from_slice(field);
            self.push_number(field.len() * 2);
            return;
        }
        let hash = self.hasher.hash_one(field);
        let (text, long_fields) = (&self.text, &self.long_fields);
        let of = |index: &u32| long_fields.get(*index as usize).map(|place| bytes_of(text, place));
        if let Some(index) = self.by_content.find(hash, |index| of(index) == Some(field)) {
            let number = *index as usize * 2 + 1;
            self.push_number(number);
            return;
        }
        if long_fields.len() < LONG_FIELD_LIMIT && !self.row.lacks_needed {
            let hasher = &self.hasher;
            let index = long_fields.len() as u32;
            self.by_content
                .insert_unique(hash, index, |index| hasher.hash_one(of(index).unwrap_or_default()));
            // The limit of the text is far below what 32 bits can count.
            let start = self.text.len() as u32;
            self.long_fields.push(start..start + field.len() as u32);
        }
        self.text.extend_from_slice(field);
        self.push_number(field.len() * 2);
    }

    /// Seven bits a byte, the lowest first; the highest bit says that more follow.
    fn push_number(&mut self, mut number: usize) {
        while number >= 0x80 {
            self.numbers.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.numbers.push(number as u8);
    }

    /// Ends the row, which has `len` bytes in the table.
    pub(super) fn end_row(&mut self, len: usize) {
        if self.is_full {
            return;
        }
        if self.text.len() + self.numbers.len() > self.limit {
            // What is left of its text belongs to no row.
            self.numbers.truncate(self.row.numbers);
            self.is_full = true;
            return;
        }
        // Text that later rows may refer to stays, and its row with it: readers pass over it.
        if self.row.lacks_needed && self.row.long_fields == self.long_fields.len() {
            self.text.truncate(self.row.text);
            self.numbers.truncate(self.row.numbers);
        }
        self.row = RowStart {
            text: self.text.len(),
            numbers: self.numbers.len(),
            long_fields: self.long_fields.len(),
            lacks_needed: false,
        };
        self.rows += 1;
        self.bytes += len as u64;
    }

    /// Rows and bytes of the table before the first row that was not kept; none if all were.
    pub(super) fn reach(&self) -> Option<(u64, u64)> {
        self.is_full.then_some((self.rows, self.bytes))
    }

    /// Calls `each` with every kept row, in order.
    pub(super) fn for_each_row(&self, each: &mut dyn FnMut(&StoredRow<'_>)) {
        // Columns write text.
        let text = std::str::from_utf8(&self.text).unwrap_or_default();
        let mut fields: Vec<Range<usize>> = Vec::with_capacity(self.columns.len());
        let mut numbers = self.numbers.iter();
        let mut start = 0;
        while let Some(number) = take_number(&mut numbers) {
            if number % 2 == 0 {
                fields.push(start..start + number / 2);
                start += number / 2;
            } else {
                let place = self.long_fields.get(number / 2).cloned().unwrap_or_default();
                fields.push(place.start as usize..place.end as usize);
            }
            if fields.len() == self.columns.len() {
                each(&StoredRow::kept(&self.columns, text, &fields));
                fields.clear();
            }
        }
    }
}

fn take_number(bytes: &mut std::slice::Iter<'_, u8>) -> Option<usize> {
    let mut number = 0;
    let mut shift = 0_u32;
    loop {
        let byte = *bytes.next()?;
        number |= usize::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Some(number);
        }
        shift += 7;
    }
}

fn bytes_of<'a>(text: &'a [u8], place: &Range<u32>) -> &'a [u8] {
    text.get(place.start as usize..place.end as usize).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::table::CsvTable;
    use super::super::test_support;
    use super::*;
    use crate::judge::Documented;
    use std::sync::Arc;

    /// Writes rows and keeps them within the share of `bytes`. Returns the names of the rows kept, the place of the others, and the table.
    fn check(rows: &[FlowRow], bytes: usize) -> (Vec<String>, Option<(u64, u64)>, Vec<u8>) {
        let mut table = CsvTable::new(Vec::new()).unwrap();
        table.keep(&FLOWS, bytes);
        rows.iter().for_each(|row| table.write(row, &test_support::names()).unwrap());
        let kept = table.take_kept().unwrap();
        let mut found = Vec::new();
        kept.for_each_row(&mut |row| {
            assert_eq!(row.raw("server_port"), "443");
            assert_eq!(row.raw("evidence_frames"), "3;4;office2.pcapng#2");
            found.push(format!("{} {}", row.raw("flow_id"), row.text("references")));
        });
        (found, kept.reach(), table.finish().unwrap())
    }

    fn flow(flow_id: u64) -> FlowRow {
        let documented = Documented {
            references: format!("afs-2024-05-13/endpoints/6.2 (as meant);of-every-second/{}", flow_id % 2),
            ..Documented::default()
        };
        FlowRow { flow_id, documented: Some(Arc::new(documented)), ..test_support::flow() }
    }

    #[test]
    fn rows_are_kept_as_they_are_written() {
        let rows: Vec<FlowRow> = (0..3).map(flow).collect();
        let (kept, rest, table) = check(&rows, 1 << 20);
        let mut reader = csv::Reader::from_reader(table.as_slice());
        let at = reader.headers().unwrap().iter().position(|column| column == "references").unwrap();
        let written: Vec<String> =
            reader.records().map(|row| row.map(|row| format!("{} {}", &row[0], &row[at])).unwrap()).collect();
        assert_eq!((kept, rest), (written, None));
    }

    #[test]
    fn rows_that_are_not_needed_are_not_kept() {
        let unaudited = FlowRow { destination_verdict: None, ..flow(8) };
        let (kept, rest, _) = check(&[flow(1), unaudited, flow(3)], 1 << 20);
        let numbers: Vec<&str> = kept.iter().filter_map(|row| row.split(' ').next()).collect();
        assert_eq!((numbers, rest), (vec!["1", "3"], None));
    }

    #[test]
    fn rows_after_the_limit_are_in_the_table() {
        let rows: Vec<FlowRow> = (0..100).map(flow).collect();
        let (kept, rest, table) = check(&rows, 4000);
        let (before, bytes) = rest.unwrap();
        assert!(before > 2 && before < 98 && kept.len() as u64 == before, "{before}");
        let after = String::from_utf8(table[bytes as usize..].to_vec()).unwrap();
        assert!(after.starts_with(&format!("{before},")), "{}", &after[..40]);
    }
}
