//! TLS handshakes: ClientHellos in every shape, and how connections end at them.
//!
//! In:  a trace.
//! Out: the conversation of one case.
//! Not: blocking; see `blocking_cases`.

use super::AT_STORAGE;
use super::AT_SYNC;
use super::RESOLVER;
use super::SERVER;
use super::STORAGE;
use super::SYNC;
use super::conversation;
use super::conversation::Client;
use super::conversation::Server;
use super::conversation::Trace;
use super::finish_tls;
use super::frame::ACK;
use super::frame::FIN;
use super::frame::PSH;
use super::hello_record;
use super::messages;
use super::messages::HelloOptions;
use super::messages::hello;
use super::messages::record;
use super::v4;

pub fn client_hello_split(trace: &mut Trace) {
    let mut tcp = conversation(50001, AT_STORAGE);
    tcp.open(trace);
    let hello = hello_record(STORAGE);
    let name = hello.windows(STORAGE.len()).position(|part| part == STORAGE.as_bytes()).unwrap();
    for part in [&hello[..3], &hello[3..name + 9], &hello[name + 9..]] {
        tcp.segment(trace, Client, ACK | PSH, part);
    }
    finish_tls(&mut tcp, trace);
}

pub fn client_hello_out_of_order(trace: &mut Trace) {
    let mut tcp = conversation(50002, AT_STORAGE);
    tcp.open(trace);
    let hello = record(22, &hello(STORAGE, HelloOptions { post_quantum: true, ..HelloOptions::default() }));
    let first = tcp.next_seq[0];
    tcp.segment_at(trace, Client, ACK | PSH, first.wrapping_add(1200), &hello[1200..]);
    tcp.segment_at(trace, Client, ACK, first, &hello[..1200]);
    tcp.next_seq[0] = first.wrapping_add(hello.len() as u32);
    finish_tls(&mut tcp, trace);
}

pub fn client_hello_records(trace: &mut Trace) {
    let mut tcp = conversation(50003, AT_STORAGE);
    tcp.open(trace);
    let hello = hello(STORAGE, HelloOptions::default());
    let records: Vec<u8> = hello.chunks(20).flat_map(|part| record(22, part)).collect();
    tcp.send(trace, Client, &records);
    finish_tls(&mut tcp, trace);
}

pub fn client_hello_post_quantum(trace: &mut Trace) {
    let mut tcp = conversation(50004, AT_STORAGE);
    tcp.open(trace);
    tcp.send(
        trace,
        Client,
        &record(22, &hello(STORAGE, HelloOptions { post_quantum: true, ..HelloOptions::default() })),
    );
    finish_tls(&mut tcp, trace);
}

pub fn client_hello_dropped(trace: &mut Trace) {
    let mut tcp = conversation(50005, AT_SYNC);
    tcp.open(trace);
    let hello = hello_record(SYNC);
    let first = tcp.next_seq[0];
    for millis in [0, 300, 600, 1200, 2400] {
        trace.wait(millis);
        tcp.segment_at(trace, Client, ACK | PSH, first, &hello);
    }
    // The capture continues, so the missing reply is not explained by its end.
    trace.wait(60_000);
    trace.dns_exchange(
        SERVER,
        RESOLVER,
        40006,
        &messages::query(6, SYNC, 28),
        &messages::response(6, SYNC, 28, 0, [&[], &[]]),
    );
}

pub fn client_hello_reset(trace: &mut Trace) {
    let mut tcp = conversation(50006, AT_SYNC);
    tcp.open(trace);
    tcp.segment(trace, Client, ACK | PSH, &hello_record(SYNC));
    tcp.reset(trace, Server);
}

pub fn client_hello_closed(trace: &mut Trace) {
    let mut tcp = conversation(50006, AT_SYNC);
    tcp.open(trace);
    tcp.send(trace, Client, &hello_record(SYNC));
    tcp.segment(trace, Server, FIN | ACK, &[]);
    tcp.segment(trace, Client, FIN | ACK, &[]);
    tcp.segment(trace, Server, ACK, &[]);
}

pub fn client_hello_cut(trace: &mut Trace) {
    let mut tcp = conversation(50051, AT_STORAGE);
    tcp.open(trace);
    let hello = record(22, &hello(STORAGE, HelloOptions { post_quantum: true, ..HelloOptions::default() }));
    tcp.segment(trace, Client, ACK | PSH, &hello[..1200]);
    tcp.next_seq[0] = tcp.next_seq[0].wrapping_add(hello.len() as u32 - 1200);
    finish_tls(&mut tcp, trace);
}

pub fn tls_resumed(trace: &mut Trace) {
    let mut tcp = conversation(50052, AT_STORAGE);
    tcp.open(trace);
    tcp.send(trace, Client, &hello_record(STORAGE));
    tcp.send(trace, Server, &messages::resuming_server_hello());
    tcp.send(trace, Client, &[&[20, 3, 3, 0, 1, 1][..], &record(23, &messages::filler(20, 53))].concat());
    tcp.close(trace);
}

pub fn ech(trace: &mut Trace) {
    let mut tcp = conversation(50007, (v4(93, 184, 215, 14), 443));
    tcp.open(trace);
    let options = HelloOptions { ech: true, ..HelloOptions::default() };
    tcp.send(trace, Client, &record(22, &hello("public.vendor.example", options)));
    finish_tls(&mut tcp, trace);
}

pub fn tls_alert(trace: &mut Trace) {
    let mut tcp = conversation(50008, AT_STORAGE);
    tcp.open(trace);
    tcp.send(trace, Client, &hello_record(STORAGE));
    // RFC 8446 §6: fatal, handshake_failure.
    tcp.send(trace, Server, &record(21, &[2, 40]));
    tcp.close(trace);
}

pub fn starttls(trace: &mut Trace) {
    let mut tcp = conversation(50009, (v4(93, 184, 215, 25), 587));
    tcp.open(trace);
    tcp.send(trace, Server, b"220 mail.vendor.example ESMTP\r\n");
    tcp.send(trace, Client, b"EHLO fs1.contoso.example\r\n");
    tcp.send(trace, Server, b"250-mail.vendor.example\r\n250 STARTTLS\r\n");
    tcp.send(trace, Client, b"STARTTLS\r\n");
    tcp.send(trace, Server, b"220 go ahead\r\n");
    tcp.send(trace, Client, &hello_record("mail.vendor.example"));
    finish_tls(&mut tcp, trace);
}
