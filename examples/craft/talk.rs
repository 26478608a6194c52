//! Plays conversations onto a wire.
//!
//! In:  who says what, in order.
//! Out: records as a span port would see them.
//! Not: which of them the capture then loses.

use std::net::IpAddr;

use super::file::Record;
use super::frame::ACK;
use super::frame::ENDS;
use super::frame::FIN;
use super::frame::IPV4;
use super::frame::IPV6;
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

/// A side of a conversation.
pub use Side::Client;
/// The other.
pub use Side::Server;

/// Who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Opened it.
    Client,
    /// Answers.
    Server,
}

/// Bytes of payload in a full segment.
const SEGMENT: usize = 1460;

/// Nanoseconds between two frames.
const STEP: u64 = 1_200_000;

/// Monday, 5 January 2026, 08:00 UTC.
const START: u64 = 1_767_600_000_000_000_000;

/// What has been on the wire.
#[derive(Default)]
pub struct Wire {
    /// The frames so far.
    pub records: Vec<Record>,
    elapsed: u64,
}

impl Wire {
    /// Time passes.
    pub fn wait(&mut self, millis: u64) {
        self.elapsed += millis * 1_000_000;
    }

    /// One packet, whatever its protocol.
    pub fn send(&mut self, side: Side, from: IpAddr, to: IpAddr, protocol: u8, body: &[u8]) {
        let id = 0x1000 + self.records.len() as u16;
        let kind = if from.is_ipv4() { IPV4 } else { IPV6 };
        let [near, far] = if side == Client { ENDS } else { [ENDS[1], ENDS[0]] };
        let bytes = ethernet(near, far, kind, &ip(from, to, protocol, id, body));
        self.elapsed += STEP;
        self.records.push(Record { nanos: START + self.elapsed, bytes });
    }

    /// One datagram.
    pub fn datagram(&mut self, side: Side, client: End, server: End, bytes: &[u8]) {
        let (from, to) = if side == Client { (client, server) } else { (server, client) };
        self.send(side, from.0, to.0, 17, &udp(from, to, bytes));
    }

    /// A question to the resolver and what it answers.
    pub fn look_up(&mut self, client: IpAddr, resolver: IpAddr, port: u16, question: &[u8], answer: &[u8]) {
        self.datagram(Client, (client, port), (resolver, 53), question);
        self.datagram(Server, (client, port), (resolver, 53), answer);
    }
}

/// A TCP conversation.
pub struct Talk {
    client: End,
    server: End,
    /// The next number of each side.
    pub next: [u32; 2],
}

impl Talk {
    /// Nothing has been said yet; numbers begin at `first`.
    pub fn new(client: End, server: End, first: [u32; 2]) -> Talk {
        Talk { client, server, next: first }
    }

    /// Sends one segment, and moves this side's number on.
    pub fn segment(&mut self, wire: &mut Wire, side: Side, flags: u8, bytes: &[u8]) {
        let at = self.next[side as usize];
        self.segment_at(wire, side, flags, at, bytes);
        let control = u32::from(flags & SYN != 0) + u32::from(flags & FIN != 0);
        self.next[side as usize] = at.wrapping_add(bytes.len() as u32 + control);
    }

    /// Sends one segment with a number of its own.
    pub fn segment_at(&mut self, wire: &mut Wire, side: Side, flags: u8, seq: u32, bytes: &[u8]) {
        let ack = if flags & ACK == 0 { 0 } else { self.next[1 - side as usize] };
        let (from, to) = if side == Client { (self.client, self.server) } else { (self.server, self.client) };
        wire.send(side, from.0, to.0, 6, &tcp(from, to, &Segment { seq, ack, flags, bytes }));
    }

    /// The handshake.
    pub fn open(&mut self, wire: &mut Wire) {
        self.segment(wire, Client, SYN, &[]);
        self.segment(wire, Server, SYN | ACK, &[]);
        self.segment(wire, Client, ACK, &[]);
    }

    /// Says something, in full segments, and has it acknowledged.
    pub fn say(&mut self, wire: &mut Wire, side: Side, bytes: &[u8]) {
        for part in bytes.chunks(SEGMENT) {
            self.segment(wire, side, ACK | PSH, part);
        }
        let other = if side == Client { Server } else { Client };
        self.segment(wire, other, ACK, &[]);
    }

    /// Both are done.
    pub fn close(&mut self, wire: &mut Wire) {
        self.segment(wire, Client, FIN | ACK, &[]);
        self.segment(wire, Server, FIN | ACK, &[]);
        self.segment(wire, Client, ACK, &[]);
    }

    /// One side resets.
    pub fn reset(&mut self, wire: &mut Wire, side: Side) {
        self.segment(wire, side, RST | ACK, &[]);
    }
}
