//! Traffic that is made to be expensive, and ordinary traffic to compare it with.
//!
//! In:  the number of packets.
//! Out: frames.
//! Not: what they cost.

use super::frames::ACK;
use super::frames::CaptureWriter;
use super::frames::End;
use super::frames::FIN;
use super::frames::SYN;

type Write = fn(&mut CaptureWriter, u64);

/// Name, packets, and what writes about so many. The first three are one packet, ordinary traffic and ordinary DNS; attacks whose
/// name begins with `dns` are compared with the latter, others with the former.
pub(crate) const ATTACKS: &[(&str, u64, Write)] = &[
    ("one packet", 1, |writer, _| writer.udp(CLIENT, RESOLVER, &query(0, "a.example"))),
    ("ordinary traffic", 200_000, ordinary),
    ("ordinary DNS", 100_000, ordinary_dns),
    ("a million SYNs", 1_000_000, syns),
    ("random TCP numbers", 100_000, random_numbers),
    ("holes in random order", 100_000, holes),
    ("overlapping segments", 100_000, overlaps),
    ("half-open ClientHellos", 100_000, half_open_hellos),
    ("fragments without an end", 100_000, fragments),
    ("tiny fragments of one datagram", 100_000, tiny_fragments),
    ("dns pointer chains", 20_000, |writer, count| dns_responses(writer, count, &pointer_chains())),
    ("dns pointer chains over TCP", 20_000, |writer, count| dns_over_tcp(writer, count, &pointer_chains())),
    ("dns long names", 20_000, |writer, count| dns_responses(writer, count, &long_names())),
    ("dns many addresses", 20_000, |writer, count| dns_responses(writer, count, &many_addresses())),
    ("dns unanswered queries", 100_000, unanswered_queries),
    ("dns unanswered, one port", 100_000, unanswered_on_one_port),
    ("quic garbage", 50_000, quic_garbage),
    ("names without end", 100_000, names),
    ("clock set back by each frame", 100_000, |writer, count| {
        clocks(writer, count, |index| 2_000_000_000 - index)
    }),
    ("clock between 1970 and 2106", 100_000, |writer, count| {
        clocks(writer, count, |index| index % 2 * 4_290_000_000)
    }),
    ("one row a packet", 100_000, one_row_a_packet),
    ("icmp quotes of one flow", 100_000, |writer, count| icmp_quotes(writer, count, 1)),
    ("icmp quotes of no flow", 100_000, |writer, count| icmp_quotes(writer, count, 60_000)),
];

const CLIENT: End = End([10, 1, 0, 4], 50_000);
const SERVER: End = End([20, 60, 0, 4], 443);
const RESOLVER: End = End([10, 1, 0, 53], 53);

/// Lookups and TLS connections of forty hosts to two hundred names.
fn ordinary(writer: &mut CaptureWriter, count: u64) {
    const PACKETS: u64 = 24;
    for number in 0..count / PACKETS {
        let host = [10, 1, 0, (number % 40) as u8 + 10];
        let name = format!("host{}.core.example", number % 200);
        let address = [20, 60, 1, (number % 200) as u8];
        let (port, id) = (1_024 + (number % 60_000) as u16, number as u16);
        writer.udp(End(host, port), RESOLVER, &query(id, &name));
        writer.udp(RESOLVER, End(host, port), &response(id, &name, &[address_record(address)]));
        tls_connection(writer, End(host, port), End(address, 443), &name);
        // Idle connections end after ten seconds.
        writer.micros += 2_000;
    }
}

/// Lookups as resolvers of today answer them: an alias, then two addresses.
fn ordinary_dns(writer: &mut CaptureWriter, count: u64) {
    for number in 0..count / 2 {
        let host = [10, 1, 0, (number % 40) as u8 + 10];
        let name = format!("host{}.core.example", number % 200);
        let alias = encode_name(&format!("host{}.region.cluster.example", number % 200));
        let alias_at = (12 + name.len() + 2 + 4 + 12) as u8;
        let mut records =
            vec![[&[0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 60, 0, alias.len() as u8][..], &alias].concat()];
        for last in [1, 2] {
            let address = [20, 60, (number % 200) as u8, last];
            records.push([&[0xc0, alias_at, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4][..], &address].concat());
        }
        let (port, id) = (1_024 + (number % 60_000) as u16, number as u16);
        writer.udp(End(host, port), RESOLVER, &query(id, &name));
        writer.udp(RESOLVER, End(host, port), &response(id, &name, &records));
        writer.micros += 2_000;
    }
}

fn tls_connection(writer: &mut CaptureWriter, client: End, server: End, name: &str) {
    let (hello, data) = (client_hello(name), writer.noise(1_300));
    let (mut sent, mut received) = (1_001, 9_001);
    writer.tcp(client, server, SYN, 1_000, 0, &[]);
    writer.tcp(server, client, SYN | ACK, 9_000, 1_001, &[]);
    writer.tcp(client, server, ACK, sent, received, &[]);
    writer.tcp(client, server, ACK, sent, received, &hello);
    sent += hello.len() as u32;
    let hello = server_hello();
    writer.tcp(server, client, ACK, received, sent, &hello);
    received += hello.len() as u32;
    for _ in 0..6 {
        let record = [&[23, 3, 3, 5, 15][..], data.get(..1_295).unwrap_or(&data)].concat();
        writer.tcp(server, client, ACK, received, sent, &record);
        received += record.len() as u32;
        writer.tcp(client, server, ACK, sent, received, &[]);
    }
    writer.tcp(client, server, ACK, sent, received, &[23, 3, 3, 0, 3, 1, 2, 3]);
    sent += 8;
    writer.tcp(server, client, ACK, received, sent, &[]);
    writer.tcp(client, server, FIN | ACK, sent, received, &[]);
    writer.tcp(server, client, FIN | ACK, received, sent + 1, &[]);
    writer.tcp(client, server, ACK, sent + 1, received + 1, &[]);
}

fn client_hello(name: &str) -> Vec<u8> {
    // RFC 8446 §4.1.2, RFC 6066 §3.
    let len = |bytes: &[u8]| (bytes.len() as u16).to_be_bytes();
    let entry = [&[0][..], &len(name.as_bytes()), name.as_bytes()].concat();
    let list = [&len(&entry)[..], &entry].concat();
    let versions = [0, 43, 0, 3, 2, 3, 4];
    let extensions = [&[0, 0][..], &len(&list), &list, &versions].concat();
    let mut body = [&[3, 3][..], &[7; 32], &[0], &[0, 4, 0x13, 1, 0x13, 2], &[1, 0]].concat();
    body.extend(len(&extensions));
    body.extend(&extensions);
    handshake(1, &body)
}

fn server_hello() -> Vec<u8> {
    let mut body = [&[3, 3][..], &[8; 32], &[0], &[0x13, 1, 0]].concat();
    body.extend([0, 6, 0, 43, 0, 2, 3, 4]);
    handshake(2, &body)
}

fn handshake(kind: u8, body: &[u8]) -> Vec<u8> {
    let message = [&[kind, 0][..], &(body.len() as u16).to_be_bytes(), body].concat();
    [&[22, 3, 1][..], &(message.len() as u16).to_be_bytes(), &message].concat()
}

fn syns(writer: &mut CaptureWriter, count: u64) {
    for _ in 0..count {
        let random = writer.random();
        let from = End((random as u32).to_be_bytes(), (random >> 32) as u16);
        writer.tcp(from, SERVER, SYN, (random >> 24) as u32, 0, &[]);
    }
}

fn open(writer: &mut CaptureWriter, client: End) {
    writer.tcp(client, SERVER, SYN, 1_000, 0, &[]);
    writer.tcp(SERVER, client, SYN | ACK, 9_000, 1_001, &[]);
    writer.tcp(client, SERVER, ACK, 1_001, 9_001, &[]);
}

fn random_numbers(writer: &mut CaptureWriter, count: u64) {
    open(writer, CLIENT);
    for index in 0..count {
        let random = writer.random();
        let (from, to) = if index % 2 == 0 { (CLIENT, SERVER) } else { (SERVER, CLIENT) };
        writer.tcp(from, to, ACK, random as u32, (random >> 32) as u32, b"abc");
    }
}

fn holes(writer: &mut CaptureWriter, count: u64) {
    let mut client = CLIENT;
    for index in 0..count {
        if index % 5_000 == 0 {
            client.1 += 1;
            open(writer, client);
        }
        let step = writer.random() % 30_000;
        writer.tcp(client, SERVER, ACK, 1_003 + step as u32 * 2, 9_001, b"a");
    }
}

fn overlaps(writer: &mut CaptureWriter, count: u64) {
    let mut client = CLIENT;
    for index in 0..count {
        if index % 1_000 == 0 {
            client.1 += 1;
            open(writer, client);
        }
        let (begin, bytes) = (writer.random() % 40_000, writer.noise(1_400));
        writer.tcp(client, SERVER, ACK, 1_002 + begin as u32, 9_001, &bytes);
    }
}

fn half_open_hellos(writer: &mut CaptureWriter, count: u64) {
    let mut hello = client_hello(&"a".repeat(60));
    // Its record claims more than ever comes.
    hello.splice(3..5, [0x3f, 0xff]);
    for number in 0..count / 4 {
        let client = End([10, 2, (number >> 16) as u8, 9], number as u16);
        open(writer, client);
        let filled = [&hello[..], &[0; 1_200]].concat();
        writer.tcp(client, SERVER, ACK, 1_001, 9_001, &filled);
    }
}

fn fragments(writer: &mut CaptureWriter, count: u64) {
    let body = [7; 1_400];
    for index in 0..count {
        let [_, _, high, low] = (index as u32 >> 16).to_be_bytes();
        writer.fragment([10, 3, high, low], SERVER.0, index as u16, 0x2000, &body);
    }
}

fn tiny_fragments(writer: &mut CaptureWriter, count: u64) {
    for index in 0..count {
        let offset = 2 * (writer.random() % 4_000) as u16 + 1;
        writer.fragment(CLIENT.0, SERVER.0, (index >> 13) as u16, 0x2000 | offset, &[7; 8]);
    }
}

fn encode_name(name: &str) -> Vec<u8> {
    let mut bytes: Vec<u8> =
        name.split('.').flat_map(|label| [&[label.len() as u8][..], label.as_bytes()].concat()).collect();
    bytes.push(0);
    bytes
}

/// A query for an A record (RFC 1035 §4.1).
fn query(id: u16, name: &str) -> Vec<u8> {
    [&id.to_be_bytes()[..], &[1, 0, 0, 1, 0, 0, 0, 0, 0, 0], &encode_name(name), &[0, 1, 0, 1]].concat()
}

/// The response to it, with these answers.
fn response(id: u16, name: &str, answers: &[Vec<u8>]) -> Vec<u8> {
    let counts = [&[0, 1][..], &(answers.len() as u16).to_be_bytes(), &[0; 4]].concat();
    [&id.to_be_bytes()[..], &[0x81, 0x80], &counts, &encode_name(name), &[0, 1, 0, 1], &answers.concat()]
        .concat()
}

fn address_record(address: [u8; 4]) -> Vec<u8> {
    [&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4][..], &address].concat()
}

/// Answers of a response that is made to be expensive.
struct Answers {
    name: String,
    records: Vec<Vec<u8>>,
}

/// CNAME records whose names are chains of pointers.
fn pointer_chains() -> Answers {
    // The question's name is 127 labels of one byte; each answer points to it through the answer before.
    let name = vec!["a"; 100].join(".");
    let first = 12 + name.len() + 2 + 4;
    let records = (0..80).map(|index| {
        let at: usize = if index == 0 { 12 } else { first + (index - 1) * 14 };
        let pointer = (0xc000 | at as u16).to_be_bytes();
        [&pointer[..], &[0, 5, 0, 1, 0, 0, 0, 60, 0, 2], &pointer].concat()
    });
    Answers { name, records: records.collect() }
}

/// CNAME records with names of 250 bytes.
fn long_names() -> Answers {
    let name = vec!["a".repeat(61); 4].join(".");
    let records =
        (0..70).map(|_| [&[0xc0, 12, 0, 5, 0, 1, 0, 0, 0, 60, 0, 4, 1, b'x'][..], &[0xc0, 12 + 62]].concat());
    Answers { name, records: records.collect() }
}

fn many_addresses() -> Answers {
    let records = (0..85u32).map(|index| address_record((0x1400_0000 + index * 257).to_be_bytes()));
    Answers { name: "many.core.example".to_owned(), records: records.collect() }
}

fn dns_responses(writer: &mut CaptureWriter, count: u64, answers: &Answers) {
    for index in 0..count {
        let client = End([10, 1, 0, 4], 1_024 + (index % 60_000) as u16);
        writer.udp(RESOLVER, client, &response(index as u16, &answers.name, &answers.records));
    }
}

fn dns_over_tcp(writer: &mut CaptureWriter, count: u64, answers: &Answers) {
    let message = response(7, &answers.name, &answers.records);
    let framed = [&(message.len() as u16).to_be_bytes()[..], &message].concat();
    writer.tcp(CLIENT, RESOLVER, SYN, 1_000, 0, &[]);
    writer.tcp(RESOLVER, CLIENT, SYN | ACK, 9_000, 1_001, &[]);
    for index in 0..count {
        writer.tcp(RESOLVER, CLIENT, ACK, 9_001 + (index * framed.len() as u64) as u32, 1_001, &framed);
    }
}

fn unanswered_queries(writer: &mut CaptureWriter, count: u64) {
    for index in 0..count {
        let client = End([10, 1, (index / 60_000) as u8, 4], 1_024 + (index % 60_000) as u16);
        writer.udp(client, RESOLVER, &query(index as u16, &format!("host{index}.core.example")));
    }
}

fn unanswered_on_one_port(writer: &mut CaptureWriter, count: u64) {
    for index in 0..count {
        writer.udp(CLIENT, RESOLVER, &query(index as u16, &format!("host{index}.core.example")));
    }
}

fn quic_garbage(writer: &mut CaptureWriter, count: u64) {
    for index in 0..count {
        // RFC 9000 §17.2.2: an Initial packet of version 1 with a connection ID of its own.
        let mut packet = vec![0xc3, 0, 0, 0, 1, 8];
        packet.extend(writer.random().to_be_bytes());
        packet.extend([0, 0, 0x44, 0x96]);
        packet.extend(writer.noise(0x496));
        let client = End([10, 1, 0, 4], 1_024 + (index % 500) as u16);
        writer.udp(client, SERVER, &packet);
    }
}

fn names(writer: &mut CaptureWriter, count: u64) {
    for number in 0..count / 5 {
        let client = End([10, 1, (number / 60_000) as u8, 5], 1_024 + (number % 60_000) as u16);
        open(writer, client);
        let hello = client_hello(&format!("{number}.{}.example", "x".repeat(60)));
        writer.tcp(client, SERVER, ACK, 1_001, 9_001, &hello);
        writer.tcp(SERVER, client, ACK, 9_001, 1_001 + hello.len() as u32, &server_hello());
    }
}

fn clocks(writer: &mut CaptureWriter, count: u64, second: fn(u64) -> u64) {
    for index in 0..count {
        writer.micros = second(index) * 1_000_000;
        writer.udp(End([10, 1, 0, 4], (index % 5_000) as u16), End([20, 60, 0, 4], 9_000), b"abc");
    }
}

fn one_row_a_packet(writer: &mut CaptureWriter, count: u64) {
    for index in 0..count {
        let [a, b, high, low] = (index as u32).to_be_bytes();
        writer.udp(End([10, 1, a, b], 9), End([20, 60, high, low], 9_000), b"abc");
    }
}

fn icmp_quotes(writer: &mut CaptureWriter, count: u64, flows: u64) {
    writer.tcp(CLIENT, SERVER, SYN, 1_000, 0, &[]);
    for index in 0..count {
        let quoted = End(CLIENT.0, CLIENT.1 + (index % flows) as u16 % 15_000);
        let router = [10, 9, (index >> 8) as u8, index as u8];
        writer.icmp_error(router, quoted, SERVER, 1_000);
    }
}
