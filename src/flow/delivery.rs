//! Delivers payload to the consumer.
//!
//! In:  packets of one flow, after its counters were updated.
//! Out: streams and datagrams to a [`StreamConsumer`]; the flow's reassembly, which ends when the consumer is done.
//! Not: the order of bytes; see `stream`.

use super::consumer::At;
use super::consumer::Payload;
use super::consumer::ReadProgress;
use super::consumer::Slot;
use super::consumer::StreamConsumer;
use super::consumer::StreamEnd;
use super::context::PacketCtx;
use super::context::TableCtx;
use super::key::Endpoint;
use super::limits::FlowCounts;
use super::live_flow::FlowPhase;
use super::live_flow::LiveFlow;
use super::sequence::SequenceSpace;
use super::stream::DeliveryCtx;
use super::stream::Reassembly;
use super::stream::Segment;
use super::tcp;
use crate::base::FrameRef;
use crate::base::Side;
use crate::decode::Packet;
use crate::decode::TcpHeader;

/// Delivers a datagram.
pub(super) fn deliver_datagram<L: StreamConsumer>(
    flow: &mut LiveFlow<L::State>,
    slot: Slot,
    seen: PacketCtx<'_>,
    ctx: &mut TableCtx<'_, L>,
) {
    let PacketCtx { packet, flipped, at, .. } = seen;
    if packet.payload.is_empty() || flow.done {
        return;
    }
    let side = flow.side(flipped);
    let flow_ref = flow.flow_ref(slot);
    let state = &mut flow.reassembly.get_or_insert_default().state;
    let payload = Payload { side, bytes: packet.payload, at };
    let progress = ctx.consumer.datagram(&flow_ref, state, payload, packet.payload_len);
    match progress {
        ReadProgress::NeedMore { .. } => flow.phase = FlowPhase::Datagram,
        ReadProgress::Idle => {
            flow.reassembly = None;
            flow.phase = FlowPhase::Answered;
        }
        ReadProgress::Done => {
            flow.reassembly = None;
            flow.done = true;
        }
    }
}

/// Delivers a segment's payload, and its ACK to the peer's stream.
#[inline]
pub(super) fn deliver_segment<L: StreamConsumer>(
    flow: &mut LiveFlow<L::State>,
    slot: Slot,
    header: &TcpHeader<'_>,
    seen: PacketCtx<'_>,
    ctx: &mut TableCtx<'_, L>,
) {
    let side = flow.side(seen.flipped);
    if flow.done || header.has(TcpHeader::RST) || tcp::is_foreign(flow, header, side) {
        return;
    }
    if !seen.packet.payload.is_empty() || seen.packet.payload_len > 0 {
        deliver_payload(flow, slot, header, seen, ctx);
    }
    if flow.reassembly.is_some() && header.has(TcpHeader::ACK) {
        deliver_ack(flow, slot, header, seen, ctx);
    }
}

/// Passes an ACK on to the peer's stream. Like payload, few packets of a flow have one that is of interest: not inlined.
#[inline(never)]
fn deliver_ack<L: StreamConsumer>(
    flow: &mut LiveFlow<L::State>,
    slot: Slot,
    header: &TcpHeader<'_>,
    seen: PacketCtx<'_>,
    ctx: &mut TableCtx<'_, L>,
) {
    let side = flow.side(seen.flipped).other();
    let flow_ref = flow.flow_ref(slot);
    if let Some(reassembly) = &mut flow.reassembly {
        let (state, stream) = reassembly.state_and_stream(side);
        let mut delivery = DeliveryCtx { flow: &flow_ref, side, at: seen.at, state, consumer: ctx.consumer };
        stream.acknowledge(header.ack, &mut delivery);
    }
    drop_if_done(flow, ctx.counts);
}

#[inline(never)]
fn deliver_payload<L: StreamConsumer>(
    flow: &mut LiveFlow<L::State>,
    slot: Slot,
    header: &TcpHeader<'_>,
    seen: PacketCtx<'_>,
    ctx: &mut TableCtx<'_, L>,
) {
    let PacketCtx { packet, flipped, at, .. } = seen;
    if is_keep_alive(flow, packet, flow.side(flipped)) {
        return;
    }
    if !flow.roles_known {
        flow.roles_known = true;
        let from = Endpoint { address: packet.src, port: packet.src_port };
        let to = Endpoint { address: packet.dst, port: packet.dst_port };
        let is_client = ctx.consumer.sender_is_client(packet.protocol, from, to, packet.payload);
        if is_client.is_some_and(|is_client| is_client != (flow.side(flipped) == Side::Client)) {
            flow.swap();
            ctx.consumer.swapped(&flow.flow_ref(slot), at);
        }
    }
    let side = flow.side(flipped);
    let flow_ref = flow.flow_ref(slot);
    if flow.reassembly.is_none() {
        let mut reassembly = Box::<Reassembly<L::State>>::default();
        for side in [Side::Client, Side::Server] {
            if let Some(initial) = flow.initial(side) {
                reassembly.state_and_stream(side).1.start(initial.wrapping_add(1));
            }
        }
        flow.reassembly = Some(reassembly);
    }
    let Some(reassembly) = &mut flow.reassembly else { return };
    let segment = Segment {
        seq: header.seq.wrapping_add(u32::from(header.has(TcpHeader::SYN))),
        bytes: packet.payload,
        truncated: packet.payload_len.saturating_sub(packet.payload.len() as u32),
    };
    let (state, stream) = reassembly.state_and_stream(side);
    let mut delivery = DeliveryCtx { flow: &flow_ref, side, at, state, consumer: ctx.consumer };
    stream.accept(segment, ctx.limits.stream_bytes, &mut delivery);
    drop_if_done(flow, ctx.counts);
}

/// The first segment of a side seen midstream has a single byte: Windows sends keep-alives (RFC 9293 §3.8.4) so. The byte
/// repeats one of unknown value; before the real bytes it would hide which protocol they are.
fn is_keep_alive<S>(flow: &LiveFlow<S>, packet: &Packet<'_>, side: Side) -> bool {
    packet.payload_len == 1
        && !flow.sequence(side).has(SequenceSpace::SYN)
        && flow.reassembly.as_ref().is_none_or(|reassembly| !reassembly.stream(side).has_started())
}

/// Drops the reassembly once the consumer is done with both streams.
fn drop_if_done<S>(flow: &mut LiveFlow<S>, counts: &mut FlowCounts) {
    if let Some(reassembly) =
        flow.reassembly.take_if(|reassembly| reassembly.streams.iter().all(|stream| stream.done))
    {
        flow.done = true;
        for (side, stream) in [Side::Client, Side::Server].into_iter().zip(&reassembly.streams) {
            count_end(stream.end, counts);
            flow.note_differing(side, stream.differing);
        }
    }
}

/// Ends the streams of a flow: passes on the contiguous bytes and drops the rest. Returns the consumer's state, and the time
/// of the flow's last packet.
pub(super) fn end_streams<L: StreamConsumer>(
    flow: &mut LiveFlow<L::State>,
    slot: Slot,
    why: StreamEnd,
    at: At,
    ctx: &mut TableCtx<'_, L>,
) -> Option<(L::State, At)> {
    let mut reassembly = flow.reassembly.take()?;
    let flow_ref = flow.flow_ref(slot);
    let at = At { frame: FrameRef::unpack(flow.last_frame), time: flow.last_time, ..at };
    for side in [Side::Client, Side::Server] {
        let (state, stream) = reassembly.state_and_stream(side);
        let mut delivery = DeliveryCtx { flow: &flow_ref, side, at, state, consumer: ctx.consumer };
        stream.end(why, &mut delivery);
        flow.note_differing(side, stream.differing);
        count_end(stream.end, ctx.counts);
    }
    Some((reassembly.state, at))
}

/// Counts a stream that ended before the consumer was done.
fn count_end(end: Option<StreamEnd>, counts: &mut FlowCounts) {
    match end {
        Some(StreamEnd::LimitReached) => counts.capped_streams += 1,
        Some(StreamEnd::MissingBytes | StreamEnd::Truncated) => counts.cut_streams += 1,
        Some(StreamEnd::FlowEnded) | None => {}
    }
}

#[cfg(test)]
mod tests {
    use crate::base::Side;
    use crate::flow::FlowLimits;
    use crate::flow::ReadProgress;
    use crate::flow::ResetEvidence;
    use crate::flow::test_support::TestTable;
    use crate::flow::test_support::fields;

    /// Plays a script; `expected` is every call of the consumer. `sender_is_client` is what payload shows midstream.
    fn check(sender_is_client: Option<bool>, script: &str, expected: &[&str]) {
        let mut table = TestTable::new(FlowLimits::default());
        table.recorder.sender_is_client = sender_is_client;
        table.play(script);
        assert_eq!(table.finish().lines().collect::<Vec<_>>(), expected, "{script}");
    }

    #[test]
    fn payload_in_a_syn_is_delivered() {
        check(
            None,
            "c S 100 0 \"GET\"\n s SA 500 104\n c A 104 501 \"/\"",
            &["opened by c", r#"c "GET""#, r#"c "/""#, "closed CaptureEnded"],
        );
    }

    #[test]
    fn midstream_payload_swaps_client_and_server() {
        // By its port the sender is the server; its request shows that it is the client.
        let expected =
            ["opened by c midstream", "swapped", r#"c "GET""#, r#"s "200""#, "closed CaptureEnded"];
        check(Some(true), "s A 501 101\n s A 501 101 \"GET\"\n c A 101 504 \"200\"", &expected);
        // A handshake leaves no doubt.
        let expected = ["opened by c", r#"c "GET""#, "closed CaptureEnded"];
        check(Some(false), "c S 100\n s SA 500 101\n c A 101 501 \"GET\"", &expected);
    }

    #[test]
    fn counters_gaps_and_errors_are_swapped_with_the_sides() {
        let mut table = TestTable::new(FlowLimits::default());
        table.recorder.sender_is_client = Some(true);
        table.play(
            "s A 501 101 ttl=52 win=0\n c icmp 3 1 501\n s A 511 101 \"GET\" ttl=52\n s R 514 0 ttl=40",
        );
        table.finish();
        let end = table.recorder.ends.pop().unwrap();
        let [client, server] = end.tcp.unwrap().sides;
        let expected = "resets=1 data=1 zero_windows=1 missing=10 unacked=13 missing_tail=10";
        assert_eq!((fields(&client).as_str(), fields(&server).as_str()), (expected, ""));
        assert!(client.reset_evidence.has(ResetEvidence::HOP_LIMIT));
        assert_eq!(end.icmp.unwrap().about, Side::Client);
    }

    #[test]
    fn a_keep_alive_before_the_first_bytes_is_not_payload() {
        check(
            None,
            "c A 100 501 \"?\"\n c A 101 501 \"GET\"",
            &["opened by c midstream", r#"c "GET""#, "closed CaptureEnded"],
        );
        // After the handshake a single byte is the first of the stream.
        check(
            None,
            "c S 99\n s SA 500 100\n c A 100 501 \"?\"",
            &["opened by c", r#"c "?""#, "closed CaptureEnded"],
        );
    }

    #[test]
    fn nothing_is_delivered_once_the_consumer_is_done() {
        let mut table = TestTable::new(FlowLimits::default());
        table.recorder.progress = |_| ReadProgress::Done;
        table.play("c A 101 501 \"abc\"\n c A 104 501 \"de\"\n s A 501 106 \"xyz\"\n s A 504 106 \"!\"");
        assert_eq!(table.recorder.calls, ["opened by c midstream", r#"c "abc""#, r#"s "xyz""#]);
        let mut table = TestTable::new(FlowLimits::default());
        table.recorder.progress = |_| ReadProgress::Done;
        table.play("c udp \"abc\"\n s udp \"xyz\"");
        assert_eq!(table.recorder.calls, ["opened by c", r#"c "abc""#]);
    }

    #[test]
    fn streams_that_end_early_are_counted_once_each() {
        let counts = |script: &str| {
            let mut table = TestTable::new(FlowLimits { stream_bytes: 4, ..FlowLimits::default() });
            table.recorder.progress = |_| ReadProgress::NeedMore { consumed: 0, need: 0 };
            table.play(script);
            table.finish();
            let counts = table.table.counts();
            (counts.capped_streams, counts.cut_streams)
        };
        assert_eq!(counts("c A 101 501 \"abcde\"\n s A 501 106 \"xyz\" cut=1"), (1, 1));
        assert_eq!(counts("c A 101 501 \"abcde\"\n s A 501 106 \"vwxyz\""), (2, 0));
        assert_eq!(counts("c A 101 501 \"abc\"\n s A 501 104 \"xyz\""), (0, 0));
        assert_eq!(counts("c A 101 501 \"abcde\"\n c A 106 501 \"f\""), (1, 0));
    }
}
