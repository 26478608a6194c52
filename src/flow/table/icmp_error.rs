//! Attaches ICMP errors to the flows that they quote.
//!
//! In:  ICMP errors, and flows as they open.
//! Out: the error that a flow keeps.
//! Not: errors that quote no flow; those are flows of their own.
//!
//! Two processors or capture points may stamp an error before the packet that it quotes. An error without a flow waits a
//! moment for it.

use std::hash::BuildHasher;

use super::FlowTable;
use crate::base::proto;
use crate::decode::OwnedPacket;
use crate::decode::Packet;
use crate::decode::Quoted;
use crate::decode::Transport;
use crate::flow::consumer::At;
use crate::flow::consumer::Slot;
use crate::flow::consumer::StreamConsumer;
use crate::flow::context::PacketCtx;
use crate::flow::context::TableCtx;
use crate::flow::key::Endpoint;
use crate::flow::key::FlowKey;
use crate::flow::live_flow::LiveFlow;
use crate::flow::record::EndReason;
use crate::flow::record::IcmpError;
use crate::flow::sequence::ahead;
use crate::flow::shard::shard_of;
use crate::flow::shard::slot;
use crate::flow::summary::flow_end;

/// A packet is stamped at most so long after an error that quotes it. None is retransmitted sooner (Windows: one second).
const MAX_DELAY_NANOS: u64 = 100_000_000;

/// Errors of one shard that wait. Further ones do not.
const LIMIT: usize = 64;

/// An error that came before the packet that it quotes.
#[derive(Debug)]
pub(in crate::flow) struct EarlyError {
    packet: OwnedPacket,
    at: At,
    /// The flow that it quotes, and whether the key's high end sent the quoted packet.
    key: FlowKey,
    flipped: bool,
    seq: Option<u32>,
}

/// Which errors no longer wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EarlyErrors {
    /// Those for which it is too late.
    Late,
    /// All: the capture has ended.
    All,
}

impl<S: Default> FlowTable<S> {
    /// Attaches an ICMP error to the flow that it quotes, or lets it wait for that flow; false if it is a flow of its own.
    #[inline(never)]
    pub(super) fn take_icmp_error<L: StreamConsumer<State = S>>(
        &mut self,
        packet: &Packet<'_>,
        quoted: Quoted,
        at: At,
        consumer: &mut L,
    ) -> bool {
        let src = Endpoint { address: quoted.src, port: quoted.src_port };
        let dst = Endpoint { address: quoted.dst, port: quoted.dst_port };
        let (key, flipped) = FlowKey::new(src, dst, quoted.protocol, packet.scope);
        let hash = self.hasher.hash_one(key);
        let number = shard_of(packet);
        let Some(shard) = self.shards.get_mut(number) else {
            return false;
        };
        let Some(index) = shard.find(hash, &key) else {
            // Without ports, a later fragment or another protocol, too many packets may be meant.
            let has_ports = matches!(quoted.protocol, proto::TCP | proto::UDP) && quoted.src_port != 0;
            let may_wait = has_ports && shard.early_errors.len() < LIMIT;
            if may_wait {
                let packet = OwnedPacket::from(packet);
                shard.early_errors.push(EarlyError { packet, at, key, flipped, seq: quoted.seq });
            }
            return may_wait;
        };
        let Some(flow) = shard.get_mut(index) else {
            return false;
        };
        if let (Some(seq), Some(next)) = (quoted.seq, flow.sent_up_to(flow.side(flipped)))
            && ahead(seq, next) > 0
        {
            // It quotes bytes that were not seen: an earlier connection, or a forgery. It is reported as a flow of its own.
            return false;
        }
        flow.active = self.clock.now();
        let mut ctx = TableCtx { limits: &self.limits, counts: &mut self.counts, consumer };
        attach(flow, slot(number, index), PacketCtx { packet, flipped, at, opened: at.order }, &mut ctx);
        true
    }

    /// Errors that waited for a flow in vain become flows of their own, in the order in which they came.
    pub fn open_early_errors<L: StreamConsumer<State = S>>(
        &mut self,
        which: EarlyErrors,
        at: At,
        consumer: &mut L,
    ) {
        let is_over = |error: &mut EarlyError| {
            which == EarlyErrors::All || at.time.since(error.at.time) > MAX_DELAY_NANOS
        };
        let mut over: Vec<EarlyError> = Vec::new();
        for shard in self.shards.iter_mut().filter(|shard| !shard.early_errors.is_empty()) {
            over.extend(shard.early_errors.extract_if(.., is_over));
        }
        over.sort_unstable_by_key(|error| error.at.order);
        for error in over {
            let packet = error.packet.borrow();
            // What happens now is of now, whichever worker does it.
            let now = At { order: at.order, ..error.at };
            self.follow(&packet, now, error.at.order, consumer);
        }
    }
}

/// Takes the errors that quote the packet which opens a flow.
#[cold]
pub(super) fn take_quoting(
    errors: &mut Vec<EarlyError>,
    key: &FlowKey,
    opening: PacketCtx<'_>,
) -> Vec<EarlyError> {
    let seq = match opening.packet.transport {
        Transport::Tcp(header) => Some(header.seq),
        _ => None,
    };
    let is_quoted = |error: &mut EarlyError| {
        error.key == *key
            && error.flipped == opening.flipped
            && error.seq.is_none_or(|quoted| seq == Some(quoted))
            && opening.at.time.since(error.at.time) <= MAX_DELAY_NANOS
    };
    errors.extract_if(.., is_quoted).collect()
}

impl EarlyError {
    /// Attaches it to the flow that it quotes, which opens at `opening`.
    pub(super) fn attach_to<L: StreamConsumer>(
        self,
        flow: &mut LiveFlow<L::State>,
        slot: Slot,
        opening: At,
        ctx: &mut TableCtx<'_, L>,
    ) {
        let at = At { order: opening.order, ..self.at };
        let packet = self.packet.borrow();
        attach(flow, slot, PacketCtx { packet: &packet, flipped: self.flipped, at, opened: at.order }, ctx);
    }
}

/// Attaches an error; `flipped` says which end of the key sent the quoted packet.
fn attach<L: StreamConsumer>(
    flow: &mut LiveFlow<L::State>,
    slot: Slot,
    error: PacketCtx<'_>,
    ctx: &mut TableCtx<'_, L>,
) {
    let PacketCtx { packet, flipped, at, .. } = error;
    let Transport::Icmp { kind, code, detail, .. } = packet.transport else { return };
    ctx.counts.icmp_attached += 1;
    flow.last_time = flow.last_time.max(at.time);
    let about = flow.side(flipped);
    let known = flow.details().icmp.as_deref().copied();
    let count = known.map_or(0, |error| error.count).saturating_add(1);
    let new = IcmpError {
        frame: at.frame,
        time: at.time,
        from: packet.src,
        about,
        v6: packet.protocol == proto::ICMPV6,
        kind,
        code,
        detail,
        count,
    };
    let error = match known {
        Some(known) if known.rank() <= new.rank() => IcmpError { count, ..known },
        _ => new,
    };
    flow.details().icmp = Some(Box::new(error));
    if ctx.limits.report_interim && count == 1 {
        ctx.consumer.interim(&flow.flow_ref(slot), flow_end(flow, EndReason::Idle), at);
    }
}

#[cfg(test)]
mod tests {
    use crate::flow::FlowLimits;
    use crate::flow::test_support::TestTable;

    /// Each flow's protocol with the number of its ICMP errors, in the order of ending.
    fn check(script: &str, expected: &[(&str, u32)]) {
        let mut table = TestTable::new(FlowLimits::default());
        table.play(script);
        table.finish();
        let ends = table.recorder.ends.iter().map(|end| end.icmp.as_ref().map_or(0, |error| error.count));
        let opened = table.recorder.calls.iter().filter(|call| call.starts_with("opened")).count();
        let errors: Vec<u32> = ends.collect();
        assert_eq!(opened, expected.len(), "{script}: {:?}", table.recorder.calls);
        assert_eq!(errors, expected.iter().map(|(_, errors)| *errors).collect::<Vec<_>>(), "{script}");
    }

    #[test]
    fn an_error_before_the_packet_that_it_quotes_is_attached() {
        check("s icmp 3 13 100\n c S 100", &[("tcp", 1)]);
        check("s icmp 3 13 100\n +0.05\n c S 100\n s icmp 3 13 100", &[("tcp", 2)]);
        // The packet of the other direction, another sequence number, and a packet that comes too late.
        check("s icmp 3 13 100\n s S 100", &[("icmp", 0), ("tcp", 0)]);
        check("s icmp 3 13 100\n c S 101", &[("icmp", 0), ("tcp", 0)]);
        check("s icmp 3 13 100\n +0.2\n c S 100", &[("icmp", 0), ("tcp", 0)]);
        check("s icmp 3 13 100\n +2\n c S 100", &[("icmp", 0), ("tcp", 0)]);
    }

    #[test]
    fn errors_that_wait_are_bounded_and_become_flows_in_their_order() {
        let mut table = TestTable::new(FlowLimits::default());
        let script: String = (0..super::LIMIT + 9).map(|seq| format!("s icmp 3 13 {seq}\n")).collect();
        table.play(&script);
        let counts = table.table.counts();
        assert_eq!((counts.packets, table.table.live()), (9, 1));
        table.play("+2");
        assert_eq!((table.table.counts().packets, table.table.live()), (super::LIMIT as u64 + 9, 1));
        assert!(table.finish().starts_with("opened by s"));
    }
}
