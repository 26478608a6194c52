//! The threads between capture and judge.
//!
//! Batches go through bounded channels, so that a slow end holds the fast one back; their vectors come back to be filled
//! again.

use std::sync::Arc;
use std::thread;

use crossbeam_channel::Receiver;
use crossbeam_channel::Sender;
use crossbeam_channel::bounded;

use super::Clerk;
use super::Closes;
use super::Facts;
use super::Follower;
use super::Reading;
use super::Source;
use super::State;
use super::Worker;
use crate::base::FileId;
use crate::capture::Chunk;
use crate::capture::Frame;
use crate::capture::FrameHeader;
use crate::capture::Pulse;
use crate::decode::Decoded;
use crate::decode::Decoder;
use crate::decode::OwnedPacket;
use crate::decode::Packet;
use crate::flow::At;
use crate::flow::FlowCounts;
use crate::flow::Limits;
use crate::flow::SHARDS;
use crate::flow::shard_of;
use crate::judge::Court;
use crate::judge::DnsRow;
use crate::judge::Docket;
use crate::judge::FindingRow;
use crate::judge::FlowRow;
use crate::judge::Judgement;
use crate::read::Husks;
use crate::read::Observation;

/// Batches under way on each channel.
const UNDER_WAY: usize = 2;

/// Observations that make a batch worth handing on: waking a thread costs as much as judging a few flows.
const BATCH: usize = 1024;

/// The same of flows that end: what is told of each is some hundred bytes.
const ENDS: usize = 256;

/// Rows that make a batch worth handing on.
const ROWS: usize = 256;

type Batch = Vec<Observation>;

/// What one worker hands to judge: observations, and behind them perhaps a pulse.
#[derive(Debug, Default)]
struct Told {
    batch: Batch,
    pulse: Option<Box<Beat>>,
}

/// A pulse, and what flow knows at it.
#[derive(Debug)]
struct Beat {
    pulse: Pulse,
    live: u64,
    counts: FlowCounts,
    closes: Option<Closes>,
}

/// One worker, on the reading thread; judge on another.
pub(super) fn alone<S: Source, D: Clerk + Send>(
    limits: Limits,
    mut court: Court,
    clerk: D,
    reading: Reading<'_, S>,
) -> (FlowCounts, Judgement, D) {
    let (told, hear) = bounded::<Told>(UNDER_WAY);
    let (give_back, empties) = bounded::<(Batch, Husks)>(UNDER_WAY * 2);
    thread::scope(|scope| {
        let (mut post, writing) = post(scope, clerk);
        let judging = scope.spawn(move || {
            for Told { mut batch, pulse } in hear {
                for observation in batch.drain(..) {
                    court.accept(observation, &mut post);
                }
                if let Some(beat) = pulse {
                    beat_at_judge(*beat, &mut court, &mut post);
                }
                // A full channel of empties only means that some are built again.
                let _ = give_back.try_send((batch, std::mem::take(&mut court.husks)));
            }
            post.hand_on();
            court.finish()
        });
        let mut follower =
            Alone { worker: Worker::new(limits), told: Some(told), empties, before: FlowCounts::default() };
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
enum Row {
    Flow(FlowRow),
    Dns(DnsRow),
    News(Box<FindingRow>),
    Pulse(Box<State>),
    /// Taken out where it is written.
    Turn(Option<Box<Facts>>),
}

/// Hands rows on in batches to the thread that writes them: printing a row costs as much as judging its flow.
struct Post {
    rows: Vec<Row>,
    out: Sender<Vec<Row>>,
    empties: Receiver<Vec<Row>>,
}

impl Post {
    fn put(&mut self, row: Row) {
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

impl Docket for Post {
    fn flow(&mut self, row: FlowRow) {
        // Straight into its place: a row is large to move.
        self.rows.push(Row::Flow(row));
        self.hand_on_full();
    }

    fn dns(&mut self, row: DnsRow) {
        self.put(Row::Dns(row));
    }

    fn news(&mut self, row: &FindingRow) {
        self.put(Row::News(Box::new(row.clone())));
    }
}

/// Starts the thread that writes rows; it gives the clerk back when the post is gone.
fn post<'scope, D: Clerk + Send + 'scope>(
    scope: &'scope thread::Scope<'scope, '_>,
    mut clerk: D,
) -> (Post, thread::ScopedJoinHandle<'scope, D>) {
    let (out, rows) = bounded::<Vec<Row>>(UNDER_WAY);
    let (give_back, empties) = bounded::<Vec<Row>>(UNDER_WAY * 2);
    let writing = scope.spawn(move || {
        for mut batch in rows {
            for row in &mut batch {
                match row {
                    Row::Flow(row) => clerk.flow(row),
                    Row::Dns(row) => clerk.dns(row),
                    Row::News(row) => clerk.news(row),
                    Row::Pulse(state) => clerk.pulse(state),
                    Row::Turn(facts) => facts.take().into_iter().for_each(|facts| clerk.turn(*facts)),
                }
            }
            batch.clear();
            let _ = give_back.try_send(batch);
        }
        clerk
    });
    (Post { rows: Vec::new(), out, empties }, writing)
}

/// Judge at a pulse: what was lost, what is new, and the end of the evidence where it is one.
fn beat_at_judge(beat: Beat, court: &mut Court, post: &mut Post) {
    let Beat { pulse, live, counts, closes } = beat;
    court.pulse(pulse.time, pulse.lost, post);
    let (forgotten, missed) = court.pressed();
    let state = State {
        live,
        opened: counts.opened,
        evicted: counts.evicted,
        unheard: counts.unheard,
        forgotten,
        missed,
        met: court.met(),
        tally: court.tally().clone(),
    };
    post.put(Row::Pulse(Box::new(state)));
    if let Some(Closes { inputs, ledger, span, flows }) = closes {
        let judgement = court.turn();
        let facts = Facts { inputs, ledger, flows, judgement, span, stopped: false };
        post.put(Row::Turn(Some(Box::new(facts))));
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

struct Alone {
    worker: Worker,
    told: Option<Sender<Told>>,
    empties: Receiver<(Batch, Husks)>,
    /// The counts at the last turn.
    before: FlowCounts,
}

impl Alone {
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

    fn hand_on_with(&mut self, pulse: Option<Box<Beat>>) {
        let (empty, husks) = self.empties.try_recv().unwrap_or_default();
        self.worker.desk.husks.take_in(husks);
        let batch = std::mem::replace(self.worker.told(), empty);
        if let Some(told) = &self.told {
            // Fails only when judge has panicked; joining it says so.
            let _ = told.send(Told { batch, pulse });
        }
    }
}

impl Follower for Alone {
    #[inline]
    fn packet(&mut self, packet: &Packet<'_>, at: At, _: &FrameHeader) {
        self.worker.table.accept(packet, at, &mut self.worker.desk);
    }

    fn whole(&mut self, packet: &Packet<'_>, at: At) {
        self.worker.table.accept(packet, at, &mut self.worker.desk);
    }

    fn tick(&mut self, second: i64, at: At) {
        for slot in self.worker.table.overdue(second) {
            self.worker.table.let_go(slot, at, &mut self.worker.desk);
            self.hand_on_from(ENDS);
        }
    }

    fn chunk(&mut self, _: &Chunk) {
        self.hand_on_from(BATCH);
    }

    fn pulse(&mut self, pulse: &Pulse, closes: Option<Closes>) {
        let counts = self.worker.table.counts();
        let closes = closes.map(|closes| Closes { flows: counts.since(self.before), ..closes });
        if closes.is_some() {
            self.before = counts;
        }
        let live = self.worker.table.live() as u64;
        self.hand_on_with(Some(Box::new(Beat { pulse: *pulse, live, counts, closes })));
    }

    fn finish(&mut self, at: At) {
        // One by one: together they would be as large as the table.
        for slot in self.worker.table.remaining() {
            self.worker.table.end(slot, at, &mut self.worker.desk);
            self.hand_on_from(ENDS);
        }
        self.hand_on();
        self.told = None;
    }
}

/// What a worker has to do, in order.
#[derive(Debug)]
enum Task {
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
struct Tasks {
    file: FileId,
    bytes: Arc<Vec<u8>>,
    tasks: Vec<Task>,
}

/// Several workers, each with its own shards; judge puts their observations in order again.
pub(super) fn shared<S: Source, D: Clerk + Send>(
    limits: Limits,
    workers: usize,
    mut court: Court,
    clerk: D,
    reading: Reading<'_, S>,
) -> (FlowCounts, Judgement, D) {
    let workers = workers.min(SHARDS);
    thread::scope(|scope| {
        let mut follower = Shared { desks: Vec::new(), due: Vec::new() };
        let mut hearing = Vec::new();
        let mut working = Vec::new();
        for _ in 0..workers {
            let (give, tasks) = bounded::<Tasks>(UNDER_WAY);
            let (told, hear) = bounded::<Batch>(UNDER_WAY);
            follower.desks.push(give);
            follower.due.push(Vec::new());
            hearing.push(hear);
            working.push(scope.spawn(move || work(Worker::new(limits), &tasks, &told)));
        }
        let (mut post, writing) = post(scope, clerk);
        let judging = scope.spawn(move || {
            while let Some(batches) =
                hearing.iter().map(|hear| hear.recv().ok()).collect::<Option<Vec<Batch>>>()
            {
                in_order(batches, |observation| court.accept(observation, &mut post));
                court.husks = Husks::default();
            }
            post.hand_on();
            court.finish()
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
fn in_order(batches: Vec<Batch>, mut accept: impl FnMut(Observation)) {
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
fn work(mut worker: Worker, tasks: &Receiver<Tasks>, told: &Sender<Batch>) -> FlowCounts {
    let mut decoder = Decoder::new(crate::decode::Limits::default());
    for Tasks { file, bytes, tasks } in tasks {
        let chunk = Chunk { file, bytes, ..Chunk::default() };
        for task in tasks {
            match task {
                Task::Frame(header, order) => {
                    let frame: Frame<'_> = chunk.frame(&header);
                    if let Decoded::Packet(packet) = decoder.packet(&frame) {
                        let at = At { order, frame: frame.place, time: frame.time };
                        worker.table.accept(&packet, at, &mut worker.desk);
                    }
                }
                Task::Whole(packet, at) => worker.table.accept(&packet.borrow(), at, &mut worker.desk),
                Task::Tick(second, at) => worker.table.tick(second, at, &mut worker.desk),
                Task::Finish(at) => worker.table.finish(at, &mut worker.desk),
            }
        }
        if told.send(std::mem::take(worker.told())).is_err() {
            break;
        }
    }
    worker.table.counts()
}

/// Routes packets to workers by shard.
struct Shared {
    desks: Vec<Sender<Tasks>>,
    due: Vec<Vec<Task>>,
}

impl Shared {
    fn hand_out(&mut self, packet: &Packet<'_>, task: Task) {
        let worker = shard_of(packet) % self.desks.len().max(1);
        if let Some(due) = self.due.get_mut(worker) {
            due.push(task);
        }
    }

    fn all(&mut self, task: impl Fn() -> Task) {
        for due in &mut self.due {
            due.push(task());
        }
    }

    fn send(&mut self, file: FileId, bytes: &Arc<Vec<u8>>) {
        for (desk, due) in self.desks.iter().zip(&mut self.due) {
            let tasks = Tasks { file, bytes: Arc::clone(bytes), tasks: std::mem::take(due) };
            // Fails only when a worker has panicked; joining it says so.
            let _ = desk.send(tasks);
        }
    }
}

impl Follower for Shared {
    fn packet(&mut self, packet: &Packet<'_>, at: At, header: &FrameHeader) {
        self.hand_out(packet, Task::Frame(*header, at.order));
    }

    fn whole(&mut self, packet: &Packet<'_>, at: At) {
        self.hand_out(packet, Task::Whole(Box::new(OwnedPacket::from(packet)), at));
    }

    fn tick(&mut self, second: i64, at: At) {
        self.all(|| Task::Tick(second, at));
    }

    fn chunk(&mut self, chunk: &Chunk) {
        self.send(chunk.file, &chunk.bytes);
    }

    fn pulse(&mut self, _: &Pulse, _: Option<Closes>) {
        // Live capture has one worker.
    }

    fn finish(&mut self, at: At) {
        self.all(|| Task::Finish(at));
        self.send(FileId::default(), &Arc::default());
        self.desks.clear();
    }
}
