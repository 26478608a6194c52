//! What a plain HTTP answer shows of boxes in the way: block pages, portals, wrong answers to connection tests.
//!
//! In:  what was asked of whom, and what came back.
//! Out: outcome, signature and confidence, where the answer is not the destination's own.
//! Not: anything behind TLS.

use crate::base::HostName;
use crate::judge::diagnosis::outcome::Ending;
use crate::judge::flow_state::FlowState;
use crate::judge::policy::Policy;
use crate::judge::rows::Confidence;
use crate::judge::rows::Http;
use crate::judge::rows::Outcome;
use crate::read::AppStatus as Said;
use crate::read::NameSource;
use crate::rules::PageField;

/// Where a page may tell who made it.
const PLACES: [PageField; 5] =
    [PageField::Server, PageField::Via, PageField::Location, PageField::XSquidError, PageField::Body];

const fn blocked(signature: &'static str, confidence: Confidence) -> Option<Ending> {
    Some((Outcome::BlockedLooking, signature, Some(confidence)))
}

/// What an answer in plain HTTP comes to; none where it may be the destination's own.
pub(in crate::judge) fn page(case: &FlowState, policy: &Policy) -> Option<Ending> {
    let said = case.facts.as_deref()?;
    let mut statuses = said.endings.iter().filter_map(|(ending, _)| match ending {
        Said::Status { code, connect: false } => Some(*code),
        _ => None,
    });
    // Of a proxy the last word counts: 407 is the first leg of signing in.
    let proxied = said.http.as_deref().is_some_and(|http| http.proxied);
    let status = if proxied { statuses.next_back()? } else { statuses.next()? };
    // Network authentication required (RFC 6585 §6): only a portal says so.
    if status == 511 {
        return blocked("captive-portal", Confidence::Certain);
    }
    let http = said.http.as_deref();
    // A ClientHello answered in plain text: nobody who serves TLS does that but by mistake.
    if case.app == "tls" && case.claimed(NameSource::Connect).is_none() {
        return blocked("http-on-443", Confidence::Strong);
    }
    let claimed = case.claimed(NameSource::HttpHost)?;
    let (host, http) = (&claimed.known.name, http?);
    let target = http.target.as_ref().map_or("", |target| target.as_str());
    if let Some(expected) = policy.middleboxes.expected_test_body(host.as_str(), path(target)) {
        let answered = status == 200 && http.at(PageField::Body).is_none_or(|body| body.contains(expected));
        return match status {
            // Nothing new: the answer that the client has already.
            304 => None,
            _ if answered => None,
            // Who serves the test may fail, and so may a proxy on the way.
            400.. => blocked("captive-portal", Confidence::Weak),
            _ => blocked("captive-portal", Confidence::Certain),
        };
    }
    claimed.known.references.documented.as_ref()?;
    // What a page's own text says is plain with any status; boxes that only pass an answer on name themselves in headers.
    let text = http.at(PageField::Body);
    if text.is_some_and(|text| policy.middleboxes.block_page_vendor(PageField::Body, text).is_some())
        || (status >= 300 && named_box(http, policy).is_some())
    {
        return blocked("block-page", Confidence::Certain);
    }
    match status {
        407 if http.proxied => blocked("proxy-auth-required", Confidence::Weak),
        200 if is_binary(path(target)) && text.is_some_and(is_html) => {
            blocked("block-page", Confidence::Weak)
        }
        403 if http.proxied => blocked("proxy-refused", Confidence::Strong),
        502..=504 if http.proxied => blocked("proxy-refused", Confidence::Weak),
        403 | 451 => blocked("block-page", Confidence::Weak),
        301 | 302 | 303 | 307 | 308 if leads_away(http, host, policy) => {
            blocked("block-page", Confidence::Weak)
        }
        _ => None,
    }
}

/// The box that a page is known to be of.
pub(in crate::judge) fn named_box<'a>(http: &Http, policy: &'a Policy) -> Option<&'a str> {
    PLACES.iter().find_map(|place| policy.middleboxes.block_page_vendor(*place, http.at(*place)?))
}

/// Files that certificates are checked with, and that nobody serves as a page (RFC 2585 §4).
fn is_binary(path: &str) -> bool {
    let ends = ["crl", "crt", "cer", "p7b", "p7c", "cab", "stl"];
    path.rsplit_once('.').is_some_and(|(_, end)| ends.iter().any(|known| known.eq_ignore_ascii_case(end)))
}

/// Whether a body begins as a page does; the length of a chunk may stand in front (RFC 9112 §7.1).
fn is_html(body: &str) -> bool {
    const CHUNK: usize = 16;
    let begin =
        body.find('<').filter(|at| *at <= CHUNK).and_then(|at| body.get(at..at + 9)).unwrap_or_default();
    begin.eq_ignore_ascii_case("<!doctype")
        || begin.get(..5).is_some_and(|tag| tag.eq_ignore_ascii_case("<html"))
}

/// The path of a target, without its query; a proxy is sent a whole address.
fn path(target: &str) -> &str {
    let path =
        target.split_once("://").map_or(target, |(_, rest)| rest.find('/').map_or("", |at| &rest[at..]));
    path.split('?').next().unwrap_or_default()
}

/// Whether a redirect leads to somebody else: not to the host's own domain, nor to what a document names.
fn leads_away(http: &Http, host: &HostName, policy: &Policy) -> bool {
    let Some((_, rest)) = http.at(PageField::Location).and_then(|location| location.split_once("://")) else {
        return false;
    };
    let to = rest.split(['/', ':', '?', '#']).next().unwrap_or_default();
    if to.is_empty() || policy.middleboxes.is_redirector(host.as_str()) {
        return false;
    }
    let Some(to) = HostName::from_wire_text(to.as_bytes()) else { return false };
    domain(to.as_str()) != domain(host.as_str()) && policy.rules.match_host(&to).is_empty()
}

/// The last two labels.
fn domain(name: &str) -> &str {
    let cut = name.rmatch_indices('.').nth(1).map_or(0, |(at, _)| at + 1);
    name.get(cut..).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_and_domains() {
        assert_eq!(path("http://www.msftconnecttest.com/connecttest.txt?n=1"), "/connecttest.txt");
        assert_eq!(path("/connecttest.txt"), "/connecttest.txt");
        assert_eq!(path("http://x"), "");
        assert_eq!(domain("a.b.microsoft.com"), "microsoft.com");
        assert!(is_binary("/pki/crl/mscorp.CRL") && !is_binary("/pki/crl") && !is_binary("/crl"));
        assert!(
            is_html("\r\n<HTML><body>")
                && is_html("<!DOCTYPE html>")
                && is_html("1a\\x0d\\x0a<html><a>")
                && !is_html("0\\x82")
        );
        assert_eq!(domain("localhost"), "localhost");
    }
}
