//! TCP as it is seen from beside the path (RFC 9293).
//!
//! In:  segments of one conversation, and its entry.
//! Out: the entry brought up to date; payload handed to the streams.
//! Not: whether what happened is good or bad.
//!
//! What counts is the sequence numbers, not guesses: a segment is new, repeated, early (it leaves a hole) or late (it fills
//! one). Both the sender's own numbers and the other side's acknowledgements are believed; where they disagree, the capture
//! has missed something.

use super::consumer::At;
use super::consumer::Slot;
use super::consumer::StreamConsumer;
use super::consumer::StreamEnd;
use super::entry::FlowDetails;
use super::entry::FlowPhase;
use super::entry::LiveFlow;
use super::entry::SenderProfile;
use super::entry::SequenceSpace;
use super::gaps::SequenceGaps;
use super::key::Endpoint;
use super::limits::FlowCounts;
use super::record::Handshake;
use super::record::ResetEvidence;
use super::record::ResetKinds;
use super::record::SideSummary;
use super::record::TcpSummary;
use super::stream::DeliveryCtx;
use super::stream::Reassembly;
use super::stream::Segment;
use super::stream::ahead;
use super::table::Seen;
use super::table::TableCtx;
use super::table::stream_mut;
use super::table::swap;
use crate::base::FrameRef;
use crate::base::Side;
use crate::base::Time;
use crate::decode::Packet;
use crate::decode::TcpHeader;

/// An acknowledgement further ahead than this is not believed: no window is larger (RFC 7323 §2.2).
const WINDOW_LIMIT: i32 = 1 << 30;

/// Whether a segment with SYN begins another conversation than the entry's.
pub(super) fn begins_another<S>(entry: &LiveFlow<S>, header: &TcpHeader<'_>, side: Side) -> bool {
    let own = entry.sequence(side);
    let first = entry.details.as_ref().and_then(|details| details.first.get(side.index())).copied();
    let repeats = own.has(SequenceSpace::SYN) && first == Some(header.seq);
    if repeats {
        return false;
    }
    if header.has(TcpHeader::ACK) {
        return own.has(SequenceSpace::SYN) && entry.state == FlowPhase::Closed;
    }
    // RFC 9293 §3.5: both may open at once, and then a SYN answers a SYN.
    let other = entry.sequence(side.other());
    let simultaneous =
        !own.has(SequenceSpace::SENT) && other.has(SequenceSpace::SYN) && entry.state == FlowPhase::Attempt;
    !simultaneous
}

/// Takes a segment in.
#[inline]
pub(super) fn accept<L: StreamConsumer>(
    entry: &mut LiveFlow<L::State>,
    slot: Slot,
    header: &TcpHeader<'_>,
    seen: Seen<'_>,
    ctx: &mut TableCtx<'_, L>,
) {
    let Seen { packet, flipped, at } = seen;
    let side = entry.side(flipped);
    if !next_in_line(entry, header, packet, side) {
        unusual(entry, header, packet, side, at);
    }
    if entry.sated {
        return;
    }
    if !packet.payload.is_empty() || packet.payload_len > 0 {
        deliver(entry, slot, header, seen, ctx);
    }
    if entry.reassembly.is_some() && header.has(TcpHeader::ACK) {
        let side = entry.side(flipped);
        let flow = entry.flow(slot);
        if let Some(reassembly) = &mut entry.reassembly {
            let Reassembly { state, streams, .. } = reassembly.as_mut();
            let mut ctx = DeliveryCtx { flow: &flow, side: side.other(), at, state, consumer: ctx.consumer };
            stream_mut(streams, side.other()).acknowledged(header.ack, &mut ctx);
        }
        settle(entry, ctx.counts);
    }
}

/// The common case: the next segment of an open conversation, with nothing missing. False when it is not, and then nothing
/// was changed.
#[inline]
fn next_in_line<S>(entry: &mut LiveFlow<S>, header: &TcpHeader<'_>, packet: &Packet<'_>, side: Side) -> bool {
    const CONTROL: u8 = TcpHeader::SYN | TcpHeader::FIN | TcpHeader::RST;
    if header.flags & (CONTROL | TcpHeader::ACK) != TcpHeader::ACK
        || header.window == 0
        || entry.state != FlowPhase::Open
    {
        return false;
    }
    let own = entry.sequence(side);
    let other = entry.sequence(side.other());
    if own.seen & (SequenceSpace::SENT | SequenceSpace::TALKED) != SequenceSpace::SENT | SequenceSpace::TALKED
        || header.seq != own.next
        || !other.has(SequenceSpace::SENT)
        || ahead(header.ack, other.next) > 0
        || (own.data == 0 && packet.payload_len > 0)
        || (packet.payload_len == 0 && header.ack == other.acked && other.next != other.acked)
    {
        return false;
    }
    let own = entry.sequence_mut(side);
    own.next = own.next.wrapping_add(packet.payload_len);
    own.data = own.data.saturating_add(u16::from(packet.payload_len > 0));
    let other = entry.sequence_mut(side.other());
    if ahead(header.ack, other.acked) > 0 {
        other.acked = header.ack;
    }
    true
}

/// Everything else.
fn unusual<S>(entry: &mut LiveFlow<S>, header: &TcpHeader<'_>, packet: &Packet<'_>, side: Side, at: At) {
    if header.has(TcpHeader::SYN) {
        synchronise(entry, header, side, at);
    }
    if !header.has(TcpHeader::SYN) || packet.payload_len > 0 {
        let seq = header.seq.wrapping_add(u32::from(header.has(TcpHeader::SYN)));
        advance(entry, header, seq, packet.payload_len, side, at);
    }
    if header.has(TcpHeader::ACK) && !header.has(TcpHeader::RST) {
        acknowledge(entry, header.ack, side.other());
    }
    if packet.payload_len == 0
        && entry.sequence(side.other()).acked == header.ack
        && let Some(blocks) = option(header.options, SACK)
    {
        let summary = entry.details().side(side.other());
        summary.sack_acks = summary.sack_acks.saturating_add(1);
        summary.sack_span = summary.sack_span.max(longest(blocks));
    }
    if header.window == 0 && header.flags & (TcpHeader::RST | TcpHeader::SYN | TcpHeader::FIN) == 0 {
        let summary = entry.details().side(side);
        summary.zero_windows = summary.zero_windows.saturating_add(1);
    }
    if header.has(TcpHeader::FIN) {
        let end = header.seq.wrapping_add(packet.payload_len).wrapping_add(1);
        let own = entry.sequence_mut(side);
        if ahead(end, own.next) > 0 {
            own.next = end;
        }
        own.seen |= SequenceSpace::FIN;
        quits(entry, side, at);
        if entry.state != FlowPhase::Closed {
            let both = entry.sequence(side.other()).has(SequenceSpace::FIN);
            entry.state = if both { FlowPhase::Closed } else { FlowPhase::HalfClosed };
        }
        let summary = entry.details().side(side);
        summary.fins = summary.fins.saturating_add(1);
    }
    if header.has(TcpHeader::RST) {
        entry.sequence_mut(side).seen |= SequenceSpace::RST;
        quits(entry, side, at);
        entry.state = FlowPhase::Closed;
        let details = entry.details();
        if details.reset_frame == 0 {
            details.reset_frame = at.frame.pack();
            details.reset_time = at.time;
        }
        let summary = details.side(side);
        summary.resets = summary.resets.saturating_add(1);
        missed_by_reset(entry, header, side.other());
    }
    compare(entry, header, packet, side, at);
}

/// A reset that acknowledges what is not here: the other side said something that the capture missed.
fn missed_by_reset<S>(entry: &mut LiveFlow<S>, header: &TcpHeader<'_>, other: Side) {
    let sequence = entry.sequence(other);
    let beyond = ahead(header.ack, sequence.next);
    if header.has(TcpHeader::ACK) && sequence.has(SequenceSpace::SENT) && beyond > 0 && beyond < WINDOW_LIMIT
    {
        let summary = entry.details().side(other);
        summary.missing_bytes = summary.missing_bytes.max(beyond.unsigned_abs());
    }
}

/// Notes when the client had enough.
fn quits<S>(entry: &mut LiveFlow<S>, side: Side, at: At) {
    let details = entry.details();
    if side == Side::Client && details.client_close_time == Time::default() {
        (details.client_close_time, details.client_close_frame) = (at.time, at.frame.pack());
    }
}

/// Identifications further from a sender's last one than this are not its own, unless it draws them by chance.
const IP_ID_STEP: u16 = 4096;

/// Ways that differ by no more hops than this are the same but for a detour.
const DETOUR: u8 = 2;

/// How many hops a packet has come: systems begin at one of these numbers, and a load balancer's stack may begin at another
/// than the servers behind it.
const fn hops(ttl: u8) -> u8 {
    match ttl {
        0..=32 => 32 - ttl,
        33..=64 => 64 - ttl,
        65..=128 => 128 - ttl,
        129.. => 255 - ttl,
    }
}

/// A round trip shorter than this says nothing about who is near.
const NEAR_NANOS: u64 = 5_000_000;

/// Options: selective acknowledgement (RFC 2018 §3), time stamps (RFC 7323 §3.2).
const SACK: u8 = 5;
const TIMESTAMP: u8 = 8;

/// Holds a reset against how its sender's packets looked before; and what a sender does after its reset against the reset.
fn compare<S>(entry: &mut LiveFlow<S>, header: &TcpHeader<'_>, packet: &Packet<'_>, side: Side, at: At) {
    let beyond = ahead(header.seq, entry.sequence(side).next) > 1;
    let details = entry.details();
    let (rtt, first_data_time) = (details.handshake_rtt, details.first_data_time);
    let other = details.side(side.other());
    let has_closed = other.fins > 0 || other.resets > 0;
    if let Some(other) = details.profiles.get_mut(side.other().index()) {
        other.seen &= !SenderProfile::RESET_LAST;
    }
    let Some(profile) = details.profiles.get_mut(side.index()) else { return };
    let was = *profile;
    if !header.has(TcpHeader::RST) {
        let [first_ttl, _] = was.ttls;
        let [first_id, _] = was.ip_ids;
        let is_first = first_ttl == 0;
        profile.ttls = [if is_first { packet.ttl } else { first_ttl }, packet.ttl];
        profile.ip_ids = [if is_first { packet.ip_id } else { first_id }, packet.ip_id];
        profile.seen &= !SenderProfile::RESET_LAST;
        // A SYN alone offers them; whoever answers with them takes them.
        let agreed = header.flags & (TcpHeader::SYN | TcpHeader::ACK) != TcpHeader::SYN;
        if agreed && has_option(header.options, TIMESTAMP) {
            profile.seen |= SenderProfile::STAMPS;
        }
        let summary = details.side(side);
        // What a reset ends is over: who sends payload behind it knows nothing of it (§3.5.3 of RFC 9293).
        let goes_on =
            was.has(SenderProfile::RESET) && packet.payload_len > 0 && ahead(header.seq, was.reset) >= 0;
        // Nor does who accepts an attempt that was just refused in its name, and not repeated since.
        let accepts = was.ttls == [0, 0]
            && was.has(SenderProfile::RESET_LAST)
            && header.has(TcpHeader::SYN | TcpHeader::ACK);
        summary.reset_evidence.add(ResetEvidence::SENDER_CONTINUES, goes_on || accepts);
        summary.reset_evidence.add(
            ResetEvidence::HOP_LIMIT,
            accepts && hops(packet.ttl).abs_diff(hops(was.reset_ttl)) > DETOUR,
        );
        return;
    }
    (profile.reset, profile.reset_ack) = (header.seq, header.ack);
    let knows = was.ttls != [0, 0];
    if !has_closed {
        profile.seen |=
            if knows { SenderProfile::RESET | SenderProfile::RESET_LAST } else { SenderProfile::RESET_LAST };
        profile.reset_ttl = packet.ttl;
    }
    let several = details.side(side).resets > 1;
    let kinds = &mut details.side(side).reset_kinds;
    kinds.add(ResetKinds::PLAIN, !header.has(TcpHeader::ACK));
    kinds.add(ResetKinds::WITH_ACK, header.has(TcpHeader::ACK));
    kinds.add(ResetKinds::DIFFERING, several && header.ack != was.reset_ack);
    kinds.add(ResetKinds::ZERO, several && (header.ack == 0 || was.reset_ack == 0));
    if has_closed {
        // Whoever answers somebody that is gone, as translators do, ends nothing.
        return;
    }
    let is_detour = |ttl: u8| hops(packet.ttl).abs_diff(hops(ttl)) > DETOUR;
    let is_far = |id: u16| {
        let jump = packet.ip_id.wrapping_sub(id);
        packet.ip_id != 0 && id != 0 && jump.min(jump.wrapping_neg()) > IP_ID_STEP
    };
    let report_interim = side == Side::Server && rtt >= NEAR_NANOS && first_data_time != Time::default();
    let reset_evidence = &mut details.side(side).reset_evidence;
    reset_evidence.add(ResetEvidence::HOP_LIMIT, knows && was.ttls.into_iter().all(is_detour));
    reset_evidence.add(ResetEvidence::IP_ID, was.ip_ids.into_iter().all(is_far));
    reset_evidence.add(
        ResetEvidence::NO_TIMESTAMP,
        was.has(SenderProfile::STAMPS) && !has_option(header.options, TIMESTAMP),
    );
    // A kernel resets at the number that the other side waits for; nobody but a guesser goes beyond what was sent.
    reset_evidence.add(
        ResetEvidence::SEQUENCE_SWEEP,
        beyond && was.has(SenderProfile::RESET_LAST) && ahead(header.seq, was.reset) > 1,
    );
    reset_evidence
        .add(ResetEvidence::FASTER_THAN_RTT, report_interim && at.time.since(first_data_time) < rtt / 2);
}

/// Whether a segment has an option.
fn has_option(options: &[u8], wanted: u8) -> bool {
    option(options, wanted).is_some()
}

/// What a segment's option holds.
fn option(options: &[u8], wanted: u8) -> Option<&[u8]> {
    let mut rest = options;
    loop {
        rest = match rest {
            // RFC 9293 §3.1: end and padding are one byte, all else says how long it is.
            [1, tail @ ..] => tail,
            [kind, len, ..] if *kind > 1 && *len >= 2 => {
                let (own, tail) = rest.split_at_checked(usize::from(*len)).unwrap_or((rest, &[]));
                if *kind == wanted {
                    return own.get(2..);
                }
                tail
            }
            _ => return None,
        }
    }
}

/// The longest block of a selective acknowledgement (RFC 2018 §3): its first number, and the one behind its last.
fn longest(blocks: &[u8]) -> u32 {
    let (blocks, _) = blocks.as_chunks::<8>();
    let number = |bytes: &[u8]| bytes.iter().fold(0u32, |number, byte| number << 8 | u32::from(*byte));
    let len = |block: &[u8; 8]| {
        let (begin, end) = block.split_at(4);
        ahead(number(end), number(begin)).max(0).unsigned_abs()
    };
    blocks.iter().map(len).max().unwrap_or_default()
}

/// A SYN or SYN-ACK: numbers begin here.
fn synchronise<S>(entry: &mut LiveFlow<S>, header: &TcpHeader<'_>, side: Side, at: At) {
    let answers = header.has(TcpHeader::ACK);
    let first = entry.details.as_ref().and_then(|details| details.first.get(side.index())).copied();
    let own = entry.sequence_mut(side);
    // A server that lost its memory of the attempt answers with other numbers; the last are those that count.
    let again = answers
        && own.has(SequenceSpace::SYN)
        && !own.has(SequenceSpace::TALKED)
        && first != Some(header.seq);
    if again {
        own.seen &= !SequenceSpace::SENT;
    }
    let known = own.has(SequenceSpace::SYN) && !again;
    if !known {
        let next = header.seq.wrapping_add(1);
        if !own.has(SequenceSpace::SENT) || ahead(next, own.next) > 0 {
            own.next = next;
        }
        own.acked = header.seq;
        own.seen |= SequenceSpace::SYN | SequenceSpace::SENT;
    }
    let other_waits =
        entry.sequence(side.other()).has(SequenceSpace::SYN) && entry.state == FlowPhase::Attempt;
    entry.simultaneous_open |= !answers && !known && other_waits;
    if answers && entry.state == FlowPhase::Attempt {
        entry.state = FlowPhase::Open;
    }
    let details = entry.details();
    if !known && let Some(first) = details.first.get_mut(side.index()) {
        *first = header.seq;
    }
    let summary = details.side(side);
    summary.syns = summary.syns.saturating_add(1);
    if answers {
        if details.syn_ack_frame == 0 {
            details.syn_ack_frame = at.frame.pack();
            if details.syn_frame != 0 {
                details.handshake_rtt = at.time.since(details.syn_time);
            }
        }
    } else if details.syn_frame == 0 {
        details.syn_frame = at.frame.pack();
        details.syn_time = at.time;
    }
}

/// Moves a side's numbers on by a segment with `len` bytes at `seq`, and says what kind of segment it was.
fn advance<S>(entry: &mut LiveFlow<S>, header: &TcpHeader<'_>, seq: u32, len: u32, side: Side, at: At) {
    let reset = header.has(TcpHeader::RST);
    let end = seq.wrapping_add(len);
    let own = entry.sequence_mut(side);
    // What a SYN carries is said before anybody has answered.
    if !reset && !header.has(TcpHeader::SYN) {
        own.seen |= SequenceSpace::TALKED;
    }
    if !own.has(SequenceSpace::SENT) {
        own.seen |= SequenceSpace::SENT;
        own.next = end;
        own.acked = seq;
    }
    let next = own.next;
    let distance = ahead(seq, next);
    if len > 0 {
        own.data = own.data.saturating_add(1);
        if own.data == 1 && side == Side::Client {
            let details = entry.details();
            details.first_data_frame = at.frame.pack();
            details.first_data_time = at.time;
        }
    }
    if distance > 0 && !reset && distance < WINDOW_LIMIT {
        let details = entry.details();
        details.gaps(side).add(next, seq);
        details.gap_time = at.time;
        entry.sequence_mut(side).next = end;
    } else if distance > 0 && distance < WINDOW_LIMIT {
        // A reset behind bytes that are not here. It may be forged, so that the numbers stay where they are.
        let summary = entry.details().side(side);
        summary.missing_bytes = summary.missing_bytes.max(distance.unsigned_abs());
    } else if distance == 0 {
        entry.sequence_mut(side).next = end;
    } else if distance < 0 {
        let beyond = ahead(end, next);
        if beyond > 0 && !reset {
            entry.sequence_mut(side).next = end;
        }
        // RFC 9293 §3.8.4: a keep-alive repeats the last number, with one byte or none.
        if distance == -1 && len <= 1 && !header.has(TcpHeader::FIN) && !reset {
            let summary = entry.details().side(side);
            summary.keep_alives = summary.keep_alives.saturating_add(1);
        } else if len > 0 {
            let peer_packets = entry.packets.get(side.other().index()).copied().unwrap_or_default();
            let details = entry.details();
            let filled = details.gaps.is_some() && details.gaps(side).fill(next, seq, len);
            let (summary, profile) = details.side_and_profile(side);
            if filled {
                summary.out_of_order = summary.out_of_order.saturating_add(1);
            } else if beyond <= 0 {
                summary.retransmissions = summary.retransmissions.saturating_add(1);
                let again = summary.unacked_repeats > 0 && profile.repeated == seq;
                summary.unacked_repeats = if again { summary.unacked_repeats.saturating_add(1) } else { 1 };
                if !again {
                    (profile.repeated, profile.peer_packets) = (seq, peer_packets);
                }
                profile.repeated_len = u16::try_from(len).unwrap_or(u16::MAX);
            }
        }
    }
}

/// The numbers of `side` were acknowledged up to `ack`.
fn acknowledge<S>(entry: &mut LiveFlow<S>, ack: u32, side: Side) {
    let sequence = entry.sequence_mut(side);
    if !sequence.has(SequenceSpace::SENT) {
        // One direction only, as far as we see: nothing to compare with.
        return;
    }
    let next = sequence.next;
    let beyond = ahead(ack, next);
    if beyond >= WINDOW_LIMIT {
        return;
    }
    if ahead(ack, sequence.acked) > 0 {
        sequence.acked = ack;
    }
    if beyond > 0 {
        sequence.next = ack;
        entry.details().gaps(side).add(next, ack);
    }
}

/// Hands a segment's payload to its side's stream.
fn deliver<L: StreamConsumer>(
    entry: &mut LiveFlow<L::State>,
    slot: Slot,
    header: &TcpHeader<'_>,
    seen: Seen<'_>,
    ctx: &mut TableCtx<'_, L>,
) {
    let Seen { packet, flipped, at } = seen;
    if is_probe(entry, packet, entry.side(flipped)) {
        return;
    }
    if !entry.roles_known {
        entry.roles_known = true;
        let from = Endpoint { address: packet.src, port: packet.src_port };
        let to = Endpoint { address: packet.dst, port: packet.dst_port };
        if let Some(asks) = ctx.consumer.sender_is_client(packet.protocol, from, to, packet.payload)
            && asks != (entry.side(flipped) == Side::Client)
        {
            swap(entry, slot, at, ctx.consumer);
        }
    }
    let side = entry.side(flipped);
    let flow = entry.flow(slot);
    if entry.reassembly.is_none() {
        let mut reassembly = Reassembly::start();
        for side in [Side::Client, Side::Server] {
            let first = entry.details.as_ref().and_then(|details| details.first.get(side.index())).copied();
            if let (true, Some(first)) = (entry.sequence(side).has(SequenceSpace::SYN), first) {
                stream_mut(&mut reassembly.streams, side).start(first.wrapping_add(1));
            }
        }
        entry.reassembly = Some(reassembly);
    }
    let Some(reassembly) = &mut entry.reassembly else {
        return;
    };
    let Reassembly { state, streams, .. } = reassembly.as_mut();
    let segment = Segment {
        seq: header.seq.wrapping_add(u32::from(header.has(TcpHeader::SYN))),
        bytes: packet.payload,
        cut: packet.payload_len.saturating_sub(packet.payload.len() as u32),
    };
    let mut delivery = DeliveryCtx { flow: &flow, side, at, state, consumer: ctx.consumer };
    stream_mut(streams, side).accept(segment, ctx.limits.stream_bytes, &mut delivery);
    settle(entry, ctx.counts);
}

/// The first that is seen of a side is a single byte: a keep-alive (RFC 9293 §3.8.4), as Windows sends them, repeats a byte of
/// which nothing is known. In front of the real bytes it would hide what they are.
fn is_probe<S>(entry: &LiveFlow<S>, packet: &Packet<'_>, side: Side) -> bool {
    packet.payload_len == 1
        && !entry.sequence(side).has(SequenceSpace::SYN)
        && entry.reassembly.as_ref().is_none_or(|reassembly| !reassembly.has_begun(side))
}

/// Lets go of a conversation that nobody listens to any more.
fn settle<S>(entry: &mut LiveFlow<S>, counts: &mut FlowCounts) {
    let Some(reassembly) = &entry.reassembly else {
        return;
    };
    let [client, server] = &reassembly.streams;
    if !(client.sated && server.sated) {
        return;
    }
    let differing = [client.differing, server.differing];
    for lost in [client.lost, server.lost].into_iter().flatten() {
        note_lost(lost, counts);
    }
    entry.reassembly = None;
    entry.sated = true;
    let [client, server] = differing;
    entry.note_differing(Side::Client, client);
    entry.note_differing(Side::Server, server);
}

/// Counts a stream that could not be delivered to its end.
pub(super) fn note_lost(lost: StreamEnd, counts: &mut FlowCounts) {
    match lost {
        StreamEnd::LimitReached => counts.capped_streams += 1,
        StreamEnd::MissingBytes | StreamEnd::Truncated => counts.cut_streams += 1,
        StreamEnd::FlowEnded => {}
    }
}

/// What the headers told, when all is over.
pub(super) fn summary<S>(entry: &LiveFlow<S>) -> TcpSummary {
    let nothing = FlowDetails::default();
    let details = entry.details.as_deref().unwrap_or(&nothing);
    let frame = |packed: u64| (packed != 0).then(|| FrameRef::unpack(packed));
    TcpSummary {
        handshake: handshake(entry),
        sides: [side_story(entry, details, Side::Client), side_story(entry, details, Side::Server)],
        syn_frame: frame(details.syn_frame),
        syn_ack_frame: frame(details.syn_ack_frame),
        first_data_frame: frame(details.first_data_frame),
        reset_frame: frame(details.reset_frame),
        reset_time: (details.reset_time != Time::default()).then_some(details.reset_time),
        handshake_rtt: details.handshake_rtt,
        first_data_time: (details.first_data_time != Time::default()).then_some(details.first_data_time),
        client_close_time: (details.client_close_time != Time::default())
            .then_some(details.client_close_time),
        client_close_frame: frame(details.client_close_frame),
        gap_time: (details.gap_time != Time::default()).then_some(details.gap_time),
        simultaneous_open: entry.simultaneous_open,
        ended_after_idle: details.pause != [0, 0] && {
            let ([_, then], [_, now]) = (details.pause, entry.packets);
            let [_, server] = &details.sides;
            now.saturating_sub(then) <= u32::from(server.resets)
        },
    }
}

fn side_story<S>(entry: &LiveFlow<S>, details: &FlowDetails, side: Side) -> SideSummary {
    let sequence = entry.sequence(side);
    let counts = details.sides.get(side.index()).copied().unwrap_or_default();
    let no_gaps = SequenceGaps::default();
    let gaps = details.gaps.as_ref().and_then(|gaps| gaps.get(side.index())).unwrap_or(&no_gaps);
    let index = side.index();
    let profile = details.profiles.get(index).copied().unwrap_or_default();
    let first = details.first.get(index).copied().filter(|_| sequence.has(SequenceSpace::SYN));
    let peer_packets = entry.packets.get(side.other().index()).copied().unwrap_or_default();
    let in_vain = counts.unacked_repeats > 0 && profile.repeated == sequence.acked;
    SideSummary {
        syns: counts.syns,
        fins: counts.fins,
        resets: counts.resets,
        reset_evidence: counts.reset_evidence,
        reset_kinds: counts.reset_kinds,
        unacked_repeats: if in_vain { u16::from(counts.unacked_repeats) } else { 0 },
        unacked_repeat_len: profile.repeated_len,
        peer_packets: if in_vain { peer_packets.saturating_sub(profile.peer_packets) } else { 0 },
        sack_acks: u16::from(counts.sack_acks),
        sack_span: counts.sack_span,
        keep_alives: counts.keep_alives.into(),
        zero_windows: counts.zero_windows.into(),
        retransmissions: counts.retransmissions,
        out_of_order: counts.out_of_order,
        differing: u32::from(counts.differing),
        acknowledged: first.map_or(0, |first| ahead(sequence.acked, first.wrapping_add(1)).max(0) as u32),
        missing_tail_bytes: gaps.len_at(sequence.acked),
        data_segments: u32::from(sequence.data),
        acked_unseen_bytes: gaps.acked_bytes(sequence.next, sequence.acked),
        missing_bytes: u64::from(counts.missing_bytes) + gaps.bytes(),
        unacknowledged: ahead(sequence.next, sequence.acked).max(0) as u32,
    }
}

/// How far the handshake came, from whichever sides are visible.
fn handshake<S>(entry: &LiveFlow<S>) -> Handshake {
    let client = entry.sequence(Side::Client);
    let server = entry.sequence(Side::Server);
    let talked = client.has(SequenceSpace::TALKED) || client.data > 0 || server.data > 0;
    if !client.has(SequenceSpace::SYN) {
        return match (server.has(SequenceSpace::SYN), talked) {
            (false, _) => Handshake::Unseen,
            (true, true) => Handshake::Complete,
            (true, false) => Handshake::HalfOpen,
        };
    }
    let reset = server.has(SequenceSpace::RST);
    // A SYN may carry payload (RFC 9293 §3.4), and is refused all the same.
    if reset && !server.has(SequenceSpace::SYN) && !client.has(SequenceSpace::TALKED) && server.data == 0 {
        Handshake::Refused
    } else if talked {
        Handshake::Complete
    } else if server.has(SequenceSpace::SYN) {
        Handshake::HalfOpen
    } else {
        Handshake::Unanswered
    }
}
