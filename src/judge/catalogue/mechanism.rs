//! Mechanisms: how flows and DNS lookups were blocked. One row each, with the finding that names it.
//!
//! A text that is `None` is the finding's own. The error codes that an administrator sees on the server are those of the
//! troubleshooting pages of Azure File Sync (file-sync-troubleshoot-sync-errors.md, 2025-08-25).

use super::FindingCode;
use super::Texts;

/// What a mechanism implies.
#[derive(Clone, Copy, Debug)]
pub struct MechanismEntry {
    /// As in the column `mechanism`.
    pub word: &'static str,
    /// The finding that names it.
    pub finding: FindingCode,
    /// What it stops.
    pub(in crate::judge) stops: Stops,
    /// What in the capture shows it.
    pub(in crate::judge) shown_by: ShownBy,
    looks_like: Option<&'static str>,
    cause: Option<&'static str>,
    recommendation: Option<&'static str>,
    alternatives: Option<&'static str>,
}

/// What a mechanism stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::judge) enum Stops {
    /// The attempt to connect.
    Attempt,
    /// A conversation that had been accepted.
    Conversation,
    /// The resolution or use of a name.
    Name,
    /// Nothing: the name may still be used.
    Nothing,
}

/// What in the capture shows a mechanism, and so what frames that are missing from the capture mean for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::judge) enum ShownBy {
    /// That nothing came back.
    Silence,
    /// Frames whose meaning depends on others being absent.
    Absence,
    /// Frames that are in the capture.
    Presence,
}

/// Declares the mechanisms. A row that lacks a field does not compile.
macro_rules! mechanisms {
    ($($name:ident = $word:literal, $finding:ident, $stops:ident, $shown_by:ident {
        looks_like: $looks_like:expr,
        cause: $cause:expr,
        recommendation: $recommendation:expr,
        alternatives: $alternatives:expr,
    })*) => {
        /// How a flow or a DNS lookup was blocked.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Mechanism {
            $(#[doc = concat!("`", $word, "`")] $name,)*
        }

        impl Mechanism {
            /// All mechanisms, by finding.
            pub const ALL: &[Mechanism] = &[$(Mechanism::$name,)*];

            /// What the mechanism implies.
            pub const fn entry(self) -> &'static MechanismEntry {
                match self {
                    $(Mechanism::$name => &MechanismEntry {
                        word: $word,
                        finding: FindingCode::$finding,
                        stops: Stops::$stops,
                        shown_by: ShownBy::$shown_by,
                        looks_like: $looks_like,
                        cause: $cause,
                        recommendation: $recommendation,
                        alternatives: $alternatives,
                    },)*
                }
            }
        }
    };
}

impl Mechanism {
    /// As in the column `mechanism`.
    pub const fn as_str(self) -> &'static str {
        self.entry().word
    }

    /// The finding that names it.
    pub const fn finding(self) -> FindingCode {
        self.entry().finding
    }

    /// What `explain` prints: its own texts, else those of its finding.
    pub fn texts(self) -> Texts {
        let MechanismEntry { looks_like, cause, recommendation, alternatives, .. } = *self.entry();
        let general = self.finding().entry().texts;
        Texts {
            looks_like: looks_like.unwrap_or(general.looks_like),
            cause: cause.unwrap_or(general.cause),
            recommendation: recommendation.unwrap_or(general.recommendation),
            alternatives: alternatives.unwrap_or(general.alternatives),
        }
    }

    /// The mechanism of this word, in upper or lower case.
    pub fn parse(word: &str) -> Option<Mechanism> {
        Mechanism::ALL.iter().copied().find(|mechanism| mechanism.as_str().eq_ignore_ascii_case(word))
    }
}

impl std::fmt::Display for Mechanism {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

mechanisms! {
    TcpRefused = "tcp-refused", ConnectionRefused, Attempt, Presence {
        looks_like: Some("a SYN answered by a reset"),
        cause: Some("a firewall that rejects with a reset: all documented services listen on 443, so a refusal there is suspicious; \
                     the server shows 0x80072efd (cannot connect)"),
        recommendation: Some("compare the TTL of the reset with other packets from that address; look for the rule in the firewall"),
        alternatives: Some("no listener: the wrong address, or a service that is down"),
    }
    IcmpAdminProhibited = "icmp-admin-prohibited", ConnectionRefused, Attempt, Presence {
        looks_like: Some("an ICMP error that quotes the attempt: type 3 code 9, 10 or 13, in ICMPv6 type 1 code 1"),
        cause: Some("a filter that reports its own rule; the server shows 0x80072efd or 0x80072ee2"),
        recommendation: Some("the source of the ICMP message is the filter or a neighbouring hop: look for the rule there"),
        alternatives: Some("none: the message says that a rule applies"),
    }
    IcmpPolicy = "icmp-policy", ConnectionRefused, Attempt, Presence {
        looks_like: Some("an ICMP error that quotes the attempt: ICMPv6 type 1 code 5 (source address failed ingress/egress policy), \
                          type 3 code 14 or 15 (precedence)"),
        cause: Some("a router that does not forward this source address or precedence; the server shows 0x80072efd or 0x80072ee2"),
        recommendation: Some("check the server's own address and marking against the policy of the router that sent the message"),
        alternatives: Some("a server that uses an address of another network by mistake"),
    }
    IcmpRejectRoute = "icmp-reject-route", ConnectionRefused, Attempt, Presence {
        looks_like: Some("an ICMPv6 error, type 1 code 6, that quotes the attempt"),
        cause: Some("a reject route to the destination; the server shows 0x80072efd or 0x80072ee2"),
        recommendation: Some("look for a reject or blackhole route in the router that sent the message"),
        alternatives: Some("a default route that rejects addresses that no provider announces"),
    }
    IcmpPortUnreachable = "icmp-port-unreachable", ConnectionRefused, Attempt, Presence {
        looks_like: Some("an ICMP error that quotes the attempt: type 3 code 3, in ICMPv6 type 1 code 4"),
        cause: Some("a firewall that rejects in this way, as many do by default; the server shows 0x80072efd"),
        recommendation: Some("check who sent the message: a router has no reason of its own to send it"),
        alternatives: Some("UDP, answered by the destination itself: no listener on that port"),
    }
    IcmpProtocolUnreachable = "icmp-protocol-unreachable", ConnectionRefused, Attempt, Presence {
        looks_like: Some("an ICMP error that quotes the attempt: type 3 code 2, in ICMPv6 type 4 code 1"),
        cause: Some("a firewall that rejects in this way; the server shows 0x80072efd"),
        recommendation: Some("check who sent the message, and look for the rule there"),
        alternatives: Some("a destination that does not support the protocol at all, which no documented one is"),
    }
    IcmpHostUnreachable = "icmp-host-unreachable", ConnectionRefused, Attempt, Presence {
        looks_like: Some("an ICMP error that quotes the attempt: type 3 code 1, 7, 8 or 12, in ICMPv6 type 1 code 3"),
        cause: Some("a router that cannot reach the destination's network segment, or a firewall that sends this to hide itself; the \
                     server shows 0x80072efd or 0x80072ee2"),
        recommendation: Some("check who sent the message: far away it is a fault, close by it may be a rule"),
        alternatives: Some("a routing fault, or a host that is down"),
    }
    IcmpNoRoute = "icmp-no-route", ConnectionRefused, Attempt, Presence {
        looks_like: Some("an ICMP error that quotes the attempt: type 3 code 0, 5, 6 or 11, in ICMPv6 type 1 code 0 or 2"),
        cause: Some("a router without a route to the destination, or a firewall that sends this to hide itself; the server shows \
                     0x80072efd"),
        recommendation: Some("check the route in the router that sent the message; IPv6 without an uplink looks like this"),
        alternatives: Some("a short routing fault"),
    }
    IcmpTimeExceeded = "icmp-time-exceeded", ConnectionRefused, Attempt, Presence {
        looks_like: Some("an ICMP error, type 11 or ICMPv6 type 3, that quotes a retransmitted attempt"),
        cause: Some("a routing loop; the server shows 0x80072ee2 (time-out)"),
        recommendation: Some("compare the routes of the router that sent the message and of the next hop"),
        alternatives: Some("traceroute"),
    }
    TcpUnanswered = "tcp-unanswered", ConnectionUnanswered, Attempt, Silence {
        looks_like: Some("the same SYN again and again for three seconds or more, and no reply"),
        cause: Some("a firewall that drops silently, or no route; the server shows 0x80072ee2 (time-out)"),
        recommendation: None,
        alternatives: None,
    }
    DatagramsUnanswered = "datagrams-unanswered", ConnectionUnanswered, Attempt, Silence {
        looks_like: Some("datagrams from one host to another for three seconds or more, on a port that the port tables give for \
                          their roles, and none back"),
        cause: Some("a firewall between the hosts, or on one of them, that drops the datagrams or the replies"),
        recommendation: Some("allow the protocol and port between these hosts, in both directions"),
        alternatives: Some("a service that is stopped on the other host, or replies that take a path outside the capture"),
    }
    EchoUnanswered = "echo-unanswered", ConnectionUnanswered, Attempt, Silence {
        looks_like: Some("ICMP echo requests between two hosts for three seconds or more, where the port tables give ICMP for \
                          their roles, and no reply"),
        cause: Some("a firewall between the hosts, or on one of them, that drops ICMP: Windows Firewall does by default"),
        recommendation: Some("allow ICMP between these hosts; cluster validation uses it"),
        alternatives: Some("a host that is down, or replies that take a path outside the capture"),
    }
    SilentAfterClientHello = "silent-after-client-hello", ConnectionUnanswered, Conversation, Silence {
        looks_like: Some("a handshake, a ClientHello that is retransmitted or only acknowledged, and no TLS record in reply; through a \
                          proxy, after its 200"),
        cause: Some("a filter that inspects the SNI and drops what it does not allow; the server shows 0x80072ee2 (time-out)"),
        recommendation: Some("allow the name in the filter; compare with another name at the same address"),
        alternatives: Some("a path that drops large packets, or a server that hangs"),
    }
    SilentAfterRequest = "silent-after-request", ConnectionUnanswered, Conversation, Silence {
        looks_like: Some("a handshake, a request that is retransmitted without an ACK, and no response"),
        cause: Some("a filter that inspects the request; for a revocation list the server shows 0x80072f8f"),
        recommendation: Some("allow the host in the filter; try the request from another network"),
        alternatives: Some("a server that hangs"),
    }
    SilentAfterData = "silent-after-data", ConnectionUnanswered, Conversation, Silence {
        looks_like: Some("a conversation that worked, and then a segment that the client retransmits five times or more while the \
                          server sends nothing"),
        cause: Some("a filter that decides late, a rule that was loaded meanwhile, or a path that failed; the server shows 0x80072ee2 \
                     or 0x80072efe"),
        recommendation: Some("look for a change of rules or routes at that time; check whether other flows stopped too"),
        alternatives: Some("a server or link that went down, or heavy loss"),
    }
    SilentAfterIdle = "silent-after-idle", ConnectionUnanswered, Conversation, Silence {
        looks_like: Some("a conversation that worked, an idle time of more than 30 seconds, and then a segment that the client \
                          retransmits five times or more while the server sends nothing"),
        cause: Some("a firewall or NAT that removed the idle connection from its table and drops what follows; the server shows \
                     0x80072ee2 or 0x80072efe"),
        recommendation: Some("compare the idle time before it with the idle time-out of TCP connections in the firewall and NAT; \
                              raise the time-out, let the firewall send a reset, or enable TCP keep-alives on the server"),
        alternatives: Some("a host or link that went down meanwhile, or a computer that was suspended"),
    }
    ResetAfterHandshake = "reset-after-handshake", ConnectionReset, Conversation, Absence {
        looks_like: Some("SYN, SYN-ACK, ACK, and a reset at once, before any payload"),
        cause: Some("a middlebox that accepts connections for the server and then checks the address, or a connection limit; the \
                     server shows 0x80072efe (connection aborted)"),
        recommendation: Some("compare the TTL of the reset with that of the SYN-ACK; look for limits in the firewall"),
        alternatives: Some("a load balancer without a backend"),
    }
    ResetAfterClientHello = "reset-after-client-hello", ConnectionReset, Conversation, Presence {
        looks_like: Some("a handshake, the ClientHello, and then a reset instead of a reply; through a proxy, after its 200"),
        cause: None,
        recommendation: None,
        alternatives: None,
    }
    ClosedAfterClientHello = "closed-after-client-hello", ConnectionReset, Conversation, Absence {
        looks_like: Some("a handshake, the ClientHello, and then a FIN of the server's side without any reply; through a proxy, after \
                          its 200"),
        cause: Some("a filter that inspects the SNI and closes connections that it does not allow; the client reports an unexpected \
                     end of file"),
        recommendation: None,
        alternatives: Some("a server that does not serve the name or is overloaded, or a load balancer without a backend"),
    }
    ResetAfterCertificate = "reset-after-certificate", ConnectionReset, Conversation, Absence {
        looks_like: Some("the server's certificate, and then a reset by the server's side before the TLS handshake is complete; to be \
                          seen up to TLS 1.2 only"),
        cause: Some("a filter that reads the server's certificate, or a device that opens TLS and fails; the server shows 0x80072efe \
                     (connection aborted)"),
        recommendation: Some("compare the TTL of the reset with that of the server's other packets; exempt the name from TLS inspection \
                              and from filters that read certificates"),
        alternatives: Some("a server that does not accept the client's certificate, or that failed"),
    }
    ClosedAfterCertificate = "closed-after-certificate", ConnectionReset, Conversation, Absence {
        looks_like: Some("the server's certificate, and then a FIN of the server's side before the TLS handshake is complete; to be seen \
                          up to TLS 1.2 only"),
        cause: Some("a filter that reads the server's certificate, or a device that opens TLS and fails; the client reports an \
                     unexpected end of file"),
        recommendation: Some("exempt the name from TLS inspection and from filters that read certificates; compare with a connection \
                              from another network"),
        alternatives: Some("a server that does not accept the client's certificate, or that failed"),
    }
    ResetAfterRequest = "reset-after-request", ConnectionReset, Conversation, Presence {
        looks_like: Some("a handshake, a request, and then a reset instead of a response"),
        cause: Some("a filter that inspects the request; for a revocation list the server shows 0x80072f8f, otherwise 0x80072efe"),
        recommendation: None,
        alternatives: Some("a server that is overloaded, or that speaks another protocol"),
    }
    ResetAfterData = "reset-after-data", ConnectionReset, Conversation, Absence {
        looks_like: Some("some payload in both directions, and then a reset in reply to the client's last segment"),
        cause: Some("a filter that inspects more than the first payload; the server shows 0x80072efe (connection aborted)"),
        recommendation: Some("compare with other flows to the same name: a filter resets all of them at the same point"),
        alternatives: Some("a server that aborted the connection itself"),
    }
    ResetInjected = "reset-injected", InjectedReset, Conversation, Absence {
        looks_like: None,
        cause: None,
        recommendation: None,
        alternatives: None,
    }
    PmtuBlackHole = "pmtu-black-hole", PathMtuBlackHole, Conversation, Absence {
        looks_like: None,
        cause: None,
        recommendation: None,
        alternatives: None,
    }
    HttpOn443 = "http-on-443", HttpReplyToClientHello, Conversation, Presence {
        looks_like: None,
        cause: None,
        recommendation: None,
        alternatives: None,
    }
    BlockPage = "block-page", BlockPage, Conversation, Presence {
        looks_like: None,
        cause: None,
        recommendation: None,
        alternatives: None,
    }
    DroppedByHost = "dropped-by-host", DroppedByHost, Attempt, Presence {
        looks_like: None,
        cause: None,
        recommendation: None,
        alternatives: None,
    }
    PkiBlocked = "pki-blocked", RevocationHostsBlocked, Name, Presence {
        looks_like: None,
        cause: None,
        recommendation: None,
        alternatives: None,
    }
    TlsVersionRefused = "tls-version-refused", TlsRefusedByServer, Conversation, Presence {
        looks_like: Some("the server's side answers the ClientHello with the alert protocol_version (70)"),
        cause: Some("a client without TLS 1.2, which all services require; the agent logs event 9301 with 0x80c87014"),
        recommendation: Some("enable TLS 1.2 on the server, for .NET and for WinHTTP"),
        alternatives: Some("a middlebox that accepts newer versions only"),
    }
    TlsCipherRefused = "tls-cipher-refused", TlsRefusedByServer, Conversation, Presence {
        looks_like: Some("the server's side answers with the alert insufficient_security (71)"),
        cause: Some("a cipher suite order that offers weak suites only; the agent logs event 9301 with 0x80c87014"),
        recommendation: None,
        alternatives: Some("a middlebox with a stricter policy"),
    }
    TlsAlertHandshakeFailure = "tls-alert-handshake-failure", TlsRefusedByServer, Conversation, Presence {
        looks_like: Some("the server's side answers with the alert handshake_failure (40)"),
        cause: Some("no cipher suite, group or signature algorithm in common; the agent logs event 9301 with 0x80c87014"),
        recommendation: None,
        alternatives: Some("a filter that ends connections in this way: compare with another name at the same address"),
    }
    TlsAlertAccessDenied = "tls-alert-access-denied", TlsRefusedByServer, Conversation, Presence {
        looks_like: Some("the server's side answers with the alert access_denied (49)"),
        cause: Some("a filter: no documented service sends this alert; the server shows 0x80072efe"),
        recommendation: Some("allow the name in the filter on the path"),
        alternatives: Some("a service that accepts certain client certificates only"),
    }
    TlsAlertUnrecognizedName = "tls-alert-unrecognized-name", TlsRefusedByServer, Conversation, Presence {
        looks_like: Some("the server's side answers with the alert unrecognized_name (112)"),
        cause: Some("a middlebox that does not serve the name, or an address that belongs to another service; the server shows \
                     0x80072efe"),
        recommendation: Some("compare what the name resolves to here and outside"),
        alternatives: Some("a service that was deleted or renamed"),
    }
    TlsAlertInternalError = "tls-alert-internal-error", TlsRefusedByServer, Conversation, Presence {
        looks_like: Some("the server's side answers with the alert internal_error (80)"),
        cause: Some("a middlebox or server that failed, perhaps because it could not reach the destination itself"),
        recommendation: Some("try again later; find out which device sends the alert"),
        alternatives: Some("a fault of the service at that time"),
    }
    TlsAlertInappropriateFallback = "tls-alert-inappropriate-fallback", TlsRefusedByServer, Conversation, Presence {
        looks_like: Some("the server's side answers with the alert inappropriate_fallback (86, RFC 7507)"),
        cause: Some("a client that falls back to an older version because an attempt with the newer one failed on the path"),
        recommendation: Some("look at the attempt just before this one: that one was blocked"),
        alternatives: Some("a client that gives up too early on a slow link"),
    }
    TlsAlertNoApplicationProtocol = "tls-alert-no-application-protocol", TlsRefusedByServer, Conversation, Presence {
        looks_like: Some("the server's side answers with the alert no_application_protocol (120, RFC 7301)"),
        cause: Some("a middlebox that does not support the application protocol that was offered (ALPN)"),
        recommendation: Some("find the device that answers; exempt the documented names"),
        alternatives: Some("a program that offers a protocol that the service never supported"),
    }
    TlsAlertIllegalParameter = "tls-alert-illegal-parameter", TlsRefusedByServer, Conversation, Presence {
        looks_like: Some("the server's side answers with the alert illegal_parameter (47)"),
        cause: Some("a ClientHello that was changed on the path, or that a middlebox does not understand"),
        recommendation: Some("compare the ClientHello with one that works; find out which device sends the alert"),
        alternatives: Some("a faulty client"),
    }
    TlsAlertUnexpectedMessage = "tls-alert-unexpected-message", TlsRefusedByServer, Conversation, Presence {
        looks_like: Some("the server's side answers with the alert unexpected_message (10)"),
        cause: Some("messages that were dropped or inserted on the path, or a middlebox that confuses sessions"),
        recommendation: Some("find out which device sends the alert; look for middleboxes that rewrite TLS"),
        alternatives: Some("a faulty client or server"),
    }
    TlsAlertDecodeError = "tls-alert-decode-error", TlsRefusedByServer, Conversation, Presence {
        looks_like: Some("the server's side answers with the alert decode_error (50)"),
        cause: Some("a ClientHello that a middlebox cannot parse: large ClientHellos with post-quantum key shares are known to trigger \
                     this"),
        recommendation: Some("update the middlebox, or exempt the documented names"),
        alternatives: Some("a faulty client"),
    }
    TlsAlertDecryptError = "tls-alert-decrypt-error", TlsRefusedByServer, Conversation, Presence {
        looks_like: Some("the server's side answers with the alert decrypt_error (51)"),
        cause: Some("a handshake that was changed on the path, so that a signature does not verify"),
        recommendation: Some("look for middleboxes that rewrite TLS"),
        alternatives: Some("a faulty client, or a client certificate whose key does not match"),
    }
    TlsClientCertificateRefused = "tls-client-certificate-refused", TlsRefusedByServer, Conversation, Presence {
        looks_like: Some("the server's side answers with an alert about the client's certificate (41 to 46, 48, 113, 116)"),
        cause: Some("a middlebox that requires client certificates; documented services on 443 do not"),
        recommendation: Some("find out which device asks for a certificate; renew the client's certificate where it is intended"),
        alternatives: Some("an agent whose own certificate has expired (0x80c83078)"),
    }
    TlsAlertOther = "tls-alert-other", TlsRefusedByServer, Conversation, Presence {
        looks_like: Some("the server's side ends the handshake with a fatal alert that has no mechanism of its own; its number is in the \
                          frame"),
        cause: Some("a client and a server, or a middlebox instead of it, that do not agree"),
        recommendation: Some("find out which device sends the alert"),
        alternatives: Some("a faulty client or server"),
    }
    TlsClientGaveUpOnCertificate = "tls-client-gave-up-on-certificate", CertificateRefusedByClient, Conversation, Presence {
        looks_like: None,
        cause: None,
        recommendation: None,
        alternatives: None,
    }
    TlsClientRefusedVersion = "tls-client-refused-version", TlsRefusedByClient, Conversation, Presence {
        looks_like: Some("the client ends the handshake with the alert protocol_version (70)"),
        cause: Some("a middlebox that chooses an older version of TLS than the client accepts"),
        recommendation: Some("find the device that answers: the services use TLS 1.2 and newer"),
        alternatives: Some("a client that accepts newer versions only than the service has"),
    }
    TlsClientRefusedHandshake = "tls-client-refused-handshake", TlsRefusedByClient, Conversation, Presence {
        looks_like: Some("the client ends the handshake with a fatal alert that is not about the certificate"),
        cause: None,
        recommendation: None,
        alternatives: None,
    }
    ProxyRefused = "proxy-refused", ProxyRefused, Conversation, Presence {
        looks_like: None,
        cause: None,
        recommendation: None,
        alternatives: None,
    }
    ProxyAuthRequired = "proxy-auth-required", ProxyAuthRequired, Conversation, Presence {
        looks_like: None,
        cause: None,
        recommendation: None,
        alternatives: None,
    }
    CaptivePortal = "captive-portal", CaptivePortal, Conversation, Presence {
        looks_like: None,
        cause: None,
        recommendation: None,
        alternatives: None,
    }
    DnsNxdomain = "dns-nxdomain", NameDoesNotExist, Name, Presence {
        looks_like: None,
        cause: None,
        recommendation: None,
        alternatives: None,
    }
    DnsRefused = "dns-refused", ResolverRefused, Name, Presence {
        looks_like: None,
        cause: None,
        recommendation: None,
        alternatives: None,
    }
    DnsServfail = "dns-servfail", ResolverFailed, Name, Presence {
        looks_like: None,
        cause: None,
        recommendation: None,
        alternatives: None,
    }
    DnsEmpty = "dns-empty", NoAddress, Name, Presence {
        looks_like: None,
        cause: None,
        recommendation: None,
        alternatives: None,
    }
    DnsNoAnswer = "dns-no-answer", QueryUnanswered, Name, Silence {
        looks_like: None,
        cause: None,
        recommendation: None,
        alternatives: None,
    }
    DnsSinkhole = "dns-sinkhole", Sinkhole, Name, Presence {
        looks_like: None,
        cause: None,
        recommendation: None,
        alternatives: None,
    }
    DnsPrivateAddress = "dns-private-address", PrivateAddress, Nothing, Presence {
        looks_like: None,
        cause: None,
        recommendation: None,
        alternatives: None,
    }
    DnsBlockedByResolver = "dns-blocked-by-resolver", BlockedByResolver, Name, Presence {
        looks_like: None,
        cause: None,
        recommendation: None,
        alternatives: None,
    }
    ResolvedNeverConnected = "resolved-never-connected", ResolvedNeverConnected, Name, Presence {
        looks_like: None,
        cause: None,
        recommendation: None,
        alternatives: None,
    }
    DnsTwoAnswers = "dns-two-answers", ConflictingResponses, Nothing, Presence {
        looks_like: None,
        cause: None,
        recommendation: None,
        alternatives: None,
    }
    DnsBlockPage = "dns-block-page", DnsBlockPage, Name, Presence {
        looks_like: None,
        cause: None,
        recommendation: None,
        alternatives: None,
    }
}
