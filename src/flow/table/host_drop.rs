//! Notes which packets of a flow the host itself dropped.
//!
//! In:  packets that an event trace reports as dropped.
//! Out: [`HostDrops`] of their flows.
//! Not: a delivery: the payload of a dropped packet reaches no reader, and acknowledges nothing.

use std::hash::BuildHasher;

use super::FlowTable;
use crate::base::HostDrop;
use crate::decode::Packet;
use crate::decode::TcpHeader;
use crate::decode::Transport;
use crate::flow::consumer::At;
use crate::flow::consumer::StreamConsumer;
use crate::flow::live_flow::LiveFlow;
use crate::flow::orientation::flow_key;
use crate::flow::record::HostDrops;
use crate::flow::shard::shard_of;

/// That the host dropped a packet, and why.
#[derive(Clone, Copy, Debug)]
pub struct DroppedPacket<'a> {
    /// The component and its reason.
    pub drop: &'a HostDrop,
    /// The packet was logged before by another component, and followed then.
    pub is_duplicate: bool,
}

impl<S: Default> FlowTable<S> {
    /// Notes a dropped packet in its flow.
    ///
    /// A packet that no other component logged opens the flow if there is none, and a SYN counts as an attempt. Others change
    /// nothing else.
    pub fn accept_dropped<L: StreamConsumer<State = S>>(
        &mut self,
        packet: &Packet<'_>,
        DroppedPacket { drop, is_duplicate }: DroppedPacket<'_>,
        at: At,
        consumer: &mut L,
    ) {
        if matches!(packet.transport, Transport::Icmp { quoted: Some(_), .. }) {
            return;
        }
        let (key, flipped) = flow_key(packet);
        let (shard, hash) = (shard_of(packet), self.hasher.hash_one(key));
        let Some(is_known) = self.shards.get(shard).map(|shard| shard.find(hash, &key).is_some()) else {
            return;
        };
        if !is_duplicate && (!is_known || is_attempt(packet)) {
            let without_payload = Packet { payload: &[], payload_len: 0, ..*packet };
            let before = self.counts.packets;
            self.accept(&without_payload, at, consumer);
            self.counts.dropped_attempts += self.counts.packets - before;
        }
        let now = self.clock.now();
        let Some(table) = self.shards.get_mut(shard) else { return };
        if let Some(index) = table.find(hash, &key)
            && let Some(flow) = table.get_mut(index)
        {
            flow.last_time = flow.last_time.max(at.time);
            flow.last_frame = flow.last_frame.max(at.frame.pack());
            flow.active = now;
            note_drop(flow, drop, flipped, at);
        }
    }
}

/// A SYN that opens a connection.
const fn is_attempt(packet: &Packet<'_>) -> bool {
    matches!(packet.transport, Transport::Tcp(header) if header.has(TcpHeader::SYN) && !header.has(TcpHeader::ACK))
}

fn note_drop<S>(flow: &mut LiveFlow<S>, drop: &HostDrop, flipped: bool, at: At) {
    let sender = flow.side(flipped);
    let known = &mut flow.details().host_drops;
    let is_first = known.as_ref().is_none_or(|known| drop.reason.kind() < known.first.reason.kind());
    if is_first {
        let drops = HostDrops { first: drop.clone(), frame: at.frame, sender, packets: [0; 2] };
        *known = Some(Box::new(drops));
    }
    if let Some(known) = known
        && known.first.reason.kind() == drop.reason.kind()
        && let Some(packets) = known.packets.get_mut(sender.index())
    {
        *packets = packets.saturating_add(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::DropReason;
    use crate::base::Side;
    use crate::base::WireText;
    use crate::flow::Handshake;
    use crate::flow::limits::FlowLimits;
    use crate::flow::record::FlowEnd;
    use crate::flow::test_support::TestTable;

    /// The flow of a script in which the packets that a line `drop` follows were dropped.
    fn check(script: &str, expected: impl FnOnce(&FlowEnd) -> bool) {
        let mut table = TestTable::new(FlowLimits::default());
        table.play(script);
        table.finish();
        let ends = &table.recorder.ends;
        assert_eq!(ends.len(), 1, "{script}");
        assert!(expected(&ends[0]), "{script}: {:?}", ends[0]);
    }

    fn drops(end: &FlowEnd) -> Option<(u32, Side, [u32; 2])> {
        end.host_drops.as_ref().map(|drops| (drops.first.reason.0, drops.sender, drops.packets))
    }

    #[test]
    fn a_dropped_syn_is_an_attempt_that_was_not_delivered() {
        check("c S 100 drop=909\n +1\n c S 100 drop=909", |end| {
            let is_unanswered = end.tcp.is_some_and(|tcp| tcp.handshake == Handshake::Unanswered);
            is_unanswered && end.packets == [2, 0] && drops(end) == Some((909, Side::Client, [2, 0]))
        });
    }

    #[test]
    fn a_dropped_syn_ack_does_not_complete_the_handshake() {
        check("c S 100\n s SA 500 101 drop=1207", |end| {
            let is_unanswered = end.tcp.is_some_and(|tcp| tcp.handshake == Handshake::Unanswered);
            is_unanswered && end.packets == [1, 0] && drops(end) == Some((1207, Side::Server, [0, 1]))
        });
    }

    #[test]
    fn the_payload_of_a_dropped_packet_reaches_no_reader() {
        let mut table = TestTable::new(FlowLimits::default());
        table.play("c udp \"query\" drop=909\n c udp \"query\" drop=909");
        let calls = table.finish();
        assert!(!calls.contains("query"), "{calls}");
        assert_eq!(drops(&table.recorder.ends[0]), Some((909, Side::Client, [2, 0])));
    }

    #[test]
    fn a_drop_by_a_rule_has_priority() {
        check("c S 100\n s SA 500 101 drop=1217\n s SA 500 101 drop=909\n s SA 500 101 drop=1217", |end| {
            drops(end) == Some((909, Side::Server, [0, 1]))
        });
    }

    #[test]
    fn a_duplicate_counts_as_a_drop_only() {
        let mut table = TestTable::new(FlowLimits::default());
        table.play("c S 100\n c S 100 drop=909 duplicate");
        table.finish();
        let end = &table.recorder.ends[0];
        assert_eq!((end.packets, drops(end)), ([1, 0], Some((909, Side::Client, [1, 0]))));
        let component = WireText::printable("tcpip.sys".to_owned());
        assert_eq!(end.host_drops.as_ref().unwrap().first, HostDrop { component, reason: DropReason(909) });
    }
}
