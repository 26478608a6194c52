//! Tests of the checks: for each, a flow that has the finding, and one that differs in what the check depends on.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::LazyLock;
use std::sync::Mutex;
use std::sync::PoisonError;

use super::*;
use crate::base::Address;
use crate::base::Side;
use crate::base::Time;
use crate::base::WireText;
use crate::base::proto;
use crate::flow::Endpoint;
use crate::flow::Handshake;
use crate::judge::catalogue::InconclusiveReason;
use crate::judge::catalogue::Mechanism;
use crate::judge::diagnosis::app_label::app_label;
use crate::judge::flow_state::NameClaim;
use crate::judge::policy::name_table::Contradiction;
use crate::judge::policy::name_table::NameTable;
use crate::judge::policy::service_tags::TagSets;
use crate::judge::policy::verdict::verdict;
use crate::judge::rows::FindingRow;
use crate::judge::test_support;
use crate::judge::vocabulary::Confidence;
use crate::judge::vocabulary::Severity;
use crate::read::AppStatus;
use crate::read::AttributeKey;
use crate::read::AttributeValue;
use crate::read::NameSource;

use FindingCode::*;

/// 2024-10-04.
const TIME: Time = Time(20_000 * 86_400 * 1_000_000_000);
const STORAGE: &str = "contosofs.file.core.windows.net";
const SYNC: &str = "westus01.afs.azure.net";
const SITE: &str =
    "[azure-file-sync]\nregion = \"West US\"\nredundancy = \"LRS\"\nstorage-accounts = [\"contosofs\"]\n";

/// A flow of the audited server 10.1.0.4 that worked.
struct TestFlow {
    policy: Arc<Policy>,
    names: NameTable,
    state: FlowState,
    flow_end: FlowEnd,
    assessment: Assessment,
    has_unknown_issuer: bool,
}

/// The policy of a site file. Preparing one takes most of the time of a test.
fn policy(site: &str) -> Arc<Policy> {
    static POLICIES: LazyLock<Mutex<HashMap<String, Arc<Policy>>>> = LazyLock::new(Mutex::default);
    let mut policies = POLICIES.lock().unwrap_or_else(PoisonError::into_inner);
    let policy = policies.entry(site.to_owned()).or_insert_with(|| Arc::new(Policy::for_tests(site)));
    Arc::clone(policy)
}

fn endpoint(text: &str) -> Endpoint {
    let end: std::net::SocketAddr = text.parse().unwrap();
    Endpoint { address: Address::from(end.ip()), port: end.port() }
}

/// A TCP connection to `server` with a handshake and payload in both directions.
fn tcp(site: &str, server: &str) -> TestFlow {
    let mut flow_end = test_support::flow_end(TIME, TIME);
    (flow_end.bytes, flow_end.tcp) = ([500, 5_000], Some(test_support::tcp_summary(Handshake::Complete)));
    TestFlow {
        policy: policy(site),
        names: NameTable::new(usize::MAX),
        state: test_support::flow_state(proto::TCP, endpoint("10.1.0.4:50000"), endpoint(server)),
        flow_end,
        assessment: Assessment::Ok,
        has_unknown_issuer: false,
    }
}

/// A TLS connection to `name` at 20.60.0.4.
fn tls(site: &str, name: &str) -> TestFlow {
    tls_at(site, name, "20.60.0.4:443")
}

fn tls_at(site: &str, name: &str, server: &str) -> TestFlow {
    tcp(site, server).app("tls").named(NameSource::Sni, name)
}

impl TestFlow {
    fn from(mut self, client: &str) -> Self {
        self.state.flow_start.client = endpoint(client);
        self
    }

    fn app(mut self, app: &'static str) -> Self {
        self.state.app = app;
        self
    }

    /// The flow is one of another protocol, without a handshake.
    fn protocol(mut self, protocol: u8) -> Self {
        self.state.flow_start.protocol = protocol;
        self.flow_end.tcp = None;
        self
    }

    fn named(mut self, source: NameSource, name: &str) -> Self {
        let known = self.names.look_up(&test_support::host(name), &self.policy);
        let port = (source == NameSource::Connect).then_some(443);
        self.state.add_claim(NameClaim { source, known, port, frame: FrameRef::default() });
        self
    }

    fn attribute(mut self, key: AttributeKey, value: AttributeValue) -> Self {
        self.state.set_attribute(key, &value, &self.policy);
        self
    }

    fn handshake(mut self, handshake: Handshake) -> Self {
        self.flow_end.tcp = Some(test_support::tcp_summary(handshake));
        self
    }

    fn blocked(mut self, mechanism: Mechanism) -> Self {
        self.assessment = Assessment::blocked(mechanism, Confidence::Weak);
        self
    }

    /// The rows of the findings, in the order of the checks.
    fn findings(&self) -> Vec<FindingRow> {
        let tags = TagSets::default().of(self.state.server().address, &self.policy);
        self.findings_of(tags.as_deref(), &Scope::default())
    }

    fn findings_of(&self, tags: Option<&TagSet>, scope: &Scope) -> Vec<FindingRow> {
        let mut verdict = verdict(&self.state, TIME, tags, &self.policy);
        verdict.unknown_issuer = self.has_unknown_issuer;
        let view = FlowView {
            flow: &self.state,
            flow_end: &self.flow_end,
            app: app_label(&self.state),
            assessment: self.assessment,
            verdict: &verdict,
            tags,
            proof: None,
            evidence: SmallVec::new(),
            scope,
            policy: &self.policy,
        };
        let mut findings = Findings::new(100);
        let codes = run(&view, &mut findings);
        let rows = findings.take_rows();
        assert_eq!(rows.len(), codes.len(), "{codes:?}");
        codes
            .iter()
            .map(|code| FindingRow::clone(rows.iter().find(|row| row.code == *code).unwrap()))
            .collect()
    }

    #[track_caller]
    fn check(&self, expected: &[FindingCode]) {
        assert_eq!(codes(&self.findings()), expected);
    }
}

fn codes(findings: &[FindingRow]) -> Vec<FindingCode> {
    findings.iter().map(|row| row.code).collect()
}

#[test]
fn the_documents_decide_about_names_and_ports() {
    tls("", STORAGE).check(&[]);
    tls("", "evil.example").check(&[UndocumentedDestination]);
    tls("[[allow]]\nname = \"evil.example\"\nreason = \"backup\"\nexpires = 2027-01-31\n", "evil.example")
        .check(&[]);
    // What was not reached is one finding: that it was blocked.
    tls("", "evil.example").blocked(Mechanism::TcpUnanswered).check(&[ConnectionUnanswered]);
    let sync_only = "[site]\nproducts = [\"azure-file-sync\"]";
    tls(sync_only, "telemetry.one.microsoft.com").check(&[BroadWildcardOnly]);
    tls_at("", SYNC, "20.60.0.4:8443").check(&[UndocumentedPort]);
    tls_at("", SYNC, "20.60.0.4:8443").blocked(Mechanism::TcpUnanswered).check(&[ConnectionUnanswered]);
    let other_cloud = "[site]\ncloud = \"us-government\"\n";
    tls(other_cloud, "westeurope01.afs.azure.net").check(&[OtherCloud]);
    let other_product = "[site]\ncloud = \"public\"\nproducts = [\"azure-stack-hci\"]\n";
    tls(other_product, "kailani6.one.microsoft.com").check(&[DocumentedElsewhere]);
    tls(other_product, "kailani6.one.microsoft.com")
        .blocked(Mechanism::TcpUnanswered)
        .check(&[ConnectionUnanswered]);
    tls("", "management.azure.com..").check(&[MalformedName]);
}

#[test]
fn a_documented_name_over_udp_443_is_another_transport() {
    let quic = |name| tls("", name).app("quic").protocol(proto::UDP);
    quic(STORAGE).check(&[UndocumentedTransport]);
    quic(STORAGE).blocked(Mechanism::SilentAfterClientHello).check(&[ConnectionUnanswered]);
    quic("evil.example").check(&[UndocumentedDestination]);
}

#[test]
fn unencrypted_http_counts_for_names_that_are_documented_for_https() {
    let http = |name| tcp("", "20.60.0.4:80").app("http").named(NameSource::HttpHost, name);
    http(STORAGE).check(&[CleartextHttp]);
    http("ocsp.msocsp.com").check(&[]);
    http("evil.example").check(&[UndocumentedDestination]);
    // The name of a response, and no request.
    tcp("", "20.60.0.4:80").app("http").named(NameSource::Sni, STORAGE).check(&[UndocumentedPort]);
}

#[test]
fn an_inbound_connection_comes_from_outside_of_the_site() {
    let inbound = |site, client: &str, server: &str| tcp(site, server).from(client);
    let of_private = |client: &str| inbound("", client, "10.1.0.4:445");
    of_private("203.0.113.9:50000").check(&[InboundConnection]);
    of_private("10.9.0.1:50000").check(&[]);
    of_private("168.63.129.16:50000").check(&[]);
    assert_eq!(of_private("203.0.113.9:50000").findings()[0].severity, Severity::Medium);
    let declared = inbound("[site]\nnetworks = [\"192.0.2.0/24\"]\n", "203.0.113.9:50000", "10.1.0.4:445");
    assert_eq!(declared.findings()[0].severity, Severity::High);

    // Without declared networks, a client in the /32 of an IPv6 provider may be the site's own.
    let is_inbound = |site, client: &str| {
        let flow = inbound(site, client, "[2001:db8:1::4]:445");
        let scope = Scope::of(&["2001:db8:1::4/128".parse().unwrap()]);
        codes(&flow.findings_of(None, &scope)).contains(&InboundConnection)
    };
    assert!(!is_inbound("", "[2001:db8:2::9]:50000"));
    assert!(is_inbound("", "[2001:db9:2::9]:50000"));
    let networks = "[site]\nnetworks = [\"2001:db8:1::/48\"]\n";
    assert!(is_inbound(networks, "[2001:db8:2::9]:50000"));
    assert!(!is_inbound(networks, "[2001:db8:1::9]:50000"));
}

#[test]
fn an_address_without_a_name_is_unidentified() {
    let nameless = |app| tcp("", "20.60.0.4:443").app(app);
    nameless("tls").check(&[UnidentifiedDestination]);
    nameless("dns").check(&[NotTlsOn443]);
    nameless("tls").blocked(Mechanism::TcpUnanswered).check(&[ConnectionUnanswered]);
    nameless("tls").handshake(Handshake::Unseen).check(&[]);
    nameless("tls").protocol(proto::UDP).check(&[]);
    let mut cut = nameless("tls");
    cut.flow_end.is_cut = true;
    cut.check(&[]);
}

#[test]
fn names_of_one_flow_agree() {
    let contradicted = |mut flow: TestFlow| {
        let other = flow.names.look_up(&test_support::host("login.microsoftonline.com"), &flow.policy);
        flow.state.facts_mut().contradiction = Some(Contradiction { other, is_unanswered: false });
        flow
    };
    contradicted(tls("", STORAGE)).check(&[NameContradiction]);
    let through_proxy = |name, sni| {
        tcp("", "10.1.0.8:8080").app("tls").named(NameSource::Connect, name).named(NameSource::Sni, sni)
    };
    through_proxy(STORAGE, SYNC).check(&[NameContradiction]);
    through_proxy(STORAGE, STORAGE).check(&[]);
    // DNS resolved the name of the proxy.
    contradicted(through_proxy(STORAGE, STORAGE)).check(&[]);
    // Clients of a proxy may request an address.
    through_proxy("20.60.0.4", STORAGE).check(&[]);
}

#[test]
fn port_443_is_for_tls() {
    tls("", STORAGE).app("ssh").check(&[NotTlsOn443]);
    // The middle of a conversation is not identified.
    tls("", STORAGE).app("").check(&[]);
    tls_at("", "evil.example", "20.60.0.4:22").app("ssh").check(&[UndocumentedDestination]);
}

#[test]
fn tls_of_documented_names_is_1_2_or_newer_with_an_accepted_cipher_suite() {
    let number = AttributeValue::Number;
    let offered = |name, version| tls("", name).attribute(AttributeKey::TlsOffered, number(version));
    offered(STORAGE, 0x0302).check(&[ClientTlsTooOld]);
    offered(STORAGE, 0x0303).check(&[]);
    offered("evil.example", 0x0302).check(&[UndocumentedDestination]);
    // DTLS 1.2 counts down from 0xfeff.
    offered(STORAGE, 0xfefd).check(&[]);
    let chosen = |version| tls("", STORAGE).attribute(AttributeKey::TlsVersion, number(version));
    chosen(0x0302).check(&[ServerTlsTooOld]);
    chosen(0x0303).check(&[]);
    // TLS_RSA_WITH_AES_128_CBC_SHA256, which no document lists; TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256.
    let suites = |name, version, suites: &[u16]| {
        offered(name, version).attribute(AttributeKey::TlsCiphers, AttributeValue::Codes(suites.into()))
    };
    suites(SYNC, 0x0303, &[0x003c]).check(&[NoAcceptedCipherSuite]);
    suites(SYNC, 0x0303, &[0x003c, 0xc02f]).check(&[]);
    suites(SYNC, 0x0304, &[0x003c]).check(&[]);
}

#[test]
fn a_certificate_comes_from_a_known_issuer() {
    let mut flow = tls("", STORAGE);
    flow.has_unknown_issuer = true;
    flow.check(&[UnknownIssuer]);
}

/// Each mechanism that a flow can have is reported as its finding, where the flow is judged.
#[test]
fn each_mechanism_of_a_flow_is_reported_as_its_finding() {
    let of_flows: Vec<FindingCode> = blocked::CHECKS.iter().map(|check| check.code).collect();
    let mut seen = Vec::new();
    for mechanism in
        Mechanism::ALL.iter().copied().filter(|mechanism| of_flows.contains(&mechanism.finding()))
    {
        let findings = tls("", STORAGE).blocked(mechanism).findings();
        assert_eq!(findings.len(), 1, "{mechanism}");
        assert_eq!((findings[0].code, findings[0].mechanism), (mechanism.finding(), Some(mechanism)));
        assert_eq!(findings[0].confidence, Some(Confidence::Weak), "{mechanism}");
        seen.push(mechanism.finding());
        // Inside the site, on a port that no document has.
        tcp("", "10.9.0.1:9999").blocked(mechanism).check(&[]);
    }
    assert!(of_flows.iter().all(|code| seen.contains(code)), "a check without a mechanism");
    let mut doubtful = tls("", STORAGE);
    doubtful.assessment = Assessment::inconclusive(InconclusiveReason::OneSidedCapture);
    doubtful.check(&[]);
}

#[test]
fn what_to_do_about_a_proxy_depends_on_its_status() {
    let recommendation = |code| {
        let mut flow = tcp("", "10.1.0.8:8080").named(NameSource::Connect, STORAGE);
        flow.state.add_status(AppStatus::Status { code, connect: true }, FrameRef::default());
        let row = flow.blocked(Mechanism::ProxyRefused).findings().remove(0);
        assert_eq!(row.code, ProxyRefused);
        assert!(row.message.contains(&format!("the proxy responded {code}")), "{}", row.message);
        row.recommendation
    };
    assert!(recommendation(403).contains("rules of the proxy"));
    assert!(recommendation(502).contains("DNS resolver"));
}

#[test]
fn a_proxy_that_refuses_the_client_has_refused_no_destination() {
    let proxy = "[proxy]\naddresses = [\"10.1.0.8:1080\"]\n";
    let row = tcp(proxy, "10.1.0.8:1080").app("socks").blocked(Mechanism::ProxyRefused).findings().remove(0);
    assert_eq!(row.code, ProxyRefused);
    assert!(
        row.message.contains("refused by the proxy 10.1.0.8:1080 before it had requested"),
        "{}",
        row.message
    );
    assert!(row.recommendation.contains("authentication"), "{}", row.recommendation);
}

#[test]
fn a_host_that_drops_is_named_with_the_direction_and_the_reason() {
    let message = |sender| {
        let mut flow = tls("", STORAGE);
        flow.flow_end.host_drops = Some(Box::new(crate::flow::HostDrops {
            frame: FrameRef::default(),
            packets: [3, 2],
            sender,
            first: crate::base::HostDrop {
                component: WireText::new(b"wfplwfs.sys", 20),
                reason: crate::base::DropReason(206),
            },
        }));
        flow.blocked(Mechanism::DroppedByHost).findings().remove(0).message
    };
    assert!(
        message(Side::Client).contains("dropped 3 packets to it: wfplwfs.sys, "),
        "{}",
        message(Side::Client)
    );
    assert!(message(Side::Server).contains("dropped 2 packets from it"), "{}", message(Side::Server));
}

#[test]
fn a_flow_without_a_reply_whose_packets_the_host_dropped_points_to_the_host() {
    let finding = |reason, dropped| {
        let mut flow = tls("", STORAGE);
        flow.flow_end.packets = [3, 0];
        flow.flow_end.host_drops = Some(Box::new(crate::flow::HostDrops {
            frame: FrameRef::default(),
            packets: [dropped, 0],
            sender: Side::Client,
            first: crate::base::HostDrop {
                component: WireText::new(b"tcpip.sys", 20),
                reason: crate::base::DropReason(reason),
            },
        }));
        flow.blocked(Mechanism::TcpUnanswered).findings().remove(0)
    };
    const NO_ROUTE: u32 = 907;
    let row = finding(NO_ROUTE, 3);
    assert!(row.message.contains("reports that it dropped them: tcpip.sys, NL_NoRoute"), "{}", row.message);
    assert!(row.recommendation.starts_with("look at this host first"), "{}", row.recommendation);
    for row in [finding(NO_ROUTE, 1), finding(1217, 3)] {
        assert!(!row.message.contains("dropped"), "{}", row.message);
        assert!(!row.recommendation.contains("this host"), "{}", row.recommendation);
    }
}

#[test]
fn instances_are_those_of_the_sites_region() {
    let west = |site: &str| format!("[azure-file-sync]\nregion = \"West US\"\nredundancy = \"LRS\"\n{site}");
    tls(&west(""), SYNC).check(&[]);
    tls(&west(""), "westeurope01.afs.azure.net").check(&[OtherRegion]);
    let allow =
        "[[allow]]\nname = \"westeurope01.afs.azure.net\"\nreason = \"migration\"\nexpires = 2027-01-31\n";
    tls(&west(allow), "westeurope01.afs.azure.net").check(&[]);
    let italy = "[site]\nproducts = [\"azure-file-sync\"]\n[azure-file-sync]\nregion = \"Italy North\"\n";
    tls(italy, "italynorth01.afs.azure.net").check(&[UnlistedRegion]);
}

#[test]
fn an_address_of_another_regions_tag_counts_for_servers_without_a_name_and_for_own_accounts() {
    let site =
        "[azure-file-sync]\nregion = \"West US\"\nredundancy = \"LRS\"\nstorage-accounts = [\"contosofs\"]\n";
    let tags = |region: Option<&str>, storage_region: Option<&str>| TagSet {
        text: "StorageSyncService.WestEurope".into(),
        bits: 1,
        documented: Some(Arc::default()),
        other_region: region.map(Into::into),
        other_storage_region: storage_region.map(Into::into),
    };
    let codes = |flow: TestFlow, tags: &TagSet| codes(&flow.findings_of(Some(tags), &Scope::default()));
    let nameless = || tcp(site, "20.60.0.4:443").app("tls");
    assert_eq!(codes(nameless(), &tags(Some("West Europe"), None)), [OtherRegion]);
    assert_eq!(codes(nameless(), &tags(None, None)), []);
    let storage = tags(None, Some("West Europe"));
    assert_eq!(codes(tls(site, STORAGE), &storage), [StorageInOtherRegion]);
    assert_eq!(codes(tls(site, "contosofs.blob.core.windows.net"), &storage), []);
    assert_eq!(codes(tls(site, "other.file.core.windows.net"), &storage), [OtherStorageAccount]);
}

#[test]
fn storage_accounts_are_those_that_the_site_declares_over_https() {
    let site = "[azure-file-sync]\nstorage-accounts = [\"contosofs\"]\n";
    tls(site, STORAGE).check(&[]);
    tls(site, "stranger.blob.core.windows.net").check(&[OtherStorageAccount]);
    tls("", "stranger.blob.core.windows.net").check(&[]);
    tls(site, "contosofs-internetrouting.file.core.windows.net").check(&[InternetRouting]);
    tls_at(site, STORAGE, "20.60.0.4:445").app("smb").check(&[UndocumentedPort, SmbToStorage]);
    tls_at(site, SYNC, "20.60.0.4:445").app("smb").check(&[UndocumentedPort]);
}

#[test]
fn private_addresses_need_an_explanation() {
    let private = "10.9.0.5:443";
    let declared = "[private-endpoints]\nnetworks = [\"10.9.0.0/24\"]\n";
    tls_at("", STORAGE, private).check(&[UnexplainedPrivateAddress]);
    tls_at(declared, STORAGE, private).check(&[]);
    tls_at("", "contosofs.privatelink.file.core.windows.net", private).check(&[]);
    // A proxy of the site has a private address.
    let proxy = "[proxy]\naddresses = [\"10.9.0.5:443\"]\n";
    tls_at(proxy, STORAGE, private).check(&[]);

    let stack = "[site]\nproducts = [\"azure-stack-hci\"]\n[azure-stack-hci]\nregion = \"West Europe\"\narc-gateways = [\"0a1b2c3d\"]\n";
    let public_name = "gbl.his.arc.azure.com";
    tls_at(stack, public_name, private).check(&[PrivateAddressOfPublicName]);
    tls_at(stack, public_name, "20.60.0.4:443").check(&[]);
    let with_proxy = format!("{stack}{proxy}");
    tls_at(&with_proxy, public_name, private).check(&[]);
}

#[test]
fn a_declared_proxy_is_used_for_what_is_outside() {
    let proxy = "[proxy]\naddresses = [\"10.1.0.8:8080\"]\n";
    tls(proxy, STORAGE).check(&[ProxyBypassed]);
    tls(proxy, "evil.example").check(&[UndocumentedDestination]);
    // Without a reply, the attempt itself is the fault.
    let nameless = |port| tcp(proxy, &format!("20.60.0.4:{port}")).blocked(Mechanism::TcpUnanswered);
    nameless(80).check(&[ProxyBypassed]);
    nameless(8443).check(&[ConnectionUnanswered]);
    let connect = |server: &str| tcp(proxy, server).named(NameSource::Connect, STORAGE);
    connect("10.1.0.8:8080").check(&[]);
    connect("10.1.0.9:8080").check(&[ProxyBypassed]);
    tls(proxy, STORAGE).from("10.1.0.8:50000").check(&[]);
}

#[test]
fn ports_between_roles_are_those_of_the_tables() {
    let site = "[site]\nproducts = [\"azure-stack-hci\"]\n[roles]\nservers = [\"10.1.0.4\"]\nwindows-admin-center = [\"10.9.0.1\"]\n";
    tcp(site, "10.9.0.1:3389").check(&[UndocumentedRolePort]);
    tcp(site, "10.1.0.4:5985").from("10.9.0.1:50000").check(&[]);
    let opposite = tcp(site, "10.9.0.1:5985").findings().remove(0);
    assert_eq!(opposite.code, UndocumentedRolePort);
    assert!(opposite.message.contains("opposite direction"), "{}", opposite.message);
}

#[test]
fn tunnels_hide_their_contents() {
    let to = |server: &str| tcp("", server);
    to("203.0.113.1:0").protocol(proto::GRE).check(&[OpaqueTunnel]);
    to("203.0.113.1:0").protocol(proto::ESP).check(&[OpaqueTunnel]);
    to("203.0.113.1:500").app("ike").protocol(proto::UDP).check(&[OpaqueTunnel]);
    to("203.0.113.1:51820").app("wireguard").protocol(proto::UDP).check(&[OpaqueTunnel]);
    to("224.0.0.5:0").protocol(proto::GRE).check(&[]);
    // Switches mirror in GRE inside the site; an encrypted tunnel inside it hides its contents all the same.
    to("10.9.0.1:0").protocol(proto::GRE).check(&[]);
    to("10.9.0.1:0").protocol(proto::ESP).check(&[OpaqueTunnel]);
}

#[test]
fn names_are_at_addresses_of_their_service_tags() {
    // The tags have 20.60.0.0/24 for Azure File Sync and 20.0.0.0/8 for the cloud.
    let with_tags = |cloud| {
        let mut policy = Policy::for_tests(SITE);
        policy.tags = Some(test_support::tags(cloud).into());
        Arc::new(policy)
    };
    let (public, china) = (with_tags("Public"), with_tags("AzureChinaCloud"));
    let with_policy = |policy: &Arc<Policy>, name, server| {
        let flow = TestFlow { policy: Arc::clone(policy), ..tcp(SITE, server) };
        flow.app("tls").named(NameSource::Sni, name)
    };
    let at = |name, server| with_policy(&public, name, server);
    at(SYNC, "20.60.0.4:443").check(&[]);
    at(SYNC, "203.0.113.9:443").check(&[NameAtForeignAddress]);
    at(SYNC, "20.70.0.4:443").check(&[NameOutsideItsTags]);
    at("graph.microsoft.com", "203.0.113.9:443").check(&[NameOutsideServiceTags]);
    // A reset by a device on the path comes from an address that no tag has.
    at(SYNC, "20.70.0.4:443").handshake(Handshake::Refused).check(&[]);
    at(SYNC, "20.70.0.4:443").handshake(Handshake::Unseen).check(&[NameOutsideItsTags]);
    with_policy(&china, SYNC, "20.70.0.4:443").check(&[]);
}
