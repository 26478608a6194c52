//! The HTML page of a comparison.
//!
//! In:  a comparison, and the folders that were compared.
//! Out: a page like `report.html`. The same folders give the same bytes.
//! Not: all rows of a group: the page counts what it leaves out.

use maud::Markup;
use maud::html;
use serde_json::Value;

use super::EvidenceComparison;
use super::rows::Change;
use super::rows::ChangeFrames;
use super::rows::ChangeNeed;
use super::rows::ChangeRow;
use super::table::groups;
use super::table::headline;
use super::table::unchanged_text;
use crate::base::Time;
use crate::report::HtmlPage;
use crate::report::StoredEvidence;
use crate::report::Tone;
use crate::report::count;
use crate::report::date_and_time;
use crate::report::duration;
use crate::report::parse_time;
use crate::report::shown;

/// Rows of a group that are shown.
const ROWS: usize = 200;

/// Documented rows that are named.
const REFERENCES: usize = 4;

/// The page of a comparison.
pub fn render_comparison(comparison: &EvidenceComparison, runs: [&StoredEvidence; 2]) -> String {
    let tone = match comparison.is_worse() {
        true => Tone::Bad,
        false
            if comparison.changes.iter().any(|row| matches!(row.change, Change::Fixed | Change::Better)) =>
        {
            Tone::Good
        }
        false => Tone::Neutral,
    };
    let mut sections = vec![("conditions", "What limits the comparison", conditions(comparison, runs))];
    for (id, heading, rows) in groups(comparison) {
        sections.push((id, title_of(id), group(heading, &rows)));
    }
    let page = HtmlPage {
        title: "afs-audit comparison",
        heading: "Traffic audit: before and after",
        tone,
        lead: html! {
            p { (shown(&headline(comparison))) "." }
            p { (verdict(comparison)) }
        },
        sections: &sections,
        footer: html! {
            p { (unchanged_text(comparison)) ". Written by afs-audit " (env!("CARGO_PKG_VERSION")) " from two evidence folders, which were unchanged." }
        },
    };
    page.markup().into_string()
}

/// The heading of a group.
fn title_of(id: &str) -> &'static str {
    match id {
        "worse" => "Worse",
        "new" => "New",
        "changed" => "Changed",
        "better" => "Better",
        _ => "Not seen again",
    }
}

/// Whether the change worked, in one sentence.
fn verdict(comparison: &EvidenceComparison) -> Markup {
    let number = |change| comparison.changes.iter().filter(|row| row.change == change).count() as u64;
    // The rows are in the order of their need.
    let worst = comparison.changes.iter().find(|row| row.is_worse);
    html! {
        @if let Some(row) = worst { strong.bad { "Something got worse: " } (shown(&worse_text(row))) ". " }
        @else { "Nothing got worse. " }
        @if number(Change::NotSeenAgain) > 0 {
            (count(number(Change::NotSeenAgain), "row")) " of the run before were not seen again. That does not show that anything was fixed."
        }
    }
}

/// `Azure File Sync in West Europe, from 10.1.0.4: reached before, blocked (tcp-unanswered) now`.
fn worse_text(row: &ChangeRow) -> String {
    let from = row.server.map(|server| format!(", from {server}")).unwrap_or_default();
    let before = if row.before.is_empty() { String::new() } else { format!("{} before, ", row.before) };
    format!("{}{from}: {before}{} now", row.target, row.after)
}

fn conditions(comparison: &EvidenceComparison, runs: [&StoredEvidence; 2]) -> Markup {
    html! {
        div.scroll tabindex="0" role="region" aria-label="Runs" { table {
            caption { "The runs" }
            thead { tr { @for head in ["run", "first frame (UTC)", "last frame (UTC)", "length", "captures"] { th scope="col" { (head) } } } }
            tbody { @for (word, run) in ["before", "after"].into_iter().zip(runs) { (run_row(word, run.manifest())) } }
        } }
        @if comparison.conditions.is_empty() { p { "Nothing: both runs audited the same servers in the same way." } }
        @else {
            div.scroll tabindex="0" role="region" aria-label="Differences between the runs" { table {
                caption { "Differences between the runs" }
                thead { tr { @for head in ["what", "before", "after", "meaning"] { th scope="col" { (head) } } } }
                tbody { @for row in &comparison.conditions { tr {
                    th scope="row" { (shown(&row.target)) }
                    @for text in [&row.before, &row.after, &row.message] { td { (shown(text)) } }
                } } }
            } }
        }
    }
}

fn run_row(word: &str, manifest: &Value) -> Markup {
    let time = |key: &str| manifest.get(key).and_then(Value::as_str).and_then(parse_time);
    let (first, last) = (time("first_seen"), time("last_seen"));
    let length = first.zip(last).map(|(first, last)| duration(last.since(first)));
    let inputs = manifest.get("inputs").and_then(Value::as_array).map_or(0, Vec::len);
    let text = |time: Option<Time>| time.map(date_and_time).unwrap_or_default();
    html! { tr {
        th scope="row" { (word) }
        td.date { (text(first)) }
        td.date { (text(last)) }
        td { (length.unwrap_or_default()) }
        td.number { (inputs) }
    } }
}

fn group(heading: &str, rows: &[&ChangeRow]) -> Markup {
    html! {
        @if rows.is_empty() { p { "None." } }
        @else {
            div.scroll tabindex="0" role="region" aria-label={ "Changes: " (heading) } { table.changes {
                caption { (heading) ": " (count(rows.len() as u64, "row")) }
                thead { tr { @for head in ["what", "server", "before", "after", "meaning", "frames"] { th scope="col" { (head) } } } }
                tbody { @for row in rows.iter().take(ROWS) { (change_row(row)) } }
            } }
            @if rows.len() > ROWS { p.muted { (count((rows.len() - ROWS) as u64, "more row")) " in the output of " code { "compare --format csv" } "." } }
        }
    }
}

fn change_row(row: &ChangeRow) -> Markup {
    html! { tr {
        th scope="row" {
            (row.change) " " (row.subject) ": " (shown(&row.target))
            @if row.need == ChangeNeed::Required { " " span.tag { "required" } }
            @if row.is_worse { " " span.tag.bad { "worse" } }
        }
        td.date { @if let Some(server) = row.server { (server) } }
        td { (shown(&row.before)) }
        td { (shown(&row.after)) }
        td {
            (shown(&row.message))
            @if !row.references.is_empty() {
                " " span.muted { "Document rows: " (shown(&row.references.iter().take(REFERENCES).cloned().collect::<Vec<String>>().join(", "))) }
                @if row.references.len() > REFERENCES { " and " (row.references.len() - REFERENCES) " more" }
            }
        }
        td { (frames("before", &row.before_frames)) (frames("after", &row.after_frames)) }
    } }
}

fn frames(word: &str, shown_by: &ChangeFrames) -> Markup {
    html! { @if !shown_by.frames.is_empty() { p { (word) ": " (shown(&shown_by.frames.join(", "))) " of " (shown(&shown_by.file)) } } }
}
