//! Runs the line from capture to judge.
//!
//! In:  a [`AuditPlan`].
//! Out: rows to a [`RowSink`], and at the end what was seen ([`RunResult`]).
//! Not: what any stage does; this file alone knows them all.
//!
//! ```text
//! one worker:   [capture → decode → flow → read] ──────────────→ [judge] → [docket]
//! more workers: [capture → decode] ──by shard──→ [flow → read]×n ─in frame order→ [judge] → [docket]
//! ```
//!
//! Brackets are threads. Both shapes give the same observations in the same order: what happens at a frame, and what time
//! does before it, has its own place in one order of the run.
//!
//! A live source also sends pulses: the clock, what was lost, and where evidence is closed and begun anew. They travel the
//! whole line behind the frames before them, so that every stage acts on them at the same place.

mod accounting;
mod threads;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;

use crate::base::FrameRef;
use crate::base::Time;
use crate::capture;
use crate::capture::Capture;
use crate::capture::Chunk;
use crate::capture::Frame;
use crate::capture::Heartbeat;
use crate::capture::InputFacts;
use crate::decode;
use crate::decode::Decoded;
use crate::decode::Decoder;
use crate::decode::Dedup;
use crate::flow;
use crate::flow::At;
use crate::flow::FlowCounts;
use crate::flow::FlowTable;
use crate::judge;
use crate::judge::DnsRow;
use crate::judge::Engine;
use crate::judge::FindingRow;
use crate::judge::FlowRow;
use crate::judge::JudgeResult;
use crate::judge::Policy;
use crate::judge::Scope;
use crate::judge::Tally;
use crate::read::Dispatcher;
use crate::read::Observation;

pub use accounting::FileAccounting;
pub use accounting::FrameAccounting;

/// How to audit.
#[derive(Debug)]
pub struct AuditPlan {
    /// What is judged on.
    pub policy: Arc<Policy>,
    /// Which hosts are audited.
    pub scope: Scope,
    /// Bounds on fragments.
    pub fragments: decode::FragmentLimits,
    /// Bounds on conversations.
    pub flows: flow::FlowLimits,
    /// Bounds on names and findings.
    pub judge: judge::JudgeLimits,
    /// Threads that follow conversations; 1 follows them on the reading thread.
    pub workers: usize,
}

/// What was seen of the run as a whole.
#[derive(Debug)]
pub struct RunResult {
    /// Each input.
    pub inputs: Vec<InputFacts>,
    /// What became of the frames.
    pub ledger: FrameAccounting,
    /// What the flow table did.
    pub flows: FlowCounts,
    /// Findings and counts.
    pub judgement: JudgeResult,
    /// Earliest and latest frame.
    pub span: Option<(Time, Time)>,
    /// Somebody stopped the run before the end of its inputs.
    pub stopped: bool,
}

/// Where frames come from.
pub trait FrameSource {
    /// Fills `chunk` with the next frames; false at the end. A live source hands on a pulse without frames when none come.
    fn next(&mut self, chunk: &mut Chunk) -> bool;
    /// Raw bytes read so far.
    fn bytes_read(&self) -> u64;
    /// What the inputs were since the last turn. Only asked after a pulse that wants one.
    fn rotate(&mut self) -> Vec<InputFacts>;
    /// Whether it is known before the first frame that so many packets are missing that silence means nothing.
    fn has_heavy_loss(&self) -> bool {
        false
    }
    /// Whether it goes on while findings are wanted: they are announced as they appear.
    fn is_live(&self) -> bool {
        false
    }
    /// Ends reading, and tells what each input was since the last turn.
    fn finish(self) -> Vec<InputFacts>;
}

impl FrameSource for Capture {
    fn next(&mut self, chunk: &mut Chunk) -> bool {
        Capture::next(self, chunk)
    }

    fn bytes_read(&self) -> u64 {
        Capture::bytes_read(self)
    }

    fn rotate(&mut self) -> Vec<InputFacts> {
        Vec::new()
    }

    fn has_heavy_loss(&self) -> bool {
        Capture::has_heavy_loss(self)
    }

    fn finish(self) -> Vec<InputFacts> {
        Capture::finish(self)
    }
}

#[cfg(feature = "live")]
impl FrameSource for capture::LiveCapture {
    fn next(&mut self, chunk: &mut Chunk) -> bool {
        capture::LiveCapture::next(self, chunk)
    }

    fn bytes_read(&self) -> u64 {
        capture::LiveCapture::bytes_read(self)
    }

    fn rotate(&mut self) -> Vec<InputFacts> {
        capture::LiveCapture::rotate(self)
    }

    fn is_live(&self) -> bool {
        true
    }

    fn finish(self) -> Vec<InputFacts> {
        capture::LiveCapture::finish(self)
    }
}

/// Writes the rows, and for a live source what happens while it runs.
pub trait RunSink {
    /// A flow has ended.
    fn flow(&mut self, row: &FlowRow);
    /// A DNS answer arrived, or will not.
    fn dns(&mut self, row: &DnsRow);
    /// Something is wrong that was not before; only for a live source.
    fn news(&mut self, _: &FindingRow) {}
    /// A second has passed.
    fn heartbeat(&mut self, _: &LiveStatus) {}
    /// Evidence is closed here with these facts, and begun anew.
    fn rotate(&mut self, _: RunResult) {}
}

/// How a live run stands.
#[derive(Clone, Debug, Default)]
pub struct LiveStatus {
    /// Conversations that are followed now.
    pub live: u64,
    /// Conversations opened since the beginning.
    pub opened: u64,
    /// Pushed out of a full table since the beginning.
    pub evicted: u64,
    /// No longer listened to, to make room, since the beginning.
    pub reassembly_stopped: u64,
    /// How often a table of names has forgotten its older half since the beginning.
    pub forgotten: u64,
    /// Signs of findings since the last turn that did not fit.
    pub missed: u64,
    /// Needs of the site that were reached since the last turn, and how many there are.
    pub met: (u64, u64),
    /// What judge counted since the last turn; without the destinations.
    pub tally: Tally,
}

/// Told how far the run has come, after each chunk.
pub trait ProgressObserver {
    /// Raw bytes read and frames seen so far.
    fn progress(&mut self, bytes: u64, frames: u64);
}

/// Audits what `source` reads; the rows go to `sink`, which is given back. `stop` ends the run at the next chunk, with everything until then.
///
/// A live source wants one worker: its frames are not cut from files, and it must not wait for the slowest of several.
pub fn run<S: FrameSource, D: RunSink + Send>(
    mut source: S,
    plan: AuditPlan,
    sink: D,
    watcher: &mut dyn ProgressObserver,
    stop: &AtomicBool,
) -> (RunResult, D) {
    let mut engine = Engine::new(plan.policy, plan.scope, plan.judge);
    let flows = flow::FlowLimits { report_interim: source.is_live(), ..plan.flows };
    let is_live = source.is_live();
    if is_live {
        engine.announce();
    }
    let foreseen = source.has_heavy_loss();
    if foreseen {
        engine.doubt();
    }
    let mut front = Ingest::new(plan.fragments);
    let reading = ReadLoop { source: &mut source, front: &mut front, watcher, stop };
    let (flows, judgement, sink) = if plan.workers <= 1 {
        threads::alone(flows, engine, sink, reading)
    } else {
        threads::shared(flows, plan.workers, engine, sink, reading)
    };
    let (ledger, span) = front.finish();
    let inputs = source.finish();
    let mut judgement = judgement;
    // A live source says by pulses what it lost, and when.
    if !foreseen && !is_live && inputs.iter().any(InputFacts::has_heavy_loss) {
        judgement.doubt();
    }
    let facts = RunResult { inputs, ledger, flows, judgement, span, stopped: stop.load(Ordering::Relaxed) };
    (facts, sink)
}

/// Takes packets and the passing of time, in the order of the run.
trait PacketSink {
    /// A packet that is found again at `header` in the chunk.
    fn packet(&mut self, packet: &decode::Packet<'_>, at: At, header: &capture::FrameHeader);
    /// A packet that its frame alone does not give.
    fn whole(&mut self, packet: &decode::Packet<'_>, at: At);
    /// Frame time has reached this second.
    fn tick(&mut self, second: i64, at: At);
    /// A chunk is done.
    fn chunk(&mut self, chunk: &Chunk);
    /// A live source's pulse; `closes` holds what is known of the evidence that ends here.
    fn heartbeat(&mut self, heartbeat: &Heartbeat, closes: Option<IntervalEnd>);
    /// No more frames come.
    fn finish(&mut self, at: At);
}

/// Everything up to decode, and the account of the frames.
#[derive(Debug)]
struct Ingest {
    decoder: Decoder,
    copies: Dedup,
    ledger: FrameAccounting,
    clock: FrameClock,
    frames: u64,
    span: Option<(Time, Time)>,
    last: FrameRef,
}

impl Ingest {
    fn new(limits: decode::FragmentLimits) -> Ingest {
        Ingest {
            decoder: Decoder::new(limits),
            copies: Dedup::default(),
            ledger: FrameAccounting::default(),
            clock: FrameClock { now: i64::MIN },
            frames: 0,
            span: None,
            last: FrameRef::default(),
        }
    }

    #[inline]
    fn frame(&mut self, frame: &Frame<'_>, header: &capture::FrameHeader, follower: &mut impl PacketSink) {
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
        // Not taken out: a packet is large to move.
        let Decoded::Packet(packet) = &decoded else {
            return self.ledger.enter(frame, &decoded);
        };
        if self.copies.is_copy(packet, frame.time) {
            return self.ledger.enter_copy(frame);
        }
        self.ledger.enter(frame, &decoded);
        match self.copies.moved(packet) {
            Some(scope) => follower.whole(&decode::Packet { scope, ..*packet }, at),
            None if packet.was_fragmented => follower.whole(packet, at),
            None => follower.packet(packet, at, header),
        }
    }

    fn finish(&mut self) -> (FrameAccounting, Option<(Time, Time)>) {
        self.decoder.finish();
        self.rotate()
    }

    /// Time passes without a frame.
    fn passes(&mut self, time: Time, follower: &mut impl PacketSink) {
        if let Some(second) = self.clock.passes(time) {
            follower.tick(second, At { order: self.frames * 2, frame: self.last, time });
        }
    }

    /// The account since the last turn, and the time that it spans.
    fn rotate(&mut self) -> (FrameAccounting, Option<(Time, Time)>) {
        let mut ledger = std::mem::take(&mut self.ledger);
        ledger.close(self.decoder.counts());
        (ledger, self.span.take())
    }
}

/// What is known left of judge of the evidence that ends at a turn.
#[derive(Debug)]
struct IntervalEnd {
    inputs: Vec<InputFacts>,
    ledger: FrameAccounting,
    span: Option<(Time, Time)>,
    flows: FlowCounts,
}

/// The clock of the frames. It follows the latest frame; a jump back by more than a few minutes sets it back.
#[derive(Debug)]
struct FrameClock {
    now: i64,
}

impl FrameClock {
    /// A live source's clock that goes on by more than this at once was set, or its frames were lost. Less than any flow may be
    /// silent. Seconds.
    const LEAP: i64 = 5;

    /// Where time goes on with this chunk, if that is a leap.
    fn leaps_to(&self, chunk: &Chunk) -> Option<Time> {
        let ends = [chunk.frames.first(), chunk.frames.last()];
        let frames = ends.into_iter().flatten().map(|frame| frame.time);
        let latest = frames.chain(chunk.heartbeat.iter().map(|heartbeat| heartbeat.time)).max()?;
        let begun = self.now != i64::MIN;
        (begun && latest.secs() > self.now.saturating_add(FrameClock::LEAP)).then_some(latest)
    }

    /// Frames older than this against the latest are a clock that was set back, not a late frame. Seconds.
    const LATE: i64 = 600;

    #[inline]
    fn passes(&mut self, time: Time) -> Option<i64> {
        let second = time.secs();
        if second > self.now || second < self.now.saturating_sub(FrameClock::LATE) {
            self.now = second;
            return Some(second);
        }
        None
    }
}

/// The inputs, ready to be read into a follower.
struct ReadLoop<'a, S> {
    source: &'a mut S,
    front: &'a mut Ingest,
    watcher: &'a mut dyn ProgressObserver,
    stop: &'a AtomicBool,
}

impl<S: FrameSource> ReadLoop<'_, S> {
    fn into(self, follower: &mut impl PacketSink) {
        let mut chunk = Chunk::default();
        let mut latest = Time::default();
        let is_live = self.source.is_live();
        while !self.stop.load(Ordering::Relaxed) && self.source.next(&mut chunk) {
            if let (true, Some(time)) = (is_live, self.front.clock.leaps_to(&chunk)) {
                // Before the flows that are silent since then close.
                follower.heartbeat(&Heartbeat { time, lost: 1, rotate: false }, None);
            }
            for header in &chunk.frames {
                self.front.frame(&chunk.frame(header), header, follower);
            }
            if let Some(time) = chunk.frames.last().map(|last| last.time) {
                latest = time;
            }
            if let Some(heartbeat) = &chunk.heartbeat {
                self.front.passes(heartbeat.time, follower);
                let closes = heartbeat.rotate.then(|| {
                    let (ledger, span) = self.front.rotate();
                    IntervalEnd { inputs: self.source.rotate(), ledger, span, flows: FlowCounts::default() }
                });
                follower.heartbeat(heartbeat, closes);
            }
            follower.chunk(&chunk);
            self.watcher.progress(self.source.bytes_read(), self.front.frames);
        }
        let time = self.front.span.map_or(latest, |(_, last)| last);
        follower.finish(At { order: self.front.frames * 2 + 2, frame: self.front.last, time });
    }
}

/// Flow and read together: what one worker owns.
struct FlowWorker {
    table: FlowTable<<Dispatcher as flow::StreamConsumer>::State>,
    dispatcher: Dispatcher,
}

impl FlowWorker {
    fn new(limits: flow::FlowLimits) -> FlowWorker {
        FlowWorker { table: FlowTable::new(limits), dispatcher: Dispatcher::default() }
    }

    fn told(&mut self) -> &mut Vec<Observation> {
        &mut self.dispatcher.out
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::FileId;
    use crate::capture::FrameHeader;
    use crate::capture::LinkType;
    use crate::judge::Outcome;
    use crate::rules::Library;
    use crate::rules::Selection;
    use crate::rules::Site;

    /// A live source whose chunks are known.
    struct ScriptedSource(std::vec::IntoIter<Chunk>);

    impl FrameSource for ScriptedSource {
        fn next(&mut self, chunk: &mut Chunk) -> bool {
            self.0.next().map(|next| *chunk = next).is_some()
        }
        fn bytes_read(&self) -> u64 {
            0
        }
        fn rotate(&mut self) -> Vec<InputFacts> {
            Vec::new()
        }
        fn is_live(&self) -> bool {
            true
        }
        fn finish(self) -> Vec<InputFacts> {
            Vec::new()
        }
    }

    struct NoProgress;

    impl ProgressObserver for NoProgress {
        fn progress(&mut self, _: u64, _: u64) {}
    }

    /// Server port and outcome of each flow.
    #[derive(Default)]
    struct OutcomeCollector(Vec<(u16, Outcome)>);

    impl RunSink for OutcomeCollector {
        fn flow(&mut self, row: &FlowRow) {
            self.0.push((row.server.port, row.outcome));
        }
        fn dns(&mut self, _: &DnsRow) {}
    }

    const CLIENT: [u8; 4] = [10, 0, 0, 1];
    const SERVER: [u8; 4] = [203, 0, 113, 5];

    /// Raw IP with a TCP segment that has no data.
    fn segment(from: ([u8; 4], u16), to: ([u8; 4], u16), seq: u32, ack: u32, flags: u8) -> Vec<u8> {
        let mut bytes = vec![0x45, 0, 0, 40, 0, 1, 0, 0, 64, 6, 0, 0];
        bytes.extend([from.0, to.0].concat());
        bytes.extend([from.1, to.1].map(u16::to_be_bytes).concat());
        bytes.extend([seq, ack].map(u32::to_be_bytes).concat());
        bytes.extend([0x50, flags, 4, 0, 0, 0, 0, 0]);
        bytes
    }

    fn at(second: i64) -> Time {
        Time::from_parts(1_700_000_000 + second, 0)
    }

    fn frame(second: i64, bytes: Vec<u8>) -> Chunk {
        let header = FrameHeader {
            time: at(second),
            number: 1,
            captured_len: bytes.len() as u32,
            wire_len: bytes.len() as u32,
            link: LinkType(101),
            ..FrameHeader::default()
        };
        Chunk { file: FileId::default(), bytes: Arc::new(bytes), frames: vec![header], heartbeat: None }
    }

    fn heartbeat(second: i64) -> Chunk {
        let heartbeat = Heartbeat { time: at(second), lost: 0, rotate: false };
        Chunk { heartbeat: Some(heartbeat), ..Chunk::default() }
    }

    /// An attempt that nobody answers, repeated twice, by a client that hears others; and what follows.
    fn check(then: impl IntoIterator<Item = Chunk>, expected: Outcome) {
        const SYN: u8 = 2;
        let (one, other) = ((CLIENT, 50_000), (CLIENT, 50_001));
        let mut script = vec![
            frame(0, segment(one, (SERVER, 80), 1, 0, SYN)),
            frame(0, segment((SERVER, 80), one, 0, 2, 0x14)),
            frame(1, segment(other, (SERVER, 443), 7, 0, SYN)),
            heartbeat(1),
            frame(2, segment(other, (SERVER, 443), 7, 0, SYN)),
            heartbeat(2),
            heartbeat(3),
            frame(4, segment(other, (SERVER, 443), 7, 0, SYN)),
            heartbeat(4),
        ];
        script.extend(then);
        let rules = Library::embedded().unwrap().select(&Selection::default()).unwrap();
        let plan = AuditPlan {
            policy: Arc::new(Policy::new(Arc::new(rules), Site::default(), None)),
            scope: Scope::default(),
            fragments: decode::FragmentLimits::default(),
            flows: flow::FlowLimits::default(),
            judge: judge::JudgeLimits::default(),
            workers: 1,
        };
        let (_, OutcomeCollector(mut seen)) = run(
            ScriptedSource(script.into_iter()),
            plan,
            OutcomeCollector::default(),
            &mut NoProgress,
            &AtomicBool::new(false),
        );
        seen.retain(|(port, _)| *port == 443);
        assert_eq!(seen, [(443, expected)]);
    }

    #[test]
    fn time_that_leaps_is_no_silence() {
        check((5..80).map(heartbeat), Outcome::BlockedLooking);
        // A clock that was set, a machine that slept, a program that stood still: whether an answer came is not known.
        check([heartbeat(80)], Outcome::Inconclusive);
        let reset = segment((SERVER, 80), (CLIENT, 50_000), 0, 2, 0x14);
        check([frame(80, reset), heartbeat(81)], Outcome::Inconclusive);
    }
}
