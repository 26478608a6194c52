//! Reads the certificates that a server shows in the clear.
//!
//! In:  a Certificate message of TLS 1.2 or older, which may end anywhere.
//! Out: the server's subject, issuer and names; the subjects behind it.
//! Not: whether any of it is to be trusted.
//!
//! The list is walked here, since tls-parser's ends in silence where a certificate is cut; x509-parser reads each one.

use crate::base::Cursor;
use crate::base::HostName;
use crate::base::WireText;
use crate::read::fact::AttributeKey;
use crate::read::fact::AttributeValue;
use crate::read::fact::Fact;
use crate::read::fact::NameSource;
use crate::read::parse_cache::Shown;
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

/// Tells what a Certificate message shows (RFC 5246 §7.4.2).
pub(crate) fn emit(body: &[u8], emit: &mut Emitter<'_>) {
    let mut c = Cursor::new(body);
    if c.u24("certificate_list length").is_err() {
        return;
    }
    let mut odd = None;
    let (name, profile) = emit.cache.certificates.get(body, || read(c, &mut odd));
    if let Some(name) = name {
        emit.name(NameSource::Certificate, name, None, false);
    }
    if !profile.is_empty() {
        emit.fact(Fact::Attributes(profile));
    }
    if let Some(what) = odd {
        emit.anomaly("tls", what);
    }
}

/// Reads the list: what it says, and what was odd in it.
fn read(mut c: Cursor<'_>, odd: &mut Option<&'static str>) -> Shown {
    let mut name = None;
    let mut said = Vec::new();
    let mut chain = Vec::new();
    for index in 0..CHAIN_LIMIT {
        if c.is_empty() {
            break;
        }
        let Some(der) = c.u24("certificate length").ok().and_then(|len| {
            let len = usize::try_from(len).ok()?;
            c.take(len, "certificate").ok()
        }) else {
            *odd = Some("certificate cut");
            break;
        };
        let Ok((_, certificate)) = X509Certificate::from_der(der) else {
            *odd = Some("certificate that cannot be read");
            continue;
        };
        let subject = WireText::new(certificate.subject().to_string().as_bytes(), TEXT_LIMIT);
        if index > 0 {
            chain.push(subject);
            continue;
        }
        let names = names(&certificate);
        name = names.first().cloned();
        if name.is_some() {
            // A name that had to be escaped holds backslashes already; as free text they are escaped once more.
            let list = names.iter().map(|name| WireText::new(name.as_bytes(), TEXT_LIMIT)).collect();
            said.push((AttributeKey::CertificateNames, AttributeValue::List(list)));
        }
        said.push((AttributeKey::CertificateSubject, AttributeValue::Text(subject)));
        let issuer = WireText::new(certificate.issuer().to_string().as_bytes(), TEXT_LIMIT);
        said.push((AttributeKey::CertificateIssuer, AttributeValue::Text(issuer)));
    }
    if !chain.is_empty() {
        said.push((AttributeKey::CertificateChain, AttributeValue::List(chain.into())));
    }
    (name, said.into())
}

/// RFC 5280 §4.2.1.6: dNSName of subjectAltName.
fn names(certificate: &X509Certificate<'_>) -> Vec<HostName> {
    let Ok(Some(alternative)) = certificate.subject_alternative_name() else { return Vec::new() };
    alternative
        .value
        .general_names
        .iter()
        .filter_map(|name| match name {
            GeneralName::DNSName(name) => HostName::from_wire_text(name.as_bytes()),
            _ => None,
        })
        .take(NAME_LIMIT)
        .collect()
}
