//! What is reported of a flow when it starts and when it ends.
//!
//! In:  nothing.
//! Out: types without behaviour, for later stages.
//! Not: what they mean.

use serde::Deserialize;
use serde::Serialize;

use super::key::Endpoint;
use crate::base::Address;
use crate::base::FrameRef;
use crate::base::HostDrop;
use crate::base::LinkAddress;
use crate::base::Process;
use crate::base::Side;
use crate::base::Time;

/// A flow started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowStart {
    /// The end that opened it, as far as is known.
    pub client: Endpoint,
    /// The other end.
    pub server: Endpoint,
    /// IANA protocol number.
    pub protocol: u8,
    /// False when its start was not seen (TCP without SYN).
    pub from_start: bool,
    /// ICMP: type and code of the first message, used in place of ports.
    pub icmp: Option<(u8, u8)>,
    /// VLAN IDs of its first packet, outermost first, separated by `;`.
    pub vlan: Box<str>,
    /// Tunnels around its first packet, outermost first.
    pub tunnel: Box<str>,
    /// The process that sent its first packet, where the capture says so.
    pub process: Option<Box<Process>>,
    /// How its first packet was sent, if the client sent it.
    pub sent: Option<SentBy>,
    /// Client and server of the same packets before or after the host that captured them translated them.
    pub translated: Option<Box<[Endpoint; 2]>>,
}

/// The adapter that sent a packet: the sender's own, or that of a router.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentBy {
    /// Its address on the link.
    pub adapter: LinkAddress,
    /// IPv4 TTL or IPv6 hop limit of the packet.
    pub ttl: u8,
}

/// Why a flow ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum EndReason {
    /// Both sides sent FIN or one sent RST, and no packets followed.
    Done,
    /// The idle time-out passed.
    Idle,
    /// A new connection started between the same ports.
    Reused,
    /// Evicted from a full table.
    Evicted,
    /// The capture ended first.
    CaptureEnded,
}

/// How far a TCP handshake came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Handshake {
    /// No SYN was seen: it was before the capture.
    Unseen,
    /// SYN without a response.
    Unanswered,
    /// SYN, and a reset in response.
    Refused,
    /// SYN and SYN-ACK, and nothing after them.
    HalfOpen,
    /// Complete.
    Complete,
}

/// What was counted of one flow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FlowEnd {
    /// Why it ended.
    pub reason: EndReason,
    /// Its first frame.
    pub first_frame: FrameRef,
    /// Its last frame.
    pub last_frame: FrameRef,
    /// Time of the first frame.
    pub first_seen: Time,
    /// Time of the last frame.
    pub last_seen: Time,
    /// Packets sent by the client and by the server.
    pub packets: [u64; 2],
    /// Payload bytes on the wire sent by the client and by the server, retransmissions included.
    pub bytes: [u64; 2],
    /// The snap length of the capture cut the payload of a packet.
    pub is_cut: bool,
    /// TCP only.
    pub tcp: Option<TcpSummary>,
    /// An ICMP error that quotes a packet of the flow.
    pub icmp: Option<Box<IcmpError>>,
    /// Packets of the flow that the host itself dropped.
    pub host_drops: Option<Box<HostDrops>>,
}

/// Packets of one flow that the host itself dropped, as its event trace reports it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostDrops {
    /// The first drop; one by a rule has priority over others.
    pub first: HostDrop,
    /// Its frame.
    pub frame: FrameRef,
    /// Who sent the packet.
    pub sender: Side,
    /// Packets of each side that were dropped for a reason of the same kind.
    pub packets: [u32; 2],
}

/// What the TCP headers of a flow show.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TcpSummary {
    /// How far the handshake came.
    pub handshake: Handshake,
    /// Client and server.
    pub sides: [SideSummary; 2],
    /// Initial sequence numbers of client and server, where their SYN was seen.
    pub initial: [Option<u32>; 2],
    /// TTL or hop limit of the client's first packet; 0 if none was seen.
    pub client_ttl: u8,
    /// The first SYN.
    pub syn_frame: Option<FrameRef>,
    /// The first SYN-ACK.
    pub syn_ack_frame: Option<FrameRef>,
    /// The client's first frame with payload.
    pub first_data_frame: Option<FrameRef>,
    /// The first reset.
    pub reset_frame: Option<FrameRef>,
    /// Its time.
    pub reset_time: Option<Time>,
    /// Nanoseconds from SYN to SYN-ACK; 0 if not seen.
    pub handshake_rtt: u64,
    /// Time of the client's first payload.
    pub first_data_time: Option<Time>,
    /// Time of the client's first FIN or RST.
    pub client_close_time: Option<Time>,
    /// Its frame.
    pub client_close_frame: Option<FrameRef>,
    /// Frame of the server's first FIN or RST.
    pub server_close_frame: Option<FrameRef>,
    /// Time at which a sender last skipped bytes.
    pub gap_time: Option<Time>,
    /// Both sides sent a SYN before either got a SYN-ACK (RFC 9293 §3.5).
    pub simultaneous_open: bool,
    /// Both sides were idle for long, and since then the server has sent nothing, or only resets.
    pub ended_after_idle: bool,
}

/// One side of a TCP flow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SideSummary {
    /// SYN or SYN-ACK segments.
    pub syns: u16,
    /// FIN segments.
    pub fins: u16,
    /// RST segments.
    pub resets: u16,
    /// Evidence that its resets are forged.
    pub reset_evidence: ResetEvidence,
    /// Which kinds of resets it sent.
    pub reset_kinds: ResetKinds,
    /// Retransmissions of one segment that was never ACKed.
    pub unacked_repeats: u16,
    /// Payload length of that segment.
    pub unacked_repeat_len: u16,
    /// Packets that the peer has sent since those retransmissions started.
    pub peer_packets: u32,
    /// ACKs by the peer that report missing bytes before received ones (SACK, RFC 2018).
    pub sack_acks: u16,
    /// The longest run of bytes that they report as received.
    pub sack_span: u32,
    /// Segments with payload.
    pub data_segments: u32,
    /// Segments whose bytes were all seen before.
    pub retransmissions: u32,
    /// Segments that filled an earlier gap.
    pub out_of_order: u32,
    /// Retransmissions with different data, as far as the first copy was still held.
    pub differing: u32,
    /// Keep-alive probes.
    pub keep_alives: u32,
    /// Segments that announced a window of 0.
    pub zero_windows: u32,
    /// Bytes that the peer ACKed and the capture does not have.
    pub acked_unseen_bytes: u64,
    /// Bytes that the capture does not have, ACKed or skipped by a later segment.
    pub missing_bytes: u64,
    /// Bytes that the peer had not ACKed at the end.
    pub unacknowledged: u32,
    /// Bytes that the peer has ACKed since the SYN; 0 if the SYN was not seen.
    pub acknowledged: u32,
    /// Bytes that the peer still waited for at the end, although later ones were sent.
    pub missing_tail_bytes: u32,
}

/// How a reset differs from the other packets of the sender that it names.
///
/// After Weaver, Sommer and Paxson, "Detecting Forged TCP Reset Packets" (NDSS 2009). A kernel resets a connection that it
/// does not know without a timestamp and with an identification of 0, so these two alone prove nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResetEvidence(u8);

/// Which kinds of resets a side sent: those that signatures of connection tampering distinguish.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResetKinds(u8);

impl ResetKinds {
    /// RST without ACK.
    pub const PLAIN: ResetKinds = ResetKinds(1);
    /// RST with ACK.
    pub const WITH_ACK: ResetKinds = ResetKinds(2);
    /// Several whose acknowledgement numbers differ.
    pub const DIFFERING: ResetKinds = ResetKinds(4);
    /// Several, one of them with acknowledgement number 0.
    pub const ZERO: ResetKinds = ResetKinds(8);

    /// Adds a kind if `is_present`.
    pub(super) const fn add(&mut self, kind: ResetKinds, is_present: bool) {
        if is_present {
            self.0 |= kind.0;
        }
    }

    /// True if such a reset was sent.
    pub const fn has(self, kind: ResetKinds) -> bool {
        self.0 & kind.0 == kind.0
    }
}

impl ResetEvidence {
    /// A different number of hops: it took another path.
    pub const HOP_LIMIT: ResetEvidence = ResetEvidence(1);
    /// An IP identification far from the sender's others.
    pub const IP_ID: ResetEvidence = ResetEvidence(2);
    /// No timestamp, although the sender's other segments have one.
    pub const NO_TIMESTAMP: ResetEvidence = ResetEvidence(4);
    /// The sender continued after the reset.
    pub const SENDER_CONTINUES: ResetEvidence = ResetEvidence(8);
    /// Several in a row with sequence numbers beyond what the sender has sent: guesses of the receive window.
    pub const SEQUENCE_SWEEP: ResetEvidence = ResetEvidence(16);
    /// In response to data, in less than half of the handshake's round-trip time.
    pub const FASTER_THAN_RTT: ResetEvidence = ResetEvidence(32);

    const NAMES: [(ResetEvidence, &'static str); 6] = [
        (ResetEvidence::HOP_LIMIT, "a different TTL or hop limit"),
        (ResetEvidence::IP_ID, "a different IP identification"),
        (ResetEvidence::NO_TIMESTAMP, "no timestamp"),
        (ResetEvidence::SENDER_CONTINUES, "its sender continued"),
        (ResetEvidence::SEQUENCE_SWEEP, "several beyond the bytes sent"),
        (ResetEvidence::FASTER_THAN_RTT, "earlier than the round trip"),
    ];

    /// Adds a sign if `is_present`.
    pub(crate) const fn add(&mut self, sign: ResetEvidence, is_present: bool) {
        if is_present {
            self.0 |= sign.0;
        }
    }

    /// True if all of `signs` were seen.
    pub const fn has(self, signs: ResetEvidence) -> bool {
        self.0 & signs.0 == signs.0
    }

    /// The number of signs.
    pub const fn count(self) -> u32 {
        self.0.count_ones()
    }

    /// True if a third party sent it: at least two signs, and one of them never comes from the sender's own kernel.
    pub const fn is_third_party(self) -> bool {
        self.count() >= 2 && self.0 & !ResetEvidence::NO_TIMESTAMP.0 & !ResetEvidence::IP_ID.0 != 0
    }

    /// True if it was injected beside the sender. A load balancer, which resets in its servers' place, does not race them.
    pub const fn is_injected(self) -> bool {
        const RACE: u8 = ResetEvidence::SENDER_CONTINUES.0
            | ResetEvidence::SEQUENCE_SWEEP.0
            | ResetEvidence::FASTER_THAN_RTT.0;
        self.count() >= 2 && self.0 & RACE != 0
    }

    /// The signs as text.
    pub fn words(self) -> impl Iterator<Item = &'static str> {
        ResetEvidence::NAMES.into_iter().filter(move |(sign, _)| self.has(*sign)).map(|(_, name)| name)
    }
}

/// An ICMP error that quotes a packet of the flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IcmpError {
    /// The frame that carried it.
    pub frame: FrameRef,
    /// Its time.
    pub time: Time,
    /// Its sender: the host or router that rejected the packet.
    pub from: Address,
    /// The side whose packet it quotes: an error about the server's packets does not reject the client's.
    pub about: Side,
    /// True for ICMPv6.
    pub v6: bool,
    /// The type.
    pub kind: u8,
    /// The code.
    pub code: u8,
    /// Bytes 4 to 7 of the message: next-hop MTU and similar.
    pub detail: u32,
    /// The number of such errors.
    pub count: u32,
}

impl IcmpError {
    /// Which of several errors about a flow is kept: the lower rank, else the first. An error about the client's packets comes
    /// before one about the server's; then a rule that a router reports (RFC 1812 §5.2.7.1, RFC 4443 §3.1), an unreachable port
    /// or protocol, a missing route, an unreachable host, and anything else.
    pub(super) fn rank(&self) -> (Side, u8) {
        let rank = match (self.v6, self.kind, self.code) {
            (false, 3, 9 | 10 | 13) | (true, 1, 1) => 0,
            (false, 3, 14 | 15) | (true, 1, 5 | 6) => 1,
            (false, 3, 2 | 3) | (true, 1, 4) | (true, 4, 1) => 2,
            (false, 3, 0 | 5 | 6 | 11) | (true, 1, 0 | 2) => 3,
            (false, 3, 1 | 7 | 8 | 12) | (true, 1, 3) => 4,
            (false, 11, _) | (true, 3, _) => 5,
            _ => 6,
        };
        (self.about, rank)
    }
}
