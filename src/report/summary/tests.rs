use super::*;
use crate::base::Address;
use crate::report::test_support;

fn printed(facts: &RunFacts, width: usize, detail: SummaryDetail) -> String {
    let names = test_support::names();
    let mut out = Vec::new();
    Summary { facts, names: &names, published: None, detail, width }.write(&mut out).unwrap();
    anstream::adapter::strip_str(std::str::from_utf8(&out).unwrap()).to_string()
}

#[test]
fn everything_fits_without_colour() {
    let facts = test_support::facts();
    for width in [60, 80, 100, 132] {
        let text = printed(&facts, width, SummaryDetail::Screen);
        for line in text.lines() {
            assert!(line.width() <= width, "{width}: {line}");
        }
        assert!(text.lines().count() <= 50, "{text}");
    }
    let text = printed(&facts, 110, SummaryDetail::Screen);
    println!("{text}");
    for expected in [
        "2 captures: 1,204,331 frames, 812 MB",
        "2026-07-20 10:11:12 to 10:58:40 UTC (47 min 28 s)",
        "3 hosts audited (10.1.0.4, 10.1.0.5 and 1 more): 1,204 of 2,331 flows; 840 DNS responses, 2 DNS queries",
        "rules: azure-file-sync@2019-06-24",
        "2 findings: 2 high",
        "AFS202 connection attempt or request never answered (4 times)",
        "(confidence: strong); frames 3, 5 of office.pcapng",
        "do: allow the destination in the firewall; check routes to it",
        "files.example:8443",
        "unexpected, not-443",
        "8 blocked-looking",
        "12 reached, 1 blocked, 3 not observed",
        "for each endpoint not observed: the capture is 40 seconds long",
        "office.pcapng: truncated after frame 1812",
        "12 frames without IP: 0x0806 ARP (10), 0x88cc LLDP (2)",
        "limit reached: 12 flows closed early because the flow table was full",
        "6 flows are inconclusive",
    ] {
        assert!(text.contains(expected), "{expected}\n{text}");
    }
}

#[test]
fn a_cause_says_how_many_findings_it_explains() {
    let row = |code, is_cause, cause, audited_host| {
        Box::new(FindingRow { code, is_cause, cause, audited_host, ..test_support::finding() })
    };
    let (host, other) = (test_support::finding().audited_host, Some(Address::v4([10, 1, 0, 5])));
    let (inspected, rejected) = (FindingCode::UnknownIssuer, FindingCode::CertificateRefusedByClient);
    let explains = |findings: &[Box<FindingRow>]| {
        let facts = RunFacts { findings: findings.to_vec(), ..test_support::facts() };
        let text = printed(&facts, 120, SummaryDetail::Screen);
        text.lines().find(|line| line.contains("explains")).map(|line| line.trim().to_owned())
    };
    let lead = row(inspected, true, None, host);
    let findings = [
        lead.clone(),
        row(inspected, false, Some(inspected), host),
        row(inspected, false, Some(inspected), host),
        row(rejected, false, Some(inspected), host),
        // Of another host, whose cause is not in this group.
        row(rejected, false, Some(inspected), other),
    ];
    assert_eq!(explains(&findings).as_deref(), Some("explains 3 other findings: 2 AFS109, 1 AFS212"));
    assert_eq!(explains(&findings[..2]).as_deref(), Some("explains 1 other finding: 1 AFS109"));
    assert_eq!(explains(&findings[..1]), None);
    assert_eq!(explains(&[row(inspected, false, None, host)]), None);
}

#[test]
fn a_destination_has_its_transport_and_whether_a_proxy_was_asked() {
    let facts = test_support::facts();
    let destination = |name: &str, protocol, proxied| {
        destination_name(&DestinationTally {
            name: name.into(),
            protocol,
            proxied,
            server_port: 443,
            ..facts.tally.top[0].clone()
        })
    };
    assert_eq!(destination("a.example", proto::TCP, false), "a.example:443");
    assert_eq!(destination("a.example", proto::TCP, true), "a.example:443 (proxy)");
    assert_eq!(destination("2001:db8::1", proto::UDP, false), "[2001:db8::1]:443/udp");
    assert_eq!(destination("10.1.0.5", proto::ICMP, false), "10.1.0.5 icmp");
}

#[test]
fn endpoints_that_need_not_be_reached_are_counted_by_level() {
    let of_level = |level: &str, server| RequirementRow {
        level: level.into(),
        service: level.into(),
        server: Some(Address::v4([10, 1, 0, server])),
        ..test_support::requirement()
    };
    let requirements =
        vec![of_level("required", 4), of_level("install-time", 4), of_level("install-time", 5)];
    let facts = RunFacts { requirements, ..test_support::facts() };
    let text = printed(&facts, 100, SummaryDetail::Screen);
    assert!(text.contains("required endpoints, for each of 2 servers: 0 reached"), "{text}");
    assert!(text.contains("endpoints of other levels not observed: 1 install-time"), "{text}");
}

#[test]
fn an_empty_run_has_a_summary() {
    let text = printed(&RunFacts::default(), 80, SummaryDetail::Screen);
    assert!(text.contains("nothing was audited"), "{text}");
    assert!(text.contains("no host was audited"), "{text}");
}

#[test]
fn long_names_are_not_cut_off() {
    let facts = test_support::facts();
    let text = printed(&facts, 60, SummaryDetail::Screen);
    let joined: String = text.lines().map(str::trim).collect();
    assert!(joined.contains(&"very-long-label.".repeat(12)), "{text}");
}

#[test]
fn verbose_prints_all_findings() {
    let mut facts = test_support::facts();
    facts.findings = (0..30).map(|_| Box::new(test_support::finding())).collect();
    let short = printed(&facts, 80, SummaryDetail::Screen);
    assert!(short.contains("28 more such findings; show all with -v"), "{short}");
    let full = printed(&facts, 80, SummaryDetail::Full);
    assert!(full.lines().count() > short.lines().count() + 25);
}
