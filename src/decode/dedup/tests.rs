//! What is a copy, and what says that two scopes are one.

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
        wrapping: &Encapsulation::NONE,
        transport: Transport::Udp,
        payload,
        payload_len: payload.len() as u32,
    }
}

const fn at(micros: i64) -> Time {
    Time(1_700_000_000_000_000_000 + micros * 1_000)
}

#[test]
fn a_copy_comes_soon_and_differs_in_nothing_but_its_way() {
    let check = |second: &Packet<'_>, after: i64, expected: bool| {
        let mut copies = Dedup::default();
        assert!(!copies.is_copy(&packet(4, 5, 7, b"answer"), at(0)));
        assert_eq!(copies.is_copy(second, at(after)), expected, "{second:?} after {after}");
    };
    check(&packet(4, 5, 7, b"answer"), 0, true);
    check(&packet(4, 5, 7, b"answer"), 9_999, true);
    check(&packet(4, 5, 7, b"answer"), -9_000, true);
    check(&packet(4, 5, 7, b"answer"), 10_001, false);
    check(&Packet { ttl: 63, scope: 20, ..packet(4, 5, 7, b"answer") }, 10, true);
    check(&packet(4, 5, 8, b"answer"), 10, false);
    check(&packet(4, 5, 7, b"others"), 10, false);
    check(&packet(5, 4, 7, b"answer"), 10, false);
    // 2^24 ticks later the clock of the marks is where it was.
    check(&packet(4, 5, 7, b"others"), 17_179_869, false);
}

#[test]
fn without_an_identification_it_comes_sooner() {
    let mut copies = Dedup::default();
    assert!(!copies.is_copy(&packet(4, 5, 0, b"answer"), at(0)));
    assert!(!copies.is_copy(&packet(4, 5, 0, b"answer"), at(1_001)), "a repetition");
    assert!(copies.is_copy(&packet(4, 5, 0, b"answer"), at(1_500)));
}

#[test]
fn neighbours_are_no_copies_whatever_the_seeds() {
    for _ in 0..200 {
        let mut copies = Dedup::default();
        for src in 0..16 {
            for dst in 0..16 {
                assert!(!copies.is_copy(&packet(src, dst, 7, b""), at(0)), "{src} {dst}");
            }
        }
    }
}

#[test]
fn an_answer_in_another_scope_says_that_both_are_one() {
    let mut copies = Dedup::default();
    let question = |scope| Packet { scope, src_port: 40000, dst_port: 53, ..packet(4, 5, 7, b"id question") };
    let answer = |scope, payload| Packet { scope, ..packet(5, 4, 9, payload) };
    assert!(!copies.is_copy(&question(10), at(0)));
    assert!(!copies.is_copy(&answer(20, b"other answer"), at(500)));
    assert_eq!(copies.moved(&answer(20, b"")), None, "to another question");
    assert!(!copies.is_copy(&answer(20, b"id answer"), at(900)));
    assert_eq!(copies.moved(&answer(20, b"")), Some(10));
    assert_eq!(copies.moved(&question(10)), None);
    // Two networks that are alike ask the same at the same time.
    let mut copies = Dedup::default();
    for scope in [10, 20] {
        assert!(!copies.is_copy(&question(scope), at(i64::from(scope as u32) * 100_000)));
    }
    for scope in [10, 20] {
        assert!(
            !copies.is_copy(&answer(scope, b"id answer"), at(5_000_000 + i64::from(scope as u32) * 100_000))
        );
        assert_eq!(copies.moved(&answer(scope, b"")), None);
    }
}

/// What a full table forgets is the same in every run, whatever the seeds.
#[test]
fn chance_forgets_nothing() {
    let remembered = || {
        let mut copies = Dedup::default();
        let asked = |host: u128, scope| Packet {
            scope,
            src_port: 40000,
            dst_port: 53,
            ..packet(host, 5, 7, b"id question")
        };
        for host in 10..2_000 {
            copies.is_copy(&asked(host, 1), at(0));
        }
        for host in 10..2_000 {
            copies.is_copy(&Packet { scope: 2, ..packet(5, host, 9, b"id answer") }, at(900));
        }
        (10..2_000).filter(|host| copies.moved(&asked(*host, 2)).is_some()).collect::<Vec<u128>>()
    };
    let first = remembered();
    assert!((500..1_990).contains(&first.len()), "some are forgotten: {}", first.len());
    for _ in 0..5 {
        assert_eq!(remembered(), first);
    }
}

/// A connection that began before the capture, each side of it in a scope of its own.
#[test]
fn an_acknowledgement_in_another_scope_says_it_too() {
    let segment = |from: u128, scope, seq, ack, payload: &'static [u8]| {
        let tcp = TcpHeader { seq, ack, flags: TcpHeader::ACK, window: 100, options: &[] };
        Packet {
            scope,
            protocol: proto::TCP,
            transport: Transport::Tcp(tcp),
            ..packet(from, 9 - from, 0, payload)
        }
    };
    let data = |scope| segment(4, scope, 1000, 70, b"request");
    let back = |scope, ack| Packet { src_port: 40000, dst_port: 53, ..segment(5, scope, 70, ack, b"") };
    let mut copies = Dedup::default();
    assert!(!copies.is_copy(&data(10), at(0)));
    assert!(!copies.is_copy(&back(20, 1006), at(500)));
    assert_eq!(copies.moved(&back(20, 0)), None, "of another segment");
    assert!(!copies.is_copy(&back(20, 1007), at(900)));
    assert_eq!(copies.moved(&back(20, 0)), Some(10));
    assert_eq!(copies.moved(&data(10)), None);
    // Two networks that are alike, long after each other.
    let mut copies = Dedup::default();
    for scope in [10, 20] {
        assert!(!copies.is_copy(&data(scope), at(i64::from(scope as u32) * 100_000)));
    }
    assert!(!copies.is_copy(&back(20, 1007), at(5_000_000)));
    assert_eq!(copies.moved(&back(20, 0)), None);
    // The side without a tag may be the first, but without tags nothing is looked at for long.
    for (before, expected) in [(0, Some(0)), (9_000, None)] {
        let mut copies = Dedup::default();
        for number in 0..before {
            let idle = Packet { src_port: 123, dst_port: 123, ..packet(6, 7, number, b"") };
            assert!(!copies.is_copy(&idle, at(-1_000_000)));
        }
        assert!(!copies.is_copy(&data(0), at(0)));
        assert!(!copies.is_copy(&back(20, 1007), at(100)));
        assert_eq!(copies.moved(&back(20, 1007)), expected, "behind {before} packets");
    }
}

/// What asks, in one scope, and what answers it, in another, each with what does not.
#[test]
fn whatever_answers_in_another_scope_says_it() {
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
    let there = |protocol, transport| Packet {
        src_port: 40000,
        dst_port: 443,
        protocol,
        transport,
        scope: 10,
        ..packet(4, 5, 1, b"12345678")
    };
    let back = |protocol, transport, number| Packet {
        src_port: 443,
        dst_port: 40000,
        protocol,
        transport,
        scope: 20,
        ..packet(5, 4, number, b"87654321")
    };
    let check = |asks: Packet<'_>, other: Option<Packet<'_>>, answers: Packet<'_>| {
        let mut copies = Dedup::default();
        assert!(!copies.is_copy(&asks, at(0)));
        if let Some(other) = other {
            assert!(!copies.is_copy(&other, at(10)));
            assert_eq!(copies.moved(&other), None, "{other:?}");
        }
        assert!(!copies.is_copy(&answers, at(20)));
        assert_eq!(copies.moved(&answers), Some(10), "{answers:?}");
    };
    let syn = there(6, tcp(TcpHeader::SYN, 100, 0));
    let reset = |ack| back(6, tcp(TcpHeader::RST | TcpHeader::ACK, 0, ack), 2);
    check(syn, Some(reset(100)), reset(101));
    let error = |seq: u32| Packet { src: Address(9), ..back(1, icmp(3, 0, Some(quoted(seq))), seq as u16) };
    check(syn, Some(error(99)), error(100));
    check(there(17, Transport::Udp), None, back(17, Transport::Udp, 2));
    let echo = |protocol, kind, number| Packet {
        src_port: 0,
        dst_port: 0,
        ..there(protocol, icmp(kind, number, None))
    };
    let reply = |protocol, kind, number| Packet {
        src_port: 0,
        dst_port: 0,
        ..back(protocol, icmp(kind, number, None), 2)
    };
    check(echo(1, 8, 5), Some(reply(1, 0, 4)), reply(1, 0, 5));
    check(echo(58, 128, 5), Some(reply(58, 129, 4)), reply(58, 129, 5));
    // Ports that everybody uses prove nothing.
    let mut copies = Dedup::default();
    let time = |packet| Packet { src_port: 123, dst_port: 123, ..packet };
    assert!(!copies.is_copy(&time(there(17, Transport::Udp)), at(0)));
    assert!(!copies.is_copy(&time(back(17, Transport::Udp, 2)), at(10)));
    assert_eq!(copies.moved(&time(back(17, Transport::Udp, 2))), None);
}

#[test]
fn a_copy_in_another_scope_says_that_both_are_one() {
    let mut copies = Dedup::default();
    let first = |scope| Packet { scope, ..packet(4, 5, 7, b"question") };
    assert!(!copies.is_copy(&first(10), at(0)));
    assert_eq!(copies.moved(&first(20)), None);
    assert!(copies.is_copy(&first(20), at(50)));
    let answer = |scope| Packet { scope, ..packet(5, 4, 9, b"answer") };
    assert!(!copies.is_copy(&answer(20), at(900)));
    assert_eq!(copies.moved(&answer(20)), Some(10), "the way back shows in the other network first");
    assert!(copies.is_copy(&answer(10), at(950)));
    assert_eq!(copies.moved(&answer(10)), None);
    assert_eq!(copies.moved(&Packet { scope: 20, ..packet(4, 6, 1, b"") }), None, "other hosts");
}
