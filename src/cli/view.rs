//! What a person sees while `live` runs: a few lines, drawn again in their place once a second.

use std::collections::VecDeque;
use std::time::Instant;

use indicatif::MultiProgress;
use indicatif::ProgressBar;
use indicatif::ProgressDrawTarget;
use indicatif::ProgressStyle;
use std::sync::atomic::Ordering;

use super::metrics::Totals;
use crate::capture::Gauges;
use crate::judge::Destination;
use crate::judge::FindingRow;
use crate::judge::Outcome;

/// Findings shown, the newest last.
const NEWEST: usize = 6;

/// Lines on standard error, or nothing where that is no terminal.
pub(super) struct View {
    lines: Vec<ProgressBar>,
    whole: Option<MultiProgress>,
    newest: VecDeque<String>,
    findings: u64,
    began: Instant,
    beat: Instant,
    before: Vec<(u64, u64)>,
}

impl View {
    /// Nothing to be seen.
    pub(super) fn none() -> View {
        let now = Instant::now();
        View {
            lines: Vec::new(),
            whole: None,
            newest: VecDeque::new(),
            findings: 0,
            began: now,
            beat: now,
            before: Vec::new(),
        }
    }

    /// A view of so many interfaces.
    pub(super) fn watched(interfaces: usize) -> View {
        let whole = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(4));
        if whole.is_hidden() {
            return View::none();
        }
        let style =
            ProgressStyle::with_template("{wide_msg}").unwrap_or_else(|_| ProgressStyle::default_bar());
        let lines = (0..interfaces + 4 + NEWEST)
            .map(|_| whole.add(ProgressBar::new_spinner().with_style(style.clone())))
            .collect();
        View { lines, whole: Some(whole), before: vec![(0, 0); interfaces], ..View::none() }
    }

    /// A finding that is new.
    pub(super) fn finding(&mut self, row: &FindingRow) {
        self.findings += 1;
        if self.newest.len() >= NEWEST {
            self.newest.pop_front();
        }
        // Today is known: the clock is enough, and leaves room for what is wrong.
        let time = row.first_seen.to_string();
        let clock = time.get(11..19).unwrap_or(&time);
        self.newest.push_back(format!("{clock} {:<6} {} {}", row.severity, row.code, row.sentence));
    }

    /// Says something above the view.
    pub(super) fn say(&self, line: &str) {
        match &self.whole {
            Some(whole) => {
                // Where it cannot be drawn nobody looks.
                let _ = whole.println(line);
            }
            None => eprintln!("{line}"),
        }
    }

    /// Draws it.
    pub(super) fn draw(&mut self, gauges: &Gauges, totals: &Totals) {
        if self.whole.is_none() {
            return;
        }
        let seconds = self.beat.elapsed().as_secs_f64().max(0.001);
        self.beat = Instant::now();
        let mut texts = Vec::new();
        for (gauge, before) in gauges.ports.iter().zip(&mut self.before) {
            let now = (gauge.frames.load(Ordering::Relaxed), gauge.bytes.load(Ordering::Relaxed));
            let frames = (now.0 - before.0) as f64 / seconds;
            let bits = (now.1 - before.1) as f64 * 8.0 / seconds / 1e6;
            *before = now;
            let state = if gauge.gone.load(Ordering::Relaxed) { "  GONE, trying again" } else { "" };
            let lost = |what: &str, counter: &std::sync::atomic::AtomicU64| {
                let count = counter.load(Ordering::Relaxed);
                if count > 0 { format!("  lost by {what} {count}") } else { String::new() }
            };
            let lost = [
                lost("kernel", &gauge.kernel_drops),
                lost("interface", &gauge.interface_drops),
                lost("us", &gauge.our_drops),
            ]
            .concat();
            let lost = if lost.is_empty() { "  nothing lost".to_owned() } else { lost };
            texts.push(format!(
                "{:<12} {frames:>9.0} frames/s {bits:>9.1} Mbit/s {:>12} frames{lost}{state}",
                gauge.name, now.0
            ));
        }
        let count = |counts: &[u64], place: usize| counts.get(place).copied().unwrap_or_default();
        let words: Vec<String> = Destination::ALL
            .iter()
            .map(|word| (word.as_str(), count(&totals.destinations, *word as usize)))
            .filter(|(_, count)| *count > 0)
            .map(|(word, count)| format!("{count} {word}"))
            .collect();
        texts.push(format!(
            "flows {} live{}, {} judged: {}",
            totals.live,
            match totals.evicted + totals.unheard {
                0 => String::new(),
                early => format!(" ({early} given up for want of memory)"),
            },
            totals.judged,
            if words.is_empty() { "none to the outside yet".to_owned() } else { words.join(", ") }
        ));
        let elapsed = self.began.elapsed().as_secs();
        texts.push(format!(
            "{} blocked-looking, {} inconclusive; {} DNS answers; {:02}:{:02}:{:02}",
            count(&totals.outcomes, Outcome::BlockedLooking as usize),
            count(&totals.outcomes, Outcome::Inconclusive as usize),
            totals.dns,
            elapsed / 3600,
            elapsed / 60 % 60,
            elapsed % 60
        ));
        if let (met, needs @ 1..) = totals.met {
            texts.push(format!("{met} of {needs} needs of the site reached"));
        }
        texts.push(match self.findings {
            0 => "no findings so far".to_owned(),
            1 => "1 finding:".to_owned(),
            more => format!("{more} findings, the newest last:"),
        });
        texts.extend(self.newest.iter().map(|line| format!("  {line}")));
        for (place, line) in self.lines.iter().enumerate() {
            line.set_message(texts.get(place).cloned().unwrap_or_default());
        }
    }

    /// Removes it.
    pub(super) fn clear(&self) {
        let Some(whole) = &self.whole else { return };
        // Where it cannot be drawn nobody looks.
        let _ = whole.clear();
        whole.set_draw_target(ProgressDrawTarget::hidden());
    }
}
