//! The columns of every table, in order. A column is a row here; its name is nowhere else.
//!
//! Users rely on names and order: a new column is added at the end, and none is renamed.

use super::cell::Cell;
use super::cell::TextOrigin;
use super::column::Column;
use super::column::ColumnType;
use super::column::RowPart;
use super::column::TableRow;
use super::human::duration;
use super::input_names::InputNames;
use super::registry;
use crate::base::FileId;
use crate::base::proto;
use crate::flow::community_id;
use crate::judge::AddressEvidence;
use crate::judge::Confidence;
use crate::judge::DestinationVerdict;
use crate::judge::DnsRow;
use crate::judge::FindingCode;
use crate::judge::FindingRow;
use crate::judge::FlowRow;
use crate::judge::InconclusiveReason;
use crate::judge::Mechanism;
use crate::judge::Outcome;
use crate::judge::PageField;
use crate::judge::PortVerdict;
use crate::judge::RequirementRow;
use crate::judge::RequirementState;
use crate::judge::Severity;
use crate::read::Answer;
use crate::read::AnswerData;
use crate::read::AttributeKey;
use crate::read::NameSource;
use crate::read::Service;

impl TableRow for FlowRow {
    const RECORD: &'static str = "flow";
    const FILE: &'static str = "flows.csv";
    const COLUMNS: &'static [Column<FlowRow>] = FLOW;

    #[inline]
    fn parts(&self) -> u8 {
        let has_tls = self.alpn.is_some()
            || self.tls_version.is_some()
            || self.tls_cipher.is_some()
            || self.quic_version.is_some()
            || self.ech
            || self.tls_resumed
            || self.client_hello_cut
            || !self.attributes.is_empty();
        let has_rare = self.service_tags.is_some()
            || self.address_evidence.is_some()
            || self.tampering_stage.is_some()
            || self.rare.is_some()
            || self.process.is_some()
            || self.points.is_some()
            || self.further_flows > 0
            || self.requested_port.is_some()
            || self.translated.is_some();
        [
            (RowPart::Common, true),
            (RowPart::Tls, has_tls),
            (RowPart::Http, self.http.is_some()),
            (RowPart::Rare, has_rare),
        ]
        .into_iter()
        .fold(0, |all, (part, has)| if has { all | part as u8 } else { all })
    }
}

impl TableRow for DnsRow {
    const RECORD: &'static str = "dns";
    const FILE: &'static str = "dns.csv";
    const COLUMNS: &'static [Column<DnsRow>] = DNS;
}

impl TableRow for FindingRow {
    const RECORD: &'static str = "finding";
    const FILE: &'static str = "findings.csv";
    const COLUMNS: &'static [Column<FindingRow>] = FINDING;
}

impl TableRow for RequirementRow {
    const RECORD: &'static str = "requirement";
    const FILE: &'static str = "requirements.csv";
    const COLUMNS: &'static [Column<RequirementRow>] = REQUIREMENT;
}

/// Declares a table of columns: name, whether every row has a value or else which part of it, type, description, and what is
/// written.
macro_rules! columns {
    ($row:ty; $($name:literal: $presence:ident $kind:expr, $about:literal, |$r:pat_param, $n:pat_param, $c:ident| $body:expr;)*) => {
        &[$(Column {
            name: $name,
            kind: $kind,
            is_required: columns!(@required $presence),
            part: columns!(@part $presence),
            about: $about,
            cell: |$r: &$row, $n: &InputNames, $c: &mut Cell| $body,
        },)*]
    };
    (@required required) => { true };
    (@required $part:ident) => { false };
    (@part tls) => { $crate::report::RowPart::Tls };
    (@part http) => { $crate::report::RowPart::Http };
    (@part rare) => { $crate::report::RowPart::Rare };
    (@part $presence:ident) => { $crate::report::RowPart::Common };
}

pub(crate) use columns;

use ColumnType::Address;
use ColumnType::Enum;
use ColumnType::Flag;
use ColumnType::Frame;
use ColumnType::Integer;
use ColumnType::List;
use ColumnType::Text;
use ColumnType::Time;

const TEXTS: ColumnType = List(&Text);
const FRAMES: ColumnType = List(&Frame);
const CONFIDENCE: ColumnType = Enum(|| Confidence::ALL.iter().map(|word| word.as_str()).collect());
const MECHANISM: ColumnType = Enum(|| Mechanism::ALL.iter().map(|word| word.as_str()).collect());
const CODE: ColumnType = Enum(|| FindingCode::ALL.iter().map(|word| word.as_str()).collect());

/// `flows.csv`.
const FLOW: &[Column<FlowRow>] = columns! { FlowRow;
    "flow_id": required Integer, "number of the flow in this run, from 1 in the order in which flows were opened",
        |row, _, cell| cell.number(row.flow_id);
    "community_id": required Text, "Community ID version 1 with seed 0, by which other tools name the same flow",
        |row, _, cell| cell.keyword(community_id(row.protocol, row.client, row.server).as_str());
    "file": required Text, "input that contains the first frame",
        |row, names, cell| cell.text(names.file(row.first_frame.file), TextOrigin::Untrusted);
    "first_frame": required Frame, "first frame",
        |row, names, cell| cell.frame(row.first_frame, row.first_frame.file, names);
    "last_frame": required Frame, "last frame",
        |row, names, cell| cell.frame(row.last_frame, row.first_frame.file, names);
    "first_seen": required Time, "time of the first frame",
        |row, _, cell| cell.time(row.first_seen);
    "last_seen": required Time, "time of the last frame",
        |row, _, cell| cell.time(row.last_seen);
    "transport": required Text, "`tcp`, `udp`, `icmp`, `icmp6`, `sctp`, or the IP protocol number",
        |row, _, cell| transport(row.protocol, cell);
    "client_ip": required Address, "the client: the side that opened the flow, as far as the capture shows it",
        |row, _, cell| cell.address(row.client.address);
    "client_port": optional Integer, "client port; for ICMP the type of the first message",
        |row, _, cell| port(row.protocol, row.client.port, cell);
    "server_ip": required Address, "the server",
        |row, _, cell| cell.address(row.server.address);
    "server_port": optional Integer, "server port; for ICMP the code of the first message",
        |row, _, cell| port(row.protocol, row.server.port, cell);
    "vlan": optional TEXTS, "VLAN ids of the flow, outermost first",
        |row, _, cell| cell.joined(&row.vlan, TextOrigin::Trusted);
    "tunnel": optional TEXTS, "tunnels of the flow, outermost first",
        |row, _, cell| cell.joined(&row.tunnel, TextOrigin::Trusted);
    "app": optional Text, "application protocol, identified by its bytes and not by the port: `tls`, `quic`, `dns`, `http`, `smb`, …; DNS over TLS, QUIC and HTTPS is `dot`, `doq`, `doh`",
        |row, _, cell| cell.keyword(row.app);
    "name": optional Text, "name of the destination, from the strongest source",
        |row, _, cell| name(row.name.as_deref(), cell);
    "name_source": optional Enum(|| NAME_SOURCES.iter().map(|word| word.as_str()).collect()), "source of that name: TLS or QUIC SNI, a request to a proxy, an HTTP Host header, a DNS response to this client or to another one, the server's certificate, a service tag",
        |row, _, cell| cell.keyword(row.name_source.map_or("", |source| source.as_str()));
    "sni": optional Text, "server name in the ClientHello (TLS or QUIC)",
        |row, _, cell| name(row.sni.as_deref(), cell);
    "dns_name": optional Text, "name whose DNS response contained the server's address",
        |row, _, cell| name(row.dns_name.as_deref(), cell);
    "alpn": tls TEXTS, "application protocol chosen by the server; without a ServerHello, those that the client offered",
        |row, _, cell| cell.joined(row.alpn.as_deref().unwrap_or_default(), TextOrigin::Untrusted);
    "tls_version": tls Text, "TLS version chosen by the server: `TLS 1.2`, `TLS 1.3`, …; `0xNNNN` if it has no name",
        |row, _, cell| if let Some(version) = row.tls_version { cell.keyword(&registry::tls_version(version)) };
    "ech": tls Flag, "the ClientHello is encrypted (ECH); `sni` is the public name",
        |row, _, cell| cell.flag(row.ech);
    "certificate_issuer": tls Text, "issuer of the server's certificate",
        |row, _, cell| cell.text(row.attributes.text(AttributeKey::CertificateIssuer).map_or("", |issuer| issuer), TextOrigin::Untrusted);
    "packets_to_server": required Integer, "packets from the client",
        |row, _, cell| cell.number(row.packets[0]);
    "packets_to_client": required Integer, "packets from the server",
        |row, _, cell| cell.number(row.packets[1]);
    "bytes_to_server": required Integer, "payload bytes from the client, as long as on the wire",
        |row, _, cell| cell.number(row.bytes[0]);
    "bytes_to_client": required Integer, "payload bytes from the server, as long as on the wire",
        |row, _, cell| cell.number(row.bytes[1]);
    "destination_verdict": optional Enum(|| DestinationVerdict::ALL.iter().map(|word| word.as_str()).collect()), "whether a document lists the destination; missing if the flow is not of an audited host",
        |row, _, cell| cell.keyword(row.destination_verdict.map_or("", |verdict| verdict.as_str()));
    "port_verdict": optional Enum(|| PortVerdict::ALL.iter().map(|word| word.as_str()).collect()), "whether the port is TCP 443 or another documented one; missing if the flow is not of an audited host",
        |row, _, cell| cell.keyword(row.port_verdict.map_or("", |verdict| verdict.as_str()));
    "outcome": required Enum(|| Outcome::ALL.iter().map(|word| word.as_str()).collect()), "whether the flow succeeded, looks blocked, or cannot be classified",
        |row, _, cell| cell.keyword(row.assessment.outcome().as_str());
    "mechanism": optional MECHANISM, "how a blocked-looking flow was blocked; see `afs-audit explain MECHANISM`",
        |row, _, cell| cell.keyword(row.assessment.mechanism().map_or("", Mechanism::as_str));
    "inconclusive_reason": optional Enum(|| InconclusiveReason::ALL.iter().map(|word| word.as_str()).collect()), "why the outcome is inconclusive",
        |row, _, cell| cell.keyword(row.assessment.reason().map_or("", InconclusiveReason::as_str));
    "confidence": optional CONFIDENCE, "confidence in the mechanism",
        |row, _, cell| cell.keyword(row.assessment.confidence().map_or("", |confidence| confidence.as_str()));
    "products": optional TEXTS, "products whose documents list the destination",
        |row, _, cell| cell.joined(row.documented.as_deref().map_or("", |documented| &documented.products), TextOrigin::Trusted);
    "references": optional TEXTS, "documented rows that allow the flow, most specific first; followed by `(as meant)` if the row prints another name, `(port as meant)` if it prints another port, `(placeholder)` if the site file does not fill its placeholder, `(undeclared role)` if the row is for a role that the site file declares for no host",
        |row, _, cell| cell.joined(row.documented.as_deref().map_or("", |documented| &documented.references), TextOrigin::Trusted);
    "documents": optional TEXTS, "documents that contain these rows",
        |row, _, cell| cell.joined(row.documented.as_deref().map_or("", |documented| &documented.documents), TextOrigin::Trusted);
    "findings": optional List(&CODE), "codes of the findings that include the flow",
        |row, _, cell| cell.list(&row.findings, |cell, code| cell.keyword(code.as_str()));
    "evidence_frames": optional FRAMES, "frames that prove the values of this row",
        |row, names, cell| cell.frames(&row.evidence, row.first_frame.file, names);
    "ja4": tls Text, "JA4 fingerprint of the ClientHello (TLS or QUIC), which depends on the client software",
        |row, _, cell| cell.text(row.attributes.text(AttributeKey::Ja4).map_or("", |fingerprint| fingerprint), TextOrigin::Untrusted);
    "service_tags": rare TEXTS, "service tags that contain the server's address, most specific first",
        |row, _, cell| cell.joined(row.service_tags.as_deref().unwrap_or_default(), TextOrigin::Untrusted);
    "address_evidence": rare Enum(|| AddressEvidence::ALL.iter().map(|word| word.as_str()).collect()), "whether the address of a documented name is in a service tag of its documented row, only in another tag, or in none; missing without a service tag file",
        |row, _, cell| cell.keyword(row.address_evidence.map_or("", AddressEvidence::as_str));
    "tampering_stage": rare Text, "how far a connection came, `>`, and what ended it, in the terms of passive connection tampering detection: `syn>rst+ack`, `psh>nothing`",
        |row, _, cell| cell.keyword(row.tampering_stage.unwrap_or_default());
    "http_status": http Integer, "status of the last response in plain HTTP, including a proxy's response to CONNECT",
        |row, _, cell| if let Some(status) = row.http.as_ref().and_then(|http| http.status) { cell.number(status) };
    "http_location": http Text, "target of a redirect in plain HTTP (Location)",
        |row, _, cell| if let Some(text) = page_field(row, PageField::Location) { cell.text(text, TextOrigin::Untrusted) };
    "http_server": http Text, "Server header of a response in plain HTTP, otherwise Via",
        |row, _, cell| if let Some(text) = page_field(row, PageField::Server).or_else(|| page_field(row, PageField::Via)) { cell.text(text, TextOrigin::Untrusted) };
    "http_method": http Text, "method of the first request in plain HTTP",
        |row, _, cell| if let Some(method) = row.http.as_ref().and_then(|http| http.method.as_ref()) { cell.text(method, TextOrigin::Untrusted) };
    "tls_cipher": tls Text, "cipher suite chosen by the server; `0xNNNN` if it has no name",
        |row, _, cell| if let Some(cipher) = row.tls_cipher { cell.keyword(&registry::cipher_suite(cipher)) };
    "tls_resumed": tls Flag, "the server resumed a session, and so sent no certificate",
        |row, _, cell| cell.flag(row.tls_resumed);
    "client_hello_cut": tls Flag, "the ClientHello is incomplete in the capture; its server name may be missing",
        |row, _, cell| cell.flag(row.client_hello_cut);
    "certificate_subject": tls Text, "subject of the server's certificate",
        |row, _, cell| cell.text(row.attributes.text(AttributeKey::CertificateSubject).map_or("", |subject| subject), TextOrigin::Untrusted);
    "certificate_names": tls TEXTS, "DNS names in the server's certificate",
        |row, _, cell| texts(row, AttributeKey::CertificateNames, cell);
    "certificate_chain": tls TEXTS, "subjects of the certificates that the server sent after its own",
        |row, _, cell| texts(row, AttributeKey::CertificateChain, cell);
    "quic_version": tls Text, "QUIC version: `1`, `2`, `draft-29`, `Q046`, …; `0xNNNNNNNN` if it has no name",
        |row, _, cell| if let Some(version) = row.quic_version { cell.keyword(&registry::quic_version(version)) };
    "quic_error": rare Text, "error, other than a TLS alert, with which a side closed a QUIC connection before its handshake was complete",
        |row, _, cell| if let Some(code) = row.rare.as_ref().and_then(|rare| rare.quic_error) { cell.keyword(&registry::quic_error(code)) };
    "proxy_source": rare Text, "client address in a PROXY protocol header, as load balancers send it",
        |row, _, cell| if let Some(source) = row.rare.as_ref().and_then(|rare| rare.proxy_source.as_ref()) { cell.text(source, TextOrigin::Untrusted) };
    "process": rare Text, "process of the capturing host that opened the flow: its number, and the name of its program where the trace has it. Only event trace logs show it, and not of packets that the kernel sent",
        |row, _, cell| if let Some(process) = &row.process { cell.text(&process.to_string(), TextOrigin::Untrusted) };
    "points": rare TEXTS, "capture points that show the conversation, nearest to the client first; the row describes it as the first one shows it. Missing where all inputs are from one point",
        |row, _, cell| cell.joined(row.points.as_deref().unwrap_or_default(), TextOrigin::Untrusted);
    "further_flows": rare Integer, "flows of the same kind that have no row of their own, because of `--max-evidence`: `packets_*` and `bytes_*` are those of all, addresses and frames those of the first",
        |row, _, cell| match row.further_flows { 0 => {} more => cell.number(more) };
    "translated_flow": rare Text, "client and server of the row that has the same packets before or after the capturing host translated their addresses (NAT): `CLIENT > SERVER`. Only event trace logs by `pktmon` show it; of UDP, only those that number packets over all appearances (Windows before 2022)",
        |row, _, cell| if let Some([client, server]) = row.translated.as_deref() { cell.text(&format!("{client} > {server}"), TextOrigin::Trusted) };
    "requested_port": rare Integer, "port that the client requested from a proxy, which is the server of the flow; missing for flows that did not go through a proxy",
        |row, _, cell| if let Some(port) = row.requested_port { cell.number(port) };
};

/// Every source of a name.
const NAME_SOURCES: [NameSource; 8] = [
    NameSource::Sni,
    NameSource::QuicSni,
    NameSource::Connect,
    NameSource::HttpHost,
    NameSource::Dns,
    NameSource::DnsOther,
    NameSource::Certificate,
    NameSource::ServiceTag,
];

/// The texts of an attribute that is a list.
fn texts(row: &FlowRow, key: AttributeKey, cell: &mut Cell) {
    let list = row.attributes.list(key).map_or(&[][..], |list| list);
    cell.list(list, |cell, text| cell.text(text, TextOrigin::Untrusted));
}

/// A field of a response in plain HTTP.
fn page_field(row: &FlowRow, field: PageField) -> Option<&str> {
    row.http.as_ref()?.field(field)
}

/// `dns.csv`.
const DNS: &[Column<DnsRow>] = columns! { DnsRow;
    "file": required Text, "input that contains the frame",
        |row, names, cell| cell.text(names.file(row.frame.file), TextOrigin::Untrusted);
    "frame": required Frame, "frame of the response; without one, of the first query",
        |row, names, cell| cell.frame(row.frame, row.frame.file, names);
    "time": required Time, "time of that frame",
        |row, _, cell| cell.time(row.time);
    "client_ip": required Address, "the client",
        |row, _, cell| cell.address(row.client.address);
    "resolver_ip": required Address, "the resolver",
        |row, _, cell| cell.address(row.resolver.address);
    "transport": required Text, "`udp` or `tcp`",
        |row, _, cell| transport(row.protocol, cell);
    "query_name": optional Text, "name in the query, in lower case without the final dot; missing for the root",
        |row, _, cell| name(Some(&row.resolution.query_name), cell);
    "query_type": required Text, "type in the query: `A`, `AAAA`, `HTTPS`, …; `TYPE65280` if it has no name",
        |row, _, cell| cell.keyword(&registry::dns_type(row.resolution.query_type));
    "rcode": optional Text, "response code: `NOERROR`, `NXDOMAIN`, …, or its number; missing without a response",
        |row, _, cell| if let Some(code) = row.resolution.rcode { cell.keyword(&registry::rcode(code)) };
    "answers": optional TEXTS, "the answer section in wire order, each record as `TYPE=value`; then addresses of the additional section for hosts that it names; at most 32, and 2 KiB of names",
        |row, _, cell| cell.list(&row.resolution.answers, answer);
    "resolved_addresses": optional List(&Address), "addresses that the answers give for the name in the query; at most 32",
        |row, _, cell| cell.list(&row.resolved_addresses, |cell, address| cell.address(*address));
    "client_port": optional Integer, "client port",
        |row, _, cell| port(row.protocol, row.client.port, cell);
    "resolver_port": optional Integer, "resolver port",
        |row, _, cell| port(row.protocol, row.resolver.port, cell);
    "query_frame": optional Frame, "frame of the first query",
        |row, names, cell| if let Some(frame) = row.resolution.query_frame { cell.frame(frame, row.frame.file, names) };
    "query_time": optional Time, "time of the first query",
        |row, _, cell| if let Some(time) = row.resolution.query_time { cell.time(time) };
    "query_count": optional Integer, "number of times the query was sent",
        |row, _, cell| if row.resolution.query_count > 0 { cell.number(row.resolution.query_count) };
    "extended_error": optional Text, "extended DNS error (RFC 8914): number, meaning, and the text of the resolver",
        |row, _, cell| extended_error(row, cell);
    "truncated": optional Flag, "the response has the TC bit",
        |row, _, cell| cell.flag(row.resolution.truncated);
    "damaged": optional Flag, "the message is malformed or incomplete in the capture",
        |row, _, cell| cell.flag(row.resolution.damaged);
    "multicast": optional Flag, "mDNS or LLMNR: neighbours respond, not a resolver",
        |row, _, cell| cell.flag(row.resolution.multicast);
    "opcode": optional Text, "`NOTIFY`, `UPDATE` or the number of another opcode; missing for a query",
        |row, _, cell| opcode(row.resolution.opcode, cell);
    "note": optional Text, "why the absence of a response means nothing",
        |row, _, cell| if let Some(nanos) = row.capture_ended_after { cell.text(&capture_ended(nanos), TextOrigin::Trusted) };
    "unlisted_answers": optional Integer, "number of answers that `answers` does not list",
        |row, _, cell| match row.unlisted_answers { 0 => {} more => cell.number(more) };
    "further_messages": optional Integer, "messages of the same kind that have no row of their own, because of `--max-evidence`",
        |row, _, cell| match row.further_messages { 0 => {} more => cell.number(more) };
};

/// `findings.csv`.
const FINDING: &[Column<FindingRow>] = columns! { FindingRow;
    "code": required CODE, "stable code; see `afs-audit explain CODE`",
        |row, _, cell| cell.keyword(row.code.as_str());
    "title": required Text, "title of the code",
        |row, _, cell| cell.text(row.title, TextOrigin::Trusted);
    "severity": required Enum(|| Severity::ALL.iter().map(|word| word.as_str()).collect()), "severity",
        |row, _, cell| cell.keyword(row.severity.as_str());
    "confidence": optional CONFIDENCE, "confidence in the finding",
        |row, _, cell| cell.keyword(row.confidence.map_or("", |confidence| confidence.as_str()));
    "audited_host": optional Address, "the audited host",
        |row, _, cell| if let Some(address) = row.audited_host { cell.address(address) };
    "target": optional Text, "what the finding is about: a name, an address, or `address:port`",
        |row, _, cell| cell.text(&row.target, TextOrigin::Untrusted);
    "name": optional Text, "name of the destination",
        |row, _, cell| name(row.name.as_deref(), cell);
    "server_ip": optional Address, "address of the destination in the first flow",
        |row, _, cell| if let Some(server) = row.server { cell.address(server.address) };
    "server_port": optional Integer, "port of the destination in the first flow",
        |row, _, cell| if let Some(server) = row.server { cell.number(server.port) };
    "mechanism": optional MECHANISM, "how blocked-looking flows were blocked; see `afs-audit explain MECHANISM`",
        |row, _, cell| cell.keyword(row.mechanism.map_or("", Mechanism::as_str));
    "count": required Integer, "number of flows or DNS responses",
        |row, _, cell| cell.number(row.count);
    "first_seen": required Time, "time of the first of them",
        |row, _, cell| cell.time(row.first_seen);
    "last_seen": required Time, "time of the last of them",
        |row, _, cell| cell.time(row.last_seen);
    "flows": optional List(&Integer), "the first flows (`flow_id`), at most ten",
        |row, _, cell| cell.list(&row.flows, |cell, flow| cell.number(*flow));
    "message": required Text, "the cause, in one sentence",
        |row, _, cell| cell.text(&row.message, TextOrigin::Untrusted);
    "recommendation": required Text, "what to do",
        |row, _, cell| cell.text(&row.recommendation, TextOrigin::Untrusted);
    "file": optional Text, "input that contains the first of the frames",
        |row, names, cell| if !row.frames.is_empty() { cell.text(names.file(first_file(&row.frames)), TextOrigin::Untrusted) };
    "frames": optional FRAMES, "the first frames that prove the finding, at most ten",
        |row, names, cell| cell.frames(&row.frames, first_file(&row.frames), names);
    "references": optional TEXTS, "documented rows and statements that the finding is based on",
        |row, _, cell| cell.joined(&row.references, TextOrigin::Untrusted);
    "documents": optional TEXTS, "documents that contain them",
        |row, _, cell| cell.joined(&row.documents, TextOrigin::Untrusted);
    "cause": optional CODE, "code of the finding of the same audited host that says the cause of this one",
        |row, _, cell| cell.keyword(row.cause.map_or("", FindingCode::as_str));
};

/// `requirements.csv`.
const REQUIREMENT: &[Column<RequirementRow>] = columns! { RequirementRow;
    "references": required TEXTS, "documented rows, each of which satisfies the requirement",
        |row, _, cell| cell.joined(&row.references, TextOrigin::Untrusted);
    "documents": required TEXTS, "documents that contain them",
        |row, _, cell| cell.joined(&row.documents, TextOrigin::Untrusted);
    "service": required Text, "purpose of the endpoint",
        |row, _, cell| cell.text(&row.service, TextOrigin::Untrusted);
    "documented_as": required TEXTS, "name or pattern, as the document prints it",
        |row, _, cell| cell.joined(&row.documented_as, TextOrigin::Untrusted);
    "level": required Enum(|| vec!["required", "recommended", "optional", "install-time", "legacy"]), "requirement level of the document",
        |row, _, cell| cell.text(&row.level, TextOrigin::Untrusted);
    "server": optional Address, "the audited server; missing for the site as a whole",
        |row, _, cell| if let Some(server) = row.server { cell.address(server) };
    "state": required Enum(|| RequirementState::ALL.iter().map(|word| word.as_str()).collect()), "whether the endpoint was reached",
        |row, _, cell| cell.keyword(row.state.as_str());
    "mechanism": optional MECHANISM, "how the last blocked attempt was blocked; see `afs-audit explain MECHANISM`",
        |row, _, cell| cell.keyword(row.mechanism.map_or("", Mechanism::as_str));
    "count": required Integer, "number of attempts: flows, and names that did not resolve",
        |row, _, cell| cell.number(row.count);
    "reached": required Integer, "attempts that succeeded",
        |row, _, cell| cell.number(row.reached);
    "blocked": required Integer, "attempts that look blocked",
        |row, _, cell| cell.number(row.blocked);
    "first_seen": optional Time, "time of the first attempt",
        |row, _, cell| if let Some(time) = row.first_seen { cell.time(time) };
    "last_seen": optional Time, "time of the last attempt",
        |row, _, cell| if let Some(time) = row.last_seen { cell.time(time) };
    "first_reached": optional Time, "time of the first attempt that succeeded",
        |row, _, cell| if let Some(time) = row.first_reached { cell.time(time) };
    "last_reached": optional Time, "time of the last attempt that succeeded",
        |row, _, cell| if let Some(time) = row.last_reached { cell.time(time) };
    "first_blocked": optional Time, "time of the first attempt that looks blocked",
        |row, _, cell| if let Some(time) = row.first_blocked { cell.time(time) };
    "last_blocked": optional Time, "time of the last attempt that looks blocked",
        |row, _, cell| if let Some(time) = row.last_blocked { cell.time(time) };
    "last_state": optional Enum(|| vec!["reached", "blocked"]), "state after the last attempt with a known outcome",
        |row, _, cell| cell.keyword(row.last_state.map_or("", |state| state.as_str()));
    "file": optional Text, "input that contains the first of the frames",
        |row, names, cell| if !row.frames.is_empty() { cell.text(names.file(first_file(&row.frames)), TextOrigin::Untrusted) };
    "frames": optional FRAMES, "the first frames that show the state",
        |row, names, cell| cell.frames(&row.frames, first_file(&row.frames), names);
    "note": optional Text, "what a state other than `reached` means",
        |row, _, cell| cell.text(&row.note, TextOrigin::Untrusted);
    "name": optional Text, "the one name that satisfies the requirement, if the site file declares it; otherwise any name of the references does",
        |row, _, cell| cell.text(&row.name, TextOrigin::Untrusted);
};

fn first_file(frames: &[crate::base::FrameRef]) -> FileId {
    frames.first().map(|frame| frame.file).unwrap_or_default()
}

fn name(name: Option<&crate::base::HostName>, cell: &mut Cell) {
    cell.text(name.map_or("", |name| name.as_str()), TextOrigin::Untrusted);
}

fn transport(protocol: u8, cell: &mut Cell) {
    match proto::name(protocol) {
        Some(word) => cell.keyword(word),
        None => {
            cell.begin();
            cell.push_number(protocol);
            cell.end();
        }
    }
}

/// A protocol without ports has none to print; port 0 of the others is a port.
fn port(protocol: u8, port: u16, cell: &mut Cell) {
    if port != 0 || proto::name(protocol).is_some() {
        cell.number(port);
    }
}

fn answer(cell: &mut Cell, answer: &Answer) {
    cell.begin();
    cell.push(&registry::dns_type(answer.kind), TextOrigin::Trusted);
    cell.push("=", TextOrigin::Trusted);
    match &answer.data {
        AnswerData::Address(address) => cell.push_address(*address),
        AnswerData::Name(name) => cell.push(name, TextOrigin::Untrusted),
        AnswerData::Service(service) => {
            let Service { priority, target, text, .. } = &**service;
            cell.push_number(*priority);
            cell.push(" ", TextOrigin::Trusted);
            cell.push(target, TextOrigin::Untrusted);
            if !text.is_empty() {
                cell.push(" ", TextOrigin::Trusted);
                cell.push(text, TextOrigin::Untrusted);
            }
        }
        AnswerData::Other(text) => cell.push(text, TextOrigin::Untrusted),
    }
    cell.end();
}

fn extended_error(row: &DnsRow, cell: &mut Cell) {
    let Some((code, text)) = &row.resolution.extended_error else { return };
    cell.begin();
    cell.push_number(*code);
    if let Some(meaning) = registry::extended_error(*code) {
        cell.push(" ", TextOrigin::Trusted);
        cell.push(meaning, TextOrigin::Trusted);
    }
    if !text.is_empty() {
        cell.push(": ", TextOrigin::Trusted);
        cell.push(text, TextOrigin::Untrusted);
    }
    cell.end();
}

fn capture_ended(nanos: u64) -> String {
    let after = duration(nanos);
    format!("the capture ended, or the conversation was evicted, {after} after the last query")
}

fn opcode(number: u8, cell: &mut Cell) {
    match number {
        0 => {}
        4 => cell.keyword("NOTIFY"),
        5 => cell.keyword("UPDATE"),
        _ => {
            cell.begin();
            cell.push_number(number);
            cell.end();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<R: TableRow>(expected: &str) {
        let names: Vec<&str> = R::COLUMNS.iter().map(|column| column.name).collect();
        let expected: Vec<&str> = expected.split(',').map(str::trim).collect();
        assert_eq!(names.get(..expected.len()), Some(expected.as_slice()));
        let mut once = names.clone();
        once.sort_unstable();
        once.dedup();
        assert_eq!(once.len(), names.len(), "no two columns have the same name");
        assert!(
            R::COLUMNS.iter().all(|column| column.name != "record"),
            "JSON lines use it for the kind of record"
        );
    }

    #[test]
    fn attributes_are_in_the_columns_that_their_keys_name() {
        for key in AttributeKey::ALL {
            let column = key.column();
            assert!(column.is_empty() || FLOW.iter().any(|known| known.name == column), "{column}");
        }
    }

    #[test]
    fn names_and_order_are_a_contract() {
        check::<FlowRow>(
            "flow_id, community_id, file, first_frame, last_frame, first_seen, last_seen, transport, client_ip,
             client_port, server_ip, server_port, vlan, tunnel, app, name, name_source, sni, dns_name, alpn,
             tls_version, ech, certificate_issuer, packets_to_server, packets_to_client, bytes_to_server,
             bytes_to_client, destination_verdict, port_verdict, outcome, mechanism, inconclusive_reason, confidence,
             products, references, documents, findings, evidence_frames",
        );
        check::<DnsRow>(
            "file, frame, time, client_ip, resolver_ip, transport, query_name, query_type, rcode, answers,
             resolved_addresses",
        );
        check::<FindingRow>(
            "code, title, severity, confidence, audited_host, target, name, server_ip, server_port, mechanism, count,
             first_seen, last_seen, flows, message, recommendation, file, frames, references, documents",
        );
        check::<RequirementRow>(
            "references, documents, service, documented_as, level, server, state, mechanism, count",
        );
    }
}
