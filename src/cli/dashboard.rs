//! What a person sees while `live` runs: a few lines, drawn again in their place once a second.
//!
//! A terminal may stop taking what is written to it, for a key that was pressed or a network that hangs. So only a thread of
//! its own writes there, and the audit never waits for it.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::io;
use std::io::IsTerminal as _;
use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering;
use std::thread;
use std::thread::JoinHandle;
use std::time::Instant;

use anyhow::Context as _;
use crossbeam_channel::Receiver;
use crossbeam_channel::Sender;
use crossbeam_channel::bounded;

use super::metrics::Totals;
use crate::base::WireText;
use crate::capture::CaptureStats;
use crate::judge::Destination;
use crate::judge::FindingRow;
use crate::judge::Outcome;
use crate::judge::PortVerdict;
use crate::report::cut;

/// Findings shown, the newest last.
const NEWEST: usize = 6;

/// From so many columns on an interface is one line.
const WIDE: usize = 80;

/// Lines above the view that may wait for a terminal that takes nothing.
const WAITING: usize = 256;

/// Lines on standard error, or nothing where that is no terminal.
pub(super) struct View {
    painter: Option<(Sender<Paint>, JoinHandle<()>)>,
    /// The terminal was closed.
    is_gone: Arc<AtomicBool>,
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
            painter: None,
            is_gone: Arc::default(),
            newest: VecDeque::new(),
            findings: 0,
            began: now,
            beat: now,
            before: Vec::new(),
        }
    }

    /// A view of so many interfaces.
    pub(super) fn watched(interfaces: usize) -> anyhow::Result<View> {
        let mut view = View { before: vec![(0, 0); interfaces], ..View::none() };
        // A terminal that cannot go back a line is like a pipe.
        let knows_places = std::env::var_os("TERM").is_some_and(|is| !is.is_empty() && is != "dumb");
        if io::stderr().is_terminal() && knows_places {
            let (give, take) = bounded(WAITING);
            let painter = Painter::new(Arc::clone(&view.is_gone))?;
            let thread =
                thread::Builder::new().name("view".to_owned()).spawn(move || painter.paint_all(&take));
            view.painter = Some((give, thread.context("cannot start a thread")?));
        }
        Ok(view)
    }

    /// Whether anything is drawn.
    pub(super) const fn is_shown(&self) -> bool {
        self.painter.is_some()
    }

    /// Whether the terminal that it was drawn on was closed.
    pub(super) fn is_gone(&self) -> bool {
        self.is_gone.load(Ordering::Relaxed)
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
        match &self.painter {
            // One that cannot take so many lines shows none of them to anybody.
            Some((painter, _)) => drop(painter.try_send(Paint::Above(line.to_owned()))),
            None => show(&format!("{line}\n")),
        }
    }

    /// Draws it.
    pub(super) fn draw(&mut self, gauges: &CaptureStats, totals: &Totals) {
        let Some((painter, _)) = &self.painter else { return };
        let seconds = self.beat.elapsed().as_secs_f64().max(0.001);
        self.beat = Instant::now();
        let is_wide = size().0 >= WIDE;
        let mut texts = Vec::new();
        // Where there is no room for all, those of the lowest rank stay.
        let mut put = |rank: usize, text: String| texts.push((rank, text));
        for (gauge, before) in gauges.ports.iter().zip(&mut self.before) {
            let now = (gauge.frames.load(Ordering::Relaxed), gauge.bytes.load(Ordering::Relaxed));
            let frames = (now.0 - before.0) as f64 / seconds;
            let bits = (now.1 - before.1) as f64 * 8.0 / seconds / 1e6;
            *before = now;
            let name = WireText::new(gauge.name.as_bytes(), 64).to_string();
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
            // Losses first: at an edge the total is what can be missed.
            let rest = format!("{lost}{state}  {} frames", now.0);
            if is_wide {
                put(0, format!("{name:<8} {frames:>9.0} frames/s {bits:>9.1} Mbit/s{rest}"));
            } else {
                put(0, format!("{name:<8} {frames:.0} frames/s {bits:.1} Mbit/s"));
                put(0, rest);
            }
        }
        let count = |counts: &[u64], place: usize| counts.get(place).copied().unwrap_or_default();
        let words: Vec<String> = Destination::ALL
            .iter()
            .map(|word| (word.as_str(), count(&totals.destinations, *word as usize)))
            .filter(|(_, count)| *count > 0)
            .map(|(word, count)| format!("{count} {word}"))
            .collect();
        put(
            3,
            format!(
                "flows {} live{}, {} judged: {}",
                totals.live,
                match totals.evicted + totals.reassembly_stopped {
                    0 => String::new(),
                    early => format!(" ({early} given up for want of memory)"),
                },
                totals.judged,
                if words.is_empty() { "none to the outside yet".to_owned() } else { words.join(", ") }
            ),
        );
        let elapsed = self.began.elapsed().as_secs();
        put(
            4,
            format!(
                "{} blocked-looking, {} inconclusive, {} not-443; {} DNS answers; {:02}:{:02}:{:02}",
                count(&totals.outcomes, Outcome::BlockedLooking as usize),
                count(&totals.outcomes, Outcome::Inconclusive as usize),
                count(&totals.ports, PortVerdict::Not443 as usize),
                totals.dns,
                elapsed / 3600,
                elapsed / 60 % 60,
                elapsed % 60
            ),
        );
        if let (met, needs @ 1..) = totals.met {
            put(5, format!("{met} of {needs} needs of the site reached"));
        }
        let count = match self.findings {
            0 => "no findings so far".to_owned(),
            1 => "1 finding:".to_owned(),
            more => format!("{more} findings, the newest last:"),
        };
        put(1, count);
        for (place, line) in self.newest.iter().enumerate() {
            let age = self.newest.len() - 1 - place;
            put(if age == 0 { 2 } else { 5 + age }, format!("  {line}"));
        }
        if painter.is_empty() {
            // Whoever is behind gets the next one.
            let _ = painter.try_send(Paint::Lines(texts));
        }
    }

    /// Removes it.
    pub(super) fn clear(&mut self) {
        if let Some((painter, thread)) = self.painter.take() {
            drop(painter);
            // Fails only where the thread has panicked, which was said.
            let _ = thread.join();
        }
    }
}

/// What is to be painted.
enum Paint {
    /// A line above the view.
    Above(String),
    /// The view: lines with their ranks.
    Lines(Vec<(usize, String)>),
}

/// Writes to the terminal.
struct Painter {
    is_gone: Arc<AtomicBool>,
    /// The program was stopped, and goes on: other lines stand where the view was.
    is_resumed: Arc<AtomicBool>,
    lines: Vec<(usize, String)>,
    /// How wide the lines are that can be seen now.
    drawn: Vec<usize>,
}

impl Painter {
    fn new(is_gone: Arc<AtomicBool>) -> anyhow::Result<Painter> {
        let is_resumed = Arc::default();
        signal_hook::flag::register(signal_hook::consts::SIGCONT, Arc::clone(&is_resumed))
            .context("cannot watch for signals")?;
        Ok(Painter { is_gone, is_resumed, lines: Vec::new(), drawn: Vec::new() })
    }

    /// Paints until nothing more comes, and then removes the view.
    fn paint_all(mut self, paints: &Receiver<Paint>) {
        for paint in paints {
            match paint {
                Paint::Above(line) => self.paint(Some(&line)),
                Paint::Lines(lines) => {
                    self.lines = lines;
                    self.paint(None);
                }
            }
        }
        let out = format!("{}\x1b[J", self.home(size().0));
        self.put(&out);
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
        let lines = if is_in_front() { self.lines.as_slice() } else { &[] };
        let mut shown: Vec<usize> = (0..lines.len()).collect();
        shown.sort_by_key(|place| lines.get(*place).map(|(rank, _)| *rank));
        // The cursor has a line of its own.
        shown.truncate(rows.saturating_sub(1));
        shown.sort_unstable();
        for (_, line) in shown.into_iter().filter_map(|place| lines.get(place)) {
            // A line that ends at the edge would go on in the next.
            let line = cut(line, columns.saturating_sub(1));
            let _ = writeln!(out, "{line}\x1b[K");
            self.drawn.push(unicode_width::UnicodeWidthStr::width(line.as_str()));
        }
        out.push_str("\x1b[J");
        self.put(&out);
    }

    /// What leads back to the first line, also where the terminal became narrower since.
    fn home(&mut self, columns: usize) -> String {
        if self.is_resumed.swap(false, Ordering::Relaxed) {
            self.drawn.clear();
        }
        match self.drawn.iter().map(|width| width.div_ceil(columns).max(1)).sum::<usize>() {
            0 => "\r".to_owned(),
            lines => format!("\r\x1b[{lines}A"),
        }
    }

    fn put(&self, text: &str) {
        // What Linux says of a terminal that was closed.
        if let Err(error) = put(text)
            && (error.raw_os_error() == Some(nix::libc::EIO) || error.kind() == io::ErrorKind::BrokenPipe)
        {
            self.is_gone.store(true, Ordering::Relaxed);
        }
    }
}

/// Whether the terminal is ours: a shell that has sent us to the background draws there itself. One that no shell controls,
/// or one from outside (0), is.
fn is_in_front() -> bool {
    let group = nix::unistd::tcgetpgrp(io::stderr().as_fd());
    group.map_or(true, |group| group.as_raw() == 0 || group == nix::unistd::getpgrp())
}

/// Columns and rows of the terminal.
fn size() -> (usize, usize) {
    match terminal_size::terminal_size_of(io::stderr()) {
        Some((terminal_size::Width(columns @ 1..), terminal_size::Height(rows @ 1..))) => {
            (usize::from(columns), usize::from(rows))
        }
        _ => (80, 24),
    }
}

/// Writes to standard error. Where that is gone nobody looks, and the audit goes on.
pub(super) fn show(text: &str) {
    let _ = put(text);
}

fn put(text: &str) -> io::Result<()> {
    let mut out = io::stderr().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}
