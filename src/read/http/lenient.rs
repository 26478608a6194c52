//! Mends heads that are written loosely, as far as servers and proxies take them.
//!
//! In:  a request's head that does not parse.
//! Out: one that does, and says the same.
//! Not: what it says.

use super::HEAD_LIMIT;
use super::HEADER_LIMIT;

/// A request's head with a target without blanks and the header lines that can be read, and where the head ends, when it is
/// whole.
pub(super) fn mended(bytes: &[u8]) -> Option<(Vec<u8>, Option<usize>)> {
    let mut head = Vec::new();
    let (mut at, mut last) = (0, 0);
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
            // RFC 9112 §5.2: a line that begins with a blank goes on with the one before, whose value is only begun there.
            let begun = head.get(last..).unwrap_or_default();
            if begun.get(..5).is_some_and(|name| name.eq_ignore_ascii_case(b"host:")) {
                head.truncate(last);
            }
        } else if head.len() + line.len() > HEAD_LIMIT {
            break;
        } else if is_header(text) {
            last = head.len();
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
    let is_sound = |byte: &u8| matches!(byte, b'\t' | b' '..=b'~' | 0x80..=0xff);
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    line.iter().position(|byte| *byte == b':').is_some_and(|colon| {
        let (name, value) = line.split_at(colon);
        !name.is_empty() && name.iter().all(is_name) && value.iter().all(is_sound)
    })
}

/// The request line with a target that holds no blanks: what CONNECT wants ends at the first.
fn push_request_line(head: &mut Vec<u8>, line: &[u8]) -> Option<()> {
    let (method, rest) = line.split_at(line.iter().position(|byte| *byte == b' ')?);
    let (target, version) = rest.split_at(rest.iter().rposition(|byte| *byte == b' ')?);
    let mut words = target.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    head.extend_from_slice(method);
    head.push(b' ');
    head.extend_from_slice(words.next()?);
    if method != b"CONNECT" {
        for word in words {
            head.extend_from_slice(b"%20");
            head.extend_from_slice(word);
        }
    }
    head.extend_from_slice(version);
    head.extend_from_slice(b"\r\n");
    Some(())
}
