//! Passes rows to the thread that writes them: printing a row costs as much as judging its flow.
//!
//! In:  rows, stored facts, heartbeats and interval results, from the judge's thread.
//! Out: the same calls, in the same order, to the [`RunSink`].
//! Not: the content of a row.

use std::thread;

use crossbeam_channel::Receiver;
use crossbeam_channel::Sender;
use crossbeam_channel::bounded;

use super::CHANNEL_BATCHES;
use super::LiveStatus;
use super::RunResult;
use super::RunSink;
use crate::judge::DnsRow;
use crate::judge::FlowRow;
use crate::judge::ProblemReport;
use crate::judge::RowSink;

/// Rows in one batch.
const BATCH_ROWS: usize = 256;

/// A call of [`RunSink`] on its way to the writer.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "a box for each row costs more than the room in a batch")]
enum SinkCall {
    Flow(FlowRow),
    Dns(DnsRow),
    Facts(Vec<u8>),
    Problem(Box<ProblemReport>),
    Heartbeat(Box<LiveStatus>),
    /// Taken out when it is written.
    Rotate(Option<Box<RunResult>>),
}

/// Sends rows to the thread that writes them.
pub(super) struct RowChannel {
    batch: Vec<SinkCall>,
    out: Sender<Vec<SinkCall>>,
    /// Written batches, to be filled again.
    empty_batches: Receiver<Vec<SinkCall>>,
}

impl RowChannel {
    /// Starts the thread. It ends, and returns the sink, when the channel is dropped.
    pub(super) fn start<'scope, D: RunSink + Send + 'scope>(
        scope: &'scope thread::Scope<'scope, '_>,
        mut sink: D,
    ) -> (RowChannel, thread::ScopedJoinHandle<'scope, D>) {
        let (out, batches) = bounded::<Vec<SinkCall>>(CHANNEL_BATCHES);
        let (return_batch, empty_batches) = bounded::<Vec<SinkCall>>(CHANNEL_BATCHES * 2);
        let thread = scope.spawn(move || {
            for mut batch in batches {
                // By reference: a row is large to move.
                for call in &mut batch {
                    match call {
                        SinkCall::Flow(row) => sink.flow(row),
                        SinkCall::Dns(row) => sink.dns(row),
                        SinkCall::Facts(chunk) => sink.facts(chunk),
                        SinkCall::Problem(report) => sink.problem(report),
                        SinkCall::Heartbeat(status) => sink.heartbeat(status),
                        SinkCall::Rotate(result) => {
                            result.take().into_iter().for_each(|one| sink.rotate(*one))
                        }
                    }
                }
                batch.clear();
                let _ = return_batch.try_send(batch);
            }
            sink
        });
        (RowChannel { batch: Vec::new(), out, empty_batches }, thread)
    }

    /// A second has passed; `ended` is the result of an interval that ends here.
    pub(super) fn heartbeat(&mut self, status: LiveStatus, ended: Option<RunResult>) {
        self.push(SinkCall::Heartbeat(Box::new(status)));
        if let Some(result) = ended {
            self.push(SinkCall::Rotate(Some(Box::new(result))));
        }
        self.flush();
    }

    /// A chunk of stored facts.
    pub(super) fn facts(&mut self, chunk: Vec<u8>) {
        self.push(SinkCall::Facts(chunk));
    }

    /// Sends the rows so far.
    pub(super) fn flush(&mut self) {
        let empty = self.empty_batches.try_recv().unwrap_or_default();
        // Fails only if the thread has panicked; joining it passes the panic on.
        let _ = self.out.send(std::mem::replace(&mut self.batch, empty));
    }

    fn push(&mut self, call: SinkCall) {
        self.batch.push(call);
        self.flush_if_full();
    }

    fn flush_if_full(&mut self) {
        if self.batch.len() >= BATCH_ROWS {
            self.flush();
        }
    }
}

impl RowSink for RowChannel {
    fn flow(&mut self, row: FlowRow) {
        // Built in the batch, not passed through `push`: a row is large to move.
        self.batch.push(SinkCall::Flow(row));
        self.flush_if_full();
    }

    fn dns(&mut self, row: DnsRow) {
        self.push(SinkCall::Dns(row));
    }

    fn problem(&mut self, report: ProblemReport) {
        self.push(SinkCall::Problem(Box::new(report)));
    }
}
