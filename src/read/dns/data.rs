//! Decodes the data of DNS records.
//!
//! In:  a record, and the message for the names in it.
//! Out: addresses, names, services, or text.
//! Not: whether the answer is believable.

use super::message::RawRecord;
use super::name::DnsDamage;
use super::name::NameBudget;
use super::name::read_name;
use crate::base::Address;
use crate::base::Cursor;
use crate::base::Truncated;
use crate::base::WireText;
use crate::read::fact::AnswerData;
use crate::read::fact::Service;
use dns_parser::RData;
use dns_parser::Type;
use std::fmt::Write as _;

/// Bytes kept of a record's text.
const TEXT_LIMIT: usize = 512;
/// Address hints kept of one SVCB record.
const HINT_LIMIT: usize = 32;

/// RFC 1035 §3.4.1.
pub(crate) const A: u16 = 1;
/// RFC 3596 §2.1.
pub(crate) const AAAA: u16 = 28;
/// RFC 1035 §3.3.1.
const CNAME: u16 = 5;
/// RFC 1035 §3.3.11.
const NS: u16 = 2;
/// RFC 1035 §3.3.12.
const PTR: u16 = 12;
/// RFC 6672 §2.1.
const DNAME: u16 = 39;
/// RFC 1035 §3.3.13.
const SOA: u16 = 6;
/// RFC 1035 §3.3.9.
const MX: u16 = 15;
/// RFC 2782.
pub(crate) const SRV: u16 = 33;
/// RFC 9460 §14.1.
const SVCB: u16 = 64;
/// RFC 9460 §14.1.
const HTTPS: u16 = 65;
/// RFC 8659 §4.1.
const CAA: u16 = 257;

/// Decodes a record's data. A name in it that exhausts the budget is an error; data that cannot be decoded is kept as text.
pub(crate) fn read_data(
    message: &[u8],
    record: &RawRecord<'_>,
    budget: &mut NameBudget,
) -> Result<AnswerData, DnsDamage> {
    let RawRecord { kind, data, data_at: at, end, .. } = *record;
    // A name may point anywhere before itself but may not continue past the end of its record.
    let upto = message.get(..end).unwrap_or(message);
    let decoded = match kind {
        CNAME | NS | PTR | DNAME => read_name(upto, at, budget).map(|(name, _)| AnswerData::Name(name)),
        SVCB | HTTPS => service(upto, data, at, budget),
        SOA => soa(upto, at, budget).map(text),
        MX => mx(upto, data, at, budget).map(text),
        SRV => srv(upto, data, at, budget).map(text),
        CAA => caa(data).map(text),
        A | AAAA => address(kind, data).ok_or(DnsDamage::Truncated),
        kind => without_names(kind, data).ok_or(DnsDamage::Truncated),
    };
    match decoded {
        Err(damage) if budget.is_spent() => Err(damage),
        decoded => Ok(decoded.unwrap_or_else(|_| AnswerData::Other(undecoded(data)))),
    }
}

fn text(text: String) -> AnswerData {
    AnswerData::Other(WireText::new(text.as_bytes(), TEXT_LIMIT))
}

/// The address of an A or AAAA record, unless its length is wrong.
pub(crate) fn address(kind: u16, data: &[u8]) -> Option<AnswerData> {
    let address = match kind {
        A => Address::v4(data.try_into().ok()?),
        AAAA => Address::v6(data.try_into().ok()?),
        _ => return None,
    };
    Some(AnswerData::Address(address))
}

/// Other types without names in their data, as dns-parser decodes them.
fn without_names(kind: u16, data: &[u8]) -> Option<AnswerData> {
    match RData::parse(Type::parse(kind).ok()?, data, data).ok()? {
        RData::TXT(txt) => {
            let mut text = Vec::with_capacity(data.len() + 2);
            for part in txt.iter() {
                if !text.is_empty() {
                    text.push(b' ');
                }
                quote(&mut text, part);
            }
            Some(AnswerData::Other(WireText::new(&text, TEXT_LIMIT)))
        }
        _ => None,
    }
}

/// RFC 1035 §5.1: a character string in quotes.
fn quote(out: &mut Vec<u8>, text: &[u8]) {
    out.push(b'"');
    for byte in text {
        if *byte == b'"' {
            out.push(b'\'');
        } else {
            out.push(*byte);
        }
    }
    out.push(b'"');
}

/// RFC 3597 §5: `\# length hex`; here without the backslash, because a backslash starts an escape in all our text.
fn undecoded(data: &[u8]) -> WireText {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let shown = data.get(..TEXT_LIMIT / 2).unwrap_or(data);
    let mut text = format!("# {} ", data.len());
    for byte in shown {
        for nibble in [byte >> 4, byte & 15] {
            text.extend(DIGITS.get(usize::from(nibble)).map(|digit| char::from(*digit)));
        }
    }
    WireText::new(text.trim_end().as_bytes(), TEXT_LIMIT)
}

fn soa(message: &[u8], at: usize, budget: &mut NameBudget) -> Result<String, DnsDamage> {
    let (server, at) = read_name(message, at, budget)?;
    let (mailbox, at) = read_name(message, at, budget)?;
    let mut c = Cursor::new(message.get(at..).ok_or(DnsDamage::Truncated)?);
    let mut text = format!("{server} {mailbox}");
    for field in ["serial", "refresh", "retry", "expire", "minimum"] {
        let _ = write!(text, " {}", c.u32(field)?);
    }
    Ok(text)
}

fn mx(message: &[u8], data: &[u8], at: usize, budget: &mut NameBudget) -> Result<String, DnsDamage> {
    let preference = Cursor::new(data).u16("preference")?;
    let (host, _) = read_name(message, at + 2, budget)?;
    Ok(format!("{preference} {host}"))
}

fn srv(message: &[u8], data: &[u8], at: usize, budget: &mut NameBudget) -> Result<String, DnsDamage> {
    let mut c = Cursor::new(data);
    let [priority, weight, port] = [c.u16("priority")?, c.u16("weight")?, c.u16("port")?];
    let (target, _) = read_name(message, at + 6, budget)?;
    Ok(format!("{priority} {weight} {port} {target}"))
}

fn caa(data: &[u8]) -> Result<String, DnsDamage> {
    let mut c = Cursor::new(data);
    let flags = c.u8("flags")?;
    let len = c.u8("tag length")?;
    let tag = WireText::new(c.take(usize::from(len), "tag")?, TEXT_LIMIT);
    let value = WireText::new(c.rest(), TEXT_LIMIT);
    Ok(format!("{flags} {tag} \"{value}\""))
}

/// RFC 9460 §2.2.
fn service(message: &[u8], data: &[u8], at: usize, budget: &mut NameBudget) -> Result<AnswerData, DnsDamage> {
    let priority = Cursor::new(data).u16("SvcPriority")?;
    let (target, end) = read_name(message, at + 2, budget)?;
    let mut c = Cursor::new(message.get(end..).ok_or(DnsDamage::Truncated)?);
    let mut parameters = ServiceParameters::default();
    while !c.is_empty() {
        if parameters.read(&mut c).is_err() {
            break;
        }
    }
    let ServiceParameters { hints, ech, text } = parameters;
    let text = WireText::new(text.as_bytes(), TEXT_LIMIT);
    Ok(AnswerData::Service(Box::new(Service { priority, target, hints, ech, text })))
}

#[derive(Default)]
struct ServiceParameters {
    hints: Vec<Address>,
    ech: bool,
    text: String,
}

impl ServiceParameters {
    /// Reads one SvcParam: key and value (RFC 9460 §14.3.2; `dohpath` is RFC 9461 §5).
    fn read(&mut self, c: &mut Cursor<'_>) -> Result<(), Truncated> {
        let key = c.u16("SvcParamKey")?;
        let len = c.u16("SvcParamValue length")?;
        let mut value = c.sub(len, "SvcParamValue")?;
        if self.text.len() > TEXT_LIMIT {
            return Ok(());
        }
        if !self.text.is_empty() {
            self.text.push(' ');
        }
        match key {
            0 => {
                self.text.push_str("mandatory=");
                self.list(&mut value, |text, c| {
                    let _ = write!(text, "key{}", c.u16("key")?);
                    Ok(())
                })?;
            }
            1 => {
                self.text.push_str("alpn=");
                self.list(&mut value, |text, c| {
                    let len = c.u8("protocol length")?;
                    text.push_str(&WireText::new(c.take(usize::from(len), "protocol")?, TEXT_LIMIT));
                    Ok(())
                })?;
            }
            2 => self.text.push_str("no-default-alpn"),
            3 => {
                let _ = write!(self.text, "port={}", value.u16("port")?);
            }
            4 => self.addresses("ipv4hint=", &mut value, |c| Ok(Address::v4(c.array("ipv4hint")?)))?,
            5 => {
                self.ech = true;
                let _ = write!(self.text, "ech={} bytes", value.left());
            }
            6 => self.addresses("ipv6hint=", &mut value, |c| Ok(Address::v6(c.array("ipv6hint")?)))?,
            7 => {
                let _ = write!(self.text, "dohpath={}", WireText::new(value.rest(), TEXT_LIMIT));
            }
            key => {
                let _ = write!(self.text, "key{key}={} bytes", value.left());
            }
        }
        Ok(())
    }

    fn list(
        &mut self,
        value: &mut Cursor<'_>,
        item: impl Fn(&mut String, &mut Cursor<'_>) -> Result<(), Truncated>,
    ) -> Result<(), Truncated> {
        let mut first = true;
        while !value.is_empty() && self.text.len() <= TEXT_LIMIT {
            if !first {
                self.text.push(',');
            }
            first = false;
            item(&mut self.text, value)?;
        }
        Ok(())
    }

    fn addresses(
        &mut self,
        label: &str,
        value: &mut Cursor<'_>,
        read: impl Fn(&mut Cursor<'_>) -> Result<Address, Truncated>,
    ) -> Result<(), Truncated> {
        self.text.push_str(label);
        let hints = &mut self.hints;
        let mut first = true;
        while !value.is_empty() && hints.len() < HINT_LIMIT {
            let address = read(value)?;
            hints.push(address);
            let _ = write!(self.text, "{}{address}", if first { "" } else { "," });
            first = false;
        }
        Ok(())
    }
}
