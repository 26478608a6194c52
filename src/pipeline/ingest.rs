//! Turns frames into packets, and frame time into ticks.
//!
//! In:  chunks of frames.
//! Out: packets, ticks and heartbeats to a [`PacketSink`], in the order of the run; an account of every frame.
//! Not: flows.

use std::sync::atomic::Ordering;

use super::FrameAccounting;
use super::IngestResult;
use super::LivePacketSink;
use super::LiveSource;
use super::PacketSink;
use super::RunControl;
use crate::base::CapturePoints;
use crate::base::FrameRef;
use crate::base::HostReport;
use crate::base::Time;
use crate::base::TimeWindow;
use crate::capture::Capture;
use crate::capture::Chunk;
use crate::capture::Frame;
use crate::capture::FrameHeader;
use crate::capture::Heartbeat;
use crate::capture::InputFacts;
use crate::capture::LiveEvent;
use crate::decode;
use crate::decode::DecodeCounts;
use crate::decode::Decoded;
use crate::decode::Decoder;
use crate::decode::Dedup;
use crate::flow::At;
use crate::flow::DroppedPacket;

/// The decoder, and the account of the frames.
#[derive(Debug)]
pub(super) struct Ingest {
    /// One for each capture point: fragments and duplicates are those of one point.
    stages: Vec<PointStage>,
    points: CapturePoints,
    /// What the decoder had counted when this interval began.
    counts_before: DecodeCounts,
    progress: IngestProgress,
}

/// How far the run has come, and the account of its frames.
#[derive(Debug)]
struct IngestProgress {
    accounting: FrameAccounting,
    clock: FrameClock,
    frames: u64,
    span: TimeSpan,
    /// Which frames are audited.
    window: TimeWindow,
    /// The window is not the whole capture.
    is_limited: bool,
    /// Times of the frames of a limited window.
    span_of_window: TimeSpan,
    last_frame: FrameRef,
}

/// What decodes the frames of one capture point.
#[derive(Debug)]
struct PointStage {
    decoder: Decoder,
    dedup: Dedup,
    /// What distinguishes its flows from those of other points.
    scope: u64,
}

impl PointStage {
    /// The scope of a point: 0 for the first.
    const fn scope(point: u64) -> u64 {
        point.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

impl Ingest {
    pub(super) fn new(limits: decode::FragmentLimits, points: CapturePoints, window: TimeWindow) -> Ingest {
        let stage = |point| PointStage {
            decoder: Decoder::new(limits),
            dedup: Dedup::default(),
            scope: PointStage::scope(point as u64),
        };
        Ingest {
            stages: (0..points.len()).map(stage).collect(),
            points,
            counts_before: DecodeCounts::default(),
            progress: IngestProgress {
                accounting: FrameAccounting::default(),
                clock: FrameClock::default(),
                frames: 0,
                span: TimeSpan::default(),
                is_limited: !window.is_unlimited(),
                window,
                span_of_window: TimeSpan::default(),
                last_frame: FrameRef::default(),
            },
        }
    }

    /// Reads a capture to its end, or until it is stopped.
    pub(super) fn read_files(
        &mut self,
        capture: &mut Capture,
        control: RunControl<'_>,
        packets: &mut impl PacketSink,
    ) {
        let mut chunk = Chunk::default();
        let mut latest = Time::default();
        while !control.stop.load(Ordering::Relaxed) && capture.next(&mut chunk) {
            latest = self.chunk(&chunk, packets).unwrap_or(latest);
            packets.chunk_done(&chunk);
            control.progress.progress(capture.bytes_read(), self.progress.frames);
        }
        if self.progress.accounting.after_window.frames > 0
            && let Some(end) = self.progress.window.read_until()
        {
            // The capture continues: what was idle until now is closed as if the next frame had been read.
            self.progress.advance_clock(end, packets);
        }
        packets.finish(self.progress.end(latest));
    }

    /// Reads a live capture to its end, or until it is stopped.
    pub(super) fn read_live(
        &mut self,
        source: &mut impl LiveSource,
        control: RunControl<'_>,
        packets: &mut impl LivePacketSink,
    ) {
        let mut chunk = Chunk::default();
        let mut latest = Time::default();
        while !control.stop.load(Ordering::Relaxed) {
            let heartbeat = match source.next(&mut chunk) {
                LiveEvent::Frames => None,
                LiveEvent::Heartbeat(heartbeat) => Some(heartbeat),
                LiveEvent::End => break,
            };
            if let Some(time) = self.progress.clock.leap_to(&chunk, heartbeat.as_ref()) {
                // Before the flows that were idle during the leap are closed.
                packets.heartbeat(time, 1, None);
            }
            latest = self.chunk(&chunk, packets).unwrap_or(latest);
            if let Some(Heartbeat { time, lost, ended_interval }) = heartbeat {
                self.progress.advance_clock(time, packets);
                packets.heartbeat(time, lost, ended_interval.map(|inputs| self.end_interval(inputs)));
            }
            packets.chunk_done(&chunk);
            control.progress.progress(source.bytes_read(), self.progress.frames);
        }
        packets.finish(self.progress.end(latest));
    }

    /// Decodes the frames of a chunk; the time of its last frame.
    fn chunk(&mut self, chunk: &Chunk, packets: &mut impl PacketSink) -> Option<Time> {
        let point = usize::from(self.points.of(chunk.file));
        if let Some(stage) = self.stages.get_mut(point) {
            for header in &chunk.frames {
                let host_report =
                    if chunk.host_reports.is_empty() { None } else { chunk.host_report(header) };
                self.progress.frame(stage, (&chunk.frame(header), header), host_report, packets);
            }
        }
        chunk.frames.last().map(|last| last.time)
    }

    /// The account since the last interval ended.
    fn end_interval(&mut self, inputs: Vec<InputFacts>) -> IngestResult {
        let counts =
            self.stages.iter().fold(DecodeCounts::default(), |sum, stage| sum.and(stage.decoder.counts()));
        let (mut accounting, span) = self.progress.end_interval();
        accounting.add_decode_counts(counts.since(std::mem::replace(&mut self.counts_before, counts)));
        IngestResult { inputs, accounting, span }
    }

    /// The account of the last interval. Fragments that still wait for others are given up.
    pub(super) fn finish(mut self, inputs: Vec<InputFacts>) -> IngestResult {
        for stage in &mut self.stages {
            stage.decoder.finish();
        }
        self.end_interval(inputs)
    }
}

impl IngestProgress {
    #[inline]
    fn frame(
        &mut self,
        PointStage { decoder, dedup, scope: of_point }: &mut PointStage,
        (frame, header): (&Frame<'_>, &FrameHeader),
        host_report: Option<&HostReport>,
        packets: &mut impl PacketSink,
    ) {
        if self.is_limited && !self.is_audited(frame) {
            return;
        }
        // Frames have the odd numbers of the order; the even number before one is the time that passes before it.
        let order = self.frames * 2 + 1;
        self.frames += 1;
        self.last_frame = frame.frame_ref;
        self.span.add(frame.time);
        let at = At { order, frame: frame.frame_ref, time: frame.time };
        if let Some(second) = self.clock.advance(frame.time) {
            packets.tick(second, At { order: order - 1, ..at });
        }
        let decoded = decoder.decode(frame);
        // Matched by reference: a packet is large to move.
        let Decoded::Packet(packet) = &decoded else {
            return self.accounting.add(frame, &decoded);
        };
        let is_duplicate = dedup.is_duplicate(packet, frame.time);
        let merged_scope = dedup.merged_scope(packet);
        let scope = merged_scope.unwrap_or(packet.scope) ^ *of_point;
        if let Some(drop) = host_report.and_then(|report| report.drop.as_ref()) {
            self.accounting.add_host_drop(frame, drop.reason);
            let drop = DroppedPacket { drop, is_duplicate };
            return packets.dropped_packet(&decode::Packet { scope, host_report, ..*packet }, drop, at);
        }
        if is_duplicate {
            return self.accounting.add_duplicate(frame);
        }
        self.accounting.add(frame, &decoded);
        match packet.was_fragmented || scope != packet.scope || host_report.is_some() {
            true => packets.derived_packet(&decode::Packet { scope, host_report, ..*packet }, at),
            false => packets.packet(packet, at, header),
        }
    }

    /// Whether the frame is in the window or near enough to it.
    fn is_audited(&mut self, frame: &Frame<'_>) -> bool {
        if self.window.is_before(frame.time) {
            self.accounting.add_before_window(frame);
            return false;
        }
        if self.window.is_after(frame.time) {
            self.accounting.add_after_window(frame);
            return false;
        }
        if self.window.contains(frame.time) {
            self.span_of_window.add(frame.time);
            self.accounting.in_window += 1;
        }
        true
    }

    /// Time passes without a frame.
    fn advance_clock(&mut self, time: Time, packets: &mut impl PacketSink) {
        if let Some(second) = self.clock.advance(time) {
            packets.tick(second, At { order: self.frames * 2, frame: self.last_frame, time });
        }
    }

    /// The point of the run after the last frame.
    fn end(&self, latest: Time) -> At {
        let time = self.span.get().map_or(latest, |(_, last)| last);
        At { order: self.frames * 2 + 2, frame: self.last_frame, time }
    }

    /// The account since the last interval ended, and the span of its frames.
    fn end_interval(&mut self) -> (FrameAccounting, Option<(Time, Time)>) {
        let mut accounting = std::mem::take(&mut self.accounting);
        let (all, of_window) = (std::mem::take(&mut self.span), std::mem::take(&mut self.span_of_window));
        if self.is_limited {
            return (accounting, of_window.get());
        }
        accounting.in_window = accounting.read.frames;
        (accounting, all.get())
    }
}

/// The earliest and the latest of some times.
#[derive(Clone, Copy, Debug)]
struct TimeSpan {
    first: Time,
    last: Time,
}

impl Default for TimeSpan {
    fn default() -> TimeSpan {
        TimeSpan { first: Time::MAX, last: Time::MIN }
    }
}

impl TimeSpan {
    #[inline]
    fn add(&mut self, time: Time) {
        self.first = self.first.min(time);
        self.last = self.last.max(time);
    }

    /// None if there was no time.
    fn get(self) -> Option<(Time, Time)> {
        (self.first <= self.last).then_some((self.first, self.last))
    }
}

/// The clock of the frames: the time of the latest frame, in whole seconds. It goes back only when the frames jump back.
#[derive(Debug)]
struct FrameClock {
    now: i64,
}

impl Default for FrameClock {
    fn default() -> Self {
        FrameClock { now: i64::MIN }
    }
}

impl FrameClock {
    /// If a live clock advances by more than this at once, it was set, or frames were lost. Shorter than any idle timeout of a
    /// flow. Seconds.
    const LEAP_SECS: i64 = 5;

    /// A frame that is older than the clock by more than this is no late frame: the clock was set back. Seconds.
    const LATE_SECS: i64 = 600;

    /// The second that `time` advances the clock to; `None` if it does not.
    #[inline]
    fn advance(&mut self, time: Time) -> Option<i64> {
        let second = time.secs();
        if second > self.now || second < self.now.saturating_sub(FrameClock::LATE_SECS) {
            self.now = second;
            return Some(second);
        }
        None
    }

    /// The time that these frames and this heartbeat would advance the clock to, if that is a leap.
    fn leap_to(&self, chunk: &Chunk, heartbeat: Option<&Heartbeat>) -> Option<Time> {
        let frames =
            [chunk.frames.first(), chunk.frames.last()].into_iter().flatten().map(|frame| frame.time);
        let latest = frames.chain(heartbeat.map(|heartbeat| heartbeat.time)).max()?;
        let has_started = self.now != i64::MIN;
        (has_started && latest.secs() > self.now.saturating_add(FrameClock::LEAP_SECS)).then_some(latest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Time {
        Time::from_parts(second, 999_999_999)
    }

    /// Frame times in seconds; the seconds that the clock advanced to.
    fn check(frames: &[i64], expected: &[i64]) {
        let mut clock = FrameClock::default();
        let ticks: Vec<i64> = frames.iter().filter_map(|second| clock.advance(at(*second))).collect();
        assert_eq!(ticks, expected, "{frames:?}");
    }

    #[test]
    fn the_clock_ticks_once_a_second_and_ignores_late_frames() {
        check(&[5, 5, 6, 9], &[5, 6, 9]);
        check(&[10, 9, 10, 11], &[10, 11]);
        check(&[-7, -6], &[-7, -6]);
        // Late by exactly the limit, and by more: the clock was set back.
        check(&[1000, 400, 1000, 1001], &[1000, 1001]);
        check(&[1000, 399, 400, 1000], &[1000, 399, 400, 1000]);
    }

    /// Times of a chunk's frames and of its heartbeat; the clock is at 100.
    fn check_leap(frames: &[i64], heartbeat: Option<i64>, expected: Option<i64>) {
        let mut clock = FrameClock::default();
        let header = |second: &i64| FrameHeader { time: at(*second), ..FrameHeader::default() };
        let chunk = Chunk { frames: frames.iter().map(header).collect(), ..Chunk::default() };
        let heartbeat = heartbeat.map(|second| Heartbeat { time: at(second), lost: 0, ended_interval: None });
        assert_eq!(clock.leap_to(&chunk, heartbeat.as_ref()), None, "the first time is no leap");
        clock.advance(at(100));
        assert_eq!(clock.leap_to(&chunk, heartbeat.as_ref()), expected.map(at), "{frames:?} {heartbeat:?}");
    }

    #[test]
    fn more_than_five_seconds_at_once_are_a_leap() {
        check_leap(&[], None, None);
        check_leap(&[101, 105], Some(104), None);
        check_leap(&[101, 106], None, Some(106));
        check_leap(&[], Some(106), Some(106));
        check_leap(&[107, 101], Some(106), Some(107));
        check_leap(&[50], Some(50), None);
    }
}
