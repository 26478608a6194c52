//! How documents print table rows and URLs.
//!
//! In:  a printed row or URL.
//! Out: its cells, or its scheme, host, port and path.
//! Not: whether the host is a valid pattern; that is for `pattern`.

use super::text::RuleText;
use crate::base::port;

/// Schemes that the documents print.
pub(super) const SCHEMES: &[&str] = &["http", "https", "git"];

/// The parts of a URL as documents print it; a bare host is one too.
pub(super) struct DocumentUrl<'a> {
    pub(super) scheme: Option<&'a str>,
    pub(super) host: &'a str,
    pub(super) port: Option<u16>,
    /// The text after the colon is not a port.
    pub(super) bad_port: bool,
    pub(super) path: Option<&'a str>,
}

impl<'a> DocumentUrl<'a> {
    pub(super) fn split(text: &'a str) -> DocumentUrl<'a> {
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme, rest)) => (Some(scheme), rest),
            None => (None, text),
        };
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        // `www.bing.com*` is any path of the host.
        let (host, path) = match host.strip_suffix('*') {
            Some(host) if !host.is_empty() && !host.ends_with('.') => (host, "*"),
            _ => (host, path),
        };
        let (host, printed) = match host.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (host, None),
        };
        let port = printed.and_then(|port| port.parse().ok()).filter(|port| *port != 0);
        let bad_port = printed.is_some() && port.is_none();
        DocumentUrl { scheme, host, port, bad_port, path: (!path.is_empty()).then_some(path) }
    }

    /// RFC 9110 §4.2: the default ports of the two schemes.
    pub(super) fn scheme_port(&self) -> Option<u16> {
        match self.scheme? {
            "http" => Some(port::HTTP),
            "https" => Some(port::HTTPS),
            _ => None,
        }
    }
}

/// Replaces each placeholder of `host` once; `None` if one of them is missing.
pub(super) fn replace_placeholders<'a>(
    host: &str,
    placeholders: &[(RuleText, RuleText)],
    fill: impl Fn(&str) -> &'a str,
) -> Option<String> {
    let mut out = host.to_owned();
    for (word, fact) in placeholders {
        if !out.contains(&**word) {
            return None;
        }
        out = out.replacen(&**word, fill(fact), 1);
    }
    Some(out)
}

/// The host of a URL as printed.
pub(super) fn host_of(url: &str) -> &str {
    DocumentUrl::split(url).host
}

/// The cells of a printed table row; empty for any other row.
pub(super) fn cells(printed: &str) -> Vec<&str> {
    let inner = printed.strip_prefix('|').and_then(|rest| rest.strip_suffix('|'));
    inner.map(|inner| inner.split('|').map(str::trim).collect()).unwrap_or_default()
}

/// A cell without markup.
pub(super) fn strip_markup(cell: &str) -> String {
    if !cell.contains(['*', '`', '<']) {
        return cell.split_whitespace().collect::<Vec<_>>().join(" ");
    }
    let mut text = cell.replace("**", "").replace('`', "");
    for tag in ["<br>", "<br />", "<br/>"] {
        text = text.replace(tag, " ");
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
