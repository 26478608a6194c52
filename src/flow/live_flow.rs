//! What is kept of a live flow.
//!
//! In:  packets, after they were assigned to the flow.
//! Out: counters, the TCP sequence space of both sides, and the buffers of reassembly.
//! Not: what a TCP segment changes; see `tcp`.
//!
//! There is one [`LiveFlow`] per flow, and every packet touches it: keep it small. What few packets need is boxed.

use super::consumer::At;
use super::consumer::FlowRef;
use super::consumer::Slot;
use super::gaps::SequenceGaps;
use super::key::FlowKey;
use super::limits::FlowLimits;
use super::record::HostDrops;
use super::record::IcmpError;
use super::record::ResetEvidence;
use super::record::ResetKinds;
use super::sequence::SequenceSpace;
use super::stream::Reassembly;
use crate::base::Side;
use crate::base::Time;
use crate::base::proto;
use crate::decode::Packet;
use crate::decode::TcpHeader;
use crate::decode::Transport;

/// The state of a flow; decides its idle time-out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FlowPhase {
    /// TCP: SYN without a SYN-ACK.
    Attempt,
    /// TCP: established, or seen midstream.
    Open,
    /// TCP: one side has sent FIN.
    HalfClosed,
    /// TCP: both sides have sent FIN, or one has sent RST.
    Closed,
    /// A protocol without connections.
    Datagram,
    /// The same, and no response is outstanding.
    Answered,
}

impl FlowPhase {
    fn timeout(self, limits: &FlowLimits) -> u64 {
        u64::from(match self {
            FlowPhase::Attempt => limits.attempt_secs,
            FlowPhase::Open => limits.open_secs,
            FlowPhase::HalfClosed => limits.half_closed_secs,
            FlowPhase::Closed | FlowPhase::Answered => limits.closed_secs,
            FlowPhase::Datagram => limits.datagram_secs,
        })
    }
}

/// A live flow.
#[derive(Debug)]
pub(super) struct LiveFlow<S> {
    pub(super) key: FlowKey,
    /// The latest time of a packet.
    pub(super) last_time: Time,
    /// The last frame, packed.
    pub(super) last_frame: u64,
    pub(super) packets: [u32; 2],
    pub(super) bytes: [u64; 2],
    pub(super) sequences: [SequenceSpace; 2],
    pub(super) phase: FlowPhase,
    /// The client is the key's high end.
    pub(super) client_is_high: bool,
    pub(super) from_start: bool,
    /// The consumer needs no more bytes.
    pub(super) done: bool,
    pub(super) simultaneous_open: bool,
    /// The snap length cut the payload of a packet.
    pub(super) is_cut: bool,
    /// Client and server are certain, from a handshake or from payload.
    pub(super) roles_known: bool,
    pub(super) reassembly: Option<Box<Reassembly<S>>>,
    pub(super) details: Option<Box<FlowDetails>>,
    /// The second of the last packet, by the table's clock.
    pub(super) active: u64,
    /// The second of its bucket in the expiry wheel.
    pub(super) due: u64,
    pub(super) first_time: Time,
    /// The first frame, packed.
    pub(super) first_frame: u64,
    /// The `order` of the first frame.
    pub(super) opened: u64,
}

const _: () = assert!(size_of::<LiveFlow<()>>() <= 176);

/// Middleboxes drop connections that are idle for longer than this, some of them with a reset: 30 seconds is the least that
/// most can be set to; Azure's load balancer has four minutes.
const IDLE_NANOS: u64 = 30_000_000_000;

/// What most packets do not touch.
///
/// Nearly every TCP flow has one, so its size counts: a quarter of a KiB and no more.
#[derive(Debug, Default)]
pub(super) struct FlowDetails {
    pub(super) sides: [SideCounts; 2],
    /// First frames of their kind, packed; 0 for none.
    pub(super) syn_frame: u64,
    pub(super) syn_ack_frame: u64,
    pub(super) first_data_frame: u64,
    pub(super) reset_frame: u64,
    pub(super) reset_time: Time,
    pub(super) syn_time: Time,
    /// Nanoseconds from SYN to SYN-ACK; 0 if not seen.
    pub(super) handshake_rtt: u64,
    /// Initial sequence numbers, valid with [`SequenceSpace::SYN`].
    pub(super) initial: [u32; 2],
    /// Sequence numbers that each side skipped.
    pub(super) gaps: Option<Box<[SequenceGaps; 2]>>,
    /// What the packets of each side have in common, to compare its resets with.
    pub(super) profiles: [SenderProfile; 2],
    /// Time of the client's first payload.
    pub(super) first_data_time: Time,
    /// Time of the client's first FIN or RST.
    pub(super) client_close_time: Time,
    pub(super) client_close_frame: u64,
    /// The server's first FIN or RST.
    pub(super) server_close_frame: u64,
    /// Time at which a sender last skipped bytes.
    pub(super) gap_time: Time,
    pub(super) icmp: Option<Box<IcmpError>>,
    pub(super) host_drops: Option<Box<HostDrops>>,
    /// Packets of each side when both were last idle for long with everything ACKed; 0 for never.
    pub(super) packets_at_idle: [u32; 2],
}

const _: () = assert!(size_of::<FlowDetails>() <= 256);

/// Counters of one side. They become [`SideSummary`](super::record::SideSummary), where they are explained.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SideCounts {
    pub(super) syns: u16,
    pub(super) fins: u16,
    pub(super) resets: u16,
    pub(super) reset_evidence: ResetEvidence,
    pub(super) reset_kinds: ResetKinds,
    pub(super) unacked_repeats: u8,
    pub(super) sack_acks: u8,
    pub(super) sack_span: u32,
    pub(super) keep_alives: u16,
    pub(super) zero_windows: u16,
    pub(super) retransmissions: u32,
    pub(super) out_of_order: u32,
    pub(super) differing: u16,
    /// Bytes before a reset, or ACKed by one, that the capture does not have.
    pub(super) missing_before_reset: u32,
}

/// What a sender's packets have in common; its last reset and its last retransmission.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SenderProfile {
    /// TTLs of the first and the last packet; 0 before any. A middlebox that responds for a server sends the first.
    pub(super) ttls: [u8; 2],
    /// IPv4 identifications of the same packets; 0 for none.
    pub(super) ip_ids: [u16; 2],
    /// Bits of [`SenderProfile::TIMESTAMPS`] and those below it.
    pub(super) seen: u8,
    /// Sequence number of the last reset.
    pub(super) reset: u32,
    /// Acknowledgement number of the last reset.
    pub(super) reset_ack: u32,
    /// First sequence number of the last retransmission.
    pub(super) repeated: u32,
    /// Its payload length.
    pub(super) repeated_len: u16,
    /// TTL of a reset that came before any other packet.
    pub(super) reset_ttl: u8,
    /// How many packets the peer had sent when the retransmissions started.
    pub(super) peer_packets: u32,
}

impl SenderProfile {
    /// Its segments have timestamps (RFC 7323 §3).
    pub(super) const TIMESTAMPS: u8 = 1;
    /// It reset a connection in which it had sent before: `reset` is valid.
    pub(super) const RESET: u8 = 2;
    /// The last packet of the flow was its reset.
    pub(super) const RESET_LAST: u8 = 4;

    pub(super) const fn has(self, seen: u8) -> bool {
        self.seen & seen == seen
    }
}

impl<S> LiveFlow<S> {
    pub(super) fn new(key: FlowKey, client_is_high: bool, from_start: bool, now: u64, at: At) -> Self {
        LiveFlow {
            key,
            last_time: at.time,
            last_frame: at.frame.pack(),
            packets: [0; 2],
            bytes: [0; 2],
            sequences: [SequenceSpace::default(); 2],
            phase: match key.protocol {
                proto::TCP if from_start => FlowPhase::Attempt,
                proto::TCP => FlowPhase::Open,
                _ => FlowPhase::Datagram,
            },
            client_is_high,
            from_start,
            done: false,
            simultaneous_open: false,
            is_cut: false,
            roles_known: from_start,
            reassembly: None,
            details: None,
            active: now,
            due: 0,
            first_time: at.time,
            first_frame: at.frame.pack(),
            opened: at.order,
        }
    }

    /// The flow as its consumer sees it.
    #[inline]
    pub(super) fn flow_ref(&self, slot: Slot) -> FlowRef {
        let (client, server) = if self.client_is_high {
            (self.key.high_end(), self.key.low_end())
        } else {
            (self.key.low_end(), self.key.high_end())
        };
        FlowRef {
            slot,
            opened: self.opened,
            client,
            server,
            protocol: self.key.protocol,
            from_start: self.from_start,
        }
    }

    /// The side of a sender. `flipped` says that the sender is the key's high end.
    #[inline]
    pub(super) const fn side(&self, flipped: bool) -> Side {
        if flipped == self.client_is_high { Side::Client } else { Side::Server }
    }

    /// The second from which the flow is expired unless more packets come.
    #[inline]
    pub(super) fn deadline(&self, limits: &FlowLimits) -> u64 {
        self.active.saturating_add(self.phase.timeout(limits)).saturating_add(1)
    }

    /// Counts a packet.
    #[inline]
    pub(super) fn count(&mut self, packet: &Packet<'_>, flipped: bool, now: u64, at: At) {
        if self.phase == FlowPhase::Open && at.time.since(self.last_time) > IDLE_NANOS {
            self.note_idle();
        }
        let side = self.side(flipped).index();
        if let Some(packets) = self.packets.get_mut(side) {
            *packets = packets.saturating_add(1);
        }
        if let Some(bytes) = self.bytes.get_mut(side) {
            *bytes += data_len(packet);
        }
        self.is_cut |= packet.payload.len() < packet.payload_len as usize;
        self.last_time = self.last_time.max(at.time);
        self.last_frame = at.frame.pack();
        self.active = now;
    }

    /// Both sides were idle for long. A client that waits for an ACK is not idle.
    #[cold]
    fn note_idle(&mut self) {
        let client = self.sequence(Side::Client);
        if client.next == client.acked {
            self.details().packets_at_idle = self.packets;
        }
    }

    #[inline]
    pub(super) fn sequence(&self, side: Side) -> &SequenceSpace {
        let [client, server] = &self.sequences;
        match side {
            Side::Client => client,
            Side::Server => server,
        }
    }

    #[inline]
    pub(super) fn sequence_mut(&mut self, side: Side) -> &mut SequenceSpace {
        let [client, server] = &mut self.sequences;
        match side {
            Side::Client => client,
            Side::Server => server,
        }
    }

    /// The number after the highest that a side has sent; `None` before it has sent anything.
    pub(super) fn sent_up_to(&self, side: Side) -> Option<u32> {
        let sequence = self.sequence(side);
        sequence.has(SequenceSpace::SENT).then_some(sequence.next)
    }

    /// The initial sequence number of a side; `None` if its SYN was not seen.
    pub(super) fn initial(&self, side: Side) -> Option<u32> {
        let details = self.details.as_ref().filter(|_| self.sequence(side).has(SequenceSpace::SYN))?;
        details.initial.get(side.index()).copied()
    }

    pub(super) fn details(&mut self) -> &mut FlowDetails {
        self.details.get_or_insert_with(Box::default)
    }

    /// Bytes held for the flow, as of the last call of [`LiveFlow::measure`].
    #[inline]
    pub(super) fn held(&self) -> usize {
        self.reassembly.as_ref().map_or(0, |reassembly| reassembly.held)
    }

    /// Adds retransmitted bytes that differ from the first copy.
    pub(super) fn note_differing(&mut self, side: Side, differing: u32) {
        if differing > 0 {
            let known = &mut self.details().side(side).differing;
            *known = known.saturating_add(u16::try_from(differing).unwrap_or(u16::MAX));
        }
    }

    /// Swaps client and server.
    pub(super) fn swap(&mut self) {
        self.client_is_high = !self.client_is_high;
        self.packets.reverse();
        self.bytes.reverse();
        self.sequences.reverse();
        if let Some(reassembly) = &mut self.reassembly {
            reassembly.streams.reverse();
        }
        if let Some(details) = &mut self.details {
            details.sides.reverse();
            details.initial.reverse();
            details.profiles.reverse();
            details.packets_at_idle.reverse();
            if let Some(gaps) = &mut details.gaps {
                gaps.reverse();
            }
            if let Some(error) = &mut details.icmp {
                error.about = error.about.other();
            }
            if let Some(drops) = &mut details.host_drops {
                drops.sender = drops.sender.other();
                drops.packets.reverse();
            }
        }
    }
}

impl FlowDetails {
    /// Resets so far were not of this connection.
    pub(super) fn forget_resets(&mut self) {
        self.reset_frame = 0;
        self.reset_time = Time::default();
        self.client_close_frame = 0;
        self.server_close_frame = 0;
        self.client_close_time = Time::default();
        for counts in &mut self.sides {
            counts.resets = 0;
            counts.reset_evidence = ResetEvidence::default();
            counts.reset_kinds = ResetKinds::default();
            counts.missing_before_reset = 0;
        }
        for profile in &mut self.profiles {
            *profile = SenderProfile::default();
        }
    }

    pub(super) fn side(&mut self, side: Side) -> &mut SideCounts {
        let [client, server] = &mut self.sides;
        match side {
            Side::Client => client,
            Side::Server => server,
        }
    }

    /// Counters and profile of one side.
    pub(super) fn side_and_profile(&mut self, side: Side) -> (&mut SideCounts, &mut SenderProfile) {
        let [client, server] = &mut self.sides;
        let [client_profile, server_profile] = &mut self.profiles;
        match side {
            Side::Client => (client, client_profile),
            Side::Server => (server, server_profile),
        }
    }

    pub(super) fn gaps(&mut self, side: Side) -> &mut SequenceGaps {
        let [client, server] = self.gaps.get_or_insert_with(Box::default).as_mut();
        match side {
            Side::Client => client,
            Side::Server => server,
        }
    }
}
/// The payload bytes of a packet that are data. The payload of a reset is a text about its cause (RFC 9293 §3.5.3).
#[inline]
pub(super) fn data_len(packet: &Packet<'_>) -> u64 {
    let is_reset = matches!(packet.transport, Transport::Tcp(header) if header.has(TcpHeader::RST));
    if is_reset { 0 } else { u64::from(packet.payload_len) }
}
