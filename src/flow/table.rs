//! The live conversations: finds a packet's, opens and closes them, keeps their number bounded.
//!
//! In:  packets in the order of capture, and the seconds of frame time as they pass.
//! Out: to a [`Listener`], through each conversation's entry.
//! Not: TCP's rules; those are in `tcp`.
//!
//! The table is split into [`SHARDS`] parts by address pair. A worker owns some of them, and what happens in one does not
//! depend on how many workers there are: not the order of anything, nor which flow is pushed out of a full table.

use std::hash::BuildHasher;

use super::entry::Cold;
use super::entry::Entry;
use super::entry::State;
use super::expiry::Wheel;
use super::key::Endpoint;
use super::key::FlowKey;
use super::limits::FlowCounts;
use super::limits::Limits;
use super::listener::Appetite;
use super::listener::At;
use super::listener::Flow;
use super::listener::Listener;
use super::listener::Lost;
use super::listener::Slot;
use super::roles::flow_key;
use super::roles::who_opened;
use super::shard::SHARDS;
use super::shard::Shard;
use super::shard::parts;
use super::shard::shard_of;
use super::shard::slot;
use super::story::Close;
use super::story::Closing;
use super::story::IcmpError;
use super::story::Opening;
use super::stream::Ear;
use super::stream::Stream;
use super::stream::Talk;
use super::tcp;
use crate::base::FrameRef;
use crate::base::Side;
use crate::decode::Packet;
use crate::decode::Quoted;
use crate::decode::Transport;

/// IANA protocol numbers.
const TCP: u8 = 6;
const ICMPV6: u8 = 58;

/// A packet in its conversation: `flipped` says that its sender is the key's high end.
#[derive(Clone, Copy)]
pub(super) struct Seen<'a> {
    pub(super) packet: &'a Packet<'a>,
    pub(super) flipped: bool,
    pub(super) at: At,
}

/// Where a conversation takes place: its bounds, its counters, and who listens.
pub(super) struct Hall<'a, L: Listener> {
    pub(super) limits: &'a Limits,
    pub(super) counts: &'a mut FlowCounts,
    pub(super) listener: &'a mut L,
}

/// The live conversations of some shards.
#[derive(Debug)]
pub struct FlowTable<S> {
    shards: Vec<Shard<S>>,
    limits: Limits,
    hasher: foldhash::quality::RandomState,
    wheel: Wheel,
    /// The current second of frame time.
    now: i64,
    due: Vec<(i64, Slot)>,
    counts: FlowCounts,
}

impl<S: Default> FlowTable<S> {
    /// An empty table.
    pub fn new(limits: Limits) -> Self {
        FlowTable {
            shards: (0..SHARDS).map(|_| Shard::new()).collect(),
            limits,
            hasher: foldhash::quality::RandomState::default(),
            wheel: Wheel::default(),
            now: i64::MIN,
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
    pub fn accept<L: Listener<State = S>>(&mut self, packet: &Packet<'_>, at: At, listener: &mut L) {
        let shard = shard_of(packet);
        if let Transport::Icmp { quoted: Some(quoted), kind, code, detail, .. } = packet.transport
            && self.quote(shard, packet, quoted, (kind, code, detail), at, listener)
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
                let (before, state) = (entry.held(), entry.state);
                let mut hall = Hall { limits: &self.limits, counts: &mut self.counts, listener };
                converse(entry, slot(shard, place), seen, &mut hall);
                bring_forward(entry, slot(shard, place), &self.limits, &mut self.wheel, at);
                if self.limits.early && entry.state == State::Closed && state != State::Closed {
                    listener.stands(&entry.flow(slot(shard, place)), entry.closing(Close::Done), at);
                }
                let held = entry.weigh(listener);
                table.held = table.held - before + held;
                return self.relieve(shard, at, listener);
            }
            self.close(slot(shard, place), Close::Reused, at, listener);
        }
        self.open(shard, hash, key, seen, listener);
    }

    /// Frame time has reached second `now`: closes what has been silent for too long. Comes before the frame's packet.
    pub fn tick<L: Listener<State = S>>(&mut self, now: i64, at: At, listener: &mut L) {
        for slot in self.overdue(now) {
            self.let_go(slot, at, listener);
        }
    }

    /// Frame time has reached second `now`: what has been silent for too long, in the order of opening.
    pub fn overdue(&mut self, now: i64) -> Vec<Slot> {
        if now < self.now {
            self.set_back(now);
        }
        self.now = now;
        let mut due = std::mem::take(&mut self.due);
        due.clear();
        self.wheel.take_due(now, &mut due);
        let mut over: Vec<(u64, Slot)> = Vec::new();
        for (second, slot) in due.drain(..) {
            let (shard, place) = parts(slot);
            let Some(entry) = self.shards.get_mut(shard).and_then(|shard| shard.entry_mut(place)) else {
                continue;
            };
            if entry.due != second {
                // The slot was used again, and lies in another bucket.
                continue;
            }
            let deadline =
                entry.last_time.secs().saturating_add(entry.state.timeout(&self.limits)).saturating_add(1);
            if deadline <= now {
                over.push((entry.opened, slot));
            } else {
                entry.due = self.wheel.put(slot, deadline);
            }
        }
        self.due = due;
        over.sort_unstable();
        over.into_iter().map(|(_, slot)| slot).collect()
    }

    /// Closes a conversation that is overdue.
    pub fn let_go<L: Listener<State = S>>(&mut self, slot: Slot, at: At, listener: &mut L) {
        let done = self.entry(slot).is_some_and(|entry| entry.state == State::Closed);
        self.close(slot, if done { Close::Done } else { Close::Idle }, at, listener);
    }

    /// The capture is over: closes everything, in the order of opening.
    pub fn finish<L: Listener<State = S>>(&mut self, at: At, listener: &mut L) {
        for slot in self.remaining() {
            self.end(slot, at, listener);
        }
    }

    /// What is still live, in the order of opening.
    pub fn remaining(&self) -> Vec<Slot> {
        let mut all: Vec<(u64, Slot)> = Vec::with_capacity(self.live());
        for (number, shard) in self.shards.iter().enumerate() {
            all.extend(shard.entries().map(|(place, entry)| (entry.opened, slot(number, place))));
        }
        all.sort_unstable();
        all.into_iter().map(|(_, slot)| slot).collect()
    }

    /// Closes one of what remains when the capture is over.
    pub fn end<L: Listener<State = S>>(&mut self, slot: Slot, at: At, listener: &mut L) {
        let done = self.entry(slot).is_some_and(|entry| entry.state == State::Closed);
        self.close(slot, if done { Close::Done } else { Close::CaptureEnded }, at, listener);
    }

    fn entry(&self, slot: Slot) -> Option<&Entry<S>> {
        let (shard, place) = parts(slot);
        self.shards.get(shard)?.entry(place)
    }

    fn open<L: Listener<State = S>>(
        &mut self,
        shard: usize,
        hash: u64,
        key: FlowKey,
        seen: Seen<'_>,
        listener: &mut L,
    ) {
        let Seen { packet, flipped, at } = seen;
        self.make_room(shard, at, listener);
        let (client_sent, from_start) = who_opened(packet, listener);
        // `flipped` says that the sender is the key's high end.
        let client_is_high = flipped == client_sent;
        let mut entry = Entry::new(key, client_is_high, from_start, packet.protocol, at);
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
        let timeout = entry.state.timeout(&self.limits);
        entry.due = self.wheel.put(slot, at.time.secs().saturating_add(timeout).saturating_add(1));
        let flow = entry.flow(slot);
        let icmp = match packet.transport {
            Transport::Icmp { kind, code, .. } => Some((kind, code)),
            _ => None,
        };
        let (vlan, tunnel) = match packet.wrapping.is_empty() {
            true => Default::default(),
            false => (packet.wrapping.vlans().into(), packet.wrapping.tunnel().into()),
        };
        let opening = Opening {
            client: flow.client,
            server: flow.server,
            protocol: packet.protocol,
            from_start,
            icmp,
            vlan,
            tunnel,
        };
        listener.opened(&flow, opening, at);
        let mut hall = Hall { limits: &self.limits, counts: &mut self.counts, listener };
        converse(entry, slot, seen, &mut hall);
        bring_forward(entry, slot, &self.limits, &mut self.wheel, at);
        let held = entry.weigh(listener);
        table.held += held;
        self.relieve(shard, at, listener);
    }

    /// Stops listening to the longest idle conversations of a shard that holds too much, until an eighth is free: so the
    /// search is paid rarely.
    #[inline]
    fn relieve<L: Listener<State = S>>(&mut self, number: usize, at: At, listener: &mut L) {
        let cap = self.limits.held_bytes / SHARDS;
        if self.shards.get(number).is_some_and(|shard| shard.held > cap) {
            self.stop_listening(number, cap - cap / 8, at, listener);
        }
    }

    #[cold]
    fn stop_listening<L: Listener<State = S>>(
        &mut self,
        number: usize,
        enough: usize,
        at: At,
        listener: &mut L,
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
            hang_up(entry, slot(number, place), Lost::Cap, at, &mut self.counts, listener);
            entry.sated = true;
            self.counts.unheard += 1;
            shard.held -= held;
        }
    }

    /// Pushes the longest idle flows out of a full shard: a sixty-fourth of it at a time, so that the search is paid rarely.
    fn make_room<L: Listener<State = S>>(&mut self, number: usize, at: At, listener: &mut L) {
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
            self.close(slot, Close::Evicted, at, listener);
        }
    }

    /// The clock was set back: what lies in the future is taken as of now.
    fn set_back(&mut self, now: i64) {
        self.wheel.restart(now);
        for number in 0..self.shards.len() {
            let places: Vec<u32> = match self.shards.get(number) {
                Some(shard) => shard.entries().map(|(place, _)| place).collect(),
                None => continue,
            };
            for place in places {
                let Some(entry) = self.shards.get_mut(number).and_then(|shard| shard.entry_mut(place)) else {
                    continue;
                };
                entry.due = self
                    .wheel
                    .put(slot(number, place), now.saturating_add(entry.state.timeout(&self.limits)));
            }
        }
    }

    /// Notes an ICMP error in the conversation that it quotes; false when there is none.
    fn quote<L: Listener<State = S>>(
        &mut self,
        shard: usize,
        packet: &Packet<'_>,
        quoted: Quoted,
        (kind, code, detail): (u8, u8, u32),
        at: At,
        listener: &mut L,
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
        let about = entry.side(flipped);
        let cold = entry.cold.get_or_insert_with(Box::<Cold>::default);
        let known = cold.icmp.as_deref().copied();
        let count = known.map_or(0, |error| error.count).saturating_add(1);
        let error = IcmpError {
            frame: known.map_or(at.frame, |error| error.frame),
            time: known.map_or(at.time, |error| error.time),
            from: packet.src,
            about,
            v6: packet.protocol == ICMPV6,
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
        cold.icmp = Some(Box::new(error));
        if self.limits.early && count == 1 {
            listener.stands(&entry.flow(slot(shard, place)), entry.closing(Close::Idle), at);
        }
        true
    }

    fn close<L: Listener<State = S>>(&mut self, slot: Slot, why: Close, at: At, listener: &mut L) {
        let (number, place) = parts(slot);
        let Some(shard) = self.shards.get_mut(number) else {
            return;
        };
        let Some(mut entry) = shard.take(place, |key| self.hasher.hash_one(key)) else {
            return;
        };
        if why == Close::Evicted {
            self.counts.evicted += 1;
        }
        shard.held -= entry.held();
        if let Some((mut state, at)) = hang_up(&mut entry, slot, Lost::Ended, at, &mut self.counts, listener)
        {
            listener.finish(&entry.flow(slot), &mut state, at);
        }
        listener.closed(&entry.flow(slot), entry.closing(why), at);
    }
}

/// Ends what is held of a conversation: hands over what is contiguous and forgets the rest. Gives back what the listener
/// remembers, and the conversation's last moment.
fn hang_up<L: Listener>(
    entry: &mut Entry<L::State>,
    slot: Slot,
    why: Lost,
    at: At,
    counts: &mut FlowCounts,
    listener: &mut L,
) -> Option<(L::State, At)> {
    let mut talk = entry.talk.take()?;
    let flow = entry.flow(slot);
    let at = At { frame: FrameRef::unpack(entry.last_frame), time: entry.last_time, ..at };
    for side in [Side::Client, Side::Server] {
        let stream = stream_mut(&mut talk.streams, side);
        let mut ear = Ear { flow: &flow, side, at, state: &mut talk.state, listener };
        stream.give_up(why, &mut ear);
        entry.note_differing(side, stream.differing);
        if let Some(lost) = stream.lost {
            tcp::note_lost(lost, counts);
        }
    }
    Some((talk.state, at))
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
fn begins_another<S>(entry: &Entry<S>, seen: Seen<'_>) -> bool {
    match seen.packet.transport {
        Transport::Tcp(header) if header.has(crate::decode::TcpHeader::SYN) => {
            tcp::begins_another(entry, &header, entry.side(seen.flipped))
        }
        _ => false,
    }
}

/// Looks at a conversation sooner than was planned, when it is over or has been answered.
#[inline]
fn bring_forward<S>(entry: &mut Entry<S>, slot: Slot, limits: &Limits, wheel: &mut Wheel, at: At) {
    if !matches!(entry.state, State::Closed | State::Answered) {
        return;
    }
    let due = at.time.secs().saturating_add(entry.state.timeout(limits)).saturating_add(1);
    if entry.due > due {
        entry.due = wheel.put(slot, due);
    }
}

/// Lets a packet take part in its conversation.
#[inline]
fn converse<L: Listener>(entry: &mut Entry<L::State>, slot: Slot, seen: Seen<'_>, hall: &mut Hall<'_, L>) {
    let Seen { packet, flipped, at } = seen;
    match packet.transport {
        Transport::Tcp(header) => tcp::accept(entry, slot, &header, seen, hall),
        _ if packet.payload.is_empty() || entry.sated => {}
        _ => {
            let side = entry.side(flipped);
            let flow = entry.flow(slot);
            let talk = entry.talk.get_or_insert_with(Talk::start);
            let appetite =
                hall.listener.datagram(&flow, &mut talk.state, side, packet.payload, packet.payload_len, at);
            match appetite {
                Appetite::Hungry { .. } => entry.state = State::Datagram,
                Appetite::Rest => {
                    entry.talk = None;
                    entry.state = State::Answered;
                }
                Appetite::Sated => {
                    entry.talk = None;
                    entry.sated = true;
                }
            }
        }
    }
}

impl<S: Default> Talk<S> {
    pub(super) fn start() -> Box<Talk<S>> {
        Box::new(Talk { state: S::default(), streams: [Stream::default(), Stream::default()], held: 0 })
    }
}

/// The swapped flow is told to the listener, and its entry turned round.
pub(super) fn swap<L: Listener>(entry: &mut Entry<L::State>, slot: Slot, at: At, listener: &mut L) {
    entry.swap();
    listener.swapped(&entry.flow(slot), at);
}

impl<S> Entry<S> {
    /// Bytes held of it, as weighed last.
    #[inline]
    fn held(&self) -> usize {
        self.talk.as_ref().map_or(0, |talk| talk.held)
    }

    /// Weighs what is held of it.
    #[inline]
    fn weigh<L: Listener<State = S>>(&mut self, listener: &L) -> usize {
        let Some(talk) = &mut self.talk else { return 0 };
        let [client, server] = &talk.streams;
        let own = size_of::<Talk<S>>() + client.held_bytes() + server.held_bytes();
        talk.held = own + listener.held(&talk.state);
        talk.held
    }

    /// What has become of it so far.
    fn closing(&self, why: Close) -> Closing {
        Closing {
            close: why,
            first_frame: FrameRef::unpack(self.first_frame),
            last_frame: FrameRef::unpack(self.last_frame),
            first_seen: self.first_time,
            last_seen: self.last_time,
            packets: self.packets.map(u64::from),
            bytes: self.bytes,
            tcp: (self.key.protocol == TCP).then(|| tcp::story(self)),
            icmp: self.cold.as_ref().and_then(|cold| cold.icmp.as_deref().copied()),
        }
    }

    /// What a listener is told about this conversation.
    #[inline]
    pub(super) fn flow(&self, slot: Slot) -> Flow {
        let (client, server) = if self.client_is_high {
            (self.key.high_end(), self.key.low_end())
        } else {
            (self.key.low_end(), self.key.high_end())
        };
        Flow {
            slot,
            opened: self.opened,
            client,
            server,
            protocol: self.key.protocol,
            from_start: self.from_start,
        }
    }
}
