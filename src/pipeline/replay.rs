//! Judges the stored facts of an earlier run.
//!
//! In:  a facts file, or those of all intervals of a run.
//! Out: rows to a [`RunSink`], as the run itself would have given them under this policy.
//! Not: frames, and what became of them: the facts file ends with that.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread;

use super::AuditPlan;
use super::RunSink;
use super::join;
use super::judging::Judging;
use super::row_channel::RowChannel;
use crate::facts::FactsError;
use crate::facts::FactsReader;
use crate::facts::Stored;
use crate::judge::Engine;
use crate::judge::JudgeResult;

/// Judges stored facts. `next` opens the facts of the interval after the given one; none after the last. Rows go to `sink`,
/// which is returned. Ends early, without an error, when it is stopped.
pub fn replay<D: RunSink + Send>(
    first: FactsReader,
    mut next: impl FnMut(FactsReader) -> Result<Option<FactsReader>, FactsError>,
    plan: AuditPlan,
    sink: D,
    stop: &AtomicBool,
) -> (Result<JudgeResult, FactsError>, D) {
    let mut engine = Engine::new(plan.policy, plan.scope, plan.judge)
        .with_points(first.header().points.clone())
        .with_window(first.header().window);
    engine.leaves_memory = plan.leaves_memory;
    if first.header().is_silence_unreliable {
        engine.doubt();
    }
    thread::scope(|scope| {
        let (mut rows, writing) = RowChannel::start(scope, sink);
        let mut judging = Judging::new(engine, false);
        let mut facts = first;
        let judged = loop {
            if stop.load(Ordering::Relaxed) {
                break Ok(judging.finish(&mut rows));
            }
            match facts.next_fact() {
                Ok(Some(Stored::Observation(observation))) => judging.accept(observation, &mut rows),
                Ok(Some(Stored::Heartbeat { time, lost })) => judging.heartbeat(time, lost, &mut rows),
                Ok(None) => match next(facts) {
                    Ok(Some(following)) => facts = following,
                    Ok(None) => break Ok(judging.finish(&mut rows)),
                    Err(error) => break Err(error),
                },
                Err(error) => break Err(error),
            }
        };
        drop(rows);
        (judged, join(writing))
    })
}
