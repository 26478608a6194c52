//! Plain HTTP responses that are not the destination's own: block pages, captive portals, proxy refusals.
//!
//! In:  the request and the response, as far as the readers reported them.
//! Out: an assessment, where the response is not the destination's own.
//! Not: anything inside TLS.

use super::AssessmentContext;
use crate::base::HostName;
use crate::judge::assessment::Assessment;
use crate::judge::catalogue::Mechanism;
use crate::judge::flow_state::FlowState;
use crate::judge::rows::Http;
use crate::judge::vocabulary::Confidence;
use crate::read::AppStatus;
use crate::read::NameSource;
use crate::rules::Middleboxes;
use crate::rules::PageField;
use crate::rules::ResponderKind;

/// Where a page may name the product that made it.
const VENDOR_FIELDS: [PageField; 5] =
    [PageField::Server, PageField::Via, PageField::Location, PageField::XSquidError, PageField::Body];

const fn blocked(mechanism: Mechanism, confidence: Confidence) -> Option<Assessment> {
    Some(Assessment::blocked(mechanism, confidence))
}

/// The assessment of a plain HTTP response; none where it may be the destination's own.
pub(super) fn assess_response(flow: &FlowState, context: &AssessmentContext<'_>) -> Option<Assessment> {
    let facts = flow.facts.as_deref()?;
    let http = facts.http.as_deref();
    let mut statuses = facts.statuses.iter().filter_map(|(status, _)| match status {
        AppStatus::Status { code, connect: false } => Some(*code),
        _ => None,
    });
    // The last response of a proxy counts: 407 is the first round of an authentication.
    let is_proxied = http.is_some_and(|http| http.proxied);
    let status = if is_proxied { statuses.next_back()? } else { statuses.next()? };
    // RFC 6585 §6: network authentication required. Only a captive portal sends it.
    if status == 511 {
        return blocked(Mechanism::CaptivePortal, Confidence::Certain);
    }
    // A ClientHello answered in plain text: a server with TLS does that by mistake only.
    if flow.app == "tls" && flow.claim_from(NameSource::Connect).is_none() {
        return blocked(Mechanism::HttpOn443, Confidence::Strong);
    }
    let claim = flow.claim_from(NameSource::HttpHost)?;
    let (host, http): (&HostName, &Http) = (&claim.known.name, http?);
    let target = http.target.as_ref().map_or("", |target| target.as_str());
    if let Some(expected) = context.middleboxes.expected_test_body(host.as_str(), path_of(target)) {
        return assess_connectivity_test(status, http, expected);
    }
    if !claim.known.is_documented() {
        return None;
    }
    // The text of a page counts with any status. Middleboxes that forward a response name themselves in its headers too.
    let body = http.field(PageField::Body);
    let is_vendor_page = body
        .is_some_and(|body| context.middleboxes.block_page_vendor(PageField::Body, body).is_some())
        || (status >= 300 && block_page_vendor(http, context.middleboxes).is_some());
    if is_vendor_page {
        return blocked(Mechanism::BlockPage, Confidence::Certain);
    }
    let sender = sender_of(http, context.middleboxes);
    match status {
        // Its own refusal: of a path, a token, a country.
        403 | 451 | 502..=504 if sender == Sender::Service => None,
        407 if is_proxied => blocked(Mechanism::ProxyAuthRequired, Confidence::Weak),
        200 if is_for_validation(path_of(target)) && body.is_some_and(is_html) => {
            blocked(Mechanism::BlockPage, Confidence::Weak)
        }
        403 if is_proxied && sender == Sender::Proxy => blocked(Mechanism::ProxyRefused, Confidence::Strong),
        403 if is_proxied => blocked(Mechanism::ProxyRefused, Confidence::Weak),
        502..=504 if is_proxied => blocked(Mechanism::ProxyRefused, Confidence::Weak),
        403 | 451 => blocked(Mechanism::BlockPage, Confidence::Weak),
        // A proxy on the path, which intercepts port 80 and does not reach the host.
        502..=504 if sender == Sender::Proxy => blocked(Mechanism::BlockPage, Confidence::Weak),
        301 | 302 | 303 | 307 | 308 if is_foreign_redirect(http, host, context) => {
            blocked(Mechanism::BlockPage, Confidence::Weak)
        }
        _ => None,
    }
}

/// Who sent a response, as far as its headers show.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::judge) enum Sender {
    /// The service, or the content delivery network that serves its name.
    Service,
    /// A proxy by itself.
    Proxy,
    /// Another program than the proxy that names itself: it seems to have forwarded the response.
    Forwarded,
    Unknown,
}

/// Who sent a response that does not have what was requested.
pub(in crate::judge) fn sender_of(http: &Http, middleboxes: &Middleboxes) -> Sender {
    if http.field(PageField::RequestId).is_some() {
        return Sender::Service;
    }
    if http.field(PageField::XSquidError).is_some() {
        return Sender::Proxy;
    }
    // RFC 9209 §2.1: `error` for a response that the intermediary generated, `received-status` for one that it received.
    match http.field(PageField::ProxyStatus) {
        Some(status) if status.contains("received-status=") => return Sender::Service,
        Some(status) if status.contains("error=") => return Sender::Proxy,
        _ => {}
    }
    let server = http.field(PageField::Server);
    let via = http.field(PageField::Via);
    let known = server
        .and_then(|text| middleboxes.responder(PageField::Server, text))
        .or_else(|| via.and_then(|text| middleboxes.responder(PageField::Via, text)));
    match (known, server, via) {
        (Some(ResponderKind::Service), ..) => Sender::Service,
        (Some(ResponderKind::Proxy), ..) => Sender::Proxy,
        // A proxy adds Via to what it forwards (RFC 9110 §7.6.3), and some proxies to their own responses as well.
        (None, Some(server), Some(via)) => {
            let product = server.split(['/', ' ']).next().unwrap_or_default().to_ascii_lowercase();
            let is_own = !product.is_empty() && via.to_ascii_lowercase().contains(&product);
            match is_own {
                // Proxies in front of a service name themselves in the same way.
                true if http.proxied => Sender::Proxy,
                true => Sender::Unknown,
                false => Sender::Forwarded,
            }
        }
        (None, ..) => Sender::Unknown,
    }
}

/// The response to a connectivity test of Windows.
fn assess_connectivity_test(status: u16, http: &Http, expected: &str) -> Option<Assessment> {
    match status {
        // The client has the expected body already.
        304 => None,
        200 if http.field(PageField::Body).is_none_or(|body| body.contains(expected)) => None,
        // The server of the test may fail, and so may a proxy on the path.
        400.. => blocked(Mechanism::CaptivePortal, Confidence::Weak),
        _ => blocked(Mechanism::CaptivePortal, Confidence::Certain),
    }
}

/// The product that a page names as its maker.
pub(in crate::judge) fn block_page_vendor<'a>(http: &Http, middleboxes: &'a Middleboxes) -> Option<&'a str> {
    VENDOR_FIELDS.iter().find_map(|field| middleboxes.block_page_vendor(*field, http.field(*field)?))
}

/// What is requested to validate a certificate is never answered by a page.
fn is_for_validation(path: &str) -> bool {
    is_certificate_file(path) || is_ocsp_request(path)
}

/// The path of a request to an OCSP responder ends in a DER sequence in base64 (RFC 6960 appendix A.1), of more than 48 bytes: two
/// hashes of an issuer and a serial number.
fn is_ocsp_request(path: &str) -> bool {
    const MIN_LEN: usize = 64;
    let encoded = path.trim_start_matches('/');
    let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=' | b'%');
    encoded.len() >= MIN_LEN && encoded.starts_with('M') && encoded.bytes().all(is_base64)
}

/// Files for certificate validation, which no server returns as a page (RFC 2585 §4).
fn is_certificate_file(path: &str) -> bool {
    let extensions = ["crl", "crt", "cer", "p7b", "p7c", "cab", "stl"];
    path.rsplit_once('.')
        .is_some_and(|(_, extension)| extensions.iter().any(|known| known.eq_ignore_ascii_case(extension)))
}

/// Whether a body begins like an HTML page. The length of a chunk may come first (RFC 9112 §7.1).
fn is_html(body: &str) -> bool {
    const MAX_CHUNK_SIZE_LEN: usize = 16;
    let begin = body
        .find('<')
        .filter(|at| *at <= MAX_CHUNK_SIZE_LEN)
        .and_then(|at| body.get(at..at + 9))
        .unwrap_or_default();
    begin.eq_ignore_ascii_case("<!doctype")
        || begin.get(..5).is_some_and(|tag| tag.eq_ignore_ascii_case("<html"))
}

/// The path of a request target, without its query. A request to a proxy has a whole URL.
fn path_of(target: &str) -> &str {
    let path =
        target.split_once("://").map_or(target, |(_, rest)| rest.find('/').map_or("", |at| &rest[at..]));
    path.split('?').next().unwrap_or_default()
}

/// Whether a redirect goes neither to the host's own domain nor to a documented name.
fn is_foreign_redirect(http: &Http, host: &HostName, context: &AssessmentContext<'_>) -> bool {
    let Some((_, rest)) = http.field(PageField::Location).and_then(|location| location.split_once("://"))
    else {
        return false;
    };
    let target = rest.split(['/', ':', '?', '#']).next().unwrap_or_default();
    if target.is_empty() || context.middleboxes.is_redirector(host.as_str()) {
        return false;
    }
    let Some(target) = HostName::from_wire_text(target.as_bytes()) else { return false };
    domain_of(target.as_str()) != domain_of(host.as_str()) && !(context.is_documented)(&target)
}

/// The last two labels.
fn domain_of(name: &str) -> &str {
    let begin = name.rmatch_indices('.').nth(1).map_or(0, |(at, _)| at + 1);
    name.get(begin..).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_domains() {
        assert_eq!(path_of("http://www.msftconnecttest.com/connecttest.txt?n=1"), "/connecttest.txt");
        assert_eq!(path_of("/connecttest.txt"), "/connecttest.txt");
        assert_eq!(path_of("http://x"), "");
        assert_eq!(domain_of("a.b.microsoft.com"), "microsoft.com");
        assert_eq!(domain_of("localhost"), "localhost");
    }

    #[test]
    fn headers_show_who_sent_a_response() {
        let known = Middleboxes::embedded().unwrap();
        let check = |fields: &[(PageField, &str)], expected| {
            let text = |text: &str| crate::base::WireText::new(text.as_bytes(), 99);
            let fields = fields.iter().map(|(field, value)| (*field, text(value))).collect();
            assert_eq!(sender_of(&Http { fields, proxied: true, ..Http::default() }, &known), expected);
        };
        let (server, via, status) = (PageField::Server, PageField::Via, PageField::ProxyStatus);
        let squid = (via, "1.1 proxy.contoso.example (squid/6.6)");
        check(&[(server, "ECS (ama/8A2D)"), squid], Sender::Service);
        check(&[(server, "Windows-Azure-Blob/1.0 Microsoft-HTTPAPI/2.0")], Sender::Service);
        check(&[(PageField::RequestId, "x-azure-ref"), squid], Sender::Service);
        check(&[(server, "squid/6.6"), squid], Sender::Proxy);
        check(&[(PageField::XSquidError, "ERR_DNS_FAIL 0"), squid], Sender::Proxy);
        check(&[(server, "Gate/2"), (via, "1.1 gate.contoso.example (gate/2)")], Sender::Proxy);
        let fields = [(server, "Varnish"), (via, "1.1 varnish")];
        let fields = fields.map(|(field, text)| (field, crate::base::WireText::new(text.as_bytes(), 99)));
        let direct = Http { fields: fields.into_iter().collect(), ..Http::default() };
        assert_eq!(sender_of(&direct, &known), Sender::Unknown, "a proxy in front of the service");
        check(&[(server, "nginx"), squid], Sender::Forwarded);
        check(&[(server, "nginx")], Sender::Unknown);
        check(&[squid], Sender::Unknown);
        check(&[(status, "proxy; error=destination_unavailable")], Sender::Proxy);
        check(&[(status, "proxy; received-status=403"), (server, "nginx")], Sender::Service);
    }

    #[test]
    fn pages_instead_of_certificate_files() {
        assert!(is_certificate_file("/pki/crl/mscorp.CRL"));
        assert!(!is_certificate_file("/pki/crl") && !is_certificate_file("/crl"));
        let request = format!("/MFEwTzBNMEswSTAJ{}%3D", "b".repeat(60));
        assert!(is_ocsp_request(&request));
        assert!(!is_ocsp_request("/MFEw") && !is_ocsp_request(&format!("/M{}.html", "b".repeat(80))));
        assert!(is_html("\r\n<HTML><body>") && is_html("<!DOCTYPE html>"));
        assert!(is_html("1a\\x0d\\x0a<html><a>"), "after the length of a chunk");
        assert!(!is_html("0\\x82"));
    }

    #[test]
    fn connectivity_tests() {
        let check = |status, body: Option<&str>, expected: Option<Confidence>| {
            let mut http = Http::default();
            if let Some(body) = body {
                http.fields.push((PageField::Body, crate::base::WireText::new(body.as_bytes(), 99)));
            }
            let found = assess_connectivity_test(status, &http, "Microsoft Connect Test");
            assert_eq!(found.and_then(Assessment::confidence), expected, "{status} {body:?}");
        };
        check(200, Some("Microsoft Connect Test"), None);
        check(200, None, None);
        check(304, None, None);
        check(200, Some("<html>please sign in"), Some(Confidence::Certain));
        check(302, None, Some(Confidence::Certain));
        check(503, None, Some(Confidence::Weak));
    }
}
