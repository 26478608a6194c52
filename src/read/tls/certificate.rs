//! Reads the server's certificates where they are not encrypted.
//!
//! In:  a Certificate message of TLS 1.2 or older, which may end anywhere.
//! Out: subject, issuer and names of the server's certificate; the subjects of the rest of the chain.
//! Not: whether the chain is trusted.
//!
//! The list is split here, because tls-parser ignores a cut certificate without an error; x509-parser reads each one.

use crate::base::Cursor;
use crate::base::HostName;
use crate::base::WireText;
use crate::read::attributes::AttributeKey;
use crate::read::attributes::AttributeValue;
use crate::read::fact::Fact;
use crate::read::fact::NameSource;
use crate::read::parse_cache::CertificateFacts;
use crate::read::reader::Emitter;
use x509_parser::asn1_rs::Tag;
use x509_parser::extensions::GeneralName;
use x509_parser::objects::oid_registry;
use x509_parser::objects::oid2abbrev;
use x509_parser::prelude::FromDer;
use x509_parser::prelude::X509Certificate;
use x509_parser::x509::AttributeTypeAndValue;
use x509_parser::x509::X509Name;

/// DNS names kept of one certificate.
const NAME_LIMIT: usize = 100;
/// Certificates read of one chain.
const CHAIN_LIMIT: usize = 10;
/// Bytes kept of a name.
const TEXT_LIMIT: usize = 400;
/// Attributes kept of a distinguished name, and bytes of each value: X.520 allows 64 characters for most.
const ATTRIBUTE_LIMIT: usize = 16;
const VALUE_LIMIT: usize = 256;

/// Emits the facts of a Certificate message (RFC 5246 §7.4.2).
pub(crate) fn emit(body: &[u8], emit: &mut Emitter<'_>) {
    let mut c = Cursor::new(body);
    if c.u24("certificate_list length").is_err() {
        return;
    }
    let mut anomaly = None;
    let (name, attributes) = emit.cache.certificates.get_or_parse(body, || parse_chain(c, &mut anomaly));
    if let Some(name) = name {
        emit.name(NameSource::Certificate, name, None, false);
    }
    if !attributes.is_empty() {
        emit.fact(Fact::Attributes(attributes));
    }
    if let Some(what) = anomaly {
        emit.anomaly("tls", what);
    }
}

/// Parses the list of certificates.
fn parse_chain(mut c: Cursor<'_>, anomaly: &mut Option<&'static str>) -> CertificateFacts {
    let mut name = None;
    let mut attributes = Vec::new();
    let mut chain = Vec::new();
    for index in 0..CHAIN_LIMIT {
        if c.is_empty() {
            break;
        }
        let Some(der) = c.u24("certificate length").ok().and_then(|len| {
            let len = usize::try_from(len).ok()?;
            c.take(len, "certificate").ok()
        }) else {
            *anomaly = Some("certificate cut");
            break;
        };
        let Ok((_, certificate)) = X509Certificate::from_der(der) else {
            *anomaly = Some("malformed certificate");
            continue;
        };
        let subject = distinguished_name(certificate.subject());
        if index > 0 {
            chain.push(subject);
            continue;
        }
        let names = dns_names(&certificate);
        name = names.first().cloned();
        if name.is_some() {
            // An escaped name holds backslashes; as free text they are escaped again.
            let list = names.iter().map(|name| WireText::new(name.as_bytes(), TEXT_LIMIT)).collect();
            attributes.push((AttributeKey::CertificateNames, AttributeValue::List(list)));
        }
        attributes.push((AttributeKey::CertificateSubject, AttributeValue::Text(subject)));
        let issuer = distinguished_name(certificate.issuer());
        attributes.push((AttributeKey::CertificateIssuer, AttributeValue::Text(issuer)));
    }
    if !chain.is_empty() {
        attributes.push((AttributeKey::CertificateChain, AttributeValue::List(chain.into())));
    }
    (name, attributes.into())
}

/// A distinguished name as text, in the order of the certificate: `C=US, O="DigiCert, Inc.", CN=…`. A value that contains a
/// separator is quoted (RFC 4514 §4 accepts this form, RFC 1779 §2.3 defines it), so that no text inside a value reads as another
/// attribute.
fn distinguished_name(name: &X509Name<'_>) -> WireText {
    let mut text = String::new();
    let parts = name.iter().flat_map(|part| part.iter().enumerate()).take(ATTRIBUTE_LIMIT);
    for (index, attribute) in parts {
        if !text.is_empty() {
            text.push_str(if index == 0 { ", " } else { " + " });
        }
        match oid2abbrev(attribute.attr_type(), oid_registry()) {
            Ok(key) => text.push_str(key),
            Err(_) => text.push_str(&attribute.attr_type().to_id_string()),
        }
        text.push('=');
        push_value(&mut text, &value_text(attribute));
    }
    WireText::printable(text)
}

/// The printable value of an attribute.
fn value_text(attribute: &AttributeTypeAndValue<'_>) -> WireText {
    let value = attribute.attr_value();
    if value.tag() == Tag::BmpString {
        // UCS-2, big-endian (X.690 §8.23.9).
        let units = value.data.chunks_exact(2).map(|pair| match pair {
            [high, low] => u16::from_be_bytes([*high, *low]),
            _ => 0,
        });
        let text: String =
            char::decode_utf16(units).map(|unit| unit.unwrap_or(char::REPLACEMENT_CHARACTER)).collect();
        return WireText::new(text.as_bytes(), VALUE_LIMIT);
    }
    WireText::new(value.data, VALUE_LIMIT)
}

fn push_value(text: &mut String, value: &str) {
    let is_special = |c: char| matches!(c, ',' | '+' | '"' | ';' | '<' | '>' | '=' | '#');
    if !value.is_empty() && !value.contains(is_special) && value.trim() == value {
        text.push_str(value);
        return;
    }
    text.push('"');
    for c in value.chars() {
        if c == '"' {
            text.push('\\');
        }
        text.push(c);
    }
    text.push('"');
}

/// RFC 5280 §4.2.1.6: dNSName of subjectAltName.
fn dns_names(certificate: &X509Certificate<'_>) -> Vec<HostName> {
    let Ok(Some(alternative)) = certificate.subject_alternative_name() else { return Vec::new() };
    alternative
        .value
        .general_names
        .iter()
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => HostName::from_certificate(name.as_bytes()),
            _ => None,
        })
        .take(NAME_LIMIT)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_with_separators_are_quoted() {
        let check = |value: &str, expected: &str| {
            let mut text = String::new();
            push_value(&mut text, value);
            assert_eq!(text, expected);
        };
        check("Microsoft Azure RSA TLS Issuing CA 03", "Microsoft Azure RSA TLS Issuing CA 03");
        check("DigiCert, Inc.", "\"DigiCert, Inc.\"");
        check("x, O=Microsoft Corporation", "\"x, O=Microsoft Corporation\"");
        check("a \"b\"", "\"a \\\"b\\\"\"");
        check("", "\"\"");
        check(" x", "\" x\"");
    }
}
