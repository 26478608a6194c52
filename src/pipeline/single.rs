//! One worker: flows are followed on the reading thread, judge has another.
//!
//! In:  packets, ticks and heartbeats.
//! Out: batches of observations to judge, in the order of the run.
//! Not: reading and decoding.

use std::thread;

use crossbeam_channel::Receiver;
use crossbeam_channel::Sender;
use crossbeam_channel::bounded;

use super::CHANNEL_BATCHES;
use super::FlowWorker;
use super::IngestResult;
use super::LISTED_PROBLEMS;
use super::LivePacketSink;
use super::LiveStatus;
use super::PacketSink;
use super::RunResult;
use super::RunSink;
use super::join;
use super::judging::Judging;
use super::row_channel::RowChannel;
use crate::base::Time;
use crate::capture::Chunk;
use crate::capture::FrameHeader;
use crate::decode::Packet;
use crate::flow::At;
use crate::flow::DroppedPacket;
use crate::flow::EarlyErrors;
use crate::flow::FlowCounts;
use crate::flow::FlowLimits;
use crate::judge::Engine;
use crate::judge::JudgeResult;
use crate::read::Fact;
use crate::read::Observation;

/// Observations in one batch: waking a thread costs as much as judging a few flows.
const BATCH_OBSERVATIONS: usize = 1024;

/// The same while flows end: the summary of a flow has some hundred bytes.
const BATCH_FLOW_ENDS: usize = 256;

/// DNS answers in one batch: a response is one observation, however many answers it has.
const BATCH_ANSWERS: usize = 8192;

/// What the worker sends to judge.
#[derive(Debug, Default)]
struct WorkerOutput {
    observations: Vec<Observation>,
    /// After the observations.
    heartbeat: Option<Box<WorkerHeartbeat>>,
}

/// A heartbeat with what flow knows at that point of the run.
#[derive(Debug)]
struct WorkerHeartbeat {
    time: Time,
    lost: u64,
    active_flows: u64,
    /// Since the start of the run.
    counts: FlowCounts,
    ended: Option<IntervalEnd>,
}

/// What is known before judge of an interval that ends.
#[derive(Debug)]
struct IntervalEnd {
    ingest: IngestResult,
    /// Counts of this interval.
    flows: FlowCounts,
}

/// Runs a worker and judge. `read` gives the worker all packets; the counts are those of the last interval.
pub(super) fn run<D: RunSink + Send>(
    limits: FlowLimits,
    engine: Engine,
    sink: D,
    read: impl FnOnce(&mut SingleWorker),
) -> (FlowCounts, JudgeResult, D) {
    let (output, outputs) = bounded::<WorkerOutput>(CHANNEL_BATCHES);
    let (return_batch, empty_batches) = bounded::<Vec<Observation>>(CHANNEL_BATCHES * 2);
    thread::scope(|scope| {
        let mut judge = Judging::new(engine, sink.stores_facts());
        let (mut rows, writing) = RowChannel::start(scope, sink);
        let judging = scope.spawn(move || {
            for WorkerOutput { mut observations, heartbeat } in outputs {
                for observation in observations.drain(..) {
                    judge.accept(observation, &mut rows);
                }
                if let Some(heartbeat) = heartbeat {
                    judge_heartbeat(*heartbeat, &mut judge, &mut rows);
                }
                // If the channel is full the batch is dropped, and another will be allocated.
                let _ = return_batch.try_send(observations);
            }
            judge.finish(&mut rows)
        });
        let mut worker = SingleWorker {
            worker: FlowWorker::new(limits),
            output,
            empty_batches,
            counts_before: FlowCounts::default(),
            answers: 0,
            counted: 0,
        };
        read(&mut worker);
        let counts = worker.worker.table.counts().since(worker.counts_before);
        // Closes the channel, which ends judge's thread.
        drop(worker);
        let judgement = join(judging);
        (counts, judgement, join(writing))
    })
}

/// Judge at a heartbeat: the losses, the new findings, and the end of the interval if it is one.
fn judge_heartbeat(heartbeat: WorkerHeartbeat, judge: &mut Judging, rows: &mut RowChannel) {
    let WorkerHeartbeat { time, lost, active_flows, counts, ended } = heartbeat;
    judge.heartbeat(time, lost, rows);
    let engine = &judge.engine;
    let (name_evictions, missed_findings) = engine.pressed();
    let status = LiveStatus {
        active_flows,
        opened_flows: counts.opened,
        evicted_flows: counts.evicted,
        reassembly_stopped: counts.reassembly_stopped,
        name_evictions,
        missed_findings,
        requirements_reached: engine.met(),
        tally: engine.tally().clone(),
        open: engine.open_counts(),
        problems: engine.problems(LISTED_PROBLEMS),
    };
    let ended =
        ended.map(|IntervalEnd { ingest, flows }| RunResult::new(ingest, flows, judge.rotate(rows), false));
    rows.heartbeat(status, ended);
}

/// Follows all flows.
pub(super) struct SingleWorker {
    worker: FlowWorker,
    output: Sender<WorkerOutput>,
    /// Judged batches, to be filled again.
    empty_batches: Receiver<Vec<Observation>>,
    /// The counts when this interval began.
    counts_before: FlowCounts,
    /// DNS answers in the observations before `counted`.
    answers: usize,
    counted: usize,
}

impl SingleWorker {
    fn send_if_at_least(&mut self, len: usize) {
        if self.worker.observations().len() >= len {
            self.send(None);
        }
    }

    fn send(&mut self, heartbeat: Option<Box<WorkerHeartbeat>>) {
        (self.answers, self.counted) = (0, 0);
        let empty = self.empty_batches.try_recv().unwrap_or_else(|_| Vec::with_capacity(BATCH_OBSERVATIONS));
        let observations = std::mem::replace(self.worker.observations(), empty);
        // Fails only if judge has panicked; joining it passes the panic on.
        let _ = self.output.send(WorkerOutput { observations, heartbeat });
    }
}

impl PacketSink for SingleWorker {
    #[inline]
    fn packet(&mut self, packet: &Packet<'_>, at: At, _: &FrameHeader) {
        self.worker.table.accept(packet, at, &mut self.worker.dispatcher);
    }

    fn derived_packet(&mut self, packet: &Packet<'_>, at: At) {
        self.worker.table.accept(packet, at, &mut self.worker.dispatcher);
    }

    fn dropped_packet(&mut self, packet: &Packet<'_>, drop: DroppedPacket<'_>, at: At) {
        self.worker.table.accept_dropped(packet, drop, at, &mut self.worker.dispatcher);
    }

    fn tick(&mut self, second: i64, at: At) {
        // Several hundred flows may end in one second.
        for slot in self.worker.table.take_expired(second) {
            self.worker.table.close_expired(slot, at, &mut self.worker.dispatcher);
            self.send_if_at_least(BATCH_FLOW_ENDS);
        }
        self.worker.table.report_early(at, &mut self.worker.dispatcher);
    }

    fn chunk_done(&mut self, _: &Chunk) {
        let observations = self.worker.observations();
        let answers = |observation: &Observation| match &observation.fact {
            Fact::DnsResolved(resolution) => resolution.answers.len(),
            _ => 0,
        };
        self.answers += observations.iter().skip(self.counted).map(answers).sum::<usize>();
        self.counted = observations.len();
        self.send_if_at_least(if self.answers < BATCH_ANSWERS { BATCH_OBSERVATIONS } else { 1 });
    }

    fn finish(&mut self, at: At) {
        self.worker.table.open_early_errors(EarlyErrors::All, at, &mut self.worker.dispatcher);
        // One by one: the summaries of all flows together would be as large as the table.
        for slot in self.worker.table.live_slots() {
            self.worker.table.close_unfinished(slot, at, &mut self.worker.dispatcher);
            self.send_if_at_least(BATCH_FLOW_ENDS);
        }
        self.send_if_at_least(1);
    }
}

impl LivePacketSink for SingleWorker {
    fn heartbeat(&mut self, time: Time, lost: u64, ended: Option<IngestResult>) {
        let counts = self.worker.table.counts();
        let ended = ended.map(|ingest| {
            let before = std::mem::replace(&mut self.counts_before, counts);
            IntervalEnd { ingest, flows: counts.since(before) }
        });
        let active_flows = self.worker.table.live() as u64;
        self.send(Some(Box::new(WorkerHeartbeat { time, lost, active_flows, counts, ended })));
    }
}
