//! Flows whose packets the host itself dropped, by a rule of its own.
//!
//! In:  what an event trace reports as dropped of a flow, and how far the flow came.
//! Out: an assessment, where the drops stopped the flow.
//! Not: drops without a rule: a duplicate, a port without a listener, a full queue.
//!
//! A drop alone stops nothing: a rule may have been changed in time, and a virtual switch drops a packet at one port and
//! delivers it at another. So the flow must have come no further.

use crate::base::DropKind;
use crate::base::Side;
use crate::flow::FlowEnd;
use crate::flow::Handshake;
use crate::flow::HostDrops;
use crate::flow::TcpSummary;
use crate::judge::assessment::Assessment;
use crate::judge::catalogue::Mechanism;
use crate::judge::vocabulary::Confidence;

/// The assessment of a flow that the host itself stopped.
pub(super) fn assess_host_drops(flow_end: &FlowEnd) -> Option<Assessment> {
    let drops = flow_end.host_drops.as_deref()?;
    let is_stopped = drops.first.reason.kind() == DropKind::Policy
        && match &flow_end.tcp {
            Some(tcp) => is_tcp_stopped(flow_end, tcp, drops),
            None => is_every_response_dropped(flow_end.packets, drops),
        };
    is_stopped.then(|| Assessment::blocked(Mechanism::DroppedByHost, Confidence::Certain))
}

fn is_tcp_stopped(flow_end: &FlowEnd, tcp: &TcpSummary, drops: &HostDrops) -> bool {
    let [client, server] = &tcp.sides;
    let [_, dropped_of_server] = drops.packets;
    match tcp.handshake {
        Handshake::Unanswered | Handshake::HalfOpen => true,
        // The reset of a peer may be dropped as well, and is no less a refusal.
        Handshake::Refused => drops.sender == Side::Client,
        Handshake::Complete if client.data_segments > 0 && flow_end.bytes[1] == 0 => server.fins == 0,
        Handshake::Complete => server.data_segments > 0 && dropped_of_server >= server.data_segments,
        Handshake::Unseen => false,
    }
}

/// Without a response, or with responses that were all dropped.
const fn is_every_response_dropped([_, by_server]: [u64; 2], drops: &HostDrops) -> bool {
    let [_, dropped_of_server] = drops.packets;
    dropped_of_server as u64 >= by_server
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::DropReason;
    use crate::base::FrameRef;
    use crate::base::HostDrop;
    use crate::base::Time;
    use crate::base::WireText;
    use crate::judge::test_support;

    /// Drops for a reason: numbers of packets of the client and of the server.
    fn drops(reason: u32, packets: [u32; 2]) -> Option<Box<HostDrops>> {
        let first = HostDrop { component: WireText::default(), reason: DropReason(reason) };
        let sender = if packets[0] > 0 { Side::Client } else { Side::Server };
        Some(Box::new(HostDrops { first, frame: FrameRef::default(), sender, packets }))
    }

    fn tcp(handshake: Handshake, reason: u32, packets: [u32; 2]) -> FlowEnd {
        let mut flow_end = test_support::flow_end(Time(0), Time(0));
        flow_end.host_drops = drops(reason, packets);
        flow_end.tcp = Some(test_support::tcp_summary(handshake));
        flow_end
    }

    fn check(flow_end: &FlowEnd, expected: bool) {
        let blocked = Assessment::blocked(Mechanism::DroppedByHost, Confidence::Certain);
        assert_eq!(assess_host_drops(flow_end), expected.then_some(blocked), "{flow_end:?}");
    }

    const INSPECTION: u32 = 909;
    const DUPLICATE: u32 = 1217;

    #[test]
    fn a_handshake_that_a_rule_of_the_host_stopped_is_blocked() {
        check(&tcp(Handshake::Unanswered, INSPECTION, [3, 0]), true);
        check(&tcp(Handshake::HalfOpen, INSPECTION, [0, 3]), true);
        check(&tcp(Handshake::Refused, INSPECTION, [1, 0]), true);
        check(&tcp(Handshake::Refused, INSPECTION, [0, 1]), false);
        check(&tcp(Handshake::Unseen, INSPECTION, [0, 1]), false);
    }

    #[test]
    fn drops_without_a_rule_are_no_blocking() {
        check(&tcp(Handshake::Unanswered, DUPLICATE, [3, 0]), false);
        check(&tcp(Handshake::Unanswered, 4711, [3, 0]), false);
        check(&test_support::flow_end(Time(0), Time(0)), false);
    }

    #[test]
    fn a_flow_that_goes_on_after_a_drop_is_not_blocked() {
        let mut flow_end = tcp(Handshake::Complete, INSPECTION, [1, 0]);
        check(&flow_end, false);
        // A request that was dropped, without a response.
        if let Some(tcp) = &mut flow_end.tcp {
            tcp.sides[0].data_segments = 1;
        }
        check(&flow_end, true);
        // A response: one of two segments of the server was dropped, or both.
        flow_end.bytes = [100, 100];
        if let Some(tcp) = &mut flow_end.tcp {
            tcp.sides[1].data_segments = 2;
        }
        flow_end.host_drops = drops(INSPECTION, [0, 1]);
        check(&flow_end, false);
        flow_end.host_drops = drops(INSPECTION, [0, 2]);
        check(&flow_end, true);
    }

    #[test]
    fn datagrams_are_blocked_where_no_response_was_delivered() {
        let mut flow_end = test_support::flow_end(Time(0), Time(0));
        flow_end.host_drops = drops(INSPECTION, [1, 0]);
        flow_end.packets = [1, 0];
        check(&flow_end, true);
        flow_end.packets = [2, 1];
        check(&flow_end, false);
        flow_end.host_drops = drops(INSPECTION, [0, 1]);
        check(&flow_end, true);
    }
}
