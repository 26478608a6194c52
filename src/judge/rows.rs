//! The records that judge leaves: one row each, with everything a reader of the evidence needs and nothing to look up.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::base::Address;
use crate::base::FrameRef;
use crate::base::HostName;
use crate::base::Time;
use crate::base::WireText;
use crate::flow::Endpoint;
use crate::read::AttributeSets;
use crate::read::NameSource;
use crate::read::Resolution;
pub use crate::rules::PageField;

/// Declares a verdict: its words as the columns print them.
macro_rules! words {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident => $word:literal,)* }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name { $($(#[$doc])* $variant,)* }

        impl $name {
            /// All of them, in order.
            pub const ALL: &[$name] = &[$($name::$variant,)*];

            /// The word that is printed.
            pub const fn as_str(self) -> &'static str {
                match self { $($name::$variant => $word,)* }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }
    };
}

words! {
    /// Where a flow went, as the documents see it.
    DestinationVerdict {
        /// A documented row names it.
        Documented => "documented",
        /// Only a wildcard names it that the document itself warns is too broad.
        DocumentedBroad => "documented-broad",
        /// The site's own exception.
        SiteApproved => "site-approved",
        /// A name, and no row for it.
        Unexpected => "unexpected",
        /// No name and no known address.
        Unidentified => "unidentified",
    }
}

words! {
    /// Whether the port is the one that the documents give.
    PortVerdict {
        /// 443.
        Https => "443",
        /// Another port that the row gives.
        Documented => "documented",
        /// Any other port.
        Not443 => "not-443",
    }
}

words! {
    /// What became of a flow.
    Outcome {
        /// It was answered.
        Ok => "ok",
        /// It looks as if something on the path stopped it.
        BlockedLooking => "blocked-looking",
        /// The capture does not show enough.
        Inconclusive => "inconclusive",
    }
}

words! {
    /// How sure we are. Ordered from weak to certain.
    Confidence {
        /// One sign.
        Weak => "weak",
        /// Several signs, or one repeated.
        Strong => "strong",
        /// The network itself said so.
        Certain => "certain",
    }
}

words! {
    /// How much a finding matters. Ordered from low to high.
    Severity {
        /// Good to know.
        Info => "info",
        /// Should be looked at.
        Low => "low",
        /// Should be changed.
        Medium => "medium",
        /// Breaks the service or the rules.
        High => "high",
    }
}

words! {
    /// Whether a documented endpoint that the site needs was reached.
    RequirementState {
        /// Every attempt whose outcome is known got through.
        Reached => "reached",
        /// Every attempt whose outcome is known looks blocked.
        Blocked => "blocked",
        /// Some attempts got through, and others look blocked.
        PartlyBlocked => "partly-blocked",
        /// No attempt whose outcome is known.
        NotObserved => "not-observed",
    }
}

/// What the documents say of one destination. Shared by all rows with the same destination; the texts are ready to print.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Documented {
    /// Products that document it, joined with `;`.
    pub products: String,
    /// Rule ids, most specific first, joined with `;`. A rule met by its corrected text ends in `(as meant)`, by its
    /// corrected port in `(port as meant)`, and where the site does not fill the row's placeholder in `(placeholder)`.
    pub references: String,
    /// Document ids, joined with `;`.
    pub documents: String,
}

/// A row of `flows.csv`.
#[derive(Clone, Debug)]
pub struct FlowRow {
    /// Number of the flow in the order of opening, from 1.
    pub flow_id: u64,
    /// First frame; its file is the row's `file`.
    pub first_frame: FrameRef,
    /// Last frame.
    pub last_frame: FrameRef,
    /// Time of the first frame.
    pub first_seen: Time,
    /// Time of the last frame.
    pub last_seen: Time,
    /// IANA protocol number.
    pub protocol: u8,
    /// Who opened it. For ICMP the port is the type.
    pub client: Endpoint,
    /// Who answered. For ICMP the port is the code.
    pub server: Endpoint,
    /// VLAN ids, outer first, joined with `;`.
    pub vlan: Box<str>,
    /// Tunnels, outer first.
    pub tunnel: Box<str>,
    /// What the bytes are; empty when unknown.
    pub app: &'static str,
    /// The strongest name.
    pub name: Option<Arc<HostName>>,
    /// Where that name comes from.
    pub name_source: Option<NameSource>,
    /// The server name in the TLS or QUIC hello.
    pub sni: Option<Arc<HostName>>,
    /// The name that DNS gave the server's address.
    pub dns_name: Option<Arc<HostName>>,
    /// The protocol that the server chose, else those offered, joined with `;`.
    pub alpn: Option<WireText>,
    /// The version that the server chose, by number.
    pub tls_version: Option<u16>,
    /// The hello was encrypted; its name is the outer one.
    pub ech: bool,
    /// The attributes of the ClientHello and of the server's certificates, shared with other flows.
    pub attributes: AttributeSets,
    /// The cipher suite that the server chose, by number.
    pub tls_cipher: Option<u16>,
    /// The server resumed a session.
    pub tls_resumed: bool,
    /// The ClientHello is incomplete in the capture.
    pub client_hello_cut: bool,
    /// The QUIC version, by number.
    pub quic_version: Option<u32>,
    /// Attributes that few flows have.
    pub rare: Option<Box<RareFacts>>,
    /// Packets by the client and by the server.
    pub packets: [u64; 2],
    /// Payload bytes on the wire by the client and by the server.
    pub bytes: [u64; 2],
    /// Verdict on the destination; none for flows that are not judged.
    pub destination_verdict: Option<DestinationVerdict>,
    /// Verdict on the port; none for flows that are not judged.
    pub port_verdict: Option<PortVerdict>,
    /// What became of it.
    pub outcome: Outcome,
    /// How it was stopped, or why the outcome is inconclusive, as a stable word; empty when it was not.
    pub signature: &'static str,
    /// How sure that is.
    pub confidence: Option<Confidence>,
    /// What the documents say of the destination.
    pub documented: Option<Arc<Documented>>,
    /// What an exchange of plain HTTP showed.
    pub http: Option<Box<Http>>,
    /// Where a connection that was not answered stopped, and by what, in the vocabulary of connection tampering.
    pub tampering_stage: Option<&'static str>,
    /// Codes of the findings that the flow takes part in.
    pub findings: SmallVec<[&'static str; 2]>,
    /// The frames that prove what the row says.
    pub evidence: SmallVec<[FrameRef; 4]>,
    /// Service tags that hold the server's address, most specific first, joined with `;`; none where the address is in
    /// none, or no tag file was given.
    pub service_tags: Option<Arc<str>>,
    /// How the service tags speak for the name, as a stable word; empty where they say nothing.
    pub address_evidence: &'static str,
}

/// What an exchange of plain HTTP showed.
#[derive(Clone, Debug, Default)]
pub struct Http {
    /// The status of the last response.
    pub status: Option<u16>,
    /// The method of the first request.
    pub method: Option<WireText>,
    /// The target of the first request.
    pub target: Option<WireText>,
    /// The request went to a proxy.
    pub proxied: bool,
    /// Headers and the body's first bytes, and where each was seen.
    pub shown: SmallVec<[(PageField, WireText); 2]>,
}

/// Attributes that few flows have.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RareFacts {
    /// The error code of a QUIC CONNECTION_CLOSE in Initial packets, where it is not a TLS alert.
    pub quic_error: Option<u64>,
    /// The client address in a PROXY protocol header.
    pub proxy_source: Option<WireText>,
}

impl Http {
    /// What was seen at a place.
    pub fn at(&self, place: PageField) -> Option<&str> {
        self.shown.iter().find(|(at, _)| *at == place).map(|(_, text)| text.as_str())
    }
}

/// A row of `dns.csv`.
#[derive(Clone, Debug)]
pub struct DnsRow {
    /// The response's frame; the first query's when there was none.
    pub frame: FrameRef,
    /// Its time.
    pub time: Time,
    /// Who asked.
    pub client: Endpoint,
    /// Who was asked.
    pub resolver: Endpoint,
    /// IANA protocol number.
    pub protocol: u8,
    /// Question and answers.
    pub resolution: Box<Resolution>,
    /// The addresses that the chain leads to.
    pub resolved_addresses: SmallVec<[Address; 4]>,
}

/// A row of `findings.csv`: one per client, name and mechanism.
#[derive(Clone, Debug)]
pub struct FindingRow {
    /// Stable code, `AFS…`.
    pub code: &'static str,
    /// How it was stopped, for what looks blocked; empty for all else.
    pub mechanism: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// How sure it is, for what looks blocked.
    pub confidence: Option<Confidence>,
    /// The audited host.
    pub audited_host: Option<Address>,
    /// The destination: its name, else its address.
    pub target: String,
    /// The destination's name, where it has one.
    pub name: Option<Arc<HostName>>,
    /// The destination in the first flow.
    pub server: Option<Endpoint>,
    /// One sentence of cause.
    pub message: String,
    /// How many flows or answers.
    pub count: u64,
    /// First time.
    pub first_seen: Time,
    /// Last time.
    pub last_seen: Time,
    /// The first flows' numbers (at most ten).
    pub flows: SmallVec<[u64; 2]>,
    /// The first frames that prove it (at most ten).
    pub frames: SmallVec<[FrameRef; 2]>,
    /// Rule ids, joined with `;`.
    pub references: Arc<str>,
    /// Document ids, joined with `;`.
    pub documents: Arc<str>,
    /// What to do.
    pub recommendation: &'static str,
}

/// Findings, gravest first: boxed as they were gathered, so that the end of a run copies none.
pub type FindingRows = Vec<Box<FindingRow>>;

/// A row of `requirements.csv`.
#[derive(Clone, Debug)]
pub struct RequirementRow {
    /// The rule's id.
    pub references: String,
    /// Its document's id.
    pub documents: String,
    /// What the row is for.
    pub service: String,
    /// The name or pattern as printed.
    pub documented_as: String,
    /// Whether it must be seen: `required`, `recommended`, …
    pub level: String,
    /// The audited server; none for the site as a whole.
    pub server: Option<Address>,
    /// Whether it was reached.
    pub state: RequirementState,
    /// How the last blocked attempt was blocked; empty where none was.
    pub mechanism: &'static str,
    /// Attempts: flows, and names that did not resolve.
    pub count: u64,
    /// Of these, those that got through.
    pub reached: u64,
    /// Of these, those that look blocked.
    pub blocked: u64,
    /// Time of the first attempt.
    pub first_seen: Option<Time>,
    /// Time of the last attempt.
    pub last_seen: Option<Time>,
    /// Time of the first attempt that got through.
    pub first_reached: Option<Time>,
    /// Time of the last attempt that got through.
    pub last_reached: Option<Time>,
    /// Time of the first attempt that looks blocked.
    pub first_blocked: Option<Time>,
    /// Time of the last attempt that looks blocked.
    pub last_blocked: Option<Time>,
    /// What the last attempt with a known outcome came to.
    pub last_state: Option<RequirementState>,
    /// The first frames that show it.
    pub frames: SmallVec<[FrameRef; 2]>,
    /// Why it may not have been seen, and the like.
    pub note: String,
}

/// One line of the summary's table of destinations.
#[derive(Clone, Debug, serde::Serialize)]
pub struct DestinationTally {
    /// The name, else the address.
    pub name: String,
    /// The server's port.
    pub server_port: u16,
    /// Verdict on the destination.
    pub destination_verdict: Option<DestinationVerdict>,
    /// Verdict on the port.
    pub port_verdict: Option<PortVerdict>,
    /// Flows by outcome: ok, blocked-looking, inconclusive.
    pub outcomes: [u64; 3],
    /// Distinct audited clients, as far as counted.
    pub clients: u64,
    /// Payload bytes both ways.
    pub bytes: u64,
}

/// What judge counted over the whole run.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct Tally {
    /// Flow rows.
    pub flows: u64,
    /// Of these, judged: opened by an audited host.
    pub judged: u64,
    /// DNS rows.
    pub dns: u64,
    /// Of these: queries without a response.
    pub dns_unanswered: u64,
    /// Number of audited hosts.
    pub audited_hosts: u64,
    /// Their addresses, lowest first, at most [`Tally::MAX_AUDITED`].
    pub audited: Vec<Address>,
    /// Judged flows by destination, in the order of [`DestinationVerdict::ALL`].
    pub destinations: [u64; 5],
    /// Judged flows by port verdict, in the order of [`PortVerdict::ALL`].
    pub ports: [u64; 3],
    /// Judged flows by outcome, in the order of [`Outcome::ALL`].
    pub outcomes: [u64; 3],
    /// The destinations with most flows, most first.
    pub top: Vec<DestinationTally>,
    /// Flows to destinations that did not fit the table of counts.
    pub top_missed: u64,
    /// What was odd on the wire, and how often.
    pub anomalies: std::collections::BTreeMap<String, u64>,
}

impl Tally {
    /// Addresses of audited hosts in a tally.
    pub const MAX_AUDITED: usize = 64;

    /// Something odd was seen in a layer.
    pub(super) fn odd(&mut self, layer: &'static str, what: &'static str) {
        *self.anomalies.entry(format!("{layer}: {what}")).or_default() += 1;
    }
}
