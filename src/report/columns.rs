//! The columns of every table, in order. A column is a row here; nothing else knows its name.
//!
//! InputNames and order are what others build on: new columns go to the end, and none is renamed.

use super::cell::Cell;
use super::cell::TextOrigin;
use super::input_names::InputNames;
use super::registry;
use crate::base::FileId;
use crate::base::proto;
use crate::flow::community_id;
use crate::judge::DnsRow;
use crate::judge::FindingRow;
use crate::judge::FlowRow;
use crate::judge::Outcome;
use crate::judge::PageField;
use crate::judge::RequirementRow;
use crate::judge::explanation;
use crate::read::Answer;
use crate::read::AnswerData;
use crate::read::AttributeKey;

/// A column: its name, one sentence, and how a record fills it.
pub struct Column<R> {
    /// As the header and the JSON key say it.
    pub name: &'static str,
    /// What it holds, for the reference.
    pub about: &'static str,
    /// Writes the record's value; writes nothing where it is not known.
    pub cell: fn(&R, &InputNames, &mut Cell),
}

/// A record that is printed as a row.
pub trait TableRow: Sized + 'static {
    /// What JSON lines call it, under the key `record`.
    const RECORD: &'static str;
    /// The file that holds its rows in an evidence folder.
    const FILE: &'static str;
    /// Its columns, in order.
    const COLUMNS: &'static [Column<Self>];
}

impl TableRow for FlowRow {
    const RECORD: &'static str = "flow";
    const FILE: &'static str = "flows.csv";
    const COLUMNS: &'static [Column<FlowRow>] = FLOW;
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

/// Declares a table of columns, one a line: name, sentence, and what is written.
macro_rules! columns {
    ($row:ty; $($name:literal, $about:literal, |$r:pat_param, $n:pat_param, $c:ident| $body:expr;)*) => {
        &[$(Column {
            name: $name,
            about: $about,
            cell: |$r: &$row, $n: &InputNames, $c: &mut Cell| $body,
        },)*]
    };
}

/// `flows.csv`.
const FLOW: &[Column<FlowRow>] = columns! { FlowRow;
    "flow_id", "number of the flow in this run, from 1 in the order of opening",
        |row, _, cell| cell.number(row.flow_id);
    "community_id", "Community ID version 1, seed 0: the same number in other monitors",
        |row, _, cell| cell.word(community_id(row.protocol, row.client, row.server).as_str());
    "file", "input that holds the first frame",
        |row, names, cell| cell.text(names.file(row.first_frame.file), TextOrigin::Untrusted);
    "first_frame", "number of the first frame, as Wireshark counts",
        |row, names, cell| cell.frame(row.first_frame, row.first_frame.file, names);
    "last_frame", "number of the last frame; with the input's name in front where that is another",
        |row, names, cell| cell.frame(row.last_frame, row.first_frame.file, names);
    "first_seen", "time of the first frame, UTC",
        |row, _, cell| cell.time(row.first_seen);
    "last_seen", "time of the last frame, UTC",
        |row, _, cell| cell.time(row.last_seen);
    "transport", "`tcp`, `udp`, `icmp`, `icmp6`, `sctp`, or the protocol's number",
        |row, _, cell| transport(row.protocol, cell);
    "client_ip", "who opened the flow, as far as is known",
        |row, _, cell| cell.address(row.client.address);
    "client_port", "the client's port; for ICMP the type of the first message",
        |row, _, cell| port(row.protocol, row.client.port, cell);
    "server_ip", "who answered",
        |row, _, cell| cell.address(row.server.address);
    "server_port", "the server's port; for ICMP the code of the first message",
        |row, _, cell| port(row.protocol, row.server.port, cell);
    "vlan", "VLAN ids around the flow, outer first",
        |row, _, cell| cell.joined(&row.vlan, TextOrigin::Trusted);
    "tunnel", "tunnels around the flow, outer first",
        |row, _, cell| cell.joined(&row.tunnel, TextOrigin::Trusted);
    "app", "what the bytes are (`tls`, `quic`, `dns`, `http`, `smb`, …), whatever the port; DNS inside TLS, QUIC and HTTPS is `dot`, `doq`, `doh`",
        |row, _, cell| cell.word(row.app);
    "name", "the strongest name that is tied to the flow",
        |row, _, cell| name(row.name.as_deref(), cell);
    "name_source", "where that name comes from: `sni`, `quic-sni`, `connect`, `http-host`, `dns`, `dns-other`, `certificate`, `service-tag`",
        |row, _, cell| cell.word(row.name_source.map_or("", |source| source.as_str()));
    "sni", "server name in the TLS or QUIC hello",
        |row, _, cell| name(row.sni.as_deref(), cell);
    "dns_name", "name that DNS gave the server's address",
        |row, _, cell| name(row.dns_name.as_deref(), cell);
    "alpn", "application protocol that the server chose, else those offered",
        |row, _, cell| cell.joined(row.alpn.as_deref().unwrap_or_default(), TextOrigin::Untrusted);
    "tls_version", "version that the server chose: `TLS 1.2`, `TLS 1.3`, …; `0xNNNN` where it has no name",
        |row, _, cell| if let Some(version) = row.tls_version { cell.word(&registry::tls_version(version)) };
    "ech", "`true` where the hello is encrypted, so that its name is the outer one",
        |row, _, cell| cell.flag(row.ech);
    "certificate_issuer", "issuer of the server's certificate",
        |row, _, cell| cell.text(row.attributes.text(AttributeKey::CertificateIssuer).map_or("", |issuer| issuer), TextOrigin::Untrusted);
    "packets_to_server", "packets that the client sent",
        |row, _, cell| cell.number(row.packets[0]);
    "packets_to_client", "packets that the server sent",
        |row, _, cell| cell.number(row.packets[1]);
    "bytes_to_server", "payload bytes that the client sent, as long as they were on the wire",
        |row, _, cell| cell.number(row.bytes[0]);
    "bytes_to_client", "payload bytes that the server sent, as long as they were on the wire",
        |row, _, cell| cell.number(row.bytes[1]);
    "destination_verdict", "`documented`, `documented-broad`, `site-approved`, `unexpected`, `unidentified`; empty where the flow is not judged",
        |row, _, cell| cell.word(row.destination_verdict.map_or("", |verdict| verdict.as_str()));
    "port_verdict", "`443`, `documented`, `not-443`; empty where the flow is not judged",
        |row, _, cell| cell.word(row.port_verdict.map_or("", |verdict| verdict.as_str()));
    "outcome", "`ok`, `blocked-looking`, `inconclusive`",
        |row, _, cell| cell.word(row.outcome.as_str());
    "mechanism", "how the flow was blocked, where it is blocked-looking; `afs-audit explain MECHANISM` says more",
        |row, _, cell| if row.outcome == Outcome::BlockedLooking { cell.word(row.signature) };
    "inconclusive_reason", "why the outcome is inconclusive",
        |row, _, cell| if row.outcome == Outcome::Inconclusive { cell.word(row.signature) };
    "confidence", "how sure that is: `weak`, `strong`, `certain`",
        |row, _, cell| cell.word(row.confidence.map_or("", |confidence| confidence.as_str()));
    "products", "products that document the destination",
        |row, _, cell| cell.joined(row.documented.as_deref().map_or("", |said| &said.products), TextOrigin::Trusted);
    "references", "documented rows that allow it, most specific first; `(as meant)` behind one that prints another name, `(port as meant)` another port, `(placeholder)` a word for which the site file has no value",
        |row, _, cell| cell.joined(row.documented.as_deref().map_or("", |said| &said.references), TextOrigin::Trusted);
    "documents", "documents that hold these rows",
        |row, _, cell| cell.joined(row.documented.as_deref().map_or("", |said| &said.documents), TextOrigin::Trusted);
    "findings", "codes of the findings that the flow takes part in",
        |row, _, cell| cell.list(&row.findings, |cell, code| cell.word(code));
    "evidence_frames", "frames that prove what the row says",
        |row, names, cell| cell.frames(&row.evidence, row.first_frame.file, names);
    "ja4", "JA4 fingerprint of the client's TLS or QUIC hello: which software spoke",
        |row, _, cell| cell.text(row.attributes.text(AttributeKey::Ja4).map_or("", |fingerprint| fingerprint), TextOrigin::Untrusted);
    "service_tags", "service tags that hold the server's address, most specific first",
        |row, _, cell| cell.joined(row.service_tags.as_deref().unwrap_or_default(), TextOrigin::Untrusted);
    "address_evidence", "what the service tags say of a documented name: `row-tag` (the address is in a tag that belongs to its row), `other-tag`, `no-tag`; empty where they say nothing",
        |row, _, cell| cell.word(row.address_evidence);
    "tampering_stage", "where a connection that was not answered stopped, `>`, and what ended it, after the vocabulary of passive detection of connection tampering: `syn>rst+ack`, `psh>nothing`",
        |row, _, cell| cell.word(row.tampering_stage.unwrap_or_default());
    "http_status", "status of the last response in plain HTTP, be it a page or a proxy's answer to CONNECT",
        |row, _, cell| if let Some(status) = row.http.as_ref().and_then(|http| http.status) { cell.number(status) };
    "http_location", "where plain HTTP was led to (Location)",
        |row, _, cell| if let Some(text) = shown(row, PageField::Location) { cell.text(text, TextOrigin::Untrusted) };
    "http_server", "what the answer says of itself: its Server header, else Via",
        |row, _, cell| if let Some(text) = shown(row, PageField::Server).or_else(|| shown(row, PageField::Via)) { cell.text(text, TextOrigin::Untrusted) };
    "http_method", "method of the first request in plain HTTP",
        |row, _, cell| if let Some(method) = row.http.as_ref().and_then(|http| http.method.as_ref()) { cell.text(method, TextOrigin::Untrusted) };
    "tls_cipher", "cipher suite that the server chose; `0xNNNN` where it has no name",
        |row, _, cell| if let Some(cipher) = row.tls_cipher { cell.word(&registry::cipher_suite(cipher)) };
    "tls_resumed", "`true` where the server resumed a session, so that it sent no certificate",
        |row, _, cell| cell.flag(row.tls_resumed);
    "client_hello_cut", "`true` where the ClientHello is incomplete in the capture, so that its server name may be missing",
        |row, _, cell| cell.flag(row.client_hello_cut);
    "certificate_subject", "subject of the server's certificate",
        |row, _, cell| cell.text(row.attributes.text(AttributeKey::CertificateSubject).map_or("", |subject| subject), TextOrigin::Untrusted);
    "certificate_names", "DNS names in the server's certificate",
        |row, _, cell| texts(row, AttributeKey::CertificateNames, cell);
    "certificate_chain", "subjects of the certificates that the server sent after its own",
        |row, _, cell| texts(row, AttributeKey::CertificateChain, cell);
    "quic_version", "QUIC version: `1`, `2`, `draft-29`, `Q046`, …; `0xNNNNNNNN` where it has no name",
        |row, _, cell| if let Some(version) = row.quic_version { cell.word(&registry::quic_version(version)) };
    "quic_error", "error with which a side closed a QUIC connection before the handshake was complete, other than a TLS alert",
        |row, _, cell| if let Some(code) = row.rare.as_ref().and_then(|rare| rare.quic_error) { cell.word(&registry::quic_error(code)) };
    "proxy_source", "client address in a PROXY protocol header, which a load balancer sends",
        |row, _, cell| if let Some(source) = row.rare.as_ref().and_then(|rare| rare.proxy_source.as_ref()) { cell.text(source, TextOrigin::Untrusted) };
};

/// The texts of an attribute that is a list.
fn texts(row: &FlowRow, key: AttributeKey, cell: &mut Cell) {
    let list = row.attributes.list(key).map_or(&[][..], |list| list);
    cell.list(list, |cell, text| cell.text(text, TextOrigin::Untrusted));
}

/// What plain HTTP showed.
fn shown(row: &FlowRow, place: PageField) -> Option<&str> {
    row.http.as_ref()?.at(place)
}

/// `dns.csv`.
const DNS: &[Column<DnsRow>] = columns! { DnsRow;
    "file", "input that holds the frame",
        |row, names, cell| cell.text(names.file(row.frame.file), TextOrigin::Untrusted);
    "frame", "number of the response's frame; of the first query's where no response was seen",
        |row, names, cell| cell.frame(row.frame, row.frame.file, names);
    "time", "time of that frame, UTC",
        |row, _, cell| cell.time(row.time);
    "client_ip", "who asked",
        |row, _, cell| cell.address(row.client.address);
    "resolver_ip", "who was asked",
        |row, _, cell| cell.address(row.resolver.address);
    "transport", "`udp` or `tcp`",
        |row, _, cell| transport(row.protocol, cell);
    "query_name", "name asked for, in lower case without the final dot",
        |row, _, cell| name(Some(&row.resolution.query_name), cell);
    "query_type", "type asked for: `A`, `AAAA`, `HTTPS`, …; `TYPE65280` where it has no name",
        |row, _, cell| cell.word(&registry::dns_type(row.resolution.query_type));
    "rcode", "`NOERROR`, `NXDOMAIN`, …, or its number; empty where no response was seen",
        |row, _, cell| if let Some(code) = row.resolution.rcode { cell.word(&registry::rcode(code)) };
    "answers", "the answer section in wire order, each as `TYPE=value`, then addresses sent along for hosts that it names",
        |row, _, cell| cell.list(&row.resolution.answers, answer);
    "resolved_addresses", "addresses that the answers lead to from the name asked for",
        |row, _, cell| cell.list(&row.resolved_addresses, |cell, address| cell.address(*address));
    "client_port", "the client's port",
        |row, _, cell| port(row.protocol, row.client.port, cell);
    "resolver_port", "the resolver's port",
        |row, _, cell| port(row.protocol, row.resolver.port, cell);
    "query_frame", "number of the first query's frame, where it was seen",
        |row, names, cell| if let Some(frame) = row.resolution.query_frame { cell.frame(frame, row.frame.file, names) };
    "query_time", "time of the first query, UTC",
        |row, _, cell| if let Some(time) = row.resolution.query_time { cell.time(time) };
    "query_count", "how often the query was seen",
        |row, _, cell| if row.resolution.query_count > 0 { cell.number(row.resolution.query_count) };
    "extended_error", "extended DNS error (RFC 8914): number, meaning, and the resolver's own text",
        |row, _, cell| extended_error(row, cell);
    "truncated", "`true` where the response says that it was cut",
        |row, _, cell| cell.flag(row.resolution.truncated);
    "damaged", "`true` where the message is broken or not whole in the capture",
        |row, _, cell| cell.flag(row.resolution.damaged);
    "multicast", "`true` for mDNS and LLMNR, where neighbours answer and no resolver",
        |row, _, cell| cell.flag(row.resolution.multicast);
    "opcode", "`NOTIFY` or `UPDATE`, which resolve nothing; empty for a question for a name",
        |row, _, cell| match row.resolution.opcode {
            0 => {}
            4 => cell.word("NOTIFY"),
            5 => cell.word("UPDATE"),
            other => cell.number(other),
        };
};

/// `findings.csv`.
const FINDING: &[Column<FindingRow>] = columns! { FindingRow;
    "code", "stable code; `afs-audit explain CODE` says more",
        |row, _, cell| cell.word(row.code);
    "title", "what the code stands for, in a few words",
        |row, _, cell| cell.text(explanation(row.code).map_or("", |known| known.title), TextOrigin::Trusted);
    "severity", "`info`, `low`, `medium`, `high`",
        |row, _, cell| cell.word(row.severity.as_str());
    "confidence", "confidence in the finding: `weak`, `strong`, `certain`",
        |row, _, cell| cell.word(row.confidence.map_or("", |confidence| confidence.as_str()));
    "audited_host", "the audited host",
        |row, _, cell| if let Some(address) = row.audited_host { cell.address(address) };
    "target", "what the finding is about: a name, an address, or a service as `address:port`",
        |row, _, cell| cell.text(&row.target, TextOrigin::Untrusted);
    "name", "name of the destination, where it has one",
        |row, _, cell| name(row.name.as_deref(), cell);
    "server_ip", "address of the destination in the first flow",
        |row, _, cell| if let Some(server) = row.server { cell.address(server.address) };
    "server_port", "port of the destination in the first flow",
        |row, _, cell| if let Some(server) = row.server { cell.number(server.port) };
    "mechanism", "how the flows were blocked, where they are blocked-looking",
        |row, _, cell| cell.word(row.mechanism);
    "count", "number of flows or DNS responses",
        |row, _, cell| cell.number(row.count);
    "first_seen", "first time, UTC",
        |row, _, cell| cell.time(row.first_seen);
    "last_seen", "last time, UTC",
        |row, _, cell| cell.time(row.last_seen);
    "flows", "numbers of the first flows (`flow_id`), at most ten",
        |row, _, cell| cell.list(&row.flows, |cell, flow| cell.number(*flow));
    "message", "the cause, in one sentence",
        |row, _, cell| cell.text(&row.message, TextOrigin::Untrusted);
    "recommendation", "what to do",
        |row, _, cell| cell.text(row.recommendation, TextOrigin::Untrusted);
    "file", "input that holds the first of the frames",
        |row, names, cell| if !row.frames.is_empty() { cell.text(names.file(first_file(&row.frames)), TextOrigin::Untrusted) };
    "frames", "the first frames that prove it, at most ten; with the input's name in front where it is not `file`",
        |row, names, cell| cell.frames(&row.frames, first_file(&row.frames), names);
    "references", "documented rows and statements that say so",
        |row, _, cell| cell.joined(&row.references, TextOrigin::Untrusted);
    "documents", "documents that hold them",
        |row, _, cell| cell.joined(&row.documents, TextOrigin::Untrusted);
};

/// `requirements.csv`.
const REQUIREMENT: &[Column<RequirementRow>] = columns! { RequirementRow;
    "references", "ids of the documented rows, each of which satisfies the requirement",
        |row, _, cell| cell.joined(&row.references, TextOrigin::Untrusted);
    "documents", "documents that hold them",
        |row, _, cell| cell.joined(&row.documents, TextOrigin::Untrusted);
    "service", "what the endpoint is for",
        |row, _, cell| cell.text(&row.service, TextOrigin::Untrusted);
    "documented_as", "name or pattern, as the document prints it",
        |row, _, cell| cell.joined(&row.documented_as, TextOrigin::Untrusted);
    "level", "`required`, `recommended`, `optional`, `install-time`, `legacy`",
        |row, _, cell| cell.text(&row.level, TextOrigin::Untrusted);
    "server", "the audited server; empty for the site as a whole",
        |row, _, cell| if let Some(server) = row.server { cell.address(server) };
    "state", "`reached`, `blocked`, `partly-blocked`, `not-observed`",
        |row, _, cell| cell.word(row.state.as_str());
    "mechanism", "how the last blocked attempt was blocked",
        |row, _, cell| cell.word(row.mechanism);
    "count", "number of attempts: flows, and names that did not resolve",
        |row, _, cell| cell.number(row.count);
    "reached", "attempts that got through",
        |row, _, cell| cell.number(row.reached);
    "blocked", "attempts that look blocked",
        |row, _, cell| cell.number(row.blocked);
    "first_seen", "time of the first attempt, UTC",
        |row, _, cell| if let Some(time) = row.first_seen { cell.time(time) };
    "last_seen", "time of the last attempt, UTC",
        |row, _, cell| if let Some(time) = row.last_seen { cell.time(time) };
    "first_reached", "time of the first attempt that got through, UTC",
        |row, _, cell| if let Some(time) = row.first_reached { cell.time(time) };
    "last_reached", "time of the last attempt that got through, UTC",
        |row, _, cell| if let Some(time) = row.last_reached { cell.time(time) };
    "first_blocked", "time of the first attempt that looks blocked, UTC",
        |row, _, cell| if let Some(time) = row.first_blocked { cell.time(time) };
    "last_blocked", "time of the last attempt that looks blocked, UTC",
        |row, _, cell| if let Some(time) = row.last_blocked { cell.time(time) };
    "last_state", "`reached` or `blocked`: the last attempt with a known outcome",
        |row, _, cell| cell.word(row.last_state.map_or("", |state| state.as_str()));
    "file", "input that holds the first of the frames",
        |row, names, cell| if !row.frames.is_empty() { cell.text(names.file(first_file(&row.frames)), TextOrigin::Untrusted) };
    "frames", "the first frames that show it; with the input's name in front where it is not `file`",
        |row, names, cell| cell.frames(&row.frames, first_file(&row.frames), names);
    "note", "what the state means where it is not `reached`",
        |row, _, cell| cell.text(&row.note, TextOrigin::Untrusted);
};

fn first_file(frames: &[crate::base::FrameRef]) -> FileId {
    frames.first().map(|frame| frame.file).unwrap_or_default()
}

fn name(name: Option<&crate::base::HostName>, cell: &mut Cell) {
    cell.text(name.map_or("", |name| name.as_str()), TextOrigin::Untrusted);
}

fn transport(protocol: u8, cell: &mut Cell) {
    cell.begin();
    match proto::name(protocol) {
        Some(word) => cell.push(word, TextOrigin::Trusted),
        None => cell.push_number(protocol),
    }
    cell.end();
}

/// Protocols without ports have none to print; port 0 of the others is a port.
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
        AnswerData::Service { priority, target, text, .. } => {
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
        assert_eq!(once.len(), names.len(), "a name stands for one column");
        assert!(R::COLUMNS.iter().all(|column| column.name != "record"), "taken by JSON lines");
    }

    #[test]
    fn attributes_are_in_the_columns_that_their_keys_name() {
        for key in AttributeKey::ALL {
            let column = key.column();
            assert!(column.is_empty() || FLOW.iter().any(|known| known.name == column), "{column}");
        }
    }

    #[test]
    fn others_build_on_these_names_in_this_order() {
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
