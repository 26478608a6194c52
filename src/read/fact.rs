//! Defines the facts that readers emit.
//!
//! In:  nothing.
//! Out: types: names, resolutions, refusals, attributes, anomalies; and the flow's start and end. All are owned and printable.
//! Not: which protocol a fact is from, where no later stage needs it.

use serde::Deserialize;
use serde::Serialize;

use super::attributes::AttributeKey;
use super::attributes::AttributeSet;
use super::attributes::AttributeValue;
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
    /// The frame and its time.
    pub at: At,
    /// The conversation's slot in the flow table.
    pub slot: Slot,
    /// The `order` of the frame that opened the conversation.
    pub opened: u64,
    /// What was seen.
    pub fact: Fact,
}

/// What was seen.
#[derive(Clone, Debug)]
pub enum Fact {
    /// A conversation started.
    FlowStarted(Box<FlowStart>),
    /// Client and server of the flow's start are the other way round.
    RolesSwapped,
    /// The protocol of the bytes, whatever the port. Emitted again when another protocol starts: in a tunnel, after STARTTLS.
    Protocol(App),
    /// One side named the server.
    NameClaimed(Claim),
    /// A DNS query and its response, or a query without a response.
    DnsResolved(Box<Resolution>),
    /// One side accepted or refused an attempt: by an alert, a status code, a SOCKS reply.
    Status(AppStatus),
    /// A property of the conversation.
    Attribute(AttributeKey, AttributeValue),
    /// Several properties, shared by all conversations that have the same.
    Attributes(AttributeSet),
    /// Something malformed or unusual on the wire.
    Anomaly(Anomaly),
    /// The state of a conversation that was ended or rejected but is not closed; only where it is wanted before the close.
    Interim(Box<FlowEnd>),
    /// The conversation is over.
    FlowEnded(Box<FlowEnd>),
}

/// An application protocol: the word in the `app` column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct App(pub &'static str);

/// Where a name comes from, the strongest source first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum NameSource {
    /// The server name of a TLS ClientHello over TCP.
    Sni,
    /// The server name of a TLS ClientHello in QUIC.
    QuicSni,
    /// The target of an HTTP CONNECT or SOCKS request.
    Connect,
    /// The host of a plain HTTP request.
    HttpHost,
    /// A DNS answer that this client received before the flow started.
    Dns,
    /// A DNS answer that another client received.
    DnsOther,
    /// A name in the server's certificate.
    Certificate,
    /// Only the server's address, by a service tag.
    ServiceTag,
}

impl NameSource {
    /// The word in the `name_source` column.
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

/// A name of the server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claim {
    /// Where it comes from.
    pub source: NameSource,
    /// The name; for CONNECT and Host without the port. An address in place of a name is kept as text.
    pub name: HostName,
    /// The port next to it.
    pub port: Option<u16>,
    /// The outer name of an encrypted ClientHello: the hidden name is another.
    pub outer: bool,
}

/// A DNS query with its response, from the client's point of view.
///
/// Stored facts have frame and times of the query apart from it, relative to the response.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolution {
    /// The opcode (RFC 1035 §4.1.1): 0 is a standard query; 4 NOTIFY and 5 UPDATE resolve nothing, and the answers of an
    /// UPDATE are the records to be changed.
    pub opcode: u8,
    /// The queried name.
    pub query_name: HostName,
    /// The queried type's number.
    pub query_type: u16,
    /// The frame of the query, if captured.
    #[serde(skip)]
    pub query_frame: Option<FrameRef>,
    /// The time of the query, if captured.
    #[serde(skip)]
    pub query_time: Option<Time>,
    /// How often the query was captured.
    pub query_count: u32,
    /// The time of the last query, where the conversation ended without a response to it.
    #[serde(skip)]
    pub last_query_time: Option<Time>,
    /// The response code with EDNS's upper bits; none without a response.
    pub rcode: Option<u16>,
    /// The answer section, in wire order, then the addresses in the additional section of hosts that the answers name.
    #[serde(with = "super::stored_answers")]
    pub answers: Vec<Answer>,
    /// Answers after those, or between them, that were not read: a response with this many is made to be expensive.
    pub unread_answers: u32,
    /// The response has the TC bit: it was truncated.
    pub truncated: bool,
    /// The message was cut or malformed after the part that is here.
    pub damaged: bool,
    /// Extended DNS error (RFC 8914): code and text.
    pub extended_error: Option<(u16, WireText)>,
    /// mDNS or LLMNR rather than DNS: no resolver was involved.
    pub multicast: bool,
}

impl Resolution {
    /// Answers that a row lists, and with text that are read of a response: those of real resolvers have fewer than twenty, but for
    /// those about the domain controllers of a large domain. All addresses and SRV records are read.
    pub const LISTED_ANSWERS: usize = 32;

    /// Bytes of names and other text in the answers that a row lists and that are read.
    pub const LISTED_TEXT: usize = 2048;
}

/// A DNS record in an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The name that the record belongs to.
    pub owner: HostName,
    /// The type's number.
    pub kind: u16,
    /// Seconds that it may be cached.
    pub ttl: u32,
    /// The decoded data.
    pub data: AnswerData,
}

/// The data of a DNS record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AnswerData {
    /// A and AAAA.
    Address(Address),
    /// CNAME, DNAME, NS, PTR: a name.
    Name(HostName),
    /// SVCB and HTTPS. Boxed: most answers are addresses, and a response may have hundreds.
    Service(Box<Service>),
    /// Any other type as text: in presentation form where known, else as in RFC 3597 §5, without the backslash.
    Other(WireText),
}

impl AnswerData {
    /// Bytes of names and other text in it.
    pub fn text_len(&self) -> usize {
        match self {
            AnswerData::Address(_) => 0,
            AnswerData::Name(name) => name.as_str().len(),
            AnswerData::Service(service) => service.target.as_str().len() + service.text.len(),
            AnswerData::Other(text) => text.len(),
        }
    }
}

/// A service binding (RFC 9460).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// SvcPriority; 0 is an alias.
    pub priority: u16,
    /// TargetName; `"."` is the owner itself.
    pub target: HostName,
    /// ipv4hint and ipv6hint.
    pub hints: Vec<Address>,
    /// An `ech` parameter is present.
    pub ech: bool,
    /// The parameters in presentation form, hints included.
    pub text: WireText,
}

/// An explicit answer to an attempt.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AppStatus {
    /// An unencrypted TLS alert.
    Alert {
        /// The sender.
        by: Side,
        /// The level is fatal.
        fatal: bool,
        /// The description's number (RFC 8446 §6).
        description: u8,
    },
    /// The status of an HTTP response; emitted for each response.
    Status {
        /// The status code.
        code: u16,
        /// The request was a CONNECT.
        connect: bool,
    },
    /// A SOCKS reply other than success.
    Socks(u8),
}

/// Something malformed or unusual on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Anomaly {
    /// The layer, for example `"tls"`.
    pub layer: &'static str,
    /// The anomaly, for example `"extension length past its parent"`.
    pub what: &'static str,
}
