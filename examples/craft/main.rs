//! Writes the cases of `captures/` that cannot be recorded at will: rare, damaged or encapsulated traffic.
//!
//! ```text
//! cargo run --example craft            write all cases to captures/
//! cargo run --example craft -- ech     write the case `ech`
//! ```
//!
//! Where a real connection is enough, it is taken from a case that `captures/single.py` recorded. Every run writes the same bytes.

#![allow(missing_docs, unreachable_pub, reason = "modules of a program, not of a library")]
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic shows where a recipe fails")]

mod blocking_cases;
mod capture_file;
mod conversation;
mod dns_cases;
mod encapsulation;
mod event_trace;
mod frame;
mod messages;
mod point_cases;
mod rare_encapsulation;
mod reference_cases;
mod site_cases;
mod tls_cases;

use std::io::Write as _;
use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::path::Path;

use capture_file::Record;
use capture_file::netmon;
use capture_file::pcap;
use capture_file::pcap_big_endian;
use capture_file::pcapng_section;
use capture_file::pcapng_statistics;
use capture_file::read_pcap;
use frame::ACK;
use frame::PSH;

use conversation::Client;
use conversation::End;
use conversation::Server;
use conversation::TcpConversation;
use conversation::Trace;
use encapsulation::ENCAPSULATIONS;
use encapsulation::ETHERNET;
use event_trace::Clock;
use event_trace::Drop;
use event_trace::Lost;
use event_trace::Provider;
use event_trace::Sender;
use event_trace::TraceKind;
use event_trace::Translation;
use event_trace::event_trace;
use frame::SYN;
use messages::HelloOptions;
use messages::hello;
use messages::record;
use rare_encapsulation::RARE_ENCAPSULATIONS;

/// Names and contents of the files of a case.
type Files = Vec<(String, Vec<u8>)>;

/// A case: its name, what it shows, and the function that makes its files.
type Case = (&'static str, &'static str, fn() -> Files);

const CASES: &[Case] = &[
    ("client-hello-split", "a ClientHello in three TCP segments, split inside the server name", || {
        one_file(tls_cases::client_hello_split)
    }),
    ("client-hello-out-of-order", "a ClientHello in two TCP segments that arrive out of order", || {
        one_file(tls_cases::client_hello_out_of_order)
    }),
    ("client-hello-records", "a ClientHello fragmented over many TLS records", || {
        one_file(tls_cases::client_hello_records)
    }),
    (
        "client-hello-post-quantum",
        "a ClientHello with a post-quantum key share, and the server name after it",
        || one_file(tls_cases::client_hello_post_quantum),
    ),
    (
        "client-hello-dropped",
        "a ClientHello that is retransmitted after the handshake without a reply",
        || one_file(tls_cases::client_hello_dropped),
    ),
    ("client-hello-reset", "a connection reset right after the ClientHello", || {
        one_file(tls_cases::client_hello_reset)
    }),
    ("client-hello-closed", "a connection that the server closes right after the ClientHello", || {
        one_file(tls_cases::client_hello_closed)
    }),
    (
        "client-hello-cut",
        "a ClientHello whose second segment was not captured, before its server name",
        || one_file(tls_cases::client_hello_cut),
    ),
    ("tls-resumed", "a resumed TLS session", || one_file(tls_cases::tls_resumed)),
    ("ech", "an encrypted ClientHello: the visible name is the outer one", || one_file(tls_cases::ech)),
    ("tls-alert", "a server that refuses the handshake with an alert", || one_file(tls_cases::tls_alert)),
    ("starttls", "TLS after STARTTLS on a mail server", || one_file(tls_cases::starttls)),
    (
        "proxy-connect",
        "a proxy resolved by name: CONNECT with authentication (407, then 200), and TLS in the tunnel",
        || one_file(proxy_connect),
    ),
    ("proxy-socks", "SOCKS 5 with a domain name, and TLS in the tunnel", || one_file(proxy_socks)),
    ("quic", "QUIC version 1 with a ClientHello in two Initial packets", || one_file(quic)),
    ("quic-v2", "QUIC version 2", || one_file(quic_v2)),
    ("quic-refused", "a server that closes a QUIC connection with CONNECTION_REFUSED", || {
        one_file(quic_refused)
    }),
    (
        "proxy-protocol",
        "a load balancer that gives the client's address in a PROXY protocol header, before TLS",
        || one_file(proxy_protocol),
    ),
    (
        "app-inside-tls",
        "applications inferred inside TLS and QUIC: DNS over TLS, HTTPS and QUIC, and SMB over QUIC",
        || one_file(app_inside_tls),
    ),
    (
        "dns-https",
        "HTTPS and SVCB records: address hints, an ECH configuration, and a target with its address",
        || one_file(dns_cases::dns_https),
    ),
    (
        "dns-srv",
        "an SRV record with the target's address in the additional section, and TLS to that target",
        || one_file(dns_cases::dns_srv),
    ),
    (
        "dns-pointer-chains",
        "a DNS response with chains of compression pointers. Each is followed once, and the row lists a part of the answers",
        || one_file(dns_cases::dns_pointer_chains),
    ),
    ("dns-damaged", "a DNS response whose second record claims more bytes than the message has", || {
        one_file(dns_cases::dns_damaged)
    }),
    (
        "dns-multicast-update",
        "multicast DNS between neighbours, and a dynamic update: neither resolves a name with a resolver",
        || one_file(dns_cases::dns_multicast_update),
    ),
    ("dns-error", "DNS errors with an extended error (RFC 8914)", || one_file(dns_cases::dns_error)),
    ("mid-stream", "a capture that starts mid-stream, with a TCP keep-alive before the request", || {
        one_file(mid_stream)
    }),
    ("one-sided", "a one-sided capture: packets of the client only", one_sided),
    ("port-reuse", "two connections with the same 5-tuple, one after the other", || one_file(port_reuse)),
    ("simultaneous-open", "a simultaneous open: both sides send a SYN", || one_file(simultaneous_open)),
    ("sequence-wrap", "sequence numbers that wrap inside the ClientHello", || one_file(sequence_wrap)),
    ("syn-ack-changed", "a server that answers a SYN twice, with different initial sequence numbers", || {
        one_file(syn_ack_changed)
    }),
    ("fragments-ipv4", "IPv4 fragments, in order", || {
        encapsulated("fragments", &recorded("working-site", STORAGE))
    }),
    ("fragments-ipv6", "IPv6 fragments, last fragment first", fragments_ipv6),
    (
        "duplicates",
        "every frame captured twice by a mirror port of both directions; duplicates are counted once",
        duplicates,
    ),
    ("truncated-file", "a file that ends inside a record", truncated_file),
    (
        "rotated-files",
        "three files, with a DNS query and a TLS connection that continue in the next file",
        rotated_files,
    ),
    ("gzip", "a pcap file compressed with gzip", || {
        vec![("capture.pcap.gz".into(), gzip(&pcap(ETHERNET, &recorded("working-site", STORAGE))))]
    }),
    ("zstd", "a pcap file compressed with zstd", zstd),
    ("netmon", "a file of Microsoft Network Monitor 2.3", || {
        vec![("capture.cap".into(), netmon(&recorded("working-site", STORAGE)))]
    }),
    ("pcap-nanoseconds", "a big-endian pcap file with nanoseconds", nanoseconds),
    ("capture-drops", "a SYN without a reply, in a capture whose statistics report dropped packets", || {
        vec![("capture.pcapng".into(), with_drops())]
    }),
    (
        "capture-drops-gzip",
        "the same file compressed: the statistics at its end are read only after the rows were written",
        || vec![("capture.pcapng.gz".into(), gzip(&with_drops()))],
    ),
    (
        "dropped-by-host",
        "an event trace of Packet Monitor: a SYN that the host's own filter drops, a SYN-ACK that its virtual switch drops, a connection that works, and multicast without a listener",
        || vec![("capture.etl".into(), dropped_by_host())],
    ),
    (
        "translated-by-host",
        "an event trace of Packet Monitor: a container behind the NAT of its host, whose packets are logged with both addresses",
        translated_by_host,
    ),
    ("pcapng-sections", "two pcapng sections whose interfaces have different link types", sections),
    ("encap-vlan", "a VLAN tag", || encapsulated("vlan", &recorded("working-site", STORAGE))),
    ("encap-qinq", "two VLAN tags", || encapsulated("qinq", &recorded("working-site", STORAGE))),
    ("encap-vxlan", "VXLAN", || encapsulated("vxlan", &recorded("working-site", STORAGE))),
    ("encap-geneve", "GENEVE", || encapsulated("geneve", &recorded("working-site", STORAGE))),
    ("encap-gre", "GRE", || encapsulated("gre", &recorded("working-site", STORAGE))),
    ("encap-erspan", "ERSPAN type II", || encapsulated("erspan", &recorded("working-site", STORAGE))),
    ("encap-mpls", "two MPLS labels", || encapsulated("mpls", &recorded("working-site", STORAGE))),
    ("encap-pppoe", "PPPoE", || encapsulated("pppoe", &recorded("working-site", STORAGE))),
    ("encap-6in4", "IPv6 in IPv4", || encapsulated("ip-in-ip", &recorded("ipv6", ""))),
    (
        "rare-encapsulations",
        "a DNS query and response for each link type and tunnel that public captures do not show, named after it",
        rare_encapsulations,
    ),
    ("link-sll", "link type LINUX_SLL (cooked capture)", || {
        encapsulated("sll", &recorded("working-site", STORAGE))
    }),
    ("link-sll2", "link type LINUX_SLL2 (cooked capture, version 2)", || {
        encapsulated("sll2", &recorded("working-site", STORAGE))
    }),
    ("link-raw", "link type RAW: IP packets without a link-layer header", || {
        encapsulated("raw", &recorded("working-site", STORAGE))
    }),
    ("link-null", "link type NULL (BSD loopback)", || {
        encapsulated("null", &recorded("working-site", STORAGE))
    }),
];

fn main() {
    let captures = Path::new(env!("CARGO_MANIFEST_DIR")).join("captures");
    let chosen: Vec<String> = std::env::args().skip(1).collect();
    for (name, shows, make) in CASES
        .iter()
        .chain(site_cases::CASES)
        .chain(reference_cases::CASES)
        .chain(blocking_cases::CASES)
        .chain(point_cases::CASES)
    {
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

/// One pcap file of the packets that `write_trace` writes.
fn one_file(write_trace: fn(&mut Trace)) -> Files {
    let mut trace = Trace::default();
    write_trace(&mut trace);
    vec![("capture.pcap".into(), pcap(ETHERNET, &trace.records))]
}

fn conversation(port: u16, server: End) -> TcpConversation {
    TcpConversation::new((SERVER, port), server, [1000, 5000])
}

/// A ClientHello in one TLS record.
fn hello_record(name: &str) -> Vec<u8> {
    record(22, &hello(name, HelloOptions::default()))
}

/// The rest of a TLS connection after the ClientHello.
fn finish_tls(tcp: &mut TcpConversation, trace: &mut Trace) {
    tcp.send(trace, Server, &messages::server_hello());
    tcp.send(trace, Client, &[&[20, 3, 3, 0, 1, 1][..], &record(23, &messages::filler(20, 53))].concat());
    tcp.send(trace, Server, &record(23, &messages::filler(21, 300)));
    tcp.close(trace);
}

fn proxy_connect(trace: &mut Trace) {
    let name = "proxy.vendor.example";
    let address = messages::resource(name, 1, &[10, 1, 0, 8]);
    trace.dns_exchange(
        SERVER,
        RESOLVER,
        40010,
        &messages::query(10, name, 1),
        &messages::response(10, name, 1, 0, [&[address], &[]]),
    );
    let mut tcp = conversation(50010, PROXY);
    tcp.open(trace);
    let request = |more: &str| format!("CONNECT {SYNC}:443 HTTP/1.1\r\nHost: {SYNC}:443\r\n{more}\r\n");
    tcp.send(trace, Client, request("").as_bytes());
    tcp.send(
        trace,
        Server,
        b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Negotiate\r\nContent-Length: 7\r\n\r\nsign in",
    );
    tcp.send(trace, Client, request("Proxy-Authorization: Negotiate bm90IGEgc2VjcmV0\r\n").as_bytes());
    tcp.send(trace, Server, b"HTTP/1.1 200 Connection established\r\n\r\n");
    tcp.send(trace, Client, &hello_record(SYNC));
    finish_tls(&mut tcp, trace);
}

fn proxy_socks(trace: &mut Trace) {
    let mut tcp = conversation(50011, (v4(10, 1, 0, 8), 1080));
    tcp.open(trace);
    tcp.send(trace, Client, &[5, 1, 0]);
    tcp.send(trace, Server, &[5, 0]);
    let request = [&[5, 1, 0, 3, SYNC.len() as u8][..], SYNC.as_bytes(), &443u16.to_be_bytes()].concat();
    tcp.send(trace, Client, &request);
    tcp.send(trace, Server, &[5, 0, 0, 1, 10, 1, 0, 8, 0xc0, 0]);
    tcp.send(trace, Client, &hello_record(SYNC));
    finish_tls(&mut tcp, trace);
}

fn quic(trace: &mut Trace) {
    let options = HelloOptions { post_quantum: true, quic: true, ..HelloOptions::default() };
    let hello = hello(STORAGE, options);
    for initial in messages::initials(&messages::QUIC_1, &hello, 2) {
        trace.datagram(Client, (SERVER, 50012), AT_STORAGE, &initial);
    }
    for seed in 30..33 {
        trace.datagram(
            Server,
            (SERVER, 50012),
            AT_STORAGE,
            &[&[0x40][..], &messages::filler(seed, 300)].concat(),
        );
    }
}

fn quic_v2(trace: &mut Trace) {
    let hello = hello(STORAGE, HelloOptions { quic: true, ..HelloOptions::default() });
    for initial in messages::initials(&messages::QUIC_2, &hello, 1) {
        trace.datagram(Client, (SERVER, 50013), AT_STORAGE, &initial);
    }
    trace.datagram(Server, (SERVER, 50013), AT_STORAGE, &[&[0x40][..], &messages::filler(30, 300)].concat());
}

fn quic_refused(trace: &mut Trace) {
    // RFC 9000 §20.1.
    const CONNECTION_REFUSED: usize = 2;
    let hello = hello(STORAGE, HelloOptions { quic: true, ..HelloOptions::default() });
    for initial in messages::initials(&messages::QUIC_1, &hello, 1) {
        trace.datagram(Client, (SERVER, 50053), AT_STORAGE, &initial);
    }
    let close = messages::initial_close(&messages::QUIC_1, CONNECTION_REFUSED);
    trace.datagram(Server, (SERVER, 50053), AT_STORAGE, &close);
}

fn proxy_protocol(trace: &mut Trace) {
    let mut tcp = conversation(50054, AT_STORAGE);
    tcp.open(trace);
    let header = b"PROXY TCP4 192.0.2.7 20.60.40.4 51000 443\r\n";
    tcp.send(trace, Client, &[&header[..], &hello_record(STORAGE)].concat());
    finish_tls(&mut tcp, trace);
}

fn app_inside_tls(trace: &mut Trace) {
    let resolver = v4(203, 0, 113, 53);
    for (port, server_port, name, alpn) in [
        (50021, 853, "dot.vendor.example", Some("dot")),
        (50022, 443, "dot.vendor.example", Some("dot")),
        (50023, 443, "dns.google", None),
        (50024, 8443, "dns.google", None),
    ] {
        let mut tcp = conversation(port, (resolver, server_port));
        tcp.open(trace);
        let options = HelloOptions { alpn, ..HelloOptions::default() };
        tcp.send(trace, Client, &record(22, &hello(name, options)));
        finish_tls(&mut tcp, trace);
    }
    for (port, server_port, name, alpn) in [
        (50025, 443, "files.contoso.example", Some("smb")),
        (50026, 853, "doq.vendor.example", Some("doq")),
        (50027, 443, "dns.google", None),
    ] {
        let hello = hello(name, HelloOptions { quic: true, alpn, ..HelloOptions::default() });
        for initial in messages::initials(&messages::QUIC_1, &hello, 1) {
            trace.datagram(Client, (SERVER, port), (resolver, server_port), &initial);
        }
        let answer = [&[0x40][..], &messages::filler(30, 300)].concat();
        trace.datagram(Server, (SERVER, port), (resolver, server_port), &answer);
    }
}

fn mid_stream(trace: &mut Trace) {
    let mut tcp = conversation(50015, (v4(23, 32, 0, 17), 80));
    tcp.segment_at(trace, Client, ACK, tcp.next_seq[0].wrapping_sub(1), &[0]);
    tcp.segment(trace, Server, ACK, &[]);
    trace.wait(600);
    tcp.send(trace, Client, b"GET /status HTTP/1.1\r\nHost: ocsp.msocsp.com\r\n\r\n");
    tcp.send(trace, Server, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
}

fn one_sided() -> Files {
    let mut records = recorded("working-site", STORAGE);
    let client = Ipv4Addr::new(10, 1, 0, 4).octets();
    records.retain(|record| record.bytes[26..30] == client);
    vec![("capture.pcap".into(), pcap(ETHERNET, &records))]
}

fn port_reuse(trace: &mut Trace) {
    for (first, name) in [([1000, 5000], STORAGE), ([90_000, 70_000], SYNC)] {
        let mut tcp = TcpConversation::new((SERVER, 50016), AT_STORAGE, first);
        tcp.open(trace);
        tcp.send(trace, Client, &hello_record(name));
        finish_tls(&mut tcp, trace);
        trace.wait(2000);
    }
}

fn simultaneous_open(trace: &mut Trace) {
    let mut tcp = conversation(50017, (v4(93, 184, 215, 14), 443));
    // RFC 9293 §3.5, figure 7.
    let first = tcp.next_seq;
    tcp.segment(trace, Client, SYN, &[]);
    tcp.segment(trace, Server, SYN, &[]);
    tcp.segment_at(trace, Client, SYN | ACK, first[0], &[]);
    tcp.segment_at(trace, Server, SYN | ACK, first[1], &[]);
    tcp.send(trace, Client, &hello_record("updates.vendor.example"));
    finish_tls(&mut tcp, trace);
}

fn sequence_wrap(trace: &mut Trace) {
    let mut tcp = TcpConversation::new((SERVER, 50018), AT_STORAGE, [u32::MAX - 100, u32::MAX - 50]);
    tcp.open(trace);
    let hello = hello_record(STORAGE);
    for part in hello.chunks(80) {
        tcp.segment(trace, Client, ACK | PSH, part);
    }
    finish_tls(&mut tcp, trace);
}

fn syn_ack_changed(trace: &mut Trace) {
    let mut tcp = conversation(50019, AT_STORAGE);
    tcp.segment(trace, Client, SYN, &[]);
    tcp.segment(trace, Server, SYN | ACK, &[]);
    trace.wait(1000);
    tcp.next_seq[1] = 777_000;
    tcp.segment(trace, Server, SYN | ACK, &[]);
    tcp.segment(trace, Client, ACK, &[]);
    tcp.send(trace, Client, &hello_record(STORAGE));
    finish_tls(&mut tcp, trace);
}

/// The packets of a recorded case: DNS messages about `name` and connections to its address, or all packets if `name` is empty.
fn recorded(case: &str, name: &str) -> Vec<Record> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("captures").join(case).join("capture.pcap");
    let mut records = read_pcap(&std::fs::read(path).unwrap());
    let first = name.split('.').next().unwrap().as_bytes();
    let IpAddr::V4(address) = AT_STORAGE.0 else { unreachable!("the storage server has an IPv4 address") };
    let about = |record: &Record| {
        let bytes = &record.bytes;
        let between = [26, 30].iter().any(|at| bytes[*at..at + 4] == address.octets());
        first.is_empty() || between || bytes[23] == 17 && bytes.windows(first.len()).any(|part| part == first)
    };
    records.retain(about);
    assert!(records.len() > 4, "{case}: too few packets; record it with captures/single.py");
    records
}

/// The records in one encapsulation.
fn encapsulated(name: &str, records: &[Record]) -> Files {
    let encapsulation = ENCAPSULATIONS.iter().find(|encapsulation| encapsulation.name == name).unwrap();
    let encapsulate = |record: &Record| {
        let nanos = record.nanos;
        (encapsulation.encapsulate)(&record.bytes).into_iter().map(move |bytes| Record { nanos, bytes })
    };
    let records: Vec<Record> = records.iter().flat_map(encapsulate).collect();
    vec![("capture.pcap".into(), pcap(encapsulation.link, &records))]
}

fn rare_encapsulations() -> Files {
    let encapsulations = || ENCAPSULATIONS.iter().chain(RARE_ENCAPSULATIONS);
    let mut links: Vec<u32> = encapsulations().map(|encapsulation| encapsulation.link).collect();
    links.sort_unstable();
    links.dedup();
    let mut records = Vec::new();
    let mut trace = Trace::default();
    for (number, encapsulation) in (1..).zip(encapsulations()) {
        let name = format!("{}.vendor.example", encapsulation.name);
        let address = messages::resource(&name, 1, &[198, 51, 100, number as u8]);
        let (query, response) =
            (messages::query(number, &name, 1), messages::response(number, &name, 1, 0, [&[address], &[]]));
        let first = trace.records.len();
        trace.dns_exchange(SERVER, RESOLVER, 41000 + number, &query, &response);
        let interface = links.iter().position(|link| *link == encapsulation.link).unwrap();
        for record in &trace.records[first..] {
            let frames = (encapsulation.encapsulate)(&record.bytes);
            records
                .extend(frames.into_iter().map(|bytes| (interface, Record { nanos: record.nanos, bytes })));
        }
    }
    let records: Vec<_> = records.iter().map(|(interface, record)| (*interface, record)).collect();
    vec![("capture.pcapng".into(), pcapng_section(&links, &records))]
}

fn fragments_ipv6() -> Files {
    let mut out = Vec::new();
    for record in recorded("ipv6", "") {
        for bytes in encapsulation::fragments(&record.bytes).into_iter().rev() {
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
    let records: Vec<Record> = recorded("working-site", STORAGE).into_iter().flat_map(twice).collect();
    vec![("capture.pcap".into(), pcap(ETHERNET, &records))]
}

fn truncated_file() -> Files {
    let mut bytes = pcap(ETHERNET, &recorded("working-site", STORAGE));
    bytes.truncate(bytes.len() - 40);
    vec![("capture.pcap".into(), bytes)]
}

fn rotated_files() -> Files {
    let records = recorded("working-site", STORAGE);
    // The first file ends between query and response, the second inside the TLS connection.
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
    let bytes = pcap(ETHERNET, &recorded("working-site", STORAGE));
    let level = ruzstd::encoding::CompressionLevel::Fastest;
    vec![("capture.pcap.zst".into(), ruzstd::encoding::compress_to_vec(&bytes[..], level))]
}

fn nanoseconds() -> Files {
    let mut records = recorded("working-site", STORAGE);
    for (number, record) in (0..).zip(&mut records) {
        record.nanos += number * 7 % 1000;
    }
    vec![("capture.pcap".into(), pcap_big_endian(ETHERNET, &records))]
}

fn with_drops() -> Vec<u8> {
    let records = recorded("tcp-unanswered", "");
    let records: Vec<_> = records.iter().map(|record| (0, record)).collect();
    let received = records.len() as u64;
    [pcapng_section(&[ETHERNET], &records), pcapng_statistics(0, received, 2)].concat()
}

/// Sorted by record: three SYNs, three SYN-ACKs that the network card had received, and a multicast query.
const DROPS: &[Drop] = &[
    Drop { record: 2, component: 2, reason: 909, is_seen: false },
    Drop { record: 3, component: 2, reason: 909, is_seen: false },
    Drop { record: 4, component: 2, reason: 909, is_seen: false },
    Drop { record: 8, component: 3, reason: 9, is_seen: true },
    Drop { record: 10, component: 3, reason: 9, is_seen: true },
    Drop { record: 12, component: 3, reason: 9, is_seen: true },
    Drop { record: 13, component: 2, reason: 1204, is_seen: true },
];

fn dropped_by_host() -> Vec<u8> {
    let mut trace = Trace::default();
    let resolve = |trace: &mut Trace, id: u16, name: &str, (address, _): End| {
        let IpAddr::V4(address) = address else { unreachable!("the server has an IPv4 address") };
        let answer = messages::resource(name, 1, &address.octets());
        let (query, response) =
            (messages::query(id, name, 1), messages::response(id, name, 1, 0, [&[answer], &[]]));
        trace.dns_exchange(SERVER, RESOLVER, 41000 + id, &query, &response);
    };
    resolve(&mut trace, 1, SYNC, AT_SYNC);
    let mut by_filter = conversation(50001, AT_SYNC);
    for seconds in [1, 2, 4] {
        by_filter.segment_at(&mut trace, Client, SYN, 1000, &[]);
        trace.wait(seconds * 1000);
    }
    let at_management = (v4(20, 61, 0, 9), 443);
    resolve(&mut trace, 2, "management.azure.com", at_management);
    let mut by_switch = conversation(50002, at_management);
    for seconds in [1, 2, 4] {
        by_switch.next_seq = [1000, 5000];
        by_switch.segment(&mut trace, Client, SYN, &[]);
        by_switch.segment(&mut trace, Server, SYN | ACK, &[]);
        trace.wait(seconds * 1000);
    }
    trace.datagram(
        Client,
        (v4(10, 1, 0, 77), 5353),
        (v4(224, 0, 0, 251), 5353),
        &messages::query(0, "printer.local", 1),
    );
    resolve(&mut trace, 3, STORAGE, AT_STORAGE);
    let mut working = conversation(50003, AT_STORAGE);
    working.open(&mut trace);
    working.send(&mut trace, Client, &hello_record(STORAGE));
    finish_tls(&mut working, &mut trace);
    let kind = TraceKind {
        provider: Provider::PktMon { appearances: 2 },
        clock: Clock::PerformanceCounter(10_000_000),
        pointer_len: 8,
        processors: 2,
        buffer_len: 16 << 10,
        compressed: true,
        link: ETHERNET,
        drops: DROPS,
        sender: Some(Sender {
            address: [10, 1, 0, 4],
            process: 2764,
            program: r"\Device\HarddiskVolume3\Program Files\Azure\StorageSyncAgent\FileSyncSvc.exe",
        }),
        lost: Lost::default(),
        names_last: false,
        translation: None,
        logged_len: usize::MAX,
    };
    event_trace(&kind, &trace.records)
}

/// A container behind the NAT of its host, in a trace of Windows before 2022.
fn translated_by_host() -> Files {
    let mut trace = Trace::default();
    let answer = messages::resource(STORAGE, 1, &[20, 60, 40, 4]);
    let query = messages::query(1, STORAGE, 1);
    let response = messages::response(1, STORAGE, 1, 0, [&[answer], &[]]);
    trace.dns_exchange(SERVER, RESOLVER, 61000, &query, &response);
    let mut working = conversation(61001, AT_STORAGE);
    working.open(&mut trace);
    working.send(&mut trace, Client, &hello_record(STORAGE));
    finish_tls(&mut working, &mut trace);
    let kind = TraceKind {
        provider: Provider::PktMonGroups { appearances: 2 },
        clock: Clock::SystemTime,
        pointer_len: 8,
        processors: 2,
        buffer_len: 16 << 10,
        compressed: true,
        link: ETHERNET,
        drops: &[],
        sender: None,
        lost: Lost::default(),
        names_last: false,
        translation: Some(Translation { address: [10, 1, 0, 4], inner: [172, 16, 0, 5], ports: 11_000 }),
        logged_len: usize::MAX,
    };
    vec![("capture.etl".into(), event_trace(&kind, &trace.records))]
}

fn sections() -> Files {
    const RAW: u32 = 101;
    let records = recorded("working-site", STORAGE);
    let raw = |record: &Record| Record { nanos: record.nanos, bytes: record.bytes[14..].to_vec() };
    let (first, second) = records.split_at(records.len() / 2);
    let raws: Vec<Record> = second.iter().map(raw).collect();
    let first: Vec<_> = first.iter().map(|record| (0, record)).collect();
    // In the second section, client and server frames have different interfaces.
    let pick = |(whole, raw)| {
        let record: &Record = whole;
        if record.bytes[26..28] == [10, 1] { (0, raw) } else { (1, record) }
    };
    let second: Vec<_> = second.iter().zip(&raws).map(pick).collect();
    let bytes = [pcapng_section(&[ETHERNET], &first), pcapng_section(&[RAW, ETHERNET], &second)].concat();
    vec![("capture.pcapng".into(), bytes)]
}
