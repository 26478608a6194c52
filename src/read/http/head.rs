//! Parses parts of a message head.
//!
//! In:  header lines and request targets.
//! Out: values, authorities with ports, how the body is delimited.
//! Not: their meaning.

use httparse::Header;

/// How a message body is delimited: RFC 9112 §6.3.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum BodyFraming {
    #[default]
    None,
    /// This many bytes are left.
    Length(u64),
    /// In chunks; a chunk's size comes next.
    Chunked,
    /// In chunks, and this many bytes of the current one and its end of line are left.
    ChunkData(u64),
    /// By the end of the connection.
    UntilClose,
}

/// The first value of a header, in any case; `None` when it is empty.
pub(super) fn header_value<'h>(headers: &[Header<'h>], name: &str) -> Option<&'h [u8]> {
    headers
        .iter()
        .find(|header| header.name.eq_ignore_ascii_case(name))
        .map(|header| header.value.trim_ascii())
        .filter(|value| !value.is_empty())
}

/// How the body after these headers is delimited; `default` where they do not give it.
pub(super) fn body_framing(headers: &[Header<'_>], default: BodyFraming) -> BodyFraming {
    if header_value(headers, "transfer-encoding")
        .is_some_and(|coding| coding.to_ascii_lowercase().ends_with(b"chunked"))
    {
        return BodyFraming::Chunked;
    }
    match header_value(headers, "content-length") {
        Some(len) => match std::str::from_utf8(len).ok().and_then(|len| len.parse().ok()) {
            Some(0) => BodyFraming::None,
            Some(len) => BodyFraming::Length(len),
            None => BodyFraming::UntilClose,
        },
        None => default,
    }
}

/// The host and port of a target in absolute form, without user information: RFC 9112 §3.2.2, RFC 3986 §3.2.
pub(super) fn authority(target: &str) -> Option<&str> {
    let (scheme, rest) = target.split_once("://")?;
    if scheme.is_empty() || !scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return None;
    }
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit('@').next()?;
    (!host.is_empty()).then_some(host)
}

/// Splits host and port: IPv6 addresses are in brackets (RFC 3986 §3.2.2).
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
