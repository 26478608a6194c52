use super::*;
use crate::judge::assessment::Assessment;
use crate::judge::test_support;
use crate::judge::vocabulary::Confidence;

const CLIENT: Address = Address(1);

fn host(name: &str) -> HostName {
    HostName::from_wire_text(name.as_bytes()).unwrap()
}

const fn server(address: u128, port: u16) -> Endpoint {
    Endpoint { address: Address(address), port }
}

const fn at(second: i64) -> Time {
    Time(second * 1_000_000_000)
}

/// Flows that worked (`+`) or were blocked (`-`): name, server, second.
fn comparison(flows: &[(&str, &str, u128, i64)]) -> Comparison {
    let mut comparison = Comparison::default();
    for (sign, name, server, second) in flows {
        let mut row = test_support::flow_row(CLIENT, Address(*server), at(*second));
        row.name = (!name.is_empty()).then(|| Arc::new(host(name)));
        if *sign == "-" {
            row.assessment = Assessment::blocked(Mechanism::TcpUnanswered, Confidence::Weak);
        }
        comparison.add(&row, false);
    }
    comparison
}

/// What is reported about the blocked name `a.example`.
fn check(flows: &[(&str, &str, u128, i64)], expected: Option<ComparisonResult>) {
    let found = comparison(flows).index().with_all_flows(CLIENT, &host("a.example"), None);
    assert_eq!(found, expected, "{flows:?}");
}

#[test]
fn the_same_name_at_other_times() {
    check(&[("-", "a.example", 10, 5)], None);
    check(
        &[("-", "a.example", 10, 5), ("+", "a.example", 10, 9)],
        Some(ComparisonResult::WorkedLater { from: at(9) }),
    );
    check(
        &[("+", "a.example", 10, 1), ("-", "a.example", 10, 5)],
        Some(ComparisonResult::WorkedBefore { until: at(1) }),
    );
    check(
        &[("+", "a.example", 10, 1), ("-", "a.example", 10, 5), ("+", "a.example", 10, 9)],
        Some(ComparisonResult::WorkedAtOtherTimes),
    );
}

#[test]
fn a_name_is_filtered_where_another_works_at_its_address() {
    let flows = [("-", "a.example", 10, 5), ("+", "b.example", 10, 5)];
    let name = Arc::new(host("b.example"));
    check(&flows, Some(ComparisonResult::OtherNameWorks { name }));
    assert_eq!(comparison(&flows).index().with_same_name(CLIENT, &host("a.example"), None), None);
}

/// What is reported about the blocked name `a.example`, where `b.example` worked at the same server: each directly or not.
fn check_proxied(blocked: bool, worked: bool, expected: ComparisonResult) {
    let mut comparison = Comparison::default();
    for (name, is_proxied, second) in [("b.example", worked, 1), ("a.example", blocked, 5)] {
        let mut row = test_support::flow_row(CLIENT, Address(10), at(second));
        row.name = Some(Arc::new(host(name)));
        if name == "a.example" {
            row.assessment = Assessment::blocked(Mechanism::BlockPage, Confidence::Strong);
        }
        comparison.add(&row, is_proxied);
    }
    let found = comparison.index().with_all_flows(CLIENT, &host("a.example"), None);
    assert_eq!(found, Some(expected), "{blocked} {worked}");
}

#[test]
fn the_address_of_a_proxy_is_not_that_of_the_names() {
    let name = Arc::new(host("b.example"));
    check_proxied(true, true, ComparisonResult::OtherNameThroughProxy { name: Arc::clone(&name) });
    check_proxied(false, false, ComparisonResult::OtherNameWorks { name });
    // A connection to the proxy itself, which has a name of its own.
    let when = Box::new(ComparisonResult::WorkedBefore { until: at(1) });
    check_proxied(false, true, ComparisonResult::AddressWorked { when, name: None });
}

#[test]
fn an_address_is_filtered_where_its_names_work_elsewhere_or_all_fail() {
    check(
        &[("-", "a.example", 10, 5), ("+", "a.example", 12, 5), ("+", "a.example", 11, 6)],
        Some(ComparisonResult::WorksElsewhere { server: Address(11) }),
    );
    check(
        &[("-", "a.example", 10, 5), ("-", "b.example", 10, 5), ("+", "c.example", 11, 6)],
        Some(ComparisonResult::OtherNamesFail { server: Address(10) }),
    );
}

#[test]
fn an_outage_needs_three_names_and_no_success() {
    let blocked = [("-", "a.example", 10, 5), ("-", "b.example", 11, 5), ("-", "c.example", 12, 5)];
    check(&blocked, Some(ComparisonResult::NothingWorks { names: 3, client: CLIENT }));
    check(&blocked[..2], None);
}

#[test]
fn addresses_without_a_name() {
    let comparison = comparison(&[("-", "", 10, 5), ("+", "b.example", 10, 9)]);
    let result = comparison.index().with_address(CLIENT, server(10, 443)).unwrap();
    assert!(result.to_string().ends_with(", as b.example"), "{result}");
    assert_eq!(result.confidence(), None);
    assert_eq!(comparison.index().with_address(CLIENT, server(11, 443)), None);
    assert_eq!(comparison.index().with_address(CLIENT, server(10, 445)), None, "another port");
}

#[test]
fn another_port_that_works_shows_nothing() {
    let mut comparison = comparison(&[("-", "a.example", 10, 5)]);
    for (name, address) in [("a.example", 10), ("a.example", 11), ("b.example", 10)] {
        let mut row = test_support::flow_row(CLIENT, Address(address), at(6));
        row.name = Some(Arc::new(host(name)));
        row.server.port = 80;
        comparison.add(&row, false);
    }
    assert_eq!(comparison.index().with_all_flows(CLIENT, &host("a.example"), None), None);
}

#[test]
fn what_works_at_the_time_of_the_block_worked_before_and_after() {
    check(
        &[("+", "a.example", 10, 5), ("-", "a.example", 10, 5)],
        Some(ComparisonResult::WorkedAtOtherTimes),
    );
}

#[test]
fn refused_attempts_are_part_of_an_outage_and_resets_are_not() {
    let outage = |mechanism| {
        let mut comparison = Comparison::default();
        for (name, server) in [("a.example", 10), ("b.example", 11), ("c.example", 12)] {
            let mut row = test_support::flow_row(CLIENT, Address(server), at(5));
            row.name = Some(Arc::new(host(name)));
            row.assessment = Assessment::blocked(mechanism, Confidence::Weak);
            comparison.add(&row, false);
        }
        comparison.index().with_all_flows(CLIENT, &host("a.example"), None)
    };
    let nothing_works = Some(ComparisonResult::NothingWorks { names: 3, client: CLIENT });
    assert_eq!(outage(Mechanism::TcpUnanswered), nothing_works);
    assert_eq!(outage(Mechanism::TcpRefused), nothing_works);
    assert_eq!(outage(Mechanism::ResetAfterClientHello), None);
}

#[test]
fn a_flow_without_payload_in_both_directions_has_not_worked() {
    let mut blocked = test_support::flow_row(CLIENT, Address(10), at(5));
    blocked.name = Some(Arc::new(host("a.example")));
    blocked.assessment = Assessment::blocked(Mechanism::TcpUnanswered, Confidence::Weak);
    let later = |bytes| {
        let mut comparison = Comparison::default();
        comparison.add(&blocked, false);
        let mut row = test_support::flow_row(CLIENT, Address(10), at(9));
        (row.name, row.bytes) = (blocked.name.clone(), bytes);
        comparison.add(&row, false);
        comparison.index().with_all_flows(CLIENT, &host("a.example"), None)
    };
    assert_eq!(later([500, 0]), None);
    assert_eq!(later([500, 1]), Some(ComparisonResult::WorkedLater { from: at(9) }));
}

#[test]
fn another_host_counts_where_it_reached_the_server_within_ten_minutes() {
    let reached_at = |second| {
        let mut comparison = Comparison::default();
        let mut blocked = test_support::flow_row(CLIENT, Address(10), at(1_000));
        blocked.name = Some(Arc::new(host("a.example")));
        blocked.assessment = Assessment::blocked(Mechanism::TcpUnanswered, Confidence::Weak);
        comparison.add(&blocked, false);
        let mut row = test_support::flow_row(Address(2), Address(10), at(second));
        row.name = blocked.name.clone();
        comparison.add(&row, false);
        comparison.index().with_all_flows(CLIENT, &host("a.example"), None)
    };
    let reaches_it = Some(ComparisonResult::OtherHostReachesIt { host: Address(2), client: CLIENT });
    for second in [400, 1_000, 1_600] {
        assert_eq!(reached_at(second), reaches_it, "{second}");
    }
    for second in [399, 1_601] {
        assert_eq!(reached_at(second), None, "{second}");
    }
}

#[test]
fn ipv6_is_blocked_where_the_name_works_over_ipv4_only() {
    let v4 = |last| Address::v4([20, 60, 0, last]);
    let v6 = |last: u128| Address(0x2a01_0111 << 96 | last);
    let found = |works: &[Address]| {
        let mut comparison = Comparison::default();
        let mut blocked = test_support::flow_row(CLIENT, v6(1), at(5));
        blocked.name = Some(Arc::new(host("a.example")));
        blocked.assessment = Assessment::blocked(Mechanism::TcpUnanswered, Confidence::Weak);
        comparison.add(&blocked, false);
        for server in works {
            let mut row = test_support::flow_row(CLIENT, *server, at(6));
            row.name = blocked.name.clone();
            comparison.add(&row, false);
        }
        comparison.index().with_all_flows(CLIENT, &host("a.example"), None)
    };
    assert_eq!(found(&[v4(9), v4(4)]), Some(ComparisonResult::WorksOverIpv4 { server: v4(4) }));
    assert_eq!(found(&[v4(9), v6(2)]), Some(ComparisonResult::WorksElsewhere { server: v4(9) }));
}

#[test]
fn of_several_clients_servers_and_names_the_lowest_is_named() {
    let mut comparison = Comparison::default();
    let mut add = |client: u128, name: &str, server: u128, port: u16, is_proxied: bool, is_blocked: bool| {
        let mut row = test_support::flow_row(Address(client), Address(server), at(5));
        row.server.port = port;
        row.name = Some(Arc::new(host(name)));
        if is_blocked {
            row.assessment = Assessment::blocked(Mechanism::TcpUnanswered, Confidence::Weak);
        }
        comparison.add(&row, is_proxied);
    };
    add(1, "a.example", 10, 443, false, true);
    add(1, "b.example", 20, 443, false, true);
    for (client, name) in [(9, "a.example"), (3, "a.example"), (5, "a.example"), (2, "c.example")] {
        add(client, name, 10, 443, false, false);
    }
    for server in [23, 22, 24] {
        add(1, "b.example", server, 443, false, false);
    }
    add(1, "b.example", 21, 80, false, false);
    for proxy in [32, 31] {
        add(1, "d.example", proxy, 3128, true, false);
    }
    let index = comparison.index();
    let other_host = ComparisonResult::OtherHostReachesIt { host: Address(3), client: CLIENT };
    assert_eq!(index.with_all_flows(CLIENT, &host("a.example"), None), Some(other_host));
    let elsewhere = ComparisonResult::WorksElsewhere { server: Address(22) };
    assert_eq!(index.with_all_flows(CLIENT, &host("b.example"), None), Some(elsewhere));
    let through_proxy = ComparisonResult::OthersThroughProxy { proxy: server(31, 3128), client: CLIENT };
    assert_eq!(index.with_proxy(CLIENT, &host("a.example")), Some(through_proxy));
    let through_proxy = ComparisonResult::WorksThroughProxy { proxy: server(31, 3128) };
    assert_eq!(index.with_proxy(CLIENT, &host("d.example")), Some(through_proxy));
    assert_eq!(index.reached_by(&host("a.example"), server(10, 443)), Some(Address(3)));
    assert_eq!(index.reached_by(&host("a.example"), server(10, 80)), None);
    let first = |port| index.find_worked_name(CLIENT, port, |_| true).map(|name| name.to_string());
    assert_eq!(first(None).as_deref(), Some("b.example"));
    assert_eq!(first(Some(3128)).as_deref(), Some("d.example"));
    assert_eq!(first(Some(445)), None);
}

#[test]
fn a_block_page_at_times_is_no_sign_of_an_overloaded_server() {
    let advice = |result: ComparisonResult, mechanism| result.recommendation(Some(mechanism)).unwrap();
    let later = || ComparisonResult::WorkedLater { from: at(9) };
    assert!(advice(later(), Mechanism::BlockPage).contains("compare the requests that get the page"));
    assert!(
        advice(ComparisonResult::WorkedAtOtherTimes, Mechanism::BlockPage)
            .contains("paths, programs and users")
    );
    assert!(advice(later(), Mechanism::SilentAfterClientHello).contains("overloaded server"));
    let before = ComparisonResult::WorkedBefore { until: at(1) };
    assert!(advice(before, Mechanism::BlockPage).contains("what changed after that time"));
}
