//! Which live flows are reported before they end, because time shows something about them.
//!
//! In:  flows with a retransmitted SYN or with the server's first payload; the table's clock.
//! Out: the same flows, once enough time has passed for a late reply, an alert or a reset.
//! Not: what the report says.

use std::collections::VecDeque;

use super::consumer::Slot;
use super::context::PacketCtx;
use super::live_flow::FlowPhase;
use super::live_flow::LiveFlow;
use super::live_flow::data_len;
use crate::base::Side;
use crate::decode::Packet;
use crate::decode::TcpHeader;
use crate::decode::Transport;

/// Seconds of the table's clock between packet and report. A clock of whole seconds makes it one to two seconds.
const DELAY_SECS: u64 = 2;

/// Flows that wait for their report. Of more, the end is reported.
const MAX_WAITING: usize = 1 << 14;

/// The flows that wait, in the order of their reports.
#[derive(Debug, Default)]
pub(super) struct EarlyReports(VecDeque<WaitingFlow>);

/// A slot may belong to another flow meanwhile.
#[derive(Debug)]
struct WaitingFlow {
    due: u64,
    slot: Slot,
    opened: u64,
}

impl EarlyReports {
    /// Notes a packet that was added to its flow.
    pub(super) fn note<S>(&mut self, flow: &LiveFlow<S>, slot: Slot, seen: PacketCtx<'_>, now: u64) {
        let PacketCtx { packet, flipped, .. } = seen;
        let is_wanted = is_retransmitted_syn(flow, packet) || is_first_reply(flow, packet, flipped);
        if is_wanted && self.0.len() < MAX_WAITING {
            self.0.push_back(WaitingFlow { due: now.saturating_add(DELAY_SECS), slot, opened: flow.opened });
        }
    }

    /// The next flow whose report is due: its slot, and the order of its first frame.
    pub(super) fn take_due(&mut self, now: u64) -> Option<(Slot, u64)> {
        if self.0.front()?.due > now {
            return None;
        }
        self.0.pop_front().map(|waiting| (waiting.slot, waiting.opened))
    }
}

fn is_retransmitted_syn<S>(flow: &LiveFlow<S>, packet: &Packet<'_>) -> bool {
    let is_syn = matches!(packet.transport, Transport::Tcp(header) if header.has(TcpHeader::SYN));
    let syns = || flow.details.as_ref().and_then(|details| details.sides.first()).map_or(0, |side| side.syns);
    is_syn && flow.phase == FlowPhase::Attempt && syns() > 1
}

/// The server's first payload, after a request.
fn is_first_reply<S>(flow: &LiveFlow<S>, packet: &Packet<'_>, flipped: bool) -> bool {
    let len = data_len(packet);
    let [by_client, by_server] = flow.bytes;
    len > 0 && flow.side(flipped) == Side::Server && by_server == len && by_client > 0
}
