//! The table of live flows: finds a packet's flow, opens and closes flows, and limits their number.
//!
//! In:  packets in capture order, and seconds of frame time.
//! Out: the calls of a [`StreamConsumer`].
//! Not: TCP; see `tcp`.
//!
//! The table has [`SHARDS`] shards by address pair. A worker owns some of them. What happens in one does not depend on the
//! number of workers: neither the order of flows nor which flow is evicted.

mod host_drop;
mod icmp_error;

use std::hash::BuildHasher;

pub use self::host_drop::DroppedPacket;
pub(super) use self::icmp_error::EarlyError;
pub use self::icmp_error::EarlyErrors;
use self::icmp_error::take_quoting;

use super::community::icmp_request_kind;
use super::consumer::At;
use super::consumer::Slot;
use super::consumer::StreamConsumer;
use super::consumer::StreamEnd;
use super::context::PacketCtx;
use super::context::TableCtx;
use super::delivery;
use super::early_reports::EarlyReports;
use super::expiry::ExpiryWheel;
use super::expiry::FlowClock;
use super::key::Endpoint;
use super::key::FlowKey;
use super::limits::FlowCounts;
use super::limits::FlowLimits;
use super::live_flow::FlowPhase;
use super::live_flow::LiveFlow;
use super::live_flow::data_len;
use super::orientation::FirstSender;
use super::orientation::flow_key;
use super::orientation::infer_client;
use super::record::EndReason;
use super::record::FlowStart;
use super::record::SentBy;
use super::shard::SHARDS;
use super::shard::Shard;
use super::shard::parts;
use super::shard::shard_of;
use super::shard::slot;
use super::summary::flow_end;
use super::tcp;
use crate::base::proto;
use crate::decode::Packet;
use crate::decode::TcpHeader;
use crate::decode::Transport;

/// The live flows of some shards.
#[derive(Debug)]
pub struct FlowTable<S> {
    shards: Vec<Shard<S>>,
    limits: FlowLimits,
    hasher: foldhash::quality::RandomState,
    clock: FlowClock,
    wheel: ExpiryWheel,
    due: Vec<(u64, Slot)>,
    early: EarlyReports,
    counts: FlowCounts,
    /// Flows that were checked for expiry.
    #[cfg(test)]
    pub(super) checks: usize,
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
            early: EarlyReports::default(),
            counts: FlowCounts::default(),
            #[cfg(test)]
            checks: 0,
        }
    }

    /// The counters so far.
    pub fn counts(&self) -> FlowCounts {
        FlowCounts { peak: self.shards.iter().map(|shard| shard.peak as u64).sum(), ..self.counts }
    }

    /// The number of live flows.
    pub fn live(&self) -> usize {
        self.shards.iter().map(|shard| shard.live).sum()
    }

    /// Adds a packet to its flow.
    #[inline]
    pub fn accept<L: StreamConsumer<State = S>>(&mut self, packet: &Packet<'_>, at: At, consumer: &mut L) {
        if let Transport::Icmp { quoted: Some(quoted), .. } = packet.transport
            && self.take_icmp_error(packet, quoted, at, consumer)
        {
            return;
        }
        self.follow(packet, at, at.order, consumer);
    }

    /// Adds a packet to the flow of its own addresses and ports; one that it opens has the number `opened`.
    #[inline]
    fn follow<L: StreamConsumer<State = S>>(
        &mut self,
        packet: &Packet<'_>,
        at: At,
        opened: u64,
        consumer: &mut L,
    ) {
        let shard = shard_of(packet);
        self.counts.packets += 1;
        self.counts.payload_bytes += data_len(packet);
        let (key, flipped) = flow_key(packet);
        let hash = self.hasher.hash_one(key);
        let seen = PacketCtx { packet, flipped, at, opened };
        let Some(table) = self.shards.get_mut(shard) else {
            return;
        };
        if let Some(index) = table.find(hash, &key)
            && let Some(flow) = table.get_mut(index)
        {
            if !starts_another(flow, seen) {
                flow.count(packet, flipped, self.clock.now(), at);
                let (held_before, was_closed) = (flow.held(), flow.phase == FlowPhase::Closed);
                let mut ctx = TableCtx { limits: &self.limits, counts: &mut self.counts, consumer };
                update(flow, slot(shard, index), seen, &mut ctx);
                expire_sooner(flow, slot(shard, index), &self.limits, &mut self.wheel);
                if self.limits.report_interim {
                    let (slot, now) = (slot(shard, index), self.clock.now());
                    if flow.phase == FlowPhase::Closed && !was_closed {
                        report_end(flow, slot, at, consumer);
                    } else {
                        self.early.note(flow, slot, seen, now);
                    }
                }
                let held = measure(flow, consumer);
                table.held = table.held - held_before + held;
                return self.limit_held(shard, at, consumer);
            }
            self.close(slot(shard, index), EndReason::Reused, at, consumer);
        } else if table.ended.is_late(hash, seen, self.clock.now()) {
            return self.counts.add_late(data_len(packet));
        }
        self.open(shard, hash, key, seen, consumer);
    }

    /// Frame time has reached `second`: closes the flows whose idle time-out passed. To be called before the frame's packet.
    pub fn tick<L: StreamConsumer<State = S>>(&mut self, second: i64, at: At, consumer: &mut L) {
        for slot in self.take_expired(second) {
            self.close_expired(slot, at, consumer);
        }
        self.report_early(at, consumer);
    }

    /// After a tick: reports the open flows about which time shows something.
    pub fn report_early<L: StreamConsumer<State = S>>(&mut self, at: At, consumer: &mut L) {
        self.open_early_errors(EarlyErrors::Late, at, consumer);
        while let Some((slot, opened)) = self.early.take_due(self.clock.now()) {
            let (shard, index) = parts(slot);
            let flow = self.shards.get_mut(shard).and_then(|shard| shard.get_mut(index));
            if let Some(flow) = flow.filter(|flow| flow.opened == opened && flow.phase != FlowPhase::Closed) {
                consumer.interim(&flow.flow_ref(slot), flow_end(flow, EndReason::Idle), at);
            }
        }
    }

    /// Frame time has reached `second`: the flows whose idle time-out passed, in the order of opening.
    pub fn take_expired(&mut self, second: i64) -> Vec<Slot> {
        self.clock.tick(second);
        let now = self.clock.now();
        let mut due = std::mem::take(&mut self.due);
        due.clear();
        self.wheel.take_due(now, &mut due);
        #[cfg(test)]
        (self.checks += due.len());
        let mut expired: Vec<(u64, Slot)> = Vec::new();
        for (second, slot) in due.drain(..) {
            let (shard, index) = parts(slot);
            let Some(flow) = self.shards.get_mut(shard).and_then(|shard| shard.get_mut(index)) else {
                continue;
            };
            if flow.due != second {
                // The flow has moved to another bucket, or the slot belongs to another flow.
                continue;
            }
            let deadline = flow.deadline(&self.limits);
            if deadline <= now {
                expired.push((flow.opened, slot));
            } else {
                flow.due = self.wheel.add(slot, deadline);
            }
        }
        self.due = due;
        expired.sort_unstable();
        expired.into_iter().map(|(_, slot)| slot).collect()
    }

    /// Closes a flow whose idle time-out passed.
    pub fn close_expired<L: StreamConsumer<State = S>>(&mut self, slot: Slot, at: At, consumer: &mut L) {
        self.close_as(slot, EndReason::Idle, at, consumer);
    }

    /// The capture ended: closes all flows, in the order of opening.
    pub fn finish<L: StreamConsumer<State = S>>(&mut self, at: At, consumer: &mut L) {
        self.open_early_errors(EarlyErrors::All, at, consumer);
        for slot in self.live_slots() {
            self.close_unfinished(slot, at, consumer);
        }
    }

    /// All live flows, in the order of opening.
    pub fn live_slots(&self) -> Vec<Slot> {
        let mut all: Vec<(u64, Slot)> = Vec::with_capacity(self.live());
        for (number, shard) in self.shards.iter().enumerate() {
            all.extend(shard.flows().map(|(index, flow)| (flow.opened, slot(number, index))));
        }
        all.sort_unstable();
        all.into_iter().map(|(_, slot)| slot).collect()
    }

    /// Closes a flow that is live when the capture ends.
    pub fn close_unfinished<L: StreamConsumer<State = S>>(&mut self, slot: Slot, at: At, consumer: &mut L) {
        self.close_as(slot, EndReason::CaptureEnded, at, consumer);
    }

    /// Closes a flow: as done if it is closed, otherwise for `reason`.
    fn close_as<L: StreamConsumer<State = S>>(
        &mut self,
        slot: Slot,
        reason: EndReason,
        at: At,
        consumer: &mut L,
    ) {
        let (shard, index) = parts(slot);
        let flow = self.shards.get(shard).and_then(|shard| shard.get(index));
        let is_done = flow.is_some_and(|flow| flow.phase == FlowPhase::Closed);
        self.close(slot, if is_done { EndReason::Done } else { reason }, at, consumer);
    }

    fn close<L: StreamConsumer<State = S>>(
        &mut self,
        slot: Slot,
        reason: EndReason,
        at: At,
        consumer: &mut L,
    ) {
        let (number, index) = parts(slot);
        let Some(shard) = self.shards.get_mut(number) else {
            return;
        };
        let Some(mut flow) = shard.remove(index, |key| self.hasher.hash_one(key)) else {
            return;
        };
        if reason == EndReason::Evicted {
            self.counts.evicted += 1;
        }
        shard.held -= flow.held();
        shard.ended.add(self.hasher.hash_one(flow.key), &flow);
        let mut ctx = TableCtx { limits: &self.limits, counts: &mut self.counts, consumer };
        let state = delivery::end_streams(&mut flow, slot, StreamEnd::FlowEnded, at, &mut ctx);
        if let Some((mut state, last)) = state {
            // The flow's last frame, and the time until which nothing followed it.
            consumer.finish(&flow.flow_ref(slot), &mut state, At { time: at.time, ..last });
        }
        consumer.closed(&flow.flow_ref(slot), flow_end(&flow, reason), at);
    }

    // Outside of the code of the common packet, which is to fit into the instruction cache.
    #[inline(never)]
    fn open<L: StreamConsumer<State = S>>(
        &mut self,
        shard: usize,
        hash: u64,
        key: FlowKey,
        seen: PacketCtx<'_>,
        consumer: &mut L,
    ) {
        let PacketCtx { packet, flipped, at, opened } = seen;
        self.evict_idle(shard, at, consumer);
        let FirstSender { is_client, from_start } = infer_client(packet, consumer);
        let now = self.clock.now();
        let mut flow = LiveFlow::new(key, flipped == is_client, from_start, now, At { order: opened, ..at });
        flow.count(packet, flipped, now, at);
        let Some(table) = self.shards.get_mut(shard) else {
            return;
        };
        let index = table.insert(hash, flow, |key| self.hasher.hash_one(key));
        let quoting = match table.early_errors.is_empty() {
            true => Vec::new(),
            false => take_quoting(&mut table.early_errors, &key, seen),
        };
        self.counts.opened += 1;
        let slot = slot(shard, index);
        let Some(flow) = table.get_mut(index) else {
            return;
        };
        flow.due = self.wheel.add(slot, flow.deadline(&self.limits));
        let flow_ref = flow.flow_ref(slot);
        let (mut client, mut server) = (flow_ref.client, flow_ref.server);
        let icmp = match packet.transport {
            Transport::Icmp { kind, code, .. } => {
                // The client's message has the type of the request, whichever was captured first.
                client.port = if is_client { kind.into() } else { icmp_request_kind(packet.protocol, kind) };
                server.port = code.into();
                Some((kind, code))
            }
            _ => None,
        };
        let (vlan, tunnel) = match packet.encapsulation.is_empty() {
            true => Default::default(),
            false => (packet.encapsulation.vlans().into(), packet.encapsulation.tunnel().into()),
        };
        let flow_start = FlowStart {
            client,
            server,
            protocol: packet.protocol,
            from_start,
            icmp,
            vlan,
            tunnel,
            // Who runs when a later segment is sent need not be its sender: an ACK may have released it.
            process: packet
                .host_report
                .filter(|_| from_start || packet.protocol != proto::TCP)
                .and_then(|report| report.process.clone().map(Box::new)),
            sent: packet.adapter.filter(|_| is_client).map(|adapter| SentBy { adapter, ttl: packet.ttl }),
            translated: packet.host_report.and_then(|report| report.translated).map(|ends| {
                let [sender, receiver] =
                    [ends.source, ends.destination].map(|(address, port)| Endpoint { address, port });
                Box::new(if is_client { [sender, receiver] } else { [receiver, sender] })
            }),
        };
        consumer.opened(&flow_ref, flow_start, at);
        let mut ctx = TableCtx { limits: &self.limits, counts: &mut self.counts, consumer };
        update(flow, slot, seen, &mut ctx);
        expire_sooner(flow, slot, &self.limits, &mut self.wheel);
        for error in quoting {
            error.attach_to(flow, slot, at, &mut ctx);
        }
        table.held += measure(flow, consumer);
        self.limit_held(shard, at, consumer);
    }

    /// Stops reassembly for the longest idle flows of a shard that holds too much. It goes on until an eighth is free, so that
    /// this search is rare.
    #[inline]
    fn limit_held<L: StreamConsumer<State = S>>(&mut self, number: usize, at: At, consumer: &mut L) {
        let limit = self.limits.held_bytes / SHARDS;
        if self.shards.get(number).is_some_and(|shard| shard.held > limit) {
            self.stop_reassembly(number, limit - limit / 8, at, consumer);
        }
    }

    #[cold]
    fn stop_reassembly<L: StreamConsumer<State = S>>(
        &mut self,
        number: usize,
        target: usize,
        at: At,
        consumer: &mut L,
    ) {
        let Some(shard) = self.shards.get_mut(number) else { return };
        let mut holding: Vec<_> = shard
            .flows()
            .filter(|(_, flow)| flow.held() > 0)
            .map(|(index, flow)| (flow.last_time, flow.opened, index))
            .collect();
        holding.sort_unstable();
        for (_, _, index) in holding {
            if shard.held <= target {
                break;
            }
            let Some(flow) = shard.get_mut(index) else { continue };
            let held = flow.held();
            let mut ctx = TableCtx { limits: &self.limits, counts: &mut self.counts, consumer };
            delivery::end_streams(flow, slot(number, index), StreamEnd::LimitReached, at, &mut ctx);
            flow.done = true;
            self.counts.reassembly_stopped += 1;
            shard.held -= held;
        }
    }

    /// Evicts the longest idle flows of a full shard: a sixty-fourth of it at once, so that this search is rare.
    fn evict_idle<L: StreamConsumer<State = S>>(&mut self, number: usize, at: At, consumer: &mut L) {
        let limit = (self.limits.flows / SHARDS).max(64);
        let Some(shard) = self.shards.get(number) else {
            return;
        };
        if shard.live < limit {
            return;
        }
        let mut idle: Vec<_> =
            shard.flows().map(|(index, flow)| (flow.last_time, flow.opened, slot(number, index))).collect();
        let count = (limit / 64).max(1).min(idle.len());
        if count < idle.len() {
            idle.select_nth_unstable(count);
        }
        let mut evicted: Vec<_> = idle.drain(..count).map(|(_, opened, slot)| (opened, slot)).collect();
        evicted.sort_unstable();
        for (_, slot) in evicted {
            self.close(slot, EndReason::Evicted, at, consumer);
        }
    }
}

/// Reports a flow that has just closed. Only live runs do.
#[inline(never)]
fn report_end<L: StreamConsumer>(flow: &LiveFlow<L::State>, slot: Slot, at: At, consumer: &mut L) {
    consumer.interim(&flow.flow_ref(slot), flow_end(flow, EndReason::Done), at);
}

/// True if a packet starts another flow between the same ports.
#[inline]
fn starts_another<S>(flow: &LiveFlow<S>, seen: PacketCtx<'_>) -> bool {
    match seen.packet.transport {
        Transport::Tcp(header) if header.has(TcpHeader::SYN) => {
            tcp::starts_another(flow, &header, flow.side(seen.flipped))
        }
        _ => false,
    }
}

/// Updates a flow with a packet, and delivers its payload.
#[inline]
fn update<L: StreamConsumer>(
    flow: &mut LiveFlow<L::State>,
    slot: Slot,
    seen: PacketCtx<'_>,
    ctx: &mut TableCtx<'_, L>,
) {
    match seen.packet.transport {
        Transport::Tcp(header) => {
            tcp::update(flow, &header, seen.packet, flow.side(seen.flipped), seen.at);
            delivery::deliver_segment(flow, slot, &header, seen, ctx);
        }
        _ => delivery::deliver_datagram(flow, slot, seen, ctx),
    }
}

/// Moves a flow to an earlier bucket of the wheel once it is closed or answered.
#[inline]
fn expire_sooner<S>(flow: &mut LiveFlow<S>, slot: Slot, limits: &FlowLimits, wheel: &mut ExpiryWheel) {
    if !matches!(flow.phase, FlowPhase::Closed | FlowPhase::Answered) {
        return;
    }
    let deadline = flow.deadline(limits);
    if flow.due > deadline {
        flow.due = wheel.add(slot, deadline);
    }
}

/// Measures the bytes held for a flow.
#[inline]
fn measure<L: StreamConsumer>(flow: &mut LiveFlow<L::State>, consumer: &L) -> usize {
    flow.reassembly.as_mut().map_or(0, |reassembly| reassembly.measure(consumer))
}

#[cfg(test)]
mod tests;
