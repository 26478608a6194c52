//! Reads the rows of a CSV table that a run wrote.
//!
//! In:  a CSV file (RFC 4180).
//! Out: its rows, each field as text.
//! Not: what a field means; see `stored`.
//!
//! Most rows have no quotes, and are split at their commas. `csv-core` reads the others; its state machine takes ten times as long.

use std::io;
use std::io::BufRead;
use std::ops::Range;

use csv_core::ReadRecordResult;

/// Bytes of a row; the longest that a run writes have some ten thousand.
const ROW_LIMIT: usize = 1 << 24;

/// A table that is being read.
pub(super) struct StoredTable<R> {
    input: R,
    /// The lines of the row.
    lines: Vec<u8>,
    /// The fields without their quotes, if there were any.
    unquoted: Vec<u8>,
    ends: Vec<usize>,
    fields: Vec<Range<usize>>,
    rows: u64,
}

impl<R: BufRead> StoredTable<R> {
    pub(super) const fn new(input: R) -> StoredTable<R> {
        StoredTable {
            input,
            lines: Vec::new(),
            unquoted: Vec::new(),
            ends: Vec::new(),
            fields: Vec::new(),
            rows: 0,
        }
    }

    /// The next row: a text, and the places of the fields in it. None at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<(&str, &[Range<usize>])>> {
        self.lines.clear();
        self.fields.clear();
        self.rows += 1;
        if !self.add_line()? {
            return Ok(None);
        }
        let text = match self.lines.contains(&b'"') {
            false => {
                let mut start = 0;
                for end in memchr::memchr_iter(b',', &self.lines).chain([end_of_line(&self.lines)]) {
                    self.fields.push(start..end);
                    start = end + 1;
                }
                &self.lines
            }
            true => {
                self.unquote()?;
                &self.unquoted
            }
        };
        match std::str::from_utf8(text) {
            Ok(text) => Ok(Some((text, &self.fields))),
            Err(_) => Err(self.error("not UTF-8")),
        }
    }

    /// Appends a line to the row. False at the end of the file.
    fn add_line(&mut self) -> io::Result<bool> {
        let left = (ROW_LIMIT - self.lines.len().min(ROW_LIMIT)) as u64;
        let read = io::Read::take(&mut self.input, left).read_until(b'\n', &mut self.lines)?;
        if self.lines.len() >= ROW_LIMIT {
            return Err(self.error("too long"));
        }
        Ok(read > 0)
    }

    /// Reads a row with quotes. A line break inside of quotes belongs to it.
    fn unquote(&mut self) -> io::Result<()> {
        loop {
            self.unquoted.resize(self.lines.len(), 0);
            self.ends.resize(self.lines.len(), 0);
            let mut reader = csv_core::Reader::new();
            let (result, read, written, ends) =
                reader.read_record(&self.lines, &mut self.unquoted, &mut self.ends);
            match result {
                ReadRecordResult::Record => {}
                // The last row of the file may have no line break.
                ReadRecordResult::InputEmpty if !self.add_line()? => {
                    let rest = self.lines.get(read..).unwrap_or_default();
                    let (unquoted, more) = (self.unquoted.get_mut(written..), self.ends.get_mut(ends..));
                    let (Some(unquoted), Some(more)) = (unquoted, more) else {
                        return Err(self.error("cut"));
                    };
                    let (_, _, _, last) = reader.read_record(rest, unquoted, more);
                    self.take_fields(ends + last);
                    return Ok(());
                }
                ReadRecordResult::InputEmpty => continue,
                _ => return Err(self.error("not CSV")),
            }
            self.take_fields(ends);
            return Ok(());
        }
    }

    fn take_fields(&mut self, count: usize) {
        let mut start = 0;
        for end in self.ends.iter().take(count) {
            self.fields.push(start..*end);
            start = *end;
        }
        self.unquoted.truncate(start);
    }

    fn error(&self, what: &str) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, format!("row {}: {what}", self.rows))
    }
}

/// Where a line's break begins.
fn end_of_line(line: &[u8]) -> usize {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line).len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(bytes: &[u8]) -> Vec<Vec<String>> {
        let mut table = StoredTable::new(bytes);
        let mut rows = Vec::new();
        while let Some((text, fields)) = table.next().unwrap() {
            rows.push(fields.iter().map(|field| text[field.clone()].to_owned()).collect());
        }
        rows
    }

    #[test]
    fn rows_with_and_without_quotes_are_read() {
        assert_eq!(read(b"a,b\n1,\n"), [["a", "b"], ["1", ""]]);
        assert_eq!(read(b"a,\"b, \"\"c\"\"\"\r\n1,2"), [["a", "b, \"c\""], ["1", "2"]]);
        assert_eq!(read(b"\"a\nb\",c\nd,\"e\""), [["a\nb", "c"], ["d", "e"]]);
        assert!(read(b"").is_empty());
    }

    #[test]
    fn a_row_that_is_not_text_is_an_error_with_its_number() {
        let mut table = StoredTable::new(&b"a\n\xff\n"[..]);
        assert!(table.next().unwrap().is_some());
        assert_eq!(table.next().unwrap_err().to_string(), "row 2: not UTF-8");
        let long = vec![b'x'; ROW_LIMIT + 1];
        assert_eq!(StoredTable::new(&*long).next().unwrap_err().to_string(), "row 1: too long");
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(rows in proptest::collection::vec(
            proptest::collection::vec("[a-c,\"\n\r ä]{0,6}", 2..5), 1..6,
        )) {
            let mut written = Vec::new();
            let mut writer = csv::WriterBuilder::new().flexible(true).from_writer(&mut written);
            rows.iter().for_each(|row| writer.write_record(row).unwrap());
            drop(writer);
            prop_assert_eq!(read(&written), rows);
        }
    }
}
