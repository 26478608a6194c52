//! The engine over observations, without packets.

use std::sync::Arc;

use super::*;
use crate::base::Address;
use crate::base::FrameRef;
use crate::base::proto;
use crate::flow::Endpoint;
use crate::flow::FlowEnd;
use crate::flow::Handshake;
use crate::judge::catalogue::FindingCode;
use crate::judge::test_support;
use crate::judge::test_support::host;

const CLIENT: Address = Address::v4([10, 1, 0, 4]);
const RESOLVER: Address = Address::v4([10, 1, 0, 53]);
const SERVER: Address = Address::v4([20, 60, 0, 4]);
const STORAGE: &str = "contosofs.file.core.windows.net";

/// The rows of flows.
#[derive(Default)]
struct Rows(Vec<FlowRow>);

impl RowSink for Rows {
    fn flow(&mut self, row: FlowRow) {
        self.0.push(row);
    }

    fn dns(&mut self, _: DnsRow) {}
}

fn engine(site: &str, limits: JudgeLimits) -> Engine {
    Engine::new(Arc::new(Policy::for_tests(site)), Scope::default(), limits)
}

/// An engine, and the time in milliseconds.
struct Run {
    engine: Engine,
    rows: Rows,
    millis: i64,
}

impl Run {
    fn new(limits: JudgeLimits) -> Run {
        Run { engine: engine("", limits), rows: Rows::default(), millis: 0 }
    }

    fn at_site(site: &str) -> Run {
        Run { engine: engine(site, JudgeLimits::default()), rows: Rows::default(), millis: 0 }
    }

    fn add(&mut self, slot: u32, fact: Fact) {
        self.millis += 1;
        let time = Time(self.millis * 1_000_000);
        let at = At { order: self.millis as u64, frame: FrameRef::default(), time };
        let observation = Observation { at, slot: Slot(slot), opened: 0, fact };
        self.engine.accept(observation, &mut self.rows);
    }

    fn start(&mut self, slot: u32, protocol: u8, server: Address, port: u16) {
        let client = Endpoint { address: CLIENT, port: 50_000 };
        let flow = test_support::flow_state(protocol, client, Endpoint { address: server, port });
        self.add(slot, Fact::FlowStarted(flow.flow_start));
    }

    fn resolve(&mut self, slot: u32, name: &str, rcode: u16, addresses: &[Address]) {
        let resolution = test_support::resolution(name, Some(rcode), addresses);
        self.add(slot, Fact::DnsResolved(Box::new(resolution)));
    }

    /// A TLS flow with this SNI and payload in both directions.
    fn tls(&mut self, slot: u32, name: &str, version: u64) {
        self.tls_named_by(slot, NameSource::Sni, name, version);
    }

    fn tls_named_by(&mut self, slot: u32, source: NameSource, name: &str, version: u64) {
        self.start(slot, proto::TCP, SERVER, 443);
        self.add(slot, Fact::Protocol(crate::read::App("tls")));
        let claim = Claim { source, name: host(name), port: None, outer: false };
        self.add(slot, Fact::NameClaimed(claim));
        self.add(slot, Fact::Attribute(AttributeKey::TlsVersion, AttributeValue::Number(version)));
        let now = Time(self.millis * 1_000_000);
        let mut flow_end = test_support::flow_end(now, now);
        (flow_end.bytes, flow_end.tcp) = ([500, 5_000], Some(test_support::tcp_summary(Handshake::Complete)));
        self.add(slot, Fact::FlowEnded(Box::new(flow_end)));
    }

    fn codes(&mut self) -> Vec<FindingCode> {
        self.engine.rotate().findings.iter().map(|row| row.code).collect()
    }
}

/// Names that are evicted from the name table are equal to themselves afterwards.
#[test]
fn evicted_names_neither_contradict_nor_stay_unresolved() {
    let mut run = Run::new(JudgeLimits { name_bytes: 1 << 20, ..JudgeLimits::default() });
    run.start(0, proto::UDP, RESOLVER, 53);
    run.resolve(0, "westeurope01.afs.azure.net", 3, &[]);
    run.resolve(0, STORAGE, 0, &[SERVER]);
    let other = Address::v4([203, 0, 113, 9]);
    for number in 0..2_000 {
        run.resolve(0, &format!("host{number}.vendor.example"), 3, &[]);
    }
    assert!(run.engine.pressed().0 > 0, "names were evicted");
    run.tls(1, STORAGE, 0x0304);
    run.resolve(0, "westeurope01.afs.azure.net", 0, &[other]);
    let codes = run.codes();
    assert!(codes.is_empty(), "{codes:?}");
}

#[test]
fn a_contradiction_and_a_failed_name_are_findings() {
    let mut run = Run::new(JudgeLimits::default());
    run.start(0, proto::UDP, RESOLVER, 53);
    run.resolve(0, "westeurope01.afs.azure.net", 3, &[]);
    run.resolve(0, STORAGE, 0, &[SERVER]);
    run.tls(1, "login.microsoftonline.com", 0x0304);
    assert_eq!(run.codes(), [FindingCode::NameDoesNotExist, FindingCode::NameContradiction]);
}

/// A connection may be open for hours; the view of a live run counts what it has reached.
#[test]
fn an_endpoint_that_an_open_flow_reached_is_counted() {
    let mut run = Run::at_site("[site]\nproducts = [\"azure-file-sync\"]\n");
    run.engine.follow_problems();
    run.start(0, proto::TCP, SERVER, 443);
    run.add(0, Fact::Protocol(crate::read::App("tls")));
    let name = host("login.microsoftonline.com");
    run.add(0, Fact::NameClaimed(Claim { source: NameSource::Sni, name, port: None, outer: false }));
    run.add(0, Fact::Attribute(AttributeKey::TlsVersion, AttributeValue::Number(0x0304)));
    let now = Time(run.millis * 1_000_000);
    run.engine.heartbeat(now, 0, &mut run.rows);
    assert_eq!(run.engine.met().0, 0);
    let mut flow_end = test_support::flow_end(now, now);
    (flow_end.reason, flow_end.bytes) = (crate::flow::EndReason::Idle, [500, 5_000]);
    flow_end.tcp = Some(test_support::tcp_summary(Handshake::Complete));
    run.add(0, Fact::Interim(Box::new(flow_end.clone())));
    // Two rows document this name.
    assert_eq!(run.engine.met().0, 2);
    run.add(0, Fact::FlowEnded(Box::new(flow_end)));
    assert_eq!(run.engine.met().0, 2);
}

/// Checks see what the readers reported; the row is built after them.
#[test]
fn checks_see_the_facts_of_the_flow() {
    let mut run = Run::new(JudgeLimits::default());
    run.tls(0, STORAGE, 0x0301);
    assert_eq!(run.rows.0[0].findings.as_slice(), [FindingCode::ServerTlsTooOld]);
    assert_eq!(run.rows.0[0].tls_version, Some(0x0301));
    assert_eq!(run.codes(), [FindingCode::ServerTlsTooOld]);
}

#[test]
fn a_fact_without_a_flow_is_counted() {
    let mut run = Run::new(JudgeLimits::default());
    run.add(7, Fact::Protocol(crate::read::App("tls")));
    let result = run.engine.rotate();
    assert_eq!(result.bounds, ["flows: 1 fact without a flow was discarded"]);
    assert!(run.engine.rotate().bounds.is_empty());
}

#[test]
fn a_rotation_starts_new_counts_and_keeps_names() {
    let mut run = Run::new(JudgeLimits::default());
    run.start(0, proto::UDP, RESOLVER, 53);
    run.resolve(0, STORAGE, 0, &[SERVER]);
    assert_eq!(run.engine.rotate().tally.dns, 1);
    run.tls(1, STORAGE, 0x0304);
    let result = run.engine.rotate();
    assert_eq!((result.tally.dns, result.tally.judged), (0, 1));
    assert_eq!(run.rows.0[0].dns_name.as_ref().map(|name| name.as_str()), Some(STORAGE));
}

#[test]
fn a_certificate_names_a_flow_without_other_names() {
    let mut run = Run::new(JudgeLimits::default());
    run.tls_named_by(0, NameSource::Certificate, STORAGE, 0x0304);
    let row = &run.rows.0[0];
    assert_eq!(row.name.as_ref().map(|name| name.as_str()), Some(STORAGE));
    assert_eq!(row.name_source, Some(NameSource::Certificate));
}

/// A certificate has the names of all of its server's sites.
#[test]
fn a_certificate_contradicts_no_response() {
    let mut run = Run::new(JudgeLimits::default());
    run.start(0, proto::UDP, RESOLVER, 53);
    run.resolve(0, STORAGE, 0, &[SERVER]);
    run.tls_named_by(1, NameSource::Certificate, "login.microsoftonline.com", 0x0304);
    assert_eq!(run.rows.0[0].name_source, Some(NameSource::Dns));
    assert!(run.codes().is_empty());
}

/// The server resets what it has answered in full.
#[test]
fn a_flow_that_succeeded_has_no_tampering_stage() {
    let stage = |bytes| {
        let mut run = Run::new(JudgeLimits::default());
        run.start(0, proto::TCP, SERVER, 443);
        let mut tcp = test_support::tcp_summary(Handshake::Complete);
        (tcp.sides[0].data_segments, tcp.sides[1].resets) = (1, 1);
        let mut flow_end = test_support::flow_end(Time(0), Time(1_000_000));
        (flow_end.bytes, flow_end.tcp) = (bytes, Some(tcp));
        run.add(0, Fact::FlowEnded(Box::new(flow_end)));
        run.rows.0[0].tampering_stage
    };
    assert_eq!(stage([500, 0]), Some("psh>rst"));
    assert_eq!(stage([500, 500]), None);
}

/// A TCP flow between two addresses: the codes of its findings, and whether it was judged.
fn judged(
    client: &str,
    server: &str,
    change: impl FnOnce(&mut FlowStart, &mut FlowEnd),
) -> (Vec<FindingCode>, bool) {
    let mut run = Run::new(JudgeLimits::default());
    let end = |address: &str, port| {
        let address = Address::from(address.parse::<std::net::IpAddr>().unwrap());
        Endpoint { address, port }
    };
    let mut flow_start =
        test_support::flow_state(proto::TCP, end(client, 50_000), end(server, 443)).flow_start;
    let mut flow_end = test_support::flow_end(Time(0), Time(1_000_000));
    flow_end.tcp = Some(test_support::tcp_summary(Handshake::Complete));
    change(&mut flow_start, &mut flow_end);
    run.add(0, Fact::FlowStarted(flow_start));
    run.add(0, Fact::FlowEnded(Box::new(flow_end)));
    let row = &run.rows.0[0];
    (row.findings.to_vec(), row.destination_verdict.is_some())
}

#[test]
fn inbound_connections_are_those_that_were_accepted_and_seen_from_their_start() {
    let inbound = |change: fn(&mut FlowStart, &mut FlowEnd)| {
        judged("203.0.113.9", "10.1.0.4", change).0.contains(&FindingCode::InboundConnection)
    };
    assert!(inbound(|_, _| ()));
    assert!(inbound(|_, end| end.tcp = Some(test_support::tcp_summary(Handshake::HalfOpen))));
    assert!(!inbound(|start, _| start.from_start = false));
    assert!(!inbound(|_, end| end.tcp = Some(test_support::tcp_summary(Handshake::Refused))));
    assert!(!inbound(|_, end| end.tcp = Some(test_support::tcp_summary(Handshake::Unanswered))));
}

/// Packets of the server alone may belong to a connection that it opened.
#[test]
fn a_flow_without_packets_of_its_client_is_not_judged() {
    assert!(judged("10.1.0.4", "20.60.0.4", |_, _| ()).1);
    assert!(!judged("10.1.0.4", "20.60.0.4", |_, end| end.packets = [0, 9]).1);
}

#[test]
fn a_client_that_refused_and_succeeded_later_is_compared() {
    let mut run = Run::new(JudgeLimits::default());
    run.start(0, proto::TCP, SERVER, 443);
    run.add(0, Fact::Protocol(crate::read::App("tls")));
    run.add(
        0,
        Fact::NameClaimed(Claim { source: NameSource::Sni, name: host(STORAGE), port: None, outer: false }),
    );
    run.add(
        0,
        Fact::Status(crate::read::AppStatus::Alert {
            by: crate::base::Side::Client,
            fatal: true,
            description: 40,
        }),
    );
    let now = Time(run.millis * 1_000_000);
    let mut flow_end = test_support::flow_end(now, now);
    (flow_end.bytes, flow_end.tcp) = ([500, 500], Some(test_support::tcp_summary(Handshake::Complete)));
    run.add(0, Fact::FlowEnded(Box::new(flow_end)));
    run.tls(1, STORAGE, 0x0304);
    let findings = run.engine.rotate().findings;
    assert_eq!(findings[0].code, FindingCode::TlsRefusedByClient);
    assert!(findings[0].message.contains("it worked later"), "{}", findings[0].message);
}

#[test]
fn private_endpoints_are_compared_with_what_the_site_declares() {
    let codes = |site: &str, name: &str| {
        let mut run = Run::at_site(site);
        run.tls(0, name, 0x0304);
        run.rows.0[0].findings.to_vec()
    };
    let declared = "[private-endpoints]\nnetworks = [\"10.9.0.0/24\"]\n";
    assert_eq!(codes(declared, STORAGE), [FindingCode::PublicDespitePrivateEndpoints]);
    // A proxy's address says nothing of the name that is requested from it.
    let proxy = format!("{declared}[proxy]\naddresses = [\"20.60.0.4:443\"]\n");
    assert_eq!(codes(&proxy, STORAGE), []);
    // Seen from outside of the virtual network, the private zone leads to the public address.
    let in_zone = "contosofs.privatelink.file.core.windows.net";
    assert!(codes(declared, in_zone).contains(&FindingCode::PrivateEndpointBypassed));
    assert!(!codes("", in_zone).contains(&FindingCode::PrivateEndpointBypassed));
}

#[test]
fn the_proxy_itself_bypasses_no_proxy() {
    let codes = |proxy: &str| {
        let mut run = Run::at_site(&format!("[proxy]\naddresses = [\"{proxy}:8080\"]\n"));
        run.tls(0, STORAGE, 0x0304);
        run.rows.0[0].findings.to_vec()
    };
    assert_eq!(codes("10.1.0.8"), [FindingCode::ProxyBypassed]);
    assert_eq!(codes("10.1.0.4"), []);
}

#[test]
fn a_name_outside_of_the_service_tags_needs_an_answer_and_tags_of_its_cloud() {
    let codes = |cloud: &str, handshake| {
        let mut policy = Policy::for_tests("");
        policy.tags = Some(test_support::tags(cloud).into());
        let engine = Engine::new(Arc::new(policy), Scope::default(), JudgeLimits::default());
        let mut run = Run { engine, rows: Rows::default(), millis: 0 };
        run.start(0, proto::TCP, Address::v4([203, 0, 113, 9]), 443);
        let name = host("westus01.afs.azure.net");
        run.add(0, Fact::NameClaimed(Claim { source: NameSource::Sni, name, port: None, outer: false }));
        let mut flow_end = test_support::flow_end(Time(0), Time(1_000_000));
        (flow_end.bytes, flow_end.tcp) = ([500, 500], Some(test_support::tcp_summary(handshake)));
        run.add(0, Fact::FlowEnded(Box::new(flow_end)));
        let is_it = |code: &&FindingCode| {
            matches!(code, FindingCode::NameAtForeignAddress | FindingCode::NameOutsideServiceTags)
        };
        run.rows.0[0].findings.iter().filter(is_it).count()
    };
    assert_eq!(codes("Public", Handshake::Complete), 1);
    assert_eq!(codes("Public", Handshake::Unanswered), 0);
    assert_eq!(codes("AzureChinaCloud", Handshake::Complete), 0);
}

#[test]
fn queries_are_compared_with_the_resolvers_and_the_proxy_of_the_site() {
    let codes = |site: &str, name: &str| {
        let mut run = Run::at_site(site);
        run.start(0, proto::UDP, RESOLVER, 53);
        run.resolve(0, name, 0, &[SERVER]);
        run.codes()
    };
    let resolvers = |address: &str| format!("[dns]\nresolvers = [\"{address}\"]\n");
    assert_eq!(codes(&resolvers("10.1.0.53"), STORAGE), []);
    assert_eq!(codes(&resolvers("10.1.0.54"), STORAGE), [FindingCode::UndeclaredResolver]);
    // The audited host is the resolver.
    assert_eq!(codes(&resolvers("10.1.0.4"), STORAGE), []);

    let message = |query_frame| {
        let mut run = Run::at_site(&resolvers("10.1.0.54"));
        run.start(0, proto::UDP, RESOLVER, 53);
        let resolution = Resolution { query_frame, ..test_support::resolution(STORAGE, Some(0), &[SERVER]) };
        run.add(0, Fact::DnsResolved(Box::new(resolution)));
        run.engine.rotate().findings[0].message.clone()
    };
    assert!(message(Some(FrameRef::default())).starts_with("10.1.0.4 queried 10.1.0.53 for "));
    assert!(
        message(None).starts_with("10.1.0.53 sent 10.1.0.4 a response for "),
        "no query is in the capture"
    );

    let proxy = |address: &str| format!("[proxy]\naddresses = [\"{address}:8080\"]\n");
    assert_eq!(codes(&proxy("10.1.0.8"), STORAGE), [FindingCode::DirectLookup]);
    assert_eq!(codes(&proxy("10.1.0.8"), "intranet.example"), []);
    assert_eq!(codes(&proxy("10.1.0.4"), STORAGE), []);
    // Private endpoints are reached without the proxy.
    let private = format!("{}[private-endpoints]\nnetworks = [\"10.9.0.0/24\"]\n", proxy("10.1.0.8"));
    assert_eq!(codes(&private, STORAGE), []);
}

#[test]
fn a_name_that_is_resolved_again_and_never_used_is_reported() {
    let is_reported = |apart: i64, after: i64, connect: &dyn Fn(&mut Run)| {
        let mut run = Run::new(JudgeLimits::default());
        run.start(0, proto::UDP, RESOLVER, 53);
        run.resolve(0, STORAGE, 0, &[SERVER]);
        run.millis += apart;
        run.resolve(0, STORAGE, 0, &[SERVER]);
        connect(&mut run);
        run.millis += after;
        // A flow to another address: the host is audited, and the capture goes on.
        run.start(9, proto::TCP, Address::v4([203, 0, 113, 9]), 443);
        let flow_end = test_support::flow_end(Time(run.millis), Time(run.millis));
        run.add(9, Fact::FlowEnded(Box::new(flow_end)));
        run.codes().contains(&FindingCode::ResolvedNeverConnected)
    };
    assert!(is_reported(2_000, 6_000, &|_| ()));
    assert!(!is_reported(500, 6_000, &|_| ()));
    assert!(!is_reported(2_000, 4_000, &|_| ()));
    assert!(!is_reported(2_000, 6_000, &|run| run.tls(1, STORAGE, 0x0304)));
    // A proxy may have used it.
    let through_proxy = |run: &mut Run| {
        run.start(1, proto::TCP, Address::v4([10, 1, 0, 8]), 8080);
        let name = host("login.microsoftonline.com");
        run.add(
            1,
            Fact::NameClaimed(Claim { source: NameSource::Connect, name, port: Some(443), outer: false }),
        );
        run.add(1, Fact::FlowEnded(Box::new(test_support::flow_end(Time(run.millis), Time(run.millis)))));
    };
    assert!(!is_reported(2_000, 6_000, &through_proxy));
}

/// The run is of 1970.
#[test]
fn exceptions_that_expired_or_allowed_nothing_are_reported() {
    let codes = |name: &str, expires: &str| {
        let site = format!("[[allow]]\nname = \"{name}\"\nreason = \"backup\"\nexpires = {expires}\n");
        let mut run = Run::at_site(&site);
        run.tls(0, "backup.example", 0x0304);
        run.codes()
    };
    assert_eq!(codes("backup.example", "2027-01-31"), []);
    assert_eq!(
        codes("other.example", "2027-01-31"),
        [FindingCode::UndocumentedDestination, FindingCode::ExceptionUnused]
    );
    assert_eq!(
        codes("backup.example", "1969-01-31"),
        [FindingCode::ExceptionExpired, FindingCode::UndocumentedDestination]
    );
}

#[test]
fn a_missing_record_in_a_private_zone_is_named() {
    let mut run = Run::new(JudgeLimits::default());
    run.start(0, proto::UDP, RESOLVER, 53);
    let mut resolution = test_support::resolution(STORAGE, Some(3), &[]);
    let alias = host("contosofs.privatelink.file.core.windows.net");
    let data = crate::read::AnswerData::Name(alias);
    resolution.answers.push(crate::read::Answer { owner: host(STORAGE), kind: 5, ttl: 60, data });
    run.add(0, Fact::DnsResolved(Box::new(resolution)));
    let findings = run.engine.rotate().findings;
    assert_eq!(findings[0].code, FindingCode::NameDoesNotExist);
    assert!(findings[0].message.contains("the private DNS zone has no record"), "{}", findings[0].message);
    assert!(findings[0].recommendation.contains("private DNS zone"), "{}", findings[0].recommendation);
}
