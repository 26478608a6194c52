//! Cases of suspected blocking: explicit refusals (TLS alerts, proxies, portals) and DNS anomalies.
//!
//! In:  a case name.
//! Out: its capture, in which refused and accepted attempts alternate, so that a false positive shows too.
//! Not: blocking by the network itself; `captures/lab` records that.

use super::PROXY;
use super::RESOLVER;
use super::SERVER;
use super::STORAGE;
use super::SYNC;
use super::conversation::Client;
use super::conversation::End;
use super::conversation::Server;
use super::conversation::TcpConversation;
use super::conversation::Trace;
use super::finish_tls;
use super::hello_record;
use super::messages;
use super::one_file;
use super::site_cases::Case;
use super::site_cases::tls_connection;
use super::v4;

pub const CASES: &[Case] = &[
    (
        "tls-refused",
        "fatal alerts from the server (protocol version, access denied, unrecognized name), a warning alert that changes nothing, and a client that rejects the certificate",
        || one_file(tls_refused),
    ),
    (
        "proxy-refused",
        "CONNECT refused by policy (403), because the server is unreachable (502) and for lack of credentials (407); a 407 followed by 200 is normal authentication",
        || one_file(proxy_refused),
    ),
    (
        "compared-attempts",
        "a name that is reset at an address where another name works, one that worked earlier, and one that works later",
        || one_file(compared),
    ),
    ("proxy-socks-refused", "a SOCKS 5 request refused by the ruleset", || one_file(socks_refused)),
    (
        "captive-portal",
        "an OCSP request answered by a captive portal (511), and a connectivity test redirected to it",
        || one_file(portal),
    ),
    (
        "dns-blocked",
        "DNS anomalies (REFUSED, no address, sinkhole, private address, two different responses, no response) beside normal failures: no AAAA record, a search suffix, a failure that a retry clears",
        || one_file(dns_blocked),
    ),
];

const fn cloud_server(host: u8) -> End {
    (v4(20, 60, 41, host), 443)
}

fn tls_refused(trace: &mut Trace) {
    // RFC 8446 §6.2: protocol_version, access_denied, unrecognized_name.
    for (port, name, alert) in
        [(50001, SYNC, 70), (50002, STORAGE, 49), (50003, "northeurope01.afs.azure.net", 112)]
    {
        let mut tcp = TcpConversation::new((SERVER, port), cloud_server((port - 50000) as u8), [1000, 5000]);
        tcp.open(trace);
        tcp.send(trace, Client, &hello_record(name));
        tcp.send(trace, Server, &messages::record(21, &[2, alert]));
        tcp.close(trace);
    }
    let mut warning = TcpConversation::new((SERVER, 50004), cloud_server(4), [1000, 5000]);
    warning.open(trace);
    warning.send(trace, Client, &hello_record("login.windows.net"));
    warning.send(trace, Server, &messages::record(21, &[1, 112]));
    finish_tls(&mut warning, trace);
    let mut untrusting = TcpConversation::new((SERVER, 50005), cloud_server(5), [1000, 5000]);
    untrusting.open(trace);
    untrusting.send(trace, Client, &hello_record("management.azure.com"));
    untrusting.send(trace, Server, &messages::server_hello());
    // unknown_ca
    untrusting.send(trace, Client, &messages::record(21, &[2, 48]));
    untrusting.close(trace);
}

fn proxy_refused(trace: &mut Trace) {
    let mut connect = |port: u16, name: &str, responses: &[&str]| {
        let mut tcp = TcpConversation::new((SERVER, port), PROXY, [1000, 5000]);
        tcp.open(trace);
        for response in responses {
            tcp.send(
                trace,
                Client,
                format!("CONNECT {name}:443 HTTP/1.1\r\nHost: {name}:443\r\n\r\n").as_bytes(),
            );
            tcp.send(trace, Server, format!("HTTP/1.1 {response}\r\nContent-Length: 0\r\n\r\n").as_bytes());
        }
        if responses.last().is_some_and(|response| response.starts_with("200")) {
            tcp.send(trace, Client, &hello_record(name));
            finish_tls(&mut tcp, trace);
        } else {
            tcp.close(trace);
        }
    };
    let authenticate = "407 Proxy Authentication Required\r\nProxy-Authenticate: Negotiate";
    connect(50001, SYNC, &["403 Forbidden"]);
    connect(50002, STORAGE, &["502 Bad Gateway"]);
    connect(50003, "northeurope01.afs.azure.net", &[authenticate]);
    connect(50004, "login.windows.net", &[authenticate, "200 Connection established"]);
}

fn socks_refused(trace: &mut Trace) {
    let mut tcp = TcpConversation::new((SERVER, 50001), (v4(10, 1, 0, 8), 1080), [1000, 5000]);
    tcp.open(trace);
    tcp.send(trace, Client, &[5, 1, 0]);
    tcp.send(trace, Server, &[5, 0]);
    let request = [&[5, 1, 0, 3, SYNC.len() as u8][..], SYNC.as_bytes(), &443u16.to_be_bytes()].concat();
    tcp.send(trace, Client, &request);
    tcp.send(trace, Server, &[5, 2, 0, 1, 0, 0, 0, 0, 0, 0]);
    tcp.close(trace);
}

fn portal(trace: &mut Trace) {
    let mut get = |port: u16, name: &str, response: &str| {
        let mut tcp = TcpConversation::new((SERVER, port), (cloud_server(8).0, 80), [1000, 5000]);
        tcp.open(trace);
        tcp.send(trace, Client, format!("GET /status HTTP/1.1\r\nHost: {name}\r\n\r\n").as_bytes());
        tcp.send(trace, Server, format!("HTTP/1.1 {response}\r\nContent-Length: 0\r\n\r\n").as_bytes());
        tcp.close(trace);
    };
    get(50001, "ocsp.msocsp.com", "511 Network Authentication Required");
    get(50002, "crl.microsoft.com", "200 OK");
    get(50003, "www.msftconnecttest.com", "302 Found\r\nLocation: http://portal.vendor.example/sign-in");
}

fn dns_blocked(trace: &mut Trace) {
    let mut id = 0;
    let mut resolve = |trace: &mut Trace, name: &str, kind: u16, code: u8, addresses: &[&[u8]]| {
        id += 1;
        let answers: Vec<Vec<u8>> =
            addresses.iter().map(|address| messages::resource(name, kind, address)).collect();
        let (query, response) =
            (messages::query(id, name, kind), messages::response(id, name, kind, code, [&answers, &[]]));
        trace.dns_exchange(SERVER, RESOLVER, 40000 + id, &query, &response);
    };
    resolve(trace, "refused.afs.azure.net", 1, 5, &[]);
    resolve(trace, "empty.file.core.windows.net", 1, 0, &[]);
    resolve(trace, "zero.file.core.windows.net", 1, 0, &[&[0, 0, 0, 0]]);
    resolve(trace, "loop.file.core.windows.net", 28, 0, &[&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]]);
    resolve(trace, "login.microsoftonline.com", 1, 0, &[&[10, 7, 0, 9]]);
    // Normal: no AAAA record, a search suffix that does not exist, a SERVFAIL and an NXDOMAIN that a retry clears.
    resolve(trace, STORAGE, 28, 0, &[]);
    resolve(trace, "contosofs.file.core.windows.net.corp.example", 1, 3, &[]);
    resolve(trace, SYNC, 1, 2, &[]);
    resolve(trace, SYNC, 1, 0, &[&[20, 60, 41, 1]]);
    resolve(trace, "late.afs.azure.net", 1, 3, &[]);
    resolve(trace, "late.afs.azure.net", 1, 0, &[&[20, 60, 41, 2]]);
    // Two different responses to one query.
    let name = "twice.afs.azure.net";
    let (client, resolver) = ((SERVER, 41000), (RESOLVER, 53));
    trace.datagram(Client, client, resolver, &messages::query(99, name, 1));
    for address in [[198, 51, 100, 9], [20, 60, 41, 3]] {
        let answers = [messages::resource(name, 1, &address)];
        trace.datagram(Server, client, resolver, &messages::response(99, name, 1, 0, [&answers, &[]]));
    }
    // Three queries without a response, while others are answered.
    for _ in 0..3 {
        trace.datagram(Client, (SERVER, 41001), resolver, &messages::query(100, "silent.afs.azure.net", 1));
        trace.wait(1500);
    }
    // A response may be late.
    trace.wait(20_000);
    tls_connection(trace, 50001, cloud_server(1), SYNC);
}

/// One name is reset at an address where another works; one works, then fails; one fails, then works.
fn compared(trace: &mut Trace) {
    let reset = |trace: &mut Trace, port: u16, server: End, name: &str| {
        let mut tcp = TcpConversation::new((SERVER, port), server, [1000, 5000]);
        tcp.open(trace);
        tcp.send(trace, Client, &hello_record(name));
        tcp.reset(trace, Server);
    };
    let refused = |trace: &mut Trace, port: u16, server: End| {
        let mut tcp = TcpConversation::new((SERVER, port), server, [1000, 5000]);
        tcp.segment(trace, Client, super::SYN, &[]);
        tcp.reset(trace, Server);
    };
    reset(trace, 50001, cloud_server(1), SYNC);
    tls_connection(trace, 50002, cloud_server(1), "login.windows.net");
    tls_connection(trace, 50003, cloud_server(2), STORAGE);
    trace.wait(60_000);
    reset(trace, 50004, cloud_server(2), STORAGE);
    let answers = [messages::resource("management.azure.com", 1, &[20, 60, 41, 3])];
    let query = messages::query(7, "management.azure.com", 1);
    let response = messages::response(7, "management.azure.com", 1, 0, [&answers, &[]]);
    trace.dns_exchange(SERVER, RESOLVER, 40007, &query, &response);
    refused(trace, 50005, cloud_server(3));
    trace.wait(60_000);
    tls_connection(trace, 50006, cloud_server(3), "management.azure.com");
}
