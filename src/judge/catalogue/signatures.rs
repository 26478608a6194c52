//! How flows and names were stopped: every word of the column `signature`, with its finding.
//!
//! What is empty here is as the finding says it. Error codes are those of the troubleshooting pages of Azure File Sync
//! (file-sync-troubleshoot-sync-errors.md, 2025-08-25) that fit what the wire shows.

use super::Explanation;
use super::explanation;

/// What one word means.
#[derive(Clone, Copy, Debug)]
pub struct Signature {
    /// As in the column `signature`.
    pub word: &'static str,
    /// The finding that names it.
    pub code: &'static str,
    /// What it looks like on the wire.
    pub looks_like: &'static str,
    /// What usually causes it.
    pub cause: &'static str,
    /// What to check.
    pub action: &'static str,
    /// What else it could be.
    pub else_could_be: &'static str,
}

impl Signature {
    /// Its finding, with what the signature says more closely.
    pub fn explanation(&self) -> Option<Explanation> {
        let finding = explanation(self.code)?;
        let or = |own: &'static str, other| if own.is_empty() { other } else { own };
        Some(Explanation {
            looks_like: or(self.looks_like, finding.looks_like),
            cause: or(self.cause, finding.cause),
            action: or(self.action, finding.action),
            else_could_be: or(self.else_could_be, finding.else_could_be),
            ..*finding
        })
    }
}

/// What a word of the column `signature` means, for what looks blocked.
pub fn signature(word: &str) -> Option<&'static Signature> {
    SIGNATURES.iter().find(|entry| entry.word.eq_ignore_ascii_case(word))
}

/// Why an outcome is `inconclusive`: what a word of the column `signature` means.
pub fn reason(word: &str) -> Option<&'static str> {
    REASONS.iter().find(|(known, _)| known.eq_ignore_ascii_case(word)).map(|(_, why)| *why)
}

/// All signatures of what looks blocked, by finding.
pub fn signatures() -> impl Iterator<Item = &'static Signature> {
    SIGNATURES.iter()
}

/// All reasons for `inconclusive`, with what they mean.
pub fn reasons() -> impl Iterator<Item = &'static (&'static str, &'static str)> {
    REASONS.iter()
}

/// One that is its finding's only one, and means the same.
const fn same(word: &'static str, code: &'static str) -> Signature {
    Signature { word, code, looks_like: "", cause: "", action: "", else_could_be: "" }
}

/// One that has its own picture and its own cause.
const fn with(
    word: &'static str,
    code: &'static str,
    [looks_like, cause, action, else_could_be]: [&'static str; 4],
) -> Signature {
    Signature { word, code, looks_like, cause, action, else_could_be }
}

const SIGNATURES: &[Signature] = &[
    with(
        "tcp-refused",
        "AFS201",
        [
            "a SYN answered by a reset",
            "a firewall that rejects with a reset; all documented services listen on 443, so that a refusal there is suspicious; \
             the server shows 0x80072efd (cannot connect)",
            "compare the reset's hop limit with other packets from that address; look for the rule in the firewall",
            "nothing listens there: the wrong address, or a service that is down",
        ],
    ),
    with(
        "icmp-admin-prohibited",
        "AFS201",
        [
            "an ICMP error that quotes the attempt: type 3 code 9, 10 or 13, in ICMPv6 type 1 code 1",
            "a filter that says so itself; the server shows 0x80072efd or 0x80072ee2",
            "the message's source is the box, or a hop beside it: look for the rule there",
            "nothing: the message says that it is a rule",
        ],
    ),
    with(
        "icmp-policy",
        "AFS201",
        [
            "an ICMP error that quotes the attempt: ICMPv6 type 1 code 5 (source address against policy), type 3 code 14 or 15 \
             (precedence)",
            "a router that lets no such source address or precedence out; the server shows 0x80072efd or 0x80072ee2",
            "check the server's own address and marking against the policy of the router that sent it",
            "a server that uses an address of another network by mistake",
        ],
    ),
    with(
        "icmp-reject-route",
        "AFS201",
        [
            "an ICMPv6 error, type 1 code 6, that quotes the attempt",
            "a route to the destination that rejects on purpose; the server shows 0x80072efd or 0x80072ee2",
            "look for a reject or blackhole route in the router that sent it",
            "a default that rejects what no provider announces",
        ],
    ),
    with(
        "icmp-port-unreachable",
        "AFS201",
        [
            "an ICMP error that quotes the attempt: type 3 code 3, in ICMPv6 type 1 code 4",
            "a firewall that rejects in this way, which many do by default; the server shows 0x80072efd",
            "see who sent it: a router never has a reason of its own to say so",
            "UDP, answered by the destination itself: nothing listens on that port",
        ],
    ),
    with(
        "icmp-protocol-unreachable",
        "AFS201",
        [
            "an ICMP error that quotes the attempt: type 3 code 2, in ICMPv6 type 4 code 1",
            "a firewall that rejects in this way; the server shows 0x80072efd",
            "see who sent it, and look for the rule there",
            "a destination that does not speak the protocol at all, which no documented one is",
        ],
    ),
    with(
        "icmp-host-unreachable",
        "AFS201",
        [
            "an ICMP error that quotes the attempt: type 3 code 1, 7, 8 or 12, in ICMPv6 type 1 code 3",
            "a router that cannot reach the destination's network segment, or a firewall that says so to hide itself; the server \
             shows 0x80072efd or 0x80072ee2",
            "see who sent it: far away it is a fault, near by it may be a rule",
            "a routing fault, or a host that is down",
        ],
    ),
    with(
        "icmp-no-route",
        "AFS201",
        [
            "an ICMP error that quotes the attempt: type 3 code 0, 5, 6 or 11, in ICMPv6 type 1 code 0 or 2",
            "a router without a route to the destination, or a firewall that says so to hide itself; the server shows 0x80072efd",
            "check the route in the router that sent it; IPv6 without a way out looks like this",
            "a routing fault for a short time",
        ],
    ),
    with(
        "icmp-time-exceeded",
        "AFS201",
        [
            "an ICMP error, type 11 or ICMPv6 type 3, that quotes a repeated attempt",
            "packets that turn in a circle between two routers; the server shows 0x80072ee2 (time-out)",
            "compare the routes of the router that sent it and of the next one",
            "somebody who counts the hops (traceroute)",
        ],
    ),
    with(
        "tcp-unanswered",
        "AFS202",
        [
            "the same SYN again and again for three seconds or more, and nothing comes back",
            "a firewall that drops in silence, or no route; the server shows 0x80072ee2 (time-out)",
            "",
            "",
        ],
    ),
    with(
        "silent-after-client-hello",
        "AFS202",
        [
            "a handshake, a ClientHello that is repeated in vain or only acknowledged, and no word of TLS in answer",
            "a filter that reads the server name and drops what it does not like; the server shows 0x80072ee2 (time-out)",
            "allow the name in the filter; compare with another name at the same address",
            "a path that swallows large packets, or a server that hangs",
        ],
    ),
    with(
        "silent-after-request",
        "AFS202",
        [
            "a handshake, a request that is repeated in vain, and no answer",
            "a filter that reads the request; in front of a revocation list the server shows 0x80072f8f",
            "allow the host in the filter; try the request from another network",
            "a server that hangs",
        ],
    ),
    with(
        "silent-after-data",
        "AFS202",
        [
            "a conversation that worked, and then a segment that the client repeats five times or more while the server says nothing \
             at all any more",
            "a filter that makes up its mind late, a rule that was loaded meanwhile, or a path that broke; the server shows 0x80072ee2 \
             or 0x80072efe",
            "look for a change of rules or routes at that time; see whether other flows stopped too",
            "a server or line that went down, or heavy loss",
        ],
    ),
    with(
        "reset-after-handshake",
        "AFS203",
        [
            "SYN, SYN-ACK, ACK, and a reset at once, before anything was said",
            "a box that accepts in the server's name and then looks the address up, or a limit of connections; the server shows \
             0x80072efe (connection aborted)",
            "compare the reset's hop limit with the SYN-ACK's; look for limits in the firewall",
            "a server or load balancer without anything behind it",
        ],
    ),
    with(
        "reset-after-client-hello",
        "AFS203",
        [
            "a handshake, the ClientHello, and then a reset in place of an answer; through a proxy, behind its 200",
            "",
            "",
            "",
        ],
    ),
    with(
        "reset-after-request",
        "AFS203",
        [
            "a handshake, a request, and then a reset in place of an answer",
            "a filter that reads the request; in front of a revocation list the server shows 0x80072f8f, else 0x80072efe",
            "",
            "a server that is overloaded, or that speaks another protocol than was asked for",
        ],
    ),
    with(
        "reset-after-data",
        "AFS203",
        [
            "some words of both sides, and then a reset in answer to what the client has just said",
            "a filter that reads more than the first words; the server shows 0x80072efe (connection aborted)",
            "compare with other flows to the same name: a filter cuts all of them at the same place",
            "a server that broke off by itself",
        ],
    ),
    same("reset-injected", "AFS204"),
    same("pmtu-black-hole", "AFS205"),
    same("http-on-443", "AFS206"),
    same("block-page", "AFS207"),
    same("pki-blocked", "AFS209"),
    with(
        "tls-version-refused",
        "AFS211",
        [
            "the server's side answers the ClientHello with the alert protocol_version (70)",
            "a client without TLS 1.2, which all services demand; the agent logs 9301 with 0x80c87014",
            "enable TLS 1.2 on the server, for .NET and for WinHTTP",
            "a box in the server's place that speaks only newer versions",
        ],
    ),
    with(
        "tls-cipher-refused",
        "AFS211",
        [
            "the server's side answers with the alert insufficient_security (71)",
            "an order of cipher suites that offers weak ones only; the agent logs 9301 with 0x80c87014",
            "",
            "a box in the server's place with a stricter policy",
        ],
    ),
    with(
        "tls-alert-handshake-failure",
        "AFS211",
        [
            "the server's side answers with the alert handshake_failure (40)",
            "no cipher suite, curve or signature in common; the agent logs 9301 with 0x80c87014",
            "",
            "a filter that ends what it does not like in this way: compare with another name at the same address",
        ],
    ),
    with(
        "tls-alert-access-denied",
        "AFS211",
        [
            "the server's side answers with the alert access_denied (49)",
            "a filter: no documented service says so; the server shows 0x80072efe",
            "allow the name in the filter on the path",
            "a service that takes clients with certain certificates only",
        ],
    ),
    with(
        "tls-alert-unrecognized-name",
        "AFS211",
        [
            "the server's side answers with the alert unrecognized_name (112)",
            "a box that does not serve the name, or an address that belongs to another service; the server shows 0x80072efe",
            "check what the name resolves to, here and outside",
            "a service that was deleted or renamed",
        ],
    ),
    with(
        "tls-alert-internal-error",
        "AFS211",
        [
            "the server's side answers with the alert internal_error (80)",
            "a box or server that failed, perhaps because it could not reach the destination itself",
            "try again later; see who sends it",
            "a fault of the service at that time",
        ],
    ),
    with(
        "tls-alert-inappropriate-fallback",
        "AFS211",
        [
            "the server's side answers with the alert inappropriate_fallback (86, RFC 7507)",
            "a client that tries an older version because an attempt with the newer one was cut off on the path",
            "look at the attempt just before this one: that is the one that was stopped",
            "a client that gives up too early on a slow line",
        ],
    ),
    with(
        "tls-alert-no-application-protocol",
        "AFS211",
        [
            "the server's side answers with the alert no_application_protocol (120, RFC 7301)",
            "a box in the server's place that does not speak the protocol that was offered (ALPN)",
            "see who answers; exempt the documented names",
            "a program that offers what the service never spoke",
        ],
    ),
    with(
        "tls-alert-illegal-parameter",
        "AFS211",
        [
            "the server's side answers with the alert illegal_parameter (47)",
            "a ClientHello that was changed on the path, or that a box does not understand",
            "compare the hello with one that works; see who sends the alert",
            "a faulty client",
        ],
    ),
    with(
        "tls-alert-unexpected-message",
        "AFS211",
        [
            "the server's side answers with the alert unexpected_message (10)",
            "messages that were dropped or added on the path, or a box that confuses sessions",
            "see who sends the alert; look for boxes that rewrite TLS",
            "a faulty client or server",
        ],
    ),
    with(
        "tls-alert-decode-error",
        "AFS211",
        [
            "the server's side answers with the alert decode_error (50)",
            "a ClientHello that a box cannot read: large ones with keys for the time after quantum computers are known for it",
            "update the box, or exempt the documented names",
            "a faulty client",
        ],
    ),
    with(
        "tls-alert-decrypt-error",
        "AFS211",
        [
            "the server's side answers with the alert decrypt_error (51)",
            "a handshake that was changed on the path, so that its signatures do not fit",
            "look for boxes that rewrite TLS",
            "a faulty client, or a client certificate whose key does not fit",
        ],
    ),
    with(
        "tls-client-certificate-refused",
        "AFS211",
        [
            "the server's side answers with an alert about the client's certificate (41 to 46, 48, 113, 116)",
            "a box that wants clients to sign in with certificates; documented services behind 443 do not",
            "see who asks for it; renew the client's certificate where it is meant",
            "an agent whose own certificate has expired (0x80c83078)",
        ],
    ),
    with(
        "tls-alert-other",
        "AFS211",
        [
            "the server's side ends the handshake with a fatal alert that has no word here; its number is in the frame",
            "a client and a server, or a box in its place, that do not agree",
            "see who sends the alert",
            "a faulty client or server",
        ],
    ),
    same("tls-client-gave-up-on-certificate", "AFS212"),
    with(
        "tls-client-refused-version",
        "AFS213",
        [
            "the client ends the handshake with the alert protocol_version (70)",
            "a box in the server's place that chooses an older version of TLS than the client takes",
            "see who answers: the services speak TLS 1.2 and newer",
            "a client that was set to newer versions only than the service has",
        ],
    ),
    with(
        "tls-client-refused-handshake",
        "AFS213",
        ["the client ends the handshake with a fatal alert that is not about the certificate", "", "", ""],
    ),
    same("proxy-refused", "AFS221"),
    same("proxy-auth-required", "AFS222"),
    same("captive-portal", "AFS223"),
    same("dns-nxdomain", "AFS301"),
    same("dns-refused", "AFS302"),
    same("dns-servfail", "AFS303"),
    same("dns-empty", "AFS304"),
    same("dns-no-answer", "AFS305"),
    same("dns-sinkhole", "AFS306"),
    same("dns-private-address", "AFS307"),
    same("dns-blocked-by-resolver", "AFS308"),
    same("resolved-never-connected", "AFS309"),
    same("dns-two-answers", "AFS310"),
    same("dns-block-page", "AFS311"),
];

const REASONS: &[(&str, &str)] = &[
    (
        "began-before-capture",
        "packets of a server that was asked before the capture began; start the capture earlier",
    ),
    ("client-gave-up", "the client ended the attempt itself before anything could be told"),
    (
        "closed-by-server",
        "the server had taken leave before the client spoke: a connection that was kept in reserve for too long",
    ),
    ("ended-with-capture", "the capture ended before anything could be told; capture for longer"),
    ("frames-lost", "frames are missing from the capture here or near by, so that silence proves nothing"),
    (
        "half-open",
        "a SYN-ACK, and nothing more of the client: its acknowledgement was lost, or it was a scan",
    ),
    (
        "icmp-error",
        "an ICMP error that says nothing about a filter, or that is about the server's own packets",
    ),
    ("icmp-time-exceeded", "a single packet that ran out of hops: somebody counts them (traceroute)"),
    ("lost-race", "an attempt to another address of the same name was answered first (Happy Eyeballs)"),
    (
        "no-answer-seen",
        "the client asked and ended the conversation itself; it may not have waited for long enough",
    ),
    ("one-sided-capture", "the capture shows one direction only"),
    ("packet-too-big", "an ICMP message asked for smaller packets, and the capture shows nothing more"),
    (
        "reset-after-data",
        "much was let through, and then a reset: protocols that only take end like this as well",
    ),
    (
        "reset-after-idle",
        "a reset after a long silence: load balancers and firewalls forget connections that are idle",
    ),
    (
        "scan",
        "one of many ports of a host, or one port of many hosts, tried within seconds: whoever scans is refused",
    ),
    ("single-attempt", "one SYN and no second one: nobody waited for an answer"),
    ("too-short-to-tell", "the attempt was watched for less than three seconds"),
    ("unanswered", "datagrams in one direction only; many protocols answer none"),
];
