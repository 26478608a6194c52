//! Reads names in DNS messages.
//!
//! In:  a message and an offset in it.
//! Out: the name at that offset, lower case and escaped, and the offset after its field.
//! Not: what the name belongs to.

use crate::base::Cursor;
use crate::base::HostName;
use crate::base::HostNameBuilder;
use smallvec::SmallVec;

/// RFC 1035 §2.3.4: a name has at most 255 bytes, length bytes and the root's zero included.
const NAME_LIMIT: usize = 255;
/// Pointers followed in one name. Encoders need one or two; Go's resolver rejects more than ten.
const POINTER_LIMIT: usize = 16;
/// RFC 1035 §4.1.4: the two high bits of a length byte give the label type.
const LABEL_TYPE_MASK: u8 = 0xc0;
/// Both bits set: a pointer. Neither: a label. The other two types are not in use (RFC 6891 §5).
const POINTER: u8 = 0xc0;

/// What the names of a message may cost, whatever its length.
const BUDGET_BASE: usize = 1024;
/// What they may cost besides, for each byte of the message. In captures of real traffic it is about two; a long response with
/// the domain controllers of a deep domain can need nearly four.
const BUDGET_PER_BYTE: usize = 4;
/// What they may cost at most: enough for the names of as many answers as are kept.
const BUDGET_MAX: usize = 64 * 1024;
/// The cost of a label besides the text of its name.
const LABEL_COST: usize = 4;
/// The cost of a pointer.
const POINTER_COST: usize = 8;

/// Why a part of a message could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DnsDamage {
    /// The bytes end inside it.
    Truncated,
    /// The bytes contradict the standard; the text names the fault.
    Malformed(&'static str),
}

impl From<crate::base::Truncated> for DnsDamage {
    fn from(_: crate::base::Truncated) -> DnsDamage {
        DnsDamage::Truncated
    }
}

/// What the names in the rest of a message may cost: labels and pointers each time they are read, and bytes of text.
///
/// Compression (RFC 1035 §4.1.4) makes names far longer than their message: 1,400 bytes hold 80 names of 255 bytes, or 80
/// chains of pointers. Without a limit, such a message costs 300 times a usual one, and makes a row of 17 kB.
pub(crate) struct NameBudget {
    left: usize,
    spent: bool,
}

impl NameBudget {
    /// The budget of a message of this length.
    pub(crate) const fn for_message(len: usize) -> NameBudget {
        let cost = BUDGET_BASE + BUDGET_PER_BYTE * len;
        NameBudget { left: if cost < BUDGET_MAX { cost } else { BUDGET_MAX }, spent: false }
    }

    /// True once a name was not read because of the budget.
    pub(crate) const fn is_spent(&self) -> bool {
        self.spent
    }

    fn spend(&mut self, cost: usize) -> Result<(), DnsDamage> {
        match self.left.checked_sub(cost) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => {
                self.spent = true;
                Err(DnsDamage::Malformed("more name bytes than a message may cost"))
            }
        }
    }
}

/// The labels of a name.
pub(crate) type Labels<'a> = SmallVec<[&'a [u8]; 12]>;

/// Reads the labels of the name at `at`; returns them and the offset after the name's field.
pub(crate) fn read_labels<'a>(
    message: &'a [u8],
    at: usize,
    budget: &mut NameBudget,
) -> Result<(Labels<'a>, usize), DnsDamage> {
    let mut labels = Labels::new();
    let end = for_each_label(message, at, budget, |label| labels.push(label))?;
    Ok((labels, end))
}

/// Reads the name at `at`; returns it and the offset after its field.
pub(crate) fn read_name(
    message: &[u8],
    at: usize,
    budget: &mut NameBudget,
) -> Result<(HostName, usize), DnsDamage> {
    let mut name = HostNameBuilder::default();
    let end = for_each_label(message, at, budget, |label| name.push(label))?;
    let name = name.finish();
    budget.spend(name.as_str().len())?;
    Ok((name, end))
}

/// Calls `add` with each label of the name at `at`; returns the offset after the name's field.
#[inline]
fn for_each_label<'a>(
    message: &'a [u8],
    at: usize,
    budget: &mut NameBudget,
    mut add: impl FnMut(&'a [u8]),
) -> Result<usize, DnsDamage> {
    let mut len = 1; // the root's length byte
    let mut pointers = 0;
    let mut end = None;
    let mut start = at;
    let mut c = Cursor::new(message.get(at..).ok_or(DnsDamage::Truncated)?);
    loop {
        let head = c.u8("label length")?;
        match head & LABEL_TYPE_MASK {
            0 if head == 0 => return Ok(end.unwrap_or(start + c.at())),
            0 => {
                let label = c.take(usize::from(head), "label")?;
                budget.spend(LABEL_COST)?;
                len += 1 + label.len();
                if len > NAME_LIMIT {
                    return Err(DnsDamage::Malformed("name longer than 255 bytes"));
                }
                add(label);
            }
            POINTER => {
                let low = c.u8("pointer")?;
                budget.spend(POINTER_COST)?;
                let target = usize::from(u16::from_be_bytes([head & !LABEL_TYPE_MASK, low]));
                end.get_or_insert(start + c.at());
                pointers += 1;
                if pointers > POINTER_LIMIT {
                    return Err(DnsDamage::Malformed("more than 16 pointers in a name"));
                }
                start = target;
                let rest = message.get(target..).ok_or(DnsDamage::Malformed("pointer past the end"))?;
                c = Cursor::new(rest);
            }
            _ => return Err(DnsDamage::Malformed("unknown label type")),
        }
    }
}

/// Returns the offset after the field of the name at `at`, without following pointers.
pub(crate) fn skip_name(message: &[u8], at: usize) -> Result<usize, DnsDamage> {
    let mut c = Cursor::new(message.get(at..).ok_or(DnsDamage::Truncated)?);
    // Bounded by the message: each iteration takes at least one byte.
    loop {
        let head = c.u8("label length")?;
        match head & LABEL_TYPE_MASK {
            0 if head == 0 => return Ok(at + c.at()),
            0 => c.skip(usize::from(head), "label")?,
            POINTER => {
                c.skip(1, "pointer")?;
                return Ok(at + c.at());
            }
            _ => return Err(DnsDamage::Malformed("unknown label type")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(message: &[u8], at: usize, expected: Result<(&str, usize), DnsDamage>) {
        let got = read_name(message, at, &mut NameBudget::for_message(message.len()));
        assert_eq!(got.as_ref().map(|(name, end)| (name.as_str(), *end)).map_err(|e| *e), expected);
    }

    #[test]
    fn labels_pointers_and_the_root() {
        let message = b"\x03wWw\x07Example\x00\x02ab\xc0\x04\x00";
        check(message, 0, Ok(("www.example", 13)));
        check(message, 13, Ok(("ab.example", 18)));
        check(message, 18, Ok((".", 19)));
        assert_eq!(skip_name(message, 0), Ok(13));
        assert_eq!(skip_name(message, 13), Ok(18));
    }

    #[test]
    fn malformed_names_are_errors() {
        check(b"\xc0\x00", 0, Err(DnsDamage::Malformed("more than 16 pointers in a name")));
        check(b"\xc0\x02\xc0\x00", 0, Err(DnsDamage::Malformed("more than 16 pointers in a name")));
        check(b"\x01a\xc0\x00", 0, Err(DnsDamage::Malformed("more than 16 pointers in a name")));
        check(b"\xc0\x09", 0, Err(DnsDamage::Malformed("pointer past the end")));
        check(b"\x05ab", 0, Err(DnsDamage::Truncated));
        check(b"\x41ab", 0, Err(DnsDamage::Malformed("unknown label type")));
        check(b"", 0, Err(DnsDamage::Truncated));
        check(b"a", 7, Err(DnsDamage::Truncated));
        let long: Vec<u8> = std::iter::repeat_n([1, b'x'], 128).flatten().chain([0]).collect();
        check(&long, 0, Err(DnsDamage::Malformed("name longer than 255 bytes")));
        let longest: Vec<u8> = std::iter::repeat_n([1, b'x'], 127).flatten().chain([0]).collect();
        assert_eq!(read_name(&longest, 0, &mut NameBudget::for_message(255)).unwrap().1, 255);
    }

    #[test]
    fn unusual_bytes_are_escaped() {
        check(b"\x03a.b\x04\x1b[2J\x00", 0, Ok(("a\\x2eb.\\x1b\\x5b2j", 10)));
    }

    #[test]
    fn names_cost_their_labels_pointers_and_text() {
        let message = b"\x03www\x07example\x00\xc0\x00";
        let mut budget = NameBudget { left: 40, spent: false };
        assert!(read_name(message, 13, &mut budget).is_ok());
        assert_eq!(budget.left, 40 - POINTER_COST - 2 * LABEL_COST - "www.example".len());
        let spent = DnsDamage::Malformed("more name bytes than a message may cost");
        assert_eq!(read_name(message, 13, &mut budget), Err(spent));
        assert!(budget.is_spent());
    }
}
