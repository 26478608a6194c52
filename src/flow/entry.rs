//! What is kept of a live conversation.
//!
//! One entry per flow, touched by every packet: keep it small. What few packets need lies behind boxes.

use super::consumer::At;
use super::gaps::SequenceGaps;
use super::key::FlowKey;
use super::limits::FlowLimits;
use super::record::IcmpError;
use super::record::ResetEvidence;
use super::record::ResetKinds;
use super::stream::Reassembly;
use crate::base::Side;
use crate::base::Time;
use crate::base::proto;
use crate::decode::Packet;

/// How far a conversation has come; decides how long it may be silent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FlowPhase {
    /// SYN without an answer.
    Attempt,
    /// Established, or seen from the middle.
    Open,
    /// One side has sent FIN.
    HalfClosed,
    /// Both sides have, or one sent RST.
    Closed,
    /// No connections here.
    Datagram,
    /// The same, with nothing left to wait for.
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

/// One side's sequence space, as far as the next packet needs it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SequenceSpace {
    /// The number after the highest that this side has sent.
    pub(super) next: u32,
    /// The highest number of this side that the other acknowledged.
    pub(super) acked: u32,
    /// Segments with payload; stops counting at the top.
    pub(super) data: u16,
    /// Bits of [`SequenceSpace::SENT`] and the rest.
    pub(super) seen: u8,
}

impl SequenceSpace {
    /// Has sent anything: `next` means something.
    pub(super) const SENT: u8 = 1;
    /// Has sent a SYN: `next` counts from its number.
    pub(super) const SYN: u8 = 2;
    /// Has sent a FIN.
    pub(super) const FIN: u8 = 4;
    /// Has sent a RST.
    pub(super) const RST: u8 = 8;
    /// Has sent a segment without SYN or RST.
    pub(super) const TALKED: u8 = 16;

    #[inline]
    pub(super) const fn has(&self, seen: u8) -> bool {
        self.seen & seen == seen
    }
}

/// A live conversation.
#[derive(Debug)]
pub(super) struct LiveFlow<S> {
    pub(super) key: FlowKey,
    pub(super) last_time: Time,
    /// The last frame, packed.
    pub(super) last_frame: u64,
    pub(super) packets: [u32; 2],
    pub(super) bytes: [u64; 2],
    pub(super) sequences: [SequenceSpace; 2],
    pub(super) state: FlowPhase,
    pub(super) client_is_high: bool,
    pub(super) from_start: bool,
    /// Nobody wants the bytes any more.
    pub(super) sated: bool,
    pub(super) simultaneous_open: bool,
    /// Whether the roles are known for certain, from a handshake or from what was said.
    pub(super) roles_known: bool,
    pub(super) reassembly: Option<Box<Reassembly<S>>>,
    pub(super) details: Option<Box<FlowDetails>>,
    /// The second in which it was last active, by the table's clock.
    pub(super) active: u64,
    /// The second of the bucket that it is in.
    pub(super) due: u64,
    pub(super) first_time: Time,
    /// The first frame, packed.
    pub(super) first_frame: u64,
    /// Its place in the order of all frames.
    pub(super) opened: u64,
}

/// Boxes on the path forget connections that are silent for longer than this, some of them with a reset: thirty seconds at
/// the least that can be set in most, four minutes in Azure.
const IDLE_NANOS: u64 = 30_000_000_000;

/// What only unusual packets touch.
///
/// Nearly every live conversation has one: it fills a quarter of a KiB, and not a byte more.
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
    pub(super) handshake_rtt: u64,
    /// First sequence numbers, where a SYN was seen.
    pub(super) first: [u32; 2],
    /// Sequence numbers that each side skipped.
    pub(super) gaps: Option<Box<[SequenceGaps; 2]>>,
    /// How each side's packets look, against which its resets are held.
    pub(super) profiles: [SenderProfile; 2],
    /// When the client first sent payload.
    pub(super) first_data_time: Time,
    /// When the client first sent FIN or RST.
    pub(super) client_close_time: Time,
    pub(super) client_close_frame: u64,
    /// When bytes were last passed over.
    pub(super) gap_time: Time,
    pub(super) icmp: Option<Box<IcmpError>>,
    /// How many packets each side had sent when both were last silent for long, with nothing left to acknowledge; 0 for never.
    pub(super) pause: [u32; 2],
}

const _: () = assert!(size_of::<FlowDetails>() <= 256);
const _: () = assert!(size_of::<LiveFlow<()>>() <= 176);

/// What is counted of one side; see [`SideSummary`](super::record::SideStory), which has the same and more.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SideCounts {
    pub(super) syns: u16,
    pub(super) fins: u16,
    pub(super) resets: u16,
    pub(super) reset_evidence: ResetEvidence,
    pub(super) reset_kinds: ResetKinds,
    pub(super) unacked_repeats: u8,
    pub(super) sack_acks: u8,
    /// The longest run of bytes that came behind something missing.
    pub(super) sack_span: u32,
    pub(super) keep_alives: u16,
    pub(super) zero_windows: u16,
    pub(super) retransmissions: u32,
    pub(super) out_of_order: u32,
    pub(super) differing: u16,
    pub(super) missing_bytes: u32,
}

/// What a sender's packets have in common; and its last reset.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SenderProfile {
    /// Hop limits of the first and the last packet; 0 before anything was sent. A box that answers for a server sends the first.
    pub(super) ttls: [u8; 2],
    /// IPv4 identifications of the same, 0 for none.
    pub(super) ip_ids: [u16; 2],
    /// Bits of [`SenderProfile::STAMPS`] and the rest.
    pub(super) seen: u8,
    /// Sequence number of the last reset.
    pub(super) reset: u32,
    /// The acknowledgement field of the last reset.
    pub(super) reset_ack: u32,
    /// Where the segment begins that was repeated last.
    pub(super) repeated: u32,
    /// Its payload.
    pub(super) repeated_len: u16,
    /// Hop limit of a reset that came before anything else.
    pub(super) reset_ttl: u8,
    /// How many packets the other side had sent when the repeats began.
    pub(super) peer_packets: u32,
}

impl SenderProfile {
    /// Its segments carry time stamps (RFC 7323 §3).
    pub(super) const STAMPS: u8 = 1;
    /// It reset what it had taken part in: `reset` means something.
    pub(super) const RESET: u8 = 2;
    /// The last packet of the conversation was its reset.
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
            state: match key.protocol {
                proto::TCP if from_start => FlowPhase::Attempt,
                proto::TCP => FlowPhase::Open,
                _ => FlowPhase::Datagram,
            },
            client_is_high,
            from_start,
            sated: false,
            simultaneous_open: false,
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

    /// Which side sent a packet whose sender is the key's high end (`flipped`) or low end.
    #[inline]
    pub(super) const fn side(&self, flipped: bool) -> Side {
        if flipped == self.client_is_high { Side::Client } else { Side::Server }
    }

    /// The second from which it is expired, if nothing more comes.
    #[inline]
    pub(super) fn deadline(&self, limits: &FlowLimits) -> u64 {
        self.active.saturating_add(self.state.timeout(limits)).saturating_add(1)
    }

    /// Counts a packet.
    #[inline]
    pub(super) fn count(&mut self, packet: &Packet<'_>, flipped: bool, at: At) {
        if self.state == FlowPhase::Open && at.time.since(self.last_time) > IDLE_NANOS {
            self.pauses();
        }
        let side = self.side(flipped).index();
        if let Some(packets) = self.packets.get_mut(side) {
            *packets = packets.saturating_add(1);
        }
        if let Some(bytes) = self.bytes.get_mut(side) {
            *bytes += u64::from(packet.payload_len);
        }
        self.last_time = self.last_time.max(at.time);
        self.last_frame = at.frame.pack();
    }

    /// Both sides were silent for long. Whoever waits for an acknowledgement is not idle.
    #[cold]
    fn pauses(&mut self) {
        let client = self.sequence(Side::Client);
        if client.next == client.acked {
            self.details().pause = self.packets;
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

    /// The number after the highest that a side has sent, when it has sent anything.
    pub(super) fn sent_up_to(&self, side: Side) -> Option<u32> {
        let sequence = self.sequence(side);
        sequence.has(SequenceSpace::SENT).then_some(sequence.next)
    }

    pub(super) fn details(&mut self) -> &mut FlowDetails {
        self.details.get_or_insert_with(Box::default)
    }

    /// Adds what a stream found repeated and changed.
    pub(super) fn note_differing(&mut self, side: Side, differing: u32) {
        if differing > 0 {
            let known = &mut self.details().side(side).differing;
            *known = known.saturating_add(u16::try_from(differing).unwrap_or(u16::MAX));
        }
    }

    /// Client and server are the other way round.
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
            details.first.reverse();
            details.profiles.reverse();
            details.pause.reverse();
            if let Some(gaps) = &mut details.gaps {
                gaps.reverse();
            }
            if let Some(error) = &mut details.icmp {
                error.about = error.about.other();
            }
        }
    }
}

impl FlowDetails {
    pub(super) fn side(&mut self, side: Side) -> &mut SideCounts {
        let [client, server] = &mut self.sides;
        match side {
            Side::Client => client,
            Side::Server => server,
        }
    }

    /// Both at once, for what needs the one to tell the other.
    pub(super) fn side_and_profile(&mut self, side: Side) -> (&mut SideCounts, &mut SenderProfile) {
        let ([client, server], [its, other]) = (&mut self.sides, &mut self.profiles);
        match side {
            Side::Client => (client, its),
            Side::Server => (server, other),
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
