//! The cases about what looks blocked: words that end an attempt, and names that do not resolve as they should.
//!
//! Each case holds what is innocent beside what is not.

use super::PROXY;
use super::RESOLVER;
use super::SERVER;
use super::STORAGE;
use super::SYNC;
use super::accepted;
use super::say;
use super::site::Case;
use super::site::tls;
use super::talk::Client;
use super::talk::End;
use super::talk::Server;
use super::talk::Talk;
use super::talk::Wire;
use super::v4;
use super::whole;
use super::wire;

pub const CASES: &[Case] = &[
    (
        "tls-refused",
        "fatal alerts of the server's side: version, access, name; a warning that stops nothing; a client that does not know the authority",
        || wire(tls_refused),
    ),
    (
        "proxy-refused",
        "a proxy that refuses (403), cannot reach (502), wants credentials; 407 as a first leg is normal",
        || wire(proxy_refused),
    ),
    (
        "compared",
        "a name that is stopped where another works, one that had worked, one that works later",
        || wire(compared),
    ),
    ("socks-refused", "SOCKS 5: not allowed by the ruleset", || wire(socks_refused)),
    ("portal", "a status check that is answered by a portal", || wire(portal)),
    (
        "dns-blocked",
        "names that are refused, emptied, sunk, sent inside, answered twice; and what is no block: no IPv6, a suffix, a failure that passes",
        || wire(dns_blocked),
    ),
];

const fn out(host: u8) -> End {
    (v4(20, 60, 41, host), 443)
}

fn tls_refused(wire: &mut Wire) {
    // RFC 8446 §6.2: protocol_version, access_denied, unrecognized_name.
    for (port, name, alert) in
        [(50001, SYNC, 70), (50002, STORAGE, 49), (50003, "northeurope01.afs.azure.net", 112)]
    {
        let mut talk = Talk::new((SERVER, port), out((port - 50000) as u8), [1000, 5000]);
        talk.open(wire);
        talk.say(wire, Client, &whole(name));
        talk.say(wire, Server, &say::record(21, &[2, alert]));
        talk.close(wire);
    }
    let mut warned = Talk::new((SERVER, 50004), out(4), [1000, 5000]);
    warned.open(wire);
    warned.say(wire, Client, &whole("login.windows.net"));
    warned.say(wire, Server, &say::record(21, &[1, 112]));
    accepted(&mut warned, wire);
    let mut unbelieving = Talk::new((SERVER, 50005), out(5), [1000, 5000]);
    unbelieving.open(wire);
    unbelieving.say(wire, Client, &whole("management.azure.com"));
    unbelieving.say(wire, Server, &say::server_hello());
    // unknown_ca
    unbelieving.say(wire, Client, &say::record(21, &[2, 48]));
    unbelieving.close(wire);
}

fn proxy_refused(wire: &mut Wire) {
    let mut ask = |port: u16, name: &str, answers: &[&str]| {
        let mut talk = Talk::new((SERVER, port), PROXY, [1000, 5000]);
        talk.open(wire);
        for answer in answers {
            talk.say(
                wire,
                Client,
                format!("CONNECT {name}:443 HTTP/1.1\r\nHost: {name}:443\r\n\r\n").as_bytes(),
            );
            talk.say(wire, Server, format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\n\r\n").as_bytes());
        }
        if answers.last().is_some_and(|answer| answer.starts_with("200")) {
            talk.say(wire, Client, &whole(name));
            accepted(&mut talk, wire);
        } else {
            talk.close(wire);
        }
    };
    let sign_in = "407 Proxy Authentication Required\r\nProxy-Authenticate: Negotiate";
    ask(50001, SYNC, &["403 Forbidden"]);
    ask(50002, STORAGE, &["502 Bad Gateway"]);
    ask(50003, "northeurope01.afs.azure.net", &[sign_in]);
    ask(50004, "login.windows.net", &[sign_in, "200 Connection established"]);
}

fn socks_refused(wire: &mut Wire) {
    let mut talk = Talk::new((SERVER, 50001), (v4(10, 1, 0, 8), 1080), [1000, 5000]);
    talk.open(wire);
    talk.say(wire, Client, &[5, 1, 0]);
    talk.say(wire, Server, &[5, 0]);
    let request = [&[5, 1, 0, 3, SYNC.len() as u8][..], SYNC.as_bytes(), &443u16.to_be_bytes()].concat();
    talk.say(wire, Client, &request);
    talk.say(wire, Server, &[5, 2, 0, 1, 0, 0, 0, 0, 0, 0]);
    talk.close(wire);
}

fn portal(wire: &mut Wire) {
    let mut status = |port: u16, name: &str, answer: &str| {
        let mut talk = Talk::new((SERVER, port), (out(8).0, 80), [1000, 5000]);
        talk.open(wire);
        talk.say(wire, Client, format!("GET /status HTTP/1.1\r\nHost: {name}\r\n\r\n").as_bytes());
        talk.say(wire, Server, format!("HTTP/1.1 {answer}\r\nContent-Length: 0\r\n\r\n").as_bytes());
        talk.close(wire);
    };
    status(50001, "ocsp.msocsp.com", "511 Network Authentication Required");
    status(50002, "crl.microsoft.com", "200 OK");
}

fn dns_blocked(wire: &mut Wire) {
    let mut id = 0;
    let mut asked = |wire: &mut Wire, name: &str, kind: u16, code: u8, addresses: &[&[u8]]| {
        id += 1;
        let answers: Vec<Vec<u8>> =
            addresses.iter().map(|address| say::resource(name, kind, address)).collect();
        let (question, answer) =
            (say::query(id, name, kind), say::response(id, name, kind, code, [&answers, &[]]));
        wire.look_up(SERVER, RESOLVER, 40000 + id, &question, &answer);
    };
    asked(wire, "refused.afs.azure.net", 1, 5, &[]);
    asked(wire, "empty.file.core.windows.net", 1, 0, &[]);
    asked(wire, "zero.file.core.windows.net", 1, 0, &[&[0, 0, 0, 0]]);
    asked(wire, "loop.file.core.windows.net", 28, 0, &[&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]]);
    asked(wire, "login.microsoftonline.com", 1, 0, &[&[10, 7, 0, 9]]);
    // Innocent: no address of IPv6, a suffix that nobody registered, a failure that passes, a name that comes later.
    asked(wire, STORAGE, 28, 0, &[]);
    asked(wire, "contosofs.file.core.windows.net.corp.example", 1, 3, &[]);
    asked(wire, SYNC, 1, 2, &[]);
    asked(wire, SYNC, 1, 0, &[&[20, 60, 41, 1]]);
    asked(wire, "late.afs.azure.net", 1, 3, &[]);
    asked(wire, "late.afs.azure.net", 1, 0, &[&[20, 60, 41, 2]]);
    // Two answers to one question.
    let name = "twice.afs.azure.net";
    let (client, resolver) = ((SERVER, 41000), (RESOLVER, 53));
    wire.datagram(Client, client, resolver, &say::query(99, name, 1));
    for address in [[198, 51, 100, 9], [20, 60, 41, 3]] {
        let answers = [say::resource(name, 1, &address)];
        wire.datagram(Server, client, resolver, &say::response(99, name, 1, 0, [&answers, &[]]));
    }
    // Never answered, three times, while others are.
    for _ in 0..3 {
        wire.datagram(Client, (SERVER, 41001), resolver, &say::query(100, "silent.afs.azure.net", 1));
        wire.wait(1500);
    }
    tls(wire, 50001, out(1), SYNC);
}

/// One name is reset at an address where another works; one works until it does not; one is down and comes back.
fn compared(wire: &mut Wire) {
    let reset = |wire: &mut Wire, port: u16, server: End, name: &str| {
        let mut talk = Talk::new((SERVER, port), server, [1000, 5000]);
        talk.open(wire);
        talk.say(wire, Client, &whole(name));
        talk.reset(wire, Server);
    };
    let refused = |wire: &mut Wire, port: u16, server: End| {
        let mut talk = Talk::new((SERVER, port), server, [1000, 5000]);
        talk.segment(wire, Client, super::SYN, &[]);
        talk.reset(wire, Server);
    };
    reset(wire, 50001, out(1), SYNC);
    tls(wire, 50002, out(1), "login.windows.net");
    tls(wire, 50003, out(2), STORAGE);
    wire.wait(60_000);
    reset(wire, 50004, out(2), STORAGE);
    let answers = [say::resource("management.azure.com", 1, &[20, 60, 41, 3])];
    let question = say::query(7, "management.azure.com", 1);
    let answer = say::response(7, "management.azure.com", 1, 0, [&answers, &[]]);
    wire.look_up(SERVER, RESOLVER, 40007, &question, &answer);
    refused(wire, 50005, out(3));
    wire.wait(60_000);
    tls(wire, 50006, out(3), "management.azure.com");
}
