//! Test support: sample rows.

use std::sync::Arc;

use smallvec::smallvec;

use super::facts::Accounting;
use super::facts::RunFacts;
use super::facts::UsedDocument;
use super::input_names::InputNames;
use crate::base::Address;
use crate::base::FileId;
use crate::base::FrameRef;
use crate::base::HostName;
use crate::base::Time;
use crate::base::WireText;
use crate::base::proto;
use crate::flow::Endpoint;
use crate::judge::AddressEvidence;
use crate::judge::Assessment;
use crate::judge::Confidence;
use crate::judge::DestinationTally;
use crate::judge::DestinationVerdict;
use crate::judge::DnsRow;
use crate::judge::Documented;
use crate::judge::FindingCode;
use crate::judge::FindingRow;
use crate::judge::FlowRow;
use crate::judge::Mechanism;
use crate::judge::Need;
use crate::judge::PortVerdict;
use crate::judge::RequirementRow;
use crate::judge::RequirementState;
use crate::judge::Severity;
use crate::judge::Tally;
use crate::read::Answer;
use crate::read::AnswerData;
use crate::read::AttributeKey;
use crate::read::AttributeSets;
use crate::read::AttributeValue;
use crate::read::NameSource;
use crate::read::Resolution;
use crate::read::Service;

const SERVER: Address = Address::v4([20, 60, 0, 4]);
const CLIENT: Address = Address::v4([10, 1, 0, 4]);
const BEGIN: Time = Time::from_parts(1_784_542_272, 123_456_000);

pub(crate) fn names() -> InputNames {
    InputNames { files: vec!["office.pcapng".into(), "office2.pcapng".into()] }
}

fn frame(file: u32, number: u64) -> FrameRef {
    FrameRef { file: FileId(file), number }
}

/// The attributes of a certificate with this issuer.
pub(crate) fn certificate(issuer: &[u8]) -> AttributeSets {
    let mut attributes = AttributeSets::default();
    let issuer = AttributeValue::Text(WireText::new(issuer, 99));
    attributes.add([(AttributeKey::CertificateIssuer, issuer)].into());
    attributes
}

fn host(name: &str) -> HostName {
    HostName::from_wire_text(name.as_bytes()).unwrap()
}

pub(crate) fn flow() -> FlowRow {
    let name = Arc::new(host("kailani1.one.microsoft.com"));
    FlowRow {
        flow_id: 7,
        first_frame: frame(0, 3),
        last_frame: frame(1, 12),
        first_seen: BEGIN,
        last_seen: Time(BEGIN.0 + 1_500_000_000),
        protocol: proto::TCP,
        client: Endpoint { address: CLIENT, port: 50000 },
        server: Endpoint { address: SERVER, port: 443 },
        vlan: "10;20".into(),
        tunnel: "".into(),
        process: None,
        translated: None,
        app: "tls",
        name: Some(name.clone()),
        name_source: Some(NameSource::Sni),
        sni: Some(name),
        dns_name: None,
        alpn: Some(WireText::new(b"h2;http/1.1", 99)),
        tls_version: Some(0x0304),
        ech: false,
        attributes: certificate(b"C=US, O=Example Corporation, CN=Example Issuing CA 01"),
        tls_cipher: Some(0x1302),
        tls_resumed: false,
        client_hello_cut: false,
        quic_version: None,
        rare: None,
        packets: [10, 9],
        bytes: [1200, 48211],
        destination_verdict: Some(DestinationVerdict::Documented),
        port_verdict: Some(PortVerdict::Https),
        assessment: Assessment::Ok,
        documented: Some(Arc::new(Documented {
            products: "azure-file-sync".into(),
            references: "afs-sync-west-us;afs-sync-any".into(),
            documents: "azure-file-sync@2019-06-24".into(),
        })),
        findings: smallvec![FindingCode::NameContradiction],
        evidence: smallvec![frame(0, 3), frame(0, 4), frame(1, 2)],
        service_tags: Some("StorageSyncService;AzureCloud".into()),
        address_evidence: Some(AddressEvidence::RowTag),
        points: Some("inside;outside".into()),
        further_flows: 0,
        requested_port: None,
        tampering_stage: None,
        http: None,
    }
}

pub(crate) fn dns() -> DnsRow {
    let answer = |kind, data| Answer { owner: host("kailani1.one.microsoft.com"), kind, ttl: 60, data };
    DnsRow {
        frame: frame(0, 2),
        time: BEGIN,
        client: Endpoint { address: CLIENT, port: 53211 },
        resolver: Endpoint { address: Address::v4([10, 1, 0, 1]), port: 53 },
        protocol: proto::UDP,
        resolution: Box::new(Resolution {
            opcode: 0,
            query_name: host("kailani1.one.microsoft.com"),
            query_type: 1,
            query_frame: Some(frame(0, 1)),
            query_time: Some(BEGIN),
            query_count: 2,
            last_query_time: None,
            rcode: Some(0),
            answers: vec![
                answer(5, AnswerData::Name(host("edge.example"))),
                answer(1, AnswerData::Address(SERVER)),
                answer(65280, AnswerData::Other(WireText::new(b"# 1 3b;", 99))),
                answer(
                    65,
                    AnswerData::Service(Box::new(Service {
                        priority: 1,
                        target: HostName::from_labels([]),
                        hints: Vec::new(),
                        ech: false,
                        text: WireText::new(b"alpn=h2", 99),
                    })),
                ),
            ],
            unread_answers: 0,
            truncated: false,
            damaged: false,
            extended_error: Some((15, WireText::new(b"by policy", 99))),
            multicast: false,
        }),
        resolved_addresses: smallvec![SERVER],
        capture_ended_after: None,
        unlisted_answers: 0,
        further_messages: 0,
    }
}

pub(crate) fn finding() -> FindingRow {
    FindingRow {
        code: FindingCode::ConnectionUnanswered,
        mechanism: Some(Mechanism::TcpUnanswered),
        title: FindingCode::ConnectionUnanswered.entry().title,
        severity: Severity::High,
        issuer: None,
        is_cause: false,
        cause: None,
        shared: None,
        may_pass: false,
        worked_later: false,
        need: Need::Required,
        confidence: Some(Confidence::Strong),
        audited_host: Some(CLIENT),
        target: "kailani1.one.microsoft.com".into(),
        name: None,
        server: Some(Endpoint { address: SERVER, port: 443 }),
        message:
            "10.1.0.4 sent the same SYN 4 times to kailani1.one.microsoft.com:443, and nothing came back"
                .into(),
        count: 2,
        first_seen: BEGIN,
        last_seen: Time(BEGIN.0 + 21_000_000_000),
        flows: smallvec![7, 8],
        frames: smallvec![frame(0, 3), frame(0, 5)],
        references: "afs-sync-west-us".into(),
        documents: "azure-file-sync@2019-06-24".into(),
        recommendation: "allow the destination in the firewall; check routes to it".into(),
    }
}

pub(crate) fn requirement() -> RequirementRow {
    RequirementRow {
        references: "afs-sync-west-us".into(),
        documents: "azure-file-sync@2019-06-24".into(),
        service: "sync service, West US".into(),
        documented_as: "kailani1.one.microsoft.com".into(),
        level: "required".into(),
        server: None,
        state: RequirementState::NotObserved,
        mechanism: None,
        count: 0,
        reached: 0,
        blocked: 0,
        first_seen: None,
        last_seen: None,
        first_reached: None,
        last_reached: None,
        first_blocked: None,
        last_blocked: None,
        last_state: None,
        frames: smallvec![],
        note: "the capture is 40 seconds long".into(),
        name: String::new(),
    }
}

/// Twelve met, one blocked, three not observed.
fn requirements() -> Vec<RequirementRow> {
    let states =
        [(12, RequirementState::Reached), (1, RequirementState::Blocked), (3, RequirementState::NotObserved)];
    states
        .iter()
        .flat_map(|(rows, state)| (0..*rows).map(|_| RequirementRow { state: *state, ..requirement() }))
        .collect()
}

pub(crate) fn facts() -> RunFacts {
    let destination = |name: &str, server_port, destination, port, outcomes| DestinationTally {
        name: name.into(),
        protocol: proto::TCP,
        server_port,
        proxied: false,
        destination_verdict: Some(destination),
        port_verdict: Some(port),
        outcomes,
        clients: 3,
        bytes: 48_211_332,
    };
    RunFacts {
        damage: vec!["office.pcapng: truncated after frame 1812".into()],
        first_seen: Some(BEGIN),
        last_seen: Some(Time(BEGIN.0 + 2848 * 1_000_000_000)),
        accounting: Accounting {
            bytes: 812_000_000,
            frames: 1_204_331,
            packets: 1_204_316,
            not_ip: [(0x0806, 10), (0x88cc, 2)].into(),
            damaged: [("ipv4: header length truncated".into(), 3)].into(),
            flows: 2331,
            ..Accounting::default()
        },
        tally: Tally {
            flows: 2331,
            judged: 1204,
            dns: 842,
            dns_unanswered: 2,
            audited_hosts: 3,
            audited: vec![CLIENT, Address::v4([10, 1, 0, 5])],
            outcomes: [1190, 8, 6],
            top: vec![
                destination(
                    "kailani1.one.microsoft.com",
                    443,
                    DestinationVerdict::Documented,
                    PortVerdict::Https,
                    [900, 0, 0],
                ),
                destination(
                    "files.example",
                    8443,
                    DestinationVerdict::Unexpected,
                    PortVerdict::Not443,
                    [0, 8, 0],
                ),
                destination(
                    &"very-long-label.".repeat(12),
                    443,
                    DestinationVerdict::DocumentedBroad,
                    PortVerdict::Https,
                    [290, 0, 6],
                ),
            ],
            top_missed: 2,
            ..Tally::default()
        },
        findings: vec![Box::new(finding()), Box::new(finding())],
        requirements: requirements(),
        limits_reached: vec!["12 flows closed early because the flow table was full".into()],
        documents: vec![UsedDocument {
            id: "azure-file-sync@2019-06-24".into(),
            sha256: "00".into(),
            ..UsedDocument::default()
        }],
        ..RunFacts::default()
    }
}
