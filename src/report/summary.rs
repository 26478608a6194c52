//! The summary of a run, for people.
//!
//! In:  the facts of the run, and where the evidence is.
//! Out: about forty lines of text with ANSI colours, wrapped to a width. The writer strips colours where they are not shown.
//! Not: information in colours alone.

use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::io;
use std::io::Write;

use anstyle::AnsiColor;
use anstyle::Style;
use unicode_width::UnicodeWidthStr as _;

use super::facts::RunFacts;
use super::facts::ether_type;
use super::facts::link;
use super::folder::Published;
use super::human::count;
use super::human::date_and_time;
use super::human::duration;
use super::human::first_frames;
use super::human::grouped;
use super::human::size;
use super::human::verb;
use super::input_names::InputNames;
use super::layout::wrap;
use super::requirements_text::endpoint_lines;
use crate::base::proto;
use crate::judge::DestinationTally;
use crate::judge::DestinationVerdict;
use crate::judge::FindingCode;
use crate::judge::FindingRow;
use crate::judge::Outcome;
use crate::judge::PortVerdict;
use crate::judge::RequirementRow;
use crate::judge::RequirementState;
use crate::judge::Severity;

const STRONG: Style = Style::new().bold();
const FAINT: Style = Style::new().dimmed();
const GOOD: Style = AnsiColor::Green.on_default();
const WARN: Style = AnsiColor::Yellow.on_default();
const BAD: Style = AnsiColor::Red.on_default().bold();

/// Audited hosts that are named.
const NAMED_HOSTS: usize = 4;

/// Documents that are named.
const NAMED_DOCUMENTS: usize = 8;

/// The least room for the name of a destination.
const MIN_NAME_WIDTH: usize = 9;

/// How much is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SummaryDetail {
    /// What fits on a screen.
    Screen,
    /// Everything.
    Full,
}

/// The summary of a run.
pub struct Summary<'a> {
    /// The facts of the run.
    pub facts: &'a RunFacts,
    /// The names of the inputs.
    pub names: &'a InputNames,
    /// The evidence folder, if there is one.
    pub published: Option<&'a Published>,
    /// How much is printed.
    pub detail: SummaryDetail,
    /// Columns of a line.
    pub width: usize,
}

impl Summary<'_> {
    /// Prints it.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        self.write_inputs(out)?;
        self.write_findings(out)?;
        self.write_destinations(out)?;
        self.write_requirements(out)?;
        self.write_limits(out)?;
        self.write_evidence(out)
    }

    /// What was read, which hosts were audited, and with which rules.
    fn write_inputs(&self, out: &mut dyn Write) -> io::Result<()> {
        let facts = self.facts;
        let accounting = &facts.accounting;
        let is_read =
            |input: &serde_json::Value| input.get("outcome").is_none_or(|outcome| outcome == "read");
        let named = self.names.files.iter().zip(&facts.inputs);
        let read: Vec<&String> = named.filter(|(_, input)| is_read(input)).map(|(name, _)| name).collect();
        let all: Vec<&String> = self.names.files.iter().collect();
        let inputs = match if read.is_empty() { all.as_slice() } else { read.as_slice() } {
            [one] if facts.further_captures > 0 => {
                format!("{one}, {} in one file", count(1 + facts.further_captures, "capture"))
            }
            [one] => (*one).clone(),
            files => count(files.len() as u64 + facts.further_captures, "capture"),
        };
        let (frames, bytes) = (count(accounting.frames, "frame"), size(accounting.bytes));
        self.wrapped(out, "", STRONG, &format!("{inputs}: {frames}, {bytes}"))?;
        if let (Some(first), Some(last)) = (facts.first_seen, facts.last_seen) {
            let (first_text, last_text) = (date_and_time(first), date_and_time(last));
            // The date is printed once if both are on the same day.
            let last_text = match (first_text.split_once(' '), last_text.split_once(' ')) {
                (Some((first_day, _)), Some((last_day, clock))) if first_day == last_day => clock,
                _ => &last_text,
            };
            let length = duration(last.since(first));
            self.wrapped(out, "", Style::new(), &format!("{first_text} to {last_text} UTC ({length})"))?;
        }
        if let Some(points) = &facts.points {
            self.wrapped(out, "", Style::new(), &points.text())?;
        }
        let tally = &facts.tally;
        let mut dns = count(tally.dns - tally.dns_unanswered.min(tally.dns), "DNS response");
        if tally.dns_unanswered > 0 {
            dns.push_str(&format!(", {} without a response", count(tally.dns_unanswered, "DNS query")));
        }
        let audited = match tally.audited_hosts {
            0 if facts.not_done.is_empty() => {
                "no host was audited: name the servers with --server or in a site file".to_owned()
            }
            // What was not done says which of the named servers are missing.
            0 => "no host was audited".to_owned(),
            hosts => format!(
                "{} audited ({}): {} of {}",
                count(hosts, "host"),
                self.host_list(hosts),
                grouped(tally.judged),
                count(tally.flows, "flow"),
            ),
        };
        self.wrapped(out, "", Style::new(), &format!("{audited}; {dns}"))?;
        if !facts.documents.is_empty() {
            self.wrapped(out, "", FAINT, &format!("rules: {}", self.document_list()))?;
        }
        for warning in &facts.site_warnings {
            self.wrapped(out, "", WARN, &format!("site file: {warning}"))?;
        }
        if let Some(why) = &facts.partial {
            self.wrapped(out, "", WARN, &format!("partial: {why}"))?;
        }
        Ok(())
    }

    /// `10.1.0.4, 10.1.0.5 and 12 more`.
    fn host_list(&self, hosts: u64) -> String {
        let audited = &self.facts.tally.audited;
        let shown = self.at_most(NAMED_HOSTS, audited.len());
        let named: Vec<String> = audited.iter().take(shown).map(ToString::to_string).collect();
        match hosts.saturating_sub(shown as u64) {
            0 => named.join(", "),
            more => format!("{} and {} more", named.join(", "), grouped(more)),
        }
    }

    /// The ids of the documents, or how many there are of each product.
    fn document_list(&self) -> String {
        let ids: Vec<&str> = self.facts.documents.iter().map(|document| document.id.as_str()).collect();
        if self.detail == SummaryDetail::Full || ids.len() <= NAMED_DOCUMENTS {
            return ids.join(", ");
        }
        let mut products: Vec<(&str, u64)> = Vec::new();
        for id in &ids {
            let product = id.split('@').next().unwrap_or(id);
            match products.iter_mut().find(|(known, _)| *known == product) {
                Some((_, documents)) => *documents += 1,
                None => products.push((product, 1)),
            }
        }
        let counts: Vec<String> =
            products.iter().map(|(product, documents)| format!("{documents} of {product}")).collect();
        format!("{} ({}); list them with -v", count(ids.len() as u64, "document"), counts.join(", "))
    }

    /// Findings by code, in the order of their rows.
    fn write_findings(&self, out: &mut dyn Write) -> io::Result<()> {
        let findings = &self.facts.findings;
        if findings.is_empty() {
            writeln!(out)?;
            if self.facts.accounting.is_undecodable() {
                let frames = count(self.facts.accounting.frames, "frame");
                return self.wrapped(
                    out,
                    "",
                    STRONG,
                    &format!("nothing was audited: {frames}, and none could be decoded"),
                );
            }
            if self.facts.tally.audited_hosts == 0 {
                return self.wrapped(out, "", STRONG, "nothing was audited");
            }
            if self.facts.accounting.undecoded_reason().is_some() {
                return self.wrapped(out, "", STRONG, "no findings in the frames that could be decoded");
            }
            return self.wrapped(out, "", GOOD, "no findings");
        }
        let by_severity: Vec<String> = Severity::ALL
            .iter()
            .rev()
            .filter_map(|severity| {
                let rows = findings.iter().filter(|row| row.severity == *severity).count();
                (rows > 0).then(|| format!("{} {severity}", grouped(rows as u64)))
            })
            .collect();
        let total = count(findings.len() as u64, "finding");
        self.write_heading(out, &format!("{total}: {}", by_severity.join(", ")))?;

        // The rows are in the order of their need: a group has the place of its first row.
        let mut groups: Vec<Vec<&FindingRow>> = Vec::new();
        for row in findings.iter().map(Box::as_ref).filter(|row| row.cause.is_none()) {
            let of_row = |group: &&mut Vec<&FindingRow>| {
                group.first().is_some_and(|first| has_same_advice(first, row))
            };
            match groups.iter_mut().find(of_row) {
                Some(group) => group.push(row),
                None => groups.push(vec![row]),
            }
        }
        let shown = self.at_most(6, groups.len());
        for group in groups.iter().take(shown) {
            self.write_finding_group(out, group)?;
        }
        let more: usize = groups.iter().skip(shown).map(Vec::len).sum();
        self.write_more(out, "  ", more as u64, "finding")
    }

    /// The findings of one code: title, the first messages, the recommendation.
    fn write_finding_group(&self, out: &mut dyn Write, group: &[&FindingRow]) -> io::Result<()> {
        const INDENT: &str = "         ";
        let Some(first) = group.first() else { return Ok(()) };
        let severity = group.iter().map(|row| row.severity).max().unwrap_or(first.severity);
        let style = severity_style(severity);
        let title = first.title;
        let times: u64 = group.iter().map(|row| row.count).sum();
        let times = if times > 1 { format!(" ({})", count(times, "time")) } else { String::new() };
        let head = wrap(&format!("{} {title}{times}", first.code), self.text_width(INDENT));
        for (place, line) in head.iter().enumerate() {
            let severity = if place == 0 { severity.as_str() } else { "" };
            writeln!(out, "  {style}{severity:<6}{style:#} {STRONG}{line}{STRONG:#}")?;
        }
        let shown = self.at_most(2, group.len());
        for row in group.iter().take(shown) {
            let confidence =
                row.confidence.map(|confidence| format!(" (confidence: {confidence})")).unwrap_or_default();
            let text = format!("{}{confidence}{}", row.message, self.proving_frames(row));
            self.wrapped(out, INDENT, Style::new(), &text)?;
        }
        self.write_more(out, INDENT, (group.len() - shown) as u64, "such finding")?;
        if let Some(text) = self.explained_text(group) {
            self.wrapped(out, INDENT, FAINT, &text)?;
        }
        self.wrapped(out, INDENT, FAINT, &format!("do: {}", first.recommendation))
    }

    /// `explains 3 other findings: 2 AFS109, 1 AFS212`.
    fn explained_text(&self, group: &[&FindingRow]) -> Option<String> {
        let causes: Vec<_> =
            group.iter().filter(|row| row.is_cause).map(|row| (row.code, row.audited_host)).collect();
        let is_of_group =
            |row: &FindingRow| row.cause.is_some_and(|code| causes.contains(&(code, row.audited_host)));
        let mut by_code: BTreeMap<FindingCode, u64> = BTreeMap::new();
        for row in self.facts.findings.iter().filter(|row| is_of_group(row)) {
            *by_code.entry(row.code).or_default() += 1;
        }
        let total: u64 = by_code.values().sum();
        let codes: Vec<String> =
            by_code.iter().map(|(code, rows)| format!("{} {code}", grouped(*rows))).collect();
        let findings = count(total, "other finding");
        (total > 0).then(|| format!("explains {findings}: {}", codes.join(", ")))
    }

    /// The first frames that prove a finding, as Wireshark numbers them.
    fn proving_frames(&self, row: &FindingRow) -> String {
        let (Some(first), Some(frames)) = (row.frames.first(), first_frames(&row.frames)) else {
            return String::new();
        };
        let file = if self.names.files.len() > 1 {
            format!(" of {}", self.names.file(first.file))
        } else {
            String::new()
        };
        format!("; {frames}{file}")
    }

    /// The destinations of the audited hosts, with verdicts and outcomes in the words of the columns.
    fn write_destinations(&self, out: &mut dyn Write) -> io::Result<()> {
        let tally = &self.facts.tally;
        if tally.top.is_empty() {
            return Ok(());
        }
        let shown = self.at_most(12, tally.top.len());
        let rows: Vec<DestinationLine> = tally.top.iter().take(shown).map(DestinationLine::of).collect();
        let has_details = self.width >= 110;
        let widest = |text: fn(&DestinationLine) -> &str| rows.iter().map(|row| text(row).width()).max();
        let verdict_width = widest(|row| &row.verdict).unwrap_or_default().max("verdict".len());
        let outcome_width = widest(|row| &row.outcomes).unwrap_or_default();
        let name_width = widest(|row| &row.name).unwrap_or_default().max("destination".len() - 2);
        let fixed = 2 + 2 + verdict_width + 8 + if has_details { 7 + 10 } else { 0 };
        let outcome_room = if outcome_width == 0 { 0 } else { 2 + outcome_width };
        let room = self.width.saturating_sub(fixed + outcome_room).max(MIN_NAME_WIDTH).min(name_width);
        writeln!(out)?;
        write!(out, "{STRONG}{:<1$}{STRONG:#}", "destination", room + 2)?;
        write!(out, "{FAINT}  {:<verdict_width$}{:>8}", "verdict", "flows")?;
        if has_details {
            write!(out, "{:>7}{:>10}", "hosts", "payload")?;
        }
        writeln!(out, "{FAINT:#}")?;
        for row in &rows {
            // A longer name has lines of its own: it is never cut off.
            let mut lines = wrap(&row.name, if row.name.width() > room { self.width - 2 } else { room });
            let last = if row.name.width() > room { String::new() } else { lines.pop().unwrap_or_default() };
            for line in lines {
                writeln!(out, "  {line}")?;
            }
            let pad = room.saturating_sub(last.width());
            let (style, outcome_style) = (row.verdict_style, row.outcome_style);
            write!(
                out,
                "  {last}{:pad$}  {style}{:<verdict_width$}{style:#}{:>8}",
                "", row.verdict, row.flows
            )?;
            if has_details {
                write!(out, "{FAINT}{:>7}{:>10}{FAINT:#}", row.hosts, row.payload)?;
            }
            match row.outcomes.as_str() {
                "" => writeln!(out)?,
                outcomes => writeln!(out, "  {outcome_style}{outcomes}{outcome_style:#}")?,
            }
        }
        let more = (tally.top.len() - shown) as u64 + tally.top_missed;
        if more > 0 {
            self.wrapped(out, "  ", FAINT, &count(more, "other destination"))?;
        }
        Ok(())
    }

    /// The endpoints that the site needs, by state; by name those that were not reached.
    fn write_requirements(&self, out: &mut dyn Write) -> io::Result<()> {
        const INDENT: &str = "                  ";
        let [reached, blocked, partly, not_observed] = self.facts.requirement_counts();
        if reached + blocked + partly + not_observed == 0 || self.facts.tally.audited_hosts == 0 {
            return Ok(());
        }
        let style = if blocked + partly > 0 { BAD } else { Style::new() };
        let servers: BTreeSet<_> = self.facts.requirements.iter().filter_map(|row| row.server).collect();
        let of_servers = match servers.len() {
            0 | 1 => String::new(),
            several => format!(", for each of {several} servers"),
        };
        writeln!(out)?;
        write!(out, "{STRONG}required endpoints{STRONG:#}{of_servers}: {} reached, ", grouped(reached))?;
        write!(out, "{style}{} blocked{style:#}, ", grouped(blocked))?;
        if partly > 0 {
            write!(out, "{style}{} partly blocked{style:#}, ", grouped(partly))?;
        }
        writeln!(out, "{} not observed", grouped(not_observed))?;
        let endpoints = endpoint_lines(&self.facts.requirements, is_named);
        let shown = self.at_most(8, endpoints.len());
        // A note that most endpoints share is printed once, below them.
        let common = endpoints
            .iter()
            .map(|endpoint| endpoint.note.as_str())
            .filter(|note| !note.is_empty())
            .max_by_key(|note| endpoints.iter().filter(|endpoint| endpoint.note == *note).count());
        for endpoint in endpoints.iter().take(shown) {
            let is_blocked =
                matches!(endpoint.state, RequirementState::Blocked | RequirementState::PartlyBlocked);
            let style = if is_blocked { BAD } else { Style::new() };
            let mut lines = wrap(&endpoint.service, self.text_width(INDENT)).into_iter();
            let first = lines.next().unwrap_or_default();
            writeln!(out, "  {style}{:<16}{first}{style:#}", endpoint.state.as_str())?;
            for line in lines {
                writeln!(out, "{INDENT}{style}{line}{style:#}")?;
            }
            if !endpoint.servers.is_empty() {
                self.wrapped(out, INDENT, Style::new(), &endpoint.servers)?;
            }
            if !endpoint.note.is_empty() && Some(endpoint.note.as_str()) != common {
                self.wrapped(out, INDENT, Style::new(), &endpoint.note)?;
            }
        }
        self.write_more(out, "  ", (endpoints.len() - shown) as u64, "endpoint")?;
        let has_other_notes = endpoints
            .iter()
            .take(shown)
            .any(|endpoint| !endpoint.note.is_empty() && Some(endpoint.note.as_str()) != common);
        if let Some(note) = common {
            let which = if has_other_notes { "for each other endpoint" } else { "for each endpoint" };
            self.wrapped(out, "  ", FAINT, &format!("{which} not observed: {note}"))?;
        }
        // Endpoints of other levels are counted only.
        let mut unlisted: BTreeMap<&str, BTreeSet<(&str, &str)>> = BTreeMap::new();
        let is_unlisted =
            |row: &&RequirementRow| row.state == RequirementState::NotObserved && !is_named(row);
        for row in self.facts.requirements.iter().filter(is_unlisted) {
            unlisted.entry(&row.level).or_default().insert((&row.references, &row.service));
        }
        let levels: Vec<String> = unlisted
            .iter()
            .map(|(level, endpoints)| format!("{} {level}", grouped(endpoints.len() as u64)))
            .collect();
        match levels.as_slice() {
            [] => Ok(()),
            levels => {
                let text = format!("endpoints of other levels not observed: {}", levels.join(", "));
                self.wrapped(out, "  ", FAINT, &text)
            }
        }
    }

    /// What the capture does not show, and what was not understood.
    fn write_limits(&self, out: &mut dyn Write) -> io::Result<()> {
        let facts = self.facts;
        let accounting = &facts.accounting;
        let mut limits = facts.warnings.clone();
        limits.extend(facts.damage.iter().cloned());
        let mut add_frames = |what: &str, kinds: Vec<(String, u64)>| {
            let total: u64 = kinds.iter().map(|(_, frames)| frames).sum();
            if total > 0 {
                limits.push(format!("{} {what}: {}", count(total, "frame"), self.kind_list(kinds)));
            }
        };
        let texts = |kinds: &std::collections::BTreeMap<String, u64>| {
            kinds.iter().map(|(what, frames)| (what.clone(), *frames)).collect()
        };
        add_frames("truncated or malformed", texts(&accounting.damaged));
        add_frames("not readable", texts(&accounting.unreadable));
        add_frames(
            "of an unknown link type",
            accounting.unknown_link.iter().map(|(number, frames)| (link(*number), *frames)).collect(),
        );
        add_frames(
            "without IP",
            accounting.not_ip.iter().map(|(number, frames)| (ether_type(*number), *frames)).collect(),
        );
        add_frames("dropped by the host that captured them", texts(&accounting.host_drops));
        if accounting.duplicates > 0 {
            limits.push(format!(
                "{} (of a mirror port, or of several components of one host) counted once",
                count(accounting.duplicates, "duplicate frame")
            ));
        }
        if accounting.filtered > 0 {
            limits.push(format!("{} rejected by the capture filter", count(accounting.filtered, "frame")));
        }
        let unaccounted = accounting.frames.abs_diff(accounting.accounted());
        if unaccounted > 0 {
            limits.push(format!(
                "{} not accounted for: this is a bug in afs-audit, please report it",
                count(unaccounted, "frame")
            ));
        }
        limits.extend(facts.limits_reached.iter().map(|limit| format!("limit reached: {limit}")));
        let inconclusive =
            facts.tally.outcomes.get(Outcome::Inconclusive as usize).copied().unwrap_or_default();
        if inconclusive > 0 {
            limits.push(format!(
                "{} {} inconclusive; see the column inconclusive_reason",
                count(inconclusive, "flow"),
                verb(inconclusive, "is", "are")
            ));
        }
        if limits.is_empty() {
            return Ok(());
        }
        self.write_heading(out, "limits of this capture")?;
        let shown = self.at_most(8, limits.len());
        for limit in limits.iter().take(shown) {
            self.wrapped(out, "  ", WARN, limit)?;
        }
        self.write_more(out, "  ", (limits.len() - shown) as u64, "line")
    }

    /// `0x0806 ARP (10), 0x88cc LLDP (2)`, most frames first.
    fn kind_list(&self, mut kinds: Vec<(String, u64)>) -> String {
        kinds.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(&b.0)));
        let shown = self.at_most(4, kinds.len());
        let named: Vec<String> =
            kinds.iter().take(shown).map(|(what, frames)| format!("{what} ({})", grouped(*frames))).collect();
        match kinds.len() - shown {
            0 => named.join(", "),
            more => format!("{} and {more} more", named.join(", ")),
        }
    }

    fn write_evidence(&self, out: &mut dyn Write) -> io::Result<()> {
        let Some(published) = self.published else { return Ok(()) };
        let files: Vec<String> = published
            .outputs
            .iter()
            .map(|output| match output.name.rsplit_once('.') {
                Some((_, "csv" | "jsonl")) => format!("{} ({})", output.name, count(output.rows, "row")),
                Some((_, "pcapng")) => format!("{} ({})", output.name, count(output.rows, "frame")),
                _ => output.name.clone(),
            })
            .collect();
        writeln!(out)?;
        writeln!(out, "{STRONG}evidence{STRONG:#} in {}: {}", published.folder.display(), files.join(", "))
    }

    fn at_most(&self, limit: usize, available: usize) -> usize {
        if self.detail == SummaryDetail::Full { available } else { available.min(limit) }
    }

    fn write_heading(&self, out: &mut dyn Write, text: &str) -> io::Result<()> {
        writeln!(out)?;
        self.wrapped(out, "", STRONG, text)
    }

    /// `4 more findings; show all with -v`.
    fn write_more(&self, out: &mut dyn Write, indent: &str, more: u64, noun: &str) -> io::Result<()> {
        if more == 0 {
            return Ok(());
        }
        let more = count(more, &format!("more {noun}"));
        self.wrapped(out, indent, FAINT, &format!("{more}; show all with -v"))
    }

    /// Columns of the text after an indentation.
    fn text_width(&self, indent: &str) -> usize {
        self.width.saturating_sub(indent.len()).max(20)
    }

    fn wrapped(&self, out: &mut dyn Write, indent: &str, style: Style, text: &str) -> io::Result<()> {
        for line in wrap(text, self.text_width(indent)) {
            writeln!(out, "{indent}{style}{line}{style:#}")?;
        }
        Ok(())
    }
}

/// A destination as a line of the table.
struct DestinationLine {
    /// Name or address, and port.
    name: String,
    verdict: String,
    verdict_style: Style,
    flows: String,
    hosts: String,
    payload: String,
    /// Flows that are not `ok`.
    outcomes: String,
    outcome_style: Style,
}

impl DestinationLine {
    fn of(row: &DestinationTally) -> DestinationLine {
        let [ok, blocked, inconclusive] = row.outcomes;
        let mut verdict = row.destination_verdict.map_or("", DestinationVerdict::as_str).to_owned();
        if row.port_verdict == Some(PortVerdict::Not443) {
            verdict = format!("{verdict}, not-443");
        }
        let outcomes: Vec<String> =
            [(Outcome::BlockedLooking, blocked), (Outcome::Inconclusive, inconclusive)]
                .iter()
                .filter(|(_, flows)| *flows > 0)
                .map(|(outcome, flows)| format!("{} {}", grouped(*flows), outcome.as_str()))
                .collect();
        DestinationLine {
            name: destination_name(row),
            verdict,
            verdict_style: verdict_style(row),
            flows: grouped(ok + blocked + inconclusive),
            hosts: grouped(row.clients),
            payload: size(row.bytes),
            outcomes: outcomes.join(", "),
            outcome_style: if blocked > 0 { BAD } else { FAINT },
        }
    }
}

/// `westeurope01.afs.azure.net:443`, with ` (proxy)` after it if the request went to a proxy.
fn destination_name(row: &DestinationTally) -> String {
    let proxy = if row.proxied { " (proxy)" } else { "" };
    let has_ports = !matches!(row.protocol, proto::ICMP | proto::ICMPV6);
    let transport = match proto::name(row.protocol) {
        Some(name) if row.protocol != proto::TCP => format!("/{name}"),
        _ => String::new(),
    };
    match has_ports {
        false => format!("{} {}", row.name, transport.trim_start_matches('/')),
        // An IPv6 address needs brackets before a port (RFC 3986 §3.2.2).
        true if row.name.contains(':') => format!("[{}]:{}{transport}{proxy}", row.name, row.server_port),
        true => format!("{}:{}{transport}{proxy}", row.name, row.server_port),
    }
}

/// Whether a required endpoint is shown by name: blocked ones, and those that must be reached but were not observed.
fn is_named(row: &RequirementRow) -> bool {
    match row.state {
        RequirementState::Reached => false,
        RequirementState::Blocked | RequirementState::PartlyBlocked => true,
        RequirementState::NotObserved => row.level == "required",
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

/// Whether two findings are printed as one group, with one title and one recommendation.
fn has_same_advice(one: &FindingRow, other: &FindingRow) -> bool {
    (one.code, one.title, one.severity, &one.recommendation)
        == (other.code, other.title, other.severity, &other.recommendation)
}

#[cfg(test)]
mod tests;
