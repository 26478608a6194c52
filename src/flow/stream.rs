//! Puts one side's bytes in order, as far as somebody still wants them.
//!
//! In:  segments in the order of capture.
//! Out: contiguous bytes to a [`StreamConsumer`]; a segment that is in order and wanted is handed on without a copy.
//! Not: what happens after the listener is sated: nothing is kept then.

use super::consumer::At;
use super::consumer::FlowRef;
use super::consumer::ReadProgress;
use super::consumer::StreamConsumer;
use super::consumer::StreamEnd;
use crate::base::Side;
use crate::base::Time;

/// How long the capture may show data after its acknowledgement before the data counts as missed: span ports reorder.
const REORDER_NANOS: u64 = 1_000_000_000;

/// Out-of-order segments held at once. Beyond it the oldest hole is given up.
const PENDING_SEGMENTS: usize = 64;

/// What a listener and its two streams hold of one conversation while it is hungry.
#[derive(Debug)]
pub(super) struct Reassembly<S> {
    pub(super) state: S,
    pub(super) streams: [Stream; 2],
    /// Bytes that it holds, as weighed last.
    pub(super) held: usize,
}

impl<S> Reassembly<S> {
    /// Bytes of this side have come, or their first number is known.
    pub(super) fn has_begun(&self, side: Side) -> bool {
        let [client, server] = &self.streams;
        match side {
            Side::Client => client.started,
            Side::Server => server.started,
        }
    }
}

/// One side's bytes that wait: for bytes before them, or for more after them.
#[derive(Debug, Default)]
pub(super) struct Stream {
    /// Sequence number of the first byte of `held`; meaningless until `started`.
    base: u32,
    /// Contiguous bytes that the listener has not consumed.
    held: Vec<u8>,
    /// Segments beyond a hole, by sequence number, not overlapping each other.
    pending: Vec<(u32, Vec<u8>)>,
    /// Bytes in `pending`.
    pending_bytes: usize,
    /// How many unread bytes there must be before the listener is called.
    need: usize,
    /// When the other side was first seen to acknowledge bytes in the hole.
    missed_since: Option<Time>,
    /// The first byte's number is known.
    started: bool,
    /// The listener wants no more.
    pub(super) sated: bool,
    /// Why the stream was given up.
    pub(super) lost: Option<StreamEnd>,
    /// Bytes that came twice and were not the same.
    pub(super) differing: u32,
}

/// A TCP segment's payload.
#[derive(Clone, Copy, Debug)]
pub(super) struct Segment<'a> {
    pub(super) seq: u32,
    pub(super) bytes: &'a [u8],
    /// Bytes of the payload that the capture cut off.
    pub(super) cut: u32,
}

/// Who is told about a stream, and about which moment.
pub(super) struct DeliveryCtx<'a, L: StreamConsumer> {
    pub(super) flow: &'a FlowRef,
    pub(super) side: Side,
    pub(super) at: At,
    pub(super) state: &'a mut L::State,
    pub(super) consumer: &'a mut L,
}

impl<L: StreamConsumer> DeliveryCtx<'_, L> {
    fn stream(&mut self, bytes: &[u8]) -> ReadProgress {
        self.consumer.stream(self.flow, self.state, self.side, bytes, self.at)
    }
}

/// Distance from `b` to `a` in sequence space (RFC 9293 §3.4), positive when `a` lies ahead.
#[inline]
pub(super) const fn ahead(a: u32, b: u32) -> i32 {
    a.wrapping_sub(b) as i32
}

impl Stream {
    /// The stream's first byte has this number.
    pub(super) fn start(&mut self, first: u32) {
        if !self.started {
            self.started = true;
            self.base = first;
        }
    }

    /// The number of the first byte that is not held.
    fn end(&self) -> u32 {
        self.base.wrapping_add(self.held.len() as u32)
    }

    /// Bytes that it keeps from others.
    #[inline]
    pub(super) fn held_bytes(&self) -> usize {
        self.held.capacity() + self.pending_bytes
    }

    /// True when bytes wait behind a hole.
    pub(super) fn waits(&self) -> bool {
        !self.sated && !self.pending.is_empty()
    }

    /// Takes a segment in; delivers what became contiguous.
    pub(super) fn accept<L: StreamConsumer>(
        &mut self,
        segment: Segment<'_>,
        cap: usize,
        ctx: &mut DeliveryCtx<'_, L>,
    ) {
        if self.sated || (segment.bytes.is_empty() && segment.cut == 0) {
            return;
        }
        self.start(segment.seq);
        let distance = ahead(segment.seq, self.end());
        if distance > 0 {
            self.keep(segment, distance as usize, cap);
            if segment.cut > 0 || self.pending.len() > PENDING_SEGMENTS || self.pending_bytes > cap {
                self.give_up(
                    if segment.cut > 0 { StreamEnd::Truncated } else { StreamEnd::LimitReached },
                    ctx,
                );
            }
            return;
        }
        let repeated = distance.unsigned_abs() as usize;
        self.compare(segment);
        let Some(fresh) = segment.bytes.get(repeated..).filter(|fresh| !fresh.is_empty()) else {
            if segment.cut > 0 && repeated < segment.bytes.len() + segment.cut as usize {
                self.give_up(StreamEnd::Truncated, ctx);
            }
            return;
        };
        if self.held.is_empty() && self.pending.is_empty() && segment.cut == 0 && fresh.len() >= self.need {
            self.deliver_borrowed(fresh, cap, ctx);
        } else {
            self.held.extend_from_slice(fresh);
            self.join();
            self.deliver_held(cap, ctx);
        }
        if segment.cut > 0 && !self.sated {
            self.give_up(StreamEnd::Truncated, ctx);
        }
    }

    /// The other side acknowledged up to `ack`: a hole below it was missed by the capture, once it has had time to show.
    pub(super) fn acknowledged<L: StreamConsumer>(&mut self, ack: u32, ctx: &mut DeliveryCtx<'_, L>) {
        if !self.waits() || ahead(ack, self.end()) <= 0 {
            return;
        }
        match self.missed_since {
            None => self.missed_since = Some(ctx.at.time),
            Some(since) if ctx.at.time.since(since) >= REORDER_NANOS => {
                self.give_up(StreamEnd::MissingBytes, ctx);
            }
            Some(_) => {}
        }
    }

    /// No more bytes will come that can be used: hands over what is contiguous and forgets the rest.
    pub(super) fn give_up<L: StreamConsumer>(&mut self, why: StreamEnd, ctx: &mut DeliveryCtx<'_, L>) {
        if self.sated || !self.started {
            return;
        }
        if why != StreamEnd::FlowEnded || !self.held.is_empty() || !self.pending.is_empty() {
            ctx.consumer.stream_ended(ctx.flow, ctx.state, ctx.side, &self.held, why, ctx.at);
        }
        self.lost = Some(why);
        self.satisfy();
    }

    fn satisfy(&mut self) {
        self.sated = true;
        self.held = Vec::new();
        self.pending = Vec::new();
        self.pending_bytes = 0;
    }

    fn deliver_borrowed<L: StreamConsumer>(
        &mut self,
        mut bytes: &[u8],
        cap: usize,
        ctx: &mut DeliveryCtx<'_, L>,
    ) {
        loop {
            match ctx.stream(bytes) {
                ReadProgress::Done | ReadProgress::Idle => return self.satisfy(),
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
        if self.held.len() > cap || self.need > cap {
            self.give_up(StreamEnd::LimitReached, ctx);
        }
    }

    fn deliver_held<L: StreamConsumer>(&mut self, cap: usize, ctx: &mut DeliveryCtx<'_, L>) {
        while !self.held.is_empty() && self.held.len() >= self.need {
            match ctx.stream(&self.held) {
                ReadProgress::Done | ReadProgress::Idle => return self.satisfy(),
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
        if self.held.len() > cap || self.need > cap {
            self.give_up(StreamEnd::LimitReached, ctx);
        }
    }

    /// Keeps the parts of a segment beyond a hole that no pending segment has yet: the first copy wins.
    fn keep(&mut self, segment: Segment<'_>, distance: usize, cap: usize) {
        if distance > cap {
            // Too far ahead to be joined under the cap. Counts against it, so that the stream is given up.
            self.pending_bytes = self.pending_bytes.saturating_add(cap).saturating_add(1);
            return;
        }
        let mut seq = segment.seq;
        let mut bytes = segment.bytes;
        let mut place = 0;
        while let Some((other_seq, other)) = self.pending.get(place) {
            if bytes.is_empty() {
                return;
            }
            let other_end = other_seq.wrapping_add(other.len() as u32);
            if ahead(seq, other_end) >= 0 {
                place += 1;
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
                self.pending.insert(place, (seq, head.to_vec()));
                place += 1;
            }
            place += 1;
            bytes = rest.get(overlap..).unwrap_or_default();
            seq = rest_seq.wrapping_add(overlap as u32);
        }
        if !bytes.is_empty() {
            self.pending_bytes += bytes.len();
            self.pending.insert(place, (seq, bytes.to_vec()));
        }
    }

    /// Moves pending segments that have become contiguous behind the held bytes.
    fn join(&mut self) {
        let mut joined = 0;
        while let Some((seq, bytes)) = self.pending.get(joined) {
            let distance = ahead(*seq, self.end());
            if distance > 0 {
                break;
            }
            let repeated = distance.unsigned_abs() as usize;
            // What both hold may differ; the copy that is already held came first in the stream.
            let held_from = self.held.len().saturating_sub(repeated);
            let overlap = repeated.min(bytes.len()).min(self.held.len());
            let held = self.held.get(held_from..held_from + overlap);
            if repeated <= self.held.len() && held != bytes.get(..overlap) {
                self.differing += 1;
            }
            self.held.extend_from_slice(bytes.get(repeated..).unwrap_or_default());
            self.pending_bytes = self.pending_bytes.saturating_sub(bytes.len());
            joined += 1;
        }
        self.pending.drain(..joined);
        if joined > 0 {
            self.missed_since = None;
        }
    }

    /// Counts a repeated part that is not what is held.
    fn compare(&mut self, segment: Segment<'_>) {
        let into = ahead(segment.seq, self.base);
        let (held, copy) = if into >= 0 {
            (self.held.get(into as usize..).unwrap_or_default(), segment.bytes)
        } else {
            let consumed = into.unsigned_abs() as usize;
            (self.held.as_slice(), segment.bytes.get(consumed..).unwrap_or_default())
        };
        let overlap = held.len().min(copy.len());
        self.differing += u32::from(held.get(..overlap) != copy.get(..overlap));
    }
}
