//! Builds packet traces: TCP connections and datagrams between a client and a server.
//!
//! In:  what each side sends, in order.
//! Out: records as a mirror port would capture them.
//! Not: capture loss.

use std::net::IpAddr;

use super::capture_file::Record;
use super::frame::ACK;
use super::frame::FIN;
use super::frame::IPV4;
use super::frame::IPV6;
use super::frame::MACS;
use super::frame::PSH;
use super::frame::RST;
use super::frame::SYN;
use super::frame::Segment;
use super::frame::ethernet;
use super::frame::ip;
use super::frame::tcp;
use super::frame::udp;

/// An address and a port.
pub type End = (IpAddr, u16);

pub use Side::Client;
pub use Side::Server;

/// The sender of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The side that opened the conversation.
    Client,
    /// The other side.
    Server,
}

/// Bytes of payload in a full segment.
const SEGMENT: usize = 1460;

/// Nanoseconds between two frames.
const STEP: u64 = 1_200_000;

/// Monday, 5 January 2026, 08:00 UTC.
const START: u64 = 1_767_600_000_000_000_000;

/// A packet trace.
#[derive(Default)]
pub struct Trace {
    /// The frames so far.
    pub records: Vec<Record>,
    elapsed: u64,
}

impl Trace {
    /// Advances the clock.
    pub fn wait(&mut self, millis: u64) {
        self.elapsed += millis * 1_000_000;
    }

    /// One IP packet of any protocol.
    pub fn packet(&mut self, side: Side, from: IpAddr, to: IpAddr, protocol: u8, body: &[u8]) {
        let id = 0x1000 + self.records.len() as u16;
        let kind = if from.is_ipv4() { IPV4 } else { IPV6 };
        let [near, far] = if side == Client { MACS } else { [MACS[1], MACS[0]] };
        let bytes = ethernet(near, far, kind, &ip(from, to, protocol, id, body));
        self.elapsed += STEP;
        self.records.push(Record { nanos: START + self.elapsed, bytes });
    }

    /// One UDP datagram.
    pub fn datagram(&mut self, side: Side, client: End, server: End, bytes: &[u8]) {
        let (from, to) = if side == Client { (client, server) } else { (server, client) };
        self.packet(side, from.0, to.0, 17, &udp(from, to, bytes));
    }

    /// A DNS query and its response.
    pub fn dns_exchange(
        &mut self,
        client: IpAddr,
        resolver: IpAddr,
        port: u16,
        query: &[u8],
        response: &[u8],
    ) {
        self.datagram(Client, (client, port), (resolver, 53), query);
        self.datagram(Server, (client, port), (resolver, 53), response);
    }
}

/// A TCP connection.
pub struct TcpConversation {
    client: End,
    server: End,
    /// Next sequence number of each side.
    pub next_seq: [u32; 2],
}

impl TcpConversation {
    /// A connection that is not open yet, with the initial sequence numbers of both sides.
    pub fn new(client: End, server: End, initial_seq: [u32; 2]) -> TcpConversation {
        TcpConversation { client, server, next_seq: initial_seq }
    }

    /// Sends one segment and advances this side's sequence number.
    pub fn segment(&mut self, trace: &mut Trace, side: Side, flags: u8, bytes: &[u8]) {
        let at = self.next_seq[side as usize];
        self.segment_at(trace, side, flags, at, bytes);
        let control = u32::from(flags & SYN != 0) + u32::from(flags & FIN != 0);
        self.next_seq[side as usize] = at.wrapping_add(bytes.len() as u32 + control);
    }

    /// Sends one segment with the given sequence number.
    pub fn segment_at(&mut self, trace: &mut Trace, side: Side, flags: u8, seq: u32, bytes: &[u8]) {
        let ack = if flags & ACK == 0 { 0 } else { self.next_seq[1 - side as usize] };
        let (from, to) = if side == Client { (self.client, self.server) } else { (self.server, self.client) };
        trace.packet(side, from.0, to.0, 6, &tcp(from, to, &Segment { seq, ack, flags, bytes }));
    }

    /// The three-way handshake.
    pub fn open(&mut self, trace: &mut Trace) {
        self.segment(trace, Client, SYN, &[]);
        self.segment(trace, Server, SYN | ACK, &[]);
        self.segment(trace, Client, ACK, &[]);
    }

    /// Sends a payload in full segments; the other side acknowledges it.
    pub fn send(&mut self, trace: &mut Trace, side: Side, bytes: &[u8]) {
        for part in bytes.chunks(SEGMENT) {
            self.segment(trace, side, ACK | PSH, part);
        }
        let other = if side == Client { Server } else { Client };
        self.segment(trace, other, ACK, &[]);
    }

    /// Closes both directions with FIN.
    pub fn close(&mut self, trace: &mut Trace) {
        self.segment(trace, Client, FIN | ACK, &[]);
        self.segment(trace, Server, FIN | ACK, &[]);
        self.segment(trace, Client, ACK, &[]);
    }

    /// Resets the connection.
    pub fn reset(&mut self, trace: &mut Trace, side: Side) {
        self.segment(trace, side, RST | ACK, &[]);
    }
}
