//! Reads names in DNS messages.
//!
//! In:  a message and a place in it.
//! Out: a name, lower case and escaped, and where the field ends.
//! Not: what the name belongs to.

use crate::base::Cursor;
use crate::base::HostName;
use smallvec::SmallVec;

/// RFC 1035 §2.3.4: a name has at most 255 bytes, length bytes and the root's zero included.
const NAME_LIMIT: usize = 255;
/// No honest name needs more pointers than it can have labels.
const HOP_LIMIT: usize = 126;
/// RFC 1035 §4.1.4: the two high bits of a length byte.
const KIND_MASK: u8 = 0xc0;
/// Both bits set: a pointer. Neither: a label. The other two are not in use (RFC 6891 §5).
const POINTER: u8 = 0xc0;

/// Why a part of a message could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NameError {
    /// The bytes end inside.
    Truncated,
    /// They contradict themselves; what and where the standard says so.
    Broken(&'static str),
}

impl From<crate::base::Truncated> for NameError {
    fn from(_: crate::base::Truncated) -> NameError {
        NameError::Truncated
    }
}

/// The labels of a name.
pub(crate) type Labels<'a> = SmallVec<[&'a [u8]; 12]>;

/// The labels of the name at `at`, and the offset behind its field.
pub(crate) fn labels(message: &[u8], at: usize) -> Result<(Labels<'_>, usize), NameError> {
    let mut found = Labels::new();
    let mut len = 1; // the root's length byte
    let mut hops = 0;
    let mut end = None;
    let mut start = at;
    let mut c = Cursor::new(message.get(at..).ok_or(NameError::Truncated)?);
    loop {
        let head = c.u8("label length")?;
        match head & KIND_MASK {
            0 if head == 0 => return Ok((found, end.unwrap_or(start + c.at()))),
            0 => {
                let label = c.take(usize::from(head), "label")?;
                len += label.len() + 1;
                if len > NAME_LIMIT {
                    return Err(NameError::Broken("name longer than 255 bytes"));
                }
                found.push(label);
            }
            POINTER => {
                let low = c.u8("pointer")?;
                let target = usize::from(u16::from_be_bytes([head & !KIND_MASK, low]));
                end.get_or_insert(start + c.at());
                hops += 1;
                if hops > HOP_LIMIT {
                    return Err(NameError::Broken("compression loop"));
                }
                start = target;
                c = Cursor::new(message.get(target..).ok_or(NameError::Broken("pointer past the end"))?);
            }
            _ => return Err(NameError::Broken("unknown label type")),
        }
    }
}

/// The name at `at`, and the offset behind its field.
pub(crate) fn name(message: &[u8], at: usize) -> Result<(HostName, usize), NameError> {
    let (labels, end) = labels(message, at)?;
    Ok((HostName::from_labels(labels), end))
}

/// The offset behind the name's field at `at`, without following pointers.
pub(crate) fn skip(message: &[u8], at: usize) -> Result<usize, NameError> {
    let mut c = Cursor::new(message.get(at..).ok_or(NameError::Truncated)?);
    // Bounded by the message: every turn takes at least one byte.
    loop {
        let head = c.u8("label length")?;
        match head & KIND_MASK {
            0 if head == 0 => return Ok(at + c.at()),
            0 => c.skip(usize::from(head), "label")?,
            POINTER => {
                c.skip(1, "pointer")?;
                return Ok(at + c.at());
            }
            _ => return Err(NameError::Broken("unknown label type")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(message: &[u8], at: usize, expected: Result<(&str, usize), NameError>) {
        let got = name(message, at);
        assert_eq!(got.as_ref().map(|(name, end)| (name.as_str(), *end)).map_err(|e| *e), expected);
    }

    #[test]
    fn labels_pointers_and_the_root() {
        let message = b"\x03wWw\x07Example\x00\x02ab\xc0\x04\x00";
        check(message, 0, Ok(("www.example", 13)));
        check(message, 13, Ok(("ab.example", 18)));
        check(message, 18, Ok((".", 19)));
        assert_eq!(skip(message, 0), Ok(13));
        assert_eq!(skip(message, 13), Ok(18));
    }

    #[test]
    fn hostile_names_end() {
        check(b"\xc0\x00", 0, Err(NameError::Broken("compression loop")));
        check(b"\xc0\x02\xc0\x00", 0, Err(NameError::Broken("compression loop")));
        check(b"\x01a\xc0\x00", 0, Err(NameError::Broken("compression loop")));
        check(b"\xc0\x09", 0, Err(NameError::Broken("pointer past the end")));
        check(b"\x05ab", 0, Err(NameError::Truncated));
        check(b"\x41ab", 0, Err(NameError::Broken("unknown label type")));
        check(b"", 0, Err(NameError::Truncated));
        check(b"a", 7, Err(NameError::Truncated));
        let long: Vec<u8> = std::iter::repeat_n([1, b'x'], 128).flatten().chain([0]).collect();
        check(&long, 0, Err(NameError::Broken("name longer than 255 bytes")));
        let longest: Vec<u8> = std::iter::repeat_n([1, b'x'], 127).flatten().chain([0]).collect();
        assert_eq!(name(&longest, 0).unwrap().1, 255);
    }

    #[test]
    fn bad_bytes_are_escaped() {
        check(b"\x03a.b\x04\x1b[2J\x00", 0, Ok(("a\\x2eb.\\x1b\\x5b2j", 10)));
    }
}
