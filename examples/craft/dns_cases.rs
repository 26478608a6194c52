//! DNS messages: record types, damage, errors.
//!
//! In:  a trace.
//! Out: the messages of one case.
//! Not: blocked names; see `blocking_cases`.

use super::RESOLVER;
use super::SERVER;
use super::STORAGE;
use super::SYNC;
use super::conversation;
use super::conversation::Client;
use super::conversation::Trace;
use super::finish_tls;
use super::hello_record;
use super::messages;
use super::v4;

/// RFC 9460 §14.3.2: SvcParamKeys.
const ALPN: u16 = 1;
const IPV4_HINT: u16 = 4;
const ECH: u16 = 5;

/// Records whose owner and target are chains of 15 pointers.
pub fn dns_pointer_chains(trace: &mut Trace) {
    const CNAME: u16 = 5;
    let name = "www.vendor.example";
    let question_end = 12 + messages::labels(name).len() as u16 + 4;
    // The first record's owner is a pointer to the question, so its data starts twelve bytes after it.
    let data_at = question_end + 12;
    let pointer = |target: u16| (0xc000 | target).to_be_bytes();
    let chain: Vec<u8> =
        (0..14).flat_map(|n| pointer(if n == 0 { 12 } else { data_at + 2 * (n - 1) })).collect();
    let record = |owner: [u8; 2], kind: u16, data: &[u8]| {
        let fixed =
            [&kind.to_be_bytes()[..], &[0, 1, 0, 0, 0, 60], &(data.len() as u16).to_be_bytes()].concat();
        [&owner[..], &fixed, data].concat()
    };
    let end = pointer(data_at + 2 * 13);
    // A private type, whose data is not decoded.
    let mut answers = vec![record(pointer(12), 65280, &chain)];
    answers.extend((0..80).map(|_| record(end, CNAME, &end)));
    let response = messages::response(55, name, 1, 0, [&answers, &[]]);
    trace.dns_exchange(SERVER, RESOLVER, 40055, &messages::query(55, name, 1), &response);
}

pub fn dns_https(trace: &mut Trace) {
    const HTTPS: u16 = 65;
    const SVCB: u16 = 64;
    let name = "www.vendor.example";
    let own_name = messages::svcb_data(
        1,
        "",
        &[(ALPN, b"\x02h3\x02h2"), (IPV4_HINT, &[93, 184, 215, 14]), (ECH, &messages::filler(40, 24))],
    );
    let answer = messages::resource(name, HTTPS, &own_name);
    trace.dns_exchange(
        SERVER,
        RESOLVER,
        40001,
        &messages::query(1, name, HTTPS),
        &messages::response(1, name, HTTPS, 0, [&[answer], &[]]),
    );
    let (name, target) = ("_dns.resolver.example", "dns.vendor.example");
    let answer = messages::resource(name, SVCB, &messages::svcb_data(1, target, &[(ALPN, b"\x03dot")]));
    let address = messages::resource(target, 1, &[93, 184, 215, 53]);
    trace.dns_exchange(
        SERVER,
        RESOLVER,
        40002,
        &messages::query(2, name, SVCB),
        &messages::response(2, name, SVCB, 0, [&[answer], &[address]]),
    );
}

pub fn dns_srv(trace: &mut Trace) {
    const SRV: u16 = 33;
    let (name, target) = ("_sync._tcp.vendor.example", "sync1.vendor.example");
    let answer = messages::resource(name, SRV, &messages::srv_data(443, target));
    let addresses = [
        messages::resource(target, 1, &[93, 184, 215, 99]),
        messages::resource("other.vendor.example", 1, &[192, 0, 2, 9]),
    ];
    trace.dns_exchange(
        SERVER,
        RESOLVER,
        40003,
        &messages::query(3, name, SRV),
        &messages::response(3, name, SRV, 0, [&[answer], &addresses]),
    );
    let mut tcp = conversation(50014, (v4(93, 184, 215, 99), 443));
    tcp.open(trace);
    tcp.send(trace, Client, &hello_record(target));
    finish_tls(&mut tcp, trace);
}

pub fn dns_damaged(trace: &mut Trace) {
    let answers = [[20, 60, 40, 4], [20, 60, 40, 5]].map(|address| messages::resource(STORAGE, 1, &address));
    let mut response = messages::response(11, STORAGE, 1, 0, [&answers, &[]]);
    // RFC 1035 §3.2.1: RDLENGTH is before the four bytes of the last address.
    let rdlength = response.len() - 5;
    response[rdlength] = 200;
    trace.dns_exchange(SERVER, RESOLVER, 40011, &messages::query(11, STORAGE, 1), &response);
}

pub fn dns_multicast_update(trace: &mut Trace) {
    let (group, neighbour) = ((v4(224, 0, 0, 251), 5353), (v4(10, 1, 0, 9), 5353));
    let name = "printer.local";
    trace.datagram(Client, (SERVER, 5353), group, &messages::query(0, name, 1));
    let address = messages::resource(name, 1, &[10, 1, 0, 9]);
    trace.datagram(Client, neighbour, group, &messages::response(0, name, 1, 0, [&[address], &[]]));
    // RFC 2136 §2: opcode 5; the zone in place of the question, the new record in the update section.
    let zone = [&messages::labels("contoso.example")[..], &[0, 6, 0, 1]].concat();
    let record = messages::resource("fs1.contoso.example", 1, &[10, 1, 0, 4]);
    let update = [&[0, 12, 0x28, 0, 0, 1, 0, 0, 0, 1, 0, 0][..], &zone, &record].concat();
    let response = [&[0, 12, 0xa8, 0, 0, 1, 0, 0, 0, 0, 0, 0][..], &zone].concat();
    trace.dns_exchange(SERVER, RESOLVER, 40012, &update, &response);
}

pub fn dns_error(trace: &mut Trace) {
    // RFC 8914 §4.16: 15 is Blocked; it accompanies SERVFAIL and NXDOMAIN.
    let blocked = messages::extended_error(15, "not allowed by the site's policy");
    trace.dns_exchange(
        SERVER,
        RESOLVER,
        40004,
        &messages::query(4, SYNC, 1),
        &messages::response(4, SYNC, 1, 3, [&[], &[blocked]]),
    );
    let broken = messages::extended_error(22, "");
    trace.dns_exchange(
        SERVER,
        RESOLVER,
        40005,
        &messages::query(5, STORAGE, 1),
        &messages::response(5, STORAGE, 1, 2, [&[], &[broken]]),
    );
}
