//! Runs the line from capture to judge.
//!
//! In:  a [`Plan`].
//! Out: rows to a [`Docket`], and at the end what was seen ([`Facts`]).
//! Not: what any stage does; this file alone knows them all.
//!
//! ```text
//! one worker:   [capture → decode → flow → read] ──────────────→ [judge] → [docket]
//! more workers: [capture → decode] ──by shard──→ [flow → read]×n ─in frame order→ [judge] → [docket]
//! ```
//!
//! Brackets are threads. Both shapes give the same observations in the same order: what happens at a frame, and what time
//! does before it, has its own place in one order of the run.

mod ledger;
mod relay;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use crate::base::FrameRef;
use crate::base::Time;
use crate::capture;
use crate::capture::Capture;
use crate::capture::Chunk;
use crate::capture::Frame;
use crate::capture::InputFacts;
use crate::decode;
use crate::decode::Decoded;
use crate::decode::Decoder;
use crate::flow;
use crate::flow::At;
use crate::flow::FlowCounts;
use crate::flow::FlowTable;
use crate::judge::Court;
use crate::judge::Docket;
use crate::judge::Ground;
use crate::judge::Judgement;
use crate::judge::Scope;
use crate::read::Desk;
use crate::read::Observation;

pub use ledger::Ledger;
pub use ledger::Line;

/// How to audit.
#[derive(Debug)]
pub struct Plan {
    /// What is judged on.
    pub ground: Arc<Ground>,
    /// Which hosts are audited.
    pub scope: Scope,
    /// Bounds on fragments.
    pub fragments: decode::Limits,
    /// Bounds on conversations.
    pub flows: flow::Limits,
    /// Threads that follow conversations; 1 follows them on the reading thread.
    pub workers: usize,
}

/// What was seen of the run as a whole.
#[derive(Debug)]
pub struct Facts {
    /// Each input.
    pub inputs: Vec<InputFacts>,
    /// What became of the frames.
    pub ledger: Ledger,
    /// What the flow table did.
    pub flows: FlowCounts,
    /// Findings and counts.
    pub judgement: Judgement,
    /// Earliest and latest frame.
    pub span: Option<(Time, Time)>,
    /// Somebody stopped the run before the end of its inputs.
    pub stopped: bool,
}

/// Told how far the run has come, after each chunk.
pub trait Watcher {
    /// Raw bytes read and frames seen so far.
    fn progress(&mut self, bytes: u64, frames: u64);
}

/// Audits what `capture` reads; the rows go to `docket`, which is given back. `stop` ends the run at the next chunk, with everything until then.
pub fn run<D: Docket + Send>(
    mut capture: Capture,
    plan: Plan,
    docket: D,
    watcher: &mut dyn Watcher,
    stop: &AtomicBool,
) -> (Facts, D) {
    let court = Court::new(plan.ground, plan.scope);
    let mut front = Front::new(plan.fragments);
    let reading = Reading { capture: &mut capture, front: &mut front, watcher, stop };
    let (flows, judgement, docket) = if plan.workers <= 1 {
        relay::alone(plan.flows, court, docket, reading)
    } else {
        relay::shared(plan.flows, plan.workers, court, docket, reading)
    };
    let facts = Facts {
        inputs: capture.finish(),
        ledger: front.ledger(),
        flows,
        judgement,
        span: front.span,
        stopped: stop.load(Ordering::Relaxed),
    };
    (facts, docket)
}

/// Takes packets and the passing of time, in the order of the run.
trait Follower {
    /// A packet, whole. `chunk` and `frame` are where it was cut from.
    fn packet(&mut self, packet: &decode::Packet<'_>, at: At, header: &capture::FrameHeader);
    /// Frame time has reached this second.
    fn tick(&mut self, second: i64, at: At);
    /// A chunk is done.
    fn chunk(&mut self, chunk: &Chunk);
    /// No more frames come.
    fn finish(&mut self, at: At);
}

/// Everything up to decode, and the account of the frames.
#[derive(Debug)]
struct Front {
    decoder: Decoder,
    ledger: Ledger,
    clock: Clock,
    frames: u64,
    span: Option<(Time, Time)>,
    last: FrameRef,
}

impl Front {
    fn new(limits: decode::Limits) -> Front {
        Front {
            decoder: Decoder::new(limits),
            ledger: Ledger::default(),
            clock: Clock { now: i64::MIN },
            frames: 0,
            span: None,
            last: FrameRef::default(),
        }
    }

    #[inline]
    fn frame(&mut self, frame: &Frame<'_>, header: &capture::FrameHeader, follower: &mut impl Follower) {
        // Odd places are frames; the even place before one is the time that passes before it.
        let order = self.frames * 2 + 1;
        self.frames += 1;
        self.last = frame.place;
        self.span = match self.span {
            Some((first, last)) => Some((first.min(frame.time), last.max(frame.time))),
            None => Some((frame.time, frame.time)),
        };
        let at = At { order, frame: frame.place, time: frame.time };
        if let Some(second) = self.clock.passes(frame.time) {
            follower.tick(second, At { order: order - 1, ..at });
        }
        let decoded = self.decoder.packet(frame);
        self.ledger.enter(frame, &decoded);
        if let Decoded::Packet(packet) = decoded {
            follower.packet(&packet, at, header);
        }
    }

    fn ledger(&mut self) -> Ledger {
        self.decoder.finish();
        let mut ledger = std::mem::take(&mut self.ledger);
        ledger.close(self.decoder.counts());
        ledger
    }
}

/// The clock of the frames. It follows the latest frame; a jump back by more than a few minutes sets it back.
#[derive(Debug)]
struct Clock {
    now: i64,
}

impl Clock {
    /// Frames older than this against the latest are a clock that was set back, not a late frame. Seconds.
    const LATE: i64 = 600;

    #[inline]
    fn passes(&mut self, time: Time) -> Option<i64> {
        let second = time.secs();
        if second > self.now || second < self.now.saturating_sub(Clock::LATE) {
            self.now = second;
            return Some(second);
        }
        None
    }
}

/// The inputs, ready to be read into a follower.
struct Reading<'a> {
    capture: &'a mut Capture,
    front: &'a mut Front,
    watcher: &'a mut dyn Watcher,
    stop: &'a AtomicBool,
}

impl Reading<'_> {
    fn into(self, follower: &mut impl Follower) {
        let mut chunk = Chunk::default();
        while !self.stop.load(Ordering::Relaxed) && self.capture.next(&mut chunk) {
            for header in &chunk.frames {
                self.front.frame(&chunk.frame(header), header, follower);
            }
            follower.chunk(&chunk);
            self.watcher.progress(self.capture.bytes_read(), self.front.frames);
        }
        let time = self.front.span.map_or(Time::default(), |(_, last)| last);
        follower.finish(At { order: self.front.frames * 2 + 2, frame: self.front.last, time });
    }
}

/// Flow and read together: what one worker owns.
struct Worker {
    table: FlowTable<<Desk as flow::Listener>::State>,
    desk: Desk,
}

impl Worker {
    fn new(limits: flow::Limits) -> Worker {
        Worker { table: FlowTable::new(limits), desk: Desk::default() }
    }

    fn told(&mut self) -> &mut Vec<Observation> {
        &mut self.desk.out
    }
}
