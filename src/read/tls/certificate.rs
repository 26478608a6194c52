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
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;
use x509_parser::prelude::X509Certificate;

/// DNS names kept of one certificate.
const NAME_LIMIT: usize = 100;
/// Certificates read of one chain.
const CHAIN_LIMIT: usize = 10;
/// Bytes kept of a subject or issuer.
const TEXT_LIMIT: usize = 400;

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
        let subject = WireText::new(certificate.subject().to_string().as_bytes(), TEXT_LIMIT);
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
        let issuer = WireText::new(certificate.issuer().to_string().as_bytes(), TEXT_LIMIT);
        attributes.push((AttributeKey::CertificateIssuer, AttributeValue::Text(issuer)));
    }
    if !chain.is_empty() {
        attributes.push((AttributeKey::CertificateChain, AttributeValue::List(chain.into())));
    }
    (name, attributes.into())
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
