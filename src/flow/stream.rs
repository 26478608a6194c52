//! Reassembles one side's bytes until the consumer needs no more.
//!
//! In:  segments in capture order.
//! Out: contiguous bytes to a [`StreamConsumer`]; a segment in order is delivered without copying it.
//! Not: bytes after the consumer is done; nothing is kept of them.

use super::consumer::At;
use super::consumer::FlowRef;
use super::consumer::Payload;
use super::consumer::ReadProgress;
use super::consumer::StreamConsumer;
use super::consumer::StreamEnd;
use super::sequence::ahead;
use crate::base::Side;
use crate::base::Time;

/// For how long a segment may follow its ACK in the capture before it counts as missing: mirror ports reorder.
const REORDER_NANOS: u64 = 1_000_000_000;

/// Out-of-order segments held at once. More end the stream.
const PENDING_SEGMENTS: usize = 64;

/// What is held of a flow until its consumer is done: the consumer's state and both streams.
#[derive(Debug, Default)]
pub(super) struct Reassembly<S> {
    pub(super) state: S,
    pub(super) streams: [Stream; 2],
    /// Bytes held, as measured last.
    pub(super) held: usize,
}

impl<S> Reassembly<S> {
    pub(super) fn stream(&self, side: Side) -> &Stream {
        let [client, server] = &self.streams;
        match side {
            Side::Client => client,
            Side::Server => server,
        }
    }

    /// The consumer's state, and the stream of one side.
    pub(super) fn state_and_stream(&mut self, side: Side) -> (&mut S, &mut Stream) {
        let [client, server] = &mut self.streams;
        match side {
            Side::Client => (&mut self.state, client),
            Side::Server => (&mut self.state, server),
        }
    }

    /// Measures the bytes held.
    #[inline]
    pub(super) fn measure<L: StreamConsumer<State = S>>(&mut self, consumer: &L) -> usize {
        let [client, server] = &self.streams;
        let own = size_of::<Reassembly<S>>() + client.held_bytes() + server.held_bytes();
        self.held = own + consumer.held(&self.state);
        self.held
    }
}

/// One side's bytes that wait for bytes before them, or for more after them.
#[derive(Debug, Default)]
pub(super) struct Stream {
    /// Sequence number of the first byte of `held`, valid once `started`.
    base: u32,
    /// Contiguous bytes that the consumer has not consumed.
    held: Vec<u8>,
    /// Segments after a gap, by sequence number, without overlap.
    pending: Vec<(u32, Vec<u8>)>,
    /// Bytes in `pending`.
    pending_bytes: usize,
    /// How many unread bytes the next delivery needs.
    need: usize,
    /// When the peer first ACKed bytes in the gap.
    acked_unseen_since: Option<Time>,
    /// The number of the first byte is known.
    started: bool,
    /// The consumer needs no more.
    pub(super) done: bool,
    /// Why the stream ended before the consumer was done.
    pub(super) end: Option<StreamEnd>,
    /// Segments that overlap earlier ones with different data.
    pub(super) differing: u32,
}

/// The payload of a TCP segment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment<'a> {
    pub(super) seq: u32,
    pub(super) bytes: &'a [u8],
    /// Bytes of the payload after `bytes` that the capture truncated.
    pub(super) truncated: u32,
}

/// Where a stream delivers to.
pub(super) struct DeliveryCtx<'a, L: StreamConsumer> {
    pub(super) flow: &'a FlowRef,
    pub(super) side: Side,
    pub(super) at: At,
    pub(super) state: &'a mut L::State,
    pub(super) consumer: &'a mut L,
}

impl<L: StreamConsumer> DeliveryCtx<'_, L> {
    fn deliver(&mut self, bytes: &[u8]) -> ReadProgress {
        self.consumer.stream(self.flow, self.state, Payload { side: self.side, bytes, at: self.at })
    }
}

impl Stream {
    /// Sets the number of the first byte, if it is not known yet.
    pub(super) fn start(&mut self, first: u32) {
        if !self.started {
            self.started = true;
            self.base = first;
        }
    }

    /// The number of the first byte is known.
    pub(super) fn has_started(&self) -> bool {
        self.started
    }

    /// The number after the last contiguous byte.
    fn next(&self) -> u32 {
        self.base.wrapping_add(self.held.len() as u32)
    }

    /// Memory in use.
    #[inline]
    fn held_bytes(&self) -> usize {
        self.held.capacity() + self.pending_bytes
    }

    /// Adds a segment; delivers what became contiguous. `limit` is the number of bytes that may be held.
    pub(super) fn accept<L: StreamConsumer>(
        &mut self,
        segment: Segment<'_>,
        limit: usize,
        ctx: &mut DeliveryCtx<'_, L>,
    ) {
        if self.done || (segment.bytes.is_empty() && segment.truncated == 0) {
            return;
        }
        self.start(segment.seq);
        let distance = ahead(segment.seq, self.next());
        if distance > 0 {
            self.keep(segment, distance as usize, limit);
            if segment.truncated > 0 {
                self.end(StreamEnd::Truncated, ctx);
            } else if self.pending.len() > PENDING_SEGMENTS || self.pending_bytes > limit {
                self.end(StreamEnd::LimitReached, ctx);
            }
            return;
        }
        let known = distance.unsigned_abs() as usize;
        self.compare(segment);
        let Some(new) = segment.bytes.get(known..).filter(|new| !new.is_empty()) else {
            if segment.truncated > 0 && known < segment.bytes.len() + segment.truncated as usize {
                self.end(StreamEnd::Truncated, ctx);
            }
            return;
        };
        if self.held.is_empty() && self.pending.is_empty() && segment.truncated == 0 && new.len() >= self.need
        {
            self.deliver_borrowed(new, limit, ctx);
        } else {
            self.held.extend_from_slice(new);
            self.join_pending();
            self.deliver_held(limit, ctx);
        }
        if segment.truncated > 0 && !self.done {
            self.end(StreamEnd::Truncated, ctx);
        }
    }

    /// The peer ACKed up to `ack`. If that is beyond a gap, the capture missed the bytes in it, unless they are only reordered.
    pub(super) fn acknowledge<L: StreamConsumer>(&mut self, ack: u32, ctx: &mut DeliveryCtx<'_, L>) {
        if self.done || self.pending.is_empty() || ahead(ack, self.next()) <= 0 {
            return;
        }
        match self.acked_unseen_since {
            None => self.acked_unseen_since = Some(ctx.at.time),
            Some(since) if ctx.at.time.since(since) >= REORDER_NANOS => {
                self.end(StreamEnd::MissingBytes, ctx);
            }
            Some(_) => {}
        }
    }

    /// Ends the stream before the consumer is done: passes on the contiguous bytes and drops the rest.
    pub(super) fn end<L: StreamConsumer>(&mut self, why: StreamEnd, ctx: &mut DeliveryCtx<'_, L>) {
        if self.done || !self.started {
            return;
        }
        if why != StreamEnd::FlowEnded || !self.held.is_empty() || !self.pending.is_empty() {
            let payload = Payload { side: ctx.side, bytes: &self.held, at: ctx.at };
            ctx.consumer.stream_ended(ctx.flow, ctx.state, payload, why);
        }
        self.end = Some(why);
        self.finish();
    }

    fn finish(&mut self) {
        self.done = true;
        self.held = Vec::new();
        self.pending = Vec::new();
        self.pending_bytes = 0;
    }

    /// Delivers bytes of the current frame; copies only what the consumer leaves.
    fn deliver_borrowed<L: StreamConsumer>(
        &mut self,
        mut bytes: &[u8],
        limit: usize,
        ctx: &mut DeliveryCtx<'_, L>,
    ) {
        loop {
            match ctx.deliver(bytes) {
                ReadProgress::Done | ReadProgress::Idle => return self.finish(),
                ReadProgress::NeedMore { consumed, need } => {
                    let consumed = consumed.min(bytes.len());
                    bytes = bytes.get(consumed..).unwrap_or_default();
                    self.base = self.base.wrapping_add(consumed as u32);
                    self.need = need;
                    if consumed == 0 || bytes.is_empty() || bytes.len() < need {
                        break;
                    }
                }
            }
        }
        self.held.extend_from_slice(bytes);
        self.check_limit(limit, ctx);
    }

    fn deliver_held<L: StreamConsumer>(&mut self, limit: usize, ctx: &mut DeliveryCtx<'_, L>) {
        while !self.held.is_empty() && self.held.len() >= self.need {
            match ctx.deliver(&self.held) {
                ReadProgress::Done | ReadProgress::Idle => return self.finish(),
                ReadProgress::NeedMore { consumed, need } => {
                    let consumed = consumed.min(self.held.len());
                    self.held.drain(..consumed);
                    self.base = self.base.wrapping_add(consumed as u32);
                    self.need = need;
                    if consumed == 0 {
                        break;
                    }
                }
            }
        }
        self.check_limit(limit, ctx);
    }

    fn check_limit<L: StreamConsumer>(&mut self, limit: usize, ctx: &mut DeliveryCtx<'_, L>) {
        if self.held.len() > limit || self.need > limit {
            self.end(StreamEnd::LimitReached, ctx);
        }
    }

    /// Keeps those bytes of a segment after a gap that no pending segment has: the first copy is used.
    fn keep(&mut self, segment: Segment<'_>, distance: usize, limit: usize) {
        if distance > limit {
            // The gap alone is larger than the limit. Counts against it, so that the stream ends.
            self.pending_bytes = self.pending_bytes.saturating_add(limit).saturating_add(1);
            return;
        }
        let mut seq = segment.seq;
        let mut bytes = segment.bytes;
        let mut index = 0;
        while let Some((other_seq, other)) = self.pending.get(index) {
            if bytes.is_empty() {
                return;
            }
            let other_end = other_seq.wrapping_add(other.len() as u32);
            if ahead(seq, other_end) >= 0 {
                index += 1;
                continue;
            }
            let before = ahead(*other_seq, seq).max(0) as usize;
            if before >= bytes.len() {
                break;
            }
            let (head, rest) = bytes.split_at(before);
            let rest_seq = seq.wrapping_add(before as u32);
            let skip = ahead(rest_seq, *other_seq).max(0) as usize;
            let same = other.get(skip..).unwrap_or_default();
            let overlap = same.len().min(rest.len());
            self.differing += u32::from(same.get(..overlap) != rest.get(..overlap));
            if !head.is_empty() {
                self.pending_bytes += head.len();
                self.pending.insert(index, (seq, head.to_vec()));
                index += 1;
            }
            index += 1;
            bytes = rest.get(overlap..).unwrap_or_default();
            seq = rest_seq.wrapping_add(overlap as u32);
        }
        if !bytes.is_empty() {
            self.pending_bytes += bytes.len();
            self.pending.insert(index, (seq, bytes.to_vec()));
        }
    }

    /// Moves pending segments that became contiguous to the held bytes.
    fn join_pending(&mut self) {
        let mut joined = 0;
        while let Some((seq, bytes)) = self.pending.get(joined) {
            let distance = ahead(*seq, self.next());
            if distance > 0 {
                break;
            }
            let known = distance.unsigned_abs() as usize;
            // Where both have the same bytes with different data, those in `held` are used.
            let held_from = self.held.len().saturating_sub(known);
            let overlap = known.min(bytes.len()).min(self.held.len());
            let held = self.held.get(held_from..held_from + overlap);
            if known <= self.held.len() && held != bytes.get(..overlap) {
                self.differing += 1;
            }
            self.held.extend_from_slice(bytes.get(known..).unwrap_or_default());
            self.pending_bytes = self.pending_bytes.saturating_sub(bytes.len());
            joined += 1;
        }
        self.pending.drain(..joined);
        if joined > 0 {
            self.acked_unseen_since = None;
        }
    }

    /// Counts a segment that overlaps the held bytes with different data.
    fn compare(&mut self, segment: Segment<'_>) {
        let offset = ahead(segment.seq, self.base);
        let (held, bytes) = if offset >= 0 {
            (self.held.get(offset as usize..).unwrap_or_default(), segment.bytes)
        } else {
            let consumed = offset.unsigned_abs() as usize;
            (self.held.as_slice(), segment.bytes.get(consumed..).unwrap_or_default())
        };
        let overlap = held.len().min(bytes.len());
        self.differing += u32::from(held.get(..overlap) != bytes.get(..overlap));
    }
}

#[cfg(test)]
mod tests {
    use super::PENDING_SEGMENTS;
    use crate::flow::FlowLimits;
    use crate::flow::ReadProgress;
    use crate::flow::test_support::TestTable;

    /// Needs more than it gets.
    fn wait(_: &[u8]) -> ReadProgress {
        ReadProgress::NeedMore { consumed: 0, need: 0 }
    }

    fn consume(bytes: &[u8]) -> ReadProgress {
        ReadProgress::NeedMore { consumed: bytes.len(), need: 0 }
    }

    /// Client's segments after a handshake in which its initial sequence number was 99: the first byte is number 100. At most 8
    /// bytes are held. `expected` is what the consumer gets, without the flow's start and end.
    fn check(progress: fn(&[u8]) -> ReadProgress, script: &str, expected: &[&str]) {
        let mut table = TestTable::new(FlowLimits { stream_bytes: 8, ..FlowLimits::default() });
        table.recorder.progress = progress;
        table.play("c S 99\n s SA 500 100\n c A 100 501");
        table.play(script);
        let calls = table.finish();
        let calls: Vec<&str> = calls
            .lines()
            .filter(|call| call.starts_with(['c', 's']) && !call.starts_with("closed"))
            .collect();
        assert_eq!(calls, expected, "{script}");
    }

    #[test]
    fn bytes_in_order_are_delivered_as_they_come() {
        check(
            consume,
            "c A 100 501 \"abc\"\n s A 501 103 \"xy\"\n c A 103 503 \"d\"",
            &[r#"c "abc""#, r#"s "xy""#, r#"c "d""#],
        );
        // What is not consumed is delivered again, with what follows it; the end of the flow passes it on.
        check(
            wait,
            "c A 100 501 \"abc\"\n c A 103 501 \"de\"",
            &[r#"c "abc""#, r#"c "abcde""#, r#"c FlowEnded "abcde""#],
        );
    }

    #[test]
    fn the_next_delivery_has_the_bytes_that_it_needs() {
        let needs_four = |bytes: &[u8]| match bytes.len() {
            0..4 => ReadProgress::NeedMore { consumed: 0, need: 4 },
            _ => ReadProgress::Done,
        };
        check(
            needs_four,
            "c A 100 501 \"ab\"\n c A 102 501 \"c\"\n c A 103 501 \"de\"\n c A 105 501 \"f\"",
            &[r#"c "ab""#, r#"c "abcde""#],
        );
        // More than may be held.
        check(
            |_| ReadProgress::NeedMore { consumed: 1, need: 8 },
            "c A 100 501 \"ab\"",
            &[r#"c "ab""#, r#"c FlowEnded "b""#],
        );
        check(
            |_| ReadProgress::NeedMore { consumed: 1, need: 9 },
            "c A 100 501 \"ab\"",
            &[r#"c "ab""#, r#"c LimitReached "b""#],
        );
    }

    #[test]
    fn segments_in_any_order_give_the_stream() {
        let segments = ["c A 100 501 \"ab\"", "c A 102 501 \"cd\"", "c A 104 501 \"e\""];
        for order in [[0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
            let mut table = TestTable::new(FlowLimits::default());
            table.play("c S 99\n s SA 500 100");
            table.play(&order.map(|index| segments[index]).join("\n"));
            let delivered: String =
                table.recorder.calls.iter().filter_map(|call| call.strip_prefix("c ")).collect();
            assert_eq!(delivered.replace('"', ""), "abcde", "{order:?}");
        }
    }

    #[test]
    fn overlapping_segments_are_delivered_once() {
        check(
            consume,
            "c A 100 501 \"abc\"\n c A 101 501 \"bcde\"\n c A 100 501 \"abcde\"",
            &[r#"c "abc""#, r#"c "de""#],
        );
        // A segment that covers a pending one on both sides, and one that two pending ones cover in part.
        check(consume, "c A 103 501 \"d\"\n c A 102 501 \"cde\"\n c A 100 501 \"ab\"", &[r#"c "abcde""#]);
        check(
            consume,
            "c A 101 501 \"b\"\n c A 103 501 \"d\"\n c A 101 501 \"bcde\"\n c A 100 501 \"a\"",
            &[r#"c "abcde""#],
        );
    }

    #[test]
    fn of_different_copies_the_first_is_used_and_the_rest_counted() {
        let differing = |script: &str| {
            let mut table = TestTable::new(FlowLimits::default());
            table.recorder.progress = wait;
            table.play("c S 99\n s SA 500 100");
            table.play(script);
            table.finish();
            let [client, _] = table.recorder.ends.pop().unwrap().tcp.unwrap().sides;
            (
                client.differing,
                table.recorder.calls.iter().rfind(|call| call.contains("Flow")).unwrap().clone(),
            )
        };
        let check = |script: &str, count: u32, bytes: &str| {
            assert_eq!(differing(script), (count, format!("c FlowEnded {bytes:?}")), "{script}");
        };
        check("c A 100 501 \"abc\"\n c A 100 501 \"abc\"", 0, "abc");
        check("c A 100 501 \"abc\"\n c A 101 501 \"XcY\"", 1, "abcY");
        check("c A 102 501 \"c\"\n c A 101 501 \"bXd\"\n c A 100 501 \"a\"", 1, "abcd");
        check("c A 102 501 \"cd\"\n c A 100 501 \"abX\"", 1, "abXd");
    }

    #[test]
    fn held_bytes_are_limited_to_the_last_byte() {
        check(wait, "c A 100 501 \"12345678\"", &[r#"c "12345678""#, r#"c FlowEnded "12345678""#]);
        check(wait, "c A 100 501 \"123456789\"", &[r#"c "123456789""#, r#"c LimitReached "123456789""#]);
        check(
            wait,
            "c A 100 501 \"1234\"\n c A 104 501 \"56789\"",
            &[r#"c "1234""#, r#"c "123456789""#, r#"c LimitReached "123456789""#],
        );
        // Once it has ended, nothing more is delivered.
        check(
            wait,
            "c A 100 501 \"123456789\"\n c A 109 501 \"0\"",
            &[r#"c "123456789""#, r#"c LimitReached "123456789""#],
        );
    }

    #[test]
    fn pending_bytes_and_the_gap_are_limited_to_the_last_byte() {
        check(consume, "c A 101 501 \"12345678\"", &[r#"c FlowEnded """#]);
        check(consume, "c A 101 501 \"123456789\"", &[r#"c LimitReached """#]);
        check(consume, "c A 108 501 \"1\"", &[r#"c FlowEnded """#]);
        check(consume, "c A 109 501 \"1\"", &[r#"c LimitReached """#]);
    }

    #[test]
    fn pending_segments_are_limited_to_the_last_one() {
        let ends = |count: usize| {
            let mut table = TestTable::new(FlowLimits::default());
            table.play("c S 99\n s SA 500 100");
            for index in 0..count {
                table.play(&format!("c A {} 501 \"x\"", 101 + 2 * index));
            }
            table.finish()
        };
        assert!(ends(PENDING_SEGMENTS).contains("c FlowEnded"));
        assert!(ends(PENDING_SEGMENTS + 1).contains("c LimitReached"));
    }

    #[test]
    fn an_acked_gap_ends_the_stream_after_a_second() {
        let gap = "c A 100 501 \"a\"\n c A 103 501 \"d\"\n s A 501 104\n";
        let check = |rest: &str, expected: &str| {
            check(consume, &format!("{gap}{rest}"), &[r#"c "a""#, expected]);
        };
        check("+0.9\n s A 501 104", r#"c FlowEnded """#);
        check("+1\n s A 501 104", r#"c MissingBytes """#);
        // It fills in time.
        check("+0.9\n c A 101 501 \"bc\"\n +0.2\n s A 501 104", r#"c "bcd""#);
        // The time of the next gap begins with its own ACK.
        let two = "c A 102 501 \"c\"\n s A 501 103\n c A 100 501 \"ab\"\n +1.1\n c A 104 501 \"e\"\n s A 501 105\n c A 103 501 \"d\"";
        super::tests::check(consume, two, &[r#"c "abc""#, r#"c "de""#]);
        // An ACK of the bytes before the gap is none of it.
        check("+1\n s A 501 101", r#"c FlowEnded """#);
    }

    #[test]
    fn the_snap_length_ends_the_stream() {
        check(consume, "c A 100 501 \"abc\" cut=2", &[r#"c "abc""#, r#"c Truncated """#]);
        check(wait, "c A 100 501 \"abc\" cut=2", &[r#"c "abc""#, r#"c Truncated "abc""#]);
        check(consume, "c A 102 501 \"abc\" cut=2", &[r#"c Truncated """#]);
        check(consume, "c A 100 501 cut=2", &[r#"c Truncated """#]);
        // A truncated segment whose bytes are all known costs nothing.
        check(
            consume,
            "c A 100 501 \"abcde\"\n c A 100 501 \"ab\" cut=3\n c A 105 501 \"f\"",
            &[r#"c "abcde""#, r#"c "f""#],
        );
    }

    #[test]
    fn numbers_wrap_between_segments() {
        let mut table = TestTable::new(FlowLimits::default());
        table.play("c S 4294967293\n s SA 500 4294967294\n c A 2 501 \"ef\"\n c A 4294967294 501 \"abcd\"");
        assert_eq!(table.recorder.calls[1..], [r#"c "abcdef""#]);
    }
}
