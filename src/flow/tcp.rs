//! TCP as it is seen from beside the path (RFC 9293).
//!
//! In:  segments of one conversation, and its entry.
//! Out: the entry brought up to date; payload handed to the streams.
//! Not: whether what happened is good or bad.
//!
//! What counts is the sequence numbers, not guesses: a segment is new, repeated, early (it leaves a hole) or late (it fills
//! one). Both the sender's own numbers and the other side's acknowledgements are believed; where they disagree, the capture
//! has missed something.

use super::entry::Cold;
use super::entry::Entry;
use super::entry::Manner;
use super::entry::Sequence;
use super::entry::State;
use super::key::Endpoint;
use super::limits::FlowCounts;
use super::listener::At;
use super::listener::Listener;
use super::listener::Lost;
use super::listener::Slot;
use super::story::Handshake;
use super::story::ResetKinds;
use super::story::SideStory;
use super::story::Signs;
use super::story::TcpStory;
use super::stream::Ear;
use super::stream::Segment;
use super::stream::Talk;
use super::stream::ahead;
use super::table::Hall;
use super::table::Seen;
use super::table::stream_mut;
use super::table::swap;
use crate::base::FrameRef;
use crate::base::Side;
use crate::base::Time;
use crate::decode::Packet;
use crate::decode::TcpHeader;

/// Holes remembered per side; an older one than these is taken for missed.
const HOLES: usize = 32;

/// An acknowledgement further ahead than this is not believed: no window is larger (RFC 7323 §2.2).
const WINDOW_LIMIT: i32 = 1 << 30;

/// Whether a segment with SYN begins another conversation than the entry's.
pub(super) fn begins_another<S>(entry: &Entry<S>, header: &TcpHeader<'_>, side: Side) -> bool {
    let own = entry.sequence(side);
    let first = entry.cold.as_ref().and_then(|cold| cold.first.get(side.index())).copied();
    let repeats = own.has(Sequence::SYN) && first == Some(header.seq);
    if repeats {
        return false;
    }
    if header.has(TcpHeader::ACK) {
        return own.has(Sequence::SYN) && entry.state == State::Closed;
    }
    // RFC 9293 §3.5: both may open at once, and then a SYN answers a SYN.
    let other = entry.sequence(side.other());
    let simultaneous = !own.has(Sequence::SENT) && other.has(Sequence::SYN) && entry.state == State::Attempt;
    !simultaneous
}

/// Takes a segment in.
#[inline]
pub(super) fn accept<L: Listener>(
    entry: &mut Entry<L::State>,
    slot: Slot,
    header: &TcpHeader<'_>,
    seen: Seen<'_>,
    hall: &mut Hall<'_, L>,
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
        deliver(entry, slot, header, seen, hall);
    }
    if entry.talk.is_some() && header.has(TcpHeader::ACK) {
        let side = entry.side(flipped);
        let flow = entry.flow(slot);
        if let Some(talk) = &mut entry.talk {
            let Talk { state, streams, .. } = talk.as_mut();
            let mut ear = Ear { flow: &flow, side: side.other(), at, state, listener: hall.listener };
            stream_mut(streams, side.other()).acknowledged(header.ack, &mut ear);
        }
        settle(entry, hall.counts);
    }
}

/// The common case: the next segment of an open conversation, with nothing missing. False when it is not, and then nothing
/// was changed.
#[inline]
fn next_in_line<S>(entry: &mut Entry<S>, header: &TcpHeader<'_>, packet: &Packet<'_>, side: Side) -> bool {
    const CONTROL: u8 = TcpHeader::SYN | TcpHeader::FIN | TcpHeader::RST;
    if header.flags & (CONTROL | TcpHeader::ACK) != TcpHeader::ACK
        || header.window == 0
        || entry.state != State::Open
    {
        return false;
    }
    let own = entry.sequence(side);
    let other = entry.sequence(side.other());
    if own.seen & (Sequence::SENT | Sequence::TALKED) != Sequence::SENT | Sequence::TALKED
        || header.seq != own.next
        || !other.has(Sequence::SENT)
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
fn unusual<S>(entry: &mut Entry<S>, header: &TcpHeader<'_>, packet: &Packet<'_>, side: Side, at: At) {
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
        let story = entry.cold().side(side.other());
        story.selective = story.selective.saturating_add(1);
        story.span = story.span.max(longest(blocks));
    }
    if header.window == 0 && header.flags & (TcpHeader::RST | TcpHeader::SYN | TcpHeader::FIN) == 0 {
        let story = entry.cold().side(side);
        story.zero_windows = story.zero_windows.saturating_add(1);
    }
    if header.has(TcpHeader::FIN) {
        let end = header.seq.wrapping_add(packet.payload_len).wrapping_add(1);
        let own = entry.sequence_mut(side);
        if ahead(end, own.next) > 0 {
            own.next = end;
        }
        own.seen |= Sequence::FIN;
        quits(entry, side, at);
        if entry.state != State::Closed {
            let both = entry.sequence(side.other()).has(Sequence::FIN);
            entry.state = if both { State::Closed } else { State::HalfClosed };
        }
        let story = entry.cold().side(side);
        story.fins = story.fins.saturating_add(1);
    }
    if header.has(TcpHeader::RST) {
        entry.sequence_mut(side).seen |= Sequence::RST;
        quits(entry, side, at);
        entry.state = State::Closed;
        let cold = entry.cold();
        if cold.reset_frame == 0 {
            cold.reset_frame = at.frame.pack();
            cold.reset_time = at.time;
        }
        let story = cold.side(side);
        story.resets = story.resets.saturating_add(1);
        missed_by_reset(entry, header, side.other());
    }
    compare(entry, header, packet, side, at);
}

/// A reset that acknowledges what is not here: the other side said something that the capture missed.
fn missed_by_reset<S>(entry: &mut Entry<S>, header: &TcpHeader<'_>, other: Side) {
    let sequence = entry.sequence(other);
    let beyond = ahead(header.ack, sequence.next);
    if header.has(TcpHeader::ACK) && sequence.has(Sequence::SENT) && beyond > 0 && beyond < WINDOW_LIMIT {
        let story = entry.cold().side(other);
        story.absent_bytes = story.absent_bytes.max(beyond.unsigned_abs());
    }
}

/// Notes when the client had enough.
fn quits<S>(entry: &mut Entry<S>, side: Side, at: At) {
    let cold = entry.cold();
    if side == Side::Client && cold.quit_time == Time::default() {
        (cold.quit_time, cold.quit_frame) = (at.time, at.frame.pack());
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
fn compare<S>(entry: &mut Entry<S>, header: &TcpHeader<'_>, packet: &Packet<'_>, side: Side, at: At) {
    let beyond = ahead(header.seq, entry.sequence(side).next) > 1;
    let cold = entry.cold();
    let (rtt, data_time) = (cold.handshake_rtt, cold.data_time);
    let other = cold.side(side.other());
    let has_closed = other.fins > 0 || other.resets > 0;
    if let Some(other) = cold.manners.get_mut(side.other().index()) {
        other.seen &= !Manner::RESET_LAST;
    }
    let Some(manner) = cold.manners.get_mut(side.index()) else { return };
    let was = *manner;
    if !header.has(TcpHeader::RST) {
        let [first_ttl, _] = was.ttls;
        let [first_id, _] = was.ip_ids;
        let is_first = first_ttl == 0;
        manner.ttls = [if is_first { packet.ttl } else { first_ttl }, packet.ttl];
        manner.ip_ids = [if is_first { packet.ip_id } else { first_id }, packet.ip_id];
        manner.seen &= !Manner::RESET_LAST;
        // A SYN alone offers them; whoever answers with them takes them.
        let agreed = header.flags & (TcpHeader::SYN | TcpHeader::ACK) != TcpHeader::SYN;
        if agreed && has_option(header.options, TIMESTAMP) {
            manner.seen |= Manner::STAMPS;
        }
        let story = cold.side(side);
        // What a reset ends is over: who sends payload behind it knows nothing of it (§3.5.3 of RFC 9293).
        let goes_on = was.has(Manner::RESET) && packet.payload_len > 0 && ahead(header.seq, was.reset) >= 0;
        // Nor does who accepts an attempt that was just refused in its name, and not repeated since.
        let accepts =
            was.ttls == [0, 0] && was.has(Manner::RESET_LAST) && header.has(TcpHeader::SYN | TcpHeader::ACK);
        story.signs.add(Signs::GOES_ON, goes_on || accepts);
        story.signs.add(Signs::HOP_LIMIT, accepts && hops(packet.ttl).abs_diff(hops(was.reset_ttl)) > DETOUR);
        return;
    }
    (manner.reset, manner.reset_ack) = (header.seq, header.ack);
    let knows = was.ttls != [0, 0];
    if !has_closed {
        manner.seen |= if knows { Manner::RESET | Manner::RESET_LAST } else { Manner::RESET_LAST };
        manner.reset_ttl = packet.ttl;
    }
    let several = cold.side(side).resets > 1;
    let kinds = &mut cold.side(side).reset_kinds;
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
    let early = side == Side::Server && rtt >= NEAR_NANOS && data_time != Time::default();
    let signs = &mut cold.side(side).signs;
    signs.add(Signs::HOP_LIMIT, knows && was.ttls.into_iter().all(is_detour));
    signs.add(Signs::IP_ID, was.ip_ids.into_iter().all(is_far));
    signs.add(Signs::NO_TIMESTAMP, was.has(Manner::STAMPS) && !has_option(header.options, TIMESTAMP));
    // A kernel resets at the number that the other side waits for; nobody but a guesser goes beyond what was sent.
    signs.add(Signs::SERIES, beyond && was.has(Manner::RESET_LAST) && ahead(header.seq, was.reset) > 1);
    signs.add(Signs::EARLY, early && at.time.since(data_time) < rtt / 2);
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
fn synchronise<S>(entry: &mut Entry<S>, header: &TcpHeader<'_>, side: Side, at: At) {
    let answers = header.has(TcpHeader::ACK);
    let first = entry.cold.as_ref().and_then(|cold| cold.first.get(side.index())).copied();
    let own = entry.sequence_mut(side);
    // A server that lost its memory of the attempt answers with other numbers; the last are those that count.
    let again = answers && own.has(Sequence::SYN) && !own.has(Sequence::TALKED) && first != Some(header.seq);
    if again {
        own.seen &= !Sequence::SENT;
    }
    let known = own.has(Sequence::SYN) && !again;
    if !known {
        let next = header.seq.wrapping_add(1);
        if !own.has(Sequence::SENT) || ahead(next, own.next) > 0 {
            own.next = next;
        }
        own.acked = header.seq;
        own.seen |= Sequence::SYN | Sequence::SENT;
    }
    let other_waits = entry.sequence(side.other()).has(Sequence::SYN) && entry.state == State::Attempt;
    entry.simultaneous_open |= !answers && !known && other_waits;
    if answers && entry.state == State::Attempt {
        entry.state = State::Open;
    }
    let cold = entry.cold();
    if !known && let Some(first) = cold.first.get_mut(side.index()) {
        *first = header.seq;
    }
    let story = cold.side(side);
    story.syns = story.syns.saturating_add(1);
    if answers {
        if cold.syn_ack_frame == 0 {
            cold.syn_ack_frame = at.frame.pack();
            if cold.syn_frame != 0 {
                cold.handshake_rtt = at.time.since(cold.syn_time);
            }
        }
    } else if cold.syn_frame == 0 {
        cold.syn_frame = at.frame.pack();
        cold.syn_time = at.time;
    }
}

/// Moves a side's numbers on by a segment with `len` bytes at `seq`, and says what kind of segment it was.
fn advance<S>(entry: &mut Entry<S>, header: &TcpHeader<'_>, seq: u32, len: u32, side: Side, at: At) {
    let reset = header.has(TcpHeader::RST);
    let end = seq.wrapping_add(len);
    let own = entry.sequence_mut(side);
    // What a SYN carries is said before anybody has answered.
    if !reset && !header.has(TcpHeader::SYN) {
        own.seen |= Sequence::TALKED;
    }
    if !own.has(Sequence::SENT) {
        own.seen |= Sequence::SENT;
        own.next = end;
        own.acked = seq;
    }
    let next = own.next;
    let distance = ahead(seq, next);
    if len > 0 {
        own.data = own.data.saturating_add(1);
        if own.data == 1 && side == Side::Client {
            let cold = entry.cold();
            cold.data_frame = at.frame.pack();
            cold.data_time = at.time;
        }
    }
    if distance > 0 && !reset && distance < WINDOW_LIMIT {
        hole(entry.cold(), side, (next, seq));
        entry.cold().hole_time = at.time;
        entry.sequence_mut(side).next = end;
    } else if distance > 0 && distance < WINDOW_LIMIT {
        // A reset behind bytes that are not here. It may be forged, so that the numbers stay where they are.
        let story = entry.cold().side(side);
        story.absent_bytes = story.absent_bytes.max(distance.unsigned_abs());
    } else if distance == 0 {
        entry.sequence_mut(side).next = end;
    } else if distance < 0 {
        let beyond = ahead(end, next);
        if beyond > 0 && !reset {
            entry.sequence_mut(side).next = end;
        }
        // RFC 9293 §3.8.4: a keep-alive repeats the last number, with one byte or none.
        if distance == -1 && len <= 1 && !header.has(TcpHeader::FIN) && !reset {
            let story = entry.cold().side(side);
            story.keep_alives = story.keep_alives.saturating_add(1);
        } else if len > 0 {
            let heard = entry.packets.get(side.other().index()).copied().unwrap_or_default();
            let cold = entry.cold();
            let filled = cold.holes.is_some() && fill(cold.holes(side), seq, end);
            let (story, manner) = cold.side_and_manner(side);
            if filled {
                story.out_of_order = story.out_of_order.saturating_add(1);
            } else if beyond <= 0 {
                story.retransmissions = story.retransmissions.saturating_add(1);
                let again = story.stuck > 0 && manner.repeated == seq;
                story.stuck = if again { story.stuck.saturating_add(1) } else { 1 };
                if !again {
                    (manner.repeated, manner.heard) = (seq, heard);
                }
                manner.repeated_len = u16::try_from(len).unwrap_or(u16::MAX);
            }
        }
    }
}

/// The numbers of `side` were acknowledged up to `ack`.
fn acknowledge<S>(entry: &mut Entry<S>, ack: u32, side: Side) {
    let sequence = entry.sequence_mut(side);
    if !sequence.has(Sequence::SENT) {
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
        hole(entry.cold(), side, (next, ack));
    }
}

/// Remembers numbers that were passed over.
fn hole(cold: &mut Cold, side: Side, range: (u32, u32)) {
    let holes = cold.holes(side);
    let oldest = if holes.len() >= HOLES { Some(holes.remove(0)) } else { None };
    holes.push(range);
    if let Some((from, to)) = oldest {
        cold.side(side).missed_bytes += u64::from(to.wrapping_sub(from));
    }
}

/// Takes `from..to` out of the holes; true when any of it was one.
fn fill(holes: &mut Vec<(u32, u32)>, from: u32, to: u32) -> bool {
    let mut filled = false;
    let mut rest = Vec::new();
    holes.retain_mut(|(begin, end)| {
        if ahead(from, *end) >= 0 || ahead(to, *begin) <= 0 {
            return true;
        }
        filled = true;
        let left = (*begin, from);
        let right = (to, *end);
        let has_left = ahead(left.1, left.0) > 0;
        let has_right = ahead(right.1, right.0) > 0;
        match (has_left, has_right) {
            (true, true) => {
                rest.push(right);
                (*begin, *end) = left;
            }
            (true, false) => (*begin, *end) = left,
            (false, true) => (*begin, *end) = right,
            (false, false) => return false,
        }
        true
    });
    holes.extend(rest);
    filled
}

/// Hands a segment's payload to its side's stream.
fn deliver<L: Listener>(
    entry: &mut Entry<L::State>,
    slot: Slot,
    header: &TcpHeader<'_>,
    seen: Seen<'_>,
    hall: &mut Hall<'_, L>,
) {
    let Seen { packet, flipped, at } = seen;
    if is_probe(entry, packet, entry.side(flipped)) {
        return;
    }
    if !entry.roles_known {
        entry.roles_known = true;
        let from = Endpoint { address: packet.src, port: packet.src_port };
        let to = Endpoint { address: packet.dst, port: packet.dst_port };
        if let Some(asks) = hall.listener.sender_asks(packet.protocol, from, to, packet.payload)
            && asks != (entry.side(flipped) == Side::Client)
        {
            swap(entry, slot, at, hall.listener);
        }
    }
    let side = entry.side(flipped);
    let flow = entry.flow(slot);
    if entry.talk.is_none() {
        let mut talk = Talk::start();
        for side in [Side::Client, Side::Server] {
            let first = entry.cold.as_ref().and_then(|cold| cold.first.get(side.index())).copied();
            if let (true, Some(first)) = (entry.sequence(side).has(Sequence::SYN), first) {
                stream_mut(&mut talk.streams, side).start(first.wrapping_add(1));
            }
        }
        entry.talk = Some(talk);
    }
    let Some(talk) = &mut entry.talk else {
        return;
    };
    let Talk { state, streams, .. } = talk.as_mut();
    let segment = Segment {
        seq: header.seq.wrapping_add(u32::from(header.has(TcpHeader::SYN))),
        bytes: packet.payload,
        cut: packet.payload_len.saturating_sub(packet.payload.len() as u32),
    };
    let mut ear = Ear { flow: &flow, side, at, state, listener: hall.listener };
    stream_mut(streams, side).accept(segment, hall.limits.stream_bytes, &mut ear);
    settle(entry, hall.counts);
}

/// The first that is seen of a side is a single byte: a keep-alive (RFC 9293 §3.8.4), as Windows sends them, repeats a byte of
/// which nothing is known. In front of the real bytes it would hide what they are.
fn is_probe<S>(entry: &Entry<S>, packet: &Packet<'_>, side: Side) -> bool {
    packet.payload_len == 1
        && !entry.sequence(side).has(Sequence::SYN)
        && entry.talk.as_ref().is_none_or(|talk| !talk.has_begun(side))
}

/// Lets go of a conversation that nobody listens to any more.
fn settle<S>(entry: &mut Entry<S>, counts: &mut FlowCounts) {
    let Some(talk) = &entry.talk else {
        return;
    };
    let [client, server] = &talk.streams;
    if !(client.sated && server.sated) {
        return;
    }
    let differing = [client.differing, server.differing];
    for lost in [client.lost, server.lost].into_iter().flatten() {
        note_lost(lost, counts);
    }
    entry.talk = None;
    entry.sated = true;
    let [client, server] = differing;
    entry.note_differing(Side::Client, client);
    entry.note_differing(Side::Server, server);
}

/// Counts a stream that could not be delivered to its end.
pub(super) fn note_lost(lost: Lost, counts: &mut FlowCounts) {
    match lost {
        Lost::Cap => counts.capped_streams += 1,
        Lost::Gap | Lost::Snapped => counts.cut_streams += 1,
        Lost::Ended => {}
    }
}

/// What the headers told, when all is over.
pub(super) fn story<S>(entry: &Entry<S>) -> TcpStory {
    let nothing = Cold::default();
    let cold = entry.cold.as_deref().unwrap_or(&nothing);
    let frame = |packed: u64| (packed != 0).then(|| FrameRef::unpack(packed));
    TcpStory {
        handshake: handshake(entry),
        sides: [side_story(entry, cold, Side::Client), side_story(entry, cold, Side::Server)],
        syn_frame: frame(cold.syn_frame),
        syn_ack_frame: frame(cold.syn_ack_frame),
        data_frame: frame(cold.data_frame),
        reset_frame: frame(cold.reset_frame),
        reset_time: (cold.reset_time != Time::default()).then_some(cold.reset_time),
        handshake_rtt: cold.handshake_rtt,
        data_time: (cold.data_time != Time::default()).then_some(cold.data_time),
        quit_time: (cold.quit_time != Time::default()).then_some(cold.quit_time),
        quit_frame: frame(cold.quit_frame),
        hole_time: (cold.hole_time != Time::default()).then_some(cold.hole_time),
        simultaneous_open: entry.simultaneous_open,
        stale: cold.pause != [0, 0] && {
            let ([_, then], [_, now]) = (cold.pause, entry.packets);
            let [_, server] = &cold.sides;
            now.saturating_sub(then) <= u32::from(server.resets)
        },
    }
}

fn side_story<S>(entry: &Entry<S>, cold: &Cold, side: Side) -> SideStory {
    let sequence = entry.sequence(side);
    let counts = cold.sides.get(side.index()).copied().unwrap_or_default();
    let holes =
        cold.holes.as_ref().and_then(|holes| holes.get(side.index())).map(Vec::as_slice).unwrap_or_default();
    let len = |(begin, end): &(u32, u32)| u64::from(end.wrapping_sub(*begin));
    let missed: u64 = holes.iter().filter(|(_, end)| ahead(*end, sequence.acked) <= 0).map(len).sum();
    let index = side.index();
    let manner = cold.manners.get(index).copied().unwrap_or_default();
    let first = cold.first.get(index).copied().filter(|_| sequence.has(Sequence::SYN));
    let heard = entry.packets.get(side.other().index()).copied().unwrap_or_default();
    let in_vain = counts.stuck > 0 && manner.repeated == sequence.acked;
    let awaited = holes.iter().find(|(begin, _)| *begin == sequence.acked);
    SideStory {
        syns: counts.syns,
        fins: counts.fins,
        resets: counts.resets,
        signs: counts.signs,
        reset_kinds: counts.reset_kinds,
        stuck: if in_vain { u16::from(counts.stuck) } else { 0 },
        stuck_len: manner.repeated_len,
        heard: if in_vain { heard.saturating_sub(manner.heard) } else { 0 },
        selective: u16::from(counts.selective),
        span: counts.span,
        keep_alives: counts.keep_alives.into(),
        zero_windows: counts.zero_windows.into(),
        retransmissions: counts.retransmissions,
        out_of_order: counts.out_of_order,
        differing: u32::from(counts.differing),
        acknowledged: first.map_or(0, |first| ahead(sequence.acked, first.wrapping_add(1)).max(0) as u32),
        awaited: awaited.map_or(0, |(begin, end)| end.wrapping_sub(*begin)),
        data_segments: u32::from(sequence.data),
        missed_bytes: counts.missed_bytes + missed,
        absent_bytes: u64::from(counts.absent_bytes)
            + counts.missed_bytes
            + holes.iter().map(len).sum::<u64>(),
        unacknowledged: ahead(sequence.next, sequence.acked).max(0) as u32,
    }
}

/// How far the handshake came, from whichever sides are visible.
fn handshake<S>(entry: &Entry<S>) -> Handshake {
    let client = entry.sequence(Side::Client);
    let server = entry.sequence(Side::Server);
    let talked = client.has(Sequence::TALKED) || client.data > 0 || server.data > 0;
    if !client.has(Sequence::SYN) {
        return match (server.has(Sequence::SYN), talked) {
            (false, _) => Handshake::Unseen,
            (true, true) => Handshake::Complete,
            (true, false) => Handshake::HalfOpen,
        };
    }
    let reset = server.has(Sequence::RST);
    // A SYN may carry payload (RFC 9293 §3.4), and is refused all the same.
    if reset && !server.has(Sequence::SYN) && !client.has(Sequence::TALKED) && server.data == 0 {
        Handshake::Refused
    } else if talked {
        Handshake::Complete
    } else if server.has(Sequence::SYN) {
        Handshake::HalfOpen
    } else {
        Handshake::Unanswered
    }
}
