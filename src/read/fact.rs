//! Facts: the only things that a reader can tell.
//!
//! A name was claimed, a name resolved, an attempt ended, an attribute, an oddity; and from flow: opened, swapped, closed.
//! Everything here is owned and printable.

use std::sync::Arc;

use super::parse_cache::AttributeSet;
use crate::base::Address;
use crate::base::FrameRef;
use crate::base::HostName;
use crate::base::Side;
use crate::base::Time;
use crate::base::WireText;
use crate::flow::At;
use crate::flow::FlowEnd;
use crate::flow::FlowStart;
use crate::flow::Slot;

/// One fact about one conversation, and the frame that proves it.
#[derive(Clone, Debug)]
pub struct Observation {
    /// When and where.
    pub at: At,
    /// The conversation's place among the live ones.
    pub slot: Slot,
    /// The `order` of the frame that opened the conversation.
    pub opened: u64,
    /// What was seen.
    pub fact: Fact,
}

/// What was seen.
#[derive(Clone, Debug)]
pub enum Fact {
    /// A conversation began.
    FlowStarted(Box<FlowStart>),
    /// Client and server of the opening are the other way round.
    RolesSwapped,
    /// The bytes are this protocol, whatever the port. Told again when another begins inside or after it: a tunnel, STARTTLS.
    Protocol(App),
    /// One side said a name that stands for the server.
    NameClaimed(Claim),
    /// A DNS query was answered, or never was.
    DnsResolved(Box<Resolution>),
    /// One side ended an attempt in words: an alert, a status, a refusal.
    Status(AppStatus),
    /// A property of the conversation.
    Attribute(AttributeKey, AttributeValue),
    /// Several properties, shared by all conversations that said the same.
    Attributes(AttributeSet),
    /// Something odd on the wire.
    Anomaly(Anomaly),
    /// The conversation was ended or rejected, and stands so far like this; only where that is wanted before its close.
    Interim(Box<FlowEnd>),
    /// The conversation is over.
    FlowEnded(Box<FlowEnd>),
}

/// A protocol that bytes can be told to be; its name is what the `app` column says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct App(pub &'static str);

/// Where a name comes from, strongest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NameSource {
    /// Server name of a TLS ClientHello over TCP.
    Sni,
    /// Server name of a TLS ClientHello inside QUIC.
    QuicSni,
    /// Target of an HTTP CONNECT or SOCKS request.
    Connect,
    /// Host of a plain HTTP request.
    HttpHost,
    /// A DNS answer that this client received before the flow began.
    Dns,
    /// A DNS answer that another client received.
    DnsOther,
    /// A name in the server's certificate.
    Certificate,
    /// Only the address, through a service tag.
    ServiceTag,
}

impl NameSource {
    /// As the `name_source` column says it.
    pub const fn as_str(self) -> &'static str {
        match self {
            NameSource::Sni => "sni",
            NameSource::QuicSni => "quic-sni",
            NameSource::Connect => "connect",
            NameSource::HttpHost => "http-host",
            NameSource::Dns => "dns",
            NameSource::DnsOther => "dns-other",
            NameSource::Certificate => "certificate",
            NameSource::ServiceTag => "service-tag",
        }
    }
}

/// A name that one side said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// How it was said.
    pub source: NameSource,
    /// The name; for CONNECT and Host without the port. An address given in place of a name is kept as its text.
    pub name: HostName,
    /// The port said with it.
    pub port: Option<u16>,
    /// The outer name of an encrypted ClientHello: what it hides is another.
    pub outer: bool,
}

/// A DNS question with its answer, seen from the client that asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resolution {
    /// What was asked for, by number (RFC 1035 §4.1.1): 0 is a name's records; 4 NOTIFY and 5 UPDATE resolve nothing, and the
    /// answers of an UPDATE are the records that it is about.
    pub opcode: u8,
    /// The name asked for.
    pub query_name: HostName,
    /// The type asked for, by number.
    pub query_type: u16,
    /// The frame of the query, when seen.
    pub query_frame: Option<FrameRef>,
    /// The time of the query, when seen.
    pub query_time: Option<Time>,
    /// How often the query was seen.
    pub query_count: u32,
    /// The response's code with EDNS's upper bits; none when no response was seen.
    pub rcode: Option<u16>,
    /// The answer section, in wire order, and behind it the additional section's addresses of hosts that it names.
    pub answers: Vec<Answer>,
    /// The response said that it was truncated (TC).
    pub truncated: bool,
    /// The message was cut or broken behind what is here.
    pub damaged: bool,
    /// Extended DNS error (RFC 8914): code and text.
    pub extended_error: Option<(u16, WireText)>,
    /// mDNS or LLMNR rather than DNS: nobody's resolver answered.
    pub multicast: bool,
}

/// A record of the answer section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Whose record it is.
    pub owner: HostName,
    /// Its type, by number.
    pub kind: u16,
    /// Seconds that it may be kept.
    pub ttl: u32,
    /// What it says.
    pub data: AnswerData,
}

/// What a DNS record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AnswerData {
    /// A and AAAA.
    Address(Address),
    /// CNAME, DNAME, NS, PTR: a name.
    Name(HostName),
    /// SVCB and HTTPS: priority, target, and the address hints.
    Service {
        /// SvcPriority; 0 is an alias.
        priority: u16,
        /// TargetName; `"."` is the owner itself.
        target: HostName,
        /// ipv4hint and ipv6hint.
        hints: Vec<Address>,
        /// An `ech` parameter is there.
        ech: bool,
        /// The parameters in presentation form, hints included.
        text: WireText,
    },
    /// Anything else, as text: presentation form where it is short and known, else RFC 3597 `\# n hex`.
    Other(WireText),
}

/// How one side ended an attempt in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AppStatus {
    /// A TLS alert in the clear.
    Alert {
        /// Who sent it.
        by: Side,
        /// Level 2.
        fatal: bool,
        /// The description's number (RFC 8446 §6).
        description: u8,
    },
    /// The status of an HTTP response; told of each, so the last one told is the last there was.
    Status {
        /// The status code.
        code: u16,
        /// It answers a CONNECT.
        connect: bool,
    },
    /// A SOCKS reply other than success.
    Socks(u8),
}

/// Something odd on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anomaly {
    /// Which layer, for example `"tls"`.
    pub layer: &'static str,
    /// What was odd, for example `"extension length past its parent"`.
    pub what: &'static str,
}

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AttributeValue {
    /// It is so.
    Yes,
    /// A number, in the unit that the key's sentence gives.
    Number(u64),
    /// A word of ours.
    Word(&'static str),
    /// Text from the wire.
    Text(WireText),
    /// Several, in wire order.
    List(Arc<[WireText]>),
    /// Several two-byte numbers of a registry, in wire order.
    Codes(Arc<[u16]>),
}

/// Declares the attribute keys: variant, printed name, one sentence.
macro_rules! keys {
    ($($variant:ident, $name:literal, $about:literal;)*) => {
        /// The attributes that readers note.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum AttributeKey { $(#[doc = $about] $variant,)* }

        impl AttributeKey {
            /// All keys, in the order of their declaration.
            pub const ALL: &[AttributeKey] = &[$(AttributeKey::$variant,)*];

            /// The printed name.
            pub const fn name(self) -> &'static str {
                match self { $(AttributeKey::$variant => $name,)* }
            }

            /// One sentence.
            pub const fn about(self) -> &'static str {
                match self { $(AttributeKey::$variant => $about,)* }
            }
        }
    };
}

keys! {
    TlsVersion, "tls.version", "version that the server chose, for example 0x0303; seen in its ServerHello";
    TlsOffered, "tls.offered", "highest version that the client offered";
    TlsCipher, "tls.cipher", "cipher suite that the server chose, by number";
    TlsCiphers, "tls.ciphers", "cipher suites that the client offered, GREASE left out";
    AlpnOffered, "alpn.offered", "application protocols that the client offered, in its order";
    Alpn, "alpn", "application protocol that the server chose, where it is visible";
    Ech, "ech", "the ClientHello carries an encrypted ClientHello (outer)";
    HelloCut, "tls.hello-cut", "the ClientHello is not whole in the capture; what is told of it may be incomplete";
    CertificateSubject, "certificate.subject", "subject of the server's certificate";
    CertificateIssuer, "certificate.issuer", "issuer of the server's certificate";
    CertificateNames, "certificate.names", "DNS names in the server's certificate";
    CertificateChain, "certificate.chain", "subjects of the certificates sent behind the server's own";
    TlsRetry, "tls.retry", "the server asked for another ClientHello (HelloRetryRequest)";
    Resumed, "tls.resumed", "the server resumed a session: no certificate is sent";
    HttpMethod, "http.method", "method of the first request";
    HttpTarget, "http.target", "target of the first request, as sent: a path, or for a proxy a whole address";
    HttpProxied, "http.proxied", "the request was sent to a proxy: its target is a whole address";
    HttpStatus, "http.status", "status of the last response";
    HttpServer, "http.server", "Server header of the first response";
    HttpLocation, "http.location", "Location header of the last redirect";
    HttpVia, "http.via", "Via or Proxy-Agent header: the name of a box on the path";
    HttpSquidError, "http.squid-error", "X-Squid-Error header: why a proxy refused";
    HttpBody, "http.body", "the first bytes of the first response's body, where it is text";
    QuicVersion, "quic.version", "QUIC version number of the first long header";
    QuicError, "quic.error", "error code with which a side closed the connection in its first packets, other than an alert";
    Ja4, "ja4", "JA4 fingerprint of the ClientHello";
    ProxyUser, "proxy.protocol", "source address in a PROXY protocol header";
}
