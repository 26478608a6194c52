//! Runs the stages from capture to judge.
//!
//! In:  an [`AuditPlan`] and a source of frames.
//! Out: rows to a [`RunSink`], and a [`RunResult`] at the end of the run or of each interval.
//! Not: what a stage does. This module alone knows them all.
//!
//! ```text
//! one worker:   [capture → decode → flow → read] ───────────────→ [judge] → [rows]
//! more workers: [capture → decode] ──by shard──→ [flow → read]×n ─in frame order→ [judge] → [rows]
//! ```
//!
//! Brackets are threads. Where the facts are stored, they are encoded on judge's thread and written on that of the rows;
//! [`replay`] judges them again. Both forms give the same observations in the same order, because each frame, and each second of frame
//! time before it, has its own number in the order of the run.
//!
//! Live capture has one worker: it must not wait for the slowest of several. Its heartbeats carry the clock, the frames lost
//! and the end of an interval. They pass through every stage after the frames before them, so that all stages act on a
//! heartbeat at the same point of the run.

mod accounting;
mod ingest;
mod judging;
mod replay;
mod row_channel;
mod sharded;
mod single;
mod survey;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread;

use crate::base::CapturePoints;
use crate::base::Time;
use crate::base::TimeWindow;
use crate::capture;
use crate::capture::Capture;
use crate::capture::Chunk;
use crate::capture::InputFacts;
use crate::decode;
use crate::flow;
use crate::flow::At;
use crate::flow::FlowCounts;
use crate::flow::FlowTable;
use crate::judge;
use crate::judge::DnsRow;
use crate::judge::Engine;
use crate::judge::FlowRow;
use crate::judge::JudgeResult;
use crate::judge::OpenCounts;
use crate::judge::Policy;
use crate::judge::ProblemList;
use crate::judge::ProblemReport;
use crate::judge::Scope;
use crate::judge::Tally;
use crate::read::Dispatcher;
use crate::read::Observation;

pub use accounting::FrameAccounting;
pub use accounting::FrameTotals;
use ingest::Ingest;
pub use replay::replay;
pub use survey::SurveyPlan;
pub use survey::SurveyedPoints;
pub use survey::survey_points;

/// How to audit.
#[derive(Debug)]
pub struct AuditPlan {
    /// The rules and the site.
    pub policy: Arc<Policy>,
    /// The audited hosts.
    pub scope: Scope,
    /// Limits on IP fragments.
    pub fragments: decode::FragmentLimits,
    /// Limits on flows.
    pub flows: flow::FlowLimits,
    /// Limits on names and findings.
    pub judge: judge::JudgeLimits,
    /// The capture points of the inputs.
    pub points: CapturePoints,
    /// The part of the inputs that is audited; of a live run, all of it.
    pub window: TimeWindow,
    /// The process ends after the run: what judging knows of many flows is not freed.
    pub leaves_memory: bool,
}

impl AuditPlan {
    /// All hosts that are audited by default, with the default limits.
    pub fn of(policy: Arc<Policy>) -> AuditPlan {
        AuditPlan {
            policy,
            scope: Scope::default(),
            fragments: decode::FragmentLimits::default(),
            flows: flow::FlowLimits::default(),
            judge: judge::JudgeLimits::default(),
            points: CapturePoints::default(),
            window: TimeWindow::default(),
            leaves_memory: false,
        }
    }
}

/// What a run, or one interval of a live run, has seen.
#[derive(Debug)]
pub struct RunResult {
    /// Each input.
    pub inputs: Vec<InputFacts>,
    /// What became of the frames.
    pub accounting: FrameAccounting,
    /// Counts of the flow table.
    pub flows: FlowCounts,
    /// Findings and counts.
    pub judgement: JudgeResult,
    /// Times of the earliest and the latest frame of the window.
    pub span: Option<(Time, Time)>,
    /// The run was stopped before the end of its inputs.
    pub stopped: bool,
}

impl RunResult {
    fn new(ingest: IngestResult, flows: FlowCounts, judgement: JudgeResult, stopped: bool) -> RunResult {
        let IngestResult { inputs, accounting, span } = ingest;
        RunResult { inputs, accounting, flows, judgement, span, stopped }
    }
}

/// How a run is watched and stopped.
pub struct RunControl<'a> {
    /// Called after each chunk of frames.
    pub progress: &'a mut dyn ProgressObserver,
    /// Ends the run at the next chunk. The frames before it are audited.
    pub stop: &'a AtomicBool,
}

/// Receives the progress of a run.
pub trait ProgressObserver {
    /// Raw bytes read and frames seen so far.
    fn progress(&mut self, bytes: u64, frames: u64);
}

/// Writes the rows.
pub trait RunSink {
    /// A flow has ended.
    fn flow(&mut self, row: &FlowRow);
    /// A DNS response arrived, or a query stays unanswered.
    fn dns(&mut self, row: &DnsRow);
    /// Whether the sink stores the facts themselves.
    fn stores_facts(&self) -> bool {
        false
    }
    /// A chunk of facts, only if the sink stores them.
    fn facts(&mut self, _: &[u8]) {}
    /// Live capture only: a problem has begun, recovered, begun again or lasts.
    fn problem(&mut self, _: &ProblemReport) {}
    /// Live capture only: a second has passed.
    fn heartbeat(&mut self, _: &LiveStatus) {}
    /// Live capture only: an interval has ended. The rows after this call belong to the next one.
    fn rotate(&mut self, _: RunResult) {}
}

/// The state of a live run.
#[derive(Clone, Debug, Default)]
pub struct LiveStatus {
    /// Flows that are open now.
    pub active_flows: u64,
    /// Flows opened since the start.
    pub opened_flows: u64,
    /// Flows evicted from a full table since the start.
    pub evicted_flows: u64,
    /// Flows whose stream reassembly was stopped to save memory, since the start.
    pub reassembly_stopped: u64,
    /// How often the name cache has dropped its older half since the start.
    pub name_evictions: u64,
    /// Findings of this interval that were not kept because the limit was reached.
    pub missed_findings: u64,
    /// Required endpoints reached in this interval, and how many are required.
    pub requirements_reached: (u64, u64),
    /// Counts of this interval, without the destinations.
    pub tally: Tally,
    /// Judged flows that are open now.
    pub open: OpenCounts,
    /// The problems of the run, across its intervals.
    pub problems: ProblemList,
}

/// Problems that a [`LiveStatus`] has with all that is known: more than a screen shows.
pub const LISTED_PROBLEMS: usize = 64;

/// A source of frames that has no end of its own and gives the current time.
pub trait LiveSource {
    /// Waits for frames, a heartbeat or both, and puts the frames into `chunk`.
    fn next(&mut self, chunk: &mut Chunk) -> capture::LiveEvent;
    /// Bytes of the frames so far.
    fn bytes_read(&self) -> u64;
    /// Ends the capture; the inputs of the last interval.
    fn finish(self) -> Vec<InputFacts>;
}

#[cfg(feature = "live")]
impl LiveSource for capture::LiveCapture {
    fn next(&mut self, chunk: &mut Chunk) -> capture::LiveEvent {
        capture::LiveCapture::next(self, chunk)
    }

    fn bytes_read(&self) -> u64 {
        capture::LiveCapture::bytes_read(self)
    }

    fn finish(self) -> Vec<InputFacts> {
        capture::LiveCapture::finish(self)
    }
}

/// Audits files and streams. Rows go to `sink`, which is returned.
///
/// `workers` threads follow flows; with one, the thread that reads the capture does it.
pub fn run_files<D: RunSink + Send>(
    mut capture: Capture,
    workers: usize,
    plan: AuditPlan,
    sink: D,
    control: RunControl<'_>,
) -> (RunResult, D) {
    let mut engine = Engine::new(plan.policy, plan.scope, plan.judge)
        .with_points(plan.points.clone())
        .with_window(plan.window);
    engine.leaves_memory = plan.leaves_memory;
    let heavy_loss_is_known = capture.has_heavy_loss();
    if heavy_loss_is_known {
        engine.doubt();
    }
    let stop = control.stop;
    let mut ingest = Ingest::new(plan.fragments, plan.points, plan.window);
    let (flows, mut judgement, sink) = if workers <= 1 {
        single::run(plan.flows, engine, sink, |packets| ingest.read_files(&mut capture, control, packets))
    } else {
        sharded::run(plan.flows, workers, engine, sink, |packets| {
            ingest.read_files(&mut capture, control, packets);
        })
    };
    let result = ingest.finish(capture.finish());
    if !heavy_loss_is_known && result.inputs.iter().any(InputFacts::has_heavy_loss) {
        judgement.doubt();
    }
    (RunResult::new(result, flows, judgement, stop.load(Ordering::Relaxed)), sink)
}

/// Audits a live capture. Rows go to `sink`, which is returned; the result is that of the last interval.
///
/// Problems are reported while they occur. How much was lost, and when, is in the heartbeats.
pub fn run_live<S: LiveSource, D: RunSink + Send>(
    mut source: S,
    plan: AuditPlan,
    sink: D,
    control: RunControl<'_>,
) -> (RunResult, D) {
    let mut engine = Engine::new(plan.policy, plan.scope, plan.judge);
    engine.leaves_memory = plan.leaves_memory;
    engine.follow_problems();
    let flows = flow::FlowLimits { report_interim: true, ..plan.flows };
    let stop = control.stop;
    let mut ingest = Ingest::new(plan.fragments, CapturePoints::default(), TimeWindow::default());
    let (flows, judgement, sink) =
        single::run(flows, engine, sink, |packets| ingest.read_live(&mut source, control, packets));
    let result = ingest.finish(source.finish());
    (RunResult::new(result, flows, judgement, stop.load(Ordering::Relaxed)), sink)
}

/// What is known of the frames of a run or an interval.
#[derive(Debug)]
struct IngestResult {
    inputs: Vec<InputFacts>,
    accounting: FrameAccounting,
    /// Times of the earliest and the latest frame of the window.
    span: Option<(Time, Time)>,
}

/// Receives packets and the passing of time, in the order of the run.
trait PacketSink {
    /// A packet; decoding the frame of `header` again gives the same one.
    fn packet(&mut self, packet: &decode::Packet<'_>, at: At, header: &capture::FrameHeader);
    /// A packet that decoding one frame does not give: reassembled from fragments, or moved to another encapsulation.
    fn derived_packet(&mut self, packet: &decode::Packet<'_>, at: At);
    /// A packet that the host itself dropped.
    fn dropped_packet(&mut self, packet: &decode::Packet<'_>, drop: flow::DroppedPacket<'_>, at: At);
    /// Frame time has reached this second.
    fn tick(&mut self, second: i64, at: At);
    /// All packets of `chunk` have been given.
    fn chunk_done(&mut self, chunk: &Chunk);
    /// No more frames come.
    fn finish(&mut self, at: At);
}

/// A packet sink for live capture.
trait LivePacketSink: PacketSink {
    /// All frames up to `time` have been given, except `lost` frames since the last call.
    fn heartbeat(&mut self, time: Time, lost: u64, ended: Option<IngestResult>);
}

/// Batches that wait in a channel between two threads. The bound makes a slow stage slow down the stages before it.
const CHANNEL_BATCHES: usize = 2;

/// Waits for a thread; its panic is passed on.
fn join<T>(handle: thread::ScopedJoinHandle<'_, T>) -> T {
    match handle.join() {
        Ok(value) => value,
        Err(panic) => std::panic::resume_unwind(panic),
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

    fn observations(&mut self) -> &mut Vec<Observation> {
        &mut self.dispatcher.out
    }
}
#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::FileId;
    use crate::capture::FrameHeader;
    use crate::capture::Heartbeat;
    use crate::capture::LinkType;
    use crate::capture::LiveEvent;
    use crate::judge::Outcome;
    use crate::rules::Library;
    use crate::rules::Selection;
    use crate::rules::Site;

    /// A live source that delivers given chunks and heartbeats.
    struct ScriptedSource(std::vec::IntoIter<(Chunk, LiveEvent)>);

    impl LiveSource for ScriptedSource {
        fn next(&mut self, chunk: &mut Chunk) -> LiveEvent {
            let Some((next, event)) = self.0.next() else { return LiveEvent::End };
            *chunk = next;
            event
        }
        fn bytes_read(&self) -> u64 {
            0
        }
        fn finish(self) -> Vec<InputFacts> {
            Vec::new()
        }
    }

    struct NoProgress;

    impl ProgressObserver for NoProgress {
        fn progress(&mut self, _: u64, _: u64) {}
    }

    /// Keeps server port and outcome of each flow, and the results of the intervals.
    #[derive(Default)]
    struct Collector {
        outcomes: Vec<(u16, Outcome)>,
        intervals: Vec<RunResult>,
    }

    impl RunSink for Collector {
        fn flow(&mut self, row: &FlowRow) {
            self.outcomes.push((row.server.port, row.assessment.outcome()));
        }
        fn dns(&mut self, _: &DnsRow) {}
        fn rotate(&mut self, result: RunResult) {
            self.intervals.push(result);
        }
    }

    const CLIENT: [u8; 4] = [10, 0, 0, 1];
    const SERVER: [u8; 4] = [203, 0, 113, 5];
    const SYN: u8 = 2;
    const RST_ACK: u8 = 0x14;

    /// An IPv4 header with this fragment field.
    fn ipv4(len: u16, fragment: u16, from: [u8; 4], to: [u8; 4]) -> Vec<u8> {
        let [len, fragment] = [len, fragment].map(u16::to_be_bytes);
        let head = [0x45, 0, len[0], len[1], 0, 1, fragment[0], fragment[1], 64, 6, 0, 0];
        [&head[..], &from, &to].concat()
    }

    /// Raw IP with a TCP segment that has no data.
    fn segment(from: ([u8; 4], u16), to: ([u8; 4], u16), seq: u32, ack: u32, flags: u8) -> Vec<u8> {
        let mut bytes = ipv4(40, 0, from.0, to.0);
        bytes.extend([from.1, to.1].map(u16::to_be_bytes).concat());
        bytes.extend([seq, ack].map(u32::to_be_bytes).concat());
        bytes.extend([0x50, flags, 4, 0, 0, 0, 0, 0]);
        bytes
    }

    fn at(second: i64) -> Time {
        Time::from_parts(1_700_000_000 + second, 0)
    }

    fn chunk(second: i64, bytes: Vec<u8>) -> Chunk {
        let header = FrameHeader {
            time: at(second),
            number: 1,
            captured_len: bytes.len() as u32,
            wire_len: bytes.len() as u32,
            link: LinkType::RAW,
            ..FrameHeader::default()
        };
        Chunk { file: FileId::default(), bytes: Arc::new(bytes), frames: vec![header], ..Chunk::default() }
    }

    fn frame(second: i64, bytes: Vec<u8>) -> (Chunk, LiveEvent) {
        (chunk(second, bytes), LiveEvent::Frames)
    }

    fn heartbeat(second: i64) -> (Chunk, LiveEvent) {
        let heartbeat = Heartbeat { time: at(second), lost: 0, ended_interval: None };
        (Chunk::default(), LiveEvent::Heartbeat(heartbeat))
    }

    fn run(script: Vec<(Chunk, LiveEvent)>) -> (RunResult, Collector) {
        let rules = Library::embedded().unwrap().select(&Selection::default()).unwrap();
        let plan = AuditPlan::of(Arc::new(Policy::new(Arc::new(rules), Site::default(), None)));
        let control = RunControl { progress: &mut NoProgress, stop: &AtomicBool::new(false) };
        run_live(ScriptedSource(script.into_iter()), plan, Collector::default(), control)
    }

    /// A client retransmits a SYN twice without a reply, while another connection of it is refused; then `then` follows.
    fn check_silence(then: impl IntoIterator<Item = (Chunk, LiveEvent)>, expected: Outcome) {
        let (refused, silent) = ((CLIENT, 50_000), (CLIENT, 50_001));
        let mut script = vec![
            frame(0, segment(refused, (SERVER, 80), 1, 0, SYN)),
            frame(0, segment((SERVER, 80), refused, 0, 2, RST_ACK)),
            frame(1, segment(silent, (SERVER, 443), 7, 0, SYN)),
            heartbeat(1),
            frame(2, segment(silent, (SERVER, 443), 7, 0, SYN)),
            heartbeat(2),
            heartbeat(3),
            frame(4, segment(silent, (SERVER, 443), 7, 0, SYN)),
            heartbeat(4),
        ];
        script.extend(then);
        let (_, Collector { mut outcomes, .. }) = run(script);
        outcomes.retain(|(port, _)| *port == 443);
        assert_eq!(outcomes, [(443, expected)]);
    }

    #[test]
    fn a_leap_of_the_clock_is_not_silence() {
        check_silence((5..80).map(heartbeat), Outcome::BlockedLooking);
        // The clock was set, the machine slept or the program was stopped: it is not known whether a reply came.
        check_silence([heartbeat(80)], Outcome::Inconclusive);
        let reset = segment((SERVER, 80), (CLIENT, 50_000), 0, 2, RST_ACK);
        check_silence([frame(80, reset), heartbeat(81)], Outcome::Inconclusive);
    }

    #[test]
    fn each_interval_accounts_for_its_own_frames() {
        const MORE_FRAGMENTS: u16 = 0x2000;
        let rotation = |second, name: &str| {
            let name = crate::base::WireText::new(name.as_bytes(), 64);
            let inputs = vec![InputFacts { name, ..InputFacts::default() }];
            let heartbeat = Heartbeat { time: at(second), lost: 0, ended_interval: Some(inputs) };
            LiveEvent::Heartbeat(heartbeat)
        };
        let fragment = || [ipv4(28, MORE_FRAGMENTS, CLIENT, SERVER), vec![0; 8]].concat();
        let syn = |port| segment((CLIENT, port), (SERVER, 443), 7, 0, SYN);
        let (last, Collector { intervals, .. }) = run(vec![
            frame(0, fragment()),
            frame(0, syn(1)),
            // The frames of a chunk come before its heartbeat.
            (chunk(1, syn(2)), rotation(1, "first")),
            frame(2, vec![0xff; 20]),
            (chunk(3, syn(3)), rotation(3, "second")),
            (Chunk::default(), rotation(4, "third")),
            frame(5, syn(4)),
        ]);
        let counts = |result: &RunResult| {
            let RunResult { accounting, flows, .. } = result;
            assert_eq!(accounting.sum(), accounting.read, "every frame is in exactly one line");
            let frames = [accounting.read, accounting.packets, accounting.fragments].map(|line| line.frames);
            (frames, accounting.fragment_counts.fragments, flows.packets, flows.opened)
        };
        let counted: Vec<_> = intervals.iter().map(counts).collect();
        assert_eq!(counted, [([3, 2, 1], 1, 2, 2), ([2, 1, 0], 0, 1, 1), ([0, 0, 0], 0, 0, 0)]);
        assert_eq!(counts(&last), ([1, 1, 0], 0, 1, 1));
        let names: Vec<_> = intervals.iter().map(|result| result.inputs[0].name.as_str()).collect();
        assert_eq!(names, ["first", "second", "third"]);
        let spans: Vec<_> = intervals.iter().chain([&last]).map(|result| result.span).collect();
        let span = |first, last| Some((at(first), at(last)));
        assert_eq!(spans, [span(0, 1), span(2, 3), None, span(5, 5)]);
        assert_eq!(last.accounting.fragment_counts.unfinished, 1, "given up at the end of the run");
    }
}
