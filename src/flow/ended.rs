//! Remembers TCP connections that ended a short time ago.
//!
//! In:  flows as they end.
//! Out: whether a segment is a late one of such a connection: a retransmitted FIN, an ACK, a reset.
//! Not: the segment's place in a row: the row of the connection was written when it ended.
//!
//! A flow is over ten seconds after FIN or RST. Windows retransmits a FIN for longer than that, and a closed socket answers it
//! with a reset. Such segments would otherwise open a second flow of which nothing is known.

use hashbrown::HashTable;

use super::context::PacketCtx;
use super::live_flow::FlowPhase;
use super::live_flow::LiveFlow;
use super::sequence::ahead;
use super::shard::SHARDS;
use crate::base::Side;
use crate::base::proto;
use crate::decode::TcpHeader;
use crate::decode::Transport;

/// A connection is forgotten after this many seconds: longer than FINs are retransmitted, and than TIME-WAIT (RFC 9293 §3.4.2).
const KEPT_SECS: u64 = 600;

/// Connections that all shards remember together, about 1 MB. At the limit, those that ended first are forgotten.
const LIMIT: usize = 32 << 10;

/// A late segment is not further behind what its sender had sent.
const REACH: i32 = 1 << 20;

/// A connection that ended. Its key is not kept, only the hash of it: another connection has the same one once in 10^14 times.
#[derive(Clone, Copy, Debug)]
struct EndedFlow {
    hash: u64,
    /// The number after the highest that the key's low and high end have sent; `None` where an end sent nothing.
    next: [Option<u32>; 2],
    /// The second of its last packet.
    active: u64,
}

/// The connections of one shard that ended a short time ago.
#[derive(Debug, Default)]
pub(super) struct EndedFlows {
    /// A ring: when it is full, the next connection replaces the one that ended first.
    flows: Vec<EndedFlow>,
    /// Where the next one goes.
    place: usize,
    /// Places by hash. Of connections with the same key, only that of the last.
    by_hash: HashTable<u32>,
}

impl EndedFlows {
    /// Remembers a flow that ends, if it is a connection that one side has closed. `hash` is that of its key.
    pub(super) fn add<S>(&mut self, hash: u64, flow: &LiveFlow<S>) {
        let is_closed = matches!(flow.phase, FlowPhase::Closed | FlowPhase::HalfClosed);
        if flow.key.protocol != proto::TCP || !is_closed {
            return;
        }
        let [client, server] = [Side::Client, Side::Server].map(|side| flow.sent_up_to(side));
        let next = if flow.client_is_high { [server, client] } else { [client, server] };
        let ended = EndedFlow { hash, next, active: flow.active };
        let place = self.place as u32;
        self.place = (self.place + 1) % (LIMIT / SHARDS);
        let EndedFlows { flows, by_hash, .. } = self;
        match flows.get_mut(place as usize) {
            Some(oldest) => {
                if let Ok(found) = by_hash.find_entry(oldest.hash, |other| *other == place) {
                    found.remove();
                }
                *oldest = ended;
            }
            None => flows.push(ended),
        }
        let hash_of = |other: &u32| flows.get(*other as usize).map_or(0, |other| other.hash);
        match by_hash.find_mut(hash, |other| hash_of(other) == hash) {
            Some(of_key) => *of_key = place,
            None => {
                by_hash.insert_unique(hash, place, hash_of);
            }
        }
    }

    /// True for a segment of a connection that has ended: without SYN, and without a byte that its sender had not sent before.
    /// `hash` is that of its key.
    #[inline(never)]
    pub(super) fn is_late(
        &self,
        hash: u64,
        PacketCtx { packet, flipped, .. }: PacketCtx<'_>,
        now: u64,
    ) -> bool {
        let Transport::Tcp(header) = packet.transport else { return false };
        if self.by_hash.is_empty() || header.has(TcpHeader::SYN) {
            return false;
        }
        let flow_at = |place: &u32| self.flows.get(*place as usize);
        let found = self.by_hash.find(hash, |place| flow_at(place).is_some_and(|ended| ended.hash == hash));
        let Some(ended) = found.and_then(flow_at) else { return false };
        if now.saturating_sub(ended.active) > KEPT_SECS {
            return false;
        }
        if header.has(TcpHeader::RST) {
            return true;
        }
        let next = ended.next.get(usize::from(flipped)).copied().flatten();
        next.is_some_and(|next| {
            let beyond = ahead(header.seq.wrapping_add(packet.payload_len), next);
            // A FIN may be sent after the reset of the peer, and has a number of its own.
            (-REACH..=0).contains(&beyond) || (packet.payload_len == 0 && beyond == 1)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::Packet;
    use crate::flow::At;
    use crate::flow::key::Endpoint;
    use crate::flow::key::FlowKey;
    use crate::flow::limits::FlowLimits;
    use crate::flow::test_support::CLIENT;
    use crate::flow::test_support::SERVER;
    use crate::flow::test_support::TestTable;
    use crate::flow::test_support::packet;

    const CLOSED: &str =
        "c S 100\n s SA 500 101\n c A 101 501 \"abc\"\n s A 501 104\n c FA 104 501\n s FA 501 105\n";

    /// How many flows a script opens, and how many late packets it has.
    fn check(script: &str, expected: (u64, u64)) {
        let mut table = TestTable::new(FlowLimits::default());
        table.play(script);
        let counts = table.table.counts();
        assert_eq!((counts.opened, counts.late_packets), expected, "{script}");
    }

    #[test]
    fn packets_long_after_the_end_belong_to_the_ended_connection() {
        check(&format!("{CLOSED}+20\n s FA 501 105\n c R 105"), (1, 2));
        check("c S 100\n s SA 500 101\n c A 101 501\n s RA 501 101\n +20\n c FA 101 501\n s R 501", (1, 2));
        // A FIN that only one side sent.
        check("c S 100\n s SA 500 101\n c FA 101 501\n +400\n c FA 101 501", (1, 1));
    }

    #[test]
    fn a_syn_or_new_payload_opens_a_flow() {
        check(&format!("{CLOSED}+20\n c S 9000"), (2, 0));
        check(&format!("{CLOSED}+20\n s SA 7000 9001"), (2, 0));
        check(&format!("{CLOSED}+20\n c A 105 502 \"more\""), (2, 0));
        check(&format!("{CLOSED}+20\n c A 90000000 502"), (2, 0));
        check(&format!("{CLOSED}+20\n c A 101 501 \"abc\""), (1, 1));
    }

    #[test]
    fn a_connection_is_forgotten_after_ten_minutes() {
        check(&format!("{CLOSED}+600\n s FA 501 105"), (1, 1));
        check(&format!("{CLOSED}+700\n s FA 501 105"), (2, 0));
    }

    #[test]
    fn an_idle_connection_that_nobody_closed_is_not_remembered() {
        check("c S 100\n s SA 500 101\n c A 101 501\n +3700\n c A 101 501", (2, 0));
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        const KEPT: u16 = (LIMIT / SHARDS) as u16;
        let mut ended = EndedFlows::default();
        let at = At { order: 0, frame: Default::default(), time: Default::default() };
        let key = |port| FlowKey::new(Endpoint { port, ..CLIENT }, SERVER, proto::TCP, 0).0;
        // Hashes with few different bits where a table looks for an entry.
        let hash =
            |port: u16| u64::from(port % 64).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ u64::from(port) << 32;
        for port in (0..20_000).chain(0..10) {
            let mut flow: LiveFlow<()> = LiveFlow::new(key(port), false, true, 0, at);
            flow.phase = FlowPhase::Closed;
            ended.add(hash(port), &flow);
        }
        assert_eq!((ended.flows.len(), ended.by_hash.len()), (usize::from(KEPT), usize::from(KEPT)));
        let header = TcpHeader { seq: 0, ack: 0, flags: TcpHeader::RST, window: 0, options: &[] };
        let reset = Packet { transport: Transport::Tcp(header), ..packet(CLIENT, SERVER, proto::TCP) };
        let seen = PacketCtx { packet: &reset, flipped: false, at, opened: 0 };
        let is_late = |port| ended.is_late(hash(port), seen, 0);
        assert!(is_late(9) && is_late(19_999), "closed again, and closed last");
        let first = 20_000 + 10 - KEPT;
        assert!(is_late(first), "the first that is kept");
        assert!(!is_late(first - 1) && !is_late(20), "forgotten");
    }

    #[test]
    fn of_connections_with_one_key_the_last_counts() {
        let mut ended = EndedFlows::default();
        let at = At { order: 0, frame: Default::default(), time: Default::default() };
        let key = FlowKey::new(CLIENT, SERVER, proto::TCP, 0).0;
        for active in [0, 1000] {
            let mut flow: LiveFlow<()> = LiveFlow::new(key, false, true, active, at);
            flow.phase = FlowPhase::Closed;
            ended.add(7, &flow);
        }
        assert_eq!((ended.flows.len(), ended.by_hash.len()), (2, 1));
        let header = TcpHeader { seq: 0, ack: 0, flags: TcpHeader::RST, window: 0, options: &[] };
        let reset = Packet { transport: Transport::Tcp(header), ..packet(CLIENT, SERVER, proto::TCP) };
        let seen = PacketCtx { packet: &reset, flipped: false, at, opened: 0 };
        assert!(ended.is_late(7, seen, 1000 + KEPT_SECS));
    }
}
