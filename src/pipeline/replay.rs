//! Judges the stored facts of an earlier run.
//!
//! In:  a facts file.
//! Out: rows to a [`RunSink`], as the run itself would have given them under this policy.
//! Not: frames, and what became of them: the facts file ends with that.

use std::sync::atomic::Ordering;
use std::thread;

use super::AuditPlan;
use super::RunControl;
use super::RunSink;
use super::join;
use super::judging::Judging;
use super::row_channel::RowChannel;
use crate::facts::FactsError;
use crate::facts::FactsReader;
use crate::facts::Stored;
use crate::judge::Engine;
use crate::judge::JudgeResult;

/// Facts between two reports of progress.
const PROGRESS_FACTS: u64 = 1 << 14;

/// Judges stored facts. Rows go to `sink`, which is returned. Ends early, without an error, when it is stopped.
pub fn replay<D: RunSink + Send>(
    facts: &mut FactsReader,
    plan: AuditPlan,
    sink: D,
    control: RunControl<'_>,
) -> (Result<JudgeResult, FactsError>, D) {
    let mut engine =
        Engine::new(plan.policy, plan.scope, plan.judge).with_points(facts.header().points.clone());
    if facts.header().is_silence_unreliable {
        engine.doubt();
    }
    thread::scope(|scope| {
        let (mut rows, writing) = RowChannel::start(scope, sink);
        let mut judging = Judging::new(engine, false);
        let judged = loop {
            if control.stop.load(Ordering::Relaxed) {
                break Ok(judging.finish(&mut rows));
            }
            match facts.next() {
                Ok(Some(Stored::Observation(observation))) => judging.accept(observation, &mut rows),
                Ok(Some(Stored::Heartbeat { time, lost })) => judging.heartbeat(time, lost, &mut rows),
                Ok(None) => break Ok(judging.finish(&mut rows)),
                Err(error) => break Err(error),
            }
            if facts.records().is_multiple_of(PROGRESS_FACTS) {
                control.progress.progress(facts.bytes_read(), facts.records());
            }
        };
        drop(rows);
        (judged, join(writing))
    })
}
