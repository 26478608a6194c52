//! One value of a row, as CSV or as JSON.
//!
//! In:  numbers, times, addresses, trusted words and untrusted text.
//! Out: the bytes of a CSV field before quoting, or of a JSON value; nothing when nothing is known.
//! Not: which column it is.
//!
//! Untrusted text in CSV must not become a formula: a spreadsheet evaluates a cell that begins with one of `= + - @` (OWASP, CSV
//! injection). Such text gets a leading `'`. `;` separates list elements here, and columns in the spreadsheets of many European
//! locales: where it would, an untrusted `;` is written `\x3b`.

use std::io::Write as _;

use super::decimal;
use super::input_names::InputNames;
use crate::base::Address;
use crate::base::FileId;
use crate::base::FrameRef;
use crate::base::Time;

/// The output format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CellFormat {
    /// Text without quotes. The caller quotes it if needed.
    Csv,
    /// A JSON value.
    Json,
}

/// Whether text may hold anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextOrigin {
    /// A word of this program: never a formula, never a separator.
    Trusted,
    /// Text from packets, files or the command line, or that contains some.
    Untrusted,
}

/// Writes the value of one cell.
///
/// What most columns call is not inlined: the code of all columns of a row is to fit into the instruction cache.
pub struct Cell {
    pub(super) out: Vec<u8>,
    form: CellFormat,
    clock: Clock,
    /// Inside a list: the elements so far.
    list: Option<usize>,
    /// Where the current text begins.
    text_from: usize,
    /// CSV: the text since the caller reset this contains a comma or a quote.
    pub(super) wants_quotes: bool,
}

impl Cell {
    pub(super) fn new(form: CellFormat) -> Cell {
        Cell {
            out: Vec::with_capacity(1024),
            form,
            clock: Clock::default(),
            list: None,
            text_from: 0,
            wants_quotes: false,
        }
    }

    /// A number.
    #[inline]
    pub fn number(&mut self, number: impl Into<u64>) {
        self.wide_number(number.into());
    }

    #[inline(never)]
    fn wide_number(&mut self, number: u64) {
        self.next();
        decimal::push_number(&mut self.out, number);
    }

    /// A trusted text; empty means missing.
    #[inline]
    pub fn word(&mut self, word: &str) {
        self.text(word, TextOrigin::Trusted);
    }

    /// A word of a fixed list, which needs neither quotes nor escapes; empty means missing.
    #[inline(never)]
    pub fn keyword(&mut self, word: &str) {
        debug_assert!(!word.bytes().any(|byte| is_separator(byte) || byte == b'\\'), "{word}");
        if !word.is_empty() {
            self.begin();
            self.out.extend_from_slice(word.as_bytes());
            self.end();
        }
    }

    /// Text; empty means missing.
    #[inline(never)]
    pub fn text(&mut self, text: &str, origin: TextOrigin) {
        if !text.is_empty() {
            self.begin();
            self.push(text, origin);
            self.end();
        }
    }

    /// `true`, or missing: a capture can show that something was there, never that it was not.
    #[inline]
    pub fn flag(&mut self, is_set: bool) {
        if is_set {
            self.next();
            self.out.extend_from_slice(b"true");
        }
    }

    /// A time.
    #[inline(never)]
    pub fn time(&mut self, time: Time) {
        self.begin();
        self.clock.write(time, &mut self.out);
        self.end();
    }

    /// An address.
    #[inline(never)]
    pub fn address(&mut self, address: Address) {
        self.begin();
        self.push_address(address);
        self.end();
    }

    /// A frame: its number if it is in the row's own file, otherwise `name#number`.
    #[inline(never)]
    pub fn frame(&mut self, frame: FrameRef, own: FileId, names: &InputNames) {
        if frame.file == own {
            self.number(frame.number);
        } else {
            self.begin();
            self.push(names.file(frame.file), TextOrigin::Untrusted);
            self.push("#", TextOrigin::Trusted);
            self.push_number(frame.number);
            self.end();
        }
    }

    /// Several frames.
    pub fn frames(&mut self, frames: &[FrameRef], own: FileId, names: &InputNames) {
        self.list(frames, |cell, frame| cell.frame(*frame, own, names));
    }

    /// A list: joined with `;` in CSV, an array in JSON. An empty list means missing.
    pub fn list<T>(&mut self, items: impl IntoIterator<Item = T>, mut write: impl FnMut(&mut Cell, T)) {
        let from = self.out.len();
        if self.form == CellFormat::Json {
            self.out.push(b'[');
        }
        self.list = Some(0);
        for item in items {
            write(self, item);
        }
        let written = self.list.take().unwrap_or_default();
        if self.form == CellFormat::Json {
            if written == 0 {
                self.out.truncate(from);
            } else {
                self.out.push(b']');
            }
        }
    }

    /// A list whose elements are already joined with `;`.
    pub fn joined(&mut self, text: &str, origin: TextOrigin) {
        if self.form == CellFormat::Csv && (origin == TextOrigin::Trusted || is_plain_list(text)) {
            self.word(text);
        } else if !text.is_empty() {
            self.list(text.split(';'), |cell, item| cell.text(item, origin));
        }
    }

    /// Begins a text that is written in parts.
    #[inline(never)]
    pub fn begin(&mut self) {
        self.next();
        if self.form == CellFormat::Json {
            self.out.push(b'"');
        }
        self.text_from = self.out.len();
    }

    /// Adds a part to the text.
    #[inline(never)]
    pub fn push(&mut self, text: &str, origin: TextOrigin) {
        match (self.form, origin) {
            (CellFormat::Json, _) => push_json(&mut self.out, text),
            (CellFormat::Csv, TextOrigin::Trusted) => {
                self.wants_quotes |= text.bytes().fold(false, |found, byte| found | is_separator(byte));
                self.out.extend_from_slice(text.as_bytes());
            }
            (CellFormat::Csv, TextOrigin::Untrusted) => {
                if self.out.len() == self.text_from && begins_formula(text) {
                    self.out.push(b'\'');
                }
                self.wants_quotes |= push_untrusted(&mut self.out, text, self.list.is_some());
            }
        }
    }

    /// Adds a number to the text.
    pub fn push_number(&mut self, number: impl Into<u64>) {
        decimal::push_number(&mut self.out, number.into());
    }

    /// Adds an address to the text.
    pub fn push_address(&mut self, address: Address) {
        if address.is_v4() {
            let [a, b, c, d] = (address.0 as u32).to_be_bytes();
            for (octet, separator) in [(a, b'.'), (b, b'.'), (c, b'.')] {
                decimal::push_number(&mut self.out, u64::from(octet));
                self.out.push(separator);
            }
            decimal::push_number(&mut self.out, u64::from(d));
        } else {
            // Writing into a Vec cannot fail.
            let _ = write!(self.out, "{address}");
        }
    }

    /// Ends the text.
    #[inline]
    pub fn end(&mut self) {
        if self.form == CellFormat::Json {
            self.out.push(b'"');
        }
    }

    /// Writes the separator before a list element.
    #[inline]
    fn next(&mut self) {
        if let Some(written) = &mut self.list {
            if *written > 0 {
                self.out.push(if self.form == CellFormat::Json { b',' } else { b';' });
            }
            *written += 1;
        }
    }
}

/// Whether a spreadsheet would evaluate the text: spaces, then a trigger. A single sign is not a formula.
pub(super) fn begins_formula(text: &str) -> bool {
    // Fast path for almost every cell.
    if text.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric) {
        return false;
    }
    let text = text.trim_start_matches(|c: char| c.is_whitespace() || c.is_control());
    let mut chars = text.chars();
    chars.next().is_some_and(is_trigger) && chars.next().is_some()
}

/// The four signs, and their full-width forms, which some spreadsheets normalise.
const fn is_trigger(c: char) -> bool {
    matches!(c, '=' | '+' | '-' | '@' | '＝' | '＋' | '－' | '＠')
}

/// Whether no element of a joined list is empty or needs quotes, an escape or a guard: nearly all are so.
fn is_plain_list(text: &str) -> bool {
    // Without an early exit, so that the loops are vectorised.
    let is_odd =
        |byte: u8| !(byte.is_ascii_alphanumeric() | matches!(byte, b';' | b' ' | b'.' | b'/' | b':' | b'_'));
    let has_odd = text.bytes().fold(false, |found, byte| found | is_odd(byte));
    let mut pairs = text.bytes().zip(text.bytes().skip(1));
    !has_odd && !pairs.any(|pair| pair == (b';', b';')) && !text.starts_with(';') && !text.ends_with(';')
}

/// Bytes that need quotes in CSV. Line ends need them too, but as control characters they are always escaped.
const fn is_separator(byte: u8) -> bool {
    byte == b',' || byte == b'"'
}

/// Writes untrusted text without control characters, and without `;` where it would separate. True if it needs quotes.
fn push_untrusted(out: &mut Vec<u8>, text: &str, in_list: bool) -> bool {
    // Without an early exit, so that the loop is vectorised.
    let (wants_quotes, wants_escapes) = text.bytes().fold((false, false), |(quotes, escapes), byte| {
        (quotes | is_separator(byte), escapes | (byte == b';') | (byte < 0x20) | (byte == 0x7f))
    });
    if !wants_escapes {
        out.extend_from_slice(text.as_bytes());
        return wants_quotes;
    }
    let part = |range: std::ops::Range<usize>| text.get(range).unwrap_or_default();
    let mut copied = 0;
    for (at, byte) in text.bytes().enumerate() {
        let after = at + 1;
        let separates = || in_list || begins_formula(part(after..text.len()));
        if byte.is_ascii_control() || (byte == b';' && separates()) {
            out.extend_from_slice(part(copied..at).as_bytes());
            // Writing into a Vec cannot fail.
            let _ = write!(out, "\\x{byte:02x}");
            copied = after;
        }
    }
    out.extend_from_slice(part(copied..text.len()).as_bytes());
    wants_quotes
}

/// Writes the content of a JSON string (RFC 8259 §7).
fn push_json(out: &mut Vec<u8>, text: &str) {
    if !text.bytes().any(|byte| byte < 0x20 || byte == b'"' || byte == b'\\') {
        out.extend_from_slice(text.as_bytes());
        return;
    }
    for byte in text.bytes() {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            0..0x20 => {
                let _ = write!(out, "\\u{byte:04x}");
            }
            _ => out.push(byte),
        }
    }
}

/// Prints times. It keeps the text of the last minute, which neighbouring rows share.
#[derive(Debug, Default)]
struct Clock {
    minute: Option<i64>,
    /// `2026-07-20T10:11:`.
    text: Vec<u8>,
}

impl Clock {
    fn write(&mut self, time: Time, out: &mut Vec<u8>) {
        let secs = time.secs();
        let minute = secs.div_euclid(60);
        if self.minute != Some(minute) {
            self.text.clear();
            let whole = Time::from_parts(minute.saturating_mul(60), 0);
            let _ = write!(self.text, "{whole}");
            // Remove `00.000000000Z`.
            self.text.truncate(self.text.len().saturating_sub(13));
            self.minute = Some(minute);
            if whole.secs() != minute.saturating_mul(60) {
                // The first minute that `Time` can express is not a whole one.
                self.minute = None;
                let _ = write!(out, "{time}");
                return;
            }
        }
        let nanos = time.0.rem_euclid(1_000_000_000) as u32;
        let second = secs.rem_euclid(60) as u8;
        let first_of_nanos = (nanos / 100_000_000) as u8;
        out.extend_from_slice(&self.text);
        out.extend_from_slice(&[b'0' + second / 10, b'0' + second % 10, b'.', b'0' + first_of_nanos]);
        decimal::push_eight_digits(out, nanos % 100_000_000);
        out.push(b'Z');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(write: impl Fn(&mut Cell), csv: &str, json: &str) {
        for (form, expected) in [(CellFormat::Csv, csv), (CellFormat::Json, json)] {
            let mut cell = Cell::new(form);
            write(&mut cell);
            assert_eq!(String::from_utf8(cell.out).unwrap(), expected);
        }
    }

    #[test]
    fn untrusted_text_never_begins_a_formula() {
        let check_untrusted = |text: &'static str, csv: &str| {
            let mut cell = Cell::new(CellFormat::Csv);
            cell.text(text, TextOrigin::Untrusted);
            assert_eq!(String::from_utf8(cell.out).unwrap(), csv, "{text:?}");
        };
        check_untrusted("=HYPERLINK(1)", "'=HYPERLINK(1)");
        check_untrusted("-foo.example", "'-foo.example");
        check_untrusted("@sum", "'@sum");
        check_untrusted("+1", "'+1");
        check_untrusted("  =1", "'  =1");
        check_untrusted("\u{a0}=1", "'\u{a0}=1");
        check_untrusted("＝1", "'＝1");
        check_untrusted("\t=1", "'\\x09=1");
        check_untrusted("a\n=1", "a\\x0a=1");
        check_untrusted("a; =1; b", "a\\x3b =1; b");
        check_untrusted("-", "-");
        check_untrusted("*.one.example", "*.one.example");
        check_untrusted("a=b", "a=b");
        check_untrusted("é;ü\u{7f}; +1", "é;ü\\x7f\\x3b +1");
    }

    #[test]
    fn lists_are_joined_or_arrays() {
        check(|cell| cell.list([1u8, 2], |cell, n| cell.number(n)), "1;2", "[1,2]");
        check(|cell| cell.list([0u8; 0], |cell, n| cell.number(n)), "", "");
        check(
            |cell| cell.joined("h2;=x;a\"b", TextOrigin::Untrusted),
            "h2;'=x;a\"b",
            r#"["h2","=x","a\"b"]"#,
        );
        check(
            |cell| cell.joined("h2;http/1.1", TextOrigin::Untrusted),
            "h2;http/1.1",
            r#"["h2","http/1.1"]"#,
        );
        check(|cell| cell.joined("h2;;h3;", TextOrigin::Untrusted), "h2;h3", r#"["h2","h3"]"#);
        check(|cell| cell.joined("h2; -x", TextOrigin::Untrusted), "h2;' -x", r#"["h2"," -x"]"#);
        check(
            |cell| cell.list(["v=spf1;-all", "x"], |cell, text| cell.text(text, TextOrigin::Untrusted)),
            "v=spf1\\x3b-all;x",
            r#"["v=spf1;-all","x"]"#,
        );
    }

    #[test]
    fn missing_values_write_nothing() {
        check(|cell| cell.word(""), "", "");
        check(|cell| cell.flag(false), "", "");
        check(|cell| cell.joined("", TextOrigin::Trusted), "", "");
        check(|cell| cell.flag(true), "true", "true");
    }

    #[test]
    fn a_frame_of_another_file_has_its_name() {
        let names = InputNames { files: vec!["a.pcap".into(), "=b.pcap".into()] };
        let frames = [FrameRef { file: FileId(0), number: 7 }, FrameRef { file: FileId(1), number: 9 }];
        check(|cell| cell.frames(&frames, FileId(0), &names), "7;'=b.pcap#9", r#"[7,"=b.pcap#9"]"#);
    }

    #[test]
    fn addresses_are_printed_as_the_standard_library_does() {
        for text in ["0.0.0.0", "10.20.30.255", "fd00::1", "::"] {
            let address = Address::from(text.parse::<std::net::IpAddr>().unwrap());
            check(|cell| cell.address(address), text, &format!("\"{text}\""));
        }
    }

    #[test]
    fn the_cached_minute_changes_nothing() {
        let mut clock = Clock::default();
        let edge = [i64::MIN, i64::MIN + 1, i64::MAX, 0, -1, 59_999_999_999, 60_000_000_000, 61_000_000_001];
        let walk = (0..2000).map(|n: i64| n * 7_777_777_777 - 3_000_000_000_000);
        for nanos in edge.into_iter().chain(walk) {
            let mut out = Vec::new();
            clock.write(Time(nanos), &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), Time(nanos).to_string());
        }
    }
}
