//! Passes observations to judge, and stores them on the way where the sink wants them.
//!
//! In:  observations, heartbeats, the end of an interval, in the order of the run.
//! Out: rows to the row channel; chunks of stored facts before the rows that follow from them.
//! Not: where observations come from: a capture, or the facts of an earlier run.

use super::row_channel::RowChannel;
use crate::base::Time;
use crate::facts::FactsEncoder;
use crate::judge::Engine;
use crate::judge::JudgeResult;
use crate::read::Observation;

/// Judge, and the encoder before it.
pub(super) struct Judging {
    pub(super) engine: Engine,
    encoder: Option<FactsEncoder>,
}

impl Judging {
    pub(super) fn new(engine: Engine, stores_facts: bool) -> Judging {
        Judging { engine, encoder: stores_facts.then(FactsEncoder::default) }
    }

    #[inline]
    pub(super) fn accept(&mut self, observation: Observation, rows: &mut RowChannel) {
        if let Some(encoder) = &mut self.encoder {
            encoder.add(&observation);
            if encoder.is_chunk_complete() {
                rows.facts(encoder.take_chunk());
            }
        }
        self.engine.accept(observation, rows);
    }

    /// The clock of a live capture: `lost` frames were dropped since the heartbeat before.
    pub(super) fn heartbeat(&mut self, time: Time, lost: u64, rows: &mut RowChannel) {
        if let Some(encoder) = &mut self.encoder {
            encoder.add_heartbeat(time, lost);
        }
        self.engine.heartbeat(time, lost, rows);
    }

    /// Ends the evidence so far; flows and names are kept.
    pub(super) fn rotate(&mut self, rows: &mut RowChannel) -> JudgeResult {
        self.flush(rows);
        // Each interval has a file of its own.
        self.encoder = self.encoder.take().map(|_| FactsEncoder::default());
        self.engine.rotate()
    }

    /// Ends the run.
    pub(super) fn finish(mut self, rows: &mut RowChannel) -> JudgeResult {
        self.flush(rows);
        self.engine.end_capture(rows);
        rows.flush();
        let result = self.engine.rotate();
        if self.engine.leaves_memory {
            // What is known of many flows takes a while to free.
            std::mem::forget(self);
        }
        result
    }

    fn flush(&mut self, rows: &mut RowChannel) {
        if let Some(encoder) = &mut self.encoder {
            rows.facts(encoder.take_chunk());
        }
    }
}
