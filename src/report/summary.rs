//! What a person sees at the end of a run.
//!
//! In:  the run's facts, and where the evidence lies.
//! Out: some forty lines of text with ANSI colours, cut to a width; the writer strips colours where nobody looks.
//! Not: anything that is only said by a colour. Every mark has its word.

use std::io;
use std::io::Write;

use anstyle::AnsiColor;
use anstyle::Style;
use unicode_width::UnicodeWidthChar as _;
use unicode_width::UnicodeWidthStr as _;

use super::facts::RunFacts;
use super::facts::ether_type;
use super::facts::link;
use super::folder::Published;
use super::human::count;
use super::human::date_and_time;
use super::human::duration;
use super::human::grouped;
use super::human::size;
use super::input_names::InputNames;
use crate::judge::DestinationTally;
use crate::judge::DestinationVerdict;
use crate::judge::FindingRow;
use crate::judge::Outcome;
use crate::judge::PortVerdict;
use crate::judge::RequirementRow;
use crate::judge::RequirementState;
use crate::judge::Severity;
use crate::judge::explanation;

/// Needs that a person wants to see by name.
fn is_shown(row: &RequirementRow) -> bool {
    matches!(row.state, RequirementState::Blocked | RequirementState::PartlyBlocked)
        || (row.state == RequirementState::NotObserved && row.level == "required")
}

const STRONG: Style = Style::new().bold();
const FAINT: Style = Style::new().dimmed();
const GOOD: Style = AnsiColor::Green.on_default();
const WARN: Style = AnsiColor::Yellow.on_default();
const BAD: Style = AnsiColor::Red.on_default().bold();

/// How much of it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SummaryDetail {
    /// What fits a screen.
    Screen,
    /// All of it.
    Full,
}

/// The end of a run, for people.
pub struct Summary<'a> {
    /// What the run found.
    pub facts: &'a RunFacts,
    /// What the inputs are called.
    pub names: &'a InputNames,
    /// Where the evidence lies, if anywhere.
    pub published: Option<&'a Published>,
    /// How much is shown.
    pub detail: SummaryDetail,
    /// How many columns a line may have.
    pub width: usize,
}

impl Summary<'_> {
    /// Prints it.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        self.read(out)?;
        self.findings(out)?;
        self.destinations(out)?;
        self.requirements(out)?;
        self.gaps(out)?;
        self.evidence(out)
    }

    /// What was read, and who was audited.
    fn read(&self, out: &mut dyn Write) -> io::Result<()> {
        let facts = self.facts;
        let accounting = &facts.accounting;
        self.line(
            out,
            STRONG,
            &format!(
                "{}: {}, {}",
                match self.names.files.as_slice() {
                    [one] => one.clone(),
                    files => count(files.len() as u64, "capture"),
                },
                count(accounting.frames, "frame"),
                size(accounting.bytes),
            ),
        )?;
        if let (Some(first), Some(last)) = (facts.first_seen, facts.last_seen) {
            let span = format!(
                "{} to {} UTC ({})",
                date_and_time(first),
                date_and_time(last),
                duration(last.since(first))
            );
            self.line(out, Style::new(), &span)?;
        }
        let tally = &facts.tally;
        let judged = match tally.audited_hosts {
            0 => "no host was audited: name the servers with --server or a site file".to_owned(),
            hosts => format!(
                "{} audited: {} of theirs among {}",
                count(hosts, "host"),
                count(tally.judged, "flow"),
                grouped(tally.flows),
            ),
        };
        self.line(out, Style::new(), &format!("{judged}; {}", count(tally.dns, "DNS answer")))?;
        if !facts.documents.is_empty() {
            let ids: Vec<&str> = facts.documents.iter().map(|document| document.id.as_str()).collect();
            self.line(out, FAINT, &format!("judged by {}", ids.join(", ")))?;
        }
        if let Some(why) = &facts.partial {
            self.line(out, WARN, &format!("partial: {why}"))?;
        }
        Ok(())
    }

    /// Findings by code, the worst first.
    fn findings(&self, out: &mut dyn Write) -> io::Result<()> {
        let findings = &self.facts.findings;
        if findings.is_empty() {
            writeln!(out)?;
            return self.line(out, GOOD, "no findings");
        }
        let by_severity: Vec<String> = Severity::ALL
            .iter()
            .rev()
            .filter_map(|severity| {
                let rows = findings.iter().filter(|row| row.severity == *severity).count();
                (rows > 0).then(|| format!("{} {severity}", grouped(rows as u64)))
            })
            .collect();
        self.heading(
            out,
            &format!("{}: {}", count(findings.len() as u64, "finding"), by_severity.join(", ")),
        )?;

        let mut codes: Vec<&str> = findings.iter().map(|row| row.code).collect();
        codes.sort_unstable();
        codes.dedup();
        let mut groups: Vec<Vec<&FindingRow>> = codes
            .iter()
            .map(|code| findings.iter().map(Box::as_ref).filter(|row| row.code == *code).collect())
            .collect();
        let severity = |group: &Vec<&FindingRow>| group.iter().map(|row| row.severity).max();
        groups.sort_by(|a, b| severity(b).cmp(&severity(a)).then(b.len().cmp(&a.len())));
        let shown = self.at_most(6, groups.len());
        for group in groups.iter().take(shown) {
            self.group(out, group)?;
        }
        let more: usize = groups.iter().skip(shown).map(Vec::len).sum();
        if more > 0 {
            self.line(out, FAINT, &format!("  and {} of other kinds; -v shows all", grouped(more as u64)))?;
        }
        Ok(())
    }

    /// The findings of one code: what they are, the first of them, what to do.
    fn group(&self, out: &mut dyn Write, group: &[&FindingRow]) -> io::Result<()> {
        let Some(first) = group.first() else { return Ok(()) };
        let severity = group.iter().map(|row| row.severity).max().unwrap_or(first.severity);
        let style = severity_style(severity);
        let title = explanation(first.code).map_or("", |entry| entry.title);
        let times: u64 = group.iter().map(|row| row.count).sum();
        let head = format!("{} {title}, {}", first.code, count(times, "time"));
        let head = truncate(&head, self.width.saturating_sub(9));
        writeln!(out, "  {style}{:<6}{style:#} {STRONG}{head}{STRONG:#}", severity.as_str())?;
        let shown = self.at_most(2, group.len());
        for row in group.iter().take(shown) {
            let confidence = row.confidence.map(|confidence| format!(" ({confidence})")).unwrap_or_default();
            self.wrapped(
                out,
                "         ",
                Style::new(),
                &format!("{}{confidence}{}", row.message, self.proof(row)),
            )?;
        }
        if group.len() > shown {
            let more = grouped((group.len() - shown) as u64);
            self.line(out, FAINT, &format!("         and {more} more like it"))?;
        }
        self.wrapped(out, "         ", FAINT, &format!("do: {}", first.recommendation))
    }

    /// The first frames that prove a finding, as a person would look them up.
    fn proof(&self, row: &FindingRow) -> String {
        let Some(first) = row.frames.first() else { return String::new() };
        let numbers: Vec<String> = row
            .frames
            .iter()
            .filter(|frame| frame.file == first.file)
            .take(3)
            .map(|frame| frame.number.to_string())
            .collect();
        let file = if self.names.files.len() > 1 {
            format!(" of {}", self.names.file(first.file))
        } else {
            String::new()
        };
        format!("; frame {}{file}", numbers.join(", "))
    }

    /// Where the audited hosts went.
    fn destinations(&self, out: &mut dyn Write) -> io::Result<()> {
        let tally = &self.facts.tally;
        if tally.top.is_empty() {
            return Ok(());
        }
        let wide = self.width >= 110;
        let fixed = 2 + 7 + 26 + 8 + 9 + 9 + if wide { 7 + 10 } else { 0 };
        let room = self.width.saturating_sub(fixed).clamp(12, 60);
        writeln!(out)?;
        write!(out, "{STRONG}{:<1$}{STRONG:#}", "destination", room + 2)?;
        write!(out, "{FAINT}{:>6} {:<26}{:>8}{:>9}{:>9}", "port", " verdict", "flows", "blocked", "unclear")?;
        if wide {
            write!(out, "{:>7}{:>10}", "hosts", "payload")?;
        }
        writeln!(out, "{FAINT:#}")?;
        let shown = self.at_most(12, tally.top.len());
        for row in tally.top.iter().take(shown) {
            self.destination(out, row, room, wide)?;
        }
        let more = (tally.top.len() - shown) as u64 + tally.top_missed;
        if more > 0 {
            self.line(out, FAINT, &format!("  and {}", count(more, "other destination")))?;
        }
        Ok(())
    }

    fn destination(
        &self,
        out: &mut dyn Write,
        row: &DestinationTally,
        room: usize,
        wide: bool,
    ) -> io::Result<()> {
        let [ok, blocked, unclear] = row.outcomes;
        let name = truncate(&row.name, room);
        let pad = room.saturating_sub(name.width());
        let mut verdict = row.destination_verdict.map_or("not judged", DestinationVerdict::as_str).to_owned();
        if row.port_verdict == Some(PortVerdict::Not443) {
            verdict.push_str(", not-443");
        }
        let style = verdict_style(row);
        write!(
            out,
            "  {name}{:pad$}{:>6}  {style}{verdict:<25}{style:#}{:>8}",
            "",
            row.server_port,
            grouped(ok + blocked + unclear)
        )?;
        let style = if blocked > 0 { BAD } else { FAINT };
        write!(out, "{style}{:>9}{style:#}", some(blocked))?;
        write!(out, "{FAINT}{:>9}{FAINT:#}", some(unclear))?;
        if wide {
            write!(out, "{:>7}{:>10}", grouped(row.clients), size(row.bytes))?;
        }
        writeln!(out)
    }

    /// What the site needs, as far as it was seen.
    fn requirements(&self, out: &mut dyn Write) -> io::Result<()> {
        let [ok, blocked, partly, not_seen] = self.facts.requirement_counts();
        if ok + blocked + partly + not_seen == 0 {
            return Ok(());
        }
        let style = if blocked + partly > 0 { BAD } else { Style::new() };
        writeln!(out)?;
        write!(out, "{STRONG}required endpoints{STRONG:#}: {} reached, ", grouped(ok))?;
        write!(out, "{style}{} blocked{style:#}, ", grouped(blocked))?;
        if partly > 0 {
            write!(out, "{style}{} partly blocked{style:#}, ", grouped(partly))?;
        }
        writeln!(out, "{} not observed", grouped(not_seen))?;
        // Regional instances always; of the rest what is required and was not reached, blocked before unseen.
        let mut rows: Vec<&RequirementRow> =
            self.facts.requirements.iter().filter(|row| is_shown(row)).collect();
        rows.sort_by_key(|row| row.state != RequirementState::Blocked);
        let shown = self.at_most(8, rows.len());
        // What most rows have in common is said once, below them.
        let common = rows
            .iter()
            .map(|row| row.note.as_str())
            .max_by_key(|note| rows.iter().filter(|row| row.note == *note && !note.is_empty()).count());
        for row in rows.iter().take(shown) {
            let style = if row.state == RequirementState::Blocked { BAD } else { Style::new() };
            self.line(out, style, &format!("  {:<13}{}", row.state.as_str(), row.service))?;
            if !row.note.is_empty() && Some(row.note.as_str()) != common {
                self.wrapped(out, "               ", Style::new(), &row.note)?;
            }
        }
        if rows.len() > shown {
            self.line(out, FAINT, &format!("  and {} more; -v shows all", rows.len() - shown))?;
        }
        if let Some(common) = common.filter(|note| !note.is_empty()) {
            self.wrapped(out, "  ", FAINT, &format!("the others not seen: {common}"))?;
        }
        Ok(())
    }

    /// What the capture did not show, and what we did not understand.
    fn gaps(&self, out: &mut dyn Write) -> io::Result<()> {
        let facts = self.facts;
        let accounting = &facts.accounting;
        let mut gaps = facts.warnings.clone();
        gaps.extend(facts.damage.iter().cloned());
        let listed = |counts: Vec<(String, u64)>| {
            let mut counts = counts;
            counts.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
            let named: Vec<String> =
                counts.iter().take(4).map(|(what, times)| format!("{what} {}", grouped(*times))).collect();
            let rest = if counts.len() > 4 { ", …" } else { "" };
            format!("{}{rest}", named.join(", "))
        };
        let mut say = |what: &str, counts: Vec<(String, u64)>| {
            let total: u64 = counts.iter().map(|(_, times)| times).sum();
            if total > 0 {
                gaps.push(format!("{} {what}: {}", count(total, "frame"), listed(counts)));
            }
        };
        let texts = |map: &std::collections::BTreeMap<String, u64>| {
            map.iter().map(|(what, times)| (what.clone(), *times)).collect()
        };
        say("cut or broken", texts(&accounting.damaged));
        say("not readable", texts(&accounting.unreadable));
        say(
            "in an unknown link layer",
            accounting.unknown_link.iter().map(|(n, times)| (link(*n), *times)).collect(),
        );
        say("not IP", accounting.not_ip.iter().map(|(n, times)| (ether_type(*n), *times)).collect());
        if accounting.duplicates > 0 {
            gaps.push(format!(
                "{} there twice, as a span session of both directions shows them: counted once",
                count(accounting.duplicates, "frame")
            ));
        }
        if accounting.filtered > 0 {
            gaps.push(format!("{} put aside by the filter", count(accounting.filtered, "frame")));
        }
        let unaccounted = accounting.frames.abs_diff(accounting.accounted());
        if unaccounted > 0 {
            gaps.push(format!("{} not accounted for: this is a bug of ours", count(unaccounted, "frame")));
        }
        gaps.extend(facts.limits_reached.iter().map(|bound| format!("limit reached: {bound}")));
        let inconclusive =
            facts.tally.outcomes.get(Outcome::Inconclusive as usize).copied().unwrap_or_default();
        if inconclusive > 0 {
            gaps.push(format!(
                "{} inconclusive: the capture does not show enough",
                count(inconclusive, "flow")
            ));
        }
        if gaps.is_empty() {
            return Ok(());
        }
        self.heading(out, "not seen or not understood")?;
        let shown = self.at_most(8, gaps.len());
        for gap in gaps.iter().take(shown) {
            self.wrapped(out, "  ", WARN, gap)?;
        }
        if gaps.len() > shown {
            self.line(out, FAINT, &format!("  and {} more; -v shows all", gaps.len() - shown))?;
        }
        Ok(())
    }

    fn evidence(&self, out: &mut dyn Write) -> io::Result<()> {
        let Some(published) = self.published else { return Ok(()) };
        let files: Vec<String> = published
            .outputs
            .iter()
            .map(|output| format!("{} ({})", output.name, count(output.rows, "row")))
            .collect();
        writeln!(out)?;
        writeln!(out, "{STRONG}evidence{STRONG:#} in {}: {}", published.folder.display(), files.join(", "))?;
        writeln!(out, "{FAINT}sha256 of manifest.json: {}{FAINT:#}", published.manifest_sha256)
    }

    fn at_most(&self, lines: usize, there: usize) -> usize {
        if self.detail == SummaryDetail::Full { there } else { there.min(lines) }
    }

    fn heading(&self, out: &mut dyn Write, text: &str) -> io::Result<()> {
        writeln!(out)?;
        self.line(out, STRONG, text)
    }

    fn line(&self, out: &mut dyn Write, style: Style, text: &str) -> io::Result<()> {
        writeln!(out, "{style}{}{style:#}", truncate(text, self.width))
    }

    /// Text over several lines, broken between words, each behind `indent`.
    fn wrapped(&self, out: &mut dyn Write, indent: &str, style: Style, text: &str) -> io::Result<()> {
        let room = self.width.saturating_sub(indent.len()).max(20);
        let mut line = String::new();
        for word in text.split(' ') {
            if !line.is_empty() && line.width() + 1 + word.width() > room {
                writeln!(out, "{indent}{style}{line}{style:#}")?;
                line.clear();
            }
            if !line.is_empty() {
                line.push(' ');
            }
            // A word that is longer than a line is a name that somebody made up.
            line.push_str(&truncate(word, room));
        }
        writeln!(out, "{indent}{style}{line}{style:#}")
    }
}

pub(crate) fn severity_style(severity: Severity) -> Style {
    match severity {
        Severity::High => BAD,
        Severity::Medium => WARN,
        Severity::Low => AnsiColor::Cyan.on_default(),
        Severity::Info => FAINT,
    }
}

fn verdict_style(row: &DestinationTally) -> Style {
    match (row.destination_verdict, row.port_verdict) {
        (_, Some(PortVerdict::Not443)) | (Some(DestinationVerdict::Unexpected), _) => BAD,
        (Some(DestinationVerdict::DocumentedBroad | DestinationVerdict::Unidentified), _) => WARN,
        (Some(DestinationVerdict::Documented | DestinationVerdict::SiteApproved), _) => GOOD,
        (None, _) => FAINT,
    }
}

/// Text that fits `width` columns; an ellipsis marks what was left out.
pub(crate) fn truncate(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut used = 1;
    let mut out = String::new();
    for c in text.chars() {
        used += c.width().unwrap_or_default();
        if used > width {
            break;
        }
        out.push(c);
    }
    out.push('…');
    out
}

/// A number, or a dot that does not draw the eye.
fn some(number: u64) -> String {
    if number == 0 { "·".to_owned() } else { grouped(number) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::test_support;

    fn printed(facts: &RunFacts, width: usize, detail: SummaryDetail) -> String {
        let names = test_support::names();
        let mut out = Vec::new();
        Summary { facts, names: &names, published: None, detail, width }.write(&mut out).unwrap();
        anstream::adapter::strip_str(std::str::from_utf8(&out).unwrap()).to_string()
    }

    #[test]
    fn says_everything_without_colour_and_within_its_width() {
        let facts = test_support::facts();
        for width in [60, 80, 100, 132] {
            let text = printed(&facts, width, SummaryDetail::Screen);
            for line in text.lines() {
                assert!(line.width() <= width.max(80), "{width}: {line}");
            }
            assert!(text.lines().count() <= 45, "{text}");
        }
        let text = printed(&facts, 110, SummaryDetail::Screen);
        println!("{text}");
        for said in [
            "2 captures: 1,204,331 frames, 812 MB",
            "2026-07-20 10:11:12 to 2026-07-20 10:58:40 UTC (47 min 28 s)",
            "3 hosts audited: 1,204 flows of theirs among 2,331; 842 DNS answers",
            "2 findings: 2 high",
            "AFS202 connection attempt never answered, 4 times",
            "nothing came back (strong);",
            "frame 3, 5 of office.pcapng",
            "do: allow the destination in the firewall; check routes to it",
            "unexpected, not-443",
            "12 reached, 1 blocked, 3 not observed",
            "office.pcapng: truncated after frame 1812",
            "12 frames not IP: 0x0806 ARP 10, 0x88cc LLDP 2",
            "limit reached: 12 flows closed early because the flow table was full",
        ] {
            assert!(text.contains(said), "{said}\n{text}");
        }
    }

    #[test]
    fn nothing_found_is_said_too() {
        let text = printed(&RunFacts::default(), 80, SummaryDetail::Screen);
        assert!(text.contains("no findings"), "{text}");
        assert!(text.contains("no host was audited"), "{text}");
    }

    #[test]
    fn more_is_shown_when_asked_for() {
        let mut facts = test_support::facts();
        facts.findings = (0..30).map(|_| Box::new(test_support::finding())).collect();
        let short = printed(&facts, 80, SummaryDetail::Screen).lines().count();
        assert!(printed(&facts, 80, SummaryDetail::Full).lines().count() > short + 25);
    }

    #[test]
    fn numbers_for_people() {
        let check = |said: String, expected: &str| assert_eq!(said, expected);
        check(grouped(1_204_331), "1,204,331");
        check(grouped(999), "999");
        check(size(0), "0 B");
        check(size(1_500), "1.5 kB");
        check(size(999_600), "1.0 MB");
        check(size(u64::MAX), "18447 PB");
        check(duration(1_500_000_000), "1.500 s");
        check(duration(90_000_000_000_000), "1 d 1 h");
        check(truncate("kailani1.one.microsoft.com", 10), "kailani1.…");
        check(truncate("日本語日本語", 5), "日本…");
    }
}
