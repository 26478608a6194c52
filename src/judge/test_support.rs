//! Flows for unit tests.

use smallvec::SmallVec;

use crate::base::Address;
use crate::base::FrameRef;
use crate::base::HostName;
use crate::base::Time;
use crate::base::proto;
use crate::flow::EndReason;
use crate::flow::Endpoint;
use crate::flow::FlowEnd;
use crate::flow::FlowStart;
use crate::flow::Handshake;
use crate::flow::SideSummary;
use crate::flow::TcpSummary;
use crate::judge::assessment::Assessment;
use crate::judge::flow_state::FlowState;
use crate::judge::rows::FlowRow;
use crate::judge::vocabulary::DestinationVerdict;
use crate::judge::vocabulary::PortVerdict;
use crate::read::Answer;
use crate::read::AnswerData;
use crate::read::AttributeSets;
use crate::read::Resolution;
use crate::rules::Tags;

pub(super) fn host(name: &str) -> HostName {
    HostName::from_wire_text(name.as_bytes()).unwrap()
}

/// The response to an A query that was sent once; none where `rcode` is none.
pub(super) fn resolution(name: &str, rcode: Option<u16>, addresses: &[Address]) -> Resolution {
    let record = |address: &Address| Answer {
        owner: host(name),
        kind: 1,
        ttl: 60,
        data: AnswerData::Address(*address),
    };
    Resolution {
        opcode: 0,
        query_name: host(name),
        query_type: 1,
        query_frame: Some(FrameRef::default()),
        query_time: Some(Time::MIN),
        query_count: 1,
        last_query_time: None,
        rcode,
        answers: addresses.iter().map(record).collect(),
        truncated: false,
        damaged: false,
        unread_answers: 0,
        extended_error: None,
        multicast: false,
    }
}

/// A flow that has just started, outside of any VLAN or tunnel.
pub(super) fn flow_state(protocol: u8, client: Endpoint, server: Endpoint) -> FlowState {
    let flow_start = FlowStart {
        client,
        server,
        protocol,
        from_start: true,
        icmp: None,
        vlan: "".into(),
        tunnel: "".into(),
        process: None,
        sent: None,
        translated: None,
    };
    FlowState {
        number: 1,
        flow_start: Box::new(flow_start),
        app: "",
        dns: None,
        dns_is_other_clients: false,
        facts: None,
        seen_at: None,
    }
}

/// The end of a flow with nine packets in each direction and no payload.
pub(super) fn flow_end(first_seen: Time, last_seen: Time) -> FlowEnd {
    FlowEnd {
        reason: EndReason::Done,
        first_frame: FrameRef::default(),
        last_frame: FrameRef::default(),
        first_seen,
        last_seen,
        packets: [9, 9],
        bytes: [0, 0],
        is_cut: false,
        tcp: None,
        icmp: None,
        host_drops: None,
    }
}

/// A TCP conversation with a SYN-ACK and nothing else.
pub(super) fn tcp_summary(handshake: Handshake) -> TcpSummary {
    TcpSummary {
        handshake,
        sides: [SideSummary::default(), SideSummary::default()],
        initial: [None, None],
        client_ttl: 0,
        syn_frame: None,
        syn_ack_frame: Some(FrameRef::default()),
        first_data_frame: None,
        first_data_time: None,
        client_close_time: None,
        client_close_frame: None,
        server_close_frame: None,
        gap_time: None,
        reset_frame: None,
        reset_time: None,
        handshake_rtt: 0,
        simultaneous_open: false,
        ended_after_idle: false,
    }
}

/// The row of a documented flow with payload in both directions.
pub(super) fn flow_row(client: Address, server: Address, first_seen: Time) -> FlowRow {
    FlowRow {
        flow_id: 1,
        first_frame: FrameRef::default(),
        last_frame: FrameRef::default(),
        first_seen,
        last_seen: first_seen,
        protocol: proto::TCP,
        client: Endpoint { address: client, port: 50_000 },
        server: Endpoint { address: server, port: 443 },
        vlan: "".into(),
        tunnel: "".into(),
        process: None,
        translated: None,
        app: "tls",
        name: None,
        name_source: None,
        sni: None,
        dns_name: None,
        alpn: None,
        tls_version: None,
        ech: false,
        attributes: AttributeSets::default(),
        tls_cipher: None,
        tls_resumed: false,
        client_hello_cut: false,
        quic_version: None,
        rare: None,
        packets: [9, 9],
        bytes: [500, 5_000],
        destination_verdict: Some(DestinationVerdict::Documented),
        port_verdict: Some(PortVerdict::Https),
        assessment: Assessment::Ok,
        documented: None,
        http: None,
        tampering_stage: None,
        findings: SmallVec::new(),
        evidence: SmallVec::new(),
        service_tags: None,
        address_evidence: None,
        points: None,
        further_flows: 0,
        requested_port: None,
    }
}

/// Service tags of a cloud: `20.60.0.0/24` is of Azure File Sync, and `20.0.0.0/8` of the cloud.
pub(super) fn tags(cloud: &str) -> Tags {
    let tag = |name: &str, prefix: &str| {
        format!(
            "{{\"name\":\"{name}\",\"id\":\"{name}\",\"properties\":{{\"changeNumber\":1,\"region\":\"\",\"systemService\":\"\",\
             \"addressPrefixes\":[\"{prefix}\"],\"networkFeatures\":null}}}}"
        )
    };
    let values = [tag("StorageSyncService", "20.60.0.0/24"), tag("AzureCloud", "20.0.0.0/8")].join(",");
    let text = format!("{{\"changeNumber\":1,\"cloud\":\"{cloud}\",\"values\":[{values}]}}");
    Tags::parse("tags.json", text.as_bytes()).unwrap()
}
