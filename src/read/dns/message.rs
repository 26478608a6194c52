//! Walks over DNS messages, once, and keeps what could be read.
//!
//! In:  the bytes of one message, without TCP's length.
//! Out: header, question, answers, extended error; where the walk ended and why.
//! Not: which query a response answers.
//!
//! dns-parser reads the header, the types and plain record data. Its walk over a message fails the whole message on types
//! that it does not know, HTTPS among them, and its names take quadratic time; so the walk and the names are ours.

use super::data;
use super::name::NameError;
use super::name::name;
use super::name::skip;
use crate::base::Cursor;
use crate::base::HostName;
use crate::base::WireText;
use crate::read::fact::Answer;
use crate::read::fact::AnswerData;
use dns_parser::Header;

/// RFC 1035 §4.1.1: the header's length.
pub(crate) const HEADER_LEN: usize = 12;
/// RFC 1035 §4.1.1: the reserved bit Z in the fourth byte. Some servers set it; dns-parser refuses it.
const RESERVED_BIT: u8 = 0x40;
/// RFC 6891 §6.1.1: the type of the OPT pseudo record.
const OPT: u16 = 41;
/// RFC 8914 §2: the option code of an extended error.
const EXTENDED_ERROR: u16 = 15;
/// How much of an extended error's text is kept.
const EXTENDED_TEXT_LIMIT: usize = 200;
/// Records kept of one answer section. A message of 64 KiB holds 5,000 of the smallest.
const ANSWER_LIMIT: usize = 512;
/// Questions walked over; more than one is not in use outside mDNS (RFC 9619).
const QUESTION_LIMIT: u16 = 64;

/// The first question of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Question {
    /// The name.
    pub name: HostName,
    /// The type, by number.
    pub kind: u16,
    /// The class, by number.
    pub class: u16,
}

/// What could be read of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    /// The header's id.
    pub id: u16,
    /// A query rather than a response.
    pub query: bool,
    /// RFC 1035 §4.1.1, 0 is a standard query.
    pub opcode: u16,
    /// TC.
    pub truncated: bool,
    /// The header's code with EDNS's upper eight bits above it.
    pub rcode: u16,
    /// The first question.
    pub question: Option<Question>,
    /// The answer section, and behind it the additional section's addresses of hosts that it names.
    pub answers: Vec<Answer>,
    /// Code and text.
    pub extended_error: Option<(u16, WireText)>,
    /// Why the walk ended early.
    pub damage: Option<NameError>,
    /// Bytes behind the last record.
    pub trailing: usize,
}

/// RFC 1035 §4.1.1.
pub(crate) const QUERY: u16 = 0;
/// RFC 1996 §3.
pub(crate) const NOTIFY: u16 = 4;
/// RFC 2136 §1.3.
pub(crate) const UPDATE: u16 = 5;

/// The header, also where the reserved bit is set.
pub(crate) fn header(bytes: &[u8]) -> Option<Header> {
    let mut head: [u8; HEADER_LEN] = *bytes.first_chunk()?;
    let [_, _, _, flags, ..] = &mut head;
    *flags &= !RESERVED_BIT;
    Header::parse(&head).ok()
}

/// Reads a message; `None` only when there is not even a header.
pub(crate) fn read(bytes: &[u8]) -> Option<Message> {
    let header = header(bytes)?;
    let mut message = Message {
        id: header.id,
        query: header.query,
        opcode: header.opcode.into(),
        truncated: header.truncated,
        rcode: u16::from(Into::<u8>::into(header.response_code)),
        question: None,
        answers: Vec::new(),
        extended_error: None,
        damage: None,
        trailing: 0,
    };
    match sections(bytes, &header, &mut message) {
        Ok(end) => message.trailing = bytes.len().saturating_sub(end),
        Err(damage) => message.damage = Some(damage),
    }
    Some(message)
}

fn sections(bytes: &[u8], header: &Header, message: &mut Message) -> Result<usize, NameError> {
    let mut at = HEADER_LEN;
    if header.questions > QUESTION_LIMIT {
        return Err(NameError::Broken("too many questions"));
    }
    for _ in 0..header.questions {
        at = question(bytes, at, message)?;
    }
    if !matches!(header.opcode.into(), QUERY | NOTIFY | UPDATE) {
        // The sections have another meaning, or none.
        return Ok(bytes.len());
    }
    message.answers.reserve(usize::from(header.answers.min(8)));
    let mut last = Last::default();
    // Each record takes at least eleven bytes, so the counts of a hostile header end with the message.
    for _ in 0..header.answers {
        if message.answers.len() >= ANSWER_LIMIT {
            return Err(NameError::Broken("more than 512 answers"));
        }
        at = answer(bytes, at, message, &mut last)?;
    }
    for _ in 0..header.nameservers {
        if message.opcode == UPDATE && message.answers.len() < ANSWER_LIMIT {
            // RFC 2136 §2.5: here stands what is to be changed.
            at = answer(bytes, at, message, &mut last)?;
            continue;
        }
        at = Record::read(bytes, at)?.end;
    }
    let named = hosts_named(&message.answers);
    for _ in 0..header.additional {
        let record = Record::read(bytes, at)?;
        if record.kind == OPT {
            options(&record, message);
        } else if !named.is_empty()
            && matches!(record.kind, data::A | data::AAAA)
            && message.answers.len() < ANSWER_LIMIT
            && let (owner, _) = name(bytes, at)?
            && named.iter().any(|host| **host == *owner)
        {
            let data = data::read(bytes, record.kind, record.data, record.data_at);
            message.answers.push(Answer { owner, kind: record.kind, ttl: record.ttl, data });
        }
        at = record.end;
    }
    Ok(at)
}

/// The hosts that answers lead to whose addresses may stand in the additional section: RFC 2782, RFC 9460 §4.1.
fn hosts_named(answers: &[Answer]) -> Vec<Box<str>> {
    let host = |answer: &Answer| match &answer.data {
        AnswerData::Service { target, .. } if **target != *"." => Some(target.as_str().into()),
        AnswerData::Service { .. } => Some(answer.owner.as_str().into()),
        // The host is the last word of the text; a space inside of a name is escaped.
        AnswerData::Other(text) if answer.kind == data::SRV => {
            text.as_str().rsplit(' ').next().map(Into::into)
        }
        _ => None,
    };
    answers.iter().filter_map(host).collect()
}

fn question(bytes: &[u8], at: usize, message: &mut Message) -> Result<usize, NameError> {
    let end = if message.question.is_some() {
        skip(bytes, at)?
    } else {
        let (name, end) = name(bytes, at)?;
        let mut c = Cursor::new(bytes.get(end..).unwrap_or_default());
        let kind = c.u16("question type")?;
        let class = c.u16("question class")?;
        message.question = Some(Question { name, kind, class });
        end
    };
    let behind = end + 4;
    if behind > bytes.len() { Err(NameError::Truncated) } else { Ok(behind) }
}

/// A record without its owner: RFC 1035 §4.1.3.
struct Record<'a> {
    kind: u16,
    ttl: u32,
    data: &'a [u8],
    data_at: usize,
    end: usize,
}

impl<'a> Record<'a> {
    /// The record at `at`, its owner passed over.
    fn read(bytes: &'a [u8], at: usize) -> Result<Record<'a>, NameError> {
        Record::body(bytes, skip(bytes, at)?)
    }

    /// The record whose owner ends at `at`.
    fn body(bytes: &'a [u8], at: usize) -> Result<Record<'a>, NameError> {
        let mut c = Cursor::new(bytes.get(at..).unwrap_or_default());
        let kind = c.u16("record type")?;
        c.skip(2, "record class")?;
        let ttl = c.u32("record ttl")?;
        let len = usize::from(c.u16("record length")?);
        let data_at = at + c.at();
        let data = c.take(len, "record data")?;
        Ok(Record { kind, ttl, data, data_at, end: data_at + len })
    }
}

/// Where the names of the record before came from: in a chain the next owner points there.
#[derive(Default)]
struct Last {
    owner_at: usize,
    data_at: usize,
}

fn answer(bytes: &[u8], at: usize, message: &mut Message, last: &mut Last) -> Result<usize, NameError> {
    // A pointer by itself most often leads to the question, to the owner before, or to the name that a CNAME gave.
    let target = match bytes.get(at..).and_then(<[u8]>::first_chunk::<2>) {
        Some([head, low]) if head & 0xc0 == 0xc0 => usize::from(u16::from_be_bytes([head & 0x3f, *low])),
        _ => at,
    };
    let (owner, owner_end) = match (message.answers.last(), &message.question) {
        (_, Some(question)) if target == HEADER_LEN => (question.name.clone(), at + 2),
        (Some(before), _) if target != at && target == last.owner_at => (before.owner.clone(), at + 2),
        (Some(Answer { data: AnswerData::Name(name), .. }), _) if target != at && target == last.data_at => {
            (name.clone(), at + 2)
        }
        _ => name(bytes, at)?,
    };
    let record = Record::body(bytes, owner_end)?;
    let data = data::read(bytes, record.kind, record.data, record.data_at);
    *last = Last { owner_at: target, data_at: record.data_at };
    message.answers.push(Answer { owner, kind: record.kind, ttl: record.ttl, data });
    Ok(record.end)
}

/// RFC 6891 §6.1.3: the upper bits of the response code; §6.1.2: options.
fn options(record: &Record<'_>, message: &mut Message) {
    let [upper, ..] = record.ttl.to_be_bytes();
    message.rcode = (message.rcode & 0x0f) | (u16::from(upper) << 4);
    let mut c = Cursor::new(record.data);
    while let Ok((code, mut option)) = (|| {
        let code = c.u16("option code")?;
        let len = c.u16("option length")?;
        Ok::<_, crate::base::Truncated>((code, c.sub(len, "option")?))
    })() {
        if code == EXTENDED_ERROR
            && message.extended_error.is_none()
            && let Ok(info) = option.u16("info code")
        {
            let text = option.rest();
            // RFC 8914 §2: the text may end in a zero byte.
            let text = text.strip_suffix(&[0]).unwrap_or(text);
            message.extended_error = Some((info, WireText::new(text, EXTENDED_TEXT_LIMIT)));
        }
    }
}
