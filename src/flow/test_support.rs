//! Plays packets into a flow table, for tests.
//!
//! In:  a script, a packet per line.
//! Out: the consumer's calls, a line each; the flow's summary.
//! Not: frames; see `decode`.
//!
//! A line is the sender (`c` client, `s` server), what it sends, and options, separated by spaces:
//!
//! ```text
//! c S 100               a segment: flags (S, F, R, P, A; `-` for none), sequence number, acknowledgement number, "payload"
//! s SA 500 101
//! c A 101 501 "GET"     win=, ttl=, id=, cut= (truncated bytes), ts (timestamps option), sack=BEGIN-END
//! c udp "abc"           a datagram
//! c S 100 drop=909      the host dropped it for this reason; `duplicate`: another component logged it before
//! s icmp 3 1 100        an ICMP error of type 3, code 1, that quotes the peer's segment with sequence number 100
//! +60                   this many seconds pass (+0.5: half a second); frame time goes on
//! ```

use super::consumer::At;
use super::consumer::FlowRef;
use super::consumer::Payload;
use super::consumer::ReadProgress;
use super::consumer::StreamConsumer;
use super::consumer::StreamEnd;
use super::key::Endpoint;
use super::limits::FlowLimits;
use super::record::FlowEnd;
use super::record::FlowStart;
use super::record::SideSummary;
use super::record::TcpSummary;
use super::table::DroppedPacket;
use super::table::FlowTable;
use crate::base::Address;
use crate::base::DropReason;
use crate::base::FrameRef;
use crate::base::HostDrop;
use crate::base::Side;
use crate::base::Time;
use crate::base::WireText;
use crate::base::proto;
use crate::decode::Encapsulation;
use crate::decode::Packet;
use crate::decode::Quoted;
use crate::decode::TcpHeader;
use crate::decode::Transport;

/// The client of every script.
pub(super) const CLIENT: Endpoint = Endpoint { address: Address::v4([10, 0, 0, 1]), port: 50_000 };
/// The server of every script.
pub(super) const SERVER: Endpoint = Endpoint { address: Address::v4([192, 0, 2, 1]), port: 443 };

/// A flow table whose consumer records its calls.
pub(super) struct TestTable {
    pub(super) table: FlowTable<()>,
    pub(super) recorder: Recorder,
    order: u64,
    nanos: i64,
}

/// Records calls as text, and responds to deliveries as `progress` says.
pub(super) struct Recorder {
    pub(super) calls: Vec<String>,
    pub(super) ends: Vec<FlowEnd>,
    /// By default, all bytes are consumed and any more are wanted.
    pub(super) progress: fn(&[u8]) -> ReadProgress,
    /// What any payload shows.
    pub(super) sender_is_client: Option<bool>,
}

impl TestTable {
    pub(super) fn new(limits: FlowLimits) -> TestTable {
        let mut table = TestTable {
            table: FlowTable::new(limits),
            recorder: Recorder {
                calls: Vec::new(),
                ends: Vec::new(),
                progress: |bytes| ReadProgress::NeedMore { consumed: bytes.len(), need: 0 },
                sender_is_client: None,
            },
            order: 0,
            nanos: 1_700_000_000_000_000_000,
        };
        table.pass(0);
        table
    }

    fn at(&self) -> At {
        let frame = FrameRef { number: self.order, ..FrameRef::default() };
        At { order: self.order * 2 + 1, frame, time: Time(self.nanos) }
    }

    /// Lets time pass.
    pub(super) fn pass(&mut self, nanos: i64) {
        self.nanos += nanos;
        let at = self.at();
        self.table.tick(at.time.secs(), at, &mut self.recorder);
    }

    /// Adds a packet.
    pub(super) fn accept(&mut self, packet: &Packet<'_>) {
        self.order += 1;
        let at = self.at();
        self.table.accept(packet, at, &mut self.recorder);
    }

    /// Plays the lines of a script.
    pub(super) fn play(&mut self, script: &str) {
        for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
            match line.strip_prefix('+') {
                Some(seconds) => self.pass((seconds.parse::<f64>().expect(line) * 1e9) as i64),
                None => self.play_packet(line),
            }
        }
    }

    fn play_packet(&mut self, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let value = |name: &str| words.iter().find_map(|word| word.strip_prefix(name));
        let number = |name: &str, default: u32| value(name).map_or(default, |text| text.parse().expect(line));
        let (from, to) = if words[0] == "c" { (CLIENT, SERVER) } else { (SERVER, CLIENT) };
        let numbers: Vec<u32> = words[2..].iter().map_while(|word| word.parse().ok()).collect();
        let numeric = |index: usize| numbers.get(index).copied().unwrap_or_default();
        let payload = value("\"").map(|text| text.trim_end_matches('"')).unwrap_or_default();
        let mut options = Vec::new();
        if words.contains(&"ts") {
            options.extend([8, 10, 0, 0, 0, 1, 0, 0, 0, 2, 1, 1]);
        }
        if let Some((begin, end)) = value("sack=").and_then(|block| block.split_once('-')) {
            options.extend([5, 10]);
            options.extend(begin.parse::<u32>().expect(line).to_be_bytes());
            options.extend(end.parse::<u32>().expect(line).to_be_bytes());
        }
        let (protocol, transport) = match words[1] {
            "udp" => (proto::UDP, Transport::Udp),
            "icmp" => {
                let quoted = Quoted {
                    src: to.address,
                    dst: from.address,
                    protocol: proto::TCP,
                    src_port: to.port,
                    dst_port: from.port,
                    seq: Some(numeric(2)),
                    total_len: 40,
                    fragment: None,
                };
                let (kind, code) = (numeric(0) as u8, numeric(1) as u8);
                (proto::ICMP, Transport::Icmp { kind, code, id: 0, detail: 0, quoted: Some(quoted) })
            }
            flags => {
                let flag = |letter| match letter {
                    'S' => TcpHeader::SYN,
                    'F' => TcpHeader::FIN,
                    'R' => TcpHeader::RST,
                    'P' => TcpHeader::PSH,
                    'A' => TcpHeader::ACK,
                    _ => 0,
                };
                let header = TcpHeader {
                    seq: numeric(0),
                    ack: numeric(1),
                    flags: flags.chars().fold(0, |flags, letter| flags | flag(letter)),
                    window: number("win=", 1000) as u16,
                    options: &options,
                };
                (proto::TCP, Transport::Tcp(header))
            }
        };
        let packet = Packet {
            ttl: number("ttl=", 64) as u8,
            ip_id: number("id=", 0) as u16,
            transport,
            payload: payload.as_bytes(),
            payload_len: payload.len() as u32 + number("cut=", 0),
            host_report: None,
            ..packet(from, to, protocol)
        };
        match value("drop=").map(|reason| reason.parse().expect(line)) {
            None => self.accept(&packet),
            Some(reason) => {
                let component = WireText::printable("tcpip.sys".to_owned());
                let drop = &HostDrop { component, reason: DropReason(reason) };
                let is_duplicate = words.contains(&"duplicate");
                self.order += 1;
                let at = self.at();
                let dropped = DroppedPacket { drop, is_duplicate };
                self.table.accept_dropped(&packet, dropped, at, &mut self.recorder);
            }
        }
    }

    /// Ends the capture; returns all calls, a line each.
    pub(super) fn finish(&mut self) -> String {
        let at = self.at();
        self.table.finish(at, &mut self.recorder);
        self.recorder.calls.join("\n")
    }
}

/// Plays a script; returns the summary of the last flow that ended.
pub(super) fn summary(script: &str) -> FlowEnd {
    let mut table = TestTable::new(FlowLimits::default());
    table.play(script);
    table.finish();
    table.recorder.ends.pop().expect("a flow")
}

/// The same for TCP.
pub(super) fn tcp_summary(script: &str) -> TcpSummary {
    summary(script).tcp.expect("TCP")
}

/// The fields of a side that are not 0, in the order of [`SideSummary`].
pub(super) fn fields(side: &SideSummary) -> String {
    let all = [
        ("syns", u64::from(side.syns)),
        ("fins", side.fins.into()),
        ("resets", side.resets.into()),
        ("unacked_repeats", side.unacked_repeats.into()),
        ("peer_packets", side.peer_packets.into()),
        ("sack_acks", side.sack_acks.into()),
        ("sack_span", side.sack_span.into()),
        ("data", side.data_segments.into()),
        ("retransmissions", side.retransmissions.into()),
        ("out_of_order", side.out_of_order.into()),
        ("differing", side.differing.into()),
        ("keep_alives", side.keep_alives.into()),
        ("zero_windows", side.zero_windows.into()),
        ("acked_unseen", side.acked_unseen_bytes),
        ("missing", side.missing_bytes),
        ("unacked", side.unacknowledged.into()),
        ("acked", side.acknowledged.into()),
        ("missing_tail", side.missing_tail_bytes.into()),
    ];
    let shown: Vec<String> =
        all.iter().filter(|(_, count)| *count > 0).map(|(name, count)| format!("{name}={count}")).collect();
    shown.join(" ")
}

/// A packet without payload.
pub(super) fn packet(from: Endpoint, to: Endpoint, protocol: u8) -> Packet<'static> {
    Packet {
        src: from.address,
        dst: to.address,
        src_port: from.port,
        dst_port: to.port,
        protocol,
        ttl: 64,
        ip_id: 0,
        was_fragmented: false,
        scope: 0,
        encapsulation: &Encapsulation::NONE,
        transport: Transport::Other,
        payload: &[],
        payload_len: 0,
        host_report: None,
        adapter: None,
    }
}

impl Recorder {
    fn record(&mut self, call: String) {
        self.calls.push(call);
    }

    fn progress(&self, bytes: &[u8]) -> ReadProgress {
        (self.progress)(bytes)
    }
}

fn name(side: Side) -> &'static str {
    match side {
        Side::Client => "c",
        Side::Server => "s",
    }
}

fn text(bytes: &[u8]) -> String {
    format!("{:?}", String::from_utf8_lossy(bytes))
}

impl StreamConsumer for Recorder {
    type State = ();

    fn opened(&mut self, flow: &FlowRef, flow_start: FlowStart, _: At) {
        let client = if flow.client == CLIENT { "c" } else { "s" };
        self.record(format!("opened by {client}{}", if flow_start.from_start { "" } else { " midstream" }));
    }

    fn swapped(&mut self, _: &FlowRef, _: At) {
        self.record("swapped".to_owned());
    }

    fn sender_is_client(&self, _: u8, _: Endpoint, _: Endpoint, bytes: &[u8]) -> Option<bool> {
        self.sender_is_client.filter(|_| !bytes.is_empty())
    }

    fn stream(&mut self, _: &FlowRef, (): &mut (), payload: Payload<'_>) -> ReadProgress {
        let Payload { side, bytes, at: _ } = payload;
        self.record(format!("{} {}", name(side), text(bytes)));
        self.progress(bytes)
    }

    fn stream_ended(&mut self, _: &FlowRef, (): &mut (), payload: Payload<'_>, why: StreamEnd) {
        let Payload { side, bytes, at: _ } = payload;
        self.record(format!("{} {why:?} {}", name(side), text(bytes)));
    }

    fn datagram(&mut self, _: &FlowRef, (): &mut (), payload: Payload<'_>, _: u32) -> ReadProgress {
        let Payload { side, bytes, at: _ } = payload;
        self.record(format!("{} {}", name(side), text(bytes)));
        self.progress(bytes)
    }

    fn interim(&mut self, _: &FlowRef, flow_end: FlowEnd, _: At) {
        self.record(format!("interim {:?}", flow_end.reason));
    }

    fn finish(&mut self, _: &FlowRef, (): &mut (), _: At) {}

    fn closed(&mut self, _: &FlowRef, flow_end: FlowEnd, _: At) {
        self.record(format!("closed {:?}", flow_end.reason));
        self.ends.push(flow_end);
    }
}
