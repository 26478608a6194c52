//! Opens all interfaces, before privileges are dropped.
//!
//! In:  a [`LiveCapturePlan`].
//! Out: open interfaces; a [`LiveCapture`] with its threads once they are started.
//! Not: reading frames.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread;

use crossbeam_channel::bounded;

use super::clock::now;
use super::live_capture::LiveCapture;
use super::live_capture::LiveControl;
use super::open::open_interface;
use super::plan::LiveCapturePlan;
use super::plan::LiveError;
use super::save::FrameSaver;
use super::stats::CaptureStats;
use super::stats::QUEUE_BLOCKS;
use super::worker::InterfaceWorker;
use crate::base::WireText;
use crate::capture::Interface;
use crate::capture::filter::Filter;

/// Open interfaces. Nothing has been read; privileges can be dropped.
pub struct Devices {
    workers: Vec<InterfaceWorker>,
    plan: Arc<LiveCapturePlan>,
    stats: Arc<CaptureStats>,
}

impl std::fmt::Debug for Devices {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.plan.fmt(f)
    }
}

impl Devices {
    /// Opens all interfaces of the plan.
    pub fn open(plan: LiveCapturePlan) -> Result<Devices, LiveError> {
        if let Some(filter) = &plan.filter {
            Filter::new(filter)?;
        }
        let stats = Arc::new(CaptureStats::new(&plan.interfaces));
        let plan = Arc::new(plan);
        let mut workers = Vec::new();
        for (index, name) in plan.interfaces.iter().enumerate() {
            let opened = open_interface(name, &plan, &stats)?;
            workers.push(InterfaceWorker::new(index as u16, Arc::clone(&plan), opened));
        }
        Ok(Devices { workers, plan, stats })
    }

    /// The counters of the capture.
    pub fn stats(&self) -> Arc<CaptureStats> {
        Arc::clone(&self.stats)
    }

    /// The interfaces, as in the facts of a file.
    pub fn interfaces(&self) -> Vec<Interface> {
        let resolution = if cfg!(target_os = "linux") { "10^-9" } else { "10^-6" };
        let text = |text: &str| WireText::new(text.as_bytes(), text.len());
        self.workers
            .iter()
            .zip(&self.stats.interfaces)
            .map(|(worker, stats)| Interface {
                name: Some(text(&stats.name)),
                metadata: self.plan.filter.iter().map(|filter| ("filter", text(filter))).collect(),
                ..Interface::new(worker.link, self.plan.snap_len, resolution)
            })
            .collect()
    }

    /// Starts the capture. `stop` ends it; `rotate` ends an interval, and is cleared by that.
    pub fn start(
        self,
        stop: Arc<AtomicBool>,
        rotate: Arc<AtomicBool>,
        saver: Option<FrameSaver>,
    ) -> std::io::Result<LiveCapture> {
        let interfaces = self.interfaces();
        let (out, blocks) = bounded(QUEUE_BLOCKS);
        let halt = Arc::new(AtomicBool::new(false));
        let started = now();
        for stats in &self.stats.interfaces {
            stats.read_until.store(started.0, Ordering::Relaxed);
        }
        for worker in self.workers {
            let writer = worker.block_writer(out.clone(), Arc::clone(&self.stats));
            let halt = Arc::clone(&halt);
            thread::Builder::new().name("capture".to_owned()).spawn(move || worker.run(writer, &halt))?;
        }
        let control = LiveControl { stop, rotate, halt };
        let mut live = LiveCapture::new(blocks, self.stats, self.plan, interfaces, control);
        live.saver = saver;
        Ok(live)
    }
}
