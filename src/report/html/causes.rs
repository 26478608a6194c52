//! Findings by cause, and what their codes mean.
//!
//! In:  causes by need.
//! Out: one box for each cause with its first findings; the explanation of each code that is shown.
//! Not: when a finding applies; `judge` knows that.

use std::collections::BTreeSet;

use maud::Markup;
use maud::html;

use super::super::human::count;
use super::super::human::grouped;
use super::PageLinks;
use super::escape::shown;
use super::model::Cause;
use super::model::CauseNeed;
use super::model::StoredFinding;
use crate::judge::FindingCode;
use crate::judge::Mechanism;
use crate::judge::Severity;

/// Causes that are shown, and findings of each.
const CAUSES: usize = 30;
const FINDINGS: usize = 5;

/// Rows of documents that a finding links to.
const REFERENCES: usize = 6;

/// The section's content.
pub(super) fn markup(causes: &[Cause], links: &PageLinks) -> Markup {
    html! {
        @if causes.is_empty() { p { "No findings." } }
        @for cause in causes.iter().take(CAUSES) { (cause_markup(cause, links)) }
        @let more: usize = causes.iter().skip(CAUSES).map(|cause| cause.findings.len()).sum();
        @if more > 0 { p.muted { (count(more as u64, "more finding")) " in findings.csv." } }
    }
}

fn cause_markup(cause: &Cause, links: &PageLinks) -> Markup {
    let severity = cause.severity.unwrap_or(Severity::Info);
    html! {
        article.cause.(severity.as_str()) {
            h3 {
                span.tag.(class_of(severity)) { (severity) } " "
                a href={ "#explain-" (anchor(&cause.code)) } { (shown(&cause.code)) } " " (shown(&cause.title))
            }
            p.muted {
                @match cause.need {
                    CauseNeed::RequiredBlocked => { strong { "Blocks an endpoint that this site requires. " } },
                    CauseNeed::OtherBlocked => { "Blocks an endpoint that the documents recommend, or need at times. " },
                    CauseNeed::None => {},
                }
                (number_text(cause))
                @if !cause.mechanism.is_empty() { "; mechanism " code { (shown(&cause.mechanism)) } }
            }
            ul { @for finding in cause.findings.iter().take(FINDINGS) { (finding_markup(finding, links)) } }
            @if cause.findings.len() > FINDINGS {
                p.muted { (count((cause.findings.len() - FINDINGS) as u64, "more finding")) " of this code in findings.csv." }
            }
            @if let Some(first) = cause.findings.first() {
                p { strong { "What to do: " } (shown(&first.recommendation)) "." }
            }
        }
    }
}

fn finding_markup(finding: &StoredFinding, links: &PageLinks) -> Markup {
    let (own, others): (Vec<&String>, Vec<&String>) =
        finding.frames.iter().partition(|frame| !frame.contains('#'));
    let own: Vec<&str> = own.into_iter().map(String::as_str).collect();
    html! {
        li {
            (shown(&finding.message)) "."
            @if let Some(confidence) = finding.confidence { " Confidence: " (confidence) "." }
            @if !own.is_empty() {
                " " (if own.len() == 1 { "Frame " } else { "Frames " }) (shown(&own.join(", "))) " of " (links.input(&finding.file)) "."
            }
            @for frame in others.iter().take(10) {
                @if let Some((file, number)) = frame.rsplit_once('#') { " Frame " (shown(number)) " of " (links.input(file)) "." }
            }
            @if !finding.references.is_empty() {
                " " span.muted { "Document rows:" }
                @for reference in finding.references.iter().take(REFERENCES) { " " (links.reference(reference)) }
                @if finding.references.len() > REFERENCES { " and " (finding.references.len() - REFERENCES) " more" }
            }
        }
    }
}

/// `3 findings from 12 flows`; `3 findings` where each is from one.
fn number_text(cause: &Cause) -> String {
    let number = cause.findings.len() as u64;
    let findings = count(number, "finding");
    if cause.count <= number {
        return findings;
    }
    let dns = cause.findings.iter().filter(|finding| finding.is_dns).count() as u64;
    let from = match dns {
        0 => count(cause.count, "flow"),
        _ if dns == number => count(cause.count, "DNS message"),
        _ => format!("{} flows and DNS messages", grouped(cause.count)),
    };
    format!("{findings} from {from}")
}

const fn class_of(severity: Severity) -> &'static str {
    match severity {
        Severity::High => "bad",
        Severity::Medium => "warn",
        Severity::Low | Severity::Info => "muted",
    }
}

/// Letters and digits of a code: a stored code may be anything.
fn anchor(code: &str) -> String {
    code.chars().filter(char::is_ascii_alphanumeric).take(12).collect()
}

/// The explanations of the codes and mechanisms that are shown.
pub(super) fn explanations(causes: &[Cause]) -> Markup {
    let codes: BTreeSet<&str> = causes.iter().take(CAUSES).map(|cause| cause.code.as_str()).collect();
    html! {
        @for code in &codes {
            @let known = FindingCode::parse(code);
            article id={ "explain-" (anchor(code)) } {
                h3 { (shown(code)) @if let Some(known) = known { " " (known.entry().title) } }
                @match known {
                    Some(known) => (texts_markup(known, causes)),
                    None => p { "This version does not know the code." },
                }
            }
        }
    }
}

fn texts_markup(code: FindingCode, causes: &[Cause]) -> Markup {
    let texts = code.entry().texts;
    let mechanisms: BTreeSet<&str> = causes
        .iter()
        .filter(|cause| cause.code == code.as_str())
        .filter_map(|cause| Mechanism::parse(&cause.mechanism))
        .map(Mechanism::as_str)
        .collect();
    html! {
        dl {
            @for (heading, text) in [
                ("What it looks like", texts.looks_like),
                ("What usually causes it", texts.cause),
                ("What to do", texts.recommendation),
                ("What else it could be", texts.alternatives),
            ] { dt { (heading) } dd { (text) "." } }
            @for mechanism in mechanisms.iter().filter_map(|word| Mechanism::parse(word)) {
                dt { "Mechanism " code { (mechanism) } }
                dd { (mechanism.texts().looks_like) ". Usual cause: " (mechanism.texts().cause) "." }
            }
        }
    }
}
