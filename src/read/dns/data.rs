//! Says what a DNS record says.
//!
//! In:  a record's type and data, and the message for its names.
//! Out: addresses, names, services, or text.
//! Not: whether the answer is believable.

use super::name::name;
use crate::base::Address;
use crate::base::Cursor;
use crate::base::Truncated;
use crate::base::WireText;
use crate::read::fact::AnswerData;
use dns_parser::RData;
use dns_parser::Type;
use std::fmt::Write as _;

/// How much of a record's text is kept.
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

/// What the record says; `at` is where its data begins in the message.
pub(crate) fn read(message: &[u8], kind: u16, data: &[u8], at: usize) -> AnswerData {
    // Names may point anywhere before them but may not run on behind their record.
    let upto = message.get(..at + data.len()).unwrap_or(message);
    let known = match kind {
        CNAME | NS | PTR | DNAME => name(upto, at).ok().map(|(name, _)| AnswerData::Name(name)),
        SVCB | HTTPS => service(upto, data, at),
        SOA => soa(upto, at).map(other),
        MX => mx(upto, data, at).map(other),
        SRV => srv(upto, data, at).map(other),
        CAA => caa(data).map(other),
        kind => plain(kind, data),
    };
    known.unwrap_or_else(|| AnswerData::Other(unknown(data)))
}

fn other(text: String) -> AnswerData {
    AnswerData::Other(WireText::new(text.as_bytes(), TEXT_LIMIT))
}

/// Types without names in them, as dns-parser reads them.
fn plain(kind: u16, data: &[u8]) -> Option<AnswerData> {
    match RData::parse(Type::parse(kind).ok()?, data, data).ok()? {
        RData::A(a) => Some(AnswerData::Address(Address::v4(a.0.octets()))),
        RData::AAAA(aaaa) => Some(AnswerData::Address(Address::v6(aaaa.0.octets()))),
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

/// RFC 3597 §5: `\# length hex`; here with `#` alone, since a backslash is an escape in all our text.
fn unknown(data: &[u8]) -> WireText {
    let shown = data.get(..TEXT_LIMIT / 2).unwrap_or(data);
    let mut text = format!("# {} ", data.len());
    for byte in shown {
        let _ = write!(text, "{byte:02x}");
    }
    WireText::new(text.trim_end().as_bytes(), TEXT_LIMIT)
}

fn soa(message: &[u8], at: usize) -> Option<String> {
    let (server, at) = name(message, at).ok()?;
    let (mailbox, at) = name(message, at).ok()?;
    let mut c = Cursor::new(message.get(at..)?);
    let mut text = format!("{} {}", server, mailbox);
    for _ in 0..5 {
        let _ = write!(text, " {}", c.u32("serial, refresh, retry, expire, minimum").ok()?);
    }
    Some(text)
}

fn mx(message: &[u8], data: &[u8], at: usize) -> Option<String> {
    let preference = Cursor::new(data).u16("preference").ok()?;
    let (host, _) = name(message, at + 2).ok()?;
    Some(format!("{preference} {}", host))
}

fn srv(message: &[u8], data: &[u8], at: usize) -> Option<String> {
    let mut c = Cursor::new(data);
    let [priority, weight, port] = [c.u16("priority").ok()?, c.u16("weight").ok()?, c.u16("port").ok()?];
    let (target, _) = name(message, at + 6).ok()?;
    Some(format!("{priority} {weight} {port} {}", target))
}

fn caa(data: &[u8]) -> Option<String> {
    let mut c = Cursor::new(data);
    let flags = c.u8("flags").ok()?;
    let len = c.u8("tag length").ok()?;
    let tag = WireText::new(c.take(usize::from(len), "tag").ok()?, TEXT_LIMIT);
    let value = WireText::new(c.rest(), TEXT_LIMIT);
    Some(format!("{flags} {tag} \"{value}\""))
}

/// RFC 9460 §2.2.
fn service(message: &[u8], data: &[u8], at: usize) -> Option<AnswerData> {
    let priority = Cursor::new(data).u16("SvcPriority").ok()?;
    let (target, end) = name(message, at + 2).ok()?;
    let mut c = Cursor::new(message.get(end..)?);
    let mut parameters = Parameters::default();
    while !c.is_empty() {
        if parameters.read(&mut c).is_err() {
            break;
        }
    }
    let Parameters { hints, ech, text } = parameters;
    Some(AnswerData::Service {
        priority,
        target,
        hints,
        ech,
        text: WireText::new(text.as_bytes(), TEXT_LIMIT),
    })
}

#[derive(Default)]
struct Parameters {
    hints: Vec<Address>,
    ech: bool,
    text: String,
}

impl Parameters {
    /// One SvcParam: key and value (RFC 9460 §14.3.2; `dohpath` is RFC 9461 §5).
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
