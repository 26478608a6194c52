//! Repairs request heads that servers and proxies accept although they break the grammar.
//!
//! In:  a request head that does not parse.
//! Out: an equivalent head that parses.
//! Not: its meaning.

use super::HEAD_LIMIT;
use super::HEADER_LIMIT;

/// Returns a head whose target has no spaces, with the valid header lines only; and the length of the original, when it is
/// complete.
pub(super) fn repair_head(bytes: &[u8]) -> Option<(Vec<u8>, Option<usize>)> {
    let mut head = Vec::new();
    let (mut at, mut last_header) = (0, 0);
    let lines = bytes.split_inclusive(|byte| *byte == b'\n').take(HEADER_LIMIT);
    for line in lines.take_while(|line| line.ends_with(b"\n")) {
        let text = line.trim_ascii_end();
        at += line.len();
        if head.is_empty() {
            push_request_line(&mut head, text)?;
        } else if text.is_empty() {
            head.extend_from_slice(b"\r\n");
            return Some((head, Some(at)));
        } else if matches!(text, [b' ' | b'\t', ..]) {
            // RFC 9112 §5.2: a line that starts with a space continues the one before, whose value is incomplete.
            let continued = head.get(last_header..).unwrap_or_default();
            if continued.get(..5).is_some_and(|name| name.eq_ignore_ascii_case(b"host:")) {
                head.truncate(last_header);
            }
        } else if head.len() + line.len() > HEAD_LIMIT {
            break;
        } else if is_header(text) {
            last_header = head.len();
            head.extend_from_slice(line);
        }
    }
    (!head.is_empty()).then(|| {
        head.extend_from_slice(b"\r\n");
        (head, None)
    })
}

/// A name, a colon and a value: RFC 9110 §5.1 and §5.5.
fn is_header(line: &[u8]) -> bool {
    let is_value = |byte: &u8| matches!(byte, b'\t' | b' '..=b'~' | 0x80..=0xff);
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    line.iter().position(|byte| *byte == b':').is_some_and(|colon| {
        let (name, value) = line.split_at(colon);
        !name.is_empty() && name.iter().all(is_name) && value.iter().all(is_value)
    })
}

/// Appends the request line with a target without spaces; the target of CONNECT ends at the first space.
fn push_request_line(head: &mut Vec<u8>, line: &[u8]) -> Option<()> {
    let (method, rest) = line.split_at(line.iter().position(|byte| *byte == b' ')?);
    let (target, version) = rest.split_at(rest.iter().rposition(|byte| *byte == b' ')?);
    let mut parts = target.split(u8::is_ascii_whitespace).filter(|part| !part.is_empty());
    head.extend_from_slice(method);
    head.push(b' ');
    head.extend_from_slice(parts.next()?);
    if method != b"CONNECT" {
        for part in parts {
            head.extend_from_slice(b"%20");
            head.extend_from_slice(part);
        }
    }
    head.extend_from_slice(version);
    head.extend_from_slice(b"\r\n");
    Some(())
}
