//! One value of a row, as CSV or as JSON.
//!
//! In:  numbers, times, addresses, words of ours and text that strangers chose.
//! Out: the bytes of a CSV field before quoting, or of a JSON value; nothing when nothing is known.
//! Not: which column it is.
//!
//! Strangers' text in CSV is kept from becoming a formula: a spreadsheet runs a cell that begins with one of `= + - @`
//! (OWASP, CSV injection). Such text gets a leading `'`. Where `;` separates (lists here, whole columns in the
//! spreadsheets of half of Europe), a stranger's `;` is written `\x3b`.

use std::io::Write as _;

use super::names::Names;
use crate::base::Address;
use crate::base::FileId;
use crate::base::FrameRef;
use crate::base::Time;

/// How values are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// As text without quotes: the caller quotes where the format needs it.
    Csv,
    /// As a JSON value.
    Json,
}

/// Where text comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A word of ours: never a formula, never a separator.
    Ours,
    /// Somebody else chose it, or part of it.
    Stranger,
}

/// Takes the value of one cell.
pub struct Cell {
    pub(super) out: Vec<u8>,
    form: Form,
    clock: Clock,
    numbers: itoa::Buffer,
    /// Inside a list: how many elements it has so far.
    list: Option<usize>,
    /// Where the text that is being written began.
    text_from: usize,
    /// CSV: what was written since the caller last looked holds a comma or a quote.
    pub(super) wants_quotes: bool,
}

impl Cell {
    pub(super) fn new(form: Form) -> Cell {
        Cell {
            out: Vec::with_capacity(1024),
            form,
            clock: Clock::default(),
            numbers: itoa::Buffer::new(),
            list: None,
            text_from: 0,
            wants_quotes: false,
        }
    }

    /// A number.
    #[inline]
    pub fn number(&mut self, number: impl itoa::Integer) {
        self.next();
        self.out.extend_from_slice(self.numbers.format(number).as_bytes());
    }

    /// A word of ours; empty is missing.
    #[inline]
    pub fn word(&mut self, word: &str) {
        self.text(word, Origin::Ours);
    }

    /// A text; empty is missing.
    #[inline]
    pub fn text(&mut self, text: &str, origin: Origin) {
        if !text.is_empty() {
            self.begin();
            self.push(text, origin);
            self.end();
        }
    }

    /// `true`, or missing: we say that something was seen, and never that it was not there.
    #[inline]
    pub fn seen(&mut self, seen: bool) {
        if seen {
            self.next();
            self.out.extend_from_slice(b"true");
        }
    }

    /// A time.
    #[inline]
    pub fn time(&mut self, time: Time) {
        self.begin();
        self.clock.write(time, &mut self.out);
        self.end();
    }

    /// An address.
    #[inline]
    pub fn address(&mut self, address: Address) {
        self.begin();
        self.push_address(address);
        self.end();
    }

    /// A frame: its number alone where it lies in the row's own file, else `name#number`.
    #[inline]
    pub fn frame(&mut self, frame: FrameRef, own: FileId, names: &Names) {
        if frame.file == own {
            self.number(frame.number);
        } else {
            self.begin();
            self.push(names.file(frame.file), Origin::Stranger);
            self.push("#", Origin::Ours);
            self.push_number(frame.number);
            self.end();
        }
    }

    /// Several frames.
    pub fn frames(&mut self, frames: &[FrameRef], own: FileId, names: &Names) {
        self.list(frames, |cell, frame| cell.frame(*frame, own, names));
    }

    /// Several values: joined with `;` in CSV, an array in JSON. None is missing.
    pub fn list<T>(&mut self, items: impl IntoIterator<Item = T>, mut write: impl FnMut(&mut Cell, T)) {
        let from = self.out.len();
        if self.form == Form::Json {
            self.out.push(b'[');
        }
        self.list = Some(0);
        for item in items {
            write(self, item);
        }
        let written = self.list.take().unwrap_or_default();
        if self.form == Form::Json {
            if written == 0 {
                self.out.truncate(from);
            } else {
                self.out.push(b']');
            }
        }
    }

    /// A list that was joined with `;` before it came here.
    pub fn joined(&mut self, text: &str, origin: Origin) {
        if self.form == Form::Csv && origin == Origin::Ours {
            // As it came: the separators are the same.
            self.word(text);
        } else if !text.is_empty() {
            self.list(text.split(';'), |cell, item| cell.text(item, origin));
        }
    }

    /// Begins a text that is put together from pieces.
    #[inline]
    pub fn begin(&mut self) {
        self.next();
        if self.form == Form::Json {
            self.out.push(b'"');
        }
        self.text_from = self.out.len();
    }

    /// Adds to the text that was begun.
    #[inline]
    pub fn push(&mut self, text: &str, origin: Origin) {
        match (self.form, origin) {
            (Form::Json, _) => push_json(&mut self.out, text),
            (Form::Csv, Origin::Ours) => {
                self.wants_quotes |= text.bytes().fold(false, |found, byte| found | is_separator(byte));
                self.out.extend_from_slice(text.as_bytes());
            }
            (Form::Csv, Origin::Stranger) => {
                if self.out.len() == self.text_from && begins_formula(text) {
                    self.out.push(b'\'');
                }
                self.wants_quotes |= push_strange(&mut self.out, text, self.list.is_some());
            }
        }
    }

    /// Adds a number to the text that was begun.
    #[inline]
    pub fn push_number(&mut self, number: impl itoa::Integer) {
        self.out.extend_from_slice(self.numbers.format(number).as_bytes());
    }

    /// Adds an address to the text that was begun.
    pub fn push_address(&mut self, address: Address) {
        if address.is_v4() {
            let [a, b, c, d] = (address.0 as u32).to_be_bytes();
            for (octet, separator) in [(a, b'.'), (b, b'.'), (c, b'.')] {
                self.out.extend_from_slice(self.numbers.format(octet).as_bytes());
                self.out.push(separator);
            }
            self.out.extend_from_slice(self.numbers.format(d).as_bytes());
        } else {
            // Writing into a Vec cannot fail.
            let _ = write!(self.out, "{address}");
        }
    }

    /// Ends the text that was begun.
    #[inline]
    pub fn end(&mut self) {
        if self.form == Form::Json {
            self.out.push(b'"');
        }
    }

    /// Separates list elements.
    #[inline]
    fn next(&mut self) {
        if let Some(written) = &mut self.list {
            if *written > 0 {
                self.out.push(if self.form == Form::Json { b',' } else { b';' });
            }
            *written += 1;
        }
    }
}

/// True when a spreadsheet would run the text: a trigger, behind any spaces. One sign alone is no formula.
fn begins_formula(text: &str) -> bool {
    // Almost every cell ends here: a letter or a digit comes first.
    if text.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric) {
        return false;
    }
    let text = text.trim_start_matches(|c: char| c.is_whitespace() || c.is_control());
    let mut chars = text.chars();
    chars.next().is_some_and(is_trigger) && chars.next().is_some()
}

/// The four signs, and their full-width forms that some spreadsheets fold.
const fn is_trigger(c: char) -> bool {
    matches!(c, '=' | '+' | '-' | '@' | '＝' | '＋' | '－' | '＠')
}

/// What has a meaning in CSV itself; line ends are control characters, and never written.
const fn is_separator(byte: u8) -> bool {
    byte == b',' || byte == b'"'
}

/// A stranger's text: no control characters, and no `;` where it would separate. True when it has to be quoted.
fn push_strange(out: &mut Vec<u8>, text: &str, in_list: bool) -> bool {
    // Every byte is looked at, so that many are looked at together.
    let (wants_quotes, wants_care) = text.bytes().fold((false, false), |(quotes, care), byte| {
        (quotes | is_separator(byte), care | (byte == b';') | (byte < 0x20) | (byte == 0x7f))
    });
    if !wants_care {
        out.extend_from_slice(text.as_bytes());
        return wants_quotes;
    }
    for (at, c) in text.char_indices() {
        let rest = text.get(at + c.len_utf8()..).unwrap_or_default();
        let escaped = c.is_ascii_control() || (c == ';' && (in_list || begins_formula(rest)));
        // Writing into a Vec cannot fail.
        let _ = if escaped { write!(out, "\\x{:02x}", u32::from(c)) } else { write!(out, "{c}") };
    }
    wants_quotes
}

/// A JSON string's inside (RFC 8259 §7).
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

/// Prints times, and remembers the minute: neighbouring rows share it.
#[derive(Debug, Default)]
struct Clock {
    minute: Option<i64>,
    /// `2026-07-20T10:11:`, as long as it is.
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
            // Behind the minute's colon: `00.000000000Z`.
            self.text.truncate(self.text.len().saturating_sub(13));
            self.minute = Some(minute);
            if whole.secs() != minute.saturating_mul(60) {
                // The first minute of all time begins before the earliest time there is.
                self.minute = None;
                let _ = write!(out, "{time}");
                return;
            }
        }
        let nanos = time.0.rem_euclid(1_000_000_000) as u32;
        let second = secs.rem_euclid(60) as u32;
        let mut digits = *b"00.000000000Z";
        let (head, tail) = digits.split_at_mut(3);
        if let [tens, ones, _] = head {
            *tens = b'0' + (second / 10) as u8;
            *ones = b'0' + (second % 10) as u8;
        }
        let mut left = nanos;
        for digit in tail.iter_mut().take(9).rev() {
            *digit = b'0' + (left % 10) as u8;
            left /= 10;
        }
        out.extend_from_slice(&self.text);
        out.extend_from_slice(&digits);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(write: impl Fn(&mut Cell), csv: &str, json: &str) {
        for (form, expected) in [(Form::Csv, csv), (Form::Json, json)] {
            let mut cell = Cell::new(form);
            write(&mut cell);
            assert_eq!(String::from_utf8(cell.out).unwrap(), expected);
        }
    }

    #[test]
    fn a_strangers_text_never_begins_a_formula() {
        let strange = |text: &'static str, csv: &str| {
            let mut cell = Cell::new(Form::Csv);
            cell.text(text, Origin::Stranger);
            assert_eq!(String::from_utf8(cell.out).unwrap(), csv, "{text:?}");
        };
        strange("=HYPERLINK(1)", "'=HYPERLINK(1)");
        strange("-foo.example", "'-foo.example");
        strange("@sum", "'@sum");
        strange("+1", "'+1");
        strange("  =1", "'  =1");
        strange("\u{a0}=1", "'\u{a0}=1");
        strange("＝1", "'＝1");
        strange("\t=1", "'\\x09=1");
        strange("a\n=1", "a\\x0a=1");
        strange("a; =1; b", "a\\x3b =1; b");
        strange("-", "-");
        strange("*.one.example", "*.one.example");
        strange("a=b", "a=b");
    }

    #[test]
    fn lists_are_joined_or_arrays() {
        check(|cell| cell.list([1u8, 2], |cell, n| cell.number(n)), "1;2", "[1,2]");
        check(|cell| cell.list([0u8; 0], |cell, n| cell.number(n)), "", "");
        check(|cell| cell.joined("h2;=x;a\"b", Origin::Stranger), "h2;'=x;a\"b", r#"["h2","=x","a\"b"]"#);
        check(
            |cell| cell.list(["v=spf1;-all", "x"], |cell, text| cell.text(text, Origin::Stranger)),
            "v=spf1\\x3b-all;x",
            r#"["v=spf1;-all","x"]"#,
        );
    }

    #[test]
    fn missing_is_nothing() {
        check(|cell| cell.word(""), "", "");
        check(|cell| cell.seen(false), "", "");
        check(|cell| cell.joined("", Origin::Ours), "", "");
        check(|cell| cell.seen(true), "true", "true");
    }

    #[test]
    fn frames_elsewhere_carry_their_files_name() {
        let names = Names { files: vec!["a.pcap".into(), "=b.pcap".into()] };
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
    fn the_remembered_minute_changes_nothing() {
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
