//! Untrusted text, owned and printable.
//!
//! In:  bytes from packets and files.
//! Out: [`HostName`] and [`WireText`], which have no control characters and are valid UTF-8, so that a terminal can show them.
//! Not: escaping for CSV, JSON or HTML; that is done by `report`.

use smallvec::SmallVec;
use std::fmt;
use std::fmt::Write as _;
use std::net::Ipv6Addr;
use std::sync::Arc;

/// The longest name as text: RFC 1035 §2.3.4 allows 255 bytes on the wire, each of which may become `\xNN`.
const NAME_LIMIT: usize = 1020;

/// The longest label (RFC 1035 §2.3.4).
const LABEL_LIMIT: usize = 63;

/// The longest host name as text: 255 octets on the wire, with a length before each label and the root after the last.
const HOST_NAME_LIMIT: usize = 253;

/// A DNS name: lower case, without the final dot; bytes other than letters, digits, `-` and `_` are written `\xNN`, and so is
/// `*` but in DNS names and in names of certificates.
///
/// The root is `"."`. Clones share the text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostName(Arc<str>);

impl HostName {
    /// A name from an SNI, a Host header or a proxy request, where dots separate labels.
    ///
    /// `None` if it is empty or longer than a name can be.
    pub fn from_wire_text(text: &[u8]) -> Option<HostName> {
        HostName::from_text(text, is_in_host_name)
    }

    /// `is_printed`: the bytes of a label that are not escaped.
    #[inline]
    fn from_text(text: &[u8], is_printed: fn(u8) -> bool) -> Option<HostName> {
        let text = text.strip_suffix(b".").unwrap_or(text);
        if text.is_empty() || text.len() > 255 {
            return None;
        }
        let mut lower = SmallVec::<[u8; 256]>::from_slice(text);
        let odd = lower.iter_mut().fold(0, |odd, byte| {
            let is_odd = !(is_printed(*byte) | (*byte == b'.'));
            *byte = byte.to_ascii_lowercase();
            odd | u8::from(is_odd)
        });
        if odd == 0 {
            return std::str::from_utf8(&lower).ok().map(|lower| HostName(lower.into()));
        }
        if let Some(ip) = std::str::from_utf8(text).ok().and_then(|text| text.parse::<Ipv6Addr>().ok()) {
            // An address instead of a name. IPv4 addresses have only characters that names have, too.
            return Some(HostName(ip.to_string().into()));
        }
        let mut out = String::with_capacity(text.len() + 8);
        for byte in text {
            push_byte(&mut out, *byte, *byte == b'.' || is_printed(*byte));
        }
        Some(HostName(out.into()))
    }

    /// A name of a certificate. `*` stays as it is: usually the first label (RFC 6125 §6.4.3), and in old certificates any.
    pub fn from_certificate(text: &[u8]) -> Option<HostName> {
        HostName::from_text(text, is_plain)
    }

    /// A name from DNS labels. A dot inside a label is escaped. Without labels: the root, `"."`.
    pub fn from_labels<'a>(labels: impl IntoIterator<Item = &'a [u8]>) -> HostName {
        let mut name = HostNameBuilder::default();
        labels.into_iter().for_each(|label| name.push(label));
        name.finish()
    }

    /// The name as text.
    #[inline]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// True if a host can have the name: labels of 1 to 63 letters, digits, `-` and `_` (RFC 1123 §2.1; products use `_` as
    /// well), before which may be the label `*`. An IPv4 address has the form of a name, too.
    pub fn is_host_name(&self) -> bool {
        let is_label = |label: &str| {
            (1..=LABEL_LIMIT).contains(&label.len())
                && label.bytes().all(is_in_host_name)
                && !label.starts_with('-')
        };
        let labels = self.0.strip_prefix("*.").unwrap_or(&self.0);
        self.0.len() <= HOST_NAME_LIMIT && labels.split('.').all(is_label)
    }

    /// True if nothing had to be escaped: every byte was a letter, a digit, `-`, `_` or `*`.
    pub fn is_plain(&self) -> bool {
        !self.0.contains('\\')
    }
}

/// Builds a name from DNS labels; see [`HostName::from_labels`].
#[derive(Debug, Default)]
pub(crate) struct HostNameBuilder {
    /// Names without escapes fit into it, so that the only allocation is that of the name itself.
    text: SmallVec<[u8; 256]>,
}

impl HostNameBuilder {
    /// Adds a label.
    pub(crate) fn push(&mut self, label: &[u8]) {
        if self.text.len() > NAME_LIMIT {
            return;
        }
        if !self.text.is_empty() {
            self.text.push(b'.');
        }
        let mut escaped = String::with_capacity(label.len() + 8);
        for byte in label {
            push_byte(&mut escaped, *byte, is_plain(*byte));
        }
        self.text.extend_from_slice(escaped.as_bytes());
    }

    /// Adds labels as they are on the wire, each after its length. Nearly all are plain, and copied as a whole.
    #[inline]
    pub(crate) fn push_wire(&mut self, labels: &[u8]) {
        let from = self.text.len();
        let Some((first, after)) = labels.split_first().filter(|_| from <= NAME_LIMIT) else { return };
        // The lengths become dots, but for that of the first label of the name.
        let mut at = usize::from(*first);
        let mut dots = 0;
        if from > 0 {
            self.text.push(b'.');
        }
        let copied = self.text.len();
        self.text.extend_from_slice(after);
        let added = self.text.get_mut(copied..).unwrap_or_default();
        while let Some(length) = added.get_mut(at) {
            at += 1 + usize::from(std::mem::replace(length, b'.'));
            dots += 1;
        }
        // Without an early exit, so that the loop is vectorised. One dot more is one inside a label.
        let (found, odd) = added.iter_mut().fold((0, 0), |(found, odd), byte| {
            let is_dot = *byte == b'.';
            let is_odd = !(is_plain(*byte) | is_dot);
            *byte = byte.to_ascii_lowercase();
            (found + u8::from(is_dot), odd | u8::from(is_odd))
        });
        if found != dots || odd != 0 {
            self.text.truncate(from);
            let mut rest = labels;
            while let Some((length, after)) = rest.split_first() {
                let (label, others) = after.split_at_checked(usize::from(*length)).unwrap_or((after, &[]));
                self.push(label);
                rest = others;
            }
        }
    }

    /// Adds the text of another name, or of the end of one.
    pub(crate) fn push_text(&mut self, text: &str) {
        if self.text.len() > NAME_LIMIT {
            return;
        }
        if !self.text.is_empty() {
            self.text.push(b'.');
        }
        self.text.extend_from_slice(text.as_bytes());
    }

    /// The length of the text so far.
    pub(crate) fn len(&self) -> usize {
        self.text.len()
    }

    /// The name.
    pub(crate) fn finish(mut self) -> HostName {
        if self.text.is_empty() {
            self.text.push(b'.');
        }
        HostName(std::str::from_utf8(&self.text).unwrap_or_default().into())
    }
}

#[inline]
const fn is_plain(byte: u8) -> bool {
    is_in_host_name(byte) || byte == b'*'
}

#[inline]
const fn is_in_host_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_')
}

fn push_byte(out: &mut String, byte: u8, is_printed: bool) {
    if is_printed {
        out.push(char::from(byte.to_ascii_lowercase()));
    } else {
        // Writing into a String cannot fail.
        let _ = write!(out, "\\x{byte:02x}");
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &self.0)
    }
}

impl std::ops::Deref for HostName {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl serde::Serialize for HostName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// Refuses text that no packet can have given: stored facts may have been altered.
impl<'de> serde::Deserialize<'de> for HostName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<HostName, D::Error> {
        let text = <&str>::deserialize(deserializer)?;
        // The longest label may follow a name that is as long as the limit.
        let is_short = text.len() <= NAME_LIMIT + 4 * (LABEL_LIMIT + 1);
        let is_printable = |byte: u8| byte.is_ascii_graphic() && !byte.is_ascii_uppercase();
        match is_short && !text.is_empty() && text.bytes().all(is_printable) {
            true => Ok(HostName(text.into())),
            false => Err(serde::de::Error::custom("not a name")),
        }
    }
}

/// Free text, printable: control characters and bytes that are not UTF-8 are written `\xNN`, a backslash `\\`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WireText(Arc<str>);

impl Default for WireText {
    fn default() -> Self {
        WireText("".into())
    }
}

impl WireText {
    /// At most `limit` bytes of `text`, made printable; `…` marks an omission.
    pub fn new(text: &[u8], limit: usize) -> WireText {
        let shown = text.get(..limit).unwrap_or(text);
        let plain = |byte: &u8| matches!(byte, 0x20..0x7f) && *byte != b'\\';
        if shown.len() == text.len() && text.iter().all(plain) {
            return WireText(std::str::from_utf8(text).unwrap_or_default().into());
        }
        let mut out = String::with_capacity(shown.len());
        for chunk in shown.utf8_chunks() {
            for c in chunk.valid().chars() {
                match c {
                    '\\' => out.push_str("\\\\"),
                    c if c.is_control() || is_deceptive(c) => {
                        let mut utf8 = [0; 4];
                        for byte in c.encode_utf8(&mut utf8).bytes() {
                            let _ = write!(out, "\\x{byte:02x}");
                        }
                    }
                    c => out.push(c),
                }
            }
            for byte in chunk.invalid() {
                let _ = write!(out, "\\x{byte:02x}");
            }
        }
        if shown.len() < text.len() {
            out.push('…');
        }
        WireText(out.into())
    }

    /// Text that is printable already, composed of other printable text.
    pub fn printable(text: String) -> WireText {
        WireText(text.into())
    }

    /// The text.
    #[inline]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// True if the text is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Whether a text has no control characters and none that are deceptive.
pub fn is_printable(text: &str) -> bool {
    text.chars().all(|c| !c.is_control() && !is_deceptive(c))
}

/// Characters that change how the text around them is shown, or that are not visible: bidirectional controls, zero-width
/// characters, soft hyphens, line separators, tags and variation selectors.
pub const fn is_deceptive(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

impl fmt::Display for WireText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for WireText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &self.0)
    }
}

impl std::ops::Deref for WireText {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl serde::Serialize for WireText {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

/// Refuses text that is not printable: stored facts may have been altered.
impl<'de> serde::Deserialize<'de> for WireText {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<WireText, D::Error> {
        struct PrintableText;

        impl serde::de::Visitor<'_> for PrintableText {
            type Value = WireText;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("printable text")
            }

            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<WireText, E> {
                match is_printable(text) {
                    true => Ok(WireText(text.into())),
                    false => Err(E::custom("text that is not printable")),
                }
            }
        }
        deserializer.deserialize_str(PrintableText)
    }
}

/// A number as people read it: `1,204,331`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A number with its noun: `1 frame`, `12 frames`, `2 queries`.
pub(crate) fn counted(number: u64, noun: &str) -> String {
    let number_text = grouped(number);
    match noun.strip_suffix('y') {
        _ if number == 1 => format!("{number_text} {noun}"),
        // `delays`, but `queries`.
        Some(stem) if !stem.ends_with(['a', 'e', 'o']) => format!("{number_text} {stem}ies"),
        _ => format!("{number_text} {noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_lower_case_without_the_final_dot() {
        let check = |text: &[u8], expected: &str| {
            assert_eq!(HostName::from_wire_text(text).unwrap().as_str(), expected);
        };
        check(b"Kailani1.ONE.microsoft.com.", "kailani1.one.microsoft.com");
        check(b"_ldap._tcp.Example", "_ldap._tcp.example");
        check(b"a\x1b[31mb", "a\\x1b\\x5b31mb");
        check("bücher.example".as_bytes(), "b\\xc3\\xbccher.example");
        check(b"2001:DB8::1", "2001:db8::1");
        assert_eq!(HostName::from_wire_text(b""), None);
        assert_eq!(HostName::from_wire_text(b"."), None);
        assert_eq!(HostName::from_wire_text(&[b'a'; 256]), None);
    }

    #[test]
    fn host_names_have_labels_of_letters_digits_and_hyphens() {
        let check = |text: &[u8], expected: bool| {
            assert_eq!(HostName::from_wire_text(text).unwrap().is_host_name(), expected, "{text:?}");
        };
        check(b"westus01.afs.azure.net", true);
        check(b"westus01.afs.azure.net.", true);
        check(b"xn--bcher-kva.example", true);
        check(b"_sip._tcp.example", true);
        check(b"FILESRV01", true);
        check("bücher.example".as_bytes(), false);
        check(b"westus01.afs.azure.net..", false);
        check(b"a..core.windows.net", false);
        check(b"a/b.core.windows.net", false);
        check(b"a\0.core.windows.net", false);
        check(b"*.core.windows.net", false);
        check(b"-a.core.windows.net", false);
        check(&[&[b'a'; 63][..], b".core.windows.net"].concat(), true);
        check(&[&[b'a'; 64][..], b".core.windows.net"].concat(), false);
        let wildcard = HostName::from_certificate(b"*.core.windows.net").unwrap();
        assert_eq!((wildcard.as_str(), wildcard.is_host_name()), ("*.core.windows.net", true));
        let inner = HostName::from_certificate(b"cdn.*.windows.net").unwrap();
        assert_eq!((inner.as_str(), inner.is_host_name()), ("cdn.*.windows.net", false));
    }

    #[test]
    fn a_dot_inside_a_label_is_escaped() {
        let labels: [&[u8]; 2] = [b"a.b", b"Com"];
        assert_eq!(HostName::from_labels(labels).as_str(), "a\\x2eb.com");
        assert_eq!(HostName::from_labels([]).as_str(), ".");
    }

    /// Labels that are copied as a whole, and labels of their own, give the same name: of all bytes, of nearly plain ones, in one run
    /// and in two.
    #[test]
    fn labels_in_wire_format_give_the_same_name() {
        let mut state: u32 = 1;
        let mut random = |below: u32| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 16) % below
        };
        for round in 0..5_000 {
            let byte = |random: &mut dyn FnMut(u32) -> u32| match random(if round % 2 == 0 { 400 } else { 4 })
            {
                0..2 => b"-_*.aZ"[random(6) as usize],
                2..4 => b'A' + random(26) as u8,
                _ if round % 4 == 0 => random(256) as u8,
                _ => b'a' + random(26) as u8,
            };
            let labels: Vec<Vec<u8>> =
                (0..random(6)).map(|_| (0..=random(20)).map(|_| byte(&mut random)).collect()).collect();
            let wire = |labels: &[Vec<u8>]| -> Vec<u8> {
                labels.iter().flat_map(|label| [&[label.len() as u8][..], label].concat()).collect()
            };
            let (first, second) = labels.split_at(random(labels.len() as u32 + 1) as usize);
            let mut name = HostNameBuilder::default();
            name.push_wire(&wire(first));
            name.push_wire(&wire(second));
            let expected = HostName::from_labels(labels.iter().map(Vec::as_slice));
            assert_eq!(name.finish(), expected, "{labels:?}");
        }
    }

    #[test]
    fn free_text_is_printable() {
        assert_eq!(WireText::new(b"a\nb\\\xff", 99).as_str(), "a\\x0ab\\\\\\xff");
        assert_eq!(WireText::new(b"abcdef", 3).as_str(), "abc…");
        assert_eq!(WireText::new("a\u{202e}b".as_bytes(), 99).as_str(), "a\\xe2\\x80\\xaeb");
        assert_eq!(WireText::new("a\u{ad}b\u{61c}".as_bytes(), 99).as_str(), "a\\xc2\\xadb\\xd8\\x9c");
    }
}
