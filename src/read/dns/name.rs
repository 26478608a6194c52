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

/// Names of a message that are kept while it is read: pointers most often lead to one of them.
const KNOWN_LIMIT: usize = 16;

/// What the names in the rest of a message may cost: labels and pointers each time they are read, and bytes of text. And the
/// last names that were read, so that a pointer to one of them need not be followed.
///
/// Compression (RFC 1035 §4.1.4) makes names far longer than their message: 1,400 bytes hold 80 names of 255 bytes, or 80
/// chains of pointers. Without a limit, such a message costs 300 times a usual one, and makes a row of 17 kB.
pub(crate) struct NameBudget {
    left: usize,
    spent: bool,
    known: SmallVec<[EarlierName; KNOWN_LIMIT]>,
    /// The place in `known` of the next name.
    next: usize,
}

/// The name at an offset of the message: the end of a name that was read.
struct EarlierName {
    at: usize,
    /// Its length in the message, if it had no pointers.
    wire_len: usize,
    name: HostName,
    /// Where it begins in the text of `name`.
    from: usize,
}

impl NameBudget {
    /// The budget of a message of this length.
    pub(crate) fn for_message(len: usize) -> NameBudget {
        let cost = BUDGET_BASE + BUDGET_PER_BYTE * len;
        let left = if cost < BUDGET_MAX { cost } else { BUDGET_MAX };
        NameBudget { left, spent: false, known: SmallVec::new(), next: 0 }
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

    fn known(&self, at: usize) -> Option<&EarlierName> {
        self.known.iter().find(|known| known.at == at)
    }

    /// Keeps a name. The oldest one gives way.
    fn keep(&mut self, known: EarlierName) {
        match self.known.get_mut(self.next) {
            Some(oldest) => *oldest = known,
            None => self.known.push(known),
        }
        self.next = (self.next + 1) % KNOWN_LIMIT;
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
    let mut walk = NameWalk::new(message, at)?;
    while let Some(part) = walk.next(budget)? {
        if let NamePart::Label(label) = part {
            labels.push(label);
        }
    }
    Ok((labels, walk.end()))
}

/// Reads the name at `at`; returns it and the offset after its field.
#[inline]
pub(crate) fn read_name(
    message: &[u8],
    at: usize,
    budget: &mut NameBudget,
) -> Result<(HostName, usize), DnsDamage> {
    let mut text = HostNameBuilder::default();
    let mut walk = NameWalk::new(message, at)?;
    // Where the first pointer led, and how much of the name was read before.
    let mut pointed: Option<(usize, usize, usize)> = None;
    loop {
        let (labels, target) = walk.next_run(budget)?;
        text.push_wire(labels);
        let Some(target) = target else { break };
        let Some(known) = budget.known(target) else {
            pointed.get_or_insert((target, walk.len, text.len()));
            continue;
        };
        walk.add(known.wire_len - 1)?;
        if text.len() == 0 && known.from == 0 {
            let (name, wire_len) = (known.name.clone(), walk.len);
            budget.spend(name.as_str().len())?;
            budget.keep(EarlierName { at, wire_len, name: name.clone(), from: 0 });
            return Ok((name, walk.end()));
        }
        if known.wire_len > 1 {
            text.push_text(known.name.as_str().get(known.from..).unwrap_or_default());
        }
        break;
    }
    let name = text.finish();
    budget.spend(name.as_str().len())?;
    if let Some((target, len_before, text_before)) = pointed {
        // After the labels before it, and a dot.
        let from = if text_before == 0 { 0 } else { (text_before + 1).min(name.as_str().len()) };
        budget.keep(EarlierName {
            at: target,
            wire_len: walk.len - len_before + 1,
            name: name.clone(),
            from,
        });
    }
    budget.keep(EarlierName { at, wire_len: walk.len, name: name.clone(), from: 0 });
    Ok((name, walk.end()))
}

/// A part of a name.
enum NamePart<'a> {
    Label(&'a [u8]),
    /// A pointer to this offset, which is read next.
    Pointer(usize),
}

/// Reads a name part by part.
struct NameWalk<'a> {
    message: &'a [u8],
    c: Cursor<'a>,
    /// Offset of the cursor's bytes in the message.
    start: usize,
    /// The length of the name without pointers, with the root's length byte.
    len: usize,
    pointers: usize,
    /// The offset after the name's field, once it is known.
    end: Option<usize>,
}

impl<'a> NameWalk<'a> {
    fn new(message: &'a [u8], at: usize) -> Result<NameWalk<'a>, DnsDamage> {
        let c = Cursor::new(message.get(at..).ok_or(DnsDamage::Truncated)?);
        Ok(NameWalk { message, c, start: at, len: 1, pointers: 0, end: None })
    }

    /// The next part; `None` at the root.
    #[inline]
    fn next(&mut self, budget: &mut NameBudget) -> Result<Option<NamePart<'a>>, DnsDamage> {
        let head = self.c.u8("label length")?;
        match head & LABEL_TYPE_MASK {
            0 if head == 0 => Ok(None),
            0 => {
                let label = self.c.take(usize::from(head), "label")?;
                budget.spend(LABEL_COST)?;
                self.add(1 + label.len())?;
                Ok(Some(NamePart::Label(label)))
            }
            POINTER => {
                let low = self.c.u8("pointer")?;
                budget.spend(POINTER_COST)?;
                let target = usize::from(u16::from_be_bytes([head & !LABEL_TYPE_MASK, low]));
                self.end = Some(self.end());
                self.pointers += 1;
                if self.pointers > POINTER_LIMIT {
                    return Err(DnsDamage::Malformed("more than 16 pointers in a name"));
                }
                let rest = self.message.get(target..).ok_or(DnsDamage::Malformed("pointer past the end"))?;
                (self.start, self.c) = (target, Cursor::new(rest));
                Ok(Some(NamePart::Pointer(target)))
            }
            _ => Err(DnsDamage::Malformed("unknown label type")),
        }
    }

    /// The labels up to the next pointer or the root, as they are on the wire, and where the pointer leads.
    #[inline]
    fn next_run(&mut self, budget: &mut NameBudget) -> Result<(&'a [u8], Option<usize>), DnsDamage> {
        let (start, from) = (self.start, self.c.at());
        loop {
            let to = self.c.at();
            let target = match self.next(budget)? {
                Some(NamePart::Label(_)) => continue,
                Some(NamePart::Pointer(target)) => Some(target),
                None => None,
            };
            return Ok((self.message.get(start + from..start + to).unwrap_or_default(), target));
        }
    }

    /// The offset after the name's field.
    fn end(&self) -> usize {
        self.end.unwrap_or(self.start + self.c.at())
    }

    fn add(&mut self, len: usize) -> Result<(), DnsDamage> {
        self.len += len;
        if self.len > NAME_LIMIT {
            return Err(DnsDamage::Malformed("name longer than 255 bytes"));
        }
        Ok(())
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

    /// Reads the names at these offsets, one after the other.
    fn read_all(message: &[u8], offsets: &[usize]) -> Vec<String> {
        let mut budget = NameBudget::for_message(message.len());
        let read = |at: &usize| read_name(message, *at, &mut budget).unwrap().0.as_str().to_owned();
        offsets.iter().map(read).collect()
    }

    #[test]
    fn a_name_that_was_read_is_used_where_a_pointer_leads_to_it() {
        // 0: www.example; 13: the same; 15: a pointer to that; 17: ab.example, by a pointer into the first; 22: cd and the same
        // pointer; 27: the root; 28: ef and the root by a pointer; 33: a pointer to the root.
        let message =
            b"\x03www\x07example\x00\xc0\x00\xc0\x0d\x02ab\xc0\x04\x02cd\xc0\x04\x00\x02ef\xc0\x1b\xc0\x1b";
        let expected =
            ["www.example", "www.example", "www.example", "ab.example", "cd.example", ".", "ef", "."];
        let offsets = [0, 13, 15, 17, 22, 27, 28, 33];
        assert_eq!(read_all(message, &offsets), expected);
        let reversed: Vec<usize> = offsets.iter().rev().copied().collect();
        assert!(read_all(message, &reversed).iter().rev().eq(&expected));
        // Alone, so that nothing is known.
        for (at, expected) in offsets.iter().zip(expected) {
            assert_eq!(read_all(message, &[*at]), [expected]);
        }
    }

    #[test]
    fn a_known_name_counts_for_the_length_limit() {
        // 254 bytes, and a label before it.
        let mut message: Vec<u8> = std::iter::repeat_n([1, b'x'], 126).flatten().chain([0]).collect();
        let at = message.len();
        message.extend(b"\x02ab\xc0\x00");
        let mut budget = NameBudget::for_message(message.len());
        assert!(read_name(&message, 0, &mut budget).is_ok());
        let too_long = DnsDamage::Malformed("name longer than 255 bytes");
        assert_eq!(read_name(&message, at, &mut budget), Err(too_long));
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
        // 0: B,c.Example; 13: Plain, then the same by a pointer.
        let message = b"\x03B,c\x07Example\x00\x05Plain\xc0\x00";
        check(message, 13, Ok(("plain.b\\x2cc.example", 21)));
        assert_eq!(read_all(message, &[0, 13]), ["b\\x2cc.example", "plain.b\\x2cc.example"]);
        // As many dots inside labels as between them.
        check(b"\x02.a\x02b.\x00", 0, Ok(("\\x2ea.b\\x2e", 7)));
    }

    #[test]
    fn names_cost_their_labels_pointers_and_text() {
        let message = b"\x03www\x07example\x00\xc0\x00";
        let mut budget = NameBudget { left: 40, ..NameBudget::for_message(0) };
        assert!(read_name(message, 13, &mut budget).is_ok());
        assert_eq!(budget.left, 40 - POINTER_COST - 2 * LABEL_COST - "www.example".len());
        let spent = DnsDamage::Malformed("more name bytes than a message may cost");
        assert_eq!(read_name(message, 13, &mut budget), Err(spent));
        assert!(budget.is_spent());
    }
}
