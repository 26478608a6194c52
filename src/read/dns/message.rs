//! Parses DNS messages in one pass and keeps what could be read.
//!
//! In:  the bytes of one message, without TCP's length prefix.
//! Out: header, question, answers, extended error; where parsing ended and why.
//! Not: which query a response answers.
//!
//! dns-parser decodes the header, the types and record data without names. Its message parser rejects the whole message on
//! a type that it does not know, HTTPS among them, and its names take quadratic time. So sections and names are parsed here.

use super::data;
use super::name::DnsDamage;
use super::name::NameBudget;
use super::name::read_name;
use super::name::skip_name;
use crate::base::Cursor;
use crate::base::HostName;
use crate::base::WireText;
use crate::read::fact::Answer;
use crate::read::fact::AnswerData;
use crate::read::fact::Resolution;
use dns_parser::Header;

/// RFC 1035 §4.1.1: the header's length.
pub(crate) const HEADER_LEN: usize = 12;
/// RFC 1035 §4.1.1: the reserved bit Z in the fourth byte. Some servers set it; dns-parser rejects it.
const RESERVED_BIT: u8 = 0x40;
/// RFC 6891 §6.1.1: the type of the OPT pseudo record.
const OPT: u16 = 41;
/// RFC 8914 §2: the option code of an extended error.
const EXTENDED_ERROR: u16 = 15;
/// Bytes kept of an extended error's text.
const EXTENDED_TEXT_LIMIT: usize = 200;
/// Records kept of one answer section. A message of 64 KiB holds 5,000 of the smallest.
const ANSWER_LIMIT: usize = 512;
/// The least that a record with an address takes: a pointer, the header, and an IPv4 address.
const ADDRESS_RECORD: usize = 16;
/// Questions read of one message; more than one is not in use outside mDNS (RFC 9619).
const QUESTION_LIMIT: u16 = 64;

/// The first question of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Question {
    /// The name.
    pub name: HostName,
    /// The type's number.
    pub kind: u16,
    /// The class's number.
    pub class: u16,
}

/// What could be read of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DnsMessage {
    /// The header's ID.
    pub id: u16,
    /// A query rather than a response.
    pub query: bool,
    /// RFC 1035 §4.1.1; 0 is a standard query.
    pub opcode: u16,
    /// TC.
    pub truncated: bool,
    /// The header's response code, with EDNS's upper eight bits above it.
    pub rcode: u16,
    /// The first question.
    pub question: Option<Question>,
    /// The answer section, then the addresses in the additional section of hosts that the answers name.
    pub answers: Vec<Answer>,
    /// Answers that were not read, because a row would not list them.
    pub unread_answers: u32,
    /// Code and text.
    pub extended_error: Option<(u16, WireText)>,
    /// Why parsing ended early.
    pub damage: Option<DnsDamage>,
    /// Bytes after the last record.
    pub trailing: usize,
}

/// RFC 1035 §4.1.1.
pub(crate) const QUERY: u16 = 0;
/// RFC 1996 §3.
pub(crate) const NOTIFY: u16 = 4;
/// RFC 2136 §1.3.
pub(crate) const UPDATE: u16 = 5;

/// Parses the header; accepts a set reserved bit.
pub(crate) fn parse_header(bytes: &[u8]) -> Option<Header> {
    let mut header: [u8; HEADER_LEN] = *bytes.first_chunk()?;
    let [_, _, _, flags, ..] = &mut header;
    *flags &= !RESERVED_BIT;
    Header::parse(&header).ok()
}

/// Parses a message; `None` only when it is shorter than a header.
pub(crate) fn parse_message(bytes: &[u8]) -> Option<DnsMessage> {
    let header = parse_header(bytes)?;
    let mut message = DnsMessage {
        id: header.id,
        query: header.query,
        opcode: header.opcode.into(),
        truncated: header.truncated,
        rcode: u16::from(Into::<u8>::into(header.response_code)),
        question: None,
        answers: Vec::new(),
        unread_answers: 0,
        extended_error: None,
        damage: None,
        trailing: 0,
    };
    let mut sections = Sections {
        bytes,
        budget: NameBudget::for_message(bytes.len()),
        read: ReadText::default(),
        message: &mut message,
    };
    match sections.parse(&header) {
        Ok(end) => message.trailing = bytes.len().saturating_sub(end),
        Err(damage) => message.damage = Some(damage),
    }
    Some(message)
}

/// A message whose sections are being parsed.
struct Sections<'m> {
    bytes: &'m [u8],
    budget: NameBudget,
    read: ReadText,
    message: &'m mut DnsMessage,
}

/// What was read of answers, apart from addresses.
#[derive(Default)]
struct ReadText {
    answers: usize,
    /// Bytes in their data.
    data: usize,
    /// Bytes of owners that are not the name in the question or in the record before.
    owners: usize,
}

impl ReadText {
    /// Whether a row lists no further answer with text.
    const fn is_complete(&self) -> bool {
        self.answers >= Resolution::LISTED_ANSWERS
            || self.data > Resolution::LISTED_TEXT
            || self.owners > Resolution::LISTED_TEXT
    }
}

impl Sections<'_> {
    /// Parses all sections; returns the offset after the last.
    fn parse(&mut self, header: &Header) -> Result<usize, DnsDamage> {
        let mut at = HEADER_LEN;
        if header.questions > QUESTION_LIMIT {
            return Err(DnsDamage::Malformed("too many questions"));
        }
        for _ in 0..header.questions {
            at = self.question(at)?;
        }
        if !matches!(header.opcode.into(), QUERY | NOTIFY | UPDATE) {
            // The sections have another meaning, or none.
            return Ok(self.bytes.len());
        }
        self.message.answers.reserve(usize::from(header.answers.min(8)));
        let mut previous = PreviousRecord::default();
        // Each record takes at least eleven bytes, so the loops end with the message whatever the header counts.
        for _ in 0..header.answers {
            if self.message.answers.len() + self.message.unread_answers as usize >= ANSWER_LIMIT {
                return Err(DnsDamage::Malformed("more than 512 answers"));
            }
            at = self.answer(at, &mut previous)?;
        }
        for _ in 0..header.nameservers {
            if self.message.opcode == UPDATE && self.message.answers.len() < ANSWER_LIMIT {
                // RFC 2136 §2.5: this section holds the records to be changed.
                at = self.answer(at, &mut previous)?;
                continue;
            }
            at = RawRecord::at(self.bytes, at)?.end;
        }
        let hosts = named_hosts(&self.message.answers);
        for _ in 0..header.additional {
            at = self.additional(at, &hosts)?;
        }
        Ok(at)
    }

    fn question(&mut self, at: usize) -> Result<usize, DnsDamage> {
        let name_end = if self.message.question.is_some() {
            skip_name(self.bytes, at)?
        } else {
            let (name, end) = read_name(self.bytes, at, &mut self.budget)?;
            let mut c = Cursor::new(self.bytes.get(end..).unwrap_or_default());
            let kind = c.u16("question type")?;
            let class = c.u16("question class")?;
            self.message.question = Some(Question { name, kind, class });
            end
        };
        let end = name_end + 4;
        if end > self.bytes.len() { Err(DnsDamage::Truncated) } else { Ok(end) }
    }

    fn answer(&mut self, at: usize, previous: &mut PreviousRecord) -> Result<usize, DnsDamage> {
        // A pointer alone most often leads to the question, to the owner before, or to the target of the CNAME before.
        let target = match self.bytes.get(at..).and_then(<[u8]>::first_chunk::<2>) {
            Some([head, low]) if head & 0xc0 == 0xc0 => usize::from(u16::from_be_bytes([head & 0x3f, *low])),
            _ => at,
        };
        let is_pointer = target != at;
        let known = match (self.message.answers.last(), &self.message.question) {
            (_, Some(question)) if is_pointer && target == HEADER_LEN => Some(&question.name),
            (Some(before), _) if is_pointer && target == previous.owner_at => Some(&before.owner),
            (Some(Answer { data: AnswerData::Name(name), .. }), _)
                if is_pointer && target == previous.data_at =>
            {
                Some(name)
            }
            _ => None,
        };
        let is_complete = self.read.is_complete();
        let (owner, owner_end) = match known {
            Some(name) => (name.clone(), at + 2),
            None if is_complete => return self.leave_unread(at),
            None => {
                let (owner, end) = read_name(self.bytes, at, &mut self.budget)?;
                // Some servers repeat the name without a pointer.
                let question = self.message.question.as_ref().map(|question| &question.name);
                let before = self.message.answers.last().map(|before| &before.owner);
                match [question, before].into_iter().flatten().find(|known| **known == owner) {
                    Some(known) => (known.clone(), end),
                    None => {
                        self.read.owners += owner.as_str().len();
                        (owner, end)
                    }
                }
            }
        };
        let record = RawRecord::after_owner(self.bytes, owner_end)?;
        let data = match data::address(record.kind, record.data) {
            Some(address) => {
                let answers = &mut self.message.answers;
                if answers.len() == answers.capacity() {
                    // Where there are many addresses, few of other answers follow: in one step, not by doubling.
                    answers.reserve(
                        (self.bytes.len().saturating_sub(owner_end) / ADDRESS_RECORD).min(ANSWER_LIMIT) + 1,
                    );
                }
                address
            }
            // The additional section has the addresses of the hosts in SRV records: a large domain has hundreds of controllers.
            None if is_complete && record.kind != data::SRV => return self.leave_unread(at),
            None => {
                let data = data::read_data(self.bytes, &record, &mut self.budget)?;
                self.read.answers += 1;
                self.read.data += data.text_len();
                data
            }
        };
        *previous = PreviousRecord { owner_at: target, data_at: record.data_at };
        self.message.answers.push(Answer { owner, kind: record.kind, ttl: record.ttl, data });
        Ok(record.end)
    }

    /// Counts the answer at `at`.
    fn leave_unread(&mut self, at: usize) -> Result<usize, DnsDamage> {
        let end = RawRecord::at(self.bytes, at)?.end;
        self.message.unread_answers += 1;
        Ok(end)
    }

    fn additional(&mut self, at: usize, hosts: &[Box<str>]) -> Result<usize, DnsDamage> {
        let record = RawRecord::at(self.bytes, at)?;
        if record.kind == OPT {
            self.options(&record);
        } else if !hosts.is_empty()
            && matches!(record.kind, data::A | data::AAAA)
            && self.message.answers.len() < ANSWER_LIMIT
            && let (owner, _) = read_name(self.bytes, at, &mut self.budget)?
            && hosts.binary_search_by(|host| (**host).cmp(owner.as_str())).is_ok()
        {
            let data = data::read_data(self.bytes, &record, &mut self.budget)?;
            self.message.answers.push(Answer { owner, kind: record.kind, ttl: record.ttl, data });
        }
        Ok(record.end)
    }

    /// RFC 6891 §6.1.3: the upper bits of the response code; §6.1.2: options.
    fn options(&mut self, record: &RawRecord<'_>) {
        let [upper, ..] = record.ttl.to_be_bytes();
        self.message.rcode = (self.message.rcode & 0x0f) | (u16::from(upper) << 4);
        let mut c = Cursor::new(record.data);
        while let Ok((code, mut option)) = (|| {
            let code = c.u16("option code")?;
            let len = c.u16("option length")?;
            Ok::<_, crate::base::Truncated>((code, c.sub(len, "option")?))
        })() {
            if code == EXTENDED_ERROR
                && self.message.extended_error.is_none()
                && let Ok(info) = option.u16("info code")
            {
                let text = option.rest();
                // RFC 8914 §2: the text may end in a zero byte.
                let text = text.strip_suffix(&[0]).unwrap_or(text);
                self.message.extended_error = Some((info, WireText::new(text, EXTENDED_TEXT_LIMIT)));
            }
        }
    }
}

/// The hosts of SRV and SVCB answers, sorted: their addresses may be in the additional section (RFC 2782, RFC 9460 §4.1).
fn named_hosts(answers: &[Answer]) -> Vec<Box<str>> {
    let host = |answer: &Answer| match &answer.data {
        AnswerData::Service(service) if *service.target != *"." => Some(service.target.as_str().into()),
        AnswerData::Service(_) => Some(answer.owner.as_str().into()),
        // The host is the last word of the text; a space in a name is escaped.
        AnswerData::Other(text) if answer.kind == data::SRV => {
            text.as_str().rsplit(' ').next().map(Into::into)
        }
        _ => None,
    };
    let mut hosts: Vec<Box<str>> = answers.iter().filter_map(host).collect();
    hosts.sort_unstable();
    hosts
}

/// A record without its owner: RFC 1035 §4.1.3.
pub(super) struct RawRecord<'a> {
    pub(super) kind: u16,
    pub(super) ttl: u32,
    pub(super) data: &'a [u8],
    /// Offset of the data in the message.
    pub(super) data_at: usize,
    /// Offset after the record.
    pub(super) end: usize,
}

impl<'a> RawRecord<'a> {
    /// The record at `at`; its owner is skipped.
    fn at(bytes: &'a [u8], at: usize) -> Result<RawRecord<'a>, DnsDamage> {
        RawRecord::after_owner(bytes, skip_name(bytes, at)?)
    }

    /// The record whose owner ends at `at`.
    fn after_owner(bytes: &'a [u8], at: usize) -> Result<RawRecord<'a>, DnsDamage> {
        let mut c = Cursor::new(bytes.get(at..).unwrap_or_default());
        let kind = c.u16("record type")?;
        c.skip(2, "record class")?;
        let ttl = c.u32("record ttl")?;
        let len = usize::from(c.u16("record length")?);
        let data_at = at + c.at();
        let data = c.take(len, "record data")?;
        Ok(RawRecord { kind, ttl, data, data_at, end: data_at + len })
    }
}

/// Where the names of the record before were read: the owner of the next often points there.
#[derive(Default)]
struct PreviousRecord {
    owner_at: usize,
    data_at: usize,
}
