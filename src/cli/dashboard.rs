//! The terminal view of `live`: a few lines, redrawn in place once a second.
//!
//! In:  counters of the capture, totals of the audit, problems, messages.
//! Out: lines on standard error; without a terminal, only the messages.
//! Not: records. They go to standard output and to the evidence folder.
//!
//! A terminal may stop accepting output: Ctrl-S was pressed, or an SSH connection hangs. So a thread of its own writes to it, and
//! the audit never waits for that thread.

use std::cmp::Reverse;
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

use super::keyboard::Keyboard;
use super::metrics::LiveTotals;
use super::process;
use crate::base::Time;
use crate::base::WireText;
use crate::capture::CaptureStats;
use crate::judge::DestinationVerdict;
use crate::judge::Outcome;
use crate::judge::PortVerdict;
use crate::judge::Problem;
use crate::judge::ProblemList;
use crate::judge::ProblemState;
use crate::report::count;
use crate::report::grouped;
use crate::report::truncate;
use crate::report::wrap;

/// Problems shown, if the terminal has enough rows.
const SHOWN_PROBLEMS: usize = 12;

/// Rows of a problem's message, if it is long.
const PROBLEM_ROWS: usize = 3;

/// Columns from which an interface fits on one line.
const ONE_LINE_COLUMNS: usize = 80;

/// The rank of the first of the totals. The latest problem has a lower one.
const FIRST_TOTAL: usize = 3;

/// The rank of the last of the totals. Problems before the latest have higher ones.
const LAST_TOTAL: usize = 5;

/// Messages that may wait for a terminal that accepts no output.
const QUEUED_MESSAGES: usize = 256;

/// The view, on a thread of its own; or only messages, where standard error is not a terminal.
pub(super) struct Dashboard {
    painter: Option<(Sender<Paint>, JoinHandle<()>)>,
    is_terminal_closed: Arc<AtomicBool>,
    keyboard: Option<Keyboard>,
    started: Instant,
    drawn_at: Instant,
    /// Frames and bytes of each interface when it was drawn last.
    drawn_counts: Vec<(u64, u64)>,
}

impl Dashboard {
    /// Draws nothing; messages are printed.
    pub(super) fn hidden() -> Dashboard {
        let now = Instant::now();
        Dashboard {
            painter: None,
            is_terminal_closed: Arc::default(),
            keyboard: None,
            started: now,
            drawn_at: now,
            drawn_counts: Vec::new(),
        }
    }

    /// Draws on standard error, if that is a terminal. A key of the terminal may set `stop`.
    pub(super) fn on_terminal(interfaces: usize, stop: &Arc<AtomicBool>) -> anyhow::Result<Dashboard> {
        let mut dashboard = Dashboard { drawn_counts: vec![(0, 0); interfaces], ..Dashboard::hidden() };
        // A dumb terminal cannot move the cursor.
        let can_move_cursor = std::env::var_os("TERM").is_some_and(|term| !term.is_empty() && term != "dumb");
        if io::stderr().is_terminal() && can_move_cursor {
            let (sender, receiver) = bounded(QUEUED_MESSAGES);
            let painter = Painter::new(Arc::clone(&dashboard.is_terminal_closed))?;
            let thread = thread::Builder::new()
                .name("dashboard".to_owned())
                .spawn(move || painter.paint_all(&receiver))
                .context("cannot start a thread")?;
            dashboard.painter = Some((sender, thread));
            dashboard.keyboard = Keyboard::watch(Arc::clone(stop))?;
        }
        Ok(dashboard)
    }

    /// Whether anything is drawn.
    pub(super) const fn is_shown(&self) -> bool {
        self.painter.is_some()
    }

    /// Whether the terminal was closed.
    pub(super) fn is_terminal_closed(&self) -> bool {
        self.is_terminal_closed.load(Ordering::Relaxed)
    }

    /// Prints a message above the view.
    pub(super) fn print_above(&mut self, message: &str) {
        match &self.painter {
            // A terminal that did not accept the messages before this one does not show it either.
            Some((painter, _)) => drop(painter.try_send(Paint::Message(message.to_owned()))),
            None => print_message(message),
        }
    }

    pub(super) fn draw(&mut self, stats: &CaptureStats, totals: &LiveTotals, problems: &ProblemList) {
        if self.painter.is_none() {
            return;
        }
        let mut lines = DashboardLines::default();
        self.add_interfaces(stats, &mut lines);
        self.add_totals(totals, &mut lines);
        let help = if self.keyboard.is_some() { "; q quits" } else { "" };
        add_problems(problems, help, terminal_size().0, &mut lines);
        if let Some((painter, _)) = &self.painter
            && painter.is_empty()
        {
            // A painter that has not drawn the view before this one gets the next one.
            let _ = painter.try_send(Paint::Lines(lines));
        }
    }

    fn add_interfaces(&mut self, stats: &CaptureStats, lines: &mut DashboardLines) {
        let seconds = self.drawn_at.elapsed().as_secs_f64().max(0.001);
        self.drawn_at = Instant::now();
        let is_wide = terminal_size().0 >= ONE_LINE_COLUMNS;
        for (interface, before) in stats.interfaces.iter().zip(&mut self.drawn_counts) {
            let now = (interface.frames.load(Ordering::Relaxed), interface.bytes.load(Ordering::Relaxed));
            let frames = (now.0 - before.0) as f64 / seconds;
            let mbits = (now.1 - before.1) as f64 * 8.0 / seconds / 1e6;
            *before = now;
            let name = WireText::new(interface.name.as_bytes(), 64).to_string();
            let state =
                if interface.is_gone.load(Ordering::Relaxed) { "  INTERFACE GONE, retrying" } else { "" };
            let drops: Vec<String> = [
                ("kernel", &interface.kernel_drops),
                ("interface", &interface.interface_drops),
                ("afs-audit", &interface.queue_drops),
            ]
            .iter()
            .map(|(by, counter)| (by, counter.load(Ordering::Relaxed)))
            .filter(|(_, count)| *count > 0)
            .map(|(by, count)| format!("{by} {}", grouped(count)))
            .collect();
            let drops = if drops.is_empty() {
                "0 dropped".to_owned()
            } else {
                format!("dropped: {}", drops.join(", "))
            };
            // Drops first: in a narrow terminal the total may be cut off.
            let rest = format!("  {drops}{state}  {} frames", grouped(now.0));
            if is_wide {
                lines.add(0, format!("{name:<8} {frames:>9.0} frames/s {mbits:>9.1} Mbit/s{rest}"));
            } else {
                lines.add(0, format!("{name:<8} {frames:.0} frames/s {mbits:.1} Mbit/s"));
                lines.add(0, rest);
            }
        }
    }

    fn add_totals(&self, totals: &LiveTotals, lines: &mut DashboardLines) {
        // Open flows count as far as they are known.
        let all = |ended: &[u64], open: &[u64], place: usize| {
            ended.get(place).copied().unwrap_or_default() + open.get(place).copied().unwrap_or_default()
        };
        let destinations: Vec<String> = DestinationVerdict::ALL
            .iter()
            .map(|verdict| (verdict, all(&totals.destinations, &totals.open.destinations, *verdict as usize)))
            .filter(|(_, count)| *count > 0)
            .map(|(verdict, count)| format!("{} {verdict}", grouped(count)))
            .collect();
        let limited = match totals.evicted + totals.reassembly_stopped {
            0 => String::new(),
            limited => format!(" ({} cut short by --memory)", grouped(limited)),
        };
        let destinations = if destinations.is_empty() {
            String::new()
        } else {
            format!("; of audited hosts: {}", destinations.join(", "))
        };
        let columns = terminal_size().0;
        let flows = format!(
            "flows: {} open, {} ended{limited}{destinations}",
            grouped(totals.active),
            grouped(totals.closed),
        );
        lines.add_wrapped(FIRST_TOTAL, &flows, columns);
        let elapsed = self.started.elapsed().as_secs();
        let outcomes: Vec<String> = Outcome::ALL
            .iter()
            .map(|outcome| {
                let count = all(&totals.outcomes, &totals.open.outcomes, *outcome as usize);
                format!("{} {outcome}", grouped(count))
            })
            .collect();
        lines.add_wrapped(
            4,
            &format!(
                "{}, {} not-443; {}; {:02}:{:02}:{:02}",
                outcomes.join(", "),
                grouped(all(&totals.ports, &totals.open.ports, PortVerdict::Not443 as usize)),
                count(totals.dns, "DNS response"),
                elapsed / 3600,
                elapsed / 60 % 60,
                elapsed % 60
            ),
            columns,
        );
        if let (reached, required @ 1..) = totals.requirements_reached {
            lines.add(LAST_TOTAL, format!("{reached} of {} reached", count(required, "required endpoint")));
        }
    }

    /// Removes the view.
    pub(super) fn clear(&mut self) {
        if let Some((painter, thread)) = self.painter.take() {
            drop(painter);
            // An error is a panic of the thread, which has printed its message.
            let _ = thread.join();
        }
        self.keyboard = None;
    }
}

/// The problems that occurred or changed last, the latest last.
fn add_problems(problems: &ProblemList, help: &str, columns: usize, lines: &mut DashboardLines) {
    let counts: Vec<String> = ProblemState::ALL
        .iter()
        .zip(problems.states)
        .filter(|(state, count)| **state == ProblemState::Ongoing || *count > 0)
        .map(|(state, count)| format!("{} {}", grouped(count), state_text(*state)))
        .collect();
    let head = match problems.latest.len() {
        0 => "no problems so far".to_owned(),
        1 => format!("problems: {}; times in UTC", counts.join(", ")),
        _ => format!("problems: {}; latest last, times in UTC", counts.join(", ")),
    };
    lines.add_wrapped(1, &format!("{head}{help}"), columns);
    let mut shown: Vec<(usize, &Problem)> =
        problems.latest.iter().rev().take(SHOWN_PROBLEMS).enumerate().collect();
    // In the order of the times that are shown: a problem also changes when it recovers, or when a check is made later.
    shown.sort_by_key(|(age, problem)| (problem.last_seen, Reverse(*age)));
    for (age, problem) in shown {
        let rank = if age == 0 { 2 } else { LAST_TOTAL + age };
        for line in problem_lines(problem, columns) {
            lines.add(rank, line);
        }
    }
}

/// A problem in as many rows as its message needs.
fn problem_lines(problem: &Problem, columns: usize) -> Vec<String> {
    let finding = &problem.finding;
    let times = if problem.count == 1 { String::new() } else { format!(" {}x", grouped(problem.count)) };
    let today = process::now();
    let last = clock(problem.last_seen, today);
    let span = match problem.count {
        1 => last,
        _ => format!("{}-{last}", clock(problem.first_seen, today)),
    };
    let text = format!(
        "{}: {span}{times} {} {} {}",
        state_text(problem.state),
        finding.severity,
        finding.code,
        finding.message
    );
    // Two columns for the indent of the first row, one so that the terminal does not wrap.
    let mut rows = wrap(&text, columns.saturating_sub(5).max(10));
    if rows.len() > PROBLEM_ROWS {
        let rest = rows.split_off(PROBLEM_ROWS - 1).join(" ");
        rows.push(truncate(&rest, columns.saturating_sub(5).max(10)));
    }
    let indents = std::iter::once("  ").chain(std::iter::repeat("    "));
    rows.into_iter().zip(indents).map(|(row, indent)| format!("{indent}{row}")).collect()
}

fn state_text(state: ProblemState) -> &'static str {
    match state {
        ProblemState::Ongoing => "ongoing",
        ProblemState::Recovered => "recovered",
        ProblemState::NotSeenAgain => "not seen again",
    }
}

/// A time of day; with the date on another day.
fn clock(time: Time, today: Time) -> String {
    let (text, today) = (time.to_string(), today.to_string());
    let from = if text.get(..10) == today.get(..10) { 11 } else { 5 };
    text.get(from..19).unwrap_or(&text).replace('T', " ")
}

/// The lines of the view, each with its rank: if the terminal has too few rows, the lowest ranks are shown.
#[derive(Default)]
struct DashboardLines(Vec<(usize, String)>);

impl DashboardLines {
    fn add(&mut self, rank: usize, line: String) {
        self.0.push((rank, line));
    }

    /// Adds a sentence in as many rows as it needs. In a low terminal the latest problem takes precedence over all but the first.
    fn add_wrapped(&mut self, rank: usize, text: &str, columns: usize) {
        // Two columns for the indent, one so that the terminal does not wrap.
        let indents = std::iter::once("").chain(std::iter::repeat("  "));
        let ranks = std::iter::once(rank).chain(std::iter::repeat(rank.max(FIRST_TOTAL)));
        let rows = wrap(text, columns.saturating_sub(3).max(10));
        for ((row, indent), rank) in rows.into_iter().zip(indents).zip(ranks) {
            self.add(rank, format!("{indent}{row}"));
        }
    }
}

/// The lines of the lowest ranks, in their order. The rows of a problem are shown together or not at all.
fn lines_that_fit(lines: &[(usize, String)], rows: usize) -> Vec<&(usize, String)> {
    let mut ranks: Vec<usize> = lines.iter().map(|(rank, _)| *rank).collect();
    ranks.sort_unstable();
    let Some(cut) = ranks.get(rows).copied() else { return lines.iter().collect() };
    let mut room = if cut > LAST_TOTAL { 0 } else { rows - ranks.iter().filter(|rank| **rank < cut).count() };
    let fits = |(rank, _): &&(usize, String)| {
        let takes_room = *rank == cut && room > 0;
        room -= usize::from(takes_room);
        *rank < cut || takes_room
    };
    lines.iter().filter(fits).collect()
}

/// What the painter is sent.
enum Paint {
    /// A line above the view.
    Message(String),
    Lines(DashboardLines),
}

/// Writes to the terminal.
struct Painter {
    is_terminal_closed: Arc<AtomicBool>,
    /// The process was suspended and continues: other lines are now where the view was.
    is_resumed: Arc<AtomicBool>,
    lines: DashboardLines,
    /// Widths of the lines on the terminal.
    drawn_widths: Vec<usize>,
}

impl Painter {
    fn new(is_terminal_closed: Arc<AtomicBool>) -> anyhow::Result<Painter> {
        let is_resumed = Arc::default();
        signal_hook::flag::register(signal_hook::consts::SIGCONT, Arc::clone(&is_resumed))
            .context("cannot watch for signals")?;
        Ok(Painter {
            is_terminal_closed,
            is_resumed,
            lines: DashboardLines::default(),
            drawn_widths: Vec::new(),
        })
    }

    /// Paints until the sender is dropped, then removes the view.
    fn paint_all(mut self, paints: &Receiver<Paint>) {
        for paint in paints {
            match paint {
                Paint::Message(message) => self.paint(Some(&message)),
                Paint::Lines(lines) => {
                    self.lines = lines;
                    self.paint(None);
                }
            }
        }
        let out = format!("{}\x1b[J", self.cursor_home(terminal_size().0));
        self.write(&out);
    }

    /// Overwrites the view, in one write so that it does not flicker.
    fn paint(&mut self, message: Option<&str>) {
        let (columns, rows) = terminal_size();
        let mut out = self.cursor_home(columns);
        if let Some(message) = message {
            // Writing into a String cannot fail.
            let _ = writeln!(out, "{message}\x1b[K");
        }
        self.drawn_widths.clear();
        let lines = if is_in_foreground() { self.lines.0.as_slice() } else { &[] };
        // One row is for the cursor.
        for (_, line) in lines_that_fit(lines, rows.saturating_sub(1)) {
            // A line as wide as the terminal would wrap.
            let line = truncate(line, columns.saturating_sub(1));
            let _ = writeln!(out, "{line}\x1b[K");
            self.drawn_widths.push(unicode_width::UnicodeWidthStr::width(line.as_str()));
        }
        out.push_str("\x1b[J");
        self.write(&out);
    }

    /// Moves the cursor to the first line of the view. In a terminal that became narrower, its lines have wrapped.
    fn cursor_home(&mut self, columns: usize) -> String {
        if self.is_resumed.swap(false, Ordering::Relaxed) {
            self.drawn_widths.clear();
        }
        match self.drawn_widths.iter().map(|width| width.div_ceil(columns).max(1)).sum::<usize>() {
            0 => "\r".to_owned(),
            lines => format!("\r\x1b[{lines}A"),
        }
    }

    fn write(&self, text: &str) {
        // EIO is what Linux returns for a terminal that was closed.
        if let Err(error) = write_stderr(text)
            && (error.raw_os_error() == Some(nix::libc::EIO) || error.kind() == io::ErrorKind::BrokenPipe)
        {
            self.is_terminal_closed.store(true, Ordering::Relaxed);
        }
    }
}

/// Whether this process is in the foreground of its terminal: in the background the shell draws there. Also true for a terminal
/// that no shell controls, and for one of another PID namespace (group 0).
pub(super) fn is_in_foreground() -> bool {
    let group = nix::unistd::tcgetpgrp(io::stderr().as_fd());
    group.map_or(true, |group| group.as_raw() == 0 || group == nix::unistd::getpgrp())
}

/// Columns and rows of the terminal.
fn terminal_size() -> (usize, usize) {
    match terminal_size::terminal_size_of(io::stderr()) {
        Some((terminal_size::Width(columns @ 1..), terminal_size::Height(rows @ 1..))) => {
            (usize::from(columns), usize::from(rows))
        }
        _ => (80, 24),
    }
}

/// Prints a message on standard error. If that is closed, the message is lost and the audit continues.
pub(super) fn print_message(message: &str) {
    let _ = write_stderr(&format!("{message}\n"));
}

fn write_stderr(text: &str) -> io::Result<()> {
    let mut out = io::stderr().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::test_support;

    fn problem(state: ProblemState, last: i64) -> Problem {
        Problem {
            finding: Arc::new(test_support::finding()),
            state,
            first_seen: Time(0),
            last_seen: Time(last * 1_000_000_000),
            count: 1,
        }
    }

    #[test]
    fn problems_are_in_the_order_of_their_last_times() {
        // The first one occurred last; the last one has recovered since.
        let latest = vec![problem(ProblemState::Ongoing, 9), problem(ProblemState::Recovered, 5)];
        let mut lines = DashboardLines::default();
        add_problems(&ProblemList { states: [1, 1, 0], latest }, "", 200, &mut lines);
        let shown: Vec<(usize, &str)> =
            lines.0.iter().map(|(rank, line)| (*rank, line.split(" 00").next().unwrap())).collect();
        // What changed last is kept in a terminal with few rows.
        assert!(matches!(shown[..], [_, (2, "  recovered: 01-01"), .., (6, _)]), "{shown:?}");
        assert!(shown.contains(&(6, "  ongoing: 01-01")), "{shown:?}");
    }

    #[test]
    fn the_rows_of_a_problem_are_shown_together() {
        let lines = [
            (0, "rates"),
            (1, "problems"),
            (7, "old"),
            (7, "old 2"),
            (6, "new"),
            (6, "new 2"),
            (2, "last"),
            (2, "last 2"),
        ];
        let lines = lines.map(|(rank, text)| (rank, text.to_owned()));
        let check = |rows, expected: &[&str]| {
            let shown: Vec<&str> =
                lines_that_fit(&lines, rows).into_iter().map(|(_, line)| line.as_str()).collect();
            assert_eq!(shown, expected, "{rows}");
        };
        check(9, &["rates", "problems", "old", "old 2", "new", "new 2", "last", "last 2"]);
        check(7, &["rates", "problems", "new", "new 2", "last", "last 2"]);
        check(5, &["rates", "problems", "last", "last 2"]);
        // Of the latest problem at least the beginning.
        check(3, &["rates", "problems", "last"]);
        check(0, &[]);
    }

    #[test]
    fn no_part_of_the_line_about_problems_is_cut() {
        let mut lines = DashboardLines::default();
        add_problems(&ProblemList { states: [11, 4, 3], latest: vec![] }, "; q quits", 40, &mut lines);
        let latest = vec![problem(ProblemState::Ongoing, 9), problem(ProblemState::Recovered, 5)];
        add_problems(&ProblemList { states: [11, 4, 3], latest }, "; q quits", 80, &mut lines);
        let rows: Vec<(usize, &str)> =
            lines.0.iter().take(3).map(|(rank, line)| (*rank, line.as_str())).collect();
        assert_eq!(
            rows,
            [
                (1, "no problems so far; q quits"),
                (1, "problems: 11 ongoing, 4 recovered, 3 not seen again; latest last, times in"),
                // In a low terminal the latest problem is more important.
                (FIRST_TOTAL, "  UTC; q quits")
            ]
        );
    }
}
