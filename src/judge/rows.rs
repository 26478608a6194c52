//! The rows of the evidence. Each row is complete: nothing in it needs to be looked up elsewhere.

use std::borrow::Cow;
use std::sync::Arc;

use smallvec::SmallVec;

use super::assessment::Assessment;
use super::catalogue::FindingCode;
use super::catalogue::Mechanism;
use super::policy::need::Need;
use super::vocabulary::AddressEvidence;
use super::vocabulary::Confidence;
use super::vocabulary::DestinationVerdict;
use super::vocabulary::PortVerdict;
use super::vocabulary::RequirementState;
use super::vocabulary::Severity;
use crate::base::Address;
use crate::base::FrameRef;
use crate::base::HostName;
use crate::base::Process;
use crate::base::Time;
use crate::base::WireText;
use crate::base::proto;
use crate::flow::Endpoint;
use crate::read::Answer;
use crate::read::AttributeSets;
use crate::read::NameSource;
use crate::read::Resolution;
pub use crate::rules::PageField;

/// What the documents say of one destination. Shared by all rows with the same destination; the texts are ready to print.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Documented {
    /// Products that document it, joined with `;`.
    pub products: String,
    /// Ids of the references, most specific first, joined with `;`. A reference matched by its corrected name ends in
    /// `(as meant)`, by its corrected port in `(port as meant)`, and where the site file has no value for the row's
    /// placeholder in `(placeholder)`; a row for a role that the site file declares for no host in `(undeclared role)`.
    pub references: String,
    /// Document ids, joined with `;`.
    pub documents: String,
}

/// A row of `flows.csv`.
#[derive(Clone, Debug)]
pub struct FlowRow {
    /// Number of the flow in order of its start, from 1.
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
    /// The host that opened the flow. For ICMP the port is the type.
    pub client: Endpoint,
    /// The host that answered. For ICMP the port is the code.
    pub server: Endpoint,
    /// VLAN ids, outer first, joined with `;`.
    pub vlan: Box<str>,
    /// Tunnels, outer first.
    pub tunnel: Box<str>,
    /// The process of this host that opened it, where the capture says so.
    pub process: Option<Box<Process>>,
    /// Client and server of the row that has the same packets before or after this host translated their addresses.
    pub translated: Option<Box<[Endpoint; 2]>>,
    /// The application protocol; empty when unknown.
    pub app: &'static str,
    /// The strongest name.
    pub name: Option<Arc<HostName>>,
    /// Where that name comes from.
    pub name_source: Option<NameSource>,
    /// The server name in the ClientHello of TLS or QUIC.
    pub sni: Option<Arc<HostName>>,
    /// The name that DNS resolved to the server's address.
    pub dns_name: Option<Arc<HostName>>,
    /// The application protocol that the server chose, else those that the client offered, joined with `;`.
    pub alpn: Option<WireText>,
    /// The TLS version that the server chose, by number.
    pub tls_version: Option<u16>,
    /// The ClientHello is encrypted; its server name is the outer one.
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
    /// Packets from the client and from the server.
    pub packets: [u64; 2],
    /// Payload bytes on the wire from the client and from the server.
    pub bytes: [u64; 2],
    /// Verdict on the destination; none for flows that are not judged.
    pub destination_verdict: Option<DestinationVerdict>,
    /// Verdict on the port; none for flows that are not judged.
    pub port_verdict: Option<PortVerdict>,
    /// Whether it succeeded, with the mechanism or the reason where it did not.
    pub assessment: Assessment,
    /// What the documents say of the destination.
    pub documented: Option<Arc<Documented>>,
    /// An exchange of plain HTTP.
    pub http: Option<Box<Http>>,
    /// Where a connection without an answer stopped, and what ended it, in the vocabulary of connection tampering.
    pub tampering_stage: Option<&'static str>,
    /// Codes of the findings that the flow is part of.
    pub findings: SmallVec<[FindingCode; 2]>,
    /// The frames that prove what the row says.
    pub evidence: SmallVec<[FrameRef; 4]>,
    /// Service tags that hold the server's address, most specific first, joined with `;`; none where no tag holds it or no
    /// tag file was given.
    pub service_tags: Option<Arc<str>>,
    /// What the service tags say of a documented name at this address; none where they say nothing.
    pub address_evidence: Option<AddressEvidence>,
    /// The capture points that show it, nearest to the client first, joined with `;`; none where there is one only.
    pub points: Option<Arc<str>>,
    /// Flows of the same kind that have no row of their own.
    pub further_flows: u64,
    /// The port that was requested from a proxy, which is the server of the flow; none for other flows.
    pub requested_port: Option<u16>,
}

impl FlowRow {
    /// The port of the destination: the one that was requested from a proxy, else the server's.
    pub fn destination_port(&self) -> u16 {
        self.requested_port.unwrap_or(self.server.port)
    }
}

/// An exchange of plain HTTP.
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
    /// Response headers and the first bytes of the body.
    pub fields: SmallVec<[(PageField, WireText); 2]>,
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
    /// One of the response headers, or the first bytes of the body.
    pub fn field(&self, field: PageField) -> Option<&str> {
        self.fields.iter().find(|(kind, _)| *kind == field).map(|(_, text)| text.as_str())
    }
}

/// A row of `dns.csv`.
#[derive(Clone, Debug)]
pub struct DnsRow {
    /// The frame of the response; of the first query where there was no response.
    pub frame: FrameRef,
    /// Time of that frame.
    pub time: Time,
    /// The client.
    pub client: Endpoint,
    /// The resolver.
    pub resolver: Endpoint,
    /// IANA protocol number.
    pub protocol: u8,
    /// Query and answers.
    pub resolution: Box<Resolution>,
    /// The addresses at the end of the CNAME chain.
    pub resolved_addresses: SmallVec<[Address; 4]>,
    /// Without a response: the capture ended this many nanoseconds after the last query, too early to expect one.
    pub capture_ended_after: Option<u64>,
    /// Answers that were left out, see [`DnsRow::keep_listed`].
    pub unlisted_answers: u32,
    /// Messages of the same kind that have no row of their own.
    pub further_messages: u64,
}

impl DnsRow {
    /// Leaves out the answers and addresses that the row does not list: a response of a few hundred bytes must not make a row of
    /// many kilobytes.
    pub(super) fn keep_listed(&mut self) {
        let listed = self.listed_answers();
        let answers = &mut self.resolution.answers;
        self.unlisted_answers += answers.len().saturating_sub(listed) as u32 + self.resolution.unread_answers;
        answers.truncate(listed);
        self.resolved_addresses.truncate(Resolution::LISTED_ANSWERS);
    }

    fn listed_answers(&self) -> usize {
        let mut text = 0;
        let fits = |answer: &&Answer| {
            text += answer.data.text_len();
            text <= Resolution::LISTED_TEXT
        };
        self.resolution.answers.iter().take(Resolution::LISTED_ANSWERS).take_while(fits).count()
    }
}

/// The part of the path that several findings may have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SharedPath {
    /// The destination was requested from a proxy, which is the server of the flow.
    Proxy,
    /// It is about a proxy itself, through which other destinations are reached.
    ToProxy,
    /// The destination gets no reply over IPv6, and works over IPv4.
    Ipv6,
    /// Nothing that the client tried works.
    Everything,
    /// It worked at other times.
    Time,
    /// The client rejects certificates of issuers that are on the lists.
    Trust,
    /// Nothing that the client tried in the declared networks of private endpoints works.
    PrivateEndpoints,
    /// The capture holds no packet of the server, a host of the site, at that time.
    Host,
}

/// A row of `findings.csv`: one for each audited host, target, code and mechanism.
#[derive(Clone, Debug)]
pub struct FindingRow {
    /// Stable code.
    pub code: FindingCode,
    /// How the flow or the name was blocked; none for all other findings.
    pub mechanism: Option<Mechanism>,
    /// What the finding is, in a few words.
    pub title: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// The issuer of the certificate that it is about.
    pub issuer: Option<WireText>,
    /// It says the cause of other findings, and leads them.
    pub is_cause: bool,
    /// The finding of the same audited host that says the cause of this one.
    pub cause: Option<FindingCode>,
    /// What findings of one cause share, where their code alone does not show it.
    pub shared: Option<SharedPath>,
    /// The next attempt may have worked: no rule was seen to refuse it.
    pub may_pass: bool,
    /// The same client reached the same destination afterwards.
    pub worked_later: bool,
    /// How much the site needs the destination: findings are ordered by it.
    pub need: Need,
    /// Confidence; none where the fact itself is in the capture.
    pub confidence: Option<Confidence>,
    /// The audited host.
    pub audited_host: Option<Address>,
    /// What the finding is about: a name, an address, a service as `address:port`, or a line of the site file.
    pub target: String,
    /// The destination's name, where it has one.
    pub name: Option<Arc<HostName>>,
    /// The server in the first flow; of DNS findings the resolver.
    pub server: Option<Endpoint>,
    /// The cause in one sentence.
    pub message: String,
    /// Number of flows or DNS messages.
    pub count: u64,
    /// First time.
    pub first_seen: Time,
    /// Last time.
    pub last_seen: Time,
    /// Numbers of the first flows (at most ten).
    pub flows: SmallVec<[u64; 2]>,
    /// The first frames that prove it (at most ten).
    pub frames: SmallVec<[FrameRef; 2]>,
    /// Ids of the references, joined with `;`.
    pub references: Arc<str>,
    /// Document ids, joined with `;`.
    pub documents: Arc<str>,
    /// What to do.
    pub recommendation: Cow<'static, str>,
}

/// Findings, most severe first. Boxed as they were collected, so that the end of a run copies none.
pub type FindingRows = Vec<Box<FindingRow>>;

/// A row of `requirements.csv`.
#[derive(Clone, Debug)]
pub struct RequirementRow {
    /// Ids of the references, each of which satisfies the requirement, joined with `;`.
    pub references: String,
    /// Ids of their documents, joined with `;`.
    pub documents: String,
    /// What the endpoint is for.
    pub service: String,
    /// The name or pattern as the documents print it.
    pub documented_as: String,
    /// Requirement level: `required`, `recommended`, …
    pub level: String,
    /// The audited server; none for the site as a whole.
    pub server: Option<Address>,
    /// Whether it was reached.
    pub state: RequirementState,
    /// How the last blocked attempt was blocked; none where none was.
    pub mechanism: Option<Mechanism>,
    /// Attempts: flows, and names that did not resolve.
    pub count: u64,
    /// Attempts that succeeded.
    pub reached: u64,
    /// Attempts that look blocked.
    pub blocked: u64,
    /// Time of the first attempt.
    pub first_seen: Option<Time>,
    /// Time of the last attempt.
    pub last_seen: Option<Time>,
    /// Time of the first attempt that succeeded.
    pub first_reached: Option<Time>,
    /// Time of the last attempt that succeeded.
    pub last_reached: Option<Time>,
    /// Time of the first attempt that looks blocked.
    pub first_blocked: Option<Time>,
    /// Time of the last attempt that looks blocked.
    pub last_blocked: Option<Time>,
    /// The state by the last attempt with a known outcome.
    pub last_state: Option<RequirementState>,
    /// The first frames that show it.
    pub frames: SmallVec<[FrameRef; 2]>,
    /// What the state means where it is not `reached`.
    pub note: String,
    /// The one name that satisfies it, if the site file declares it; empty if any name of the references does.
    pub name: String,
}

/// One line of the summary's table of destinations.
#[derive(Clone, Debug, serde::Serialize)]
pub struct DestinationTally {
    /// The name, else the address.
    pub name: String,
    /// IANA protocol number.
    #[serde(rename = "transport", serialize_with = "as_transport")]
    pub protocol: u8,
    /// The port of the destination: the one that was requested from a proxy, else the server's.
    pub server_port: u16,
    /// It was requested from a proxy.
    pub proxied: bool,
    /// The worst verdict on the destination.
    pub destination_verdict: Option<DestinationVerdict>,
    /// The worst verdict on the port.
    pub port_verdict: Option<PortVerdict>,
    /// Flows by outcome: ok, blocked-looking, inconclusive.
    #[serde(serialize_with = "by_outcome")]
    pub outcomes: [u64; 3],
    /// Distinct audited clients, as far as counted.
    pub clients: u64,
    /// Payload bytes in both directions.
    pub bytes: u64,
}

/// Counts over the whole run.
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
    /// Judged flows by destination verdict, in the order of [`DestinationVerdict::ALL`].
    #[serde(serialize_with = "by_destination_verdict")]
    pub destinations: [u64; 5],
    /// Judged flows by port verdict, in the order of [`PortVerdict::ALL`].
    #[serde(serialize_with = "by_port_verdict")]
    pub ports: [u64; 3],
    /// Judged flows by outcome, in the order of [`Outcome::ALL`](super::Outcome::ALL).
    #[serde(serialize_with = "by_outcome")]
    pub outcomes: [u64; 3],
    /// The destinations with the most flows, in descending order.
    pub top: Vec<DestinationTally>,
    /// Flows to destinations that did not fit the table of counts.
    pub top_missed: u64,
    /// Anomalies on the wire by `layer: what`.
    pub anomalies: std::collections::BTreeMap<String, u64>,
}

impl Tally {
    /// Addresses of audited hosts in a tally.
    pub const MAX_AUDITED: usize = 64;

    /// Counts an anomaly of a layer.
    pub(super) fn count_anomaly(&mut self, layer: &'static str, what: &'static str) {
        *self.anomalies.entry(format!("{layer}: {what}")).or_default() += 1;
    }
}

/// Numbers with the words that they count.
fn by_word<S: serde::Serializer>(
    words: impl Iterator<Item = &'static str>,
    numbers: &[u64],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(words.zip(numbers))
}

fn by_destination_verdict<S: serde::Serializer>(
    numbers: &[u64; 5],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    by_word(DestinationVerdict::ALL.iter().map(|word| word.as_str()), numbers, serializer)
}

fn by_port_verdict<S: serde::Serializer>(numbers: &[u64; 3], serializer: S) -> Result<S::Ok, S::Error> {
    by_word(PortVerdict::ALL.iter().map(|word| word.as_str()), numbers, serializer)
}

fn as_transport<S: serde::Serializer>(protocol: &u8, serializer: S) -> Result<S::Ok, S::Error> {
    match proto::name(*protocol) {
        Some(name) => serializer.serialize_str(name),
        None => serializer.collect_str(protocol),
    }
}

fn by_outcome<S: serde::Serializer>(numbers: &[u64; 3], serializer: S) -> Result<S::Ok, S::Error> {
    by_word(super::Outcome::ALL.iter().map(|word| word.as_str()), numbers, serializer)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::FrameRef;
    use crate::judge::test_support;
    use crate::read::AnswerData;

    fn row(answers: Vec<Answer>) -> DnsRow {
        let end = |port| Endpoint { address: Address::v4([10, 1, 0, 4]), port };
        let mut resolution = test_support::resolution("files.example", Some(0), &[]);
        resolution.answers = answers;
        DnsRow {
            frame: FrameRef::default(),
            time: Time(0),
            client: end(50_000),
            resolver: end(53),
            protocol: 17,
            resolution: Box::new(resolution),
            resolved_addresses: SmallVec::new(),
            capture_ended_after: None,
            unlisted_answers: 0,
            further_messages: 0,
        }
    }

    fn answers(count: usize, data: &AnswerData) -> Vec<Answer> {
        let owner = test_support::host("files.example");
        vec![Answer { owner, kind: 1, ttl: 60, data: data.clone() }; count]
    }

    #[test]
    fn a_row_lists_the_first_answers_of_a_long_response() {
        let address = AnswerData::Address(Address::v4([20, 60, 0, 4]));
        let check = |data: &AnswerData, count, listed, unlisted| {
            let mut row = row(answers(count, data));
            row.keep_listed();
            assert_eq!((row.resolution.answers.len(), row.unlisted_answers), (listed, unlisted), "{data:?}");
        };
        check(&address, 0, 0, 0);
        check(&address, 32, 32, 0);
        check(&address, 85, 32, 53);
        // Long names: 2 KiB of them.
        let name = test_support::host(&["a".repeat(60).as_str(), &"b".repeat(60), "example"].join("."));
        check(&AnswerData::Name(name), 40, 15, 25);
    }
}
