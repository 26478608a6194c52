//! Prints a comparison for people.
//!
//! In:  a comparison.
//! Out: what limits it, then what changed, in groups.
//! Not: all rows of a group, unless asked for.

use std::io;
use std::io::Write;
use std::net::IpAddr;

use anstyle::Style;

use super::EvidenceComparison;
use super::differ::servers_text;
use super::rows::Change;
use super::rows::ChangeNeed;
use super::rows::ChangeRow;
use super::rows::Subject;
use crate::base::WireText;
use crate::report::SummaryDetail;
use crate::report::count;
use crate::report::severity_style;
use crate::report::wrap;

const STRONG: Style = Style::new().bold();
const FAINT: Style = Style::new().dimmed();

/// Rows of a group on one screen.
const SHOWN: usize = 8;

/// Bytes of a text that are printed. Longer ones were not written by this program.
const TEXT_LIMIT: usize = 1000;

/// A group of changes: its id, its heading, and the rows in it.
pub(super) type ChangeGroup<'a> = (&'static str, &'static str, Vec<&'a ChangeRow>);

/// The changes in groups, in the order in which they are printed.
pub(super) fn groups(comparison: &EvidenceComparison) -> [ChangeGroup<'_>; 5] {
    let rows = |changes: &[Change]| -> Vec<&ChangeRow> {
        let of_group = |row: &&ChangeRow| !row.is_worse && changes.contains(&row.change);
        comparison.changes.iter().filter(of_group).collect()
    };
    let is_worse = |row: &&ChangeRow| row.is_worse || row.change == Change::Worse;
    [
        ("worse", "worse", comparison.changes.iter().filter(is_worse).collect()),
        ("new", "new", rows(&[Change::New])),
        ("changed", "changed", rows(&[Change::Changed])),
        ("better", "better", rows(&[Change::Better, Change::Fixed, Change::Gone])),
        ("not-seen-again", "not seen again, which proves nothing", rows(&[Change::NotSeenAgain])),
    ]
}

/// Prints a comparison.
pub fn write_table(
    comparison: &EvidenceComparison,
    detail: SummaryDetail,
    width: usize,
    out: &mut dyn Write,
) -> io::Result<()> {
    let table = Table { detail, width };
    table.wrapped(out, "", STRONG, &headline(comparison))?;
    if !comparison.conditions.is_empty() {
        writeln!(out, "\n{STRONG}what limits the comparison{STRONG:#}")?;
        for row in &comparison.conditions {
            table.condition(row, out)?;
        }
    }
    for (_, heading, rows) in groups(comparison) {
        table.group(heading, &rows, out)?;
    }
    let unchanged: Vec<&ChangeRow> = comparison.unchanged.iter().collect();
    match detail {
        SummaryDetail::Full => table.group("unchanged", &unchanged, out),
        SummaryDetail::Screen => {
            writeln!(out)?;
            table.wrapped(out, "", FAINT, &unchanged_text(comparison))
        }
    }
}

/// `2 servers compared (10.1.0.4, 10.1.0.5): 1 worse, 2 better`.
pub(super) fn headline(comparison: &EvidenceComparison) -> String {
    let servers: &[IpAddr] = &comparison.servers;
    let words = ["worse", "new", "changed", "better", "not seen again"];
    let parts: Vec<String> = groups(comparison)
        .iter()
        .zip(words)
        .filter(|((_, _, rows), _)| !rows.is_empty())
        .map(|((_, _, rows), word)| format!("{} {word}", rows.len()))
        .collect();
    let compared = format!("{} compared ({})", count(servers.len() as u64, "server"), servers_text(servers));
    match parts.is_empty() {
        true if comparison.conditions.is_empty() => format!("{compared}: no change"),
        true => format!("{compared}: no change in what can be compared"),
        false => format!("{compared}: {}", parts.join(", ")),
    }
}

/// What is the same in both.
pub(super) fn unchanged_text(comparison: &EvidenceComparison) -> String {
    let number = |subject| comparison.unchanged.iter().filter(|row| row.subject == subject).count() as u64;
    let parts = [
        (Subject::ComparedRequirement, "endpoint"),
        (Subject::Finding, "finding"),
        (Subject::ComparedDestination, "destination"),
    ];
    let parts: Vec<String> = parts.iter().map(|(subject, noun)| count(number(*subject), noun)).collect();
    format!("unchanged: {}", parts.join(", "))
}

struct Table {
    detail: SummaryDetail,
    width: usize,
}

impl Table {
    fn condition(&self, row: &ChangeRow, out: &mut dyn Write) -> io::Result<()> {
        let states = match (row.before.as_str(), row.after.as_str()) {
            ("", "") => String::new(),
            (before, "") => format!("before {before}; "),
            ("", after) => format!("after {after}; "),
            (before, after) => format!("before {before}, after {after}; "),
        };
        self.wrapped(out, "  ", Style::new(), &format!("{}: {states}{}", row.target, row.message))
    }

    fn group(&self, heading: &str, rows: &[&ChangeRow], out: &mut dyn Write) -> io::Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        writeln!(out, "\n{STRONG}{heading}: {}{STRONG:#}", rows.len())?;
        let shown = if self.detail == SummaryDetail::Full { rows.len() } else { SHOWN };
        for row in rows.iter().take(shown) {
            self.row(row, out)?;
        }
        match rows.len().saturating_sub(shown) as u64 {
            0 => Ok(()),
            more => self.wrapped(out, "  ", FAINT, &format!("{}; show all with -v", count(more, "more row"))),
        }
    }

    fn row(&self, row: &ChangeRow, out: &mut dyn Write) -> io::Result<()> {
        let style = match (row.is_worse, row.severity) {
            (true, _) => severity_style(crate::judge::Severity::High),
            (_, Some(severity)) => severity_style(severity),
            _ => Style::new(),
        };
        let need = match row.need {
            ChangeNeed::Required => ", required",
            ChangeNeed::Documented | ChangeNeed::None => "",
        };
        let server = row.server.map(|server| format!("{server} ")).unwrap_or_default();
        let states = match (row.before.as_str(), row.after.as_str()) {
            (before, "") => before.to_owned(),
            ("", after) => after.to_owned(),
            (before, after) if before == after => before.to_owned(),
            (before, after) => format!("{before} -> {after}"),
        };
        let word = match row.change {
            // The heading says it.
            Change::Changed | Change::NotSeenAgain => String::new(),
            change => format!("{change} "),
        };
        let what = format!("{word}{}{need}: {server}{}: {states}", row.subject, row.target);
        self.wrapped(out, "  ", style, &what)?;
        if !row.message.is_empty() {
            self.wrapped(out, "    ", Style::new(), &row.message)?;
        }
        let frames = frames_text(row);
        if frames.is_empty() { Ok(()) } else { self.wrapped(out, "    ", FAINT, &frames) }
    }

    /// Prints a text in lines. The evidence may have been changed: it must not control the terminal.
    fn wrapped(&self, out: &mut dyn Write, indent: &str, style: Style, text: &str) -> io::Result<()> {
        let text = printable(text);
        for (at, line) in wrap(&text, self.width.saturating_sub(indent.len()).max(20)).iter().enumerate() {
            let hanging = if at > 0 && !indent.is_empty() { "  " } else { "" };
            writeln!(out, "{indent}{hanging}{style}{line}{style:#}")?;
        }
        Ok(())
    }
}

/// A text without control characters. The escapes of the rows stay as they are.
fn printable(text: &str) -> String {
    WireText::new(text.as_bytes(), TEXT_LIMIT).as_str().replace("\\\\", "\\")
}

/// `before: frames 3, 5 of old.pcap; after: frames 4 of new.pcap`.
fn frames_text(row: &ChangeRow) -> String {
    let side = |word: &str, shown: &super::ChangeFrames| match shown.frames.len() {
        0 => None,
        1 => Some(format!("{word}: frame {} of {}", shown.frames.join(", "), shown.file)),
        _ => Some(format!("{word}: frames {} of {}", shown.frames.join(", "), shown.file)),
    };
    let sides = [side("before", &row.before_frames), side("after", &row.after_frames)];
    sides.into_iter().flatten().collect::<Vec<String>>().join("; ")
}
