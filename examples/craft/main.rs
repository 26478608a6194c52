//! Makes those captures of `captures/` that no lab gives: what is rare, broken, or only seen in another wrapping.
//!
//! ```text
//! cargo run --example craft            all cases, into captures/
//! cargo run --example craft -- ech     this case
//! ```
//!
//! What `captures/single.py` recorded is taken from there where a real conversation will do, the rest is written here. The same
//! files come out of every run.

#![allow(missing_docs, unreachable_pub, reason = "a program of several files, and no library")]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a recipe that cannot go on should say where"
)]

mod blocked;
mod file;
mod frame;
mod rows;
mod say;
mod site;
mod talk;
mod wrap;

use std::io::Write as _;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::path::Path;

use file::Record;
use file::pcap;
use file::pcap_big_endian;
use file::pcapng_section;
use file::pcapng_statistics;
use file::read_pcap;
use frame::ACK;
use frame::PSH;

use frame::SYN;
use say::Special;
use say::hello;
use say::record;
use talk::Client;
use talk::End;
use talk::Server;
use talk::Talk;
use talk::Wire;
use wrap::ETHERNET;
use wrap::WRAPPINGS;

/// The file names of a case and their bytes.
type Files = Vec<(String, Vec<u8>)>;

/// A case: its name, what it shows, and how its files are made.
type Case = (&'static str, &'static str, fn() -> Files);

const CASES: &[Case] = &[
    ("hello-split", "a ClientHello in three segments, cut inside of the name", || wire(hello_split)),
    ("hello-out-of-order", "a ClientHello in two segments, the second first", || wire(hello_out_of_order)),
    ("hello-records", "a ClientHello spread over many records", || wire(hello_records)),
    (
        "hello-post-quantum",
        "a ClientHello whose name lies behind the key share of a post-quantum group",
        || wire(post_quantum),
    ),
    ("hello-dropped", "a ClientHello sent again and again after a handshake, with no answer", || {
        wire(hello_dropped)
    }),
    ("hello-reset", "a connection reset as soon as the ClientHello named its server", || wire(hello_reset)),
    ("ech", "an encrypted ClientHello: the name is the outer one", || wire(ech)),
    ("alert", "a server that refuses the handshake with an alert", || wire(alert)),
    ("starttls", "TLS behind STARTTLS of a mail server", || wire(starttls)),
    (
        "connect",
        "a proxy, found by its name, that first asks who is there, then lets a CONNECT through; TLS inside",
        || wire(connect),
    ),
    ("socks", "SOCKS 5 to a name; TLS inside", || wire(socks)),
    ("quic", "QUIC version 1 with a ClientHello over two Initial packets", || wire(quic)),
    ("quic-v2", "QUIC version 2", || wire(quic_v2)),
    (
        "inside",
        "what TLS and QUIC carry, as it shows from outside: DNS over TLS, over HTTPS and over QUIC, SMB over QUIC",
        || wire(inside),
    ),
    ("dns-https", "HTTPS and SVCB answers: hints, keys of ECH, a target with its address", || {
        wire(dns_https)
    }),
    ("dns-srv", "an SRV answer that brings its server's address along, and TLS to it", || wire(dns_srv)),
    ("dns-error", "a resolver that says why it will not answer (extended error)", || wire(dns_error)),
    (
        "mid-stream",
        "a capture that begins inside of a conversation, with a keep-alive before the request",
        || wire(mid_stream),
    ),
    ("one-sided", "only what the client sends is in the capture", one_sided),
    ("port-reuse", "two conversations on the same ports, one after the other", || wire(port_reuse)),
    ("simultaneous-open", "both sides send SYN at once", || wire(simultaneous_open)),
    ("sequence-wrap", "sequence numbers that pass zero inside of the ClientHello", || wire(sequence_wrap)),
    ("syn-ack-again", "a server that forgets its first SYN-ACK and answers with other numbers", || {
        wire(syn_ack_again)
    }),
    ("fragments-ipv4", "IPv4 fragments, in order", || wrapped("fragments", &lab("happy", STORAGE))),
    ("fragments-ipv6", "IPv6 fragments, the last first", fragments_ipv6),
    (
        "duplicates",
        "every frame twice, as a span port of both directions shows it; each counts once",
        duplicates,
    ),
    ("cut-file", "a file that ends inside of a record", cut_file),
    ("rotated", "two files with a look-up and a conversation across the seam", rotated),
    ("gzip", "a compressed file", || {
        vec![("capture.pcap.gz".into(), gzip(&pcap(ETHERNET, &lab("happy", STORAGE))))]
    }),
    ("zstd", "a compressed file", zstd),
    ("pcap-nanoseconds", "big-endian, with nanoseconds", nanoseconds),
    ("sensor-drops", "a SYN without an answer, in a capture whose sensor says that it lost packets", || {
        vec![("capture.pcapng".into(), dropped())]
    }),
    (
        "sensor-drops-gzip",
        "the same, compressed: that packets were lost is known only at its end, when the rows are told",
        || vec![("capture.pcapng.gz".into(), gzip(&dropped()))],
    ),
    ("pcapng-sections", "two sections, each with interfaces of its own link types", sections),
    ("wrapped-vlan", "a VLAN tag", || wrapped("vlan", &lab("happy", STORAGE))),
    ("wrapped-qinq", "two VLAN tags", || wrapped("qinq", &lab("happy", STORAGE))),
    ("wrapped-vxlan", "VXLAN", || wrapped("vxlan", &lab("happy", STORAGE))),
    ("wrapped-geneve", "GENEVE", || wrapped("geneve", &lab("happy", STORAGE))),
    ("wrapped-gre", "GRE", || wrapped("gre", &lab("happy", STORAGE))),
    ("wrapped-erspan", "ERSPAN type II", || wrapped("erspan", &lab("happy", STORAGE))),
    ("wrapped-mpls", "two MPLS labels", || wrapped("mpls", &lab("happy", STORAGE))),
    ("wrapped-pppoe", "PPPoE", || wrapped("pppoe", &lab("happy", STORAGE))),
    ("wrapped-6in4", "IPv6 inside IPv4", || wrapped("ip-in-ip", &lab("ipv6", ""))),
    ("link-sll", "Linux cooked capture", || wrapped("sll", &lab("happy", STORAGE))),
    ("link-sll2", "Linux cooked capture, version 2", || wrapped("sll2", &lab("happy", STORAGE))),
    ("link-raw", "packets without a link header", || wrapped("raw", &lab("happy", STORAGE))),
    ("link-null", "BSD loopback", || wrapped("null", &lab("happy", STORAGE))),
];

fn main() {
    let captures = Path::new(env!("CARGO_MANIFEST_DIR")).join("captures");
    let chosen: Vec<String> = std::env::args().skip(1).collect();
    for (name, shows, make) in CASES.iter().chain(site::CASES).chain(rows::CASES).chain(blocked::CASES) {
        if !chosen.is_empty() && !chosen.iter().any(|chosen| chosen == name) {
            continue;
        }
        let folder = captures.join(name);
        std::fs::create_dir_all(&folder).unwrap();
        for (file, bytes) in make() {
            std::fs::write(folder.join(file), bytes).unwrap();
        }
        let mut shows = (*shows).to_owned();
        shows[..1].make_ascii_uppercase();
        let readme = format!("# {name}\n\n{shows}.\n\nMade by `cargo run --example craft -- {name}`.\n");
        std::fs::write(folder.join("README.md"), readme).unwrap();
    }
}

const STORAGE: &str = "contosofs.file.core.windows.net";
const SYNC: &str = "westeurope01.afs.azure.net";

const SERVER: IpAddr = v4(10, 1, 0, 4);
const RESOLVER: IpAddr = v4(10, 1, 0, 53);
const PROXY: End = (v4(10, 1, 0, 8), 8080);
const AT_STORAGE: End = (v4(20, 60, 40, 4), 443);
const AT_SYNC: End = (v4(52, 138, 0, 20), 443);

const fn v4(a: u8, b: u8, c: u8, d: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(a, b, c, d))
}

/// One file of what `play` puts on a wire.
fn wire(play: fn(&mut Wire)) -> Files {
    let mut wire = Wire::default();
    play(&mut wire);
    vec![("capture.pcap".into(), pcap(ETHERNET, &wire.records))]
}

fn talk(port: u16, server: End) -> Talk {
    Talk::new((SERVER, port), server, [1000, 5000])
}

/// A hello in one record.
fn whole(name: &str) -> Vec<u8> {
    record(22, &hello(name, Special::default()))
}

/// The rest of a conversation whose hello was sent.
fn accepted(talk: &mut Talk, wire: &mut Wire) {
    talk.say(wire, Server, &say::server_hello());
    talk.say(wire, Client, &[&[20, 3, 3, 0, 1, 1][..], &record(23, &say::noise(20, 53))].concat());
    talk.say(wire, Server, &record(23, &say::noise(21, 300)));
    talk.close(wire);
}

fn hello_split(wire: &mut Wire) {
    let mut talk = talk(50001, AT_STORAGE);
    talk.open(wire);
    let hello = whole(STORAGE);
    let name = hello.windows(STORAGE.len()).position(|part| part == STORAGE.as_bytes()).unwrap();
    for part in [&hello[..3], &hello[3..name + 9], &hello[name + 9..]] {
        talk.segment(wire, Client, ACK | PSH, part);
    }
    accepted(&mut talk, wire);
}

fn hello_out_of_order(wire: &mut Wire) {
    let mut talk = talk(50002, AT_STORAGE);
    talk.open(wire);
    let hello = record(22, &hello(STORAGE, Special { post_quantum: true, ..Special::default() }));
    let first = talk.next[0];
    talk.segment_at(wire, Client, ACK | PSH, first.wrapping_add(1200), &hello[1200..]);
    talk.segment_at(wire, Client, ACK, first, &hello[..1200]);
    talk.next[0] = first.wrapping_add(hello.len() as u32);
    accepted(&mut talk, wire);
}

fn hello_records(wire: &mut Wire) {
    let mut talk = talk(50003, AT_STORAGE);
    talk.open(wire);
    let hello = hello(STORAGE, Special::default());
    let records: Vec<u8> = hello.chunks(20).flat_map(|part| record(22, part)).collect();
    talk.say(wire, Client, &records);
    accepted(&mut talk, wire);
}

fn post_quantum(wire: &mut Wire) {
    let mut talk = talk(50004, AT_STORAGE);
    talk.open(wire);
    talk.say(
        wire,
        Client,
        &record(22, &hello(STORAGE, Special { post_quantum: true, ..Special::default() })),
    );
    accepted(&mut talk, wire);
}

fn hello_dropped(wire: &mut Wire) {
    let mut talk = talk(50005, AT_SYNC);
    talk.open(wire);
    let hello = whole(SYNC);
    let first = talk.next[0];
    for millis in [0, 300, 600, 1200, 2400] {
        wire.wait(millis);
        talk.segment_at(wire, Client, ACK | PSH, first, &hello);
    }
    // The capture goes on: that nothing came is no matter of its end.
    wire.wait(60_000);
    wire.look_up(
        SERVER,
        RESOLVER,
        40006,
        &say::query(6, SYNC, 28),
        &say::response(6, SYNC, 28, 0, [&[], &[]]),
    );
}

fn hello_reset(wire: &mut Wire) {
    let mut talk = talk(50006, AT_SYNC);
    talk.open(wire);
    talk.segment(wire, Client, ACK | PSH, &whole(SYNC));
    talk.reset(wire, Server);
}

fn ech(wire: &mut Wire) {
    let mut talk = talk(50007, (v4(93, 184, 215, 14), 443));
    talk.open(wire);
    let special = Special { encrypted: true, ..Special::default() };
    talk.say(wire, Client, &record(22, &hello("public.vendor.example", special)));
    accepted(&mut talk, wire);
}

fn alert(wire: &mut Wire) {
    let mut talk = talk(50008, AT_STORAGE);
    talk.open(wire);
    talk.say(wire, Client, &whole(STORAGE));
    // RFC 8446 §6: fatal, handshake_failure.
    talk.say(wire, Server, &record(21, &[2, 40]));
    talk.close(wire);
}

fn starttls(wire: &mut Wire) {
    let mut talk = talk(50009, (v4(93, 184, 215, 25), 587));
    talk.open(wire);
    talk.say(wire, Server, b"220 mail.vendor.example ESMTP\r\n");
    talk.say(wire, Client, b"EHLO fs1.contoso.example\r\n");
    talk.say(wire, Server, b"250-mail.vendor.example\r\n250 STARTTLS\r\n");
    talk.say(wire, Client, b"STARTTLS\r\n");
    talk.say(wire, Server, b"220 go ahead\r\n");
    talk.say(wire, Client, &whole("mail.vendor.example"));
    accepted(&mut talk, wire);
}

fn connect(wire: &mut Wire) {
    let name = "proxy.vendor.example";
    let address = say::resource(name, 1, &[10, 1, 0, 8]);
    wire.look_up(
        SERVER,
        RESOLVER,
        40010,
        &say::query(10, name, 1),
        &say::response(10, name, 1, 0, [&[address], &[]]),
    );
    let mut talk = talk(50010, PROXY);
    talk.open(wire);
    let request = |more: &str| format!("CONNECT {SYNC}:443 HTTP/1.1\r\nHost: {SYNC}:443\r\n{more}\r\n");
    talk.say(wire, Client, request("").as_bytes());
    talk.say(
        wire,
        Server,
        b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Negotiate\r\nContent-Length: 7\r\n\r\nsign in",
    );
    talk.say(wire, Client, request("Proxy-Authorization: Negotiate bm90IGEgc2VjcmV0\r\n").as_bytes());
    talk.say(wire, Server, b"HTTP/1.1 200 Connection established\r\n\r\n");
    talk.say(wire, Client, &whole(SYNC));
    accepted(&mut talk, wire);
}

fn socks(wire: &mut Wire) {
    let mut talk = talk(50011, (v4(10, 1, 0, 8), 1080));
    talk.open(wire);
    talk.say(wire, Client, &[5, 1, 0]);
    talk.say(wire, Server, &[5, 0]);
    let request = [&[5, 1, 0, 3, SYNC.len() as u8][..], SYNC.as_bytes(), &443u16.to_be_bytes()].concat();
    talk.say(wire, Client, &request);
    talk.say(wire, Server, &[5, 0, 0, 1, 10, 1, 0, 8, 0xc0, 0]);
    talk.say(wire, Client, &whole(SYNC));
    accepted(&mut talk, wire);
}

fn quic(wire: &mut Wire) {
    let special = Special { post_quantum: true, quic: true, ..Special::default() };
    let hello = hello(STORAGE, special);
    for initial in say::initials(&say::QUIC_1, &hello, 2) {
        wire.datagram(Client, (SERVER, 50012), AT_STORAGE, &initial);
    }
    for seed in 30..33 {
        wire.datagram(Server, (SERVER, 50012), AT_STORAGE, &[&[0x40][..], &say::noise(seed, 300)].concat());
    }
}

fn quic_v2(wire: &mut Wire) {
    let hello = hello(STORAGE, Special { quic: true, ..Special::default() });
    for initial in say::initials(&say::QUIC_2, &hello, 1) {
        wire.datagram(Client, (SERVER, 50013), AT_STORAGE, &initial);
    }
    wire.datagram(Server, (SERVER, 50013), AT_STORAGE, &[&[0x40][..], &say::noise(30, 300)].concat());
}

fn inside(wire: &mut Wire) {
    let resolver = v4(203, 0, 113, 53);
    for (port, server_port, name, protocol) in [
        (50021, 853, "dot.vendor.example", Some("dot")),
        (50022, 443, "dot.vendor.example", Some("dot")),
        (50023, 443, "dns.google", None),
        (50024, 8443, "dns.google", None),
    ] {
        let mut talk = talk(port, (resolver, server_port));
        talk.open(wire);
        let special = Special { protocol, ..Special::default() };
        talk.say(wire, Client, &record(22, &hello(name, special)));
        accepted(&mut talk, wire);
    }
    for (port, server_port, name, protocol) in [
        (50025, 443, "files.contoso.example", Some("smb")),
        (50026, 853, "doq.vendor.example", Some("doq")),
        (50027, 443, "dns.google", None),
    ] {
        let hello = hello(name, Special { quic: true, protocol, ..Special::default() });
        for initial in say::initials(&say::QUIC_1, &hello, 1) {
            wire.datagram(Client, (SERVER, port), (resolver, server_port), &initial);
        }
        let answer = [&[0x40][..], &say::noise(30, 300)].concat();
        wire.datagram(Server, (SERVER, port), (resolver, server_port), &answer);
    }
}

/// RFC 9460 §14.3.2: keys of service parameters.
const ALPN: u16 = 1;
const IPV4_HINT: u16 = 4;
const ECH: u16 = 5;

fn dns_https(wire: &mut Wire) {
    const HTTPS: u16 = 65;
    const SVCB: u16 = 64;
    let name = "www.vendor.example";
    let here = say::service(
        1,
        "",
        &[(ALPN, b"\x02h3\x02h2"), (IPV4_HINT, &[93, 184, 215, 14]), (ECH, &say::noise(40, 24))],
    );
    let answer = say::resource(name, HTTPS, &here);
    wire.look_up(
        SERVER,
        RESOLVER,
        40001,
        &say::query(1, name, HTTPS),
        &say::response(1, name, HTTPS, 0, [&[answer], &[]]),
    );
    let (name, target) = ("_dns.resolver.example", "dns.vendor.example");
    let answer = say::resource(name, SVCB, &say::service(1, target, &[(ALPN, b"\x03dot")]));
    let address = say::resource(target, 1, &[93, 184, 215, 53]);
    wire.look_up(
        SERVER,
        RESOLVER,
        40002,
        &say::query(2, name, SVCB),
        &say::response(2, name, SVCB, 0, [&[answer], &[address]]),
    );
}

fn dns_srv(wire: &mut Wire) {
    const SRV: u16 = 33;
    let (name, target) = ("_sync._tcp.vendor.example", "sync1.vendor.example");
    let answer = say::resource(name, SRV, &say::server(443, target));
    let addresses = [
        say::resource(target, 1, &[93, 184, 215, 99]),
        say::resource("other.vendor.example", 1, &[192, 0, 2, 9]),
    ];
    wire.look_up(
        SERVER,
        RESOLVER,
        40003,
        &say::query(3, name, SRV),
        &say::response(3, name, SRV, 0, [&[answer], &addresses]),
    );
    let mut talk = talk(50014, (v4(93, 184, 215, 99), 443));
    talk.open(wire);
    talk.say(wire, Client, &whole(target));
    accepted(&mut talk, wire);
}

fn dns_error(wire: &mut Wire) {
    // RFC 8914 §4.16: 15 is Blocked; SERVFAIL and NXDOMAIN come with it.
    let blocked = say::extended_error(15, "not allowed by the site's policy");
    wire.look_up(
        SERVER,
        RESOLVER,
        40004,
        &say::query(4, SYNC, 1),
        &say::response(4, SYNC, 1, 3, [&[], &[blocked]]),
    );
    let broken = say::extended_error(22, "");
    wire.look_up(
        SERVER,
        RESOLVER,
        40005,
        &say::query(5, STORAGE, 1),
        &say::response(5, STORAGE, 1, 2, [&[], &[broken]]),
    );
}

fn mid_stream(wire: &mut Wire) {
    let mut talk = talk(50015, (v4(23, 32, 0, 17), 80));
    talk.segment_at(wire, Client, ACK, talk.next[0].wrapping_sub(1), &[0]);
    talk.segment(wire, Server, ACK, &[]);
    wire.wait(600);
    talk.say(wire, Client, b"GET /status HTTP/1.1\r\nHost: ocsp.msocsp.com\r\n\r\n");
    talk.say(wire, Server, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
}

fn one_sided() -> Files {
    let mut records = lab("happy", STORAGE);
    let client = Ipv4Addr::new(10, 1, 0, 4).octets();
    records.retain(|record| record.bytes[26..30] == client);
    vec![("capture.pcap".into(), pcap(ETHERNET, &records))]
}

fn port_reuse(wire: &mut Wire) {
    for (first, name) in [([1000, 5000], STORAGE), ([90_000, 70_000], SYNC)] {
        let mut talk = Talk::new((SERVER, 50016), AT_STORAGE, first);
        talk.open(wire);
        talk.say(wire, Client, &whole(name));
        accepted(&mut talk, wire);
        wire.wait(2000);
    }
}

fn simultaneous_open(wire: &mut Wire) {
    let mut talk = talk(50017, (v4(93, 184, 215, 14), 443));
    // RFC 9293 §3.5, figure 7.
    let first = talk.next;
    talk.segment(wire, Client, SYN, &[]);
    talk.segment(wire, Server, SYN, &[]);
    talk.segment_at(wire, Client, SYN | ACK, first[0], &[]);
    talk.segment_at(wire, Server, SYN | ACK, first[1], &[]);
    talk.say(wire, Client, &whole("updates.vendor.example"));
    accepted(&mut talk, wire);
}

fn sequence_wrap(wire: &mut Wire) {
    let mut talk = Talk::new((SERVER, 50018), AT_STORAGE, [u32::MAX - 100, u32::MAX - 50]);
    talk.open(wire);
    let hello = whole(STORAGE);
    for part in hello.chunks(80) {
        talk.segment(wire, Client, ACK | PSH, part);
    }
    accepted(&mut talk, wire);
}

fn syn_ack_again(wire: &mut Wire) {
    let mut talk = talk(50019, AT_STORAGE);
    talk.segment(wire, Client, SYN, &[]);
    talk.segment(wire, Server, SYN | ACK, &[]);
    wire.wait(1000);
    talk.next[1] = 777_000;
    talk.segment(wire, Server, SYN | ACK, &[]);
    talk.segment(wire, Client, ACK, &[]);
    talk.say(wire, Client, &whole(STORAGE));
    accepted(&mut talk, wire);
}

/// What the lab recorded: of a case, the look-ups of `name` and the conversations with its address; all of it without a name.
fn lab(case: &str, name: &str) -> Vec<Record> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("captures").join(case).join("capture.pcap");
    let mut records = read_pcap(&std::fs::read(path).unwrap());
    let first = name.split('.').next().unwrap().as_bytes();
    let IpAddr::V4(address) = AT_STORAGE.0 else { unreachable!("storage is at an IPv4 address") };
    let about = |record: &Record| {
        let bytes = &record.bytes;
        let between = [26, 30].iter().any(|at| bytes[*at..at + 4] == address.octets());
        first.is_empty() || between || bytes[23] == 17 && bytes.windows(first.len()).any(|part| part == first)
    };
    records.retain(about);
    assert!(records.len() > 4, "{case}: captures/single.py records it");
    records
}

/// The records in one of the wrappings.
fn wrapped(name: &str, records: &[Record]) -> Files {
    let wrapping = WRAPPINGS.iter().find(|wrapping| wrapping.name == name).unwrap();
    let wrap = |record: &Record| {
        let nanos = record.nanos;
        (wrapping.wrap)(&record.bytes).into_iter().map(move |bytes| Record { nanos, bytes })
    };
    let records: Vec<Record> = records.iter().flat_map(wrap).collect();
    vec![("capture.pcap".into(), pcap(wrapping.link, &records))]
}

fn fragments_ipv6() -> Files {
    let mut out = Vec::new();
    for record in lab("ipv6", "") {
        for bytes in wrap::fragments(&record.bytes).into_iter().rev() {
            out.push(Record { nanos: record.nanos, bytes });
        }
    }
    vec![("capture.pcap".into(), pcap(ETHERNET, &out))]
}

fn duplicates() -> Files {
    let twice = |record: Record| {
        let again = Record { nanos: record.nanos + 4000, bytes: record.bytes.clone() };
        [record, again]
    };
    let records: Vec<Record> = lab("happy", STORAGE).into_iter().flat_map(twice).collect();
    vec![("capture.pcap".into(), pcap(ETHERNET, &records))]
}

fn cut_file() -> Files {
    let mut bytes = pcap(ETHERNET, &lab("happy", STORAGE));
    bytes.truncate(bytes.len() - 40);
    vec![("capture.pcap".into(), bytes)]
}

fn rotated() -> Files {
    let records = lab("happy", STORAGE);
    // The first file ends between the question and its answer; the second inside of the hello's conversation.
    let (first, rest) = records.split_at(1);
    let (second, third) = rest.split_at(4);
    let parts = [first, second, third].into_iter().enumerate();
    parts.map(|(number, part)| (format!("capture-{}.pcap", number + 1), pcap(ETHERNET, part))).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd() -> Files {
    let bytes = pcap(ETHERNET, &lab("happy", STORAGE));
    let level = ruzstd::encoding::CompressionLevel::Fastest;
    vec![("capture.pcap.zst".into(), ruzstd::encoding::compress_to_vec(&bytes[..], level))]
}

fn nanoseconds() -> Files {
    let mut records = lab("happy", STORAGE);
    for (number, record) in (0..).zip(&mut records) {
        record.nanos += number * 7 % 1000;
    }
    vec![("capture.pcap".into(), pcap_big_endian(ETHERNET, &records))]
}

fn dropped() -> Vec<u8> {
    let records = lab("unanswered", "");
    let records: Vec<_> = records.iter().map(|record| (0, record)).collect();
    let received = records.len() as u64;
    [pcapng_section(&[ETHERNET], &records), pcapng_statistics(0, received, 2)].concat()
}

fn sections() -> Files {
    const RAW: u32 = 101;
    let records = lab("happy", STORAGE);
    let raw = |record: &Record| Record { nanos: record.nanos, bytes: record.bytes[14..].to_vec() };
    let (first, second) = records.split_at(records.len() / 2);
    let raws: Vec<Record> = second.iter().map(raw).collect();
    let first: Vec<_> = first.iter().map(|record| (0, record)).collect();
    // In the second section the client's and the server's frames come from different interfaces.
    let pick = |(whole, raw)| {
        let record: &Record = whole;
        if record.bytes[26..28] == [10, 1] { (0, raw) } else { (1, record) }
    };
    let second: Vec<_> = second.iter().zip(&raws).map(pick).collect();
    let bytes = [pcapng_section(&[ETHERNET], &first), pcapng_section(&[RAW, ETHERNET], &second)].concat();
    vec![("capture.pcapng".into(), bytes)]
}
