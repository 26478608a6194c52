//! Reads the rows of a CSV table that a run wrote.
//!
//! In:  a CSV file (RFC 4180).
//! Out: its rows, each field as text.
//! Not: what a field means; see `stored`.
//!
//! Jumping from quote to quote and from comma to comma takes a fifth of the instructions of a state machine that looks at each byte.

use std::io;
use std::io::BufRead;
use std::ops::Range;

use memchr::memchr;
use memchr::memmem::Finder;

/// Bytes of a row; the longest that a run writes have some ten thousand.
const ROW_LIMIT: usize = 1 << 24;

/// A row: a text, and the places of the fields in it.
pub(super) type RowText<'a> = (&'a str, &'a [Range<usize>]);

/// A table that is being read.
pub(super) struct StoredTable<R> {
    input: R,
    /// The lines of the row, and after them the fields that contain quotes.
    text: Vec<u8>,
    fields: Vec<Range<usize>>,
    rows: u64,
}

impl<R: BufRead> StoredTable<R> {
    pub(super) const fn new(input: R) -> StoredTable<R> {
        StoredTable::after(0, input)
    }

    /// What follows the header and `rows` rows.
    pub(super) const fn after(rows: u64, input: R) -> StoredTable<R> {
        StoredTable { input, text: Vec::new(), fields: Vec::new(), rows }
    }

    /// The input, which may have been read beyond the last row.
    pub(super) fn into_input(self) -> R {
        self.input
    }

    /// The next row; none at the end.
    pub(super) fn next(&mut self) -> io::Result<Option<RowText<'_>>> {
        if self.begin_row()? { self.split().map(Some) } else { Ok(None) }
    }

    /// The next row with this text in it; none at the end. Of a table that this program wrote, each row is one line.
    pub(super) fn next_with(&mut self, text: &Finder<'_>) -> io::Result<Option<RowText<'_>>> {
        while self.begin_row()? {
            if text.find(&self.text).is_some() {
                return self.split().map(Some);
            }
        }
        Ok(None)
    }

    /// Reads the first line of the next row. False at the end.
    fn begin_row(&mut self) -> io::Result<bool> {
        self.text.clear();
        self.fields.clear();
        self.rows += 1;
        self.add_line()
    }

    /// Divides the row into its fields.
    fn split(&mut self) -> io::Result<RowText<'_>> {
        let mut start = 0;
        let mut with_quotes: Vec<usize> = Vec::new();
        loop {
            let end = if self.text.get(start) == Some(&b'"') {
                let (end, has_quotes) = self.quoted_field(start + 1)?;
                if has_quotes {
                    with_quotes.push(self.fields.len());
                }
                self.fields.push(start + 1..end);
                end + 1
            } else {
                let rest = self.text.get(start..).unwrap_or_default();
                let end = start + find_comma(rest).unwrap_or_else(|| end_of_line(rest));
                self.fields.push(start..end);
                end
            };
            match self.text.get(end) {
                Some(b',') => start = end + 1,
                None | Some(b'\r' | b'\n') => break,
                Some(_) => return Err(self.error("not CSV")),
            }
        }
        for at in with_quotes {
            self.remove_quotes(at);
        }
        match std::str::from_utf8(&self.text) {
            Ok(text) => Ok((text, &self.fields)),
            Err(_) => Err(self.error("not UTF-8")),
        }
    }

    /// Appends a line to the row. False at the end of the file.
    fn add_line(&mut self) -> io::Result<bool> {
        let left = (ROW_LIMIT - self.text.len().min(ROW_LIMIT)) as u64;
        let read = io::Read::take(&mut self.input, left).read_until(b'\n', &mut self.text)?;
        if self.text.len() >= ROW_LIMIT {
            return Err(self.error("too long"));
        }
        Ok(read > 0)
    }

    /// Where the field's closing quote is, and whether the field contains quotes, each of which is doubled. A line break in it
    /// belongs to it.
    fn quoted_field(&mut self, start: usize) -> io::Result<(usize, bool)> {
        let mut from = start;
        let mut has_quotes = false;
        loop {
            match memchr(b'"', self.text.get(from..).unwrap_or_default()) {
                Some(offset) if self.text.get(from + offset + 1) == Some(&b'"') => {
                    has_quotes = true;
                    from += offset + 2;
                }
                Some(offset) => return Ok((from + offset, has_quotes)),
                None => {
                    from = self.text.len();
                    if !self.add_line()? {
                        return Err(self.error("a quote is not closed"));
                    }
                }
            }
        }
    }

    /// Appends the field with single quotes.
    fn remove_quotes(&mut self, at: usize) {
        let Some(field) = self.fields.get_mut(at) else { return };
        let start = self.text.len();
        let mut was_quote = false;
        for place in field.clone() {
            let Some(byte) = self.text.get(place).copied() else { break };
            was_quote = byte == b'"' && !was_quote;
            if !was_quote {
                self.text.push(byte);
            }
        }
        *field = start..self.text.len();
    }

    fn error(&self, what: &str) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, format!("row {}: {what}", self.rows))
    }
}

/// Most fields are empty or short: for these a loop takes less time than a call.
fn find_comma(text: &[u8]) -> Option<usize> {
    const SHORT: usize = 8;
    let short = text.iter().take(SHORT).position(|byte| *byte == b',');
    short.or_else(|| Some(SHORT + memchr(b',', text.get(SHORT..)?)?))
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
    fn rows_with_a_text_are_found() {
        let mut table = StoredTable::new(&b"a,b\n1,not\n2,\"it, is\"\n3,\nit,4"[..]);
        let mut found = Vec::new();
        while let Some((text, fields)) = table.next_with(&Finder::new("it")).unwrap() {
            found.extend(fields.iter().map(|field| text[field.clone()].to_owned()));
        }
        assert_eq!(found, ["2", "it, is", "it", "4"]);
    }

    #[test]
    fn fields_of_all_lengths_are_divided() {
        let row: Vec<String> = (0..20).map(|len| "x".repeat(len)).collect();
        assert_eq!(read(row.join(",").as_bytes()), [row]);
    }

    #[test]
    fn a_row_that_is_not_text_is_an_error_with_its_number() {
        let mut table = StoredTable::new(&b"a\n\xff\n"[..]);
        assert!(table.next().unwrap().is_some());
        assert_eq!(table.next().unwrap_err().to_string(), "row 2: not UTF-8");
        let open = StoredTable::new(&b"\"a\n"[..]).next().unwrap_err().to_string();
        assert_eq!(open, "row 1: a quote is not closed");
        assert_eq!(StoredTable::new(&b"\"a\"b\n"[..]).next().unwrap_err().to_string(), "row 1: not CSV");
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
