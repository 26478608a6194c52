//! The live conversations: finds a packet's, opens and closes them, keeps their number bounded.
//!
//! In:  packets in the order of capture, and the seconds of frame time as they pass.
//! Out: to a [`StreamConsumer`], through each conversation's entry.
//! Not: TCP's rules; those are in `tcp`.
//!
//! The table is split into [`SHARDS`] parts by address pair. A worker owns some of them, and what happens in one does not
//! depend on how many workers there are: not the order of anything, nor which flow is pushed out of a full table.

use std::hash::BuildHasher;

use super::consumer::At;
use super::consumer::FlowRef;
use super::consumer::ReadProgress;
use super::consumer::Slot;
use super::consumer::StreamConsumer;
use super::consumer::StreamEnd;
use super::entry::FlowDetails;
use super::entry::FlowPhase;
use super::entry::LiveFlow;
use super::expiry::ExpiryWheel;
use super::expiry::FlowClock;
use super::key::Endpoint;
use super::key::FlowKey;
use super::limits::FlowCounts;
use super::limits::FlowLimits;
use super::orientation::flow_key;
use super::orientation::infer_client;
use super::record::EndReason;
use super::record::FlowEnd;
use super::record::FlowStart;
use super::record::IcmpError;
use super::shard::SHARDS;
use super::shard::Shard;
use super::shard::parts;
use super::shard::shard_of;
use super::shard::slot;
use super::stream::DeliveryCtx;
use super::stream::Reassembly;
use super::stream::Stream;
use super::tcp;
use crate::base::FrameRef;
use crate::base::Side;
use crate::base::proto;
use crate::decode::Packet;
use crate::decode::Quoted;
use crate::decode::Transport;

/// A packet in its conversation: `flipped` says that its sender is the key's high end.
#[derive(Clone, Copy)]
pub(super) struct Seen<'a> {
    pub(super) packet: &'a Packet<'a>,
    pub(super) flipped: bool,
    pub(super) at: At,
}

/// Where a conversation takes place: its bounds, its counters, and who listens.
pub(super) struct TableCtx<'a, L: StreamConsumer> {
    pub(super) limits: &'a FlowLimits,
    pub(super) counts: &'a mut FlowCounts,
    pub(super) consumer: &'a mut L,
}

/// The live conversations of some shards.
#[derive(Debug)]
pub struct FlowTable<S> {
    shards: Vec<Shard<S>>,
    limits: FlowLimits,
    hasher: foldhash::quality::RandomState,
    clock: FlowClock,
    wheel: ExpiryWheel,
    due: Vec<(u64, Slot)>,
    counts: FlowCounts,
}

impl<S: Default> FlowTable<S> {
    /// An empty table.
    pub fn new(limits: FlowLimits) -> Self {
        FlowTable {
            shards: (0..SHARDS).map(|_| Shard::new()).collect(),
            limits,
            hasher: foldhash::quality::RandomState::default(),
            clock: FlowClock::default(),
            wheel: ExpiryWheel::default(),
            due: Vec::new(),
            counts: FlowCounts::default(),
        }
    }

    /// What was counted so far.
    pub fn counts(&self) -> FlowCounts {
        FlowCounts { peak: self.shards.iter().map(|shard| shard.peak as u64).sum(), ..self.counts }
    }

    /// How many conversations are live.
    pub fn live(&self) -> usize {
        self.shards.iter().map(|shard| shard.live).sum()
    }

    /// Takes a packet in.
    #[inline]
    pub fn accept<L: StreamConsumer<State = S>>(&mut self, packet: &Packet<'_>, at: At, consumer: &mut L) {
        let shard = shard_of(packet);
        if let Transport::Icmp { quoted: Some(quoted), kind, code, detail, .. } = packet.transport
            && self.quote(shard, packet, quoted, (kind, code, detail), at, consumer)
        {
            return;
        }
        self.counts.packets += 1;
        self.counts.payload_bytes += u64::from(packet.payload_len);
        let (key, flipped) = flow_key(packet);
        let hash = self.hasher.hash_one(key);
        let seen = Seen { packet, flipped, at };
        let Some(table) = self.shards.get_mut(shard) else {
            return;
        };
        let found = table.find(hash, &key);
        if let Some(place) = found
            && let Some(entry) = table.entry_mut(place)
        {
            if !begins_another(entry, seen) {
                entry.count(packet, flipped, at);
                entry.active = self.clock.now();
                let (before, state) = (entry.held(), entry.state);
                let mut ctx = TableCtx { limits: &self.limits, counts: &mut self.counts, consumer };
                converse(entry, slot(shard, place), seen, &mut ctx);
                bring_forward(entry, slot(shard, place), &self.limits, &mut self.wheel);
                if self.limits.report_interim
                    && entry.state == FlowPhase::Closed
                    && state != FlowPhase::Closed
                {
                    consumer.interim(&entry.flow(slot(shard, place)), entry.flow_end(EndReason::Done), at);
                }
                let held = entry.weigh(consumer);
                table.held = table.held - before + held;
                return self.relieve(shard, at, consumer);
            }
            self.close(slot(shard, place), EndReason::Reused, at, consumer);
        }
        self.open(shard, hash, key, seen, consumer);
    }

    /// Frame time has reached `second`: closes the flows that were idle for too long. Comes before the frame's packet.
    pub fn tick<L: StreamConsumer<State = S>>(&mut self, second: i64, at: At, consumer: &mut L) {
        for slot in self.take_expired(second) {
            self.close_expired(slot, at, consumer);
        }
    }

    /// Frame time has reached `second`: the flows that were idle for too long, in the order of opening.
    pub fn take_expired(&mut self, second: i64) -> Vec<Slot> {
        self.clock.tick(second);
        let now = self.clock.now();
        let mut due = std::mem::take(&mut self.due);
        due.clear();
        self.wheel.take_due(now, &mut due);
        let mut expired: Vec<(u64, Slot)> = Vec::new();
        for (second, slot) in due.drain(..) {
            let (shard, place) = parts(slot);
            let Some(entry) = self.shards.get_mut(shard).and_then(|shard| shard.entry_mut(place)) else {
                continue;
            };
            if entry.due != second {
                // The flow is in another bucket by now, or its slot has another flow.
                continue;
            }
            let deadline = entry.deadline(&self.limits);
            if deadline <= now {
                expired.push((entry.opened, slot));
            } else {
                entry.due = self.wheel.add(slot, deadline);
            }
        }
        self.due = due;
        expired.sort_unstable();
        expired.into_iter().map(|(_, slot)| slot).collect()
    }

    /// Closes a conversation that is overdue.
    pub fn close_expired<L: StreamConsumer<State = S>>(&mut self, slot: Slot, at: At, consumer: &mut L) {
        let done = self.entry(slot).is_some_and(|entry| entry.state == FlowPhase::Closed);
        self.close(slot, if done { EndReason::Done } else { EndReason::Idle }, at, consumer);
    }

    /// The capture is over: closes everything, in the order of opening.
    pub fn finish<L: StreamConsumer<State = S>>(&mut self, at: At, consumer: &mut L) {
        for slot in self.live_slots() {
            self.close_unfinished(slot, at, consumer);
        }
    }

    /// What is still live, in the order of opening.
    pub fn live_slots(&self) -> Vec<Slot> {
        let mut all: Vec<(u64, Slot)> = Vec::with_capacity(self.live());
        for (number, shard) in self.shards.iter().enumerate() {
            all.extend(shard.entries().map(|(place, entry)| (entry.opened, slot(number, place))));
        }
        all.sort_unstable();
        all.into_iter().map(|(_, slot)| slot).collect()
    }

    /// Closes one of what remains when the capture is over.
    pub fn close_unfinished<L: StreamConsumer<State = S>>(&mut self, slot: Slot, at: At, consumer: &mut L) {
        let done = self.entry(slot).is_some_and(|entry| entry.state == FlowPhase::Closed);
        self.close(slot, if done { EndReason::Done } else { EndReason::CaptureEnded }, at, consumer);
    }

    fn entry(&self, slot: Slot) -> Option<&LiveFlow<S>> {
        let (shard, place) = parts(slot);
        self.shards.get(shard)?.entry(place)
    }

    fn open<L: StreamConsumer<State = S>>(
        &mut self,
        shard: usize,
        hash: u64,
        key: FlowKey,
        seen: Seen<'_>,
        consumer: &mut L,
    ) {
        let Seen { packet, flipped, at } = seen;
        self.make_room(shard, at, consumer);
        let (client_sent, from_start) = infer_client(packet, consumer);
        // `flipped` says that the sender is the key's high end.
        let client_is_high = flipped == client_sent;
        let mut entry = LiveFlow::new(key, client_is_high, from_start, self.clock.now(), at);
        entry.count(packet, flipped, at);
        let Some(table) = self.shards.get_mut(shard) else {
            return;
        };
        let place = table.insert(hash, entry, |key| self.hasher.hash_one(key));
        self.counts.opened += 1;
        let slot = slot(shard, place);
        let Some(entry) = table.entry_mut(place) else {
            return;
        };
        entry.due = self.wheel.add(slot, entry.deadline(&self.limits));
        let flow = entry.flow(slot);
        let icmp = match packet.transport {
            Transport::Icmp { kind, code, .. } => Some((kind, code)),
            _ => None,
        };
        let (vlan, tunnel) = match packet.wrapping.is_empty() {
            true => Default::default(),
            false => (packet.wrapping.vlans().into(), packet.wrapping.tunnel().into()),
        };
        let flow_start = FlowStart {
            client: flow.client,
            server: flow.server,
            protocol: packet.protocol,
            from_start,
            icmp,
            vlan,
            tunnel,
        };
        consumer.opened(&flow, flow_start, at);
        let mut ctx = TableCtx { limits: &self.limits, counts: &mut self.counts, consumer };
        converse(entry, slot, seen, &mut ctx);
        bring_forward(entry, slot, &self.limits, &mut self.wheel);
        let held = entry.weigh(consumer);
        table.held += held;
        self.relieve(shard, at, consumer);
    }

    /// Stops listening to the longest idle conversations of a shard that holds too much, until an eighth is free: so the
    /// search is paid rarely.
    #[inline]
    fn relieve<L: StreamConsumer<State = S>>(&mut self, number: usize, at: At, consumer: &mut L) {
        let cap = self.limits.held_bytes / SHARDS;
        if self.shards.get(number).is_some_and(|shard| shard.held > cap) {
            self.stop_listening(number, cap - cap / 8, at, consumer);
        }
    }

    #[cold]
    fn stop_listening<L: StreamConsumer<State = S>>(
        &mut self,
        number: usize,
        enough: usize,
        at: At,
        consumer: &mut L,
    ) {
        let Some(shard) = self.shards.get_mut(number) else { return };
        let mut talking: Vec<_> = shard
            .entries()
            .filter(|(_, entry)| entry.held() > 0)
            .map(|(place, entry)| (entry.last_time, entry.opened, place))
            .collect();
        talking.sort_unstable();
        for (_, _, place) in talking {
            if shard.held <= enough {
                break;
            }
            let Some(entry) = shard.entry_mut(place) else { continue };
            let held = entry.held();
            hang_up(entry, slot(number, place), StreamEnd::LimitReached, at, &mut self.counts, consumer);
            entry.sated = true;
            self.counts.reassembly_stopped += 1;
            shard.held -= held;
        }
    }

    /// Pushes the longest idle flows out of a full shard: a sixty-fourth of it at a time, so that the search is paid rarely.
    fn make_room<L: StreamConsumer<State = S>>(&mut self, number: usize, at: At, consumer: &mut L) {
        let cap = (self.limits.flows / SHARDS).max(64);
        let Some(shard) = self.shards.get(number) else {
            return;
        };
        if shard.live < cap {
            return;
        }
        let mut idle: Vec<_> = shard
            .entries()
            .map(|(place, entry)| (entry.last_time, entry.opened, slot(number, place)))
            .collect();
        let goes = (cap / 64).max(1).min(idle.len());
        if goes < idle.len() {
            idle.select_nth_unstable(goes);
        }
        let mut over: Vec<_> = idle.drain(..goes).map(|(_, opened, slot)| (opened, slot)).collect();
        over.sort_unstable();
        for (_, slot) in over {
            self.close(slot, EndReason::Evicted, at, consumer);
        }
    }

    /// Notes an ICMP error in the conversation that it quotes; false when there is none.
    fn quote<L: StreamConsumer<State = S>>(
        &mut self,
        shard: usize,
        packet: &Packet<'_>,
        quoted: Quoted,
        (kind, code, detail): (u8, u8, u32),
        at: At,
        consumer: &mut L,
    ) -> bool {
        let src = Endpoint { address: quoted.src, port: quoted.src_port };
        let dst = Endpoint { address: quoted.dst, port: quoted.dst_port };
        let (key, flipped) = FlowKey::new(src, dst, quoted.protocol, packet.scope);
        let hash = self.hasher.hash_one(key);
        let Some(place) = self.shards.get(shard).and_then(|shard| shard.find(hash, &key)) else {
            return false;
        };
        let Some(entry) = self.shards.get_mut(shard).and_then(|shard| shard.entry_mut(place)) else {
            return false;
        };
        if let (Some(seq), Some(next)) = (quoted.seq, entry.sent_up_to(entry.side(flipped)))
            && super::stream::ahead(seq, next) > 0
        {
            // Quotes bytes that were never seen: perhaps an earlier conversation, perhaps forged. Still said, as its own flow.
            return false;
        }
        self.counts.icmp_attached += 1;
        entry.last_time = entry.last_time.max(at.time);
        entry.active = self.clock.now();
        let about = entry.side(flipped);
        let details = entry.details.get_or_insert_with(Box::<FlowDetails>::default);
        let known = details.icmp.as_deref().copied();
        let count = known.map_or(0, |error| error.count).saturating_add(1);
        let error = IcmpError {
            frame: known.map_or(at.frame, |error| error.frame),
            time: known.map_or(at.time, |error| error.time),
            from: packet.src,
            about,
            v6: packet.protocol == proto::ICMPV6,
            kind,
            code,
            detail,
            count,
        };
        // What became of the client's packets says more than what became of the answers.
        let error = match known {
            Some(known) if known.about == Side::Client && about == Side::Server => {
                IcmpError { count, ..known }
            }
            _ => error,
        };
        details.icmp = Some(Box::new(error));
        if self.limits.report_interim && count == 1 {
            consumer.interim(&entry.flow(slot(shard, place)), entry.flow_end(EndReason::Idle), at);
        }
        true
    }

    fn close<L: StreamConsumer<State = S>>(&mut self, slot: Slot, why: EndReason, at: At, consumer: &mut L) {
        let (number, place) = parts(slot);
        let Some(shard) = self.shards.get_mut(number) else {
            return;
        };
        let Some(mut entry) = shard.take(place, |key| self.hasher.hash_one(key)) else {
            return;
        };
        if why == EndReason::Evicted {
            self.counts.evicted += 1;
        }
        shard.held -= entry.held();
        if let Some((mut state, at)) =
            hang_up(&mut entry, slot, StreamEnd::FlowEnded, at, &mut self.counts, consumer)
        {
            consumer.finish(&entry.flow(slot), &mut state, at);
        }
        consumer.closed(&entry.flow(slot), entry.flow_end(why), at);
    }
}

/// Ends what is held of a conversation: hands over what is contiguous and forgets the rest. Gives back what the listener
/// remembers, and the conversation's last moment.
fn hang_up<L: StreamConsumer>(
    entry: &mut LiveFlow<L::State>,
    slot: Slot,
    why: StreamEnd,
    at: At,
    counts: &mut FlowCounts,
    consumer: &mut L,
) -> Option<(L::State, At)> {
    let mut reassembly = entry.reassembly.take()?;
    let flow = entry.flow(slot);
    let at = At { frame: FrameRef::unpack(entry.last_frame), time: entry.last_time, ..at };
    for side in [Side::Client, Side::Server] {
        let stream = stream_mut(&mut reassembly.streams, side);
        let mut ctx = DeliveryCtx { flow: &flow, side, at, state: &mut reassembly.state, consumer };
        stream.give_up(why, &mut ctx);
        entry.note_differing(side, stream.differing);
        if let Some(lost) = stream.lost {
            tcp::note_lost(lost, counts);
        }
    }
    Some((reassembly.state, at))
}

#[inline]
pub(super) fn stream_mut(streams: &mut [Stream; 2], side: Side) -> &mut Stream {
    let [client, server] = streams;
    match side {
        Side::Client => client,
        Side::Server => server,
    }
}

/// A packet that begins another conversation between the same ports.
#[inline]
fn begins_another<S>(entry: &LiveFlow<S>, seen: Seen<'_>) -> bool {
    match seen.packet.transport {
        Transport::Tcp(header) if header.has(crate::decode::TcpHeader::SYN) => {
            tcp::begins_another(entry, &header, entry.side(seen.flipped))
        }
        _ => false,
    }
}

/// Looks at a conversation sooner than was planned, when it is over or has been answered.
#[inline]
fn bring_forward<S>(entry: &mut LiveFlow<S>, slot: Slot, limits: &FlowLimits, wheel: &mut ExpiryWheel) {
    if !matches!(entry.state, FlowPhase::Closed | FlowPhase::Answered) {
        return;
    }
    let deadline = entry.deadline(limits);
    if entry.due > deadline {
        entry.due = wheel.add(slot, deadline);
    }
}

/// Lets a packet take part in its conversation.
#[inline]
fn converse<L: StreamConsumer>(
    entry: &mut LiveFlow<L::State>,
    slot: Slot,
    seen: Seen<'_>,
    ctx: &mut TableCtx<'_, L>,
) {
    let Seen { packet, flipped, at } = seen;
    match packet.transport {
        Transport::Tcp(header) => tcp::accept(entry, slot, &header, seen, ctx),
        _ if packet.payload.is_empty() || entry.sated => {}
        _ => {
            let side = entry.side(flipped);
            let flow = entry.flow(slot);
            let reassembly = entry.reassembly.get_or_insert_with(Reassembly::start);
            let progress = ctx.consumer.datagram(
                &flow,
                &mut reassembly.state,
                side,
                packet.payload,
                packet.payload_len,
                at,
            );
            match progress {
                ReadProgress::NeedMore { .. } => entry.state = FlowPhase::Datagram,
                ReadProgress::Idle => {
                    entry.reassembly = None;
                    entry.state = FlowPhase::Answered;
                }
                ReadProgress::Done => {
                    entry.reassembly = None;
                    entry.sated = true;
                }
            }
        }
    }
}

impl<S: Default> Reassembly<S> {
    pub(super) fn start() -> Box<Reassembly<S>> {
        Box::new(Reassembly { state: S::default(), streams: [Stream::default(), Stream::default()], held: 0 })
    }
}

/// The swapped flow is told to the listener, and its entry turned round.
pub(super) fn swap<L: StreamConsumer>(entry: &mut LiveFlow<L::State>, slot: Slot, at: At, consumer: &mut L) {
    entry.swap();
    consumer.swapped(&entry.flow(slot), at);
}

impl<S> LiveFlow<S> {
    /// Bytes held of it, as weighed last.
    #[inline]
    fn held(&self) -> usize {
        self.reassembly.as_ref().map_or(0, |reassembly| reassembly.held)
    }

    /// Weighs what is held of it.
    #[inline]
    fn weigh<L: StreamConsumer<State = S>>(&mut self, consumer: &L) -> usize {
        let Some(reassembly) = &mut self.reassembly else { return 0 };
        let [client, server] = &reassembly.streams;
        let own = size_of::<Reassembly<S>>() + client.held_bytes() + server.held_bytes();
        reassembly.held = own + consumer.held(&reassembly.state);
        reassembly.held
    }

    /// What has become of it so far.
    fn flow_end(&self, why: EndReason) -> FlowEnd {
        FlowEnd {
            reason: why,
            first_frame: FrameRef::unpack(self.first_frame),
            last_frame: FrameRef::unpack(self.last_frame),
            first_seen: self.first_time,
            last_seen: self.last_time,
            packets: self.packets.map(u64::from),
            bytes: self.bytes,
            tcp: (self.key.protocol == proto::TCP).then(|| tcp::summary(self)),
            icmp: self.details.as_ref().and_then(|details| details.icmp.as_deref().copied()),
        }
    }

    /// What a listener is told about this conversation.
    #[inline]
    pub(super) fn flow(&self, slot: Slot) -> FlowRef {
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
}
