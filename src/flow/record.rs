//! What a conversation leaves behind when it is over.

use super::key::Endpoint;
use crate::base::FrameRef;
use crate::base::Time;

/// A conversation began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowStart {
    /// Who opened it, as far as is known.
    pub client: Endpoint,
    /// Who answered.
    pub server: Endpoint,
    /// IANA protocol number.
    pub protocol: u8,
    /// False when its beginning was not seen (TCP without SYN).
    pub from_start: bool,
    /// ICMP: type and code of the first message, which stand for ports.
    pub icmp: Option<(u8, u8)>,
    /// VLAN ids of its first packet, outermost first, joined with `;`.
    pub vlan: Box<str>,
    /// Tunnels around its first packet, outermost first.
    pub tunnel: Box<str>,
}

/// Why a conversation is no longer followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EndReason {
    /// Both sides said that they are done, or one reset it, and nothing came after.
    Done,
    /// Silent for longer than its kind may be.
    Idle,
    /// A new conversation began between the same ports.
    Reused,
    /// Pushed out of a full table.
    Evicted,
    /// The capture ended first.
    CaptureEnded,
}

/// How far a TCP handshake came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Handshake {
    /// Began before the capture.
    Unseen,
    /// SYN, and no answer.
    Unanswered,
    /// SYN, and a reset from the other side.
    Refused,
    /// SYN and SYN-ACK, and no acknowledgement of it.
    HalfOpen,
    /// Complete.
    Complete,
}

/// All that was counted of one conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FlowEnd {
    /// Why it is over.
    pub reason: EndReason,
    /// Its first frame.
    pub first_frame: FrameRef,
    /// Its last frame.
    pub last_frame: FrameRef,
    /// Time of the first frame.
    pub first_seen: Time,
    /// Time of the last frame.
    pub last_seen: Time,
    /// Packets by the client and by the server.
    pub packets: [u64; 2],
    /// Payload bytes by the client and by the server, as long as they were on the wire, repeats included.
    pub bytes: [u64; 2],
    /// What TCP told; none for other protocols.
    pub tcp: Option<TcpSummary>,
    /// The last ICMP error that quotes this conversation.
    pub icmp: Option<IcmpError>,
}

/// What the headers of a TCP conversation told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TcpSummary {
    /// How far the handshake came.
    pub handshake: Handshake,
    /// Client and server.
    pub sides: [SideSummary; 2],
    /// The first SYN.
    pub syn_frame: Option<FrameRef>,
    /// The first SYN-ACK.
    pub syn_ack_frame: Option<FrameRef>,
    /// The first frame with payload by the client.
    pub first_data_frame: Option<FrameRef>,
    /// The first reset.
    pub reset_frame: Option<FrameRef>,
    /// Its time.
    pub reset_time: Option<Time>,
    /// Nanoseconds from SYN to SYN-ACK, 0 when not seen.
    pub handshake_rtt: u64,
    /// When the client first sent payload.
    pub first_data_time: Option<Time>,
    /// When the client first sent FIN or RST.
    pub client_close_time: Option<Time>,
    /// The frame of that.
    pub client_close_frame: Option<FrameRef>,
    /// When bytes were last passed over.
    pub gap_time: Option<Time>,
    /// Both sides sent SYN before either was answered.
    pub simultaneous_open: bool,
    /// Since both sides were silent for long, the server has sent resets alone, or nothing.
    pub ended_after_idle: bool,
}

/// One side of a TCP conversation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SideSummary {
    /// SYN or SYN-ACK segments.
    pub syns: u16,
    /// FIN segments.
    pub fins: u16,
    /// RST segments.
    pub resets: u16,
    /// What its resets had of a forgery.
    pub reset_evidence: ResetEvidence,
    /// Which resets it sent.
    pub reset_kinds: ResetKinds,
    /// Repeats of one segment that was never acknowledged.
    pub unacked_repeats: u16,
    /// Payload of that segment.
    pub unacked_repeat_len: u16,
    /// Packets that the other side has sent since those repeats began.
    pub peer_packets: u32,
    /// Acknowledgements by the other side that say that something is missing in front of what came (RFC 2018).
    pub sack_acks: u16,
    /// The longest run of bytes that they say came.
    pub sack_span: u32,
    /// Segments with payload.
    pub data_segments: u32,
    /// Segments that repeat bytes seen before.
    pub retransmissions: u32,
    /// Segments that filled an earlier hole.
    pub out_of_order: u32,
    /// Repeated bytes that were not the same as the first time, as far as they were still held.
    pub differing: u32,
    /// Keep-alive probes.
    pub keep_alives: u32,
    /// Times the window was closed.
    pub zero_windows: u32,
    /// Bytes that the other side acknowledged and the capture does not hold.
    pub acked_unseen_bytes: u64,
    /// Bytes that the capture does not hold, whether acknowledged or only passed over by what this side said later.
    pub missing_bytes: u64,
    /// Bytes that the other side has not acknowledged at the end.
    pub unacknowledged: u32,
    /// Bytes that the other side has acknowledged, from the SYN on; 0 when that was not seen.
    pub acknowledged: u32,
    /// Bytes that are missing at the end where the other side waits for them, though later ones came.
    pub missing_tail_bytes: u32,
}

/// How a reset differs from what the sender it names sent before and after.
///
/// After Weaver, Sommer and Paxson, "Detecting Forged TCP Reset Packets" (NDSS 2009). A sender's own kernel answers for a
/// connection that it does not know without a time stamp and with an identification of 0: these prove nothing alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResetEvidence(u8);

/// Which kinds of resets a side sent: those that the vocabulary of connection tampering tells apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResetKinds(u8);

impl ResetKinds {
    /// Without an acknowledgement.
    pub const PLAIN: ResetKinds = ResetKinds(1);
    /// With one.
    pub const WITH_ACK: ResetKinds = ResetKinds(2);
    /// Several, whose acknowledgement fields differ.
    pub const DIFFERING: ResetKinds = ResetKinds(4);
    /// Several, and one has 0 in that field.
    pub const ZERO: ResetKinds = ResetKinds(8);

    /// Adds a kind when it is there.
    pub(super) const fn add(&mut self, kind: ResetKinds, is_there: bool) {
        if is_there {
            self.0 |= kind.0;
        }
    }

    /// Whether such a reset was sent.
    pub const fn has(self, kind: ResetKinds) -> bool {
        self.0 & kind.0 == kind.0
    }
}

impl ResetEvidence {
    /// Another number of hops than before: it came another way.
    pub const HOP_LIMIT: ResetEvidence = ResetEvidence(1);
    /// An identification far from the sender's own.
    pub const IP_ID: ResetEvidence = ResetEvidence(2);
    /// No time stamp, where the sender's other segments have one.
    pub const NO_TIMESTAMP: ResetEvidence = ResetEvidence(4);
    /// The sender goes on as if it had sent none.
    pub const SENDER_CONTINUES: ResetEvidence = ResetEvidence(8);
    /// Several in a row, with numbers beyond what the sender has sent: somebody guesses the window.
    pub const SEQUENCE_SWEEP: ResetEvidence = ResetEvidence(16);
    /// In answer to data, in less than half of the handshake's round trip.
    pub const FASTER_THAN_RTT: ResetEvidence = ResetEvidence(32);

    const NAMES: [(ResetEvidence, &'static str); 6] = [
        (ResetEvidence::HOP_LIMIT, "another hop limit"),
        (ResetEvidence::IP_ID, "another IP identification"),
        (ResetEvidence::NO_TIMESTAMP, "no time stamp"),
        (ResetEvidence::SENDER_CONTINUES, "its sender goes on"),
        (ResetEvidence::SEQUENCE_SWEEP, "several beyond what was sent"),
        (ResetEvidence::FASTER_THAN_RTT, "sooner than the round trip"),
    ];

    /// Adds a sign when it is there.
    pub(super) const fn add(&mut self, sign: ResetEvidence, is_there: bool) {
        if is_there {
            self.0 |= sign.0;
        }
    }

    /// Whether all of `reset_evidence` are there.
    pub const fn has(self, reset_evidence: ResetEvidence) -> bool {
        self.0 & reset_evidence.0 == reset_evidence.0
    }

    /// How many there are.
    pub const fn count(self) -> u32 {
        self.0.count_ones()
    }

    /// Whether somebody else than the sender's own kernel sent it: two signs, one of which no kernel leaves by itself.
    pub const fn is_third_party(self) -> bool {
        self.count() >= 2 && self.0 & !ResetEvidence::NO_TIMESTAMP.0 & !ResetEvidence::IP_ID.0 != 0
    }

    /// The same, and not a box that speaks for the sender, as load balancers do: they do not race with it.
    pub const fn is_injected(self) -> bool {
        const RACE: u8 = ResetEvidence::SENDER_CONTINUES.0
            | ResetEvidence::SEQUENCE_SWEEP.0
            | ResetEvidence::FASTER_THAN_RTT.0;
        self.count() >= 2 && self.0 & RACE != 0
    }

    /// In words.
    pub fn words(self) -> impl Iterator<Item = &'static str> {
        ResetEvidence::NAMES.into_iter().filter(move |(sign, _)| self.has(*sign)).map(|(_, name)| name)
    }
}

/// An ICMP error that quotes a packet of the conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IcmpError {
    /// The frame that carried it.
    pub frame: FrameRef,
    /// Its time.
    pub time: Time,
    /// Who sent it: this names the box.
    pub from: crate::base::Address,
    /// Whose packet it quotes: an error about the server's packets is no refusal of the client's.
    pub about: crate::base::Side,
    /// True for ICMPv6.
    pub v6: bool,
    /// The type.
    pub kind: u8,
    /// The code.
    pub code: u8,
    /// Bytes 4 to 7 of the message: next-hop MTU and the like.
    pub detail: u32,
    /// How many such errors there were.
    pub count: u32,
}
