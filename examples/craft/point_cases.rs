//! Cases of several capture points: the same traffic on both sides of a firewall.
//!
//! In:  a trace as the inside of the firewall shows it.
//! Out: two captures: the inside, and the outside with translated addresses and a clock of its own.
//! Not: real firewalls; `captures/points` records those.

use std::net::IpAddr;

use super::AT_STORAGE;
use super::AT_SYNC;
use super::Files;
use super::RESOLVER;
use super::SERVER;
use super::STORAGE;
use super::SYNC;
use super::capture_file::Record;
use super::capture_file::pcap;
use super::conversation::Client;
use super::conversation::Server;
use super::conversation::TcpConversation;
use super::conversation::Trace;
use super::encapsulation::ETHERNET;
use super::finish_tls;
use super::frame::ACK;
use super::frame::SYN;
use super::frame::checksum;
use super::hello_record;
use super::messages;
use super::site_cases::Case;
use super::v4;

pub const CASES: &[Case] = &[(
    "both-sides-of-firewall",
    "captures of both sides of a firewall that translates addresses: a connection that works, and one whose SYN-ACK the firewall drops; the clock of the outside is two seconds ahead",
    both_sides,
)];

/// The address that the firewall gives to the server outside.
const TRANSLATED: IpAddr = v4(198, 51, 100, 7);

/// The way through the firewall, and how much the outside's clock is ahead, in nanoseconds.
const WAY: u64 = 300_000;
const AHEAD: u64 = 2_000_000_000;

fn both_sides() -> Files {
    let mut trace = Trace::default();
    let IpAddr::V4(address) = AT_STORAGE.0 else { unreachable!("IPv4") };
    let answer = messages::resource(STORAGE, 1, &address.octets());
    trace.dns_exchange(
        SERVER,
        RESOLVER,
        50_000,
        &messages::query(7, STORAGE, 1),
        &messages::response(7, STORAGE, 1, 0, [&[answer], &[]]),
    );
    let inside_only = trace.records.len();
    for (port, number) in [(50_001, 11_000), (50_002, 12_000)] {
        let mut tcp = TcpConversation::new((SERVER, port), AT_SYNC, [number, 5_000 + number]);
        tcp.open(&mut trace);
        tcp.send(&mut trace, Client, &hello_record(SYNC));
        finish_tls(&mut tcp, &mut trace);
        trace.wait(200);
    }
    // The SYN-ACKs are outside only.
    let mut dropped = Vec::new();
    let mut tcp = TcpConversation::new((SERVER, 50_003), AT_STORAGE, [13_000, 18_000]);
    for pause in [1000, 2000, 4000] {
        tcp.next_seq = [13_000, 18_000];
        tcp.segment(&mut trace, Client, SYN, &[]);
        dropped.push(trace.records.len());
        tcp.segment(&mut trace, Server, SYN | ACK, &[]);
        trace.wait(pause);
    }
    let mut tcp = TcpConversation::new((SERVER, 50_004), AT_SYNC, [14_000, 19_000]);
    tcp.open(&mut trace);
    tcp.send(&mut trace, Client, &hello_record(SYNC));
    finish_tls(&mut tcp, &mut trace);

    let records = trace.records;
    let outside: Vec<Record> = records[inside_only..].iter().map(through_firewall).collect();
    let is_inside = |(at, _): &(usize, Record)| !dropped.contains(at);
    let inside: Vec<Record> =
        records.into_iter().enumerate().filter(is_inside).map(|(_, record)| record).collect();
    vec![
        ("capture-inside.pcap".into(), pcap(ETHERNET, &inside)),
        ("capture-outside.pcap".into(), pcap(ETHERNET, &outside)),
    ]
}

/// A packet as it looks on the other side: the server's address translated, one hop further.
fn through_firewall(record: &Record) -> Record {
    const IP: usize = 14;
    const TCP: usize = IP + 20;
    let (IpAddr::V4(own), IpAddr::V4(translated)) = (SERVER, TRANSLATED) else { unreachable!("IPv4") };
    let mut bytes = record.bytes.clone();
    let is_from_server = bytes[IP + 12..IP + 16] == own.octets();
    let place = if is_from_server { IP + 12 } else { IP + 16 };
    bytes[place..place + 4].copy_from_slice(&translated.octets());
    bytes[IP + 8] = if is_from_server { bytes[IP + 8] - 1 } else { bytes[IP + 8] + 1 };
    bytes[IP + 10..IP + 12].fill(0);
    let sum = checksum(&[&bytes[IP..TCP]]);
    bytes[IP + 10..IP + 12].copy_from_slice(&sum.to_be_bytes());
    bytes[TCP + 16..TCP + 18].fill(0);
    let len = ((bytes.len() - TCP) as u32).to_be_bytes();
    let sum = checksum(&[&bytes[IP + 12..TCP], &[0, 6], &len[2..], &bytes[TCP..]]);
    bytes[TCP + 16..TCP + 18].copy_from_slice(&sum.to_be_bytes());
    let way = if is_from_server { WAY as i64 } else { -(WAY as i64) };
    Record { nanos: (record.nanos + AHEAD).checked_add_signed(way).unwrap(), bytes }
}
