//! What is a duplicate, and what shows that two scopes are one.

use super::*;
use crate::base::Address;
use crate::base::proto;
use crate::decode::Encapsulation;
use crate::decode::Quoted;
use crate::decode::TcpHeader;

fn packet<'a>(src: u128, dst: u128, ip_id: u16, payload: &'a [u8]) -> Packet<'a> {
    Packet {
        src: Address(src),
        dst: Address(dst),
        src_port: 53,
        dst_port: 40000,
        protocol: proto::UDP,
        ttl: 64,
        ip_id,
        was_fragmented: false,
        scope: 0,
        encapsulation: &Encapsulation::NONE,
        transport: Transport::Udp,
        payload,
        payload_len: payload.len() as u32,
        host_report: None,
        adapter: None,
    }
}

const fn at(micros: i64) -> Time {
    Time(1_700_000_000_000_000_000 + micros * 1_000)
}

#[test]
fn a_duplicate_is_recent_and_differs_only_in_its_path() {
    let check = |second: &Packet<'_>, after: i64, expected: bool| {
        let mut dedup = Dedup::default();
        assert!(!dedup.is_duplicate(&packet(4, 5, 7, b"answer"), at(0)));
        assert_eq!(dedup.is_duplicate(second, at(after)), expected, "{second:?} after {after}");
    };
    check(&packet(4, 5, 7, b"answer"), 0, true);
    check(&packet(4, 5, 7, b"answer"), 9_999, true);
    check(&packet(4, 5, 7, b"answer"), -9_000, true);
    check(&packet(4, 5, 7, b"answer"), 10_001, false);
    check(&Packet { ttl: 63, scope: 20, ..packet(4, 5, 7, b"answer") }, 10, true);
    check(&packet(4, 5, 8, b"answer"), 10, false);
    check(&packet(4, 5, 7, b"others"), 10, false);
    check(&packet(5, 4, 7, b"answer"), 10, false);
    // After 2^24 ticks the time in the fingerprints wraps.
    check(&packet(4, 5, 7, b"others"), 17_179_869, false);
}

#[test]
fn without_an_ip_identification_it_must_be_more_recent() {
    let mut dedup = Dedup::default();
    assert!(!dedup.is_duplicate(&packet(4, 5, 0, b"answer"), at(0)));
    assert!(!dedup.is_duplicate(&packet(4, 5, 0, b"answer"), at(1_001)), "a retransmission");
    assert!(dedup.is_duplicate(&packet(4, 5, 0, b"answer"), at(1_500)));
}

#[test]
fn neighbouring_addresses_are_no_duplicates_with_any_seeds() {
    for _ in 0..200 {
        let mut dedup = Dedup::default();
        for src in 0..16 {
            for dst in 0..16 {
                assert!(!dedup.is_duplicate(&packet(src, dst, 7, b""), at(0)), "{src} {dst}");
            }
        }
    }
}

#[test]
fn a_response_in_another_scope_merges_both() {
    let mut dedup = Dedup::default();
    let query = |scope| Packet { scope, src_port: 40000, dst_port: 53, ..packet(4, 5, 7, b"id question") };
    let response = |scope, payload| Packet { scope, ..packet(5, 4, 9, payload) };
    assert!(!dedup.is_duplicate(&query(10), at(0)));
    assert!(!dedup.is_duplicate(&response(20, b"other answer"), at(500)));
    assert_eq!(dedup.merged_scope(&response(20, b"")), None, "to another query");
    assert!(!dedup.is_duplicate(&response(20, b"id answer"), at(900)));
    assert_eq!(dedup.merged_scope(&response(20, b"")), Some(10));
    assert_eq!(dedup.merged_scope(&query(10)), None);
    // Two networks with the same addresses, with the same query at the same time.
    let mut dedup = Dedup::default();
    for scope in [10, 20] {
        assert!(!dedup.is_duplicate(&query(scope), at(i64::from(scope as u32) * 100_000)));
    }
    for scope in [10, 20] {
        assert!(
            !dedup.is_duplicate(
                &response(scope, b"id answer"),
                at(5_000_000 + i64::from(scope as u32) * 100_000)
            )
        );
        assert_eq!(dedup.merged_scope(&response(scope, b"")), None);
    }
}

/// Which requests a full table overwrites is the same in every run, with any seeds.
#[test]
fn what_is_overwritten_does_not_depend_on_chance() {
    let remembered = || {
        let mut dedup = Dedup::default();
        let query = |host: u128, scope| Packet {
            scope,
            src_port: 40000,
            dst_port: 53,
            ..packet(host, 5, 7, b"id question")
        };
        for host in 10..2_000 {
            dedup.is_duplicate(&query(host, 1), at(0));
        }
        for host in 10..2_000 {
            dedup.is_duplicate(&Packet { scope: 2, ..packet(5, host, 9, b"id answer") }, at(900));
        }
        (10..2_000).filter(|host| dedup.merged_scope(&query(*host, 2)).is_some()).collect::<Vec<u128>>()
    };
    let first = remembered();
    assert!((500..1_990).contains(&first.len()), "some are overwritten: {}", first.len());
    for _ in 0..5 {
        assert_eq!(remembered(), first);
    }
}

/// A segment midstream between the hosts 4 and 5.
fn segment(from: u128, scope: u64, seq: u32, ack: u32, payload: &'static [u8]) -> Packet<'static> {
    let tcp = TcpHeader { seq, ack, flags: TcpHeader::ACK, window: 100, options: &[] };
    Packet {
        scope,
        protocol: proto::TCP,
        transport: Transport::Tcp(tcp),
        ..packet(from, 9 - from, 0, payload)
    }
}

/// A connection that started before the capture, with each direction in a scope of its own.
#[test]
fn an_ack_in_another_scope_merges_both() {
    let data = |scope| segment(4, scope, 1000, 70, b"request");
    let back = |scope, ack| Packet { src_port: 40000, dst_port: 53, ..segment(5, scope, 70, ack, b"") };
    let mut dedup = Dedup::default();
    assert!(!dedup.is_duplicate(&data(10), at(0)));
    assert!(!dedup.is_duplicate(&back(20, 1006), at(500)));
    assert_eq!(dedup.merged_scope(&back(20, 0)), None, "of another segment");
    assert!(!dedup.is_duplicate(&back(20, 1007), at(900)));
    assert_eq!(dedup.merged_scope(&back(20, 0)), Some(10));
    assert_eq!(dedup.merged_scope(&data(10)), None);
    // Two networks with the same addresses, at different times.
    let mut dedup = Dedup::default();
    for scope in [10, 20] {
        assert!(!dedup.is_duplicate(&data(scope), at(i64::from(scope as u32) * 100_000)));
    }
    assert!(!dedup.is_duplicate(&back(20, 1007), at(5_000_000)));
    assert_eq!(dedup.merged_scope(&back(20, 0)), None);
    // The direction without a tag may be captured first, but without any tags only the first packets are observed.
    for (before, expected) in [(0, Some(0)), (9_000, None)] {
        let mut dedup = Dedup::default();
        for number in 0..before {
            let idle = Packet { src_port: 123, dst_port: 123, ..packet(6, 7, number, b"") };
            assert!(!dedup.is_duplicate(&idle, at(-1_000_000)));
        }
        assert!(!dedup.is_duplicate(&data(0), at(0)));
        assert!(!dedup.is_duplicate(&back(20, 1007), at(100)));
        assert_eq!(dedup.merged_scope(&back(20, 1007)), expected, "after {before} packets");
    }
}

/// Segments of hosts without a scope are not compared once they have sent some; a packet in a scope changes that.
#[test]
fn hosts_that_have_no_scope_are_not_compared() {
    let back = |ack| Packet { src_port: 40000, dst_port: 53, ..segment(5, 20, 70, ack, b"") };
    let mut dedup = Dedup::default();
    let others = Packet { scope: 30, ..packet(11, 12, 1, b"another VLAN") };
    assert!(!dedup.is_duplicate(&others, at(0)));
    for number in 0..40 {
        assert!(!dedup.is_duplicate(&segment(4, 0, number, 70, b"x"), at(i64::from(number))));
    }
    let tagged = back(40);
    assert!(!dedup.is_duplicate(&tagged, at(500)));
    assert_eq!(dedup.merged_scope(&tagged), None, "the segment before it was not compared");
    assert!(!dedup.is_duplicate(&segment(4, 0, 40, 70, b"y"), at(600)));
    assert!(!dedup.is_duplicate(&back(41), at(700)));
    assert_eq!(dedup.merged_scope(&tagged), Some(0));
}

/// A request in one scope, its response in another, and before it a packet that is not the response.
#[test]
fn each_kind_of_response_in_another_scope_merges_both() {
    let tcp = |flags, seq, ack| Transport::Tcp(TcpHeader { seq, ack, flags, window: 100, options: &[] });
    let icmp = |kind, detail, quoted| Transport::Icmp { kind, code: 0, id: 7, detail, quoted };
    let quoted = |seq| Quoted {
        src: Address(4),
        dst: Address(5),
        protocol: proto::TCP,
        src_port: 40000,
        dst_port: 443,
        seq: Some(seq),
        total_len: 60,
        fragment: None,
    };
    let request = |protocol, transport| Packet {
        src_port: 40000,
        dst_port: 443,
        protocol,
        transport,
        scope: 10,
        ..packet(4, 5, 1, b"12345678")
    };
    let response = |protocol, transport, number| Packet {
        src_port: 443,
        dst_port: 40000,
        protocol,
        transport,
        scope: 20,
        ..packet(5, 4, number, b"87654321")
    };
    let check = |request: Packet<'_>, other: Option<Packet<'_>>, response: Packet<'_>| {
        let mut dedup = Dedup::default();
        assert!(!dedup.is_duplicate(&request, at(0)));
        if let Some(other) = other {
            assert!(!dedup.is_duplicate(&other, at(10)));
            assert_eq!(dedup.merged_scope(&other), None, "{other:?}");
        }
        assert!(!dedup.is_duplicate(&response, at(20)));
        assert_eq!(dedup.merged_scope(&response), Some(10), "{response:?}");
    };
    let syn = request(6, tcp(TcpHeader::SYN, 100, 0));
    let reset = |ack| response(6, tcp(TcpHeader::RST | TcpHeader::ACK, 0, ack), 2);
    check(syn, Some(reset(100)), reset(101));
    let error =
        |seq: u32| Packet { src: Address(9), ..response(1, icmp(3, 0, Some(quoted(seq))), seq as u16) };
    check(syn, Some(error(99)), error(100));
    check(request(17, Transport::Udp), None, response(17, Transport::Udp, 2));
    let echo = |protocol, kind, number| Packet {
        src_port: 0,
        dst_port: 0,
        ..request(protocol, icmp(kind, number, None))
    };
    let reply = |protocol, kind, number| Packet {
        src_port: 0,
        dst_port: 0,
        ..response(protocol, icmp(kind, number, None), 2)
    };
    check(echo(1, 8, 5), Some(reply(1, 0, 4)), reply(1, 0, 5));
    check(echo(58, 128, 5), Some(reply(58, 129, 4)), reply(58, 129, 5));
    // Ports that both ends use prove nothing.
    let mut dedup = Dedup::default();
    let time = |packet| Packet { src_port: 123, dst_port: 123, ..packet };
    assert!(!dedup.is_duplicate(&time(request(17, Transport::Udp)), at(0)));
    assert!(!dedup.is_duplicate(&time(response(17, Transport::Udp, 2)), at(10)));
    assert_eq!(dedup.merged_scope(&time(response(17, Transport::Udp, 2))), None);
}

#[test]
fn a_duplicate_in_another_scope_merges_both() {
    let mut dedup = Dedup::default();
    let first = |scope| Packet { scope, ..packet(4, 5, 7, b"question") };
    assert!(!dedup.is_duplicate(&first(10), at(0)));
    assert_eq!(dedup.merged_scope(&first(20)), None);
    assert!(dedup.is_duplicate(&first(20), at(50)));
    let answer = |scope| Packet { scope, ..packet(5, 4, 9, b"answer") };
    assert!(!dedup.is_duplicate(&answer(20), at(900)));
    assert_eq!(
        dedup.merged_scope(&answer(20)),
        Some(10),
        "the other direction is captured first in the other network"
    );
    assert!(dedup.is_duplicate(&answer(10), at(950)));
    assert_eq!(dedup.merged_scope(&answer(10)), None);
    assert_eq!(dedup.merged_scope(&Packet { scope: 20, ..packet(4, 6, 1, b"") }), None, "other hosts");
}
