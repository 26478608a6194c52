//! Compares host names with those that tshark prints.

/// A name with its original bytes: without our escapes `\xNN`. A run of bytes that are not UTF-8 becomes one `U+FFFD`,
/// because tools differ in how many they print.
pub fn unescape(name: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = name;
    while let Some(c) = rest.chars().next() {
        let hex = rest.strip_prefix("\\x").and_then(|hex| hex.get(..2));
        if let Some(byte) = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            bytes.push(byte.to_ascii_lowercase());
            rest = rest.get(4..).unwrap_or_default();
        } else {
            bytes.extend(c.to_ascii_lowercase().to_string().bytes());
            rest = rest.get(c.len_utf8()..).unwrap_or_default();
        }
    }
    merge_replacement_characters(&String::from_utf8_lossy(&bytes))
}

/// A name from tshark in the same form. tshark prints control characters in octal.
pub fn from_tshark(name: &str) -> String {
    let mut plain = String::new();
    let mut rest = name;
    while let Some(c) = rest.chars().next() {
        let octal = rest.strip_prefix('\\').and_then(|octal| octal.get(..3));
        if let Some(byte) = octal.and_then(|octal| u8::from_str_radix(octal, 8).ok()) {
            plain.push(char::from(byte));
            rest = rest.get(4..).unwrap_or_default();
        } else {
            plain.push(c.to_ascii_lowercase());
            rest = rest.get(c.len_utf8()..).unwrap_or_default();
        }
    }
    merge_replacement_characters(plain.trim_end_matches('.'))
}

fn merge_replacement_characters(name: &str) -> String {
    let mut out = String::new();
    for c in name.chars() {
        if c != '\u{fffd}' || !out.ends_with(c) {
            out.push(c);
        }
    }
    out
}
