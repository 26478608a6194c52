//! What stands in a head.
//!
//! In:  header lines and targets.
//! Out: values, authorities with ports, where the body ends.
//! Not: what they mean.

use httparse::Header;

/// How a message's body ends: RFC 9112 §6.3.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Body {
    #[default]
    None,
    /// So many bytes are left.
    Length(u64),
    /// In chunks.
    Chunked,
    /// With the connection.
    Rest,
}

/// The first value under a name, in whatever case; none when it is empty.
pub(super) fn value<'h>(headers: &[Header<'h>], name: &str) -> Option<&'h [u8]> {
    headers
        .iter()
        .find(|header| header.name.eq_ignore_ascii_case(name))
        .map(|header| header.value.trim_ascii())
        .filter(|value| !value.is_empty())
}

/// How the body ends that follows such a header; `without` where it does not say.
pub(super) fn body(headers: &[Header<'_>], without: Body) -> Body {
    if value(headers, "transfer-encoding")
        .is_some_and(|coding| coding.to_ascii_lowercase().ends_with(b"chunked"))
    {
        return Body::Chunked;
    }
    match value(headers, "content-length") {
        Some(len) => match std::str::from_utf8(len).ok().and_then(|len| len.parse().ok()) {
            Some(0) => Body::None,
            Some(len) => Body::Length(len),
            None => Body::Rest,
        },
        None => without,
    }
}

/// The authority of an absolute target: RFC 9112 §3.2.2, RFC 3986 §3.2.
pub(super) fn authority(target: &str) -> Option<&str> {
    let (scheme, rest) = target.split_once("://")?;
    if scheme.is_empty() || !scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return None;
    }
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit('@').next()?;
    (!host.is_empty()).then_some(host)
}

/// Host and port: RFC 3986 §3.2.2 puts IPv6 addresses in brackets.
pub(super) fn split_port(text: &[u8]) -> Option<(&[u8], Option<u16>)> {
    let number = |digits: &[u8]| std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
    if let Some(inner) = text.strip_prefix(b"[") {
        let end = inner.iter().position(|byte| *byte == b']')?;
        let port = inner.get(end + 1..).and_then(|rest| rest.strip_prefix(b":")).and_then(number);
        return Some((inner.get(..end)?, port));
    }
    match text.iter().rposition(|byte| *byte == b':') {
        Some(colon) if !text.get(..colon)?.contains(&b':') => {
            Some((text.get(..colon)?, text.get(colon + 1..).and_then(number)))
        }
        _ => Some((text, None)),
    }
}
