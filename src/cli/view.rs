//! What a person sees while `live` runs: a few lines, drawn again in their place once a second.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::io::Write as _;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::metrics::Totals;
use crate::capture::Gauges;
use crate::judge::Destination;
use crate::judge::FindingRow;
use crate::judge::Outcome;
use crate::judge::PortVerdict;
use crate::report::cut;

/// Findings shown, the newest last.
const NEWEST: usize = 6;

/// Lines on standard error, or nothing where that is no terminal.
pub(super) struct View {
    is_shown: bool,
    lines: Vec<String>,
    /// How wide the lines are that can be seen now.
    drawn: Vec<usize>,
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
            is_shown: false,
            lines: Vec::new(),
            drawn: Vec::new(),
            newest: VecDeque::new(),
            findings: 0,
            began: now,
            beat: now,
            before: Vec::new(),
        }
    }

    /// A view of so many interfaces.
    pub(super) fn watched(interfaces: usize) -> View {
        // A terminal that cannot go back a line is like a pipe.
        let is_shown =
            std::io::stderr().is_terminal() && std::env::var_os("TERM").is_none_or(|is| is != "dumb");
        View { is_shown, before: vec![(0, 0); interfaces], ..View::none() }
    }

    /// Whether anything is drawn.
    pub(super) const fn is_shown(&self) -> bool {
        self.is_shown
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
        self.newest.push_back(format!("{clock} {:<6} {} {}", row.severity.as_str(), row.code, row.sentence));
    }

    /// Says something above the view.
    pub(super) fn say(&mut self, line: &str) {
        if self.is_shown { self.paint(Some(line)) } else { show(&format!("{line}\n")) }
    }

    /// Draws it.
    pub(super) fn draw(&mut self, gauges: &Gauges, totals: &Totals) {
        if !self.is_shown {
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
            "{} blocked-looking, {} inconclusive, {} not-443; {} DNS answers; {:02}:{:02}:{:02}",
            count(&totals.outcomes, Outcome::BlockedLooking as usize),
            count(&totals.outcomes, Outcome::Inconclusive as usize),
            count(&totals.ports, PortVerdict::Not443 as usize),
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
        self.lines = texts;
        self.paint(None);
    }

    /// Writes the lines over those that are there, all at once, so that nothing flickers.
    fn paint(&mut self, above: Option<&str>) {
        let (columns, rows) = size();
        let mut out = self.home(columns);
        if let Some(line) = above {
            // Writing into a String cannot fail.
            let _ = writeln!(out, "{line}\x1b[K");
        }
        self.drawn.clear();
        for line in self.lines.iter().take(rows.saturating_sub(1)) {
            // A line that ends at the edge would go on in the next.
            let line = cut(line, columns.saturating_sub(1));
            let _ = writeln!(out, "{line}\x1b[K");
            self.drawn.push(unicode_width::UnicodeWidthStr::width(line.as_str()));
        }
        out.push_str("\x1b[J");
        show(&out);
    }

    /// What leads back to the first line, also where the terminal became narrower since.
    fn home(&self, columns: usize) -> String {
        match self.drawn.iter().map(|width| width.div_ceil(columns).max(1)).sum::<usize>() {
            0 => "\r".to_owned(),
            lines => format!("\r\x1b[{lines}A"),
        }
    }

    /// Removes it.
    pub(super) fn clear(&mut self) {
        if self.is_shown {
            show(&format!("{}\x1b[J", self.home(size().0)));
        }
        self.is_shown = false;
    }
}

/// Columns and rows of the terminal.
fn size() -> (usize, usize) {
    match terminal_size::terminal_size_of(std::io::stderr()) {
        Some((terminal_size::Width(columns @ 1..), terminal_size::Height(rows @ 1..))) => {
            (usize::from(columns), usize::from(rows))
        }
        _ => (80, 24),
    }
}

/// Writes to standard error. Where that is gone nobody looks, and the audit goes on.
pub(super) fn show(text: &str) {
    let mut out = std::io::stderr().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
