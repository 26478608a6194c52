//! Several workers: each follows the flows of its own shards, and their observations are merged for judge.
//!
//! In:  packets and ticks.
//! Out: observations to judge, in the order of the run.
//! Not: reading and decoding; heartbeats, since live capture has one worker.

use std::sync::Arc;
use std::thread;

use crossbeam_channel::Receiver;
use crossbeam_channel::Sender;
use crossbeam_channel::bounded;

use super::CHANNEL_BATCHES;
use super::FlowWorker;
use super::PacketSink;
use super::RunSink;
use super::join;
use super::judging::Judging;
use super::row_channel::RowChannel;
use crate::base::FileId;
use crate::base::HostDrop;
use crate::capture::Chunk;
use crate::capture::FrameHeader;
use crate::decode::Decoded;
use crate::decode::Decoder;
use crate::decode::FragmentLimits;
use crate::decode::OwnedPacket;
use crate::decode::Packet;
use crate::flow::At;
use crate::flow::DroppedPacket;
use crate::flow::FlowCounts;
use crate::flow::FlowLimits;
use crate::flow::SHARDS;
use crate::flow::shard_of;
use crate::judge::Engine;
use crate::judge::JudgeResult;
use crate::read::Observation;

/// What a worker has to do, in order.
#[derive(Debug)]
enum WorkerTask {
    /// Decode this frame again, and follow its packet.
    Frame(FrameHeader, u64),
    /// Follow a packet that decoding one frame does not give.
    DerivedPacket(Box<OwnedPacket>, At),
    /// Note that the host dropped this packet; `true`: the packet itself was followed before.
    DroppedPacket(Box<(OwnedPacket, HostDrop, bool)>, At),
    /// Time passes.
    Tick(i64, At),
    /// The capture has ended.
    Finish(At),
}

/// The tasks of one worker for one chunk.
#[derive(Debug, Default)]
struct WorkerTasks {
    file: FileId,
    bytes: Arc<Vec<u8>>,
    tasks: Vec<WorkerTask>,
}

/// Runs `workers` workers and judge. `read` gives all packets.
pub(super) fn run<D: RunSink + Send>(
    limits: FlowLimits,
    workers: usize,
    engine: Engine,
    sink: D,
    read: impl FnOnce(&mut ShardedWorkers),
) -> (FlowCounts, JudgeResult, D) {
    thread::scope(|scope| {
        let mut packets = ShardedWorkers { senders: Vec::new(), tasks: Vec::new() };
        let mut outputs = Vec::new();
        let mut threads = Vec::new();
        for _ in 0..workers.min(SHARDS) {
            let (sender, tasks) = bounded::<WorkerTasks>(CHANNEL_BATCHES);
            let (output, observations) = bounded::<Vec<Observation>>(CHANNEL_BATCHES);
            packets.senders.push(sender);
            packets.tasks.push(Vec::new());
            outputs.push(observations);
            threads.push(scope.spawn(move || run_worker(FlowWorker::new(limits), &tasks, &output)));
        }
        let mut judge = Judging::new(engine, sink.stores_facts());
        let (mut rows, writing) = RowChannel::start(scope, sink);
        let judging = scope.spawn(move || {
            // Every worker sends one batch for each chunk.
            while let Some(batches) =
                outputs.iter().map(|output| output.recv().ok()).collect::<Option<Vec<Vec<Observation>>>>()
            {
                merge_in_order(batches, |observation| judge.accept(observation, &mut rows));
            }
            judge.finish(&mut rows)
        });
        read(&mut packets);
        // Closes the channels, which ends the workers and then judge's thread.
        drop(packets);
        let mut counts = FlowCounts::default();
        for worker in threads {
            counts += join(worker);
        }
        let judgement = join(judging);
        (counts, judgement, join(writing))
    })
}

/// Gives out the observations of one chunk in the order of the run; flows that one tick ends, in the order of their first frames.
fn merge_in_order(batches: Vec<Vec<Observation>>, mut accept: impl FnMut(Observation)) {
    let mut heads: Vec<_> = batches.into_iter().map(|batch| batch.into_iter().peekable()).collect();
    loop {
        let next = heads
            .iter_mut()
            .enumerate()
            .filter_map(|(worker, head)| head.peek().map(|first| ((first.at.order, first.opened), worker)))
            .min();
        let Some((_, worker)) = next else {
            return;
        };
        if let Some(observation) = heads.get_mut(worker).and_then(Iterator::next) {
            accept(observation);
        }
    }
}

/// A worker's thread. It sends one batch for each batch of tasks, even an empty one, so that judge can merge chunk by chunk.
fn run_worker(
    mut worker: FlowWorker,
    tasks: &Receiver<WorkerTasks>,
    output: &Sender<Vec<Observation>>,
) -> FlowCounts {
    let mut decoder = Decoder::new(FragmentLimits::default());
    for WorkerTasks { file, bytes, tasks } in tasks {
        let chunk = Chunk { file, bytes, ..Chunk::default() };
        for task in tasks {
            match task {
                WorkerTask::Frame(header, order) => {
                    let frame = chunk.frame(&header);
                    if let Decoded::Packet(packet) = decoder.decode(&frame) {
                        let at = At { order, frame: frame.frame_ref, time: frame.time };
                        worker.table.accept(&packet, at, &mut worker.dispatcher);
                    }
                }
                WorkerTask::DerivedPacket(packet, at) => {
                    worker.table.accept(&packet.borrow(), at, &mut worker.dispatcher);
                }
                WorkerTask::DroppedPacket(dropped, at) => {
                    let (packet, drop, is_duplicate) = &*dropped;
                    let drop = DroppedPacket { drop, is_duplicate: *is_duplicate };
                    worker.table.accept_dropped(&packet.borrow(), drop, at, &mut worker.dispatcher);
                }
                WorkerTask::Tick(second, at) => worker.table.tick(second, at, &mut worker.dispatcher),
                WorkerTask::Finish(at) => worker.table.finish(at, &mut worker.dispatcher),
            }
        }
        if output.send(std::mem::take(worker.observations())).is_err() {
            break;
        }
    }
    worker.table.counts()
}

/// Routes packets to workers by shard.
pub(super) struct ShardedWorkers {
    senders: Vec<Sender<WorkerTasks>>,
    /// What each worker has to do in this chunk.
    tasks: Vec<Vec<WorkerTask>>,
}

impl ShardedWorkers {
    fn assign(&mut self, packet: &Packet<'_>, task: WorkerTask) {
        let worker = shard_of(packet) % self.tasks.len().max(1);
        if let Some(tasks) = self.tasks.get_mut(worker) {
            tasks.push(task);
        }
    }

    fn assign_to_all(&mut self, task: impl Fn() -> WorkerTask) {
        for tasks in &mut self.tasks {
            tasks.push(task());
        }
    }

    fn send(&mut self, file: FileId, bytes: &Arc<Vec<u8>>) {
        for (sender, tasks) in self.senders.iter().zip(&mut self.tasks) {
            let tasks = WorkerTasks { file, bytes: Arc::clone(bytes), tasks: std::mem::take(tasks) };
            // Fails only if a worker has panicked; joining it passes the panic on.
            let _ = sender.send(tasks);
        }
    }
}

impl PacketSink for ShardedWorkers {
    fn packet(&mut self, packet: &Packet<'_>, at: At, header: &FrameHeader) {
        self.assign(packet, WorkerTask::Frame(*header, at.order));
    }

    fn derived_packet(&mut self, packet: &Packet<'_>, at: At) {
        self.assign(packet, WorkerTask::DerivedPacket(Box::new(OwnedPacket::from(packet)), at));
    }

    fn dropped_packet(&mut self, packet: &Packet<'_>, drop: DroppedPacket<'_>, at: At) {
        let dropped = (OwnedPacket::from(packet), drop.drop.clone(), drop.is_duplicate);
        self.assign(packet, WorkerTask::DroppedPacket(Box::new(dropped), at));
    }

    fn tick(&mut self, second: i64, at: At) {
        self.assign_to_all(|| WorkerTask::Tick(second, at));
    }

    fn chunk_done(&mut self, chunk: &Chunk) {
        self.send(chunk.file, &chunk.bytes);
    }

    fn finish(&mut self, at: At) {
        self.assign_to_all(|| WorkerTask::Finish(at));
        self.send(FileId::default(), &Arc::default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::FrameRef;
    use crate::base::Time;
    use crate::flow::Slot;
    use crate::read::Fact;

    fn observation((order, opened): (u64, u64)) -> Observation {
        let at = At { order, frame: FrameRef::default(), time: Time::default() };
        Observation { at, slot: Slot(0), opened, fact: Fact::RolesSwapped }
    }

    /// Order and opening frame of each worker's observations, and of the merged ones.
    fn check(workers: &[&[(u64, u64)]], expected: &[(u64, u64)]) {
        let mut merged = Vec::new();
        let batches = || workers.iter().map(|worker| worker.iter().copied().map(observation).collect());
        merge_in_order(batches().collect(), |one| merged.push((one.at.order, one.opened)));
        assert_eq!(merged, expected);
        merged.clear();
        merge_in_order(batches().rev().collect(), |one| merged.push((one.at.order, one.opened)));
        assert_eq!(merged, expected, "whichever worker follows which flow");
    }

    #[test]
    fn observations_are_merged_in_the_order_of_frames() {
        check(&[], &[]);
        check(&[&[], &[]], &[]);
        check(&[&[(1, 1), (5, 1)], &[(3, 3)], &[]], &[(1, 1), (3, 3), (5, 1)]);
        // Several observations of one frame stay in their order.
        check(&[&[(1, 1), (1, 1), (7, 1)], &[(3, 3), (3, 3)]], &[(1, 1), (1, 1), (3, 3), (3, 3), (7, 1)]);
    }

    #[test]
    fn flows_that_one_tick_ends_are_merged_by_age() {
        check(&[&[(8, 1), (8, 5), (9, 9)], &[(8, 3), (8, 7)]], &[(8, 1), (8, 3), (8, 5), (8, 7), (9, 9)]);
    }
}
