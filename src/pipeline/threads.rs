//! The threads between capture and judge.
//!
//! Batches go through bounded channels, so that a slow end holds the fast one back; their vectors come back to be filled
//! again.

use std::sync::Arc;
use std::thread;

use crossbeam_channel::Receiver;
use crossbeam_channel::Sender;
use crossbeam_channel::bounded;

use super::FlowWorker;
use super::FrameSource;
use super::IntervalEnd;
use super::LiveStatus;
use super::PacketSink;
use super::ReadLoop;
use super::RunResult;
use super::RunSink;
use crate::base::FileId;
use crate::capture::Chunk;
use crate::capture::Frame;
use crate::capture::FrameHeader;
use crate::capture::Heartbeat;
use crate::decode::Decoded;
use crate::decode::Decoder;
use crate::decode::OwnedPacket;
use crate::decode::Packet;
use crate::flow::At;
use crate::flow::FlowCounts;
use crate::flow::FlowLimits;
use crate::flow::SHARDS;
use crate::flow::shard_of;
use crate::judge::DnsRow;
use crate::judge::Engine;
use crate::judge::FindingRow;
use crate::judge::FlowRow;
use crate::judge::JudgeResult;
use crate::judge::RowSink;
use crate::read::BoxPool;
use crate::read::Observation;

/// Batches under way on each channel.
const UNDER_WAY: usize = 2;

/// Observations that make a batch worth handing on: waking a thread costs as much as judging a few flows.
const BATCH: usize = 1024;

/// The same of flows that end: what is told of each is some hundred bytes.
const ENDS: usize = 256;

/// Rows that make a batch worth handing on.
const ROWS: usize = 256;

type ObservationBatch = Vec<Observation>;

/// What one worker hands to judge: observations, and behind them perhaps a pulse.
#[derive(Debug, Default)]
struct WorkerOutput {
    batch: ObservationBatch,
    heartbeat: Option<Box<JudgeHeartbeat>>,
}

/// A pulse, and what flow knows at it.
#[derive(Debug)]
struct JudgeHeartbeat {
    heartbeat: Heartbeat,
    live: u64,
    counts: FlowCounts,
    closes: Option<IntervalEnd>,
}

/// One worker, on the reading thread; judge on another.
pub(super) fn alone<S: FrameSource, D: RunSink + Send>(
    limits: FlowLimits,
    mut engine: Engine,
    sink: D,
    reading: ReadLoop<'_, S>,
) -> (FlowCounts, JudgeResult, D) {
    let (told, hear) = bounded::<WorkerOutput>(UNDER_WAY);
    let (give_back, empties) = bounded::<(ObservationBatch, BoxPool)>(UNDER_WAY * 2);
    thread::scope(|scope| {
        let (mut post, writing) = post(scope, sink);
        let judging = scope.spawn(move || {
            for WorkerOutput { mut batch, heartbeat } in hear {
                for observation in batch.drain(..) {
                    engine.accept(observation, &mut post);
                }
                if let Some(beat) = heartbeat {
                    beat_at_judge(*beat, &mut engine, &mut post);
                }
                // A full channel of empties only means that some are built again.
                let _ = give_back.try_send((batch, std::mem::take(&mut engine.box_pool)));
            }
            post.hand_on();
            engine.finish()
        });
        let mut follower = SingleWorker {
            worker: FlowWorker::new(limits),
            told: Some(told),
            empties,
            before: FlowCounts::default(),
        };
        reading.into(&mut follower);
        let counts = follower.worker.table.counts().since(follower.before);
        drop(follower);
        let judgement = join(judging);
        (counts, judgement, join(writing))
    })
}

/// A row on its way from judge to whoever writes it.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "a box for each row would cost more than the room in a batch")]
enum SinkEvent {
    Flow(FlowRow),
    Dns(DnsRow),
    News(Box<FindingRow>),
    Heartbeat(Box<LiveStatus>),
    /// Taken out where it is written.
    Turn(Option<Box<RunResult>>),
}

/// Hands rows on in batches to the thread that writes them: printing a row costs as much as judging its flow.
struct SinkChannel {
    rows: Vec<SinkEvent>,
    out: Sender<Vec<SinkEvent>>,
    empties: Receiver<Vec<SinkEvent>>,
}

impl SinkChannel {
    fn put(&mut self, row: SinkEvent) {
        self.rows.push(row);
        self.hand_on_full();
    }

    fn hand_on_full(&mut self) {
        if self.rows.len() >= ROWS {
            self.hand_on();
        }
    }

    fn hand_on(&mut self) {
        let empty = self.empties.try_recv().unwrap_or_default();
        // Fails only when the writer has panicked; joining it says so.
        let _ = self.out.send(std::mem::replace(&mut self.rows, empty));
    }
}

impl RowSink for SinkChannel {
    fn flow(&mut self, row: FlowRow) {
        // Straight into its place: a row is large to move.
        self.rows.push(SinkEvent::Flow(row));
        self.hand_on_full();
    }

    fn dns(&mut self, row: DnsRow) {
        self.put(SinkEvent::Dns(row));
    }

    fn news(&mut self, row: &FindingRow) {
        self.put(SinkEvent::News(Box::new(row.clone())));
    }
}

/// Starts the thread that writes rows; it gives the clerk back when the post is gone.
fn post<'scope, D: RunSink + Send + 'scope>(
    scope: &'scope thread::Scope<'scope, '_>,
    mut sink: D,
) -> (SinkChannel, thread::ScopedJoinHandle<'scope, D>) {
    let (out, rows) = bounded::<Vec<SinkEvent>>(UNDER_WAY);
    let (give_back, empties) = bounded::<Vec<SinkEvent>>(UNDER_WAY * 2);
    let writing = scope.spawn(move || {
        for mut batch in rows {
            for row in &mut batch {
                match row {
                    SinkEvent::Flow(row) => sink.flow(row),
                    SinkEvent::Dns(row) => sink.dns(row),
                    SinkEvent::News(row) => sink.news(row),
                    SinkEvent::Heartbeat(state) => sink.heartbeat(state),
                    SinkEvent::Turn(facts) => facts.take().into_iter().for_each(|facts| sink.rotate(*facts)),
                }
            }
            batch.clear();
            let _ = give_back.try_send(batch);
        }
        sink
    });
    (SinkChannel { rows: Vec::new(), out, empties }, writing)
}

/// Judge at a pulse: what was lost, what is new, and the end of the evidence where it is one.
fn beat_at_judge(beat: JudgeHeartbeat, engine: &mut Engine, post: &mut SinkChannel) {
    let JudgeHeartbeat { heartbeat, live, counts, closes } = beat;
    engine.heartbeat(heartbeat.time, heartbeat.lost, post);
    let (forgotten, missed) = engine.pressed();
    let state = LiveStatus {
        live,
        opened: counts.opened,
        evicted: counts.evicted,
        reassembly_stopped: counts.reassembly_stopped,
        forgotten,
        missed,
        met: engine.met(),
        tally: engine.tally().clone(),
    };
    post.put(SinkEvent::Heartbeat(Box::new(state)));
    if let Some(IntervalEnd { inputs, ledger, span, flows }) = closes {
        let judgement = engine.rotate();
        let facts = RunResult { inputs, ledger, flows, judgement, span, stopped: false };
        post.put(SinkEvent::Turn(Some(Box::new(facts))));
    }
    post.hand_on();
}

/// Waits for a thread; a panic in it is ours.
fn join<T>(handle: thread::ScopedJoinHandle<'_, T>) -> T {
    match handle.join() {
        Ok(value) => value,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

struct SingleWorker {
    worker: FlowWorker,
    told: Option<Sender<WorkerOutput>>,
    empties: Receiver<(ObservationBatch, BoxPool)>,
    /// The counts at the last turn.
    before: FlowCounts,
}

impl SingleWorker {
    /// Hands a batch on when it is one: several hundred flows may end in the same second.
    fn hand_on_from(&mut self, least: usize) {
        if self.worker.told().len() >= least {
            self.hand_on();
        }
    }

    fn hand_on(&mut self) {
        if !self.worker.told().is_empty() {
            self.hand_on_with(None);
        }
    }

    fn hand_on_with(&mut self, heartbeat: Option<Box<JudgeHeartbeat>>) {
        let (empty, box_pool) = self.empties.try_recv().unwrap_or_default();
        self.worker.dispatcher.box_pool.take_in(box_pool);
        let batch = std::mem::replace(self.worker.told(), empty);
        if let Some(told) = &self.told {
            // Fails only when judge has panicked; joining it says so.
            let _ = told.send(WorkerOutput { batch, heartbeat });
        }
    }
}

impl PacketSink for SingleWorker {
    #[inline]
    fn packet(&mut self, packet: &Packet<'_>, at: At, _: &FrameHeader) {
        self.worker.table.accept(packet, at, &mut self.worker.dispatcher);
    }

    fn whole(&mut self, packet: &Packet<'_>, at: At) {
        self.worker.table.accept(packet, at, &mut self.worker.dispatcher);
    }

    fn tick(&mut self, second: i64, at: At) {
        for slot in self.worker.table.take_expired(second) {
            self.worker.table.close_expired(slot, at, &mut self.worker.dispatcher);
            self.hand_on_from(ENDS);
        }
    }

    fn chunk(&mut self, _: &Chunk) {
        self.hand_on_from(BATCH);
    }

    fn heartbeat(&mut self, heartbeat: &Heartbeat, closes: Option<IntervalEnd>) {
        let counts = self.worker.table.counts();
        let closes = closes.map(|closes| IntervalEnd { flows: counts.since(self.before), ..closes });
        if closes.is_some() {
            self.before = counts;
        }
        let live = self.worker.table.live() as u64;
        self.hand_on_with(Some(Box::new(JudgeHeartbeat { heartbeat: *heartbeat, live, counts, closes })));
    }

    fn finish(&mut self, at: At) {
        // One by one: together they would be as large as the table.
        for slot in self.worker.table.live_slots() {
            self.worker.table.close_unfinished(slot, at, &mut self.worker.dispatcher);
            self.hand_on_from(ENDS);
        }
        self.hand_on();
        self.told = None;
    }
}

/// What a worker has to do, in order.
#[derive(Debug)]
enum WorkerTask {
    /// Decode this frame again, and follow its packet.
    Frame(FrameHeader, u64),
    /// Follow a packet that its frame alone does not give: joined from fragments, or moved to another scope.
    Whole(Box<OwnedPacket>, At),
    /// Time passes.
    Tick(i64, At),
    /// The capture is over.
    Finish(At),
}

/// The tasks of one worker in one chunk.
#[derive(Debug, Default)]
struct WorkerTasks {
    file: FileId,
    bytes: Arc<Vec<u8>>,
    tasks: Vec<WorkerTask>,
}

/// Several workers, each with its own shards; judge puts their observations in order again.
pub(super) fn shared<S: FrameSource, D: RunSink + Send>(
    limits: FlowLimits,
    workers: usize,
    mut engine: Engine,
    sink: D,
    reading: ReadLoop<'_, S>,
) -> (FlowCounts, JudgeResult, D) {
    let workers = workers.min(SHARDS);
    thread::scope(|scope| {
        let mut follower = ShardedWorkers { dispatchers: Vec::new(), due: Vec::new() };
        let mut hearing = Vec::new();
        let mut working = Vec::new();
        for _ in 0..workers {
            let (give, tasks) = bounded::<WorkerTasks>(UNDER_WAY);
            let (told, hear) = bounded::<ObservationBatch>(UNDER_WAY);
            follower.dispatchers.push(give);
            follower.due.push(Vec::new());
            hearing.push(hear);
            working.push(scope.spawn(move || work(FlowWorker::new(limits), &tasks, &told)));
        }
        let (mut post, writing) = post(scope, sink);
        let judging = scope.spawn(move || {
            while let Some(batches) =
                hearing.iter().map(|hear| hear.recv().ok()).collect::<Option<Vec<ObservationBatch>>>()
            {
                in_order(batches, |observation| engine.accept(observation, &mut post));
                engine.box_pool = BoxPool::default();
            }
            post.hand_on();
            engine.finish()
        });
        reading.into(&mut follower);
        drop(follower);
        let mut counts = FlowCounts::default();
        for worker in working {
            counts += join(worker);
        }
        let judgement = join(judging);
        (counts, judgement, join(writing))
    })
}

/// Hands out the observations of one chunk in the order of the run: by place, and what time closed by age.
fn in_order(batches: Vec<ObservationBatch>, mut accept: impl FnMut(Observation)) {
    let mut heads: Vec<_> = batches.into_iter().map(|batch| batch.into_iter().peekable()).collect();
    loop {
        let next = heads
            .iter_mut()
            .enumerate()
            .filter_map(|(number, head)| head.peek().map(|first| ((first.at.order, first.opened), number)))
            .min();
        let Some((_, number)) = next else {
            return;
        };
        if let Some(observation) = heads.get_mut(number).and_then(Iterator::next) {
            accept(observation);
        }
    }
}

/// A worker's thread: one batch of observations for each batch of tasks, even an empty one, so that judge can keep step.
fn work(
    mut worker: FlowWorker,
    tasks: &Receiver<WorkerTasks>,
    told: &Sender<ObservationBatch>,
) -> FlowCounts {
    let mut decoder = Decoder::new(crate::decode::FragmentLimits::default());
    for WorkerTasks { file, bytes, tasks } in tasks {
        let chunk = Chunk { file, bytes, ..Chunk::default() };
        for task in tasks {
            match task {
                WorkerTask::Frame(header, order) => {
                    let frame: Frame<'_> = chunk.frame(&header);
                    if let Decoded::Packet(packet) = decoder.packet(&frame) {
                        let at = At { order, frame: frame.place, time: frame.time };
                        worker.table.accept(&packet, at, &mut worker.dispatcher);
                    }
                }
                WorkerTask::Whole(packet, at) => {
                    worker.table.accept(&packet.borrow(), at, &mut worker.dispatcher)
                }
                WorkerTask::Tick(second, at) => worker.table.tick(second, at, &mut worker.dispatcher),
                WorkerTask::Finish(at) => worker.table.finish(at, &mut worker.dispatcher),
            }
        }
        if told.send(std::mem::take(worker.told())).is_err() {
            break;
        }
    }
    worker.table.counts()
}

/// Routes packets to workers by shard.
struct ShardedWorkers {
    dispatchers: Vec<Sender<WorkerTasks>>,
    due: Vec<Vec<WorkerTask>>,
}

impl ShardedWorkers {
    fn hand_out(&mut self, packet: &Packet<'_>, task: WorkerTask) {
        let worker = shard_of(packet) % self.dispatchers.len().max(1);
        if let Some(due) = self.due.get_mut(worker) {
            due.push(task);
        }
    }

    fn all(&mut self, task: impl Fn() -> WorkerTask) {
        for due in &mut self.due {
            due.push(task());
        }
    }

    fn send(&mut self, file: FileId, bytes: &Arc<Vec<u8>>) {
        for (dispatcher, due) in self.dispatchers.iter().zip(&mut self.due) {
            let tasks = WorkerTasks { file, bytes: Arc::clone(bytes), tasks: std::mem::take(due) };
            // Fails only when a worker has panicked; joining it says so.
            let _ = dispatcher.send(tasks);
        }
    }
}

impl PacketSink for ShardedWorkers {
    fn packet(&mut self, packet: &Packet<'_>, at: At, header: &FrameHeader) {
        self.hand_out(packet, WorkerTask::Frame(*header, at.order));
    }

    fn whole(&mut self, packet: &Packet<'_>, at: At) {
        self.hand_out(packet, WorkerTask::Whole(Box::new(OwnedPacket::from(packet)), at));
    }

    fn tick(&mut self, second: i64, at: At) {
        self.all(|| WorkerTask::Tick(second, at));
    }

    fn chunk(&mut self, chunk: &Chunk) {
        self.send(chunk.file, &chunk.bytes);
    }

    fn heartbeat(&mut self, _: &Heartbeat, _: Option<IntervalEnd>) {
        // Live capture has one worker.
    }

    fn finish(&mut self, at: At) {
        self.all(|| WorkerTask::Finish(at));
        self.send(FileId::default(), &Arc::default());
        self.dispatchers.clear();
    }
}
